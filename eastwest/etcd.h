/* etcd.h: what the publisher says to etcd v3 and hears, as JSON of its gateway (POST /v3/kv/txn; keys and values are
 * base64, 64-bit numbers are text).
 *
 * Thread safety: pure functions.
 */
#ifndef EASTWEST_ETCD_H
#define EASTWEST_ETCD_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define ETCD_TXN_PATH "/v3/kv/txn"
#define ETCD_OPS_MAX 100           /* of a transaction, beside the sentinel; etcd takes 128 by default */
#define ETCD_SIZE_MAX (512u << 10) /* bytes of its keys and values; etcd takes 1.5 MiB by default */

struct etcd_change {
    const char *key, *value; /* value NULL: the key is removed */
};
/* One linearizable look: the sentinel, and what of the keys that begin with `prefix` changed at revision `since` or
 * later (0: all). g_free. */
char *etcd_look_encode(const char *sentinel, const char *prefix, int64_t since);
/* All changes and the sentinel's new text, if the sentinel's last change is still revision `held` (0: there is none).
 * g_free. */
char *etcd_write_encode(const char *sentinel, int64_t held, const char *text, const struct etcd_change *changes,
                        unsigned n);

struct etcd_look {
    char *cluster;         /* id of the etcd cluster */
    int64_t revision;      /* of the look */
    char *sentinel;        /* its text, NULL: there is none */
    int64_t sentinel_held; /* revision of its last change, 0: there is none */
    GPtrArray *pairs;      /* char *: key, value, key, value, ... of what changed; value NULL: no text */
    uint64_t count;        /* of all keys with the prefix */
};
void etcd_look_clear(struct etcd_look *look);
/* SB_ERROR_INVALID: not such an answer, or a key that is no text (it would be taken for another); *out untouched. */
bool etcd_look_decode(const char *body, struct etcd_look *out, GError **error);
/* *done: the compare held and all is written. */
bool etcd_write_decode(const char *body, bool *done, GError **error);
/* What an answer other than 200 means: SB_ERROR_UNREACHABLE, try another member (no leader, no answer of the others);
 * else SB_ERROR_REFUSED with etcd's reason. */
void etcd_error_decode(unsigned status, const char *body, GError **error);

#endif
