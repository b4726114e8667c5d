/*
 * One batch on its way to an answering target. Property: every event gets one fate, the poison ones
 * and only they are convicted, and events of a key reach the target in their order. Oracle: the
 * target's own log of what it took.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "engine/courier.h"
#include "model/change.h"
#include "tests/unit/suite.h"

enum { EVENTS_MAX = 10000, OPEN_MAX = 64 };

/* The far side: what it answers to a request is up to `respond`. */
struct far {
    struct target base;
    struct batch *batches[OPEN_MAX]; /* open requests, oldest first */
    struct answer *answers[OPEN_MAX];
    size_t open;
    size_t requests;
    size_t most_open;
    uint32_t took[EVENTS_MAX * 2]; /* events that it took, in order */
    size_t took_count;
    bool poison[EVENTS_MAX];
    enum fan_status refuse; /* of request() itself */
};

static struct far far;
static struct courier courier;
static struct batch_pool *pool;
static struct rng rng;
static bool convicted[EVENTS_MAX];
static size_t convictions;
static bool keeps_none;
static bool parked_keys[EVENTS_MAX];
static bool parking;
static size_t parked_events;
static size_t keys_count;
static size_t txn_events; /* events of a transaction; 0: all are of one */

static enum fan_status request(struct target *target, struct batch *batch, struct answer *answer,
                               int64_t now_us, struct fan_error *reterr)
{
    (void)target; /* there is one */
    (void)now_us; /* nothing depends on it */
    if (far.refuse != FAN_OK) {
        return fan_fail(reterr, far.refuse, "scripted: request");
    }
    ck_assert_uint_lt(far.open, OPEN_MAX);
    far.batches[far.open] = batch_ref(batch);
    far.answers[far.open++] = answer;
    far.requests++;
    far.most_open = far.open > far.most_open ? far.open : far.most_open;
    return FAN_OK;
}

static const struct target_type far_type = {.name = "far", .request = request};

static uint32_t event_of(const struct batch *batch, size_t index)
{
    return (uint32_t)batch->events[index].position.seq;
}

/* Answers the oldest open request with `status`, or as its events deserve when FAN_AGAIN. */
static void answer_at(size_t at, enum fan_status status, int64_t now_us)
{
    struct batch *batch = far.batches[at];
    struct answer *answer = far.answers[at];
    memmove(&far.batches[at], &far.batches[at + 1], (far.open - at - 1) * sizeof(batch));
    memmove(&far.answers[at], &far.answers[at + 1], (far.open - at - 1) * sizeof(answer));
    far.open--;
    if (status == FAN_AGAIN) {
        status = FAN_OK;
        for (size_t index = 0; index < batch->events_count; index++) {
            status = far.poison[event_of(batch, index)] ? FAN_POISON : status;
        }
    }
    answer->status = status;
    if (status == FAN_OK) {
        for (size_t index = 0; index < batch->events_count; index++) {
            far.took[far.took_count++] = event_of(batch, index);
        }
    } else {
        (void)fan_fail(&answer->error, status, "scripted: answer"); /* the text is wanted */
    }
    courier_answer(&courier, answer, &rng, now_us);
    batch_unref(batch);
}

/* Until nothing is open, everything answered as it deserves. */
static void run(int64_t now_us)
{
    courier_send(&courier, &rng, now_us);
    while (far.open > 0) {
        answer_at((size_t)rng_below(&rng, far.open), FAN_AGAIN, now_us);
        courier_send(&courier, &rng, now_us);
    }
}

static bool is_parked(void *context, const struct batch *batch, size_t event)
{
    (void)context; /* there is one courier */
    return parking && parked_keys[event_of(batch, event) % keys_count];
}

static bool convict(void *context, const struct batch *batch, size_t event, uint32_t attempts,
                    const struct fan_error *error)
{
    (void)context; /* there is one courier */
    ck_assert_uint_ge(attempts, 1);
    ck_assert_str_ne(error->text, "");
    if (keeps_none) {
        return false;
    }
    ck_assert(!convicted[event_of(batch, event)]);
    convicted[event_of(batch, event)] = true;
    parked_keys[event_of(batch, event) % keys_count] = true;
    convictions++;
    return true;
}

static void parked(void *context, const struct batch *batch, size_t event)
{
    (void)context; /* there is one courier */
    (void)batch;
    (void)event;
    parked_events++;
}

