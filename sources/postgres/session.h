/*
 * session.h - the link over libpq: a helper thread for everything that waits, and the stream on
 * the source's thread.
 *
 * The helper runs one job at a time (connect, check, create, describe, sample) on the query
 * connection and, until the stream is open, on the replication connection. Once START_REPLICATION
 * has succeeded the replication connection is handed to the source's thread, which reads it
 * without blocking.
 *
 * While the stream runs fast, SO_RCVLOWAT lets 64 KiB gather before poll(2) wakes the source's
 * thread, and a deadline of a few milliseconds bounds the wait. poll(2) does not look at that mark
 * on unix sockets: there the socket is left out of the wait for a moment instead.
 *
 * INVARIANTS  (1) the stream's PGconn belongs to the source's thread from poll_event() of
 *                 LINK_STARTED to close(); all other PGconns belong to the helper.
 *             (2) an event of a job that close() has forgotten is dropped.
 * Ownership:  destroy() joins the helper; a job is interrupted at its next wait (name resolution
 *             by libpq is the one wait that cannot be).
 */
#ifndef SOURCES_POSTGRES_SESSION_H
#define SOURCES_POSTGRES_SESSION_H

#include "sources/postgres/link.h"
#include "sources/source.h"

/* A link for the setup of a source of type postgres. Borrows options and tables. */
enum fan_status session_create(const struct source_setup *setup, struct link **ret_link,
                               struct fan_error *reterr) FAN_MUST_CHECK;

#endif
