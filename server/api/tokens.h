/* tokens.h: bearer tokens: "sb_" and 256 random bits in base64url. Only the SHA-256 of a token is kept, in the journal
 * (kind "token", id its name) and here; the token itself is shown once, when it is made.
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
/* Takes in an entry of the journal; a null body ends the token. */
bool tokens_restore(struct tokens *tokens, const struct journal_entry *entry, GError **error);
bool tokens_exists(struct tokens *tokens, const char *name);
unsigned tokens_count(struct tokens *tokens);
/* {"tokens": [{"name", "role", "created", "scopes", "expires"}]}, by name, without hashes. */
json_t *tokens_to_json(struct tokens *tokens);

/* What a token is good for; name and scopes are the caller's to free. */
struct token_grant {
    char *name;
    enum route_role role;
    char **scopes;      /* NULL-terminated; NULL: everything that the role may */
    int64_t expires_us; /* wall clock; 0: never */
};
/* False with SB_ERROR_UNAUTHORIZED: nobody's, or its time is over. All hashes are compared, each in constant time. */
bool tokens_check(struct tokens *tokens, const char *text, int64_t wall_us, struct token_grant *grant, GError **error);

#endif
