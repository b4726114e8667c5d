#include "targets/redis/link.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "targets/redis/tls.h"

enum { READ_CHUNK = 16384, POLL_LONGEST_MS = 60000 };

/* What one attempt to move bytes came to. */
enum moved { MOVED_SOME, MOVED_NONE, MOVED_END, MOVED_FAULT };

void link_init(struct link *link, const struct address *address, const char *shown, SSL_CTX *tls,
               int wake)
{
    *link = (struct link){
        .address = *address, .shown = shown, .tls = tls, .wake = wake, .descriptor = -1};
}

void link_close(struct link *link)
{
    SSL_free(link->ssl); /* accepts NULL; no farewell: the server needs none */
    link->ssl = NULL;
    if (link->reader != NULL) {
        redisReaderFree(link->reader);
        link->reader = NULL;
    }
    if (link->descriptor >= 0) {
        (void)close(link->descriptor); /* nothing written through it needs the result */
        link->descriptor = -1;
    }
}

void link_release(struct link *link)
{
    link_close(link);
    errand_drop(link->resolution);
    link->resolution = NULL;
}

static enum fan_status link_fault(const struct link *link, int sys_errno, const char *what,
                                  const char *code, struct fan_error *reterr)
{
    if (sys_errno != 0) {
        (void)fan_fail_errno(reterr, FAN_RETRY, sys_errno, "could not %s \"%.300s\"", what,
                             link->shown);
    } else {
        (void)fan_fail(reterr, FAN_RETRY, "could not %s \"%.300s\"", what, link->shown);
    }
    fan_error_annotate(reterr, code, NULL);
    return FAN_RETRY;
}

static enum fan_status link_timeout(const struct link *link, struct fan_error *reterr)
{
    (void)fan_fail(reterr, FAN_RETRY, "\"%.300s\" took too long", link->shown);
    fan_error_annotate(reterr, "REDIS_TIMEOUT", NULL);
    return FAN_RETRY;
}

/* Until `descriptor` is ready, the deadline is there (FAN_RETRY), or the target stops (FAN_AGAIN). */
static enum fan_status link_wait(const struct link *link, int descriptor, short events,
                                 int64_t deadline_us, struct fan_error *reterr)
{
    struct pollfd polled[] = {{.fd = link->wake, .events = POLLIN},
                              {.fd = descriptor, .events = events}};
    for (;;) {
        int64_t left_ms = (deadline_us - clock_monotonic_us() + 999) / 1000;
        if (left_ms <= 0) {
            return link_timeout(link, reterr);
        }
        int ready = poll(polled, 2, (int)(left_ms < POLL_LONGEST_MS ? left_ms : POLL_LONGEST_MS));
        if (ready < 0 && errno != EINTR) {
            return link_fault(link, errno, "wait for", "REDIS_CONNECTION", reterr);
        }
        if (ready > 0) {
            return polled[0].revents != 0 ? FAN_AGAIN : FAN_OK;
        }
    }
}

/* ---- opening ---- */

static enum fan_status connect_finish(struct link *link, int64_t deadline_us,
                                      struct fan_error *reterr)
{
    enum fan_status status = link_wait(link, link->descriptor, POLLOUT, deadline_us, reterr);
    int result = 0;
    socklen_t size = sizeof(result);
    if (status == FAN_OK &&
        getsockopt(link->descriptor, SOL_SOCKET, SO_ERROR, &result, &size) != 0) {
        result = errno;
    }
    return result == 0 ? status : link_fault(link, result, "connect to", "REDIS_CONNECT", reterr);
}

static enum fan_status connect_to(struct link *link, const struct sockaddr *address,
                                  socklen_t address_size, int64_t deadline_us,
                                  struct fan_error *reterr)
{
    link->descriptor = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (link->descriptor < 0) {
        return link_fault(link, errno, "make a socket for", "REDIS_CONNECT", reterr);
    }
    enum fan_status status = FAN_OK;
    if (connect(link->descriptor, address, address_size) != 0) {
        /* A unix socket says EAGAIN when too many wait already: nothing to wait for. */
        status = errno == EINPROGRESS
                     ? connect_finish(link, deadline_us, reterr)
                     : link_fault(link, errno, "connect to", "REDIS_CONNECT", reterr);
    }
    if (status != FAN_OK) {
        link_close(link);
    }
    return status;
}

