/*
 * outlet_replay.c - letters that go out once more, between two live batches.
 */
#include "base/count.h"
#include "engine/outlet_internal.h"

/* In a replay a letter waits when an older one of its key stays a letter. One that the target was
 * not given in this run comes again, and something of its key may come before it. */
bool outlet_replay_waits(const struct outlet *outlet, const struct batch *batch, size_t event)
{
    size_t size;
    const uint8_t *label = batch_label_bytes(batch, event, &size);
    struct fan_position position = batch->events[event].position;
    if (position_compare(position, outlet->given) > 0) {
        return true;
    }
    if (parked_has(&outlet->replay_failed, label, size, position)) {
        return true;
    }
    return parked_waits(&outlet->parked, label, size, position, batch->events, event);
}

void outlet_replay_hold(struct outlet *outlet, const struct batch *batch, size_t event)
{
    size_t size;
    const uint8_t *label = batch_label_bytes(batch, event, &size);
    struct fan_error error;
    if (parked_add(&outlet->replay_failed, label, size, batch->events[event].position, &error) !=
        FAN_OK) {
        outlet_trouble(outlet, TROUBLE_LOST, &error);
    }
}

/* Letters do not overtake what is in a backlog either. */
bool outlet_replay_in_vain(const struct outlet *outlet)
{
    return outlet->divert != BACKLOG_NONE || outlet->courier.attempts > 0 ||
           outlet->letters.error.text[0] != '\0' || outlet->parked_question.retry_at_us != 0;
}

void outlet_replay_begin(struct outlet *outlet)
{
    outlet->replay = outlet->replay_waiting;
    if (!outlet_courier_take(outlet, outlet->replay->batch, 0)) {
        outlet->replay = NULL;
        outlet_replay_refuse(outlet, &outlet->last_error);
        return;
    }
    outlet->replay_waiting = NULL;
    outlet->courier.again = true;
    courier_encourage(&outlet->courier);
}

static void replay_stopped(struct replay *replay, const struct fan_error *error)
{
    replay->stopped = true;
    if (error->text[0] != '\0') {
        replay->error = *error;
    } else {
        (void)fan_fail(&replay->error, FAN_RETRY,
                       "the target gets nothing now"); /* the text counts */
    }
}

void outlet_replay_refuse(struct outlet *outlet, const struct fan_error *error)
{
    struct replay *replay = outlet->replay_waiting;
    outlet->replay_waiting = NULL;
    replay_stopped(replay, error);
    batch_unref(replay->batch);
    replay->batch = NULL;
    replay->done(replay); /* the last use of it */
}

void outlet_replay_finish(struct outlet *outlet, bool stopped)
{
    struct replay *replay = outlet->replay;
    outlet->replay = NULL;
    outlet->courier.again = false;
    parked_release(&outlet->replay_failed);
    replay->stopped = stopped;
    for (size_t event = 0; event < replay->batch->events_count; event++) {
        replay->fates[event] = outlet->courier.fates[event];
        if (replay->fates[event] == FATE_DELIVERED) {
            size_t size;
            const uint8_t *label = batch_label_bytes(replay->batch, event, &size);
            parked_remove(&outlet->parked, label, size, replay->batch->events[event].position);
        }
    }
    count_set(&outlet->counters.parked_keys, outlet->parked.keys_count);
    if (stopped) {
        replay_stopped(replay, &outlet->courier.error);
    }
    batch_unref(replay->batch);
    replay->batch = NULL;
    replay->done(replay); /* the last use of it */
}

/* One attempt each: whoever asked decides what comes next, and waits for no target that gets
 * nothing. */
void outlet_replay_step(struct outlet *outlet, bool may_send)
{
    struct courier *courier = &outlet->courier;
    bool failed = courier->fatal || courier->attempts > 0 || !may_send;
    if (!courier_done(courier) && !(failed && courier->open_count == 0)) {
        return;
    }
    outlet_replay_finish(outlet, failed);
    courier_end(courier);
    courier->retry_at_us = 0;
    courier->attempts = 0;
    courier->fatal = false;
    backoff_reset(&courier->backoff);
    outlet_show_window(outlet, 0, 0);
}

enum fan_status outlet_replay(struct outlet *outlet, struct replay *replay,
                              struct fan_error *reterr)
{
    if (!outlet->answering) {
        return fan_fail(reterr, FAN_FATAL,
                        "cannot replay to target \"%s\": its type keeps changes by position",
                        outlet->name);
    }
    if (outlet->divert != BACKLOG_NONE || !outlet->started) {
        return fan_fail(reterr, FAN_RETRY, "target \"%s\" does not work now: %s", outlet->name,
                        outlet->last_error.text[0] != '\0' ? outlet->last_error.text
                                                           : "it has not caught up yet");
    }
    if (outlet->replay_waiting != NULL || outlet->replay != NULL) {
        return FAN_AGAIN;
    }
    outlet->replay_waiting = replay;
    return FAN_OK;
}
