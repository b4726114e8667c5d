/*
 * pipeline_build.c - a pipeline out of its settings: formats, ring, assembler, an outlet a target.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "engine/pipeline_internal.h"
#include "schemas/registry.h"

static void pipeline_wake(void *context)
{
    struct pipeline *pipeline = context;
    pipeline->hooks.schedule(pipeline->hooks.context, pipeline);
}

static struct debezium_settings debezium_of(const struct settings_debezium *debezium)
{
    return (struct debezium_settings){
        .schemas = debezium->schemas,
        .decimal = (enum debezium_decimal)debezium->decimal,
        .time = (enum debezium_time)debezium->time,
        .binary = (enum debezium_binary)debezium->binary,
        .interval = (enum debezium_interval)debezium->interval,
        .hstore = (enum debezium_hstore)debezium->hstore,
        .transaction_metadata = debezium->transaction_metadata,
        .defaults = debezium->defaults,
        .unavailable_value = debezium->unavailable_value,
        .topic_prefix = debezium->topic_prefix,
    };
}

static struct encode_settings format_of(const struct settings_target *target,
                                        struct schema_ids *ids)
{
    const struct encoder_type *encoder = encoder_type_find(target->format);
    const struct target_type *type = target_type_find(target->type);
    FAN_ASSERT(encoder != NULL && type != NULL); /* the conf decoder knows them */
    bool cloudevents = encoder == encoder_type_find("cloudevents");
    return (struct encode_settings){
        .type = encoder,
        .records = encoder->records && type->records,
        .octets = ids != NULL && type->octets,
        .int8_as_string = target->int8 != 0,
        .special_values = (enum special_values)target->special_values,
        .transactions = target->transactions,
        .cloudevents_mode =
            cloudevents ? (enum cloudevents_mode)target->cloudevents.mode : CLOUDEVENTS_STRUCTURED,
        .cloudevents_compat =
            cloudevents ? (enum cloudevents_compat)target->cloudevents.compat : CLOUDEVENTS_OWN,
        /* The conf refuses these sections for any other envelope. */
        .debezium = debezium_of(&target->debezium),
        .avro = {.ids = ids,
                 .subjects = (enum avro_subjects)target->avro.subjects,
                 .names = (enum avro_names)target->avro.names},
    };
}

/* Who knows the numbers of the target's schemas; NULL: its format has none. */
static enum fan_status ids_of(const struct pipeline_setup *setup,
                              const struct settings_target *target, struct schema_ids **ret_ids,
                              struct fan_error *reterr)
{
    *ret_ids = NULL;
    return strcmp(target->format, AVRO_FORMAT) == 0
               ? schema_registries_get(setup->registries, &target->avro, ret_ids, reterr)
               : FAN_OK;
}

/* Gathers the formats that the targets ask for, each once. */
static enum fan_status formats_collect(const struct pipeline_setup *setup,
                                       struct encode_settings formats[BATCH_FORMATS_MAX],
                                       size_t *ret_count, size_t *ret_of_target,
                                       struct fan_error *reterr)
{
    const struct settings_pipeline *settings = setup->settings;
    size_t count = 0;
    for (size_t index = 0; index < settings->targets.count; index++) {
        const struct settings_target *target = settings_target_at(settings, index);
        struct schema_ids *ids;
        enum fan_status status = ids_of(setup, target, &ids, reterr);
        if (status != FAN_OK) {
            return status;
        }
        struct encode_settings wanted = format_of(target, ids);
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

static enum fan_status pipeline_marker(void *context, const struct change_gap *gap,
                                       struct batch **ret_batch, struct fan_error *reterr)
{
    struct pipeline *pipeline = context;
    return assembler_marker(&pipeline->assembler, gap, ret_batch, reterr);
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
        .encoding = &pipeline->assembler.formats[format],
        .records = pipeline->assembler.formats[format].records,
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
        .retries = &pipeline->retries,
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

enum fan_status pipeline_build(struct pipeline *pipeline, const struct pipeline_setup *setup,
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
        formats_collect(setup, formats, &formats_count, format_of_target, reterr);
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
