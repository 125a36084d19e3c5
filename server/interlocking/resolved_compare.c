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

/* Keys that one has and the other has not, or with another value. */
static unsigned part_distance(GBytes *a_bytes, GBytes *b_bytes)
{
    struct cursor a = cursor_of(a_bytes), b = cursor_of(b_bytes);
    bool has_a = cursor_next(&a), has_b = cursor_next(&b);
    unsigned n = 0;
    while (has_a || has_b) {
        int order = !has_a ? 1 : !has_b ? -1 : key_compare(&a, &b);
        if (order != 0 || !line_equal(&a, &b))
            n++;
        if (order <= 0)
            has_a = cursor_next(&a);
        if (order >= 0)
            has_b = cursor_next(&b);
    }
    return n;
}

static int rrset_order(const struct rrset *a, const struct rrset *b)
{
    int order = strcmp(a->owner, b->owner);
    return order != 0 ? order : (a->type > b->type) - (a->type < b->type);
}

static unsigned rrsets_distance(const GPtrArray *a, const GPtrArray *b)
{
    unsigned n = 0;
    guint i = 0, k = 0;
    while (i < a->len || k < b->len) {
        const struct rrset *x = i < a->len ? a->pdata[i] : NULL, *y = k < b->len ? b->pdata[k] : NULL;
        int order = x == NULL ? 1 : y == NULL ? -1 : x == y ? 0 : rrset_order(x, y);
        if (order != 0 || (x != y && !rrset_equal(x, y)))
            n++;
        i += order <= 0;
        k += order >= 0;
    }
    return n;
}

static const GPtrArray *zone_rrsets(const struct resolved *resolved, const char *zone)
{
    for (guint i = 0; i < resolved->zones->len; i++) {
        const struct zone_records *records = resolved->zones->pdata[i];
        if (strcmp(records->zone, zone) == 0)
            return records->rrsets;
    }
    return NULL;
}

static unsigned zones_distance(const struct resolved *a, const struct resolved *b)
{
    unsigned n = 0;
    for (guint i = 0; i < a->zones->len; i++) {
        const struct zone_records *records = a->zones->pdata[i];
        const GPtrArray *other = zone_rrsets(b, records->zone);
        n += other != NULL ? rrsets_distance(records->rrsets, other) : records->rrsets->len;
    }
    for (guint i = 0; i < b->zones->len; i++) {
        const struct zone_records *records = b->zones->pdata[i];
        n += zone_rrsets(a, records->zone) == NULL ? records->rrsets->len : 0;
    }
    return n;
}

struct resolved_distance resolved_compare(const struct resolved *a, const struct resolved *b)
{
    struct resolved_distance distance = {0};
    for (int c = 0; c < EDGE_CLASSES; c++) {
        for (enum part part = 0; part < PARTS; part++) {
            const char *x = a->tables[c].hash[part], *y = b->tables[c].hash[part];
            if (strcmp(x, y) == 0)
                continue;
            bool slow = part == PART_ROUTES || part == PART_LAYOUT;
            *(slow ? &distance.slow_entries[c] : &distance.entries[c]) +=
                part_distance(resolved_part(a, x), resolved_part(b, y));
        }
    }
    distance.rrsets = zones_distance(a, b);
    return distance;
}
