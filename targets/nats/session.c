#include "targets/nats/session.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "encode/id.h"
#include "model/change.h"
#include "targets/nats/dial.h"
#include "targets/nats/ruling.h"
#include "targets/nats/wave.h"

enum { LOOK_MS = 20 }; /* how often a wait looks whether the target stops */

void session_init(struct session *session)
{
    bytes_init(&session->subject, SUBJECT_MAX);
}

void session_close(struct session *session)
{
    natsSubscription_Destroy(session->inbox); /* accepts NULL, as the next */
    natsConnection_Destroy(session->connection);
    session->inbox = NULL;
    session->connection = NULL;
}

void session_release(struct session *session)
{
    session_close(session);
    errand_drop(session->dialling);
    session->dialling = NULL;
    bytes_release(&session->subject);
}

static const char *shown_server(const struct session *session)
{
    return session->options->servers.items[session->server];
}

/* ---- connecting ---- */

static enum fan_status timed_out(const struct session *session, const char *what,
                                 struct fan_error *reterr)
{
    (void)fan_fail(reterr, FAN_RETRY, "\"%.300s\" took too long to %s", shown_server(session),
                   what);
    fan_error_annotate(reterr, "NATS_TIMEOUT", NULL);
    return FAN_RETRY;
}

/* Until the errand is over, the deadline has come (FAN_RETRY), or the target stops (FAN_AGAIN). */
static enum fan_status await_dial(const struct session *session, int64_t deadline_us,
                                  struct fan_error *reterr)
{
    struct pollfd polled[] = {
        {.fd = session->clerk->wake, .events = POLLIN},
        {.fd = errand_descriptor(session->dialling), .events = POLLIN},
    };
    for (;;) {
        int64_t left_ms = (deadline_us - clock_monotonic_us() + 999) / 1000;
        if (left_ms <= 0) {
            return timed_out(session, "connect", reterr);
        }
        int ready = poll(polled, 2, left_ms < 60000 ? (int)left_ms : 60000);
        if (ready > 0) {
            return polled[0].revents != 0 ? FAN_AGAIN : FAN_OK;
        }
        if (ready < 0 && errno != EINTR) {
            return fan_fail_errno(reterr, FAN_RETRY, errno, "could not wait for a connection");
        }
    }
}

static enum fan_status open_inbox(struct session *session, struct fan_error *reterr)
{
    natsInbox *name = NULL;
    char pattern[INBOX_MAX + 2];
    natsStatus status = natsInbox_Create(&name);
    if (status == NATS_OK) {
        (void)snprintf(session->inbox_name, sizeof(session->inbox_name), "%s", name); /* it fits */
        (void)snprintf(pattern, sizeof(pattern), "%s.*", name);                       /* it fits */
        status = natsConnection_SubscribeSync(&session->inbox, session->connection, pattern);
    }
    natsInbox_Destroy(name); /* accepts NULL */
    return status == NATS_OK
               ? FAN_OK
               : nats_rule_lost(status, NULL, shown_server(session), session->redactor, reterr);
}

/* Tries one server. One that hangs is waited for again the next time. */
static enum fan_status connect_one(struct session *session, int64_t deadline_us,
                                   struct fan_error *reterr)
{
    const char *words = NULL;
    enum fan_status status = FAN_OK;
    if (session->dialling == NULL) {
        status = dial_start(session->options, shown_server(session), &session->dialling, reterr);
    }
    if (status == FAN_OK) {
        status = await_dial(session, deadline_us, reterr);
    }
    if (status != FAN_OK) {
        return status;
    }
    natsStatus result = dial_take(session->dialling, &session->connection, &words);
    if (result != NATS_OK) {
        status = nats_rule_connect(result, words, shown_server(session), session->redactor, reterr);
    }
    errand_drop(session->dialling);
    session->dialling = NULL;
    return status == FAN_OK ? open_inbox(session, reterr) : status;
}

/* Each server in turn, beginning with the one that was used last. */
static enum fan_status connect_any(struct session *session, int64_t deadline_us,
                                   struct fan_error *reterr)
{
    enum fan_status status = FAN_RETRY;
    for (size_t tried = 0; tried < session->options->servers.count; tried++) {
        int64_t until_us = clock_monotonic_us() + session->options->connect_timeout_us;
        status = connect_one(session, until_us < deadline_us ? until_us : deadline_us, reterr);
        if (status != FAN_RETRY || session->dialling != NULL) {
            break;
        }
        session->server = (session->server + 1) % session->options->servers.count;
    }
    return status;
}

