/* pin.h: pins: cookies, signed by the server, that send requests to a room whatever the split says; and their keys.
 *
 *   sb-pin=k17.room-b.user.1767225600.6ae3...    key, room, purpose, end (s since 1970), HMAC-SHA256 in hex
 *
 * What is signed are the first four words with the dots between them; for purpose `user`, a dot and the user's id (its
 * cookie uid, as schema/slot.h cuts it) behind them, so that the pin of one user is none of another's. Edges check it
 * by themselves (dcdn/render.h): a pin that is not signed by a key of their table, has ended, or whose room is closed
 * is no error, the request goes where it would without it. Only requests of multi-active services are pinned: the
 * others have one room.
 *
 * Keys: the newest signs, all are taken. A new one leaves the one before in force (rotation), or none (revocation:
 * every pin that was ever issued ends as soon as edges have the table). A secret is 44 letters and digits, read as
 * base64: so it can stand in a map of HAProxy as it is.
 *
 * Thread safety: pure functions.
 */
#ifndef SCHEMA_PIN_H
#define SCHEMA_PIN_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>
#include <jansson.h>

#define PIN_COOKIE "sb-pin"
#define PIN_COOKIE_MAX 200 /* bytes of its value; edges cut there */
#define PIN_KEYS_MAX 2
#define PIN_SECRET_LEN 44
#define PIN_LIFE_MAX_S (7 * 24 * 3600)
#define PIN_ROW "pin/" /* rows of the rooms part: "pin/k17 SECRET" */

struct pin_key {
    char id[24];                     /* "k17": the generation that made it */
    char secret[PIN_SECRET_LEN + 1]; /* "": in a replay, where no secret is known; such a key is in no table */
};
struct pin_keys { /* a value: copied by assignment */
    unsigned n;
    struct pin_key key[PIN_KEYS_MAX]; /* newest first */
};
bool pin_secret_valid(const char *secret);
/* The last of `seed` (at least PIN_SECRET_LEN random bytes) as a secret. */
void pin_secret_make(const unsigned char seed[static PIN_SECRET_LEN], char secret[static PIN_SECRET_LEN + 1]);
/* A new key in front. revoke: it is the only one then. */
void pin_keys_add(struct pin_keys *keys, uint64_t generation, const char *secret, bool revoke);
/* {"keys": [{"id", "secret"}]}; without secrets where strangers see it. */
json_t *pin_keys_to_json(const struct pin_keys *keys, bool secrets);
bool pin_keys_from_json(const json_t *json, struct pin_keys *out); /* a secret may be missing: "" */

enum pin_purpose { PIN_USER, PIN_STAFF, PIN_CANARY };
#define PIN_PURPOSES "user|staff|canary"
struct pin {
    const char *room;
    enum pin_purpose purpose;
    const char *user; /* PIN_USER: id; else NULL */
    int64_t until_s;  /* wall clock */
};
/* The value of the cookie; g_free. */
char *pin_sign(const struct pin_key *key, const struct pin *pin);

#endif
