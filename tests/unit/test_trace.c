/* trace.h: what is looked for, what is kept, and how it reads. */
#include "dataplane/trace.h"
#include "tests/unit/unit.h"

#include <string.h>

static struct trace trace;

static void check_filter(const char *text, bool expected, uint8_t family, uint16_t port)
{
    struct trace_filter filter = {0};
    ck_assert_msg(trace_filter_parse(&filter, text) == expected, "\"%s\"", text);
    ck_assert_uint_eq(filter.family, family);
    ck_assert_uint_eq(filter.port, port);
}

START_TEST(filters_are_read)
{
    check_filter("", true, 0, 0);
    check_filter(" 192.0.2.7", true, 4, 0);
    check_filter(" 192.0.2.7 80 ", true, 4, 80);
    check_filter(" 2001:db8::7 65535", true, 6, 65535);
    check_filter(" 192.0.2", false, 0, 0);
    check_filter(" 192.0.2.7 0", false, 0, 0);
    check_filter(" 192.0.2.7 65536", false, 0, 0);
    check_filter(" 192.0.2.7 80 more", false, 0, 0);
    check_filter(" 192.0.2.7 http", true, 4, 0);
    check_filter(" name", false, 0, 0);
}
END_TEST

static uint8_t bytes[200];

static struct packet segment(uint8_t family, const uint8_t *source, const uint8_t *dest, uint16_t from, uint16_t to)
{
    struct packet p = {.frame = bytes, .size = ETHER_SIZE, .room = sizeof bytes - ETHER_SIZE};
    struct tcp_segment say = {
        .family = family, .source = source, .dest = dest, .from = from, .to = to, .seq = 1, .ack = 2, .flags = TCP_ACK};
    packet_make_tcp(&p, &say);
    return p;
}

static const uint8_t client[] = {192, 0, 2, 7}, service[] = {198, 51, 100, 1}, local[] = {10, 0, 0, 1},
                     backend[] = {10, 0, 0, 9};

/* A packet that is translated, or dropped. */
static void passes(int out)
{
    struct packet p = segment(4, client, service, 40000, 80);
    trace_before(&trace, &p, 1);
    if (out >= 0)
        p = segment(4, local, backend, 2000, 8080);
    trace_after(&trace, 1, &p, 1, &out, 1783000000123456);
}

static bool seen(const char *words, int out)
{
    struct trace_filter filter;
    ck_assert(trace_filter_parse(&filter, words));
    trace_begin(&trace, &filter);
    passes(out);
    trace_end(&trace);
    passes(out); /* nobody looks */
    bool found = trace_next(&trace) != NULL;
    if (found)
        trace_done(&trace);
    ck_assert_ptr_null(trace_next(&trace));
    return found;
}

START_TEST(both_ends_before_and_behind_are_found)
{
    ck_assert(seen("", 0) && seen("192.0.2.7", 0) && seen("192.0.2.7 40000", 0) && seen("198.51.100.1 80", 0));
    ck_assert(seen("10.0.0.9", 0) && seen("10.0.0.1 2000", 0));
    ck_assert(!seen("192.0.2.7 80", 0) && !seen("192.0.2.8", 0) && !seen("2001:db8::1", 0));
    ck_assert(seen("192.0.2.7", -DROP_SESSION) && !seen("10.0.0.9", -DROP_SESSION)); /* it never left */
}
END_TEST

START_TEST(what_does_not_fit_is_counted)
{
    trace_begin(&trace, &(struct trace_filter){0});
    for (unsigned i = 0; i < TRACE_RECORDS + 5; i++)
        passes(0);
    ck_assert_uint_eq(trace_lost(&trace), 5);
    ck_assert_uint_eq(trace_lost(&trace), 0);
    for (unsigned i = 0; i < TRACE_RECORDS; i++) {
        ck_assert_ptr_nonnull(trace_next(&trace));
        trace_done(&trace);
    }
    ck_assert_ptr_null(trace_next(&trace));
    passes(0);
    ck_assert_ptr_nonnull(trace_next(&trace));
    trace_end(&trace);
}
END_TEST

static void check_text(const char *expected)
{
    char text[TRACE_LINE];
    trace_text(trace_next(&trace), text);
    ck_assert_str_eq(text, expected);
    trace_done(&trace);
}

START_TEST(it_reads_well)
{
    static const uint8_t six[16] = {0x20, 1, 0xd, 0xb8, [15] = 7}, eight[16] = {0x20, 1, 0xd, 0xb8, [15] = 8};
    int out = -DROP_ETHERTYPE;
    trace_begin(&trace, &(struct trace_filter){0});
    passes(2);
    check_text("13:46:40.123456Z port 1 tcp 192.0.2.7:40000 > 198.51.100.1:80 A seq 1 ack 2 54 bytes; port 2 "
               "tcp 10.0.0.1:2000 > 10.0.0.9:8080 A seq 1 ack 2 54 bytes\n");
    struct packet p = segment(6, six, eight, 1, 2);
    trace_before(&trace, &p, 1);
    trace_after(&trace, 0, &p, 1, &out, 1783000000000000);
    check_text("13:46:40.000000Z port 0 tcp 2001:db8::7:1 > 2001:db8::8:2 A seq 1 ack 2 74 bytes; ethertype: "
               "neither IPv4 nor IPv6 nor ARP\n");
    memset(bytes, 0, sizeof bytes);
    p = (struct packet){.frame = bytes, .size = 60};
    trace_before(&trace, &p, 1);
    trace_after(&trace, 0, &p, 1, &out, 1783000000000000);
    check_text("13:46:40.000000Z port 0 frame of 60 bytes; ethertype: neither IPv4 nor IPv6 nor ARP\n");
    trace_end(&trace);
}
END_TEST

/* Twice: as it came, as it left; no more than is kept of each. */
START_TEST(a_capture_holds_both)
{
    uint8_t all[TRACE_CAPTURE];
    uint32_t word[4];
    trace_begin(&trace, &(struct trace_filter){0});
    passes(2);
    ck_assert_uint_eq(trace_capture(trace_next(&trace), all), 2 * (16 + 54));
    memcpy(word, all, sizeof word);
    ck_assert(word[0] == 1783000000 && word[1] == 123456 && word[2] == 54 && word[3] == 54);
    ck_assert_mem_eq(all + 16 + ETHER_SIZE + 12, client, 4);
    ck_assert_mem_eq(all + 16 + 54 + 16 + ETHER_SIZE + 12, local, 4);
    trace_done(&trace);
    passes(-DROP_SESSION);
    ck_assert_uint_eq(trace_capture(trace_next(&trace), all), 16 + 54);
    trace_done(&trace);
    struct packet p = segment(4, client, service, 40000, 80);
    int out = 0;
    p.size = sizeof bytes;
    trace_before(&trace, &p, 1);
    trace_after(&trace, 0, &p, 1, &out, 1);
    ck_assert_uint_eq(trace_capture(trace_next(&trace), all), TRACE_CAPTURE);
    memcpy(word, all, sizeof word);
    ck_assert(word[2] == TRACE_KEPT && word[3] == sizeof bytes);
    trace_end(&trace);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, filters_are_read);
    tcase_add_test(tcase, both_ends_before_and_behind_are_found);
    tcase_add_test(tcase, what_does_not_fit_is_counted);
    tcase_add_test(tcase, it_reads_well);
    tcase_add_test(tcase, a_capture_holds_both);
}

int main(void)
{
    return unit_run("trace", add);
}
