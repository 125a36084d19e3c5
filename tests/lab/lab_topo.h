/* lab_topo.h: from a site file to nodes (network namespaces) and links between them, with every address.
 *
 * Nodes: `user-N` and `inet-N` (the carrier's router) for each carrier, `control`, and one node for each edge, pop,
 * room, nameserver and gateway, by its name.
 * Links carry the name of what they connect, and their devices have that name at both ends, so `ip route` reads well:
 *   NODE       an edge, nameserver, user or `control` with its carrier's router
 *   POP        a POP with the router of its carrier; POP.2 with that of its second one
 *   POP-in     a POP with its room
 *   EDGE-ctl   an edge, or gateway, with the control site: agents only, no users
 *   inet-1-2   the routers of two carriers
 *   LINE       a dedicated line
 *   GWPORT     a port of a gateway's forwarder with who is next there
 *   GW-in      a gateway's own kernel with its room, where its agent asks instances
 *   GW-bgpN    the same with the room's N-th POP: BIRD
 *
 * Gateways: a room that has some answers users behind them only, at its instances; its POPs' origin addresses are
 * theirs (gwvips). A forwarder's ports that are neither inside nor of a line lead to the room's POPs, one after the
 * other. A line between two such rooms is no part of the ring: it is an Ethernet cable between two bridges, br-LINE, at
 * which the gateways of either room have their ports of that line. Addresses of forwarders are those of the inventory;
 * their kernels have none of them.
 *
 * The document `lab:` of the site file, all of it optional:
 *   lab:
 *     cluster: two-rooms                               name of the cluster; "lab" when absent
 *     control: {address: 192.0.2.1, carrier: carrier-1}
 *     users:                                           default: one for each carrier, 100.64.N.1
 *       - {name: user-1, carrier: carrier-1, address: 100.64.1.1}
 *     links:                                           what differs from the defaults of link_kinds in lab_topo.c
 *       - {name: line-5, delay_us: 3000, jitter_us: 0, loss_ppm: 0, rate_kbit: 0}
 *     nameservers:                                     whose program serves; knot when absent
 *       - {name: ns-2, software: bind}
 *     load: ...                                        what the load client makes of it; not read here
 *
 * Thread safety: pure but for topo_load, which reads the file. A topology is immutable.
 */
#ifndef LAB_TOPO_H
#define LAB_TOPO_H

#include "schema/inventory.h"

enum node_kind { NODE_USER, NODE_INET, NODE_EDGE, NODE_POP, NODE_ROOM, NODE_NAMESERVER, NODE_GATEWAY, NODE_CONTROL };
enum link_kind {
    LINK_USER,       /* user - inet */
    LINK_ACCESS,     /* edge, nameserver, control - inet */
    LINK_POP,        /* pop - inet: an entrance of a room */
    LINK_INSIDE,     /* pop - room */
    LINK_CARRIERS,   /* inet - inet */
    LINK_LINE,       /* room or dedicated edge - room or dedicated edge */
    LINK_MANAGEMENT, /* edge, gateway - control */
    LINK_TRUNK,      /* room - room: a line that gateways use; frames, no addresses */
    LINK_PORT,       /* gateway - room, pop: a port of its forwarder, whose address is address[0] */
    LINK_LINE_PORT,  /* gateway - room: the same, at the bridge of a trunk; the room has no address there */
    LINK_KERNEL,     /* gateway - room */
    LINK_BGP,        /* gateway - pop */
};

struct node {
    enum node_kind kind;
    char *name;
    char *address;      /* what others know it by, on its lo; NULL: routers, gateways */
    char *internal;     /* 10.255.x.y on its lo: router id and, on the ring, source address */
    unsigned asn;       /* of its routing daemon */
    bool routes;        /* runs BIRD */
    bool bind;          /* a nameserver that runs BIND; the others run Knot */
    const void *object; /* struct edge, pop, room, nameserver or gateway of the inventory; NULL for the others */
};

struct lab_link {
    enum link_kind kind;
    char *name;
    struct node *end[2];
    char *address[2];
    bool wire; /* false: plain veth inside a site, never cut */
    int64_t delay_us, jitter_us, loss_ppm, rate_kbit;
    const struct line *line;     /* LINK_LINE, LINK_TRUNK, LINK_LINE_PORT */
    const struct gwport *gwport; /* LINK_PORT, LINK_LINE_PORT: the first one of the forwarder's port */
};

/* Where a room's origin listens, and what it calls that. */
struct lab_entrance {
    struct endpoint at;
    const char *name; /* of a POP or instance; "ring" */
};

struct topo {
    struct inventory *inventory;
    char *cluster;
    GPtrArray *nodes; /* struct node * */
    GPtrArray *links; /* struct lab_link * */
};

/* Reads a site file, builds its topology. Errors name file, line, object, field, what was found and expected. */
struct topo *topo_load(const char *path, GError **error);
void topo_free(struct topo *topo);

const struct node *topo_node(const struct topo *topo, const char *name); /* NULL if unknown */
/* 0 or 1 if node is at this end of link, -1 if it is at neither. */
int link_end(const struct lab_link *link, const struct node *node);

/* The room that a POP is an entrance of. */
const struct room *topo_pop_room(const struct topo *topo, const struct pop *pop);
bool node_is_dedicated_edge(const struct node *node);
/* Is it an end of the ring of dedicated lines? */
bool node_on_ring(const struct topo *topo, const struct node *node);

/* room: a name. */
bool room_has_gateways(const struct topo *topo, const char *room);
/* Of a room: GArray of struct lab_entrance; g_array_unref. */
GArray *topo_entrances(const struct topo *topo, const struct room *room);
/* Does this POP let the internet know the address? An origin's is known by its own POP alone. */
bool pop_knows_vip(const struct topo *topo, const struct pop *pop, const struct gwvip *vip);
/* At the other end of the line that a port is an end of; NULL: nobody, or it is no end of a line. */
const struct gwport *gwport_far(const struct topo *topo, const struct gwport *port);

#define TOPO_FOREACH_NODE(topo, var)                                                                                   \
    for (guint var##_i = 0; var##_i < (topo)->nodes->len; var##_i++)                                                   \
        for (struct node *var = (topo)->nodes->pdata[var##_i]; var != NULL; var = NULL)
#define TOPO_FOREACH_LINK(topo, var)                                                                                   \
    for (guint var##_i = 0; var##_i < (topo)->links->len; var##_i++)                                                   \
        for (struct lab_link *var = (topo)->links->pdata[var##_i]; var != NULL; var = NULL)

#endif
