#include "server/interlocking/forecast.h"

#include "schema/jsondoc.h"
#include "server/interlocking/forecast_lines.h"
#include "server/interlocking/words.h"

#include <string.h>

/* What does not change with the counter: how the slots of a service go from room to room and what its limit leaves, and
 * where the policy names of its groups and their variants point to. */
struct shift {
    struct split now, then;
    unsigned slots[SPLIT_ROOMS_MAX][SPLIT_ROOMS_MAX]; /* room now, room then -> slots */
    /* Shares of its requests, 0..1, then: */
    double fixed;  /* edges answer by a static answer */
    double kept;   /* they give the last good one, if they have it */
    double passes; /* that reach rooms */
    double open;   /* of those, what no lever but the rooms' is about */
};
struct name_edges {
    bool changed;
    GPtrArray *now, *then;     /* const struct edge * */
    int class_now, class_then; /* that it asks for */
};
struct teller {
    struct forecast *out;
    const struct world *now, *then;
    GHashTable *policies; /* name -> struct policy_ref *, of now */
    GHashTable *shifts;   /* service -> struct shift * */
    GHashTable *edges;    /* group or variant (the object of now) -> struct name_edges * */
    GHashTable *rows;     /* "kind name" -> struct forecast_row *, of out */
    GHashTable *rates;    /* service -> double *: requests per second of fresh reports */
    GHashTable *sizes;    /* policy -> struct mean * */
    struct line_load *lines;
    GHashTable *pools; /* "service/room" -> const char *: name of its pool, then or now */
};
/* Over the edges that say so. */
struct mean {
    struct sizes sizes;
    unsigned n;
};
/* One counter, in the terms of both worlds. */
struct flow {
    const struct counter *counter;
    const struct edge *edge;
    const struct sizes *sizes; /* of its policy: the edge's own, else those that others have; NULL: nobody */
    const struct group *group, *group_then; /* then: NULL when the policy is no more */
    const struct service *service, *service_then;
    const struct name_edges *name; /* that its users came by */
    int class_now, class_then;     /* of the edges that answer */
    double ok, fail;               /* 1/s */
    double passes;                 /* 0..1: the share of them that reaches rooms */
    double open;                   /* of that share, what only a room's lever could have answered by edges */
};

static void row_free(gpointer data)
{
    struct forecast_row *row = data;
    g_free(row->kind);
    g_free(row->name);
    g_free(row);
}

static struct forecast_row *row_of(struct teller *t, const char *kind, const char *name)
{
    g_autofree char *key = g_strdup_printf("%s %s", kind, name);
    struct forecast_row *row = g_hash_table_lookup(t->rows, key);
    if (row != NULL)
        return row;
    row = g_new0(struct forecast_row, 1);
    row->kind = g_strdup(kind);
    row->name = g_strdup(name);
    g_ptr_array_add(t->out->rows, row);
    g_hash_table_insert(t->rows, g_steal_pointer(&key), row);
    return row;
}

static struct forecast_row *entrance_row(struct teller *t, const char *room, const char *via)
{
    g_autofree char *name = g_strdup_printf("%s/%s", room, via);
    return row_of(t, "entrance", name);
}

/* NULL: the inventory has no pool of the service there. */
static struct forecast_row *pool_row(struct teller *t, const char *service, const char *room)
{
    if (g_hash_table_size(t->pools) == 0)
        return NULL;
    g_autofree char *name = g_strdup_printf("%s/%s", service, room);
    const char *pool = g_hash_table_lookup(t->pools, name);
    return pool != NULL ? row_of(t, "pool", pool) : NULL;
}

static void pools_collect(GHashTable *pools, const struct world *w)
{
    INVENTORY_FOREACH (w->inventory, pool, pool)
        g_hash_table_replace(pools, g_strdup_printf("%s/%s", pool->service, pool->room), pool->o.name);
}

