/* test_api_roles.c: who may ask what, and the tokens that say who asks. */
#include "schema/route.h"
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_test(tcase, roles_matrix);
    tcase_add_test(tcase, tokens_live_and_die);
}

int main(void)
{
    return unit_run("api_roles", add);
}
