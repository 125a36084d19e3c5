/* What goes to the outside: signed, and only where it may. */
#include "core/error.h"
#include "core/fileio.h"
#include "server/engine/keys.h"
#include "server/engine/outside.h"
#include "server/engine/sender.h"
#include "tests/unit/receiver.h"
#include "tests/unit/unit.h"

#include <string.h>

static char *keys;

static void setup(void)
{
    keys = g_dir_make_tmp("sb-keys-XXXXXX", NULL);
}

static void teardown(void)
{
    unit_remove_all(keys);
    g_clear_pointer(&keys, g_free);
}

static void put_key(const char *name, const char *text, mode_t mode)
{
    g_autofree char *path = g_strdup_printf("%s/%s", keys, name);
    ck_assert(file_write_atomic(path, text, strlen(text), mode, NULL));
}

/* The example that the specification of Standard Webhooks gives. */
#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define SIGNED "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

static char *sign(const char *key, GError **error)
{
    return key_sign(keys, key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, "{\"test\": 2432232314}", error);
}

START_TEST(signs_as_the_specification_does)
{
    put_key("a.whsec", SECRET "\n", 0600);
    g_autofree char *signature = sign("a", NULL);
    ck_assert_str_eq(signature, SIGNED);
    /* Two at once: while a secret is exchanged. */
    put_key("b.whsec", "whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3\r\n\n" SECRET "\n", 0600);
    g_autofree char *both = sign("b", NULL);
    ck_assert(g_str_has_prefix(both, "v1,") && g_str_has_suffix(both, " " SIGNED));
}
END_TEST

static const struct {
    const char *file, *text;
    mode_t mode;
    const char *error;
} bad_keys[] = {
    {"a.whsec", SECRET, 0640, "found mode 0640"},
    {"a.key", SECRET, 0600, "a.whsec"}, /* there is none */
    {"a.whsec", "", 0600, "is not 1 to 4 lines"},
    {"a.whsec", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 0600, "is not 1 to 4 lines"},
    {"a.whsec", "whsec_", 0600, "is not 1 to 4 lines"},
    {"a.whsec", "whsec_c2hvcnQ=", 0600, "is not 1 to 4 lines"},
    {"a.whsec", "whsec_not base64, not at all, not at all", 0600, "is not 1 to 4 lines"},
    {"a.whsec", SECRET "\n" SECRET "\n" SECRET "\n" SECRET "\n" SECRET "\n", 0600, "is not 1 to 4 lines"},
};

START_TEST(without_a_sound_key_nothing_is_signed)
{
    GError *error = NULL;
    put_key(bad_keys[_i].file, bad_keys[_i].text, bad_keys[_i].mode);
    ck_assert_ptr_null(sign("a", &error));
    ck_assert_msg(strstr(error->message, bad_keys[_i].error) != NULL, "%s", error->message);
    ck_assert(strstr(error->message, "MfKQ") == NULL); /* a secret is in no message */
    g_clear_error(&error);
    ck_assert_ptr_null(key_sign(NULL, "a", "id", 1, "", &error));
    ck_assert_ptr_nonnull(strstr(error->message, "--keys"));
    g_error_free(error);
}
END_TEST

