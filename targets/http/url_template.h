/*
 * url_template.h - the address of a target, whose path may name the event.
 *
 *     https://search.internal/${schema}.${table}/${key.id}?refresh=false
 *
 * Names stand in the path only: ${schema}, ${table}, ${source}, ${op} and ${key.COLUMN}. What they
 * stand for is percent-encoded but for letters, digits, `-`, `_`, `.` and `~`, so no value can add
 * a segment, a query or a fragment. An event without a value, with an empty one, or whose values
 * would make a segment `.` or `..`, has no address.
 *
 * Ownership:  the template keeps a copy; url_template_release() accepts a zeroed one.
 * Threading:  constant after url_template_parse().
 * Limits:     EVENT_PIECES_MAX pieces, URL_SIZE_MAX bytes of a rendered URL.
 */
#ifndef TARGETS_HTTP_URL_TEMPLATE_H
#define TARGETS_HTTP_URL_TEMPLATE_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/status.h"
#include "targets/event_template.h"

enum {
    URL_SIZE_MAX = 8192,
    URL_ROOM = 4 * URL_SIZE_MAX, /* room to render in; what does not fit it is too long */
};

struct url_template {
    char *origin; /* scheme, host and port: what messages may show */
    char *host;
    bool plain;                 /* http, not https */
    struct event_template path; /* and the query */
};

/* Returns NULL and fills `ret_template`, or returns the fault as a text for the conf's user. */
const char *url_template_parse(const char *url, struct url_template *ret_template);
void url_template_release(struct url_template *url);

/* Writes the URL of one event, without a NUL, into `out`, whose size_max is URL_ROOM. FAN_POISON:
 * the event has none. FAN_RETRY: memory is out. */
enum fan_status url_template_render(const struct url_template *url,
                                    const struct event_subject *subject, struct bytes *out,
                                    struct fan_error *reterr) FAN_MUST_CHECK;

#endif