static enum fan_status connect_local(struct link *link, int64_t deadline_us,
                                     struct fan_error *reterr)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, link->address.place, strlen(link->address.place)); /* checked to fit */
    return connect_to(link, (const struct sockaddr *)&address, sizeof(address), deadline_us,
                      reterr);
}

static enum fan_status resolve(struct link *link, int64_t deadline_us, struct addrinfo **ret_list,
                               struct fan_error *reterr)
{
    const struct address *address = &link->address;
    int result;
    if (address_is_numeric(address)) {
        const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                       .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
        result = getaddrinfo(address->place, address->port, &hints, ret_list);
    } else {
        enum fan_status status = FAN_OK;
        if (link->resolution == NULL) {
            status = resolution_start(address, &link->resolution, reterr);
        }
        if (status == FAN_OK) {
            status =
                link_wait(link, errand_descriptor(link->resolution), POLLIN, deadline_us, reterr);
        }
        if (status != FAN_OK) {
            return status;
        }
        result = resolution_take(link->resolution, ret_list);
        errand_drop(link->resolution);
        link->resolution = NULL;
    }
    if (result != 0) {
        (void)fan_fail(reterr, FAN_RETRY, "could not look \"%.300s\" up: %s", link->shown,
                       gai_strerror(result));
        fan_error_annotate(reterr, "REDIS_RESOLVE", NULL);
        return FAN_RETRY;
    }
    return FAN_OK;
}

/* Each address has its share of the time: one that swallows everything leaves some for the next. */
static enum fan_status connect_named(struct link *link, int64_t deadline_us,
                                     struct fan_error *reterr)
{
    struct addrinfo *list = NULL;
    enum fan_status status = resolve(link, deadline_us, &list, reterr);
    if (status != FAN_OK) {
        return status;
    }
    int left = 0;
    for (const struct addrinfo *at = list; at != NULL; at = at->ai_next) {
        left++;
    }
    for (const struct addrinfo *at = list; at != NULL; at = at->ai_next, left--) {
        int64_t now_us = clock_monotonic_us();
        status = connect_to(link, at->ai_addr, at->ai_addrlen,
                            now_us + (deadline_us - now_us) / left, reterr);
        if (status != FAN_RETRY) {
            break;
        }
    }
    freeaddrinfo(list);
    if (status == FAN_OK) {
        const int on = 1; /* what these two refuse is only slower */
        (void)setsockopt(link->descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        (void)setsockopt(link->descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    }
    return status;
}

static enum fan_status shake_hands(struct link *link, int64_t deadline_us, struct fan_error *reterr)
{
    link->ssl = redis_tls_open(link->tls, &link->address, link->descriptor);
    if (link->ssl == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not speak TLS with \"%.300s\": out of memory",
                        link->shown);
    }
    for (;;) {
        ERR_clear_error();
        int result = SSL_connect(link->ssl);
        if (result == 1) {
            return FAN_OK;
        }
        int reason = SSL_get_error(link->ssl, result);
        if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) {
            return redis_tls_fault(link->ssl, link->shown, reterr);
        }
        enum fan_status status =
            link_wait(link, link->descriptor, reason == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT,
                      deadline_us, reterr);
        if (status != FAN_OK) {
            return status;
        }
    }
}

enum fan_status link_open(struct link *link, int64_t deadline_us, struct fan_error *reterr)
{
    link_close(link);
    enum fan_status status = link->address.local ? connect_local(link, deadline_us, reterr)
                                                 : connect_named(link, deadline_us, reterr);
    if (status == FAN_OK && link->tls != NULL) {
        status = shake_hands(link, deadline_us, reterr);
    }
    if (status == FAN_OK) {
        link->reader = redisReaderCreate();
        if (link->reader == NULL) {
            status = fan_fail(reterr, FAN_RETRY, "could not read from \"%.300s\": out of memory",
                              link->shown);
        }
    }
    if (status != FAN_OK) {
        link_close(link);
    }
    return status;
}

