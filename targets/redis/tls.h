/*
 * tls.h - how a Redis server is verified: TLS 1.2 or later, its certificate and its name.
 *
 * Threading:  the context is constant once it is made.
 */
#ifndef TARGETS_REDIS_TLS_H
#define TARGETS_REDIS_TLS_H

#include <openssl/types.h>

#include "base/bytes.h"
#include "base/status.h"
#include "targets/address.h"
#include "targets/redis/options.h"

/* FAN_FATAL: a file that the options name cannot be used. */
enum fan_status redis_tls_create(const struct redis_options *options, SSL_CTX **ret_context,
                                 struct fan_error *reterr) FAN_MUST_CHECK;

/* A connection over an open socket that is ready for SSL_connect(3); NULL: out of memory. */
SSL *redis_tls_open(SSL_CTX *context, const struct address *address, int descriptor);

/* What went wrong with the handshake: FAN_FATAL when the certificate is at fault. */
enum fan_status redis_tls_fault(const SSL *ssl, const char *shown, struct fan_error *reterr);

#endif
