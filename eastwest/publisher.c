#include "eastwest/publisher.h"

#include "core/error.h"
#include "eastwest/etcd.h"
#include "schema/fence.h"

#include <string.h>

#define BACKOFF_FIRST_US 100000
#define BACKOFF_LAST_US 2000000

struct publisher {
    char *sentinel, *prefix; /* keys; the prefix of all others, with a slash at its end */
    unsigned members, member;
    struct stamp stamp;
    GHashTable *desired; /* key -> JSON text; NULL: nothing was set */

    /* What etcd showed. */
    GHashTable *seen; /* key -> text */
    char *cluster;
    int64_t revision; /* of the last look; 0: everything must be read */
    char *held;       /* the sentinel's text, or NULL */
    int64_t held_at;

    bool write_due;      /* the next request writes */
    bool writing;        /* the request under way writes */
    bool outstanding;    /* a write has no answer, and nothing was read since */
    GHashTable *sent;    /* keys of the write under way */
    unsigned parts_done; /* of this generation */
    unsigned failures;   /* members in a row that did not answer */
    int64_t wait_us, backoff_us;
    struct registry_status status;
    char *error;
};

static void say(struct publisher *p, const char *state, const char *error)
{
    char *copy = g_strdup(error); /* may be p->error */
    g_free(p->error);
    p->error = copy;
    p->status.state = state;
    p->status.error = copy;
}

static void back_off(struct publisher *p, int64_t now_us)
{
    p->wait_us = now_us + p->backoff_us;
    p->backoff_us = MIN(p->backoff_us * 2, BACKOFF_LAST_US);
}

struct publisher *publisher_new(const char *prefix, unsigned members)
{
    struct publisher *p = g_new0(struct publisher, 1);
    p->sentinel = g_strconcat(prefix, "/sentinel", NULL);
    p->prefix = g_strconcat(prefix, "/v1/", NULL);
    p->members = members;
    p->seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    p->sent = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    p->backoff_us = BACKOFF_FIRST_US;
    say(p, "updating", NULL);
    return p;
}

void publisher_free(struct publisher *p)
{
    if (p->desired != NULL)
        g_hash_table_unref(p->desired);
    g_hash_table_unref(p->seen);
    g_hash_table_unref(p->sent);
    g_free(p->sentinel);
    g_free(p->prefix);
    g_free(p->cluster);
    g_free(p->held);
    g_free(p->error);
    g_free(p);
}

struct fill {
    const struct publisher *publisher;
    GHashTable *desired;
};

static void fill_line(void *data, const char *key, const char *value)
{
    struct fill *fill = data;
    g_hash_table_replace(fill->desired, g_strconcat(fill->publisher->prefix, key, NULL), g_strdup(value));
}

void publisher_set(struct publisher *p, struct stamp stamp, GBytes *endpoints, int64_t now_us)
{
    if (p->desired != NULL && stamp_compare(stamp, p->stamp) <= 0)
        return;
    struct fill fill = {p, g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free)};
    part_foreach(g_bytes_get_data(endpoints, NULL), g_bytes_get_size(endpoints), fill_line, &fill);
    if (p->desired != NULL)
        g_hash_table_unref(p->desired);
    p->desired = fill.desired;
    p->stamp = stamp;
    p->write_due = false; /* what was planned is looked at anew */
    p->parts_done = 0;
    p->status.names = 0;
    p->wait_us = now_us;
    say(p, "updating", NULL);
}

const struct registry_status *publisher_status(const struct publisher *p)
{
    return &p->status;
}

/* ---- what differs ---- */

static gint by_key(gconstpointer a, gconstpointer b)
{
    return strcmp(((const struct etcd_change *)a)->key, ((const struct etcd_change *)b)->key);
}

/* struct etcd_change, by key: what is new or other; only when there is none of it, what is too much. */
static GArray *differences(const struct publisher *p)
{
    GArray *changes = g_array_new(FALSE, FALSE, sizeof(struct etcd_change));
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, p->desired);
    while (g_hash_table_iter_next(&iter, &key, &value))
        if (g_strcmp0(g_hash_table_lookup(p->seen, key), value) != 0)
            g_array_append_val(changes, ((struct etcd_change){key, value}));
    if (changes->len == 0) {
        g_hash_table_iter_init(&iter, p->seen);
        while (g_hash_table_iter_next(&iter, &key, NULL))
            if (!g_hash_table_contains(p->desired, key))
                g_array_append_val(changes, ((struct etcd_change){key, NULL}));
    }
    g_array_sort(changes, by_key);
    return changes;
}

