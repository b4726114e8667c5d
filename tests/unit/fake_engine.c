#include "fake_engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static bool held;
static unsigned arrived;

struct engine {
    struct pipeline_status pipelines[2];
    struct target_status target;
    struct source_entry source;
    const char *failure;
    struct store *store; /* borrowed */
    uint64_t succeed;    /* letters of a replay, the first ones; then so many fail */
    uint64_t fail;
    const char *stop_why;
    bool stuck;
    uint64_t removals; /* how often letters were said to have gone */
};

static struct engine the_engine;

static char *tables_orders[] = {"public.orders"};
static char *tables_all[] = {"public.%"};
static struct conf_text_pair labels_orders[] = {{"team", "shop"}, {"env", "prod"}};
static struct settings_target targets[] = {{.name = "file", .type = "file", .format = "native"}};
static struct settings_pipeline pipelines[] = {
    {
        .name = "orders",
        .source = "shop",
        .labels = {.pairs = labels_orders, .count = 2},
        .tables = {.items = tables_orders, .count = 1},
        .batch = {.max_events = 2000, .max_bytes = 16 << 20, .max_us = 50000, .max_inflight = 1},
        .targets = {.items = targets, .count = 1},
    },
    {
        .name = "all",
        .source = "shop",
        .tables = {.items = tables_all, .count = 1},
        .targets = {.items = targets, .count = 1},
    },
};
static struct settings_source sources[] = {{.name = "shop", .type = "postgres"}};
static struct settings the_settings = {
    .sources = {.items = sources, .count = 1},
    .pipelines = {.items = pipelines, .count = 2},
};

const struct settings *fake_engine_settings(const char *data_dir, const char *listen)
{
    static char directory[256];
    static char address[64];
    strncpy(directory, data_dir, sizeof(directory) - 1);
    the_settings.data_dir = directory;
    the_settings.api.listen = NULL;
    if (listen != NULL) {
        strncpy(address, listen, sizeof(address) - 1);
        the_settings.api.listen = address;
    }
    return &the_settings;
}

struct engine *fake_engine(void)
{
    return &the_engine;
}

void fake_engine_reset(void)
{
    the_engine = (struct engine){0};
    held = false;
    arrived = 0;
    for (size_t i = 0; i < 2; i++) {
        the_engine.pipelines[i] = (struct pipeline_status){
            .name = pipelines[i].name,
            .source = "shop",
            .settings = &pipelines[i],
            .state = PIPELINE_STREAMING,
            .read = 7,
            .delivered = 4,
            .gap = 1,
            .filtered = 0,
            .pending = 2,
            .lag_bytes = -1,
            .targets_count = 1,
            .targets = &the_engine.target,
        };
    }
    the_engine.target =
        (struct target_status){.name = "fi\"le\\", .type = "file", .durability = "os"};
    the_engine.source = (struct source_entry){.name = "shop", .type = "postgres", .lag_bytes = 12};
    the_engine.source.source.state = SOURCE_STREAMING;
    the_engine.source.source.retained_bytes = -1;
}

struct pipeline_status *fake_engine_pipeline(size_t index)
{
    return &the_engine.pipelines[index];
}

struct source_entry *fake_engine_source(void)
{
    return &the_engine.source;
}

void fake_engine_hold_commands(void)
{
    (void)pthread_mutex_lock(&lock);
    held = true;
    (void)pthread_mutex_unlock(&lock);
}

bool fake_engine_await_command(unsigned count)
{
    struct timespec deadline;
    (void)clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 10;
    (void)pthread_mutex_lock(&lock);
    while (arrived < count && pthread_cond_timedwait(&moved, &lock, &deadline) == 0) {
    }
    bool there = arrived >= count;
    (void)pthread_mutex_unlock(&lock);
    return there;
}

void fake_engine_let_go(void)
{
    (void)pthread_mutex_lock(&lock);
    held = false;
    (void)pthread_cond_broadcast(&moved);
    (void)pthread_mutex_unlock(&lock);
}

void fake_engine_fail_commands(const char *code)
{
    the_engine.failure = code;
}

enum fan_status engine_create(const struct engine_setup *setup, struct engine **ret_engine,
                              enum engine_exit *ret_exit, struct fan_error *reterr)
{
    (void)setup;
    (void)reterr;
    *ret_exit = EXIT_FINE;
    *ret_engine = &the_engine;
    return FAN_OK;
}

enum fan_status engine_start(struct engine *engine, struct fan_error *reterr)
{
    (void)engine;
    (void)reterr;
    return FAN_OK;
}

int engine_ended_fd(const struct engine *engine)
{
    (void)engine;
    return -1;
}

bool engine_ended(struct engine *engine, enum engine_exit *ret_exit, struct fan_error *ret_why)
{
    (void)engine;
    (void)ret_exit;
    (void)ret_why;
    return false;
}

bool engine_answers(struct engine *engine, int64_t within_us, struct fan_error *ret_why)
{
    (void)within_us;
    if (engine->stuck) {
        (void)fan_fail(ret_why, FAN_RETRY, "the store thread does not answer");
    }
    return !engine->stuck;
}

void fake_engine_stick(bool stuck)
{
    the_engine.stuck = stuck;
}

