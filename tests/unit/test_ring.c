/*
 * The ring between a reader and a pipeline: order, bounds, whole transactions, runs of drops.
 * Oracle: what was pushed, in order, minus what the runs say; and the bounds given at init.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "buffer/ring.h"
#include "tests/unit/suite.h"

static struct ring ring;

static struct change change_at(uint64_t commit, int64_t seq)
{
    return (struct change){.position = {{commit}, seq}, .hold_lsn = {commit}, .op = CHANGE_INSERT};
}

static void open_ring(uint32_t events, enum ring_policy policy)
{
    struct fan_error error;
    ck_assert_int_eq(ring_init(&ring, (struct ring_limits){events, 1 << 20, policy}, &error),
                     FAN_OK);
}

static enum fan_status push(uint64_t commit, int64_t seq)
{
    struct change change = change_at(commit, seq);
    return ring_push(&ring, &change);
}

START_TEST(ring_pushed_is_invisible_until_published)
{
    open_ring(4, RING_BLOCK);
    struct change out[4];
    ck_assert_int_eq(push(10, 0), FAN_OK);
    ck_assert_uint_eq(ring_take(&ring, out, 4).count, 0);
    ck_assert(ring_publish(&ring));
    ck_assert_uint_eq(ring_take(&ring, out, 4).count, 1);
    ck_assert(!ring_publish(&ring));
    ring_release(&ring);
}
END_TEST

START_TEST(ring_full_under_block_refuses_and_wakes_at_half)
{
    open_ring(2, RING_BLOCK);
    struct change out[2];
    ck_assert_int_eq(push(10, 0), FAN_OK);
    ck_assert_int_eq(push(10, 1), FAN_OK);
    ck_assert_int_eq(push(10, 2), FAN_AGAIN);
    (void)ring_publish(&ring); /* it is new */
    struct ring_taken taken = ring_take(&ring, out, 1);
    ck_assert(taken.wake_reader);
    ck_assert_int_eq(push(10, 2), FAN_OK);
    ring_release(&ring);
}
END_TEST

/* A transaction that is published in pieces: the last piece taken is not its end. */
START_TEST(ring_part_taken_then_more_published_is_not_whole)
{
    open_ring(8, RING_BLOCK);
    struct change out[8];
    ck_assert_int_eq(push(10, 0), FAN_OK);
    (void)ring_publish(&ring); /* it is new */
    struct ring_taken taken = ring_take(&ring, out, 8);
    ck_assert(!taken.whole && !out[0].txn_end);
    ck_assert_int_eq(push(10, 1), FAN_OK);
    (void)ring_publish(&ring); /* it is new */
    taken = ring_take(&ring, out, 8);
    ck_assert(!taken.whole && !out[0].txn_end);
    ring_commit(&ring);
    (void)ring_publish(&ring); /* it is new */
    taken = ring_take(&ring, out, 8);
    ck_assert(taken.count == 0 && taken.whole);
    ring_release(&ring);
}
END_TEST

START_TEST(ring_next_transaction_queued_marks_the_end_of_the_one_before)
{
    open_ring(8, RING_BLOCK);
    struct change out[8];
    ck_assert_int_eq(push(10, 0), FAN_OK);
    ring_commit(&ring);
    ck_assert_int_eq(push(20, 0), FAN_OK);
    (void)ring_publish(&ring); /* it is new */
    ck_assert_uint_eq(ring_take(&ring, out, 8).count, 2);
    ck_assert(out[0].txn_end && !out[1].txn_end);
    ring_release(&ring);
}
END_TEST

START_TEST(ring_drop_oldest_hands_out_a_marker_and_lists_the_run)
{
    open_ring(2, RING_DROP_OLDEST);
    struct change out[4];
    for (int64_t seq = 0; seq < 5; seq++) {
        ck_assert_int_eq(push(10, seq), FAN_OK);
    }
    ring_commit(&ring);
    (void)ring_publish(&ring); /* it is new */
    struct ring_gap gaps[RING_GAPS_MAX];
    ck_assert_uint_eq(ring_gaps(&ring, gaps), 1);
    ck_assert_uint_eq(gaps[0].range.count, 3);
    ck_assert_int_eq(gaps[0].range.first.seq, 0);
    ck_assert_int_eq(gaps[0].range.last.seq, 2);
    struct ring_taken taken = ring_take(&ring, out, 4);
    ck_assert_uint_eq(taken.count, 3);
    ck_assert_int_eq(out[0].op, CHANGE_GAP);
    ck_assert_uint_eq(out[0].gap->count, 3);
    ck_assert_int_eq(out[0].position.seq, 2);
    ck_assert_int_eq(out[1].position.seq, 3);
    change_release(&out[0]);
    ring_release(&ring);
}
END_TEST

