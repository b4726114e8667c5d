/*
 * The reader between a source and its pipelines, with its intakes: admission, passing over,
 * verbs, what is persisted and when, the graceful end. Oracle: intake.h and reader.h, and the
 * promise: what is confirmed is settled and persisted.
 */
#include <check.h>
#include <string.h>

#include "base/log.h"
#include "engine/reader.h"
#include "engine/reader_thread.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/suite.h"

static struct fixture fixture;
static struct reader reader;
static int64_t now_us;

/* ---- a source that does nothing by itself, and a store that writes when told ---- */

static struct source source;
static unsigned rewinds;
static bool source_stopped;

static void source_step(struct source *self, int64_t step_us, struct source_wait *ret_wait)
{
    (void)self; /* the test calls the sink */
    *ret_wait = (struct source_wait){.deadline_us = step_us + 1000000};
}

static void source_rewind(struct source *self)
{
    (void)self; /* there is one */
    rewinds++;
}

static void source_stop(struct source *self)
{
    (void)self; /* there is one */
    source_stopped = true;
}

static void source_status_of(const struct source *self, struct source_status *ret_status)
{
    (void)self; /* there is one */
    *ret_status =
        (struct source_status){.state = source_stopped ? SOURCE_STOPPED : SOURCE_STREAMING};
}

static void source_destroy(struct source *self)
{
    (void)self; /* static */
}

static const struct source_type source_type = {.name = "test",
                                               .step = source_step,
                                               .rewind = source_rewind,
                                               .stop = source_stop,
                                               .status = source_status_of,
                                               .destroy = source_destroy};

static struct persist_job *posted;

static void post(struct persister *persister, struct persist_job *job)
{
    (void)persister; /* there is one */
    ck_assert_ptr_null(posted);
    posted = job;
}

static struct persister persister = {.post = post};

static void store_answers(enum fan_status status)
{
    struct persist_job *job = posted;
    ck_assert_ptr_nonnull(job);
    posted = NULL;
    job->status = status;
    if (status != FAN_OK) {
        (void)fan_fail(&job->error, status, "disk full"); /* the text is wanted */
    }
    job->done(job->context, job);
}

static void wake(void *context)
{
    (void)context; /* the test steps */
}

static int64_t wall_us(void *context)
{
    (void)context; /* the same for all */
    return 1700000000000000;
}

/* ---- steps ---- */

static void step(void)
{
    struct source_wait wait;
    now_us += 1000000;
    (void)pipeline_step(&fixture.pipeline, now_us); /* when it wants the next does not matter */
    reader_step(&reader, now_us, &wait);
}

/* Steps, and lets the store write, until nothing is due any more. */
static void settle_down(void)
{
    for (int round = 0; round < 8; round++) {
        step();
        if (posted != NULL) {
            store_answers(FAN_OK);
        }
    }
}

static void session(uint64_t start)
{
    struct source_memory memory = reader.memory;
    reader.sink.session_started(&reader.sink, (struct fan_lsn){start}, &memory);
}

static enum fan_status change(uint64_t commit, int64_t seq)
{
    struct change given = fixture_change(commit, seq);
    enum fan_status status = reader.sink.change(&reader.sink, &given);
    change_release(&given);
    return status;
}

static void commit(uint64_t at, uint64_t end)
{
    reader.sink.commit(&reader.sink, (struct fan_lsn){at}, (struct fan_lsn){end});
    reader.sink.publish(&reader.sink);
}

static uint64_t ack(void)
{
    return reader.sink.ack(&reader.sink).value;
}

static void open_reader(int64_t ring_events, int policy)
{
    fixture_open(&fixture, ring_events, policy, 4);
    now_us = 0;
    rewinds = 0;
    source_stopped = false;
    posted = NULL;
    source.type = &source_type;
    struct reader_setup setup = {
        .name = "s",
        .persister = &persister,
        .hooks = {.wake = wake, .wall_us = wall_us},
        .memory = {.slot_stage = SLOT_CREATED, .consistent_point = {100}, .confirmed = {100}},
    };
    struct intake_setup intake = {.pipeline = &fixture.pipeline,
                                  .settings = &fixture.settings,
                                  .state = PIPELINE_INITIALIZING,
                                  .reason = "",
                                  .start_lsn = {100}};
    struct fan_error error;
    ck_assert_int_eq(reader_init(&reader, &setup, 1, 1, &error), FAN_OK);
    ck_assert_int_eq(reader_add(&reader, 0, 0, &intake, &error), FAN_OK);
    reader_attach(&reader, &source);
    reader_start(&reader, now_us);
    settle_down();
    session(100);
}

