#include "engine/store_letterbox.h"

#include <stddef.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/letter.h"

enum {
    NEAR_CAP_PERCENT = 80,         /* warned at this much of a cap */
    EASE_PERCENT = 70,             /* and told again below that */
    EXPIRE_MAX = 1000,             /* letters a job: others wait for the store thread */
    EXPIRE_INTERVAL_US = 60000000, /* or a tenth of their age */
    EXPIRE_AGAIN_US = 100000,
};

static bool is_over(uint64_t value, uint64_t cap, uint64_t percent)
{
    return value / percent >= cap / 100;
}

static void watch_caps(struct store_letterbox *letterbox, struct store *store)
{
    const struct deadletter_caps *caps = &letterbox->caps;
    uint64_t entries = 0;
    uint64_t bytes = 0;
    struct fan_error error;
    if (store_letter_totals(store, &entries, &bytes, &error) != FAN_OK) {
        return; /* whoever needs the store tells */
    }
    uint64_t percent = letterbox->near_cap ? EASE_PERCENT : NEAR_CAP_PERCENT;
    bool near =
        is_over(entries, caps->entries_max, percent) || is_over(bytes, caps->bytes_max, percent);
    if (near == letterbox->near_cap) {
        return;
    }
    letterbox->near_cap = near;
    log_write(near ? LOG_WARN : LOG_INFO,
              near ? "dead letters come near their cap" : "dead letters are well below their cap",
              LOG_NUMBER("letters", (int64_t)entries),
              LOG_NUMBER("max_entries", (int64_t)caps->entries_max),
              LOG_NUMBER("bytes", (int64_t)bytes),
              LOG_NUMBER("max_bytes", (int64_t)caps->bytes_max),
              LOG_TEXT("hint", near ? "mend the target, then pgfan dlq replay or purge" : ""));
}

static void run(struct keeper_job *keeper_job, struct store *store)
{
    struct letter_job *job = (struct letter_job *)keeper_job; /* its first member */
    struct store_letterbox *letterbox = job->letterbox;
    uint64_t removals = atomic_load(&letterbox->base.removals);
    letter_job_run(&letterbox->base, job, store, &letterbox->caps, clock_wall_us());
    watch_caps(letterbox, store);
    if (atomic_load(&letterbox->base.removals) != removals) {
        letterbox->removed(letterbox->context);
    }
    /* Once `done` is set the job may be gone. */
    void (*wake)(void *context) = job->wake;
    void *context = job->wake_context;
    atomic_store(&job->done, true);
    wake(context);
}

static void post(struct letterbox *base, struct letter_job *job)
{
    struct store_letterbox *letterbox = (struct store_letterbox *)base; /* its first member */
    job->letterbox = letterbox;
    job->job.run = run;
    keeper_post_job(letterbox->keeper, &job->job);
}

void store_letterbox_note_removed(struct store_letterbox *letterbox)
{
    atomic_fetch_add(&letterbox->base.removals, 1);
    letterbox->removed(letterbox->context);
}

static void expire(struct keeper_job *job, struct store *store)
{
    struct store_letterbox *letterbox =
        (struct store_letterbox *)((char *)job - offsetof(struct store_letterbox, expiry));
    uint64_t expired = 0;
    struct fan_error error;
    if (deadletter_expire(store, &letterbox->caps, clock_wall_us(), EXPIRE_MAX, &expired, &error) !=
        FAN_OK) {
        log_write(LOG_WARN, "old dead letters could not be expired, will be tried again",
                  LOG_TEXT("error", error.text));
    } else if (expired > 0) {
        log_write(LOG_WARN, "dead letters older than dead_letters.max_age have become gap rows",
                  LOG_NUMBER("letters", (int64_t)expired));
        watch_caps(letterbox, store);
        store_letterbox_note_removed(letterbox);
    }
    if (expired == EXPIRE_MAX) {
        atomic_store(&letterbox->expire_at_us, clock_monotonic_us() + EXPIRE_AGAIN_US);
    }
    atomic_store(&letterbox->expiring, false);
}

void store_letterbox_look(struct store_letterbox *letterbox, int64_t now_us)
{
    bool due = letterbox->caps.age_us_max > 0 && now_us >= atomic_load(&letterbox->expire_at_us);
    if (!due || atomic_exchange(&letterbox->expiring, true)) {
        return;
    }
    int64_t interval_us = letterbox->caps.age_us_max / 10;
    interval_us = interval_us < EXPIRE_INTERVAL_US ? interval_us : EXPIRE_INTERVAL_US;
    atomic_store(&letterbox->expire_at_us, now_us + interval_us);
    letterbox->expiry.run = expire;
    keeper_post_job(letterbox->keeper, &letterbox->expiry);
}

void store_letterbox_init(struct store_letterbox *letterbox, struct keeper *keeper,
                          const struct deadletter_caps *caps, void (*removed)(void *context),
                          void *context)
{
    *letterbox = (struct store_letterbox){.base = {.post = post},
                                          .keeper = keeper,
                                          .caps = *caps,
                                          .removed = removed,
                                          .context = context};
}
