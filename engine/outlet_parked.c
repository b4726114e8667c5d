/*
 * outlet_parked.c - keys that wait behind dead letters, in memory as in the store.
 *
 * NOTES
 * A letter that was delivered lets its key go here (outlet_replay.c). One that is purged, expires or
 * falls to a cap goes in the store alone, which counts that (letterbox.h). Then nothing is judged by
 * its key until the store has said which letters there are.
 */
#include "base/count.h"
#include "engine/outlet_internal.h"

void outlet_park(struct outlet *outlet, const struct batch *batch, size_t event)
{
    if (!outlet->settings->error_handling.park_keys) {
        return;
    }
    size_t size;
    const uint8_t *label = batch_label_bytes(batch, event, &size);
    struct fan_position position = batch->events[event].position;
    struct fan_error error;
    enum fan_status status = parked_add(&outlet->parked, label, size, position, &error);
    if (status != FAN_OK) {
        outlet_trouble(outlet, status == FAN_FATAL ? TROUBLE_FATAL : TROUBLE_LOST, &error);
    }
    count_set(&outlet->counters.parked_keys, outlet->parked.keys_count);
}

static void question_ask(struct outlet *outlet, uint64_t removals)
{
    struct letter_writer *letters = &outlet->letters;
    struct parked_question *question = &outlet->parked_question;
    *question = (struct parked_question){
        .job = {.kind = LETTERS_KEYS,
                .owner = &letters->owner,
                .wake = letters->job.wake,
                .wake_context = letters->job.wake_context},
        .asked = true,
        .removals = removals,
        .letters = letters->added_serial,
    };
    letters->letterbox->post(letters->letterbox, &question->job);
}

static void question_answered(struct outlet *outlet)
{
    struct parked_question *question = &outlet->parked_question;
    struct letter_job *job = &question->job;
    question->asked = false;
    if (job->status == FAN_OK && question->letters == outlet->letters.added_serial) {
        parked_keep(&outlet->parked, &job->keys);
        count_set(&outlet->counters.parked_keys, outlet->parked.keys_count);
        outlet->parked_removals = question->removals;
    } else if (job->status == FAN_AGAIN) { /* too many keys: they wait until the next start */
        outlet->parked_removals = question->removals;
    } else if (job->status != FAN_OK) {
        question->retry_at_us = outlet->now_us + LETTER_RETRY_US;
        outlet->last_error = job->error;
    }
    parked_release(&job->keys);
}

bool outlet_parked_fresh(struct outlet *outlet)
{
    const struct letter_writer *letters = &outlet->letters;
    struct parked_question *question = &outlet->parked_question;
    if (question->asked) {
        if (!atomic_load(&question->job.done)) {
            return false;
        }
        question_answered(outlet);
    }
    uint64_t removals = atomic_load(&letters->letterbox->removals);
    if (outlet->parked.keys_count == 0) {
        outlet->parked_removals = removals;
        question->retry_at_us = 0;
    }
    if (removals == outlet->parked_removals) {
        return true;
    }
    if (letter_writer_idle(letters) && outlet->now_us >= question->retry_at_us) {
        question_ask(outlet, removals);
    }
    return false;
}
