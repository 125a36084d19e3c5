#include "server/interlocking/slow_parts.h"
#include "server/interlocking/resolve.h"
#include "server/interlocking/ring.h"

#include <string.h>

/* What the domains of one group have in common. */
struct group_rows {
    const struct group *group;
    GPtrArray *suffixes; /* char *, "/upload/ creator.upload\n", in the order of their bytes */
};

GPtrArray *lines_new(void)
{
    return g_ptr_array_new_with_free_func(g_free);
}

void lines_add(GPtrArray *lines, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_ptr_array_add(lines, g_strdup_vprintf(format, args));
    va_end(args);
}

static gint line_compare(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GBytes *lines_encode(GPtrArray *lines)
{
    g_ptr_array_sort(lines, line_compare);
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < lines->len; i++)
        g_string_append(text, lines->pdata[i]);
    g_ptr_array_unref(lines);
    return g_string_free_to_bytes(text);
}

void finding_on(GPtrArray *findings, const struct object *object, const char *field, const char *found,
                const char *expected)
{
    g_autofree char *name = g_strdup_printf("%s %s", object_class(object->kind)->name, object->name);
    finding_add(findings, object->at, name, field, found, expected);
}

void finding_value_on(GPtrArray *findings, const struct object *object, const char *field, const char *value,
                      const char *expected)
{
    g_autofree char *quoted = text_quote(value);
    finding_on(findings, object, field, quoted, expected);
}

char *policy_owner(const struct group *group, const struct variant *variant)
{
    return g_strdup_printf("%s.pol.%s", variant != NULL ? variant->o.name : group->o.name, group->zone);
}

const struct policy_target *domain_target(const struct slow_parts *slow, const struct domain *domain)
{
    const struct policy_target *target =
        domain->variant != NULL ? g_hash_table_lookup(slow->targets, domain->variant) : NULL;
    if (target != NULL && target->variant != NULL && strcmp(target->group->o.name, domain->group) == 0)
        return target;
    return g_hash_table_lookup(slow->targets, domain->group);
}

static void bytes_hash(GBytes *bytes, char hash[static PART_HASH_SIZE])
{
    gsize size;
    const void *data = g_bytes_get_data(bytes, &size);
    part_hash(data, size, hash);
}

static void group_rows_free(gpointer data)
{
    struct group_rows *rows = data;
    g_ptr_array_unref(rows->suffixes);
    g_free(rows);
}

static void slow_zone_free(gpointer data)
{
    struct slow_zone *zone = data;
    g_array_unref(zone->cnames);
    g_ptr_array_unref(zone->targets);
    g_free(zone);
}

static void target_free(gpointer data)
{
    struct policy_target *target = data;
    g_free(target->owner);
    g_free(target->why);
    g_free(target);
}

static gint target_compare(gconstpointer a, gconstpointer b)
{
    return strcmp((*(const struct policy_target *const *)a)->owner, (*(const struct policy_target *const *)b)->owner);
}

static struct slow_zone *zone_find(const struct slow_parts *slow, const char *name)
{
    for (guint i = 0; i < slow->zones->len; i++) {
        struct slow_zone *zone = slow->zones->pdata[i];
        if (strcmp(zone->zone, name) == 0)
            return zone;
    }
    return NULL;
}

static void target_add(struct slow_parts *slow, const struct group *group, const struct variant *variant)
{
    struct slow_zone *zone = zone_find(slow, group->zone);
    if (zone == NULL)
        return;
    struct policy_target *target = g_new0(struct policy_target, 1);
    *target = (struct policy_target){.group = group, .variant = variant, .zone = zone};
    target->owner = target->rdata[0] = policy_owner(group, variant);
    target->why = variant != NULL ? g_strdup_printf("a name of variant %s of group %s", variant->o.name, group->o.name)
                                  : g_strdup_printf("a name of group %s", group->o.name);
    g_ptr_array_add(zone->targets, target);
    g_hash_table_insert(slow->targets, variant != NULL ? variant->o.name : group->o.name, target);
}

static void variant_add(struct slow_parts *slow, const struct variant *variant)
{
    const struct group *group = INVENTORY_GET(slow->inventory, group, variant->group);
    if (INVENTORY_GET(slow->inventory, group, variant->o.name) != NULL)
        finding_value_on(slow->findings, &variant->o, "name", variant->o.name, "a name that no group has");
    else if (group == NULL)
        finding_value_on(slow->findings, &variant->o, "group", variant->group, "a group");
    else
        target_add(slow, group, variant);
}

