/*
 * verbs.h - the thread that runs handlers which wait, one after the other.
 *
 * A verb waits for its effect, up to ten seconds. It runs here so that it holds no other request: a
 * probe that goes unanswered because somebody stops a pipeline would have the engine killed.
 *
 *     verbs_create -> { verbs_post ... the descriptor becomes readable ... verbs_take_done }*
 *                  -> verbs_stop -> verbs_take_done -> verbs_destroy
 *
 * Ownership:  jobs are borrowed from verbs_post() until verbs_take_done() gives them back.
 * Threading:  all functions on one thread at a time; `run` is called on the thread "api-verb",
 *             ordered behind verbs_post() and before verbs_take_done().
 * Limits:     VERBS_MAX jobs wait or run; a job that could not begin within VERBS_PATIENCE_US is
 *             given back without having run: who asked would not wait for its end.
 */
#ifndef API_VERBS_H
#define API_VERBS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { VERBS_MAX = 8, VERBS_PATIENCE_US = 15000000 };

struct verb_job {
    struct verb_job *next; /* of the queue that it is in */
    void (*run)(struct verb_job *job);
    int64_t posted_us;
    bool ran; /* set when it is given back */
};

struct verbs;

/* `done_fd`, an eventfd, is borrowed and written to when a job is done. */
enum fan_status verbs_create(int done_fd, struct verbs **ret_verbs,
                             struct fan_error *reterr) FAN_MUST_CHECK;

/* False: too many wait already. */
bool verbs_post(struct verbs *verbs, struct verb_job *job) FAN_MUST_CHECK;

/* The jobs that are done, in a list by `next`; NULL: none. */
struct verb_job *verbs_take_done(struct verbs *verbs);

/* Waits for the job that runs; those behind it are done without having run. Accepts NULL. */
void verbs_stop(struct verbs *verbs);

/* After verbs_stop(). Accepts NULL. */
void verbs_destroy(struct verbs *verbs);

#endif
