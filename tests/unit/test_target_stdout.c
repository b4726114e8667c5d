/*
 * Standard output gets whole batches, in order per target and never mixed; a reader who is slow
 * or gone blocks no caller.
 *
 * Oracle: a pipe whose other end the test reads; each line carries its target and number.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "targets/stdout/stdout_target.h"
#include "targets/stdout/writer.h"
#include "tests/unit/suite.h"

enum { LINE_SIZE = 128, WAIT_SECONDS = 20, TARGETS = 3 };
#define SECOND_US INT64_C(1000000)

static struct batch_pool *batches;

struct sink {
    struct outcome_sink base;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned posts;
    unsigned wakes;
    unsigned fatals;
    uint64_t settled[TARGETS];
};

struct rig {
    struct sink sink;
    int read_end;
    int write_end;
    struct target *targets[TARGETS];
};

static void sink_post(struct outcome_sink *base, const struct outcome *outcome)
{
    struct sink *sink = (struct sink *)base;
    (void)pthread_mutex_lock(&sink->lock);
    sink->posts++;
    sink->wakes += outcome->kind == OUTCOME_WAKE;
    sink->fatals += outcome->kind == OUTCOME_FATAL;
    if (outcome->kind == OUTCOME_SETTLED) {
        sink->settled[outcome->target] = outcome->checkpoint.position.commit_lsn.value;
    }
    (void)pthread_cond_broadcast(&sink->changed);
    (void)pthread_mutex_unlock(&sink->lock);
}

/* Waits until `*value` has reached `least`. */
static bool sink_wait(struct sink *sink, const unsigned *value, unsigned least)
{
    struct timespec deadline;
    (void)clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += WAIT_SECONDS;
    int result = 0;
    (void)pthread_mutex_lock(&sink->lock);
    while (*value < least && result == 0) {
        result = pthread_cond_timedwait(&sink->changed, &sink->lock, &deadline);
    }
    bool reached = *value >= least;
    (void)pthread_mutex_unlock(&sink->lock);
    return reached;
}

static void rig_start_target(struct rig *rig, uint32_t index)
{
    struct fan_error error = {0};
    const struct target_context context = {
        .pipeline = "p", .target = "t", .index = index, .outcomes = &rig->sink.base};
    const struct target_type *type = &stdout_target_type;
    ck_assert_int_eq(type->create(NULL, &context, &rig->targets[index], &error), FAN_OK);
    ck_assert_int_eq(type->start(rig->targets[index], NULL, &error), FAN_OK);
}

static void rig_init(struct rig *rig, uint32_t targets)
{
    *rig = (struct rig){.sink = {.base = {.post = sink_post},
                                 .lock = PTHREAD_MUTEX_INITIALIZER,
                                 .changed = PTHREAD_COND_INITIALIZER}};
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    rig->read_end = ends[0];
    rig->write_end = ends[1];
    writer_set_descriptor(rig->write_end);
    for (uint32_t i = 0; i < targets; i++) {
        rig_start_target(rig, i);
    }
}

static void rig_release(struct rig *rig)
{
    for (uint32_t i = 0; i < TARGETS; i++) {
        if (rig->targets[i] != NULL) {
            rig->targets[i]->type->stop(rig->targets[i]);
            rig->targets[i]->type->destroy(rig->targets[i]);
        }
    }
    (void)close(rig->read_end);
    (void)close(rig->write_end);
}

/* Lines "<target> <number>", padded. */
static enum fan_status rig_try(struct rig *rig, uint32_t target, uint64_t number, size_t count)
{
    struct batch *batch = batch_pool_take(batches);
    ck_assert_ptr_nonnull(batch);
    struct encoded *encoded = &batch->encoded[0];
    for (size_t i = 0; i < count; i++) {
        ck_assert(batch_reserve_event(batch));
        batch->events[i] = (struct batch_event){.position = {{number + i}, 0}};
        bytes_append_format(&encoded->bytes, "%u %0*" PRIu64, target, LINE_SIZE - 3, number + i);
        encoded->ends[i] = (uint32_t)encoded->bytes.size;
        bytes_append_char(&encoded->bytes, '\n');
        batch->events_count = i + 1;
    }
    struct fan_error error = {0};
    struct target *to = rig->targets[target];
    enum fan_status status = to->type->deliver(to, batch, 0, 0, &error);
    batch_unref(batch);
    return status;
}

/* Reads `lines` whole lines and checks that each target's numbers go on by one; lines of a batch
 * must stand together, so a target may change only at a multiple of `batch_lines`. */
static void read_lines(struct rig *rig, size_t lines, uint64_t next[TARGETS], size_t batch_lines)
{
    char line[LINE_SIZE];
    unsigned before = 0;
    for (size_t i = 0; i < lines; i++) {
        size_t size = 0;
        while (size < LINE_SIZE) {
            ssize_t count = read(rig->read_end, line + size, LINE_SIZE - size);
            ck_assert_int_gt(count, 0);
            size += (size_t)count;
        }
        ck_assert_int_eq(line[LINE_SIZE - 1], '\n');
        unsigned target = (unsigned)(line[0] - '0');
        ck_assert_uint_lt(target, TARGETS);
        ck_assert_uint_eq(strtoull(line + 2, NULL, 10), next[target]++);
        if (i % batch_lines != 0) {
            ck_assert_uint_eq(target, before);
        }
        before = target;
    }
}

