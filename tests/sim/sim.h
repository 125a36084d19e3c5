/* sim.h: a site in one process, under a virtual clock: two control servers (the engine and a DNS driver for each name
 * server) with a lease that fails, so that both may believe that they lead; the journal that they share, which refuses
 * what an older reign appends; four edges (the agent's loop, a disk that loses what was not synced, a HAProxy that
 * holds a table) and, with --gateways, a gateway that is one to all but the tables; two primaries and a secondary of
 * one zone; and a network that loses, doubles, delays and reorders. One seed is one run; the same seed is the same run.
 *
 * What runs is the code that ships: engine.h, agent.h, and dns.h with all of its driver, whose updates arrive as the
 * bytes that it signed. Everything around them is here.
 *
 *   sim_world.c      clock, randomness, events, network
 *   sim_journal.c    the journal of both servers
 *   sim_server.c     a server: carries out the engine's effects, and dies or is stopped between two of them
 *   sim_edge.c       an edge: carries out the agent's effects
 *   sim_fiber.c      the thread of a DNS driver
 *   sim_dns.c        what lies between drivers and name servers
 *   sim_nameserver.c a name server
 *   sim_check.c      what must hold at every step; sim_check_dns.c: of name servers
 *   sim_site.c       the site, what operators do
 *   sim_faults.c     what goes wrong; faults.def lists it
 *   sim_main.c       seeds and options
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <libknot/libknot.h>

#include "agent/agent.h"
#include "dns/dns.h"
#include "server/interlocking/engine.h"

#define EDGES 4
#define AGENTS (EDGES + 1) /* with the gateway */
#define CLASS_GATEWAY EDGE_CLASSES
#define SERVERS 2
#define NAMESERVERS 3
/* Planted bugs of what is around the programs; those in them are AGENT_BUG_... and ENGINE_BUG_... */
#define BUG_PROMISE_NOT_KEPT 1u /* disks answer for promises that they do not keep */
#define BUG_SENTINEL 2u         /* name servers do not judge prerequisites */
#define BUG_NOT_ATOMIC 4u       /* name servers show every record of an update as it comes */
#define BUG_REMOVE_FIRST 8u     /* updates remove names before they add others */
#define DNS_ZONE "example.test"
#define DNS_KEY "signalbox"
#define DNS_SECRET "c2lnbmFsYm94LXNpbXVsYXRvci0zMi1ieXRlcy0uLi4="
#define WALL_US (1700000000 * SECOND) /* wall clock at the beginning */
#define SECOND ((int64_t)G_USEC_PER_SEC)
#define HEAL_US (12 * SECOND) /* no fault begins later, and all end here */
#define END_US (60 * SECOND)  /* by now everything must have come to its end */

enum seen {
#define FAULT(name, weight, words) SEEN_##name,
#define EVENT(name, words) SEEN_##name,
#include "tests/sim/faults.def"
#undef FAULT
#undef EVENT
    SEEN_KINDS
};

struct sim;
typedef void (*event_fn)(struct sim *sim, void *node, void *data);
struct event {
    int64_t at_us;
    uint64_t seq; /* equal times: in the order of making */
    event_fn fn;
    void *node, *data;
    GDestroyNotify drop; /* of data */
};

struct table {                /* manifest and parts: on a disk, or in a HAProxy */
    struct manifest manifest; /* stamp 0: none */
    GBytes *parts[PARTS];
};
void table_clear(struct table *table);
void table_copy(struct table *to, const struct table *from);

