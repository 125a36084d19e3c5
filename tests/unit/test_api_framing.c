/* test_api_framing.c: bytes on the wire: where a request ends, and how long it may take. */
#include "core/loop.h"
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

START_TEST(broken_framing_is_refused_and_closed)
{
#define HOST "Host: localhost\r\n"
    static const struct {
        const char *text, *status;
    } cases[] = {
        {"POST /v1/apply HTTP/1.1\r\n" HOST "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
        {"POST /v1/apply HTTP/1.1\r\n" HOST "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "400"},
        {"POST /v1/apply HTTP/1.1\r\n" HOST "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "400"},
        {"POST /v1/apply HTTP/1.1\r\n" HOST "Content-Length: +2\r\n\r\n{}", "400"},
        {"POST /v1/apply HTTP/1.1\r\n" HOST "Content-Length: 2, 2\r\n\r\n{}", "400"},
        {"POST /v1/apply HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", "400"},
        {"POST /v1/apply HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, identity\r\n\r\n", "400"},
        {"POST /v1/apply HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
        {"GET /livez HTTP/1.1\r\n" HOST "Host: other\r\n\r\n", "400"},
        {"GET /livez HTTP/1.1\r\n\r\n", "400"},
        {"GET /livez HTTP/1.1\r\n" HOST "X Y: 1\r\n\r\n", "400"},
        {"POST /v1/plans/x/run HTTP/1.1\r\n" HOST "Content-Length: 2000000\r\n\r\n", "401"}, /* who, before how much */
        {"POST /v1/tokens HTTP/1.1\r\n" HOST "Content-Length: 20\r\n\r\n", "401"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *got = served_raw(served.port, cases[i].text, strlen(cases[i].text), NULL);
        g_autofree char *want = g_strdup_printf("HTTP/1.1 %s", cases[i].status);
        ck_assert_msg(strstr(got, want) != NULL && strstr(got, "[still open]") == NULL, "case %zu: %s\n-> %s", i,
                      cases[i].text, got);
    }
    g_autofree char *token = served_token(&served, "alice", "operator");
    g_autofree char *large = g_strdup_printf(
        "POST /v1/controls HTTP/1.1\r\n" HOST "Authorization: Bearer %s\r\nContent-Length: 1048577\r\n\r\n", token);
    g_autofree char *got = served_raw(served.port, large, strlen(large), NULL);
    ck_assert_ptr_nonnull(strstr(got, "HTTP/1.1 413"));
    /* The same without a length: it is cut off where it becomes too much. */
    GString *chunked = g_string_new(NULL);
    g_string_printf(
        chunked, "POST /v1/controls HTTP/1.1\r\n" HOST "Authorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n",
        token);
    for (int i = 0; i < 17; i++) {
        g_string_append(chunked, "10000\r\n");
        gsize at = chunked->len;
        g_string_set_size(chunked, at + 65536);
        memset(chunked->str + at, ' ', 65536);
        g_string_append(chunked, "\r\n");
    }
    g_string_append(chunked, "0\r\n\r\n");
    g_autofree char *cut = served_raw(served.port, chunked->str, chunked->len, NULL);
    ck_assert_ptr_nonnull(strstr(cut, "HTTP/1.1 413"));
    g_string_free(chunked, TRUE);
    /* A sound connection is kept: two answers on one. */
    const char *two = "GET /livez HTTP/1.1\r\n" HOST "\r\nGET /livez HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n";
    g_autofree char *both = served_raw(served.port, two, strlen(two), NULL);
    ck_assert_ptr_nonnull(strstr(strstr(both, "200 OK") + 1, "200 OK"));
}
/* Bytes that trickle in are no reason to keep a connection. */
START_TEST(slow_headers_end_after_ten_seconds)
{
    if (g_getenv("SIGNALBOX_TEST_FULL") == NULL)
        return;
    int fd = served_connect(served.port);
    int64_t start = loop_now_us();
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    while (poll(&wait, 1, 500) == 0) {
        ck_assert_int_lt(loop_now_us() - start, 15 * G_USEC_PER_SEC);
        if (send(fd, "G", 1, MSG_NOSIGNAL) < 0)
            break;
    }
    ck_assert_int_ge(loop_now_us() - start, 9 * G_USEC_PER_SEC);
    close(fd);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_test(tcase, broken_framing_is_refused_and_closed);
    tcase_add_test(tcase, slow_headers_end_after_ten_seconds);
}

int main(void)
{
    return unit_run("api_framing", add);
}
