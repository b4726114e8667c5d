#include "schemas/registry.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "schemas/exchange.h"

enum {
    WAIT_FIRST_US = 200000,
    WAIT_MOST_US = 10000000,
    INTEREST_US = 60000000, /* what nobody has looked for since is not asked for any more */
};

struct entry {
    char *subject; /* owned */
    char *schema;  /* owned, with a NUL */
    size_t schema_size;
    bool known; /* `id` is */
    uint32_t id;
    int64_t looked_us; /* when somebody last looked for it */
    int64_t due_us;    /* when it is asked for (again) */
    struct backoff backoff;
    struct fan_error error; /* why it is not known; text "" before the first answer */
};

struct schema_registry {
    struct schema_ids ids; /* the first member */
    const struct settings_avro *settings;
    struct registry_exchange exchange; /* of the thread */
    pthread_t thread;
    bool running;
    _Atomic bool stop;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    struct entry **entries; /* owned; an entry stays where it is */
    size_t entries_count;
    size_t unknown_count;
};

static void entry_destroy(struct entry *entry)
{
    if (entry != NULL) {
        free(entry->subject);
        free(entry->schema);
        free(entry);
    }
}

/* ---- the book ---- */

static struct entry *book_look(const struct schema_registry *registry, const char *subject,
                               const char *schema, size_t schema_size)
{
    for (size_t i = 0; i < registry->entries_count; i++) {
        struct entry *entry = registry->entries[i];
        if (entry->schema_size == schema_size && strcmp(entry->subject, subject) == 0 &&
            memcmp(entry->schema, schema, schema_size) == 0) {
            return entry;
        }
    }
    return NULL;
}

static struct entry *book_add(struct schema_registry *registry, const char *subject,
                              const char *schema, size_t schema_size)
{
    struct entry *entry = calloc(1, sizeof(*entry));
    struct entry **entries =
        registry->entries_count < SCHEMAS_MAX
            ? realloc(registry->entries, (registry->entries_count + 1) * sizeof(struct entry *))
            : NULL;
    if (entries != NULL) {
        registry->entries = entries;
    }
    if (entry != NULL) {
        entry->subject = strdup(subject);
        entry->schema = strndup(schema, schema_size);
        entry->schema_size = schema_size;
        entry->looked_us = INT64_MIN / 2; /* never */
        entry->backoff = (struct backoff){.base_us = WAIT_FIRST_US, .max_us = WAIT_MOST_US};
    }
    if (entry == NULL || entries == NULL || entry->subject == NULL || entry->schema == NULL) {
        entry_destroy(entry);
        return NULL;
    }
    registry->entries[registry->entries_count++] = entry;
    registry->unknown_count++;
    return entry;
}

static enum fan_status book_answer(const struct entry *entry, uint32_t *ret_id,
                                   struct fan_error *reterr)
{
    if (entry->known) {
        *ret_id = entry->id;
        return FAN_OK;
    }
    if (reterr != NULL) {
        *reterr = entry->error;
        reterr->status = FAN_AGAIN;
    }
    return FAN_AGAIN;
}

static enum fan_status registry_find(struct schema_ids *ids, const char *subject,
                                     const char *schema, size_t schema_size, uint32_t *ret_id,
                                     struct fan_error *reterr)
{
    struct schema_registry *registry = (struct schema_registry *)ids;
    int64_t now_us = clock_monotonic_us();
    (void)pthread_mutex_lock(&registry->lock); /* cannot fail: we do not hold it */
    struct entry *entry = book_look(registry, subject, schema, schema_size);
    if (entry == NULL) {
        entry = book_add(registry, subject, schema, schema_size);
    }
    if (entry != NULL && !entry->known) {
        bool forgotten = now_us - entry->looked_us > INTEREST_US;
        entry->looked_us = now_us;
        if (forgotten) { /* or new */
            entry->due_us = now_us;
            (void)pthread_cond_signal(&registry->changed); /* cannot fail */
        }
    }
    enum fan_status status =
        entry != NULL ? book_answer(entry, ret_id, reterr)
                      : fan_fail(reterr, FAN_RETRY, "could not keep a schema: out of memory");
    (void)pthread_mutex_unlock(&registry->lock); /* cannot fail: we hold it */
    return status;
}

