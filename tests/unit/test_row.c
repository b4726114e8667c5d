/*
 * Property: row_check() takes exactly the well-formed tuples and never reads behind the message;
 *           row_next() then gives back what was put in.
 * Oracle:   every truncation and every changed byte of a tuple, in exact copies under the
 *           sanitizer; a second reader that is written the slow way.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "model/row.h"
#include "tests/unit/suite.h"

static const uint8_t tuple[] = {0,   5, /* columns */
                                't', 0, 0, 0, 3, 'a', 'b', 'c', 'n', 'u', 'b',
                                0,   0, 0, 2, 1, 2,   't', 0,   0,   0,   0};

/* Checks an exact copy. Returns the bytes taken, or -1. */
static long check(const uint8_t *bytes, size_t size, size_t columns_max)
{
    uint8_t *copy = malloc(size + 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy + 1, bytes, size);
    struct wire wire;
    wire_init(&wire, copy + 1, size);
    bool ok = row_check(&wire, columns_max);
    long taken = ok ? (long)wire.offset : -1;
    if (ok) {
        struct row_reader row = row_open(copy + 1);
        struct row_value value;
        size_t sum = 2;
        while (row_next(&row, &value)) {
            sum += 1 + (value.text == NULL ? 0 : 4 + value.size);
        }
        ck_assert_int_eq((long)sum, taken);
    }
    free(copy);
    return taken;
}

START_TEST(row_values_are_read_back)
{
    ck_assert_int_eq(check(tuple, sizeof(tuple), 5), sizeof(tuple));
    struct row_reader row = row_open(tuple);
    struct row_value value;
    ck_assert(row_next(&row, &value));
    ck_assert_int_eq(value.kind, ROW_TEXT);
    ck_assert_uint_eq(value.size, 3);
    ck_assert_mem_eq(value.text, "abc", 3);
    ck_assert(row_next(&row, &value));
    ck_assert_int_eq(value.kind, ROW_NULL);
    ck_assert_ptr_null(value.text);
    ck_assert(row_next(&row, &value));
    ck_assert_int_eq(value.kind, ROW_UNCHANGED);
    ck_assert(row_next(&row, &value));
    ck_assert_int_eq(value.kind, ROW_BINARY);
    ck_assert_mem_eq(value.text, "\1\2", 2);
    ck_assert(row_next(&row, &value));
    ck_assert_int_eq(value.kind, ROW_TEXT);
    ck_assert_uint_eq(value.size, 0);
    ck_assert(!row_next(&row, &value));
}
END_TEST

START_TEST(row_every_truncation_is_refused)
{
    for (size_t size = 0; size < sizeof(tuple); size++) {
        ck_assert_int_eq(check(tuple, size, 5), -1);
    }
}
END_TEST

START_TEST(row_bytes_behind_the_tuple_are_left)
{
    uint8_t longer[sizeof(tuple) + 3] = {0};
    memcpy(longer, tuple, sizeof(tuple));
    ck_assert_int_eq(check(longer, sizeof(longer), 5), sizeof(tuple));
}
END_TEST

START_TEST(row_more_columns_than_the_relation_are_refused)
{
    ck_assert_int_eq(check(tuple, sizeof(tuple), 4), -1);
    ck_assert_int_eq(check(tuple, sizeof(tuple), 1664), sizeof(tuple));
    ck_assert_int_eq(check((const uint8_t[]){0, 0}, 2, 0), 2);
}
END_TEST

START_TEST(row_every_changed_byte_is_safe)
{
    for (size_t place = 0; place < sizeof(tuple); place++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            uint8_t changed[sizeof(tuple)];
            memcpy(changed, tuple, sizeof(tuple));
            changed[place] = (uint8_t)byte;
            ck_assert_int_le(check(changed, sizeof(changed), 1664), (long)sizeof(changed));
        }
    }
}
END_TEST

START_TEST(row_random_bytes_are_safe)
{
    struct rng rng = rng_seeded(11);
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[64];
        size_t size = (size_t)rng_below(&rng, sizeof(bytes));
        for (size_t i = 0; i < size; i++) {
            bytes[i] = rng_below(&rng, 3) == 0 ? (uint8_t) "nutb"[rng_below(&rng, 4)]
                                               : (uint8_t)rng_below(&rng, 5);
        }
        ck_assert_int_le(check(bytes, size, 8), (long)size);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("row");
    tcase_add_test(tcase, row_values_are_read_back);
    tcase_add_test(tcase, row_every_truncation_is_refused);
    tcase_add_test(tcase, row_bytes_behind_the_tuple_are_left);
    tcase_add_test(tcase, row_more_columns_than_the_relation_are_refused);
    tcase_add_test(tcase, row_every_changed_byte_is_safe);
    tcase_add_test(tcase, row_random_bytes_are_safe);
    return suite_run("row", tcase);
}
