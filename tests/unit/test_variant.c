/* Variants: a carrier's own policy name of a group, from the inventory to records, forecast, road and plan. */
#include "server/interlocking/explain.h"
#include "server/interlocking/forecast.h"
#include "tests/unit/engine_rig.h"
#include "tests/unit/site.h"
#include "tests/unit/unit.h"

#define NOW (100 * SECOND)
#define LEVERS(...) ((const char *const[]){__VA_ARGS__, NULL})
static const char *const none[] = {NULL};

static struct resolved *resolved_of(struct inventory *inv, const char *const *levers)
{
    sb_auto(world) world = site_world(inv, levers);
    return resolve(world, NULL);
}

/* Lines of the records that differ from `before`, one after the other; g_free. */
static char *changed_records(struct inventory *inv, const char *const *before, const char *const *after)
{
    sb_auto(resolved) a = resolved_of(inv, before);
    sb_auto(resolved) b = resolved_of(inv, after);
    g_autofree char *old = site_dump(a), *new = site_dump(b);
    g_auto(GStrv) lines = g_strsplit(new, "\n", -1);
    GString *text = g_string_new(NULL);
    for (char **line = lines; *line != NULL; line++) {
        /* the reason is no record */
        g_autofree char *record = g_strndup(*line, strcspn(*line, ";"));
        if (strstr(*line, ".test ") != NULL && strstr(old, record) == NULL)
            g_string_append_printf(text, "%s\n", *line);
    }
    /* No edge is told anything: what moves is names. */
    struct resolved_distance d = resolved_compare(a, b);
    for (int c = 0; c < EDGE_CLASSES; c++)
        ck_assert_uint_eq(d.entries[c] + d.slow_entries[c], 0);
    return g_string_free(text, FALSE);
}

START_TEST(a_switch_changes_its_own_records)
{
    sb_auto(inventory) inv = site_inventory("three-rooms");
    g_autofree char *text = changed_records(inv, none, LEVERS("variant.edge_class/core-carrier-1=dedicated by bob"));
    ck_assert_str_eq(text, "core-carrier-1.pol.example.test 60 A 203.0.113.13 ; edge-3: edges of class dedicated on "
                           "carrier-1, variant.edge_class/core-carrier-1 is dedicated (bob, generation 11)\n"
                           "core-carrier-1.pol.example.test 60 AAAA 2001:db8:e::3 ; edge-3: edges of class dedicated "
                           "on carrier-1, variant.edge_class/core-carrier-1 is dedicated (bob, generation 11)\n");
    sb_auto(resolved) before = resolved_of(inv, none);
    sb_auto(resolved) after = resolved_of(inv, LEVERS("variant.edge_class/core-carrier-1=dedicated"));
    ck_assert_uint_eq(resolved_compare(before, after).rrsets, 2);
    sb_auto(resolved) back = resolved_of(inv, LEVERS("variant.edge_class/core-carrier-1=default"));
    ck_assert_uint_eq(resolved_compare(before, back).rrsets, 0);
    ck_assert_uint_eq(after->findings->len, 0);
}
END_TEST

START_TEST(a_variant_follows_its_group_by_default)
{
    sb_auto(inventory) inv = site_inventory("three-rooms");
    sb_auto(resolved) moved = resolved_of(inv, LEVERS("group.edge_class/core=dedicated"));
    g_autofree char *all = site_dump(moved);
    ck_assert_ptr_nonnull(strstr(all, "core-carrier-1.pol.example.test 60 A 203.0.113.13 ;"));
    ck_assert_ptr_nonnull(strstr(all, "\ncore.pol.example.test 60 A 203.0.113.13 ;"));
    /* A lever of its own holds it where it is. */
    sb_auto(resolved) held =
        resolved_of(inv, LEVERS("group.edge_class/core=dedicated", "variant.edge_class/core-carrier-1=public"));
    g_autofree char *text = site_dump(held);
    ck_assert_ptr_nonnull(strstr(text, "core-carrier-1.pol.example.test 60 A 203.0.113.11 ;"));
    ck_assert_ptr_nonnull(strstr(text, "\ncore.pol.example.test 60 A 203.0.113.13 ;"));
}
END_TEST

