#include "tests/lab/lab_config.h"

#include <string.h>

/* Every process of the lab is found by its address on lo; link addresses are not routed (`src` on every route). */

/* The room answers from an origin address only by its POP: table TABLE_FIRST + i of the room's i-th POP. */
#define TABLE_FIRST 100
#define RULE_PRIORITY 1000
/* What a gateway's own kernel asks its addresses goes by its own forwarder: table TABLE_PROBES + its place in the room.
 */
#define TABLE_PROBES 200

static char *endpoint_host(const struct endpoint *endpoint)
{
    char text[ADDR_TEXT_SIZE];
    return g_strdup(addr_format(&endpoint->addr, text));
}

/* ---- addresses and static routes ---- */

static void default_by_carrier(GString *out, const struct node *node, const struct lab_link *link)
{
    g_string_append_printf(out, "route add default via %s dev %s onlink src %s\n", link->address[1], link->name,
                           node->address);
}

/* Agents reach the control site by their own link or not at all: without the blackhole they would go round by the
 * internet when it is cut. */
static void control_by_management(GString *out, const struct topo *topo, const struct lab_link *link)
{
    const char *control = topo_node(topo, "control")->address;
    g_string_append_printf(out, "route add %s via %s dev %s onlink src %s\n", control, link->address[1], link->name,
                           link->address[0]);
    g_string_append_printf(out, "route add blackhole %s metric 1000\n", control);
}

static void origin_by_pop(GString *out, const struct lab_link *link, unsigned table)
{
    const struct pop *pop = link->end[0]->object;
    g_autofree char *origin = endpoint_host(&pop->origin);
    g_string_append_printf(out, "addr add %s/32 dev lo\n", origin);
    g_string_append_printf(out, "rule add from %s lookup %u priority %d\n", origin, table, RULE_PRIORITY);
    g_string_append_printf(out, "route add default via %s dev %s onlink table %u\n", link->address[0], link->name,
                           table);
}

/* The room sends what `kernel` asks at the gateway's addresses to its forwarder's port there. */
static void probes_at_room(GString *out, const struct topo *topo, const struct lab_link *kernel, unsigned table)
{
    TOPO_FOREACH_LINK(topo, port)
    {
        if (port->kind != LINK_PORT || port->end[0] != kernel->end[0] || port->end[1] != kernel->end[1])
            continue;
        g_string_append_printf(out, "route add default via %s dev %s onlink table %u\n", port->address[0], port->name,
                               table);
    }
    INVENTORY_FOREACH (topo->inventory, gwvip, vip) {
        g_autofree char *address = endpoint_host(&vip->address);
        if (gwvip_answered_by(vip, kernel->end[1]->name) && vip->to == NULL)
            g_string_append_printf(out, "rule add from %s to %s lookup %u priority %d\n", kernel->address[0], address,
                                   table, RULE_PRIORITY);
    }
}

/* What a room with gateways has of theirs: a bridge for each line, where its instances are, the way back to who asks
 * them. */
static void gateways_at_room(GString *out, const struct topo *topo, const struct node *node)
{
    const struct room *room = node->object;
    unsigned probes = TABLE_PROBES;
    g_autoptr(GArray) entrances = topo_entrances(topo, room);
    for (guint i = 0; i < entrances->len; i++) {
        const struct lab_entrance *entrance = &g_array_index(entrances, struct lab_entrance, i);
        g_autofree char *address = endpoint_host(&entrance->at);
        if (g_strcmp0(address, node->address) != 0)
            g_string_append_printf(out, "addr replace %s/32 dev lo\n", address);
    }
    TOPO_FOREACH_LINK(topo, link)
    if (link->kind == LINK_TRUNK && link_end(link, node) >= 0)
        g_string_append_printf(out,
                               "link add br-%s type bridge mcast_snooping 0\nlink set br-%s up\n"
                               "link set %s master br-%s\nlink set %s up\n",
                               link->name, link->name, link->name, link->name, link->name);
    TOPO_FOREACH_LINK(topo, link)
    {
        if (link->end[1] != node)
            continue;
        if (link->kind == LINK_LINE_PORT)
            g_string_append_printf(out, "link set %s master br-%s\nlink set %s up\n", link->name, link->line->o.name,
                                   link->name);
        if (link->kind == LINK_PORT) {
            char local[ADDR_TEXT_SIZE];
            addr_format(&((const struct gateway *)link->end[0]->object)->local, local);
            g_string_append_printf(out, "route add %s via %s dev %s onlink\n", local, link->address[0], link->name);
        }
        if (link->kind == LINK_KERNEL)
            probes_at_room(out, topo, link, probes++);
    }
}

