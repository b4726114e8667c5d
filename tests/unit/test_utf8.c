/*
 * Property: exactly the sequences of RFC 3629 are taken, and no byte behind the end is read.
 * Oracle:   an encoder of code points, over all of them; exact copies under the sanitizer.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "tests/unit/suite.h"

/* RFC 3629, section 3. Returns the length. */
static size_t encode(uint32_t point, uint8_t bytes[4])
{
    if (point < 0x80) {
        bytes[0] = (uint8_t)point;
        return 1;
    }
    size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const uint8_t heads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length - 1; i > 0; i--) {
        bytes[i] = (uint8_t)(0x80 | (point & 0x3f));
        point >>= 6;
    }
    bytes[0] = (uint8_t)(heads[length] | point);
    return length;
}

START_TEST(utf8_every_code_point_but_surrogates_is_valid)
{
    for (uint32_t point = 0; point < 0x120000; point++) {
        uint8_t bytes[4];
        size_t length = encode(point, bytes);
        bool valid = point < 0xd800 || (point > 0xdfff && point <= 0x10ffff);
        ck_assert_uint_eq(utf8_sequence(bytes, length), valid ? length : 0);
    }
}
END_TEST

START_TEST(utf8_every_pair_of_first_bytes_agrees_with_the_encoder)
{
    /* Valid two-byte starts are those that some code point has; the rest is filled with 0x80. */
    static bool starts[65536];
    for (uint32_t point = 0x80; point <= 0x10ffff; point++) {
        uint8_t bytes[4];
        (void)encode(point, bytes); /* only the first two bytes matter */
        if (point < 0xd800 || point > 0xdfff) {
            starts[bytes[0] << 8 | bytes[1]] = true;
        }
    }
    for (uint32_t pair = 0x8000; pair < 0x10000; pair++) {
        const uint8_t bytes[4] = {(uint8_t)(pair >> 8), (uint8_t)pair, 0x80, 0x80};
        ck_assert_int_eq(utf8_sequence(bytes, 4) > 0, starts[pair]);
    }
}
END_TEST

START_TEST(utf8_every_truncation_is_invalid)
{
    const uint8_t whole[] = {0xf0, 0x9f, 0x98, 0x80};
    for (size_t size = 0; size <= sizeof(whole); size++) {
        uint8_t *copy = malloc(size + 1);
        ck_assert_ptr_nonnull(copy);
        memcpy(copy + 1, whole, size);
        ck_assert_int_eq(utf8_valid(copy + 1, size), size == 0 || size == sizeof(whole));
        free(copy);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("utf8");
    tcase_add_test(tcase, utf8_every_code_point_but_surrogates_is_valid);
    tcase_add_test(tcase, utf8_every_pair_of_first_bytes_agrees_with_the_encoder);
    tcase_add_test(tcase, utf8_every_truncation_is_invalid);
    return suite_run("utf8", tcase);
}
