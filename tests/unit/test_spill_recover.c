/*
 * A spill that is opened again holds a prefix of what was appended, of whole records and with all
 * that was synced; damage is refused and never gives a wrong event.
 *
 * Oracle: events made from their number (spill_fixture.h); where the records ended when they were
 * appended.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "spill_fixture.h"

/* What the files of the tests of damage hold. */
enum { RECORDS = 6, PER_RECORD = 2, EVENTS = RECORDS * PER_RECORD };

struct file_copy {
    uint64_t number;
    size_t size;
    uint8_t *data;
};

struct files {
    size_t count;
    struct file_copy file[FILES_MAX];
};

/* Takes a copy of all segments from 1 on. */
static void files_save(struct files *files)
{
    char path[PATH_MAX];
    files->count = 0;
    for (uint64_t number = 1;; number++) {
        path_of(number, path);
        off_t size = size_of(path);
        if (size < 0) {
            return;
        }
        ck_assert_uint_lt(files->count, FILES_MAX);
        uint8_t *data = malloc((size_t)size);
        int descriptor = open(path, O_RDONLY | O_CLOEXEC);
        ck_assert_int_eq(read(descriptor, data, (size_t)size), size);
        (void)close(descriptor);
        files->file[files->count++] = (struct file_copy){number, (size_t)size, data};
    }
}

/* Makes the directory hold exactly these files. */
static void files_restore(const struct files *files)
{
    char path[PATH_MAX];
    for (size_t i = 0; i < files->count; i++) {
        path_of(files->file[i].number, path);
        put_file(path, files->file[i].data, files->file[i].size);
    }
    path_of(files->count + 1, path);
    (void)unlink(path); /* may not be there */
}

static void files_release(struct files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->file[i].data);
    }
    files->count = 0;
}

START_TEST(spill_reopened_at_every_step_goes_on_as_if_it_was_not)
{
    struct rng rng = rng_seeded((uint64_t)_i + 1);
    struct fan_error error = {0};
    uint64_t appended = 1; /* numbers behind the last event */
    uint64_t read = 1;
    uint64_t trimmed = 1;
    disk_skip_syncs(true);
    struct spill *spill = open_small();
    for (unsigned step = 0; step < 400; step++) {
        uint64_t what = rng_below(&rng, 10);
        if (what < 5) {
            uint64_t count = 1 + rng_below(&rng, 6);
            append(spill, appended, count);
            appended += count;
        } else if (what < 8) {
            read += read_some(spill, read);
        } else if (what < 9) {
            sync_ok(spill);
        } else {
            trimmed = read;
            spill_trim(spill, position_of(trimmed - 1));
        }
        uint64_t events = spill_events(spill);
        uint64_t bytes = spill_bytes(spill);
        spill_close(spill);
        spill = open_small();
        ck_assert_uint_eq(spill_events(spill), events);
        ck_assert_uint_eq(spill_bytes(spill), bytes);
        ck_assert(events == 0 ||
                  position_compare(spill_last(spill), position_of(appended - 1)) == 0);
        ck_assert_int_eq(position_compare(spill_durable(spill), spill_last(spill)), 0);
        ck_assert_int_eq(spill_seek(spill, position_of(read - 1), &error), FAN_OK);
    }
    ck_assert_uint_eq(read_all(spill, read), appended);
    spill_close(spill);
}
END_TEST

/* Appends EVENTS in RECORDS over several segments; `synced` of the records are synced. */
static void make_files(unsigned synced, struct files *files,
                       uint64_t record_ends[FILES_MAX][RECORDS])
{
    struct spill *spill = open_with(1 << 24, SPILL_RECORDS_START + 300);
    char path[PATH_MAX];
    memset(record_ends, 0, sizeof(record_ends[0]) * FILES_MAX);
    for (unsigned record = 0; record < RECORDS; record++) {
        append(spill, 1 + record * PER_RECORD, PER_RECORD);
        if (record + 1 == synced) {
            sync_ok(spill);
        }
        for (uint64_t number = 1;; number++) {
            path_of(number, path);
            if (size_of(path) < 0) {
                path_of(number - 1, path);
                record_ends[number - 2][record] = (uint64_t)size_of(path);
                break;
            }
        }
    }
    spill_close(spill);
    files_save(files);
    ck_assert_uint_gt(files->count, 2);
}

