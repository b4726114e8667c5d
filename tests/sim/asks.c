/*
 * A scripted target that answers: requests in any number and order, each answered once, some time.
 *
 * Some events it will never take (poison, by plan); then it refuses the request, or names them. It
 * may have taken what it refuses for now. What it takes is checked against the truth, event by
 * event: of the right content, and for each key in the order of the WAL when it comes first.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "model/change.h"
#include "targets/target.h"
#include "tests/sim/process.h"

enum { REQUESTS_MAX = 8, DEADLINE_US = 20000000 };

struct request {
    struct batch *batch; /* a reference */
    struct answer *answer;
    uint32_t keys; /* of all its events */
    bool barrier;  /* one of its events has no key */
    int64_t due_us;
};

struct asks {
    struct target base;
    struct target_context context;
    struct outside *outside;
    bool started;
    struct request open[REQUESTS_MAX];
    size_t count;
    int64_t wake_us; /* when it says that there is room; INT64_MAX: it does not */
};

static struct asks *asks_of(struct target *target)
{
    return (struct asks *)target;
}

static const struct plan *plan_of(const struct outside *outside)
{
    return &outside->world->plans[outside->pipeline];
}

static bool is_poison(const struct asks *self, size_t event)
{
    const struct outside *outside = self->outside;
    return plan_poisons(outside->world, outside->pipeline, outside->target, event) &&
           (*outside_flag(self->outside, event) & FLAG_MENDED) == 0;
}

/* Whether it wants its requests in order, see target.h. */
static bool in_order(const void *options)
{
    const struct outside *outside = options;
    return (outside->world->seed + outside->pipeline * 3 + outside->target) % 3 == 0;
}

/* ---- what it takes ---- */

/* Whether the target will not get the event any more, or has it, so that order is no question. */
static bool is_past(struct outside *outside, size_t event)
{
    enum { PAST = FLAG_SEEN | FLAG_GAP | FLAG_MARKED | FLAG_POISON | FLAG_PARKED | FLAG_CONVICTED };
    return !outside_wants(outside, event) || (*outside_flag(outside, event) & PAST) != 0;
}

/* Whether the event waits behind a letter of its key that is or will be there. */
static bool is_behind(struct outside *outside, size_t event)
{
    const struct wal *wal = &outside->world->wal;
    if (!plan_of(outside)->settings.error_handling.park_keys) {
        return false;
    }
    uint32_t parked = 0;
    for (size_t at = 0; at < event; at++) {
        uint32_t keys = frame_keys(wal, at);
        uint16_t flags = *outside_flag(outside, at);
        /* Replayed or not; one that the caps gave up holds its key until the next start. */
        bool dropped = (flags & FLAG_DROPPED) != 0 && (flags & FLAG_LETTER) != 0;
        bool is_letter = dropped || (flags & (FLAG_POISON | FLAG_PARKED)) != 0;
        bool waits = (flags & FLAG_CONVICTED) != 0 || (keys & parked) != 0;
        if (is_letter || ((flags & FLAG_SEEN) == 0 && waits)) {
            parked |= keys;
        }
    }
    return (frame_keys(wal, event) & parked) != 0;
}

/* Whether the buffer has just dropped the event, and the store does not know it yet. */
static bool is_dropped(const struct outside *outside, size_t event)
{
    const struct process *process = outside->world->process;
    struct fan_position position = outside->world->wal.events[event].position;
    for (size_t index = 0; process != NULL && index < process->count; index++) {
        struct ring_gap gaps[RING_GAPS_MAX];
        size_t count = process->plan[index] == outside->pipeline
                           ? ring_gaps(&process->reader.intakes[index].pipeline->ring, gaps)
                           : 0;
        for (size_t at = 0; at < count; at++) {
            if (position_compare(position, gaps[at].range.first) >= 0 &&
                position_compare(position, gaps[at].range.last) <= 0) {
                return true;
            }
        }
    }
    return false;
}

/* Whether the event is or becomes a letter, so that later ones of its keys have to wait. */
static bool holds_key(struct outside *outside, size_t event)
{
    uint16_t flags = *outside_flag(outside, event);
    return (flags & (FLAG_CONVICTED | FLAG_POISON | FLAG_PARKED)) != 0 &&
           (flags & (FLAG_SEEN | FLAG_GAP | FLAG_MARKED)) == 0 && !is_dropped(outside, event);
}

