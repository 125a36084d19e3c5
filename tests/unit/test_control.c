#include "schema/control.h"

#include "core/error.h"
#include "tests/unit/unit.h"
#include <string.h>

static struct inventory *site(void)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    json_t *json =
        json_loads("{\"objects\": [{\"kind\": \"zone\", \"name\": \"z\"},"
                   "{\"kind\": \"room\", \"name\": \"room-a\", \"zone\": \"z\"},"
                   "{\"kind\": \"room\", \"name\": \"room-b\", \"zone\": \"z\"},"
                   "{\"kind\": \"room\", \"name\": \"room-c\", \"zone\": \"z\"},"
                   "{\"kind\": \"component\", \"name\": \"orders\", \"type\": \"mysql\", \"rooms\": [\"room-a\", "
                   "\"room-b\"], \"primary\": \"room-a\"},"
                   "{\"kind\": \"component\", \"name\": \"views\", \"type\": \"topic\", \"rooms\": [\"room-a\"]},"
                   "{\"kind\": \"service\", \"name\": \"many\", \"active\": \"multi\"},"
                   "{\"kind\": \"service\", \"name\": \"kept\", \"active\": \"multi\", \"last_good\": true},"
                   "{\"kind\": \"interface\", \"name\": \"old\", \"service\": \"kept\", \"path\": \"/old\"},"
                   "{\"kind\": \"interface\", \"name\": \"buy\", \"service\": \"one\", \"path\": \"/buy\"},"
                   "{\"kind\": \"service\", \"name\": \"one\", \"active\": \"single\", \"home\": \"room-a\"}]}",
                   0, NULL);
    struct inventory *inv = inventory_from_json(json, findings);
    json_decref(json);
    ck_assert_ptr_nonnull(inv);
    return inv;
}

static void put(struct controls *controls, enum lever lever, const char *object, const char *value, uint64_t revision)
{
    controls_put(controls, &(struct control){lever, (char *)object, (char *)value, revision, (char *)"ann", NULL});
}

START_TEST(levers_are_found_by_name)
{
    ck_assert_int_eq(lever_class_find("room.compute")->lever, LEVER_ROOM_COMPUTE);
    ck_assert_int_eq(lever_class_find("split")->kind, OBJECT_service);
    ck_assert(lever_class_find("split")->type == LEVER_TYPE_SPLIT && lever_class_find("pop")->type == LEVER_TYPE_ENUM);
    ck_assert_ptr_null(lever_class_find("room"));
    for (unsigned i = 0; i < LEVERS; i++)
        ck_assert_ptr_eq(lever_class_find(lever_class(i)->name), lever_class(i));
}
END_TEST

START_TEST(a_set_keeps_the_last_value)
{
    sb_auto(controls) controls = controls_new();
    ck_assert_str_eq(controls_value(controls, LEVER_ROOM_INGRESS, "room-a"), "default");
    ck_assert_ptr_null(controls_get(controls, LEVER_ROOM_INGRESS, "room-a"));
    put(controls, LEVER_ROOM_INGRESS, "room-b", "closed", 1);
    put(controls, LEVER_ROOM_INGRESS, "room-a", "open", 2);
    put(controls, LEVER_ROOM_INGRESS, "room-a", "closed", 3);
    ck_assert_str_eq(controls_value(controls, LEVER_ROOM_INGRESS, "room-a"), "closed");
    ck_assert_uint_eq(controls_get(controls, LEVER_ROOM_INGRESS, "room-a")->revision, 3);
    ck_assert_str_eq(controls_value(controls, LEVER_ROOM_COMPUTE, "room-a"), "default");
}
END_TEST

START_TEST(copies_part_ways_and_lists_are_sorted)
{
    sb_auto(controls) controls = controls_new();
    put(controls, LEVER_POP, "p", "out", 1);
    put(controls, LEVER_ROOM_INGRESS, "room-b", "closed", 1);
    sb_auto(controls) copy = controls_copy(controls);
    put(copy, LEVER_ROOM_INGRESS, "room-a", "closed", 2);
    g_autoptr(GPtrArray) list = controls_list(copy), old = controls_list(controls);
    ck_assert_uint_eq(old->len, 2);
    ck_assert_uint_eq(list->len, 3);
    ck_assert_str_eq(((struct control *)list->pdata[0])->object, "room-a");
    ck_assert_str_eq(((struct control *)list->pdata[1])->object, "room-b");
    ck_assert_int_eq(((struct control *)list->pdata[2])->lever, LEVER_POP);
}
END_TEST

