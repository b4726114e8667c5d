/*
 * The store keeps what a save returned FAN_OK for, refuses what it does not understand, and never
 * replaces a file by itself.
 *
 * Oracle: the values that the test saved; for refusals the stable code and that the file's bytes
 * are the same afterwards; for kill -9 the numbers that a child acknowledged over a pipe after
 * each save; for files that the store did not make, a plain SQLite connection.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "store/letter.h"
#include "store/migration.h"
#include "store/store.h"
#include "tests/unit/child.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"

static char data_dir[PATH_MAX];
static char db_path[PATH_MAX];
static const char *test_data = "."; /* the directory of files from earlier versions */
static const struct store_options create_options = {.create = true};

static void setup(void)
{
    scratch_path(data_dir, sizeof(data_dir));
    (void)snprintf(db_path, sizeof(db_path), "%.4000s/pgfan.db", data_dir);
}

static struct store *open_ok(void)
{
    struct store *store = NULL;
    struct fan_error error = {0};
    enum fan_status status = store_open(data_dir, &create_options, &store, &error);
    ck_assert_msg(status == FAN_OK, "%s: %s", error.code, error.text);
    return store;
}

static void open_refused(const struct store_options *options, const char *code)
{
    struct store *store = NULL;
    struct fan_error error = {0};
    ck_assert_int_eq(store_open(data_dir, options, &store, &error), FAN_FATAL);
    ck_assert_ptr_null(store);
    ck_assert_str_eq(error.code, code);
    ck_assert_str_ne(error.hint, "");
}

static void save_ok(struct store *store, const struct store_update *update)
{
    struct fan_error error = {0};
    enum fan_status status = store_save(store, update, &error);
    ck_assert_msg(status == FAN_OK, "%s: %s", error.code, error.text);
}

static struct store_state load_ok(struct store *store)
{
    struct store_state state = {0};
    struct fan_error error = {0};
    enum fan_status status = store_load(store, &state, &error);
    ck_assert_msg(status == FAN_OK, "%s: %s", error.code, error.text);
    return state;
}

static struct store_source source_make(uint64_t confirmed)
{
    return (struct store_source){.source = "shop",
                                 .system_id = "7301234567890123456",
                                 .timeline = 3,
                                 .slot = "pgfan_shop",
                                 .database = "shop",
                                 .publication = "pgfan_shop",
                                 .slot_state = STORE_SLOT_CREATED,
                                 .consistent_point = 0x1000,
                                 .confirmed = confirmed};
}

static void save_confirmed(struct store *store, uint64_t confirmed)
{
    const struct store_source source = source_make(confirmed);
    save_ok(store, &(struct store_update){.sources = &source, .sources_count = 1});
}

static uint64_t load_confirmed(struct store *store)
{
    struct store_state state = load_ok(store);
    ck_assert_uint_eq(state.sources_count, 1);
    uint64_t confirmed = state.sources[0].confirmed;
    store_state_release(&state);
    return confirmed;
}

