/* The rules of reliability.md 5.9, checked from outside of the engine wherever that is possible. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/count.h"
#include "tests/sim/process.h"

enum { STATUS_SLACK_US = 600000, STATUSES_A_SECOND = 8, LAGGARD_US_MAX = 15000000 };

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

/* Whether a run of drops in the buffer, which every target of the pipeline lacks. */
static bool is_dropped(const struct store_gap *row)
{
    return strcmp(row->cause, STORE_GAP_DROPPED) == 0;
}

/* Up to where the store has the row already. */
static struct fan_position known_end(const struct world *world, const struct store_gap *row)
{
    const struct vault *vault = &world->vault;
    for (size_t at = 0; at < vault->gaps_count; at++) {
        const struct store_gap *known = &vault->gaps[at];
        if (known->gap_id == row->gap_id && strcmp(known->pipeline, row->pipeline) == 0 &&
            strcmp(known->target, row->target) == 0) {
            return (struct fan_position){{known->last_lsn}, known->last_seq};
        }
    }
    return POSITION_NONE;
}

/* What the buffer drops when it comes again is lost for those targets only that did not have it. */
static void check_dropped(const struct outside *outside, const struct store_gap *row, size_t event)
{
    struct fan_position position = outside->world->wal.events[event].position;
    if (position_compare(position, outside->settled) <= 0 &&
        position_compare(position, known_end(outside->world, row)) > 0) {
        world_fail(outside->world, "p%zu t%zu: a row of drops counts e%zu, which was settled",
                   outside->pipeline, outside->target, event);
    }
}

/* Of a run of an answering target some may be there: they were on their way when it was given up. */
static void check_gap(struct world *world, const struct store_gap *row)
{
    size_t pipeline = (size_t)(row->pipeline[1] - '0');
    size_t target = (size_t)(row->target[1] - '0');
    const struct plan *plan = &world->plans[pipeline];
    struct outside *outside = &world->outside[pipeline][target];
    size_t at = wal_find(&world->wal, (struct fan_position){{row->first_lsn}, row->first_seq});
    size_t end = wal_find(&world->wal, (struct fan_position){{row->last_lsn}, row->last_seq + 1});
    bool asks = strcmp(plan->targets[target].type, "asks") == 0;
    uint64_t most = 0;
    uint64_t least = 0;
    for (; at < end; at++) {
        if (!plan_wants(plan, &world->wal.events[at])) {
            continue;
        }
        uint16_t *flags = outside_flag(outside, at);
        uint16_t without = asks ? FLAGS_DONE : FLAG_GAP;
        if (is_dropped(row)) {
            check_dropped(outside, row, at);
        }
        most++;
        least += is_dropped(row) || (*flags & without) == 0;
        if (is_dropped(row) || (*flags & without) == 0) {
            *flags |= FLAG_GAP;
        }
    }
    bool may = is_dropped(row) ? plan->settings.buffer.policy == BUFFER_DROP_OLDEST
                               : plan_may_lose(world, plan, target);
    if (!may) {
        world_fail(world, "p%zu t%zu: a gap row (%s) that no policy allows", pipeline, target,
                   row->cause);
    }
    if (!is_dropped(row)) {
        sometimes(SOMETIMES_TARGET_GAP);
    }
    if (row->count < least || row->count > most) {
        world_fail(world, "I14: p%zu t%zu: a gap row counts %llu, its range holds %llu to %llu",
                   pipeline, target, (unsigned long long)row->count, (unsigned long long)least,
                   (unsigned long long)most);
    }
}

/* Events [*from, to) that the pipeline wants are in one of the places. */
static void check_settled(struct outside *outside, size_t *from, size_t to, uint16_t places,
                          const char *rule)
{
    struct world *world = outside->world;
    for (; *from < to && !world->failed; (*from)++) {
        if (!outside_wants(outside, *from)) {
            continue;
        }
        if ((*outside_flag(outside, *from) & places) == 0) {
            const struct wal_event *event = &world->wal.events[*from];
            world_fail(world, "%s: p%zu t%zu: e%zu (%llX:%lld) is not settled (%X)", rule,
                       outside->pipeline, outside->target, *from,
                       (unsigned long long)event->position.commit_lsn.value,
                       (long long)event->position.seq, *outside_flag(outside, *from));
        }
    }
}

