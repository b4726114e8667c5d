#include "encode/debezium_time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US INT64_C(1000000)
#define MINUTE_US (60 * SECOND_US)
#define HOUR_US (60 * MINUTE_US)
#define DAY_US (24 * HOUR_US)
#define MONTH_US (DAY_US * 36525 / 1200)

enum { NUMBER_DIGITS_MAX = 15, FRACTION_DIGITS_MAX = 6, YEAR_MAX = 10000000, YEAR_DIGITS_MAX = 10 };

/* Reads from the front of a text. */
struct cursor {
    const char *at;
    const char *end;
};

static bool is_digit(char character)
{
    return character >= '0' && character <= '9';
}

static bool take(struct cursor *cursor, char wanted)
{
    if (cursor->at == cursor->end || *cursor->at != wanted) {
        return false;
    }
    cursor->at++;
    return true;
}

/* Takes digits, `least` of them or more. */
static bool take_number(struct cursor *cursor, int least, int64_t *ret_number)
{
    int64_t number = 0;
    int digits = 0;
    while (cursor->at < cursor->end && is_digit(*cursor->at) && digits < NUMBER_DIGITS_MAX) {
        number = number * 10 + (*cursor->at++ - '0');
        digits++;
    }
    *ret_number = number;
    return digits >= least;
}

static bool take_pair(struct cursor *cursor, int64_t max, int64_t *ret_number)
{
    const char *start = cursor->at;
    return take_number(cursor, 2, ret_number) && cursor->at - start == 2 && *ret_number <= max;
}

/* Takes .5 and such as microseconds; nothing there is 0. */
static bool take_fraction(struct cursor *cursor, int64_t *ret_micros)
{
    *ret_micros = 0;
    if (!take(cursor, '.')) {
        return true;
    }
    int digits = 0;
    while (cursor->at < cursor->end && is_digit(*cursor->at) && digits < FRACTION_DIGITS_MAX) {
        *ret_micros = *ret_micros * 10 + (*cursor->at++ - '0');
        digits++;
    }
    for (int i = digits; i < FRACTION_DIGITS_MAX; i++) {
        *ret_micros *= 10;
    }
    return digits > 0;
}

static bool take_date(struct cursor *cursor, struct debezium_date *ret_date)
{
    int64_t year;
    int64_t month;
    int64_t day;
    if (!take_number(cursor, 4, &year) || year > YEAR_MAX || !take(cursor, '-') ||
        !take_pair(cursor, 12, &month) || !take(cursor, '-') || !take_pair(cursor, 31, &day) ||
        month == 0 || day == 0) {
        return false;
    }
    *ret_date = (struct debezium_date){
        .year = (int32_t)year, .month = (uint32_t)month, .day = (uint32_t)day};
    return true;
}

/* Takes " BC", if it is there, and then wants the end. */
static bool take_era(struct cursor *cursor, struct debezium_date *date)
{
    if (cursor->end - cursor->at == 3 && memcmp(cursor->at, " BC", 3) == 0) {
        date->year = 1 - date->year;
        cursor->at = cursor->end;
    }
    return cursor->at == cursor->end;
}

static bool take_time(struct cursor *cursor, int64_t *ret_micros)
{
    int64_t hours;
    int64_t minutes;
    int64_t seconds;
    int64_t micros;
    if (!take_pair(cursor, 24, &hours) || !take(cursor, ':') || !take_pair(cursor, 59, &minutes) ||
        !take(cursor, ':') || !take_pair(cursor, 60, &seconds) || !take_fraction(cursor, &micros)) {
        return false;
    }
    *ret_micros = hours * HOUR_US + minutes * MINUTE_US + seconds * SECOND_US + micros;
    return *ret_micros <= DAY_US;
}

bool debezium_date_read(const char *text, size_t size, struct debezium_date *ret_date)
{
    struct cursor cursor = {text, text + size};
    return take_date(&cursor, ret_date) && take_era(&cursor, ret_date);
}

