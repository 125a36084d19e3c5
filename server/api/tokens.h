/* tokens.h: who may ask: bearer tokens, and users, who are people with a password.
 *
 * A token is "sb_" and 256 random bits in base64url. Only its SHA-256 is kept, in the journal (kind "token", id its
 * name) and here; the token itself is shown once, when it is made. A user is the same with an argon2id hash, and has
 * sessions (sessions.h). No user and token have one name, so that a name in the audit is one asker.
 *
 * Thread safety: any thread. Tokens are made and deleted on the engine's thread, so that their order is the journal's.
 */
#ifndef API_TOKENS_H
#define API_TOKENS_H

#include "core/auto.h"
#include "schema/route.h"
#include "server/interlocking/journal_entry.h"
#include <stdbool.h>

#define TOKEN_TEXT_SIZE 64
#define TOKEN_PASSWORD_SIZE 128 /* of a hash: crypto_pwhash_STRBYTES */

struct tokens;
struct tokens *tokens_new(void);
void tokens_free(struct tokens *tokens);
SB_AUTO_DEFINE(tokens, tokens_free)

/* A new token: its text, and the body of its journal entry. asked: {"name", "role", "scopes", "expires_us"} as a
 * stranger sent it; without scopes it is good for all that its role may, without expires_us for ever. SB_ERROR_INVALID
 * for what is wrong with it, CONFLICT when the name has a token. Nothing is kept yet: tokens_restore does that when the
 * entry is durable. */
json_t *tokens_make(struct tokens *tokens, const json_t *asked, int64_t wall_us, char text[static TOKEN_TEXT_SIZE],
                    GError **error);
/* The same of a user, whose password has this hash (crypto_pwhash_str). The role agent is none of a person. */
json_t *tokens_make_user(struct tokens *tokens, const json_t *asked, const char *hash, int64_t wall_us, GError **error);
/* A user with another password; NOT_FOUND: there is no such user. */
json_t *tokens_new_password(struct tokens *tokens, const char *name, const char *hash, int64_t wall_us, GError **error);
/* Takes in an entry of the journal; a null body ends the token. */
bool tokens_restore(struct tokens *tokens, const struct journal_entry *entry, GError **error);
/* One of this kind. */
bool tokens_exists(struct tokens *tokens, const char *name, bool user);
unsigned tokens_count(struct tokens *tokens);
/* {"tokens": [{"name", "role", "created", "scopes", "expires"}]}, or "users", by name, without hashes. */
json_t *tokens_to_json(struct tokens *tokens, bool users);

/* What a token is good for; name and scopes are the caller's to free. */
struct token_grant {
    char *name;
    enum route_role role;
    char **scopes;      /* NULL-terminated; NULL: everything that the role may */
    int64_t expires_us; /* wall clock; 0: never */
};
void token_grant_clear(struct token_grant *grant);
/* A user by name: what he may, the hash of his password (or NULL: it is not asked for) and since when he has it. False:
 * there is none, or his time is over. */
bool tokens_user(struct tokens *tokens, const char *name, int64_t wall_us, struct token_grant *grant, char *hash,
                 int64_t *password_us);
/* False with SB_ERROR_UNAUTHORIZED: nobody's, or its time is over. All hashes are compared, each in constant time. */
bool tokens_check(struct tokens *tokens, const char *text, int64_t wall_us, struct token_grant *grant, GError **error);

#endif
