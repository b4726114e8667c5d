/*
 * debezium.c - puts an event together: rows, the source block, and with settings.records the records
 * with their keys.
 *
 * What is the same for many events is kept as text, per table in debezium_table.h, and here per
 * transaction:
 *
 *     ,"source":{...,"sequence":"[\"439041101\",\"  LSN  \"]","ts_us":1,"ts_ns":1000
 *     `------------------- head -----------------'       `--------- middle -------'
 *     ,"schema":"public","table":"orders"  ,"txId":731,"lsn":  LSN  ,"xmin":null,...},"transaction":
 *     `------ place, of the table -------' `----- txid ----'        `-------- tail ----------------'
 *     null  ,"op":"c"  ,"ts_ms":1,"ts_us":1,"ts_ns":1000
 *                      `------------ times -------------'
 *
 * Nothing of an event depends on when or how often it is encoded: where Debezium writes its own clock,
 * the commit time stands.
 */
#include "encode/debezium.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/wire.h"
#include "encode/debezium_table.h"
#include "encode/debezium_value.h"
#include "encode/json.h"
#include "encode/record.h"
#include "encode/row_object.h"

enum {
    PIECE_MAX = 64 * 1024, /* of the texts made from the conf's and the server's names */
    NUMBERS_MAX = 512,     /* room for what is between the kept texts of an event */
    BUFFER_KEPT_MAX = 1024 * 1024,
};

#define EMPTY_PLACE ",\"schema\":\"\",\"table\":\"\""

/* What the mark at the end of a transaction tells, gathered since the one at its begin. */
struct txn_count {
    bool begun;
    struct fan_lsn commit_lsn;
    int64_t last_seq; /* an event that is encoded again does not count again */
    uint64_t events;
    uint64_t messages;
    struct debezium_table *first;
    struct debezium_table *last;
};

struct debezium {
    struct encoder base;
    struct debezium_writer writer;
    const char *prefix; /* borrowed */
    bool records;
    bool counts;
    struct debezium_tables tables;
    struct txn_count count;
    struct bytes names;    /* ,"source":{"version":...,"name":"shop","ts_ms": */
    struct bytes database; /* ,"snapshot":"false","db":"shop","sequence":"[ */
    struct bytes message_head;
    struct bytes message_key_head;
    struct bytes gap_head;
    struct bytes mark_head;
    struct bytes mark_key_head;
    /* What the five texts below were made from. */
    bool cached;
    struct fan_lsn cached_lsn;
    int64_t cached_time_us;
    uint32_t cached_xid;
    const char *cached_origin;
    struct fan_lsn cached_origin_lsn;
    struct bytes head;
    struct bytes middle;
    struct bytes txid;
    struct bytes tail;
    struct bytes times;
    /* The records that are being put together. */
    struct bytes value;
    struct bytes key;
    struct bytes old_key;
    struct bytes headers;
};

static enum fan_status debezium_create(const struct encode_settings *settings,
                                       const struct encode_context *context,
                                       struct encoder **ret_encoder, struct fan_error *reterr);
static enum fan_status debezium_encode(struct encoder *encoder, const struct change *change,
                                       struct bytes *out, struct fan_error *reterr);
static enum fan_status debezium_mark(struct encoder *encoder, enum txn_mark mark,
                                     const struct change *change, struct bytes *out,
                                     struct fan_error *reterr);
static void debezium_destroy(struct encoder *encoder);

const struct encoder_type debezium_encoder = {
    .name = "debezium",
    .records = true,
    .create = debezium_create,
    .encode = debezium_encode,
    .mark = debezium_mark,
    .destroy = debezium_destroy,
};

enum { KEPT_COUNT = 16 };

static void kept_texts(struct debezium *debezium, struct bytes *ret_kept[KEPT_COUNT])
{
    struct bytes *const kept[KEPT_COUNT] = {
        &debezium->names,    &debezium->database,  &debezium->message_head,
        &debezium->gap_head, &debezium->mark_head, &debezium->message_key_head,
        &debezium->head,     &debezium->middle,    &debezium->txid,
        &debezium->times,    &debezium->value,     &debezium->key,
        &debezium->old_key,  &debezium->headers,   &debezium->mark_key_head,
        &debezium->tail,
    };
    memcpy(ret_kept, kept, sizeof(kept));
}