bool link_is_stale(struct link *link)
{
    char byte;
    if (link->ssl != NULL && SSL_pending(link->ssl) > 0) {
        return true;
    }
    ssize_t size = recv(link->descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (size > 0 && link->ssl != NULL) {
        return SSL_peek(link->ssl, &byte, 1) > 0 || /* tickets of a session are no news */
               (SSL_get_shutdown(link->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
    }
    return size >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

/* ---- talking ---- */

static enum moved moved_by_tls(struct link *link, int result)
{
    switch (SSL_get_error(link->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return MOVED_NONE;
    case SSL_ERROR_WANT_WRITE:
        link->wants_write = true;
        return MOVED_NONE;
    case SSL_ERROR_ZERO_RETURN:
        return MOVED_END;
    default:
        return MOVED_FAULT;
    }
}

static enum moved link_write(struct link *link, const struct bytes *commands, size_t *at)
{
    size_t left = commands->size - *at;
    size_t taken = 0;
    if (link->ssl != NULL) {
        ERR_clear_error();
        int result = SSL_write_ex(link->ssl, commands->data + *at, left, &taken);
        if (result != 1) {
            return moved_by_tls(link, result);
        }
    } else {
        ssize_t result = send(link->descriptor, commands->data + *at, left, MSG_NOSIGNAL);
        if (result < 0) {
            bool later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
            link->wants_write = link->wants_write || later;
            return later ? MOVED_NONE : MOVED_FAULT;
        }
        taken = (size_t)result;
    }
    *at += taken;
    return MOVED_SOME;
}

static enum moved link_read(struct link *link, char *chunk, size_t *ret_size)
{
    if (link->ssl != NULL) {
        ERR_clear_error();
        int result = SSL_read_ex(link->ssl, chunk, READ_CHUNK, ret_size);
        return result == 1 ? MOVED_SOME : moved_by_tls(link, result);
    }
    ssize_t result = recv(link->descriptor, chunk, READ_CHUNK, 0);
    if (result < 0) {
        bool later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
        return later ? MOVED_NONE : MOVED_FAULT;
    }
    *ret_size = (size_t)result;
    return result == 0 ? MOVED_END : MOVED_SOME;
}

static enum fan_status link_broken(const struct link *link, struct fan_error *reterr)
{
    (void)fan_fail(reterr, FAN_RETRY, "\"%.300s\" sent what is no reply of a Redis server",
                   link->shown);
    fan_error_annotate(reterr, "REDIS_PROTOCOL", "check address, and tls");
    return FAN_RETRY;
}

static enum fan_status link_lost(const struct link *link, enum moved how, struct fan_error *reterr)
{
    if (how == MOVED_END) {
        return link_fault(link, 0, "hear the whole answer of", "REDIS_CONNECTION", reterr);
    }
    if (link->ssl != NULL && ERR_peek_last_error() != 0) {
        return redis_tls_fault(link->ssl, link->shown, reterr); /* TLS 1.3 refuses clients here */
    }
    return link_fault(link, errno, "read from", "REDIS_CONNECTION", reterr);
}

/* Hands on every whole reply that is there; false when the bytes are none. */
static bool take_replies(struct link *link, size_t *count, link_take *take, void *context)
{
    while (*count > 0) {
        void *reply = NULL;
        if (redisReaderGetReply(link->reader, &reply) != REDIS_OK) {
            return false;
        }
        if (reply == NULL) {
            return true;
        }
        take(context, reply);
        freeReplyObject(reply);
        (*count)--;
    }
    return true;
}

enum fan_status link_talk(struct link *link, const struct bytes *commands, size_t count,
                          link_take *take, void *context, int64_t deadline_us,
                          struct fan_error *reterr)
{
    const size_t granted = LINK_REPLIES_MAX + count * LINK_REPLY_GRANT;
    size_t sent = 0;
    size_t received = 0;
    while (count > 0) {
        char chunk[READ_CHUNK];
        size_t size = 0;
        link->wants_write = false;
        /* What is there is read first: a server that refuses says why before it goes away. */
        enum moved in = link_read(link, chunk, &size);
        enum moved out = MOVED_NONE;
        if (in == MOVED_SOME) {
            received += size;
            if (received > granted || redisReaderFeed(link->reader, chunk, size) != REDIS_OK ||
                !take_replies(link, &count, take, context)) {
                return link_broken(link, reterr);
            }
        } else if (in != MOVED_NONE) {
            return link_lost(link, in, reterr);
        }
        if (sent < commands->size) {
            out = link_write(link, commands, &sent);
        }
        if (out == MOVED_FAULT) {
            sent = commands->size; /* the end of what can be read says more */
        }
        if (in == MOVED_NONE && out != MOVED_SOME && count > 0) {
            enum fan_status status =
                link_wait(link, link->descriptor, link->wants_write ? POLLIN | POLLOUT : POLLIN,
                          deadline_us, reterr);
            if (status != FAN_OK) {
                return status;
            }
        }
    }
    return FAN_OK;
}
