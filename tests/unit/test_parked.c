/*
 * The keys that have dead letters. Oracle: a plain list of (key, position) pairs.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "engine/parked.h"
#include "tests/unit/suite.h"

enum { KEYS = 40, TURNS = 4000, HELD_MAX = 400 };

static struct parked parked;

static size_t label_of(char text[64], size_t key, int old_key)
{
    if (old_key >= 0) {
        return (size_t)snprintf(text, 64, "s%ct%c%zu%c%d", 0, 0, key, 0, old_key);
    }
    return (size_t)snprintf(text, 64, "s%ct%c%zu%c", 0, 0, key, 0);
}

static bool has(size_t key, int old_key)
{
    char label[64];
    size_t size = label_of(label, key, old_key);
    return parked_has(&parked, (const uint8_t *)label, size, (struct fan_position){{9999999}, 0});
}

static void add(size_t key, uint64_t lsn)
{
    char label[64];
    size_t size = label_of(label, key, -1);
    ck_assert_int_eq(
        parked_add(&parked, (const uint8_t *)label, size, (struct fan_position){{lsn}, 0}, NULL),
        FAN_OK);
}

static void take(size_t key, uint64_t lsn)
{
    char label[64];
    size_t size = label_of(label, key, -1);
    parked_remove(&parked, (const uint8_t *)label, size, (struct fan_position){{lsn}, 0});
}

/* `going`: where those stand that go before it; ends with 0. */
static bool waits(size_t key, uint64_t lsn, const uint64_t *going)
{
    char label[64];
    struct batch_event events[4] = {0};
    size_t count = 0;
    for (; going[count] != 0; count++) {
        events[count].position = (struct fan_position){{going[count]}, 0};
    }
    size_t size = label_of(label, key, -1);
    return parked_waits(&parked, (const uint8_t *)label, size, (struct fan_position){{lsn}, 0},
                        events, count);
}

START_TEST(parked_random_letters_match_a_plain_list)
{
    struct rng rng = rng_seeded(5);
    struct {
        size_t key;
        uint64_t lsn;
    } held[HELD_MAX];
    size_t count = 0;
    for (uint64_t turn = 1; turn <= TURNS; turn++) {
        if (count < HELD_MAX && (count == 0 || rng_below(&rng, 2) == 0)) {
            held[count].key = (size_t)rng_below(&rng, KEYS);
            held[count].lsn = turn;
            add(held[count].key, turn);
            count++;
        } else {
            size_t at = (size_t)rng_below(&rng, count);
            take(held[at].key, held[at].lsn);
            held[at] = held[--count];
        }
        size_t key = (size_t)rng_below(&rng, KEYS);
        size_t letters = 0;
        for (size_t at = 0; at < count; at++) {
            letters += held[at].key == key;
        }
        ck_assert_int_eq(has(key, -1), letters > 0);
    }
    parked_release(&parked);
}
END_TEST

START_TEST(parked_the_key_before_a_change_counts_too)
{
    add(7, 1);
    ck_assert(has(8, 7));
    ck_assert(!has(8, 9));
    parked_release(&parked);
}
END_TEST

START_TEST(parked_both_keys_of_a_change_are_parked)
{
    char label[64];
    size_t size = label_of(label, 8, 7);
    ck_assert_int_eq(
        parked_add(&parked, (const uint8_t *)label, size, (struct fan_position){{5}, 0}, NULL),
        FAN_OK);
    ck_assert(has(7, -1) && has(8, -1) && !has(9, -1));
    parked_remove(&parked, (const uint8_t *)label, size, (struct fan_position){{5}, 0});
    ck_assert_uint_eq(parked.keys_count, 0);
    parked_release(&parked);
}
END_TEST

START_TEST(parked_what_comes_before_the_first_letter_does_not_wait)
{
    char label[64];
    size_t size = label_of(label, 1, -1);
    add(1, 30);
    ck_assert(!parked_has(&parked, (const uint8_t *)label, size, (struct fan_position){{29}, 9}));
    ck_assert(parked_has(&parked, (const uint8_t *)label, size, (struct fan_position){{30}, 0}));
    parked_release(&parked);
}
END_TEST

