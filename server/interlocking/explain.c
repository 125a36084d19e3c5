#include "server/interlocking/gateways.h"
#include "server/interlocking/explain.h"
#include "core/error.h"
#include "schema/field.h"
#include "server/interlocking/slow_parts.h"
#include "server/interlocking/words.h"

#include <string.h>

/* The request in question, and what it meets. */
struct journey {
    const struct resolved *resolved;
    const struct world *w;
    const struct explain_query *query;
    char *host, *path, *method;
    bool has_slot;
    unsigned slot;
    const struct domain *domain;
    const struct group *group;
    const struct variant *variant; /* NULL: the name points at the group's own policy name */
    bool by_view;                  /* variant was looked for by the carrier that was named */
    const struct service *service;
    const struct interface *interface; /* NULL: none fits */
    const struct route *route;         /* NULL: the group's own service */
    GPtrArray *edges;                  /* const struct edge *, that the name points to */
    const struct edge *edge;
    int answering; /* class of the edges whose table names the room */
    char *policy;
    GPtrArray *rooms; /* char *, on the road; owned */
    json_t *turns;
};

static void turn(struct journey *j, const char *at, const char *is, const char *why, ...) G_GNUC_PRINTF(4, 5);
static void turn(struct journey *j, const char *at, const char *is, const char *why, ...)
{
    va_list args;
    va_start(args, why);
    g_autofree char *text = g_strdup_vprintf(why, args);
    va_end(args);
    json_array_append_new(j->turns, json_pack("{s:s, s:s, s:s}", "at", at, "is", is, "why", text));
}

/* What a lever says, or `otherwise`; g_free. */
static char *lever_or(const struct world *w, enum lever lever, const char *object, const char *otherwise)
{
    char *words = world_lever_words(w, lever, object);
    return words != NULL ? words : g_strdup(otherwise);
}

static bool bad_url(const char *url, GError **error)
{
    g_autofree char *found = text_quote(url);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "url: found %s, expected http://HOST/PATH", found);
    return false;
}

/* Host (lower case, no port) and path (no query, as edges see it). */
static bool url_parse(struct journey *j, GError **error)
{
    const char *url = j->query->url, *scheme = strstr(url, "://");
    const char *host = scheme != NULL ? scheme + 3 : url;
    if (scheme != NULL && !g_str_has_prefix(url, "http://") && !g_str_has_prefix(url, "https://"))
        return bad_url(url, error);
    size_t authority = strcspn(host, "/?#"), name = strcspn(host, ":/?#");
    if (name < authority && name + 1 + strspn(host + name + 1, "0123456789") != authority)
        return bad_url(url, error);
    j->host = g_ascii_strdown(host, (gssize)name);
    const char *path = host + authority;
    size_t path_len = strcspn(path, "?#");
    j->path = path_len == 0 ? g_strdup("/") : g_strndup(path, path_len);
    return text_valid(FIELD_FQDN, j->host) || bad_url(url, error);
}

/* The name is of everybody, and the carrier's resolvers make it the carrier's own. */
static bool carrier_find(struct journey *j, GError **error)
{
    const char *carrier = j->query->carrier;
    const struct inventory *inv = j->w->inventory;
    if (carrier == NULL)
        return true;
    if (INVENTORY_GET(inv, carrier, carrier) == NULL) {
        g_autofree char *found = text_quote(carrier);
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "carrier: found %s, expected a carrier that the inventory has",
                    found);
        return false;
    }
    if (j->variant != NULL)
        return true;
    INVENTORY_FOREACH (inv, variant, variant)
        if (strcmp(variant->group, j->group->o.name) == 0 && strcmp(variant->carrier, carrier) == 0 &&
            variant->region == NULL)
            j->variant = variant;
    j->by_view = true;
    return true;
}

