/*
 * reader.h - the source's thread: from the stream into the rings, and from settled to confirmed.
 *
 * Implements the sink of one source. Routes each change to the intakes of the pipelines that want
 * its table, collects what they report, decides how far the slot may be confirmed, has that
 * persisted, and answers the source with what is persisted. Carries out operators' verbs, because
 * admission and state of a pipeline are its to change.
 *
 * A passive state machine: reader_step() with the time. The thread around it is reader_thread.c.
 *
 * INVARIANTS  (1) what ack() answers has been persisted together with the checkpoints it rests on.
 *             (2) one persist job under way at a time.
 * Ownership:  pipelines and settings are borrowed; the source is owned.
 * Threading:  the source's thread, but for reader_command(), reader_begin_stop(), reader_view()
 *             and reader_persist_done().
 */
#ifndef ENGINE_READER_H
#define ENGINE_READER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "conf/settings.h"
#include "engine/acktrack.h"
#include "engine/guard.h"
#include "engine/intake.h"
#include "engine/persist.h"
#include "engine/state.h"
#include "sources/source.h"

enum { COMMANDS_MAX = 64 };

/* An operator's verb on its way; lives on the caller's stack until it is done. */
struct command {
    size_t intake;
    enum pipeline_verb verb;
    bool taken;    /* the reader has applied it and waits for its effect */
    bool done;     /* then status and error hold */
    bool given_up; /* the caller has gone: nobody may touch it any more */
    enum fan_status status;
    struct fan_error error;
    uint64_t state_moves; /* done when the store has this state */
};

/* What other threads may see of an intake. */
struct intake_view {
    enum pipeline_state state;
    char reason[STORE_REASON_MAX];
    int64_t since_wall_us;
    enum run run;
    bool passed_over;
    int64_t passed_commit_us; /* commit time of the oldest passed over; 0 unknown */
    struct fan_lsn resolved;
    int64_t oldest_commit_us;
};

struct reader_view {
    struct fan_lsn boundary;
    struct fan_lsn persisted;
    int blocked_by; /* index of the intake that holds the reader, or -1 */
    int64_t persist_failures;
    char persist_error[FAN_ERROR_TEXT_MAX];
    char halt_reason[256]; /* why reading has ended until an operator comes; "" it has not */
};

struct reader_hooks {
    void (*wake)(void *context); /* step the reader soon; any thread */
    int64_t (*wall_us)(void *context);
    void *context;
};

struct reader_setup {
    const struct settings_source *settings;
    const char *name;
    struct persister *persister;
    struct reader_hooks hooks;
    struct source_memory memory; /* from the store */
    uint64_t seed;
};

struct route {
    size_t count;
    uint16_t *intakes; /* owned */
};

struct reader {
    struct source_sink sink; /* first: what the source is given */
    const char *name;
    struct source *source; /* owned; set by reader_attach() */
    struct reader_hooks hooks;
    struct persister *persister;
    struct rng rng;

    struct intake *intakes; /* owned */
    size_t intakes_count;
    struct ackgate *gates; /* owned */
    size_t gates_count;
    struct acktrack track;

    struct route *routes; /* owned; relation->routes is an index, 0 is "nobody" */
    size_t routes_count;
    size_t routes_capacity;
    struct route message_route; /* of the message at hand */
    bool *touched;              /* owned; per intake: pushed to since the last publish */

    bool session;       /* between session_started and session_ended */
    bool begun;         /* a session has started: the pipelines' targets may begin */
    bool rewind_wanted; /* an intake has to be sent what was passed over */
    int blocked_by;     /* index of the intake that holds the reader, or -1 */
    bool stopping;      /* draining for the end */
    bool drained;       /* everything that can be is settled and persisted */
    bool source_stopped;
    bool step_again; /* without waiting for anything */

    /* For event ids: set when a session starts, so before the first change. */
    char system_id[SOURCE_SYSTEM_ID_MAX];
    char database[SOURCE_NAME_MAX]; /* likewise, for envelopes that name it */
    struct source_memory memory;    /* as persisted */
    struct source_memory wanted_memory;
    struct source_memory posted_memory; /* as the job under way has it */
    bool memory_wanted;                 /* remember() is under way */
    struct persist_job *job;            /* owned; under way, or NULL */
    struct fan_lsn persisted;
    int64_t persist_at_us; /* not before */
    bool persist_soon;
    int64_t persist_failures;
    bool store_broken;

    /* What the failure of a pipeline asks for; ERRORS_ISOLATE: nothing. */
    enum error_policy policy;
    struct fan_error policy_error;
    bool halted;           /* the source reads no more, until an operator starts a pipeline */
    char halt_reason[256]; /* "" when it is not */
    struct guard guard;

    /* Other threads' side. */
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t command_done;
    struct command *commands[COMMANDS_MAX];
    size_t commands_count;
    struct persist_job *job_done;
    struct reader_view view;
    struct intake_view *intake_views; /* owned */

    _Atomic bool stop_wanted;
    _Atomic bool ended; /* stopped: no step is needed any more */
    int64_t view_at_us;
};

/* `intakes` are initialised later, one by one, by reader_add(). */
enum fan_status reader_init(struct reader *reader, const struct reader_setup *setup,
                            size_t intakes_count, size_t gates_count,
                            struct fan_error *reterr) FAN_MUST_CHECK;
/* The store's view of a pipeline of this source. `first_gate` counts over the reader's gates. */
enum fan_status reader_add(struct reader *reader, size_t index, size_t first_gate,
                           const struct intake_setup *setup,
                           struct fan_error *reterr) FAN_MUST_CHECK;
/* Takes the source, which was created with reader->sink. */
void reader_attach(struct reader *reader, struct source *source);
void reader_release(struct reader *reader);

/* First call: no pipeline runs before reader_begin_pipelines(). */
void reader_start(struct reader *reader, int64_t now_us);

/*
 * Lets the targets of running pipelines begin, once: at the first session. Not before, because a
 * target that begins goes back to its checkpoint, and a store that the source refuses (an old copy)
 * must not make it cut off what a newer one confirmed.
 */
void reader_begin_pipelines(struct reader *reader);
void reader_step(struct reader *reader, int64_t now_us, struct source_wait *ret_wait);

/* Stops every pipeline that runs, for this reason, and ends the session: the slot is kept. An
 * operator who starts a pipeline has the source read again. */
void reader_stop_reading(struct reader *reader, const char *reason);

/* Any thread. Returns when the verb is in effect and persisted, or at the deadline. */
enum fan_status reader_command(struct reader *reader, size_t intake, enum pipeline_verb verb,
                               int64_t timeout_us, struct fan_error *reterr) FAN_MUST_CHECK;
/* Any thread: stop reading, deliver what is queued, persist, confirm, end. */
void reader_begin_stop(struct reader *reader);
bool reader_has_ended(const struct reader *reader);
/* Any thread. */
void reader_view(struct reader *reader, struct reader_view *ret_view,
                 struct intake_view *ret_intakes);

#endif
