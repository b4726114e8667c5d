#include "encode/relation_map.h"

#include <stdint.h>
#include <stdlib.h>

enum { ENTRIES_START = 16 };

void relation_map_release(struct relation_map *map, void (*destroy)(void *value))
{
    for (size_t i = 0; i < map->entries_count; i++) {
        if (map->entries[i].value != NULL) {
            destroy(map->entries[i].value);
        }
    }
    free(map->entries);
    *map = (struct relation_map){0};
}

/* The entry of the relation, or the free one where it belongs. There is always a free one. */
static struct relation_entry *entry_of(struct relation_entry *entries, size_t entries_count,
                                       const struct relation *relation)
{
    uint64_t hash = (uint64_t)(uintptr_t)relation * 0x9e3779b97f4a7c15u; /* modulo 2^64, as meant */
    size_t at = (size_t)(hash >> 32) & (entries_count - 1);
    while (entries[at].relation != NULL && entries[at].relation != relation) {
        at = (at + 1) & (entries_count - 1);
    }
    return &entries[at];
}

static bool grow(struct relation_map *map)
{
    size_t count = map->entries_count == 0 ? ENTRIES_START : map->entries_count * 2;
    struct relation_entry *entries = calloc(count, sizeof(*entries));
    if (entries == NULL) {
        return false;
    }
    for (size_t i = 0; i < map->entries_count; i++) {
        if (map->entries[i].relation != NULL) {
            *entry_of(entries, count, map->entries[i].relation) = map->entries[i];
        }
    }
    free(map->entries);
    map->entries = entries;
    map->entries_count = count;
    return true;
}

void **relation_map_at(struct relation_map *map, const struct relation *relation)
{
    if ((map->used + 1) * 2 > map->entries_count && !grow(map)) {
        return NULL;
    }
    struct relation_entry *entry = entry_of(map->entries, map->entries_count, relation);
    if (entry->relation == NULL) {
        entry->relation = relation;
        map->used++;
    }
    return &entry->value;
}
