/* gateways.h: what gateways are told is taken by their agent and their forwarder, and what edges are told of escapes.
 */
#include "server/interlocking/gateways.h"

#include "gateway/gwtable.h"
#include "tests/unit/fibcheck.h"
#include "tests/unit/site.h"
#include "tests/unit/unit.h"

#include <string.h>

#define PORTS 6u

/* Of a class of edges, or of a gateway. */
static const char *layout_of(const struct resolved *resolved, const char *gateway)
{
    return g_bytes_get_data(resolved_gateway(resolved, gateway), NULL);
}

static const char *part_of(const struct resolved *resolved, enum part part)
{
    const void *text = g_bytes_get_data(resolved_part(resolved, resolved->tables[EDGE_PUBLIC].hash[part]), NULL);
    return text != NULL ? text : "";
}

static bool has(const char *text, const char *line)
{
    const char *at = strstr(text, line);
    return at != NULL && (at == text || at[-1] == '\n');
}

/* As its agent and its forwarder read it. */
static void check_taken(const struct resolved *resolved, const char *gateway)
{
    g_autoptr(GError) error = NULL;
    gsize size;
    const char *text = g_bytes_get_data(resolved_gateway(resolved, gateway), &size);
    ck_assert_msg(part_validate(PART_LAYOUT, text, size, &error), "%s", error != NULL ? error->message : "");
    sb_auto(gwtable) table = gwtable_parse(text, size, &error);
    ck_assert_msg(table != NULL, "%s", error != NULL ? error->message : "");
    unsigned n;
    gwtable_backends(table, &n);
    g_autofree uint32_t *weights = g_new0(uint32_t, n + 1);
    g_autoptr(GByteArray) message = gwtable_message(table, 1, weights);
    const char *reason = fib_refusal(message->data, message->len, PORTS);
    ck_assert_msg(reason == NULL, "%s: %s", gateway, reason);
}

START_TEST(gateways_take_what_they_are_told)
{
    sb_auto(inventory) inv = site_inventory("gateways");
    sb_auto(world) world = SITE_WORLD(inv, NULL);
    sb_auto(resolved) resolved = resolve(world, NULL);
    g_autoptr(GString) text = g_string_new(NULL);
    INVENTORY_FOREACH (inv, gateway, gateway) {
        struct manifest manifest;
        check_taken(resolved, gateway->o.name);
        ck_assert(resolved_manifest(resolved, gateway->o.name, &manifest));
        ck_assert_str_eq(manifest.edge, gateway->o.name);
        for (enum part part = 0; part < PARTS; part++) {
            GBytes *bytes = resolved_part(resolved, manifest.hash[part]);
            ck_assert_msg(bytes != NULL, "%s", part_name(part));
            ck_assert((g_bytes_get_size(bytes) > 0) == (part == PART_LAYOUT));
        }
        if (g_str_has_suffix(gateway->o.name, "1"))
            g_string_append_printf(text, "[%s]\n%s", gateway->o.name, layout_of(resolved, gateway->o.name));
    }
    ck_assert_uint_eq(resolved->findings->len, 0);
    golden_check("gateways.txt", text->str);
    sb_auto(inventory) shuffled = site_shuffled(inv, 7);
    sb_auto(world) other = SITE_WORLD(shuffled, NULL);
    sb_auto(resolved) again = resolve(other, NULL);
    INVENTORY_FOREACH (inv, gateway, gateway)
        ck_assert_str_eq(layout_of(again, gateway->o.name), layout_of(resolved, gateway->o.name));
}
END_TEST

