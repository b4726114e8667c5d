/*
 * Property: whichever allocation fails, loading ends with an error or a whole result, leaves
 *           nothing behind, and never passes a conf it could not read whole.
 * Oracle:   the linker puts the functions below in the place of our allocations (those of libraries
 *           stay), and each fails in turn; the sanitizers see leaks; a load that succeeds must
 *           print what an undisturbed one prints.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "conf/load.h"
#include "conf/print.h"
#include "tests/unit/conf_fixture.h"
#include "tests/unit/suite.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);

static long until_failure = -1; /* allocations that still succeed; negative: all do */

static bool fails(void)
{
    return until_failure >= 0 && until_failure-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size)
{
    return fails() ? NULL : __real_strndup(text, size);
}

static const char good[] =
    "data_dir: /x\n"
    "api: {listen: '127.0.0.1:1'}\n"
    "sources: {shop: {dsn: service=shop, token: '$${', slot: {name: a}}, b: {dsn: service=b}}\n"
    "pipelines:\n"
    "  - name: a\n"
    "    labels: {team: shop}\n"
    "    source: shop\n"
    "    tables: [a, b.c]\n"
    "    messages: x\n"
    "    targets:\n"
    "      - {type: file, path: /x, rotate_bytes: 1MiB}\n"
    "      - {type: stdout, name: out}\n"
    "  - {name: b, source: b, tables: ['*'], targets: [{type: 'null'}]}\n";

static const char faulty[] =
    "sources: {shop: {dns: service=shop, slot: [], wal_sender_timeout: soon}}\n"
    "pipelines:\n"
    "  - {name: a, source: shpo, tables: ['a b'], targets: [{type: fil}, {type: file}]}\n"
    "  - {name: a, snapshot: initial, targets: x, labels: [], nope: 1}\n"
    "log: {level: loud}\n"
    "a: 1\na: 2\n";

static const char *const texts[] = {good, faulty, "a: [", "a: &x 1\n"};

/* Loads and prints everything while the allocation of that number fails. Returns whether the load
 * passed; `ret_failed` tells that the failure was reached. */
static bool load(const char *text, long failing, struct bytes *ret_conf, bool *ret_failed)
{
    struct settings settings = {0};
    struct conf_report report = {0};
    struct bytes shown;
    bytes_init(&shown, 1000000);
    bytes_init(ret_conf, 1000000);
    until_failure = failing;
    enum fan_status status =
        conf_load_text("c.yaml", text, strlen(text), &fixture_plugins, &settings, &report);
    conf_report_print(&report, false, &shown);
    conf_report_print_json(&report, &shown);
    *ret_failed = until_failure < 0;
    until_failure = -1;
    ck_assert_int_eq(status == FAN_OK, report.errors == 0);
    if (status == FAN_OK) {
        conf_print_yaml(&settings, ret_conf);
    } else {
        const struct settings untouched = {0};
        ck_assert_mem_eq(&settings, &untouched, sizeof(settings));
    }
    settings_release(&settings);
    conf_report_release(&report);
    bytes_release(&shown);
    return status == FAN_OK;
}

START_TEST(conf_each_failing_allocation_is_survived)
{
    struct bytes whole;
    bool failed = false;
    bool passes = load(texts[_i], -1, &whole, &failed);
    failed = true;
    for (long failing = 0; failed; failing++) {
        struct bytes printed;
        bool passed = load(texts[_i], failing, &printed, &failed);
        ck_assert(!passed || passes);
        if (passed) {
            ck_assert_uint_eq(printed.size, whole.size);
            ck_assert_mem_eq(printed.data, whole.data, whole.size);
        }
        bytes_release(&printed);
    }
    bytes_release(&whole);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("conf_alloc");
    tcase_add_loop_test(tcase, conf_each_failing_allocation_is_survived, 0, (int)CONF_COUNT(texts));
    return suite_run("conf_alloc", tcase);
}
