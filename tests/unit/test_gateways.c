/* gateways.h: what gateways are told is taken by their agent and their forwarder, and what edges are told of escapes.
 */
#include "server/interlocking/gateways.h"

#include "gateway/gwtable.h"
#include "server/interlocking/explain.h"
#include "server/interlocking/rules.h"
#include "tests/unit/fibcheck.h"
#include "tests/unit/site.h"
#include "tests/unit/unit.h"

#include <string.h>

#define PORTS 6u
#define NOW_US (1000 * G_USEC_PER_SEC)

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
    golden_check("gateways/layouts.txt", text->str);
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
    {{NULL}, "gw-b1", "backend/shared-a/origin-b 10.2.0.1:80|", "!shared-a"},
    {{NULL}, "gw-b2", "service/shared-a 198.51.100.31:80|tcp|-|vip_shared_a\n", "!shared-a"},
    {{NULL}, "gw-b1", "!backend/shared-a/origin-a ", "!shared-a"},
    {{NULL}, "gw-a1", "!backend/shared-a/origin-b ", "!shared-a"},
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

/* Rows of a layout that begin so; g_ptr_array_unref. */
static GPtrArray *rows_of(const char *layout, const char *begin)
{
    GPtrArray *found = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) lines = g_strsplit(layout, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        if (g_str_has_prefix(*line, begin))
            g_ptr_array_add(found, g_strdup(*line));
    return found;
}

static void check_inside(const char *layout, const char *service)
{
    g_autofree char *begin = g_strdup_printf("backend/%s/", service);
    g_autoptr(GPtrArray) backends = rows_of(layout, begin);
    ck_assert_uint_gt(backends->len, 0);
    for (guint i = 0; i < backends->len; i++) {
        g_auto(GStrv) fields = g_strsplit(backends->pdata[i], "|", -1);
        ck_assert_msg(g_str_has_prefix(fields[2], "adjacency/"), "%s", (char *)backends->pdata[i]);
        g_autofree char *line = g_strdup_printf("line/%s ", fields[2] + strlen("adjacency/"));
        ck_assert_msg(!has(layout, line), "%s", (char *)backends->pdata[i]);
    }
}

/* The gateway answers at the address, and hands over to what is inside alone. */
static void check_ends(const struct resolved *resolved, const char *gateway, const char *address)
{
    g_autoptr(GPtrArray) services = rows_of(layout_of(resolved, gateway), "service/");
    g_autofree char *at = g_strdup_printf(" %s|", address);
    bool found = false;
    for (guint i = 0; i < services->len; i++) {
        g_auto(GStrv) words = g_strsplit((char *)services->pdata[i] + strlen("service/"), " ", 2);
        if (strstr(services->pdata[i], at) == NULL)
            continue;
        found = true;
        check_inside(layout_of(resolved, gateway), words[0]);
    }
    ck_assert_msg(found, "%s at %s", address, gateway);
}

/* Whatever the levers, and with an escape each way: what a gateway sends over a line arrives where it stays. */
START_TEST(what_came_in_over_a_line_never_leaves_over_a_line)
{
    sb_auto(inventory) site = site_inventory("gateways");
    sb_auto(inventory) inv = with(site, "{\"kind\": \"gwvip\", \"name\": \"escape-b\", \"room\": \"room-a\", "
                                        "\"address\": \"198.51.100.42:80\", \"to\": \"room-b\"}");
    sb_auto(world) world = site_world(inv, rows[_i].levers);
    sb_auto(resolved) resolved = resolve(world, NULL);
    unsigned sent = 0;
    INVENTORY_FOREACH (inv, gateway, gateway) {
        g_autoptr(GPtrArray) backends = rows_of(layout_of(resolved, gateway->o.name), "backend/");
        for (guint i = 0; i < backends->len; i++) {
            g_auto(GStrv) fields = g_strsplit(strchr(backends->pdata[i], ' ') + 1, "|", -1);
            if (!g_str_has_prefix(fields[2], "group/"))
                continue;
            sent++;
            INVENTORY_FOREACH (inv, gateway, other)
                if (strcmp(other->room, gateway->room) != 0)
                    check_ends(resolved, other->o.name, fields[0]);
        }
    }
    ck_assert_uint_eq(sent, 2 * 3 + 2 * 2); /* room A has three addresses of its own, room B two */
}
END_TEST

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

