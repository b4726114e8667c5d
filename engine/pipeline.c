/*
 * pipeline.c - see pipeline.h for the picture.
 *
 * NOTES
 * A step runs in this order: take outcomes, obey the wish, step the outlets, deliver, act on their
 * troubles, report. The report comes last, so that what the reader sees is what holds until the next
 * step.
 *
 * A pipeline that fails keeps everything as it is until the reader wishes it IDLE: only the reader
 * knows that it has stopped pushing, and only then may the ring be emptied.
 */
#include "engine/pipeline.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/count.h"
#include "base/log.h"

enum {
    STEP_BATCHES_MAX = 64,       /* then other pipelines get their turn */
    FLUSH_PATIENCE_US = 3000000, /* for what is under way when a pipeline is stopped */
    LAGGARD_US = 500000,         /* a target that nobody waits for answers within this */
    ASK_AGAIN_US = 200000,
};

static void pipeline_wake(void *context)
{
    struct pipeline *pipeline = context;
    pipeline->hooks.schedule(pipeline->hooks.context, pipeline);
}

static struct encode_settings format_of(const struct settings_target *target)
{
    return (struct encode_settings){
        .type = encoder_type_find(target->format),
        .int8_as_string = target->int8 != 0,
        .special_values = (enum special_values)target->special_values,
    };
}

/* Gathers the formats that the targets ask for, each once. */
static enum fan_status formats_collect(const struct settings_pipeline *settings,
                                       struct encode_settings formats[BATCH_FORMATS_MAX],
                                       size_t *ret_count, size_t *ret_of_target,
                                       struct fan_error *reterr)
{
    size_t count = 0;
    for (size_t index = 0; index < settings->targets.count; index++) {
        struct encode_settings wanted = format_of(settings_target_at(settings, index));
        FAN_ASSERT(wanted.type != NULL); /* the conf decoder knows the formats */
        size_t found = 0;
        while (found < count && !encode_settings_equal(&formats[found], &wanted)) {
            found++;
        }
        if (found == BATCH_FORMATS_MAX) {
            return fan_fail(reterr, FAN_FATAL,
                            "pipeline \"%s\" asks for more than %d different formats",
                            settings->name, BATCH_FORMATS_MAX);
        }
        formats[found] = wanted;
        count = found == count ? count + 1 : count;
        ret_of_target[index] = found;
    }
    *ret_count = count;
    return FAN_OK;
}

/* A change that stands for dropped ones may be kept elsewhere once the store knows of them. */
static bool pipeline_knows_drop(void *context, struct fan_position position)
{
    struct pipeline *pipeline = context;
    struct ring_gap gaps[RING_GAPS_MAX];
    size_t count = ring_gaps(&pipeline->ring, gaps);
    for (size_t index = 0; index < count; index++) {
        if (position_compare(gaps[index].range.first, position) <= 0) {
            return false;
        }
    }
    return true;
}

/* Whether the commit policy can do without these events at this target: others have them, under a
 * quorum, which stay. */
static bool pipeline_may_gap(void *context, const struct backlog *backlog,
                             const struct change_gap *gap)
{
    const struct pipeline *pipeline = context;
    size_t have = 0;
    const struct outlet *outlet = NULL;
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        const struct outlet *peer = &pipeline->outlets[index];
        if (&peer->backlog == backlog) {
            outlet = peer;
            continue;
        }
        have += position_compare(peer->settled, gap->last) >= 0 &&
                position_compare(peer->given_up, gap->first) < 0;
    }
    const struct settings_commit *commit = &pipeline->settings->commit_policy;
    return commit->mode == COMMIT_QUORUM ? have >= (size_t)commit->quorum
                                         : outlet != NULL && !outlet->counts;
}

static struct batch *pipeline_marker(void *context, const struct change_gap *gap)
{
    struct pipeline *pipeline = context;
    return assembler_marker(&pipeline->assembler, gap);
}

bool pipeline_spill_directory(const char *data_dir, const char *pipeline, const char *target,
                              char *text, size_t text_size)
{
    /* A plus cannot be in a name, so that two pairs of names never share a directory. */
    int size = snprintf(text, text_size, "%s/spill-%s+%s", data_dir, pipeline, target);
    return size > 0 && (size_t)size < text_size;
}