static void note(struct teller *t, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void note(struct teller *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_ptr_array_add(t->out->notes, g_strdup_vprintf(format, args));
    va_end(args);
}

static void shift_free(gpointer data)
{
    struct shift *shift = data;
    split_clear(&shift->now);
    split_clear(&shift->then);
    g_free(shift);
}

/* `share` of the requests of a service, of which edges let through `limit` (0: all), both in its requests. */
static void shift_add(struct shift *shift, double share, enum degrade degrade, double limit)
{
    double passes = limit > 0 ? MIN(share, limit) : share;
    if (degrade == DEGRADE_STATIC) {
        shift->fixed += share;
        return;
    }
    shift->passes += passes;
    *(degrade == DEGRADE_STALE ? &shift->kept : &shift->open) += degrade == DEGRADE_STALE ? share : passes;
}

/* What edges answer by themselves, interface by interface, and what limits leave: the interfaces' first. */
static void shift_degrade(struct teller *t, const struct service *then, struct shift *shift)
{
    const double *rate = then != NULL ? g_hash_table_lookup(t->rates, then->o.name) : NULL;
    double all = rate != NULL && *rate > 0 ? *rate : 0, rest = 1;
    shift->passes = shift->open = then == NULL ? 1 : 0;
    if (then == NULL)
        return;
    INVENTORY_FOREACH (t->then->inventory, interface, interface) {
        double share = MIN((double)interface->share / 100, rest);
        if (share <= 0 || strcmp(interface->service, then->o.name) != 0)
            continue;
        double limit = (double)world_interface_limit_passes(t->then, interface);
        shift_add(shift, share, world_interface_degrade(t->then, then, interface), all > 0 ? limit / all : 0);
        rest -= share;
    }
    shift_add(shift, rest, world_service_degrade(t->then, then), 0);
    double limit = (double)world_service_limit_passes(t->then, then);
    if (limit > 0 && all * shift->passes > limit) {
        shift->open *= limit / (all * shift->passes);
        shift->passes = limit / all;
    }
}

static const struct shift *shift_of(struct teller *t, const struct flow *flow)
{
    const char *name = flow->service->o.name;
    struct shift *shift = g_hash_table_lookup(t->shifts, name);
    if (shift != NULL)
        return shift;
    shift = g_new0(struct shift, 1);
    world_service_split(t->now, flow->service, &shift->now);
    if (flow->service_then != NULL)
        world_service_split(t->then, flow->service_then, &shift->then);
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
        shift->slots[shift->now.room_of[slot]][shift->then.room_of[slot]]++;
    shift_degrade(t, INVENTORY_GET(t->then->inventory, service, name), shift);
    g_hash_table_insert(t->shifts, (gpointer)name, shift);
    return shift;
}

static void name_edges_free(gpointer data)
{
    struct name_edges *edges = data;
    g_ptr_array_unref(edges->now);
    g_ptr_array_unref(edges->then);
    g_free(edges);
}

static bool edges_equal(const GPtrArray *a, const GPtrArray *b)
{
    if (a->len != b->len)
        return false;
    for (guint i = 0; i < a->len; i++) {
        const struct edge *x = a->pdata[i], *y = b->pdata[i];
        if (strcmp(x->o.name, y->o.name) != 0)
            return false;
    }
    return true;
}

/* variant NULL: the group's own name. A variant that is no more leaves its users to its group's name. */
static const struct name_edges *name_edges_of(struct teller *t, const struct group *group,
                                              const struct variant *variant)
{
    gconstpointer key = variant != NULL ? (gconstpointer)variant : (gconstpointer)group;
    struct name_edges *edges = g_hash_table_lookup(t->edges, key);
    if (edges != NULL)
        return edges;
    edges = g_new0(struct name_edges, 1);
    const struct group *group_then = INVENTORY_GET(t->then->inventory, group, group->o.name);
    const struct variant *variant_then =
        variant != NULL ? INVENTORY_GET(t->then->inventory, variant, variant->o.name) : NULL;
    edges->now = world_variant_edges(t->now, group, variant, NULL);
    edges->then = group_then != NULL ? world_variant_edges(t->then, group_then, variant_then, NULL) : g_ptr_array_new();
    edges->changed = !edges_equal(edges->now, edges->then);
    edges->class_now = world_variant_edge_class(t->now, group, variant);
    edges->class_then =
        group_then != NULL ? world_variant_edge_class(t->then, group_then, variant_then) : edges->class_now;
    g_hash_table_insert(t->edges, (gpointer)key, edges);
    return edges;
}

/* The name that the requests of a group that arrive at the edge came by: counters do not say it. The group's own, if it
 * points there; else a variant's that does; clients that have not resolved since came by the group's. */
static const struct name_edges *name_of(struct teller *t, const struct group *group, const struct edge *edge)
{
    const struct name_edges *own = name_edges_of(t, group, NULL);
    if (g_ptr_array_find(own->now, edge, NULL))
        return own;
    INVENTORY_FOREACH (t->now->inventory, variant, variant) {
        if (strcmp(variant->group, group->o.name) != 0)
            continue;
        const struct name_edges *name = name_edges_of(t, group, variant);
        if (g_ptr_array_find(name->now, edge, NULL))
            return name;
    }
    return own;
}

/* Variants that change, and share an edge with their group now: which of its requests are theirs is not known. */
static void variants_tell(struct teller *t)
{
    INVENTORY_FOREACH (t->now->inventory, variant, variant) {
        const struct group *group = INVENTORY_GET(t->now->inventory, group, variant->group);
        if (group == NULL)
            continue;
        const struct name_edges *own = name_edges_of(t, group, NULL), *name = name_edges_of(t, group, variant);
        bool shared = false;
        for (guint i = 0; i < name->now->len; i++)
            shared = shared || g_ptr_array_find(own->now, name->now->pdata[i], NULL);
        if (name->changed && shared)
            note(t, "variant %s shares edges with its group %s: which requests are its own is not in this forecast",
                 variant->o.name, group->o.name);
    }
}

static const char *used_now(const struct teller *t, const struct flow *flow, const char *room)
{
    return world_room_used(t->now, flow->class_now, flow->service->active == SERVICE_MULTI, room);
}

static const char *used_then(const struct teller *t, const struct flow *flow, const struct shift *shift, unsigned i)
{
    if (flow->service_then == NULL || shift->then.n_rooms == 0)
        return NULL;
    return world_room_used(t->then, flow->class_then, flow->service_then->active == SERVICE_MULTI,
                           shift->then.rooms[i]);
}

/* Is the entrance still one that this flow would use for the room? */
static bool entrance_stays(const GPtrArray *entrances, const char *via)
{
    for (guint i = 0; i < entrances->len; i++)
        if (strcmp(entrances->pdata[i], via) == 0)
            return true;
    return false;
}

/* By what the flow would come into the room: its escapes, where its own entrances do not lead there any more. */
static GPtrArray *arrivals(const struct teller *t, const struct flow *flow, const char *room)
{
    bool gone = flow->service->active == SERVICE_SINGLE && flow->class_then == EDGE_PUBLIC &&
                (!world_room_ingress_open(t->then, room) || world_room_escapes_always(t->then, room));
    g_autoptr(GPtrArray) escapes = world_room_escapes(t->then, room);
    if (!gone || escapes->len == 0)
        return world_room_entrances(t->then, flow->class_then, room);
    GPtrArray *names = g_ptr_array_new();
    for (guint i = 0; i < escapes->len; i++)
        g_ptr_array_add(names, ((const struct gwvip *)escapes->pdata[i])->o.name);
    return names;
}

/* Dedicated edges that the flow would come to a room by, over the ring. */
static GPtrArray *ring_edges(const struct teller *t, const struct flow *flow)
{
    GPtrArray *edges = g_ptr_array_new();
    for (guint i = 0; flow->name->changed && i < flow->name->then->len; i++)
        if (((const struct edge *)flow->name->then->pdata[i])->class == EDGE_DEDICATED)
            g_ptr_array_add(edges, flow->name->then->pdata[i]);
    if (!flow->name->changed && flow->edge->class == EDGE_DEDICATED)
        g_ptr_array_add(edges, (gpointer)flow->edge);
    if (edges->len > 0)
        return edges;
    g_ptr_array_unref(edges);
    return world_relays(t->then);
}

static void arrive_at(struct teller *t, const struct flow *flow, const char *room, const char *via, double rate)
{
    entrance_row(t, room, via)->after += rate;
    if (strcmp(via, "ring") != 0) {
        line_load_add(t->lines, via, room, true, rate, flow->sizes);
        return;
    }
    g_autoptr(GPtrArray) edges = ring_edges(t, flow);
    for (guint i = 0; i < edges->len; i++)
        line_load_add(t->lines, ((const struct edge *)edges->pdata[i])->o.name, room, true, rate / edges->len,
                      flow->sizes);
}

static void arrive(struct teller *t, const struct flow *flow, const char *room, double rate)
{
    struct forecast_row *pool = pool_row(t, flow->service->o.name, room);
    row_of(t, "room", room)->after += rate;
    if (pool != NULL)
        pool->after += rate;
    g_autoptr(GPtrArray) entrances = arrivals(t, flow, room);
    g_autoptr(GPtrArray) fallbacks = world_room_fallbacks(t->then, flow->class_then, room);
    bool falls_back = flow->class_now == flow->class_then && entrance_stays(fallbacks, flow->counter->via);
    if (strcmp(room, flow->counter->room) == 0 && (entrance_stays(entrances, flow->counter->via) || falls_back)) {
        arrive_at(t, flow, room, flow->counter->via, rate);
        return;
    }
    for (guint i = 0; i < entrances->len; i++)
        arrive_at(t, flow, room, entrances->pdata[i], rate / entrances->len);
}

/* How much of the flow would reach rooms: what edges answer by themselves, and what a limit refuses, does not. */
static void flow_degrade(struct teller *t, struct flow *flow)
{
    const struct shift *shift = shift_of(t, flow);
    double rate = flow->ok + flow->fail;
    flow->passes = flow->open = 1;
    if (flow->service_then == NULL)
        return;
    flow->passes = shift->passes;
    flow->open = shift->passes > 0 ? shift->open / shift->passes : 0;
    t->out->degraded += rate * (shift->fixed + shift->kept);
    if (shift->fixed > 0)
        row_of(t, "room", "degraded")->after += rate * shift->fixed;
    t->out->shed += rate * MAX(0, 1 - shift->fixed - shift->passes);
}

/* What edges answer in the room's place; true: nothing of it arrives. What a lever of the service or an interface
 * gives as stale is counted already. */
static bool room_degrade(struct teller *t, const struct flow *flow, const char *room, double rate)
{
    enum degrade degrade = world_room_degrade(t->then, room);
    if (degrade == DEGRADE_STATIC)
        row_of(t, "room", "degraded")->after += rate;
    if (degrade == DEGRADE_STATIC)
        t->out->degraded += rate;
    else if (degrade == DEGRADE_STALE && flow->service_then->last_good)
        t->out->degraded += rate * flow->open;
    return degrade == DEGRADE_STATIC;
}

/* `share` of the flow, which the table in force sends to `from`, goes to `room` (NULL: nobody). What the table does not
 * move does not move, wherever it was answered in the last second. */
static void flow_to(struct teller *t, const struct flow *flow, const char *from, const char *room, double share)
{
    double rate = (flow->ok + flow->fail) * share;
    if (room == NULL) {
        row_of(t, "room", "closed")->after += rate;
        t->out->lost += flow->ok * share;
        return;
    }
    if (room_degrade(t, flow, room, rate))
        return;
    arrive(t, flow, room, rate);
    if (strcmp(room, flow->counter->room) == 0)
        return;
    t->out->moved += g_strcmp0(room, from) != 0 ? flow->ok * share : 0;
    t->out->moved_failing += flow->fail * share;
}

/* The slots that the flow can be of: those that the table sends to its room; when there are none, all. */
static unsigned flow_rooms(const struct teller *t, const struct flow *flow, const struct shift *shift,
                           bool own[static SPLIT_ROOMS_MAX])
{
    unsigned slots = 0;
    for (int all = 0; all < 2 && slots == 0; all++)
        for (unsigned i = 0; i < shift->now.n_rooms; i++) {
            own[i] = all || g_strcmp0(used_now(t, flow, shift->now.rooms[i]), flow->counter->room) == 0;
            for (unsigned k = 0; own[i] && k < SPLIT_ROOMS_MAX; k++)
                slots += shift->slots[i][k];
        }
    return slots;
}

static void flow_rooms_tell(struct teller *t, const struct flow *flow)
{
    const char *room = flow->counter->room;
    const char *row = room[0] != '\0' ? room : counter_by_edge(flow->counter) ? "degraded" : "closed";
    row_of(t, "room", row)->before += flow->ok + flow->fail;
    struct forecast_row *pool = room[0] != '\0' ? pool_row(t, flow->service->o.name, room) : NULL;
    if (room[0] != '\0') {
        const char *via = flow->counter->via;
        entrance_row(t, room, via)->before += flow->ok + flow->fail;
        line_load_add(t->lines, strcmp(via, "ring") == 0 ? flow->edge->o.name : via, room, false, flow->ok + flow->fail,
                      flow->sizes);
    }
    if (pool != NULL)
        pool->before += flow->ok + flow->fail;

    const struct shift *shift = shift_of(t, flow);
    bool own[SPLIT_ROOMS_MAX] = {false};
    unsigned slots = flow_rooms(t, flow, shift, own);
    if (slots == 0) {
        flow_to(t, flow, NULL, NULL, flow->passes);
        return;
    }
    for (unsigned k = 0; k < SPLIT_ROOMS_MAX; k++)
        for (unsigned i = 0; i < shift->now.n_rooms; i++)
            if (own[i] && shift->slots[i][k] > 0)
                flow_to(t, flow, used_now(t, flow, shift->now.rooms[i]), used_then(t, flow, shift, k),
                        flow->passes * shift->slots[i][k] / slots);
}

static void flow_edges_tell(struct teller *t, const struct flow *flow)
{
    double rate = flow->ok + flow->fail;
    row_of(t, "edge", flow->edge->o.name)->before += rate;
    const struct name_edges *edges = flow->name;
    if (!edges->changed)
        row_of(t, "edge", flow->edge->o.name)->after += rate;
    for (guint i = 0; edges->changed && i < edges->then->len; i++)
        row_of(t, "edge", ((const struct edge *)edges->then->pdata[i])->o.name)->after += rate / edges->then->len;
}

/* Classes of the edges that answer what arrives at flow->edge, and what will: a dedicated group is relayed. */
static void flow_classes(const struct teller *t, struct flow *flow)
{
    bool relayed = world_group_edge_class(t->now, flow->group) == EDGE_DEDICATED;
    flow->class_now = relayed ? EDGE_DEDICATED : flow->edge->class;
    if (flow->group_then == NULL)
        flow->class_then = flow->class_now;
    else if (world_group_edge_class(t->then, flow->group_then) == EDGE_DEDICATED)
        flow->class_then = EDGE_DEDICATED;
    else
        flow->class_then = flow->name->class_then != flow->name->class_now ? flow->name->class_then : flow->edge->class;
}

static const struct sizes *sizes_of(const struct teller *t, const struct edge_report *report, const char *policy)
{
    const struct sizes *own = g_hash_table_lookup(report->sizes, policy);
    const struct mean *mean = g_hash_table_lookup(t->sizes, policy);
    return own != NULL ? own : mean != NULL ? &mean->sizes : NULL;
}

static void counter_tell(struct teller *t, const struct edge *edge, const struct edge_report *report,
                         const struct counter *counter)
{
    const struct policy_ref *ref = g_hash_table_lookup(t->policies, counter->policy);
    if (ref == NULL) {
        if (counter->rate > 0)
            note(t, "%s counts requests of policy %s, which is not of this inventory", edge->o.name, counter->policy);
        return;
    }
    struct flow flow = {.counter = counter, .edge = edge, .group = ref->group, .service = ref->service};
    flow.group_then = INVENTORY_GET(t->then->inventory, group, ref->group->o.name);
    flow.service_then =
        flow.group_then != NULL ? INVENTORY_GET(t->then->inventory, service, ref->service->o.name) : NULL;

    flow.sizes = sizes_of(t, report, counter->policy);
    flow.name = name_of(t, flow.group, edge);
    flow_classes(t, &flow);

    bool by_edge = counter_by_edge(counter), relayed = strcmp(counter->via, "relay") == 0;
    bool answered = counter->room[0] != '\0' || by_edge;
    flow.fail = answered || relayed ? MIN(counter->fail_rate, counter->rate) : counter->rate;
    flow.ok = answered ? counter->rate - flow.fail : 0;
    if (flow.ok + flow.fail <= 0)
        return;
    t->out->total += flow.ok + flow.fail;
    t->out->failing += flow.fail;
    flow_degrade(t, &flow);
    flow_rooms_tell(t, &flow);
    flow_edges_tell(t, &flow);
}

static void row_limit(struct forecast_row *row, const struct teller *t, const char *room, double passes)
{
    g_autofree char *entrance = g_strconcat(room, "/", NULL);
    GHashTableIter iter;
    gpointer key, pool;
    if (strcmp(row->kind, "entrance") == 0 && g_str_has_prefix(row->name, entrance))
        row->after *= passes;
    g_hash_table_iter_init(&iter, t->pools);
    while (strcmp(row->kind, "pool") == 0 && g_hash_table_iter_next(&iter, &key, &pool))
        if (strcmp(pool, row->name) == 0 && strcmp(strchr(key, '/') + 1, room) == 0)
            row->after *= passes;
}

/* What limits of rooms refuse, of all that was found to arrive there. */
static void room_limits_tell(struct teller *t)
{
    INVENTORY_FOREACH (t->then->inventory, room, room) {
        double limit = (double)world_room_limit_passes(t->then, room->o.name);
        struct forecast_row *all = row_of(t, "room", room->o.name);
        if (limit <= 0 || all->after <= limit)
            continue;
        for (guint i = 0; i < t->out->rows->len; i++)
            row_limit(t->out->rows->pdata[i], t, room->o.name, limit / all->after);
        t->out->shed += all->after - limit;
        all->after = limit;
    }
}

/* Interfaces whose levers are or would be off their defaults, and whose share nobody has said. */
static void interface_levers_tell(struct teller *t)
{
    INVENTORY_FOREACH (t->then->inventory, interface, interface) {
        const double *rate = g_hash_table_lookup(t->rates, interface->service);
        const struct interface *was = INVENTORY_GET(t->now->inventory, interface, interface->o.name);
        bool moved = world_interface_moved(t->then, interface) || (was != NULL && world_interface_moved(t->now, was));
        if (!moved || interface->share > 0 || rate == NULL)
            continue;
        g_autofree char *all = words_rate(*rate);
        note(t,
             "interface %s has no share: how many of the %s requests/s of service %s are its own, and so what edges "
             "answer or refuse of it (interface.degrade %s, interface.limit %s), is not in this forecast",
             interface->o.name, all, interface->service,
             controls_value(t->then->controls, LEVER_INTERFACE_DEGRADE, interface->o.name),
             controls_value(t->then->controls, LEVER_INTERFACE_LIMIT, interface->o.name));
    }
}

/* Who cannot work without it, as far as the inventory says; g_free. */
static char *needed_by(const struct world *w, const char *component)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    INVENTORY_FOREACH (w->inventory, service, service) {
        if (service->needs != NULL && g_strv_contains((const char *const *)service->needs, component))
            g_ptr_array_add(names, service->o.name);
    }
    return names->len > 0 ? words_list(names, 8) : g_strdup("no service that says so");
}

