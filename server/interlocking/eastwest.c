#include "server/interlocking/eastwest.h"

#include "server/interlocking/slow_parts.h"

#include <stdlib.h>
#include <string.h>

static void called_clear(gpointer data)
{
    g_ptr_array_unref(((struct called_zone *)data)->rooms);
}

static bool room_answers(const struct world *w, const struct service *service, const struct room *room)
{
    return world_room_compute_open(w, room->o.name) &&
           (service->active == SERVICE_MULTI || g_strcmp0(service->home, room->o.name) == 0);
}

/* Rooms of the zone that answer for the service; g_ptr_array_unref. */
static GPtrArray *rooms_of(const struct world *w, const struct service *service, const char *zone)
{
    GPtrArray *rooms = g_ptr_array_new();
    INVENTORY_FOREACH (w->inventory, room, room) {
        if (strcmp(room->zone, zone) == 0 && room_answers(w, service, room))
            g_ptr_array_add(rooms, room->o.name);
    }
    return rooms;
}

/* False: the zone has no room that answers. */
static bool call(const struct world *w, const struct service *service, const char *zone, unsigned weight, GArray *out)
{
    struct called_zone called = {zone, weight, rooms_of(w, service, zone)};
    if (called.rooms->len == 0) {
        g_ptr_array_unref(called.rooms);
        return false;
    }
    g_array_append_val(out, called);
    return true;
}

/* From the caller's own zone on; drained zones are passed over. */
static void call_next(const struct world *w, const struct service *service, const char *caller,
                      const struct weights_row *row, GArray *out)
{
    const GPtrArray *zones = inventory_list(w->inventory, OBJECT_zone);
    guint own = 0;
    while (own < zones->len && strcmp(((const struct object *)zones->pdata[own])->name, caller) < 0)
        own++;
    for (guint i = 0; i < zones->len; i++) {
        const struct object *zone = zones->pdata[(own + i) % zones->len];
        if (weights_of(row, zone->name) != 0 && call(w, service, zone->name, 1, out))
            return;
    }
}

static void find(GPtrArray *findings, const struct service *service, const char *caller, const struct zone_weight *item,
                 const char *expected)
{
    g_autofree char *found = g_strdup_printf("weight %u of %s for callers in %s", item->weight, item->zone, caller);
    if (findings != NULL)
        finding_on(findings, &service->o, "eastwest", found, expected);
}

/* Takes what the row names. True: somebody has a weight above 0. */
static bool call_row(const struct world *w, const struct service *service, const char *caller,
                     const struct weights_row *row, GArray *out, GPtrArray *findings)
{
    bool somebody = false;
    for (guint i = 0; row != NULL && i < row->zones->len; i++) {
        const struct zone_weight *item = &g_array_index(row->zones, struct zone_weight, i);
        const struct object *zone = inventory_get(w->inventory, OBJECT_zone, item->zone);
        bool called = zone != NULL && call(w, service, zone->name, item->weight, out);
        somebody = somebody || (called && item->weight > 0);
        if (!called && item->weight > 0)
            find(findings, service, caller, item, "a zone with an open room; the other zones get its share");
    }
    return somebody;
}

static gint by_zone(gconstpointer a, gconstpointer b)
{
    return strcmp(((const struct called_zone *)a)->zone, ((const struct called_zone *)b)->zone);
}

/* Rows of the lever, NULL: it is at its default. */
static GPtrArray *lever_rows(const struct world *w, const struct service *service)
{
    const char *value = controls_value(w->controls, LEVER_SERVICE_EASTWEST, service->o.name);
    bool moved = service->active == SERVICE_MULTI && strcmp(value, "default") != 0;
    return moved ? weights_parse(value, NULL) : NULL;
}

GArray *eastwest_zones(const struct world *w, const struct service *service, const char *caller, GPtrArray *findings)
{
    GArray *out = g_array_new(FALSE, FALSE, sizeof(struct called_zone));
    g_array_set_clear_func(out, called_clear);
    g_autoptr(GPtrArray) rows = lever_rows(w, service);
    const struct weights_row *row = rows != NULL ? weights_row_of(rows, caller) : NULL;
    if (!call_row(w, service, caller, row, out, findings))
        call_next(w, service, caller, row, out);
    g_array_sort(out, by_zone);
    return out;
}

static json_t *row_json(const struct world *w, const struct service *service, const char *caller, GPtrArray *findings)
{
    g_autoptr(GArray) zones = eastwest_zones(w, service, caller, findings);
    json_t *destinations = json_array();
    for (guint i = 0; i < zones->len; i++) {
        const struct called_zone *called = &g_array_index(zones, struct called_zone, i);
        json_t *rooms = json_array();
        for (guint k = 0; k < called->rooms->len; k++)
            json_array_append_new(rooms, json_string(called->rooms->pdata[k]));
        json_array_append_new(destinations, json_pack("{s:s, s:i, s:o}", "zone", called->zone, "weight",
                                                      (int)called->weight, "rooms", rooms));
    }
    return json_pack("{s:s, s:s, s:o}", "service", service->o.name, "caller", caller, "destinations", destinations);
}

GBytes *eastwest_endpoints(const struct world *w, GPtrArray *findings)
{
    GPtrArray *lines = lines_new();
    if (inventory_list(w->inventory, OBJECT_registry)->len > 0) {
        INVENTORY_FOREACH (w->inventory, service, service) {
            INVENTORY_FOREACH (w->inventory, zone, zone) {
                json_t *row = row_json(w, service, zone->o.name, findings);
                char *text = json_dumps(row, JSON_COMPACT);
                lines_add(lines, "service/%s/%s %s\n", service->o.name, zone->o.name, text);
                free(text);
                json_decref(row);
            }
        }
    }
    return lines_encode(lines);
}

json_t *eastwest_json(const struct world *w, const struct service *service)
{
    json_t *rows = json_array();
    g_autofree char *why = world_lever_words(w, LEVER_SERVICE_EASTWEST, service->o.name);
    INVENTORY_FOREACH (w->inventory, zone, zone)
        json_array_append_new(rows, row_json(w, service, zone->o.name, NULL));
    return json_pack("{s:s, s:s, s:s, s:o}", "service", service->o.name, "value",
                     controls_value(w->controls, LEVER_SERVICE_EASTWEST, service->o.name), "why",
                     why != NULL ? why : "local first", "rows", rows);
}
