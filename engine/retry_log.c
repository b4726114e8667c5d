#include "engine/retry_log.h"

void retry_log_init(struct retry_log *log)
{
    log->count = 0;
    (void)pthread_mutex_init(&log->lock, NULL); /* cannot fail with default attributes */
}

void retry_log_release(struct retry_log *log)
{
    (void)pthread_mutex_destroy(&log->lock); /* nobody holds it */
}

void retry_log_add(struct retry_log *log, const struct retry_entry *entry)
{
    (void)pthread_mutex_lock(&log->lock); /* cannot fail: a plain mutex that we do not hold */
    struct retry_entry *place = &log->entries[log->count % RETRY_LOG_MAX];
    *place = *entry;
    place->number = ++log->count;
    (void)pthread_mutex_unlock(&log->lock); /* cannot fail: we hold it */
}

size_t retry_log_copy(struct retry_log *log, struct retry_entry entries[RETRY_LOG_MAX])
{
    (void)pthread_mutex_lock(&log->lock); /* cannot fail: a plain mutex that we do not hold */
    uint64_t first = log->count > RETRY_LOG_MAX ? log->count - RETRY_LOG_MAX : 0;
    size_t count = 0;
    for (uint64_t at = first; at < log->count; at++) {
        entries[count++] = log->entries[at % RETRY_LOG_MAX];
    }
    (void)pthread_mutex_unlock(&log->lock); /* cannot fail: we hold it */
    return count;
}
