/* The model of the server: what it sends, what it believes, how it dies. */
#include <stdlib.h>
#include <string.h>

#include "model/change.h"
#include "tests/sim/slot.h"

enum {
    TICK_US = 2000,
    STOPPING_TICK_US = 20000,
    STOPPING_US_MAX = 20000000, /* fail-safe: reliability.md fault 6 asks for seven seconds */
};

static bool one_in(struct server *server, uint64_t chances)
{
    return !server->plain && rng_below(server->rng, chances) == 0;
}

static void note(struct server *server, const char *what, uint64_t first, uint64_t second)
{
    notes_add(server->notes, server->now_us, what, first, second, 0);
}

void server_init(struct server *server, struct wal *wal, struct rng *rng, struct notes *notes)
{
    *server = (struct server){.wal = wal, .rng = rng, .notes = notes};
    server->old_minor = one_in(server, 2);
    server->version_14 = one_in(server, 2);
    server->timeout_us = one_in(server, 2) ? 60000000 : 6000000;
}

static void queue_clear(struct walsender *sender)
{
    for (; sender->queue_count > 0; sender->queue_count--) {
        free(sender->queue[sender->queue_head % SERVER_QUEUE].data);
        sender->queue_head++;
    }
}

void server_release(struct server *server)
{
    queue_clear(&server->sender);
}

static void push(struct server *server, struct frame frame)
{
    struct walsender *sender = &server->sender;
    if (sender->queue_count == SERVER_QUEUE) {
        free(frame.data);
        server->fault = server->fault == NULL ? "the model's queue overflowed" : server->fault;
        return;
    }
    sender->queue[(sender->queue_head + sender->queue_count++) % SERVER_QUEUE] = frame;
}

static void push_keepalive(struct server *server, bool reply)
{
    struct walsender *sender = &server->sender;
    struct frame frame = frame_keepalive(sender->sent, server->now_us, reply);
    if (!sender->in_txn) {
        frame.boundary = sender->sent;
    } else {
        sometimes(SOMETIMES_KEEPALIVE_IN_TXN);
    }
    sender->told = sender->sent;
    push(server, frame);
}

void server_open_session(struct server *server, struct fan_lsn start)
{
    struct walsender *sender = &server->sender;
    queue_clear(sender);
    *sender = (struct walsender){
        .open = true,
        .start = start,
        .skip_below = lsn_max(start, server->confirmed),
        .item = server->restart_item,
        .sent = server->confirmed,
        .status_us = server->now_us,
        .asked_us = server->now_us,
        .received = start,
        .flushed = start,
    };
    memset(sender->versions, -1, sizeof(sender->versions));
    if (start.value > server->confirmed.value) {
        sometimes(SOMETIMES_START_AHEAD);
    }
    push_keepalive(server, false);
}

/* Relation and Type messages that the change at hand needs first. */
static void push_relations(struct server *server, size_t index)
{
    struct walsender *sender = &server->sender;
    const struct wal_event *event = &server->wal->events[index];
    for (unsigned at = 0; at < event->group && event->table != WAL_MESSAGES; at++) {
        const struct wal_event *of = &server->wal->events[index + at];
        if (sender->versions[of->table] == of->version && !one_in(server, 40)) {
            continue;
        }
        sender->versions[of->table] = of->version;
        if (of->version > 1) {
            push(server, frame_type());
        }
        push(server, frame_relation(of->table, of->version));
    }
}

/* A truncate or a new shape makes the walsender forget what it told of the table: at the change,
 * and when the transaction is over. */
static void forget_relations(struct server *server, size_t first, size_t count)
{
    for (size_t index = first; index < first + count; index++) {
        const struct wal_event *event = &server->wal->events[index];
        if (event->op == CHANGE_TRUNCATE || event->altered) {
            server->sender.versions[event->table] = -1;
        }
    }
}

static void send_event(struct server *server, const struct wal_item *item)
{
    struct walsender *sender = &server->sender;
    if (sender->event == 0 && !sender->in_txn) {
        push(server, frame_begin(item));
        sender->in_txn = true;
    }
    if (one_in(server, 24)) {
        push_keepalive(server, one_in(server, 4));
    }
    if (sender->event < item->count) {
        size_t index = item->first + sender->event;
        forget_relations(server, index, server->wal->events[index].group);
        push_relations(server, index);
        push(server, frame_change(server->wal, index));
        sender->event += server->wal->events[index].group;
        return;
    }
    push(server, frame_commit(item));
    forget_relations(server, item->first, item->count);
    sender->in_txn = false;
    sender->event = 0;
    sender->item++;
    sender->sent = item->end;
}

static void send_item(struct server *server)
{
    struct walsender *sender = &server->sender;
    const struct wal_item *item = &server->wal->items[sender->item];
    bool skipped = item->start.value < sender->skip_below.value;
    if (item->kind == WAL_TXN && !skipped) {
        send_event(server, item);
        return;
    }
    if (item->kind == WAL_LOOSE && !skipped) {
        push(server, frame_change(server->wal, item->first));
    } else if (item->kind == WAL_EMPTY && !skipped && server->version_14) {
        push(server, frame_begin(item));
        push(server, frame_commit(item));
        sometimes(SOMETIMES_EMPTY_TXN);
    }
    sender->item++;
    sender->sent = item->end;
    if (one_in(server, 6)) {
        push_keepalive(server, one_in(server, 6));
    }
}

