/*
 * Property: a log line is one line that no value can break, forge or hide in, with bounded size.
 * Oracle:   exact text of the line without its time; jansson parses every JSON line back.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/unit/suite.h"

static int pipe_ends[2];
static char captured[65536];

static void setup(void)
{
    ck_assert_int_eq(pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK), 0);
    log_set_descriptor(pipe_ends[1]);
    log_set_level(LOG_INFO);
    log_set_format(LOG_LOGFMT);
}

static void teardown(void)
{
    log_set_descriptor(STDERR_FILENO);
    (void)close(pipe_ends[0]); /* a test's own pipe */
    (void)close(pipe_ends[1]);
}

/* What was written, behind the time of the line. */
static const char *line_after_time(void)
{
    ssize_t got = read(pipe_ends[0], captured, sizeof(captured) - 1);
    captured[got > 0 ? got : 0] = '\0';
    if (strncmp(captured, "time=", 5) == 0) {
        return strchr(captured, ' ') + 1;
    }
    return captured;
}

START_TEST(log_logfmt_line_has_level_message_and_fields)
{
    log_write(LOG_INFO, "source reconnects", LOG_TEXT("source", "shop"), LOG_NUMBER("wait_ms", -5),
              LOG_LSN("lsn", 0x1016B3748), LOG_TEXT("absent", NULL), LOG_TEXT("empty", ""),
              LOG_TEXT("reason", "no route"));
    ck_assert_str_eq(line_after_time(),
                     "level=info msg=\"source reconnects\" source=shop wait_ms=-5 lsn=1/16B3748 "
                     "empty=\"\" reason=\"no route\"\n");
}
END_TEST

START_TEST(log_message_without_fields_is_a_line)
{
    log_write(LOG_ERROR, "x");
    ck_assert_str_eq(line_after_time(), "level=error msg=\"x\"\n");
}
END_TEST

static const struct {
    const char *value;
    const char *logfmt;
    const char *json;
} escapes[] = {
    {"a\nb\r\t", "\"a\\nb\\r\\t\"", "\"a\\nb\\r\\t\""},
    {"q\"\\", "\"q\\\"\\\\\"", "\"q\\\"\\\\\""},
    {"\x01\x1b[0m\x7f", "\"\\u0001\\u001b[0m\\u007f\"", "\"\\u0001\\u001b[0m\\u007f\""},
    {"c1\xc2\x85", "\"c1\\u0085\"", "\"c1\\u0085\""},
    {"\xe2\x80\xae"
     "evil\xe2\x81\xa6",
     "\"\\u202eevil\\u2066\"", "\"\\u202eevil\\u2066\""},
    {"bad\xff\xc3", "\"bad\\xff\\xc3\"", "\"bad\\ufffd\\ufffd\""},
    {"gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"", "\"gr\xc3\xbc\xc3\x9f\""},
    {"\xf0\x9f\x90\x98", "\"\xf0\x9f\x90\x98\"", "\"\xf0\x9f\x90\x98\""},
    {"k=v", "\"k=v\"", "\"k=v\""},
};

START_TEST(log_hostile_value_is_escaped_in_logfmt)
{
    char expected[256];
    log_write(LOG_INFO, "m", LOG_TEXT("f", escapes[_i].value));
    (void)snprintf(expected, sizeof(expected), "level=info msg=\"m\" f=%s\n", escapes[_i].logfmt);
    ck_assert_str_eq(line_after_time(), expected);
}
END_TEST

START_TEST(log_hostile_value_is_escaped_in_json)
{
    log_set_format(LOG_JSON);
    log_write(LOG_INFO, escapes[_i].value, LOG_TEXT("f", escapes[_i].value), LOG_NUMBER("n", 7),
              LOG_LSN("lsn", 1));
    const char *line = line_after_time();
    char expected[256];
    (void)snprintf(expected, sizeof(expected),
                   "\"level\":\"info\",\"msg\":%s,\"f\":%s,\"n\":7,\"lsn\":\"0/1\"}\n",
                   escapes[_i].json, escapes[_i].json);
    ck_assert_ptr_nonnull(strstr(line, expected));
    json_t *parsed = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    ck_assert_ptr_nonnull(parsed);
    json_decref(parsed);
}
END_TEST

START_TEST(log_every_byte_keeps_the_line_whole)
{
    for (int format = LOG_LOGFMT; format <= LOG_JSON; format++) {
        log_set_format((enum log_format)format);
        for (int byte = 1; byte < 256; byte++) {
            char value[] = {'x', (char)byte, 'y', '\0'};
            log_write(LOG_INFO, value, LOG_TEXT("f", value));
            const char *line = line_after_time();
            ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
            if (format == LOG_JSON) {
                json_t *parsed = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
                ck_assert_ptr_nonnull(parsed);
                json_decref(parsed);
            }
        }
    }
}
END_TEST

