#include "tests/unit/engine_rig.h"
#include "tests/unit/unit.h"

#include "schema/yamldoc.h"

/* Lines that replace those of the site, and what status then says of them beforehand. */
START_TEST(one_risk_that_takes_a_room_from_an_edge_is_a_finding)
{
    static const struct {
        const char *lines, *found[3];
    } rows[] = {
        {"lines: []\n", {NULL}},
        /* two ways round, and the ducts differ */
        {"lines:\n  - {name: line-1, from: room-a, to: edge-3, bandwidth: 1, srlg: [duct-north]}\n", {NULL}},
        /* both lines of edge-3 are in one duct */
        {"lines:\n  - {name: line-2, from: edge-3, to: room-b, bandwidth: 1, srlg: [duct-east, duct-north]}\n",
         {"edge edge-3: found duct-north on every path to room-a, expected two paths that share no risk",
          "edge edge-3: found duct-north on every path to room-b"}},
        /* behind room-b everything is in the duct of line-1 */
        {"lines:\n  - {name: line-4, from: edge-4, to: room-a, bandwidth: 1, srlg: [duct-north]}\n"
         "  - {name: line-5, from: room-a, to: room-b, bandwidth: 1, srlg: [duct-north]}\n",
         {"edge edge-3: found duct-north on every path to room-a",
          "edge edge-4: found duct-north on every path to room-a"}},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct server *s = server_new();
        add_plan(s, rows[i].lines);
        json_t *status = engine_status(s->engine, s->now_us);
        g_autofree char *text = json_dumps(json_object_get(status, "warnings"), 0);
        unsigned n = 0;
        for (; rows[i].found[n] != NULL; n++)
            ck_assert_msg(strstr(text, rows[i].found[n]) != NULL, "row %zu: %s not in %s", i, rows[i].found[n], text);
        unsigned counted = 0;
        for (const char *at = text; (at = strstr(at, "on every path")) != NULL; at++)
            counted++;
        ck_assert_msg(counted == n, "row %zu: %s", i, text);
        json_decref(status);
        server_free(s);
    }
}
END_TEST

/* A line that is the only one of an edge is a risk of its own. */
START_TEST(a_single_line_is_a_risk)
{
    struct server *s = server_new();
    json_t *body = json_pack("{s:[], s:[s]}", "objects", "remove", "line/line-2");
    apply_ok(s, body);
    json_t *status = engine_status(s->engine, s->now_us);
    g_autofree char *text = json_dumps(json_object_get(status, "warnings"), 0);
    ck_assert_msg(strstr(text, "edge edge-3: found line-1 on every path to room-a") != NULL, "%s", text);
    ck_assert_msg(strstr(text, "edge edge-3: found duct-north on every path to room-b") != NULL, "%s", text);
    ck_assert_msg(strstr(text, "edge-4: found") == NULL, "%s", text); /* line-5 still closes its way round */
    json_decref(status);
    server_free(s);
}
END_TEST

/* What a dedicated edge sees of the ring entrances of both rooms. */
static void say_ring(struct server *s, const char *edge, bool room_a, bool room_b)
{
    json_t *json = saying_json(edge, &(struct saying){.stamp = s->published->world->stamp});
    json_t *origins = json_object_get(json, "origins");
    for (int i = 0; i < 2; i++)
        json_array_append_new(origins, json_pack("{s:s, s:s, s:b, s:s, s:i}", "room", i == 0 ? "room-a" : "room-b",
                                                 "via", "ring", "up", i == 0 ? room_a : room_b, "status", "L4TOUT",
                                                 "latency_us", 1000));
    GError *error = NULL;
    ck_assert_msg(engine_edge_report(s->engine, edge, json, s->now_us, &s->effects, &error), "%s",
                  error != NULL ? error->message : "");
    settle(s);
    json_decref(json);
}

/* The warning that begins with an edge's name, or "". */
static void expect_loss(struct server *s, const char *expected)
{
    json_t *status = engine_status(s->engine, s->now_us);
    json_t *warnings = json_object_get(status, "warnings"), *warning;
    GString *found = g_string_new("");
    size_t i;
    json_array_foreach (warnings, i, warning)
        if (strstr(json_string_value(warning), "the ring") != NULL)
            g_string_append_printf(found, "%s%s", found->len > 0 ? "; " : "", json_string_value(warning));
    ck_assert_str_eq(found->str, expected);
    g_string_free(found, TRUE);
    json_decref(status);
}

START_TEST(an_edge_that_has_lost_the_ring_is_named_with_its_lines)
{
    static const struct {
        bool edge_3[2], edge_4[2];
        const char *expected;
    } rows[] = {
        {{true, true}, {true, true}, ""},
        {{false, false},
         {true, true},
         "edge-3 has lost the ring, no dedicated path is left: line-1 (duct-north), line-2 (duct-east)"},
        {{false, true},
         {true, true},
         "edge-3 no longer reaches room-a over the ring: line-1 (duct-north), line-2 (duct-east)"},
        {{false, true}, {false, true}, ""}, /* nobody does: it may be the room */
        {{false, true},
         {true, false},
         "edge-3 no longer reaches room-a over the ring: line-1 (duct-north), line-2 (duct-east); "
         "edge-4 no longer reaches room-b over the ring: line-3 (duct-south), line-4 (duct-west)"},
        {{false, false},
         {false, false},
         "edge-3 has lost the ring, no dedicated path is left: line-1 (duct-north), line-2 (duct-east); "
         "edge-4 has lost the ring, no dedicated path is left: line-3 (duct-south), line-4 (duct-west)"},
    };
    struct server *s = server_new();
    say_all(s);
    expect_loss(s, "");
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        say_ring(s, "edge-3", rows[i].edge_3[0], rows[i].edge_3[1]);
        say_ring(s, "edge-4", rows[i].edge_4[0], rows[i].edge_4[1]);
        expect_loss(s, rows[i].expected);
    }
    s->now_us += OBSERVED_FRESH_US + 1; /* an old report says nothing of now */
    expect_loss(s, "");
    server_free(s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, one_risk_that_takes_a_room_from_an_edge_is_a_finding);
    tcase_add_test(tcase, a_single_line_is_a_risk);
    tcase_add_test(tcase, an_edge_that_has_lost_the_ring_is_named_with_its_lines);
}

int main(void)
{
    return unit_run("ring", add);
}