void server_send_some(struct server *server, unsigned frames)
{
    struct walsender *sender = &server->sender;
    enum { ROOM = 2 * WAL_TABLES + 4 }; /* one change with its relations and a keepalive */
    for (; frames > 0 && sender->queue_count + ROOM < SERVER_QUEUE; frames--) {
        if (sender->item < server->wal->items_count) {
            send_item(server);
            continue;
        }
        /* Changes of open transactions are decoded, too. */
        if (sender->sent.value < server->wal->end.value) {
            sender->sent = server->wal->end;
        }
        if (sender->told.value != sender->sent.value) {
            push_keepalive(server, false);
        }
        return;
    }
}

static void session_over(struct server *server)
{
    struct walsender *sender = &server->sender;
    queue_clear(sender);
    sender->open = false;
    sender->broken = true;
}

static void keep_alive(struct server *server)
{
    struct walsender *sender = &server->sender;
    int64_t silent_us = server->now_us - sender->status_us;
    if (silent_us > server->timeout_us) {
        note(server, "server: time-out", 0, 0);
        session_over(server);
        return;
    }
    bool asked = sender->asked_us > sender->status_us;
    if (silent_us > server->timeout_us / 2 && !asked && sender->queue_count + 1 < SERVER_QUEUE) {
        sender->asked_us = server->now_us;
        push_keepalive(server, true);
    }
}

/* Waits until everything is confirmed, or the client lets it go. */
static int64_t stopping_step(struct server *server)
{
    struct walsender *sender = &server->sender;
    bool all_sent = sender->item == server->wal->items_count && sender->queue_count == 0;
    bool confirmed = all_sent && sender->flushed.value >= sender->sent.value;
    bool over = server->now_us >= server->state_until_us;
    if (over && sender->open && !sender->mute && server->fault == NULL) {
        server->fault = "a stopping server was not let go (fault 6)";
    }
    if (!sender->open || confirmed || (sender->let_go && all_sent) || over) {
        if (sender->open && sender->let_go) {
            sometimes(SOMETIMES_DRAIN_LET_GO);
        }
        note(server, "server: stopped (confirmed, how)", server->confirmed.value,
             (unsigned)sender->open + 2u * confirmed + 4u * sender->let_go + 8u * over);
        sender->ended = sender->open;
        sender->broken = true;
        sender->open = false;
        server->confirmed_disk = server->confirmed; /* its shutdown checkpoint */
        server->state = SERVER_DOWN;
        server->state_until_us = server->now_us + 500000 + (int64_t)rng_below(server->rng, 5000000);
        return server->state_until_us;
    }
    server_send_some(server, 8);
    if (sender->queue_count < 2) {
        push_keepalive(server, true);
    }
    return server->now_us + STOPPING_TICK_US;
}

static int64_t next_tick(const struct server *server)
{
    const struct walsender *sender = &server->sender;
    bool more =
        sender->item < server->wal->items_count || sender->told.value != server->wal->end.value;
    if (more && sender->queue_count < SERVER_QUEUE / 2) {
        return server->now_us + TICK_US;
    }
    return server->now_us + 200000;
}

int64_t server_step(struct server *server, int64_t now_us)
{
    server->now_us = now_us;
    if (server->stranger_until_us != 0 && now_us >= server->stranger_until_us) {
        note(server, "server: the stranger dropped the slot", 0, 0);
        server->stranger_until_us = 0;
        server->slot_exists = false;
    }
    if (server->state == SERVER_DOWN) {
        if (now_us < server->state_until_us) {
            return server->state_until_us;
        }
        note(server, "server: up", 0, 0);
        server->state = SERVER_UP;
        return now_us + TICK_US;
    }
    if (server->state == SERVER_STOPPING) {
        return stopping_step(server);
    }
    if (!server->sender.open) {
        return now_us + 100000;
    }
    server_send_some(server, 1 + (unsigned)rng_below(server->rng, 12));
    keep_alive(server);
    return next_tick(server);
}

void server_checkpoint(struct server *server)
{
    server->confirmed_disk = server->confirmed;
}

void server_crash(struct server *server, int64_t down_us)
{
    note(server, "server: crash", server->confirmed.value, server->confirmed_disk.value);
    if (server->confirmed_disk.value < server->confirmed.value) {
        sometimes(SOMETIMES_SLOT_ROLLED_BACK);
    }
    server->confirmed = server->confirmed_disk;
    server->restart_item = 0;
    server->active_until_us = 0;
    session_over(server);
    server->state = SERVER_DOWN;
    server->state_until_us = server->now_us + down_us;
}

void server_stop(struct server *server)
{
    if (server->state == SERVER_UP) {
        note(server, "server: fast shutdown", server->confirmed.value, 0);
        server->state = SERVER_STOPPING;
        server->state_until_us = server->now_us + STOPPING_US_MAX;
    }
}

void server_break_link(struct server *server)
{
    struct walsender *sender = &server->sender;
    if (!sender->open) {
        return;
    }
    note(server, "link: lost", sender->queue_count, 0);
    /* What has arrived may still be read. */
    size_t kept = (size_t)rng_below(server->rng, sender->queue_count + 1);
    while (sender->queue_count > kept) {
        sender->queue_count--;
        free(sender->queue[(sender->queue_head + sender->queue_count) % SERVER_QUEUE].data);
    }
    sender->open = false;
    sender->broken = true;
    if (!one_in(server, 3)) {
        server->active_until_us = server->now_us + (int64_t)rng_below(server->rng, 8000000);
    }
}

void server_client_gone(struct server *server, bool politely)
{
    struct walsender *sender = &server->sender;
    if (sender->open && !politely) {
        server->active_until_us = server->now_us + (int64_t)rng_below(server->rng, 3000000);
    } else if (sender->open && sender->mute) {
        server->active_until_us = sender->status_us + server->timeout_us;
    }
    queue_clear(sender);
    *sender = (struct walsender){0};
}