/* How many of the changes from `from` on go into one write. */
static unsigned batch(const GArray *changes, unsigned from)
{
    size_t size = 0;
    unsigned n = 0;
    for (; from + n < changes->len && n < ETCD_OPS_MAX; n++) {
        const struct etcd_change *change = &g_array_index(changes, struct etcd_change, from + n);
        size += strlen(change->key) + (change->value != NULL ? strlen(change->value) : 0);
        if (n > 0 && size > ETCD_SIZE_MAX)
            break;
    }
    return n;
}

static unsigned too_many(const struct publisher *p)
{
    GHashTableIter iter;
    gpointer key;
    unsigned n = 0;
    g_hash_table_iter_init(&iter, p->seen);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        n += !g_hash_table_contains(p->desired, key);
    return n;
}

static unsigned writes_left(const struct publisher *p, const GArray *changes)
{
    unsigned writes = 0;
    for (unsigned at = 0; at < changes->len; at += batch(changes, at))
        writes++;
    bool adds = changes->len > 0 && g_array_index(changes, struct etcd_change, 0).value != NULL;
    return writes + (adds ? (too_many(p) + ETCD_OPS_MAX - 1) / ETCD_OPS_MAX : 0);
}

/* ---- writing ---- */

static char *encode_write(struct publisher *p)
{
    char text[FENCE_TEXT_SIZE];
    struct fence held, next = {.stamp = {p->stamp.epoch, 0}};
    g_hash_table_remove_all(p->sent);
    bool ours = p->held != NULL && fence_parse(p->held, &held) && fence_judge(&held, p->stamp) == FENCE_OURS;
    if (!ours)
        return etcd_write_encode(p->sentinel, p->held_at, fence_format(&next, text), NULL, 0);
    g_autoptr(GArray) changes = differences(p);
    unsigned n = batch(changes, 0), left = writes_left(p, changes);
    next.stamp = p->stamp;
    if (left > 1) {
        next.part = p->parts_done + 1;
        next.parts = p->parts_done + left;
    }
    for (unsigned i = 0; i < n; i++)
        g_hash_table_add(p->sent, g_strdup(g_array_index(changes, struct etcd_change, i).key));
    return etcd_write_encode(p->sentinel, p->held_at, fence_format(&next, text),
                             &g_array_index(changes, struct etcd_change, 0), n);
}

void publisher_next(struct publisher *p, int64_t now_us, struct publisher_turn *out)
{
    *out = (struct publisher_turn){.member = p->member, .until_us = INT64_MAX};
    if (p->desired == NULL)
        return;
    if (now_us < p->wait_us) {
        out->until_us = p->wait_us;
        return;
    }
    p->writing = p->write_due;
    p->write_due = false;
    out->body =
        p->writing ? encode_write(p) : etcd_look_encode(p->sentinel, p->prefix, p->revision > 0 ? p->revision + 1 : 0);
}

/* ---- hearing ---- */

static void forget_seen(struct publisher *p)
{
    g_hash_table_remove_all(p->seen);
    p->revision = 0;
}

/* False: this look does not fit the last one; everything must be read. */
static bool take_look(struct publisher *p, const struct etcd_look *look)
{
    bool other = p->revision > 0 && (look->revision < p->revision || g_strcmp0(look->cluster, p->cluster) != 0);
    for (guint i = 0; !other && i + 1 < look->pairs->len; i += 2)
        g_hash_table_replace(p->seen, g_strdup(look->pairs->pdata[i]), g_strdup(look->pairs->pdata[i + 1]));
    if (other || look->count != g_hash_table_size(p->seen)) { /* or somebody has removed keys */
        forget_seen(p);
        return false;
    }
    g_free(p->cluster);
    p->cluster = g_strdup(look->cluster);
    p->revision = look->revision;
    g_free(p->held);
    p->held = g_strdup(look->sentinel);
    p->held_at = look->sentinel_held;
    return true;
}