static bool method_parse(struct journey *j, GError **error)
{
    j->method = g_ascii_strdown(j->query->method != NULL ? j->query->method : "get", -1);
    if (choice_find(INTERFACE_METHODS, j->method) > INTERFACE_ANY_METHOD)
        return true;
    g_autofree char *found = text_quote(j->query->method),
                    *expected = choices_join(strchr(INTERFACE_METHODS, '|') + 1, ", ");
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "method: found %s, expected one of %s", found, expected);
    return false;
}

static bool policy_find(struct journey *j, GError **error)
{
    const struct inventory *inv = j->w->inventory;
    j->domain = INVENTORY_GET(inv, domain, j->host);
    j->group = j->domain != NULL ? INVENTORY_GET(inv, group, j->domain->group) : NULL;
    if (j->group == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "no domain %s: edges answer 421 for it", j->host);
        return false;
    }
    const struct policy_target *target = domain_target(j->resolved->slow, j->domain);
    j->variant = target != NULL ? target->variant : NULL;
    INVENTORY_FOREACH (inv, route, route) {
        if (strcmp(route->group, j->group->o.name) == 0 && prefix_holds(route->prefix, j->path) &&
            (j->route == NULL || strlen(route->prefix) > strlen(j->route->prefix)))
            j->route = route;
    }
    const char *service = j->route != NULL ? j->route->service : j->group->service;
    j->service = INVENTORY_GET(inv, service, service);
    j->policy = policy_name(j->group, service);
    j->interface = interface_of(inv, service, j->host, j->method, j->path);
    if (j->service != NULL)
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "no service %s, which policy %s names", service, j->policy);
    return false;
}

static bool edge_find(struct journey *j, GError **error)
{
    const char *from = j->query->from;
    j->edges = world_variant_edges(j->w, j->group, j->variant, NULL);
    j->edge = from != NULL ? INVENTORY_GET(j->w->inventory, edge, from) : j->edges->len > 0 ? j->edges->pdata[0] : NULL;
    if (j->edge != NULL)
        return true;
    g_autofree char *found = text_quote(from);
    g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "from: found %s, expected an edge that the inventory has", found);
    return false;
}

static void key_find(struct journey *j, json_t *out)
{
    char key[SLOT_KEY_SIZE];
    j->has_slot = j->query->user != NULL && j->query->user[0] != '\0';
    if (j->has_slot)
        j->slot = slot_of_key(slot_key(key, j->query->user, NULL, NULL));
    json_object_set_new(out, "user", j->has_slot ? json_string(j->query->user) : json_null());
    json_object_set_new(out, "key", j->has_slot ? json_string(key) : json_null());
    json_object_set_new(out, "slot", j->has_slot ? json_integer(j->slot) : json_null());
}

static char *edges_words(const GPtrArray *edges, bool addresses)
{
    char text[ADDR_TEXT_SIZE];
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < edges->len; i++) {
        const struct edge *edge = edges->pdata[i];
        g_ptr_array_add(names, g_strdup(addresses ? addr_format(&edge->address, text) : edge->o.name));
    }
    return words_list(names, 4);
}

static void turn_name(struct journey *j)
{
    g_autofree char *owner = policy_owner(j->group, j->variant);
    if (j->by_view)
        turn(j, "name", owner, "%s is a name of group %s, %s %s", j->host, j->group->o.name,
             j->variant != NULL ? "which has this variant for the resolvers of" : "which has no variant for all of",
             j->query->carrier);
    else
        turn(j, "name", owner, "%s is a name of %s%s%sgroup %s", j->host, j->variant != NULL ? "variant " : "",
             j->variant != NULL ? j->variant->o.name : "", j->variant != NULL ? " of " : "", j->group->o.name);
    g_autofree char *addresses = edges_words(j->edges, true);
    g_autofree char *names = edges_words(j->edges, false);
    g_autofree char *why = world_edges_words(j->w, j->group, j->variant);
    turn(j, "address", addresses, "%s: %s", names, why);
}

