/* test_api.c: a real signalboxd, spoken to over its sockets. */
#include "core/loop.h"
#include "schema/route.h"
#include "server/store/db.h"
#include "tests/unit/served.h"
#include "tests/unit/unit.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct served served;

static void setup(void)
{
    served_new(&served);
    served_start(&served, NULL, NULL);
}

static void teardown(void)
{
    served_clear(&served);
}

static json_int_t number_at(const json_t *json, const char *member)
{
    return json_integer_value(json_object_get(json, member));
}

static const char *text_at(const json_t *json, const char *member)
{
    const char *text = json_string_value(json_object_get(json, member));
    return text != NULL ? text : "";
}

static json_int_t status_number(const char *member)
{
    json_t *status = NULL;
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/status", NULL, NULL, &status), 200);
    json_int_t number = number_at(status, member);
    json_decref(status);
    return number;
}

/* ---- who may what ---- */

static char *sample_path(const struct route_class *route)
{
    GString *path = g_string_new(route->path);
    bool agents = route->role == ROUTE_AGENT;
    g_string_replace(path, "{kind}", "rooms", 0);
    g_string_replace(path, "{lever}", "pop", 0);
    g_string_replace(path, "{object}", "pop-x", 0);
    g_string_replace(path, "{hash}", "0123", 0);
    g_string_replace(path, "{id}", "none", 0);
    g_string_replace(path, "{name}", agents ? "edge-1" : "nobody", 0);
    return g_string_free(path, FALSE);
}

/* What the role check must say; 0: it must let the request pass. */
static unsigned wanted(const struct route_class *route, bool on_agents, const char *who)
{
    if (route->role == ROUTE_ANY)
        return 0;
    if ((route->role == ROUTE_AGENT) != on_agents)
        return 404;
    if (strcmp(who, "local") == 0)
        return 0;
    if (strcmp(who, "nobody") == 0 || strcmp(who, "junk") == 0)
        return 401;
    if (route->role == ROUTE_OPERATOR)
        return strcmp(who, "operator") == 0 ? 0 : 403;
    if (route->role == ROUTE_LOCAL)
        return 403;
    bool own = strstr(route->path, "{name}") == NULL || strcmp(who, "edge-1") == 0;
    return strcmp(who, "operator") != 0 && own ? 0 : 403;
}

static bool passed(unsigned status, const json_t *answer)
{
    return status != 401 && status != 403 && strstr(text_at(answer, "detail"), "listener") == NULL;
}

START_TEST(roles_matrix)
{
    g_autofree char *operator= served_token(&served, "alice", "operator");
    g_autofree char *edge1 = served_token(&served, "edge-1", "agent"),
                    *edge2 = served_token(&served, "edge-2", "agent");
    const struct {
        const char *who, *token;
    } askers[] = {{"nobody", NULL}, {"junk", "sb_AAAA"}, {"operator", operator}, {"edge-1", edge1}, {"edge-2", edge2}};
    unsigned checked = 0;
    for (int id = 0; id < ROUTES; id++)
        for (int on_agents = 0; on_agents < 2; on_agents++)
            for (size_t a = 0; a < G_N_ELEMENTS(askers); a++) {
                const struct route_class *route = route_class((enum route_id)id);
                g_autofree char *path = sample_path(route);
                bool body = strcmp(route->method, "POST") == 0 || strcmp(route->method, "PUT") == 0;
                json_t *answer = NULL;
                unsigned status = served_call(&served, on_agents ? served.agents : served.operators, askers[a].token,
                                              route->method, path, NULL, body ? "{}" : NULL, &answer, NULL);
                unsigned want = wanted(route, on_agents, askers[a].who);
                ck_assert_msg(want == 0 ? passed(status, answer) : status == want, "%s %s on %s as %s: %u %s",
                              route->method, path, on_agents ? "agents" : "operators", askers[a].who, status,
                              text_at(answer, "detail"));
                if (want == 403 && strcmp(askers[a].who, "edge-2") == 0 && route->role == ROUTE_AGENT) {
                    ck_assert_ptr_nonnull(strstr(text_at(answer, "detail"), "edge-1"));
                    ck_assert_ptr_nonnull(strstr(text_at(answer, "detail"), "edge-2"));
                }
                json_decref(answer);
                checked++;
            }
    ck_assert_uint_eq(checked, ROUTES * 2 * 5);
}
END_TEST

