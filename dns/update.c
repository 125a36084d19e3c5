#include "dns/update.h"

#include <assert.h>
#include <string.h>

#include "core/error.h"
#include "schema/fence.h"

/* ---- plan ---- */

bool update_same(const struct rrset *a, const struct rrset *b)
{
    return rrset_absent(a) || rrset_absent(b) ? rrset_absent(a) && rrset_absent(b) : rrset_equal(a, b);
}

static bool differs(const struct rrset *expected, GHashTable *seen)
{
    g_autofree char *key = rrset_key(expected);
    const struct rrset *found = g_hash_table_lookup(seen, key);
    assert(found != NULL);
    return !update_same(expected, found);
}

/* Bytes of a set in an update at most: owners end in a pointer to the zone's name, data is counted in full. */
static unsigned set_bytes(const struct rrset *set, const char *zone)
{
    unsigned owner = (unsigned)(strlen(set->owner) - strlen(zone)) + 2, bytes = owner + 10;
    for (char **text = set->rdata; *text != NULL; text++) {
        uint8_t wire[RDATA_WIRE_SIZE];
        uint16_t size = 0;
        rdata_to_wire(set->type, *text, wire, &size);
        bytes += owner + 10 + size;
    }
    return bytes;
}

/* Where a name's changes go in a plan. A CNAME comes after what it points at, and goes before it. */
enum turn { ADDRESSES_STAY, CNAMES_STAY, CNAMES_GO, ADDRESSES_GO, TURNS };

/* Appends the changes of the name that starts at `first`; returns where the next one starts. */
static unsigned take_name(const GPtrArray *expected, unsigned first, GHashTable *seen, GPtrArray *turns[static TURNS])
{
    const char *owner = ((struct rrset *)expected->pdata[first])->owner;
    unsigned end = first;
    bool wanted = false, points = false;
    for (; end < expected->len && strcmp(((struct rrset *)expected->pdata[end])->owner, owner) == 0; end++) {
        const struct rrset *set = expected->pdata[end];
        wanted = wanted || !rrset_absent(set);
        points = points || (set->type == KNOT_RRTYPE_CNAME && (!rrset_absent(set) || differs(set, seen)));
    }
    GPtrArray *turn = turns[wanted ? points ? CNAMES_STAY : ADDRESSES_STAY : points ? CNAMES_GO : ADDRESSES_GO];
    for (unsigned i = first; i < end; i++)
        if (differs(expected->pdata[i], seen))
            g_ptr_array_add(turn, expected->pdata[i]);
    return end;
}

static bool cut_batches(struct update_plan *plan, unsigned first, unsigned end, bool removes, const char *zone,
                        unsigned bytes_max, GError **error)
{
    struct update_batch batch = {first, 0, removes};
    unsigned bytes = 0;
    while (batch.first + batch.n < end) {
        unsigned name_first = batch.first + batch.n, name_n = 0, name_bytes = 0;
        const char *owner = ((struct rrset *)plan->changes->pdata[name_first])->owner;
        for (unsigned i = name_first; i < end; i++, name_n++) {
            const struct rrset *set = plan->changes->pdata[i];
            if (strcmp(set->owner, owner) != 0)
                break;
            name_bytes += set_bytes(set, zone);
        }
        if (name_bytes > bytes_max) {
            g_set_error(error, SB_ERROR, SB_ERROR_TOO_LARGE, "the records of %s take %u bytes, the limit is %u", owner,
                        name_bytes, bytes_max);
            return false;
        }
        if (bytes + name_bytes > bytes_max) {
            g_array_append_val(plan->batches, batch);
            batch = (struct update_batch){name_first, 0, removes};
            bytes = 0;
        }
        batch.n += name_n;
        bytes += name_bytes;
    }
    if (batch.n > 0)
        g_array_append_val(plan->batches, batch);
    return true;
}

struct update_plan *update_plan_new(const GPtrArray *expected, GHashTable *seen, const char *zone, unsigned bytes_max,
                                    GError **error)
{
    struct update_plan *plan = g_new0(struct update_plan, 1);
    plan->changes = g_ptr_array_new();
    plan->batches = g_array_new(FALSE, FALSE, sizeof(struct update_batch));
    GPtrArray *turns[TURNS];
    for (unsigned i = 0; i < TURNS; i++)
        turns[i] = g_ptr_array_new();
    for (unsigned i = 0; i < expected->len;)
        i = take_name(expected, i, seen, turns);
    unsigned n_stays = turns[ADDRESSES_STAY]->len + turns[CNAMES_STAY]->len;
    for (unsigned i = 0; i < TURNS; i++) {
        g_ptr_array_extend(plan->changes, turns[i], NULL, NULL);
        g_ptr_array_unref(turns[i]);
    }
    if (!cut_batches(plan, 0, n_stays, false, zone, bytes_max, error) ||
        !cut_batches(plan, n_stays, plan->changes->len, true, zone, bytes_max, error)) {
        update_plan_free(plan);
        return NULL;
    }
    return plan;
}

