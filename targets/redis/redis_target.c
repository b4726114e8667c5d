#include "targets/redis/redis_target.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "targets/clerk.h"
#include "targets/redis/options.h"
#include "targets/redis/session.h"
#include "targets/redis/tls.h"

struct redis_target {
    struct target base;
    const struct redis_options *options; /* borrowed */
    struct target_context context;
    struct redactor redactor;
    struct stream_names names;
    struct clerk clerk;
    struct session session; /* the clerk's while it runs */
    SSL_CTX *tls;           /* owned, from start() to the next; NULL without TLS */
};

static struct redis_target *redis_of(struct target *target)
{
    return (struct redis_target *)target;
}

/* Names the events that are not taken. Out of memory: none counts as taken, and all come again. */
static void name_failed(const struct addition *addition, size_t count, struct answer *answer)
{
    const size_t left = count - addition->taken;
    struct verdict *failed = calloc(left, sizeof(*failed));
    if (failed == NULL) {
        answer->status = FAN_RETRY;
        return;
    }
    const bool known = addition->poison < count;
    for (size_t at = 0; at < left; at++) {
        const size_t event = addition->taken + at;
        failed[at].event = (uint32_t)event;
        failed[at].poison = event == addition->poison;
        (void)snprintf(failed[at].text, sizeof(failed[at].text), "%.95s", /* cut if long */
                       known && !failed[at].poison ? "not sent, because of another event"
                                                   : answer->error.text);
    }
    answer->failed = failed;
    answer->failed_count = left;
    answer->status = FAN_OK;
}

static bool redis_serve(void *context, const struct batch *batch, int64_t deadline_us,
                        struct answer *answer)
{
    struct redis_target *redis = context;
    const size_t count = batch->events_count;
    int64_t until_us = clock_monotonic_us() + redis->options->timeout_us;
    struct addition addition;
    answer->status =
        session_add(&redis->session, batch, until_us < deadline_us ? until_us : deadline_us,
                    &addition, &answer->error);
    if (answer->status == FAN_AGAIN) {
        return false;
    }
    bool named = answer->status == FAN_POISON && addition.poison < count && count > 1;
    if (answer->status != FAN_OK && (addition.taken > 0 || named)) {
        name_failed(&addition, count, answer);
    }
    return true;
}

static void redis_destroy(struct target *target)
{
    struct redis_target *redis = redis_of(target);
    if (redis == NULL) {
        return;
    }
    clerk_release(&redis->clerk);
    commands_release(&redis->session.commands);
    stream_names_release(&redis->names);
    redactor_release(&redis->redactor);
    SSL_CTX_free(redis->tls);
    free(redis);
}

static enum fan_status make_parts(struct redis_target *redis, struct fan_error *reterr)
{
    const struct redis_options *options = redis->options;
    const char *key;
    enum fan_status status =
        clerk_init(&redis->clerk, "redis", &redis->context, redis_serve, redis, reterr);
    if (status != FAN_OK) {
        return status;
    }
    if (!redactor_add(&redis->redactor, secret_reveal(&options->password))) {
        return fan_fail(reterr, FAN_RETRY, "could not make target \"%s\": out of memory",
                        redis->context.target);
    }
    const char *fault =
        stream_names_parse(options->stream, options->stream_other, &redis->names, &key);
    if (fault != NULL) {
        return fan_fail(reterr, FAN_FATAL, "cannot use target \"%s\": %s", redis->context.target,
                        fault);
    }
    redis->session.options = options;
    redis->session.redactor = &redis->redactor;
    return commands_init(&redis->session.commands, options, redis->context.encode, &redis->names,
                         redis->context.format, reterr);
}

static enum fan_status redis_create(const void *options, const struct target_context *context,
                                    struct target **ret_target, struct fan_error *reterr)
{
    struct redis_target *redis = calloc(1, sizeof(*redis));
    if (redis == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make target \"%s\": out of memory",
                        context->target);
    }
    redis->base.type = &redis_target_type;
    redis->options = options;
    redis->context = *context;
    redis->session.link.descriptor = -1;
    enum fan_status status = make_parts(redis, reterr);
    if (status != FAN_OK) {
        redis_destroy(&redis->base);
        return status;
    }
    *ret_target = &redis->base;
    return FAN_OK;
}

static void redis_stop(struct target *target)
{
    struct redis_target *redis = redis_of(target);
    clerk_stop(&redis->clerk);
    link_release(&redis->session.link);
}

static enum fan_status redis_start(struct target *target,
                                   const struct target_checkpoint *checkpoint,
                                   struct fan_error *reterr)
{
    struct redis_target *redis = redis_of(target);
    const struct redis_options *options = redis->options;
    struct address address;
    (void)
        checkpoint; /* what was added cannot be taken back: the server knows events by their ids */
    redis_stop(target);
    const char *fault = address_parse(options->address, REDIS_PORT, &address);
    if (fault != NULL) {
        return fan_fail(reterr, FAN_FATAL, "cannot use target \"%s\": %s", redis->context.target,
                        fault);
    }
    SSL_CTX_free(redis->tls); /* its files are read again */
    redis->tls = NULL;
    if (options->tls) {
        enum fan_status status = redis_tls_create(options, &redis->tls, reterr);
        if (status != FAN_OK) {
            return status;
        }
    }
    link_init(&redis->session.link, &address, options->address, redis->tls, redis->clerk.wake);
    return clerk_start(&redis->clerk, reterr);
}

static enum fan_status redis_request(struct target *target, struct batch *batch,
                                     struct answer *answer, int64_t now_us,
                                     struct fan_error *reterr)
{
    (void)reterr; /* every failure is an answer */
    return clerk_request(&redis_of(target)->clerk, batch, answer, now_us);
}

static int64_t redis_tick(struct target *target, int64_t now_us)
{
    (void)target; /* the clerk's thread keeps time */
    (void)now_us;
    return INT64_MAX;
}

static const char *redis_marks_fault(const void *section, const char *format)
{
    (void)section; /* of no target of this type, in no envelope */
    (void)format;
    return "it adds each event alone";
}

const struct target_type redis_target_type = {
    .name = "redis",
    .table = &redis_options_table,
    .create = redis_create,
    .start = redis_start,
    .request = redis_request,
    .tick = redis_tick,
    .stop = redis_stop,
    .destroy = redis_destroy,
    .labels = true,
    .octets = true,
    .marks_fault = redis_marks_fault,
};