static enum fan_status outlet_create(struct pipeline *pipeline, const struct pipeline_setup *setup,
                                     size_t index, size_t format, struct fan_error *reterr)
{
    const struct settings_pipeline *settings = setup->settings;
    const struct settings_target *target_settings = settings_target_at(settings, index);
    const struct target_type *type = target_type_find(target_settings->type);
    FAN_ASSERT(type != NULL); /* the conf decoder knows the types */
    char directory[PATH_MAX];
    if (!pipeline_spill_directory(setup->data_dir, settings->name, target_settings->name, directory,
                                  sizeof(directory))) {
        return fan_fail(reterr, FAN_FATAL, "data directory \"%s\" has too long a name",
                        setup->data_dir);
    }
    struct target_context context = {
        .pipeline = settings->name,
        .target = target_settings->name,
        .index = (uint32_t)index,
        .format = format,
        .lane = setup->first_lane + 2 * index,
        .outcomes = &pipeline->outcomes.sink,
        .executor = setup->executor,
        .encode = setup->context,
        .requests_max = (uint64_t)settings->batch.max_inflight,
        .deadline_us = target_settings->deadline_us,
    };
    struct target *target = NULL;
    enum fan_status status = type->create(target_settings->options, &context, &target, reterr);
    if (status != FAN_OK) {
        return status;
    }
    struct outlet_setup outlet = {
        .settings = settings,
        .target_settings = target_settings,
        .target = target,
        .format = format,
        .index = index,
        .outcomes = &pipeline->outcomes,
        .pool = pipeline->assembler.pool,
        .letterbox = setup->letterbox,
        .encode = setup->context,
        .executor = setup->executor,
        .lane = setup->first_lane + 2 * index + 1,
        .directory = directory,
        .marker = pipeline_marker,
        .knows_drop = pipeline_knows_drop,
        .may_gap = pipeline_may_gap,
        .wake = pipeline_wake,
        .context = pipeline,
    };
    status = outlet_init(&pipeline->outlets[index], &outlet, reterr);
    if (status != FAN_OK) {
        type->destroy(target);
    }
    return status;
}

static enum fan_status outlets_create(struct pipeline *pipeline, const struct pipeline_setup *setup,
                                      const size_t *formats, struct fan_error *reterr)
{
    enum fan_status status = FAN_OK;
    for (size_t index = 0; index < setup->settings->targets.count && status == FAN_OK; index++) {
        status = outlet_create(pipeline, setup, index, formats[index], reterr);
        pipeline->outlets_count += status == FAN_OK;
    }
    return status;
}

/* Whether some target needs to know what each event is about: for lanes, and for parking. */
static bool wants_labels(const struct settings_pipeline *settings)
{
    for (size_t index = 0; index < settings->targets.count; index++) {
        const struct target_type *type =
            target_type_find(settings_target_at(settings, index)->type);
        FAN_ASSERT(type != NULL); /* the conf decoder knows the types */
        if (type->labels || type->request != NULL) {
            return true;
        }
    }
    return false;
}

static enum fan_status pipeline_build(struct pipeline *pipeline, const struct pipeline_setup *setup,
                                      struct fan_error *reterr)
{
    const struct settings_pipeline *settings = setup->settings;
    struct ring_limits ring_limits = {
        .events_max = (uint32_t)settings->buffer.max_events,
        .bytes_max = settings->buffer.max_bytes,
        .policy = settings->buffer.policy == BUFFER_DROP_OLDEST ? RING_DROP_OLDEST
                  : settings->buffer.policy == BUFFER_ERROR     ? RING_ERROR
                                                                : RING_BLOCK,
    };
    struct assembler_limits assembler_limits = {
        .max_events = (size_t)settings->batch.max_events,
        .max_bytes = settings->batch.max_bytes,
        .max_us = settings->batch.max_us,
        .respect_source_tx = settings->batch.respect_source_tx,
    };
    size_t targets_count = settings->targets.count;
    if (targets_count > PIPELINE_TARGETS_MAX) {
        return fan_fail(reterr, FAN_FATAL, "pipeline \"%s\" has more than %d targets",
                        settings->name, PIPELINE_TARGETS_MAX);
    }
    struct encode_settings formats[BATCH_FORMATS_MAX];
    size_t formats_count = 0;
    size_t format_of_target[PIPELINE_TARGETS_MAX] = {0};
    enum fan_status status =
        formats_collect(settings, formats, &formats_count, format_of_target, reterr);
    if (status == FAN_OK) {
        status = ring_init(&pipeline->ring, ring_limits, reterr);
    }
    if (status == FAN_OK) {
        status = mailbox_init(&pipeline->mailbox, targets_count, reterr);
    }
    if (status == FAN_OK) {
        status =
            outcome_box_init(&pipeline->outcomes, targets_count, pipeline_wake, pipeline, reterr);
    }
    if (status == FAN_OK) {
        status = assembler_init(&pipeline->assembler, assembler_limits, formats, formats_count,
                                wants_labels(settings), setup->context, reterr);
    }
    if (status != FAN_OK) {
        return status;
    }
    pipeline->outlets = calloc(targets_count, sizeof(*pipeline->outlets));
    if (pipeline->outlets == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not allocate targets: out of memory");
    }
    return outlets_create(pipeline, setup, format_of_target, reterr);
}

enum fan_status pipeline_init(struct pipeline *pipeline, const struct pipeline_setup *setup,
                              struct fan_error *reterr)
{
    *pipeline = (struct pipeline){
        .settings = setup->settings,
        .hooks = setup->hooks,
        .run = RUN_IDLE,
        .ask_again_us = INT64_MAX,
        .rng = rng_seeded(setup->seed),
    };
    enum fan_status status = pipeline_build(pipeline, setup, reterr);
    if (status != FAN_OK) {
        pipeline_release(pipeline);
    }
    return status;
}

