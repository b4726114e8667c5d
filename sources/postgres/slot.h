/*
 * slot.h - the replication commands and queries about the slot itself.
 *
 * Threading:  the thread that owns the connections; blocks within the limit.
 */
#ifndef SOURCES_POSTGRES_SLOT_H
#define SOURCES_POSTGRES_SLOT_H

#include <libpq-fe.h>

#include "sources/postgres/query.h"

/*
 * Creates the slot. Creation waits for the transactions that run on the server; at the deadline it
 * is cancelled, and the failure names the oldest of them (SLOT_CREATE_TIMEOUT). `query` is the
 * other connection of the same role.
 */
enum fan_status slot_create(PGconn *replication, PGconn *query, int server_version,
                            const char *slot, bool failover, const struct query_limit *limit,
                            struct fan_lsn *ret_point,
                            struct link_failure *ret_failure) FAN_MUST_CHECK;

/* Opens the stream: protocol 1 with messages. */
enum fan_status slot_start(PGconn *replication, const char *slot, const char *publication,
                           struct fan_lsn start, const struct query_limit *limit,
                           struct link_failure *ret_failure) FAN_MUST_CHECK;

/* One row about the server and the slot, for lag and retained WAL. */
enum fan_status slot_sample(PGconn *query, const char *slot, const struct query_limit *limit,
                            struct link_sample *ret_sample,
                            struct link_failure *ret_failure) FAN_MUST_CHECK;

#endif
