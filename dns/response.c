#include "dns/response.h"

#include <inttypes.h>
#include <string.h>

const char *update_outcome_name(enum update_outcome outcome)
{
    static const char *const names[] = {"applied", "conflict", "rejected", "unknown"};
    return names[outcome];
}

/* Parsed copy of an answer, or NULL. */
static knot_pkt_t *parse(const struct message *request, const uint8_t *wire, size_t size)
{
    if (size < KNOT_WIRE_HEADER_SIZE || size > MESSAGE_SIZE_MAX || knot_wire_get_id(wire) != request->id ||
        !knot_wire_get_qr(wire) || knot_wire_get_opcode(wire) != knot_wire_get_opcode(request->wire))
        return NULL;
    knot_pkt_t *packet = knot_pkt_new(NULL, (uint16_t)size, NULL);
    memcpy(packet->wire, wire, size);
    packet->size = size;
    if (knot_pkt_parse(packet, 0) != KNOT_EOK) {
        knot_pkt_free(packet);
        return NULL;
    }
    return packet;
}

static bool verify(const struct message *request, const knot_tsig_key_t *key, const knot_pkt_t *packet)
{
    return packet->tsig_rr != NULL && knot_tsig_client_check(packet->tsig_rr, packet->wire, packet->size, request->mac,
                                                             request->mac_size, key, 0) == KNOT_EOK;
}

/* RFC 8945 5.2.3: the answer repeats the request's time and has the server's own in other data, 48 bits. */
static char *skew_reason(const knot_rrset_t *tsig)
{
    if (knot_tsig_rdata_other_data_length(tsig) != 6)
        return g_strdup("clock skew: the server refuses our time and does not say its own");
    const uint8_t *bytes = knot_tsig_rdata_other_data(tsig);
    uint64_t theirs = 0, ours = knot_tsig_rdata_time_signed(tsig);
    for (unsigned i = 0; i < 6; i++)
        theirs = theirs << 8 | bytes[i];
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_utc((gint64)theirs);
    g_autofree char *text = date != NULL ? g_date_time_format_iso8601(date) : g_strdup("?");
    return g_strdup_printf("clock skew: the server's time is %s, %" PRIu64 " s %s ours; at most %d s are allowed; "
                           "set the clock that is wrong",
                           text, theirs > ours ? theirs - ours : ours - theirs, theirs > ours ? "after" : "before",
                           MESSAGE_FUDGE_S);
}

static char *key_name(const knot_tsig_key_t *key)
{
    char text[KNOT_DNAME_TXT_MAXLEN + 1];
    return g_strdup(knot_dname_to_str(text, key->name, sizeof text) != NULL ? text : "?");
}

static char *not_authorised_reason(const knot_pkt_t *packet, const knot_tsig_key_t *key, const char *zone)
{
    g_autofree char *name = key_name(key);
    switch (packet->tsig_rr != NULL ? knot_tsig_rdata_error(packet->tsig_rr) : 0) {
    case KNOT_RCODE_BADTIME:
        return skew_reason(packet->tsig_rr);
    case KNOT_RCODE_BADSIG:
        return g_strdup_printf("wrong secret: the server has another one for key %s; give both the same", name);
    case KNOT_RCODE_BADKEY: /* Knot says this where the ACL is at fault, too: see driver_permission.c */
        return g_strdup_printf("unknown key: the server has no key %s for %s; add the key to its "
                               "configuration and to the access list of the zone",
                               name, zone);
    default:
        return g_strdup_printf("unknown zone: the server is no primary of %s; add the zone there, or mend the address",
                               zone);
    }
}

static char *rejection_reason(const knot_pkt_t *packet, const knot_tsig_key_t *key, const char *zone)
{
    uint8_t rcode = knot_wire_get_rcode(packet->wire);
    switch (rcode) {
    case KNOT_RCODE_NOTAUTH:
        return not_authorised_reason(packet, key, zone);
    case KNOT_RCODE_REFUSED: {
        g_autofree char *name = key_name(key);
        return g_strdup_printf("access list: the server refuses us %s with key %s; allow the key there (primaries: to "
                               "update A, AAAA, CNAME and TXT), or thaw the zone if it is frozen",
                               zone, name);
    }
    case KNOT_RCODE_NOTZONE:
        return g_strdup_printf("not allowed: a name of the update is outside of %s for the server", zone);
    case KNOT_RCODE_NOTIMPL:
        return g_strdup("not allowed: the server does not take updates");
    case KNOT_RCODE_SERVFAIL:
        return g_strdup("the server failed (SERVFAIL)");
    default:
        return g_strdup_printf("the server answered rcode %u", rcode);
    }
}

static enum update_outcome judge(const struct message *request, const knot_tsig_key_t *key, const char *zone,
                                 const knot_pkt_t *packet, char **reason)
{
    enum update_outcome outcome;
    switch (knot_wire_get_rcode(packet->wire)) {
    case KNOT_RCODE_NOERROR:
        outcome = UPDATE_APPLIED;
        break;
    case KNOT_RCODE_NXRRSET:
    case KNOT_RCODE_YXRRSET:
    case KNOT_RCODE_NXDOMAIN:
    case KNOT_RCODE_YXDOMAIN:
        outcome = UPDATE_CONFLICT;
        break;
    default:
        *reason = rejection_reason(packet, key, zone);
        return UPDATE_REJECTED;
    }
    if (verify(request, key, packet))
        return outcome;
    *reason = g_strdup("the answer is not signed by the key");
    return UPDATE_UNKNOWN;
}

enum update_outcome response_judge(const struct message *request, const knot_tsig_key_t *key, const char *zone,
                                   const uint8_t *wire, size_t size, char **reason)
{
    *reason = NULL;
    knot_pkt_t *packet = parse(request, wire, size);
    if (packet == NULL) {
        *reason = g_strdup_printf("%zu bytes came that are no answer to the update", size);
        return UPDATE_UNKNOWN;
    }
    enum update_outcome outcome = judge(request, key, zone, packet, reason);
    knot_pkt_free(packet);
    return outcome;
}

enum response_cause response_cause(const struct message *request, const uint8_t *wire, size_t size)
{
    knot_pkt_t *packet = parse(request, wire, size);
    enum response_cause cause = RESPONSE_OTHER;
    if (packet != NULL && knot_wire_get_rcode(packet->wire) == KNOT_RCODE_REFUSED)
        cause = RESPONSE_REFUSED;
    else if (packet != NULL && knot_wire_get_rcode(packet->wire) == KNOT_RCODE_NOTAUTH && packet->tsig_rr != NULL &&
             knot_tsig_rdata_error(packet->tsig_rr) == KNOT_RCODE_BADKEY)
        cause = RESPONSE_BADKEY;
    knot_pkt_free(packet);
    return cause;
}

bool response_verified(const struct message *request, const knot_tsig_key_t *key, const uint8_t *wire, size_t size,
                       uint8_t *rcode)
{
    knot_pkt_t *packet = parse(request, wire, size);
    bool ok = packet != NULL && verify(request, key, packet);
    if (ok)
        *rcode = knot_wire_get_rcode(packet->wire);
    knot_pkt_free(packet);
    return ok;
}

char *response_refusal(const struct message *request, const knot_tsig_key_t *key, const char *zone, const uint8_t *wire,
                       size_t size)
{
    knot_pkt_t *packet = parse(request, wire, size);
    char *refusal = packet != NULL && knot_wire_get_rcode(packet->wire) != KNOT_RCODE_NOERROR
                        ? rejection_reason(packet, key, zone)
                        : NULL;
    knot_pkt_free(packet);
    return refusal;
}
