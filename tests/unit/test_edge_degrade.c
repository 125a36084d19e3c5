/* A real HAProxy that answers in a service's place: static answers, the last good ones, limits; all by maps alone. */
#include "schema/field.h"
#include "schema/inventory.h"
#include "tests/unit/edgestage.h"

#include <stdio.h>
#include <string.h>

#define SECOND_US 1000000

/* The site at rest, but what manual.home and creator.creator have behind their road, and the rows of interfaces. */
static char *policies(const char *home, const char *creator, const char *interfaces)
{
    return g_strdup_printf("core-line.playback 7|multi|on|relay\n"
                           "core.playback 7|multi|on|local\n"
                           "creator.creator 3|single|off|local%s\n"
                           "creator.upload 3|single|off|local\n"
                           "%s"
                           "manual.home 7|multi|off|local%s\n",
                           creator, interfaces, home);
}

/* How long the change took, until it was read back. */
static int64_t apply(struct stage *s, uint64_t generation, const char *home, const char *creator, const char *rooms)
{
    g_autofree char *text = policies(home, creator, "");
    int64_t begin_us = loop_now_us();
    stage_must_apply(s, generation, &(struct edge_table_text){.policies = text, .rooms = rooms});
    return loop_now_us() - begin_us;
}

/* home with its interfaces, also by the name of search. */
static void apply_interfaces(struct stage *s, uint64_t generation, const char *home, const char *interfaces)
{
    g_autofree char *text = policies(home, "", interfaces);
    stage_must_apply(s, generation,
                     &(struct edge_table_text){.policies = text,
                                               .routes = "creator.example.test/ creator.creator\n"
                                                         "home.example.test/ manual.home\n"
                                                         "search.example.test/ manual.home\n"});
}

static unsigned asked(const struct stage *s)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < ORIGINS; i++)
        sum += atomic_load(&s->origins[i].requests);
    return sum;
}

static void declare_answer(struct stage *s)
{
    /* {"busy": true} */
    g_autofree char *old = s->layout;
    s->layout = g_strconcat("answer/home 200|7b2262757379223a20747275657d\n", old, NULL);
}

static char *pid_of(struct stage *s)
{
    g_autofree char *info = stage_admin(s, "show info\n");
    const char *at = strstr(info, "\nPid: ");
    ck_assert_ptr_nonnull(at);
    return g_strndup(at + 1, strcspn(at + 1, "\n"));
}

static void expect_table(struct stage *s, const char *key, const char *count)
{
    g_autofree char *table = stage_admin(s, "show table st_answered\n");
    g_autofree char *begin = g_strdup_printf("key=%s ", key);
    const char *row = strstr(table, begin);
    ck_assert_msg(row != NULL, "no %s in %s", key, table);
    g_autofree char *line = g_strndup(row, strcspn(row, "\n"));
    ck_assert_msg(strstr(line, count) != NULL, "%s", line);
}

START_TEST(a_static_answer_comes_within_a_second_and_asks_nobody)
{
    struct stage s;
    stage_begin(&s);
    declare_answer(&s);
    apply(&s, 7, "", "", NULL);
    g_autofree char *pid = pid_of(&s);
    struct answer answer = stage_request(&s, "GET", "home.example.test", "/", NULL);
    ck_assert_int_eq(answer.status, 200);
    g_free(answer.text);
    unsigned before = asked(&s);
    int64_t took_us = apply(&s, 8, "||static|0", "||static|0", NULL);
    struct answer home = stage_request(&s, "POST", "home.example.test", "/", NULL);
    struct answer creator = stage_request(&s, "GET", "creator.example.test", "/", NULL);
    struct answer upload = stage_request(&s, "GET", "creator.example.test", "/upload/", NULL);
    printf("static: %" G_GINT64_FORMAT " us\n", took_us);
    ck_assert_int_lt(took_us, SECOND_US);
    ck_assert_int_eq(home.status, 200);
    ck_assert_msg(strstr(home.text, "\r\n\r\n{\"busy\": true}") != NULL, "%s", home.text);
    answer_expect(&home, false, "content-type", "application/json");
    answer_expect(&home, false, "x-sb-reason", "degraded");
    ck_assert_int_eq(creator.status, 503);
    answer_expect(&creator, false, "retry-after", "5");
    answer_expect(&creator, false, "x-sb-reason", "degraded");
    ck_assert_int_eq(upload.status, 200); /* another service of the same name */
    ck_assert_uint_eq(asked(&s), before + 1);
    expect_table(&s, "manual.home//static", "http_req_cnt=1");
    g_autofree char *unanswered = stage_admin(&s, "show table st_unanswered\n");
    ck_assert_ptr_null(strstr(unanswered, "gpc0=1"));
    apply(&s, 9, "", "", NULL);
    ck_assert_int_eq(stage_status(&s, "GET", "home.example.test", "/"), 200);
    g_autofree char *after = pid_of(&s);
    ck_assert_str_eq(after, pid); /* no reload */
    g_free(home.text);
    g_free(creator.text);
    g_free(upload.text);
    stage_end(&s);
}
END_TEST

