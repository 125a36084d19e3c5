#include "dns/records.h"

#include <arpa/inet.h>
#include <string.h>
#include <libknot/libknot.h>

#include "core/error.h"
#include "schema/fence.h"

struct rrset *rrset_make(const char *owner, uint16_t type, uint32_t ttl, const char *const *rdata)
{
    struct rrset *set = g_new0(struct rrset, 1);
    set->owner = g_strdup(owner);
    set->type = type;
    set->ttl = ttl;
    set->rdata = rdata != NULL ? g_strdupv((char **)rdata) : g_new0(char *, 1);
    return set;
}

void rrset_delete(struct rrset *set)
{
    if (set == NULL)
        return;
    g_free(set->owner);
    g_strfreev(set->rdata);
    g_free(set->why);
    g_free(set);
}

bool rrset_absent(const struct rrset *set)
{
    return set->rdata == NULL || set->rdata[0] == NULL;
}

char *rrset_key(const struct rrset *set)
{
    return g_strdup_printf("%u %s", set->type, set->owner);
}

char *rrset_describe(const struct rrset *set)
{
    if (rrset_absent(set))
        return g_strdup("nothing");
    g_autofree char *data = g_strjoinv(", ", set->rdata);
    return g_strdup_printf("%s (%u s)", data, set->ttl);
}

/* ---- names and data ---- */

static bool name_is_plain(const char *name)
{
    for (const char *p = name; *p != '\0'; p++)
        if (!g_ascii_islower(*p) && !g_ascii_isdigit(*p) && strchr("-_.", *p) == NULL)
            return false;
    size_t len = strlen(name);
    return len > 0 && name[0] != '.' && name[len - 1] != '.' && strstr(name, "..") == NULL;
}

/* Size of a plain name's wire form, 0 if it is none (a label over 63 bytes, more than 255 in all). */
static size_t name_to_wire(const char *name, uint8_t wire[static RDATA_WIRE_SIZE])
{
    if (!name_is_plain(name) || knot_dname_from_str(wire, name, KNOT_DNAME_MAXLEN) == NULL)
        return 0;
    return knot_dname_size(wire);
}

bool rdata_to_wire(uint16_t type, const char *text, uint8_t wire[static RDATA_WIRE_SIZE], uint16_t *size)
{
    switch (type) {
    case KNOT_RRTYPE_A:
        *size = 4;
        return inet_pton(AF_INET, text, wire) == 1;
    case KNOT_RRTYPE_AAAA:
        *size = 16;
        return inet_pton(AF_INET6, text, wire) == 1;
    case KNOT_RRTYPE_CNAME:
        *size = (uint16_t)name_to_wire(text, wire);
        return *size > 0;
    default:
        return false;
    }
}

static char *strings_to_text(const uint8_t *wire, uint16_t size)
{
    GString *text = g_string_new(NULL);
    for (unsigned at = 0; at < size; at += 1u + wire[at]) {
        if (at + 1u + wire[at] > size) {
            g_string_free(text, TRUE);
            return NULL;
        }
        g_string_append_len(text, (const char *)wire + at + 1, wire[at]);
    }
    return g_string_free(text, FALSE);
}

static char *name_to_text(const uint8_t *wire, uint16_t size)
{
    if (knot_dname_wire_check(wire, wire + size, NULL) <= 0)
        return NULL;
    char text[KNOT_DNAME_TXT_MAXLEN + 1];
    if (knot_dname_to_str(text, wire, sizeof text) == NULL)
        return NULL;
    size_t len = strlen(text);
    if (len > 1 && text[len - 1] == '.')
        text[len - 1] = '\0';
    return g_ascii_strdown(text, -1);
}

static char *other_to_text(uint16_t type, const uint8_t *wire, uint16_t size)
{
    knot_rrset_t set;
    uint8_t root[] = {0};
    knot_rrset_init(&set, root, type, KNOT_CLASS_IN, 0);
    char text[2048];
    bool ok = knot_rrset_add_rdata(&set, wire, size, NULL) == KNOT_EOK &&
              knot_rrset_txt_dump_data(&set, 0, text, sizeof text, &KNOT_DUMP_STYLE_DEFAULT) >= 0;
    knot_rdataset_clear(&set.rrs, NULL);
    return ok ? g_strdup(text) : NULL;
}

