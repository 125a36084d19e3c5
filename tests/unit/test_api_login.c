/* test_api_login.c: people log in on the console: their passwords, their sessions, and who tries to get at them. */
#include "schema/route.h"
#include "server/api/attempts.h"
#include "server/api/sessions.h"
#include "tests/unit/served_cli.h"
#include "tests/unit/unit.h"

#include <signal.h>
#include <string.h>

#define PASSWORD "correct horse battery"

/* ---- a browser, as far as it matters ---- */

struct answer {
    unsigned status;
    char *text; /* all of it */
    json_t *body;
    char *cookie; /* NAME=VALUE that it sets, or NULL */
};

static void answer_clear(struct answer *answer)
{
    g_free(answer->text);
    g_free(answer->cookie);
    json_decref(answer->body);
}

/* headers: lines with their ends. */
static struct answer ask(const char *method, const char *path, const char *headers, const char *body)
{
    g_autofree char *request =
        g_strdup_printf("%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n"
                        "Content-Length: %zu\r\n%s\r\n%s",
                        method, path, served.port, body != NULL ? strlen(body) : 0, headers, body != NULL ? body : "");
    g_autofree char *length = g_strdup_printf("Content-Length: 0\r\n");
    if (body == NULL) { /* a GET has none */
        g_auto(GStrv) parts = g_strsplit(request, length, 2);
        g_free(request);
        request = g_strconcat(parts[0], parts[1], NULL);
    }
    struct answer answer = {.text = served_raw(served.port, request, strlen(request), 30000)};
    ck_assert_msg(sscanf(answer.text, "HTTP/1.1 %u", &answer.status) == 1, "%s %s: %s", method, path, answer.text);
    const char *content = strstr(answer.text, "\r\n\r\n"), *cookie = strstr(answer.text, "Set-Cookie: ");
    answer.body = content != NULL ? json_loads(content + 4, 0, NULL) : NULL;
    if (cookie != NULL)
        answer.cookie = g_strndup(cookie + 12, strcspn(cookie + 12, ";\r"));
    return answer;
}

static void expect(unsigned status, const char *says, const char *method, const char *path, const char *headers,
                   const char *body)
{
    struct answer answer = ask(method, path, headers, body);
    ck_assert_msg(answer.status == status && strstr(answer.text, says) != NULL, "%s %s: found %s, expected %u %s",
                  method, path, answer.text, status, says);
    answer_clear(&answer);
}

static void add_user(const char *name, const char *role, const char *rest)
{
    g_autofree char *body =
        g_strdup_printf("{\"name\":\"%s\",\"role\":\"%s\",\"password\":\"" PASSWORD "\"%s}", name, role, rest);
    json_t *answer = NULL;
    unsigned status = served_local(&served, "POST", "/v1/users", NULL, body, &answer);
    ck_assert_msg(status == 201, "%u %s", status, text_at(answer, "detail"));
    json_decref(answer);
}

static struct answer try(const char *name, const char *password, const char *headers)
{
    g_autofree char *body = g_strdup_printf("{\"name\":\"%s\",\"password\":\"%s\"}", name, password);
    return ask("POST", "/v1/session", headers, body);
}

/* Headers of a browser that has logged in: the cookie, and with it what changes take. */
struct browser {
    char *cookie; /* "Cookie: NAME=VALUE\r\n" */
    char *change; /* the same, and X-CSRF-Token */
};

static struct browser log_in(const char *name)
{
    struct answer answer = try(name, PASSWORD, "");
    ck_assert_msg(answer.status == 201 && answer.cookie != NULL, "%s", answer.text);
    struct browser browser = {.cookie = g_strdup_printf("Cookie: %s\r\n", answer.cookie)};
    browser.change = g_strdup_printf("%s" SESSION_HEADER ": %s\r\n", browser.cookie, text_at(answer.body, "csrf"));
    answer_clear(&answer);
    return browser;
}

static void browser_clear(struct browser *browser)
{
    g_free(browser->cookie);
    g_free(browser->change);
}

/* ---- in and out ---- */

