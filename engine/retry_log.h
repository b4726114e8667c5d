/*
 * retry_log.h - the last retries that were scheduled in a pipeline, in the order they happened.
 *
 *     outlets of the pipeline ──retry_log_add──► ring of the last ──retry_log_copy──► status
 *
 * Ownership:  a log holds positions and texts of its own; nothing is allocated.
 * Threading:  any thread; failures are rare, so that a lock for each is no matter.
 * Limits:     the last RETRY_LOG_MAX; numbers tell what a reader has missed.
 */
#ifndef ENGINE_RETRY_LOG_H
#define ENGINE_RETRY_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/batch.h"
#include "model/position.h"

enum { RETRY_LOG_MAX = 64, RETRY_REASON_MAX = 256 };

struct retry_entry {
    uint64_t number; /* 1, 2, 3 ... of the pipeline in this run */
    size_t target;   /* its index in the pipeline */
    /* The events that were refused; count 0: the target could not be started. */
    struct fan_position first;
    struct fan_position last;
    bool first_is_gap;
    bool last_is_gap;
    uint64_t count;
    uint32_t next_attempt; /* 2 after the first failure */
    int64_t at_wall_us;    /* when it was scheduled */
    int64_t retry_wall_us; /* nothing is sent before */
    char reason[RETRY_REASON_MAX];
};

struct retry_log {
    pthread_mutex_t lock; /* guards what follows */
    struct retry_entry entries[RETRY_LOG_MAX];
    uint64_t count; /* since the pipeline was made */
};

void retry_log_init(struct retry_log *log);
/* Accepts a zeroed one. */
void retry_log_release(struct retry_log *log);

/* Adds the entry; the number is the log's to give. */
void retry_log_add(struct retry_log *log, const struct retry_entry *entry);
/* Copies what it has, the oldest first; returns how many. */
size_t retry_log_copy(struct retry_log *log, struct retry_entry entries[RETRY_LOG_MAX]);

#endif