static void pipeline_drop_taken(struct pipeline *pipeline)
{
    for (; pipeline->taken_next < pipeline->taken_count; pipeline->taken_next++) {
        change_release(&pipeline->taken[pipeline->taken_next]);
    }
    pipeline->taken_next = 0;
    pipeline->taken_count = 0;
}

void pipeline_release(struct pipeline *pipeline)
{
    pipeline_drop_taken(pipeline);
    batch_unref(pipeline->current);
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        outlet_release(&pipeline->outlets[index]);
    }
    free(pipeline->outlets);
    assembler_release(&pipeline->assembler);
    outcome_box_release(&pipeline->outcomes);
    mailbox_release(&pipeline->mailbox);
    ring_release(&pipeline->ring);
    *pipeline = (struct pipeline){0};
}

enum fan_status pipeline_resume_target(struct pipeline *pipeline, size_t index,
                                       struct outlet_memory *memory, struct fan_error *reterr)
{
    return outlet_resume(&pipeline->outlets[index], memory, reterr);
}

/* Whether targets may be started and get something. */
static bool pipeline_may_deliver(const struct pipeline *pipeline)
{
    return (pipeline->run == RUN_STARTING || pipeline->run == RUN_FLOWING) &&
           (pipeline->wish == WISH_FLOW || pipeline->wish == WISH_DRAIN);
}

static struct outlet_moment moment_of(struct pipeline *pipeline, int64_t now_us)
{
    return (struct outlet_moment){.may_deliver = pipeline_may_deliver(pipeline),
                                  .now_us = now_us,
                                  .wall_us = pipeline->hooks.wall_us(pipeline->hooks.context),
                                  .rng = &pipeline->rng};
}

/* ---- failing, stopping, starting ---- */

static void pipeline_fail(struct pipeline *pipeline, bool lost, const struct fan_error *error)
{
    if (pipeline->run == RUN_IDLE) {
        return; /* nothing is in memory */
    }
    if (pipeline->run == RUN_FAILED) {
        return; /* the first reason is the one to show */
    }
    if (pipeline->run == RUN_FLUSHING) {
        pipeline->flush_until_us = INT64_MIN; /* it is on its way to idle: no use in waiting */
        return;
    }
    pipeline->run = RUN_FAILED;
    pipeline->lost = lost;
    pipeline->error = *error;
}

static bool outlets_all(const struct pipeline *pipeline, bool (*holds)(const struct outlet *outlet))
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        if (!holds(&pipeline->outlets[index])) {
            return false;
        }
    }
    return true;
}

/* Whether a change waits for this target; the others are diverted when they would hold it up. */
static bool outlet_paces(const struct pipeline *pipeline, const struct outlet *outlet)
{
    return outlet->counts || pipeline->settings->commit_policy.mode == COMMIT_QUORUM;
}

static void outlets_flush(struct pipeline *pipeline, int64_t now_us)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        struct target *target = pipeline->outlets[index].target;
        if (pipeline->outlets[index].started && target->type->flush != NULL) {
            target->type->flush(target, now_us);
        }
    }
}

/* Stops the targets and drops everything: the reader has stopped pushing. */
static void pipeline_become_idle(struct pipeline *pipeline)
{
    int64_t wall_us = pipeline->hooks.wall_us(pipeline->hooks.context);
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        outlet_stop(&pipeline->outlets[index], wall_us);
    }
    pipeline_drop_taken(pipeline);
    batch_unref(pipeline->current);
    pipeline->current = NULL;
    assembler_reset(&pipeline->assembler);
    (void)ring_discard(&pipeline->ring); /* how many does not matter: they are read again */
    pipeline->run = RUN_IDLE;
}

static void pipeline_flush_step(struct pipeline *pipeline, int64_t now_us)
{
    if (outlets_all(pipeline, outlet_empty) || now_us >= pipeline->flush_until_us) {
        pipeline_become_idle(pipeline);
    }
}

static void pipeline_encourage(struct pipeline *pipeline)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        outlet_encourage(&pipeline->outlets[index]);
    }
}

static void pipeline_obey(struct pipeline *pipeline, int64_t now_us)
{
    uint64_t serial;
    uint64_t encouragements;
    enum wish wish = mailbox_wanted(&pipeline->mailbox, &serial, &encouragements);
    if (encouragements != pipeline->encouragements) {
        pipeline->encouragements = encouragements;
        pipeline_encourage(pipeline);
    }
    if (serial == pipeline->wish_serial) {
        return;
    }
    pipeline->wish_serial = serial;
    pipeline->wish = wish;
    pipeline->drained = false;
    switch (wish) {
    case WISH_IDLE:
        if (pipeline->run == RUN_FLOWING || pipeline->run == RUN_HELD) {
            outlets_flush(pipeline, now_us);
            pipeline->flush_until_us = now_us + FLUSH_PATIENCE_US;
            pipeline->run = RUN_FLUSHING;
        } else if (pipeline->run != RUN_FLUSHING) {
            pipeline_become_idle(pipeline);
        }
        break;
    case WISH_FLOW:
    case WISH_DRAIN:
        if (pipeline->run == RUN_IDLE) {
            pipeline->run = RUN_STARTING;
        } else if (pipeline->run == RUN_HELD) {
            pipeline->run = RUN_FLOWING;
        }
        break;
    case WISH_HOLD:
        if (pipeline->run == RUN_FLOWING) { /* RUN_STARTING becomes RUN_HELD by itself */
            pipeline->run = RUN_HELD;
        }
        break;
    case WISH_SPILL:
    case WISH_GAP:
        if (pipeline->run == RUN_IDLE || pipeline->run == RUN_HELD) {
            pipeline->run = RUN_FLOWING;
        }
        break;
    }
}

