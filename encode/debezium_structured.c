/*
 * debezium_structured.c - dates, times and intervals as structs of their parts (`time: structured`).
 *
 * The names, their order and which of them there are belong to Debezium's schemas
 * (io.debezium.time.Structured*), which debezium_schema.c writes. Every field may be null there: an
 * infinite value has a `specialValue` and no parts.
 */
#include "encode/debezium_internal.h"
#include "encode/debezium_time.h"

#define SECOND_US INT64_C(1000000)
#define MINUTE_US (60 * SECOND_US)
#define HOUR_US (60 * MINUTE_US)

enum { DIGITS_MAX = 6 }; /* behind a second's point; what a column without a modifier has */

/* The modifier of an interval has the fields (year to month) in its upper half. */
static int32_t precision_of(const struct debezium_column *column, enum debezium_kind kind)
{
    int32_t digits = column->precision;
    if (kind == DEBEZIUM_DURATION_STRUCT && digits >= 0) {
        digits &= 0xffff;
    }
    return digits >= 0 && digits <= DIGITS_MAX ? digits : DIGITS_MAX;
}

static void append_field(const char *name, int64_t number, struct bytes *out)
{
    bytes_append_text(out, name);
    debezium_int64_write(number, out);
}

static void append_date(struct debezium_date date, struct bytes *out)
{
    append_field("\"year\":", date.year, out);
    append_field(",\"month\":", date.month, out);
    append_field(",\"day\":", date.day, out);
}

/* 24:00:00 has hour 24. */
static void append_time(int64_t micros, struct bytes *out)
{
    append_field("\"hour\":", micros / HOUR_US, out);
    append_field(",\"minute\":", micros / MINUTE_US % 60, out);
    append_field(",\"second\":", micros / SECOND_US % 60, out);
    append_field(",\"nanos\":", micros % SECOND_US * 1000, out);
}

static void append_stamp(struct debezium_stamp stamp, struct bytes *out)
{
    append_date(stamp.date, out);
    bytes_append_char(out, ',');
    append_time(stamp.micros, out);
}

static void append_precision(int32_t digits, struct bytes *out)
{
    append_field(",\"precision\":", digits, out);
}

static void append_infinity(enum debezium_kind kind, int sign, int32_t digits, struct bytes *out)
{
    BYTES_APPEND_LITERAL(out, "{\"year\":null,\"month\":null,\"day\":null");
    if (kind != DEBEZIUM_DATE_STRUCT) {
        BYTES_APPEND_LITERAL(out, ",\"hour\":null,\"minute\":null,\"second\":null,"
                                  "\"nanos\":null");
    }
    if (kind == DEBEZIUM_ZONED_TIMESTAMP_STRUCT) {
        BYTES_APPEND_LITERAL(out, ",\"offsetSeconds\":null,\"zoneId\":null");
    }
    bytes_append_text(out, sign > 0 ? ",\"specialValue\":\"POSITIVE_INFINITY\""
                                    : ",\"specialValue\":\"NEGATIVE_INFINITY\"");
    if (kind != DEBEZIUM_DATE_STRUCT) {
        append_precision(digits, out);
    }
    bytes_append_char(out, '}');
}

static void append_finite_date(struct debezium_date date, struct bytes *out)
{
    bytes_append_char(out, '{');
    append_date(date, out);
    BYTES_APPEND_LITERAL(out, ",\"specialValue\":null}");
}

static void append_finite_time(int64_t micros, int32_t digits, struct bytes *out)
{
    bytes_append_char(out, '{');
    append_time(micros, out);
    append_precision(digits, out);
    bytes_append_char(out, '}');
}

static void append_zoned_time(int64_t micros, int64_t offset_s, int32_t digits, struct bytes *out)
{
    bytes_append_char(out, '{');
    append_time(micros, out);
    append_field(",\"offsetSeconds\":", offset_s, out);
    append_precision(digits, out);
    bytes_append_char(out, '}');
}

/* `zone`: what stands between the time and specialValue. */
static void append_finite_stamp(struct debezium_stamp stamp, const char *zone, int32_t digits,
                                struct bytes *out)
{
    bytes_append_char(out, '{');
    append_stamp(stamp, out);
    bytes_append_text(out, zone);
    BYTES_APPEND_LITERAL(out, ",\"specialValue\":null");
    append_precision(digits, out);
    bytes_append_char(out, '}');
}

static void append_duration(const struct debezium_interval_parts *parts, int32_t digits,
                            struct bytes *out)
{
    append_field("{\"years\":", parts->years, out);
    append_field(",\"months\":", parts->months, out);
    append_field(",\"days\":", parts->days, out);
    append_field(",\"hours\":", parts->hours, out);
    append_field(",\"minutes\":", parts->minutes, out);
    append_field(",\"seconds\":", parts->micros / SECOND_US, out);
    append_field(",\"nanos\":", parts->micros % SECOND_US * 1000, out);
    append_precision(digits, out);
    bytes_append_char(out, '}');
}

