/*
 * address.h - where a server listens: `host:port`, `[v6]:port`, or the path of a unix socket.
 *
 * Threading:  plain values.
 */
#ifndef TARGETS_ADDRESS_H
#define TARGETS_ADDRESS_H

#include <stdbool.h>

enum { ADDRESS_PLACE_MAX = 256, ADDRESS_PORT_MAX = 8 };

struct address {
    char place[ADDRESS_PLACE_MAX]; /* a name, an IP address without brackets, or an absolute path */
    char port[ADDRESS_PORT_MAX];   /* "" of a path */
    bool local;                    /* a unix socket */
};

/* Returns NULL and fills `ret_address`, or returns the fault as a text for the conf's user. */
const char *address_parse(const char *text, const char *default_port, struct address *ret_address);

/* Whether the place is an IP address. */
bool address_is_numeric(const struct address *address);

#endif
