#include "tests/unit/site.h"
#include "tests/unit/unit.h"

#include "core/error.h"

#define GOOD                                                                                                           \
    "{'edge':'edge-1','cluster':'c','promised':65537,'applied':{'epoch':65537,'generation':12},'state':'applied',"     \
    "'error':null,'window_us':1000000,'haproxy':{'pid':1,'uptime_s':2},'counters':[{'policy':'core.playback',"         \
    "'room':'room-a','via':'pop-a1','requests':10,'failed':1,'rate':5,'fail_rate':0.5}],'origins':[{'room':'room-a',"  \
    "'via':'pop-a1','up':true,'status':'L7OK','latency_us':800}],'probes':[{'policy':'core.playback','room':'room-a'}" \
    "],'holds':[{'room':'room-b','home':400,'for_us':700}],'events':[]}"

static json_t *json_of(const char *text)
{
    g_autofree char *quoted = g_strdelimit(g_strdup(text), "'", '"');
    json_t *json = json_loads(quoted, 0, NULL);
    ck_assert_ptr_nonnull(json);
    return json;
}

static bool take(struct observed *o, const char *text, int64_t now_us, GError **error)
{
    json_t *json = json_of(text);
    bool taken = observed_edge_report(o, "edge-1", json, now_us, error);
    json_decref(json);
    return taken;
}

static char *with(const char *from, const char *to)
{
    g_auto(GStrv) around = g_strsplit(GOOD, from, 2);
    ck_assert_uint_eq(g_strv_length(around), 2);
    return g_strconcat(around[0], to, around[1], NULL);
}

START_TEST(a_report_is_taken)
{
    sb_auto(observed) o = observed_new();
    ck_assert(take(o, GOOD, 1000, NULL));
    const struct edge_report *r = observed_edge(o, "edge-1");
    ck_assert_uint_eq(r->applied.generation, 12);
    ck_assert_uint_eq(r->promised, 65537);
    ck_assert_str_eq(r->state, "applied");
    ck_assert_ptr_null(r->error);
    const struct counter *c = r->counters->pdata[0];
    ck_assert_uint_eq(c->requests, 10);
    ck_assert_double_eq(c->rate, 5);
    ck_assert_double_eq(c->fail_rate, 0.5);
    ck_assert_str_eq(g_hash_table_lookup(r->probes, "core.playback"), "room-a");
    ck_assert_ptr_null(observed_edge(o, "edge-2"));
    ck_assert_ptr_null(edge_report_hold(r, "room-a"));
    ck_assert_uint_eq(edge_report_hold(r, "room-b")->home, 400);
    ck_assert_int_eq(edge_report_hold(r, "room-b")->since_us, 300);
    json_t *json = edge_report_to_json(r, 3000);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "age_us")), 2000);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "counters")), 1);
    sb_auto(observed) again = observed_new();
    ck_assert(observed_edge_restore(again, json, 3000, NULL));
    ck_assert_int_eq(edge_report_hold(observed_edge(again, "edge-1"), "room-b")->since_us, 300);
    json_decref(json);
}
END_TEST

START_TEST(what_was_done_by_hand_is_kept_and_comes_back_from_a_snapshot)
{
    g_autofree char *text = with(
        "'events':[]", "'break_glass':[{'verb':'hold','room':'','by':'uid:0','reason':'r','since_us':5,'until_us':9"
                       "},{'verb':'override','room':'room-a','by':'uid:0','reason':'q','since_us':6,'until_us':9}]");
    sb_auto(observed) o = observed_new();
    sb_auto(observed) restored = observed_new();
    ck_assert(take(o, text, 1000, NULL));
    const struct edge_report *r = observed_edge(o, "edge-1");
    ck_assert_uint_eq(r->hand_acts->len, 2);
    ck_assert(edge_report_overridden(r));
    json_t *json = edge_report_to_json(r, 2000);
    ck_assert(observed_edge_restore(restored, json, 2000, NULL));
    json_t *again = edge_report_to_json(observed_edge(restored, "edge-1"), 2000);
    ck_assert(json_equal(json, again));
    json_decref(json);
    json_decref(again);
    g_autofree char *unknown =
        with("'events':[]", "'break_glass':[{'verb':'reboot','room':'','by':'uid:0','reason':'r',"
                            "'since_us':5,'until_us':9}]");
    g_autoptr(GError) error = NULL;
    ck_assert(!take(o, unknown, 2000, &error));
    ck_assert_msg(strstr(error->message, "verb: found \"reboot\", expected hold or override") != NULL, "%s",
                  error->message);
}
END_TEST

START_TEST(what_has_not_changed_keeps_its_time)
{
    sb_auto(observed) o = observed_new();
    ck_assert(take(o, GOOD, 1000, NULL));
    ck_assert(take(o, GOOD, 2000, NULL));
    const struct edge_report *r = observed_edge(o, "edge-1");
    ck_assert_int_eq(r->at_us, 2000);
    ck_assert_int_eq(r->applied_at_us, 1000);
    ck_assert_int_eq(((struct origin_health *)r->origins->pdata[0])->since_us, 1000);
    g_autofree char *down = with("'up':true", "'up':false");
    ck_assert(take(o, down, 3000, NULL));
    r = observed_edge(o, "edge-1");
    ck_assert_int_eq(r->applied_at_us, 1000);
    ck_assert_int_eq(((struct origin_health *)r->origins->pdata[0])->since_us, 3000);
    g_autofree char *newer = with("'generation':12", "'generation':13");
    ck_assert(take(o, newer, 4000, NULL));
    ck_assert_int_eq(observed_edge(o, "edge-1")->applied_at_us, 4000);
    ck_assert_int_eq(edge_report_hold(observed_edge(o, "edge-1"), "room-b")->since_us, 300); /* the same hold */
    ck_assert(take(o, GOOD, 9000000, NULL));
    ck_assert_int_eq(edge_report_hold(observed_edge(o, "edge-1"), "room-b")->since_us, 8999300); /* another */
}
END_TEST

