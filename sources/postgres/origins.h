/*
 * origins.h - the names of the servers that transactions come from, each kept once.
 *
 * A server that gets changes by logical replication notes where each transaction began its life, and
 * pgoutput tells it in an Origin message. A change carries a pointer to the name, not the name.
 *
 * Ownership:  owns every name; none is freed or moved before origins_release().
 * Threading:  the source's thread; the names themselves may be read by any thread.
 * Limits:     ORIGINS_MAX names; what comes from further ones shows no origin.
 */
#ifndef SOURCES_POSTGRES_ORIGINS_H
#define SOURCES_POSTGRES_ORIGINS_H

#include <stddef.h>

#include "base/status.h"

enum { ORIGINS_MAX = 1000 };

/* Zeroed: empty. */
struct origins {
    char *names[ORIGINS_MAX]; /* owned */
    size_t count;
};

void origins_release(struct origins *origins);

/* The kept copy of the name; NULL: there are too many. FAN_RETRY: memory is out. */
enum fan_status origins_keep(struct origins *origins, const char *name, const char **ret_name,
                             struct fan_error *reterr) FAN_MUST_CHECK;

#endif
