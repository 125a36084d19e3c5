#include "server/interlocking/resolve.h"
#include "schema/field.h"
#include "server/interlocking/eastwest.h"
#include "server/interlocking/gateways.h"
#include "server/interlocking/slow_parts.h"

#include <string.h>

/* A split in force, by its text; services of one text share it. */
struct split_use {
    unsigned index;
    struct split split;
};
struct fast {
    struct resolved *out;
    const struct world *w;
    GArray *policies;         /* struct policy_ref */
    GHashTable *splits;       /* text -> struct split_use * */
    GHashTable *of;           /* service name -> text, of `splits` */
    GHashTable *degrade;      /* service name -> degrade_fields of it */
    GHashTable *by_interface; /* set of names of services that edges tell the interfaces of apart */
};

char *policy_name(const struct group *group, const char *service)
{
    return g_strdup_printf("%s.%s", group->o.name, service);
}

static int dotted_compare(const char *a_head, const char *a_tail, const char *b_head, const char *b_tail)
{
    g_autofree char *a = g_strconcat(a_head, ".", a_tail, NULL);
    g_autofree char *b = g_strconcat(b_head, ".", b_tail, NULL);
    return strcmp(a, b);
}

static gint policy_compare(gconstpointer a, gconstpointer b)
{
    const struct policy_ref *x = a, *y = b;
    return dotted_compare(x->group->o.name, x->service->o.name, y->group->o.name, y->service->o.name);
}

static void policy_add(GArray *policies, const struct inventory *inv, const struct group *group, const char *name)
{
    struct policy_ref ref = {group, INVENTORY_GET(inv, service, name)};
    if (ref.group != NULL && ref.service != NULL)
        g_array_append_val(policies, ref);
}

GArray *world_policies(const struct world *world)
{
    const struct inventory *inv = world->inventory;
    GArray *policies = g_array_new(FALSE, FALSE, sizeof(struct policy_ref));
    INVENTORY_FOREACH (inv, group, group) {
        policy_add(policies, inv, group, group->service);
    }
    INVENTORY_FOREACH (inv, route, route) {
        policy_add(policies, inv, INVENTORY_GET(inv, group, route->group), route->service);
    }
    g_array_sort(policies, policy_compare);
    guint kept = 0;
    for (guint i = 0; i < policies->len; i++) {
        struct policy_ref ref = g_array_index(policies, struct policy_ref, i);
        if (kept == 0 || policy_compare(&ref, &g_array_index(policies, struct policy_ref, kept - 1)) != 0)
            g_array_index(policies, struct policy_ref, kept++) = ref;
    }
    g_array_set_size(policies, kept);
    return policies;
}

static void split_use_free(gpointer data)
{
    struct split_use *use = data;
    split_clear(&use->split);
    g_free(use);
}

/* What levers say and world_service_split had to pass over. */
static void split_levers_check(struct fast *f, const struct service *service)
{
    const char *expected =
        service->active == SERVICE_SINGLE ? "default: a single-room service is at home" : "rooms that exist";
    const char *value = controls_value(f->w->controls, LEVER_SPLIT, service->o.name),
               *pin = controls_value(f->w->controls, LEVER_SPLIT_PIN, service->o.name);
    struct split split;
    struct split_pins pins;
    world_service_unpinned(f->w, service, &split);
    g_autofree char *text = strcmp(value, "default") != 0 && split.n_rooms > 0 ? split_format(&split) : g_strdup(value);
    split_clear(&split);
    if (strcmp(text, value) != 0)
        finding_value_on(f->out->findings, &service->o, "split", value, expected);
    if (strcmp(pin, "default") == 0)
        return;
    if (world_service_pins(f->w, service, &pins))
        split_clear(&pins.slots);
    else
        finding_value_on(f->out->findings, &service->o, "split.pin", pin, expected);
}

static void degrade_lever_check(struct fast *f, const struct service *service)
{
    const char *value = controls_value(f->w->controls, LEVER_SERVICE_DEGRADE, service->o.name);
    if (strcmp(value, "stale") == 0 && !service->last_good)
        finding_value_on(f->out->findings, &service->o, "degrade", value,
                         "default, off or static: no answers are kept");
}

