/*
 * Property: a buffer never grows beyond its maximum, its error is sticky, and nothing is written
 *           in part.
 * Oracle:   a plain array that is filled beside it.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "tests/unit/suite.h"

START_TEST(bytes_appends_equal_a_plain_array)
{
    static uint8_t expected[65536];
    size_t expected_size = 0;
    struct bytes bytes;
    bytes_init(&bytes, sizeof(expected));
    struct rng rng = rng_seeded(3);
    uint8_t piece[256];
    memset(piece, 'p', sizeof(piece));
    for (int round = 0; round < 100000; round++) {
        size_t size = (size_t)rng_below(&rng, sizeof(piece));
        piece[0] = (uint8_t)rng_next(&rng);
        bytes_append(&bytes, piece, size);
        if (expected_size + size > sizeof(expected)) {
            ck_assert(!bytes_ok(&bytes));
            break;
        }
        memcpy(expected + expected_size, piece, size);
        expected_size += size;
    }
    ck_assert(!bytes_ok(&bytes));
    ck_assert_uint_eq(bytes.size, expected_size);
    ck_assert_mem_eq(bytes.data, expected, expected_size);
    bytes_release(&bytes);
}
END_TEST

START_TEST(bytes_every_maximum_holds)
{
    size_t maximum = (size_t)_i;
    struct bytes bytes;
    bytes_init(&bytes, maximum);
    bytes_append(&bytes, "0123456789", 10);
    ck_assert_int_eq(bytes_ok(&bytes), maximum >= 10);
    ck_assert_uint_eq(bytes.size, maximum >= 10 ? 10 : 0);
    ck_assert_uint_le(bytes.capacity, maximum);
    bytes_append_char(&bytes, 'x');
    ck_assert_int_eq(bytes_ok(&bytes), maximum >= 11);
    bytes_truncate(&bytes, 0);
    ck_assert(bytes_ok(&bytes));
    ck_assert_uint_eq(bytes.size, 0);
    bytes_release(&bytes);
    bytes_release(&bytes);
}
END_TEST

START_TEST(bytes_format_and_text_end_where_they_should)
{
    struct bytes bytes;
    bytes_init(&bytes, 64);
    ck_assert_str_eq(bytes_text(&bytes), "");
    bytes_append_format(&bytes, "%d-%s", 42, "x");
    BYTES_APPEND_LITERAL(&bytes, "!");
    ck_assert_str_eq(bytes_text(&bytes), "42-x!");
    ck_assert_uint_eq(bytes.size, 5);
    bytes_append_format(&bytes, "%100d", 1);
    ck_assert(!bytes_ok(&bytes));
    ck_assert_uint_eq(bytes.size, 5);
    bytes_release(&bytes);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("bytes");
    tcase_add_test(tcase, bytes_appends_equal_a_plain_array);
    tcase_add_loop_test(tcase, bytes_every_maximum_holds, 0, 20);
    tcase_add_test(tcase, bytes_format_and_text_end_where_they_should);
    return suite_run("bytes", tcase);
}
