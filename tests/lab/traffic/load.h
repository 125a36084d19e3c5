/* load.h: parts of the load client. One thread, one loop; nothing here is used by other programs.
 *
 * An open loop: requests are due by a schedule that is fixed when the client starts and never waits for answers, and
 * latency counts from the due time, so that an outage is seen in full. Clients:
 *   new        resolves and connects for every request; the resolver caches by TTL
 *   keepalive  a connection for each user, kept until its other side ends it, on the edge that it began with; resolves
 *              only when a new connection is needed. A request that finds its connection dead is not repeated: it
 * failed stubborn   resolves once at the start and never again; a new connection for every request
 */
#ifndef LAB_LOAD_H
#define LAB_LOAD_H

#include "core/loop.h"
#include "tests/lab/traffic/httpmsg.h"
#include "tests/lab/traffic/traffic_log.h"

#include <netinet/in.h>

#define LOAD_ADDRESSES 8 /* addresses kept of an answer */
#define LOAD_STALL_US 50000
#define LOAD_RING 65536 /* records kept when no log is wanted */

struct load_addresses {
    struct in_addr at[LOAD_ADDRESSES];
    unsigned len;
};

struct load_target {
    char *host;
    char *prefix;                    /* "" or "/upload" */
    struct load_addresses addresses; /* of a stubborn client; else unused */
};

struct load_stream {
    struct load *load;
    struct measure_stream id;
    uint16_t index;
    GArray *targets; /* struct load_target; a user keeps to one of them */
    int64_t interval_us;
    int64_t next_us;           /* loop's clock */
    uint32_t user_base, users; /* users of this stream alone: user_base .. user_base + users - 1 */
    uint32_t turn;             /* counts requests; decides the user */
    uint64_t rng;
    struct load_conn **kept;   /* by user: connection of a keep-alive client, or NULL */
    unsigned sent, ok, failed; /* since the last second began */
    int64_t max_latency_us;
};

struct load {
    struct loop *loop;
    GPtrArray *streams; /* struct load_stream */
    struct traffic_log log;
    int64_t wall_offset_us; /* wall clock less loop's clock, when the client started */
    GQueue in_flight;       /* struct load_conn, oldest first */
    struct load_resolver *resolver;
    struct in_addr fixed; /* --address: every name resolves to it; 0: ask the resolver */
    in_port_t port;
    unsigned post_permille;
    int64_t timeout_us;
    bool keep_records; /* for the log */
    uint32_t seq;      /* of the next request */
    bool draining;     /* no new requests; ends when in_flight is empty */
};

/* load_resolve.c: A records of a name, through the resolver at `server` ("192.0.2.100"), CNAMEs followed. */
typedef void (*load_resolved_fn)(void *data, const struct load_addresses *addresses, const char *error);
struct load_resolver *load_resolver_new(struct loop *loop, const char *server, GError **error);
void load_resolver_free(struct load_resolver *resolver);
/* Calls fn once, perhaps before it returns: addresses, or an error text with addresses NULL. */
void load_resolve(struct load_resolver *resolver, const char *host, load_resolved_fn fn, void *data);
/* To be called about every 10 ms: time-outs of questions. */
void load_resolver_tick(struct load_resolver *resolver);

/* load_conn.c: one request of a user, due at `due_us` (loop's clock). */
void load_request(struct load_stream *stream, int64_t due_us);
/* Gives up on requests whose time is over. */
void load_expire(struct load *load, int64_t now_us);
/* Asks for the addresses that a stubborn client still lacks. */
void load_stubborn_resolve(struct load_stream *stream);

/* load_streams.c: "core/public/new=play.example.test@30", hosts and prefixes joined by "+"; or the built-in set. */
bool load_stream_add(struct load *load, const char *spec, uint32_t users, uint64_t seed, GError **error);
bool load_streams_default(struct load *load, uint32_t users, uint64_t seed, GError **error);
void load_stream_free(gpointer stream);
uint64_t load_random(uint64_t *state);

#endif
