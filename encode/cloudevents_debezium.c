/*
 * cloudevents_debezium.c - a change as Debezium's CloudEvents converter for PostgreSQL spells it.
 *
 * The names break the rule for attributes (`iodebeziumtxId` has a capital) and unset attributes are
 * null, because its consumers know them so. `lsn` is the commit LSN, and `sequence`, which together with
 * it makes the id of an event its own, is the commit LSN and the ordinal in the transaction: pgfan's
 * position. docs/cloudevents.md names what else differs. Nothing is kept from event to event here.
 */
#include <inttypes.h>

#include "encode/cloudevents_internal.h"
#include "encode/content.h"
#include "encode/json.h"
#include "encode/row_object.h"

#define DEBEZIUM_TYPE "io.debezium.connector.postgresql.DataChangeEvent"

static void write_member(struct bytes *out, const char *name, const char *text, size_t size)
{
    bytes_append_format(out, ",\"%s\":", name);
    json_write_string(out, text, size);
}

/* Numbers of 64 bits are strings, because an Integer of CloudEvents has 32. */
static void write_number(struct bytes *out, const char *name, bool present, int64_t number)
{
    if (present) {
        bytes_append_format(out, ",\"%s\":\"%" PRId64 "\"", name, number);
    } else {
        bytes_append_format(out, ",\"%s\":null", name);
    }
}

/* ["<commit LSN>","<seq>"], as the inside of a JSON string. */
static void write_sequence(struct bytes *out, const struct change *change)
{
    bytes_append_format(out, "[\\\"%" PRIu64 "\\\",", change->position.commit_lsn.value);
    if (change->position.seq < 0) {
        BYTES_APPEND_LITERAL(out, "null]");
    } else {
        bytes_append_format(out, "\\\"%" PRId64 "\\\"]", change->position.seq);
    }
}

static void write_id(struct bytes *out, const struct encode_context *context,
                     const struct change *change)
{
    BYTES_APPEND_LITERAL(out, "{\"id\":\"name:");
    json_write_escaped(out, context->source, strlen(context->source));
    bytes_append_format(out, ";lsn:%" PRIu64 ";txId:", change->position.commit_lsn.value);
    if (change->xid == 0) {
        BYTES_APPEND_LITERAL(out, "null");
    } else {
        bytes_append_format(out, "%" PRIu32, change->xid);
    }
    BYTES_APPEND_LITERAL(out, ";sequence:");
    write_sequence(out, change);
    bytes_append_char(out, '"');
}

/* Milliseconds, where pgfan's own form has microseconds. */
static void write_time(struct bytes *out, struct time_text *clock, int64_t time_us)
{
    enum { MICROS_END = 4 }; /* "789Z" */
    if (time_us != 0) {
        time_text_set(clock, time_us);
    }
    if (time_us == 0 || clock->size != TIME_TEXT_SIZE) {
        BYTES_APPEND_LITERAL(out, ",\"time\":null");
        return;
    }
    BYTES_APPEND_LITERAL(out, ",\"time\":\"");
    bytes_append(out, clock->text, TIME_TEXT_SIZE - MICROS_END);
    BYTES_APPEND_LITERAL(out, "Z\"");
}

static void write_head(struct bytes *out, const struct encode_context *context,
                       struct time_text *clock, const struct change *change)
{
    write_id(out, context, change);
    BYTES_APPEND_LITERAL(out, ",\"source\":\"/debezium/postgresql/");
    json_write_escaped(out, context->source, strlen(context->source));
    BYTES_APPEND_LITERAL(out, "\",\"specversion\":\"1.0\",\"type\":\"" DEBEZIUM_TYPE "\"");
    write_time(out, clock, change->commit_time_us);
    BYTES_APPEND_LITERAL(out, ",\"datacontenttype\":\"" CLOUDEVENTS_DATA_TYPE "\"");
}

