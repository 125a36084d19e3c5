#include "tests/lab/lab_topo.h"

#include "core/error.h"
#include "schema/yamldoc.h"

#include <linux/if.h>
#include <string.h>

/* First private AS number of four bytes (RFC 6996). */
#define ASN_FIRST 4200000000u

/* Defaults: one way, as between towns of one region. */
static const struct {
    bool wire;
    int64_t delay_us;
} link_kinds[] = {
    [LINK_USER] = {false, 0},         [LINK_ACCESS] = {true, 1000},   [LINK_POP] = {true, 3000},
    [LINK_INSIDE] = {false, 0},       [LINK_CARRIERS] = {true, 1000}, [LINK_LINE] = {true, 2000},
    [LINK_MANAGEMENT] = {true, 1000}, [LINK_TRUNK] = {true, 2000},    [LINK_PORT] = {false, 0},
    [LINK_LINE_PORT] = {false, 0},    [LINK_KERNEL] = {false, 0},     [LINK_BGP] = {false, 0},
};

static void node_free(struct node *node)
{
    g_free(node->name);
    g_free(node->address);
    g_free(node->internal);
    g_free(node);
}

static void link_free(struct lab_link *link)
{
    g_free(link->name);
    g_free(link->address[0]);
    g_free(link->address[1]);
    g_free(link);
}

void topo_free(struct topo *topo)
{
    if (topo == NULL)
        return;
    g_ptr_array_unref(topo->links);
    g_ptr_array_unref(topo->nodes);
    if (topo->inventory != NULL)
        inventory_unref(topo->inventory);
    g_free(topo->cluster);
    g_free(topo);
}

const struct node *topo_node(const struct topo *topo, const char *name)
{
    TOPO_FOREACH_NODE(topo, node)
    if (strcmp(node->name, name) == 0)
        return node;
    return NULL;
}

int link_end(const struct lab_link *link, const struct node *node)
{
    return link->end[0] == node ? 0 : link->end[1] == node ? 1 : -1;
}

const struct room *topo_pop_room(const struct topo *topo, const struct pop *pop)
{
    return INVENTORY_GET(topo->inventory, room, pop->room);
}

bool node_is_dedicated_edge(const struct node *node)
{
    return node->kind == NODE_EDGE && ((const struct edge *)node->object)->class == EDGE_DEDICATED;
}

bool node_on_ring(const struct topo *topo, const struct node *node)
{
    TOPO_FOREACH_LINK(topo, link)
    if (link->kind == LINK_LINE && link_end(link, node) >= 0)
        return true;
    return false;
}

/* ---- gateways ---- */

bool room_has_gateways(const struct topo *topo, const char *room)
{
    INVENTORY_FOREACH (topo->inventory, gateway, gateway)
        if (strcmp(gateway->room, room) == 0)
            return true;
    return false;
}

static bool listens_at(const GArray *entrances, const struct endpoint *at)
{
    for (guint i = 0; i < entrances->len; i++)
        if (endpoint_equal(&g_array_index(entrances, struct lab_entrance, i).at, at))
            return true;
    return false;
}

static void entrance_add(GArray *entrances, const struct endpoint *at, const char *name)
{
    struct lab_entrance entrance = {*at, name};
    if (!listens_at(entrances, at))
        g_array_append_val(entrances, entrance);
}

GArray *topo_entrances(const struct topo *topo, const struct room *room)
{
    GArray *entrances = g_array_new(FALSE, FALSE, sizeof(struct lab_entrance));
    bool gateways = room_has_gateways(topo, room->o.name);
    INVENTORY_FOREACH (topo->inventory, pop, pop)
        if (!gateways && strcmp(pop->room, room->o.name) == 0)
            entrance_add(entrances, &pop->origin, pop->o.name);
    if (room->ring.port != 0)
        entrance_add(entrances, &room->ring, "ring");
    INVENTORY_FOREACH (topo->inventory, instance, instance)
        if (gateways && strcmp(instance->room, room->o.name) == 0)
            entrance_add(entrances, &instance->address, instance->o.name);
    return entrances;
}

bool pop_knows_vip(const struct topo *topo, const struct pop *pop, const struct gwvip *vip)
{
    if (!gwvip_answered_by(vip, pop->room))
        return false;
    INVENTORY_FOREACH (topo->inventory, pop, other) {
        if (strcmp(other->room, pop->room) == 0 && addr_equal(&other->origin.addr, &vip->address.addr))
            return other == pop;
    }
    return true;
}

