#include "tests/unit/site.h"
#include "tests/unit/unit.h"

#include <string.h>

static char *dump_of(struct inventory *inv, const char *const *levers)
{
    sb_auto(world) world = site_world(inv, levers);
    sb_auto(resolved) resolved = resolve(world, NULL);
    return site_dump(resolved);
}

static void golden(const char *site, const char *name, const char *const *levers)
{
    sb_auto(inventory) inv = site_inventory(site);
    g_autofree char *file = g_strdup_printf("%s/%s.txt", site, name);
    g_autofree char *text = dump_of(inv, levers);
    golden_check(file, text);
}
#define GOLDEN(site, name, ...) golden(site, name, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(golden_tables)
{
    GOLDEN("two-rooms", "tables-steady", NULL);
    GOLDEN("two-rooms", "tables-isolated", "room.ingress/room-a=closed",
           "group.edge_class/creator=dedicated by bob in x-1", "group.edge_class/creator-line=dedicated by bob in x-1");
    GOLDEN("two-rooms", "tables-drained", "room.compute/room-a=maintenance");
    GOLDEN("three-rooms", "tables-steady", NULL);
    GOLDEN("three-rooms", "tables-many", "split/home=0-99=room-c,100-999=room-b", "pop/pop-c1=out", "edge/edge-3=out",
           "service.auto_dr/home=on", "room.ingress/room-b=closed");
    GOLDEN("three-rooms", "tables-variants", "variant.edge_class/core-carrier-1=dedicated by bob in x-1",
           "variant.edge_class/core-carrier-2=dedicated by bob in x-1");
}
END_TEST

START_TEST(order_of_input_does_not_matter)
{
    sb_auto(inventory) inv = site_inventory("three-rooms");
    const char *const levers[] = {"room.ingress/room-a=closed", "edge/edge-1=out", NULL};
    g_autofree char *expected = dump_of(inv, levers);
    for (unsigned seed = 0; seed < 50; seed++) {
        sb_auto(inventory) shuffled = site_shuffled(inv, seed);
        g_autofree char *text = dump_of(shuffled, levers);
        ck_assert_str_eq(text, expected);
    }
}
END_TEST

/* A lever at random, legal or not wise: every choice of every lever on every object. */
static char *random_lever(GRand *rand, const struct inventory *inv)
{
    enum lever lever = (enum lever)g_rand_int_range(rand, 0, LEVERS);
    const struct lever_class *class = lever_class(lever);
    const GPtrArray *objects = inventory_list(inv, class->kind);
    if (objects->len == 0)
        return random_lever(rand, inv);
    const struct object *object = objects->pdata[g_rand_int_range(rand, 0, (gint32)objects->len)];
    if (class->type == LEVER_TYPE_WEIGHTS)
        return g_strdup_printf("!%s/%s=zone-1=zone-1:%d+zone-2:1,*=zone-1:1+zone-2:%d", class->name, object->name,
                               g_rand_int_range(rand, 0, 3), g_rand_int_range(rand, 0, 3));
    if (class->type == LEVER_TYPE_SPLIT) {
        int cut = g_rand_int_range(rand, 1, SLOT_COUNT);
        return g_strdup_printf("!%s/%s=0-%d=room-c,%d-999=room-%c", class->name, object->name, cut - 1, cut,
                               'a' + g_rand_int_range(rand, 0, 2));
    }
    if (class->type == LEVER_TYPE_PIN)
        return g_strdup_printf("!%s/%s=%d-%d=room-%c@2026-11-22T08:00:00Z", class->name, object->name,
                               g_rand_int_range(rand, 0, 500), g_rand_int_range(rand, 500, 1000),
                               'a' + g_rand_int_range(rand, 0, 3));
    if (class->type == LEVER_TYPE_RATE)
        return g_strdup_printf("%s/%s=%d", class->name, object->name, g_rand_int_range(rand, 1, 1000001));
    if (class->type == LEVER_TYPE_ROOM)
        return g_strdup_printf("!%s/%s=room-%c", class->name, object->name, 'a' + g_rand_int_range(rand, 0, 3));
    g_auto(GStrv) choices = g_strsplit(class->choices, "|", -1);
    return g_strdup_printf("!%s/%s=%s", class->name, object->name,
                           choices[g_rand_int_range(rand, 0, (gint32)g_strv_length(choices))]);
}

