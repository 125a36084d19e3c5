#include "schema/inventory.h"

#include "schema/yamldoc.h"
#include "tests/unit/unit.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define SITE SOURCE_DIR "/tests/lab/sites/two-rooms.yaml"
#define MANY 100000

static void put(struct inventory *inv, const char *text)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    json_t *json = json_loads(text, 0, NULL);
    ck_assert_msg(json != NULL, "%s", text);
    struct object *object = object_from_json(json, findings);
    g_autofree char *first = findings->len > 0 ? finding_text(findings->pdata[0]) : NULL;
    ck_assert_msg(object != NULL, "%s", first);
    json_decref(json);
    inventory_put(inv, object);
}

static struct inventory *load(json_t *documents)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    json_t *body = json_object();
    yamldoc_collect(documents, "site.yaml", body, findings);
    struct inventory *inv = inventory_from_json(body, findings);
    if (inv != NULL)
        inventory_validate(inv, findings);
    g_autofree char *first = findings->len > 0 ? finding_text(findings->pdata[0]) : NULL;
    ck_assert_msg(findings->len == 0, "%s", first);
    json_decref(body);
    json_decref(documents);
    return inv;
}

static struct inventory *site(void)
{
    g_autoptr(GError) error = NULL;
    json_t *documents = yamldoc_load_file(SITE, &error);
    ck_assert_msg(documents != NULL, "%s", error->message);
    return load(documents);
}

START_TEST(lists_are_sorted_and_names_found)
{
    sb_auto(inventory) inv = inventory_new();
    put(inv, "{\"kind\": \"zone\", \"name\": \"c\"}");
    put(inv, "{\"kind\": \"zone\", \"name\": \"a\"}");
    put(inv, "{\"kind\": \"zone\", \"name\": \"b\"}");
    put(inv, "{\"kind\": \"zone\", \"name\": \"a\"}"); /* replaces */
    g_autoptr(GString) names = g_string_new(NULL);
    INVENTORY_FOREACH (inv, zone, zone)
        g_string_append(names, zone->o.name);
    ck_assert_str_eq(names->str, "abc");
    ck_assert_str_eq(INVENTORY_GET(inv, zone, "b")->o.name, "b");
    ck_assert_ptr_null(INVENTORY_GET(inv, zone, "d"));
    ck_assert(inventory_remove(inv, OBJECT_zone, "b"));
    ck_assert(!inventory_remove(inv, OBJECT_zone, "b"));
    ck_assert_uint_eq(inventory_list(inv, OBJECT_zone)->len, 2);
}
END_TEST

START_TEST(loops_can_be_left)
{
    sb_auto(inventory) inv = site();
    unsigned n = 0;
    INVENTORY_FOREACH (inv, edge, edge) {
        if (strcmp(edge->o.name, "edge-1") == 0)
            continue;
        n++;
        if (strcmp(edge->o.name, "edge-3") == 0)
            break;
    }
    ck_assert_uint_eq(n, 2);
}
END_TEST

START_TEST(copies_share_objects_and_part_ways)
{
    struct inventory *inv = site();
    sb_auto(inventory) copy = inventory_copy(inv);
    ck_assert_ptr_eq(INVENTORY_GET(inv, room, "room-a"), INVENTORY_GET(copy, room, "room-a"));
    put(copy, "{\"kind\": \"room\", \"name\": \"room-c\", \"zone\": \"zone-1\"}");
    ck_assert(inventory_remove(copy, OBJECT_room, "room-b"));
    ck_assert_uint_eq(inventory_list(inv, OBJECT_room)->len, 2);
    ck_assert_ptr_nonnull(INVENTORY_GET(inv, room, "room-b"));
    inventory_unref(inv);
    ck_assert_str_eq(INVENTORY_GET(copy, room, "room-a")->zone, "zone-1");
}
END_TEST

