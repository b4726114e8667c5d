/*
 * Property: the small pieces of base/ keep their limits and say what went wrong.
 * Oracle:   literal values; RFC 3629 for UTF-8; the Gregorian calendar for dates.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/fs.h"
#include "base/secret.h"
#include "base/status.h"
#include "base/utf8.h"
#include "tests/unit/suite.h"

static char directory[64];

static void setup(void)
{
    memcpy(directory, "/tmp/pgfan-base-XXXXXX", 23);
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void teardown(void)
{
    ck_assert_int_eq(rmdir(directory), 0); /* every test removes what it made */
}

static void write_file(const char *path, const void *data, size_t size)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(descriptor, 0);
    struct fan_error error;
    ck_assert_int_eq(fs_write_all(descriptor, path, data, size, &error), FAN_OK);
    ck_assert_int_eq(close(descriptor), 0);
}

START_TEST(fs_file_within_the_limit_is_read_whole)
{
    static char data[40000];
    memset(data, 'd', sizeof(data));
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/f", directory);
    write_file(path, data, sizeof(data));
    struct bytes content;
    bytes_init(&content, sizeof(data));
    struct fan_error error = {0};
    ck_assert_int_eq(fs_read_file(path, &content, &error), FAN_OK);
    ck_assert_uint_eq(content.size, sizeof(data));
    ck_assert_mem_eq(content.data, data, sizeof(data));
    bytes_release(&content);
    bytes_init(&content, sizeof(data) - 1);
    ck_assert_int_eq(fs_read_file(path, &content, &error), FAN_FATAL);
    ck_assert_ptr_nonnull(strstr(error.text, "larger than 39999 bytes"));
    ck_assert_uint_eq(content.size, 0);
    bytes_release(&content);
    ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(fs_missing_file_and_wrong_kinds_are_named)
{
    struct bytes content;
    bytes_init(&content, 100);
    struct fan_error error = {0};
    ck_assert_int_eq(fs_read_file("/nonexistent/f", &content, &error), FAN_FATAL);
    ck_assert_str_eq(error.text, "cannot open \"/nonexistent/f\": No such file or directory");
    ck_assert_int_eq(error.sys_errno, ENOENT);
    ck_assert_int_eq(fs_read_file(directory, &content, &error), FAN_FATAL);
    ck_assert_ptr_nonnull(strstr(error.text, "not a regular file"));
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/fifo", directory);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(fs_read_file(path, &content, &error), FAN_FATAL); /* and does not wait */
    ck_assert_int_eq(unlink(path), 0);
    bytes_release(&content);
}
END_TEST

START_TEST(fs_directory_is_made_private_and_accepted_again)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/data", directory);
    struct fan_error error = {0};
    ck_assert_int_eq(fs_make_directory(path, &error), FAN_OK);
    struct stat info;
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0700);
    ck_assert_int_eq(fs_make_directory(path, &error), FAN_OK);
    ck_assert_int_eq(fs_sync_directory(path, &error), FAN_OK);
    ck_assert(fs_is_directory(path));
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert(!fs_is_directory(path));
    ck_assert_int_eq(fs_sync_directory(path, &error), FAN_FATAL);
    write_file(path, "x", 1);
    ck_assert_int_eq(fs_make_directory(path, &error), FAN_FATAL);
    ck_assert_int_eq(unlink(path), 0);
    (void)snprintf(path, sizeof(path), "%s/no/parent", directory);
    ck_assert_int_eq(fs_make_directory(path, &error), FAN_FATAL);
}
END_TEST