START_TEST(ring_run_persisted_while_it_grows_is_listed_again_whole)
{
    open_ring(1, RING_DROP_OLDEST);
    struct ring_gap gaps[RING_GAPS_MAX];
    ck_assert_int_eq(push(10, 0), FAN_OK);
    ck_assert_int_eq(push(10, 1), FAN_OK);
    size_t count = ring_gaps(&ring, gaps);
    ring_gaps_persisted(&ring, gaps, count);
    ck_assert_uint_eq(ring_gaps(&ring, gaps), 0);
    ck_assert_int_eq(push(10, 2), FAN_OK);
    ck_assert_uint_eq(ring_gaps(&ring, gaps), 1);
    ck_assert_uint_eq(gaps[0].range.count, 2);
    ck_assert_int_eq(gaps[0].range.first.seq, 0);
    ck_assert_uint_eq(gaps[0].serial, 1);
    ring_release(&ring);
}
END_TEST

/* The marker of an earlier run comes again and is dropped: its changes are counted already. */
START_TEST(ring_dropped_marker_moves_into_the_marker_but_into_no_run)
{
    open_ring(1, RING_DROP_OLDEST);
    struct change marker = change_at(10, 7);
    marker.op = CHANGE_GAP;
    marker.gap = malloc(sizeof(*marker.gap));
    ck_assert_ptr_nonnull(marker.gap);
    *marker.gap = (struct change_gap){.first = {{10}, 0}, .last = {{10}, 7}, .count = 8};
    ck_assert_int_eq(ring_push(&ring, &marker), FAN_OK);
    ck_assert_int_eq(push(20, 0), FAN_OK);
    ck_assert_int_eq(push(20, 1), FAN_OK);
    (void)ring_publish(&ring); /* it is new */
    struct ring_gap gaps[RING_GAPS_MAX];
    ck_assert_uint_eq(ring_gaps(&ring, gaps), 1);
    ck_assert_uint_eq(gaps[0].range.count, 1);
    ck_assert_uint_eq(gaps[0].range.first.commit_lsn.value, 20);
    struct ring_depth depth;
    ring_depth(&ring, &depth);
    ck_assert_uint_eq(depth.dropped, 1);
    struct change out[2];
    ck_assert_uint_eq(ring_take(&ring, out, 2).count, 2);
    ck_assert_uint_eq(out[0].gap->count, 9);
    ck_assert_uint_eq(out[0].gap->first.commit_lsn.value, 10);
    change_release(&out[0]);
    ring_release(&ring);
}
END_TEST

/* One of two takers has events 0 and 1 for ever, and was given event 2; the other has event 0. */
START_TEST(ring_drops_that_a_taker_has_are_runs_and_markers_of_their_own)
{
    open_ring(1, RING_DROP_OLDEST);
    const struct ring_had had[] = {
        {.settled = {{10}, 1}, .given = {{10}, 2}},
        {.settled = {{10}, 0}, .given = {{10}, 0}},
    };
    static const struct {
        int64_t last;
        uint64_t count;
        uint64_t had;
    } wanted[] = {{0, 1, 3}, {1, 1, 1}, {2, 1, 1}, {5, 3, 0}};
    ring_set_had(&ring, had, 2);
    for (int64_t seq = 0; seq < 7; seq++) {
        ck_assert_int_eq(push(10, seq), FAN_OK);
    }
    (void)ring_publish(&ring); /* it is new */
    struct ring_gap gaps[RING_GAPS_MAX];
    struct change out[8];
    ck_assert_uint_eq(ring_gaps(&ring, gaps), 4);
    ck_assert_uint_eq(ring_take(&ring, out, 3).count, 3);
    ck_assert_uint_eq(ring_take(&ring, out + 3, 5).count, 2);
    for (size_t at = 0; at < 4; at++) {
        ck_assert_int_eq(gaps[at].range.last.seq, wanted[at].last);
        ck_assert_uint_eq(gaps[at].range.count, wanted[at].count);
        ck_assert_uint_eq(gaps[at].had, wanted[at].had);
        ck_assert_int_eq(out[at].op, CHANGE_GAP);
        ck_assert_int_eq(out[at].position.seq, wanted[at].last);
        ck_assert_uint_eq(out[at].gap->count, wanted[at].count);
        change_release(&out[at]);
    }
    ck_assert_int_eq(out[4].position.seq, 6);
    ring_release(&ring);
}
END_TEST

