#include "encode/avro_shape.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "encode/avro_schema.h"
#include "encode/avro_value.h"

enum {
    SCHEMA_MAX = 16 * 1024 * 1024, /* as debezium_table.c */
    SUBJECT_MAX = 4096,
    VALUE_KEPT_MAX = 1024 * 1024,
};

void avro_shape_release(struct avro_shape *shape)
{
    if (shape->iface != NULL) {
        if (shape->value.iface != NULL) {
            avro_value_decref(&shape->value);
        }
        avro_value_iface_decref(shape->iface);
    }
    if (shape->schema != NULL) {
        avro_schema_decref(shape->schema);
    }
    bytes_release(&shape->text);
    bytes_release(&shape->subject);
    *shape = (struct avro_shape){0};
}

static void make_subject(struct avro_shape *shape, enum avro_subjects subjects, const char *topic,
                         bool is_key)
{
    struct bytes *subject = &shape->subject;
    if (subjects != AVRO_SUBJECTS_RECORD) {
        bytes_append_text(subject, topic);
        bytes_append_text(subject, subjects == AVRO_SUBJECTS_BOTH ? "-"
                                   : is_key                       ? "-key"
                                                                  : "-value");
    }
    if (subjects != AVRO_SUBJECTS_TOPIC) {
        const char *space = avro_schema_namespace(shape->schema);
        bytes_append_format(subject, "%s%s%s", space != NULL ? space : "", space != NULL ? "." : "",
                            avro_schema_name(shape->schema));
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the schema, which is ours */
static void drop_defaults(json_t *node)
{
    size_t index;
    json_t *item;
    const char *key;
    if (json_is_array(node)) {
        json_array_foreach(node, index, item)
        {
            drop_defaults(item);
        }
        return;
    }
    (void)json_object_del(node, "default"); /* it may not be there */
    (void)json_object_del(node, "connect.default");
    json_object_foreach(node, key, item)
    {
        drop_defaults(item);
    }
}

/* Has avro-c read the schema, which checks it. Defaults are for readers: avro-c makes nothing of them,
 * and takes no NUL in them. */
static enum fan_status load(struct avro_shape *shape, struct fan_error *reterr)
{
    json_t *schema = json_loadb((const char *)shape->text.data, shape->text.size,
                                JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    drop_defaults(schema);
    char *text = json_dumps(schema, JSON_COMPACT | JSON_ENCODE_ANY); /* NULL of NULL */
    json_decref(schema);
    if (text == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make an Avro schema: out of memory");
    }
    int result = avro_schema_from_json_length(text, strlen(text), &shape->schema);
    free(text);
    if (result != 0) {
        shape->schema = NULL;
        return fan_fail_errno(reterr, result == ENOMEM ? FAN_RETRY : FAN_POISON, result,
                              "cannot use an Avro schema: avro-c does not take it");
    }
    return FAN_OK;
}

/* An empty value. */
static bool make_value(struct avro_shape *shape)
{
    if (avro_generic_value_new(shape->iface, &shape->value) != 0) {
        shape->value.iface = NULL;
        return false;
    }
    return true;
}

enum fan_status avro_shape_init(struct avro_shape *shape, const struct avro_settings *settings,
                                const struct bytes *connect, const char *topic, bool is_key,
                                struct fan_error *reterr)
{
    struct avro_shape fresh = {0};
    bytes_init(&fresh.text, SCHEMA_MAX);
    bytes_init(&fresh.subject, SUBJECT_MAX);
    enum fan_status status = avro_schema_make((const char *)connect->data, connect->size,
                                              settings->names, &fresh.text, reterr);
    if (status == FAN_OK) {
        status = load(&fresh, reterr);
    }
    if (status == FAN_OK) {
        fresh.iface = avro_generic_class_from_schema(fresh.schema);
        if (fresh.iface == NULL || !make_value(&fresh)) {
            status = fan_fail(reterr, FAN_RETRY, "could not make an Avro value: out of memory");
        }
    }
    if (status == FAN_OK) {
        make_subject(&fresh, settings->subjects, topic, is_key);
        bytes_append_char(&fresh.subject, '\0');
        if (!bytes_ok(&fresh.subject)) {
            status = fan_fail(reterr, FAN_RETRY, "could not name a schema: out of memory");
        }
    }
    if (status != FAN_OK) {
        avro_shape_release(&fresh);
        return status;
    }
    fresh.made = true;
    *shape = fresh;
    return FAN_OK;
}

enum fan_status avro_shape_find(struct avro_shape *shape, struct schema_ids *ids,
                                struct fan_error *reterr)
{
    if (shape->known) {
        return FAN_OK;
    }
    enum fan_status status =
        ids->find(ids, (const char *)shape->subject.data, (const char *)shape->text.data,
                  shape->text.size, &shape->id, reterr);
    shape->known = status == FAN_OK;
    return status;
}

/* Appends what the shape's value holds. */
static enum fan_status append_value(struct avro_shape *shape, struct bytes *out,
                                    struct fan_error *reterr)
{
    size_t size = 0;
    if (avro_value_sizeof(&shape->value, &size) != 0) {
        return fan_fail(reterr, FAN_RETRY, "could not encode an event in Avro: out of memory");
    }
    if (out->size_max - out->size < size) {
        return fan_fail(reterr, FAN_POISON,
                        "cannot encode an event in Avro: it is larger than an event may be");
    }
    if (size == 0) {
        return FAN_OK; /* a record without fields */
    }
    avro_writer_t writer = bytes_reserve(out, size)
                               ? avro_writer_memory((char *)out->data + out->size, (int64_t)size)
                               : NULL;
    int result = writer != NULL ? avro_value_write(writer, &shape->value) : -1;
    if (writer != NULL) {
        avro_writer_free(writer);
    }
    if (result != 0) {
        return fan_fail(reterr, FAN_RETRY, "could not encode an event in Avro: out of memory");
    }
    out->size += size;
    return FAN_OK;
}

static enum fan_status fill(struct avro_shape *shape, const uint8_t *json, size_t json_size,
                            struct bytes *scratch, struct fan_error *reterr)
{
    enum fan_status status = FAN_RETRY;
    if (shape->large) { /* a reset would keep its memory */
        avro_value_decref(&shape->value);
        shape->value.iface = NULL;
    }
    bool fresh =
        shape->value.iface != NULL ? avro_value_reset(&shape->value) == 0 : make_value(shape);
    shape->large = json_size > VALUE_KEPT_MAX;
    if (fresh) {
        status = avro_value_fill(&shape->value, json, json_size, scratch);
    }
    if (status == FAN_POISON) {
        (void)fan_fail(reterr, status, /* the status is returned below */
                       "cannot encode an event in Avro: a value does not fit to its schema");
        fan_error_annotate(reterr, "NO_FORM", NULL);
    } else if (status != FAN_OK) {
        (void)fan_fail(reterr, status, "could not encode an event in Avro: out of memory");
    }
    return status;
}

enum fan_status avro_shape_write(struct avro_shape *shape, struct schema_ids *ids,
                                 const uint8_t *json, size_t json_size, struct bytes *scratch,
                                 struct bytes *out, struct fan_error *reterr)
{
    size_t start = out->size;
    enum fan_status status = avro_shape_find(shape, ids, reterr);
    if (status == FAN_OK) {
        status = fill(shape, json, json_size, scratch, reterr);
    }
    if (status != FAN_OK) {
        return status;
    }
    const uint8_t head[AVRO_HEAD_SIZE] = {0, (uint8_t)(shape->id >> 24), (uint8_t)(shape->id >> 16),
                                          (uint8_t)(shape->id >> 8), (uint8_t)shape->id};
    bytes_append(out, head, sizeof(head));
    status = bytes_ok(out)
                 ? append_value(shape, out, reterr)
                 : fan_fail(reterr, FAN_RETRY, "could not encode an event in Avro: out of memory");
    if (status != FAN_OK) {
        bytes_truncate(out, start);
    }
    return status;
}
