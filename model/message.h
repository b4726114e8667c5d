/*
 * message.h - one CopyData message of the replication stream, shared by reference.
 *
 * The message that the client library allocated is kept as it is and never copied. Its first 25
 * bytes are the XLogData header ('w', start, end, clock), of which only the start, the LSN of the
 * change, is kept: the reference count and the size live there, so that sharing costs no allocation.
 *
 *     offset 0   struct message          (16 bytes, over the parsed header)
 *     offset 25  payload                 (a pgoutput message, immutable)
 *
 * Ownership:  message_adopt() takes memory of malloc(3) (what libpq's PQgetCopyData() returns on
 *             every platform but Windows); the last message_unref() frees it.
 * Threading:  ref and unref from any thread; the payload is read only.
 */
#ifndef MODEL_MESSAGE_H
#define MODEL_MESSAGE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "model/lsn.h"

enum { MESSAGE_HEADER_SIZE = 25 };

struct message {
    _Atomic uint32_t references;
    uint32_t size;      /* of the whole allocation: header and payload */
    struct fan_lsn lsn; /* where the change's record starts; changes can share one, and it is not in
                         * the order of commits: only shown */
};

_Static_assert(sizeof(struct message) <= MESSAGE_HEADER_SIZE, "the header must hold it");

/* Takes `buffer` of `size` bytes (at least MESSAGE_HEADER_SIZE) with one reference. */
static inline struct message *message_adopt(void *buffer, size_t size)
{
    FAN_ASSERT(size >= MESSAGE_HEADER_SIZE && size <= UINT32_MAX);
    uint64_t start;
    memcpy(&start, (const uint8_t *)buffer + 1, sizeof(start));
    struct message *message = buffer;
    atomic_init(&message->references, 1);
    message->size = (uint32_t)size;
    message->lsn.value = __builtin_bswap64(start);
    return message;
}

static inline struct message *message_ref(struct message *message)
{
    (void)atomic_fetch_add_explicit(&message->references, 1, memory_order_relaxed); /* old count */
    return message;
}

/* Accepts NULL. */
static inline void message_unref(struct message *message)
{
    if (message == NULL) {
        return;
    }
    /* The only holder needs no locked instruction: nobody else can add a reference any more. */
    if (atomic_load_explicit(&message->references, memory_order_acquire) == 1 ||
        atomic_fetch_sub_explicit(&message->references, 1, memory_order_acq_rel) == 1) {
        free(message);
    }
}

static inline const uint8_t *message_payload(const struct message *message)
{
    return (const uint8_t *)message + MESSAGE_HEADER_SIZE;
}

static inline size_t message_payload_size(const struct message *message)
{
    return message->size - MESSAGE_HEADER_SIZE;
}

#endif
