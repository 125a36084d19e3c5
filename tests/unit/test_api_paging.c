/* Listings by pages: whole, without repeats, while rows come and go; cursors that are none. */
#include "core/loop.h"
#include "schema/object.h"
#include "tests/unit/served_cli.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#define ROWS_MAX 1000u

static json_t *get(const char *path)
{
    json_t *answer = NULL;
    unsigned status = served_local(&served, "GET", path, NULL, NULL, &answer);
    ck_assert_msg(status == 200, "%s: %u %s", path, status, text_at(answer, "detail"));
    return answer;
}

/* The page behind `cursor` (or NULL: the first). *next: g_free, NULL behind the last. */
static json_t *page(const char *path, unsigned limit, const char *cursor, char **next)
{
    const char *joint = strchr(path, '?') != NULL ? "&" : "?";
    g_autofree char *url = g_strdup_printf("%s%slimit=%u%s%s", path, joint, limit, cursor != NULL ? "&cursor=" : "",
                                           cursor != NULL ? cursor : "");
    json_t *answer = get(url);
    *next = g_strdup(json_string_value(json_object_get(answer, "next")));
    return answer;
}

/* All pages, joined; between is called before each but the first. */
static json_t *walk(const char *path, const char *member, unsigned limit, void (*between)(unsigned n))
{
    json_t *all = json_array();
    g_autofree char *cursor = NULL;
    unsigned n = 0;
    do {
        char *next = NULL;
        if (between != NULL && n > 0)
            between(n);
        json_t *answer = page(path, limit, cursor, &next), *rows = json_object_get(answer, member);
        ck_assert_msg(json_array_size(rows) <= limit && (next == NULL || json_array_size(rows) == limit),
                      "%s: %zu rows", path, json_array_size(rows));
        json_array_extend(all, rows);
        json_decref(answer);
        g_free(cursor);
        cursor = next;
        ck_assert_uint_lt(++n, ROWS_MAX);
    } while (cursor != NULL);
    return all;
}

static json_t *whole(const char *path, const char *member)
{
    json_t *answer = get(path), *rows = json_incref(json_object_get(answer, member));
    json_decref(answer);
    return rows;
}

/* Rows in text form, one after the other, of the members that name them. */
static char *names_of(const json_t *rows, const char *member)
{
    GString *text = g_string_new(NULL);
    size_t i;
    const json_t *row;
    json_array_foreach (rows, i, row)
        g_string_append_printf(text, "%s ", text_at(row, member));
    return g_string_free(text, FALSE);
}

static void expect_same_rows(const char *path, const char *member, json_t *paged, json_t *all)
{
    g_autofree char *a = names_of(paged, "name"), *b = names_of(all, "name");
    ck_assert_msg(json_array_size(paged) == json_array_size(all) && strcmp(a, b) == 0, "%s %s: %s instead of %s", path,
                  member, a, b);
    json_decref(paged);
    json_decref(all);
}

static void apply_zone(const char *verb, const char *name)
{
    g_autofree char *object = g_strdup_printf("{\"kind\":\"zone\",\"name\":\"%s\"}", name),
                    *id = g_strdup_printf("\"zone/%s\"", name),
                    *body = g_strdup_printf("{\"%s\":[%s]}", verb, strcmp(verb, "remove") == 0 ? id : object);
    unsigned status = served_local(&served, "POST", "/v1/apply", NULL, body, NULL);
    ck_assert_msg(status == 200, "%s: %u", body, status);
}

START_TEST(pages_join_to_the_whole)
{
    static const char *const paths[][2] = {{"/v1/inventory/rooms", "objects"},
                                           {"/v1/inventory/pop", "objects"},
                                           {"/v1/inventory/domain", "objects"},
                                           {"/v1/plans", "plans"},
                                           {"/v1/agents", "agents"},
                                           {"/v1/tokens", "tokens"}};
    served_apply_site(&served);
    static const char *const names[] = {"vera", "oscar", "ada", "zoe", "edge-1"};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        g_free(served_token(&served, names[i], "viewer"));
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++)
        for (unsigned limit = 1; limit < 9; limit++)
            expect_same_rows(paths[i][0], paths[i][1], walk(paths[i][0], paths[i][1], limit, NULL),
                             whole(paths[i][0], paths[i][1]));
}
END_TEST

