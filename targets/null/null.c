#include "targets/null/null.h"

#include <stdlib.h>

struct null_options {
    char unused; /* a table describes a struct, and a struct has a member */
};

struct null_target {
    struct target base;
    uint32_t index;
    struct outcome_sink *outcomes;
};

static const struct conf_table null_table = {
    .name = "null",
    .help = "Takes every event and keeps none; an event is settled at once.",
    .size = sizeof(struct null_options),
    .options = NULL,
    .options_count = 0,
};

static enum fan_status null_create(const void *options, const struct target_context *context,
                                   struct target **ret_target, struct fan_error *reterr)
{
    (void)options; /* there are none */
    struct null_target *null_target = calloc(1, sizeof(*null_target));
    if (null_target == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not make target \"%s\": out of memory",
                        context->target);
    }
    null_target->base.type = &null_target_type;
    null_target->index = context->index;
    null_target->outcomes = context->outcomes;
    *ret_target = &null_target->base;
    return FAN_OK;
}

static enum fan_status null_start(struct target *target, const struct target_checkpoint *checkpoint,
                                  struct fan_error *reterr)
{
    (void)target; /* it has no place to go to */
    (void)checkpoint;
    (void)reterr;
    return FAN_OK;
}

static enum fan_status null_deliver(struct target *target, struct batch *batch, size_t first,
                                    int64_t now_us, struct fan_error *reterr)
{
    struct null_target *null_target = (struct null_target *)target;
    (void)first; /* every event is settled, from wherever the batch goes on */
    (void)now_us;
    (void)reterr;
    const struct outcome outcome = {
        .target = null_target->index,
        .kind = OUTCOME_SETTLED,
        .checkpoint = {.position = batch->events[batch->events_count - 1].position},
    };
    null_target->outcomes->post(null_target->outcomes, &outcome);
    return FAN_OK;
}

static int64_t null_tick(struct target *target, int64_t now_us)
{
    (void)target; /* it has no timers */
    (void)now_us;
    return INT64_MAX;
}

static void null_stop(struct target *target)
{
    (void)target; /* nothing runs */
}

static void null_destroy(struct target *target)
{
    free(target);
}

const struct target_type null_target_type = {
    .name = "null",
    .table = &null_table,
    .create = null_create,
    .start = null_start,
    .deliver = null_deliver,
    .tick = null_tick,
    .stop = null_stop,
    .destroy = null_destroy,
};
