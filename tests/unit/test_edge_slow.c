/* A real HAProxy whose services are slow or fail: what is passed on, how often origins are asked, what is marked down.
 */
#include "tests/unit/edgestage.h"

#include <stdio.h>
#include <string.h>

#define NOBODY_BLAMED(s)                                                                                               \
    do {                                                                                                               \
        g_autofree char *blamed = stage_blamed(s);                                                                     \
        ck_assert_str_eq(blamed, "");                                                                                  \
    } while (0)

static const struct edge_table_text rest;
/* Every service waits 3 s. */
static const struct edge_table_text patient = {.policies = "core-line.playback 7|multi|on|relay|3000\n"
                                                           "core.playback 7|multi|on|local|3000\n"
                                                           "creator.creator 3|single|off|local|3000\n"
                                                           "creator.upload 3|single|off|local|3000\n"
                                                           "manual.home 7|multi|off|local|3000\n"};
static const char *const hosts[] = {"play.example.test", "home.example.test", "creator.example.test",
                                    "play-line.example.test"};

static unsigned asked(const struct stage *s)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < ORIGINS; i++)
        sum += atomic_load(&s->origins[i].requests);
    return sum;
}

static void slow(struct stage *s, int ms)
{
    for (unsigned i = 0; i < ORIGINS; i++)
        atomic_store(&s->origins[i].slow_ms, ms);
}

static void one_after_the_other(struct stage *s, const char *host, const char *path, unsigned n, int status)
{
    for (unsigned k = 0; k < n; k++) {
        g_autofree char *cookie = g_strdup_printf("Cookie: uid=%u\r\n", k);
        struct answer answer = stage_request(s, "GET", host, path, cookie);
        ck_assert_msg(answer.status == status, "%s%s: %s", host, path, answer.text);
        g_free(answer.text);
    }
}

/* A dedicated edge on origins of its own, and a public one whose relay it is. */
static void two_edges_begin(struct stage *dedicated, struct stage *public, const struct edge_table_text *text)
{
    struct edge_table_text table = *text;
    g_autofree char *local = g_strdup(table.policies != NULL ? table.policies : edge_table_rest.policies);
    memcpy(strstr(local, "relay"), "local", strlen("local"));
    stage_begin(dedicated);
    table.policies = local;
    table.origins = "";
    g_autofree char *ring =
        g_strdup_printf("class dedicated\norigin/room-a/ring 127.0.0.1:%u\norigin/room-b/ring 127.0.0.1:%u\n",
                        dedicated->origins[POP_A1].port, dedicated->origins[POP_B1].port);
    table.layout = ring;
    stage_must_apply(dedicated, 7, &table);
    stage_begin(public);
    char *relay = strstr(public->layout, "relay/edge-3 ");
    ck_assert_ptr_nonnull(relay);
    *relay = '\0';
    g_autofree char *entrances = public->layout;
    public->layout = g_strdup_printf("%srelay/edge-3 127.0.0.1:%u\n", entrances, dedicated->port);
    stage_must_apply(public, 7, text);
}

struct road {
    struct stage *stage;
    const char *host, *path;
    struct answer *answers;
    pthread_t thread;
};
#define EACH 10u

static void *road_run(void *data)
{
    struct road *road = data;
    road->answers = stage_volley(road->stage, road->host, road->path, EACH, 20000);
    return NULL;
}

/* All roads at once: four ways of a public edge (one of them to the dedicated one), three of a dedicated edge. */
static void by_every_road(const char *path, int status, int64_t at_least_us)
{
    struct stage public, dedicated;
    struct road roads[2 * G_N_ELEMENTS(hosts)];
    two_edges_begin(&dedicated, &public, &patient);
    slow(&dedicated, 2000);
    slow(&public, 2000);
    for (unsigned i = 0; i < G_N_ELEMENTS(roads); i++) {
        struct stage *stage = i % 2 == 0 ? &public : &dedicated;
        roads[i] = (struct road){.stage = stage, .host = hosts[i / 2], .path = path};
        ck_assert_int_eq(pthread_create(&roads[i].thread, NULL, road_run, &roads[i]), 0);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(roads); i++) {
        pthread_join(roads[i].thread, NULL);
        for (unsigned k = 0; k < EACH; k++)
            ck_assert_int_ge(roads[i].answers[k].took_us, at_least_us);
        const char *edge = i % 2 == 0 ? "public" : "dedicated";
        unsigned others = volley_others(roads[i].answers, EACH, status);
        ck_assert_msg(others == 0, "%s by the %s edge: %u not %d", roads[i].host, edge, others, status);
    }
    ck_assert_uint_eq(asked(&public) + asked(&dedicated), EACH * G_N_ELEMENTS(roads));
    NOBODY_BLAMED(&public);
    NOBODY_BLAMED(&dedicated);
    stage_end(&public);
    stage_end(&dedicated);
}

START_TEST(a_service_slower_than_the_default_but_not_than_its_own_is_asked_once_by_every_road)
{
    by_every_road("/slow", 200, 2000000);
}
END_TEST

START_TEST(a_500_is_passed_on_by_every_road)
{
    by_every_road("/fails", 500, 0);
}
END_TEST

