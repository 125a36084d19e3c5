/* Rows `roads` and `lines` of the status: where requests go, beside where they are sent; lines as gateways see them. */
#include "tests/unit/engine_rig.h"
#include "tests/unit/unit.h"

static struct stamp in_force(const struct server *s)
{
    return s->published->world->stamp;
}

static json_t *counter(const char *policy, const char *room, const char *via, double rate, double fail_rate)
{
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:f, s:f}", "policy", policy, "room", room, "via", via, "requests", 1,
                     "failed", 0, "rate", rate, "fail_rate", fail_rate);
}

/* With no rates to forecast: no rule is asked. */
static void close_room_a(struct server *s)
{
    for (size_t i = 0; i < G_N_ELEMENTS(edges); i++)
        say(s, edges[i], (struct saying){0});
    set_ok(s, "room.ingress", "room-a", "closed");
}

/* "public - room-a 90 of 60", a line each: class, edge, room, rate of intended. */
static char *roads(const struct server *s)
{
    GString *text = g_string_new(NULL);
    json_t *status = engine_status(s->engine, s->now_us), *row;
    size_t i;
    json_array_foreach (json_object_get(status, "roads"), i, row) {
        const char *edge = json_string_value(json_object_get(row, "edge"));
        g_string_append_printf(text, "%s %s %s %.1f of %.1f\n", member(row, "class"), edge != NULL ? edge : "-",
                               member(row, "room"), json_real_value(json_object_get(row, "rate")),
                               json_real_value(json_object_get(row, "intended")));
    }
    json_decref(status);
    return g_string_free(text, FALSE);
}

static void expect_roads(const struct server *s, const char *expected)
{
    g_autofree char *found = roads(s);
    ck_assert_str_eq(found, expected);
}

START_TEST(intended_is_what_the_tables_say)
{
    struct server *s = server_new();
    say_with(s, "edge-1", in_force(s), "counters",
             json_pack("[o, o, o, o]", counter("core.playback", "room-a", "pop-a1", 90, 0),
                       counter("core.playback", "room-b", "pop-b1", 10, 0),
                       counter("creator.creator", "room-a", "pop-a2", 8, 8),
                       counter("manual.home", "", "static", 40, 0))); /* answered by the edge: on no road */
    say_with(s, "edge-3", in_force(s), "counters",
             json_pack("[o]", counter("manual-line.home", "room-b", "ring", 20, 0)));
    expect_roads(s, "public - room-a 98.0 of 58.0\npublic - room-b 10.0 of 50.0\n"
                    "dedicated - room-a 0.0 of 10.0\ndedicated - room-b 20.0 of 10.0\n");
    close_room_a(s);
    say_with(s, "edge-1", in_force(s), "counters",
             json_pack("[o, o, o]", counter("core.playback", "room-b", "pop-b1", 100, 0),
                       counter("creator.creator", "", "", 8, 8), counter("gone.gone", "room-b", "pop-b1", 5, 0)));
    say_with(s, "edge-3", in_force(s), "counters", json_array());
    expect_roads(s, "public -  8.0 of 8.0\npublic - room-b 105.0 of 100.0\n"); /* nobody answers creator */
    set_ok(s, "group.edge_class", "creator", "dedicated");
    say_with(s, "edge-3", in_force(s), "counters", json_array());
    say_with(s, "edge-1", in_force(s), "counters",
             json_pack("[o, o]", counter("creator.creator", "room-a", "pop-a1", 3, 0),
                       counter("creator.creator", "", "relay", 5, 0)));
    expect_roads(s, "public - relay 5.0 of 8.0\npublic - room-a 3.0 of 0.0\n");
    server_free(s);
}
END_TEST

START_TEST(an_edge_that_is_behind_has_rows_of_its_own)
{
    struct server *s = server_new();
    json_t *last = json_pack("[o]", counter("core.playback", "room-a", "pop-a1", 50, 0));
    for (int i = 1; i <= 2; i++) {
        g_autofree char *edge = g_strdup_printf("edge-%d", i);
        say_with(s, edge, in_force(s), "counters", json_incref(last));
    }
    struct stamp old = in_force(s);
    expect_roads(s, "public - room-a 100.0 of 50.0\npublic - room-b 0.0 of 50.0\n");
    close_room_a(s);
    json_t *moved = json_pack("[o]", counter("core.playback", "room-b", "pop-b1", 50, 0));
    say_with(s, "edge-1", in_force(s), "counters", json_incref(moved));
    say_with(s, "edge-2", old, "counters", json_incref(last)); /* heard, and behind: in the sum as well */
    expect_roads(s, "public - room-a 50.0 of 0.0\npublic - room-b 50.0 of 100.0\n"
                    "public edge-2 room-a 50.0 of 0.0\npublic edge-2 room-b 0.0 of 50.0\n");
    tick(s, OBSERVED_FRESH_US + 1); /* heard no more: what it did last is shown, and is in no sum */
    say_with(s, "edge-1", in_force(s), "counters", json_incref(moved));
    expect_roads(s, "public - room-b 50.0 of 50.0\n"
                    "public edge-2 room-a 50.0 of 0.0\npublic edge-2 room-b 0.0 of 50.0\n");
    say_with(s, "edge-2", in_force(s), "counters", json_incref(moved));
    expect_roads(s, "public - room-b 100.0 of 100.0\n");
    json_decref(last);
    json_decref(moved);
    server_free(s);
}
END_TEST

