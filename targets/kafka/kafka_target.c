#include "targets/kafka/kafka_target.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "targets/kafka/state.h"

enum { SECRET_MIN = 4 };

static struct kafka_target *kafka_of(struct target *target)
{
    return (struct kafka_target *)target;
}

static void lock_take(struct kafka_target *kafka)
{
    (void)pthread_mutex_lock(&kafka->lock); /* cannot fail: a plain mutex that we do not hold */
}

static void lock_give(struct kafka_target *kafka)
{
    (void)pthread_mutex_unlock(&kafka->lock); /* cannot fail: we hold it */
}

static void wake(const struct kafka_target *kafka)
{
    static const uint64_t one = 1;
    (void)!write(kafka->wake_fd, &one, sizeof(one)); /* it fails only when many are there already */
}

/* ---- requests ---- */

void kafka_request_give_back(struct kafka_request *request)
{
    struct kafka_target *kafka = request->target;
    batch_unref(request->batch);
    request->batch = NULL;
    request->answer = NULL;
    lock_take(kafka);
    request->next = kafka->free;
    kafka->free = request;
    lock_give(kafka);
}

void kafka_request_answer(struct kafka_request *request, enum fan_status status,
                          const struct fan_error *error)
{
    struct kafka_target *kafka = request->target;
    struct answer *answer = request->answer;
    kafka_request_give_back(request);
    lock_take(kafka);
    bool stopping = kafka->stopping;
    lock_give(kafka);
    if (stopping) {
        return; /* the answer is the lender's again */
    }
    answer->status = status;
    answer->error = *error;
    kafka->context.outcomes->answer(kafka->context.outcomes, answer);
}

static struct kafka_request *request_take(struct kafka_target *kafka)
{
    lock_take(kafka);
    struct kafka_request *request = kafka->free;
    if (request != NULL) {
        kafka->free = request->next;
        request->next = NULL;
    }
    lock_give(kafka);
    return request;
}

static void request_queue(struct kafka_request *request)
{
    struct kafka_target *kafka = request->target;
    lock_take(kafka);
    struct kafka_request **link = &kafka->queue;
    while (*link != NULL) {
        link = &(*link)->next;
    }
    *link = request;
    lock_give(kafka);
    wake(kafka);
}

static enum fan_status kafka_request(struct target *target, struct batch *batch,
                                     struct answer *answer, int64_t now_us,
                                     struct fan_error *reterr)
{
    struct kafka_target *kafka = kafka_of(target);
    FAN_ASSERT(kafka->running && batch->events_count > 0);
    struct kafka_request *request = request_take(kafka);
    if (request == NULL) {
        return FAN_AGAIN;
    }
    enum fan_status status = records_make(&kafka->rules, batch, &request->records, reterr);
    if (status != FAN_OK) {
        kafka_request_give_back(request);
        return status;
    }
    request->batch = batch_ref(batch);
    request->answer = answer;
    request->deadline_us = now_us + kafka->context.deadline_us;
    request_queue(request);
    return FAN_OK;
}

/* ---- life ---- */

static bool is_secret(const char *property)
{
    static const char *const words[] = {"password", "secret",      "pem",
                                        "token",    "oauthbearer", "key.data"};
    for (size_t at = 0; at < sizeof(words) / sizeof(words[0]); at++) {
        if (strstr(property, words[at]) != NULL) {
            return true;
        }
    }
    return false;
}

static bool hide_secrets(struct redactor *redactor, const struct kafka_options *options)
{
    bool fine = true;
    for (size_t at = 0; at < options->properties.count && fine; at++) {
        const struct conf_text_pair *pair = &options->properties.pairs[at];
        if (is_secret(pair->key) && strlen(pair->value) >= SECRET_MIN) {
            fine = redactor_add(redactor, pair->value);
        }
    }
    return fine;
}

static void kafka_stop(struct target *target)
{
    struct kafka_target *kafka = kafka_of(target);
    if (!kafka->running) {
        return;
    }
    lock_take(kafka);
    kafka->stopping = true;
    lock_give(kafka);
    wake(kafka);
    (void)pthread_join(kafka->thread, NULL); /* it is ours, and ends */
    kafka->running = false;
    while (kafka->queue != NULL) { /* the thread did not take them */
        struct kafka_request *request = kafka->queue;
        kafka->queue = request->next;
        kafka_request_give_back(request);
    }
}

static void kafka_destroy(struct target *target)
{
    struct kafka_target *kafka = kafka_of(target);
    if (kafka == NULL) {
        return;
    }
    FAN_ASSERT(!kafka->running);
    for (size_t at = 0; at < kafka->requests_count; at++) {
        record_list_release(&kafka->requests[at].records);
    }
    free(kafka->requests);
    record_rules_release(&kafka->rules);
    redactor_release(&kafka->redactor);
    if (kafka->wake_fd >= 0) {
        (void)close(kafka->wake_fd); /* an eventfd has nothing to lose */
    }
    (void)pthread_mutex_destroy(&kafka->lock); /* fails only while it is held */
    free(kafka);
}

static enum fan_status out_of_memory(const struct target_context *context, struct fan_error *reterr)
{
    return fan_fail(reterr, FAN_RETRY, "could not make target \"%s\": out of memory",
                    context->target);
}