unsigned update_share(const GPtrArray *expected, GHashTable *seen, unsigned *touched)
{
    unsigned names = 0;
    *touched = 0;
    for (unsigned i = 0; i < expected->len;) {
        const char *owner = ((struct rrset *)expected->pdata[i])->owner;
        bool there = false, other = false;
        for (; i < expected->len && strcmp(((struct rrset *)expected->pdata[i])->owner, owner) == 0; i++) {
            g_autofree char *key = rrset_key(expected->pdata[i]);
            const struct rrset *found = g_hash_table_lookup(seen, key);
            there = there || !rrset_absent(found);
            other = other || !update_same(expected->pdata[i], found);
        }
        names += there;
        *touched += there && other;
    }
    return names;
}

void update_plan_free(struct update_plan *plan)
{
    g_ptr_array_unref(plan->changes);
    g_array_unref(plan->batches);
    g_free(plan);
}

/* ---- message ---- */

/* Puts one record; data NULL: none, as deletions and "must not exist" have it. */
static bool put(knot_pkt_t *packet, const char *owner, uint16_t type, uint16_t class, uint32_t ttl, const uint8_t *data,
                uint16_t size)
{
    knot_dname_storage_t name;
    if (knot_dname_from_str(name, owner, sizeof name) == NULL)
        return false;
    knot_rrset_t record;
    knot_rrset_init(&record, name, type, class, ttl);
    bool ok = knot_rrset_add_rdata(&record, data, size, NULL) == KNOT_EOK &&
              knot_pkt_put(packet, KNOT_COMPR_HINT_NONE, &record, 0) == KNOT_EOK;
    knot_rdataset_clear(&record.rrs, NULL);
    return ok;
}

static bool put_text(knot_pkt_t *packet, const char *owner, const char *text)
{
    size_t len = strlen(text);
    if (len > UINT8_MAX)
        return false;
    uint8_t data[UINT8_MAX + 1] = {(uint8_t)len};
    memcpy(data + 1, text, len);
    return put(packet, owner, KNOT_RRTYPE_TXT, KNOT_CLASS_IN, 0, data, (uint16_t)(len + 1));
}

static bool put_prerequisite(knot_pkt_t *packet, const char *sentinel, const char *held)
{
    knot_pkt_begin(packet, KNOT_ANSWER);
    if (held == NULL) /* RFC 2136 2.4.3: the set does not exist */
        return put(packet, sentinel, KNOT_RRTYPE_TXT, KNOT_CLASS_NONE, 0, NULL, 0);
    return put_text(packet, sentinel, held); /* 2.4.2: it exists with this value */
}

/* RFC 2136 2.5.2 and 2.5.1: deletes the set, then adds its records. */
static bool put_set(knot_pkt_t *packet, const struct rrset *set)
{
    if (!put(packet, set->owner, set->type, KNOT_CLASS_ANY, 0, NULL, 0))
        return false;
    for (char **text = set->rdata; *text != NULL; text++) {
        uint8_t wire[RDATA_WIRE_SIZE];
        uint16_t size;
        if (!rdata_to_wire(set->type, *text, wire, &size) ||
            !put(packet, set->owner, set->type, KNOT_CLASS_IN, set->ttl, wire, size))
            return false;
    }
    return true;
}

static bool put_update(knot_pkt_t *packet, const struct update *update, const char *sentinel)
{
    if (!put_prerequisite(packet, sentinel, update->held))
        return false;
    knot_pkt_begin(packet, KNOT_AUTHORITY);
    for (unsigned i = 0; i < update->n; i++)
        if (!put_set(packet, update->sets[i]))
            return false;
    return update->next == NULL || (put(packet, sentinel, KNOT_RRTYPE_TXT, KNOT_CLASS_ANY, 0, NULL, 0) &&
                                    put_text(packet, sentinel, update->next));
}

bool update_encode(const struct update *update, uint16_t id, const knot_tsig_key_t *key, uint64_t time_s,
                   struct message *out, GError **error)
{
    g_autofree char *sentinel = fence_owner(update->zone);
    knot_pkt_t *packet = message_begin(update->zone, KNOT_OPCODE_UPDATE, id, key);
    if (packet == NULL || !put_update(packet, update, sentinel)) {
        g_set_error(error, SB_ERROR, SB_ERROR_TOO_LARGE, "an update of %u sets in zone %s can't be encoded", update->n,
                    update->zone);
        knot_pkt_free(packet);
        return false;
    }
    return message_sign(packet, key, time_s, out, error);
}
