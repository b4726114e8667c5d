/*
 * options.h - the keys of a source of type postgres.
 *
 * Ownership:  decoded and released by conf; borrowed by everything else.
 */
#ifndef SOURCES_POSTGRES_OPTIONS_H
#define SOURCES_POSTGRES_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"
#include "conf/option.h"

struct postgres_slot_options {
    char *name; /* NULL: pgfan_<source> */
    bool create;
    bool failover;
    int mode; /* only stateful */
};

struct postgres_publication_options {
    char *name; /* NULL: as the slot */
    bool create;
    struct secret admin_dsn; /* unset: the source's own role makes the publication */
};

struct postgres_options {
    struct secret dsn;
    struct postgres_slot_options slot;
    struct postgres_publication_options publication;
    int64_t wal_sender_timeout_us;
    int64_t connect_timeout_us;
    int64_t slot_create_timeout_us;
    bool allow_superuser;
    bool insecure_tls;
};

extern const struct conf_table postgres_table;

/* The names under these options, made from the source's name where the conf gives none: other
 * characters than a-z, 0-9 and _ become _. `text_size` is at least 64. Return `text`. */
const char *postgres_slot_name(const struct postgres_options *from, const char *source_name,
                               char *text, size_t text_size);
const char *postgres_publication_name(const struct postgres_options *from, const char *source_name,
                                      char *text, size_t text_size);

#endif
