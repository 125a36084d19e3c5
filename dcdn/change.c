#include "dcdn/change.h"

#include "core/error.h"
#include "schema/object.h"
#include "schema/pin.h"

#include <stdlib.h>
#include <string.h>

#define LINE_SIZE_MAX 8000  /* bytes of a command line; HAProxy's buffer has 16384 */
#define SINGLE_ROWS_MAX 100 /* more new or old rows of a map at once are a transaction as well */

/* ---- reading ---- */

static void server_free(void *data)
{
    struct actual_server *server = data;
    g_free(server->address);
    g_free(server);
}

void actual_clear(struct edge_actual *actual)
{
    g_free(actual->mark);
    for (unsigned i = 0; i < EDGE_MAPS; i++)
        g_clear_pointer(&actual->maps[i], g_hash_table_unref);
    g_clear_pointer(&actual->servers, g_hash_table_unref);
    *actual = (struct edge_actual){0};
}

/* Value of "Name: value" in `reply`, or NULL; g_free. */
static char *info_value(const char *reply, const char *name)
{
    g_autofree char *begin = g_strdup_printf("\n%s: ", name);
    const char *at = strstr(reply, begin);
    if (at == NULL)
        return NULL;
    at += strlen(begin);
    return g_strndup(at, strcspn(at, "\n"));
}

bool actual_read_info(struct edge_actual *actual, const char *reply, GError **error)
{
    g_autofree char *pid = info_value(reply, "Pid");
    g_autofree char *uptime = info_value(reply, "Uptime_sec");
    if (pid == NULL || uptime == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "show info: no Pid or Uptime_sec in %zu bytes", strlen(reply));
        return false;
    }
    actual->pid = g_ascii_strtoll(pid, NULL, 10);
    actual->uptime_s = g_ascii_strtoll(uptime, NULL, 10);
    g_free(actual->mark);
    actual->mark = info_value(reply, "description");
    if (actual->mark == NULL)
        actual->mark = g_strdup("");
    return true;
}

/* Lines are "0x55d0c0ffee00 key value". */
bool actual_read_map(struct edge_actual *actual, enum edge_map map, const char *reply, GError **error)
{
    GHashTable *rows = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (const char *line = reply, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        const char *key = memchr(line, ' ', (size_t)(end - line));
        const char *value = key != NULL ? memchr(key + 1, ' ', (size_t)(end - key - 1)) : NULL;
        if (line == end)
            continue;
        if (value == NULL || strncmp(line, "0x", 2) != 0) {
            g_autofree char *text = g_strndup(line, (gsize)(end - line)), *found = text_quote(text);
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "show map %s: found %s, expected ADDRESS KEY VALUE",
                        edge_map_name(map), found);
            g_hash_table_unref(rows);
            return false;
        }
        g_hash_table_insert(rows, g_strndup(key + 1, (gsize)(value - key - 1)),
                            g_strndup(value + 1, (gsize)(end - value - 1)));
    }
    if (actual->maps[map] != NULL)
        g_hash_table_unref(actual->maps[map]);
    actual->maps[map] = rows;
    return true;
}

/* Columns of `show servers state`, version 1: be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state ...
 * srv_port is the 19th. Bit 0 of the admin state is maintenance by command or configuration. */
bool actual_read_servers(struct edge_actual *actual, const char *reply, GError **error)
{
    enum { BE_NAME = 1, SRV_NAME = 3, SRV_ADDR = 4, SRV_ADMIN = 6, SRV_PORT = 18, COLUMNS = 19 };
    g_auto(GStrv) lines = g_strsplit(reply, "\n", -1);
    if (g_strcmp0(lines[0], "1") != 0) {
        g_autofree char *found = text_quote(lines[0]);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "show servers state: found format %s, expected 1", found);
        return false;
    }
    g_clear_pointer(&actual->servers, g_hash_table_unref);
    actual->servers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, server_free);
    for (char **line = lines + 1; *line != NULL; line++) {
        g_auto(GStrv) word = g_strsplit(*line, " ", -1);
        if ((*line)[0] == '#' || g_strv_length(word) < COLUMNS)
            continue;
        struct actual_server *server = g_new(struct actual_server, 1);
        bool v6 = strchr(word[SRV_ADDR], ':') != NULL;
        server->address = g_strdup_printf(v6 ? "[%s]:%s" : "%s:%s", word[SRV_ADDR], word[SRV_PORT]);
        server->out = (strtoul(word[SRV_ADMIN], NULL, 10) & 1) != 0;
        g_hash_table_insert(actual->servers, g_strconcat(word[BE_NAME], "/", word[SRV_NAME], NULL), server);
    }
    return true;
}

/* ---- commands ---- */

void command_free(void *data)
{
    struct command *command = data;
    g_free(command->text);
    if (command->rows != NULL)
        g_string_free(command->rows, TRUE);
    g_free(command);
}

