/*
 * native.c - writes a change in one pass from the message's bytes to the batch's.
 *
 * What is the same for many events is kept as text: the table's and the columns' names in the
 * relation, and here the end of the event, once per transaction:
 *
 *     ,"lsn":"0/1A2B3C4D","seq":  3  ,"txid":731,"ts":"…","id":"<sysid>-<slot>-<lsn>-  00000003
 *     `------- position -------'     `---------------------- origin --------------------'
 */
#include "encode/native.h"

#include <stdlib.h>

#include "encode/content.h"
#include "encode/json.h"
#include "encode/time_text.h"
#include "encode/value.h"

enum {
    PIECE_MAX = 64 * 1024, /* of the texts made from the conf's and the server's names */
    NUMBERS_MAX = 128,     /* room for the numbers between the kept texts */
};

struct native {
    struct encoder base;
    struct value_writer values;
    struct bytes id_prefix; /* "<sysid>-<slot>-" as the inside of a JSON string */
    struct bytes source;    /* ","source":"shop"}: from the id's end to the event's */
    /* What the two texts below were made from. */
    bool cached;
    struct fan_lsn cached_lsn;
    int64_t cached_time_us;
    uint32_t cached_xid;
    struct bytes position;
    struct bytes origin;
    struct time_text clock;
};

static enum fan_status native_create(const struct encode_settings *settings,
                                     const struct encode_context *context,
                                     struct encoder **ret_encoder, struct fan_error *reterr);
static enum fan_status native_encode(struct encoder *encoder, const struct change *change,
                                     struct bytes *out, struct fan_error *reterr);
static enum fan_status native_mark(struct encoder *encoder, enum txn_mark mark,
                                   const struct change *change, struct bytes *out,
                                   struct fan_error *reterr);
static void native_destroy(struct encoder *encoder);

const struct encoder_type native_encoder = {
    .name = "native",
    .create = native_create,
    .encode = native_encode,
    .mark = native_mark,
    .destroy = native_destroy,
};

static void native_destroy(struct encoder *encoder)
{
    if (encoder == NULL) {
        return;
    }
    struct native *native = (struct native *)encoder;
    value_writer_release(&native->values);
    bytes_release(&native->id_prefix);
    bytes_release(&native->source);
    bytes_release(&native->position);
    bytes_release(&native->origin);
    free(native);
}

static enum fan_status native_create(const struct encode_settings *settings,
                                     const struct encode_context *context,
                                     struct encoder **ret_encoder, struct fan_error *reterr)
{
    struct native *native = calloc(1, sizeof(*native));
    if (native == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make an encoder: out of memory");
    }
    native->base.type = &native_encoder;
    value_writer_init(&native->values, settings);
    bytes_init(&native->id_prefix, PIECE_MAX);
    bytes_init(&native->source, PIECE_MAX);
    bytes_init(&native->position, PIECE_MAX);
    bytes_init(&native->origin, (size_t)2 * PIECE_MAX);
    json_write_escaped(&native->id_prefix, context->system_id, strlen(context->system_id));
    bytes_append_char(&native->id_prefix, '-');
    json_write_escaped(&native->id_prefix, context->slot, strlen(context->slot));
    bytes_append_char(&native->id_prefix, '-');
    BYTES_APPEND_LITERAL(&native->source, "\",\"source\":");
    json_write_string(&native->source, context->source, strlen(context->source));
    bytes_append_char(&native->source, '}');
    (void)bytes_reserve(&native->source, 16); /* as in tail_prepare(); shows in bytes_ok() */
    if (!bytes_ok(&native->id_prefix) || !bytes_ok(&native->source)) {
        native_destroy(&native->base);
        return fan_fail(reterr, FAN_FATAL,
                        "cannot make an encoder: the names of source and slot are too long");
    }
    *ret_encoder = &native->base;
    return FAN_OK;
}

static void append_lsn(struct bytes *out, struct fan_lsn lsn)
{
    char text[LSN_TEXT_SIZE];
    bytes_append(out, text, lsn_format(lsn, text));
}