/* It has started when every target that a change waits for has, or is diverted. */
static void pipeline_start_step(struct pipeline *pipeline)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        const struct outlet *outlet = &pipeline->outlets[index];
        if (outlet_paces(pipeline, outlet) && outlet_holds_start(outlet)) {
            return;
        }
    }
    pipeline->run = pipeline->wish == WISH_HOLD ? RUN_HELD : RUN_FLOWING;
}

/* ---- outcomes ---- */

static void pipeline_take_outcomes(struct pipeline *pipeline, const struct outlet_moment *moment)
{
    if (!outcome_box_news(&pipeline->outcomes)) {
        return;
    }
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        outlet_take(&pipeline->outlets[index], moment);
    }
}

static void pipeline_tell_persisted(struct pipeline *pipeline)
{
    struct mailbox_persisted persisted[PIPELINE_TARGETS_MAX];
    if (!mailbox_take_persisted(&pipeline->mailbox, &pipeline->persisted_moves, persisted)) {
        return;
    }
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        const struct mailbox_persisted *place = &persisted[index];
        if (position_compare(place->checkpoint.position, (struct fan_position){0}) != 0) {
            outlet_persisted(&pipeline->outlets[index], &place->checkpoint, place->gap_serial,
                             place->gap_count);
        }
    }
}

static void pipeline_take_replays(struct pipeline *pipeline)
{
    size_t target;
    struct replay *replay = mailbox_next_replay(&pipeline->mailbox, &target);
    if (replay == NULL) {
        return;
    }
    struct fan_error error;
    bool works = pipeline_may_deliver(pipeline);
    enum fan_status status = works
                                 ? outlet_replay(&pipeline->outlets[target], replay, &error)
                                 : fan_fail(&error, FAN_RETRY, "the pipeline does not deliver now");
    if (status == FAN_OK) {
        return;
    }
    if (status == FAN_AGAIN) {
        (void)fan_fail(&error, FAN_RETRY, "another replay is under way"); /* the text counts */
    }
    replay->stopped = true;
    replay->error = error;
    batch_unref(replay->batch);
    replay->batch = NULL;
    replay->done(replay); /* the last use of it */
}

/* ---- troubles ---- */

/* How many targets take changes as they come. */
static size_t outlets_live(const struct pipeline *pipeline)
{
    size_t live = 0;
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        const struct outlet *outlet = &pipeline->outlets[index];
        live += outlet->divert == BACKLOG_NONE && outlet->started && !outlet->circuit_open;
    }
    return live;
}

/* Whether the commit policy, or the buffer's, lets this target fall behind now. `others` says how
 * many of the other targets do not. */
static bool may_fall_behind(const struct pipeline *pipeline, const struct outlet *outlet,
                            size_t others)
{
    const struct settings_pipeline *settings = pipeline->settings;
    if (settings->commit_policy.mode == COMMIT_QUORUM) {
        return others >= (size_t)settings->commit_policy.quorum;
    }
    return !outlet->counts;
}

/* Whether the buffer's policy lets any target go on out of its spill. */
static bool may_spill(const struct pipeline *pipeline)
{
    const struct settings_buffer *buffer = &pipeline->settings->buffer;
    return buffer->policy == BUFFER_SPILL && buffer->spill_max > 0;
}

static const char *policy_name(enum error_policy policy)
{
    static const char *const names[] = {"isolate", "stop_source", "stop_all"};
    return names[policy];
}

static void apply_policy(struct pipeline *pipeline, struct outlet *outlet)
{
    const struct settings_errors *errors = &pipeline->settings->error_handling;
    log_write(LOG_ERROR, "target fails persistently", LOG_TEXT("pipeline", outlet->pipeline),
              LOG_TEXT("target", outlet->name),
              LOG_TEXT("policy", policy_name((enum error_policy)errors->on_persistent_failure)),
              LOG_TEXT("error", outlet->error.text));
    if (errors->on_persistent_failure == ERRORS_ISOLATE) {
        outlet_divert(outlet, errors->dead_letter ? BACKLOG_LETTERS : BACKLOG_GAP, &outlet->error);
        return;
    }
    struct fan_error error = outlet->error;
    (void)fan_fail(&error, FAN_FATAL, "target \"%s\": %s", outlet->name, outlet->error.text);
    pipeline->policy = (enum error_policy)errors->on_persistent_failure;
    pipeline_fail(pipeline, false, &error);
}

