#include "tests/lab/lab_up.h"

#include "core/error.h"
#include "core/fileio.h"
#include "core/loop.h"
#include "tests/lab/lab_config.h"
#include "tests/lab/lab_control.h"
#include "tests/lab/lab_gateway.h"
#include "tests/lab/lab_lock.h"
#include "tests/lab/lab_net.h"
#include "tests/lab/lab_proc.h"
#include "tests/lab/lab_ready.h"
#include "tests/lab/lab_store.h"

#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define BIRD_PRIORITY 10 /* SCHED_FIFO: a late BFD packet is a false alarm; the wire has 20 */
#define STEP_S 30        /* any condition of a step */

/* ---- routing ---- */

static bool step_wire(const struct lab *lab, GError **error)
{
    g_autofree char *lines = wire_links(lab->topo, lab->prefix);
    g_autofree char *links = lab_path(lab, "wire.links");
    g_autofree char *sock = lab_path(lab, "wire.sock");
    g_autofree char *stalls = lab_path(lab, "stalls");
    g_autofree char *program = lab_program(lab, "tests/lab/wire", error);
    const char *argv[] = {program, links, sock, stalls, NULL};
    return program != NULL && lab_write(lab, "wire.links", lines, error) &&
           proc_start(lab, PROC_NO_NODE, "wire", argv, 0, error) && ready_wait(lab, ready_wire, STEP_S, error);
}

static bool step_bird(const struct lab *lab, GError **error)
{
    TOPO_FOREACH_NODE(lab->topo, node)
    {
        if (!node->routes)
            continue;
        g_autofree char *text = bird_config(lab->topo, node);
        g_autofree char *name = g_strdup_printf("%s/bird.conf", node->name);
        g_autofree char *config = lab_path(lab, "%s", name);
        g_autofree char *control = lab_path(lab, "%s/bird.ctl", node->name);
        const char *argv[] = {"bird", "-f", "-c", config, "-s", control, NULL};
        if (!lab_write(lab, name, text, error) || !proc_start(lab, node->name, "bird", argv, BIRD_PRIORITY, error))
            return false;
    }
    return true;
}

/* ---- DNS ---- */

/* The secret of a key, made at its first use; base64, g_free. */
static char *key_secret(const struct lab *lab, const char *key, GError **error)
{
    unsigned char bytes[32];
    g_autofree char *name = g_strdup_printf("keys/%s.key", key);
    g_autofree char *path = lab_path(lab, "%s", name);
    char *text = file_read(path, 4096, NULL, NULL);
    if (text != NULL)
        return g_strchomp(text);
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "getrandom failed");
        return NULL;
    }
    text = g_base64_encode(bytes, sizeof bytes);
    g_autofree char *line = g_strdup_printf("%s\n", text);
    if (!lab_write(lab, name, line, error) || chmod(path, 0600) != 0)
        g_clear_pointer(&text, g_free);
    return text;
}

static bool nameserver_start(const struct lab *lab, const struct nameserver *server, GError **error)
{
    const char *node = server->o.name;
    g_autofree char *secret = key_secret(lab, server->key, error);
    g_autofree char *folder = lab_path(lab, "%s", node);
    g_autofree char *storage = lab_path(lab, "%s/db", node);
    bool bind = topo_node(lab->topo, node)->bind;
    const char *program = bind ? "named" : "knotd";
    g_autofree char *name = g_strdup_printf("%s/%s.conf", node, bind ? "named" : "knot");
    g_autofree char *config = lab_path(lab, "%s", name);
    g_autofree char *zone_name = g_strdup_printf("%s/%s.zone", node, server->zone);
    if (secret == NULL || !file_mkdir(storage, 0755, error))
        return false;
    g_autofree char *text = (bind ? bind_config : knot_config)(lab->topo, server, folder, secret);
    g_autofree char *zone = zone_file(lab->topo, server->zone);
    /* BIND alone, in the foreground with its log to where ours goes, and with two threads. */
    const char *argv[] = {program, "-c", config, bind ? "-g" : NULL, "-n", "2", NULL};
    return lab_write(lab, name, text, error) &&
           (server->role == NAMESERVER_SECONDARY || lab_write(lab, zone_name, zone, error)) &&
           proc_start(lab, node, program, argv, 0, error);
}

