#include "server/interlocking/eastwest.h"

#include "schema/jsondoc.h"
#include "server/interlocking/slow_parts.h"

#include <stdlib.h>
#include <string.h>

static void called_clear(gpointer data)
{
    g_ptr_array_unref(((struct called_zone *)data)->rooms);
}

/* What is called. */
struct callee {
    const struct world *w;
    const struct service *service;
    const struct interface *interface; /* NULL: the service itself */
    const char *home;                  /* NULL: every room */
    GHashTable *pools;                 /* pools_of; borrowed */
};

/* Which rooms have instances, as far as that is said: "SERVICE" where the service has pools, and "SERVICE/ROOM". */
static GHashTable *pools_of(const struct world *w)
{
    GHashTable *pools = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    INVENTORY_FOREACH (w->inventory, pool, pool) {
        g_hash_table_add(pools, g_strdup(pool->service));
        g_hash_table_add(pools, g_strconcat(pool->service, "/", pool->room, NULL));
    }
    return pools;
}

static struct callee callee_of(const struct world *w, GHashTable *pools, const struct service *service,
                               const struct interface *interface)
{
    struct callee callee = {w, service, interface, NULL, pools};
    if (interface_single(service, interface))
        callee.home = interface != NULL && interface->home != NULL ? interface->home
                      : service->home != NULL                      ? service->home
                                                                   : "";
    return callee;
}

static bool has_pool(const struct callee *callee, const char *room)
{
    g_autofree char *key = g_strconcat(callee->service->o.name, "/", room, NULL);
    return !g_hash_table_contains(callee->pools, callee->service->o.name) || g_hash_table_contains(callee->pools, key);
}

static bool room_answers(const struct callee *callee, const struct room *room)
{
    return world_room_compute_open(callee->w, room->o.name) &&
           (callee->home == NULL || strcmp(callee->home, room->o.name) == 0) && has_pool(callee, room->o.name);
}

/* Rooms of the zone that answer; g_ptr_array_unref. */
static GPtrArray *rooms_of(const struct callee *callee, const char *zone)
{
    GPtrArray *rooms = g_ptr_array_new();
    INVENTORY_FOREACH (callee->w->inventory, room, room) {
        if (strcmp(room->zone, zone) == 0 && room_answers(callee, room))
            g_ptr_array_add(rooms, room->o.name);
    }
    return rooms;
}

/* False: the zone has no room that answers. */
static bool call(const struct callee *callee, const char *zone, unsigned weight, GArray *out)
{
    struct called_zone called = {zone, weight, rooms_of(callee, zone)};
    if (called.rooms->len == 0) {
        g_ptr_array_unref(called.rooms);
        return false;
    }
    g_array_append_val(out, called);
    return true;
}

/* From the caller's own zone on; drained zones are passed over. */
static void call_next(const struct callee *callee, const char *caller, const struct weights_row *row, GArray *out)
{
    const GPtrArray *zones = inventory_list(callee->w->inventory, OBJECT_zone);
    guint own = 0;
    while (own < zones->len && strcmp(((const struct object *)zones->pdata[own])->name, caller) < 0)
        own++;
    for (guint i = 0; i < zones->len; i++) {
        const struct object *zone = zones->pdata[(own + i) % zones->len];
        if (weights_of(row, zone->name) != 0 && call(callee, zone->name, 1, out))
            return;
    }
}

static void find(GPtrArray *findings, const struct callee *callee, const char *caller, const struct zone_weight *item,
                 const char *expected)
{
    g_autofree char *found = g_strdup_printf("weight %u of %s for callers in %s", item->weight, item->zone, caller);
    if (findings != NULL)
        finding_on(findings, callee->interface != NULL ? &callee->interface->o : &callee->service->o, "eastwest", found,
                   expected);
}

/* Takes what the row names. True: somebody has a weight above 0. */
static bool call_row(const struct callee *callee, const char *caller, const struct weights_row *row, GArray *out,
                     GPtrArray *findings)
{
    bool somebody = false;
    for (guint i = 0; row != NULL && i < row->zones->len; i++) {
        const struct zone_weight *item = &g_array_index(row->zones, struct zone_weight, i);
        const struct object *zone = inventory_get(callee->w->inventory, OBJECT_zone, item->zone);
        bool called = zone != NULL && call(callee, zone->name, item->weight, out);
        somebody = somebody || (called && item->weight > 0);
        if (!called && item->weight > 0)
            find(findings, callee, caller, item, "a zone with an open room; the other zones get its share");
    }
    return somebody;
}

static gint by_zone(gconstpointer a, gconstpointer b)
{
    return strcmp(((const struct called_zone *)a)->zone, ((const struct called_zone *)b)->zone);
}

/* The lever that says whom to call: the interface's own when it was moved, else the service's. */
static const char *lever_of(const struct callee *callee, enum lever *lever, const char **object)
{
    *lever = LEVER_INTERFACE_EASTWEST;
    *object = callee->interface != NULL ? callee->interface->o.name : "";
    if (callee->interface == NULL || strcmp(controls_value(callee->w->controls, *lever, *object), "default") == 0) {
        *lever = LEVER_SERVICE_EASTWEST;
        *object = callee->service->o.name;
    }
    return callee->home == NULL ? controls_value(callee->w->controls, *lever, *object) : "default";
}

/* NULL: the lever is at its default. */
static GPtrArray *lever_rows(const struct callee *callee)
{
    enum lever lever;
    const char *object, *value = lever_of(callee, &lever, &object);
    return strcmp(value, "default") != 0 ? weights_parse(value, NULL) : NULL;
}