START_TEST(the_site_comes_back_equal_from_yaml_and_json)
{
    sb_auto(inventory) inv = site();
    g_autofree char *yaml = inventory_to_yaml(inv);
    sb_auto(inventory) again = load(yamldoc_parse(yaml, strlen(yaml), "again.yaml", NULL));
    g_autoptr(GArray) changes = inventory_diff(inv, again);
    ck_assert_uint_eq(changes->len, 0);
    json_t *json = inventory_to_json(inv);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "objects")), 41);
    g_autoptr(GPtrArray) findings = finding_list_new();
    sb_auto(inventory) third = inventory_from_json(json, findings);
    g_autoptr(GArray) none = inventory_diff(inv, third);
    ck_assert_uint_eq(none->len, 0);
    json_decref(json);
}
END_TEST

START_TEST(differences_are_told_in_order)
{
    sb_auto(inventory) inv = site();
    sb_auto(inventory) to = inventory_copy(inv);
    put(to, "{\"kind\": \"zone\", \"name\": \"zone-3\"}");
    put(to, "{\"kind\": \"group\", \"name\": \"core\", \"service\": \"playback\", \"zone\": \"example.test\"}");
    put(to, "{\"kind\": \"room\", \"name\": \"room-a\", \"zone\": \"zone-1\", \"ring\": \"10.1.0.1:80\"}");
    inventory_remove(to, OBJECT_domain, "play.example.test");
    g_autoptr(GArray) changes = inventory_diff(inv, to);
    g_autofree char *text = inventory_diff_text(changes);
    ck_assert_str_eq(text, "+ zone zone-3\n~ group core: ttl 5 -> -\n- domain play.example.test\n");
    g_autoptr(GArray) back = inventory_diff(to, inv);
    g_autofree char *back_text = inventory_diff_text(back);
    ck_assert_str_eq(back_text, "- zone zone-3\n~ group core: ttl - -> 5\n+ domain play.example.test\n");
}
END_TEST

START_TEST(a_name_given_twice_is_found)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    json_t *json = json_loads("{\"objects\": [{\"kind\": \"zone\", \"name\": \"a\", \"at\": \"x:1\"},"
                              "{\"kind\": \"zone\", \"name\": \"a\", \"at\": \"x:2\"}]}",
                              0, NULL);
    ck_assert_ptr_null(inventory_from_json(json, findings));
    g_autofree char *text = finding_text(findings->pdata[0]);
    ck_assert_str_eq(text, "x:2: zone a: name: found the name twice, first at x:1, expected each name of a kind once");
    json_decref(json);
}
END_TEST