/* What a gateway shows of its ends of line-5 and line-6 (gwports 3 and 4 of the site). */
static json_t *gateway(bool line5_up, uint64_t line5_bytes)
{
    g_autofree char *five = g_strdup_printf(
        "adjacency 3 port 3 known 1 bfd %s detection_us 30000 tx 9 tx_bytes %" G_GUINT64_FORMAT " rx 4 rx_bytes 7",
        line5_up ? "up" : "down", line5_bytes);
    return json_pack("{s:b, s:i, s:[], s:[], s:[s, s, s, s]}", "forwarder", 1, "table", 7, "vips", "backends", "shown",
                     "table in-force generation 7", five, "adjacency 4 port 4 known 1 bfd up tx_bytes 0 loss 0.25",
                     "adjacency");
}

/* mbit: -1 null. */
static void expect_line(const struct server *s, const char *name, const char *state, double mbit_to, double mbit_from)
{
    json_t *row = status_row(s, "lines", "name", name);
    const json_t *to = json_object_get(row, "mbit_to"), *from = json_object_get(row, "mbit_from");
    ck_assert_str_eq(member(row, "state"), state);
    ck_assert_double_eq_tol(json_is_null(to) ? -1 : json_real_value(to), mbit_to, 0.01);
    ck_assert_double_eq_tol(json_is_null(from) ? -1 : json_real_value(from), mbit_from, 0.01);
    json_decref(row);
}

START_TEST(lines_between_rooms_are_as_their_gateways_see_them)
{
    rig_site = "gateways";
    struct server *s = server_new();
    expect_line(s, "line-5", "unwatched", -1, -1);
    say_with(s, "gw-a1", in_force(s), "gateway", gateway(true, 1000));
    expect_line(s, "line-5", "up", -1, -1); /* one report is no rate */
    tick(s, 2 * SECOND);
    say_with(s, "gw-a1", in_force(s), "gateway", gateway(true, 1000 + 5000000));
    say_with(s, "gw-b1", in_force(s), "gateway", gateway(true, 77));
    expect_line(s, "line-5", "up", 20, 0); /* 40 Mbit in 2 s; the other side has no rate yet */
    tick(s, SECOND / 2);
    say_with(s, "gw-a1", in_force(s), "gateway", gateway(true, 1000 + 5000000 + 1)); /* too early for another rate */
    expect_line(s, "line-5", "up", 20, 0);
    int64_t cut_us = s->now_us;
    say_with(s, "gw-a1", in_force(s), "gateway", gateway(false, 6000000));
    say_with(s, "gw-b1", in_force(s), "gateway", gateway(true, 77));
    expect_line(s, "line-5", "part", 20, 0);
    tick(s, SECOND);
    say_with(s, "gw-a1", in_force(s), "gateway", gateway(false, 6000000));
    say_with(s, "gw-b1", in_force(s), "gateway", gateway(false, 77));
    json_t *row = status_row(s, "lines", "name", "line-5");
    ck_assert_str_eq(member(row, "state"), "down");
    ck_assert_int_eq(json_integer_value(json_object_get(row, "since_us")) - (now(s).wall_us - s->now_us), cut_us);
    json_decref(row);
    expect_line(s, "line-6", "up", 0, 0);
    say_with(s, "gw-a1", in_force(s), "gateway", gateway(true, 5)); /* started anew: it counts from the beginning */
    row = status_row(s, "lines", "name", "line-5");
    ck_assert_str_eq(member(row, "state"), "part");
    json_decref(row);
    tick(s, OBSERVED_FRESH_US + 1);
    expect_line(s, "line-5", "unwatched", -1, -1);
    server_free(s);
}
END_TEST

static void say_ring(struct server *s, const char *edge, bool room_a)
{
    json_t *origins = json_array();
    for (int i = 0; i < 2; i++)
        json_array_append_new(origins,
                              json_pack("{s:s, s:s, s:b, s:s, s:i}", "room", i == 0 ? "room-a" : "room-b", "via",
                                        "ring", "up", i == 1 || room_a, "status", "L4", "latency_us", 1000));
    say_with(s, edge, in_force(s), "origins", origins);
}

START_TEST(a_line_to_an_edge_is_suspect_when_the_edge_has_lost_the_room_at_its_end)
{
    struct server *s = server_new();
    say_ring(s, "edge-3", false);
    say_ring(s, "edge-4", true);
    expect_line(s, "line-1", "suspect", -1, -1);
    expect_line(s, "line-2", "unwatched", -1, -1);
    expect_line(s, "line-4", "unwatched", -1, -1);
    say_ring(s, "edge-4", false); /* nobody reaches it: that may be the room */
    expect_line(s, "line-1", "unwatched", -1, -1);
    server_free(s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, intended_is_what_the_tables_say);
    tcase_add_test(tcase, an_edge_that_is_behind_has_rows_of_its_own);
    tcase_add_test(tcase, lines_between_rooms_are_as_their_gateways_see_them);
    tcase_add_test(tcase, a_line_to_an_edge_is_suspect_when_the_edge_has_lost_the_room_at_its_end);
}

int main(void)
{
    return unit_run("roads", add);
}
