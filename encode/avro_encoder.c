/*
 * avro_encoder.c - which schema each part of an event has, and when it is made.
 *
 * A table has a schema for its keys and one for its values; messages, gaps and marks have theirs, which
 * belong to no table. All are made at their first use, and asked for in the registry then. As long as
 * the registry has not answered the event waits (FAN_AGAIN).
 */
#include "encode/avro_encoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encode/avro_schema.h"
#include "encode/avro_shape.h"
#include "encode/debezium.h"
#include "encode/debezium_schema.h"
#include "encode/debezium_table.h"
#include "encode/json.h"
#include "encode/record.h"
#include "encode/relation_map.h"

enum {
    CONNECT_MAX = 16 * 1024 * 1024, /* as debezium_table.c */
    TOPIC_MAX = 1024,
    BUFFER_KEPT_MAX = 1024 * 1024,
};

/* A pair of schemas that belong together. */
struct avro_pair {
    struct avro_shape key;
    struct avro_shape value;
};

struct avro {
    struct encoder base;
    struct encoder *inner; /* owned: the envelope debezium */
    struct debezium_settings debezium;
    struct avro_settings settings;
    const char *prefix; /* borrowed */
    bool records;
    bool octets;
    bool lenient;
    struct relation_map tables; /* of struct avro_pair, owned */
    struct avro_pair message;
    struct avro_pair gap; /* without a key */
    struct avro_pair mark;
    struct bytes json; /* what `inner` wrote */
    struct bytes scratch;
    struct bytes key;
    struct bytes value;
};

static enum fan_status avro_create(const struct encode_settings *settings,
                                   const struct encode_context *context,
                                   struct encoder **ret_encoder, struct fan_error *reterr);
static enum fan_status avro_encode(struct encoder *encoder, const struct change *change,
                                   struct bytes *out, struct fan_error *reterr);
static enum fan_status avro_mark(struct encoder *encoder, enum txn_mark mark,
                                 const struct change *change, struct bytes *out,
                                 struct fan_error *reterr);
static void avro_destroy(struct encoder *encoder);

const struct encoder_type avro_encoder = {
    .name = AVRO_FORMAT,
    .records = true,
    .lenient_is_foreign = true,
    .create = avro_create,
    .encode = avro_encode,
    .mark = avro_mark,
    .destroy = avro_destroy,
};

static void pair_release(struct avro_pair *pair)
{
    avro_shape_release(&pair->key);
    avro_shape_release(&pair->value);
}

static void table_destroy(void *value)
{
    pair_release(value);
    free(value);
}

static void avro_destroy(struct encoder *encoder)
{
    struct avro *avro = (struct avro *)encoder;
    if (avro == NULL) {
        return;
    }
    debezium_encoder.destroy(avro->inner);
    relation_map_release(&avro->tables, table_destroy);
    pair_release(&avro->message);
    pair_release(&avro->gap);
    pair_release(&avro->mark);
    bytes_release(&avro->json);
    bytes_release(&avro->scratch);
    bytes_release(&avro->key);
    bytes_release(&avro->value);
    free(avro);
}

static enum fan_status avro_create(const struct encode_settings *settings,
                                   const struct encode_context *context,
                                   struct encoder **ret_encoder, struct fan_error *reterr)
{
    struct avro *avro = calloc(1, sizeof(*avro));
    if (avro == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make an encoder: out of memory");
    }
    avro->base.type = &avro_encoder;
    avro->debezium = settings->debezium;
    avro->settings = settings->avro;
    avro->prefix =
        settings->debezium.topic_prefix != NULL ? settings->debezium.topic_prefix : context->source;
    avro->records = settings->records;
    avro->octets = settings->octets;
    avro->lenient = settings->lenient;
    bytes_init(&avro->json, UINT32_MAX);
    bytes_init(&avro->scratch, UINT32_MAX);
    bytes_init(&avro->key, UINT32_MAX);
    bytes_init(&avro->value, UINT32_MAX);
    enum fan_status status = debezium_encoder.create(settings, context, &avro->inner, reterr);
    if (status != FAN_OK) {
        avro_destroy(&avro->base);
        return status;
    }
    *ret_encoder = &avro->base;
    return FAN_OK;
}

/* ---- schemas ---- */

