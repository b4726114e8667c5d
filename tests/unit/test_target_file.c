/*
 * A file target has each accepted event in its segments exactly once and in order, whenever it is
 * killed, and settles only what a sync covers.
 *
 * Oracle: every event is a line that carries its number, so the segments read in order must be
 * the lines 1, 2, 3 ... without a gap, a repetition or half a line; sums are computed again from
 * the closed segments with the portable CRC.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/rng.h"
#include "engine/io_pool.h"
#include "targets/file/file_target.h"
#include "targets/file/mark.h"
#include "targets/file/segment.h"
#include "tests/unit/child.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"

enum { LINE_SIZE = 64, WAIT_SECONDS = 20 };
#define SECOND_US INT64_C(1000000)

static char directory[PATH_MAX];
static char path[PATH_MAX];
static struct io_pool *pool;
static struct batch_pool *batches;

/* For what the child runs, too, where Check is not at hand. */
static void require(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "%s\n", what);
        abort();
    }
}

/* Records what a target posts. */
struct sink {
    struct outcome_sink base;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned posts;
    unsigned settled_count;
    unsigned lost_count;
    unsigned fatal_count;
    struct target_checkpoint settled;
    struct fan_error error;
};

/* A target with what an engine keeps for it. */
struct rig {
    struct file_options options;
    struct sink sink;
    struct target *target;
    struct target_checkpoint stored; /* as in the store */
    bool has_stored;
    bool holds_store; /* settled positions are not stored for now */
    uint64_t next;    /* number of the next event */
    int64_t now_us;
    const struct file_ops *ops;
};

static void sink_post(struct outcome_sink *base, const struct outcome *outcome)
{
    struct sink *sink = (struct sink *)base;
    (void)pthread_mutex_lock(&sink->lock);
    sink->posts++;
    if (outcome->kind == OUTCOME_SETTLED) {
        sink->settled_count++;
        sink->settled = outcome->checkpoint;
    } else if (outcome->kind == OUTCOME_LOST) {
        sink->lost_count++;
        sink->error = outcome->error;
    } else if (outcome->kind == OUTCOME_FATAL) {
        sink->fatal_count++;
        sink->error = outcome->error;
    }
    (void)pthread_cond_broadcast(&sink->changed);
    (void)pthread_mutex_unlock(&sink->lock);
}

static unsigned sink_posts(struct sink *sink)
{
    (void)pthread_mutex_lock(&sink->lock);
    unsigned posts = sink->posts;
    (void)pthread_mutex_unlock(&sink->lock);
    return posts;
}

/* Waits until more than `posts` outcomes came, or for `milliseconds`. */
static bool sink_wait(struct sink *sink, unsigned posts, int64_t milliseconds)
{
    struct timespec deadline;
    (void)clock_gettime(CLOCK_REALTIME, &deadline);
    int64_t nanos = deadline.tv_nsec + milliseconds % 1000 * 1000000;
    deadline.tv_sec += milliseconds / 1000 + nanos / 1000000000;
    deadline.tv_nsec = nanos % 1000000000;
    int result = 0;
    (void)pthread_mutex_lock(&sink->lock);
    while (sink->posts <= posts && result == 0) {
        result = pthread_cond_timedwait(&sink->changed, &sink->lock, &deadline);
    }
    bool came = sink->posts > posts;
    (void)pthread_mutex_unlock(&sink->lock);
    return came;
}

static bool settled_up_to(struct sink *sink, uint64_t number)
{
    (void)pthread_mutex_lock(&sink->lock);
    bool reached = sink->settled.position.commit_lsn.value >= number;
    (void)pthread_mutex_unlock(&sink->lock);
    return reached;
}

static void rig_init(struct rig *rig)
{
    *rig = (struct rig){
        .options = {.path = path,
                    .fsync = FILE_FSYNC_BATCH,
                    .fsync_interval_us = SECOND_US,
                    .fsync_bytes = FILE_WINDOW_BYTES},
        .sink = {.base = {.post = sink_post},
                 .lock = PTHREAD_MUTEX_INITIALIZER,
                 .changed = PTHREAD_COND_INITIALIZER},
        .next = 1,
        .now_us = SECOND_US,
        .ops = &file_ops_system,
    };
}

static enum fan_status rig_try_start(struct rig *rig, struct fan_error *error)
{
    if (rig->target == NULL) {
        static uint64_t lane;
        const struct target_context context = {.pipeline = "p",
                                               .target = "t",
                                               .index = 3,
                                               .lane = ++lane,
                                               .outcomes = &rig->sink.base,
                                               .executor = io_pool_executor(pool)};
        enum fan_status status =
            file_target_create(&rig->options, &context, rig->ops, &rig->target, error);
        require(status == FAN_OK, "a target is made");
    }
    return rig->target->type->start(rig->target, rig->has_stored ? &rig->stored : NULL, error);
}

static void rig_start(struct rig *rig)
{
    struct fan_error error = {0};
    require(rig_try_start(rig, &error) == FAN_OK, error.text);
    rig->next = rig->has_stored ? rig->stored.position.commit_lsn.value + 1 : 1;
}

static void rig_refused(struct rig *rig, const char *code)
{
    struct fan_error error = {0};
    ck_assert_int_eq(rig_try_start(rig, &error), FAN_FATAL);
    ck_assert_str_eq(error.code, code);
}

/* As a kill: nothing is flushed, nothing is stored any more. */
static void rig_kill(struct rig *rig)
{
    if (rig->target != NULL) {
        rig->target->type->stop(rig->target);
        rig->target->type->destroy(rig->target);
        rig->target = NULL;
    }
}

/* The store takes the newest settled position, and the target hears of it. */
static void rig_store(struct rig *rig)
{
    (void)pthread_mutex_lock(&rig->sink.lock);
    struct target_checkpoint settled = rig->sink.settled;
    bool newer = rig->sink.settled_count > 0;
    (void)pthread_mutex_unlock(&rig->sink.lock);
    if (newer && !rig->holds_store) {
        rig->stored = settled;
        rig->has_stored = true;
        rig->target->type->checkpointed(rig->target, &settled);
    }
}

/* `count` lines of `line_size` bytes each, numbered from `number`. */
static struct batch *batch_make(uint64_t number, size_t count, size_t line_size)
{
    struct batch *batch = batch_pool_take(batches);
    require(batch != NULL, "memory");
    struct encoded *encoded = &batch->encoded[0];
    for (size_t i = 0; i < count; i++) {
        require(batch_reserve_event(batch), "memory");
        batch->events[i] =
            (struct batch_event){.position = {{number + i}, 0}, .op = 'c', .txn_end = true};
        bytes_append_format(&encoded->bytes, "%0*" PRIu64, (int)line_size - 1, number + i);
        encoded->ends[i] = (uint32_t)encoded->bytes.size;
        bytes_append_char(&encoded->bytes, '\n');
        batch->events_count = i + 1;
    }
    require(bytes_ok(&encoded->bytes), "memory");
    return batch;
}