START_TEST(tokens_live_and_die)
{
    ck_assert_ptr_nonnull(strstr(served.log->str, "token create --name admin --role operator"));
    g_autofree char *token = served_token(&served, "alice", "operator");
    ck_assert_uint_eq(strlen(token), 3 + 43); /* sb_ and 256 bits */
    ck_assert_uint_eq(
        served_local(&served, "POST", "/v1/tokens", NULL, "{\"name\":\"alice\",\"role\":\"agent\"}", NULL), 409);
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/tokens", NULL, "{\"name\":\"x\",\"role\":\"king\"}", NULL),
                      400);
    ck_assert_uint_eq(served_call(&served, served.operators, token, "GET", "/v1/status", NULL, NULL, NULL, NULL), 200);
    /* Nothing on disk or in an answer gives it away. */
    json_t *list = NULL;
    served_local(&served, "GET", "/v1/tokens", NULL, NULL, &list);
    char *text = json_dumps(list, 0);
    ck_assert_ptr_nonnull(strstr(text, "alice"));
    ck_assert_ptr_null(strstr(text, token + 3));
    ck_assert_ptr_null(strstr(text, "sha256"));
    free(text);
    json_decref(list);
    static const char *const files[] = {"journal.db", "journal.db-wal", "store.db", "store.db-wal"};
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_strdup_printf("%s/state/%s", served.dir, files[i]), *bytes = NULL;
        gsize size = 0;
        if (g_file_get_contents(path, &bytes, &size, NULL))
            ck_assert_ptr_null(memmem(bytes, size, token + 3, strlen(token + 3)));
    }
    /* It outlives the process, and dies at once when deleted. */
    ck_assert_int_eq(served_end(&served, SIGKILL), SIGKILL);
    served_start(&served, NULL, NULL);
    ck_assert_ptr_null(strstr(served.log->str, "token create"));
    ck_assert_uint_eq(served_call(&served, served.operators, token, "GET", "/v1/status", NULL, NULL, NULL, NULL), 200);
    ck_assert_uint_eq(served_local(&served, "DELETE", "/v1/tokens/alice", NULL, NULL, NULL), 204);
    ck_assert_uint_eq(served_call(&served, served.operators, token, "GET", "/v1/status", NULL, NULL, NULL, NULL), 401);
    ck_assert_uint_eq(served_local(&served, "DELETE", "/v1/tokens/alice", NULL, NULL, NULL), 404);
    json_t *audit = NULL;
    served_local(&served, "GET", "/v1/audit?limit=2", NULL, NULL, &audit);
    ck_assert_str_eq(text_at(json_array_get(json_object_get(audit, "audit"), 1), "what"), "token deleted");
    ck_assert_str_eq(text_at(json_array_get(json_object_get(audit, "audit"), 1), "object"), "token/alice");
    json_decref(audit);
}
END_TEST

/* ---- conditions ---- */

