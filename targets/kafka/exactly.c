#include "targets/kafka/exactly.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "targets/kafka/fault.h"
#include "targets/kafka/state.h"

enum { SLICE_MS = 500, PLACE_US = 10000000 }; /* a stop waits for the second */

void exactly_id(const struct target_context *context, char id[TRANSACTIONAL_ID_MAX])
{
    char key[PLACE_KEY_MAX];
    place_key(context, key);
    (void)snprintf(id, TRANSACTIONAL_ID_MAX, "pgfan/%s", key); /* fits */
}

/* ---- calls of the library that take their time ---- */

typedef rd_kafka_error_t *transaction_call(rd_kafka_t *handle, int timeout_ms);

static bool may_wait(struct kafka_request *request)
{
    return clock_monotonic_us() < request->deadline_us && !sender_is_stopping(request->target);
}

/* Goes on with the call, slice by slice, for as long as the library says that it may still succeed.
 * `*ret_abort`: the transaction has to be aborted. */
static rd_kafka_resp_err_t call(struct kafka_request *request, transaction_call *what,
                                bool *ret_abort)
{
    struct producer *producer = &request->target->producer;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    bool again = true;
    *ret_abort = false;
    while (again && may_wait(request)) {
        rd_kafka_error_t *error = what(producer->handle, SLICE_MS);
        producer_serve(producer, 0);
        again = error != NULL && rd_kafka_error_is_retriable(error) != 0;
        code = error == NULL ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_error_code(error);
        if (error != NULL && !again) {
            *ret_abort = rd_kafka_error_txn_requires_abort(error) != 0;
            producer_note(producer, code, rd_kafka_error_string(error),
                          rd_kafka_error_is_fatal(error) != 0);
            rd_kafka_error_destroy(error);
        } else if (error != NULL) {
            rd_kafka_error_destroy(error);
        }
        /* What can never succeed is retriable for the library while a broker refuses to speak to us. */
        again = again && kafka_fault_class(producer->trouble) != FAN_FATAL;
    }
    return code;
}

static rd_kafka_error_t *begin(rd_kafka_t *handle, int timeout_ms)
{
    (void)timeout_ms; /* it does not wait */
    return rd_kafka_begin_transaction(handle);
}

/* ---- one request ---- */

/* What is open is known to nobody: the next producer settles it. */
static void give_up(struct kafka_request *request)
{
    request->target->producer.fatal = true;
}

static void abort_transaction(struct kafka_request *request)
{
    bool again; /* there is nothing more to abort */
    if (call(request, rd_kafka_abort_transaction, &again) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        give_up(request);
    }
}

static rd_kafka_resp_err_t get_ready(struct kafka_request *request)
{
    struct kafka_target *kafka = request->target;
    struct exactly *exactly = &kafka->exactly;
    struct fan_error error;
    bool again; /* nothing is open yet */
    if (exactly->ready) {
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    place_key(&kafka->context, exactly->key);
    place_topic(kafka->options, &kafka->context, exactly->topic);
    rd_kafka_resp_err_t code = call(request, rd_kafka_init_transactions, &again);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        code = producer_checkpoint_topic(&kafka->producer, exactly->topic, SLICE_MS * 10);
    }
    int64_t deadline_us = clock_monotonic_us() + PLACE_US;
    deadline_us = deadline_us < request->deadline_us ? deadline_us : request->deadline_us;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR &&
        place_read(&kafka->producer_setup, exactly->topic, exactly->key, deadline_us,
                   &exactly->place, &error) != FAN_OK) {
        producer_note(&kafka->producer, RD_KAFKA_RESP_ERR__TIMED_OUT, error.text, false);
        code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    }
    exactly->ready = code == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (exactly->ready) {
        log_write(LOG_INFO, "Kafka producer delivers exactly once",
                  LOG_TEXT("pipeline", kafka->context.pipeline),
                  LOG_TEXT("target", kafka->context.target),
                  LOG_LSN("place", exactly->place.commit_lsn.value),
                  LOG_NUMBER("seq", exactly->place.seq));
    } else {
        give_up(request); /* transactions are initialized once a producer */
    }
    return code;
}

/* How many of the events are there already: they come first. */
static size_t events_known(const struct kafka_request *request)
{
    const struct batch *batch = request->batch;
    const struct fan_position place = request->target->exactly.place;
    size_t event = 0;
    while (!request->answer->again && event < batch->events_count &&
           position_compare(batch->events[event].position, place) <= 0) {
        event++;
    }
    return event;
}

static rd_kafka_resp_err_t write_all(struct kafka_request *request, size_t first,
                                     struct fan_position place)
{
    struct kafka_target *kafka = request->target;
    char value[PLACE_VALUE_MAX];
    size_t size = place_write(place, value);
    rd_kafka_resp_err_t code = sender_hand_over(request, first);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        code = rd_kafka_producev(kafka->producer.handle, RD_KAFKA_V_TOPIC(kafka->exactly.topic),
                                 RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                 RD_KAFKA_V_KEY(kafka->exactly.key, strlen(kafka->exactly.key)),
                                 RD_KAFKA_V_VALUE(value, size), RD_KAFKA_V_OPAQUE(request),
                                 RD_KAFKA_V_END);
        request->open += code == RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    return code;
}

/* Until each record has its report: at the latest when librdkafka gives them up. */
static void await_reports(struct kafka_request *request)
{
    while (request->open > 0) {
        producer_serve(&request->target->producer, SLICE_MS);
        if (sender_is_stopping(request->target) && request->open > 0) {
            producer_purge(&request->target->producer);
        }
    }
}

static void transaction_run(struct kafka_request *request, size_t first)
{
    struct exactly *exactly = &request->target->exactly;
    const struct batch *batch = request->batch;
    struct fan_position last = batch->events[batch->events_count - 1].position;
    struct fan_position place = position_compare(last, exactly->place) > 0 ? last : exactly->place;
    bool aborts;
    request->code = call(request, begin, &aborts);
    if (request->code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        give_up(request);
        return;
    }
    sender_fault(request, write_all(request, first, place));
    await_reports(request);
    if (request->code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        abort_transaction(request);
        return;
    }
    request->code = call(request, rd_kafka_commit_transaction, &aborts);
    if (request->code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        exactly->place = place;
    } else if (aborts) {
        abort_transaction(request);
    } else {
        give_up(request);
    }
}

void exactly_send(struct kafka_request *request)
{
    request->code = get_ready(request);
    if (request->code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return;
    }
    size_t first = events_known(request);
    if (first < request->batch->events_count) {
        transaction_run(request, first);
    }
}
