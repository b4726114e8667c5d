/*
 * notify.h - tells the service manager that started this process what becomes of it.
 *
 * The protocol of sd_notify(3): one datagram of NAME=VALUE lines, sent to the socket that the
 * environment variable NOTIFY_SOCKET names, by a path or, behind an '@', by an abstract name.
 * WATCHDOG_USEC, meant for the process WATCHDOG_PID if that is set, says how often WATCHDOG=1 is
 * expected. Without NOTIFY_SOCKET nobody listens, and sending is a success that does nothing.
 *
 *     notify_open -> notify_send* -> notify_close
 *
 * Threading:  one thread.
 * Errors:     FAN_FATAL for a name or a number that cannot be used; FAN_RETRY when the manager could
 *             not be told. Sending never blocks.
 * Limits:     a datagram holds NOTIFY_TEXT_MAX bytes; a longer one is cut.
 */
#ifndef BASE_NOTIFY_H
#define BASE_NOTIFY_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/status.h"

enum { NOTIFY_TEXT_MAX = 512 };

struct notify {
    int descriptor; /* -1: nobody listens */
    struct sockaddr_un address;
    socklen_t address_size;
    int64_t watchdog_us; /* the manager's patience; 0: it does not watch */
};

/* The values of the three variables, each NULL when it is not set. */
struct notify_environment {
    const char *socket;
    const char *watchdog_usec;
    const char *watchdog_pid;
};

enum fan_status notify_open(const struct notify_environment *environment, struct notify *ret_notify,
                            struct fan_error *reterr) FAN_MUST_CHECK;

/* Values must not hold a newline: it would begin another line. */
enum fan_status notify_send(const struct notify *notify, struct fan_error *reterr,
                            const char *format, ...) FAN_PRINTF(3, 4) FAN_MUST_CHECK;

/* Accepts one that was closed. */
void notify_close(struct notify *notify);

#endif
