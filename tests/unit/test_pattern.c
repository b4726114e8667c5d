/*
 * Property: a pattern takes exactly the tables that its text says.
 * Oracle:   literal cases; fnmatch(3) for random patterns with `*`.
 */
#include <check.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "model/pattern.h"
#include "tests/unit/suite.h"

struct match_case {
    const char *pattern;
    const char *schema;
    const char *table;
    bool matches;
};

static const struct match_case match_cases[] = {
    {"public.orders", "public", "orders", true},
    {"public.orders", "public", "orders2", false},
    {"public.orders", "sales", "orders", false},
    {"orders", "public", "orders", true},
    {"orders", "sales", "orders", false},
    {"Public.ORDERS", "public", "orders", true},
    {"public.order_%", "public", "order_items", true},
    {"public.order_%", "public", "order_", true},
    {"public.order_%", "public", "orders", false},
    {"order_%", "public", "order_1", true},
    {"order_%", "other", "order_1", false},
    {"s.*", "s", "anything", true},
    {"s.*", "t", "anything", false},
    {"%.audit", "a", "audit", true},
    {"%.audit", "a", "audits", false},
    {"*", "s", "t", true},
    {"%", "s", "t", true},
    {"*.*", "s", "t", true},
    {"s%a*b.t", "sxxaxxb", "t", true},
    {"s%a*b.t", "sxxaxxbc", "t", false},
    {"\"My Schema\".\"t.x\"", "My Schema", "t.x", true},
    {"\"My Schema\".\"t.x\"", "my schema", "t.x", false},
    {"\"t.x\"", "public", "t.x", true},
    {"s.\"%\"", "s", "%", true},
    {"s.\"%\"", "s", "x", false},
    {"s.\"a\"\"b\"", "s", "a\"b", true},
    {"\"*\"", "s", "t", false},
    {"s.\xc3\xbc*", "s",
     "\xc3\xbc"
     "ber",
     true},
    {"s.*", "s", "\xff", true},
    {"s.%%**", "s", "", true},
};

START_TEST(pattern_takes_what_it_says)
{
    const struct match_case *match = &match_cases[_i];
    struct pattern pattern;
    struct fan_error error;
    ck_assert_int_eq(pattern_parse(match->pattern, &pattern, &error), FAN_OK);
    ck_assert_int_eq(pattern_match(&pattern, match->schema, match->table), match->matches);
}
END_TEST

static const char *const faults[] = {"",      ".",      "a.",       ".b",       "a.b.c",
                                     "\"a",   "\"a\"b", "a\"b\"",   "\"\"",     "a b",
                                     " a",    "a. b",   "a.\"b\"c", "\"a\".\"", "\"a\"\"",
                                     "a\xff", "a..b",   "\"a\".",   "a.\n",     "\"a\" .b"};

START_TEST(pattern_fault_is_refused_with_a_hint)
{
    struct pattern pattern = {.schema = {.size = 77}};
    struct fan_error error = {0};
    ck_assert_int_eq(pattern_parse(faults[_i], &pattern, &error), FAN_FATAL);
    ck_assert_uint_gt(strlen(error.text), 0);
    ck_assert_uint_gt(strlen(error.hint), 0);
    ck_assert_uint_eq(pattern.schema.size, 77);
    ck_assert_int_eq(pattern_parse(faults[_i], &pattern, NULL), FAN_FATAL);
}
END_TEST

START_TEST(pattern_length_is_bounded)
{
    char text[PATTERN_PART_MAX + 2];
    memset(text, 'a', sizeof(text));
    text[PATTERN_PART_MAX] = '\0';
    struct pattern pattern;
    struct pattern_part part;
    struct fan_error error;
    ck_assert_int_eq(pattern_parse(text, &pattern, &error), FAN_FATAL);
    ck_assert_int_eq(pattern_parse_prefix(text, &part, &error), FAN_FATAL);
    text[0] = '"';
    ck_assert_int_eq(pattern_parse(text, &pattern, &error), FAN_FATAL);
    text[0] = 'a';
    text[PATTERN_PART_MAX - 1] = '\0';
    ck_assert_int_eq(pattern_parse(text, &pattern, &error), FAN_OK);
    ck_assert(pattern_match(&pattern, "public", text));
    ck_assert_int_eq(pattern_parse_prefix(text, &part, &error), FAN_OK);
}
END_TEST

START_TEST(pattern_exact_names_one_table)
{
    static const struct {
        const char *text;
        bool exact;
    } cases[] = {{"a.b", true},  {"b", true},       {"a.*", false},
                 {"%.b", false}, {"a.\"*\"", true}, {"*", false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pattern pattern;
        struct fan_error error;
        ck_assert_int_eq(pattern_parse(cases[i].text, &pattern, &error), FAN_OK);
        ck_assert_int_eq(pattern_is_exact(&pattern), cases[i].exact);
    }
    struct pattern pattern;
    struct fan_error error;
    ck_assert_int_eq(pattern_parse("\"S\".T", &pattern, &error), FAN_OK);
    ck_assert_str_eq(pattern.schema.text, "S");
    ck_assert_str_eq(pattern.table.text, "t");
}
END_TEST

START_TEST(pattern_prefix_has_wildcards_and_no_dot_rule)
{
    struct pattern_part part;
    struct fan_error error;
    ck_assert_int_eq(pattern_parse_prefix("App.ev%", &part, &error), FAN_OK);
    ck_assert(pattern_match_prefix(&part, "App.events"));
    ck_assert(!pattern_match_prefix(&part, "app.events"));
    ck_assert_int_eq(pattern_parse_prefix("*", &part, &error), FAN_OK);
    ck_assert(pattern_match_prefix(&part, ""));
    ck_assert(pattern_match_prefix(&part, "a b\"c"));
    ck_assert_int_eq(pattern_parse_prefix("", &part, &error), FAN_FATAL);
    ck_assert_int_eq(pattern_parse_prefix("a\xff", &part, &error), FAN_FATAL);
}
END_TEST

START_TEST(pattern_random_matches_equal_fnmatch)
{
    struct rng rng = rng_seeded(17);
    for (int round = 0; round < 50000; round++) {
        char text[13];
        char name[14];
        size_t size = 1 + (size_t)rng_below(&rng, sizeof(text) - 1);
        for (size_t i = 0; i < size; i++) {
            text[i] = "ab*"[rng_below(&rng, 3)];
        }
        text[size] = '\0';
        size_t name_size = (size_t)rng_below(&rng, sizeof(name));
        for (size_t i = 0; i < name_size; i++) {
            name[i] = "ab"[rng_below(&rng, 2)];
        }
        name[name_size] = '\0';
        struct pattern_part part;
        struct fan_error error;
        ck_assert_int_eq(pattern_parse_prefix(text, &part, &error), FAN_OK);
        ck_assert_int_eq(pattern_match_prefix(&part, name), fnmatch(text, name, 0) == 0);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("pattern");
    tcase_add_loop_test(tcase, pattern_takes_what_it_says, 0,
                        (int)(sizeof(match_cases) / sizeof(match_cases[0])));
    tcase_add_loop_test(tcase, pattern_fault_is_refused_with_a_hint, 0,
                        (int)(sizeof(faults) / sizeof(faults[0])));
    tcase_add_test(tcase, pattern_length_is_bounded);
    tcase_add_test(tcase, pattern_exact_names_one_table);
    tcase_add_test(tcase, pattern_prefix_has_wildcards_and_no_dot_rule);
    tcase_add_test(tcase, pattern_random_matches_equal_fnmatch);
    return suite_run("pattern", tcase);
}