/* Each edge lets 1/s through at least. */
static void limit_check(struct fast *f, const struct object *object, int64_t limit, int64_t passes)
{
    if (passes <= limit)
        return;
    g_autofree char *found =
        g_strdup_printf("%" G_GINT64_FORMAT " for %" G_GINT64_FORMAT " edges, each lets 1/s through", limit, passes);
    g_autofree char *expected = g_strdup_printf("%" G_GINT64_FORMAT " or more", passes);
    finding_on(f->out->findings, object, "limit", found, expected);
}

static void limits_check(struct fast *f)
{
    INVENTORY_FOREACH (f->w->inventory, service, service)
        limit_check(f, &service->o, world_service_limit(f->w, service), world_service_limit_passes(f->w, service));
    INVENTORY_FOREACH (f->w->inventory, room, room)
        limit_check(f, &room->o, world_room_limit(f->w, room->o.name), world_room_limit_passes(f->w, room->o.name));
}

static void interface_check(struct fast *f, const struct service *service, const struct interface *interface)
{
    const char *value = controls_value(f->w->controls, LEVER_INTERFACE_DEGRADE, interface->o.name);
    int64_t limit = world_interface_limit(f->w, interface);
    if (strcmp(value, "stale") == 0 && !service->last_good)
        finding_value_on(f->out->findings, &interface->o, "degrade", value,
                         "default, off or static: no answers are kept");
    limit_check(f, &interface->o, limit, world_interface_limit_passes(f->w, interface));
    if (limit == 0 || world_interface_limit_number(f->w, interface) > 0)
        return;
    g_autofree char *expected =
        g_strdup_printf("at most %d interfaces of service %s with a limit", INTERFACE_LIMITS_MAX, service->o.name);
    finding_on(f->out->findings, &interface->o, "limit", "one more, which edges do not count", expected);
}

static void interfaces_collect(struct fast *f)
{
    INVENTORY_FOREACH (f->w->inventory, interface, interface) {
        const struct service *service = INVENTORY_GET(f->w->inventory, service, interface->service);
        if (service == NULL || !world_interface_moved(f->w, interface))
            continue;
        interface_check(f, service, interface);
        g_hash_table_add(f->by_interface, service->o.name);
    }
}

static const char *const degrade_words[] = {
    [DEGRADE_OFF] = "live", [DEGRADE_STALE] = "stale", [DEGRADE_STATIC] = "static"};

static const char *degrade_word(const struct service *service, enum degrade degrade)
{
    return degrade == DEGRADE_OFF && service->last_good ? "keep" : degrade_words[degrade];
}

/* The last fields of a policy's row, "" where nobody asks for them, so that agents of before understand it. */
static char *degrade_fields(const struct fast *f, const struct service *service)
{
    enum degrade degrade = world_service_degrade(f->w, service);
    int64_t share = world_service_limit_share(f->w, service);
    bool by_interface = g_hash_table_contains(f->by_interface, service->o.name);
    if (degrade == DEGRADE_OFF && share == 0 && !service->last_good && !by_interface)
        return g_strdup("");
    return g_strdup_printf("|%s|%" G_GINT64_FORMAT "%s", degrade_word(service, degrade), share,
                           by_interface ? "|interfaces" : "");
}

/* All interfaces of a service, if a lever of one is off its default: what is of another is not of that one. */
static void interfaces_add(const struct fast *f, GPtrArray *lines)
{
    INVENTORY_FOREACH (f->w->inventory, interface, interface) {
        if (!g_hash_table_contains(f->by_interface, interface->service))
            continue;
        const struct service *service = INVENTORY_GET(f->w->inventory, service, interface->service);
        g_autofree char *method = choice_text(INTERFACE_METHODS, interface->method);
        lines_add(lines, INTERFACE_ROW "%s/%s/%s%s/ %zu|%s|%" G_GINT64_FORMAT "|%u\n", service->o.name, method,
                  interface->host != NULL ? interface->host : "-", interface->path, strlen(interface->path) + 1,
                  degrade_word(service, world_interface_degrade(f->w, service, interface)),
                  world_interface_limit_share(f->w, interface), world_interface_limit_number(f->w, interface));
    }
}

