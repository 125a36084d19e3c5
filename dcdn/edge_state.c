#include "dcdn/edge_state.h"

#include "core/error.h"
#include "dcdn/hold.h"
#include "schema/object.h"

#include <string.h>

static const struct {
    const char *name;
    int part; /* whose bytes it is; -1: made here */
} map_classes[EDGE_MAPS] = {
    [MAP_SPLITS] = {"splits", PART_SPLITS},       [MAP_ROOMS] = {"rooms", PART_ROOMS},
    [MAP_POLICIES] = {"policies", PART_POLICIES}, [MAP_META] = {"meta", -1},
    [MAP_ROUTES] = {"routes", PART_ROUTES},       [MAP_HOLDS] = {"holds", -1},
};

struct origin {
    char *room, *via;      /* of a relay: "relay" and the edge */
    bool fallback, escape; /* an escape is a fallback, for what lives in the room alone */
    struct endpoint address;
};

/* While a state is being made. */
struct builder {
    struct edge_state *state;
    GHashTable *rows;   /* of the map being read */
    GPtrArray *origins; /* struct origin * */
    GPtrArray *relays;  /* struct origin * */
    GHashTable *out;    /* set of "multi/room-a/pop-a1" */
    const char *part;
    GError *error; /* the first one */
};

const char *edge_map_name(enum edge_map map)
{
    return map_classes[map].name;
}

bool edge_text_safe(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                                "./:_|~-[]")] == '\0';
}

static void origin_free(void *data)
{
    struct origin *origin = data;
    g_free(origin->room);
    g_free(origin->via);
    g_free(origin);
}

static void answer_free(void *data)
{
    struct edge_answer *answer = data;
    g_free(answer->service);
    g_free(answer->body);
    g_free(answer);
}

static void server_free(void *data)
{
    struct edge_server *server = data;
    g_free(server->backend);
    g_free(server->name);
    g_free(server);
}

/* ---- rows of parts ---- */

static bool row_ok(struct builder *b, const char *key, const char *value)
{
    if (b->error != NULL)
        return false;
    bool key_ok = edge_text_safe(key);
    if (key_ok && edge_text_safe(value))
        return true;
    g_autofree char *shown = g_strescape(key_ok ? value : key, NULL);
    g_set_error(&b->error, SB_ERROR, SB_ERROR_INVALID,
                "part %s: '%s' has a character that HAProxy would not take as text, expected [A-Za-z0-9./:_|~-]",
                b->part, shown);
    return false;
}

static void take_map_row(void *data, const char *key, const char *value)
{
    struct builder *b = data;
    if (row_ok(b, key, value))
        g_hash_table_replace(b->rows, g_strdup(key), g_strdup(value));
}

static void take_origin_row(void *data, const char *key, const char *value)
{
    struct builder *b = data;
    if (row_ok(b, key, value) && strcmp(value, "out") == 0)
        g_hash_table_add(b->out, g_strdup(key));
}

static void bad_layout(struct builder *b, const char *key, const char *value)
{
    g_set_error(&b->error, SB_ERROR, SB_ERROR_INVALID,
                "part layout: '%s %s', expected class, origin/ROOM/ENTRANCE, fallback/ROOM/ENTRANCE, "
                "escape/ROOM/ENTRANCE, relay/EDGE or "
                "answer/SERVICE with its value",
                key, value);
}

/* part_validate has looked at it. */
static void take_answer(struct builder *b, const char *service, const char *value)
{
    char body[ANSWER_BODY_MAX + 1];
    if (!hex_decode(value + strlen("503|"), body, sizeof body) || !answer_body_valid(body)) {
        bad_layout(b, service, value);
        return;
    }
    struct edge_answer *answer = g_new(struct edge_answer, 1);
    *answer = (struct edge_answer){g_strdup(service), value[0] == '2' ? 200 : 503, g_strdup(body)};
    g_ptr_array_add(b->state->answers, answer);
}

static void take_layout_row(void *data, const char *key, const char *value)
{
    struct builder *b = data;
    if (!row_ok(b, key, value))
        return;
    g_auto(GStrv) words = g_strsplit(key, "/", 4);
    unsigned n = g_strv_length(words);
    struct endpoint address;
    if (n == 1 && strcmp(words[0], "class") == 0 && strcmp(value, "gateway") != 0) {
        b->state->dedicated = strcmp(value, "dedicated") == 0;
        return;
    }
    if (n == 2 && strcmp(words[0], "answer") == 0) {
        take_answer(b, words[1], value);
        return;
    }
    bool escape = strcmp(words[0], "escape") == 0, fallback = escape || strcmp(words[0], "fallback") == 0;
    bool origin = n == 3 && (fallback || strcmp(words[0], "origin") == 0) && words[1][0] != '\0' && words[2][0] != '\0';
    bool relay = n == 2 && strcmp(words[0], "relay") == 0 && words[1][0] != '\0';
    if (!(origin || relay) || strchr(key, '.') != NULL || !endpoint_parse(value, &address)) {
        bad_layout(b, key, value); /* a dot would end the room in a server's name */
        return;
    }
    struct origin *o = g_new(struct origin, 1);
    *o = (struct origin){g_strdup(origin ? words[1] : "relay"), g_strdup(origin ? words[2] : words[1]), fallback,
                         escape, address};
    g_ptr_array_add(origin ? b->origins : b->relays, o);
}

