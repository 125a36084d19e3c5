/* inventory_validate.c: everything that no single object can know. One function for each kind that has such a rule. */
#include "schema/field.h"
#include "schema/rule.h"
#include "schema/transaction.h"

#include <string.h>

/* Names that switch a zone are "GROUP.SERVICE", a mark and the zone: they must fit into 253. */
#define ZONE_NAME_MAX 160

__attribute__((format(printf, 5, 6))) static void find(GPtrArray *findings, const struct object *object,
                                                       const char *field, const char *expected, const char *found, ...)
{
    va_list args;
    va_start(args, found);
    g_autofree char *text = g_strdup_vprintf(found, args);
    va_end(args);
    g_autofree char *label = g_strdup_printf("%s %s", object_class(object->kind)->name, object->name);
    finding_add(findings, object->at, label, field, text, expected);
}

/* ---- references ---- */

static void reference_validate(const struct inventory *inv, const struct object *object, const struct field_class *f,
                               const char *name, GPtrArray *findings)
{
    const struct object *found[2];
    unsigned n = name != NULL ? inventory_refer(inv, f, name, found) : 1;
    if (n == 1)
        return;
    g_autofree char *kinds = choices_join(f->detail, " or ");
    g_autofree char *expected = g_strdup_printf("the name of a %s that exists", kinds);
    if (n == 0)
        find(findings, object, f->name, expected, "\"%s\"", name);
    else
        find(findings, object, f->name, "a name that one object has", "\"%s\", which is the name of a %s and of a %s",
             name, object_class(found[0]->kind)->name, object_class(found[1]->kind)->name);
}

static void references_validate(const struct inventory *inv, const struct object *object, GPtrArray *findings)
{
    const struct object_class *class = object_class(object->kind);
    for (unsigned i = 0; i < class->n_fields; i++) {
        const struct field_class *f = &class->fields[i];
        if (f->type == FIELD_REF)
            reference_validate(inv, object, f, *FIELD_READ(object, f, char *), findings);
        if (f->type != FIELD_REFS)
            continue;
        for (char **name = *FIELD_READ(object, f, char **); name != NULL && *name != NULL; name++)
            reference_validate(inv, object, f, *name, findings);
    }
}

/* ---- kinds ---- */

static void pop_validate(const struct pop *pop, GPtrArray *findings)
{
    /* An entrance is a POP's name or one of these words (table.h). */
    if (strcmp(pop->o.name, "ring") == 0 || strcmp(pop->o.name, "relay") == 0)
        find(findings, &pop->o, "name", "another name: this word stands for a road that is no POP", "\"%s\"",
             pop->o.name);
}

static void line_validate(const struct line *line, GPtrArray *findings)
{
    if (strcmp(line->from, line->to) == 0)
        find(findings, &line->o, "to", "two different ends", "\"%s\" at both ends", line->to);
}

/* `seen`: address text -> the edge that has it. */
static void address_validate(const struct edge *edge, const char *field, const struct addr *addr, GHashTable *seen,
                             GPtrArray *findings)
{
    char text[ADDR_TEXT_SIZE];
    addr_format(addr, text);
    const struct edge *other = g_hash_table_lookup(seen, text);
    if (other != NULL)
        find(findings, &edge->o, field, "an address of its own", "%s, which edge %s has", text, other->o.name);
    else
        g_hash_table_insert(seen, g_strdup(text), (gpointer)edge);
}

static void edges_validate(const struct inventory *inv, GPtrArray *findings)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    INVENTORY_FOREACH (inv, edge, edge) {
        address_validate(edge, "address", &edge->address, seen, findings);
        if (edge->address6.family == 0)
            continue;
        if (edge->address6.family == edge->address.family)
            find(findings, &edge->o, "address6", "an address of the other family than address", "one of the same");
        else
            address_validate(edge, "address6", &edge->address6, seen, findings);
    }
}

