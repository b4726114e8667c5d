#include "cli/supervisor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

enum {
    LOOK_INTERVAL_US = 5000000,
    STOP_MARGIN_US = 30000000, /* for what follows the drain: last checkpoint, closing the store */
};

enum fan_status supervisor_open(const struct notify_environment *environment,
                                struct supervisor *ret_supervisor, struct fan_error *reterr)
{
    struct supervisor supervisor = {0};
    enum fan_status status = notify_open(environment, &supervisor.notify, reterr);
    if (status != FAN_OK) {
        return status;
    }
    int64_t half_us = supervisor.notify.watchdog_us / 2;
    if (supervisor.notify.descriptor >= 0) {
        supervisor.interval_us =
            half_us > 0 && half_us < LOOK_INTERVAL_US ? half_us : LOOK_INTERVAL_US;
    }
    *ret_supervisor = supervisor;
    return FAN_OK;
}

static void note_sent(struct supervisor *supervisor, enum fan_status status,
                      const struct fan_error *error)
{
    if (status != FAN_OK && !supervisor->unheard) {
        log_write(LOG_WARN, "service manager is not told", LOG_TEXT("reason", error->text));
    }
    supervisor->unheard = status != FAN_OK;
}

/* Counts, and the first pipeline that does not stream; names hold no control characters. */
static void describe(const struct engine_status *status, char *text, size_t text_size)
{
    size_t sources = 0;
    size_t pipelines = 0;
    const struct pipeline_status *other = NULL;
    for (size_t index = 0; index < status->sources_count; index++) {
        sources += status->sources[index].source.state == SOURCE_STREAMING;
    }
    for (size_t index = 0; index < status->pipelines_count; index++) {
        bool streams = status->pipelines[index].state == PIPELINE_STREAMING;
        pipelines += streams;
        other = streams || other != NULL ? other : &status->pipelines[index];
    }
    int size = snprintf(text, text_size, "streaming: %zu of %zu sources, %zu of %zu pipelines",
                        sources, status->sources_count, pipelines, status->pipelines_count);
    if (other != NULL && size > 0 && (size_t)size < text_size) {
        (void)snprintf(text + size, text_size - (size_t)size, "; %s: %s", other->name,
                       pipeline_state_name(other->state)); /* may be cut */
    }
}

static void tell_status(struct supervisor *supervisor, struct engine *engine)
{
    struct engine_status status;
    struct fan_error error;
    char text[sizeof(supervisor->status)];
    if (engine_status_take(engine, &status, &error) != FAN_OK) {
        return; /* out of memory: the next look may find some */
    }
    describe(&status, text, sizeof(text));
    engine_status_release(&status);
    if (strcmp(text, supervisor->status) == 0 && !supervisor->unheard) {
        return;
    }
    memcpy(supervisor->status, text, sizeof(text));
    note_sent(supervisor, notify_send(&supervisor->notify, &error, "STATUS=%s", text), &error);
}

static void feed_watchdog(struct supervisor *supervisor, struct engine *engine)
{
    struct fan_error error;
    if (supervisor->notify.watchdog_us == 0) {
        return;
    }
    bool stuck = !engine_answers(engine, supervisor->notify.watchdog_us / 2, &error);
    if (stuck && !supervisor->stuck) {
        log_write(LOG_ERROR, "watchdog is not fed", LOG_TEXT("reason", error.text));
    }
    supervisor->stuck = stuck;
    if (!stuck) {
        note_sent(supervisor, notify_send(&supervisor->notify, &error, "WATCHDOG=1"), &error);
    }
}

void supervisor_ready(struct supervisor *supervisor, struct engine *engine, int64_t now_us)
{
    struct fan_error error;
    if (supervisor->interval_us == 0) {
        return;
    }
    note_sent(supervisor, notify_send(&supervisor->notify, &error, "READY=1"), &error);
    tell_status(supervisor, engine);
    supervisor->look_at_us = now_us + supervisor->interval_us;
}

int supervisor_step(struct supervisor *supervisor, struct engine *engine, int64_t now_us)
{
    if (supervisor->interval_us == 0) {
        return -1;
    }
    if (now_us >= supervisor->look_at_us) {
        feed_watchdog(supervisor, engine);
        /* While a thread is stuck, so may be a lock that a snapshot waits for. */
        if (!supervisor->stuck) {
            tell_status(supervisor, engine);
        }
        supervisor->look_at_us = now_us + supervisor->interval_us;
    }
    return (int)((supervisor->look_at_us - now_us) / 1000) + 1; /* at most 5 s */
}

void supervisor_stopping(struct supervisor *supervisor, int64_t timeout_us)
{
    struct fan_error error;
    int64_t patience_us = timeout_us + STOP_MARGIN_US;
    if (supervisor->interval_us == 0) {
        return;
    }
    /* The main thread is about to wait for the drain: the manager bounds that instead. */
    enum fan_status sent = notify_send(
        &supervisor->notify, &error,
        "STOPPING=1\nSTATUS=delivering what is queued\nEXTEND_TIMEOUT_USEC=%" PRId64, patience_us);
    if (sent == FAN_OK && supervisor->notify.watchdog_us > 0) {
        sent = notify_send(&supervisor->notify, &error, "WATCHDOG_USEC=%" PRId64, patience_us);
    }
    note_sent(supervisor, sent, &error);
}

void supervisor_close(struct supervisor *supervisor)
{
    notify_close(&supervisor->notify);
}
