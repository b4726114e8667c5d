/*
 * What a spill calls durable survives power cuts and failing syncs, while everything else goes on
 * beside a sync.
 *
 * Oracle: events made from their number (spill_fixture.h). Power cuts: what each sync covered is
 * remembered, and of the rest every sector is kept or dropped by a seeded choice (spill_disk.h).
 */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/rng.h"
#include "spill_fixture.h"

START_TEST(spill_failed_sync_is_written_again_into_a_new_file)
{
    struct fan_error error = {0};
    char path[PATH_MAX];
    struct stat before;
    struct stat after;
    struct spill *spill = open_with(1 << 24, 0);
    append(spill, 1, 10);
    sync_ok(spill);
    ck_assert_uint_eq(read_some(spill, 1), 10);
    append(spill, 11, 10);
    path_of(1, path);
    ck_assert_int_eq(stat(path, &before), 0);
    disk_drop_replaced(true);
    disk_fail(DISK_FDATASYNC, 1, 1, EIO);
    ck_assert_int_eq(spill_sync(spill, &error), FAN_OK);
    ck_assert_int_eq(position_compare(spill_durable(spill), position_of(20)), 0);
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert(before.st_ino != after.st_ino);
    append(spill, 21, 10); /* goes to a file that has not failed */
    sync_ok(spill);
    ck_assert_uint_eq(files_in_directory(), 2);
    ck_assert_uint_eq(read_all(spill, 11), 31);
    ck_assert(!disk_failed_was_synced_again());
    spill_close(spill);
    spill = open_with(1 << 24, 0);
    ck_assert_uint_eq(read_all(spill, 1), 31);
    spill_close(spill);
}
END_TEST

/* Loop: which call of a rewriting fails, until none does. */
START_TEST(spill_rewriting_that_fails_is_tried_again)
{
    struct fan_error error = {0};
    struct spill *spill = open_small();
    for (uint64_t number = 1; number <= 40; number++) {
        append(spill, number, 1);
    }
    disk_fail(DISK_FDATASYNC, 1, (unsigned)_i + 1, EIO);
    disk_fail(DISK_FSYNC, (unsigned)_i + 1, 1, EIO);
    unsigned failures = 0;
    while (spill_sync(spill, &error) != FAN_OK) {
        ck_assert_int_eq(error.status, FAN_RETRY);
        ck_assert_int_lt(position_compare(spill_durable(spill), position_of(40)), 0);
        ck_assert_uint_lt(++failures, 20);
    }
    ck_assert_int_eq(position_compare(spill_durable(spill), position_of(40)), 0);
    ck_assert(!disk_failed_was_synced_again());
    ck_assert_uint_eq(read_all(spill, 1), 41);
    spill_close(spill);
    spill = open_small();
    ck_assert_uint_eq(read_all(spill, 1), 41);
    spill_close(spill);
}
END_TEST

START_TEST(spill_whose_pages_are_gone_is_lost_until_trimmed)
{
    struct fan_error error = {0};
    struct spill *spill = open_with(1 << 24, 0);
    append(spill, 1, 10);
    sync_ok(spill);
    append(spill, 11, 10);
    disk_drop_on_failure(true);
    disk_fail(DISK_FDATASYNC, 1, 1, EIO);
    ck_assert_int_eq(spill_sync(spill, &error), FAN_FATAL);
    ck_assert_str_eq(error.code, "SPILL_LOST");
    ck_assert_int_eq(position_compare(spill_durable(spill), position_of(10)), 0);
    for (unsigned again = 0; again < 2; again++) {
        error = (struct fan_error){0};
        ck_assert_int_eq(spill_sync(spill, &error), FAN_FATAL);
        ck_assert_str_eq(error.code, "SPILL_LOST");
        error = (struct fan_error){0};
        ck_assert_int_eq(append_in(spill, labelled_pool, 1, 21, 1, 0, &error), FAN_FATAL);
        ck_assert_str_eq(error.code, "SPILL_LOST");
    }
    ck_assert_uint_eq(files_in_directory(), 1);
    spill_trim(spill, position_of(20)); /* the target got them from elsewhere */
    append(spill, 21, 3);
    sync_ok(spill);
    spill_close(spill);
}
END_TEST

