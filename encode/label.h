/*
 * label.h - what a change is about: schema, table and key, in the form of model/batch.h.
 *
 * The key is the JSON object that the native envelope shows as "key", in its default settings, so
 * that the same row has the same label for every target and for ever.
 *
 * Ownership:  label_writer_release() frees; accepts a zeroed one.
 * Threading:  one writer belongs to one pipeline, so to one worker at a time.
 * Errors:     false when memory is out; `out` is then as it was before.
 */
#ifndef ENCODE_LABEL_H
#define ENCODE_LABEL_H

#include "base/bytes.h"
#include "base/status.h"
#include "encode/value.h"
#include "model/change.h"

struct label_writer {
    struct value_writer values;
};

void label_writer_init(struct label_writer *writer);
void label_writer_release(struct label_writer *writer);

/* Appends the label without a separator. */
bool label_write(struct label_writer *writer, const struct change *change,
                 struct bytes *out) FAN_MUST_CHECK;

#endif