/* An event does not come before a letter of its key. */
static void check_letters(struct outside *outside, size_t event)
{
    const struct wal *wal = &outside->world->wal;
    uint32_t keys = frame_keys(wal, event);
    for (size_t at = 0; at < event && plan_of(outside)->settings.error_handling.park_keys; at++) {
        if ((keys & frame_keys(wal, at)) != 0 && holds_key(outside, at)) {
            world_fail(outside->world, "I11: p%zu t%zu: e%zu comes before the letter e%zu",
                       outside->pipeline, outside->target, event, at);
            return;
        }
    }
}

/* What is a letter gets to the target by a replay only, unless it is sent once more and waits for
 * nobody. */
static bool may_take_letter(struct outside *outside, size_t event)
{
    uint16_t flags = *outside_flag(outside, event);
    bool waits = plan_of(outside)->settings.error_handling.park_keys &&
                 frame_keys(&outside->world->wal, event) != 0;
    return (flags & FLAG_SEEN) != 0 || ((flags & FLAG_MENDED) != 0 && !waits) ||
           replay_has(outside->world->process, outside->pipeline, outside->target, event);
}

static void check_order(struct outside *outside, size_t event)
{
    const struct wal *wal = &outside->world->wal;
    while (outside->ordered < event && is_past(outside, outside->ordered)) {
        outside->ordered++;
    }
    uint32_t keys = frame_keys(wal, event);
    /* A letter is no barrier, and waits for none, as it is out of the order of its batch. */
    bool letter = replay_has(outside->world->process, outside->pipeline, outside->target, event);
    for (size_t at = outside->ordered; at < event; at++) {
        uint32_t before = frame_keys(wal, at);
        bool barrier = !letter && (keys == 0 || before == 0);
        bool related = barrier || (keys & before) != 0;
        if (related && !is_past(outside, at) && !is_behind(outside, at) &&
            !is_dropped(outside, at)) {
            world_fail(outside->world, "I11: p%zu t%zu: e%zu comes before e%zu", outside->pipeline,
                       outside->target, event, at);
            return;
        }
    }
}

static void take(struct asks *self, size_t event)
{
    struct outside *outside = self->outside;
    uint16_t *flags = outside_flag(outside, event);
    if ((*flags & (FLAG_POISON | FLAG_PARKED)) != 0 && !may_take_letter(outside, event)) {
        world_fail(outside->world, "p%zu t%zu: e%zu is a letter, and is delivered",
                   outside->pipeline, outside->target, event);
    }
    if ((*flags & FLAG_SEEN) == 0) {
        check_order(outside, event);
        check_letters(outside, event);
    }
    *flags |= FLAG_DURABLE | FLAG_SEEN;
    if (outside->world->wal.events[event].position.seq == SEQ_MESSAGE) {
        sometimes(SOMETIMES_LOOSE_MESSAGE);
    }
}

/* Reads `"name":"<lsn>:<seq>"` out of a marker's text. */
static bool find_position(const struct batch *batch, size_t format, size_t index, const char *name,
                          struct fan_position *ret_position)
{
    size_t size;
    const uint8_t *bytes = batch_event_bytes(batch, format, index, &size);
    const char *at = memmem(bytes, size, name, strlen(name));
    unsigned high;
    unsigned low;
    long long seq;
    if (at == NULL || sscanf(at + strlen(name), "%X/%X:%lld", &high, &low, &seq) != 3) {
        return false;
    }
    *ret_position = (struct fan_position){{(uint64_t)high << 32 | low}, seq};
    return true;
}

/* Reads `"count":<number>` out of a marker's text. */
static bool find_count(const struct batch *batch, size_t format, size_t index, uint64_t *ret_count)
{
    static const char name[] = "\"count\":";
    size_t size;
    const uint8_t *bytes = batch_event_bytes(batch, format, index, &size);
    const char *at = memmem(bytes, size, name, strlen(name));
    return at != NULL && sscanf(at + strlen(name), "%" SCNu64, ret_count) == 1;
}

/* No marker stands for more events than there are from its first to its last. */
static void check_marker_count(struct outside *outside, size_t first, size_t last, uint64_t count)
{
    uint64_t most = 0;
    for (size_t at = first; at <= last; at++) {
        most += outside_wants(outside, at);
    }
    if (count > most) {
        world_fail(outside->world,
                   "p%zu t%zu: the marker from e%zu to e%zu counts %llu events of %llu",
                   outside->pipeline, outside->target, first, last, (unsigned long long)count,
                   (unsigned long long)most);
    }
}

