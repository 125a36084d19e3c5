/* The pure parts of dns/: sentinel, expectations, plans, messages, answers. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <libknot/libknot.h>

#include "core/error.h"
#include "schema/fence.h"
#include "dns/records.h"
#include "dns/response.h"
#include "dns/update.h"
#include "tests/unit/unit.h"

#define ZONE "example.test"
#define SECRET "Zm9yIHRlc3RzIG9ubHksIDMyIGJ5dGVzIG9mIGtleSEh"

static struct zone_records *records_new(void)
{
    struct zone_records *records = g_new0(struct zone_records, 1);
    records->zone = g_strdup(ZONE);
    records->rrsets = g_ptr_array_new_with_free_func((GDestroyNotify)rrset_delete);
    return records;
}

static void add(struct zone_records *records, const char *owner, uint16_t type, const char *const *rdata)
{
    g_ptr_array_add(records->rrsets, rrset_make(owner, type, 5, rdata));
}
#define DATA(...) ((const char *const[]){__VA_ARGS__, NULL})

static knot_tsig_key_t test_key(const char *secret)
{
    knot_tsig_key_t key;
    ck_assert_int_eq(knot_tsig_key_init(&key, "hmac-sha256", "Signalbox", secret), KNOT_EOK);
    return key;
}

/* ---- sentinel ---- */

START_TEST(sentinel_texts)
{
    static const char *const good[] = {"0 0", "65537 1", "18446744073709551615 18446744073709551615", "3 4 part 1/2"};
    static const char *const bad[] = {"",
                                      " 1 2",
                                      "1",
                                      "1  2",
                                      "1 2 ",
                                      "+1 2",
                                      "01 2",
                                      "1 2 part 0/2",
                                      "1 2 part 2/2",
                                      "1 2 part 1/2 ",
                                      "1 -2",
                                      "1 2\", \"1 3",
                                      "18446744073709551616 0",
                                      "1 2 part 1/4294967296"};
    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        struct fence fence;
        char text[FENCE_TEXT_SIZE];
        ck_assert_msg(fence_parse(good[i], &fence), "%s", good[i]);
        ck_assert_str_eq(fence_format(&fence, text), good[i]);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        struct fence fence;
        ck_assert_msg(!fence_parse(bad[i], &fence), "%s", bad[i]);
    }
}
END_TEST

START_TEST(sentinel_verdicts)
{
    struct fence held = {.stamp = {5, 7}};
    ck_assert_int_eq(fence_judge(NULL, (struct stamp){5, 7}), FENCE_CLAIM);
    ck_assert_int_eq(fence_judge(&held, (struct stamp){6, 1}), FENCE_CLAIM);
    ck_assert_int_eq(fence_judge(&held, (struct stamp){5, 7}), FENCE_OURS);
    ck_assert_int_eq(fence_judge(&held, (struct stamp){5, 8}), FENCE_OURS);
    ck_assert_int_eq(fence_judge(&held, (struct stamp){5, 6}), FENCE_OLDER_THAN_HELD);
    ck_assert_int_eq(fence_judge(&held, (struct stamp){4, 99}), FENCE_LOST);
    ck_assert(fence_settled(&held, (struct stamp){5, 7}));
    held.part = 1, held.parts = 2;
    ck_assert(!fence_settled(&held, (struct stamp){5, 7}));
}
END_TEST

/* ---- expectations ---- */

static void assert_refused(const struct zone_records *records, const GPtrArray *previous, const char *expected)
{
    GError *error = NULL;
    ck_assert_ptr_null(records_expect(records, previous, true, &error));
    ck_assert(g_error_matches(error, SB_ERROR, SB_ERROR_REFUSED));
    ck_assert_msg(strstr(error->message, expected) != NULL, "%s", error->message);
    g_clear_error(&error);
}

static void assert_set_refused(const char *owner, uint16_t type, const char *const *rdata, const char *expected)
{
    struct zone_records *records = records_new();
    add(records, "ok.example.test", KNOT_RRTYPE_A, DATA("192.0.2.1"));
    add(records, owner, type, rdata);
    assert_refused(records, NULL, expected);
    zone_records_free(records);
}

