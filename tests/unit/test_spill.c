/*
 * A spill gives back exactly the events that were appended, in order, and refuses what does not fit
 * without a trace.
 *
 * Oracle: events made from their number (spill_fixture.h); the sizes of the files.
 */
#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "spill_fixture.h"

START_TEST(spill_gives_back_what_was_appended)
{
    struct rng rng = rng_seeded((uint64_t)_i + 1);
    struct spill *spill = open_with(1 << 24, SPILL_RECORDS_START + 100 + rng_below(&rng, 4000));
    struct fan_error error = {0};
    uint64_t ends[64];
    size_t skips[64];
    bool labelled = rng_below(&rng, 2) == 0;
    size_t format = labelled ? rng_below(&rng, FORMATS) : 0;
    uint64_t number = 10;
    for (size_t i = 0; i < 64; i++) {
        uint64_t count = 1 + rng_below(&rng, 20);
        skips[i] = rng_below(&rng, 4);
        ck_assert_int_eq(append_in(spill, labelled ? labelled_pool : plain_pool, format, number,
                                   count, skips[i], &error),
                         FAN_OK);
        number += count;
        ends[i] = number;
    }
    ck_assert_uint_eq(spill_events(spill), number - 10);
    if (rng_below(&rng, 2) == 0) {
        spill_close(spill);
        spill = open_with(1 << 24, 0);
        ck_assert_uint_eq(spill_events(spill), number - 10);
    }
    bool to_labelled = rng_below(&rng, 2) == 0;
    size_t to_format = to_labelled ? rng_below(&rng, FORMATS) : 0;
    uint64_t expected = 10;
    for (size_t i = 0; i < 64; i++) {
        struct batch *batch = NULL;
        ck_assert(!spill_drained(spill));
        ck_assert_int_eq(
            spill_read(spill, to_labelled ? labelled_pool : plain_pool, to_format, &batch, &error),
            FAN_OK);
        ck_assert_int_eq(batch->part, part_of(expected));
        ck_assert_uint_eq(batch->events_count, ends[i] - expected);
        for (size_t at = 0; at < batch->events_count; at++) {
            check_event(batch, at, to_format, format, labelled, expected++);
        }
        batch_unref(batch);
    }
    ck_assert(spill_drained(spill));
    ck_assert_uint_eq(read_all(spill, expected), expected);
    spill_close(spill);
}
END_TEST

START_TEST(spill_seek_finds_every_position)
{
    struct spill *spill = open_small();
    struct fan_error error = {0};
    uint64_t number = 1;
    for (uint64_t count = 1; number < 80; count = count % 7 + 1) {
        append(spill, number, count);
        number += count;
    }
    for (unsigned reopened = 0; reopened < 2; reopened++) {
        for (uint64_t at = 0; at < number; at++) {
            /* From wherever the cursor stands after up to three records. */
            for (unsigned records = 0; records < 3; records++) {
                ck_assert_int_eq(spill_seek(spill, position_of(at), &error), FAN_OK);
                ck_assert(spill_drained(spill) == (at + 1 == number));
                uint64_t next = at + 1;
                for (unsigned i = 0; i < records; i++) {
                    next += read_some(spill, next);
                }
                ck_assert_int_eq(spill_seek(spill, position_of(number - 1 - at), &error), FAN_OK);
                ck_assert_uint_eq(read_all(spill, number - at), number);
            }
        }
        spill_close(spill);
        spill = open_small();
    }
    ck_assert_int_eq(spill_seek(spill, POSITION_NONE, &error), FAN_OK);
    ck_assert_uint_eq(read_all(spill, 1), number);
    spill_close(spill);
}
END_TEST

START_TEST(spill_read_follows_what_is_appended)
{
    struct spill *spill = open_small();
    for (uint64_t number = 1; number < 300; number += 3) {
        ck_assert_uint_eq(read_some(spill, number), 0);
        append(spill, number, 1);
        append(spill, number + 1, 2);
        ck_assert_uint_eq(read_all(spill, number), number + 3);
    }
    spill_close(spill);
}
END_TEST

START_TEST(spill_trim_removes_exactly_the_segments_that_are_over)
{
    struct spill *spill = open_small();
    uint64_t first_of[FILES_MAX] = {0}; /* number of the first event of each segment */
    size_t segments = 0;
    char path[PATH_MAX];
    for (uint64_t number = 1; number <= 100; number++) {
        path_of(segments + 1, path);
        append(spill, number, 1);
        if (size_of(path) >= 0) {
            first_of[segments++] = number;
        }
    }
    ck_assert_uint_gt(segments, 4);
    first_of[segments] = 101;
    for (uint64_t number = 0; number <= 100; number++) {
        spill_trim(spill, position_of(number));
        uint64_t bytes = 0;
        uint64_t events = 0;
        for (size_t i = 0; i < segments; i++) {
            path_of(i + 1, path);
            ck_assert_int_eq(size_of(path) >= 0, first_of[i + 1] - 1 > number);
            bytes += size_of(path) >= 0 ? (uint64_t)size_of(path) : 0;
            events += size_of(path) >= 0 ? first_of[i + 1] - first_of[i] : 0;
        }
        ck_assert_uint_eq(spill_bytes(spill), bytes);
        ck_assert_uint_eq(spill_events(spill), events);
    }
    ck_assert_uint_eq(files_in_directory(), 0);
    ck_assert(spill_drained(spill));
    ck_assert_int_eq(position_compare(spill_last(spill), position_of(100)), 0);
    ck_assert_int_eq(position_compare(spill_durable(spill), position_of(100)), 0);
    append(spill, 101, 5);
    ck_assert_uint_eq(read_all(spill, 101), 106);
    spill_close(spill);
}
END_TEST

