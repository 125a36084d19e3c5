/* lab_config.h: the configuration text of every part of the lab that is not ours.
 *
 * Routing (BIRD): eBGP on every link between routers, with BFD of 3 x 50 ms, each node its own AS. What may pass:
 *   room -> pop     the origin addresses of this POP, nothing else
 *   pop -> inet     the same; a POP carries nothing between carriers
 *   inet <-> inet   everything: addresses of edges, users, name servers, control site, POPs
 *   line            ring addresses of rooms and of dedicated edges, nothing else
 *   gateway -> pop  the addresses that its agent lets in and this POP is to know, each with the forwarder as next hop
 *                   (ECMP), a last resort by a longer AS path; its room then tells the POP nothing
 * so that a room never announces the other's addresses to the internet, the internet never sees the ring, and the ring
 * never sees a POP. Replies from an origin address leave by its POP (policy routing, see node_addresses).
 *
 * Thread safety: pure functions; results are freed with g_free.
 */
#ifndef LAB_CONFIG_H
#define LAB_CONFIG_H

#include "tests/lab/lab_topo.h"

/* Batch for `ip -batch -` in the namespace of node: addresses, static routes, policy rules. Devices must exist. */
char *node_addresses(const struct topo *topo, const struct node *node);

char *bird_config(const struct topo *topo, const struct node *node);
/* BIRD's protocol that announces it: the name that the gateway's table has (server/interlocking/gateways.c). */
char *vip_protocol(const struct gwvip *vip);

/* folder: of this server's own files. key_secret: base64. */
char *knot_config(const struct topo *topo, const struct nameserver *server, const char *folder, const char *key_secret);
char *bind_config(const struct topo *topo, const struct nameserver *server, const char *folder, const char *key_secret);
/* SOA, NS and the servers' addresses; all else comes by updates. */
char *zone_file(const struct topo *topo, const char *zone);

/* Caching resolver at 127.0.0.1:53; honours TTLs as they are. */
char *unbound_config(const struct topo *topo, const char *folder);

/* Lines for wire.c. prefix: of namespaces. */
char *wire_links(const struct topo *topo, const char *prefix);

#endif