static const struct row {
    const char *levers[3];
    const char *gateway, *line,
        *edges; /* gw: in its layout; edges: in `origins` of public ones; "!": it is not there */
} rows[] = {
    {{NULL}, "gw-b1", "line/03 ", "!single/room-a/escape-a"},
    {{NULL}, "gw-b1", "!gateway ", "!single/room-a/pop-a1"},
    {{"gateway/gw-b1=out"}, "gw-b1", "gateway out\n", "!single/room-a/escape-a"},
    {{"gateway/gw-b1=out"}, "gw-b2", "!gateway ", "!single/room-a/escape-a"},
    {{"room.escape/room-a=off"},
     "gw-b1",
     "backend/escape-a/vip-a1 198.51.100.11:80|984|group/12|0|0\n",
     "single/room-a/escape-a out\n"},
    {{"room.escape/room-a=on"}, "gw-b1", "service/escape-a ", "single/room-a/pop-a1 out\n"},
    {{"room.escape/room-a=on"}, "gw-b1", "service/escape-a ", "!single/room-a/escape-a"},
    {{"room.escape/room-a=on"}, "gw-b1", "service/escape-a ", "!multi/room-a/pop-a1"},
    {{"room.ingress/room-a=closed"}, "gw-b1", "service/escape-a ", "single/room-a/pop-a1 out\n"},
    {{"room.ingress/room-a=closed"}, "gw-b1", "service/escape-a ", "multi/room-a/pop-a1 out\n"},
    {{"room.ingress/room-a=closed"}, "gw-b1", "service/escape-a ", "!single/room-a/escape-a"},
    {{"room.ingress/room-b=closed"}, "gw-b1", "service/escape-a ", "single/room-a/escape-a out\n"},
    {{"room.compute/room-a=maintenance"}, "gw-b1", "service/escape-a ", "single/room-a/escape-a out\n"},
};

static void expect(const char *text, const char *line)
{
    bool wanted = line[0] != '!';
    ck_assert_msg(has(text, line + !wanted) == wanted, "%s in\n%s", line, text);
}

START_TEST(levers_are_seen)
{
    sb_auto(inventory) inv = site_inventory("gateways");
    sb_auto(world) world = site_world(inv, rows[_i].levers);
    sb_auto(resolved) resolved = resolve(world, NULL);
    expect(layout_of(resolved, rows[_i].gateway), rows[_i].line);
    expect(part_of(resolved, PART_ORIGINS), rows[_i].edges);
    check_taken(resolved, rows[_i].gateway);
}
END_TEST

/* Where single-room users of room A are sent: nowhere when it has neither entrances nor an escape. */
START_TEST(a_room_without_entrances_is_usable_by_its_escape)
{
    sb_auto(inventory) inv = site_inventory("gateways");
    sb_auto(world) escape = SITE_WORLD(inv, "room.ingress/room-a=closed");
    sb_auto(world) none = SITE_WORLD(inv, "room.ingress/room-a=closed", "room.escape/room-a=off");
    sb_auto(resolved) with = resolve(escape, NULL);
    sb_auto(resolved) without = resolve(none, NULL);
    ck_assert(has(part_of(with, PART_ROOMS), "single/room-a room-a\n"));
    ck_assert(has(part_of(with, PART_ROOMS), "multi/room-a room-b\n"));
    ck_assert(has(part_of(without, PART_ROOMS), "single/room-a -\n"));
    ck_assert(has(part_of(with, PART_LAYOUT), "escape/room-a/escape-a 198.51.100.41:80\n"));
}
END_TEST

/* The line that carries is out: it comes behind all others; nothing else of the table is another. */
START_TEST(a_line_that_is_out_comes_last)
{
    sb_auto(inventory) inv = site_inventory("gateways");
    sb_auto(world) before = SITE_WORLD(inv, NULL);
    sb_auto(world) after = SITE_WORLD(inv, "line/line-5=out");
    sb_auto(resolved) a = resolve(before, NULL);
    sb_auto(resolved) b = resolve(after, a);
    struct resolved_distance distance = resolved_compare(a, b);
    ck_assert_uint_eq(distance.gateways, 4); /* a line of each gateway */
    ck_assert_uint_eq(distance.entries[EDGE_PUBLIC] + distance.slow_entries[EDGE_PUBLIC], 0);
    const char *text = strstr(layout_of(b, "gw-b1"), "line/03 ");
    g_auto(GStrv) fields = g_strsplit(text + strlen("line/03 "), "|", 4);
    ck_assert_str_eq(fields[1], "100000");
    ck_assert_str_eq(fields[2], "400");
}
END_TEST