static struct world *random_world(GRand *rand, struct inventory *inv)
{
    g_auto(GStrv) levers = g_new0(char *, 9);
    for (int i = 0; i < 8; i++)
        levers[i] = random_lever(rand, inv);
    return site_world(inv, (const char *const *)levers);
}

static void check_legal(const struct resolved *resolved)
{
    for (int c = 0; c < EDGE_CLASSES; c++)
        for (enum part part = 0; part < PARTS; part++) {
            g_autoptr(GError) error = NULL;
            GBytes *bytes = resolved_part(resolved, resolved->tables[c].hash[part]);
            part_validate(part, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), &error);
            ck_assert_msg(error == NULL, "%s", error != NULL ? error->message : "");
        }
    for (guint i = 0; i < resolved->zones->len; i++) {
        const GPtrArray *sets = ((const struct zone_records *)resolved->zones->pdata[i])->rrsets;
        for (guint k = 0; k < sets->len; k++) {
            const struct rrset *set = sets->pdata[k], *before = k > 0 ? sets->pdata[k - 1] : NULL;
            ck_assert(set->rdata[0] != NULL);
            ck_assert(before == NULL || strcmp(before->owner, set->owner) < 0 ||
                      (strcmp(before->owner, set->owner) == 0 && before->type < set->type));
        }
    }
}

START_TEST(every_world_is_legal)
{
    sb_auto(inventory) three = site_inventory("three-rooms");
    sb_auto(inventory) two = site_with_interfaces();
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    sb_auto(resolved) last = NULL;
    for (int i = 0; i < 450; i++) {
        struct inventory *inv = i % 3 < 2 ? three : two;
        sb_auto(world) world = random_world(rand, inv);
        struct resolved *resolved = resolve(world, last);
        check_legal(resolved);
        /* With or without the slow parts of the one before: the same. */
        sb_auto(resolved) fresh = resolve(world, NULL);
        g_autofree char *a = site_dump(resolved);
        g_autofree char *b = site_dump(fresh);
        ck_assert_str_eq(a, b);
        struct resolved_distance d = resolved_compare(resolved, fresh);
        ck_assert_uint_eq(d.entries[0] + d.entries[1] + d.slow_entries[0] + d.slow_entries[1] + d.rrsets, 0);
        resolved_unref(last);
        last = resolved;
    }
}
END_TEST

/* 10,000 names more, over all groups. */
static void add_domains(struct inventory *inv)
{
    const GPtrArray *groups = inventory_list(inv, OBJECT_group);
    for (unsigned i = 0; i < 10000; i++) {
        const struct group *group = groups->pdata[i % groups->len];
        g_autofree char *name = g_strdup_printf("n%u.example.test", i);
        g_autoptr(GPtrArray) findings = finding_list_new();
        json_t *json = json_pack("{s:s, s:s, s:s}", "kind", "domain", "name", name, "group", group->o.name);
        struct object *object = object_from_json(json, findings);
        json_decref(json);
        ck_assert_ptr_nonnull(object);
        inventory_put(inv, object);
    }
}

