#include "schema/pin.h"

#include "schema/field.h"
#include "schema/slot.h"

#include <sodium.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

bool pin_secret_valid(const char *secret)
{
    return strlen(secret) == PIN_SECRET_LEN && strspn(secret, alphabet) == PIN_SECRET_LEN;
}

/* 256 is no multiple of 62, so some letters come a little more often: that costs 44 of them less than a bit. */
void pin_secret_make(const unsigned char seed[static PIN_SECRET_LEN], char secret[static PIN_SECRET_LEN + 1])
{
    for (size_t i = 0; i < PIN_SECRET_LEN; i++)
        secret[i] = alphabet[seed[i] % strlen(alphabet)];
    secret[PIN_SECRET_LEN] = '\0';
}

void pin_keys_add(struct pin_keys *keys, uint64_t generation, const char *secret, bool revoke)
{
    struct pin_keys now = {.n = revoke ? 1 : MIN(keys->n + 1, PIN_KEYS_MAX)};
    g_snprintf(now.key[0].id, sizeof now.key[0].id, "k%" G_GUINT64_FORMAT, generation);
    g_strlcpy(now.key[0].secret, secret, sizeof now.key[0].secret);
    for (unsigned i = 1; i < now.n; i++)
        now.key[i] = keys->key[i - 1];
    *keys = now;
}

json_t *pin_keys_to_json(const struct pin_keys *keys, bool secrets)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < keys->n; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s*}", "id", keys->key[i].id, "secret", secrets ? keys->key[i].secret : NULL));
    return json_pack("{s:o}", "keys", list);
}

bool pin_keys_from_json(const json_t *json, struct pin_keys *out)
{
    const json_t *list = json_object_get(json, "keys");
    struct pin_keys keys = {.n = (unsigned)json_array_size(list)};
    if (!json_is_array(list) || keys.n > PIN_KEYS_MAX)
        return false;
    for (unsigned i = 0; i < keys.n; i++) {
        const json_t *row = json_array_get(list, i);
        const char *id = json_text(json_object_get(row, "id")), *secret = json_text(json_object_get(row, "secret"));
        if (id == NULL || strlen(id) >= sizeof keys.key[i].id || !text_valid(FIELD_NAME, id) ||
            (secret != NULL && secret[0] != '\0' && !pin_secret_valid(secret)))
            return false;
        g_strlcpy(keys.key[i].id, id, sizeof keys.key[i].id);
        g_strlcpy(keys.key[i].secret, secret != NULL ? secret : "", sizeof keys.key[i].secret);
    }
    *out = keys;
    return true;
}

char *pin_sign(const struct pin_key *key, const struct pin *pin)
{
    unsigned char secret[PIN_SECRET_LEN], mac[crypto_auth_hmacsha256_BYTES];
    char hex[2 * sizeof mac + 1];
    size_t size = 0;
    crypto_auth_hmacsha256_state state;
    g_autofree char *purpose = choice_text(PIN_PURPOSES, (int)pin->purpose);
    g_autofree char *words = g_strdup_printf("%s.%s.%s.%" G_GINT64_FORMAT, key->id, pin->room, purpose, pin->until_s);
    sodium_base642bin(secret, sizeof secret, key->secret, strlen(key->secret), NULL, &size, NULL,
                      sodium_base64_VARIANT_ORIGINAL);
    crypto_auth_hmacsha256_init(&state, secret, size);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)words, strlen(words));
    if (pin->purpose == PIN_USER) {
        g_autofree char *whose = g_strdup_printf(".%.*s", SLOT_ID_MAX, pin->user);
        crypto_auth_hmacsha256_update(&state, (const unsigned char *)whose, strlen(whose));
    }
    crypto_auth_hmacsha256_final(&state, mac);
    sodium_bin2hex(hex, sizeof hex, mac, sizeof mac);
    sodium_memzero(secret, sizeof secret);
    return g_strconcat(words, ".", hex, NULL);
}
