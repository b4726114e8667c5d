/*
 * api.c - the API thread: two listeners, their connections and the deadlines of these.
 *
 * libmicrohttpd is run from a loop of our own (its epoll descriptors, no threads of its own), so
 * that one thread serves both listeners and keeps deadlines that libmicrohttpd has not: its own
 * time-out starts anew with every byte, which a client that sends one byte a second lives on.
 */
#include "api/api.h"

#include <errno.h>
#include <limits.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/exchange.h"
#include "api/listen.h"
#include "api/verbs.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

enum {
    CONNECTIONS_MAX = 64,
    CONNECTIONS_PER_IP_MAX = 8,
    CONNECTION_MEMORY = 32 * 1024,
    CONNECTION_REQUESTS_MAX = 1000,
    IDLE_TIMEOUT_S = 30,
    LISTENERS = 2,
    LOOK_INTERVAL_US = 1000000,
};

static const int64_t header_timeout_us = 10000000;
static const int64_t exchange_timeout_us = 30000000;

struct listener {
    struct api *api;
    struct MHD_Daemon *daemon; /* NULL: not listening */
    uint16_t tcp_port;         /* 0: the unix socket */
};

/* One connection. Made and freed by libmicrohttpd's notifications, on the API thread. */
struct peer {
    struct peer *next;
    struct peer **link; /* what points to this one */
    struct exchange_peer facts;
    int descriptor; /* borrowed */
    unsigned requests;
    int64_t deadline_us; /* the connection is shut then */
};

struct api {
    struct api_setup setup;
    char socket_path[API_SOCKET_PATH_SIZE];
    struct listener listeners[LISTENERS];
    struct peer *peers; /* of the API thread */
    struct verbs *verbs;
    int verbs_fd; /* eventfd: a command is done */
    int stop_fd;
    pthread_t thread;
    bool thread_runs;
};

static void notify_connection(void *argument, struct MHD_Connection *connection, void **context,
                              enum MHD_ConnectionNotificationCode code)
{
    struct listener *listener = argument;
    struct api *api = listener->api;
    struct peer *peer = *context;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (peer != NULL) {
            *peer->link = peer->next;
            if (peer->next != NULL) {
                peer->next->link = peer->link;
            }
            free(peer);
        }
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    peer = info == NULL ? NULL : calloc(1, sizeof(*peer));
    if (peer == NULL) {
        return; /* without a context its requests are dropped */
    }
    bool tcp = listener->tcp_port != 0;
    *peer = (struct peer){
        .next = api->peers,
        .link = &api->peers,
        .facts = {.setup = &api->setup, .verbs = api->verbs, .tcp_port = listener->tcp_port},
        .descriptor = info->connect_fd,
        .deadline_us = clock_monotonic_us() + api->setup.header_timeout_us,
    };
    peer->facts.allowed = tcp || listen_peer_allowed(peer->descriptor);
    if (peer->next != NULL) {
        peer->next->link = &peer->next;
    }
    api->peers = peer;
    *context = peer;
}

static struct peer *peer_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

static void notify_completed(void *argument, struct MHD_Connection *connection, void **context,
                             enum MHD_RequestTerminationCode code)
{
    (void)argument; /* the peer knows its listener's facts */
    (void)code;     /* a broken exchange is freed as a complete one is */
    exchange_destroy(*context);
    *context = NULL;
    struct peer *peer = peer_of(connection);
    if (peer != NULL) {
        peer->deadline_us = clock_monotonic_us() + exchange_timeout_us; /* of the next request */
    }
}

/* Called when the headers are complete, for each piece of the body, and at its end. */
static enum MHD_Result serve(void *argument, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *data,
                             size_t *data_size, void **context)
{
    (void)argument; /* the peer knows its listener's facts */
    struct exchange *exchange = *context;
    if (exchange == NULL) {
        struct peer *peer = peer_of(connection);
        if (peer == NULL) {
            return MHD_NO;
        }
        peer->deadline_us = clock_monotonic_us() + exchange_timeout_us;
        peer->requests++;
        peer->facts.last = peer->requests >= CONNECTION_REQUESTS_MAX;
        exchange = exchange_create(&peer->facts, connection, url, method, version);
        *context = exchange;
        if (exchange == NULL) {
            return MHD_NO;
        }
        return exchange_refused(exchange) ? exchange_send(exchange) : MHD_YES;
    }
    if (*data_size > 0) {
        exchange_body(exchange, data, *data_size);
        *data_size = 0;
        return MHD_YES;
    }
    if (exchange_waits(exchange)) {
        return MHD_YES; /* not yet resumed */
    }
    if (!exchange_answered(exchange) && !exchange_handle(exchange)) {
        return MHD_YES; /* suspended */
    }
    return exchange_send(exchange);
}

