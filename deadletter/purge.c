/* purge.c - letters that leave undelivered: by an operator's word, or by age. */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "deadletter/letter.h"
#include "store/store.h"

/* What is left of a letter once the walk that found it is over. */
struct victim {
    int64_t number;
    struct store_position position;
    char pipeline[STORE_NAME_MAX];
    char target[STORE_NAME_MAX];
};

struct victims {
    struct victim *items; /* owned; room for a slice */
    size_t count;
};

static bool victims_add(void *context, const struct deadletter *letter)
{
    struct victims *victims = context;
    struct victim *victim = &victims->items[victims->count++];
    *victim =
        (struct victim){.number = letter->number, .position = {letter->commit_lsn, letter->seq}};
    /* Names are bounded by the conf. */
    (void)snprintf(victim->pipeline, sizeof(victim->pipeline), "%s", letter->pipeline);
    (void)snprintf(victim->target, sizeof(victim->target), "%s", letter->target);
    return true;
}

static enum fan_status victims_give_up(struct store *store, const struct victims *victims,
                                       const char *cause, int64_t now_us, struct fan_error *reterr)
{
    enum fan_status status = store_begin(store, reterr);
    if (status != FAN_OK) {
        return status;
    }
    for (size_t i = 0; status == FAN_OK && i < victims->count; i++) {
        const struct victim *victim = &victims->items[i];
        const struct store_letter letter = {.pipeline = victim->pipeline,
                                            .target = victim->target,
                                            .commit_lsn = victim->position.lsn,
                                            .seq = victim->position.seq};
        status = store_letter_remove(store, victim->number, reterr);
        if (status == FAN_OK) {
            status = letter_give_up(store, &letter, cause, now_us, reterr);
        }
    }
    return letter_end(store, status, reterr);
}

/* Overwrites what it removes. */
static enum fan_status victims_erase(struct store *store, const struct victims *victims,
                                     const char *cause, int64_t now_us, struct fan_error *reterr)
{
    enum fan_status status = store_set_erasing(store, true, reterr);
    if (status == FAN_OK) {
        status = victims_give_up(store, victims, cause, now_us, reterr);
    }
    (void)!store_set_erasing(store, false, NULL); /* without it deletes are only slower */
    return status;
}

static enum fan_status out_of_memory(struct fan_error *reterr)
{
    return fan_fail(reterr, FAN_RETRY, "could not remove dead letters: out of memory");
}

enum fan_status deadletter_purge_step(struct store *store, const struct deadletter_filter *filter,
                                      struct deadletter_scan *scan, int64_t now_us,
                                      uint64_t *purged, struct fan_error *reterr)
{
    FAN_CLEANUP(fan_free_p) struct victim *items = calloc(DEADLETTER_SLICE, sizeof(*items));
    if (items == NULL) {
        return out_of_memory(reterr);
    }
    struct victims victims = {.items = items};
    struct deadletter_scan next = *scan;
    enum fan_status status =
        deadletter_scan(store, filter, false, &next, victims_add, &victims, reterr);
    if (status == FAN_OK && victims.count > 0) {
        status = victims_erase(store, &victims, "dead letters purged", now_us, reterr);
    }
    if (status == FAN_OK) {
        *scan = next;
        *purged += victims.count;
        if (next.done && *purged > 0) {
            status = store_empty_log(store, reterr);
        }
    }
    return status;
}

enum fan_status deadletter_purge(struct store *store, const struct deadletter_filter *filter,
                                 int64_t now_us, uint64_t *ret_purged, struct fan_error *reterr)
{
    struct deadletter_scan scan = {.wanted = UINT64_MAX};
    uint64_t purged = 0;
    enum fan_status status = FAN_OK;
    while (status == FAN_OK && !scan.done) {
        status = deadletter_purge_step(store, filter, &scan, now_us, &purged, reterr);
    }
    if (status == FAN_OK) {
        *ret_purged = purged;
    }
    return status;
}

/* ---- age ---- */

struct aging {
    struct victims victims;
    int64_t oldest_us; /* what was first attempted before is too old */
};

static bool aging_see(void *context, const struct deadletter *letter)
{
    struct aging *aging = context;
    return letter->first_us < aging->oldest_us && victims_add(&aging->victims, letter);
}

enum fan_status deadletter_expire(struct store *store, const struct deadletter_caps *caps,
                                  int64_t now_us, size_t limit, uint64_t *ret_expired,
                                  struct fan_error *reterr)
{
    if (caps->age_us_max == 0 || limit == 0) {
        *ret_expired = 0;
        return FAN_OK;
    }
    FAN_CLEANUP(fan_free_p) struct victim *items = calloc(DEADLETTER_SLICE, sizeof(*items));
    if (items == NULL) {
        return out_of_memory(reterr);
    }
    struct aging aging = {.victims = {.items = items}, .oldest_us = now_us - caps->age_us_max};
    const struct deadletter_filter all = {0};
    struct deadletter_scan scan = {.wanted = limit};
    enum fan_status status = deadletter_scan(store, &all, false, &scan, aging_see, &aging, reterr);
    if (status == FAN_OK && aging.victims.count > 0) {
        status = victims_erase(store, &aging.victims, "dead letter over max_age", now_us, reterr);
    }
    if (status == FAN_OK) {
        *ret_expired = aging.victims.count;
    }
    return status;
}
