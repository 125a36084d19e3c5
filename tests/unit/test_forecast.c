#include "tests/unit/site.h"
#include "tests/unit/unit.h"

#include "server/interlocking/forecast.h"

#include <math.h>
#include <string.h>

#define NOW (100 * G_USEC_PER_SEC)

/* All six groups, 20 requests a second at each edge that serves them: 240 in all, nothing fails. */
static struct observed *steady_rates(void)
{
    struct observed *o = observed_new();
    for (int i = 1; i <= 2; i++) {
        g_autofree char *edge = g_strdup_printf("edge-%d", i);
        SITE_REPORT(o, edge, 10, NOW, "counter core.playback room-a pop-a1 500 0 5 0",
                    "counter core.playback room-a pop-a2 500 0 5 0", "counter core.playback room-b pop-b1 1000 0 10 0",
                    "counter manual.home room-a pop-a1 1000 0 10 0", "counter manual.home room-b pop-b1 1000 0 10 0",
                    "counter creator.creator room-a pop-a1 1500 0 15 0",
                    "counter creator.upload room-a pop-a2 500 0 5 0");
    }
    for (int i = 3; i <= 4; i++) {
        g_autofree char *edge = g_strdup_printf("edge-%d", i);
        SITE_REPORT(
            o, edge, 10, NOW, "counter core-line.playback room-a ring 1000 0 10 0",
            "counter core-line.playback room-b ring 1000 0 10 0", "counter manual-line.home room-a ring 1000 0 10 0",
            "counter manual-line.home room-b ring 1000 0 10 0", "counter creator-line.creator room-a ring 2000 0 20 0");
    }
    return o;
}

/* The entrances of room-a are dead: core was moved by the edges, manual and single-room services fail there. */
static struct observed *isolated_rates(void)
{
    struct observed *o = steady_rates();
    for (int i = 1; i <= 2; i++) {
        g_autofree char *edge = g_strdup_printf("edge-%d", i);
        SITE_REPORT(o, edge, 10, NOW, "counter core.playback room-b pop-b1 2000 0 20 0",
                    "counter manual.home - - 1000 1000 10 10", "counter manual.home room-b pop-b1 1000 0 10 0",
                    "counter creator.creator room-a pop-a1 1500 1500 15 15", "counter creator.upload - - 500 500 5 5");
    }
    return o;
}

static struct forecast *forecast_of(const struct observed *o, const char *const *now, const char *const *then)
{
    sb_auto(inventory) inv = site_with_interfaces();
    sb_auto(world) a = site_world(inv, now);
    sb_auto(world) b = site_world(inv, then);
    sb_auto(resolved) x = resolve(a, NULL);
    sb_auto(resolved) y = resolve(b, x);
    return forecast(x, y, o, NOW);
}
#define LEVERS(...) ((const char *const[]){__VA_ARGS__, NULL})
static const char *const none[] = {NULL};
#define ISOLATED                                                                                                       \
    LEVERS("room.ingress/room-a=closed", "group.edge_class/creator=dedicated",                                         \
           "group.edge_class/creator-line=dedicated")

static double after(const struct forecast *f, const char *kind, const char *name)
{
    for (guint i = 0; i < f->rows->len; i++) {
        const struct forecast_row *row = f->rows->pdata[i];
        if (strcmp(row->kind, kind) == 0 && strcmp(row->name, name) == 0)
            return row->after;
    }
    return 0;
}

#define NEAR(a, b) ck_assert_double_eq_tol(a, b, 1e-9)

START_TEST(nothing_changes)
{
    sb_auto(observed) o = steady_rates();
    sb_auto(forecast) f = forecast_of(o, none, none);
    ck_assert(f->known);
    NEAR(f->total, 240);
    NEAR(f->failing, 0);
    NEAR(f->moved, 0);
    NEAR(f->lost, 0);
    for (guint i = 0; i < f->rows->len; i++) {
        const struct forecast_row *row = f->rows->pdata[i];
        NEAR(row->before, row->after);
    }
    ck_assert_uint_eq(f->notes->len, 0);
}
END_TEST

/* Just after a switch, and while automatic DR is at work, requests were answered where the table does not send them:
 * that alone must not have the next change refused. */
START_TEST(what_the_change_does_not_move_is_not_moved)
{
    sb_auto(observed) o = steady_rates();
    SITE_REPORT(o, "edge-1", 10, NOW, "counter creator.creator room-b pop-b1 100 0 10 0");
    SITE_REPORT(o, "edge-2", 10, NOW, "counter manual.home room-a pop-a1 100 0 10 0");
    sb_auto(forecast) f = forecast_of(o, none, none);
    NEAR(f->moved, 0);
    sb_auto(forecast) closed =
        forecast_of(o, LEVERS("room.ingress/room-a=closed"), LEVERS("room.ingress/room-a=closed"));
    NEAR(closed->moved, 0);
}
END_TEST

