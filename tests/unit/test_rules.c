#include "tests/unit/site.h"
#include "tests/unit/unit.h"

#include "core/error.h"
#include "server/interlocking/rules.h"

#include <string.h>

#define NOW (100 * G_USEC_PER_SEC)

/* What the rules say, one line for each, or "allowed"; g_free. */
static char *judge(const struct observed *o, const char *const *now, const char *const *then, bool automatic,
                   const char *const *overrides)
{
    static const struct rules_config config = {.share_moved_max = RULES_SHARE_MOVED_MAX};
    sb_auto(inventory) inv = site_inventory("two-rooms");
    sb_auto(world) a = site_world(inv, now);
    sb_auto(world) b = site_world(inv, then);
    sb_auto(resolved) x = resolve(a, NULL);
    sb_auto(resolved) y = resolve(b, x);
    sb_auto(forecast) f = forecast(x, y, o, NOW);
    const struct rules_case change = {
        .config = &config, .now = a, .then = b, .forecast = f, .automatic = automatic, .overrides = overrides};
    g_autoptr(GPtrArray) refusals = rules_check(&change);
    if (refusals->len == 0)
        return g_strdup("allowed");
    g_autoptr(GError) error = NULL;
    ck_assert(!refusals_error(refusals, &error));
    ck_assert(g_error_matches(error, SB_ERROR, SB_ERROR_REFUSED));
    return g_strdup(error->message);
}
#define LEVERS(...) ((const char *const[]){__VA_ARGS__, NULL})
static const char *const none[] = {NULL};

static struct observed *rates(double a, double b)
{
    struct observed *o = observed_new();
    g_autofree char *row_a = g_strdup_printf("counter core.playback room-a pop-a1 1000 0 %d 0", (int)a);
    g_autofree char *row_b = g_strdup_printf("counter core.playback room-b pop-b1 1000 0 %d 0", (int)b);
    SITE_REPORT(o, "edge-1", 10, NOW, row_a, row_b);
    SITE_REPORT(o, "edge-2", 10, NOW, NULL);
    SITE_REPORT(o, "edge-3", 10, NOW, NULL);
    SITE_REPORT(o, "edge-4", 10, NOW, NULL);
    return o;
}

START_TEST(the_last_room_stays_open)
{
    sb_auto(observed) o = rates(1000, 204);
    g_autofree char *text =
        judge(o, LEVERS("room.ingress/room-a=closed in x-1"),
              LEVERS("room.ingress/room-a=closed in x-1", "room.ingress/room-b=closed"), false, NULL);
    ck_assert_str_eq(text,
                     "rule last-open: 0 of 2 rooms would be open to public and dedicated edges for 2 multi-active "
                     "services (home, playback); 1 of them is now (room-b); 1,204 healthy requests/s would be "
                     "answered by nobody. Way round: open another room first: room.ingress/room-a is closed "
                     "(alice, generation 11); or override last-open with a reason");
}
END_TEST

START_TEST(the_last_room_stays_open_by_any_lever)
{
    sb_auto(observed) o = rates(100, 100);
    g_autofree char *at_once =
        judge(o, none, LEVERS("room.compute/room-a=quarantined", "room.ingress/room-b=closed"), false, NULL);
    ck_assert_ptr_nonnull(strstr(at_once, "rule last-open: 0 of 2 rooms would be open to public and dedicated edges"));
    ck_assert_ptr_nonnull(strstr(at_once, "2 of them are now (room-a, room-b)"));
    ck_assert_ptr_nonnull(strstr(at_once, "keep one room open"));
    /* all POPs out leaves only the ring */
    g_autofree char *pops =
        judge(o, none, LEVERS("pop/pop-a1=out", "pop/pop-a2=out", "pop/pop-b1=out", "pop/pop-b2=out"), false, NULL);
    ck_assert_ptr_nonnull(strstr(pops, "0 of 2 rooms would be open to public edges"));
    g_autofree char *one = judge(o, none, LEVERS("room.compute/room-a=quarantined"), false, NULL);
    ck_assert_str_eq(one, "allowed");
}
END_TEST