/* Levers of components that differ: what their users will find. */
static void component_levers_tell(struct teller *t)
{
    static const enum lever levers[] = {LEVER_COMPONENT_PRIMARY, LEVER_COMPONENT_CONSUMPTION};
    INVENTORY_FOREACH (t->then->inventory, component, component) {
        for (size_t i = 0; i < G_N_ELEMENTS(levers); i++) {
            const struct component *was = INVENTORY_GET(t->now->inventory, component, component->o.name);
            const char *now = was != NULL ? world_component_value(t->now, was, levers[i]) : NULL;
            const char *then = world_component_value(t->then, component, levers[i]);
            if (was == NULL || g_strcmp0(now, then) == 0)
                continue;
            g_autofree char *users = needed_by(t->then, component->o.name);
            bool published = inventory_list(t->then->inventory, OBJECT_registry)->len > 0;
            note(t, "%s/%s would be %s, it is %s; needed by %s%s", lever_class(levers[i])->name, component->o.name,
                 then != NULL ? then : "each room's own", now != NULL ? now : "each room's own", users,
                 published ? "" : "; there is no registry to publish it, so nobody is told by this change");
        }
    }
}

/* What arrives for each service, before it is known how much a limit leaves of it. */
static void rates_add(struct teller *t, const struct edge_report *report)
{
    for (guint i = 0; i < report->counters->len; i++) {
        const struct counter *counter = report->counters->pdata[i];
        const struct policy_ref *ref = g_hash_table_lookup(t->policies, counter->policy);
        bool relayed = strcmp(counter->via, "relay") == 0;
        if (ref == NULL)
            continue;
        double *rate = g_hash_table_lookup(t->rates, ref->service->o.name);
        if (rate == NULL) {
            rate = g_new0(double, 1);
            g_hash_table_insert(t->rates, ref->service->o.name, rate);
        }
        *rate += relayed ? MIN(counter->fail_rate, counter->rate) : counter->rate;
    }
}