static void outlet_failed(struct pipeline *pipeline, struct outlet *outlet, enum trouble trouble,
                          int64_t now_us)
{
    outlet->fatal = outlet->fatal || trouble == TROUBLE_FATAL;
    if (outlet->divert != BACKLOG_NONE) {
        outlet->moves++; /* shown, and kept */
        return;
    }
    if (trouble == TROUBLE_SPENT && !outlet->circuit_open) {
        return; /* it could not be diverted before, and works again */
    }
    bool live = outlet->started && !outlet->circuit_open;
    bool may = may_fall_behind(pipeline, outlet, outlets_live(pipeline) - live);
    if (pipeline->settings->commit_policy.mode == COMMIT_QUORUM && !may) {
        outlet->moves++;
        return; /* too few are left: it holds, as the laggards that follow it do */
    }
    if (may || may_spill(pipeline)) {
        outlet_divert(outlet, BACKLOG_SPILL, &outlet->error);
    } else {
        apply_policy(pipeline, outlet);
    }
    if (outlet->divert == BACKLOG_NONE && pipeline->run != RUN_FAILED) {
        outlet->trouble = trouble; /* it could not be done now */
        pipeline->ask_again_us = now_us + ASK_AGAIN_US;
    }
}

static void pipeline_act_on_troubles(struct pipeline *pipeline, int64_t now_us)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        struct outlet *outlet = &pipeline->outlets[index];
        enum trouble trouble = outlet_take_trouble(outlet);
        if (pipeline->run == RUN_IDLE || pipeline->run == RUN_FAILED) {
            continue; /* it has been dealt with */
        }
        if (trouble == TROUBLE_LOST) {
            pipeline_fail(pipeline, true, &outlet->error);
        } else if (trouble != TROUBLE_NONE) {
            outlet_failed(pipeline, outlet, trouble, now_us);
            if (outlet->trouble == TROUBLE_LOST) { /* by being diverted */
                (void)outlet_take_trouble(outlet); /* known */
                pipeline_fail(pipeline, true, &outlet->error);
            }
        }
    }
}

/* A target that nobody waits for, and that does not answer, goes on out of its backlog. */
static int64_t pipeline_divert_laggards(struct pipeline *pipeline, int64_t now_us)
{
    static const struct fan_error slow = {.text = "it is slower than the others"};
    int64_t due_us = INT64_MAX;
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        struct outlet *outlet = &pipeline->outlets[index];
        if (outlet->counts || !outlet->answering || outlet->divert != BACKLOG_NONE ||
            courier_idle(&outlet->courier) || outlet->replay != NULL) {
            continue;
        }
        size_t settled = 0; /* others that have what it lacks */
        for (size_t other = 0; other < pipeline->outlets_count; other++) {
            const struct outlet *peer = &pipeline->outlets[other];
            settled += other != index && peer->divert == BACKLOG_NONE &&
                       position_compare(peer->settled, outlet->given) >= 0;
        }
        if (!may_fall_behind(pipeline, outlet, settled)) {
            continue;
        }
        if (now_us - outlet->busy_us >= LAGGARD_US) {
            outlet_divert(outlet, BACKLOG_SPILL, &slow);
        } else if (outlet->busy_us + LAGGARD_US < due_us) {
            due_us = outlet->busy_us + LAGGARD_US;
        }
    }
    return due_us;
}

/* ---- delivering ---- */

static size_t bits_count(uint64_t bits)
{
    return (size_t)__builtin_popcountll(bits);
}

/* Whether a diversion would lose what comes. */
static bool loses(const struct outlet *outlet)
{
    return !outlet->counts && outlet->settings->buffer.spill_max == 0;
}

/* Those that hold the current batch up although they need not are diverted. */
static void pipeline_divert_holders(struct pipeline *pipeline, int64_t now_us)
{
    static const struct fan_error slow = {.text = "it is slower than the others"};
    static const struct fan_error full = {.text = "the buffer is full"};
    bool overflow = may_spill(pipeline) && ring_reader_waits(&pipeline->ring);
    uint64_t diverted = 0;
    uint64_t required = 0;
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        diverted |= (uint64_t)(pipeline->outlets[index].divert != BACKLOG_NONE) << index;
        required |= (uint64_t)pipeline->outlets[index].counts << index;
    }
    bool quorum = pipeline->settings->commit_policy.mode == COMMIT_QUORUM;
    size_t have = pipeline->outlets_count - bits_count(pipeline->current_left | diverted);
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        struct outlet *outlet = &pipeline->outlets[index];
        if ((pipeline->current_left >> index & 1) == 0 || outlet->divert != BACKLOG_NONE) {
            continue;
        }
        /* Those that count come first: nobody is spilled for a batch that has to wait anyway. */
        bool ahead = quorum || (pipeline->current_left & required) == 0;
        bool behind = ahead && may_fall_behind(pipeline, outlet, have);
        if (behind && loses(outlet) && outlet->answering && !courier_idle(&outlet->courier) &&
            now_us - outlet->busy_us < LAGGARD_US) {
            continue; /* pipeline_divert_laggards() sees to it */
        }
        if (!behind && !overflow) {
            outlet_goes_on(outlet);
        } else if (!outlet_settles_down(outlet, now_us)) {
            outlet_divert(outlet, BACKLOG_SPILL, behind ? &slow : &full);
            if (outlet->divert == BACKLOG_NONE) {
                pipeline->ask_again_us = now_us + ASK_AGAIN_US;
            }
        }
    }
}