START_TEST(writes_need_the_revision_they_replace)
{
    served_apply_site(&served);
    g_autofree char *token = served_token(&served, "alice", "operator"), *first = NULL, *second = NULL;
    const char *lever = "/v1/controls/pop/pop-a1", *room = "/v1/inventory/rooms/room-c";
    const char *out = "{\"value\":\"out\",\"reason\":\"a test\"}", *base = served.operators;
    served_call(&served, base, token, "GET", lever, NULL, NULL, NULL, &first);
    ck_assert_str_eq(first, "\"0\"");
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", lever, NULL, out, NULL, NULL), 428);
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", lever, "W/\"0\"", out, NULL, NULL), 400);
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", lever, "\"7\"", out, NULL, NULL), 412);
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", lever, first, out, NULL, &second), 200);
    ck_assert_str_ne(first, second);
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", lever, first, out, NULL, NULL), 412);
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", lever, second, "{\"value\":\"in\"}", NULL, NULL), 200);
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", lever, "*", out, NULL, NULL), 200);
    const char *body = "{\"zone\":\"zone-1\"}";
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", room, NULL, body, NULL, NULL), 428);
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", room, "*", body, NULL, NULL), 412);
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", room, "\"0\"", body, NULL, NULL), 200);
    ck_assert_uint_eq(served_call(&served, base, token, "PUT", room, "\"0\"", body, NULL, NULL), 412);
    g_autofree char *etag = NULL;
    json_t *got = NULL;
    ck_assert_uint_eq(served_call(&served, base, token, "GET", room, NULL, NULL, &got, &etag), 200);
    ck_assert_str_eq(text_at(got, "zone"), "zone-1");
    json_decref(got);
    ck_assert_uint_eq(served_call(&served, base, token, "DELETE", room, "\"1\"", NULL, NULL, NULL), 412);
    ck_assert_uint_eq(served_call(&served, base, token, "DELETE", room, etag, NULL, NULL, NULL), 200);
    ck_assert_uint_eq(served_call(&served, base, token, "GET", room, NULL, NULL, NULL, NULL), 404);
    ck_assert_uint_eq(served_call(&served, base, token, "DELETE", "/v1/inventory/pops/pop-a1", "*", NULL, NULL, NULL),
                      200);
}
END_TEST

START_TEST(apply_after_export_changes_nothing)
{
    served_apply_site(&served);
    json_t *all = NULL, *answer = NULL;
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/export", NULL, NULL, &all), 200);
    json_object_set_new(all, "prune", json_true());
    char *text = json_dumps(all, 0);
    json_int_t before = status_number("generation");
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/apply", NULL, text, &answer), 200);
    ck_assert_str_eq(text_at(answer, "diff"), "");
    ck_assert_int_eq(status_number("generation"), before);
    free(text);
    json_decref(all);
    json_decref(answer);
}
END_TEST

/* ---- hostile input ---- */

static char *nested(unsigned depth)
{
    GString *text = g_string_new("{\"objects\":");
    for (unsigned i = 0; i < depth; i++)
        g_string_append_c(text, '[');
    for (unsigned i = 0; i < depth; i++)
        g_string_append_c(text, ']');
    g_string_append_c(text, '}');
    return g_string_free(text, FALSE);
}