static void add_line(GPtrArray *commands, GString **line)
{
    if (*line == NULL)
        return;
    struct command *command = g_new0(struct command, 1);
    command->text = g_string_free(*line, FALSE);
    g_ptr_array_add(commands, command);
    *line = NULL;
}

/* Appends to the line under way, or begins the next one. */
__attribute__((format(printf, 3, 4))) static void say(GPtrArray *commands, GString **line, const char *format, ...)
{
    if (*line != NULL && (*line)->len > LINE_SIZE_MAX)
        add_line(commands, line);
    if (*line == NULL)
        *line = g_string_new(NULL);
    else
        g_string_append(*line, "; ");
    va_list ap;
    va_start(ap, format);
    g_string_append_vprintf(*line, format, ap);
    va_end(ap);
}

static void add_transaction(GPtrArray *commands, enum edge_map map, GHashTable *rows)
{
    struct command *command = g_new0(struct command, 1);
    command->map = map;
    command->rows = g_string_new(NULL);
    GHashTableIter iter;
    void *key, *value;
    g_hash_table_iter_init(&iter, rows);
    while (g_hash_table_iter_next(&iter, &key, &value))
        g_string_append_printf(command->rows, "%s %s\n", (char *)key, (char *)value);
    g_ptr_array_add(commands, command);
}

/* How one map gets from what it is to what it is to be, in three stages. Borrows all strings. */
struct map_change {
    enum edge_map map;
    GHashTable *now;            /* rows after the last stage: at first the actual ones, but for what is strange */
    GPtrArray *add, *set, *del; /* keys */
    GHashTable *desired;
};

static void map_change_init(struct map_change *change, enum edge_map map, GHashTable *actual, GHashTable *desired)
{
    *change = (struct map_change){
        map,    g_hash_table_new(g_str_hash, g_str_equal), g_ptr_array_new(), g_ptr_array_new(), g_ptr_array_new(),
        desired};
    GHashTableIter iter;
    void *key, *value;
    g_hash_table_iter_init(&iter, desired);
    while (actual != NULL && g_hash_table_iter_next(&iter, &key, &value)) {
        const char *have = g_hash_table_lookup(actual, key);
        if (g_strcmp0(have, value) != 0)
            g_ptr_array_add(have == NULL ? change->add : change->set, key);
    }
    if (actual == NULL)
        return;
    g_hash_table_iter_init(&iter, actual);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const char *wanted = g_hash_table_lookup(desired, key);
        if (edge_text_safe(key) && edge_text_safe(value))
            g_hash_table_insert(change->now, key, value);
        else if (wanted != NULL)
            g_hash_table_insert(change->now, key, (void *)wanted);
        if (wanted == NULL)
            g_ptr_array_add(change->del, key);
    }
}

static void map_change_clear(struct map_change *change)
{
    g_hash_table_unref(change->now);
    g_ptr_array_unref(change->add);
    g_ptr_array_unref(change->set);
    g_ptr_array_unref(change->del);
}

/* Rows that somebody else has written may hold what would make other commands of ours. */
static bool keys_safe(const GPtrArray *keys)
{
    bool safe = true;
    for (guint i = 0; i < keys->len; i++)
        safe = safe && edge_text_safe(keys->pdata[i]);
    return safe;
}

/* One stage. verb: "add", "set" or "del". Up to `singles` rows are a command each, if no key is strange. */
static void map_stage(struct map_change *change, GPtrArray *keys, const char *verb, guint singles, GPtrArray *commands,
                      GString **line, const char *dir)
{
    bool del = strcmp(verb, "del") == 0;
    bool whole = keys->len > singles || !keys_safe(keys);
    for (guint i = 0; i < keys->len; i++) {
        const char *key = keys->pdata[i], *value = g_hash_table_lookup(change->desired, key);
        if (del)
            g_hash_table_remove(change->now, key);
        else
            g_hash_table_insert(change->now, (void *)key, (void *)value);
        if (!whole)
            say(commands, line, "%s map %s/%s.map %s%s%s", verb, dir, edge_map_name(change->map), key, del ? "" : " ",
                del ? "" : value);
    }
    if (whole) {
        add_line(commands, line);
        add_transaction(commands, change->map, change->now);
    }
}

static void server_stage(const struct edge_actual *actual, const struct edge_state *desired, bool out,
                         GPtrArray *commands, GString **line)
{
    for (guint i = 0; actual->servers != NULL && i < desired->servers->len; i++) {
        const struct edge_server *server = desired->servers->pdata[i];
        g_autofree char *name = g_strconcat(server->backend, "/", server->name, NULL);
        const struct actual_server *have = g_hash_table_lookup(actual->servers, name);
        if (have != NULL && server->out == out && have->out != out)
            say(commands, line, "set server %s state %s", name, out ? "maint" : "ready");
    }
}

