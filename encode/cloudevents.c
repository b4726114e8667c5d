/*
 * cloudevents.c - writes a change as a CloudEvent in JSON, or in binary mode its data alone.
 *
 * As in native.c, what is the same for many events is kept as text: once for all, for the table of the
 * last event, and for its transaction.
 *
 *     {"id":"<sysid>-<slot>-<lsn>-  00000003  ","source":"/pgfan/shop",…,"type":"  io.pgfan…  "
 *     `------------ head ---------'           `------------- source ------------'
 *     ,"subject":"public.orders"  ,"time":"…",…,"lsn":"…"  ,"seq":"3  ","sequence":"…  -00…03",…
 *     `-------- subject --------' `-------- when --------'            `--- place --'
 *     ,"data":{  "key":{"id":7},"after":{…}  ,"txid":731}  }
 *              `-------- content ----------' `- origin -'
 */
#include "encode/cloudevents.h"

#include <stdlib.h>
#include <string.h>

#include "encode/cloudevents_internal.h"
#include "encode/content.h"
#include "encode/json.h"
#include "encode/row_object.h"

enum {
    PIECE_MAX = 64 * 1024, /* of the texts made from the conf's and the server's names */
    NUMBERS_MAX = 128,     /* room for the numbers between the kept texts */
    LSN_DIGITS = 16,
};

struct cloudevents {
    struct encoder base;
    const struct encode_context *context; /* borrowed */
    bool binary;
    bool debezium;
    struct value_writer values;
    struct value_writer key_values; /* of the partition key: default settings, as in label.c */
    struct bytes key;               /* room for it before it is cleaned */
    struct bytes id_prefix;         /* {"id":"<sysid>-<slot>- */
    struct bytes source;
    struct bytes table; /* what the subject was made from */
    struct bytes subject;
    /* What the texts below were made from. */
    bool cached;
    struct fan_lsn cached_lsn;
    int64_t cached_time_us;
    uint32_t cached_xid;
    struct bytes head;
    struct bytes when;
    struct bytes place; /* ","sequence":"<lsn, 16 hex> */
    struct bytes origin;
    struct time_text clock;
};

static enum fan_status cloudevents_create(const struct encode_settings *settings,
                                          const struct encode_context *context,
                                          struct encoder **ret_encoder, struct fan_error *reterr);
static enum fan_status cloudevents_encode(struct encoder *encoder, const struct change *change,
                                          struct bytes *out, struct fan_error *reterr);
static enum fan_status cloudevents_mark(struct encoder *encoder, enum txn_mark mark,
                                        const struct change *change, struct bytes *out,
                                        struct fan_error *reterr);
static void cloudevents_destroy(struct encoder *encoder);

const struct encoder_type cloudevents_encoder = {
    .name = "cloudevents",
    .create = cloudevents_create,
    .encode = cloudevents_encode,
    .mark = cloudevents_mark,
    .destroy = cloudevents_destroy,
};

static void cloudevents_destroy(struct encoder *encoder)
{
    if (encoder == NULL) {
        return;
    }
    struct cloudevents *events = (struct cloudevents *)encoder;
    value_writer_release(&events->values);
    value_writer_release(&events->key_values);
    bytes_release(&events->key);
    bytes_release(&events->id_prefix);
    bytes_release(&events->source);
    bytes_release(&events->table);
    bytes_release(&events->subject);
    bytes_release(&events->head);
    bytes_release(&events->when);
    bytes_release(&events->place);
    bytes_release(&events->origin);
    free(events);
}

static void init_texts(struct cloudevents *events, const struct encode_context *context)
{
    struct bytes *const pieces[] = {&events->id_prefix, &events->source, &events->table,
                                    &events->subject,   &events->head,   &events->when,
                                    &events->place,     &events->origin};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        bytes_init(pieces[i], PIECE_MAX);
    }
    bytes_init(&events->key, UINT32_MAX);
    struct bytes *prefix = &events->id_prefix;
    BYTES_APPEND_LITERAL(prefix, "{\"id\":\"");
    json_write_escaped(prefix, context->system_id, strlen(context->system_id));
    bytes_append_char(prefix, '-');
    json_write_escaped(prefix, context->slot, strlen(context->slot));
    bytes_append_char(prefix, '-');
    char text[CLOUDEVENTS_SOURCE_MAX];
    BYTES_APPEND_LITERAL(&events->source, "\",\"source\":\"");
    bytes_append(&events->source, text, cloudevents_source(context->source, text));
    BYTES_APPEND_LITERAL(&events->source, "\",\"specversion\":\"1.0\",\"type\":\"");
}