char *rdata_to_text(uint16_t type, const uint8_t *wire, uint16_t size)
{
    char text[INET6_ADDRSTRLEN];
    switch (type) {
    case KNOT_RRTYPE_A:
        return size == 4 ? g_strdup(inet_ntop(AF_INET, wire, text, sizeof text)) : NULL;
    case KNOT_RRTYPE_AAAA:
        return size == 16 ? g_strdup(inet_ntop(AF_INET6, wire, text, sizeof text)) : NULL;
    case KNOT_RRTYPE_CNAME:
        return name_to_text(wire, size);
    case KNOT_RRTYPE_TXT:
        return strings_to_text(wire, size);
    default:
        return other_to_text(type, wire, size);
    }
}

/* ---- expectations ---- */

static bool name_in_zone(const char *name, const char *zone)
{
    size_t name_len = strlen(name), zone_len = strlen(zone);
    if (name_len == zone_len)
        return strcmp(name, zone) == 0;
    return name_len > zone_len && name[name_len - zone_len - 1] == '.' && strcmp(name + name_len - zone_len, zone) == 0;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int compare_expected(const void *a, const void *b)
{
    const struct rrset *x = *(struct rrset *const *)a, *y = *(struct rrset *const *)b;
    int order = strcmp(x->owner, y->owner);
    if (order == 0)
        order = (int)rrset_absent(y) - (int)rrset_absent(x);
    return order != 0 ? order : (int)x->type - (int)y->type;
}

static bool refuse(GError **error, const struct rrset *set, const char *why)
{
    g_set_error(error, SB_ERROR, SB_ERROR_REFUSED, "%s %s: %s", set->owner, rrtype_name(set->type), why);
    return false;
}

static bool owner_check(const struct rrset *set, const char *zone, GError **error)
{
    uint8_t wire[RDATA_WIRE_SIZE];
    if (name_to_wire(set->owner, wire) == 0)
        return refuse(error, set, "the owner is not a name of a-z, 0-9, '-' and '_' in labels of at most 63");
    if (!name_in_zone(set->owner, zone))
        return refuse(error, set, "the owner is not in the zone");
    g_autofree char *sentinel = fence_owner(zone);
    if (strcmp(set->owner, sentinel) == 0)
        return refuse(error, set, "the owner is the sentinel's");
    return true;
}

/* A canonical copy of a desired set; NULL and error if it must not be written. */
static struct rrset *set_accept(const struct rrset *set, const char *zone, GError **error)
{
    if (!owner_check(set, zone, error))
        return NULL;
    unsigned n = set->rdata != NULL ? g_strv_length(set->rdata) : 0;
    const char *wrong = n == 0                                    ? "a set without records would empty the name"
                        : n > RDATA_PER_SET_MAX                   ? "more than 64 records"
                        : set->ttl > INT32_MAX                    ? "the TTL is above 2147483647"
                        : set->type == KNOT_RRTYPE_CNAME && n > 1 ? "a CNAME has one target"
                                                                  : NULL;
    if (wrong != NULL) {
        refuse(error, set, wrong);
        return NULL;
    }
    struct rrset *copy = rrset_make(set->owner, set->type, set->ttl, (const char *const *)set->rdata);
    for (unsigned i = 0; i < n; i++) {
        uint8_t wire[RDATA_WIRE_SIZE];
        uint16_t size;
        if (!rdata_to_wire(set->type, set->rdata[i], wire, &size)) {
            g_autofree char *text = g_strescape(set->rdata[i], NULL);
            g_autofree char *why = g_strdup_printf("\"%s\" is no data of this type", text);
            refuse(error, set, why);
            rrset_delete(copy);
            return NULL;
        }
        g_free(copy->rdata[i]);
        copy->rdata[i] = rdata_to_text(set->type, wire, size);
    }
    qsort(copy->rdata, n, sizeof *copy->rdata, compare_text);
    return copy;
}

static bool owner_holds(GHashTable *by_key, const char *owner, uint16_t type)
{
    struct rrset probe = {.owner = (char *)owner, .type = type};
    g_autofree char *key = rrset_key(&probe);
    const struct rrset *set = g_hash_table_lookup(by_key, key);
    return set != NULL && !rrset_absent(set);
}

static bool owner_wanted(GHashTable *by_key, const char *owner)
{
    return owner_holds(by_key, owner, KNOT_RRTYPE_A) || owner_holds(by_key, owner, KNOT_RRTYPE_AAAA) ||
           owner_holds(by_key, owner, KNOT_RRTYPE_CNAME);
}

/* Takes `set`; one of a key that is there already is dropped, and false returned. */
static bool expectation_add(GHashTable *by_key, GPtrArray *expected, struct rrset *set)
{
    char *key = rrset_key(set);
    if (g_hash_table_contains(by_key, key)) {
        g_free(key);
        rrset_delete(set);
        return false;
    }
    g_hash_table_insert(by_key, key, set);
    g_ptr_array_add(expected, set);
    return true;
}

static bool add_desired(const struct zone_records *desired, GHashTable *by_key, GPtrArray *expected, GError **error)
{
    for (unsigned i = 0; i < desired->rrsets->len; i++) {
        const struct rrset *set = desired->rrsets->pdata[i];
        struct rrset *copy = set_accept(set, desired->zone, error);
        if (copy == NULL)
            return false;
        if (!expectation_add(by_key, expected, copy))
            return refuse(error, set, "named twice");
    }
    for (unsigned i = 0; i < desired->rrsets->len; i++) {
        const struct rrset *set = desired->rrsets->pdata[i];
        if (set->type != KNOT_RRTYPE_CNAME && owner_holds(by_key, set->owner, KNOT_RRTYPE_CNAME))
            return refuse(error, set, "a name with a CNAME can't hold other data");
    }
    return true;
}

static void add_siblings(GHashTable *by_key, GPtrArray *expected)
{
    for (unsigned i = 0, n = expected->len; i < n; i++) {
        const struct rrset *set = expected->pdata[i];
        if (set->type == KNOT_RRTYPE_A || set->type == KNOT_RRTYPE_AAAA) {
            uint16_t other = set->type == KNOT_RRTYPE_A ? KNOT_RRTYPE_AAAA : KNOT_RRTYPE_A;
            expectation_add(by_key, expected, rrset_make(set->owner, other, 0, NULL));
        }
    }
}

static void add_removals(const GPtrArray *previous, bool settled, GHashTable *by_key, GPtrArray *expected)
{
    for (unsigned i = 0; i < previous->len; i++) {
        const struct rrset *set = previous->pdata[i];
        if (!settled || !rrset_absent(set))
            expectation_add(by_key, expected, rrset_make(set->owner, set->type, 0, NULL));
    }
}

/* A CNAME must not be left pointing at a name that goes. */
static bool targets_stay(const GPtrArray *expected, GHashTable *by_key, GError **error)
{
    g_autoptr(GHashTable) going = g_hash_table_new(g_str_hash, g_str_equal);
    for (unsigned i = 0; i < expected->len; i++) {
        const struct rrset *set = expected->pdata[i];
        if (rrset_absent(set) && !owner_wanted(by_key, set->owner))
            g_hash_table_add(going, set->owner);
    }
    for (unsigned i = 0; i < expected->len; i++) {
        const struct rrset *set = expected->pdata[i];
        if (set->type == KNOT_RRTYPE_CNAME && !rrset_absent(set) && g_hash_table_contains(going, set->rdata[0])) {
            g_set_error(error, SB_ERROR, SB_ERROR_REFUSED, "%s would lose all its records, and %s still points at it",
                        set->rdata[0], set->owner);
            return false;
        }
    }
    return true;
}

static bool any_wanted(const GPtrArray *expected)
{
    for (unsigned i = 0; i < expected->len; i++)
        if (!rrset_absent(expected->pdata[i]))
            return true;
    return false;
}

GPtrArray *records_expect(const struct zone_records *desired, const GPtrArray *previous, bool settled, GError **error)
{
    if (desired->rrsets->len == 0 && previous != NULL && any_wanted(previous)) {
        g_set_error(error, SB_ERROR, SB_ERROR_REFUSED, "nothing is desired for zone %s, which would empty %u sets",
                    desired->zone, previous->len);
        return NULL;
    }
    g_autoptr(GPtrArray) expected = g_ptr_array_new_with_free_func((GDestroyNotify)rrset_delete);
    g_autoptr(GHashTable) by_key = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (!add_desired(desired, by_key, expected, error))
        return NULL;
    add_siblings(by_key, expected);
    if (previous != NULL)
        add_removals(previous, settled, by_key, expected);
    if (!targets_stay(expected, by_key, error))
        return NULL;
    g_ptr_array_sort(expected, compare_expected);
    return g_steal_pointer(&expected);
}
