/*
 * event_template.h - a text of the conf that names the event: a topic, a key, a path.
 *
 *     cdc.${schema}.${table}        orders/${key.id}        ${id}
 *
 * The names are ${schema}, ${table}, ${source}, ${op}, ${key} (the JSON object of the key columns),
 * ${key.COLUMN}, and ${id} (the idempotency key); each user allows some of them. An event that has no
 * value for a name, or an empty one, has no text: nothing is made up for it.
 *
 * Ownership:  the template keeps copies; event_template_release() accepts a zeroed one.
 * Threading:  constant after event_template_parse().
 * Limits:     EVENT_PIECES_MAX pieces; a rendered text ends where `out` does.
 */
#ifndef TARGETS_EVENT_TEMPLATE_H
#define TARGETS_EVENT_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "encode/encoder.h"
#include "model/batch.h"

enum { EVENT_PIECES_MAX = 32 };

/* Bits, so that they can be allowed one by one. */
enum event_name {
    EVENT_LITERAL = 0,
    EVENT_SCHEMA = 1,
    EVENT_TABLE = 2,
    EVENT_SOURCE = 4,
    EVENT_OP = 8,
    EVENT_KEY_COLUMN = 16, /* `text` is the column */
    EVENT_KEY = 32,
    EVENT_ID = 64,
};

struct event_piece {
    enum event_name name;
    char *text; /* owned; NULL but for EVENT_LITERAL and EVENT_KEY_COLUMN */
};

struct event_template {
    bool varies; /* some piece is not literal */
    size_t pieces_count;
    struct event_piece pieces[EVENT_PIECES_MAX];
};

enum event_template_fault {
    EVENT_TEMPLATE_FINE = 0,
    EVENT_TEMPLATE_UNCLOSED, /* a ${ without its } */
    EVENT_TEMPLATE_UNKNOWN,  /* a name that there is not, or that is not allowed */
    EVENT_TEMPLATE_TOO_LONG, /* too many pieces */
    EVENT_TEMPLATE_NO_MEMORY,
};

/* What a template is about. Borrowed. */
struct event_subject {
    const struct encode_context *encode;
    const struct batch_label *label;
    const struct batch_event *event; /* its op, and its position for the id */
};

/* `names`: those that are allowed. Nothing is kept after a fault. */
enum event_template_fault event_template_parse(const char *text, size_t size, unsigned names,
                                               struct event_template *ret_template);
void event_template_release(struct event_template *template);

/* Changes what stands behind `before`, the value of a name, into the form of its user. */
typedef void event_escape(struct bytes *out, size_t before);

/* Appends the event's text. `escape` may be NULL. Returns the piece that the event has no value for,
 * or NULL; memory and size show in bytes_ok(out). */
const struct event_piece *event_template_render(const struct event_template *template,
                                                const struct event_subject *subject,
                                                event_escape *escape, struct bytes *out);

/* The name as it stands in a conf, without ${ }; of a column `key`. */
const char *event_name_text(enum event_name name);

#endif
