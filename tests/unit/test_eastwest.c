#include "tests/unit/site.h"
#include "tests/unit/unit.h"

#include <string.h>

#include "schema/weights.h"
#include "server/interlocking/eastwest.h"

/* "zone-1:90(room-a) zone-2:10(room-b,room-c)" */
static char *called(const struct world *w, const char *name, const char *caller, GPtrArray *findings)
{
    const struct interface *interface = INVENTORY_GET(w->inventory, interface, name);
    const struct service *service = INVENTORY_GET(w->inventory, service, interface != NULL ? interface->service : name);
    g_autoptr(GArray) zones = eastwest_zones(w, service, interface, caller, findings);
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < zones->len; i++) {
        const struct called_zone *zone = &g_array_index(zones, struct called_zone, i);
        g_string_append_printf(text, "%s%s:%u(", i > 0 ? " " : "", zone->zone, zone->weight);
        for (guint k = 0; k < zone->rooms->len; k++)
            g_string_append_printf(text, "%s%s", k > 0 ? "," : "", (const char *)zone->rooms->pdata[k]);
        g_string_append_c(text, ')');
    }
    return g_string_free(text, FALSE);
}

static void add_object(struct inventory *inv, json_t *json)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    struct object *object = object_from_json(json, findings);
    ck_assert_msg(object != NULL, "%s", findings->len > 0 ? finding_text(findings->pdata[0]) : "");
    inventory_put(inv, object);
    json_decref(json);
}

/* three-rooms with room-c in zone-2, so that zone-3 has no room at all, and a registry. */
static struct inventory *inventory(void)
{
    struct inventory *inv = site_inventory("three-rooms");
    json_t *room = object_to_json(inventory_get(inv, OBJECT_room, "room-c"));
    json_object_set_new(room, "zone", json_string("zone-2"));
    add_object(inv, room);
    add_object(inv, json_pack("{s:s, s:s}", "kind", "zone", "name", "zone-3"));
    add_object(inv, json_pack("{s:s, s:s, s:s}", "kind", "registry", "name", "disco", "address", "192.0.2.60:2379"));
    return inv;
}

#define CHECK(w, service, caller, expected)                                                                            \
    do {                                                                                                               \
        g_autofree char *found_text = called(w, service, caller, NULL);                                                \
        ck_assert_str_eq(found_text, expected);                                                                        \
    } while (0)

START_TEST(without_a_lever_local_is_first)
{
    sb_auto(inventory) inv = inventory();
    sb_auto(world) w = SITE_WORLD(inv, NULL);
    CHECK(w, "home", "zone-1", "zone-1:1(room-a)");
    CHECK(w, "home", "zone-2", "zone-2:1(room-b,room-c)");
    CHECK(w, "home", "zone-3", "zone-1:1(room-a)"); /* no room there: the next zone, not everywhere */
    CHECK(w, "creator", "zone-1", "zone-2:1(room-b)");
    CHECK(w, "creator", "zone-2", "zone-2:1(room-b)");
    sb_auto(world) closed = SITE_WORLD(inv, "room.compute/room-a=quarantined", "room.compute/room-c=maintenance");
    CHECK(closed, "home", "zone-1", "zone-2:1(room-b)");
    CHECK(closed, "home", "zone-2", "zone-2:1(room-b)");
    sb_auto(world) ingress = SITE_WORLD(inv, "room.ingress/room-a=closed"); /* its entrances, not its instances */
    CHECK(ingress, "home", "zone-1", "zone-1:1(room-a)");
    sb_auto(world) homeless = SITE_WORLD(inv, "room.compute/room-b=maintenance");
    CHECK(homeless, "creator", "zone-1", ""); /* nobody, not everybody */
}
END_TEST

