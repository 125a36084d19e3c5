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
        bool tokens = strstr(route->path, "/tokens") != NULL || g_str_has_prefix(route->path, "/v1/users");
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

/* ---- scopes and time ---- */

static char *token_for(const char *name, const char *role, const char *rest)
{
    g_autofree char *body = g_strdup_printf("{\"name\":\"%s\",\"role\":\"%s\"%s}", name, role, rest);
    json_t *answer = NULL;
    unsigned status = served_local(&served, "POST", "/v1/tokens", NULL, body, &answer);
    ck_assert_msg(status == 201, "%s: %u %s", rest, status, text_at(answer, "detail"));
    char *token = g_strdup(text_at(answer, "token"));
    json_decref(answer);
    return token;
}

/* The part of the API that a route belongs to, as a person reads it off the path. */
static char *part(const struct route_class *route)
{
    g_auto(GStrv) words = g_strsplit(route->path, "/", -1);
    return g_strdup(strcmp(words[1], "v1") == 0 ? words[2] : words[1]);
}

/* Every endpoint with a token for each part of the API: its own and no other, and never more than the role. */
START_TEST(scopes_matrix)
{
    g_autoptr(GHashTable) tokens = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    unsigned checked = 0, passes = 0;
    for (int id = 0; id < ROUTES; id++) {
        const struct route_class *route = route_class((enum route_id)id);
        g_autofree char *scope = part(route);
        if (route->role == ROUTE_ANY || route->role == ROUTE_AGENT || g_hash_table_contains(tokens, scope))
            continue;
        g_autofree char *rest = g_strdup_printf(",\"scopes\":[\"%s\"]", scope);
        g_autofree char *name = g_strdup_printf("only-%s", scope);
        g_hash_table_insert(tokens, g_strdup(scope), token_for(name, "admin", rest));
    }
    for (int id = 0; id < ROUTES; id++) {
        const struct route_class *route = route_class((enum route_id)id);
        g_autofree char *own = part(route), *path = sample_path(route);
        GHashTableIter each;
        void *scope, *token;
        if (route->role == ROUTE_ANY || route->role == ROUTE_AGENT)
            continue;
        g_hash_table_iter_init(&each, tokens);
        while (g_hash_table_iter_next(&each, &scope, &token)) {
            bool body = strcmp(route->method, "POST") == 0 || strcmp(route->method, "PUT") == 0;
            json_t *answer = NULL;
            unsigned status = served_call(&served, served.operators, token, route->method, path, NULL,
                                          body ? "{}" : NULL, &answer, NULL);
            bool may = strcmp(scope, own) == 0;
            ck_assert_msg(may ? passed(status, answer) : status == 403, "%s %s for %s: %u %s", route->method, path,
                          (char *)scope, status, text_at(answer, "detail"));
            json_decref(answer);
            checked++;
            passes += may;
        }
    }
    printf("%u parts of the API: %u requests, %u let pass\n", g_hash_table_size(tokens), checked, passes);
}
END_TEST

START_TEST(a_scope_may_be_one_thing)
{
    served_apply_site(&served);
    apply_pop_plans();
    g_autofree char *token = token_for("bot", "operator", ",\"scopes\":[\"plans/pop-out\",\"executions\"]"),
                    *viewer = token_for("eye", "viewer", ",\"scopes\":[\"plans\"]");
    static const struct {
        const char *method, *path;
        unsigned status, viewer;
    } rows[] = {
        {"POST", "/v1/plans/pop-out/run", 202, 403}, {"POST", "/v1/plans/pop-in/run", 403, 403},
        {"GET", "/v1/plans/pop-out", 200, 200},      {"GET", "/v1/plans", 403, 200},
        {"GET", "/v1/executions", 200, 403},         {"GET", "/v1/status", 403, 403},
        {"POST", "/v1/controls", 403, 403},          {"GET", "/v1/plans/pop-ou", 403, 404},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *body = rows[i].method[0] == 'P' ? "{}" : NULL;
        unsigned bot = served_call(&served, served.operators, token, rows[i].method, rows[i].path, NULL, body, NULL,
                                   NULL),
                 eye = served_call(&served, served.operators, viewer, rows[i].method, rows[i].path, NULL, body, NULL,
                                   NULL);
        ck_assert_msg(bot == rows[i].status && eye == rows[i].viewer, "%s %s: %u, %u", rows[i].method, rows[i].path,
                      bot, eye);
    }
    ck_assert_int_eq(served_end(&served, SIGKILL) & 0x7f, SIGKILL);
    served_start(&served, NULL, NULL);
    ck_assert_uint_eq(served_call(&served, served.operators, token, "GET", "/v1/status", NULL, NULL, NULL, NULL), 403);
    /* Nobody makes one that is good for more. */
    g_autofree char *clerk = token_for("clerk", "admin", ",\"scopes\":[\"tokens\",\"plans\"]");
    static const struct {
        const char *rest;
        unsigned status;
    } made[] = {{"", 403},
                {",\"scopes\":[\"apply\"]", 403},
                {",\"scopes\":[\"plans\",\"apply\"]", 403},
                {",\"scopes\":[\"planes/pop-out\"]", 400},
                {",\"scopes\":[\"plans\"]", 201},
                {",\"scopes\":[\"plans/pop-out\"]", 201}};
    for (size_t i = 0; i < G_N_ELEMENTS(made); i++) {
        g_autofree char *body = g_strdup_printf("{\"name\":\"made-%zu\",\"role\":\"admin\"%s}", i, made[i].rest);
        ck_assert_uint_eq(served_call(&served, served.operators, clerk, "POST", "/v1/tokens", NULL, body, NULL, NULL),
                          made[i].status);
    }
    static const char *const wrong[] = {
        "\"scopes\":[]",          "\"scopes\":[\"nothing\"]", "\"scopes\":[\"plans/\"]", "\"scopes\":[\"plans/a/b\"]",
        "\"scopes\":[7]",         "\"scopes\":\"plans\"",     "\"scopes\":[\"livez\"]",  "\"expires_us\":1",
        "\"expires_us\":\"soon\""};
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *body = g_strdup_printf("{\"name\":\"x\",\"role\":\"admin\",%s}", wrong[i]);
        json_t *answer = NULL;
        unsigned status = served_local(&served, "POST", "/v1/tokens", NULL, body, &answer);
        ck_assert_msg(status == 400 && strstr(text_at(answer, "detail"), "expected") != NULL, "%s: %u %s", wrong[i],
                      status, text_at(answer, "detail"));
        json_decref(answer);
    }
}
END_TEST