static void sizes_add(struct teller *t, const struct edge_report *report)
{
    GHashTableIter iter;
    gpointer policy, value;
    g_hash_table_iter_init(&iter, report->sizes);
    while (g_hash_table_iter_next(&iter, &policy, &value)) {
        const struct sizes *sizes = value;
        struct mean *mean = g_hash_table_lookup(t->sizes, policy);
        if (mean == NULL) {
            mean = g_new0(struct mean, 1);
            g_hash_table_insert(t->sizes, policy, mean);
        }
        mean->n++;
        mean->sizes.request += (sizes->request - mean->sizes.request) / mean->n;
        mean->sizes.answer += (sizes->answer - mean->sizes.answer) / mean->n;
    }
}

static void rates_tell(struct teller *t, const struct observed *observed, int64_t now_us)
{
    INVENTORY_FOREACH (t->now->inventory, edge, edge) {
        const struct edge_report *report = observed_edge(observed, edge->o.name);
        if (!edge_report_fresh(report, now_us))
            continue;
        rates_add(t, report);
        sizes_add(t, report);
    }
}

/* Adds the counters of all edges with a fresh report; true if they are enough to know. */
static bool reports_tell(struct teller *t, const struct observed *observed, int64_t now_us)
{
    unsigned in = 0, fresh = 0;
    INVENTORY_FOREACH (t->now->inventory, edge, edge) {
        const struct edge_report *report = observed_edge(observed, edge->o.name);
        bool is_fresh = edge_report_fresh(report, now_us);
        bool is_in = world_edge_in(t->now, edge);
        in += is_in;
        fresh += is_in && is_fresh;
        if (is_in && !is_fresh)
            note(t, "%s has %s: its requests are not in this forecast", edge->o.name,
                 report == NULL ? "never reported" : "not reported lately");
        for (guint i = 0; is_fresh && i < report->counters->len; i++)
            counter_tell(t, edge, report, report->counters->pdata[i]);
    }
    if (t->out->total < FORECAST_RATE_MIN)
        note(t, "less than one request per second is reported: shares are unknown");
    return fresh > 0 && 2 * fresh >= in && t->out->total >= FORECAST_RATE_MIN;
}

