/*
 * core.h - the state machine of a source: its parts, and what they may ask of each other.
 *
 *     source.c    phases before the stream, failures, back-off, the step, the status snapshot
 *     stream.c    frames -> changes, boundaries, relations
 *     feedback.c  status updates, keepalives, shutdown of the server, dead links
 *
 * Phases:
 *
 *   WAITING -> PROBING -> [PUBLISHING] -> [INTENT -> SLOT] -> [IDENTITY] -> STARTING -> STREAMING
 *      ^          |             |              |                  |            |           |
 *      +----------+-------------+--------------+------------------+------------+-----------+  failure
 *                          FAILED (permanent)        CLOSING -> STOPPED
 *
 * SLOT -> WITHDRAWING -> failure when the server says that it made none. An intent that stayed
 * would let the next start take a slot for its own that somebody else makes meanwhile. After a
 * failure that does not say so the intent stays, because our slot may be there.
 *
 * INVARIANTS  (1) START_REPLICATION carries a position that the sink has made durable.
 *             (2) a status never confirms more than the highest boundary of this session, nor more
 *                 than the sink's ack, unless the session started further.
 *             (3) confirmed positions never go back.
 *             (4) after a malformed frame nothing more is confirmed and nothing more is read.
 *             (5) boundaries move only between transactions.
 * Ownership:  the source owns link, relations, origins and the change that waits for room.
 * Threading:  everything here on the source's thread, but for `shared` under its lock.
 * Limits:     one pending change; STREAM_STEP_BYTES and STREAM_STEP_FRAMES per step.
 */
#ifndef SOURCES_POSTGRES_CORE_H
#define SOURCES_POSTGRES_CORE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/backoff.h"
#include "base/rng.h"
#include "base/thread.h"
#include "model/change.h"
#include "sources/postgres/link.h"
#include "sources/postgres/options.h"
#include "sources/postgres/origins.h"
#include "sources/postgres/relations.h"
#include "sources/source.h"

enum { STREAM_STEP_BYTES = 512 * 1024, STREAM_STEP_FRAMES = 4096 };

enum phase {
    PHASE_WAITING, /* for `attempt_us` */
    PHASE_PROBING,
    PHASE_PUBLISHING,
    PHASE_INTENT,      /* the store commits that the slot is about to be made */
    PHASE_SLOT,        /* the slot is being made */
    PHASE_WITHDRAWING, /* it was not: the store commits that there is no intent; then `withheld` */
    PHASE_IDENTITY,    /* the store commits identity, point and start */
    PHASE_STARTING,
    PHASE_STREAMING,
    PHASE_CLOSING, /* the last status is out; waits for the server's end of COPY */
    PHASE_FAILED,
    PHASE_STOPPED,
};

/* The place in the stream. Reset for every session. */
struct stream {
    struct fan_lsn boundary; /* R: everything that commits before it was handed over */
    struct fan_lsn wal_end;  /* of the highest keepalive; confirms nothing by itself */
    struct fan_lsn last_commit;
    struct fan_lsn last_message; /* of non-transactional messages */
    bool in_txn;
    struct fan_lsn commit_lsn; /* of the open transaction, as its commit time and xid */
    int64_t commit_time_us;
    uint32_t xid;
    const char *origin; /* of the open transaction; borrowed of the source, NULL: none */
    struct fan_lsn origin_lsn;
    int64_t next_seq;
    uint64_t txn;      /* how many transactions have begun, those that came again included */
    uint32_t messages; /* logical messages of the open transaction so far */
    bool dirty;        /* something was handed over since the last publish() */

    struct change pending; /* offered to the sink and not taken yet; valid if `has_pending` */
    bool has_pending;
    uint32_t truncate_left; /* relations of the pending truncate behind the current one */
    uint32_t truncate_offset;

    struct relation *draft; /* owned; being described: nothing is read meanwhile */
    bool describe_begun;
    uint64_t burst_bytes; /* taken by the last step */
    bool drained;         /* the last step took everything there was */

    int64_t window_us; /* when the rate's window began, and what came in it */
    uint64_t window_bytes;
    bool behind; /* the stream runs so fast that waking less often costs nobody anything */
};