static void split_collect(struct fast *f, const struct service *service)
{
    if (g_hash_table_contains(f->of, service->o.name))
        return;
    degrade_lever_check(f, service);
    struct split_use *use = g_new0(struct split_use, 1);
    world_service_split(f->w, service, &use->split);
    split_levers_check(f, service);
    if (use->split.n_rooms == 0) {
        finding_value_on(f->out->findings, &service->o, "home", service->home != NULL ? service->home : "", "a room");
        split_use_free(use);
        return;
    }
    char *text = split_format(&use->split);
    gpointer known;
    if (g_hash_table_lookup_extended(f->splits, text, &known, NULL)) {
        g_free(text);
        split_use_free(use);
    } else {
        g_hash_table_insert(f->splits, text, use);
        known = text;
    }
    g_hash_table_insert(f->of, service->o.name, known);
    g_hash_table_insert(f->degrade, service->o.name, degrade_fields(f, service));
}

static gint text_compare(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static GPtrArray *split_texts(const struct fast *f)
{
    GPtrArray *texts = g_ptr_array_new();
    GHashTableIter iter;
    gpointer text;
    g_hash_table_iter_init(&iter, f->splits);
    while (g_hash_table_iter_next(&iter, &text, NULL))
        g_ptr_array_add(texts, text);
    g_ptr_array_sort(texts, text_compare);
    return texts;
}

/* Five hex digits of the text's hash; the rare collision takes the next free index, in the order of texts. */
static void splits_number(struct fast *f)
{
    g_autoptr(GPtrArray) texts = split_texts(f);
    g_autoptr(GHashTable) taken = g_hash_table_new(NULL, NULL);
    for (guint i = 0; i < texts->len; i++) {
        const char *text = texts->pdata[i];
        char hash[PART_HASH_SIZE];
        part_hash(text, strlen(text), hash);
        hash[5] = '\0';
        guint index = (guint)g_ascii_strtoull(hash, NULL, 16);
        while (!g_hash_table_add(taken, GUINT_TO_POINTER(index)))
            index = (index + 1) & 0xfffff;
        ((struct split_use *)g_hash_table_lookup(f->splits, text))->index = index;
    }
}

static void part_put(struct resolved *out, int edge_class, enum part part, GBytes *bytes)
{
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);
    part_hash(data, size, out->tables[edge_class].hash[part]);
    g_hash_table_replace(out->parts, g_strdup(out->tables[edge_class].hash[part]), bytes);
}

static void slow_put(struct resolved *out)
{
    const struct slow_parts *slow = out->slow;
    for (int c = 0; c < EDGE_CLASSES; c++) {
        memcpy(out->tables[c].hash[PART_ROUTES], slow->routes_hash, PART_HASH_SIZE);
        memcpy(out->tables[c].hash[PART_LAYOUT], slow->layout_hash[c], PART_HASH_SIZE);
        g_hash_table_replace(out->parts, g_strdup(slow->layout_hash[c]), g_bytes_ref(slow->layout[c]));
    }
    g_hash_table_replace(out->parts, g_strdup(slow->routes_hash), g_bytes_ref(slow->routes));
    for (guint i = 0; i < slow->findings->len; i++) {
        const struct finding *f = slow->findings->pdata[i];
        finding_add(out->findings, f->at, f->object, f->field, f->found, f->expected);
    }
}

static void splits_resolve(struct fast *f)
{
    for (guint i = 0; i < f->policies->len; i++)
        split_collect(f, g_array_index(f->policies, struct policy_ref, i).service);
    splits_number(f);
    GPtrArray *lines = lines_new();
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, f->splits);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct split_use *use = value;
        unsigned base = use->index * SLOT_COUNT;
        for (unsigned lo = 0, hi; lo < SLOT_COUNT; lo = hi + 1) {
            for (hi = lo; hi + 1 < SLOT_COUNT && use->split.room_of[hi + 1] == use->split.room_of[lo];)
                hi++;
            lines_add(lines, "%u:%u %s\n", base + lo, base + hi, use->split.rooms[use->split.room_of[lo]]);
        }
    }
    GBytes *bytes = lines_encode(lines);
    for (int c = 0; c < EDGE_CLASSES; c++)
        part_put(f->out, c, PART_SPLITS, g_bytes_ref(bytes));
    g_bytes_unref(bytes);
}

