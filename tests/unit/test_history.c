/* What was: worlds of old generations out of the journal, as the CLI shows them, and incidents out of the black box. */
#include "core/fileio.h"
#include "core/loop.h"
#include "tests/unit/served_cli.h"
#include "tests/unit/unit.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define URL "http://creator.example.test/upload"
#define HOME "http://home.example.test/"

/* ---- generations ---- */

#define GENERATIONS_MAX 16
static json_t *roads[GENERATIONS_MAX][2]; /* by generation, as they were when it was in force */

static json_t *road(const char *url)
{
    json_t *answer = NULL;
    g_autofree char *path = g_strdup_printf("/v1/explain?url=%s&user=7", url);
    ck_assert_uint_eq(served_local(&served, "GET", path, NULL, NULL, &answer), 200);
    return answer;
}

/* Of the generation that the change before has made. */
static json_int_t note_roads(void)
{
    json_int_t generation = status_number("generation");
    ck_assert_int_lt(generation, GENERATIONS_MAX);
    roads[generation][0] = road(URL);
    roads[generation][1] = road(HOME);
    return generation;
}

static void change(const char *method, const char *path, const char *body)
{
    unsigned status = served_local(&served, method, path, "*", body, NULL);
    ck_assert_msg(status == 200, "%s %s: %u", method, path, status);
    note_roads();
}

static json_int_t many_generations(void)
{
    served_apply_site(&served);
    json_int_t first = note_roads();
    change("PUT", "/v1/controls/service.auto_dr/home", "{\"value\":\"on\",\"reason\":\"a quiet day\"}");
    change("PUT", "/v1/controls/group.edge_class/creator", "{\"value\":\"dedicated\",\"reason\":\"to the lines\"}");
    change("POST", "/v1/apply",
           "{\"objects\":[{\"kind\":\"pop\",\"name\":\"pop-a3\",\"room\":\"room-a\",\"city\":\"Suzhou\",\"carriers\":"
           "[\"carrier-1\"],\"origin\":\"198.51.100.13:80\"}],\"reason\":\"a third\"}");
    change("PUT", "/v1/controls/pop/pop-a3", "{\"value\":\"out\"}");
    change("DELETE", "/v1/inventory/pop/pop-a3", NULL);
    change("PUT", "/v1/controls/group.edge_class/creator", "{\"value\":\"default\"}");
    return first;
}

static void expect_old_roads(json_int_t first)
{
    static const char *const urls[] = {URL, HOME};
    for (json_int_t g = first; roads[g][0] != NULL; g++)
        for (size_t i = 0; i < G_N_ELEMENTS(urls); i++) {
            g_autofree char *at = g_strdup_printf("%lld", (long long)g);
            json_t *then = run_json(SIGNALBOX_RUN("--json", "explain", urls[i], "--user", "7", "--at", at));
            ck_assert_int_eq(number_at(then, "generation"), g);
            if (!json_equal(json_object_get(then, "turns"), json_object_get(roads[g][i], "turns")))
                ck_abort_msg("generation %lld: found %s, expected %s", (long long)g, json_dumps(then, 0),
                             json_dumps(roads[g][i], 0));
            json_decref(then);
        }
}

START_TEST(old_generations)
{
    json_int_t first = many_generations();
    ck_assert(!json_equal(json_object_get(roads[first][0], "turns"), json_object_get(roads[first + 2][0], "turns")));
    expect_old_roads(first);
    ck_assert_int_eq(served_end(&served, SIGKILL) & 0x7f, SIGKILL);
    served_start(&served, NULL, NULL); /* it writes its generation again, under a new epoch */
    expect_old_roads(first);
    expect_run(SIGNALBOX_RUN("explain", URL, "--at", "99"), 1, "",
               "generation: found 99, expected one of the journal's: 1 to 8");
    expect_run(SIGNALBOX_RUN("explain", URL, "--at", "2001-01-01T00:00:00Z"), 1, "",
               "found a time before the first, expected");
    expect_run(SIGNALBOX_RUN("explain", URL, "--at", "yesterday"), 2, "",
               "--at: found \"yesterday\", expected a time like");
    expect_run(SIGNALBOX_RUN("explain", "http://nobody.example.test/", "--at", "3"), 1, "", "nobody.example.test");
    for (size_t g = 0; g < GENERATIONS_MAX; g++)
        json_decref(roads[g][0]), json_decref(roads[g][1]);
}
END_TEST