START_TEST(bad_sets_are_refused)
{
    char label[65], long_owner[100];
    memset(label, 'a', 64), label[64] = '\0';
    snprintf(long_owner, sizeof long_owner, "%s.example.test", label);
    assert_set_refused("www.example.test", KNOT_RRTYPE_A, NULL, "would empty the name");
    assert_set_refused("www.example.org", KNOT_RRTYPE_A, DATA("192.0.2.1"), "not in the zone");
    assert_set_refused("wwwexample.test", KNOT_RRTYPE_A, DATA("192.0.2.1"), "not in the zone");
    assert_set_refused("_signalbox.example.test", KNOT_RRTYPE_A, DATA("192.0.2.1"), "sentinel");
    assert_set_refused("WWW.example.test", KNOT_RRTYPE_A, DATA("192.0.2.1"), "not a name");
    assert_set_refused("w\\046w.example.test", KNOT_RRTYPE_A, DATA("192.0.2.1"), "not a name");
    assert_set_refused("*.example.test", KNOT_RRTYPE_A, DATA("192.0.2.1"), "not a name");
    assert_set_refused(long_owner, KNOT_RRTYPE_A, DATA("192.0.2.1"), "not a name");
    assert_set_refused("www.example.test", KNOT_RRTYPE_A, DATA("192.0.2.256"), "\"192.0.2.256\" is no data");
    assert_set_refused("www.example.test", KNOT_RRTYPE_AAAA, DATA("192.0.2.1"), "is no data");
    assert_set_refused("www.example.test", KNOT_RRTYPE_TXT, DATA("text"), "is no data");
    assert_set_refused("www.example.test", KNOT_RRTYPE_CNAME, DATA("a;b"), "is no data");
    assert_set_refused("www.example.test", KNOT_RRTYPE_CNAME, DATA("a.test", "b.test"), "one target");
    assert_set_refused("ok.example.test", KNOT_RRTYPE_A, DATA("192.0.2.2"), "named twice");
    assert_set_refused("ok.example.test", KNOT_RRTYPE_CNAME, DATA("a.test"), "can't hold other data");
}
END_TEST

START_TEST(removals_are_guarded)
{
    struct zone_records *records = records_new(), *next = records_new(), *none = records_new();
    add(records, "www.example.test", KNOT_RRTYPE_CNAME, DATA("p.example.test"));
    add(records, "p.example.test", KNOT_RRTYPE_A, DATA("192.0.2.2", "192.0.2.1"));
    g_autoptr(GPtrArray) expected = records_expect(records, NULL, true, NULL);
    ck_assert_uint_eq(expected->len, 3); /* p: no AAAA, A; www: CNAME */
    ck_assert(rrset_absent(expected->pdata[0]));
    ck_assert_str_eq(((struct rrset *)expected->pdata[1])->rdata[0], "192.0.2.1");
    assert_refused(none, expected, "nothing is desired");
    add(next, "www.example.test", KNOT_RRTYPE_CNAME, DATA("p.example.test"));
    assert_refused(next, expected,
                   "p.example.test would lose all its records, and www.example.test still points at it");
    g_ptr_array_set_size(next->rrsets, 0);
    add(next, "q.example.test", KNOT_RRTYPE_A, DATA("192.0.2.1"));
    g_autoptr(GPtrArray) after = records_expect(next, expected, true, NULL);
    ck_assert_uint_eq(after->len, 4); /* p: no A; q: no AAAA, A; www: no CNAME */
    g_autoptr(GPtrArray) later = records_expect(next, after, false, NULL);
    ck_assert_uint_eq(later->len, 4); /* not confirmed: still to go */
    g_autoptr(GPtrArray) last = records_expect(next, after, true, NULL);
    ck_assert_uint_eq(last->len, 2);
    zone_records_free(records), zone_records_free(next), zone_records_free(none);
}
END_TEST

/* ---- plans ---- */

/* A server that shows `shown`, and nothing else. */
static GHashTable *server_with(const GPtrArray *shown, const GPtrArray *asked)
{
    GHashTable *seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)rrset_delete);
    for (unsigned i = 0; i < asked->len; i++) {
        const struct rrset *set = asked->pdata[i];
        g_hash_table_replace(seen, rrset_key(set), rrset_make(set->owner, set->type, 0, NULL));
    }
    for (unsigned i = 0; shown != NULL && i < shown->len; i++) {
        const struct rrset *set = shown->pdata[i];
        g_hash_table_replace(seen, rrset_key(set),
                             rrset_make(set->owner, set->type, set->ttl, (const char *const *)set->rdata));
    }
    return seen;
}

