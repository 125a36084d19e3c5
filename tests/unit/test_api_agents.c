/* test_api_agents.c: what agents ask, and long-polls. */
#include "core/loop.h"
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- waiting ---- */

static int park(const char *edge, const char *token, json_int_t epoch, json_int_t generation)
{
    int fd = served_connect(served.agents_port);
    g_autofree char *text =
        g_strdup_printf("GET /agent/v1/edges/%s/table?epoch=%lld&generation=%lld&wait=25 HTTP/1.1\r\n"
                        "Host: localhost\r\nAuthorization: Bearer %s\r\n\r\n",
                        edge, (long long)epoch, (long long)generation, token);
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    return fd;
}

/* First line of the answer, "" when the connection was closed without one, "-" when none comes in time. */
static char *first_line(int fd, int limit_ms)
{
    char buffer[2048];
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    if (poll(&wait, 1, limit_ms) != 1)
        return g_strdup("-");
    ssize_t n = read(fd, buffer, sizeof buffer - 1);
    buffer[n > 0 ? n : 0] = '\0';
    buffer[strcspn(buffer, "\r")] = '\0';
    return g_strdup(buffer);
}

START_TEST(one_poll_for_each_agent)
{
    served_apply_site(&served);
    g_autofree char *token = served_token(&served, "edge-1", "agent");
    json_int_t epoch = status_number("epoch"), generation = status_number("generation");
    int old = park("edge-1", token, epoch, generation - 1);
    g_autofree char *news = first_line(old, 5000); /* there is something newer: at once */
    ck_assert_str_eq(news, "HTTP/1.1 200 OK");
    close(old);
    old = park("edge-1", token, epoch, generation);
    int new = park("edge-1", token, epoch, generation);
    /* Whichever of the two connections was seen last waits, the other is sent home. */
    struct pollfd both[] = {{.fd = old, .events = POLLIN}, {.fd = new, .events = POLLIN}};
    ck_assert_int_eq(poll(both, 2, 5000), 1);
    int gone = both[0].revents != 0 ? old : new, waiting = gone == old ? new : old;
    g_autofree char *nothing = first_line(gone, 5000);
    ck_assert_str_eq(nothing, "HTTP/1.1 204 No Content");
    ck_assert_uint_eq(served_local(&served, "PUT", "/v1/controls/pop/pop-a1", "*", "{\"value\":\"out\"}", NULL), 200);
    g_autofree char *woken = first_line(waiting, 5000);
    ck_assert_str_eq(woken, "HTTP/1.1 200 OK");
    close(old);
    close(new);
}
END_TEST

START_TEST(manifest_parts_and_reports)
{
    served_apply_site(&served);
    g_autofree char *token = served_token(&served, "edge-1", "agent");
    json_t *manifest = NULL, *part = NULL;
    const char *hash, *name;
    ck_assert_uint_eq(
        served_call(&served, served.agents, token, "GET", "/agent/v1/edges/edge-1/table", NULL, NULL, &manifest, NULL),
        200);
    ck_assert_str_eq(text_at(manifest, "cluster"), "two-rooms");
    json_object_foreach (json_object_get(manifest, "parts"), name, part) {
        hash = json_string_value(part);
        g_autofree char *path = g_strdup_printf("/agent/v1/parts/%s", hash), *etag = NULL;
        ck_assert_uint_eq(served_call(&served, served.agents, token, "GET", path, NULL, NULL, NULL, &etag), 200);
        ck_assert_ptr_nonnull(strstr(etag, hash));
    }
    /* Parts of the generations before stay for a while. */
    const char *old = text_at(json_object_get(manifest, "parts"), "origins");
    g_autofree char *path = g_strdup_printf("/agent/v1/parts/%s", old);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(served_local(&served, "PUT", "/v1/controls/pop/pop-a1", "*",
                                       i % 2 == 0 ? "{\"value\":\"out\"}" : "{\"value\":\"in\"}", NULL),
                          200);
    ck_assert_uint_eq(served_call(&served, served.agents, token, "GET", path, NULL, NULL, NULL, NULL), 200);
    ck_assert_uint_eq(served_call(&served, served.agents, token, "GET", "/agent/v1/parts/00", NULL, NULL, NULL, NULL),
                      404);
    const char *report = "{\"edge\":\"edge-1\",\"cluster\":\"%s\",\"promised\":65536,\"applied\":{\"epoch\":65536,"
                         "\"generation\":2},\"state\":\"applied\",\"error\":null,\"window_us\":1000000,\"counters\":[],"
                         "\"origins\":[],\"probes\":[],\"events\":[]}";
    GString *text = g_string_new(report);
    g_string_replace(text, "%s", "two-rooms", 0);
    const char *url = "/agent/v1/edges/edge-1/report";
    json_t *newest; /* the answer tells what is published, whatever the report says is applied */
    ck_assert_uint_eq(served_call(&served, served.agents, token, "POST", url, NULL, text->str, &newest, NULL), 200);
    ck_assert_int_eq(json_integer_value(json_object_get(newest, "epoch")), 65536);
    ck_assert_int_eq(json_integer_value(json_object_get(newest, "generation")), 5);
    json_decref(newest);
    g_string_replace(text, "two-rooms", "elsewhere", 0);
    ck_assert_uint_eq(served_call(&served, served.agents, token, "POST", url, NULL, text->str, NULL, NULL), 409);
    ck_assert_uint_eq(served_call(&served, served.agents, token, "POST", url, NULL, "{\"edge\":7}", NULL, NULL), 400);
    /* Counters of many policies are more than other bodies may have; there is an end to it. */
    g_string_replace(text, "elsewhere", "two-rooms", 0);
    g_autofree char *spaces = g_strnfill(1 << 20, ' '), *large = g_strconcat(spaces + (7 << 17), text->str, NULL),
                    *larger = g_strconcat(spaces, text->str, NULL);
    ck_assert_uint_eq(served_call(&served, served.agents, token, "POST", url, NULL, large, NULL, NULL), 200);
    ck_assert_uint_eq(served_call(&served, served.agents, token, "POST", url, NULL, larger, NULL, NULL), 413);
    g_string_free(text, TRUE);
    json_decref(manifest);
}
END_TEST