/* ---- one wave ---- */

static void publication_fail(struct publication *publication, enum fan_status status,
                             const struct fan_error *error)
{
    if (publication->status == FAN_OK ||
        (publication->status != FAN_FATAL && status == FAN_FATAL) ||
        (publication->status == FAN_POISON && status == FAN_RETRY)) {
        publication->status = status;
        publication->error = *error;
    }
}

static void settle(struct publication *publication, size_t event, enum fan_status status,
                   const struct fan_error *error)
{
    if (status == FAN_OK) {
        publication->fates[event] = PUBLISH_TAKEN;
        publication->taken++;
        return;
    }
    if (status == FAN_POISON) {
        publication->fates[event] = PUBLISH_POISON;
    }
    publication_fail(publication, status, error);
}

static natsStatus make_message(struct session *session, const struct batch *batch, size_t event,
                               natsMsg **ret_message)
{
    char id[EVENT_ID_MAX];
    char reply[INBOX_MAX + 24];
    size_t size;
    const struct batch_event *place = &batch->events[event];
    const uint8_t *bytes = batch_event_bytes(batch, session->format, event, &size);
    (void)event_id_write(session->encode, place->position, place->op == CHANGE_GAP,
                         id); /* its NUL says how long */
    (void)snprintf(reply, sizeof(reply), "%s.%" PRIu64, session->inbox_name,
                   session->serial); /* it fits */
    natsStatus status = natsMsg_Create(ret_message, bytes_text(&session->subject), reply,
                                       (const char *)bytes, (int)size);
    if (status == NATS_OK) {
        status = natsMsgHeader_Set(*ret_message, "Nats-Msg-Id", id);
    }
    if (status == NATS_OK && session->options->stream != NULL) {
        status = natsMsgHeader_Set(*ret_message, "Nats-Expected-Stream", session->options->stream);
    }
    return status;
}

static enum fan_status too_large(const struct session *session, struct fan_error *reterr)
{
    (void)fan_fail(reterr, FAN_POISON, "the event is larger than max_payload of \"%.300s\"",
                   shown_server(session));
    fan_error_annotate(reterr, "NATS_TOO_LARGE", NULL);
    return FAN_POISON;
}

/* Sends one event. FAN_POISON: it cannot be sent. FAN_RETRY, FAN_FATAL: nothing can. */
static enum fan_status publish_event(struct session *session, const struct batch *batch,
                                     size_t event, struct fan_error *reterr)
{
    const struct batch_label label = batch_label(batch, event);
    const struct event_subject subject = {
        .encode = session->encode, .label = &label, .event = &batch->events[event]};
    enum fan_status status =
        subjects_render(session->subjects, &subject, &session->subject, reterr);
    if (status != FAN_OK) {
        return status;
    }
    natsMsg *message = NULL;
    natsStatus result = make_message(session, batch, event, &message);
    if (result == NATS_OK) {
        result = natsConnection_PublishMsg(session->connection, message);
    }
    natsMsg_Destroy(message); /* accepts NULL */
    if (result == NATS_MAX_PAYLOAD) {
        return too_large(session, reterr);
    }
    return result == NATS_OK
               ? FAN_OK
               : nats_rule_lost(result, NULL, shown_server(session), session->redactor, reterr);
}

/* Which event of the wave [first, end) a reply is about; SIZE_MAX: none. */
static size_t event_of(const struct session *session, const natsMsg *reply, uint64_t first_serial,
                       size_t first, size_t end)
{
    const char *subject = natsMsg_GetSubject(reply);
    size_t size = strlen(session->inbox_name);
    char *rest = NULL;
    if (subject == NULL || strlen(subject) <= size + 1) {
        return SIZE_MAX;
    }
    uint64_t serial = strtoull(subject + size + 1, &rest, 10);
    bool fits = *rest == '\0' && serial >= first_serial && serial - first_serial < end - first;
    return fits ? first + (size_t)(serial - first_serial) : SIZE_MAX;
}

/* Why nothing comes any more. */
static enum fan_status wait_ended(const struct session *session, natsStatus status,
                                  struct fan_error *reterr)
{
    const char *words = NULL;
    natsStatus last = natsConnection_GetLastError(session->connection, &words);
    return nats_rule_lost(last != NATS_OK ? last : status, words, shown_server(session),
                          session->redactor, reterr);
}

