/* The life of a source: from the first probe to the stream, and back after a failure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sources/postgres/core.h"
#include "sources/postgres/decide.h"
#include "sources/postgres/errors.h"

enum {
    BACKOFF_US = 1000000,
    BACKOFF_US_MAX = 60000000,
    ACTIVE_BACKOFF_US = 250000, /* as a rule it is our own walsender of before, about to end */
    ACTIVE_BACKOFF_US_MAX = 10000000,
    SLOW_US = 60000000,
    POISON_US = 30000000,
    POISON_COUNT = 3,
    HEALTHY_US = 5000000, /* a session this long forgets the failures before it */
    CLOSING_US = 1000000,
    STORE_POLL_US = 20000, /* the engine wakes us; this is in case it does not */
    BLOCKED_POLL_US = 20000,
    IDLE_US = 10000000,
};

static struct pg_source *pg_source_of(struct source *source)
{
    return (struct pg_source *)source;
}

enum fan_status pg_source_create(const struct source_type *type, const struct source_setup *setup,
                                 struct link *link, struct source **ret_source,
                                 struct fan_error *reterr)
{
    struct pg_source *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        link->type->destroy(link);
        return fan_fail(reterr, FAN_RETRY, "could not create source \"%s\": out of memory",
                        setup->name);
    }
    self->base.type = type;
    self->sink = setup->sink;
    self->options = setup->options;
    self->link = link;
    self->adopt_slot = setup->adopt_slot;
    self->rng = rng_seeded(setup->seed);
    self->backoff = (struct backoff){.base_us = BACKOFF_US, .max_us = BACKOFF_US_MAX};
    self->active_backoff =
        (struct backoff){.base_us = ACTIVE_BACKOFF_US, .max_us = ACTIVE_BACKOFF_US_MAX};
    (void)snprintf(self->name, sizeof(self->name), "%s", setup->name); /* for messages only */
    (void)postgres_slot_name(self->options, setup->name, self->slot, sizeof(self->slot));
    (void)postgres_publication_name(self->options, setup->name, self->publication,
                                    sizeof(self->publication));
    relations_init(&self->relations);
    self->attempt_us = INT64_MIN; /* the first step tries at once */
    self->status.retained_bytes = -1;
    self->status.safe_wal_bytes = -1;
    self->status.insecure_tls = self->options->insecure_tls;
    self->shared = self->status;
    (void)pthread_mutex_init(&self->lock, NULL); /* cannot fail for a default mutex */
    *ret_source = &self->base;
    return FAN_OK;
}

void pg_source_destroy(struct source *source)
{
    struct pg_source *self = pg_source_of(source);
    if (self == NULL) {
        return;
    }
    if (self->stream.has_pending) {
        change_release(&self->stream.pending);
    }
    self->link->type->close(self->link); /* before the draft goes, which a job may read */
    self->link->type->destroy(self->link);
    relation_destroy(self->stream.draft);
    relations_release(&self->relations);
    origins_release(&self->origins);
    (void)pthread_mutex_destroy(&self->lock); /* nobody holds it any more */
    free(self);
}

/* Drops the connection and everything that belonged to the session. */
static void end_session(struct pg_source *self)
{
    self->link->type->close(self->link);
    stream_close(self);
    self->job = false;
    self->sampling = false;
    if (self->session_open) {
        self->session_open = false;
        self->sink->session_ended(self->sink);
    }
}

static void set_reason(struct pg_source *self, const struct fan_error *error)
{
    struct source_status *status = &self->status;
    (void)snprintf(status->reason, sizeof(status->reason), "%s", error->text); /* same sizes */
    (void)snprintf(status->hint, sizeof(status->hint), "%s", error->hint);
    (void)snprintf(status->code, sizeof(status->code), "%s", error->code);
    status->incomplete = false;
}

static void clear_reason(struct pg_source *self)
{
    self->status.reason[0] = '\0';
    self->status.hint[0] = '\0';
    self->status.code[0] = '\0';
    self->status.incomplete = false;
}

