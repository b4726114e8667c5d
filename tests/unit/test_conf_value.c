/*
 * Property: values read as documented and print back to the same value; a connection string is
 *           never shown with anything that may be secret; "did you mean" proposes only near words.
 * Oracle:   literal tables; PostgreSQL's documentation of connection strings for what is secret.
 */
#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/check.h"
#include "conf/dsn.h"
#include "conf/nearest.h"
#include "conf/option.h"
#include "conf/value.h"
#include "model/pattern.h"
#include "tests/unit/suite.h"

static const struct {
    const char *text;
    bool valid;
    uint64_t bytes;
    const char *printed;
} sizes[] = {
    {"0", true, 0, "0"},
    {"1000", true, 1000, "1000"},
    {"512B", true, 512, "512"},
    {"16kB", true, 16000, "16000"},
    {"16KiB", true, 16384, "16KiB"},
    {"64MiB", true, 67108864, "64MiB"},
    {"64 MiB", true, 67108864, "64MiB"},
    {"10GiB", true, 10737418240, "10GiB"},
    {"1TB", true, 1000000000000, "976562500KiB"},
    {"8388607TiB", true, 9223370937343148032, "8388607TiB"},
    {"8388608TiB", false, 0, NULL},
    {"99999999999999999999", false, 0, NULL},
    {"", false, 0, NULL},
    {"MiB", false, 0, NULL},
    {"1.5MiB", false, 0, NULL},
    {"-1", false, 0, NULL},
    {"+1", false, 0, NULL},
    {" 1", false, 0, NULL},
    {"1 ", true, 1, "1"},
    {"1mib", false, 0, NULL},
    {"0x10", false, 0, NULL},
};

START_TEST(value_size_reads_and_prints)
{
    uint64_t bytes = 7;
    ck_assert_msg(value_parse_size(sizes[_i].text, &bytes) == sizes[_i].valid, "%s",
                  sizes[_i].text);
    if (!sizes[_i].valid) {
        ck_assert_uint_eq(bytes, 7);
        return;
    }
    ck_assert_uint_eq(bytes, sizes[_i].bytes);
    struct bytes printed;
    bytes_init(&printed, 100);
    value_append_size(&printed, bytes);
    ck_assert_str_eq(bytes_text(&printed), sizes[_i].printed);
    uint64_t again = 0;
    ck_assert(value_parse_size(bytes_text(&printed), &again));
    ck_assert_uint_eq(again, bytes);
    bytes_release(&printed);
}
END_TEST

static const struct {
    const char *text;
    bool milliseconds;
    bool valid;
    int64_t us;
    const char *printed;
} durations[] = {
    {"0", false, true, 0, "0"},
    {"50ms", false, true, 50000, "50ms"},
    {"1s", false, true, 1000000, "1s"},
    {"90s", false, true, 90000000, "90s"},
    {"60s", false, true, 60000000, "1m"},
    {"2m", false, true, 120000000, "2m"},
    {"1h", false, true, 3600000000, "1h"},
    {"7d", false, true, 604800000000, "7d"},
    {"10us", false, true, 10, "10us"},
    {"50", false, false, 0, NULL},
    {"50", true, true, 50000, "50ms"},
    {"1s", true, true, 1000000, "1s"},
    {"1m30s", false, false, 0, NULL},
    {"-1s", false, false, 0, NULL},
    {"1 fortnight", false, false, 0, NULL},
    {"9223372036854775807us", false, true, INT64_MAX, "9223372036854775807us"},
    {"9223372036854775808us", false, false, 0, NULL},
    {"200000000d", false, false, 0, NULL},
    {"", true, false, 0, NULL},
};

START_TEST(value_duration_reads_and_prints)
{
    int64_t us = 7;
    ck_assert_msg(value_parse_duration(durations[_i].text, durations[_i].milliseconds, &us) ==
                      durations[_i].valid,
                  "%s", durations[_i].text);
    if (!durations[_i].valid) {
        ck_assert_int_eq(us, 7);
        return;
    }
    ck_assert_int_eq(us, durations[_i].us);
    struct bytes printed;
    bytes_init(&printed, 100);
    value_append_duration(&printed, us);
    ck_assert_str_eq(bytes_text(&printed), durations[_i].printed);
    bytes_release(&printed);
}
END_TEST

