#include "dcdn/giveup.h"

#include "dcdn/stat.h"

#include <string.h>

struct missing {
    int64_t since_us;
    bool ended;
};
struct giveup {
    GHashTable *rooms; /* room that is gone -> struct missing * */
};

struct giveup *giveup_new(void)
{
    struct giveup *giveup = g_new(struct giveup, 1);
    giveup->rooms = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return giveup;
}

void giveup_free(struct giveup *giveup)
{
    if (giveup == NULL)
        return;
    g_hash_table_unref(giveup->rooms);
    g_free(giveup);
}

/* ---- is it gone ---- */

/* Names of a room's entrances as servers, without fallbacks and escapes; a set, keys borrowed. */
static GHashTable *entrances_of(const struct edge_state *state, const char *room)
{
    GHashTable *names = g_hash_table_new(g_str_hash, g_str_equal);
    g_autofree char *backend = g_strdup_printf(EDGE_BACKEND "multi_%s", room);
    for (guint i = 0; i < state->servers->len; i++) {
        const struct edge_server *server = state->servers->pdata[i];
        if (!server->backup && strcmp(server->backend, backend) == 0)
            g_hash_table_add(names, server->name);
    }
    return names;
}

/* "* " stands before the last result while the next check is under way. */
static bool silent(const struct stat_row *row)
{
    const char *check = row->check != NULL ? row->check : "";
    return g_str_has_prefix(row->status, "DOWN") &&
           strcmp(g_str_has_prefix(check, "* ") ? check + 2 : check, "L4TOUT") == 0;
}

/* All of them are silent, and something else is up. */
static bool gone(GHashTable *entrances, const GPtrArray *health)
{
    guint seen = 0;
    bool elsewhere = false;
    for (guint i = 0; i < health->len; i++) {
        const struct stat_row *row = health->pdata[i];
        if (!g_hash_table_contains(entrances, row->server))
            elsewhere = elsewhere || g_str_has_prefix(row->status, "UP");
        else if (silent(row))
            seen++;
        else
            return false;
    }
    return elsewhere && seen > 0 && seen == g_hash_table_size(entrances);
}

/* ---- what to do about it ---- */

/* Backends that have a backup; a set, keys borrowed. */
static GHashTable *backed(const struct edge_state *state)
{
    GHashTable *backends = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = 0; i < state->servers->len; i++) {
        const struct edge_server *server = state->servers->pdata[i];
        if (server->backup)
            g_hash_table_add(backends, server->backend);
    }
    return backends;
}

/* The same command for each entrance on patient backends with a backup. A backup's own health is that of be_health. */
static void add_commands(GString *out, const struct edge_state *state, GHashTable *entrances, bool end)
{
    g_autoptr(GHashTable) backends = backed(state);
    for (guint i = 0; i < state->servers->len; i++) {
        const struct edge_server *server = state->servers->pdata[i];
        if (!g_str_has_prefix(server->backend, EDGE_BACKEND_PATIENT) ||
            !g_hash_table_contains(backends, server->backend) || !g_hash_table_contains(entrances, server->name) ||
            (server->backup && !end))
            continue;
        g_string_append_printf(out, end ? "%sshutdown sessions server %s/%s" : "%sset server %s/%s health down",
                               out->len > 0 ? "; " : "", server->backend, server->name);
    }
}

/* A reading that says that it is gone. */
static void step_room(struct giveup *giveup, const struct edge_state *state, const char *room, GHashTable *entrances,
                      int64_t now_us, GString *out, GPtrArray *notes)
{
    struct missing *missing = g_hash_table_lookup(giveup->rooms, room);
    if (missing == NULL) {
        missing = g_new(struct missing, 1);
        *missing = (struct missing){.since_us = now_us};
        g_hash_table_insert(giveup->rooms, g_strdup(room), missing);
        add_commands(out, state, entrances, false);
    } else if (!missing->ended && now_us - missing->since_us >= GIVEUP_SETTLED_US) {
        missing->ended = true;
        add_commands(out, state, entrances, true);
        g_ptr_array_add(notes, g_strdup_printf("%s is gone without a word: requests that still waited for it are asked "
                                               "again where another room, or an escape, may answer; else they fail",
                                               room));
    }
}

char *giveup_step(struct giveup *giveup, const struct edge_state *state, const char *health, int64_t now_us,
                  GPtrArray *notes)
{
    GString *out = g_string_new(NULL);
    g_autoptr(GPtrArray) rows = stat_read(health != NULL ? health : "");
    for (guint i = 0; i < state->rooms->len; i++) {
        const char *room = state->rooms->pdata[i];
        g_autoptr(GHashTable) entrances = entrances_of(state, room);
        if (gone(entrances, rows))
            step_room(giveup, state, room, entrances, now_us, out, notes);
        else
            g_hash_table_remove(giveup->rooms, room);
    }
    return g_string_free(out, out->len == 0);
}

int64_t giveup_due_us(const struct giveup *giveup)
{
    int64_t due_us = 0;
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, giveup->rooms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct missing *missing = value;
        int64_t at_us = missing->since_us + GIVEUP_SETTLED_US;
        if (!missing->ended && (due_us == 0 || at_us < due_us))
            due_us = at_us;
    }
    return due_us;
}
