/*
 * listen.h - the two listening sockets of the API, and who may come in through them.
 *
 * Errors:     FAN_FATAL when the address cannot be used, FAN_RETRY when it is taken.
 */
#ifndef API_LISTEN_H
#define API_LISTEN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* Removes a socket that is there (the caller holds the data directory's lock), binds, makes it
 * 0660 and listens. Returns a non-blocking descriptor. */
enum fan_status listen_unix(const char *path, int *ret_descriptor,
                            struct fan_error *reterr) FAN_MUST_CHECK;

/* "127.0.0.1:7432", "[::1]:7432", "localhost:7432": loopback only. Port 0 takes a free one. */
enum fan_status listen_tcp(const char *address, int *ret_descriptor, uint16_t *ret_port,
                           struct fan_error *reterr) FAN_MUST_CHECK;

/* Whether the process at the other end of a unix connection is root, this user, or runs with this
 * process's group (SO_PEERCRED, unix(7)). */
bool listen_peer_allowed(int descriptor);

#endif
