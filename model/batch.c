#include "model/batch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "model/change.h"

enum { BATCH_EVENTS_FIRST = 64 };

struct batch_pool {
    size_t formats_count;
    bool labelled;
    size_t spare_max;
    size_t spare_bytes_max;
    pthread_mutex_t lock; /* guards what follows */
    struct batch *spare;
    size_t spare_count;
    size_t outstanding; /* batches taken and not yet given back */
};

static void batch_free(struct batch *batch)
{
    for (size_t i = 0; i < batch->formats_count; i++) {
        bytes_release(&batch->encoded[i].bytes);
        free(batch->encoded[i].ends);
    }
    free(batch->events);
    free(batch->refusals);
    free(batch->refusal_errors);
    free(batch);
}

struct batch_pool *batch_pool_create(size_t formats_count, bool labelled, size_t spare_max,
                                     size_t spare_bytes_max)
{
    FAN_ASSERT(formats_count <= BATCH_FORMATS_MAX);
    struct batch_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL || pthread_mutex_init(&pool->lock, NULL) != 0) {
        free(pool);
        return NULL;
    }
    pool->formats_count = formats_count + labelled;
    pool->labelled = labelled;
    pool->spare_max = spare_max;
    pool->spare_bytes_max = spare_bytes_max;
    return pool;
}

void batch_pool_destroy(struct batch_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    FAN_ASSERT(pool->outstanding == 0);
    while (pool->spare != NULL) {
        struct batch *batch = pool->spare;
        pool->spare = batch->next_free;
        batch_free(batch);
    }
    (void)pthread_mutex_destroy(&pool->lock); /* fails only while it is held */
    free(pool);
}

static struct batch *batch_create(struct batch_pool *pool)
{
    struct batch *batch = calloc(1, sizeof(*batch));
    if (batch == NULL) {
        return NULL;
    }
    batch->pool = pool;
    batch->formats_count = pool->formats_count;
    batch->labelled = pool->labelled;
    for (size_t i = 0; i < batch->formats_count; i++) {
        bytes_init(&batch->encoded[i].bytes, UINT32_MAX);
    }
    return batch;
}

struct batch *batch_pool_take(struct batch_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock); /* a plain mutex: locking cannot fail */
    struct batch *batch = pool->spare;
    if (batch != NULL) {
        pool->spare = batch->next_free;
        pool->spare_count--;
    }
    pool->outstanding++;
    (void)pthread_mutex_unlock(&pool->lock); /* held by this thread */
    if (batch == NULL) {
        batch = batch_create(pool);
    }
    if (batch == NULL) {
        (void)pthread_mutex_lock(&pool->lock); /* as above */
        pool->outstanding--;
        (void)pthread_mutex_unlock(&pool->lock); /* as above */
        return NULL;
    }
    batch->next_free = NULL;
    atomic_init(&batch->references, 1);
    return batch;
}

/* Empties the batch and frees the buffers that a burst made too large to keep. */
static void batch_reset(struct batch *batch, size_t spare_bytes_max)
{
    for (size_t i = 0; i < batch->formats_count; i++) {
        bytes_clear(&batch->encoded[i].bytes);
        if (batch->encoded[i].bytes.capacity > spare_bytes_max) {
            bytes_release(&batch->encoded[i].bytes);
        }
    }
    if (batch->events_capacity * sizeof(*batch->events) > spare_bytes_max) {
        for (size_t i = 0; i < batch->formats_count; i++) {
            free(batch->encoded[i].ends);
            batch->encoded[i].ends = NULL;
        }
        free(batch->events);
        batch->events = NULL;
        batch->events_capacity = 0;
    }
    free(batch->refusals); /* rare: not worth keeping */
    batch->refusals = NULL;
    batch->refusals_count = 0;
    batch->refusals_capacity = 0;
    free(batch->refusal_errors);
    batch->refusal_errors = NULL;
    batch->refusal_errors_count = 0;
    batch->events_count = 0;
    batch->sequence = 0;
    batch->part = TXN_WHOLE;
    batch->limit = BATCH_LIMIT_IDLE;
}

