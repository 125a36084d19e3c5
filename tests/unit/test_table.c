#include "schema/table.h"

#include "core/error.h"
#include "tests/unit/unit.h"
#include <string.h>

START_TEST(good_parts_pass)
{
    static const char *const rows[PARTS] = {
        [PART_ROUTES] =
            "a.example.test/ core.playback\na.example.test/up/load/ core.upload\nb.example.test/ core.playback\n",
        [PART_LAYOUT] = ("class public\nescape/room-a/escape-a 192.0.2.4:80\nfallback/room-a/pop-a2 "
                         "192.0.2.2:80\norigin/room-a/pop-a1 "
                         "192.0.2.1:80\norigin/room-a/ring [2001:db8::1]:80\n"
                         "relay/edge-3 198.51.100.3:80\n"),
        [PART_POLICIES] = "core.playback 0|multi|on|local\ncreator.creator 1048575|single|off|relay\n"
                          "g.s 1|multi|on|local|100\ng.t 1|multi|on|relay|30000\n"
                          "g.u 1|multi|on|local||live|0|interfaces\ng.v 1|multi|on|local|100|stale|5|interfaces\n"
                          "interface/u/any/-/a.b/C/ 7|live|1000000|8\ninterface/u/post/a.test/a/ 3|static|0|0\n",
        [PART_SPLITS] = "0:499 room-a\n1048575000:1048575999 room-b\n500:999 room-b\n",
        [PART_ROOMS] = "multi/room-a room-b\nmulti/room-b room-b\nsingle/room-a -\n",
        [PART_ORIGINS] = "multi/room-a/pop-a1 out\nrelay/edge-3/relay in\nsingle/room-a/ring in\n",
    };
    for (unsigned part = 0; part < PARTS; part++) {
        g_autoptr(GError) error = NULL;
        part_validate(part, rows[part], strlen(rows[part]), &error);
        ck_assert_msg(error == NULL, "%s", error != NULL ? error->message : "");
        if (part != PART_LAYOUT)
            ck_assert(part_validate(part, "", 0, NULL));
    }
    static const char gateway[] = "backend/home/b1 [2001:db8::9]:8080|0|group/01|100|0\nclass gateway\n"
                                  "gateway in\nservice/home 198.51.100.1:80|tcp|tp|vip_home\n";
    ck_assert(part_validate(PART_LAYOUT, gateway, sizeof gateway - 1, NULL));
}
END_TEST

