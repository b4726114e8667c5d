/*
 * api.h - the engine's control interface: HTTP on a unix socket, and on loopback TCP when asked.
 *
 *     api_start -> (requests are served) -> api_stop
 *
 * The unix socket is <data_dir>/pgfan.sock, mode 0660; only root, the engine's own user and its
 * group are served (SO_PEERCRED). TCP exists only when `api.listen` is set, is bound to loopback
 * addresses only, serves GET only, and refuses a Host that is not a loopback name and an Origin
 * that is not its own, so that no web page reaches it. Routes stand in route.c, in one table.
 *
 * Threading:  start and stop on the main thread. One thread named "api" runs every connection of
 *             both listeners; handlers run on it, but for those that wait for an engine command:
 *             they run on the thread "api-verb", one at a time, and hold no other request.
 * Ownership:  engine, settings and versions are borrowed and outlive the api. The caller holds the
 *             lock of the data directory (engine_create() took it): a socket file that is there
 *             belongs to a dead engine then, and is removed.
 * Errors:     FAN_FATAL: the address cannot be used; FAN_RETRY: it could not be taken now.
 * Limits:     8 commands that are waited for, a further one is answered 503 with Retry-After;
 *             64 connections a listener, 8 per IP address; 32 KiB for request line and headers;
 *             body 1 MiB; headers within 10 s, body and answer within 30 s, idle 30 s, all counted
 *             from their start and not from the last byte; 1,000 requests a connection.
 */
#ifndef API_API_H
#define API_API_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "conf/settings.h"

struct engine;
struct api;

struct api_version {
    const char *name; /* "pgfan", "libpq", ... */
    const char *version;
};

struct api_setup {
    struct engine *engine;
    const struct settings *settings;
    const struct api_version *versions; /* the first is the program's own */
    size_t versions_count;
    int64_t header_timeout_us; /* 0: the limit above; tests shorten it */
};

enum fan_status api_start(const struct api_setup *setup, struct api **ret_api,
                          struct fan_error *reterr) FAN_MUST_CHECK;

/* Waits for the command that runs, closes the listeners and every connection, and removes the
 * socket. Accepts NULL. */
void api_stop(struct api *api);

/* The port that TCP listens on, 0 when it does not: for tests that ask for port 0. */
uint16_t api_port(const struct api *api);

/* Writes the path of the socket in `data_dir`. FAN_FATAL when it is longer than a socket's address
 * can be (107 bytes). */
enum { API_SOCKET_PATH_SIZE = 108 };
enum fan_status api_socket_path(const char *data_dir, char path[API_SOCKET_PATH_SIZE],
                                struct fan_error *reterr) FAN_MUST_CHECK;

#endif