START_TEST(a_switch_is_small)
{
    sb_auto(inventory) inv = site_inventory("two-rooms");
    add_domains(inv);
    sb_auto(world) steady = SITE_WORLD(inv, NULL);
    sb_auto(world) isolated = SITE_WORLD(inv, "room.ingress/room-a=closed", "group.edge_class/creator=dedicated",
                                         "group.edge_class/creator-line=dedicated");
    sb_auto(resolved) a = resolve(steady, NULL);
    sb_auto(resolved) b = resolve(isolated, a);
    ck_assert_ptr_eq(a->slow, b->slow);
    struct resolved_distance d = resolved_compare(a, b);
    ck_assert_uint_eq(d.slow_entries[EDGE_PUBLIC] + d.slow_entries[EDGE_DEDICATED], 0);
    ck_assert_uint_ge(d.entries[EDGE_PUBLIC], 1);
    ck_assert_uint_le(d.entries[EDGE_PUBLIC], 20);
    ck_assert_uint_ge(d.entries[EDGE_DEDICATED], 1);
    ck_assert_uint_le(d.entries[EDGE_DEDICATED], 20);
    ck_assert_uint_ge(d.rrsets, 1);
    ck_assert_uint_le(d.rrsets, 100);
    /* And the count is of lines and sets that truly differ: there and back is nothing. */
    sb_auto(resolved) back = resolve(steady, b);
    ck_assert_uint_eq(resolved_compare(a, back).entries[EDGE_PUBLIC], 0);
    ck_assert_uint_eq(resolved_compare(a, back).rrsets, 0);
}
END_TEST

static const char *part_text(const struct resolved *resolved, int edge_class, enum part part)
{
    /* For strstr; parts that are looked at here are not empty, and GString leaves a NUL behind them. */
    return g_bytes_get_data(resolved_part(resolved, resolved->tables[edge_class].hash[part]), NULL);
}

/* An actuator adds the new ranges, moves policies, removes the old: so nothing else may be renumbered. */
START_TEST(a_new_split_renumbers_no_other)
{
    sb_auto(inventory) inv = site_inventory("two-rooms");
    sb_auto(world) before = SITE_WORLD(inv, NULL);
    sb_auto(resolved) a = resolve(before, NULL);
    for (unsigned cut = 1; cut < SLOT_COUNT; cut += 37) {
        g_autofree char *lever = g_strdup_printf("split/home=0-%u=room-a,%u-999=room-b", cut - 1, cut);
        sb_auto(world) after = SITE_WORLD(inv, lever);
        sb_auto(resolved) b = resolve(after, a);
        /* policies manual.home and manual-line.home, and two ranges */
        ck_assert_uint_le(resolved_compare(a, b).entries[EDGE_PUBLIC], 4);
    }
}
END_TEST

START_TEST(names_are_never_empty)
{
    sb_auto(inventory) inv = site_inventory("two-rooms");
    sb_auto(world) world = SITE_WORLD(inv, "edge/edge-1=out", "edge/edge-2=out", "edge/edge-3=out");
    sb_auto(resolved) resolved = resolve(world, NULL);
    check_legal(resolved);
    g_autofree char *text = site_dump(resolved);
    ck_assert_ptr_nonnull(strstr(text, "core.pol.example.test 5 A 203.0.113.11 203.0.113.12 ;"));
    ck_assert_ptr_nonnull(strstr(text, "core-line.pol.example.test 5 A 203.0.113.14 ;"));
    ck_assert_uint_eq(resolved->findings->len, 3); /* three public groups */
    ck_assert_ptr_nonnull(strstr(part_text(resolved, EDGE_PUBLIC, PART_ORIGINS), "relay/edge-3/relay out\n"));
    sb_auto(world) all_out = SITE_WORLD(inv, "edge/edge-3=out", "edge/edge-4=out");
    sb_auto(resolved) relays = resolve(all_out, NULL);
    g_autofree char *all = site_dump(relays);
    ck_assert_ptr_null(strstr(all, "relay out"));
}
END_TEST

START_TEST(a_limit_below_one_for_each_edge_is_a_finding)
{
    static const struct {
        const char *lever, *finding; /* NULL: none */
    } rows[] = {
        {"service.limit/home=3", "service home: limit: found 3 for 4 edges, each lets 1/s through, expected 4 or more"},
        {"service.limit/home=4", NULL},
        {"room.limit/room-a=1", "room room-a: limit: found 1 for 4 edges, each lets 1/s through, expected 4 or more"},
        {"room.limit/room-a=7", NULL},
        {"interface.limit/search=3",
         "interface search: limit: found 3 for 4 edges, each lets 1/s through, expected 4 or more"},
        {"interface.limit/cart=1",
         "interface cart: limit: found 1 for 2 edges, each lets 1/s through, expected 2 or more"},
        {"interface.limit/cart=2", NULL},
    };
    sb_auto(inventory) inv = site_with_interfaces();
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        sb_auto(world) world = SITE_WORLD(inv, rows[i].lever);
        sb_auto(resolved) resolved = resolve(world, NULL);
        ck_assert_uint_eq(resolved->findings->len, rows[i].finding != NULL ? 1 : 0);
        if (rows[i].finding == NULL)
            continue;
        g_autofree char *text = finding_text(resolved->findings->pdata[0]);
        ck_assert_msg(g_str_has_suffix(text, rows[i].finding), "found %s, expected %s", text, rows[i].finding);
    }
}
END_TEST