/* A marker says that the target will not get these events. */
static void take_marker(struct asks *self, const struct batch *batch, size_t index)
{
    struct outside *outside = self->outside;
    struct fan_position first;
    struct fan_position last;
    uint64_t count;
    if (!find_count(batch, self->context.format, index, &count) ||
        !find_position(batch, self->context.format, index, "\"from\":\"", &first) ||
        !find_position(batch, self->context.format, index, "\"to\":\"", &last) ||
        position_compare(last, batch->events[index].position) != 0) {
        world_fail(outside->world, "p%zu t%zu: a marker cannot be read", outside->pipeline,
                   outside->target);
        return;
    }
    size_t end = outside_event(outside, last);
    world_note(outside->world, "asks: marker (place, first, last)",
               outside->pipeline * 16 + outside->target, outside_event(outside, first), end);
    check_marker_count(outside, outside_event(outside, first), end, count);
    for (size_t at = outside_event(outside, first); at <= end; at++) {
        *outside_flag(outside, at) |= FLAG_MARKED;
    }
    if (plan_of(outside)->settings.buffer.policy != BUFFER_DROP_OLDEST) {
        sometimes(SOMETIMES_TARGET_GAP_MARKED);
    }
}

/* Events of the request that `skipped` does not name become durable. */
static void take_all(struct asks *self, const struct batch *batch, const bool *skipped)
{
    for (size_t index = 0; index < batch->events_count; index++) {
        if (skipped != NULL && skipped[index]) {
            continue;
        }
        if (batch->events[index].op == CHANGE_GAP) {
            take_marker(self, batch, index);
        } else {
            take(self, outside_event(self->outside, batch->events[index].position));
        }
    }
}

static size_t count_poison(const struct asks *self, const struct batch *batch)
{
    size_t count = 0;
    for (size_t index = 0; index < batch->events_count; index++) {
        count += batch->events[index].op != CHANGE_GAP &&
                 is_poison(self, outside_event(self->outside, batch->events[index].position));
    }
    return count;
}

/* ---- answers ---- */

static void convict(struct asks *self, size_t event)
{
    if (plan_of(self->outside)->settings.error_handling.dead_letter) { /* else it comes again */
        *outside_flag(self->outside, event) |= FLAG_CONVICTED;
    }
}

/* Refuses the whole: for now, or because of the poison in it. */
static void refuse(struct asks *self, const struct request *request, enum fan_status status)
{
    struct answer *answer = request->answer;
    answer->status = fan_fail(&answer->error, status, "refused: simulated");
    const struct batch *batch = request->batch;
    if (status == FAN_POISON && batch->events_count == 1) {
        convict(self, outside_event(self->outside, batch->events[0].position));
    }
    if (status == FAN_RETRY && world_chance(self->outside->world, 6)) {
        answer->retry_after_us = (int64_t)rng_below(&self->outside->world->rng, 3000000);
    }
}

/* Takes the request but for those that it names: poison, events that are to come again, and
 * whatever must not be there before these. */
static void name_some(struct asks *self, const struct request *request)
{
    struct world *world = self->outside->world;
    const struct batch *batch = request->batch;
    struct answer *answer = request->answer;
    bool *skipped = calloc(batch->events_count, sizeof(*skipped));
    answer->failed = calloc(batch->events_count, sizeof(*answer->failed));
    FAN_ASSERT(skipped != NULL && answer->failed != NULL);
    uint32_t held = 0;
    bool all_held = false;
    for (size_t index = 0; index < batch->events_count; index++) {
        size_t event = outside_event(self->outside, batch->events[index].position);
        bool marker = batch->events[index].op == CHANGE_GAP;
        uint32_t keys = marker ? 0 : frame_keys(&world->wal, event);
        bool behind = all_held || (keys & held) != 0 || (keys == 0 && held != 0);
        bool poison = !marker && !behind && is_poison(self, event);
        if (!behind && !poison && !world_mishap(world, 8)) {
            continue;
        }
        skipped[index] = true;
        held |= keys;
        all_held = all_held || keys == 0;
        answer->failed[answer->failed_count++] =
            (struct verdict){.event = (uint32_t)index, .poison = poison, .text = "simulated"};
        if (poison) {
            convict(self, event);
        }
    }
    answer->status = FAN_OK;
    if (answer->failed_count > 0) {
        (void)fan_fail(&answer->error, FAN_RETRY, "named some: simulated"); /* the text counts */
        sometimes(SOMETIMES_VERDICTS);
    }
    take_all(self, batch, skipped);
    free(skipped);
}