/* Paths and queries stay as they were sent: request_decode() refuses what it cannot decode. */
static size_t keep_escapes(void *argument, struct MHD_Connection *connection, char *text)
{
    (void)argument;
    (void)connection; /* nothing to do for any of them */
    return strlen(text);
}

__attribute__((format(printf, 2, 0))) static void log_library(void *argument, const char *format,
                                                              va_list args)
{
    (void)argument;
    char text[256];
    (void)vsnprintf(text, sizeof(text), format, args); /* cut when it is longer */
    text[strcspn(text, "\r\n")] = '\0';
    log_write(LOG_DEBUG, "http server", LOG_TEXT("text", text));
}

static enum fan_status start_daemon(struct listener *listener, int descriptor,
                                    struct fan_error *reterr)
{
    listener->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, serve,
        listener, MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL, MHD_OPTION_LISTEN_SOCKET,
        descriptor, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        listener->tcp_port == 0 ? 0u : (unsigned)CONNECTIONS_PER_IP_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK,
        keep_escapes, NULL, MHD_OPTION_NOTIFY_CONNECTION, notify_connection, listener,
        MHD_OPTION_NOTIFY_COMPLETED, notify_completed, listener, MHD_OPTION_END);
    if (listener->daemon == NULL) {
        (void)close(descriptor); /* nothing was written to it */
        return fan_fail(reterr, FAN_RETRY, "could not start the API's HTTP server");
    }
    return FAN_OK;
}

/* Shuts what is over its time; libmicrohttpd finds the end of the connection and closes it. */
static int64_t shut_late(struct api *api, int64_t now_us)
{
    int64_t next_us = INT64_MAX;
    for (struct peer *peer = api->peers; peer != NULL; peer = peer->next) {
        if (peer->deadline_us <= now_us) {
            (void)shutdown(peer->descriptor, SHUT_RDWR); /* it may be gone already */
            peer->deadline_us = INT64_MAX;
        } else if (peer->deadline_us < next_us) {
            next_us = peer->deadline_us;
        }
    }
    return next_us;
}

static int wait_ms(const struct api *api, int64_t now_us, int64_t next_us)
{
    /* Out of descriptors, libmicrohttpd leaves the listener alone until it is run again. */
    int64_t wait = next_us - now_us < LOOK_INTERVAL_US ? (next_us - now_us) / 1000 + 1
                                                       : LOOK_INTERVAL_US / 1000;
    for (size_t i = 0; i < LISTENERS; i++) {
        MHD_UNSIGNED_LONG_LONG own = 0;
        if (api->listeners[i].daemon != NULL &&
            MHD_get_timeout(api->listeners[i].daemon, &own) == MHD_YES &&
            own < (MHD_UNSIGNED_LONG_LONG)wait) {
            wait = (int64_t)own;
        }
    }
    return wait > INT_MAX ? INT_MAX : (int)wait;
}

/* Lets the connections go on whose commands are done. */
static void finish_verbs(struct api *api)
{
    uint64_t count = 0;
    (void)!read(api->verbs_fd, &count, sizeof(count)); /* none is fine */
    struct verb_job *job = verbs_take_done(api->verbs);
    while (job != NULL) {
        struct verb_job *next = job->next;
        exchange_finish(job);
        job = next;
    }
}

static void run_daemons(struct api *api)
{
    for (size_t i = 0; i < LISTENERS; i++) {
        if (api->listeners[i].daemon != NULL) {
            (void)MHD_run(api->listeners[i].daemon); /* it logs what fails */
        }
    }
}

