/*
 * relation_map.h - what an encoder keeps of each version of a relation.
 *
 * A version is known by its address: a source keeps all of them as long as it lives, and an encoder
 * lives no longer.
 *
 * Ownership:  the values are the caller's until relation_map_release() destroys them; accepts a zeroed
 *             map.
 * Threading:  as the encoder that has it.
 * Limits:     as many as a source has versions, RELATION_VERSIONS_MAX.
 */
#ifndef ENCODE_RELATION_MAP_H
#define ENCODE_RELATION_MAP_H

#include <stddef.h>

#include "model/relation.h"

struct relation_entry {
    const struct relation *relation; /* NULL: free */
    void *value;                     /* NULL: nothing was put here yet */
};

struct relation_map {
    struct relation_entry *entries; /* owned; a power of two of them, at most half of them used */
    size_t entries_count;
    size_t used;
};

void relation_map_release(struct relation_map *map, void (*destroy)(void *value));

/* The place of the version's value, good until the next call. NULL: memory is out. */
void **relation_map_at(struct relation_map *map, const struct relation *relation);

#endif
