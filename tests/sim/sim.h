/* sim.h: a site in one process, under a virtual clock: two control servers (the engine) with a lease that fails, so
 * that both may believe that they lead; the journal that they share, which refuses what an older reign appends; four
 * edges (the agent's loop, a disk that loses what was not synced, a HAProxy that holds a table), and a network that
 * loses, doubles, delays and reorders. One seed is one run; the same seed is the same run.
 *
 * What runs is the code that ships: engine.h and agent.h. Everything around them is here.
 *
 *   sim_world.c   clock, randomness, events, network
 *   sim_journal.c the journal of both servers
 *   sim_server.c  a server: carries out the engine's effects, and dies or is stopped between two of them
 *   sim_edge.c    an edge: carries out the agent's effects
 *   sim_check.c   what must hold at every step
 *   sim_site.c    the site, what operators do, faults
 *   sim_main.c    seeds and options
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "agent/agent.h"
#include "server/interlocking/engine.h"

#define EDGES 4
#define SERVERS 2
#define SECOND ((int64_t)G_USEC_PER_SEC)
#define HEAL_US (12 * SECOND) /* no fault begins later, and all end here */
#define END_US (60 * SECOND)  /* by now everything must have come to its end */

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
    bool broken;        /* the next write fails */
};
struct server {
    unsigned index;
    struct engine *engine; /* NULL: dead, or does not lead */
    unsigned life;         /* incarnation; timers of older ones are void */
    uint64_t epoch;
    uint64_t claimed_with; /* generation of the world that its reign began with; 0: not published yet */
    int64_t paused_until_us;
    int crash_in, pause_in;              /* effects until it dies or is stopped; -1: no such fault */
    struct effects rest;                 /* decided, not yet carried out */
    struct resolved *published, *before; /* tables it serves, and those it served before */
    struct waiting_poll polls[EDGES];
};
struct edge_node {
    unsigned index;
    const char *name;
    int edge_class;
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
    struct table disk; /* durable */
    struct table actuator;
    struct stamp newest; /* that ever took effect */
    struct stamp acknowledged;
    uint64_t told_promise;   /* newest that a report carried */
    uint64_t newest_promise; /* newest that the disk took, whatever it has kept of it */
    struct stamp last_good;  /* what was durable when it took that */
    bool excused;            /* unclaimed when the newest reign that acts began to */
};

struct sim {
    uint64_t seed, random, seq, steps;
    int64_t now_us, loss_until_us;
    bool trace, healed;
    unsigned engine_bug, agent_bug, faults, injected;
    bool promise_bug; /* disks answer for promises that they do not keep */
    GPtrArray *heap;  /* struct event * */
    struct shared_journal journal;
    struct server servers[SERVERS];
    uint64_t acted; /* epoch of the newest reign that published more than the world it claimed with; 0: none */
    struct edge_node edges[EDGES];
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
struct now server_now(const struct sim *sim);

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
GPtrArray *site_journal(void);       /* of a server that has applied the body; made once */
void site_schedule(struct sim *sim); /* operators and faults of this seed */

#endif
