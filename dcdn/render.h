/* render.h: the whole HAProxy configuration of an edge, as text. Pure.
 *
 * Road of a request: host and path (longest prefix) -> policy -> slot of the user -> room wanted -> room used ->
 * backend. Everything that a lever can move is in a map or is a server's state, so the text of the configuration only
 * changes with the inventory; servers that are out are written `disabled`, so that a reload at any time comes up with
 * what is in force.
 * Thread safety: pure functions.
 */
#ifndef DCDN_RENDER_H
#define DCDN_RENDER_H

#include "dcdn/edge_state.h"

struct edge_settings {
    const char *name; /* of the edge; goes into X-SB-Edge */
    const char *cluster;
    const char *state_dir; /* absolute; where maps are */
    const char *listen;    /* "0.0.0.0:80" */
    const char *haproxy_socket;
    const char *master_socket;      /* or NULL: an inventory change waits for someone's reload */
    int64_t hold_us, hold_stage_us; /* hold.h */
    int relay_allowance;            /* requests a second that a public edge relays to dedicated ones; at least 1 */
};
#define EDGE_RELAY_ALLOWANCE 1000 /* default */
#define EDGE_RELAY_ALLOWANCE_MAX 1000000
/* SB_ERROR_INVALID when a setting could not stand in a configuration file. */
bool edge_settings_check(const struct edge_settings *settings, GError **error);

/* What a running HAProxy says in `show info` when it was started with this configuration, servers' state aside. */
char *edge_config_mark(const struct edge_state *state, const struct edge_settings *settings);   /* g_free */
char *edge_config_render(const struct edge_state *state, const struct edge_settings *settings); /* g_free */

#endif
