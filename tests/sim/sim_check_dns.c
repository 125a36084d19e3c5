/* sim_check_dns.c: what must hold of every name server whenever what it shows changes, and of what a driver says. */
#include "tests/sim/sim.h"

#include "schema/fence.h"
#include "dns/records.h"

#include <string.h>

#define TURN_US (5 * SECOND / 2) /* a driver's turn may have read a set so long before it says what it saw */
#define CLOCKS 100               /* part of a wait that clocks 0.5 % off may be wrong by, twice over */

int rrset_order(gconstpointer a, gconstpointer b)
{
    const struct rrset *x = *(struct rrset *const *)a, *y = *(struct rrset *const *)b;
    int order = strcmp(x->owner, y->owner);
    return order != 0 ? order : (int)x->type - (int)y->type;
}

/* ---- what was shown before ---- */

struct past {
    char *text;
    int64_t until_us; /* when it was shown last */
    uint32_t ttl;
    bool foreign; /* another hand wrote it, or ended it: an older zone remembers nothing */
};

static void past_free(gpointer data)
{
    struct past *past = data;
    g_free(past->text);
    g_free(past);
}

static void keep_past(struct sim *sim, struct nameserver_node *ns, const char *key, const struct rrset *old,
                      enum hand hand)
{
    GPtrArray *list = g_hash_table_lookup(ns->past, key);
    if (list == NULL) {
        list = g_ptr_array_new_with_free_func(past_free);
        g_hash_table_insert(ns->past, g_strdup(key), list);
    }
    struct past *past = g_new(struct past, 1);
    *past = (struct past){.until_us = sim->now_us, .ttl = old == NULL ? 0 : old->ttl};
    past->foreign = hand >= HAND_OTHER || g_hash_table_contains(ns->foreign, key);
    past->text = old == NULL ? g_strdup("nothing") : rrset_describe(old);
    g_ptr_array_add(list, past);
}

static void note_hand(struct nameserver_node *ns, const char *key, enum hand hand)
{
    if (hand == HAND_TRANSFER || hand == HAND_OLD)
        return; /* the keys come with it */
    if (hand == HAND_OTHER)
        g_hash_table_add(ns->foreign, g_strdup(key));
    else
        g_hash_table_remove(ns->foreign, key);
}

static void keep_pasts(struct sim *sim, struct nameserver_node *ns, GHashTable *before, enum hand hand)
{
    GHashTableIter iter;
    gpointer key, set;
    g_hash_table_iter_init(&iter, before);
    while (g_hash_table_iter_next(&iter, &key, &set)) {
        const struct rrset *now = g_hash_table_lookup(ns->zone, key);
        if (now != NULL && rrset_equal(now, set))
            continue;
        keep_past(sim, ns, key, set, hand);
        note_hand(ns, key, hand);
    }
    g_hash_table_iter_init(&iter, ns->zone);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        if (!g_hash_table_contains(before, key)) {
            keep_past(sim, ns, key, NULL, hand);
            note_hand(ns, key, hand);
        }
}

/* ---- a zone ---- */

static bool name_exists(GHashTable *zone, const char *name)
{
    return zone_get(zone, KNOT_RRTYPE_A, name) != NULL || zone_get(zone, KNOT_RRTYPE_AAAA, name) != NULL ||
           zone_get(zone, KNOT_RRTYPE_CNAME, name) != NULL;
}

/* Between the driver's look and its update: it is mended later. */
static bool another_wrote(const struct nameserver_node *ns, const char *owner)
{
    static const uint16_t types[] = {KNOT_RRTYPE_A, KNOT_RRTYPE_AAAA, KNOT_RRTYPE_CNAME};
    bool found = false;
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        struct rrset set = {.owner = (char *)owner, .type = types[i]};
        g_autofree char *key = rrset_key(&set);
        found |= g_hash_table_contains(ns->foreign, key);
    }
    return found;
}

/* Add before use, remove after. */
static void check_targets(struct sim *sim, const struct nameserver_node *ns, GHashTable *before)
{
    GHashTableIter iter;
    gpointer set;
    g_hash_table_iter_init(&iter, ns->zone);
    while (g_hash_table_iter_next(&iter, NULL, &set)) {
        const struct rrset *cname = set;
        if (cname->type != KNOT_RRTYPE_CNAME || name_exists(ns->zone, cname->rdata[0]))
            continue;
        const struct rrset *was = zone_get(before, KNOT_RRTYPE_CNAME, cname->owner);
        bool dangled = was != NULL && rrset_equal(was, cname) && !name_exists(before, cname->rdata[0]);
        /* else by another hand, and it is being mended */
        if (!dangled && !another_wrote(ns, cname->owner) && !another_wrote(ns, cname->rdata[0]))
            sim_fail(sim, "%s: %s points at %s, which is not there", nameserver_name(ns->index), cname->owner,
                     cname->rdata[0]);
    }
}

