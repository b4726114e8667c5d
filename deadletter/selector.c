#include "deadletter/selector.h"

#include <string.h>

enum { NAME_SIZE_MAX = 63, TEXT_SIZE_MAX = 8192 };

const char *const deadletter_selectors[] = {"pipeline", "target", "table", "key", "since",
                                            "error",    "cause",  "after", NULL};

/* ---- numbers and times ---- */

/* Reads `digits` digits, or as many as there are when it is 0, and moves behind them. */
static bool digits_read(const char **at, unsigned digits, int64_t *ret_number)
{
    int64_t number = 0;
    unsigned count = 0;
    while (**at >= '0' && **at <= '9' && (digits == 0 ? count < 18 : count < digits)) {
        number = number * 10 + (**at - '0');
        (*at)++;
        count++;
    }
    *ret_number = number;
    return count > 0 && (digits == 0 ? !(**at >= '0' && **at <= '9') : count == digits);
}

bool deadletter_number_parse(const char *text, int64_t maximum, int64_t *ret_number)
{
    int64_t number;
    if (!digits_read(&text, 0, &number) || *text != '\0' || number < 1 || number > maximum) {
        return false;
    }
    *ret_number = number;
    return true;
}

static bool literal_read(const char **at, const char *characters)
{
    if (**at == '\0' || strchr(characters, **at) == NULL) {
        return false;
    }
    (*at)++;
    return true;
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int64_t days_of_month(int64_t year, int64_t month)
{
    static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1970-01-01 to a date of the years 1970 to 9999. */
static int64_t days_since_epoch(int64_t year, int64_t month, int64_t day)
{
    int64_t before = year - 1;
    int64_t days = before * 365 + before / 4 - before / 100 + before / 400 - 719162;
    for (int64_t at = 1; at < month; at++) {
        days += days_of_month(year, at);
    }
    return days + day - 1;
}

static bool date_read(const char **at, int64_t *ret_days)
{
    int64_t year;
    int64_t month;
    int64_t day;
    if (!digits_read(at, 4, &year) || !literal_read(at, "-") || !digits_read(at, 2, &month) ||
        !literal_read(at, "-") || !digits_read(at, 2, &day) || year < 1970 || month < 1 ||
        month > 12 || day < 1 || day > days_of_month(year, month)) {
        return false;
    }
    *ret_days = days_since_epoch(year, month, day);
    return true;
}

static bool fraction_read(const char **at, int64_t *ret_us)
{
    int64_t us = 0;
    unsigned digits = 0;
    while (**at >= '0' && **at <= '9') {
        if (digits < 6) {
            us = us * 10 + (**at - '0');
        }
        digits++;
        (*at)++;
    }
    for (unsigned missing = digits; missing < 6; missing++) {
        us *= 10;
    }
    *ret_us = us;
    return digits > 0;
}

static bool offset_read(const char **at, int64_t *ret_seconds)
{
    int64_t hours;
    int64_t minutes;
    bool west = **at == '-';
    *ret_seconds = 0;
    if (literal_read(at, "Zz")) {
        return true;
    }
    if (!literal_read(at, "+-") || !digits_read(at, 2, &hours) || !literal_read(at, ":") ||
        !digits_read(at, 2, &minutes) || hours > 23 || minutes > 59) {
        return false;
    }
    *ret_seconds = (hours * 60 + minutes) * (west ? -60 : 60);
    return true;
}

/* RFC 3339, section 5.6; a date alone is its first moment in UTC. */
static bool moment_read(const char *at, int64_t *ret_us)
{
    int64_t days;
    int64_t hour;
    int64_t minute;
    int64_t second;
    int64_t fraction_us = 0;
    int64_t offset = 0;
    if (!date_read(&at, &days)) {
        return false;
    }
    if (*at == '\0') {
        *ret_us = days * 86400 * 1000000;
        return true;
    }
    if (!literal_read(&at, "Tt ") || !digits_read(&at, 2, &hour) || !literal_read(&at, ":") ||
        !digits_read(&at, 2, &minute) || !literal_read(&at, ":") || !digits_read(&at, 2, &second) ||
        hour > 23 || minute > 59 || second > 60) {
        return false;
    }
    if (literal_read(&at, ".") && !fraction_read(&at, &fraction_us)) {
        return false;
    }
    if (!offset_read(&at, &offset) || *at != '\0') {
        return false;
    }
    int64_t seconds = days * 86400 + hour * 3600 + minute * 60 + second - offset;
    *ret_us = seconds * 1000000 + fraction_us;
    return true;
}

/* 90s, 15m, 2h, 7d: so long before now. */
static bool ago_read(const char *at, int64_t now_us, int64_t *ret_us)
{
    int64_t number;
    int64_t seconds;
    if (!digits_read(&at, 0, &number)) {
        return false;
    }
    switch (*at) {
    case 's':
        seconds = 1;
        break;
    case 'm':
        seconds = 60;
        break;
    case 'h':
        seconds = 3600;
        break;
    case 'd':
        seconds = 86400;
        break;
    default:
        return false;
    }
    if (at[1] != '\0' || number > now_us / 1000000 / seconds) {
        return false; /* before 1970 */
    }
    *ret_us = now_us - number * seconds * 1000000;
    return true;
}

bool deadletter_time_parse(const char *text, int64_t now_us, int64_t *ret_us)
{
    return ago_read(text, now_us, ret_us) || moment_read(text, ret_us);
}

/* ---- selectors ---- */

static enum fan_status malformed(const char *name, const char *hint, struct fan_error *reterr)
{
    (void)fan_fail(reterr, FAN_POISON, "selector \"%s\" is malformed", name);
    fan_error_annotate(reterr, "BAD_SELECTOR", "%s", hint);
    return FAN_POISON;
}

static enum fan_status select_name(const char **field, const char *name, const char *text,
                                   struct fan_error *reterr)
{
    size_t size = strlen(text);
    if (size == 0 || size > NAME_SIZE_MAX) {
        return malformed(name, "a name has 1 to 63 bytes", reterr);
    }
    *field = text;
    return FAN_OK;
}

static enum fan_status select_table(struct deadletter_filter *filter, const char *text,
                                    struct fan_error *reterr)
{
    const char *dot = strchr(text, '.');
    if (dot == NULL || dot == text || dot[1] == '\0' || strlen(text) > TEXT_SIZE_MAX) {
        return malformed("table", "write the schema too, as in public.orders", reterr);
    }
    filter->table = text;
    return FAN_OK;
}

static enum fan_status select_key(struct deadletter_filter *filter, const char *text,
                                  struct fan_error *reterr)
{
    size_t size = strlen(text);
    if (size < 2 || size > TEXT_SIZE_MAX || text[0] != '{' || text[size - 1] != '}') {
        return malformed("key", "write it as dlq show prints it, such as {\"id\":7}", reterr);
    }
    filter->key = text;
    return FAN_OK;
}

static enum fan_status select_since(struct deadletter_filter *filter, const char *text,
                                    int64_t now_us, struct fan_error *reterr)
{
    if (!deadletter_time_parse(text, now_us, &filter->since_us)) {
        return malformed("since",
                         "write a time, such as 2026-11-22T01:02:03Z or 2026-11-22, or how long "
                         "ago, such as 90s, 15m, 2h or 7d",
                         reterr);
    }
    return FAN_OK;
}

enum fan_status deadletter_select(struct deadletter_filter *filter, const char *name,
                                  const char *text, int64_t now_us, struct fan_error *reterr)
{
    if (strcmp(name, "pipeline") == 0) {
        return select_name(&filter->pipeline, name, text, reterr);
    }
    if (strcmp(name, "target") == 0) {
        return select_name(&filter->target, name, text, reterr);
    }
    if (strcmp(name, "table") == 0) {
        return select_table(filter, text, reterr);
    }
    if (strcmp(name, "key") == 0) {
        return select_key(filter, text, reterr);
    }
    if (strcmp(name, "since") == 0) {
        return select_since(filter, text, now_us, reterr);
    }
    if (strcmp(name, "error") == 0) {
        if (text[0] == '\0' || strlen(text) > LETTER_ERROR_MAX) {
            return malformed(name, "write a piece of the error's text or code", reterr);
        }
        filter->error = text;
        return FAN_OK;
    }
    if (strcmp(name, "cause") == 0) {
        return deadletter_cause_parse(text, &filter->cause)
                   ? FAN_OK
                   : malformed(name, "a cause is poison, parked or isolated", reterr);
    }
    if (strcmp(name, "after") == 0) {
        return deadletter_number_parse(text, INT64_MAX, &filter->after_number)
                   ? FAN_OK
                   : malformed(name, "write the number of a dead letter", reterr);
    }
    (void)fan_fail(reterr, FAN_POISON, "no selector is named \"%s\"", name);
    fan_error_annotate(reterr, "BAD_SELECTOR", NULL);
    return FAN_POISON;
}
