/*
 * fault.h - what an error of librdkafka means for the events that met it.
 *
 * A broker refuses a whole batch of records for one of them, so FAN_POISON says only that these events
 * together are not taken: whoever asked sends them in halves. Codes are those of the protocol
 * (https://kafka.apache.org/protocol, "Error Codes") and librdkafka's own, below zero.
 *
 * Threading:  stateless.
 */
#ifndef TARGETS_KAFKA_FAULT_H
#define TARGETS_KAFKA_FAULT_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "base/status.h"

/* The class of the error. */
enum fan_status kafka_fault_class(rd_kafka_resp_err_t code);

/* Fills the error: what happened (`text` of the library, or NULL for its usual one), its code
 * KAFKA_..., and how to mend it. Returns its class. */
enum fan_status kafka_fault(rd_kafka_resp_err_t code, const char *text, struct fan_error *reterr);

/* Which of two errors tells more: the one that decides about a request. */
bool kafka_fault_is_worse(rd_kafka_resp_err_t code, rd_kafka_resp_err_t than);

#endif