/* Else nothing could be mended once all is closed. */
START_TEST(what_was_closed_before_refuses_nothing)
{
    sb_auto(observed) o = rates(0, 0);
    const char *const closed[] = {"room.compute/room-a=quarantined", "room.compute/room-b=quarantined", NULL};
    g_autofree char *same = judge(o, closed, LEVERS(closed[0], closed[1], "edge/edge-1=out"), false, NULL);
    ck_assert_str_eq(same, "allowed");
    g_autofree char *mended = judge(o, closed, LEVERS(closed[0]), false, NULL);
    ck_assert_str_eq(mended, "allowed");
}
END_TEST

START_TEST(at_most_a_share_moves)
{
    sb_auto(observed) most = rates(72, 28);
    g_autofree char *text = judge(most, none, LEVERS("room.ingress/room-a=closed"), false, NULL);
    ck_assert_str_eq(text,
                     "rule share-moved: 72 % of 100 healthy requests/s (72.0/s) would change room at once, at most "
                     "60 % may. Way round: move a smaller share at a time, or override share-moved with a reason");
    sb_auto(observed) limit = rates(60, 40);
    g_autofree char *at_limit = judge(limit, none, LEVERS("room.ingress/room-a=closed"), false, NULL);
    ck_assert_str_eq(at_limit, "allowed");
}
END_TEST

START_TEST(failing_traffic_does_not_count)
{
    sb_auto(observed) o = rates(0, 28);
    SITE_REPORT(o, "edge-2", 10, NOW, "counter core.playback room-a pop-a1 1000 1000 72 72");
    g_autofree char *text = judge(o, none, LEVERS("room.ingress/room-a=closed"), false, NULL);
    ck_assert_str_eq(text, "allowed");
}
END_TEST

START_TEST(automation_must_know)
{
    sb_auto(observed) o = observed_new();
    g_autofree char *person = judge(o, none, LEVERS("room.ingress/room-a=closed"), false, NULL);
    ck_assert_str_eq(person, "allowed");
    g_autofree char *machine = judge(o, none, LEVERS("room.ingress/room-a=closed"), true, NULL);
    ck_assert_ptr_nonnull(
        strstr(machine, "rule forecast-known: what would move is not known: edge-1 has never reported"));
}
END_TEST

/* two-rooms with `n` domains more, of `group`. */
static struct inventory *many_domains(unsigned n, const char *group)
{
    sb_auto(inventory) site = site_inventory("two-rooms");
    struct inventory *inv = inventory_copy(site);
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *name = g_strdup_printf("shop%u.example.test", i);
        json_t *json = json_pack("{s:s, s:s, s:s}", "kind", "domain", "name", name, "group", group);
        g_autoptr(GPtrArray) findings = finding_list_new();
        inventory_put(inv, object_from_json(json, findings));
        ck_assert_uint_eq(findings->len, 0);
        json_decref(json);
    }
    return inv;
}

/* What rules and forecast say of a new inventory, or of levers alone (to NULL), where 313 names are; g_free. */
static char *judge_names(struct inventory *to, const char *const *levers)
{
    static const struct rules_config config = {.share_moved_max = RULES_SHARE_MOVED_MAX};
    sb_auto(inventory) from = many_domains(300, "manual");
    sb_auto(observed) o = rates(100, 100);
    sb_auto(world) a = SITE_WORLD(from, NULL);
    sb_auto(world) b = site_world(to != NULL ? to : from, levers);
    sb_auto(resolved) x = resolve(a, NULL);
    sb_auto(resolved) y = resolve(b, x);
    sb_auto(forecast) f = forecast(x, y, o, NOW);
    const struct rules_case change = {
        .config = &config, .now = a, .then = b, .forecast = f, .overrides = LEVERS("zone-share")};
    g_autoptr(GPtrArray) refusals = rules_check(&change);
    g_autoptr(GError) error = NULL;
    if (refusals->len > 0)
        refusals_error(refusals, &error);
    return g_strdup_printf("%s; %s", error != NULL ? error->message : "allowed",
                           f->notes->len > 0 ? (char *)f->notes->pdata[0] : "no note");
}