static void policies_resolve(struct fast *f, int edge_class)
{
    GPtrArray *lines = lines_new();
    for (guint i = 0; i < f->policies->len; i++) {
        const struct policy_ref *ref = &g_array_index(f->policies, struct policy_ref, i);
        const char *text = g_hash_table_lookup(f->of, ref->service->o.name);
        if (text == NULL)
            continue;
        const struct split_use *use = g_hash_table_lookup(f->splits, text);
        bool relay = edge_class == EDGE_PUBLIC && world_group_edge_class(f->w, ref->group) == EDGE_DEDICATED;
        const char *degrade = g_hash_table_lookup(f->degrade, ref->service->o.name);
        g_autofree char *timeout = ref->service->timeout > 0
                                       ? g_strdup_printf("|%" G_GINT64_FORMAT, ref->service->timeout)
                                       : g_strdup(degrade[0] != '\0' ? "|" : "");
        lines_add(lines, "%s.%s %u|%s|%s|%s%s%s\n", ref->group->o.name, ref->service->o.name, use->index,
                  ref->service->active == SERVICE_MULTI ? "multi" : "single",
                  world_service_auto_dr(f->w, ref->service) ? "on" : "off", relay ? "relay" : "local", timeout,
                  degrade);
    }
    interfaces_add(f, lines);
    part_put(f->out, edge_class, PART_POLICIES, lines_encode(lines));
}

static void rooms_resolve(struct fast *f, int edge_class)
{
    GPtrArray *lines = lines_new();
    INVENTORY_FOREACH (f->w->inventory, room, room) {
        const char *multi = world_room_used(f->w, edge_class, true, room->o.name);
        const char *single = world_room_used(f->w, edge_class, false, room->o.name);
        lines_add(lines, "multi/%s %s\n", room->o.name, multi != NULL ? multi : "-");
        lines_add(lines, "single/%s %s\n", room->o.name, single != NULL ? single : "-");
        enum degrade degrade = world_room_degrade(f->w, room->o.name);
        int64_t share = world_room_limit_share(f->w, room->o.name);
        if (degrade != DEGRADE_OFF || share > 0)
            lines_add(lines, "degrade/%s %s|%" G_GINT64_FORMAT "\n", room->o.name, degrade_words[degrade], share);
    }
    for (unsigned i = 0; i < f->w->pins.n; i++)
        if (f->w->pins.key[i].secret[0] != '\0')
            lines_add(lines, PIN_ROW "%s %s\n", f->w->pins.key[i].id, f->w->pins.key[i].secret);
    part_put(f->out, edge_class, PART_ROOMS, lines_encode(lines));
}

/* What is out: the entrances of a room that is closed, for the services it is closed for, and entrances that are out.
 */
static void origin_add(struct fast *f, GPtrArray *lines, int edge_class, const char *room, const char *entrance,
                       bool in)
{
    /* An escape keeps a room usable whose own entrances are not. */
    bool single =
        edge_class != EDGE_PUBLIC || (world_room_ingress_open(f->w, room) && !world_room_escapes_always(f->w, room));
    if (!in || !world_room_usable(f->w, edge_class, true, room))
        lines_add(lines, "multi/%s/%s out\n", room, entrance);
    if (!in || !single || !world_room_usable(f->w, edge_class, false, room))
        lines_add(lines, "single/%s/%s out\n", room, entrance);
}

static void escapes_add(struct fast *f, GPtrArray *lines)
{
    INVENTORY_FOREACH (f->w->inventory, gwvip, vip) {
        if (vip->to == NULL)
            continue;
        g_autoptr(GPtrArray) used = world_room_escapes(f->w, vip->to);
        if (!g_ptr_array_find(used, vip, NULL))
            lines_add(lines, "single/%s/%s out\n", vip->to, vip->o.name);
    }
}

