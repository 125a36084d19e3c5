/* httpmsg.h: one HTTP/1.1 message at a time, request or response, read in pieces (RFC 9112).
 *
 * Enough for the lab's own origin and users: bodies are counted and dropped, pipelining is refused, chunked bodies are
 * refused (nothing in the lab sends them). What is kept is the head.
 * Thread safety: pure functions on the caller's memory.
 */
#ifndef LAB_HTTPMSG_H
#define LAB_HTTPMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTPMSG_HEAD_SIZE 4096

enum httpmsg_state {
    HTTPMSG_MORE, /* the message is not complete */
    HTTPMSG_DONE, /* complete; feed nothing more before httpmsg_init */
    HTTPMSG_BAD,  /* not a message that we read; the connection is to be closed */
};

struct httpmsg {
    char head[HTTPMSG_HEAD_SIZE + 1]; /* start line and headers, as received, NUL behind */
    size_t head_len;                  /* bytes of the head, with the empty line once head_done */
    bool head_done;                   /* the empty line was seen */
    bool response;                    /* a status line is expected, not a request line */
    bool until_close;                 /* a response without a length: ends with the connection */
    bool keep_alive;                  /* the connection may carry another message */
    int64_t body_left;                /* bytes of the body that have not come yet */
    int status;                       /* of a response: 100 to 599 */
    char method[16];                  /* of a request */
    char path[512];                   /* of a request: target, cut at this size */
};

/* Begins a message. response: read a response; else a request. */
void httpmsg_init(struct httpmsg *msg, bool response);
/* Takes the next bytes of the connection. */
enum httpmsg_state httpmsg_feed(struct httpmsg *msg, const char *bytes, size_t size);
/* The connection ended: DONE for a response that lasts until then, else BAD. */
enum httpmsg_state httpmsg_eof(const struct httpmsg *msg);
/* Whether any byte of the message has come. */
bool httpmsg_begun(const struct httpmsg *msg);
/* Value of a header, name without regard to case, cut to `size`; "" when absent. Returns value. */
char *httpmsg_header(const struct httpmsg *msg, const char *name, char *value, size_t size);

#endif
