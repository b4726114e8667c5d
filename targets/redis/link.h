/*
 * link.h - one connection to a Redis server: TCP, TLS or a unix socket.
 *
 *     link_init -> { link_open -> link_talk* -> link_close }* -> link_release
 *
 * Every wait ends at its deadline or when the target stops, so that nothing here blocks anybody.
 * The parser of replies is hiredis'; its own connections are not used, because Debian's have
 * neither TLS nor a way to interrupt them.
 *
 * Threading:  one thread at a time.
 * Errors:     FAN_AGAIN  the target stops: say nothing more
 *             FAN_RETRY  network, name server, time, broken replies
 *             FAN_FATAL  a certificate that cannot be verified, files of certificates
 * Limits:     LINK_REPLIES_MAX bytes of replies beside what each command is granted.
 */
#ifndef TARGETS_REDIS_LINK_H
#define TARGETS_REDIS_LINK_H

#include <hiredis/hiredis.h>
#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "targets/address.h"
#include "targets/redis/resolve.h"

enum { LINK_REPLIES_MAX = 1 << 20, LINK_REPLY_GRANT = 256 };

struct link {
    struct address address;
    const char *shown; /* borrowed: the address in messages */
    SSL_CTX *tls;      /* borrowed; NULL: in clear text */
    int wake;          /* borrowed: readable once the target stops */

    struct errand *resolution; /* one that hangs is asked again by the next link_open() */
    int descriptor;            /* -1: closed */
    SSL *ssl;
    redisReader *reader;
    bool wants_write; /* nothing goes on until the descriptor can be written to */
};

/* Takes each reply in turn; it is gone after the call. */
typedef void link_take(void *context, const redisReply *reply);

void link_init(struct link *link, const struct address *address, const char *shown, SSL_CTX *tls,
               int wake);
void link_release(struct link *link);

enum fan_status link_open(struct link *link, int64_t deadline_us,
                          struct fan_error *reterr) FAN_MUST_CHECK;
void link_close(struct link *link);

static inline bool link_is_open(const struct link *link)
{
    return link->descriptor >= 0;
}

/* Whether the other side has closed an idle connection, or said something unasked. */
bool link_is_stale(struct link *link);

/* Sends `commands`, and reads `count` replies while it does: neither side waits for the other. */
enum fan_status link_talk(struct link *link, const struct bytes *commands, size_t count,
                          link_take *take, void *context, int64_t deadline_us,
                          struct fan_error *reterr) FAN_MUST_CHECK;

#endif
