#include "tests/unit/site.h"
#include "tests/unit/unit.h"

#include "core/error.h"
#include "server/interlocking/explain.h"

#include <string.h>

#define NOW (100 * G_USEC_PER_SEC)

static char *text_of(const char *const *levers, const struct observed *o, struct explain_query query, GError **error)
{
    sb_auto(inventory) inv = site_with_interfaces();
    sb_auto(world) world = site_world(inv, levers);
    sb_auto(resolved) resolved = resolve(world, NULL);
    json_t *explained = explain(resolved, o, &query, NOW, error);
    if (explained == NULL)
        return NULL;
    char *text = explain_text(explained);
    json_decref(explained);
    return text;
}

static void golden(const char *name, const char *const *levers, const struct observed *o, struct explain_query query)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = text_of(levers, o, query, &error);
    ck_assert_msg(text != NULL, "%s", error != NULL ? error->message : "");
    g_autofree char *file = g_strdup_printf("two-rooms/explain-%s.txt", name);
    golden_check(file, text);
}

#define LEVERS(...) ((const char *const[]){__VA_ARGS__, NULL})
static const char *const none[] = {NULL};
#define ISOLATED                                                                                                       \
    LEVERS("room.ingress/room-a=closed by bob in x-7", "group.edge_class/creator=dedicated by bob in x-7",             \
           "group.edge_class/creator-line=dedicated by bob in x-7")
#define UPLOAD                                                                                                         \
    (struct explain_query)                                                                                             \
    {                                                                                                                  \
        .url = "http://creator.example.test/upload", .user = "42"                                                      \
    }

static const char *const healthy[] = {"origin room-a pop-a1 up L7OK", "origin room-a pop-a2 up L7OK"};
static const char *const dead[] = {"origin room-a pop-a1 down L4TOUT", "origin room-a pop-a2 down L4TOUT"};

/* 2 July by one URL: before the fault, after it and before the button, after the button. */
START_TEST(the_outage)
{
    sb_auto(observed) o = observed_new();
    SITE_REPORT(o, "edge-1", 10, NOW - 300000, "counter creator.upload room-a pop-a1 1204 0 4.5 0",
                "counter creator.upload room-a pop-a2 3 0 0 0", "counter creator.creator room-a pop-a1 9 0 1 0",
                "probe creator.upload room-a", healthy[0], healthy[1], "origin room-b pop-b1 up L7OK");
    SITE_REPORT(o, "edge-2", 10, NOW, "counter creator.upload room-a pop-a2 998 1 120 0", "probe creator.upload room-a",
                healthy[0], healthy[1]);
    SITE_REPORT(o, "edge-3", 10, NOW, "origin room-a ring up L7OK");
    golden("before", none, o, UPLOAD);

    SITE_REPORT(o, "edge-1", 10, NOW, "counter creator.upload room-a pop-a1 1210 6 4.5 4.5",
                "counter creator.upload - - 20 20 4 4", "probe creator.upload -", dead[0], dead[1]);
    SITE_REPORT(o, "edge-2", 10, NOW - 7 * G_USEC_PER_SEC, "counter creator.upload room-a pop-a2 998 1 120 0",
                "probe creator.upload room-a", dead[0], healthy[1]);
    golden("during", none, o, UPLOAD);

    SITE_REPORT(o, "edge-1", 13, NOW, "counter creator.upload - relay 200 0 4.5 0", "probe creator.upload room-a",
                dead[0], dead[1]);
    SITE_REPORT(o, "edge-3", 13, NOW, "counter creator.upload room-a ring 300 0 6.5 0", "probe creator.upload room-a",
                "origin room-a ring up L7OK");
    golden("after", ISOLATED, o, UPLOAD);
    struct explain_query stubborn = UPLOAD;
    stubborn.from = "edge-1";
    golden("after-from-edge-1", ISOLATED, o, stubborn);
}
END_TEST

/* edge-1 sends what wants room B elsewhere by itself; who is home again, and who is not. */
START_TEST(a_room_that_an_edge_holds_away)
{
    sb_auto(observed) o = observed_new();
    SITE_REPORT(o, "edge-1", 10, NOW, "counter core.playback room-a pop-a1 100 0 9 0", "origin room-b pop-b1 up L7OK",
                "hold room-b 300");
    SITE_REPORT(o, "edge-2", 10, NOW, healthy[0], healthy[1], "hold room-a 300"); /* not on this user's road */
    golden("held", none, o, (struct explain_query){.url = "play.example.test", .user = "1"});
    g_autofree char *home = text_of(none, o, (struct explain_query){.url = "play.example.test", .user = "7"}, NULL);
    ck_assert_msg(
        strstr(home, "held away         room-b, by the edge itself: 300 of 1000 slots are home; this user is\n") !=
            NULL,
        "%s", home);
    g_autofree char *upload = text_of(none, o, UPLOAD, NULL); /* lives in one room: nobody can hold it away */
    ck_assert_ptr_null(strstr(upload, "held away"));
}
END_TEST