static void turn_edge(struct journey *j)
{
    g_autofree char *is = g_strdup_printf("%s (%s)", j->edge->o.name, edge_class_name(j->edge->class));
    const char *which = j->edges->len == 1 ? "the only one" : "one";
    if (!g_ptr_array_find(j->edges, j->edge, NULL))
        turn(j, "edge", is, "as asked; the name does not point to it: a client that has not resolved since");
    else if (j->query->from != NULL)
        turn(j, "edge", is, "as asked; %s that the name points to", which);
    else
        turn(j, "edge", is, "%s that the name points to", j->edges->len == 1 ? which : "the first");
}

static void turn_relay(struct journey *j)
{
    j->answering = j->edge->class;
    if (j->edge->class == EDGE_DEDICATED || world_group_edge_class(j->w, j->group) == EDGE_PUBLIC)
        return;
    j->answering = EDGE_DEDICATED;
    g_autoptr(GPtrArray) relays = world_relays(j->w);
    g_autofree char *is = edges_words(relays, false);
    turn(j, "relay", relays->len > 0 ? is : "-",
         "group %s is served by dedicated edges: a public edge hands its requests over%s", j->group->o.name,
         relays->len > 0 ? "" : ", but no dedicated edge takes them: 503");
}

/* What edges answer or refuse by themselves; nothing is said while no lever asks for it. `lever`: of the object. */
static void turn_degrade(struct journey *j, enum degrade degrade, enum lever lever, const char *object)
{
    g_autofree char *why = world_lever_words(j->w, lever, object);
    if (degrade == DEGRADE_STATIC)
        turn(j, "degrade", "static", "%s: edges answer by themselves%s", why,
             lever != LEVER_ROOM_DEGRADE && j->service->degraded_body != NULL ? " what the inventory declares"
                                                                              : ", 503 and Retry-After");
    if (degrade == DEGRADE_STALE)
        turn(j, "degrade", "stale", "%s: edges give the last good answer to a GET where they have one", why);
}

static void turn_limit(struct journey *j, int64_t share, enum lever lever, const char *object)
{
    g_autofree char *why = world_lever_words(j->w, lever, object);
    g_autofree char *is = g_strdup_printf("%" G_GINT64_FORMAT "/s", share);
    if (share > 0)
        turn(j, "limit", is, "what each edge lets through; above 503 and Retry-After; %s", why);
}

/* The lever that decides: the interface's own, if it was moved and can be followed, else the service's. */
static void turn_own_degrade(struct journey *j)
{
    enum degrade of_service = world_service_degrade(j->w, j->service), degrade = of_service;
    if (j->interface != NULL)
        degrade = world_interface_degrade(j->w, j->service, j->interface);
    const char *value = j->interface != NULL
                            ? controls_value(j->w->controls, LEVER_INTERFACE_DEGRADE, j->interface->o.name)
                            : "default";
    bool own = strcmp(value, "default") != 0 && (strcmp(value, "stale") != 0 || j->service->last_good);
    if (degrade == DEGRADE_OFF && of_service != DEGRADE_OFF) {
        g_autofree char *why = world_lever_words(j->w, LEVER_INTERFACE_DEGRADE, j->interface->o.name);
        turn(j, "degrade", "off", "%s: its service answers", why);
    }
    turn_degrade(j, degrade, own ? LEVER_INTERFACE_DEGRADE : LEVER_SERVICE_DEGRADE,
                 own ? j->interface->o.name : j->service->o.name);
}

static void turn_interface(struct journey *j)
{
    if (j->interface == NULL)
        return;
    g_autofree char *word = choice_text(INTERFACE_METHODS, j->interface->method);
    g_autofree char *method = g_ascii_strup(word, -1), *asked = g_ascii_strup(j->method, -1);
    turn(j, "interface", j->interface->o.name, "%s of service %s%s%s, method %s; asked with %s", j->interface->path,
         j->service->o.name, j->interface->host != NULL ? " at " : "",
         j->interface->host != NULL ? j->interface->host : "",
         j->interface->method != INTERFACE_ANY_METHOD ? method : "any", asked);
}

