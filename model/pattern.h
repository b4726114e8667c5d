/*
 * pattern.h - which tables, and which prefixes of logical messages, a pipeline takes.
 *
 * A table pattern is `schema.table`, or `table` alone for the schema public. As in PostgreSQL,
 * ASCII letters outside double quotes are folded to lower case. `%` and `*` stand for any run of
 * characters, also an empty one; `_` is an ordinary character. Inside double quotes every
 * character stands for itself, and "" for one double quote:
 *
 *     public.orders   orders   public.order_%   sales.*   %.audit   "My Schema"."t.x"
 *
 * A `*` or `%` alone means every table of every schema.
 *
 * A message pattern has the same wildcards; nothing else in it is special, and case counts.
 *
 * Ownership:  plain values.
 * Limits:     a part is at most PATTERN_PART_MAX - 1 bytes. Matching takes no memory and at most
 *             pattern length times name length steps.
 */
#ifndef MODEL_PATTERN_H
#define MODEL_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum { PATTERN_PART_MAX = 256 };

/*
 * One compiled name. `text` is NUL-terminated; a wildcard is the byte 0xFF, which no UTF-8 text
 * holds. If `exact`, the text is the very name.
 */
struct pattern_part {
    char text[PATTERN_PART_MAX];
    size_t size;
    bool exact;
};

struct pattern {
    struct pattern_part schema;
    struct pattern_part table;
};

/* FAN_FATAL, with a hint, for a text that is no table pattern. */
enum fan_status pattern_parse(const char *text, struct pattern *ret_pattern,
                              struct fan_error *reterr) FAN_MUST_CHECK;
bool pattern_match(const struct pattern *pattern, const char *schema, const char *table);

/* True if the pattern names one table; schema.text and table.text are then its names. */
bool pattern_is_exact(const struct pattern *pattern);

/* The same for the prefix of a logical message. */
enum fan_status pattern_parse_prefix(const char *text, struct pattern_part *ret_part,
                                     struct fan_error *reterr) FAN_MUST_CHECK;
bool pattern_match_prefix(const struct pattern_part *part, const char *prefix);

#endif
