/*
 * The worker's side of a pipeline: wishes, delivery, outcomes, reports; with the assembler and
 * the outlet below it. Oracle: mailbox.h and pipeline.h; batches as design.md section 4 has them.
 */
#include <check.h>

#include "tests/unit/engine_fixture.h"
#include "tests/unit/suite.h"

static struct fixture fixture;
static struct report report;
static struct mailbox_target place;

static void step(int64_t now_us)
{
    (void)pipeline_step(&fixture.pipeline, now_us); /* when it wants the next does not matter */
    (void)mailbox_collect(&fixture.pipeline.mailbox, &report, &place); /* or there is no news */
}

static void wish(enum wish what)
{
    (void)mailbox_wish(&fixture.pipeline.mailbox, what); /* the serial does not matter */
}

static void setup(void)
{
    fixture_open(&fixture, 16, BUFFER_BLOCK, 4);
}

static void teardown(void)
{
    fixture_close(&fixture);
}

START_TEST(pipeline_flow_delivers_whole_transactions_at_once_when_idle)
{
    wish(WISH_FLOW);
    fixture_push(&fixture, 10, 0);
    fixture_push(&fixture, 10, 1);
    fixture_publish(&fixture, true);
    step(1);
    ck_assert_int_eq(report.run, RUN_FLOWING);
    ck_assert_uint_eq(fixture.target.batches, 1);
    ck_assert_uint_eq(fixture.target.events[0], 2);
    ck_assert_int_eq(fixture.target.parts[0], TXN_WHOLE);
}
END_TEST

START_TEST(pipeline_open_transaction_waits_for_its_commit)
{
    wish(WISH_FLOW);
    fixture_push(&fixture, 10, 0);
    fixture_publish(&fixture, false);
    step(1);
    step(1000000); /* no timer cuts it */
    ck_assert_uint_eq(fixture.target.batches, 0);
    fixture_publish(&fixture, true);
    step(1000001);
    ck_assert_uint_eq(fixture.target.batches, 1);
}
END_TEST

/* The end of the first is only seen by the beginning of the second. */
START_TEST(pipeline_commit_in_one_burst_with_the_next_transaction_ends_the_first)
{
    wish(WISH_FLOW);
    fixture_push(&fixture, 10, 0);
    fixture_publish(&fixture, false);
    step(1);
    ring_commit(&fixture.pipeline.ring);
    fixture_push(&fixture, 20, 0);
    fixture_publish(&fixture, false);
    step(2);
    ck_assert_uint_eq(fixture.target.batches, 1);
    ck_assert_uint_eq(fixture.target.last[0].commit_lsn.value, 10);
}
END_TEST

START_TEST(pipeline_inflight_limit_paces_and_settling_frees)
{
    wish(WISH_FLOW);
    fixture_push(&fixture, 10, 0);
    fixture_publish(&fixture, true);
    step(1);
    fixture_push(&fixture, 20, 0);
    fixture_publish(&fixture, true);
    step(2);
    ck_assert_uint_eq(fixture.target.batches, 1);
    fixture_settle(&fixture, 10, 0);
    step(100000);
    ck_assert_uint_eq(fixture.target.batches, 2);
    ck_assert_uint_eq(place.settled.commit_lsn.value, 10);
    ck_assert_uint_eq(place.next_hold.value, 20);
}
END_TEST

START_TEST(pipeline_hold_keeps_what_is_queued_and_delivers_nothing)
{
    wish(WISH_FLOW);
    step(1);
    wish(WISH_HOLD);
    step(2);
    fixture_push(&fixture, 10, 0);
    fixture_publish(&fixture, true);
    step(3);
    ck_assert_int_eq(report.run, RUN_HELD);
    ck_assert_uint_eq(fixture.target.batches, 0);
    wish(WISH_FLOW);
    step(4);
    ck_assert_uint_eq(fixture.target.batches, 1);
}
END_TEST

START_TEST(pipeline_retry_backs_off_and_keeps_order)
{
    wish(WISH_FLOW);
    step(1);
    fixture.target.answer = FAN_RETRY;
    fixture_push(&fixture, 10, 0);
    fixture_push(&fixture, 20, 0);
    fixture_publish(&fixture, true);
    step(2);
    fixture.target.answer = FAN_OK;
    step(3);
    ck_assert_uint_eq(fixture.target.batches, 0);
    step(2000000);
    ck_assert_uint_ge(fixture.target.batches, 1);
    ck_assert_int_eq(report.run, RUN_FLOWING);
}
END_TEST