/* What the courier said about its waits, the last one, and how many. */
struct waited {
    size_t first;
    size_t last;
    size_t count;
    uint32_t failures;
    int64_t wait_us;
};
static struct waited waited;
static size_t waits_count;

static void waits(void *context, size_t first, size_t last, size_t count, uint32_t failures,
                  int64_t wait_us)
{
    (void)context; /* there is one courier */
    waited = (struct waited){first, last, count, failures, wait_us};
    waits_count++;
}

static bool holds; /* may_send() says no */

static bool may_send(void *context)
{
    (void)context; /* there is one courier */
    return !holds;
}

static void open_courier(size_t lanes)
{
    holds = false;
    memset(&far, 0, sizeof(far));
    far.base.type = &far_type;
    memset(convicted, 0, sizeof(convicted));
    memset(parked_keys, 0, sizeof(parked_keys));
    convictions = parked_events = 0;
    parking = keeps_none = false;
    waits_count = 0;
    keys_count = 7;
    txn_events = 0;
    rng = rng_seeded(11);
    pool = batch_pool_create(1, true, 2, 1 << 20);
    ck_assert_ptr_nonnull(pool);
    const struct courier_hooks hooks = {.is_parked = is_parked,
                                        .convict = convict,
                                        .parked = parked,
                                        .may_send = may_send,
                                        .waits = waits};
    const struct backoff backoff = {.base_us = 1000, .max_us = 30000};
    struct fan_error error;
    ck_assert_int_eq(courier_init(&courier, &far.base, 0, pool, 0, lanes, backoff, hooks, &error),
                     FAN_OK);
}

static void close_courier(void)
{
    for (size_t at = 0; at < far.open; at++) {
        batch_unref(far.batches[at]);
    }
    far.open = 0;
    courier_release(&courier);
    batch_pool_destroy(pool);
}

/* Event i has the key i % keys_count; those that `barrier` says have none. */
static void begin(size_t count, size_t first, size_t barrier_each)
{
    struct batch *batch = batch_pool_take(pool);
    ck_assert_ptr_nonnull(batch);
    for (size_t index = 0; index < count; index++) {
        char payload[32];
        char label[64];
        int size = snprintf(payload, sizeof(payload), "{\"n\":%zu}", index);
        bool barrier = barrier_each != 0 && index % barrier_each == 0;
        int label_size = snprintf(label, sizeof(label), "public%ct%c{\"id\":%zu}%c", 0, 0,
                                  index % keys_count, 0);
        if (barrier) {
            label_size = snprintf(label, sizeof(label), "public%ct%c%c", 0, 0, 0);
        }
        uint64_t txn = txn_events == 0 ? 0 : index / txn_events;
        const struct batch_event event = {.position = {{10 + txn}, (int64_t)index},
                                          .op = CHANGE_INSERT};
        ck_assert_int_eq(batch_append(batch, &event, 0, (const uint8_t *)payload, (size_t)size,
                                      (const uint8_t *)label, (size_t)label_size),
                         FAN_OK);
    }
    struct fan_error error;
    ck_assert_int_eq(courier_begin(&courier, batch, first, &error), FAN_OK);
    batch_unref(batch);
}

static void check_key_order(void)
{
    int64_t last[EVENTS_MAX];
    memset(last, -1, sizeof(last));
    for (size_t at = 0; at < far.took_count; at++) {
        uint32_t key = far.took[at] % (uint32_t)keys_count;
        ck_assert_int_gt((int64_t)far.took[at], last[key]);
        last[key] = far.took[at];
    }
}

START_TEST(courier_one_lane_sends_the_batch_as_it_is)
{
    open_courier(1);
    begin(100, 0, 0);
    courier_send(&courier, &rng, 1);
    ck_assert_uint_eq(far.requests, 1);
    ck_assert_ptr_eq(far.batches[0], courier.batch);
    ck_assert(!courier_done(&courier));
    answer_at(0, FAN_OK, 2);
    ck_assert(courier_done(&courier));
    courier_end(&courier);
    ck_assert(courier_idle(&courier));
    close_courier();
}
END_TEST

START_TEST(courier_events_before_the_first_are_not_sent)
{
    open_courier(1);
    begin(10, 4, 0);
    run(1);
    ck_assert_uint_eq(far.took_count, 6);
    ck_assert_uint_eq(far.took[0], 4);
    close_courier();
}
END_TEST