struct waiting_poll { /* a long-poll that the server holds */
    bool held;
    uint64_t id;
    struct stamp stamp;
};
struct shared_journal {
    uint64_t epoch;     /* of the newest reign */
    GPtrArray *entries; /* struct journal_entry * or NULL where a newer state was written */
    GHashTable *newest; /* "kind id" -> index + 1 */
    GHashTable *keys;   /* idempotency keys */
    enum { JOURNAL_SOUND, JOURNAL_REFUSES, JOURNAL_DOUBTS } broken; /* what becomes of the next write */
};
struct driver_slot { /* a DNS driver of a server */
    struct dns_driver *driver;
    uint64_t fiber;
    struct stamp confirmed; /* as it last said */
};
struct server {
    unsigned index;
    struct engine *engine; /* NULL: dead, or does not lead */
    unsigned life;         /* incarnation; timers of older ones are void */
    uint64_t epoch;
    uint64_t claimed_with;               /* generation of the world that its reign began with; 0: not published yet */
    int64_t paused_us, paused_until_us;  /* the last time */
    int crash_in, pause_in;              /* effects until it dies or is stopped; -1: no such fault */
    struct effects rest;                 /* decided, not yet carried out */
    struct resolved *published, *before; /* tables it serves, and those it served before */
    struct waiting_poll polls[AGENTS];
    struct driver_slot drivers[NAMESERVERS];
    double rate;      /* of its clock */
    int64_t clock_us; /* offset of its clock */
    int64_t wall_us;  /* error of its wall clock */
    int64_t cut_until_us, dns_cut_until_us;
};
struct edge_node {
    unsigned index;
    const char *name;
    int edge_class;      /* or CLASS_GATEWAY */
    struct agent *agent; /* NULL: dead */
    unsigned life;
    int64_t paused_until_us, cut_to_until_us, cut_from_until_us, disk_bad_until_us, apply_bad_until_us;
    double rate;          /* of its clock */
    int64_t clock_us;     /* offset of its clock */
    uint64_t tick;        /* newest timer; older ones are void */
    uint64_t poll, asked; /* ids: of the poll under way (0: none), of the newest question */
    GHashTable *fetches;  /* hash -> id of the question */
    struct {
        uint64_t id; /* of the report under way; 0: none */
        bool again;  /* another is wanted after it */
    } reports[SERVERS];
    uint64_t disk_promised;
    struct table disk, previous; /* durable; the one before */
    struct stamp logged;         /* newest that the log of what took effect holds */
    bool torn;                   /* `disk` was lost, `previous` took its place */
    struct table actuator;
    struct stamp newest; /* that ever took effect */
    struct stamp acknowledged;
    uint64_t told_promise;   /* newest that a report carried */
    uint64_t newest_promise; /* newest that the disk took, whatever it has kept of it */
    struct stamp last_good;  /* what was durable when it took that */
    bool excused;            /* unclaimed when the newest reign that acts began to */
};

struct nameserver_node {
    unsigned index;
    GHashTable *zone, *saved; /* rrset_key -> struct rrset *: what it shows; an older one */
    uint32_t serial, saved_serial;
    unsigned life;
    int64_t wall_us; /* offset of its wall clock */
    int64_t dead_until_us, stopped_until_us, cut_until_us, fails_until_us, refuses_until_us, late_until_us;
    struct stamp newest; /* of the sentinel, since another hand wrote */
    bool disturbed;      /* another hand, or an older zone, was there: what was shown before it is nobody's to know */
    GHashTable *foreign, *saved_foreign; /* keys of sets that another hand wrote; in the older one */
    GHashTable *past;                    /* rrset_key -> what it showed before; sim_check_dns.c's */
};

struct sim {
    uint64_t seed, random, seq, steps;
    int64_t now_us, loss_until_us;
    bool trace, healed;
    unsigned engine_bug, agent_bug, faults, injected;
    unsigned bugs;         /* BUG_... */
    unsigned update_bytes; /* of sets in one update */
    uint64_t seen[SEEN_KINDS];
    GHashTable *fibers; /* id -> struct fiber * */
    GHashTable *calls;  /* id -> struct dns_message *: questions that drivers wait for; answered ones hold the answer */
    uint64_t newest_fiber, waits;
    GHashTable *worlds; /* generation -> struct resolved *, as published */
    GPtrArray *heap;    /* struct event * */
    struct shared_journal journal;
    struct server servers[SERVERS];
    uint64_t acted_with; /* generation of the world that it claimed with */
    uint64_t acted;      /* epoch of the newest reign that published more than the world it claimed with; 0: none */
    unsigned agents;     /* EDGES or AGENTS */
    struct edge_node edges[AGENTS];
    struct nameserver_node nameservers[NAMESERVERS];
    GHashTable *key_generations; /* cause -> generation + 1 */
    GHashTable *promises;        /* lever -> struct said *: what an operator was told */
    GHashTable *legal;           /* hashes of tables that were looked at */
    GHashTable *began;           /* execution -> generation when it was first written down */
    GHashTable *written;         /* "execution lever generation": what executions wrote, but for undo */
    char *failure;               /* first thing that did not hold */
};

