#include "engine/parked.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"

enum { BUCKETS_COUNT = 4096 };

struct parked_key {
    struct parked_key *next;
    uint32_t hash;
    uint32_t size;
    struct fan_position *letters; /* owned; in order */
    size_t letters_count;
    size_t letters_capacity;
    uint8_t bytes[]; /* table and key as in the label */
};

/* The label's table (with its schema and both NULs) and one of its keys, as one text in two. */
struct identity {
    const uint8_t *table;
    size_t table_size;
    const uint8_t *key;
    size_t key_size;
};

static bool identity_of(const uint8_t *label, size_t label_size, bool old,
                        struct identity *ret_identity)
{
    struct batch_label parts;
    if (!batch_label_parse(label, label_size, &parts)) {
        return false;
    }
    *ret_identity = (struct identity){
        .table = label,
        .table_size = parts.schema_size + 1 + parts.table_size + 1,
        .key = (const uint8_t *)(old ? parts.old_key : parts.key),
        .key_size = old ? parts.old_key_size : parts.key_size,
    };
    return ret_identity->key_size > 0;
}

static uint32_t identity_hash(const struct identity *identity)
{
    return crc32c(crc32c(0, identity->table, identity->table_size), identity->key,
                  identity->key_size);
}

static bool key_is(const struct parked_key *key, uint32_t hash, const struct identity *identity)
{
    return key->hash == hash && key->size == identity->table_size + identity->key_size &&
           memcmp(key->bytes, identity->table, identity->table_size) == 0 &&
           memcmp(key->bytes + identity->table_size, identity->key, identity->key_size) == 0;
}

/* The link that holds the key, or the end of its bucket. */
static struct parked_key **find(const struct parked *parked, uint32_t hash,
                                const struct identity *identity)
{
    struct parked_key **link = &parked->buckets[hash % BUCKETS_COUNT];
    while (*link != NULL && !key_is(*link, hash, identity)) {
        link = &(*link)->next;
    }
    return link;
}

static enum fan_status parked_out_of_memory(struct fan_error *reterr)
{
    return fan_fail(reterr, FAN_RETRY, "could not park a key: out of memory");
}

/* The key of `identity` at the end of its bucket, without letters. */
static enum fan_status key_create(struct parked *parked, uint32_t hash,
                                  const struct identity *identity, struct parked_key **link,
                                  struct fan_error *reterr)
{
    if (parked->keys_count == PARKED_KEYS_MAX) {
        (void)fan_fail(reterr, FAN_FATAL, "more than %d keys wait behind dead letters",
                       PARKED_KEYS_MAX);
        fan_error_annotate(reterr, "TOO_MANY_PARKED", "mend the target, then pgfan dlq replay");
        return FAN_FATAL;
    }
    size_t size = identity->table_size + identity->key_size;
    struct parked_key *key = calloc(1, sizeof(*key) + size);
    if (key == NULL) {
        return parked_out_of_memory(reterr);
    }
    key->hash = hash;
    key->size = (uint32_t)size;
    memcpy(key->bytes, identity->table, identity->table_size);
    memcpy(key->bytes + identity->table_size, identity->key, identity->key_size);
    *link = key;
    parked->keys_count++;
    return FAN_OK;
}

static void key_drop(struct parked *parked, struct parked_key **link)
{
    struct parked_key *key = *link;
    *link = key->next;
    free(key->letters);
    free(key);
    parked->keys_count--;
}

/* Where the first letter stands that is not before `position`. Letters come in order, so most often
 * at the end. */
static size_t key_find(const struct parked_key *key, struct fan_position position)
{
    size_t at = key->letters_count;
    while (at > 0 && position_compare(key->letters[at - 1], position) >= 0) {
        at--;
    }
    return at;
}

static bool key_has(const struct parked_key *key, size_t at, struct fan_position position)
{
    return at < key->letters_count && position_compare(key->letters[at], position) == 0;
}

static bool key_add(struct parked_key *key, struct fan_position position)
{
    size_t at = key_find(key, position);
    if (key_has(key, at, position)) {
        return true;
    }
    if (key->letters_count == key->letters_capacity) {
        size_t capacity = key->letters_capacity == 0 ? 2 : key->letters_capacity * 2;
        struct fan_position *letters = realloc(key->letters, capacity * sizeof(*letters));
        if (letters == NULL) {
            return false;
        }
        key->letters = letters;
        key->letters_capacity = capacity;
    }
    memmove(key->letters + at + 1, key->letters + at,
            (key->letters_count - at) * sizeof(*key->letters));
    key->letters[at] = position;
    key->letters_count++;
    return true;
}