static void debezium_destroy(struct encoder *encoder)
{
    if (encoder == NULL) {
        return;
    }
    struct debezium *debezium = (struct debezium *)encoder;
    struct bytes *kept[KEPT_COUNT];
    kept_texts(debezium, kept);
    for (size_t i = 0; i < KEPT_COUNT; i++) {
        bytes_release(kept[i]);
    }
    debezium_writer_release(&debezium->writer);
    debezium_tables_release(&debezium->tables);
    free(debezium);
}

static void append_json_text(struct bytes *out, const char *text)
{
    json_write_string(out, text, strlen(text));
}

static void make_names(struct debezium *debezium, const struct encode_context *context)
{
    BYTES_APPEND_LITERAL(&debezium->names, "\"source\":{\"version\":\"" PGFAN_VERSION
                                           "\",\"connector\":\"postgresql\",\"name\":");
    append_json_text(&debezium->names, debezium->prefix);
    BYTES_APPEND_LITERAL(&debezium->names, ",\"ts_ms\":");
    BYTES_APPEND_LITERAL(&debezium->database, ",\"snapshot\":\"false\",\"db\":");
    append_json_text(&debezium->database, context->database != NULL ? context->database : "");
    BYTES_APPEND_LITERAL(&debezium->database, ",\"sequence\":\"[\\\"");
}

static void make_heads(struct debezium *debezium)
{
    struct bytes *heads[] = {&debezium->message_head, &debezium->message_key_head,
                             &debezium->gap_head, &debezium->mark_head, &debezium->mark_key_head};
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        BYTES_APPEND_LITERAL(heads[i], "{\"schema\":");
    }
    debezium_schema_message(&debezium->writer.settings, &debezium->message_head);
    debezium_schema_message_key(&debezium->message_key_head);
    debezium_schema_gap(&debezium->gap_head);
    debezium_schema_transaction(&debezium->mark_head);
    debezium_schema_transaction_key(&debezium->mark_key_head);
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        BYTES_APPEND_LITERAL(heads[i], ",\"payload\":");
    }
}

static enum fan_status debezium_create(const struct encode_settings *settings,
                                       const struct encode_context *context,
                                       struct encoder **ret_encoder, struct fan_error *reterr)
{
    struct debezium *debezium = calloc(1, sizeof(*debezium));
    if (debezium == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make an encoder: out of memory");
    }
    struct bytes *kept[KEPT_COUNT];
    kept_texts(debezium, kept);
    for (size_t i = 0; i < KEPT_COUNT; i++) {
        bytes_init(kept[i], PIECE_MAX);
    }
    debezium->value.size_max = UINT32_MAX;
    debezium->key.size_max = UINT32_MAX;
    debezium->old_key.size_max = UINT32_MAX;
    debezium->headers.size_max = UINT32_MAX;
    debezium->base.type = &debezium_encoder;
    debezium->records = settings->records;
    debezium->counts = settings->transactions;
    debezium->prefix =
        settings->debezium.topic_prefix != NULL ? settings->debezium.topic_prefix : context->source;
    if (!debezium_writer_init(&debezium->writer, settings)) {
        debezium_destroy(&debezium->base);
        return fan_fail(reterr, FAN_RETRY, "could not make an encoder: out of memory");
    }
    make_names(debezium, context);
    if (settings->debezium.schemas) {
        make_heads(debezium);
    }
    for (size_t i = 0; i < KEPT_COUNT; i++) {
        if (!bytes_ok(kept[i])) {
            debezium_destroy(&debezium->base);
            return fan_fail(reterr, FAN_FATAL, "cannot make an encoder: a name is too long");
        }
    }
    *ret_encoder = &debezium->base;
    return FAN_OK;
}

static void append_u64(struct bytes *out, uint64_t number)
{
    uint8_t digits[20];
    bytes_append(out, digits, (size_t)(json_write_u64(digits, number) - digits));
}