static void *run_thread(void *argument)
{
    struct api *api = argument;
    thread_set_name("api");
    struct pollfd waits[LISTENERS + 2] = {{.fd = api->stop_fd, .events = POLLIN},
                                          {.fd = api->verbs_fd, .events = POLLIN}};
    for (size_t i = 0; i < LISTENERS; i++) {
        const union MHD_DaemonInfo *info =
            api->listeners[i].daemon == NULL
                ? NULL
                : MHD_get_daemon_info(api->listeners[i].daemon, MHD_DAEMON_INFO_EPOLL_FD);
        waits[i + 2] = (struct pollfd){.fd = info == NULL ? -1 : info->epoll_fd, .events = POLLIN};
    }
    while ((waits[0].revents & POLLIN) == 0) {
        int64_t now_us = clock_monotonic_us();
        int64_t next_us = shut_late(api, now_us);
        if (poll(waits, LISTENERS + 2, wait_ms(api, now_us, next_us)) < 0 && errno != EINTR) {
            log_write(LOG_ERROR, "api ends: could not wait", LOG_NUMBER("errno", errno));
            break;
        }
        finish_verbs(api);
        run_daemons(api);
    }
    return NULL;
}

static enum fan_status start_listeners(struct api *api, struct fan_error *reterr)
{
    int descriptor = -1;
    enum fan_status status = listen_unix(api->socket_path, &descriptor, reterr);
    if (status == FAN_OK) {
        status = start_daemon(&api->listeners[0], descriptor, reterr);
    }
    const char *address = api->setup.settings->api.listen;
    if (status != FAN_OK || address == NULL || address[0] == '\0') {
        return status;
    }
    status = listen_tcp(address, &descriptor, &api->listeners[1].tcp_port, reterr);
    return status == FAN_OK ? start_daemon(&api->listeners[1], descriptor, reterr) : status;
}

static enum fan_status start_verbs(struct api *api, struct fan_error *reterr)
{
    api->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    api->verbs_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (api->stop_fd < 0 || api->verbs_fd < 0) {
        return fan_fail_errno(reterr, FAN_RETRY, errno, "could not start the API");
    }
    return verbs_create(api->verbs_fd, &api->verbs, reterr);
}

static enum fan_status start_thread(struct api *api, struct fan_error *reterr)
{
    int failed = pthread_create(&api->thread, NULL, run_thread, api);
    if (failed != 0) {
        return fan_fail_errno(reterr, FAN_RETRY, failed, "could not start the API's thread");
    }
    api->thread_runs = true;
    return FAN_OK;
}

enum fan_status api_start(const struct api_setup *setup, struct api **ret_api,
                          struct fan_error *reterr)
{
    struct api *api = calloc(1, sizeof(*api));
    if (api == NULL) {
        return fan_fail(reterr, FAN_RETRY, "could not start the API: out of memory");
    }
    api->setup = *setup;
    if (api->setup.header_timeout_us == 0) {
        api->setup.header_timeout_us = header_timeout_us;
    }
    api->stop_fd = -1;
    api->verbs_fd = -1;
    for (size_t i = 0; i < LISTENERS; i++) {
        api->listeners[i].api = api;
    }
    enum fan_status status = api_socket_path(setup->settings->data_dir, api->socket_path, reterr);
    if (status == FAN_OK) {
        status = start_verbs(api, reterr);
    }
    if (status == FAN_OK) {
        status = start_listeners(api, reterr);
    }
    if (status == FAN_OK) {
        status = start_thread(api, reterr);
    }
    if (status != FAN_OK) {
        api_stop(api);
        return status;
    }
    log_write(LOG_INFO, "api listens", LOG_TEXT("socket", api->socket_path),
              LOG_TEXT("tcp", setup->settings->api.listen));
    *ret_api = api;
    return FAN_OK;
}

void api_stop(struct api *api)
{
    if (api == NULL) {
        return;
    }
    if (api->thread_runs) {
        uint64_t one = 1;
        (void)!write(api->stop_fd, &one, sizeof(one)); /* an eventfd takes the first for sure */
        (void)pthread_join(api->thread, NULL);         /* it is ours and joined once */
    }
    verbs_stop(api->verbs);
    if (api->verbs != NULL) { /* libmicrohttpd must not be stopped with a suspended connection */
        finish_verbs(api);
        run_daemons(api);
    }
    for (size_t i = 0; i < LISTENERS; i++) {
        if (api->listeners[i].daemon != NULL) {
            MHD_stop_daemon(api->listeners[i].daemon);
        }
    }
    if (api->listeners[0].daemon != NULL) {
        (void)unlink(api->socket_path); /* a file that stays is removed by the next start */
    }
    verbs_destroy(api->verbs);
    fan_close_p(&api->verbs_fd); /* nothing that matters was written to either */
    fan_close_p(&api->stop_fd);
    free(api);
}

uint16_t api_port(const struct api *api)
{
    return api->listeners[1].tcp_port;
}