/* A Connect schema in `connect` becomes a shape. */
static enum fan_status shape_make(const struct avro *avro, struct avro_shape *shape,
                                  struct bytes *connect, const char *topic, bool is_key,
                                  struct fan_error *reterr)
{
    struct bytes fit;
    bytes_init(&fit, TOPIC_MAX);
    avro_topic_append(&fit, topic);
    bytes_append_char(&fit, '\0');
    enum fan_status status =
        bytes_ok(connect) && bytes_ok(&fit)
            ? avro_shape_init(shape, &avro->settings, connect, (const char *)fit.data, is_key,
                              reterr)
            : fan_fail(reterr, FAN_RETRY, "could not make a schema: out of memory");
    bytes_release(&fit);
    bytes_release(connect);
    return status;
}

static enum fan_status table_shape_make(const struct avro *avro, struct avro_shape *shape,
                                        const struct relation *relation, bool is_key,
                                        struct fan_error *reterr)
{
    char topic[TOPIC_MAX];
    struct bytes connect;
    struct debezium_column *columns = debezium_columns_make(&avro->debezium, relation);
    if (columns == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make a schema: out of memory");
    }
    const struct debezium_schema_source source = {.settings = &avro->debezium,
                                                  .prefix = avro->prefix,
                                                  .relation = relation,
                                                  .columns = columns};
    bytes_init(&connect, CONNECT_MAX);
    if (is_key) {
        debezium_schema_key(&source, &connect);
    } else {
        debezium_schema_envelope(&source, &connect);
    }
    debezium_columns_destroy(columns);
    /* Names of tables have at most 63 bytes, the prefix 255: it fits. */
    (void)snprintf(topic, sizeof(topic), "%s.%s.%s", avro->prefix, relation->schema,
                   relation->name);
    return shape_make(avro, shape, &connect, topic, is_key, reterr);
}

static enum fan_status other_shape_make(const struct avro *avro, struct avro_shape *shape,
                                        const char *kind, bool is_key, struct fan_error *reterr)
{
    char topic[TOPIC_MAX];
    struct bytes connect;
    bytes_init(&connect, CONNECT_MAX);
    if (shape == &avro->message.key) {
        debezium_schema_message_key(&connect);
    } else if (shape == &avro->message.value) {
        debezium_schema_message(&avro->debezium, &connect);
    } else if (shape == &avro->mark.key) {
        debezium_schema_transaction_key(&connect);
    } else if (shape == &avro->mark.value) {
        debezium_schema_transaction(&connect);
    } else {
        debezium_schema_gap(&connect);
    }
    (void)snprintf(topic, sizeof(topic), "%s.%s", avro->prefix, kind); /* it fits */
    return shape_make(avro, shape, &connect, topic, is_key, reterr);
}

/* What an event is written with. */
struct parts {
    struct avro_pair *pair;
    const char *kind; /* in the place of a table's name; NULL: of a table */
    const struct relation *relation;
};

/* The schemas of what the change is, and what stands in the place of a table's name. */
static enum fan_status parts_of(struct avro *avro, const struct change *change,
                                struct parts *ret_parts, struct fan_error *reterr)
{
    if (change->relation == NULL) {
        bool gap = change->op == CHANGE_GAP;
        *ret_parts = (struct parts){.pair = gap ? &avro->gap : &avro->message,
                                    .kind = gap ? "gap" : "message"};
        return FAN_OK;
    }
    void **place = relation_map_at(&avro->tables, change->relation);
    if (place != NULL && *place == NULL) {
        *place = calloc(1, sizeof(struct avro_pair));
    }
    if (place == NULL || *place == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not encode an event: out of memory");
    }
    *ret_parts = (struct parts){.pair = *place, .relation = change->relation};
    return FAN_OK;
}

/* ---- events ---- */

/* The shape of the event's keys or values, made at its first use, with its number. */
static enum fan_status shape_find(struct avro *avro, const struct parts *parts, bool is_key,
                                  struct avro_shape **ret_shape, struct fan_error *reterr)
{
    struct avro_shape *shape = is_key ? &parts->pair->key : &parts->pair->value;
    enum fan_status status = FAN_OK;
    if (!shape->made) {
        status = parts->kind == NULL
                     ? table_shape_make(avro, shape, parts->relation, is_key, reterr)
                     : other_shape_make(avro, shape, parts->kind, is_key, reterr);
    }
    *ret_shape = shape;
    return status != FAN_OK ? status : avro_shape_find(shape, avro->settings.ids, reterr);
}

