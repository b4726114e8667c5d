/* The open stream: one CopyData frame after the other becomes changes and boundaries. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/wire.h"
#include "sources/postgres/core.h"

enum {
    DUMP_BYTES = MESSAGE_HEADER_SIZE + 64,
    RATE_WINDOW_US = 4000,
    BEHIND_BYTES_PER_US = 3, /* 3 MB/s: some 10,000 single-row transactions a second */
    CAUGHT_UP_BYTES_PER_US = 1,
};

/* Seconds from 1970-01-01 to 2000-01-01, the epoch of PostgreSQL's clock. */
static const int64_t postgres_epoch_us = INT64_C(946684800) * 1000000;

void stream_open(struct pg_source *self, struct fan_lsn start)
{
    self->stream = (struct stream){.boundary = start, .drained = true, .window_us = self->now_us};
    relations_reset(&self->relations);
    self->status.received = start;
}

void stream_close(struct pg_source *self)
{
    struct stream *stream = &self->stream;
    if (stream->dirty) {
        self->sink->publish(self->sink);
    }
    if (stream->has_pending) {
        change_release(&stream->pending); /* the server sends it again */
    }
    relation_destroy(stream->draft);
    *stream = (struct stream){.boundary = stream->boundary};
}

bool stream_reading(const struct pg_source *self)
{
    return !self->stream.has_pending && self->stream.draft == NULL;
}

static enum fan_status protocol_fault(struct fan_error *reterr, const char *reason)
{
    enum fan_status status =
        fan_fail(reterr, FAN_FATAL, "cannot follow the stream of the server: %s", reason);
    fan_error_annotate(reterr, "PROTOCOL", NULL);
    return status;
}

/* Makes the change one of the relation's, which the parser has seen to be described. */
static void change_of(const struct stream *stream, struct change *change, struct relation *relation)
{
    if (relation->counted_txn != stream->txn) {
        relation->counted_txn = stream->txn;
        relation->counted = 0;
    }
    change->relation = relation;
    change->table_seq = relation->counted++;
}

/* Offers the pending change, and behind it the other relations of its truncate. */
static enum fan_status offer_pending(struct pg_source *self)
{
    struct stream *stream = &self->stream;
    while (stream->has_pending) {
        struct change offered = stream->pending;
        bool more = stream->truncate_left > 0;
        if (more) {
            (void)message_ref(offered.message); /* kept for the next relation */
        }
        if (self->sink->change(self->sink, &offered) != FAN_OK) {
            if (more) {
                message_unref(stream->pending.message);
            }
            return FAN_AGAIN;
        }
        stream->dirty = true;
        self->status.changes++;
        stream->has_pending = more;
        if (more) {
            struct wire relids;
            wire_init(&relids, message_payload(stream->pending.message),
                      message_payload_size(stream->pending.message));
            relids.offset = stream->truncate_offset;
            change_of(stream, &stream->pending,
                      relations_find(&self->relations, wire_u32(&relids)));
            stream->pending.position.seq++;
            stream->truncate_offset += 4;
            stream->truncate_left--;
        }
    }
    return FAN_OK;
}

/* Hands a change over, or keeps it. Takes the frame's memory. */
static void emit(struct pg_source *self, const struct change *change, void *buffer, size_t size)
{
    struct stream *stream = &self->stream;
    stream->pending = *change;
    stream->pending.message = message_adopt(buffer, size);
    stream->has_pending = true;
    (void)offer_pending(self); /* FAN_AGAIN shows as has_pending */
}

static struct change change_in_txn(struct pg_source *self, enum change_op op)
{
    struct stream *stream = &self->stream;
    return (struct change){
        .position = {stream->commit_lsn, stream->next_seq++},
        .hold_lsn = stream->commit_lsn,
        .commit_time_us = stream->commit_time_us,
        .origin = stream->origin,
        .origin_lsn = stream->origin_lsn,
        .xid = stream->xid,
        .op = (uint8_t)op,
    };
}

static enum fan_status on_begin(struct pg_source *self, const struct pgoutput_begin *begin,
                                struct fan_error *reterr)
{
    struct stream *stream = &self->stream;
    if (stream->in_txn) {
        return protocol_fault(reterr, "a transaction begins inside another");
    }
    /* The boundary is the end of the previous commit, a keepalive's position, or the start. */
    if (begin->final_lsn.value < stream->boundary.value ||
        begin->final_lsn.value <= stream->last_commit.value) {
        return protocol_fault(reterr, "a transaction commits before the previous one ended");
    }
    stream->in_txn = true;
    stream->commit_lsn = begin->final_lsn;
    /* Times near the ends of the type are kept as they are: they are only shown. */
    stream->commit_time_us = begin->commit_time > INT64_MAX - postgres_epoch_us
                                 ? INT64_MAX
                                 : begin->commit_time + postgres_epoch_us;
    stream->xid = begin->xid;
    stream->origin = NULL;
    stream->origin_lsn = LSN_NONE;
    stream->next_seq = 0;
    stream->messages = 0;
    stream->txn++;
    return FAN_OK;
}