/* Anyone can write X-SB-Relayed. A public edge makes nothing of it; a dedicated one gives no more than the limit. */
START_TEST(a_client_that_says_it_was_relayed_gets_no_more)
{
    static const char header[] = "X-SB-Relayed: edge-2\r\nX-SB-Slot: 3\r\n";
    struct stage s;
    stage_begin(&s);
    declare_answer(&s);
    apply(&s, 7, "||static|0", "||live|1", NULL);
    unsigned before = asked(&s);
    struct answer answer = stage_request(&s, "GET", "home.example.test", "/", header);
    answer_expect(&answer, false, "x-sb-reason", "degraded");
    g_free(answer.text);
    ck_assert_uint_eq(asked(&s), before);
    for (unsigned dedicated = 0; dedicated < 2; dedicated++) {
        if (dedicated == 1) {
            g_free(s.layout);
            s.layout = g_strdup_printf("class dedicated\norigin/room-a/ring 127.0.0.1:%u\n", s.origins[POP_A1].port);
            apply(&s, 8, "||static|0", "||live|1", NULL);
            answer = stage_request(&s, "GET", "home.example.test", "/", header); /* answered by the service */
            ck_assert_int_eq(answer.status, 200);
            g_free(answer.text);
        }
        bool limited = false;
        EVENTUALLY((answer = stage_request(&s, "GET", "creator.example.test", "/", header),
                    limited = strstr(answer.text, "\r\nx-sb-reason: limit\r\n") != NULL, g_free(answer.text), limited));
    }
    stage_end(&s);
}
END_TEST

START_TEST(probes_go_the_real_road)
{
    struct stage s;
    stage_begin(&s);
    apply(&s, 7, "||static|1", "", NULL);
    for (int i = 0; i < 3; i++) {
        struct answer answer = stage_request(&s, "GET", "home.example.test", "/", "X-SB-Probe: 1\r\n");
        ck_assert_int_eq(answer.status, 200);
        g_free(answer.text);
    }
    stage_end(&s);
}
END_TEST

/* What it answered last while it lived; what edges may not keep, or never saw, fails as ever. */
START_TEST(the_last_good_answer_outlives_its_service)
{
    static const char *const paths[] = {"/a", "/b"};
    static const char *const reloads[] = {NULL, "Cache-Control: max-age=0\r\n", "Pragma: no-cache\r\n",
                                          "Cache-Control: no-cache\r\nPragma: no-cache\r\n"};
    struct stage s;
    stage_begin(&s);
    apply(&s, 7, "||keep|0", "", NULL);
    unsigned before = asked(&s);
    for (unsigned k = 0; k < 6; k++) { /* kept, but not given while all is well */
        struct answer answer = stage_request(&s, "GET", "home.example.test", paths[k % 2], NULL);
        g_autofree char *kept = answer_header(&answer, false, "x-sb-last-good");
        g_autofree char *life = answer_header(&answer, false, "cache-control");
        ck_assert_int_eq(answer.status, 200);
        ck_assert_ptr_null(kept);
        ck_assert_ptr_null(life);
        g_free(answer.text);
    }
    ck_assert_uint_eq(asked(&s), before + 6);
    stage_status(&s, "GET", "creator.example.test", "/a"); /* nobody said that it may be kept */
    for (unsigned i = 0; i < EDGE_3; i++)
        origin_stop(&s.origins[i]);
    EVENTUALLY(stage_status(&s, "GET", "home.example.test", "/a") == 503);
    int64_t took_us = apply(&s, 8, "||stale|0", "",
                            "degrade/room-a stale|0\nmulti/room-a room-a\nmulti/room-b room-b\n"
                            "single/room-a room-a\nsingle/room-b room-b\n");
    printf("stale: %" G_GINT64_FORMAT " us\n", took_us);
    ck_assert_int_lt(took_us, SECOND_US);
    for (unsigned k = 0; k < 4; k++) {
        struct answer answer = stage_request(&s, "GET", "home.example.test", paths[k % 2], reloads[k]);
        ck_assert_int_eq(answer.status, 200);
        answer_expect(&answer, false, "x-sb-reason", "last-good");
        answer_expect(&answer, false, "cache-control", "no-store");
        g_free(answer.text);
    }
    ck_assert_int_eq(stage_status(&s, "GET", "home.example.test", "/never-asked"), 503);
    ck_assert_int_eq(stage_status(&s, "GET", "creator.example.test", "/a"), 503);
    expect_table(&s, "manual.home//last-good", "http_req_cnt=4");
    stage_end(&s);
}
END_TEST

