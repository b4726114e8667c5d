/*
 * The dead letters of a history, in memory: what deadletter/deadletter.h says of the functions that
 * a pipeline's jobs need, on a vault in the place of the store.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "deadletter/deadletter.h"
#include "tests/sim/process.h"

static struct vault *vault_of(struct store *store)
{
    return (struct vault *)(void *)store; /* as letters_run() gives it */
}

/* Names are p0..p3 and t0..t2. */
static size_t index_of(const char *name)
{
    return (size_t)(name[1] - '0');
}

static struct outside *outside_of(struct vault *vault, const struct letter *letter)
{
    return &vault->world->outside[letter->pipeline][letter->target];
}

static uint16_t flag_of(enum deadletter_cause cause)
{
    static const uint16_t flags[] = {0, FLAG_POISON, FLAG_PARKED, FLAG_ISOLATED};
    return flags[cause];
}

/* Marks what the letter holds; a gap's marker is no event. */
static void flag(struct vault *vault, const struct letter *letter)
{
    if (letter->kept.event.op != CHANGE_GAP) {
        bool stays = letter->cause != LETTER_ISOLATED;
        *outside_flag(outside_of(vault, letter), letter->index) |=
            flag_of(letter->cause) | (stays ? FLAG_LETTER : 0);
    }
}

static void unflag(struct vault *vault, const struct letter *letter, const char *how)
{
    if (letter->kept.event.op != CHANGE_GAP) {
        outside_lose(outside_of(vault, letter), letter->index, flag_of(letter->cause), how);
    }
}

static int compare(const struct letter *letter, size_t pipeline, size_t target,
                   struct fan_position position)
{
    if (letter->pipeline != pipeline || letter->target != target) {
        bool before =
            letter->pipeline != pipeline ? letter->pipeline < pipeline : letter->target < target;
        return before ? -1 : 1;
    }
    return position_compare(letter->kept.event.position, position);
}

