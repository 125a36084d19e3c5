/* lab_control.h: the parts of the lab that are ours: edges, control server, agents, and what they need.
 *
 * Steps of lab_up; each returns when its condition holds. Names of processes: `signalboxd` on control; `haproxy` and
 * `signalbox-edge` on each edge.
 */
#ifndef LAB_CONTROL_H
#define LAB_CONTROL_H

#include "tests/lab/lab.h"
#include <jansson.h>

/* A CA of the lab and the server's certificate: RUN/ca.pem, server.pem, server.key. */
bool control_certificates(const struct lab *lab, GError **error);
/* HAProxy of each edge, from the files that its agent renders. */
bool control_edges(const struct lab *lab, GError **error);
/* signalboxd, and a token for the agent of each edge and gateway: RUN/tokens/NAME. */
bool control_server(const struct lab *lab, GError **error);
/* The site file, by `signalbox apply`. */
bool control_publish(const struct lab *lab, GError **error);
/* signalbox-edge of each edge; returns when all of them and the name servers have what was published. */
bool control_agents(const struct lab *lab, GError **error);

/* Adds what an agent is told of the control server; strings are g_free's. */
void control_agent_arguments(const struct lab *lab, const char *name, GPtrArray *argv);

/* Asks the control server on its local socket; body may be NULL. The answer's JSON; json_decref. */
json_t *control_call(const struct lab *lab, const char *method, const char *path, const char *body, GError **error);

/* Shell lines that point `signalbox` and tests to this lab. */
void control_env(const struct lab *lab);

#endif