static void *sync_once(void *argument)
{
    struct fan_error error = {0};
    return spill_sync(argument, &error) == FAN_OK ? NULL : argument;
}

/* Loop: the sync of the segment hangs, or that of its copy. */
START_TEST(spill_trimmed_while_it_is_synced_leaves_no_file)
{
    struct spill *spill = open_with(1 << 24, 0);
    append(spill, 1, 10);
    if (_i == 1) {
        disk_fail(DISK_FDATASYNC, 1, 1, EIO);
    }
    disk_hold(1 + (unsigned)_i);
    pthread_t syncer;
    ck_assert_int_eq(pthread_create(&syncer, NULL, sync_once, spill), 0);
    disk_wait_held();
    spill_trim(spill, position_of(10));
    ck_assert_uint_eq(spill_bytes(spill), 0);
    append(spill, 11, 5);
    spill_trim(spill, position_of(10));
    disk_release();
    void *failed = NULL;
    ck_assert_int_eq(pthread_join(syncer, &failed), 0);
    ck_assert_ptr_null(failed);
    ck_assert_uint_eq(files_in_directory(), 1);
    sync_ok(spill);
    ck_assert_uint_eq(read_all(spill, 11), 16);
    spill_close(spill);
    spill = open_small();
    ck_assert_uint_eq(read_all(spill, 11), 16);
    spill_close(spill);
}
END_TEST

static void *sync_while_writing(void *argument)
{
    disk_wait_writing();
    return sync_once(argument);
}

/* The copy has the record that was being written when the sync failed. */
START_TEST(spill_sync_that_fails_during_an_append_waits_for_the_record)
{
    struct spill *spill = open_with(1 << 24, 0);
    pthread_t syncer;
    void *failed = NULL;
    append(spill, 1, 10);
    disk_fail(DISK_FDATASYNC, 1, 1, EIO);
    disk_hold_write(2); /* that of the file and that of a copy, which would come too early */
    ck_assert_int_eq(pthread_create(&syncer, NULL, sync_while_writing, spill), 0);
    append(spill, 11, 10);
    ck_assert_int_eq(pthread_join(syncer, &failed), 0);
    ck_assert_ptr_null(failed);
    ck_assert_int_eq(position_compare(spill_durable(spill), position_of(20)), 0);
    ck_assert_uint_eq(read_all(spill, 1), 21);
    spill_close(spill);
}
END_TEST

struct syncer {
    struct spill *spill;
    atomic_bool stop;
    atomic_uint syncs;
};

static void *sync_all_the_time(void *argument)
{
    struct syncer *syncer = argument;
    struct fan_error error;
    while (!atomic_load(&syncer->stop)) {
        enum fan_status status = spill_sync(syncer->spill, &error);
        if (status != FAN_OK && status != FAN_RETRY) {
            (void)fprintf(stderr, "%s\n", error.text);
            abort();
        }
        (void)atomic_fetch_add(&syncer->syncs, 1); /* old count */
    }
    return NULL;
}

