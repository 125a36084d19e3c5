/* The lab's sites: what is built of them, and that BIRD takes what it is told. Nothing is brought up. */
#include "tests/unit/unit.h"

#include "tests/lab/lab_config.h"

#include <string.h>

static struct topo *site(bool gateways)
{
    g_autoptr(GError) error = NULL;
    struct topo *topo = topo_load(gateways ? LAB_SITE_GATEWAYS : LAB_SITE_DEFAULT, &error);
    ck_assert_msg(topo != NULL, "%s", error != NULL ? error->message : "");
    return topo;
}

static unsigned links_of(const struct topo *topo, enum link_kind kind)
{
    unsigned n = 0;
    TOPO_FOREACH_LINK(topo, link)
    n += link->kind == kind;
    return n;
}

/* A site without gateways has none of all that. */
START_TEST(without_gateways)
{
    struct topo *topo = site(false);
    ck_assert_uint_eq(links_of(topo, LINK_LINE), 5);
    ck_assert_uint_eq(links_of(topo, LINK_TRUNK) + links_of(topo, LINK_PORT) + links_of(topo, LINK_LINE_PORT) +
                          links_of(topo, LINK_KERNEL) + links_of(topo, LINK_BGP),
                      0);
    g_autofree char *wires = wire_links(topo, "sb-");
    ck_assert_ptr_null(strstr(wires, " tap\n"));
    g_autofree char *bird = bird_config(topo, topo_node(topo, "room-a"));
    ck_assert_ptr_nonnull(strstr(bird, "route 198.51.100.11/32 unreachable;"));
    g_autofree char *pop = bird_config(topo, topo_node(topo, "pop-a1"));
    ck_assert_ptr_null(strstr(pop, "merge paths"));
    g_autofree char *room = node_addresses(topo, topo_node(topo, "room-a"));
    ck_assert_ptr_nonnull(strstr(room, "addr add 198.51.100.11/32 dev lo\n"));
    ck_assert_ptr_null(strstr(room, "bridge"));
    topo_free(topo);
}
END_TEST

START_TEST(with_gateways)
{
    struct topo *topo = site(true);
    ck_assert_uint_eq(links_of(topo, LINK_LINE), 4);
    ck_assert_uint_eq(links_of(topo, LINK_TRUNK), 3);
    ck_assert_uint_eq(links_of(topo, LINK_PORT), 12); /* each gateway: two POPs, its room */
    ck_assert_uint_eq(links_of(topo, LINK_LINE_PORT), 12);
    ck_assert_uint_eq(links_of(topo, LINK_BGP), 8);
    g_autofree char *wires = wire_links(topo, "sb-");
    ck_assert_ptr_nonnull(strstr(wires, "line-5 sb-room-a line-5 sb-room-b line-5 2000 0 0 0 tap\n"));
    ck_assert_ptr_nonnull(strstr(wires, "line-4 sb-edge-4 line-4 sb-room-a line-4 2000 0 0 0 tun\n"));
    ck_assert_ptr_null(strstr(wires, "gw-a1-pop1"));
    topo_free(topo);
}
END_TEST

/* Who is next to each port: POPs in their order, the room, the line's other end. */
START_TEST(ports_lead_where_they_should)
{
    static const char *const rows[] = {"gw-a1-pop1 pop-a1", "gw-a1-pop2 pop-a2",  "gw-a1-room room-a",
                                       "gw-b2-pop1 pop-b1", "gw-b2-line6 room-b", "gw-b1-in room-b",
                                       "gw-a2-bgp2 pop-a2"};
    struct topo *topo = site(true);
    g_autoptr(GString) found = g_string_new("\n");
    TOPO_FOREACH_LINK(topo, link)
    if (link->end[0]->kind == NODE_GATEWAY)
        g_string_append_printf(found, "%s %s\n", link->name, link->end[1]->name);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *line = g_strdup_printf("\n%s\n", rows[i]);
        ck_assert_msg(strstr(found->str, line) != NULL, "%s is not in %s", rows[i], found->str);
    }
    INVENTORY_FOREACH (topo->inventory, gwport, port) {
        const struct gwport *far = gwport_far(topo, port);
        ck_assert_int_eq(far != NULL, port->line != NULL);
        if (far != NULL)
            ck_assert(gwport_far(topo, far) == port && strcmp(far->gateway, port->gateway) != 0);
    }
    topo_free(topo);
}
END_TEST

