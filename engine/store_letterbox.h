/*
 * store_letterbox.h - the letterbox of the product: jobs run on the store thread.
 *
 * It says when the dead letters come near one of their caps, and turns those that are too old into
 * gap rows.
 *
 * Threading:  as letterbox.h.
 * Ownership:  the keeper is borrowed and outlives it.
 */
#ifndef ENGINE_STORE_LETTERBOX_H
#define ENGINE_STORE_LETTERBOX_H

#include <stdatomic.h>

#include "engine/keeper.h"
#include "engine/letterbox.h"

struct store_letterbox {
    struct letterbox base; /* first */
    struct keeper *keeper;
    struct deadletter_caps caps;
    void (*removed)(void *context);
    void *context;
    bool near_cap; /* and said so; the store thread's */
    struct keeper_job expiry;
    atomic_bool expiring; /* that job is posted */
    _Atomic int64_t expire_at_us;
};

/* `removed` is called on the store thread when letters have gone that were not delivered: pipelines
 * are to be stepped. */
void store_letterbox_init(struct store_letterbox *letterbox, struct keeper *keeper,
                          const struct deadletter_caps *caps, void (*removed)(void *context),
                          void *context);

/* Somebody has removed letters from the store that were not delivered. Any thread. */
void store_letterbox_note_removed(struct store_letterbox *letterbox);

/* Posts the job that expires letters when it is time for it. Any thread, now and then. */
void store_letterbox_look(struct store_letterbox *letterbox, int64_t now_us);

#endif
