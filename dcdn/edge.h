/* edge.h: the edge as an actuator of agent/shell.h: HAProxy (haproxy.h), counters, health, probes.
 *
 * Thread safety: belongs to its loop's thread.
 */
#ifndef DCDN_EDGE_H
#define DCDN_EDGE_H

#include "agent/shell.h"
#include "dcdn/render.h"

struct edge;
/* Says what it has to say to the shell of edge_set_shell, which must be set before anything is applied. */
struct edge *edge_new(struct loop *loop, const struct edge_settings *settings);
void edge_free(struct edge *edge);
SB_AUTO_DEFINE(edge, edge_free)
struct actuator edge_actuator(struct edge *edge);
void edge_set_shell(struct edge *edge, struct shell *shell);

/* Writes the files from the last-good table of the state folder, or for an edge without any table, so that HAProxy can
 * be started before the agent. What is damaged is logged. */
bool edge_render_files(const struct edge_settings *settings, GError **error);

#endif
