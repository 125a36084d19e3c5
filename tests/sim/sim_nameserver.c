/* sim_nameserver.c: an authoritative server of one zone: RFC 2136 with prerequisites, whole or not at all; TSIG with a
 * clock of its own; a secondary that copies when it is told, or now and then; a disk that may hold an older zone.
 *
 * Of a request's signature the time is judged, not the MAC (libknot would judge it by the real clock). */
#include "tests/sim/sim.h"

#include "schema/fence.h"
#include "dns/message.h"
#include "dns/records.h"

#include <string.h>

#define REFRESH_US (2 * SECOND)
#define TTL_S 5

static const struct {
    const char *name;
    int primary; /* that it copies; -1: it takes updates */
} layout[NAMESERVERS] = {{"ns-1", -1}, {"ns-2", -1}, {"ns-3", 0}};

const char *nameserver_name(unsigned index)
{
    return layout[index].name;
}

bool nameserver_is_primary(unsigned index)
{
    return layout[index].primary < 0;
}

int nameserver_primary(unsigned index)
{
    return layout[index].primary;
}

unsigned nameserver_at(const struct endpoint *address)
{
    static const char *const addresses[NAMESERVERS] = {"192.0.2.53:53", "192.0.2.54:53", "192.0.2.55:53"};
    char text[ENDPOINT_TEXT_SIZE];
    unsigned index = 0;
    endpoint_format(address, text);
    while (strcmp(addresses[index], text) != 0)
        index++;
    return index;
}

static void dns_key(knot_tsig_key_t *key)
{
    int code = knot_tsig_key_init(key, "hmac-sha256", DNS_KEY, DNS_SECRET);
    g_assert(code == KNOT_EOK);
}

/* ---- zones ---- */

static GHashTable *zone_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)rrset_delete);
}

static GHashTable *zone_copy(GHashTable *zone)
{
    GHashTable *copy = zone_new();
    GHashTableIter iter;
    gpointer key, set;
    g_hash_table_iter_init(&iter, zone);
    while (g_hash_table_iter_next(&iter, &key, &set))
        g_hash_table_insert(copy, g_strdup(key), rrset_copy(set));
    return copy;
}

const struct rrset *zone_get(GHashTable *zone, uint16_t type, const char *owner)
{
    struct rrset question = {.owner = (char *)owner, .type = type};
    g_autofree char *key = rrset_key(&question);
    return g_hash_table_lookup(zone, key);
}

static void zone_put(GHashTable *zone, struct rrset *set)
{
    g_hash_table_replace(zone, rrset_key(set), set);
}

static void zone_remove(GHashTable *zone, uint16_t type, const char *owner)
{
    struct rrset question = {.owner = (char *)owner, .type = type};
    g_autofree char *key = rrset_key(&question);
    g_hash_table_remove(zone, key);
}

const char *zone_sentinel(GHashTable *zone)
{
    const struct rrset *set = zone_get(zone, KNOT_RRTYPE_TXT, "_signalbox." DNS_ZONE);
    return set == NULL ? NULL : set->rdata[0];
}

static int by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* RFC 2136 3.4.2.2: a record beside a CNAME, or a CNAME beside records, is passed over without a word. */
static bool passed_over(GHashTable *zone, uint16_t type, const char *owner)
{
    if (type == KNOT_RRTYPE_TXT)
        return false;
    if (type != KNOT_RRTYPE_CNAME)
        return zone_get(zone, KNOT_RRTYPE_CNAME, owner) != NULL;
    return zone_get(zone, KNOT_RRTYPE_A, owner) != NULL || zone_get(zone, KNOT_RRTYPE_AAAA, owner) != NULL;
}

static void zone_add(GHashTable *zone, uint16_t type, const char *owner, uint32_t ttl, const char *text)
{
    if (passed_over(zone, type, owner))
        return;
    const struct rrset *old = zone_get(zone, type, owner);
    g_autoptr(GPtrArray) rdata = g_ptr_array_new();
    for (char **data = old == NULL ? NULL : old->rdata; data != NULL && *data != NULL; data++)
        g_ptr_array_add(rdata, *data);
    g_ptr_array_add(rdata, (gpointer)text);
    g_ptr_array_sort(rdata, by_text);
    g_ptr_array_add(rdata, NULL);
    zone_put(zone, rrset_make(owner, type, ttl, (const char *const *)rdata->pdata));
}

/* ---- updates ---- */

static char *owner_of(const knot_rrset_t *record)
{
    char text[KNOT_DNAME_TXT_MAXLEN + 1];
    g_assert(knot_dname_to_str(text, record->owner, sizeof text) != NULL);
    text[strlen(text) - 1] = '\0';
    return g_ascii_strdown(text, -1);
}