START_TEST(in_and_out)
{
    add_user("alice", "operator", "");
    expect(200, "{\"user\":null}", "GET", "/v1/session", "", NULL);
    struct answer answer = try("alice", PASSWORD, "");
    ck_assert_uint_eq(answer.status, 201);
    ck_assert_str_eq(text_at(answer.body, "user"), "alice");
    ck_assert_str_eq(text_at(answer.body, "role"), "operator");
    ck_assert_ptr_nonnull(
        strstr(answer.text, "; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict\r\n")); /* not over TLS here */
    answer_clear(&answer);
    struct browser alice = log_in("alice");
    struct answer who = ask("GET", "/v1/session", alice.cookie, NULL);
    ck_assert_str_eq(text_at(who.body, "user"), "alice");
    ck_assert_ptr_nonnull(strstr(alice.change, text_at(who.body, "csrf")));
    answer_clear(&who);
    expect(200, "\"generation\"", "GET", "/v1/status", alice.cookie, NULL);
    expect(403, "expected that which GET /v1/session tells", "DELETE", "/v1/session", alice.cookie, NULL);
    expect(200, "\"generation\"", "GET", "/v1/status", alice.cookie, NULL);
    expect(204, "Max-Age=0", "DELETE", "/v1/session", alice.change, NULL);
    expect(401, "log in again", "GET", "/v1/status", alice.cookie, NULL);
    expect(200, "{\"user\":null}", "GET", "/v1/session", alice.cookie, NULL);
    expect(204, "", "DELETE", "/v1/session", alice.change, NULL); /* once more: it is over */
    json_t *audit = NULL;
    served_local(&served, "GET", "/v1/audit?limit=1", NULL, NULL, &audit);
    const json_t *last = json_array_get(json_object_get(audit, "audit"), 0);
    ck_assert_str_eq(text_at(last, "what"), "logged out");
    ck_assert_str_eq(text_at(last, "actor"), "alice");
    json_decref(audit);
    browser_clear(&alice);
}
END_TEST

/* What a browser brings along is never what it goes on with. */
START_TEST(no_session_is_taken_over)
{
    add_user("alice", "operator", "");
    const char *planted = "Cookie: " SESSION_COOKIE "=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n";
    expect(401, "log in again", "GET", "/v1/status", planted, NULL);
    struct answer answer = try("alice", PASSWORD, planted);
    ck_assert_uint_eq(answer.status, 201);
    ck_assert_ptr_null(strstr(planted, answer.cookie));
    answer_clear(&answer);
    expect(401, "log in again", "GET", "/v1/status", planted, NULL);
    struct browser first = log_in("alice");
    answer = try("alice", PASSWORD, first.cookie);
    ck_assert_uint_eq(answer.status, 201);
    ck_assert_ptr_null(strstr(first.cookie, answer.cookie));
    expect(401, "log in again", "GET", "/v1/status", first.cookie, NULL); /* it had its end */
    /* A cookie is none where a token is asked for, and the other way round. */
    g_autofree char *value = g_strdup(strchr(answer.cookie, '=') + 1);
    g_autofree char *as_token = g_strdup_printf("Authorization: Bearer %s\r\n", value);
    expect(401, "unknown", "GET", "/v1/status", as_token, NULL);
    g_autofree char *token = served_token(&served, "bot", "admin");
    g_autofree char *as_cookie = g_strdup_printf("Cookie: " SESSION_COOKIE "=%s\r\n", token);
    expect(401, "log in again", "GET", "/v1/status", as_cookie, NULL);
    answer_clear(&answer);
    browser_clear(&first);
}
END_TEST

