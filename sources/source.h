/*
 * source.h - the contract between the engine and a kind of source.
 *
 * A source owns one stream of changes: it connects, checks, creates what is missing, streams,
 * reconnects with back-off, and reports to a sink. It is passive: the engine steps it with the
 * time, and it says what to wait for. Everything that makes the stream safe on the server's side
 * (which position to start from, what a status update may confirm, when to stop) is decided here;
 * what is settled and durable is the engine's to know, and is asked through sink->ack().
 *
 * Normal order of calls of one session:
 *
 *     recall, remember (identity, slot intent, slot point), session_started,
 *     { relation | change... commit | boundary | publish | ack }*, session_ended
 *
 * Threading:  create and destroy on the main thread; step, rewind and stop on the source's thread;
 *             the sink is called on that thread only. source_status() from any thread.
 * Ownership:  options and names are borrowed and outlive the source.
 */
#ifndef SOURCES_SOURCE_H
#define SOURCES_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "conf/option.h"
#include "model/change.h"
#include "model/position.h"

enum { SOURCE_NAME_MAX = 64, SOURCE_SYSTEM_ID_MAX = 24, SOURCE_WAIT_FDS_MAX = 4 };

enum slot_stage {
    SLOT_UNKNOWN = 0, /* this store has never used the slot */
    SLOT_INTENT,      /* about to be created: a crash may have left it behind */
    SLOT_CREATED,     /* created or adopted; `consistent_point` is known */
};

/* What the engine's store remembers of a source. All zero: never seen. */
struct source_memory {
    char system_id[SOURCE_SYSTEM_ID_MAX]; /* decimal */
    uint32_t timeline;
    char database[SOURCE_NAME_MAX];
    char slot[SOURCE_NAME_MAX];
    char publication[SOURCE_NAME_MAX];
    enum slot_stage slot_stage;
    struct fan_lsn consistent_point;
    struct fan_lsn confirmed; /* the greatest position ever persisted to be confirmed */
};

/* What the engine offers to a source. Every function is called on the source's thread. */
struct source_sink {
    /* What the store knew at start, updated by every remember() since. */
    void (*recall)(struct source_sink *sink, struct source_memory *ret_memory);

    /* Makes the memory durable. FAN_AGAIN: under way, call again with the same argument. */
    enum fan_status (*remember)(struct source_sink *sink, const struct source_memory *memory,
                                struct fan_error *reterr);

    /* The furthest position that any pipeline has been given or has a checkpoint for. */
    struct fan_position (*furthest)(struct source_sink *sink);

    /* The stream (re)starts at `start`, which is durably remembered: the boundary is set to it. */
    void (*session_started)(struct source_sink *sink, struct fan_lsn start,
                            const struct source_memory *memory);
    void (*session_ended)(struct source_sink *sink);

    /* A version of a relation will be used by changes from now on, perhaps again, as in every new
     * session; may set relation->routes, which is 0 the first time. */
    void (*relation)(struct source_sink *sink, struct relation *relation);

    /* Whether any pipeline wants logical messages of this prefix. */
    bool (*wants_message)(struct source_sink *sink, const char *prefix);

    /*
     * One change, in order of position within the session. FAN_OK: taken, its message reference
     * included (changes that nobody wants are released). FAN_AGAIN: a buffer is full and nothing
     * was taken; offer the same change again in a later step, and read nothing until then.
     */
    enum fan_status (*change)(struct source_sink *sink, struct change *change);

    /* The transaction is complete: the boundary moves to `end`. Called for empty ones too. */
    void (*commit)(struct source_sink *sink, struct fan_lsn commit, struct fan_lsn end);

    /* A position outside any transaction, such as a keepalive's: the boundary moves there. */
    void (*boundary)(struct source_sink *sink, struct fan_lsn position);

    /* The end of a burst: what was handed over becomes visible to the pipelines. */
    void (*publish)(struct source_sink *sink);

    /* How far the slot may be confirmed: settled, and persisted with an fsync. Never goes back. */
    struct fan_lsn (*ack)(struct source_sink *sink);
};

enum source_state {
    SOURCE_CONNECTING,
    SOURCE_CHECKING,
    SOURCE_CREATING, /* publication or slot */
    SOURCE_STREAMING,
    SOURCE_BLOCKED,      /* streaming, but a full buffer holds the reader */
    SOURCE_RECONNECTING, /* waits for the next attempt */
    SOURCE_DRAINING,     /* the server shuts down and is being let go */
    SOURCE_POISONED,     /* the server cannot decode a change: one attempt every 30 s */
    SOURCE_FAILED,       /* permanent: an operator has to act */
    SOURCE_STOPPED,
};

const char *source_state_name(enum source_state state);