static char *text_of(const knot_rrset_t *record)
{
    return rdata_to_text(record->type, record->rrs.rdata->data, record->rrs.rdata->len);
}

static uint8_t judge_prerequisites(GHashTable *zone, const knot_pkt_t *packet)
{
    const knot_pktsection_t *section = knot_pkt_section(packet, KNOT_ANSWER);
    for (uint16_t i = 0; i < section->count; i++) {
        const knot_rrset_t *record = knot_pkt_rr(section, i);
        g_autofree char *owner = owner_of(record);
        const struct rrset *held = zone_get(zone, record->type, owner);
        if (record->rclass == KNOT_CLASS_NONE) {
            if (held != NULL)
                return KNOT_RCODE_YXRRSET;
            continue;
        }
        g_autofree char *text = text_of(record);
        if (held == NULL || strcmp(held->rdata[0], text) != 0 || held->rdata[1] != NULL)
            return KNOT_RCODE_NXRRSET;
    }
    return KNOT_RCODE_NOERROR;
}

static void apply_record(GHashTable *zone, const knot_rrset_t *record)
{
    g_autofree char *owner = owner_of(record);
    if (record->rclass == KNOT_CLASS_ANY) {
        zone_remove(zone, record->type, owner);
        return;
    }
    g_autofree char *text = text_of(record);
    zone_add(zone, record->type, owner, record->ttl, text);
}

static void copy_key(gpointer key, gpointer value, gpointer keys)
{
    (void)value;
    g_hash_table_add(keys, g_strdup(key));
}

static GHashTable *keys_copy(GHashTable *keys)
{
    GHashTable *copy = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_foreach(keys, copy_key, copy);
    return copy;
}

/* Takes zone, which becomes what is shown. */
static void show(struct sim *sim, struct nameserver_node *ns, GHashTable *zone, enum hand hand)
{
    GHashTable *before = ns->zone;
    ns->zone = zone;
    ns->serial++;
    check_zone(sim, ns, before, hand);
    g_hash_table_unref(before);
    if (sim_chance(sim, 10)) {
        g_hash_table_unref(ns->saved);
        g_hash_table_unref(ns->saved_foreign);
        ns->saved = zone_copy(zone);
        ns->saved_foreign = keys_copy(ns->foreign);
        ns->saved_serial = ns->serial;
    }
}

static void apply(struct sim *sim, struct nameserver_node *ns, const knot_pkt_t *packet)
{
    const knot_pktsection_t *section = knot_pkt_section(packet, KNOT_AUTHORITY);
    GHashTable *zone = zone_copy(ns->zone);
    for (uint16_t i = 0; i < section->count; i++) {
        apply_record(zone, knot_pkt_rr(section, i));
        if ((sim->bugs & BUG_NOT_ATOMIC) && knot_pkt_rr(section, i)->type != KNOT_RRTYPE_TXT)
            show(sim, ns, zone_copy(zone), HAND_OURS);
    }
    show(sim, ns, zone, HAND_OURS);
    if (strstr(zone_sentinel(ns->zone), "part") != NULL)
        sim_count(sim, SEEN_update_part);
    sim_trace(sim, "%s: takes an update, the sentinel is \"%s\"", nameserver_name(ns->index), zone_sentinel(ns->zone));
}

static int64_t nameserver_time_s(const struct sim *sim, const struct nameserver_node *ns)
{
    return (WALL_US + sim->now_us + ns->wall_us) / SECOND;
}

/* rcode, and in *tsig the error of the signature. */
static uint8_t judge(struct sim *sim, struct nameserver_node *ns, const knot_pkt_t *packet, uint16_t *tsig)
{
    int64_t signed_s = (int64_t)knot_tsig_rdata_time_signed(packet->tsig_rr);
    *tsig = 0;
    if (ABS(signed_s - nameserver_time_s(sim, ns)) > MESSAGE_FUDGE_S) {
        *tsig = KNOT_RCODE_BADTIME;
        return KNOT_RCODE_NOTAUTH;
    }
    if (ns->fails_until_us > sim->now_us)
        return KNOT_RCODE_SERVFAIL;
    if (ns->refuses_until_us > sim->now_us)
        return KNOT_RCODE_REFUSED;
    uint8_t rcode = judge_prerequisites(ns->zone, packet);
    if (rcode != KNOT_RCODE_NOERROR)
        sim_count(sim, SEEN_prerequisite);
    return sim->bugs & BUG_SENTINEL ? KNOT_RCODE_NOERROR : rcode;
}