START_TEST(values_are_validated_and_made_canonical)
{
    static const struct {
        enum lever lever;
        const char *object, *value, *canonical, *message;
        enum sb_error code;
    } rows[] = {
        {LEVER_ROOM_INGRESS, "room-a", "closed", "closed", NULL, 0},
        {LEVER_ROOM_INGRESS, "room-a", "default", "default", NULL, 0},
        {LEVER_GROUP_EDGE_CLASS, "g", "public", NULL,
         "group.edge_class: found \"g\", expected the name of a group that exists", SB_ERROR_NOT_FOUND},
        {LEVER_ROOM_INGRESS, "room-a", "shut", NULL,
         "room.ingress/room-a: found \"shut\", expected default or one of open, closed", SB_ERROR_INVALID},
        {LEVER_ROOM_INGRESS, "room-a", "open|closed", NULL,
         "room.ingress/room-a: found \"open|closed\", expected default or one of open, closed", SB_ERROR_INVALID},
        {LEVER_SPLIT, "many", "default", "default", NULL, 0},
        {LEVER_SPLIT, "many", "0-9=room-a,10-99=room-a,100-999=room-b", "0-99=room-a,100-999=room-b", NULL, 0},
        {LEVER_SPLIT, "many", "0-999=room-d", NULL,
         "split/many: found room \"room-d\", expected the name of a room that exists", SB_ERROR_NOT_FOUND},
        {LEVER_SPLIT, "many", "0-99=room-a", NULL,
         "split/many: split: found \"0-99=room-a\", expected ranges up to slot 999, 100-... is missing",
         SB_ERROR_INVALID},
        {LEVER_SPLIT, "one", "0-999=room-a", NULL, "split/one: found a single service, expected a multi service",
         SB_ERROR_INVALID},
        {LEVER_SPLIT, "one", "default", "default", NULL, 0},
        {LEVER_SPLIT_PIN, "many", "0-9=room-b,10-49=room-b,100-100=room-a@2026-11-22T08:00:00Z",
         "0-49=room-b,100-100=room-a@2026-11-22T08:00:00Z", NULL, 0},
        {LEVER_SPLIT_PIN, "many", "0-9=room-d@2026-11-22T08:00:00Z", NULL,
         "split.pin/many: found room \"room-d\", expected the name of a room that exists", SB_ERROR_NOT_FOUND},
        {LEVER_SPLIT_PIN, "many", "0-9=room-b", NULL,
         "split.pin/many: found \"0-9=room-b\", expected ranges of slots and an end as " SPLIT_PINS_EXAMPLE,
         SB_ERROR_INVALID},
        {LEVER_SPLIT_PIN, "many", "10-19=room-b,0-9=room-b@2026-11-22T08:00:00Z", NULL,
         "split.pin/many: found \"10-19=room-b,0-9=room-b@2026-11-22T08:00:00Z\", expected ranges of slots and an end "
         "as " SPLIT_PINS_EXAMPLE,
         SB_ERROR_INVALID},
        {LEVER_SPLIT_PIN, "one", "0-9=room-b@2026-11-22T08:00:00Z", NULL,
         "split.pin/one: found a single service, expected a multi service", SB_ERROR_INVALID},
        {LEVER_SERVICE_LIMIT, "one", "1000000", "1000000", NULL, 0},
        {LEVER_SERVICE_LIMIT, "one", "default", "default", NULL, 0},
        {LEVER_SERVICE_LIMIT, "one", "0", NULL,
         "service.limit/one: found \"0\", expected default or requests per second, 1 to 1000000", SB_ERROR_INVALID},
        {LEVER_ROOM_LIMIT, "room-a", "1000001", NULL,
         "room.limit/room-a: found \"1000001\", expected default or requests per second, 1 to 1000000",
         SB_ERROR_INVALID},
        {LEVER_ROOM_LIMIT, "room-a", "9;quit", NULL,
         "room.limit/room-a: found \"9;quit\", expected default or requests per second, 1 to 1000000",
         SB_ERROR_INVALID},
        {LEVER_COMPONENT_PRIMARY, "orders", "none", "none", NULL, 0},
        {LEVER_COMPONENT_PRIMARY, "orders", "room-b", "room-b", NULL, 0},
        {LEVER_COMPONENT_PRIMARY, "orders", "room-c", NULL,
         "component.primary/orders: found \"room-c\", expected none or one of its rooms: room-a, room-b",
         SB_ERROR_INVALID},
        {LEVER_COMPONENT_PRIMARY, "orders", "Room B", NULL,
         "component.primary/orders: found \"Room B\", expected default, none or the name of a room", SB_ERROR_INVALID},
        {LEVER_COMPONENT_PRIMARY, "views", "room-a", NULL,
         "component.primary/views: found a component without a primary, expected one: each room takes its own writes",
         SB_ERROR_INVALID},
        {LEVER_COMPONENT_CONSUMPTION, "views", "none", "none", NULL, 0},
        {LEVER_COMPONENT_CONSUMPTION, "orders", "none", NULL,
         "component.consumption/orders: found no topic, expected one: others are not consumed", SB_ERROR_INVALID},
        {LEVER_SERVICE_DEGRADE, "one", "static", "static", NULL, 0},
        {LEVER_SERVICE_DEGRADE, "one", "stale", NULL,
         "service.degrade/one: found \"stale\", expected default, off or static: the service does not say last_good, "
         "so "
         "edges keep no answers of it",
         SB_ERROR_INVALID},
        {LEVER_INTERFACE_DEGRADE, "buy", "off", "off", NULL, 0},
        {LEVER_INTERFACE_DEGRADE, "old", "stale", "stale", NULL, 0},
        {LEVER_INTERFACE_DEGRADE, "buy", "stale", NULL,
         "interface.degrade/buy: found \"stale\", expected default, off or static: its service does not say last_good, "
         "so edges keep no answers of it",
         SB_ERROR_INVALID},
        {LEVER_INTERFACE_DEGRADE, "one", "static", NULL,
         "interface.degrade: found \"one\", expected the name of a interface that exists", SB_ERROR_NOT_FOUND},
        {LEVER_INTERFACE_LIMIT, "buy", "50", "50", NULL, 0},
        {LEVER_INTERFACE_LIMIT, "buy", "5/s", NULL,
         "interface.limit/buy: found \"5/s\", expected default or requests per second, 1 to 1000000", SB_ERROR_INVALID},
    };
    sb_auto(inventory) inv = site();
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *canonical = NULL;
        g_autoptr(GError) error = NULL;
        bool good = control_validate(inv, rows[i].lever, rows[i].object, rows[i].value, &canonical, &error);
        ck_assert_pstr_eq(error != NULL ? error->message : NULL, rows[i].message);
        ck_assert(good == (rows[i].message == NULL));
        ck_assert_pstr_eq(canonical, rows[i].canonical);
        ck_assert(good || g_error_matches(error, SB_ERROR, (gint)rows[i].code));
    }
}
END_TEST

