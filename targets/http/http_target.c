#include "targets/http/http_target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/assert.h"
#include "targets/http/state.h"

enum { SHOWN_HEADER_MIN = 8 }; /* shorter values are words such as `true`, not keys */

static struct http_target *http_of(struct target *target)
{
    return (struct http_target *)target;
}

static void http_destroy(struct target *target)
{
    struct http_target *http = http_of(target);
    if (http == NULL) {
        return;
    }
    FAN_ASSERT(http->user.active == 0);
    for (size_t i = 0; i < http->requests_count; i++) {
        exchange_release(&http->requests[i].exchange);
        bytes_release(&http->requests[i].url);
        bytes_release(&http->requests[i].ahead);
    }
    free(http->requests);
    if (http->client_open) {
        client_close();
    }
    url_template_release(&http->url);
    redactor_release(&http->redactor);
    signer_release(&http->settings.signer);
    (void)pthread_mutex_destroy(&http->lock); /* fails only while it is held */
    free(http);
}

static bool hide_secrets(struct redactor *redactor, const struct http_options *options)
{
    const char *password = secret_reveal(&options->password);
    bool fine = redactor_add(redactor, secret_reveal(&options->bearer_token)) &&
                redactor_add(redactor, secret_reveal(&options->signing_secret)) &&
                redactor_add(redactor, secret_reveal(&options->signing_secret_old));
    if (fine && options->username != NULL && password != NULL) {
        fine = redactor_add_basic(redactor, options->username, password);
    }
    for (size_t i = 0; fine && i < options->headers.count; i++) {
        const char *value = options->headers.pairs[i].value;
        fine = strlen(value) < SHOWN_HEADER_MIN || redactor_add(redactor, value);
    }
    return fine;
}

static enum http_events events_of(const struct encode_settings *encoding)
{
    if (encoding == NULL || encoding->type != encoder_type_find("cloudevents")) {
        return HTTP_EVENTS_OWN;
    }
    return encoding->cloudevents_mode == CLOUDEVENTS_BINARY ? HTTP_EVENTS_CLOUD_BINARY
                                                            : HTTP_EVENTS_CLOUD;
}

static enum fan_status make_settings(struct http_target *http, struct fan_error *reterr)
{
    const struct http_options *options = http->options;
    const char *fault = url_template_parse(options->url, &http->url);
    if (fault != NULL) {
        return fan_fail(reterr, FAN_FATAL, "cannot use target \"%s\": %s", http->context.target,
                        fault);
    }
    if (!hide_secrets(&http->redactor, options)) {
        return fan_fail(reterr, FAN_RETRY, "could not make target \"%s\": out of memory",
                        http->context.target);
    }
    http->settings.options = options;
    http->settings.encode = http->context.encode;
    http->settings.format = http->context.format;
    http->settings.events = events_of(http->context.encoding);
    http->settings.plain = http->url.plain;
    http->settings.guard = http->url.plain          ? GUARD_PRIVATE
                           : options->allow_private ? GUARD_ANY
                                                    : GUARD_PUBLIC;
    return signer_init(&http->settings.signer, &options->signing_secret,
                       &options->signing_secret_old, reterr);
}

static enum fan_status make_requests(struct http_target *http, struct fan_error *reterr)
{
    size_t count = http->context.requests_max > 0 ? http->context.requests_max : 1;
    http->requests = calloc(count, sizeof(*http->requests));
    if (http->requests == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make target \"%s\": out of memory",
                        http->context.target);
    }
    for (size_t i = 0; i < count; i++) {
        struct http_request *request = &http->requests[i];
        enum fan_status status = exchange_init(&request->exchange, &http->settings, reterr);
        if (status != FAN_OK) {
            return status;
        }
        http->requests_count++;
        request->target = http;
        request->exchange.transfer.user = &http->user;
        request->exchange.transfer.done = http_request_done;
        bytes_init(&request->url, URL_ROOM);
        bytes_init(&request->ahead, URL_ROOM);
        request->next_free = http->free;
        http->free = request;
    }
    return FAN_OK;
}