static void append_i64(struct bytes *out, int64_t number)
{
    if (number < 0) {
        bytes_append_char(out, '-');
    }
    append_u64(out, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
}

static int64_t millis_of(int64_t micros)
{
    return micros / 1000 - (micros % 1000 < 0 ? 1 : 0);
}

/* ,"ts_us":...,"ts_ns":... of a time that may be unknown, or far off. */
static void append_finer_times(struct bytes *out, int64_t micros)
{
    int64_t nanos;
    BYTES_APPEND_LITERAL(out, ",\"ts_us\":");
    if (micros == 0) {
        BYTES_APPEND_LITERAL(out, "null,\"ts_ns\":null");
        return;
    }
    append_i64(out, micros);
    BYTES_APPEND_LITERAL(out, ",\"ts_ns\":");
    if (__builtin_mul_overflow(micros, (int64_t)1000, &nanos)) {
        BYTES_APPEND_LITERAL(out, "null");
    } else {
        append_i64(out, nanos);
    }
}

static void append_millis(struct bytes *out, int64_t micros)
{
    if (micros == 0) {
        BYTES_APPEND_LITERAL(out, "null");
    } else {
        append_i64(out, millis_of(micros));
    }
}

/* Its LSN is one of another server. */
static void append_origin(const struct change *change, struct bytes *out)
{
    BYTES_APPEND_LITERAL(out, ",\"xmin\":null,\"origin\":");
    if (change->origin == NULL) {
        BYTES_APPEND_LITERAL(out, "null,\"origin_lsn\":null");
        return;
    }
    append_json_text(out, change->origin);
    BYTES_APPEND_LITERAL(out, ",\"origin_lsn\":");
    append_u64(out, change->origin_lsn.value);
}

/* Makes the texts that the events of one transaction share. */
static void texts_make(struct debezium *debezium, const struct change *change)
{
    struct bytes *texts[] = {&debezium->head, &debezium->middle, &debezium->txid, &debezium->tail,
                             &debezium->times};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        bytes_clear(texts[i]);
    }
    bytes_append(&debezium->head, debezium->names.data, debezium->names.size);
    append_i64(&debezium->head, millis_of(change->commit_time_us));
    bytes_append(&debezium->head, debezium->database.data, debezium->database.size);
    append_u64(&debezium->head, change->position.commit_lsn.value);
    BYTES_APPEND_LITERAL(&debezium->head, "\\\",\\\"");
    BYTES_APPEND_LITERAL(&debezium->middle, "\\\"]\"");
    append_finer_times(&debezium->middle, change->commit_time_us);
    BYTES_APPEND_LITERAL(&debezium->txid, ",\"txId\":");
    if (change->xid == 0) {
        BYTES_APPEND_LITERAL(&debezium->txid, "null");
    } else {
        append_u64(&debezium->txid, change->xid);
    }
    BYTES_APPEND_LITERAL(&debezium->txid, ",\"lsn\":");
    append_origin(change, &debezium->tail);
    BYTES_APPEND_LITERAL(&debezium->tail, "},\"transaction\":");
    BYTES_APPEND_LITERAL(&debezium->times, ",\"ts_ms\":");
    append_millis(&debezium->times, change->commit_time_us);
    append_finer_times(&debezium->times, change->commit_time_us);

    debezium->cached_lsn = change->position.commit_lsn;
    debezium->cached_time_us = change->commit_time_us;
    debezium->cached_xid = change->xid;
    debezium->cached_origin = change->origin;
    debezium->cached_origin_lsn = change->origin_lsn;
    debezium->cached = true;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        debezium->cached = debezium->cached && bytes_ok(texts[i]);
    }
}

static void texts_look(struct debezium *debezium, const struct change *change)
{
    if (!debezium->cached || debezium->cached_lsn.value != change->position.commit_lsn.value ||
        debezium->cached_xid != change->xid || debezium->cached_time_us != change->commit_time_us ||
        debezium->cached_origin != change->origin ||
        debezium->cached_origin_lsn.value != change->origin_lsn.value) {
        texts_make(debezium, change);
    }
}

static bool is_in_txn(const struct change *change)
{
    return change->op != CHANGE_GAP && change->position.seq >= 0;
}

static uint8_t *write_kept(uint8_t *at, const struct bytes *kept)
{
    return json_write_raw(at, kept->data, kept->size);
}

/* "731:439041101" */
static uint8_t *write_txn_id(uint8_t *at, const struct change *change)
{
    *at++ = '"';
    at = json_write_u64(at, change->xid);
    *at++ = ':';
    at = json_write_u64(at, change->position.commit_lsn.value);
    *at++ = '"';
    return at;
}

static uint8_t *write_txn_block(const struct debezium *debezium, uint8_t *at,
                                const struct change *change)
{
    if (!debezium->writer.settings.transaction_metadata || !is_in_txn(change)) {
        return JSON_WRITE_LITERAL(at, "null");
    }
    at = JSON_WRITE_LITERAL(at, "{\"id\":");
    at = write_txn_id(at, change);
    at = JSON_WRITE_LITERAL(at, ",\"total_order\":");
    at = json_write_u64(at, (uint64_t)change->position.seq + 1);
    at = JSON_WRITE_LITERAL(at, ",\"data_collection_order\":");
    at = json_write_u64(at, (uint64_t)change->table_seq + 1);
    *at++ = '}';
    return at;
}