/* ---- the thread ---- */

/* The entry that is due first, of those that somebody looks for. */
static struct entry *next_due(const struct schema_registry *registry, int64_t now_us)
{
    struct entry *first = NULL;
    for (size_t i = 0; i < registry->entries_count && registry->unknown_count > 0; i++) {
        struct entry *entry = registry->entries[i];
        if (!entry->known && now_us - entry->looked_us <= INTEREST_US &&
            (first == NULL || entry->due_us < first->due_us)) {
            first = entry;
        }
    }
    return first;
}

/* Waits under the lock until something is looked for anew, or that time (monotonic) has come. */
static void wait_until(struct schema_registry *registry, int64_t until_us)
{
    const struct timespec until = {.tv_sec = (time_t)(until_us / 1000000),
                                   .tv_nsec = (long)(until_us % 1000000 * 1000)};
    (void)pthread_cond_timedwait(&registry->changed, &registry->lock,
                                 &until); /* an early end does no harm */
}

static void tell(const struct schema_registry *registry, const struct entry *entry,
                 enum fan_status status, const struct fan_error *error)
{
    if (status == FAN_OK) {
        log_write(LOG_INFO, "schema has a number", LOG_TEXT("subject", entry->subject),
                  LOG_NUMBER("id", entry->id), LOG_TEXT("registry", registry->settings->registry));
    } else if (entry->backoff.failures == 0 || strcmp(entry->error.code, error->code) != 0) {
        log_write(LOG_WARN,
                  status == FAN_POISON ? "schema is refused, its events wait"
                                       : "schema registry gives no number, events wait",
                  LOG_TEXT("subject", entry->subject), LOG_TEXT("error", error->text),
                  LOG_TEXT("hint", error->hint));
    }
}

/* Under the lock: what came of the question. */
static void take_answer(struct schema_registry *registry, struct entry *entry,
                        enum fan_status status, uint32_t id, const struct fan_error *error,
                        struct rng *rng)
{
    if (status == FAN_OK) {
        entry->id = id;
        entry->known = true;
        registry->unknown_count--;
    }
    tell(registry, entry, status, error);
    entry->error = *error;
    entry->due_us = clock_monotonic_us() + backoff_next_us(&entry->backoff, rng);
}

static void *registry_run(void *argument)
{
    struct schema_registry *registry = argument;
    struct rng rng = rng_seeded((uint64_t)clock_wall_us());
    thread_set_name("schemas");
    (void)pthread_mutex_lock(&registry->lock); /* cannot fail: we do not hold it */
    while (!registry->stop) {
        int64_t now_us = clock_monotonic_us();
        struct entry *entry = next_due(registry, now_us);
        if (entry == NULL) {
            (void)pthread_cond_wait(&registry->changed, &registry->lock); /* look again */
            continue;
        }
        if (entry->due_us > now_us) {
            wait_until(registry, entry->due_us);
            continue;
        }
        struct fan_error error = {0};
        uint32_t id = 0;
        (void)pthread_mutex_unlock(&registry->lock); /* cannot fail: we hold it */
        enum fan_status status = registry_exchange_ask(
            &registry->exchange, entry->subject, entry->schema, entry->schema_size, &id, &error);
        (void)pthread_mutex_lock(&registry->lock); /* cannot fail: we do not hold it */
        if (!registry->stop) {                     /* otherwise it may have failed for that alone */
            take_answer(registry, entry, status, id, &error, &rng);
        }
    }
    (void)pthread_mutex_unlock(&registry->lock); /* cannot fail: we hold it */
    return NULL;
}

