/*
 * cloudevents.h - the envelope `cloudevents`, CloudEvents 1.0: docs/cloudevents.md.
 *
 * An event is attributes and data. In structured mode both are one JSON object. In binary mode the
 * encoder writes the data alone, and a target that has headers asks cloudevents_attributes() for the
 * rest and puts each into a header as its protocol's binding says (HTTP: `ce-id`, percent-encoded;
 * Kafka: `ce_id`). The attributes are the same in both modes.
 *
 * Threading:  cloudevents_attributes() is a pure function of its arguments.
 * Limits:     all values of an event fit CLOUDEVENTS_ROOM_SIZE bytes: a subject and a partitionkey are
 *             cut behind their last whole character below their maximum.
 */
#ifndef ENCODE_CLOUDEVENTS_H
#define ENCODE_CLOUDEVENTS_H

#include "encode/encoder.h"
#include "model/batch.h"

extern const struct encoder_type cloudevents_encoder;

/* Of the data, in both modes: the header of its own that a binding has for it. */
#define CLOUDEVENTS_DATA_TYPE "application/json"

enum {
    CLOUDEVENTS_SUBJECT_MAX = 512,
    CLOUDEVENTS_KEY_MAX = 1024,
    CLOUDEVENTS_ATTRIBUTES_MAX = 10,
    CLOUDEVENTS_ROOM_SIZE = 2560,
};

struct cloudevents_attribute {
    const char *name;  /* lower case letters and digits, without a binding's prefix; static */
    const char *value; /* UTF-8 without control characters, never empty, NUL behind it; in `room` */
    size_t value_size;
};

struct cloudevents_attributes {
    size_t count;
    struct cloudevents_attribute items[CLOUDEVENTS_ATTRIBUTES_MAX];
    size_t room_used;
    char room[CLOUDEVENTS_ROOM_SIZE];
};

/* Fills in every attribute of the event but datacontenttype, which is CLOUDEVENTS_DATA_TYPE. */
void cloudevents_attributes(const struct encode_context *context, const struct batch_event *event,
                            const struct batch_label *label,
                            struct cloudevents_attributes *ret_attributes);

#endif