/* Shows what the stream goes on without. */
static void show_shortfall(struct pg_source *self, const struct link_shortfall *shortfall)
{
    if (self->poisoned) {
        return;
    }
    clear_reason(self);
    if (shortfall->error.code[0] != '\0') {
        set_reason(self, &shortfall->error);
        self->status.incomplete = shortfall->losing;
    }
}

static void wait_for_attempt(struct pg_source *self, int64_t wait_us, const char *message)
{
    self->phase = PHASE_WAITING;
    self->attempt_us = self->now_us + wait_us;
    log_write(LOG_WARN, message, LOG_TEXT("source", self->name),
              LOG_TEXT("reason", self->status.reason),
              LOG_TEXT("code", self->status.code[0] == '\0' ? NULL : self->status.code),
              LOG_NUMBER("wait_ms", wait_us / 1000));
}

/* Counts a decoding error. Returns whether it is the same for the third time or more. */
static bool poison_seen(struct pg_source *self, const struct link_failure *failure)
{
    struct fan_lsn lsn = failure->lsn.value != 0 ? failure->lsn : self->stream.boundary;
    if (lsn.value != self->poison_lsn.value ||
        strcmp(failure->sqlstate, self->poison_sqlstate) != 0) {
        self->poison_lsn = lsn;
        (void)snprintf(self->poison_sqlstate, sizeof(self->poison_sqlstate), "%s",
                       failure->sqlstate); /* same sizes */
        self->poison_count = 0;
    }
    self->poison_count++;
    self->poisoned = self->poison_count >= POISON_COUNT;
    return self->poisoned;
}

static void poison_forget(struct pg_source *self)
{
    if (self->poison_count > 0 && self->stream.boundary.value > self->poison_lsn.value) {
        self->poison_count = 0;
        self->poisoned = false;
    }
}

static void become_poisoned(struct pg_source *self)
{
    char lsn[LSN_TEXT_SIZE];
    (void)lsn_format(self->poison_lsn, lsn); /* only its text is needed */
    struct fan_error error;
    (void)fan_fail(&error, FAN_RETRY, "the server cannot decode the change at %s: %s", lsn,
                   self->status.reason);
    fan_error_annotate(&error, "SOURCE_POISON",
                       "nothing is confirmed past it: mend its cause on the server, or stop pgfan "
                       "and give the transaction up with SELECT "
                       "pg_replication_slot_advance('%s', <an LSN behind its commit>) and "
                       "--adopt-slot %s",
                       self->slot, self->slot);
    set_reason(self, &error);
    wait_for_attempt(self, POISON_US, "source is poisoned");
}

void core_fail(struct pg_source *self, struct link_failure *failure)
{
    bool streaming = self->phase == PHASE_STREAMING || self->phase == PHASE_CLOSING;
    if (streaming && self->now_us - self->session_us >= HEALTHY_US) {
        backoff_reset(&self->backoff);
    }
    enum error_class class = errors_classify(failure, streaming);
    errors_annotate(failure, self->slot, self->publication);
    end_session(self);
    set_reason(self, &failure->error);
    if (class != ERROR_ACTIVE) {
        backoff_reset(&self->active_backoff);
    }
    switch (class) {
    case ERROR_PERMANENT:
        self->phase = PHASE_FAILED;
        log_write(LOG_ERROR, "source failed", LOG_TEXT("source", self->name),
                  LOG_TEXT("reason", self->status.reason),
                  LOG_TEXT("code", self->status.code[0] == '\0' ? NULL : self->status.code),
                  LOG_TEXT("hint", self->status.hint));
        return;
    case ERROR_SLOW:
        wait_for_attempt(self, SLOW_US, "source is refused by the server");
        return;
    case ERROR_ACTIVE:
        wait_for_attempt(self, backoff_next_us(&self->active_backoff, &self->rng),
                         "source waits for its slot");
        return;
    case ERROR_DECODING:
        if (poison_seen(self, failure)) {
            become_poisoned(self);
            return;
        }
        break;
    case ERROR_TRANSIENT:
    case ERROR_STOPPING:
        break;
    }
    wait_for_attempt(self, backoff_next_us(&self->backoff, &self->rng), "source reconnects");
}

