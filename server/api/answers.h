/* answers.h: what was answered to a write that had an Idempotency-Key, so that who did not hear the answer asks again
 * and gets the same one, and nothing is done twice.
 *
 * A key belongs to the one who asks. The answer is an entry of the journal (kind "answer"), written in the transaction
 * of the change itself: both are there after a crash, or neither. Only successes are kept: what failed has changed
 * nothing and is tried anew. An answer is kept for ANSWERS_KEPT_US, a shorter time if there are too many.
 *
 * An answer that holds a secret is kept without its body; who asks again hears that it was shown once.
 *
 * Thread safety: any thread; answers_make on the engine's, so that their order is the journal's.
 */
#ifndef API_ANSWERS_H
#define API_ANSWERS_H

#include "core/auto.h"
#include "server/api/listener.h"
#include "server/interlocking/journal_entry.h"

#define ANSWERS_KEPT_US (24 * 3600 * (int64_t)G_USEC_PER_SEC)
#define ANSWERS_MAX 10000              /* the oldest go first */
#define ANSWERS_SIZE_MAX (16u << 20)   /* bytes of bodies of all of them */
#define ANSWERS_KEY_MAX 255            /* bytes of a key */
#define ANSWERS_HASH_SIZE (2 * 32 + 1) /* bytes with NUL */

/* One request: whose key, and what it asks for. */
struct answer_key {
    char id[ANSWERS_HASH_SIZE];      /* of who and key */
    char request[ANSWERS_HASH_SIZE]; /* of method, path, If-Match and body */
};
/* False: the key is none. who: as call->who. Without the body, where a hash of it would give a password away. */
bool answer_key_take(const struct request *request, const char *who, bool with_body, struct answer_key *key,
                     GError **error);

struct answers;
struct answers *answers_new(void);
void answers_free(struct answers *answers);
SB_AUTO_DEFINE(answers, answers_free)

/* Fills reply with what was answered and returns true; false without *error: nothing was. SB_ERROR_REUSED: the key was
 * used for another request. CONFLICT: the answer held a secret. */
bool answers_find(struct answers *answers, const struct answer_key *key, int64_t wall_us, struct reply *reply,
                  GError **error);
/* Entries for the journal (struct journal_entry *, appended): this answer, and the ends of those that it displaces.
 * Nothing is kept yet: answers_restore does that with each of them when they are durable. */
void answers_make(struct answers *answers, const struct answer_key *key, const struct reply *reply, bool secret,
                  int64_t wall_us, GPtrArray *entries);
/* Takes in an entry of the journal; a null body ends the answer. */
bool answers_restore(struct answers *answers, const struct journal_entry *entry, GError **error);

#endif