START_TEST(json_and_control_are_the_same)
{
    struct control given = {LEVER_POP, (char *)"pop-a1", (char *)"out", 9, (char *)"ann", (char *)"ex-1"}, read;
    json_t *json = control_to_json(&given);
    ck_assert(control_from_json(json, &read, NULL));
    json_t *again = control_to_json(&read);
    ck_assert(json_equal(json, again));
    control_clear(&read);
    json_decref(json);
    json_decref(again);
}
END_TEST

START_TEST(json_that_is_no_control_is_refused)
{
    static const char *const rows[][2] = {
        {"[]", "control: control: found nothing, expected the name of a lever"},
        {"{\"control\": \"door\"}", "control: control: found \"door\", expected the name of a lever"},
        {"{\"control\": \"pop\"}", "control: object: found nothing, expected text"},
        {"{\"control\": \"pop\", \"object\": \"p\", \"value\": 1}", "control: value: found 1, expected text"},
        {"{\"control\": \"pop\", \"object\": \"p\", \"value\": \"in\", \"revision\": -1}",
         "control: revision: found -1, expected a generation"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct control control;
        g_autoptr(GError) error = NULL;
        json_t *json = json_loads(rows[i][0], 0, NULL);
        ck_assert(!control_from_json(json, &control, &error));
        ck_assert_str_eq(error->message, rows[i][1]);
        json_decref(json);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, levers_are_found_by_name);
    tcase_add_test(tcase, a_set_keeps_the_last_value);
    tcase_add_test(tcase, copies_part_ways_and_lists_are_sorted);
    tcase_add_test(tcase, values_are_validated_and_made_canonical);
    tcase_add_test(tcase, json_and_control_are_the_same);
    tcase_add_test(tcase, json_that_is_no_control_is_refused);
}

int main(void)
{
    return unit_run("control", add);
}
