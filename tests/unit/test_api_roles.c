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

struct asker {
    const char *who;
    int rank; /* of viewer, operator, admin: 1, 2, 3; others 0 */
    char *token;
};
static const char *const ranks[] = {"", "viewer", "operator", "admin"};

/* What the role check must say; 0: it must let the request pass. */
static unsigned wanted(const struct route_class *route, bool on_agents, const struct asker *asker)
{
    bool agent = g_str_has_prefix(asker->who, "edge-");
    if (route->role == ROUTE_ANY)
        return 0;
    if ((route->role == ROUTE_AGENT) != on_agents)
        return 404;
    if (!agent && asker->rank == 0)
        return 401;
    if (route->role == ROUTE_AGENT) {
        bool own = strstr(route->path, "{name}") == NULL || strcmp(asker->who, "edge-1") == 0;
        return agent && own ? 0 : 403;
    }
    return asker->rank >= (route->role == ROUTE_VIEWER ? 1 : route->role == ROUTE_OPERATOR ? 2 : 3) ? 0 : 403;
}

static bool passed(unsigned status, const json_t *answer)
{
    return status != 401 && status != 403 && strstr(text_at(answer, "detail"), "listener") == NULL;
}

/* Who is refused for his role hears which one he has and which it takes. */
static void check_refusal(const struct route_class *route, const struct asker *asker, const char *detail)
{
    g_autofree char *role =
                        g_strdup_printf("found the role %s, expected", asker->rank > 0 ? ranks[asker->rank] : "agent"),
                    *roles = route_roles_text(route->role);
    if (route->role == ROUTE_AGENT && asker->rank == 0) { /* the wrong edge */
        ck_assert_ptr_nonnull(strstr(detail, "edge-1"));
        ck_assert_ptr_nonnull(strstr(detail, asker->who));
    } else {
        ck_assert_msg(strstr(detail, role) != NULL && strstr(detail, roles) != NULL, "%s", detail);
    }
}

START_TEST(roles_matrix)
{
    struct asker askers[] = {{"nobody", 0, NULL},
                             {"junk", 0, g_strdup("sb_AAAA")},
                             {"vera", 1, served_token(&served, "vera", "viewer")},
                             {"oscar", 2, served_token(&served, "oscar", "operator")},
                             {"ada", 3, served_token(&served, "ada", "admin")},
                             {"edge-1", 0, served_token(&served, "edge-1", "agent")},
                             {"edge-2", 0, served_token(&served, "edge-2", "agent")}};
    unsigned checked = 0, refused = 0;
    for (int id = 0; id < ROUTES; id++)
        for (int on_agents = 0; on_agents < 2; on_agents++)
            for (size_t a = 0; a < G_N_ELEMENTS(askers); a++) {
                const struct route_class *route = route_class((enum route_id)id);
                g_autofree char *path = sample_path(route);
                bool body = strcmp(route->method, "POST") == 0 || strcmp(route->method, "PUT") == 0;
                json_t *answer = NULL;
                unsigned status = served_call(&served, on_agents ? served.agents : served.operators, askers[a].token,
                                              route->method, path, NULL, body ? "{}" : NULL, &answer, NULL);
                unsigned want = wanted(route, on_agents, &askers[a]);
                ck_assert_msg(want == 0 ? passed(status, answer) : status == want, "%s %s on %s as %s: %u %s",
                              route->method, path, on_agents ? "agents" : "operators", askers[a].who, status,
                              text_at(answer, "detail"));
                if (want == 403)
                    check_refusal(route, &askers[a], text_at(answer, "detail"));
                json_decref(answer);
                checked++;
                refused += want != 0;
            }
    printf("%u routes, 2 listeners, %zu askers: %u requests, %u refused\n", ROUTES, G_N_ELEMENTS(askers), checked,
           refused);
    for (size_t a = 0; a < G_N_ELEMENTS(askers); a++)
        g_free(askers[a].token);
}
END_TEST

/* Whatever changes something wants more than a viewer, and what changes the site's description or its tokens an admin.
 */
START_TEST(roles_fit_what_routes_do)
{
    for (int id = 0; id < ROUTES; id++) {
        const struct route_class *route = route_class((enum route_id)id);
        bool reads = strcmp(route->method, "GET") == 0 || id == ROUTE_FORECAST;
        bool describes = id == ROUTE_APPLY || strstr(route->path, "/inventory/") != NULL;
        bool tokens = strstr(route->path, "/tokens") != NULL;
        if (route->role == ROUTE_ANY || route->role == ROUTE_AGENT)
            continue;
        ck_assert_msg(reads || route_role_may(route->role, ROUTE_OPERATOR), "%s %s", route->method, route->path);
        ck_assert_msg(!(tokens || (describes && !reads)) || route->role == ROUTE_ADMIN, "%s %s", route->method,
                      route->path);
    }
    ck_assert(!route_role_may(ROUTE_AGENT, ROUTE_VIEWER) && !route_role_may(ROUTE_ADMIN, ROUTE_AGENT));
}
END_TEST

/* The local socket may do all that people may. */
START_TEST(the_local_socket_has_every_role)
{
    for (int id = 0; id < ROUTES; id++) {
        const struct route_class *route = route_class((enum route_id)id);
        g_autofree char *path = sample_path(route);
        bool body = strcmp(route->method, "POST") == 0 || strcmp(route->method, "PUT") == 0;
        json_t *answer = NULL;
        unsigned status = served_local(&served, route->method, path, NULL, body ? "{}" : NULL, &answer);
        ck_assert_msg(route->role == ROUTE_AGENT ? status == 404 : passed(status, answer), "%s %s: %u", route->method,
                      path, status);
        json_decref(answer);
    }
}
END_TEST

START_TEST(tokens_live_and_die)
{
    ck_assert_ptr_nonnull(strstr(served.log->str, "token create --name admin --role admin"));
    g_autofree char *token = served_token(&served, "alice", "operator");
    ck_assert_uint_eq(strlen(token), 3 + 43); /* sb_ and 256 bits */
    ck_assert_uint_eq(
        served_local(&served, "POST", "/v1/tokens", NULL, "{\"name\":\"alice\",\"role\":\"agent\"}", NULL), 409);
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/tokens", NULL, "{\"name\":\"x\",\"role\":\"any\"}", NULL),
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
    tcase_add_test(tcase, roles_fit_what_routes_do);
    tcase_add_test(tcase, the_local_socket_has_every_role);
    tcase_add_test(tcase, tokens_live_and_die);
}

int main(void)
{
    return unit_run("api_roles", add);
}