/* Opens what is there: it must be a prefix of the EVENTS, of whole records, at least `least`;
 * or damage, when `may_refuse`. What is appended then is read. Returns the number of events. */
static uint64_t check_prefix(uint64_t least, bool may_refuse)
{
    const struct spill_setup setup = {directory, 1 << 24, SPILL_RECORDS_START + 300};
    struct fan_error error = {0};
    struct fan_error peek_error = {0};
    struct fan_position first;
    struct fan_position last;
    uint64_t events = 0;
    enum fan_status peeked = spill_peek(directory, &first, &last, &events, &peek_error);
    struct spill *spill = NULL;
    enum fan_status status = spill_open(&setup, &spill, &error);
    if (status != FAN_OK && may_refuse) {
        ck_assert_int_eq(status, FAN_FATAL);
        ck_assert_str_eq(error.code, "SPILL_CORRUPT");
        ck_assert_int_eq(peeked, FAN_FATAL);
        ck_assert_str_eq(peek_error.text, error.text);
        return UINT64_MAX;
    }
    ck_assert_msg(status == FAN_OK, "%s", error.text);
    uint64_t count = spill_events(spill);
    ck_assert_int_eq(peeked, count == 0 ? FAN_AGAIN : FAN_OK);
    ck_assert(count == 0 || (events == count && position_compare(first, position_of(1)) == 0 &&
                             position_compare(last, position_of(count)) == 0));
    ck_assert(count >= least && count <= EVENTS && count % PER_RECORD == 0);
    append(spill, count + 1, 2);
    ck_assert_uint_eq(read_all(spill, 1), count + 3);
    spill_close(spill);
    spill = open_small();
    ck_assert_uint_eq(read_all(spill, 1), count + 3);
    spill_close(spill);
    return count;
}

START_TEST(spill_cut_anywhere_in_its_last_segment_ends_at_a_whole_record)
{
    struct files files;
    uint64_t ends[FILES_MAX][RECORDS];
    char path[PATH_MAX];
    disk_skip_syncs(true);
    make_files(0, &files, ends);
    const struct file_copy *last = &files.file[files.count - 1];
    for (size_t size = 0; size < last->size; size += size < SPILL_RECORDS_START ? 64 : 1) {
        uint64_t whole = 0;
        for (unsigned record = 0; record < RECORDS; record++) {
            whole += ends[files.count - 1][record] <= size ? PER_RECORD
                                                           : 0; /* 0: in an earlier segment */
        }
        files_restore(&files);
        path_of(last->number, path);
        ck_assert_int_eq(truncate(path, (off_t)size), 0);
        ck_assert_uint_eq(check_prefix(whole, false), whole);
    }
    files_release(&files);
}
END_TEST

START_TEST(spill_cut_below_what_was_synced_is_refused)
{
    struct files files;
    uint64_t ends[FILES_MAX][RECORDS];
    char path[PATH_MAX];
    disk_skip_syncs(true);
    make_files(RECORDS, &files, ends);
    for (size_t i = 0; i < files.count; i++) {
        for (size_t size = SPILL_RECORDS_START; size < files.file[i].size; size++) {
            files_restore(&files);
            path_of(files.file[i].number, path);
            ck_assert_int_eq(truncate(path, (off_t)size), 0);
            ck_assert_uint_eq(check_prefix(EVENTS, true), UINT64_MAX);
        }
    }
    files_release(&files);
}
END_TEST

/* Loop: nothing, some or all was synced. */
START_TEST(spill_every_flipped_byte_is_caught)
{
    const unsigned synced = (unsigned)_i;
    struct files files;
    uint64_t ends[FILES_MAX][RECORDS];
    disk_skip_syncs(true);
    make_files(synced, &files, ends);
    unsigned refusals = 0;
    for (size_t i = 0; i < files.count; i++) {
        struct file_copy *file = &files.file[i];
        for (size_t at = 0; at < file->size; at++) {
            bool padding = (at >= SPILL_HEADER_SIZE && at < SPILL_MARK_OFFSET) ||
                           (at >= SPILL_MARK_OFFSET + SPILL_MARK_SIZE && at < SPILL_RECORDS_START);
            if (padding && at % 256 != 0) {
                continue; /* it means nothing; a few bytes of it are tried */
            }
            uint8_t was = file->data[at];
            file->data[at] ^= (uint8_t)(1 + (at * 37 + i) % 255);
            files_restore(&files);
            refusals += check_prefix(synced * PER_RECORD, true) == UINT64_MAX;
            file->data[at] = was;
        }
    }
    ck_assert_int_eq(refusals > 0, synced > 0);
    files_release(&files);
}
END_TEST

