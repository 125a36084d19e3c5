/* lab_ready.h: what is not as it should be yet, as a list of sentences; empty means ready.
 *
 * Every check asks the thing itself (BIRD's control socket, a DNS question, HAProxy's socket) and waits for at most a
 * second. ready_wait polls them with a deadline.
 */
#ifndef LAB_READY_H
#define LAB_READY_H

#include "tests/lab/lab.h"

typedef void (*ready_fn)(const struct lab *lab, GPtrArray *missing);

/* What who listens at a unix socket answers to a line until it ends; g_free; NULL: nobody, or nothing. */
char *local_ask(const char *path, const char *line);

void ready_processes(const struct lab *lab, GPtrArray *missing); /* every process ever started runs */
void ready_wire(const struct lab *lab, GPtrArray *missing);
void ready_routing(const struct lab *lab, GPtrArray *missing);   /* sessions are up, and the roads known */
void ready_primaries(const struct lab *lab, GPtrArray *missing); /* primaries answer for their zones */
void ready_dns(const struct lab *lab, GPtrArray *missing);       /* all name servers and every user's resolver answer */
void ready_origins(const struct lab *lab, GPtrArray *missing);   /* origins accept connections */
void ready_server(const struct lab *lab, GPtrArray *missing);    /* the control server answers on its local socket */
void ready_edges(const struct lab *lab, GPtrArray *missing);     /* HAProxy serves users and its socket */
void ready_agents(const struct lab *lab,
                  GPtrArray *missing); /* the last generation is applied everywhere, all entrances are up */

/* Everything that the lab has started; what was stopped by `stop` is not missed. */
void ready_all(const struct lab *lab, GPtrArray *missing);

/* Polls until nothing is missing; SB_ERROR_TIMEOUT names what still is. */
bool ready_wait(const struct lab *lab, ready_fn check, double timeout_s, GError **error);

#endif
