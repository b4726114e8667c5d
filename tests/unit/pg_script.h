/*
 * pg_script.h - a scripted link, a recording sink, and builders of frames, to test the state
 * machine of a PostgreSQL source in one thread and on a clock that the test moves.
 */
#ifndef TESTS_UNIT_PG_SCRIPT_H
#define TESTS_UNIT_PG_SCRIPT_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sources/postgres/core.h"

enum { SCRIPT_FRAMES_MAX = 512, SCRIPT_STATUSES_MAX = 4096, SCRIPT_CHANGES_MAX = 256 };

enum script_job {
    SCRIPT_NONE,
    SCRIPT_PROBE,
    SCRIPT_PUBLICATION,
    SCRIPT_CREATE,
    SCRIPT_START,
    SCRIPT_DESCRIBE,
    SCRIPT_SAMPLE,
    SCRIPT_JOBS,
};

struct script_status {
    struct link_status sent;
    int64_t at_us;
};

/* What happened, in order: i intent, c created, n no slot, p publication, P slot, S start, 1 session start. */
struct script_log {
    char text[256];
    size_t size;
};

struct script_frame {
    uint8_t *bytes; /* owned until received */
    size_t size;
};

struct script {
    struct link link;
    struct link_facts facts;
    struct link_shortfall shortfall; /* of the samples */
    enum script_job job;
    size_t columns; /* of the relation being described */
    bool hold_describe;
    const char *fail_sqlstate[SCRIPT_JOBS]; /* of the next such job; once */
    struct fan_lsn point;
    struct fan_lsn started_at;
    bool open;
    bool behind;
    bool broken; /* the next receive fails with `end` when no frame is left */
    struct link_failure end;
    struct script_frame frames[SCRIPT_FRAMES_MAX];
    size_t frames_first;
    size_t frames_end;
    struct script_status statuses[SCRIPT_STATUSES_MAX];
    size_t statuses_count;
    unsigned probes;
    unsigned ended;

    struct source_sink sink;
    struct source_memory memory;
    struct fan_position furthest;
    struct fan_lsn ack;
    bool full;
    bool store_busy; /* remember() is under way */
    bool session;
    struct change changes[SCRIPT_CHANGES_MAX]; /* without their messages */
    size_t changes_count;
    struct fan_lsn boundary;
    unsigned commits;
    unsigned relations;
    unsigned published;
    struct script_log log;

    struct postgres_options options;
    struct source_setup setup;
    struct source *source;
    int64_t now_us;
    struct source_wait wait;
};

static inline struct script *script_of_link(struct link *link)
{
    return (struct script *)link;
}

static inline struct script *script_of_sink(struct source_sink *sink)
{
    return (struct script *)((char *)sink - offsetof(struct script, sink));
}

static inline void script_note(struct script *script, char what)
{
    ck_assert(script->log.size + 1 < sizeof(script->log.text));
    script->log.text[script->log.size++] = what;
}

/* --- the link ----------------------------------------------------------------------------------- */

static inline void script_begin(struct link *link, enum script_job job)
{
    struct script *script = script_of_link(link);
    ck_assert_int_eq(script->job, SCRIPT_NONE); /* one job at a time */
    script->job = job;
}

static inline void script_begin_probe(struct link *link, const struct source_memory *memory)
{
    (void)memory;
    script_of_link(link)->probes++;
    script_begin(link, SCRIPT_PROBE);
}

static inline void script_begin_publication(struct link *link)
{
    script_note(script_of_link(link), 'p');
    script_begin(link, SCRIPT_PUBLICATION);
}

static inline void script_begin_create(struct link *link)
{
    script_note(script_of_link(link), 'P');
    script_begin(link, SCRIPT_CREATE);
}

static inline void script_begin_start(struct link *link, struct fan_lsn start)
{
    script_note(script_of_link(link), 'S');
    script_of_link(link)->started_at = start;
    script_begin(link, SCRIPT_START);
}

static inline void script_begin_describe(struct link *link, const struct relation *relation)
{
    script_of_link(link)->columns = relation->columns_count;
    script_begin(link, SCRIPT_DESCRIBE);
}