/* One key or value: its JSON becomes a message at the end of `out`. */
static enum fan_status part_write(struct avro *avro, const struct parts *parts, bool is_key,
                                  const uint8_t *json, size_t json_size, struct bytes *out,
                                  struct fan_error *reterr)
{
    struct avro_shape *shape;
    enum fan_status status = shape_find(avro, parts, is_key, &shape, reterr);
    return status != FAN_OK ? status
                            : avro_shape_write(shape, avro->settings.ids, json, json_size,
                                               &avro->scratch, out, reterr);
}

static enum fan_status record_write(struct avro *avro, const struct parts *parts,
                                    const struct record *record, struct bytes *out,
                                    struct fan_error *reterr)
{
    struct record written = *record;
    enum fan_status status = FAN_OK;
    bytes_clear(&avro->key);
    bytes_clear(&avro->value);
    if (record->key != NULL) {
        status = part_write(avro, parts, true, record->key, record->key_size, &avro->key, reterr);
        written.key = avro->key.data;
        written.key_size = avro->key.size;
    }
    if (record->value != NULL && status == FAN_AGAIN) {
        struct avro_shape *shape;
        (void)shape_find(avro, parts, false, &shape, NULL); /* asked for, too: one wait for both */
    }
    if (record->value != NULL && status == FAN_OK) {
        status =
            part_write(avro, parts, false, record->value, record->value_size, &avro->value, reterr);
        written.value = avro->value.data;
        written.value_size = avro->value.size;
    }
    if (status == FAN_OK) {
        record_append(out, &written);
    }
    return status;
}

/* What stands in avro->json, as messages. */
static enum fan_status event_write(struct avro *avro, const struct parts *parts, struct bytes *out,
                                   struct fan_error *reterr)
{
    const struct bytes *json = &avro->json;
    enum fan_status status = FAN_OK;
    if (avro->records) {
        struct record record;
        size_t at = 0;
        while (status == FAN_OK && record_next(json->data, json->size, &at, &record)) {
            status = record_write(avro, parts, &record, out, reterr);
        }
        return status;
    }
    struct bytes *value = avro->octets ? out : &avro->value;
    if (!avro->octets) {
        bytes_clear(value);
    }
    status = part_write(avro, parts, false, json->data, json->size, value, reterr);
    if (status == FAN_OK && !avro->octets) {
        json_write_base64(out, value->data, value->size);
    }
    return status;
}

/* Gives back what a large event made the buffers grow to. */
static void buffers_shrink(struct avro *avro)
{
    struct bytes *buffers[] = {&avro->json, &avro->scratch, &avro->key, &avro->value};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
        if (buffers[i]->capacity > BUFFER_KEPT_MAX) {
            bytes_release(buffers[i]);
        }
    }
}

/* The end of an event or a mark: all of it is there, or nothing. */
static enum fan_status finish(struct avro *avro, struct bytes *out, size_t start,
                              enum fan_status status, struct fan_error *reterr)
{
    buffers_shrink(avro);
    if (status == FAN_OK && !bytes_ok(out)) {
        status = fan_fail(reterr, FAN_RETRY, "could not encode an event in Avro: out of memory");
    }
    if (status != FAN_OK) {
        bytes_truncate(out, start);
    }
    if (status == FAN_POISON) {
        fan_error_annotate(reterr, "NO_FORM", NULL); /* whatever it was: its letter is JSON */
    }
    return status;
}

static enum fan_status avro_encode(struct encoder *encoder, const struct change *change,
                                   struct bytes *out, struct fan_error *reterr)
{
    struct avro *avro = (struct avro *)encoder;
    size_t start = out->size;
    struct parts parts;
    if (avro->lenient) {
        return debezium_encoder.encode(avro->inner, change, out, reterr);
    }
    bytes_clear(&avro->json);
    enum fan_status status = debezium_encoder.encode(avro->inner, change, &avro->json, reterr);
    if (status == FAN_OK) {
        status = parts_of(avro, change, &parts, reterr);
    }
    if (status == FAN_OK) {
        status = event_write(avro, &parts, out, reterr);
    }
    return finish(avro, out, start, status, reterr);
}

static enum fan_status avro_mark(struct encoder *encoder, enum txn_mark mark,
                                 const struct change *change, struct bytes *out,
                                 struct fan_error *reterr)
{
    struct avro *avro = (struct avro *)encoder;
    size_t start = out->size;
    bytes_clear(&avro->json);
    enum fan_status status = debezium_encoder.mark(avro->inner, mark, change, &avro->json, reterr);
    if (status == FAN_OK) {
        const struct parts parts = {.pair = &avro->mark, .kind = "transaction"};
        status = event_write(avro, &parts, out, reterr);
    }
    return finish(avro, out, start, status, reterr);
}
