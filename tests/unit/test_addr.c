#include "schema/addr.h"

#include "tests/unit/unit.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

START_TEST(addresses_are_read_and_written_in_canonical_form)
{
    static const char *const rows[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {"2001:db8::1", "2001:db8::1"},
        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
        {"::", "::"},
        {"255.255.255.255", "255.255.255.255"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct addr addr;
        char text[ADDR_TEXT_SIZE];
        ck_assert_msg(addr_parse(rows[i][0], &addr), "%s", rows[i][0]);
        ck_assert_str_eq(addr_format(&addr, text), rows[i][1]);
    }
}
END_TEST

START_TEST(what_is_no_address_is_refused_and_leaves_the_result)
{
    static const char *const rows[] = {
        "",           "a",   "192.0.2",       "192.0.2.1 ",   " 192.0.2.1", "192.0.2.256", "192.0.02.1",
        "fe80::1%lo", ":::", "1:2:3:4:5:6:7", "192.0.2.1/24", "localhost",  "192.0.2.1\n", "[2001:db8::1]",
    };
    struct addr addr = {.family = 99};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(!addr_parse(rows[i], &addr), "%s", rows[i]);
    ck_assert_uint_eq(addr.family, 99);
}
END_TEST

START_TEST(endpoints_are_read_and_written)
{
    static const char *const good[] = {"192.0.2.1:80", "[2001:db8::1]:8443", "0.0.0.0:65535", "[::1]:1"};
    static const char *const bad[] = {
        "192.0.2.1",         "192.0.2.1:",
        "192.0.2.1:0",       "192.0.2.1:65536",
        "192.0.2.1:080",     "192.0.2.1:80x",
        "2001:db8::1:80",    "[192.0.2.1]:80",
        "[2001:db8::1]",     "[2001:db8::1]80",
        "host:80",           "192.0.2.1:+80",
        "192.0.2.1:123456",  ":80",
        "192.0.2.1:80;quit", "[2001:db8::1]:80 ",
    };
    char text[ENDPOINT_TEXT_SIZE];
    struct endpoint ep;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ck_assert_msg(endpoint_parse(good[i], &ep), "%s", good[i]);
        ck_assert_str_eq(endpoint_format(&ep, text), good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!endpoint_parse(bad[i], &ep), "%s", bad[i]);
    ck_assert_str_eq(endpoint_format(&ep, text), "[::1]:1");
}
END_TEST

START_TEST(masks_keep_the_first_bits)
{
    static const struct {
        const char *text;
        unsigned bits;
        const char *masked;
    } rows[] = {
        {"192.0.2.255", 24, "192.0.2.0"},
        {"192.0.2.255", 0, "0.0.0.0"},
        {"192.0.2.255", 32, "192.0.2.255"},
        {"192.0.2.255", 25, "192.0.2.128"},
        {"2001:db8:1:2:3::4", 64, "2001:db8:1:2::"},
        {"2001:db8:1:2:3::4", 128, "2001:db8:1:2:3::4"},
        {"ffff::", 3, "e000::"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct addr addr;
        char text[ADDR_TEXT_SIZE];
        ck_assert(addr_parse(rows[i].text, &addr));
        addr = addr_mask(&addr, rows[i].bits);
        ck_assert_str_eq(addr_format(&addr, text), rows[i].masked);
    }
}
END_TEST

START_TEST(loopback_is_this_machine)
{
    static const struct {
        const char *text;
        bool is;
    } rows[] = {{"127.0.0.1", true}, {"127.255.0.9", true}, {"::1", true},  {"126.0.0.1", false},
                {"0.0.0.0", false},  {"::", false},         {"::2", false}, {"::ffff:127.0.0.1", false},
                {"7f00::", false},   {"2001:db8::1", false}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct addr addr;
        ck_assert(addr_parse(rows[i].text, &addr));
        ck_assert_msg(addr_is_loopback(&addr) == rows[i].is, "%s", rows[i].text);
    }
}
END_TEST

START_TEST(equality_knows_the_family)
{
    struct addr v4, v6, none = {0};
    ck_assert(addr_parse("0.0.0.0", &v4) && addr_parse("::", &v6));
    ck_assert(!addr_equal(&v4, &v6));
    ck_assert(!addr_equal(&v4, &none));
    ck_assert(addr_equal(&none, &(struct addr){0}));
    ck_assert(addr_equal(&v6, &v6));
    struct endpoint a = {v4, 80}, other_port = {v4, 81}, other_address = {v6, 80};
    ck_assert(endpoint_equal(&a, &a));
    ck_assert(!endpoint_equal(&a, &other_port));
    ck_assert(!endpoint_equal(&a, &other_address));
}
END_TEST

START_TEST(socket_addresses_hold_what_connect_needs)
{
    struct endpoint ep;
    struct sockaddr_storage storage;
    ck_assert(endpoint_parse("[2001:db8::1]:53", &ep));
    ck_assert_uint_eq(endpoint_sockaddr(&ep, &storage), sizeof(struct sockaddr_in6));
    ck_assert_uint_eq(ntohs(((struct sockaddr_in6 *)&storage)->sin6_port), 53);
    ck_assert(endpoint_parse("192.0.2.1:53", &ep));
    ck_assert_uint_eq(endpoint_sockaddr(&ep, &storage), sizeof(struct sockaddr_in));
    ck_assert_uint_eq(ntohl(((struct sockaddr_in *)&storage)->sin_addr.s_addr), 0xc0000201u);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, addresses_are_read_and_written_in_canonical_form);
    tcase_add_test(tcase, what_is_no_address_is_refused_and_leaves_the_result);
    tcase_add_test(tcase, endpoints_are_read_and_written);
    tcase_add_test(tcase, masks_keep_the_first_bits);
    tcase_add_test(tcase, loopback_is_this_machine);
    tcase_add_test(tcase, equality_knows_the_family);
    tcase_add_test(tcase, socket_addresses_hold_what_connect_needs);
}

int main(void)
{
    return unit_run("addr", add);
}
