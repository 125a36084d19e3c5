/* edgecrew.h: the four edges of the two-rooms site: production agents (agent/shell.h), each with disk and servers of
 * its own, whose actuators write down what they are given instead of forwarding traffic. Their probes say what the
 * tables intend, so that plans find their proof.
 *
 * Thread safety: beginning and end belong to the test's thread; the agents run on one thread of their own, and what
 * they have applied is read under `lock`.
 */
#ifndef TESTS_EDGECREW_H
#define TESTS_EDGECREW_H

#include "schema/table.h"

#include <pthread.h>

#define CREW_EDGES 4
extern const char *const crew_names[CREW_EDGES];

struct applied {
    unsigned edge;
    struct stamp stamp;
    char *cause;               /* key of the write that made the generation, or "" */
    char hash[PART_HASH_SIZE]; /* of all parts: what it does, whoever says it */
};
struct crew_edge;
struct crew {
    struct loop *loop;
    pthread_t thread;
    struct crew_edge *edges[CREW_EDGES];
    pthread_mutex_t lock;
    GPtrArray *applied; /* struct applied *, in the order in which it came into force; under lock */
};
extern bool crew_sees_origins; /* they report all POPs as up; else, as at first, none at all */
/* servers: base URLs, NULL-terminated. tokens: one for each edge. dir: for their disks. */
void crew_begin(struct crew *crew, const char *dir, const char *const *servers, char *const tokens[CREW_EDGES]);
void crew_end(struct crew *crew);

/* Fails the test unless, at each edge, from record `first` on, stamps never went back and no key took effect as more
 * than one generation. Returns the number of records. */
unsigned crew_expect_once(struct crew *crew, unsigned first);
/* Adds to `seen` (a set of strings) the hashes from record `first` on; returns how many were new to it. */
unsigned crew_collect(struct crew *crew, unsigned first, GHashTable *seen);
/* How many edges have a generation in force as their newest. */
unsigned crew_count(struct crew *crew, uint64_t generation);
/* Does the status of an agent (`status`) hold the text? */
bool crew_says(struct crew *crew, const char *text);

#endif
