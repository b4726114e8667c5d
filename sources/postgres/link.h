/*
 * link.h - everything about a source that is not deterministic, behind one table of functions.
 *
 * The state machine of a source (source.c, stream.c, feedback.c) decides; a link does: it connects,
 * runs SQL, and moves bytes. The product's link is libpq with a helper thread (session.c); the
 * simulator and the unit tests bring their own, in one thread and on virtual time.
 *
 * Jobs: a begin_*() function starts a job and returns at once; its outcome is ONE event of
 * poll_event(): the kind that belongs to the job, or LINK_FAILED. At most one job is under way;
 * the caller never begins another before that event, except after close(), which forgets the job.
 *
 *     begin_probe -> LINK_PROBED                  connects when needed, checks, changes nothing
 *     begin_publication -> LINK_PUBLISHED         only when facts.publication_change
 *     begin_create -> LINK_CREATED                creates the slot
 *     begin_start -> LINK_STARTED                 the stream is open from here on
 *     begin_describe, begin_sample -> LINK_DESCRIBED, LINK_SAMPLED    also while the stream is open
 *
 * Stream: between LINK_STARTED and close(), receive() and send_status() move frames as they stand
 * in the CopyData messages of the streaming replication protocol.
 *
 * INVARIANTS  (1) no function blocks; (2) after close() no event and no frame of before appears;
 *             (3) a failure that the server gave an SQLSTATE for carries it.
 * Ownership:  the source owns its link and destroys it. Strings and structs passed in are copied,
 *             but for begin_describe's relation, which stays untouched until its event or close().
 * Threading:  one thread, the source's.
 */
#ifndef SOURCES_POSTGRES_LINK_H
#define SOURCES_POSTGRES_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "model/lsn.h"
#include "model/relation.h"
#include "sources/source.h"

enum { LINK_SQLSTATE_SIZE = 6 };

/* Why a job or the stream failed. */
struct link_failure {
    char sqlstate[LINK_SQLSTATE_SIZE]; /* "" when the server gave none */
    struct fan_lsn lsn;                /* of a decoding error: its "associated LSN"; else 0 */
    /* status and code rule when there is no SQLSTATE: FAN_RETRY or FAN_FATAL. A code that the link
     * has set (a failed check) rules over the SQLSTATE. */
    struct fan_error error;
};

struct link_slot {
    bool exists;
    bool logical;
    bool temporary;
    bool active;
    bool two_phase;
    bool failover;
    bool synced;
    int active_pid; /* 0 unknown */
    char plugin[SOURCE_NAME_MAX];
    char database[SOURCE_NAME_MAX];
    char wal_status[16];   /* reserved, extended, unreserved, lost; "" unknown */
    char invalidation[32]; /* why it was invalidated; "" when it was not */
    struct fan_lsn restart;
    struct fan_lsn confirmed;
};

/* What pipelines ask for and the stream goes on without, or `error.code` is "". */
struct link_shortfall {
    struct fan_error error;
    bool losing; /* of a table that is asked for by name, or was streamed, changes go missing */
};

/* What a probe found. The link has made its checks: what is here can serve. */
struct link_facts {
    int server_version; /* such as 150018 */
    bool in_recovery;
    char system_id[SOURCE_SYSTEM_ID_MAX];
    uint32_t timeline;
    struct fan_lsn timeline_switch; /* where the remembered timeline ended; 0 unknown */
    struct fan_lsn wal_end;         /* the server's flush position */
    char database[SOURCE_NAME_MAX];
    bool publication_exists;
    bool publication_change; /* begin_publication() has something to do: create it, add tables */
    struct link_shortfall shortfall;
    struct link_slot slot;
};

/* What the catalog says of one column of a described relation. */
struct link_column {
    struct type_info type;
    bool in_primary_key;
    bool not_null;
    const char *labels;       /* as in struct relation_column; in the memory of the columns */
    const char *default_text; /* the same */
};

struct link_sample {
    struct fan_lsn server_lsn;
    int64_t retained_bytes; /* -1 unknown */
    int64_t safe_wal_bytes; /* -1 unknown or unlimited */
    char wal_status[16];
    struct link_shortfall shortfall;
};

enum link_event_kind {
    LINK_PROBED,
    LINK_PUBLISHED,
    LINK_CREATED,
    LINK_STARTED,
    LINK_DESCRIBED,
    LINK_SAMPLED,
    LINK_FAILED,
};

struct link_event {
    enum link_event_kind kind; /* which member of the union is set */
    union {
        struct link_facts facts;         /* LINK_PROBED */
        struct fan_lsn consistent_point; /* LINK_CREATED */
        struct link_column *columns;     /* LINK_DESCRIBED: malloc'd, as many as the relation has,
                                            in its order, with all that they point
                                            to; the receiver frees it */
        struct link_sample sample;       /* LINK_SAMPLED */
        struct link_failure failure;     /* LINK_FAILED */
    };
};

/* The positions of a standby status update. The link adds the clock. */
struct link_status {
    struct fan_lsn write;
    struct fan_lsn flush; /* 0: confirms nothing */
    struct fan_lsn apply;
    bool reply; /* asks the server to answer at once */
};

struct link;

struct link_type {
    /* `memory` is what the store knows; its timeline says which switch point is asked for. */
    void (*begin_probe)(struct link *link, const struct source_memory *memory);
    void (*begin_publication)(struct link *link);
    void (*begin_create)(struct link *link);
    /* pgoutput, protocol 1, messages on. */
    void (*begin_start)(struct link *link, struct fan_lsn start);
    void (*begin_describe)(struct link *link, const struct relation *relation);
    void (*begin_sample)(struct link *link);

    /* Returns false when there is no event. */
    bool (*poll_event)(struct link *link, struct link_event *ret_event);

    /*
     * The next frame (the content of one CopyData message), malloc'd; the receiver frees it.
     * FAN_AGAIN: nothing there now; `*ret_heard` says whether bytes arrived all the same (part of
     * a frame). FAN_RETRY: the stream is over, why stands in `ret_failure`, and close() is next.
     */
    enum fan_status (*receive)(struct link *link, void **ret_buffer, size_t *ret_size,
                               bool *ret_heard, struct link_failure *ret_failure);

    /* FAN_AGAIN: no room, offer a status later. FAN_RETRY: lost; receive() will say why. */
    enum fan_status (*send_status)(struct link *link, const struct link_status *status);

    /* Tells the server that the stream ends; receive() goes on to its end. */
    void (*end_copy)(struct link *link);

    /* Forgets the job and drops the connections. Also when there are none. */
    void (*close)(struct link *link);

    /* While behind, the link may let bytes gather for a few milliseconds before it wakes. */
    void (*set_behind)(struct link *link, bool behind);

    /* Adds what to wait for, and draws the deadline nearer. `reading`: frames are wanted. */
    void (*wait)(struct link *link, bool reading, int64_t now_us, struct source_wait *wait);

    void (*destroy)(struct link *link); /* accepts NULL; joins its thread */
};

/* First member of every implementation. */
struct link {
    const struct link_type *type;
};

#endif