static inline void script_begin_sample(struct link *link)
{
    script_begin(link, SCRIPT_SAMPLE);
}

static inline struct link_failure script_failure(const char *sqlstate)
{
    struct link_failure failure = {0};
    (void)snprintf(failure.sqlstate, sizeof(failure.sqlstate), "%s", sqlstate);
    (void)fan_fail(&failure.error, FAN_RETRY, "scripted failure %s", sqlstate);
    return failure;
}

static inline bool script_poll_event(struct link *link, struct link_event *ret_event)
{
    struct script *script = script_of_link(link);
    enum script_job job = script->job;
    if (job == SCRIPT_NONE || (job == SCRIPT_DESCRIBE && script->hold_describe)) {
        return false;
    }
    script->job = SCRIPT_NONE;
    *ret_event = (struct link_event){0};
    if (script->fail_sqlstate[job] != NULL) {
        ret_event->kind = LINK_FAILED;
        ret_event->failure = script_failure(script->fail_sqlstate[job]);
        script->fail_sqlstate[job] = NULL;
        return true;
    }
    switch (job) {
    case SCRIPT_PROBE:
        ret_event->kind = LINK_PROBED;
        ret_event->facts = script->facts;
        return true;
    case SCRIPT_PUBLICATION:
        ret_event->kind = LINK_PUBLISHED;
        script->facts.publication_exists = true;
        script->facts.publication_change = false;
        return true;
    case SCRIPT_CREATE:
        ret_event->kind = LINK_CREATED;
        ret_event->consistent_point = script->point;
        script->facts.slot.exists = true;
        script->facts.slot.confirmed = script->point;
        return true;
    case SCRIPT_START:
        ret_event->kind = LINK_STARTED;
        script->open = true;
        return true;
    case SCRIPT_DESCRIBE:
        ret_event->kind = LINK_DESCRIBED;
        ret_event->columns = calloc(script->columns + 1, sizeof(struct link_column));
        return true;
    case SCRIPT_SAMPLE:
        ret_event->kind = LINK_SAMPLED;
        ret_event->sample = (struct link_sample){
            .retained_bytes = 7, .safe_wal_bytes = -1, .shortfall = script->shortfall};
        return true;
    default:
        return false;
    }
}

static inline enum fan_status script_receive(struct link *link, void **ret_buffer, size_t *ret_size,
                                             bool *ret_heard, struct link_failure *ret_failure)
{
    struct script *script = script_of_link(link);
    ck_assert(script->open);
    *ret_heard = false;
    if (script->frames_first < script->frames_end) {
        struct script_frame *frame = &script->frames[script->frames_first++];
        *ret_buffer = frame->bytes;
        *ret_size = frame->size;
        frame->bytes = NULL;
        return FAN_OK;
    }
    if (script->broken) {
        script->broken = false;
        *ret_failure = script->end;
        return FAN_RETRY;
    }
    return FAN_AGAIN;
}

static inline enum fan_status script_send_status(struct link *link,
                                                 const struct link_status *status)
{
    struct script *script = script_of_link(link);
    ck_assert(script->open);
    ck_assert_uint_lt(script->statuses_count, SCRIPT_STATUSES_MAX);
    script->statuses[script->statuses_count++] =
        (struct script_status){.sent = *status, .at_us = script->now_us};
    return FAN_OK;
}

static inline void script_end_copy(struct link *link)
{
    script_of_link(link)->ended++;
}

static inline void script_drop_frames(struct script *script)
{
    for (size_t i = script->frames_first; i < script->frames_end; i++) {
        free(script->frames[i].bytes);
    }
    script->frames_first = 0;
    script->frames_end = 0;
}

static inline void script_close(struct link *link)
{
    struct script *script = script_of_link(link);
    script->open = false;
    script->job = SCRIPT_NONE;
    script_drop_frames(script);
}

static inline void script_set_behind(struct link *link, bool behind)
{
    script_of_link(link)->behind = behind;
}