START_TEST(where_no_edge_fits_the_groups_are_used)
{
    static const struct {
        const char *lever, *record, *finding;
    } rows[] = {
        {"variant.edge_class/core-carrier-2=dedicated",
         "core-carrier-2.pol.example.test 60 A 203.0.113.11 203.0.113.12 ;",
         "variant core-carrier-2: carrier: found none; it points to the edges of its group, expected a dedicated edge "
         "of carrier-2 that is in"},
        {"edge/edge-1=out", "core-carrier-1.pol.example.test 60 A 203.0.113.12 ;",
         "variant core-carrier-1: carrier: found none; it points to the edges of its group, expected a public edge of "
         "carrier-1 that is in"},
        {"variant.edge_class/live-east=public", "live-east.pol.live.example.test 10 A 203.0.113.11 ;", NULL},
        {"edge/edge-3=out", "live-east.pol.live.example.test 10 A 203.0.113.13 ;",
         "variant live-east: carrier: found none; it points to the edges of its group, expected a dedicated edge of "
         "carrier-1 in region east that is in"},
    };
    sb_auto(inventory) inv = site_inventory("three-rooms");
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        sb_auto(resolved) resolved = resolved_of(inv, LEVERS(rows[i].lever));
        g_autofree char *text = site_dump(resolved);
        ck_assert_msg(strstr(text, rows[i].record) != NULL, "%s: no record %s", rows[i].lever, rows[i].record);
        ck_assert_msg(rows[i].finding == NULL ? resolved->findings->len == 0 : strstr(text, rows[i].finding) != NULL,
                      "%s: %u findings", rows[i].lever, resolved->findings->len);
    }
}
END_TEST

/* What validation lets nobody apply resolves all the same: every name keeps addresses. */
START_TEST(bad_intent_is_a_finding)
{
    sb_auto(inventory) inv = site_inventory("three-rooms");
    static const char *const bad[] = {
        "{\"kind\": \"variant\", \"name\": \"lost\", \"group\": \"none\", \"carrier\": \"carrier-1\"}",
        "{\"kind\": \"variant\", \"name\": \"manual\", \"group\": \"core\", \"carrier\": \"carrier-1\"}",
        "{\"kind\": \"domain\", \"name\": \"x.example.test\", \"group\": \"manual\", \"variant\": \"core-carrier-1\"}",
        "{\"kind\": \"domain\", \"name\": \"core-carrier-1.pol.example.test\", \"group\": \"core\"}",
    };
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GPtrArray) findings = finding_list_new();
        json_t *json = json_loads(bad[i], 0, NULL);
        inventory_put(inv, object_from_json(json, findings));
        json_decref(json);
    }
    sb_auto(resolved) resolved = resolved_of(inv, none);
    g_autofree char *text = site_dump(resolved);
    ck_assert_uint_eq(resolved->findings->len, G_N_ELEMENTS(bad));
    ck_assert_ptr_nonnull(strstr(text, "variant lost: group: found \"none\""));
    ck_assert_ptr_nonnull(strstr(text, "variant manual: name: found \"manual\""));
    ck_assert_ptr_nonnull(strstr(text, "\nmanual.pol.example.test 5 A 203.0.113.11 203.0.113.12 ;"));
    ck_assert_ptr_nonnull(strstr(text, "x.example.test 60 CNAME manual.pol.example.test ;"));
    ck_assert_ptr_nonnull(strstr(text, "domain core-carrier-1.pol.example.test: found"));
}
END_TEST

START_TEST(the_road_is_explained)
{
    static const struct explain_query query = {.url = "http://play-c1.example.test/x", .user = "7"};
    static const struct {
        const char *name, *lever;
    } rows[] = {{"explain-variant", "variant.edge_class/core-carrier-1=dedicated by bob in x-7"},
                {"explain-variant-none", "edge/edge-1=out by bob"}};
    sb_auto(inventory) inv = site_inventory("three-rooms");
    sb_auto(observed) o = observed_new();
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        sb_auto(resolved) resolved = resolved_of(inv, LEVERS(rows[i].lever));
        g_autoptr(GError) error = NULL;
        json_t *explained = explain(resolved, o, &query, NOW, &error);
        ck_assert_msg(explained != NULL, "%s", error != NULL ? error->message : "");
        g_autofree char *text = explain_text(explained);
        json_decref(explained);
        g_autofree char *file = g_strdup_printf("three-rooms/%s.txt", rows[i].name);
        golden_check(file, text);
    }
}
END_TEST

