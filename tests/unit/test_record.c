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

/* Some bytes, or none. */
static const uint8_t *random_part(struct rng *rng, uint8_t part[PART_MAX], size_t *ret_size)
{
    *ret_size = 0;
    if (rng_below(rng, 4) == 0) {
        return NULL;
    }
    *ret_size = (size_t)rng_below(rng, PART_MAX);
    for (size_t at = 0; at < *ret_size; at++) {
        part[at] = (uint8_t)rng_below(rng, 256);
    }
    return part;
}

START_TEST(record_random_parts_come_back)
{
    struct rng rng = rng_seeded(3);
    uint8_t parts[RECORDS_MAX][3][PART_MAX];
    for (int round = 0; round < 500; round++) {
        struct record records[RECORDS_MAX];
        struct bytes out;
        bytes_init(&out, 1 << 20);
        size_t count = (size_t)rng_below(&rng, RECORDS_MAX + 1);
        for (size_t index = 0; index < count; index++) {
            struct record *record = &records[index];
            *record = (struct record){.mark = rng_below(&rng, 4) == 0};
            record->key = random_part(&rng, parts[index][0], &record->key_size);
            record->value = random_part(&rng, parts[index][1], &record->value_size);
            record->headers = random_part(&rng, parts[index][2], &record->headers_size);
            record_append(&out, record);
        }
        size_t at = 0;
        for (size_t index = 0; index < count; index++) {
            struct record got;
            const struct record *put = &records[index];
            ck_assert(record_next(out.data, out.size, &at, &got));
            ck_assert(same(got.key, got.key_size, put->key, put->key_size));
            ck_assert(same(got.value, got.value_size, put->value, put->value_size));
            ck_assert(same(got.headers, got.headers_size, put->headers, put->headers_size));
            ck_assert_int_eq(got.mark, put->mark);
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
    struct bytes headers;
    struct record record = {.key = (const uint8_t *)"{}", .key_size = 2};
    bytes_init(&out, 100);
    bytes_init(&headers, 100);
    record_header_append(&headers, "old", (const uint8_t *)"k", 1);
    record.value = (const uint8_t *)"abc";
    record.value_size = 3;
    record_append(&out, &record);
    record.mark = true;
    record_append(&out, &record);
    record = (struct record){.key = record.key, .key_size = 2};
    record_append(&out, &record);
    record.headers = headers.data;
    record.headers_size = headers.size;
    record_append(&out, &record);
    ck_assert_str_eq(bytes_text(&out), "2 3\n{}abc"
                                       "t2 3\n{}abc"
                                       "2 -\n{}"
                                       "2 - 8\n{}3 1\noldk");
    bytes_release(&out);
    bytes_release(&headers);
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
    "t",
    "tt1 1\nab",
    "1 1 1\nab",
    "1 1 -\nab",
    "1 1 1 \nabc",
    "1 1 1 1\nabcd",
    "1 1 18446744073709551615\nab",
    "1 1\tab",
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
