#include "api/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/api.h"
#include "base/cleanup.h"

enum { LISTEN_BACKLOG = 64, ADDRESS_TEXT_MAX = 64 };

enum fan_status api_socket_path(const char *data_dir, char path[API_SOCKET_PATH_SIZE],
                                struct fan_error *reterr)
{
    char text[API_SOCKET_PATH_SIZE];
    int size = snprintf(text, sizeof(text), "%s/pgfan.sock", data_dir);
    if (size < 0 || (size_t)size >= sizeof(text)) {
        (void)fan_fail(reterr, FAN_FATAL,
                       "cannot use data directory \"%s\": the path of its control socket would "
                       "have %d bytes, and at most %d fit the address of a socket",
                       data_dir, size, API_SOCKET_PATH_SIZE - 1); /* returned below, with a hint */
        fan_error_annotate(reterr, "SOCKET_PATH_TOO_LONG", "choose a shorter data_dir");
        return FAN_FATAL;
    }
    memcpy(path, text, (size_t)size + 1);
    return FAN_OK;
}

/* Only a socket is removed: anything else in its place is somebody's file. */
static enum fan_status remove_stale(const char *path, struct fan_error *reterr)
{
    struct stat found;
    if (lstat(path, &found) != 0) {
        return errno == ENOENT ? FAN_OK
                               : fan_fail_errno(reterr, FAN_FATAL, errno,
                                                "cannot use control socket \"%s\"", path);
    }
    if (!S_ISSOCK(found.st_mode)) {
        return fan_fail(reterr, FAN_FATAL,
                        "cannot use control socket \"%s\": something else has this name", path);
    }
    if (unlink(path) != 0) {
        return fan_fail_errno(reterr, FAN_FATAL, errno, "cannot remove old control socket \"%s\"",
                              path);
    }
    return FAN_OK;
}

enum fan_status listen_unix(const char *path, int *ret_descriptor, struct fan_error *reterr)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(path);
    if (size >= sizeof(address.sun_path)) {
        return fan_fail(reterr, FAN_FATAL, "cannot use control socket \"%s\": path too long", path);
    }
    memcpy(address.sun_path, path, size + 1);
    enum fan_status status = remove_stale(path, reterr);
    if (status != FAN_OK) {
        return status;
    }
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Nobody can connect before listen(), so the mode is right before the first connection. */
    if (descriptor < 0 ||
        bind(descriptor, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        chmod(path, 0660) != 0 || listen(descriptor, LISTEN_BACKLOG) != 0) {
        status = fan_fail_errno(reterr, FAN_FATAL, errno, "cannot listen on control socket \"%s\"",
                                path);
        fan_close_p(&descriptor);
        return status;
    }
    *ret_descriptor = descriptor;
    return FAN_OK;
}

static enum fan_status fail_address(const char *address, const char *why, struct fan_error *reterr)
{
    (void)fan_fail(reterr, FAN_FATAL, "cannot listen on \"%s\": %s", address, why);
    fan_error_annotate(reterr, "API_ADDRESS",
                       "set api.listen to a loopback address, such as 127.0.0.1:7432");
    return FAN_FATAL;
}

/* Splits at the last colon; brackets around the host are dropped. */
static bool split_address(const char *address, char host[ADDRESS_TEXT_MAX], uint16_t *ret_port)
{
    const char *colon = strrchr(address, ':');
    size_t host_size = colon == NULL ? 0 : (size_t)(colon - address);
    if (host_size == 0 || host_size >= ADDRESS_TEXT_MAX || colon[1] < '0' || colon[1] > '9') {
        return false;
    }
    char *end = NULL;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || port > UINT16_MAX) {
        return false;
    }
    if (address[0] == '[' && address[host_size - 1] == ']') {
        address++;
        host_size -= 2;
    }
    memcpy(host, address, host_size);
    host[host_size] = '\0';
    *ret_port = (uint16_t)port;
    return true;
}

union listen_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool loopback_address(const char *host, uint16_t port, union listen_address *ret_address,
                             socklen_t *ret_size)
{
    union listen_address address = {0};
    const char *numeric = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    if (inet_pton(AF_INET, numeric, &address.v4.sin_addr) == 1) {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = htons(port);
        *ret_address = address;
        *ret_size = sizeof(address.v4);
        return ntohl(address.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    address = (union listen_address){0};
    if (inet_pton(AF_INET6, numeric, &address.v6.sin6_addr) == 1) {
        address.v6.sin6_family = AF_INET6;
        address.v6.sin6_port = htons(port);
        *ret_address = address;
        *ret_size = sizeof(address.v6);
        return IN6_IS_ADDR_LOOPBACK(&address.v6.sin6_addr);
    }
    return false;
}

enum fan_status listen_tcp(const char *address, int *ret_descriptor, uint16_t *ret_port,
                           struct fan_error *reterr)
{
    char host[ADDRESS_TEXT_MAX];
    uint16_t port = 0;
    union listen_address bound;
    socklen_t size = 0;
    if (!split_address(address, host, &port)) {
        return fail_address(address, "it is not HOST:PORT", reterr);
    }
    if (!loopback_address(host, port, &bound, &size)) {
        return fail_address(address, "only loopback addresses are served without tokens", reterr);
    }
    int on = 1;
    socklen_t room = sizeof(bound);
    int descriptor = socket(bound.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0 || setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(descriptor, &bound.any, size) != 0 || listen(descriptor, LISTEN_BACKLOG) != 0 ||
        getsockname(descriptor, &bound.any, &room) != 0) {
        enum fan_status status = errno == EADDRINUSE ? FAN_RETRY : FAN_FATAL;
        status = fan_fail_errno(reterr, status, errno, "cannot listen on \"%s\"", address);
        fan_close_p(&descriptor);
        return status;
    }
    *ret_port = ntohs(bound.any.sa_family == AF_INET ? bound.v4.sin_port : bound.v6.sin6_port);
    *ret_descriptor = descriptor;
    return FAN_OK;
}

bool listen_peer_allowed(int descriptor)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        return false;
    }
    return peer.uid == 0 || peer.uid == geteuid() || peer.gid == getegid();
}