/* It comes behind the begin, before every change, of a transaction that replication brought here. */
static enum fan_status on_origin(struct pg_source *self, const struct pgoutput_origin *origin,
                                 struct fan_error *reterr)
{
    struct stream *stream = &self->stream;
    if (!stream->in_txn) {
        return protocol_fault(reterr, "an origin outside any transaction");
    }
    enum fan_status status = origins_keep(&self->origins, origin->name, &stream->origin, reterr);
    if (status == FAN_OK && stream->origin != NULL) {
        stream->origin_lsn = origin->commit_lsn;
    }
    return status;
}

static enum fan_status on_commit(struct pg_source *self, const struct pgoutput_commit *commit,
                                 struct fan_error *reterr)
{
    struct stream *stream = &self->stream;
    if (!stream->in_txn || commit->commit_lsn.value != stream->commit_lsn.value) {
        return protocol_fault(reterr, "a commit does not belong to the open transaction");
    }
    if (commit->end_lsn.value <= commit->commit_lsn.value) {
        return protocol_fault(reterr, "a transaction ends before it commits");
    }
    stream->in_txn = false;
    stream->last_commit = commit->commit_lsn;
    stream->boundary = commit->end_lsn;
    stream->dirty = true;
    self->status.received = stream->boundary;
    self->status.transactions++;
    self->status.last_commit_us = stream->commit_time_us;
    self->sink->commit(self->sink, commit->commit_lsn, commit->end_lsn);
    return FAN_OK;
}

static enum fan_status on_relation(struct pg_source *self, const struct pgoutput_relation *message,
                                   struct fan_error *reterr)
{
    enum fan_status status = relations_draft(message, &self->stream.draft, reterr);
    self->stream.describe_begun = false;
    return status;
}

void stream_described(struct pg_source *self, struct link_column *columns)
{
    FAN_CLEANUP(fan_free_p) struct link_column *facts = columns;
    struct stream *stream = &self->stream;
    struct relation *current;
    bool changed;
    struct fan_error error;
    if (relations_accept(&self->relations, FAN_STEAL(stream->draft), facts, &current, &changed,
                         &error) != FAN_OK) {
        core_fail_error(self, &error);
        return;
    }
    stream->describe_begun = false;
    if (changed) {
        self->sink->relation(self->sink, current);
    }
    feedback_heard(self); /* we did not read: the silence was ours */
}

static enum fan_status on_row(struct pg_source *self, const struct pgoutput_message *message,
                              void **buffer, size_t size, struct fan_error *reterr)
{
    if (!self->stream.in_txn) {
        return protocol_fault(reterr, "a row change outside any transaction");
    }
    enum change_op op = message->tag == PGOUTPUT_INSERT   ? CHANGE_INSERT
                        : message->tag == PGOUTPUT_UPDATE ? CHANGE_UPDATE
                                                          : CHANGE_DELETE;
    struct change change = change_in_txn(self, op);
    change_of(&self->stream, &change, relations_find(&self->relations, message->row.relid));
    change.old_offset = message->row.old_offset;
    change.new_offset = message->row.new_offset;
    change.old_row = (uint8_t)message->row.old_kind;
    emit(self, &change, FAN_STEAL(*buffer), size);
    return FAN_OK;
}

static enum fan_status on_truncate(struct pg_source *self, const struct pgoutput_truncate *truncate,
                                   void **buffer, size_t size, struct fan_error *reterr)
{
    struct stream *stream = &self->stream;
    if (!stream->in_txn) {
        return protocol_fault(reterr, "a truncate outside any transaction");
    }
    if (truncate->relids_count == 0) {
        return FAN_OK;
    }
    struct wire relids;
    wire_init(&relids, (const uint8_t *)*buffer + MESSAGE_HEADER_SIZE, size - MESSAGE_HEADER_SIZE);
    relids.offset = truncate->relids_offset;
    struct change change = change_in_txn(self, CHANGE_TRUNCATE);
    change_of(stream, &change, relations_find(&self->relations, wire_u32(&relids)));
    change.truncate_flags = truncate->flags;
    stream->truncate_left = truncate->relids_count - 1;
    stream->truncate_offset = truncate->relids_offset + 4;
    stream->next_seq += truncate->relids_count - 1; /* one seq per relation, in wire order */
    emit(self, &change, FAN_STEAL(*buffer), size);
    return FAN_OK;
}