static const struct {
    const char *allow, *address, *refused; /* NULL: it may */
} places[] = {
    {NULL, "93.184.216.34", NULL},
    {NULL, "2606:2800:220:1::1", NULL},
    {NULL, "0.0.0.0", "an address of this host"},
    {NULL, "0.1.2.3", "an address of this host"},
    {NULL, "127.0.0.1", "a loopback"},
    {NULL, "127.255.255.254", "a loopback"},
    {NULL, "10.0.0.1", "a private"},
    {NULL, "172.15.255.255", NULL},
    {NULL, "172.16.0.1", "a private"},
    {NULL, "172.31.255.255", "a private"},
    {NULL, "172.32.0.0", NULL},
    {NULL, "192.168.1.1", "a private"},
    {NULL, "100.64.0.1", "a shared"},
    {NULL, "100.128.0.1", NULL},
    {NULL, "169.254.169.254", "a link-local"}, /* where clouds give their credentials */
    {NULL, "192.0.2.1", "documentation"},
    {NULL, "198.18.0.1", "benchmarks"},
    {NULL, "224.0.0.1", "a multicast"},
    {NULL, "239.255.255.250", "a multicast"},
    {NULL, "240.0.0.1", "a reserved"},
    {NULL, "255.255.255.255", "a reserved"},
    {NULL, "::", "a reserved"},
    {NULL, "::1", "a loopback"},
    {NULL, "::127.0.0.1", "a reserved"},
    {NULL, "::ffff:127.0.0.1", "inside IPv6"},
    {NULL, "::ffff:93.184.216.34", "inside IPv6"},
    {NULL, "64:ff9b::7f00:1", "inside IPv6"},
    {NULL, "64:ff9b:1::1", "a reserved"},
    {NULL, "2002:7f00:1::1", "inside IPv6"},
    {NULL, "2001::1", "a reserved"},
    {NULL, "2001:db8::1", "documentation"},
    {NULL, "fc00::1", "a private"},
    {NULL, "fd12:3456::1", "a private"},
    {NULL, "fe80::1", "a link-local"},
    {NULL, "fec0::1", "a private"},
    {NULL, "ff02::1", "a multicast"},
    {NULL, "fd00:ec2::254", "a private"},
    {"10.0.0.0/8", "10.9.8.7", NULL},
    {"10.0.0.0/8", "11.0.0.1", NULL},
    {"10.0.0.0/8", "127.0.0.1", "a loopback"},
    {"10.1.0.0/16, 127.0.0.1", "127.0.0.1", NULL},
    {"10.1.0.0/16,127.0.0.1", "127.0.0.2", "a loopback"},
    {"10.1.0.0/16", "10.2.0.1", "a private"},
    {"127.0.0.0/8", "::ffff:127.0.0.1", NULL},
    {"127.0.0.0/8", "::1", "a loopback"},
    {"fd00::/8", "fd00::1", NULL},
    {"fd00::/8", "fc00::1", "a private"},
};

START_TEST(only_public_addresses_and_those_that_are_allowed)
{
    GError *error = NULL;
    struct addr addr;
    sb_auto(outside) outside = outside_new(places[_i].allow, NULL);
    ck_assert_ptr_nonnull(outside);
    ck_assert(addr_parse(places[_i].address, &addr));
    bool may = outside_may(outside, &addr, &error);
    ck_assert_msg(may == (places[_i].refused == NULL), "%s, allowed %s: found %s", places[_i].address, places[_i].allow,
                  may ? "it may" : error->message);
    if (!may) {
        ck_assert_msg(strstr(error->message, places[_i].refused) != NULL, "%s", error->message);
        ck_assert(error->code == SB_ERROR_FORBIDDEN && strstr(error->message, places[_i].address) != NULL);
        g_error_free(error);
    }
}
END_TEST

START_TEST(a_list_of_prefixes_is_checked)
{
    static const char *const wrong[] = {"10.0.0.0/33", "10.0.0.1/8", "any", "10.0.0.0/8;127.0.0.1",
                                        "10.0.0.0/8,", "::1/129",    "/8",  "1.2.3"};
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        GError *error = NULL;
        ck_assert_msg(outside_new(wrong[i], &error) == NULL, "%s", wrong[i]);
        g_clear_error(&error);
    }
}
END_TEST

/* ---- real requests ---- */

struct outcome {
    struct loop *loop;
    unsigned status;
    char *error;
    int code;
};

static void on_reply(void *data, const struct httpc_reply *reply, const GError *error)
{
    struct outcome *outcome = data;
    outcome->status = reply != NULL ? reply->status : 0;
    outcome->error = g_strdup(error != NULL ? error->message : "");
    outcome->code = error != NULL ? error->code : -1;
    loop_stop(outcome->loop);
}