static inline void script_wait(struct link *link, bool reading, int64_t now_us,
                               struct source_wait *wait)
{
    struct script *script = script_of_link(link);
    bool work = (script->job != SCRIPT_NONE && !script->hold_describe) ||
                (reading && script->frames_first < script->frames_end);
    if (work && wait->deadline_us > now_us) {
        wait->deadline_us = now_us;
    }
}

static inline void script_destroy(struct link *link)
{
    script_close(link); /* the test owns it */
}

static const struct link_type script_link_type = {
    .begin_probe = script_begin_probe,
    .begin_publication = script_begin_publication,
    .begin_create = script_begin_create,
    .begin_start = script_begin_start,
    .begin_describe = script_begin_describe,
    .begin_sample = script_begin_sample,
    .poll_event = script_poll_event,
    .receive = script_receive,
    .send_status = script_send_status,
    .end_copy = script_end_copy,
    .close = script_close,
    .set_behind = script_set_behind,
    .wait = script_wait,
    .destroy = script_destroy,
};

/* --- the sink ----------------------------------------------------------------------------------- */

static inline void script_recall(struct source_sink *sink, struct source_memory *ret_memory)
{
    *ret_memory = script_of_sink(sink)->memory;
}

static inline enum fan_status script_remember(struct source_sink *sink,
                                              const struct source_memory *memory,
                                              struct fan_error *reterr)
{
    (void)reterr;
    struct script *script = script_of_sink(sink);
    if (script->store_busy) {
        return FAN_AGAIN;
    }
    script->memory = *memory;
    script_note(script, memory->slot_stage == SLOT_INTENT    ? 'i'
                        : memory->slot_stage == SLOT_CREATED ? 'c'
                                                             : 'n');
    return FAN_OK;
}

static inline struct fan_position script_furthest(struct source_sink *sink)
{
    return script_of_sink(sink)->furthest;
}

static inline void script_session_started(struct source_sink *sink, struct fan_lsn start,
                                          const struct source_memory *memory)
{
    struct script *script = script_of_sink(sink);
    ck_assert(!script->session);
    ck_assert_uint_eq(memory->confirmed.value, start.value);
    script->session = true;
    script->boundary = start;
    script_note(script, '1');
}

static inline void script_session_ended(struct source_sink *sink)
{
    ck_assert(script_of_sink(sink)->session);
    script_of_sink(sink)->session = false;
    script_note(script_of_sink(sink), '0');
}

static inline void script_relation(struct source_sink *sink, struct relation *relation)
{
    (void)relation;
    script_of_sink(sink)->relations++;
}

static inline bool script_wants_message(struct source_sink *sink, const char *prefix)
{
    (void)sink;
    return strcmp(prefix, "wanted") == 0;
}

static inline enum fan_status script_change(struct source_sink *sink, struct change *change)
{
    struct script *script = script_of_sink(sink);
    if (script->full) {
        return FAN_AGAIN;
    }
    ck_assert_uint_lt(script->changes_count, SCRIPT_CHANGES_MAX);
    script->changes[script->changes_count] = *change;
    script->changes[script->changes_count++].message = NULL;
    change_release(change);
    return FAN_OK;
}

static inline void script_commit(struct source_sink *sink, struct fan_lsn commit,
                                 struct fan_lsn end)
{
    (void)commit;
    script_of_sink(sink)->commits++;
    script_of_sink(sink)->boundary = end;
}

static inline void script_boundary(struct source_sink *sink, struct fan_lsn position)
{
    ck_assert_uint_gt(position.value, script_of_sink(sink)->boundary.value);
    script_of_sink(sink)->boundary = position;
}

static inline void script_publish(struct source_sink *sink)
{
    script_of_sink(sink)->published++;
}

static inline struct fan_lsn script_ack(struct source_sink *sink)
{
    return script_of_sink(sink)->ack;
}

/* --- frames ------------------------------------------------------------------------------------- */

/* Big-endian bytes of a frame under construction. */
struct frame {
    uint8_t bytes[1024];
    size_t size;
};

static inline void frame_number(struct frame *frame, uint64_t value, size_t width)
{
    for (size_t i = width; i > 0; i--) {
        frame->bytes[frame->size++] = (uint8_t)(value >> (8 * (i - 1)));
    }
}

