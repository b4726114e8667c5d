/*
 * guard.h - watches how much WAL the slot of one source makes the primary keep.
 *
 * At the soft limit it warns. At the hard limit it takes the conf's steps, one after the other,
 * each given some time to show in the next sample; below it again it starts anew.
 *
 *     spill, detach   pipelines of which something waits and has not moved for some seconds go
 *                     into their spill, or are given up with gap rows, whatever state they are in:
 *                     a paused one delivers nothing, and holds nothing either
 *     stop            the source ends its session; the slot stays, and the WAL still grows
 *     drop_slot       the engine is told to drop the slot
 *
 * Threading:  the source's thread.
 */
#ifndef ENGINE_GUARD_H
#define ENGINE_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/settings.h"
#include "sources/source.h"

struct reader;

struct guard {
    const struct settings_guard *settings; /* borrowed; NULL: none */
    bool soft;                             /* over the soft limit, and said */
    size_t step;                           /* the next one of settings->steps */
    int64_t step_at_us;                    /* not before */
    bool drop_slot;                        /* the engine is to drop the slot */
};

/* Looks at the last sample of the source. */
void guard_step(struct guard *guard, struct reader *reader, int64_t now_us);

#endif
