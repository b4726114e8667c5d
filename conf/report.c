#include "conf/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "conf/excerpt.h"

enum { TEXT_MAX = 2000 };

void conf_report_release(struct conf_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        free(report->faults[i].text);
        free(report->faults[i].hint);
        free(report->faults[i].file);
        free(report->faults[i].shown);
    }
    free(report->faults);
    *report = (struct conf_report){0};
}

static bool make_room(struct conf_report *report)
{
    if (report->count < report->capacity) {
        return true;
    }
    if (report->capacity >= CONF_FAULTS_MAX) {
        return false;
    }
    size_t capacity = report->capacity == 0 ? 8 : report->capacity * 2;
    capacity = capacity > CONF_FAULTS_MAX ? CONF_FAULTS_MAX : capacity;
    struct conf_fault *faults = realloc(report->faults, capacity * sizeof(*faults));
    if (faults == NULL) {
        return false;
    }
    report->faults = faults;
    report->capacity = capacity;
    return true;
}

/* Keys, names and values in a text come from the file: nothing in them may steer a terminal.
 * Quotes and backslashes are ours as often as theirs, and harmless. */
static char *escaped_copy(const char *text)
{
    struct bytes copy;
    bytes_init(&copy, (size_t)TEXT_MAX * ESCAPE_SIZE);
    size_t size = strlen(text);
    for (size_t at = 0; at < size;) {
        char escaped[ESCAPE_SIZE];
        size_t escaped_size = 0;
        size_t consumed = escape_one(text + at, size - at, false, escaped, &escaped_size);
        if (text[at] == '"' || text[at] == '\\') {
            bytes_append_char(&copy, text[at]);
        } else {
            bytes_append(&copy, escaped, escaped_size);
        }
        at += consumed;
    }
    char *result = strdup(bytes_text(&copy));
    bytes_release(&copy);
    return result;
}

void conf_report_add(struct conf_report *report, enum conf_severity severity,
                     const struct conf_place *place, const char *hint, const char *format, ...)
{
    *(severity == CONF_ERROR ? &report->errors : &report->warnings) += 1;
    if (!make_room(report)) {
        return;
    }
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args); /* truncation is meant */
    va_end(args);
    report->faults[report->count++] = (struct conf_fault){
        .severity = severity,
        .text = escaped_copy(text),
        .hint = hint != NULL ? escaped_copy(hint) : NULL,
        .place = place != NULL ? *place : (struct conf_place){0},
    };
}

/* By file, then by place in it, then in the order of finding (the index breaks ties). */
static int compare_faults(const void *left, const void *right)
{
    const struct conf_fault *one = left;
    const struct conf_fault *other = right;
    if (one->file_index != other->file_index) {
        return one->file_index < other->file_index ? -1 : 1;
    }
    if (one->place.start != other->place.start) {
        return one->place.start < other->place.start ? -1 : 1;
    }
    return one->column < other->column ? -1 : one->column > other->column ? 1 : 0;
}

static void sort_faults(struct conf_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        struct conf_fault *fault = &report->faults[i];
        fault->file_index = fault->place.file != NULL ? fault->place.file->index : UINT32_MAX;
        fault->column = (uint32_t)i; /* the real column is set after sorting */
    }
    if (report->count > 1) {
        qsort(report->faults, report->count, sizeof(report->faults[0]), compare_faults);
    }
}

void conf_report_finish(struct conf_report *report, const struct conf_tree *tree)
{
    sort_faults(report);
    for (size_t i = 0; i < report->count; i++) {
        struct conf_fault *fault = &report->faults[i];
        fault->column = 0;
        const struct conf_file *file = fault->place.file;
        fault->place.file = NULL;
        if (file == NULL) {
            continue;
        }
        fault->file = escaped_copy(file->name);
        if (file->text == NULL || file->kind != CONF_FILE_YAML) {
            continue;
        }
        conf_file_position(file, fault->place.start, &fault->line, &fault->column);
        fault->shown = conf_excerpt(tree, file, fault->place.start, fault->place.end, &fault->caret,
                                    &fault->caret_length);
    }
}

static void print_fault(const struct conf_fault *fault, bool colour, struct bytes *ret_text)
{
    const char *bold = colour ? "\x1b[1m" : "";
    const char *tint = !colour ? "" : fault->severity == CONF_ERROR ? "\x1b[1;31m" : "\x1b[1;35m";
    const char *plain = colour ? "\x1b[0m" : "";
    bytes_append_text(ret_text, bold);
    if (fault->file != NULL) {
        bytes_append_text(ret_text, fault->file);
        if (fault->line > 0) {
            bytes_append_format(ret_text, ":%u:%u", fault->line, fault->column);
        }
        BYTES_APPEND_LITERAL(ret_text, ": ");
    }
    bytes_append_format(ret_text, "%s%s%s: %s\n", tint,
                        fault->severity == CONF_ERROR ? "error" : "warning", plain,
                        fault->text != NULL ? fault->text : "out of memory");
    if (fault->shown != NULL) {
        bytes_append_format(ret_text, "    %s\n    %*s%s^", fault->shown, (int)fault->caret, "",
                            tint);
        for (uint32_t i = 1; i < fault->caret_length; i++) {
            bytes_append_char(ret_text, '~');
        }
        bytes_append_format(ret_text, "%s\n", plain);
    }
    if (fault->hint != NULL) {
        bytes_append_format(ret_text, "  hint: %s\n", fault->hint);
    }
}

void conf_report_print(const struct conf_report *report, bool colour, struct bytes *ret_text)
{
    for (size_t i = 0; i < report->count; i++) {
        print_fault(&report->faults[i], colour, ret_text);
    }
    size_t all = report->errors + report->warnings;
    if (all > report->count) {
        bytes_append_format(ret_text, "%zu more faults are not shown\n", all - report->count);
    }
}

static void json_member(struct bytes *ret_text, const char *name, const char *value)
{
    if (value != NULL) {
        bytes_append_format(ret_text, ",\"%s\":", name);
        bytes_append_json_string(ret_text, value, strlen(value));
    }
}

void conf_report_print_json(const struct conf_report *report, struct bytes *ret_text)
{
    bytes_append_format(ret_text, "{\"valid\":%s,\"errors\":%zu,\"warnings\":%zu,\"faults\":[",
                        report->errors == 0 ? "true" : "false", report->errors, report->warnings);
    for (size_t i = 0; i < report->count; i++) {
        const struct conf_fault *fault = &report->faults[i];
        bytes_append_format(ret_text, "%s{\"severity\":\"%s\"", i > 0 ? "," : "",
                            fault->severity == CONF_ERROR ? "error" : "warning");
        json_member(ret_text, "file", fault->file);
        if (fault->line > 0) {
            bytes_append_format(ret_text, ",\"line\":%u,\"column\":%u", fault->line, fault->column);
        }
        json_member(ret_text, "message", fault->text);
        json_member(ret_text, "hint", fault->hint);
        bytes_append_char(ret_text, '}');
    }
    BYTES_APPEND_LITERAL(ret_text, "]}\n");
}