/* Devices of its forwarder have no addresses; the kernel's own roads lead to instances and to the control site. */
static void gateway_link(GString *out, const struct topo *topo, const struct lab_link *link)
{
    if (link->kind == LINK_PORT || link->kind == LINK_LINE_PORT) {
        g_string_append_printf(out, "link set %s up\n", link->name);
        return;
    }
    g_string_append_printf(out, "addr add %s peer %s dev %s\nlink set %s up\n", link->address[0], link->address[1],
                           link->name, link->name);
    if (link->kind == LINK_MANAGEMENT)
        control_by_management(out, topo, link);
    if (link->kind != LINK_KERNEL)
        return;
    g_autoptr(GArray) entrances = topo_entrances(topo, link->end[1]->object);
    for (guint i = 0; i < entrances->len; i++) {
        g_autofree char *address = endpoint_host(&g_array_index(entrances, struct lab_entrance, i).at);
        g_string_append_printf(out, "route replace %s via %s dev %s onlink\n", address, link->address[1], link->name);
    }
    INVENTORY_FOREACH (topo->inventory, gwvip, vip) {
        g_autofree char *address = endpoint_host(&vip->address);
        if (gwvip_answered_by(vip, link->end[1]->name) && vip->to == NULL)
            g_string_append_printf(out, "route replace %s via %s dev %s onlink\n", address, link->address[1],
                                   link->name);
    }
}

char *node_addresses(const struct topo *topo, const struct node *node)
{
    GString *out = g_string_new("link set lo up\n");
    unsigned table = TABLE_FIRST;
    if (node->routes)
        g_string_append_printf(out, "addr add %s/32 dev lo\n", node->internal);
    if (node->address != NULL)
        g_string_append_printf(out, "addr add %s/32 dev lo\n", node->address);
    TOPO_FOREACH_LINK(topo, link)
    {
        int end = link_end(link, node);
        if (end >= 0 && node->kind == NODE_GATEWAY)
            gateway_link(out, topo, link);
        if (end < 0 || node->kind == NODE_GATEWAY || link->kind == LINK_TRUNK || link->kind == LINK_LINE_PORT)
            continue;
        g_string_append_printf(out, "addr add %s peer %s dev %s\nlink set %s up\n", link->address[end],
                               link->address[1 - end], link->name, link->name);
        if (end == 0 && (link->kind == LINK_ACCESS || link->kind == LINK_USER))
            default_by_carrier(out, node, link);
        if (end == 0 && link->kind == LINK_MANAGEMENT)
            control_by_management(out, topo, link);
        if (end == 1 && link->kind == LINK_INSIDE && !room_has_gateways(topo, node->name))
            origin_by_pop(out, link, table++);
    }
    if (node->kind == NODE_ROOM && room_has_gateways(topo, node->name))
        gateways_at_room(out, topo, node);
    return g_string_free(out, FALSE);
}

/* ---- BIRD ---- */

static char *bird_name(const char *name)
{
    char *out = g_strdup_printf("n_%s", name);
    return g_strdelimit(out, "-.", '_');
}

/* Prefix set of everything that may be known on the ring. */
static char *ring_set(const struct topo *topo)
{
    GString *out = g_string_new("");
    TOPO_FOREACH_NODE(topo, node)
    {
        if (!node_on_ring(topo, node))
            continue;
        g_string_append_printf(out, "%s%s/32", out->len > 0 ? ", " : "", node->internal);
        if (node->kind == NODE_ROOM && node->address != NULL)
            g_string_append_printf(out, ", %s/32", node->address);
    }
    if (out->len == 0)
        g_string_append(out, "0.0.0.0/32");
    return g_string_free(out, FALSE);
}

