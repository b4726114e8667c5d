/*
 * encode_bench.c - the path from a pgoutput message to its event, and nothing else.
 *
 *     build/encode/encode_bench [EVENTS [ROUNDS [FORMAT]]]
 *
 * Makes a stream of insert, update and delete messages of a six-column table of about 100 bytes a
 * row, then checks and encodes all of them, ROUNDS times; prints the best round in ns per event.
 * The stream is the same in every run, so that the instruction count of
 * `valgrind --tool=callgrind --toggle-collect=run build/encode/encode_bench 20000 1` compares two
 * commits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "encode/encoder.h"
#include "model/change.h"
#include "model/relation.h"
#include "model/row.h"

enum { COLUMNS = 6, BATCH = 2000, TXN = 10, PAYLOAD_MAX = 512 };

struct column {
    const char *name;
    uint32_t type_oid;
};

static const struct column columns[COLUMNS] = {
    {"id", 20},      {"customer_id", 23},  {"status", 25},
    {"total", 1700}, {"created_at", 1184}, {"note", 25},
};

static _Noreturn void fail(const char *text)
{
    (void)fprintf(stderr, "encode_bench: %s\n", text); /* nowhere else to say so */
    abort();
}

static struct relation *relation_make(void)
{
    struct relation *relation = NULL;
    struct fan_error error;
    if (relation_create(16384, "public", "orders", REPLICA_IDENTITY_DEFAULT, COLUMNS, &relation,
                        &error) != FAN_OK) {
        fail(error.text);
    }
    for (size_t i = 0; i < COLUMNS; i++) {
        struct relation_column *column = &relation->columns[i];
        memcpy(column->name, columns[i].name, strlen(columns[i].name) + 1);
        column->type_oid = columns[i].type_oid;
        column->type = type_builtin(columns[i].type_oid);
        column->in_identity = i == 0;
        column->in_primary_key = i == 0;
    }
    if (relation_finish(relation, &error) != FAN_OK) {
        fail(error.text);
    }
    return relation;
}

static uint8_t *put_value(uint8_t *at, const char *text)
{
    size_t size = strlen(text);
    *at++ = 't';
    *at++ = 0;
    *at++ = 0;
    *at++ = 0;
    *at++ = (uint8_t)size;
    for (size_t i = 0; i < size; i++) {
        *at++ = (uint8_t)text[i];
    }
    return at;
}

static uint8_t *put_row(uint8_t *at, struct rng *rng, uint64_t id)
{
    static const char *const statuses[] = {"draft", "paid", "shipped", "returned"};
    char text[64];
    *at++ = 0;
    *at++ = COLUMNS;
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)(1000000 + id)); /* fits */
    at = put_value(at, text);
    (void)snprintf(text, sizeof(text), "%u", (unsigned)rng_below(rng, 100000)); /* fits */
    at = put_value(at, text);
    at = put_value(at, statuses[rng_below(rng, 4)]);
    (void)snprintf(text, sizeof(text), "%u.%02u", (unsigned)rng_below(rng, 1000),
                   (unsigned)rng_below(rng, 100)); /* fits */
    at = put_value(at, text);
    (void)snprintf(text, sizeof(text), "2026-11-22 01:02:%02u.%06u+00",
                   (unsigned)rng_below(rng, 60), (unsigned)rng_below(rng, 1000000)); /* fits */
    at = put_value(at, text);
    return put_value(at, rng_below(rng, 10) == 0 ? "leave it at the \"back\" door, s\xc3\xbc"
                                                   "d"
                                                 : "please ring twice and wait a while");
}

static uint8_t *put_key(uint8_t *at, uint64_t id)
{
    char text[32];
    *at++ = 0;
    *at++ = COLUMNS;
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)(1000000 + id)); /* fits */
    at = put_value(at, text);
    memset(at, 'n', COLUMNS - 1);
    return at + COLUMNS - 1;
}