static void service_validate(const struct service *service, GPtrArray *findings)
{
    if (service->active == SERVICE_SINGLE && service->home == NULL)
        find(findings, &service->o, "home", "the name of the room that a single service runs in", "nothing");
    if (service->active == SERVICE_MULTI && service->home != NULL)
        find(findings, &service->o, "home", "nothing: a multi service runs in every room", "\"%s\"", service->home);
    if (service->degraded_body != NULL && !answer_body_valid(service->degraded_body))
        find(findings, &service->o, "degraded_body", "printable ASCII without a single quote", "another character");
    if (service->degraded_status == DEGRADED_200 && service->degraded_body == NULL)
        find(findings, &service->o, "degraded_body", "what to answer with status 200", "nothing");
    for (char **name = service->needs; name != NULL && *name != NULL; name++)
        if (strcmp(*name, service->o.name) == 0)
            find(findings, &service->o, "needs", "another service or a component", "itself");
}

/* No two objects have the same `key`, which is taken. `value`: what stands in the field. `seen`: key -> the object that
 * has it. */
static void distinct_validate(const struct object *object, const char *field, const char *value, char *key,
                              const char *expected, GHashTable *seen, GPtrArray *findings)
{
    const struct object *other = g_hash_table_lookup(seen, key);
    if (other != NULL)
        find(findings, object, field, expected, "\"%s\", which %s %s has", value, object_class(other->kind)->name,
             other->name);
    g_hash_table_replace(seen, key, (gpointer)object);
}

bool interface_single(const struct service *service, const struct interface *interface)
{
    int active = interface != NULL ? interface->active : INTERFACE_AS_SERVICE;
    return active == INTERFACE_SINGLE || (active == INTERFACE_AS_SERVICE && service->active == SERVICE_SINGLE);
}

static void interface_validate(const struct inventory *inv, const struct interface *interface, GPtrArray *findings)
{
    const struct service *service = INVENTORY_GET(inv, service, interface->service);
    if (service == NULL)
        return; /* found already */
    bool single = interface_single(service, interface);
    if (!single && interface->home != NULL)
        find(findings, &interface->o, "home", "nothing: it is answered in every room", "\"%s\"", interface->home);
    if (single && interface->home == NULL && service->home == NULL)
        find(findings, &interface->o, "home", "the name of the room that answers it: its service has none", "nothing");
}

/* `sums`: service -> what its interfaces have of it so far. */
static void share_validate(const struct interface *interface, GHashTable *sums, GPtrArray *findings)
{
    int sum = GPOINTER_TO_INT(g_hash_table_lookup(sums, interface->service)) + (int)interface->share;
    g_hash_table_insert(sums, interface->service, GINT_TO_POINTER(sum));
    if (interface->share > 0 && sum > 100)
        find(findings, &interface->o, "share", "at most 100 % for all interfaces of a service",
             "%" G_GINT64_FORMAT ", which makes %d", interface->share, sum);
}

static void interfaces_validate(const struct inventory *inv, GPtrArray *findings)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GHashTable) sums = g_hash_table_new(g_str_hash, g_str_equal);
    INVENTORY_FOREACH (inv, interface, interface) {
        interface_validate(inv, interface, findings);
        share_validate(interface, sums, findings);
        char *key = g_strdup_printf("%s %s %d %s", interface->service, interface->host != NULL ? interface->host : "",
                                    interface->method, interface->path);
        distinct_validate(&interface->o, "path", interface->path, key,
                          "a host, method and path of its own within the service", seen, findings);
    }
}

static void pools_validate(const struct inventory *inv, GPtrArray *findings)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    INVENTORY_FOREACH (inv, pool, pool) {
        const struct service *service = INVENTORY_GET(inv, service, pool->service);
        if (service != NULL && service->home != NULL && strcmp(service->home, pool->room) != 0)
            find(findings, &pool->o, "room", "the home of its service, which runs nowhere else", "\"%s\", home is %s",
                 pool->room, service->home);
        distinct_validate(&pool->o, "room", pool->room, g_strdup_printf("%s %s", pool->service, pool->room),
                          "a service and room of its own", seen, findings);
    }
}