static const struct rrset *wanted_at(const struct zone_records *records, uint16_t type, const char *owner)
{
    for (guint i = 0; i < records->rrsets->len; i++) {
        const struct rrset *set = records->rrsets->pdata[i];
        if (set->type == type && strcmp(set->owner, owner) == 0)
            return set;
    }
    return NULL;
}

static bool shows(GHashTable *zone, const struct zone_records *records, uint16_t type, const char *owner)
{
    const struct rrset *has = zone_get(zone, type, owner), *wanted = wanted_at(records, type, owner);
    return has == NULL || wanted == NULL ? has == wanted : rrset_equal(has, wanted);
}

/* What an update has touched of a name is, all kinds of addresses together, what its generation wants there; a name
 * that was there and is wanted is never without records. */
static void check_name(struct sim *sim, const struct nameserver_node *ns, GHashTable *before,
                       const struct zone_records *records, const char *owner)
{
    static const uint16_t types[] = {KNOT_RRTYPE_A, KNOT_RRTYPE_AAAA, KNOT_RRTYPE_CNAME};
    bool is_wanted = false;
    if (another_wrote(ns, owner))
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        is_wanted |= wanted_at(records, types[i], owner) != NULL;
        if (!shows(ns->zone, records, types[i], owner))
            sim_fail(sim, "%s: an update leaves %s with another %s than its generation wants",
                     nameserver_name(ns->index), owner, rrtype_name(types[i]));
    }
    if (is_wanted && name_exists(before, owner) && !name_exists(ns->zone, owner))
        sim_fail(sim, "%s: %s has no records", nameserver_name(ns->index), owner);
}

static void check_touched(struct sim *sim, const struct nameserver_node *ns, GHashTable *before,
                          const struct zone_records *records)
{
    GHashTable *const zones[] = {before, ns->zone};
    for (unsigned i = 0; i < 2; i++) {
        GHashTableIter iter;
        gpointer key, set;
        g_hash_table_iter_init(&iter, zones[i]);
        while (g_hash_table_iter_next(&iter, &key, &set)) {
            const struct rrset *other = g_hash_table_lookup(zones[1 - i], key);
            if (((struct rrset *)set)->type != KNOT_RRTYPE_TXT && (other == NULL || !rrset_equal(other, set)))
                check_name(sim, ns, before, records, ((struct rrset *)set)->owner);
        }
    }
}

static const struct zone_records *records_of(struct sim *sim, uint64_t generation)
{
    const struct resolved *resolved = g_hash_table_lookup(sim->worlds, GSIZE_TO_POINTER(generation));
    return resolved == NULL ? NULL : resolved_zone(resolved, DNS_ZONE);
}

static bool sentinel_of(GHashTable *zone, struct fence *fence)
{
    *fence = (struct fence){0};
    const char *text = zone_sentinel(zone);
    return text != NULL && fence_parse(text, fence);
}

void check_zone(struct sim *sim, struct nameserver_node *ns, GHashTable *before, enum hand hand)
{
    keep_pasts(sim, ns, before, hand);
    ns->disturbed |= hand >= HAND_OTHER;
    struct fence fence;
    bool held = sentinel_of(ns->zone, &fence);
    if (hand >= HAND_OTHER)
        ns->newest = held ? fence.stamp : (struct stamp){0, 0}; /* what is fenced from now on */
    if (hand != HAND_OURS)
        return;
    if (!held) {
        sim_fail(sim, "%s: an update leaves no sentinel", nameserver_name(ns->index));
        return;
    }
    if (stamp_compare(fence.stamp, ns->newest) < 0)
        sim_fail(sim,
                 "%s: %" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT " is written over %" G_GUINT64_FORMAT
                 ".%" G_GUINT64_FORMAT,
                 nameserver_name(ns->index), fence.stamp.epoch, fence.stamp.generation, ns->newest.epoch,
                 ns->newest.generation);
    ns->newest = fence.stamp;
    const struct zone_records *records = records_of(sim, fence.stamp.generation);
    if (records != NULL)
        check_touched(sim, ns, before, records);
    check_targets(sim, ns, before);
}