/* Times are monotonic microseconds; 0 means never. */
struct feedback {
    int64_t status_us;      /* when the last status went out */
    int64_t ack_us;         /* when `flushed` last moved on the wire */
    int64_t answer_us;      /* when a keepalive was last answered */
    int64_t probe_us;       /* when the server was last asked for an answer */
    int64_t heard_us;       /* when bytes last came */
    int64_t sample_us;      /* when the last sample was begun */
    bool answer_due;        /* the server asked for an answer */
    struct fan_lsn flushed; /* sent as flushed; never goes back in a session */

    /* A stopping server asks over and over: reply-requested keepalives of the running second. */
    int64_t storm_start_us;
    struct fan_lsn storm_wal_end;
    unsigned storm_count;
    bool draining;
    int64_t drain_deadline_us;
    bool let_go;       /* flush=0 is sent: the server need not wait for us */
    int64_t resend_us; /* a status found no room in the socket: not before this time */
};

struct pg_source {
    struct source base;
    struct source_sink *sink;
    const struct postgres_options *options;
    struct link *link; /* owned */
    struct thread_owner owner;
    char name[SOURCE_NAME_MAX];
    char slot[SOURCE_NAME_MAX];
    char publication[SOURCE_NAME_MAX];
    const char *adopt_slot; /* borrowed; NULL once used */
    int64_t now_us;
    struct rng rng;

    enum phase phase;
    int64_t attempt_us;
    int64_t closing_deadline_us;
    bool session_open; /* session_started() without session_ended() */
    bool session_ever;
    int64_t session_us; /* when it was opened */
    bool rewind_wanted;
    bool stop_wanted;
    bool halted; /* by the engine, until it takes that back */
    bool job;    /* a job of the link is under way */
    bool sampling;

    struct source_memory memory;
    struct link_facts facts;
    struct fan_lsn start;
    bool adopting;
    bool creating;
    struct link_failure withheld; /* why PHASE_SLOT failed */

    struct stream stream;
    struct feedback feedback;
    struct relations relations;
    struct origins origins;

    struct backoff backoff;
    struct backoff active_backoff; /* while another walsender holds the slot */

    /* The same decoding error at the same place, in succession. */
    char poison_sqlstate[LINK_SQLSTATE_SIZE];
    struct fan_lsn poison_lsn;
    unsigned poison_count;
    bool poisoned;

    struct source_status status; /* as seen by this thread */
    bool reason_changed;

    pthread_mutex_t lock; /* guards `shared` */
    struct source_status shared;
};

/*
 * A source over any link. Takes `link`, on failure too. `type` may be NULL: then the functions
 * below are called directly, as the simulator does.
 */
enum fan_status pg_source_create(const struct source_type *type, const struct source_setup *setup,
                                 struct link *link, struct source **ret_source,
                                 struct fan_error *reterr) FAN_MUST_CHECK;
void pg_source_step(struct source *source, int64_t now_us, struct source_wait *ret_wait);
void pg_source_rewind(struct source *source);
void pg_source_halt(struct source *source, bool halted);
void pg_source_stop(struct source *source);
void pg_source_status(const struct source *source, struct source_status *ret_status);
void pg_source_destroy(struct source *source);

/* Ends the session because of `failure`, which it classifies. */
void core_fail(struct pg_source *self, struct link_failure *failure);

/* Ends the session for a reason of our own: FAN_RETRY or FAN_FATAL, as in `error`. */
void core_fail_error(struct pg_source *self, const struct fan_error *error);

/* stream.c */
void stream_open(struct pg_source *self, struct fan_lsn start);
void stream_close(struct pg_source *self);
/* Reads until the step's share is used up or nothing is there. The phase may change. */
void stream_step(struct pg_source *self);
void stream_described(struct pg_source *self, struct link_column *columns);
/* Whether frames are wanted: no change waits for room, no relation for its description. */
bool stream_reading(const struct pg_source *self);

/* feedback.c */
void feedback_open(struct pg_source *self, struct fan_lsn start);
void feedback_heard(struct pg_source *self);
/* One keepalive, already checked. */
void feedback_keepalive(struct pg_source *self, struct fan_lsn wal_end, bool reply);
/* The server said elsewhere that it shuts down. */
void feedback_server_stops(struct pg_source *self);
/* Everything that is due now. The phase may change. */
void feedback_step(struct pg_source *self);
/* A status out of turn, such as the last one. */
void feedback_send_now(struct pg_source *self);
int64_t feedback_deadline_us(const struct pg_source *self);
bool feedback_stalled(const struct pg_source *self);

#endif