static enum fan_status rig_try(struct rig *rig, size_t count, size_t line_size,
                               struct fan_error *error)
{
    struct batch *batch = batch_make(rig->next, count, line_size);
    enum fan_status status = rig->target->type->deliver(rig->target, batch, 0, rig->now_us, error);
    if (status == FAN_OK) {
        rig->next += count;
    }
    batch_unref(batch);
    return status;
}

/* Delivers, storing checkpoints and ticking as an engine does, until the batch is accepted. */
static void rig_deliver(struct rig *rig, size_t count)
{
    struct fan_error error = {0};
    int64_t deadline = clock_monotonic_us() + WAIT_SECONDS * SECOND_US;
    for (;;) {
        unsigned posts = sink_posts(&rig->sink);
        rig_store(rig);
        enum fan_status status = rig_try(rig, count, LINE_SIZE, &error);
        if (status == FAN_OK) {
            return;
        }
        ck_assert_msg(status == FAN_AGAIN, "%s: %s", error.code, error.text);
        ck_assert_int_lt(clock_monotonic_us(), deadline);
        (void)sink_wait(&rig->sink, posts, 50);
    }
}

static void rig_settle(struct rig *rig)
{
    int64_t deadline = clock_monotonic_us() + WAIT_SECONDS * SECOND_US;
    rig->target->type->flush(rig->target, rig->now_us);
    while (!settled_up_to(&rig->sink, rig->next - 1)) {
        unsigned posts = sink_posts(&rig->sink);
        ck_assert_int_lt(clock_monotonic_us(), deadline);
        if (!settled_up_to(&rig->sink, rig->next - 1)) {
            (void)sink_wait(&rig->sink, posts, 50);
        }
    }
    rig_store(rig);
}

static char *file_content(const char *file_path, size_t *ret_size)
{
    FILE *file = fopen(file_path, "re");
    if (file == NULL) {
        *ret_size = 0;
        return NULL;
    }
    struct stat status;
    require(fstat(fileno(file), &status) == 0, "fstat");
    char *content = malloc((size_t)status.st_size + 1);
    require(content != NULL, "memory");
    *ret_size = fread(content, 1, (size_t)status.st_size, file);
    content[*ret_size] = '\0';
    (void)fclose(file);
    return content;
}

/* Checks that a file goes on with line `number` and returns the number after its last line. */
static uint64_t check_lines(const char *file_path, uint64_t number)
{
    size_t size = 0;
    char *content = file_content(file_path, &size);
    const char *at = content;
    while (at != NULL && at < content + size) {
        char *end = NULL;
        uint64_t value = strtoull(at, &end, 10);
        ck_assert_msg(*end == '\n', "half a line in %s at %zu", file_path, (size_t)(at - content));
        ck_assert_msg(value == number, "%s: line %" PRIu64 " where %" PRIu64 " is due", file_path,
                      value, number);
        number++;
        at = end + 1;
    }
    free(content);
    return number;
}

static void closed_path(uint64_t segment, char text[PATH_MAX])
{
    (void)snprintf(text, PATH_MAX, "%.4000s/out.%06" PRIu64 ".jsonl", directory, segment);
}

/* The segments, closed and active, hold the lines from 1 on; returns the number after the last. */
static uint64_t check_segments(uint64_t *ret_closed)
{
    uint64_t number = 1;
    uint64_t segment = 1;
    char name[PATH_MAX];
    for (;; segment++) {
        closed_path(segment, name);
        if (access(name, F_OK) != 0) {
            break;
        }
        number = check_lines(name, number);
    }
    *ret_closed = segment - 1;
    return check_lines(path, number);
}

static off_t file_size(const char *file_path)
{
    struct stat status;
    return stat(file_path, &status) == 0 ? status.st_size : -1;
}

static void file_write(const char *file_path, const char *text)
{
    FILE *file = fopen(file_path, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static void setup(void)
{
    scratch_path(directory, sizeof(directory));
    (void)snprintf(path, sizeof(path), "%.4000s/out.jsonl", directory);
    ck_assert_int_eq(mkdir(directory, 0755), 0);
}

START_TEST(crc32c_matches_its_check_value_and_the_table)
{
    ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xE3069283U);
    ck_assert_uint_eq(crc32c_portable(0, "123456789", 9), 0xE3069283U);
    uint8_t data[300];
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * 37 + 11);
    }
    for (size_t start = 0; start < 9; start++) {
        for (size_t size = 0; start + size <= sizeof(data); size++) {
            uint32_t whole = crc32c(0, data + start, size);
            ck_assert_uint_eq(whole, crc32c_portable(0, data + start, size));
            ck_assert_uint_eq(whole, crc32c(crc32c(0, data + start, size / 3),
                                            data + start + size / 3, size - size / 3));
        }
    }
}
END_TEST

START_TEST(mark_text_reads_back_and_nothing_else_does)
{
    const struct file_mark mark = {.file = 0xDEADBEEF,
                                   .segment = INT64_MAX,
                                   .base = 1,
                                   .offset = INT64_MAX,
                                   .events = INT64_MAX,
                                   .crc = UINT32_MAX,
                                   .first = {{UINT64_MAX}, SEQ_MESSAGE}};
    char text[TARGET_DETAIL_MAX];
    file_mark_format(&mark, text);
    struct file_mark read_back = {0};
    ck_assert(file_mark_parse(text, &read_back));
    ck_assert_mem_eq(&read_back, &mark, sizeof(mark));
    for (size_t size = 0; size < strlen(text); size++) {
        char cut[TARGET_DETAIL_MAX];
        memcpy(cut, text, size);
        cut[size] = '\0';
        /* Only a shorter last number would still be one; this text ends in one digit. */
        ck_assert(!file_mark_parse(cut, &read_back));
    }
    ck_assert(
        !file_mark_parse("file=0 segment=0 base=0 offset=0 events=0 crc=0 first=0/0", &read_back));
    ck_assert(
        !file_mark_parse("file=0 segment=1 base=9 offset=0 events=0 crc=0 first=0/0", &read_back));
    ck_assert(!file_mark_parse("file=0 segment=99999999999999999999 base=0", &read_back));
}
END_TEST

START_TEST(file_batch_policy_settles_each_batch_by_a_sync)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    rig_deliver(&rig, 3);
    rig_settle(&rig);
    ck_assert_int_eq(file_size(path), 3 * LINE_SIZE);
    ck_assert_uint_eq(check_lines(path, 1), 4);
    rig_kill(&rig);
}
END_TEST

