/*
 * Where a batch ends. Oracle: assembler.h and design.md section 4: whole transactions, unless one
 * is over max_bytes; then parts that hold nothing else.
 */
#include <check.h>
#include <string.h>

#include "engine/assembler.h"
#include "tests/unit/engine_fixture.h"
#include "tests/unit/suite.h"

enum { EVENT_BYTES = 100 }; /* with its separator */

static struct encoder encoder;
static bool marks_fail; /* after they have written something */

static enum fan_status encoder_create(const struct encode_settings *settings,
                                      const struct encode_context *context,
                                      struct encoder **ret_encoder, struct fan_error *reterr)
{
    (void)settings; /* every event gets the same bytes */
    (void)context;
    (void)reterr;
    encoder.type = settings->type;
    *ret_encoder = &encoder;
    return FAN_OK;
}

static enum fan_status encode(struct encoder *self, const struct change *change, struct bytes *out,
                              struct fan_error *reterr)
{
    (void)self; /* it has no state */
    (void)change;
    (void)reterr;
    for (int left = EVENT_BYTES - 1; left > 0; left--) {
        bytes_append_char(out, 'x');
    }
    return FAN_OK;
}

static enum fan_status encoder_mark(struct encoder *self, enum txn_mark mark,
                                    const struct change *change, struct bytes *out,
                                    struct fan_error *reterr)
{
    (void)self; /* it has no state */
    bytes_append_format(out, "%c%u", mark == TXN_MARK_BEGIN ? 'b' : 'c',
                        (unsigned)change->position.commit_lsn.value);
    return marks_fail ? fan_fail(reterr, FAN_RETRY, "no memory") : FAN_OK;
}

static void encoder_destroy(struct encoder *self)
{
    (void)self; /* static */
}

static const struct encoder_type encoder_type = {.name = "test",
                                                 .create = encoder_create,
                                                 .encode = encode,
                                                 .mark = encoder_mark,
                                                 .destroy = encoder_destroy};
static struct assembler assembler;

static void open_assembler(size_t max_events, size_t max_bytes, bool respect)
{
    static const struct encode_context context = {.source = "s", .system_id = "7", .slot = "s"};
    struct encode_settings format = {.type = &encoder_type};
    struct assembler_limits limits = {max_events, max_bytes, 50000, respect};
    struct fan_error error;
    ck_assert_int_eq(assembler_init(&assembler, limits, &format, 1, false, &context, &error),
                     FAN_OK);
}

static void add(uint64_t commit, int64_t seq, bool txn_end)
{
    struct change change = fixture_change(commit, seq);
    change.txn_end = txn_end;
    struct fan_error error;
    ck_assert_int_eq(assembler_add(&assembler, &change, 1, &error), FAN_OK);
}

static void expect_cut(enum cut_reason reason, size_t events, enum txn_part part)
{
    struct batch *batch = assembler_cut(&assembler, reason, 1);
    ck_assert_ptr_nonnull(batch);
    ck_assert_uint_eq(batch->events_count, events);
    ck_assert_int_eq(batch->part, part);
    batch_unref(batch);
}

static void teardown(void)
{
    assembler_release(&assembler);
}

START_TEST(assembler_max_events_yields_to_a_whole_transaction)
{
    open_assembler(2, 10000, true);
    add(10, 0, false);
    add(10, 1, false);
    ck_assert(!assembler_full(&assembler));
    add(10, 2, true);
    ck_assert(assembler_full(&assembler));
    expect_cut(CUT_IF_FULL, 3, TXN_WHOLE);
}
END_TEST

START_TEST(assembler_without_respect_cuts_at_max_events)
{
    open_assembler(2, 10000, false);
    add(10, 0, false);
    add(10, 1, false);
    expect_cut(CUT_IF_FULL, 2, TXN_WHOLE);
}
END_TEST