static enum fan_status cloudevents_create(const struct encode_settings *settings,
                                          const struct encode_context *context,
                                          struct encoder **ret_encoder, struct fan_error *reterr)
{
    static const struct encode_settings defaults = {.special_values = SPECIAL_STRING};
    struct cloudevents *events = calloc(1, sizeof(*events));
    if (events == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make an encoder: out of memory");
    }
    events->base.type = &cloudevents_encoder;
    events->context = context;
    events->binary = settings->cloudevents_mode == CLOUDEVENTS_BINARY;
    events->debezium = settings->cloudevents_compat == CLOUDEVENTS_DEBEZIUM;
    value_writer_init(&events->values, settings);
    value_writer_init(&events->key_values, &defaults);
    init_texts(events, context);
    if (!bytes_ok(&events->id_prefix) || !bytes_ok(&events->source)) {
        cloudevents_destroy(&events->base);
        return fan_fail(reterr, FAN_FATAL,
                        "cannot make an encoder: the names of source and slot are too long");
    }
    *ret_encoder = &events->base;
    return FAN_OK;
}

static void append_number(struct bytes *out, uint64_t number)
{
    uint8_t digits[20];
    bytes_append(out, digits, (size_t)(json_write_u64(digits, number) - digits));
}

static void prepare_when(struct cloudevents *events, const struct change *change)
{
    struct bytes *when = &events->when;
    char lsn[LSN_TEXT_SIZE];
    bytes_clear(when);
    if (change->commit_time_us != 0) {
        time_text_set(&events->clock, change->commit_time_us);
        if (events->clock.size == TIME_TEXT_SIZE) {
            BYTES_APPEND_LITERAL(when, ",\"time\":\"");
            bytes_append(when, events->clock.text, events->clock.size);
            bytes_append_char(when, '"');
        }
    }
    BYTES_APPEND_LITERAL(when, ",\"datacontenttype\":\"" CLOUDEVENTS_DATA_TYPE "\",\"lsn\":\"");
    bytes_append(when, lsn, lsn_format(change->position.commit_lsn, lsn));
    bytes_append_char(when, '"');
}

/* Makes the texts that the events of a transaction have in common. */
static void prepare(struct cloudevents *events, const struct change *change)
{
    char sequence[CLOUDEVENTS_SEQUENCE_SIZE + 1];
    (void)cloudevents_sequence(change->position, sequence); /* begins with the LSN */
    bytes_clear(&events->head);
    bytes_append(&events->head, events->id_prefix.data, events->id_prefix.size);
    bytes_append(&events->head, sequence, LSN_DIGITS);
    bytes_append_char(&events->head, '-');
    prepare_when(events, change);
    bytes_clear(&events->place);
    BYTES_APPEND_LITERAL(&events->place, "\",\"sequence\":\"");
    bytes_append(&events->place, sequence, LSN_DIGITS);
    bytes_clear(&events->origin);
    BYTES_APPEND_LITERAL(&events->origin, "\"txid\":");
    if (change->xid == 0) {
        BYTES_APPEND_LITERAL(&events->origin, "null");
    } else {
        append_number(&events->origin, change->xid);
    }
    bytes_append_char(&events->origin, '}');
    events->cached_lsn = change->position.commit_lsn;
    events->cached_time_us = change->commit_time_us;
    events->cached_xid = change->xid;
    events->cached = bytes_ok(&events->head) && bytes_ok(&events->when) &&
                     bytes_ok(&events->place) && bytes_ok(&events->origin);
}

/* Returns whether the kept texts are those of the change's transaction; false: memory is out. */
static bool look_at_txn(struct cloudevents *events, const struct change *change)
{
    if (!events->cached || events->cached_lsn.value != change->position.commit_lsn.value ||
        events->cached_xid != change->xid || events->cached_time_us != change->commit_time_us) {
        prepare(events, change);
    }
    return events->cached;
}

/* The same for its table. Relations come and go, so that their names are compared, not their places. */
static bool look_at_table(struct cloudevents *events, const struct relation *relation)
{
    struct bytes *table = &events->table;
    if (table->size == relation->json_table_size &&
        memcmp(table->data, relation->json_table, table->size) == 0) {
        return true;
    }
    char text[CLOUDEVENTS_SUBJECT_MAX];
    size_t size = cloudevents_subject(relation->schema, strlen(relation->schema), relation->name,
                                      strlen(relation->name), text);
    bytes_clear(&events->subject);
    BYTES_APPEND_LITERAL(&events->subject, ",\"subject\":");
    json_write_string(&events->subject, text, size);
    bytes_clear(table);
    bytes_append(table, relation->json_table, relation->json_table_size);
    if (!bytes_ok(&events->subject) || !bytes_ok(table)) {
        bytes_clear(table);
        return false;
    }
    return true;
}

/* The key is that of label.c, in the same form. */
static void write_partition_key(struct cloudevents *events, const struct change *change,
                                struct bytes *out)
{
    const struct relation *relation = change->relation;
    if (relation == NULL || !relation->has_key || change->op == CHANGE_TRUNCATE) {
        return;
    }
    struct row_pair row = change->new_offset != 0 ? row_pair_new(change) : row_pair_old(change);
    bytes_clear(&events->key);
    events->key_values.scratch_failed = false;
    (void)row_object_write(&events->key_values, row, COLUMNS_KEY, &events->key); /* as in label.c */
    if (!bytes_ok(&events->key) || events->key_values.scratch_failed) {
        out->failed = true;
        return;
    }
    char text[CLOUDEVENTS_KEY_MAX];
    size_t size = cloudevents_clean((const char *)events->key.data, events->key.size, text,
                                    CLOUDEVENTS_KEY_MAX);
    BYTES_APPEND_LITERAL(out, ",\"partitionkey\":");
    json_write_string(out, text, size);
}

