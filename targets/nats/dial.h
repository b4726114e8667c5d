/*
 * dial.h - connects to one NATS server on a thread of its own, see targets/errand.h: the library's
 * call blocks in looking the name up and in the handshake of TLS.
 *
 * Threading:  one thread starts, asks and drops.
 */
#ifndef TARGETS_NATS_DIAL_H
#define TARGETS_NATS_DIAL_H

#include <nats/nats.h>

#include "base/status.h"
#include "targets/errand.h"
#include "targets/nats/options.h"

/* FAN_FATAL: a file that the options name cannot be used. FAN_RETRY: no memory, no thread. */
enum fan_status dial_start(const struct nats_options *options, const char *server,
                           struct errand **ret_errand, struct fan_error *reterr) FAN_MUST_CHECK;

/* Of one that is over. The connection is the caller's; `ret_words` are the library's and live until
 * the errand is dropped. */
natsStatus dial_take(struct errand *errand, natsConnection **ret_connection,
                     const char **ret_words);

#endif