static int kind_rank(const struct forecast_row *row)
{
    static const char *const kinds[] = {"room", "entrance", "line", "pool", NULL};
    int rank = 0;
    while (kinds[rank] != NULL && strcmp(kinds[rank], row->kind) != 0)
        rank++;
    return rank;
}

static gint row_compare(gconstpointer a, gconstpointer b)
{
    const struct forecast_row *x = *(const struct forecast_row *const *)a, *y = *(const struct forecast_row *const *)b;
    int order = kind_rank(x) - kind_rank(y);
    return order != 0 ? order : strcmp(x->name, y->name);
}

static GHashTable *policies_by_name(const GArray *policies)
{
    GHashTable *by_name = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < policies->len; i++) {
        struct policy_ref *ref = &g_array_index(policies, struct policy_ref, i);
        g_hash_table_insert(by_name, policy_name(ref->group, ref->service->o.name), ref);
    }
    return by_name;
}

struct forecast *forecast(const struct resolved *now, const struct resolved *then, const struct observed *observed,
                          int64_t now_us)
{
    struct forecast *out = g_new0(struct forecast, 1);
    out->rows = g_ptr_array_new_with_free_func(row_free);
    out->notes = g_ptr_array_new_with_free_func(g_free);
    out->distance = resolved_compare(now, then);
    out->zone_share = resolved_zone_share(now, then);
    g_autoptr(GArray) policies = world_policies(now->world);
    sb_auto(line_load) lines = line_load_new();
    struct teller t = {
        .out = out,
        .now = now->world,
        .then = then->world,
        .policies = policies_by_name(policies),
        .shifts = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, shift_free),
        .edges = g_hash_table_new_full(NULL, NULL, NULL, name_edges_free),
        .rows = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
        .rates = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free),
        .sizes = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free),
        .lines = lines,
        .pools = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
    };
    pools_collect(t.pools, now->world);
    pools_collect(t.pools, then->world);
    INVENTORY_FOREACH (then->world->inventory, room, room) {
        row_of(&t, "room", room->o.name);
    }
    rates_tell(&t, observed, now_us);
    out->known = reports_tell(&t, observed, now_us);
    variants_tell(&t);
    room_limits_tell(&t);
    interface_levers_tell(&t);
    line_load_tell(lines, now->world, then->world, out);
    component_levers_tell(&t);
    if (out->zone_share != NULL)
        note(&t, "dns: %s: its name servers will refuse the change unless dnszone.guard is off", out->zone_share);
    g_ptr_array_sort(out->rows, row_compare);
    g_hash_table_unref(t.policies);
    g_hash_table_unref(t.shifts);
    g_hash_table_unref(t.edges);
    g_hash_table_unref(t.rows);
    g_hash_table_unref(t.rates);
    g_hash_table_unref(t.sizes);
    g_hash_table_unref(t.pools);
    return out;
}

