#include "tests/unit/engine_fixture.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

struct scripted {
    struct target base;
    struct fixture_target *far;
};

static struct fixture_target *far_of(struct target *target)
{
    return ((struct scripted *)target)->far;
}

static const struct target_type scripted_type;

static enum fan_status create(const void *options, const struct target_context *context,
                              struct target **ret_target, struct fan_error *reterr)
{
    (void)reterr; /* it cannot fail */
    struct scripted *self = calloc(1, sizeof(*self));
    ck_assert_ptr_nonnull(self);
    self->base.type = &scripted_type;
    self->far = (struct fixture_target *)(uintptr_t)options; /* the fixture keeps it as options */
    self->far->context = *context;
    *ret_target = &self->base;
    return FAN_OK;
}

static enum fan_status start(struct target *target, const struct target_checkpoint *checkpoint,
                             struct fan_error *reterr)
{
    struct fixture_target *far = far_of(target);
    far->starts++;
    if (far->start_answer != FAN_OK) {
        return fan_fail(reterr, far->start_answer, "scripted: start");
    }
    far->started = true;
    far->start_place = checkpoint == NULL ? POSITION_NONE : checkpoint->position;
    return FAN_OK;
}

static enum fan_status deliver(struct target *target, struct batch *batch, size_t first,
                               int64_t now_us, struct fan_error *reterr)
{
    (void)now_us; /* nothing depends on it */
    struct fixture_target *far = far_of(target);
    if (far->answer != FAN_OK) {
        return fan_fail(reterr, far->answer, "scripted: deliver");
    }
    ck_assert_uint_lt(far->batches, FIXTURE_BATCHES);
    far->last[far->batches] = batch->events[batch->events_count - 1].position;
    far->events[far->batches] = batch->events_count - first;
    far->parts[far->batches++] = batch->part;
    return FAN_OK;
}

static int64_t tick(struct target *target, int64_t now_us)
{
    (void)target; /* it has no timers */
    (void)now_us;
    return INT64_MAX;
}

static void stop(struct target *target)
{
    far_of(target)->started = false;
}

static void destroy(struct target *target)
{
    free(target);
}

static const struct target_type scripted_type = {.name = "scripted",
                                                 .create = create,
                                                 .start = start,
                                                 .deliver = deliver,
                                                 .tick = tick,
                                                 .stop = stop,
                                                 .destroy = destroy};

const struct target_type *const target_types[] = {&scripted_type, NULL};

const struct target_type *target_type_find(const char *name)
{
    return strcmp(name, scripted_type.name) == 0 ? &scripted_type : NULL;
}

/* ---- the pipeline ---- */

static void schedule(void *context, struct pipeline *pipeline)
{
    (void)pipeline; /* the context is its fixture */
    ((struct fixture *)context)->scheduled++;
}

static void wake_reader(void *context, struct pipeline *pipeline)
{
    (void)pipeline; /* the context is its fixture */
    ((struct fixture *)context)->reader_wakes++;
}

static int64_t wall_us(void *context)
{
    (void)context; /* the same for all */
    return 1700000000000000;
}

static const struct encode_context context = {.source = "s", .system_id = "7", .slot = "slot"};
static char pipeline_name[] = "p";
static char source_name[] = "s";
static char target_name[] = "t";
static char type_name[] = "scripted";
static char format_name[] = "native";
static char *table_patterns[] = {(char[]){"public.t"}};
static char *prefixes[] = {(char[]){"%"}};

void fixture_open(struct fixture *fixture, int64_t ring_events, int policy, int64_t batch_events)
{
    *fixture = (struct fixture){
        .settings = {.name = pipeline_name,
                     .source = source_name,
                     .tables = {table_patterns, 1},
                     .messages = {prefixes, 1},
                     .batch = {.max_events = batch_events,
                               .max_bytes = 1 << 20,
                               .max_us = 50000,
                               .respect_source_tx = true,
                               .max_inflight = 1},
                     .buffer = {.max_events = ring_events, .max_bytes = 1 << 20, .policy = policy},
                     .error_handling = {.backoff_us = 100000,
                                        .backoff_max_us = 1000000,
                                        .on_persistent_failure = ERRORS_STOP_SOURCE}},
        .target_settings = {.name = target_name,
                            .type = type_name,
                            .format = format_name,
                            .required = true},
    };
    fixture->target_settings.options = &fixture->target;
    fixture->settings.targets = (struct conf_section_list){&fixture->target_settings, 1};
    struct pipeline_setup setup = {.settings = &fixture->settings,
                                   .context = &context,
                                   .data_dir = "/nonexistent",
                                   .hooks = {schedule, wake_reader, wall_us, fixture},
                                   .seed = 1};
    struct fan_error error;
    ck_assert_int_eq(pipeline_init(&fixture->pipeline, &setup, &error), FAN_OK);
}

void fixture_close(struct fixture *fixture)
{
    pipeline_release(&fixture->pipeline);
}

struct change fixture_change(uint64_t commit, int64_t seq)
{
    /* A logical message: it needs no relation. Tag, flags, LSN, prefix, size, content. */
    static const uint8_t payload[] = {'M', 1, 0, 0, 0, 0, 0, 0, 0, 1, 'x', 0, 0, 0, 0, 1, 'y'};
    uint8_t *buffer = calloc(1, MESSAGE_HEADER_SIZE + sizeof(payload));
    ck_assert_ptr_nonnull(buffer);
    memcpy(buffer + MESSAGE_HEADER_SIZE, payload, sizeof(payload));
    return (struct change){
        .message = message_adopt(buffer, MESSAGE_HEADER_SIZE + sizeof(payload)),
        .position = {{commit}, seq},
        .hold_lsn = {commit},
        .commit_time_us = 1,
        .op = CHANGE_MESSAGE,
    };
}

void fixture_push(struct fixture *fixture, uint64_t commit, int64_t seq)
{
    struct change change = fixture_change(commit, seq);
    ck_assert_int_eq(ring_push(&fixture->pipeline.ring, &change), FAN_OK);
}

void fixture_publish(struct fixture *fixture, bool whole)
{
    if (whole) {
        ring_commit(&fixture->pipeline.ring);
    }
    (void)ring_publish(&fixture->pipeline.ring); /* the test steps the pipeline itself */
}

void fixture_settle(struct fixture *fixture, uint64_t commit, int64_t seq)
{
    struct outcome outcome = {.kind = OUTCOME_SETTLED, .checkpoint = {.position = {{commit}, seq}}};
    fixture->target.context.outcomes->post(fixture->target.context.outcomes, &outcome);
}

void fixture_post(struct fixture *fixture, enum outcome_kind kind)
{
    struct outcome outcome = {.kind = kind};
    (void)fan_fail(&outcome.error, FAN_RETRY, "scripted: outcome"); /* the text is wanted */
    fixture->target.context.outcomes->post(fixture->target.context.outcomes, &outcome);
}