static void zones_collect(struct slow_parts *slow)
{
    INVENTORY_FOREACH (slow->inventory, dnszone, dnszone) {
        struct slow_zone *zone = g_new0(struct slow_zone, 1);
        zone->zone = dnszone->o.name;
        zone->ttl = dnszone->ttl > 0 ? (uint32_t)dnszone->ttl : DOMAIN_TTL_S;
        zone->cnames = g_array_new(FALSE, TRUE, sizeof(struct rrset));
        zone->targets = g_ptr_array_new_with_free_func(target_free);
        g_ptr_array_add(slow->zones, zone);
    }
    INVENTORY_FOREACH (slow->inventory, group, group) {
        target_add(slow, group, NULL);
    }
    INVENTORY_FOREACH (slow->inventory, variant, variant) {
        variant_add(slow, variant);
    }
    for (guint i = 0; i < slow->zones->len; i++)
        g_ptr_array_sort(((struct slow_zone *)slow->zones->pdata[i])->targets, target_compare);
}

static void group_rows_add(GHashTable *by_group, struct slow_parts *slow, const struct group *group)
{
    struct group_rows *rows = g_new0(struct group_rows, 1);
    rows->group = group;
    rows->suffixes = lines_new();
    lines_add(rows->suffixes, "/ %s.%s\n", group->o.name, group->service);
    if (zone_find(slow, group->zone) == NULL)
        finding_value_on(slow->findings, &group->o, "zone", group->zone, "a dnszone");
    g_hash_table_insert(by_group, group->o.name, rows);
}

/* group name -> struct group_rows */
static GHashTable *groups_collect(struct slow_parts *slow)
{
    GHashTable *by_group = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, group_rows_free);
    INVENTORY_FOREACH (slow->inventory, group, group) {
        group_rows_add(by_group, slow, group);
    }
    INVENTORY_FOREACH (slow->inventory, route, route) {
        struct group_rows *rows = g_hash_table_lookup(by_group, route->group);
        if (rows == NULL)
            finding_value_on(slow->findings, &route->o, "group", route->group, "a group");
        else
            lines_add(rows->suffixes, "%s/ %s.%s\n", route->prefix, route->group, route->service);
    }
    GHashTableIter iter;
    gpointer rows;
    g_hash_table_iter_init(&iter, by_group);
    while (g_hash_table_iter_next(&iter, NULL, &rows))
        g_ptr_array_sort(((struct group_rows *)rows)->suffixes, line_compare);
    return by_group;
}

static void domain_append(GString *text, const struct domain *domain, GHashTable *by_group)
{
    const struct group_rows *rows = g_hash_table_lookup(by_group, domain->group);
    for (guint i = 0; rows != NULL && i < rows->suffixes->len; i++) {
        g_string_append(text, domain->o.name);
        g_string_append(text, rows->suffixes->pdata[i]);
    }
}

/* Does the row of `next` stand before that of `held`, although its name comes after? A slash sorts after '-' and '.',
 * so "a.test-x/" stands before "a.test/". */
static bool stands_before(const char *next, const char *held)
{
    size_t len = strlen(held);
    return strncmp(next, held, len) == 0 && next[len] < '/';
}

/* Domains come by name; those whose rows must wait are held on a stack, so the whole is linear. */
static GBytes *routes_encode(const struct inventory *inv, GHashTable *by_group)
{
    GString *text = g_string_new(NULL);
    g_autoptr(GPtrArray) held = g_ptr_array_new();
    INVENTORY_FOREACH (inv, domain, domain) {
        while (held->len > 0) {
            const struct domain *top = held->pdata[held->len - 1];
            if (stands_before(domain->o.name, top->o.name))
                break;
            domain_append(text, top, by_group);
            g_ptr_array_set_size(held, (gint)held->len - 1);
        }
        g_ptr_array_add(held, (gpointer)domain);
    }
    while (held->len > 0)
        domain_append(text, g_ptr_array_steal_index(held, held->len - 1), by_group);
    return g_string_free_to_bytes(text);
}

/* Services whose static answer is declared. */
static void answers_add(GPtrArray *lines, const struct inventory *inv)
{
    INVENTORY_FOREACH (inv, service, service) {
        if (service->degraded_body == NULL || !answer_body_valid(service->degraded_body))
            continue;
        g_autoptr(GString) hex = g_string_new(NULL);
        for (const char *p = service->degraded_body; *p != '\0'; p++)
            g_string_append_printf(hex, "%02x", (unsigned char)*p);
        lines_add(lines, "answer/%s %s|%s\n", service->o.name, service->degraded_status == DEGRADED_200 ? "200" : "503",
                  hex->str);
    }
}