static char *road_of(struct inventory *inv, const struct explain_query *query)
{
    sb_auto(resolved) resolved = resolved_of(inv, LEVERS("variant.edge_class/core-carrier-1=dedicated by bob"));
    sb_auto(observed) o = observed_new();
    g_autoptr(GError) error = NULL;
    json_t *explained = explain(resolved, o, query, NOW, &error);
    if (explained == NULL)
        return g_strdup(error->message);
    char *text = explain_text(explained);
    json_decref(explained);
    return text;
}

/* A name of everybody, as a carrier's resolvers answer it. */
START_TEST(the_road_of_a_carriers_user_is_explained)
{
    static const struct {
        const char *host, *carrier, *name, *edge;
    } rows[] = {
        {"play.example.test", NULL, "play.example.test is a name of group core\n", "edge-1 (public) "},
        {"play.example.test", "carrier-1", "which has this variant for the resolvers of carrier-1\n",
         "edge-3 (dedicated) "},
        {"play.example.test", "carrier-2", "core-carrier-2.pol.example.test  play.example.test is a name of group core",
         "edge-2 (public) "},
        {"home.example.test", "carrier-1", "is a name of group manual, which has no variant for all of carrier-1\n",
         "edge-1 (public) "},
        {"play-c1.example.test", "carrier-2", "is a name of variant core-carrier-1 of group core\n",
         "edge-3 (dedicated) "},
        {"play.example.test", "carrier-9", "carrier: found \"carrier-9\", expected a carrier that the inventory has",
         ""},
    };
    sb_auto(inventory) inv = site_inventory("three-rooms");
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct explain_query query = {.url = rows[i].host, .carrier = rows[i].carrier};
        g_autofree char *text = road_of(inv, &query);
        ck_assert_msg(strstr(text, rows[i].name) != NULL && strstr(text, rows[i].edge) != NULL,
                      "row %u: %s\nexpected %s and %s", i, text, rows[i].name, rows[i].edge);
    }
}
END_TEST

static double edge_after(const struct forecast *f, const char *name)
{
    for (guint i = 0; i < f->rows->len; i++) {
        const struct forecast_row *row = f->rows->pdata[i];
        if (strcmp(row->kind, "edge") == 0 && strcmp(row->name, name) == 0)
            return row->after;
    }
    return 0;
}

static struct forecast *forecast_of(const struct observed *o, const char *const *now, const char *const *then)
{
    sb_auto(inventory) inv = site_inventory("three-rooms");
    sb_auto(resolved) a = resolved_of(inv, now);
    sb_auto(resolved) b = resolved_of(inv, then);
    return forecast(a, b, o, NOW);
}

START_TEST(what_would_move_is_foreseen_or_said_to_be_unknown)
{
    static const char *const moved[] = {"variant.edge_class/core-carrier-1=dedicated", NULL};
    sb_auto(observed) o = observed_new();
    for (int i = 1; i <= 2; i++) {
        g_autofree char *edge = g_strdup_printf("edge-%d", i);
        SITE_REPORT(o, edge, 10, NOW, "counter core.playback room-a pop-a1 300 0 30 0");
    }
    SITE_REPORT(o, "edge-3", 10, NOW, "counter core.playback room-a ring 100 0 10 0");
    /* Group and variant share edge-1: nothing is guessed. */
    sb_auto(forecast) out = forecast_of(o, none, moved);
    ck_assert_double_eq_tol(edge_after(out, "edge-1"), 30, 1e-9);
    ck_assert_uint_eq(out->notes->len, 1);
    ck_assert_str_eq(out->notes->pdata[0], "variant core-carrier-1 shares edges with its group core: which requests "
                                           "are its own is not in this forecast");
    ck_assert_uint_eq(out->distance.rrsets, 2);
    /* On the way back it has edge-3 to itself: what arrives there goes to edge-1. */
    sb_auto(forecast) back = forecast_of(o, moved, none);
    ck_assert_double_eq_tol(edge_after(back, "edge-1"), 40, 1e-9);
    ck_assert_double_eq_tol(edge_after(back, "edge-3"), 0, 1e-9);
    ck_assert_uint_eq(back->notes->len, 0);
    /* And where the group moves, a variant with a lever of its own stays. */
    sb_auto(forecast) stays =
        forecast_of(o, moved, LEVERS("variant.edge_class/core-carrier-1=dedicated", "edge/edge-2=out"));
    ck_assert_double_eq_tol(edge_after(stays, "edge-3"), 10, 1e-9);
    ck_assert_double_eq_tol(edge_after(stays, "edge-1"), 60, 1e-9);
}
END_TEST

