#include "targets/event_template.h"

#include <stdlib.h>
#include <string.h>

#include "encode/id.h"
#include "model/change.h"
#include "targets/key_text.h"

static const struct {
    const char *text;
    enum event_name name;
} names_known[] = {
    {"schema", EVENT_SCHEMA}, {"table", EVENT_TABLE}, {"source", EVENT_SOURCE},
    {"op", EVENT_OP},         {"key", EVENT_KEY},     {"id", EVENT_ID},
};

enum { NAMES_COUNT = sizeof(names_known) / sizeof(names_known[0]) };

const char *event_name_text(enum event_name name)
{
    for (size_t at = 0; at < NAMES_COUNT; at++) {
        if (names_known[at].name == name) {
            return names_known[at].text;
        }
    }
    return "key";
}

void event_template_release(struct event_template *template)
{
    for (size_t at = 0; at < template->pieces_count; at++) {
        free(template->pieces[at].text);
    }
    *template = (struct event_template){0};
}

/* Adds a piece with a copy of `text` (NULL: none). */
static enum event_template_fault add_piece(struct event_template *template, enum event_name name,
                                           const char *text, size_t size)
{
    if (template->pieces_count == EVENT_PIECES_MAX) {
        return EVENT_TEMPLATE_TOO_LONG;
    }
    struct event_piece *piece = &template->pieces[template->pieces_count];
    *piece = (struct event_piece){.name = name};
    if (text != NULL) {
        piece->text = strndup(text, size);
        if (piece->text == NULL) {
            return EVENT_TEMPLATE_NO_MEMORY;
        }
    }
    template->pieces_count++;
    return EVENT_TEMPLATE_FINE;
}

static enum event_template_fault add_name(struct event_template *template, unsigned names,
                                          const char *name, size_t size)
{
    template->varies = true;
    for (size_t at = 0; at < NAMES_COUNT; at++) {
        if ((names & names_known[at].name) != 0 && strlen(names_known[at].text) == size &&
            memcmp(names_known[at].text, name, size) == 0) {
            return add_piece(template, names_known[at].name, NULL, 0);
        }
    }
    if ((names & EVENT_KEY_COLUMN) != 0 && size > 4 && memcmp(name, "key.", 4) == 0) {
        return add_piece(template, EVENT_KEY_COLUMN, name + 4, size - 4);
    }
    return EVENT_TEMPLATE_UNKNOWN;
}

/* The next ${, or NULL. */
static const char *find_name(const char *at, const char *end)
{
    while (at < end && (at = memchr(at, '$', (size_t)(end - at))) != NULL) {
        if (at + 1 < end && at[1] == '{') {
            return at;
        }
        at++;
    }
    return NULL;
}

enum event_template_fault event_template_parse(const char *text, size_t size, unsigned names,
                                               struct event_template *ret_template)
{
    struct event_template template = {0};
    enum event_template_fault fault = EVENT_TEMPLATE_FINE;
    const char *literal = text;
    const char *end = text + size;
    const char *at;
    while (fault == EVENT_TEMPLATE_FINE && (at = find_name(literal, end)) != NULL) {
        const char *close = memchr(at, '}', (size_t)(end - at));
        if (close == NULL) {
            fault = EVENT_TEMPLATE_UNCLOSED;
            break;
        }
        if (at > literal) {
            fault = add_piece(&template, EVENT_LITERAL, literal, (size_t)(at - literal));
        }
        if (fault == EVENT_TEMPLATE_FINE) {
            fault = add_name(&template, names, at + 2, (size_t)(close - at) - 2);
        }
        literal = close + 1;
    }
    if (fault == EVENT_TEMPLATE_FINE && literal < end) {
        fault = add_piece(&template, EVENT_LITERAL, literal, (size_t)(end - literal));
    }
    if (fault != EVENT_TEMPLATE_FINE) {
        event_template_release(&template);
        return fault;
    }
    *ret_template = template;
    return EVENT_TEMPLATE_FINE;
}

static void append_id(const struct event_subject *subject, struct bytes *out)
{
    char id[EVENT_ID_MAX];
    const struct batch_event *event = subject->event;
    size_t size = event_id_write(subject->encode, event->position, event->op == CHANGE_GAP, id);
    bytes_append(out, id, size);
}

/* Appends the value of a name; false when the event has none. */
static bool append_value(const struct event_piece *piece, const struct event_subject *subject,
                         struct bytes *out)
{
    const size_t before = out->size;
    const struct batch_label *label = subject->label;
    switch (piece->name) {
    case EVENT_LITERAL:
        bytes_append_text(out, piece->text);
        break;
    case EVENT_SCHEMA:
        bytes_append(out, label->schema, label->schema_size);
        break;
    case EVENT_TABLE:
        bytes_append(out, label->table, label->table_size);
        break;
    case EVENT_SOURCE:
        bytes_append_text(out, subject->encode->source);
        break;
    case EVENT_OP:
        bytes_append_char(out, (char)subject->event->op);
        break;
    case EVENT_KEY:
        bytes_append(out, label->key, label->key_size);
        break;
    case EVENT_ID:
        append_id(subject, out);
        break;
    case EVENT_KEY_COLUMN:
        if (key_text_append(label->key, label->key_size, piece->text, out) != KEY_FOUND) {
            return !bytes_ok(out);
        }
        break;
    }
    return out->size > before || !bytes_ok(out);
}

const struct event_piece *event_template_render(const struct event_template *template,
                                                const struct event_subject *subject,
                                                event_escape *escape, struct bytes *out)
{
    for (size_t at = 0; at < template->pieces_count; at++) {
        const struct event_piece *piece = &template->pieces[at];
        const size_t before = out->size;
        if (!append_value(piece, subject, out)) {
            return piece;
        }
        if (escape != NULL && piece->name != EVENT_LITERAL && bytes_ok(out)) {
            escape(out, before);
        }
    }
    return NULL;
}