static void relays_add(struct fast *f, GPtrArray *lines)
{
    g_autoptr(GPtrArray) used = world_relays(f->w);
    INVENTORY_FOREACH (f->w->inventory, edge, edge) {
        if (edge->class == EDGE_DEDICATED && edge->relay.port != 0 && !g_ptr_array_find(used, edge, NULL))
            lines_add(lines, "relay/%s/relay out\n", edge->o.name);
    }
}

static void origins_resolve(struct fast *f, int edge_class)
{
    const struct inventory *inv = f->w->inventory;
    GPtrArray *lines = lines_new();
    if (edge_class == EDGE_DEDICATED) {
        INVENTORY_FOREACH (inv, room, room) {
            if (room->ring.port != 0)
                origin_add(f, lines, edge_class, room->o.name, "ring", true);
        }
        INVENTORY_FOREACH (inv, pop, pop) {
            const struct room *room = INVENTORY_GET(inv, room, pop->room);
            if (room != NULL && room->ring.port != 0)
                origin_add(f, lines, edge_class, pop->room, pop->o.name, world_is_fallback(f->w, pop));
        }
    } else {
        INVENTORY_FOREACH (inv, pop, pop) {
            origin_add(f, lines, edge_class, pop->room, pop->o.name, world_pop_in(f->w, pop));
        }
        escapes_add(f, lines);
        relays_add(f, lines);
    }
    part_put(f->out, edge_class, PART_ORIGINS, lines_encode(lines));
}

static void gateways_resolve(struct fast *f)
{
    char hash[PART_HASH_SIZE];
    part_hash("", 0, hash); /* of a gateway's other parts */
    g_hash_table_replace(f->out->parts, g_strdup(hash), g_bytes_new_static("", 0));
    INVENTORY_FOREACH (f->w->inventory, gateway, gateway) {
        gsize size;
        GBytes *layout = gateway_layout(f->w, gateway, f->out->findings);
        const void *data = g_bytes_get_data(layout, &size);
        part_hash(data, size, hash);
        g_hash_table_replace(f->out->parts, g_strdup(hash), layout);
        g_hash_table_replace(f->out->gateways, g_strdup(gateway->o.name), g_strdup(hash));
    }
}

static char **addresses_of(const GPtrArray *edges, uint8_t family)
{
    g_autoptr(GPtrArray) texts = g_ptr_array_new();
    for (guint i = 0; i < edges->len; i++) {
        const struct edge *edge = edges->pdata[i];
        const struct addr *addrs[] = {&edge->address, &edge->address6};
        for (guint k = 0; k < G_N_ELEMENTS(addrs); k++) {
            char text[ADDR_TEXT_SIZE];
            if (addrs[k]->family == family)
                g_ptr_array_add(texts, g_strdup(addr_format(addrs[k], text)));
        }
    }
    g_ptr_array_sort(texts, text_compare);
    g_ptr_array_add(texts, NULL);
    return (char **)g_ptr_array_steal(texts, NULL);
}

static char *edges_why(const struct world *w, const struct policy_target *target, const GPtrArray *edges)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < edges->len; i++)
        g_string_append_printf(text, "%s%s", i == 0 ? "" : ", ", ((const struct edge *)edges->pdata[i])->o.name);
    g_autofree char *words = world_edges_words(w, target->group, target->variant);
    g_string_append_printf(text, ": %s", words);
    return g_string_free(text, FALSE);
}

static void variant_check(struct fast *f, const struct policy_target *target)
{
    g_autofree char *expected =
        g_strdup_printf("a %s edge of %s%s%s that is in",
                        edge_class_name(world_variant_edge_class(f->w, target->group, target->variant)),
                        target->variant->carrier, target->variant->region != NULL ? " in region " : "",
                        target->variant->region != NULL ? target->variant->region : "");
    finding_on(f->out->findings, &target->variant->o, "carrier", "none; it points to the edges of its group", expected);
}