START_TEST(parked_oldest_letters_come_first)
{
    add(1, 30);
    add(1, 10);
    add(1, 20);
    add(1, 20); /* known */
    static const uint64_t none[] = {0};
    static const uint64_t first[] = {10, 0};
    static const uint64_t gone[] = {5, 10, 0}; /* one that is no letter any more goes again */
    ck_assert(!waits(1, 10, none));
    ck_assert(waits(1, 20, none));
    ck_assert(!waits(1, 20, first));
    ck_assert(waits(1, 30, first));
    ck_assert(waits(1, 30, gone));
    take(1, 10);
    ck_assert(!waits(1, 20, none));
    ck_assert(waits(1, 30, first));
    take(1, 20);
    take(1, 30);
    ck_assert_uint_eq(parked.keys_count, 0);
    ck_assert(!waits(1, 99, none)); /* a key without letters holds nothing */
    parked_release(&parked);
}
END_TEST

START_TEST(parked_too_many_keys_are_refused)
{
    for (size_t key = 0; key < PARKED_KEYS_MAX; key++) {
        add(key, key + 1);
    }
    char label[64];
    size_t size = label_of(label, PARKED_KEYS_MAX, -1);
    struct fan_error error;
    ck_assert_int_eq(
        parked_add(&parked, (const uint8_t *)label, size, (struct fan_position){{1}, 0}, &error),
        FAN_FATAL);
    add(3, 1000000); /* one that is there takes more */
    parked_release(&parked);
}
END_TEST

/* Two random sets of letters of the same keys: what stays is in both. */
START_TEST(parked_letters_that_are_gone_let_their_keys_go)
{
    enum { ROUNDS = 50, LETTERS = 60 };
    struct rng rng = rng_seeded(9);
    for (int round = 0; round < ROUNDS; round++) {
        struct parked those = {0};
        bool mine[KEYS][LETTERS + 1] = {0};
        bool there[KEYS][LETTERS + 1] = {0};
        for (uint64_t lsn = 1; lsn <= LETTERS; lsn++) {
            size_t key = (size_t)rng_below(&rng, KEYS);
            char label[64];
            size_t size = label_of(label, key, -1);
            if (rng_below(&rng, 3) > 0) {
                add(key, lsn);
                mine[key][lsn] = true;
            }
            if (round % 10 > 0 && rng_below(&rng, 2) > 0) {
                ck_assert_int_eq(parked_add(&those, (const uint8_t *)label, size,
                                            (struct fan_position){{lsn}, 0}, NULL),
                                 FAN_OK);
                there[key][lsn] = true;
            }
        }
        parked_keep(&parked, &those);
        size_t keys = 0;
        for (size_t key = 0; key < KEYS; key++) {
            bool held = false;
            for (uint64_t lsn = 1; lsn <= LETTERS; lsn++) {
                bool both = mine[key][lsn] && there[key][lsn];
                ck_assert_int_eq(waits(key, lsn, (uint64_t[]){0}), held);
                held = held || both;
            }
            ck_assert_int_eq(has(key, -1), held);
            keys += held;
        }
        ck_assert_uint_eq(parked.keys_count, keys);
        parked_release(&those);
        parked_release(&parked);
    }
}
END_TEST

START_TEST(parked_event_without_a_key_parks_nothing)
{
    static const char label[] = "s\0t\0";
    ck_assert_int_eq(parked_add(&parked, (const uint8_t *)label, sizeof(label),
                                (struct fan_position){{1}, 0}, NULL),
                     FAN_OK);
    ck_assert_uint_eq(parked.keys_count, 0);
    parked_release(&parked);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("parked");
    tcase_add_test(cases, parked_random_letters_match_a_plain_list);
    tcase_add_test(cases, parked_the_key_before_a_change_counts_too);
    tcase_add_test(cases, parked_both_keys_of_a_change_are_parked);
    tcase_add_test(cases, parked_what_comes_before_the_first_letter_does_not_wait);
    tcase_add_test(cases, parked_oldest_letters_come_first);
    tcase_add_test(cases, parked_too_many_keys_are_refused);
    tcase_add_test(cases, parked_letters_that_are_gone_let_their_keys_go);
    tcase_add_test(cases, parked_event_without_a_key_parks_nothing);
    return suite_run("parked", cases);
}