static GBytes *layout_encode(const struct inventory *inv, int edge_class)
{
    char text[ENDPOINT_TEXT_SIZE];
    GPtrArray *lines = lines_new();
    lines_add(lines, "class %s\n", edge_class_name(edge_class));
    answers_add(lines, inv);
    if (edge_class == EDGE_DEDICATED) {
        INVENTORY_FOREACH (inv, room, room) {
            if (room->ring.port != 0)
                lines_add(lines, "origin/%s/ring %s\n", room->o.name, endpoint_format(&room->ring, text));
        }
        INVENTORY_FOREACH (inv, pop, pop) {
            const struct room *room = INVENTORY_GET(inv, room, pop->room);
            if (room != NULL && room->ring.port != 0)
                lines_add(lines, "fallback/%s/%s %s\n", pop->room, pop->o.name, endpoint_format(&pop->origin, text));
        }
        return lines_encode(lines);
    }
    INVENTORY_FOREACH (inv, pop, pop) {
        lines_add(lines, "origin/%s/%s %s\n", pop->room, pop->o.name, endpoint_format(&pop->origin, text));
    }
    INVENTORY_FOREACH (inv, gwvip, vip) {
        if (vip->to != NULL && vip->proto == GWVIP_TCP)
            lines_add(lines, "escape/%s/%s %s\n", vip->to, vip->o.name, endpoint_format(&vip->address, text));
    }
    INVENTORY_FOREACH (inv, edge, edge) {
        if (edge->class == EDGE_DEDICATED && edge->relay.port != 0)
            lines_add(lines, "relay/%s %s\n", edge->o.name, endpoint_format(&edge->relay, text));
    }
    return lines_encode(lines);
}

/* Names that a CNAME may not stand at; NULL: fine. */
static const char *domain_unfit(const struct domain *domain, const struct slow_zone *zone, GHashTable *reserved)
{
    if (strcmp(domain->o.name, zone->zone) == 0)
        return "a name below the zone's apex: an apex has no CNAME (RFC 1034 3.6.2)";
    if (g_hash_table_contains(reserved, domain->o.name))
        return "a name that is no policy name";
    if (g_str_has_prefix(domain->o.name, "_signalbox."))
        return "a name other than the zone's sentinel";
    return NULL;
}

static void cname_add(struct slow_parts *slow, const struct domain *domain, const struct policy_target *target,
                      GHashTable *reserved)
{
    const char *expected = domain_unfit(domain, target->zone, reserved);
    if (expected != NULL) {
        finding_value_on(slow->findings, &domain->o, NULL, domain->o.name, expected);
        return;
    }
    if (domain->variant != NULL && target->variant == NULL)
        finding_value_on(slow->findings, &domain->o, "variant", domain->variant, "a variant of the domain's group");
    struct rrset set = {.owner = domain->o.name,
                        .type = RRTYPE_CNAME,
                        .ttl = target->zone->ttl,
                        .rdata = (char **)target->rdata,
                        .why = target->why};
    g_array_append_val(target->zone->cnames, set);
}

static void cnames_collect(struct slow_parts *slow, GHashTable *by_group)
{
    /* Without edges policy names have no address, and a name must not point at nothing. */
    if (inventory_list(slow->inventory, OBJECT_edge)->len == 0)
        return;
    g_autoptr(GHashTable) reserved = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, slow->targets);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        g_hash_table_add(reserved, ((struct policy_target *)value)->owner);
    INVENTORY_FOREACH (slow->inventory, domain, domain) {
        const struct policy_target *target = domain_target(slow, domain);
        if (!g_hash_table_contains(by_group, domain->group))
            finding_value_on(slow->findings, &domain->o, "group", domain->group, "a group");
        else if (target != NULL)
            cname_add(slow, domain, target, reserved);
    }
}

struct slow_parts *slow_parts_new(struct inventory *inventory)
{
    struct slow_parts *slow = g_new0(struct slow_parts, 1);
    slow->refs = 1;
    slow->inventory = inventory_ref(inventory);
    slow->zones = g_ptr_array_new_with_free_func(slow_zone_free);
    slow->findings = finding_list_new();
    slow->targets = g_hash_table_new(g_str_hash, g_str_equal);
    zones_collect(slow);
    ring_findings(inventory, slow->findings);
    g_autoptr(GHashTable) by_group = groups_collect(slow);
    cnames_collect(slow, by_group);
    slow->routes = routes_encode(inventory, by_group);
    bytes_hash(slow->routes, slow->routes_hash);
    for (int c = 0; c < EDGE_CLASSES; c++) {
        slow->layout[c] = layout_encode(inventory, c);
        bytes_hash(slow->layout[c], slow->layout_hash[c]);
    }
    return slow;
}

struct slow_parts *slow_parts_ref(struct slow_parts *slow)
{
    __atomic_add_fetch(&slow->refs, 1, __ATOMIC_RELAXED);
    return slow;
}

void slow_parts_unref(struct slow_parts *slow)
{
    if (slow == NULL || __atomic_sub_fetch(&slow->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (int c = 0; c < EDGE_CLASSES; c++)
        g_bytes_unref(slow->layout[c]);
    g_bytes_unref(slow->routes);
    g_ptr_array_unref(slow->zones);
    g_ptr_array_unref(slow->findings);
    g_hash_table_unref(slow->targets);
    inventory_unref(slow->inventory);
    g_free(slow);
}