static void turn_policy(struct journey *j)
{
    if (j->route != NULL)
        turn(j, "policy", j->policy, "prefix %s of route %s", j->route->prefix, j->route->o.name);
    else
        turn(j, "policy", j->policy, "service %s is the default of group %s", j->service->o.name, j->group->o.name);
    turn_interface(j);
    turn_own_degrade(j);
    if (j->interface != NULL)
        turn_limit(j, world_interface_limit_share(j->w, j->interface), LEVER_INTERFACE_LIMIT, j->interface->o.name);
    turn_limit(j, world_service_limit_share(j->w, j->service), LEVER_SERVICE_LIMIT, j->service->o.name);
}

static void turn_slot(struct journey *j)
{
    char key[SLOT_KEY_SIZE];
    if (!j->has_slot) {
        turn(j, "slot", "-", "no user was named: every slot is shown");
        return;
    }
    g_autofree char *is = g_strdup_printf("%u", j->slot);
    turn(j, "slot", is, "xxh32(\"%s\") mod %u", slot_key(key, j->query->user, NULL, NULL), SLOT_COUNT);
}

static char *slots_words(const struct split *split, unsigned room)
{
    GString *text = g_string_new(NULL);
    for (unsigned lo = 0, hi; lo < SLOT_COUNT; lo = hi + 1) {
        for (hi = lo; hi + 1 < SLOT_COUNT && split->room_of[hi + 1] == split->room_of[lo];)
            hi++;
        if (split->room_of[lo] == room)
            g_string_append_printf(text, "%s%u-%u", text->len > 0 ? ", " : "slots ", lo, hi);
    }
    return g_string_free(text, FALSE);
}

/* Of a slot that is pinned the pin, else the split; of all slots both. */
static char *why_wanted(const struct journey *j)
{
    g_autofree char *why = lever_or(j->w, LEVER_SPLIT, j->service->o.name, "even over the rooms");
    g_autofree char *pin = world_lever_words(j->w, LEVER_SPLIT_PIN, j->service->o.name);
    struct split_pins pins;
    if (!world_service_pins(j->w, j->service, &pins))
        return g_steal_pointer(&why);
    bool pinned = j->has_slot && pins.slots.room_of[j->slot] != SPLIT_UNPINNED;
    split_clear(&pins.slots);
    return pinned         ? g_strdup_printf("pinned by %s", pin)
           : !j->has_slot ? g_strdup_printf("%s; pinned by %s", why, pin)
                          : g_steal_pointer(&why);
}

static void turn_wanted(struct journey *j, const struct split *split, unsigned room)
{
    if (j->service->active == SERVICE_SINGLE) {
        turn(j, "wanted", split->rooms[room], "home of single-room service %s", j->service->o.name);
        return;
    }
    g_autofree char *slots = slots_words(split, room);
    g_autofree char *why = why_wanted(j);
    turn(j, "wanted", split->rooms[room], "%s of multi-active service %s: %s", slots, j->service->o.name, why);
}

/* Why the room can't be used from these edges; g_free. */
static char *closed_words(const struct journey *j, const char *room)
{
    if (!world_room_compute_open(j->w, room))
        return world_lever_words(j->w, LEVER_ROOM_COMPUTE, room);
    bool needs_ingress = j->service->active == SERVICE_MULTI || j->answering == EDGE_PUBLIC;
    if (needs_ingress && !world_room_ingress_open(j->w, room))
        return world_lever_words(j->w, LEVER_ROOM_INGRESS, room);
    return g_strdup_printf(j->answering == EDGE_PUBLIC ? "no entrance of %s is in" : "%s is not on the ring", room);
}

/* Escapes are for single-room services at public edges. */
static bool takes_escapes(const struct journey *j)
{
    return j->service->active == SERVICE_SINGLE && j->answering == EDGE_PUBLIC;
}

/* Is the escape the only way in, for this service at these edges? */
static bool by_escape(const struct journey *j, const char *room)
{
    g_autoptr(GPtrArray) escapes = world_room_escapes(j->w, room);
    return takes_escapes(j) && escapes->len > 0 &&
           (!world_room_ingress_open(j->w, room) || world_room_escapes_always(j->w, room));
}

