/*
 * options.h - what the conf says about one Redis target.
 *
 * Threading:  constant once decoded.
 */
#ifndef TARGETS_REDIS_OPTIONS_H
#define TARGETS_REDIS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"
#include "conf/option.h"

#define REDIS_PORT "6379" /* where the address has none */

struct redis_options {
    char *address;
    char *username;
    struct secret password;
    bool tls;
    char *ca;
    char *client_cert;
    char *client_key;
    int64_t database;
    char *stream;
    char *stream_other;
    char *field;
    int64_t max_length;
    int64_t dedup_window;
    int64_t wait_replicas;
    int64_t timeout_us;
    int64_t connect_timeout_us;
};

extern const struct conf_table redis_options_table;

#endif
