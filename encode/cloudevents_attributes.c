/*
 * cloudevents_attributes.c - the attributes of an event as texts, wherever they are put.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"
#include "encode/cloudevents_internal.h"
#include "encode/id.h"
#include "encode/json.h"
#include "model/change.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

const char *cloudevents_type(uint8_t op)
{
    switch (op) {
    case CHANGE_INSERT:
        return "io.pgfan.change.create";
    case CHANGE_UPDATE:
        return "io.pgfan.change.update";
    case CHANGE_DELETE:
        return "io.pgfan.change.delete";
    case CHANGE_TRUNCATE:
        return "io.pgfan.change.truncate";
    case CHANGE_MESSAGE:
        return "io.pgfan.message";
    case CHANGE_GAP:
        return "io.pgfan.gap";
    case 'r': /* a row of the baseline */
        return "io.pgfan.change.read";
    default:
        return "io.pgfan.change.other";
    }
}

static bool is_unreserved(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || (byte != '\0' && strchr("-._~", byte) != NULL);
}

size_t cloudevents_source(const char *name, char text[CLOUDEVENTS_SOURCE_MAX])
{
    static const char digits[] = "0123456789ABCDEF";
    static const char prefix[] = "/pgfan/";
    size_t size = sizeof(prefix) - 1;
    memcpy(text, prefix, size);
    for (; *name != '\0' && size + 3 < CLOUDEVENTS_SOURCE_MAX; name++) {
        if (is_unreserved(*name)) {
            text[size++] = *name;
        } else {
            text[size++] = '%';
            text[size++] = digits[(uint8_t)*name >> 4];
            text[size++] = digits[(uint8_t)*name & 15];
        }
    }
    text[size] = '\0';
    return size;
}

/* A message outside a transaction has no ordinal, and comes before one that commits at its LSN: so does
 * the shorter text. */
