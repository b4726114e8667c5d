/*
 * fault.h - the one place that knows SQLite's result codes.
 */
#ifndef STORE_FAULT_H
#define STORE_FAULT_H

#include <sqlite3.h>

#include "base/status.h"

/*
 * Turns the connection's last failure into a status: full disk, locks and I/O errors may pass
 * (FAN_RETRY), damage and everything else does not. `what` says what could not be done.
 */
enum fan_status store_fault(sqlite3 *db, int result, const char *path, const char *what,
                            struct fan_error *reterr);

/* FAN_FATAL STORE_CORRUPT with the way out. */
enum fan_status store_fault_corrupt(const char *path, const char *detail, struct fan_error *reterr);

#endif
