/* slot.h: which of the 1,000 slots a user is in. One function for edge, forecast and explain.
 *
 * slot = xxh32(seed 0, canonical key) mod 1000. The canonical key is text:
 *   "u:" user id                      a request that names its user (cookie `uid`)
 *   "d:" device id                    else one that carries a device cookie (cookie `sb_device`)
 *   "a:" address, masked to /24 or /64, in text form    else the client's address
 * tests/unit/test_slot.c holds vectors which fix the bytes; real HAProxy is held against the same vectors in the lab.
 * Thread safety: pure functions.
 */
#ifndef SCHEMA_SLOT_H
#define SCHEMA_SLOT_H

#include "schema/addr.h"

#define SLOT_COUNT 1000
/* slot * SLOT_SPREAD mod SLOT_COUNT is its turn, when slots go one part after the other: no neighbour follows a
 * neighbour, so each part of a room's slots is like the whole. */
#define SLOT_SPREAD 617u
#define SLOT_ID_MAX 128   /* bytes of a user's or device's id; the edge cuts there too */
#define SLOT_KEY_SIZE 160 /* longest canonical key and its NUL */

unsigned slot_of_key(const char *key);
/* Writes the canonical key. user, device: NULL or ""; addr: used when both are absent. Returns key. */
char *slot_key(char key[static SLOT_KEY_SIZE], const char *user, const char *device, const struct addr *addr);

#endif
