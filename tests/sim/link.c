/* The way of an engine to the model of the server: jobs with delays, frames with losses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tests/sim/slot.h"

enum job { JOB_NONE, JOB_PROBE, JOB_PUBLICATION, JOB_CREATE, JOB_START, JOB_DESCRIBE, JOB_SAMPLE };

struct sim_link {
    struct link base;
    struct server *server; /* borrowed */
    const bool *flaky;
    enum job job;
    int64_t due_us;
    struct fan_lsn start;
    const struct relation *relation;
    bool polite; /* end_copy() was called */
};

static struct sim_link *link_of(struct link *link)
{
    return (struct sim_link *)link;
}

static bool one_in(const struct sim_link *self, uint64_t chances)
{
    return *self->flaky && rng_below(self->server->rng, chances) == 0;
}

static void begin(struct sim_link *self, enum job job)
{
    if (self->job != JOB_NONE && self->server->fault == NULL) {
        self->server->fault = "a job of the link begins while another is under way";
    }
    self->job = job;
    uint64_t most_us = *self->flaky ? 200000 : 2000;
    self->due_us = self->server->now_us + (int64_t)rng_below(self->server->rng, most_us);
}

static void begin_probe(struct link *link, const struct source_memory *memory)
{
    (void)memory; /* there is one timeline */
    begin(link_of(link), JOB_PROBE);
}

static void begin_publication(struct link *link)
{
    begin(link_of(link), JOB_PUBLICATION);
}

static void begin_create(struct link *link)
{
    begin(link_of(link), JOB_CREATE);
}

static void begin_start(struct link *link, struct fan_lsn start)
{
    struct sim_link *self = link_of(link);
    struct server *server = self->server;
    const char *fault = server->stranger_until_us != 0
                            ? "I19: starts on a slot that somebody else made"
                            : server->check_start(server->check_context, start);
    server->fault = server->fault == NULL ? fault : server->fault;
    self->start = start;
    begin(self, JOB_START);
}

static void begin_describe(struct link *link, const struct relation *relation)
{
    struct sim_link *self = link_of(link);
    self->relation = relation;
    begin(self, JOB_DESCRIBE);
}

static void begin_sample(struct link *link)
{
    begin(link_of(link), JOB_SAMPLE);
}

/* ---- outcomes of jobs ---- */

static void fail(struct link_event *event, const char *sqlstate, const char *text)
{
    *event = (struct link_event){.kind = LINK_FAILED};
    (void)snprintf(event->failure.sqlstate, sizeof(event->failure.sqlstate), "%s", sqlstate);
    (void)fan_fail(&event->failure.error, FAN_RETRY, "%s", text); /* the status is known */
}

static void probed(struct sim_link *self, struct link_event *event)
{
    struct server *server = self->server;
    *event = (struct link_event){.kind = LINK_PROBED};
    struct link_facts *facts = &event->facts;
    facts->server_version = server->version_14 ? 140012 : 150018;
    facts->timeline = 1;
    facts->wal_end = server->wal->end;
    facts->publication_exists = server->publication;
    facts->publication_change = !server->publication;
    /* Short constants: they fit. */
    (void)snprintf(facts->system_id, sizeof(facts->system_id), "7000000000000000001");
    (void)snprintf(facts->database, sizeof(facts->database), "sim");
    struct link_slot *slot = &facts->slot;
    slot->exists = server->slot_exists;
    if (!slot->exists) {
        return;
    }
    slot->logical = true;
    slot->active = server->sender.open || server->now_us < server->active_until_us;
    slot->active_pid = slot->active ? 4711 : 0;
    slot->confirmed = server->confirmed;
    slot->restart = server->confirmed;
    (void)snprintf(slot->plugin, sizeof(slot->plugin), "pgoutput");
    (void)snprintf(slot->database, sizeof(slot->database), "sim");
    (void)snprintf(slot->wal_status, sizeof(slot->wal_status), "reserved");
    if (slot->active) {
        sometimes(SOMETIMES_SLOT_ACTIVE);
    }
}

/* Somebody else makes the slot between the look and CREATE. */
static void stranger_comes(struct server *server)
{
    server->slot_exists = true;
    server->confirmed = server->wal->end;
    server->confirmed_disk = server->confirmed;
    server->restart_item = server->wal->items_count;
    server->stranger_until_us = server->now_us + 1 + (int64_t)rng_below(server->rng, 20000000);
    server->stranger_came = true;
    sometimes(SOMETIMES_SLOT_OF_A_STRANGER);
    notes_add(server->notes, server->now_us, "server: a stranger made the slot", 0, 0, 0);
}