void core_fail_error(struct pg_source *self, const struct fan_error *error)
{
    struct link_failure failure = {.error = *error};
    core_fail(self, &failure);
}

static void begin_probe(struct pg_source *self)
{
    self->sink->recall(self->sink, &self->memory);
    if (self->session_ever) {
        /* What the sink lets be confirmed is durable, too. */
        self->memory.confirmed = lsn_max(self->memory.confirmed, self->sink->ack(self->sink));
    }
    self->phase = PHASE_PROBING;
    self->job = true;
    self->link->type->begin_probe(self->link, &self->memory);
}

static void begin_publication(struct pg_source *self)
{
    self->phase = PHASE_PUBLISHING;
    self->job = true;
    self->link->type->begin_publication(self->link);
}

/* The publication is as it must be: on to the slot, or to the stream. */
static void after_publication(struct pg_source *self)
{
    self->phase = self->creating ? PHASE_INTENT : PHASE_IDENTITY;
}

static void on_probed(struct pg_source *self, const struct link_facts *facts)
{
    self->facts = *facts;
    self->status.server_version = facts->server_version;
    self->status.timeline = facts->timeline;
    self->status.server_lsn = facts->wal_end;
    (void)snprintf(self->status.system_id, sizeof(self->status.system_id), "%s", facts->system_id);
    (void)snprintf(self->status.wal_status, sizeof(self->status.wal_status), "%s",
                   facts->slot.wal_status); /* same sizes */
    struct decide_input input = {
        .memory = &self->memory,
        .facts = facts,
        .furthest = self->sink->furthest(self->sink),
        .slot = self->slot,
        .create = self->options->slot.create,
        .adopt_slot = self->adopt_slot,
    };
    struct decision decision;
    struct fan_error error;
    if (decide(&input, &decision, &error) != FAN_OK) {
        core_fail_error(self, &error);
        return;
    }
    self->creating = decision.action == DECIDE_CREATE;
    self->adopting = decision.action == DECIDE_ADOPT;
    self->start = decision.start;
    if (facts->publication_change) {
        begin_publication(self);
    } else {
        after_publication(self);
    }
}

/* The memory that belongs to this server, slot and publication. */
static struct source_memory memory_now(const struct pg_source *self, enum slot_stage stage)
{
    struct source_memory memory = self->memory;
    memory.timeline = self->facts.timeline;
    memory.slot_stage = stage;
    (void)snprintf(memory.system_id, sizeof(memory.system_id), "%s", self->facts.system_id);
    (void)snprintf(memory.database, sizeof(memory.database), "%s", self->facts.database);
    (void)snprintf(memory.slot, sizeof(memory.slot), "%s", self->slot);
    (void)snprintf(memory.publication, sizeof(memory.publication), "%s", self->publication);
    if (stage == SLOT_CREATED) {
        memory.consistent_point =
            self->creating || self->adopting ? self->start : memory.consistent_point;
        memory.confirmed = lsn_max(memory.confirmed, self->start);
    }
    return memory; /* names of the same sizes: nothing is cut above */
}

static bool memory_equal(const struct source_memory *left, const struct source_memory *right)
{
    return strcmp(left->system_id, right->system_id) == 0 && left->timeline == right->timeline &&
           strcmp(left->database, right->database) == 0 && strcmp(left->slot, right->slot) == 0 &&
           strcmp(left->publication, right->publication) == 0 &&
           left->slot_stage == right->slot_stage &&
           left->consistent_point.value == right->consistent_point.value &&
           left->confirmed.value == right->confirmed.value;
}

/* Returns true once `memory` is durable. */
static bool remembered(struct pg_source *self, const struct source_memory *memory)
{
    struct fan_error error;
    enum fan_status status = self->sink->remember(self->sink, memory, &error);
    if (status == FAN_OK) {
        self->memory = *memory;
        return true;
    }
    if (status != FAN_AGAIN) {
        core_fail_error(self, &error);
    }
    return false;
}

static void begin_slot(struct pg_source *self)
{
    struct source_memory memory = memory_now(self, SLOT_INTENT);
    if (remembered(self, &memory)) {
        self->phase = PHASE_SLOT;
        self->job = true;
        self->link->type->begin_create(self->link);
    }
}