void forecast_free(struct forecast *forecast)
{
    if (forecast == NULL)
        return;
    g_ptr_array_unref(forecast->rows);
    g_ptr_array_unref(forecast->notes);
    g_free(forecast->zone_share);
    g_free(forecast);
}

json_t *forecast_to_json(const struct forecast *f)
{
    json_t *rows = json_array();
    for (guint i = 0; i < f->rows->len; i++) {
        const struct forecast_row *row = f->rows->pdata[i];
        json_t *json = json_pack("{s:s, s:s, s:f, s:f}", "kind", row->kind, "name", row->name, "before", row->before,
                                 "after", row->after);
        if (row->mbit_max > 0)
            json_object_update_new(json, json_pack("{s:f, s:f, s:I}", "mbit_before", row->mbit_before, "mbit_after",
                                                   row->mbit_after, "mbit_max", (json_int_t)row->mbit_max));
        json_array_append_new(rows, json);
    }
    json_t *changes = json_pack(
        "{s:i, s:i, s:i, s:i, s:i, s:i}", "public_entries", (int)f->distance.entries[EDGE_PUBLIC], "dedicated_entries",
        (int)f->distance.entries[EDGE_DEDICATED], "public_slow_entries", (int)f->distance.slow_entries[EDGE_PUBLIC],
        "dedicated_slow_entries", (int)f->distance.slow_entries[EDGE_DEDICATED], "rrsets", (int)f->distance.rrsets,
        "endpoints", (int)f->distance.endpoints);
    if (f->distance.gateways > 0)
        json_object_set_new(changes, "gateways", json_integer(f->distance.gateways));
    return json_pack("{s:b, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o, s:o}", "known", f->known, "total", f->total,
                     "failing", f->failing, "moved", f->moved, "moved_failing", f->moved_failing, "lost", f->lost,
                     "degraded", f->degraded, "shed", f->shed, "rows", rows, "notes", names_to_json(f->notes),
                     "changes", changes);
}

