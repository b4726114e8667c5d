/*
 * exactly.h - a request as one transaction of Kafka, for `delivery: exactly_once`.
 *
 *     begin ─► events that are not there yet ─► the place (place.h) ─► commit ─► answer
 *
 * The transactional id is that of the pipeline's target, so that another process that still runs is
 * fenced. What became of a commit that was not heard of is settled by the place: after the producer
 * was made anew it is read, and events up to it are not written once more. Dead letters that are
 * sent again lie before it, and are written whatever it says.
 *
 * Threading:  the sender's thread, which blocks.
 */
#ifndef TARGETS_KAFKA_EXACTLY_H
#define TARGETS_KAFKA_EXACTLY_H

#include "model/position.h"
#include "targets/kafka/place.h"

enum { TRANSACTIONAL_ID_MAX = 420 };

struct kafka_request;

/* Zeroed whenever the producer is opened. */
struct exactly {
    bool ready; /* transactions are initialized, and the place is read */
    struct fan_position place;
    char key[PLACE_KEY_MAX];
    char topic[PLACE_TOPIC_MAX];
};

/* The id for the producer. The system identifier is known. */
void exactly_id(const struct target_context *context, char id[TRANSACTIONAL_ID_MAX]);

/* Writes the request in a transaction of its own, and fills request->code; all records have their
 * reports. */
void exactly_send(struct kafka_request *request);

#endif
