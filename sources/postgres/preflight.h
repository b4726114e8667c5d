/*
 * preflight.h - looks at a primary before anything is made on it: can it serve, and what would have
 * to be made. Changes nothing.
 *
 * Every finding has a code, one line of text and the SQL or setting that mends it; docs/postgres.md
 * lists them.
 *
 * Ownership:  preflight_release() accepts a zeroed preflight.
 * Threading:  the thread that owns the connections; blocks within the limit.
 * Limits:     PREFLIGHT_TABLES_MAX tables in the database.
 */
#ifndef SOURCES_POSTGRES_PREFLIGHT_H
#define SOURCES_POSTGRES_PREFLIGHT_H

#include <libpq-fe.h>

#include "sources/postgres/coverage.h"
#include "sources/postgres/options.h"
#include "sources/postgres/query.h"
#include "sources/source.h"

enum { PREFLIGHT_TABLES_MAX = 200000 };

/* How a table stands to the publication. */
enum table_cover {
    COVER_HELD,    /* the publication holds it, or an ancestor of it */
    COVER_ADD,     /* it can be added */
    COVER_UNSAFE,  /* adding it would break its application's updates */
    COVER_REFUSED, /* it may not be added: by the conf, or for want of ownership */
    COVER_LEFT,    /* somebody took it out while it was streamed, and may have meant it */
};

/* One table that the pipelines ask for. */
struct preflight_table {
    uint32_t oid;
    char schema[64];
    char name[64];
    bool partitioned;
    bool named; /* by a pattern without wildcards */
    enum table_cover cover;
    bool has_identity; /* updates and deletes of it can be published */
    bool owned;        /* the role may add it to a publication */

    /* What coverage.h remembers. */
    bool streamed;        /* it, or one of its name before it, was held once */
    bool own;             /* it itself was */
    bool was_held;        /* at the last look */
    struct fan_lsn whole; /* changes before it are not missing */
};

struct preflight {
    struct link_facts facts; /* with the shortfall */
    bool running;
    bool superuser;
    bool publication_owned;      /* the role may alter it */
    bool may_create_publication; /* in this database */
    bool publishes_updates;      /* or deletes; of a publication to be made: true */
    bool via_root;
    struct preflight_table *tables; /* owned; expanded from the patterns, by name */
    size_t tables_count;

    source_report *report;
    void *context;
    bool failed;            /* a FINDING_ERROR was reported: the first one stands in `error` */
    struct fan_error error; /* FAN_FATAL, or FAN_RETRY when it passes by itself */
};

/* Who asks, for what. Borrowed for the call. */
struct preflight_setup {
    const struct postgres_options *options;
    const char *slot;
    const char *publication;
    const char *application_name;
    const struct source_tables *tables;
    /* The slot holds changes already. What is wrong with single tables must not stop the others:
     * it is a warning and a shortfall. A standby is waited for. */
    bool running;
    const struct coverage *before; /* what the last look saw, or NULL */
    struct fan_lsn first;          /* tables are whole up to here when there was no look */
};

/* What the query connection shows. FAN_OK also when findings say that the primary cannot serve;
 * FAN_RETRY when it could not be asked. */
enum fan_status preflight_run(struct preflight *preflight, const struct preflight_setup *setup,
                              PGconn *query, const struct query_limit *limit, source_report *report,
                              void *context, struct link_failure *ret_failure) FAN_MUST_CHECK;

/* Only publication and tables, while the stream runs; `before` is there. A table that left the
 * publication since stays out. */
enum fan_status preflight_look(struct preflight *look, const struct preflight_setup *setup,
                               int server_version, PGconn *query, const struct query_limit *limit,
                               source_report *report, void *context,
                               struct link_failure *ret_failure) FAN_MUST_CHECK;
void preflight_release(struct preflight *preflight);

/* The same of the replication connection: identity, and where `timeline` (0: none) ended. */
enum fan_status preflight_identify(struct link_facts *facts, PGconn *replication, uint32_t timeline,
                                   const struct query_limit *limit,
                                   struct link_failure *ret_failure) FAN_MUST_CHECK;

/* Only the row of pg_replication_slots. */
enum fan_status preflight_slot(struct link_facts *facts, PGconn *query, const char *name,
                               const struct query_limit *limit,
                               struct link_failure *ret_failure) FAN_MUST_CHECK;

#endif
