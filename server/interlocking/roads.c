#include "server/interlocking/roads.h"
#include "schema/split.h"

#include <string.h>

struct road {
    double rate, fail_rate, intended; /* 1/s */
};
/* Whose requests are added up: a class's, or one edge's. */
struct scope {
    const char *edge; /* NULL: a class's */
    int class;
    GHashTable *roads;    /* room -> struct road * */
    GHashTable *policies; /* name -> double *: 1/s, to be spread as the tables say */
};
/* Slots of a service that edges of a class send to a room, found once for all its policies. */
struct spread {
    unsigned n;
    const char *rooms[SPLIT_ROOMS_MAX]; /* borrowed; "": nobody answers */
    double share[SPLIT_ROOMS_MAX];      /* 0..1 */
    struct split split;                 /* owns names that rooms borrow */
};
struct finder {
    const struct world *world;
    GHashTable *spreads[EDGE_CLASSES]; /* service -> struct spread * */
};

static void spread_free(gpointer data)
{
    struct spread *spread = data;
    split_clear(&spread->split);
    g_free(spread);
}

static const struct spread *spread_of(struct finder *f, int class, const struct service *service)
{
    struct spread *spread = g_hash_table_lookup(f->spreads[class], service->o.name);
    if (spread != NULL)
        return spread;
    unsigned slots[SPLIT_ROOMS_MAX] = {0};
    spread = g_new0(struct spread, 1);
    world_service_split(f->world, service, &spread->split);
    spread->n = spread->split.n_rooms;
    for (unsigned slot = 0; spread->n > 0 && slot < SLOT_COUNT; slot++)
        slots[spread->split.room_of[slot]]++;
    for (unsigned i = 0; i < spread->n; i++) {
        const char *used = world_room_used(f->world, class, service->active == SERVICE_MULTI, spread->split.rooms[i]);
        spread->rooms[i] = used != NULL ? used : "";
        spread->share[i] = (double)slots[i] / SLOT_COUNT;
    }
    g_hash_table_insert(f->spreads[class], service->o.name, spread);
    return spread;
}

static struct road *road_to(struct scope *scope, const char *room)
{
    struct road *road = g_hash_table_lookup(scope->roads, room);
    if (road == NULL) {
        road = g_new0(struct road, 1);
        g_hash_table_insert(scope->roads, g_strdup(room), road);
    }
    return road;
}

static void add_counter(struct scope *scope, const struct counter *counter)
{
    if (counter_by_edge(counter) || counter->rate <= 0)
        return;
    struct road *road = road_to(scope, strcmp(counter->via, "relay") == 0 ? ROADS_RELAY : counter->room);
    road->rate += counter->rate;
    road->fail_rate += counter->fail_rate;
    double *rate = g_hash_table_lookup(scope->policies, counter->policy);
    if (rate == NULL) {
        rate = g_new0(double, 1);
        g_hash_table_insert(scope->policies, counter->policy, rate);
    }
    *rate += counter->rate;
}

/* A policy that is no more is intended nowhere. */
static void add_intended(struct finder *f, struct scope *scope, const char *policy, double rate)
{
    const char *dot = strrchr(policy, '.');
    g_autofree char *name = dot != NULL ? g_strndup(policy, (gsize)(dot - policy)) : NULL;
    const struct inventory *inventory = f->world->inventory;
    const struct group *group = name != NULL ? INVENTORY_GET(inventory, group, name) : NULL;
    const struct service *service = dot != NULL ? INVENTORY_GET(inventory, service, dot + 1) : NULL;
    if (group == NULL || service == NULL)
        return;
    if (scope->class == EDGE_PUBLIC && world_group_edge_class(f->world, group) == EDGE_DEDICATED) {
        road_to(scope, ROADS_RELAY)->intended += rate;
        return;
    }
    const struct spread *spread = spread_of(f, scope->class, service);
    for (unsigned i = 0; i < spread->n; i++)
        if (spread->share[i] > 0)
            road_to(scope, spread->rooms[i])->intended += rate * spread->share[i];
}

static struct scope scope_new(const char *edge, int class)
{
    return (struct scope){.edge = edge,
                          .class = class,
                          .roads = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
                          .policies = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free)};
}

static void add_report(struct scope *scope, const struct edge_report *report)
{
    for (guint i = 0; i < report->counters->len; i++)
        add_counter(scope, report->counters->pdata[i]);
}

/* Ends the scope. */
static void scope_tell(struct finder *f, struct scope *scope, json_t *rows)
{
    GHashTableIter iter;
    gpointer name, rate;
    g_hash_table_iter_init(&iter, scope->policies);
    while (g_hash_table_iter_next(&iter, &name, &rate))
        add_intended(f, scope, name, *(double *)rate);
    g_autoptr(GList) rooms = g_list_sort(g_hash_table_get_keys(scope->roads), (GCompareFunc)strcmp);
    for (const GList *at = rooms; at != NULL; at = at->next) {
        const struct road *road = g_hash_table_lookup(scope->roads, at->data);
        json_array_append_new(rows, json_pack("{s:s, s:s?, s:s, s:f, s:f, s:f}", "class", edge_class_name(scope->class),
                                              "edge", scope->edge, "room", at->data, "rate", road->rate, "fail_rate",
                                              road->fail_rate, "intended", road->intended));
    }
    g_hash_table_unref(scope->roads);
    g_hash_table_unref(scope->policies);
}

json_t *roads_json(const struct world *world, const struct observed *observed, struct stamp in_force, int64_t now_us)
{
    struct finder finder = {.world = world};
    struct scope classes[EDGE_CLASSES];
    json_t *rows = json_array(), *behind = json_array();
    unsigned edges = 0;
    for (int c = 0; c < EDGE_CLASSES; c++) {
        finder.spreads[c] = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, spread_free);
        classes[c] = scope_new(NULL, c);
    }
    INVENTORY_FOREACH (world->inventory, edge, edge) {
        const struct edge_report *report = observed_edge(observed, edge->o.name);
        if (report == NULL)
            continue;
        bool fresh = edge_report_fresh(report, now_us);
        if (fresh)
            add_report(&classes[edge->class], report);
        if ((fresh && stamp_compare(report->applied, in_force) == 0) || edges++ >= ROADS_EDGES)
            continue;
        struct scope own = scope_new(edge->o.name, edge->class);
        add_report(&own, report);
        scope_tell(&finder, &own, behind);
    }
    for (int c = 0; c < EDGE_CLASSES; c++)
        scope_tell(&finder, &classes[c], rows);
    for (int c = 0; c < EDGE_CLASSES; c++)
        g_hash_table_unref(finder.spreads[c]);
    json_array_extend(rows, behind);
    json_decref(behind);
    return rows;
}