START_TEST(value_integer_takes_digits_only)
{
    int64_t value = 0;
    ck_assert(value_parse_integer("-5", &value));
    ck_assert_int_eq(value, -5);
    ck_assert(value_parse_integer("9223372036854775807", &value));
    ck_assert_int_eq(value, INT64_MAX);
    static const char *const bad[] = {"", "-", "1a", "1.0", "1e3", "0x1", "9223372036854775808"};
    for (size_t i = 0; i < CONF_COUNT(bad); i++) {
        ck_assert_msg(!value_parse_integer(bad[i], &value), "%s", bad[i]);
    }
}
END_TEST

static const struct {
    const char *dsn;
    const char *shown;
    bool literal;
} dsns[] = {
    {"host=db dbname=shop user=app", "host=db dbname=shop user=app", false},
    {"host=db password=S3C sslmode=verify-full", "host=db password=*** sslmode=verify-full", true},
    {"password = 'S3C it\\'s' host=db", "password = *** host=db", true},
    {"password=S3C\\ x host=db", "password=*** host=db", true},
    {"sslpassword=S3C", "sslpassword=***", true},
    {"sslkey=/S3C/key", "sslkey=***", false},
    {"password=${env:PW} host=db", "password=*** host=db", false},
    {"password='${file:/a b}' host=db", "password=*** host=db", false},
    {"PASSWORD=S3C", "PASSWORD=***", false},
    {"future_option=S3C", "future_option=***", false},
    {"password='S3C", "***", true},
    {"S3C", "***", false},
    {"password S3C", "***", true},
    {"=S3C", "***", false},
    {"host=a password=", "host=a password=***", false},
    {"service=shop", "service=shop", false},
    {"postgres://app@db/shop", "postgres://app@db/shop", false},
    {"postgresql://app:S3C@db:5432/shop", "postgresql://app:***@db:5432/shop", true},
    {"postgres://app:S3C/S3C@db/shop", "postgres://app:***@db/shop", true},
    {"postgres://app:S3C@p@db/shop", "postgres://app:***@db/shop", true},
    {"postgres://app:${env:PW}@db/shop", "postgres://app:***@db/shop", false},
    {"postgres://app:S3C?S3C@db/shop", "***", true},
    {"postgres://app:S3C", "***", false},
    {"postgres://[::1]:5432/shop", "postgres://[::1]:5432/shop", false},
    {"postgres://a:1,b:2/shop", "postgres://a:1,b:2/shop", false},
    {"postgres:///shop?host=/run&port=1", "postgres:///shop?host=/run&port=1", false},
    {"postgres://db/shop?password=S3C&sslmode=require",
     "postgres://db/shop?password=***&sslmode=require", true},
    {"postgres://db/shop?sslpassword=S3C", "postgres://db/shop?sslpassword=***", true},
    {"postgres://db/shop?%70assword=S3C", "postgres://db/shop?%70assword=***", false},
    {"postgres://db/shop?S3C", "***", false},
    {"${env:DSN}", "***", false},
    {"", "", false},
};

START_TEST(dsn_is_shown_without_secrets)
{
    struct bytes shown;
    bytes_init(&shown, 1000);
    dsn_append_masked(&shown, dsns[_i].dsn);
    ck_assert_str_eq(bytes_text(&shown), dsns[_i].shown);
    ck_assert_ptr_null(strstr(bytes_text(&shown), "S3C"));
    bytes_release(&shown);
    ck_assert_int_eq(dsn_has_literal_password(dsns[_i].dsn), dsns[_i].literal);
}
END_TEST

START_TEST(dsn_truncated_anywhere_shows_no_password)
{
    const char *dsn = dsns[_i].dsn;
    for (size_t size = 0; size <= strlen(dsn); size++) {
        char *cut = strndup(dsn, size);
        struct bytes shown;
        bytes_init(&shown, 1000);
        dsn_append_masked(&shown, cut);
        ck_assert_msg(strstr(bytes_text(&shown), "S3C") == NULL, "%s", cut);
        (void)dsn_has_literal_password(cut); /* must only not crash */
        bytes_release(&shown);
        free(cut);
    }
}
END_TEST