static void turn_room(struct journey *j, const char *wanted, const char *used)
{
    if (used != NULL && strcmp(used, wanted) == 0 && by_escape(j, used)) {
        turn(j, "room", used, "open to public edges by its escape alone");
        return;
    }
    if (used != NULL && strcmp(used, wanted) == 0) {
        bool ring_only = j->answering == EDGE_DEDICATED && !world_room_ingress_open(j->w, wanted);
        g_autofree char *ingress = ring_only ? world_lever_words(j->w, LEVER_ROOM_INGRESS, wanted) : NULL;
        turn(j, "room", used, "open to %s edges%s%s%s", edge_class_name(j->answering), ring_only ? "; " : "",
             ring_only ? ingress : "", ring_only ? ", which the ring does not need" : "");
        return;
    }
    g_autofree char *why = closed_words(j, wanted);
    turn(j, "room", used != NULL ? used : "-", "%s%s", why,
         used != NULL ? "; the next room that is open" : "; nobody else may answer: 503");
}

static char *pops_out_words(const struct journey *j, const char *room)
{
    GString *text = g_string_new(NULL);
    INVENTORY_FOREACH (j->w->inventory, pop, pop) {
        if (strcmp(pop->room, room) == 0 && !world_pop_in(j->w, pop)) {
            g_autofree char *words = world_lever_words(j->w, LEVER_POP, pop->o.name);
            g_string_append_printf(text, "; %s", words);
        }
    }
    return g_string_free(text, FALSE);
}

static void turn_road(struct journey *j, const char *room)
{
    g_autoptr(GPtrArray) entrances = world_room_entrances(j->w, j->answering, room);
    g_autofree char *is = words_list(entrances, 4);
    bool on = world_service_auto_dr(j->w, j->service);
    g_autofree char *dr = j->service->active == SERVICE_SINGLE
                              ? g_strdup("a single-room service has no other room")
                              : lever_or(j->w, LEVER_SERVICE_AUTO_DR, j->service->o.name, "as the inventory says");
    g_autofree char *out = j->answering == EDGE_PUBLIC ? pops_out_words(j, room) : g_strdup("");
    g_autofree char *timeout = j->service->timeout > 0
                                   ? g_strdup_printf(", waits %" G_GINT64_FORMAT " ms", j->service->timeout)
                                   : g_strdup("");
    g_autoptr(GPtrArray) fallbacks = world_room_fallbacks(j->w, j->answering, room);
    g_autofree char *pops = words_list(fallbacks, 4);
    g_autofree char *lines =
        fallbacks->len > 0 ? g_strdup_printf("dedicated lines, else by %s", pops) : g_strdup("dedicated lines");
    turn(j, "road", is, "%s; automatic DR %s, %s%s%s",
         j->answering == EDGE_PUBLIC ? "POPs, one after the other within a request" : lines, on ? "on" : "off", dr,
         timeout, out);
}

static void on_gateway_turn(void *data, const char *at, const char *is, const char *why)
{
    turn(data, at, is, "%s", why);
}

static void rooms_add(struct journey *j, const char *room)
{
    for (guint i = 0; i < j->rooms->len; i++)
        if (strcmp(j->rooms->pdata[i], room) == 0)
            return;
    g_ptr_array_add(j->rooms, g_strdup(room));
}

static void turns_room(struct journey *j, const struct split *split, unsigned room)
{
    const char *wanted = split->rooms[room];
    const char *used = world_room_used(j->w, j->answering, j->service->active == SERVICE_MULTI, wanted);
    turn_wanted(j, split, room);
    turn_room(j, wanted, used);
    rooms_add(j, wanted);
    if (used == NULL)
        return;
    rooms_add(j, used);
    enum degrade degrade = world_room_degrade(j->w, used);
    if (degrade != DEGRADE_STALE || j->service->last_good)
        turn_degrade(j, degrade, LEVER_ROOM_DEGRADE, used);
    turn_limit(j, world_room_limit_share(j->w, used), LEVER_ROOM_LIMIT, used);
    if (!by_escape(j, used))
        turn_road(j, used);
    gateway_turns(j->w, used, takes_escapes(j), on_gateway_turn, j);
}

