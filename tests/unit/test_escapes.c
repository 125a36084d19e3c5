/* escapes.h: an escape whose lines are down, or too small, as people are told of it and as plans go on from there. */
#include "tests/unit/engine_rig.h"
#include "tests/unit/site.h"
#include "tests/unit/unit.h"

#include <string.h>

static const char *const gateways[] = {"gw-a1", "gw-a2", "gw-b1", "gw-b2"};
#define LINES 3 /* line-5, line-6 and line-7 are at places 3, 4 and 5 of each gateway */
#define FIRST_PLACE 3

/* up: for each line '+' or '-', "?": nothing is told of it. */
static void say_lines(struct server *s, const char *gateway, const char *up)
{
    json_t *shown = json_pack("[s]", "table in-force generation 7");
    for (int i = 0; i < LINES; i++) {
        g_autofree char *row =
            g_strdup_printf("adjacency %d port %d known 1 bfd %s detection_us 30000 tx 9 tx_bytes 0 rx 4 rx_bytes 7",
                            FIRST_PLACE + i, FIRST_PLACE + i, up[i] == '+' ? "up" : "down");
        if (up[i] != '?')
            json_array_append_new(shown, json_string(row));
    }
    say_with(s, gateway, s->published->world->stamp, "gateway",
             json_pack("{s:b, s:i, s:[], s:[], s:o}", "forwarder", 1, "table", 7, "vips", "backends", "shown", shown));
}

/* What is told of lines, entrances and escapes, and the levers that the button would move. */
static void tell(struct server *s, GString *out)
{
    GError *error = NULL;
    json_t *status = engine_status(s->engine, s->now_us), *row, *step;
    size_t i, k;
    json_array_foreach (json_object_get(status, "alarms"), i, row)
        if (strcmp(member(row, "kind"), "nameserver") != 0 && strcmp(member(row, "kind"), "edge") != 0)
            g_string_append_printf(out, "  %d %s: %s; %s%s%s\n",
                                   (int)json_integer_value(json_object_get(row, "priority")), member(row, "key"),
                                   member(row, "title"), member(row, "evidence"),
                                   member(row, "plan")[0] != '\0' ? "; helps: " : "", member(row, "plan"));
    json_array_foreach (json_object_get(status, "warnings"), i, row)
        if (g_str_has_prefix(json_string_value(row), "escape "))
            g_string_append_printf(out, "  %s\n", json_string_value(row));
    json_decref(status);
    json_t *dry =
        engine_run_plan(s->engine, "room-isolated", "room-a", NULL, true, &alice, now(s), &s->effects, &error);
    ck_assert_msg(dry != NULL, "%s", error != NULL ? error->message : "");
    json_array_foreach (json_object_get(dry, "steps"), i, step)
        json_array_foreach (json_object_get(step, "sets"), k, row)
            g_string_append_printf(out, "  room-isolated would set %s/%s: %s\n", member(row, "control"),
                                   member(row, "object"), member(row, "value"));
    json_decref(dry);
}

static const struct state {
    const char *name, *at_a, *at_b; /* lines as the gateways of room A, and of B, see them; NULL: they are silent */
    bool entrances_down;
    const char *lever[3]; /* or NULL */
    double answer_bytes;  /* of 100 requests/s of creator; 0: nobody has said */
} states[] = {
    {"all is up", "+++", "+++", false, {NULL}, 40e3},
    {"no gateway has told of lines", NULL, NULL, true, {NULL}, 0},
    {"entrances are down, lines are up", "+++", "+++", true, {NULL}, 0},
    {"entrances are down, so is the duct", "--+", "--+", true, {NULL}, 0},
    {"one way of a line", "-++", "+++", false, {NULL}, 0},
    {"one way of all lines", "---", "+++", true, {NULL}, 0},
    {"a line is out, and down", "-++", "-++", false, {"line", "line-5", "out"}, 0},
    {"all lines are down", "---", "---", false, {NULL}, 0},
    {"entrances and all lines are down", "---", "---", true, {NULL}, 0},
    {"the button was pressed before the lines went", "---", "---", true, {"room.ingress", "room-a", "closed"}, 0},
    {"lines are up, but nobody may escape", "+++", "+++", true, {"room.escape", "room-a", "off"}, 0},
    {"gateways of room A are silent", NULL, "---", true, {NULL}, 0},
    {"it fits as long as the duct holds", "+++", "+++", false, {NULL}, 20e6},
    {"it does not without the duct", "--+", "--+", false, {NULL}, 20e6},
};