START_TEST(assembler_large_transaction_is_cut_into_marked_parts)
{
    open_assembler(100, 2 * EVENT_BYTES, true);
    for (int64_t seq = 0; seq < 3; seq++) {
        add(10, seq, false);
    }
    expect_cut(CUT_IF_FULL, 2, TXN_FIRST);
    add(10, 3, false);
    add(10, 4, false);
    expect_cut(CUT_IF_FULL, 2, TXN_MIDDLE);
    ck_assert_int_eq(assembler_end_txn(&assembler, NULL), FAN_OK);
    expect_cut(CUT_IF_FULL, 1, TXN_LAST);
    ck_assert_uint_eq(assembler_open_events(&assembler), 0);
}
END_TEST

START_TEST(assembler_last_part_holds_nothing_of_the_next_transaction)
{
    open_assembler(100, 2 * EVENT_BYTES, true);
    for (int64_t seq = 0; seq < 3; seq++) {
        add(10, seq, false);
    }
    expect_cut(CUT_IF_FULL, 2, TXN_FIRST);
    add(20, 0, true); /* only this tells that the transaction before is over */
    expect_cut(CUT_IF_FULL, 1, TXN_LAST);
    expect_cut(CUT_NOW, 1, TXN_WHOLE);
}
END_TEST

START_TEST(assembler_over_max_bytes_gives_earlier_transactions_first)
{
    open_assembler(100, 2 * EVENT_BYTES, true);
    add(10, 0, true);
    add(20, 0, false);
    add(20, 1, false);
    expect_cut(CUT_IF_FULL, 1, TXN_WHOLE);
    ck_assert_uint_eq(assembler_open_events(&assembler), 2);
}
END_TEST

START_TEST(assembler_open_transaction_is_not_cut_by_idleness)
{
    open_assembler(100, 10000, true);
    add(10, 0, false);
    ck_assert_ptr_null(assembler_cut(&assembler, CUT_NOW, 1));
    ck_assert_int_eq(assembler_end_txn(&assembler, NULL), FAN_OK);
    expect_cut(CUT_NOW, 1, TXN_WHOLE);
}
END_TEST

/* The change that was last taken did not know that its commit was next. */
START_TEST(assembler_another_commit_ends_the_transaction_before)
{
    open_assembler(100, 10000, true);
    add(10, 0, false);
    add(20, 0, false);
    expect_cut(CUT_NOW, 1, TXN_WHOLE);
}
END_TEST

/* The lines of event `index` but for the event's own, joined by a space. */
static void expect_marks(const struct batch *batch, size_t index, const char *expected)
{
    char text[64] = "";
    size_t size;
    const char *bytes = (const char *)batch_event_bytes(batch, 0, index, &size);
    for (const char *at = bytes; at < bytes + size;) {
        const char *end = memchr(at, '\n', (size_t)(bytes + size - at));
        end = end == NULL ? bytes + size : end;
        (void)strncat(text, *at == 'x' ? "x" : at, *at == 'x' ? 1 : (size_t)(end - at));
        at = end + 1;
    }
    ck_assert_str_eq(text, expected);
}

START_TEST(assembler_marks_stand_around_each_transaction)
{
    open_assembler(100, 6 * EVENT_BYTES, true);
    assembler.formats[0].transactions = true;
    assembler_resume(&assembler, (struct fan_lsn){5});
    add(5, 7, true); /* the rest of one that was begun before stands alone */
    struct batch *batch = assembler_cut(&assembler, CUT_IF_FULL, 0);
    ck_assert_ptr_nonnull(batch);
    ck_assert_int_eq(batch->part, TXN_LAST);
    expect_marks(batch, 0, "xc5");
    batch_unref(batch);
    add(10, 0, false);
    add(10, 1, false); /* the next one tells that it was the last */
    add(20, -1, true); /* a message on its own */
    add(20, 0, true);
    batch = assembler_cut(&assembler, CUT_NOW, 0);
    ck_assert_ptr_nonnull(batch);
    ck_assert_uint_eq(batch->events_count, 4);
    static const char *const marks[] = {"b10x", "xc10", "x", "b20xc20"};
    for (size_t index = 0; index < 4; index++) {
        expect_marks(batch, index, marks[index]);
    }
    batch_unref(batch);
    for (int64_t seq = 0; seq < 9; seq++) {
        add(30, seq, false);
        batch = assembler_cut(&assembler, CUT_IF_FULL, 0);
        if (batch != NULL) {
            ck_assert_int_eq(batch->part, TXN_FIRST);
            expect_marks(batch, 0, "b30x");
            expect_marks(batch, batch->events_count - 1, "x");
            batch_unref(batch);
        }
    }
    ck_assert_int_eq(assembler_end_txn(&assembler, NULL), FAN_OK);
    batch = assembler_cut(&assembler, CUT_NOW, 0);
    ck_assert_int_eq(batch->part, TXN_LAST);
    expect_marks(batch, 0, "x");
    expect_marks(batch, batch->events_count - 1, "xc30");
    batch_unref(batch);
}
END_TEST