/* What the store does not call settled comes again from the slot. */
static bool comes_again(const struct outside *outside, size_t event)
{
    struct fan_position position = outside->world->wal.events[event].position;
    return event >= outside->verified && position_compare(position, outside->settled) > 0;
}

void check_removal(struct outside *outside, size_t event, uint16_t flag, const char *what)
{
    outside_lose(outside, event, flag, what);
    if (outside_wants(outside, event) && !comes_again(outside, event) &&
        (*outside_flag(outside, event) & FLAGS_DONE) == 0) {
        world_fail(outside->world, "p%zu t%zu: e%zu is removed (%s), and is not at the target",
                   outside->pipeline, outside->target, event, what);
    }
}

static size_t end_of(const struct world *world, struct fan_position position)
{
    return wal_find(&world->wal, (struct fan_position){position.commit_lsn, position.seq + 1});
}

static void check_checkpoint(struct world *world, const struct store_checkpoint *row)
{
    size_t pipeline = (size_t)(row->pipeline[1] - '0');
    size_t target = (size_t)(row->target[1] - '0');
    struct outside *outside = &world->outside[pipeline][target];
    struct fan_position position = {{row->commit_lsn}, row->seq};
    struct fan_position settled = {{row->settled_lsn}, row->settled_seq};
    if (position_compare(position, outside->checkpoint) < 0) {
        world_fail(world, "I10: p%zu t%zu: the checkpoint goes back", pipeline, target);
    }
    if (position_compare(settled, outside->settled) < 0) {
        world_fail(world, "I10: p%zu t%zu: the settled position goes back", pipeline, target);
    }
    outside->checkpoint = position;
    outside->settled = settled;
    check_settled(outside, &outside->verified_marked, end_of(world, position), FLAGS_DONE,
                  "I10: checkpoint");
    size_t from = outside->verified;
    check_settled(outside, &from, end_of(world, settled), FLAGS_SETTLED, "I10: settled");
}

/* The gap of one target has its row together with a settled position that counts it, or after a crash
 * its events come again, and are in two rows when they are given up once more. */
