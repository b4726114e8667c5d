/*
 * publication.h - the statements that make the publication what the pipelines need.
 *
 * Never FOR ALL TABLES: a table without an identity in a publication breaks its application's
 * updates. The comment on a publication that pgfan made says so; only such a one is dropped.
 */
#ifndef SOURCES_POSTGRES_PUBLICATION_H
#define SOURCES_POSTGRES_PUBLICATION_H

#include "base/bytes.h"
#include "sources/postgres/preflight.h"

#define PUBLICATION_COMMENT "made by pgfan"

/* Appends CREATE or ALTER PUBLICATION with the tables that stand so; nothing when it exists and
 * there are none. */
void publication_append_sql(const struct preflight *preflight, const char *publication,
                            enum table_cover cover, struct bytes *sql);

/*
 * A short text that changes when the publication, what it holds, or the tables of the database
 * change; it may also change without such a reason. Much cheaper than a look at the tables.
 */
enum fan_status publication_fingerprint(PGconn *query, int server_version, const char *publication,
                                        const struct query_limit *limit, char *text,
                                        size_t text_size,
                                        struct link_failure *ret_failure) FAN_MUST_CHECK;

#endif
