#include "encode/content.h"

#include <string.h>

#include "base/utf8.h"
#include "base/wire.h"
#include "encode/json.h"
#include "encode/row_object.h"

enum { TRUNCATE_CASCADE = 1, TRUNCATE_RESTART_IDENTITY = 2, MESSAGE_TRANSACTIONAL = 1 };

void content_begin(struct value_writer *values)
{
    values->refused = false;
    values->scratch_failed = false;
}

static void write_rows(struct value_writer *values, const struct change *change, struct bytes *out)
{
    struct row_pair old = row_pair_old(change);
    struct row_pair row = row_pair_new(change);
    BYTES_APPEND_LITERAL(out, "\"key\":");
    if (change->relation->has_key) {
        (void)row_object_write(values, change->new_offset != 0 ? row : old, COLUMNS_KEY, out);
    } else {
        BYTES_APPEND_LITERAL(out, "null");
    }
    if (change->old_offset != 0) {
        BYTES_APPEND_LITERAL(out, ",\"before\":");
        (void)row_object_write(
            values, old, change->old_row == OLD_ROW_FULL ? COLUMNS_ALL : COLUMNS_IDENTITY, out);
    }
    if (change->new_offset != 0) {
        BYTES_APPEND_LITERAL(out, ",\"after\":");
        if (row_object_write(values, row, COLUMNS_ALL, out)) {
            row_object_unchanged(row, out);
        }
    }
}

static void write_truncate(const struct change *change, struct bytes *out)
{
    BYTES_APPEND_LITERAL(out, "\"key\":null");
    if ((change->truncate_flags & TRUNCATE_CASCADE) != 0) {
        BYTES_APPEND_LITERAL(out, ",\"cascade\":true");
    }
    if ((change->truncate_flags & TRUNCATE_RESTART_IDENTITY) != 0) {
        BYTES_APPEND_LITERAL(out, ",\"restart_identity\":true");
    }
}

/* Logical Replication Message Formats, "Message": 'M', flags, LSN, prefix, length, content. */
bool content_message_read(const struct change *change, struct content_message *ret_message)
{
    struct wire wire;
    wire_init(&wire, message_payload(change->message), message_payload_size(change->message));
    (void)wire_u8(&wire); /* the tag */
    uint8_t flags = wire_u8(&wire);
    (void)wire_u64(&wire); /* the LSN is in the change's position */
    const char *prefix = wire_cstring(&wire);
    size_t size = wire_u32(&wire);
    const uint8_t *bytes = wire_bytes(&wire, size);
    if (!wire_ok(&wire)) {
        return false;
    }
    *ret_message = (struct content_message){.prefix = prefix,
                                            .bytes = bytes,
                                            .size = size,
                                            .transactional = (flags & MESSAGE_TRANSACTIONAL) != 0};
    return true;
}

static void write_message(const struct content_message *message, struct bytes *out)
{
    BYTES_APPEND_LITERAL(out, "\"prefix\":");
    json_write_string(out, message->prefix, strlen(message->prefix));
    BYTES_APPEND_LITERAL(out, ",\"content\":");
    if (utf8_valid(message->bytes, message->size)) {
        json_write_string(out, (const char *)message->bytes, message->size);
    } else {
        json_write_base64(out, message->bytes, message->size);
        BYTES_APPEND_LITERAL(out, ",\"encoding\":\"base64\"");
    }
    if (message->transactional) {
        BYTES_APPEND_LITERAL(out, ",\"transactional\":true");
    } else {
        BYTES_APPEND_LITERAL(out, ",\"transactional\":false");
    }
}

static void append_position(struct bytes *out, struct fan_position position)
{
    uint8_t number[20];
    char text[LSN_TEXT_SIZE];
    bytes_append_char(out, '"');
    bytes_append(out, text, lsn_format(position.commit_lsn, text));
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
    BYTES_APPEND_LITERAL(out, "\"from\":");
    append_position(out, gap->first);
    BYTES_APPEND_LITERAL(out, ",\"to\":");
    append_position(out, gap->last);
    BYTES_APPEND_LITERAL(out, ",\"count\":");
    bytes_append(out, number, (size_t)(json_write_u64(number, gap->count) - number));
}

enum fan_status content_write(struct value_writer *values, const struct change *change,
                              struct bytes *out, struct fan_error *reterr)
{
    struct content_message message;
    switch (change->op) {
    case CHANGE_TRUNCATE:
        write_truncate(change, out);
        break;
    case CHANGE_MESSAGE:
        if (!content_message_read(change, &message)) {
            return fan_fail(reterr, FAN_POISON,
                            "cannot encode a logical message: its bytes end too early");
        }
        write_message(&message, out);
        break;
    case CHANGE_GAP:
        write_gap(change->gap, out);
        break;
    default:
        write_rows(values, change, out);
        break;
    }
    return FAN_OK;
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

enum fan_status content_failed(const struct value_writer *values, const struct change *change,
                               struct bytes *out, size_t start, struct fan_error *reterr)
{
    const char *schema = change->relation == NULL ? "" : change->relation->schema;
    const char *table = change->relation == NULL ? "(message)" : change->relation->name;
    bool too_large = is_too_large(change, out);
    bytes_truncate(out, start);
    if (values->refused) {
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
