#include "callee_table.h"

#include <jansson.h>
#include <string.h>

#define WEIGHT_MAX 1000000 /* the sum of a row stays far below 2^32 */

struct instance {
    char *address;
    int64_t gone_us; /* since when its key is not there; 0: it is */
};
struct room {
    GHashTable *instances; /* id -> struct instance * */
    int64_t protected_us;  /* until then the vanished count as there; 0: they do not */
};
struct destination {
    char *zone;
    unsigned weight;
    char **rooms;
    GPtrArray *choice; /* addresses, borrowed from instances; by settle */
};
struct callee_table {
    char *what, *caller, *row_key, *prefix;
    char *row;               /* the last good text, or NULL */
    GPtrArray *destinations; /* of it; never NULL */
    GHashTable *rooms;       /* name -> struct room * */
    uint64_t sum;            /* of weights of destinations with a choice */
};

static void instance_free(void *data)
{
    g_free(((struct instance *)data)->address);
    g_free(data);
}

static void room_free(void *data)
{
    g_hash_table_unref(((struct room *)data)->instances);
    g_free(data);
}

static void destination_free(void *data)
{
    struct destination *destination = data;
    g_free(destination->zone);
    g_strfreev(destination->rooms);
    g_ptr_array_unref(destination->choice);
    g_free(destination);
}

struct callee_table *callee_table_new(const struct callee_config *config)
{
    struct callee_table *table = g_new0(struct callee_table, 1);
    table->what = g_strdup(config->what);
    table->caller = g_strdup(config->caller);
    table->row_key = g_strdup_printf("%s/v1/%s/%s", config->prefix, config->what, config->caller);
    table->prefix = g_strconcat(config->instances, "/", NULL);
    table->destinations = g_ptr_array_new_with_free_func(destination_free);
    table->rooms = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, room_free);
    return table;
}

void callee_table_free(struct callee_table *table)
{
    g_free(table->what);
    g_free(table->caller);
    g_free(table->row_key);
    g_free(table->prefix);
    g_free(table->row);
    g_ptr_array_unref(table->destinations);
    g_hash_table_unref(table->rooms);
    g_free(table);
}

const char *callee_table_row_key(const struct callee_table *table)
{
    return table->row_key;
}

const char *callee_table_instances_prefix(const struct callee_table *table)
{
    return table->prefix;
}

/* ---- the row ---- */

/* NULL: it is none. */
static struct destination *destination_parse(const json_t *json)
{
    const char *zone = json_string_value(json_object_get(json, "zone"));
    const json_t *weight = json_object_get(json, "weight"), *rooms = json_object_get(json, "rooms"), *room;
    if (zone == NULL || !json_is_integer(weight) || json_integer_value(weight) < 0 ||
        json_integer_value(weight) > WEIGHT_MAX || !json_is_array(rooms))
        return NULL;
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    size_t i;
    json_array_foreach (rooms, i, room) {
        if (!json_is_string(room))
            return NULL;
        g_strv_builder_add(names, json_string_value(room));
    }
    struct destination *destination = g_new0(struct destination, 1);
    destination->zone = g_strdup(zone);
    destination->weight = (unsigned)json_integer_value(weight);
    destination->rooms = g_strv_builder_end(names);
    destination->choice = g_ptr_array_new();
    return destination;
}

/* Is it about our callee and our zone? what: "service/NAME" or "interface/NAME". */
static bool is_ours(const struct callee_table *table, const json_t *row)
{
    const char *name = strchr(table->what, '/');
    g_autofree char *kind = g_strndup(table->what, name != NULL ? (gsize)(name - table->what) : 0);
    return name != NULL && g_strcmp0(json_string_value(json_object_get(row, kind)), name + 1) == 0 &&
           g_strcmp0(json_string_value(json_object_get(row, "caller")), table->caller) == 0;
}