/* sim_world.c */
int64_t sim_random(struct sim *sim, int64_t low, int64_t high); /* both included */
bool sim_chance(struct sim *sim, unsigned percent);
void sim_at(struct sim *sim, int64_t at_us, event_fn fn, void *node, void *data, GDestroyNotify drop);
bool sim_step(struct sim *sim); /* next event; false: none left */
/* A message on the way: lost, doubled, late. copy makes the second one. Before HEAL_US only. */
void sim_send(struct sim *sim, bool cut, event_fn fn, void *node, void *data, gpointer (*copy)(gpointer),
              GDestroyNotify drop);
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(const struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* sim_journal.c */
void journal_init(struct sim *sim, const GPtrArray *entries);
void journal_clear(struct sim *sim);
uint64_t journal_begin_reign(struct sim *sim, unsigned node);
/* False: the server must end. */
bool journal_write(struct sim *sim, const struct server *server, const GPtrArray *entries);

/* sim_server.c */
void server_init(struct sim *sim, unsigned index);
void server_clear(struct server *server);
struct server *server_leader(struct sim *sim); /* whose reign is the newest; NULL: it is dead */
/* Events: `node` begins a reign; if it finds another leader, only when the lease fails, or `data` is not NULL. */
void server_start(struct sim *sim, void *node, void *data);
void server_kill(struct sim *sim, struct server *server);
void server_pause(struct sim *sim, struct server *server, int64_t longest_us);
/* Carries out effects, in the order of deciding; false: it died or was stopped in between. */
bool server_carry_out(struct sim *sim, struct server *server, struct effects *effects);
struct now server_now(const struct sim *sim, const struct server *server);
int64_t server_later_us(const struct sim *sim, const struct server *server, int64_t wait_us); /* its wait, our clock */
int64_t server_sim_us(const struct server *server, int64_t local_us);                         /* its clock to ours */

/* Questions of edges, as messages. */
enum question_kind { ASK_POLL, ASK_PART, TELL_REPORT };
struct question {
    enum question_kind kind;
    unsigned edge, server;
    uint64_t id;
    struct stamp stamp;
    char hash[PART_HASH_SIZE];
    json_t *report;
};
struct answer {
    enum question_kind of;
    unsigned edge, server;
    uint64_t id;
    enum { ANSWER_MANIFEST, ANSWER_UNCHANGED, ANSWER_PART, ANSWER_HEARD, ANSWER_FAILED } kind;
    struct stamp stamp; /* HEARD: the newest that the server has */
    struct manifest manifest;
    char hash[PART_HASH_SIZE];
    GBytes *bytes;
};
struct answer *answer_new(const struct question *question);
gpointer answer_copy(gpointer answer);
void answer_free(gpointer answer);
gpointer question_copy(gpointer question);
void question_free(gpointer question);
void server_take(struct sim *sim, void *node, void *data); /* an event: a question has arrived */

/* sim_edge.c */
void edge_init(struct sim *sim, unsigned index);
void edge_clear(struct edge_node *edge);
void edge_start(struct sim *sim, void *node, void *data); /* an event */
void edge_kill(struct sim *sim, struct edge_node *edge);
void edge_take(struct sim *sim, void *node, void *data); /* an event: an answer has arrived */
void edge_haproxy_restart(struct sim *sim, struct edge_node *edge);
bool edge_tear(struct sim *sim, struct edge_node *edge); /* kills it; of its tables the newest is lost */

/* sim_fiber.c. The driver that is made next is `server`'s, of `nameserver`: returns the id that its fiber gets. */
struct fiber;
struct driver_home {
    struct sim *sim;
    struct server *server;
    unsigned nameserver;
};
uint64_t fiber_next(struct sim *sim, struct server *server, unsigned nameserver);
struct fiber *fiber_running(void);
const struct driver_home *fiber_home(const struct fiber *fiber);
uint64_t fiber_id(const struct fiber *fiber);
bool fiber_dying(const struct fiber *fiber);
/* From inside: until then, or until fiber_wake; not longer than that while its server is stopped. */
void fiber_wait(struct fiber *fiber, int64_t until_us);
void fiber_wake(struct sim *sim, uint64_t id);

/* sim_dns.c */
enum dns_message_kind { DNS_QUERY, DNS_UPDATE, DNS_NOTIFY };
struct dns_message {
    enum dns_message_kind kind;
    unsigned server, nameserver;
    unsigned life;        /* of the name server when it was sent: a connection ends with its process */
    uint64_t call, fiber; /* who waits for the answer */
    bool answered;        /* it is one */
    uint8_t rcode;
    GPtrArray *sets; /* struct rrset *: questions, or answers */
    GBytes *wire;    /* of an update or its answer */
};
struct dns_message *dns_message_new(enum dns_message_kind kind, unsigned server, unsigned nameserver);
gpointer dns_message_copy(gpointer message);
void dns_message_free(gpointer message);
struct rrset *rrset_copy(const struct rrset *set);
bool dns_cut(const struct sim *sim, unsigned server, unsigned nameserver);
void dns_send(struct sim *sim, struct dns_message *message, event_fn fn); /* takes message */
void dns_answered(struct sim *sim, void *node, void *data);               /* an event */

/* sim_nameserver.c */
const char *nameserver_name(unsigned index);
bool nameserver_is_primary(unsigned index);
int nameserver_primary(unsigned index); /* that a secondary copies */
unsigned nameserver_at(const struct endpoint *address);
void nameserver_init(struct sim *sim, unsigned index);
void nameserver_clear(struct nameserver_node *ns);
void nameserver_take(struct sim *sim, void *node, void *data); /* an event: a message has arrived */
void nameserver_restart(struct sim *sim, struct nameserver_node *ns, bool old_zone);
void nameserver_foreign(struct sim *sim, struct nameserver_node *ns);
const struct rrset *zone_get(GHashTable *zone, uint16_t type, const char *owner);
const char *zone_sentinel(GHashTable *zone); /* or NULL */

/* sim_check_dns.c */
enum hand { HAND_OURS, HAND_TRANSFER, HAND_OTHER, HAND_OLD }; /* whose write; an older zone is nobody's */
int rrset_order(gconstpointer a, gconstpointer b);            /* of pointers to sets: by owner and type */
void check_zone(struct sim *sim, struct nameserver_node *ns, GHashTable *before, enum hand hand);
void check_dns_report(struct sim *sim, struct server *server, unsigned nameserver, const struct dns_status *status);
/* Name of a server that does not show, or is not proven to show, the generation; NULL: all do. */
const char *check_dns_at_rest(struct sim *sim, struct stamp stamp, const struct observed *observed);

/* sim_faults.c */
const char *seen_words(enum seen seen);
void sim_count(struct sim *sim, enum seen seen);
void faults_schedule(struct sim *sim);

/* sim_check.c */
struct said {
    char *value;
    uint64_t revision;
};
void said_free(gpointer said);
void check_took_effect(struct sim *sim, struct edge_node *edge, const struct table *table);
void check_acknowledged(struct sim *sim, const struct edge_node *edge); /* after a restart of the agent */
void check_generation(struct sim *sim, const char *cause, uint64_t generation);
/* A promise is durable, says the disk. */
void check_promised(struct edge_node *edge, uint64_t epoch);
/* A server gives a table to its agents: a reign that acts has claimed the edges, but for those that it names. */
void check_published(struct sim *sim, struct server *server, struct stamp stamp);
void check_claimed(struct sim *sim, const struct server *server); /* after a report */
/* A transaction of the journal, before it is taken: nobody's override is overwritten. */
void check_transaction(struct sim *sim, const struct server *server, const GPtrArray *entries);
void check_levers(struct sim *sim, const struct engine *engine); /* after a restart of a server */
bool check_at_rest(struct sim *sim, bool must);                  /* all has come to its end */

/* sim_site.c */
json_t *site_body(void);
GPtrArray *site_journal(bool gateways); /* of a server that has applied the body; made once */
void site_schedule(struct sim *sim);    /* operators of this seed */

#endif