static void component_validate(const struct component *component, GPtrArray *findings)
{
    const char *const *rooms = (const char *const *)component->rooms;
    if (component->primary != NULL && rooms != NULL && !g_strv_contains(rooms, component->primary))
        find(findings, &component->o, "primary", "one of its rooms", "\"%s\"", component->primary);
    if (component->consumption != 0 && component->type != COMPONENT_TOPIC)
        find(findings, &component->o, "consumption", "none: only topics are consumed", "another");
    if (component->rebuilt != 0 && component->type != COMPONENT_CACHE)
        find(findings, &component->o, "rebuilt", "no: only caches are", "another");
}

/* ---- gateways ---- */

/* Agents are known by their names alone, so gateways and edges share them. */
static void gateways_validate(const struct inventory *inv, GPtrArray *findings)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    INVENTORY_FOREACH (inv, gateway, gateway) {
        const struct addr *locals[] = {&gateway->local, &gateway->local6};
        if (INVENTORY_GET(inv, edge, gateway->o.name) != NULL)
            find(findings, &gateway->o, "name", "another name: an edge has it", "\"%s\"", gateway->o.name);
        if (gateway->local6.family == gateway->local.family)
            find(findings, &gateway->o, "local6", "an address of the other family than local", "one of the same");
        for (unsigned i = 0; i < G_N_ELEMENTS(locals); i++) {
            char text[ADDR_TEXT_SIZE];
            if (locals[i]->family == 0)
                continue;
            addr_format(locals[i], text);
            distinct_validate(&gateway->o, i == 0 ? "local" : "local6", text, g_strdup(text), "an address of its own",
                              seen, findings);
        }
    }
}

const char *line_far_room(const struct inventory *inv, const struct line *line, const char *room)
{
    bool from = strcmp(line->from, room) == 0;
    if (!from && strcmp(line->to, room) != 0)
        return NULL;
    const char *far = from ? line->to : line->from;
    return INVENTORY_GET(inv, room, far) != NULL ? far : NULL;
}

static void gwport_validate(const struct inventory *inv, const struct gwport *port, GHashTable *seen,
                            GPtrArray *findings)
{
    const struct gateway *gateway = INVENTORY_GET(inv, gateway, port->gateway);
    const struct line *line = port->line != NULL ? INVENTORY_GET(inv, line, port->line) : NULL;
    g_autofree char *place = g_strdup_printf("%" G_GINT64_FORMAT, port->place);
    distinct_validate(&port->o, "place", place, g_strdup_printf("%s %s", port->gateway, place),
                      "a place of its own at its gateway", seen, findings);
    if (port->own.family != port->next.family)
        find(findings, &port->o, "next", "an address of the same family as own", "one of the other");
    else if (addr_equal(&port->own, &port->next))
        find(findings, &port->o, "next", "another address than own", "the same");
    if (port->line != NULL && port->inside)
        find(findings, &port->o, "inside", "false: instances are not behind a line", "true");
    if (gateway != NULL && line != NULL && line_far_room(inv, line, gateway->room) == NULL)
        find(findings, &port->o, "line", "a line between the gateway's room and another", "\"%s\", from %s to %s",
             port->line, line->from, line->to);
}

static void gwports_validate(const struct inventory *inv, GPtrArray *findings)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    INVENTORY_FOREACH (inv, gwport, port)
        gwport_validate(inv, port, seen, findings);
}

bool gwvip_answered_by(const struct gwvip *vip, const char *room)
{
    return strcmp(vip->room, room) == 0 || g_strcmp0(vip->standby, room) == 0;
}

