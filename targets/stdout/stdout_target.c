#include "targets/stdout/stdout_target.h"

#include <stdio.h>
#include <stdlib.h>

#include "targets/stdout/writer.h"

struct stdout_options {
    char unused; /* a table describes a struct, and a struct has a member */
};

struct stdout_target {
    struct target base;
    size_t format;
    bool joined;
    struct writer_client client;
};

static const struct conf_table stdout_table = {
    .name = "stdout",
    .help = "Writes events as lines to standard output; an event is settled when it is written.",
    .size = sizeof(struct stdout_options),
    .options = NULL,
    .options_count = 0,
};

static enum fan_status stdout_create(const void *options, const struct target_context *context,
                                     struct target **ret_target, struct fan_error *reterr)
{
    (void)options; /* there are none */
    struct stdout_target *stdout_target = calloc(1, sizeof(*stdout_target));
    if (stdout_target == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make target \"%s\": out of memory",
                        context->target);
    }
    stdout_target->base.type = &stdout_target_type;
    stdout_target->format = context->format;
    stdout_target->client.index = context->index;
    stdout_target->client.outcomes = context->outcomes;
    *ret_target = &stdout_target->base;
    return FAN_OK;
}

static void stdout_stop(struct target *target)
{
    struct stdout_target *stdout_target = (struct stdout_target *)target;
    if (stdout_target->joined) {
        writer_leave(&stdout_target->client);
        stdout_target->joined = false;
    }
}

static enum fan_status stdout_start(struct target *target,
                                    const struct target_checkpoint *checkpoint,
                                    struct fan_error *reterr)
{
    struct stdout_target *stdout_target = (struct stdout_target *)target;
    (void)checkpoint; /* what has been written cannot be taken back */
    stdout_stop(target);
    enum fan_status status = writer_join(&stdout_target->client, reterr);
    stdout_target->joined = status == FAN_OK;
    return status;
}

static enum fan_status stdout_deliver(struct target *target, struct batch *batch, size_t first,
                                      int64_t now_us, struct fan_error *reterr)
{
    struct stdout_target *stdout_target = (struct stdout_target *)target;
    (void)now_us; /* it has no timers */
    return writer_put(&stdout_target->client, batch, stdout_target->format, first, reterr);
}

static int64_t stdout_tick(struct target *target, int64_t now_us)
{
    (void)target; /* it has no timers */
    (void)now_us;
    return INT64_MAX;
}

static void stdout_destroy(struct target *target)
{
    if (target != NULL) {
        stdout_stop(target);
        free(target);
    }
}

const struct target_type stdout_target_type = {
    .name = "stdout",
    .table = &stdout_table,
    .create = stdout_create,
    .start = stdout_start,
    .deliver = stdout_deliver,
    .tick = stdout_tick,
    .stop = stdout_stop,
    .destroy = stdout_destroy,
};
