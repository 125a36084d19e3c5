#include "dcdn/holder.h"

#include "core/fileio.h"
#include "dcdn/files.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MAX 65536

/* Above the row of a room that is held: when the hold began, by the wall clock, in µs. */
#define SINCE "# since "

struct held {
    struct hold hold;
    int64_t since_us; /* wall clock; of a hold */
};
struct holder {
    struct hold_limits limits;
    GHashTable *rooms; /* room -> struct held * */
};

/* ---- what an earlier run left ---- */

/* since_us: of the line before; the hold begins now where there is none, or one that is yet to come. */
static void restore_row(struct holder *holder, const char *line, int64_t since_us, int64_t now_us, int64_t wall_us)
{
    g_auto(GStrv) words = g_strsplit(line, " ", 2);
    guint64 home;
    if (g_strv_length(words) != 2 || !edge_text_safe(words[0]) ||
        !g_ascii_string_to_unsigned(words[1], 10, 0, HOLD_SLOTS - 1, &home, NULL))
        return;
    struct held *held = g_new(struct held, 1);
    held->since_us = since_us > 0 ? MIN(since_us, wall_us) : wall_us;
    hold_restore(&held->hold, &holder->limits, (unsigned)home, wall_us - held->since_us, now_us);
    g_hash_table_replace(holder->rooms, g_strdup(words[0]), held);
}

static int64_t read_since(const char *line)
{
    guint64 since_us = 0;
    if (g_str_has_prefix(line, SINCE))
        g_ascii_string_to_unsigned(line + strlen(SINCE), 10, 0, INT64_MAX, &since_us, NULL);
    return (int64_t)since_us;
}

struct holder *holder_new(const struct edge_settings *settings, int64_t now_us, int64_t wall_us)
{
    struct holder *holder = g_new(struct holder, 1);
    holder->limits = (struct hold_limits){settings->hold_us, settings->hold_stage_us};
    holder->rooms = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autofree char *path = edge_map_path(settings, MAP_HOLDS);
    g_autofree char *text = file_read(path, FILE_MAX, NULL, NULL);
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        restore_row(holder, *line, line > lines ? read_since(line[-1]) : 0, now_us, wall_us);
    return holder;
}

void holder_free(struct holder *holder)
{
    if (holder == NULL)
        return;
    g_hash_table_unref(holder->rooms);
    g_free(holder);
}

/* ---- into a state ---- */

static struct held *held_of(struct holder *holder, const char *room)
{
    struct held *held = g_hash_table_lookup(holder->rooms, room);
    if (held == NULL) {
        held = g_new0(struct held, 1);
        hold_init(&held->hold);
        g_hash_table_insert(holder->rooms, g_strdup(room), held);
    }
    return held;
}

static void put(struct edge_state *state, const char *room, const struct held *held)
{
    g_autofree char *since = g_strdup_printf(SINCE "%" G_GINT64_FORMAT, held->since_us);
    edge_state_set_home(state, room, held->hold.home, held->hold.home < HOLD_SLOTS ? since : NULL);
}

void holder_adopt(struct holder *holder, struct edge_state *state)
{
    for (guint i = 0; i < state->rooms->len; i++) {
        const char *room = state->rooms->pdata[i];
        put(state, room, held_of(holder, room));
    }
}

/* Does the table send users of several rooms' services there? */
static bool in_use(const struct edge_state *state, const char *room)
{
    GHashTableIter iter;
    void *key, *value;
    g_hash_table_iter_init(&iter, state->maps[MAP_ROOMS]);
    while (g_hash_table_iter_next(&iter, &key, &value))
        if (g_str_has_prefix(key, "multi/") && strcmp(value, room) == 0)
            return true;
    return false;
}

bool holder_settle(struct holder *holder, struct edge_state *state, GPtrArray *notes)
{
    bool any = false;
    GHashTableIter iter;
    void *room, *value;
    g_hash_table_iter_init(&iter, holder->rooms);
    while (g_hash_table_iter_next(&iter, &room, &value)) {
        const struct held *held = value;
        if (in_use(state, room))
            continue;
        if (held->hold.home < HOLD_SLOTS) {
            any = true;
            g_ptr_array_add(
                notes, g_strdup_printf("%s no longer held away: by the table nobody goes there", (const char *)room));
        }
        g_hash_table_iter_remove(&iter);
    }
    holder_adopt(holder, state);
    return any;
}

/* ---- watching ---- */

char *holder_question(const struct edge_state *state)
{
    GString *text = g_string_new("show stat be_health 4 -1");
    for (guint i = 0; i < state->rooms->len; i++)
        g_string_append_printf(text, "; show stat be_multi-dr_%s 4 -1; show stat be_multi-away_%s 4 -1",
                               (const char *)state->rooms->pdata[i], (const char *)state->rooms->pdata[i]);
    return g_string_free(text, FALSE);
}

unsigned holder_replies(const struct edge_state *state)
{
    return 1 + 2 * state->rooms->len;
}

bool holder_step(struct holder *holder, struct edge_state *state, const GPtrArray *replies, int64_t now_us,
                 int64_t wall_us, GPtrArray *notes)
{
    bool any = false;
    for (guint i = 0; i < state->rooms->len; i++) {
        const char *room = state->rooms->pdata[i];
        if (!in_use(state, room))
            continue;
        struct held *held = held_of(holder, room);
        const char *checks = replies != NULL ? replies->pdata[0] : "";
        const char *traffic = replies != NULL ? replies->pdata[1 + 2 * i] : "";
        const char *away = replies != NULL ? replies->pdata[2 + 2 * i] : "";
        enum hold_event event = hold_step(&held->hold, &holder->limits, hold_health_read(traffic, checks, room),
                                          hold_elsewhere_read(away, room), now_us);
        if (event == HOLD_NOTHING)
            continue;
        if (event == HOLD_BEGUN)
            held->since_us = wall_us;
        put(state, room, held);
        g_ptr_array_add(notes, hold_say(&held->hold, &holder->limits, event, room));
        any = true;
    }
    return any;
}

json_t *holder_to_json(const struct holder *holder, int64_t now_us)
{
    json_t *list = json_array();
    GHashTableIter iter;
    void *room, *value;
    g_hash_table_iter_init(&iter, holder->rooms);
    while (g_hash_table_iter_next(&iter, &room, &value)) {
        const struct hold *hold = &((const struct held *)value)->hold;
        if (hold->home < HOLD_SLOTS)
            json_array_append_new(list,
                                  json_pack("{s:s,s:I,s:I}", "room", (const char *)room, "home", (json_int_t)hold->home,
                                            "for_us", (json_int_t)(now_us - hold->began_us)));
    }
    return list;
}
