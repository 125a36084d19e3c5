/* table.h: what actuators are given: edge tables as parts named by content hash, and DNS records.
 *
 * A part is text: lines "key value\n", sorted by bytes, keys unique; the very text of a HAProxy map where it is one.
 *   routes    (slow)  "creator.example.test/upload/ creator.upload"   host, prefix, slash -> policy
 * A gateway's table is its layout, the line "class gateway" and those of gateway/gwtable.h; its other parts are empty.
 *   layout    (slow)  "class public" · "origin/room-a/pop-a1 192.0.2.1:80" · "relay/edge-3 198.51.100.3:80"
 *                     "fallback/room-a/pop-a1 192.0.2.1:80"  dedicated edges, while the room's other entrances are down
 *                     "escape/room-a/escape-a 198.51.100.41:80"  the same, of public edges, for what lives there alone
 *                     "answer/creator 503|646f776e"   status and body (hex) of a service's static answer
 *   policies  (fast)  "creator.creator 3|single|off|relay|3000"  -> split index | multi,single | automatic DR on,off |
 *                     local,relay | time-out of its service, ms; not there when it fails fast
 *                     "creator.creator 3|single|off|local||stale|50"
 *                         time-out or nothing | who answers: live, keep (answers are kept for stale), stale, static |
 *                         requests/s that one edge lets through, 0: all; then maybe "|interfaces": these have rows too
 *                     "interface/creator/post/-/api/v1/ 8|live|5|1"
 *                         service, method or any, host or -, path, slash -> length of the path with both slashes | who
 *                         answers, for a request that is of this interface | requests/s of one edge | the limit's
 *                         number in the service, 1 to INTERFACE_LIMITS_MAX; 0 and 0: no limit but the service's
 *   splits    (fast)  "3000:3999 room-a"     split index * 1000 + slot, as HAProxy's map_int takes it -> room
 *   rooms     (fast)  "multi/room-a room-b"  class / room wanted -> room used, "-": closed, nobody answers
 *                     "degrade/room-a static|0"  for all that the room answers: live, stale, static | requests/s
 *                     "pin/k17 SECRET"       key that pins may be signed with (pin.h)
 *   origins   (fast)  "multi/room-a/pop-a1 out"   class / room / entrance -> in, out (also as a last resort)
 *                     "relay/edge-3/relay out"    and relays of the layout; what has no row is in
 *
 * A split's index is drawn from its text (0..1048575), so that adding a split renumbers no other: an actuator adds the
 * new ranges, moves the policies, then removes the old ranges, and every state between is a legal road. A policy is
 * named GROUP.SERVICE. An entrance is a POP's name or "ring". A part's hash is the first 32 hex digits of BLAKE2b-256
 * of its bytes.
 *
 * The manifest names the parts of one edge for one generation (JSON, manifest_to_json):
 *   {"cluster","epoch","generation","edge","cause","parts":{"routes":HASH,...}}
 * Actuators refuse another cluster, an older epoch than they promised, an older generation of their epoch.
 *
 * Thread safety: pure functions.
 */
#ifndef SCHEMA_TABLE_H
#define SCHEMA_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>
#include <jansson.h>

enum part { PART_ROUTES, PART_LAYOUT, PART_POLICIES, PART_SPLITS, PART_ROOMS, PART_ORIGINS, PARTS };
#define PART_HASH_SIZE 33 /* hex digits and NUL */
#define PART_SIZE_MAX (32u << 20)
#define INTERFACE_ROW "interface/"
#define INTERFACE_LIMITS_MAX 8         /* of one service: edges count each of them for each policy */
const char *part_name(enum part part); /* "routes" */

void part_hash(const void *bytes, size_t size, char hash[static PART_HASH_SIZE]);
/* Grammar, characters, order, bounds; SB_ERROR_INVALID names part, line, found, expected. */
bool part_validate(enum part part, const char *bytes, size_t size, GError **error);
/* Text of an answer row's hex digits; false: no such text, or it does not fit with its NUL. */
bool hex_decode(const char *hex, char *text, size_t size);
/* Lines of a part, in order: calls fn(key, value); the strings are gone after the call. */
typedef void (*part_fn)(void *data, const char *key, const char *value);
void part_foreach(const char *bytes, size_t size, part_fn fn, void *data);

/* (epoch, generation): epoch is the reign's number, counter * 65536 + node; compared first. */
struct stamp {
    uint64_t epoch, generation;
};
int stamp_compare(struct stamp a, struct stamp b);

struct manifest {
    char cluster[41];
    char edge[41];
    struct stamp stamp;
    char cause[120]; /* "execution/step/key" of the write that made the generation, or "" */
    char hash[PARTS][PART_HASH_SIZE];
};
json_t *manifest_to_json(const struct manifest *manifest);
bool manifest_from_json(const json_t *json, struct manifest *out, GError **error);

/* A set of records of one name and type, as DNS has them. */
struct rrset {
    char *owner;   /* lower case, no dot at the end */
    uint16_t type; /* 1 A, 28 AAAA, 5 CNAME */
    uint32_t ttl;  /* s */
    char **rdata;  /* text (address or target name), sorted, never empty */
    char *why;     /* reason in words; not part of the record */
};
struct zone_records {
    char *zone;        /* apex */
    GPtrArray *rrsets; /* struct rrset *, by owner and type; the array frees them */
    bool unguarded;    /* any share of its names may change at once */
};
/* The guard of a zone: no more than this share of its names is changed or removed at once, but so many always may be.
 * Names that come new do not count, so a first fill is free. */
#define ZONE_GUARD_PERCENT 30
#define ZONE_GUARD_NAMES 100
bool zone_guard_stops(unsigned touched, unsigned names);
void zone_records_free(struct zone_records *records);
bool rrset_equal(const struct rrset *a, const struct rrset *b); /* but for why */
const char *rrtype_name(uint16_t type);

#endif