/* "source":{...},"transaction":... */
static void write_source(struct debezium *debezium, const struct change *change,
                         const struct debezium_table *table, struct bytes *out)
{
    texts_look(debezium, change);
    size_t place_size = table != NULL ? table->place.size : sizeof(EMPTY_PLACE);
    uint8_t *at = json_room(out, debezium->head.size + debezium->middle.size + debezium->txid.size +
                                     debezium->tail.size + place_size + NUMBERS_MAX);
    if (at == NULL || !debezium->cached) {
        out->failed = true;
        return;
    }
    uint64_t lsn =
        change->message != NULL ? change->message->lsn.value : change->position.commit_lsn.value;
    at = write_kept(at, &debezium->head);
    at = json_write_u64(at, lsn);
    at = write_kept(at, &debezium->middle);
    at = table != NULL ? write_kept(at, &table->place) : JSON_WRITE_LITERAL(at, EMPTY_PLACE);
    at = write_kept(at, &debezium->txid);
    at = json_write_u64(at, lsn);
    at = write_kept(at, &debezium->tail);
    json_done(out, write_txn_block(debezium, at, change));
}

static void write_op(const struct debezium *debezium, char op, struct bytes *out)
{
    uint8_t *at = json_room(out, debezium->times.size + NUMBERS_MAX);
    if (at == NULL) {
        return;
    }
    at = JSON_WRITE_LITERAL(at, ",\"op\":\"");
    *at++ = (uint8_t)op;
    *at++ = '"';
    json_done(out, write_kept(at, &debezium->times));
}

static void write_column(struct debezium *debezium, const struct debezium_column *column,
                         const struct row_value *value, bool first, struct bytes *out)
{
    const struct relation_column *from = column->column;
    uint8_t *at = json_room(out, from->json_name_size + 1 + RELATION_JSON_PAD);
    if (at == NULL) {
        return;
    }
    if (!first) {
        *at++ = ',';
    }
    json_done(out, json_write_padded(at, from->json_name, from->json_name_size));
    if (value->kind == ROW_NULL && !column->optional && column->default_json != NULL) {
        bytes_append_text(out, column->default_json); /* of a row that has its key only */
        return;
    }
    debezium_value_write(&debezium->writer, column, value, out);
}

/* All columns, those that the tuple does not have as null; or those of the key. */
static void write_columns(struct debezium *debezium, const struct debezium_table *table,
                          struct row_pair pair, bool key, struct bytes *out)
{
    const struct relation *relation = table->relation;
    size_t count = key ? relation->key_end : relation->columns_count;
    bool first = true;
    bytes_append_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        struct row_value value = {.kind = ROW_NULL};
        (void)row_pair_next(&pair, &relation->columns[i], &value); /* false: it stays null */
        if (key && !relation->columns[i].in_key) {
            continue;
        }
        write_column(debezium, &table->columns[i], &value, first, out);
        first = false;
    }
    bytes_append_char(out, '}');
}

static void write_key(struct debezium *debezium, const struct debezium_table *table,
                      struct row_pair pair, struct bytes *out)
{
    bytes_append(out, table->key_head.data, table->key_head.size);
    write_columns(debezium, table, pair, true, out);
    if (table->key_head.size > 0) {
        bytes_append_char(out, '}');
    }
}

/* A value with these rows; NULL: no such row. */
static void write_value(struct debezium *debezium, const struct debezium_table *table,
                        const struct change *change, char op, const struct row_pair *before,
                        const struct row_pair *after, struct bytes *out)
{
    bytes_append(out, table->value_head.data, table->value_head.size);
    BYTES_APPEND_LITERAL(out, "{\"before\":");
    if (before != NULL) {
        write_columns(debezium, table, *before, false, out);
    } else {
        BYTES_APPEND_LITERAL(out, "null");
    }
    BYTES_APPEND_LITERAL(out, ",\"after\":");
    if (after != NULL) {
        write_columns(debezium, table, *after, false, out);
    } else {
        BYTES_APPEND_LITERAL(out, "null");
    }
    bytes_append_char(out, ',');
    write_source(debezium, change, table, out);
    write_op(debezium, op, out);
    bytes_append_char(out, '}');
    if (table->value_head.size > 0) {
        bytes_append_char(out, '}');
    }
}

/* A record out of the encoder's buffers; NULL: there is no such part. */
struct parts {
    const struct bytes *key;
    const struct bytes *value;
    const struct bytes *headers;
    bool mark;
};

static bool part_ok(const struct bytes *part)
{
    return part == NULL || bytes_ok(part);
}