START_TEST(spill_segment_that_is_missing_between_others_is_refused)
{
    struct files files;
    uint64_t ends[FILES_MAX][RECORDS];
    char path[PATH_MAX];
    make_files(RECORDS, &files, ends);
    path_of(files.count - 1, path);
    ck_assert_int_eq(unlink(path), 0);
    refused("SPILL_CORRUPT");
    files_restore(&files);
    ck_assert_uint_eq(check_prefix(EVENTS, false), EVENTS);
    files_release(&files);
}
END_TEST

/* The next segment's mark speaks for a segment whose own mark never reached the disk. */
START_TEST(spill_damage_before_a_synced_segment_is_refused)
{
    struct files files;
    uint64_t ends[FILES_MAX][RECORDS];
    make_files(RECORDS, &files, ends);
    struct file_copy *file = &files.file[files.count - 2];
    memset(file->data + SPILL_MARK_OFFSET, 0, SPILL_MARK_SIZE);
    files_restore(&files);
    ck_assert_uint_eq(check_prefix(EVENTS, false), EVENTS);
    file->data[file->size - 1] ^= 1;
    files_restore(&files);
    refused("SPILL_CORRUPT");
    files_release(&files);
}
END_TEST

START_TEST(spill_of_another_version_is_refused)
{
    struct files files;
    uint64_t ends[FILES_MAX][RECORDS];
    make_files(RECORDS, &files, ends);
    const struct spill_header header = {2, 1, POSITION_NONE};
    spill_header_encode(&header, files.file[0].data);
    files_restore(&files);
    refused("SPILL_VERSION");
    files_release(&files);
}
END_TEST

START_TEST(spill_leftovers_are_no_obstacle)
{
    struct files files;
    uint64_t ends[FILES_MAX][RECORDS];
    char path[PATH_MAX];
    char copy[PATH_MAX];
    make_files(RECORDS, &files, ends);
    uint8_t block[SPILL_RECORDS_START] = {0};
    path_of(files.count + 1, path);
    put_file(path, block, 100); /* a header that never reached the disk */
    (void)snprintf(copy, sizeof(copy), "%s/00000001.new", directory);
    put_file(copy, block, 100);
    (void)snprintf(path, sizeof(path), "%s/notes.txt", directory);
    put_file(path, block, 1);
    ck_assert_uint_eq(check_prefix(EVENTS, false), EVENTS);
    ck_assert_int_ne(access(copy, F_OK), 0);
    ck_assert_int_eq(unlink(path), 0); /* what is not the spill's stays */
    files_restore(&files);
    const struct spill_header header = {SPILL_VERSION, files.count + 1, position_of(EVENTS)};
    spill_header_encode(&header, block);
    path_of(files.count + 1, path);
    put_file(path, block, sizeof(block)); /* a segment without a record */
    ck_assert_uint_eq(check_prefix(EVENTS, false), EVENTS);
    files_release(&files);
}
END_TEST

START_TEST(spill_only_an_empty_segment_is_an_empty_spill)
{
    uint8_t block[SPILL_RECORDS_START] = {0};
    char path[PATH_MAX];
    const struct spill_header header = {SPILL_VERSION, 7, position_of(EVENTS)};
    spill_header_encode(&header, block);
    ck_assert_int_eq(mkdir(directory, 0700), 0);
    path_of(7, path);
    put_file(path, block, sizeof(block));
    struct spill *spill = open_small();
    ck_assert(spill_drained(spill));
    ck_assert_uint_eq(read_some(spill, EVENTS + 1), 0);
    append(spill, EVENTS + 1, 4);
    ck_assert_uint_eq(read_all(spill, EVENTS + 1), EVENTS + 5);
    spill_trim(spill, position_of(EVENTS + 4));
    ck_assert_uint_eq(files_in_directory(), 0);
    spill_close(spill);
}
END_TEST