START_TEST(a_large_share_of_names_is_refused)
{
    sb_auto(inventory) fewer = site_inventory("two-rooms");
    sb_auto(inventory) others = many_domains(300, "core");
    sb_auto(inventory) more = many_domains(3000, "manual");
    g_autofree char *removed = judge_names(fewer, none);
    ck_assert_str_eq(removed,
                     "rule zone-share: 300 of 313 names of zone example.test would change at once, its guard lets 30 % "
                     "pass. Way round: change fewer names at a time, or set dnszone.guard of the zone to off until its "
                     "name servers have converged; dns: 300 of 313 names of zone example.test would change at once, "
                     "its guard lets 30 % pass: its name servers will refuse the change unless dnszone.guard is off");
    g_autofree char *changed = judge_names(others, none);
    ck_assert(g_str_has_prefix(changed, "rule zone-share: 300 of 313 names"));
    g_autofree char *added = judge_names(more, none);
    ck_assert_str_eq(added, "allowed; no note");
    g_autofree char *allowed = judge_names(fewer, LEVERS("dnszone.guard/example.test=off"));
    ck_assert_str_eq(allowed, "allowed; no note");
    g_autofree char *few = judge_names(NULL, LEVERS("group.edge_class/manual=dedicated"));
    ck_assert_str_eq(few, "allowed; no note");
}
END_TEST

START_TEST(overrides_are_by_name)
{
    sb_auto(observed) o = rates(90, 10);
    const char *const all[] = {"room.ingress/room-a=closed", "room.ingress/room-b=closed", NULL};
    g_autofree char *other = judge(o, none, all, false, LEVERS("share-moved"));
    ck_assert_ptr_nonnull(strstr(other, "rule last-open"));
    g_autofree char *named = judge(o, none, all, false, LEVERS("share-moved", "last-open"));
    ck_assert_str_eq(named, "allowed");
    sb_auto(inventory) site = site_inventory("two-rooms");
    ck_assert(rule_exists(site, "last-open") && rule_exists(site, "share-moved"));
    ck_assert(rule_exists(site, "capacity-kept") && rule_exists(site, "forecast-known"));
    ck_assert(!rule_exists(site, "zone-share")); /* no override would make the name servers take it */
    ck_assert(!rule_exists(site, "") && !rule_exists(site, "last"));
}
END_TEST

/* 2026-11-21T19:00:00Z, a Saturday. */
#define WALL (INT64_C(1795287600) * G_USEC_PER_SEC)

static struct inventory *with_objects(const char *json_text)
{
    sb_auto(inventory) site = site_inventory("two-rooms");
    struct inventory *inv = inventory_copy(site);
    g_autoptr(GPtrArray) findings = finding_list_new();
    json_t *list = json_loads(json_text, 0, NULL), *json;
    size_t i;
    json_array_foreach (list, i, json) {
        const char *kind = json_string_value(json_object_get(json, "kind"));
        const struct object_class *class = object_class_find(kind);
        const struct object *old = inventory_get(inv, class->kind, json_string_value(json_object_get(json, "name")));
        json_t *whole = old != NULL ? object_to_json(old) : json_object();
        json_object_update(whole, json);
        inventory_put(inv, object_from_json(whole, findings));
        json_decref(whole);
    }
    inventory_validate(inv, findings);
    g_autoptr(GError) error = NULL;
    ck_assert_msg(findings->len == 0 || findings_error(findings, &error), "%s", error != NULL ? error->message : "");
    json_decref(list);
    return inv;
}

/* As a row of the table below has it; "" stands for allowed, else the begin of what is refused. */
struct rule_row {
    const char *objects; /* JSON list that is laid over the site */
    const char *now[3], *then[3];
    const char *says;
    double a, b;         /* rates of rooms */
    int64_t moved_s_ago; /* room.ingress/room-a and half of the site */
    int64_t wall_s;      /* from WALL */
};