static void text_figure(GString *text, const char *what, double part, double of)
{
    g_autofree char *rate = words_rate(part);
    g_autofree char *percent = words_percent(part, of);
    g_string_append_printf(text, "  %-34s %9s/s  %s\n", what, rate, percent);
}

static void text_mbit(GString *text, const struct forecast_row *row)
{
    g_autofree char *before = words_rate(row->mbit_before), *after = words_rate(row->mbit_after);
    g_autofree char *most = words_count((uint64_t)row->mbit_max);
    g_string_append_printf(text, ", %s -> %s of %s Mbit/s", before, after, most);
}

static void text_rows(GString *text, const struct forecast *f)
{
    for (guint i = 0; i < f->rows->len; i++) {
        const struct forecast_row *row = f->rows->pdata[i];
        g_autofree char *before = words_rate(row->before);
        g_autofree char *after = words_rate(row->after);
        g_string_append_printf(text, "  %-8s %-25s %9s/s  -> %s/s", row->kind, row->name, before, after);
        if (row->mbit_max > 0)
            text_mbit(text, row);
        g_string_append_c(text, '\n');
    }
}

char *forecast_text(const struct forecast *f)
{
    GString *text = g_string_new(f->known ? "forecast\n" : "forecast (not known)\n");
    double healthy = f->total - f->failing;
    g_autofree char *total = words_rate(f->total);
    g_string_append_printf(text, "  %-34s %9s/s\n", "requests now", total);
    text_figure(text, "of them fail now", f->failing, f->total);
    text_figure(text, "healthy, would change room", f->moved, healthy);
    text_figure(text, "healthy, nobody would answer", f->lost, healthy);
    text_figure(text, "failing, would change room", f->moved_failing, f->failing);
    if (f->degraded > 0)
        text_figure(text, "edges would answer by themselves", f->degraded, f->total);
    if (f->shed > 0)
        text_figure(text, "a limit would refuse", f->shed, f->total);
    text_rows(text, f);
    g_autofree char *sets = words_plural(f->distance.rrsets, "record set");
    g_string_append_printf(text, "  table entries: %u on public edges, %u on dedicated edges; %s\n",
                           f->distance.entries[EDGE_PUBLIC] + f->distance.slow_entries[EDGE_PUBLIC],
                           f->distance.entries[EDGE_DEDICATED] + f->distance.slow_entries[EDGE_DEDICATED], sets);
    if (f->distance.gateways > 0)
        g_string_append_printf(text, "  gateways: %u lines of their tables\n", f->distance.gateways);
    if (f->distance.endpoints > 0)
        g_string_append_printf(text, "  east-west: whom callers call changes in %u rows of service and zone\n",
                               f->distance.endpoints);
    for (guint i = 0; i < f->notes->len; i++)
        g_string_append_printf(text, "  note: %s\n", (char *)f->notes->pdata[i]);
    return g_string_free(text, FALSE);
}