/* What a gateway reports of its instances and of its ends of line-5 and line-6. */
static void gateway_reports(struct observed *observed, const char *gateway, bool line5_up, const char *instance)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *five =
        g_strdup_printf("adjacency 3 port 3 known 1 bfd %s tx_bytes 0 loss 0.25 rtt_us 1900", line5_up ? "up" : "down");
    json_t *report = json_pack(
        "{s:s,s:s,s:i,s:{s:i,s:i},s:s,s:n,s:i,s:{s:b,s:i,s:[{s:s,s:b},{s:s,s:b}],s:[{s:s,s:s},{s:s,s:s}],"
        "s:[s,s]}}",
        "edge", gateway, "cluster", "two-rooms", "promised", 65537, "applied", "epoch", 65537, "generation", 10,
        "state", "applied", "error", "window_us", 1000000, "gateway", "forwarder", 1, "table", 7, "vips", "name",
        "vip_vip_a1", "announced", 1, "name", "vip_vip_a2", "announced", 0, "backends", "backend", "origin-a", "state",
        "up", "backend", instance, "state", "down", "shown", five, "adjacency 4 port 4 known 1 bfd up tx_bytes 0");
    ck_assert_msg(observed_edge_report(observed, gateway, report, NOW_US - 2 * G_USEC_PER_SEC, &error), "%s",
                  error != NULL ? error->message : "");
    json_decref(report);
}

START_TEST(what_gateways_see_is_explained_beside_the_road)
{
    sb_auto(inventory) inv = site_inventory("gateways");
    sb_auto(observed) observed = observed_new();
    sb_auto(world) world = SITE_WORLD(inv, NULL);
    sb_auto(resolved) resolved = resolve(world, NULL);
    gateway_reports(observed, "gw-a1", true, "origin-a2");
    gateway_reports(observed, "gw-b1", false, "vip-a1");
    g_autoptr(GString) text = g_string_new(NULL);
    static const char *const urls[] = {"http://creator.example.test/", "http://creator-line.example.test/"};
    for (size_t i = 0; i < G_N_ELEMENTS(urls); i++) {
        struct explain_query query = {.url = urls[i], .user = "42"};
        json_t *road = explain(resolved, observed, &query, NOW_US, NULL);
        g_autofree char *words = explain_text(road);
        g_string_append_printf(text, "== %s\n%s", urls[i], strstr(words, "observed"));
        json_decref(road);
    }
    golden_check("gateways/explain-observed.txt", text->str);
}
END_TEST

/* The road of a single-room service, as an operator reads it, at rest and in each state that an escape has. */
START_TEST(roads_are_explained)
{
    static const char *const states[][3] = {{NULL},
                                            {"room.ingress/room-a=closed"},
                                            {"room.escape/room-a=off by ann"},
                                            {"room.escape/room-a=on", "line/line-5=out by bob"},
                                            {"room.ingress/room-b=closed", "gateway/gw-a1=out"}};
    sb_auto(inventory) inv = site_inventory("gateways");
    sb_auto(observed) observed = observed_new();
    g_autoptr(GString) text = g_string_new(NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(states); i++) {
        static const char *const urls[] = {"http://creator.example.test/", "http://play.example.test/"};
        sb_auto(world) world = site_world(inv, states[i]);
        sb_auto(resolved) resolved = resolve(world, NULL);
        for (size_t k = 0; k < G_N_ELEMENTS(urls); k++) {
            struct explain_query query = {.url = urls[k], .user = "42"};
            json_t *road = explain(resolved, observed, &query, NOW_US, NULL);
            g_autofree char *words = explain_text(road);
            g_string_append_printf(text, "== %s %s\n%s", states[i][0] != NULL ? states[i][0] : "at rest", urls[k],
                                   words);
            json_decref(road);
        }
    }
    golden_check("gateways/explain.txt", text->str);
}
END_TEST

static const struct forecast_row *row_of(const struct forecast *f, const char *kind, const char *name)
{
    for (guint i = 0; i < f->rows->len; i++) {
        const struct forecast_row *row = f->rows->pdata[i];
        if (strcmp(row->kind, kind) == 0 && strcmp(row->name, name) == 0)
            return row;
    }
    return NULL;
}

static bool notes_have(const struct forecast *f, const char *words)
{
    for (guint i = 0; i < f->notes->len; i++)
        if (strstr(f->notes->pdata[i], words) != NULL)
            return true;
    return false;
}

