/*
 * resolve.h - looks the name of a server up on a thread of its own, see targets/errand.h.
 *
 * Threading:  one thread starts, asks and drops.
 */
#ifndef TARGETS_REDIS_RESOLVE_H
#define TARGETS_REDIS_RESOLVE_H

#include <netdb.h>

#include "base/status.h"
#include "targets/address.h"
#include "targets/errand.h"

/* Sends an errand whose result is resolution_take(). FAN_RETRY: no thread, no memory. */
enum fan_status resolution_start(const struct address *address, struct errand **ret_errand,
                                 struct fan_error *reterr) FAN_MUST_CHECK;

/* Of one that is over: what getaddrinfo(3) returned; the list is the caller's. */
int resolution_take(struct errand *errand, struct addrinfo **ret_list);

#endif
