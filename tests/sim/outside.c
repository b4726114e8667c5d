/*
 * Scripted targets. What one was given is compared with the truth event by event, at once: the
 * next event must be the next one of its pipeline in WAL order, so nothing is missing, doubled,
 * reordered or invented within a run.
 *
 *   exact    keeps its place in its checkpoint and is cut back to it at start, as a file is
 *   plain    counts open batches; what was on its way at a crash may be there or not
 *   window   the same with a window of bytes
 *   asks     answers requests: asks.c
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "engine/state.h"
#include "model/change.h"
#include "targets/target.h"
#include "tests/sim/world.h"

enum { WINDOW_BYTES = 4096, OPEN_BATCHES_MAX = 64 };

struct live_target {
    struct target base;
    struct target_context context;
    struct outside *outside;
    bool started;
    bool lost;       /* until it is started again it takes nothing */
    bool wake;       /* deliver() answered AGAIN */
    size_t cursor;   /* events before it were offered since the start */
    size_t reported; /* log entries that a SETTLED outcome has covered */
    size_t open;     /* batches under way */
    uint64_t open_bytes;
    uint64_t sizes[OPEN_BATCHES_MAX];
    int64_t due_us;
};

static struct live_target *live_of(struct target *target)
{
    return (struct live_target *)target;
}

static const struct target_type exact_type;
static const struct target_type window_type;

static bool is_exact(const struct live_target *self)
{
    return self->base.type == &exact_type;
}

static const struct plan *plan_of(const struct outside *outside)
{
    return &outside->world->plans[outside->pipeline];
}

/* ---- the far side ---- */

void outside_init(struct outside *outside, struct world *world, size_t pipeline, size_t target)
{
    *outside = (struct outside){
        .world = world, .pipeline = pipeline, .target = target, .checkpoint = POSITION_NONE};
    outside->settled = POSITION_NONE;
}

void outside_release(struct outside *outside)
{
    free(outside->flags);
    free(outside->log);
    disk_release(&outside->disk);
    *outside = (struct outside){0};
}

uint16_t *outside_flag(struct outside *outside, size_t event)
{
    if (event >= outside->flags_count) {
        size_t count = outside->world->wal.events_capacity;
        FAN_ASSERT(event < count);
        outside->flags = realloc(outside->flags, count * sizeof(*outside->flags));
        FAN_ASSERT(outside->flags != NULL);
        memset(outside->flags + outside->flags_count, 0,
               (count - outside->flags_count) * sizeof(*outside->flags));
        outside->flags_count = count;
    }
    return &outside->flags[event];
}

void outside_lose(struct outside *outside, size_t event, uint16_t flag, const char *how)
{
    uint16_t *flags = outside_flag(outside, event);
    *flags &= (uint16_t)~flag;
    if (event < outside->verified && outside_wants(outside, event) &&
        (*flags & FLAGS_SETTLED) == 0) {
        world_fail(outside->world, "p%zu t%zu: e%zu was confirmed and is lost: %s",
                   outside->pipeline, outside->target, event, how);
    }
}

size_t outside_event(struct outside *outside, struct fan_position position)
{
    struct world *world = outside->world;
    size_t event = wal_find(&world->wal, position);
    if (event >= world->wal.events_count ||
        position_compare(world->wal.events[event].position, position) != 0) {
        world_fail(world, "p%zu t%zu: there is no event at %llX:%lld", outside->pipeline,
                   outside->target, (unsigned long long)position.commit_lsn.value,
                   (long long)position.seq);
        return 0;
    }
    return event;
}

bool outside_wants(const struct outside *outside, size_t event)
{
    const struct plan *plan = plan_of(outside);
    const struct wal_event *of = &outside->world->wal.events[event];
    return plan_wants(plan, of) && of->skip_lsn.value >= plan->begin.value;
}

static void log_add(struct outside *outside, uint32_t event)
{
    if (outside->log_count == outside->log_capacity) {
        outside->log_capacity = outside->log_capacity == 0 ? 64 : outside->log_capacity * 2;
        outside->log = realloc(outside->log, outside->log_capacity * sizeof(*outside->log));
        FAN_ASSERT(outside->log != NULL);
    }
    outside->log[outside->log_count++] = (struct entry){.event = event};
}