START_TEST(spill_is_open_once)
{
    struct spill *spill = open_small();
    struct fan_error error = {0};
    refused("SPILL_IN_USE");
    ck_assert_int_eq(spill_remove(directory, &error), FAN_FATAL);
    spill_close(spill);
    spill = open_small();
    spill_close(spill);
}
END_TEST

START_TEST(spill_peek_and_remove)
{
    struct fan_position first;
    struct fan_position last;
    uint64_t events;
    struct fan_error error = {0};
    char path[PATH_MAX];
    ck_assert_int_eq(spill_peek(directory, &first, &last, &events, &error), FAN_AGAIN);
    ck_assert_int_eq(spill_remove(directory, &error), FAN_OK);
    struct spill *spill = open_small();
    spill_close(spill);
    ck_assert_int_eq(spill_peek(directory, &first, &last, &events, &error), FAN_AGAIN);
    spill = open_small();
    for (uint64_t number = 5; number < 50; number += 5) {
        append(spill, number, 5);
    }
    spill_close(spill);
    ck_assert_int_eq(spill_peek(directory, &first, &last, &events, &error), FAN_OK);
    ck_assert_uint_eq(events, 45);
    ck_assert_int_eq(position_compare(first, position_of(5)), 0);
    ck_assert_int_eq(position_compare(last, position_of(49)), 0);
    (void)snprintf(path, sizeof(path), "%s/notes.txt", directory);
    put_file(path, (const uint8_t *)"x", 1);
    ck_assert_int_eq(spill_remove(directory, &error), FAN_FATAL);
    ck_assert_uint_eq(files_in_directory(), 1);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(spill_remove(directory, &error), FAN_OK);
    ck_assert_int_ne(access(directory, F_OK), 0);
}
END_TEST

START_TEST(spill_damage_under_an_open_spill_is_refused_by_read)
{
    char path[PATH_MAX];
    struct spill *spill = open_with(1 << 24, 0);
    for (uint64_t number = 1; number < 40; number++) {
        append(spill, number, 1);
    }
    path_of(1, path);
    int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(pwrite(descriptor, "damage", 6, size_of(path) / 2), 6);
    (void)close(descriptor);
    struct batch *batch = NULL;
    struct fan_error error = {0};
    enum fan_status status;
    while ((status = spill_read(spill, plain_pool, 0, &batch, &error)) == FAN_OK) {
        batch_unref(batch);
    }
    ck_assert_int_eq(status, FAN_FATAL);
    ck_assert_str_eq(error.code, "SPILL_CORRUPT");
    ck_assert_ptr_nonnull(strstr(error.text, "00000001.seg"));
    ck_assert_int_eq(spill_read(spill, plain_pool, 0, &batch, &error), FAN_FATAL);
    spill_close(spill);
}
END_TEST

static void add_tests(TCase *tests)
{
    tcase_add_loop_test(tests, spill_reopened_at_every_step_goes_on_as_if_it_was_not, 0, 4);
    tcase_add_test(tests, spill_cut_anywhere_in_its_last_segment_ends_at_a_whole_record);
    tcase_add_test(tests, spill_cut_below_what_was_synced_is_refused);
    tcase_add_test(tests, spill_segment_that_is_missing_between_others_is_refused);
    tcase_add_test(tests, spill_damage_before_a_synced_segment_is_refused);
    tcase_add_test(tests, spill_of_another_version_is_refused);
    tcase_add_test(tests, spill_leftovers_are_no_obstacle);
    tcase_add_test(tests, spill_only_an_empty_segment_is_an_empty_spill);
    tcase_add_test(tests, spill_is_open_once);
    tcase_add_test(tests, spill_peek_and_remove);
    tcase_add_test(tests, spill_damage_under_an_open_spill_is_refused_by_read);
    for (int synced = 0; synced <= RECORDS; synced += RECORDS / 2) {
        tcase_add_loop_test(tests, spill_every_flipped_byte_is_caught, synced, synced + 1);
    }
}

int main(void)
{
    return spill_tests_run("spill_recover", add_tests);
}
