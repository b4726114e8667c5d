/*
 * How far a slot may be confirmed. Oracle: the rule of reliability.md 5.2, ack = min over the
 * gates of the hold LSN of the oldest unsettled change, never above the boundary.
 */
#include <check.h>

#include "engine/acktrack.h"
#include "tests/unit/suite.h"

static struct ackgate gates[2];
static struct acktrack track;

static struct fan_position at(uint64_t commit, int64_t seq)
{
    return (struct fan_position){{commit}, seq};
}

static struct fan_lsn lsn(uint64_t value)
{
    return (struct fan_lsn){value};
}

static void setup(void)
{
    for (size_t index = 0; index < 2; index++) {
        gates[index] = (struct ackgate){.given = POSITION_NONE, .settled = POSITION_NONE};
    }
    acktrack_init(&track, gates, 2, lsn(100));
    acktrack_session(&track, lsn(100));
}

static uint64_t ack(void)
{
    return acktrack_ack(&track).value;
}

START_TEST(acktrack_nothing_unsettled_follows_the_boundary)
{
    ck_assert_uint_eq(ack(), 100);
    acktrack_boundary(&track, lsn(150));
    ck_assert_uint_eq(ack(), 150);
    acktrack_boundary(&track, lsn(140));
    ck_assert_uint_eq(ack(), 150);
}
END_TEST

START_TEST(acktrack_open_transaction_is_not_passed)
{
    ackgate_give(&gates[0], at(120, 0), lsn(120));
    ck_assert_uint_eq(ack(), 100); /* the boundary still stands before it */
    acktrack_boundary(&track, lsn(130));
    ck_assert_uint_eq(ack(), 120);
}
END_TEST

START_TEST(acktrack_slowest_gate_rules)
{
    for (size_t index = 0; index < 2; index++) {
        ackgate_give(&gates[index], at(120, 0), lsn(120));
        ackgate_give(&gates[index], at(140, 0), lsn(140));
    }
    acktrack_boundary(&track, lsn(150));
    ackgate_settle(&gates[0], at(140, 0), LSN_NONE);
    ck_assert_uint_eq(ack(), 120);
    ackgate_settle(&gates[1], at(120, 0), lsn(140));
    ck_assert_uint_eq(ack(), 140);
    ackgate_settle(&gates[1], at(140, 0), LSN_NONE);
    ck_assert_uint_eq(ack(), 150);
}
END_TEST

START_TEST(acktrack_part_of_a_transaction_settled_holds_it)
{
    ackgate_give(&gates[0], at(120, 0), lsn(120));
    ackgate_give(&gates[0], at(120, 1), lsn(120));
    acktrack_boundary(&track, lsn(130));
    ackgate_settle(&gates[0], at(120, 0), LSN_NONE);
    ck_assert_uint_eq(ack(), 120);
}
END_TEST

START_TEST(acktrack_loose_message_holds_the_boundary_of_its_arrival)
{
    ackgate_give(&gates[0], at(128, SEQ_MESSAGE), lsn(100));
    acktrack_boundary(&track, lsn(160));
    ck_assert_uint_eq(ack(), 100);
    ackgate_settle(&gates[0], at(128, SEQ_MESSAGE), LSN_NONE);
    ck_assert_uint_eq(ack(), 160);
}
END_TEST

START_TEST(acktrack_forgotten_is_held_until_the_hold_is_lifted)
{
    ackgate_give(&gates[0], at(120, 0), lsn(120));
    acktrack_boundary(&track, lsn(130));
    gates[0].hold = ackgate_forget(&gates[0]);
    ck_assert(!ackgate_open(&gates[0]));
    ck_assert_uint_eq(ack(), 120);
    gates[0].hold = LSN_NONE;
    ck_assert_uint_eq(ack(), 130);
}
END_TEST

START_TEST(acktrack_given_again_after_a_reconnect_changes_nothing)
{
    ackgate_give(&gates[0], at(120, 3), lsn(120));
    ackgate_give(&gates[0], at(110, 0), lsn(110));
    acktrack_boundary(&track, lsn(130));
    ck_assert_uint_eq(ack(), 120);
    acktrack_session(&track, lsn(105));
    ck_assert_uint_eq(ack(), 105);
}
END_TEST

START_TEST(acktrack_target_ahead_of_the_stream_does_not_hold)
{
    gates[0].given = gates[0].settled = at(140, 2);
    ackgate_give(&gates[0], at(120, 0), lsn(120));
    acktrack_boundary(&track, lsn(130));
    ck_assert_uint_eq(ack(), 130);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("acktrack");
    tcase_add_checked_fixture(cases, setup, NULL);
    tcase_add_test(cases, acktrack_nothing_unsettled_follows_the_boundary);
    tcase_add_test(cases, acktrack_open_transaction_is_not_passed);
    tcase_add_test(cases, acktrack_slowest_gate_rules);
    tcase_add_test(cases, acktrack_part_of_a_transaction_settled_holds_it);
    tcase_add_test(cases, acktrack_loose_message_holds_the_boundary_of_its_arrival);
    tcase_add_test(cases, acktrack_forgotten_is_held_until_the_hold_is_lifted);
    tcase_add_test(cases, acktrack_given_again_after_a_reconnect_changes_nothing);
    tcase_add_test(cases, acktrack_target_ahead_of_the_stream_does_not_hold);
    return suite_run("acktrack", cases);
}