/* Whether the server's answer to CREATE says that it made no slot. A broken connection says
 * nothing, and neither does an I/O error, which may come after the slot was written. */
static bool made_no_slot(const struct link_failure *failure)
{
    static const char *const states[] = {
        "42",    /* refused; 42710: somebody else made it between our look and our CREATE */
        "53400", /* max_replication_slots is used up */
        "57014", /* cancelled, while it waited for transactions */
    };
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (strncmp(failure->sqlstate, states[i], strlen(states[i])) == 0) {
            return true;
        }
    }
    return false;
}

static void slot_failed(struct pg_source *self, const struct link_failure *failure)
{
    self->withheld = *failure;
    if (strcmp(failure->sqlstate, "42710") == 0) {
        (void)decide_not_ours(self->slot, "somebody else made it at the same moment",
                              &self->withheld.error); /* the status stands in it */
    }
    self->phase = PHASE_WITHDRAWING;
}

static void withdraw_intent(struct pg_source *self)
{
    struct source_memory memory = memory_now(self, SLOT_UNKNOWN);
    if (remembered(self, &memory)) {
        struct link_failure failure = self->withheld;
        core_fail(self, &failure);
    }
}

static void begin_start(struct pg_source *self)
{
    struct source_memory memory = memory_now(self, SLOT_CREATED);
    if (memory_equal(&memory, &self->memory) || remembered(self, &memory)) {
        self->adopt_slot = NULL; /* it counts once */
        self->phase = PHASE_STARTING;
        self->job = true;
        self->link->type->begin_start(self->link, self->memory.confirmed);
    }
}

static void on_started(struct pg_source *self)
{
    struct fan_lsn start = self->memory.confirmed;
    if (self->session_ever) {
        self->status.reconnects++;
    }
    self->phase = PHASE_STREAMING;
    self->session_open = true;
    self->session_ever = true;
    self->session_us = self->now_us;
    backoff_reset(&self->active_backoff);
    show_shortfall(self, &self->facts.shortfall);
    stream_open(self, start);
    feedback_open(self, start);
    self->sink->session_started(self->sink, start, &self->memory);
    log_write(LOG_INFO, "source streams", LOG_TEXT("source", self->name),
              LOG_TEXT("slot", self->slot), LOG_LSN("start", start.value));
}

static void on_sampled(struct pg_source *self, const struct link_sample *sample)
{
    self->status.server_lsn = sample->server_lsn;
    self->status.retained_bytes = sample->retained_bytes;
    self->status.safe_wal_bytes = sample->safe_wal_bytes;
    if (self->phase == PHASE_STREAMING) {
        show_shortfall(self, &sample->shortfall);
    }
    if (strcmp(self->status.wal_status, sample->wal_status) != 0) {
        (void)snprintf(self->status.wal_status, sizeof(self->status.wal_status), "%s",
                       sample->wal_status); /* same sizes */
        bool healthy = strcmp(sample->wal_status, "reserved") == 0 ||
                       strcmp(sample->wal_status, "extended") == 0;
        log_write(healthy ? LOG_DEBUG : LOG_WARN, "slot's WAL status changed",
                  LOG_TEXT("source", self->name), LOG_TEXT("wal_status", sample->wal_status));
    }
}

/* Somebody else did the same at the same moment, or dropped a table: look again. */
static void publication_failed(struct link_failure *failure)
{
    bool raced = strcmp(failure->sqlstate, "42710") == 0 || strcmp(failure->sqlstate, "42P01") == 0;
    if (raced && failure->error.code[0] == '\0') {
        failure->error.status = FAN_RETRY;
        fan_error_annotate(&failure->error, "PUBLICATION_CHANGED", NULL);
    }
}

static void on_failed(struct pg_source *self, struct link_failure *failure, bool sampling)
{
    if (self->phase == PHASE_SLOT && made_no_slot(failure)) {
        slot_failed(self, failure);
        return;
    }
    if (self->phase == PHASE_PUBLISHING) {
        publication_failed(failure);
    }
    if (!sampling) {
        core_fail(self, failure);
        return;
    }
    /* The stream does not depend on it; but a server that refuses connections is stopping. */
    self->status.retained_bytes = -1;
    self->status.safe_wal_bytes = -1;
    if (errors_classify(failure, true) == ERROR_STOPPING) {
        feedback_server_stops(self);
    }
}

