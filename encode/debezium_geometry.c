/*
 * debezium_geometry.c - the geometric types, and those of PostGIS.
 *
 * A point, a circle and a line have their numbers in a struct. Anything else is one struct with
 * well-known binary (OGC 06-103r4, 8.2): little-endian, an order byte, the type, counts, and x and y
 * of each point as doubles. What PostgreSQL's type has beyond that, such as whether a path is closed,
 * stands in `extensions`. PostGIS prints its own values as such bytes already, with the SRID behind
 * the type if that has a flag for it (EWKB), and they stay what they are.
 */
#include <stdlib.h>

#include "encode/debezium_internal.h"
#include "encode/json.h"

enum {
    NUMBER_TEXT_MAX = 64, /* longer than any that the server prints, with a NUL */
    WKB_POINT = 1,
    WKB_LINE_STRING = 2,
    WKB_POLYGON = 3,
    EWKB_HEAD_SIZE =
        9, /* order, type and SRID, or the least that any geometry has behind its type */
};

#define EWKB_SRID UINT32_C(0x20000000)

struct cursor {
    const char *at;
    const char *end;
};

/* A number as it was printed, and what it is. */
struct coordinate {
    char text[NUMBER_TEXT_MAX];
    double value;
};

struct place {
    struct coordinate x;
    struct coordinate y;
};

static bool take(struct cursor *cursor, char wanted)
{
    if (cursor->at == cursor->end || *cursor->at != wanted) {
        return false;
    }
    cursor->at++;
    return true;
}

static bool is_special(const char *text, size_t size)
{
    return (size == 3 && memcmp(text, "NaN", 3) == 0) ||
           (size == 8 && memcmp(text, "Infinity", 8) == 0) ||
           (size == 9 && memcmp(text, "-Infinity", 9) == 0);
}

static bool is_delimiter(char character)
{
    static const char delimiters[] = ",()[]{}<>";
    return memchr(delimiters, character, sizeof(delimiters) - 1) != NULL;
}

/* Takes what is left up to a comma or a bracket. */
static bool take_number(struct cursor *cursor, struct coordinate *ret_number)
{
    const char *start = cursor->at;
    while (cursor->at < cursor->end && !is_delimiter(*cursor->at)) {
        cursor->at++;
    }
    size_t size = (size_t)(cursor->at - start);
    if (size >= NUMBER_TEXT_MAX || (!json_number_valid(start, size) && !is_special(start, size))) {
        return false;
    }
    memcpy(ret_number->text, start, size);
    ret_number->text[size] = '\0';
    ret_number->value = strtod(ret_number->text, NULL);
    return true;
}

static bool take_place(struct cursor *cursor, struct place *ret_place)
{
    return take(cursor, '(') && take_number(cursor, &ret_place->x) && take(cursor, ',') &&
           take_number(cursor, &ret_place->y) && take(cursor, ')');
}

static void put_u32(uint32_t number, uint8_t at[4])
{
    for (size_t i = 0; i < 4; i++) {
        at[i] = (uint8_t)(number >> 8 * i);
    }
}

static void append_u32(uint32_t number, struct bytes *out)
{
    uint8_t bytes[4];
    put_u32(number, bytes);
    bytes_append(out, bytes, sizeof(bytes));
}

static void append_double(double number, struct bytes *out)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof(bits));
    append_u32((uint32_t)bits, out);
    append_u32((uint32_t)(bits >> 32), out);
}

static void append_place(const struct coordinate *horizontal, const struct coordinate *vertical,
                         struct bytes *out)
{
    append_double(horizontal->value, out);
    append_double(vertical->value, out);
}

static void append_head(uint32_t type, struct bytes *out)
{
    bytes_append_char(out, 1); /* little-endian */
    append_u32(type, out);
}

static void write_number(struct debezium_writer *writer, const struct debezium_column *column,
                         const char *name, const struct coordinate *number, struct bytes *out)
{
    bytes_append_text(out, name);
    debezium_double_write(writer, column, number->text, strlen(number->text), out);
}

