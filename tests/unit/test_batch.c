/*
 * Property: a batch keeps its events and bytes together through growth, split and reuse, and every
 *           batch comes back to its pool.
 * Oracle:   texts made from the event's number; threads under the sanitizers.
 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/batch.h"
#include "tests/unit/suite.h"

enum { FORMATS = 3 };

/* Appends event `number`: its text in format f is the number, f + 1 times. */
static void put_event(struct batch *batch, unsigned number)
{
    ck_assert(batch_reserve_event(batch));
    batch->events[batch->events_count] = (struct batch_event){.position = {{number}, 0}, .op = 'c'};
    for (size_t i = 0; i < batch->formats_count; i++) {
        struct encoded *encoded = &batch->encoded[i];
        for (size_t copy = 0; copy <= i; copy++) {
            bytes_append_format(&encoded->bytes, "%u", number);
        }
        encoded->ends[batch->events_count] = (uint32_t)encoded->bytes.size;
        bytes_append_char(&encoded->bytes, '\n');
    }
    batch->events_count++;
}

static void assert_events(const struct batch *batch, unsigned first, size_t count)
{
    ck_assert_uint_eq(batch->events_count, count);
    for (size_t format = 0; format < batch->formats_count; format++) {
        const struct encoded *encoded = &batch->encoded[format];
        size_t start = 0;
        for (size_t i = 0; i < count; i++) {
            unsigned number = first + (unsigned)i;
            ck_assert_uint_eq(batch->events[i].position.commit_lsn.value, number);
            char expected[64];
            int size = 0;
            for (size_t copy = 0; copy <= format; copy++) {
                size += snprintf(expected + size, sizeof(expected) - (size_t)size, "%u", number);
            }
            ck_assert_uint_eq(encoded->ends[i] - start, size);
            ck_assert_mem_eq(encoded->bytes.data + start, expected, (size_t)size);
            ck_assert_int_eq(encoded->bytes.data[encoded->ends[i]], '\n');
            start = (size_t)encoded->ends[i] + 1;
        }
        ck_assert_uint_eq(encoded->bytes.size, start);
    }
}

START_TEST(batch_every_split_keeps_all_events)
{
    struct batch_pool *pool = batch_pool_create(FORMATS, false, 2, 1 << 20);
    for (size_t first = 0; first <= 100; first++) {
        struct batch *batch = batch_pool_take(pool);
        struct batch *rest = batch_pool_take(pool);
        for (unsigned i = 0; i < 100; i++) {
            put_event(batch, 995 + i);
        }
        ck_assert_int_eq(batch_split(batch, first, rest), FAN_OK);
        assert_events(batch, 995, first);
        assert_events(rest, 995 + (unsigned)first, 100 - first);
        size_t size;
        const uint8_t *bytes = batch_bytes(rest, 0, 0, &size);
        ck_assert_uint_eq(size, rest->encoded[0].bytes.size);
        ck_assert(bytes == rest->encoded[0].bytes.data);
        put_event(batch, 995 + (unsigned)first);
        assert_events(batch, 995, first + 1);
        batch_unref(batch);
        batch_unref(rest);
    }
    batch_pool_destroy(pool);
}
END_TEST

START_TEST(batch_refusals_stay_with_their_events)
{
    static const struct fan_error why = {.text = "refused"};
    struct batch_pool *pool = batch_pool_create(FORMATS, false, 2, 1 << 20);
    struct batch *batch = batch_pool_take(pool);
    struct batch *rest = batch_pool_take(pool);
    for (unsigned i = 0; i < 10; i++) {
        put_event(batch, 100 + i);
        if (i % 3 == 0) {
            ck_assert(batch_refuse(batch, i, i == 3 ? 2 : 1, &why)); /* 0, 3, 6 and 9 */
        }
    }
    batch_refusals_cut(batch, 9); /* the last event is not added after all */
    ck_assert_int_eq(batch_split(batch, 2, rest), FAN_OK);
    ck_assert_ptr_nonnull(batch_refusal(batch, 0, 1));
    ck_assert_uint_eq(batch->refusals_count, 1);
    ck_assert_ptr_nonnull(batch_refusal(rest, 1, 2));
    ck_assert_ptr_null(batch_refusal(rest, 1, 1));
    ck_assert_str_eq(batch_refusal(rest, 4, 1)->text, "refused");
    ck_assert_uint_eq(rest->refusals_count, 2);
    ck_assert_uint_eq(rest->refusal_errors_count, 1); /* equal ones are kept once */
    struct batch *slice = batch_slice(rest, 2, 1, 3);
    ck_assert_uint_eq(slice->events_count, 2);
    ck_assert_uint_eq(slice->refusals_count, 0);
    ck_assert_uint_eq(slice->events[0].position.commit_lsn.value, 103);
    size_t size;
    ck_assert_mem_eq(batch_event_bytes(slice, 2, 1, &size), "104104104", 9);
    ck_assert_uint_eq(size, 9);
    batch_unref(slice);
    batch_unref(rest);
    batch_unref(batch);
    batch = batch_pool_take(pool);
    ck_assert_uint_eq(batch->refusals_count, 0);
    batch_unref(batch);
    batch_pool_destroy(pool);
}
END_TEST