START_TEST(hostile_bodies_change_nothing)
{
    served_apply_site(&served);
    g_autofree char *deep = nested(100), *deeper = nested(100000), *label = g_strnfill(64, 'a');
    g_autofree char *long_label =
        g_strdup_printf("{\"objects\":[{\"kind\":\"domain\",\"name\":\"%s.test\",\"group\":\"core\"}]}", label);
    const struct {
        const char *method, *path, *body;
        unsigned status;
        const char *text; /* in the detail */
    } cases[] = {
        {"POST", "/v1/apply", "{\"objects\":[{\"kind\":\"room\",\"name\":\"a;b\",\"zone\":\"zone-1\"}]}", 400, "a;b"},
        {"POST", "/v1/apply", "{\"objects\":[{\"kind\":\"room\",\"name\":\"a\\nb\",\"zone\":\"zone-1\"}]}", 400,
         "name"},
        {"POST", "/v1/apply", "{\"objects\":[{\"kind\":\"room\",\"name\":\"a\\\"b\",\"zone\":\"zone-1\"}]}", 400,
         "name"},
        {"POST", "/v1/apply", "{\"objects\":[{\"kind\":\"room\",\"name\":\"a\\u0000b\",\"zone\":\"zone-1\"}]}", 400,
         ""},
        {"POST", "/v1/apply", long_label, 400, "domain"},
        {"POST", "/v1/apply", "{\"objects\":[{\"kind\":\"room\",\"name\":\"room-c\",\"zone\":\"zone-9\"}]}", 400,
         "zone-9"},
        {"POST", "/v1/apply",
         "{\"objects\":[{\"kind\":\"room\",\"name\":\"room-c\",\"zone\":\"zone-1\",\"colour\":1}]}", 400, "colour"},
        {"POST", "/v1/apply", "{\"objects\":[{\"kind\":\"castle\",\"name\":\"x\"}]}", 400, "castle"},
        {"POST", "/v1/apply",
         "{\"objects\":[{\"kind\":\"nameserver\",\"name\":\"ns-2\",\"zone\":\"example.test\",\"role\":\"secondary\","
         "\"primary\":\"ns-3\",\"address\":\"192.0.2.54:53\",\"key\":\"signalbox\"}]}",
         400, "ns-"},
        {"POST", "/v1/apply", "{\"objects\":[],\"objects\":[]}", 400, "duplicate"},
        {"POST", "/v1/apply", "{\"everything\":[]}", 400, "everything"},
        {"POST", "/v1/apply", deep, 400, ""},
        {"POST", "/v1/apply", deeper, 400, ""},
        {"POST", "/v1/apply", "{\"objects\":", 400, "body"},
        {"POST", "/v1/apply", "[1,2]", 400, "object"},
        {"POST", "/v1/apply",
         "{\"plans\":[{\"plan\":\"p\",\"steps\":[{\"name\":\"a\",\"needs\":[\"b\"],\"check\":\"room-open\"},"
         "{\"name\":\"b\",\"needs\":[\"a\"],\"check\":\"room-open\"}]}]}",
         400, ""},
        {"POST", "/v1/controls", "{\"changes\":[{\"control\":\"pop\",\"object\":\"pop-a1\",\"value\":\"out;quit\"}]}",
         400, "out"},
        {"POST", "/v1/controls", "{\"changes\":[{\"control\":\"pop\",\"object\":\"pop-zz\",\"value\":\"out\"}]}", 404,
         "pop-zz"},
        {"POST", "/v1/controls", "{\"changes\":[],\"reason\":7}", 400, "reason"},
        {"POST", "/v1/controls", "{\"changes\":[],\"overrides\":[\"gravity\"]}", 400, "gravity"},
        {"POST", "/v1/plans/room-isolated/run", "{\"target\":\"room-a\",\"confirm\":\"room-b\"}", 400, "room-b"},
        {"POST", "/v1/plans/nonsense/run", "{}", 404, "nonsense"},
        {"POST", "/v1/status", "{}", 405, "GET"},
        {"GET", "/v1/nothing%00here", NULL, 404, "path"},
        {"GET", "/v1/inventory/pops/..%2f..%2fetc", NULL, 404, "path"},
        {"GET", "/v1/inventory/castles", NULL, 404, "castles"},
        {"GET", "/v1/audit?limit=1e9", NULL, 400, "limit"},
        {"GET", "/v1/explain?url=http%3A%2F%2Fnobody.test%2F%3B", NULL, 404, ""},
    };
    json_int_t before = status_number("generation");
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        json_t *answer = NULL;
        unsigned status = served_local(&served, cases[i].method, cases[i].path, NULL, cases[i].body, &answer);
        ck_assert_msg(status == cases[i].status && strstr(text_at(answer, "detail"), cases[i].text) != NULL,
                      "case %zu: %s %s: found %u \"%s\", expected %u with \"%s\"", i, cases[i].method, cases[i].path,
                      status, text_at(answer, "detail"), cases[i].status, cases[i].text);
        ck_assert_int_eq(number_at(answer, "status"), status);
        ck_assert(g_str_has_prefix(text_at(answer, "type"), "urn:signalbox:problem:"));
        ck_assert_uint_ge(json_array_size(json_object_get(answer, "errors")), 1);
        json_decref(answer);
    }
    ck_assert_int_eq(status_number("generation"), before);
}
END_TEST

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
END_TEST

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
    ck_assert_uint_eq(served_call(&served, served.agents, token, "POST", url, NULL, text->str, NULL, NULL), 204);
    g_string_replace(text, "two-rooms", "elsewhere", 0);
    ck_assert_uint_eq(served_call(&served, served.agents, token, "POST", url, NULL, text->str, NULL, NULL), 409);
    ck_assert_uint_eq(served_call(&served, served.agents, token, "POST", url, NULL, "{\"edge\":7}", NULL, NULL), 400);
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