static char *judge_row(const struct rule_row *row)
{
    static const struct rules_config config = {.share_moved_max = RULES_SHARE_MOVED_MAX};
    sb_auto(inventory) inv = with_objects(row->objects);
    sb_auto(observed) o = rates(row->a, row->b);
    sb_auto(world) a = site_world(inv, row->now);
    sb_auto(world) b = site_world(inv, row->then);
    sb_auto(resolved) x = resolve(a, NULL);
    sb_auto(resolved) y = resolve(b, x);
    sb_auto(forecast) f = forecast(x, y, o, NOW);
    sb_auto(rules_past) past = rules_past_new();
    int64_t wall_us = WALL + row->wall_s * G_USEC_PER_SEC;
    if (row->moved_s_ago > 0) {
        rules_past_lever(past, "room.ingress/room-a", wall_us - row->moved_s_ago * G_USEC_PER_SEC);
        rules_past_share(past, 0.5, wall_us - row->moved_s_ago * G_USEC_PER_SEC);
    }
    json_t *json = rules_past_to_json(past); /* as a restart finds it */
    rules_past_take_json(past, json);
    json_decref(json);
    const struct rules_case change = {
        .config = &config, .now = a, .then = b, .forecast = f, .past = past, .wall_us = wall_us};
    g_autoptr(GPtrArray) refusals = rules_check(&change);
    g_autoptr(GError) error = NULL;
    return refusals->len == 0 ? g_strdup("") : (refusals_error(refusals, &error), g_strdup(error->message));
}

#define RULE(rest) "[{\"kind\": \"rule\", \"name\": \"r-1\", " rest "}]"
#define CAPACITY(kind, name, n) "[{\"kind\": \"" kind "\", \"name\": \"" name "\", \"capacity\": " #n "}]"
#define POOL(rest)                                                                                                     \
    "[{\"kind\": \"pool\", \"name\": \"playback-b\", \"service\": \"playback\", \"room\": \"room-b\", " rest "}]"
#define ORDERS                                                                                                         \
    "[{\"kind\": \"component\", \"name\": \"orders\", \"type\": \"kv\", \"rooms\": [\"room-a\", \"room-b\"], "         \
    "\"primary\": \"room-a\"}, {\"kind\": \"component\", \"name\": \"views\", \"type\": \"topic\", \"rooms\": "        \
    "[\"room-a\"], "                                                                                                   \
    "\"consumption\": \"local\"}]"
#define BUY(rest)                                                                                                      \
    "[{\"kind\": \"interface\", \"name\": \"buy\", \"service\": \"playback\", \"path\": \"/buy\", \"share\": 40}, "    \
    "{\"kind\": \"rule\", \"name\": \"r-1\", " rest "}]"
#define FREEZE "\"from\": \"2026-11-21T19:00:00Z\", \"until\": \"2026-11-21T20:00:00Z\""
#define CLOSED "room.ingress/room-a=closed"
#define EXPECT(begin, way) "rule r-1: " begin ". Way round: " way ", or override r-1 with a reason"

#define LOCK(rest)                                                                                                     \
    "[{\"kind\": \"reminder\", \"name\": \"fibre\", \"on\": \"room.ingress/room-a\", \"owner\": \"alice\", \"why\": "  \
    "\"splicing\", " rest "}]"