/* Makes the texts that every event of a transaction ends with. */
static void tail_prepare(struct native *native, const struct change *change)
{
    struct bytes *position = &native->position;
    struct bytes *origin = &native->origin;
    bytes_clear(position);
    BYTES_APPEND_LITERAL(position, ",\"lsn\":\"");
    append_lsn(position, change->position.commit_lsn);
    BYTES_APPEND_LITERAL(position, "\",\"seq\":");

    uint8_t number[20];
    bytes_clear(origin);
    BYTES_APPEND_LITERAL(origin, ",\"txid\":");
    if (change->xid == 0) {
        BYTES_APPEND_LITERAL(origin, "null");
    } else {
        bytes_append(origin, number, (size_t)(json_write_u64(number, change->xid) - number));
    }
    BYTES_APPEND_LITERAL(origin, ",\"ts\":");
    if (change->commit_time_us == 0) {
        BYTES_APPEND_LITERAL(origin, "null");
    } else {
        time_text_set(&native->clock, change->commit_time_us);
        bytes_append_char(origin, '"');
        bytes_append(origin, native->clock.text, native->clock.size);
        bytes_append_char(origin, '"');
    }
    BYTES_APPEND_LITERAL(origin, ",\"id\":\"");
    bytes_append(origin, native->id_prefix.data, native->id_prefix.size);
    uint64_t lsn = change->position.commit_lsn.value;
    (void)json_write_hex(json_write_hex(number, lsn >> 32), (uint32_t)lsn); /* always 16 digits */
    bytes_append(origin, number, 16);
    bytes_append_char(origin, '-');
    /* Room for json_write_padded(), which reads behind the end. */
    (void)bytes_reserve(position, 16); /* a failure shows in bytes_ok() */
    (void)bytes_reserve(origin, 16);   /* as above */

    native->cached_lsn = change->position.commit_lsn;
    native->cached_time_us = change->commit_time_us;
    native->cached_xid = change->xid;
    native->cached = bytes_ok(position) && bytes_ok(origin);
}

static uint8_t *write_kept(uint8_t *at, const struct bytes *kept)
{
    return json_write_padded(at, kept->data, kept->size);
}

static void tail_look(struct native *native, const struct change *change)
{
    if (!native->cached || native->cached_lsn.value != change->position.commit_lsn.value ||
        native->cached_xid != change->xid || native->cached_time_us != change->commit_time_us) {
        tail_prepare(native, change);
    }
}

static enum fan_status native_mark(struct encoder *encoder, enum txn_mark mark,
                                   const struct change *change, struct bytes *out,
                                   struct fan_error *reterr)
{
    struct native *native = (struct native *)encoder;
    tail_look(native, change);
    if (mark == TXN_MARK_BEGIN) {
        BYTES_APPEND_LITERAL(out, "{\"op\":\"begin\",\"lsn\":\"");
    } else {
        BYTES_APPEND_LITERAL(out, "{\"op\":\"commit\",\"lsn\":\"");
    }
    append_lsn(out, change->position.commit_lsn);
    bytes_append_char(out, '"');
    bytes_append(out, native->origin.data, native->origin.size);
    bytes_append_char(out, mark == TXN_MARK_BEGIN ? 'b' : 'c');
    bytes_append(out, native->source.data, native->source.size);
    return native->cached && bytes_ok(out)
               ? FAN_OK
               : fan_fail(reterr, FAN_RETRY, "could not mark a transaction: out of memory");
}

static void write_tail(struct native *native, const struct change *change, struct bytes *out)
{
    tail_look(native, change);
    uint8_t *at = json_room(out, native->position.size + native->origin.size + native->source.size +
                                     NUMBERS_MAX);
    if (at == NULL || !native->cached) {
        out->failed = true;
        return;
    }
    bool message = change->position.seq < 0;
    at = write_kept(at, &native->position);
    if (message) {
        at = JSON_WRITE_LITERAL(at, "-1");
    } else {
        at = json_write_u64(at, (uint64_t)change->position.seq);
    }
    at = write_kept(at, &native->origin);
    if (message) {
        *at++ = 'm';
    } else {
        at = json_write_hex(at, (uint64_t)change->position.seq);
    }
    if (change->op == CHANGE_GAP) {
        at = JSON_WRITE_LITERAL(at, "-g");
    }
    json_done(out, write_kept(at, &native->source));
}

static void write_head(const struct change *change, struct bytes *out)
{
    const struct relation *relation = change->relation;
    if (change->op == CHANGE_MESSAGE) {
        BYTES_APPEND_LITERAL(out, "{\"op\":\"m\",");
        return;
    }
    if (change->op == CHANGE_GAP) {
        BYTES_APPEND_LITERAL(out, "{\"op\":\"g\",\"table\":null,");
        return;
    }
    uint8_t *at = json_room(out, relation->json_table_size + 32 + RELATION_JSON_PAD);
    if (at == NULL) {
        return;
    }
    at = JSON_WRITE_LITERAL(at, "{\"op\":\"");
    *at++ = change->op;
    at = JSON_WRITE_LITERAL(at, "\",\"table\":");
    at = json_write_padded(at, relation->json_table, relation->json_table_size);
    *at++ = ',';
    json_done(out, at);
}

static enum fan_status native_encode(struct encoder *encoder, const struct change *change,
                                     struct bytes *out, struct fan_error *reterr)
{
    struct native *native = (struct native *)encoder;
    size_t start = out->size;
    content_begin(&native->values);
    write_head(change, out);
    enum fan_status status = content_write(&native->values, change, out, reterr);
    if (status != FAN_OK) {
        bytes_truncate(out, start);
        return status;
    }
    write_tail(native, change, out);
    return content_ok(&native->values, out)
               ? FAN_OK
               : content_failed(&native->values, change, out, start, reterr);
}