/* One user's answer, however that is written; and nothing whose head it could not give back as it was. */
START_TEST(what_is_not_for_all_is_not_kept)
{
    static const struct {
        const char *path, *said;
        int later;
    } rows[] = {{"/open", "x-answer: public\r\n", 200},
                {"/private", "x-answer: private\r\n", 503},
                {"/Private", "x-answer: Private, max-age=5\r\n", 503},
                {"/no-store", "x-answer: No-Store\r\n", 503},
                {"/no-cache", "x-answer: max-age=5, NO-CACHE\r\n", 503},
                {"/two-lines", "x-answer: no-transform\r\nx-answer: max-age=5\r\n", 503}};
    struct stage s;
    stage_begin(&s);
    apply(&s, 7, "||keep|0", "", NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct answer answer = stage_request(&s, "GET", "home.example.test", rows[i].path, rows[i].said);
        g_autofree char *said = g_ascii_strdown(rows[i].said, -1);
        g_auto(GStrv) lines = g_strsplit(said, "x-answer: ", -1);
        ck_assert_int_eq(answer.status, 200);
        for (char **line = lines + 1; *line != NULL; line++) {
            g_autofree char *expected = g_strconcat("\r\ncache-control: ", *line, NULL);
            ck_assert_msg(strstr(answer.text, expected) != NULL, "no %s in %s", expected, answer.text);
        }
        g_free(answer.text);
    }
    for (unsigned i = 0; i < EDGE_3; i++)
        origin_stop(&s.origins[i]);
    apply(&s, 8, "||stale|0", "", NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        int status = stage_status(&s, "GET", "home.example.test", rows[i].path);
        ck_assert_msg(status == rows[i].later, "%s: found %d, expected %d", rows[i].path, status, rows[i].later);
    }
    stage_end(&s);
}
END_TEST

/* 300 requests in a second and a half, of which 20 a second may come. */
START_TEST(a_limit_lets_through_what_it_says)
{
    enum { N = 300, LIMIT = 20 };
    static const struct {
        const char *home, *rooms;
    } rows[] = {{"||live|20", NULL},
                {"", "degrade/room-a live|10\ndegrade/room-b live|10\nmulti/room-a room-a\nmulti/room-b room-b\n"
                     "single/room-a room-a\nsingle/room-b room-b\n"}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct stage s;
        stage_begin(&s);
        apply(&s, 7, rows[i].home, "", rows[i].rooms);
        int64_t begin_us = loop_now_us();
        struct answer *answers = stage_volley(&s, "home.example.test", "/", N, 5000);
        double seconds = (double)(loop_now_us() - begin_us) / SECOND_US;
        for (unsigned k = 0; k < N; k++)
            if (answers[k].status == 503) {
                answer_expect(&answers[k], false, "x-sb-reason", "limit");
                answer_expect(&answers[k], false, "retry-after", "1");
            }
        unsigned passed = N - volley_others(answers, N, 200);
        printf("limit: %u of %u in %.1f s\n", passed, N, seconds);
        ck_assert_uint_ge(passed, LIMIT);
        ck_assert_msg(passed <= (seconds + 1) * LIMIT * 1.2 + 4, "%u passed in %.1f s", passed, seconds);
        ck_assert_uint_eq(asked(&s), passed);
        apply(&s, 8, "", "", NULL);
        ck_assert_int_eq(stage_status(&s, "GET", "home.example.test", "/"), 200);
        stage_end(&s);
    }
}
END_TEST

/* ---- by interface ---- */

static const struct {
    const char *method, *host, *path; /* host NULL: any */
} interfaces[] = {
    {"any", NULL, "/a"},
    {"get", NULL, "/a"},
    {"any", "search.example.test", "/a"},
    {"get", NULL, "/a/b"},
    {"any", NULL, "/a/b/c"},
    {"post", "search.example.test", "/a/b"},
    {"put", NULL, "/a/bc"},
    {"get", "search.example.test", "/A"},
};

