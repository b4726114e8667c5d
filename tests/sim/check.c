/* The rules of reliability.md 5.9, checked from outside of the engine wherever that is possible. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/count.h"
#include "tests/sim/process.h"

enum { STATUS_SLACK_US = 600000, STATUSES_A_SECOND = 8 };

void world_fail(struct world *world, const char *format, ...)
{
    if (world->failed) {
        return; /* what follows is a consequence */
    }
    world->failed = true;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(world->fault, sizeof(world->fault), format, arguments); /* may be cut */
    va_end(arguments);
}

/* ---- what goes to the server ---- */

static bool is_keepalive_only(const struct walsender *sender, struct fan_lsn flush)
{
    return flush.value == sender->keepalive.value && flush.value > sender->flushed.value;
}

const char *check_status(void *context, const struct link_status *status)
{
    struct world *world = context;
    const struct walsender *sender = &world->server.sender;
    world_note(world, "status (write, flush)", status->write.value, status->flush.value,
               status->reply);
    uint64_t seen = sender->recent_count;
    if (seen >= STATUSES_A_SECOND &&
        world->now_us - sender->recent[(seen - STATUSES_A_SECOND) % SERVER_STATUSES] < 1000000) {
        return "I18: too many statuses in a second";
    }
    if (status->flush.value == 0) {
        return NULL;
    }
    if (status->flush.value < sender->flushed.value) {
        return "I1: the confirmed position goes back";
    }
    if (status->flush.value > world->vault.source.confirmed) {
        return "I2: confirms more than the store has";
    }
    if (status->flush.value > sender->received.value) {
        return "I2: confirms more than was received";
    }
    if (is_keepalive_only(sender, status->flush)) {
        sometimes(SOMETIMES_KEEPALIVE_ACK);
    }
    return NULL;
}

/* A new session: what the intakes have of the transactions that come again. */
static void see_resends(struct world *world, struct fan_lsn start)
{
    const struct process *process = world->process;
    const struct wal *wal = &world->wal;
    for (size_t index = 0; process != NULL && index < process->count; index++) {
        struct fan_position admitted = process->reader.intakes[index].admitted;
        if (admitted.commit_lsn.value < start.value) {
            continue;
        }
        sometimes(SOMETIMES_RESENT_SKIPPED_WHOLE);
        size_t next = wal_find(wal, (struct fan_position){admitted.commit_lsn, admitted.seq + 1});
        if (next < wal->events_count &&
            wal->events[next].position.commit_lsn.value == admitted.commit_lsn.value) {
            sometimes(SOMETIMES_RESENT_SKIPPED_MIDDLE);
        }
    }
}

const char *check_start(void *context, struct fan_lsn start)
{
    struct world *world = context;
    /* The store may have gone further since the source asked: earlier is safe, later is not. */
    if (!world->vault.has_source || start.value > world->vault.source.confirmed) {
        return "I19: starts at a position that the store does not have";
    }
    if (world->vault.source.slot_state != STORE_SLOT_CREATED) {
        return "I19: starts before the store knows the slot";
    }
    see_resends(world, start);
    return NULL;
}

/* ---- what goes to the disk ---- */

static void check_gap(struct world *world, const struct store_gap *row)
{
    size_t pipeline = (size_t)(row->pipeline[1] - '0');
    size_t target = (size_t)(row->target[1] - '0');
    const struct plan *plan = &world->plans[pipeline];
    struct outside *outside = &world->outside[pipeline][target];
    size_t at = wal_find(&world->wal, (struct fan_position){{row->first_lsn}, row->first_seq});
    size_t end = wal_find(&world->wal, (struct fan_position){{row->last_lsn}, row->last_seq + 1});
    uint64_t count = 0;
    for (; at < end; at++) {
        if (plan_wants(plan, &world->wal.events[at])) {
            *outside_flag(outside, at) |= FLAG_GAP;
            count++;
        }
    }
    if (count != row->count) {
        world_fail(world, "I14: p%zu t%zu: a gap row counts %llu, its range holds %llu", pipeline,
                   target, (unsigned long long)row->count, (unsigned long long)count);
    }
}