/* Each row is put into the site of two rooms and must give this one finding. */
START_TEST(what_no_object_can_know_is_found)
{
    static const char *const rows[][2] = {
        {"{\"kind\": \"room\", \"name\": \"room-c\", \"zone\": \"zone-9\"}",
         "room room-c: zone: found \"zone-9\", expected the name of a zone that exists"},
        {"{\"kind\": \"pop\", \"name\": \"p\", \"room\": \"room-a\", \"carriers\": [\"carrier-1\", \"carrier-9\"], "
         "\"origin\": \"192.0.2.9:80\"}",
         "pop p: carriers: found \"carrier-9\", expected the name of a carrier that exists"},
        {"{\"kind\": \"pop\", \"name\": \"ring\", \"room\": \"room-a\", \"carriers\": [\"carrier-1\"], "
         "\"origin\": \"192.0.2.9:80\"}",
         "pop ring: name: found \"ring\", expected another name: this word stands for a road that is no POP"},
        {"{\"kind\": \"line\", \"name\": \"l\", \"from\": \"edge-1\", \"to\": \"edge-9\", \"bandwidth\": 1}",
         "line l: to: found \"edge-9\", expected the name of a room or edge that exists"},
        {"{\"kind\": \"line\", \"name\": \"l\", \"from\": \"edge-1\", \"to\": \"edge-1\", \"bandwidth\": 1}",
         "line l: to: found \"edge-1\" at both ends, expected two different ends"},
        {"{\"kind\": \"edge\", \"name\": \"edge-9\", \"class\": \"public\", \"address\": \"203.0.113.11\"}",
         "edge edge-9: address: found 203.0.113.11, which edge edge-1 has, expected an address of its own"},
        {"{\"kind\": \"edge\", \"name\": \"edge-9\", \"class\": \"public\", \"address\": \"203.0.113.9\", "
         "\"address6\": \"203.0.113.8\"}",
         "edge edge-9: address6: found one of the same, expected an address of the other family than address"},
        {"{\"kind\": \"service\", \"name\": \"s\", \"active\": \"single\"}",
         "service s: home: found nothing, expected the name of the room that a single service runs in"},
        {"{\"kind\": \"service\", \"name\": \"s\", \"active\": \"multi\", \"home\": \"room-a\"}",
         "service s: home: found \"room-a\", expected nothing: a multi service runs in every room"},
        {"{\"kind\": \"service\", \"name\": \"s\", \"active\": \"multi\", \"needs\": [\"home\", \"db\"]}",
         "service s: needs: found \"db\", expected the name of a service or component that exists"},
        {"{\"kind\": \"service\", \"name\": \"s\", \"active\": \"multi\", \"needs\": [\"s\"]}",
         "service s: needs: found itself, expected another service or a component"},
        {"{\"kind\": \"interface\", \"name\": \"i\", \"service\": \"home\", \"path\": \"/buy\", \"active\": "
         "\"single\"}",
         "interface i: home: found nothing, expected the name of the room that answers it: its service has none"},
        {"{\"kind\": \"interface\", \"name\": \"i\", \"service\": \"home\", \"path\": \"/buy\", \"home\": \"room-a\"}",
         "interface i: home: found \"room-a\", expected nothing: it is answered in every room"},
        {"{\"kind\": \"pool\", \"name\": \"p\", \"service\": \"creator\", \"room\": \"room-b\", \"capacity\": 100}",
         "pool p: room: found \"room-b\", home is room-a, expected the home of its service, which runs nowhere else"},
        {"{\"kind\": \"component\", \"name\": \"db\", \"type\": \"mysql\", \"rooms\": [\"room-a\"], \"primary\": "
         "\"room-b\"}",
         "component db: primary: found \"room-b\", expected one of its rooms"},
        {"{\"kind\": \"component\", \"name\": \"db\", \"type\": \"mysql\", \"rooms\": [\"room-a\"], \"consumption\": "
         "\"local\"}",
         "component db: consumption: found another, expected none: only topics are consumed"},
        {"{\"kind\": \"component\", \"name\": \"db\", \"type\": \"mysql\", \"rooms\": [\"room-a\"], \"rebuilt\": "
         "\"binlog\"}",
         "component db: rebuilt: found another, expected no: only caches are"},
        {"{\"kind\": \"route\", \"name\": \"r\", \"group\": \"creator\", \"prefix\": \"/upload\", \"service\": "
         "\"home\"}",
         "route r: prefix: found \"/upload\", which route creator-upload has, expected a prefix of its own within the "
         "group"},
        {"{\"kind\": \"domain\", \"name\": \"www.example.org\", \"group\": \"core\"}",
         "domain www.example.org: name: found \"www.example.org\", expected a name below example.test, the zone of "
         "group core"},
        {"{\"kind\": \"domain\", \"name\": \"badexample.test\", \"group\": \"core\"}",
         "domain badexample.test: name: found \"badexample.test\", expected a name below example.test, the zone of "
         "group core"},
        {"{\"kind\": \"domain\", \"name\": \"example.test\", \"group\": \"core\"}",
         "domain example.test: name: found the zone's own name, which cannot be a CNAME, expected a name below "
         "example.test, the zone of group core"},
        {"{\"kind\": \"domain\", \"name\": \"x.example.test\", \"group\": \"core\", \"variant\": \"none\"}",
         "domain x.example.test: variant: found \"none\", expected the name of a variant that exists"},
        {"{\"kind\": \"variant\", \"name\": \"core\", \"group\": \"manual\", \"carrier\": \"carrier-1\"}",
         "variant core: name: found \"core\", expected a name that no group has"},
        {"{\"kind\": \"variant\", \"name\": \"v\", \"group\": \"core\", \"carrier\": \"none\"}",
         "variant v: carrier: found \"none\", expected the name of a carrier that exists"},
        {"{\"kind\": \"dnszone\", \"name\": \"play.example.test\"}",
         "domain play.example.test: name: found \"play.example.test\", which is in zone play.example.test, expected a "
         "name below example.test, the zone of group core"},
        {"{\"kind\": \"nameserver\", \"name\": \"n\", \"zone\": \"example.test\", \"role\": \"secondary\", "
         "\"address\": \"192.0.2.9:53\", \"key\": \"k\"}",
         "nameserver n: primary: found nothing, expected the name of the nameserver that a secondary copies from"},
        {"{\"kind\": \"nameserver\", \"name\": \"n\", \"zone\": \"example.test\", \"role\": \"secondary\", "
         "\"primary\": "
         "\"n\", \"address\": \"192.0.2.9:53\", \"key\": \"k\"}",
         "nameserver n: primary: found \"n\", which copies from n in a circle, expected a way to a primary"},
        {"{\"kind\": \"nameserver\", \"name\": \"n\", \"zone\": \"example.test\", \"role\": \"primary\", \"primary\": "
         "\"ns-1\", \"address\": \"192.0.2.9:53\", \"key\": \"k\"}",
         "nameserver n: primary: found \"ns-1\", expected nothing: a primary copies from nobody"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        sb_auto(inventory) inv = site();
        g_autoptr(GPtrArray) findings = finding_list_new();
        put(inv, rows[i][0]);
        inventory_validate(inv, findings);
        g_autofree char *text = findings->len > 0 ? finding_text(findings->pdata[0]) : NULL;
        ck_assert_msg(text != NULL && g_str_has_suffix(text, rows[i][1]), "%s", text); /* the file's line before it */
        ck_assert_uint_eq(findings->len, 1);
    }
}
END_TEST

/* A gateway in each room, a line between them, an address, an escape: nothing is wrong; then each row is put in. */
START_TEST(what_gateways_need_is_found)
{
    static const char *const good[] = {
        "{\"kind\": \"gateway\", \"name\": \"gw-a\", \"room\": \"room-a\", \"local\": \"10.1.9.1\", \"local6\": "
        "\"2001:db8::1\"}",
        "{\"kind\": \"gateway\", \"name\": \"gw-b\", \"room\": \"room-b\", \"local\": \"10.2.9.1\"}",
        "{\"kind\": \"gwport\", \"name\": \"gw-a-in\", \"gateway\": \"gw-a\", \"place\": 0, \"port\": 0, \"own\": "
        "\"10.1.8.1\", \"next\": \"10.1.8.2\", \"inside\": true}",
        "{\"kind\": \"gwport\", \"name\": \"gw-a-line\", \"gateway\": \"gw-a\", \"place\": 1, \"port\": 1, \"own\": "
        "\"10.3.0.1\", \"next\": \"10.3.0.2\", \"line\": \"line-5\", \"bfd\": 10}",
        "{\"kind\": \"gwvip\", \"name\": \"vip-a\", \"room\": \"room-a\", \"address\": \"198.51.100.31:80\", "
        "\"check\": \"http\", \"path\": \"/health\"}",
        "{\"kind\": \"gwvip\", \"name\": \"escape-a\", \"room\": \"room-b\", \"address\": \"198.51.100.41:80\", "
        "\"to\": \"room-a\"}",
        "{\"kind\": \"instance\", \"name\": \"i-a\", \"room\": \"room-a\", \"address\": \"10.1.0.1:80\"}",
    };
    static const char *const rows[][2] = {
        {"{\"kind\": \"gateway\", \"name\": \"edge-1\", \"room\": \"room-a\", \"local\": \"10.1.9.9\"}",
         "gateway edge-1: name: found \"edge-1\", expected another name: an edge has it"},
        {"{\"kind\": \"gateway\", \"name\": \"gw-c\", \"room\": \"room-a\", \"local\": \"10.2.9.1\"}",
         "gateway gw-c: local: found \"10.2.9.1\", which gateway gw-b has, expected an address of its own"},
        {"{\"kind\": \"gateway\", \"name\": \"gw-c\", \"room\": \"room-a\", \"local\": \"10.1.9.8\", \"local6\": "
         "\"10.1.9.9\"}",
         "gateway gw-c: local6: found one of the same, expected an address of the other family than local"},
        {"{\"kind\": \"gwport\", \"name\": \"p\", \"gateway\": \"gw-a\", \"place\": 1, \"port\": 2, \"own\": "
         "\"10.1.7.1\", \"next\": \"10.1.7.2\"}",
         "gwport p: place: found \"1\", which gwport gw-a-line has, expected a place of its own at its gateway"},
        {"{\"kind\": \"gwport\", \"name\": \"p\", \"gateway\": \"gw-a\", \"place\": 2, \"port\": 2, \"own\": "
         "\"10.1.7.1\", \"next\": \"2001:db8::2\"}",
         "gwport p: next: found one of the other, expected an address of the same family as own"},
        {"{\"kind\": \"gwport\", \"name\": \"p\", \"gateway\": \"gw-a\", \"place\": 2, \"port\": 2, \"own\": "
         "\"10.1.7.1\", \"next\": \"10.1.7.1\"}",
         "gwport p: next: found the same, expected another address than own"},
        {"{\"kind\": \"gwport\", \"name\": \"p\", \"gateway\": \"gw-a\", \"place\": 2, \"port\": 2, \"own\": "
         "\"10.1.7.1\", \"next\": \"10.1.7.2\", \"line\": \"line-5\", \"inside\": true}",
         "gwport p: inside: found true, expected false: instances are not behind a line"},
        {"{\"kind\": \"gwport\", \"name\": \"p\", \"gateway\": \"gw-a\", \"place\": 2, \"port\": 2, \"own\": "
         "\"10.1.7.1\", \"next\": \"10.1.7.2\", \"line\": \"line-1\"}",
         "gwport p: line: found \"line-1\", from room-a to edge-3, expected a line between the gateway's room and "
         "another"},
        {"{\"kind\": \"gwvip\", \"name\": \"v\", \"room\": \"room-a\", \"address\": \"198.51.100.31:80\"}",
         "gwvip vip-a: address: found \"198.51.100.31:80\", which gwvip v has, expected an address and port of its "
         "own"},
        {"{\"kind\": \"gwvip\", \"name\": \"v\", \"room\": \"room-a\", \"address\": \"198.51.100.32:80\", \"to\": "
         "\"room-a\"}",
         "gwvip v: to: found \"room-a\", which is its own, expected another room, or nothing"},
        {"{\"kind\": \"instance\", \"name\": \"round\", \"room\": \"room-a\", \"address\": \"198.51.100.41:80\"}",
         "instance round: address: found \"198.51.100.41:80\", which gwvip escape-a has, expected an address and port "
         "of "
         "its own"},
        {"{\"kind\": \"gwvip\", \"name\": \"v\", \"room\": \"room-a\", \"address\": \"198.51.100.32:80\", "
         "\"standby\": \"room-a\"}",
         "gwvip v: standby: found \"room-a\", which is its own, expected another room, or nothing"},
        {"{\"kind\": \"gwvip\", \"name\": \"v\", \"room\": \"room-a\", \"address\": \"198.51.100.32:80\", \"to\": "
         "\"room-b\", \"standby\": \"room-b\"}",
         "gwvip v: standby: found \"room-b\", expected nothing: no other room's lines lead where an escape does"},
        {"{\"kind\": \"gwvip\", \"name\": \"pop-a1\", \"room\": \"room-a\", \"address\": \"198.51.100.32:80\", "
         "\"to\": \"room-b\"}",
         "gwvip pop-a1: name: found \"pop-a1\", expected another name: an entrance of a room has it"},
        {"{\"kind\": \"gwvip\", \"name\": \"v\", \"room\": \"room-a\", \"address\": \"198.51.100.32:80\", \"path\": "
         "\"/x\"}",
         "gwvip v: path: found \"/x\", expected nothing: only check http asks for it"},
        {"{\"kind\": \"instance\", \"name\": \"j\", \"room\": \"room-b\", \"address\": \"10.1.0.1:80\"}",
         "instance j: address: found \"10.1.0.1:80\", which instance i-a has, expected an address and port of its own"},
    };
    for (size_t i = 0; i <= G_N_ELEMENTS(rows); i++) {
        sb_auto(inventory) inv = site();
        g_autoptr(GPtrArray) findings = finding_list_new();
        for (size_t k = 0; k < G_N_ELEMENTS(good); k++)
            put(inv, good[k]);
        if (i < G_N_ELEMENTS(rows))
            put(inv, rows[i][0]);
        inventory_validate(inv, findings);
        g_autofree char *text = findings->len > 0 ? finding_text(findings->pdata[0]) : NULL;
        ck_assert_msg(findings->len == (i < G_N_ELEMENTS(rows)), "row %zu: %u findings", i, findings->len);
        ck_assert_msg(text == NULL || g_str_has_suffix(text, rows[i][1]), "%s", text);
    }
}
END_TEST

START_TEST(a_variant_is_one_of_its_group)
{
    sb_auto(inventory) inv = site();
    g_autoptr(GPtrArray) findings = finding_list_new();
    put(inv, "{\"kind\": \"variant\", \"name\": \"v\", \"group\": \"core\", \"carrier\": \"carrier-1\"}");
    put(inv, "{\"kind\": \"variant\", \"name\": \"w\", \"group\": \"core\", \"carrier\": \"carrier-1\", \"region\": "
             "\"east\"}");
    put(inv, "{\"kind\": \"domain\", \"name\": \"v.example.test\", \"group\": \"core\", \"variant\": \"v\"}");
    inventory_validate(inv, findings);
    ck_assert_uint_eq(findings->len, 0);
    put(inv, "{\"kind\": \"variant\", \"name\": \"x\", \"group\": \"core\", \"carrier\": \"carrier-1\"}");
    put(inv, "{\"kind\": \"domain\", \"name\": \"w.example.test\", \"group\": \"manual\", \"variant\": \"w\"}");
    inventory_validate(inv, findings);
    ck_assert_uint_eq(findings->len, 2);
    g_autofree char *twice = finding_text(findings->pdata[0]), *stranger = finding_text(findings->pdata[1]);
    ck_assert_str_eq(twice, "variant x: carrier: found \"carrier-1\", which variant v has, expected a carrier and "
                            "region of its own within the group");
    ck_assert_str_eq(stranger, "domain w.example.test: variant: found \"w\" of group core, expected a variant of the "
                               "domain's group");
}
END_TEST

START_TEST(what_there_is_once_is_found_twice)
{
    static const char *const pairs[][3] = {
        {"{\"kind\": \"interface\", \"name\": \"i\", \"service\": \"home\", \"path\": \"/buy\"}",
         "{\"kind\": \"interface\", \"name\": \"k\", \"service\": \"home\", \"path\": \"/buy\"}",
         "interface k: path: found \"/buy\", which interface i has, expected a host, method and path of its own within "
         "the service"},
        {"{\"kind\": \"interface\", \"name\": \"i\", \"service\": \"home\", \"path\": \"/buy\", \"share\": 60}",
         "{\"kind\": \"interface\", \"name\": \"k\", \"service\": \"home\", \"path\": \"/sell\", \"share\": 41}",
         "interface k: share: found 41, which makes 101, expected at most 100 % for all interfaces of a service"},
        {"{\"kind\": \"pool\", \"name\": \"p\", \"service\": \"home\", \"room\": \"room-b\", \"capacity\": 100}",
         "{\"kind\": \"pool\", \"name\": \"q\", \"service\": \"home\", \"room\": \"room-b\", \"capacity\": 900}",
         "pool q: room: found \"room-b\", which pool p has, expected a service and room of its own"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(pairs); i++) {
        sb_auto(inventory) inv = site();
        g_autoptr(GPtrArray) findings = finding_list_new();
        put(inv, pairs[i][0]);
        inventory_validate(inv, findings);
        ck_assert_uint_eq(findings->len, 0);
        put(inv, pairs[i][1]);
        inventory_validate(inv, findings);
        ck_assert_uint_eq(findings->len, 1);
        g_autofree char *text = finding_text(findings->pdata[0]);
        ck_assert_str_eq(text, pairs[i][2]);
    }
}
END_TEST

START_TEST(a_request_is_of_the_interface_that_fits_best)
{
    static const char *const interfaces[] = {
        "{\"kind\": \"interface\", \"name\": \"a\", \"service\": \"home\", \"path\": \"/a\"}",
        "{\"kind\": \"interface\", \"name\": \"a-get\", \"service\": \"home\", \"path\": \"/a\", \"method\": \"get\"}",
        ("{\"kind\": \"interface\", \"name\": \"a-host\", \"service\": \"home\", \"path\": \"/a\", \"host\": "
         "\"search.example.test\"}"),
        "{\"kind\": \"interface\", \"name\": \"b\", \"service\": \"home\", \"path\": \"/a/b\"}",
        "{\"kind\": \"interface\", \"name\": \"other\", \"service\": \"creator\", \"path\": \"/a/b/c\"}",
    };
    static const struct {
        const char *method, *host, *path, *name; /* name NULL: of none */
    } rows[] = {
        {"post", "home.example.test", "/a", "a"},       {"get", "home.example.test", "/a/x", "a-get"},
        {"get", "search.example.test", "/a", "a-host"}, {"put", "search.example.test", "/a/", "a-host"},
        {"get", "search.example.test", "/a/b", "b"},    {"get", "home.example.test", "/a/b/c", "b"},
        {"get", "search.example.test", "/ab", NULL},    {"get", "search.example.test", "/a/bc", "a-host"},
        {"get", "search.example.test", "/", NULL},
    };
    sb_auto(inventory) inv = site();
    for (size_t i = 0; i < G_N_ELEMENTS(interfaces); i++)
        put(inv, interfaces[i]);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const struct interface *found = interface_of(inv, "home", rows[i].host, rows[i].method, rows[i].path);
        ck_assert_pstr_eq(found != NULL ? found->o.name : NULL, rows[i].name);
    }
}
END_TEST

START_TEST(a_reference_names_one_object)
{
    sb_auto(inventory) inv = site();
    g_autoptr(GPtrArray) findings = finding_list_new();
    put(inv, "{\"kind\": \"room\", \"name\": \"edge-4\", \"zone\": \"zone-1\"}");
    inventory_validate(inv, findings);
    ck_assert_uint_eq(findings->len, 2);
    g_autofree char *text = finding_text(findings->pdata[0]);
    ck_assert_msg(g_str_has_suffix(
                      text, "line line-3: to: found \"edge-4\", which is the name of a room and of a edge, expected a "
                            "name that one object has"),
                  "%s", text);
}
END_TEST

START_TEST(who_uses_an_object_is_known)
{
    sb_auto(inventory) inv = site();
    put(inv, "{\"kind\": \"component\", \"name\": \"db\", \"type\": \"mysql\", \"rooms\": [\"room-a\", \"room-b\"], "
             "\"primary\": \"room-a\"}");
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GArray) users = inventory_users(inv, OBJECT_room, "room-b");
    for (guint i = 0; i < users->len; i++) {
        const struct inventory_use *use = &g_array_index(users, struct inventory_use, i);
        g_string_append_printf(text, "%s %s %s\n", object_class(use->by->kind)->name, use->by->name, use->field->name);
    }
    ck_assert_str_eq(text->str, "pop pop-b1 room\npop pop-b2 room\nline line-3 from\nline line-2 to\nline line-5 to\n"
                                "component db rooms\n");
}
END_TEST

