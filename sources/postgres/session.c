#include "sources/postgres/session.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "sources/postgres/catalog.h"
#include "sources/postgres/conn.h"
#include "sources/postgres/coverage.h"
#include "sources/postgres/preflight.h"
#include "sources/postgres/publication.h"
#include "sources/postgres/slot.h"

enum {
    QUERY_US = 60000000,
    SAMPLE_US = 15000000,
    LOW_WATER_BYTES = 65536,
    BEHIND_WAIT_US = 3000,
    BEHIND_NAP_US = 200,     /* a unix socket holds about a millisecond of small rows */
    FILL_WORTH_BYTES = 8192, /* of one read; after less the sender gets time to fill the socket */
    PUBLICATION_SQL_MAX = 1 << 24,
    WARNED_BYTES_MAX = 1 << 16,
    FINGERPRINT_SIZE = 256,
};

enum job_kind {
    JOB_NONE,
    JOB_PROBE,
    JOB_PUBLICATION,
    JOB_CREATE,
    JOB_START,
    JOB_DESCRIBE,
    JOB_SAMPLE,
};

struct job {
    enum job_kind kind;
    uint64_t generation; /* of the session that asked */
    uint32_t timeline;   /* of a probe: the remembered one */
    bool running;        /* of a probe: the store knows the slot, which it has confirmed up to: */
    struct fan_lsn confirmed;
    struct fan_lsn start;
    struct catalog_request request; /* owned */
};

struct session {
    struct link link;
    const struct postgres_options *options;
    struct source_tables tables;
    char name[SOURCE_NAME_MAX];
    char slot[SOURCE_NAME_MAX];
    char publication[SOURCE_NAME_MAX];

    /* Of the source's thread. */
    PGconn *stream;
    bool stream_unix;
    bool behind;
    size_t filled; /* bytes handed out since libpq last read the socket */
    bool flush_pending;
    bool quiet;               /* no frame since the last receive() that found none */
    bool copy_over;           /* no more frames; results follow */
    bool publication_skipped; /* set by the notice receiver, which libpq calls on this thread */

    /* Of the helper thread. */
    pthread_t thread;
    PGconn *query;
    PGconn *replication;
    struct preflight preflight;
    uint64_t connected_generation; /* of the session that made the connections */
    struct bytes warned;           /* findings of the last probe, one a line */
    struct bytes warned_now;       /* of the one that runs */
    struct bytes warned_tables;    /* the same of the looks at the tables while the stream runs */
    struct bytes warned_tables_now;
    bool looking;
    struct coverage coverage;
    struct fan_lsn looked; /* before the probe looked */
    struct fan_lsn first;  /* tables are whole up to here, as far as a new process can tell */
    char fingerprint[FINGERPRINT_SIZE]; /* at the last look; "": look again */
    struct link_shortfall shortfall;    /* at the last look */

    int event_fd; /* wakes the source's thread: an event is there */
    int stop_fd;  /* interrupts the helper's waits */
    _Atomic bool event_there;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    uint64_t generation; /* close() starts another one */
    bool quit;
    struct job next; /* waits for the helper */
    struct link_event event;
    PGconn *opened; /* goes with LINK_STARTED */
};

static struct session *session_of(struct link *link)
{
    return (struct session *)link;
}

/* An eventfd is readable while its counter is not zero. */
static void raise_event(int fd)
{
    uint64_t one = 1;
    (void)!write(fd, &one, sizeof(one)); /* fails only when it is readable already */
}

static void clear_event(int fd)
{
    uint64_t count;
    (void)!read(fd, &count, sizeof(count)); /* fails only when it is clear already */
}

/* --- the helper's side ------------------------------------------------------------------------ */

static struct query_limit limit_of(const struct session *self, int64_t wait_us)
{
    return (struct query_limit){.stop_fd = self->stop_fd,
                                .deadline_us = clock_monotonic_us() + wait_us};
}

static void disconnect(struct session *self)
{
    conn_close(&self->query);
    conn_close(&self->replication);
}

static enum fan_status open_query(struct session *self, struct link_failure *ret_failure)
{
    if (self->query != NULL && PQstatus(self->query) == CONNECTION_OK) {
        return FAN_OK;
    }
    conn_close(&self->query);
    struct query_limit limit = limit_of(self, self->options->connect_timeout_us);
    return conn_open(self->options, CONN_QUERY, self->slot, &limit, &self->query, ret_failure);
}

/* Whether one of the lines is `line`, which ends with a line feed. */
static bool has_line(struct bytes *lines, const char *line)
{
    const char *at = bytes_text(lines);
    while ((at = strstr(at, line)) != NULL) {
        if (at == bytes_text(lines) || at[-1] == '\n') {
            return true;
        }
        at++;
    }
    return false;
}

