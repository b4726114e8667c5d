#include "targets/http/body.h"

#include <string.h>
#include <zlib.h>

#include "base/assert.h"

enum {
    CHUNK = 16384,
    PACKED_SPARE_MAX = 1 << 20,
    GZIP_WINDOW_BITS = 15 + 16, /* zlib's way to ask for a gzip header */
    GZIP_MEMORY = 8,
};

void body_open(struct body *body, enum body_form form, const struct batch *batch, size_t format,
               size_t first, size_t end)
{
    FAN_ASSERT(first < end && (form != BODY_EVENT || end - first == 1));
    struct bytes packed = body->packed;
    bytes_clear(&packed);
    packed.size_max = SIZE_MAX / 2;
    *body = (struct body){.form = form,
                          .batch = batch,
                          .format = format,
                          .first = first,
                          .end = end,
                          .packed = packed};
    size_t events = 0;
    size_t behind = 0;
    (void)batch_bytes(batch, format, first, &events); /* only sizes are needed */
    if (end < batch->events_count) {
        (void)batch_bytes(batch, format, end, &behind);
    }
    body->size = events - behind + (form == BODY_ARRAY) - (form == BODY_EVENT);
    body_rewind(body);
}

void body_close(struct body *body)
{
    body->batch = NULL;
    if (body->packed.capacity > PACKED_SPARE_MAX) {
        bytes_release(&body->packed);
    }
}

void body_release(struct body *body)
{
    bytes_release(&body->packed);
    *body = (struct body){0};
}

void body_rewind(struct body *body)
{
    body->position = 0;
}

size_t body_wire_size(const struct body *body)
{
    return body->compressed ? body->packed.size : body->size;
}

/* Puts commas, and the last bracket, over the newlines in `out`, which holds what stands at `position`
 * of the events' bytes. One stands behind every event and every mark of a transaction, and nowhere
 * else: JSON without white space has none. */
static void write_separators(const struct body *body, size_t position, uint8_t *out, size_t size)
{
    uint8_t *end = out + size;
    for (uint8_t *at = out; (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++) {
        *at = ',';
    }
    if (position + size == body->size - 1) { /* but for the first bracket */
        out[size - 1] = ']';
    }
}

static size_t read_plain(struct body *body, uint8_t *out, size_t size)
{
    size_t count = 0;
    size_t head = body->form == BODY_ARRAY;
    if (body->position < head && size > 0) {
        out[count++] = '[';
        body->position++;
    }
    size_t left = body->size - body->position;
    size_t copied = size - count < left ? size - count : left;
    if (copied > 0) {
        size_t unused = 0;
        size_t position = body->position - head;
        const uint8_t *data = batch_bytes(body->batch, body->format, body->first, &unused);
        memcpy(out + count, data + position, copied);
        if (body->form == BODY_ARRAY) {
            write_separators(body, position, out + count, copied);
        }
        body->position += copied;
    }
    return count + copied;
}

size_t body_read(struct body *body, uint8_t *out, size_t size)
{
    if (!body->compressed) {
        return read_plain(body, out, size);
    }
    size_t left = body->packed.size - body->position;
    size_t copied = size < left ? size : left;
    if (copied > 0) {
        memcpy(out, body->packed.data + body->position, copied);
    }
    body->position += copied;
    return copied;
}

static bool deflate_all(struct body *body, z_stream *stream)
{
    uint8_t chunk[CHUNK];
    int result = Z_OK;
    while (result == Z_OK) {
        if (stream->avail_in == 0) {
            stream->avail_in = (uInt)read_plain(body, chunk, sizeof(chunk));
            stream->next_in = chunk;
        }
        if (!bytes_reserve(&body->packed, CHUNK)) {
            break;
        }
        stream->next_out = body->packed.data + body->packed.size;
        stream->avail_out = CHUNK;
        result = deflate(stream, body->position == body->size ? Z_FINISH : Z_NO_FLUSH);
        body->packed.size += CHUNK - stream->avail_out;
    }
    stream->next_in = NULL;
    return result == Z_STREAM_END;
}

bool body_compress(struct body *body)
{
    z_stream stream = {0};
    /* Events repeat their names: the fastest level already makes them several times smaller. */
    if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEMORY,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        return false;
    }
    bool fine = deflate_all(body, &stream);
    (void)deflateEnd(&stream); /* says only whether something was thrown away */
    body->compressed = fine;
    body_rewind(body);
    return fine;
}