enum fan_status engine_stop(struct engine *engine, int64_t timeout_us, struct fan_error *reterr)
{
    (void)engine;
    (void)timeout_us;
    (void)reterr;
    return FAN_OK;
}

void engine_destroy(struct engine *engine)
{
    (void)engine;
}

static enum fan_status command(struct engine *engine, const char *pipeline, enum pipeline_verb verb,
                               struct fan_error *reterr)
{
    if (engine->failure != NULL) {
        (void)fan_fail(reterr, FAN_RETRY, "could not %s \"%s\": made to fail",
                       pipeline_verb_name(verb), pipeline);
        fan_error_annotate(reterr, engine->failure, NULL);
        return FAN_RETRY;
    }
    for (size_t i = 0; i < 2; i++) {
        if (strcmp(engine->pipelines[i].name, pipeline) == 0) {
            enum pipeline_state *state = &engine->pipelines[i].state;
            return pipeline_state_after(*state, verb, state, reterr);
        }
    }
    return fan_fail(reterr, FAN_POISON, "no pipeline \"%s\"", pipeline);
}

enum fan_status engine_command(struct engine *engine, const char *pipeline, enum pipeline_verb verb,
                               struct fan_error *reterr)
{
    (void)pthread_mutex_lock(&lock);
    arrived++;
    (void)pthread_cond_broadcast(&moved);
    while (held) {
        (void)pthread_cond_wait(&moved, &lock);
    }
    enum fan_status status = command(engine, pipeline, verb, reterr);
    (void)pthread_mutex_unlock(&lock);
    return status;
}

enum fan_status engine_status_take(struct engine *engine, struct engine_status *ret_status,
                                   struct fan_error *reterr)
{
    struct pipeline_status *copies = malloc(sizeof(engine->pipelines));
    if (copies == NULL) {
        return fan_fail(reterr, FAN_RETRY, "out of memory");
    }
    (void)pthread_mutex_lock(&lock);
    memcpy(copies, engine->pipelines, sizeof(engine->pipelines));
    (void)pthread_mutex_unlock(&lock);
    *ret_status = (struct engine_status){
        .started_wall_us = 1,
        .now_us = clock_monotonic_us(),
        .sources_count = 1,
        .sources = &engine->source,
        .pipelines_count = 2,
        .pipelines = copies,
    };
    return FAN_OK;
}

void engine_status_release(struct engine_status *status)
{
    free(status->pipelines);
    *status = (struct engine_status){0};
}

bool engine_status_ready(const struct engine_status *status)
{
    return engine_status_live(status) && status->pipelines[0].state != PIPELINE_ERROR;
}

bool engine_status_live(const struct engine_status *status)
{
    return status->pipelines[0].state != PIPELINE_ERROR ||
           status->pipelines[1].state != PIPELINE_ERROR;
}

const struct conf_plugins *engine_plugins(void)
{
    static const struct conf_plugins none;
    return &none;
}

void fake_engine_use_store(struct store *store)
{
    the_engine.store = store;
}

void fake_engine_replays(uint64_t succeed, uint64_t fail, const char *stop_why)
{
    the_engine.succeed = succeed;
    the_engine.fail = fail;
    the_engine.stop_why = stop_why;
}

enum fan_status engine_on_store(struct engine *engine, engine_store_work *work, void *context,
                                struct fan_error *reterr)
{
    if (engine->store == NULL) {
        (void)fan_fail(reterr, FAN_RETRY, "could not use the store in time: it is busy");
        fan_error_annotate(reterr, "TIMEOUT", NULL);
        return FAN_RETRY;
    }
    return work(context, engine->store, reterr);
}

void engine_letters_removed(struct engine *engine)
{
    engine->removals++;
}

uint64_t fake_engine_removals(void)
{
    return the_engine.removals;
}

struct replaying {
    struct replay_result *result;
    int64_t delivered[1000];
    uint64_t succeed;
    uint64_t fail;
};

static bool replay_one(void *context, const struct deadletter *letter)
{
    struct replaying *replaying = context;
    if (replaying->succeed > 0) {
        replaying->succeed--;
        replaying->delivered[replaying->result->succeeded++] = letter->number;
    } else if (replaying->fail > 0) {
        replaying->fail--;
        replaying->result->failed++;
    } else {
        return false;
    }
    replaying->result->last_number = letter->number;
    return true;
}

enum fan_status engine_replay(struct engine *engine, const struct deadletter_filter *filter,
                              uint64_t limit, struct replay_result *ret_result,
                              struct fan_error *reterr)
{
    struct replay_result result = {0};
    struct replaying replaying = {
        .result = &result, .succeed = engine->succeed, .fail = engine->fail};
    enum fan_status status = deadletter_list(engine->store, filter, LETTERS_BY_NUMBER, limit,
                                             replay_one, &replaying, reterr);
    if (status == FAN_OK) {
        status = deadletter_delivered(engine->store, replaying.delivered, result.succeeded, reterr);
    }
    engine->succeed = replaying.succeed;
    engine->fail = replaying.fail;
    if (status == FAN_OK && engine->stop_why != NULL) {
        result.stopped = true;
        (void)snprintf(result.why, sizeof(result.why), "%s", engine->stop_why);
    }
    *ret_result = result;
    return status;
}

__attribute__((weak)) const char *source_state_name(enum source_state state)
{
    return state == SOURCE_STREAMING ? "STREAMING" : "OTHER";
}
