/*
 * relation.h - one version of one table's shape, as the stream described it.
 *
 * A new Relation message with another content makes a new version; a change refers to the version
 * that was current when it was read. What the message does not carry (primary key, NOT NULL, types
 * of arrays and domains) is filled in from the catalog before the first change refers to it.
 *
 * Ownership:  created by a source and kept as long as the source lives; everybody else borrows.
 *             A source refuses to go on beyond RELATION_VERSIONS_MAX versions.
 * Threading:  immutable once the first change refers to it, so any thread may read it; but for what
 *             is for one thread's own use.
 */
#ifndef MODEL_RELATION_H
#define MODEL_RELATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "model/type.h"

enum {
    RELATION_COLUMNS_MAX = 1664, /* PostgreSQL's MaxTupleAttributeNumber; tables end at 1600 */
    RELATION_NAME_MAX = 64,      /* bytes with NUL: NAMEDATALEN as built everywhere in practice */
    RELATION_VERSIONS_MAX = 65536,
    /* Bytes of the labels and defaults of all columns: twice that, every byte escaped, fits a schema of
     * an envelope. And those of one default. */
    RELATION_TEXTS_MAX = 1024 * 1024,
    RELATION_DEFAULT_MAX = 1000,
    /* Zero bytes behind json_name and json_table, so that a writer copies whole blocks. */
    RELATION_JSON_PAD = 16,
};

enum replica_identity {
    REPLICA_IDENTITY_DEFAULT = 'd',
    REPLICA_IDENTITY_NOTHING = 'n',
    REPLICA_IDENTITY_FULL = 'f',
    REPLICA_IDENTITY_INDEX = 'i',
};

struct relation_column {
    char name[RELATION_NAME_MAX];
    uint32_t type_oid;
    int32_t type_modifier;
    struct type_info type;
    bool in_identity; /* flagged in the Relation message; every column under FULL */
    bool in_primary_key;
    bool not_null;
    bool in_key; /* part of the event's key: the identity, or the primary key under FULL */
    char *
        labels; /* owned: of an enum, or of an array of one, in their order, with commas between; as
                      * of when the table was described. NULL: of another type, or too many */
    char *default_text; /* owned: the expression of its default as the server prints it. NULL: none,
                         * generated, or too long */
    char *json_name;    /* owned: the name as a JSON string with its colon, such as "id": */
    size_t json_name_size;
};

struct relation {
    uint32_t relid;
    char schema[RELATION_NAME_MAX]; /* pg_catalog where the message leaves it empty */
    char name[RELATION_NAME_MAX];
    enum replica_identity identity;
    bool has_key;   /* at least one column is in_key */
    size_t key_end; /* no column at or behind this index is in_key */
    size_t columns_count;
    struct relation_column *columns; /* owned */
    char *json_table;                /* owned: "schema.name" as a JSON string */
    size_t json_table_size;
    uint64_t routes; /* for the reader's own use: index of its routing entry */
    /* For the source's own use: which transaction it counts the changes of, and how many so far. */
    uint64_t counted_txn;
    uint32_t counted;
};

/* Allocates a version with zeroed columns. FAN_FATAL when `columns_count` is over the maximum. */
enum fan_status relation_create(uint32_t relid, const char *schema, const char *name,
                                enum replica_identity identity, size_t columns_count,
                                struct relation **ret_relation,
                                struct fan_error *reterr) FAN_MUST_CHECK;

/* Call once, when names, flags and catalog facts of the columns are set: computes the rest. */
enum fan_status relation_finish(struct relation *relation, struct fan_error *reterr) FAN_MUST_CHECK;

/* Accepts NULL. */
void relation_destroy(struct relation *relation);

#endif
