/* audit_chain.h: each record of the audit carries the hash of itself and of the one before it, so that nobody changes,
 * takes out or moves one unseen.
 *
 *   hash = BLAKE2b-256, in hex, of the record as JSON with "epoch" and "prev" and without "hash":
 *          members sorted by name, no blanks, UTF-8, no escapes but those that JSON asks for
 *   prev = hash of the record before, "" of the first
 *
 * The journal seals (journal_append); who has the list of GET /v1/audit can check it with any tool. No secret is in it:
 * who can write all of the journal can make a chain of his own, and who cuts off its end leaves a sound one. Against
 * that helps a copy elsewhere: the store, which is compared, and a head that somebody has noted.
 * Records from before there was a chain have no hash; they are counted, and stand at the beginning only.
 *
 * Thread safety: pure functions of their arguments.
 */
#ifndef STORE_AUDIT_CHAIN_H
#define STORE_AUDIT_CHAIN_H

#include "core/auto.h"
#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define AUDIT_HASH_SIZE 65 /* bytes with NUL */

/* Of a record, whether or not it has a hash already. */
void audit_hash(const json_t *record, char hex[static AUDIT_HASH_SIZE]);
/* The record with epoch, prev and hash, a new reference. prev: "" for the first. */
json_t *audit_seal(const json_t *record, uint64_t epoch, const char *prev);

/* Looks for what is wrong: add all records of the journal in their order, then those of the store, in any. */
enum audit_place { AUDIT_JOURNAL, AUDIT_STORE };
struct audit_check;
/* node: of this server; records that servers without a part in the journal have put into the store are passed over. */
struct audit_check *audit_check_new(unsigned node);
void audit_check_free(struct audit_check *check); /* NULL is allowed */
SB_AUTO_DEFINE(audit_check, audit_check_free)
/* id: the record's number; body: JSON text. */
void audit_check_add(struct audit_check *check, enum audit_place place, const char *id, uint64_t epoch,
                     const char *body);
/* {"records", "unchained", "stored", "head": "N:HASH" or null, "findings": [{"where": "journal" | "store",
 *   "what": "missing" | "altered" | "out of order" | "inserted", "from", "to", "text"}]}; without findings all is well.
 * noted: a head of earlier, "N:HASH", that must be in the journal, or NULL. False: noted is none. */
bool audit_check_end(const struct audit_check *check, const char *noted, json_t **result, GError **error);

#endif