/* NULL: it is no such row. */
static GPtrArray *row_parse(const struct callee_table *table, const char *text)
{
    json_t *row = json_loads(text, 0, NULL), *list = json_object_get(row, "destinations"), *item;
    bool ok = is_ours(table, row) && json_is_array(list);
    g_autoptr(GPtrArray) destinations = g_ptr_array_new_with_free_func(destination_free);
    size_t i;
    json_array_foreach (list, i, item) {
        struct destination *destination = destination_parse(item);
        ok = ok && destination != NULL;
        if (destination != NULL)
            g_ptr_array_add(destinations, destination);
    }
    json_decref(row);
    return ok ? g_steal_pointer(&destinations) : NULL;
}

static bool hear_row(struct callee_table *table, const char *text, GError **error)
{
    GPtrArray *destinations = text != NULL ? row_parse(table, text) : NULL;
    if (destinations == NULL) {
        g_set_error(error, G_FILE_ERROR, text == NULL ? G_FILE_ERROR_NOENT : G_FILE_ERROR_INVAL,
                    "%s: found %.200s, expected a row of %s for callers in %s; the last good one counts",
                    table->row_key, text != NULL ? text : "nothing", table->what, table->caller);
        return false;
    }
    g_ptr_array_unref(table->destinations);
    table->destinations = destinations;
    g_free(table->row);
    table->row = g_strdup(text);
    return true;
}

/* ---- instances ---- */

static void hear_instance(struct callee_table *table, const char *name, const char *address, int64_t now_us)
{
    const char *id = strchr(name, '/');
    if (id == NULL || id == name || (address != NULL && address[0] == '\0'))
        return;
    g_autofree char *room_name = g_strndup(name, (gsize)(id - name));
    struct room *room = g_hash_table_lookup(table->rooms, room_name);
    if (room == NULL && address == NULL)
        return;
    if (room == NULL) {
        room = g_new0(struct room, 1);
        room->instances = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, instance_free);
        g_hash_table_insert(table->rooms, g_steal_pointer(&room_name), room);
    }
    struct instance *instance = g_hash_table_lookup(room->instances, id + 1);
    if (address == NULL) {
        if (instance != NULL && instance->gone_us == 0)
            instance->gone_us = now_us;
    } else {
        instance = g_new0(struct instance, 1);
        instance->address = g_strdup(address);
        g_hash_table_replace(room->instances, g_strdup(id + 1), instance);
    }
}

bool callee_table_hear(struct callee_table *table, const char *key, const char *value, int64_t now_us, GError **error)
{
    if (strcmp(key, table->row_key) == 0)
        return hear_row(table, value, error);
    if (g_str_has_prefix(key, table->prefix))
        hear_instance(table, key + strlen(table->prefix), value, now_us);
    return true;
}

void callee_table_only(struct callee_table *table, GHashTable *keys, int64_t now_us)
{
    GHashTableIter rooms, instances;
    void *name, *value, *id;
    g_hash_table_iter_init(&rooms, table->rooms);
    while (g_hash_table_iter_next(&rooms, &name, &value)) {
        g_hash_table_iter_init(&instances, ((struct room *)value)->instances);
        while (g_hash_table_iter_next(&instances, &id, &value)) {
            g_autofree char *key = g_strconcat(table->prefix, name, "/", id, NULL);
            struct instance *instance = value;
            if (instance->gone_us == 0 && !g_hash_table_contains(keys, key))
                instance->gone_us = now_us;
        }
    }
}

/* ---- the choice ---- */

/* Gone before that. */
static gboolean gone_before(void *id, void *value, void *time_us)
{
    const struct instance *instance = value;
    (void)id;
    return instance->gone_us != 0 && instance->gone_us <= *(const int64_t *)time_us;
}

static void settle_room(struct room *room, int64_t now_us)
{
    int64_t old_us = now_us - (int64_t)CALLEE_MASS_S * G_USEC_PER_SEC;
    if (room->protected_us != 0 && now_us >= room->protected_us) {
        room->protected_us = 0;
        old_us = now_us;
    }
    if (room->protected_us == 0)
        g_hash_table_foreach_remove(room->instances, gone_before, &old_us);
    unsigned all = g_hash_table_size(room->instances), gone = 0;
    GHashTableIter iter;
    void *value;
    g_hash_table_iter_init(&iter, room->instances);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        gone += ((struct instance *)value)->gone_us != 0;
    if (2 * gone <= all)
        room->protected_us = 0;
    else if (room->protected_us == 0)
        room->protected_us = now_us + (int64_t)CALLEE_PROTECT_S * G_USEC_PER_SEC;
}