int64_t debezium_date_days(struct debezium_date date)
{
    /* Years that begin in March put the leap day last; 400 of them are 146097 days. */
    int64_t year = (int64_t)date.year - (date.month <= 2 ? 1 : 0);
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t month = (date.month + 9) % 12;
    int64_t day_of_year = (153 * month + 2) / 5 + (int64_t)date.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

bool debezium_time_read(const char *text, size_t size, int64_t *ret_micros)
{
    struct cursor cursor = {text, text + size};
    return take_time(&cursor, ret_micros) && cursor.at == cursor.end;
}

/* Takes +05, +05:30 or +05:30:15. */
static bool take_offset(struct cursor *cursor, int64_t *ret_micros)
{
    int64_t sign = take(cursor, '-') ? -1 : 1;
    int64_t part;
    if ((sign == 1 && !take(cursor, '+')) || !take_pair(cursor, 24, &part)) {
        return false;
    }
    *ret_micros = sign * part * HOUR_US;
    int64_t unit = MINUTE_US;
    while (unit >= SECOND_US && take(cursor, ':')) {
        if (!take_pair(cursor, 59, &part)) {
            return false;
        }
        *ret_micros += sign * part * unit;
        unit /= 60;
    }
    return true;
}

bool debezium_timetz_parts(const char *text, size_t size, int64_t *ret_micros,
                           int64_t *ret_offset_s)
{
    struct cursor cursor = {text, text + size};
    int64_t offset;
    if (!take_time(&cursor, ret_micros) || !take_offset(&cursor, &offset) ||
        cursor.at != cursor.end) {
        return false;
    }
    *ret_offset_s = offset / SECOND_US;
    return true;
}

bool debezium_timetz_read(const char *text, size_t size, int64_t *ret_micros)
{
    int64_t micros;
    int64_t offset_s;
    if (!debezium_timetz_parts(text, size, &micros, &offset_s)) {
        return false;
    }
    bool whole_day = micros == DAY_US && offset_s == 0; /* 24:00:00 stays what it is */
    *ret_micros = whole_day ? DAY_US : ((micros - offset_s * SECOND_US) % DAY_US + DAY_US) % DAY_US;
    return true;
}

bool debezium_stamp_read(const char *text, size_t size, bool zone, struct debezium_stamp *ret_stamp)
{
    struct cursor cursor = {text, text + size};
    return take_date(&cursor, &ret_stamp->date) && take(&cursor, ' ') &&
           take_time(&cursor, &ret_stamp->micros) &&
           (!zone || (take(&cursor, '+') && take(&cursor, '0') && take(&cursor, '0'))) &&
           take_era(&cursor, &ret_stamp->date);
}

bool debezium_infinity_read(const char *text, size_t size, int *ret_sign)
{
    if (size == 8 && memcmp(text, "infinity", 8) == 0) {
        *ret_sign = 1;
        return true;
    }
    *ret_sign = -1;
    return size == 9 && memcmp(text, "-infinity", 9) == 0;
}

/* Stores the part that the letter stands for; false: there is none of it. */
static bool set_part(struct debezium_interval_parts *parts, char unit, bool time, int64_t number,
                     int64_t micros)
{
    if (time && unit == 'S') {
        parts->micros = number * SECOND_US + micros;
        return true;
    }
    int64_t *part = time          ? (unit == 'H'   ? &parts->hours
                                     : unit == 'M' ? &parts->minutes
                                                   : NULL)
                    : unit == 'Y' ? &parts->years
                    : unit == 'M' ? &parts->months
                    : unit == 'D' ? &parts->days
                                  : NULL;
    if (part == NULL || micros != 0) {
        return false;
    }
    *part = number;
    return true;
}

bool debezium_interval_read(const char *text, size_t size,
                            struct debezium_interval_parts *ret_parts)
{
    enum { SECONDS_MAX = 1000000000 };
    struct cursor cursor = {text, text + size};
    *ret_parts = (struct debezium_interval_parts){0};
    bool time = false;
    if (!take(&cursor, 'P')) {
        return false;
    }
    while (cursor.at < cursor.end) {
        int64_t number;
        int64_t micros;
        if (!time && take(&cursor, 'T')) {
            time = true;
            continue;
        }
        int64_t sign = take(&cursor, '-') ? -1 : 1;
        if (!take_number(&cursor, 1, &number) || !take_fraction(&cursor, &micros) ||
            cursor.at == cursor.end || (micros != 0 && number > SECONDS_MAX)) {
            return false;
        }
        char unit = *cursor.at++;
        if ((unit == 'S' && number > SECONDS_MAX) ||
            !set_part(ret_parts, unit, time, sign * number, sign * micros)) {
            return false;
        }
    }
    return size > 1;
}

/* *sum += number * factor */
static bool add_product(int64_t *sum, int64_t number, int64_t factor)
{
    int64_t product;
    return !__builtin_mul_overflow(number, factor, &product) &&
           !__builtin_add_overflow(*sum, product, sum);
}

bool debezium_interval_micros(const struct debezium_interval_parts *parts, int64_t *ret_micros)
{
    int64_t sum = parts->micros;
    bool ok = add_product(&sum, parts->years, 12 * MONTH_US) &&
              add_product(&sum, parts->months, MONTH_US) &&
              add_product(&sum, parts->days, DAY_US) && add_product(&sum, parts->hours, HOUR_US) &&
              add_product(&sum, parts->minutes, MINUTE_US);
    *ret_micros = sum;
    return ok;
}

static char *write_pair(char *at, uint32_t number)
{
    at[0] = (char)('0' + number / 10 % 10);
    at[1] = (char)('0' + number % 10);
    return at + 2;
}

size_t debezium_date_write(struct debezium_date date, char text[DEBEZIUM_TIME_TEXT_MAX])
{
    uint32_t year = (uint32_t)abs(date.year);
    char *at = text;
    if (date.year < 0 || date.year > 9999) {
        *at++ = date.year < 0 ? '-' : '+';
    }
    char digits[YEAR_DIGITS_MAX];
    int first = YEAR_DIGITS_MAX;
    do {
        digits[--first] = (char)('0' + year % 10);
        year /= 10;
    } while (year > 0 || first > YEAR_DIGITS_MAX - 4);
    memcpy(at, digits + first, (size_t)(YEAR_DIGITS_MAX - first));
    at += YEAR_DIGITS_MAX - first;
    *at++ = '-';
    at = write_pair(at, date.month);
    *at++ = '-';
    return (size_t)(write_pair(at, date.day) - text);
}

/* Writes .456 with so many digits, or as few as it takes. */
static size_t write_fraction(int64_t micros, int digits, char *text)
{
    char all[FRACTION_DIGITS_MAX];
    int least = 0;
    for (int i = FRACTION_DIGITS_MAX - 1; i >= 0; i--) {
        all[i] = (char)('0' + micros % 10);
        least = least == 0 && all[i] != '0' ? i + 1 : least;
        micros /= 10;
    }
    int count = digits < 0 ? least : digits;
    if (count == 0) {
        return 0;
    }
    text[0] = '.';
    memcpy(text + 1, all, (size_t)count);
    return (size_t)count + 1;
}

size_t debezium_time_write(int64_t micros, int digits, char text[DEBEZIUM_TIME_TEXT_MAX])
{
    uint32_t seconds = (uint32_t)(micros / SECOND_US);
    char *at = write_pair(text, seconds / 3600);
    *at++ = ':';
    at = write_pair(at, seconds / 60 % 60);
    *at++ = ':';
    at = write_pair(at, seconds % 60);
    return (size_t)(at - text) + write_fraction(micros % SECOND_US, digits, at);
}

size_t debezium_interval_write(const struct debezium_interval_parts *parts,
                               char text[4 * DEBEZIUM_TIME_TEXT_MAX])
{
    int64_t micros = parts->micros < 0 ? -parts->micros : parts->micros;
    int size = snprintf(text, (size_t)3 * DEBEZIUM_TIME_TEXT_MAX,
                        "P%" PRId64 "Y%" PRId64 "M%" PRId64 "DT%" PRId64 "H%" PRId64 "M%s%" PRId64,
                        parts->years, parts->months, parts->days, parts->hours, parts->minutes,
                        parts->micros < 0 ? "-" : "", micros / SECOND_US);
    size_t end = (size_t)size + write_fraction(micros % SECOND_US, -1, text + size);
    text[end] = 'S';
    return end + 1;
}