/* Lines of a part that begin with the text, g_free. */
static char *lines_of(const struct resolved *resolved, int edge_class, enum part part, const char *begin)
{
    g_auto(GStrv) lines = g_strsplit(part_text(resolved, edge_class, part), "\n", -1);
    GString *text = g_string_new(NULL);
    for (char **line = lines; *line != NULL; line++)
        if (g_str_has_prefix(*line, begin))
            g_string_append_printf(text, "%s\n", *line);
    return g_string_free(text, FALSE);
}

/* One that is moved has rows for all of its service, so that what is of another is not taken for its own. */
START_TEST(edges_are_told_interfaces_that_were_moved)
{
    static const struct {
        const char *levers[4], *manual, *interfaces;
    } rows[] = {
        {{NULL}, "|multi|off|local\n", ""},
        {{"interface.limit/search=50", "interface.degrade/cart=static"},
         "|multi|off|local||live|0|interfaces\n",
         "interface/home/any/-/help/ 6|live|0|0\n"
         "interface/home/any/home.example.test/cart/ 6|static|0|0\n"
         "interface/home/get/-/search/ 8|live|12|1\n"
         "interface/home/post/-/cart/pay/ 10|live|0|0\n"},
        {{"service.degrade/home=static", "interface.degrade/cart-pay=off", "interface.limit/cart=9",
          "interface.limit/search=8"},
         "|multi|off|local||static|0|interfaces\n",
         "interface/home/any/-/help/ 6|static|0|0\n"
         "interface/home/any/home.example.test/cart/ 6|static|4|1\n" /* two edges have its host, four have home */
         "interface/home/get/-/search/ 8|static|2|2\n"
         "interface/home/post/-/cart/pay/ 10|live|0|0\n"},
    };
    sb_auto(inventory) inv = site_with_interfaces();
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *levers[5] = {rows[i].levers[0], rows[i].levers[1], rows[i].levers[2], rows[i].levers[3]};
        sb_auto(world) world = site_world(inv, levers);
        sb_auto(resolved) resolved = resolve(world, NULL);
        check_legal(resolved);
        ck_assert_uint_eq(resolved->findings->len, 0);
        for (int c = 0; c < EDGE_CLASSES; c++) {
            g_autofree char *text = lines_of(resolved, c, PART_POLICIES, INTERFACE_ROW),
                            *manual = lines_of(resolved, c, PART_POLICIES, "manual.home ");
            ck_assert_str_eq(text, rows[i].interfaces);
            ck_assert_str_eq(strchr(manual, '|'), rows[i].manual);
        }
    }
}
END_TEST