const struct gwport *gwport_far(const struct topo *topo, const struct gwport *port)
{
    INVENTORY_FOREACH (topo->inventory, gwport, far) {
        if (port->line != NULL && g_strcmp0(far->line, port->line) == 0 && addr_equal(&far->own, &port->next))
            return far;
    }
    return NULL;
}

/* ---- nodes ---- */

static bool fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static bool fail(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, SB_ERROR, SB_ERROR_INVALID, text);
    return false;
}

/* Takes address. */
static struct node *node_add(struct topo *topo, enum node_kind kind, const char *name, char *address,
                             const void *object)
{
    unsigned n = topo->nodes->len + 1;
    struct node *node = g_new0(struct node, 1);
    *node = (struct node){.kind = kind, .name = g_strdup(name), .address = address, .object = object};
    node->internal = g_strdup_printf("10.255.%u.%u", n / 250, n % 250);
    node->asn = ASN_FIRST + n;
    node->routes = kind == NODE_INET || kind == NODE_POP || kind == NODE_ROOM || kind == NODE_GATEWAY;
    g_ptr_array_add(topo->nodes, node);
    return node;
}

static char *address_text(const struct addr *addr)
{
    char text[ADDR_TEXT_SIZE];
    return g_strdup(addr_format(addr, text));
}

static char *inet_name(const struct topo *topo, const char *carrier)
{
    const GPtrArray *carriers = inventory_list(topo->inventory, OBJECT_carrier);
    for (guint i = 0; i < carriers->len; i++)
        if (carrier == NULL || strcmp(((const struct carrier *)carriers->pdata[i])->o.name, carrier) == 0)
            return g_strdup_printf("inet-%u", i + 1);
    return NULL;
}

static void nodes_from_inventory(struct topo *topo)
{
    const struct inventory *inv = topo->inventory;
    guint carriers = inventory_list(inv, OBJECT_carrier)->len;
    for (guint i = 0; i < carriers; i++) {
        g_autofree char *name = g_strdup_printf("inet-%u", i + 1);
        node_add(topo, NODE_INET, name, NULL, NULL);
    }
    INVENTORY_FOREACH (inv, edge, edge)
        node_add(topo, NODE_EDGE, edge->o.name, address_text(&edge->address), edge);
    INVENTORY_FOREACH (inv, pop, pop)
        node_add(topo, NODE_POP, pop->o.name, NULL, pop);
    INVENTORY_FOREACH (inv, room, room)
        node_add(topo, NODE_ROOM, room->o.name, room->ring.port != 0 ? address_text(&room->ring.addr) : NULL, room);
    INVENTORY_FOREACH (inv, nameserver, server)
        node_add(topo, NODE_NAMESERVER, server->o.name, address_text(&server->address.addr), server);
    INVENTORY_FOREACH (inv, gateway, gateway)
        node_add(topo, NODE_GATEWAY, gateway->o.name, NULL, gateway);
}

/* ---- links ---- */

static struct lab_link *link_add(struct topo *topo, enum link_kind kind, const char *name, struct node *a,
                                 struct node *b)
{
    unsigned n = topo->links->len * 2;
    struct lab_link *link = g_new0(struct lab_link, 1);
    *link = (struct lab_link){.kind = kind, .name = g_strdup(name), .end = {a, b}, .wire = link_kinds[kind].wire};
    link->delay_us = link_kinds[kind].delay_us;
    for (unsigned i = 0; i < 2; i++)
        link->address[i] = g_strdup_printf("10.100.%u.%u", (n + i) / 256, (n + i) % 256);
    g_ptr_array_add(topo->links, link);
    return link;
}

static struct node *node_find(struct topo *topo, const char *name)
{
    return name != NULL ? (struct node *)topo_node(topo, name) : NULL;
}

/* Link of a node with the router of its i-th carrier; those without a carrier are spread over all routers. */
static void link_carrier(struct topo *topo, enum link_kind kind, struct node *node, const char *carrier, unsigned i)
{
    g_autofree char *name = i == 0 ? g_strdup(node->name) : g_strdup_printf("%s.%u", node->name, i + 1);
    g_autofree char *inet = inet_name(topo, carrier);
    link_add(topo, kind, name, node, node_find(topo, inet));
}

static const char *carrier_by_turn(const struct topo *topo, guint i)
{
    const GPtrArray *carriers = inventory_list(topo->inventory, OBJECT_carrier);
    return ((const struct carrier *)carriers->pdata[i % carriers->len])->o.name;
}

