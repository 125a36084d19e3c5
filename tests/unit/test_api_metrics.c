/* test_api_metrics.c: what machines ask of a server: /metrics, /livez, /readyz. */
#include "core/loop.h"
#include "server/store/db.h"
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *type;
} metrics[] = {
#define METRIC(symbol, name, type, doc) {name, type},
#include "server/api/metrics.def"
#undef METRIC
};

/* g_free */
static char *metrics_now(const char *token)
{
    g_autoptr(GError) error = NULL;
    const struct httpc_target target = {.base_url = served.operators, .token = token};
    struct httpc_reply reply = {0};
    ck_assert(httpc_call(&target, "GET", "/metrics", NULL, NULL, 10000, &reply, &error));
    ck_assert_uint_eq(reply.status, 200);
    char *text = g_steal_pointer(&reply.body);
    httpc_reply_clear(&reply);
    return text;
}

/* The value of a line, name with its labels; -1 when there is none. */
static double value_of(const char *text, const char *name)
{
    g_autofree char *line = g_strdup_printf("\n%s ", name);
    const char *at = strstr(text, line);
    return at != NULL ? g_ascii_strtod(at + strlen(line), NULL) : -1;
}

/* Each line is a comment that belongs to a metric, or a name, labels and a number. */
static void check_form(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autoptr(GRegex) sample =
        g_regex_new("^signalbox_[a-z_]+(\\{([a-z]+=\"([^\"\\\\]|\\\\[\\\\\"n])*\",?)+\\})? [0-9.]+$", 0, 0, NULL);
    ck_assert_str_eq(lines[g_strv_length(lines) - 1], "");
    for (guint i = 0; i + 1 < g_strv_length(lines); i++)
        ck_assert_msg(g_str_has_prefix(lines[i], "# HELP signalbox_") ||
                          g_str_has_prefix(lines[i], "# TYPE signalbox_") || g_regex_match(sample, lines[i], 0, NULL),
                      "%s", lines[i]);
    for (size_t i = 0; i < G_N_ELEMENTS(metrics); i++) {
        g_autofree char *type = g_strdup_printf("# TYPE %s %s\n", metrics[i].name, metrics[i].type),
                        *help = g_strdup_printf("# HELP %s ", metrics[i].name);
        ck_assert_msg(strstr(text, type) != NULL && strstr(text, help) != NULL, "%s", metrics[i].name);
    }
}