/* For the slot's guard: everything is kept elsewhere, or given up. */
static void pipeline_divert_all(struct pipeline *pipeline, enum backlog_kind kind)
{
    static const struct fan_error guard = {.text = "the slot holds too much WAL"};
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        if (pipeline->outlets[index].divert == BACKLOG_NONE) {
            outlet_divert(&pipeline->outlets[index], kind, &guard);
        }
    }
}

static void pipeline_offer_to_those_left(struct pipeline *pipeline,
                                         const struct outlet_moment *moment)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        uint64_t bit = (uint64_t)1 << index;
        if ((pipeline->current_left & bit) != 0 &&
            outlet_offer(&pipeline->outlets[index], pipeline->current, moment) == OFFER_ACCEPTED) {
            pipeline->current_left &= ~bit;
        }
    }
}

/* A backlog that could not take the batch, or could not be begun, tells nobody when it can. */
static void pipeline_ask_again(struct pipeline *pipeline, int64_t now_us)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        const struct outlet *outlet = &pipeline->outlets[index];
        bool waits = outlet->divert != BACKLOG_NONE ||
                     (outlet->no_more_us != 0 && outlet->no_more_us <= now_us);
        if ((pipeline->current_left >> index & 1) != 0 && waits) {
            pipeline->ask_again_us = now_us + ASK_AGAIN_US;
        }
    }
}

/* Offers the current batch to the outlets that do not have it. True when all have. */
static bool pipeline_offer_current(struct pipeline *pipeline, const struct outlet_moment *moment)
{
    pipeline_offer_to_those_left(pipeline, moment);
    if (pipeline->current_left != 0) {
        pipeline_divert_holders(pipeline, moment->now_us);
        pipeline_offer_to_those_left(pipeline, moment);
    }
    if (pipeline->current_left != 0) {
        pipeline_ask_again(pipeline, moment->now_us);
        return false;
    }
    batch_unref(pipeline->current);
    pipeline->current = NULL;
    return true;
}

/* Moves taken changes into the open batch until a bound asks for a cut. */
static void pipeline_add_taken(struct pipeline *pipeline, int64_t now_us)
{
    while (pipeline->taken_next < pipeline->taken_count && !assembler_full(&pipeline->assembler)) {
        struct change *change = &pipeline->taken[pipeline->taken_next];
        struct fan_error error;
        enum fan_status status = assembler_add(&pipeline->assembler, change, now_us, &error);
        if (status != FAN_OK) {
            pipeline_fail(pipeline, status == FAN_RETRY, &error);
            return;
        }
        pipeline->taken_next++;
    }
    if (pipeline->taken_next == pipeline->taken_count) {
        pipeline->taken_next = 0;
        pipeline->taken_count = 0;
    }
}

/* Takes from the ring what the open batch may get. Returns whether the ring has more. */
static bool pipeline_take(struct pipeline *pipeline)
{
    size_t open = assembler_open_events(&pipeline->assembler);
    size_t max_events = pipeline->assembler.limits.max_events;
    size_t room = open < max_events ? max_events - open : PIPELINE_TAKE_MAX;
    size_t max = room < PIPELINE_TAKE_MAX ? room : PIPELINE_TAKE_MAX;
    struct ring_taken taken = ring_take(&pipeline->ring, pipeline->taken, max);
    pipeline->taken_count = taken.count;
    if (taken.count == 0 && taken.whole) {
        assembler_end_txn(&pipeline->assembler);
    }
    if (taken.wake_reader) {
        pipeline->hooks.wake_reader(pipeline->hooks.context, pipeline);
    }
    return taken.count > 0;
}

/* Cuts the next batch if one is due. */
static bool pipeline_cut(struct pipeline *pipeline, enum cut_reason reason, int64_t now_us)
{
    pipeline->current = assembler_cut(&pipeline->assembler, reason, now_us);
    if (pipeline->current == NULL) {
        if (assembler_starved(&pipeline->assembler)) {
            struct fan_error error;
            (void)fan_fail(&error, FAN_RETRY, "could not cut a batch: out of memory");
            pipeline_fail(pipeline, true, &error); /* what is given up makes room */
        }
        return false;
    }
    pipeline->current_left =
        pipeline->outlets_count == 64 ? UINT64_MAX : ((uint64_t)1 << pipeline->outlets_count) - 1;
    count_add(&pipeline->counters.limits[pipeline->current->limit], 1);
    return true;
}