START_TEST(equal_needs_nothing)
{
    struct zone_records *records = records_new();
    add(records, "www.example.test", KNOT_RRTYPE_A, DATA("192.0.2.2", "192.0.2.1"));
    g_autoptr(GPtrArray) expected = records_expect(records, NULL, true, NULL);
    g_autoptr(GHashTable) seen = server_with(expected, expected);
    sb_auto(update_plan) plan = update_plan_new(expected, seen, ZONE, UPDATE_BYTES_MAX, NULL);
    ck_assert_uint_eq(plan->changes->len, 0);
    ck_assert_uint_eq(plan->batches->len, 0);
    zone_records_free(records);
}
END_TEST

START_TEST(shares_are_of_what_is_there)
{
    struct zone_records *records = records_new();
    add(records, "a.example.test", KNOT_RRTYPE_A, DATA("192.0.2.1"));
    add(records, "a.example.test", KNOT_RRTYPE_AAAA, DATA("2001:db8::1"));
    add(records, "b.example.test", KNOT_RRTYPE_A, DATA("192.0.2.1"));
    g_autoptr(GPtrArray) before = records_expect(records, NULL, true, NULL);
    zone_records_free(records);
    records = records_new(); /* a changes with both its sets, b goes, c comes */
    add(records, "a.example.test", KNOT_RRTYPE_A, DATA("192.0.2.2"));
    add(records, "a.example.test", KNOT_RRTYPE_AAAA, DATA("2001:db8::2"));
    add(records, "c.example.test", KNOT_RRTYPE_A, DATA("192.0.2.1"));
    g_autoptr(GPtrArray) after = records_expect(records, before, true, NULL);
    zone_records_free(records);
    g_autoptr(GHashTable) seen = server_with(before, after);
    unsigned touched;
    ck_assert_uint_eq(update_share(after, seen, &touched), 2);
    ck_assert_uint_eq(touched, 2);
    ck_assert(!zone_guard_stops(100, 100)); /* so many always may */
    ck_assert(zone_guard_stops(101, 101));
    ck_assert(!zone_guard_stops(300, 1000));
    ck_assert(zone_guard_stops(301, 1000));
    ck_assert(!zone_guard_stops(0, 0));
}
END_TEST

START_TEST(removals_come_last)
{
    struct zone_records *before = records_new(), *after = records_new();
    add(before, "a.example.test", KNOT_RRTYPE_A, DATA("192.0.2.1"));
    add(before, "www.example.test", KNOT_RRTYPE_CNAME, DATA("a.example.test"));
    add(after, "b.example.test", KNOT_RRTYPE_A, DATA("192.0.2.2"));
    add(after, "www.example.test", KNOT_RRTYPE_A, DATA("192.0.2.2"));
    g_autoptr(GPtrArray) old = records_expect(before, NULL, true, NULL);
    g_autoptr(GPtrArray) new = records_expect(after, old, true, NULL);
    g_autoptr(GHashTable) seen = server_with(old, new);
    sb_auto(update_plan) plan = update_plan_new(new, seen, ZONE, UPDATE_BYTES_MAX, NULL);
    static const char *const order[] = {"1 b.example.test", "5 www.example.test", "1 www.example.test",
                                        "1 a.example.test"};
    ck_assert_uint_eq(plan->changes->len, G_N_ELEMENTS(order));
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        g_autofree char *key = rrset_key(plan->changes->pdata[i]);
        ck_assert_str_eq(key, order[i]);
    }
    ck_assert_uint_eq(plan->batches->len, 2);
    struct update_batch last = g_array_index(plan->batches, struct update_batch, 1);
    ck_assert(last.removes && last.first == 3 && last.n == 1);
    zone_records_free(before), zone_records_free(after);
}
END_TEST

