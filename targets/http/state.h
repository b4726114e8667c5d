/*
 * state.h - the inside of an HTTP target: what it shares over its requests, and one request.
 *
 * A request goes through three hands: the worker takes a free one and sets it up, the client's
 * thread moves it, run by run, and gives it back before it answers, so that the worker finds it free
 * when the answer arrives.
 */
#ifndef TARGETS_HTTP_STATE_H
#define TARGETS_HTTP_STATE_H

#include <pthread.h>

#include "base/redactor.h"
#include "targets/http/exchange.h"
#include "targets/http/http_target.h"
#include "targets/http/url_template.h"

struct http_target;

/* One request() of the contract: a batch on its way, as runs of events with the same URL. */
struct http_request {
    struct exchange exchange; /* first: what the client gives back is a pointer to it */
    struct http_target *target;
    struct http_request *next_free; /* under the target's lock */
    struct batch *batch;            /* a reference; NULL while it is free */
    struct answer *answer;
    int64_t deadline_us;
    size_t first; /* the run that is under way: events [first, end) */
    size_t end;
    struct bytes url;
    struct bytes ahead; /* the URL of an event that may belong to the run */
};

struct http_target {
    struct target base;
    const struct http_options *options; /* borrowed */
    struct target_context context;
    struct url_template url;
    struct redactor redactor;
    struct exchange_settings settings;
    struct client_user user;
    bool client_open;
    struct http_request *requests; /* owned; `requests_count` of them */
    size_t requests_count;

    pthread_mutex_t lock; /* guards what follows */
    struct http_request *free;
};

/* Takes a free request, or returns NULL. */
struct http_request *http_request_take(struct http_target *http);
/* Drops the batch and makes the request free. */
void http_request_give_back(struct http_request *request);

/* Sets up the first run. FAN_OK: submit the transfer. Otherwise the request is to be given back. */
enum fan_status http_request_begin(struct http_request *request, struct batch *batch,
                                   struct answer *answer, int64_t now_us,
                                   struct fan_error *reterr) FAN_MUST_CHECK;

/* `done` of the transfer. */
bool http_request_done(struct transfer *transfer, CURLcode code);

#endif