/* A page of another site makes a browser send what it likes, but with the cookie no change. */
START_TEST(no_other_site_gets_through)
{
    add_user("alice", "admin", "");
    struct browser alice = log_in("alice"), other = log_in("alice");
    const char *second = strstr(other.change, SESSION_HEADER);
    g_autofree char *of_other = g_strconcat(alice.cookie, second, NULL),
                    *evil = g_strconcat(alice.change, "Origin: http://evil.test\r\n", NULL),
                    *null = g_strconcat(alice.change, "Origin: null\r\n", NULL),
                    *cross = g_strconcat(alice.change, "Sec-Fetch-Site: cross-site\r\n", NULL),
                    *sister = g_strconcat(alice.change, "Sec-Fetch-Site: same-site\r\n", NULL),
                    *own = g_strdup_printf("%sOrigin: http://127.0.0.1:%d\r\nSec-Fetch-Site: same-origin\r\n",
                                           alice.change, served.port);
    const char *const refused[] = {alice.cookie, of_other, evil, null, cross, sister};
    const char *body = "{\"name\":\"made\",\"role\":\"admin\"}";
    for (size_t i = 0; i < G_N_ELEMENTS(refused); i++)
        expect(403, "forbidden", "POST", "/v1/tokens", refused[i], body);
    expect(201, "sb_", "POST", "/v1/tokens", own, body);
    const char *const sites[] = {"Origin: http://evil.test\r\n", "Sec-Fetch-Site: cross-site\r\n"};
    for (size_t i = 0; i < G_N_ELEMENTS(sites); i++) {
        struct answer answer = try("alice", PASSWORD, sites[i]);
        ck_assert_msg(answer.status == 403 && answer.cookie == NULL, "%s", answer.text);
        answer_clear(&answer);
    }
    browser_clear(&alice);
    browser_clear(&other);
}
END_TEST

/* ---- who may what ---- */

static char *sample_path(const struct route_class *route)
{
    GString *path = g_string_new(route->path);
    g_string_replace(path, "{kind}", "rooms", 0);
    g_string_replace(path, "{lever}", "pop", 0);
    g_string_replace(path, "{object}", "pop-x", 0);
    g_string_replace(path, "{hash}", "0123", 0);
    g_string_replace(path, "{id}", "none", 0);
    g_string_replace(path, "{name}", "nobody", 0);
    return g_string_free(path, FALSE);
}

START_TEST(roles_of_people)
{
    static const struct {
        const char *name, *role;
        enum route_role have;
    } people[] = {
        {"vera", "viewer", ROUTE_VIEWER}, {"oscar", "operator", ROUTE_OPERATOR}, {"ada", "admin", ROUTE_ADMIN}};
    unsigned checked = 0, refused = 0;
    for (size_t p = 0; p < G_N_ELEMENTS(people); p++) {
        add_user(people[p].name, people[p].role, "");
        struct browser browser = log_in(people[p].name);
        for (int id = 0; id < ROUTES; id++) {
            const struct route_class *route = route_class((enum route_id)id);
            bool body = route->method[0] == 'P';
            if (route->role == ROUTE_ANY || id == ROUTE_EVENTS)
                continue;
            g_autofree char *path = sample_path(route);
            struct answer answer = ask(route->method, path, browser.change, body ? "{}" : NULL);
            bool may = route_role_may(people[p].have, route->role);
            unsigned want = route->role == ROUTE_AGENT ? 404 : may ? 0 : 403;
            ck_assert_msg(want == 0 ? answer.status != 401 && answer.status != 403 : answer.status == want,
                          "%s %s as %s: %s", route->method, path, people[p].name, answer.text);
            checked++;
            refused += want != 0;
            answer_clear(&answer);
            if (strcmp(route->method, "GET") == 0 || route->role == ROUTE_AGENT)
                continue;
            /* Another site's page has the cookie, and not the second secret; who has neither is nobody. */
            expect(403, SESSION_HEADER, route->method, path, browser.cookie, body ? "{}" : NULL);
            expect(401, "", route->method, path, "", body ? "{}" : NULL);
            refused += 2;
        }
        browser_clear(&browser);
    }
    printf("%u requests of people, %u refused\n", checked, refused);
    add_user("kept", "operator", ",\"scopes\":[\"plans\"]");
    struct browser kept = log_in("kept");
    expect(200, "plans", "GET", "/v1/plans", kept.cookie, NULL);
    expect(403, "expected one whose scopes hold it", "GET", "/v1/status", kept.cookie, NULL);
    browser_clear(&kept);
}
END_TEST