static void check_covered(struct world *world, const struct store_gap *row)
{
    size_t pipeline = (size_t)(row->pipeline[1] - '0');
    size_t target = (size_t)(row->target[1] - '0');
    struct fan_position last = {{row->last_lsn}, row->last_seq};
    if (!is_dropped(row) && position_compare(last, world->outside[pipeline][target].settled) > 0) {
        world_fail(world, "I14: p%zu t%zu: a gap row of what is not settled", pipeline, target);
    }
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
            check_settled(outside, &outside->verified, end, FLAGS_SETTLED, "I3: ack");
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
    for (size_t index = 0; index < job->gaps_count; index++) {
        check_covered(world, &job->gaps[index]);
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

/* Whether enough others have what the target lacks, so that it may not hold them up. */
static bool others_go_on(const struct pipeline *pipeline, const struct intake *intake,
                         size_t target)
{
    const struct settings_commit *commit = &pipeline->settings->commit_policy;
    size_t ahead = 0;
    size_t counting = 0;
    size_t counting_ahead = 0;
    for (size_t other = 0; other < pipeline->outlets_count; other++) {
        bool has = other != target && position_compare(intake->gates[other].settled,
                                                       intake->gates[target].settled) > 0;
        ahead += has && pipeline->outlets[other].divert == BACKLOG_NONE;
        counting += pipeline->outlets[other].counts;
        counting_ahead += has && pipeline->outlets[other].counts;
    }
    return commit->mode == COMMIT_QUORUM ? ahead >= (size_t)commit->quorum
                                         : counting_ahead == counting;
}

/* Whether something of the world's keeps the engine from writing a backlog or a gap row. */
static bool has_lately_failed(const struct world *world)
{
    int64_t since_us = world->now_us - LAGGARD_US_MAX;
    return world->jumped_us > since_us || world->disk_us > since_us ||
           world->vault.failed_us > since_us || world->vault.full_until_us > since_us;
}

/* A target that the commit policy does not wait for must not hold the acknowledgement for long. */
static void check_laggards(struct process *process, size_t index)
{
    struct world *world = process->world;
    const struct pipeline *pipeline = &process->pipelines[index];
    const struct intake *intake = &process->reader.intakes[index];
    bool flows = pipeline->run == RUN_FLOWING && pipeline->wish == WISH_FLOW && intake->open &&
                 !process->stopping && !has_lately_failed(world);
    for (size_t target = 0; target < pipeline->outlets_count; target++) {
        struct laggard *laggard = &process->laggards[index][target];
        const struct ackgate *gate = &intake->gates[target];
        const struct outlet *outlet = &pipeline->outlets[target];
        bool offered = position_compare(outlet->given, outlet->settled) > 0 ||
                       (pipeline->current != NULL && (pipeline->current_left >> target & 1) != 0);
        bool replays = outlet->replay != NULL; /* it ends with the request's deadline */
        bool holds = flows && !outlet->counts && !replays && ackgate_open(gate) && offered &&
                     others_go_on(pipeline, intake, target);
        if (!holds || position_compare(gate->settled, laggard->settled) != 0) {
            *laggard = (struct laggard){gate->settled, holds ? world->now_us : 0};
        } else if (laggard->since_us == 0) {
            laggard->since_us = world->now_us;
        } else if (world->now_us - laggard->since_us > LAGGARD_US_MAX) {
            world_fail(world, "p%zu t%zu: holds the acknowledgement, and nobody waits for it",
                       process->plan[index], target);
        }
    }
}

void check_step(struct world *world)
{
    if (world->server.fault != NULL) {
        world_fail(world, "%s", world->server.fault);
    }
    check_status_age(world);
    struct process *process = world->process;
    if (process == NULL) {
        return;
    }
    for (size_t index = 0; index < process->count; index++) {
        check_laggards(process, index);
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
        uint64_t has = outlet_counters_settled(counters);
        least = has < least ? has : least;
    }
    if (read != least + gap) {
        world_fail(world, "I13: p%zu: read %llu, delivered %llu, gap %llu",
                   world->process->plan[index], (unsigned long long)read, (unsigned long long)least,
                   (unsigned long long)gap);
    }
}

/* Whether an earlier event with one of its keys is a letter, too, or was one. */
static bool is_behind_letter(struct outside *outside, size_t event)
{
    const struct wal *wal = &outside->world->wal;
    uint32_t keys = frame_keys(wal, event);
    for (size_t at = 0; at < event; at++) {
        if ((frame_keys(wal, at) & keys) != 0 && (*outside_flag(outside, at) & FLAG_LETTER) != 0) {
            return true;
        }
    }
    return false;
}

/* Each is at the target, or is where the conf lets it be. */
static void check_places(struct outside *outside)
{
    struct world *world = outside->world;
    const struct plan *plan = &world->plans[outside->pipeline];
    bool lossy = plan->settings.buffer.policy == BUFFER_DROP_OLDEST ||
                 plan_may_lose(world, plan, outside->target);
    for (size_t event = 0; event < world->wal.events_count && !world->failed; event++) {
        uint16_t flags = *outside_flag(outside, event);
        if (!outside_wants(outside, event) || (flags & FLAG_DURABLE) != 0) {
            continue;
        }
        bool poison = plan_poisons(world, outside->pipeline, outside->target, event);
        bool letter = (poison && (flags & FLAG_POISON) != 0) ||
                      ((flags & FLAG_PARKED) != 0 && is_behind_letter(outside, event));
        letter = letter && !world->replays_all;
        bool given_up = (flags & FLAG_GAP) != 0 && (lossy || (flags & FLAG_DROPPED) != 0);
        if (!letter && !given_up) {
            world_fail(world, "the end: p%zu t%zu: e%zu is not where it may be (%X)",
                       outside->pipeline, outside->target, event, flags);
        }
    }
}

static void check_backlog(struct outside *outside)
{
    const struct world *world = outside->world;
    const struct vault *vault = &world->vault;
    if (outside->disk.first < outside->disk.count) {
        world_fail(outside->world, "the end: p%zu t%zu: a spill is left", outside->pipeline,
                   outside->target);
    }
    for (size_t at = 0; at < vault->letters_count; at++) {
        const struct letter *letter = &vault->letters[at];
        if (letter->pipeline == outside->pipeline && letter->target == outside->target &&
            letter->cause == LETTER_ISOLATED) {
            world_fail(outside->world, "the end: p%zu t%zu: e%zu is still isolated",
                       outside->pipeline, outside->target, letter->index);
        }
    }
}

/* A gap of one target is no loss while as many others as the quorum asks for have the event. */
static void check_quorum(struct world *world, size_t pipeline)
{
    const struct plan *plan = &world->plans[pipeline];
    const struct settings_pipeline *settings = &plan->settings;
    bool drops = world->vault.given_up > 0;
    bool gives_up = settings->buffer.policy == BUFFER_DROP_OLDEST || world->guard_detaches ||
                    drops ||
                    (settings->error_handling.on_persistent_failure == ERRORS_ISOLATE &&
                     !settings->error_handling.dead_letter);
    if (settings->commit_policy.mode != COMMIT_QUORUM || gives_up) {
        return;
    }
    for (size_t event = 0; event < world->wal.events_count && !world->failed; event++) {
        size_t wanted = 0;
        size_t had = 0;
        for (size_t target = 0; target < settings->targets.count; target++) {
            struct outside *outside = &world->outside[pipeline][target];
            bool wants = outside_wants(outside, event);
            uint16_t flags = *outside_flag(outside, event);
            wanted += wants;
            had += wants && (flags & (FLAG_DURABLE | FLAG_POISON | FLAG_PARKED)) != 0;
        }
        if (wanted == settings->targets.count && had < (size_t)settings->commit_policy.quorum) {
            world_fail(world, "the end: p%zu: only %zu targets have e%zu, the quorum is %lld",
                       pipeline, had, event, (long long)settings->commit_policy.quorum);
        }
    }
}

static void check_log(struct outside *outside)
{
    struct world *world = outside->world;
    const struct plan *plan = &world->plans[outside->pipeline];
    check_places(outside);
    check_backlog(outside);
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

/* No key waits behind letters that are gone. */
static void check_parked(struct world *world, size_t index, size_t target)
{
    size_t plan = world->process->plan[index];
    uint32_t keys = 0;
    for (size_t at = 0; at < world->vault.letters_count; at++) {
        const struct letter *letter = &world->vault.letters[at];
        bool own = letter->pipeline == plan && letter->target == target;
        keys |= own ? frame_keys(&world->wal, letter->index) : 0;
    }
    size_t parked = world->process->pipelines[index].outlets[target].parked.keys_count;
    if (parked > (size_t)__builtin_popcount(keys)) {
        world_fail(world, "the end: p%zu t%zu: %zu keys wait behind letters of %d", plan, target,
                   parked, __builtin_popcount(keys));
    }
}

void check_end(struct world *world)
{
    for (size_t pipeline = 0; pipeline < PIPELINES_MAX; pipeline++) {
        const struct plan *plan = &world->plans[pipeline];
        for (size_t target = 0; plan->present && target < plan->settings.targets.count; target++) {
            check_log(&world->outside[pipeline][target]);
        }
        if (plan->present) {
            check_quorum(world, pipeline);
        }
    }
    for (size_t index = 0; index < world->process->count; index++) {
        check_sum(world, index);
        for (size_t target = 0; target < world->process->pipelines[index].outlets_count; target++) {
            check_parked(world, index, target);
        }
    }
}
