/*
 * What goes back to the server while the stream is open: status updates, answers to keepalives,
 * and the decision that the link is dead or the server wants to stop.
 *
 * A stopping server waits until its clients confirm everything, and asks them over and over. It
 * is let go with flush = 0, write = received: a status that confirms nothing, after which the
 * server ends the stream by itself; what was not confirmed stays in the slot.
 */
#include "base/assert.h"
#include "base/log.h"
#include "sources/postgres/core.h"

enum {
    STATUS_US_MAX = 10000000,
    ACK_US = 1000000,            /* the ack moves at most once a second */
    ANSWER_US = 250000,          /* at most 4 answers a second */
    ANSWER_DRAINING_US = 500000, /* 2 while the server stops */
    PROBE_US = 10000000,         /* how often the server is asked for a sign of life */
    STALLED_US = 25000000,       /* two probes went unanswered */
    SILENCE_US_MIN = 60000000,   /* the link is dead, or one and a half server time-outs */
    SAMPLE_US = 10000000,        /* lag and retained WAL */
    SAMPLE_BLOCKED_US = 2000000, /* nothing is read: it is the only sign of a stopping server */
    STORM_US = 1500000,          /* our answers are throttled to 4 a second, so the questions are */
    STORM_KEEPALIVES = 5,
    DRAIN_US = 4000000,   /* for targets to finish what they have */
    LET_GO_US = 10000000, /* then the server was not stopping after all */
    RESEND_US = 50000,
};

static int64_t status_interval_us(const struct pg_source *self)
{
    int64_t third = self->options->wal_sender_timeout_us / 3;
    return third < STATUS_US_MAX ? third : STATUS_US_MAX;
}

static int64_t silence_max_us(const struct pg_source *self)
{
    int64_t limit = self->options->wal_sender_timeout_us / 2 * 3;
    return limit > SILENCE_US_MIN ? limit : SILENCE_US_MIN;
}

void feedback_open(struct pg_source *self, struct fan_lsn start)
{
    self->feedback = (struct feedback){
        .ack_us = self->now_us,
        .answer_us = self->now_us - ANSWER_US,
        .probe_us = self->now_us,
        .heard_us = self->now_us,
        .sample_us = self->now_us - SAMPLE_US,
        .status_us = self->now_us - status_interval_us(self), /* the first one goes out at once */
        .flushed = start,
    };
    self->status.confirmed = start;
}

void feedback_heard(struct pg_source *self)
{
    self->feedback.heard_us = self->now_us;
    self->status.last_heard_us = self->now_us;
}

/* What may be confirmed now. */
static struct fan_lsn confirmable(const struct pg_source *self)
{
    struct fan_lsn ack = self->sink->ack(self->sink);
    return lsn_max(lsn_min(ack, self->stream.boundary), self->feedback.flushed);
}

/* The one place where a status is made. */
static struct link_status status_build(const struct pg_source *self, bool reply)
{
    const struct stream *stream = &self->stream;
    struct fan_lsn flush = confirmable(self);
    FAN_ASSERT(flush.value <= stream->boundary.value);       /* (2) */
    FAN_ASSERT(flush.value >= self->feedback.flushed.value); /* (3) */
    return (struct link_status){
        .write = lsn_max(stream->boundary, stream->wal_end),
        .flush = self->feedback.let_go ? LSN_NONE : flush,
        .apply = self->feedback.let_go ? LSN_NONE : flush,
        .reply = reply,
    };
}

static void send(struct pg_source *self)
{
    struct feedback *feedback = &self->feedback;
    bool probe = stream_reading(self) && self->now_us - feedback->probe_us >= PROBE_US;
    struct link_status status = status_build(self, probe);
    enum fan_status sent = self->link->type->send_status(self->link, &status);
    if (sent == FAN_AGAIN) {
        feedback->resend_us = self->now_us + RESEND_US;
        return;
    }
    if (sent != FAN_OK) {
        feedback->resend_us = self->now_us + RESEND_US;
        if (!stream_reading(self)) { /* otherwise receive() says why */
            struct fan_error error;
            (void)fan_fail(&error, FAN_RETRY, "could not send a status to the server: link lost");
            core_fail_error(self, &error);
        }
        return;
    }
    feedback->resend_us = 0;
    feedback->status_us = self->now_us;
    self->status.status_updates++;
    if (feedback->answer_due) {
        feedback->answer_due = false;
        feedback->answer_us = self->now_us;
    }
    if (probe) {
        feedback->probe_us = self->now_us;
    }
    if (status.flush.value > feedback->flushed.value) {
        feedback->flushed = status.flush;
        feedback->ack_us = self->now_us;
        self->status.confirmed = status.flush;
    }
}

void feedback_send_now(struct pg_source *self)
{
    send(self);
}

static void begin_draining(struct pg_source *self)
{
    struct feedback *feedback = &self->feedback;
    if (feedback->draining) {
        return;
    }
    feedback->draining = true;
    feedback->drain_deadline_us = self->now_us + DRAIN_US;
    log_write(LOG_INFO, "server is shutting down", LOG_TEXT("source", self->name),
              LOG_LSN("received", self->stream.boundary.value),
              LOG_LSN("confirmed", feedback->flushed.value));
}

