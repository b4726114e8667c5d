/*
 * report.h - every fault of a conf, collected, then shown in the order of the files.
 *
 *     pgfan.yaml:7:5: error: unknown key "polcy" in "buffer": did you mean "policy"?
 *             polcy: ***
 *             ^~~~~
 *       hint: ...
 *
 * Faults are added with places in a tree; conf_report_finish() sorts them and copies what they show
 * from the files, masked, so that the report outlives the tree. Masking waits until then because
 * only then every node is known to be secret or not.
 *
 * Ownership:  conf_report_release() frees; accepts a zeroed report.
 * Threading:  one thread.
 * Errors:     a fault that cannot be kept (memory) still counts, so a conf with faults never
 *             passes.
 * Limits:     CONF_FAULTS_MAX faults are kept, the rest are counted.
 */
#ifndef CONF_REPORT_H
#define CONF_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "conf/tree.h"

enum { CONF_FAULTS_MAX = 200 };

enum conf_severity { CONF_ERROR, CONF_WARNING };

struct conf_fault {
    enum conf_severity severity;
    char *text;              /* one line, escaped */
    char *hint;              /* how to mend it; may be NULL */
    struct conf_place place; /* valid until conf_report_finish() */
    uint32_t file_index;     /* from here on valid after it */
    char *file;              /* name; NULL: no place */
    uint32_t line;           /* 0: the file has no lines, or there is no place in it */
    uint32_t column;
    char *shown;           /* the line, masked; NULL: none */
    uint32_t caret;        /* characters before the mark in `shown` */
    uint32_t caret_length; /* at least 1 */
};

struct conf_report {
    struct conf_fault *faults;
    size_t count;
    size_t capacity;
    size_t errors; /* all of them, kept or not */
    size_t warnings;
};

void conf_report_release(struct conf_report *report);

/* `place` may be NULL. What is formatted into the text must be free of secrets; it is escaped. */
void conf_report_add(struct conf_report *report, enum conf_severity severity,
                     const struct conf_place *place, const char *hint, const char *format, ...)
    FAN_PRINTF(5, 6);

/* Sorts, and copies the lines. Call once, before the tree goes. */
void conf_report_finish(struct conf_report *report, const struct conf_tree *tree);

/* Appends all faults as text for people; `colour` only where a terminal reads it. */
void conf_report_print(const struct conf_report *report, bool colour, struct bytes *ret_text);

/* Appends {"valid":bool,"errors":n,"warnings":n,"faults":[{"severity","file","line","column",
 * "message","hint"}]}. */
void conf_report_print_json(const struct conf_report *report, struct bytes *ret_text);

#endif
