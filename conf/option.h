/*
 * option.h - the tables that describe every key of the conf file.
 *
 * One table is the single source of what a section accepts: the decoder, the defaults, the
 * effective conf, docs/configuration.md, the JSON Schema and the man page all come from it. A key
 * that no table names is a fault; a key marked CONF_UNAVAILABLE is refused as `not available in
 * this version`.
 *
 * Decoding writes into a struct whose fields the table places with offsetof():
 *
 *   CONF_BOOL      bool                CONF_TEXT       char *  (owned, NULL when unset)
 *   CONF_INTEGER   int64_t             CONF_SECRET     struct secret
 *   CONF_SIZE      uint64_t, bytes     CONF_CHOICE     int     (value of the choice)
 *   CONF_DURATION  int64_t, us         CONF_TEXT_LIST  struct conf_text_list
 *   CONF_TEXT_MAP  struct conf_text_map
 *   CONF_SECTION       the nested struct itself, at `offset`
 *   CONF_SECTION_LIST  struct conf_section_list; each item has the table's size
 *   CONF_SECTION_MAP   struct conf_section_list; the key goes to the item's `name`, its first
 *                      member, a char *
 */
#ifndef CONF_OPTION_H
#define CONF_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum conf_type {
    CONF_BOOL,
    CONF_INTEGER,
    CONF_SIZE,     /* 64MiB, 10GiB, 1000, 16kB: binary with an i, decimal without */
    CONF_DURATION, /* 50ms, 1s, 2m, 1h; a number without a unit is a fault, but for 0, and for a
                      key that ends in _ms, where it means milliseconds */
    CONF_TEXT,
    CONF_SECRET, /* a key that is `dsn` or ends in _dsn holds a libpq connection string: it is shown
                    with its password masked, any other secret only as *** */
    CONF_CHOICE,
    CONF_TEXT_LIST, /* a sequence of scalars, or one scalar */
    CONF_TEXT_MAP,
    CONF_SECTION,
    CONF_SECTION_LIST,
    CONF_SECTION_MAP,
    CONF_UNAVAILABLE,
};

/* The value of a choice that is known but refused as `not available in this version`. */
enum { CONF_CHOICE_UNAVAILABLE = -1 };

struct conf_choice {
    const char *name;
    int value;
};

struct conf_table;

struct conf_option {
    const char *key;
    enum conf_type type;
    size_t offset;
    const char *value_default; /* as it would be written in the file; NULL: unset, zero or empty */
    bool required;
    int64_t minimum; /* of numbers, sizes and durations, of the length of texts and lists */
    int64_t maximum; /* 0: no bound */
    const struct conf_choice *choices; /* of CONF_CHOICE; ends with a NULL name */
    const struct conf_table *table;    /* of sections */
    /* ${schema}, ${table}, ${source}, ${op}, ${key.COLUMN} and ${after.COLUMN} stay in the text, for
     * the plug-in to fill in for each event. */
    bool templated;
    bool masked;         /* of CONF_TEXT_MAP: its values are never shown */
    const char *help;    /* one or two sentences for the reference */
    const char *example; /* as written in the file; may be NULL */
};

/* Beside the fields: a check over a decoded section, for what one key or several must be together.
 * Returns NULL, or the fault as a text; `ret_key` then names the key where it is shown. One rule
 * reports one fault, so what is wrong independently has a rule of its own. */
typedef const char *conf_rule(const void *section, const char **ret_key);

enum conf_family { CONF_FAMILY_NONE, CONF_FAMILY_SOURCE, CONF_FAMILY_TARGET };

struct conf_table {
    const char *name; /* of the section, for messages and the reference */
    const char *help;
    size_t size; /* of the struct */
    const struct conf_option *options;
    size_t options_count;
    conf_rule *const *rules; /* ends with NULL; may be NULL */

    /* Of sources and targets: keys of the plug-in that `type` names stand in the same map. The
     * struct then has a `void *` (the plug-in's own struct) and a `const struct conf_table *`. */
    enum conf_family family;
    size_t extension_offset;
    size_t extension_table_offset;
};

struct conf_text_list {
    char **items; /* owned, as every item */
    size_t count;
};

struct conf_text_pair {
    char *key;
    char *value;
};

struct conf_text_map {
    struct conf_text_pair *pairs; /* owned, in file order */
    size_t count;
};

struct conf_section_list {
    void *items; /* owned array of `count` structs of the table's size */
    size_t count;
};

#define CONF_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
