/* framing.h: where a request ends, checked beyond what libmicrohttpd checks (RFC 9112 3, 5 and 6).
 *
 * libmicrohttpd 0.9.75 takes bare LF, bare CR, NUL, folded lines, spaces inside names, several Host or Content-Length
 * and unknown codings. Its parser works in place, so the bytes of request line and headers still stand where they came,
 * with NUL for each separator that it took: framing_check walks over them and refuses whatever is not the one canonical
 * form. Who is refused is cut off, for nobody knows where his next request begins.
 *
 * Inside a chunked body libmicrohttpd reads on its own; a bare LF there is not seen here. So a connection ends with a
 * request whose body is chunked: nothing behind such a body is ever read as a request.
 *
 * Thread safety: pure functions of their arguments; the connection's thread only.
 */
#ifndef API_FRAMING_H
#define API_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct MHD_Connection;

/* The request line as the handler of libmicrohttpd gets it: pointers into the connection's buffer. */
struct request_line {
    const char *method, *path, *version;
    size_t uri_size; /* bytes of path and query, as framing_uri saw them */
};
struct framing {
    bool has_body;
    bool chunked;
    uint64_t content_length; /* 0 when chunked */
};

/* For the callback that sees the URI before it is taken apart. NULL is allowed (no URI came). Bytes of a URI that may
 * be one (RFC 3986: printable ASCII), else 0. */
size_t framing_uri(const char *uri);
/* For the first call of the handler. NULL: the request is sound. Else what is wrong with it, for a person; static. */
const char *framing_check(struct MHD_Connection *connection, const struct request_line *line, struct framing *framing);

#endif