static void gwvips_validate(const struct inventory *inv, GPtrArray *findings)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    INVENTORY_FOREACH (inv, gwvip, vip) {
        char text[ENDPOINT_TEXT_SIZE];
        endpoint_format(&vip->address, text);
        distinct_validate(&vip->o, "address", text, g_strdup_printf("%s %d", text, vip->proto),
                          "an address and port of its own", seen, findings);
        if (vip->to != NULL && strcmp(vip->to, vip->room) == 0)
            find(findings, &vip->o, "to", "another room, or nothing", "\"%s\", which is its own", vip->to);
        if (vip->to != NULL && (INVENTORY_GET(inv, pop, vip->o.name) != NULL || strcmp(vip->o.name, "ring") == 0))
            find(findings, &vip->o, "name", "another name: an entrance of a room has it", "\"%s\"", vip->o.name);
        if (vip->standby != NULL && strcmp(vip->standby, vip->room) == 0)
            find(findings, &vip->o, "standby", "another room, or nothing", "\"%s\", which is its own", vip->standby);
        if (vip->standby != NULL && vip->to != NULL)
            find(findings, &vip->o, "standby", "nothing: no other room's lines lead where an escape does", "\"%s\"",
                 vip->standby);
        if (vip->path != NULL && vip->check != GWVIP_CHECK_HTTP)
            find(findings, &vip->o, "path", "nothing: only check http asks for it", "\"%s\"", vip->path);
    }
}

/* An instance where a gateway answers would be a way round: what came in over a line could leave over one. */
static void instances_validate(const struct inventory *inv, GPtrArray *findings)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    INVENTORY_FOREACH (inv, gwvip, vip) {
        char text[ENDPOINT_TEXT_SIZE];
        g_hash_table_replace(seen, g_strdup(endpoint_format(&vip->address, text)), (gpointer)vip);
    }
    INVENTORY_FOREACH (inv, instance, instance) {
        char text[ENDPOINT_TEXT_SIZE];
        endpoint_format(&instance->address, text);
        distinct_validate(&instance->o, "address", text, g_strdup(text), "an address and port of its own", seen,
                          findings);
    }
}

static void routes_validate(const struct inventory *inv, GPtrArray *findings)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    INVENTORY_FOREACH (inv, route, route)
        distinct_validate(&route->o, "prefix", route->prefix, g_strdup_printf("%s%s", route->group, route->prefix),
                          "a prefix of its own within the group", seen, findings);
}

/* Its name stands where a group's could, and who asks for a carrier and a region must find one answer. */
static void variants_validate(const struct inventory *inv, GPtrArray *findings)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    INVENTORY_FOREACH (inv, variant, variant) {
        if (INVENTORY_GET(inv, group, variant->o.name) != NULL)
            find(findings, &variant->o, "name", "a name that no group has", "\"%s\"", variant->o.name);
        char *key = g_strdup_printf("%s %s %s", variant->group, variant->carrier,
                                    variant->region != NULL ? variant->region : "");
        distinct_validate(&variant->o, "carrier", variant->carrier, key,
                          "a carrier and region of its own within the group", seen, findings);
    }
}

static bool below(const char *name, const char *zone)
{
    size_t len = strlen(name), zone_len = strlen(zone);
    return len > zone_len && name[len - zone_len - 1] == '.' && strcmp(name + len - zone_len, zone) == 0;
}

/* The zone of the inventory that `name` is in: the longest. */
static const char *zone_of(const struct inventory *inv, const char *name)
{
    for (const char *p = name; p != NULL; p = strchr(p, '.')) {
        p += *p == '.';
        if (inventory_get(inv, OBJECT_dnszone, p) != NULL)
            return p;
    }
    return NULL;
}

static void domain_validate(const struct inventory *inv, const struct domain *domain, GPtrArray *findings)
{
    const struct group *group = INVENTORY_GET(inv, group, domain->group);
    if (group == NULL || INVENTORY_GET(inv, dnszone, group->zone) == NULL)
        return; /* found already */
    g_autofree char *expected = g_strdup_printf("a name below %s, the zone of group %s", group->zone, group->o.name);
    const struct variant *variant = domain->variant != NULL ? INVENTORY_GET(inv, variant, domain->variant) : NULL;
    if (variant != NULL && strcmp(variant->group, domain->group) != 0)
        find(findings, &domain->o, "variant", "a variant of the domain's group", "\"%s\" of group %s", domain->variant,
             variant->group);
    if (strcmp(domain->o.name, group->zone) == 0)
        find(findings, &domain->o, "name", expected, "the zone's own name, which cannot be a CNAME");
    else if (!below(domain->o.name, group->zone))
        find(findings, &domain->o, "name", expected, "\"%s\"", domain->o.name);
    else if (strcmp(zone_of(inv, domain->o.name), group->zone) != 0)
        find(findings, &domain->o, "name", expected, "\"%s\", which is in zone %s", domain->o.name,
             zone_of(inv, domain->o.name));
}

