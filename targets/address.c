#include "targets/address.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static const char no_host[] = "the address has no host: write host:port, or the path of a socket";

static const char *parse_path(const char *text, struct address *address)
{
    if (strlen(text) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        return "the address is too long for a unix socket, whose path ends at 107 bytes";
    }
    address->local = true;
    (void)strncpy(address->place, text, sizeof(address->place) - 1); /* zeroed, and it fits */
    return NULL;
}

static bool is_port(const char *text)
{
    size_t size = strspn(text, "0123456789");
    long port = size > 0 && size < 6 && text[size] == '\0' ? strtol(text, NULL, 10) : 0;
    return port > 0 && port <= 65535;
}

/* Letters that no host name and no address has would end up in messages and in look-ups. */
static bool is_host(const char *host, size_t size)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "-._:%";
    return strspn(host, letters) >= size;
}

const char *address_parse(const char *text, const char *default_port, struct address *ret_address)
{
    struct address address = {0};
    if (text[0] == '/') {
        const char *fault = parse_path(text, &address);
        *ret_address = address;
        return fault;
    }
    const char *host = text;
    size_t size;
    if (text[0] == '[') {
        host++;
        size = strcspn(host, "]");
        if (host[size] != ']') {
            return "the address has a [ without its ]";
        }
        text = host + size + 1;
    } else {
        size = strcspn(host, ":");
        text = host + size;
    }
    if (size == 0 || size >= sizeof(address.place)) {
        return no_host;
    }
    if (!is_host(host, size) || strstr(text, "://") != NULL) {
        return "the address has a scheme, a user or a character that no host name has: write "
               "host:port";
    }
    const char *port = text[0] == '\0' ? default_port : text + 1;
    if ((text[0] != '\0' && text[0] != ':') || !is_port(port)) {
        return "the address has no port from 1 to 65535 behind its host; an IPv6 address stands in "
               "[brackets]";
    }
    memcpy(address.place, host, size);
    memcpy(address.port, port, strlen(port));
    *ret_address = address;
    return NULL;
}

bool address_is_numeric(const struct address *address)
{
    struct in6_addr number;
    return inet_pton(AF_INET, address->place, &number) == 1 ||
           inet_pton(AF_INET6, address->place, &number) == 1;
}
