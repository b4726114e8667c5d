#include "targets/http/url_template.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static const char unreserved[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
static const char hex[] = "0123456789ABCDEF";
static const char out_of_memory[] = "\"url\" cannot be read: out of memory";

void url_template_release(struct url_template *url)
{
    event_template_release(&url->path);
    free(url->origin);
    free(url->host);
    *url = (struct url_template){0};
}

static const char *parse_path(struct url_template *url, const char *path)
{
    enum { ALLOWED = EVENT_SCHEMA | EVENT_TABLE | EVENT_SOURCE | EVENT_OP | EVENT_KEY_COLUMN };
    switch (event_template_parse(path, strlen(path), ALLOWED, &url->path)) {
    case EVENT_TEMPLATE_FINE:
        break;
    case EVENT_TEMPLATE_UNCLOSED:
        return "\"url\" has a ${ without its }";
    case EVENT_TEMPLATE_UNKNOWN:
        return "\"url\" has an unknown name in ${...}: there are ${schema}, ${table}, ${source}, "
               "${op} and ${key.COLUMN}";
    case EVENT_TEMPLATE_TOO_LONG:
        return "\"url\" has too many ${...}";
    case EVENT_TEMPLATE_NO_MEMORY:
        return out_of_memory;
    }
    return NULL;
}

static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~' || strchr("\"<>\\^`|", *text) != NULL) {
            return false;
        }
    }
    return true;
}

/* Whether a segment of the path between `path` and `end` is `.` or `..`. */
static bool has_dot_segment(const char *path, const char *end)
{
    while (path < end) {
        const char *slash = memchr(path, '/', (size_t)(end - path));
        const char *stop = slash != NULL ? slash : end;
        size_t size = (size_t)(stop - path);
        if (size > 0 && size < 3 && path[0] == '.' && path[size - 1] == '.') {
            return true;
        }
        path = stop + 1;
    }
    return false;
}

/* What the library reads in the origin is what messages show and the guard's rule is chosen by. */
static const char *read_origin(struct url_template *url, const char *text, size_t size)
{
    CURLU *parsed = curl_url();
    char *scheme = NULL;
    char *host = NULL;
    const char *fault = NULL;
    url->origin = strndup(text, size);
    if (url->origin == NULL || parsed == NULL) {
        fault = out_of_memory;
    } else if (curl_url_set(parsed, CURLUPART_URL, url->origin, 0) != CURLUE_OK ||
               curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
               curl_url_get(parsed, CURLUPART_HOST, &host, 0) != CURLUE_OK) {
        fault = "\"url\" is not a URL: its host or port cannot be read";
    } else {
        url->plain = strcmp(scheme, "http") == 0;
        url->host = strdup(host);
        fault = url->host == NULL ? out_of_memory : NULL;
    }
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(parsed);
    return fault;
}

/* Returns where the path begins, or NULL with the fault. */
static const char *find_path(const char *url, const char **ret_fault)
{
    size_t scheme = strncmp(url, "https://", 8) == 0 ? 8 : strncmp(url, "http://", 7) == 0 ? 7 : 0;
    const char *path = url + scheme + strcspn(url + scheme, "/?#");
    if (scheme == 0) {
        *ret_fault = "\"url\" must begin with https:// (or http://, see allow_http)";
    } else if (!is_printable(url)) {
        *ret_fault = "\"url\" has a character that a URL cannot have: percent-encode it";
    } else if (memchr(url, '$', (size_t)(path - url)) != NULL) {
        *ret_fault = "\"url\" has a ${...} outside the path: scheme, host and port are fixed";
    } else if (memchr(url, '@', (size_t)(path - url)) != NULL) {
        *ret_fault = "\"url\" holds a user or a password: use the keys username and password";
    } else if (strchr(path, '#') != NULL) {
        *ret_fault = "\"url\" has a fragment, which is never sent";
    } else {
        return path;
    }
    return NULL;
}

