#include "agent/override.h"

#include <string.h>

#define MULTI "multi/"

struct closing {
    const char *const *closed;
    char *open; /* the first room that stays open, or NULL */
    GString *rooms;
    GTree *origins; /* rows: "class/room/entrance" -> "in" or "out" */
};

static void for_each(GBytes *part, part_fn fn, void *data)
{
    gsize size = 0;
    const char *text = g_bytes_get_data(part, &size);
    part_foreach(text != NULL ? text : "", size, fn, data);
}

/* "origin/ROOM/ENTRANCE" or "fallback/..." of the layout in its three words; NULL: another row. */
static char **origin_words(const char *key)
{
    char **words = g_strsplit(key, "/", 3);
    if (g_strv_length(words) == 3 && (strcmp(words[0], "origin") == 0 || strcmp(words[0], "fallback") == 0))
        return words;
    g_strfreev(words);
    return NULL;
}

struct search {
    const char *room;
    bool found;
};

static void find_room(void *data, const char *key, const char *value)
{
    struct search *search = data;
    (void)value;
    g_auto(GStrv) words = origin_words(key);
    search->found = search->found || (words != NULL && strcmp(words[1], search->room) == 0);
}

bool override_knows(GBytes *const parts[static PARTS], const char *room)
{
    struct search search = {room, false};
    for_each(parts[PART_LAYOUT], find_room, &search);
    return search.found;
}

static void find_open(void *data, const char *key, const char *value)
{
    struct closing *closing = data;
    bool own = g_str_has_prefix(key, MULTI) && strcmp(key + strlen(MULTI), value) == 0;
    if (own && closing->open == NULL && !g_strv_contains(closing->closed, value))
        closing->open = g_strdup(value);
}

static void close_room(void *data, const char *key, const char *value)
{
    struct closing *closing = data;
    bool closed = g_strv_contains(closing->closed, value);
    const char *now = !closed ? value : g_str_has_prefix(key, MULTI) ? closing->open : "-";
    g_string_append_printf(closing->rooms, "%s %s\n", key, now);
}

static void copy_origin(void *data, const char *key, const char *value)
{
    const struct closing *closing = data;
    g_tree_replace(closing->origins, g_strdup(key), g_strdup(value));
}

static void close_origin(void *data, const char *key, const char *value)
{
    const struct closing *closing = data;
    (void)value;
    g_auto(GStrv) words = origin_words(key);
    if (words == NULL || !g_strv_contains(closing->closed, words[1]))
        return;
    g_tree_replace(closing->origins, g_strconcat(MULTI, words[1], "/", words[2], NULL), g_strdup("out"));
    g_tree_replace(closing->origins, g_strconcat("single/", words[1], "/", words[2], NULL), g_strdup("out"));
}

static gint compare_keys(gconstpointer a, gconstpointer b, gpointer data)
{
    (void)data;
    return strcmp(a, b);
}

static gboolean write_origin(gpointer key, gpointer value, gpointer data)
{
    g_string_append_printf(data, "%s %s\n", (const char *)key, (const char *)value);
    return FALSE;
}

static void put(GBytes **part, GString *text)
{
    g_bytes_unref(*part);
    *part = g_string_free_to_bytes(text);
}

bool override_close(GBytes *const parts[static PARTS], const char *const *rooms, GBytes *out[static PARTS])
{
    struct closing closing = {.closed = rooms};
    for (unsigned i = 0; i < PARTS; i++)
        out[i] = g_bytes_ref(parts[i]);
    if (rooms[0] == NULL)
        return true;
    for_each(parts[PART_ROOMS], find_open, &closing);
    if (closing.open == NULL)
        return false;
    closing.rooms = g_string_new(NULL);
    closing.origins = g_tree_new_full(compare_keys, NULL, g_free, g_free);
    for_each(parts[PART_ROOMS], close_room, &closing);
    for_each(parts[PART_ORIGINS], copy_origin, &closing);
    for_each(parts[PART_LAYOUT], close_origin, &closing);
    GString *origins = g_string_new(NULL);
    g_tree_foreach(closing.origins, write_origin, origins);
    put(&out[PART_ROOMS], closing.rooms);
    put(&out[PART_ORIGINS], origins);
    g_tree_unref(closing.origins);
    g_free(closing.open);
    return true;
}