void feedback_server_stops(struct pg_source *self)
{
    begin_draining(self);
}

void feedback_keepalive(struct pg_source *self, struct fan_lsn wal_end, bool reply)
{
    struct feedback *feedback = &self->feedback;
    if (!reply) {
        return;
    }
    feedback->answer_due = true;
    bool same = wal_end.value == feedback->storm_wal_end.value &&
                self->now_us - feedback->storm_start_us <= STORM_US;
    if (!same) {
        feedback->storm_start_us = self->now_us;
        feedback->storm_wal_end = wal_end;
        feedback->storm_count = 0;
    }
    feedback->storm_count++;
    if (feedback->storm_count >= STORM_KEEPALIVES) {
        begin_draining(self);
    }
}

/* Ends the wait of a stopping server. */
static void drain_step(struct pg_source *self)
{
    struct feedback *feedback = &self->feedback;
    if (!feedback->draining || self->now_us < feedback->drain_deadline_us) {
        return;
    }
    if (!feedback->let_go && stream_reading(self)) {
        log_write(LOG_INFO, "server is let go, what is not confirmed stays in the slot",
                  LOG_TEXT("source", self->name), LOG_LSN("received", self->stream.boundary.value),
                  LOG_LSN("confirmed", feedback->flushed.value));
        feedback->let_go = true;
        feedback->drain_deadline_us = self->now_us + LET_GO_US;
        send(self);
        return;
    }
    /* Nothing is read, so the server cannot send its end either; or the end never came. */
    struct fan_error error;
    (void)fan_fail(&error, FAN_RETRY, "the server is shutting down");
    core_fail_error(self, &error);
}

static bool status_due(const struct pg_source *self)
{
    const struct feedback *feedback = &self->feedback;
    int64_t now_us = self->now_us;
    if (now_us < feedback->resend_us) {
        return false;
    }
    int64_t answer_us = feedback->draining ? ANSWER_DRAINING_US : ANSWER_US;
    return now_us - feedback->status_us >= status_interval_us(self) ||
           (feedback->answer_due && now_us - feedback->answer_us >= answer_us) ||
           (now_us - feedback->probe_us >= PROBE_US && stream_reading(self)) ||
           (!feedback->let_go && now_us - feedback->ack_us >= ACK_US &&
            confirmable(self).value > feedback->flushed.value);
}

static int64_t sample_interval_us(const struct pg_source *self)
{
    return self->stream.has_pending ? SAMPLE_BLOCKED_US : SAMPLE_US;
}

static void sample_step(struct pg_source *self)
{
    /* A description that waits goes first. */
    if (!self->job && self->stream.draft == NULL &&
        self->now_us - self->feedback.sample_us >= sample_interval_us(self)) {
        self->feedback.sample_us = self->now_us;
        self->job = true;
        self->sampling = true;
        self->link->type->begin_sample(self->link);
    }
}

void feedback_step(struct pg_source *self)
{
    if (status_due(self)) {
        send(self);
    }
    if (self->phase == PHASE_STREAMING) {
        drain_step(self);
    }
    if (self->phase != PHASE_STREAMING) {
        return;
    }
    if (stream_reading(self) && self->now_us - self->feedback.heard_us > silence_max_us(self)) {
        struct fan_error error;
        (void)fan_fail(&error, FAN_RETRY, "the server has been silent for %lld s",
                       (long long)((self->now_us - self->feedback.heard_us) / 1000000));
        fan_error_annotate(&error, "LINK_DEAD", "check the network between here and the server");
        core_fail_error(self, &error);
        return;
    }
    sample_step(self);
}

static int64_t earlier(int64_t left, int64_t right)
{
    return left < right ? left : right;
}

int64_t feedback_deadline_us(const struct pg_source *self)
{
    const struct feedback *feedback = &self->feedback;
    int64_t deadline = feedback->status_us + status_interval_us(self);
    if (feedback->answer_due) {
        deadline = earlier(deadline, feedback->answer_us +
                                         (feedback->draining ? ANSWER_DRAINING_US : ANSWER_US));
    }
    if (feedback->flushed.value < self->stream.boundary.value) {
        int64_t next_ack_us = feedback->ack_us + ACK_US;
        int64_t look_us = self->now_us + ACK_US; /* nothing to confirm yet */
        deadline = earlier(deadline, next_ack_us > self->now_us ? next_ack_us : look_us);
    }
    if (feedback->draining) {
        deadline = earlier(deadline, feedback->drain_deadline_us);
    }
    if (stream_reading(self)) {
        deadline = earlier(deadline, feedback->probe_us + PROBE_US);
        deadline = earlier(deadline, feedback->heard_us + silence_max_us(self) + 1);
    }
    if (!self->job) {
        deadline = earlier(deadline, feedback->sample_us + sample_interval_us(self));
    }
    return deadline > feedback->resend_us ? deadline : feedback->resend_us;
}

bool feedback_stalled(const struct pg_source *self)
{
    return stream_reading(self) && self->now_us - self->feedback.heard_us > STALLED_US;
}