/* Public edges have 100 requests/s of creator, which lives in room A: with its entrances closed they come by line. */
START_TEST(lines_are_forecast)
{
    sb_auto(inventory) inv = site_inventory("gateways");
    sb_auto(observed) observed = observed_new();
    sb_auto(world) before = SITE_WORLD(inv, NULL);
    sb_auto(world) after = SITE_WORLD(inv, "room.ingress/room-a=closed");
    sb_auto(world) out = SITE_WORLD(inv, "room.ingress/room-a=closed", "line/line-5=out", "line/line-6=out");
    sb_auto(resolved) a = resolve(before, NULL);
    sb_auto(resolved) b = resolve(after, a);
    sb_auto(resolved) c = resolve(out, a);
    SITE_REPORT(observed, "edge-1", 10, NOW_US, "counter creator.creator room-a pop-a1 0 0 60 0");
    SITE_REPORT(observed, "edge-2", 10, NOW_US, "counter creator.creator room-a pop-a2 0 0 40 0");
    SITE_REPORT(observed, "edge-3", 10, NOW_US, NULL);
    SITE_REPORT(observed, "edge-4", 10, NOW_US, NULL);
    sb_auto(forecast) f = forecast(a, b, observed, NOW_US);
    ck_assert(f->known);
    ck_assert_double_eq_tol(f->lost, 0, 0.01);
    ck_assert_double_eq_tol(row_of(f, "entrance", "room-a/escape-a")->after, 100, 0.01);
    ck_assert_double_eq_tol(row_of(f, "entrance", "room-a/pop-a1")->after, 0, 0.01);
    ck_assert_double_eq_tol(row_of(f, "line", "line-5")->after, 100, 0.01);
    ck_assert_ptr_null(row_of(f, "line", "line-7"));
    ck_assert(notes_have(f, "escape-a would take 100 requests/s over 40,000 Mbit/s of dedicated lines; how large "
                            "answers are nobody has said: of 50000 kB they would fill them"));
    sb_auto(forecast) less = forecast(b, c, observed, NOW_US);
    ck_assert_double_eq_tol(row_of(less, "line", "line-7")->after, 100, 0.01);
    ck_assert_ptr_null(row_of(less, "line", "line-5"));
    ck_assert(notes_have(less, "over 10,000 Mbit/s"));
    sb_auto(forecast) rest = forecast(a, a, observed, NOW_US);
    ck_assert_ptr_null(row_of(rest, "line", "line-5"));
}
END_TEST

/* Public edges have 100 requests/s of creator, of which the two of a row say how large they and their answers are. */
static const struct judged {
    const char *name, *sizes[2];
    const char *now[3], *then[3];
    const char *override;
} judged[] = {
    {"it fits", {"size creator.creator 900 40000", NULL}, {NULL}, {"room.ingress/room-a=closed"}, NULL},
    {"answers are too large", {"size creator.creator 900 60e6", NULL}, {NULL}, {"room.ingress/room-a=closed"}, NULL},
    {"a person passes it over",
     {"size creator.creator 900 60e6", NULL},
     {NULL},
     {"room.ingress/room-a=closed"},
     "capacity-kept"},
    {"requests are too large", {"size creator.creator 60e6 900", NULL}, {NULL}, {"room.escape/room-a=on"}, NULL},
    {"the line that is left is too small",
     {"size creator.creator 900 20e6", "size creator.creator 900 20e6"},
     {"room.escape/room-a=on", "line/line-5=out"},
     {"room.escape/room-a=on", "line/line-5=out", "line/line-6=out"},
     NULL},
    {"it was too much before",
     {"size creator.creator 900 60e6", NULL},
     {"room.escape/room-a=on"},
     {"room.escape/room-a=on", "service.auto_dr/home=on"},
     NULL},
    {"edges differ",
     {"size creator.creator 900 90e6", "size creator.creator 900 1000"},
     {NULL},
     {"room.escape/room-a=on"},
     NULL},
    {"by dedicated edges, each over a line of its own",
     {"size creator.creator 900 40e6", NULL},
     {"room.escape/room-a=off"},
     {"room.escape/room-a=off", "group.edge_class/creator=dedicated"},
     NULL},
};

