/* observe.h: what actuators report, as the engine keeps it: the last report of each agent and of each name server.
 *
 * Rates are requests per second in the agent's last window; counts are since the table in force was applied.
 * Ownership: struct observed owns all. Thread safety: belongs to the engine's thread; pure functions.
 */
#ifndef INTERLOCKING_OBSERVE_H
#define INTERLOCKING_OBSERVE_H

#include "core/auto.h"
#include "server/interlocking/world.h"

/* Requests of one policy that one edge sent to one room through one entrance. room "" and via "": nobody was asked or
 * nobody answered (closed, relay failed). For relayed requests room is "" and via "relay"; for what
 * the edge answers by itself (levers degrade and limit) "static", "last-good" or "limit". */
struct counter {
    char *policy, *room, *via;
    uint64_t requests, failed; /* since the table in force was applied; failed: 5xx or no answer */
    double rate, fail_rate;    /* 1/s in the last window */
    int64_t failing_since_us;  /* server's clock: some have failed in each window since; 0: none does */
};
/* A relayed request that succeeded is counted by the edge that it was relayed to: is this counter one of a sum? */
bool counter_counts(const struct counter *counter);
bool counter_by_edge(const struct counter *counter); /* one of these three */
/* Of one request of a policy and its answer, on the average: bytes. */
struct sizes {
    double request, answer;
};
struct origin_health {
    char *room, *via;   /* entrance */
    bool up;            /* as HAProxy's checks have it */
    char *status;       /* short text, e.g. "L4TOUT" */
    int64_t latency_us; /* of the last probe; -1 unknown */
    int64_t since_us;   /* server's clock: when this state was first reported */
};
/* A room whose users with automatic DR the edge sends to other rooms by itself, because it saw all entrances down. */
struct room_hold {
    char *room;
    unsigned home;    /* slots of SLOT_COUNT whose users go home, fewer than all */
    int64_t since_us; /* server's clock */
};
/* What a person has done at the agent itself (agent/breakglass.h). */
struct hand_act {
    char *verb, *room;          /* "hold" and "", or "override" and the room that is closed there */
    char *by, *reason;          /* "uid:0" */
    int64_t since_us, until_us; /* the agent's wall clock */
};
struct edge_report {
    char *edge;
    int64_t at_us;                        /* server's clock, when it came */
    uint64_t promised;                    /* epoch */
    struct stamp applied;                 /* proven by read-back */
    int64_t applied_at_us;                /* server's clock: when this stamp was first reported */
    char *state;                          /* "applied", "applying", "refused", "failing", "held" */
    char *error;                          /* or NULL */
    int64_t error_since_us;               /* server's clock: there has been one in each report since */
    int64_t window_us;                    /* of the rates */
    GPtrArray *counters;                  /* struct counter * */
    GPtrArray *origins;                   /* struct origin_health * */
    GPtrArray *holds;                     /* struct room_hold * */
    GHashTable *sizes;                    /* policy -> struct sizes * */
    GHashTable *probes;                   /* policy -> room that answered the probe ("" failed); may be empty */
    GPtrArray *hand_acts;                 /* struct hand_act * */
    json_t *gateway;                      /* of a gateway: see gateway/gateway.h; NULL: of an edge */
    GArray *adjacencies;                  /* struct adjacency (lineview.h), of a gateway */
    uint64_t pins_used, pins_passed_over; /* requests with a pin, of clients that sent one within a day */
};
struct server_report { /* of one authoritative server, or of a registry, from its driver */
    char *server;      /* name of the nameserver object; of a registry registry_server(its name) */
    int64_t at_us;
    struct stamp confirmed; /* all records of this generation were read back here */
    int64_t confirmed_at_us;
    char *state;               /* "converged", "updating", ...: as dns/dns.h and eastwest/publisher.h have them */
    char *error;               /* or NULL */
    int64_t error_since_us;    /* as of an edge; set by observed_server_report */
    unsigned names;            /* records that its last change touched */
    int64_t residual_until_us; /* server's clock: until then resolvers may hold the old set; 0: none */
};
struct observed {
    GHashTable *edges;   /* name -> struct edge_report * */
    GHashTable *servers; /* name -> struct server_report * */
    int64_t flipped_us;  /* when a report last had an entrance up that was down in the one before it, or down */
};
struct observed *observed_new(void);
void observed_free(struct observed *observed);
SB_AUTO_DEFINE(observed, observed_free)

/* Takes in a report's JSON (agent/protocol.h documents it). False and nothing changed if it is not one, or not of
 * `edge`. Keeps applied_at_us and since_us where nothing changed. */
bool observed_edge_report(struct observed *observed, const char *edge, const json_t *report, int64_t now_us,
                          GError **error);
/* Back from edge_report_to_json, with its times. */
bool observed_edge_restore(struct observed *observed, const json_t *report, int64_t now_us, GError **error);
/* Takes the report (g_new'd strings and all). */
void observed_server_report(struct observed *observed, struct server_report *report);
const struct edge_report *observed_edge(const struct observed *observed, const char *edge);
const struct server_report *observed_server(const struct observed *observed, const char *server);
/* "registry/NAME": what no name server is called; g_free. */
char *registry_server(const char *registry);
json_t *edge_report_to_json(const struct edge_report *report, int64_t now_us);
/* Is a room closed there by hand? Then it is not what its table says, whatever it has applied. */
bool edge_report_overridden(const struct edge_report *report);
json_t *server_report_to_json(const struct server_report *report, int64_t now_us);

/* An edge's view is old after this. */
#define OBSERVED_FRESH_US (5 * G_USEC_PER_SEC)
/* Is there a report, and is it not old? now_us is the time that is asked about: an engine's own clock stands at its
 * last input. Asked for each of a million counters, so it's inline. */
static inline bool edge_report_fresh(const struct edge_report *report, int64_t now_us)
{
    return report != NULL && now_us - report->at_us <= OBSERVED_FRESH_US;
}

/* The edge's hold of that room, or NULL. */
const struct room_hold *edge_report_hold(const struct edge_report *report, const char *room);

/* An entrance as the edges with a fresh report see it that users come by there: of a POP the public ones, of the ring
 * the dedicated ones. status: of one that sees it down, else of one that sees it; "" where nobody does; of a report. */
struct entrance_view {
    unsigned seen, down;
    int64_t since_us; /* when the first of those that see it down now said so; now_us if none does */
    const char *status;
};
void observed_entrance(const struct observed *observed, const struct inventory *inventory, const char *room,
                       const char *via, int64_t now_us, struct entrance_view *out);
/* Is this entrance dead, as at least half of the edges with a fresh report see it? */
bool observed_entrance_down(const struct observed *observed, const struct inventory *inventory, const char *room,
                            const char *via, int64_t now_us);
/* When the first of the edges with a fresh report that see it down now said so; now_us if none does. */
int64_t observed_entrance_since(const struct observed *observed, const struct inventory *inventory, const char *room,
                                const char *via, int64_t now_us);

#endif
