/*
 * Property: the text form of an LSN is PostgreSQL's, and only that form is read.
 * Oracle:   literal texts; a round trip over every bit.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "model/lsn.h"
#include "model/position.h"
#include "tests/unit/suite.h"

START_TEST(lsn_every_bit_survives_a_round_trip)
{
    struct fan_lsn lsn = {(uint64_t)1 << _i | 1};
    char text[LSN_TEXT_SIZE];
    ck_assert_uint_eq(lsn_format(lsn, text), strlen(text));
    struct fan_lsn back = LSN_NONE;
    ck_assert(lsn_parse(text, &back));
    ck_assert_uint_eq(back.value, lsn.value);
}
END_TEST

START_TEST(lsn_extremes_have_the_server_text)
{
    char text[LSN_TEXT_SIZE];
    (void)lsn_format((struct fan_lsn){0x16B374D848}, text); /* the text is what is checked */
    ck_assert_str_eq(text, "16/B374D848");
    (void)lsn_format(LSN_NONE, text); /* as above */
    ck_assert_str_eq(text, "0/0");
    (void)lsn_format((struct fan_lsn){UINT64_MAX}, text); /* as above */
    ck_assert_str_eq(text, "FFFFFFFF/FFFFFFFF");
}
END_TEST

static const char *const faults[] = {"",      "0",     "/",    "0/",   "/0",          "0/0 ",
                                     " 0/0",  "0/0x1", "-1/0", "0//0", "123456789/0", "0/123456789",
                                     "0/0/0", "g/0",   "0/1\n"};

START_TEST(lsn_other_texts_are_refused_and_leave_the_result)
{
    struct fan_lsn lsn = {42};
    ck_assert(!lsn_parse(faults[_i], &lsn));
    ck_assert_uint_eq(lsn.value, 42);
}
END_TEST

START_TEST(lsn_either_case_is_read)
{
    struct fan_lsn lsn = LSN_NONE;
    ck_assert(lsn_parse("aB/00cD", &lsn));
    ck_assert_uint_eq(lsn.value, 0xAB000000CDu);
}
END_TEST

START_TEST(lsn_positions_sort_by_commit_then_seq)
{
    const struct fan_position ordered[] = {
        {{0}, SEQ_MESSAGE}, {{5}, SEQ_MESSAGE}, {{5}, 0}, {{5}, 1}, {{UINT64_MAX}, 0}};
    for (int left = 0; left < 5; left++) {
        for (int right = 0; right < 5; right++) {
            int order = position_compare(ordered[left], ordered[right]);
            ck_assert_int_eq((order > 0) - (order < 0), (left > right) - (left < right));
        }
    }
    ck_assert_int_eq(position_compare(POSITION_NONE, ordered[0]), 0);
    ck_assert_uint_eq(lsn_min(ordered[1].commit_lsn, ordered[0].commit_lsn).value, 0);
    ck_assert_uint_eq(lsn_max(ordered[1].commit_lsn, ordered[0].commit_lsn).value, 5);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("lsn");
    tcase_add_loop_test(tcase, lsn_every_bit_survives_a_round_trip, 0, 64);
    tcase_add_test(tcase, lsn_extremes_have_the_server_text);
    tcase_add_loop_test(tcase, lsn_other_texts_are_refused_and_leave_the_result, 0,
                        (int)(sizeof(faults) / sizeof(faults[0])));
    tcase_add_test(tcase, lsn_either_case_is_read);
    tcase_add_test(tcase, lsn_positions_sort_by_commit_then_seq);
    return suite_run("lsn", tcase);
}