static GArray *zones_of(const struct callee *callee, const GPtrArray *rows, const char *caller, GPtrArray *findings)
{
    GArray *out = g_array_new(FALSE, FALSE, sizeof(struct called_zone));
    g_array_set_clear_func(out, called_clear);
    const struct weights_row *row = rows != NULL ? weights_row_of(rows, caller) : NULL;
    if (!call_row(callee, caller, row, out, findings))
        call_next(callee, caller, row, out);
    g_array_sort(out, by_zone);
    return out;
}

GArray *eastwest_zones(const struct world *w, const struct service *service, const struct interface *interface,
                       const char *caller, GPtrArray *findings)
{
    g_autoptr(GHashTable) pools = pools_of(w);
    struct callee callee = callee_of(w, pools, service, interface);
    g_autoptr(GPtrArray) rows = lever_rows(&callee);
    return zones_of(&callee, rows, caller, findings);
}

static json_t *callee_json(const struct callee *callee)
{
    json_t *json = json_pack("{s:s}", "service", callee->service->o.name);
    if (callee->interface != NULL)
        json_object_set_new(json, "interface", json_string(callee->interface->o.name));
    return json;
}

static json_t *row_json(const struct callee *callee, const GPtrArray *lever, const char *caller, GPtrArray *findings)
{
    g_autoptr(GArray) zones = zones_of(callee, lever, caller, findings);
    json_t *json = callee_json(callee), *destinations = json_array();
    for (guint i = 0; i < zones->len; i++) {
        const struct called_zone *called = &g_array_index(zones, struct called_zone, i);
        json_array_append_new(destinations, json_pack("{s:s, s:i, s:o}", "zone", called->zone, "weight",
                                                      (int)called->weight, "rooms", names_to_json(called->rooms)));
    }
    json_object_set_new(json, "caller", json_string(caller));
    json_object_set_new(json, "destinations", destinations);
    return json;
}

static void lines_of(const struct world *w, GHashTable *pools, const struct service *service,
                     const struct interface *interface, GPtrArray *lines, GPtrArray *findings)
{
    struct callee callee = callee_of(w, pools, service, interface);
    g_autoptr(GPtrArray) lever = lever_rows(&callee);
    INVENTORY_FOREACH (w->inventory, zone, zone) {
        json_t *row = row_json(&callee, lever, zone->o.name, findings);
        char *text = json_dumps(row, JSON_COMPACT);
        lines_add(lines, "%s/%s/%s %s\n", interface != NULL ? "interface" : "service",
                  interface != NULL ? interface->o.name : service->o.name, zone->o.name, text);
        free(text);
        json_decref(row);
    }
}

static void component_line(const struct world *w, const struct component *component, GPtrArray *lines)
{
    json_t *rooms = json_array();
    for (char **room = component->rooms; room != NULL && *room != NULL; room++)
        json_array_append_new(rooms, json_string(*room));
    json_t *row = json_pack("{s:s, s:s?, s:s, s:o}", "component", component->o.name, "primary",
                            world_component_value(w, component, LEVER_COMPONENT_PRIMARY), "consumption",
                            world_component_value(w, component, LEVER_COMPONENT_CONSUMPTION), "rooms", rooms);
    char *text = json_dumps(row, JSON_COMPACT);
    lines_add(lines, "component/%s %s\n", component->o.name, text);
    free(text);
    json_decref(row);
}

GBytes *eastwest_endpoints(const struct world *w, GPtrArray *findings)
{
    GPtrArray *lines = lines_new();
    if (inventory_list(w->inventory, OBJECT_registry)->len == 0)
        return lines_encode(lines);
    g_autoptr(GHashTable) pools = pools_of(w);
    INVENTORY_FOREACH (w->inventory, service, service) {
        lines_of(w, pools, service, NULL, lines, findings);
    }
    INVENTORY_FOREACH (w->inventory, interface, interface) {
        const struct service *service = INVENTORY_GET(w->inventory, service, interface->service);
        if (service != NULL)
            lines_of(w, pools, service, interface, lines, findings);
    }
    INVENTORY_FOREACH (w->inventory, component, component)
        component_line(w, component, lines);
    return lines_encode(lines);
}

static json_t *all_rows_json(const struct world *w, GHashTable *pools, const struct service *service,
                             const struct interface *interface)
{
    struct callee callee = callee_of(w, pools, service, interface);
    g_autoptr(GPtrArray) rows = lever_rows(&callee);
    enum lever lever;
    const char *object, *value = lever_of(&callee, &lever, &object);
    g_autofree char *words = rows != NULL ? world_lever_words(w, lever, object) : NULL;
    json_t *json = callee_json(&callee), *list = json_array();
    INVENTORY_FOREACH (w->inventory, zone, zone)
        json_array_append_new(list, row_json(&callee, rows, zone->o.name, NULL));
    json_object_set_new(json, "value", json_string(value));
    json_object_set_new(json, "why", json_string(words != NULL ? words : "local first"));
    json_object_set_new(json, "rows", list);
    return json;
}

json_t *eastwest_json(const struct world *w, const struct service *service, const struct interface *interface)
{
    g_autoptr(GHashTable) pools = pools_of(w);
    return all_rows_json(w, pools, service, interface);
}

json_t *eastwest_all_json(const struct world *w)
{
    json_t *list = json_array();
    g_autoptr(GHashTable) pools = pools_of(w);
    INVENTORY_FOREACH (w->inventory, service, service)
        json_array_append_new(list, all_rows_json(w, pools, service, NULL));
    INVENTORY_FOREACH (w->inventory, interface, interface) {
        const struct service *service = INVENTORY_GET(w->inventory, service, interface->service);
        if (service != NULL)
            json_array_append_new(list, all_rows_json(w, pools, service, interface));
    }
    return json_pack("{s:o}", "eastwest", list);
}
