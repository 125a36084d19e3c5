/* keys.h: the server's folder of keys (--keys): secrets stand in files of mode 0600, never in journal or inventory.
 *
 * Thread safety: functions keep no state.
 */
#ifndef ENGINE_KEYS_H
#define ENGINE_KEYS_H

#include <glib.h>

#define KEY_SIZE_MAX 512 /* bytes of a file */

/* The text of file KEY.SUFFIX, without blanks at its ends; NULL with *error: keys_dir is NULL, others may read the
 * file, or it is not there. The caller zeroes it (sodium_memzero) and g_frees it. */
char *key_read(const char *keys_dir, const char *key, const char *suffix, GError **error);

/* The value of webhook-signature (Standard Webhooks 1.0, "Signature scheme"): "v1,BASE64 v1,BASE64", an HMAC-SHA256 of
 * "ID.SECONDS.BODY" by each secret of KEY.whsec, a line each: "whsec_" and base64 of 24 to 64 bytes, at most 4. The
 * file is read each time, so that a secret is exchanged without a restart: the new one is put on a line above the old,
 * and the old taken out when all receivers know the new. NULL with *error; g_free. */
char *key_sign(const char *keys_dir, const char *key, const char *id, int64_t seconds, const char *body,
               GError **error);

#endif