static void decide_ours(struct publisher *p, const struct fence *held, int64_t now_us)
{
    g_autoptr(GArray) changes = differences(p);
    if (changes->len == 0 && fence_settled(held, p->stamp)) {
        p->status.confirmed = p->stamp;
        p->wait_us = now_us + REGISTRY_AUDIT_US;
        say(p, "converged", NULL);
    } else if (g_hash_table_size(p->desired) == 0) {
        say(p, "refused", "found no endpoint at all, expected one for each service and zone: nothing is emptied");
        p->wait_us = now_us + REGISTRY_AUDIT_US;
    } else {
        p->write_due = true;
        say(p, "updating", NULL);
    }
}

static void decide(struct publisher *p, int64_t now_us)
{
    struct fence held;
    if (p->held != NULL && !fence_parse(p->held, &held)) {
        g_autofree char *text = g_strdup_printf("%s: found \"%.80s\", expected EPOCH GENERATION: whose keys are these?",
                                                p->sentinel, p->held);
        say(p, "refused", text);
        p->wait_us = now_us + REGISTRY_AUDIT_US;
        return;
    }
    enum fence_verdict verdict = fence_judge(p->held != NULL ? &held : NULL, p->stamp);
    if (verdict == FENCE_OURS) {
        decide_ours(p, &held, now_us);
    } else if (verdict == FENCE_CLAIM) {
        p->write_due = true;
        say(p, "updating", NULL);
    } else {
        g_autofree char *text = g_strdup_printf("%s: found \"%s\", ours is epoch %" G_GUINT64_FORMAT
                                                " generation %" G_GUINT64_FORMAT ": nothing is written",
                                                p->sentinel, p->held, p->stamp.epoch, p->stamp.generation);
        say(p, "conflict", text);
        p->wait_us = now_us + REGISTRY_AUDIT_US;
    }
}

static void hear_look(struct publisher *p, const char *body, int64_t now_us, GError **error)
{
    struct etcd_look look = {0};
    if (!etcd_look_decode(body, &look, error))
        return;
    p->outstanding = false;
    bool whole = p->revision == 0;
    if (take_look(p, &look))
        decide(p, now_us);
    else if (whole) /* another one would show the same: no reason to ask at once */
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                    "found %u keys, of which etcd counts %" G_GUINT64_FORMAT ": keys that cannot be told apart",
                    look.pairs->len / 2, look.count);
    etcd_look_clear(&look);
}

static void hear_write(struct publisher *p, const char *body, GError **error)
{
    bool done;
    if (!etcd_write_decode(body, &done, error))
        return;
    p->outstanding = false;
    if (!done)
        return; /* somebody was faster: the next look says who */
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, p->sent);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        if (!g_hash_table_contains(p->desired, key))
            g_hash_table_remove(p->seen, key); /* what was put is read back */
    p->status.names += g_hash_table_size(p->sent);
    p->parts_done += g_hash_table_size(p->sent) > 0;
}

/* No member of several is worse than another: the next one is asked at once. */
static void hear_nothing(struct publisher *p, const GError *error, int64_t now_us)
{
    p->outstanding = p->outstanding || p->writing;
    p->member = (p->member + 1) % p->members;
    p->failures++;
    say(p, p->outstanding ? "unknown" : "unreachable", error->message);
    if (p->failures >= p->members) {
        p->failures = 0;
        back_off(p, now_us);
    }
}

void publisher_heard(struct publisher *p, unsigned status, const char *body, const GError *transport, int64_t now_us)
{
    g_autoptr(GError) error = transport != NULL ? g_error_copy(transport) : NULL;
    p->wait_us = now_us;
    if (error == NULL && status != 200)
        etcd_error_decode(status, body, &error);
    else if (error == NULL && p->writing)
        hear_write(p, body, &error);
    else if (error == NULL)
        hear_look(p, body, now_us, &error);
    if (error == NULL) {
        p->failures = 0;
        p->backoff_us = BACKOFF_FIRST_US;
    } else if (transport != NULL || g_error_matches(error, SB_ERROR, SB_ERROR_UNREACHABLE)) {
        hear_nothing(p, error, now_us);
    } else {
        say(p, "refused", error->message);
        back_off(p, now_us);
    }
    p->writing = false;
}