static void say_edges(struct server *s, const struct state *state)
{
    static const char *const all[] = {"edge-1", "edge-2", "edge-3", "edge-4"};
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
        say(s, all[i], (struct saying){.pops_down = state->entrances_down});
    if (state->answer_bytes == 0)
        return;
    json_t *report = saying_json(
        "edge-1", &(struct saying){
                      .stamp = s->published->world->stamp, .policy = "creator.creator", .room = "room-a", .rate = 100});
    say_with(s, "edge-1", s->published->world->stamp, "counters", json_incref(json_object_get(report, "counters")));
    json_object_set_new(report, "sizes",
                        json_pack("[{s:s, s:f, s:f}]", "policy", "creator.creator", "request_bytes", 900.0,
                                  "answer_bytes", state->answer_bytes));
    GError *error = NULL;
    ck_assert(engine_edge_report(s->engine, "edge-1", report, s->now_us, &s->effects, &error));
    json_decref(report);
}

/* The button leaves single-room services to the escape as long as there is one; else dedicated edges take them. */
START_TEST(an_escape_first_and_dedicated_edges_where_it_is_cut)
{
    g_autoptr(GString) out = g_string_new(NULL);
    rig_site = "gateways";
    for (size_t i = 0; i < G_N_ELEMENTS(states); i++) {
        struct server *s = server_new();
        json_t *more = json_pack("{s:[], s:[]}", "objects", "plans");
        load(more, "runbooks/line-maintenance.yaml");
        apply_ok(s, more);
        if (states[i].lever[0] != NULL)
            set_ok(s, states[i].lever[0], states[i].lever[1], states[i].lever[2]);
        for (size_t k = 0; k < G_N_ELEMENTS(gateways); k++) {
            const char *up = k < 2 ? states[i].at_a : states[i].at_b;
            if (up != NULL)
                say_lines(s, gateways[k], up);
        }
        say_edges(s, &states[i]);
        g_string_append_printf(out, "== %s\n", states[i].name);
        tell(s, out);
        server_free(s);
    }
    golden_check("gateways/escapes.txt", out->str);
}
END_TEST

/* An old word of a gateway says nothing of now. */
START_TEST(what_gateways_said_long_ago_does_not_count)
{
    rig_site = "gateways";
    struct server *s = server_new();
    g_autoptr(GString) fresh = g_string_new(NULL), old = g_string_new(NULL);
    for (size_t k = 0; k < G_N_ELEMENTS(gateways); k++)
        say_lines(s, gateways[k], "---");
    say_edges(s, &states[0]);
    tell(s, fresh);
    tick(s, OBSERVED_FRESH_US + 1);
    say_edges(s, &states[0]);
    tell(s, old);
    ck_assert_msg(strstr(fresh->str, "group.edge_class/creator: dedicated") != NULL, "%s", fresh->str);
    ck_assert_msg(strstr(old->str, "group.edge_class") == NULL, "%s", old->str);
    ck_assert_msg(strstr(old->str, "line") == NULL, "%s", old->str);
    server_free(s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, an_escape_first_and_dedicated_edges_where_it_is_cut);
    tcase_add_test(tcase, what_gateways_said_long_ago_does_not_count);
}

int main(void)
{
    return unit_run("escapes", add);
}