static struct outcome send_to(const char *url, const char *allow, int64_t timeout_us)
{
    struct outcome outcome = {.loop = loop_new(NULL)};
    const struct sender_config config = {.keys_dir = keys, .allow = allow};
    struct sender *sender = sender_new(outcome.loop, &config, NULL);
    const struct sender_request request = {
        .id = "1-1", .key = "a", .method = "POST", .url = url, .body = "{}", .timeout_us = timeout_us};
    ck_assert(sender_send(sender, &request, on_reply, &outcome, NULL, NULL));
    loop_run(outcome.loop);
    sender_free(sender);
    loop_free(outcome.loop);
    return outcome;
}

static void expect_outcome(struct outcome outcome, unsigned status, int code, const char *error)
{
    ck_assert_msg(outcome.status == status && outcome.code == code && strstr(outcome.error, error) != NULL,
                  "found status %u, error %d %s; expected %u, %d %s", outcome.status, outcome.code, outcome.error,
                  status, code, error);
    g_free(outcome.error);
}

/* Names that stand for loopback, and all the ways to write it: what is connected to counts. */
START_TEST(no_way_round_to_the_inside)
{
    static const char *const hosts[] = {"127.0.0.1",  "localhost",          "[::1]", "2130706433", "0x7f.1",
                                        "0177.0.0.1", "[::ffff:127.0.0.1]", "0"};
    struct receiver inside;
    receiver_start(&inside);
    put_key("a.whsec", SECRET "\n", 0600);
    for (size_t i = 0; i < G_N_ELEMENTS(hosts); i++) {
        g_autofree char *url = g_strdup_printf("http://%s:%d/", hosts[i], inside.port);
        expect_outcome(send_to(url, NULL, 5 * G_USEC_PER_SEC), 0, SB_ERROR_FORBIDDEN, "--call-allow");
    }
    ck_assert_uint_eq(receiver_count(&inside), 0);
    g_autofree char *url = g_strdup_printf("http://localhost:%d/", inside.port);
    expect_outcome(send_to(url, "127.0.0.1", 5 * G_USEC_PER_SEC), 200, -1, "");
    const struct received *request = receiver_wait(&inside, 0);
    ck_assert_str_eq(request->body, "{}");
    ck_assert(g_str_has_prefix(received_header(request, "webhook-signature"), "v1,"));
    receiver_end(&inside);
}
END_TEST

START_TEST(answers_are_bounded_and_redirects_stay)
{
    struct receiver first, second;
    receiver_start(&first);
    receiver_start(&second);
    put_key("a.whsec", SECRET "\n", 0600);
    g_autofree char *url = g_strdup_printf("http://127.0.0.1:%d/", first.port),
                    *there = g_strdup_printf("Location: http://127.0.0.1:%d/\r\n", second.port),
                    *big = g_strnfill((64 << 10) + 1, 'x'), *fits = g_strndup(big, 64 << 10);
    receiver_answer(&first, 307, there, NULL);
    expect_outcome(send_to(url, "127.0.0.1", 5 * G_USEC_PER_SEC), 307, -1, "");
    ck_assert_uint_eq(receiver_count(&second), 0);
    receiver_answer(&first, 200, NULL, fits);
    expect_outcome(send_to(url, "127.0.0.1", 5 * G_USEC_PER_SEC), 200, -1, "");
    receiver_answer(&first, 200, NULL, big);
    expect_outcome(send_to(url, "127.0.0.1", 5 * G_USEC_PER_SEC), 0, SB_ERROR_UNREACHABLE, "");
    receiver_hold(&first, true);
    expect_outcome(send_to(url, "127.0.0.1", G_USEC_PER_SEC / 5), 0, SB_ERROR_TIMEOUT, "");
    receiver_end(&first);
    receiver_end(&second);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, signs_as_the_specification_does);
    tcase_add_loop_test(tcase, without_a_sound_key_nothing_is_signed, 0, G_N_ELEMENTS(bad_keys));
    tcase_add_loop_test(tcase, only_public_addresses_and_those_that_are_allowed, 0, G_N_ELEMENTS(places));
    tcase_add_test(tcase, a_list_of_prefixes_is_checked);
    tcase_add_test(tcase, no_way_round_to_the_inside);
    tcase_add_test(tcase, answers_are_bounded_and_redirects_stay);
}

int main(void)
{
    return unit_run("sender", add);
}
