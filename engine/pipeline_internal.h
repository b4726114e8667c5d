/*
 * pipeline_internal.h - what the files of the pipeline share; pipeline.h has the picture.
 *
 *     pipeline.c         wishes, flow, the step
 *     pipeline_build.c   out of its settings
 *     pipeline_policy.c  who may fall behind, and what a persistent failure leads to
 *     pipeline_report.c  what the reader is told
 */
#ifndef ENGINE_PIPELINE_INTERNAL_H
#define ENGINE_PIPELINE_INTERNAL_H

#include "engine/pipeline.h"

enum {
    PIPELINE_ASK_AGAIN_US = 200000, /* for what could not be done, and nobody tells when */
    PIPELINE_ASK_SOON_US = 10000,   /* for what was asked for, and has no answer yet */
};

/* ---- pipeline.c ---- */

/* It delivers nothing any more until the reader has it idle. `lost`: it goes on by itself then. */
void pipeline_fail(struct pipeline *pipeline, bool lost, const struct fan_error *error);

/* ---- pipeline_build.c ---- */

enum fan_status pipeline_build(struct pipeline *pipeline, const struct pipeline_setup *setup,
                               struct fan_error *reterr) FAN_MUST_CHECK;

/* ---- pipeline_policy.c ---- */

void pipeline_act_on_troubles(struct pipeline *pipeline, int64_t now_us);
/* A target that nobody waits for, and that does not answer, goes on out of its backlog. Returns when
 * to look again. */
int64_t pipeline_divert_laggards(struct pipeline *pipeline, int64_t now_us);
/* Those that hold the current batch up although they need not are diverted. */
void pipeline_divert_holders(struct pipeline *pipeline, int64_t now_us);
/* For the slot's guard: everything is kept elsewhere, or given up. */
void pipeline_divert_all(struct pipeline *pipeline, enum backlog_kind kind);

/* ---- pipeline_report.c ---- */

void pipeline_report(struct pipeline *pipeline);

#endif