/* Whatever the names: an address is there before a CNAME points at it, and goes after the CNAME. */
START_TEST(cname_after_its_target)
{
    struct zone_records *none = records_new(), *both = records_new();
    add(none, "z.example.test", KNOT_RRTYPE_A, DATA("192.0.2.9"));
    add(both, "a.example.test", KNOT_RRTYPE_CNAME, DATA("m.example.test"));
    add(both, "m.example.test", KNOT_RRTYPE_A, DATA("192.0.2.1"));
    add(both, "m.example.test", KNOT_RRTYPE_AAAA, DATA("2001:db8::1"));
    add(both, "z.example.test", KNOT_RRTYPE_A, DATA("192.0.2.9"));
    g_autoptr(GPtrArray) come = records_expect(both, NULL, true, NULL);
    g_autoptr(GHashTable) empty = server_with(NULL, come);
    sb_auto(update_plan) coming = update_plan_new(come, empty, ZONE, UPDATE_BYTES_MAX, NULL);
    ck_assert_str_eq(((struct rrset *)coming->changes->pdata[0])->owner, "m.example.test");
    ck_assert_str_eq(((struct rrset *)coming->changes->pdata[coming->changes->len - 1])->owner, "a.example.test");
    g_autoptr(GPtrArray) go = records_expect(none, come, true, NULL);
    g_autoptr(GHashTable) whole = server_with(come, go);
    sb_auto(update_plan) going = update_plan_new(go, whole, ZONE, UPDATE_BYTES_MAX, NULL);
    ck_assert_str_eq(((struct rrset *)going->changes->pdata[0])->owner, "a.example.test");
    ck_assert_str_eq(((struct rrset *)going->changes->pdata[going->changes->len - 1])->owner, "m.example.test");
    zone_records_free(none), zone_records_free(both);
}
END_TEST

/* 10,000 names with owners of every length: no message over 64 KiB, no name in two messages. */
START_TEST(batches_by_bytes)
{
    struct zone_records *records = records_new();
    for (unsigned i = 0; i < 10000; i++) {
        char owner[100], v6[40];
        snprintf(owner, sizeof owner, "%0*u.%0*u.example.test", (int)(5 + i % 40), i, (int)(5 + i % 35), i);
        snprintf(v6, sizeof v6, "2001:db8::%x", i + 1);
        add(records, owner, KNOT_RRTYPE_A, DATA("192.0.2.1", "192.0.2.2"));
        add(records, owner, KNOT_RRTYPE_AAAA, DATA(v6));
    }
    knot_tsig_key_t key = test_key(SECRET);
    g_autoptr(GPtrArray) expected = records_expect(records, NULL, true, NULL);
    g_autoptr(GHashTable) seen = server_with(NULL, expected);
    sb_auto(update_plan) plan = update_plan_new(expected, seen, ZONE, UPDATE_BYTES_MAX, NULL);
    ck_assert_uint_eq(plan->changes->len, 20000);
    unsigned next = 0;
    for (unsigned i = 0; i < plan->batches->len; i++) {
        struct update_batch batch = g_array_index(plan->batches, struct update_batch, i);
        ck_assert_uint_eq(batch.first, next);
        next += batch.n;
        ck_assert(batch.n % 2 == 0 && batch.first % 2 == 0);
        struct update update = {ZONE, "1 1 part 1/2", "1 1", (struct rrset *const *)plan->changes->pdata + batch.first,
                                batch.n};
        struct message message = {0};
        ck_assert(update_encode(&update, 1, &key, 1, &message, NULL));
        ck_assert_uint_le(message.size, UPDATE_BYTES_MAX + 500);
        if (i + 1 < plan->batches->len) /* repeated owners are counted in full, and compressed */
            ck_assert_uint_ge(message.size, UPDATE_BYTES_MAX / 3);
        message_clear(&message);
    }
    ck_assert_uint_eq(next, 20000);
    GError *error = NULL;
    ck_assert_ptr_null(update_plan_new(expected, seen, ZONE, 100, &error));
    ck_assert(g_error_matches(error, SB_ERROR, SB_ERROR_TOO_LARGE));
    g_clear_error(&error);
    zone_records_free(records);
    knot_tsig_key_deinit(&key);
}
END_TEST

/* ---- messages ---- */

static void assert_record(const knot_pkt_t *packet, knot_section_t section, uint16_t at, const char *owner,
                          uint16_t type, uint16_t class, const char *text)
{
    const knot_rrset_t *record = knot_pkt_rr(knot_pkt_section(packet, section), at);
    char name[KNOT_DNAME_TXT_MAXLEN + 1];
    ck_assert_str_eq(knot_dname_to_str(name, record->owner, sizeof name), owner);
    ck_assert_uint_eq(record->type, type);
    ck_assert_uint_eq(record->rclass, class);
    g_autofree char *data = record->rrs.rdata->len == 0
                                ? g_strdup("")
                                : rdata_to_text(type, record->rrs.rdata->data, record->rrs.rdata->len);
    ck_assert_str_eq(data, text);
}