/* What neither the last probe nor the last look at the tables found goes to the log; errors become the source's reason, too. */
static void log_finding(void *context, const struct source_finding *finding)
{
    struct session *self = context;
    if (finding->severity == FINDING_OK) {
        return;
    }
    char line[FAN_ERROR_TEXT_MAX + 40];
    (void)snprintf(line, sizeof(line), "%s %s\n", finding->code, finding->text); /* fits */
    /* Beyond the maximum it is logged again. */
    bytes_append_text(self->looking ? &self->warned_tables_now : &self->warned_now, line);
    if (!has_line(&self->warned, line) && !has_line(&self->warned_tables, line)) {
        log_write(finding->severity == FINDING_ERROR ? LOG_ERROR : LOG_WARN, "check of the primary",
                  LOG_TEXT("source", self->name), LOG_TEXT("code", finding->code),
                  LOG_TEXT("finding", finding->text), LOG_TEXT("hint", finding->hint));
    }
}

static enum fan_status run_probe(struct session *self, const struct job *job,
                                 struct link_event *event)
{
    enum fan_status status = open_query(self, &event->failure);
    if (status != FAN_OK) {
        return status;
    }
    struct preflight_setup setup = {.options = self->options,
                                    .slot = self->slot,
                                    .publication = self->publication,
                                    .application_name = self->slot,
                                    .tables = &self->tables,
                                    .running = job->running,
                                    .before = &self->coverage,
                                    .first = job->confirmed};
    self->first = job->confirmed;
    self->fingerprint[0] = '\0';
    struct query_limit limit = limit_of(self, QUERY_US);
    preflight_release(&self->preflight);
    struct link_failure failure;
    bytes_clear(&self->warned_now);
    status =
        preflight_run(&self->preflight, &setup, self->query, &limit, log_finding, self, &failure);
    self->looked = self->preflight.facts.wal_end;
    if (status == FAN_OK) {
        struct bytes before = self->warned;
        self->warned = self->warned_now;
        self->warned_now = before;
    }
    if (status == FAN_OK && self->preflight.failed) {
        failure.error = self->preflight.error;
        status = self->preflight.error.status;
    }
    if (status == FAN_OK) {
        limit = limit_of(self, self->options->connect_timeout_us);
        conn_close(&self->replication);
        status = conn_open(self->options, CONN_REPLICATION, self->slot, &limit, &self->replication,
                           &failure);
    }
    if (status == FAN_OK) {
        limit = limit_of(self, QUERY_US);
        status = preflight_identify(&self->preflight.facts, self->replication, job->timeline,
                                    &limit, &failure);
    }
    if (status != FAN_OK) {
        event->failure = failure;
        return status;
    }
    event->kind = LINK_PROBED;
    event->facts = self->preflight.facts;
    return FAN_OK;
}

/* The server's position now, or `otherwise` when it cannot be asked. */
static struct fan_lsn position_now(struct session *self, const struct query_limit *limit,
                                   struct fan_lsn otherwise)
{
    FAN_CLEANUP(query_clear_p) PGresult *row = NULL;
    struct link_failure ignored;
    enum fan_status status = query_run(self->query, limit, "SELECT pg_current_wal_insert_lsn()", 0,
                                       NULL, &row, &ignored);
    return status == FAN_OK ? query_lsn(row, 0, 0) : otherwise;
}

static void warn_lost(const struct session *self, const struct preflight_table *table,
                      struct fan_lsn now)
{
    char name[2 * sizeof(table->name) + 2];
    (void)snprintf(name, sizeof(name), "%s.%s", table->schema, table->name); /* fits */
    log_write(LOG_WARN, "changes of a table made while it was not in the publication are lost",
              LOG_TEXT("source", self->name), LOG_TEXT("table", name),
              LOG_LSN("since", table->whole.value), LOG_LSN("to", now.value),
              LOG_TEXT("hint", "take a new baseline of the table if it was written meanwhile"));
}

static enum fan_status run_command(PGconn *conn, const struct query_limit *limit, const char *sql,
                                   struct link_failure *ret_failure)
{
    FAN_CLEANUP(query_clear_p) PGresult *result = NULL;
    return query_run(conn, limit, sql, 0, NULL, &result, ret_failure);
}

