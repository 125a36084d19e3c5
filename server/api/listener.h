/* listener.h: one listening socket that speaks HTTP/1.1 (libmicrohttpd), with its own limits, so that a flood on one
 * cannot lock out another.
 *
 * A request comes as: begin (headers are here; may refuse), handle (body is here; answers, or parks), finish (it was
 * parked and somebody resumed it; answers), end (its memory goes). All four run on the listener's own thread.
 *
 * What libmicrohttpd lets pass of broken framing is refused (framing.h). The connection is closed then, with every
 * other 4xx, and behind a chunked body.
 *
 * Deadlines (peers.h) are those of struct listener_limits; a parked request has none, because a suspended connection
 * does not see that its client has left: who parks must resume.
 *
 * Thread safety: listener_new, _quiesce and _free belong to one thread; listener_reap, listener_count and
 * request_resume may be called from any; the other request functions belong to the callbacks, and to whoever holds a
 * parked request until it resumes it.
 */
#ifndef API_LISTENER_H
#define API_LISTENER_H

#include "server/api/peers.h"
#include "server/api/tls.h"
#include "server/interlocking/resolve.h"
#include <sys/types.h>

#define BODY_SIZE_MAX (64u << 10) /* bytes, unless begin raises it */
#define LISTENER_STATUSES 500     /* HTTP statuses 100 to 599 */

struct listener;
struct request;

/* What is sent back. */
struct reply {
    unsigned status;          /* HTTP status; 0: no answer yet */
    const char *content_type; /* static; NULL without a body */
    char *body;               /* g_malloc'd, or NULL */
    size_t size;              /* bytes of body */
    const void *fixed;        /* instead of body: constant bytes, `size` of them; or NULL */
    GBytes *part;             /* instead of body: lives in `owner`, which is a reference that the reply holds */
    struct resolved *owner;
    char *etag, *location; /* values of the headers, or NULL */
    char *link;            /* value of the header (paging.h), or NULL */
    char *allow;           /* with 405 */
    char *cookie;          /* value of Set-Cookie, or NULL */
    int64_t retry_s;       /* of Retry-After; 0: none */
    const char *encoding;  /* of the content, static; NULL: as it is */
    const char *cache;     /* value of Cache-Control, static; NULL: no-store */
    const char *policy;    /* of a page: Content-Security-Policy, static; NULL: it is none */
    bool close;            /* the connection ends with this answer */
    bool replayed;         /* it was given before (answers.h) */
};

struct request {
    /* Read by everybody. */
    struct listener *listener;
    const char *method, *path;                              /* path: still percent-encoded, without the query */
    const char *bearer;                                     /* token of the Authorization header, or NULL */
    const char *if_match, *idempotency_key, *last_event_id; /* headers, or NULL */
    uid_t peer_uid;                                         /* of a local socket */
    const char
        *peer_address; /* where it comes from, an IPv6 one as its /64, which is one customer's; "" of a local socket */
    const struct tls_peer *certificate; /* of the client, checked; or NULL: none is asked for */
    GByteArray *body;
    /* Set by the user of the listener. */
    size_t body_size_max; /* begin may raise it; BODY_SIZE_MAX */
    void *data;
    struct reply reply;
    /* The listener's own. */
    struct MHD_Connection *connection;
    struct channel *channel;
    bool parked; /* was, at some time; the listener's thread only */
    enum { REQUEST_READING, REQUEST_PARKED, REQUEST_RESUMED, REQUEST_ANSWERED } stage;
};
/* Value of a header, or of a cookie; the request's, NULL when absent. */
const char *request_header(const struct request *request, const char *name);
const char *request_cookie(const struct request *request, const char *name);
/* Value of ?name=, decoded; NULL when absent, "" when empty or not to be decoded. g_free. */
char *request_query(const struct request *request, const char *name);

/* What a listener lets strangers and others do. */
struct listener_limits {
    unsigned connections_max; /* more wait in the backlog */
    unsigned per_address_max; /* connections of one address, more are closed at once; 0: no limit */
    unsigned strangers_max;   /* of whom nobody knows yet who asks (peers.h); less than the two above */
    int64_t headers_us;       /* from the connection, or from a stranger's last answer, to the end of the headers */
    int64_t body_us;          /* from there to the end of the body */
    int64_t answer_us;        /* for an answer to be taken */
    int64_t idle_us;          /* from an answer to the end of the next headers */
};

struct listener_config {
    const char *name;       /* for messages: "operators" */
    int which;              /* the user's own number for it */
    int fd;                 /* listening socket; taken */
    struct tls *tls;        /* or NULL: none */
    bool asks_certificates; /* of its clients: requests of those that have no good one are refused */
    struct listener_limits limits;
    bool local; /* a socket of this machine: peers have a uid */
    void (*begin)(void *data, struct request *request);
    void (*handle)(void *data, struct request *request);
    void (*finish)(void *data, struct request *request);
    void (*end)(void *data, struct request *request);
    void *data;
};
struct listener *listener_new(const struct listener_config *config, GError **error);
bool listener_is_local(const struct listener *listener);
const struct listener_config *listener_config(const struct listener *listener);

/* Who asks is known: the connection is no stranger's any more. */
void request_trust(struct request *request);
/* Puts the request aside; nothing else may be done with it before request_resume. False when the listener is ending:
 * then it must be answered now. At most once for each request. */
bool request_park(struct request *request);
/* Fetches a parked request back: finish will be called. The caller's last touch of it. */
void request_resume(struct request *request);

/* Ends connections whose deadline has passed; to be called several times a second. */
void listener_reap(struct listener *listener, int64_t now_us);

struct listener_figures {
    struct peers_figures peers;
    unsigned parked;                     /* requests, now */
    uint64_t answers[LISTENER_STATUSES]; /* by status - 100, since the start */
};
void listener_count(struct listener *listener, struct listener_figures *figures);
/* No new connections, nobody parks any more. Then resume all who are parked, then listener_free. */
void listener_quiesce(struct listener *listener);
/* Waits for the parked ones to be resumed and, for a short time, for answers to be sent; then ends. */
void listener_free(struct listener *listener);

/* Sockets to listen on. address: "127.0.0.1:8440". */
int listen_tcp(const struct endpoint *address, GError **error);
/* Makes the folder, replaces a socket that nobody listens on; mode: permission bits. */
int listen_unix(const char *path, mode_t mode, GError **error);

#endif
