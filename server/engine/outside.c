#include "server/engine/outside.h"

#include "core/error.h"

#include <string.h>

struct prefix {
    struct addr addr;
    unsigned bits;
};
struct outside {
    GArray *allowed; /* struct prefix */
};

/* IANA's registries of special-purpose addresses, as of RFC 6890 and its successors. */
static const struct special {
    const char *prefix, *what;
    unsigned inner; /* byte where an IPv4 address stands in it, 0: none */
} specials[] = {
    {"0.0.0.0/8", "an address of this host", 0},
    {"10.0.0.0/8", "a private address", 0},
    {"100.64.0.0/10", "a shared address", 0},
    {"127.0.0.0/8", "a loopback address", 0},
    {"169.254.0.0/16", "a link-local address", 0},
    {"172.16.0.0/12", "a private address", 0},
    {"192.0.0.0/24", "a reserved address", 0},
    {"192.0.2.0/24", "an address for documentation", 0},
    {"192.88.99.0/24", "a reserved address", 0},
    {"192.168.0.0/16", "a private address", 0},
    {"198.18.0.0/15", "an address for benchmarks", 0},
    {"198.51.100.0/24", "an address for documentation", 0},
    {"203.0.113.0/24", "an address for documentation", 0},
    {"224.0.0.0/4", "a multicast address", 0},
    {"240.0.0.0/4", "a reserved address", 0},
    {"::1/128", "a loopback address", 0},
    {"::ffff:0:0/96", "an IPv4 address inside IPv6", 12},
    {"64:ff9b::/96", "an IPv4 address inside IPv6", 12},
    {"2002::/16", "an IPv4 address inside IPv6", 2},
    {"2001::/23", "a reserved address", 0}, /* Teredo, ORCHID and other protocols' own */
    {"2001:db8::/32", "an address for documentation", 0},
    {"3fff::/20", "an address for documentation", 0},
    {"fc00::/7", "a private address", 0},
    {"fe80::/10", "a link-local address", 0},
    {"fec0::/10", "a private address", 0},
    {"ff00::/8", "a multicast address", 0},
};

/* "10.0.0.0/8", "::1"; the bits behind the prefix must be 0. */
static bool prefix_parse(const char *text, struct prefix *out)
{
    g_auto(GStrv) parts = g_strsplit(text, "/", 2);
    guint64 bits;
    if (parts[0] == NULL || !addr_parse(parts[0], &out->addr))
        return false;
    guint64 all = out->addr.family == AF_INET ? 32 : 128;
    if (parts[1] != NULL && !g_ascii_string_to_unsigned(parts[1], 10, 0, all, &bits, NULL))
        return false;
    out->bits = (unsigned)(parts[1] != NULL ? bits : all);
    struct addr masked = addr_mask(&out->addr, out->bits);
    return addr_equal(&masked, &out->addr);
}

static bool holds(const struct prefix *prefix, const struct addr *addr)
{
    struct addr masked = addr_mask(addr, prefix->bits);
    return addr->family == prefix->addr.family && addr_equal(&masked, &prefix->addr);
}

struct outside *outside_new(const char *allow, GError **error)
{
    struct outside *outside = g_new0(struct outside, 1);
    outside->allowed = g_array_new(FALSE, FALSE, sizeof(struct prefix));
    g_auto(GStrv) texts = g_strsplit(allow != NULL ? allow : "", ",", -1);
    for (char **text = texts; *text != NULL; text++) {
        struct prefix prefix;
        if (!prefix_parse(g_strstrip(*text), &prefix)) {
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                        "found \"%s\", expected prefixes as 10.0.0.0/8,fd00::/8 with nothing behind the prefix", *text);
            outside_free(outside);
            return NULL;
        }
        g_array_append_val(outside->allowed, prefix);
    }
    return outside;
}

void outside_free(struct outside *outside)
{
    if (outside == NULL)
        return;
    g_array_unref(outside->allowed);
    g_free(outside);
}

static bool is_allowed(const struct outside *outside, const struct addr *addr)
{
    for (guint i = 0; i < outside->allowed->len; i++)
        if (holds(&g_array_index(outside->allowed, struct prefix, i), addr))
            return true;
    return false;
}

/* What is special about it; NULL: nothing. *inner: the IPv4 address inside, or family 0. */
static const char *special_of(const struct addr *addr, struct addr *inner)
{
    *inner = (struct addr){0};
    for (size_t i = 0; i < G_N_ELEMENTS(specials); i++) {
        struct prefix prefix = {0};
        bool sound = prefix_parse(specials[i].prefix, &prefix);
        g_assert(sound);
        if (!holds(&prefix, addr))
            continue;
        if (specials[i].inner > 0) {
            inner->family = AF_INET;
            memcpy(inner->bytes, addr->bytes + specials[i].inner, 4);
        }
        return specials[i].what;
    }
    /* Of IPv6 nothing else than 2000::/3 is given to anybody. */
    return addr->family == AF_INET6 && (addr->bytes[0] & 0xe0) != 0x20 ? "a reserved address" : NULL;
}

bool outside_may(const struct outside *outside, const struct addr *addr, GError **error)
{
    struct addr inner;
    char text[ADDR_TEXT_SIZE];
    const char *what = special_of(addr, &inner);
    if (what == NULL || is_allowed(outside, addr) || (inner.family != 0 && is_allowed(outside, &inner)))
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_FORBIDDEN,
                "found %s, %s, expected a public one or one that --call-allow holds", addr_format(addr, text), what);
    return false;
}
