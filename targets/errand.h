/*
 * errand.h - one blocking call on a thread of its own, for calls that nothing ends early: looking a
 * name up, a library that connects.
 *
 * Whoever sent it waits for the descriptor beside whatever else it waits for. One that loses
 * interest drops the errand, and the thread ends by itself when the call has returned.
 *
 * Ownership:  the work is shared by both sides; the last one that lets go releases it.
 * Threading:  `run` and perhaps `release` on the thread; everything else by one other thread.
 * Limits:     a thread an errand: keep one that hangs, and do not send a second.
 */
#ifndef TARGETS_ERRAND_H
#define TARGETS_ERRAND_H

#include "base/status.h"

struct errand;

typedef void errand_call(void *work);

/* Takes `work` unless it fails: FAN_RETRY, no thread, no memory, no descriptor. `name`: of the
 * thread. */
enum fan_status errand_start(const char *name, errand_call *run, errand_call *release, void *work,
                             struct errand **ret_errand, struct fan_error *reterr) FAN_MUST_CHECK;

/* Readable for ever once the call has returned. */
int errand_descriptor(const struct errand *errand);

/* The work, of an errand whose descriptor is readable. */
void *errand_work(struct errand *errand);

/* Accepts NULL. */
void errand_drop(struct errand *errand);

#endif