static void links_of_node(struct topo *topo, struct node *node, guint turn)
{
    if (node->kind == NODE_EDGE) {
        const struct edge *edge = node->object;
        bool has_carrier = edge->carriers != NULL && edge->carriers[0] != NULL;
        link_carrier(topo, LINK_ACCESS, node, has_carrier ? edge->carriers[0] : carrier_by_turn(topo, turn), 0);
        g_autofree char *name = g_strdup_printf("%s-ctl", node->name);
        link_add(topo, LINK_MANAGEMENT, name, node, node_find(topo, "control"));
    } else if (node->kind == NODE_POP) {
        const struct pop *pop = node->object;
        for (unsigned i = 0; pop->carriers[i] != NULL; i++)
            link_carrier(topo, LINK_POP, node, pop->carriers[i], i);
        g_autofree char *name = g_strdup_printf("%s-in", node->name);
        link_add(topo, LINK_INSIDE, name, node, node_find(topo, pop->room));
    } else if (node->kind == NODE_NAMESERVER) {
        link_carrier(topo, LINK_ACCESS, node, carrier_by_turn(topo, turn), 0);
    }
}

static bool links_from_inventory(struct topo *topo, GError **error)
{
    guint carriers = inventory_list(topo->inventory, OBJECT_carrier)->len;
    for (guint a = 1; a <= carriers; a++) {
        for (guint b = a + 1; b <= carriers; b++) {
            g_autofree char *left = g_strdup_printf("inet-%u", a);
            g_autofree char *right = g_strdup_printf("inet-%u", b);
            g_autofree char *name = g_strdup_printf("inet-%u-%u", a, b);
            link_add(topo, LINK_CARRIERS, name, node_find(topo, left), node_find(topo, right));
        }
    }
    guint turn[NODE_CONTROL + 1] = {0};
    TOPO_FOREACH_NODE(topo, node)
    links_of_node(topo, node, turn[node->kind]++);
    INVENTORY_FOREACH (topo->inventory, line, line) {
        struct node *from = node_find(topo, line->from), *to = node_find(topo, line->to);
        if ((from->kind == NODE_EDGE && !node_is_dedicated_edge(from)) ||
            (to->kind == NODE_EDGE && !node_is_dedicated_edge(to)))
            return fail(error, "%s: line %s: found a public edge at an end, expected a room or a dedicated edge",
                        line->o.at, line->o.name);
        bool trunk = from->kind == NODE_ROOM && to->kind == NODE_ROOM && room_has_gateways(topo, line->from) &&
                     room_has_gateways(topo, line->to);
        struct lab_link *link = link_add(topo, trunk ? LINK_TRUNK : LINK_LINE, line->o.name, from, to);
        link->line = line;
        from->routes = to->routes = true;
    }
    return true;
}

static struct lab_link *link_find(struct topo *topo, const char *name)
{
    TOPO_FOREACH_LINK(topo, link)
    if (strcmp(link->name, name) == 0)
        return link;
    return NULL;
}

static void address_set(char **slot, const struct addr *addr)
{
    g_free(*slot);
    *slot = addr != NULL ? address_text(addr) : NULL;
}

/* The n-th POP of a room; NULL: there are not so many. */
static const struct pop *room_pop(const struct topo *topo, const char *room, unsigned n)
{
    INVENTORY_FOREACH (topo->inventory, pop, pop)
        if (strcmp(pop->room, room) == 0 && n-- == 0)
            return pop;
    return NULL;
}

/* A port whose line is no trunk, or that leads to a POP that there is not, is nobody's: NULL. */
static struct lab_link *port_add(struct topo *topo, struct node *node, const struct gwport *port, unsigned *pops)
{
    const char *room = ((const struct gateway *)node->object)->room;
    const struct lab_link *trunk = port->line != NULL ? link_find(topo, port->line) : NULL;
    const struct pop *pop = port->line == NULL && !port->inside ? room_pop(topo, room, (*pops)++) : NULL;
    if (trunk != NULL && trunk->kind != LINK_TRUNK)
        return NULL;
    if (trunk == NULL && !port->inside && pop == NULL)
        return NULL;
    struct lab_link *link = link_add(topo, trunk != NULL ? LINK_LINE_PORT : LINK_PORT, port->o.name, node,
                                     node_find(topo, pop != NULL ? pop->o.name : room));
    address_set(&link->address[0], &port->own);
    address_set(&link->address[1], trunk == NULL ? &port->next : NULL);
    link->line = trunk != NULL ? trunk->line : NULL;
    link->gwport = port;
    return link;
}

/* The first of a gateway's ways by a port of its forwarder; NULL: there is none. */
static const struct gwport *port_first(const struct topo *topo, const char *gateway, int64_t number)
{
    const struct gwport *first = NULL;
    INVENTORY_FOREACH (topo->inventory, gwport, port) {
        if (strcmp(port->gateway, gateway) == 0 && port->port == number &&
            (first == NULL || port->place < first->place))
            first = port;
    }
    return first;
}