/* A snapshot for people and programs. */
struct source_status {
    enum source_state state;
    char
        reason[FAN_ERROR_TEXT_MAX]; /* why it is not streaming, or what it streams without; or "" */
    char hint[FAN_ERROR_HINT_MAX];  /* how to mend it */
    char code[32];
    bool insecure_tls;  /* the conf accepts a connection without verified TLS */
    bool incomplete;    /* it streams, and changes that a pipeline asks for go missing */
    bool stalled;       /* connected, but the server has been silent for too long */
    int server_version; /* such as 150018; 0 until known */
    char system_id[SOURCE_SYSTEM_ID_MAX];
    uint32_t timeline;
    struct fan_lsn received;   /* highest boundary received in this session */
    struct fan_lsn confirmed;  /* last position sent as flushed */
    struct fan_lsn server_lsn; /* the server's flush position at the last sample */
    int64_t retained_bytes;    /* WAL held by the slot at the last sample; -1 unknown */
    int64_t safe_wal_bytes;    /* pg_replication_slots.safe_wal_size; -1 unknown or unlimited */
    char wal_status[16];
    int64_t last_commit_us;  /* commit time of the last transaction received; 0 none */
    int64_t last_heard_us;   /* monotonic time of the last byte from the server */
    int64_t next_attempt_us; /* monotonic; while RECONNECTING or POISONED */
    uint64_t reconnects;
    uint64_t transactions;
    uint64_t changes; /* read from the stream, re-sent ones included */
    uint64_t bytes;
    uint64_t status_updates;
};

/* What the stepping thread has to wait for before it steps again. */
struct source_wait {
    struct {
        int fd;
        short events; /* of poll(2) */
    } fds[SOURCE_WAIT_FDS_MAX];
    size_t fds_count;
    int64_t deadline_us; /* step again then at the latest; monotonic */
};

struct source;

/* The tables that pipelines ask for: patterns of model/pattern.h. Borrowed. */
struct source_tables {
    const char *const *patterns;
    size_t patterns_count;
    bool messages; /* whether any pipeline asks for logical messages */
};

struct source_setup {
    const char *name; /* as in the conf */
    const void *options;
    struct source_tables tables;
    struct source_sink *sink; /* borrowed */
    uint64_t seed;            /* of the back-off's jitter */
    const char *adopt_slot;   /* --adopt-slot NAME, or NULL */
};

enum finding_severity { FINDING_OK, FINDING_WARNING, FINDING_ERROR };

/* One result of a check of the primary. */
struct source_finding {
    enum finding_severity severity;
    char code[32]; /* TABLE_NOT_FOUND, PERMISSION_DENIED, ... */
    char text[FAN_ERROR_TEXT_MAX];
    char hint[FAN_ERROR_HINT_MAX]; /* the SQL or the setting that mends it */
};

typedef void source_report(void *context, const struct source_finding *finding);

/* What a source has made on the server. */
struct source_slot {
    char slot[SOURCE_NAME_MAX];
    char publication[SOURCE_NAME_MAX];
    char database[SOURCE_NAME_MAX];
    char wal_status[16];
    bool exists;
    bool active;
    bool publication_exists;
    int active_pid;
    int64_t retained_bytes; /* -1 unknown */
    struct fan_lsn confirmed;
    struct fan_lsn restart;
};

struct source_type {
    const char *name; /* the `type` value in the conf */
    const struct conf_table *table;

    enum fan_status (*create)(const struct source_setup *setup, struct source **ret_source,
                              struct fan_error *reterr);
    void (*step)(struct source *source, int64_t now_us, struct source_wait *ret_wait);
    /* Ends the session and starts another at the confirmed position, without back-off. */
    void (*rewind)(struct source *source);
    /* Ends the session, and starts none until it is taken back: the slot is kept and held. */
    void (*halt)(struct source *source, bool halted);
    /* Sends a last status, ends the session; step until the state is STOPPED. */
    void (*stop)(struct source *source);
    void (*status)(const struct source *source, struct source_status *ret_status);
    void (*destroy)(struct source *source); /* accepts NULL; joins its threads */

    /* The following connect by themselves, block (within the connect and statement time-outs) and
     * need no source. They change nothing on the server but for drop_slot. */

    /* Reports every finding and expands the patterns: `ret_tables` gets one schema.table a line.
     * FAN_OK when there is no FINDING_ERROR, FAN_FATAL otherwise, FAN_RETRY when unreachable. */
    enum fan_status (*check)(const struct source_setup *setup, source_report *report, void *context,
                             struct bytes *ret_tables, struct fan_error *reterr);
    enum fan_status (*slot)(const struct source_setup *setup, struct source_slot *ret_slot,
                            struct fan_error *reterr);
    enum fan_status (*drop_slot)(const struct source_setup *setup, struct fan_error *reterr);

    /* Whether two sources, by their names and options, would read through the same slot: only one
     * of them could. */
    bool (*same_slot)(const char *name, const void *options, const char *other_name,
                      const void *other_options);

    /* The slot's name under these options, for messages and event ids. */
    const char *(*slot_name)(const struct source_setup *setup, char *text, size_t text_size);
};

/* First member of every implementation. */
struct source {
    const struct source_type *type;
};

/* Returns the type of that name, or NULL. */
const struct source_type *source_type_find(const char *name);

/* NULL-terminated. Adding a source means adding one line in registry.c. */
extern const struct source_type *const source_types[];

#endif
