#include "engine/reader_sink.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "engine/reader.h"
#include "engine/reader_persist.h"

static struct reader *reader_of(struct source_sink *sink)
{
    return (struct reader *)sink; /* the sink is the reader's first member */
}

static void sink_recall(struct source_sink *sink, struct source_memory *ret_memory)
{
    *ret_memory = reader_of(sink)->memory;
}

/* Whether the store has all of `wanted`; an acknowledgement may have moved on meanwhile. */
static bool memory_is_kept(const struct source_memory *kept, const struct source_memory *wanted)
{
    return strcmp(kept->system_id, wanted->system_id) == 0 && kept->timeline == wanted->timeline &&
           strcmp(kept->database, wanted->database) == 0 && strcmp(kept->slot, wanted->slot) == 0 &&
           strcmp(kept->publication, wanted->publication) == 0 &&
           kept->slot_stage == wanted->slot_stage &&
           kept->consistent_point.value == wanted->consistent_point.value &&
           kept->confirmed.value >= wanted->confirmed.value;
}

static enum fan_status sink_remember(struct source_sink *sink, const struct source_memory *memory,
                                     struct fan_error *reterr)
{
    struct reader *reader = reader_of(sink);
    if (memory_is_kept(&reader->memory, memory)) {
        reader->memory_wanted = false;
        return FAN_OK;
    }
    if (reader->store_broken) {
        return fan_fail(reterr, FAN_FATAL, "the store cannot be written");
    }
    reader->wanted_memory = *memory;
    reader->memory_wanted = true;
    reader->persist_soon = true;
    return FAN_AGAIN;
}

static struct fan_position sink_furthest(struct source_sink *sink)
{
    const struct reader *reader = reader_of(sink);
    struct fan_position furthest = POSITION_NONE;
    for (size_t index = 0; index < reader->gates_count; index++) {
        struct fan_position given = reader->gates[index].given;
        furthest = position_compare(given, furthest) > 0 ? given : furthest;
    }
    for (size_t index = 0; index < reader->intakes_count; index++) {
        struct fan_position admitted = reader->intakes[index].admitted;
        furthest = position_compare(admitted, furthest) > 0 ? admitted : furthest;
    }
    return furthest;
}

static void sink_session_started(struct source_sink *sink, struct fan_lsn start,
                                 const struct source_memory *memory)
{
    struct reader *reader = reader_of(sink);
    if (strcmp(reader->system_id, memory->system_id) != 0) { /* the first session */
        memcpy(reader->system_id, memory->system_id, sizeof(reader->system_id));
        memcpy(reader->database, memory->database, sizeof(reader->database));
    }
    reader->session = true;
    reader->persisted = lsn_max(reader->persisted, start);
    acktrack_session(&reader->track, start);
    reader_begin_pipelines(reader);
    for (size_t index = 0; index < reader->intakes_count; index++) {
        intake_try_open(&reader->intakes[index], true);
    }
}

static void sink_session_ended(struct source_sink *sink)
{
    reader_of(sink)->session = false;
}

/* ---- routes ---- */

/* Fills `route` with the intakes that `wants` says; its array has room for all of them. */
static void route_fill(struct reader *reader, struct route *route, const struct relation *relation,
                       const char *prefix)
{
    route->count = 0;
    for (size_t index = 0; index < reader->intakes_count; index++) {
        const struct intake *intake = &reader->intakes[index];
        bool wanted = relation != NULL
                          ? intake_wants_table(intake, relation->schema, relation->name)
                          : intake_wants_prefix(intake, prefix);
        if (wanted) {
            route->intakes[route->count++] = (uint16_t)index;
        }
    }
}

static void sink_relation(struct source_sink *sink, struct relation *relation)
{
    struct reader *reader = reader_of(sink);
    if (relation->routes != 0) {
        return; /* described again, as in every session: names and patterns are what they were */
    }
    if (reader->routes_count == reader->routes_capacity) {
        size_t capacity = reader->routes_capacity * 2;
        struct route *routes = realloc(reader->routes, capacity * sizeof(*routes));
        FAN_ASSERT(routes != NULL); /* a change without its route would be lost */
        reader->routes = routes;
        reader->routes_capacity = capacity;
    }
    struct route *route = &reader->routes[reader->routes_count];
    route->intakes = calloc(reader->intakes_count + 1, sizeof(*route->intakes));
    FAN_ASSERT(route->intakes != NULL);
    route_fill(reader, route, relation, NULL);
    relation->routes = reader->routes_count++;
}

static bool sink_wants_message(struct source_sink *sink, const char *prefix)
{
    struct reader *reader = reader_of(sink);
    route_fill(reader, &reader->message_route, NULL, prefix);
    return reader->message_route.count > 0;
}