START_TEST(file_interval_policy_settles_when_its_time_is_over)
{
    struct rig rig;
    rig_init(&rig);
    rig.options.fsync = FILE_FSYNC_INTERVAL;
    rig_start(&rig);
    rig_deliver(&rig, 1);
    const struct target_type *type = rig.target->type;
    ck_assert_int_eq(type->tick(rig.target, rig.now_us), rig.now_us + SECOND_US);
    (void)type->tick(rig.target, rig.now_us + SECOND_US - 1);
    ck_assert_uint_eq(rig.sink.posts, 0);
    ck_assert_int_eq(type->tick(rig.target, rig.now_us + SECOND_US), INT64_MAX);
    ck_assert(sink_wait(&rig.sink, 0, WAIT_SECONDS * 1000));
    ck_assert(settled_up_to(&rig.sink, 1));
    rig_kill(&rig);
}
END_TEST

START_TEST(file_os_policy_settles_at_once)
{
    struct rig rig;
    rig_init(&rig);
    ck_assert_str_eq(file_target_type.durability(&rig.options), "disk");
    rig.options.fsync = FILE_FSYNC_OS;
    ck_assert_str_eq(file_target_type.durability(&rig.options), "os");
    rig_start(&rig);
    rig_deliver(&rig, 5);
    ck_assert_uint_eq(rig.sink.settled_count, 1);
    ck_assert(settled_up_to(&rig.sink, 5));
    rig_kill(&rig);
}
END_TEST

START_TEST(file_started_at_an_older_checkpoint_cuts_what_is_behind_it)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    rig_deliver(&rig, 4);
    rig_settle(&rig);
    rig.holds_store = true;
    rig_deliver(&rig, 7);
    rig_settle(&rig);
    ck_assert_int_eq(file_size(path), 11 * LINE_SIZE);
    rig_kill(&rig);
    rig.holds_store = false;
    rig_start(&rig);
    ck_assert_int_eq(file_size(path), 4 * LINE_SIZE);
    ck_assert_uint_eq(rig.next, 5);
    rig_deliver(&rig, 3);
    rig_settle(&rig);
    ck_assert_uint_eq(check_lines(path, 1), 8);
    rig_kill(&rig);
}
END_TEST

START_TEST(file_killed_before_its_first_checkpoint_has_no_event_twice)
{
    struct rig rig;
    rig_init(&rig);
    file_write(path, "somebody else's line\n");
    off_t before = file_size(path);
    for (int round = 0; round < 3; round++) {
        rig.holds_store = true;
        rig_start(&rig);
        ck_assert_int_eq(file_size(path), before);
        rig_deliver(&rig, 6);
        rig_kill(&rig);
    }
    ck_assert_int_eq(file_size(path), before + 6 * LINE_SIZE);
}
END_TEST

START_TEST(file_with_half_a_line_of_others_is_refused)
{
    struct rig rig;
    rig_init(&rig);
    file_write(path, "no end of line");
    rig_refused(&rig, "FILE_FOREIGN");
    ck_assert_int_eq(file_size(path), 14);
    rig_kill(&rig);
}
END_TEST

START_TEST(file_in_a_missing_directory_is_refused)
{
    struct rig rig;
    rig_init(&rig);
    ck_assert_int_eq(rmdir(directory), 0);
    rig_refused(&rig, "FILE_DIRECTORY_MISSING");
    rig_kill(&rig);
    ck_assert_int_eq(mkdir(directory, 0755), 0);
}
END_TEST

START_TEST(file_that_is_none_is_refused)
{
    struct rig rig;
    rig_init(&rig);
    ck_assert_int_eq(symlink("elsewhere", path), 0);
    rig_refused(&rig, "FILE_KIND");
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    rig_refused(&rig, "FILE_KIND");
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    rig_refused(&rig, "FILE_OPEN");
    rig_kill(&rig);
}
END_TEST

START_TEST(file_that_another_target_writes_is_refused)
{
    struct rig first;
    struct rig second;
    rig_init(&first);
    rig_init(&second);
    rig_start(&first);
    rig_refused(&second, "FILE_IN_USE");
    rig_kill(&first);
    rig_start(&second);
    rig_kill(&second);
}
END_TEST

START_TEST(file_shorter_than_its_checkpoint_is_refused)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    rig_deliver(&rig, 4);
    rig_settle(&rig);
    rig_kill(&rig);
    ck_assert_int_eq(truncate(path, 4 * LINE_SIZE - 1), 0);
    rig_refused(&rig, "FILE_SHORTER");
    ck_assert_int_eq(unlink(path), 0);
    rig_refused(&rig, "FILE_SHORTER");
    ck_assert_int_ne(access(path, F_OK), 0);
    rig_kill(&rig);
}
END_TEST

START_TEST(file_with_an_unreadable_checkpoint_is_refused)
{
    struct rig rig;
    rig_init(&rig);
    rig.has_stored = true;
    rig.stored = (struct target_checkpoint){.position = {{7}, 0}, .detail = "segment=one"};
    rig_refused(&rig, "FILE_CHECKPOINT");
    rig_kill(&rig);
}
END_TEST

START_TEST(file_with_another_path_goes_on_at_its_checkpoint)
{
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    rig_deliver(&rig, 4);
    rig_settle(&rig);
    rig_kill(&rig);
    char other[PATH_MAX];
    (void)snprintf(other, sizeof(other), "%.4000s/other.jsonl", directory);
    rig.options.path = other;
    for (int round = 0; round < 2; round++) { /* killed once before its own first checkpoint */
        rig.holds_store = round == 0;
        rig_start(&rig);
        ck_assert_uint_eq(rig.next, 5);
        rig_deliver(&rig, 2);
        rig_settle(&rig);
        rig_kill(&rig);
    }
    ck_assert_uint_eq(check_lines(path, 1), 5);
    ck_assert_uint_eq(check_lines(other, 5), 7);
}
END_TEST

static void check_sum(uint64_t segment, uint64_t first, uint64_t last)
{
    char name[PATH_MAX];
    char sum_name[PATH_MAX];
    char expected[512];
    size_t size = 0;
    size_t sum_size = 0;
    closed_path(segment, name);
    (void)snprintf(sum_name, sizeof(sum_name), "%.4000s.sum", name);
    char *content = file_content(name, &size);
    char *sum = file_content(sum_name, &sum_size);
    ck_assert_ptr_nonnull(sum);
    (void)snprintf(expected, sizeof(expected),
                   "{\"segment\":%" PRIu64 ",\"offset\":0,\"bytes\":%zu,\"events\":%" PRIu64
                   ",\"crc32c\":\"%08" PRIX32 "\",\"first\":\"%016" PRIX64
                   "-00000000\",\"last\":\"%016" PRIX64 "-00000000\"}\n",
                   segment, size, last - first + 1, crc32c_portable(0, content, size), first, last);
    ck_assert_str_eq(sum, expected);
    free(content);
    free(sum);
}