static struct inventory *interfaces_inventory(void)
{
    struct inventory *inv = inventory_new();
    for (size_t i = 0; i < G_N_ELEMENTS(interfaces); i++) {
        struct interface *interface = g_new0(struct interface, 1);
        interface->o.kind = OBJECT_interface;
        interface->o.name = g_strdup_printf("i-%zu", i);
        interface->service = g_strdup("home");
        interface->host = g_strdup(interfaces[i].host);
        interface->path = g_strdup(interfaces[i].path);
        interface->method = choice_find(INTERFACE_METHODS, interfaces[i].method);
        inventory_put(inv, &interface->o);
    }
    return inv;
}

static int text_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Number `fixed` answers by itself, the others do not. */
static char *interface_rows(size_t fixed)
{
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(g_free);
    for (size_t i = 0; i < G_N_ELEMENTS(interfaces); i++)
        g_ptr_array_add(rows, g_strdup_printf(INTERFACE_ROW "home/%s/%s%s/ %zu|%s|0|0\n", interfaces[i].method,
                                              interfaces[i].host != NULL ? interfaces[i].host : "-", interfaces[i].path,
                                              strlen(interfaces[i].path) + 1, i == fixed ? "static" : "live"));
    g_ptr_array_sort(rows, text_compare);
    g_ptr_array_add(rows, NULL);
    return g_strjoinv("", (char **)rows->pdata);
}

/* HAProxy finds the same interface for a request as the schema does. */
START_TEST(an_edge_and_the_schema_mean_the_same_interface)
{
    static const char *const methods[] = {"GET", "POST", "PUT"};
    static const char *const hosts[] = {"home.example.test", "search.example.test"};
    static const char *const paths[] = {"/",       "/a",      "/a/",  "/ab", "/a/b?c=/a/b/c", "/a/b/x", "/a/b/c",
                                        "/a/bc/d", "//a//bc", "/%61", "/A",  "/x/a/b"};
    static const char *const meant[] = {"/",      "/a",      "/a/",   "/ab", "/a/b", "/a/b/x",
                                        "/a/b/c", "/a/bc/d", "/a/bc", "/a",  "/A",   "/x/a/b"};
    struct stage s;
    sb_auto(inventory) inv = interfaces_inventory();
    unsigned answered = 0;
    stage_begin(&s);
    for (size_t fixed = 0; fixed < G_N_ELEMENTS(interfaces); fixed++) {
        g_autofree char *rows = interface_rows(fixed), *name = g_strdup_printf("i-%zu", fixed);
        apply_interfaces(&s, 7 + fixed, "||live|0|interfaces", rows);
        for (size_t k = 0; k < G_N_ELEMENTS(methods) * G_N_ELEMENTS(hosts) * G_N_ELEMENTS(paths); k++) {
            const char *method = methods[k % 3], *host = hosts[k / 3 % 2];
            g_autofree char *lower = g_ascii_strdown(method, -1);
            const struct interface *interface = interface_of(inv, "home", host, lower, meant[k / 6]);
            bool expected = interface != NULL && strcmp(interface->o.name, name) == 0;
            int status = stage_status(&s, method, host, paths[k / 6]);
            answered += status == 503;
            ck_assert_msg(status == (expected ? 503 : 200), "%s %s%s: found %d, it is of %s, and %s is static", method,
                          host, paths[k / 6], status, interface != NULL ? interface->o.name : "none", name);
        }
    }
    ck_assert_uint_eq(answered, 3 * 2 * 12 - 3 * 2 * 3 - 5); /* /, /ab and /x/a/b are of none; of /A one is */
    ck_assert_int_eq(stage_status(&s, "GET", "creator.example.test", "/a"), 200);
    stage_end(&s);
}
END_TEST