void batch_unref(struct batch *batch)
{
    if (batch == NULL ||
        atomic_fetch_sub_explicit(&batch->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    struct batch_pool *pool = batch->pool;
    batch_reset(batch, pool->spare_bytes_max); /* outside the lock: it may free megabytes */
    (void)pthread_mutex_lock(&pool->lock);     /* a plain mutex: locking cannot fail */
    FAN_ASSERT(pool->outstanding > 0);
    bool keep = pool->spare_count < pool->spare_max;
    if (keep) {
        batch->next_free = pool->spare;
        pool->spare = batch;
        pool->spare_count++;
    }
    /* Last use of the pool: its owner may destroy it as soon as nothing is outstanding. */
    pool->outstanding--;
    (void)pthread_mutex_unlock(&pool->lock); /* held by this thread */
    if (!keep) {
        batch_free(batch);
    }
}

/* Gives every array room for `capacity` events. What grew before memory ran out stays grown. */
static bool batch_grow(struct batch *batch, size_t capacity)
{
    struct batch_event *events = realloc(batch->events, capacity * sizeof(*events));
    if (events == NULL) {
        return false;
    }
    batch->events = events;
    for (size_t i = 0; i < batch->formats_count; i++) {
        uint32_t *ends = realloc(batch->encoded[i].ends, capacity * sizeof(*ends));
        if (ends == NULL) {
            return false;
        }
        batch->encoded[i].ends = ends;
    }
    batch->events_capacity = capacity;
    return true;
}

bool batch_reserve_event(struct batch *batch)
{
    if (batch->events_count < batch->events_capacity) {
        return true;
    }
    if (batch->events_capacity > UINT32_MAX / 2) {
        return false;
    }
    return batch_grow(batch, batch->events_capacity == 0 ? BATCH_EVENTS_FIRST
                                                         : batch->events_capacity * 2);
}

/* The number of the error among the batch's, to which it is added if it is new; -1: out of memory. */
static int refusal_error(struct batch *batch, const struct fan_error *error)
{
    size_t count = batch->refusal_errors_count;
    for (size_t at = 0; at < count; at++) {
        if (strcmp(batch->refusal_errors[at].text, error->text) == 0) {
            return (int)at;
        }
    }
    if (count == BATCH_REFUSAL_ERRORS_MAX) {
        return (int)count - 1;
    }
    struct fan_error *errors = realloc(batch->refusal_errors, (count + 1) * sizeof(*errors));
    if (errors == NULL) {
        return -1;
    }
    batch->refusal_errors = errors;
    errors[count] = *error;
    batch->refusal_errors_count++;
    return (int)count;
}

bool batch_refuse(struct batch *batch, size_t event, size_t format, const struct fan_error *error)
{
    int number = refusal_error(batch, error);
    if (number < 0) {
        return false;
    }
    if (batch->refusals_count == batch->refusals_capacity) {
        size_t capacity = batch->refusals_capacity == 0 ? 4 : 2 * batch->refusals_capacity;
        struct batch_refusal *refusals = realloc(batch->refusals, capacity * sizeof(*refusals));
        if (refusals == NULL) {
            return false;
        }
        batch->refusals = refusals;
        batch->refusals_capacity = capacity;
    }
    batch->refusals[batch->refusals_count++] = (struct batch_refusal){
        .event = (uint32_t)event, .format = (uint16_t)format, .error = (uint16_t)number};
    return true;
}

void batch_refusals_cut(struct batch *batch, size_t first)
{
    while (batch->refusals_count > 0 && batch->refusals[batch->refusals_count - 1].event >= first) {
        batch->refusals_count--;
    }
}

const struct fan_error *batch_refusal(const struct batch *batch, size_t event, size_t format)
{
    size_t low = 0;
    size_t high = batch->refusals_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (batch->refusals[middle].event < event) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < batch->refusals_count && batch->refusals[low].event == event; low++) {
        if (batch->refusals[low].format == format) {
            return &batch->refusal_errors[batch->refusals[low].error];
        }
    }
    return NULL;
}

/* Moves the bytes of events [first, count) of one format; room has been made. */
static void encoded_split(struct encoded *encoded, size_t first, size_t count, struct encoded *rest)
{
    size_t start = first == 0 ? 0 : (size_t)encoded->ends[first - 1] + 1;
    for (size_t i = first; i < count; i++) {
        rest->ends[i - first] = encoded->ends[i] - (uint32_t)start;
    }
    bytes_append(&rest->bytes, encoded->bytes.data + start, encoded->bytes.size - start);
    bytes_truncate(&encoded->bytes, start);
}

enum fan_status batch_split(struct batch *batch, size_t first, struct batch *ret_rest)
{
    FAN_ASSERT(first <= batch->events_count && ret_rest->events_count == 0);
    FAN_ASSERT(batch->formats_count == ret_rest->formats_count);
    size_t count = batch->events_count;
    if (first == count) {
        return FAN_OK;
    }
    if (ret_rest->events_capacity < count - first && !batch_grow(ret_rest, count - first)) {
        return FAN_RETRY;
    }
    for (size_t i = 0; i < batch->formats_count; i++) {
        size_t size;
        (void)batch_bytes(batch, i, first, &size); /* only its size is needed */
        if (!bytes_reserve(&ret_rest->encoded[i].bytes, size)) {
            bytes_clear(&ret_rest->encoded[i].bytes);
            return FAN_RETRY;
        }
    }
    for (size_t at = 0; at < batch->refusals_count; at++) {
        const struct batch_refusal *refusal = &batch->refusals[at];
        if (refusal->event >= first &&
            !batch_refuse(ret_rest, refusal->event - first, refusal->format,
                          &batch->refusal_errors[refusal->error])) {
            batch_refusals_cut(ret_rest, 0);
            return FAN_RETRY;
        }
    }
    batch_refusals_cut(batch, first);
    memcpy(ret_rest->events, batch->events + first, (count - first) * sizeof(*batch->events));
    for (size_t i = 0; i < batch->formats_count; i++) {
        encoded_split(&batch->encoded[i], first, count, &ret_rest->encoded[i]);
    }
    ret_rest->events_count = count - first;
    batch->events_count = first;
    return FAN_OK;
}

struct batch *batch_slice(struct batch *batch, size_t format, size_t first, size_t end)
{
    if (first == 0 && end == batch->events_count) {
        return batch_ref(batch);
    }
    struct batch *slice = batch_pool_take(batch->pool);
    if (slice == NULL) {
        return NULL;
    }
    slice->sequence = batch->sequence;
    slice->part = batch->part;
    slice->limit = batch->limit;
    for (size_t event = first; event < end; event++) {
        size_t size;
        size_t label_size;
        const uint8_t *bytes = batch_event_bytes(batch, format, event, &size);
        const uint8_t *label = batch_label_bytes(batch, event, &label_size);
        if (batch_append(slice, &batch->events[event], format, bytes, size, label, label_size) !=
            FAN_OK) {
            batch_unref(slice);
            return NULL;
        }
    }
    return slice;
}

size_t batch_first_beyond(const struct batch *batch, struct fan_position position)
{
    size_t low = 0;
    size_t high = batch->events_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (position_compare(batch->events[middle].position, position) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool batch_same_txn(const struct batch *batch, size_t event)
{
    if (event + 1 >= batch->events_count) {
        return false;
    }
    const struct batch_event *left = &batch->events[event];
    const struct batch_event *right = &batch->events[event + 1];
    return !left->txn_end && left->op != CHANGE_GAP && left->position.seq >= 0 &&
           left->position.commit_lsn.value == right->position.commit_lsn.value;
}

uint64_t batch_rows(const struct batch *batch, size_t first, size_t end)
{
    uint64_t rows = 0;
    for (size_t index = first; index < end; index++) {
        rows += batch->events[index].op != CHANGE_GAP;
    }
    return rows;
}

const uint8_t *batch_label_bytes(const struct batch *batch, size_t index, size_t *ret_size)
{
    if (!batch->labelled) {
        *ret_size = 0;
        return (const uint8_t *)"";
    }
    return batch_event_bytes(batch, batch->formats_count - 1, index, ret_size);
}

/* Takes the text up to the next NUL; false when there is none. */
static bool label_part(const char **at, size_t *left, const char **ret_text, size_t *ret_size)
{
    const char *end = memchr(*at, '\0', *left);
    if (end == NULL) {
        return false;
    }
    *ret_text = *at;
    *ret_size = (size_t)(end - *at);
    *left -= *ret_size + 1;
    *at = end + 1;
    return true;
}

bool batch_label_parse(const uint8_t *bytes, size_t size, struct batch_label *ret_label)
{
    const char *at = (const char *)bytes;
    size_t left = size;
    struct batch_label label;
    if (!label_part(&at, &left, &label.schema, &label.schema_size) ||
        !label_part(&at, &left, &label.table, &label.table_size) ||
        !label_part(&at, &left, &label.key, &label.key_size) || memchr(at, '\0', left) != NULL) {
        return false;
    }
    label.old_key = at;
    label.old_key_size = left;
    *ret_label = label;
    return true;
}

struct batch_label batch_label(const struct batch *batch, size_t index)
{
    struct batch_label label = {.schema = "", .table = "", .key = "", .old_key = ""};
    size_t size;
    const uint8_t *bytes = batch_label_bytes(batch, index, &size);
    (void)batch_label_parse(bytes, size, &label); /* all empty where there is none */
    return label;
}

/* Appends to one format; a format that stays empty has its separator, too. */
static bool encoded_append(struct encoded *encoded, size_t index, const uint8_t *bytes, size_t size)
{
    bytes_append(&encoded->bytes, bytes, size);
    encoded->ends[index] = (uint32_t)encoded->bytes.size;
    bytes_append_char(&encoded->bytes, '\n');
    return bytes_ok(&encoded->bytes);
}

enum fan_status batch_append(struct batch *batch, const struct batch_event *event, size_t format,
                             const uint8_t *bytes, size_t size, const uint8_t *label,
                             size_t label_size)
{
    if (!batch_reserve_event(batch)) {
        return FAN_RETRY;
    }
    size_t index = batch->events_count;
    size_t labels = batch->labelled ? batch->formats_count - 1 : SIZE_MAX;
    bool fits = true;
    for (size_t i = 0; i < batch->formats_count; i++) {
        bool wanted = i == format;
        const uint8_t *from = i == labels ? label : wanted ? bytes : NULL;
        fits = encoded_append(&batch->encoded[i], index, from,
                              i == labels ? label_size
                              : wanted    ? size
                                          : 0) &&
               fits;
    }
    if (!fits) {
        for (size_t i = 0; i < batch->formats_count; i++) {
            const struct encoded *encoded = &batch->encoded[i];
            bytes_truncate(&batch->encoded[i].bytes,
                           index == 0 ? 0 : (size_t)encoded->ends[index - 1] + 1);
        }
        return FAN_RETRY;
    }
    batch->events[batch->events_count++] = *event;
    return FAN_OK;
}
