#include "engine/mailbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum fan_status mailbox_init(struct mailbox *mailbox, size_t targets_count,
                             struct fan_error *reterr)
{
    *mailbox = (struct mailbox){.targets_count = targets_count};
    mailbox->targets = calloc(targets_count, sizeof(*mailbox->targets));
    mailbox->persisted = calloc(targets_count, sizeof(*mailbox->persisted));
    mailbox->errors = calloc(targets_count, sizeof(*mailbox->errors));
    (void)pthread_mutex_init(&mailbox->lock, NULL); /* cannot fail with default attributes */
    if (mailbox->targets == NULL || mailbox->persisted == NULL || mailbox->errors == NULL) {
        mailbox_release(mailbox);
        return fan_fail(reterr, FAN_RETRY, "could not allocate a mailbox: out of memory");
    }
    return FAN_OK;
}

void mailbox_release(struct mailbox *mailbox)
{
    free(mailbox->targets);
    free(mailbox->persisted);
    free(mailbox->errors);
    *mailbox = (struct mailbox){0};
}

static void mailbox_lock(struct mailbox *mailbox)
{
    (void)pthread_mutex_lock(&mailbox->lock); /* cannot fail: a plain mutex that we do not hold */
}

static void mailbox_unlock(struct mailbox *mailbox)
{
    (void)pthread_mutex_unlock(&mailbox->lock); /* cannot fail: we hold it */
}

uint64_t mailbox_wish(struct mailbox *mailbox, enum wish wish)
{
    mailbox_lock(mailbox);
    mailbox->wish = wish;
    uint64_t serial = ++mailbox->wish_serial;
    mailbox_unlock(mailbox);
    return serial;
}

bool mailbox_collect(struct mailbox *mailbox, struct report *ret_report,
                     struct mailbox_target *ret_targets)
{
    if (!atomic_exchange_explicit(&mailbox->report_news, false, memory_order_acq_rel)) {
        return false;
    }
    mailbox_lock(mailbox);
    *ret_report = mailbox->report;
    memcpy(ret_targets, mailbox->targets, mailbox->targets_count * sizeof(*ret_targets));
    mailbox_unlock(mailbox);
    return true;
}

void mailbox_peek(struct mailbox *mailbox, struct mailbox_target *ret_targets)
{
    mailbox_lock(mailbox);
    memcpy(ret_targets, mailbox->targets, mailbox->targets_count * sizeof(*ret_targets));
    mailbox_unlock(mailbox);
}

void mailbox_encourage(struct mailbox *mailbox)
{
    mailbox_lock(mailbox);
    mailbox->encouragements++;
    mailbox_unlock(mailbox);
}

void mailbox_divert(struct mailbox *mailbox, enum backlog_kind kind)
{
    mailbox_lock(mailbox);
    mailbox->diversion = kind;
    mailbox_unlock(mailbox);
}

enum backlog_kind mailbox_take_diversion(struct mailbox *mailbox)
{
    mailbox_lock(mailbox);
    enum backlog_kind kind = mailbox->diversion;
    mailbox->diversion = BACKLOG_NONE;
    mailbox_unlock(mailbox);
    return kind;
}

void mailbox_persisted(struct mailbox *mailbox, size_t index,
                       const struct mailbox_persisted *persisted)
{
    mailbox_lock(mailbox);
    mailbox->persisted[index] = *persisted;
    mailbox->persisted_moves++;
    mailbox_unlock(mailbox);
}

enum wish mailbox_wanted(struct mailbox *mailbox, uint64_t *ret_serial,
                         uint64_t *ret_encouragements)
{
    mailbox_lock(mailbox);
    enum wish wish = mailbox->wish;
    *ret_serial = mailbox->wish_serial;
    *ret_encouragements = mailbox->encouragements;
    mailbox_unlock(mailbox);
    return wish;
}

bool mailbox_take_persisted(struct mailbox *mailbox, uint64_t *moves,
                            struct mailbox_persisted *ret_persisted)
{
    mailbox_lock(mailbox);
    bool news = *moves != mailbox->persisted_moves;
    if (news) {
        *moves = mailbox->persisted_moves;
        memcpy(ret_persisted, mailbox->persisted, mailbox->targets_count * sizeof(*ret_persisted));
    }
    mailbox_unlock(mailbox);
    return news;
}

void mailbox_report(struct mailbox *mailbox, const struct report *report,
                    const struct mailbox_target *targets)
{
    mailbox_lock(mailbox);
    mailbox->report = *report;
    memcpy(mailbox->targets, targets, mailbox->targets_count * sizeof(*targets));
    mailbox_unlock(mailbox);
    atomic_store_explicit(&mailbox->report_news, true, memory_order_release);
}

void mailbox_note_error(struct mailbox *mailbox, size_t index, const char *text)
{
    mailbox_lock(mailbox);
    (void)snprintf(mailbox->errors[index], MAILBOX_ERROR_MAX, "%s", text); /* may be cut */
    mailbox_unlock(mailbox);
}

void mailbox_last_error(struct mailbox *mailbox, size_t index, char text[MAILBOX_ERROR_MAX])
{
    mailbox_lock(mailbox);
    memcpy(text, mailbox->errors[index], MAILBOX_ERROR_MAX);
    mailbox_unlock(mailbox);
}

bool mailbox_replay(struct mailbox *mailbox, size_t target, struct replay *replay)
{
    mailbox_lock(mailbox);
    bool room = mailbox->replays_count < MAILBOX_REPLAYS_MAX;
    if (room) {
        mailbox->replay_targets[mailbox->replays_count] = target;
        mailbox->replays[mailbox->replays_count++] = replay;
    }
    mailbox_unlock(mailbox);
    return room;
}

/* The lock is held. */
static void replay_take_out(struct mailbox *mailbox, size_t index)
{
    mailbox->replays_count--;
    for (; index < mailbox->replays_count; index++) {
        mailbox->replays[index] = mailbox->replays[index + 1];
        mailbox->replay_targets[index] = mailbox->replay_targets[index + 1];
    }
}

bool mailbox_replay_withdraw(struct mailbox *mailbox, const struct replay *replay)
{
    bool found = false;
    mailbox_lock(mailbox);
    for (size_t index = 0; index < mailbox->replays_count && !found; index++) {
        found = mailbox->replays[index] == replay;
        if (found) {
            replay_take_out(mailbox, index);
        }
    }
    mailbox_unlock(mailbox);
    return found;
}

struct replay *mailbox_next_replay(struct mailbox *mailbox, size_t *ret_target)
{
    struct replay *replay = NULL;
    mailbox_lock(mailbox);
    if (mailbox->replays_count > 0) {
        replay = mailbox->replays[0];
        *ret_target = mailbox->replay_targets[0];
        replay_take_out(mailbox, 0);
    }
    mailbox_unlock(mailbox);
    return replay;
}
