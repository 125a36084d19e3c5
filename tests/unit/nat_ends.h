/* nat_ends.h: both ends of sessions through a FULLNAT (nat_rig.h), played packet by packet: what the client and the
 * backend say, and what came out of it. Every packet that comes out is looked at with a checksum that is computed
 * apart. Failures abort the test. */
#ifndef TESTS_NAT_ENDS_H
#define TESTS_NAT_ENDS_H

#include "tests/unit/nat_rig.h"

#define SESSIONS 1024u

/* A packet, before and after. */
struct frame {
    uint8_t bytes[1600];
    struct packet packet;
};

/* What an end says. */
struct said {
    uint8_t proto; /* 0: TCP */
    uint16_t from, to;
    uint32_t seq, ack;
    uint8_t flags;
    const uint8_t *options;
    unsigned n_options;
    const char *data;
};

/* The family of each run of a loop test. */
extern const uint8_t families[2];

/* say, from address to address, with good sums. */
void frame_make(struct frame *f, uint8_t family, const uint8_t *source, const uint8_t *dest, const struct said *say);
/* It is whole and in order, as a receiver would see it; f->packet has its ports and flags then. */
void frame_check(struct frame *f);

/* translate: f has been parsed and is not looked at behind; pass does both. */
struct nat_way translate(struct rig *r, enum nat_side from, uint32_t adjacency, struct frame *f);
struct nat_way pass(struct rig *r, enum nat_side from, struct frame *f);
struct nat_way client_says(struct rig *r, struct frame *f, struct said say);
struct nat_way backend_says(struct rig *r, struct frame *f, struct said say);

uint32_t seq_of(const struct frame *f);
uint32_t ack_of(const struct frame *f);
const uint8_t *source_of(const struct frame *f);
const uint8_t *dest_of(const struct frame *f);

/* A connection from port `from` to `to` that is open; *local: the port the backend sees, *isn: the client's first
 * sequence number as the backend sees it. The client began with 0xfffffff0 (it wraps), the backend with 500. */
void open_it(struct rig *r, uint16_t from, uint16_t to, uint16_t *local, uint32_t *isn);

#endif