static void write_place(struct debezium_writer *writer, const struct debezium_column *column,
                        const struct place *place, struct bytes *out)
{
    write_number(writer, column, "{\"x\":", &place->x, out);
    write_number(writer, column, ",\"y\":", &place->y, out);
    bytes_clear(&writer->number);
    append_head(WKB_POINT, &writer->number);
    append_place(&place->x, &place->y, &writer->number);
    writer->scratch_failed = writer->scratch_failed || !bytes_ok(&writer->number);
    BYTES_APPEND_LITERAL(out, ",\"wkb\":");
    json_write_base64(out, writer->number.data, writer->number.size);
    BYTES_APPEND_LITERAL(out, ",\"srid\":null}");
}

static bool write_point(struct debezium_writer *writer, const struct debezium_column *column,
                        struct cursor cursor, struct bytes *out)
{
    struct place place;
    if (!take_place(&cursor, &place) || cursor.at != cursor.end) {
        return false;
    }
    write_place(writer, column, &place, out);
    return true;
}

/* <(x,y),r> */
static bool write_circle(struct debezium_writer *writer, const struct debezium_column *column,
                         struct cursor cursor, struct bytes *out)
{
    struct place center;
    struct coordinate radius;
    if (!take(&cursor, '<') || !take_place(&cursor, &center) || !take(&cursor, ',') ||
        !take_number(&cursor, &radius) || !take(&cursor, '>') || cursor.at != cursor.end) {
        return false;
    }
    BYTES_APPEND_LITERAL(out, "{\"center\":");
    write_place(writer, column, &center, out);
    write_number(writer, column, ",\"radius\":", &radius, out);
    bytes_append_char(out, '}');
    return true;
}

/* {A,B,C} */
static bool write_line(struct debezium_writer *writer, const struct debezium_column *column,
                       struct cursor cursor, struct bytes *out)
{
    static const char *const names[] = {"{\"a\":", ",\"b\":", ",\"c\":"};
    struct coordinate factors[3];
    if (!take(&cursor, '{') || !take_number(&cursor, &factors[0]) || !take(&cursor, ',') ||
        !take_number(&cursor, &factors[1]) || !take(&cursor, ',') ||
        !take_number(&cursor, &factors[2]) || !take(&cursor, '}') || cursor.at != cursor.end) {
        return false;
    }
    for (size_t i = 0; i < 3; i++) {
        write_number(writer, column, names[i], &factors[i], out);
    }
    bytes_append_char(out, '}');
    return true;
}

/* (x,y),(x,y) as a ring, from the first corner along its x. */
static bool append_box(struct cursor cursor, struct bytes *wkb)
{
    struct place first;
    struct place second;
    if (!take_place(&cursor, &first) || !take(&cursor, ',') || !take_place(&cursor, &second) ||
        cursor.at != cursor.end) {
        return false;
    }
    append_head(WKB_POLYGON, wkb);
    append_u32(1, wkb);
    append_u32(5, wkb);
    append_place(&first.x, &first.y, wkb);
    append_place(&first.x, &second.y, wkb);
    append_place(&second.x, &second.y, wkb);
    append_place(&second.x, &first.y, wkb);
    append_place(&first.x, &first.y, wkb);
    return true;
}

/*
 * The points between the two brackets, with their number in front; `ring`: the first one again at the
 * end, unless it is there or the only one.
 */
static bool append_places(struct cursor cursor, const char brackets[2], bool ring,
                          struct bytes *wkb)
{
    struct place first;
    struct place last;
    uint32_t count = 0;
    size_t count_at = wkb->size;
    append_u32(0, wkb);
    if (!take(&cursor, brackets[0])) {
        return false;
    }
    do {
        if (count == UINT32_MAX - 1 || !take_place(&cursor, &last)) {
            return false;
        }
        if (count++ == 0) {
            first = last;
        }
        append_place(&last.x, &last.y, wkb);
    } while (take(&cursor, ','));
    if (!take(&cursor, brackets[1]) || cursor.at != cursor.end) {
        return false;
    }
    if (ring && count > 1 && (first.x.value != last.x.value || first.y.value != last.y.value)) {
        append_place(&first.x, &first.y, wkb);
        count++;
    }
    if (bytes_ok(wkb)) {
        put_u32(count, wkb->data + count_at);
    }
    return true;
}