static enum fan_status make_requests(struct kafka_target *kafka, struct fan_error *reterr)
{
    bool one = kafka->options->delivery == KAFKA_EXACTLY_ONCE || kafka->context.requests_max == 0;
    size_t count = one ? 1 : kafka->context.requests_max;
    kafka->requests = calloc(count, sizeof(*kafka->requests));
    if (kafka->requests == NULL || !hide_secrets(&kafka->redactor, kafka->options)) {
        return out_of_memory(&kafka->context, reterr);
    }
    kafka->requests_count = count;
    for (size_t at = 0; at < count; at++) {
        struct kafka_request *request = &kafka->requests[at];
        request->target = kafka;
        record_list_init(&request->records);
        request->next = kafka->free;
        kafka->free = request;
    }
    return FAN_OK;
}

static enum fan_status kafka_create(const void *options, const struct target_context *context,
                                    struct target **ret_target, struct fan_error *reterr)
{
    struct kafka_target *kafka = calloc(1, sizeof(*kafka));
    if (kafka == NULL) {
        return out_of_memory(context, reterr);
    }
    kafka->base.type = &kafka_target_type;
    kafka->options = options;
    kafka->context = *context;
    (void)pthread_mutex_init(&kafka->lock, NULL); /* cannot fail with default attributes */
    kafka->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum fan_status status = kafka->wake_fd >= 0
                                 ? FAN_OK
                                 : fan_fail_errno(reterr, FAN_RETRY, errno,
                                                  "could not make target \"%s\"", context->target);
    if (status == FAN_OK) {
        status = record_rules_init(&kafka->rules, options, context, reterr);
    }
    if (status == FAN_OK) {
        status = make_requests(kafka, reterr);
    }
    if (status != FAN_OK) {
        kafka_destroy(&kafka->base);
        return status;
    }
    *ret_target = &kafka->base;
    return FAN_OK;
}

/* Signals are the main thread's. */
static int thread_begin(struct kafka_target *kafka)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);                            /* cannot fail */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* cannot fail with these arguments */
    int failed = pthread_create(&kafka->thread, NULL, sender_run, kafka);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* the same */
    return failed;
}

static enum fan_status kafka_start(struct target *target,
                                   const struct target_checkpoint *checkpoint,
                                   struct fan_error *reterr)
{
    struct kafka_target *kafka = kafka_of(target);
    (void)checkpoint; /* what was sent cannot be taken back: readers know events by their ids */
    kafka_stop(target);
    kafka->producer_setup = (struct producer_setup){.options = kafka->options,
                                                    .context = &kafka->context,
                                                    .redactor = &kafka->redactor,
                                                    .events_fd = kafka->wake_fd,
                                                    .reported = sender_reported,
                                                    .statistics = &kafka->statistics};
    if (kafka->options->delivery == KAFKA_EXACTLY_ONCE) {
        exactly_id(&kafka->context, kafka->transactional_id);
        kafka->producer_setup.transactional_id = kafka->transactional_id;
        kafka->exactly.ready = false;
    }
    enum fan_status status = producer_open(&kafka->producer, &kafka->producer_setup, reterr);
    if (status != FAN_OK) {
        return status;
    }
    kafka->rules.size_max = kafka->producer.record_max;
    kafka->stopping = false;
    int failed = thread_begin(kafka);
    if (failed != 0) {
        producer_close(&kafka->producer);
        return fan_fail_errno(reterr, FAN_RETRY, failed, "could not start a thread");
    }
    kafka->running = true;
    return FAN_OK;
}

static int64_t kafka_tick(struct target *target, int64_t now_us)
{
    (void)target; /* the library keeps time */
    (void)now_us;
    return INT64_MAX;
}

/* Records have headers with any options. */
static const char *kafka_headers_fault(const void *section)
{
    (void)section; /* it does not matter */
    return NULL;
}

static bool kafka_in_order(const void *section)
{
    const struct kafka_options *options = section;
    return options->delivery == KAFKA_EXACTLY_ONCE;
}

static size_t kafka_figures(struct target *target,
                            struct target_figure ret_figures[TARGET_FIGURES_MAX])
{
    return statistics_figures(&kafka_of(target)->statistics, ret_figures);
}

/* Other envelopes' marks have no key, and their readers look for them among the events. */
static const char *kafka_marks_fault(const void *section, const char *format)
{
    const struct encoder_type *encoder = format != NULL ? encoder_type_find(format) : NULL;
    (void)section; /* it does not matter */
    return encoder != NULL && !encoder->records
               ? "a record holds one event, and only debezium and avro have a topic for marks"
               : NULL;
}

const struct target_type kafka_target_type = {
    .name = "kafka",
    .table = &kafka_options_table,
    .create = kafka_create,
    .start = kafka_start,
    .request = kafka_request,
    .tick = kafka_tick,
    .stop = kafka_stop,
    .destroy = kafka_destroy,
    .labels = true,
    .records = true,
    .figures = kafka_figures,
    .marks_fault = kafka_marks_fault,
    .marks_apart = true,
    .headers_fault = kafka_headers_fault,
    .in_order = kafka_in_order,
};