START_TEST(courier_retry_sends_the_same_again_after_a_wait)
{
    open_courier(1);
    begin(10, 0, 0);
    courier_send(&courier, &rng, 1);
    answer_at(0, FAN_RETRY, 10);
    ck_assert_uint_eq(courier.attempts, 1);
    courier_send(&courier, &rng, 11);
    ck_assert_uint_eq(far.open, 0);
    courier_send(&courier, &rng, courier.retry_at_us);
    ck_assert_uint_eq(far.open, 1);
    ck_assert_uint_eq(far.batches[0]->events_count, 10);
    answer_at(0, FAN_OK, 5000);
    ck_assert_uint_eq(courier.attempts, 0);
    ck_assert_uint_eq(convictions, 0);
    close_courier();
}
END_TEST

/* E8 of features.md. The jitter takes at most half of a wait: backoff.h. */
START_TEST(courier_tells_waits_that_grow_up_to_the_cap_and_honours_them)
{
    open_courier(1);
    begin(10, 4, 0);
    int64_t now_us = 1;
    int64_t whole_us = 1000;
    for (uint32_t failure = 1; failure <= 8; failure++) {
        courier_send(&courier, &rng, now_us);
        ck_assert_uint_eq(far.open, 1);
        answer_at(0, FAN_RETRY, now_us);
        ck_assert_uint_eq(waits_count, failure);
        ck_assert_uint_eq(waited.failures, failure);
        ck_assert_uint_eq(waited.first, 4);
        ck_assert_uint_eq(waited.last, 9);
        ck_assert_uint_eq(waited.count, 6);
        ck_assert_int_ge(waited.wait_us, whole_us / 2);
        ck_assert_int_le(waited.wait_us, whole_us);
        courier_send(&courier, &rng, now_us + waited.wait_us - 1);
        ck_assert_uint_eq(far.open, 0);
        now_us += waited.wait_us;
        whole_us = 2 * whole_us < 30000 ? 2 * whole_us : 30000;
    }
    run(now_us);
    ck_assert(courier_done(&courier));
    ck_assert_uint_eq(waits_count, 8);
    close_courier();
}
END_TEST

START_TEST(courier_tells_the_wait_that_the_target_asked_for)
{
    open_courier(1);
    begin(10, 0, 0);
    courier_send(&courier, &rng, 1);
    far.answers[0]->retry_after_us = 77000;
    answer_at(0, FAN_RETRY, 10);
    ck_assert_int_eq(waited.wait_us, 77000);
    courier_send(&courier, &rng, 77009);
    ck_assert_uint_eq(far.open, 0);
    courier_send(&courier, &rng, 77010);
    ck_assert_uint_eq(far.open, 1);
    close_courier();
}
END_TEST

START_TEST(courier_half_that_fails_is_told_with_its_own_events_and_count)
{
    open_courier(1);
    begin(10, 0, 0);
    courier_send(&courier, &rng, 1);
    answer_at(0, FAN_RETRY, 1);
    courier_send(&courier, &rng, courier.retry_at_us);
    answer_at(0, FAN_POISON, courier.retry_at_us);
    courier_send(&courier, &rng, courier.retry_at_us);
    answer_at(0, FAN_RETRY, courier.retry_at_us);
    ck_assert_uint_eq(waits_count, 2); /* halving is no wait */
    ck_assert_uint_eq(waited.failures, 1);
    ck_assert_uint_eq(waited.first, 0);
    ck_assert_uint_eq(waited.last, 4);
    ck_assert_uint_eq(waited.count, 5);
    close_courier();
}
END_TEST

/* K3 of features.md: at most 90 sends. */
START_TEST(courier_three_poison_events_of_ten_thousand_take_few_sends)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        open_courier(1);
        rng = rng_seeded(seed * 7919 + 3);
        for (int at = 0; at < 3;) {
            size_t event = (size_t)rng_below(&rng, EVENTS_MAX);
            at += !far.poison[event];
            far.poison[event] = true;
        }
        begin(EVENTS_MAX, 0, 0);
        run(1);
        ck_assert(courier_done(&courier));
        ck_assert_uint_eq(convictions, 3);
        ck_assert_uint_eq(far.took_count, EVENTS_MAX - 3);
        ck_assert_uint_le(courier.sends, 90);
        for (size_t event = 0; event < EVENTS_MAX; event++) {
            ck_assert_int_eq(courier.fates[event],
                             far.poison[event] ? FATE_POISON : FATE_DELIVERED);
        }
        close_courier();
    }
}
END_TEST

