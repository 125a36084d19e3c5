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
    g_autoptr(GPtrArray) refusals = rules_check(&config, a, b, f, automatic, overrides);
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
    g_autoptr(GPtrArray) refusals = rules_check(&config, a, b, f, false, LEVERS("zone-share"));
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
    ck_assert(rule_exists("last-open") && rule_exists("share-moved") && rule_exists("forecast-known"));
    ck_assert(!rule_exists("zone-share")); /* no override would make the name servers take it */
    ck_assert(!rule_exists("") && !rule_exists("last"));
}
END_TEST

static void add(TCase *tcase)
{
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
