/*
 * options.h - what the conf says about one NATS target.
 *
 * Threading:  constant once decoded.
 */
#ifndef TARGETS_NATS_OPTIONS_H
#define TARGETS_NATS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"
#include "conf/option.h"
#include "targets/address.h"

struct nats_options {
    struct conf_text_list servers;
    char *username;
    struct secret password;
    struct secret token;
    char *credentials;
    bool tls;
    char *ca;
    char *client_cert;
    char *client_key;
    char *subject;
    char *subject_other;
    char *stream;
    int64_t timeout_us;
    int64_t connect_timeout_us;
};

extern const struct conf_table nats_options_table;

/* One of the servers. Returns NULL and fills `ret_address`, or returns the fault. */
const char *nats_server_parse(const char *text, struct address *ret_address);

#endif