static void created(struct sim_link *self, struct link_event *event)
{
    struct server *server = self->server;
    if (!server->slot_exists && one_in(self, 4)) {
        stranger_comes(server);
    }
    if (server->slot_exists) {
        fail(event, "42710", "the slot exists already");
        return;
    }
    wal_settle(server->wal, server->rng, server->now_us); /* it waits for open transactions */
    server->slot_exists = true;
    server->confirmed = server->wal->end;
    server->confirmed_disk = server->confirmed;
    server->restart_item = server->wal->items_count;
    notes_add(server->notes, server->now_us, "server: slot created", server->confirmed.value, 0, 0);
    if (one_in(self, 6)) {
        fail(event, "", "the connection was lost while the slot was made");
        return;
    }
    *event = (struct link_event){.kind = LINK_CREATED, .consistent_point = server->confirmed};
}

static void started(struct sim_link *self, struct link_event *event)
{
    struct server *server = self->server;
    if (server->sender.open || server->now_us < server->active_until_us) {
        sometimes(SOMETIMES_SLOT_ACTIVE);
        fail(event, "55006", "the slot is active");
        return;
    }
    notes_add(server->notes, server->now_us, "server: START (at, confirmed)", self->start.value,
              server->confirmed.value, 0);
    server_open_session(server, self->start);
    *event = (struct link_event){.kind = LINK_STARTED};
}

static void sampled(struct sim_link *self, struct link_event *event)
{
    *event =
        (struct link_event){.kind = LINK_SAMPLED,
                            .sample = {.server_lsn = self->server->wal->end,
                                       .retained_bytes = (int64_t)(self->server->wal->end.value -
                                                                   self->server->confirmed.value),
                                       .safe_wal_bytes = -1}};
    (void)snprintf(event->sample.wal_status, sizeof(event->sample.wal_status), "reserved");
}

static void finish(struct sim_link *self, enum job job, struct link_event *event)
{
    if (self->server->state != SERVER_UP) {
        fail(event, self->server->state == SERVER_STOPPING ? "57P03" : "", "the server is not up");
        return;
    }
    if (one_in(self, 50)) {
        fail(event, "", "the connection was lost");
        return;
    }
    switch (job) {
    case JOB_PROBE:
        probed(self, event);
        return;
    case JOB_PUBLICATION:
        self->server->publication = true;
        *event = (struct link_event){.kind = LINK_PUBLISHED};
        return;
    case JOB_CREATE:
        created(self, event);
        return;
    case JOB_START:
        started(self, event);
        return;
    case JOB_DESCRIBE:
        *event =
            (struct link_event){.kind = LINK_DESCRIBED, .columns = frame_describe(self->relation)};
        return;
    case JOB_SAMPLE:
        sampled(self, event);
        return;
    case JOB_NONE:
        return;
    }
}

static bool poll_event(struct link *link, struct link_event *ret_event)
{
    struct sim_link *self = link_of(link);
    if (self->job == JOB_NONE || self->server->now_us < self->due_us) {
        return false;
    }
    enum job job = self->job;
    self->job = JOB_NONE;
    finish(self, job, ret_event);
    return true;
}

/* ---- the stream ---- */

static enum fan_status stream_over(const struct walsender *sender, struct link_failure *ret_failure)
{
    *ret_failure = (struct link_failure){.sqlstate = ""};
    return fan_fail(&ret_failure->error, FAN_RETRY, "%s",
                    sender->ended ? "the server ended the stream" : "the connection was lost");
}

static void learn(struct walsender *sender, const struct frame *frame)
{
    const uint8_t *bytes = frame->data;
    if (bytes[0] == 'w' && bytes[MESSAGE_HEADER_SIZE] == 'B') {
        sender->client_in_txn = true;
    } else if (bytes[0] == 'w' && bytes[MESSAGE_HEADER_SIZE] == 'C') {
        sender->client_in_txn = false;
    }
    if (bytes[0] == 'k' && !sender->client_in_txn &&
        frame->boundary.value > sender->received.value) {
        sender->keepalive = frame->boundary;
    }
    sender->received = lsn_max(sender->received, frame->boundary);
}

