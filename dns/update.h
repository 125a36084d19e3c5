/* update.h: from what is expected and what was seen to RFC 2136 messages.
 *
 * A plan's batches are ordered: what is added and changed first, names that go as a whole last; of the former addresses
 * before CNAMEs, of the latter CNAMEs before addresses; so a name is never pointed at before it is there nor after it
 * has gone. The sets of one name never part: A and AAAA change together.
 * One batch is one message and takes effect whole or not at all (RFC 2136 3.4).
 *
 * Thread safety: pure functions.
 */
#ifndef DNS_UPDATE_H
#define DNS_UPDATE_H

#include "core/auto.h"
#include "dns/message.h"
#include "dns/records.h"

#define UPDATE_BYTES_MAX 60000u /* of sets in one message; leaves room below 65,535 for header, sentinel, signature */

struct update_batch {
    unsigned first, n; /* in changes */
    bool removes;      /* whole names */
};
struct update_plan {
    GPtrArray *changes; /* const struct rrset *, of the expectation */
    GArray *batches;    /* struct update_batch */
};
/* expected: see records_expect. seen: rrset_key -> struct rrset *, for every key that is expected. bytes_max: for a
 * batch's sets; SB_ERROR_TOO_LARGE if a name's sets are larger. */
struct update_plan *update_plan_new(const GPtrArray *expected, GHashTable *seen, const char *zone, unsigned bytes_max,
                                    GError **error);
void update_plan_free(struct update_plan *plan);
SB_AUTO_DEFINE(update_plan, update_plan_free)

/* Names that the server shows, of those expected; *touched: how many of them differ. */
unsigned update_share(const GPtrArray *expected, GHashTable *seen, unsigned *touched);

/* Equal to the resolver: same data and TTL, or both absent. */
bool update_same(const struct rrset *a, const struct rrset *b);

struct update {
    const char *zone;
    const char *held;          /* text of the sentinel, the prerequisite; NULL: that there is none */
    const char *next;          /* its new text; NULL: it stays as it is */
    struct rrset *const *sets; /* each replaces what is at its owner and type; absent: nothing does */
    unsigned n;                /* may be 0: the sentinel alone */
};
bool update_encode(const struct update *update, uint16_t id, const knot_tsig_key_t *key, uint64_t time_s,
                   struct message *out, GError **error);

#endif