/* Of a POP whose room has gateways: what they announce, and it lets the internet know. */
static char *vip_set(const struct topo *topo, const struct pop *pop)
{
    GString *out = g_string_new("");
    INVENTORY_FOREACH (topo->inventory, gwvip, vip) {
        g_autofree char *address = endpoint_host(&vip->address);
        if (pop_knows_vip(topo, pop, vip))
            g_string_append_printf(out, "%s%s/32", out->len > 0 ? ", " : "", address);
    }
    if (out->len == 0)
        g_string_append(out, "0.0.0.0/32");
    return g_string_free(out, FALSE);
}

/* The next hop of what a gateway announces is its forwarder, not its BIRD: its port's address at that POP. */
static void gateway_next_hop(GString *out, const struct topo *topo, const struct lab_link *session)
{
    TOPO_FOREACH_LINK(topo, port)
    if (port->kind == LINK_PORT && port->end[0] == session->end[0] && port->end[1] == session->end[1])
        g_string_append_printf(out, " next hop address %s;", port->address[0]);
}

/* A last resort is a longer road than that to any other gateway of the room. What a gateway stands by for is a longer
 * one than both to the gateways of its room. */
static void gateway_export(GString *out, const struct topo *topo, const struct node *node, const char *vips)
{
    const struct gateway *gateway = node->object;
    g_string_append_printf(out,
                           "import none; export filter { if source != RTS_STATIC || net !~ [ %s ] then reject;"
                           " if proto ~ \"last_*\" then bgp_path.prepend(%u);",
                           vips, node->asn);
    INVENTORY_FOREACH (topo->inventory, gwvip, vip) {
        g_autofree char *address = endpoint_host(&vip->address);
        if (g_strcmp0(vip->standby, gateway->room) == 0)
            g_string_append_printf(out,
                                   " if net = %s/32 then { bgp_path.prepend(%u); bgp_path.prepend(%u); "
                                   "bgp_path.prepend(%u); }",
                                   address, node->asn, node->asn, node->asn);
    }
    g_string_append(out, " accept; };");
}

/* Filters of the sessions of a POP whose room has gateways. */
static void gateway_filters(GString *out, const struct topo *topo, const struct node *node, const struct lab_link *link)
{
    const struct pop *pop = link->end[link->kind == LINK_BGP ? 1 : 0]->object;
    g_autofree char *vips = vip_set(topo, pop);
    if (link->kind == LINK_INSIDE)
        g_string_append(out, "import none; export none;");
    else if (link->kind == LINK_POP)
        g_string_append_printf(out, "import all; export where net ~ [ %s ];", vips);
    else if (node->kind == NODE_POP)
        g_string_append_printf(out, "import where net ~ [ %s ]; export none;", vips);
    else
        gateway_export(out, topo, node, vips);
}

/* Filters of one session, as seen by `node`. */
static void bird_filters(GString *out, const struct topo *topo, const struct node *node, const struct lab_link *link)
{
    const struct pop *pop =
        link->kind == LINK_POP || link->kind == LINK_INSIDE ? (const struct pop *)link->end[0]->object : NULL;
    g_autofree char *origin = pop != NULL ? endpoint_host(&pop->origin) : NULL;
    bool gateways = pop != NULL && node->kind != NODE_INET && room_has_gateways(topo, pop->room);
    if (gateways || link->kind == LINK_BGP)
        gateway_filters(out, topo, node, link);
    else if (link->kind == LINK_LINE)
        g_string_append(out, "import where net ~ RING; export where net ~ RING;");
    else if (link->kind == LINK_CARRIERS || (link->kind == LINK_POP && node->kind == NODE_INET))
        g_string_append(out, "import all; export where source ~ [RTS_BGP, RTS_STATIC];");
    else if (link->kind == LINK_POP)
        g_string_append_printf(out, "import all; export where net = %s/32;", origin);
    else if (node->kind == NODE_POP)
        g_string_append_printf(out, "import where net = %s/32; export none;", origin);
    else
        g_string_append_printf(out, "import none; export where net = %s/32;", origin);
}

