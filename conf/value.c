#include "conf/value.h"

#include <inttypes.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Within a table the larger unit comes later; printing takes the last that divides evenly. */
static const struct unit binary_units[] = {
    {"", 1},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"TiB", UINT64_C(1) << 40},
};
static const struct unit decimal_units[] = {
    {"B", 1}, {"kB", 1000}, {"MB", 1000000}, {"GB", 1000000000}, {"TB", UINT64_C(1000000000000)},
};
static const struct unit time_units[] = {
    {"us", 1},
    {"ms", 1000},
    {"s", 1000000},
    {"m", 60000000},
    {"h", UINT64_C(3600000000)},
    {"d", UINT64_C(86400000000)},
};

#define UNITS(table) (table), sizeof(table) / sizeof((table)[0])

/* Reads digits; returns their end, or NULL if there are none or they do not fit. */
static const char *parse_digits(const char *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value)) {
            return NULL;
        }
    }
    *ret_value = value;
    return at > text ? at : NULL;
}

static const struct unit *find_unit(const char *name, const struct unit *units, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(units[i].name, name) == 0) {
            return &units[i];
        }
    }
    return NULL;
}

bool value_parse_integer(const char *text, int64_t *ret_value)
{
    bool negative = *text == '-';
    uint64_t magnitude = 0;
    const char *end = parse_digits(text + negative, &magnitude);
    if (end == NULL || *end != '\0' || magnitude > INT64_MAX) {
        return false;
    }
    *ret_value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

bool value_parse_size(const char *text, uint64_t *ret_bytes)
{
    uint64_t number = 0;
    const char *end = parse_digits(text, &number);
    if (end == NULL) {
        return false;
    }
    end += *end == ' '; /* 16 MiB is how the manuals write it */
    const struct unit *unit = find_unit(end, UNITS(binary_units));
    unit = unit != NULL ? unit : find_unit(end, UNITS(decimal_units));
    uint64_t size = 0;
    if (unit == NULL || __builtin_mul_overflow(number, unit->factor, &size) || size > INT64_MAX) {
        return false;
    }
    *ret_bytes = size;
    return true;
}

bool value_parse_duration(const char *text, bool milliseconds, int64_t *ret_us)
{
    uint64_t number = 0;
    const char *end = parse_digits(text, &number);
    if (end == NULL) {
        return false;
    }
    uint64_t factor = milliseconds ? 1000 : 0;
    if (*end != '\0') {
        end += *end == ' ';
        const struct unit *unit = find_unit(end, UNITS(time_units));
        if (unit == NULL) {
            return false;
        }
        factor = unit->factor;
    } else if (number > 0 && !milliseconds) {
        return false;
    }
    uint64_t value = 0;
    if (__builtin_mul_overflow(number, factor, &value) || value > INT64_MAX) {
        return false;
    }
    *ret_us = (int64_t)value;
    return true;
}

static void append_in(struct bytes *bytes, uint64_t value, const struct unit *units, size_t count)
{
    size_t best = 0;
    for (size_t i = 0; i < count; i++) {
        if (value % units[i].factor == 0 && value > 0) {
            best = i;
        }
    }
    bytes_append_format(bytes, "%" PRIu64 "%s", value / units[best].factor, units[best].name);
}

void value_append_size(struct bytes *bytes, uint64_t size_bytes)
{
    append_in(bytes, size_bytes, UNITS(binary_units));
}

void value_append_duration(struct bytes *bytes, int64_t duration_us)
{
    if (duration_us <= 0) {
        bytes_append_char(bytes, '0');
        return;
    }
    append_in(bytes, (uint64_t)duration_us, UNITS(time_units));
}

bool value_key_is_milliseconds(const char *key)
{
    size_t size = strlen(key);
    return size > 3 && strcmp(key + size - 3, "_ms") == 0;
}