/* The entry at `durable` gets there for good. */
static void harden_one(struct outside *outside)
{
    uint32_t event = outside->log[outside->durable++].event;
    if ((event & ENTRY_GAP) != 0) {
        return;
    }
    uint16_t *flags = outside_flag(outside, event);
    if ((*flags & FLAG_DURABLE) != 0) {
        sometimes(SOMETIMES_AMBIGUOUS_DEDUPED);
    }
    *flags |= FLAG_DURABLE | FLAG_SEEN;
    if (outside->world->wal.events[event].position.seq == SEQ_MESSAGE) {
        sometimes(SOMETIMES_LOOSE_MESSAGE);
    }
}

static void harden_batches(struct outside *outside, size_t batches)
{
    while (batches > 0 && outside->durable < outside->log_count) {
        bool end = outside->log[outside->durable].batch_end;
        harden_one(outside);
        batches -= end;
    }
}

/* What is not durable is gone. */
static void drop_pending(struct outside *outside)
{
    outside->log_count = outside->durable;
}

static void cut_back(struct outside *outside, size_t length)
{
    if (length > outside->durable) {
        world_fail(outside->world, "p%zu t%zu: checkpoint at entry %zu, but only %zu are durable",
                   outside->pipeline, outside->target, length, outside->durable);
        return;
    }
    if (length < outside->durable) {
        sometimes(SOMETIMES_FILE_CUT_BACK);
    }
    for (size_t index = length; index < outside->durable; index++) {
        uint32_t event = outside->log[index].event;
        if ((event & ENTRY_GAP) == 0) {
            outside_lose(outside, event, FLAG_DURABLE, "cut off");
        }
    }
    outside->durable = length;
    outside->log_count = length;
}

/* ---- verbs of the target ---- */

static enum fan_status create(const void *options, const struct target_context *context,
                              const struct target_type *type, struct target **ret_target)
{
    struct live_target *self = calloc(1, sizeof(*self));
    FAN_ASSERT(self != NULL);
    self->base.type = type;
    self->context = *context;
    self->outside = (struct outside *)(uintptr_t)options; /* the plan keeps it as options */
    self->outside->live = self;
    *ret_target = &self->base;
    return FAN_OK;
}

static enum fan_status start(struct target *target, const struct target_checkpoint *checkpoint,
                             struct fan_error *reterr)
{
    struct live_target *self = live_of(target);
    struct outside *outside = self->outside;
    struct world *world = outside->world;
    if (outside_is_down(outside) || world_mishap(world, 6)) {
        return fan_fail(reterr, FAN_RETRY, "could not start: simulated");
    }
    if (world_mishap(world, 80)) {
        return fan_fail(reterr, FAN_FATAL, "cannot start: simulated");
    }
    drop_pending(outside);
    if (is_exact(self)) {
        cut_back(outside, checkpoint == NULL ? 0 : (size_t)strtoull(checkpoint->detail, NULL, 10));
    }
    self->cursor = 0;
    if (checkpoint != NULL) {
        self->cursor = wal_find(&world->wal, (struct fan_position){checkpoint->position.commit_lsn,
                                                                   checkpoint->position.seq + 1});
    }
    world_note(world, "target: started (place)", outside->pipeline * 16 + outside->target,
               self->cursor, outside->durable);
    self->started = true;
    if (self->lost) {
        sometimes(SOMETIMES_LOST_RECOVERED);
    }
    self->lost = false;
    self->wake = false;
    self->reported = outside->durable;
    self->open = 0;
    self->open_bytes = 0;
    self->due_us = INT64_MAX;
    return FAN_OK;
}

/* The next event of the pipeline at or behind the cursor. */
static size_t next_wanted(const struct outside *outside, size_t cursor)
{
    while (cursor < outside->world->wal.events_count && !outside_wants(outside, cursor)) {
        cursor++;
    }
    return cursor;
}

/* Whether the batch says the event of the log: by its label, or else in its text. */
static bool same_subject(const struct wal_event *event, const struct batch *batch, size_t format,
                         size_t index)
{
    const char *table = event->op == CHANGE_MESSAGE ? "" : frame_table(event->table);
    if (batch->events[index].op != event->op) {
        return false;
    }
    if (batch->labelled) {
        struct batch_label label = batch_label(batch, index);
        return label.table_size == strlen(table) &&
               memcmp(label.table, table, label.table_size) == 0;
    }
    char wanted[64];
    size_t size;
    const uint8_t *bytes = batch_event_bytes(batch, format, index, &size);
    int wanted_size = snprintf(wanted, sizeof(wanted), "\"table\":\"public.%s\"", table);
    return event->op == CHANGE_MESSAGE || memmem(bytes, size, wanted, (size_t)wanted_size) != NULL;
}