START_TEST(file_rotation_closes_segments_with_their_sums)
{
    struct rig rig;
    rig_init(&rig);
    rig.options.rotate_bytes = 10 * LINE_SIZE;
    rig_start(&rig);
    for (int i = 0; i < 9; i++) {
        rig_deliver(&rig, 4); /* two to a segment; a third would be too much */
        if (i == 4) {
            rig_settle(&rig);
            rig_kill(&rig); /* the CRC goes on from the checkpoint */
            rig_start(&rig);
        }
    }
    rig_settle(&rig);
    rig_kill(&rig);
    uint64_t closed = 0;
    ck_assert_uint_eq(check_segments(&closed), 37);
    ck_assert_uint_eq(closed, 4);
    for (uint64_t segment = 1; segment <= closed; segment++) {
        check_sum(segment, (segment - 1) * 8 + 1, segment * 8);
    }
    char start[PATH_MAX];
    (void)snprintf(start, sizeof(start), "%.4000s.start", path);
    ck_assert_int_ne(access(start, F_OK), 0);
}
END_TEST

START_TEST(file_rotation_waits_until_its_end_is_stored)
{
    struct rig rig;
    struct fan_error error = {0};
    rig_init(&rig);
    rig.options.rotate_bytes = LINE_SIZE;
    rig.options.fsync = FILE_FSYNC_INTERVAL;
    rig_start(&rig);
    rig_deliver(&rig, 1);
    rig.holds_store = true;
    ck_assert_int_eq(rig_try(&rig, 1, LINE_SIZE, &error), FAN_AGAIN);
    ck_assert(sink_wait(&rig.sink, 0, WAIT_SECONDS * 1000)); /* it asked for the sync itself */
    ck_assert_int_eq(rig_try(&rig, 1, LINE_SIZE, &error), FAN_AGAIN);
    char name[PATH_MAX];
    closed_path(1, name);
    ck_assert_int_ne(access(name, F_OK), 0);
    rig.holds_store = false;
    rig_store(&rig);
    ck_assert(sink_wait(&rig.sink, 1, WAIT_SECONDS * 1000));
    ck_assert_int_eq(access(name, F_OK), 0);
    ck_assert_int_eq(rig_try(&rig, 1, LINE_SIZE, &error), FAN_OK);
    rig_kill(&rig);
}
END_TEST

START_TEST(file_rotation_goes_on_when_its_end_was_stored_while_stopped)
{
    struct rig rig;
    rig_init(&rig);
    rig.options.rotate_bytes = LINE_SIZE;
    rig_start(&rig);
    rig.holds_store = true;
    rig_deliver(&rig, 1);
    rig_settle(&rig);
    rig.target->type->stop(rig.target);
    rig.stored = rig.sink.settled; /* and nobody tells the target */
    rig.has_stored = true;
    rig.sink.settled_count = 0;
    rig.holds_store = false;
    rig_start(&rig);
    rig_deliver(&rig, 1);
    rig_settle(&rig);
    uint64_t closed = 0;
    ck_assert_uint_eq(check_segments(&closed), 3);
    ck_assert_uint_eq(closed, 1);
    rig_kill(&rig);
}
END_TEST

START_TEST(file_rotation_never_writes_over_a_closed_segment)
{
    struct rig rig;
    struct fan_error error = {0};
    char name[PATH_MAX];
    rig_init(&rig);
    rig.options.rotate_bytes = LINE_SIZE;
    rig_start(&rig);
    rig_deliver(&rig, 1);
    rig_settle(&rig);
    closed_path(1, name);
    file_write(name, "precious\n");
    unsigned posts = sink_posts(&rig.sink);
    ck_assert_int_eq(rig_try(&rig, 1, LINE_SIZE, &error), FAN_AGAIN);
    ck_assert(sink_wait(&rig.sink, posts, WAIT_SECONDS * 1000));
    ck_assert_int_eq(rig_try(&rig, 1, LINE_SIZE, &error), FAN_FATAL);
    ck_assert_str_eq(error.code, "FILE_EXISTS");
    ck_assert_int_eq(file_size(name), 9);
    ck_assert_int_eq(unlink(name), 0);
    rig.now_us += 2 * SECOND_US; /* it tries again by itself */
    rig_deliver(&rig, 1);
    rig_settle(&rig);
    uint64_t closed = 0;
    ck_assert_uint_eq(check_segments(&closed), 3);
    rig_kill(&rig);
}
END_TEST

START_TEST(file_rotation_by_time_needs_an_event)
{
    struct rig rig;
    uint64_t closed = 0;
    rig_init(&rig);
    rig.options.rotate_interval_us = 60 * SECOND_US;
    rig_start(&rig);
    const struct target_type *type = rig.target->type;
    (void)type->tick(rig.target, rig.now_us);
    rig.now_us += 1000 * SECOND_US;
    ck_assert_int_eq(type->tick(rig.target, rig.now_us), INT64_MAX);
    rig_deliver(&rig, 2);
    rig_settle(&rig);
    ck_assert_int_eq(type->tick(rig.target, rig.now_us), rig.now_us + 60 * SECOND_US);
    rig.now_us += 60 * SECOND_US;
    unsigned posts = sink_posts(&rig.sink);
    (void)type->tick(rig.target, rig.now_us);
    ck_assert(sink_wait(&rig.sink, posts, WAIT_SECONDS * 1000));
    (void)type->tick(rig.target, rig.now_us);
    rig_deliver(&rig, 1);
    rig_settle(&rig);
    ck_assert_uint_eq(check_segments(&closed), 4);
    ck_assert_uint_eq(closed, 1);
    rig_kill(&rig);
}
END_TEST

/* The crash comes after the rename and before the new start mark, and somebody may have taken the
 * closed segment away after the start mark. */
START_TEST(file_killed_between_the_steps_of_a_rotation_goes_on)
{
    struct rig rig;
    uint64_t closed = 0;
    char name[PATH_MAX];
    rig_init(&rig);
    rig_start(&rig);
    rig_deliver(&rig, 4);
    rig_settle(&rig);
    rig_kill(&rig);
    closed_path(1, name);
    ck_assert_int_eq(rename(path, name), 0);
    rig_start(&rig);
    rig.holds_store = true;
    rig_deliver(&rig, 3);
    rig_kill(&rig);
    char taken[PATH_MAX];
    (void)snprintf(taken, sizeof(taken), "%.4000s/taken", directory);
    ck_assert_int_eq(rename(name, taken), 0);
    rig_start(&rig);
    ck_assert_int_eq(file_size(path), 0);
    rig.holds_store = false;
    rig_deliver(&rig, 2);
    rig_settle(&rig);
    rig_kill(&rig);
    ck_assert_int_eq(rename(taken, name), 0);
    ck_assert_uint_eq(check_segments(&closed), 7);
}
END_TEST

