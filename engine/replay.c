/*
 * replay.c - dead letters on their way to their targets once more.
 *
 * NOTES
 * A replay takes letters from the store, gives those of one target to its pipeline as one batch,
 * waits for the fates, and tells the store. What is isolated is not sent by hand: the pipeline has
 * it in order and drains it as soon as the target works, so a replay only has it tried at once.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "engine/engine_internal.h"
#include "engine/letters.h"

enum {
    REPLAY_BYTES_MAX = 8 << 20,
    REPLAY_LETTERS_MAX = 1000,
    QUEUE_PATIENCE_US = 20000000, /* until the pipeline takes a batch */
    DRAIN_PATIENCE_US = 20000000, /* of an isolated target's backlog */
    DRAIN_LOOK_US = 50000,
};

/* One letter, copied out of the store. */
struct copy {
    struct deadletter letter; /* its texts are not borrowed from anybody: only positions count */
    size_t pipeline;          /* index in the engine */
    size_t target;
    bool foreign;   /* its payload is in another envelope than the target's */
    uint8_t *bytes; /* owned: payload, then label */
};

struct copies {
    struct engine *engine;
    struct copy *items; /* owned */
    size_t count;
    size_t bytes;
    bool starved;
};

/* The letters of one target, under way. */
struct delivery {
    struct replay replay;
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool done;
};

/* ---- out of the store ---- */

static bool find_place(const struct engine *engine, const struct deadletter *letter,
                       struct copy *copy)
{
    for (size_t index = 0; index < engine->pipelines_count; index++) {
        const struct settings_pipeline *settings = engine->pipelines[index].pipeline.settings;
        for (size_t target = 0; target < settings->targets.count; target++) {
            if (strcmp(settings->name, letter->pipeline) == 0 &&
                strcmp(settings_target_at(settings, target)->name, letter->target) == 0) {
                copy->pipeline = index;
                copy->target = target;
                return true;
            }
        }
    }
    return false; /* the conf does not have it any more */
}

/* Whether the target's format had no form for the event, and its payload is written for people. */
static bool is_foreign(const struct engine *engine, const struct copy *copy)
{
    const struct pipeline *pipeline = &engine->pipelines[copy->pipeline].pipeline;
    size_t format = pipeline->outlets[copy->target].format;
    return pipeline->assembler.formats[format].type->lenient_is_foreign &&
           copy->letter.cause == LETTER_POISON && strcmp(copy->letter.code, "NO_FORM") == 0;
}

static bool see(void *context, const struct deadletter *letter)
{
    struct copies *copies = context;
    struct copy copy = {.letter = *letter};
    if (!find_place(copies->engine, letter, &copy)) {
        return true;
    }
    copy.foreign = is_foreign(copies->engine, &copy);
    copy.bytes = malloc(letter->payload_size + letter->label_size + 1);
    if (copy.bytes == NULL) {
        copies->starved = true;
        return false;
    }
    memcpy(copy.bytes, letter->payload, letter->payload_size);
    memcpy(copy.bytes + letter->payload_size, letter->label, letter->label_size);
    copies->items[copies->count++] = copy;
    copies->bytes += letter->payload_size + letter->label_size;
    return copies->bytes < REPLAY_BYTES_MAX && copies->count < REPLAY_LETTERS_MAX;
}

struct fetch {
    const struct deadletter_filter *filter;
    uint64_t limit;
    struct copies *copies;
};

static enum fan_status fetch_work(void *context, struct store *store, struct fan_error *reterr)
{
    const struct fetch *fetch = context;
    return deadletter_list(store, fetch->filter, LETTERS_BY_NUMBER, fetch->limit, see,
                           fetch->copies, reterr);
}

static int compare_copies(const void *left_item, const void *right_item)
{
    const struct copy *left = left_item;
    const struct copy *right = right_item;
    if (left->pipeline != right->pipeline) {
        return left->pipeline < right->pipeline ? -1 : 1;
    }
    if (left->target != right->target) {
        return left->target < right->target ? -1 : 1;
    }
    bool isolated = left->letter.cause == LETTER_ISOLATED;
    if (isolated != (right->letter.cause == LETTER_ISOLATED)) {
        return isolated ? 1 : -1;
    }
    struct fan_position first = {{left->letter.commit_lsn}, left->letter.seq};
    return position_compare(first,
                            (struct fan_position){{right->letter.commit_lsn}, right->letter.seq});
}