static void group_check(struct fast *f, const struct group *group, const GPtrArray *edges)
{
    int edge_class = world_group_edge_class(f->w, group);
    const char *expected = edge_class == EDGE_PUBLIC ? "a public edge that is in" : "a dedicated edge that is in";
    const struct edge *first = edges->len > 0 ? edges->pdata[0] : NULL;
    if (first == NULL)
        finding_on(f->out->findings, &group->o, "edge_class", "no edge at all", expected);
    else if (first->class != edge_class)
        finding_on(f->out->findings, &group->o, "edge_class", "no edge of the class; its names point to all", expected);
    else if (!world_edge_in(f->w, first))
        finding_on(f->out->findings, &group->o, "edge_class", "every edge is out; its names point to all of them",
                   expected);
}

static void rrset_free(gpointer data)
{
    struct rrset *set = data;
    g_free(set->owner);
    g_strfreev(set->rdata);
    g_free(set->why);
    g_free(set);
}

/* The address records of a policy name, A before AAAA. */
static void policy_records_add(struct fast *f, const struct policy_target *target, GPtrArray *sets)
{
    static const struct {
        uint16_t type;
        uint8_t family;
    } kinds[] = {{RRTYPE_A, AF_INET}, {RRTYPE_AAAA, AF_INET6}};
    bool fits;
    g_autoptr(GPtrArray) edges = world_variant_edges(f->w, target->group, target->variant, &fits);
    if (target->variant == NULL)
        group_check(f, target->group, edges);
    else if (!fits)
        variant_check(f, target);
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_auto(GStrv) rdata = addresses_of(edges, kinds[i].family);
        if (rdata[0] == NULL)
            continue;
        struct rrset *set = g_new0(struct rrset, 1);
        set->owner = g_strdup(target->owner);
        set->type = kinds[i].type;
        set->ttl = target->group->ttl > 0 ? (uint32_t)target->group->ttl : POLICY_TTL_S;
        set->rdata = g_steal_pointer(&rdata);
        set->why = edges_why(f->w, target, edges);
        g_ptr_array_add(f->out->fast_rrsets, set);
        g_ptr_array_add(sets, set);
    }
}

/* Both lists are in the order of owners; so is what comes out. */
static void zone_merge(GPtrArray *out, const GArray *cnames, const GPtrArray *policy_sets)
{
    guint c = 0, p = 0;
    while (c < cnames->len || p < policy_sets->len) {
        struct rrset *cname = c < cnames->len ? &g_array_index(cnames, struct rrset, c) : NULL;
        struct rrset *policy = p < policy_sets->len ? policy_sets->pdata[p] : NULL;
        bool first = policy == NULL || (cname != NULL && strcmp(cname->owner, policy->owner) < 0);
        g_ptr_array_add(out, first ? cname : policy);
        *(first ? &c : &p) += 1;
    }
}

static void zone_resolve(struct fast *f, const struct slow_zone *slow)
{
    struct zone_records *records = g_new0(struct zone_records, 1);
    records->zone = g_strdup(slow->zone);
    records->unguarded = !world_zone_guarded(f->w, slow->zone);
    g_autoptr(GPtrArray) policy_sets = g_ptr_array_new();
    for (guint i = 0; i < slow->targets->len; i++)
        policy_records_add(f, slow->targets->pdata[i], policy_sets);
    records->rrsets = g_ptr_array_sized_new(slow->cnames->len + policy_sets->len);
    zone_merge(records->rrsets, slow->cnames, policy_sets);
    g_ptr_array_add(f->out->zones, records);
}

static void zone_destroy(gpointer zone)
{
    zone_records_free(zone);
}

static void finding_destroy(gpointer finding)
{
    finding_free(finding);
}

static void bytes_unref(gpointer bytes)
{
    g_bytes_unref(bytes);
}

static struct resolved *resolved_new(struct world *world, const struct resolved *previous)
{
    struct resolved *out = g_new0(struct resolved, 1);
    out->refs = 1;
    out->world = world_ref(world);
    out->parts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, bytes_unref);
    out->gateways = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    out->zones = g_ptr_array_new_with_free_func(zone_destroy);
    out->fast_rrsets = g_ptr_array_new_with_free_func(rrset_free);
    out->findings = g_ptr_array_new_with_free_func(finding_destroy);
    bool same = previous != NULL && previous->world->inventory == world->inventory;
    out->slow = same ? slow_parts_ref(previous->slow) : slow_parts_new(world->inventory);
    return out;
}