/* What an interface says stands in its service's place; what a room says stands above both. */
START_TEST(an_interface_has_its_own_answer)
{
    struct stage s;
    stage_begin(&s);
    declare_answer(&s);
    apply_interfaces(&s, 7, "||keep|0|interfaces",
                     "interface/home/any/-/api/ 5|static|0|0\ninterface/home/any/-/old/ 5|keep|0|0\n");
    struct answer answer = stage_request(&s, "GET", "home.example.test", "/api/x", NULL);
    ck_assert_msg(strstr(answer.text, "\r\n\r\n{\"busy\": true}") != NULL, "%s", answer.text);
    g_free(answer.text);
    answer = stage_request(&s, "GET", "home.example.test", "/api/x", "X-SB-Probe: 1\r\n");
    answer_expect(&answer, true, "x-sb-probe", "1"); /* the real road */
    g_free(answer.text);
    ck_assert_int_eq(stage_status(&s, "GET", "home.example.test", "/old/x"), 200);
    ck_assert_int_eq(stage_status(&s, "GET", "home.example.test", "/new"), 200);
    apply_interfaces(&s, 8, "||static|0|interfaces",
                     "interface/home/any/-/api/ 5|keep|0|0\ninterface/home/any/-/old/ 5|stale|0|0\n");
    for (unsigned i = 0; i < EDGE_3; i++)
        origin_stop(&s.origins[i]);
    answer = stage_request(&s, "GET", "home.example.test", "/old/x", NULL);
    ck_assert_int_eq(answer.status, 200);
    answer_expect(&answer, false, "x-sb-reason", "last-good");
    g_free(answer.text);
    answer = stage_request(&s, "GET", "home.example.test", "/new", NULL);
    answer_expect(&answer, false, "x-sb-reason", "degraded");
    g_free(answer.text);
    answer = stage_request(&s, "GET", "home.example.test", "/api/x", NULL);
    answer_expect(&answer, false, "x-sb-reason", "no-answer"); /* off: nobody answers in its place */
    g_free(answer.text);
    g_autofree char *text = policies("||live|0|interfaces", "", "interface/home/any/-/api/ 5|live|0|0\n");
    stage_must_apply(&s, 9,
                     &(struct edge_table_text){.policies = text,
                                               .rooms = "degrade/room-a static|0\ndegrade/room-b static|0\n"
                                                        "multi/room-a room-a\nmulti/room-b room-b\n"
                                                        "single/room-a room-a\nsingle/room-b room-b\n"});
    answer = stage_request(&s, "GET", "home.example.test", "/api/x", NULL);
    answer_expect(&answer, false, "x-sb-reason", "degraded");
    g_free(answer.text);
    stage_end(&s);
}
END_TEST

/* How many of N requests in a second for the path come through, and in which time. */
enum { N = 200, LIMIT = 20 };
static unsigned volley_passed(struct stage *s, const char *path, double *seconds)
{
    int64_t begin_us = loop_now_us();
    struct answer *answers = stage_volley(s, "home.example.test", path, N, 5000);
    *seconds = (double)(loop_now_us() - begin_us) / SECOND_US;
    for (unsigned k = 0; k < N; k++)
        if (answers[k].status == 503)
            answer_expect(&answers[k], false, "x-sb-reason", "limit");
    return N - volley_others(answers, N, 200);
}

/* Its own, and the service's, which counts the interfaces' requests too. */
START_TEST(an_interface_has_its_own_limit)
{
    static const struct {
        const char *home, *interfaces;
        unsigned of_api, of_others; /* 0: all */
    } rows[] = {
        {"||live|0|interfaces", "interface/home/any/-/api/ 5|live|20|1\ninterface/home/any/-/b/ 3|live|20|8\n", LIMIT,
         0},
        {"||live|20|interfaces", "interface/home/any/-/api/ 5|live|1000000|8\n", LIMIT, LIMIT},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct stage s;
        stage_begin(&s);
        apply_interfaces(&s, 7, rows[i].home, rows[i].interfaces);
        for (unsigned k = 0; k < 3; k++) {
            static const char *const paths[] = {"/api/x", "/b", "/c"};
            unsigned limit = k == 2 || (k == 1 && i == 1) ? rows[i].of_others : rows[i].of_api;
            double seconds;
            unsigned passed = volley_passed(&s, paths[k], &seconds);
            printf("limit: %u of %s in %.1f s\n", passed, paths[k], seconds);
            ck_assert_msg(limit > 0 ? passed <= (seconds + 1) * limit * 1.2 + 4 : passed == N,
                          "%u of %s passed in %.1f s", passed, paths[k], seconds);
            ck_assert_uint_ge(passed, LIMIT / 2);
        }
        stage_end(&s);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_static_answer_comes_within_a_second_and_asks_nobody);
    tcase_add_test(tcase, a_client_that_says_it_was_relayed_gets_no_more);
    tcase_add_test(tcase, probes_go_the_real_road);
    tcase_add_test(tcase, the_last_good_answer_outlives_its_service);
    tcase_add_test(tcase, what_is_not_for_all_is_not_kept);
    tcase_add_test(tcase, a_limit_lets_through_what_it_says);
    tcase_add_test(tcase, an_edge_and_the_schema_mean_the_same_interface);
    tcase_add_test(tcase, an_interface_has_its_own_answer);
    tcase_add_test(tcase, an_interface_has_its_own_limit);
}

int main(void)
{
    return unit_run("edge_degrade", add);
}
