/* translate.h: what a session changes in its packets, in place: addresses, ports, sequence numbers, windows, options,
 * and what it tells the backend of its client. Checksums are patched by the difference (csum.h).
 *
 * PROXY protocol v2 (haproxy.org, proxy-protocol.txt, 2.2): the header is the first bytes of the client's stream. It
 * goes in front of every packet that begins where the client's stream begins, the one that completes the handshake
 * among them, until the backend has acknowledged it: lost with its packet it comes again with that, and no timer is
 * needed. What is behind it is numbered higher by its size. Acknowledgements of a part of it say to the client that
 * nothing has arrived.
 *
 * Pure. Thread safety: a session belongs to one core.
 */
#ifndef DATAPLANE_TRANSLATE_H
#define DATAPLANE_TRANSLATE_H

#include "dataplane/nat.h"

/* A TCP header's numbers as the backend counts them, as they will be behind translation. */
struct translate_numbers {
    uint32_t seq, ack;
    uint32_t end; /* behind the payload, with what is put in front of it; a FIN would have this number */
};

/* Notes what addresses and ports change in checksums. local: the session's own address. */
void translate_begin(struct nat_session *s, const uint8_t *local);
struct translate_numbers translate_numbers(const struct nat_session *s, enum nat_side from, const struct packet *p);
/* Has the packet, from outside, room for what is to be told with it? */
bool translate_fits(const struct nat_session *s, const struct packet *p);
/* From the client to the backend; translate_fits. */
void translate_in(const struct nat_session *s, const uint8_t *local, struct packet *p);
/* From the backend to the client. */
void translate_out(const struct nat_session *s, struct packet *p);
/* The same where the session is `open`, and the packet neither begins nor ends anything and has no options but
 * timestamps: numbers, ports and addresses. */
void translate_open_in(const struct nat_session *s, const uint8_t *local, struct packet *p);
void translate_open_out(const struct nat_session *s, struct packet *p);
/* The backend has acknowledged so far (as it counts): what it has been told by that is told no more. True: something
 * has changed. */
bool translate_told(struct nat_session *s, uint32_t ack);
/* Bytes that are put in front of the client's stream; and in each packet at most, which its MSS must leave room for. */
unsigned translate_preface(const struct nat_session *s);
unsigned translate_overhead(const struct nat_session *s);
unsigned translate_overhead_of(uint8_t family, bool toa, bool proxy); /* of a service that tells by these */

#endif