START_TEST(executions_are_followed)
{
    served_apply_site(&served);
    json_t *run = NULL, *answer = NULL;
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/plans/room-isolated/run", NULL,
                                   "{\"target\":\"room-a\",\"dry_run\":true}", &answer),
                      200);
    ck_assert_ptr_nonnull(json_object_get(answer, "steps"));
    json_decref(answer);
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/plans/room-isolated/run", NULL,
                                   "{\"target\":\"room-a\",\"confirm\":\"room-a\",\"reason\":\"a test\"}", &run),
                      202);
    g_autofree char *url = g_strdup_printf("/v1/executions/%s", text_at(run, "id"));
    ck_assert_uint_eq(served_local(&served, "GET", url, NULL, NULL, &answer), 200);
    json_t *events = json_object_get(answer, "events");
    json_int_t last = number_at(json_array_get(events, json_array_size(events) - 1), "seq");
    ck_assert_int_gt(last, 0);
    json_decref(answer);
    /* Nothing newer: it waits for as long as it was told to. */
    g_autofree char *later = g_strdup_printf("%s?after=%lld&wait=1", url, (long long)last + 1000);
    int64_t start = loop_now_us();
    ck_assert_uint_eq(served_local(&served, "GET", later, NULL, NULL, NULL), 200);
    ck_assert_int_ge(loop_now_us() - start, G_USEC_PER_SEC);
    /* The end of the plan is an event: who waits gets it long before his time is up. */
    g_autofree char *abort = g_strdup_printf("%s/abort", url),
                    *next = g_strdup_printf("%s?after=%lld&wait=25", url, (long long)last);
    pid_t aborter = fork();
    if (aborter == 0)
        _exit(served_local(&served, "POST", abort, NULL, "{\"reason\":\"enough\",\"overrides\":[\"share-moved\"]}",
                           NULL) == 202
                  ? 0
                  : 1);
    start = loop_now_us();
    ck_assert_uint_eq(served_local(&served, "GET", next, NULL, NULL, &answer), 200);
    ck_assert_int_lt(loop_now_us() - start, 10 * G_USEC_PER_SEC);
    json_decref(answer);
    int status;
    waitpid(aborter, &status, 0);
    ck_assert_int_eq(status, 0);
    json_decref(run);
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/executions/none", NULL, NULL, NULL), 404);
}
END_TEST

/* ---- crashes ---- */

START_TEST(a_killed_server_goes_on_under_a_new_epoch)
{
    served_apply_site(&served);
    ck_assert_uint_eq(served_local(&served, "PUT", "/v1/controls/pop/pop-a1", "*", "{\"value\":\"out\"}", NULL), 200);
    json_int_t epoch = status_number("epoch"), generation = status_number("generation");
    ck_assert_int_eq(served_end(&served, SIGKILL), SIGKILL);
    served_start(&served, NULL, NULL);
    ck_assert_int_eq(status_number("epoch"), epoch + 65536);
    ck_assert_int_eq(status_number("generation"), generation);
    json_t *control = NULL;
    served_local(&served, "GET", "/v1/controls/pop/pop-a1", NULL, NULL, &control);
    ck_assert_str_eq(text_at(control, "value"), "out");
    json_decref(control);
    ck_assert_uint_eq(served_local(&served, "PUT", "/v1/controls/pop/pop-a1", "*", "{\"value\":\"in\"}", NULL), 200);
    ck_assert_int_eq(status_number("generation"), generation + 1);
}
END_TEST

#ifdef SIGNALBOX_FAILPOINTS
/* Before the journal nothing has happened; from then on all of it has. */
START_TEST(killed_at_each_place)
{
    static const struct {
        const char *place;
        const char *value; /* after the restart */
    } cases[] = {{"before-journal", "default"},
                 {"after-journal", "out"},
                 {"before-publish", "out"},
                 {"after-publish", "out"},
                 {"before-reply", "out"}};
    const char *place = cases[_i].place, *value = cases[_i].value;
    served_apply_site(&served);
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    /* A start passes each place some times; count them by the first number at which it survives until ready. */
    for (int n = 1;; n++) {
        g_autofree char *fp = g_strdup_printf("SIGNALBOX_FP=%s:kill@%d", place, n);
        served_start(&served, (const char *const[]){fp, NULL}, NULL);
        if (strstr(served.log->str, ">ready ") == NULL) {
            ck_assert_int_eq(served_wait(&served), SIGKILL);
            ck_assert_int_lt(n, 20);
            continue;
        }
        struct httpc_target target = {.base_url = "http://localhost", .unix_socket = served.socket};
        const char *const headers[] = {"If-Match: *", NULL};
        struct httpc_reply reply = {0};
        g_autoptr(GError) error = NULL;
        ck_assert(!httpc_call(&target, "PUT", "/v1/controls/pop/pop-a1", headers, "{\"value\":\"out\"}", 20000, &reply,
                              &error));
        ck_assert_int_eq(served_wait(&served), SIGKILL);
        break;
    }
    served_start(&served, NULL, NULL);
    json_t *control = NULL;
    served_local(&served, "GET", "/v1/controls/pop/pop-a1", NULL, NULL, &control);
    ck_assert_str_eq(text_at(control, "value"), value);
    json_decref(control);
}
END_TEST
#endif

