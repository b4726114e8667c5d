/*
 * answering.h - a target of the answering kind with what an engine keeps for it, for its tests.
 *
 *     answering_open(&rig, type, options) -> { answering_send | answering_request }* ->
 *     answering_close(&rig)
 *
 * Events are of `public.orders`; the LSN of event i is 0x100 + i.
 */
#ifndef TESTS_UNIT_ANSWERING_H
#define TESTS_UNIT_ANSWERING_H

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "model/change.h"
#include "targets/target.h"

#define SECOND_US INT64_C(1000000)

enum { ANSWERING_SECONDS = 20, ANSWERING_REQUESTS = 4 };

static const struct encode_context answering_encode = {
    .source = "shop", .system_id = "7001", .slot = "pgfan_shop"};

struct answering {
    struct outcome_sink sink; /* first: the target knows its address */
    const struct target_type *type;
    struct target_context context;
    struct target *target;
    struct batch_pool *batches;
    struct answer answers[ANSWERING_REQUESTS + 1];

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool open[ANSWERING_REQUESTS + 1];
    size_t answered;
};

/* An event of a batch; op 0 is a change. */
struct answering_event {
    const char *schema;
    const char *table;
    const char *key;
    const char *body;
    uint8_t op;
};

static inline void answering_post(struct outcome_sink *sink, const struct outcome *outcome)
{
    (void)sink;
    (void)outcome;
    ck_abort_msg("an answering target posts nothing");
}

static inline void answering_take(struct outcome_sink *sink, struct answer *answer)
{
    struct answering *rig = (struct answering *)sink;
    (void)pthread_mutex_lock(&rig->lock);
    ck_assert(rig->open[answer->lane]);
    rig->open[answer->lane] = false;
    rig->answered++;
    (void)pthread_cond_broadcast(&rig->changed);
    (void)pthread_mutex_unlock(&rig->lock);
}

/* Options and context may be changed until answering_start(). */
static inline void answering_init(struct answering *rig, const struct target_type *type)
{
    *rig = (struct answering){
        .sink = {.post = answering_post, .answer = answering_take},
        .type = type,
        .context = {.pipeline = "p",
                    .target = "t",
                    .index = 3,
                    .encode = &answering_encode,
                    .requests_max = ANSWERING_REQUESTS,
                    .deadline_us = 10 * SECOND_US},
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
    };
    rig->context.outcomes = &rig->sink;
    rig->batches = batch_pool_create(1, true, 8, 1 << 20);
    ck_assert_ptr_nonnull(rig->batches);
}

static inline void answering_start(struct answering *rig, const void *options)
{
    struct fan_error error = {0};
    enum fan_status status = rig->type->create(options, &rig->context, &rig->target, &error);
    ck_assert_msg(status == FAN_OK, "%s", error.text);
    status = rig->type->start(rig->target, NULL, &error);
    ck_assert_msg(status == FAN_OK, "%s", error.text);
}

static inline void answering_close(struct answering *rig)
{
    if (rig->target != NULL) {
        rig->type->stop(rig->target);
        rig->type->destroy(rig->target);
        rig->target = NULL;
    }
    for (size_t lane = 0; lane <= ANSWERING_REQUESTS; lane++) {
        free(rig->answers[lane].failed);
        rig->answers[lane].failed = NULL;
    }
    batch_pool_destroy(rig->batches);
    rig->batches = NULL;
}

static inline struct batch *answering_batch(struct answering *rig,
                                            const struct answering_event *events, size_t count)
{
    struct batch *batch = batch_pool_take(rig->batches);
    ck_assert_ptr_nonnull(batch);
    for (size_t at = 0; at < count; at++) {
        const struct answering_event *event = &events[at];
        char label[4096];
        int size = snprintf(label, sizeof(label), "%s%c%s%c%s%c", event->schema, 0, event->table, 0,
                            event->key, 0);
        ck_assert_int_lt(size, (int)sizeof(label));
        const struct batch_event place = {.position = {{0x100 + at}, 1},
                                          .op = event->op != 0 ? event->op : CHANGE_INSERT,
                                          .txn_end = true};
        ck_assert_int_eq(batch_append(batch, &place, 0, (const uint8_t *)event->body,
                                      strlen(event->body), (const uint8_t *)label, (size_t)size),
                         FAN_OK);
    }
    return batch;
}

static inline struct batch *answering_plain(struct answering *rig, size_t count)
{
    struct answering_event events[64];
    ck_assert_uint_le(count, 64);
    for (size_t at = 0; at < count; at++) {
        events[at] = (struct answering_event){"public", "orders", "{\"id\":7}", "{\"n\":1}", 0};
    }
    return answering_batch(rig, events, count);
}

/* Takes over the batch. */
static inline enum fan_status answering_request(struct answering *rig, size_t lane,
                                                struct batch *batch)
{
    struct fan_error error;
    free(rig->answers[lane].failed);
    rig->answers[lane] = (struct answer){.target = 3, .lane = (uint32_t)lane};
    (void)pthread_mutex_lock(&rig->lock);
    rig->open[lane] = true;
    (void)pthread_mutex_unlock(&rig->lock);
    enum fan_status status =
        rig->type->request(rig->target, batch, &rig->answers[lane], clock_monotonic_us(), &error);
    if (status != FAN_OK) {
        rig->open[lane] = false;
    }
    batch_unref(batch);
    return status;
}

static inline const struct answer *answering_wait(struct answering *rig, size_t lane)
{
    struct timespec deadline;
    (void)clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += ANSWERING_SECONDS;
    int result = 0;
    (void)pthread_mutex_lock(&rig->lock);
    while (rig->open[lane] && result == 0) {
        result = pthread_cond_timedwait(&rig->changed, &rig->lock, &deadline);
    }
    bool answered = !rig->open[lane];
    (void)pthread_mutex_unlock(&rig->lock);
    ck_assert_msg(answered, "no answer came");
    return &rig->answers[lane];
}

static inline const struct answer *answering_send(struct answering *rig, struct batch *batch)
{
    ck_assert_int_eq(answering_request(rig, 0, batch), FAN_OK);
    return answering_wait(rig, 0);
}

#endif
