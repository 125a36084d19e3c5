#include "server/interlocking/resolve.h"

#include <string.h>

/* A cursor over the lines of a part; key and value as spans. */
struct cursor {
    const char *at, *end;
    const char *key, *stop; /* of the line: its first byte, and the end of the line */
    size_t key_len;
};

static bool cursor_next(struct cursor *c)
{
    if (c->at == c->end)
        return false;
    c->key = c->at;
    const char *newline = memchr(c->at, '\n', (size_t)(c->end - c->at));
    c->stop = newline != NULL ? newline : c->end;
    c->at = newline != NULL ? newline + 1 : c->end;
    const char *space = memchr(c->key, ' ', (size_t)(c->stop - c->key));
    c->key_len = (size_t)((space != NULL ? space : c->stop) - c->key);
    return true;
}

static struct cursor cursor_of(GBytes *bytes)
{
    gsize size;
    const char *data = g_bytes_get_data(bytes, &size);
    return (struct cursor){.at = data, .end = data == NULL ? NULL : data + size};
}

static int key_compare(const struct cursor *a, const struct cursor *b)
{
    int order = memcmp(a->key, b->key, MIN(a->key_len, b->key_len));
    return order != 0 ? order : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

static bool line_equal(const struct cursor *a, const struct cursor *b)
{
    size_t len = (size_t)(a->stop - a->key);
    return len == (size_t)(b->stop - b->key) && memcmp(a->key, b->key, len) == 0;
}

/* A cursor's line, or nothing. */
static void set_line(const struct cursor *c, const char **line, size_t *len)
{
    *line = c->key;
    *len = (size_t)(c->stop - c->key);
}

/* Keys that one has and the other has not, or with another value. */
static void each_line(GBytes *a_bytes, GBytes *b_bytes, struct resolved_difference *d, resolved_difference_fn fn,
                      void *data)
{
    struct cursor a = cursor_of(a_bytes), b = cursor_of(b_bytes);
    bool has_a = cursor_next(&a), has_b = cursor_next(&b);
    while (has_a || has_b) {
        int order = !has_a ? 1 : !has_b ? -1 : key_compare(&a, &b);
        d->before = d->after = NULL;
        if (order <= 0)
            set_line(&a, &d->before, &d->before_len);
        if (order >= 0)
            set_line(&b, &d->after, &d->after_len);
        if (order != 0 || !line_equal(&a, &b))
            fn(data, d);
        if (order <= 0)
            has_a = cursor_next(&a);
        if (order >= 0)
            has_b = cursor_next(&b);
    }
}

static int rrset_order(const struct rrset *a, const struct rrset *b)
{
    int order = strcmp(a->owner, b->owner);
    return order != 0 ? order : (a->type > b->type) - (a->type < b->type);
}

/* a and b: rrsets of a zone, or NULL. */
static void each_rrset(const GPtrArray *a, const GPtrArray *b, struct resolved_difference *d, resolved_difference_fn fn,
                       void *data)
{
    guint i = 0, k = 0;
    while ((a != NULL && i < a->len) || (b != NULL && k < b->len)) {
        const struct rrset *x = a != NULL && i < a->len ? a->pdata[i] : NULL,
                           *y = b != NULL && k < b->len ? b->pdata[k] : NULL;
        int order = x == NULL ? 1 : y == NULL ? -1 : x == y ? 0 : rrset_order(x, y);
        d->set_before = order <= 0 ? x : NULL;
        d->set_after = order >= 0 ? y : NULL;
        if (order != 0 || (x != y && !rrset_equal(x, y)))
            fn(data, d);
        i += order <= 0;
        k += order >= 0;
    }
}

static const GPtrArray *zone_rrsets(const struct resolved *resolved, const char *zone)
{
    const struct zone_records *records = resolved_zone(resolved, zone);
    return records != NULL ? records->rrsets : NULL;
}

/* Behind the sets of the name that starts at i. */
static guint name_end(const GPtrArray *sets, guint i)
{
    const char *owner = ((const struct rrset *)sets->pdata[i])->owner;
    while (i < sets->len && strcmp(((const struct rrset *)sets->pdata[i])->owner, owner) == 0)
        i++;
    return i;
}

static bool same_sets(const GPtrArray *a, guint i, guint i_end, const GPtrArray *b, guint k, guint k_end)
{
    if (i_end - i != k_end - k)
        return false;
    for (; i < i_end; i++, k++)
        if (a->pdata[i] != b->pdata[k] && !rrset_equal(a->pdata[i], b->pdata[k]))
            return false;
    return true;
}

/* Names of `now`, and how many of them `then` has otherwise or not at all. Both are in the order of owners. */
static unsigned names_touched(const GPtrArray *now, const GPtrArray *then, unsigned *names)
{
    unsigned touched = 0;
    *names = 0;
    for (guint i = 0, k = 0, i_end, k_end; i < now->len; i = i_end) {
        const char *owner = ((const struct rrset *)now->pdata[i])->owner;
        while (k < then->len && strcmp(((const struct rrset *)then->pdata[k])->owner, owner) < 0)
            k = name_end(then, k);
        bool there = k < then->len && strcmp(((const struct rrset *)then->pdata[k])->owner, owner) == 0;
        i_end = name_end(now, i);
        k_end = there ? name_end(then, k) : k;
        touched += !same_sets(now, i, i_end, then, k, k_end);
        k = k_end;
        ++*names;
    }
    return touched;
}

char *resolved_zone_share(const struct resolved *now, const struct resolved *then)
{
    for (guint i = 0; i < then->zones->len; i++) {
        const struct zone_records *records = then->zones->pdata[i];
        const GPtrArray *before = zone_rrsets(now, records->zone);
        unsigned names = 0, touched = before != NULL ? names_touched(before, records->rrsets, &names) : 0;
        if (!records->unguarded && zone_guard_stops(touched, names))
            return g_strdup_printf("%u of %u names of zone %s would change at once, its guard lets %d %% pass", touched,
                                   names, records->zone, ZONE_GUARD_PERCENT);
    }
    return NULL;
}

static void each_record(const struct resolved *a, const struct resolved *b, resolved_difference_fn fn, void *data)
{
    for (guint i = 0; i < a->zones->len; i++) {
        const struct zone_records *records = a->zones->pdata[i];
        struct resolved_difference d = {.zone = records->zone};
        each_rrset(records->rrsets, zone_rrsets(b, records->zone), &d, fn, data);
    }
    for (guint i = 0; i < b->zones->len; i++) {
        const struct zone_records *records = b->zones->pdata[i];
        struct resolved_difference d = {.zone = records->zone};
        if (zone_rrsets(a, records->zone) == NULL)
            each_rrset(NULL, records->rrsets, &d, fn, data);
    }
}

/* Gateways of `of`, which are in both or in it alone. */
static void each_gateway(const struct resolved *a, const struct resolved *b, const struct resolved *of,
                         resolved_difference_fn fn, void *data)
{
    static const char nothing[] = "";
    g_autoptr(GBytes) none = g_bytes_new_static(nothing, 0);
    INVENTORY_FOREACH (of->world->inventory, gateway, gateway) {
        GBytes *x = resolved_gateway(a, gateway->o.name), *y = resolved_gateway(b, gateway->o.name);
        struct resolved_difference d = {.gateway = gateway->o.name};
        if (of == b && x != NULL)
            continue; /* of both */
        if (x == NULL || y == NULL || !g_bytes_equal(x, y))
            each_line(x != NULL ? x : none, y != NULL ? y : none, &d, fn, data);
    }
}

void resolved_each_difference(const struct resolved *a, const struct resolved *b, resolved_difference_fn fn, void *data)
{
    for (int c = 0; c < EDGE_CLASSES; c++)
        for (enum part part = 0; part < PARTS; part++) {
            const char *x = a->tables[c].hash[part], *y = b->tables[c].hash[part];
            struct resolved_difference d = {.class = c, .part = part};
            if (strcmp(x, y) != 0)
                each_line(resolved_part(a, x), resolved_part(b, y), &d, fn, data);
        }
    each_gateway(a, b, a, fn, data);
    each_gateway(a, b, b, fn, data);
    struct resolved_difference d = {.endpoints = true};
    each_line(a->endpoints, b->endpoints, &d, fn, data);
    each_record(a, b, fn, data);
}

static void count(void *data, const struct resolved_difference *d)
{
    struct resolved_distance *distance = data;
    bool slow = d->part == PART_ROUTES || d->part == PART_LAYOUT;
    if (d->zone != NULL)
        distance->rrsets++;
    else if (d->endpoints)
        distance->endpoints++;
    else if (d->gateway != NULL)
        distance->gateways++;
    else
        (slow ? distance->slow_entries : distance->entries)[d->class]++;
}

struct resolved_distance resolved_compare(const struct resolved *a, const struct resolved *b)
{
    struct resolved_distance distance = {0};
    resolved_each_difference(a, b, count, &distance);
    return distance;
}