/* The next reply; NULL: one that says that nobody listens, and not on which subject. FAN_AGAIN: the
 * target stops. */
static enum fan_status next_reply(struct session *session, int64_t deadline_us, natsMsg **ret_reply,
                                  struct fan_error *reterr)
{
    for (;;) {
        const char *words = NULL;
        natsStatus status = natsSubscription_NextMsg(ret_reply, session->inbox, LOOK_MS);
        if (status == NATS_OK) {
            return FAN_OK;
        }
        if (status == NATS_NO_RESPONDERS) {
            *ret_reply = NULL;
            return FAN_OK;
        }
        if (clerk_is_stopping(session->clerk)) {
            return FAN_AGAIN;
        }
        if (status != NATS_TIMEOUT ||
            natsConnection_GetLastError(session->connection, &words) == NATS_NOT_PERMITTED) {
            return wait_ended(session, status, reterr);
        }
        if (clock_monotonic_us() >= deadline_us) {
            return timed_out(session, "acknowledge events", reterr);
        }
    }
}

static void take_reply(const struct session *session, natsMsg *reply, size_t event,
                       struct publication *publication)
{
    struct fan_error error;
    enum fan_status status =
        nats_rule_ack(natsMsg_GetData(reply), (size_t)natsMsg_GetDataLength(reply),
                      shown_server(session), session->redactor, &error);
    settle(publication, event, status, &error);
}

/* Waits for the replies to events [first, end), whose first has `serial`. Each event gets one; what
 * is still pending then is what nobody listened for. */
static enum fan_status await_wave(struct session *session, struct publication *publication,
                                  size_t first, size_t end, uint64_t serial, int64_t deadline_us)
{
    struct fan_error error;
    size_t left = end - first;
    while (left > 0) {
        natsMsg *reply = NULL;
        enum fan_status status = next_reply(session, deadline_us, &reply, &error);
        if (status != FAN_OK) {
            publication_fail(publication, status, &error);
            return status;
        }
        if (reply == NULL) {
            status = nats_rule_nobody(session->options->subject, shown_server(session), &error);
            publication_fail(publication, status, &error);
            left--;
            continue;
        }
        size_t event = event_of(session, reply, serial, first, end);
        if (event != SIZE_MAX && publication->fates[event] == PUBLISH_PENDING) {
            take_reply(session, reply, event, publication);
            left--;
        }
        natsMsg_Destroy(reply);
    }
    return FAN_OK;
}

/* FAN_OK: go on when publication->status is FAN_OK. Otherwise the connection is of no use. */
static enum fan_status send_wave(struct session *session, struct publication *publication,
                                 size_t first, size_t end, int64_t deadline_us)
{
    struct fan_error error;
    const uint64_t serial = session->serial;
    enum fan_status status = FAN_OK;
    size_t sent = first;
    while (sent < end && status == FAN_OK) {
        status = publish_event(session, publication->batch, sent, &error);
        sent += status == FAN_OK;
        session->serial += status == FAN_OK;
    }
    if (status != FAN_OK) {
        settle(publication, sent, status, &error);
    }
    if (status == FAN_RETRY || status == FAN_FATAL) {
        return status;
    }
    return await_wave(session, publication, first, sent, serial, deadline_us);
}

enum fan_status session_publish(struct session *session, struct publication *publication,
                                int64_t deadline_us)
{
    const size_t count = publication->batch->events_count;
    enum fan_status status = FAN_OK;
    if (session->connection != NULL &&
        natsConnection_Status(session->connection) != NATS_CONN_STATUS_CONNECTED) {
        session_close(session);
    }
    if (session->connection == NULL) {
        struct fan_error error;
        status = connect_any(session, deadline_us, &error);
        if (status != FAN_OK) {
            publication_fail(publication, status, &error);
        }
    }
    size_t first = 0;
    while (first < count && status == FAN_OK && publication->status == FAN_OK) {
        size_t end = wave_end(publication->batch, first);
        status = send_wave(session, publication, first, end, deadline_us);
        first = end;
    }
    if (status != FAN_OK) {
        session_close(session);
    }
    nats_ReleaseThreadMemory();
    return status == FAN_AGAIN ? FAN_AGAIN : FAN_OK;
}
