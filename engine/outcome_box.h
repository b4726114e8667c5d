/*
 * outcome_box.h - the completion queue between a pipeline's targets and the pipeline.
 *
 * Outcomes of one target coalesce, because the newest settled position stands for all before it,
 * and answers are linked as they are: the box has one place a target and never grows, so posting
 * never blocks and never fails.
 *
 * Threading:  post from any thread; take by the worker that owns the pipeline.
 */
#ifndef ENGINE_OUTCOME_BOX_H
#define ENGINE_OUTCOME_BOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "targets/target.h"

/* What came in for one target since the last take. */
struct outcome_slot {
    bool settled; /* `checkpoint` is new */
    bool lost;
    bool fatal;
    struct target_checkpoint checkpoint;
    struct fan_error error; /* of lost or fatal */
    struct answer *answers; /* oldest first, linked by `next` */
    struct answer *answers_last;
};

struct outcome_box {
    struct outcome_sink sink; /* first: what targets are given */
    void (*wake)(void *context);
    void *wake_context;
    pthread_mutex_t lock;       /* guards the slots */
    struct outcome_slot *slots; /* owned */
    size_t count;
    _Atomic bool news;
};

enum fan_status outcome_box_init(struct outcome_box *box, size_t targets_count,
                                 void (*wake)(void *context), void *wake_context,
                                 struct fan_error *reterr) FAN_MUST_CHECK;
void outcome_box_release(struct outcome_box *box);

/* Whether anything came in; then the slot of each target is taken by outcome_box_take(). */
bool outcome_box_news(struct outcome_box *box);
struct outcome_slot outcome_box_take(struct outcome_box *box, size_t target);

#endif