static uint8_t *write_kept(uint8_t *at, const struct bytes *kept)
{
    return json_write_raw(at, kept->data, kept->size);
}

/* The end of the attribute `sequence`: always 16 digits. */
static uint8_t *write_ordinal(uint8_t *at, uint64_t seq)
{
    *at++ = '-';
    return json_write_hex(json_write_hex(at, seq >> 32), (uint32_t)seq);
}

/* Writes every attribute, up to the colon before the data. */
static void write_attributes(struct cloudevents *events, const struct change *change,
                             struct bytes *out)
{
    const bool subject = change->relation != NULL;
    if (!look_at_txn(events, change) || (subject && !look_at_table(events, change->relation))) {
        out->failed = true;
        return;
    }
    uint8_t *at = json_room(out, events->head.size + events->source.size + events->subject.size +
                                     events->when.size + events->place.size + NUMBERS_MAX +
                                     CLOUDEVENTS_TYPE_MAX);
    if (at == NULL) {
        return;
    }
    const int64_t seq = change->position.seq;
    const char *type = cloudevents_type(change->op);
    at = write_kept(at, &events->head);
    at = seq < 0 ? JSON_WRITE_LITERAL(at, "m") : json_write_hex(at, (uint64_t)seq);
    at = change->op == CHANGE_GAP ? JSON_WRITE_LITERAL(at, "-g") : at;
    at = write_kept(at, &events->source);
    at = json_write_raw(at, type, strlen(type));
    *at++ = '"';
    at = subject ? write_kept(at, &events->subject) : at;
    at = write_kept(at, &events->when);
    at = JSON_WRITE_LITERAL(at, ",\"seq\":\"");
    at = seq < 0 ? JSON_WRITE_LITERAL(at, "-1") : json_write_u64(at, (uint64_t)seq);
    at = write_kept(at, &events->place);
    at = seq < 0 ? at : write_ordinal(at, (uint64_t)seq);
    *at++ = '"';
    json_done(out, at);
    write_partition_key(events, change, out);
    BYTES_APPEND_LITERAL(out, ",\"data\":");
}

static enum fan_status write_event(struct cloudevents *events, const struct change *change,
                                   struct bytes *out, struct fan_error *reterr)
{
    if (!events->binary) {
        write_attributes(events, change, out);
    } else if (!look_at_txn(events, change)) {
        out->failed = true;
    }
    bytes_append_char(out, '{');
    enum fan_status status = content_write(&events->values, change, out, reterr);
    bytes_append_char(out, ',');
    bytes_append(out, events->origin.data, events->origin.size);
    if (!events->binary) {
        bytes_append_char(out, '}');
    }
    return status;
}

static enum fan_status cloudevents_encode(struct encoder *encoder, const struct change *change,
                                          struct bytes *out, struct fan_error *reterr)
{
    struct cloudevents *events = (struct cloudevents *)encoder;
    size_t start = out->size;
    content_begin(&events->values);
    /* Debezium knows no gaps: their marker is an event of ours there, too. */
    enum fan_status status = events->debezium && change->op != CHANGE_GAP
                                 ? cloudevents_debezium_write(events->context, &events->values,
                                                              &events->clock, change, out, reterr)
                                 : write_event(events, change, out, reterr);
    if (status != FAN_OK) {
        bytes_truncate(out, start);
        return status;
    }
    return content_ok(&events->values, out)
               ? FAN_OK
               : content_failed(&events->values, change, out, start, reterr);
}

static enum fan_status cloudevents_mark(struct encoder *encoder, enum txn_mark mark,
                                        const struct change *change, struct bytes *out,
                                        struct fan_error *reterr)
{
    struct cloudevents *events = (struct cloudevents *)encoder;
    bool begin = mark == TXN_MARK_BEGIN;
    bool fine = look_at_txn(events, change);
    if (fine) {
        bytes_append(out, events->head.data, events->head.size);
        bytes_append_char(out, begin ? 'b' : 'c');
        bytes_append(out, events->source.data, events->source.size);
        bytes_append_text(out,
                          begin ? "io.pgfan.transaction.begin\"" : "io.pgfan.transaction.commit\"");
        bytes_append(out, events->when.data, events->when.size);
        BYTES_APPEND_LITERAL(out, ",\"data\":{");
        bytes_append(out, events->origin.data, events->origin.size);
        bytes_append_char(out, '}');
    }
    return fine && bytes_ok(out)
               ? FAN_OK
               : fan_fail(reterr, FAN_RETRY, "could not mark a transaction: out of memory");
}
