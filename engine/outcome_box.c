#include "engine/outcome_box.h"

#include <stdlib.h>

#include "base/assert.h"

static void outcome_box_post(struct outcome_sink *sink, const struct outcome *outcome)
{
    struct outcome_box *box = (struct outcome_box *)sink;
    FAN_ASSERT(outcome->target < box->count);
    struct outcome_slot *slot = &box->slots[outcome->target];
    (void)pthread_mutex_lock(&box->lock); /* cannot fail: a plain mutex that we do not hold */
    switch (outcome->kind) {
    case OUTCOME_SETTLED:
        slot->settled = true;
        slot->checkpoint = outcome->checkpoint;
        break;
    case OUTCOME_LOST:
        slot->lost = true;
        slot->error = outcome->error;
        break;
    case OUTCOME_FATAL:
        slot->fatal = true;
        slot->error = outcome->error;
        break;
    case OUTCOME_WAKE:
        break;
    }
    (void)pthread_mutex_unlock(&box->lock); /* cannot fail: we hold it */
    atomic_store_explicit(&box->news, true, memory_order_release);
    box->wake(box->wake_context);
}

static void outcome_box_answer(struct outcome_sink *sink, struct answer *answer)
{
    struct outcome_box *box = (struct outcome_box *)sink;
    FAN_ASSERT(answer->target < box->count);
    struct outcome_slot *slot = &box->slots[answer->target];
    answer->next = NULL;
    (void)pthread_mutex_lock(&box->lock); /* cannot fail: a plain mutex that we do not hold */
    if (slot->answers_last == NULL) {
        slot->answers = answer;
    } else {
        slot->answers_last->next = answer;
    }
    slot->answers_last = answer;
    (void)pthread_mutex_unlock(&box->lock); /* cannot fail: we hold it */
    atomic_store_explicit(&box->news, true, memory_order_release);
    box->wake(box->wake_context);
}

enum fan_status outcome_box_init(struct outcome_box *box, size_t targets_count,
                                 void (*wake)(void *context), void *wake_context,
                                 struct fan_error *reterr)
{
    *box = (struct outcome_box){.sink = {.post = outcome_box_post, .answer = outcome_box_answer},
                                .wake = wake,
                                .wake_context = wake_context,
                                .count = targets_count};
    box->slots = calloc(targets_count, sizeof(*box->slots));
    if (box->slots == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not allocate outcomes: out of memory");
    }
    (void)pthread_mutex_init(&box->lock, NULL); /* cannot fail with default attributes */
    return FAN_OK;
}

void outcome_box_release(struct outcome_box *box)
{
    free(box->slots);
    *box = (struct outcome_box){0};
}

bool outcome_box_news(struct outcome_box *box)
{
    return atomic_exchange_explicit(&box->news, false, memory_order_acq_rel);
}

struct outcome_slot outcome_box_take(struct outcome_box *box, size_t target)
{
    (void)pthread_mutex_lock(&box->lock); /* cannot fail: a plain mutex that we do not hold */
    struct outcome_slot slot = box->slots[target];
    box->slots[target] = (struct outcome_slot){0};
    (void)pthread_mutex_unlock(&box->lock); /* cannot fail: we hold it */
    return slot;
}