START_TEST(weights_are_as_the_lever_says)
{
    sb_auto(inventory) inv = inventory();
    sb_auto(world) w = SITE_WORLD(inv, "service.eastwest/home=zone-1=zone-2:10+zone-1:90,*=zone-2:1");
    CHECK(w, "home", "zone-1", "zone-1:90(room-a) zone-2:10(room-b,room-c)");
    CHECK(w, "home", "zone-3", "zone-2:1(room-b,room-c)");
    CHECK(w, "playback", "zone-1", "zone-1:1(room-a)");
    sb_auto(world) drained = SITE_WORLD(inv, "service.eastwest/home=zone-1=zone-1:0+zone-2:1");
    CHECK(drained, "home", "zone-1", "zone-1:0(room-a) zone-2:1(room-b,room-c)");
    CHECK(drained, "home", "zone-2", "zone-2:1(room-b,room-c)");
}
END_TEST

START_TEST(a_zone_without_instances_gives_its_share_to_the_others)
{
    sb_auto(inventory) inv = inventory();
    g_autoptr(GPtrArray) findings = finding_list_new();
    sb_auto(world) w = SITE_WORLD(inv, "service.eastwest/home=zone-1=zone-1:1+zone-3:99");
    g_autofree char *text = called(w, "home", "zone-1", findings);
    ck_assert_str_eq(text, "zone-1:1(room-a)");
    ck_assert_uint_eq(findings->len, 1);
    g_autofree char *finding = finding_text(findings->pdata[0]);
    ck_assert_msg(strstr(finding, "found weight 99 of zone-3 for callers in zone-1, expected a zone with an open room"),
                  "%s", finding);
    /* None of the row is left: the next zone, but never a drained one. */
    sb_auto(world) empty = SITE_WORLD(inv, "service.eastwest/home=zone-1=zone-3:1");
    CHECK(empty, "home", "zone-1", "zone-1:1(room-a)");
    sb_auto(world) elsewhere = SITE_WORLD(inv, "service.eastwest/home=zone-1=zone-3:1+zone-1:0");
    CHECK(elsewhere, "home", "zone-1", "zone-1:0(room-a) zone-2:1(room-b,room-c)");
    sb_auto(world) nobody = SITE_WORLD(inv, "service.eastwest/home=zone-1=zone-3:1+zone-1:0+zone-2:0");
    CHECK(nobody, "home", "zone-1", "zone-1:0(room-a) zone-2:0(room-b,room-c)");
    /* A lever that outlives its zone. */
    sb_auto(world) gone = SITE_WORLD(inv, "!service.eastwest/home=zone-1=zone-9:1+zone-2:2");
    CHECK(gone, "home", "zone-1", "zone-2:2(room-b,room-c)");
}
END_TEST

static json_t *interface_json(const char *name, const char *service, const char *active, const char *home)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s*}", "kind", "interface", "name", name, "service", service, "path",
                     "/x", "active", active, "home", home);
}

START_TEST(an_interface_goes_its_own_way_or_its_services)
{
    sb_auto(inventory) inv = inventory();
    add_object(inv, interface_json("home-read", "home", "default", NULL));
    add_object(inv, interface_json("home-write", "home", "single", "room-c"));
    add_object(inv, interface_json("creator-read", "creator", "multi", NULL));
    sb_auto(world) w = SITE_WORLD(inv, "service.eastwest/home=zone-1=zone-2:1");
    CHECK(w, "home-read", "zone-1", "zone-2:1(room-b,room-c)");
    CHECK(w, "home-write", "zone-1", "zone-2:1(room-c)"); /* whatever the lever says */
    CHECK(w, "creator-read", "zone-1", "zone-1:1(room-a)");
    sb_auto(world) own = SITE_WORLD(inv, "service.eastwest/home=zone-1=zone-2:1",
                                    "interface.eastwest/home-read=zone-1=zone-1:3+zone-2:1");
    CHECK(own, "home-read", "zone-1", "zone-1:3(room-a) zone-2:1(room-b,room-c)");
    CHECK(own, "home", "zone-1", "zone-2:1(room-b,room-c)");
    g_autoptr(GError) error = NULL;
    g_autofree char *canonical = NULL;
    ck_assert(!control_validate(inv, LEVER_INTERFACE_EASTWEST, "home-write", "*=zone-1:1", &canonical, &error));
    ck_assert_str_eq(error->message,
                     "interface.eastwest/home-write: found a single interface, expected a multi interface");
    sb_auto(resolved) resolved = resolve(own, NULL);
    g_autofree char *text =
        g_strndup(g_bytes_get_data(resolved->endpoints, NULL), g_bytes_get_size(resolved->endpoints));
    ck_assert(strstr(text, "interface/home-write/zone-3 {\"service\":\"home\",\"interface\":\"home-write\","
                           "\"caller\":\"zone-3\",\"destinations\":[{\"zone\":\"zone-2\"") != NULL);
}
END_TEST