START_TEST(a_healthy_room_is_drained)
{
    sb_auto(observed) o = steady_rates();
    sb_auto(forecast) f = forecast_of(o, none, LEVERS("room.compute/room-a=maintenance"));
    NEAR(f->moved, 80); /* half of four multi-active groups of 40 */
    NEAR(f->lost, 80);  /* two single-room groups */
    NEAR(after(f, "room", "room-a"), 0);
    NEAR(after(f, "room", "room-b"), 160);
    NEAR(after(f, "room", "closed"), 80);
    NEAR(after(f, "entrance", "room-b/pop-b1"), 60);
    NEAR(after(f, "entrance", "room-b/pop-b2"), 20); /* what moves is spread over the room's entrances */
    NEAR(after(f, "edge", "edge-1"), 60);
    g_autofree char *text = forecast_text(f);
    golden_check("two-rooms/forecast-drained.txt", text);
}
END_TEST

/* The button of 2 July: what fails already does not count as moved. */
START_TEST(the_isolated_room)
{
    sb_auto(observed) o = isolated_rates();
    sb_auto(forecast) f = forecast_of(o, none, ISOLATED);
    NEAR(f->total, 240);
    NEAR(f->failing, 60);
    NEAR(f->moved, 40);         /* on dedicated edges: half of core-line and of manual-line */
    NEAR(f->moved_failing, 30); /* who was answered by nobody, and now would be: manual 20, upload 10 */
    NEAR(f->lost, 0);
    NEAR(after(f, "room", "closed"), 0);
    NEAR(after(f, "edge", "edge-1"), 40);      /* creator leaves for */
    NEAR(after(f, "edge", "edge-3"), 60 + 20); /* the dedicated edges */
    g_autofree char *text = forecast_text(f);
    golden_check("two-rooms/forecast-isolated.txt", text);
}
END_TEST

START_TEST(a_split_moves_its_share)
{
    sb_auto(observed) o = steady_rates();
    sb_auto(forecast) f = forecast_of(o, none, LEVERS("split/home=0-249=room-a,250-999=room-b"));
    NEAR(f->moved, 20); /* half of room-a's half of 80 */
    NEAR(f->lost, 0);
    /* and back again from there, room by room */
    sb_auto(forecast) all = forecast_of(o, none, LEVERS("split/home=0-499=room-b,500-999=room-a"));
    NEAR(all->moved, 80);
}
END_TEST

/* A relayed request is counted where it is answered. */
START_TEST(relays_count_once)
{
    sb_auto(observed) o = steady_rates();
    SITE_REPORT(o, "edge-1", 10, NOW, "counter creator.creator - relay 100 10 10 2");
    SITE_REPORT(o, "edge-2", 10, NOW, NULL);
    SITE_REPORT(o, "edge-4", 10, NOW, "counter creator.creator room-a ring 100 0 8 0");
    SITE_REPORT(o, "edge-3", 10, NOW, NULL);
    sb_auto(forecast) f = forecast_of(o, ISOLATED, none);
    NEAR(f->total, 10);
    NEAR(f->failing, 2);
    NEAR(f->moved, 0);
    NEAR(after(f, "edge", "edge-1"), 5);
    NEAR(after(f, "edge", "edge-2"), 5);
}
END_TEST

START_TEST(what_is_not_known)
{
    sb_auto(observed) nobody = observed_new();
    sb_auto(forecast) f = forecast_of(nobody, none, ISOLATED);
    ck_assert(!f->known);
    ck_assert_uint_eq(f->notes->len, 5); /* four edges, no rates */

    /* Three of four is enough; one of four is not. */
    sb_auto(observed) o = steady_rates();
    SITE_REPORT(o, "edge-1", 10, NOW - OBSERVED_FRESH_US - 1, "counter core.playback room-a pop-a1 1000 0 10 0");
    sb_auto(forecast) most = forecast_of(o, none, ISOLATED);
    ck_assert(most->known);
    NEAR(most->total, 180);
    ck_assert_str_eq(most->notes->pdata[0], "edge-1 has not reported lately: its requests are not in this forecast");
    SITE_REPORT(o, "edge-2", 10, NOW - OBSERVED_FRESH_US - 1, NULL);
    SITE_REPORT(o, "edge-3", 10, NOW - OBSERVED_FRESH_US - 1, NULL);
    sb_auto(forecast) few = forecast_of(o, none, ISOLATED);
    ck_assert(!few->known);
}
END_TEST