static void read_part(struct builder *b, enum part part, GBytes *bytes, part_fn fn)
{
    gsize size;
    const char *text = g_bytes_get_data(bytes, &size);
    b->part = part_name(part);
    if (b->error == NULL && part_validate(part, text != NULL ? text : "", size, &b->error))
        part_foreach(text != NULL ? text : "", size, fn, b);
}

/* ---- servers ---- */

static void add_server(struct builder *b, const char *backend, const struct origin *o, const char *class, bool backup)
{
    bool relay = strcmp(o->room, "relay") == 0;
    g_autofree char *row =
        relay ? g_strdup_printf("relay/%s/relay", o->via) : g_strdup_printf("%s/%s/%s", class, o->room, o->via);
    struct edge_server *server = g_new0(struct edge_server, 1);
    server->backend = g_strdup(backend);
    server->name = relay ? g_strdup(o->via) : g_strdup_printf("%s.%s", o->room, o->via);
    server->address = o->address;
    server->backup = backup;
    server->out = class != NULL && g_hash_table_contains(b->out, row);
    g_ptr_array_add(b->state->servers, server);
}

/* Entrances of a room (NULL: of every room), or of all the others; their fallbacks behind them, as backups. Who may be
 * served in another room has no escape. */
static void add_servers(struct builder *b, const char *backend, const char *class, const char *room, bool others,
                        bool backup)
{
    for (unsigned fallback = 0; fallback <= 1; fallback++)
        for (guint i = 0; i < b->origins->len; i++) {
            const struct origin *o = b->origins->pdata[i];
            bool here = room == NULL || strcmp(o->room, room) == 0;
            if (o->escape && class != NULL && strcmp(class, "single") != 0)
                continue;
            if (here != others && o->fallback == (fallback == 1))
                add_server(b, backend, o, class, backup || (fallback == 1 && room != NULL));
        }
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_rooms(struct builder *b)
{
    for (guint i = 0; i < b->origins->len; i++) {
        const struct origin *o = b->origins->pdata[i];
        if (!g_ptr_array_find_with_equal_func(b->state->rooms, o->room, g_str_equal, NULL))
            g_ptr_array_add(b->state->rooms, g_strdup(o->room));
    }
    g_ptr_array_sort(b->state->rooms, compare_text);
}

static void list_ways(struct builder *b, const char *prefix, const char *room)
{
    g_autofree char *multi = g_strdup_printf("%smulti_%s", prefix, room);
    g_autofree char *dr = g_strdup_printf("%smulti-dr_%s", prefix, room);
    g_autofree char *away = g_strdup_printf("%smulti-away_%s", prefix, room);
    g_autofree char *single = g_strdup_printf("%ssingle_%s", prefix, room);
    add_servers(b, multi, "multi", room, false, false);
    add_servers(b, dr, "multi", room, false, false);
    add_servers(b, dr, "multi", room, true, true);
    add_servers(b, away, "multi", room, true, false);
    add_servers(b, away, "multi", room, false, true);
    add_servers(b, single, "single", room, false, false);
}

static void list_servers(struct builder *b)
{
    add_servers(b, "be_health", NULL, NULL, false, false);
    for (guint i = 0; i < b->state->rooms->len; i++) {
        const char *room = b->state->rooms->pdata[i];
        list_ways(b, EDGE_BACKEND, room);
        list_ways(b, EDGE_BACKEND_PATIENT, room);
    }
    for (guint i = 0; i < b->relays->len; i++)
        add_server(b, EDGE_BACKEND "relay", b->relays->pdata[i], "relay", false);
    for (guint i = 0; i < b->relays->len; i++)
        add_server(b, EDGE_BACKEND_PATIENT "relay", b->relays->pdata[i], "relay", false);
}

/* ---- the whole ---- */

static void set_meta(struct edge_state *state, const char *cluster)
{
    g_autofree char *text =
        g_strdup_printf("cluster %s\nepoch %" G_GUINT64_FORMAT "\ngeneration %" G_GUINT64_FORMAT "\n", cluster,
                        state->stamp.epoch, state->stamp.generation);
    GHashTable *rows = state->maps[MAP_META];
    g_hash_table_insert(rows, g_strdup("cluster"), g_strdup(cluster));
    g_hash_table_insert(rows, g_strdup("epoch"), g_strdup_printf("%" G_GUINT64_FORMAT, state->stamp.epoch));
    g_hash_table_insert(rows, g_strdup("generation"), g_strdup_printf("%" G_GUINT64_FORMAT, state->stamp.generation));
    state->text[MAP_META] = g_bytes_new(text, strlen(text));
}

static void set_holds_text(struct edge_state *state)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < state->rooms->len; i++) {
        const char *room = state->rooms->pdata[i], *note = g_hash_table_lookup(state->hold_notes, room);
        if (note != NULL)
            g_string_append_printf(text, "%s\n", note);
        g_string_append_printf(text, "%s %s\n", room, (char *)g_hash_table_lookup(state->maps[MAP_HOLDS], room));
    }
    g_clear_pointer(&state->text[MAP_HOLDS], g_bytes_unref);
    state->text[MAP_HOLDS] = g_string_free_to_bytes(text);
}