START_TEST(bad_parts_are_refused_with_the_line)
{
#define ROUTES_EXPECTED ", expected HOST/ or HOST/PREFIX/, then GROUP.SERVICE"
#define LAYOUT_EXPECTED                                                                                                \
    ", expected class public|dedicated|gateway, origin/ROOM/ENTRANCE ADDRESS:PORT, fallback/ROOM/ENTRANCE "            \
    "ADDRESS:PORT, escape/ROOM/ENTRANCE ADDRESS:PORT, relay/EDGE ADDRESS:PORT or answer/SERVICE 503|HEX (or 200), or " \
    "a line of a gateway"
#define SPLITS_EXPECTED ", expected FIRST:LAST ROOM, both of one split index * 1000 + slot"
#define POLICY_TAIL                                                                                                    \
    "and maybe |MS, 100 to 30000, or |MS|live|LIMIT (MS may be missing; or keep, stale, static), and maybe "           \
    "|interfaces; interface/SERVICE/METHOD/HOST/PATH/ LENGTH|live|LIMIT|NUMBER"
#define ROW_REFUSED(row)                                                                                               \
    "part policies, line 1: found \"" row                                                                              \
    "\", expected GROUP.SERVICE INDEX|multi|on|local (or single, off, relay), " POLICY_TAIL
#define POLICY_REFUSED(timeout)                                                                                        \
    "part policies, line 1: found \"g.s 1|multi|on|local" timeout "\", expected GROUP.SERVICE INDEX|multi|on|local "   \
    "(or single, off, relay), " POLICY_TAIL
#define ROOMS_EXPECTED                                                                                                 \
    ", expected multi/ROOM or single/ROOM, then ROOM or -; degrade/ROOM live|LIMIT (or stale, static); pin/KEY SECRET"
    static const struct {
        enum part part;
        const char *text, *message;
    } rows[] = {
        {PART_ROUTES, "a/ b",
         "part routes, line 1: found no end of line, expected a line of at most 1024 bytes and its end"},
        {PART_ROUTES, "\n", "part routes, line 1: found \"\"" ROUTES_EXPECTED},
        {PART_ROUTES, "a/ g.s;quit\n", "part routes, line 1: found \"a/ g.s;quit\"" ROUTES_EXPECTED},
        {PART_ROUTES, "a/ g.s\r\n", "part routes, line 1: found \"a/ g.s\\u000d\"" ROUTES_EXPECTED},
        {PART_ROUTES, "a/  g.s\n", "part routes, line 1: found \"a/  g.s\"" ROUTES_EXPECTED},
        {PART_ROUTES, "a g.s\n", "part routes, line 1: found \"a g.s\"" ROUTES_EXPECTED},
        {PART_ROUTES, "a/x g.s\n", "part routes, line 1: found \"a/x g.s\"" ROUTES_EXPECTED},
        {PART_ROUTES, "a/../ g.s\n", "part routes, line 1: found \"a/../ g.s\"" ROUTES_EXPECTED},
        {PART_ROUTES, "A/ g.s\n", "part routes, line 1: found \"A/ g.s\"" ROUTES_EXPECTED},
        {PART_ROUTES, "a/ g.s.t\n", "part routes, line 1: found \"a/ g.s.t\"" ROUTES_EXPECTED},
        {PART_ROUTES, "b/ g.s\na/ g.s\n",
         "part routes, line 2: found \"a/\", expected a key greater than that of the line before"},
        {PART_ROUTES, "a/ g.s\na/ g.t\n",
         "part routes, line 2: found \"a/\", expected a key greater than that of the line before"},
        {PART_LAYOUT, "", "part layout: found no line \"class\", expected one"},
        {PART_LAYOUT, "class both\n", "part layout, line 1: found \"class both\"" LAYOUT_EXPECTED},
        {PART_LAYOUT, "class public\norigin/room-a/p 192.0.2.1:0\n",
         "part layout, line 2: found \"origin/room-a/p 192.0.2.1:0\"" LAYOUT_EXPECTED},
        {PART_LAYOUT, "adjacency/00 0|a|b|0\nclass public\n",
         "part layout: found lines of a gateway and of an edge, expected those of its class"},
        {PART_LAYOUT, "answer/s 503|7b7d\nclass gateway\n",
         "part layout: found lines of a gateway and of an edge, expected those of its class"},
        {PART_LAYOUT, "class gateway\nservice/s ;x\n", "part layout, line 2: found \"service/s ;x\"" LAYOUT_EXPECTED},
        {PART_POLICIES, "g.s 1048576|multi|on|local\n",
         "part policies, line 1: found \"g.s 1048576|multi|on|local\", expected GROUP.SERVICE INDEX|multi|on|local "
         "(or single, off, relay), " POLICY_TAIL},
        {PART_POLICIES, "g.s 1|multi|on\n",
         "part policies, line 1: found \"g.s 1|multi|on\", expected GROUP.SERVICE INDEX|multi|on|local (or single, "
         "off, relay), " POLICY_TAIL},
        {PART_POLICIES, "g.s 1|multi|on|local|99\n", POLICY_REFUSED("|99")},
        {PART_POLICIES, "g.s 1|multi|on|local||live\n", POLICY_REFUSED("||live")},
        {PART_POLICIES, "g.s 1|multi|on|local||dead|0\n", POLICY_REFUSED("||dead|0")},
        {PART_POLICIES, "g.s 1|multi|on|local||stale|\n", POLICY_REFUSED("||stale|")},
        {PART_POLICIES, "g.s 1|multi|on|local||static|1000001\n", POLICY_REFUSED("||static|1000001")},
        {PART_POLICIES, "g.s 1|multi|on|local|99|keep|0\n", POLICY_REFUSED("|99|keep|0")},
        {PART_POLICIES, "g.s 1|multi|on|local||live|0|\n", POLICY_REFUSED("||live|0|")},
        {PART_POLICIES, "g.s 1|multi|on|local||live|0|interface\n", POLICY_REFUSED("||live|0|interface")},
        {PART_POLICIES, "interface/s/any/-/a/ 4|live|0|0\n", ROW_REFUSED("interface/s/any/-/a/ 4|live|0|0")},
        {PART_POLICIES, "interface/s/any/-/a 2|live|0|0\n", ROW_REFUSED("interface/s/any/-/a 2|live|0|0")},
        {PART_POLICIES, "interface/s/any/-/ 1|live|0|0\n", ROW_REFUSED("interface/s/any/-/ 1|live|0|0")},
        {PART_POLICIES, "interface/s/any/-/../ 4|live|0|0\n", ROW_REFUSED("interface/s/any/-/../ 4|live|0|0")},
        {PART_POLICIES, "interface/s/any/a/ 3|live|0|0\n", ROW_REFUSED("interface/s/any/a/ 3|live|0|0")},
        {PART_POLICIES, "interface/s/GET/-/a/ 3|live|0|0\n", ROW_REFUSED("interface/s/GET/-/a/ 3|live|0|0")},
        {PART_POLICIES, "interface/s/get/A/a/ 3|live|0|0\n", ROW_REFUSED("interface/s/get/A/a/ 3|live|0|0")},
        {PART_POLICIES, "interface/S/get/-/a/ 3|live|0|0\n", ROW_REFUSED("interface/S/get/-/a/ 3|live|0|0")},
        {PART_POLICIES, "interface/s/get/-/a/ 3|off|0|0\n", ROW_REFUSED("interface/s/get/-/a/ 3|off|0|0")},
        {PART_POLICIES, "interface/s/get/-/a/ 3|live|5|9\n", ROW_REFUSED("interface/s/get/-/a/ 3|live|5|9")},
        {PART_POLICIES, "interface/s/get/-/a/ 3|live|5|0\n", ROW_REFUSED("interface/s/get/-/a/ 3|live|5|0")},
        {PART_POLICIES, "interface/s/get/-/a/ 3|live|0|1\n", ROW_REFUSED("interface/s/get/-/a/ 3|live|0|1")},
        {PART_ROOMS, "degrade/room-a keep|0\n", "part rooms, line 1: found \"degrade/room-a keep|0\"" ROOMS_EXPECTED},
        {PART_ROOMS, "degrade/room-a live\n", "part rooms, line 1: found \"degrade/room-a live\"" ROOMS_EXPECTED},
        {PART_LAYOUT, "answer/s 503|277d\nclass public\n", /* a single quote */
         "part layout, line 1: found \"answer/s 503|277d\"" LAYOUT_EXPECTED},
        {PART_LAYOUT, "answer/s 404|7b7d\nclass public\n",
         "part layout, line 1: found \"answer/s 404|7b7d\"" LAYOUT_EXPECTED},
        {PART_POLICIES, "g.s 1|multi|on|local|30001\n", POLICY_REFUSED("|30001")},
        {PART_POLICIES, "g.s 1|multi|on|local|\n", POLICY_REFUSED("|")},
        {PART_POLICIES, "g.s 1|multi|on|local|3s\n", POLICY_REFUSED("|3s")},
        {PART_POLICIES, "g.s 1|multi|on|local|0300\n", POLICY_REFUSED("|0300")},
        {PART_POLICIES, "g.s 1|multi|on|local|300|1\n", POLICY_REFUSED("|300|1")},
        {PART_SPLITS, "0:1999 room-a\n", "part splits, line 1: found \"0:1999 room-a\"" SPLITS_EXPECTED},
        {PART_SPLITS, "5:4 room-a\n", "part splits, line 1: found \"5:4 room-a\"" SPLITS_EXPECTED},
        {PART_SPLITS, "0:999 -\n", "part splits, line 1: found \"0:999 -\"" SPLITS_EXPECTED},
        {PART_SPLITS, "0:499 room-a\n",
         "part splits: found slot 500 of split 0 missing, expected every slot of a split once"},
        {PART_SPLITS, "0:499 room-a\n501:999 room-b\n",
         "part splits: found slot 500 of split 0 missing, expected every slot of a split once"},
        {PART_SPLITS, "0:499 room-a\n499:999 room-b\n",
         "part splits: found slot 499 of split 0 twice, expected every slot of a split once"},
        {PART_SPLITS, "3000:3999 room-a\n3500:3999 room-b\n",
         "part splits: found slot 500 of split 3 twice, expected every slot of a split once"},
        {PART_SPLITS, "3001:3999 room-a\n",
         "part splits: found slot 0 of split 3 missing, expected every slot of a split once"},
        {PART_ROOMS, "any/room-a room-b\n", "part rooms, line 1: found \"any/room-a room-b\"" ROOMS_EXPECTED},
        {PART_ROOMS, "multi/room-a \n", "part rooms, line 1: found \"multi/room-a \"" ROOMS_EXPECTED},
        {PART_ORIGINS, "multi/room-a/p down\n",
         "part origins, line 1: found \"multi/room-a/p down\", expected multi/ROOM/ENTRANCE, single/ROOM/ENTRANCE or "
         "relay/EDGE/relay, then in or out"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        ck_assert_msg(!part_validate(rows[i].part, rows[i].text, strlen(rows[i].text), &error), "%s", rows[i].text);
        ck_assert_str_eq(error->message, rows[i].message);
    }
}
END_TEST

START_TEST(long_lines_and_nuls_are_refused)
{
    g_autoptr(GError) error = NULL, nul = NULL;
    g_autoptr(GString) text = g_string_new(NULL);
    for (unsigned i = 0; i < 2000; i++)
        g_string_append_c(text, 'a');
    g_string_append_c(text, '\n');
    ck_assert(!part_validate(PART_ROOMS, text->str, text->len, &error));
    ck_assert_str_eq(error->message,
                     "part rooms, line 1: found a longer line, expected a line of at most 1024 bytes and its end");
    static const char bytes[] = "multi/room-a room-b\0;x\n";
    ck_assert(!part_validate(PART_ROOMS, bytes, sizeof bytes - 1, &nul));
}
END_TEST

static void line_append(void *text, const char *key, const char *value)
{
    g_string_append_printf(text, "<%s=%s>", key, value);
}

START_TEST(lines_are_walked_in_order)
{
    g_autoptr(GString) text = g_string_new(NULL);
    part_foreach("a 1\nb 2\n", 8, line_append, text);
    ck_assert_str_eq(text->str, "<a=1><b=2>");
}
END_TEST

START_TEST(hashes_are_half_of_blake2b_256)
{
    char hash[PART_HASH_SIZE];
    part_hash("", 0, hash); /* b2sum -l 256 */
    ck_assert_str_eq(hash, "0e5751c026e543b2e8ab2eb06099daa1");
    part_hash("abc", 3, hash);
    ck_assert_str_eq(hash, "bddd813c634239723171ef3fee98579b");
}
END_TEST

START_TEST(stamps_go_by_epoch_first)
{
    struct stamp rows[] = {{0, 0}, {0, 9}, {1, 0}, {1, 1}, {2, 0}};
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 5; k++)
            ck_assert_int_eq(stamp_compare(rows[i], rows[k]), (i > k) - (i < k));
}
END_TEST