static void decide(struct asks *self, const struct request *request)
{
    struct outside *outside = self->outside;
    struct world *world = outside->world;
    bool poison = count_poison(self, request->batch) > 0;
    if (outside->retries_left == 0 && world_mishap(world, 30)) {
        outside->retries_left = 1 + (unsigned)rng_below(&world->rng, 6);
    }
    if (outside->retries_left > 0 || outside_is_down(outside)) {
        outside->retries_left -= outside->retries_left > 0;
        if (!poison && world_mishap(world, 8)) {
            sometimes(SOMETIMES_AMBIGUOUS_ANSWER);
            take_all(self, request->batch, NULL);
        }
        refuse(self, request, FAN_RETRY);
    } else if (world_mishap(world, 500)) {
        refuse(self, request, FAN_FATAL);
    } else if (poison && world_chance(world, 2)) {
        refuse(self, request, FAN_POISON);
    } else if (poison || world_mishap(world, 20)) {
        name_some(self, request);
    } else {
        request->answer->status = FAN_OK;
        take_all(self, request->batch, NULL);
    }
}

static void answer_one(struct asks *self, size_t index)
{
    const struct request request = self->open[index];
    self->open[index] = self->open[--self->count];
    decide(self, &request);
    batch_unref(request.batch);
    world_note(self->outside->world, "asks: answer (place, status, named)",
               self->outside->pipeline * 16 + self->outside->target, request.answer->status,
               request.answer->failed_count);
    self->context.outcomes->answer(self->context.outcomes, request.answer);
}

int64_t asks_due_us(const struct outside *outside)
{
    const struct asks *self = outside->asks;
    int64_t due_us = self->started ? self->wake_us : INT64_MAX;
    for (size_t index = 0; index < self->count; index++) {
        due_us = self->open[index].due_us < due_us ? self->open[index].due_us : due_us;
    }
    return due_us;
}

int64_t asks_step(struct outside *outside)
{
    struct asks *self = outside->asks;
    struct world *world = outside->world;
    if (self->started && self->wake_us <= world->now_us) {
        self->wake_us = INT64_MAX;
        const struct outcome outcome = {.target = self->context.index, .kind = OUTCOME_WAKE};
        self->context.outcomes->post(self->context.outcomes, &outcome);
    }
    for (size_t index = 0; index < self->count; index++) {
        if (self->open[index].due_us <= world->now_us) {
            answer_one(self, index);
            break;
        }
    }
    return asks_due_us(outside);
}

/* ---- requests ---- */

static bool meet(const struct request *left, const struct request *right)
{
    return left->barrier || right->barrier || (left->keys & right->keys) != 0;
}

static void check_request(struct asks *self, struct request *request)
{
    struct outside *outside = self->outside;
    struct world *world = outside->world;
    const struct batch *batch = request->batch;
    if (batch->events_count == 0) {
        world_fail(world, "p%zu t%zu: an empty request", outside->pipeline, outside->target);
    }
    for (size_t index = 0; index < batch->events_count; index++) {
        size_t event = outside_event(outside, batch->events[index].position);
        bool marker = batch->events[index].op == CHANGE_GAP;
        uint32_t keys = marker ? 0 : frame_keys(&world->wal, event);
        request->keys |= keys;
        request->barrier = request->barrier || keys == 0;
        if (!marker && (!outside_wants(outside, event) ||
                        !outside_is_same(batch, self->context.format, index, outside, event))) {
            world_fail(world, "p%zu t%zu: e%zu is not its own, or of another content",
                       outside->pipeline, outside->target, event);
        }
        if (index > 0 && position_compare(batch->events[index - 1].position,
                                          batch->events[index].position) >= 0) {
            world_fail(world, "p%zu t%zu: positions of a request do not increase",
                       outside->pipeline, outside->target);
        }
    }
    for (size_t index = 0; index < self->count; index++) {
        if (meet(&self->open[index], request)) {
            world_fail(world, "p%zu t%zu: two requests for one key are under way (courier (2))",
                       outside->pipeline, outside->target);
        }
    }
}

/* Everything before the request is there, or a letter or gap row in the store. */
static void check_in_order(const struct asks *self, const struct batch *batch)
{
    enum { SETTLED = FLAG_SEEN | FLAG_GAP | FLAG_MARKED | FLAG_POISON | FLAG_PARKED };
    struct outside *outside = self->outside;
    size_t first = outside_event(outside, batch->events[0].position);
    if (self->count > 0) {
        world_fail(outside->world, "p%zu t%zu: two requests are open, and it wants one",
                   outside->pipeline, outside->target);
    }
    while (outside->asked < first && (!outside_wants(outside, outside->asked) ||
                                      (*outside_flag(outside, outside->asked) & SETTLED) != 0)) {
        outside->asked++;
    }
    if (outside->asked < first && !is_dropped(outside, outside->asked)) {
        world_fail(outside->world, "p%zu t%zu: e%zu is asked for before e%zu is anywhere",
                   outside->pipeline, outside->target, first, outside->asked);
    }
    sometimes(SOMETIMES_ASKED_IN_ORDER);
}