/*
 * A logical message. One that belongs to no transaction comes at its own place in the WAL: behind
 * every commit that came before it. The server skips it when its record STARTS below the confirmed
 * position, and its LSN is the END of the record, so what holds the slot is the boundary as it is.
 */
static enum fan_status on_logical(struct pg_source *self, const struct pgoutput_logical *logical,
                                  void **buffer, size_t size, struct fan_error *reterr)
{
    struct stream *stream = &self->stream;
    if (logical->transactional != stream->in_txn) {
        return protocol_fault(reterr, stream->in_txn
                                          ? "a message without a transaction inside of one"
                                          : "a transactional message outside any transaction");
    }
    struct change change;
    if (logical->transactional) {
        change = change_in_txn(self, CHANGE_MESSAGE);
        change.table_seq = stream->messages++;
    } else {
        if (logical->lsn.value <= stream->last_commit.value ||
            logical->lsn.value <= stream->last_message.value) {
            return protocol_fault(reterr, "a message comes before the previous position");
        }
        stream->last_message = logical->lsn;
        change = (struct change){
            .position = {logical->lsn, SEQ_MESSAGE},
            .hold_lsn = stream->boundary,
            .op = CHANGE_MESSAGE,
        };
    }
    if (self->sink->wants_message(self->sink, logical->prefix)) {
        emit(self, &change, FAN_STEAL(*buffer), size);
    }
    return FAN_OK;
}

static bool columns_of(const void *context, uint32_t relid, size_t *ret_columns)
{
    /* The look-up moves a cache inside; the source owns it. */
    struct relations *relations = *(struct relations *const *)context;
    const struct relation *relation = relations_find(relations, relid);
    if (relation == NULL) {
        return false;
    }
    *ret_columns = relation->columns_count;
    return true;
}

static enum fan_status on_payload(struct pg_source *self, void **buffer, size_t size,
                                  struct fan_error *reterr)
{
    struct relations *relations = &self->relations;
    struct pgoutput_message message;
    enum fan_status status =
        pgoutput_parse((const uint8_t *)*buffer + MESSAGE_HEADER_SIZE, size - MESSAGE_HEADER_SIZE,
                       columns_of, &relations, &message, reterr);
    if (status != FAN_OK) {
        return status;
    }
    switch (message.tag) {
    case PGOUTPUT_INSERT:
    case PGOUTPUT_UPDATE:
    case PGOUTPUT_DELETE:
        return on_row(self, &message, buffer, size, reterr);
    case PGOUTPUT_BEGIN:
        return on_begin(self, &message.begin, reterr);
    case PGOUTPUT_COMMIT:
        return on_commit(self, &message.commit, reterr);
    case PGOUTPUT_RELATION:
        return on_relation(self, &message.relation, reterr);
    case PGOUTPUT_TRUNCATE:
        return on_truncate(self, &message.truncate, buffer, size, reterr);
    case PGOUTPUT_MESSAGE:
        return on_logical(self, &message.logical, buffer, size, reterr);
    case PGOUTPUT_ORIGIN:
        return on_origin(self, &message.origin, reterr);
    case PGOUTPUT_TYPE:
        return FAN_OK;
    }
    return FAN_OK;
}

static enum fan_status on_keepalive(struct pg_source *self, const void *buffer, size_t size,
                                    struct fan_error *reterr)
{
    struct wire wire;
    wire_init(&wire, buffer, size);
    (void)wire_u8(&wire); /* 'k' */
    struct fan_lsn wal_end = {wire_u64(&wire)};
    (void)wire_u64(&wire); /* the server's clock */
    uint8_t reply = wire_u8(&wire);
    if (!wire_ok(&wire) || wire_remaining(&wire) > 0 || reply > 1) {
        return protocol_fault(reterr, "a malformed keepalive");
    }
    struct stream *stream = &self->stream;
    if (!stream->in_txn && wal_end.value > stream->boundary.value) {
        stream->boundary = wal_end;
        stream->dirty = true;
        self->status.received = wal_end;
        self->sink->boundary(self->sink, wal_end);
    }
    stream->wal_end = lsn_max(stream->wal_end, wal_end);
    feedback_keepalive(self, wal_end, reply == 1);
    return FAN_OK;
}