/* For each check: one that refuses and one that lets pass. */
static const struct rule_row rule_rows[] = {
    /* locks */
    {LOCK("\"lock\": true"),
     {0},
     {CLOSED},
     "rule fibre: room.ingress/room-a is locked by alice: splicing. Way round: ask alice, take the reminder off, or "
     "override fibre with a reason",
     30,
     70,
     0,
     0},
    {LOCK("\"lock\": true, \"until\": \"2099-01-01T00:00:00Z\""),
     {0},
     {CLOSED},
     "rule fibre: room.ingress/room-a is locked by alice until 2099-01-01T00:00:00Z: splicing",
     30,
     70,
     0,
     0},
    {LOCK("\"lock\": true, \"until\": \"2020-01-01T00:00:00Z\""), {0}, {CLOSED}, "", 30, 70, 0, 0},
    {LOCK("\"lock\": false"), {0}, {CLOSED}, "", 30, 70, 0, 0},
    {LOCK("\"lock\": true"), {0}, {"pop/pop-a1=out"}, "", 30, 70, 0, 0},
    /* open */
    {RULE("\"check\": \"open\", \"limit\": 2"),
     {0},
     {CLOSED},
     "rule r-1: 1 of 2 rooms would be open to public and dedicated edges for 2 multi-active services (home, playback), "
     "at least 2 must be; 2 of them are now (room-a, room-b); 0.0 healthy requests/s would be answered by nobody. Way "
     "round: keep one room open, or override r-1 with a reason",
     30,
     70,
     0,
     0},
    {RULE("\"check\": \"open\", \"limit\": 1"), {0}, {CLOSED}, "", 30, 70, 0, 0},
    {RULE("\"check\": \"open\", \"lever\": \"pop\", \"limit\": 3"),
     {"pop/pop-a1=out"},
     {"pop/pop-a1=out", "pop/pop-b1=out"},
     EXPECT("2 of 4 would have pop in, at least 3 must; 3 have now (pop-a2, pop-b1, pop-b2)",
            "set another pop to default first"),
     30,
     70,
     0,
     0},
    {RULE("\"check\": \"open\", \"lever\": \"pop\", \"limit\": 3"), {0}, {"pop/pop-a1=out"}, "", 30, 70, 0, 0},
    {RULE("\"check\": \"open\", \"lever\": \"pop\", \"limit\": 3"),
     {"pop/pop-a1=out", "pop/pop-a2=out"},
     {"pop/pop-a1=out"},
     "",
     30,
     70,
     0,
     0},
    /* capacity */
    {CAPACITY("room", "room-b", 90),
     {0},
     {CLOSED},
     "rule capacity-kept: room-b would get 100 requests/s, 70.0/s now, at most 90.0/s may come (100 % of its capacity "
     "of 90.0/s). Way round: move fewer users, or limit or degrade services first, or override capacity-kept with a "
     "reason",
     30,
     70,
     0,
     0},
    {CAPACITY("room", "room-b", 100), {0}, {CLOSED}, "", 30, 70, 0, 0},
    {CAPACITY("room", "room-b", 50), {CLOSED}, {0}, "", 0, 70, 0, 0},
    {CAPACITY("pop", "pop-b1", 80),
     {0},
     {CLOSED},
     "rule capacity-kept: room-b/pop-b1 would get 85.0 requests/s, 70.0/s now, at most 80.0/s may come",
     30,
     70,
     0,
     0},
    {CAPACITY("pop", "pop-b1", 85), {0}, {CLOSED}, "", 30, 70, 0, 0},
    {POOL("\"capacity\": 200, \"limit\": 99"),
     {0},
     {CLOSED},
     "rule capacity-kept: playback-b would get 100 requests/s, 70.0/s now, at most 99.0/s may come (100 % of its "
     "capacity of 99.0/s)",
     30,
     70,
     0,
     0},
    {POOL("\"capacity\": 100"), {0}, {CLOSED}, "", 30, 70, 0, 0},
    {POOL("\"capacity\": 10"), {CLOSED}, {0}, "", 0, 70, 0, 0},
    {POOL("\"capacity\": 10"), {0}, {"pop/pop-b1=out"}, "", 30, 70, 0, 0}, /* it gets no more than before */
    /* moved, at once and in a time; and that which ships, made stricter */
    {"[{\"kind\": \"rule\", \"name\": \"share-moved\", \"check\": \"moved\", \"limit\": 20}]",
     {0},
     {CLOSED},
     "rule share-moved: 30 % of 100 healthy requests/s (30.0/s) would change room at once, at most 20 % may. Way "
     "round: move a smaller share at a time, or override share-moved with a reason",
     30,
     70,
     0,
     0},
    {"[{\"kind\": \"rule\", \"name\": \"share-moved\", \"check\": \"moved\", \"limit\": 90}]",
     {0},
     {CLOSED},
     "",
     80,
     20,
     0,
     0},
    {RULE("\"check\": \"moved\", \"limit\": 60, \"period\": 600"),
     {0},
     {CLOSED},
     EXPECT("30 % of 100 healthy requests/s (30.0/s) would change room, after 50 % in the last 600 s, at most 60 % in "
            "that time may",
            "move a smaller share at a time"),
     30,
     70,
     599,
     0},
    {RULE("\"check\": \"moved\", \"limit\": 60, \"period\": 600"), {0}, {CLOSED}, "", 30, 70, 601, 0},
    /* hold */
    {RULE("\"check\": \"hold\", \"lever\": \"room.ingress\", \"period\": 300"),
     {0},
     {CLOSED},
     EXPECT("room.ingress/room-a was moved 100 s ago, it rests for 300 s", "wait 200 s"),
     30,
     70,
     100,
     0},
    {RULE("\"check\": \"hold\", \"lever\": \"room.ingress\", \"period\": 300"), {0}, {CLOSED}, "", 30, 70, 300, 0},
    {RULE("\"check\": \"hold\", \"lever\": \"pop\", \"period\": 300"), {0}, {CLOSED}, "", 30, 70, 100, 0},
    {RULE("\"check\": \"hold\", \"period\": 300"),
     {CLOSED " by x in x-1"},
     {"room.ingress/room-a=open by x in x-1"},
     "",
     30,
     70,
     100,
     0}, /* undone by the plan that did it */
    /* gate */
    {RULE("\"check\": \"gate\", \"lever\": \"room.compute\", \"needs\": \"room.ingress=closed\""),
     {0},
     {"room.compute/room-a=quarantined"},
     EXPECT("room.compute/room-a from default to quarantined needs room.ingress/room-a to be closed, it would be "
            "default",
            "set room.ingress/room-a to closed first"),
     30,
     70,
     0,
     0},
    {RULE("\"check\": \"gate\", \"lever\": \"room.compute\", \"needs\": \"room.ingress=closed\""),
     {CLOSED},
     {CLOSED, "room.compute/room-a=quarantined"},
     "",
     30,
     70,
     0,
     0},
    {RULE("\"check\": \"gate\", \"lever\": \"room.compute\", \"needs\": \"room.ingress=closed\""),
     {"room.compute/room-a=quarantined"},
     {"room.compute/room-a=open"},
     "",
     30,
     70,
     0,
     0},
    {RULE("\"check\": \"gate\", \"lever\": \"pop\", \"needs\": \"room.ingress/room-b=open\""),
     {0},
     {"pop/pop-a1=out"},
     "",
     30,
     70,
     0,
     0},
    /* handover, by the rule that ships */
    {ORDERS,
     {0},
     {"component.primary/orders=room-b"},
     "rule one-writer: component.primary/orders would go from room-a to room-b at once, and for a while both may be at "
     "work. Way round: set component.primary/orders to none, prove that room-a has stopped, then set it to room-b, or "
     "override one-writer with a reason",
     30,
     70,
     0,
     0},
    {ORDERS, {0}, {"component.primary/orders=none"}, "", 30, 70, 0, 0},
    {ORDERS, {"component.primary/orders=none"}, {"component.primary/orders=room-b"}, "", 30, 70, 0, 0},
    {ORDERS,
     {"component.primary/orders=room-b"},
     {0},
     "rule one-writer: component.primary/orders would go from room-b to room-a at once",
     30,
     70,
     0,
     0},
    {ORDERS, {0}, {"component.primary/orders=room-a"}, "", 30, 70, 0, 0},
    {ORDERS,
     {0},
     {"component.consumption/views=global"},
     "rule one-writer: component.consumption/views would go from local to global at once",
     30,
     70,
     0,
     0},
    {ORDERS, {"component.consumption/views=none"}, {"component.consumption/views=global"}, "", 30, 70, 0, 0},
    /* class */
    {RULE("\"check\": \"class\""),
     {0},
     {"group.edge_class/core=dedicated"},
     EXPECT("1 multi-active group or variant would go to dedicated edges, 0 may: core (service playback)",
            "move their users to another room instead"),
     30,
     70,
     0,
     0},
    {RULE("\"check\": \"class\""), {0}, {"group.edge_class/creator=dedicated"}, "", 30, 70, 0, 0},
    {RULE("\"check\": \"class\""),
     {"group.edge_class/core-line=public"},
     {"group.edge_class/core-line=dedicated"},
     "",
     30,
     70,
     0,
     0}, /* home again */
    /* freeze: WALL is 19:00 */
    {RULE("\"check\": \"freeze\", \"from\": \"2026-11-21T19:00:00Z\", \"until\": \"2026-11-21T20:00:00Z\""),
     {0},
     {CLOSED},
     EXPECT("1 lever would move (room.ingress/room-a from default to closed) at 2026-11-21T19:00:00Z, and nothing may "
            "from 2026-11-21T19:00:00Z until 2026-11-21T20:00:00Z",
            "wait for its end"),
     30,
     70,
     0,
     0},
    {RULE("\"check\": \"freeze\", \"from\": \"2026-11-21T19:00:00Z\", \"until\": \"2026-11-21T20:00:00Z\""),
     {0},
     {CLOSED},
     "",
     30,
     70,
     0,
     3600},
    /* levers of an interface */
    {BUY("\"check\": \"freeze\", \"lever\": \"interface.limit\", " FREEZE),
     {0},
     {"interface.limit/buy=50"},
     EXPECT("1 lever would move (interface.limit/buy from default to 50) at 2026-11-21T19:00:00Z, and nothing may "
            "from 2026-11-21T19:00:00Z until 2026-11-21T20:00:00Z",
            "wait for its end"),
     30,
     70,
     0,
     0},
    {BUY("\"check\": \"freeze\", \"lever\": \"interface.limit\", " FREEZE),
     {0},
     {"interface.degrade/buy=static"},
     "",
     30,
     70,
     0,
     0},
    {BUY("\"check\": \"gate\", \"lever\": \"interface.limit\", \"needs\": \"interface.degrade=off\""),
     {0},
     {"interface.limit/buy=50"},
     EXPECT("interface.limit/buy from default to 50 needs interface.degrade/buy to be off, it would be default",
            "set interface.degrade/buy to off first"),
     30,
     70,
     0,
     0},
    {BUY("\"check\": \"gate\", \"lever\": \"interface.limit\", \"needs\": \"interface.degrade=off\""),
     {0},
     {"interface.degrade/buy=off", "interface.limit/buy=50"},
     "",
     30,
     70,
     0,
     0},
    /* what capacity-kept counts is less what edges answer: 60 of playback's 100 */
    {"[{\"kind\": \"room\", \"name\": \"room-b\", \"capacity\": 60}, {\"kind\": \"interface\", \"name\": \"buy\", "
     "\"service\": \"playback\", \"path\": \"/buy\", \"share\": 40}]",
     {0},
     {CLOSED, "interface.degrade/buy=static"},
     "",
     50,
     50,
     0,
     0},
    {"[{\"kind\": \"room\", \"name\": \"room-b\", \"capacity\": 59}, {\"kind\": \"interface\", \"name\": \"buy\", "
     "\"service\": \"playback\", \"path\": \"/buy\", \"share\": 40}]",
     {0},
     {CLOSED, "interface.degrade/buy=static"},
     "rule capacity-kept: room-b would get 60.0 requests/s, 50.0/s now",
     50,
     50,
     0,
     0},
    /* window: a Saturday, 19:00 */
    {RULE("\"check\": \"window\", \"from\": \"22:00\", \"until\": \"04:00\", \"days\": [\"sat\"]"),
     {0},
     {CLOSED},
     EXPECT("1 lever would move (room.ingress/room-a from default to closed) at 2026-11-21T21:59:59Z, the window is "
            "22:00 to 04:00 UTC on sat",
            "wait for the window"),
     30,
     70,
     0,
     3 * 3600 - 1},
    {RULE("\"check\": \"window\", \"from\": \"22:00\", \"until\": \"04:00\", \"days\": [\"sat\"]"),
     {0},
     {CLOSED},
     "",
     30,
     70,
     0,
     3 * 3600},
    {RULE("\"check\": \"window\", \"from\": \"22:00\", \"until\": \"04:00\", \"days\": [\"sat\"]"),
     {0},
     {CLOSED},
     "",
     30,
     70,
     0,
     9 * 3600 - 1}, /* 03:59:59 on Sunday */
    {RULE("\"check\": \"window\", \"from\": \"22:00\", \"until\": \"04:00\", \"days\": [\"sat\"]"),
     {0},
     {CLOSED},
     "rule r-1: 1 lever would move",
     30,
     70,
     0,
     9 * 3600},
};