static enum fan_status request(struct target *target, struct batch *batch, struct answer *answer,
                               int64_t now_us, struct fan_error *reterr)
{
    struct asks *self = asks_of(target);
    struct outside *outside = self->outside;
    struct world *world = outside->world;
    (void)now_us; /* the world's time rules */
    if (!self->started || plan_of(outside)->frozen) {
        world_fail(world, "p%zu t%zu: asked while %s", outside->pipeline, outside->target,
                   self->started ? "the pipeline is paused or stopped" : "not started");
    }
    if (self->count == REQUESTS_MAX || world_mishap(world, 30)) {
        self->wake_us = world->now_us + 1 + (int64_t)rng_below(&world->rng, 50000);
        return FAN_AGAIN;
    }
    if (world_mishap(world, 60)) {
        return fan_fail(reterr, FAN_RETRY, "could not ask: simulated");
    }
    struct request *open = &self->open[self->count];
    *open = (struct request){.batch = batch_ref(batch), .answer = answer};
    check_request(self, open);
    if (in_order(outside) && !answer->again) {
        check_in_order(self, batch);
    }
    self->count++;
    if (self->count > self->context.requests_max) {
        world_fail(world, "p%zu t%zu: more than max_inflight requests", outside->pipeline,
                   outside->target);
    }
    uint64_t most_us = !world->flaky ? 2000 : world_chance(world, 40) ? 5000000 : 50000;
    bool silent = world_mishap(world, 150); /* it is given up at the deadline */
    open->due_us =
        world->now_us + 1 + (silent ? DEADLINE_US : (int64_t)rng_below(&world->rng, most_us));
    world_note(world, "asks: request (place, first, events)",
               outside->pipeline * 16 + outside->target,
               outside_event(outside, batch->events[0].position), batch->events_count);
    return FAN_OK;
}

/* ---- life ---- */

static enum fan_status create(const void *options, const struct target_context *context,
                              struct target **ret_target, struct fan_error *reterr)
{
    (void)reterr; /* it cannot fail */
    struct asks *self = calloc(1, sizeof(*self));
    FAN_ASSERT(self != NULL);
    self->base.type = &asks_type;
    self->context = *context;
    self->wake_us = INT64_MAX;
    self->outside = (struct outside *)(uintptr_t)options; /* the plan keeps it as options */
    self->outside->asks = self;
    *ret_target = &self->base;
    return FAN_OK;
}

static enum fan_status start(struct target *target, const struct target_checkpoint *checkpoint,
                             struct fan_error *reterr)
{
    struct asks *self = asks_of(target);
    struct world *world = self->outside->world;
    (void)checkpoint; /* it keeps no place */
    if (outside_is_down(self->outside) || world_mishap(world, 8)) {
        return fan_fail(reterr, FAN_RETRY, "could not start: simulated");
    }
    if (world_mishap(world, 100)) {
        return fan_fail(reterr, FAN_FATAL, "cannot start: simulated");
    }
    world_note(world, "asks: started (place)", self->outside->pipeline * 16 + self->outside->target,
               0, 0);
    self->started = true;
    return FAN_OK;
}

static int64_t tick(struct target *target, int64_t now_us)
{
    (void)target; /* asks_step() is its timer */
    (void)now_us;
    return INT64_MAX;
}

static void checkpointed(struct target *target, const struct target_checkpoint *checkpoint)
{
    struct outside *outside = asks_of(target)->outside;
    if (position_compare(checkpoint->position, outside->checkpoint) > 0) {
        world_fail(outside->world, "p%zu t%zu: told of a checkpoint that is not on disk",
                   outside->pipeline, outside->target);
    }
}

/* What was asked may have been done all the same. */
static void stop(struct target *target)
{
    struct asks *self = asks_of(target);
    self->started = false;
    self->wake_us = INT64_MAX;
    while (self->count > 0) {
        const struct request *open = &self->open[--self->count];
        if (count_poison(self, open->batch) == 0 && world_chance(self->outside->world, 3)) {
            take_all(self, open->batch, NULL);
        }
        batch_unref(open->batch);
    }
}

static void destroy(struct target *target)
{
    if (target != NULL) {
        asks_of(target)->outside->asks = NULL;
        free(target);
    }
}

const struct target_type asks_type = {.name = "asks",
                                      .in_order = in_order,
                                      .create = create,
                                      .start = start,
                                      .request = request,
                                      .tick = tick,
                                      .checkpointed = checkpointed,
                                      .stop = stop,
                                      .destroy = destroy,
                                      .labels = true};