/* Makes or alters the publication as `preflight` says. Its tables are held then. */
static enum fan_status change_publication(struct session *self, struct preflight *preflight,
                                          const struct query_limit *limit, struct bytes *sql,
                                          struct link_failure *ret_failure)
{
    PGconn *admin = NULL;
    enum fan_status status = FAN_OK;
    if (secret_reveal(&self->options->publication.admin_dsn) != NULL) {
        status = conn_open(self->options, CONN_ADMIN, self->slot, limit, &admin, ret_failure);
    }
    publication_append_sql(preflight, self->publication, COVER_ADD, sql);
    if (!preflight->facts.publication_exists) {
        /* One simple query is one transaction. */
        BYTES_APPEND_LITERAL(sql, "; COMMENT ON PUBLICATION ");
        query_append_identifier(sql, self->publication);
        BYTES_APPEND_LITERAL(sql, " IS '" PUBLICATION_COMMENT "'");
    }
    PGconn *conn = admin != NULL ? admin : self->query;
    if (status == FAN_OK && preflight->running) {
        /* The stream does not wait for it, and the next look tries again. */
        status = run_command(conn, limit, "SET lock_timeout = '1s'", ret_failure);
    }
    if (status == FAN_OK) {
        status = run_command(conn, limit, bytes_text(sql), ret_failure);
    }
    conn_close(&admin);
    if (status != FAN_OK) {
        return status;
    }
    log_write(LOG_INFO, "publication changed", LOG_TEXT("source", self->name),
              LOG_TEXT("sql", bytes_text(sql)));
    struct fan_lsn now = position_now(self, limit, preflight->facts.wal_end);
    for (size_t i = 0; i < preflight->tables_count; i++) {
        struct preflight_table *table = &preflight->tables[i];
        if (table->cover == COVER_ADD) {
            if (preflight->running) {
                warn_lost(self, table, now);
            }
            table->cover = COVER_HELD;
        }
    }
    return FAN_OK;
}

/*
 * A stream that runs already does not wait for more tables: when the server refuses to add them
 * (somebody else's table, a lock that is held for hours), it goes on without. What somebody else
 * changed at the same moment is looked at again.
 */
static bool may_go_without(const struct preflight *preflight, const struct link_failure *failure)
{
    const char *sqlstate = failure->sqlstate;
    return preflight->running && preflight->facts.publication_exists && sqlstate[0] != '\0' &&
           strcmp(sqlstate, "42710") != 0 && strcmp(sqlstate, "42P01") != 0 &&
           strncmp(sqlstate, "57P", 3) != 0 && strncmp(sqlstate, "08", 2) != 0;
}

static enum fan_status run_publication(struct session *self, struct link_event *event)
{
    struct query_limit limit = limit_of(self, QUERY_US);
    struct bytes sql;
    bytes_init(&sql, PUBLICATION_SQL_MAX);
    enum fan_status status =
        change_publication(self, &self->preflight, &limit, &sql, &event->failure);
    if (status != FAN_OK && may_go_without(&self->preflight, &event->failure)) {
        status = FAN_OK; /* the first sample tries again and says what is missing */
    }
    if (status == FAN_OK) {
        event->kind = LINK_PUBLISHED;
    } else if (strcmp(event->failure.sqlstate, "42501") == 0) {
        fan_error_annotate(&event->failure.error, "PERMISSION_DENIED", "%s;", bytes_text(&sql));
        event->failure.error.status = FAN_FATAL;
    }
    bytes_release(&sql);
    return status;
}

static enum fan_status run_create(struct session *self, struct link_event *event)
{
    struct query_limit limit = limit_of(self, self->options->slot_create_timeout_us);
    struct fan_lsn point;
    enum fan_status status =
        slot_create(self->replication, self->query, self->preflight.facts.server_version,
                    self->slot, self->options->slot.failover, &limit, &point, &event->failure);
    if (status == FAN_OK) {
        log_write(LOG_INFO, "slot created", LOG_TEXT("source", self->name),
                  LOG_TEXT("slot", self->slot), LOG_LSN("consistent_point", point.value));
        event->kind = LINK_CREATED;
        event->consistent_point = point;
    }
    return status;
}

/* Up to 17 a missing publication is an error; from 18 on only a warning comes, and its changes are
 * left out: going on would lose them. */
static void on_stream_notice(void *context, const PGresult *result)
{
    struct session *self = context;
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (severity == NULL || strcmp(severity, "WARNING") != 0) {
        return;
    }
    log_write(LOG_WARN, "warning from the server", LOG_TEXT("source", self->name),
              LOG_TEXT("warning", message));
    if ((sqlstate != NULL && strcmp(sqlstate, "55000") == 0) ||
        (message != NULL && strstr(message, "skipped loading publication") != NULL)) {
        self->publication_skipped = true;
    }
}