/* Whatever is moved: nothing appears, nothing is gone. */
START_TEST(requests_are_conserved)
{
    static const char *const levers[] = {
        "room.ingress/room-b=closed",
        "room.compute/room-b=quarantined",
        "pop/pop-a1=out",
        "edge/edge-2=out",
        "group.edge_class/core=dedicated",
        "split/playback=0-9=room-a,10-999=room-b",
        "group.edge_class/manual-line=public",
    };
    sb_auto(observed) o = isolated_rates();
    for (unsigned set = 0; set < 1u << G_N_ELEMENTS(levers); set++) {
        const char *then[G_N_ELEMENTS(levers) + 1] = {NULL};
        unsigned n = 0;
        for (unsigned i = 0; i < G_N_ELEMENTS(levers); i++)
            if (set >> i & 1)
                then[n++] = levers[i];
        sb_auto(forecast) f = forecast_of(o, none, then);
        double before[3] = {0}, later[3] = {0};
        for (guint i = 0; i < f->rows->len; i++) {
            const struct forecast_row *row = f->rows->pdata[i];
            int k = row->kind[0] == 'r' ? 0 : row->kind[1] == 'd' ? 1 : 2;
            before[k] += row->before;
            later[k] += row->after;
        }
        for (int k = 0; k < 2; k++) {
            ck_assert_double_eq_tol(before[k], f->total, 1e-6);
            ck_assert_double_eq_tol(later[k], f->total, 1e-6);
        }
        ck_assert_double_le(f->moved + f->lost, f->total - f->failing + 1e-6);
    }
}
END_TEST

/* 70 of creator's, all at room-a; 80 of home's, half at each room. */
START_TEST(what_edges_answer_or_refuse_arrives_nowhere)
{
    sb_auto(observed) o = steady_rates();
    sb_auto(forecast) fixed = forecast_of(o, none, LEVERS("service.degrade/creator=static"));
    NEAR(fixed->degraded, 70);
    NEAR(fixed->shed, 0);
    NEAR(fixed->moved + fixed->lost, 0);
    NEAR(after(fixed, "room", "room-a"), 90);
    NEAR(after(fixed, "room", "degraded"), 70);
    sb_auto(forecast) limited = forecast_of(o, none, LEVERS("service.limit/home=20"));
    NEAR(limited->degraded, 0);
    NEAR(limited->shed, 60);
    NEAR(after(limited, "room", "room-a"), 130);
    NEAR(after(limited, "room", "room-b"), 50);
    sb_auto(forecast) wide = forecast_of(o, none, LEVERS("service.limit/home=80"));
    NEAR(wide->shed, 0);
    sb_auto(forecast) narrow = forecast_of(o, none, LEVERS("service.limit/home=3")); /* 4 edges, 1/s each */
    NEAR(narrow->shed, 76);
    sb_auto(forecast) odd = forecast_of(o, none, LEVERS("service.limit/home=23"));
    NEAR(odd->shed, 60);
    g_autofree char *text = forecast_text(limited);
    ck_assert_msg(strstr(text, "a limit would refuse                    60.0/s  25 %") != NULL, "%s", text);
    /* and back: what edges answer now is not failing, and goes home */
    SITE_REPORT(o, "edge-1", 10, NOW, "counter creator.creator - static 100 0 30 0");
    sb_auto(forecast) back = forecast_of(o, LEVERS("service.degrade/creator=static"), none);
    NEAR(back->failing, 0);
    NEAR(back->degraded, 0);
    NEAR(back->moved + back->lost, 0);
}
END_TEST

/* 160 at room-a, half of them by each class of edges; 80 at room-b. */
START_TEST(what_is_answered_or_refused_for_a_room_arrives_nowhere)
{
    sb_auto(observed) o = steady_rates();
    sb_auto(forecast) fixed = forecast_of(o, none, LEVERS("room.degrade/room-a=static"));
    NEAR(fixed->degraded, 160);
    NEAR(fixed->moved + fixed->lost + fixed->shed, 0);
    NEAR(after(fixed, "room", "room-a"), 0);
    NEAR(after(fixed, "room", "room-b"), 80);
    NEAR(after(fixed, "room", "degraded"), 160);
    /* what another room's users would move to is not asked either */
    sb_auto(forecast) away =
        forecast_of(o, none, LEVERS("room.compute/room-b=maintenance", "room.degrade/room-a=static"));
    NEAR(away->degraded, 240);
    NEAR(away->moved, 0);
    sb_auto(forecast) stale = forecast_of(o, none, LEVERS("room.degrade/room-a=stale")); /* no service keeps answers */
    NEAR(stale->degraded, 0);
    sb_auto(forecast) limited = forecast_of(o, none, LEVERS("room.limit/room-a=20", "room.limit/room-b=80"));
    NEAR(limited->degraded, 0);
    NEAR(limited->shed, 140);
    NEAR(after(limited, "room", "room-a"), 20);
    NEAR(after(limited, "room", "room-b"), 80);
    double entrances = 0;
    for (guint i = 0; i < limited->rows->len; i++) {
        const struct forecast_row *row = limited->rows->pdata[i];
        entrances += strcmp(row->kind, "entrance") == 0 ? row->after : 0;
    }
    NEAR(entrances, 100);
    sb_auto(forecast) both = forecast_of(o, none, LEVERS("service.limit/home=20", "room.limit/room-a=100"));
    NEAR(both->shed, 60 + 30); /* what the service's limit refuses does not count for the room's */
}
END_TEST