START_TEST(where_pools_are_said_only_they_are_called)
{
    sb_auto(inventory) inv = inventory();
    add_object(inv, json_pack("{s:s, s:s, s:s, s:s, s:i}", "kind", "pool", "name", "home-c", "service", "home", "room",
                              "room-c", "capacity", 100));
    sb_auto(world) w = SITE_WORLD(inv, NULL);
    CHECK(w, "home", "zone-1", "zone-2:1(room-c)");
    CHECK(w, "home", "zone-2", "zone-2:1(room-c)");
    CHECK(w, "playback", "zone-1", "zone-1:1(room-a)");
}
END_TEST

START_TEST(a_lever_is_refused_with_the_reason)
{
    static const char *const rows[][3] = {
        {"home", "zone-1=zone-1:0", "weights: found \"zone-1:0\", expected a weight above 0: somebody must be called"},
        {"home", "zone-1=zone-1:1001", "expected ZONE:WEIGHT, the weight from 0 to 1000"},
        {"home", "zone-1=zone-1:-1", "expected ZONE:WEIGHT"},
        {"home", "zone-1=zone-1:01", "expected ZONE:WEIGHT"},
        {"home", "zone-1=zone-1", "expected ZONE:WEIGHT"},
        {"home", "zone-1=zone-1:1+zone-1:2", "expected each zone once in a row"},
        {"home", "zone-1=zone-1:1,zone-1=zone-2:1", "expected one row for each caller"},
        {"home", "zone-1", "expected rows as zone-1=zone-1:90+zone-2:10,*=zone-2:1"},
        {"home", "", "expected 1 to 17 rows"},
        {"home", "zone-1=zone-1:1,", "expected rows as"},
        {"home", "zone-1=zone-9:1", "found zone \"zone-9\", expected the name of a zone that exists"},
        {"home", "zone-9=zone-1:1", "found zone \"zone-9\", expected the name of a zone that exists"},
        {"home", "open", "expected rows as"},
        {"creator", "zone-1=zone-1:1", "found a single service, expected a multi service"},
    };
    sb_auto(inventory) inv = inventory();
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *canonical = NULL;
        ck_assert(!control_validate(inv, LEVER_SERVICE_EASTWEST, rows[i][0], rows[i][1], &canonical, &error));
        ck_assert_msg(strstr(error->message, rows[i][2]) != NULL, "%s: %s", rows[i][1], error->message);
        ck_assert(g_str_has_prefix(error->message, "service.eastwest/"));
    }
    g_autofree char *canonical = NULL;
    ck_assert(
        control_validate(inv, LEVER_SERVICE_EASTWEST, "home", "zone-2=zone-2:0+zone-1:7,*=zone-1:1", &canonical, NULL));
    ck_assert_str_eq(canonical, "*=zone-1:1,zone-2=zone-1:7+zone-2:0");
}
END_TEST

START_TEST(there_are_as_many_rows_as_is_said)
{
    GString *text = g_string_new("*=zone-1:1");
    for (unsigned rows = 1; rows < WEIGHTS_ROWS_MAX; rows++)
        g_string_append_printf(text, ",zone-%u=zone-1:1", rows);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) most = weights_parse(text->str, &error);
    ck_assert_msg(most != NULL, "%s", error != NULL ? error->message : "");
    ck_assert_uint_eq(most->len, WEIGHTS_ROWS_MAX);
    g_string_append(text, ",one-more=zone-1:1");
    ck_assert_ptr_null(weights_parse(text->str, &error));
    ck_assert_msg(strstr(error->message, "expected 1 to " G_STRINGIFY(WEIGHTS_ROWS_MAX) " rows") != NULL, "%s",
                  error->message);
    g_string_free(text, TRUE);
}
END_TEST