/* Runs SQL on the file behind the store's back. */
static void sql_run(const char *sql)
{
    sqlite3 *db = NULL;
    ck_assert_int_eq(sqlite3_open(db_path, &db), SQLITE_OK);
    char *message = NULL;
    (void)sqlite3_exec(db, sql, NULL, NULL, &message);
    ck_assert_msg(message == NULL, "%s", message);
    ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static void file_write(const char *path, const char *text, size_t size)
{
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

static size_t file_read(const char *path, char *content, size_t size_max)
{
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    size_t size = fread(content, 1, size_max, file);
    (void)fclose(file);
    return size;
}

START_TEST(store_new_directory_is_made_private)
{
    struct store *store = open_ok();
    struct stat status;
    ck_assert_int_eq(stat(data_dir, &status), 0);
    ck_assert_int_eq(status.st_mode & 0777, 0700);
    ck_assert_int_eq(stat(db_path, &status), 0);
    ck_assert_int_eq(status.st_mode & 0777, 0600);
    struct store_state state = load_ok(store);
    ck_assert_int_eq(state.schema_version, STORE_SCHEMA_VERSION);
    ck_assert_int_gt(state.created_us, 0);
    ck_assert_uint_eq(state.sources_count + state.checkpoints_count + state.gaps_count, 0);
    store_state_release(&state);
    store_close(store);
}
END_TEST

START_TEST(store_every_field_comes_back_after_reopening)
{
    struct store *store = open_ok();
    const struct store_source source = source_make(UINT64_MAX - 1);
    struct store_checkpoint checkpoints[2] = {{.pipeline = "orders",
                                               .target = "bus",
                                               .commit_lsn = 0x16B3748,
                                               .seq = -1,
                                               .detail = "segment=1",
                                               .updated_us = 77,
                                               .start_lsn = 5,
                                               .type = "file",
                                               .address = "/x"},
                                              {.pipeline = "orders", .target = "archive"}};
    memset(checkpoints[1].detail, 'd', sizeof(checkpoints[1].detail) - 1);
    const struct store_pipeline pipeline = {
        .pipeline = "orders", .source = "shop", .state = 4, .reason = "why", .since_us = -9};
    const struct store_gap gap = {.pipeline = "orders",
                                  .target = "bus",
                                  .gap_id = 1,
                                  .first_lsn = 1,
                                  .first_seq = 2,
                                  .last_lsn = 3,
                                  .last_seq = 4,
                                  .count = 5,
                                  .cause = "drop_oldest",
                                  .at_us = 6};
    save_ok(store, &(struct store_update){.sources = &source,
                                          .sources_count = 1,
                                          .checkpoints = checkpoints,
                                          .checkpoints_count = 2,
                                          .pipelines = &pipeline,
                                          .pipelines_count = 1,
                                          .gaps = &gap,
                                          .gaps_count = 1});
    store_close(store);
    store = open_ok();
    struct store_state state = load_ok(store);
    ck_assert_uint_eq(state.sources_count, 1);
    ck_assert_mem_eq(state.sources, &source, sizeof(source));
    ck_assert_uint_eq(state.checkpoints_count, 2);
    ck_assert_mem_eq(&state.checkpoints[0], &checkpoints[1], sizeof(checkpoints[1]));
    ck_assert_mem_eq(&state.checkpoints[1], &checkpoints[0], sizeof(checkpoints[0]));
    ck_assert_uint_eq(state.pipelines_count, 1);
    ck_assert_mem_eq(state.pipelines, &pipeline, sizeof(pipeline));
    ck_assert_uint_eq(state.gaps_count, 1);
    ck_assert_uint_eq(state.gaps_total, 1);
    ck_assert_mem_eq(state.gaps, &gap, sizeof(gap));
    store_state_release(&state);
    store_close(store);
}
END_TEST

START_TEST(store_ack_that_goes_back_is_refused_whole)
{
    struct store *store = open_ok();
    save_confirmed(store, 100);
    const struct store_source lower = source_make(99);
    const struct store_checkpoint checkpoint = {.pipeline = "p", .target = "t"};
    struct fan_error error = {0};
    const struct store_update update = {
        .sources = &lower, .sources_count = 1, .checkpoints = &checkpoint, .checkpoints_count = 1};
    ck_assert_int_eq(store_save(store, &update, &error), FAN_FATAL);
    ck_assert_str_eq(error.code, "STORE_ACK_BACKWARDS");
    struct store_state state = load_ok(store);
    ck_assert_uint_eq(state.sources[0].confirmed, 100);
    ck_assert_uint_eq(state.checkpoints_count, 0);
    store_state_release(&state);
    /* A removal in the same update begins the source anew. */
    const struct store_removal removal = {.kind = STORE_SOURCE, .name = "shop"};
    save_ok(store,
            &(struct store_update){
                .removals = &removal, .removals_count = 1, .sources = &lower, .sources_count = 1});
    ck_assert_uint_eq(load_confirmed(store), 99);
    store_close(store);
}
END_TEST

START_TEST(store_removals_take_what_they_name)
{
    struct store *store = open_ok();
    const struct store_checkpoint checkpoints[] = {{.pipeline = "a", .target = "x"},
                                                   {.pipeline = "a", .target = "y"},
                                                   {.pipeline = "b", .target = "x"},
                                                   {.pipeline = "b", .target = "y"}};
    save_ok(store, &(struct store_update){.checkpoints = checkpoints, .checkpoints_count = 4});
    const struct store_removal removals[] = {{.kind = STORE_CHECKPOINT, .name = "a"},
                                             {.kind = STORE_CHECKPOINT, .name = "b", .target = "x"},
                                             {.kind = STORE_PIPELINE, .name = "absent"}};
    save_ok(store, &(struct store_update){.removals = removals, .removals_count = 3});
    struct store_state state = load_ok(store);
    ck_assert_uint_eq(state.checkpoints_count, 1);
    ck_assert_str_eq(state.checkpoints[0].pipeline, "b");
    ck_assert_str_eq(state.checkpoints[0].target, "y");
    store_state_release(&state);
    store_close(store);
}
END_TEST

START_TEST(store_gaps_beyond_the_load_limit_give_the_newest_and_the_total)
{
    struct store *store = open_ok();
    enum { GAPS = STORE_GAPS_LOAD_MAX + 5 };
    struct store_gap *gaps = calloc(GAPS, sizeof(*gaps));
    ck_assert_ptr_nonnull(gaps);
    for (int i = 0; i < GAPS; i++) {
        gaps[i] = (struct store_gap){.pipeline = "p", .target = "t", .gap_id = i, .at_us = i};
    }
    save_ok(store, &(struct store_update){.gaps = gaps, .gaps_count = GAPS});
    free(gaps);
    struct store_state state = load_ok(store);
    ck_assert_uint_eq(state.gaps_count, STORE_GAPS_LOAD_MAX);
    ck_assert_uint_eq(state.gaps_total, GAPS);
    ck_assert_int_eq(state.gaps[0].gap_id, 5);
    ck_assert_int_eq(state.gaps[STORE_GAPS_LOAD_MAX - 1].gap_id, GAPS - 1);
    store_state_release(&state);
    store_close(store);
}
END_TEST

START_TEST(store_foreign_file_is_refused_and_kept)
{
    static const char text[] = "these are somebody's notes, and long enough to look like a header "
                               "of one hundred bytes that is none at all";
    ck_assert_int_eq(mkdir(data_dir, 0700), 0);
    file_write(db_path, text, sizeof(text));
    open_refused(&create_options, "STORE_FOREIGN");
    char content[sizeof(text) + 1];
    ck_assert_uint_eq(file_read(db_path, content, sizeof(content)), sizeof(text));
    ck_assert_mem_eq(content, text, sizeof(text));
    ck_assert_int_eq(unlink(db_path), 0);
    sql_run("CREATE TABLE notes (text)");
    open_refused(&create_options, "STORE_FOREIGN");
}
END_TEST

START_TEST(store_newer_version_is_refused_by_number)
{
    store_close(open_ok());
    sql_run("PRAGMA user_version = 7");
    struct store *store = NULL;
    struct fan_error error = {0};
    ck_assert_int_eq(store_open(data_dir, &create_options, &store, &error), FAN_FATAL);
    ck_assert_str_eq(error.code, "STORE_NEWER");
    ck_assert_ptr_nonnull(strstr(error.text, "version 7"));
}
END_TEST

START_TEST(store_read_only_file_is_refused)
{
    store_close(open_ok());
    ck_assert_int_eq(chmod(db_path, 0400), 0);
    open_refused(&create_options, "STORE_READ_ONLY");
}
END_TEST

START_TEST(store_directory_open_to_others_is_refused)
{
    ck_assert_int_eq(mkdir(data_dir, 0700), 0);
    ck_assert_int_eq(chmod(data_dir, 0770), 0);
    open_refused(&create_options, "STORE_PERMISSIONS");
}
END_TEST

START_TEST(store_directory_of_another_user_is_refused)
{
    ck_assert_int_eq(mkdir(data_dir, 0700), 0);
    if (chown(data_dir, 4242, (gid_t)-1) != 0) {
        return; /* only the superuser can make this case */
    }
    open_refused(&create_options, "STORE_OWNER");
}
END_TEST

START_TEST(store_missing_without_create_is_refused)
{
    open_refused(&(struct store_options){0}, "STORE_MISSING");
    ck_assert_int_ne(access(data_dir, F_OK), 0);
}
END_TEST

START_TEST(store_empty_file_is_damage_and_not_a_new_store)
{
    ck_assert_int_eq(mkdir(data_dir, 0700), 0);
    file_write(db_path, "", 0);
    open_refused(&create_options, "STORE_CORRUPT");
}
END_TEST

START_TEST(store_log_without_its_file_is_damage)
{
    char path[PATH_MAX];
    ck_assert_int_eq(mkdir(data_dir, 0700), 0);
    (void)snprintf(path, sizeof(path), "%.4000s/pgfan.db-wal", data_dir);
    file_write(path, "left", 4);
    open_refused(&create_options, "STORE_CORRUPT");
    ck_assert_int_ne(access(db_path, F_OK), 0);
}
END_TEST

/* Every page of a filled store is overwritten in turn; none may be taken for sound. */
START_TEST(store_damaged_page_is_refused_before_the_start)
{
    struct store *store = open_ok();
    struct store_checkpoint checkpoints[64];
    memset(checkpoints, 0, sizeof(checkpoints));
    for (size_t i = 0; i < 64; i++) {
        (void)snprintf(checkpoints[i].pipeline, STORE_NAME_MAX, "pipeline-%zu", i);
        memset(checkpoints[i].detail, 'x', STORE_DETAIL_MAX - 1);
    }
    save_ok(store, &(struct store_update){.checkpoints = checkpoints, .checkpoints_count = 64});
    store_close(store);
    static char sound[1 << 20];
    size_t size = file_read(db_path, sound, sizeof(sound));
    ck_assert_uint_gt(size, 5 * 4096);
    for (size_t page = 1; page * 4096 < size; page++) {
        static char damaged[sizeof(sound)];
        memcpy(damaged, sound, size);
        memset(damaged + page * 4096, 0xA5, 4096);
        file_write(db_path, damaged, size);
        open_refused(&create_options, "STORE_CORRUPT");
    }
    file_write(db_path, sound, size / 2);
    open_refused(&create_options, "STORE_CORRUPT");
    file_write(db_path, sound, size);
    store_close(open_ok());
}
END_TEST

START_TEST(store_removed_while_open_takes_no_more_saves)
{
    struct store *store = open_ok();
    save_confirmed(store, 1);
    ck_assert_int_eq(unlink(db_path), 0);
    const struct store_source source = source_make(2);
    struct fan_error error = {0};
    const struct store_update update = {.sources = &source, .sources_count = 1};
    ck_assert_int_eq(store_save(store, &update, &error), FAN_FATAL);
    ck_assert_str_eq(error.code, "STORE_MISSING");
    store_close(store);
}
END_TEST

START_TEST(store_held_by_another_connection_asks_to_retry)
{
    struct store *first = open_ok();
    save_confirmed(first, 1);
    const struct store_options hurried = {.create = true, .busy_timeout_ms = 1};
    struct store *second = NULL;
    struct fan_error error = {0};
    ck_assert_int_eq(store_open(data_dir, &hurried, &second, &error), FAN_RETRY);
    ck_assert_str_eq(error.code, "STORE_LOCKED");
    save_confirmed(first, 2);
    store_close(first);
}
END_TEST

START_TEST(store_lock_names_the_process_that_has_it)
{
    int first = -1;
    int second = -1;
    struct fan_error error = {0};
    ck_assert_int_eq(store_lock(data_dir, true, &first, &error), FAN_OK);
    ck_assert_int_eq(store_lock(data_dir, true, &second, &error), FAN_FATAL);
    char expected[64];
    (void)snprintf(expected, sizeof(expected), "is in use by process %ld", (long)getpid());
    ck_assert_ptr_nonnull(strstr(error.text, expected));
    ck_assert_str_eq(error.code, "STORE_IN_USE");
    store_unlock(first);
    ck_assert_int_eq(store_lock(data_dir, true, &second, &error), FAN_OK);
    store_unlock(second);
}
END_TEST

START_TEST(store_full_file_keeps_nothing_of_the_save_and_goes_on)
{
    const struct store_options small = {.create = true, .pages_max = 12};
    struct store *store = NULL;
    struct fan_error error = {0};
    ck_assert_int_eq(store_open(data_dir, &small, &store, &error), FAN_OK);
    struct store_gap gaps[512];
    memset(gaps, 0, sizeof(gaps));
    for (int i = 0; i < 512; i++) {
        (void)snprintf(gaps[i].pipeline, STORE_NAME_MAX, "a pipeline with a long name, %d", i);
        gaps[i].gap_id = i;
    }
    const struct store_source source = source_make(50);
    const struct store_update update = {
        .sources = &source, .sources_count = 1, .gaps = gaps, .gaps_count = 512};
    ck_assert_int_eq(store_save(store, &update, &error), FAN_RETRY);
    ck_assert_str_eq(error.code, "STORE_FULL");
    struct store_state state = load_ok(store);
    ck_assert_uint_eq(state.sources_count + state.gaps_count, 0);
    store_state_release(&state);
    save_confirmed(store, 51);
    ck_assert_uint_eq(load_confirmed(store), 51);
    store_close(store);
}
END_TEST

/* A write that the system refuses (EFBIG stands for a full disk) must not count as saved, and the
 * same update must pass when there is space again. */
START_TEST(store_refused_write_is_a_retry_that_passes_later)
{
    struct store *store = open_ok();
    save_confirmed(store, 10);
    struct rlimit before;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit tight = {.rlim_cur = 4096, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &tight), 0);
    const struct store_source source = source_make(11);
    const struct store_update update = {.sources = &source, .sources_count = 1};
    struct fan_error error = {0};
    enum fan_status status = store_save(store, &update, &error);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_eq(status, FAN_RETRY);
    ck_assert_uint_eq(load_confirmed(store), 10);
    save_ok(store, &update);
    store_close(store);
    store = open_ok();
    ck_assert_uint_eq(load_confirmed(store), 11);
    store_close(store);
}
END_TEST

/* A real full disk, where the test may mount one. */
START_TEST(store_on_a_real_full_disk_goes_on_when_there_is_space)
{
    ck_assert_int_eq(mkdir(data_dir, 0700), 0);
    if (mount("tmpfs", data_dir, "tmpfs", 0, "size=128k,mode=0700") != 0) {
        return; /* only the superuser can make this case */
    }
    struct store *store = open_ok();
    char filler[PATH_MAX];
    (void)snprintf(filler, sizeof(filler), "%.4000s/filler", data_dir);
    FILE *file = fopen(filler, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(posix_fallocate(fileno(file), 0, 48 << 10), 0);
    ck_assert_int_eq(fclose(file), 0);
    struct fan_error error = {0};
    enum fan_status status = FAN_OK;
    uint64_t confirmed = 0;
    while (status == FAN_OK) {
        const struct store_source source = source_make(++confirmed);
        const struct store_update update = {.sources = &source, .sources_count = 1};
        status = store_save(store, &update, &error);
        ck_assert_uint_lt(confirmed, 1000);
    }
    ck_assert_int_eq(status, FAN_RETRY);
    ck_assert_str_eq(error.code, "STORE_FULL");
    ck_assert_uint_eq(load_confirmed(store), confirmed - 1);
    ck_assert_int_eq(unlink(filler), 0);
    save_confirmed(store, confirmed);
    ck_assert_uint_eq(load_confirmed(store), confirmed);
    store_close(store);
    ck_assert_int_eq(umount(data_dir), 0);
}
END_TEST

static const struct migration_step steps_zero[] = {
    {.from = 0, .sql = "ALTER TABLE source ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 42"},
    {.from = 1, .sql = ""}};
static const struct migration_step steps_broken[] = {
    {.from = 0, .sql = "DELETE FROM source"},
    {.from = 1, .sql = "ALTER TABLE absent ADD COLUMN x"}};

/* Version 0 never was; the test makes one that lacks a column. */
static void make_version_zero(void)
{
    struct store *store = open_ok();
    save_confirmed(store, 7);
    store_close(store);
    sql_run("ALTER TABLE source DROP COLUMN confirmed; PRAGMA user_version = 0");
}

START_TEST(store_older_version_is_copied_and_migrated)
{
    make_version_zero();
    const struct migration_plan plan = {.steps = steps_zero, .steps_count = 2};
    const struct store_options options = {.create = true, .migrations = &plan};
    struct store *store = NULL;
    struct fan_error error = {0};
    ck_assert_msg(store_open(data_dir, &options, &store, &error) == FAN_OK, "%s", error.text);
    ck_assert_uint_eq(load_confirmed(store), 42);
    store_close(store);
    char copy[PATH_MAX];
    (void)snprintf(copy, sizeof(copy), "%.4000s.v0.bak", db_path);
    ck_assert_int_eq(rename(copy, db_path), 0);
    open_refused(&create_options, "STORE_INVALID"); /* version 0 again, and no step from it */
}
END_TEST

START_TEST(store_migration_that_fails_leaves_the_old_version)
{
    make_version_zero();
    const struct migration_plan plan = {.steps = steps_broken, .steps_count = 2};
    const struct store_options options = {.create = true, .migrations = &plan};
    open_refused(&options, "STORE_INVALID");
    const struct migration_plan good = {.steps = steps_zero, .steps_count = 2};
    const struct store_options again = {.create = true, .migrations = &good};
    struct store *store = NULL;
    struct fan_error error = {0};
    ck_assert_int_eq(store_open(data_dir, &again, &store, &error), FAN_OK);
    ck_assert_uint_eq(load_confirmed(store), 42);
    store_close(store);
}
END_TEST

/* The file was written by the pgfan that knew version 1 only. */
static void copy_version_one(void)
{
    char from[PATH_MAX];
    static char content[1 << 16];
    (void)snprintf(from, sizeof(from), "%.4000s/store-v1.db", test_data);
    size_t size = file_read(from, content, sizeof(content));
    ck_assert_uint_gt(size, 4096);
    ck_assert_int_eq(mkdir(data_dir, 0700), 0);
    file_write(db_path, content, size);
}

static void check_version_one(const struct store_state *state, int version)
{
    ck_assert_int_eq(state->schema_version, version);
    ck_assert_uint_eq(state->sources_count, 1);
    ck_assert_uint_eq(state->sources[0].confirmed, 0x16B3748);
    ck_assert_uint_eq(state->checkpoints_count, 2);
    ck_assert_str_eq(state->checkpoints[0].detail, "segment=1");
    ck_assert_uint_eq(state->pipelines_count, 1);
    ck_assert_uint_eq(state->gaps_count, 2);
    ck_assert_uint_eq(state->gaps[1].count, 9);
    ck_assert_uint_eq(state->letters_count, 0);
}

START_TEST(store_of_version_one_is_copied_and_takes_letters)
{
    copy_version_one();
    struct store *store = open_ok();
    struct store_state state = load_ok(store);
    check_version_one(&state, 2);
    store_state_release(&state);
    const struct store_letter letter = {.pipeline = "orders",
                                        .target = "bus",
                                        .source = "shop",
                                        .id = "x",
                                        .format = "native",
                                        .code = "",
                                        .error = "",
                                        .cause = 1,
                                        .payload = (const uint8_t *)"p",
                                        .payload_size = 1};
    struct fan_error error = {0};
    ck_assert_int_eq(store_begin(store, &error), FAN_OK);
    ck_assert_msg(store_letter_insert(store, &letter, &error) == FAN_OK, "%s", error.text);
    ck_assert_int_eq(store_commit(store, &error), FAN_OK);
    store_close(store);
    store = open_ok();
    state = load_ok(store);
    ck_assert_uint_eq(state.letters_count, 1);
    ck_assert_uint_eq(state.letters[0].entries, 1);
    store_state_release(&state);
    store_close(store);
    char copy[PATH_MAX];
    (void)snprintf(copy, sizeof(copy), "%.4000s.v1.bak", db_path);
    ck_assert_int_eq(rename(copy, db_path), 0);
    store = open_ok();
    state = load_ok(store);
    check_version_one(&state, 2);
    store_state_release(&state);
    store_close(store);
}
END_TEST

static bool no_letter(void *context, const struct store_letter *letter)
{
    (void)context;
    (void)letter;
    ck_abort_msg("version 1 has no letters");
    return false;
}

START_TEST(store_of_version_one_is_read_without_migrating_it)
{
    copy_version_one();
    struct store *store = NULL;
    struct fan_error error = {0};
    const struct store_options options = {.read_only = true};
    ck_assert_int_eq(store_open(data_dir, &options, &store, &error), FAN_OK);
    struct store_state state = load_ok(store);
    check_version_one(&state, 1);
    store_state_release(&state);
    uint64_t rows = 7;
    const struct store_letter_walk walk = {.rows_max = 10, .see = no_letter};
    ck_assert_int_eq(store_letter_walk(store, &walk, &rows, &error), FAN_OK);
    ck_assert_uint_eq(rows, 0);
    ck_assert_int_eq(store_letter_remove(store, 1, &error), FAN_FATAL);
    ck_assert_str_eq(error.code, "STORE_READ_ONLY");
    store_close(store);
}
END_TEST

START_TEST(store_read_only_option_reads_and_refuses_to_save)
{
    struct store *store = open_ok();
    save_confirmed(store, 5);
    store_close(store);
    const struct store_options options = {.read_only = true};
    struct fan_error error = {0};
    ck_assert_int_eq(store_open(data_dir, &options, &store, &error), FAN_OK);
    ck_assert_uint_eq(load_confirmed(store), 5);
    const struct store_source source = source_make(6);
    const struct store_update update = {.sources = &source, .sources_count = 1};
    ck_assert_int_eq(store_save(store, &update, &error), FAN_FATAL);
    ck_assert_str_eq(error.code, "STORE_READ_ONLY");
    store_close(store);
}
END_TEST

static enum fan_status check_in_background(struct store *store, uint64_t confirmed,
                                           struct fan_error *error)
{
    enum fan_status status;
    while ((status = store_check_step(store, error)) == FAN_AGAIN) {
        save_confirmed(store, ++confirmed); /* between the slices */
    }
    return status == FAN_OK ? store_check_copy(data_dir, error) : status;
}

START_TEST(store_too_large_to_check_first_is_checked_while_open)
{
    struct store *store = open_ok();
    save_confirmed(store, 1);
    enum { GAPS = 20000 };
    struct store_gap *gaps = calloc(GAPS, sizeof(*gaps));
    ck_assert_ptr_nonnull(gaps);
    for (int i = 0; i < GAPS; i++) {
        (void)snprintf(gaps[i].pipeline, STORE_NAME_MAX, "a pipeline with a long name, %d", i);
    }
    save_ok(store, &(struct store_update){.gaps = gaps, .gaps_count = GAPS});
    free(gaps);
    ck_assert(!store_needs_background_check(store));
    store_close(store);
    const struct store_options options = {.create = true, .quick_check_max_bytes = 4096};
    struct fan_error error = {0};
    ck_assert_int_eq(store_open(data_dir, &options, &store, &error), FAN_OK);
    ck_assert(store_needs_background_check(store));
    ck_assert_msg(check_in_background(store, 1, &error) == FAN_OK, "%s", error.text);
    ck_assert(!store_needs_background_check(store));
    store_close(store);
    /* The last page is damaged: opening does not see it, the check does. */
    int descriptor = open(db_path, O_WRONLY | O_CLOEXEC);
    struct stat status;
    ck_assert_int_eq(fstat(descriptor, &status), 0);
    static const char junk[4096] = {1, 2, 3};
    ck_assert_int_eq(pwrite(descriptor, junk, sizeof(junk), status.st_size - 4096), 4096);
    (void)close(descriptor);
    ck_assert_int_eq(store_open(data_dir, &options, &store, &error), FAN_OK);
    ck_assert_int_eq(check_in_background(store, 1000, &error), FAN_FATAL);
    ck_assert_str_eq(error.code, "STORE_CORRUPT");
    store_close(store);
}
END_TEST

/* The child's life: saves 1, 2, 3 ... and writes each number when its save has returned. */
static int child_main(const char *directory)
{
    struct store *store = NULL;
    struct fan_error error = {0};
    const struct store_options options = {.create = true};
    if (store_open(directory, &options, &store, &error) != FAN_OK) {
        return 1;
    }
    struct store_state state;
    if (store_load(store, &state, &error) != FAN_OK) {
        return 2;
    }
    uint64_t confirmed = state.sources_count == 0 ? 0 : state.sources[0].confirmed;
    store_state_release(&state);
    for (;;) {
        const struct store_source source = source_make(++confirmed);
        const struct store_update update = {.sources = &source, .sources_count = 1};
        if (store_save(store, &update, &error) != FAN_OK ||
            write(STDOUT_FILENO, &confirmed, sizeof(confirmed)) != sizeof(confirmed)) {
            return 3;
        }
    }
}

START_TEST(store_killed_while_saving_keeps_what_was_acknowledged)
{
    for (unsigned round = 0; round < 12; round++) {
        uint64_t acknowledged = 0;
        child_kill_after(1 + round * 7, "save-until-killed", data_dir, &acknowledged,
                         sizeof(acknowledged));
        struct store *store = open_ok();
        uint64_t confirmed = load_confirmed(store);
        ck_assert_uint_ge(confirmed, acknowledged);
        ck_assert_uint_le(confirmed, acknowledged + 1);
        store_close(store);
    }
}
END_TEST

START_TEST(store_library_version_is_known)
{
    ck_assert_str_eq(store_sqlite_version(), sqlite3_libversion());
    ck_assert_int_eq(store_sqlite_has_wal_reset_bug(), sqlite3_libversion_number() < 3051003);
}
END_TEST

static void add_tests(TCase *tests)
{
    tcase_add_test(tests, store_new_directory_is_made_private);
    tcase_add_test(tests, store_every_field_comes_back_after_reopening);
    tcase_add_test(tests, store_ack_that_goes_back_is_refused_whole);
    tcase_add_test(tests, store_removals_take_what_they_name);
    tcase_add_test(tests, store_gaps_beyond_the_load_limit_give_the_newest_and_the_total);
    tcase_add_test(tests, store_foreign_file_is_refused_and_kept);
    tcase_add_test(tests, store_newer_version_is_refused_by_number);
    tcase_add_test(tests, store_read_only_file_is_refused);
    tcase_add_test(tests, store_directory_open_to_others_is_refused);
    tcase_add_test(tests, store_directory_of_another_user_is_refused);
    tcase_add_test(tests, store_missing_without_create_is_refused);
    tcase_add_test(tests, store_empty_file_is_damage_and_not_a_new_store);
    tcase_add_test(tests, store_log_without_its_file_is_damage);
    tcase_add_test(tests, store_damaged_page_is_refused_before_the_start);
    tcase_add_test(tests, store_removed_while_open_takes_no_more_saves);
    tcase_add_test(tests, store_held_by_another_connection_asks_to_retry);
    tcase_add_test(tests, store_lock_names_the_process_that_has_it);
    tcase_add_test(tests, store_full_file_keeps_nothing_of_the_save_and_goes_on);
    tcase_add_test(tests, store_refused_write_is_a_retry_that_passes_later);
    tcase_add_test(tests, store_on_a_real_full_disk_goes_on_when_there_is_space);
    tcase_add_test(tests, store_older_version_is_copied_and_migrated);
    tcase_add_test(tests, store_migration_that_fails_leaves_the_old_version);
    tcase_add_test(tests, store_of_version_one_is_copied_and_takes_letters);
    tcase_add_test(tests, store_of_version_one_is_read_without_migrating_it);
    tcase_add_test(tests, store_read_only_option_reads_and_refuses_to_save);
    tcase_add_test(tests, store_too_large_to_check_first_is_checked_while_open);
    tcase_add_test(tests, store_killed_while_saving_keeps_what_was_acknowledged);
    tcase_add_test(tests, store_library_version_is_known);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "save-until-killed") == 0) {
        return child_main(argv[2]);
    }
    if (argc == 2) {
        test_data = argv[1];
    }
    if (!scratch_open("store")) {
        return EXIT_FAILURE;
    }
    (void)signal(SIGXFSZ, SIG_IGN); /* a refused write then is EFBIG */
    log_set_level(LOG_ERROR);
    TCase *tests = tcase_create("store");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, NULL);
    add_tests(tests);
    int status = suite_run("store", tests);
    scratch_remove();
    return status;
}