static struct message encode(const char *held, const knot_tsig_key_t *key, uint64_t time_s)
{
    struct rrset *sets[] = {rrset_make("www.example.test", KNOT_RRTYPE_CNAME, 0, NULL),
                            rrset_make("www.example.test", KNOT_RRTYPE_A, 5, DATA("192.0.2.1", "192.0.2.2"))};
    struct update update = {ZONE, held, "65537 2", sets, 2};
    struct message message = {0};
    ck_assert(update_encode(&update, 4711, key, time_s, &message, NULL));
    rrset_delete(sets[0]), rrset_delete(sets[1]);
    return message;
}

START_TEST(update_parses_back)
{
    knot_tsig_key_t key = test_key(SECRET);
    struct message message = encode("65537 1", &key, 1000);
    knot_pkt_t *packet = knot_pkt_new(message.wire, (uint16_t)message.size, NULL);
    ck_assert_int_eq(knot_pkt_parse(packet, 0), KNOT_EOK);
    ck_assert_uint_eq(knot_wire_get_id(packet->wire), 4711);
    ck_assert_uint_eq(knot_wire_get_opcode(packet->wire), KNOT_OPCODE_UPDATE);
    ck_assert_uint_eq(knot_pkt_qtype(packet), KNOT_RRTYPE_SOA);
    ck_assert_uint_eq(knot_pkt_section(packet, KNOT_ANSWER)->count, 1);
    assert_record(packet, KNOT_ANSWER, 0, "_signalbox.example.test.", KNOT_RRTYPE_TXT, KNOT_CLASS_IN, "65537 1");
    ck_assert_uint_eq(knot_pkt_section(packet, KNOT_AUTHORITY)->count, 6);
    assert_record(packet, KNOT_AUTHORITY, 0, "www.example.test.", KNOT_RRTYPE_CNAME, KNOT_CLASS_ANY, "");
    assert_record(packet, KNOT_AUTHORITY, 1, "www.example.test.", KNOT_RRTYPE_A, KNOT_CLASS_ANY, "");
    assert_record(packet, KNOT_AUTHORITY, 2, "www.example.test.", KNOT_RRTYPE_A, KNOT_CLASS_IN, "192.0.2.1");
    assert_record(packet, KNOT_AUTHORITY, 3, "www.example.test.", KNOT_RRTYPE_A, KNOT_CLASS_IN, "192.0.2.2");
    assert_record(packet, KNOT_AUTHORITY, 4, "_signalbox.example.test.", KNOT_RRTYPE_TXT, KNOT_CLASS_ANY, "");
    assert_record(packet, KNOT_AUTHORITY, 5, "_signalbox.example.test.", KNOT_RRTYPE_TXT, KNOT_CLASS_IN, "65537 2");
    knot_pkt_free(packet);
    message_clear(&message);

    message = encode(NULL, &key, 1000);
    packet = knot_pkt_new(message.wire, (uint16_t)message.size, NULL);
    ck_assert_int_eq(knot_pkt_parse(packet, 0), KNOT_EOK);
    assert_record(packet, KNOT_ANSWER, 0, "_signalbox.example.test.", KNOT_RRTYPE_TXT, KNOT_CLASS_NONE, "");
    knot_pkt_free(packet);
    message_clear(&message);
    knot_tsig_key_deinit(&key);
}
END_TEST

/* What libknot, as a server, says of our signature. */
static int server_check(const struct message *message, const knot_tsig_key_t *key)
{
    g_autofree uint8_t *wire = g_memdup2(message->wire, message->size);
    knot_pkt_t *packet = knot_pkt_new(wire, (uint16_t)message->size, NULL);
    ck_assert_int_eq(knot_pkt_parse(packet, 0), KNOT_EOK);
    int code = knot_tsig_server_check(packet->tsig_rr, packet->wire, packet->size, key);
    knot_pkt_free(packet);
    return code;
}