static void show_batch(const struct outside *outside, const struct batch *batch)
{
    struct world *world = outside->world;
    for (size_t index = 0; index < batch->events_count; index++) {
        const struct batch_event *event = &batch->events[index];
        world_note(world, event->txn_end ? "  event, ends its transaction" : "  event",
                   event->position.commit_lsn.value, (uint64_t)event->position.seq, event->op);
    }
    world_note(world, "  batch (part, limit, events)", batch->part, batch->limit,
               batch->events_count);
}

/* The note of a row names its event. */
static bool same_content(const struct batch *batch, size_t format, size_t index, size_t event)
{
    char tag[32];
    int length = snprintf(tag, sizeof(tag), "e%zu.", event);
    const struct encoded *encoded = &batch->encoded[format];
    size_t from = index == 0 ? 0 : (size_t)encoded->ends[index - 1] + 1;
    return memmem(encoded->bytes.data + from, encoded->ends[index] - from, tag, (size_t)length) !=
           NULL;
}

bool outside_is_own_format(const struct outside *outside, size_t event, const uint8_t *bytes,
                           size_t size)
{
    static const char text_key[] = "\"key\":{\"id\":\"";
    const struct wal_event *of = &outside->world->wal.events[event];
    bool as_text = plan_of(outside)->targets[outside->target].int8 != 0;
    bool keyed = of->op != CHANGE_TRUNCATE && of->op != CHANGE_MESSAGE;
    return !keyed || (memmem(bytes, size, text_key, sizeof(text_key) - 1) != NULL) == as_text;
}

bool outside_is_same(const struct batch *batch, size_t format, size_t index,
                     const struct outside *outside, size_t event)
{
    const struct wal_event *of = &outside->world->wal.events[event];
    bool tagged = of->op != CHANGE_TRUNCATE && of->op != CHANGE_DELETE && of->op != CHANGE_MESSAGE;
    size_t size;
    const uint8_t *bytes = batch_event_bytes(batch, format, index, &size);
    return same_subject(of, batch, format, index) &&
           outside_is_own_format(outside, event, bytes, size) &&
           (!tagged || same_content(batch, format, index, event));
}

/* A marker stands for everything from the cursor to its position. */
static void take_gap(struct live_target *self, struct fan_position position)
{
    struct outside *outside = self->outside;
    struct world *world = outside->world;
    size_t last = wal_find(&world->wal, position);
    if (last >= world->wal.events_count ||
        position_compare(world->wal.events[last].position, position) != 0 || last < self->cursor) {
        world_fail(world, "p%zu t%zu: a gap marker ends at no event", outside->pipeline,
                   outside->target);
        return;
    }
    sometimes(plan_of(outside)->settings.buffer.policy == BUFFER_DROP_OLDEST
                  ? SOMETIMES_GAP_CLOSED
                  : SOMETIMES_TARGET_GAP_MARKED);
    for (size_t at = next_wanted(outside, self->cursor); at <= last;
         at = next_wanted(outside, at + 1)) {
        if ((*outside_flag(outside, at) & (FLAG_GAP | FLAG_MARKED)) == (FLAG_GAP | FLAG_MARKED)) {
            sometimes(SOMETIMES_GAP_RESENT);
        }
        *outside_flag(outside, at) |= FLAG_MARKED;
    }
    self->cursor = last + 1;
    log_add(outside, (uint32_t)last | ENTRY_GAP);
}

/* Whether the event, which comes before `position`, was dropped from the dead letters. */
static bool is_given_up(struct outside *outside, size_t event, struct fan_position position)
{
    uint16_t flags = *outside_flag(outside, event);
    return position_compare(outside->world->wal.events[event].position, position) < 0 &&
           ((flags & FLAG_DROPPED) != 0 || (outside->unmarked && (flags & FLAG_GAP) != 0));
}