/* The fields of Debezium's source block, in its order. */
static void write_extensions(struct bytes *out, const struct encode_context *context,
                             const struct change *change)
{
    const int64_t time_us = change->commit_time_us;
    const bool timed = time_us != 0;
    const bool nanoseconds = timed && time_us < INT64_MAX / 1000 && time_us > INT64_MIN / 1000;
    const struct relation *relation = change->relation;
    const char *schema = relation != NULL ? relation->schema : "";
    const char *table = relation != NULL ? relation->name : "";
    bytes_append_format(out, ",\"iodebeziumop\":\"%c\",\"iodebeziumversion\":\"pgfan\"",
                        change->op);
    BYTES_APPEND_LITERAL(out, ",\"iodebeziumconnector\":\"postgresql\"");
    write_member(out, "iodebeziumname", context->source, strlen(context->source));
    write_number(out, "iodebeziumtsms", timed, time_us / 1000);
    bytes_append_format(out, ",\"iodebeziumsnapshot\":\"%s\",\"iodebeziumdb\":null",
                        change->op == 'r' ? "true" : "false");
    BYTES_APPEND_LITERAL(out, ",\"iodebeziumsequence\":\"");
    write_sequence(out, change);
    bytes_append_char(out, '"');
    write_number(out, "iodebeziumtsus", timed, time_us);
    write_number(out, "iodebeziumtsns", nanoseconds, nanoseconds ? time_us * 1000 : 0);
    write_member(out, "iodebeziumschema", schema, strlen(schema));
    write_member(out, "iodebeziumtable", table, strlen(table));
    write_number(out, "iodebeziumtxId", change->xid != 0, change->xid);
    write_number(out, "iodebeziumlsn", true, (int64_t)change->position.commit_lsn.value);
    BYTES_APPEND_LITERAL(out, ",\"iodebeziumxmin\":null");
    if (change->origin != NULL) {
        write_member(out, "iodebeziumorigin", change->origin, strlen(change->origin));
    } else {
        BYTES_APPEND_LITERAL(out, ",\"iodebeziumorigin\":null");
    }
    write_number(out, "iodebeziumoriginlsn", change->origin != NULL,
                 (int64_t)change->origin_lsn.value);
    BYTES_APPEND_LITERAL(out, ",\"iodebeziumtxid\":null,"
                              "\"iodebeziumtxtotalorder\":null,"
                              "\"iodebeziumtxdatacollectionorder\":null");
}

static void write_rows(struct value_writer *values, const struct change *change, struct bytes *out)
{
    BYTES_APPEND_LITERAL(out, "\"before\":");
    if (change->old_offset != 0) {
        (void)row_object_write(values, row_pair_old(change),
                               change->old_row == OLD_ROW_FULL ? COLUMNS_ALL : COLUMNS_IDENTITY,
                               out);
    } else {
        BYTES_APPEND_LITERAL(out, "null");
    }
    BYTES_APPEND_LITERAL(out, ",\"after\":");
    if (change->new_offset == 0) {
        BYTES_APPEND_LITERAL(out, "null");
    } else if (row_object_write(values, row_pair_new(change), COLUMNS_ALL, out)) {
        row_object_unchanged(row_pair_new(change), out);
    }
}

static bool write_message(const struct change *change, struct bytes *out)
{
    struct content_message message;
    if (!content_message_read(change, &message)) {
        return false;
    }
    BYTES_APPEND_LITERAL(out, "\"before\":null,\"after\":null,\"message\":{\"prefix\":");
    json_write_string(out, message.prefix, strlen(message.prefix));
    BYTES_APPEND_LITERAL(out, ",\"content\":");
    json_write_base64(out, message.bytes, message.size);
    bytes_append_char(out, '}');
    return true;
}

enum fan_status cloudevents_debezium_write(const struct encode_context *context,
                                           struct value_writer *values, struct time_text *clock,
                                           const struct change *change, struct bytes *out,
                                           struct fan_error *reterr)
{
    write_head(out, context, clock, change);
    write_extensions(out, context, change);
    BYTES_APPEND_LITERAL(out, ",\"data\":{");
    if (change->op != CHANGE_MESSAGE) {
        write_rows(values, change, out); /* of a truncate neither */
    } else if (!write_message(change, out)) {
        return fan_fail(reterr, FAN_POISON,
                        "cannot encode a logical message: its bytes end too early");
    }
    BYTES_APPEND_LITERAL(out, "}}");
    return FAN_OK;
}