const char *url_template_parse(const char *url, struct url_template *ret_template)
{
    struct url_template template = {0};
    const char *fault = NULL;
    const char *path = find_path(url, &fault);
    if (path == NULL) {
        return fault;
    }
    const char *query = path + strcspn(path, "?");
    if (strstr(query, "${") != NULL) {
        fault = "\"url\" has a ${...} in the query: only the path may vary";
    } else if (has_dot_segment(path, query)) {
        fault = "\"url\" has a segment . or .. in its path";
    } else if ((fault = read_origin(&template, url, (size_t)(path - url))) == NULL) {
        fault = parse_path(&template, path);
    }
    if (fault == NULL && template.path.varies && *path != '/') {
        fault = "\"url\" has a ${...} outside the path: scheme, host and port are fixed";
    }
    if (fault != NULL) {
        url_template_release(&template);
        return fault;
    }
    *ret_template = template;
    return NULL;
}

static bool is_unreserved(uint8_t byte)
{
    return byte != '\0' && strchr(unreserved, byte) != NULL;
}

/* Percent-encodes in place what was appended behind `before`, from its end. */
static void encode_tail(struct bytes *out, size_t before)
{
    size_t more = 0;
    for (size_t i = before; i < out->size; i++) {
        more += is_unreserved(out->data[i]) ? 0 : 2;
    }
    size_t from = out->size;
    if (!bytes_reserve(out, more)) {
        return;
    }
    out->size += more;
    for (size_t to = out->size; from > before;) {
        uint8_t byte = out->data[--from];
        if (is_unreserved(byte)) {
            out->data[--to] = byte;
        } else {
            to -= 3;
            out->data[to] = '%';
            out->data[to + 1] = (uint8_t)hex[byte >> 4];
            out->data[to + 2] = (uint8_t)hex[byte & 15];
        }
    }
}

static enum fan_status missing_value(const struct event_piece *piece, struct fan_error *reterr)
{
    if (piece->name == EVENT_KEY_COLUMN) {
        (void)fan_fail(
            reterr, FAN_POISON,
            "cannot make the URL: the key of the event has no value in column \"%.100s\"",
            piece->text);
    } else {
        (void)fan_fail(reterr, FAN_POISON, "cannot make the URL: the event has no %s",
                       event_name_text(piece->name));
    }
    fan_error_annotate(reterr, "HTTP_URL",
                       "truncates, messages and tables without a key have no ${key...}; send them "
                       "to a target whose url does not need it");
    return FAN_POISON;
}

/* The path of a rendered URL without its query. */
static bool made_has_dot_segment(const struct url_template *url, const struct bytes *made)
{
    const char *path = (const char *)made->data + strlen(url->origin);
    const char *end = (const char *)made->data + made->size;
    const char *query = memchr(path, '?', (size_t)(end - path));
    return has_dot_segment(path, query != NULL ? query : end);
}

enum fan_status url_template_render(const struct url_template *url,
                                    const struct event_subject *subject, struct bytes *out,
                                    struct fan_error *reterr)
{
    FAN_ASSERT(out->size_max == URL_ROOM);
    bytes_clear(out);
    if (!bytes_reserve(out, URL_ROOM)) {
        return fan_fail(reterr, FAN_RETRY, "could not make a URL: out of memory");
    }
    bytes_append_text(out, url->origin);
    const struct event_piece *missing =
        event_template_render(&url->path, subject, encode_tail, out);
    if (missing != NULL) {
        return missing_value(missing, reterr);
    }
    bool too_long = !bytes_ok(out) || out->size > URL_SIZE_MAX;
    if (!too_long && (!url->path.varies || !made_has_dot_segment(url, out))) {
        return FAN_OK;
    }
    (void)fan_fail(reterr, FAN_POISON, "cannot make the URL: %s",
                   too_long ? "it would be too long" : "a segment of its path would be . or ..");
    fan_error_annotate(reterr, "HTTP_URL", NULL);
    return FAN_POISON;
}