/* Loop: without and with syncs that fail now and then. */
START_TEST(spill_syncs_beside_everything_else)
{
    struct rng rng = rng_seeded((uint64_t)_i + 1);
    struct spill *spill = open_with(1 << 24, SPILL_RECORDS_START + 2000);
    struct syncer syncer = {.spill = spill};
    struct fan_error error = {0};
    struct fan_position durable = POSITION_NONE;
    uint64_t appended = 1;
    uint64_t read = 1;
    pthread_t thread;
    disk_fail_every(_i == 0 ? 0 : 5);
    ck_assert_int_eq(pthread_create(&thread, NULL, sync_all_the_time, &syncer), 0);
    for (unsigned step = 0; step < 4000 || atomic_load(&syncer.syncs) < 50; step++) {
        uint64_t what = rng_below(&rng, 8);
        if (what < 4 && spill_bytes(spill) < 1 << 20) {
            uint64_t count = 1 + rng_below(&rng, 6);
            enum fan_status status = append_in(spill, labelled_pool, 1, appended, count, 0, &error);
            ck_assert_msg(status == FAN_OK || (status == FAN_RETRY && _i == 1), "%s", error.text);
            appended += status == FAN_OK ? count : 0;
        } else if (what < 7) {
            read += read_some(spill, read);
        } else {
            spill_trim(spill, position_of(read - 1));
        }
        struct fan_position now = spill_durable(spill);
        ck_assert_int_ge(position_compare(now, durable), 0);
        ck_assert_int_le(position_compare(now, spill_last(spill)), 0);
        durable = now;
    }
    atomic_store(&syncer.stop, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    disk_fail_every(0);
    ck_assert(!disk_failed_was_synced_again());
    sync_ok(spill);
    ck_assert_uint_eq(read_all(spill, read), appended);
    spill_trim(spill, position_of(appended - 1));
    ck_assert_uint_eq(files_in_directory(), 0);
    spill_close(spill);
}
END_TEST

/* What a history of appends, syncs, trims and kills knows. All are numbers of events. */
struct history {
    uint64_t appended; /* behind the last event */
    uint64_t trimmed;  /* the target has what is before this one */
    uint64_t durable;  /* and the spill what is before this one, as it says */
};

static struct spill *history_step(struct history *history, struct spill *spill, struct rng *rng)
{
    struct fan_error error = {0};
    uint64_t what = rng_below(rng, 24);
    if (what < 14) {
        uint64_t count = 1 + rng_below(rng, 8);
        append(spill, history->appended, count);
        history->appended += count;
    } else if (what < 20) {
        if (rng_below(rng, 4) == 0) {
            disk_fail(DISK_FDATASYNC, 1 + (unsigned)rng_below(rng, 3), 1, EIO);
        }
        if (rng_below(rng, 4) == 0) {
            disk_fail(DISK_FSYNC, 1, 1, EIO);
        }
        enum fan_status status = spill_sync(spill, &error); /* spill_durable() says more */
        ck_assert_msg(status == FAN_OK || status == FAN_RETRY, "%s", error.text);
    } else if (what < 23) {
        history->trimmed += rng_below(rng, history->appended - history->trimmed + 1) / 2;
        spill_trim(spill, position_of(history->trimmed - 1));
    } else { /* killed */
        disk_fail(DISK_FDATASYNC, 0, 0, 0);
        disk_fail(DISK_FSYNC, 0, 0, 0);
        spill_close(spill);
        spill = open_small();
    }
    disk_note_names();
    uint64_t durable = number_behind(spill_durable(spill));
    history->durable = durable > history->durable ? durable : history->durable;
    return spill;
}

START_TEST(spill_keeps_what_was_durable_through_power_cuts)
{
    struct rng rng = rng_seeded((uint64_t)_i + 1);
    struct fan_error error = {0};
    struct history history = {1, 1, 1};
    ck_assert_int_eq(mkdir(directory, 0700), 0);
    for (unsigned life = 0; life < 4; life++) {
        disk_record(directory);
        struct spill *spill = open_small();
        uint64_t last = number_behind(spill_last(spill));
        /* The source sends what the spill does not have again. */
        history.appended = last > history.trimmed ? last : history.trimmed;
        for (uint64_t steps = rng_below(&rng, 60); steps > 0; steps--) {
            spill = history_step(&history, spill, &rng);
        }
        disk_cut_power(&rng);
        spill_close(spill); /* writes nothing */
        disk_come_back();
        spill = open_small();
        ck_assert_int_eq(spill_seek(spill, position_of(history.trimmed - 1), &error), FAN_OK);
        uint64_t end = read_all(spill, history.trimmed);
        ck_assert_uint_ge(end, history.durable);
        ck_assert_uint_le(end, history.appended);
        spill_close(spill);
    }
}
END_TEST

static void add_tests(TCase *tests)
{
    tcase_add_test(tests, spill_failed_sync_is_written_again_into_a_new_file);
    tcase_add_loop_test(tests, spill_rewriting_that_fails_is_tried_again, 0, 5);
    tcase_add_test(tests, spill_whose_pages_are_gone_is_lost_until_trimmed);
    tcase_add_loop_test(tests, spill_trimmed_while_it_is_synced_leaves_no_file, 0, 2);
    tcase_add_test(tests, spill_sync_that_fails_during_an_append_waits_for_the_record);
    tcase_add_loop_test(tests, spill_syncs_beside_everything_else, 0, 2);
    tcase_add_loop_test(tests, spill_keeps_what_was_durable_through_power_cuts, 0, 60);
}

int main(void)
{
    return spill_tests_run("spill_sync", add_tests);
}