struct resolved *resolve(struct world *world, const struct resolved *previous)
{
    struct resolved *out = resolved_new(world, previous);
    struct fast fast = {
        .out = out,
        .w = world,
        .policies = world_policies(world),
        .splits = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, split_use_free),
        .of = g_hash_table_new(g_str_hash, g_str_equal),
        .degrade = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free),
        .by_interface = g_hash_table_new(g_str_hash, g_str_equal),
    };
    slow_put(out);
    interfaces_collect(&fast);
    splits_resolve(&fast);
    limits_check(&fast);
    for (int c = 0; c < EDGE_CLASSES; c++) {
        policies_resolve(&fast, c);
        rooms_resolve(&fast, c);
        origins_resolve(&fast, c);
    }
    if (inventory_list(world->inventory, OBJECT_gateway)->len > 0)
        gateways_resolve(&fast);
    for (guint i = 0; i < out->slow->zones->len; i++)
        zone_resolve(&fast, out->slow->zones->pdata[i]);
    out->endpoints = eastwest_endpoints(world, out->findings);
    g_array_unref(fast.policies);
    g_hash_table_unref(fast.by_interface);
    g_hash_table_unref(fast.degrade);
    g_hash_table_unref(fast.of);
    g_hash_table_unref(fast.splits);
    return out;
}

struct resolved *resolved_ref(struct resolved *resolved)
{
    __atomic_add_fetch(&resolved->refs, 1, __ATOMIC_RELAXED);
    return resolved;
}

void resolved_unref(struct resolved *resolved)
{
    if (resolved == NULL || __atomic_sub_fetch(&resolved->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    g_hash_table_unref(resolved->parts);
    g_hash_table_unref(resolved->gateways);
    g_ptr_array_unref(resolved->zones);
    g_ptr_array_unref(resolved->fast_rrsets);
    g_ptr_array_unref(resolved->findings);
    g_bytes_unref(resolved->endpoints);
    slow_parts_unref(resolved->slow);
    world_unref(resolved->world);
    g_free(resolved);
}

bool resolved_manifest(const struct resolved *resolved, const char *agent, struct manifest *out)
{
    const struct edge *edge = INVENTORY_GET(resolved->world->inventory, edge, agent);
    const char *gateway = g_hash_table_lookup(resolved->gateways, agent);
    if (edge == NULL && gateway == NULL)
        return false;
    memset(out, 0, sizeof *out);
    g_strlcpy(out->cluster, resolved->world->cluster, sizeof out->cluster);
    g_strlcpy(out->edge, agent, sizeof out->edge);
    g_strlcpy(out->cause, resolved->world->cause, sizeof out->cause);
    out->stamp = resolved->world->stamp;
    if (edge != NULL) {
        memcpy(out->hash, resolved->tables[edge->class].hash, sizeof out->hash);
        return true;
    }
    for (enum part part = 0; part < PARTS; part++)
        part_hash("", 0, out->hash[part]);
    g_strlcpy(out->hash[PART_LAYOUT], gateway, PART_HASH_SIZE);
    return true;
}

GBytes *resolved_gateway(const struct resolved *resolved, const char *gateway)
{
    const char *hash = g_hash_table_lookup(resolved->gateways, gateway);
    return hash != NULL ? resolved_part(resolved, hash) : NULL;
}

GBytes *resolved_part(const struct resolved *resolved, const char *hash)
{
    return g_hash_table_lookup(resolved->parts, hash);
}

const struct zone_records *resolved_zone(const struct resolved *resolved, const char *zone)
{
    for (guint i = 0; i < resolved->zones->len; i++) {
        const struct zone_records *records = resolved->zones->pdata[i];
        if (strcmp(records->zone, zone) == 0)
            return records;
    }
    return NULL;
}
