/*
 * outlet_refusal.c - events that the encoder of this target's format has refused, and transactions
 * that it cannot have as a whole: they become dead letters before what follows them goes on.
 *
 * NOTES
 * The batch is taken apart into runs of events that are refused and runs that are not. A refused run
 * waits until the store has its letters, and a live target has settled what comes before; then it
 * counts as settled. Without dead letters it is for the target as if it could not work: the error
 * policy acts, and where that makes gaps, the run is in one.
 */
#include "base/count.h"
#include "base/log.h"
#include "engine/outlet_internal.h"
#include "model/change.h"

/* Whether the event is of a transaction that the target cannot have as a whole: because no batch
 * holds it, or because what comes before the event was settled in another way. */
static bool is_torn(const struct outlet *outlet, const struct batch *batch, size_t event)
{
    const struct batch_event *at = &batch->events[event];
    if (!outlet->transactions || outlet->marks_apart || !outlet->answering ||
        at->op == CHANGE_GAP) {
        return false;
    }
    bool begun = outlet->given.seq >= 0 && at->position.seq >= 0 &&
                 outlet->given.commit_lsn.value == at->position.commit_lsn.value;
    return batch->part != TXN_WHOLE || begun;
}

bool outlet_refuses(const struct outlet *outlet, const struct batch *batch, size_t first)
{
    return batch->refusals_count > 0 || is_torn(outlet, batch, first);
}

/* Why the event is refused, or NULL. */
static const struct fan_error *refusal_of(const struct outlet *outlet, const struct batch *batch,
                                          size_t event)
{
    static const struct fan_error torn = {
        .code = "TRANSACTION_TOO_LARGE",
        .text = "its transaction is larger than a batch, and the target takes whole ones only",
        .hint = "raise batch.max_bytes of the pipeline"};
    const struct fan_error *refusal = batch_refusal(batch, event, outlet->format);
    return refusal == NULL && is_torn(outlet, batch, event) ? &torn : refusal;
}

size_t outlet_refusal_run(const struct outlet *outlet, const struct batch *batch, size_t first,
                          bool *ret_refused)
{
    size_t end = first + 1;
    bool refused = refusal_of(outlet, batch, first) != NULL;
    while (end < batch->events_count && (refusal_of(outlet, batch, end) != NULL) == refused) {
        end++;
    }
    *ret_refused = refused;
    return end;
}

static void refusal_bury(struct outlet *outlet, struct batch *batch, size_t first, size_t end)
{
    for (size_t event = first; event < end; event++) {
        const struct fan_error *why = refusal_of(outlet, batch, event);
        struct fan_position position = batch->events[event].position;
        log_write(LOG_WARN, "event is a dead letter", LOG_TEXT("pipeline", outlet->pipeline),
                  LOG_TEXT("target", outlet->name), LOG_TEXT("error", why->text),
                  LOG_TEXT("hint", why->hint), LOG_LSN("commit", position.commit_lsn.value),
                  LOG_NUMBER("seq", position.seq));
        outlet->letters_serial =
            letter_writer_add(&outlet->letters, batch, event, event + 1, LETTER_POISON, 0, why);
        if (outlet->answering) {
            outlet_park(outlet, batch, event); /* others take a log, and keep no keys */
        }
        outlet_count_poison(outlet, position);
    }
    outlet->refused_until = batch->events[end - 1].position;
}

/* Without dead letters: a target that may not lose anything holds; another one gets a gap. */
static bool refusal_give_up(struct outlet *outlet, struct batch *batch, size_t first, size_t end,
                            const struct outlet_moment *moment)
{
    const struct fan_error *why = refusal_of(outlet, batch, first);
    if (outlet->divert == BACKLOG_NONE || outlet->counts) {
        outlet->squeezed = outlet->divert != BACKLOG_NONE;
        if (!outlet->fatal) {
            outlet_trouble(outlet, TROUBLE_FATAL, why);
        }
        return false;
    }
    if (moment->may_deliver && outlet_waits_for_gap(outlet)) {
        return false; /* one that still grew would never be known to the store */
    }
    struct fan_error error;
    struct batch *lost = batch_slice(batch, outlet->format, first, end);
    bool taken = lost != NULL && outlet_give_up(outlet, lost, &error) == FAN_OK;
    batch_unref(lost);
    return taken;
}

bool outlet_refusal_take(struct outlet *outlet, struct batch *batch, size_t first, size_t end,
                         const struct outlet_moment *moment)
{
    const struct batch_event *last = &batch->events[end - 1];
    if (!outlet->settings->error_handling.dead_letter) {
        return refusal_give_up(outlet, batch, first, end, moment);
    }
    if (position_compare(outlet->refused_until, last->position) < 0) {
        refusal_bury(outlet, batch, first, end);
        (void)letter_writer_step(&outlet->letters, moment->now_us); /* the next step says when */
    }
    if (!letter_writer_settled(&outlet->letters, outlet->letters_serial)) {
        return false;
    }
    if (outlet->divert != BACKLOG_NONE) {
        backlog_pass(&outlet->backlog, last);
    } else if (outlet_empty(outlet)) {
        outlet->passed = last->position;
        outlet_goes_on(outlet); /* it was waited for, and is not to blame */
    } else {
        if (outlet->started && outlet->target->type->flush != NULL) {
            outlet->target->type->flush(outlet->target, moment->now_us);
        }
        return false;
    }
    count_add(&outlet->counters.letters, batch_rows(batch, first, end));
    return true;
}