/* The engine believes that an effect is new, the journal has its key: going on would publish what no restart knows. */
START_TEST(a_repeated_effect_ends_the_server)
{
    json_t *run = NULL;
    served_apply_site(&served);
    served_local(&served, "POST", "/v1/plans/room-isolated/run", NULL, "{\"target\":\"room-a\"}", &run);
    g_autofree char *path = g_strdup_printf("%s/state/journal.db", served.dir),
                    *key = g_strdup_printf("%s/undo/set", text_at(run, "id")),
                    *abort = g_strdup_printf("/v1/executions/%s/abort", text_at(run, "id"));
    json_int_t generation = status_number("generation");
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    struct db *db = db_open(path, NULL);
    struct db_value value = DB_TEXT(key);
    ck_assert(db_run(db,
                     "insert into entries (seq, epoch, kind, id, key, body, at_us) "
                     "select max(seq) + 1, max(epoch), 'other', 'x', $1, '{}', 0 from entries",
                     &value, 1, NULL));
    db_close(db);
    served_start(&served, NULL, NULL);
    struct httpc_target target = {.base_url = "http://localhost", .unix_socket = served.socket};
    struct httpc_reply reply = {0};
    ck_assert(!httpc_call(&target, "POST", abort, NULL, "{}", 20000, &reply, NULL));
    int status = served_wait(&served);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    db = db_open(path, NULL);
    struct db_rows *rows =
        db_query(db, "select max(cast(id as bigint)) from state where kind = 'generation'", NULL, 0, NULL);
    ck_assert(db_next(rows, NULL));
    ck_assert_int_eq(db_int(rows, 0), generation);
    db_rows_free(rows);
    db_close(db);
    json_decref(run);
}
END_TEST

/* ---- start ---- */

static int run_to_end(const char *const *flags, const char *text)
{
    struct served other;
    served_new(&other);
    served_start(&other, NULL, flags);
    int status = served_wait(&other);
    ck_assert_msg(strstr(other.log->str, text) != NULL, "found: %s", other.log->str);
    served_clear(&other);
    return WEXITSTATUS(status);
}

