#include "eastwest/etcd.h"

#include "core/error.h"
#include "schema/object.h"

#include <stdlib.h>
#include <string.h>

/* ---- out ---- */

static json_t *base64(const char *text)
{
    g_autofree char *encoded = g_base64_encode((const guchar *)text, strlen(text));
    return json_string(encoded);
}

static json_t *number(int64_t n)
{
    g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, n);
    return json_string(text);
}

static char *dump(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT), *out = g_strdup(text);
    free(text);
    json_decref(json);
    return out;
}

/* The first key behind all that begin with the prefix. */
static json_t *behind(const char *prefix)
{
    g_autofree char *end = g_strdup(prefix);
    end[strlen(end) - 1]++;
    return base64(end);
}

char *etcd_look_encode(const char *sentinel, const char *prefix, int64_t since)
{
    return dump(json_pack("{s:[{s:{s:o}}, {s:{s:o, s:o, s:o}}]}", "success", "request_range", "key", base64(sentinel),
                          "request_range", "key", base64(prefix), "range_end", behind(prefix), "min_mod_revision",
                          number(since)));
}

static json_t *change_json(const struct etcd_change *change)
{
    if (change->value == NULL)
        return json_pack("{s:{s:o}}", "request_delete_range", "key", base64(change->key));
    return json_pack("{s:{s:o, s:o}}", "request_put", "key", base64(change->key), "value", base64(change->value));
}

char *etcd_write_encode(const char *sentinel, int64_t held, const char *text, const struct etcd_change *changes,
                        unsigned n)
{
    json_t *ops = json_array();
    for (unsigned i = 0; i < n; i++)
        json_array_append_new(ops, change_json(&changes[i]));
    const struct etcd_change promise = {sentinel, text};
    json_array_append_new(ops, change_json(&promise));
    return dump(json_pack("{s:[{s:o, s:s, s:s, s:o}], s:o}", "compare", "key", base64(sentinel), "target", "MOD",
                          "result", "EQUAL", "mod_revision", number(held), "success", ops));
}

/* ---- in ---- */

static int64_t number_of(const json_t *json, const char *member)
{
    const char *text = json_string_value(json_object_get(json, member));
    return text != NULL ? g_ascii_strtoll(text, NULL, 10) : 0; /* 0 is left out */
}

/* g_free; "" when it is left out, NULL when a zero byte is in it. */
static char *text_of(const json_t *json, const char *member)
{
    const char *text = json_string_value(json_object_get(json, member));
    gsize size = 0;
    g_autofree guchar *bytes = text != NULL ? g_base64_decode(text, &size) : NULL;
    if (size > 0 && memchr(bytes, '\0', size) != NULL)
        return NULL;
    return g_strndup(size > 0 ? (const char *)bytes : "", size);
}

static bool refuse(const char *body, const char *expected, GError **error)
{
    g_autofree char *found = text_quote(body);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "found the answer %s, expected %s", found, expected);
    return false;
}

void etcd_look_clear(struct etcd_look *look)
{
    g_free(look->cluster);
    g_free(look->sentinel);
    if (look->pairs != NULL)
        g_ptr_array_unref(look->pairs);
    memset(look, 0, sizeof *look);
}

static bool look_read(const json_t *json, struct etcd_look *out)
{
    const json_t *header = json_object_get(json, "header"), *responses = json_object_get(json, "responses"), *pair;
    const json_t *first = json_object_get(json_array_get(responses, 0), "response_range");
    const json_t *second = json_object_get(json_array_get(responses, 1), "response_range");
    const json_t *sentinel = json_array_get(json_object_get(first, "kvs"), 0);
    out->cluster = g_strdup(json_string_value(json_object_get(header, "cluster_id")));
    out->revision = number_of(header, "revision");
    out->sentinel = sentinel != NULL ? text_of(sentinel, "value") : NULL;
    out->sentinel_held = number_of(sentinel, "mod_revision");
    out->count = (uint64_t)number_of(second, "count");
    out->pairs = g_ptr_array_new_with_free_func(g_free);
    bool texts = sentinel == NULL || out->sentinel != NULL;
    size_t i;
    json_array_foreach (json_object_get(second, "kvs"), i, pair) {
        char *key = text_of(pair, "key");
        texts = texts && key != NULL;
        g_ptr_array_add(out->pairs, key);
        g_ptr_array_add(out->pairs, text_of(pair, "value"));
    }
    return texts;
}

bool etcd_look_decode(const char *body, struct etcd_look *out, GError **error)
{
    json_t *json = json_loads(body, 0, NULL);
    bool ok = json_is_string(json_object_get(json_object_get(json, "header"), "cluster_id")) &&
              json_array_size(json_object_get(json, "responses")) == 2;
    struct etcd_look look = {0};
    bool texts = !ok || look_read(json, &look);
    json_decref(json);
    if (!ok)
        return refuse(body, "two ranges of etcd", error);
    if (!texts) {
        etcd_look_clear(&look);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                    "found a key or a sentinel with a zero byte in it, expected text");
        return false;
    }
    *out = look;
    return true;
}

bool etcd_write_decode(const char *body, bool *done, GError **error)
{
    json_t *json = json_loads(body, 0, NULL);
    bool ok = json_is_object(json_object_get(json, "header"));
    if (ok)
        *done = json_is_true(json_object_get(json, "succeeded")); /* false is left out */
    json_decref(json);
    return ok || refuse(body, "a transaction's outcome of etcd", error);
}

void etcd_error_decode(unsigned status, const char *body, GError **error)
{
    json_t *json = json_loads(body, 0, NULL);
    const char *message = json_string_value(json_object_get(json, "message"));
    g_autofree char *quoted = text_quote(message != NULL ? message : body);
    /* gRPC: UNAVAILABLE and DEADLINE_EXCEEDED become 503 and 504. */
    g_set_error(error, SB_ERROR, status >= 500 || status == 408 ? SB_ERROR_UNREACHABLE : SB_ERROR_REFUSED,
                "etcd answered %u: %s", status, quoted);
    json_decref(json);
}
