#include "server/engine/keys.h"

#include "core/error.h"
#include "core/fileio.h"

#include <sodium.h>
#include <string.h>

#define SECRETS_MAX 4
#define SECRET_PREFIX "whsec_"
#define SECRET_SIZE_MIN 24
#define SECRET_SIZE_MAX 64

char *key_read(const char *keys_dir, const char *key, const char *suffix, GError **error)
{
    if (keys_dir == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "key %s: no folder of keys was given (--keys DIR)", key);
        return NULL;
    }
    g_autofree char *path = g_strdup_printf("%s/%s.%s", keys_dir, key, suffix);
    if (!file_check_private(path, error)) {
        g_prefix_error(error, "key %s: ", key);
        return NULL;
    }
    char *text = file_read(path, KEY_SIZE_MAX, NULL, error);
    return text != NULL ? g_strstrip(text) : NULL;
}

static void sign_one(const unsigned char *secret, size_t size, const char *head, const char *body, GString *out)
{
    crypto_auth_hmacsha256_state state;
    unsigned char mac[crypto_auth_hmacsha256_BYTES];
    char text[sodium_base64_ENCODED_LEN(sizeof mac, sodium_base64_VARIANT_ORIGINAL)];
    crypto_auth_hmacsha256_init(&state, secret, size);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)head, strlen(head));
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)body, strlen(body));
    crypto_auth_hmacsha256_final(&state, mac);
    sodium_memzero(&state, sizeof state);
    sodium_bin2base64(text, sizeof text, mac, sizeof mac, sodium_base64_VARIANT_ORIGINAL);
    g_string_append_printf(out, "%sv1,%s", out->len > 0 ? " " : "", text);
}

/* False: a line is no secret. */
static bool sign_all(char *lines, const char *head, const char *body, GString *out)
{
    unsigned n = 0;
    bool good = true;
    char *rest = NULL;
    for (char *line = strtok_r(lines, "\r\n", &rest); good && line != NULL; line = strtok_r(NULL, "\r\n", &rest)) {
        unsigned char secret[SECRET_SIZE_MAX];
        size_t size = 0;
        good =
            ++n <= SECRETS_MAX && g_str_has_prefix(line, SECRET_PREFIX) &&
            sodium_base642bin(secret, sizeof secret, line + strlen(SECRET_PREFIX), strlen(line) - strlen(SECRET_PREFIX),
                              NULL, &size, NULL, sodium_base64_VARIANT_ORIGINAL) == 0 &&
            size >= SECRET_SIZE_MIN;
        if (good)
            sign_one(secret, size, head, body, out);
        sodium_memzero(secret, sizeof secret);
    }
    return good && n > 0;
}

char *key_sign(const char *keys_dir, const char *key, const char *id, int64_t seconds, const char *body, GError **error)
{
    char *lines = key_read(keys_dir, key, "whsec", error);
    if (lines == NULL)
        return NULL;
    g_autofree char *head = g_strdup_printf("%s.%" G_GINT64_FORMAT ".", id, seconds);
    GString *out = g_string_new(NULL);
    size_t size = strlen(lines);
    bool good = sign_all(lines, head, body, out);
    sodium_memzero(lines, size);
    g_free(lines);
    if (good)
        return g_string_free(out, FALSE);
    g_string_free(out, TRUE);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                "key %s: %s/%s.whsec is not 1 to 4 lines of whsec_ and base64 of 24 to 64 bytes", key, keys_dir, key);
    return NULL;
}
