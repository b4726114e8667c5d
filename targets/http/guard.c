#include "targets/http/guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include "conf/option.h"

struct range4 {
    uint32_t network;
    unsigned bits;
};

/* The special-purpose registries of IANA (RFC 6890), and multicast. */
static const struct range4 private4[] = {
    {0x00000000, 8},  /* this network; Linux takes 0.0.0.0 for loopback */
    {0x0a000000, 8},  /* RFC 1918 */
    {0x64400000, 10}, /* carrier-grade NAT */
    {0x7f000000, 8},  /* loopback */
    {0xa9fe0000, 16}, /* link-local, 169.254.169.254 among them */
    {0xac100000, 12}, /* RFC 1918 */
    {0xc0000000, 24}, /* protocol assignments */
    {0xc0000200, 24}, /* documentation */
    {0xc0586300, 24}, /* 6to4 relays */
    {0xc0a80000, 16}, /* RFC 1918 */
    {0xc6120000, 15}, /* benchmarks */
    {0xc6336400, 24}, /* documentation */
    {0xcb007100, 24}, /* documentation */
    {0xe0000000, 4},  /* multicast */
    {0xf0000000, 4},  /* reserved, broadcast */
};

struct range6 {
    uint8_t network[16];
    unsigned bits;
};

static const struct range6 private6[] = {
    {{0}, 96},                                        /* ::, ::1, IPv4-compatible */
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96}, /* IPv4-mapped */
    {{0, 0x64, 0xff, 0x9b}, 32},                      /* NAT64: 64:ff9b::/96, 64:ff9b:1::/48 */
    {{0x01}, 64},                                     /* discard */
    {{0x20, 0x01, 0, 0}, 23},                         /* Teredo and other assignments */
    {{0x20, 0x01, 0x0d, 0xb8}, 32},                   /* documentation */
    {{0x20, 0x02}, 16},                               /* 6to4 */
    {{0x3f, 0xff}, 20},                               /* documentation */
    {{0x5f}, 16},                                     /* segment routing */
    {{0xfc}, 7},                                      /* unique local */
    {{0xfe, 0x80}, 10},                               /* link-local */
    {{0xfe, 0xc0}, 10},                               /* site-local */
    {{0xff}, 8},                                      /* multicast */
};

static bool is_private4(uint32_t address)
{
    for (size_t i = 0; i < CONF_COUNT(private4); i++) {
        if (((address ^ private4[i].network) >> (32 - private4[i].bits)) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_prefix(const uint8_t *address, const struct range6 *range)
{
    size_t whole = range->bits / 8;
    unsigned rest = range->bits % 8;
    return memcmp(address, range->network, whole) == 0 &&
           (rest == 0 || ((address[whole] ^ range->network[whole]) >> (8 - rest)) == 0);
}

static bool is_private6(const uint8_t *address)
{
    for (size_t i = 0; i < CONF_COUNT(private6); i++) {
        if (has_prefix(address, &private6[i])) {
            return true;
        }
    }
    return false;
}

bool guard_address_is_private(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in4;
        memcpy(&in4, address, sizeof(in4));
        return is_private4(ntohl(in4.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof(in6));
        return is_private6(in6.sin6_addr.s6_addr);
    }
    return true;
}

bool guard_allows(enum guard_rule rule, const struct sockaddr *address)
{
    bool internet = address->sa_family == AF_INET || address->sa_family == AF_INET6;
    return internet &&
           (rule == GUARD_ANY || guard_address_is_private(address) == (rule == GUARD_PRIVATE));
}

static bool parse_address(const char *text, struct sockaddr_storage *ret_address)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    memset(ret_address, 0, sizeof(*ret_address));
    if (inet_pton(AF_INET, text, &in4.sin_addr) == 1) {
        memcpy(ret_address, &in4, sizeof(in4));
        return true;
    }
    if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1) {
        memcpy(ret_address, &in6, sizeof(in6));
        return true;
    }
    return false;
}

bool guard_allows_text(enum guard_rule rule, const char *text)
{
    struct sockaddr_storage address;
    return parse_address(text, &address) && guard_allows(rule, (const struct sockaddr *)&address);
}

bool guard_host_is_private_literal(const char *host)
{
    char bare[INET6_ADDRSTRLEN + 2];
    size_t size = strlen(host);
    if (host[0] == '[' && size > 2 && host[size - 1] == ']') {
        host++;
        size -= 2;
    }
    if (size >= sizeof(bare)) {
        return false;
    }
    memcpy(bare, host, size);
    bare[size] = '\0';
    struct sockaddr_storage address;
    return parse_address(bare, &address) &&
           guard_address_is_private((const struct sockaddr *)&address);
}