/* Around the place where the walk is: before, at, behind. */
static void come_and_go(unsigned n)
{
    g_autofree char *gone = g_strdup_printf("zone-a%02u-x", n * 3), *early = g_strdup_printf("zone-a00-%u", n),
                    *late = g_strdup_printf("zone-z%02u", n);
    apply_zone("remove", gone);
    apply_zone("objects", early);
    apply_zone("objects", late);
}

START_TEST(what_stays_comes_once)
{
    for (unsigned i = 1; i <= 12; i++) {
        g_autofree char *stays = g_strdup_printf("zone-a%02u", i), *goes = g_strdup_printf("zone-a%02u-x", i);
        apply_zone("objects", stays);
        apply_zone("objects", goes);
    }
    json_t *rows = walk("/v1/inventory/zone", "objects", 6, come_and_go);
    g_autofree char *found = names_of(rows, "name");
    for (unsigned i = 1; i <= 12; i++) {
        g_autofree char *name = g_strdup_printf("zone-a%02u ", i);
        const char *at = strstr(found, name);
        ck_assert_msg(at != NULL && strstr(at + 1, name) == NULL, "%s: %s", name, found);
    }
    ck_assert_msg(strstr(found, "zone-z01") != NULL && strstr(found, "zone-a00-") == NULL, "%s", found);
    json_decref(rows);
}
END_TEST

static void run_another(unsigned n)
{
    run_pop_plan(NULL, (int)n, NULL);
}

START_TEST(executions_while_others_start)
{
    served_apply_site(&served);
    apply_pop_plans();
    for (int i = 0; i < 11; i++)
        run_pop_plan(NULL, i, NULL);
    json_t *before = whole("/v1/executions", "executions");
    json_t *paged = walk("/v1/executions", "executions", 3, run_another),
           *after = whole("/v1/executions", "executions");
    g_autofree char *then = names_of(before, "id"), *seen = names_of(paged, "id");
    ck_assert_str_eq(seen, then);
    ck_assert_uint_eq(json_array_size(after), 11 + 3);
    json_decref(before);
    json_decref(paged);
    json_decref(after);
}
END_TEST

static void write_audit(unsigned n)
{
    g_autofree char *name = g_strdup_printf("zone-w%u", n);
    apply_zone("objects", name);
}

static void expect_rising(const json_t *rows, json_int_t from)
{
    size_t i;
    const json_t *row;
    json_array_foreach (rows, i, row)
        ck_assert_int_eq(number_at(row, "number"), from + (json_int_t)i);
}

START_TEST(audit_both_ways)
{
    for (unsigned i = 0; i < 20; i++)
        write_audit(i + 100);
    json_t *all = whole("/v1/audit?limit=1000", "audit"), *forth, *answer;
    size_t n = json_array_size(all);
    expect_rising(all, 1);
    /* Forward from the first; what is written meanwhile comes too. */
    forth = walk("/v1/audit?after=0", "audit", 7, write_audit);
    expect_rising(forth, 1);
    json_t *now = whole("/v1/audit?limit=1000", "audit");
    ck_assert(json_array_size(forth) > n && json_array_size(forth) == json_array_size(now));
    json_decref(now);
    /* Back from the newest: what is written meanwhile is not seen. */
    json_int_t newest = number_at(json_array_get(forth, json_array_size(forth) - 1), "number");
    g_autofree char *cursor = NULL;
    json_int_t last = newest;
    for (unsigned i = 0; last > 0; i++) {
        char *next = NULL;
        answer = page("/v1/audit", 5, cursor, &next);
        const json_t *rows = json_object_get(answer, "audit");
        expect_rising(rows, last - (json_int_t)json_array_size(rows) + 1);
        last -= (json_int_t)json_array_size(rows);
        ck_assert_msg((next != NULL) == (last > 0), "%d rows left", (int)last);
        json_decref(answer);
        g_free(cursor);
        cursor = next;
        write_audit(i + 200);
    }
    json_decref(all);
    json_decref(forth);
}
END_TEST