/* Delivers while something can be. Returns whether it stopped only to let others have a turn. */
static bool pipeline_flow(struct pipeline *pipeline, const struct outlet_moment *moment)
{
    int64_t now_us = moment->now_us;
    unsigned batches = 0;
    while (pipeline->run == RUN_FLOWING) {
        if (pipeline->current != NULL) {
            if (!pipeline_offer_current(pipeline, moment)) {
                return false;
            }
            if (++batches == STEP_BATCHES_MAX) {
                return true;
            }
        }
        if (pipeline->taken_next < pipeline->taken_count) {
            pipeline_add_taken(pipeline, now_us);
        }
        if (pipeline_cut(pipeline, CUT_IF_FULL, now_us)) {
            continue;
        }
        if (pipeline->taken_next < pipeline->taken_count || pipeline_take(pipeline)) {
            continue;
        }
        /* The ring is empty. */
        bool at_once = outlets_all(pipeline, outlet_idle) || pipeline->wish == WISH_DRAIN;
        if (!pipeline_cut(pipeline, at_once ? CUT_NOW : CUT_IF_DUE, now_us)) {
            break;
        }
    }
    return false;
}

/* Whether a target holds everything until an operator comes: no use in waiting for it. */
static bool outlet_stuck(const struct outlet *outlet)
{
    return outlet->fatal && (outlet->divert == BACKLOG_NONE || outlet->squeezed);
}

static void pipeline_drain_step(struct pipeline *pipeline, int64_t now_us)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        pipeline->drained = pipeline->drained || outlet_stuck(&pipeline->outlets[index]);
    }
    if (pipeline->run != RUN_FLOWING || pipeline->current != NULL) {
        return;
    }
    if (outlets_all(pipeline, outlet_empty)) {
        pipeline->drained = true;
    } else {
        outlets_flush(pipeline, now_us);
    }
}

/* ---- the report ---- */

/* The hold LSN and commit time of the first change after what the outlet has under way. */
static const struct batch_event *oldest_unoffered(const struct pipeline *pipeline, size_t index)
{
    if (pipeline->current != NULL && (pipeline->current_left & ((uint64_t)1 << index)) != 0) {
        return &pipeline->current->events[0];
    }
    return assembler_oldest(&pipeline->assembler);
}

static void target_report(const struct pipeline *pipeline, size_t index,
                          struct mailbox_target *ret_target, int64_t *ret_oldest_us)
{
    const struct outlet *outlet = &pipeline->outlets[index];
    const struct batch_event *waiting = oldest_unoffered(pipeline, index);
    *ret_target = (struct mailbox_target){.checkpoint = outlet->checkpoint,
                                          .settled = outlet->settled,
                                          .fatal = outlet->fatal,
                                          .moves = outlet->moves};
    if (!outlet->backlog.gap_known) {
        ret_target->gap = outlet->backlog.gap;
    }
    int64_t commit_us = 0;
    if (outlet_oldest(outlet, &ret_target->next_hold, &commit_us)) {
        /* filled */
    } else if (position_compare(outlet->settled, outlet->given) < 0) {
        ret_target->next_hold = LSN_NONE; /* in the backlog, and not durable there yet */
    } else if (waiting != NULL) {
        ret_target->next_hold = waiting->hold_lsn;
        commit_us = waiting->commit_time_us;
    } else if (pipeline->taken_next < pipeline->taken_count) {
        ret_target->next_hold = pipeline->taken[pipeline->taken_next].hold_lsn;
        commit_us = pipeline->taken[pipeline->taken_next].commit_time_us;
    }
    if (commit_us != 0 && (*ret_oldest_us == 0 || commit_us < *ret_oldest_us)) {
        *ret_oldest_us = commit_us;
    }
}

/* A target that refuses although nothing of it is under way waits for its checkpoint; one that is
 * ready again waits until the store has its gap. */
static bool pipeline_is_urgent(const struct pipeline *pipeline)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        if (outlet_waits_for_gap(&pipeline->outlets[index])) {
            return true;
        }
    }
    if (pipeline->current == NULL || pipeline->run != RUN_FLOWING) {
        return false;
    }
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        const struct outlet *outlet = &pipeline->outlets[index];
        if ((pipeline->current_left & ((uint64_t)1 << index)) != 0 && outlet_empty(outlet) &&
            outlet->started && !outlet->answering && outlet->divert == BACKLOG_NONE &&
            outlet->retry_at_us == 0) {
            return true;
        }
    }
    return false;
}

static void pipeline_show_errors(struct pipeline *pipeline)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        struct outlet *outlet = &pipeline->outlets[index];
        if (strcmp(outlet->last_error.text, outlet->shown_error) != 0) {
            (void)snprintf(outlet->shown_error, sizeof(outlet->shown_error), "%s",
                           outlet->last_error.text); /* same sizes */
            mailbox_note_error(&pipeline->mailbox, index, outlet->shown_error);
        }
    }
}

static void report_isolation(const struct pipeline *pipeline, struct report *report)
{
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        const struct outlet *outlet = &pipeline->outlets[index];
        if (outlet_isolated(outlet)) {
            const char *why =
                outlet->last_error.text[0] != '\0' ? outlet->last_error.text : outlet->error.text;
            (void)fan_fail(&report->error, FAN_RETRY, "target \"%s\" is isolated: %s", outlet->name,
                           why[0] != '\0' ? why : "it catches up");
            report->isolated = true;
            return;
        }
    }
}

