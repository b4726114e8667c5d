/*
 * At start, what the conf has no more is forgotten, but for what would be lost by it: dead letters
 * of a pipeline or target that is gone hold the start until --forget names it.
 *
 * Oracle: the refusal's code and hint, and what the store holds afterwards.
 */
#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "deadletter/deadletter.h"
#include "engine/reconcile.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"

static char data_dir[PATH_MAX];
static struct store *store;
static struct fan_error error;

static struct settings_target targets[] = {{.name = "bus", .type = "file"}};
static struct settings_pipeline pipelines[] = {
    {.name = "orders", .source = "shop", .targets = {.items = targets, .count = 1}}};
static const struct settings settings = {.pipelines = {.items = pipelines, .count = 1}};

static void add(const char *pipeline, const char *target, uint64_t lsn)
{
    const struct deadletter_caps caps = {
        .entries_max = 100, .bytes_max = 1 << 20, .payload_bytes_max = 1 << 20};
    const struct deadletter letter = {.pipeline = pipeline,
                                      .target = target,
                                      .commit_lsn = lsn,
                                      .cause = LETTER_POISON,
                                      .payload = (const uint8_t *)"x",
                                      .payload_size = 1};
    struct deadletter_added added;
    ck_assert_int_eq(deadletter_add(store, &letter, 1, &caps, 1, &added, &error), FAN_OK);
}

static void setup(void)
{
    scratch_path(data_dir, sizeof(data_dir));
    const struct store_options options = {.create = true};
    ck_assert_int_eq(store_open(data_dir, &options, &store, &error), FAN_OK);
    error = (struct fan_error){0};
}

static void teardown(void)
{
    store_close(store);
}

/* Compares with the conf above. Returns how many letters the store holds then. */
static uint64_t run(const char *forget, enum fan_status wanted)
{
    const struct engine_setup engine_setup = {
        .settings = &settings, .forget = &forget, .forget_count = forget == NULL ? 0 : 1};
    struct store_state state = {0};
    ck_assert_int_eq(store_load(store, &state, &error), FAN_OK);
    ck_assert_int_eq(reconcile(&engine_setup, store, &state, &error), wanted);
    if (wanted == FAN_OK) {
        for (size_t i = 0; i < state.letters_count; i++) {
            ck_assert_str_eq(state.letters[i].pipeline, "orders");
            ck_assert_str_eq(state.letters[i].target, "bus");
        }
    }
    store_state_release(&state);
    struct deadletter_count count = {0};
    const struct deadletter_filter all = {0};
    ck_assert_int_eq(deadletter_count(store, &all, &count, &error), FAN_OK);
    return count.entries;
}

START_TEST(reconcile_letters_of_what_the_conf_has_are_kept)
{
    add("orders", "bus", 1);
    add("orders", "bus", 2);
    ck_assert_uint_eq(run(NULL, FAN_OK), 2);
}
END_TEST

START_TEST(reconcile_letters_of_a_removed_target_hold_the_start)
{
    add("orders", "bus", 1);
    add("orders", "search", 1);
    ck_assert_uint_eq(run(NULL, FAN_FATAL), 2);
    ck_assert_str_eq(error.code, "TARGET_REMOVED");
    ck_assert_ptr_nonnull(strstr(error.hint, "--forget orders/search"));
    ck_assert_uint_eq(run("search", FAN_FATAL), 2);
    ck_assert_uint_eq(run("orders", FAN_FATAL), 2); /* the pipeline is there: not meant */
    ck_assert_uint_eq(run("orders/search", FAN_OK), 1);
}
END_TEST

START_TEST(reconcile_letters_of_a_removed_pipeline_hold_the_start)
{
    add("stock", "bus", 1);
    add("stock", "search", 1);
    ck_assert_uint_eq(run(NULL, FAN_FATAL), 2);
    ck_assert_str_eq(error.code, "PIPELINE_REMOVED");
    ck_assert_ptr_nonnull(strstr(error.hint, "--forget stock"));
    ck_assert_uint_eq(run("stock", FAN_OK), 0);
    ck_assert_uint_eq(run(NULL, FAN_OK), 0);
}
END_TEST

int main(void)
{
    if (!scratch_open("reconcile")) {
        return EXIT_FAILURE;
    }
    log_set_level(LOG_ERROR);
    TCase *tests = tcase_create("reconcile");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, reconcile_letters_of_what_the_conf_has_are_kept);
    tcase_add_test(tests, reconcile_letters_of_a_removed_target_hold_the_start);
    tcase_add_test(tests, reconcile_letters_of_a_removed_pipeline_hold_the_start);
    int status = suite_run("reconcile", tests);
    scratch_remove();
    return status;
}