/* Of home's 80, half at each room, search has 20 and cart 8. */
START_TEST(of_an_interface_it_is_its_share)
{
    static const struct {
        const char *levers[4];
        double degraded, shed, at_a; /* at_a: of 160 */
    } rows[] = {
        {{"interface.degrade/search=static"}, 20, 0, 150},
        {{"interface.limit/search=8"}, 0, 12, 154},
        {{"interface.limit/search=3"}, 0, 16, 152}, /* 4 edges, 1/s each */
        {{"interface.limit/cart=3"}, 0, 6, 157},    /* 2 edges */
        {{"service.degrade/home=static", "interface.degrade/cart=off"}, 72, 0, 124},
        {{"service.degrade/home=static", "interface.degrade/cart=off", "interface.limit/cart=4"}, 72, 4, 122},
        {{"interface.limit/search=8", "service.limit/home=40"}, 0, 40, 140}, /* 12 by its own, 28 by home's */
        {{"interface.limit/search=8", "service.limit/home=72"}, 0, 12, 154},
        {{"interface.degrade/search=static", "service.limit/home=40"}, 20, 20, 140},
        {{"interface.degrade/search=static", "room.degrade/room-a=static"}, 20 + 150, 0, 0},
    };
    sb_auto(observed) o = steady_rates();
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *levers[5] = {rows[i].levers[0], rows[i].levers[1], rows[i].levers[2], rows[i].levers[3]};
        sb_auto(forecast) f = forecast_of(o, none, levers);
        ck_assert_msg(fabs(f->degraded - rows[i].degraded) < 1e-9 && fabs(f->shed - rows[i].shed) < 1e-9 &&
                          fabs(after(f, "room", "room-a") - rows[i].at_a) < 1e-9,
                      "%s: degraded %f, shed %f, room-a %f", rows[i].levers[0], f->degraded, f->shed,
                      after(f, "room", "room-a"));
        NEAR(after(f, "room", "degraded"), f->degraded);
        NEAR(f->moved + f->lost, 0);
        ck_assert_uint_eq(f->notes->len, 0);
    }
}
END_TEST

START_TEST(an_interface_without_a_share_is_said_to_have_none)
{
    sb_auto(observed) o = steady_rates();
    sb_auto(forecast) f = forecast_of(o, none, LEVERS("interface.limit/help=4"));
    ck_assert(f->known);
    NEAR(f->shed, 0);
    ck_assert_uint_eq(f->notes->len, 1);
    ck_assert_str_eq(f->notes->pdata[0],
                     "interface help has no share: how many of the 80.0 requests/s of service home are its own, and so "
                     "what edges answer or refuse of it (interface.degrade default, interface.limit 4), is not in this "
                     "forecast");
    sb_auto(forecast) back = forecast_of(o, LEVERS("interface.limit/help=4"), none);
    ck_assert_uint_eq(back->notes->len, 1);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, what_edges_answer_or_refuse_arrives_nowhere);
    tcase_add_test(tcase, what_is_answered_or_refused_for_a_room_arrives_nowhere);
    tcase_add_test(tcase, of_an_interface_it_is_its_share);
    tcase_add_test(tcase, an_interface_without_a_share_is_said_to_have_none);
    tcase_add_test(tcase, nothing_changes);
    tcase_add_test(tcase, what_the_change_does_not_move_is_not_moved);
    tcase_add_test(tcase, a_healthy_room_is_drained);
    tcase_add_test(tcase, the_isolated_room);
    tcase_add_test(tcase, a_split_moves_its_share);
    tcase_add_test(tcase, relays_count_once);
    tcase_add_test(tcase, what_is_not_known);
    tcase_add_test(tcase, requests_are_conserved);
}

int main(void)
{
    return unit_run("forecast", add);
}