static void append_parts(struct debezium *debezium, const struct parts *parts, struct bytes *out)
{
    const struct record record = {
        .key = parts->key != NULL ? parts->key->data : NULL,
        .key_size = parts->key != NULL ? parts->key->size : 0,
        .value = parts->value != NULL ? parts->value->data : NULL,
        .value_size = parts->value != NULL ? parts->value->size : 0,
        .headers = parts->headers != NULL ? parts->headers->data : NULL,
        .headers_size = parts->headers != NULL ? parts->headers->size : 0,
        .mark = parts->mark,
    };
    if (!part_ok(parts->key) || !part_ok(parts->value) || !part_ok(parts->headers)) {
        debezium->writer.scratch_failed = true;
        return;
    }
    record_append(out, &record);
}

static void append_record(struct debezium *debezium, const struct bytes *key,
                          const struct bytes *value, struct bytes *out)
{
    const struct parts parts = {.key = key, .value = value};
    append_parts(debezium, &parts, out);
}

/* The one header of a record of a changed key: the other key, as Connect's SimpleHeaderConverter prints
 * it, so without its schema. */
static const struct bytes *key_header(struct debezium *debezium, const struct debezium_table *table,
                                      const char *name, const struct bytes *key)
{
    struct bytes *headers = &debezium->headers;
    size_t head = table->key_head.size;
    bytes_clear(headers);
    if (bytes_ok(key)) {
        record_header_append(headers, name, key->data + head, key->size - head - (head > 0));
    }
    return headers;
}

/* A deletion under the old key, with its tombstone, and an insertion under the new one. */
static void append_key_change(struct debezium *debezium, const struct debezium_table *table,
                              const struct change *change, const struct row_pair *old,
                              const struct row_pair *row, struct bytes *out)
{
    struct bytes *value = &debezium->value;
    struct parts parts = {.key = &debezium->old_key, .value = value};
    write_value(debezium, table, change, CHANGE_DELETE, old, NULL, value);
    parts.headers = key_header(debezium, table, "__debezium.newkey", &debezium->key);
    append_parts(debezium, &parts, out);
    parts.value = NULL;
    append_parts(debezium, &parts, out);
    bytes_clear(value);
    write_value(debezium, table, change, CHANGE_INSERT, NULL, row, value);
    parts = (struct parts){.key = &debezium->key, .value = value};
    parts.headers = key_header(debezium, table, "__debezium.oldkey", &debezium->old_key);
    append_parts(debezium, &parts, out);
}

/* Whether the old row has another key. It is then in `old_key`, as the new one is in `key`. */
static bool key_has_changed(struct debezium *debezium, const struct debezium_table *table,
                            const struct change *change, struct row_pair old)
{
    if (change->op != CHANGE_UPDATE || change->old_offset == 0) {
        return false;
    }
    write_key(debezium, table, old, &debezium->old_key);
    return debezium->key.size != debezium->old_key.size ||
           memcmp(debezium->key.data, debezium->old_key.data, debezium->key.size) != 0;
}

/* `keyed` is the row that has the event's key: the new one, or the old one if there is no new. */
static void write_row_records(struct debezium *debezium, const struct debezium_table *table,
                              const struct change *change, struct row_pair keyed,
                              const struct row_pair *old, const struct row_pair *row,
                              struct bytes *out)
{
    struct bytes *value = &debezium->value;
    struct bytes *key = table->relation->has_key ? &debezium->key : NULL;
    bytes_clear(value);
    bytes_clear(&debezium->key);
    bytes_clear(&debezium->old_key);
    if (key != NULL) {
        write_key(debezium, table, keyed, key);
    }
    if (key != NULL && bytes_ok(key) && old != NULL &&
        key_has_changed(debezium, table, change, *old)) {
        append_key_change(debezium, table, change, old, row, out);
        return;
    }
    write_value(debezium, table, change, (char)change->op, old, row, value);
    append_record(debezium, key, value, out);
    if (change->op == CHANGE_DELETE && key != NULL) {
        append_record(debezium, key, NULL, out);
    }
}

static void write_row_change(struct debezium *debezium, const struct debezium_table *table,
                             const struct change *change, struct bytes *out)
{
    struct row_pair old = row_pair_old(change);
    struct row_pair row = row_pair_new(change);
    const struct row_pair *before = change->old_offset != 0 ? &old : NULL;
    const struct row_pair *after = change->new_offset != 0 ? &row : NULL;
    if (debezium->records && (before != NULL || after != NULL)) {
        write_row_records(debezium, table, change, after != NULL ? row : old, before, after, out);
    } else {
        write_value(debezium, table, change, (char)change->op, before, after, out);
    }
}