static enum fan_status run_start(struct session *self, const struct job *job,
                                 struct link_event *event, PGconn **ret_opened)
{
    struct query_limit limit = limit_of(self, QUERY_US);
    enum fan_status status = slot_start(self->replication, self->slot, self->publication,
                                        job->start, &limit, &event->failure);
    if (status == FAN_OK) {
        self->shortfall = self->preflight.facts.shortfall;
        if (coverage_take(&self->coverage, &self->preflight, self->looked) != FAN_OK) {
            coverage_release(&self->coverage); /* memory is out: the first sample looks anew */
        }
        event->kind = LINK_STARTED;
        *ret_opened = FAN_STEAL(self->replication);
    }
    return status;
}

static enum fan_status run_describe(struct session *self, const struct job *job,
                                    struct link_event *event)
{
    struct query_limit limit = limit_of(self, QUERY_US);
    struct link_column *columns;
    enum fan_status status = open_query(self, &event->failure);
    if (status == FAN_OK) {
        status = catalog_describe(&job->request, self->query, &limit, &columns, &event->failure);
        if (status != FAN_OK && PQstatus(self->query) == CONNECTION_BAD) {
            /* It may have been idle for hours: once more on a new one. */
            status = open_query(self, &event->failure);
            status = status == FAN_OK ? catalog_describe(&job->request, self->query, &limit,
                                                         &columns, &event->failure)
                                      : status;
        }
    }
    if (status == FAN_OK) {
        event->kind = LINK_DESCRIBED;
        event->columns = columns;
    }
    return status;
}

/* The server refused to add them: shown, and tried again at the next look. */
static void refused(struct session *self, struct preflight *look, const char *sql,
                    const struct link_failure *failure)
{
    struct link_shortfall *shortfall = &look->facts.shortfall;
    for (size_t i = 0; i < look->tables_count && !shortfall->losing; i++) {
        const struct preflight_table *table = &look->tables[i];
        shortfall->losing = table->cover == COVER_ADD && (table->named || table->streamed);
    }
    (void)fan_fail(&shortfall->error, FAN_RETRY, "publication \"%s\" lacks tables: %s",
                   self->publication, failure->error.text);
    fan_error_annotate(&shortfall->error, "PUBLICATION_TABLES", "%s;", sql);
    struct source_finding finding = {.severity = FINDING_WARNING, .code = "PUBLICATION_TABLES"};
    memcpy(finding.text, shortfall->error.text, sizeof(finding.text));
    memcpy(finding.hint, shortfall->error.hint, sizeof(finding.hint));
    log_finding(self, &finding);
}

/* Tables that are held again although we did not add them. */
static void welcome_back(const struct session *self, const struct preflight *look,
                         struct fan_lsn now)
{
    for (size_t i = 0; i < look->tables_count; i++) {
        const struct preflight_table *table = &look->tables[i];
        if (table->cover == COVER_HELD && table->streamed && !(table->own && table->was_held)) {
            warn_lost(self, table, now);
        }
    }
}

/* Compares the publication with what the pipelines ask for, and adds what may be added. */
static enum fan_status look_at_tables(struct session *self, struct fan_lsn now,
                                      struct link_failure *ret_failure)
{
    struct preflight_setup setup = {.options = self->options,
                                    .slot = self->slot,
                                    .publication = self->publication,
                                    .application_name = self->slot,
                                    .tables = &self->tables,
                                    .running = true,
                                    .before = &self->coverage,
                                    .first = self->first};
    struct query_limit limit = limit_of(self, SAMPLE_US);
    FAN_CLEANUP(preflight_release) struct preflight look = {0};
    enum fan_status status = preflight_look(&look, &setup, self->preflight.facts.server_version,
                                            self->query, &limit, log_finding, self, ret_failure);
    if (status != FAN_OK) {
        return status;
    }
    if (!look.facts.publication_exists) {
        self->shortfall = look.facts.shortfall;
        return FAN_OK;
    }
    look.facts.wal_end = now;
    welcome_back(self, &look, now);
    if (look.facts.publication_change) {
        struct bytes sql;
        bytes_init(&sql, PUBLICATION_SQL_MAX);
        struct link_failure failure;
        if (change_publication(self, &look, &limit, &sql, &failure) != FAN_OK) {
            refused(self, &look, bytes_text(&sql), &failure);
        }
        bytes_release(&sql);
    }
    self->shortfall = look.facts.shortfall;
    if (coverage_take(&self->coverage, &look, now) != FAN_OK) {
        self->fingerprint[0] = '\0';
    }
    return FAN_OK;
}

/*
 * Whether the publication still holds what the pipelines ask for. What it holds may be changed by
 * anybody, and the stream says nothing of it: the changes just do not come.
 */
