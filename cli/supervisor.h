/*
 * supervisor.h - what the service manager is told of a running engine, and when.
 *
 * READY once the engine has started, whether or not its primary answers: a database that is away is
 * waited for, and is no reason to fail the unit. STATUS when it changes. WATCHDOG twice within the
 * manager's patience, and only while engine_answers(): the main thread is in its loop, and so is
 * every thread that the slot depends on. A manager that hears nothing ends the process, which loses
 * nothing. STOPPING at the end, with as much time as the conf gives to it.
 *
 *     supervisor_open -> supervisor_ready -> supervisor_step* -> supervisor_stopping
 *                     -> supervisor_close
 *
 * Without a manager (no NOTIFY_SOCKET) all of it does nothing.
 *
 * Threading:  the main thread.
 * Errors:     what cannot be told is logged, once until it can be told again; the engine runs on.
 */
#ifndef CLI_SUPERVISOR_H
#define CLI_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/notify.h"
#include "engine/engine.h"

struct supervisor {
    struct notify notify;
    int64_t interval_us; /* between two looks; 0: nobody listens */
    int64_t look_at_us;
    bool unheard; /* the last message did not get through */
    bool stuck;   /* a thread did not answer at the last look */
    char status[NOTIFY_TEXT_MAX / 2];
};

enum fan_status supervisor_open(const struct notify_environment *environment,
                                struct supervisor *ret_supervisor,
                                struct fan_error *reterr) FAN_MUST_CHECK;
void supervisor_ready(struct supervisor *supervisor, struct engine *engine, int64_t now_us);
/* Does what is due, and returns after how many milliseconds to call it again; -1: never. */
int supervisor_step(struct supervisor *supervisor, struct engine *engine, int64_t now_us);
void supervisor_stopping(struct supervisor *supervisor, int64_t timeout_us);
/* Accepts one that was closed. */
void supervisor_close(struct supervisor *supervisor);

#endif
