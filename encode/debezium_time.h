/*
 * debezium_time.h - reads PostgreSQL's texts of times, dates and intervals (DateStyle ISO,
 * IntervalStyle iso_8601, TimeZone UTC, as sources/postgres sets them).
 *
 * Days and years are those of the proleptic Gregorian calendar; year 0 is 1 BC.
 *
 * Threading:  pure functions of their arguments.
 * Errors:     false: the text does not have the form, or the number does not fit.
 */
#ifndef ENCODE_DEBEZIUM_TIME_H
#define ENCODE_DEBEZIUM_TIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct debezium_date {
    int32_t year; /* astronomical: 0 is 1 BC */
    uint32_t month;
    uint32_t day;
};

/* `micros` may be that of 24:00:00. */
struct debezium_stamp {
    struct debezium_date date;
    int64_t micros; /* since midnight */
};

/* Each part has a sign of its own. */
struct debezium_interval_parts {
    int64_t years;
    int64_t months;
    int64_t days;
    int64_t hours;
    int64_t minutes;
    int64_t micros; /* the seconds */
};

enum { DEBEZIUM_TIME_TEXT_MAX = 64 };

bool debezium_date_read(const char *text, size_t size, struct debezium_date *ret_date);

/* Days since 1970-01-01. */
int64_t debezium_date_days(struct debezium_date date);

/* Microseconds since midnight, at most those of 24:00:00. */
bool debezium_time_read(const char *text, size_t size, int64_t *ret_micros);

/* The same in UTC, of a time with an offset such as +05:30. */
bool debezium_timetz_read(const char *text, size_t size, int64_t *ret_micros);

/* Such a time as it stands, and its offset east of UTC. */
bool debezium_timetz_parts(const char *text, size_t size, int64_t *ret_micros,
                           int64_t *ret_offset_s);

/* `zone`: +00 has to stand behind the time. */
bool debezium_stamp_read(const char *text, size_t size, bool zone,
                         struct debezium_stamp *ret_stamp);

/* Whether the text is infinity or -infinity; `*ret_sign` is then 1 or -1. */
bool debezium_infinity_read(const char *text, size_t size, int *ret_sign);

bool debezium_interval_read(const char *text, size_t size,
                            struct debezium_interval_parts *ret_parts);

/* Months count as 365.25 / 12 days. */
bool debezium_interval_micros(const struct debezium_interval_parts *parts, int64_t *ret_micros);

/* 2026-11-22, +21016-11-04 and -4713-12-31, without NUL. Returns the length. */
size_t debezium_date_write(struct debezium_date date, char text[DEBEZIUM_TIME_TEXT_MAX]);

/* 01:02:03.456 without NUL. `digits` behind the point, or -1: as many as it takes. */
size_t debezium_time_write(int64_t micros, int digits, char text[DEBEZIUM_TIME_TEXT_MAX]);

/* P1Y2M3DT4H5M6.78S with every part, also those that are zero, without NUL. */
size_t debezium_interval_write(const struct debezium_interval_parts *parts,
                               char text[4 * DEBEZIUM_TIME_TEXT_MAX]);

#endif
