/*
 * One target of a pipeline and what is under way to it. Oracle: outlet.h; counters add up to what
 * was offered.
 */
#include <check.h>

#include "base/count.h"
#include "base/log.h"
#include "tests/unit/engine_fixture.h"

static struct fixture fixture;
static struct outlet *outlet;
static struct batch_pool *pool;
static struct rng rng;

static void setup(void)
{
    fixture_open(&fixture, 4, BUFFER_BLOCK, 4);
    outlet = &fixture.pipeline.outlets[0];
    pool = batch_pool_create(1, 1, 1 << 16);
    rng = rng_seeded(1);
    ck_assert_ptr_nonnull(pool);
}

static void teardown(void)
{
    fixture_close(&fixture);
    batch_pool_destroy(pool);
}

/* A batch of events (commit, 0..count). */
static struct batch *batch_of(uint64_t commit, size_t count)
{
    struct batch *batch = batch_pool_take(pool);
    ck_assert_ptr_nonnull(batch);
    for (size_t seq = 0; seq < count; seq++) {
        ck_assert(batch_reserve_event(batch));
        bytes_append_text(&batch->encoded[0].bytes, "event\n");
        batch->encoded[0].ends[seq] = (uint32_t)batch->encoded[0].bytes.size - 1;
        batch->events[seq] = (struct batch_event){
            .position = {{commit}, (int64_t)seq}, .hold_lsn = {commit}, .op = CHANGE_INSERT};
        batch->events_count++;
    }
    return batch;
}

static enum offer offer(uint64_t commit, size_t count, int64_t now_us)
{
    struct batch *batch = batch_of(commit, count);
    struct fan_error error;
    enum offer answer = outlet_offer(outlet, batch, &rng, now_us, &error);
    batch_unref(batch);
    return answer;
}

static void start_at(uint64_t commit, int64_t seq)
{
    outlet->settled.position = (struct fan_position){{commit}, seq};
    struct fan_error error;
    ck_assert_int_eq(outlet_start(outlet, &error), FAN_OK);
}

static void settle(uint64_t commit, int64_t seq)
{
    struct target_checkpoint checkpoint = {.position = {{commit}, seq}};
    outlet_settle(outlet, &checkpoint, 1);
}

START_TEST(outlet_gets_only_what_it_does_not_have)
{
    start_at(10, 1);
    ck_assert_int_eq(offer(10, 4, 1), OFFER_ACCEPTED);
    ck_assert_uint_eq(fixture.target.events[0], 2);
    ck_assert_uint_eq(count_get(&outlet->counters.already), 2);
    settle(10, 3);
    ck_assert_uint_eq(count_get(&outlet->counters.delivered), 2);
    ck_assert_int_eq(offer(10, 4, 2), OFFER_ACCEPTED);
    ck_assert_uint_eq(fixture.target.batches, 1);
}
END_TEST

START_TEST(outlet_window_is_freed_by_whole_batches)
{
    outlet->max_inflight = 2;
    start_at(1, 0);
    ck_assert_int_eq(offer(10, 2, 1), OFFER_ACCEPTED);
    ck_assert_int_eq(offer(20, 2, 1), OFFER_ACCEPTED);
    ck_assert_int_eq(offer(30, 2, 1), OFFER_WAIT);
    settle(10, 0);
    ck_assert_int_eq(offer(30, 2, 1), OFFER_WAIT);
    settle(10, 1);
    ck_assert_uint_eq(outlet_oldest(outlet)->first_hold.value, 20);
    ck_assert_int_eq(offer(30, 2, 1), OFFER_ACCEPTED);
    settle(30, 1); /* one outcome for both */
    ck_assert(outlet_empty(outlet));
    ck_assert_uint_eq(count_get(&outlet->counters.inflight_bytes), 0);
}
END_TEST

START_TEST(outlet_refusal_waits_for_its_time)
{
    start_at(1, 0);
    fixture.target.answer = FAN_RETRY;
    ck_assert_int_eq(offer(10, 1, 1000), OFFER_RETRY);
    fixture.target.answer = FAN_OK;
    ck_assert_int_eq(offer(10, 1, 1001), OFFER_WAIT);
    ck_assert_int_eq(offer(10, 1, outlet->retry_at_us), OFFER_ACCEPTED);
}
END_TEST

START_TEST(outlet_stopped_forgets_what_was_under_way)
{
    start_at(1, 0);
    ck_assert_int_eq(offer(10, 1, 1), OFFER_ACCEPTED);
    outlet_stop(outlet);
    ck_assert(outlet_empty(outlet));
    ck_assert_uint_eq(outlet->given.commit_lsn.value, 1);
}
END_TEST

int main(void)
{
    log_set_level(LOG_ERROR);
    Suite *suite = suite_create("outlet");
    TCase *cases = tcase_create("outlet");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, outlet_gets_only_what_it_does_not_have);
    tcase_add_test(cases, outlet_window_is_freed_by_whole_batches);
    tcase_add_test(cases, outlet_refusal_waits_for_its_time);
    tcase_add_test(cases, outlet_stopped_forgets_what_was_under_way);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