static void teardown(void)
{
    fixture_close(&fixture);
    reader_release(&reader);
}

static struct command commands[4];

static void command(size_t at, enum pipeline_verb verb)
{
    commands[at] = (struct command){.verb = verb};
    reader.commands[reader.commands_count++] = &commands[at];
}

/* ---- tests ---- */

START_TEST(reader_ack_moves_only_when_settled_and_persisted)
{
    open_reader(8, BUFFER_BLOCK);
    ck_assert_int_eq(change(120, 0), FAN_OK);
    commit(120, 130);
    settle_down();
    ck_assert_uint_eq(ack(), 120);
    fixture_settle(&fixture, 120, 0);
    step();
    step();
    ck_assert_uint_eq(ack(), 120);
    ck_assert_ptr_nonnull(posted);
    ck_assert_uint_eq(posted->checkpoints_count, 1);
    ck_assert_uint_eq(posted->source.confirmed, 130);
    store_answers(FAN_OK);
    step();
    ck_assert_uint_eq(ack(), 130);
}
END_TEST

START_TEST(reader_failing_store_holds_the_ack_and_is_tried_again)
{
    open_reader(8, BUFFER_BLOCK);
    reader.sink.boundary(&reader.sink, (struct fan_lsn){150});
    step();
    ck_assert_ptr_nonnull(posted);
    store_answers(FAN_RETRY);
    step();
    ck_assert_uint_eq(ack(), 100);
    settle_down();
    ck_assert_uint_eq(ack(), 150);
}
END_TEST

START_TEST(reader_full_ring_under_block_takes_nothing)
{
    open_reader(1, BUFFER_BLOCK);
    ck_assert_int_eq(change(120, 0), FAN_OK);
    struct change second = fixture_change(120, 1);
    ck_assert_int_eq(reader.sink.change(&reader.sink, &second), FAN_AGAIN);
    ck_assert_ptr_nonnull(second.message);
    ck_assert_int_eq(reader.blocked_by, 0);
    change_release(&second);
}
END_TEST

/* The pipeline may empty its ring at once; what was staged must not appear after that. */
START_TEST(reader_overflow_under_error_leaves_nothing_in_the_ring)
{
    open_reader(1, BUFFER_ERROR);
    ck_assert_int_eq(change(120, 0), FAN_OK);
    ck_assert_int_eq(change(120, 1), FAN_OK);
    ck_assert_int_eq(reader.intakes[0].state, PIPELINE_ERROR);
    (void)pipeline_step(&fixture.pipeline, now_us); /* before the burst is published */
    commit(120, 130);
    struct ring_depth depth;
    ring_depth(&fixture.pipeline.ring, &depth);
    ck_assert_uint_eq(depth.events, 0);
    settle_down();
    ck_assert_uint_eq(ack(), 120);
}
END_TEST

/* After a stop everything comes again that some target lacks; this one has the first two. */
START_TEST(reader_drops_that_a_target_has_from_before_are_in_no_row_of_it)
{
    open_reader(1, BUFFER_DROP_OLDEST);
    const struct ring_had had = {.settled = {{120}, 0}, .given = {{120}, 1}};
    struct outlet *outlet = &fixture.pipeline.outlets[0];
    ring_set_had(&fixture.pipeline.ring, &had, 1);
    outlet->given = had.given;
    outlet->settled = had.given; /* its backlog was synced meanwhile */
    outlet->moves++;
    for (int64_t seq = 0; seq < 4; seq++) {
        ck_assert_int_eq(change(120, seq), FAN_OK);
    }
    commit(120, 130);
    step();
    ck_assert_ptr_nonnull(posted);
    ck_assert_uint_eq(posted->gaps_count, 1);
    ck_assert_int_eq(posted->gaps[0].first_seq, 2);
    ck_assert_uint_eq(posted->gaps[0].count, 1);
    store_answers(FAN_OK);
    step();
    struct ring_gap gaps[RING_GAPS_MAX];
    ck_assert_uint_eq(ring_gaps(&fixture.pipeline.ring, gaps), 0); /* all are known */
    ck_assert_uint_eq(fixture.target.events[0], 2); /* a marker, and the last event */
}
END_TEST