static void take_event(struct live_target *self, const struct batch *batch, size_t index)
{
    struct outside *outside = self->outside;
    struct world *world = outside->world;
    const struct batch_event *given = &batch->events[index];
    if (given->op == CHANGE_GAP) {
        take_gap(self, given->position);
        return;
    }
    size_t expected = next_wanted(outside, self->cursor);
    while (expected < world->wal.events_count && is_given_up(outside, expected, given->position)) {
        expected = next_wanted(outside, expected + 1);
    }
    const struct wal_event *event =
        expected < world->wal.events_count ? &world->wal.events[expected] : NULL;
    if (event == NULL || position_compare(event->position, given->position) != 0) {
        world_fail(world, "p%zu t%zu: expected e%zu, got %llX:%lld", outside->pipeline,
                   outside->target, expected, (unsigned long long)given->position.commit_lsn.value,
                   (long long)given->position.seq);
        return;
    }
    if (!outside_is_same(batch, self->context.format, index, outside, expected)) {
        world_fail(world, "p%zu t%zu: e%zu has another content", outside->pipeline, outside->target,
                   expected);
    }
    self->cursor = expected + 1;
    log_add(outside, (uint32_t)expected);
}

/* ---- rules of a batch ---- */

static void check_bounds(const struct live_target *self, const struct batch *batch)
{
    const struct outside *outside = self->outside;
    const struct settings_pipeline *settings = &plan_of(outside)->settings;
    bool many = batch->events_count > (size_t)settings->batch.max_events;
    size_t largest = 0;
    for (size_t format = 0; format < batch->formats_count; format++) {
        size_t size = batch->encoded[format].bytes.size;
        largest = size > largest ? size : largest;
    }
    bool large = largest > settings->batch.max_bytes && batch->events_count > 1;
    if ((many && !settings->batch.respect_source_tx) || large) {
        world_fail(outside->world, "p%zu: a batch of %zu events, %zu bytes is over its bounds",
                   outside->pipeline, batch->events_count, largest);
    }
    for (size_t index = 1; index < batch->events_count; index++) {
        if (position_compare(batch->events[index - 1].position, batch->events[index].position) >=
            0) {
            world_fail(outside->world, "p%zu: positions of a batch do not increase",
                       outside->pipeline);
        }
    }
}

static void check_parts(const struct live_target *self, const struct batch *batch)
{
    struct outside *outside = self->outside;
    if (!plan_of(outside)->settings.batch.respect_source_tx) {
        return;
    }
    /* Where changes are dropped, the rest of a transaction may never come. */
    bool lossy = plan_of(outside)->settings.buffer.policy == BUFFER_DROP_OLDEST;
    const struct batch_event *first = &batch->events[0];
    const struct batch_event *last = &batch->events[batch->events_count - 1];
    if (batch->part != TXN_WHOLE) {
        sometimes(SOMETIMES_TXN_CUT);
    }
    bool inside = batch->part == TXN_FIRST || batch->part == TXN_MIDDLE;
    if (inside && first->position.commit_lsn.value != last->position.commit_lsn.value) {
        show_batch(outside, batch);
        world_fail(outside->world, "p%zu: a part holds events of two transactions",
                   outside->pipeline);
    }
    if (inside || lossy || last->position.seq == SEQ_MESSAGE) {
        return;
    }
    size_t at = wal_find(&outside->world->wal, last->position);
    size_t next = next_wanted(outside, at + 1);
    if (next < outside->world->wal.events_count &&
        outside->world->wal.events[next].position.commit_lsn.value ==
            last->position.commit_lsn.value) {
        show_batch(outside, batch);
        world_fail(outside->world, "p%zu: a batch ends inside a transaction without a mark",
                   outside->pipeline);
    }
}

static enum fan_status refuse(struct live_target *self, struct fan_error *reterr)
{
    struct world *world = self->outside->world;
    if (self->outside->retries_left == 0 && world_mishap(world, 40)) {
        self->outside->retries_left = 1 + (unsigned)rng_below(&world->rng, 5);
    }
    if (self->outside->retries_left > 0 || outside_is_down(self->outside)) {
        self->outside->retries_left -= self->outside->retries_left > 0;
        return fan_fail(reterr, FAN_RETRY, "could not deliver: simulated");
    }
    if (world_mishap(world, 600)) {
        return fan_fail(reterr, FAN_FATAL, "cannot deliver: simulated");
    }
    bool full = self->base.type->window_bytes != 0 && self->open_bytes > WINDOW_BYTES;
    if (self->lost || full || self->open == OPEN_BATCHES_MAX || world_mishap(world, 30)) {
        self->wake = true;
        return FAN_AGAIN;
    }
    return FAN_OK;
}