START_TEST(batch_comes_back_empty_and_keeps_its_buffers)
{
    struct batch_pool *pool = batch_pool_create(FORMATS, false, 1, 1 << 20);
    struct batch *batch = batch_pool_take(pool);
    put_event(batch, 1);
    batch->sequence = 9;
    batch->part = TXN_LAST;
    batch->limit = BATCH_LIMIT_BYTES;
    ck_assert_ptr_eq(batch_ref(batch), batch);
    batch_unref(batch);
    assert_events(batch, 1, 1);
    const uint8_t *data = batch->encoded[0].bytes.data;
    batch_unref(batch);
    struct batch *again = batch_pool_take(pool);
    ck_assert_ptr_eq(again, batch);
    ck_assert(again->encoded[0].bytes.data == data);
    assert_events(again, 1, 0);
    ck_assert_uint_eq(again->sequence, 0);
    ck_assert_int_eq(again->part, TXN_WHOLE);
    ck_assert_int_eq(again->limit, BATCH_LIMIT_IDLE);
    batch_unref(again);
    batch_unref(NULL);
    batch_pool_destroy(pool);
    batch_pool_destroy(NULL);
}
END_TEST

START_TEST(batch_buffers_over_the_spare_size_are_freed)
{
    struct batch_pool *pool = batch_pool_create(FORMATS, false, 1, 4096);
    struct batch *batch = batch_pool_take(pool);
    for (unsigned i = 0; i < 2000; i++) {
        put_event(batch, i);
    }
    assert_events(batch, 0, 2000);
    batch_unref(batch);
    batch = batch_pool_take(pool);
    ck_assert_uint_eq(batch->events_capacity, 0);
    for (size_t i = 0; i < FORMATS; i++) {
        ck_assert_uint_eq(batch->encoded[i].bytes.capacity, 0);
        ck_assert_ptr_null(batch->encoded[i].ends);
    }
    put_event(batch, 5);
    assert_events(batch, 5, 1);
    batch_unref(batch);
    batch_pool_destroy(pool);
}
END_TEST

enum { HOLDERS = 4 };

static void *unref_thread(void *argument)
{
    batch_unref(argument);
    return NULL;
}

START_TEST(batch_last_of_many_holders_gives_it_back)
{
    struct batch_pool *pool = batch_pool_create(1, false, 1, 1 << 20);
    for (int round = 0; round < 200; round++) {
        struct batch *batch = batch_pool_take(pool);
        put_event(batch, 1);
        pthread_t threads[HOLDERS];
        for (size_t i = 0; i < HOLDERS; i++) {
            ck_assert_int_eq(pthread_create(&threads[i], NULL, unref_thread, batch_ref(batch)), 0);
        }
        batch_unref(batch);
        for (size_t i = 0; i < HOLDERS; i++) {
            ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        }
    }
    batch_pool_destroy(pool);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("batch");
    tcase_add_test(tcase, batch_every_split_keeps_all_events);
    tcase_add_test(tcase, batch_refusals_stay_with_their_events);
    tcase_add_test(tcase, batch_comes_back_empty_and_keeps_its_buffers);
    tcase_add_test(tcase, batch_buffers_over_the_spare_size_are_freed);
    tcase_add_test(tcase, batch_last_of_many_holders_gives_it_back);
    return suite_run("batch", tcase);
}