static void turns_rooms(struct journey *j)
{
    struct split split;
    world_service_split(j->w, j->service, &split);
    if (split.n_rooms == 0)
        turn(j, "wanted", "-", "service %s has no room: 503", j->service->o.name);
    else if (j->has_slot)
        turns_room(j, &split, split.room_of[j->slot]);
    else
        for (unsigned i = 0; i < split.n_rooms; i++)
            if (memchr(split.room_of, (int)i, sizeof split.room_of) != NULL) /* not all are pinned elsewhere */
                turns_room(j, &split, i);
    split_clear(&split);
}

static bool on_road(const struct journey *j, const char *room)
{
    for (guint i = 0; i < j->rooms->len; i++)
        if (strcmp(j->rooms->pdata[i], room) == 0)
            return true;
    return false;
}

static gint counter_compare(gconstpointer a, gconstpointer b)
{
    const struct counter *x = *(const struct counter *const *)a, *y = *(const struct counter *const *)b;
    int order = strcmp(x->room, y->room);
    return order != 0 ? order : strcmp(x->via, y->via);
}

static gint origin_compare(gconstpointer a, gconstpointer b)
{
    const struct origin_health *x = *(const struct origin_health *const *)a,
                               *y = *(const struct origin_health *const *)b;
    int order = strcmp(x->room, y->room);
    return order != 0 ? order : strcmp(x->via, y->via);
}

/* Rows of one edge's report that concern the policy; returns whether it carries its traffic. */
static bool counters_add(const struct journey *j, const struct edge_report *report, json_t *list)
{
    g_autoptr(GPtrArray) mine = g_ptr_array_new();
    for (guint i = 0; i < report->counters->len; i++) {
        struct counter *counter = report->counters->pdata[i];
        if (strcmp(counter->policy, j->policy) == 0 && (counter->requests > 0 || counter->rate > 0))
            g_ptr_array_add(mine, counter);
    }
    g_ptr_array_sort(mine, counter_compare);
    for (guint i = 0; i < mine->len; i++) {
        const struct counter *c = mine->pdata[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I, s:I, s:f}", "edge", report->edge, "room", c->room,
                                              "via", c->via, "requests", (json_int_t)c->requests, "failed",
                                              (json_int_t)c->failed, "rate", c->rate));
    }
    return mine->len > 0;
}

static void origins_add(const struct journey *j, const struct edge_report *report, json_t *list)
{
    g_autoptr(GPtrArray) sorted = g_ptr_array_new();
    for (guint i = 0; i < report->origins->len; i++)
        if (on_road(j, ((const struct origin_health *)report->origins->pdata[i])->room))
            g_ptr_array_add(sorted, report->origins->pdata[i]);
    g_ptr_array_sort(sorted, origin_compare);
    for (guint i = 0; i < sorted->len; i++) {
        const struct origin_health *o = sorted->pdata[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:b, s:s}", "edge", report->edge, "room", o->room, "via",
                                              o->via, "up", o->up, "status", o->status));
    }
}

/* Rooms of this road that the edge holds away by itself; only who has automatic DR goes elsewhere for it. */
static void holds_add(const struct journey *j, const struct edge_report *report, json_t *list)
{
    if (j->service->active != SERVICE_MULTI || !world_service_auto_dr(j->w, j->service))
        return;
    for (guint i = 0; i < report->holds->len; i++) {
        const struct room_hold *hold = report->holds->pdata[i];
        if (!on_road(j, hold->room))
            continue;
        json_t *row =
            json_pack("{s:s, s:s, s:I}", "edge", report->edge, "room", hold->room, "home", (json_int_t)hold->home);
        if (j->has_slot)
            json_object_set_new(row, "user_home", json_boolean(j->slot * SLOT_SPREAD % SLOT_COUNT < hold->home));
        json_array_append_new(list, row);
    }
}