START_TEST(what_is_no_report_changes_nothing)
{
    static const char *const bad[][2] = {
        {"'promised':65537", "'promised':-1"},
        {"'promised':65537", "'promised':'1'"},
        {"'epoch':65537,", ""},
        {"'state':'applied'", "'state':'fine'"},
        {"'error':null", "'error':7"},
        {"'window_us':1000000", "'window_us':null"},
        {"'requests':10", "'requests':1.5"},
        {"'rate':5", "'rate':-5"},
        {"'rate':5", "'rate':1000000000001"},
        {"'fail_rate':0.5", "'fail_rate':9223372036854775807"},
        {"'counters':[", "'counters':[7,"},
        {"'via':'pop-a1','requests'", "'via':7,'requests'"},
        {"'up':true", "'up':1"},
        {"'probes':[", "'probes':[[],"},
        {"'status':'L7OK'", "'status':null"},
        {"'home':400", "'home':1000"},
        {"'home':400", "'home':-1"},
        {"'for_us':700", "'for_us':'long'"},
        {"'room':'room-b','home'", "'home'"},
        {"'applied':{'epoch':65537,'generation':12}", "'applied':12"},
    };
    sb_auto(observed) o = observed_new();
    ck_assert(take(o, GOOD, 1000, NULL));
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *text = with(bad[i][0], bad[i][1]);
        g_autoptr(GError) error = NULL;
        ck_assert_msg(!take(o, text, 2000, &error), "%s", text);
        ck_assert(g_error_matches(error, SB_ERROR, SB_ERROR_INVALID));
        ck_assert_msg(strstr(error->message, ": found ") != NULL && strstr(error->message, ", expected ") != NULL, "%s",
                      error->message);
    }
    g_autofree char *other = with("'edge':'edge-1'", "'edge':'edge-2'");
    g_autoptr(GError) error = NULL;
    ck_assert(!take(o, other, 2000, &error));
    ck_assert(g_error_matches(error, SB_ERROR, SB_ERROR_FORBIDDEN));
    ck_assert_int_eq(observed_edge(o, "edge-1")->at_us, 1000);
    ck_assert(!take(o, "[]", 2000, NULL));
}
END_TEST

START_TEST(an_entrance_is_down_when_half_say_so)
{
    sb_auto(observed) o = observed_new();
    sb_auto(inventory) site = site_inventory("two-rooms");
    ck_assert(!observed_entrance_down(o, site, "room-a", "pop-a1", 0));
    SITE_REPORT(o, "edge-1", 10, 0, "origin room-a pop-a1 up L7OK");
    SITE_REPORT(o, "edge-2", 10, 0, "origin room-a pop-a1 up L7OK");
    SITE_REPORT(o, "edge-3", 10, 0, "origin room-a ring up L7OK", "origin room-a pop-a1 down L4TOUT");
    SITE_REPORT(o, "edge-4", 10, 0, "origin room-a ring up L7OK", "origin room-a pop-a1 down L4TOUT"); /* fallbacks */
    ck_assert(!observed_entrance_down(o, site, "room-a", "pop-a1", 0));
    SITE_REPORT(o, "edge-2", 10, 0, "origin room-a pop-a1 down L4TOUT");
    ck_assert(observed_entrance_down(o, site, "room-a", "pop-a1", 0));
    ck_assert(!observed_entrance_down(o, site, "room-a", "ring", 0));
    /* an old view counts no more */
    SITE_REPORT(o, "edge-1", 10, 9 * G_USEC_PER_SEC, "origin room-a pop-a1 up L7OK");
    ck_assert(!observed_entrance_down(o, site, "room-a", "pop-a1", 9 * G_USEC_PER_SEC));
}
END_TEST

static struct server_report *server_report(int64_t at_us, uint64_t generation)
{
    struct server_report *report = g_new0(struct server_report, 1);
    report->server = g_strdup("ns-1");
    report->state = g_strdup("converged");
    report->at_us = at_us;
    report->confirmed.generation = generation;
    report->residual_until_us = at_us + 500;
    return report;
}

START_TEST(name_servers)
{
    sb_auto(observed) o = observed_new();
    observed_server_report(o, server_report(1000, 1));
    observed_server_report(o, server_report(2000, 1));
    ck_assert_int_eq(observed_server(o, "ns-1")->confirmed_at_us, 1000);
    observed_server_report(o, server_report(3000, 2));
    ck_assert_int_eq(observed_server(o, "ns-1")->confirmed_at_us, 3000);
    json_t *json = server_report_to_json(observed_server(o, "ns-1"), 3100);
    ck_assert_int_eq(json_integer_value(json_object_get(json, "residual_us")), 400);
    json_decref(json);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_report_is_taken);
    tcase_add_test(tcase, what_has_not_changed_keeps_its_time);
    tcase_add_test(tcase, what_was_done_by_hand_is_kept_and_comes_back_from_a_snapshot);
    tcase_add_test(tcase, what_is_no_report_changes_nothing);
    tcase_add_test(tcase, an_entrance_is_down_when_half_say_so);
    tcase_add_test(tcase, name_servers);
}

int main(void)
{
    return unit_run("observe", add);
}