/* Does following `primary` from here come back here, or never end? */
static bool copies_in_circle(const struct inventory *inv, const struct nameserver *from)
{
    guint hops = inventory_list(inv, OBJECT_nameserver)->len;
    const struct nameserver *ns = from;
    while (ns != NULL && ns->role == NAMESERVER_SECONDARY && ns->primary != NULL && hops-- > 0) {
        ns = INVENTORY_GET(inv, nameserver, ns->primary);
        if (ns == from)
            return true;
    }
    return false;
}

static void nameserver_validate(const struct inventory *inv, const struct nameserver *ns, GPtrArray *findings)
{
    if (ns->role == NAMESERVER_PRIMARY && ns->primary != NULL)
        find(findings, &ns->o, "primary", "nothing: a primary copies from nobody", "\"%s\"", ns->primary);
    if (ns->role == NAMESERVER_PRIMARY)
        return;
    if (ns->primary == NULL) {
        find(findings, &ns->o, "primary", "the name of the nameserver that a secondary copies from", "nothing");
        return;
    }
    const struct nameserver *source = INVENTORY_GET(inv, nameserver, ns->primary);
    if (source != NULL && strcmp(source->zone, ns->zone) != 0)
        find(findings, &ns->o, "primary", "a nameserver of the same zone", "\"%s\" of zone %s", ns->primary,
             source->zone);
    else if (copies_in_circle(inv, ns))
        find(findings, &ns->o, "primary", "a way to a primary", "\"%s\", which copies from %s in a circle", ns->primary,
             ns->o.name);
}

static void dnszone_validate(const struct dnszone *zone, GPtrArray *findings)
{
    if (strlen(zone->o.name) > ZONE_NAME_MAX)
        find(findings, &zone->o, "name", "at most 160 characters, so that policy names fit before it", "%zu characters",
             strlen(zone->o.name));
}

static void webhook_validate(const struct webhook *webhook, GPtrArray *findings)
{
    for (char **event = webhook->events; event != NULL && *event != NULL; event++)
        if (choice_find(WEBHOOK_EVENTS, *event) < 0)
            find(findings, &webhook->o, "events", "some of alarm, audit, event, execution, generation", "\"%s\"",
                 *event);
}

void inventory_validate(const struct inventory *inv, GPtrArray *findings)
{
    for (unsigned kind = 0; kind < OBJECT_KINDS; kind++) {
        const GPtrArray *list = inventory_list(inv, kind);
        for (guint i = 0; i < list->len; i++)
            references_validate(inv, list->pdata[i], findings);
    }
    INVENTORY_FOREACH (inv, pop, pop)
        pop_validate(pop, findings);
    INVENTORY_FOREACH (inv, line, line)
        line_validate(line, findings);
    edges_validate(inv, findings);
    INVENTORY_FOREACH (inv, service, service)
        service_validate(service, findings);
    interfaces_validate(inv, findings);
    pools_validate(inv, findings);
    INVENTORY_FOREACH (inv, component, component)
        component_validate(component, findings);
    gateways_validate(inv, findings);
    gwports_validate(inv, findings);
    gwvips_validate(inv, findings);
    instances_validate(inv, findings);
    routes_validate(inv, findings);
    variants_validate(inv, findings);
    INVENTORY_FOREACH (inv, domain, domain)
        domain_validate(inv, domain, findings);
    INVENTORY_FOREACH (inv, nameserver, ns)
        nameserver_validate(inv, ns, findings);
    INVENTORY_FOREACH (inv, dnszone, zone)
        dnszone_validate(zone, findings);
    INVENTORY_FOREACH (inv, webhook, webhook)
        webhook_validate(webhook, findings);
    INVENTORY_FOREACH (inv, rule, rule)
        rule_validate(inv, rule, findings);
    INVENTORY_FOREACH (inv, reminder, reminder)
        reminder_validate(inv, reminder, findings);
    txrequests_validate(inv, findings);
}