static void bird_session(GString *out, const struct topo *topo, const struct node *node, const struct lab_link *link,
                         int end)
{
    g_autofree char *name = bird_name(link->name);
    g_string_append_printf(out,
                           "protocol bgp %s from neighbour { interface \"%s\"; local %s as %u; neighbor %s as %u; "
                           "ipv4 { ",
                           name, link->name, link->address[end], node->asn, link->address[1 - end],
                           link->end[1 - end]->asn);
    bird_filters(out, topo, node, link);
    if (link->kind == LINK_BGP && node->kind == NODE_GATEWAY)
        gateway_next_hop(out, topo, link);
    else
        g_string_append(out, " next hop self;");
    g_string_append(out, " }; }\n");
}

/* Routes that start here: a carrier's customers; a room's origins and its ring address; a ring edge's own address. */
static void bird_static(GString *out, const struct topo *topo, const struct node *node)
{
    g_string_append(out, "protocol static here { ipv4; check link yes;\n");
    if (node_on_ring(topo, node))
        g_string_append_printf(out, "  route %s/32 unreachable;\n", node->internal);
    if (node->kind == NODE_ROOM && node->address != NULL)
        g_string_append_printf(out, "  route %s/32 unreachable;\n", node->address);
    TOPO_FOREACH_LINK(topo, link)
    {
        int end = link_end(link, node);
        if (end == 1 && node->kind == NODE_INET && (link->kind == LINK_ACCESS || link->kind == LINK_USER))
            g_string_append_printf(out, "  route %s/32 via %s;\n", link->end[0]->address, link->address[0]);
        if (end == 1 && link->kind == LINK_INSIDE && !room_has_gateways(topo, node->name)) {
            g_autofree char *origin = endpoint_host(&((const struct pop *)link->end[0]->object)->origin);
            g_string_append_printf(out, "  route %s/32 unreachable;\n", origin);
        }
    }
    g_string_append(out, "}\n");
}

/* What a gateway announces, each by the protocols that its agent lets in (gateway/bird.h). */
static void bird_vips(GString *out, const struct topo *topo, const struct gateway *gateway)
{
    INVENTORY_FOREACH (topo->inventory, gwvip, vip) {
        g_autofree char *protocol = vip_protocol(vip), *address = endpoint_host(&vip->address);
        if (gwvip_answered_by(vip, gateway->room))
            g_string_append_printf(
                out,
                "protocol static %s { disabled; ipv4; route %s/32 unreachable; }\n"
                "protocol static last_%s { disabled; ipv4 { preference 100; }; route %s/32 unreachable; }\n",
                protocol, address, protocol, address);
    }
}

static bool has_session(const struct lab_link *link)
{
    return link->kind == LINK_POP || link->kind == LINK_INSIDE || link->kind == LINK_CARRIERS ||
           link->kind == LINK_LINE || link->kind == LINK_BGP;
}

char *vip_protocol(const struct gwvip *vip)
{
    char *name = g_strdup_printf("vip_%s", vip->o.name);
    return g_strdelimit(name, "-", '_');
}

char *bird_config(const struct topo *topo, const struct node *node)
{
    GString *out = g_string_new("");
    g_autofree char *ring = ring_set(topo);
    const char *source = node->kind == NODE_ROOM && node->address != NULL ? node->address : node->internal;
    bool gateways = node->kind == NODE_POP && room_has_gateways(topo, ((const struct pop *)node->object)->room);
    g_string_append_printf(out, "log stderr { warning, error, fatal, bug, remote, auth };\nrouter id %s;\n",
                           node->internal);
    g_string_append_printf(out, "define RING = [ %s ];\n", ring);
    g_string_append(out, "protocol device { scan time 10; }\n");
    /* What is only announced from here is local on lo already. */
    g_string_append_printf(out,
                           "protocol kernel { metric 32;%s ipv4 { import none; export filter {\n"
                           "  if dest = RTD_UNREACHABLE then reject;\n  krt_prefsrc = %s;\n  accept;\n}; }; }\n",
                           gateways ? " merge paths yes;" : "", source);
    g_string_append(out, "protocol bfd { interface \"*\" { min rx interval 50 ms; min tx interval 50 ms; "
                         "idle tx interval 200 ms; multiplier 3; }; }\n");
    /* No graceful restart: together with BFD it would keep routes into a hole. */
    g_string_append(out, "template bgp neighbour { direct; bfd yes; check link yes; hold time 9; keepalive time 3; "
                         "connect retry time 1; connect delay time 1; error wait time 1, 1; graceful restart off; }\n");
    bird_static(out, topo, node);
    if (node->kind == NODE_GATEWAY)
        bird_vips(out, topo, node->object);
    TOPO_FOREACH_LINK(topo, link)
    {
        int end = link_end(link, node);
        if (end >= 0 && has_session(link))
            bird_session(out, topo, node, link, end);
    }
    return g_string_free(out, FALSE);
}