START_TEST(reader_loose_message_is_delivered_without_a_commit)
{
    open_reader(8, BUFFER_BLOCK);
    struct change message = fixture_change(128, SEQ_MESSAGE);
    message.hold_lsn = (struct fan_lsn){100};
    ck_assert_int_eq(reader.sink.change(&reader.sink, &message), FAN_OK);
    reader.sink.publish(&reader.sink);
    step();
    ck_assert_uint_eq(fixture.target.batches, 1);
}
END_TEST

START_TEST(reader_paused_pipeline_is_passed_over_and_read_again)
{
    open_reader(8, BUFFER_BLOCK);
    settle_down();
    command(0, PIPELINE_PAUSE);
    settle_down();
    ck_assert(commands[0].done && commands[0].status == FAN_OK);
    ck_assert_int_eq(change(120, 0), FAN_OK);
    commit(120, 130);
    settle_down();
    ck_assert_uint_eq(ack(), 120);
    ck_assert_uint_eq(fixture.target.batches, 0);
    command(1, PIPELINE_RESUME);
    settle_down();
    ck_assert_uint_ge(rewinds, 1);
    session(120);
    ck_assert_int_eq(change(120, 0), FAN_OK);
    commit(120, 130);
    step();
    ck_assert_uint_eq(fixture.target.batches, 1);
}
END_TEST

START_TEST(reader_start_during_stop_waits_until_idle)
{
    open_reader(8, BUFFER_BLOCK);
    ck_assert_int_eq(change(120, 0), FAN_OK);
    commit(120, 130);
    settle_down(); /* the target has it and does not settle */
    command(0, PIPELINE_STOP);
    command(1, PIPELINE_START);
    settle_down();
    ck_assert(commands[1].done && commands[1].status == FAN_OK);
    ck_assert_int_eq(fixture.pipeline.run, RUN_FLOWING);
    ck_assert_uint_eq(fixture.target.starts, 2);
}
END_TEST

START_TEST(reader_loss_of_a_paused_target_does_not_wake_it)
{
    open_reader(8, BUFFER_BLOCK);
    ck_assert_int_eq(change(120, 0), FAN_OK);
    commit(120, 130);
    settle_down();
    command(0, PIPELINE_PAUSE);
    settle_down();
    fixture_post(&fixture, OUTCOME_LOST);
    settle_down();
    settle_down();
    ck_assert_int_eq(reader.intakes[0].state, PIPELINE_PAUSED);
    ck_assert_int_eq(fixture.pipeline.run, RUN_IDLE);
    ck_assert_uint_eq(ack(), 120);
}
END_TEST

/* Earlier commits that come again say nothing about a later transaction that is queued in part. */
START_TEST(reader_commit_sent_again_does_not_end_a_later_transaction)
{
    open_reader(8, BUFFER_BLOCK);
    ck_assert_int_eq(change(120, 0), FAN_OK);
    commit(120, 130);
    ck_assert_int_eq(change(140, 0), FAN_OK);
    reader.sink.publish(&reader.sink);
    reader.sink.session_ended(&reader.sink);
    session(100);
    ck_assert_int_eq(change(120, 0), FAN_OK);
    commit(120, 130);
    step();
    ck_assert_uint_eq(fixture.target.batches, 1);
    ck_assert_uint_eq(fixture.target.last[0].commit_lsn.value, 120);
}
END_TEST

START_TEST(reader_stop_drains_persists_and_ends)
{
    open_reader(8, BUFFER_BLOCK);
    ck_assert_int_eq(change(120, 0), FAN_OK);
    commit(120, 130);
    step();
    reader_begin_stop(&reader);
    settle_down();
    ck_assert(!reader_has_ended(&reader));
    fixture_settle(&fixture, 120, 0);
    settle_down();
    ck_assert(reader_has_ended(&reader));
    ck_assert_uint_eq(ack(), 130);
    struct fan_error error = {0}; /* a verb that comes too late does not wait for a step */
    ck_assert_int_eq(reader_command(&reader, 0, PIPELINE_PAUSE, 1000000, &error), FAN_RETRY);
    ck_assert_str_eq(error.text, "the engine is stopping");
}
END_TEST