START_TEST(each_check_refuses_and_lets_pass)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rule_rows); i++) {
        g_autofree char *text = judge_row(&rule_rows[i]);
        ck_assert_msg(rule_rows[i].says[0] == '\0' ? text[0] == '\0' : g_str_has_prefix(text, rule_rows[i].says),
                      "row %zu (%s): %s", i, rule_rows[i].objects, text);
    }
}
END_TEST

/* text NULL: valid. */
static void expect_invalid_named(const char *name, const char *rest, const char *text)
{
    sb_auto(inventory) site = site_inventory("two-rooms");
    sb_auto(inventory) inv = inventory_copy(site);
    g_autoptr(GPtrArray) findings = finding_list_new();
    g_autofree char *whole = g_strdup_printf("{\"kind\": \"rule\", \"name\": \"%s\", %s}", name, rest);
    json_t *json = json_loads(whole, 0, NULL);
    struct object *rule = object_from_json(json, findings);
    json_decref(json);
    if (rule != NULL)
        inventory_put(inv, rule);
    inventory_validate(inv, findings);
    g_autofree char *found = findings->len > 0 ? finding_text(findings->pdata[0]) : NULL;
    ck_assert_msg(g_strcmp0(found, text) == 0, "%s: found %s, expected %s", rest, found, text);
}