/* Where the one value of an event without rows goes. */
static struct bytes *value_begin(struct debezium *debezium, struct bytes *out)
{
    if (!debezium->records) {
        return out;
    }
    bytes_clear(&debezium->value);
    return &debezium->value;
}

static void value_end(struct debezium *debezium, const struct bytes *key, struct bytes *out)
{
    if (debezium->records) {
        append_record(debezium, key, &debezium->value, out);
    }
}

static void write_truncate(struct debezium *debezium, const struct debezium_table *table,
                           const struct change *change, struct bytes *out)
{
    struct bytes *value = value_begin(debezium, out);
    write_value(debezium, table, change, CHANGE_TRUNCATE, NULL, NULL, value);
    value_end(debezium, NULL, out);
}

static void write_table_change(struct debezium *debezium, const struct debezium_table *table,
                               const struct change *change, struct bytes *out)
{
    FAN_ASSERT(table != NULL); /* a source emits none without a relation */
    if (change->op == CHANGE_TRUNCATE) {
        write_truncate(debezium, table, change, out);
    } else {
        write_row_change(debezium, table, change, out);
    }
}

static void write_message_key(struct debezium *debezium, const char *prefix)
{
    struct bytes *key = &debezium->key;
    bytes_clear(key);
    bytes_append(key, debezium->message_key_head.data, debezium->message_key_head.size);
    BYTES_APPEND_LITERAL(key, "{\"prefix\":");
    append_json_text(key, prefix);
    bytes_append_char(key, '}');
    if (debezium->message_key_head.size > 0) {
        bytes_append_char(key, '}');
    }
}

/* Logical Replication Message Formats, "Message": 'M', flags, LSN, prefix, length, content. */
static bool write_message(struct debezium *debezium, const struct change *change, struct bytes *out)
{
    struct wire wire;
    wire_init(&wire, message_payload(change->message), message_payload_size(change->message));
    (void)wire_u16(&wire); /* the tag, and flags that show in the position */
    (void)wire_u64(&wire); /* the LSN is in the change's position */
    const char *prefix = wire_cstring(&wire);
    size_t size = wire_u32(&wire);
    const uint8_t *content = wire_bytes(&wire, size);
    if (!wire_ok(&wire)) {
        return false;
    }
    struct bytes *value = value_begin(debezium, out);
    bytes_append(value, debezium->message_head.data, debezium->message_head.size);
    BYTES_APPEND_LITERAL(value, "{\"op\":\"m\",\"ts_ms\":");
    append_millis(value, change->commit_time_us);
    bytes_append_char(value, ',');
    write_source(debezium, change, NULL, value);
    BYTES_APPEND_LITERAL(value, ",\"message\":{\"prefix\":");
    append_json_text(value, prefix);
    BYTES_APPEND_LITERAL(value, ",\"content\":");
    debezium_bytes_write(&debezium->writer, content, size, value);
    BYTES_APPEND_LITERAL(value, "}}");
    if (debezium->message_head.size > 0) {
        bytes_append_char(value, '}');
    }
    if (debezium->records) {
        write_message_key(debezium, prefix);
    }
    value_end(debezium, &debezium->key, out);
    return true;
}

static void append_position(struct bytes *out, struct fan_position position)
{
    char text[LSN_TEXT_SIZE];
    bytes_append_char(out, '"');
    bytes_append(out, text, lsn_format(position.commit_lsn, text));
    bytes_append_char(out, ':');
    append_i64(out, position.seq);
    bytes_append_char(out, '"');
}

/* Debezium has no such event: one that goes on over a gap has lost changes without a word. */
static void write_gap(struct debezium *debezium, const struct change *change, struct bytes *out)
{
    struct bytes *value = value_begin(debezium, out);
    bytes_append(value, debezium->gap_head.data, debezium->gap_head.size);
    BYTES_APPEND_LITERAL(value, "{\"before\":null,\"after\":null,");
    write_source(debezium, change, NULL, value);
    write_op(debezium, CHANGE_GAP, value);
    BYTES_APPEND_LITERAL(value, ",\"gap\":{\"from\":");
    append_position(value, change->gap->first);
    BYTES_APPEND_LITERAL(value, ",\"to\":");
    append_position(value, change->gap->last);
    BYTES_APPEND_LITERAL(value, ",\"count\":");
    append_u64(value, change->gap->count);
    BYTES_APPEND_LITERAL(value, "}}");
    if (debezium->gap_head.size > 0) {
        bytes_append_char(value, '}');
    }
    value_end(debezium, NULL, out);
}

