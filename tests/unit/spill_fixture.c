#include "spill_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"

enum { PAYLOAD_MAX = 90, LABEL_MAX = 64 };

char directory[DIRECTORY_MAX];
struct batch_pool *labelled_pool;
struct batch_pool *plain_pool;
uint64_t append_limit = UINT64_MAX;

/* Four events share a commit LSN: a message before the transaction, then three changes of it. */
struct fan_position position_of(uint64_t number)
{
    return (struct fan_position){{(number / 4 + 1) * 16}, (int64_t)(number % 4) - 1};
}

static struct batch_event event_of(uint64_t number)
{
    static const char ops[] = "cudtgc";
    bool message = number % 4 == 0;
    return (struct batch_event){.position = position_of(number),
                                .hold_lsn = {(number / 4 + 1) * 16 - 5},
                                .commit_time_us = message ? 0 : (int64_t)number * 1000 - 5000,
                                .op = (uint8_t)(message ? 'm' : ops[number % 6]),
                                .txn_end = number % 4 == 3};
}

/* Any bytes, newlines among them; sometimes none. */
static size_t payload_of(uint64_t number, size_t format, uint8_t bytes[PAYLOAD_MAX])
{
    struct rng rng = rng_seeded(number * 31 + format);
    size_t size = rng_below(&rng, 8) == 0 ? 0 : rng_below(&rng, PAYLOAD_MAX);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)rng_next(&rng);
    }
    return size;
}

static size_t label_of(uint64_t number, char bytes[LABEL_MAX])
{
    int size = number % 4 == 0 ? snprintf(bytes, LABEL_MAX, "%c%c", 0, 0)
                               : snprintf(bytes, LABEL_MAX, "public%ct%u%c{\"id\": %" PRIu64 "}", 0,
                                          (unsigned)(number % 5), 0, number % 97);
    bytes[size++] = '\0';
    return (size_t)size;
}

void batch_put(struct batch *batch, uint64_t number)
{
    ck_assert(batch_reserve_event(batch));
    size_t at = batch->events_count++;
    batch->events[at] = event_of(number);
    for (size_t i = 0; i < batch->formats_count; i++) {
        struct encoded *encoded = &batch->encoded[i];
        uint8_t payload[PAYLOAD_MAX];
        char label[LABEL_MAX];
        if (batch->labelled && i == batch->formats_count - 1) {
            bytes_append(&encoded->bytes, label, label_of(number, label));
        } else {
            bytes_append(&encoded->bytes, payload, payload_of(number, i, payload));
        }
        encoded->ends[at] = (uint32_t)encoded->bytes.size;
        bytes_append_char(&encoded->bytes, '\n');
        ck_assert(bytes_ok(&encoded->bytes));
    }
}

enum txn_part part_of(uint64_t number)
{
    return (enum txn_part)(number % 4);
}

/* Appends events [number, number + count) as one record. */
enum fan_status append_in(struct spill *spill, struct batch_pool *pool, size_t format,
                          uint64_t number, uint64_t count, size_t skipped, struct fan_error *error)
{
    struct batch *batch = batch_pool_take(pool);
    ck_assert_ptr_nonnull(batch);
    for (uint64_t i = 0; i < count + skipped; i++) {
        batch_put(batch, number - skipped + i);
    }
    batch->part = part_of(number);
    struct rlimit before;
    (void)getrlimit(RLIMIT_FSIZE, &before); /* a valid resource: cannot fail */
    const struct rlimit limit = {append_limit < before.rlim_max ? append_limit : before.rlim_max,
                                 before.rlim_max};
    (void)setrlimit(RLIMIT_FSIZE, &limit); /* for this call only: Check writes files, too */
    enum fan_status status = spill_append(spill, batch, format, skipped, error);
    (void)setrlimit(RLIMIT_FSIZE, &before); /* as above */
    batch_unref(batch);
    return status;
}

void append(struct spill *spill, uint64_t number, uint64_t count)
{
    struct fan_error error = {0};
    ck_assert_msg(append_in(spill, labelled_pool, 1, number, count, 0, &error) == FAN_OK, "%s",
                  error.text);
}

void check_event(const struct batch *batch, size_t at, size_t format, size_t written_format,
                 bool written_labels, uint64_t number)
{
    const struct batch_event expected = event_of(number);
    const struct batch_event *event = &batch->events[at];
    ck_assert_int_eq(position_compare(event->position, expected.position), 0);
    ck_assert_uint_eq(event->hold_lsn.value, expected.hold_lsn.value);
    ck_assert_int_eq(event->commit_time_us, expected.commit_time_us);
    ck_assert_uint_eq(event->op, expected.op);
    ck_assert(event->txn_end == expected.txn_end && event->gap_count == 0);
    uint8_t payload[PAYLOAD_MAX];
    char label[LABEL_MAX];
    size_t size;
    const uint8_t *bytes = batch_event_bytes(batch, format, at, &size);
    ck_assert_uint_eq(size, payload_of(number, written_format, payload));
    ck_assert(size == 0 || memcmp(bytes, payload, size) == 0);
    bytes = batch_label_bytes(batch, at, &size);
    ck_assert_uint_eq(size, batch->labelled && written_labels ? label_of(number, label) : 0);
    ck_assert(size == 0 || memcmp(bytes, label, size) == 0);
}