static void watch_tables(struct session *self, struct fan_lsn now)
{
    char fingerprint[FINGERPRINT_SIZE];
    struct query_limit limit = limit_of(self, SAMPLE_US);
    struct link_failure failure;
    enum fan_status status = publication_fingerprint(
        self->query, self->preflight.facts.server_version, self->publication, &limit, fingerprint,
        sizeof(fingerprint), &failure);
    if (status == FAN_OK && self->shortfall.error.code[0] == '\0' && fingerprint[0] != '\0' &&
        strcmp(fingerprint, self->fingerprint) == 0) {
        coverage_hold(&self->coverage, now);
        return;
    }
    if (status == FAN_OK) {
        memcpy(self->fingerprint, fingerprint, sizeof(fingerprint));
        bytes_clear(&self->warned_tables_now);
        self->looking = true;
        status = look_at_tables(self, now, &failure);
        self->looking = false;
        struct bytes before = self->warned_tables;
        self->warned_tables = self->warned_tables_now;
        self->warned_tables_now = before;
    }
    if (status != FAN_OK) {
        self->fingerprint[0] = '\0'; /* again at the next sample */
        log_write(LOG_DEBUG, "tables could not be looked at", LOG_TEXT("source", self->name),
                  LOG_TEXT("reason", failure.error.text));
    }
}

static enum fan_status run_sample(struct session *self, struct link_event *event)
{
    struct query_limit limit = limit_of(self, SAMPLE_US);
    struct link_sample sample;
    enum fan_status status = open_query(self, &event->failure);
    if (status == FAN_OK) {
        status = slot_sample(self->query, self->slot, &limit, &sample, &event->failure);
        if (status != FAN_OK) {
            conn_close(&self->query); /* why it failed shows when it is opened again */
            status = open_query(self, &event->failure);
            status = status == FAN_OK
                         ? slot_sample(self->query, self->slot, &limit, &sample, &event->failure)
                         : status;
        }
    }
    if (status == FAN_OK) {
        watch_tables(self, sample.server_lsn);
        sample.shortfall = self->shortfall;
        event->kind = LINK_SAMPLED;
        event->sample = sample;
    }
    return status;
}

static void run_job(struct session *self, const struct job *job, struct link_event *event,
                    PGconn **ret_opened)
{
    *event = (struct link_event){.kind = LINK_FAILED};
    if (job->generation != self->connected_generation) {
        disconnect(self);
        self->connected_generation = job->generation;
    }
    enum fan_status status = FAN_FATAL;
    switch (job->kind) {
    case JOB_PROBE:
        status = run_probe(self, job, event);
        break;
    case JOB_PUBLICATION:
        status = run_publication(self, event);
        break;
    case JOB_CREATE:
        status = run_create(self, event);
        break;
    case JOB_START:
        status = run_start(self, job, event, ret_opened);
        break;
    case JOB_DESCRIBE:
        status = run_describe(self, job, event);
        break;
    case JOB_SAMPLE:
        status = run_sample(self, event);
        break;
    case JOB_NONE:
        break;
    }
    if (status != FAN_OK) {
        event->kind = LINK_FAILED;
        event->failure.error.status = status;
    }
}

static void drop_event(struct link_event *event)
{
    if (event->kind == LINK_DESCRIBED) {
        free(event->columns);
    }
    *event = (struct link_event){0};
}

/* Hands the outcome over, unless the session that asked is gone. Called with the lock held. */
static void deliver(struct session *self, const struct job *job, struct link_event *event,
                    PGconn *opened)
{
    if (job->generation != self->generation) {
        drop_event(event);
        PQfinish(opened);
        return;
    }
    self->event = *event;
    self->opened = opened;
    atomic_store_explicit(&self->event_there, true, memory_order_release);
    raise_event(self->event_fd);
}

static void *helper_main(void *argument)
{
    struct session *self = argument;
    thread_set_name("pgfan-session");
    (void)pthread_mutex_lock(&self->lock); /* cannot fail for a default mutex, here and below */
    for (;;) {
        /* Connections of a session that ended are closed even when nothing follows. */
        if (self->connected_generation != self->generation) {
            self->connected_generation = self->generation;
            disconnect(self);
        }
        if (self->quit) {
            break;
        }
        if (self->next.kind == JOB_NONE) {
            (void)pthread_cond_wait(&self->changed, &self->lock);
            continue;
        }
        struct job job = self->next;
        self->next = (struct job){0};
        clear_event(self->stop_fd);
        (void)pthread_mutex_unlock(&self->lock);

        struct link_event event;
        PGconn *opened = NULL;
        run_job(self, &job, &event, &opened);
        catalog_request_release(&job.request);

        (void)pthread_mutex_lock(&self->lock);
        deliver(self, &job, &event, opened);
    }
    (void)pthread_mutex_unlock(&self->lock);
    disconnect(self);
    preflight_release(&self->preflight);
    coverage_release(&self->coverage);
    bytes_release(&self->warned);
    bytes_release(&self->warned_now);
    bytes_release(&self->warned_tables);
    bytes_release(&self->warned_tables_now);
    return NULL;
}