static void copies_release(struct copies *copies)
{
    for (size_t index = 0; index < copies->count; index++) {
        free(copies->items[index].bytes);
    }
    free(copies->items);
}

/* ---- one target's letters ---- */

static void delivery_done(struct replay *replay)
{
    struct delivery *delivery = replay->context;
    (void)pthread_mutex_lock(&delivery->lock); /* cannot fail: a plain mutex that we do not hold */
    delivery->done = true;
    (void)pthread_cond_signal(&delivery->over);  /* cannot fail */
    (void)pthread_mutex_unlock(&delivery->lock); /* cannot fail: we hold it */
}

/* Waits for the end. What the pipeline has taken ends by the target's deadline. */
static void delivery_wait(struct delivery *delivery, struct pipeline *pipeline)
{
    int64_t deadline_us = clock_monotonic_us() + QUEUE_PATIENCE_US;
    struct timespec deadline = {.tv_sec = deadline_us / 1000000,
                                .tv_nsec = deadline_us % 1000000 * 1000};
    bool withdrawn = false;
    bool late = false;
    (void)pthread_mutex_lock(&delivery->lock); /* cannot fail: a plain mutex that we do not hold */
    while (!delivery->done && !withdrawn) {
        if (late) {
            (void)pthread_cond_wait(&delivery->over,
                                    &delivery->lock); /* woken or not: look again */
            continue;
        }
        late = pthread_cond_timedwait(&delivery->over, &delivery->lock, &deadline) != 0;
        if (late && !delivery->done) {
            withdrawn = mailbox_replay_withdraw(&pipeline->mailbox, &delivery->replay);
        }
    }
    (void)pthread_mutex_unlock(&delivery->lock); /* cannot fail: we hold it */
    if (withdrawn) {
        delivery->replay.stopped = true;
        (void)fan_fail(&delivery->replay.error, FAN_RETRY,
                       "the pipeline is busy: it did not take the letters in time");
        batch_unref(delivery->replay.batch);
    }
}

static struct batch *batch_of(struct pipeline *pipeline, const struct copy *copies, size_t count)
{
    size_t format = pipeline->outlets[copies[0].target].format;
    struct batch *batch = batch_pool_take(pipeline->assembler.pool);
    for (size_t index = 0; batch != NULL && index < count; index++) {
        const struct deadletter *letter = &copies[index].letter;
        const struct batch_event event = {
            .position = {{letter->commit_lsn}, letter->seq},
            .hold_lsn = {letter->hold_lsn},
            .commit_time_us = letter->commit_time_us,
            .op = (uint8_t)letter->op,
            .txn_end = letter->txn_end,
        };
        const uint8_t *bytes = copies[index].bytes;
        if (batch_append(batch, &event, format, bytes, letter->payload_size,
                         bytes + letter->payload_size, letter->label_size) != FAN_OK) {
            batch_unref(batch);
            return NULL;
        }
    }
    return batch;
}

struct settle {
    const struct copy *copies;
    size_t count;
    const struct delivery *delivery;
    struct replay_result *result;
};

static enum fan_status settle_work(void *context, struct store *store, struct fan_error *reterr)
{
    const struct settle *settle = context;
    const struct replay *replay = &settle->delivery->replay;
    int64_t numbers[REPLAY_LETTERS_MAX];
    size_t delivered = 0;
    enum fan_status status = FAN_OK;
    for (size_t index = 0; index < settle->count && status == FAN_OK; index++) {
        int64_t number = settle->copies[index].letter.number;
        if (replay->fates[index] == FATE_DELIVERED) {
            numbers[delivered++] = number;
        } else if (replay->fates[index] == FATE_POISON) {
            status = deadletter_failed(store, number, replay->errors[index].code,
                                       replay->errors[index].text, clock_wall_us(), reterr);
        }
    }
    return status == FAN_OK ? deadletter_delivered(store, numbers, delivered, reterr) : status;
}

