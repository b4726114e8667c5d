#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "targets/http/state.h"

static void lock_take(struct http_target *http)
{
    (void)pthread_mutex_lock(&http->lock); /* fails only for a bad lock */
}

static void lock_give(struct http_target *http)
{
    (void)pthread_mutex_unlock(&http->lock); /* cannot fail for a lock that is held */
}

struct http_request *http_request_take(struct http_target *http)
{
    lock_take(http);
    struct http_request *request = http->free;
    if (request != NULL) {
        http->free = request->next_free;
    }
    lock_give(http);
    return request;
}

void http_request_give_back(struct http_request *request)
{
    struct http_target *http = request->target;
    exchange_reset(&request->exchange);
    batch_unref(request->batch);
    request->batch = NULL;
    request->answer = NULL;
    lock_take(http);
    request->next_free = http->free;
    http->free = request;
    lock_give(http);
}

static enum fan_status render(const struct http_request *request, size_t index, struct bytes *url,
                              struct fan_error *reterr)
{
    const struct http_target *http = request->target;
    const struct batch_label label = batch_label(request->batch, index);
    const struct event_subject subject = {
        .encode = http->context.encode, .label = &label, .event = &request->batch->events[index]};
    return url_template_render(&http->url, &subject, url, reterr);
}

/* How far the run that begins at `first` goes: to the first event with another URL, or without. */
static size_t run_end(struct http_request *request)
{
    const struct http_target *http = request->target;
    if (http->options->mode == HTTP_MODE_SINGLE) {
        return request->first + 1;
    }
    size_t end = http->url.path.varies ? request->first + 1 : request->batch->events_count;
    while (end < request->batch->events_count &&
           render(request, end, &request->ahead, NULL) == FAN_OK &&
           request->ahead.size == request->url.size &&
           memcmp(request->ahead.data, request->url.data, request->url.size) == 0) {
        end++;
    }
    return end;
}

/* Sets up the run that begins at `first`. */
static enum fan_status prepare_run(struct http_request *request, int64_t now_us,
                                   struct fan_error *reterr)
{
    const struct http_target *http = request->target;
    request->end = request->first + 1; /* what fails before it is known concerns one event */
    if (now_us >= request->deadline_us) {
        (void)fan_fail(reterr, FAN_RETRY, "\"%s\" took too long for the events before",
                       http->url.origin);
        fan_error_annotate(reterr, "HTTP_TIMEOUT", NULL);
        return FAN_RETRY;
    }
    enum fan_status status = render(request, request->first, &request->url, reterr);
    if (status != FAN_OK) {
        return status;
    }
    request->end = run_end(request);
    int64_t left_us = request->deadline_us - now_us;
    int64_t timeout_us = http->options->timeout_us;
    const struct exchange_run run = {.batch = request->batch,
                                     .first = request->first,
                                     .end = request->end,
                                     .url = bytes_text(&request->url),
                                     .timeout_us = timeout_us < left_us ? timeout_us : left_us,
                                     .wall_us = clock_wall_us()};
    return exchange_prepare(&request->exchange, &run, reterr);
}

enum fan_status http_request_begin(struct http_request *request, struct batch *batch,
                                   struct answer *answer, int64_t now_us, struct fan_error *reterr)
{
    int64_t deadline_us = request->target->context.deadline_us;
    request->batch = batch_ref(batch);
    request->answer = answer;
    request->first = 0;
    request->deadline_us = deadline_us > 0 ? now_us + deadline_us : INT64_MAX;
    return prepare_run(request, now_us, reterr);
}

static void verdict_fill(struct verdict *verdict, size_t event, bool poison, const char *text)
{
    verdict->event = (uint32_t)event;
    verdict->poison = poison;
    (void)snprintf(verdict->text, sizeof(verdict->text), "%.95s", text); /* cut if long */
}

/*
 * The verdicts of a request that ended at the run [first, end): of those before, none; of the run,
 * what the ruling says; of those behind, that they were not sent. Returns false when memory is out.
 */