/* An edge is on the road when names point to it, it was asked about, or answers what is relayed. */
static bool edge_concerned(const struct journey *j, const struct edge *edge)
{
    for (guint i = 0; i < j->edges->len; i++)
        if (j->edges->pdata[i] == edge)
            return true;
    return edge == j->edge || edge->class == j->answering;
}

static void observe_edge(const struct journey *j, const struct edge *edge, const struct edge_report *report,
                         int64_t now_us, json_t *out)
{
    bool concerned = edge_concerned(j, edge);
    json_t *edges = json_object_get(out, "edges");
    if (report == NULL) {
        if (concerned)
            json_array_append_new(edges, json_pack("{s:s, s:n, s:s, s:I}", "edge", edge->o.name, "age_us", "state",
                                                   "silent", "generation", (json_int_t)0));
        return;
    }
    if (!counters_add(j, report, json_object_get(out, "observed")) && !concerned)
        return;
    json_array_append_new(edges, json_pack("{s:s, s:I, s:s, s:I}", "edge", edge->o.name, "age_us",
                                           (json_int_t)(now_us - report->at_us), "state",
                                           edge_report_fresh(report, now_us) ? report->state : "silent", "generation",
                                           (json_int_t)report->applied.generation));
    const char *room = g_hash_table_lookup(report->probes, j->policy);
    if (room != NULL)
        json_array_append_new(json_object_get(out, "probes"),
                              json_pack("{s:s, s:s}", "edge", edge->o.name, "room", room));
    origins_add(j, report, json_object_get(out, "origins"));
    holds_add(j, report, json_object_get(out, "holds"));
}

static void observe(const struct journey *j, const struct observed *observed, int64_t now_us, json_t *out)
{
    static const char *const lists[] = {"edges", "observed", "probes", "origins", "holds"};
    for (guint i = 0; i < G_N_ELEMENTS(lists); i++)
        json_object_set_new(out, lists[i], json_array());
    INVENTORY_FOREACH (j->w->inventory, edge, edge) {
        observe_edge(j, edge, observed_edge(observed, edge->o.name), now_us, out);
    }
    gateways_observe(j->w, observed, j->rooms, takes_escapes(j), now_us, out);
}

static void journey_clear(struct journey *j)
{
    g_free(j->host);
    g_free(j->path);
    g_free(j->method);
    g_free(j->policy);
    g_clear_pointer(&j->edges, g_ptr_array_unref);
    g_ptr_array_unref(j->rooms);
    json_decref(j->turns);
}

static json_t *journey_tell(struct journey *j, const struct observed *observed, int64_t now_us)
{
    json_t *out = json_object();
    json_object_set_new(out, "url", json_string(j->query->url));
    key_find(j, out);
    json_object_set_new(out, "group", json_string(j->group->o.name));
    json_object_set_new(out, "policy", json_string(j->policy));
    json_object_set_new(out, "generation", json_integer((json_int_t)j->w->stamp.generation));
    turn_name(j);
    turn_edge(j);
    turn_relay(j);
    turn_policy(j);
    turn_slot(j);
    turns_rooms(j);
    json_object_set(out, "turns", j->turns);
    observe(j, observed, now_us, out);
    return out;
}

json_t *explain(const struct resolved *resolved, const struct observed *observed, const struct explain_query *query,
                int64_t now_us, GError **error)
{
    struct journey j = {.resolved = resolved,
                        .w = resolved->world,
                        .query = query,
                        .rooms = g_ptr_array_new_with_free_func(g_free),
                        .turns = json_array()};
    json_t *out = NULL;
    if (url_parse(&j, error) && method_parse(&j, error) && policy_find(&j, error) && carrier_find(&j, error) &&
        edge_find(&j, error))
        out = journey_tell(&j, observed, now_us);
    journey_clear(&j);
    return out;
}