/* --- the source's side: jobs ------------------------------------------------------------------ */

static void begin(struct session *self, struct job job)
{
    (void)pthread_mutex_lock(&self->lock);
    FAN_ASSERT(self->next.kind == JOB_NONE); /* one job at a time */
    job.generation = self->generation;
    self->next = job;
    (void)pthread_cond_signal(&self->changed);
    (void)pthread_mutex_unlock(&self->lock);
}

static void session_begin_probe(struct link *link, const struct source_memory *memory)
{
    struct session *self = session_of(link);
    bool running = memory->slot_stage == SLOT_CREATED && strcmp(memory->slot, self->slot) == 0;
    begin(self, (struct job){.kind = JOB_PROBE,
                             .timeline = memory->timeline,
                             .running = running,
                             .confirmed = memory->confirmed});
}

static void session_begin_publication(struct link *link)
{
    begin(session_of(link), (struct job){.kind = JOB_PUBLICATION});
}

static void session_begin_create(struct link *link)
{
    begin(session_of(link), (struct job){.kind = JOB_CREATE});
}

static void session_begin_start(struct link *link, struct fan_lsn start)
{
    begin(session_of(link), (struct job){.kind = JOB_START, .start = start});
}

static void session_begin_describe(struct link *link, const struct relation *relation)
{
    struct job job = {.kind = JOB_DESCRIBE};
    if (catalog_request_make(relation, &job.request) != FAN_OK) {
        struct session *self = session_of(link);
        struct link_event event = {.kind = LINK_FAILED};
        (void)fan_fail(&event.failure.error, FAN_RETRY,
                       "could not describe a table: out of memory");
        (void)pthread_mutex_lock(&self->lock);
        job.generation = self->generation;
        deliver(self, &job, &event, NULL);
        (void)pthread_mutex_unlock(&self->lock);
        return;
    }
    begin(session_of(link), job);
}

static void session_begin_sample(struct link *link)
{
    begin(session_of(link), (struct job){.kind = JOB_SAMPLE});
}

static void adopt_stream(struct session *self, PGconn *opened)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof(address);
    self->stream = opened;
    self->publication_skipped = false;
    self->copy_over = false;
    self->flush_pending = false;
    self->behind = false;
    self->stream_unix = getsockname(PQsocket(opened), (struct sockaddr *)&address, &size) == 0 &&
                        address.ss_family == AF_UNIX;
    (void)PQsetNoticeReceiver(opened, on_stream_notice, self); /* the old one is ours as well */
}

static bool session_poll_event(struct link *link, struct link_event *ret_event)
{
    struct session *self = session_of(link);
    if (!atomic_load_explicit(&self->event_there, memory_order_acquire)) {
        return false;
    }
    (void)pthread_mutex_lock(&self->lock);
    *ret_event = self->event;
    PGconn *opened = FAN_STEAL(self->opened);
    self->event = (struct link_event){0};
    atomic_store_explicit(&self->event_there, false, memory_order_relaxed);
    clear_event(self->event_fd);
    (void)pthread_mutex_unlock(&self->lock);
    if (opened != NULL) {
        adopt_stream(self, opened);
    }
    return true;
}

/* --- the source's side: the stream ------------------------------------------------------------ */

/*
 * Behind the end of COPY come the results that say why it ended. FAN_AGAIN until the last of them
 * is there: leaving earlier would show as a broken connection in the server's log.
 */
static enum fan_status read_end(struct session *self, struct link_failure *ret_failure)
{
    for (;;) {
        if (PQstatus(self->stream) == CONNECTION_OK && PQisBusy(self->stream)) {
            if (PQconsumeInput(self->stream) == 1 && PQisBusy(self->stream)) {
                return FAN_AGAIN;
            }
            continue;
        }
        FAN_CLEANUP(query_clear_p) PGresult *result = PQgetResult(self->stream);
        if (result == NULL) {
            break;
        }
        if (PQresultErrorField(result, PG_DIAG_SQLSTATE) != NULL) {
            query_failure(result, self->stream, "read the stream", ret_failure);
            return FAN_RETRY;
        }
        if (PQresultStatus(result) == PGRES_COPY_BOTH) {
            /* The server has not ended anything: libpq could not go on, as for want of memory, and
             * would answer the same for ever. */
            query_failure(NULL, self->stream, "read the stream", ret_failure);
            return FAN_RETRY;
        }
    }
    if (PQstatus(self->stream) != CONNECTION_OK) {
        query_failure(NULL, self->stream, "read the stream", ret_failure);
        return FAN_RETRY;
    }
    *ret_failure = (struct link_failure){0};
    return fan_fail(&ret_failure->error, FAN_RETRY, "the server ended the stream");
}