/* Edges count eight in a service: of more, the first by name. */
START_TEST(what_interfaces_cannot_have_is_a_finding)
{
    sb_auto(inventory) inv = site_with_interfaces();
    sb_auto(world) kept = SITE_WORLD(inv, "!interface.degrade/help=stale", "service.degrade/home=static");
    sb_auto(resolved) without = resolve(kept, NULL);
    ck_assert_uint_eq(without->findings->len, 1);
    g_autofree char *text = finding_text(without->findings->pdata[0]);
    ck_assert_str_eq(text, "interface help: degrade: found \"stale\", expected default, off or static: no answers are "
                           "kept");
    g_autofree char *help = lines_of(without, EDGE_PUBLIC, PART_POLICIES, "interface/home/any/-/help/");
    ck_assert_str_eq(help, "interface/home/any/-/help/ 6|static|0|0\n");

    g_auto(GStrv) levers = g_new0(char *, INTERFACE_LIMITS_MAX + 2);
    for (unsigned i = 0; i <= INTERFACE_LIMITS_MAX; i++) {
        struct interface *interface = (struct interface *)object_copy(inventory_get(inv, OBJECT_interface, "help"));
        g_free(interface->o.name);
        g_free(interface->path);
        interface->o.name = g_strdup_printf("i-%u", i);
        interface->path = g_strdup_printf("/i-%u", i);
        inventory_put(inv, &interface->o);
        levers[i] = g_strdup_printf("interface.limit/i-%u=100", i);
    }
    sb_auto(world) many = site_world(inv, (const char *const *)levers);
    sb_auto(resolved) resolved = resolve(many, NULL);
    check_legal(resolved);
    ck_assert_uint_eq(resolved->findings->len, 1);
    g_autofree char *more = finding_text(resolved->findings->pdata[0]);
    ck_assert_str_eq(more, "interface i-8: limit: found one more, which edges do not count, expected at most 8 "
                           "interfaces of service home with a limit");
    const char *policies = part_text(resolved, EDGE_PUBLIC, PART_POLICIES);
    ck_assert_ptr_nonnull(strstr(policies, "/i-7/ 5|live|25|8\n"));
    ck_assert_ptr_nonnull(strstr(policies, "/i-8/ 5|live|0|0\n"));
}
END_TEST

static void put_domain(struct inventory *inv, const char *name)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    json_t *json = json_pack("{s:s, s:s, s:s}", "kind", "domain", "name", name, "group", "core");
    inventory_put(inv, object_from_json(json, findings));
    json_decref(json);
}

START_TEST(bad_intent_is_a_finding)
{
    sb_auto(inventory) inv = site_inventory("two-rooms");
    put_domain(inv, "example.test");
    put_domain(inv, "creator.pol.example.test");
    put_domain(inv, "_signalbox.example.test");
    ck_assert(inventory_remove(inv, OBJECT_room, "room-b"));
    sb_auto(world) world = SITE_WORLD(inv, "!split/creator=0-999=room-b");
    sb_auto(resolved) resolved = resolve(world, NULL);
    check_legal(resolved);
    ck_assert_uint_eq(resolved->findings->len, 4);
    g_autofree char *text = site_dump(resolved);
    ck_assert_ptr_nonnull(strstr(text, "domain example.test: found"));
    ck_assert_ptr_null(strstr(text, "example.test 5 CNAME core.pol.example.test ; a name of group core\ncore"));
}
END_TEST

/* A name that goes on with '-' or '.' comes after by name, but before by row: both sort before a slash. */
START_TEST(rows_stand_in_the_order_of_their_bytes)
{
    static const char *const more[] = {
        "play.example.test-x.example.test", "play.example.test.eu.example.test", "play.example.test0.example.test",
        "play.example.test.eu.example.test-1.example.test", "play.example.testing.example.test"};
    sb_auto(inventory) inv = site_inventory("two-rooms");
    for (guint i = 0; i < G_N_ELEMENTS(more); i++)
        put_domain(inv, more[i]);
    sb_auto(world) world = SITE_WORLD(inv, NULL);
    sb_auto(resolved) resolved = resolve(world, NULL);
    check_legal(resolved);
    const char *routes = part_text(resolved, EDGE_PUBLIC, PART_ROUTES);
    for (guint i = 0; i < G_N_ELEMENTS(more); i++)
        ck_assert_ptr_nonnull(strstr(routes, more[i]));
}
END_TEST

START_TEST(a_lever_for_a_lost_room_counts_as_default)
{
    sb_auto(inventory) all = site_inventory("three-rooms");
    sb_auto(world) with = SITE_WORLD(all, "split/home=0-999=room-c");
    sb_auto(inventory) fewer = inventory_copy(all);
    inventory_remove(fewer, OBJECT_room, "room-c");
    sb_auto(world) without = world_new("c", with->stamp, NULL, fewer, with->controls, NULL);
    struct split split;
    world_service_split(without, INVENTORY_GET(fewer, service, "home"), &split);
    g_autofree char *text = split_format(&split);
    ck_assert_str_eq(text, "0-499=room-a,500-999=room-b");
    split_clear(&split);
    sb_auto(resolved) resolved = resolve(without, NULL);
    g_autofree char *dump = site_dump(resolved);
    ck_assert_ptr_nonnull(strstr(dump, "service home: split: found \"0-999=room-c\""));
}
END_TEST

