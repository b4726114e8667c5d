/*
 * What a pipeline gets of a stream that may come again: admission, holds, earlier drops.
 * Oracle: intake.h (1) and (2).
 */
#include <check.h>

#include "base/count.h"
#include "engine/intake.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/suite.h"

static struct fixture fixture;
static struct intake intake;
static struct ackgate gate;

static void open_intake(int policy)
{
    fixture_open(&fixture, 16, policy, 4);
    gate = (struct ackgate){.given = POSITION_NONE, .settled = POSITION_NONE};
    struct intake_setup setup = {.pipeline = &fixture.pipeline,
                                 .settings = &fixture.settings,
                                 .gates = &gate,
                                 .state = PIPELINE_INITIALIZING,
                                 .reason = ""};
    struct fan_error error;
    ck_assert_int_eq(intake_init(&intake, &setup, &error), FAN_OK);
    intake_wish(&intake, WISH_FLOW);
    intake_try_open(&intake, true);
    ck_assert(intake.open);
}

static void teardown(void)
{
    intake_release(&intake);
    fixture_close(&fixture);
}

static void give(uint64_t commit, int64_t seq)
{
    ck_assert_int_eq(intake_give(&intake, fixture_change(commit, seq)), FAN_OK);
}

static uint64_t queued(void)
{
    (void)ring_publish(&fixture.pipeline.ring); /* only the depth is of interest */
    struct ring_depth depth;
    ring_depth(&fixture.pipeline.ring, &depth);
    return depth.events;
}

START_TEST(intake_sent_again_is_admitted_once)
{
    open_intake(BUFFER_BLOCK);
    give(10, 0);
    give(10, 1);
    give(10, 0);
    give(10, 1);
    give(10, 2);
    ck_assert_uint_eq(queued(), 3);
    ck_assert_uint_eq(count_get(&intake.counters.read), 3);
}
END_TEST

START_TEST(intake_closed_passes_over_and_holds_the_first)
{
    open_intake(BUFFER_BLOCK);
    intake_close(&intake);
    give(20, 0);
    give(30, 0);
    ck_assert(intake.passed_over);
    ck_assert_uint_eq(gate.hold.value, 20);
    intake_try_open(&intake, false); /* not within the session */
    ck_assert(!intake.open);
    intake_try_open(&intake, true);
    ck_assert(intake.open && !intake.passed_over);
    ck_assert_uint_eq(gate.hold.value, 0);
}
END_TEST

static void give_at(uint64_t commit, int64_t commit_us)
{
    struct change change = fixture_change(commit, 0);
    change.commit_time_us = commit_us;
    ck_assert_int_eq(intake_give(&intake, change), FAN_OK);
}

START_TEST(intake_passed_over_keeps_the_commit_time_of_the_oldest)
{
    open_intake(BUFFER_BLOCK);
    intake_close(&intake);
    ck_assert_int_eq(intake.passed_commit_us, 0);
    give_at(20, 0); /* a message outside any transaction has none */
    give_at(30, 3000);
    give_at(40, 2000);
    ck_assert_int_eq(intake.passed_commit_us, 3000);
    intake_try_open(&intake, true);
    ck_assert_int_eq(intake.passed_commit_us, 0);
}
END_TEST

START_TEST(intake_forgotten_changes_keep_their_commit_time)
{
    open_intake(BUFFER_BLOCK);
    give_at(20, 2000);
    give_at(30, 3000);
    ck_assert_uint_eq(queued(), 2);
    intake_close(&intake);
    give_at(40, 4000);
    ck_assert_int_eq(intake.passed_commit_us, 4000);
    ck_assert_uint_eq(ring_discard(&fixture.pipeline.ring), 2);
    intake_forget(&intake);
    intake_emptied(&intake);
    ck_assert_int_eq(intake.passed_commit_us, 2000);
}
END_TEST

