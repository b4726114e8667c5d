#include "base/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum fan_status parse_number(const char *name, const char *text, int64_t *ret_number,
                                    struct fan_error *reterr)
{
    char *end = NULL;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number <= 0) {
        return fan_fail(reterr, FAN_FATAL, "cannot use %s: \"%s\" is no positive number", name,
                        text);
    }
    *ret_number = number;
    return FAN_OK;
}

/* The watchdog of another process, such as a wrapper's, is not ours to feed. */
static enum fan_status parse_watchdog(const struct notify_environment *environment,
                                      int64_t *ret_watchdog_us, struct fan_error *reterr)
{
    int64_t pid = getpid();
    *ret_watchdog_us = 0;
    if (environment->watchdog_usec == NULL) {
        return FAN_OK;
    }
    enum fan_status status =
        environment->watchdog_pid == NULL
            ? FAN_OK
            : parse_number("WATCHDOG_PID", environment->watchdog_pid, &pid, reterr);
    if (status != FAN_OK || pid != getpid()) {
        return status;
    }
    return parse_number("WATCHDOG_USEC", environment->watchdog_usec, ret_watchdog_us, reterr);
}

static enum fan_status set_address(struct notify *notify, const char *name,
                                   struct fan_error *reterr)
{
    size_t size = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || size < 2 ||
        size >= sizeof(notify->address.sun_path)) {
        return fan_fail(reterr, FAN_FATAL,
                        "cannot use NOTIFY_SOCKET: \"%s\" is no address of a unix socket", name);
    }
    notify->address.sun_family = AF_UNIX;
    memcpy(notify->address.sun_path, name, size);
    bool abstract = name[0] == '@';
    if (abstract) {
        notify->address.sun_path[0] = '\0';
    }
    /* An abstract name ends with its length, a path with its NUL. */
    notify->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + !abstract);
    return FAN_OK;
}

enum fan_status notify_open(const struct notify_environment *environment, struct notify *ret_notify,
                            struct fan_error *reterr)
{
    struct notify notify = {.descriptor = -1};
    if (environment->socket == NULL || environment->socket[0] == '\0') {
        *ret_notify = notify;
        return FAN_OK;
    }
    enum fan_status status = set_address(&notify, environment->socket, reterr);
    if (status == FAN_OK) {
        status = parse_watchdog(environment, &notify.watchdog_us, reterr);
    }
    if (status != FAN_OK) {
        return status;
    }
    notify.descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (notify.descriptor < 0) {
        return fan_fail_errno(reterr, FAN_RETRY, errno, "could not make a socket");
    }
    *ret_notify = notify;
    return FAN_OK;
}

enum fan_status notify_send(const struct notify *notify, struct fan_error *reterr,
                            const char *format, ...)
{
    char text[NOTIFY_TEXT_MAX];
    if (notify->descriptor < 0) {
        return FAN_OK;
    }
    va_list values;
    va_start(values, format);
    int size = vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    if (size < 0) {
        return fan_fail(reterr, FAN_RETRY, "could not tell the service manager: bad text");
    }
    size_t used = (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1;
    /* By its name each time: a manager that was restarted has another socket there. */
    if (sendto(notify->descriptor, text, used, MSG_NOSIGNAL,
               (const struct sockaddr *)&notify->address, notify->address_size) < 0) {
        return fan_fail_errno(reterr, FAN_RETRY, errno, "could not tell the service manager");
    }
    return FAN_OK;
}

void notify_close(struct notify *notify)
{
    if (notify->descriptor >= 0) {
        (void)close(notify->descriptor); /* a datagram socket has nothing to lose */
        notify->descriptor = -1;
    }
}