static inline void frame_text(struct frame *frame, const char *text)
{
    memcpy(frame->bytes + frame->size, text, strlen(text) + 1);
    frame->size += strlen(text) + 1;
}

static inline struct frame frame_payload(char tag)
{
    struct frame frame = {.size = 0};
    frame_number(&frame, 'w', 1);
    frame_number(&frame, 0, 8);
    frame_number(&frame, 0, 8);
    frame_number(&frame, 0, 8);
    frame_number(&frame, (uint8_t)tag, 1);
    return frame;
}

static inline struct frame frame_begin(uint64_t commit_lsn)
{
    struct frame frame = frame_payload('B');
    frame_number(&frame, commit_lsn, 8);
    frame_number(&frame, 1000000, 8);
    frame_number(&frame, 77, 4);
    return frame;
}

static inline struct frame frame_origin(uint64_t commit_lsn, const char *name)
{
    struct frame frame = frame_payload('O');
    frame_number(&frame, commit_lsn, 8);
    frame_text(&frame, name);
    return frame;
}

static inline struct frame frame_commit(uint64_t commit_lsn, uint64_t end_lsn)
{
    struct frame frame = frame_payload('C');
    frame_number(&frame, 0, 1);
    frame_number(&frame, commit_lsn, 8);
    frame_number(&frame, end_lsn, 8);
    frame_number(&frame, 1000000, 8);
    return frame;
}

/* A table of two columns, the first of them its key. */
static inline struct frame frame_relation(uint32_t relid, const char *name)
{
    struct frame frame = frame_payload('R');
    frame_number(&frame, relid, 4);
    frame_text(&frame, "public");
    frame_text(&frame, name);
    frame_number(&frame, 'd', 1);
    frame_number(&frame, 2, 2);
    frame_number(&frame, 1, 1);
    frame_text(&frame, "id");
    frame_number(&frame, 23, 4);
    frame_number(&frame, 0xffffffff, 4);
    frame_number(&frame, 0, 1);
    frame_text(&frame, "v");
    frame_number(&frame, 25, 4);
    frame_number(&frame, 0xffffffff, 4);
    return frame;
}

static inline void frame_tuple(struct frame *frame, char kind, const char *id)
{
    frame_number(frame, (uint8_t)kind, 1);
    frame_number(frame, 2, 2);
    frame_number(frame, 't', 1);
    frame_number(frame, strlen(id), 4);
    memcpy(frame->bytes + frame->size, id, strlen(id));
    frame->size += strlen(id);
    frame_number(frame, 'n', 1);
}

static inline struct frame frame_insert(uint32_t relid)
{
    struct frame frame = frame_payload('I');
    frame_number(&frame, relid, 4);
    frame_tuple(&frame, 'N', "42");
    return frame;
}

static inline struct frame frame_update(uint32_t relid)
{
    struct frame frame = frame_payload('U');
    frame_number(&frame, relid, 4);
    frame_tuple(&frame, 'K', "42");
    frame_tuple(&frame, 'N', "43");
    return frame;
}

static inline struct frame frame_delete(uint32_t relid)
{
    struct frame frame = frame_payload('D');
    frame_number(&frame, relid, 4);
    frame_tuple(&frame, 'K', "43");
    return frame;
}

static inline struct frame frame_truncate(uint32_t first, uint32_t second)
{
    struct frame frame = frame_payload('T');
    frame_number(&frame, 2, 4);
    frame_number(&frame, 1, 1);
    frame_number(&frame, first, 4);
    frame_number(&frame, second, 4);
    return frame;
}

static inline struct frame frame_logical(bool transactional, uint64_t lsn, const char *prefix)
{
    struct frame frame = frame_payload('M');
    frame_number(&frame, transactional ? 1 : 0, 1);
    frame_number(&frame, lsn, 8);
    frame_text(&frame, prefix);
    frame_number(&frame, 2, 4);
    frame_number(&frame, 0x6869, 2);
    return frame;
}

static inline struct frame frame_keepalive(uint64_t wal_end, bool reply)
{
    struct frame frame = {.size = 0};
    frame_number(&frame, 'k', 1);
    frame_number(&frame, wal_end, 8);
    frame_number(&frame, 0, 8);
    frame_number(&frame, reply ? 1 : 0, 1);
    return frame;
}