START_TEST(pipeline_fatal_keeps_its_memory_until_wished_idle)
{
    wish(WISH_FLOW);
    fixture_push(&fixture, 10, 0);
    fixture_publish(&fixture, true);
    step(1);
    fixture_push(&fixture, 20, 0);
    fixture_publish(&fixture, true);
    fixture_post(&fixture, OUTCOME_FATAL);
    step(2);
    ck_assert_int_eq(report.run, RUN_FAILED);
    ck_assert(!report.lost);
    struct ring_depth depth;
    ring_depth(&fixture.pipeline.ring, &depth);
    ck_assert_uint_eq(depth.events, 1);
    wish(WISH_IDLE);
    step(3);
    ck_assert_int_eq(report.run, RUN_IDLE);
    ring_depth(&fixture.pipeline.ring, &depth);
    ck_assert_uint_eq(depth.events, 0);
}
END_TEST

/* It must not be stuck between its wish and the failure. */
START_TEST(pipeline_failing_while_it_flushes_becomes_idle)
{
    wish(WISH_FLOW);
    fixture_push(&fixture, 10, 0);
    fixture_publish(&fixture, true);
    step(1);
    wish(WISH_IDLE);
    step(2);
    ck_assert_int_eq(report.run, RUN_FLUSHING);
    fixture_post(&fixture, OUTCOME_FATAL);
    step(3);
    ck_assert_int_eq(report.run, RUN_IDLE);
}
END_TEST

START_TEST(pipeline_lost_says_so_and_starts_again_at_what_is_settled)
{
    wish(WISH_FLOW);
    fixture_push(&fixture, 10, 0);
    fixture_publish(&fixture, true);
    step(1);
    fixture_settle(&fixture, 10, 0);
    step(2);
    fixture_push(&fixture, 20, 0);
    fixture_publish(&fixture, true);
    step(100000);
    fixture_post(&fixture, OUTCOME_LOST);
    step(100001);
    ck_assert(report.run == RUN_FAILED && report.lost);
    wish(WISH_IDLE);
    step(100002);
    ck_assert_uint_eq(fixture.pipeline.ring.takers_count, 1);
    ck_assert_uint_eq(fixture.pipeline.ring.had[0].given.commit_lsn.value, 10);
    wish(WISH_FLOW);
    step(100003);
    ck_assert_uint_eq(fixture.target.starts, 2);
    ck_assert_uint_eq(fixture.target.start_place.commit_lsn.value, 10);
}
END_TEST

/* Or a crash has its events come again, and they are in two rows when they are given up once more. */
START_TEST(pipeline_gap_is_reported_once_what_precedes_it_is_settled)
{
    struct backlog *backlog = &fixture.pipeline.outlets[0].backlog;
    wish(WISH_FLOW);
    fixture_push(&fixture, 10, 0);
    fixture_publish(&fixture, true);
    backlog->gap_known = false;
    backlog->gap = (struct backlog_gap){
        .range = {.first = {{10}, 0}, .last = {{10}, 0}, .count = 1}, .serial = 1};
    step(1);
    ck_assert_uint_eq(place.gap.range.count, 0);
    fixture_settle(&fixture, 10, 0);
    step(2);
    ck_assert_uint_eq(place.gap.range.count, 1);
}
END_TEST

START_TEST(pipeline_drain_delivers_everything_and_reports_it)
{
    wish(WISH_FLOW);
    fixture_push(&fixture, 10, 0);
    fixture_push(&fixture, 20, 0);
    fixture_publish(&fixture, true);
    step(1);
    wish(WISH_DRAIN);
    step(2);
    ck_assert(!report.drained);
    fixture_settle(&fixture, 20, 0);
    step(3);
    ck_assert(report.drained);
}
END_TEST

START_TEST(pipeline_target_that_does_not_start_is_tried_again)
{
    fixture.target.start_answer = FAN_RETRY;
    wish(WISH_FLOW);
    step(1);
    ck_assert_int_eq(report.run, RUN_STARTING);
    fixture.target.start_answer = FAN_OK;
    step(2);
    ck_assert_int_eq(report.run, RUN_STARTING);
    step(2000000);
    ck_assert_int_eq(report.run, RUN_FLOWING);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("pipeline");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, pipeline_flow_delivers_whole_transactions_at_once_when_idle);
    tcase_add_test(cases, pipeline_open_transaction_waits_for_its_commit);
    tcase_add_test(cases, pipeline_commit_in_one_burst_with_the_next_transaction_ends_the_first);
    tcase_add_test(cases, pipeline_inflight_limit_paces_and_settling_frees);
    tcase_add_test(cases, pipeline_hold_keeps_what_is_queued_and_delivers_nothing);
    tcase_add_test(cases, pipeline_retry_backs_off_and_keeps_order);
    tcase_add_test(cases, pipeline_fatal_keeps_its_memory_until_wished_idle);
    tcase_add_test(cases, pipeline_failing_while_it_flushes_becomes_idle);
    tcase_add_test(cases, pipeline_lost_says_so_and_starts_again_at_what_is_settled);
    tcase_add_test(cases, pipeline_gap_is_reported_once_what_precedes_it_is_settled);
    tcase_add_test(cases, pipeline_drain_delivers_everything_and_reports_it);
    tcase_add_test(cases, pipeline_target_that_does_not_start_is_tried_again);
    return suite_run("pipeline", cases);
}