static GBytes *signed_answer(const knot_pkt_t *packet, uint8_t rcode, uint16_t tsig)
{
    uint8_t wire[512], mac[MESSAGE_MAC_MAX];
    size_t size = KNOT_WIRE_HEADER_SIZE, mac_size = sizeof mac;
    memcpy(wire, packet->wire, size);
    knot_wire_set_qr(wire);
    knot_wire_set_rcode(wire, rcode);
    memset(wire + 4, 0, 8); /* no records */
    knot_tsig_key_t key;
    dns_key(&key);
    int code = knot_tsig_sign(wire, &size, sizeof wire, knot_tsig_rdata_mac(packet->tsig_rr),
                              knot_tsig_rdata_mac_length(packet->tsig_rr), mac, &mac_size, &key, tsig,
                              knot_tsig_rdata_time_signed(packet->tsig_rr));
    g_assert(code == KNOT_EOK);
    knot_tsig_key_deinit(&key);
    return g_bytes_new(wire, size);
}

static void take_update(struct sim *sim, struct nameserver_node *ns, const struct dns_message *message)
{
    gsize size;
    const void *bytes = g_bytes_get_data(message->wire, &size);
    g_autofree uint8_t *wire = g_memdup2(bytes, size);
    knot_pkt_t *packet = knot_pkt_new(wire, (uint16_t)size, NULL);
    int code = knot_pkt_parse(packet, 0);
    g_assert(code == KNOT_EOK && packet->tsig_rr != NULL);
    uint16_t tsig;
    uint8_t rcode = judge(sim, ns, packet, &tsig);
    if (rcode == KNOT_RCODE_NOERROR)
        apply(sim, ns, packet);
    struct dns_message *answer = dns_message_new(DNS_UPDATE, message->server, ns->index);
    answer->call = message->call;
    answer->fiber = message->fiber;
    answer->answered = true;
    answer->wire = signed_answer(packet, rcode, tsig);
    knot_pkt_free(packet);
    dns_send(sim, answer, dns_answered);
}

/* ---- questions ---- */

static struct rrset *soa(const struct nameserver_node *ns)
{
    g_autofree char *text = g_strdup_printf("ns-1." DNS_ZONE ". admin." DNS_ZONE ". %u 2 2 3600 %d", ns->serial, TTL_S);
    return rrset_make(DNS_ZONE, KNOT_RRTYPE_SOA, TTL_S, (const char *const[]){text, NULL});
}

static void take_query(struct sim *sim, struct nameserver_node *ns, const struct dns_message *message)
{
    struct dns_message *answer = dns_message_new(DNS_QUERY, message->server, ns->index);
    answer->call = message->call;
    answer->fiber = message->fiber;
    answer->answered = true;
    answer->rcode = ns->fails_until_us > sim->now_us ? KNOT_RCODE_SERVFAIL : KNOT_RCODE_NOERROR;
    for (guint i = 0; i < message->sets->len; i++) {
        const struct rrset *question = message->sets->pdata[i];
        const struct rrset *held = zone_get(ns->zone, question->type, question->owner);
        g_ptr_array_add(answer->sets, question->type == KNOT_RRTYPE_SOA ? soa(ns)
                                      : held != NULL                    ? rrset_copy(held)
                                                     : rrset_make(question->owner, question->type, 0, NULL));
    }
    dns_send(sim, answer, dns_answered);
}

/* ---- transfer ---- */

struct transfer {
    unsigned life;
    uint32_t serial;
    GHashTable *zone, *foreign;
};

static void transfer_free(gpointer data)
{
    struct transfer *transfer = data;
    g_hash_table_unref(transfer->zone);
    g_hash_table_unref(transfer->foreign);
    g_free(transfer);
}

static void transfer_ends(struct sim *sim, void *node, void *data)
{
    struct nameserver_node *ns = node;
    const struct transfer *transfer = data;
    if (transfer->life != ns->life || (int32_t)(transfer->serial - ns->serial) <= 0)
        return;
    ns->serial = transfer->serial - 1;
    show(sim, ns, zone_copy(transfer->zone), HAND_TRANSFER);
    g_hash_table_unref(ns->foreign);
    ns->foreign = g_hash_table_ref(transfer->foreign);
    sim_trace(sim, "%s: copies the zone, the sentinel is \"%s\"", nameserver_name(ns->index), zone_sentinel(ns->zone));
}

static bool answers(const struct sim *sim, const struct nameserver_node *ns)
{
    return ns->dead_until_us <= sim->now_us && ns->stopped_until_us <= sim->now_us && ns->cut_until_us <= sim->now_us;
}