/* Reads one record, which must hold the events from `number` on. Returns how many, 0 at the end. */
uint64_t read_some(struct spill *spill, uint64_t number)
{
    struct fan_error error = {0};
    struct batch *batch = NULL;
    bool drained = spill_drained(spill);
    enum fan_status status = spill_read(spill, labelled_pool, 2, &batch, &error);
    ck_assert_msg(status == FAN_OK || status == FAN_AGAIN, "%s", error.text);
    ck_assert_int_eq(status == FAN_AGAIN, drained);
    if (status == FAN_AGAIN) {
        return 0;
    }
    uint64_t count = batch->events_count;
    ck_assert_uint_gt(count, 0);
    for (uint64_t i = 0; i < count; i++) {
        check_event(batch, i, 2, 1, true, number + i);
    }
    batch_unref(batch);
    return count;
}

/* Reads everything that is left. Returns the number behind the last event. */
uint64_t read_all(struct spill *spill, uint64_t number)
{
    for (;;) {
        uint64_t count = read_some(spill, number);
        if (count == 0) {
            return number;
        }
        number += count;
    }
}

/* The number of the event behind `position`. */
uint64_t number_behind(struct fan_position position)
{
    return position.commit_lsn.value == 0
               ? 1
               : (position.commit_lsn.value / 16 - 1) * 4 + (uint64_t)(position.seq + 1) + 1;
}

struct spill *open_with(uint64_t bytes_max, uint64_t segment_bytes)
{
    const struct spill_setup setup = {directory, bytes_max, segment_bytes};
    struct fan_error error = {0};
    struct spill *spill = NULL;
    ck_assert_msg(spill_open(&setup, &spill, &error) == FAN_OK, "%s", error.text);
    return spill;
}

struct spill *open_small(void)
{
    return open_with(1 << 24, SPILL_RECORDS_START + 600);
}

void refused(const char *code)
{
    const struct spill_setup setup = {directory, 1 << 24, 0};
    struct fan_error error = {0};
    struct spill *spill = NULL;
    ck_assert_int_eq(spill_open(&setup, &spill, &error), FAN_FATAL);
    ck_assert_str_eq(error.code, code);
    ck_assert_ptr_null(spill);
}

void sync_ok(struct spill *spill)
{
    struct fan_error error = {0};
    ck_assert_msg(spill_sync(spill, &error) == FAN_OK, "%s", error.text);
    ck_assert_int_eq(position_compare(spill_durable(spill), spill_last(spill)), 0);
}

void path_of(uint64_t number, char path[PATH_MAX])
{
    char name[SPILL_NAME_SIZE];
    spill_name(number, SPILL_SUFFIX, name);
    (void)snprintf(path, PATH_MAX, "%s/%s", directory, name);
}

void put_file(const char *path, const uint8_t *data, size_t size)
{
    /* Not cut to nothing first: some file systems then write it out when it is closed. */
    int descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(descriptor, 0);
    ck_assert_int_eq(write(descriptor, data, size), (ssize_t)size);
    ck_assert_int_eq(ftruncate(descriptor, (off_t)size), 0);
    (void)close(descriptor);
}

off_t size_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? info.st_size : -1;
}

size_t files_in_directory(void)
{
    DIR *stream = opendir(directory);
    ck_assert_ptr_nonnull(stream);
    size_t count = 0;
    const struct dirent *entry;
    while ((entry = readdir(stream)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(stream);
    return count;
}

static void setup(void)
{
    scratch_path(directory, sizeof(directory));
    disk_reset();
}

int spill_tests_run(const char *name, void (*add)(TCase *tests))
{
    (void)signal(SIGXFSZ, SIG_IGN); /* a refused write then is EFBIG */
    labelled_pool = batch_pool_create(FORMATS, true, 4, 1 << 20);
    plain_pool = batch_pool_create(1, false, 4, 1 << 20);
    if (!scratch_open("spill") || labelled_pool == NULL || plain_pool == NULL) {
        return EXIT_FAILURE;
    }
    TCase *tests = tcase_create(name);
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, setup, NULL);
    add(tests);
    int status = suite_run(name, tests);
    disk_reset();
    scratch_remove();
    batch_pool_destroy(labelled_pool);
    batch_pool_destroy(plain_pool);
    return status;
}