static void plan_next(struct live_target *self)
{
    struct world *world = self->outside->world;
    uint64_t most_us = !world->flaky ? 2000 : world_chance(world, 40) ? 5000000 : 50000;
    int64_t due_us = world->now_us + 1 + (int64_t)rng_below(&world->rng, most_us);
    self->due_us = due_us < self->due_us ? due_us : self->due_us;
}

static enum fan_status deliver(struct target *target, struct batch *batch, size_t first,
                               int64_t now_us, struct fan_error *reterr)
{
    struct live_target *self = live_of(target);
    struct outside *outside = self->outside;
    struct world *world = outside->world;
    (void)now_us; /* the world's time rules */
    if (!self->started || plan_of(outside)->frozen) {
        world_fail(world, "p%zu t%zu: delivered to while %s", outside->pipeline, outside->target,
                   self->started ? "the pipeline is paused or stopped" : "not started");
    }
    enum fan_status status = refuse(self, reterr);
    if (status != FAN_OK) {
        plan_next(self);
        return status;
    }
    uint64_t limit = (uint64_t)plan_of(outside)->settings.batch.max_inflight;
    if (self->base.type->window_bytes == 0 && self->open >= limit) {
        world_fail(world, "p%zu t%zu: more than max_inflight batches", outside->pipeline,
                   outside->target);
    }
    if (batch->sequence != 0) { /* else it comes out of a backlog, or has a marker before it */
        check_bounds(self, batch);
        check_parts(self, batch);
    }
    world_note(world, "target: batch (place, first, events)",
               outside->pipeline * 16 + outside->target, self->cursor, batch->events_count - first);
    for (size_t index = first; index < batch->events_count; index++) {
        take_event(self, batch, index);
    }
    if (world->failed) {
        return FAN_AGAIN; /* the log may be empty */
    }
    outside->log[outside->log_count - 1].batch_end = true;
    size_t size;
    (void)batch_bytes(batch, self->context.format, first, &size); /* only the size is wanted */
    self->sizes[(self->open++) % OPEN_BATCHES_MAX] = size;
    self->open_bytes += size;
    plan_next(self);
    return FAN_OK;
}

static int64_t tick(struct target *target, int64_t now_us)
{
    (void)target; /* outside_step() is its timer */
    (void)now_us;
    return INT64_MAX;
}

static void post(struct live_target *self, enum outcome_kind kind)
{
    struct outside *outside = self->outside;
    struct outcome outcome = {.target = self->context.index, .kind = kind};
    if (kind == OUTCOME_SETTLED) {
        uint32_t event = outside->log[outside->durable - 1].event & ~ENTRY_GAP;
        outcome.checkpoint.position = outside->world->wal.events[event].position;
        if (is_exact(self)) { /* a number fits */
            (void)snprintf(outcome.checkpoint.detail, sizeof(outcome.checkpoint.detail), "%zu",
                           outside->durable);
        }
        self->reported = outside->durable;
    } else {
        (void)fan_fail(&outcome.error, kind == OUTCOME_LOST ? FAN_RETRY : FAN_FATAL,
                       "the target failed: simulated"); /* the text is wanted */
    }
    self->context.outcomes->post(self->context.outcomes, &outcome);
}

static void flush(struct target *target, int64_t now_us)
{
    live_of(target)->due_us = now_us;
}

static void checkpointed(struct target *target, const struct target_checkpoint *checkpoint)
{
    struct outside *outside = live_of(target)->outside;
    if (position_compare(checkpoint->position, outside->checkpoint) > 0) {
        world_fail(outside->world, "p%zu t%zu: told of a checkpoint that is not on disk",
                   outside->pipeline, outside->target);
    }
}

static void stop(struct target *target)
{
    struct live_target *self = live_of(target);
    struct outside *outside = self->outside;
    struct world *world = outside->world;
    self->started = false;
    self->due_us = INT64_MAX;
    size_t batches = (size_t)rng_below(&world->rng, self->open + 1);
    if (!self->lost) {
        harden_batches(outside, batches);
    }
    if (outside->durable > self->reported) {
        sometimes(SOMETIMES_DURABLE_UNREPORTED);
        if (!world->crashing && world_chance(world, 2)) {
            post(self, OUTCOME_SETTLED);
        }
    }
    drop_pending(outside);
}

