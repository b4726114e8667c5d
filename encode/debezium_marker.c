/*
 * debezium_marker.c - what stands for a large value that the server did not send, because the update
 * did not change it (unavailable.value.placeholder).
 *
 * The marker is a text, or, behind `hex:`, any bytes. Each type that has one has it in its own form.
 */
#include <openssl/evp.h>
#include <string.h>

#include "encode/debezium_internal.h"
#include "encode/json.h"

enum { MARKER_MAX = 4096, MD5_SIZE = 16 };

/* The marker twice, each byte with at most six of JSON, and what json.h asks room for beyond that. */
enum { MARKER_MAP_MAX = 2 * 6 * MARKER_MAX + JSON_REQUEST_MAX };

/* False: these are no pairs of digits, which the conf refuses. */
static bool append_hex(const char *digits, struct bytes *out)
{
    for (; *digits != '\0'; digits += 2) {
        int high = debezium_hex_value(digits[0]);
        int low = high < 0 ? -1 : debezium_hex_value(digits[1]); /* at the end, this is the NUL */
        if (low < 0) {
            return false;
        }
        bytes_append_char(out, (char)(high << 4 | low));
    }
    return true;
}

/* The UUID that Java's nameUUIDFromBytes() makes of the marker: its MD5 as version 3. */
static void make_uuid(struct debezium_writer *writer)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    char *at = writer->marker_uuid;
    if (EVP_Digest(writer->marker.data, writer->marker.size, hash, &size, EVP_md5(), NULL) != 1 ||
        size != MD5_SIZE) {
        return; /* a library without MD5: the type has no marker then */
    }
    hash[6] = (hash[6] & 0x0f) | 0x30;
    hash[8] = (hash[8] & 0x3f) | 0x80;
    for (size_t i = 0; i < MD5_SIZE; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *at++ = '-';
        }
        *at++ = "0123456789abcdef"[hash[i] >> 4];
        *at++ = "0123456789abcdef"[hash[i] & 15];
    }
}

static void write_text(const struct debezium_writer *writer, struct bytes *out)
{
    json_write_string(out, (const char *)writer->marker.data, writer->marker.size);
}

bool debezium_marker_make(struct debezium_writer *writer, const char *setting)
{
    static const char prefix[] = "hex:";
    const char *text = setting != NULL ? setting : DEBEZIUM_UNAVAILABLE_VALUE;
    bytes_init(&writer->marker, MARKER_MAX);
    bytes_init(&writer->marker_map, MARKER_MAP_MAX);
    if (strncmp(text, prefix, sizeof(prefix) - 1) != 0 ||
        !append_hex(text + sizeof(prefix) - 1, &writer->marker)) {
        bytes_clear(&writer->marker);
        bytes_append_text(&writer->marker, text);
    }
    if (!bytes_ok(&writer->marker)) {
        return false;
    }
    make_uuid(writer);
    bytes_append_char(&writer->marker_map, '{');
    write_text(writer, &writer->marker_map);
    bytes_append_char(&writer->marker_map, ':');
    write_text(writer, &writer->marker_map);
    bytes_append_char(&writer->marker_map, '}');
    return bytes_ok(&writer->marker_map);
}

/* Java's bytes are signed. */
static void write_codes(const struct debezium_writer *writer, struct bytes *out)
{
    for (size_t i = 0; i < writer->marker.size; i++) {
        if (i > 0) {
            bytes_append_char(out, ',');
        }
        debezium_int64_write((int8_t)writer->marker.data[i], out);
    }
}

static bool write_scalar(const struct debezium_writer *writer, enum debezium_kind kind,
                         struct bytes *out)
{
    switch (kind) {
    case DEBEZIUM_BYTES_AS_STRING:
        if (writer->settings.binary == DEBEZIUM_BINARY_HEX) { /* the text, not its digits */
            write_text(writer, out);
            return true;
        }
        debezium_bytes_write(writer, writer->marker.data, writer->marker.size, out);
        return true;
    case DEBEZIUM_BYTES:
        debezium_bytes_write(writer, writer->marker.data, writer->marker.size, out);
        return true;
    case DEBEZIUM_HSTORE_AS_MAP:
        bytes_append(out, writer->marker_map.data, writer->marker_map.size);
        return true;
    case DEBEZIUM_HSTORE_AS_JSON:
        json_write_string(out, (const char *)writer->marker_map.data, writer->marker_map.size);
        return true;
    case DEBEZIUM_STRING:
    case DEBEZIUM_JSON:
    case DEBEZIUM_XML:
    case DEBEZIUM_TSVECTOR:
    case DEBEZIUM_LTREE:
    case DEBEZIUM_DECIMAL_AS_STRING:
        write_text(writer, out);
        return true;
    default:
        return false;
    }
}

static bool write_array(const struct debezium_writer *writer, enum debezium_kind element,
                        struct bytes *out)
{
    switch (element) {
    case DEBEZIUM_INT32:
    case DEBEZIUM_INT64:
    case DEBEZIUM_DATE:
        bytes_append_char(out, '[');
        write_codes(writer, out);
        break;
    case DEBEZIUM_UUID:
        if (writer->marker_uuid[0] == '\0') {
            return false;
        }
        BYTES_APPEND_LITERAL(out, "[\"");
        bytes_append_text(out, writer->marker_uuid);
        bytes_append_char(out, '"');
        break;
    case DEBEZIUM_STRING:
    case DEBEZIUM_JSON:
    case DEBEZIUM_BYTES:
    case DEBEZIUM_BYTES_AS_STRING:
        bytes_append_char(out, '[');
        (void)write_scalar(writer, element, out); /* these kinds have a marker */
        break;
    default:
        return false;
    }
    bytes_append_char(out, ']');
    return true;
}

bool debezium_marker_write(const struct debezium_writer *writer,
                           const struct debezium_column *column, struct bytes *out)
{
    return column->kind == DEBEZIUM_ARRAY ? write_array(writer, column->element, out)
                                          : write_scalar(writer, column->kind, out);
}
