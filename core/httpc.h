/* httpc.h: HTTP/1.1 client (libcurl), one call at a time or many on a loop.
 *
 * Only http and https are spoken; redirects are not followed. Bodies are bounded by HTTPC_BODY_MAX. A `struct
 * httpc_target` says where and as whom: base URL or local socket, CA file, bearer token.
 *
 * Thread safety: httpc_call may be used from any thread; a struct httpc belongs to its loop's thread.
 */
#ifndef CORE_HTTPC_H
#define CORE_HTTPC_H

#include "core/loop.h"

struct sockaddr;

#define HTTPC_HEAD_MAX (256u << 10) /* bytes */
#define HTTPC_BODY_MAX (64u << 20)  /* bytes; a table of 100,000 domains is about 6 MiB */

struct httpc_target {
    const char *base_url;       /* "https://192.0.2.1:8443"; with a socket "http://localhost" */
    const char *unix_socket;    /* path or NULL */
    const char *ca_file;        /* PEM, or NULL for the system's */
    const char *cert_file;      /* PEM, of ours, or NULL: none is shown; files are read with each new connection */
    const char *key_file;       /* PEM, its key, or NULL when cert_file has it */
    const char *token;          /* bearer token or NULL */
    const char *const *headers; /* "Name: value" of every request, NULL-terminated; or NULL */
    size_t body_max;            /* bytes of an answer; 0: HTTPC_BODY_MAX */
    /* May this address be connected to? Asked of each before a connection is made, so what a name resolves to for the
     * answer is what is connected to. False with the reason in *error, SB_ERROR_FORBIDDEN, which is the call's unless
     * another address of the name is allowed. NULL: all may. Must live as long as the request. */
    bool (*guard)(void *guard_data, const struct sockaddr *address, GError **error);
    void *guard_data;
};

struct httpc_reply {
    unsigned status; /* HTTP status */
    char *body;      /* NUL-terminated, g_free'd by httpc_reply_clear; "" when empty */
    size_t size;     /* bytes of body */
    char *etag;      /* value of ETag with its quotes, or NULL */
    char *location;  /* value of Location or NULL */
    char *head;      /* all lines of the head, each with its end; "" when there was none */
    bool lost; /* of a failure: the connection was there and ended without a whole answer: who asked knows nothing */
};
void httpc_reply_clear(struct httpc_reply *reply);

/* Sends one request and waits. headers: NULL-terminated array of "Name: value" or NULL. body: NULL or JSON text.
 * False on transport failure; any HTTP status is a success here. SB_ERROR_UNREACHABLE: no connection, also when a name
 * does not resolve in time; TIMEOUT: connected, but no whole answer in time. */
bool httpc_call(const struct httpc_target *target, const char *method, const char *path, const char *const *headers,
                const char *body, long timeout_ms, struct httpc_reply *reply, GError **error);

/* Requests on a loop. The callback runs once, on the loop's thread: reply is NULL and error set on transport
 * failure; both stay the client's property and are gone after the callback. */
struct httpc;
typedef void (*httpc_fn)(void *data, const struct httpc_reply *reply, const GError *error);

struct httpc *httpc_new(struct loop *loop, GError **error);
void httpc_free(struct httpc *client); /* pending requests end without their callbacks; not from a callback */
struct httpc_request;

/* Starts a request; strings are copied. Connections are kept and used again. The handle is valid until the callback. */
struct httpc_request *httpc_start(struct httpc *client, const struct httpc_target *target, const char *method,
                                  const char *path, const char *body, long timeout_ms, httpc_fn fn, void *data);
/* Ends a request without its callback. */
void httpc_cancel(struct httpc_request *request);

#endif