static void expect_invalid(const char *rest, const char *text)
{
    expect_invalid_named("r-1", rest, text);
}

START_TEST(names_of_rules_that_ship_keep_their_meaning)
{
    expect_invalid_named("last-open", "\"check\": \"class\"", "rule last-open: check: found class, expected open");
    expect_invalid_named("last-open", "\"check\": \"open\", \"limit\": 1, \"lever\": \"pop\"",
                         "rule last-open: lever: found \"pop\", expected none: the rule of this name that ships is for "
                         "all");
    expect_invalid_named("share-moved", "\"check\": \"capacity\", \"limit\": 60",
                         "rule share-moved: check: found capacity, expected moved");
    expect_invalid_named("capacity-kept", "\"check\": \"open\", \"limit\": 1",
                         "rule capacity-kept: check: found open, expected capacity");
    expect_invalid_named("forecast-known", "\"check\": \"class\"",
                         "rule forecast-known: name: found \"forecast-known\", expected another name: this one is of a "
                         "rule that no object changes");
    expect_invalid_named("zone-share", "\"check\": \"moved\", \"limit\": 60",
                         "rule zone-share: name: found \"zone-share\", expected another name: this one is of a rule "
                         "that no object changes");
    expect_invalid_named("last-open", "\"check\": \"open\", \"limit\": 2", NULL);
}
END_TEST

