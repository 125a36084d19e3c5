/* nat_private.h: what the files of the FULLNAT share: nat.c (sessions, their states and packets), splice.c (those
 * that begin with a SYN cookie) and nat_icmp.c (errors about them). Thread safety: that of nat.h.
 */
#ifndef DATAPLANE_NAT_PRIVATE_H
#define DATAPLANE_NAT_PRIVATE_H

#include "dataplane/nat.h"

static inline const uint8_t *nat_local_address(const struct nat *nat, const struct nat_session *s)
{
    return nat->memory.locals[s->local_index].address;
}
static inline uint32_t nat_index_of(const struct nat *nat, const struct nat_session *s)
{
    return (uint32_t)(s - nat->memory.sessions);
}
/* Is a TCP packet the first of a connection; the second? */
static inline bool nat_is_syn(const struct packet *p)
{
    return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}
static inline bool nat_is_answer(const struct packet *p)
{
    return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);
}

/* nat.c */
void nat_enter(struct nat *nat, struct nat_session *s, enum nat_state state, uint64_t now_us);
void nat_end(struct nat *nat, struct nat_session *s);
const struct nat_service *nat_service_of(const struct nat *nat, const struct flow_key *key);
/* A new session of a client's TCP stream that begins with seq, or of datagrams; NULL: *drop says why not. */
struct nat_session *nat_begin(struct nat *nat, const struct flow_key *key, uint64_t hash, uint32_t seq,
                              uint32_t adjacency, uint64_t now_us, enum drop *drop);
/* One packet of a session from outside; it was looked at by nobody yet. */
struct nat_way nat_from_client(struct nat *nat, struct nat_session *s, struct packet *p, uint64_t now_us);

struct nat_session *nat_find(const struct nat *nat, const struct flow_key *key, uint64_t hash);
/* Where the number of a port's session is; NULL: no session has such a port. */
static inline const uint32_t *nat_session_at(const struct nat_local *local, uint16_t port)
{
    return local != NULL && port >= NAT_PORT_MIN ? &local->by_port[port - NAT_PORT_MIN] : NULL;
}

/* nat_icmp.c: in the place of a packet that is bigger than its way allows, its sender is told so (RFC 1191, RFC 8201).
 * adjacency: where it came from. */
struct nat_way nat_too_big(enum nat_side from, uint32_t adjacency, struct packet *p, unsigned mtu);

/* splice.c */
void splice_init(struct nat *nat);
void splice_clear(struct nat *nat, struct nat_session *s); /* the session ends */
/* A SYN of no session, while there are many of those: answered in place. Its checksum is good. */
bool splice_wanted(const struct nat *nat);
struct nat_way splice_answer_syn(struct nat *nat, const struct flow_key *key, uint32_t adjacency, struct packet *p,
                                 uint64_t now_us);
/* A packet of no session that may bring a cookie back: false, none that is ours. Else its session has begun, and *way
 * is where the packet goes: a SYN to the backend in its place. */
bool splice_begin(struct nat *nat, const struct flow_key *key, uint64_t hash, uint32_t adjacency, struct packet *p,
                  uint64_t now_us, struct nat_way *way);
/* Packets of a session whose backend has not answered yet. */
struct nat_way splice_from_client(struct nat *nat, struct nat_session *s, struct packet *p, uint64_t now_us);
struct nat_way splice_from_backend(struct nat *nat, struct nat_session *s, uint32_t adjacency, struct packet *p,
                                   uint64_t now_us);
/* The backend says again that it has taken the SYN: it is told so again. Its checksum is good. */
struct nat_way splice_confirm(struct nat *nat, struct nat_session *s, struct packet *p);
/* Its timer has fired. */
void splice_turn(struct nat *nat, struct nat_session *s, uint64_t now_us);

#endif