/* The first letter that is not before the place. */
static size_t find(const struct vault *vault, size_t pipeline, size_t target,
                   struct fan_position position)
{
    size_t low = 0;
    size_t high = vault->letters_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(&vault->letters[middle], pipeline, target, position) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void insert(struct vault *vault, size_t at, struct letter letter)
{
    if (vault->letters_count == vault->letters_capacity) {
        vault->letters_capacity = vault->letters_capacity == 0 ? 64 : vault->letters_capacity * 2;
        vault->letters = realloc(vault->letters, vault->letters_capacity * sizeof(*vault->letters));
        FAN_ASSERT(vault->letters != NULL);
    }
    memmove(vault->letters + at + 1, vault->letters + at,
            (vault->letters_count - at) * sizeof(*vault->letters));
    vault->letters[at] = letter;
    vault->letters_count++;
}

static void take_out(struct vault *vault, size_t at)
{
    kept_release(&vault->letters[at].kept);
    vault->letters_count--;
    memmove(vault->letters + at, vault->letters + at + 1,
            (vault->letters_count - at) * sizeof(*vault->letters));
}

/* ---- adding ---- */

/* It is there already: the stronger cause stays. */
static void touch(struct vault *vault, struct letter *known, enum deadletter_cause cause)
{
    if (cause < known->cause) {
        enum deadletter_cause before = known->cause;
        known->cause = cause;
        flag(vault, known);
        struct letter old = *known;
        old.cause = before;
        unflag(vault, &old, "convicted");
    }
}

static void see_cause(enum deadletter_cause cause)
{
    if (cause == LETTER_PARKED) {
        sometimes(SOMETIMES_PARKED);
    } else if (cause == LETTER_POISON) {
        sometimes(SOMETIMES_POISON);
    }
}

static void check_cause(struct outside *outside, const struct letter *letter)
{
    if (letter->cause == LETTER_POISON && letter->kept.event.op != CHANGE_GAP &&
        !plan_poisons(outside->world, letter->pipeline, letter->target, letter->index)) {
        world_fail(outside->world, "p%zu t%zu: e%zu is convicted, and is no poison",
                   letter->pipeline, letter->target, letter->index);
    }
}

static void check_format(const struct outside *outside, const struct letter *letter)
{
    const struct kept_event *kept = &letter->kept;
    if (kept->event.op != CHANGE_GAP &&
        !outside_is_own_format(outside, letter->index, kept->bytes, kept->size)) {
        world_fail(outside->world, "p%zu t%zu: e%zu is a letter in another format",
                   letter->pipeline, letter->target, letter->index);
    }
    const struct process *process = outside->world->process;
    for (size_t index = 0; process != NULL && index < process->count; index++) {
        if (process->plan[index] == letter->pipeline &&
            process->pipelines[index].outlets[letter->target].format > 0) {
            sometimes(letter->cause == LETTER_ISOLATED ? SOMETIMES_ISOLATED_FORMAT
                                                       : SOMETIMES_LETTER_FORMAT);
        }
    }
}

/* What is lost has a row of its own; it is a letter no more. */
static void give_up(struct vault *vault, const struct letter *letter, const char *cause)
{
    const struct settings_pipeline *settings = &vault->world->plans[letter->pipeline].settings;
    struct outside *outside = outside_of(vault, letter);
    struct fan_position position = letter->kept.event.position;
    struct store_gap row = {.gap_id = -++vault->given_up,
                            .first_lsn = position.commit_lsn.value,
                            .first_seq = position.seq,
                            .last_lsn = position.commit_lsn.value,
                            .last_seq = position.seq,
                            .count = 1};
    /* All fit. */
    (void)snprintf(row.pipeline, sizeof(row.pipeline), "%s", settings->name);
    (void)snprintf(row.target, sizeof(row.target), "%s",
                   settings_target_at(settings, letter->target)->name);
    (void)snprintf(row.cause, sizeof(row.cause), "%s", cause);
    vault_put_gap(vault, &row);
    if (letter->kept.event.op == CHANGE_GAP) {
        outside->unmarked = true;
        return;
    }
    bool stayed = letter->cause != LETTER_ISOLATED;
    *outside_flag(outside, letter->index) |= FLAG_GAP | FLAG_DROPPED | (stayed ? FLAG_LETTER : 0);
}

static uint64_t size_of(const struct letter *letter)
{
    return letter->kept.size + letter->kept.label_size;
}

static bool fits(const struct vault *vault, uint64_t bytes)
{
    uint64_t used = bytes;
    for (size_t at = 0; at < vault->letters_count; at++) {
        used += size_of(&vault->letters[at]);
    }
    return vault->letters_count < vault->caps.entries_max && used <= vault->caps.bytes_max;
}

static void drop_oldest(struct vault *vault, struct deadletter_added *added)
{
    added->dropped++;
    size_t oldest = 0;
    for (size_t at = 1; at < vault->letters_count; at++) {
        oldest = vault->letters[at].number < vault->letters[oldest].number ? at : oldest;
    }
    const struct letter letter = vault->letters[oldest];
    sometimes(letter.cause == LETTER_ISOLATED ? SOMETIMES_ISOLATED_DROPPED
                                              : SOMETIMES_LETTER_DROPPED);
    give_up(vault, &letter, "dead-letter store full: drop_oldest");
    unflag(vault, &letter, "drop_oldest");
    take_out(vault, oldest);
}

/* As deadletter/add.c does; the world says when a store that blocks is full. False: the new letter
 * is given up. */
static bool make_room(struct vault *vault, const struct letter *letter,
                      struct deadletter_added *added)
{
    const struct deadletter_caps *caps = &vault->caps;
    if (letter->kept.size > caps->payload_bytes_max) {
        sometimes(SOMETIMES_LETTER_TOO_LARGE);
        give_up(vault, letter, "dead letter over max_payload");
        return false;
    }
    if (caps->at_cap == AT_CAP_BLOCK || fits(vault, size_of(letter))) {
        return true;
    }
    if (caps->at_cap == AT_CAP_REJECT || size_of(letter) > caps->bytes_max) {
        sometimes(SOMETIMES_LETTER_REJECTED);
        give_up(vault, letter, "dead-letter store full: reject");
        return false;
    }
    while (!fits(vault, size_of(letter))) {
        drop_oldest(vault, added);
    }
    return true;
}

static void add_one(struct vault *vault, const struct deadletter *given,
                    struct deadletter_added *added)
{
    struct letter letter = {
        .pipeline = index_of(given->pipeline),
        .target = index_of(given->target),
        .cause = given->cause,
    };
    struct fan_position position = {{given->commit_lsn}, given->seq};
    struct outside *outside = outside_of(vault, &letter);
    letter.index = outside_event(outside, position);
    size_t at = find(vault, letter.pipeline, letter.target, position);
    if (at < vault->letters_count &&
        compare(&vault->letters[at], letter.pipeline, letter.target, position) == 0) {
        touch(vault, &vault->letters[at], given->cause);
        added->known++;
        return;
    }
    const struct batch_event event = {.position = position,
                                      .hold_lsn = {given->hold_lsn},
                                      .commit_time_us = given->commit_time_us,
                                      .op = (uint8_t)given->op,
                                      .txn_end = given->txn_end};
    letter.kept =
        kept_copy(&event, given->payload, given->payload_size, given->label, given->label_size);
    check_cause(outside, &letter);
    check_format(outside, &letter);
    see_cause(letter.cause);
    if (!make_room(vault, &letter, added)) {
        added->rejected++;
        kept_release(&letter.kept);
        return;
    }
    added->added++;
    letter.number = ++vault->number;
    letter.last_us = vault->world->now_us;
    insert(vault, find(vault, letter.pipeline, letter.target, position), letter);
    flag(vault, &letter);
}

enum fan_status deadletter_add(struct store *store, const struct deadletter *letters, size_t count,
                               const struct deadletter_caps *caps, int64_t now_us,
                               struct deadletter_added *ret_added, struct fan_error *reterr)
{
    (void)now_us;
    struct vault *vault = vault_of(store);
    if (caps->at_cap == AT_CAP_BLOCK && vault->world->now_us < vault->full_until_us) {
        sometimes(SOMETIMES_LETTERS_FULL);
        (void)fan_fail(reterr, FAN_AGAIN, "dead-letter store is full: simulated");
        return FAN_AGAIN;
    }
    *ret_added = (struct deadletter_added){0};
    for (size_t index = 0; index < count; index++) {
        add_one(vault, &letters[index], ret_added);
    }
    return FAN_OK;
}

static struct deadletter seen_of(const struct letter *letter)
{
    const struct batch_event *event = &letter->kept.event;
    return (struct deadletter){.number = letter->number,
                               .commit_lsn = event->position.commit_lsn.value,
                               .seq = event->position.seq,
                               .hold_lsn = event->hold_lsn.value,
                               .commit_time_us = event->commit_time_us,
                               .op = (char)event->op,
                               .txn_end = event->txn_end,
                               .payload = letter->kept.bytes,
                               .payload_size = letter->kept.size,
                               .label = letter->kept.label,
                               .label_size = letter->kept.label_size,
                               .cause = letter->cause};
}

/* ---- an isolated target's ---- */

enum fan_status deadletter_backlog(struct store *store, const char *pipeline, const char *target,
                                   uint64_t after_lsn, int64_t after_seq, uint64_t entries,
                                   uint64_t bytes, deadletter_see *see, void *context,
                                   struct fan_error *reterr)
{
    (void)bytes; /* the number of entries bounds it */
    (void)reterr;
    struct vault *vault = vault_of(store);
    struct fan_position after = {{after_lsn}, after_seq + 1};
    uint64_t most = 1 + rng_below(&vault->world->rng, 30);
    most = entries < most ? entries : most;
    for (size_t at = find(vault, index_of(pipeline), index_of(target), after);
         at < vault->letters_count && most > 0; at++) {
        const struct letter *letter = &vault->letters[at];
        if (letter->pipeline != index_of(pipeline) || letter->target != index_of(target)) {
            break;
        }
        if (letter->cause != LETTER_ISOLATED) {
            continue;
        }
        const struct deadletter seen = seen_of(letter);
        if (!see(context, &seen)) {
            break;
        }
        most--;
    }
    return FAN_OK;
}

enum fan_status deadletter_backlog_delivered(struct store *store, const char *pipeline,
                                             const char *target, uint64_t lsn, int64_t seq,
                                             struct fan_error *reterr)
{
    (void)reterr; /* the vault decides what fails */
    struct vault *vault = vault_of(store);
    size_t at = find(vault, index_of(pipeline), index_of(target), POSITION_NONE);
    const struct fan_position end = {{lsn}, seq};
    while (at < vault->letters_count &&
           compare(&vault->letters[at], index_of(pipeline), index_of(target), end) <= 0) {
        const struct letter *letter = &vault->letters[at];
        if (letter->cause != LETTER_ISOLATED) {
            at++;
            continue;
        }
        if (letter->kept.event.op != CHANGE_GAP) {
            check_removal(outside_of(vault, letter), letter->index, FLAG_ISOLATED, "letter");
        }
        take_out(vault, at);
    }
    return FAN_OK;
}

enum fan_status deadletter_backlog_range(struct store *store, const char *pipeline,
                                         const char *target, uint64_t *ret_entries,
                                         uint64_t *ret_first_lsn, int64_t *ret_first_seq,
                                         uint64_t *ret_last_lsn, int64_t *ret_last_seq,
                                         struct fan_error *reterr)
{
    (void)reterr; /* it cannot fail */
    const struct vault *vault = vault_of(store);
    *ret_entries = 0;
    for (size_t at = 0; at < vault->letters_count; at++) {
        const struct letter *letter = &vault->letters[at];
        if (letter->pipeline != index_of(pipeline) || letter->target != index_of(target) ||
            letter->cause != LETTER_ISOLATED) {
            continue;
        }
        struct fan_position position = letter->kept.event.position;
        if ((*ret_entries)++ == 0) {
            *ret_first_lsn = position.commit_lsn.value;
            *ret_first_seq = position.seq;
        }
        *ret_last_lsn = position.commit_lsn.value;
        *ret_last_seq = position.seq;
    }
    return FAN_OK;
}

enum fan_status deadletter_keys(struct store *store, const char *pipeline, const char *target,
                                deadletter_see *see, void *context, struct fan_error *reterr)
{
    (void)reterr; /* it cannot fail */
    const struct vault *vault = vault_of(store);
    for (size_t at = 0; at < vault->letters_count; at++) {
        const struct letter *letter = &vault->letters[at];
        const struct fan_position position = letter->kept.event.position;
        const struct deadletter seen = {.commit_lsn = position.commit_lsn.value,
                                        .seq = position.seq,
                                        .label = letter->kept.label,
                                        .label_size = letter->kept.label_size};
        if (letter->pipeline == index_of(pipeline) && letter->target == index_of(target) &&
            letter->cause != LETTER_ISOLATED && !see(context, &seen)) {
            break;
        }
    }
    return FAN_OK;
}

/* ---- what an operator does with them ---- */

static bool matches(const struct letter *letter, const struct deadletter_filter *filter)
{
    return letter->pipeline == index_of(filter->pipeline) &&
           letter->target == index_of(filter->target) &&
           (filter->cause == 0 || letter->cause == filter->cause) &&
           letter->last_us >= filter->since_us && letter->number > filter->after_number;
}

/* The letter that matches with the lowest number above that; NULL: none. */
static const struct letter *find_next(const struct vault *vault,
                                      const struct deadletter_filter *filter, int64_t after_number)
{
    const struct letter *found = NULL;
    for (size_t at = 0; at < vault->letters_count; at++) {
        const struct letter *letter = &vault->letters[at];
        if (letter->number > after_number && matches(letter, filter) &&
            (found == NULL || letter->number < found->number)) {
            found = letter;
        }
    }
    return found;
}

enum fan_status deadletter_list(struct store *store, const struct deadletter_filter *filter,
                                enum deadletter_order order, uint64_t limit, deadletter_see *see,
                                void *context, struct fan_error *reterr)
{
    (void)reterr; /* it cannot fail */
    FAN_ASSERT(order == LETTERS_BY_NUMBER);
    const struct vault *vault = vault_of(store);
    const struct letter *letter = find_next(vault, filter, 0);
    for (; letter != NULL && limit > 0; limit--) {
        const struct deadletter seen = seen_of(letter);
        if (!see(context, &seen)) {
            break;
        }
        letter = find_next(vault, filter, letter->number);
    }
    return FAN_OK;
}

/* SIZE_MAX: there is none of that number. */
static size_t find_number(const struct vault *vault, int64_t number)
{
    for (size_t at = 0; at < vault->letters_count; at++) {
        if (vault->letters[at].number == number) {
            return at;
        }
    }
    return SIZE_MAX;
}

enum fan_status deadletter_delivered(struct store *store, const int64_t *numbers, size_t count,
                                     struct fan_error *reterr)
{
    (void)reterr; /* the vault decides what fails */
    struct vault *vault = vault_of(store);
    for (size_t index = 0; index < count; index++) {
        size_t at = find_number(vault, numbers[index]);
        if (at == SIZE_MAX) {
            sometimes(SOMETIMES_REPLAYED_TWICE);
            continue;
        }
        sometimes(SOMETIMES_REPLAYED);
        const struct letter *letter = &vault->letters[at];
        check_removal(outside_of(vault, letter), letter->index, flag_of(letter->cause), "replayed");
        take_out(vault, at);
    }
    return FAN_OK;
}

enum fan_status deadletter_failed(struct store *store, int64_t number, const char *code,
                                  const char *error, int64_t now_us, struct fan_error *reterr)
{
    (void)code; /* for people, as the text */
    (void)error;
    (void)reterr; /* the vault decides what fails */
    struct vault *vault = vault_of(store);
    size_t at = find_number(vault, number);
    if (at != SIZE_MAX) {
        vault->letters[at].last_us = now_us;
    }
    return FAN_OK;
}

/* ---- for the vault ---- */

void letters_run(struct vault *vault, struct letter_job *job)
{
    struct process *process = vault->world->process;
    uint64_t removals = atomic_load(&vault->letterbox.removals);
    letter_job_run(&vault->letterbox, job, (struct store *)(void *)vault, &vault->caps,
                   vault->world->now_us);
    for (size_t index = 0; process != NULL && index < process->count; index++) {
        if (atomic_load(&vault->letterbox.removals) != removals) {
            process->pipeline_due_us[index] = vault->world->now_us;
        }
    }
}

void letters_forget(struct vault *vault, size_t pipeline)
{
    for (size_t at = 0; at < vault->letters_count;) {
        if (vault->letters[at].pipeline == pipeline) {
            take_out(vault, at);
        } else {
            at++;
        }
    }
}

void letters_release(struct vault *vault)
{
    while (vault->letters_count > 0) {
        take_out(vault, vault->letters_count - 1);
    }
    free(vault->letters);
    vault->letters = NULL;
    vault->letters_capacity = 0;
}