START_TEST(differences)
{
    json_int_t first = many_generations();
    ck_assert_int_eq(first, 2);
    expect_run(SIGNALBOX_RUN("diff", "gen", "3"), 0, "service.auto_dr/home: default -> on", "");
    expect_run(SIGNALBOX_RUN("diff", "gen", "3"), 0, "(a quiet day)", "");
    expect_run(SIGNALBOX_RUN("diff", "gen", "2..4"), 0, "generation 4  ", "");
    expect_run(SIGNALBOX_RUN("diff", "gen", "2..4"), 0, "group.edge_class/creator: default -> dedicated", "");
    expect_run(SIGNALBOX_RUN("diff", "gen", "2..4"), 0,
               "  + creator.pol.example.test A: 203.0.113.13, 203.0.113.14, ttl 5", "");
    expect_run(SIGNALBOX_RUN("diff", "gen", "2..4"), 0,
               "  - creator.pol.example.test A: 203.0.113.11, 203.0.113.12, ttl 5", "");
    expect_run(SIGNALBOX_RUN("diff", "gen", "5"), 0, "+ pop pop-a3", "");
    expect_run(SIGNALBOX_RUN("diff", "gen", "5"), 0, "  + public layout: ", "");
    expect_run(SIGNALBOX_RUN("diff", "gen", "1..2"), 0, "+ zone zone-1", "");
    expect_run(SIGNALBOX_RUN("diff", "gen", "2..8"), 0, "service.auto_dr/home: default -> on", "");
    json_t *whole = run_json(SIGNALBOX_RUN("--json", "diff", "gen", "2..8"));
    ck_assert_uint_eq(json_array_size(json_object_get(whole, "levers")), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(whole, "records")), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(whole, "audit")), 6);
    ck_assert_str_eq(text_at(whole, "objects"), "");
    json_decref(whole);
    expect_run(SIGNALBOX_RUN("diff", "gen", "8..9"), 1, "", "found 9, expected one of the journal's: 1 to 8");
    expect_run(SIGNALBOX_RUN("diff", "gen", "4..2"), 2, "", "usage: signalbox diff gen");
    expect_run(SIGNALBOX_RUN("diff", "gen", "1"), 2, "", "usage: signalbox diff gen");
    for (size_t g = 0; g < GENERATIONS_MAX; g++)
        json_decref(roads[g][0]), json_decref(roads[g][1]);
}
END_TEST

/* ---- the black box ---- */

/* Ingress of room-a in the status of that time, when the black box has it; g_free. NULL: there is none. */
static char *ingress_at(int64_t at_us, unsigned *status)
{
    g_autofree char *path = g_strdup_printf("/v1/history/status?at=%" G_GINT64_FORMAT, at_us);
    json_t *answer = NULL;
    *status = served_local(&served, "GET", path, NULL, NULL, &answer);
    const json_t *room = json_array_get(json_object_get(answer, "rooms"), 0);
    char *ingress = g_strdup(json_string_value(json_object_get(room, "ingress")));
    json_decref(answer);
    return ingress;
}

/* What was observed stands beside what was intended, as it was then. */
START_TEST(observed_then)
{
    unsigned status;
    served_apply_site(&served);
    g_autofree char *token = served_token(&served, "edge-1", "agent");
    report_as(token, "edge-1");
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *at = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S.%fZ");
    change("PUT", "/v1/controls/group.edge_class/creator", "{\"value\":\"dedicated\"}");
    g_free(ingress_at(g_get_real_time(), &status)); /* by then it is on disk */
    expect_run(SIGNALBOX_RUN("explain", URL, "--at", at), 0, "edge-1  applied, generation 2, 0.", "");
    expect_run(SIGNALBOX_RUN("explain", URL, "--at", at), 0, "203.0.113.11, 203.0.113.12", "");
    expect_run(SIGNALBOX_RUN("explain", URL), 0, "203.0.113.13, 203.0.113.14", "");
    json_decref(roads[3][0]), json_decref(roads[3][1]);
}
END_TEST