START_TEST(courier_every_place_of_a_poison_event_is_found)
{
    for (size_t count = 1; count <= 33; count++) {
        for (size_t place = 0; place < count; place++) {
            open_courier(1);
            far.poison[place] = true;
            begin(count, 0, 0);
            run(1);
            ck_assert(courier_done(&courier));
            ck_assert(convicted[place]);
            ck_assert_uint_eq(convictions, 1);
            ck_assert_uint_eq(far.took_count, count - 1);
            close_courier();
        }
    }
}
END_TEST

/* What nobody keeps is neither settled nor passed, and goes out again once the target is mended. */
START_TEST(courier_poison_that_nobody_keeps_stays_pending)
{
    open_courier(1);
    keeps_none = true;
    far.poison[5] = true;
    begin(16, 0, 0);
    for (int64_t now_us = 1; !courier.fatal; now_us += 100000) {
        ck_assert_int_lt(now_us, 100000000);
        courier_send(&courier, &rng, now_us);
        if (far.open > 0) {
            answer_at(0, FAN_AGAIN, now_us);
        }
    }
    ck_assert(!courier_done(&courier) && courier_has_pending(&courier));
    ck_assert_int_eq(courier.fates[5], FATE_PENDING);
    far.poison[5] = false;
    courier_encourage(&courier);
    run(200000000);
    ck_assert(courier_done(&courier));
    ck_assert_uint_eq(far.took_count, 16);
    ck_assert_int_eq(courier.fates[5], FATE_DELIVERED);
    ck_assert_uint_eq(convictions, 0);
    close_courier();
}
END_TEST

/* A failure that passes in the middle of the halving convicts nobody more. */
START_TEST(courier_passing_failures_while_halving_convict_nobody)
{
    open_courier(1);
    far.poison[5] = true;
    begin(16, 0, 0);
    int64_t now_us = 1;
    for (int turn = 0; !courier_done(&courier); turn++) {
        ck_assert_int_lt(turn, 1000);
        now_us += 100000;
        courier_send(&courier, &rng, now_us);
        if (far.open > 0) {
            answer_at(0, turn % 2 == 0 ? FAN_RETRY : FAN_AGAIN, now_us);
        }
    }
    ck_assert_uint_eq(convictions, 1);
    ck_assert(convicted[5]);
    ck_assert_uint_eq(far.took_count, 15);
    close_courier();
}
END_TEST

START_TEST(courier_lanes_keep_the_order_of_each_key)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        open_courier(4);
        rng = rng_seeded(seed + 1);
        keys_count = 1 + (size_t)rng_below(&rng, 40);
        far.poison[rng_below(&rng, 200)] = true;
        begin(200, 0, seed % 3 == 0 ? 17 : 0);
        run(1);
        ck_assert(courier_done(&courier));
        ck_assert_uint_eq(far.took_count, 199);
        check_key_order();
        ck_assert_uint_le(far.most_open, 4);
        close_courier();
    }
}
END_TEST

START_TEST(courier_lanes_are_sent_beside_each_other)
{
    open_courier(4);
    keys_count = 100;
    begin(200, 0, 0);
    courier_send(&courier, &rng, 1);
    ck_assert_uint_eq(far.open, 4);
    close_courier();
}
END_TEST

START_TEST(courier_barrier_waits_for_everything_before_it)
{
    open_courier(4);
    keys_count = 100;
    begin(60, 0, 30); /* events 0 and 30 have no key */
    courier_send(&courier, &rng, 1);
    ck_assert_uint_eq(far.open, 1);
    answer_at(0, FAN_OK, 1);
    courier_send(&courier, &rng, 1);
    while (far.open > 1) {
        answer_at(0, FAN_OK, 1);
        courier_send(&courier, &rng, 1);
        ck_assert_uint_eq(courier.segment_end, 30);
    }
    answer_at(0, FAN_OK, 1);
    courier_send(&courier, &rng, 1);
    ck_assert_uint_eq(far.open, 1);
    ck_assert_uint_eq(event_of(far.batches[0], 0), 30);
    run(1);
    ck_assert(courier_done(&courier));
    close_courier();
}
END_TEST