static void set_holds(struct edge_state *state)
{
    for (guint i = 0; i < state->rooms->len; i++)
        g_hash_table_replace(state->maps[MAP_HOLDS], g_strdup(state->rooms->pdata[i]),
                             g_strdup_printf("%u", HOLD_SLOTS));
    set_holds_text(state);
}

void edge_state_set_home(struct edge_state *state, const char *room, unsigned home, const char *note)
{
    g_assert(g_hash_table_contains(state->maps[MAP_HOLDS], room));
    g_hash_table_replace(state->maps[MAP_HOLDS], g_strdup(room), g_strdup_printf("%u", home));
    g_hash_table_remove(state->hold_notes, room);
    if (note != NULL)
        g_hash_table_insert(state->hold_notes, g_strdup(room), g_strdup(note));
    set_holds_text(state);
}

static struct edge_state *state_new(void)
{
    struct edge_state *state = g_new0(struct edge_state, 1);
    state->rooms = g_ptr_array_new_with_free_func(g_free);
    state->answers = g_ptr_array_new_with_free_func(answer_free);
    state->servers = g_ptr_array_new_with_free_func(server_free);
    state->hold_notes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (unsigned i = 0; i < EDGE_MAPS; i++)
        state->maps[i] = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return state;
}

struct edge_state *edge_state_empty(void)
{
    struct edge_state *state = state_new();
    for (unsigned i = 0; i < EDGE_MAPS; i++)
        if (i != MAP_META)
            state->text[i] = g_bytes_new_static("", 0);
    set_meta(state, "none");
    return state;
}

struct edge_state *edge_state_new(const struct manifest *manifest, GBytes *const parts[static PARTS], GError **error)
{
    struct builder b = {.state = state_new(),
                        .origins = g_ptr_array_new_with_free_func(origin_free),
                        .relays = g_ptr_array_new_with_free_func(origin_free),
                        .out = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL)};
    b.state->stamp = manifest->stamp;
    read_part(&b, PART_LAYOUT, parts[PART_LAYOUT], take_layout_row);
    read_part(&b, PART_ORIGINS, parts[PART_ORIGINS], take_origin_row);
    for (unsigned i = 0; i < EDGE_MAPS; i++) {
        if (map_classes[i].part < 0)
            continue;
        b.rows = b.state->maps[i];
        read_part(&b, (enum part)map_classes[i].part, parts[map_classes[i].part], take_map_row);
        b.state->text[i] = g_bytes_ref(parts[map_classes[i].part]);
    }
    set_meta(b.state, manifest->cluster);
    list_rooms(&b);
    list_servers(&b);
    set_holds(b.state);
    g_ptr_array_unref(b.origins);
    g_ptr_array_unref(b.relays);
    g_hash_table_unref(b.out);
    if (b.error == NULL)
        return b.state;
    g_propagate_error(error, b.error);
    edge_state_free(b.state);
    return NULL;
}

void edge_state_free(struct edge_state *state)
{
    if (state == NULL)
        return;
    g_ptr_array_unref(state->rooms);
    g_ptr_array_unref(state->answers);
    g_ptr_array_unref(state->servers);
    g_hash_table_unref(state->hold_notes);
    for (unsigned i = 0; i < EDGE_MAPS; i++) {
        g_hash_table_unref(state->maps[i]);
        g_clear_pointer(&state->text[i], g_bytes_unref);
    }
    g_free(state);
}
