/*
 * encoder.h - the contract of an envelope: one change in, its bytes out.
 *
 * An encoder is a pure function of the change and its settings; the struct only holds text that
 * is the same for many changes (the transaction's LSN, time and id). Baseline rows and streamed
 * rows of the same content give the same bytes.
 *
 * Threading:  one encoder belongs to one pipeline, so to one worker at a time.
 * Errors:     FAN_POISON when this change cannot be expressed (special_values: fail, or over the
 *             buffer's maximum); FAN_RETRY when memory is out; FAN_AGAIN when something that the
 *             envelope needs is not known yet (encode/schema_ids.h). `out` is then as it was before.
 */
#ifndef ENCODE_ENCODER_H
#define ENCODE_ENCODER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/status.h"
#include "encode/avro_settings.h"
#include "encode/debezium_settings.h"
#include "model/change.h"

/* What to write for a value that JSON has no number for: NaN, Infinity, -Infinity. */
enum special_values { SPECIAL_STRING = 0, SPECIAL_NULL, SPECIAL_FAIL };

/* Where the attributes of a CloudEvent stand: in one JSON object with the data, or apart from it, in
 * headers that the target makes (encode/cloudevents.h). */
enum cloudevents_mode { CLOUDEVENTS_STRUCTURED = 0, CLOUDEVENTS_BINARY };
/* Whose names, values and order they have. */
enum cloudevents_compat { CLOUDEVENTS_OWN = 0, CLOUDEVENTS_DEBEZIUM };

/* Everything that makes two targets' bytes differ; targets with equal settings share them. */
struct encode_settings {
    const struct encoder_type *type;
    bool int8_as_string;
    enum special_values special_values;
    bool transactions; /* marks stand around the events of each transaction; see assembler.h */
    bool records; /* each event is records with keys, see record.h; of an envelope that has them */
    bool octets;  /* an event may be any octets; otherwise it is a line of JSON */
    enum cloudevents_mode cloudevents_mode; /* these two: zero for other envelopes */
    enum cloudevents_compat cloudevents_compat;
    /* For a dead letter: a value that the envelope has no form for stands in PostgreSQL's words. */
    bool lenient;
    struct debezium_settings debezium; /* zero for every other envelope but avro */
    struct avro_settings avro;         /* zero for every other envelope */
};

/* Where a transaction begins and where it is over, for targets that ask for it. */
enum txn_mark { TXN_MARK_BEGIN, TXN_MARK_COMMIT };

/* The names that go into every event. Borrowed; outlive the encoder. */
struct encode_context {
    const char *source;    /* as named in the conf */
    const char *system_id; /* decimal, as IDENTIFY_SYSTEM gives it */
    const char *slot;
    const char *database; /* NULL: not known */
};

struct encoder;

struct encoder_type {
    const char *name; /* the `format` value in the conf */
    /* It has keys of its own: with settings.records an event is a sequence of records. Otherwise a
     * keyed target takes the key out of the label. */
    bool records;
    /* With settings.lenient it writes another envelope, for people: no target gets that. */
    bool lenient_is_foreign;
    enum fan_status (*create)(const struct encode_settings *settings,
                              const struct encode_context *context, struct encoder **ret_encoder,
                              struct fan_error *reterr);
    /* Appends the event without a separator. */
    enum fan_status (*encode)(struct encoder *encoder, const struct change *change,
                              struct bytes *out, struct fan_error *reterr);
    /* Appends a mark of the transaction that the change belongs to, without a separator; nothing of
     * the change's row is read. NULL: the envelope has no marks. */
    enum fan_status (*mark)(struct encoder *encoder, enum txn_mark mark,
                            const struct change *change, struct bytes *out,
                            struct fan_error *reterr);
    void (*destroy)(struct encoder *encoder); /* accepts NULL */
};

/* First member of every implementation. */
struct encoder {
    const struct encoder_type *type;
};

bool encode_settings_equal(const struct encode_settings *left, const struct encode_settings *right);

/* Returns the type of that name, or NULL. */
const struct encoder_type *encoder_type_find(const char *name);

/* NULL-terminated. Adding an envelope means adding one line in registry.c. */
extern const struct encoder_type *const encoder_types[];

#endif