static enum fan_status on_frame(struct pg_source *self, void **buffer, size_t size,
                                struct fan_error *reterr)
{
    const uint8_t *bytes = *buffer;
    if (size > MESSAGE_HEADER_SIZE && bytes[0] == 'w' && size <= UINT32_MAX) {
        return on_payload(self, buffer, size, reterr);
    }
    if (size > 0 && bytes[0] == 'k') {
        return on_keepalive(self, bytes, size, reterr);
    }
    if (size > 0 && bytes[0] == 's') {
        return FAN_OK; /* primary status update of PostgreSQL 19: nothing for us */
    }
    return protocol_fault(reterr, "an unknown or short frame");
}

/* What an operator sends along with a report: the header and the first bytes of the frame. */
static void dump_frame(const struct pg_source *self, const void *buffer, size_t size)
{
    char hex[2 * DUMP_BYTES + 1] = "";
    const uint8_t *bytes = buffer;
    for (size_t i = 0; i < size && i < DUMP_BYTES; i++) {
        (void)snprintf(hex + 2 * i, 3, "%02x", bytes[i]); /* two digits and a NUL fit */
    }
    log_write(LOG_ERROR, "malformed frame from the server", LOG_TEXT("source", self->name),
              LOG_NUMBER("size", size), LOG_LSN("boundary", self->stream.boundary.value),
              LOG_TEXT("hex", hex));
}

/* Reads one frame. FAN_OK: there may be more. Otherwise reading ends for this step. */
static enum fan_status read_frame(struct pg_source *self)
{
    FAN_CLEANUP(fan_free_p) void *buffer = NULL;
    size_t size = 0;
    bool heard = false;
    struct link_failure failure = {0};
    enum fan_status status =
        self->link->type->receive(self->link, &buffer, &size, &heard, &failure);
    if (status == FAN_AGAIN) {
        if (heard) {
            feedback_heard(self);
        }
        return status;
    }
    if (status != FAN_OK) {
        core_fail(self, &failure);
        return status;
    }
    self->stream.burst_bytes += size;
    self->status.bytes += size;
    /* The frame's memory is overlaid once a change adopts it, which only well-formed ones reach. */
    struct fan_error error;
    status = on_frame(self, &buffer, size, &error);
    if (status != FAN_OK) {
        if (buffer != NULL) {
            dump_frame(self, buffer, size);
        }
        core_fail_error(self, &error);
    }
    return status;
}

static void begin_describe(struct pg_source *self)
{
    if (self->stream.draft != NULL && !self->stream.describe_begun && !self->job) {
        self->job = true;
        self->stream.describe_begun = true;
        self->link->type->begin_describe(self->link, self->stream.draft);
    }
}

/*
 * Behind or caught up, by bytes in a window of time: how much one wake-up got says little, because
 * a loop that wakes for every message never finds much.
 */
static void measure_rate(struct pg_source *self)
{
    struct stream *stream = &self->stream;
    stream->window_bytes += stream->burst_bytes;
    int64_t elapsed_us = self->now_us - stream->window_us;
    if (elapsed_us < RATE_WINDOW_US) {
        return;
    }
    uint64_t limit = stream->behind ? CAUGHT_UP_BYTES_PER_US : BEHIND_BYTES_PER_US;
    bool behind = stream->window_bytes >= (uint64_t)elapsed_us * limit;
    stream->window_us = self->now_us;
    stream->window_bytes = 0;
    if (behind != stream->behind) {
        stream->behind = behind;
        self->link->type->set_behind(self->link, behind);
    }
}

void stream_step(struct pg_source *self)
{
    struct stream *stream = &self->stream;
    bool was_blocked = stream->has_pending;
    stream->burst_bytes = 0;
    stream->drained = false;
    if (offer_pending(self) == FAN_OK && was_blocked) {
        feedback_heard(self); /* we did not read: the silence was ours */
    }
    unsigned frames = 0;
    while (self->phase == PHASE_STREAMING && stream_reading(self) && frames < STREAM_STEP_FRAMES &&
           stream->burst_bytes < STREAM_STEP_BYTES) {
        enum fan_status status = read_frame(self);
        if (status != FAN_OK) {
            stream->drained = status == FAN_AGAIN;
            break;
        }
        frames++;
    }
    if (frames > 0) {
        feedback_heard(self);
    }
    if (self->phase == PHASE_STREAMING) {
        begin_describe(self);
    }
    if (stream->dirty) {
        stream->dirty = false;
        self->sink->publish(self->sink);
    }
    measure_rate(self);
}