START_TEST(stdout_short_batch_is_readable_when_deliver_returns)
{
    struct rig rig;
    uint64_t next[TARGETS] = {1, 1, 1};
    rig_init(&rig, 1);
    for (uint64_t number = 1; number < 100; number++) {
        ck_assert_int_eq(rig_try(&rig, 0, number, 1), FAN_OK);
        ck_assert_uint_eq(rig.sink.settled[0], number);
        read_lines(&rig, 1, next, 1);
    }
    rig_release(&rig);
}
END_TEST

START_TEST(stdout_slow_reader_gets_everything_in_order_and_unmixed)
{
    struct rig rig;
    uint64_t next[TARGETS] = {1, 1, 1};
    uint64_t sent[TARGETS] = {1, 1, 1};
    enum { LINES = 700, ROUNDS = 40 }; /* a batch is larger than a pipe */
    rig_init(&rig, TARGETS);
    size_t unread = 0;
    bool waited = false;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (uint32_t target = 0; target < TARGETS; target++) {
            while (rig_try(&rig, target, sent[target], LINES) == FAN_AGAIN) {
                waited = true;
                read_lines(&rig, LINES, next, LINES);
                unread -= LINES;
            }
            sent[target] += LINES;
            unread += LINES;
        }
    }
    read_lines(&rig, unread, next, LINES);
    ck_assert(waited);
    ck_assert(sink_wait(&rig.sink, &rig.sink.wakes, 1));
    for (uint32_t target = 0; target < TARGETS; target++) {
        ck_assert_uint_eq(next[target], (uint64_t)ROUNDS * LINES + 1);
    }
    ck_assert(sink_wait(&rig.sink, &rig.sink.posts, ROUNDS * TARGETS));
    rig_release(&rig);
}
END_TEST

START_TEST(stdout_without_a_reader_is_fatal_and_blocks_nobody)
{
    struct rig rig;
    rig_init(&rig, 2);
    (void)close(rig.read_end);
    rig.read_end = -1;
    (void)rig_try(&rig, 0, 1, _i == 0 ? 1 : 1000);
    ck_assert(sink_wait(&rig.sink, &rig.sink.fatals, 2)); /* both targets hear of it */
    ck_assert_int_eq(rig_try(&rig, 0, 1, 1), FAN_FATAL);
    ck_assert_int_eq(rig_try(&rig, 1, 1, 1), FAN_FATAL);
    ck_assert_uint_eq(rig.sink.settled[0], 0);
    rig_release(&rig);
}
END_TEST

START_TEST(stdout_stops_while_its_reader_has_stopped)
{
    struct rig rig;
    rig_init(&rig, 2);
    unsigned accepted = 0;
    while (rig_try(&rig, 0, 1 + accepted * 700, 700) == FAN_OK) {
        accepted++;
        ck_assert_uint_le(accepted, WRITER_ENTRIES_MAX + 2);
    }
    struct target *stuck = rig.targets[0];
    stuck->type->stop(stuck); /* gives the batch up after a moment */
    unsigned posts = rig.sink.posts;
    ck_assert_int_eq(rig_try(&rig, 1, 1, 1), FAN_OK);
    /* The torn line is ended before the next target's begins. */
    char content[1 << 17];
    size_t size = 0;
    int64_t deadline = clock_monotonic_us() + WAIT_SECONDS * SECOND_US;
    (void)fcntl(rig.read_end, F_SETFL, O_NONBLOCK);
    static const char last_start[] = "\n1 00";
    while (memmem(content, size, last_start, sizeof(last_start) - 1) == NULL) {
        ck_assert_int_lt(clock_monotonic_us(), deadline);
        ssize_t count = read(rig.read_end, content + size, sizeof(content) - size);
        size += count > 0 ? (size_t)count : 0;
    }
    ck_assert(sink_wait(&rig.sink, &rig.sink.posts, posts + 1));
    ck_assert_uint_eq(rig.sink.settled[1], 1);
    rig_release(&rig);
}
END_TEST

START_TEST(stdout_redirected_to_a_file_gets_every_line)
{
    struct rig rig;
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    rig_init(&rig, 0);
    writer_set_descriptor(fileno(file));
    rig_start_target(&rig, 0);
    ck_assert_int_eq(rig_try(&rig, 0, 1, 5000), FAN_OK);
    ck_assert(sink_wait(&rig.sink, &rig.sink.posts, 1));
    rewind(file);
    char line[LINE_SIZE + 1];
    uint64_t number = 1;
    while (fgets(line, sizeof(line), file) != NULL) {
        ck_assert_uint_eq(strtoull(line + 2, NULL, 10), number++);
    }
    ck_assert_uint_eq(number, 5001);
    rig_release(&rig);
    (void)fclose(file);
}
END_TEST

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as the engine does */
    batches = batch_pool_create(1, false, 4, 1 << 20);
    TCase *tests = tcase_create("target_stdout");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, stdout_short_batch_is_readable_when_deliver_returns);
    tcase_add_test(tests, stdout_slow_reader_gets_everything_in_order_and_unmixed);
    tcase_add_loop_test(tests, stdout_without_a_reader_is_fatal_and_blocks_nobody, 0, 2);
    tcase_add_test(tests, stdout_stops_while_its_reader_has_stopped);
    tcase_add_test(tests, stdout_redirected_to_a_file_gets_every_line);
    int status = suite_run("target_stdout", tests);
    batch_pool_destroy(batches);
    return status;
}