START_TEST(nearest_proposes_only_near_words)
{
    static const struct {
        const char *word;
        const char *best;
    } words[] = {{"polcy", "policy"},          {"max_event", "max_events"},
                 {"max-events", "max_events"}, {"MAX_BYTES", "max_bytes"},
                 {"ploicy", "policy"},         {"x", NULL},
                 {"password", NULL},           {"", NULL}};
    for (size_t i = 0; i < CONF_COUNT(words); i++) {
        struct nearest nearest;
        nearest_init(&nearest, words[i].word);
        nearest_offer(&nearest, "max_events");
        nearest_offer(&nearest, "max_bytes");
        nearest_offer(&nearest, "policy");
        ck_assert_msg((nearest.best == NULL) == (words[i].best == NULL), "%s", words[i].word);
        if (words[i].best != NULL) {
            ck_assert_str_eq(nearest.best, words[i].best);
        }
    }
    char longest[200];
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    struct nearest nearest;
    nearest_init(&nearest, longest);
    nearest_offer(&nearest, longest);
    ck_assert_ptr_null(nearest.best);
}
END_TEST

START_TEST(check_names_and_patterns_follow_their_rules)
{
    static const char *const names[] = {"a", "orders", "_x", "9lives", "a.b-c_d"};
    static const char *const bad_names[] = {"", "-a", ".a", "a b", "a/b", "\xc3\xa4", "a\n"};
    for (size_t i = 0; i < CONF_COUNT(names); i++) {
        ck_assert(conf_name_valid(names[i]));
    }
    for (size_t i = 0; i < CONF_COUNT(bad_names); i++) {
        ck_assert(!conf_name_valid(bad_names[i]));
    }
    static const char *const patterns[] = {
        "orders",   "public.order_%", "s.*", "%.audit", "*.*", "\"My Schema\".\"a \"\"b\"\"\"",
        "p.\"x.y\""};
    static const char *const bad_patterns[] = {"",    ".",   "a.",   ".a",     "a.b.c", "a b",
                                               "a,b", "\"a", "\"\"", "a\"b\"", "\"a\"b"};
    for (size_t i = 0; i < CONF_COUNT(patterns); i++) {
        ck_assert_msg(conf_table_pattern_fault(patterns[i]) == NULL, "%s", patterns[i]);
        struct pattern pattern;
        ck_assert_int_eq(pattern_parse(patterns[i], &pattern, NULL), FAN_OK);
    }
    for (size_t i = 0; i < CONF_COUNT(bad_patterns); i++) {
        ck_assert_msg(conf_table_pattern_fault(bad_patterns[i]) != NULL, "%s", bad_patterns[i]);
    }
    /* What conf lets through, model/pattern.h must read: every text of up to five such bytes. */
    static const char alphabet[] = "a.\"% ,A";
    for (unsigned code = 0; code < 8 * 8 * 8 * 8 * 8; code++) {
        char text[6] = "";
        for (unsigned i = 0, rest = code; i < 5; i++, rest /= 8) {
            text[i] = alphabet[rest % 8];
        }
        struct pattern pattern;
        ck_assert_msg(conf_table_pattern_fault(text) != NULL ||
                          pattern_parse(text, &pattern, NULL) == FAN_OK,
                      "%s", text);
    }
    ck_assert_ptr_null(conf_listen_fault("127.0.0.1:7432"));
    ck_assert_ptr_null(conf_listen_fault("[::1]:1"));
    static const char *const bad_listens[] = {
        "0.0.0.0:80",      "127.0.0.1",   "127.0.0.1:",  "127.0.0.1:0",
        "127.0.0.1:65536", "localhost:1", "127.0.0.1:1x"};
    for (size_t i = 0; i < CONF_COUNT(bad_listens); i++) {
        ck_assert_ptr_nonnull(conf_listen_fault(bad_listens[i]));
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("conf_value");
    tcase_add_loop_test(tcase, value_size_reads_and_prints, 0, (int)CONF_COUNT(sizes));
    tcase_add_loop_test(tcase, value_duration_reads_and_prints, 0, (int)CONF_COUNT(durations));
    tcase_add_test(tcase, value_integer_takes_digits_only);
    tcase_add_loop_test(tcase, dsn_is_shown_without_secrets, 0, (int)CONF_COUNT(dsns));
    tcase_add_loop_test(tcase, dsn_truncated_anywhere_shows_no_password, 0, (int)CONF_COUNT(dsns));
    tcase_add_test(tcase, nearest_proposes_only_near_words);
    tcase_add_test(tcase, check_names_and_patterns_follow_their_rules);
    return suite_run("conf_value", tcase);
}