START_TEST(fs_full_device_may_be_tried_again)
{
    int descriptor = open("/dev/full", O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(descriptor, 0);
    struct fan_error error = {0};
    ck_assert_int_eq(fs_write_all(descriptor, "/dev/full", "x", 1, &error), FAN_RETRY);
    ck_assert_str_eq(error.text, "could not write \"/dev/full\": No space left on device");
    ck_assert_int_eq(close(descriptor), 0);
}
END_TEST

START_TEST(secret_value_is_replaced_and_released)
{
    struct secret secret = {0};
    ck_assert_ptr_null(secret_reveal(&secret));
    ck_assert_int_eq(secret_set(&secret, "first", 5), FAN_OK);
    ck_assert_int_eq(secret_set(&secret, "second!", 6), FAN_OK);
    ck_assert_str_eq(secret_reveal(&secret), "second");
    ck_assert_int_eq(secret_set(&secret, secret_reveal(&secret), 3), FAN_OK); /* of itself */
    ck_assert_str_eq(secret_reveal(&secret), "sec");
    ck_assert_int_eq(secret_set(&secret, NULL, 0), FAN_OK);
    ck_assert_str_eq(secret_reveal(&secret), "");
    secret_release(&secret);
    secret_release(&secret);
    ck_assert_ptr_null(secret_reveal(&secret));
}
END_TEST

START_TEST(bytes_over_the_maximum_fail_and_stay_failed)
{
    struct bytes bytes;
    bytes_init(&bytes, 10);
    bytes_append_text(&bytes, "12345678");
    bytes_append_text(&bytes, "9ab");
    ck_assert(!bytes_ok(&bytes));
    bytes_append_char(&bytes, '9');
    ck_assert(!bytes_ok(&bytes));
    ck_assert_uint_le(bytes.size, 10);
    bytes_truncate(&bytes, 8);
    bytes_append_char(&bytes, '9');
    ck_assert(bytes_ok(&bytes));
    ck_assert_str_eq(bytes_text(&bytes), "123456789");
    bytes_release(&bytes);
}
END_TEST

START_TEST(bytes_json_string_escapes_what_json_must)
{
    struct bytes bytes;
    bytes_init(&bytes, 1000);
    bytes_append_json_string(&bytes, "a\"\\\n\x01\xff\xc3\xa9", 8);
    ck_assert_str_eq(bytes_text(&bytes), "\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa9\"");
    bytes_clear(&bytes);
    bytes_append_format(&bytes, "%d-%s", 7, "x");
    ck_assert_str_eq(bytes_text(&bytes), "7-x");
    bytes_release(&bytes);
}
END_TEST

static const struct {
    const char *bytes;
    bool valid;
} sequences[] = {
    {"", true},
    {"ascii", true},
    {"\xc3\xa9", true},
    {"\xc0\x80", false},
    {"\xc1\xbf", false},
    {"\xe0\x9f\xbf", false},
    {"\xe0\xa0\x80", true},
    {"\xed\xa0\x80", false},
    {"\xed\x9f\xbf", true},
    {"\xf0\x8f\xbf\xbf", false},
    {"\xf0\x90\x80\x80", true},
    {"\xf4\x8f\xbf\xbf", true},
    {"\xf4\x90\x80\x80", false},
    {"\xf5\x80\x80\x80", false},
    {"\x80", false},
    {"\xe2\x82", false},
    {"a\xffz", false},
};

START_TEST(utf8_validity_follows_the_standard)
{
    const char *bytes = sequences[_i].bytes;
    ck_assert_int_eq(utf8_valid((const uint8_t *)bytes, strlen(bytes)), sequences[_i].valid);
}
END_TEST

static const struct {
    int64_t wall_us;
    const char *text;
} dates[] = {
    {0, "1970-01-01T00:00:00.000000Z"},
    {-1, "1969-12-31T23:59:59.999999Z"},
    {951782400000000, "2000-02-29T00:00:00.000000Z"},
    {4107542400000000, "2100-03-01T00:00:00.000000Z"},
    {253402300800000000, "10000-01-01T00:00:00.000000Z"},
};

START_TEST(escape_text_is_shown_safely_and_cut)
{
    struct bytes bytes;
    bytes_init(&bytes, 1000);
    bytes_append_escaped(&bytes, "a\x1b\xff\xc3\xa9", 5, 100);
    ck_assert_str_eq(bytes_text(&bytes), "a\\u001b\\xff\xc3\xa9");
    bytes_clear(&bytes);
    bytes_append_escaped(&bytes, "abcdef", 6, 4);
    ck_assert_str_eq(bytes_text(&bytes), "abcd...");
    bytes_release(&bytes);
}
END_TEST

START_TEST(clock_dates_are_gregorian)
{
    char text[CLOCK_TEXT_SIZE];
    size_t length = clock_format_utc(dates[_i].wall_us, text);
    ck_assert_str_eq(text, dates[_i].text);
    ck_assert_uint_eq(length, strlen(text));
}
END_TEST

START_TEST(clock_extreme_dates_fit)
{
    char text[CLOCK_TEXT_SIZE];
    ck_assert_uint_lt(clock_format_utc(INT64_MAX, text), CLOCK_TEXT_SIZE);
    ck_assert_uint_lt(clock_format_utc(INT64_MIN, text), CLOCK_TEXT_SIZE);
    int64_t before = clock_monotonic_us();
    ck_assert_int_le(before, clock_monotonic_us());
    ck_assert_int_gt(clock_wall_us(), 1600000000000000);
}
END_TEST

START_TEST(backoff_waits_grow_to_the_maximum)
{
    struct rng rng = rng_seeded(7);
    struct backoff backoff = {.base_us = 1000, .max_us = 30000};
    int64_t whole = 1000;
    for (int i = 0; i < 100; i++) {
        int64_t wait = backoff_next_us(&backoff, &rng);
        ck_assert_int_ge(wait, whole / 2);
        ck_assert_int_le(wait, whole);
        whole = whole * 2 > 30000 ? 30000 : whole * 2;
    }
}
END_TEST

START_TEST(status_error_keeps_text_code_and_hint)
{
    struct fan_error error;
    ck_assert_int_eq(fan_fail_errno(&error, FAN_RETRY, ENOENT, "could not open \"%s\"", "f"),
                     FAN_RETRY);
    fan_error_annotate(&error, "GONE", "create %s", "f");
    ck_assert_str_eq(error.text, "could not open \"f\": No such file or directory");
    ck_assert_str_eq(error.code, "GONE");
    ck_assert_str_eq(error.hint, "create f");
    ck_assert_int_eq(fan_fail(NULL, FAN_FATAL, "x"), FAN_FATAL);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("base");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, fs_file_within_the_limit_is_read_whole);
    tcase_add_test(tcase, fs_missing_file_and_wrong_kinds_are_named);
    tcase_add_test(tcase, fs_directory_is_made_private_and_accepted_again);
    tcase_add_test(tcase, fs_full_device_may_be_tried_again);
    tcase_add_test(tcase, secret_value_is_replaced_and_released);
    tcase_add_test(tcase, bytes_over_the_maximum_fail_and_stay_failed);
    tcase_add_test(tcase, bytes_json_string_escapes_what_json_must);
    tcase_add_loop_test(tcase, utf8_validity_follows_the_standard, 0,
                        (int)(sizeof(sequences) / sizeof(sequences[0])));
    tcase_add_loop_test(tcase, clock_dates_are_gregorian, 0,
                        (int)(sizeof(dates) / sizeof(dates[0])));
    tcase_add_test(tcase, escape_text_is_shown_safely_and_cut);
    tcase_add_test(tcase, clock_extreme_dates_fit);
    tcase_add_test(tcase, backoff_waits_grow_to_the_maximum);
    tcase_add_test(tcase, status_error_keeps_text_code_and_hint);
    return suite_run("base", tcase);
}