/* Events [*from, to) that the pipeline wants are durable or in a durable gap row. */
static void check_settled(struct outside *outside, size_t *from, size_t to, const char *rule)
{
    struct world *world = outside->world;
    const struct plan *plan = &world->plans[outside->pipeline];
    for (; *from < to && !world->failed; (*from)++) {
        const struct wal_event *event = &world->wal.events[*from];
        if (!plan_wants(plan, event) || event->skip_lsn.value < plan->begin.value) {
            continue;
        }
        if ((*outside_flag(outside, *from) & (FLAG_DURABLE | FLAG_GAP)) == 0) {
            world_fail(world, "%s: p%zu t%zu: e%zu (%llX:%lld) is not settled", rule,
                       outside->pipeline, outside->target, *from,
                       (unsigned long long)event->position.commit_lsn.value,
                       (long long)event->position.seq);
        }
    }
}

static void check_checkpoint(struct world *world, const struct store_checkpoint *row)
{
    size_t pipeline = (size_t)(row->pipeline[1] - '0');
    size_t target = (size_t)(row->target[1] - '0');
    struct outside *outside = &world->outside[pipeline][target];
    struct fan_position position = {{row->commit_lsn}, row->seq};
    if (position_compare(position, outside->checkpoint) < 0) {
        world_fail(world, "I10: p%zu t%zu: the checkpoint goes back", pipeline, target);
    }
    outside->checkpoint = position;
    size_t end =
        wal_find(&world->wal, (struct fan_position){position.commit_lsn, position.seq + 1});
    check_settled(outside, &outside->verified_marked, end, "I10: checkpoint");
}

static void check_confirmed(struct world *world, struct fan_lsn confirmed)
{
    for (size_t pipeline = 0; pipeline < PIPELINES_MAX; pipeline++) {
        const struct plan *plan = &world->plans[pipeline];
        for (size_t target = 0; plan->present && target < plan->settings.targets.count; target++) {
            struct outside *outside = &world->outside[pipeline][target];
            size_t end = outside->verified;
            while (end < world->wal.events_count &&
                   world->wal.events[end].skip_lsn.value < confirmed.value) {
                end++;
            }
            check_settled(outside, &outside->verified, end, "I3: ack");
        }
    }
}

/* A pipeline that is older than the slot begins where the slot does. */
static void learn_begin(struct world *world, const struct store_source *source)
{
    for (size_t plan = 0; plan < PIPELINES_MAX; plan++) {
        struct fan_lsn *begin = &world->plans[plan].begin;
        if (begin->value == 0 && source->slot_state == STORE_SLOT_CREATED) {
            begin->value = source->consistent_point;
        }
    }
}

void check_job(struct world *world, const struct persist_job *job)
{
    if (job->has_source) {
        learn_begin(world, &job->source);
    }
    for (size_t index = 0; index < job->gaps_count; index++) {
        check_gap(world, &job->gaps[index]);
    }
    for (size_t index = 0; index < job->checkpoints_count; index++) {
        check_checkpoint(world, &job->checkpoints[index]);
    }
    if (!job->has_source) {
        return;
    }
    if (job->source.confirmed < world->vault.source.confirmed) {
        world_fail(world, "I1: the persisted ack goes back");
    }
    check_confirmed(world, (struct fan_lsn){job->source.confirmed});
}

/* ---- the engine's insides ---- */

static void check_ring(struct world *world, const struct ring *ring, size_t plan)
{
    uint64_t events = ring->staged - ring->head;
    uint64_t bytes = ring->bytes + ring->staged_bytes;
    if (ring->head > ring->tail || ring->tail > ring->staged || ring->whole > ring->tail) {
        world_fail(world, "I4: p%zu: the ring's marks are out of order", plan);
    }
    if (events > ring->limits.events_max || (bytes > ring->limits.bytes_max && events > 1)) {
        world_fail(world, "I4: p%zu: the ring holds %llu events, %llu bytes", plan,
                   (unsigned long long)events, (unsigned long long)bytes);
    }
}

