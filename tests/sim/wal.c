#include "tests/sim/wal.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "model/change.h"
#include "tests/sim/notes.h"

enum { COMMIT_SIZE = 40, LOOSE_SIZE = 56 };

static bool one_in(struct rng *rng, uint64_t chances)
{
    return rng_below(rng, chances) == 0;
}

void wal_init(struct wal *wal, struct rng *rng)
{
    *wal = (struct wal){.end = {0x1000000 + rng_below(rng, 1000) * 8}, .next_xid = 700};
    wal->big_text = one_in(rng, 3) ? 700 : 60;
}

void wal_release(struct wal *wal)
{
    free(wal->items);
    free(wal->events);
    *wal = (struct wal){0};
}

static void *grown(void *array, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity) {
        return array;
    }
    *capacity = *capacity == 0 ? 64 : *capacity * 2;
    void *larger = realloc(array, *capacity * size);
    FAN_ASSERT(larger != NULL);
    return larger;
}

static struct wal_item *item_add(struct wal *wal, enum wal_kind kind, uint64_t size)
{
    wal->items = grown(wal->items, &wal->items_capacity, wal->items_count, sizeof(*wal->items));
    struct wal_item *item = &wal->items[wal->items_count++];
    *item = (struct wal_item){.kind = kind,
                              .start = wal->end,
                              .end = {wal->end.value + size},
                              .first = wal->events_count};
    wal->end = item->end;
    return item;
}

static struct wal_event *event_add(struct wal *wal, struct wal_event event)
{
    wal->events =
        grown(wal->events, &wal->events_capacity, wal->events_count, sizeof(*wal->events));
    wal->events[wal->events_count] = event;
    return &wal->events[wal->events_count++];
}

void wal_foreign(struct wal *wal, uint64_t size)
{
    (void)item_add(wal, WAL_FOREIGN, size); /* only its extent matters */
}

void wal_loose(struct wal *wal, uint32_t text_size)
{
    struct wal_item *item = item_add(wal, WAL_LOOSE, LOOSE_SIZE);
    item->count = 1;
    (void)event_add(wal, (struct wal_event){.position = {item->end, SEQ_MESSAGE},
                                            .skip_lsn = item->start,
                                            .lsn = item->end,
                                            .text_size = text_size,
                                            .group = 1,
                                            .op = CHANGE_MESSAGE,
                                            .table = WAL_MESSAGES});
}

void wal_change(struct wal *wal, size_t at, struct wal_event change, uint64_t size)
{
    struct wal_txn *txn = &wal->open[at];
    FAN_ASSERT(txn->count < WAL_CHANGES_MAX);
    txn->open = true;
    change.lsn = wal->end;
    if (txn->count > 0 && txn->changes[txn->count - 1].lsn.value == wal->end.value) {
        sometimes(SOMETIMES_EQUAL_LSNS);
    }
    wal->end.value += size;
    txn->changes[txn->count++] = change;
}

void wal_commit(struct wal *wal, size_t at, int64_t now_us)
{
    struct wal_txn *txn = &wal->open[at];
    if (wal->items_count > 0 && wal->items[wal->items_count - 1].kind == WAL_TXN &&
        txn->count > 0 && txn->changes[0].lsn.value == wal->items[wal->items_count - 1].end.value) {
        sometimes(SOMETIMES_END_IS_NEXT_START);
    }
    struct wal_item *item = item_add(wal, txn->count > 0 ? WAL_TXN : WAL_EMPTY, COMMIT_SIZE);
    item->xid = wal->next_xid++;
    item->commit_us = now_us + 1;
    item->count = txn->count;
    for (size_t seq = 0; seq < txn->count; seq++) {
        struct wal_event *event = event_add(wal, txn->changes[seq]);
        event->position = (struct fan_position){item->start, (int64_t)seq};
        event->skip_lsn = item->start;
    }
    *txn = (struct wal_txn){0};
}

static void truncate(struct wal *wal, size_t at, struct rng *rng)
{
    uint16_t relations = (uint16_t)(1 + rng_below(rng, WAL_TABLES));
    if (wal->open[at].count + relations > WAL_CHANGES_MAX) {
        return;
    }
    for (uint16_t index = 0; index < relations; index++) {
        struct wal_event change = {.op = CHANGE_TRUNCATE,
                                   .table = (uint8_t)index,
                                   .version = wal->versions[index],
                                   .group = index == 0 ? relations : 0};
        wal_change(wal, at, change, index + 1 < relations ? 0 : 64);
    }
}

static void any_change(struct wal *wal, size_t at, struct rng *rng)
{
    static const uint8_t ops[] = {CHANGE_INSERT, CHANGE_INSERT, CHANGE_UPDATE, CHANGE_UPDATE,
                                  CHANGE_DELETE};
    uint8_t table = (uint8_t)rng_below(rng, WAL_TABLES);
    struct wal_event change = {.op = ops[rng_below(rng, sizeof(ops))],
                               .table = table,
                               .group = 1,
                               .text_size = (uint32_t)rng_below(rng, wal->big_text),
                               .version = wal->versions[table],
                               .key_change = one_in(rng, 6)};
    if (one_in(rng, 12)) {
        change.op = CHANGE_MESSAGE;
        change.table = WAL_MESSAGES;
        change.version = 0;
    } else if (one_in(rng, 16)) {
        truncate(wal, at, rng);
        return;
    } else if (one_in(rng, 24)) {
        wal->versions[table] = (uint8_t)((wal->versions[table] + 1) % WAL_VERSIONS);
        change.version = wal->versions[table];
        change.altered = true;
        if (wal->open[at].count > 0) {
            sometimes(SOMETIMES_SCHEMA_CHANGE_IN_TXN);
        }
    }
    wal_change(wal, at, change, one_in(rng, 5) ? 0 : 48 + rng_below(rng, 20) * 8);
}

void wal_grow(struct wal *wal, struct rng *rng, int64_t now_us)
{
    uint64_t what = rng_below(rng, 20);
    size_t at = (size_t)rng_below(rng, WAL_OPEN_MAX);
    struct wal_txn *txn = &wal->open[at];
    if (what == 0) {
        wal_foreign(wal, 8 + rng_below(rng, 100) * 8);
    } else if (what == 1) {
        wal_loose(wal, (uint32_t)rng_below(rng, 30));
    } else if (what == 2 && !txn->open) {
        wal_commit(wal, at, now_us); /* nothing published in it */
    } else if (txn->open && (txn->count + WAL_TABLES > WAL_CHANGES_MAX || what < 8)) {
        if (one_in(rng, 8)) {
            *txn = (struct wal_txn){0};
            wal_foreign(wal, COMMIT_SIZE); /* the abort's record */
        } else {
            wal_commit(wal, at, now_us);
        }
    } else {
        uint64_t changes = one_in(rng, 10) ? 20 : 1 + rng_below(rng, 4);
        for (; changes > 0 && txn->count + WAL_TABLES <= WAL_CHANGES_MAX; changes--) {
            any_change(wal, at, rng);
        }
    }
}

void wal_settle(struct wal *wal, struct rng *rng, int64_t now_us)
{
    for (size_t at = 0; at < WAL_OPEN_MAX; at++) {
        if (wal->open[at].open && one_in(rng, 4)) {
            wal->open[at] = (struct wal_txn){0};
            wal_foreign(wal, COMMIT_SIZE);
        } else if (wal->open[at].open) {
            wal_commit(wal, at, now_us);
        }
    }
}

size_t wal_find(const struct wal *wal, struct fan_position position)
{
    size_t low = 0;
    size_t high = wal->events_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (position_compare(wal->events[middle].position, position) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}
