/*
 * log.h - structured log lines on stderr, logfmt or JSON, one line per change of state.
 *
 *     log_write(LOG_WARN, "source reconnects", LOG_TEXT("source", name), LOG_NUMBER("wait_ms", ms));
 *
 * A line carries the time, the level, the message and the fields in the order given. Field values
 * are escaped (C0, DEL, C1, bidirectional controls, broken UTF-8), and cut at 1 KiB. Secrets are
 * never given to it, and row values only at LOG_DEBUG.
 *
 * Threading:  any thread; a line is one write(2), so lines never mix.
 * Errors:     a line that cannot be written is dropped and counted.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_LOGFMT, LOG_JSON };

enum log_field_kind { LOG_KIND_TEXT, LOG_KIND_NUMBER, LOG_KIND_LSN };

struct log_field {
    const char *name;
    enum log_field_kind kind;
    const char *text; /* may be NULL: the field is left out */
    int64_t number;
};

#define LOG_TEXT(field_name, value)                                                                \
    ((struct log_field){.name = (field_name), .kind = LOG_KIND_TEXT, .text = (value)})
#define LOG_NUMBER(field_name, value)                                                              \
    ((struct log_field){.name = (field_name), .kind = LOG_KIND_NUMBER, .number = (int64_t)(value)})
/* An LSN as its unsigned value, printed as 0/16B3748. */
#define LOG_LSN(field_name, value)                                                                 \
    ((struct log_field){.name = (field_name), .kind = LOG_KIND_LSN, .number = (int64_t)(value)})

/* Level and format may be changed at any time, by any thread. Start: LOG_INFO, LOG_LOGFMT. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_format(enum log_format format);
bool log_level_parse(const char *text, enum log_level *ret_level);
const char *log_level_name(enum log_level level);

/* Where lines go; stderr unless a test says otherwise. */
void log_set_descriptor(int descriptor);

/* Lines that could not be written whole since the start. */
uint64_t log_lines_dropped(void);

void log_write_fields(enum log_level level, const char *message, const struct log_field *fields,
                      size_t fields_count);

#define log_write(level, message, ...)                                                             \
    do {                                                                                           \
        if ((level) <= log_get_level()) {                                                          \
            const struct log_field log_fields_[] = {LOG_TEXT("", NULL), ##__VA_ARGS__};            \
            log_write_fields((level), (message), log_fields_,                                      \
                             sizeof(log_fields_) / sizeof(log_fields_[0]));                        \
        }                                                                                          \
    } while (0)

#endif