static bool nameservers_start(const struct lab *lab, int role, GError **error)
{
    INVENTORY_FOREACH (lab->topo->inventory, nameserver, server)
        if (server->role == role && !nameserver_start(lab, server, error))
            return false;
    return true;
}

static bool step_primaries(const struct lab *lab, GError **error)
{
    return nameservers_start(lab, NAMESERVER_PRIMARY, error) && ready_wait(lab, ready_primaries, STEP_S, error);
}

static bool resolvers_start(const struct lab *lab, GError **error)
{
    TOPO_FOREACH_NODE(lab->topo, node)
    {
        if (node->kind != NODE_USER)
            continue;
        g_autofree char *folder = lab_path(lab, "%s", node->name);
        g_autofree char *text = unbound_config(lab->topo, folder);
        g_autofree char *name = g_strdup_printf("%s/unbound.conf", node->name);
        g_autofree char *config = lab_path(lab, "%s", name);
        const char *argv[] = {"unbound", "-d", "-p", "-c", config, NULL};
        if (!lab_write(lab, name, text, error) || !proc_start(lab, node->name, "unbound", argv, 0, error))
            return false;
    }
    return true;
}

/* A secondary asks its primary once and then not again for seconds; a resolver remembers a dead server. So both start
 * when the roads to them are there. */
static bool step_routing(const struct lab *lab, GError **error)
{
    return ready_wait(lab, ready_routing, STEP_S, error);
}

static bool step_dns(const struct lab *lab, GError **error)
{
    return nameservers_start(lab, NAMESERVER_SECONDARY, error) && resolvers_start(lab, error) &&
           ready_wait(lab, ready_dns, STEP_S, error);
}

/* ---- origins ---- */

static void origin_listen(GPtrArray *argv, const struct lab_entrance *entrance)
{
    char text[ENDPOINT_TEXT_SIZE];
    g_ptr_array_add(argv, g_strdup("--listen"));
    g_ptr_array_add(argv, g_strdup_printf("%s=%s", endpoint_format(&entrance->at, text), entrance->name));
}

static bool origin_start(const struct lab *lab, const struct room *room, const char *program, GError **error)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *folder = lab_path(lab, "%s", room->o.name);
    if (!file_mkdir(folder, 0755, error))
        return false;
    g_ptr_array_add(argv, g_strdup(program));
    g_ptr_array_add(argv, g_strdup("--room"));
    g_ptr_array_add(argv, g_strdup(room->o.name));
    g_autoptr(GArray) entrances = topo_entrances(lab->topo, room);
    for (guint i = 0; i < entrances->len; i++)
        origin_listen(argv, &g_array_index(entrances, struct lab_entrance, i));
    g_ptr_array_add(argv, g_strdup("--log"));
    g_ptr_array_add(argv, lab_path(lab, "%s/origin.writes", room->o.name));
    g_ptr_array_add(argv, g_strdup("--control"));
    g_ptr_array_add(argv, lab_path(lab, "%s/origin.sock", room->o.name));
    g_ptr_array_add(argv, NULL);
    return proc_start(lab, room->o.name, "origin", (const char *const *)argv->pdata, 0, error);
}

static bool step_origins(const struct lab *lab, GError **error)
{
    g_autofree char *program = lab_program(lab, "tests/lab/traffic/origin", error);
    if (program == NULL)
        return false;
    INVENTORY_FOREACH (lab->topo->inventory, room, room)
        if (!origin_start(lab, room, program, error))
            return false;
    return ready_wait(lab, ready_origins, STEP_S, error);
}

