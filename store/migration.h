/*
 * migration.h - brings an older store to the present schema, one version at a time.
 *
 * Before anything is changed, the file is copied to `pgfan.db.v<N>.bak` and the copy made durable.
 * All steps run in one transaction, so the file holds either the old schema or the new one.
 */
#ifndef STORE_MIGRATION_H
#define STORE_MIGRATION_H

#include <stddef.h>

#include "base/status.h"

struct sqlite3;

/* The SQL that makes version `from + 1` out of version `from`. */
struct migration_step {
    int from;
    const char *sql;
};

struct migration_plan {
    const struct migration_step *steps; /* in order of `from` */
    size_t steps_count;
};

extern const struct migration_plan store_migrations;

/* FAN_FATAL STORE_INVALID when a step is missing or fails; the file is then as it was. */
enum fan_status store_migrate(struct sqlite3 *db, const char *data_dir, const char *path, int from,
                              const struct migration_plan *plan, struct fan_error *reterr);

#endif