static enum fan_status identity_add(struct parked *parked, const struct identity *identity,
                                    struct fan_position position, struct fan_error *reterr)
{
    uint32_t hash = identity_hash(identity);
    struct parked_key **link = find(parked, hash, identity);
    if (*link == NULL) {
        enum fan_status status = key_create(parked, hash, identity, link, reterr);
        if (status != FAN_OK) {
            return status;
        }
        FAN_ASSERT(*link != NULL);
    }
    if (key_add(*link, position)) {
        return FAN_OK;
    }
    if ((*link)->letters_count == 0) {
        key_drop(parked, link);
    }
    return parked_out_of_memory(reterr);
}

enum fan_status parked_add(struct parked *parked, const uint8_t *label, size_t label_size,
                           struct fan_position position, struct fan_error *reterr)
{
    enum fan_status status = FAN_OK;
    for (int old = 0; old < 2 && status == FAN_OK; old++) {
        struct identity identity;
        if (!identity_of(label, label_size, old == 1, &identity)) {
            continue;
        }
        if (parked->buckets == NULL) {
            parked->buckets = calloc(BUCKETS_COUNT, sizeof(struct parked_key *));
            if (parked->buckets == NULL) {
                return parked_out_of_memory(reterr);
            }
        }
        status = identity_add(parked, &identity, position, reterr);
    }
    return status;
}

void parked_remove(struct parked *parked, const uint8_t *label, size_t label_size,
                   struct fan_position position)
{
    for (int old = 0; old < 2 && parked->keys_count > 0; old++) {
        struct identity identity;
        if (!identity_of(label, label_size, old == 1, &identity)) {
            continue;
        }
        struct parked_key **link = find(parked, identity_hash(&identity), &identity);
        struct parked_key *key = *link;
        size_t at = key == NULL ? 0 : key_find(key, position);
        if (key == NULL || !key_has(key, at, position)) {
            continue;
        }
        key->letters_count--;
        memmove(key->letters + at, key->letters + at + 1,
                (key->letters_count - at) * sizeof(*key->letters));
        if (key->letters_count == 0) {
            key_drop(parked, link);
        }
    }
}

bool parked_has(const struct parked *parked, const uint8_t *label, size_t label_size,
                struct fan_position position)
{
    for (int old = 0; old < 2 && parked->keys_count > 0; old++) {
        struct identity identity;
        if (!identity_of(label, label_size, old == 1, &identity)) {
            continue;
        }
        const struct parked_key *key = *find(parked, identity_hash(&identity), &identity);
        if (key != NULL && position_compare(key->letters[0], position) <= 0) {
            return true;
        }
    }
    return false;
}

bool parked_waits(const struct parked *parked, const uint8_t *label, size_t label_size,
                  struct fan_position position, const struct batch_event *going, size_t going_count)
{
    for (int old = 0; old < 2 && parked->keys_count > 0; old++) {
        struct identity identity;
        if (!identity_of(label, label_size, old == 1, &identity)) {
            continue;
        }
        const struct parked_key *key = *find(parked, identity_hash(&identity), &identity);
        size_t older = key == NULL ? 0 : key_find(key, position);
        size_t known = 0;
        for (size_t index = 0; index < going_count && known < older; index++) {
            struct fan_position at = going[index].position;
            known += key_has(key, key_find(key, at), at);
        }
        if (known < older) {
            return true;
        }
    }
    return false;
}

/* Letters of the key that `there` does not have are gone; NULL: it has none. */
static void key_keep(struct parked_key *key, const struct parked_key *there)
{
    size_t kept = 0;
    for (size_t at = 0; at < key->letters_count && there != NULL; at++) {
        struct fan_position position = key->letters[at];
        if (key_has(there, key_find(there, position), position)) {
            key->letters[kept++] = position;
        }
    }
    key->letters_count = kept;
}

void parked_keep(struct parked *parked, const struct parked *those)
{
    for (size_t bucket = 0; parked->keys_count > 0 && bucket < BUCKETS_COUNT; bucket++) {
        for (struct parked_key **link = &parked->buckets[bucket]; *link != NULL;) {
            struct parked_key *key = *link;
            const struct parked_key *there = those->keys_count == 0 ? NULL : those->buckets[bucket];
            while (there != NULL && (there->hash != key->hash || there->size != key->size ||
                                     memcmp(there->bytes, key->bytes, key->size) != 0)) {
                there = there->next;
            }
            key_keep(key, there);
            if (key->letters_count == 0) {
                key_drop(parked, link);
            } else {
                link = &key->next;
            }
        }
    }
}

void parked_release(struct parked *parked)
{
    for (size_t bucket = 0; parked->buckets != NULL && bucket < BUCKETS_COUNT; bucket++) {
        struct parked_key *key = parked->buckets[bucket];
        while (key != NULL) {
            struct parked_key *next = key->next;
            free(key->letters);
            free(key);
            key = next;
        }
    }
    free(parked->buckets);
    *parked = (struct parked){0};
}