/* A Message payload: tag, flags, LSN, then the prefix with its NUL; checked by the source. */
static const struct route *route_of(struct reader *reader, const struct change *change)
{
    enum { MESSAGE_PREFIX_OFFSET = 1 + 1 + 8 };
    if (change->relation != NULL) {
        return &reader->routes[change->relation->routes];
    }
    const char *prefix = (const char *)message_payload(change->message) + MESSAGE_PREFIX_OFFSET;
    route_fill(reader, &reader->message_route, NULL, prefix);
    return &reader->message_route;
}

/* Whether every intake that would get the change can take it now. */
static bool route_has_room(struct reader *reader, const struct route *route,
                           const struct change *change)
{
    for (size_t at = 0; at < route->count; at++) {
        struct intake *intake = &reader->intakes[route->intakes[at]];
        struct ring *ring = &intake->pipeline->ring;
        if (intake_admits(intake, change) && !ring_may_push(ring, change_size(change))) {
            reader->blocked_by = route->intakes[at];
            return false;
        }
    }
    reader->blocked_by = -1;
    return true;
}

static void intake_overflowed(struct reader *reader, struct intake *intake)
{
    intake_close(intake);
    intake->clean = false;
    /* The pipeline may empty the ring as soon as it is wished to: nothing may appear after that. */
    (void)ring_publish(&intake->pipeline->ring); /* the wish schedules it */
    intake_wish(intake, WISH_IDLE);
    intake_fail(intake, "buffer full", reader->hooks.wall_us(reader->hooks.context));
    reader->persist_soon = true;
}

static enum fan_status sink_change(struct source_sink *sink, struct change *change)
{
    struct reader *reader = reader_of(sink);
    const struct route *route = route_of(reader, change);
    if (route->count == 0) {
        change_release(change);
        return FAN_OK;
    }
    if (reader->stopping || !route_has_room(reader, route, change)) {
        return FAN_AGAIN;
    }
    struct fan_position position = change->position;
    for (size_t at = 0; at < route->count; at++) {
        uint16_t index = route->intakes[at];
        struct intake *intake = &reader->intakes[index];
        struct change copy = *change;
        if (at + 1 < route->count) {
            (void)message_ref(copy.message); /* the last intake gets the reference we have */
        }
        reader->touched[index] = true;
        if (intake_give(intake, copy) != FAN_OK) {
            intake_overflowed(reader, intake);
        }
        if (position.seq == SEQ_MESSAGE && position_compare(intake->admitted, position) == 0) {
            ring_commit(&intake->pipeline->ring); /* no commit will come for it */
        }
    }
    *change = (struct change){0};
    return FAN_OK;
}

static void sink_commit(struct source_sink *sink, struct fan_lsn commit, struct fan_lsn end)
{
    struct reader *reader = reader_of(sink);
    for (size_t index = 0; index < reader->intakes_count; index++) {
        const struct intake *intake = &reader->intakes[index];
        /* Not for one that was passed over, perhaps in the middle of this transaction, and not for
         * one that has a part of a later transaction already, when this one only comes again. */
        if (reader->touched[index] && !intake->passed_over &&
            intake->admitted.commit_lsn.value <= commit.value) {
            ring_commit(&intake->pipeline->ring);
        }
    }
    acktrack_boundary(&reader->track, end);
}

static void sink_boundary(struct source_sink *sink, struct fan_lsn position)
{
    acktrack_boundary(&reader_of(sink)->track, position);
}

static void sink_publish(struct source_sink *sink)
{
    struct reader *reader = reader_of(sink);
    for (size_t index = 0; index < reader->intakes_count; index++) {
        if (!reader->touched[index]) {
            continue;
        }
        struct pipeline *pipeline = reader->intakes[index].pipeline;
        bool open_txn = pipeline->ring.staged != pipeline->ring.staged_whole;
        reader->touched[index] = open_txn; /* its commit is still to be passed on */
        if (ring_publish(&pipeline->ring)) {
            pipeline->hooks.schedule(pipeline->hooks.context, pipeline);
        }
    }
}

static struct fan_lsn sink_ack(struct source_sink *sink)
{
    return reader_of(sink)->persisted;
}

void reader_sink_init(struct source_sink *sink)
{
    *sink = (struct source_sink){
        .recall = sink_recall,
        .remember = sink_remember,
        .furthest = sink_furthest,
        .session_started = sink_session_started,
        .session_ended = sink_session_ended,
        .relation = sink_relation,
        .wants_message = sink_wants_message,
        .change = sink_change,
        .commit = sink_commit,
        .boundary = sink_boundary,
        .publish = sink_publish,
        .ack = sink_ack,
    };
}
