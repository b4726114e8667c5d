/*
 * reader_persist.h - what a reader has written to the store, and when.
 *
 * A job holds, in one transaction: the checkpoints that moved, states of pipelines that changed,
 * runs of drops, and the acknowledgement that all of these allow.
 */
#ifndef ENGINE_READER_PERSIST_H
#define ENGINE_READER_PERSIST_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/reader.h"

/* Whether there is something that the store does not have. */
bool reader_persist_is_due(const struct reader *reader);

/* Starts a job if one is due, none is under way, and the last one is long enough ago. */
void reader_persist_begin(struct reader *reader, int64_t now_us);

/* Takes the result of the job, if it has come. */
void reader_persist_finish(struct reader *reader, int64_t now_us);

#endif
