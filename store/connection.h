/*
 * connection.h - opens pgfan.db: makes it, refuses what is not ours, sets the connection up.
 */
#ifndef STORE_CONNECTION_H
#define STORE_CONNECTION_H

#include <sqlite3.h>
#include <stdint.h>

#include "store/store.h"

enum { STORE_APPLICATION_ID = 0x70676661 }; /* "pgfa" */

/* `path` is that of pgfan.db in `data_dir`; the directory has been prepared. */
enum fan_status connection_open(const char *data_dir, const char *path,
                                const struct store_options *options, sqlite3 **ret_db,
                                struct fan_error *reterr);

/* PRAGMA quick_check: FAN_FATAL STORE_CORRUPT with its first finding. */
enum fan_status connection_quick_check(sqlite3 *db, const char *path, struct fan_error *reterr);

/* Runs a PRAGMA or SELECT that gives one integer. Returns SQLite's result code. */
int connection_integer(sqlite3 *db, const char *sql, int64_t *ret_value);

#endif