GPtrArray *edge_change(const struct edge_actual *actual, const struct edge_state *desired, const char *state_dir)
{
    static const enum edge_map up[] = {MAP_HOLDS, MAP_SPLITS, MAP_ROOMS, MAP_POLICIES, MAP_ROUTES};
    GPtrArray *commands = g_ptr_array_new_with_free_func(command_free);
    GString *line = NULL;
    struct map_change change[EDGE_MAPS];
    for (unsigned i = 0; i < EDGE_MAPS; i++)
        map_change_init(&change[i], i, actual->maps[i], desired->maps[i]);

    server_stage(actual, desired, false, commands, &line);
    for (unsigned i = 0; i < G_N_ELEMENTS(up); i++)
        map_stage(&change[up[i]], change[up[i]].add, "add", SINGLE_ROWS_MAX, commands, &line, state_dir);
    for (unsigned i = 0; i < G_N_ELEMENTS(up); i++) /* ranges of a split hang together */
        map_stage(&change[up[i]], change[up[i]].set, "set", up[i] == MAP_SPLITS ? 1 : SINGLE_ROWS_MAX, commands, &line,
                  state_dir);
    server_stage(actual, desired, true, commands, &line);
    for (unsigned i = G_N_ELEMENTS(up); i-- > 0;)
        map_stage(&change[up[i]], change[up[i]].del, "del", SINGLE_ROWS_MAX, commands, &line, state_dir);
    struct map_change *meta = &change[MAP_META]; /* last: it says of which generation the others are */
    map_stage(meta, meta->add, "add", SINGLE_ROWS_MAX, commands, &line, state_dir);
    map_stage(meta, meta->set, "set", SINGLE_ROWS_MAX, commands, &line, state_dir);
    map_stage(meta, meta->del, "del", SINGLE_ROWS_MAX, commands, &line, state_dir);
    add_line(commands, &line);

    for (unsigned i = 0; i < EDGE_MAPS; i++)
        map_change_clear(&change[i]);
    return commands;
}

/* ---- comparing ---- */

/* What HAProxy holds, as it may stand in a message; g_free. */
static char *shown(const char *text)
{
    return text[0] == '\0' || edge_text_safe(text) ? g_strdup_printf("'%s'", text) : text_quote(text);
}

/* Of keys for pins neither what is there nor what should be. */
static char *row_difference(enum edge_map map, const char *key, const char *have, const char *expected)
{
    g_autofree char *name = shown(key), *found = shown(have != NULL ? have : "");
    if (g_str_has_prefix(key, PIN_ROW))
        return g_strdup_printf("map %s: %s is not as expected", edge_map_name(map), name);
    return g_strdup_printf("map %s: %s is %s, expected %s", edge_map_name(map), name, found, expected);
}

static char *map_difference(const struct edge_actual *actual, const struct edge_state *desired, enum edge_map map)
{
    GHashTableIter iter;
    void *key, *value;
    g_hash_table_iter_init(&iter, desired->maps[map]);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const char *have = g_hash_table_lookup(actual->maps[map], key);
        g_autofree char *expected = g_strcmp0(have, value) != 0 ? shown(value) : NULL;
        if (expected != NULL)
            return row_difference(map, key, have, expected);
    }
    g_hash_table_iter_init(&iter, actual->maps[map]);
    while (g_hash_table_iter_next(&iter, &key, &value))
        if (!g_hash_table_contains(desired->maps[map], key))
            return row_difference(map, key, value, "no such row");
    return NULL;
}

static char *server_difference(const struct edge_actual *actual, const struct edge_server *server)
{
    g_autofree char *name = g_strconcat(server->backend, "/", server->name, NULL);
    char address[ENDPOINT_TEXT_SIZE];
    endpoint_format(&server->address, address);
    const struct actual_server *have = g_hash_table_lookup(actual->servers, name);
    if (have == NULL)
        return g_strdup_printf("server %s is missing", name);
    g_autofree char *strange = edge_text_safe(have->address) ? NULL : text_quote(have->address);
    if (strcmp(have->address, address) != 0)
        return g_strdup_printf("server %s has address %s, expected %s", name, strange != NULL ? strange : have->address,
                               address);
    if (have->out != server->out)
        return g_strdup_printf("server %s is %s, expected %s", name, have->out ? "out" : "in",
                               server->out ? "out" : "in");
    return NULL;
}

char *edge_difference(const struct edge_actual *actual, const struct edge_state *desired)
{
    char *found = NULL;
    for (unsigned i = 0; i < EDGE_MAPS && found == NULL; i++)
        if (actual->maps[i] != NULL)
            found = map_difference(actual, desired, i);
    for (guint i = 0; actual->servers != NULL && found == NULL && i < desired->servers->len; i++)
        found = server_difference(actual, desired->servers->pdata[i]);
    return found;
}