/* Appends the well-known binary; `*ret_extensions`: the text of that field. False: no such text. */
static bool append_shape(enum debezium_kind kind, struct cursor cursor, struct bytes *wkb,
                         const char **ret_extensions)
{
    bool open = cursor.at < cursor.end && *cursor.at == '[';
    switch (kind) {
    case DEBEZIUM_BOX:
        *ret_extensions = "{\"type\":\"box\"}";
        return append_box(cursor, wkb);
    case DEBEZIUM_LSEG:
        *ret_extensions = "{\"type\":\"lseg\"}";
        append_head(WKB_LINE_STRING, wkb);
        return append_places(cursor, "[]", false, wkb);
    case DEBEZIUM_PATH: /* a line also when it is closed */
        *ret_extensions = open ? "{\"type\":\"path\",\"closed\":\"false\"}"
                               : "{\"type\":\"path\",\"closed\":\"true\"}";
        append_head(WKB_LINE_STRING, wkb);
        return append_places(cursor, open ? "[]" : "()", false, wkb);
    default:
        *ret_extensions = "{\"type\":\"polygon\"}";
        append_head(WKB_POLYGON, wkb);
        append_u32(1, wkb);
        return append_places(cursor, "()", true, wkb);
    }
}

static bool write_shape(struct debezium_writer *writer, enum debezium_kind kind,
                        struct cursor cursor, struct bytes *out)
{
    const char *extensions;
    struct bytes *wkb = &writer->number;
    bytes_clear(wkb);
    if (!append_shape(kind, cursor, wkb, &extensions)) {
        return false;
    }
    if (!bytes_ok(wkb)) {
        writer->scratch_failed = true;
        return true;
    }
    BYTES_APPEND_LITERAL(out, "{\"wkb\":");
    json_write_base64(out, wkb->data, wkb->size);
    BYTES_APPEND_LITERAL(out, ",\"srid\":null,\"extensions\":");
    bytes_append_text(out, extensions);
    bytes_append_char(out, '}');
    return true;
}

/* Four bytes of EWKB from the digits on; wrong digits are found by who reads all of them. */
static uint32_t ewkb_u32(const char *digits, bool little)
{
    uint32_t number = 0;
    for (unsigned i = 0; i < 4; i++, digits += 2) {
        uint32_t byte = (uint32_t)debezium_hex_value(digits[0]) << 4 |
                        ((uint32_t)debezium_hex_value(digits[1]) & 15);
        number |= (byte & 0xff) << 8 * (little ? i : 3 - i);
    }
    return number;
}

static bool write_ewkb(enum debezium_kind kind, const char *text, size_t size, struct bytes *out)
{
    size_t start = out->size;
    if (size < (size_t)2 * EWKB_HEAD_SIZE) {
        return false;
    }
    bool little = text[0] != '0' || text[1] != '0';
    bool has_srid = (ewkb_u32(text + 2, little) & EWKB_SRID) != 0;
    BYTES_APPEND_LITERAL(out, "{\"wkb\":");
    if (!json_write_base64_hex(out, text, size)) {
        if (bytes_ok(out)) {
            bytes_truncate(out, start);
        }
        return false;
    }
    BYTES_APPEND_LITERAL(out, ",\"srid\":");
    if (has_srid) {
        debezium_int64_write((int32_t)ewkb_u32(text + 10, little), out);
    } else {
        BYTES_APPEND_LITERAL(out, "null");
    }
    bytes_append_text(out, kind == DEBEZIUM_GEOMETRY ? ",\"extensions\":null}" : "}");
    return true;
}

void debezium_geometry_write(struct debezium_writer *writer, const struct debezium_column *column,
                             enum debezium_kind kind, const char *text, size_t size,
                             struct bytes *out)
{
    struct cursor cursor = {text, text + size};
    bool ok;
    switch (kind) {
    case DEBEZIUM_POINT:
        ok = write_point(writer, column, cursor, out);
        break;
    case DEBEZIUM_CIRCLE:
        ok = write_circle(writer, column, cursor, out);
        break;
    case DEBEZIUM_LINE:
        ok = write_line(writer, column, cursor, out);
        break;
    case DEBEZIUM_GEOMETRY:
    case DEBEZIUM_GEOGRAPHY:
        ok = write_ewkb(kind, text, size, out);
        break;
    default:
        ok = write_shape(writer, kind, cursor, out);
        break;
    }
    if (!ok) {
        debezium_refuse_form(writer, column, text, size, out);
    }
}
