/*
 * Letters are kept, found, delivered and given up as deadletter.h says, and nothing leaves without
 * a trace: at every moment
 *
 *     events added = letters in the store + letters delivered + events in gap rows
 *
 * Oracle: the positions that the test gave, and that sum, over random histories of every policy;
 * what was answered with FAN_OK is there after the store was reopened, and after kill -9.
 */
#include <check.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/rng.h"
#include "deadletter/deadletter.h"
#include "deadletter/selector.h"
#include "store/store.h"
#include "tests/unit/child.h"
#include "tests/unit/scratch.h"
#include "tests/unit/suite.h"

enum { SEEN_MAX = 4096, PAYLOAD_SIZE = 100, UNTOUCHED = 7 };

static char data_dir[PATH_MAX];
static struct store *store;
static struct store_state state; /* as load() found it */
static struct fan_error error;
static const struct deadletter_caps wide = {
    .entries_max = 1000000, .bytes_max = UINT64_C(1) << 30, .payload_bytes_max = 1 << 20};
static const struct deadletter_filter all = {0};
static uint8_t payload[PAYLOAD_SIZE];

static void open_with(const struct store_options *options)
{
    enum fan_status status = store_open(data_dir, options, &store, &error);
    ck_assert_msg(status == FAN_OK, "%s: %s", error.code, error.text);
}

static void reopen(void)
{
    store_close(store);
    store = NULL;
    open_with(&(struct store_options){.create = true});
}

static void setup(void)
{
    scratch_path(data_dir, sizeof(data_dir));
    error = (struct fan_error){0};
    memset(payload, 'p', sizeof(payload));
    open_with(&(struct store_options){.create = true});
}

static void teardown(void)
{
    store_state_release(&state);
    store_close(store);
    store = NULL;
}

