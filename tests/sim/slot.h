/*
 * slot.h - a model of PostgreSQL's side: one slot, one walsender, and the way to them.
 *
 * Rules as observed on servers 14 to 18 (reliability.md, section 1):
 *   - a transaction is skipped if its commit record starts below max(START, confirmed);
 *   - START behind the slot is forwarded, START ahead of it is honoured, neither moves the slot;
 *   - the server believes any position of a status update;
 *   - confirmed goes back to what was on disk when the server crashes;
 *   - a keepalive carries the end of what was decoded: inside a transaction's output, the place
 *     before its commit; after a start, possibly a place before it;
 *   - a stopping server asks for an answer over and over until everything is confirmed, or a
 *     status confirms nothing and has everything received.
 *
 * Ownership:  the link belongs to its source; the server outlives it.
 * Threading:  one thread.
 */
#ifndef TESTS_SIM_SLOT_H
#define TESTS_SIM_SLOT_H

#include "base/rng.h"
#include "sources/postgres/link.h"
#include "tests/sim/frames.h"
#include "tests/sim/notes.h"
#include "tests/sim/wal.h"

enum { SERVER_QUEUE = 64, SERVER_STATUSES = 16 };

enum server_state { SERVER_UP, SERVER_STOPPING, SERVER_DOWN };

/* What the walsender of the running session knows. */
struct walsender {
    bool open;
    bool broken;               /* nothing more gets through; receive() will say so */
    bool mute;                 /* half-open: bytes vanish both ways */
    bool ended;                /* the server's end of COPY stands behind the queue */
    struct fan_lsn start;      /* as asked for */
    struct fan_lsn skip_below; /* max of that and the slot */
    size_t item;               /* next to decode */
    bool in_txn;               /* its Begin is out */
    size_t event;              /* next of that item */
    struct fan_lsn sent;       /* end of what was decoded */
    struct fan_lsn told;       /* by the last keepalive */
    int versions[WAL_TABLES];  /* of the Relation sent last, or -1 */
    struct frame queue[SERVER_QUEUE];
    size_t queue_head;
    size_t queue_count;
    int64_t status_us;        /* when the last one came */
    int64_t asked_us;         /* when an answer was last asked for */
    struct fan_lsn received;  /* highest boundary that the client has taken */
    struct fan_lsn keepalive; /* the last one it has taken outside of a transaction */
    struct fan_lsn flushed;   /* highest flush of a status in this session */
    bool let_go;
    bool client_in_txn;
    int64_t recent[SERVER_STATUSES]; /* times of the last statuses */
    uint64_t recent_count;
};

struct server {
    struct wal *wal; /* borrowed */
    struct rng *rng; /* borrowed */
    struct notes *notes;
    int64_t now_us;
    enum server_state state;
    int64_t state_until_us;
    bool old_minor;  /* accepts positions that go back */
    bool version_14; /* sends empty transactions */
    bool plain;      /* for scripts: nothing that a real server does only now and then */
    int64_t timeout_us;

    bool slot_exists;
    int64_t stranger_until_us; /* the slot is somebody else's, who drops it then; 0: it is not */
    bool stranger_came;        /* once in this history: the source may fail because of it */
    struct fan_lsn confirmed;
    struct fan_lsn confirmed_disk;
    size_t restart_item;
    bool publication;
    int64_t active_until_us; /* the walsender of before is still there */
    struct walsender sender;
    struct fan_lsn highest_ack; /* of all sessions */

    /* The check of each status; returns a reason or NULL. */
    const char *(*check_status)(void *context, const struct link_status *status);
    const char *(*check_start)(void *context, struct fan_lsn start);
    void *check_context;
    const char *fault; /* the first broken rule, or NULL */
};

void server_init(struct server *server, struct wal *wal, struct rng *rng, struct notes *notes);
void server_release(struct server *server);
/* Sends what there is room for, asks for answers, times out. Returns when it wants to go on. */
int64_t server_step(struct server *server, int64_t now_us);
void server_crash(struct server *server, int64_t down_us);
void server_stop(struct server *server);
void server_break_link(struct server *server);
/* What was sent and is still on its way may be lost, and the session with it. */
void server_client_gone(struct server *server, bool politely);
void server_checkpoint(struct server *server);
/* Writes the frames of a whole START without any client, for the comparison with real servers. */
void server_open_session(struct server *server, struct fan_lsn start);
void server_send_some(struct server *server, unsigned frames);

/* The way of one engine to the server. `flaky`: loses, delays and refuses at random. */
struct sim_link;
struct link *sim_link_create(struct server *server, const bool *flaky);

#endif