/* ---- DNS ---- */

static void knot_remotes(GString *out, const struct topo *topo, const struct nameserver *server)
{
    char address[ENDPOINT_TEXT_SIZE];
    const struct nameserver *primary =
        server->primary != NULL ? INVENTORY_GET(topo->inventory, nameserver, server->primary) : NULL;
    if (primary == NULL)
        return;
    char *at = strrchr(endpoint_format(&primary->address, address), ':');
    *at = '@';
    g_string_append_printf(out, "remote:\n  - id: %s\n    address: %s\n    key: %s\n", primary->o.name, address,
                           primary->key);
}

static void knot_acl(GString *out, const struct nameserver *server)
{
    if (server->role == NAMESERVER_PRIMARY)
        g_string_append_printf(out,
                               "acl:\n  - id: peer\n    key: %s\n    action: transfer\n"
                               "  - id: writer\n    key: %s\n    action: update\n"
                               "    update-type: [A, AAAA, CNAME, TXT]\n",
                               server->key, server->key);
    else
        g_string_append_printf(out, "acl:\n  - id: peer\n    key: %s\n    action: [transfer, notify]\n", server->key);
}

char *knot_config(const struct topo *topo, const struct nameserver *server, const char *folder, const char *key_secret)
{
    GString *out = g_string_new("");
    char listen[ENDPOINT_TEXT_SIZE];
    *strrchr(endpoint_format(&server->address, listen), ':') = '@';
    g_string_append_printf(out,
                           "server:\n  rundir: %s\n  listen: %s\n  udp-workers: 1\n  tcp-workers: 2\n"
                           "  background-workers: 1\n  tcp-reuseport: on\n"
                           "log:\n  - target: stderr\n    any: info\n"
                           "database:\n  storage: %s/db\n"
                           "control:\n  listen: %s/knot.sock\n",
                           folder, listen, folder, folder);
    g_string_append_printf(out, "key:\n  - id: %s\n    algorithm: hmac-sha256\n    secret: %s\n", server->key,
                           key_secret);
    knot_remotes(out, topo, server);
    knot_acl(out, server);
    g_string_append_printf(out, "zone:\n  - domain: %s\n    storage: %s\n    zonefile-sync: -1\n", server->zone,
                           folder);
    if (server->role == NAMESERVER_PRIMARY)
        /* The file is the empty zone; the journal goes on from its serial, so a restart loses nothing. */
        g_string_append_printf(out,
                               "    file: %s.zone\n    zonefile-load: whole\n    journal-content: changes\n"
                               "    acl: [peer, writer]\n",
                               server->zone);
    else
        g_string_append_printf(out,
                               "    master: %s\n    zonefile-load: none\n    journal-content: all\n"
                               "    retry-max-interval: 1\n    acl: peer\n",
                               server->primary);
    return g_string_free(out, FALSE);
}

static void bind_zone(GString *out, const struct topo *topo, const struct nameserver *server)
{
    char address[ADDR_TEXT_SIZE];
    g_string_append_printf(out, "zone \"%s\" {\n  file \"%s.zone\";\n", server->zone, server->zone);
    const struct nameserver *primary =
        server->primary != NULL ? INVENTORY_GET(topo->inventory, nameserver, server->primary) : NULL;
    if (primary == NULL)
        g_string_append_printf(out, "  type primary; update-policy { grant %s zonesub A AAAA CNAME TXT; };\n};\n",
                               server->key);
    else
        g_string_append_printf(out, "  type secondary; primaries { %s port %u key %s; }; max-retry-time 1;\n};\n",
                               addr_format(&primary->address.addr, address), primary->address.port, primary->key);
}

