/* addr.h: network addresses of both families, and endpoints (address and port).
 *
 * Text form: 192.0.2.1, 2001:db8::1; endpoints 192.0.2.1:80, [2001:db8::1]:80 (RFC 5952 form on output).
 * Thread safety: pure functions.
 */
#ifndef SCHEMA_ADDR_H
#define SCHEMA_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct addr {
    uint8_t family;    /* AF_INET or AF_INET6; 0: no address */
    uint8_t bytes[16]; /* network order; 4 used for v4 */
};
struct endpoint {
    struct addr addr;
    uint16_t port; /* host order */
};

#define ADDR_TEXT_SIZE 48
#define ENDPOINT_TEXT_SIZE 56

/* Parse: false when the text is not exactly an address (no names, no spaces, no zone ids); *out is then untouched. */
bool addr_parse(const char *text, struct addr *out);
bool endpoint_parse(const char *text, struct endpoint *out); /* port 1..65535 is required */
/* Format into the caller's buffer; return it. */
char *addr_format(const struct addr *addr, char text[static ADDR_TEXT_SIZE]);
char *endpoint_format(const struct endpoint *ep, char text[static ENDPOINT_TEXT_SIZE]);
bool addr_equal(const struct addr *a, const struct addr *b);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
bool addr_is_loopback(const struct addr *addr); /* 127.0.0.0/8, ::1 */
/* First `bits` kept, the rest zero. */
struct addr addr_mask(const struct addr *addr, unsigned bits);
/* For connect(2); returns the length. */
socklen_t endpoint_sockaddr(const struct endpoint *ep, struct sockaddr_storage *out);

#endif
