/* servers.h: which server of the list to ask for tables. Pure.
 *
 * Reports go to every server each second, and each answer tells the newest stamp that the server has. So a server that
 * is dead, slow or behind is known as such without being waited for, and the newest table is asked for where it is:
 *   behind (its newest is older than what is in force)  < level or unknown < ahead (newer; the newest of all first)
 * and below all of them a server that is silent (did not answer its last report) or shunned (failed a moment ago). Of
 * equals, the first one from a given place of the list on is taken. Nobody is given up: when all are silent or shunned
 * they are asked in turn.
 *
 * Thread safety: pure functions; a struct servers belongs to one thread.
 */
#ifndef AGENT_SERVERS_H
#define AGENT_SERVERS_H

#include "schema/table.h"

#define AGENT_SERVERS_MAX 16

struct servers {
    unsigned n; /* in the list */
    struct {
        struct stamp heard;    /* newest that it said it has; epoch 0: it has not said */
        bool silent;           /* its last report was not answered */
        int64_t shun_until_us; /* failed: others are asked before it until then */
    } row[AGENT_SERVERS_MAX];
};

/* Its report was answered. stamp: what the answer told, epoch 0: nothing. */
void servers_heard(struct servers *servers, unsigned server, struct stamp stamp);
void servers_silent(struct servers *servers, unsigned server);
void servers_shun(struct servers *servers, unsigned server, int64_t until_us);

/* The one to ask, looking from place `from` on; have: newest table that is here, promised: the newest epoch promised.
 * `from` when the list is empty. */
unsigned servers_choose(const struct servers *servers, unsigned from, struct stamp have, uint64_t promised,
                        int64_t now_us);
/* It answers, and says that it has a table newer than `have` that may be taken. */
bool servers_is_ahead(const struct servers *servers, unsigned server, struct stamp have, uint64_t promised,
                      int64_t now_us);

#endif