char *bind_config(const struct topo *topo, const struct nameserver *server, const char *folder, const char *key_secret)
{
    GString *out = g_string_new("");
    char address[ADDR_TEXT_SIZE];
    g_string_append_printf(out, "key \"%s\" { algorithm hmac-sha256; secret \"%s\"; };\n", server->key, key_secret);
    g_string_append_printf(out,
                           "options {\n  directory \"%s\"; pid-file none; lock-file none;\n"
                           "  session-keyfile \"session.key\"; managed-keys-directory \"%s\";\n"
                           "  listen-on port %u { %s; }; listen-on-v6 { none; };\n"
                           "  recursion no; dnssec-validation no; empty-zones-enable no; notify no;\n"
                           "  serial-query-rate 1000; allow-transfer { key %s; };\n};\ncontrols { };\n",
                           folder, folder, server->address.port, addr_format(&server->address.addr, address),
                           server->key);
    bind_zone(out, topo, server);
    return g_string_free(out, FALSE);
}

char *zone_file(const struct topo *topo, const char *zone)
{
    GString *out = g_string_new("");
    GString *hosts = g_string_new("");
    char address[ADDR_TEXT_SIZE];
    INVENTORY_FOREACH (topo->inventory, nameserver, server) {
        if (strcmp(server->zone, zone) != 0)
            continue;
        if (out->len == 0)
            g_string_append_printf(out, "$ORIGIN %s.\n$TTL 60\n@ SOA %s hostmaster 1 5 1 86400 1\n", zone,
                                   server->o.name);
        g_string_append_printf(out, "@ NS %s\n", server->o.name);
        g_string_append_printf(hosts, "%s %s %s\n", server->o.name,
                               server->address.addr.family == AF_INET ? "A" : "AAAA",
                               addr_format(&server->address.addr, address));
    }
    g_string_append(out, hosts->str);
    g_string_free(hosts, TRUE);
    return g_string_free(out, FALSE);
}

char *unbound_config(const struct topo *topo, const char *folder)
{
    GString *out = g_string_new("");
    char address[ENDPOINT_TEXT_SIZE];
    /* Names under test. are answered by unbound itself (RFC 6761) unless told otherwise. */
    g_string_append_printf(out,
                           "server:\n  interface: 127.0.0.1\n  port: 53\n  do-ip6: no\n  num-threads: 1\n"
                           "  chroot: \"\"\n  username: \"\"\n  directory: \"%s\"\n  pidfile: \"\"\n"
                           "  use-syslog: no\n  logfile: \"\"\n  module-config: \"iterator\"\n"
                           "  cache-min-ttl: 0\n  cache-max-negative-ttl: 1\n  serve-expired: no\n  prefetch: no\n"
                           "  qname-minimisation: no\n  target-fetch-policy: \"0 0 0 0 0\"\n"
                           "  local-zone: \"test.\" nodefault\n"
                           "remote-control:\n  control-enable: no\n",
                           folder);
    INVENTORY_FOREACH (topo->inventory, dnszone, zone) {
        g_string_append_printf(out, "stub-zone:\n  name: \"%s.\"\n", zone->o.name);
        INVENTORY_FOREACH (topo->inventory, nameserver, server) {
            if (strcmp(server->zone, zone->o.name) != 0)
                continue;
            *strrchr(endpoint_format(&server->address, address), ':') = '@';
            g_string_append_printf(out, "  stub-addr: %s\n", address);
        }
    }
    return g_string_free(out, FALSE);
}

/* ---- wire ---- */

char *wire_links(const struct topo *topo, const char *prefix)
{
    GString *out = g_string_new("");
    TOPO_FOREACH_LINK(topo, link)
    if (link->wire)
        g_string_append_printf(out, "%s %s%s %s %s%s %s %ld %ld %ld %ld %s\n", link->name, prefix, link->end[0]->name,
                               link->name, prefix, link->end[1]->name, link->name, link->delay_us, link->jitter_us,
                               link->loss_ppm, link->rate_kbit, link->kind == LINK_TRUNK ? "tap" : "tun");
    return g_string_free(out, FALSE);
}