#define POLLERS 1100 /* above FD_SETSIZE, where a library's default limit would be */

static void add_edges(char **tokens)
{
    GString *body = g_string_new("{\"objects\":[");
    for (int i = 0; i < POLLERS; i++)
        g_string_append_printf(
            body, "%s{\"kind\":\"edge\",\"name\":\"p-%d\",\"class\":\"public\",\"address\":\"10.9.%d.%d\"}",
            i > 0 ? "," : "", i, i / 250, i % 250 + 1);
    g_string_append(body, "]}");
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/apply", NULL, body->str, NULL), 200);
    g_string_free(body, TRUE);
    for (int i = 0; i < POLLERS; i++) {
        g_autofree char *name = g_strdup_printf("p-%d", i);
        tokens[i] = served_token(&served, name, "agent");
    }
}

/* Every poll has arrived when a request that came after it on the same listener is answered and none has an answer. */
START_TEST(eleven_hundred_wait_and_others_are_answered)
{
    struct rlimit files = {8192, 8192};
    static char *tokens[POLLERS];
    static int fds[POLLERS];
    setrlimit(RLIMIT_NOFILE, &files);
    served_apply_site(&served);
    add_edges(tokens);
    json_int_t epoch = status_number("epoch"), generation = status_number("generation");
    for (int i = 0; i < POLLERS; i++) {
        g_autofree char *name = g_strdup_printf("p-%d", i);
        fds[i] = park(name, tokens[i], epoch, generation);
    }
    int64_t start = loop_now_us();
    ck_assert_uint_eq(served_call(&served, served.agents, NULL, "GET", "/livez", NULL, NULL, NULL, NULL), 200);
    ck_assert_uint_eq(served_call(&served, served.operators, NULL, "GET", "/livez", NULL, NULL, NULL, NULL), 200);
    int64_t answered_us = loop_now_us() - start;
    start = loop_now_us();
    ck_assert_uint_eq(served_local(&served, "PUT", "/v1/controls/pop/pop-a1", "*", "{\"value\":\"out\"}", NULL), 200);
    for (int i = 0; i < POLLERS; i++) {
        g_autofree char *line = first_line(fds[i], 10000);
        ck_assert_msg(strcmp(line, "HTTP/1.1 200 OK") == 0, "poller %d: %s", i, line);
    }
    printf("1100 parked: livez twice in %.1f ms, all woken in %.1f ms\n", (double)answered_us / 1e3,
           (double)(loop_now_us() - start) / 1e3);
    ck_assert_int_lt(answered_us, 20 * G_USEC_PER_SEC); /* before the polls end by themselves, on any machine */
    /* They wait again, and the server is told to end: each gets an answer, the exit is clean. */
    generation = status_number("generation");
    for (int i = 0; i < POLLERS; i++) {
        close(fds[i]);
        g_autofree char *name = g_strdup_printf("p-%d", i);
        fds[i] = park(name, tokens[i], epoch, generation);
    }
    ck_assert_uint_eq(served_call(&served, served.agents, NULL, "GET", "/livez", NULL, NULL, NULL, NULL), 200);
    int status = served_end(&served, SIGTERM);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "ended with %x: %s", (unsigned)status,
                  served.log->str);
    for (int i = 0; i < POLLERS; i++) {
        g_autofree char *line = first_line(fds[i], 5000);
        ck_assert_msg(strcmp(line, "HTTP/1.1 204 No Content") == 0, "poller %d: %s", i, line);
        close(fds[i]);
        g_free(tokens[i]);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_test(tcase, one_poll_for_each_agent);
    tcase_add_test(tcase, manifest_parts_and_reports);
    tcase_add_test(tcase, eleven_hundred_wait_and_others_are_answered);
}

int main(void)
{
    return unit_run("api_agents", add);
}