START_TEST(log_long_value_is_cut_at_a_kibibyte)
{
    static char value[5000];
    for (size_t size = 1000; size < 1200; size++) {
        memset(value, 'v', size);
        value[size] = '\0';
        log_write(LOG_INFO, "m", LOG_TEXT("f", value));
        const char *field = strstr(line_after_time(), "f=") + 2;
        size_t shown = strcspn(field, "\n") - (*field == '"' ? 2 : 0);
        ck_assert_uint_eq(shown, size <= 1024 ? size : 1024);
        ck_assert_int_eq(strstr(field, "...") != NULL, size > 1024);
    }
}
END_TEST

START_TEST(log_cut_never_splits_a_character)
{
    static char value[5000];
    for (size_t lead = 0; lead < 8; lead++) {
        memset(value, 'v', lead);
        for (size_t at = lead; at + 3 < sizeof(value); at += 3) {
            memcpy(value + at, "\xe2\x82\xac", 4);
        }
        log_set_format(LOG_JSON);
        log_write(LOG_INFO, "m", LOG_TEXT("f", value));
        json_t *parsed = json_loads(line_after_time(), JSON_REJECT_DUPLICATES, NULL);
        ck_assert_ptr_nonnull(parsed); /* jansson refuses broken UTF-8 */
        json_decref(parsed);
    }
}
END_TEST

START_TEST(log_too_many_fields_are_left_out_and_said_so)
{
    static char value[1025];
    memset(value, 'v', 1024);
    struct log_field fields[40];
    for (size_t i = 0; i < 40; i++) {
        fields[i] = LOG_TEXT("f", value);
    }
    log_write_fields(LOG_INFO, "m", fields, 40);
    const char *line = line_after_time();
    ck_assert_ptr_nonnull(strstr(line, " fields_left_out=true\n"));
    ck_assert_uint_le(strlen(captured), 16384);
    log_set_format(LOG_JSON);
    log_write_fields(LOG_INFO, "m", fields, 40);
    line = line_after_time();
    ck_assert_ptr_nonnull(strstr(line, ",\"fields_left_out\":true}\n"));
}
END_TEST

START_TEST(log_line_below_the_level_is_not_written)
{
    log_write(LOG_DEBUG, "m");
    log_write_fields(LOG_DEBUG, "m", NULL, 0);
    ck_assert_str_eq(line_after_time(), "");
    log_set_level(LOG_DEBUG);
    log_write(LOG_DEBUG, "m");
    ck_assert_str_eq(line_after_time(), "level=debug msg=\"m\"\n");
}
END_TEST

START_TEST(log_line_that_cannot_be_written_is_counted_and_keeps_errno)
{
    uint64_t before = log_lines_dropped();
    log_set_descriptor(-1);
    errno = ENOSPC;
    log_write(LOG_INFO, "m");
    ck_assert_int_eq(errno, ENOSPC);
    ck_assert_uint_eq(log_lines_dropped(), before + 1);
}
END_TEST

START_TEST(log_level_names_parse_back)
{
    for (int level = LOG_ERROR; level <= LOG_DEBUG; level++) {
        enum log_level parsed = LOG_ERROR;
        ck_assert(log_level_parse(log_level_name((enum log_level)level), &parsed));
        ck_assert_int_eq((int)parsed, level);
    }
    enum log_level untouched = LOG_WARN;
    ck_assert(!log_level_parse("loud", &untouched));
    ck_assert_int_eq((int)untouched, LOG_WARN);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("log");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, log_logfmt_line_has_level_message_and_fields);
    tcase_add_test(tcase, log_message_without_fields_is_a_line);
    const int count = (int)(sizeof(escapes) / sizeof(escapes[0]));
    tcase_add_loop_test(tcase, log_hostile_value_is_escaped_in_logfmt, 0, count);
    tcase_add_loop_test(tcase, log_hostile_value_is_escaped_in_json, 0, count);
    tcase_add_test(tcase, log_every_byte_keeps_the_line_whole);
    tcase_add_test(tcase, log_long_value_is_cut_at_a_kibibyte);
    tcase_add_test(tcase, log_cut_never_splits_a_character);
    tcase_add_test(tcase, log_too_many_fields_are_left_out_and_said_so);
    tcase_add_test(tcase, log_line_below_the_level_is_not_written);
    tcase_add_test(tcase, log_line_that_cannot_be_written_is_counted_and_keeps_errno);
    tcase_add_test(tcase, log_level_names_parse_back);
    return suite_run("log", tcase);
}
