#include "dns/message.h"

#include <string.h>

#include "core/error.h"

void message_clear(struct message *message)
{
    g_free(message->wire);
    *message = (struct message){0};
}

knot_pkt_t *message_begin(const char *zone, uint8_t opcode, uint16_t id, const knot_tsig_key_t *key)
{
    knot_dname_storage_t apex;
    if (knot_dname_from_str(apex, zone, sizeof apex) == NULL)
        return NULL;
    knot_pkt_t *packet = knot_pkt_new(NULL, MESSAGE_SIZE_MAX, NULL);
    knot_pkt_clear(packet);
    knot_wire_set_id(packet->wire, id);
    knot_wire_set_opcode(packet->wire, opcode);
    if (knot_pkt_put_question(packet, apex, KNOT_CLASS_IN, KNOT_RRTYPE_SOA) != KNOT_EOK ||
        knot_pkt_reserve(packet, (uint16_t)knot_tsig_wire_size(key)) != KNOT_EOK) {
        knot_pkt_free(packet);
        return NULL;
    }
    return packet;
}

static void append_number(GByteArray *bytes, uint64_t number, unsigned size)
{
    for (unsigned i = size; i > 0; i--) {
        uint8_t byte = (uint8_t)(number >> (8 * (i - 1)));
        g_byte_array_append(bytes, &byte, 1);
    }
}

/* RFC 8945 4.3.3: what is signed behind the message. */
static GByteArray *tsig_variables(const knot_tsig_key_t *key, const uint8_t *algorithm, uint64_t time_s)
{
    GByteArray *bytes = g_byte_array_new();
    knot_dname_storage_t name;
    (void)!knot_dname_store(name, key->name);
    knot_dname_to_lower(name);
    g_byte_array_append(bytes, name, (guint)knot_dname_size(name));
    append_number(bytes, KNOT_CLASS_ANY, 2);
    append_number(bytes, 0, 4); /* TTL */
    g_byte_array_append(bytes, algorithm, (guint)knot_dname_size(algorithm));
    append_number(bytes, time_s, 6);
    append_number(bytes, MESSAGE_FUDGE_S, 2);
    append_number(bytes, 0, 2); /* error */
    append_number(bytes, 0, 2); /* size of other data */
    return bytes;
}

static bool tsig_mac(const knot_tsig_key_t *key, const uint8_t *wire, size_t size, const GByteArray *variables,
                     uint8_t mac[static MESSAGE_MAC_MAX], size_t *mac_size)
{
    dnssec_tsig_ctx_t *context = NULL;
    if (dnssec_tsig_new(&context, key->algorithm, &key->secret) != 0)
        return false;
    dnssec_binary_t message = {.size = size, .data = (uint8_t *)wire};
    dnssec_binary_t rest = {.size = variables->len, .data = variables->data};
    *mac_size = dnssec_tsig_size(context);
    bool ok = *mac_size <= MESSAGE_MAC_MAX && dnssec_tsig_add(context, &message) == 0 &&
              dnssec_tsig_add(context, &rest) == 0 && dnssec_tsig_write(context, mac) == 0;
    dnssec_tsig_free(context);
    return ok;
}

static int tsig_append(knot_pkt_t *packet, const knot_tsig_key_t *key, const uint8_t *algorithm, uint64_t time_s,
                       const struct message *message)
{
    knot_rrset_t record;
    knot_rrset_init(&record, key->name, KNOT_RRTYPE_TSIG, KNOT_CLASS_ANY, 0);
    int code = knot_tsig_create_rdata(&record, algorithm, (uint16_t)message->mac_size, 0);
    if (code == KNOT_EOK) {
        knot_tsig_rdata_set_time_signed(&record, time_s);
        knot_tsig_rdata_set_fudge(&record, MESSAGE_FUDGE_S);
        knot_tsig_rdata_set_orig_id(&record, message->id);
        knot_tsig_rdata_set_mac(&record, (uint16_t)message->mac_size, message->mac);
        code = knot_tsig_append(packet->wire, &packet->size, packet->max_size, &record);
    }
    knot_rdataset_clear(&record.rrs, NULL);
    return code;
}

bool message_sign(knot_pkt_t *packet, const knot_tsig_key_t *key, uint64_t time_s, struct message *out, GError **error)
{
    const uint8_t *algorithm = dnssec_tsig_algorithm_to_dname(key->algorithm);
    g_autoptr(GByteArray) variables = tsig_variables(key, algorithm, time_s);
    struct message message = {.id = knot_wire_get_id(packet->wire)};
    knot_pkt_reclaim(packet, (uint16_t)knot_tsig_wire_size(key));
    bool ok = tsig_mac(key, packet->wire, packet->size, variables, message.mac, &message.mac_size) &&
              tsig_append(packet, key, algorithm, time_s, &message) == KNOT_EOK;
    if (ok) {
        message.size = packet->size;
        message.wire = g_memdup2(packet->wire, packet->size);
        *out = message;
    } else {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "a message of %zu bytes can't be signed", packet->size);
    }
    knot_pkt_free(packet);
    return ok;
}
