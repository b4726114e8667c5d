/*
 * schema.h - the tables of the store, and how records become rows.
 *
 * One description per kind of record gives its SELECT, upsert and DELETE, so that columns, fields
 * and bindings cannot drift apart.
 */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "store/record.h"

enum schema_type { SCHEMA_TEXT, SCHEMA_INT32, SCHEMA_UINT32, SCHEMA_INT64, SCHEMA_UINT64 };

struct schema_field {
    const char *column;
    enum schema_type type;
    size_t offset;
    size_t size; /* of the field in the struct */
};

struct schema_record {
    const char *table;
    const char *remove_from; /* NULL: the table itself */
    bool derived;            /* kept by triggers, never saved */
    int version;             /* of the schema that brought it */
    const char *load_order;  /* of the SELECT */
    size_t size;             /* of the struct */
    const struct schema_field *fields;
    size_t fields_count;
    size_t fields_count_v1; /* of them, those that version 1 had; 0: all */
    size_t keys_count;      /* the first fields are the primary key */
    size_t rows_max;
};

/* What version 2 brought to checkpoints: how far a target's changes are settled beside it. */
#define SCHEMA_SETTLED_SQL                                                                         \
    "ALTER TABLE checkpoint ADD COLUMN settled_lsn INTEGER NOT NULL DEFAULT 0;"                    \
    "ALTER TABLE checkpoint ADD COLUMN settled_seq INTEGER NOT NULL DEFAULT 0;"                    \
    "ALTER TABLE checkpoint ADD COLUMN fatal INTEGER NOT NULL DEFAULT 0;"                          \
    "UPDATE checkpoint SET settled_lsn = commit_lsn, settled_seq = seq;"

/* The SQL that makes an empty store of the present version. */
extern const char *const schema_create_sql;

/* The part of it that version 2 brought. Sums are kept by triggers: no way of adding or removing
 * letters can leave them wrong. The payload is the last column, so that what stands before it is
 * read without it. */
#define SCHEMA_LETTERS_SQL                                                                         \
    "CREATE TABLE letter ("                                                                        \
    " number INTEGER PRIMARY KEY AUTOINCREMENT, pipeline TEXT NOT NULL, target TEXT NOT NULL,"     \
    " source TEXT NOT NULL, commit_lsn INTEGER NOT NULL, seq INTEGER NOT NULL,"                    \
    " hold_lsn INTEGER NOT NULL, commit_time_us INTEGER NOT NULL, op INTEGER NOT NULL,"            \
    " txn_end INTEGER NOT NULL, id TEXT NOT NULL, format TEXT NOT NULL, cause INTEGER NOT NULL,"   \
    " code TEXT NOT NULL, error TEXT NOT NULL, attempts INTEGER NOT NULL,"                         \
    " first_us INTEGER NOT NULL, last_us INTEGER NOT NULL, label BLOB NOT NULL,"                   \
    " payload BLOB NOT NULL) STRICT;"                                                              \
    "CREATE UNIQUE INDEX letter_position ON letter (pipeline, target, commit_lsn, seq);"           \
    "CREATE INDEX letter_cause ON letter (pipeline, target, cause, commit_lsn, seq);"              \
    "CREATE TABLE letter_total ("                                                                  \
    " pipeline TEXT NOT NULL, target TEXT NOT NULL, cause INTEGER NOT NULL,"                       \
    " entries INTEGER NOT NULL, bytes INTEGER NOT NULL,"                                           \
    " PRIMARY KEY (pipeline, target, cause)) STRICT, WITHOUT ROWID;"                               \
    "CREATE TRIGGER letter_added AFTER INSERT ON letter BEGIN"                                     \
    " INSERT INTO letter_total VALUES (new.pipeline, new.target, new.cause, 1,"                    \
    "  length(new.payload) + length(new.label))"                                                   \
    " ON CONFLICT DO UPDATE SET entries = entries + 1, bytes = bytes + excluded.bytes;"            \
    " END;"                                                                                        \
    "CREATE TRIGGER letter_moved AFTER UPDATE OF cause ON letter"                                  \
    " WHEN new.cause <> old.cause BEGIN"                                                           \
    " INSERT INTO letter_total VALUES (new.pipeline, new.target, new.cause, 1,"                    \
    "  length(new.payload) + length(new.label))"                                                   \
    " ON CONFLICT DO UPDATE SET entries = entries + 1, bytes = bytes + excluded.bytes;"            \
    " UPDATE letter_total SET entries = entries - 1,"                                              \
    "  bytes = bytes - length(old.payload) - length(old.label)"                                    \
    "  WHERE pipeline = old.pipeline AND target = old.target AND cause = old.cause;"               \
    " DELETE FROM letter_total WHERE pipeline = old.pipeline AND target = old.target"              \
    "  AND cause = old.cause AND entries = 0;"                                                     \
    " END;"                                                                                        \
    "CREATE TRIGGER letter_removed AFTER DELETE ON letter BEGIN"                                   \
    " UPDATE letter_total SET entries = entries - 1,"                                              \
    "  bytes = bytes - length(old.payload) - length(old.label)"                                    \
    "  WHERE pipeline = old.pipeline AND target = old.target AND cause = old.cause;"               \
    " DELETE FROM letter_total WHERE pipeline = old.pipeline AND target = old.target"              \
    "  AND cause = old.cause AND entries = 0;"                                                     \
    " END;"

extern const struct schema_record schema_records[STORE_KINDS];

#endif