#define CHECK_OK(call)                                                                             \
    do {                                                                                           \
        enum fan_status status_ = (call);                                                          \
        ck_assert_msg(status_ == FAN_OK, "%s: %s: %s", #call, error.code, error.text);             \
    } while (0)

/* A letter at (lsn, 0) of target "bus" of pipeline "orders". */
static struct deadletter letter_make(uint64_t lsn, enum deadletter_cause cause)
{
    static const char label[] = "public\0orders\0{\"id\":7}\0";
    return (struct deadletter){
        .pipeline = "orders",
        .target = "bus",
        .source = "shop",
        .commit_lsn = lsn,
        .hold_lsn = lsn,
        .commit_time_us = 1700000000000000,
        .op = 'c',
        .txn_end = true,
        .id = "7301-pgfan-1-0",
        .format = "native",
        .label = (const uint8_t *)label,
        .label_size = sizeof(label) - 1,
        .payload = payload,
        .payload_size = sizeof(payload),
        .cause = cause,
        .code = "HTTP_422",
        .error = "the target said no",
        .attempts = 1,
        .first_us = 1000,
        .last_us = 2000,
    };
}

/* `count` letters at the positions from `first_lsn` on. */
static void letters_make(struct deadletter *letters, size_t count, uint64_t first_lsn,
                         enum deadletter_cause cause)
{
    for (size_t i = 0; i < count; i++) {
        letters[i] = letter_make(first_lsn + i, cause);
    }
}

/* A letter at (lsn, 0) of another target of the same pipeline. */
static struct deadletter letter_make_search(uint64_t lsn, enum deadletter_cause cause)
{
    struct deadletter letter = letter_make(lsn, cause);
    letter.target = "search";
    return letter;
}

static struct deadletter_added add_with(const struct deadletter *letters, size_t count,
                                        const struct deadletter_caps *caps, int64_t now_us)
{
    struct deadletter_added added = {0};
    CHECK_OK(deadletter_add(store, letters, count, caps, now_us, &added, &error));
    return added;
}

static void add(const struct deadletter *letter)
{
    struct deadletter_added added = add_with(letter, 1, &wide, 5000);
    ck_assert_uint_eq(added.added, 1);
}

static void add_range(uint64_t first, uint64_t last, enum deadletter_cause cause)
{
    for (uint64_t lsn = first; lsn <= last; lsn++) {
        struct deadletter letter = letter_make(lsn, cause);
        add(&letter);
    }
}

/* What a list gave: numbers and positions in order. */
static struct {
    size_t count;
    size_t stop_at; /* 0: never */
    int64_t number[SEEN_MAX];
    uint64_t lsn[SEEN_MAX];
    bool payloads;
} seen;

static void seen_reset(size_t stop_at)
{
    seen.count = 0;
    seen.stop_at = stop_at;
}

static bool see(void *context, const struct deadletter *letter)
{
    (void)context;
    ck_assert_uint_lt(seen.count, SEEN_MAX);
    seen.number[seen.count] = letter->number;
    seen.lsn[seen.count++] = letter->commit_lsn;
    seen.payloads = letter->payload != NULL;
    return seen.count != seen.stop_at;
}

static size_t list(const struct deadletter_filter *filter, enum deadletter_order order,
                   uint64_t limit)
{
    seen_reset(0);
    CHECK_OK(deadletter_list(store, filter, order, limit, see, NULL, &error));
    return seen.count;
}

static uint64_t count(const struct deadletter_filter *filter)
{
    struct deadletter_count counted = {0};
    CHECK_OK(deadletter_count(store, filter, &counted, &error));
    ck_assert_uint_eq(counted.by_cause[1] + counted.by_cause[2] + counted.by_cause[3],
                      counted.entries);
    return counted.entries;
}

static void load(void)
{
    store_state_release(&state);
    CHECK_OK(store_load(store, &state, &error));
}

/* Asserts which events a gap row stands for. */
static void assert_gap(const struct store_gap *gap, uint64_t first_lsn, uint64_t last_lsn,
                       uint64_t events)
{
    ck_assert_uint_eq(gap->first_lsn, first_lsn);
    ck_assert_uint_eq(gap->last_lsn, last_lsn);
    ck_assert_uint_eq(gap->count, events);
}

static uint64_t gap_events(void)
{
    uint64_t events = 0;
    load();
    for (size_t i = 0; i < state.gaps_count; i++) {
        ck_assert_int_lt(state.gaps[i].gap_id, 0);
        ck_assert_str_ne(state.gaps[i].cause, "");
        events += state.gaps[i].count;
    }
    return events;
}

/* ---- adding and listing ---- */

static bool compare(void *context, const struct deadletter *letter)
{
    const struct deadletter *wanted = context;
    ck_assert_str_eq(letter->pipeline, wanted->pipeline);
    ck_assert_str_eq(letter->target, wanted->target);
    ck_assert_str_eq(letter->source, wanted->source);
    ck_assert_uint_eq(letter->commit_lsn, wanted->commit_lsn);
    ck_assert_int_eq(letter->seq, wanted->seq);
    ck_assert_uint_eq(letter->hold_lsn, wanted->hold_lsn);
    ck_assert_int_eq(letter->commit_time_us, wanted->commit_time_us);
    ck_assert_int_eq(letter->op, wanted->op);
    ck_assert_int_eq(letter->txn_end, wanted->txn_end);
    ck_assert_str_eq(letter->id, wanted->id);
    ck_assert_str_eq(letter->format, wanted->format);
    ck_assert_uint_eq(letter->label_size, wanted->label_size);
    ck_assert_mem_eq(letter->label, wanted->label, wanted->label_size);
    ck_assert_uint_eq(letter->payload_size, wanted->payload_size);
    ck_assert_mem_eq(letter->payload, wanted->payload, wanted->payload_size);
    ck_assert_int_eq(letter->cause, wanted->cause);
    ck_assert_str_eq(letter->code, wanted->code);
    ck_assert_str_eq(letter->error, wanted->error);
    ck_assert_uint_eq(letter->attempts, wanted->attempts);
    ck_assert_int_eq(letter->first_us, wanted->first_us);
    ck_assert_int_eq(letter->last_us, wanted->last_us);
    seen.count++;
    return true;
}

/* The store holds one letter, and it is that one in every field. */
static void assert_only(const struct deadletter *letter)
{
    struct deadletter wanted = *letter;
    seen_reset(0);
    CHECK_OK(deadletter_list(store, &all, LETTERS_BY_NUMBER, 10, compare, &wanted, &error));
    ck_assert_uint_eq(seen.count, 1);
}

START_TEST(deadletter_every_field_comes_back_after_reopening)
{
    struct deadletter letter = letter_make(0x16B3748, LETTER_POISON);
    static const uint8_t bytes[] = {0, 1, 0xff, '\n', 0};
    letter.seq = -1;
    letter.hold_lsn = 5;
    letter.txn_end = false;
    letter.payload = bytes;
    letter.payload_size = sizeof(bytes);
    add(&letter);
    reopen();
    assert_only(&letter);
}
END_TEST

START_TEST(deadletter_without_label_payload_or_times_is_kept_too)
{
    struct deadletter letter = letter_make(1, LETTER_PARKED);
    letter.label = NULL;
    letter.label_size = 0;
    letter.payload = NULL;
    letter.payload_size = 0;
    letter.code = NULL;
    letter.error = NULL;
    letter.first_us = letter.last_us = 0;
    add(&letter);
    letter.label = letter.payload = (const uint8_t *)"";
    letter.code = letter.error = "";
    letter.first_us = letter.last_us = 5000; /* the time of the adding */
    assert_only(&letter);
}
END_TEST

START_TEST(deadletter_added_again_counts_its_attempts_and_nothing_else)
{
    struct deadletter letter = letter_make(10, LETTER_POISON);
    letter.attempts = 5;
    add(&letter);
    struct deadletter again = letter;
    again.cause = LETTER_ISOLATED;
    again.payload = (const uint8_t *)"other";
    again.payload_size = 5;
    again.first_us = 9999;
    again.last_us = 7000;
    again.code = "HTTP_400";
    again.error = "still no";
    struct deadletter_added added = add_with(&again, 1, &wide, 6000);
    ck_assert_uint_eq(added.added, 0);
    ck_assert_uint_eq(added.known, 1);
    letter.attempts = 10;
    letter.last_us = 7000;
    letter.code = again.code;
    letter.error = again.error;
    assert_only(&letter);
    /* A full store does not mind. */
    const struct deadletter_caps none = {.at_cap = AT_CAP_BLOCK};
    added = add_with(&letter, 1, &none, 6000);
    ck_assert_uint_eq(added.known, 1);
}
END_TEST

START_TEST(deadletter_same_position_of_another_target_is_another_letter)
{
    struct deadletter letter = letter_make(10, LETTER_POISON);
    add(&letter);
    letter.target = "search";
    add(&letter);
    letter.pipeline = "stock";
    add(&letter);
    letter.seq = 1;
    add(&letter);
    ck_assert_uint_eq(count(&all), 4);
}
END_TEST

START_TEST(deadletter_long_error_is_cut_between_characters)
{
    char text[LETTER_ERROR_MAX + 10];
    memset(text, 'x', sizeof(text));
    memcpy(text + LETTER_ERROR_MAX - 2, "\xe2\x82\xac", 4); /* would cross the end */
    struct deadletter letter = letter_make(1, LETTER_POISON);
    letter.error = text;
    add(&letter);
    char cut[LETTER_ERROR_MAX];
    memset(cut, 'x', sizeof(cut));
    cut[LETTER_ERROR_MAX - 2] = '\0';
    letter.error = cut;
    assert_only(&letter);
}
END_TEST

START_TEST(deadletter_numbers_grow_and_are_never_used_again)
{
    add_range(1, 3, LETTER_POISON);
    ck_assert_uint_eq(list(&all, LETTERS_BY_NUMBER, 10), 3);
    int64_t numbers[3] = {seen.number[0], seen.number[1], seen.number[2]};
    ck_assert_int_lt(numbers[0], numbers[1]);
    ck_assert_int_lt(numbers[1], numbers[2]);
    CHECK_OK(deadletter_delivered(store, numbers, 3, &error));
    ck_assert_uint_eq(count(&all), 0);
    reopen();
    add_range(1, 1, LETTER_POISON);
    ck_assert_uint_eq(list(&all, LETTERS_BY_NUMBER, 10), 1);
    ck_assert_int_gt(seen.number[0], numbers[2]);
}
END_TEST

START_TEST(deadletter_list_goes_by_number_or_by_position)
{
    static const uint64_t lsns[] = {30, 10, 20, 40};
    for (size_t i = 0; i < 4; i++) {
        struct deadletter letter = letter_make(lsns[i], i == 2 ? LETTER_PARKED : LETTER_POISON);
        add(&letter);
    }
    struct deadletter other = letter_make_search(15, LETTER_POISON);
    add(&other);
    ck_assert_uint_eq(list(&all, LETTERS_BY_NUMBER, 100), 5);
    ck_assert_uint_eq(seen.lsn[0], 30);
    ck_assert_uint_eq(seen.lsn[4], 15);
    ck_assert(seen.payloads);
    struct deadletter_filter bus = {.pipeline = "orders", .target = "bus"};
    ck_assert_uint_eq(list(&bus, LETTERS_BY_POSITION, 3), 3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_uint_eq(seen.lsn[i], 10 * (i + 1));
    }
    bus.cause = LETTER_POISON;
    ck_assert_uint_eq(list(&bus, LETTERS_BY_POSITION, 100), 3);
    ck_assert_uint_eq(seen.lsn[1], 30);
    seen_reset(2);
    CHECK_OK(deadletter_list(store, &all, LETTERS_BY_NUMBER, 100, see, NULL, &error));
    ck_assert_uint_eq(seen.count, 2);
}
END_TEST

/* ---- filters ---- */

START_TEST(deadletter_filters_select_exactly)
{
    static const char other_label[] = "public\0lines.old\0{\"id\":8}\0{\"id\":9}";
    struct deadletter one = letter_make(1, LETTER_POISON);
    struct deadletter two = letter_make(2, LETTER_PARKED);
    two.pipeline = "stock";
    two.label = (const uint8_t *)other_label;
    two.label_size = sizeof(other_label) - 1;
    two.code = "TIMEOUT";
    two.error = "no answer in 30 s";
    two.last_us = 90000;
    struct deadletter three = letter_make_search(3, LETTER_ISOLATED);
    three.label_size = 0;
    add(&one);
    add(&two);
    add(&three);
    const struct {
        struct deadletter_filter filter;
        const char *lsns;
    } cases[] = {
        {{0}, "123"},
        {{.pipeline = "orders"}, "13"},
        {{.pipeline = "order"}, ""},
        {{.target = "bus"}, "12"},
        {{.pipeline = "orders", .target = "search"}, "3"},
        {{.table = "public.orders"}, "1"},
        {{.table = "public.lines.old"}, "2"},
        {{.table = "public.lines"}, ""},
        {{.table = "."}, ""},
        {{.key = "{\"id\":8}"}, "2"},
        {{.key = "{\"id\":9}"}, ""},
        {{.key = ""}, ""},
        {{.error = "NO"}, "123"},
        {{.error = "answer"}, "2"},
        {{.error = "http_4"}, "13"},
        {{.cause = LETTER_PARKED}, "2"},
        {{.since_us = 2000}, "123"},
        {{.since_us = 2001}, "2"},
        {{.number = 2}, "2"},
        {{.number = 4}, ""},
        {{.number = 2, .cause = LETTER_POISON}, ""},
        {{.after_number = 2}, "3"},
        {{.number = 1, .after_number = 2}, ""},
        {{.after_number = INT64_MAX}, ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char found[8] = "";
        (void)list(&cases[i].filter, LETTERS_BY_NUMBER, 100);
        for (size_t at = 0; at < seen.count; at++) {
            found[at] = (char)('0' + seen.lsn[at]);
        }
        ck_assert_msg(strcmp(found, cases[i].lsns) == 0, "case %zu: %s, not %s", i, found,
                      cases[i].lsns);
        ck_assert_msg(count(&cases[i].filter) == seen.count, "case %zu: count", i);
    }
}
END_TEST

START_TEST(deadletter_scan_goes_through_slices_of_its_size)
{
    enum { LETTERS = 2 * DEADLETTER_SLICE + 10 };
    static struct deadletter letters[LETTERS];
    for (size_t i = 0; i < LETTERS; i++) {
        letters[i] = letter_make(i + 1, i % 2 == 0 ? LETTER_POISON : LETTER_PARKED);
    }
    struct deadletter_added added = add_with(letters, LETTERS, &wide, 1);
    ck_assert_uint_eq(added.added, LETTERS);
    const struct deadletter_filter parked = {.cause = LETTER_PARKED, .table = "public.orders"};
    struct deadletter_scan scan = {.wanted = UINT64_MAX};
    size_t calls = 0;
    seen_reset(0);
    while (!scan.done) {
        size_t before = seen.count;
        CHECK_OK(deadletter_scan(store, &parked, false, &scan, see, NULL, &error));
        ck_assert_uint_le(seen.count - before, DEADLETTER_SLICE / 2);
        calls++;
    }
    ck_assert_uint_eq(calls, 3);
    ck_assert_uint_eq(seen.count, LETTERS / 2);
    ck_assert(!seen.payloads);
    ck_assert_uint_eq(count(&parked), LETTERS / 2);
    /* `wanted` ends it, and the search goes on behind what it gave. */
    scan = (struct deadletter_scan){.wanted = 3};
    seen_reset(0);
    CHECK_OK(deadletter_scan(store, &parked, false, &scan, see, NULL, &error));
    ck_assert(scan.done);
    ck_assert_uint_eq(seen.count, 3);
    ck_assert_int_eq(scan.after_number, seen.number[2]);
}
END_TEST

START_TEST(deadletter_count_of_all_is_answered_from_the_sums)
{
    struct deadletter_count counted = {0};
    CHECK_OK(deadletter_count(store, &all, &counted, &error));
    ck_assert_uint_eq(counted.entries, 0);
    ck_assert_int_eq(counted.oldest_us, 0);
    add_range(1, 4, LETTER_POISON);
    add_range(5, 6, LETTER_ISOLATED);
    struct deadletter other = letter_make_search(1, LETTER_PARKED);
    other.first_us = 500;
    add(&other);
    size_t letter_bytes = other.payload_size + other.label_size;
    CHECK_OK(deadletter_count(store, &all, &counted, &error));
    ck_assert_uint_eq(counted.entries, 7);
    ck_assert_uint_eq(counted.bytes, 7 * letter_bytes);
    ck_assert_uint_eq(counted.by_cause[LETTER_POISON], 4);
    ck_assert_uint_eq(counted.by_cause[LETTER_PARKED], 1);
    ck_assert_uint_eq(counted.by_cause[LETTER_ISOLATED], 2);
    ck_assert_int_eq(counted.oldest_us, 1000);
    const struct deadletter_filter search = {.pipeline = "orders", .target = "search"};
    CHECK_OK(deadletter_count(store, &search, &counted, &error));
    ck_assert_uint_eq(counted.entries, 1);
    ck_assert_int_eq(counted.oldest_us, 500);
    load();
    ck_assert_uint_eq(state.letters_count, 3);
    ck_assert_str_eq(state.letters[0].target, "bus");
    ck_assert_int_eq(state.letters[0].cause, LETTER_POISON);
    ck_assert_uint_eq(state.letters[0].entries, 4);
    ck_assert_uint_eq(state.letters[0].bytes, 4 * letter_bytes);
}
END_TEST

/* ---- caps ---- */

static struct deadletter_caps caps_make(uint64_t entries, enum deadletter_at_cap at_cap)
{
    struct deadletter_caps caps = wide;
    caps.entries_max = entries;
    caps.at_cap = at_cap;
    return caps;
}

START_TEST(deadletter_block_adds_nothing_of_what_does_not_fit)
{
    const struct deadletter_caps caps = caps_make(3, AT_CAP_BLOCK);
    struct deadletter letters[4];
    letters_make(letters, 4, 1, LETTER_POISON);
    struct deadletter_added added = add_with(letters, 2, &caps, 1);
    ck_assert_uint_eq(added.added, 2);
    added = (struct deadletter_added){.added = 77};
    ck_assert_int_eq(deadletter_add(store, letters, 4, &caps, 1, &added, &error), FAN_AGAIN);
    ck_assert_str_eq(error.code, "DEAD_LETTERS_FULL");
    ck_assert_uint_eq(added.added, 77);
    ck_assert_uint_eq(count(&all), 2);
    ck_assert_uint_eq(gap_events(), 0);
    added = add_with(letters, 3, &caps, 1);
    ck_assert_uint_eq(added.added, 1);
    ck_assert_uint_eq(added.known, 2);
    /* Bytes are a cap of their own. */
    struct deadletter_caps bytes = wide;
    bytes.bytes_max = 3 * (letters[0].payload_size + letters[0].label_size) + 1;
    ck_assert_int_eq(deadletter_add(store, &letters[3], 1, &bytes, 1, &added, &error), FAN_AGAIN);
}
END_TEST

START_TEST(deadletter_reject_makes_gap_rows_of_the_new)
{
    const struct deadletter_caps caps = caps_make(2, AT_CAP_REJECT);
    struct deadletter letters[5];
    letters_make(letters, 5, 1, LETTER_POISON);
    struct deadletter_added added = add_with(letters, 5, &caps, 77);
    ck_assert_uint_eq(added.added, 2);
    ck_assert_uint_eq(added.rejected, 3);
    ck_assert_uint_eq(list(&all, LETTERS_BY_NUMBER, 10), 2);
    ck_assert_uint_eq(seen.lsn[1], 2);
    load();
    ck_assert_uint_eq(state.gaps_count, 1);
    ck_assert_int_eq(state.gaps[0].gap_id, -1);
    ck_assert_str_eq(state.gaps[0].pipeline, "orders");
    ck_assert_str_eq(state.gaps[0].target, "bus");
    ck_assert_str_eq(state.gaps[0].cause, "dead-letter store full: reject");
    assert_gap(&state.gaps[0], 3, 5, 3);
    ck_assert_int_eq(state.gaps[0].at_us, 77);
}
END_TEST

START_TEST(deadletter_drop_oldest_makes_gap_rows_of_the_old)
{
    const struct deadletter_caps caps = caps_make(4, AT_CAP_DROP_OLDEST);
    struct deadletter search = letter_make_search(100, LETTER_POISON);
    add_range(1, 2, LETTER_POISON);
    add(&search);
    add_range(3, 3, LETTER_POISON);
    struct deadletter letters[3];
    letters_make(letters, 3, 4, LETTER_POISON);
    struct deadletter_added added = add_with(letters, 3, &caps, 77);
    ck_assert_uint_eq(added.added, 3);
    ck_assert_uint_eq(added.dropped, 3);
    ck_assert_uint_eq(list(&all, LETTERS_BY_NUMBER, 10), 4);
    ck_assert_uint_eq(seen.lsn[0], 3);
    load();
    ck_assert_uint_eq(state.gaps_count, 2);
    for (size_t i = 0; i < 2; i++) {
        bool bus = strcmp(state.gaps[i].target, "bus") == 0;
        assert_gap(&state.gaps[i], bus ? 1 : 100, bus ? 2 : 100, bus ? 2 : 1);
    }
    /* More than the store holds: of this very call only the newest stay. */
    struct deadletter many[6];
    letters_make(many, 6, 20, LETTER_POISON);
    added = add_with(many, 6, &caps, 78);
    ck_assert_uint_eq(added.added, 6);
    ck_assert_uint_eq(added.dropped, 6);
    ck_assert_uint_eq(list(&all, LETTERS_BY_NUMBER, 10), 4);
    ck_assert_uint_eq(seen.lsn[0], 22);
    ck_assert_uint_eq(gap_events(), 3 + 6);
}
END_TEST

START_TEST(deadletter_that_no_store_could_hold_is_a_gap_row_and_costs_no_other)
{
    struct deadletter_caps caps = wide;
    caps.payload_bytes_max = PAYLOAD_SIZE - 1;
    add_range(1, 1, LETTER_POISON);
    struct deadletter letter = letter_make(2, LETTER_POISON);
    struct deadletter_added added = add_with(&letter, 1, &caps, 1);
    ck_assert_uint_eq(added.rejected, 1);
    caps = wide;
    caps.bytes_max = PAYLOAD_SIZE;
    caps.at_cap = AT_CAP_DROP_OLDEST;
    letter.commit_lsn = 3;
    added = add_with(&letter, 1, &caps, 1);
    ck_assert_uint_eq(added.rejected, 1);
    ck_assert_uint_eq(added.dropped, 0);
    ck_assert_uint_eq(count(&all), 1);
    ck_assert_uint_eq(gap_events(), 2);
}
END_TEST

START_TEST(deadletter_run_of_gaps_grows_until_a_letter_or_time_lies_between)
{
    const struct deadletter_caps closed = caps_make(0, AT_CAP_REJECT);
    struct deadletter letter = letter_make(1, LETTER_POISON);
    (void)add_with(&letter, 1, &closed, 1);
    letter.commit_lsn = 2;
    (void)add_with(&letter, 1, &closed, 2);
    add_range(3, 3, LETTER_POISON);
    letter.commit_lsn = 4;
    (void)add_with(&letter, 1, &closed, 3); /* behind a letter: a new row */
    letter.commit_lsn = 5;
    (void)add_with(&letter, 1, &closed, 3 + INT64_C(600000000));
    letter.commit_lsn = 6;
    (void)add_with(&letter, 1, &closed, 4 + INT64_C(1200000000)); /* too late: a new row */
    load();
    ck_assert_uint_eq(state.gaps_count, 3);
    ck_assert_uint_eq(state.gaps[0].first_lsn, 1);
    ck_assert_uint_eq(state.gaps[0].last_lsn, 2);
    ck_assert_int_eq(state.gaps[0].gap_id, -1);
    ck_assert_uint_eq(state.gaps[1].first_lsn, 4);
    ck_assert_uint_eq(state.gaps[1].last_lsn, 5);
    ck_assert_int_eq(state.gaps[1].gap_id, -2);
    ck_assert_uint_eq(state.gaps[2].first_lsn, 6);
    ck_assert_uint_eq(state.gaps[2].count, 1);
}
END_TEST

START_TEST(deadletter_gap_rows_keep_away_from_those_of_the_engine)
{
    const struct store_gap gap = {
        .pipeline = "orders", .target = "bus", .gap_id = 9, .cause = "buffer full: drop_oldest"};
    CHECK_OK(store_save(store, &(struct store_update){.gaps = &gap, .gaps_count = 1}, &error));
    const struct deadletter_caps closed = caps_make(0, AT_CAP_REJECT);
    struct deadletter letter = letter_make(1, LETTER_POISON);
    (void)add_with(&letter, 1, &closed, 1);
    load();
    ck_assert_uint_eq(state.gaps_count, 2);
    ck_assert_int_eq(state.gaps[0].gap_id, 9);
    ck_assert_int_eq(state.gaps[1].gap_id, -1);
}
END_TEST

/* ---- leaving ---- */

START_TEST(deadletter_failed_again_counts_and_keeps_the_newest_error)
{
    struct deadletter letter = letter_make(1, LETTER_POISON);
    add(&letter);
    ck_assert_uint_eq(list(&all, LETTERS_BY_NUMBER, 1), 1);
    CHECK_OK(deadletter_failed(store, seen.number[0], "HTTP_410", "gone", 9000, &error));
    letter.attempts = 2;
    letter.code = "HTTP_410";
    letter.error = "gone";
    letter.last_us = 9000;
    assert_only(&letter);
    CHECK_OK(deadletter_failed(store, 4711, "", "", 9000, &error)); /* gone meanwhile: nothing */
    ck_assert_uint_eq(count(&all), 1);
}
END_TEST

START_TEST(deadletter_purge_takes_what_is_selected_and_leaves_gap_rows)
{
    add_range(1, 3, LETTER_POISON);
    add_range(4, 4, LETTER_PARKED);
    add_range(5, 6, LETTER_POISON);
    const struct deadletter_filter poison = {.cause = LETTER_POISON};
    uint64_t purged = 0;
    CHECK_OK(deadletter_purge(store, &poison, 99, &purged, &error));
    ck_assert_uint_eq(purged, 5);
    ck_assert_uint_eq(list(&all, LETTERS_BY_NUMBER, 10), 1);
    ck_assert_uint_eq(seen.lsn[0], 4);
    load();
    ck_assert_uint_eq(state.gaps_count, 2);
    const struct store_gap *first = &state.gaps[state.gaps[0].gap_id == -1 ? 0 : 1];
    const struct store_gap *second = &state.gaps[state.gaps[0].gap_id == -1 ? 1 : 0];
    assert_gap(first, 1, 3, 3);
    ck_assert_uint_eq(second->first_lsn, 5);
    ck_assert_uint_eq(second->count, 2);
    ck_assert_str_eq(state.gaps[1].cause, "dead letters purged");
    CHECK_OK(deadletter_purge(store, &poison, 99, &purged, &error));
    ck_assert_uint_eq(purged, 0);
}
END_TEST

/* Whether the bytes stand anywhere in the store's files. */
static bool files_hold(const char *text)
{
    static char content[1 << 22];
    bool found = false;
    static const char *const names[] = {"pgfan.db", "pgfan.db-wal"};
    for (size_t i = 0; i < 2; i++) {
        char path[PATH_MAX];
        (void)snprintf(path, sizeof(path), "%.4000s/%s", data_dir, names[i]);
        FILE *file = fopen(path, "re");
        size_t size = file == NULL ? 0 : fread(content, 1, sizeof(content), file);
        found = found || memmem(content, size, text, strlen(text)) != NULL;
        if (file != NULL) {
            (void)fclose(file);
        }
    }
    return found;
}

START_TEST(deadletter_purged_is_no_longer_in_the_files)
{
    static char large[20000];
    memset(large, 'q', sizeof(large));
    memcpy(large + 19000, "jane.doe@example.org", 20);
    struct deadletter letter = letter_make(1, LETTER_POISON);
    add(&letter);
    letter = letter_make(2, LETTER_POISON);
    letter.payload = (const uint8_t *)large;
    letter.payload_size = sizeof(large);
    add(&letter);
    ck_assert(files_hold("jane.doe@example.org"));
    ck_assert(files_hold("the target said no"));
    uint64_t purged = 0;
    CHECK_OK(deadletter_purge(store, &all, 99, &purged, &error));
    ck_assert(!files_hold("jane.doe@example.org"));
    ck_assert(!files_hold("the target said no"));
}
END_TEST

START_TEST(deadletter_too_old_expires_in_order_and_within_the_limit)
{
    for (uint64_t lsn = 1; lsn <= 5; lsn++) {
        struct deadletter letter = letter_make(lsn, LETTER_POISON);
        letter.first_us = (int64_t)lsn * 100;
        add(&letter);
    }
    struct deadletter_caps caps = wide;
    uint64_t expired = 7;
    CHECK_OK(deadletter_expire(store, &caps, 10000, 10, &expired, &error));
    ck_assert_uint_eq(expired, 0);
    caps.age_us_max = 1000;
    CHECK_OK(deadletter_expire(store, &caps, 1350, 2, &expired, &error));
    ck_assert_uint_eq(expired, 2);
    CHECK_OK(deadletter_expire(store, &caps, 1350, 2, &expired, &error));
    ck_assert_uint_eq(expired, 1);
    ck_assert_uint_eq(list(&all, LETTERS_BY_NUMBER, 10), 2);
    ck_assert_uint_eq(seen.lsn[0], 4);
    ck_assert_uint_eq(gap_events(), 3);
}
END_TEST

/* ---- the backlog and the keys ---- */

/* Asserts what is behind for target "bus"; of none the positions are left as they were. */
static void assert_backlog(uint64_t entries, uint64_t first_lsn, uint64_t last_lsn)
{
    uint64_t found = 7;
    uint64_t first = UNTOUCHED;
    uint64_t last = UNTOUCHED;
    int64_t first_seq;
    int64_t last_seq;
    CHECK_OK(deadletter_backlog_range(store, "orders", "bus", &found, &first, &first_seq, &last,
                                      &last_seq, &error));
    ck_assert_uint_eq(found, entries);
    ck_assert_uint_eq(first, first_lsn);
    ck_assert_uint_eq(last, last_lsn);
}

START_TEST(deadletter_backlog_is_read_in_pieces_and_leaves_from_the_front)
{
    add_range(1, 2, LETTER_POISON);
    add_range(10, 19, LETTER_ISOLATED);
    add_range(20, 20, LETTER_PARKED);
    assert_backlog(10, 10, 19);
    seen_reset(0);
    CHECK_OK(
        deadletter_backlog(store, "orders", "bus", 0, INT64_MIN, 4, 1 << 20, see, NULL, &error));
    ck_assert_uint_eq(seen.count, 4);
    ck_assert_uint_eq(seen.lsn[3], 13);
    seen_reset(0);
    CHECK_OK(deadletter_backlog(store, "orders", "bus", 13, 0, 100, 2 * PAYLOAD_SIZE + 1, see, NULL,
                                &error));
    ck_assert_uint_eq(seen.count, 3); /* about so many bytes */
    ck_assert_uint_eq(seen.lsn[0], 14);
    CHECK_OK(deadletter_backlog_delivered(store, "orders", "bus", 17, 0, &error));
    assert_backlog(2, 18, 19);
    CHECK_OK(deadletter_backlog_delivered(store, "orders", "bus", 1000, 0, &error));
    assert_backlog(0, UNTOUCHED, UNTOUCHED);
    ck_assert_uint_eq(count(&all), 3);
    ck_assert_uint_eq(gap_events(), 0);
}
END_TEST

START_TEST(deadletter_keys_are_those_of_poison_and_parked)
{
    add_range(1, 2, LETTER_POISON);
    add_range(3, 3, LETTER_PARKED);
    add_range(4, 5, LETTER_ISOLATED);
    seen_reset(0);
    CHECK_OK(deadletter_keys(store, "orders", "bus", see, NULL, &error));
    ck_assert_uint_eq(seen.count, 3);
    ck_assert(!seen.payloads);
    seen_reset(1);
    CHECK_OK(deadletter_keys(store, "orders", "bus", see, NULL, &error));
    ck_assert_uint_eq(seen.count, 1);
    seen_reset(0);
    CHECK_OK(deadletter_keys(store, "orders", "search", see, NULL, &error));
    ck_assert_uint_eq(seen.count, 0);
}
END_TEST

START_TEST(deadletter_removals_of_the_store_take_letters_and_sums)
{
    add_range(1, 3, LETTER_POISON);
    struct deadletter other = letter_make_search(1, LETTER_PARKED);
    add(&other);
    other.pipeline = "stock";
    add(&other);
    const struct store_removal removals[] = {
        {.kind = STORE_LETTER, .name = "orders", .target = "bus"},
        {.kind = STORE_LETTER, .name = "stock"}};
    CHECK_OK(store_save(store, &(struct store_update){.removals = removals, .removals_count = 2},
                        &error));
    ck_assert_uint_eq(count(&all), 1);
    load();
    ck_assert_uint_eq(state.letters_count, 1);
    ck_assert_str_eq(state.letters[0].target, "search");
    ck_assert_uint_eq(state.letters[0].entries, 1);
}
END_TEST

/* ---- trouble ---- */

START_TEST(deadletter_full_disk_changes_nothing_and_passes_later)
{
    store_close(store);
    open_with(&(struct store_options){.create = true, .pages_max = 40});
    static uint8_t large[60000];
    struct deadletter letters[4];
    for (size_t i = 0; i < 4; i++) {
        letters[i] = letter_make(i + 1, LETTER_ISOLATED);
        letters[i].payload = large;
        letters[i].payload_size = sizeof(large);
    }
    struct deadletter_added added = add_with(letters, 1, &wide, 1);
    ck_assert_uint_eq(added.added, 1);
    ck_assert_int_eq(deadletter_add(store, letters, 4, &wide, 1, &added, &error), FAN_RETRY);
    ck_assert_str_eq(error.code, "STORE_FULL");
    ck_assert_uint_eq(count(&all), 1);
    CHECK_OK(deadletter_backlog_delivered(store, "orders", "bus", 1, 0, &error));
    added = add_with(letters + 1, 1, &wide, 1);
    ck_assert_uint_eq(added.added, 1);
}
END_TEST

/*
 * Random histories over three targets and every policy, reopened now and then: the sum of the
 * head of this file holds after every step.
 */
START_TEST(deadletter_nothing_leaves_without_a_trace)
{
    static const char *const targets[] = {"bus", "search", "archive"};
    struct rng rng = rng_seeded((uint64_t)_i + 1);
    uint64_t produced = 0;
    uint64_t delivered = 0;
    uint64_t position = 0;
    for (unsigned step = 0; step < 150; step++) {
        struct deadletter letters[12];
        size_t letters_count = 1 + rng_below(&rng, 12);
        struct deadletter_caps caps =
            caps_make(5 + rng_below(&rng, 40), (enum deadletter_at_cap)rng_below(&rng, 3));
        for (size_t i = 0; i < letters_count; i++) {
            letters[i] = letter_make(++position, (enum deadletter_cause)(1 + rng_below(&rng, 3)));
            letters[i].target = targets[rng_below(&rng, 3)];
        }
        struct deadletter_added added = {0};
        enum fan_status status = deadletter_add(store, letters, letters_count, &caps,
                                                (int64_t)step * 1000000, &added, &error);
        if (status == FAN_OK) {
            ck_assert_uint_eq(added.added + added.rejected, letters_count);
            produced += letters_count;
        } else {
            ck_assert_int_eq(status, FAN_AGAIN);
        }
        uint64_t purged = 0;
        const struct deadletter_filter one = {.target = targets[rng_below(&rng, 3)],
                                              .cause = (enum deadletter_cause)rng_below(&rng, 4)};
        switch (rng_below(&rng, 6)) {
        case 0:
            CHECK_OK(deadletter_purge(store, &one, step, &purged, &error));
            break;
        case 1:
            if (list(&one, LETTERS_BY_NUMBER, 5) > 0) {
                CHECK_OK(deadletter_delivered(store, seen.number, seen.count, &error));
                delivered += seen.count;
            }
            break;
        case 2:
            reopen();
            break;
        default:
            break;
        }
        ck_assert_uint_eq(count(&all), list(&all, LETTERS_BY_NUMBER, SEEN_MAX));
        ck_assert_uint_eq(seen.count + delivered + gap_events(), produced);
    }
}
END_TEST

/* ---- kill -9 ---- */

/* The child's life: adds letters, oldest dropped, and writes each position when its add returned. */
static int child_main(const char *directory)
{
    (void)snprintf(data_dir, sizeof(data_dir), "%.4000s", directory);
    if (store_open(data_dir, &(struct store_options){.create = true}, &store, &error) != FAN_OK) {
        return 1;
    }
    struct deadletter_caps caps = wide;
    caps.entries_max = 20;
    caps.at_cap = AT_CAP_DROP_OLDEST;
    for (uint64_t lsn = 1;; lsn++) {
        struct deadletter letter = letter_make(lsn, LETTER_ISOLATED);
        struct deadletter_added added;
        if (deadletter_add(store, &letter, 1, &caps, 1, &added, &error) != FAN_OK ||
            write(STDOUT_FILENO, &lsn, sizeof(lsn)) != sizeof(lsn)) {
            return 2;
        }
    }
}

START_TEST(deadletter_killed_while_adding_keeps_what_was_acknowledged)
{
    store_close(store);
    store = NULL;
    uint64_t acknowledged = 0;
    child_kill_after(5 + 30 * (unsigned)_i, "add-until-killed", data_dir, &acknowledged,
                     sizeof(acknowledged));
    open_with(&(struct store_options){.create = true});
    ck_assert_uint_gt(list(&all, LETTERS_BY_NUMBER, 100), 0);
    uint64_t newest = seen.lsn[seen.count - 1];
    ck_assert_uint_ge(newest, acknowledged);
    ck_assert_uint_le(newest, acknowledged + 1);
    ck_assert_uint_eq(seen.count + gap_events(), newest);
}
END_TEST

/* ---- words ---- */

START_TEST(deadletter_labels_are_taken_apart)
{
    struct deadletter_label label;
    static const uint8_t sound[] = "s\0t\0k\0o";
    ck_assert(deadletter_label_parse(sound, sizeof(sound) - 1, &label));
    ck_assert_uint_eq(label.schema_size, 1);
    ck_assert_int_eq(label.table[0], 't');
    ck_assert_int_eq(label.key[0], 'k');
    ck_assert_uint_eq(label.old_key_size, 1);
    ck_assert_int_eq(label.old_key[0], 'o');
    ck_assert(deadletter_label_parse((const uint8_t *)"\0\0\0", 3, &label));
    ck_assert(!deadletter_label_parse(sound, 3, &label));
    ck_assert(!deadletter_label_parse(sound, sizeof(sound), &label)); /* a NUL too many */
    ck_assert(!deadletter_label_parse(NULL, 0, &label));
    ck_assert_str_eq(label.schema, "");
}
END_TEST

START_TEST(deadletter_causes_have_names)
{
    enum deadletter_cause cause = 0;
    for (int each = LETTER_POISON; each <= LETTER_ISOLATED; each++) {
        ck_assert(
            deadletter_cause_parse(deadletter_cause_name((enum deadletter_cause)each), &cause));
        ck_assert_int_eq(cause, each);
    }
    ck_assert_str_eq(deadletter_cause_name((enum deadletter_cause)0), "unknown");
    ck_assert(!deadletter_cause_parse("Poison", &cause));
}
END_TEST

START_TEST(deadletter_times_are_read)
{
    const int64_t now_us = INT64_C(1700000000) * 1000000;
    static const struct {
        const char *text;
        int64_t seconds; /* -1: malformed */
    } cases[] = {
        {"0s", 1700000000},
        {"90s", 1700000000 - 90},
        {"15m", 1700000000 - 900},
        {"2h", 1700000000 - 7200},
        {"7d", 1700000000 - 7 * 86400},
        {"1970-01-01", 0},
        {"1970-01-01T00:00:00Z", 0},
        {"2000-02-29T12:00:00Z", 951825600},
        {"2026-11-22T01:02:03Z", 1795309323},
        {"2026-11-22 01:02:03+01:00", 1795309323 - 3600},
        {"2026-11-22t01:02:03-00:30", 1795309323 + 1800},
        {"9999-12-31T23:59:60Z", 253402300800},
        {"", -1},
        {"2", -1},
        {"2w", -1},
        {"2hh", -1},
        {"-2h", -1},
        {"99999999999999999999s", -1},
        {"999999999999999999d", -1},
        {"2026-13-01", -1},
        {"2026-02-29", -1},
        {"1900-02-28", -1},
        {"2026-2-3", -1},
        {"2026-11-22T", -1},
        {"2026-11-22T24:00:00Z", -1},
        {"2026-11-22T01:02:03", -1},
        {"2026-11-22T01:02:03.Z", -1},
        {"2026-11-22T01:02:03Zx", -1},
        {"2026-11-22T01:02:03+0100", -1},
        {"yesterday", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t us = -7;
        bool good = deadletter_time_parse(cases[i].text, now_us, &us);
        ck_assert_msg(good == (cases[i].seconds >= 0), "%s", cases[i].text);
        ck_assert_msg(us == (good ? cases[i].seconds * 1000000 : -7), "%s: %" PRId64, cases[i].text,
                      us);
    }
    int64_t us = 0;
    ck_assert(deadletter_time_parse("1970-01-01T00:00:01.25Z", 0, &us));
    ck_assert_int_eq(us, 1250000);
    ck_assert(deadletter_time_parse("1970-01-01T00:00:00.1234567Z", 0, &us));
    ck_assert_int_eq(us, 123456);
}
END_TEST

START_TEST(deadletter_selectors_say_how_they_are_written)
{
    struct deadletter_filter filter = {0};
    static const char *const good[][2] = {
        {"pipeline", "orders"}, {"target", "bus"}, {"table", "public.orders"},
        {"key", "{\"id\":7}"},  {"since", "2h"},   {"error", "HTTP_4"},
        {"cause", "parked"},    {"after", "12"},
    };
    for (size_t i = 0; i < 8; i++) {
        ck_assert_str_eq(good[i][0], deadletter_selectors[i]);
        CHECK_OK(deadletter_select(&filter, good[i][0], good[i][1], 1000000000000, &error));
    }
    ck_assert_ptr_null(deadletter_selectors[8]);
    ck_assert_str_eq(filter.pipeline, "orders");
    ck_assert_str_eq(filter.target, "bus");
    ck_assert_str_eq(filter.table, "public.orders");
    ck_assert_str_eq(filter.key, "{\"id\":7}");
    ck_assert_int_eq(filter.since_us, 1000000000000 - INT64_C(7200000000));
    ck_assert_str_eq(filter.error, "HTTP_4");
    ck_assert_int_eq(filter.cause, LETTER_PARKED);
    ck_assert_int_eq(filter.after_number, 12);
    static const char *const bad[][2] = {
        {"pipeline", ""},
        {"table", "orders"},
        {"table", ".orders"},
        {"table", "public."},
        {"key", "7"},
        {"key", "{"},
        {"since", "soon"},
        {"error", ""},
        {"cause", "dead"},
        {"after", "0"},
        {"after", "-1"},
        {"after", "1x"},
        {"target", "a name of more than sixty-three bytes cannot be one of this conf"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        error = (struct fan_error){0};
        ck_assert_msg(deadletter_select(&filter, bad[i][0], bad[i][1], 1000000, &error) ==
                          FAN_POISON,
                      "%s=%s", bad[i][0], bad[i][1]);
        ck_assert_str_eq(error.code, "BAD_SELECTOR");
        ck_assert_str_ne(error.hint, "");
    }
    ck_assert_int_eq(deadletter_select(&filter, "colour", "red", 1, &error), FAN_POISON);
}
END_TEST

static void add_tests(TCase *tests)
{
    tcase_add_test(tests, deadletter_every_field_comes_back_after_reopening);
    tcase_add_test(tests, deadletter_without_label_payload_or_times_is_kept_too);
    tcase_add_test(tests, deadletter_added_again_counts_its_attempts_and_nothing_else);
    tcase_add_test(tests, deadletter_same_position_of_another_target_is_another_letter);
    tcase_add_test(tests, deadletter_long_error_is_cut_between_characters);
    tcase_add_test(tests, deadletter_numbers_grow_and_are_never_used_again);
    tcase_add_test(tests, deadletter_list_goes_by_number_or_by_position);
    tcase_add_test(tests, deadletter_filters_select_exactly);
    tcase_add_test(tests, deadletter_scan_goes_through_slices_of_its_size);
    tcase_add_test(tests, deadletter_count_of_all_is_answered_from_the_sums);
    tcase_add_test(tests, deadletter_block_adds_nothing_of_what_does_not_fit);
    tcase_add_test(tests, deadletter_reject_makes_gap_rows_of_the_new);
    tcase_add_test(tests, deadletter_drop_oldest_makes_gap_rows_of_the_old);
    tcase_add_test(tests, deadletter_that_no_store_could_hold_is_a_gap_row_and_costs_no_other);
    tcase_add_test(tests, deadletter_run_of_gaps_grows_until_a_letter_or_time_lies_between);
    tcase_add_test(tests, deadletter_gap_rows_keep_away_from_those_of_the_engine);
    tcase_add_test(tests, deadletter_failed_again_counts_and_keeps_the_newest_error);
    tcase_add_test(tests, deadletter_purge_takes_what_is_selected_and_leaves_gap_rows);
    tcase_add_test(tests, deadletter_purged_is_no_longer_in_the_files);
    tcase_add_test(tests, deadletter_too_old_expires_in_order_and_within_the_limit);
    tcase_add_test(tests, deadletter_backlog_is_read_in_pieces_and_leaves_from_the_front);
    tcase_add_test(tests, deadletter_keys_are_those_of_poison_and_parked);
    tcase_add_test(tests, deadletter_removals_of_the_store_take_letters_and_sums);
    tcase_add_test(tests, deadletter_full_disk_changes_nothing_and_passes_later);
    tcase_add_loop_test(tests, deadletter_nothing_leaves_without_a_trace, 0, 6);
    tcase_add_loop_test(tests, deadletter_killed_while_adding_keeps_what_was_acknowledged, 0, 6);
    tcase_add_test(tests, deadletter_labels_are_taken_apart);
    tcase_add_test(tests, deadletter_causes_have_names);
    tcase_add_test(tests, deadletter_times_are_read);
    tcase_add_test(tests, deadletter_selectors_say_how_they_are_written);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "add-until-killed") == 0) {
        return child_main(argv[2]);
    }
    if (!scratch_open("deadletter")) {
        return EXIT_FAILURE;
    }
    log_set_level(LOG_ERROR);
    TCase *tests = tcase_create("deadletter");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    add_tests(tests);
    int status = suite_run("deadletter", tests);
    scratch_remove();
    return status;
}