START_TEST(signature_verifies)
{
    knot_tsig_key_t key = test_key(SECRET), other = test_key("d3Jvbmcgd3Jvbmcgd3Jvbmc=");
    struct message message = encode("65537 1", &key, (uint64_t)time(NULL));
    ck_assert_int_eq(server_check(&message, &key), KNOT_EOK);
    ck_assert_int_eq(server_check(&message, &other), KNOT_TSIG_EBADSIG);
    uint8_t *held = memmem(message.wire, message.size, "65537 1", 7);
    ck_assert_ptr_nonnull(held);
    held[0] = '7';
    ck_assert_int_eq(server_check(&message, &key), KNOT_TSIG_EBADSIG);
    message_clear(&message);

    /* The bytes are a function of the arguments alone. */
    struct message a = encode("65537 1", &key, 1000), b = encode("65537 1", &key, 1000);
    ck_assert_uint_eq(a.size, b.size);
    ck_assert_mem_eq(a.wire, b.wire, a.size);
    ck_assert_int_eq(server_check(&a, &key), KNOT_TSIG_EBADTIME);
    message_clear(&a), message_clear(&b);
    knot_tsig_key_deinit(&key), knot_tsig_key_deinit(&other);
}
END_TEST

/* ---- answers ---- */

/* A server's answer to `request`: rcode, and a signature with TSIG error (-1: unsigned). */
static enum update_outcome answer(const struct message *request, const knot_tsig_key_t *key, uint8_t rcode,
                                  bool is_signed, char **reason)
{
    uint8_t wire[512];
    size_t size = KNOT_WIRE_HEADER_SIZE;
    memcpy(wire, request->wire, size);
    knot_wire_set_qr(wire);
    knot_wire_set_rcode(wire, rcode);
    memset(wire + 4, 0, 8); /* no records */
    if (is_signed) {
        uint8_t mac[MESSAGE_MAC_MAX];
        size_t mac_size = sizeof mac;
        ck_assert_int_eq(
            knot_tsig_sign(wire, &size, sizeof wire, request->mac, request->mac_size, mac, &mac_size, key, 0, 0),
            KNOT_EOK);
    }
    return response_judge(request, key, ZONE, wire, size, reason);
}