START_TEST(reader_loss_during_the_stop_is_no_error_state)
{
    open_reader(8, BUFFER_BLOCK);
    ck_assert_int_eq(change(120, 0), FAN_OK);
    commit(120, 130);
    step();
    reader_begin_stop(&reader);
    step();
    fixture_post(&fixture, OUTCOME_LOST);
    settle_down();
    ck_assert(reader_has_ended(&reader));
    ck_assert_int_ne(reader.intakes[0].state, PIPELINE_ERROR);
    ck_assert_uint_eq(ack(), 120);
}
END_TEST

/* Every session describes every table again; the versions are the same objects. */
START_TEST(reader_relation_described_again_keeps_its_route)
{
    open_reader(8, BUFFER_BLOCK);
    struct relation wanted = {.relid = 1, .schema = "public", .name = "t"};
    struct relation other = {.relid = 2, .schema = "public", .name = "other"};
    reader.sink.relation(&reader.sink, &wanted);
    reader.sink.relation(&reader.sink, &other);
    size_t routes = reader.routes_count;
    uint64_t route = wanted.routes;
    for (uint64_t at = 0; at < 100; at++) {
        reader.sink.session_ended(&reader.sink);
        session(100);
        reader.sink.relation(&reader.sink, &wanted);
        reader.sink.relation(&reader.sink, &other);
    }
    ck_assert_uint_eq(reader.routes_count, routes);
    ck_assert_uint_eq(wanted.routes, route);
    ck_assert_uint_eq(reader.routes[wanted.routes].count, 1);
    ck_assert_uint_eq(reader.routes[other.routes].count, 0);
}
END_TEST

START_TEST(reader_thread_passes_while_its_loop_comes_round)
{
    static struct reader other;
    struct reader_thread thread = {.reader = &other, .running = true, .passed_us = 100};
    ck_assert(reader_thread_passed(&thread, 100));
    ck_assert(!reader_thread_passed(&thread, 101));
    atomic_store(&thread.passed_us, INT64_MAX);
    ck_assert(reader_thread_passed(&thread, 101));
    atomic_store(&thread.passed_us, 0);
    atomic_store(&other.ended, true);
    ck_assert_msg(reader_thread_passed(&thread, 101), "a thread that has ended is not stuck");
    atomic_store(&other.ended, false);
    thread.running = false;
    ck_assert(reader_thread_passed(&thread, 101));
}
END_TEST

int main(void)
{
    log_set_level(LOG_ERROR);
    TCase *cases = tcase_create("reader");
    tcase_add_checked_fixture(cases, NULL, teardown);
    tcase_add_test(cases, reader_ack_moves_only_when_settled_and_persisted);
    tcase_add_test(cases, reader_failing_store_holds_the_ack_and_is_tried_again);
    tcase_add_test(cases, reader_full_ring_under_block_takes_nothing);
    tcase_add_test(cases, reader_overflow_under_error_leaves_nothing_in_the_ring);
    tcase_add_test(cases, reader_drops_that_a_target_has_from_before_are_in_no_row_of_it);
    tcase_add_test(cases, reader_loose_message_is_delivered_without_a_commit);
    tcase_add_test(cases, reader_paused_pipeline_is_passed_over_and_read_again);
    tcase_add_test(cases, reader_start_during_stop_waits_until_idle);
    tcase_add_test(cases, reader_loss_of_a_paused_target_does_not_wake_it);
    tcase_add_test(cases, reader_commit_sent_again_does_not_end_a_later_transaction);
    tcase_add_test(cases, reader_stop_drains_persists_and_ends);
    tcase_add_test(cases, reader_loss_during_the_stop_is_no_error_state);
    tcase_add_test(cases, reader_relation_described_again_keeps_its_route);
    tcase_add_test(cases, reader_thread_passes_while_its_loop_comes_round);
    return suite_run("reader", cases);
}
