/* framing.h: where a request ends, checked beyond what libmicrohttpd checks (RFC 9112 5 and 6). */
#ifndef API_FRAMING_H
#define API_FRAMING_H

#include <stdbool.h>
#include <stdint.h>

struct MHD_Connection;
struct framing {
    bool has_body;
    uint64_t content_length; /* 0 when chunked */
};
/* NULL: the headers are sound. Else what is wrong with them, for a person; static. */
const char *framing_check(struct MHD_Connection *connection, struct framing *framing);

#endif