/* What a kernel has of gateways: nothing that it would answer before a forwarder does. */
START_TEST(kernels_keep_out)
{
    struct topo *topo = site(true);
    g_autofree char *room = node_addresses(topo, topo_node(topo, "room-a"));
    ck_assert(strstr(room, "addr add 198.51.100.") == NULL && strstr(room, "addr replace 198.51.100.") == NULL);
    ck_assert_ptr_null(strstr(room, "10.9.")); /* addresses of lines */
    ck_assert_ptr_nonnull(strstr(room, "addr replace 10.1.0.2/32 dev lo\n"));
    ck_assert_ptr_nonnull(strstr(room, "link set line-6 master br-line-6\n"));
    ck_assert_ptr_nonnull(strstr(room, "link set gw-a2-line6 master br-line-6\n"));
    ck_assert_ptr_nonnull(strstr(room, "addr add 10.1.51.1 peer 10.1.51.2 dev gw-a1-room\n"));
    ck_assert_ptr_nonnull(strstr(room, "route add 10.1.40.1 via 10.1.51.2 dev gw-a1-room onlink\n"));
    g_autofree char *gateway = node_addresses(topo, topo_node(topo, "gw-a1"));
    ck_assert_ptr_null(strstr(gateway, "addr add 198.51.100."));
    ck_assert_ptr_null(strstr(gateway, "addr add 10.1.")); /* local, and its ports' */
    ck_assert_ptr_null(strstr(gateway, "addr add 10.9."));
    ck_assert_ptr_nonnull(strstr(gateway, "link set gw-a1-pop1 up\n"));
    ck_assert_ptr_nonnull(strstr(gateway, "route replace 10.1.0.1 via ")); /* checks of instances */
    /* What it asks its addresses goes to the room, and from there by its own forwarder; an escape is not asked. */
    ck_assert_ptr_nonnull(strstr(gateway, "route replace 198.51.100.11 via "));
    ck_assert_ptr_nonnull(strstr(room, " to 198.51.100.11 lookup 200 "));
    ck_assert_ptr_nonnull(strstr(room, " to 198.51.100.12 lookup 201 "));
    ck_assert_ptr_nonnull(strstr(room, "route add default via 10.1.51.2 dev gw-a1-room onlink table 200\n"));
    ck_assert_ptr_nonnull(strstr(room, "route add default via 10.1.52.2 dev gw-a2-room onlink table 201\n"));
    ck_assert(strstr(room, "198.51.100.41") == NULL && strstr(gateway, "198.51.100.41") == NULL);
    g_autofree char *pop = node_addresses(topo, topo_node(topo, "pop-a1"));
    ck_assert_ptr_nonnull(strstr(pop, "addr add 10.1.21.1 peer 10.1.21.2 dev gw-a1-pop1\n"));
    topo_free(topo);
}
END_TEST

START_TEST(who_lets_whom_know)
{
    struct topo *topo = site(true);
    g_autofree char *gateway = bird_config(topo, topo_node(topo, "gw-b1"));
    ck_assert_ptr_nonnull(strstr(gateway, "protocol static vip_escape_a { disabled; ipv4; route 198.51.100.41/32 "));
    ck_assert_ptr_null(strstr(gateway, "198.51.100.11/32"));
    ck_assert_ptr_nonnull(strstr(gateway, "protocol static vip_shared_a { disabled; ipv4; route 198.51.100.31/32 "));
    ck_assert_ptr_nonnull(strstr(gateway, "if net = 198.51.100.31/32 then { bgp_path.prepend("));
    g_autofree char *own = bird_config(topo, topo_node(topo, "gw-a1"));
    ck_assert_ptr_nonnull(strstr(own, "protocol static vip_shared_a "));
    ck_assert_ptr_nonnull(
        strstr(own, "protocol static last_vip_shared_a { disabled; ipv4 { preference 100; }; route "));
    const char *prepends = strstr(own, "prepend"); /* of a last resort, to each of two POPs; it stands by for nobody */
    ck_assert_ptr_nonnull(strstr(own, "if proto ~ \"last_*\" then bgp_path.prepend("));
    ck_assert_ptr_null(strstr(strstr(prepends + 1, "prepend") + 1, "prepend"));
    ck_assert_ptr_nonnull(strstr(gateway, "next hop address 10.2.21.2; }; }\n"));
    ck_assert_ptr_nonnull(strstr(gateway, "next hop address 10.2.22.2; }; }\n"));
    ck_assert_ptr_null(strstr(gateway, "; next hop address 10.2.21.2; next hop")); /* each POP has its own port */
    g_autofree char *pop = bird_config(topo, topo_node(topo, "pop-b1"));
    ck_assert_ptr_nonnull(strstr(pop, "merge paths yes;"));
    ck_assert_ptr_nonnull(strstr(pop, "export where net ~ [ 198.51.100.41/32, 198.51.100.31/32, 198.51.100.21/32 ];"));
    ck_assert_ptr_null(strstr(pop, "198.51.100.22/32")); /* the other POP's */
    g_autofree char *room = bird_config(topo, topo_node(topo, "room-b"));
    ck_assert_ptr_null(strstr(room, "198.51.100."));
    topo_free(topo);
}
END_TEST