static void destroy(struct target *target)
{
    if (target != NULL) {
        live_of(target)->outside->live = NULL;
        free(target);
    }
}

/* ---- time passes at the far side ---- */

static void settle_some(struct live_target *self)
{
    struct outside *outside = self->outside;
    size_t before = self->open;
    size_t batches = 1 + (size_t)rng_below(&outside->world->rng, self->open + 1);
    harden_batches(outside, batches < before ? batches : before);
    size_t done = batches < before ? batches : before;
    for (size_t index = 0; index < done; index++) {
        self->open_bytes -= self->sizes[index];
    }
    memmove(self->sizes, self->sizes + done, (before - done) * sizeof(self->sizes[0]));
    self->open -= done;
}

int64_t outside_step(struct outside *outside)
{
    struct live_target *self = outside->live;
    struct world *world = outside->world;
    if (outside->asks != NULL) {
        return asks_step(outside);
    }
    if (self == NULL || !self->started) {
        return INT64_MAX;
    }
    if (world->now_us < self->due_us) {
        return self->due_us;
    }
    self->due_us = INT64_MAX;
    if (!self->lost && (world_mishap(world, 150))) {
        bool fatal = world_chance(world, 5);
        harden_batches(outside, (size_t)rng_below(&world->rng, self->open + 1));
        drop_pending(outside);
        self->lost = true;
        world_note(world, fatal ? "target: fatal" : "target: lost",
                   outside->pipeline * 16 + outside->target, outside->durable, 0);
        post(self, fatal ? OUTCOME_FATAL : OUTCOME_LOST);
        return INT64_MAX;
    }
    if (!self->lost && self->open > 0) {
        settle_some(self);
    }
    if (!self->lost && outside->durable > self->reported) {
        if (world_mishap(world, 5)) {
            plan_next(self); /* durable, and not said yet */
        } else {
            post(self, OUTCOME_SETTLED);
        }
    }
    if (self->wake) {
        self->wake = false;
        post(self, OUTCOME_WAKE);
    }
    if (self->open > 0) {
        plan_next(self);
    }
    return self->due_us;
}

int64_t outside_due_us(const struct outside *outside)
{
    const struct live_target *self = outside->live;
    if (outside->asks != NULL) {
        return asks_due_us(outside);
    }
    return self == NULL || !self->started ? INT64_MAX : self->due_us;
}

/* ---- the registry ---- */

static enum fan_status create_exact(const void *options, const struct target_context *context,
                                    struct target **ret_target, struct fan_error *reterr)
{
    (void)reterr; /* it cannot fail */
    return create(options, context, &exact_type, ret_target);
}

static const struct target_type plain_type;

static enum fan_status create_plain(const void *options, const struct target_context *context,
                                    struct target **ret_target, struct fan_error *reterr)
{
    (void)reterr; /* it cannot fail */
    return create(options, context, &plain_type, ret_target);
}

static enum fan_status create_window(const void *options, const struct target_context *context,
                                     struct target **ret_target, struct fan_error *reterr)
{
    (void)reterr; /* it cannot fail */
    return create(options, context, &window_type, ret_target);
}

#define SIM_VERBS                                                                                  \
    .start = start, .deliver = deliver, .tick = tick, .flush = flush,                              \
    .checkpointed = checkpointed, .stop = stop, .destroy = destroy

static const struct target_type exact_type = {
    .name = "exact", .create = create_exact, .window_bytes = WINDOW_BYTES, SIM_VERBS};
static const struct target_type plain_type = {.name = "plain", .create = create_plain, SIM_VERBS};
static const struct target_type window_type = {
    .name = "window", .create = create_window, .window_bytes = WINDOW_BYTES, SIM_VERBS};

const struct target_type *const target_types[] = {&exact_type, &plain_type, &window_type,
                                                  &asks_type, NULL};

const struct target_type *target_type_find(const char *name)
{
    for (size_t index = 0; target_types[index] != NULL; index++) {
        if (strcmp(target_types[index]->name, name) == 0) {
            return target_types[index];
        }
    }
    return NULL;
}
