/*
 * catalog.h - what the wire does not carry about a relation: primary key, NOT NULL, defaults, what
 * types that are not built in are made of, and the labels of enums.
 *
 * Domains are followed to their base type; an array of a known element keeps its structure; what
 * is gone from the catalog, and everything else, is text.
 *
 * Limits:     RELATION_TEXTS_MAX, RELATION_DEFAULT_MAX; labels and defaults beyond do not come.
 */
#ifndef SOURCES_POSTGRES_CATALOG_H
#define SOURCES_POSTGRES_CATALOG_H

#include "sources/postgres/query.h"

/* What a description needs of a relation: a copy, because the relation may go meanwhile. */
struct catalog_column {
    char name[RELATION_NAME_MAX];
    uint32_t type_oid;
};

struct catalog_request {
    uint32_t relid;
    size_t columns_count;
    struct catalog_column *columns; /* owned */
};

enum fan_status catalog_request_make(const struct relation *relation,
                                     struct catalog_request *ret_request) FAN_MUST_CHECK;
void catalog_request_release(struct catalog_request *request);

/* Returns an array of `columns_count`, which the caller frees, and with it what it points to. */
enum fan_status catalog_describe(const struct catalog_request *request, PGconn *query,
                                 const struct query_limit *limit, struct link_column **ret_columns,
                                 struct link_failure *ret_failure) FAN_MUST_CHECK;

#endif