/* Event `index` has this directly before and behind itself. */
static void expect_around(const struct batch *batch, size_t index, const char *begin,
                          const char *end)
{
    size_t size;
    const char *bytes = (const char *)batch_event_bytes(batch, 0, index, &size);
    ck_assert_uint_eq(size, strlen(begin) + EVENT_BYTES - 1 + strlen(end));
    ck_assert_mem_eq(bytes, begin, strlen(begin));
    ck_assert_mem_eq(bytes + size - strlen(end), end, strlen(end));
}

START_TEST(assembler_marks_of_records_have_nothing_between)
{
    open_assembler(100, 100 * EVENT_BYTES, true);
    assembler.formats[0].transactions = true;
    assembler.formats[0].records = true;
    add(10, 0, false);
    add(10, 1, false); /* the next one tells that it was the last */
    add(20, 0, true);
    struct batch *batch = assembler_cut(&assembler, CUT_NOW, 0);
    ck_assert_ptr_nonnull(batch);
    ck_assert_uint_eq(batch->events_count, 3);
    expect_around(batch, 0, "b10", "");
    expect_around(batch, 1, "", "c10");
    expect_around(batch, 2, "b20", "c20");
    batch_unref(batch);
}
END_TEST

START_TEST(assembler_mark_that_fails_leaves_the_batch_as_before)
{
    struct fan_error error;
    open_assembler(100, 100 * EVENT_BYTES, true);
    assembler.formats[0].transactions = true;
    add(10, 0, false);
    marks_fail = true;
    ck_assert_int_eq(assembler_end_txn(&assembler, &error), FAN_RETRY);
    marks_fail = false;
    ck_assert_int_eq(assembler_end_txn(&assembler, &error), FAN_OK);
    struct batch *batch = assembler_cut(&assembler, CUT_NOW, 0);
    ck_assert_ptr_nonnull(batch);
    expect_marks(batch, 0, "b10xc10");
    batch_unref(batch);
}
END_TEST

START_TEST(assembler_due_only_after_max_us)
{
    open_assembler(100, 10000, true);
    ck_assert_int_eq(assembler_due_us(&assembler), INT64_MAX);
    add(10, 0, true);
    ck_assert_int_eq(assembler_due_us(&assembler), 50001);
    ck_assert_ptr_null(assembler_cut(&assembler, CUT_IF_DUE, 50000));
    struct batch *batch = assembler_cut(&assembler, CUT_IF_DUE, 50001);
    ck_assert_ptr_nonnull(batch);
    batch_unref(batch);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("assembler");
    tcase_add_checked_fixture(cases, NULL, teardown);
    tcase_add_test(cases, assembler_max_events_yields_to_a_whole_transaction);
    tcase_add_test(cases, assembler_without_respect_cuts_at_max_events);
    tcase_add_test(cases, assembler_large_transaction_is_cut_into_marked_parts);
    tcase_add_test(cases, assembler_last_part_holds_nothing_of_the_next_transaction);
    tcase_add_test(cases, assembler_over_max_bytes_gives_earlier_transactions_first);
    tcase_add_test(cases, assembler_open_transaction_is_not_cut_by_idleness);
    tcase_add_test(cases, assembler_another_commit_ends_the_transaction_before);
    tcase_add_test(cases, assembler_marks_stand_around_each_transaction);
    tcase_add_test(cases, assembler_marks_of_records_have_nothing_between);
    tcase_add_test(cases, assembler_mark_that_fails_leaves_the_batch_as_before);
    tcase_add_test(cases, assembler_due_only_after_max_us);
    return suite_run("assembler", cases);
}