START_TEST(answers_are_judged)
{
    static const struct {
        uint8_t rcode;
        bool is_signed;
        enum update_outcome outcome;
        const char *reason;
    } rows[] = {
        {KNOT_RCODE_NOERROR, true, UPDATE_APPLIED, NULL},
        {KNOT_RCODE_NOERROR, false, UPDATE_UNKNOWN, "not signed"},
        {KNOT_RCODE_NXRRSET, true, UPDATE_CONFLICT, NULL},
        {KNOT_RCODE_NXRRSET, false, UPDATE_UNKNOWN, "not signed"},
        {KNOT_RCODE_YXRRSET, true, UPDATE_CONFLICT, NULL},
        {KNOT_RCODE_YXDOMAIN, true, UPDATE_CONFLICT, NULL},
        {KNOT_RCODE_REFUSED, true, UPDATE_REJECTED, "access list"},
        {KNOT_RCODE_NOTAUTH, false, UPDATE_REJECTED, "unknown zone"},
        {KNOT_RCODE_NOTZONE, true, UPDATE_REJECTED, "outside of example.test"},
        {KNOT_RCODE_SERVFAIL, true, UPDATE_REJECTED, "SERVFAIL"},
        {KNOT_RCODE_NOTIMPL, false, UPDATE_REJECTED, "does not take updates"},
        {KNOT_RCODE_FORMERR, false, UPDATE_REJECTED, "rcode 1"},
    };
    knot_tsig_key_t key = test_key(SECRET);
    struct message request = encode("65537 1", &key, (uint64_t)time(NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *reason = NULL;
        enum update_outcome outcome = answer(&request, &key, rows[i].rcode, rows[i].is_signed, &reason);
        ck_assert_msg(outcome == rows[i].outcome, "row %u: %s %s", i, update_outcome_name(outcome), reason);
        ck_assert_msg((reason == NULL) == (rows[i].reason == NULL), "row %u: %s", i, reason);
        ck_assert_msg(reason == NULL || strstr(reason, rows[i].reason) != NULL, "row %u: %s", i, reason);
    }
    g_autofree char *none = NULL, *other = NULL, *rubbish = NULL;
    ck_assert_int_eq(response_judge(&request, &key, ZONE, NULL, 0, &none), UPDATE_UNKNOWN);
    ck_assert_int_eq(response_judge(&request, &key, ZONE, request.wire, request.size, &rubbish), UPDATE_UNKNOWN);
    request.id++; /* an answer to something else */
    ck_assert_int_eq(answer(&request, &key, KNOT_RCODE_NOERROR, true, &other), UPDATE_UNKNOWN);
    message_clear(&request);
    knot_tsig_key_deinit(&key);
}
END_TEST

/* No change of a signed answer's bytes makes it say "applied"; but for the letter case of names (bit 5), which a
 * signature does not cover. */
START_TEST(damaged_answers_are_not_believed)
{
    knot_tsig_key_t key = test_key(SECRET);
    struct message request = encode("65537 1", &key, (uint64_t)time(NULL));
    uint8_t good[512], mac[MESSAGE_MAC_MAX];
    size_t size = KNOT_WIRE_HEADER_SIZE, mac_size = sizeof mac;
    memcpy(good, request.wire, size);
    memset(good + 4, 0, 8);
    knot_wire_set_qr(good);
    ck_assert_int_eq(
        knot_tsig_sign(good, &size, sizeof good, request.mac, request.mac_size, mac, &mac_size, &key, 0, 0), KNOT_EOK);
    GRand *random = g_rand_new_with_seed(1);
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t bad[512];
        memcpy(bad, good, size);
        for (unsigned k = 0; k <= i % 4; k++)
            bad[g_rand_int_range(random, 0, (gint32)size)] ^= (uint8_t)(1u << g_rand_int_range(random, 0, 5));
        size_t bad_size = i % 3 == 0 ? (size_t)g_rand_int_range(random, 0, (gint32)size) : size;
        if (bad_size == size && memcmp(bad, good, size) == 0)
            continue;
        g_autofree char *reason = NULL;
        enum update_outcome outcome = response_judge(&request, &key, ZONE, bad, bad_size, &reason);
        ck_assert_msg(outcome == UPDATE_UNKNOWN || outcome == UPDATE_REJECTED, "change %u: %s", i,
                      update_outcome_name(outcome));
    }
    g_rand_free(random);
    message_clear(&request);
    knot_tsig_key_deinit(&key);
}
END_TEST

START_TEST(data_texts)
{
    uint8_t wire[RDATA_WIRE_SIZE];
    uint16_t size;
    ck_assert(rdata_to_wire(KNOT_RRTYPE_AAAA, "2001:DB8:0:0::1", wire, &size));
    g_autofree char *v6 = rdata_to_text(KNOT_RRTYPE_AAAA, wire, size);
    ck_assert_str_eq(v6, "2001:db8::1");
    ck_assert(rdata_to_wire(KNOT_RRTYPE_CNAME, "a.example.test", wire, &size));
    g_autofree char *name = rdata_to_text(KNOT_RRTYPE_CNAME, wire, size);
    ck_assert_str_eq(name, "a.example.test");
    ck_assert_ptr_null(rdata_to_text(KNOT_RRTYPE_CNAME, wire, (uint16_t)(size - 1)));
    ck_assert_ptr_null(rdata_to_text(KNOT_RRTYPE_A, wire, 3));
    ck_assert_ptr_null(rdata_to_text(KNOT_RRTYPE_TXT, (const uint8_t *)"\5ab", 3));
    ck_assert(!rdata_to_wire(KNOT_RRTYPE_A, "192.0.2.1 ", wire, &size));
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, sentinel_texts);
    tcase_add_test(tcase, sentinel_verdicts);
    tcase_add_test(tcase, bad_sets_are_refused);
    tcase_add_test(tcase, removals_are_guarded);
    tcase_add_test(tcase, equal_needs_nothing);
    tcase_add_test(tcase, shares_are_of_what_is_there);
    tcase_add_test(tcase, removals_come_last);
    tcase_add_test(tcase, cname_after_its_target);
    tcase_add_test(tcase, batches_by_bytes);
    tcase_add_test(tcase, update_parses_back);
    tcase_add_test(tcase, signature_verifies);
    tcase_add_test(tcase, answers_are_judged);
    tcase_add_test(tcase, damaged_answers_are_not_believed);
    tcase_add_test(tcase, data_texts);
}

int main(void)
{
    return unit_run("dns", add_tests);
}