size_t cloudevents_sequence(struct fan_position position, char text[CLOUDEVENTS_SEQUENCE_SIZE + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t seq = (uint64_t)position.seq;
    for (int i = 0; i < 16; i++) {
        text[i] = digits[position.commit_lsn.value >> (60 - 4 * i) & 15];
        text[17 + i] = digits[seq >> (60 - 4 * i) & 15];
    }
    size_t size = position.seq < 0 ? 16 : CLOUDEVENTS_SEQUENCE_SIZE;
    text[16] = '-';
    text[size] = '\0';
    return size;
}

/* Of a valid sequence of two to four bytes: what CloudEvents 1.0, "Type System", keeps out of strings:
 * U+0080 to U+009F, and the noncharacters. */
static bool is_forbidden(const uint8_t *bytes, size_t length)
{
    uint32_t point = bytes[0] & (0xffU >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        point = point << 6 | (bytes[i] & 0x3fU);
    }
    return point < 0xa0 || (point >= 0xfdd0 && point <= 0xfdef) || (point & 0xfffe) == 0xfffe;
}

/* Copies from `*at` on what may stand as it is in every attribute and is ASCII. Returns how many. */
static size_t copy_plain(const uint8_t **at, const uint8_t *end, char *out, size_t size_max)
{
    size_t left = (size_t)(end - *at);
    size_t most = left < size_max ? left : size_max;
    size_t size = 0;
    while (size < most && (*at)[size] >= ' ' && (*at)[size] < 0x7f) {
        out[size] = (char)(*at)[size];
        size++;
    }
    *at += size;
    return size;
}

size_t cloudevents_clean(const char *text, size_t size, char *out, size_t size_max)
{
    const uint8_t *at = (const uint8_t *)text;
    const uint8_t *end = at + size;
    size_t written = copy_plain(&at, end, out, size_max);
    while (at < end) {
        size_t length = *at < 0x80 ? 0 : utf8_sequence(at, (size_t)(end - at));
        bool bad = length == 0 || is_forbidden(at, length);
        const void *from = bad ? (const void *)replacement : at;
        size_t more = bad ? sizeof(replacement) - 1 : length;
        if (written + more > size_max) {
            break;
        }
        memcpy(out + written, from, more);
        written += more;
        at += length == 0 ? 1 : length;
        written += copy_plain(&at, end, out + written, size_max - written);
    }
    return written;
}

size_t cloudevents_subject(const char *schema, size_t schema_size, const char *table,
                           size_t table_size, char text[CLOUDEVENTS_SUBJECT_MAX])
{
    size_t size = cloudevents_clean(schema, schema_size, text, CLOUDEVENTS_SUBJECT_MAX);
    if (size < CLOUDEVENTS_SUBJECT_MAX) {
        text[size++] = '.';
    }
    return size + cloudevents_clean(table, table_size, text + size, CLOUDEVENTS_SUBJECT_MAX - size);
}

/* Takes over the text that was written at the end of the used room. */
static void add(struct cloudevents_attributes *all, const char *name, size_t size)
{
    FAN_ASSERT(all->count < CLOUDEVENTS_ATTRIBUTES_MAX &&
               size < CLOUDEVENTS_ROOM_SIZE - all->room_used);
    all->room[all->room_used + size] = '\0';
    all->items[all->count++] = (struct cloudevents_attribute){
        .name = name, .value = all->room + all->room_used, .value_size = size};
    all->room_used += size + 1;
}

static char *room(struct cloudevents_attributes *all)
{
    return all->room + all->room_used;
}

static void add_text(struct cloudevents_attributes *all, const char *name, const char *text)
{
    size_t size = strlen(text);
    memcpy(room(all), text, size);
    add(all, name, size);
}

static void add_time(struct cloudevents_attributes *all, int64_t time_us)
{
    char text[CLOCK_TEXT_SIZE];
    if (time_us != 0 && clock_format_utc(time_us, text) == TIME_TEXT_SIZE) {
        add_text(all, "time", text);
    }
}

static void add_position(struct cloudevents_attributes *all, struct fan_position position)
{
    char lsn[LSN_TEXT_SIZE];
    (void)lsn_format(position.commit_lsn, lsn); /* it has a NUL */
    add_text(all, "lsn", lsn);
    int size = snprintf(room(all), 24, "%" PRId64, position.seq); /* at most 20 bytes */
    add(all, "seq", (size_t)size);
    add(all, "sequence", cloudevents_sequence(position, room(all)));
}

void cloudevents_attributes(const struct encode_context *context, const struct batch_event *event,
                            const struct batch_label *label,
                            struct cloudevents_attributes *ret_attributes)
{
    struct cloudevents_attributes *all = ret_attributes;
    _Static_assert((int)EVENT_ID_MAX + CLOUDEVENTS_SOURCE_MAX + CLOUDEVENTS_TYPE_MAX +
                           CLOUDEVENTS_SUBJECT_MAX + CLOUDEVENTS_KEY_MAX + CLOCK_TEXT_SIZE +
                           LSN_TEXT_SIZE + CLOUDEVENTS_SEQUENCE_SIZE + 24 +
                           2 * CLOUDEVENTS_ATTRIBUTES_MAX <=
                       CLOUDEVENTS_ROOM_SIZE,
                   "the longest values fit");
    all->count = 0;
    all->room_used = 0;
    add(all, "id", event_id_write(context, event->position, event->op == CHANGE_GAP, room(all)));
    add(all, "source", cloudevents_source(context->source, room(all)));
    add_text(all, "specversion", "1.0");
    add_text(all, "type", cloudevents_type(event->op));
    if (label->table_size > 0) {
        add(all, "subject",
            cloudevents_subject(label->schema, label->schema_size, label->table, label->table_size,
                                room(all)));
    }
    add_time(all, event->commit_time_us);
    add_position(all, event->position);
    if (label->key_size > 0) {
        add(all, "partitionkey",
            cloudevents_clean(label->key, label->key_size, room(all), CLOUDEVENTS_KEY_MAX));
    }
}