static enum fan_status http_create(const void *options, const struct target_context *context,
                                   struct target **ret_target, struct fan_error *reterr)
{
    struct http_target *http = calloc(1, sizeof(*http));
    if (http == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make target \"%s\": out of memory",
                        context->target);
    }
    http->base.type = &http_target_type;
    http->options = options;
    http->context = *context;
    (void)pthread_mutex_init(&http->lock, NULL); /* cannot fail with default attributes */
    enum fan_status status = client_open(reterr);
    http->client_open = status == FAN_OK;
    if (status == FAN_OK) {
        status = make_settings(http, reterr);
    }
    if (status == FAN_OK) {
        status = make_requests(http, reterr);
    }
    if (status != FAN_OK) {
        http_destroy(&http->base);
        return status;
    }
    *ret_target = &http->base;
    return FAN_OK;
}

/* The library would say so too, but only with the first request, and not which one. */
static enum fan_status check_file(const char *path, struct fan_error *reterr)
{
    if (path == NULL || access(path, R_OK) == 0) {
        return FAN_OK;
    }
    (void)fan_fail_errno(reterr, FAN_FATAL, errno, "cannot read \"%s\"", path);
    fan_error_annotate(reterr, "HTTP_CERTIFICATE", "check ca, client_cert and client_key");
    return FAN_FATAL;
}

static void http_stop(struct target *target)
{
    struct http_target *http = http_of(target);
    client_cancel(&http->user);
    for (size_t i = 0; i < http->requests_count; i++) {
        if (http->requests[i].batch != NULL) {
            http_request_give_back(&http->requests[i]);
        }
    }
}

static enum fan_status http_start(struct target *target, const struct target_checkpoint *checkpoint,
                                  struct fan_error *reterr)
{
    const struct http_options *options = http_of(target)->options;
    (void)checkpoint; /* what was sent cannot be taken back: receivers know events by their ids */
    http_stop(target);
    enum fan_status status = check_file(options->ca, reterr);
    if (status == FAN_OK) {
        status = check_file(options->client_cert, reterr);
    }
    if (status == FAN_OK) {
        status = check_file(options->client_key, reterr);
    }
    return status;
}

static enum fan_status http_request(struct target *target, struct batch *batch,
                                    struct answer *answer, int64_t now_us, struct fan_error *reterr)
{
    struct http_target *http = http_of(target);
    FAN_ASSERT(batch->events_count > 0);
    struct http_request *request = http_request_take(http);
    if (request == NULL) {
        return FAN_AGAIN;
    }
    enum fan_status status = http_request_begin(request, batch, answer, now_us, reterr);
    if (status != FAN_OK) {
        http_request_give_back(request);
        return status;
    }
    client_submit(&request->exchange.transfer);
    return FAN_OK;
}

static int64_t http_tick(struct target *target, int64_t now_us)
{
    (void)target; /* the client's thread keeps time */
    (void)now_us;
    return INT64_MAX;
}

/* A request has to hold what stands between two marks. */
static const char *http_marks_fault(const void *section, const char *format)
{
    const struct http_options *options = section;
    (void)format; /* any of them that has marks */
    struct url_template url;
    if (options->mode == HTTP_MODE_SINGLE) {
        return "\"mode: single\" sends each event alone";
    }
    if (url_template_parse(options->url, &url) != NULL) {
        return NULL; /* said elsewhere */
    }
    bool varies = url.path.varies;
    url_template_release(&url);
    return varies ? "its \"url\" sends events of different tables apart" : NULL;
}

static const char *http_headers_fault(const void *section)
{
    const struct http_options *options = section;
    if (options->mode != HTTP_MODE_SINGLE) {
        return "the attributes of one event are the headers of its request; set \"mode: single\" "
               "of "
               "the target";
    }
    for (size_t i = 0; i < options->headers.count; i++) {
        if (strncasecmp(options->headers.pairs[i].key, "ce-", 3) == 0) {
            return "\"headers\" has one that begins with ce-, as those of the attributes do";
        }
        if (strcasecmp(options->headers.pairs[i].key, "content-type") == 0) {
            return "\"headers\" has a content-type, which is the attribute datacontenttype";
        }
    }
    return NULL;
}

const struct target_type http_target_type = {
    .name = "http",
    .table = &http_options_table,
    .create = http_create,
    .start = http_start,
    .request = http_request,
    .tick = http_tick,
    .stop = http_stop,
    .destroy = http_destroy,
    .labels = true,
    .marks_fault = http_marks_fault,
    .headers_fault = http_headers_fault,
};
