/*
 * cloudevents_internal.h - what the files of the envelope `cloudevents` share.
 *
 * Threading:  as cloudevents.h says.
 */
#ifndef ENCODE_CLOUDEVENTS_INTERNAL_H
#define ENCODE_CLOUDEVENTS_INTERNAL_H

#include "encode/cloudevents.h"
#include "encode/time_text.h"
#include "encode/value.h"

enum {
    CLOUDEVENTS_TYPE_MAX = 40,
    CLOUDEVENTS_SEQUENCE_SIZE = 33, /* <commit LSN, 16 hex>-<seq, 16 hex> */
    CLOUDEVENTS_SOURCE_MAX = 256,
};

/* The attribute `type` of an operation, as in enum change_op; any byte. */
const char *cloudevents_type(uint8_t op);

/* `/pgfan/<source>` with a NUL, a URI reference of RFC 3986. Returns the length; a name too long for it
 * is cut. */
size_t cloudevents_source(const char *name, char text[CLOUDEVENTS_SOURCE_MAX]);

/* The attribute `sequence`, whose order as text is that of positions. Returns the length. */
size_t cloudevents_sequence(struct fan_position position, char text[CLOUDEVENTS_SEQUENCE_SIZE + 1]);

/* Copies a text as an attribute may hold it: what is not UTF-8, control characters and noncharacters
 * become U+FFFD. Only whole characters, at most `size_max` bytes. Returns how many. */
size_t cloudevents_clean(const char *text, size_t size, char *out, size_t size_max);

/* The same of `schema.table`. */
size_t cloudevents_subject(const char *schema, size_t schema_size, const char *table,
                           size_t table_size, char text[CLOUDEVENTS_SUBJECT_MAX]);

/* Appends a change in the spelling of Debezium's converter; not a gap. As encoder_type.encode. */
enum fan_status cloudevents_debezium_write(const struct encode_context *context,
                                           struct value_writer *values, struct time_text *clock,
                                           const struct change *change, struct bytes *out,
                                           struct fan_error *reterr);

#endif