START_TEST(rooms_stand_in_for_each_other)
{
    sb_auto(inventory) inv = site_inventory("three-rooms");
    sb_auto(world) w = SITE_WORLD(inv, "room.ingress/room-b=closed", "pop/pop-c1=out");
    /* multi: away from a closed room on both planes; room-c has a ring but no POP */
    ck_assert_str_eq(world_room_used(w, EDGE_PUBLIC, true, "room-b"), "room-a");
    ck_assert_str_eq(world_room_used(w, EDGE_DEDICATED, true, "room-b"), "room-c");
    ck_assert_str_eq(world_room_used(w, EDGE_PUBLIC, true, "room-c"), "room-a");
    ck_assert_str_eq(world_room_used(w, EDGE_DEDICATED, true, "room-c"), "room-c");
    /* single: ingress closes the public plane only, and nobody stands in */
    ck_assert_ptr_null(world_room_used(w, EDGE_PUBLIC, false, "room-b"));
    ck_assert_str_eq(world_room_used(w, EDGE_DEDICATED, false, "room-b"), "room-b");
    sb_auto(world) none = SITE_WORLD(inv, "room.compute/room-a=maintenance", "room.compute/room-b=quarantined",
                                     "room.compute/room-c=maintenance");
    ck_assert_ptr_null(world_room_used(none, EDGE_DEDICATED, true, "room-a"));
    ck_assert_ptr_null(world_room_used(none, EDGE_DEDICATED, false, "room-b"));
}
END_TEST

START_TEST(manifests)
{
    sb_auto(inventory) inv = site_inventory("two-rooms");
    sb_auto(world) world = SITE_WORLD(inv, "room.ingress/room-a=closed");
    sb_auto(resolved) resolved = resolve(world, NULL);
    struct manifest public, dedicated;
    ck_assert(resolved_manifest(resolved, "edge-1", &public));
    ck_assert(resolved_manifest(resolved, "edge-4", &dedicated));
    ck_assert(!resolved_manifest(resolved, "edge-9", &public));
    ck_assert_str_eq(public.edge, "edge-1");
    ck_assert_str_eq(public.cluster, "two-rooms");
    ck_assert_str_eq(public.cause, "x-1/move-out/set");
    ck_assert_uint_eq(public.stamp.generation, 11);
    ck_assert_str_eq(public.hash[PART_ROUTES], dedicated.hash[PART_ROUTES]);
    ck_assert_str_ne(public.hash[PART_LAYOUT], dedicated.hash[PART_LAYOUT]);
    ck_assert_ptr_null(resolved_part(resolved, "0"));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, golden_tables);
    tcase_add_test(tcase, order_of_input_does_not_matter);
    tcase_add_test(tcase, every_world_is_legal);
    tcase_add_test(tcase, a_switch_is_small);
    tcase_add_test(tcase, a_new_split_renumbers_no_other);
    tcase_add_test(tcase, names_are_never_empty);
    tcase_add_test(tcase, a_limit_below_one_for_each_edge_is_a_finding);
    tcase_add_test(tcase, edges_are_told_interfaces_that_were_moved);
    tcase_add_test(tcase, what_interfaces_cannot_have_is_a_finding);
    tcase_add_test(tcase, bad_intent_is_a_finding);
    tcase_add_test(tcase, rows_stand_in_the_order_of_their_bytes);
    tcase_add_test(tcase, a_lever_for_a_lost_room_counts_as_default);
    tcase_add_test(tcase, rooms_stand_in_for_each_other);
    tcase_add_test(tcase, manifests);
}

int main(void)
{
    return unit_run("resolve", add);
}
