#include "targets/redis/stream.h"

#include <string.h>

void stream_names_release(struct stream_names *names)
{
    event_template_release(&names->of_table);
    event_template_release(&names->other);
}

static const char *parse(const char *text, unsigned allowed, const char *unknown,
                         struct event_template *ret_template)
{
    switch (event_template_parse(text, strlen(text), allowed, ret_template)) {
    case EVENT_TEMPLATE_FINE:
        break;
    case EVENT_TEMPLATE_UNCLOSED:
        return "a stream's name has a ${ without its }";
    case EVENT_TEMPLATE_UNKNOWN:
        return unknown;
    case EVENT_TEMPLATE_TOO_LONG:
        return "a stream's name has too many ${...}";
    case EVENT_TEMPLATE_NO_MEMORY:
        return "a stream's name cannot be read: out of memory";
    }
    return NULL;
}

const char *stream_names_parse(const char *of_table, const char *other,
                               struct stream_names *ret_names, const char **ret_key)
{
    struct stream_names names = {0};
    *ret_key = "stream";
    const char *fault = parse(of_table, EVENT_SCHEMA | EVENT_TABLE | EVENT_SOURCE | EVENT_OP,
                              "\"stream\" has an unknown name in ${...}: there are ${schema}, "
                              "${table}, ${source} and ${op}",
                              &names.of_table);
    if (fault == NULL) {
        *ret_key = "stream_other";
        fault = parse(other, EVENT_SOURCE | EVENT_OP,
                      "\"stream_other\" has an unknown name in ${...}: its events have no table, "
                      "there are ${source} and ${op}",
                      &names.other);
    }
    if (fault != NULL) {
        stream_names_release(&names);
        return fault;
    }
    *ret_names = names;
    return NULL;
}

enum fan_status stream_names_render(const struct stream_names *names,
                                    const struct event_subject *subject, struct bytes *out,
                                    struct fan_error *reterr)
{
    bytes_clear(out);
    const struct event_template *template =
        subject->label->table_size > 0 ? &names->of_table : &names->other;
    if (!bytes_reserve(out, 1)) {
        return fan_fail(reterr, FAN_RETRY, "could not make the name of a stream: out of memory");
    }
    const struct event_piece *missing = event_template_render(template, subject, NULL, out);
    if (missing == NULL && bytes_ok(out)) {
        return FAN_OK;
    }
    if (missing != NULL) {
        (void)fan_fail(reterr, FAN_POISON, "cannot make the name of a stream: the event has no %s",
                       event_name_text(missing->name));
    } else {
        (void)fan_fail(reterr, FAN_POISON,
                       "cannot make the name of a stream: it would be too long");
    }
    fan_error_annotate(reterr, "REDIS_STREAM", NULL);
    return FAN_POISON;
}