static void on_event(struct pg_source *self, struct link_event *event)
{
    bool sampling = self->sampling;
    self->job = false;
    self->sampling = false;
    switch (event->kind) {
    case LINK_PROBED:
        on_probed(self, &event->facts);
        return;
    case LINK_PUBLISHED:
        after_publication(self);
        return;
    case LINK_CREATED:
        self->start = event->consistent_point;
        self->phase = PHASE_IDENTITY;
        return;
    case LINK_STARTED:
        on_started(self);
        return;
    case LINK_DESCRIBED:
        stream_described(self, event->columns);
        return;
    case LINK_SAMPLED:
        on_sampled(self, &event->sample);
        return;
    case LINK_FAILED:
        on_failed(self, &event->failure, sampling);
        return;
    }
}

/* Reads and drops what still comes, until the server has ended the stream. */
static void closing_step(struct pg_source *self)
{
    bool over = self->now_us >= self->closing_deadline_us;
    for (int frames = 0; !over && frames < STREAM_STEP_FRAMES; frames++) {
        void *buffer = NULL;
        size_t size;
        bool heard;
        struct link_failure failure;
        enum fan_status status =
            self->link->type->receive(self->link, &buffer, &size, &heard, &failure);
        free(buffer);
        if (status == FAN_AGAIN) {
            return;
        }
        over = status != FAN_OK;
    }
    if (over) {
        end_session(self);
        self->phase = PHASE_STOPPED;
    }
}

static void take_requests(struct pg_source *self)
{
    if (!self->halted && !self->stop_wanted &&
        (self->phase == PHASE_CLOSING || self->phase == PHASE_STOPPED)) {
        end_session(self);
        self->phase = PHASE_WAITING;
        self->attempt_us = self->now_us;
    }
    if ((self->stop_wanted || self->halted) && self->phase != PHASE_CLOSING &&
        self->phase != PHASE_STOPPED && self->phase != PHASE_FAILED) {
        if (self->phase == PHASE_STREAMING) {
            feedback_send_now(self);
        }
        if (self->phase == PHASE_STREAMING) { /* still */
            self->link->type->end_copy(self->link);
            self->phase = PHASE_CLOSING;
            self->closing_deadline_us = self->now_us + CLOSING_US;
        } else {
            end_session(self);
            self->phase = PHASE_STOPPED;
        }
    }
    if (self->rewind_wanted) {
        self->rewind_wanted = false;
        if (self->phase == PHASE_STREAMING) {
            end_session(self);
            self->phase = PHASE_WAITING;
            self->attempt_us = self->now_us;
        }
    }
}

/* One transition, if one is due. */
static void advance(struct pg_source *self)
{
    switch (self->phase) {
    case PHASE_WAITING:
        if (self->now_us >= self->attempt_us) {
            begin_probe(self);
        }
        return;
    case PHASE_INTENT:
        begin_slot(self);
        return;
    case PHASE_WITHDRAWING:
        withdraw_intent(self);
        return;
    case PHASE_IDENTITY:
        begin_start(self);
        return;
    case PHASE_STREAMING:
        stream_step(self);
        if (self->phase == PHASE_STREAMING) {
            poison_forget(self);
            feedback_step(self);
        }
        return;
    case PHASE_CLOSING:
        closing_step(self);
        return;
    case PHASE_PROBING:
    case PHASE_PUBLISHING:
    case PHASE_SLOT:
    case PHASE_STARTING:
    case PHASE_FAILED:
    case PHASE_STOPPED:
        return;
    }
}