static void judge(const struct judged *row, GString *text)
{
    static const struct rules_config config = {.share_moved_max = RULES_SHARE_MOVED_MAX};
    sb_auto(inventory) inv = site_inventory("gateways");
    sb_auto(observed) observed = observed_new();
    sb_auto(world) a = site_world(inv, row->now);
    sb_auto(world) b = site_world(inv, row->then);
    sb_auto(resolved) x = resolve(a, NULL);
    sb_auto(resolved) y = resolve(b, x);
    const char *via = world_room_escapes_always(a, "room-a") ? "escape-a" : "pop-a1";
    g_autofree char *counter = g_strdup_printf("counter creator.creator room-a %s 0 0 50 0", via);
    SITE_REPORT(observed, "edge-1", 10, NOW_US, counter, row->sizes[0]);
    SITE_REPORT(observed, "edge-2", 10, NOW_US, counter, row->sizes[1]);
    SITE_REPORT(observed, "edge-3", 10, NOW_US, NULL);
    SITE_REPORT(observed, "edge-4", 10, NOW_US, NULL);
    sb_auto(forecast) f = forecast(x, y, observed, NOW_US);
    const struct rules_case change = {
        .config = &config, .now = a, .then = b, .forecast = f, .overrides = (const char *const[]){row->override, NULL}};
    g_autoptr(GPtrArray) refusals = rules_check(&change);
    g_autofree char *words = forecast_text(f);
    g_string_append_printf(text, "== %s\n%s", row->name, words);
    for (guint i = 0; i < refusals->len; i++) {
        const struct refusal *refusal = refusals->pdata[i];
        g_string_append_printf(text, "refused by %s: %s. Way round: %s\n", refusal->rule, refusal->figures,
                               refusal->way_round);
    }
    if (refusals->len == 0)
        g_string_append(text, "allowed\n");
}

/* What a change would put on lines, and that it is refused where they are too small. */
START_TEST(lines_are_not_overfilled)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(judged); i++)
        judge(&judged[i], text);
    golden_check("gateways/lines.txt", text->str);
}
END_TEST

/* What a gateway reports is heard as an edge's report is. */
START_TEST(gateways_are_heard)
{
    sb_auto(observed) observed = observed_new();
    g_autoptr(GError) error = NULL;
    json_t *report =
        json_pack("{s:s,s:s,s:i,s:{s:i,s:i},s:s,s:n,s:i,s:{s:b,s:i,s:[{s:s,s:b}],s:[],s:[s]}}", "edge", "gw-a1",
                  "cluster", "two-rooms", "promised", 65537, "applied", "epoch", 65537, "generation", 10, "state",
                  "applied", "error", "window_us", 1000000, "gateway", "forwarder", 1, "table", 7, "vips", "name",
                  "vip_a", "announced", 1, "backends", "shown", "table in-force");
    ck_assert(observed_edge_report(observed, "gw-a1", report, NOW_US, &error));
    const struct edge_report *heard = observed_edge(observed, "gw-a1");
    ck_assert_int_eq(json_integer_value(json_object_get(heard->gateway, "table")), 7);
    json_t *again = edge_report_to_json(heard, NOW_US);
    ck_assert(json_equal(json_object_get(again, "gateway"), json_object_get(report, "gateway")));
    json_decref(again);
    json_object_set_new(json_object_get(report, "gateway"), "vips", json_string("all"));
    ck_assert(!observed_edge_report(observed, "gw-a1", report, NOW_US, &error));
    ck_assert_msg(strstr(error->message, "gateway: found ") != NULL, "%s", error->message);
    json_decref(report);
    sb_auto(inventory) inv = site_inventory("gateways");
    sb_auto(world) world = SITE_WORLD(inv, NULL);
    g_autoptr(GPtrArray) agents = world_agents(world);
    ck_assert_uint_eq(agents->len, 8);
    ck_assert_str_eq(agents->pdata[4], "gw-a1");
    ck_assert_str_eq(world_agent_kind(world, "gw-a1"), "gateway");
    ck_assert_str_eq(world_agent_kind(world, "edge-1"), "edge");
    ck_assert_ptr_null(world_agent_kind(world, "ns-1"));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, roads_are_explained);
    tcase_add_test(tcase, what_gateways_see_is_explained_beside_the_road);
    tcase_add_loop_test(tcase, what_came_in_over_a_line_never_leaves_over_a_line, 0, G_N_ELEMENTS(rows));
    tcase_add_test(tcase, lines_are_forecast);
    tcase_add_test(tcase, lines_are_not_overfilled);
    tcase_add_test(tcase, gateways_are_heard);
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
