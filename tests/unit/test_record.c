/*
 * The framing of records in an event's bytes. Oracle: the records that were put in.
 */
#include <check.h>
#include <string.h>

#include "base/rng.h"
#include "encode/record.h"
#include "tests/unit/suite.h"

enum { RECORDS_MAX = 6, PART_MAX = 300 };

static bool same(const uint8_t *left, size_t left_size, const uint8_t *right, size_t right_size)
{
    return (left == NULL) == (right == NULL) && left_size == right_size &&
           (left_size == 0 || memcmp(left, right, left_size) == 0);
}

START_TEST(record_random_parts_come_back)
{
    struct rng rng = rng_seeded(3);
    uint8_t parts[2 * RECORDS_MAX][PART_MAX];
    for (int round = 0; round < 500; round++) {
        struct record records[RECORDS_MAX];
        struct bytes out;
        bytes_init(&out, 1 << 20);
        size_t count = (size_t)rng_below(&rng, RECORDS_MAX + 1);
        for (size_t part = 0; part < 2 * count; part++) {
            size_t size = (size_t)rng_below(&rng, PART_MAX);
            for (size_t at = 0; at < size; at++) {
                parts[part][at] = (uint8_t)rng_below(&rng, 256);
            }
            const uint8_t *bytes = rng_below(&rng, 4) == 0 ? NULL : parts[part];
            size = bytes == NULL ? 0 : size;
            struct record *record = &records[part / 2];
            if (part % 2 == 0) {
                *record = (struct record){.key = bytes, .key_size = size};
            } else {
                record->value = bytes;
                record->value_size = size;
                record_append(&out, record);
            }
        }
        size_t at = 0;
        for (size_t index = 0; index < count; index++) {
            struct record got;
            ck_assert(record_next(out.data, out.size, &at, &got));
            ck_assert(same(got.key, got.key_size, records[index].key, records[index].key_size));
            ck_assert(
                same(got.value, got.value_size, records[index].value, records[index].value_size));
        }
        struct record none;
        ck_assert_uint_eq(at, out.size);
        ck_assert(!record_next(out.data, out.size, &at, &none));
        bytes_release(&out);
    }
}
END_TEST

START_TEST(record_reads_as_its_header_shows)
{
    struct bytes out;
    bytes_init(&out, 100);
    record_append(&out, &(struct record){(const uint8_t *)"{}", 2, (const uint8_t *)"abc", 3});
    record_append(&out, &(struct record){(const uint8_t *)"{}", 2, NULL, 0});
    ck_assert_str_eq(bytes_text(&out), "2 3\n{}abc2 -\n{}");
    bytes_release(&out);
}
END_TEST

static const char *const broken[] = {
    "x",
    "1",
    "1 ",
    "1 1",
    "1 1\n",
    "1 1\na",
    "- -",
    " 1\n",
    "-1 1\nab",
    "1  1\nab",
    "1 1 ab",
    "99999999999999999999999 1\nab",
    "18446744073709551615 18446744073709551615\nab",
    "--",
};

START_TEST(record_broken_bytes_are_refused)
{
    size_t at = 0;
    struct record record;
    ck_assert(!record_next((const uint8_t *)broken[_i], strlen(broken[_i]), &at, &record));
    ck_assert_uint_eq(at, 0);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("record");
    tcase_add_test(cases, record_random_parts_come_back);
    tcase_add_test(cases, record_reads_as_its_header_shows);
    tcase_add_loop_test(cases, record_broken_bytes_are_refused, 0,
                        sizeof(broken) / sizeof(broken[0]));
    return suite_run("record", cases);
}