START_TEST(intake_forgotten_changes_are_admitted_again)
{
    open_intake(BUFFER_BLOCK);
    give(10, 0);
    give(20, 0);
    ackgate_settle(&gate, (struct fan_position){{10}, 0}, LSN_NONE);
    intake_close(&intake);
    ck_assert_uint_eq(queued(), 2);
    ck_assert_uint_eq(ring_discard(&fixture.pipeline.ring), 2);
    intake_forget(&intake);
    intake_emptied(&intake);
    ck_assert_uint_le(gate.hold.value, 20);
    ck_assert_uint_gt(gate.hold.value, 0);
    intake_try_open(&intake, true);
    give(10, 0);
    ck_assert_uint_eq(intake.admitted.commit_lsn.value, 10);
    give(20, 0);
    ck_assert_uint_eq(intake.admitted.commit_lsn.value, 20);
}
END_TEST

START_TEST(intake_dropped_before_comes_as_one_marker)
{
    open_intake(BUFFER_DROP_OLDEST);
    struct change_gap gap = {.first = {{10}, 1}, .last = {{20}, 0}, .count = 3};
    intake_remember_gap(&intake, &gap);
    give(10, 0);
    give(10, 1);
    give(10, 2);
    give(20, 0);
    give(20, 1);
    ck_assert_uint_eq(queued(), 3);
    struct change out[3];
    ck_assert_uint_eq(ring_take(&fixture.pipeline.ring, out, 3).count, 3);
    ck_assert_int_eq(out[1].op, CHANGE_GAP);
    ck_assert_uint_eq(out[1].gap->count, 3);
    ck_assert_uint_eq(out[1].position.commit_lsn.value, 20);
    ck_assert_uint_eq(count_get(&intake.counters.gap_count), 3);
    for (size_t index = 0; index < 3; index++) {
        change_release(&out[index]);
    }
}
END_TEST

START_TEST(intake_run_that_grew_replaces_its_former_self)
{
    open_intake(BUFFER_DROP_OLDEST);
    struct change_gap gap = {.first = {{10}, 0}, .last = {{10}, 1}, .count = 2};
    intake_remember_gap(&intake, &gap);
    gap.last.seq = 3;
    gap.count = 4;
    intake_remember_gap(&intake, &gap);
    ck_assert_uint_eq(intake.old_gaps_count, 1);
    ck_assert_uint_eq(intake.old_gaps[0].count, 4);
    gap.last.seq = 1;
    gap.count = 2;
    intake_remember_gap(&intake, &gap); /* another target's row of it, as it was before */
    ck_assert_uint_eq(intake.old_gaps[0].count, 4);
}
END_TEST

/* Drops of what came again lie before those that were known by then. */
START_TEST(intake_runs_are_known_in_order_of_position)
{
    open_intake(BUFFER_DROP_OLDEST);
    const struct change_gap late = {.first = {{30}, 0}, .last = {{30}, 1}, .count = 2};
    const struct change_gap early = {.first = {{10}, 1}, .last = {{10}, 2}, .count = 2};
    intake_remember_gap(&intake, &late);
    intake_remember_gap(&intake, &early);
    for (uint64_t commit = 10; commit <= 30; commit += 10) {
        for (int64_t seq = 0; seq < 3; seq++) {
            give(commit, seq);
        }
    }
    ck_assert_uint_eq(queued(), 7);
    ck_assert_uint_eq(count_get(&intake.counters.gap_count), 4);
}
END_TEST

START_TEST(intake_wants_only_its_tables)
{
    open_intake(BUFFER_BLOCK);
    ck_assert(intake_wants_table(&intake, "public", "t"));
    ck_assert(!intake_wants_table(&intake, "public", "u"));
    ck_assert(intake_wants_prefix(&intake, "anything"));
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("intake");
    tcase_add_checked_fixture(cases, NULL, teardown);
    tcase_add_test(cases, intake_sent_again_is_admitted_once);
    tcase_add_test(cases, intake_closed_passes_over_and_holds_the_first);
    tcase_add_test(cases, intake_passed_over_keeps_the_commit_time_of_the_oldest);
    tcase_add_test(cases, intake_forgotten_changes_keep_their_commit_time);
    tcase_add_test(cases, intake_forgotten_changes_are_admitted_again);
    tcase_add_test(cases, intake_dropped_before_comes_as_one_marker);
    tcase_add_test(cases, intake_run_that_grew_replaces_its_former_self);
    tcase_add_test(cases, intake_runs_are_known_in_order_of_position);
    tcase_add_test(cases, intake_wants_only_its_tables);
    return suite_run("intake", cases);
}