/* The panel's time scrubber: levers and what edges saw, as both were. */
START_TEST(the_status_as_it_was)
{
    unsigned status;
    served_apply_site(&served);
    g_autofree char *token = served_token(&served, "edge-1", "agent");
    report_as(token, "edge-1");
    int64_t before_us = g_get_real_time();
    ck_assert_uint_eq(
        served_local(&served, "PUT", "/v1/controls/room.ingress/room-a", "*", "{\"value\":\"closed\"}", NULL), 200);
    int64_t after_us = g_get_real_time();
    g_autofree char *then = ingress_at(before_us, &status), *now = ingress_at(after_us, &status);
    ck_assert_str_eq(then, "open");
    ck_assert_str_eq(now, "closed");
    g_autofree char *path = g_strdup_printf("/v1/history/status?at=%" G_GINT64_FORMAT, before_us);
    json_t *answer = NULL;
    ck_assert_uint_eq(served_local(&served, "GET", path, NULL, NULL, &answer), 200);
    ck_assert_str_eq(text_at(json_array_get(json_object_get(answer, "edges"), 0), "state"), "applied");
    json_decref(answer);
    g_autofree char *none = ingress_at(1, &status);
    ck_assert_uint_eq(status, 404);
    ck_assert_ptr_null(none);
    g_autofree char *to_come = ingress_at(g_get_real_time() + G_USEC_PER_SEC * 60, &status);
    ck_assert_uint_eq(status, 400);
    ck_assert_ptr_null(to_come);
    expect_run(SIGNALBOX_RUN("explain", URL, "--at", "2999-01-01T00:00:00Z"), 2, "", "at: found a time to come");
}
END_TEST

/* A server without a black box: that is said, and what was intended is shown all the same. */
START_TEST(nothing_was_recorded)
{
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    served_start(&served, NULL, (const char *const[]){"--record=0", NULL});
    served_apply_site(&served);
    struct run run = SIGNALBOX_RUN("explain", URL, "--at", "2");
    ck_assert_str_eq(run.err, "what was observed then is not in the black box; this is what was intended\n");
    expect_run(run, 0, "203.0.113.11, 203.0.113.12", "");
    expect_run(SIGNALBOX_RUN("incident", "list"), 1, "", "nothing is recorded here");
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/history/status?at=1", NULL, NULL, NULL), 404);
}
END_TEST

START_TEST(an_execution_becomes_a_case)
{
    g_autofree char *file = g_build_filename(served.dir, "case.txt", NULL), *mark = NULL, *text = NULL;
    json_t *execution = NULL;
    served_apply_site(&served);
    g_autofree char *token = served_token(&served, "edge-1", "agent");
    report_as(token, "edge-1");
    ck_assert_uint_eq(
        served_local(&served, "POST", "/v1/plans/room-isolated/run", NULL, "{\"target\":\"room-a\"}", &execution), 202);
    const char *id = text_at(execution, "id");
    expect_run(SIGNALBOX_RUN("incident", "list"), 0, "min", "");
    expect_run(SIGNALBOX_RUN("incident", "export", "--execution", id, "-o", file, "--trim"), 0, "",
               "which a replay repeats");
    expect_run(SIGNALBOX_RUN("incident", "replay", file), 0, "the same", "");
    text = file_read(file, 1 << 22, NULL, NULL);
    mark = g_strdup_printf("? execution %s\n", id);
    ck_assert_ptr_nonnull(strstr(text, mark));
    ck_assert_ptr_nonnull(strstr(text, "| state: \"running\""));
    ck_assert_ptr_null(strstr(text, token + strlen("sb_")));
    char *output = strstr(text, "\n> publish ");
    output[strlen("\n> publish 6553")] ^= 1;
    ck_assert(g_file_set_contents(file, text, -1, NULL));
    expect_run(SIGNALBOX_RUN("incident", "replay", file), 1, "", "expected\n> publish ");
    expect_run(SIGNALBOX_RUN("incident", "replay", "--update", file), 0, "written anew", "");
    expect_run(SIGNALBOX_RUN("incident", "replay", file), 0, "the same", "");
    expect_run(SIGNALBOX_RUN("incident", "export", "--execution", "none"), 1, "", "execution none");
    expect_run(SIGNALBOX_RUN("incident", "export", "--from", "2001-01-01T00:00:00Z", "--to", "2001-01-02T00:00:00Z"), 1,
               "", "no file of that time");
    expect_run(SIGNALBOX_RUN("incident", "export"), 2, "", "usage: signalbox incident");
    json_decref(execution);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_test(tcase, old_generations);
    tcase_add_test(tcase, differences);
    tcase_add_test(tcase, observed_then);
    tcase_add_test(tcase, the_status_as_it_was);
    tcase_add_test(tcase, nothing_was_recorded);
    tcase_add_test(tcase, an_execution_becomes_a_case);
}

int main(void)
{
    return unit_run("history", add);
}