START_TEST(wrong_rules_are_refused)
{
    expect_invalid("\"check\": \"open\"",
                   "rule r-1: limit: found nothing, expected one: a rule of check open needs it");
    expect_invalid("\"check\": \"class\", \"limit\": 3",
                   "rule r-1: limit: found a value, expected none: a rule of check class does not look at it");
    expect_invalid("\"check\": \"hold\", \"period\": 3, \"lever\": \"room.roof\"",
                   "rule r-1: lever: found \"room.roof\", expected the name of a lever");
    expect_invalid("\"check\": \"gate\", \"lever\": \"pop\", \"needs\": \"room.ingress=closed\"",
                   "rule r-1: needs: found \"room.ingress=closed\", expected LEVER/OBJECT=VALUE: the levers sit on "
                   "different kinds");
    expect_invalid("\"check\": \"gate\", \"lever\": \"pop\", \"needs\": \"room.ingress/room-x=closed\"",
                   "rule r-1: needs: found \"room.ingress/room-x=closed\", expected an object that exists");
    expect_invalid("\"check\": \"window\", \"from\": \"24:00\", \"until\": \"04:00\"",
                   "rule r-1: from: found \"24:00\", expected a time of day like 02:00");
    expect_invalid("\"check\": \"window\", \"from\": \"22:00\", \"until\": \"04:00\", \"days\": [\"day\"]",
                   "rule r-1: days: found \"day\", expected mon, tue, wed, thu, fri, sat or sun");
    expect_invalid("\"check\": \"freeze\", \"from\": \"2026-11-21T19:00:00Z\", \"until\": \"2026-11-21T19:00:00Z\"",
                   "rule r-1: until: found \"2026-11-21T19:00:00Z\", expected a time after from");
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, each_check_refuses_and_lets_pass);
    tcase_add_test(tcase, names_of_rules_that_ship_keep_their_meaning);
    tcase_add_test(tcase, wrong_rules_are_refused);
    tcase_add_test(tcase, the_last_room_stays_open);
    tcase_add_test(tcase, the_last_room_stays_open_by_any_lever);
    tcase_add_test(tcase, what_was_closed_before_refuses_nothing);
    tcase_add_test(tcase, at_most_a_share_moves);
    tcase_add_test(tcase, failing_traffic_does_not_count);
    tcase_add_test(tcase, automation_must_know);
    tcase_add_test(tcase, a_large_share_of_names_is_refused);
    tcase_add_test(tcase, overrides_are_by_name);
}

int main(void)
{
    return unit_run("rules", add);
}