/* Ports in their order, without a gap: they are numbered by their places on a command line. */
static bool ports_add(struct topo *topo, struct node *node, GError **error)
{
    const struct gwport *port;
    unsigned pops = 0;
    int64_t number = 0;
    for (; (port = port_first(topo, node->name, number)) != NULL; number++)
        if (port_add(topo, node, port, &pops) == NULL)
            return fail(error, "%s: gwport %s: found no line between rooms with gateways, and no POP that is left",
                        port->o.at, port->o.name);
    INVENTORY_FOREACH (topo->inventory, gwport, other)
        if (strcmp(other->gateway, node->name) == 0 && other->port > number)
            return fail(error, "%s: gwport %s: port: found %ld, expected no gap behind %ld", other->o.at, other->o.name,
                        other->port, number - 1);
    return true;
}

static bool links_of_gateway(struct topo *topo, struct node *node, GError **error)
{
    const char *room = ((const struct gateway *)node->object)->room;
    const struct pop *pop;
    g_autofree char *inside = g_strdup_printf("%s-in", node->name);
    g_autofree char *control = g_strdup_printf("%s-ctl", node->name);
    if (!ports_add(topo, node, error))
        return false;
    link_add(topo, LINK_KERNEL, inside, node, node_find(topo, room));
    link_add(topo, LINK_MANAGEMENT, control, node, node_find(topo, "control"));
    for (unsigned i = 0; (pop = room_pop(topo, room, i)) != NULL; i++) {
        g_autofree char *name = g_strdup_printf("%s-bgp%u", node->name, i + 1);
        link_add(topo, LINK_BGP, name, node, node_find(topo, pop->o.name));
    }
    return true;
}

static bool links_of_gateways(struct topo *topo, GError **error)
{
    for (guint i = 0; i < topo->nodes->len; i++) {
        struct node *node = topo->nodes->pdata[i];
        if (node->kind == NODE_GATEWAY && !links_of_gateway(topo, node, error))
            return false;
    }
    return true;
}

/* ---- the document `lab:` ---- */

static const char *text_of(const json_t *map, const char *key, const char *fallback)
{
    const char *text = json_string_value(json_object_get(map, key));
    return text != NULL ? text : fallback;
}

static bool known_keys(const json_t *map, const char *what, const char *const *keys, GError **error)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)map, key, value) {
        if (!g_strv_contains(keys, key)) {
            g_autofree char *all = g_strjoinv(" ", (char **)keys);
            return fail(error, "lab: %s: unknown field %s, expected one of: %s", what, key, all);
        }
    }
    return true;
}

/* A user or the control site: an address of its own at a carrier. */
static bool stub_add(struct topo *topo, enum node_kind kind, const json_t *map, const char *name, const char *address,
                     const char *carrier, GError **error)
{
    static const char *const keys[] = {"name", "carrier", "address", NULL};
    if (!known_keys(map, name, keys, error))
        return false;
    name = text_of(map, "name", name);
    address = text_of(map, "address", address);
    carrier = text_of(map, "carrier", carrier);
    struct addr parsed;
    if (!addr_parse(address, &parsed) || parsed.family != AF_INET)
        return fail(error, "lab: %s: address: found \"%s\", expected an IPv4 address", name, address);
    if (inventory_get(topo->inventory, OBJECT_carrier, carrier) == NULL)
        return fail(error, "lab: %s: carrier: found \"%s\", expected the name of a carrier", name, carrier);
    struct node *node = node_add(topo, kind, name, g_strdup(address), NULL);
    link_carrier(topo, kind == NODE_USER ? LINK_USER : LINK_ACCESS, node, carrier, 0);
    return true;
}

static bool users_add(struct topo *topo, const json_t *users, GError **error)
{
    guint n = users != NULL ? (guint)json_array_size(users) : inventory_list(topo->inventory, OBJECT_carrier)->len;
    for (guint i = 0; i < n; i++) {
        g_autofree char *name = g_strdup_printf("user-%u", i + 1);
        g_autofree char *address = g_strdup_printf("100.64.%u.1", i + 1);
        if (!stub_add(topo, NODE_USER, json_array_get(users, i), name, address, carrier_by_turn(topo, i), error))
            return false;
    }
    return true;
}