START_TEST(file_with_segments_ahead_of_its_checkpoint_is_refused)
{
    struct rig rig;
    rig_init(&rig);
    rig.options.rotate_bytes = LINE_SIZE;
    rig_start(&rig);
    rig_deliver(&rig, 1);
    rig_settle(&rig);
    struct target_checkpoint old = rig.stored;
    for (int i = 0; i < 3; i++) {
        rig_deliver(&rig, 1);
    }
    rig_settle(&rig);
    rig_kill(&rig);
    rig.stored = old;
    rig_refused(&rig, "FILE_AHEAD");
    rig_kill(&rig);
}
END_TEST

/* System calls that fail when told to. */
static _Atomic int write_errno;
static _Atomic int truncate_errno;
static _Atomic int sync_errno;
static _Atomic unsigned syncs;
static pthread_mutex_t sync_gate = PTHREAD_MUTEX_INITIALIZER;

static ssize_t failing_pwrite(int descriptor, const void *data, size_t size, off_t offset)
{
    if (write_errno != 0 && size > 10) {
        return pwrite(descriptor, data, 10, offset); /* a torn write before the failure */
    }
    if (write_errno != 0) {
        errno = write_errno;
        return -1;
    }
    return pwrite(descriptor, data, size > 100 ? 100 : size, offset);
}

static ssize_t failing_pwrite_at_once(int descriptor, const void *data, size_t size, off_t offset)
{
    ssize_t written = failing_pwrite(descriptor, data, size > 60 ? 60 : size, offset);
    if (write_errno != 0) {
        errno = write_errno;
        return -1;
    }
    return written;
}

static int failing_ftruncate(int descriptor, off_t size)
{
    if (truncate_errno != 0) {
        errno = truncate_errno;
        return -1;
    }
    return ftruncate(descriptor, size);
}

static int failing_fdatasync(int descriptor)
{
    (void)pthread_mutex_lock(&sync_gate);
    (void)pthread_mutex_unlock(&sync_gate);
    atomic_fetch_add(&syncs, 1);
    if (sync_errno != 0) {
        errno = sync_errno;
        return -1;
    }
    return fdatasync(descriptor);
}

static const struct file_ops torn_ops = {
    .pwrite = failing_pwrite, .fdatasync = failing_fdatasync, .ftruncate = failing_ftruncate};
static const struct file_ops failing_ops = {.pwrite = failing_pwrite_at_once,
                                            .fdatasync = failing_fdatasync,
                                            .ftruncate = failing_ftruncate};

START_TEST(file_on_a_full_disk_keeps_nothing_of_the_batch_and_goes_on)
{
    static const int reasons[] = {ENOSPC, EDQUOT, EIO, EFBIG};
    struct rig rig;
    struct fan_error error = {0};
    rig_init(&rig);
    rig.ops = _i < 4 ? &failing_ops : &torn_ops;
    rig_start(&rig);
    rig_deliver(&rig, 3);
    write_errno = reasons[_i % 4];
    ck_assert_int_eq(rig_try(&rig, 5, LINE_SIZE, &error), FAN_RETRY);
    if (_i % 4 < 2) {
        ck_assert_str_eq(error.code, "DISK_FULL");
    }
    ck_assert_int_eq(error.sys_errno, reasons[_i % 4]);
    ck_assert_int_eq(file_size(path), 3 * LINE_SIZE);
    write_errno = 0;
    rig_deliver(&rig, 5);
    rig_settle(&rig);
    ck_assert_uint_eq(check_lines(path, 1), 9);
    rig_kill(&rig);
}
END_TEST

START_TEST(file_that_cannot_be_cut_after_a_failed_write_is_cut_before_the_next)
{
    struct rig rig;
    struct fan_error error = {0};
    rig_init(&rig);
    rig.ops = &torn_ops;
    rig_start(&rig);
    rig_deliver(&rig, 3);
    write_errno = ENOSPC;
    truncate_errno = EIO;
    ck_assert_int_eq(rig_try(&rig, 5, LINE_SIZE, &error), FAN_RETRY);
    ck_assert_int_gt(file_size(path), 3 * LINE_SIZE);
    write_errno = 0;
    ck_assert_int_eq(rig_try(&rig, 5, LINE_SIZE, &error), FAN_RETRY);
    truncate_errno = 0;
    rig_deliver(&rig, 1);
    rig_settle(&rig);
    ck_assert_int_eq(file_size(path), 4 * LINE_SIZE);
    ck_assert_uint_eq(check_lines(path, 1), 5);
    rig_kill(&rig);
}
END_TEST

START_TEST(file_over_the_size_limit_of_the_process_asks_to_retry)
{
    struct rig rig;
    struct fan_error error = {0};
    struct rlimit before;
    rig_init(&rig);
    rig_start(&rig);
    rig_deliver(&rig, 3);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit tight = {.rlim_cur = 5 * LINE_SIZE, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &tight), 0);
    enum fan_status status = rig_try(&rig, 5, LINE_SIZE, &error);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_eq(status, FAN_RETRY);
    ck_assert_int_eq(file_size(path), 3 * LINE_SIZE);
    rig_deliver(&rig, 5);
    rig_settle(&rig);
    ck_assert_uint_eq(check_lines(path, 1), 9);
    rig_kill(&rig);
}
END_TEST