/* Who has a token for a time makes none that outlives it. */
START_TEST(no_token_outlives_its_maker)
{
    const int64_t end_us = g_get_real_time() + 3600 * (int64_t)G_USEC_PER_SEC;
    g_autofree char *rest = g_strdup_printf(",\"expires_us\":%" G_GINT64_FORMAT, end_us);
    g_autofree char *token = token_for("temp", "admin", rest);
    const struct {
        int64_t end_us; /* 0: none */
        unsigned status;
    } rows[] = {{0, 403}, {end_us + 1, 403}, {end_us, 201}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *own = g_strdup_printf(",\"expires_us\":%" G_GINT64_FORMAT, rows[i].end_us),
                        *body = g_strdup_printf("{\"name\":\"made-%zu\",\"role\":\"viewer\"%s}", i,
                                                rows[i].end_us != 0 ? own : "");
        json_t *answer = NULL;
        unsigned status =
            served_call(&served, served.operators, token, "POST", "/v1/tokens", NULL, body, &answer, NULL);
        ck_assert_msg(status == rows[i].status &&
                          (status == 201 || strstr(text_at(answer, "detail"), "expires_us: found") != NULL),
                      "%zu: %u %s", i, status, text_at(answer, "detail"));
        json_decref(answer);
    }
}
END_TEST

START_TEST(a_token_ends_by_itself)
{
    int64_t end_us = g_get_real_time() + 2 * G_USEC_PER_SEC;
    g_autofree char *rest = g_strdup_printf(",\"expires_us\":%" G_GINT64_FORMAT, end_us);
    g_autofree char *token = token_for("guest", "viewer", rest);
    unsigned status = 200;
    json_t *answer = NULL, *list = NULL;
    while (status == 200) { /* at least once before, for sure not behind it */
        bool before = g_get_real_time() < end_us;
        json_decref(answer);
        status = served_call(&served, served.operators, token, "GET", "/v1/plans", NULL, NULL, &answer, NULL);
        ck_assert_msg(status == 200 || !before || g_get_real_time() >= end_us, "it ended early");
        ck_assert_msg(status == 401 || g_get_real_time() < end_us + 5 * G_USEC_PER_SEC, "it does not end");
    }
    ck_assert_uint_eq(status, 401);
    ck_assert_msg(strstr(text_at(answer, "detail"), "the token of guest ended at 20") != NULL, "%s",
                  text_at(answer, "detail"));
    served_local(&served, "GET", "/v1/tokens", NULL, NULL, &list);
    ck_assert_ptr_nonnull(strchr(text_at(json_array_get(json_object_get(list, "tokens"), 0), "expires"), 'T'));
    json_decref(answer);
    json_decref(list);
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
    tcase_add_test(tcase, scopes_matrix);
    tcase_add_test(tcase, a_scope_may_be_one_thing);
    tcase_add_test(tcase, no_token_outlives_its_maker);
    tcase_add_test(tcase, a_token_ends_by_itself);
}

int main(void)
{
    return unit_run("api_roles", add);
}
