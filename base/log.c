#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/escape.h"

enum {
    FIELD_MAX = 1024, /* bytes of one escaped value, the mark of a cut included */
    LINE_MAX_BYTES = 16384,
    LINE_TAIL = 32, /* kept free for the mark of left-out fields and the end of the line */
};

/* A line on the stack: logging must work when memory is out. */
struct line {
    char text[LINE_MAX_BYTES];
    size_t size;
    bool json;
};

static _Atomic int current_level = LOG_INFO;
static _Atomic int current_format = LOG_LOGFMT;
static _Atomic int current_descriptor = STDERR_FILENO;
static _Atomic uint64_t lines_dropped;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
    return (enum log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

void log_set_format(enum log_format format)
{
    atomic_store_explicit(&current_format, (int)format, memory_order_relaxed);
}

void log_set_descriptor(int descriptor)
{
    atomic_store_explicit(&current_descriptor, descriptor, memory_order_relaxed);
}

uint64_t log_lines_dropped(void)
{
    return atomic_load_explicit(&lines_dropped, memory_order_relaxed);
}

bool log_level_parse(const char *text, enum log_level *ret_level)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

const char *log_level_name(enum log_level level)
{
    size_t index = (size_t)level;
    return index < sizeof(level_names) / sizeof(level_names[0]) ? level_names[index] : "unknown";
}

static bool line_append(struct line *line, const char *bytes, size_t size)
{
    if (size > sizeof(line->text) - LINE_TAIL - line->size) {
        return false;
    }
    memcpy(line->text + line->size, bytes, size);
    line->size += size;
    return true;
}

/* Appends `text` in quotes, escaped and cut at FIELD_MAX. */
static bool append_quoted(struct line *line, const char *text)
{
    char value[FIELD_MAX + 2];
    size_t used = 0;
    size_t size = strnlen(text, FIELD_MAX + 1); /* longer is cut anyway, as nothing shrinks */
    size_t at = 0;
    value[used++] = '"';
    while (at < size) {
        char escaped[ESCAPE_SIZE];
        size_t escaped_size = 0;
        size_t consumed = escape_one(text + at, size - at, line->json, escaped, &escaped_size);
        bool last = at + consumed == size;
        if (used - 1 + escaped_size > (size_t)FIELD_MAX - (last ? 0 : 3)) {
            for (int dots = 0; dots < 3; dots++) {
                value[used++] = '.';
            }
            break;
        }
        memcpy(value + used, escaped, escaped_size);
        used += escaped_size;
        at += consumed;
    }
    value[used++] = '"';
    return line_append(line, value, used);
}

/* A value that logfmt readers take whole without quotes. */
static bool is_plain(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 "_-./:@%+,~");
    return length > 0 && length <= FIELD_MAX && text[length] == '\0';
}

static bool append_name(struct line *line, const char *name)
{
    char text[80];
    bool first = line->size == (line->json ? 1 : 0); /* a JSON line opens with its brace */
    int length = line->json ? snprintf(text, sizeof(text), "%s\"%s\":", first ? "" : ",", name)
                            : snprintf(text, sizeof(text), "%s%s=", first ? "" : " ", name);
    return length > 0 && (size_t)length < sizeof(text) && line_append(line, text, (size_t)length);
}

static bool append_value(struct line *line, const struct log_field *field)
{
    if (field->kind == LOG_KIND_TEXT) {
        return !line->json && is_plain(field->text)
                   ? line_append(line, field->text, strlen(field->text))
                   : append_quoted(line, field->text);
    }
    char text[32];
    int length = 0;
    if (field->kind == LOG_KIND_NUMBER) {
        length = snprintf(text, sizeof(text), "%lld", (long long)field->number);
    } else {
        uint64_t lsn = (uint64_t)field->number;
        length = snprintf(text, sizeof(text), line->json ? "\"%X/%X\"" : "%X/%X",
                          (unsigned)(lsn >> 32), (unsigned)(lsn & 0xffffffffu));
    }
    return length > 0 && line_append(line, text, (size_t)length);
}

/* A field goes in whole or not at all. Returns false when it did not fit the line. */
static bool append_field(struct line *line, const struct log_field *field)
{
    if (field->kind == LOG_KIND_TEXT && field->text == NULL) {
        return true;
    }
    size_t before = line->size;
    if (append_name(line, field->name) && append_value(line, field)) {
        return true;
    }
    line->size = before;
    return false;
}

static void line_send(const struct line *line)
{
    int descriptor = atomic_load_explicit(&current_descriptor, memory_order_relaxed);
    ssize_t written = 0;
    do {
        written = write(descriptor, line->text, line->size);
    } while (written < 0 && errno == EINTR);
    if (written != (ssize_t)line->size) {
        atomic_fetch_add_explicit(&lines_dropped, 1, memory_order_relaxed);
    }
}

void log_write_fields(enum log_level level, const char *message, const struct log_field *fields,
                      size_t fields_count)
{
    if (level > log_get_level()) {
        return;
    }
    struct line line;
    line.size = 0;
    line.json = atomic_load_explicit(&current_format, memory_order_relaxed) == (int)LOG_JSON;
    if (line.json) {
        line.text[line.size++] = '{';
    }
    int saved_errno = errno; /* callers log before they look at it */
    char now[CLOCK_TEXT_SIZE];
    (void)clock_format_utc(clock_wall_us(), now); /* always NUL-terminated */
    const struct log_field head[] = {LOG_TEXT("time", now),
                                     LOG_TEXT("level", log_level_name(level))};
    bool whole = append_field(&line, &head[0]) && append_field(&line, &head[1]) &&
                 append_name(&line, "msg") && append_quoted(&line, message);
    for (size_t i = 0; i < fields_count; i++) {
        whole = append_field(&line, &fields[i]) && whole;
    }
    const char *tail = line.json ? (whole ? "}\n" : ",\"fields_left_out\":true}\n")
                                 : (whole ? "\n" : " fields_left_out=true\n");
    memcpy(line.text + line.size, tail, strlen(tail)); /* LINE_TAIL bytes were kept for it */
    line.size += strlen(tail);
    line_send(&line);
    errno = saved_errno;
}