START_TEST(what_a_user_is)
{
    g_free(served_token(&served, "bot", "viewer"));
    static const struct {
        const char *body, *says;
        unsigned status;
    } rows[] = {
        {"{\"name\":\"a\",\"role\":\"agent\",\"password\":\"" PASSWORD "\"}", "viewer, operator or admin", 400},
        {"{\"name\":\"A b\",\"role\":\"viewer\",\"password\":\"" PASSWORD "\"}", "name: found", 400},
        {"{\"name\":\"bot\",\"role\":\"viewer\",\"password\":\"" PASSWORD "\"}", "token bot exists", 409},
        {"{\"name\":\"a\",\"role\":\"viewer\",\"password\":\"elevenbytes\"}", "found 11 bytes, expected 12 to 200",
         400},
        {"{\"name\":\"a\",\"role\":\"viewer\",\"password\":7}", "password: found none, expected text", 400},
        {"{\"name\":\"a\",\"role\":\"viewer\"}", "password: found none, expected text", 400},
        {"{\"name\":\"a\",\"role\":\"viewer\",\"password\":\"" PASSWORD "\",\"scopes\":[\"x\"]}", "scopes: found", 400},
        {"{\"name\":\"a\",\"role\":\"viewer\",\"password\":\"" PASSWORD "\"}", "", 201},
        {"{\"name\":\"a\",\"role\":\"viewer\",\"password\":\"" PASSWORD "\"}", "user a exists", 409},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        json_t *answer = NULL;
        unsigned status = served_local(&served, "POST", "/v1/users", NULL, rows[i].body, &answer);
        ck_assert_msg(status == rows[i].status && strstr(text_at(answer, "detail"), rows[i].says) != NULL, "%s: %u %s",
                      rows[i].body, status, text_at(answer, "detail"));
        json_decref(answer);
    }
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/tokens", NULL, "{\"name\":\"a\",\"role\":\"viewer\"}", NULL),
                      409);
    ck_assert_uint_eq(served_local(&served, "DELETE", "/v1/tokens/a", NULL, NULL, NULL), 404);
    ck_assert_uint_eq(served_local(&served, "DELETE", "/v1/users/bot", NULL, NULL, NULL), 404);
    ck_assert_uint_eq(
        served_local(&served, "PUT", "/v1/users/bot/password", NULL, "{\"password\":\"" PASSWORD "\"}", NULL), 404);
    static const char *const paths[] = {"/v1/users", "/v1/tokens"};
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        json_t *answer = NULL;
        served_local(&served, "GET", paths[i], NULL, NULL, &answer);
        char *text = json_dumps(answer, 0);
        ck_assert_msg(strstr(text, i == 0 ? "\"a\"" : "\"bot\"") != NULL &&
                          strstr(text, i == 0 ? "\"bot\"" : "\"a\"") == NULL && strstr(text, "argon2id") == NULL,
                      "%s", text);
        free(text);
        json_decref(answer);
    }
}
END_TEST

/* ---- who guesses ---- */