static void start_transfer(struct sim *sim, struct nameserver_node *ns)
{
    const struct nameserver_node *primary = &sim->nameservers[nameserver_primary(ns->index)];
    if (!answers(sim, ns) || !answers(sim, primary) || (int32_t)(primary->serial - ns->serial) <= 0)
        return;
    struct transfer *transfer = g_new(struct transfer, 1);
    *transfer = (struct transfer){.life = ns->life, .serial = primary->serial, .zone = zone_copy(primary->zone)};
    transfer->foreign = keys_copy(primary->foreign);
    bool late = ns->late_until_us > sim->now_us;
    sim_at(sim, sim->now_us + sim_random(sim, 1000, late ? 3 * SECOND : 50000), transfer_ends, ns, transfer,
           transfer_free);
}

static void refresh(struct sim *sim, void *node, void *data)
{
    (void)data;
    start_transfer(sim, node);
    sim_at(sim, sim->now_us + REFRESH_US, refresh, node, NULL, NULL);
}

/* ---- life ---- */

void nameserver_take(struct sim *sim, void *node, void *data)
{
    const struct dns_message *message = data;
    struct nameserver_node *ns = &sim->nameservers[message->nameserver];
    (void)node;
    if (ns->dead_until_us > sim->now_us || (message->kind == DNS_UPDATE && message->life != ns->life))
        return;
    if (ns->stopped_until_us > sim->now_us)
        sim_at(sim, ns->stopped_until_us, nameserver_take, NULL, dns_message_copy(data), dns_message_free);
    else if (message->kind == DNS_UPDATE)
        take_update(sim, ns, message);
    else if (message->kind == DNS_QUERY)
        take_query(sim, ns, message);
    else if (!nameserver_is_primary(ns->index))
        start_transfer(sim, ns);
}

void nameserver_restart(struct sim *sim, struct nameserver_node *ns, bool old_zone)
{
    ns->life++;
    ns->dead_until_us = MIN(sim->now_us + sim_random(sim, 10000, SECOND), HEAL_US);
    ns->stopped_until_us = 0;
    sim_trace(sim, "%s restarts%s", nameserver_name(ns->index), old_zone ? " with an older zone" : "");
    if (!old_zone)
        return;
    uint32_t serial = ns->saved_serial;
    g_hash_table_unref(ns->foreign);
    ns->foreign = keys_copy(ns->saved_foreign);
    show(sim, ns, zone_copy(ns->saved), HAND_OLD);
    if (!nameserver_is_primary(ns->index)) /* a primary's serial follows its clock, and never goes back */
        ns->serial = ns->saved_serial = serial;
}

static void collect(gpointer key, gpointer set, gpointer sets)
{
    (void)key;
    g_ptr_array_add(sets, set);
}

/* Somebody else writes, past the sentinel. */
void nameserver_foreign(struct sim *sim, struct nameserver_node *ns)
{
    GHashTable *zone = zone_copy(ns->zone);
    g_autoptr(GPtrArray) sets = g_ptr_array_new();
    g_hash_table_foreach(zone, collect, sets);
    if (sets->len > 0 && sim_chance(sim, 80)) {
        /* The table's order is no function of the seed, so the choice is made by name. */
        g_ptr_array_sort(sets, rrset_order);
        const struct rrset *set = sets->pdata[sim_random(sim, 0, sets->len - 1)];
        g_autofree char *owner = g_strdup(set->owner);
        uint16_t type = set->type;
        sim_trace(sim, "%s: another hand at %s %u", nameserver_name(ns->index), owner, type);
        zone_remove(zone, type, owner);
        if (type == KNOT_RRTYPE_A && sim_chance(sim, 60))
            zone_add(zone, type, owner, TTL_S, "198.51.100.99");
    }
    show(sim, ns, zone, HAND_OTHER);
}

void nameserver_init(struct sim *sim, unsigned index)
{
    struct nameserver_node *ns = &sim->nameservers[index];
    ns->index = index;
    ns->zone = zone_new();
    ns->saved = zone_new();
    ns->serial = ns->saved_serial = nameserver_is_primary(index);
    ns->foreign = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    ns->saved_foreign = keys_copy(ns->foreign);
    ns->past = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
    ns->wall_us = sim_random(sim, -100, 100) * SECOND;
    if (!nameserver_is_primary(index))
        sim_at(sim, REFRESH_US, refresh, ns, NULL, NULL);
}

void nameserver_clear(struct nameserver_node *ns)
{
    g_hash_table_unref(ns->zone);
    g_hash_table_unref(ns->saved);
    g_hash_table_unref(ns->foreign);
    g_hash_table_unref(ns->saved_foreign);
    g_hash_table_unref(ns->past);
}
