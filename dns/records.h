/* records.h: what a zone must show, record set by record set, and the text and wire forms of record data.
 *
 * An expectation is a struct rrset; one without rdata says that the set must be absent. Texts are canonical: addresses
 * as inet_ntop writes them, names in lower case without a dot at the end; rdata is sorted.
 *
 * Thread safety: pure functions.
 */
#ifndef DNS_RECORDS_H
#define DNS_RECORDS_H

#include <stddef.h>
#include "schema/table.h"

#define RDATA_WIRE_SIZE 256  /* bytes: the longest name; addresses are shorter */
#define RDATA_PER_SET_MAX 64 /* records of one set: more is a mistake, and an answer without TCP ends near 28 */

/* A set with a copy of owner and rdata (NULL: absent); why is NULL. Freed with rrset_delete. */
struct rrset *rrset_make(const char *owner, uint16_t type, uint32_t ttl, const char *const *rdata);
void rrset_delete(struct rrset *set);
bool rrset_absent(const struct rrset *set);
/* "TYPE owner", for hash tables; g_free. */
char *rrset_key(const struct rrset *set);
/* "192.0.2.1, 192.0.2.2 (5 s)" or "nothing"; g_free. */
char *rrset_describe(const struct rrset *set);

/* Wire form of A, AAAA, CNAME data. False if the text is not exactly that. */
bool rdata_to_wire(uint16_t type, const char *text, uint8_t wire[static RDATA_WIRE_SIZE], uint16_t *size);
/* Text of record data, canonical for A, AAAA, CNAME; the bytes of the strings for TXT; zone file form for others.
 * g_free; NULL if it is malformed. */
char *rdata_to_text(uint16_t type, const uint8_t *wire, uint16_t size);

/* What servers must show for `desired`: its sets, that a name with one kind of address has none of the other kind that
 * is not named (both change together), and that sets which `previous` (or NULL) wanted and `desired` doesn't are gone.
 * With `settled` false the absences of `previous` that were not confirmed yet are carried on as well. The result is
 * struct rrset * by owner, within an owner the absent ones first: that is the order in which an update must name them
 * (RFC 2136 3.4.2.2: an address beside a CNAME is silently ignored).
 *
 * SB_ERROR_REFUSED, naming the record: a set without records, nothing desired where something was, the removal of a
 * name that a desired CNAME points at, a name outside of the zone or with characters other than a-z 0-9 - _, data
 * that is none, a set named twice, a CNAME beside other data or with several targets. */
GPtrArray *records_expect(const struct zone_records *desired, const GPtrArray *previous, bool settled, GError **error);

#endif