/* The rule by itself: time is an argument. */
START_TEST(attempts_come_back_one_by_one)
{
    sb_auto(attempts) attempts = attempts_new();
    const int64_t start = 1000 * ATTEMPTS_BACK_US;
    for (int i = 0; i < ATTEMPTS_OF_NAME; i++)
        ck_assert_int_eq(attempts_take(attempts, "alice", "192.0.2.1", start), 0);
    ck_assert_int_eq(attempts_take(attempts, "alice", "192.0.2.2", start), ATTEMPTS_BACK_US); /* from wherever */
    ck_assert_int_eq(attempts_take(attempts, "alice", "192.0.2.2", start + ATTEMPTS_BACK_US - 1), 1);
    ck_assert_int_eq(attempts_take(attempts, "alice", "192.0.2.2", start + ATTEMPTS_BACK_US), 0);
    ck_assert_int_gt(attempts_take(attempts, "alice", "192.0.2.2", start + ATTEMPTS_BACK_US), 0);
    for (int i = ATTEMPTS_OF_NAME; i < ATTEMPTS_OF_ADDRESS + 1; i++) { /* one has come back */
        g_autofree char *name = g_strdup_printf("user-%d", i);
        ck_assert_int_eq(attempts_take(attempts, name, "192.0.2.1", start + ATTEMPTS_BACK_US), 0);
    }
    ck_assert_int_gt(attempts_take(attempts, "bob", "192.0.2.1", start + ATTEMPTS_BACK_US), 0);
    attempts_give_back(attempts, "user-11", "192.0.2.1");
    ck_assert_int_eq(attempts_take(attempts, "bob", "192.0.2.1", start + ATTEMPTS_BACK_US), 0);
    /* However many are tried, so many are remembered; and the room comes back. */
    for (int i = 0; i < 2 * ATTEMPTS_KNOWN_MAX; i++) {
        g_autofree char *name = g_strdup_printf("n%d", i), *address = g_strdup_printf("a%d", i);
        int64_t wait_us = attempts_take(attempts, name, address, start);
        ck_assert_msg(i < ATTEMPTS_KNOWN_MAX / 2 - 20 ? wait_us == 0 : i < ATTEMPTS_KNOWN_MAX / 2 + 20 || wait_us > 0,
                      "%d", i);
    }
    ck_assert_int_eq(attempts_take(attempts, "carol", "192.0.2.9", start + 100 * ATTEMPTS_BACK_US), 0);
}
END_TEST

START_TEST(guessing_ends)
{
    add_user("alice", "operator", "");
    add_user("bob", "operator", "");
    g_autofree char *token = served_token(&served, "bot", "viewer");
    struct browser before = log_in("alice");
    struct answer unknown = try("nobody", "wrong wrong wrong", ""), wrong = try("alice", "wrong wrong wrong", "");
    ck_assert_uint_eq(unknown.status, 401);
    ck_assert_uint_eq(wrong.status, 401);
    ck_assert_str_eq(text_at(unknown.body, "detail"), text_at(wrong.body, "detail")); /* who exists is not told */
    answer_clear(&unknown);
    answer_clear(&wrong);
    for (int i = 1; i < ATTEMPTS_OF_NAME; i++) {
        struct answer answer = try("alice", "wrong wrong wrong", "");
        ck_assert_msg(answer.status == 401 && answer.cookie == NULL, "%d: %s", i, answer.text);
        answer_clear(&answer);
    }
    struct answer right = try("alice", PASSWORD, "");
    ck_assert_msg(right.status == 429 && right.cookie == NULL && strstr(right.text, "Retry-After: ") != NULL, "%s",
                  right.text);
    answer_clear(&right);
    expect(200, "generation", "GET", "/v1/status", before.cookie, NULL); /* who is in, is in */
    struct browser bob = log_in("bob");                                  /* and others come in */
    ck_assert_uint_eq(served_call(&served, served.operators, token, "GET", "/v1/status", NULL, NULL, NULL, NULL), 200);
    /* One password of many names: the address has an end too. */
    unsigned status = 401;
    for (int i = 0; status == 401; i++) {
        ck_assert_int_lt(i, ATTEMPTS_OF_ADDRESS);
        g_autofree char *name = g_strdup_printf("user-%d", i);
        struct answer answer = try(name, PASSWORD, "");
        status = answer.status;
        answer_clear(&answer);
    }
    ck_assert_uint_eq(status, 429);
    /* The log has who and from where, never what was tried. */
    served_end(&served, SIGTERM);
    ck_assert_ptr_nonnull(strstr(served.log->str, "a login failed"));
    ck_assert_ptr_nonnull(strstr(served.log->str, "name=alice from=127.0.0.1"));
    ck_assert_ptr_null(strstr(served.log->str, "wrong wrong"));
    browser_clear(&bob);
    browser_clear(&before);
}
END_TEST

