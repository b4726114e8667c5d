/*
 * One target of a pipeline and what is under way to it. Oracle: outlet.h; counters add up to what
 * was offered.
 */
#include <check.h>

#include "base/count.h"
#include "base/log.h"
#include "engine/outlet_internal.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/suite.h"

static struct fixture fixture;
static struct outlet *outlet;
static struct batch_pool *pool;
static struct rng rng;

static void setup(void)
{
    fixture_open(&fixture, 4, BUFFER_BLOCK, 4);
    outlet = &fixture.pipeline.outlets[0];
    pool = batch_pool_create(1, false, 1, 1 << 16);
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

static struct outlet_moment moment_at(int64_t now_us)
{
    return (struct outlet_moment){.may_deliver = true, .now_us = now_us, .wall_us = 1, .rng = &rng};
}

static enum offer offer(uint64_t commit, size_t count, int64_t now_us)
{
    struct batch *batch = batch_of(commit, count);
    const struct outlet_moment moment = moment_at(now_us);
    enum offer answer = outlet_offer(outlet, batch, &moment);
    batch_unref(batch);
    return answer;
}

static void step(int64_t now_us)
{
    const struct outlet_moment moment = moment_at(now_us);
    outlet_take(outlet, &moment);
    (void)outlet_step(outlet, &moment); /* when it wants the next does not matter */
}

static void start_at(uint64_t commit, int64_t seq)
{
    struct outlet_memory memory = {.checkpoint = {.position = {{commit}, seq}},
                                   .settled = {{commit}, seq}};
    struct fan_error error;
    ck_assert_int_eq(outlet_resume(outlet, &memory, &error), FAN_OK);
    step(1);
    ck_assert(outlet->started);
}

static void settle(uint64_t commit, int64_t seq)
{
    fixture_settle(&fixture, commit, seq);
    step(1);
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
    struct fan_lsn hold;
    int64_t commit_us;
    ck_assert(outlet_oldest(outlet, &hold, &commit_us));
    ck_assert_uint_eq(hold.value, 20);
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
    ck_assert_int_eq(offer(10, 1, 1000), OFFER_WAIT);
    ck_assert_str_ne(outlet->last_error.text, "");
    fixture.target.answer = FAN_OK;
    ck_assert_int_eq(offer(10, 1, 1001), OFFER_WAIT);
    ck_assert_int_eq(offer(10, 1, outlet->retry_at_us), OFFER_ACCEPTED);
}
END_TEST

/* The last retry that was noted; `count` in all. */
static struct retry_entry last_retry(size_t count)
{
    static struct retry_entry entries[RETRY_LOG_MAX];
    ck_assert_uint_eq(retry_log_copy(&fixture.pipeline.retries, entries), count);
    return entries[count - 1];
}

/* E8 of features.md: base, twice, four times ... up to the cap, of which the jitter takes at most
 * half; returns the wait. */
static int64_t check_retry(const struct retry_entry *retry, uint32_t failures)
{
    int64_t whole_us = 100000;
    for (uint32_t before = 1; before < failures; before++) {
        whole_us = 2 * whole_us < 1000000 ? 2 * whole_us : 1000000;
    }
    int64_t wait_us = retry->retry_wall_us - retry->at_wall_us;
    ck_assert_uint_eq(retry->number, failures);
    ck_assert_uint_eq(retry->next_attempt, failures + 1);
    ck_assert_int_eq(retry->at_wall_us, 1); /* of the moment */
    ck_assert_int_ge(wait_us, whole_us / 2);
    ck_assert_int_le(wait_us, whole_us);
    return wait_us;
}

START_TEST(outlet_refusals_are_noted_with_their_times_which_are_honoured)
{
    start_at(10, 1);
    fixture.target.answer = FAN_RETRY;
    int64_t now_us = 1000;
    for (uint32_t failures = 1; failures <= 7; failures++) {
        ck_assert_int_eq(offer(10, 4, now_us), OFFER_WAIT);
        const struct retry_entry retry = last_retry(failures);
        now_us += check_retry(&retry, failures);
        ck_assert_uint_eq(retry.target, 0);
        ck_assert_int_eq(retry.first.seq, 2); /* it has those before */
        ck_assert_int_eq(retry.last.seq, 3);
        ck_assert_uint_eq(retry.count, 2);
        ck_assert_str_eq(retry.reason, "scripted: deliver");
        ck_assert_int_eq(offer(10, 4, now_us - 1), OFFER_WAIT);
        (void)last_retry(failures); /* no attempt was made */
    }
    fixture.target.answer = FAN_OK;
    ck_assert_int_eq(offer(10, 4, now_us - 1), OFFER_WAIT);
    ck_assert_int_eq(offer(10, 4, now_us), OFFER_ACCEPTED);
    (void)last_retry(7);
}
END_TEST

START_TEST(outlet_failing_starts_are_noted_without_a_batch)
{
    struct outlet_memory memory = {.checkpoint = {.position = {{1}, 0}}, .settled = {{1}, 0}};
    struct fan_error error;
    ck_assert_int_eq(outlet_resume(outlet, &memory, &error), FAN_OK);
    fixture.target.start_answer = FAN_RETRY;
    int64_t now_us = 1000;
    for (uint32_t failures = 1; failures <= 4; failures++) {
        step(now_us);
        const struct retry_entry retry = last_retry(failures);
        now_us += check_retry(&retry, failures);
        ck_assert_uint_eq(retry.count, 0);
        ck_assert_str_eq(retry.reason, "scripted: start");
        step(now_us - 1);
        ck_assert_uint_eq(fixture.target.starts, failures);
    }
}
END_TEST

START_TEST(outlet_retries_beyond_the_limit_leave_the_last_ones_in_order)
{
    enum { MORE = 10 };
    static struct retry_entry entries[RETRY_LOG_MAX];
    start_at(1, 0);
    fixture.target.answer = FAN_RETRY;
    int64_t now_us = 1000;
    for (size_t retry = 0; retry < RETRY_LOG_MAX + MORE; retry++) {
        ck_assert_int_eq(offer(10, 1, now_us), OFFER_WAIT);
        now_us = outlet->retry_at_us;
    }
    ck_assert_uint_eq(retry_log_copy(&fixture.pipeline.retries, entries), RETRY_LOG_MAX);
    for (size_t index = 0; index < RETRY_LOG_MAX; index++) {
        ck_assert_uint_eq(entries[index].number, MORE + index + 1);
        ck_assert_uint_eq(entries[index].next_attempt, MORE + index + 2);
    }
}
END_TEST

START_TEST(outlet_takes_parts_of_a_transaction_where_marks_are_apart)
{
    struct batch *batch = batch_of(10, 2);
    const struct outlet plain = {.answering = true, .given = POSITION_NONE};
    struct outlet marked = plain;
    struct outlet apart = plain;
    marked.transactions = true;
    apart.transactions = true;
    apart.marks_apart = true;
    ck_assert(!outlet_refuses(&marked, batch, 0));
    batch->part = TXN_FIRST;
    ck_assert(!outlet_refuses(&plain, batch, 0));
    ck_assert(outlet_refuses(&marked, batch, 0));
    ck_assert(!outlet_refuses(&apart, batch, 0));
    batch_unref(batch);
}
END_TEST

START_TEST(outlet_stopped_forgets_what_was_under_way)
{
    start_at(1, 0);
    ck_assert_int_eq(offer(10, 1, 1), OFFER_ACCEPTED);
    outlet_stop(outlet, 1);
    ck_assert(outlet_empty(outlet));
    ck_assert_uint_eq(outlet->given.commit_lsn.value, 1);
}
END_TEST

static const struct fan_error why = {.text = "for the test"};

START_TEST(outlet_diverted_with_events_under_way_takes_nothing_before_they_are_read_again)
{
    start_at(1, 0);
    ck_assert_int_eq(offer(10, 2, 1), OFFER_ACCEPTED);
    outlet_divert(outlet, BACKLOG_GAP, &why);
    ck_assert_int_eq(outlet->divert, BACKLOG_GAP);
    ck_assert_int_eq(outlet->trouble, TROUBLE_LOST);
    ck_assert_int_eq(offer(20, 2, 1), OFFER_WAIT);
    ck_assert_uint_eq(outlet->given.commit_lsn.value, 10); /* a hole is not taken for settled */
    ck_assert_uint_eq(outlet->settled.commit_lsn.value, 1);
}
END_TEST

START_TEST(outlet_settling_down_gets_nothing_until_it_goes_on)
{
    outlet->max_inflight = 4;
    start_at(1, 0);
    ck_assert_int_eq(offer(10, 1, 1), OFFER_ACCEPTED);
    ck_assert(outlet_settles_down(outlet, 1));
    ck_assert_int_eq(offer(20, 1, 1), OFFER_WAIT);
    settle(10, 0);
    ck_assert(!outlet_settles_down(outlet, 2)); /* nothing would be read again */
    outlet_goes_on(outlet);
    ck_assert_int_eq(offer(20, 1, 2), OFFER_ACCEPTED);
}
END_TEST

/* A spent one that could not be diverted is a trouble again and again, and must not hide that. */
START_TEST(outlet_fatal_behind_spent_attempts_is_told)
{
    fixture.settings.error_handling.max_attempts = 1;
    start_at(1, 0);
    fixture.target.answer = FAN_RETRY;
    ck_assert_int_eq(offer(10, 1, 1000), OFFER_WAIT);
    ck_assert_int_eq(outlet->trouble, TROUBLE_SPENT);
    fixture_post(&fixture, OUTCOME_FATAL);
    step(1001);
    ck_assert_int_eq(outlet->trouble, TROUBLE_FATAL);
}
END_TEST

START_TEST(outlet_fatal_wants_no_step)
{
    outlet->fatal = true;
    const struct outlet_moment moment = moment_at(1000);
    ck_assert_int_gt(outlet_step(outlet, &moment), 1000);
    ck_assert(!outlet->started);
}
END_TEST

/* The target has failed, and is to be tried again at 5. */
static void fail_into_gap(void)
{
    start_at(1, 0);
    outlet->circuit_open = true;
    outlet->retry_at_us = 5;
    outlet_divert(outlet, BACKLOG_GAP, &why);
    ck_assert_int_eq(offer(10, 3, 1), OFFER_ACCEPTED);
    ck_assert_uint_eq(fixture.target.batches, 0);
}

/* The store has the gap as it is. */
static void know_gap(void)
{
    const struct backlog_gap *gap = &outlet->backlog.gap;
    outlet_persisted(outlet, &outlet->checkpoint, gap->serial, gap->range.count);
}

START_TEST(outlet_marker_of_a_gap_is_shown_until_it_is_durable)
{
    fail_into_gap();
    know_gap();
    ck_assert_int_eq(offer(20, 1, 6), OFFER_ACCEPTED);
    ck_assert_int_eq(outlet->divert, BACKLOG_NONE);
    ck_assert_uint_eq(fixture.target.events[0], 2);
    outlet_stop(outlet, 7);
    step(7);
    ck_assert_int_eq(offer(20, 1, 7), OFFER_ACCEPTED);
    ck_assert_uint_eq(fixture.target.events[1], 2);
    settle(20, 0);
    ck_assert_int_eq(offer(30, 1, 8), OFFER_ACCEPTED);
    ck_assert_uint_eq(fixture.target.events[2], 1);
}
END_TEST

START_TEST(outlet_gap_that_the_store_does_not_know_is_not_passed)
{
    fail_into_gap();
    step(6);
    ck_assert_int_eq(offer(20, 1, 6), OFFER_WAIT); /* else it would grow, and never be known */
    ck_assert_int_eq(outlet->divert, BACKLOG_GAP);
    know_gap();
    ck_assert_int_eq(offer(20, 1, 7), OFFER_ACCEPTED);
    ck_assert_int_eq(outlet->divert, BACKLOG_NONE);
}
END_TEST

/* ---- a store that has what is added, and gives nothing out ---- */

static size_t letters_added;
static size_t letters_fetches;
static struct fan_position letters_wanted_behind; /* by the first of them */

static void post_letters(struct letterbox *letterbox, struct letter_job *job)
{
    (void)letterbox; /* there is one */
    job->status = FAN_OK;
    if (job->kind == LETTERS_FETCH) {
        letters_wanted_behind = letters_fetches++ == 0 ? job->position : letters_wanted_behind;
        job->status = FAN_AGAIN;
    } else if (job->kind == LETTERS_ADD) {
        letters_added += job->items_count;
    }
    atomic_store(&job->done, true);
}

/* The marker has the position of the gap's end, behind which the backlog begins. */
START_TEST(outlet_isolated_behind_a_gap_gets_its_marker_out_of_the_letters)
{
    struct letterbox letterbox = {.post = post_letters};
    outlet->letters.letterbox = &letterbox;
    letters_added = 0;
    letters_fetches = 0;
    fail_into_gap();
    know_gap();
    step(5);
    ck_assert_uint_eq(outlet->settled.commit_lsn.value, 10);
    fixture.target.answer = FAN_RETRY;
    ck_assert_int_eq(offer(20, 1, 6), OFFER_WAIT); /* the probe */
    ck_assert_int_eq(outlet->divert, BACKLOG_NONE);
    outlet_divert(outlet, BACKLOG_LETTERS, &why);
    ck_assert_int_eq(offer(20, 1, 7), OFFER_ACCEPTED);
    step(8);
    step(9);
    ck_assert_uint_eq(letters_added, 2);
    ck_assert_uint_gt(letters_fetches, 0);
    ck_assert_uint_eq(letters_wanted_behind.commit_lsn.value, 1);
}
END_TEST

START_TEST(outlet_resumed_behind_a_gap_shows_its_marker)
{
    struct outlet_memory memory = {.checkpoint = {.position = {{1}, 0}}, .settled = {{10}, 2}};
    const struct change_gap shown = {.first = {{1}, 0}, .last = {{1}, 0}, .count = 1};
    const struct change_gap gap = {.first = {{10}, 0}, .last = {{10}, 2}, .count = 3};
    const struct change_gap again = {.first = {{20}, 0}, .last = {{20}, 0}, .count = 1};
    outlet_memory_gap(&memory, &shown, true);
    outlet_memory_gap(&memory, &gap, true);
    outlet_memory_gap(&memory, &again, true); /* not settled: it comes again from the slot */
    ck_assert(outlet_memory_needs_backlog(&memory));
    struct fan_error error;
    ck_assert_int_eq(outlet_resume(outlet, &memory, &error), FAN_OK);
    outlet_memory_release(&memory);
    ck_assert_uint_eq(outlet->gap_to_mark.count, 3);
    ck_assert_uint_eq(outlet->gap_to_mark.last.commit_lsn.value, 10);
    step(1);
    ck_assert_int_eq(offer(20, 1, 1), OFFER_ACCEPTED);
    ck_assert_uint_eq(fixture.target.events[0], 2);
}
END_TEST

START_TEST(outlet_resumed_with_a_checkpoint_beyond_settled_goes_on_behind_it)
{
    struct outlet_memory memory = {.checkpoint = {.position = {{10}, 1}}, .settled = {{1}, 0}};
    ck_assert(!outlet_memory_needs_backlog(&memory));
    struct fan_error error;
    ck_assert_int_eq(outlet_resume(outlet, &memory, &error), FAN_OK);
    step(1);
    ck_assert_int_eq(offer(10, 4, 1), OFFER_ACCEPTED);
    ck_assert_uint_eq(fixture.target.events[0], 2);
}
END_TEST

int main(void)
{
    log_set_level(LOG_ERROR);
    TCase *cases = tcase_create("outlet");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, outlet_gets_only_what_it_does_not_have);
    tcase_add_test(cases, outlet_window_is_freed_by_whole_batches);
    tcase_add_test(cases, outlet_refusal_waits_for_its_time);
    tcase_add_test(cases, outlet_refusals_are_noted_with_their_times_which_are_honoured);
    tcase_add_test(cases, outlet_failing_starts_are_noted_without_a_batch);
    tcase_add_test(cases, outlet_retries_beyond_the_limit_leave_the_last_ones_in_order);
    tcase_add_test(cases, outlet_takes_parts_of_a_transaction_where_marks_are_apart);
    tcase_add_test(cases, outlet_stopped_forgets_what_was_under_way);
    tcase_add_test(cases,
                   outlet_diverted_with_events_under_way_takes_nothing_before_they_are_read_again);
    tcase_add_test(cases, outlet_settling_down_gets_nothing_until_it_goes_on);
    tcase_add_test(cases, outlet_fatal_behind_spent_attempts_is_told);
    tcase_add_test(cases, outlet_fatal_wants_no_step);
    tcase_add_test(cases, outlet_marker_of_a_gap_is_shown_until_it_is_durable);
    tcase_add_test(cases, outlet_gap_that_the_store_does_not_know_is_not_passed);
    tcase_add_test(cases, outlet_isolated_behind_a_gap_gets_its_marker_out_of_the_letters);
    tcase_add_test(cases, outlet_resumed_behind_a_gap_shows_its_marker);
    tcase_add_test(cases, outlet_resumed_with_a_checkpoint_beyond_settled_goes_on_behind_it);
    return suite_run("outlet", cases);
}
