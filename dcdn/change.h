/* change.h: what to say to a running HAProxy so that it has what it is to have: actual and desired state -> commands.
 *
 * Add before use, remove after: servers that come in, new rows (ranges, rooms, policies, then routes), changed rows
 * (rooms, policies, routes), servers that go out, rows that are gone (routes first). So every state between two
 * commands is a legal road. A few changed rows are a `set map` each, because a request reads one row of each map; many,
 * or ranges of one split, or strange ones that somebody else has added, are a transaction (prepare, add, commit), which
 * readers see whole or not at all.
 *
 * Thread safety: pure functions.
 */
#ifndef DCDN_CHANGE_H
#define DCDN_CHANGE_H

#include "dcdn/edge_state.h"

/* What a running HAProxy has, as it was read. */
struct edge_actual {
    int64_t pid, uptime_s;
    char *mark;                  /* description in `show info`; "" if none */
    GHashTable *maps[EDGE_MAPS]; /* NULL: not read */
    GHashTable *servers;         /* "backend/name" -> struct actual_server *; NULL: not read */
};
struct actual_server {
    char *address; /* "192.0.2.1:80" */
    bool out;
};
/* From the replies to `show info`, `show map`, `show servers state`. actual_clear frees what is inside. */
bool actual_read_info(struct edge_actual *actual, const char *reply, GError **error);
bool actual_read_map(struct edge_actual *actual, enum edge_map map, const char *reply, GError **error);
bool actual_read_servers(struct edge_actual *actual, const char *reply, GError **error);
void actual_clear(struct edge_actual *actual);

struct command {
    char *text;        /* a line for HAProxy's socket, several commands with `;` between; NULL: a transaction */
    enum edge_map map; /* of the transaction */
    GString *rows;     /* its rows, "key value\n" */
};
void command_free(void *command);
/* GPtrArray of struct command *, which frees them; empty: nothing to do. Maps that were not read are left alone.
 * Servers that only one side has are not spoken of: that takes a reload. */
GPtrArray *edge_change(const struct edge_actual *actual, const struct edge_state *desired, const char *state_dir);
/* First difference in words, or NULL: equal; g_free. Servers that are missing or have another address count. */
char *edge_difference(const struct edge_actual *actual, const struct edge_state *desired);

#endif