START_TEST(names_go_to_the_nearest_zone)
{
    sb_auto(inventory) inv = site();
    g_autoptr(GPtrArray) findings = finding_list_new();
    put(inv, "{\"kind\": \"dnszone\", \"name\": \"sub.example.test\"}");
    put(inv, "{\"kind\": \"domain\", \"name\": \"www.sub.example.test\", \"group\": \"core\"}");
    inventory_validate(inv, findings);
    ck_assert_uint_eq(findings->len, 1);
    g_autofree char *text = finding_text(findings->pdata[0]);
    ck_assert_str_eq(text, "domain www.sub.example.test: name: found \"www.sub.example.test\", which is in zone "
                           "sub.example.test, expected a name below example.test, the zone of group core");
}
END_TEST

START_TEST(circles_of_secondaries_are_found)
{
    sb_auto(inventory) inv = site();
    g_autoptr(GPtrArray) findings = finding_list_new();
    put(inv, "{\"kind\": \"nameserver\", \"name\": \"x\", \"zone\": \"example.test\", \"role\": \"secondary\", "
             "\"primary\": \"y\", \"address\": \"192.0.2.8:53\", \"key\": \"k\"}");
    put(inv, "{\"kind\": \"nameserver\", \"name\": \"y\", \"zone\": \"example.test\", \"role\": \"secondary\", "
             "\"primary\": \"x\", \"address\": \"192.0.2.9:53\", \"key\": \"k\"}");
    inventory_validate(inv, findings);
    ck_assert_uint_eq(findings->len, 2);
}
END_TEST

