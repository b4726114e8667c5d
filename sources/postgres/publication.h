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

#endif
