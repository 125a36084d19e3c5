/* agent_server.h: a control server on a thread of its own, as agent/protocol.h has it, that can lie and be silent.
 *
 * Thread safety: members behind `lock` are read and written while it is held.
 */
#ifndef TESTS_UNIT_AGENT_SERVER_H
#define TESTS_UNIT_AGENT_SERVER_H

#include "tests/unit/edgeparts.h"

#include <pthread.h>

enum lie { NONE, WRONG_BYTES, HALF_JSON, STATUS_500, HALF_BODY, NO_ANSWER, NO_PARTS };
struct server {
    int listener;
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    struct edge_parts table;
    enum lie lie;
    unsigned polls; /* answered since the last change */
    char *reports;  /* since then, a line each; NULL: none */
};

/* Listens on a free port of 127.0.0.1. */
int listen_any(uint16_t *port);
void server_start(struct server *server, uint64_t epoch, uint64_t generation, const struct edge_table_text *text);
void server_stop(struct server *server);
/* From now on; what was counted and reported before is forgotten. */
void server_says(struct server *server, uint64_t epoch, uint64_t generation, const char *cluster,
                 const struct edge_table_text *text, enum lie lie);

#endif