static bool link_tune(struct topo *topo, const json_t *map, GError **error)
{
    static const char *const keys[] = {"name", "delay_us", "jitter_us", "loss_ppm", "rate_kbit", NULL};
    const char *name = text_of(map, "name", "");
    struct lab_link *link = link_find(topo, name);
    if (link == NULL)
        return fail(error, "lab: links: found \"%s\", expected the name of a link (see `lab status`)", name);
    if (!known_keys(map, name, keys, error))
        return false;
    int64_t *values[] = {&link->delay_us, &link->jitter_us, &link->loss_ppm, &link->rate_kbit};
    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
        const json_t *value = json_object_get(map, keys[i + 1]);
        if (value == NULL)
            continue;
        if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > 100000000)
            return fail(error, "lab: link %s: %s: expected 0..100000000", name, keys[i + 1]);
        *values[i] = json_integer_value(value);
        link->wire = true;
    }
    return true;
}

static bool nameserver_tune(struct topo *topo, const json_t *map, GError **error)
{
    static const char *const keys[] = {"name", "software", NULL};
    const char *name = text_of(map, "name", ""), *software = text_of(map, "software", "knot");
    struct node *node = (struct node *)topo_node(topo, name);
    if (node == NULL || node->kind != NODE_NAMESERVER)
        return fail(error, "lab: nameservers: found \"%s\", expected the name of a nameserver", name);
    if (!known_keys(map, name, keys, error))
        return false;
    node->bind = strcmp(software, "bind") == 0;
    return node->bind || strcmp(software, "knot") == 0 ||
           fail(error, "lab: %s: software: found \"%s\", expected knot or bind", name, software);
}

static bool names_fit(const struct topo *topo, GError **error)
{
    TOPO_FOREACH_LINK(topo, link)
    if (strlen(link->name) >= IFNAMSIZ)
        return fail(error, "link %s: devices have the names of links, at most %d letters", link->name, IFNAMSIZ - 1);
    TOPO_FOREACH_NODE(topo, node)
    if (topo_node(topo, node->name) != node)
        return fail(error, "node %s: found twice: user-N, inet-N and control are the lab's own names", node->name);
    return true;
}

static bool topo_build(struct topo *topo, const json_t *lab, GError **error)
{
    static const char *const keys[] = {"cluster", "control", "users", "links", "nameservers", "load", NULL};
    if (!known_keys(lab, "document", keys, error))
        return false;
    if (inventory_list(topo->inventory, OBJECT_carrier)->len == 0)
        return fail(error, "a lab needs at least one carrier");
    topo->cluster = g_strdup(text_of(lab, "cluster", "lab"));
    nodes_from_inventory(topo);
    if (!stub_add(topo, NODE_CONTROL, json_object_get(lab, "control"), "control", "192.0.2.1", carrier_by_turn(topo, 0),
                  error) ||
        !users_add(topo, json_object_get(lab, "users"), error) || !links_from_inventory(topo, error) ||
        !links_of_gateways(topo, error))
        return false;
    const json_t *links = json_object_get(lab, "links");
    for (size_t i = 0; i < json_array_size(links); i++)
        if (!link_tune(topo, json_array_get(links, i), error))
            return false;
    const json_t *servers = json_object_get(lab, "nameservers");
    for (size_t i = 0; i < json_array_size(servers); i++)
        if (!nameserver_tune(topo, json_array_get(servers, i), error))
            return false;
    return names_fit(topo, error);
}

/* ---- site file ---- */

static struct inventory *inventory_of(const json_t *documents, const char *path, GError **error)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    json_t *body = json_object();
    yamldoc_collect(documents, path, body, findings);
    struct inventory *inv = findings->len == 0 ? inventory_from_json(body, findings) : NULL;
    json_decref(body);
    if (inv != NULL)
        inventory_validate(inv, findings);
    if (findings->len == 0)
        return inv;
    if (inv != NULL)
        inventory_unref(inv);
    findings_error(findings, error);
    return NULL;
}

struct topo *topo_load(const char *path, GError **error)
{
    json_t *documents = yamldoc_load_file(path, error);
    if (documents == NULL)
        return NULL;
    struct topo *topo = g_new0(struct topo, 1);
    topo->nodes = g_ptr_array_new_with_free_func((GDestroyNotify)node_free);
    topo->links = g_ptr_array_new_with_free_func((GDestroyNotify)link_free);
    topo->inventory = inventory_of(documents, path, error);
    yamldoc_strip(documents);
    const json_t *lab = NULL;
    for (size_t i = 0; i < json_array_size(documents) && lab == NULL; i++)
        lab = json_object_get(json_array_get(documents, i), "lab");
    if (topo->inventory == NULL || !topo_build(topo, lab, error))
        g_clear_pointer(&topo, topo_free);
    json_decref(documents);
    return topo;
}