START_TEST(reasons)
{
    sb_auto(observed) o = observed_new();
    golden("every-slot", LEVERS("split/home=0-99=room-b,100-799=room-a,800-999=room-b", "pop/pop-b2=out by carol"), o,
           (struct explain_query){.url = "https://Search.example.test:8443/a?b=c"});
    golden("pinned", LEVERS("split.pin/home=0-399=room-b@2026-11-22T08:00:00Z by carol"), o,
           (struct explain_query){.url = "home.example.test", .user = "3"});
    golden("pinned-every-slot", LEVERS("split.pin/home=0-499=room-b@2026-11-22T08:00:00Z by carol"), o,
           (struct explain_query){.url = "home.example.test"});
    golden("closed-room", LEVERS("room.ingress/room-a=closed", "service.auto_dr/home=on by carol in x-9"), o,
           (struct explain_query){.url = "home.example.test", .user = "3"});
    golden("nobody", LEVERS("room.compute/room-a=quarantined", "edge/edge-1=out"), o, UPLOAD);
    golden("degraded",
           LEVERS("service.degrade/home=static by carol in x-9", "service.limit/home=100", "room.limit/room-a=1000",
                  "room.degrade/room-a=stale"),
           o, (struct explain_query){.url = "home.example.test", .user = "3"});
    golden("interface",
           LEVERS("service.degrade/home=static by carol in x-9", "interface.degrade/cart-pay=off",
                  "interface.limit/cart-pay=40", "service.limit/home=100"),
           o, (struct explain_query){.url = "home.example.test/cart/pay?x", .user = "3", .method = "POST"});
    golden("interface-of-a-host", LEVERS("interface.degrade/cart=static by carol"), o,
           (struct explain_query){.url = "home.example.test/cart/pay", .user = "3"});
    golden("core", none, o, (struct explain_query){.url = "play.example.test/x", .user = "7", .from = "edge-3"});
}
END_TEST

static bool policy_is(const char *path, const char *policy)
{
    sb_auto(observed) o = observed_new();
    g_autofree char *url = g_strconcat("http://creator.example.test", path, NULL);
    g_autofree char *text = text_of(none, o, (struct explain_query){.url = url}, NULL);
    g_autofree char *line = g_strdup_printf("observed, policy %s\n", policy);
    return strstr(text, line) != NULL;
}

START_TEST(prefixes_are_cut_at_slashes)
{
    ck_assert(policy_is("/upload", "creator.upload"));
    ck_assert(policy_is("/upload/", "creator.upload"));
    ck_assert(policy_is("/upload/x?y", "creator.upload"));
    ck_assert(policy_is("/upload?x=/", "creator.upload"));
    ck_assert(policy_is("/uploads", "creator.creator"));
    ck_assert(policy_is("/a/upload", "creator.creator"));
    ck_assert(policy_is("?/upload", "creator.creator"));
    ck_assert(policy_is("", "creator.creator"));
}
END_TEST

START_TEST(what_cannot_be_explained)
{
    static const struct {
        const char *url, *from;
        int code;
        const char *method;
    } rows[] = {
        {"play.example.test", NULL, SB_ERROR_INVALID, "LOOK"},
        {"play.example.test", NULL, SB_ERROR_INVALID, "any"},
        {"ftp://play.example.test/", NULL, SB_ERROR_INVALID, NULL},
        {"http://", NULL, SB_ERROR_INVALID, NULL},
        {"", NULL, SB_ERROR_INVALID, NULL},
        {"http://play.example.test:x/", NULL, SB_ERROR_INVALID, NULL},
        {"http://u@play.example.test/", NULL, SB_ERROR_INVALID, NULL},
        {"http://a b/", NULL, SB_ERROR_INVALID, NULL},
        {"http://[::1]/", NULL, SB_ERROR_INVALID, NULL},
        {"http://other.test/", NULL, SB_ERROR_NOT_FOUND, NULL},
        {"play.example.test", "edge-9", SB_ERROR_NOT_FOUND, NULL},
    };
    sb_auto(observed) o = observed_new();
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        ck_assert_ptr_null(
            text_of(none, o, (struct explain_query){.url = rows[i].url, .from = rows[i].from, .method = rows[i].method},
                    &error));
        ck_assert_msg(g_error_matches(error, SB_ERROR, rows[i].code), "%s: %s", rows[i].url, error->message);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, the_outage);
    tcase_add_test(tcase, a_room_that_an_edge_holds_away);
    tcase_add_test(tcase, reasons);
    tcase_add_test(tcase, prefixes_are_cut_at_slashes);
    tcase_add_test(tcase, what_cannot_be_explained);
}

int main(void)
{
    return unit_run("explain", add);
}