static enum fan_status publication_gone(const struct session *self,
                                        struct link_failure *ret_failure)
{
    *ret_failure = (struct link_failure){0};
    enum fan_status status =
        fan_fail(&ret_failure->error, FAN_FATAL,
                 "cannot go on: publication \"%s\" did not exist at this point of the WAL, and the "
                 "server leaves its changes out",
                 self->publication);
    fan_error_annotate(&ret_failure->error, "PUBLICATION_MISSING",
                       "drop the slot, take a new baseline and start again");
    return status;
}

static enum fan_status session_receive(struct link *link, void **ret_buffer, size_t *ret_size,
                                       bool *ret_heard, struct link_failure *ret_failure)
{
    struct session *self = session_of(link);
    *ret_heard = false;
    if (self->stream == NULL) {
        *ret_failure = (struct link_failure){0};
        return fan_fail(&ret_failure->error, FAN_RETRY, "the stream is closed");
    }
    if (self->copy_over) {
        return read_end(self, ret_failure);
    }
    char *buffer = NULL;
    int size = PQgetCopyData(self->stream, &buffer, 1);
    if (size == 0 && !self->quiet && self->behind && self->filled < FILL_WORTH_BYTES) {
        self->quiet = true; /* the socket was nearly empty: let it fill before the next call */
        return FAN_AGAIN;
    }
    if (size == 0) {
        self->filled = 0;
        int there = 0;
        if (self->quiet) { /* otherwise the frames of this burst say that the server lives */
            (void)ioctl(PQsocket(self->stream), FIONREAD, &there); /* 0 when it cannot tell */
        }
        *ret_heard = there > 0;
        if (PQconsumeInput(self->stream) == 0) {
            /* What was read before the link broke may hold the server's last words. */
            size = PQgetCopyData(self->stream, &buffer, 1);
            size = size == 0 ? -2 : size;
        } else {
            size = PQgetCopyData(self->stream, &buffer, 1);
        }
    }
    if (self->publication_skipped) {
        PQfreemem(buffer);
        return publication_gone(self, ret_failure);
    }
    if (size > 0) {
        *ret_buffer = buffer; /* of malloc(3): PQfreemem() is free(3) but on Windows */
        *ret_size = (size_t)size;
        self->filled += (size_t)size;
        self->quiet = false;
        return FAN_OK;
    }
    if (size == 0) {
        self->quiet = true;
        return FAN_AGAIN;
    }
    self->copy_over = true;
    return read_end(self, ret_failure);
}

static void put_u64(uint8_t *at, uint64_t value)
{
    for (int i = 7; i >= 0; i--) {
        at[i] = (uint8_t)(value & 0xff);
        value >>= 8;
    }
}

static enum fan_status session_send_status(struct link *link, const struct link_status *status)
{
    enum { STATUS_SIZE = 34 };
    static const int64_t postgres_epoch_us = INT64_C(946684800) * 1000000;
    struct session *self = session_of(link);
    if (self->stream == NULL) {
        return FAN_RETRY;
    }
    uint8_t bytes[STATUS_SIZE] = {'r'};
    put_u64(bytes + 1, status->write.value);
    put_u64(bytes + 9, status->flush.value);
    put_u64(bytes + 17, status->apply.value);
    put_u64(bytes + 25, (uint64_t)(clock_wall_us() - postgres_epoch_us));
    bytes[33] = status->reply ? 1 : 0;
    int put = PQputCopyData(self->stream, (const char *)bytes, STATUS_SIZE);
    if (put == 0) {
        return FAN_AGAIN;
    }
    int pending = put < 0 ? -1 : PQflush(self->stream);
    self->flush_pending = pending == 1;
    return pending < 0 ? FAN_RETRY : FAN_OK;
}

static void session_end_copy(struct link *link)
{
    struct session *self = session_of(link);
    if (self->stream != NULL && PQputCopyEnd(self->stream, NULL) == 1) {
        self->flush_pending = PQflush(self->stream) == 1;
    }
}

static void session_close(struct link *link)
{
    struct session *self = session_of(link);
    (void)pthread_mutex_lock(&self->lock);
    self->generation++;
    drop_event(&self->event);
    conn_close(&self->opened);
    catalog_request_release(&self->next.request);
    self->next = (struct job){0};
    atomic_store_explicit(&self->event_there, false, memory_order_relaxed);
    clear_event(self->event_fd);
    raise_event(self->stop_fd); /* cleared when the next job is taken */
    (void)pthread_cond_signal(&self->changed);
    (void)pthread_mutex_unlock(&self->lock);
    conn_close(&self->stream);
}