static bool compose_verdicts(const struct http_request *request, struct ruling *ruling)
{
    const size_t count = request->batch->events_count;
    const bool named = ruling->status == FAN_OK; /* the receiver said which of the run */
    const size_t of_run = named ? ruling->failed_count : request->end - request->first;
    const size_t in_all = of_run + (count - request->end);
    struct verdict *failed = realloc(ruling->failed, in_all * sizeof(*failed));
    if (failed == NULL) {
        return false;
    }
    if (!named) {
        bool poison = ruling->status == FAN_POISON && of_run == 1;
        for (size_t i = 0; i < of_run; i++) {
            verdict_fill(&failed[i], request->first + i, poison, ruling->error.text);
        }
    }
    for (size_t i = request->end; i < count; i++) {
        verdict_fill(&failed[of_run + (i - request->end)], i, false,
                     "not sent, because an event before it was not taken");
    }
    ruling->failed = failed;
    ruling->failed_count = in_all;
    return true;
}

static void describe_named(const struct http_request *request, struct ruling *ruling)
{
    const char *words = "";
    for (size_t i = 0; i < ruling->failed_count && words[0] == '\0'; i++) {
        words = ruling->failed[i].text;
    }
    (void)fan_fail(&ruling->error, FAN_OK, "\"%s\" did not take %zu of %zu events%s%s",
                   request->target->url.origin, ruling->failed_count, request->end - request->first,
                   words[0] != '\0' ? ": " : "", words);
}

/* Fills the answer to the whole request from what became of its last run. */
static void compose(const struct http_request *request, struct ruling *ruling,
                    struct answer *answer)
{
    const size_t count = request->batch->events_count;
    bool alone = request->end - request->first == 1 && count > 1; /* a poison event is known */
    bool whole = request->first == 0 && !(ruling->status == FAN_POISON && alone);
    if (ruling->status == FAN_OK && ruling->failed_count > 0) {
        describe_named(request, ruling);
    }
    if ((ruling->status == FAN_OK && ruling->failed_count == 0 && request->end == count) ||
        (ruling->status != FAN_OK && whole)) {
        answer->status = ruling->status;
    } else if (compose_verdicts(request, ruling)) {
        answer->status = FAN_OK;
        answer->failed = ruling->failed;
        answer->failed_count = ruling->failed_count;
    } else {
        free(ruling->failed);
        answer->status = fan_fail(&ruling->error, FAN_RETRY,
                                  "could not keep an answer of \"%s\": "
                                  "out of memory",
                                  request->target->url.origin);
    }
    answer->retry_after_us = ruling->retry_after_us;
    answer->error = ruling->error;
    answer->error.status = answer->status;
}

/* INVARIANT: free before it is answered, see the head of state.h. */
static void finish(struct http_request *request, struct ruling *ruling)
{
    struct outcome_sink *outcomes = request->target->context.outcomes;
    struct answer *answer = request->answer;
    answer->failed = NULL;
    answer->failed_count = 0;
    compose(request, ruling, answer);
    http_request_give_back(request);
    outcomes->answer(outcomes, answer);
}

bool http_request_done(struct transfer *transfer, CURLcode code)
{
    struct http_request *request = (struct http_request *)transfer;
    const struct http_target *http = request->target;
    const struct verdict_scope scope = {.encode = http->context.encode,
                                        .batch = request->batch,
                                        .first = request->first,
                                        .end = request->end,
                                        .redactor = &http->redactor};
    struct exchange_end end = {.origin = http->url.origin, .wall_us = clock_wall_us()};
    struct ruling ruling;
    exchange_end(&request->exchange, (int)code, &end);
    ruling_make(&end, &scope, &ruling);
    if (ruling.status == FAN_OK && ruling.failed_count == 0 &&
        request->end < request->batch->events_count) {
        request->first = request->end;
        ruling.status = prepare_run(request, clock_monotonic_us(), &ruling.error);
        if (ruling.status == FAN_OK) {
            return true;
        }
    }
    finish(request, &ruling);
    return false;
}