START_TEST(courier_verdicts_settle_the_other_events)
{
    open_courier(1);
    begin(10, 0, 0);
    courier_send(&courier, &rng, 1);
    struct answer *answer = far.answers[0];
    answer->failed = calloc(2, sizeof(*answer->failed));
    ck_assert_ptr_nonnull(answer->failed);
    answer->failed[0] = (struct verdict){.event = 3, .poison = true, .text = "no"};
    answer->failed[1] = (struct verdict){.event = 7, .poison = false, .text = "later"};
    answer->failed_count = 2;
    (void)fan_fail(&answer->error, FAN_RETRY, "2 events failed"); /* the text is wanted */
    answer_at(0, FAN_OK, 1);
    ck_assert(convicted[3] && convictions == 1);
    ck_assert(!courier_done(&courier));
    courier_send(&courier, &rng, courier.retry_at_us);
    ck_assert_uint_eq(far.open, 1);
    ck_assert_uint_eq(far.batches[0]->events_count, 1);
    ck_assert_uint_eq(event_of(far.batches[0], 0), 7);
    answer_at(0, FAN_OK, 99999);
    ck_assert(courier_done(&courier));
    close_courier();
}
END_TEST

START_TEST(courier_later_events_of_a_convicted_key_are_parked)
{
    open_courier(1);
    parking = true;
    keys_count = 5;
    far.poison[2] = true;
    begin(20, 0, 0);
    run(1);
    ck_assert(courier_done(&courier));
    ck_assert_uint_eq(convictions, 1);
    /* 7, 12 and 17 have its key. Which of them were sent before it was convicted does not matter
     * to the receiver, because nothing of a refused request counts. */
    ck_assert_uint_eq(parked_events, 3);
    ck_assert_uint_eq(far.took_count, 16);
    close_courier();
}
END_TEST

/* Every open request holds whole transactions only. */
static void expect_whole(void)
{
    for (size_t at = 0; at < far.open; at++) {
        const struct batch *batch = far.batches[at];
        ck_assert_uint_eq(event_of(batch, 0) % txn_events, 0);
        ck_assert_uint_eq((event_of(batch, batch->events_count - 1) + 1) % txn_events, 0);
    }
}

START_TEST(courier_whole_transactions_are_convicted_and_parked_as_one)
{
    for (size_t poison = 0; poison < 60; poison++) {
        open_courier(1);
        courier.whole = true;
        parking = true;
        txn_events = 3;
        keys_count = 100; /* nobody is parked in here */
        begin(60, 0, 0);
        far.poison[poison] = true;
        courier_send(&courier, &rng, 1);
        while (far.open > 0) {
            expect_whole();
            answer_at(0, FAN_AGAIN, 1);
            courier_send(&courier, &rng, 1);
        }
        ck_assert(courier_done(&courier));
        ck_assert_uint_eq(convictions, 3);
        ck_assert_uint_eq(far.took_count, 57);
        for (size_t event = 0; event < 60; event++) {
            ck_assert(convicted[event] == (event / 3 == poison / 3));
        }
        courier_end(&courier);
        begin(120, 0, 0); /* events 100 to 119 have the keys of 0 to 19, and go with their own */
        size_t before = far.took_count;
        run(1);
        ck_assert_uint_ge(parked_events, 3);
        ck_assert_uint_eq(parked_events % 3, 0);
        ck_assert_uint_eq(far.took_count - before + parked_events, 120);
        courier_end(&courier);
        close_courier();
    }
}
END_TEST

/* A range that is parked whole makes way for the next one, which is looked at, too. */
START_TEST(courier_half_behind_a_parked_one_is_parked)
{
    open_courier(1);
    parking = true;
    keys_count = 1;
    far.poison[0] = true;
    begin(4, 0, 0);
    run(1);
    ck_assert(courier_done(&courier));
    ck_assert_uint_eq(convictions, 1);
    ck_assert_uint_eq(parked_events, 3);
    ck_assert_uint_eq(far.took_count, 0);
    close_courier();
}
END_TEST

START_TEST(courier_fatal_sends_nothing_more)
{
    open_courier(1);
    begin(10, 0, 0);
    courier_send(&courier, &rng, 1);
    answer_at(0, FAN_FATAL, 1);
    ck_assert(courier.fatal);
    courier_send(&courier, &rng, 100000000);
    ck_assert_uint_eq(far.open, 0);
    courier_encourage(&courier);
    courier_send(&courier, &rng, 100000001);
    ck_assert_uint_eq(far.open, 1);
    close_courier();
}
END_TEST