/* Of ten changes six are inserts, three updates and one a delete. */
static struct change change_make(const struct relation *relation, struct rng *rng, uint64_t index)
{
    uint8_t *buffer = calloc(1, PAYLOAD_MAX);
    if (buffer == NULL) {
        fail("out of memory");
    }
    uint64_t kind = index % 10;
    struct change change = {
        .relation = relation,
        .position = {{0x100000000u + index / TXN * 4096}, (int64_t)(index % TXN)},
        .commit_time_us = 1795309323000000 + (int64_t)(index / TXN) * 137,
        .xid = (uint32_t)(700 + index / TXN),
        .op = kind < 6   ? CHANGE_INSERT
              : kind < 9 ? CHANGE_UPDATE
                         : CHANGE_DELETE,
    };
    uint8_t *payload = buffer + MESSAGE_HEADER_SIZE;
    uint8_t *at = payload;
    static const uint8_t insert[] = {'I', 0, 0, 0x40, 0, 'N'};
    memcpy(at, insert, sizeof(insert));
    at += sizeof(insert);
    if (change.op == CHANGE_DELETE) {
        change.old_offset = (uint32_t)(at - payload);
        change.old_row = OLD_ROW_KEY;
        at = put_key(at, index);
    } else {
        change.new_offset = (uint32_t)(at - payload);
        at = put_row(at, rng, index);
    }
    change.message = message_adopt(buffer, (size_t)(at - buffer));
    return change;
}

/* Checks and encodes the whole stream in batches. Returns the bytes of output. */
static __attribute__((noinline)) size_t run(const struct change *changes, size_t count,
                                            struct encoder *encoder, struct bytes *out)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        const struct change *change = &changes[i];
        struct wire wire;
        wire_init(&wire, message_payload(change->message), message_payload_size(change->message));
        wire.offset = change->op == CHANGE_DELETE ? change->old_offset : change->new_offset;
        struct fan_error error;
        if (!row_check(&wire, COLUMNS) ||
            encoder->type->encode(encoder, change, out, &error) != FAN_OK) {
            fail("a change was refused");
        }
        bytes_append_char(out, '\n');
        if (i % BATCH == BATCH - 1) {
            total += out->size;
            bytes_clear(out);
        }
    }
    total += out->size;
    bytes_clear(out);
    return total;
}

/* Of `avro`: a registry that knows every schema. */
static enum fan_status find(struct schema_ids *ids, const char *subject, const char *schema,
                            size_t schema_size, uint32_t *ret_id, struct fan_error *reterr)
{
    (void)ids;
    (void)subject;
    (void)schema;
    (void)schema_size;
    (void)reterr;
    *ret_id = 1;
    return FAN_OK;
}

int main(int argc, char **argv)
{
    static struct schema_ids ids = {.find = find};
    size_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000;
    size_t rounds = argc > 2 ? strtoull(argv[2], NULL, 10) : 7;
    struct relation *relation = relation_make();
    struct change *changes = calloc(count == 0 ? 1 : count, sizeof(*changes));
    const struct encode_settings settings = {.type =
                                                 encoder_type_find(argc > 3 ? argv[3] : "native"),
                                             .octets = true,
                                             .avro = {.ids = &ids}};
    const struct encode_context context = {
        .source = "shop", .system_id = "7312345678901234567", .slot = "pgfan_shop"};
    struct encoder *encoder = NULL;
    struct fan_error error;
    if (settings.type == NULL) {
        fail("there is no such format");
    }
    if (changes == NULL || settings.type->create(&settings, &context, &encoder, &error) != FAN_OK) {
        fail("out of memory");
    }
    struct rng rng = rng_seeded(1);
    for (size_t i = 0; i < count; i++) {
        changes[i] = change_make(relation, &rng, i);
    }
    struct bytes out;
    bytes_init(&out, UINT32_MAX);
    int64_t best_us = INT64_MAX;
    size_t bytes = 0;
    for (size_t round = 0; round < rounds; round++) {
        int64_t start_us = clock_monotonic_us();
        bytes = run(changes, count, encoder, &out);
        int64_t took_us = clock_monotonic_us() - start_us;
        best_us = took_us < best_us ? took_us : best_us;
    }
    double events = count == 0 ? 1.0 : (double)count;
    printf("{\"events\":%zu,\"bytes_per_event\":%.1f,\"ns_per_event\":%.1f}\n", count,
           (double)bytes / events, (double)best_us * 1000.0 / events);
    for (size_t i = 0; i < count; i++) {
        change_release(&changes[i]);
    }
    free(changes);
    bytes_release(&out);
    encoder->type->destroy(encoder);
    relation_destroy(relation);
    return EXIT_SUCCESS;
}