/* The table's version that came first in the transaction: a table that changes meanwhile counts once. */
static struct debezium_table *counter_of(struct txn_count *count, struct debezium_table *table)
{
    if (table->counter_lsn.value == count->commit_lsn.value) {
        return table->counter;
    }
    struct debezium_table *first = count->first;
    while (first != NULL && first->relation->relid != table->relation->relid) {
        first = first->next;
    }
    table->counter_lsn = count->commit_lsn;
    table->counter = first != NULL ? first : table;
    return table->counter;
}

/* Counts the event for the mark at the end of its transaction, if it saw the one at the begin. */
static void count_event(struct debezium *debezium, struct debezium_table *table,
                        const struct change *change)
{
    struct txn_count *count = &debezium->count;
    if (!count->begun || !is_in_txn(change) ||
        count->commit_lsn.value != change->position.commit_lsn.value ||
        change->position.seq <= count->last_seq) {
        return;
    }
    count->last_seq = change->position.seq;
    count->events++;
    if (table == NULL) {
        count->messages++;
        return;
    }
    table = counter_of(count, table);
    if (table->counted++ == 0) {
        *(count->last != NULL ? &count->last->next : &count->first) = table;
        count->last = table;
    }
}

/* Begins to count, and forgets what was counted before. */
static void count_begin(struct debezium *debezium, const struct change *change)
{
    struct debezium_table *table = debezium->count.first;
    while (table != NULL) {
        struct debezium_table *next = table->next;
        table->counted = 0;
        table->next = NULL;
        table = next;
    }
    debezium->count = (struct txn_count){
        .begun = true, .commit_lsn = change->position.commit_lsn, .last_seq = SEQ_MESSAGE};
}

static void append_collection(struct bytes *out, bool first, const char *name, size_t name_size,
                              uint64_t events)
{
    bytes_append_text(out, first ? "{\"data_collection\":" : ",{\"data_collection\":");
    bytes_append(out, name, name_size);
    BYTES_APPEND_LITERAL(out, ",\"event_count\":");
    append_u64(out, events);
    bytes_append_char(out, '}');
}

static void append_counts(const struct txn_count *count, struct bytes *out)
{
    static const char messages[] = "\"LOGICAL_DECODING_MESSAGE\"";
    append_u64(out, count->events);
    BYTES_APPEND_LITERAL(out, ",\"data_collections\":[");
    for (const struct debezium_table *table = count->first; table != NULL; table = table->next) {
        append_collection(out, table == count->first, table->relation->json_table,
                          table->relation->json_table_size, table->counted);
    }
    if (count->messages > 0) {
        append_collection(out, count->first == NULL, messages, sizeof(messages) - 1,
                          count->messages);
    }
    bytes_append_char(out, ']');
}

static void write_mark(struct debezium *debezium, enum txn_mark mark, const struct change *change,
                       struct bytes *out)
{
    uint8_t id[64];
    const struct txn_count *count = &debezium->count;
    bool known = mark == TXN_MARK_COMMIT && count->begun &&
                 count->commit_lsn.value == change->position.commit_lsn.value;
    bytes_append(out, debezium->mark_head.data, debezium->mark_head.size);
    bytes_append_text(out, mark == TXN_MARK_BEGIN ? "{\"status\":\"BEGIN\",\"id\":"
                                                  : "{\"status\":\"END\",\"id\":");
    bytes_append(out, id, (size_t)(write_txn_id(id, change) - id));
    BYTES_APPEND_LITERAL(out, ",\"event_count\":");
    if (known) {
        append_counts(count, out);
    } else {
        BYTES_APPEND_LITERAL(out, "null,\"data_collections\":null");
    }
    BYTES_APPEND_LITERAL(out, ",\"ts_ms\":");
    append_i64(out, millis_of(change->commit_time_us));
    bytes_append_char(out, '}');
    if (debezium->mark_head.size > 0) {
        bytes_append_char(out, '}');
    }
}

static void write_mark_key(struct debezium *debezium, const struct change *change)
{
    uint8_t id[64];
    struct bytes *key = &debezium->key;
    bytes_clear(key);
    bytes_append(key, debezium->mark_key_head.data, debezium->mark_key_head.size);
    BYTES_APPEND_LITERAL(key, "{\"id\":");
    bytes_append(key, id, (size_t)(write_txn_id(id, change) - id));
    bytes_append_text(key, debezium->mark_key_head.size > 0 ? "}}" : "}");
}