START_TEST(courier_abandoned_requests_are_pending_again)
{
    open_courier(2);
    keys_count = 50;
    begin(100, 0, 0);
    courier_send(&courier, &rng, 1);
    ck_assert_uint_eq(far.open, 2);
    answer_at(0, FAN_OK, 1);
    size_t took = far.took_count;
    batch_unref(far.batches[0]);
    far.open = 0;
    courier_abandon(&courier);
    struct batch *rest = courier_rest(&courier);
    ck_assert_ptr_nonnull(rest);
    ck_assert_uint_eq(rest->events_count, 100 - took);
    batch_unref(rest);
    run(1);
    ck_assert(courier_done(&courier));
    ck_assert_uint_eq(far.took_count, 100);
    check_key_order();
    close_courier();
}
END_TEST

START_TEST(courier_no_room_is_no_failure)
{
    open_courier(1);
    begin(3, 0, 0);
    far.refuse = FAN_AGAIN;
    courier_send(&courier, &rng, 1);
    ck_assert_uint_eq(courier.attempts, 0);
    ck_assert_int_eq(courier.retry_at_us, 0);
    far.refuse = FAN_OK;
    run(2);
    ck_assert(courier_done(&courier));
    close_courier();
}
END_TEST

/* Nothing goes out while the owner says no: not the first request, nor what follows a conviction. */
START_TEST(courier_sends_only_when_it_may)
{
    open_courier(1);
    far.poison[0] = true;
    begin(4, 0, 0);
    holds = true;
    courier_send(&courier, &rng, 1);
    ck_assert_uint_eq(far.open, 0);
    holds = false;
    courier_send(&courier, &rng, 1);
    ck_assert_uint_eq(far.open, 1);
    ck_assert(!far.answers[0]->again);
    while (convictions == 0) {
        answer_at(0, FAN_AGAIN, 2);
        holds = convictions > 0;
        courier_send(&courier, &rng, 2);
    }
    ck_assert_uint_eq(far.open, 0);
    ck_assert_uint_eq(far.took_count, 0);
    holds = false;
    run(3);
    ck_assert(courier_done(&courier));
    ck_assert_uint_eq(far.took_count, 3);
    courier_end(&courier);
    courier.again = true;
    begin(1, 0, 0);
    courier_send(&courier, &rng, 4);
    ck_assert(far.answers[0]->again);
    answer_at(0, FAN_OK, 5);
    close_courier();
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("courier");
    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, courier_one_lane_sends_the_batch_as_it_is);
    tcase_add_test(cases, courier_events_before_the_first_are_not_sent);
    tcase_add_test(cases, courier_retry_sends_the_same_again_after_a_wait);
    tcase_add_test(cases, courier_tells_waits_that_grow_up_to_the_cap_and_honours_them);
    tcase_add_test(cases, courier_tells_the_wait_that_the_target_asked_for);
    tcase_add_test(cases, courier_half_that_fails_is_told_with_its_own_events_and_count);
    tcase_add_test(cases, courier_three_poison_events_of_ten_thousand_take_few_sends);
    tcase_add_test(cases, courier_every_place_of_a_poison_event_is_found);
    tcase_add_test(cases, courier_poison_that_nobody_keeps_stays_pending);
    tcase_add_test(cases, courier_passing_failures_while_halving_convict_nobody);
    tcase_add_test(cases, courier_lanes_keep_the_order_of_each_key);
    tcase_add_test(cases, courier_lanes_are_sent_beside_each_other);
    tcase_add_test(cases, courier_barrier_waits_for_everything_before_it);
    tcase_add_test(cases, courier_verdicts_settle_the_other_events);
    tcase_add_test(cases, courier_later_events_of_a_convicted_key_are_parked);
    tcase_add_test(cases, courier_whole_transactions_are_convicted_and_parked_as_one);
    tcase_add_test(cases, courier_half_behind_a_parked_one_is_parked);
    tcase_add_test(cases, courier_fatal_sends_nothing_more);
    tcase_add_test(cases, courier_abandoned_requests_are_pending_again);
    tcase_add_test(cases, courier_no_room_is_no_failure);
    tcase_add_test(cases, courier_sends_only_when_it_may);
    return suite_run("courier", cases);
}