static const char variants[] = "variants:\n"
                               "  - {name: core-c1, group: core, carrier: carrier-1}\n"
                               "  - {name: manual-c1, group: manual, carrier: carrier-1}\n"
                               "  - {name: core-c2, group: core, carrier: carrier-2}\n";

static void add_runbook(struct server *s, const char *name)
{
    g_autofree char *path = g_strdup_printf("%s/runbooks/%s.yaml", SOURCE_DIR, name), *text = NULL;
    ck_assert(g_file_get_contents(path, &text, NULL, NULL));
    add_plan(s, text);
}

static void expect_classes(const struct server *s, const char *c1, const char *c2)
{
    ck_assert_str_eq(lever(s, LEVER_VARIANT_EDGE_CLASS, "core-c1"), c1);
    ck_assert_str_eq(lever(s, LEVER_VARIANT_EDGE_CLASS, "manual-c1"), c1);
    ck_assert_str_eq(lever(s, LEVER_VARIANT_EDGE_CLASS, "core-c2"), c2);
}

static struct server *server_with_variants(void)
{
    struct server *s = server_new();
    add_plan(s, variants);
    add_runbook(s, "carrier-to-lines");
    add_runbook(s, "carrier-back");
    say_all(s);
    return s;
}

static void converge(struct server *s)
{
    say_all(s);
    for (size_t i = 0; i < G_N_ELEMENTS(servers); i++)
        confirm(s, servers[i], "converged");
    tick(s, SECOND);
    settle(s);
}

START_TEST(one_plan_moves_the_users_of_a_carrier_and_one_brings_them_back)
{
    struct server *s = server_with_variants();
    g_autofree char *id = run_ok(s, "carrier-to-lines", "carrier-1");
    expect_classes(s, "dedicated", "default");
    converge(s);
    expect_step(s, id, "converged", "succeeded", "4/4 edges");
    expect_state(s, id, "succeeded");
    g_autofree char *back = run_ok(s, "carrier-back", "carrier-1");
    expect_classes(s, "default", "default");
    converge(s);
    expect_state(s, back, "succeeded");
    server_free(s);
}
END_TEST

START_TEST(the_plan_is_undone)
{
    struct server *s = server_with_variants();
    GError *error = NULL;
    g_autofree char *id = run_ok(s, "carrier-to-lines", "carrier-1");
    expect_classes(s, "dedicated", "default");
    json_t *json = engine_abort(s->engine, id, &alice, now(s), &s->effects, &error);
    ck_assert_ptr_nonnull(json);
    json_decref(json);
    settle(s);
    expect_classes(s, "default", "default");
    converge(s);
    expect_state(s, id, "aborted");
    server_free(s);
}
END_TEST

/* Nobody may believe that users were moved when there was no name to move them by. */
START_TEST(a_carrier_without_variants_is_refused)
{
    struct server *s = server_new();
    add_runbook(s, "carrier-to-lines");
    GError *error = NULL;
    ck_assert_ptr_null(
        engine_run_plan(s->engine, "carrier-to-lines", "carrier-1", NULL, false, &alice, now(s), &s->effects, &error));
    expect_error(error, NOT_FOUND, "found no variant of carrier carrier-1, expected one");
    server_free(s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_switch_changes_its_own_records);
    tcase_add_test(tcase, a_variant_follows_its_group_by_default);
    tcase_add_test(tcase, where_no_edge_fits_the_groups_are_used);
    tcase_add_test(tcase, bad_intent_is_a_finding);
    tcase_add_test(tcase, the_road_is_explained);
    tcase_add_test(tcase, the_road_of_a_carriers_user_is_explained);
    tcase_add_test(tcase, what_would_move_is_foreseen_or_said_to_be_unknown);
    tcase_add_test(tcase, one_plan_moves_the_users_of_a_carrier_and_one_brings_them_back);
    tcase_add_test(tcase, the_plan_is_undone);
    tcase_add_test(tcase, a_carrier_without_variants_is_refused);
}

int main(void)
{
    return unit_run("variant", add);
}