/* A real full disk, where the test may mount one. */
START_TEST(file_on_a_real_full_disk_goes_on_when_there_is_space)
{
    struct rig rig;
    struct fan_error error = {0};
    char filler[PATH_MAX];
    rig_init(&rig);
    if (mount("tmpfs", directory, "tmpfs", 0, "size=256k") != 0) {
        return; /* only the superuser can make this case */
    }
    (void)snprintf(filler, sizeof(filler), "%.4000s/filler", directory);
    FILE *file = fopen(filler, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(ftruncate(fileno(file), 0), 0);
    ck_assert_int_eq(posix_fallocate(fileno(file), 0, 128 << 10), 0);
    ck_assert_int_eq(fclose(file), 0);
    rig.options.rotate_bytes = 1000 * LINE_SIZE; /* 64,000 bytes */
    rig_start(&rig);
    uint64_t full_at = 0;
    for (int64_t deadline = clock_monotonic_us() + WAIT_SECONDS * SECOND_US; full_at == 0;) {
        unsigned posts = sink_posts(&rig.sink);
        rig_store(&rig);
        enum fan_status status = rig_try(&rig, 100, LINE_SIZE, &error);
        ck_assert_int_lt(clock_monotonic_us(), deadline);
        if (status == FAN_RETRY) {
            full_at = rig.next;
        } else if (status == FAN_AGAIN) {
            (void)sink_wait(&rig.sink, posts, 50);
        }
    }
    ck_assert_int_eq(file_size(path) % ((off_t)100 * LINE_SIZE), 0);
    ck_assert_int_eq(unlink(filler), 0);
    rig.now_us += 2 * SECOND_US; /* a rotation that failed goes on by itself */
    for (int i = 0; i < 5; i++) {
        rig_deliver(&rig, 100);
    }
    rig_settle(&rig);
    uint64_t closed = 0;
    ck_assert_uint_eq(check_segments(&closed), full_at + 500);
    rig_kill(&rig);
    ck_assert_int_eq(umount(directory), 0);
}
END_TEST

START_TEST(file_whose_sync_failed_is_lost_and_reopened_at_its_checkpoint)
{
    struct rig rig;
    struct fan_error error = {0};
    rig_init(&rig);
    rig.ops = &torn_ops;
    rig_start(&rig);
    rig_deliver(&rig, 3);
    rig_settle(&rig);
    unsigned posts = sink_posts(&rig.sink);
    sync_errno = EIO;
    rig_deliver(&rig, 2);
    ck_assert(sink_wait(&rig.sink, posts, WAIT_SECONDS * 1000));
    ck_assert_uint_eq(rig.sink.lost_count, 1);
    ck_assert_str_eq(rig.sink.error.code, "FILE_SYNC");
    sync_errno = 0;
    unsigned before = syncs;
    rig.target->type->flush(rig.target, rig.now_us);
    ck_assert_int_eq(rig_try(&rig, 1, LINE_SIZE, &error), FAN_AGAIN);
    ck_assert_int_eq(rig.target->type->tick(rig.target, rig.now_us + 10 * SECOND_US), INT64_MAX);
    ck_assert_uint_eq(syncs, before);
    ck_assert(!settled_up_to(&rig.sink, 4));
    rig_start(&rig);
    ck_assert_uint_eq(rig.next, 4);
    rig_deliver(&rig, 4);
    rig_settle(&rig);
    ck_assert_uint_eq(check_lines(path, 1), 8);
    rig_kill(&rig);
}
END_TEST

START_TEST(file_window_is_bounded_while_a_sync_hangs)
{
    struct rig rig;
    struct fan_error error = {0};
    enum { BIG_LINE = 1 << 20 };
    rig_init(&rig);
    rig.ops = &(const struct file_ops){
        .pwrite = pwrite, .fdatasync = failing_fdatasync, .ftruncate = ftruncate};
    rig.options.fsync = FILE_FSYNC_INTERVAL;
    rig_start(&rig);
    (void)pthread_mutex_lock(&sync_gate);
    unsigned accepted = 0;
    while (rig_try(&rig, 1, BIG_LINE, &error) == FAN_OK) {
        accepted++;
        ck_assert_uint_le(accepted, 64);
    }
    ck_assert_uint_eq(accepted, 64);
    ck_assert_int_eq(rig_try(&rig, 1, BIG_LINE, &error), FAN_AGAIN);
    (void)pthread_mutex_unlock(&sync_gate);
    ck_assert(sink_wait(&rig.sink, 0, WAIT_SECONDS * 1000));
    ck_assert_int_eq(rig_try(&rig, 1, BIG_LINE, &error), FAN_OK);
    rig_kill(&rig);
    ck_assert_int_eq(unlink(path), 0);
}
END_TEST

/*
 * The renamed file has lines 1 to 3, and as many of 4 and 5 as were written before a sync saw that the
 * name was gone: which of them depends on when that sync ran. Returns the next line's number.
 */
static uint64_t check_renamed(const char *moved)
{
    uint64_t next = check_lines(moved, 1);
    ck_assert_uint_ge(next, 4);
    ck_assert_uint_le(next, 6);
    return next;
}

START_TEST(file_renamed_under_us_goes_on_in_a_new_one)
{
    struct rig rig;
    char moved[PATH_MAX];
    rig_init(&rig);
    rig.options.fsync = _i == 0 ? FILE_FSYNC_BATCH : FILE_FSYNC_OS;
    rig_start(&rig);
    rig_deliver(&rig, 3);
    rig_settle(&rig);
    (void)snprintf(moved, sizeof(moved), "%.4000s/out.jsonl.1", directory);
    ck_assert_int_eq(rename(path, moved), 0);
    rig_deliver(&rig, 2);
    rig_settle(&rig);
    rig.now_us += 2 * SECOND_US;
    rig_deliver(&rig, 4);
    rig_settle(&rig);
    rig_kill(&rig);
    uint64_t split = check_renamed(moved);
    ck_assert_uint_eq(check_lines(path, split), 10);
    rig_start(&rig); /* and the checkpoint is one of the new file */
    rig_deliver(&rig, 1);
    rig_kill(&rig);
    ck_assert_uint_eq(check_lines(path, split), 11);
}
END_TEST

START_TEST(file_renamed_under_us_may_be_restarted)
{
    struct rig rig;
    char moved[PATH_MAX];
    rig_init(&rig);
    rig_start(&rig);
    rig_deliver(&rig, 3);
    (void)snprintf(moved, sizeof(moved), "%.4000s/moved", directory);
    ck_assert_int_eq(rename(path, moved), 0);
    rig_deliver(&rig, 2);
    rig_settle(&rig);
    rig.target->type->stop(rig.target);
    rig_start(&rig);
    rig_deliver(&rig, 2);
    rig_settle(&rig);
    uint64_t split = check_renamed(moved);
    ck_assert_uint_eq(check_lines(path, split), 8);
    rig_kill(&rig);
}
END_TEST

START_TEST(file_deleted_under_us_is_lost_and_begun_anew)
{
    struct rig rig;
    struct fan_error error = {0};
    bool seen_by_sync = _i == 0;
    rig_init(&rig);
    rig.ops = &torn_ops;
    rig_start(&rig);
    rig_deliver(&rig, 3);
    rig_settle(&rig);
    unsigned posts = sink_posts(&rig.sink);
    if (seen_by_sync) {
        (void)pthread_mutex_lock(&sync_gate);
        rig_deliver(&rig, 2);
    }
    ck_assert_int_eq(unlink(path), 0);
    if (seen_by_sync) {
        (void)pthread_mutex_unlock(&sync_gate);
    } else {
        ck_assert_int_eq(rig_try(&rig, 2, LINE_SIZE, &error), FAN_AGAIN);
    }
    ck_assert(sink_wait(&rig.sink, posts, WAIT_SECONDS * 1000));
    ck_assert_uint_eq(rig.sink.lost_count, 1);
    ck_assert_str_eq(rig.sink.error.code, "FILE_DELETED");
    ck_assert(!settled_up_to(&rig.sink, 4));
    rig_start(&rig);
    ck_assert_uint_eq(rig.next, 4);
    rig.holds_store = true;
    rig_deliver(&rig, 2);
    rig_kill(&rig); /* the start mark outdoes the checkpoint of the file that is gone */
    rig.holds_store = false;
    rig_start(&rig);
    rig_deliver(&rig, 5);
    rig_settle(&rig);
    rig_kill(&rig);
    ck_assert_uint_eq(check_lines(path, 4), 9);
}
END_TEST

START_TEST(file_cut_under_us_is_lost_and_then_refused)
{
    struct rig rig;
    struct fan_error error = {0};
    rig_init(&rig);
    rig_start(&rig);
    rig_deliver(&rig, 3);
    rig_settle(&rig);
    ck_assert_int_eq(truncate(path, LINE_SIZE), 0);
    ck_assert_int_eq(rig_try(&rig, 2, LINE_SIZE, &error), FAN_AGAIN);
    ck_assert_uint_eq(rig.sink.lost_count, 1);
    ck_assert_int_eq(file_size(path), LINE_SIZE);
    rig_refused(&rig, "FILE_SHORTER");
    rig_kill(&rig);
}
END_TEST

static void age_segment(uint64_t segment, time_t seconds)
{
    char name[PATH_MAX];
    closed_path(segment, name);
    const struct timespec times[2] = {{.tv_sec = time(NULL) - seconds},
                                      {.tv_sec = time(NULL) - seconds}};
    ck_assert_int_eq(utimensat(AT_FDCWD, name, times, 0), 0);
}

/* Ticks until segment `gone` has been removed, and checks that segment `kept` was not. */
static void retention_expect(struct rig *rig, uint64_t gone, uint64_t kept)
{
    char name[PATH_MAX];
    int64_t deadline = clock_monotonic_us() + WAIT_SECONDS * SECOND_US;
    closed_path(gone, name);
    while (access(name, F_OK) == 0) {
        rig->now_us += 3601 * SECOND_US;
        (void)rig->target->type->tick(rig->target, rig->now_us);
        ck_assert_int_lt(clock_monotonic_us(), deadline);
    }
    rig->target->type->stop(rig->target); /* waits for the job */
    closed_path(kept, name);
    ck_assert_int_eq(access(name, F_OK), 0);
    char sum[PATH_MAX];
    closed_path(gone, name);
    (void)snprintf(sum, sizeof(sum), "%.4000s.sum", name);
    ck_assert_int_ne(access(sum, F_OK), 0);
}

START_TEST(file_retention_removes_the_oldest_closed_segments)
{
    struct rig rig;
    rig_init(&rig);
    rig.options.rotate_bytes = LINE_SIZE;
    rig_start(&rig);
    for (int i = 0; i < 8; i++) {
        rig_deliver(&rig, 1);
    }
    rig_settle(&rig);
    char stranger[PATH_MAX];
    (void)snprintf(stranger, sizeof(stranger), "%.4000s/out.000000001x.jsonl", directory);
    file_write(stranger, "not a segment\n");
    rig_kill(&rig);
    rig.options.keep_segments = 5; /* of 7 */
    rig_start(&rig);
    retention_expect(&rig, 2, 3);
    rig_kill(&rig);
    rig.options.keep_segments = 0;
    rig.options.keep_bytes = 4 * LINE_SIZE;
    rig_start(&rig);
    retention_expect(&rig, 3, 4);
    rig_kill(&rig);
    rig.options.keep_bytes = 0;
    rig.options.keep_age_us = 3600 * SECOND_US;
    age_segment(4, 7200);
    age_segment(5, 3000);
    rig_start(&rig);
    retention_expect(&rig, 4, 5);
    rig_kill(&rig);
    ck_assert_int_eq(access(stranger, F_OK), 0);
    ck_assert_int_eq(file_size(path), LINE_SIZE);
}
END_TEST

/* How many there are, and the key of the last one. */
static size_t broken_rules(const struct file_options *options, const char **ret_key)
{
    size_t broken = 0;
    for (conf_rule *const *rule = file_options_table.rules; *rule != NULL; rule++) {
        const char *key;
        if ((*rule)(options, &key) != NULL) {
            *ret_key = key;
            broken++;
        }
    }
    return broken;
}

START_TEST(file_options_hold_their_rules)
{
    char name[] = "out.jsonl";
    char mode[] = "0640";
    char bad_mode[] = "0899";
    char slash[] = "out/";
    const char *key = NULL;
    struct file_options options = {.path = name, .mode = mode};
    ck_assert_uint_eq(broken_rules(&options, &key), 0);
    options.keep_bytes = 1;
    ck_assert_uint_eq(broken_rules(&options, &key), 1);
    ck_assert_str_eq(key, "keep_bytes");
    options.rotate_bytes = 1;
    ck_assert_uint_eq(broken_rules(&options, &key), 0);
    options.mode = bad_mode;
    ck_assert_uint_eq(broken_rules(&options, &key), 1);
    ck_assert_str_eq(key, "mode");
    options.path = slash;
    ck_assert_uint_eq(broken_rules(&options, &key), 2); /* each is reported */
    options.mode = mode;
    ck_assert_uint_eq(broken_rules(&options, &key), 1);
    ck_assert_str_eq(key, "path");
}
END_TEST

START_TEST(target_types_are_found_by_name)
{
    ck_assert_ptr_eq(target_type_find("file"), &file_target_type);
    ck_assert_ptr_nonnull(target_type_find("stdout"));
    ck_assert_ptr_nonnull(target_type_find("null"));
    ck_assert_ptr_null(target_type_find("fil"));
}
END_TEST

/* The child's store: one file, replaced whole, as the engine's is. */
static void child_store(struct rig *rig, const char *store_path)
{
    struct target_checkpoint before = rig->stored;
    rig->holds_store = true; /* tells the target only after the write below */
    (void)pthread_mutex_lock(&rig->sink.lock);
    struct target_checkpoint settled = rig->sink.settled;
    bool newer = rig->sink.settled_count > 0 && memcmp(&settled, &before, sizeof(settled)) != 0;
    (void)pthread_mutex_unlock(&rig->sink.lock);
    if (!newer) {
        return;
    }
    char temporary[PATH_MAX];
    (void)snprintf(temporary, sizeof(temporary), "%.4000s.new", store_path);
    FILE *file = fopen(temporary, "we");
    if (file == NULL || fwrite(&settled, sizeof(settled), 1, file) != 1 || fclose(file) != 0 ||
        rename(temporary, store_path) != 0) {
        abort();
    }
    rig->stored = settled;
    rig->has_stored = true;
    rig->target->type->checkpointed(rig->target, &settled);
}

/* The child's life: goes on where its store says, with batches of every size, until killed. */
static int child_main(const char *child_directory)
{
    char store_path[PATH_MAX];
    struct rig rig;
    struct rng rng = rng_seeded((uint64_t)clock_monotonic_us());
    (void)snprintf(directory, sizeof(directory), "%.4000s", child_directory);
    (void)snprintf(path, sizeof(path), "%.4000s/out.jsonl", directory);
    (void)snprintf(store_path, sizeof(store_path), "%.4000s/store", directory);
    rig_init(&rig);
    rig.options.rotate_bytes = 20 * LINE_SIZE;
    rig.options.fsync = rng_below(&rng, 2) == 0 ? FILE_FSYNC_BATCH : FILE_FSYNC_INTERVAL;
    rig.options.fsync_interval_us = 1000;
    size_t size = 0;
    char *content = file_content(store_path, &size);
    if (content != NULL && size == sizeof(rig.stored)) {
        memcpy(&rig.stored, content, size);
        rig.has_stored = true;
    }
    free(content);
    rig_start(&rig);
    for (unsigned delivered = 0;;) {
        struct fan_error error;
        rig.now_us = clock_monotonic_us();
        unsigned posts = sink_posts(&rig.sink);
        child_store(&rig, store_path);
        enum fan_status status = rig_try(&rig, 1 + rng_below(&rng, 12), LINE_SIZE, &error);
        (void)rig.target->type->tick(rig.target, rig.now_us);
        if (status == FAN_OK && write(STDOUT_FILENO, &delivered, 1) != 1) {
            return 1;
        }
        if (status == FAN_AGAIN) {
            (void)sink_wait(&rig.sink, posts, 1);
        } else if (status != FAN_OK) {
            return 2;
        }
    }
}

START_TEST(file_killed_while_writing_has_each_event_once)
{
    uint64_t closed = 0;
    uint64_t before = 0;
    struct rig rig;
    for (unsigned round = 0; round < 25; round++) {
        char delivered;
        child_kill_after(1 + round * 5 % 37, "write-until-killed", directory, &delivered, 1);
    }
    char store_path[PATH_MAX];
    (void)snprintf(store_path, sizeof(store_path), "%.4000s/store", directory);
    rig_init(&rig);
    size_t size = 0;
    char *content = file_content(store_path, &size);
    ck_assert_uint_eq(size, sizeof(rig.stored));
    memcpy(&rig.stored, content, size);
    free(content);
    rig.has_stored = true;
    rig_start(&rig);
    before = rig.next;
    rig_deliver(&rig, 3);
    rig_settle(&rig);
    rig_kill(&rig);
    ck_assert_uint_eq(check_segments(&closed), before + 3);
    ck_assert_uint_gt(closed, 5);
}
END_TEST

static void add_tests(TCase *tests)
{
    tcase_add_test(tests, crc32c_matches_its_check_value_and_the_table);
    tcase_add_test(tests, mark_text_reads_back_and_nothing_else_does);
    tcase_add_test(tests, file_batch_policy_settles_each_batch_by_a_sync);
    tcase_add_test(tests, file_interval_policy_settles_when_its_time_is_over);
    tcase_add_test(tests, file_os_policy_settles_at_once);
    tcase_add_test(tests, file_started_at_an_older_checkpoint_cuts_what_is_behind_it);
    tcase_add_test(tests, file_killed_before_its_first_checkpoint_has_no_event_twice);
    tcase_add_test(tests, file_with_half_a_line_of_others_is_refused);
    tcase_add_test(tests, file_in_a_missing_directory_is_refused);
    tcase_add_test(tests, file_that_is_none_is_refused);
    tcase_add_test(tests, file_that_another_target_writes_is_refused);
    tcase_add_test(tests, file_shorter_than_its_checkpoint_is_refused);
    tcase_add_test(tests, file_with_an_unreadable_checkpoint_is_refused);
    tcase_add_test(tests, file_with_another_path_goes_on_at_its_checkpoint);
    tcase_add_test(tests, file_rotation_closes_segments_with_their_sums);
    tcase_add_test(tests, file_rotation_waits_until_its_end_is_stored);
    tcase_add_test(tests, file_rotation_goes_on_when_its_end_was_stored_while_stopped);
    tcase_add_test(tests, file_rotation_never_writes_over_a_closed_segment);
    tcase_add_test(tests, file_rotation_by_time_needs_an_event);
    tcase_add_test(tests, file_killed_between_the_steps_of_a_rotation_goes_on);
    tcase_add_test(tests, file_with_segments_ahead_of_its_checkpoint_is_refused);
    tcase_add_loop_test(tests, file_on_a_full_disk_keeps_nothing_of_the_batch_and_goes_on, 0, 8);
    tcase_add_test(tests, file_that_cannot_be_cut_after_a_failed_write_is_cut_before_the_next);
    tcase_add_test(tests, file_over_the_size_limit_of_the_process_asks_to_retry);
    tcase_add_test(tests, file_on_a_real_full_disk_goes_on_when_there_is_space);
    tcase_add_test(tests, file_whose_sync_failed_is_lost_and_reopened_at_its_checkpoint);
    tcase_add_test(tests, file_window_is_bounded_while_a_sync_hangs);
    tcase_add_loop_test(tests, file_renamed_under_us_goes_on_in_a_new_one, 0, 2);
    tcase_add_test(tests, file_renamed_under_us_may_be_restarted);
    tcase_add_loop_test(tests, file_deleted_under_us_is_lost_and_begun_anew, 0, 2);
    tcase_add_test(tests, file_cut_under_us_is_lost_and_then_refused);
    tcase_add_test(tests, file_retention_removes_the_oldest_closed_segments);
    tcase_add_test(tests, file_options_hold_their_rules);
    tcase_add_test(tests, target_types_are_found_by_name);
    tcase_add_test(tests, file_killed_while_writing_has_each_event_once);
}

static int run_all(void)
{
    if (!scratch_open("file")) {
        return 1;
    }
    TCase *tests = tcase_create("target_file");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, NULL);
    add_tests(tests);
    int status = suite_run("target_file", tests);
    scratch_remove();
    return status;
}

int main(int argc, char **argv)
{
    struct fan_error error;
    (void)signal(SIGXFSZ, SIG_IGN); /* a refused write then is EFBIG */
    log_set_level(LOG_ERROR);
    batches = batch_pool_create(1, false, 8, 1 << 20);
    if (batches == NULL || io_pool_create(IO_POOL_THREADS, &pool, &error) != FAN_OK) {
        return EXIT_FAILURE;
    }
    if (argc == 3 && strcmp(argv[1], "write-until-killed") == 0) {
        return child_main(argv[2]);
    }
    int failed = run_all();
    io_pool_destroy(pool);
    batch_pool_destroy(batches);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