static void check_status_age(struct world *world)
{
    const struct walsender *sender = &world->server.sender;
    if (!sender->open || sender->mute || sender->broken || world->process == NULL) {
        return;
    }
    int64_t third = world->server.timeout_us / 3;
    int64_t limit = (third < 10000000 ? third : 10000000) + STATUS_SLACK_US;
    int64_t since = sender->status_us > world->jumped_us ? sender->status_us : world->jumped_us;
    if (world->now_us - since > limit) {
        world_fail(world, "I17: no status for %lld ms", (long long)(world->now_us - since) / 1000);
    }
}

void check_step(struct world *world)
{
    if (world->server.fault != NULL) {
        world_fail(world, "%s", world->server.fault);
    }
    check_status_age(world);
    const struct process *process = world->process;
    if (process == NULL) {
        return;
    }
    for (size_t index = 0; index < process->count; index++) {
        check_ring(world, &process->pipelines[index].ring, process->plan[index]);
    }
    const struct reader *reader = &process->reader;
    for (size_t gate = 0; gate < reader->gates_count; gate++) {
        if (position_compare(reader->gates[gate].settled, reader->gates[gate].given) > 0) {
            world_fail(world, "acktrack (3): a gate is settled beyond what it was given");
        }
    }
    if (reader->persisted.value > world->vault.source.confirmed) {
        world_fail(world, "I2: the reader believes in an ack that is not on disk");
    }
}

/* ---- the end ---- */

static void check_sum(struct world *world, size_t index)
{
    const struct intake *intake = &world->process->reader.intakes[index];
    struct pipeline *pipeline = &world->process->pipelines[index];
    struct ring_depth depth;
    ring_depth(&pipeline->ring, &depth);
    uint64_t read = count_get(&intake->counters.read) - count_get(&intake->counters.given_up);
    uint64_t gap = count_get(&intake->counters.gap_count) + depth.dropped;
    uint64_t least = UINT64_MAX;
    for (size_t target = 0; target < pipeline->outlets_count; target++) {
        const struct outlet_counters *counters = &pipeline->outlets[target].counters;
        uint64_t has = count_get(&counters->delivered) + count_get(&counters->already);
        least = has < least ? has : least;
    }
    if (read != least + gap) {
        world_fail(world, "I13: p%zu: read %llu, delivered %llu, gap %llu",
                   world->process->plan[index], (unsigned long long)read, (unsigned long long)least,
                   (unsigned long long)gap);
    }
}

static void check_log(struct outside *outside)
{
    struct world *world = outside->world;
    const struct plan *plan = &world->plans[outside->pipeline];
    size_t from = 0;
    check_settled(outside, &from, world->wal.events_count, "NL: the end");
    if (strcmp(plan->targets[outside->target].type, "exact") != 0) {
        return;
    }
    for (size_t at = 1; at < outside->durable; at++) {
        if ((outside->log[at - 1].event & ~ENTRY_GAP) >= (outside->log[at].event & ~ENTRY_GAP)) {
            world_fail(world, "exactly once: p%zu t%zu: entry %zu is no later event",
                       outside->pipeline, outside->target, at);
        }
    }
}

void check_end(struct world *world)
{
    for (size_t pipeline = 0; pipeline < PIPELINES_MAX; pipeline++) {
        const struct plan *plan = &world->plans[pipeline];
        for (size_t target = 0; plan->present && target < plan->settings.targets.count; target++) {
            check_log(&world->outside[pipeline][target]);
        }
    }
    for (size_t index = 0; index < world->process->count; index++) {
        check_sum(world, index);
    }
}
