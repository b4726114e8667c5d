/*
 * event_ids.h - from an id back to the event of a batch.
 *
 * Ids hold the position, and positions increase over a batch, so an id is looked up by halves and
 * then compared whole.
 *
 * Threading:  stateless.
 */
#ifndef TARGETS_HTTP_EVENT_IDS_H
#define TARGETS_HTTP_EVENT_IDS_H

#include "encode/id.h"
#include "model/batch.h"

/* The id of one event with a NUL behind it. Returns its length. */
size_t event_ids_write(const struct encode_context *context, const struct batch *batch,
                       size_t index, char text[EVENT_ID_MAX]);

/* The index of the event with that id among [first, end), or SIZE_MAX. */
size_t event_ids_find(const struct encode_context *context, const struct batch *batch, size_t first,
                      size_t end, const char *id, size_t id_size);

#endif