START_TEST(hostile_logins)
{
    static const struct {
        const char *body;
        unsigned status;
    } rows[] = {{"{}", 400},
                {"{\"name\":\"alice\"}", 400},
                {"{\"name\":7,\"password\":\"" PASSWORD "\"}", 400},
                {"{\"name\":\"alice\",\"password\":[]}", 400},
                {"{\"name\":\"alice\",\"password\":\"x\",\"role\":\"admin\"}", 400},
                {"{\"name\":\"\\u202e<script>\\n\",\"password\":\"" PASSWORD "\"}", 401},
                {"{\"name\":\"alice\",\"password\":\"\"}", 401},
                {"{\"name\":\"alice' or 1=1 --\",\"password\":\"' or 1=1 --\"}", 401},
                {"{\"name\":\"-\",\"password\":\"" PASSWORD "\"}", 401},
                {"[]", 400}};
    add_user("alice", "operator", "");
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        expect(rows[i].status, "", "POST", "/v1/session", "", rows[i].body);
    g_autofree char *fill = g_strnfill(5000, 'a');
    g_autofree char *longest = g_strdup_printf("{\"name\":\"alice\",\"password\":\"%s\"}", fill),
                    *cookie = g_strdup_printf("Cookie: " SESSION_COOKIE "=%s\r\n", fill);
    expect(400, "found more than 200 bytes", "POST", "/v1/session", "", longest);
    expect(401, "log in again", "GET", "/v1/status", cookie, NULL);
    expect(401, "log in again", "GET", "/v1/status", "Cookie: " SESSION_COOKIE "=\r\n", NULL);
    ck_assert_uint_eq(served_call(&served, served.agents, NULL, "POST", "/v1/session", NULL,
                                  "{\"name\":\"alice\",\"password\":\"" PASSWORD "\"}", NULL, NULL),
                      404);
}
END_TEST

/* ---- what lasts ---- */

static void expect_nowhere(const char *folder, const char *secret)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(folder, name, NULL), *bytes = NULL;
        gsize size = 0;
        if (g_file_test(path, G_FILE_TEST_IS_DIR))
            expect_nowhere(path, secret);
        else if (g_file_get_contents(path, &bytes, &size, NULL))
            ck_assert_msg(memmem(bytes, size, secret, strlen(secret)) == NULL, "%s is in %s", secret, path);
    }
}

START_TEST(a_session_outlives_the_server_and_no_new_password)
{
    add_user("alice", "operator", "");
    struct browser gone = log_in("alice"), alice = log_in("alice");
    expect(204, "", "DELETE", "/v1/session", gone.change, NULL);
    g_autofree char *state = g_build_filename(served.dir, "state", NULL),
                    *secret = g_strndup(strchr(alice.cookie, '=') + 1, 43),
                    *second = g_strndup(strstr(alice.change, SESSION_HEADER) + strlen(SESSION_HEADER) + 2, 43);
    ck_assert_int_eq(served_end(&served, SIGKILL) & 0x7f, SIGKILL);
    expect_nowhere(state, PASSWORD);
    expect_nowhere(state, secret);
    expect_nowhere(state, second);
    served_start(&served, NULL, NULL);
    expect(200, "generation", "GET", "/v1/status", alice.cookie, NULL);
    expect(400, "", "POST", "/v1/controls", alice.change, "{}"); /* not 403: its second secret is the same */
    expect(401, "log in again", "GET", "/v1/status", gone.cookie, NULL);
    ck_assert_uint_eq(served_local(&served, "PUT", "/v1/users/alice/password", NULL,
                                   "{\"password\":\"another long password\"}", NULL),
                      204);
    expect(401, "log in again", "GET", "/v1/status", alice.cookie, NULL);
    struct answer old = try("alice", PASSWORD, ""), new = try("alice", "another long password", "");
    ck_assert_uint_eq(old.status, 401);
    ck_assert_uint_eq(new.status, 201);
    g_autofree char *cookie = g_strdup_printf("Cookie: %s\r\n", new.cookie);
    expect(200, "generation", "GET", "/v1/status", cookie, NULL);
    ck_assert_uint_eq(served_local(&served, "DELETE", "/v1/users/alice", NULL, NULL, NULL), 204);
    expect(401, "log in again", "GET", "/v1/status", cookie, NULL);
    add_user("alice", "admin", ""); /* somebody else of this name */
    expect(401, "log in again", "GET", "/v1/status", cookie, NULL);
    answer_clear(&old);
    answer_clear(&new);
    browser_clear(&gone);
    browser_clear(&alice);
}
END_TEST