/* ---- down ---- */

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    bool mark = ftw->level == 1 && strcmp(path + ftw->base, "prefix") == 0;
    return ftw->level == 0 || mark ? 0 : remove(path);
}

/* Only a folder with the mark loses what is in it. Without one it may be what a lab had just begun or nearly ended:
 * then there is nothing in it, and rmdir(2) refuses all else. */
static bool run_remove(const struct lab *lab, GError **error)
{
    g_autofree char *mark = lab_path(lab, "prefix");
    g_autofree char *half = lab_path(lab, "prefix.tmp");
    if (access(mark, F_OK) == 0)
        nftw(lab->run, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    unlink(mark);
    unlink(half);
    if (rmdir(lab->run) == 0 || errno == ENOENT)
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT, "cannot remove %s: %s; a lab's folder has a file `prefix`",
                lab->run, g_strerror(errno));
    return false;
}

static bool down(const struct lab *lab, GError **error)
{
    g_auto(GStrv) namespaces = net_recorded(lab);
    return proc_stop_all(lab, namespaces, error) && net_delete(namespaces, error) && run_remove(lab, error);
}

bool lab_down(const struct lab *lab, GError **error)
{
    int lock = lab_lock(lab, error);
    bool ok = lock >= 0 && down(lab, error);
    lab_unlock(lock);
    return ok;
}

/* ---- up ---- */

/* `prefix` is the mark of a lab's folder: written first, removed last. */
static bool run_make(const struct lab *lab, const char *site, GError **error)
{
    return lab_write(lab, "prefix", lab->prefix, error) && lab_owner_write(lab, error) &&
           lab_write(lab, "build", lab->build, error) && lab_write(lab, "site.yaml", site, error);
}

static const struct step {
    const char *name;
    enum lab_extent from; /* smallest extent that takes it */
    bool (*run)(const struct lab *lab, GError **error);
} steps[] = {
    {"namespaces", LAB_NETWORK, net_make},
    {"wire", LAB_NETWORK, step_wire},
    {"veth", LAB_NETWORK, net_veth},
    {"addresses", LAB_NETWORK, net_addresses},
    {"bird", LAB_NETWORK, step_bird},
    {"primaries", LAB_NETWORK, step_primaries},
    {"origins", LAB_NO_CONTROL, step_origins},
    {"forwarders", LAB_NO_CONTROL, gateway_forwarders},
    {"certificates", LAB_WHOLE, control_certificates},
    {"store", LAB_WHOLE, store_start},
    {"server", LAB_WHOLE, control_server},
    {"routing", LAB_NETWORK, step_routing},
    {"dns", LAB_NETWORK, step_dns},
    {"edges", LAB_NO_CONTROL, control_edges},
    {"publish", LAB_WHOLE, control_publish},
    {"gateways", LAB_WHOLE, gateway_agents},
    {"agents", LAB_WHOLE, control_agents},
};

static bool up(struct lab *lab, const char *site, enum lab_extent extent, GError **error)
{
    int64_t began_us = loop_now_us();
    lab->topo = topo_load(site, error);
    g_autofree char *text = lab->topo != NULL ? file_read(site, 64 << 20, NULL, error) : NULL;
    if (text == NULL || !down(lab, error) || !run_make(lab, text, error))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
        if (steps[i].from > extent)
            continue;
        int64_t start_us = loop_now_us();
        if (!steps[i].run(lab, error)) {
            g_prefix_error(error, "step %s: ", steps[i].name);
            return false;
        }
        fprintf(stderr, "lab: %-12s %5ld ms\n", steps[i].name, (loop_now_us() - start_us) / 1000);
    }
    fprintf(stderr, "lab: up after %.1f s\n", (double)(loop_now_us() - began_us) / G_USEC_PER_SEC);
    return true;
}

bool lab_up(struct lab *lab, const char *site, enum lab_extent extent, GError **error)
{
    int lock = lab_lock(lab, error);
    bool ok = lock >= 0 && up(lab, site, extent, error);
    lab_unlock(lock);
    return ok;
}
