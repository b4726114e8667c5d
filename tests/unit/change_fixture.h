/*
 * change_fixture.h - relations and changes for the tests of envelopes: public.orders, and what
 * PostgreSQL would send of its rows.
 */
#ifndef TESTS_UNIT_CHANGE_FIXTURE_H
#define TESTS_UNIT_CHANGE_FIXTURE_H

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/utf8.h"
#include "base/wire.h"
#include "model/change.h"
#include "model/row.h"

struct column_spec {
    const char *name;
    uint32_t type_oid;
    bool identity;
    bool primary;
};

static inline struct relation *relation_make_named(const char *schema, const char *name,
                                                   enum replica_identity identity,
                                                   const struct column_spec *columns, size_t count)
{
    struct relation *relation = NULL;
    struct fan_error error;
    ck_assert_int_eq(relation_create(16384, schema, name, identity, count, &relation, &error),
                     FAN_OK);
    for (size_t i = 0; i < count; i++) {
        struct relation_column *column = &relation->columns[i];
        (void)snprintf(column->name, sizeof(column->name), "%s", columns[i].name);
        column->type_oid = columns[i].type_oid;
        column->type = type_builtin(columns[i].type_oid);
        column->in_identity = columns[i].identity || identity == REPLICA_IDENTITY_FULL;
        column->in_primary_key = columns[i].primary;
    }
    ck_assert_int_eq(relation_finish(relation, &error), FAN_OK);
    return relation;
}

static inline struct relation *relation_make(enum replica_identity identity,
                                             const struct column_spec *columns, size_t count)
{
    return relation_make_named("public", "orders", identity, columns, count);
}

static const struct column_spec shop_columns[] = {
    {"id", 23, true, true}, {"total", 1700, false, false}, {"doc", 25, false, false}};

static inline void put_u16(struct bytes *out, size_t number)
{
    bytes_append(out, (uint8_t[]){(uint8_t)(number >> 8), (uint8_t)number}, 2);
}

static inline void put_u32(struct bytes *out, size_t number)
{
    put_u16(out, number >> 16);
    put_u16(out, number & 0xffff);
}

/* A tuple from texts: NULL is null, "\1" unchanged, "\2..." binary. */
static inline uint32_t put_tuple(struct bytes *out, const char *const *values, size_t count)
{
    uint32_t offset = (uint32_t)out->size;
    put_u16(out, count);
    for (size_t i = 0; i < count; i++) {
        if (values[i] == NULL) {
            bytes_append_char(out, 'n');
        } else if (values[i][0] == '\1') {
            bytes_append_char(out, 'u');
        } else {
            bool binary = values[i][0] == '\2';
            bytes_append_char(out, binary ? 'b' : 't');
            put_u32(out, strlen(values[i] + binary));
            bytes_append_text(out, values[i] + binary);
        }
    }
    struct wire wire;
    wire_init(&wire, out->data + offset, out->size - offset);
    ck_assert(row_check(&wire, count));
    ck_assert_uint_eq(wire_remaining(&wire), 0);
    return offset;
}

static inline struct message *message_make(const struct bytes *payload)
{
    uint8_t *buffer = calloc(1, MESSAGE_HEADER_SIZE + payload->size);
    ck_assert_ptr_nonnull(buffer);
    memcpy(buffer + MESSAGE_HEADER_SIZE, payload->data, payload->size);
    return message_adopt(buffer, MESSAGE_HEADER_SIZE + payload->size);
}

static inline struct change change_make(enum change_op op, const struct relation *relation)
{
    return (struct change){.op = (uint8_t)op,
                           .relation = relation,
                           .position = {{0x1A2B3C4D}, 3},
                           .commit_time_us = 1795309323456789,
                           .xid = 731};
}

/* A change with these rows; NULL: no such row. */
static inline struct change row_change(enum change_op op, const struct relation *relation,
                                       enum old_row old_kind, const char *const *old,
                                       const char *const *row)
{
    struct change change = change_make(op, relation);
    struct bytes payload;
    bytes_init(&payload, 1 << 24);
    bytes_append_char(&payload, 'U');
    if (old != NULL) {
        change.old_offset = put_tuple(&payload, old, relation->columns_count);
        change.old_row = (uint8_t)old_kind;
    }
    if (row != NULL) {
        change.new_offset = put_tuple(&payload, row, relation->columns_count);
    }
    change.message = message_make(&payload);
    bytes_release(&payload);
    return change;
}

/* One object, one line, valid UTF-8. */
static inline void assert_valid(const struct bytes *out)
{
    json_error_t fault;
    json_t *json = json_loadb((const char *)out->data, out->size, JSON_ALLOW_NUL, &fault);
    ck_assert_msg(json != NULL && json_is_object(json), "%s: %.*s", fault.text, (int)out->size,
                  (const char *)out->data);
    json_decref(json);
    ck_assert_ptr_null(memchr(out->data, '\n', out->size));
    ck_assert(utf8_valid(out->data, out->size));
}

static inline struct change message_change(bool transactional, const void *content, size_t size)
{
    struct change change = change_make(CHANGE_MESSAGE, NULL);
    struct bytes payload;
    bytes_init(&payload, 1 << 20);
    bytes_append(&payload, (char[]){'M', (char)transactional}, 2);
    put_u32(&payload, 0);
    put_u32(&payload, 0x1A2B3C4D);
    bytes_append(&payload, "app", 4);
    put_u32(&payload, size);
    bytes_append(&payload, content, size);
    change.message = message_make(&payload);
    bytes_release(&payload);
    if (!transactional) {
        change.position.seq = SEQ_MESSAGE;
        change.commit_time_us = 0;
        change.xid = 0;
    }
    return change;
}

#endif