START_TEST(spill_trim_below_the_cursor_and_above_it)
{
    struct spill *spill = open_small();
    for (uint64_t number = 1; number <= 100; number++) {
        append(spill, number, 1);
    }
    ck_assert_uint_eq(read_some(spill, 1), 1);
    spill_trim(spill, position_of(50)); /* more than was read */
    struct batch *batch = NULL;
    struct fan_error error = {0};
    ck_assert_int_eq(spill_read(spill, plain_pool, 0, &batch, &error), FAN_OK);
    uint64_t number = number_behind(batch->events[0].position) - 1;
    batch_unref(batch);
    ck_assert_uint_le(number, 51);
    ck_assert_uint_eq(read_all(spill, number + 1), 101);
    spill_trim(spill, position_of(100));
    ck_assert_uint_eq(files_in_directory(), 0);
    spill_close(spill);
}
END_TEST

START_TEST(spill_quota_is_never_exceeded_and_trimming_makes_room)
{
    const uint64_t bytes_max = 5 * (SPILL_RECORDS_START + 700);
    struct spill *spill = open_with(bytes_max, SPILL_RECORDS_START + 600);
    struct fan_error error = {0};
    uint64_t number = 1;
    uint64_t read = 1;
    for (unsigned round = 0; round < 20; round++) {
        while (append_in(spill, labelled_pool, 1, number, 3, 0, &error) == FAN_OK) {
            number += 3;
            ck_assert_uint_le(spill_bytes(spill), bytes_max);
        }
        ck_assert_int_eq(error.status, FAN_AGAIN);
        ck_assert_int_eq(append_in(spill, labelled_pool, 1, number, 3, 0, NULL), FAN_AGAIN);
        read += read_some(spill, read);
        spill_trim(spill, position_of(read - 1));
    }
    ck_assert_uint_eq(read_all(spill, read), number);
    spill_close(spill);
}
END_TEST

START_TEST(spill_record_over_the_quota_alone_is_refused)
{
    struct spill *spill = open_with(SPILL_RECORDS_START, 0);
    ck_assert_int_eq(append_in(spill, labelled_pool, 1, 1, 1, 0, NULL), FAN_AGAIN);
    ck_assert_uint_eq(spill_bytes(spill), 0);
    ck_assert_uint_eq(files_in_directory(), 0);
    spill_close(spill);
}
END_TEST

START_TEST(spill_files_are_private)
{
    char path[PATH_MAX];
    struct stat info;
    mode_t before = umask(0);
    struct spill *spill = open_small();
    append(spill, 1, 3);
    (void)umask(before);
    ck_assert_int_eq(stat(directory, &info), 0);
    ck_assert_uint_eq(info.st_mode & 07777, 0700);
    path_of(1, path);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 07777, 0600);
    spill_close(spill);
}
END_TEST

/* Appends until the disk refuses, checks that nothing of the record stays; then there is room. */
static void check_full(struct spill *spill, void (*make_room)(void))
{
    struct fan_error error = {0};
    uint64_t number = 1;
    while (append_in(spill, labelled_pool, 1, number, 30, 0, &error) == FAN_OK) {
        number += 30;
        ck_assert_uint_lt(number, 100000);
    }
    ck_assert_int_eq(error.status, FAN_RETRY);
    for (unsigned again = 0; again < 3; again++) {
        ck_assert_int_eq(append_in(spill, labelled_pool, 1, number, 30, 0, &error), FAN_RETRY);
        char path[PATH_MAX];
        uint64_t bytes = 0;
        for (uint64_t at = 1; at < 1000; at++) {
            path_of(at, path);
            bytes += size_of(path) > 0 ? (uint64_t)size_of(path) : 0;
        }
        ck_assert_uint_eq(bytes, spill_bytes(spill));
        ck_assert_int_eq(position_compare(spill_last(spill), position_of(number - 1)), 0);
    }
    make_room();
    append(spill, number, 30);
    append(spill, number + 30, 1);
    ck_assert_uint_eq(read_all(spill, 1), number + 31);
}

static void limit_lift(void)
{
    append_limit = UINT64_MAX;
}

START_TEST(spill_write_that_falls_short_leaves_nothing_behind)
{
    struct spill *spill = open_with(1 << 24, 0);
    append_limit = 20001;
    check_full(spill, limit_lift);
    spill_close(spill);
    spill = open_with(1 << 24, 0);
    sync_ok(spill);
    spill_close(spill);
}
END_TEST

static void filler_remove(void)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/../filler", directory);
    ck_assert_int_eq(unlink(path), 0);
}