static uint64_t outlets_moves(const struct pipeline *pipeline)
{
    uint64_t moves = 0;
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        moves += pipeline->outlets[index].moves;
    }
    return moves;
}

static void pipeline_report(struct pipeline *pipeline)
{
    struct mailbox_target targets[PIPELINE_TARGETS_MAX];
    struct report report = {
        .run = pipeline->run,
        .wish_serial = pipeline->wish_serial,
        .drained = pipeline->drained,
        .lost = pipeline->lost,
        .policy = pipeline->policy,
        .urgent = pipeline_is_urgent(pipeline),
    };
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        target_report(pipeline, index, &targets[index], &report.oldest_commit_us);
    }
    if (pipeline->run == RUN_FAILED) {
        report.error = pipeline->error;
    } else {
        report_isolation(pipeline, &report);
    }
    pipeline_show_errors(pipeline);
    mailbox_report(&pipeline->mailbox, &report, targets);
    /* Progress alone wakes nobody, unless a target waits for the store to have it: the reader looks
     * when it next persists. */
    uint64_t moves = report.urgent ? outlets_moves(pipeline) : 0;
    const struct report *before = &pipeline->reported;
    bool wake = before->run != report.run || before->wish_serial != report.wish_serial ||
                before->drained != report.drained || before->urgent != report.urgent ||
                before->isolated != report.isolated || moves != pipeline->urgent_moves;
    pipeline->reported = report;
    pipeline->urgent_moves = moves;
    if (wake) {
        pipeline->hooks.wake_reader(pipeline->hooks.context, pipeline);
    }
}

static int64_t earlier(int64_t left_us, int64_t right_us)
{
    return left_us < right_us ? left_us : right_us;
}

static int64_t pipeline_deadline(const struct pipeline *pipeline)
{
    int64_t deadline = pipeline->ask_again_us;
    if (pipeline->run == RUN_FLUSHING) {
        deadline = earlier(deadline, pipeline->flush_until_us);
    } else if (pipeline->run == RUN_FLOWING && pipeline->current == NULL) {
        /* An open transaction is not cut by time: its commit brings the next step. */
        bool may_cut =
            pipeline->assembler.whole > 0 || !pipeline->assembler.limits.respect_source_tx;
        deadline = earlier(deadline, may_cut ? assembler_due_us(&pipeline->assembler) : INT64_MAX);
    }
    return deadline;
}

static int64_t pipeline_step_outlets(struct pipeline *pipeline, const struct outlet_moment *moment)
{
    int64_t due_us = INT64_MAX;
    for (size_t index = 0; index < pipeline->outlets_count; index++) {
        due_us = earlier(due_us, outlet_step(&pipeline->outlets[index], moment));
    }
    return due_us;
}

int64_t pipeline_step(struct pipeline *pipeline, int64_t now_us)
{
    thread_owner_bind(&pipeline->owner);
    struct outlet_moment moment = moment_of(pipeline, now_us);
    bool more = false;
    pipeline->ask_again_us = INT64_MAX;
    pipeline_take_outcomes(pipeline, &moment);
    pipeline_obey(pipeline, now_us);
    moment.may_deliver = pipeline_may_deliver(pipeline);
    pipeline_tell_persisted(pipeline);
    pipeline_take_replays(pipeline);
    int64_t due_us = pipeline_step_outlets(pipeline, &moment);
    pipeline_act_on_troubles(pipeline, now_us);
    enum backlog_kind diversion = mailbox_take_diversion(&pipeline->mailbox);
    if (diversion != BACKLOG_NONE && pipeline_may_deliver(pipeline)) {
        pipeline_divert_all(pipeline, diversion);
    }
    if (pipeline->run == RUN_STARTING) {
        pipeline_start_step(pipeline);
    }
    if (pipeline->run == RUN_FLOWING) {
        if (pipeline->wish == WISH_SPILL || pipeline->wish == WISH_GAP) {
            pipeline_divert_all(pipeline,
                                pipeline->wish == WISH_SPILL ? BACKLOG_SPILL : BACKLOG_GAP);
        }
        more = pipeline_flow(pipeline, &moment);
        due_us = earlier(due_us, pipeline_divert_laggards(pipeline, now_us));
    }
    if (pipeline->run == RUN_FLUSHING) {
        pipeline_flush_step(pipeline, now_us);
    }
    if (pipeline->wish == WISH_DRAIN && !more) {
        pipeline_drain_step(pipeline, now_us);
    }
    /* What was offered may have settled at once, failed, or begun something. */
    moment.may_deliver = pipeline_may_deliver(pipeline);
    due_us = earlier(due_us, pipeline_step_outlets(pipeline, &moment));
    pipeline_act_on_troubles(pipeline, now_us);
    due_us = earlier(due_us, pipeline_deadline(pipeline));
    pipeline_report(pipeline);
    thread_owner_unbind(&pipeline->owner);
    return more ? now_us : due_us;
}
