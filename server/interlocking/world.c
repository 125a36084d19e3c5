#include "server/interlocking/world.h"
#include "server/interlocking/words.h"

#include <string.h>

static void plan_destroy(gpointer plan)
{
    plan_free(plan);
}

struct world *world_new(const char *cluster, struct stamp stamp, const char *cause, struct inventory *inventory,
                        struct controls *controls, GHashTable *plans)
{
    struct world *world = g_new0(struct world, 1);
    world->refs = 1;
    world->cluster = g_strdup(cluster);
    world->stamp = stamp;
    world->cause = g_strdup(cause != NULL ? cause : "");
    world->inventory = inventory_ref(inventory);
    world->controls = controls_ref(controls);
    world->plans = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, plan_destroy);
    if (plans == NULL)
        return world;
    GHashTableIter iter;
    gpointer name, plan;
    g_hash_table_iter_init(&iter, plans);
    while (g_hash_table_iter_next(&iter, &name, &plan))
        g_hash_table_insert(world->plans, g_strdup(name), plan_copy(plan));
    return world;
}

struct world *world_ref(struct world *world)
{
    __atomic_add_fetch(&world->refs, 1, __ATOMIC_RELAXED);
    return world;
}

void world_unref(struct world *world)
{
    if (world == NULL || __atomic_sub_fetch(&world->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    g_free(world->cluster);
    g_free(world->cause);
    inventory_unref(world->inventory);
    controls_unref(world->controls);
    g_hash_table_unref(world->plans);
    g_free(world);
}

const char *edge_class_name(int edge_class)
{
    return edge_class == EDGE_PUBLIC ? "public" : "dedicated";
}

static bool lever_is(const struct world *w, enum lever lever, const char *object, const char *value)
{
    return strcmp(controls_value(w->controls, lever, object), value) == 0;
}

bool world_zone_guarded(const struct world *w, const char *zone)
{
    return !lever_is(w, LEVER_DNSZONE_GUARD, zone, "off");
}

bool world_room_ingress_open(const struct world *w, const char *room)
{
    return !lever_is(w, LEVER_ROOM_INGRESS, room, "closed");
}

bool world_room_compute_open(const struct world *w, const char *room)
{
    return !lever_is(w, LEVER_ROOM_COMPUTE, room, "maintenance") &&
           !lever_is(w, LEVER_ROOM_COMPUTE, room, "quarantined");
}

bool world_pop_in(const struct world *w, const struct pop *pop)
{
    return !lever_is(w, LEVER_POP, pop->o.name, "out");
}

bool world_line_in(const struct world *w, const struct line *line)
{
    return !lever_is(w, LEVER_LINE, line->o.name, "out");
}

bool world_edge_in(const struct world *w, const struct edge *edge)
{
    return !lever_is(w, LEVER_EDGE, edge->o.name, "out");
}

static int edge_class_of(const struct world *w, enum lever lever, const char *object, int otherwise)
{
    if (lever_is(w, lever, object, "public"))
        return EDGE_PUBLIC;
    if (lever_is(w, lever, object, "dedicated"))
        return EDGE_DEDICATED;
    return otherwise;
}

int world_group_edge_class(const struct world *w, const struct group *group)
{
    return edge_class_of(w, LEVER_GROUP_EDGE_CLASS, group->o.name, group->edge_class);
}

int world_variant_edge_class(const struct world *w, const struct group *group, const struct variant *variant)
{
    int group_class = world_group_edge_class(w, group);
    return variant == NULL ? group_class : edge_class_of(w, LEVER_VARIANT_EDGE_CLASS, variant->o.name, group_class);
}

bool world_service_auto_dr(const struct world *w, const struct service *service)
{
    if (service->active != SERVICE_MULTI)
        return false;
    if (lever_is(w, LEVER_SERVICE_AUTO_DR, service->o.name, "on"))
        return true;
    return service->auto_dr && !lever_is(w, LEVER_SERVICE_AUTO_DR, service->o.name, "off");
}

/* A split outlives the rooms it was written for only until the inventory loses one of them. */
static bool split_rooms_exist(const struct inventory *inv, const struct split *split)
{
    for (unsigned i = 0; i < split->n_rooms; i++)
        if (INVENTORY_GET(inv, room, split->rooms[i]) == NULL)
            return false;
    return true;
}

static bool split_of_lever(const struct world *w, const struct service *service, struct split *out)
{
    const struct control *control = controls_get(w->controls, LEVER_SPLIT, service->o.name);
    if (control == NULL || !split_parse(control->value, out, NULL))
        return false;
    if (split_rooms_exist(w->inventory, out))
        return true;
    split_clear(out);
    return false;
}

bool world_service_pins(const struct world *w, const struct service *service, struct split_pins *out)
{
    const struct control *control = controls_get(w->controls, LEVER_SPLIT_PIN, service->o.name);
    if (service->active == SERVICE_SINGLE || control == NULL || !split_pins_parse(control->value, out, NULL))
        return false;
    if (split_rooms_exist(w->inventory, &out->slots))
        return true;
    split_clear(&out->slots);
    return false;
}

void world_service_split(const struct world *w, const struct service *service, struct split *out)
{
    struct split_pins pins;
    world_service_unpinned(w, service, out);
    if (!world_service_pins(w, service, &pins))
        return;
    if (out->n_rooms > 0)
        split_pin(out, &pins);
    split_clear(&pins.slots);
}

void world_service_unpinned(const struct world *w, const struct service *service, struct split *out)
{
    const char *names[SPLIT_ROOMS_MAX];
    unsigned n = 0;
    if (service->active == SERVICE_SINGLE) {
        if (service->home != NULL && INVENTORY_GET(w->inventory, room, service->home) != NULL)
            names[n++] = service->home;
    } else if (split_of_lever(w, service, out)) {
        return;
    } else {
        const GPtrArray *rooms = inventory_list(w->inventory, OBJECT_room);
        for (; n < rooms->len && n < SPLIT_ROOMS_MAX; n++)
            names[n] = ((const struct room *)rooms->pdata[n])->o.name;
    }
    memset(out, 0, sizeof *out);
    if (n > 0)
        split_even(names, n, out);
}

GPtrArray *world_room_entrances(const struct world *w, int edge_class, const char *room)
{
    static char ring[] = "ring";
    GPtrArray *names = g_ptr_array_new();
    if (edge_class == EDGE_DEDICATED) {
        const struct room *r = INVENTORY_GET(w->inventory, room, room);
        if (r != NULL && r->ring.port != 0)
            g_ptr_array_add(names, ring);
        return names;
    }
    INVENTORY_FOREACH (w->inventory, pop, pop) {
        if (strcmp(pop->room, room) == 0 && world_pop_in(w, pop))
            g_ptr_array_add(names, pop->o.name);
    }
    return names;
}

bool world_is_fallback(const struct world *w, const struct pop *pop)
{
    const struct room *room = INVENTORY_GET(w->inventory, room, pop->room);
    return room != NULL && room->ring.port != 0 && world_room_ingress_open(w, pop->room) && world_pop_in(w, pop);
}

GPtrArray *world_room_fallbacks(const struct world *w, int edge_class, const char *room)
{
    GPtrArray *names = g_ptr_array_new();
    INVENTORY_FOREACH (w->inventory, pop, pop) {
        if (edge_class == EDGE_DEDICATED && strcmp(pop->room, room) == 0 && world_is_fallback(w, pop))
            g_ptr_array_add(names, pop->o.name);
    }
    return names;
}

GPtrArray *world_room_escapes(const struct world *w, const char *room)
{
    GPtrArray *escapes = g_ptr_array_new();
    if (lever_is(w, LEVER_ROOM_ESCAPE, room, "off") || !world_room_compute_open(w, room))
        return escapes;
    INVENTORY_FOREACH (w->inventory, gwvip, vip) {
        if (g_strcmp0(vip->to, room) == 0 && world_room_ingress_open(w, vip->room))
            g_ptr_array_add(escapes, (gpointer)vip);
    }
    return escapes;
}

bool world_room_escapes_always(const struct world *w, const char *room)
{
    if (!lever_is(w, LEVER_ROOM_ESCAPE, room, "on"))
        return false;
    g_autoptr(GPtrArray) escapes = world_room_escapes(w, room);
    return escapes->len > 0;
}

/* Closed ingress takes the users of multi-active services away whole, from the ring as well: one place for a user's
 * data. Single-room services keep the ring, or an escape: it is their way out of a room without entrances. */
bool world_room_usable(const struct world *w, int edge_class, bool multi, const char *room)
{
    bool needs_ingress = multi || edge_class == EDGE_PUBLIC;
    g_autoptr(GPtrArray) escapes = multi || edge_class != EDGE_PUBLIC ? NULL : world_room_escapes(w, room);
    if (escapes != NULL && escapes->len > 0)
        return true;
    if (!world_room_compute_open(w, room) || (needs_ingress && !world_room_ingress_open(w, room)))
        return false;
    g_autoptr(GPtrArray) entrances = world_room_entrances(w, edge_class, room);
    return entrances->len > 0;
}

const char *world_room_used(const struct world *w, int edge_class, bool multi, const char *room)
{
    if (world_room_usable(w, edge_class, multi, room))
        return room;
    if (!multi)
        return NULL;
    const GPtrArray *rooms = inventory_list(w->inventory, OBJECT_room);
    guint wanted = 0;
    while (wanted < rooms->len && strcmp(((const struct room *)rooms->pdata[wanted])->o.name, room) < 0)
        wanted++;
    for (guint i = 0; i < rooms->len; i++) {
        const struct room *candidate = rooms->pdata[(wanted + i) % rooms->len];
        if (world_room_usable(w, edge_class, multi, candidate->o.name))
            return candidate->o.name;
    }
    return NULL;
}

static GPtrArray *edges_where(const struct world *w, int edge_class, bool in_only)
{
    GPtrArray *edges = g_ptr_array_new();
    INVENTORY_FOREACH (w->inventory, edge, edge) {
        if ((edge_class < 0 || edge->class == edge_class) && (!in_only || world_edge_in(w, edge)))
            g_ptr_array_add(edges, (gpointer)edge);
    }
    return edges;
}

GPtrArray *world_group_edges(const struct world *w, const struct group *group)
{
    int edge_class = world_group_edge_class(w, group);
    GPtrArray *edges = edges_where(w, edge_class, true);
    if (edges->len > 0)
        return edges;
    g_ptr_array_unref(edges);
    edges = edges_where(w, edge_class, false);
    if (edges->len > 0)
        return edges;
    g_ptr_array_unref(edges);
    return edges_where(w, -1, false);
}

static bool edge_fits(const struct edge *edge, const struct variant *variant)
{
    return edge->carriers != NULL && g_strv_contains((const char *const *)edge->carriers, variant->carrier) &&
           (variant->region == NULL || g_strcmp0(edge->region, variant->region) == 0);
}

GPtrArray *world_variant_edges(const struct world *w, const struct group *group, const struct variant *variant,
                               bool *fits)
{
    if (fits != NULL)
        *fits = true;
    if (variant == NULL)
        return world_group_edges(w, group);
    GPtrArray *edges = edges_where(w, world_variant_edge_class(w, group, variant), true);
    for (guint i = edges->len; i-- > 0;)
        if (!edge_fits(edges->pdata[i], variant))
            g_ptr_array_remove_index(edges, i);
    if (edges->len > 0)
        return edges;
    g_ptr_array_unref(edges);
    if (fits != NULL)
        *fits = false;
    return world_group_edges(w, group);
}

char *world_edges_words(const struct world *w, const struct group *group, const struct variant *variant)
{
    g_autofree char *own = variant != NULL ? world_lever_words(w, LEVER_VARIANT_EDGE_CLASS, variant->o.name) : NULL;
    g_autofree char *groups = world_lever_words(w, LEVER_GROUP_EDGE_CLASS, group->o.name);
    const char *why = own != NULL ? own : groups != NULL ? groups : "as the inventory says";
    if (variant == NULL)
        return g_strdup_printf("edges of class %s, %s", edge_class_name(world_group_edge_class(w, group)), why);
    bool fits;
    g_ptr_array_unref(world_variant_edges(w, group, variant, &fits));
    g_autofree char *fallback = fits ? NULL : g_strdup_printf("those of group %s: none is in", group->o.name);
    return g_strdup_printf("%s of class %s on %s%s%s, %s", fits ? "edges" : fallback,
                           edge_class_name(world_variant_edge_class(w, group, variant)), variant->carrier,
                           variant->region != NULL ? " in region " : "", variant->region != NULL ? variant->region : "",
                           why);
}

/* ---- what edges answer by themselves ---- */

static enum degrade degrade_of(const struct world *w, enum lever lever, const char *object)
{
    return lever_is(w, lever, object, "static")  ? DEGRADE_STATIC
           : lever_is(w, lever, object, "stale") ? DEGRADE_STALE
                                                 : DEGRADE_OFF;
}

enum degrade world_service_degrade(const struct world *w, const struct service *service)
{
    enum degrade degrade = degrade_of(w, LEVER_SERVICE_DEGRADE, service->o.name);
    return degrade == DEGRADE_STALE && !service->last_good ? DEGRADE_OFF : degrade;
}

enum degrade world_room_degrade(const struct world *w, const char *room)
{
    return degrade_of(w, LEVER_ROOM_DEGRADE, room);
}

enum degrade world_interface_degrade(const struct world *w, const struct service *service,
                                     const struct interface *interface)
{
    enum degrade degrade = degrade_of(w, LEVER_INTERFACE_DEGRADE, interface->o.name);
    bool own = degrade == DEGRADE_STATIC || (degrade == DEGRADE_STALE && service->last_good) ||
               lever_is(w, LEVER_INTERFACE_DEGRADE, interface->o.name, "off");
    return own ? degrade : world_service_degrade(w, service);
}

bool world_interface_moved(const struct world *w, const struct interface *interface)
{
    return !lever_is(w, LEVER_INTERFACE_DEGRADE, interface->o.name, "default") ||
           !lever_is(w, LEVER_INTERFACE_LIMIT, interface->o.name, "default");
}

static int64_t limit_of(const struct world *w, enum lever lever, const char *object)
{
    int64_t rate;
    return control_rate_parse(controls_value(w->controls, lever, object), &rate) ? rate : 0;
}

int64_t world_service_limit(const struct world *w, const struct service *service)
{
    return limit_of(w, LEVER_SERVICE_LIMIT, service->o.name);
}

int64_t world_room_limit(const struct world *w, const char *room)
{
    return limit_of(w, LEVER_ROOM_LIMIT, room);
}

int64_t world_interface_limit(const struct world *w, const struct interface *interface)
{
    return limit_of(w, LEVER_INTERFACE_LIMIT, interface->o.name);
}

unsigned world_interface_limit_number(const struct world *w, const struct interface *interface)
{
    unsigned number = 0;
    if (world_interface_limit(w, interface) == 0)
        return 0;
    INVENTORY_FOREACH (w->inventory, interface, other) {
        number += strcmp(other->service, interface->service) == 0 && world_interface_limit(w, other) > 0;
        if (other == interface)
            break;
    }
    return number <= INTERFACE_LIMITS_MAX ? number : 0;
}

const char *component_value(const struct component *component, enum lever lever, const char *value)
{
    static const char *const consumptions[] = {"none", "local", "global"};
    bool moved = strcmp(value, "default") != 0;
    if (lever == LEVER_COMPONENT_CONSUMPTION)
        return moved && component->type == COMPONENT_TOPIC ? value : consumptions[component->consumption];
    bool known = strcmp(value, "none") == 0 || g_strv_contains((const char *const *)component->rooms, value);
    return moved && known && component->primary != NULL ? value
                                                        : component->primary; /* it may not run there any more */
}

const char *world_component_value(const struct world *w, const struct component *component, enum lever lever)
{
    return component_value(component, lever, controls_value(w->controls, lever, component->o.name));
}

static bool group_has_service(const struct world *w, const struct group *group, const char *service)
{
    if (strcmp(group->service, service) == 0)
        return true;
    INVENTORY_FOREACH (w->inventory, route, route) {
        if (strcmp(route->group, group->o.name) == 0 && strcmp(route->service, service) == 0)
            return true;
    }
    return false;
}

/* Edges that requests of a group arrive at, by its own name and by its variants'. */
static guint arrival_edges(const struct world *w, const struct group *group)
{
    g_autoptr(GPtrArray) edges = world_group_edges(w, group);
    INVENTORY_FOREACH (w->inventory, variant, variant) {
        if (strcmp(variant->group, group->o.name) != 0)
            continue;
        g_autoptr(GPtrArray) more = world_variant_edges(w, group, variant, NULL);
        for (guint i = 0; i < more->len; i++)
            if (!g_ptr_array_find(edges, more->pdata[i], NULL))
                g_ptr_array_add(edges, more->pdata[i]);
    }
    return edges->len;
}

static int64_t share_of(int64_t limit, int64_t n)
{
    return limit == 0 ? 0 : MAX(1, limit / n);
}

/* How many share a limit of the service, 1 or more; host NULL: by whatever name. */
static int64_t sharers(const struct world *w, const char *service, const char *host)
{
    const struct domain *domain = host != NULL ? INVENTORY_GET(w->inventory, domain, host) : NULL;
    int64_t n = 0;
    INVENTORY_FOREACH (w->inventory, group, group) {
        if (group_has_service(w, group, service) && (domain == NULL || strcmp(domain->group, group->o.name) == 0))
            n += arrival_edges(w, group);
    }
    return MAX(1, n);
}

static int64_t room_sharers(const struct world *w)
{
    g_autoptr(GPtrArray) edges = edges_where(w, -1, true);
    return MAX(1, (int64_t)edges->len);
}

int64_t world_service_limit_share(const struct world *w, const struct service *service)
{
    int64_t limit = world_service_limit(w, service);
    return limit > 0 ? share_of(limit, sharers(w, service->o.name, NULL)) : 0;
}

int64_t world_service_limit_passes(const struct world *w, const struct service *service)
{
    int64_t limit = world_service_limit(w, service), n = limit > 0 ? sharers(w, service->o.name, NULL) : 0;
    return n * share_of(limit, n);
}

int64_t world_room_limit_share(const struct world *w, const char *room)
{
    int64_t limit = world_room_limit(w, room);
    return limit > 0 ? share_of(limit, room_sharers(w)) : 0;
}

int64_t world_room_limit_passes(const struct world *w, const char *room)
{
    int64_t limit = world_room_limit(w, room), n = limit > 0 ? room_sharers(w) : 0;
    return n * share_of(limit, n);
}

int64_t world_interface_limit_share(const struct world *w, const struct interface *interface)
{
    int64_t limit = world_interface_limit_number(w, interface) > 0 ? world_interface_limit(w, interface) : 0;
    return limit > 0 ? share_of(limit, sharers(w, interface->service, interface->host)) : 0;
}

int64_t world_interface_limit_passes(const struct world *w, const struct interface *interface)
{
    int64_t share = world_interface_limit_share(w, interface);
    return share > 0 ? share * sharers(w, interface->service, interface->host) : 0;
}

static GPtrArray *relays_where(const struct world *w, bool in_only)
{
    GPtrArray *relays = edges_where(w, EDGE_DEDICATED, in_only);
    for (guint i = relays->len; i-- > 0;)
        if (((const struct edge *)relays->pdata[i])->relay.port == 0)
            g_ptr_array_remove_index(relays, i);
    return relays;
}

GPtrArray *world_relays(const struct world *w)
{
    GPtrArray *relays = relays_where(w, true);
    if (relays->len > 0)
        return relays;
    g_ptr_array_unref(relays);
    return relays_where(w, false);
}

char *world_lever_words(const struct world *w, enum lever lever, const char *object)
{
    const struct control *control = controls_get(w->controls, lever, object);
    if (control == NULL || strcmp(control->value, "default") == 0)
        return NULL;
    GString *text = g_string_new(NULL);
    g_string_printf(text, "%s/%s is %s (%s", lever_class(lever)->name, object, control->value,
                    control->actor != NULL ? control->actor : "unknown");
    if (control->execution != NULL)
        g_string_append_printf(text, ", execution %s", control->execution);
    g_string_append_printf(text, ", generation %" G_GUINT64_FORMAT ")", control->revision);
    return g_string_free(text, FALSE);
}

GPtrArray *world_agents(const struct world *w)
{
    GPtrArray *names = g_ptr_array_new();
    INVENTORY_FOREACH (w->inventory, edge, edge)
        g_ptr_array_add(names, edge->o.name);
    INVENTORY_FOREACH (w->inventory, gateway, gateway)
        g_ptr_array_add(names, gateway->o.name);
    return names;
}

const char *world_agent_kind(const struct world *w, const char *name)
{
    return INVENTORY_GET(w->inventory, edge, name) != NULL      ? "edge"
           : INVENTORY_GET(w->inventory, gateway, name) != NULL ? "gateway"
                                                                : NULL;
}

char *objects_words(const GPtrArray *objects)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (guint i = 0; i < objects->len; i++)
        g_ptr_array_add(names, ((const struct object *)objects->pdata[i])->name);
    return words_list(names, 6);
}
