#include "schema/addr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool addr_parse(const char *text, struct addr *out)
{
    struct addr addr = {0};
    if (inet_pton(AF_INET, text, addr.bytes) == 1)
        addr.family = AF_INET;
    else if (inet_pton(AF_INET6, text, addr.bytes) == 1)
        addr.family = AF_INET6;
    else
        return false;
    *out = addr;
    return true;
}

/* 1..65535 as people write it: digits only, no zero in front. */
static bool port_parse(const char *text, uint16_t *out)
{
    size_t len = strspn(text, "0123456789");
    if (len < 1 || len > 5 || text[len] != '\0' || text[0] == '0')
        return false;
    unsigned long port = strtoul(text, NULL, 10);
    if (port > UINT16_MAX)
        return false;
    *out = (uint16_t)port;
    return true;
}

bool endpoint_parse(const char *text, struct endpoint *out)
{
    bool bracketed = text[0] == '[';
    const char *begin = bracketed ? text + 1 : text;
    const char *end = bracketed ? strstr(text, "]:") : strchr(text, ':');
    char address[ADDR_TEXT_SIZE];
    if (end == NULL || (size_t)(end - begin) >= sizeof address)
        return false;
    memcpy(address, begin, (size_t)(end - begin));
    address[end - begin] = '\0';
    struct endpoint ep;
    if (!addr_parse(address, &ep.addr) || bracketed != (ep.addr.family == AF_INET6) ||
        !port_parse(bracketed ? end + 2 : end + 1, &ep.port))
        return false;
    *out = ep;
    return true;
}

char *addr_format(const struct addr *addr, char text[static ADDR_TEXT_SIZE])
{
    text[0] = '\0'; /* no address */
    if (addr->family != 0)
        inet_ntop(addr->family, addr->bytes, text, ADDR_TEXT_SIZE);
    return text;
}

char *endpoint_format(const struct endpoint *ep, char text[static ENDPOINT_TEXT_SIZE])
{
    char address[ADDR_TEXT_SIZE];
    text[0] = '\0';
    if (ep->addr.family != 0)
        snprintf(text, ENDPOINT_TEXT_SIZE, ep->addr.family == AF_INET6 ? "[%s]:%u" : "%s:%u",
                 addr_format(&ep->addr, address), (unsigned)ep->port);
    return text;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    size_t size = a->family == AF_INET ? 4 : 16;
    return a->family == b->family && (a->family == 0 || memcmp(a->bytes, b->bytes, size) == 0);
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    return addr_equal(&a->addr, &b->addr) && a->port == b->port;
}

bool addr_is_loopback(const struct addr *addr)
{
    static const uint8_t v6[16] = {[15] = 1};
    return addr->family == AF_INET    ? addr->bytes[0] == 127
           : addr->family == AF_INET6 ? memcmp(addr->bytes, v6, sizeof v6) == 0
                                      : false;
}

struct addr addr_mask(const struct addr *addr, unsigned bits)
{
    struct addr masked = *addr;
    for (unsigned i = 0; i < sizeof masked.bytes; i++) {
        unsigned kept = bits > i * 8 ? bits - i * 8 : 0;
        if (kept < 8)
            masked.bytes[i] &= (uint8_t)(0xff00u >> kept);
    }
    return masked;
}

socklen_t endpoint_sockaddr(const struct endpoint *ep, struct sockaddr_storage *out)
{
    assert(ep->addr.family == AF_INET || ep->addr.family == AF_INET6);
    memset(out, 0, sizeof *out);
    if (ep->addr.family == AF_INET) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)out;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(ep->port);
        memcpy(&v4->sin_addr, ep->addr.bytes, 4);
        return sizeof *v4;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(ep->port);
    memcpy(&v6->sin6_addr, ep->addr.bytes, 16);
    return sizeof *v6;
}