static void count_fates(const struct settle *settle)
{
    struct replay_result *result = settle->result;
    const struct replay *replay = &settle->delivery->replay;
    for (size_t index = 0; index < settle->count; index++) {
        bool delivered = replay->fates[index] == FATE_DELIVERED;
        bool tried =
            delivered || replay->fates[index] == FATE_POISON || replay->fates[index] == FATE_PARKED;
        result->succeeded += delivered;
        result->failed += tried && !delivered;
        if (tried && settle->copies[index].letter.number > result->last_number) {
            result->last_number = settle->copies[index].letter.number;
        }
    }
    if (replay->stopped) {
        result->stopped = true;
        memcpy(result->why, replay->error.text, sizeof(result->why) - 1);
    }
}

static enum fan_status deliver_copies(struct engine *engine, const struct copy *copies,
                                      size_t count, struct replay_result *result,
                                      struct fan_error *reterr)
{
    struct pipeline *pipeline = &engine->pipelines[copies[0].pipeline].pipeline;
    struct delivery delivery = {.replay = {.done = delivery_done}};
    delivery.replay.context = &delivery;
    delivery.replay.batch = batch_of(pipeline, copies, count);
    delivery.replay.fates = calloc(count, 1);
    delivery.replay.errors = calloc(count, sizeof(*delivery.replay.errors));
    enum fan_status status = FAN_OK;
    if (delivery.replay.batch == NULL || delivery.replay.fates == NULL ||
        delivery.replay.errors == NULL) {
        batch_unref(delivery.replay.batch);
        status = fan_fail(reterr, FAN_RETRY, "could not replay: out of memory");
    } else {
        pthread_condattr_t attributes;
        (void)pthread_condattr_init(&attributes); /* these cannot fail with these arguments */
        (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        (void)pthread_cond_init(&delivery.over, &attributes);
        (void)pthread_condattr_destroy(&attributes);    /* of no more use */
        (void)pthread_mutex_init(&delivery.lock, NULL); /* cannot fail with default attributes */
        if (mailbox_replay(&pipeline->mailbox, copies[0].target, &delivery.replay)) {
            pipeline->hooks.schedule(pipeline->hooks.context, pipeline);
            delivery_wait(&delivery, pipeline);
        } else {
            delivery.replay.stopped = true;
            (void)fan_fail(&delivery.replay.error, FAN_RETRY, "too many replays are under way");
            batch_unref(delivery.replay.batch);
        }
        struct settle settle = {
            .copies = copies, .count = count, .delivery = &delivery, .result = result};
        count_fates(&settle);
        status = engine_on_store(engine, settle_work, &settle, reterr);
        (void)pthread_cond_destroy(&delivery.over);  /* nobody waits */
        (void)pthread_mutex_destroy(&delivery.lock); /* nobody holds it */
    }
    free(delivery.replay.fates);
    free(delivery.replay.errors);
    return status;
}

/* Letters that no reader of the target could read: they stay, and say why. */
static enum fan_status refuse_copies(struct engine *engine, const struct copy *copies, size_t count,
                                     struct replay_result *result, struct fan_error *reterr)
{
    struct delivery delivery = {0};
    struct fan_error *errors = calloc(count, sizeof(*errors));
    uint8_t *fates = malloc(count);
    enum fan_status status = FAN_OK;
    if (errors == NULL || fates == NULL) {
        status = fan_fail(reterr, FAN_RETRY, "could not replay: out of memory");
    } else {
        for (size_t index = 0; index < count; index++) {
            fates[index] = FATE_POISON;
            (void)fan_fail(&errors[index], FAN_POISON, /* the text counts */
                           "cannot replay: the target's format has no form for this event, and "
                           "its payload is for people");
            fan_error_annotate(&errors[index], "NO_FORM", NULL);
        }
        delivery.replay.fates = fates;
        delivery.replay.errors = errors;
        struct settle settle = {
            .copies = copies, .count = count, .delivery = &delivery, .result = result};
        count_fates(&settle);
        status = engine_on_store(engine, settle_work, &settle, reterr);
    }
    free(fates);
    free(errors);
    return status;
}

/* ---- an isolated target ---- */

static uint64_t backlog_of(struct engine *engine, const struct copy *copy)
{
    const struct pipeline *pipeline = &engine->pipelines[copy->pipeline].pipeline;
    return count_get(&pipeline->outlets[copy->target].counters.backlog);
}

static bool still_isolated(struct engine *engine, const struct copy *copy)
{
    const struct pipeline *pipeline = &engine->pipelines[copy->pipeline].pipeline;
    return atomic_load_explicit(&pipeline->outlets[copy->target].counters.divert,
                                memory_order_relaxed) == BACKLOG_LETTERS;
}

/* Has the target tried at once, and watches how its backlog drains. */
static enum fan_status drain(struct engine *engine, const struct copy *copies, size_t count,
                             struct replay_result *result, struct fan_error *reterr)
{
    const struct copy *copy = &copies[0];
    struct pipeline *pipeline = &engine->pipelines[copy->pipeline].pipeline;
    uint64_t before = backlog_of(engine, copy);
    mailbox_encourage(&pipeline->mailbox);
    pipeline->hooks.schedule(pipeline->hooks.context, pipeline);
    int64_t deadline_us = clock_monotonic_us() + DRAIN_PATIENCE_US;
    uint64_t retries = count_get(&pipeline->outlets[copy->target].counters.retries);
    while (still_isolated(engine, copy) && clock_monotonic_us() < deadline_us) {
        const struct timespec pause = {.tv_nsec = DRAIN_LOOK_US * 1000L};
        (void)nanosleep(&pause, NULL); /* an early look does no harm */
        bool failed = count_get(&pipeline->outlets[copy->target].counters.retries) != retries &&
                      atomic_load_explicit(&pipeline->outlets[copy->target].counters.circuit_open,
                                           memory_order_relaxed);
        if (failed) {
            break;
        }
    }
    uint64_t left = backlog_of(engine, copy);
    result->succeeded += before > left ? before - left : 0;
    if (still_isolated(engine, copy)) {
        char text[MAILBOX_ERROR_MAX];
        mailbox_last_error(&pipeline->mailbox, copy->target, text);
        (void)fan_fail(reterr, FAN_RETRY, "target \"%s\" is isolated: %s", copy->letter.target,
                       text[0] != '\0' ? text : "it still catches up");
        result->stopped = true;
        memcpy(result->why, reterr->text, sizeof(result->why) - 1);
        return FAN_OK;
    }
    for (size_t index = 0; index < count; index++) {
        if (copies[index].letter.number > result->last_number) {
            result->last_number = copies[index].letter.number;
        }
    }
    return FAN_OK;
}

static bool same_place(const struct copy *left, const struct copy *right)
{
    return left->pipeline == right->pipeline && left->target == right->target &&
           (left->letter.cause == LETTER_ISOLATED) == (right->letter.cause == LETTER_ISOLATED) &&
           left->foreign == right->foreign;
}

enum fan_status engine_replay(struct engine *engine, const struct deadletter_filter *filter,
                              uint64_t limit, struct replay_result *ret_result,
                              struct fan_error *reterr)
{
    struct replay_result result = {0};
    struct fan_error error = {0};
    struct copies copies = {.engine = engine};
    limit = limit < REPLAY_LETTERS_MAX ? limit : REPLAY_LETTERS_MAX;
    copies.items = calloc(limit + 1, sizeof(*copies.items));
    if (copies.items == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not replay: out of memory");
    }
    struct fetch fetch = {.filter = filter, .limit = limit, .copies = &copies};
    enum fan_status status = engine_on_store(engine, fetch_work, &fetch, &error);
    if (status == FAN_OK && copies.starved) {
        status = fan_fail(&error, FAN_RETRY, "could not replay: out of memory");
    }
    qsort(copies.items, copies.count, sizeof(*copies.items), compare_copies);
    for (size_t first = 0; first < copies.count && status == FAN_OK && !result.stopped;) {
        size_t end = first + 1;
        while (end < copies.count && same_place(&copies.items[first], &copies.items[end])) {
            end++;
        }
        const struct copy *items = &copies.items[first];
        if (items[0].letter.cause == LETTER_ISOLATED) {
            status = drain(engine, items, end - first, &result, &error);
        } else if (items[0].foreign) {
            status = refuse_copies(engine, items, end - first, &result, &error);
        } else {
            status = deliver_copies(engine, items, end - first, &result, &error);
        }
        first = end;
    }
    copies_release(&copies);
    *ret_result = result;
    if (status != FAN_OK && reterr != NULL) {
        *reterr = error;
    }
    return status;
}
