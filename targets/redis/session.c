#include "targets/redis/session.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "targets/redis/ruling.h"

/* What the replies came to. The first error says why; what follows it is a consequence. */
struct replies {
    const struct session *session;
    size_t ahead; /* replies still to come before that of EXEC; of a hello, all */
    size_t events;
    bool executed; /* that of EXEC has come */
    int64_t replicas;
    enum fan_status status;
    struct fan_error *error;
};

static void replies_refuse(struct replies *replies, const redisReply *reply)
{
    if (replies->status == FAN_OK) {
        replies->status = redis_rule(reply->str, reply->len, replies->session->link.shown,
                                     replies->session->redactor, replies->error);
    }
}

static void replies_broken(struct replies *replies)
{
    if (replies->status == FAN_OK) {
        replies->status =
            fan_fail(replies->error, FAN_RETRY, "\"%.300s\" gave another reply than Redis does",
                     replies->session->link.shown);
        fan_error_annotate(replies->error, "REDIS_PROTOCOL", "check address");
    }
}

/* An array of what each event came to. */
static void take_execution(struct replies *replies, const redisReply *reply)
{
    replies->executed = true;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != replies->events) {
        replies_broken(replies);
        return;
    }
    for (size_t at = 0; at < reply->elements; at++) {
        if (reply->element[at]->type == REDIS_REPLY_ERROR) {
            replies_refuse(replies, reply->element[at]);
        }
    }
}

static void replies_take(void *context, const redisReply *reply)
{
    struct replies *replies = context;
    if (reply->type == REDIS_REPLY_ERROR) {
        replies_refuse(replies, reply);
    } else if (replies->ahead > 0) {
        replies->ahead--;
        return;
    } else if (!replies->executed) {
        take_execution(replies, reply);
    } else if (reply->type == REDIS_REPLY_INTEGER) {
        replies->replicas = reply->integer;
    }
    replies->ahead -= replies->ahead > 0;
}

static enum fan_status session_talk(struct session *session, size_t count, int64_t deadline_us,
                                    struct replies *replies, struct fan_error *reterr)
{
    struct fan_error lost;
    replies->session = session;
    replies->error = reterr;
    enum fan_status status = link_talk(&session->link, &session->commands.bytes, count,
                                       replies_take, replies, deadline_us, &lost);
    if (status == FAN_AGAIN) {
        return FAN_AGAIN;
    }
    /* A server that refuses and goes away has said why before. */
    if (replies->status == FAN_OK && status != FAN_OK) {
        *reterr = lost;
        return status;
    }
    return replies->status;
}

static enum fan_status session_open(struct session *session, int64_t deadline_us,
                                    struct fan_error *reterr)
{
    int64_t until_us = clock_monotonic_us() + session->options->connect_timeout_us;
    until_us = until_us < deadline_us ? until_us : deadline_us;
    enum fan_status status = link_open(&session->link, until_us, reterr);
    if (status != FAN_OK) {
        return status;
    }
    size_t count = commands_hello(&session->commands);
    if (!bytes_ok(&session->commands.bytes)) {
        return fan_fail(reterr, FAN_RETRY, "could not log in to \"%.300s\": out of memory",
                        session->link.shown);
    }
    struct replies replies = {.ahead = count};
    status = session_talk(session, count, until_us, &replies, reterr);
    /* The password is in there. */
    explicit_bzero(session->commands.bytes.data, session->commands.bytes.size);
    return status;
}

static enum fan_status too_few(const struct session *session, int64_t replicas,
                               struct fan_error *reterr)
{
    (void)fan_fail(reterr, FAN_RETRY,
                   "\"%.300s\" has %" PRId64 " replicas of the events, not %" PRId64,
                   session->link.shown, replicas, session->options->wait_replicas);
    fan_error_annotate(reterr, "REDIS_REPLICAS", "see wait_replicas");
    return FAN_RETRY;
}

/* Adds events [first, end), which go together. */
static enum fan_status session_send(struct session *session, const struct batch *batch,
                                    size_t first, size_t end, int64_t deadline_us,
                                    size_t *ret_poison, struct fan_error *reterr)
{
    const bool waits = session->options->wait_replicas > 0;
    const size_t ahead = commands_ahead(&session->commands, end - first);
    struct replies replies = {.ahead = ahead, .events = end - first};
    /* The answer of WAIT comes before the deadline. */
    const int64_t wait_ms = (deadline_us - clock_monotonic_us()) / 2000;
    enum fan_status status = commands_add(&session->commands, batch, first, end,
                                          wait_ms > 0 ? wait_ms : 1, ret_poison, reterr);
    if (status != FAN_OK) {
        return status;
    }
    status = session_talk(session, ahead + 1 + waits, deadline_us, &replies, reterr);
    if (status == FAN_OK && waits && replies.replicas < session->options->wait_replicas) {
        status = too_few(session, replies.replicas, reterr);
    }
    if (status != FAN_OK) {
        link_close(&session->link);
    }
    return status;
}

enum fan_status session_add(struct session *session, const struct batch *batch, int64_t deadline_us,
                            struct addition *ret_addition, struct fan_error *reterr)
{
    enum fan_status status = FAN_OK;
    *ret_addition = (struct addition){.taken = 0, .poison = batch->events_count};
    if (link_is_open(&session->link) && link_is_stale(&session->link)) {
        link_close(&session->link);
    }
    if (!link_is_open(&session->link)) {
        status = session_open(session, deadline_us, reterr);
        if (status != FAN_OK) {
            link_close(&session->link);
        }
    }
    while (status == FAN_OK && ret_addition->taken < batch->events_count) {
        const size_t first = ret_addition->taken;
        const size_t end = commands_end(&session->commands, batch, first);
        status =
            session_send(session, batch, first, end, deadline_us, &ret_addition->poison, reterr);
        ret_addition->taken = status == FAN_OK ? end : first;
    }
    commands_reset(&session->commands);
    return status;
}