static enum fan_status receive(struct link *link, void **ret_buffer, size_t *ret_size,
                               bool *ret_heard, struct link_failure *ret_failure)
{
    struct sim_link *self = link_of(link);
    struct walsender *sender = &self->server->sender;
    *ret_heard = false;
    if (sender->queue_count == 0 || (sender->mute && sender->open)) {
        return sender->broken ? stream_over(sender, ret_failure) : FAN_AGAIN;
    }
    if (one_in(self, 10)) {
        *ret_heard = true; /* a part of the next frame */
        return FAN_AGAIN;
    }
    struct frame frame = sender->queue[sender->queue_head++ % SERVER_QUEUE];
    sender->queue_count--;
    learn(sender, &frame);
    *ret_buffer = frame.data;
    *ret_size = frame.size;
    return FAN_OK;
}

static void confirm(struct server *server, struct fan_lsn flush)
{
    if (flush.value < server->confirmed.value && !server->old_minor) {
        return;
    }
    server->confirmed = flush;
    size_t item = server->restart_item;
    while (item < server->wal->items_count && server->wal->items[item].end.value <= flush.value) {
        item++;
    }
    if (rng_below(server->rng, 3) == 0) { /* the restart point moved: written at once */
        server->restart_item = item;
        server->confirmed_disk = server->confirmed;
    }
}

static enum fan_status send_status(struct link *link, const struct link_status *status)
{
    struct sim_link *self = link_of(link);
    struct server *server = self->server;
    struct walsender *sender = &server->sender;
    if (!sender->open) {
        return FAN_RETRY;
    }
    if (one_in(self, 60)) {
        return FAN_AGAIN;
    }
    const char *fault = server->check_status(server->check_context, status);
    server->fault = server->fault == NULL ? fault : server->fault;
    if (sender->mute) {
        return FAN_OK;
    }
    sender->status_us = server->now_us;
    sender->recent[sender->recent_count++ % SERVER_STATUSES] = server->now_us;
    if (status->flush.value != 0) {
        confirm(server, status->flush);
        sender->flushed = lsn_max(sender->flushed, status->flush);
    } else if (status->write.value >= sender->received.value) {
        sender->let_go = true;
    }
    if (status->reply && sender->queue_count + 1 < SERVER_QUEUE) {
        struct frame answer = frame_keepalive(sender->sent, server->now_us, false);
        answer.boundary = sender->in_txn ? LSN_NONE : sender->sent;
        sender->queue[(sender->queue_head + sender->queue_count++) % SERVER_QUEUE] = answer;
    }
    return FAN_OK;
}

static void end_copy(struct link *link)
{
    struct sim_link *self = link_of(link);
    self->polite = true;
    self->server->sender.broken = true;
    self->server->sender.ended = true;
    self->server->sender.open = false;
}

static void close_link(struct link *link)
{
    struct sim_link *self = link_of(link);
    self->job = JOB_NONE;
    self->relation = NULL;
    server_client_gone(self->server, self->polite || !*self->flaky);
    self->polite = false;
}

static void set_behind(struct link *link, bool behind)
{
    (void)link; /* it never lets bytes gather */
    (void)behind;
}

static void wait_for(struct link *link, bool reading, int64_t now_us, struct source_wait *wait)
{
    struct sim_link *self = link_of(link);
    const struct walsender *sender = &self->server->sender;
    int64_t due_us = INT64_MAX;
    if (self->job != JOB_NONE) {
        due_us = self->due_us > now_us ? self->due_us : now_us;
    }
    bool readable = (sender->queue_count > 0 && !(sender->mute && sender->open)) || sender->broken;
    if (reading && readable) {
        due_us = now_us + 10;
    }
    wait->deadline_us = due_us < wait->deadline_us ? due_us : wait->deadline_us;
}

static void destroy(struct link *link)
{
    free(link);
}

struct link *sim_link_create(struct server *server, const bool *flaky)
{
    static const struct link_type type = {
        .begin_probe = begin_probe,
        .begin_publication = begin_publication,
        .begin_create = begin_create,
        .begin_start = begin_start,
        .begin_describe = begin_describe,
        .begin_sample = begin_sample,
        .poll_event = poll_event,
        .receive = receive,
        .send_status = send_status,
        .end_copy = end_copy,
        .close = close_link,
        .set_behind = set_behind,
        .wait = wait_for,
        .destroy = destroy,
    };
    struct sim_link *self = calloc(1, sizeof(*self));
    FAN_ASSERT(self != NULL);
    self->base.type = &type;
    self->server = server;
    self->flaky = flaky;
    return &self->base;
}