/* A real full disk, where the test may mount one. */
START_TEST(spill_on_a_full_disk_goes_on_when_there_is_room)
{
    char mounted[DIRECTORY_MAX];
    char path[PATH_MAX];
    uint8_t filler[65536] = {0};
    memcpy(mounted, directory, sizeof(mounted));
    ck_assert_int_eq(mkdir(mounted, 0700), 0);
    if (mount("tmpfs", mounted, "tmpfs", 0, "size=256k") != 0) {
        return; /* not root: the limit above stands for it */
    }
    (void)snprintf(path, sizeof(path), "%s/filler", mounted);
    put_file(path, filler, sizeof(filler));
    size_t length = strlen(directory);
    (void)snprintf(directory + length, sizeof(directory) - length, "/spill"); /* fits */
    struct spill *spill = open_with(1 << 24, SPILL_RECORDS_START + 20000);
    check_full(spill, filler_remove);
    spill_close(spill);
    ck_assert_int_eq(umount(mounted), 0);
}
END_TEST

static atomic_uint allocations_left; /* 0: no limit; 1: the next one fails */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static bool allocation_fails(void)
{
    unsigned left = atomic_load(&allocations_left);
    if (left > 1) {
        atomic_store(&allocations_left, left - 1);
    }
    return left == 1;
}

void *__wrap_malloc(size_t size)
{
    return allocation_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return allocation_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return allocation_fails() ? NULL : __real_realloc(memory, size);
}

/* Opens the spill of events 1 to 20, appends another and reads all, with so many allocations. Stops
 * at the first failure. Only the spill's own calls are limited: Check allocates, too. */
static enum fan_status use_all(unsigned allocations, const struct batch *more,
                               struct batch_pool *pool, struct fan_error *error)
{
    const struct spill_setup setup = {directory, 1 << 24, SPILL_RECORDS_START + 600};
    struct spill *spill = NULL;
    struct fan_position first;
    struct fan_position last;
    uint64_t events;
    uint64_t number = 1;
    atomic_store(&allocations_left, allocations);
    enum fan_status status = spill_peek(directory, &first, &last, &events, error);
    if (status == FAN_OK) {
        status = spill_open(&setup, &spill, error);
    }
    if (status == FAN_OK && spill_events(spill) == 20) {
        status = spill_append(spill, more, 1, 0, error);
    }
    while (status == FAN_OK) {
        struct batch *batch = NULL;
        status = spill_read(spill, pool, 2, &batch, error);
        unsigned left = atomic_exchange(&allocations_left, 0);
        for (size_t i = 0; status == FAN_OK && i < batch->events_count; i++) {
            check_event(batch, i, 2, 1, true, number++);
        }
        batch_unref(batch);
        atomic_store(&allocations_left, left);
    }
    atomic_store(&allocations_left, 0);
    if (status == FAN_RETRY && spill != NULL) { /* it goes on where it stood */
        ck_assert_uint_eq(read_all(spill, number), 1 + spill_events(spill));
    }
    spill_close(spill);
    ck_assert(status != FAN_AGAIN || number == 22);
    return status;
}

START_TEST(spill_without_memory_is_to_be_tried_again)
{
    struct batch_pool *pool = batch_pool_create(FORMATS, true, 0, 0); /* keeps nothing */
    struct batch *more = batch_pool_take(labelled_pool);
    batch_put(more, 21);
    struct spill *spill = open_small();
    for (uint64_t number = 1; number <= 20; number += 4) {
        append(spill, number, 4);
    }
    spill_close(spill);
    unsigned failures = 0;
    for (;;) {
        struct fan_error error = {0};
        enum fan_status status = use_all(failures + 1, more, pool, &error);
        if (status == FAN_AGAIN) {
            break;
        }
        ck_assert_int_eq(status, FAN_RETRY);
        ck_assert_msg(strstr(error.text, "emory") != NULL, "%s", error.text);
        ck_assert_uint_lt(++failures, 1000);
    }
    ck_assert_uint_gt(failures, 10);
    batch_unref(more);
    batch_pool_destroy(pool);
}
END_TEST

static void add_tests(TCase *tests)
{
    tcase_add_loop_test(tests, spill_gives_back_what_was_appended, 0, 40);
    tcase_add_test(tests, spill_seek_finds_every_position);
    tcase_add_test(tests, spill_read_follows_what_is_appended);
    tcase_add_test(tests, spill_trim_removes_exactly_the_segments_that_are_over);
    tcase_add_test(tests, spill_trim_below_the_cursor_and_above_it);
    tcase_add_test(tests, spill_quota_is_never_exceeded_and_trimming_makes_room);
    tcase_add_test(tests, spill_record_over_the_quota_alone_is_refused);
    tcase_add_test(tests, spill_files_are_private);
    tcase_add_test(tests, spill_write_that_falls_short_leaves_nothing_behind);
    tcase_add_test(tests, spill_on_a_full_disk_goes_on_when_there_is_room);
    tcase_add_test(tests, spill_without_memory_is_to_be_tried_again);
}

int main(void)
{
    return spill_tests_run("spill", add_tests);
}
