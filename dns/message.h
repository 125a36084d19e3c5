/* message.h: a DNS message signed with TSIG (RFC 8945), the bytes being a function of the arguments alone.
 *
 * libknot's own knot_tsig_sign reads the clock; here the time is an argument, so that tests and replays give the same
 * bytes, and a retry is signed anew with its own time.
 *
 * Thread safety: pure functions.
 */
#ifndef DNS_MESSAGE_H
#define DNS_MESSAGE_H

#include <stdbool.h>
#include <glib.h>
#include <libknot/libknot.h>

#define MESSAGE_SIZE_MAX 65535
#define MESSAGE_FUDGE_S 300 /* RFC 8945 10 */
#define MESSAGE_MAC_MAX 64

struct message {
    uint8_t *wire;
    size_t size;
    uint16_t id;
    uint8_t mac[MESSAGE_MAC_MAX]; /* of the request: the answer's signature covers it */
    size_t mac_size;
};
void message_clear(struct message *message);

/* A packet with id, opcode and the question ZONE SOA IN, with room for a signature of `key`. knot_pkt_free. NULL: the
 * zone is no name. */
knot_pkt_t *message_begin(const char *zone, uint8_t opcode, uint16_t id, const knot_tsig_key_t *key);
/* Takes and frees `packet`. SB_ERROR_TOO_LARGE, INVALID. */
bool message_sign(knot_pkt_t *packet, const knot_tsig_key_t *key, uint64_t time_s, struct message *out, GError **error);

#endif