START_TEST(settings_are_checked)
{
    g_autofree char *state = g_strdup_printf("--state=%s/state", served.dir);
    g_autofree char *file = g_strdup_printf("%s/config.yaml", served.dir),
                    *config = g_strconcat("--config=", file, NULL);
    ck_assert_int_eq(run_to_end((const char *const[]){"--listen=0.0.0.0:1", NULL}, "--tls-cert FILE --tls-key FILE"),
                     2);
    ck_assert_int_eq(run_to_end((const char *const[]){"--agents-listen=[::]:1", NULL}, "--agents-listen 127.0.0.1:1"),
                     2);
    ck_assert_int_eq(run_to_end((const char *const[]){"--node=65536", NULL}, "65535"), 2);
    ck_assert_int_eq(run_to_end((const char *const[]){"--nonsense", NULL}, "--nonsense"), 2);
    ck_assert_int_eq(run_to_end((const char *const[]){"--cluster=A B", NULL}, "--cluster"), 2);
    ck_assert_int_eq(run_to_end((const char *const[]){state, NULL}, "another signalboxd uses it"), 1);
    ck_assert(g_file_set_contents(file, "node: 7\nnames: x\n", -1, NULL));
    ck_assert_int_eq(run_to_end((const char *const[]){config, NULL}, "names"), 2);
    ck_assert(g_file_set_contents(file, "node: 7\n", -1, NULL));
    ck_assert_int_eq(run_to_end((const char *const[]){config, "--check-config", NULL}, ""), 0);
    /* Flag over variable over file over default. */
    const struct {
        const char *env, *flag;
        int node;
    } order[] = {{"A=", "--debug", 7}, {"SIGNALBOX_NODE=8", "--debug", 8}, {"SIGNALBOX_NODE=8", "--node=9", 9}};
    for (size_t i = 0; i < G_N_ELEMENTS(order); i++) {
        ck_assert_int_eq(served_end(&served, SIGTERM), 0);
        served_start(&served, (const char *const[]){order[i].env, NULL},
                     (const char *const[]){config, order[i].flag, NULL});
        ck_assert_int_eq(status_number("epoch") % 65536, order[i].node);
    }
    struct stat st;
    ck_assert_int_eq(stat(served.socket, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0660);
}
END_TEST

/* A certificate for 127.0.0.1 that vouches for itself, and its key, as files. */
static void make_certificate(const char *cert_path, const char *key_path)
{
    static const unsigned char loopback[] = {127, 0, 0, 1};
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t cert;
    gnutls_datum_t cert_pem, key_pem;
    gnutls_x509_privkey_init(&key);
    gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, (unsigned)GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    gnutls_x509_crt_init(&cert);
    gnutls_x509_crt_set_version(cert, 3);
    gnutls_x509_crt_set_serial(cert, "\1", 1);
    gnutls_x509_crt_set_activation_time(cert, time(NULL) - 3600);
    gnutls_x509_crt_set_expiration_time(cert, time(NULL) + 3600);
    gnutls_x509_crt_set_dn(cert, "CN=signalbox test", NULL);
    gnutls_x509_crt_set_basic_constraints(cert, 1, 0);
    gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_IPADDRESS, loopback, sizeof loopback, 0);
    gnutls_x509_crt_set_key(cert, key);
    ck_assert_int_eq(gnutls_x509_crt_sign2(cert, cert, key, GNUTLS_DIG_SHA256, 0), 0);
    gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_PEM, &cert_pem);
    gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &key_pem);
    ck_assert(g_file_set_contents(cert_path, (char *)cert_pem.data, (gssize)cert_pem.size, NULL));
    ck_assert(g_file_set_contents_full(key_path, (char *)key_pem.data, (gssize)key_pem.size, G_FILE_SET_CONTENTS_NONE,
                                       0600, NULL));
    gnutls_free(cert_pem.data);
    gnutls_free(key_pem.data);
    gnutls_x509_crt_deinit(cert);
    gnutls_x509_privkey_deinit(key);
}

START_TEST(tls_on_both_listeners)
{
    char cert[96], key[96], other[96];
    g_autofree char *cert_flag = NULL, *key_flag = NULL, *other_flag = NULL;
    snprintf(cert, sizeof cert, "%s/cert.pem", served.dir);
    snprintf(key, sizeof key, "%s/other.pem", served.dir);
    make_certificate(cert, key);
    other_flag = g_strconcat("--tls-key=", key, NULL);
    snprintf(other, sizeof other, "%s/key.pem", served.dir);
    make_certificate(cert, other);
    cert_flag = g_strconcat("--tls-cert=", cert, NULL);
    key_flag = g_strconcat("--tls-key=", other, NULL);
    ck_assert_int_eq(run_to_end((const char *const[]){cert_flag, NULL}, "expected both or none"), 2);
    ck_assert_int_eq(
        run_to_end((const char *const[]){cert_flag, other_flag, NULL}, "expected a certificate and its key"), 2);
    ck_assert_int_eq(chmod(other, 0644), 0);
    ck_assert_int_eq(run_to_end((const char *const[]){cert_flag, key_flag, NULL}, "chmod 600"), 2);
    ck_assert_int_eq(chmod(other, 0600), 0);
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    served_start(&served, NULL, (const char *const[]){cert_flag, key_flag, NULL});
    g_autofree char *token = served_token(&served, "alice", "operator");
    const int ports[] = {served.port, served.agents_port};
    for (int i = 0; i < 2; i++) {
        g_autofree char *url = g_strdup_printf("https://127.0.0.1:%d", ports[i]);
        g_autofree char *plain = g_strdup_printf("http://127.0.0.1:%d", ports[i]);
        const struct httpc_target good = {.base_url = url, .ca_file = cert, .token = token}, blind = {.base_url = url},
                                  bare = {.base_url = plain};
        struct httpc_reply reply = {0};
        ck_assert(httpc_call(&good, "GET", i == 0 ? "/v1/status" : "/livez", NULL, NULL, 10000, &reply, NULL));
        ck_assert_uint_eq(reply.status, 200);
        httpc_reply_clear(&reply);
        ck_assert(!httpc_call(&blind, "GET", "/livez", NULL, NULL, 10000, &reply, NULL));
        ck_assert(!httpc_call(&bare, "GET", "/livez", NULL, NULL, 10000, &reply, NULL));
    }
}
END_TEST

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