/* ---- what a driver says ---- */

static bool was_shown(const struct nameserver_node *ns, const struct rrset *wanted, int64_t since_us)
{
    const struct rrset *now = zone_get(ns->zone, wanted->type, wanted->owner);
    if (now != NULL && rrset_equal(now, wanted))
        return true;
    g_autofree char *key = rrset_key(wanted), *text = rrset_describe(wanted);
    GPtrArray *list = g_hash_table_lookup(ns->past, key);
    for (guint i = list == NULL ? 0 : list->len; i > 0; i--) {
        const struct past *past = list->pdata[i - 1];
        if (past->until_us >= since_us && strcmp(past->text, text) == 0)
            return true;
    }
    return false;
}

/* Until when resolvers may hold something else that was written here by us. */
static int64_t held_until_us(const struct nameserver_node *ns, const struct rrset *wanted)
{
    g_autofree char *key = rrset_key(wanted), *text = rrset_describe(wanted);
    GPtrArray *list = g_hash_table_lookup(ns->past, key);
    int64_t until_us = 0;
    for (guint i = 0; list != NULL && i < list->len; i++) {
        const struct past *past = list->pdata[i];
        if (!past->foreign && strcmp(past->text, text) != 0)
            until_us = MAX(until_us, past->until_us + (int64_t)past->ttl * (SECOND - SECOND / CLOCKS));
    }
    return until_us;
}

void check_dns_report(struct sim *sim, struct server *server, unsigned nameserver, const struct dns_status *status)
{
    const struct nameserver_node *ns = &sim->nameservers[nameserver];
    struct driver_slot *slot = &server->drivers[nameserver];
    if (strcmp(status->state, "converged") != 0)
        return;
    const struct zone_records *records = records_of(sim, status->confirmed.generation);
    if (records == NULL) {
        sim_fail(sim, "%s: generation %" G_GUINT64_FORMAT " was confirmed, and never published",
                 nameserver_name(nameserver), status->confirmed.generation);
        return;
    }
    int64_t residual_us = server_sim_us(server, status->residual_until_us);
    /* What it saw before it was stopped it says afterwards. */
    int64_t since_us = sim->now_us - TURN_US;
    if (server->paused_until_us >= since_us)
        since_us = MIN(since_us, server->paused_us - TURN_US);
    bool leads = server->epoch == sim->journal.epoch; /* whoever is beaten looks at the sentinel alone */
    int primary = nameserver_primary(nameserver);
    bool disturbed = ns->disturbed || (primary >= 0 && sim->nameservers[primary].disturbed);
    bool news = stamp_compare(status->confirmed, slot->confirmed) != 0;
    for (guint i = 0; news && i < records->rrsets->len; i++) {
        const struct rrset *wanted = records->rrsets->pdata[i];
        if (!was_shown(ns, wanted, since_us))
            sim_fail(sim, "%s: converged is said, but %s %s is not shown", nameserver_name(nameserver), wanted->owner,
                     rrtype_name(wanted->type));
        int64_t held_us = leads && !disturbed ? held_until_us(ns, wanted) : 0;
        if (held_us > sim->now_us && held_us > residual_us)
            sim_fail(sim, "%s: resolvers may hold the old %s %s until %.3f s, said is %.3f s",
                     nameserver_name(nameserver), wanted->owner, rrtype_name(wanted->type), (double)held_us / SECOND,
                     (double)residual_us / SECOND);
    }
    slot->confirmed = status->confirmed;
}

/* ---- the end ---- */

const char *check_dns_at_rest(struct sim *sim, struct stamp stamp, const struct observed *observed)
{
    for (unsigned i = 0; i < NAMESERVERS; i++) {
        const struct nameserver_node *ns = &sim->nameservers[i];
        const struct server_report *report = observed_server(observed, nameserver_name(i));
        struct fence fence;
        if (report == NULL || strcmp(report->state, "converged") != 0 || stamp_compare(report->confirmed, stamp) != 0 ||
            !sentinel_of(ns->zone, &fence) || !fence_settled(&fence, stamp))
            return nameserver_name(i);
        const struct zone_records *records = records_of(sim, stamp.generation);
        for (guint k = 0; k < records->rrsets->len; k++) {
            const struct rrset *wanted = records->rrsets->pdata[k];
            if (!shows(ns->zone, records, wanted->type, wanted->owner))
                return nameserver_name(i);
        }
    }
    return NULL;
}
