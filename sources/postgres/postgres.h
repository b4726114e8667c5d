/*
 * postgres.h - the source type "postgres", for the registry.
 */
#ifndef SOURCES_POSTGRES_POSTGRES_H
#define SOURCES_POSTGRES_POSTGRES_H

#include "sources/source.h"

extern const struct source_type source_postgres;

#endif
