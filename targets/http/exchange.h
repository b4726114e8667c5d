/*
 * exchange.h - one HTTP request and its answer: an easy handle, set up for a run of events.
 *
 * A handle is made once and set up again for each run, so that what libcurl has allocated stays.
 * Everything about a target that does not change from run to run is set when it is made.
 *
 * Ownership:  an exchange borrows the batch from exchange_prepare() until exchange_reset().
 *             exchange_release() accepts a zeroed one.
 * Threading:  one thread at a time: whoever has the request that it belongs to.
 * Errors:     FAN_RETRY when memory is out.
 */
#ifndef TARGETS_HTTP_EXCHANGE_H
#define TARGETS_HTTP_EXCHANGE_H

#include "encode/encoder.h"
#include "targets/http/body.h"
#include "targets/http/client.h"
#include "targets/http/guard.h"
#include "targets/http/options.h"
#include "targets/http/reply.h"
#include "targets/http/ruling.h"
#include "targets/http/signature.h"

/* What a request carries. */
enum http_events { HTTP_EVENTS_OWN, HTTP_EVENTS_CLOUD, HTTP_EVENTS_CLOUD_BINARY };

/* What all exchanges of a target have in common. Borrowed; constant. */
struct exchange_settings {
    const struct http_options *options;
    const struct encode_context *encode; /* its system identifier comes with start() */
    size_t format;                       /* which encoding of a batch */
    enum http_events events;             /* what the bodies are, and what headers go with them */
    enum guard_rule guard;
    bool plain; /* http, not https */
    struct signer signer;
};

struct exchange {
    struct transfer transfer; /* first: libcurl and the client know its address */
    const struct exchange_settings *settings;
    struct body body;
    struct reply reply;
    struct curl_slist *headers;
    struct bytes text; /* room to make headers in */
    bool address_allowed;
    bool address_refused;
    char library_text[CURL_ERROR_SIZE];
};

/* A run of events, all for the same URL. */
struct exchange_run {
    const struct batch *batch;
    size_t first;
    size_t end;
    const char *url;
    int64_t timeout_us;
    int64_t wall_us; /* the time of this attempt */
};

enum fan_status exchange_init(struct exchange *exchange, const struct exchange_settings *settings,
                              struct fan_error *reterr) FAN_MUST_CHECK;
void exchange_release(struct exchange *exchange);

/* Makes the handle ready to go. Signs and compresses: its time grows with the run. */
enum fan_status exchange_prepare(struct exchange *exchange, const struct exchange_run *run,
                                 struct fan_error *reterr) FAN_MUST_CHECK;

/* Fills in how it ended, after libcurl has let the handle go. */
void exchange_end(struct exchange *exchange, int curl_code, struct exchange_end *ret_end);

/* Lets go of the batch and of what grew large. */
void exchange_reset(struct exchange *exchange);

#endif