static gint by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void choose(struct callee_table *table, struct destination *destination)
{
    g_ptr_array_set_size(destination->choice, 0);
    for (char **name = destination->rooms; *name != NULL; name++) {
        const struct room *room = g_hash_table_lookup(table->rooms, *name);
        GHashTableIter iter;
        void *value;
        if (room == NULL)
            continue;
        g_hash_table_iter_init(&iter, room->instances);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
            const struct instance *instance = value;
            if (instance->gone_us == 0 || room->protected_us != 0)
                g_ptr_array_add(destination->choice, instance->address);
        }
    }
    g_ptr_array_sort(destination->choice, by_text); /* the same on every caller */
    if (destination->choice->len > 0)
        table->sum += destination->weight;
}

void callee_table_settle(struct callee_table *table, int64_t now_us)
{
    GHashTableIter iter;
    void *room;
    for (guint i = 0; i < table->destinations->len; i++) /* addresses are borrowed */
        g_ptr_array_set_size(((struct destination *)table->destinations->pdata[i])->choice, 0);
    g_hash_table_iter_init(&iter, table->rooms);
    while (g_hash_table_iter_next(&iter, NULL, &room))
        settle_room(room, now_us);
    table->sum = 0;
    for (guint i = 0; i < table->destinations->len; i++)
        choose(table, table->destinations->pdata[i]);
}

bool callee_table_known(const struct callee_table *table)
{
    return table->row != NULL;
}

bool callee_table_protected(const struct callee_table *table)
{
    GHashTableIter iter;
    void *room;
    g_hash_table_iter_init(&iter, table->rooms);
    while (g_hash_table_iter_next(&iter, NULL, &room))
        if (((struct room *)room)->protected_us != 0)
            return true;
    return false;
}

const char *callee_table_pick(const struct callee_table *table, uint64_t roll, const char **zone)
{
    uint64_t at = table->sum > 0 ? roll % table->sum : 0;
    for (guint i = 0; table->sum > 0 && i < table->destinations->len; i++) {
        const struct destination *destination = table->destinations->pdata[i];
        if (destination->choice->len == 0)
            continue;
        if (at < destination->weight) {
            *zone = destination->zone;
            return destination->choice->pdata[(roll / table->sum) % destination->choice->len];
        }
        at -= destination->weight;
    }
    return NULL;
}

/* ---- the cache ---- */

char *callee_table_dump(const struct callee_table *table, int64_t wall_us)
{
    json_t *instances = json_object();
    GHashTableIter rooms, iter;
    void *name, *value, *id;
    g_hash_table_iter_init(&rooms, table->rooms);
    while (g_hash_table_iter_next(&rooms, &name, &value)) {
        g_hash_table_iter_init(&iter, ((struct room *)value)->instances);
        while (g_hash_table_iter_next(&iter, &id, &value)) {
            g_autofree char *key = g_strconcat(name, "/", id, NULL);
            json_object_set_new(instances, key, json_string(((struct instance *)value)->address));
        }
    }
    json_t *json =
        json_pack("{s:I, s:s?, s:o}", "at_us", (json_int_t)wall_us, "row", table->row, "instances", instances);
    char *text = json_dumps(json, JSON_INDENT(1) | JSON_SORT_KEYS), *out = g_strdup(text);
    free(text);
    json_decref(json);
    return out;
}

bool callee_table_load(struct callee_table *table, const char *text, int64_t now_us, int64_t *wall_us, GError **error)
{
    json_t *json = json_loads(text, 0, NULL), *address;
    const char *row = json_string_value(json_object_get(json, "row")), *name;
    bool ok = row != NULL && hear_row(table, row, error);
    if (row == NULL)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "found %.80s, expected a cache of whom to call", text);
    if (ok) {
        *wall_us = json_integer_value(json_object_get(json, "at_us"));
        json_object_foreach (json_object_get(json, "instances"), name, address)
            if (json_is_string(address))
                hear_instance(table, name, json_string_value(address), now_us);
    }
    json_decref(json);
    return ok;
}