static enum fan_status debezium_mark(struct encoder *encoder, enum txn_mark mark,
                                     const struct change *change, struct bytes *out,
                                     struct fan_error *reterr)
{
    struct debezium *debezium = (struct debezium *)encoder;
    size_t start = out->size;
    if (mark == TXN_MARK_BEGIN) {
        count_begin(debezium, change);
    }
    debezium->writer.scratch_failed = false;
    write_mark(debezium, mark, change, value_begin(debezium, out));
    if (debezium->records) {
        const struct parts parts = {.key = &debezium->key, .value = &debezium->value, .mark = true};
        write_mark_key(debezium, change);
        append_parts(debezium, &parts, out);
    }
    if (bytes_ok(out) && !debezium->writer.scratch_failed) {
        return FAN_OK;
    }
    bytes_truncate(out, start);
    return fan_fail(reterr, FAN_RETRY, "could not mark a transaction: out of memory");
}

/* As in native.c: it was the maximum if the largest request of the change would not have fitted. */
static bool is_too_large(const struct change *change, const struct bytes *out)
{
    size_t largest = JSON_REQUEST_MAX;
    if (change->message != NULL && change->message->size > JSON_REQUEST_MAX / 3) {
        largest = (size_t)change->message->size * 3;
    }
    return out->failed && out->size_max - out->size < largest;
}

/* Says why the event was not written. */
static enum fan_status debezium_failed(const struct debezium *debezium, const struct change *change,
                                       bool too_large, struct fan_error *reterr)
{
    const char *schema = change->relation == NULL ? "" : change->relation->schema;
    const char *table = change->relation == NULL ? "(message)" : change->relation->name;
    const struct debezium_writer *writer = &debezium->writer;
    if (writer->refusal != NULL) {
        enum fan_status status =
            fan_fail(reterr, FAN_POISON, "cannot encode column \"%s\" of a row of \"%s.%s\": %s",
                     writer->refused->name, schema, table, writer->refusal);
        if (writer->refusal_hint != NULL) {
            fan_error_annotate(reterr, "NO_FORM", "%s", writer->refusal_hint);
        } else {
            fan_error_annotate(reterr, "NO_FORM", NULL);
        }
        return status;
    }
    if (too_large) {
        return fan_fail(reterr, FAN_POISON,
                        "cannot encode a change of \"%s.%s\": it is larger than an event may be",
                        schema, table);
    }
    return fan_fail(reterr, FAN_RETRY, "could not encode a change of \"%s.%s\": out of memory",
                    schema, table);
}

/* Gives back what a large event made the buffers grow to. */
static void buffers_shrink(struct debezium *debezium)
{
    struct debezium_writer *writer = &debezium->writer;
    struct bytes *buffers[] = {&debezium->value,   &debezium->key,   &debezium->old_key,
                               &debezium->headers, &writer->scratch, &writer->inner,
                               &writer->number,    &writer->json};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
        if (buffers[i]->capacity > BUFFER_KEPT_MAX) {
            bytes_release(buffers[i]);
        }
    }
}

static enum fan_status debezium_encode(struct encoder *encoder, const struct change *change,
                                       struct bytes *out, struct fan_error *reterr)
{
    struct debezium *debezium = (struct debezium *)encoder;
    struct debezium_writer *writer = &debezium->writer;
    size_t start = out->size;
    struct debezium_table *table = NULL;
    writer->refusal = NULL;
    writer->scratch_failed = false;
    if (change->relation != NULL) {
        table = debezium_tables_find(&debezium->tables, &writer->settings, debezium->prefix,
                                     change->relation);
        if (table == NULL) {
            return debezium_failed(debezium, change, false, reterr);
        }
    }
    if (debezium->counts) {
        count_event(debezium, table, change);
    }
    switch (change->op) {
    case CHANGE_MESSAGE:
        if (!write_message(debezium, change, out)) {
            return fan_fail(reterr, FAN_POISON,
                            "cannot encode a logical message: its bytes end too early");
        }
        break;
    case CHANGE_GAP:
        write_gap(debezium, change, out);
        break;
    default:
        write_table_change(debezium, table, change, out);
        break;
    }
    buffers_shrink(debezium);
    if (__builtin_expect(!out->failed && writer->refusal == NULL && !writer->scratch_failed, 1)) {
        return FAN_OK;
    }
    bool too_large = is_too_large(change, out);
    bytes_truncate(out, start);
    return debezium_failed(debezium, change, too_large, reterr);
}