START_TEST(ring_too_many_unknown_runs_holds_the_reader)
{
    open_ring(1, RING_DROP_OLDEST);
    struct change out[2];
    uint64_t commit = 10;
    while (ring_may_push(&ring, sizeof(struct change))) {
        ck_assert_int_eq(push(commit, 0), FAN_OK);
        ck_assert_int_eq(push(commit, 1), FAN_OK); /* drops the one before */
        (void)ring_publish(&ring);                 /* it is new */
        (void)ring_take(&ring, out, 1);            /* the marker: the run is closed */
        change_release(&out[0]);
        commit += 10;
        ck_assert_uint_lt(commit, 10 * RING_GAPS_MAX + 20);
    }
    struct ring_gap gaps[RING_GAPS_MAX];
    size_t count = ring_gaps(&ring, gaps);
    ck_assert_uint_lt(count, RING_GAPS_MAX);
    uint64_t dropped = 0;
    for (size_t at = 0; at < count; at++) { /* no run covers what was taken between two of them */
        dropped += gaps[at].range.count;
        ck_assert(at == 0 || position_compare(gaps[at - 1].range.last, gaps[at].range.first) < 0);
    }
    struct ring_depth depth;
    ring_depth(&ring, &depth);
    ck_assert_uint_eq(dropped, depth.dropped);
    ring_gaps_persisted(&ring, gaps, count);
    ck_assert(ring_may_push(&ring, sizeof(struct change)));
    ring_release(&ring);
}
END_TEST

START_TEST(ring_single_large_change_is_admitted_alone)
{
    struct fan_error error;
    ck_assert_int_eq(ring_init(&ring, (struct ring_limits){8, 10, RING_BLOCK}, &error), FAN_OK);
    ck_assert_int_eq(push(10, 0), FAN_OK); /* larger than ten bytes */
    ck_assert_int_eq(push(10, 1), FAN_AGAIN);
    ring_release(&ring);
}
END_TEST

START_TEST(ring_discard_leaves_nothing_and_no_gap)
{
    open_ring(2, RING_DROP_OLDEST);
    struct change out[4];
    for (int64_t seq = 0; seq < 3; seq++) {
        ck_assert_int_eq(push(10, seq), FAN_OK);
    }
    (void)ring_publish(&ring); /* it is new */
    ck_assert_uint_eq(ring_discard(&ring), 2);
    struct ring_taken taken = ring_take(&ring, out, 4);
    ck_assert(taken.count == 0 && taken.empty);
    struct ring_gap gaps[RING_GAPS_MAX];
    ck_assert_uint_eq(ring_gaps(&ring, gaps), 1); /* the store has to know it all the same */
    ring_release(&ring);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("ring");
    tcase_add_test(cases, ring_pushed_is_invisible_until_published);
    tcase_add_test(cases, ring_full_under_block_refuses_and_wakes_at_half);
    tcase_add_test(cases, ring_part_taken_then_more_published_is_not_whole);
    tcase_add_test(cases, ring_next_transaction_queued_marks_the_end_of_the_one_before);
    tcase_add_test(cases, ring_drop_oldest_hands_out_a_marker_and_lists_the_run);
    tcase_add_test(cases, ring_run_persisted_while_it_grows_is_listed_again_whole);
    tcase_add_test(cases, ring_dropped_marker_moves_into_the_marker_but_into_no_run);
    tcase_add_test(cases, ring_drops_that_a_taker_has_are_runs_and_markers_of_their_own);
    tcase_add_test(cases, ring_too_many_unknown_runs_holds_the_reader);
    tcase_add_test(cases, ring_single_large_change_is_admitted_alone);
    tcase_add_test(cases, ring_discard_leaves_nothing_and_no_gap);
    return suite_run("ring", cases);
}