static bool fits_32_bits(int64_t number)
{
    return number >= INT32_MIN && number <= INT32_MAX;
}

static void write_duration(struct debezium_writer *writer, const struct debezium_column *column,
                           const char *text, size_t size, int32_t digits, struct bytes *out)
{
    struct debezium_interval_parts parts;
    if (!debezium_interval_read(text, size, &parts)) {
        debezium_refuse_form(writer, column, text, size, out);
    } else if (!fits_32_bits(parts.years) || !fits_32_bits(parts.months) ||
               !fits_32_bits(parts.days) || !fits_32_bits(parts.hours) ||
               !fits_32_bits(parts.minutes)) {
        debezium_refuse(writer, column, "an interval has a part beyond a number of 32 bits", NULL,
                        text, size, out);
    } else {
        append_duration(&parts, digits, out);
    }
}

/* The server prints a timestamptz in UTC, whose id is Z in Java. */
#define ZONE_UTC ",\"offsetSeconds\":0,\"zoneId\":\"Z\""

/* False: the text does not have the form, and nothing was appended. */
static bool write_finite(enum debezium_kind kind, const char *text, size_t size, int32_t digits,
                         struct bytes *out)
{
    struct debezium_stamp stamp;
    int64_t offset_s;
    bool zoned = kind == DEBEZIUM_ZONED_TIMESTAMP_STRUCT;
    switch (kind) {
    case DEBEZIUM_DATE_STRUCT:
        if (!debezium_date_read(text, size, &stamp.date)) {
            return false;
        }
        append_finite_date(stamp.date, out);
        return true;
    case DEBEZIUM_TIME_STRUCT:
        if (!debezium_time_read(text, size, &stamp.micros)) {
            return false;
        }
        append_finite_time(stamp.micros, digits, out);
        return true;
    case DEBEZIUM_ZONED_TIME_STRUCT:
        if (!debezium_timetz_parts(text, size, &stamp.micros, &offset_s)) {
            return false;
        }
        append_zoned_time(stamp.micros, offset_s, digits, out);
        return true;
    default:
        if (!debezium_stamp_read(text, size, zoned, &stamp)) {
            return false;
        }
        append_finite_stamp(stamp, zoned ? ZONE_UTC : "", digits, out);
        return true;
    }
}

void debezium_structured_write(struct debezium_writer *writer, const struct debezium_column *column,
                               enum debezium_kind kind, const char *text, size_t size,
                               struct bytes *out)
{
    int32_t digits = precision_of(column, kind);
    bool timed = kind == DEBEZIUM_TIME_STRUCT || kind == DEBEZIUM_ZONED_TIME_STRUCT;
    int sign;
    if (!timed && debezium_infinity_read(text, size, &sign)) {
        if (kind == DEBEZIUM_DURATION_STRUCT) {
            debezium_refuse(writer, column,
                            "an interval is infinite, which Debezium has no value for", NULL, text,
                            size, out);
        } else {
            append_infinity(kind, sign, digits, out);
        }
    } else if (kind == DEBEZIUM_DURATION_STRUCT) {
        write_duration(writer, column, text, size, digits, out);
    } else if (!write_finite(kind, text, size, digits, out)) {
        debezium_refuse_form(writer, column, text, size, out);
    }
}

bool debezium_structured_zero(const struct debezium_column *column, struct bytes *out)
{
    static const struct debezium_stamp epoch = {.date = {1970, 1, 1}};
    int32_t digits = precision_of(column, column->kind);
    switch (column->kind) {
    case DEBEZIUM_DATE_STRUCT:
        append_finite_date(epoch.date, out);
        return true;
    case DEBEZIUM_TIME_STRUCT:
        append_finite_time(0, digits, out);
        return true;
    case DEBEZIUM_ZONED_TIME_STRUCT:
        append_zoned_time(0, 0, digits, out);
        return true;
    case DEBEZIUM_TIMESTAMP_STRUCT:
        append_finite_stamp(epoch, "", digits, out);
        return true;
    case DEBEZIUM_ZONED_TIMESTAMP_STRUCT: /* Debezium's has no zone here */
        append_finite_stamp(epoch, ",\"offsetSeconds\":0,\"zoneId\":null", digits, out);
        return true;
    case DEBEZIUM_DURATION_STRUCT:
        append_duration(&(const struct debezium_interval_parts){0}, digits, out);
        return true;
    default:
        return false;
    }
}