static void session_set_behind(struct link *link, bool behind)
{
    struct session *self = session_of(link);
    self->behind = behind;
    if (self->stream != NULL && !self->stream_unix) {
        int bytes = behind ? LOW_WATER_BYTES : 1;
        (void)setsockopt(PQsocket(self->stream), SOL_SOCKET, SO_RCVLOWAT, &bytes,
                         sizeof(bytes)); /* without it the loop only wakes more often */
    }
}

static void add_fd(struct source_wait *wait, int fd, short events)
{
    FAN_ASSERT(wait->fds_count < SOURCE_WAIT_FDS_MAX);
    wait->fds[wait->fds_count].fd = fd;
    wait->fds[wait->fds_count].events = events;
    wait->fds_count++;
}

static void session_wait(struct link *link, bool reading, int64_t now_us, struct source_wait *wait)
{
    struct session *self = session_of(link);
    add_fd(wait, self->event_fd, POLLIN);
    if (self->stream == NULL) {
        return;
    }
    if (self->flush_pending) {
        self->flush_pending = PQflush(self->stream) == 1;
    }
    bool nap = reading && self->behind && self->stream_unix;
    short events = (short)((reading && !nap ? POLLIN : 0) | (self->flush_pending ? POLLOUT : 0));
    if (events != 0) {
        add_fd(wait, PQsocket(self->stream), events);
    }
    if (reading && self->behind) {
        int64_t soon_us = now_us + (nap ? BEHIND_NAP_US : BEHIND_WAIT_US);
        wait->deadline_us = soon_us < wait->deadline_us ? soon_us : wait->deadline_us;
    }
}

/* --- life ------------------------------------------------------------------------------------- */

static void session_free(struct session *self)
{
    fan_close_p(&self->event_fd);
    fan_close_p(&self->stop_fd);
    (void)pthread_mutex_destroy(&self->lock); /* nobody holds it any more */
    (void)pthread_cond_destroy(&self->changed);
    free(self);
}

static void session_destroy(struct link *link)
{
    if (link == NULL) {
        return;
    }
    struct session *self = session_of(link);
    session_close(link);
    (void)pthread_mutex_lock(&self->lock);
    self->quit = true;
    (void)pthread_cond_signal(&self->changed);
    (void)pthread_mutex_unlock(&self->lock);
    (void)pthread_join(self->thread, NULL); /* it returns nothing */
    session_free(self);
}

static const struct link_type session_type = {
    .begin_probe = session_begin_probe,
    .begin_publication = session_begin_publication,
    .begin_create = session_begin_create,
    .begin_start = session_begin_start,
    .begin_describe = session_begin_describe,
    .begin_sample = session_begin_sample,
    .poll_event = session_poll_event,
    .receive = session_receive,
    .send_status = session_send_status,
    .end_copy = session_end_copy,
    .close = session_close,
    .set_behind = session_set_behind,
    .wait = session_wait,
    .destroy = session_destroy,
};

enum fan_status session_create(const struct source_setup *setup, struct link **ret_link,
                               struct fan_error *reterr)
{
    struct session *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not create source \"%s\": out of memory",
                        setup->name);
    }
    self->link.type = &session_type;
    self->options = setup->options;
    self->tables = setup->tables;
    bytes_init(&self->warned, WARNED_BYTES_MAX);
    bytes_init(&self->warned_now, WARNED_BYTES_MAX);
    bytes_init(&self->warned_tables, WARNED_BYTES_MAX);
    bytes_init(&self->warned_tables_now, WARNED_BYTES_MAX);
    (void)snprintf(self->name, sizeof(self->name), "%s", setup->name); /* for messages only */
    (void)postgres_slot_name(self->options, setup->name, self->slot, sizeof(self->slot));
    (void)postgres_publication_name(self->options, setup->name, self->publication,
                                    sizeof(self->publication));
    (void)pthread_mutex_init(&self->lock, NULL); /* cannot fail for default attributes */
    (void)pthread_cond_init(&self->changed, NULL);
    self->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int failed = self->event_fd < 0 || self->stop_fd < 0
                     ? errno
                     : pthread_create(&self->thread, NULL, helper_main, self);
    if (failed != 0) {
        session_free(self);
        return fan_fail_errno(reterr, FAN_RETRY, failed, "could not create source \"%s\"",
                              setup->name);
    }
    *ret_link = &self->link;
    return FAN_OK;
}