START_TEST(endpoints_are_lines_and_a_change_of_them_is_counted)
{
    sb_auto(inventory) inv = inventory();
    sb_auto(inventory) without = site_inventory("three-rooms");
    sb_auto(world) steady = SITE_WORLD(inv, NULL);
    sb_auto(world) none = SITE_WORLD(without, NULL);
    sb_auto(world) moved = SITE_WORLD(inv, "service.eastwest/home=zone-1=zone-1:0+zone-2:1");
    sb_auto(resolved) a = resolve(steady, NULL);
    sb_auto(resolved) b = resolve(moved, a);
    sb_auto(resolved) c = resolve(none, NULL);
    ck_assert_uint_eq(g_bytes_get_size(c->endpoints), 0);
    g_autofree char *text = g_strndup(g_bytes_get_data(b->endpoints, NULL), g_bytes_get_size(b->endpoints));
    ck_assert(strstr(text, "service/home/zone-1 {\"service\":\"home\",\"caller\":\"zone-1\",\"destinations\":["
                           "{\"zone\":\"zone-1\",\"weight\":0,\"rooms\":[\"room-a\"]},"
                           "{\"zone\":\"zone-2\",\"weight\":1,\"rooms\":[\"room-b\",\"room-c\"]}]}\n") != NULL);
    ck_assert_uint_eq(resolved_compare(a, b).endpoints, 1);
    ck_assert_uint_eq(resolved_compare(a, a).endpoints, 0);
    ck_assert_uint_eq(resolved_compare(b, a).entries[EDGE_PUBLIC], 0);
}
END_TEST

START_TEST(components_say_where_their_primary_is)
{
    sb_auto(inventory) inv = inventory();
    add_object(inv, json_pack("{s:s, s:s, s:s, s:[s, s], s:s}", "kind", "component", "name", "orders", "type", "mysql",
                              "rooms", "room-a", "room-b", "primary", "room-a"));
    static const struct {
        const char *lever, *primary;
    } rows[] = {{NULL, "\"room-a\""},
                {"component.primary/orders=none", "\"none\""},
                {"component.primary/orders=room-b", "\"room-b\""},
                {"!component.primary/orders=room-c", "\"room-a\""}}; /* it runs there no more */
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        sb_auto(world) w = SITE_WORLD(inv, rows[i].lever);
        sb_auto(resolved) r = resolve(w, NULL);
        g_autofree char *text = g_strndup(g_bytes_get_data(r->endpoints, NULL), g_bytes_get_size(r->endpoints));
        g_autofree char *line =
            g_strdup_printf("component/orders {\"component\":\"orders\",\"primary\":%s,\"consumption\":\"none\","
                            "\"rooms\":[\"room-a\",\"room-b\"]}\n",
                            rows[i].primary);
        ck_assert_msg(strstr(text, line) != NULL, "found %s, expected %s", text, line);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, without_a_lever_local_is_first);
    tcase_add_test(tcase, weights_are_as_the_lever_says);
    tcase_add_test(tcase, a_zone_without_instances_gives_its_share_to_the_others);
    tcase_add_test(tcase, an_interface_goes_its_own_way_or_its_services);
    tcase_add_test(tcase, where_pools_are_said_only_they_are_called);
    tcase_add_test(tcase, a_lever_is_refused_with_the_reason);
    tcase_add_test(tcase, there_are_as_many_rows_as_is_said);
    tcase_add_test(tcase, components_say_where_their_primary_is);
    tcase_add_test(tcase, endpoints_are_lines_and_a_change_of_them_is_counted);
}

int main(void)
{
    return unit_run("eastwest", add);
}