/* Who is slower than its own time-out is not asked again either. */
START_TEST(an_answer_that_never_comes_is_waited_for_as_long_as_the_policy_says)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &(struct edge_table_text){.policies = "core.playback 7|multi|on|local|1500\n"});
    slow(&s, 5000);
    struct answer *answers = stage_volley(&s, "play.example.test", "/slow", EACH, 20000);
    for (unsigned i = 0; i < EACH; i++)
        ck_assert_msg(answers[i].took_us >= 1450000 && answers[i].took_us < 2500000, "%" G_GINT64_FORMAT " us",
                      answers[i].took_us);
    ck_assert_uint_eq(volley_others(answers, EACH, 504), 0);
    ck_assert_uint_eq(asked(&s), EACH);
    NOBODY_BLAMED(&s);
    stage_end(&s);
}
END_TEST

/* Loads that a destination without a time-out of its own gets while it is slow everywhere, or loses every connection:
 * what was asked again is a tenth of what users asked. */
START_TEST(asking_again_has_a_budget)
{
    static const struct {
        const char *host, *path;
    } rows[] = {
        {"creator.example.test", "/slow"},
        {"play.example.test", "/slow"},
        {"play-line.example.test", "/slow"},
        {"creator.example.test", "/closes"},
    };
    enum { WELL = 800, ILL = 200 };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct stage public, dedicated;
        two_edges_begin(&dedicated, &public, &rest);
        slow(&dedicated, 2000);
        slow(&public, 2000);
        one_after_the_other(&public, rows[i].host, "/", WELL, 200);
        if (strcmp(rows[i].path, "/closes") == 0) {
            one_after_the_other(&public, rows[i].host, rows[i].path, ILL, 502);
        } else {
            struct answer *answers = stage_volley(&public, rows[i].host, rows[i].path, ILL, 10000);
            unsigned others = volley_others(answers, ILL, 504);
            ck_assert_msg(others == 0, "%s%s: %u not 504", rows[i].host, rows[i].path, others);
        }
        unsigned n = asked(&public) + asked(&dedicated), most = (WELL + ILL) * 11 / 10;
        printf("%s%s: %u requests of users, %u at the origins\n", rows[i].host, rows[i].path, WELL + ILL, n);
        ck_assert_msg(n <= most, "%s%s: the origins were asked %u times, at most %u expected", rows[i].host,
                      rows[i].path, n, most);
        NOBODY_BLAMED(&public);
        NOBODY_BLAMED(&dedicated);
        stage_end(&public);
        stage_end(&dedicated);
    }
}
END_TEST

/* What an origin can know: the same request, by another entrance. */
START_TEST(each_attempt_names_its_entrance_and_its_request)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &rest);
    struct answer first = stage_request(&s, "GET", "creator.example.test", "/", "X-SB-Request: forged\r\n");
    struct answer relayed = stage_request(&s, "GET", "creator.example.test", "/",
                                          "X-SB-Relayed: edge-2\r\n"
                                          "X-SB-Request: 01234567-89ab-cdef-0123-456789abcdef\r\n");
    g_autofree char *attempt = answer_header(&first, true, "x-sb-attempt");
    g_autofree char *request = answer_header(&first, true, "x-sb-request");
    ck_assert_msg(attempt != NULL && g_str_has_prefix(attempt, "room-a.pop-a"), "%s", first.text);
    ck_assert_msg(request != NULL && strlen(request) == 36, "%s", first.text);
    answer_expect(&relayed, true, "x-sb-request", "01234567-89ab-cdef-0123-456789abcdef");
    g_free(first.text);
    g_free(relayed.text);
    origin_stop(&s.origins[POP_A1]);
    for (unsigned i = 0; i < 4; i++) { /* whichever entrance is tried first */
        struct answer answer = stage_request(&s, "GET", "creator.example.test", "/", NULL);
        answer_expect(&answer, true, "x-sb-attempt", "room-a.pop-a2");
        g_free(answer.text);
    }
    stage_end(&s);
}
END_TEST

/* While they wait for a slow answer, their entrance ends all connections and takes no new ones. */
START_TEST(what_waits_for_a_slow_answer_survives_its_entrance)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &patient);
    slow(&s, 1500);
    struct road roads[] = {{.stage = &s, .host = "play.example.test", .path = "/slow"},
                           {.stage = &s, .host = "home.example.test", .path = "/slow"},
                           {.stage = &s, .host = "creator.example.test", .path = "/slow"}};
    for (unsigned i = 0; i < G_N_ELEMENTS(roads); i++)
        ck_assert_int_eq(pthread_create(&roads[i].thread, NULL, road_run, &roads[i]), 0);
    EVENTUALLY(asked(&s) == EACH * G_N_ELEMENTS(roads));
    unsigned hit = atomic_load(&s.origins[POP_A1].requests);
    origin_cut(&s.origins[POP_A1]);
    for (unsigned i = 0; i < G_N_ELEMENTS(roads); i++) {
        pthread_join(roads[i].thread, NULL);
        ck_assert_uint_eq(volley_others(roads[i].answers, EACH, 200), 0);
    }
    ck_assert_uint_gt(hit, 0);
    ck_assert_uint_eq(asked(&s), EACH * G_N_ELEMENTS(roads) + hit);
    stage_end(&s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_service_slower_than_the_default_but_not_than_its_own_is_asked_once_by_every_road);
    tcase_add_test(tcase, a_500_is_passed_on_by_every_road);
    tcase_add_test(tcase, an_answer_that_never_comes_is_waited_for_as_long_as_the_policy_says);
    tcase_add_test(tcase, asking_again_has_a_budget);
    tcase_add_test(tcase, each_attempt_names_its_entrance_and_its_request);
    tcase_add_test(tcase, what_waits_for_a_slow_answer_survives_its_entrance);
}

int main(void)
{
    return unit_run("edge_slow", add);
}