static void *list_from_thread(void *inv)
{
    return (void *)inventory_list(inv, OBJECT_domain)->pdata[0];
}

START_TEST(a_hundred_thousand_domains_are_no_work)
{
    sb_auto(inventory) inv = site();
    gint64 start = g_get_monotonic_time();
    for (unsigned i = 0; i < MANY; i++) {
        struct domain *domain = g_new0(struct domain, 1);
        domain->o.kind = OBJECT_domain;
        domain->o.name = g_strdup_printf("d%u.example.test", i * 7919 % MANY); /* in no order */
        domain->group = g_strdup("core");
        inventory_put(inv, &domain->o);
    }
    /* The first list is made by whoever comes first: threads may meet there. */
    pthread_t threads[4];
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, list_from_thread, inv), 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        void *first;
        pthread_join(threads[i], &first);
        ck_assert_str_eq(((struct domain *)first)->o.name, "creator-line.example.test");
    }
    g_autoptr(GPtrArray) findings = finding_list_new();
    inventory_validate(inv, findings);
    ck_assert_uint_eq(findings->len, 0);
    sb_auto(inventory) copy = inventory_copy(inv);
    g_autoptr(GArray) changes = inventory_diff(inv, copy);
    ck_assert_uint_eq(changes->len, 0);
    ck_assert_uint_eq(inventory_list(copy, OBJECT_domain)->len, MANY + 7);
    printf("put, sort, validate, copy and compare %d domains: %.0f ms\n", MANY,
           (double)(g_get_monotonic_time() - start) / 1000);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, lists_are_sorted_and_names_found);
    tcase_add_test(tcase, loops_can_be_left);
    tcase_add_test(tcase, copies_share_objects_and_part_ways);
    tcase_add_test(tcase, the_site_comes_back_equal_from_yaml_and_json);
    tcase_add_test(tcase, differences_are_told_in_order);
    tcase_add_test(tcase, a_name_given_twice_is_found);
    tcase_add_test(tcase, what_no_object_can_know_is_found);
    tcase_add_test(tcase, what_gateways_need_is_found);
    tcase_add_test(tcase, a_variant_is_one_of_its_group);
    tcase_add_test(tcase, what_there_is_once_is_found_twice);
    tcase_add_test(tcase, a_request_is_of_the_interface_that_fits_best);
    tcase_add_test(tcase, a_reference_names_one_object);
    tcase_add_test(tcase, who_uses_an_object_is_known);
    tcase_add_test(tcase, names_go_to_the_nearest_zone);
    tcase_add_test(tcase, circles_of_secondaries_are_found);
    tcase_add_test(tcase, a_hundred_thousand_domains_are_no_work);
}

int main(void)
{
    return unit_run("inventory", add);
}