static enum source_state visible_state(const struct pg_source *self)
{
    bool again = self->status.reason[0] != '\0';
    switch (self->phase) {
    case PHASE_FAILED:
        return SOURCE_FAILED;
    case PHASE_CLOSING:
    case PHASE_STOPPED:
        return SOURCE_STOPPED;
    case PHASE_PUBLISHING:
    case PHASE_INTENT:
    case PHASE_SLOT:
    case PHASE_WITHDRAWING:
        return SOURCE_CREATING;
    case PHASE_STREAMING:
        if (self->poisoned) {
            return SOURCE_POISONED;
        }
        if (self->feedback.draining) {
            return SOURCE_DRAINING;
        }
        return self->stream.has_pending ? SOURCE_BLOCKED : SOURCE_STREAMING;
    case PHASE_WAITING:
    case PHASE_PROBING:
    case PHASE_IDENTITY:
    case PHASE_STARTING:
        break;
    }
    if (self->poisoned) {
        return SOURCE_POISONED;
    }
    if (again || self->session_ever) {
        return SOURCE_RECONNECTING;
    }
    return self->phase == PHASE_IDENTITY || self->phase == PHASE_STARTING ? SOURCE_CHECKING
                                                                          : SOURCE_CONNECTING;
}

static void share_status(struct pg_source *self)
{
    struct source_status *status = &self->status;
    status->state = visible_state(self);
    status->stalled = self->phase == PHASE_STREAMING && feedback_stalled(self);
    status->next_attempt_us = self->phase == PHASE_WAITING ? self->attempt_us : 0;
    (void)pthread_mutex_lock(&self->lock); /* cannot fail for a default mutex */
    self->shared = *status;
    (void)pthread_mutex_unlock(&self->lock);
}

static void fill_wait(struct pg_source *self, struct source_wait *wait)
{
    *wait = (struct source_wait){.deadline_us = self->now_us + IDLE_US};
    bool reading = false;
    switch (self->phase) {
    case PHASE_WAITING:
        wait->deadline_us = self->attempt_us;
        break;
    case PHASE_INTENT:
    case PHASE_WITHDRAWING:
    case PHASE_IDENTITY:
        wait->deadline_us = self->now_us + STORE_POLL_US;
        break;
    case PHASE_STREAMING:
        wait->deadline_us = feedback_deadline_us(self);
        reading = stream_reading(self);
        if (self->stream.has_pending && wait->deadline_us > self->now_us + BLOCKED_POLL_US) {
            wait->deadline_us = self->now_us + BLOCKED_POLL_US;
        }
        if (reading && !self->stream.drained) {
            wait->deadline_us = self->now_us;
        }
        break;
    case PHASE_CLOSING:
        wait->deadline_us = self->closing_deadline_us;
        reading = true;
        break;
    case PHASE_PROBING:
    case PHASE_PUBLISHING:
    case PHASE_SLOT:
    case PHASE_STARTING:
    case PHASE_FAILED:
    case PHASE_STOPPED:
        break;
    }
    self->link->type->wait(self->link, reading, self->now_us, wait);
}

void pg_source_step(struct source *source, int64_t now_us, struct source_wait *ret_wait)
{
    struct pg_source *self = pg_source_of(source);
    thread_owner_assert(&self->owner);
    /* Time that goes back changes nothing. */
    self->now_us = now_us > self->now_us ? now_us : self->now_us;
    take_requests(self);
    struct link_event event;
    while (self->link->type->poll_event(self->link, &event)) {
        on_event(self, &event);
    }
    enum phase before;
    do {
        before = self->phase;
        advance(self);
    } while (self->phase != before && self->phase != PHASE_WAITING);
    share_status(self);
    fill_wait(self, ret_wait);
}

void pg_source_rewind(struct source *source)
{
    pg_source_of(source)->rewind_wanted = true;
}

void pg_source_halt(struct source *source, bool halted)
{
    pg_source_of(source)->halted = halted;
}

void pg_source_stop(struct source *source)
{
    pg_source_of(source)->stop_wanted = true;
}

void pg_source_status(const struct source *source, struct source_status *ret_status)
{
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): casts const away, only the lock changes */
    struct pg_source *self = (struct pg_source *)(uintptr_t)source;
    (void)pthread_mutex_lock(&self->lock); /* cannot fail for a default mutex */
    *ret_status = self->shared;
    (void)pthread_mutex_unlock(&self->lock);
}