/* --- driving ------------------------------------------------------------------------------------ */

static inline void script_send_part(struct script *script, const struct frame *frame, size_t size)
{
    ck_assert_uint_lt(script->frames_end, SCRIPT_FRAMES_MAX);
    uint8_t *bytes = malloc(size + 1);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, frame->bytes, size);
    script->frames[script->frames_end++] = (struct script_frame){.bytes = bytes, .size = size};
}

static inline void script_send(struct script *script, struct frame frame)
{
    script_send_part(script, &frame, frame.size);
}

static inline void script_step(struct script *script)
{
    pg_source_step(script->source, script->now_us, &script->wait);
}

/* Steps until nothing more happens at this time. */
static inline void script_settle(struct script *script)
{
    for (int steps = 0; steps < 100; steps++) {
        script_step(script);
        if (script->wait.deadline_us > script->now_us) {
            return;
        }
    }
    ck_abort_msg("the source is busy without end");
}

/* Moves the clock by the source's own deadlines, as the engine does. */
static inline void script_run(struct script *script, int64_t us)
{
    int64_t end_us = script->now_us + us;
    for (;;) {
        script_settle(script);
        if (script->wait.deadline_us >= end_us) {
            script->now_us = end_us;
            script_settle(script);
            return;
        }
        script->now_us = script->wait.deadline_us;
    }
}

static inline enum source_state script_state(struct script *script)
{
    struct source_status status;
    pg_source_status(script->source, &status);
    return status.state;
}

static inline const char *script_code(struct script *script)
{
    static struct source_status status;
    pg_source_status(script->source, &status);
    return status.code;
}

static inline struct link_status script_last_status(const struct script *script)
{
    ck_assert_uint_gt(script->statuses_count, 0);
    return script->statuses[script->statuses_count - 1].sent;
}

/* A source on a fresh server and a fresh store; script_open() creates the source. */
static inline struct script *script_new(void)
{
    struct script *script = calloc(1, sizeof(*script));
    ck_assert_ptr_nonnull(script);
    script->link.type = &script_link_type;
    script->sink = (struct source_sink){
        .recall = script_recall,
        .remember = script_remember,
        .furthest = script_furthest,
        .session_started = script_session_started,
        .session_ended = script_session_ended,
        .relation = script_relation,
        .wants_message = script_wants_message,
        .change = script_change,
        .commit = script_commit,
        .boundary = script_boundary,
        .publish = script_publish,
        .ack = script_ack,
    };
    script->furthest = POSITION_NONE;
    script->point = (struct fan_lsn){1000};
    script->now_us = 1000000;
    script->facts = (struct link_facts){
        .server_version = 150018,
        .system_id = "7000",
        .timeline = 1,
        .wal_end = {1000000},
        .database = "shop",
        .publication_change = true,
        .slot = {.logical = true, .plugin = "pgoutput", .database = "shop"},
    };
    script->options = (struct postgres_options){
        .slot = {.create = true},
        .publication = {.create = true},
        .wal_sender_timeout_us = 60000000,
        .connect_timeout_us = 10000000,
        .slot_create_timeout_us = 60000000,
    };
    script->setup = (struct source_setup){
        .name = "shop", .options = &script->options, .sink = &script->sink, .seed = 1};
    return script;
}

static inline void script_open(struct script *script)
{
    struct fan_error error;
    ck_assert_int_eq(pg_source_create(NULL, &script->setup, &script->link, &script->source, &error),
                     FAN_OK);
}

/* The engine is killed and starts again: the store and the server stay. */
static inline void script_restart(struct script *script)
{
    pg_source_destroy(script->source);
    script->session = false;
    script_open(script);
}

static inline void script_free(struct script *script)
{
    pg_source_destroy(script->source);
    free(script);
}

/* A source that streams from 1000. */
static inline struct script *script_streaming(void)
{
    struct script *script = script_new();
    script_open(script);
    script_settle(script);
    ck_assert_int_eq(script_state(script), SOURCE_STREAMING);
    return script;
}

#endif
