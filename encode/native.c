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

#include "base/clock.h"
#include "base/utf8.h"
#include "base/wire.h"
#include "encode/json.h"
#include "encode/row_object.h"
#include "encode/value.h"

enum {
    PIECE_MAX = 64 * 1024, /* of the texts made from the conf's and the server's names */
    NUMBERS_MAX = 128,     /* room for the numbers between the kept texts */
    TRUNCATE_CASCADE = 1,
    TRUNCATE_RESTART_IDENTITY = 2,
    MESSAGE_TRANSACTIONAL = 1,
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
    int64_t clock_second; /* whose text is in `clock`; transactions come many a second */
    size_t clock_size;    /* 0: none */
    char clock[CLOCK_TEXT_SIZE];
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

/* Appends the time; within one second only its last digits are made again. */
static void append_time(struct native *native, int64_t time_us, struct bytes *out)
{
    enum { MICROS_SIZE = 6, END_SIZE = 1 };
    int64_t second = time_us / 1000000;
    if (native->clock_size == 0 || second != native->clock_second || time_us < 0) {
        native->clock_size = clock_format_utc(time_us, native->clock);
        native->clock_second = second;
    } else {
        int64_t micros = time_us % 1000000;
        char *digits = native->clock + native->clock_size - MICROS_SIZE - END_SIZE;
        for (int i = MICROS_SIZE - 1; i >= 0; i--) {
            digits[i] = (char)('0' + micros % 10);
            micros /= 10;
        }
    }
    bytes_append_char(out, '"');
    bytes_append(out, native->clock, native->clock_size);
    bytes_append_char(out, '"');
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
        append_time(native, change->commit_time_us, origin);
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
    uint8_t *at = json_room(out, relation->json_table_size + 32 + RELATION_JSON_PAD);
    if (at == NULL) {
        return;
    }
    at = JSON_WRITE_LITERAL(at, "{\"op\":\"");
    *at++ = change->op;
    at = JSON_WRITE_LITERAL(at, "\",\"table\":");
    at = json_write_padded(at, relation->json_table, relation->json_table_size);
    json_done(out, JSON_WRITE_LITERAL(at, ",\"key\":"));
}

static void write_row_change(struct native *native, const struct change *change, struct bytes *out)
{
    struct row_pair old = row_pair_old(change);
    struct row_pair row = row_pair_new(change);
    write_head(change, out);
    if (change->relation->has_key) {
        (void)row_object_write(&native->values, change->new_offset != 0 ? row : old, COLUMNS_KEY,
                               out);
    } else {
        BYTES_APPEND_LITERAL(out, "null");
    }
    if (change->old_offset != 0) {
        BYTES_APPEND_LITERAL(out, ",\"before\":");
        (void)row_object_write(&native->values, old,
                               change->old_row == OLD_ROW_FULL ? COLUMNS_ALL : COLUMNS_IDENTITY,
                               out);
    }
    if (change->new_offset != 0) {
        BYTES_APPEND_LITERAL(out, ",\"after\":");
        if (row_object_write(&native->values, row, COLUMNS_ALL, out)) {
            row_object_unchanged(row, out);
        }
    }
}

static void write_truncate(const struct change *change, struct bytes *out)
{
    write_head(change, out);
    BYTES_APPEND_LITERAL(out, "null");
    if ((change->truncate_flags & TRUNCATE_CASCADE) != 0) {
        BYTES_APPEND_LITERAL(out, ",\"cascade\":true");
    }
    if ((change->truncate_flags & TRUNCATE_RESTART_IDENTITY) != 0) {
        BYTES_APPEND_LITERAL(out, ",\"restart_identity\":true");
    }
}

/* Logical Replication Message Formats, "Message": 'M', flags, LSN, prefix, length, content. */
static bool write_message(const struct change *change, struct bytes *out)
{
    struct wire wire;
    wire_init(&wire, message_payload(change->message), message_payload_size(change->message));
    (void)wire_u8(&wire); /* the tag */
    uint8_t flags = wire_u8(&wire);
    (void)wire_u64(&wire); /* the LSN is in the change's position */
    const char *prefix = wire_cstring(&wire);
    size_t size = wire_u32(&wire);
    const uint8_t *content = wire_bytes(&wire, size);
    if (!wire_ok(&wire)) {
        return false;
    }
    BYTES_APPEND_LITERAL(out, "{\"op\":\"m\",\"prefix\":");
    json_write_string(out, prefix, strlen(prefix));
    BYTES_APPEND_LITERAL(out, ",\"content\":");
    if (utf8_valid(content, size)) {
        json_write_string(out, (const char *)content, size);
    } else {
        json_write_base64(out, content, size);
        BYTES_APPEND_LITERAL(out, ",\"encoding\":\"base64\"");
    }
    if ((flags & MESSAGE_TRANSACTIONAL) != 0) {
        BYTES_APPEND_LITERAL(out, ",\"transactional\":true");
    } else {
        BYTES_APPEND_LITERAL(out, ",\"transactional\":false");
    }
    return true;
}

static void append_position(struct bytes *out, struct fan_position position)
{
    uint8_t number[20];
    bytes_append_char(out, '"');
    append_lsn(out, position.commit_lsn);
    if (position.seq < 0) {
        BYTES_APPEND_LITERAL(out, ":-1");
    } else {
        bytes_append_char(out, ':');
        uint64_t seq = (uint64_t)position.seq;
        bytes_append(out, number, (size_t)(json_write_u64(number, seq) - number));
    }
    bytes_append_char(out, '"');
}

static void write_gap(const struct change_gap *gap, struct bytes *out)
{
    uint8_t number[20];
    BYTES_APPEND_LITERAL(out, "{\"op\":\"g\",\"table\":null,\"from\":");
    append_position(out, gap->first);
    BYTES_APPEND_LITERAL(out, ",\"to\":");
    append_position(out, gap->last);
    BYTES_APPEND_LITERAL(out, ",\"count\":");
    bytes_append(out, number, (size_t)(json_write_u64(number, gap->count) - number));
}

/*
 * A buffer does not say whether its maximum or the memory stopped it. It was the maximum if the
 * largest single request that this change can make would not have fitted below it.
 */
static bool is_too_large(const struct change *change, const struct bytes *out)
{
    size_t largest = JSON_REQUEST_MAX;
    if (change->message != NULL && change->message->size > JSON_REQUEST_MAX / 3) {
        largest = (size_t)change->message->size * 3;
    }
    return out->failed && out->size_max - out->size < largest;
}

/* Says why the event was not written. */
static enum fan_status native_failed(const struct native *native, const struct change *change,
                                     bool too_large, struct fan_error *reterr)
{
    const char *schema = change->relation == NULL ? "" : change->relation->schema;
    const char *table = change->relation == NULL ? "(message)" : change->relation->name;
    if (native->values.refused) {
        enum fan_status status =
            fan_fail(reterr, FAN_POISON,
                     "cannot encode a row of \"%s.%s\": a float is NaN or infinite", schema, table);
        fan_error_annotate(reterr, "SPECIAL_VALUE", "%s",
                           "set special_values of the target to string or null");
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

static enum fan_status native_encode(struct encoder *encoder, const struct change *change,
                                     struct bytes *out, struct fan_error *reterr)
{
    struct native *native = (struct native *)encoder;
    size_t start = out->size;
    native->values.refused = false;
    native->values.scratch_failed = false;
    switch (change->op) {
    case CHANGE_TRUNCATE:
        write_truncate(change, out);
        break;
    case CHANGE_MESSAGE:
        if (!write_message(change, out)) {
            return fan_fail(reterr, FAN_POISON,
                            "cannot encode a logical message: its bytes end too early");
        }
        break;
    case CHANGE_GAP:
        write_gap(change->gap, out);
        break;
    default:
        write_row_change(native, change, out);
        break;
    }
    write_tail(native, change, out);
    if (__builtin_expect(!out->failed && !native->values.refused && !native->values.scratch_failed,
                         1)) {
        return FAN_OK;
    }
    bool too_large = is_too_large(change, out);
    bytes_truncate(out, start);
    return native_failed(native, change, too_large, reterr);
}
