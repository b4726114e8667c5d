/*
 * Property: any microsecond count has a text, in the Gregorian calendar, that sorts with it.
 * Oracle:   timegm(3)'s inverse in the other direction, the C library's gmtime_r().
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/rng.h"
#include "tests/unit/suite.h"

START_TEST(clock_text_equals_the_c_library)
{
    struct rng rng = rng_seeded(5);
    for (int round = 0; round < 20000; round++) {
        /* From 1583 to 9999, where both write four digits. */
        int64_t second = -12212553600 + (int64_t)rng_below(&rng, 265614854400u);
        int64_t micros = (int64_t)rng_below(&rng, 1000000);
        struct tm parts;
        time_t whole = (time_t)second;
        ck_assert_ptr_nonnull(gmtime_r(&whole, &parts));
        char expected[64];
        size_t size = strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", &parts);
        ck_assert_uint_eq(size, 19);
        char text[CLOCK_TEXT_SIZE];
        ck_assert_uint_eq(clock_format_utc(second * 1000000 + micros, text), 27);
        ck_assert_mem_eq(text, expected, 19);
        ck_assert_int_eq(text[19], '.');
        ck_assert_int_eq(strtol(text + 20, NULL, 10), micros);
        ck_assert_str_eq(text + 26, "Z");
    }
}
END_TEST

START_TEST(clock_text_of_any_count_fits)
{
    static const int64_t counts[] = {INT64_MIN, INT64_MAX, 0, -1, 1};
    char text[CLOCK_TEXT_SIZE];
    size_t size = clock_format_utc(counts[_i], text);
    ck_assert_uint_gt(size, 0);
    ck_assert_uint_eq(size, strlen(text));
}
END_TEST

START_TEST(clock_monotonic_never_goes_back)
{
    int64_t last = clock_monotonic_us();
    for (int round = 0; round < 10000; round++) {
        int64_t now = clock_monotonic_us();
        ck_assert_int_ge(now, last);
        last = now;
    }
    ck_assert_int_gt(clock_wall_us(), 1700000000000000);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("clock");
    tcase_add_test(tcase, clock_text_equals_the_c_library);
    tcase_add_loop_test(tcase, clock_text_of_any_count_fits, 0, 5);
    tcase_add_test(tcase, clock_monotonic_never_goes_back);
    return suite_run("clock", tcase);
}