/* One more than a person may have, and the oldest ends; sessions end by themselves. */
START_TEST(sessions_have_an_end)
{
    sb_auto(sessions) sessions = sessions_new();
    char text[SESSIONS_USER_MAX][SESSION_TEXT_SIZE], other[SESSION_TEXT_SIZE];
    const int64_t start = 1000, life_us = SESSION_TIME_S * (int64_t)G_USEC_PER_SEC;
    struct session found;
    for (int i = 0; i <= SESSIONS_USER_MAX; i++) {
        struct journal_entry *entry =
            i < SESSIONS_USER_MAX ? sessions_make("alice", start + i, text[i]) : sessions_make("bob", start, other);
        ck_assert(sessions_restore(sessions, entry, NULL));
        journal_entry_free(entry);
    }
    g_autoptr(GPtrArray) due = g_ptr_array_new_with_free_func((GDestroyNotify)journal_entry_free);
    sessions_due(sessions, "alice", start + 100, due);
    ck_assert_uint_eq(due->len, 1);
    ck_assert(sessions_restore(sessions, due->pdata[0], NULL));
    ck_assert(!sessions_find(sessions, text[0], start + 100, &found));
    ck_assert(sessions_find(sessions, text[1], start + 100, &found));
    ck_assert_str_eq(found.user, "alice");
    session_clear(&found);
    ck_assert(sessions_find(sessions, other, start + life_us - 1, &found));
    session_clear(&found);
    ck_assert(!sessions_find(sessions, other, start + life_us, &found));
    g_ptr_array_set_size(due, 0);
    sessions_due(sessions, NULL, start + life_us, due);
    ck_assert_uint_eq(due->len, 1);
}
END_TEST

/* ---- the command ---- */

/* In a shell, which gives it a standard input; $SB is the command at the served server. */
static struct run shell(const char *words)
{
    g_autofree char *line = g_strdup_printf("SB='%s --socket %s'; %s", SIGNALBOX, served.socket, words);
    char shell_word[] = "sh", flag[] = "-c", *argv[] = {shell_word, flag, line, NULL};
    struct run run = {0};
    int status = 0;
    ck_assert(g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &run.out, &run.err, &status, NULL));
    run.code = WEXITSTATUS(status);
    return run;
}

START_TEST(users_by_command)
{
    expect_run(shell("echo '" PASSWORD "' | $SB user add alice --role operator"), 0, "", "");
    expect_run(shell("echo short | $SB user add bob --role operator"), 2, "", "found 5 bytes");
    expect_run(shell("$SB user add bob --role operator </dev/null"), 1, "", "password: found none");
    expect_run(shell("echo '" PASSWORD "' | $SB user add bob"), 2, "", "usage: signalbox user add");
    expect_run(shell("$SB user list"), 0, "alice", "");
    struct browser alice = log_in("alice");
    expect_run(shell("echo 'another long password' | $SB user passwd alice"), 0, "", "");
    expect(401, "log in again", "GET", "/v1/status", alice.cookie, NULL);
    expect_run(shell("$SB user remove alice"), 0, "", "");
    expect_run(shell("$SB user remove alice"), 1, "", "there is none of this name");
    browser_clear(&alice);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_test(tcase, in_and_out);
    tcase_add_test(tcase, no_session_is_taken_over);
    tcase_add_test(tcase, no_other_site_gets_through);
    tcase_add_test(tcase, roles_of_people);
    tcase_add_test(tcase, what_a_user_is);
    tcase_add_test(tcase, attempts_come_back_one_by_one);
    tcase_add_test(tcase, guessing_ends);
    tcase_add_test(tcase, hostile_logins);
    tcase_add_test(tcase, a_session_outlives_the_server_and_no_new_password);
    tcase_add_test(tcase, sessions_have_an_end);
    tcase_add_test(tcase, users_by_command);
}

int main(void)
{
    return unit_run("api_login", add);
}