/* ---- making and ending ---- */

static void registry_destroy(struct schema_registry *registry)
{
    if (registry->running) {
        (void)pthread_mutex_lock(&registry->lock); /* cannot fail: we do not hold it */
        registry->stop = true;
        (void)pthread_cond_signal(&registry->changed); /* cannot fail */
        (void)pthread_mutex_unlock(&registry->lock);   /* cannot fail: we hold it */
        (void)pthread_join(registry->thread, NULL);    /* fails for no thread that is running */
    }
    for (size_t i = 0; i < registry->entries_count; i++) {
        entry_destroy(registry->entries[i]);
    }
    free(registry->entries);
    registry_exchange_release(&registry->exchange);
    (void)pthread_cond_destroy(&registry->changed); /* cannot fail: nobody waits or holds it */
    (void)pthread_mutex_destroy(&registry->lock);   /* cannot fail: nobody waits or holds it */
    free(registry);
    curl_global_cleanup();
}

static enum fan_status registry_create(const struct settings_avro *settings,
                                       struct schema_registry **ret_registry,
                                       struct fan_error *reterr)
{
    pthread_condattr_t attributes;
    struct schema_registry *registry = calloc(1, sizeof(*registry));
    if (registry == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(registry);
        return fan_fail(reterr, FAN_RETRY, "could not make a schema registry: out of memory");
    }
    registry->ids.find = registry_find;
    registry->settings = settings;
    (void)pthread_mutex_init(&registry->lock, NULL); /* these cannot fail with these arguments */
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&registry->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    enum fan_status status =
        registry_exchange_init(&registry->exchange, settings, &registry->stop, reterr);
    if (status == FAN_OK) {
        int fault = pthread_create(&registry->thread, NULL, registry_run, registry);
        registry->running = fault == 0;
        if (fault != 0) {
            status = fan_fail_errno(reterr, FAN_RETRY, fault,
                                    "could not start the thread of a schema registry");
        }
    }
    if (status != FAN_OK) {
        registry_destroy(registry);
        return status;
    }
    *ret_registry = registry;
    return FAN_OK;
}

static bool text_equal(const char *left, const char *right)
{
    return left == right || (left != NULL && right != NULL && strcmp(left, right) == 0);
}

static bool settings_equal(const struct settings_avro *left, const struct settings_avro *right)
{
    return text_equal(left->registry, right->registry) &&
           text_equal(left->username, right->username) &&
           text_equal(secret_reveal(&left->password), secret_reveal(&right->password)) &&
           text_equal(secret_reveal(&left->bearer_token), secret_reveal(&right->bearer_token)) &&
           text_equal(left->client_cert, right->client_cert) &&
           text_equal(left->client_key, right->client_key) && text_equal(left->ca, right->ca) &&
           left->register_schemas == right->register_schemas &&
           left->timeout_us == right->timeout_us;
}

enum fan_status schema_registries_get(struct schema_registries *registries,
                                      const struct settings_avro *settings,
                                      struct schema_ids **ret_ids, struct fan_error *reterr)
{
    for (size_t i = 0; i < registries->count; i++) {
        if (settings_equal(registries->items[i]->settings, settings)) {
            *ret_ids = &registries->items[i]->ids;
            return FAN_OK;
        }
    }
    struct schema_registry **items =
        realloc(registries->items, (registries->count + 1) * sizeof(struct schema_registry *));
    if (items == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make a schema registry: out of memory");
    }
    registries->items = items;
    enum fan_status status = registry_create(settings, &items[registries->count], reterr);
    if (status == FAN_OK) {
        *ret_ids = &items[registries->count++]->ids;
    }
    return status;
}

void schema_registries_release(struct schema_registries *registries)
{
    for (size_t i = 0; i < registries->count; i++) {
        registry_destroy(registries->items[i]);
    }
    free(registries->items);
    *registries = (struct schema_registries){0};
}