static struct inventory *with(const struct inventory *inv, const char *yaml)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    struct inventory *more = inventory_copy(inv);
    json_t *json = json_loads(yaml, 0, NULL);
    struct object *object = object_from_json(json, findings);
    ck_assert_msg(object != NULL, "%s", yaml);
    inventory_put(more, object);
    json_decref(json);
    return more;
}

/* Sessions go by places: who comes new takes nobody's. */
START_TEST(places_stay)
{
    sb_auto(inventory) inv = site_inventory("gateways");
    sb_auto(inventory) more = with(inv, "{\"kind\": \"instance\", \"name\": \"a-first\", \"room\": \"room-a\", "
                                        "\"address\": \"10.1.0.9:80\"}");
    sb_auto(world) before = SITE_WORLD(inv, NULL);
    sb_auto(world) after = SITE_WORLD(more, NULL);
    sb_auto(resolved) a = resolve(before, NULL);
    sb_auto(resolved) b = resolve(after, NULL);
    g_auto(GStrv) lines = g_strsplit(layout_of(a, "gw-a1"), "\n", -1);
    for (char **line = lines; *line != NULL && **line != '\0'; line++)
        ck_assert_msg(has(layout_of(b, "gw-a1"), *line), "%s", *line);
    ck_assert(has(layout_of(b, "gw-a1"), "backend/vip-a1/a-first 10.1.0.9:80|"));
}
END_TEST

static void expect_finding(const struct inventory *inv, const char *words)
{
    sb_auto(world) world = SITE_WORLD((struct inventory *)inv, NULL);
    sb_auto(resolved) resolved = resolve(world, NULL);
    g_autoptr(GString) all = g_string_new(NULL);
    for (guint i = 0; i < resolved->findings->len; i++) {
        g_autofree char *text = finding_text(resolved->findings->pdata[i]);
        g_string_append_printf(all, "%s\n", text);
    }
    ck_assert_msg(strstr(all->str, words) != NULL, "found: %s", all->str);
    INVENTORY_FOREACH (inv, gateway, gateway)
        check_taken(resolved, gateway->o.name);
}

START_TEST(what_leads_nowhere_is_found)
{
    sb_auto(inventory) inv = site_inventory("gateways");
    sb_auto(inventory) six = with(inv, "{\"kind\": \"gwvip\", \"name\": \"six\", \"room\": \"room-a\", \"address\": "
                                       "\"[2001:db8::31]:80\"}");
    sb_auto(inventory) bare = with(inv, "{\"kind\": \"gateway\", \"name\": \"gw-b3\", \"room\": \"room-b\", \"local\": "
                                        "\"10.2.40.3\"}");
    sb_auto(inventory) udp = with(inv, "{\"kind\": \"gwvip\", \"name\": \"udp\", \"room\": \"room-b\", \"address\": "
                                       "\"198.51.100.42:53\", \"proto\": \"udp\", \"to\": \"room-a\"}");
    expect_finding(six,
                   "gwvip six: room: found no port that instances are behind at gateway gw-a1, expected one of the "
                   "address's family");
    expect_finding(bare, "gwvip escape-a: room: found no line to the room that it leads to at gateway gw-b3");
    expect_finding(udp, "gwvip udp: room: found no address of the room that it leads to at gateway gw-b1");
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, gateways_take_what_they_are_told);
    tcase_add_loop_test(tcase, levers_are_seen, 0, G_N_ELEMENTS(rows));
    tcase_add_test(tcase, a_room_without_entrances_is_usable_by_its_escape);
    tcase_add_test(tcase, a_line_that_is_out_comes_last);
    tcase_add_test(tcase, places_stay);
    tcase_add_test(tcase, what_leads_nowhere_is_found);
}

int main(void)
{
    return unit_run("gateways", add);
}