START_TEST(metrics_say_what_is)
{
    served_apply_site(&served);
    g_autofree char *viewer = served_token(&served, "vera", "viewer"), *edge = served_token(&served, "edge-1", "agent");
    g_autofree char *before = metrics_now(viewer);
    check_form(before);
    ck_assert(value_of(before, "signalbox_generation") == (double)status_number("generation"));
    ck_assert(value_of(before, "signalbox_epoch") == (double)status_number("epoch"));
    ck_assert(value_of(before, "signalbox_writable") == 1);
    ck_assert(value_of(before, "signalbox_edges{state=\"no report\"}") == 4);
    ck_assert(value_of(before, "signalbox_edge_report_age_seconds{edge=\"edge-1\"}") == -1);
    ck_assert_ptr_nonnull(strstr(before, "\nsignalbox_nameservers{state=")); /* which one is up to the network */
    ck_assert(value_of(before, "signalbox_http_requests_total{listener=\"operators\",status=\"404\"}") == -1);
    report_as(edge, "edge-1");
    served_call(&served, served.operators, viewer, "GET", "/v1/nowhere", NULL, NULL, NULL, NULL);
    served_local(&served, "POST", "/v1/plans/room-isolated/run", NULL, "{\"target\":\"room-a\"}", NULL);
    g_autofree char *after = metrics_now(viewer);
    check_form(after);
    ck_assert(value_of(after, "signalbox_edges{state=\"applied\"}") == 1);
    ck_assert(value_of(after, "signalbox_edges{state=\"no report\"}") == 3);
    ck_assert(value_of(after, "signalbox_edge_generation{edge=\"edge-1\"}") == 2);
    double age = value_of(after, "signalbox_edge_report_age_seconds{edge=\"edge-1\"}");
    ck_assert_msg(age >= 0 && age < 30, "%f", age);
    ck_assert(value_of(after, "signalbox_executions{state=\"running\"}") == 1);
    ck_assert(value_of(after, "signalbox_http_requests_total{listener=\"operators\",status=\"404\"}") == 1);
    ck_assert(value_of(after, "signalbox_http_requests_total{listener=\"agents\",status=\"200\"}") == 1);
    double appends = value_of(before, "signalbox_journal_append_seconds_count"),
           later = value_of(after, "signalbox_journal_append_seconds_count");
    ck_assert_msg(appends >= 3 && later > appends, "%f, then %f", appends, later);
    ck_assert(value_of(after, "signalbox_journal_append_seconds_bucket{le=\"+Inf\"}") == later);
    ck_assert(value_of(after, "signalbox_journal_append_seconds_sum") > 0);
    ck_assert(value_of(after, "signalbox_http_connections{listener=\"operators\"}") >= 1);

    ck_assert(value_of(after, "signalbox_edge_holds{edge=\"edge-1\"}") == 0);
    ck_assert(value_of(after, "signalbox_edge_holds{edge=\"edge-2\"}") == -1); /* it has said nothing yet */
    unsigned status = served_call(&served, served.agents, edge, "POST", "/agent/v1/edges/edge-1/report", NULL,
                                  "{\"edge\":\"edge-1\",\"cluster\":\"two-rooms\",\"promised\":65536,\"applied\":"
                                  "{\"epoch\":65536,\"generation\":2},\"state\":\"applied\",\"error\":null,"
                                  "\"window_us\":1000000,\"holds\":[{\"room\":\"room-a\",\"home\":0,\"for_us\":1}]}",
                                  NULL, NULL);
    ck_assert_uint_eq(status, 200);
    g_autofree char *held = metrics_now(viewer);
    ck_assert(value_of(held, "signalbox_edge_holds{edge=\"edge-1\"}") == 1);
}
END_TEST

/* Unready while another program holds the journal, and ready by itself when it lets go. */
START_TEST(ready_is_who_can_write)
{
    json_t *answer = NULL;
    ck_assert_uint_eq(served_call(&served, served.operators, NULL, "GET", "/readyz", NULL, NULL, &answer, NULL), 200);
    ck_assert(json_is_true(json_object_get(answer, "ready")));
    json_decref(answer);
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    g_autofree char *path = g_strdup_printf("%s/state/journal.db", served.dir);
    struct db *db = db_open(path, NULL);
    ck_assert_ptr_nonnull(db);
    ck_assert(db_run(db, "begin immediate", NULL, 0, NULL));
    served_start(&served, NULL, NULL);
    ck_assert_uint_eq(served_call(&served, served.agents, NULL, "GET", "/livez", NULL, NULL, NULL, NULL), 200);
    ck_assert_uint_eq(served_call(&served, served.operators, NULL, "GET", "/readyz", NULL, NULL, &answer, NULL), 503);
    ck_assert(json_is_false(json_object_get(answer, "ready")));
    const char *reason = json_string_value(json_array_get(json_object_get(answer, "reasons"), 0));
    ck_assert_msg(reason != NULL && strstr(reason, "lock") != NULL, "%s", reason);
    json_decref(answer);
    ck_assert(db_run(db, "rollback", NULL, 0, NULL));
    db_close(db);
    int64_t until_us = loop_now_us() + 30 * G_USEC_PER_SEC;
    while (served_call(&served, served.operators, NULL, "GET", "/readyz", NULL, NULL, NULL, NULL) != 200)
        ck_assert_int_lt(loop_now_us(), until_us);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_test(tcase, metrics_say_what_is);
    tcase_add_test(tcase, ready_is_who_can_write);
}

int main(void)
{
    return unit_run("api_metrics", add);
}
