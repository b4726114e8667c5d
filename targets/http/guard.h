/*
 * guard.h - which addresses a request may go to.
 *
 * Asked with the resolved address, when a connection is made and again when one is used: the text
 * of a URL says nothing (a name may resolve to anything, and to something else the next time).
 * Private is everything that is not an address of the public Internet: loopback, RFC 1918,
 * carrier-grade NAT, link-local and with it the metadata services of clouds, unique local,
 * multicast, unspecified, documentation, and IPv6 forms that carry an IPv4 address inside.
 *
 * Threading:  stateless.
 */
#ifndef TARGETS_HTTP_GUARD_H
#define TARGETS_HTTP_GUARD_H

#include <stdbool.h>
#include <sys/socket.h>

enum guard_rule {
    GUARD_PUBLIC,  /* public addresses only */
    GUARD_ANY,     /* every address of the Internet families */
    GUARD_PRIVATE, /* private addresses only: for what goes in clear text */
};

bool guard_address_is_private(const struct sockaddr *address);

bool guard_allows(enum guard_rule rule, const struct sockaddr *address);

/* The same for an address as text, as inet_ntop(3) writes it; false for any other text. */
bool guard_allows_text(enum guard_rule rule, const char *text);

/* Whether `host` is the literal of a private address, with or without brackets. */
bool guard_host_is_private_literal(const char *host);

#endif