static json_t *manifest_json(void)
{
    struct manifest manifest = {"two-rooms", "edge-1", {65537, 12}, "ex-1/move-out/set", {{0}}};
    for (unsigned i = 0; i < PARTS; i++)
        part_hash(part_name(i), 3, manifest.hash[i]);
    return manifest_to_json(&manifest);
}

START_TEST(json_and_manifest_are_the_same)
{
    json_t *json = manifest_json();
    struct manifest read;
    ck_assert(manifest_from_json(json, &read, NULL));
    json_t *again = manifest_to_json(&read);
    ck_assert(json_equal(json, again));
    ck_assert_uint_eq(read.stamp.epoch, 65537);
    json_object_set_new(json, "later", json_true()); /* a newer server may say more */
    ck_assert(manifest_from_json(json, &read, NULL));
    json_decref(json);
    json_decref(again);
}
END_TEST

START_TEST(json_that_is_no_manifest_is_refused)
{
#define NAME_EXPECTED ", expected a name of 1 to 40 a-z 0-9 -, with a letter or digit at both ends"
#define CAUSE_EXPECTED ", expected at most 119 printable ASCII characters without space ; \" ' \\ `"
    static const char *const rows[][3] = {
        {"cluster", "\"Two Rooms\"", "manifest: cluster: found \"Two Rooms\"" NAME_EXPECTED},
        {"cluster", "\"two\\u0000rooms\"", "manifest: cluster: found \"two\"" NAME_EXPECTED},
        {"edge", "1", "manifest: edge: found 1" NAME_EXPECTED},
        {"epoch", "-1", "manifest: epoch: found -1, expected a whole number of 0 or more"},
        {"generation", "\"12\"", "manifest: generation: found \"12\", expected a whole number of 0 or more"},
        {"cause", "\"a;b\"", "manifest: cause: found \"a;b\"" CAUSE_EXPECTED},
        {"cause", "\"a\\nb\"", "manifest: cause: found \"a\\nb\"" CAUSE_EXPECTED},
        {"parts", "[]", "manifest: parts: found a list of 0, expected an object of hashes"},
        {"parts", "{}", "manifest: routes: found nothing, expected 32 hex digits"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        struct manifest read = {.cause = "untouched"};
        json_t *json = manifest_json();
        json_object_set_new(json, rows[i][0], json_loads(rows[i][1], JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL));
        ck_assert(!manifest_from_json(json, &read, &error));
        ck_assert_str_eq(error->message, rows[i][2]);
        ck_assert_str_eq(read.cause, "untouched");
        json_decref(json);
    }
}
END_TEST

START_TEST(an_unknown_part_is_refused)
{
    g_autoptr(GError) error = NULL;
    struct manifest read;
    json_t *json = manifest_json();
    json_object_set_new(json_object_get(json, "parts"), "limits", json_string("0e5751c026e543b2e8ab2eb06099daa1"));
    ck_assert(!manifest_from_json(json, &read, &error));
    ck_assert_str_eq(error->message, "manifest: parts: found 7, expected the 6 that are known");
    json_decref(json);
}
END_TEST

START_TEST(record_sets_are_equal_but_for_why)
{
    char *one[] = {(char *)"192.0.2.1", NULL}, *two[] = {(char *)"192.0.2.1", (char *)"192.0.2.2", NULL};
    struct rrset a = {(char *)"a.test", 1, 5, one, (char *)"because"}, b = a;
    b.why = NULL;
    ck_assert(rrset_equal(&a, &b));
    b.ttl = 6;
    ck_assert(!rrset_equal(&a, &b));
    b = a, b.rdata = two;
    ck_assert(!rrset_equal(&a, &b));
    b = a, b.type = 28;
    ck_assert(!rrset_equal(&a, &b));
    ck_assert_str_eq(rrtype_name(28), "AAAA");
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, good_parts_pass);
    tcase_add_test(tcase, bad_parts_are_refused_with_the_line);
    tcase_add_test(tcase, long_lines_and_nuls_are_refused);
    tcase_add_test(tcase, lines_are_walked_in_order);
    tcase_add_test(tcase, hashes_are_half_of_blake2b_256);
    tcase_add_test(tcase, stamps_go_by_epoch_first);
    tcase_add_test(tcase, json_and_manifest_are_the_same);
    tcase_add_test(tcase, json_that_is_no_manifest_is_refused);
    tcase_add_test(tcase, an_unknown_part_is_refused);
    tcase_add_test(tcase, record_sets_are_equal_but_for_why);
}

int main(void)
{
    return unit_run("table", add);
}
