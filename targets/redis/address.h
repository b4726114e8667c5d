/*
 * address.h - where a Redis server listens: `host:port`, `[v6]:port`, or the path of a socket.
 *
 * Threading:  plain values.
 */
#ifndef TARGETS_REDIS_ADDRESS_H
#define TARGETS_REDIS_ADDRESS_H

#include <stdbool.h>

enum { REDIS_PLACE_MAX = 256, REDIS_PORT_TEXT_MAX = 8 };

struct redis_address {
    char place[REDIS_PLACE_MAX]; /* a name, an IP address without brackets, or an absolute path */
    char port[REDIS_PORT_TEXT_MAX];
    bool local; /* a unix socket */
};

/* Returns NULL and fills `ret_address`, or returns the fault as a text for the conf's user. */
const char *redis_address_parse(const char *text, struct redis_address *ret_address);

/* Whether the place is an IP address. */
bool redis_address_is_numeric(const struct redis_address *address);

#endif
