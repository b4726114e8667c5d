/*
 * records.h - the records that a request's events become.
 *
 * Ownership:  values and keys lie in the batch where they can; what is made (topics, other keys,
 *             headers) in the request's own text.
 * Threading:  written by the worker, then read by the sender's thread.
 */
#ifndef TARGETS_KAFKA_RECORDS_H
#define TARGETS_KAFKA_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "model/batch.h"
#include "targets/event_template.h"
#include "targets/kafka/options.h"
#include "targets/target.h"

/* What does not change from request to request. */
struct record_rules {
    const struct kafka_options *options;
    const struct encode_context *encode;
    size_t format;
    bool records;             /* events come as records, with keys of their own */
    bool attributes;          /* of cloudevents, in headers */
    const char *content_type; /* NULL: not said */
    bool tombstones;          /* wanted; where events are no records they are made here */
    size_t size_max;          /* of one record; librdkafka's message.max.bytes */
    char *topic_marks;        /* owned; NULL: there are no marks */
    struct event_template topic;
    struct event_template key; /* no pieces: the event's own */
    struct event_template headers[KAFKA_HEADERS_MAX];
    size_t headers_count;
};

enum fan_status record_rules_init(struct record_rules *rules, const struct kafka_options *options,
                                  const struct target_context *context,
                                  struct fan_error *reterr) FAN_MUST_CHECK;
/* Accepts a zeroed one. */
void record_rules_release(struct record_rules *rules);

/* A place in the text of the list, which grows; or bytes of the batch. */
struct record_part {
    const uint8_t *bytes; /* NULL: they stand in the text at `place`, unless `none` */
    size_t place;
    size_t size;
    bool none;
};

struct kafka_record {
    size_t event; /* of the batch */
    size_t topic; /* place of its name in the text, with a NUL */
    struct record_part key;
    struct record_part value;
    size_t headers; /* place of its headers in the text, see records_header() */
    size_t headers_end;
};

struct record_list {
    struct kafka_record *items; /* owned */
    size_t count;
    size_t capacity;
    struct bytes text; /* owned */
};

void record_list_init(struct record_list *list);
void record_list_release(struct record_list *list);

/* Replaces the list by the records of the batch. FAN_POISON: some event has none, or a record is too
 * large. FAN_RETRY: memory is out. */
enum fan_status records_make(const struct record_rules *rules, const struct batch *batch,
                             struct record_list *list, struct fan_error *reterr) FAN_MUST_CHECK;

static inline const char *records_topic(const struct record_list *list,
                                        const struct kafka_record *record)
{
    return (const char *)list->text.data + record->topic;
}

/* NULL and 0: there is none. */
const uint8_t *records_part(const struct record_list *list, const struct record_part *part,
                            size_t *ret_size);

/* A name or a value, as bytes. */
struct record_header {
    const char *name;
    size_t name_size;
    const uint8_t *value;
    size_t value_size;
};

/* Reads the header at `*place`, and moves behind it; false at `headers_end`. Start at `headers`. */
bool records_header(const struct record_list *list, const struct kafka_record *record,
                    size_t *place, struct record_header *ret_header);

#endif