START_TEST(wrong_ones_are_refused)
{
    served_apply_site(&served);
    char *next = NULL, *link;
    json_decref(page("/v1/inventory/pop", 1, NULL, &next));
    g_autofree char *own = next, *half = g_strndup(own, strlen(own) / 2),
                    *nul = g_base64_encode((const guchar *)"a\n\0b", 4), *long_one = g_strnfill(4000, 'A');
    const struct {
        const char *path, *cursor;
    } rows[] = {{"/v1/inventory/pop", ""},    {"/v1/inventory/pop", "%40"}, {"/v1/inventory/pop", half},
                {"/v1/inventory/rooms", own}, {"/v1/plans", own},           {"/v1/audit", own},
                {"/v1/audit", nul},           {"/v1/executions", "bm9uZQ"}, {"/v1/agents", long_one}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *url = g_strdup_printf("%s?limit=2&cursor=%s", rows[i].path, rows[i].cursor);
        json_t *answer = NULL;
        unsigned status = served_local(&served, "GET", url, NULL, NULL, &answer);
        ck_assert_msg(status == 400 && strstr(text_at(answer, "detail"), "cursor: found") != NULL, "%s: %u %s", url,
                      status, text_at(answer, "detail"));
        json_decref(answer);
    }
    static const char *const limits[] = {"0", "1001", "-1", "x", ""};
    for (size_t i = 0; i < G_N_ELEMENTS(limits); i++) {
        g_autofree char *url = g_strdup_printf("/v1/inventory/pop?limit=%s", limits[i]);
        ck_assert_uint_eq(served_local(&served, "GET", url, NULL, NULL, NULL), 400);
    }
    /* A cursor of the audit with another listing's key. */
    g_autofree char *forged = g_base64_encode((const guchar *)"/v1/audit\nolder\n-3", 18),
                    *url = g_strdup_printf("/v1/audit?cursor=%s", forged);
    ck_assert_uint_eq(served_local(&served, "GET", url, NULL, NULL, NULL), 400);
    /* The header says the same as the body. */
    g_autofree char *token = served_token(&served, "vera", "viewer"),
                    *text = g_strdup_printf("GET /v1/inventory/pop?limit=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                                            "Authorization: Bearer %s\r\n\r\n",
                                            token),
                    *raw = served_raw(served.port, text, strlen(text), 10000),
                    *header = g_strdup_printf("Link: </v1/inventory/pop?limit=1&cursor=%s>; rel=\"next\"\r\n", own);
    link = strstr(raw, "Link:");
    ck_assert_msg(strstr(raw, header) != NULL, "%s", link != NULL ? link : raw);
}
END_TEST

START_TEST(the_command_fetches_all)
{
    served_apply_site(&served);
    for (unsigned i = 0; i < 60; i++)
        write_audit(i);
    json_t *all = run_json(SIGNALBOX_RUN("--json", "audit", "--all")),
           *some = run_json(SIGNALBOX_RUN("--json", "audit")),
           *few = run_json(SIGNALBOX_RUN("--json", "audit", "--limit", "3")),
           *pops = run_json(SIGNALBOX_RUN("--json", "inventory", "list", "pop", "--limit", "2"));
    ck_assert_uint_gt(json_array_size(json_object_get(all, "audit")), 60);
    expect_rising(json_object_get(all, "audit"), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(some, "audit")), 50);
    ck_assert_uint_eq(json_array_size(json_object_get(few, "audit")), 3);
    ck_assert_uint_eq(json_array_size(json_object_get(pops, "objects")), 2);
    expect_run(SIGNALBOX_RUN("inventory", "list", "pop"), 0, "pop-b2", "");
    expect_run(SIGNALBOX_RUN("inventory", "list", "pop", "--limit", "0"), 2, "", "--limit: found \"0\"");
    expect_run(SIGNALBOX_RUN("audit", "--limit", "x"), 2, "", "--limit: found \"x\"");
    json_decref(all);
    json_decref(some);
    json_decref(few);
    json_decref(pops);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_add_test(tcase, pages_join_to_the_whole);
    tcase_add_test(tcase, what_stays_comes_once);
    tcase_add_test(tcase, executions_while_others_start);
    tcase_add_test(tcase, audit_both_ways);
    tcase_add_test(tcase, wrong_ones_are_refused);
    tcase_add_test(tcase, the_command_fetches_all);
}

int main(void)
{
    return unit_run("api_paging", add);
}