/* Where origins listen: behind gateways not at the addresses that users know. */
START_TEST(entrances)
{
    for (int gateways = 0; gateways <= 1; gateways++) {
        struct topo *topo = site(gateways == 1);
        g_autoptr(GArray) found = topo_entrances(topo, INVENTORY_GET(topo->inventory, room, "room-a"));
        g_autoptr(GString) text = g_string_new("");
        for (guint i = 0; i < found->len; i++) {
            const struct lab_entrance *entrance = &g_array_index(found, struct lab_entrance, i);
            char at[ENDPOINT_TEXT_SIZE];
            g_string_append_printf(text, "%s=%s ", endpoint_format(&entrance->at, at), entrance->name);
        }
        ck_assert_str_eq(text->str, gateways == 0 ? "198.51.100.11:80=pop-a1 198.51.100.12:80=pop-a2 10.1.0.1:80=ring "
                                                  : "10.1.0.1:80=ring 10.1.0.2:80=origin-a2 ");
        topo_free(topo);
    }
}
END_TEST

/* BIRD itself reads them; nothing is started. */
START_TEST(bird_takes_it)
{
    g_autofree char *folder = g_dir_make_tmp("bird-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "bird.conf", NULL);
    for (int gateways = 0; gateways <= 1; gateways++) {
        struct topo *topo = site(gateways == 1);
        TOPO_FOREACH_NODE(topo, node)
        {
            if (!node->routes)
                continue;
            g_autofree char *text = bird_config(topo, node), *said = NULL;
            const char *argv[] = {"bird", "-p", "-c", path, NULL};
            int status;
            ck_assert(g_file_set_contents(path, text, -1, NULL));
            ck_assert(
                g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, &said, &status, NULL));
            ck_assert_msg(g_spawn_check_wait_status(status, NULL), "%s: %s\n%s", node->name, said, text);
        }
        topo_free(topo);
    }
    unit_remove_all(folder);
}
END_TEST

/* A site of gateways with a piece of it replaced. */
START_TEST(what_is_wrong_is_told)
{
    static const struct {
        const char *piece, *with, *said;
    } rows[] = {
        {"place: 5, port: 5, own: 10.9.72.2", "place: 5, port: 6, own: 10.9.72.2", "found 6, expected no gap behind 4"},
        {"line: line-7, bfd: 10}\n  - {name: gw-b2-peer", "bfd: 10}\n  - {name: gw-b2-peer",
         "gw-b2-line7: found no line between rooms"},
        {"name: gw-b2-line7, gateway", "name: gw-b2-line-the-seventh, gateway", "devices have the names of links"},
        {"  - {name: gw-a1, room: room-a, local: 10.1.40.1}", "  - {name: pop-a1, room: room-a, local: 10.1.40.1}",
         "gw-a1"},
    };
    g_autofree char *folder = g_dir_make_tmp("site-XXXXXX", NULL), *whole = NULL;
    g_autofree char *path = g_build_filename(folder, "site.yaml", NULL);
    ck_assert(g_file_get_contents(LAB_SITE_GATEWAYS, &whole, NULL, NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        GString *text = g_string_new(whole);
        ck_assert_msg(g_string_replace(text, rows[i].piece, rows[i].with, 1) == 1, "%s is not in it", rows[i].piece);
        ck_assert(g_file_set_contents(path, text->str, -1, NULL));
        g_string_free(text, TRUE);
        ck_assert_ptr_null(topo_load(path, &error));
        ck_assert_msg(strstr(error->message, rows[i].said) != NULL, "%s: %s", rows[i].with, error->message);
    }
    unit_remove_all(folder);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, without_gateways);
    tcase_add_test(tcase, with_gateways);
    tcase_add_test(tcase, ports_lead_where_they_should);
    tcase_add_test(tcase, kernels_keep_out);
    tcase_add_test(tcase, who_lets_whom_know);
    tcase_add_test(tcase, entrances);
    tcase_add_test(tcase, bird_takes_it);
    tcase_add_test(tcase, what_is_wrong_is_told);
}

int main(void)
{
    return unit_run("labsite", add);
}