/* Name servers that do not answer hold up neither a switch nor the end. */
START_TEST(dead_name_servers_hold_nobody_up)
{
    g_autofree char *keys = g_strdup_printf("--keys=%s", served.dir);
    g_autofree char *key = g_strdup_printf("%s/signalbox.key", served.dir);
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    ck_assert(g_file_set_contents_full(key, "c2lnbmFsYm94IGxhYiBrZXkgb2YgMzIgYnl0ZXMhISE=\n", -1,
                                       G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    served_start(&served, NULL, (const char *const[]){keys, NULL});
    const char *body =
        "{\"objects\":[{\"kind\":\"nameserver\",\"name\":\"ns-1\",\"zone\":\"example.test\",\"role\":\"primary\","
        "\"address\":\"127.0.0.1:9\",\"key\":\"signalbox\"}]}";
    served_apply_site(&served);
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/apply", NULL, body, NULL), 200);
    int64_t start = loop_now_us();
    ck_assert_uint_eq(served_local(&served, "PUT", "/v1/controls/pop/pop-a1", "*", "{\"value\":\"out\"}", NULL), 200);
    ck_assert_int_lt(loop_now_us() - start, G_USEC_PER_SEC);
    ck_assert_uint_eq(served_local(&served, "DELETE", "/v1/inventory/nameservers/ns-1", "*", NULL, NULL), 200);
    start = loop_now_us();
    int status = served_end(&served, SIGTERM);
    if (status != 0) /* more than a message of libcheck can hold */
        fputs(served.log->str, stderr);
    ck_assert_int_eq(status, 0);
    ck_assert_int_lt(loop_now_us() - start, 5 * G_USEC_PER_SEC);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 200); /* 1,100 tokens are 1,100 fsyncs, and sanitizers are slow */
    tcase_add_test(tcase, roles_matrix);
    tcase_add_test(tcase, tokens_live_and_die);
    tcase_add_test(tcase, writes_need_the_revision_they_replace);
    tcase_add_test(tcase, apply_after_export_changes_nothing);
    tcase_add_test(tcase, hostile_bodies_change_nothing);
    tcase_add_test(tcase, broken_framing_is_refused_and_closed);
    tcase_add_test(tcase, one_poll_for_each_agent);
    tcase_add_test(tcase, manifest_parts_and_reports);
    tcase_add_test(tcase, eleven_hundred_wait_and_others_are_answered);
    tcase_add_test(tcase, executions_are_followed);
    tcase_add_test(tcase, a_killed_server_goes_on_under_a_new_epoch);
#ifdef SIGNALBOX_FAILPOINTS
    tcase_add_loop_test(tcase, killed_at_each_place, 0, 5);
#endif
    tcase_add_test(tcase, a_repeated_effect_ends_the_server);
    tcase_add_test(tcase, settings_are_checked);
    tcase_add_test(tcase, tls_on_both_listeners);
    tcase_add_test(tcase, slow_headers_end_after_ten_seconds);
    tcase_add_test(tcase, dead_name_servers_hold_nobody_up);
}

int main(void)
{
    return unit_run("api", add);
}
