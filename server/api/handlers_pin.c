/* handlers_pin.c: pins (schema/pin.h) and the keys that sign them. */
#include "server/api/call.h"

#include "schema/pin.h"

#include <sodium.h>

void get_pin_keys(struct call *call, struct turn *turn, GError **error)
{
    (void)error;
    call->result = engine_pin_keys_json(turn->engine);
}

/* Randomness comes from here: the engine has none. */
void change_pin_keys(struct call *call, struct turn *turn, GError **error)
{
    unsigned char seed[PIN_SECRET_LEN];
    char secret[PIN_SECRET_LEN + 1];
    struct asker asker = call_asker(call);
    randombytes_buf(seed, sizeof seed);
    pin_secret_make(seed, secret);
    call->result = engine_pin_keys(turn->engine, call->body, secret, &asker, turn->now, &turn->effects, error);
    sodium_memzero(seed, sizeof seed);
    sodium_memzero(secret, sizeof secret);
}

void issue_pin(struct call *call, struct turn *turn, GError **error)
{
    struct asker asker = call_asker(call);
    call->result = engine_pin_issue(turn->engine, call->body, &asker, turn->now, &turn->effects, error);
}
