#include "tests/lab/lab_net.h"

#include "core/error.h"
#include "core/fileio.h"
#include "tests/lab/lab_config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

char **net_recorded(const struct lab *lab)
{
    g_autofree char *path = lab_path(lab, "namespaces");
    g_autofree char *text = file_read(path, 1 << 20, NULL, NULL);
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);
    GPtrArray *names = g_ptr_array_new();
    for (char **line = lines; *line != NULL; line++)
        if (g_str_has_prefix(*line, "sb-")) /* whatever the file says, nothing else is deleted */
            g_ptr_array_add(names, g_strdup(*line));
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_free(names, FALSE);
}

static bool batch_run(const struct lab *lab, const char *node, const char *name, const char *text, GError **error)
{
    g_autofree char *file = g_strdup_printf("net/%s", name);
    if (!lab_write(lab, file, text, error))
        return false;
    g_autofree char *path = lab_path(lab, "%s", file);
    const char *argv[] = {"ip", "-batch", path, NULL};
    /* Not `ip -n`, which wants / to be a mount point: in a chroot it is none. */
    if (node != NULL && !lab_ns_enter(lab, node, error))
        return false;
    bool ok = lab_run(argv, error);
    if (node != NULL)
        lab_ns_leave();
    return ok;
}

/* ---- namespaces ---- */

static bool exists(const char *ns)
{
    g_autofree char *path = g_build_filename("/run/netns", ns, NULL);
    return access(path, F_OK) == 0;
}

static const char *const settings[][2] = {
    {"ipv6/conf/all/disable_ipv6", "1"},
    {"ipv6/conf/default/disable_ipv6", "1"},
    {"ipv4/ip_forward", "1"},
    {"ipv4/conf/all/rp_filter", "0"},
    {"ipv4/conf/default/rp_filter", "0"},
    {"ipv4/fib_multipath_hash_policy", "1"},
    /* A route over a cut cable must not be used: the default keeps it. */
    {"ipv4/conf/all/ignore_routes_with_linkdown", "1"},
    {"ipv4/conf/default/ignore_routes_with_linkdown", "1"},
    {"ipv4/ping_group_range", "0 2147483647"},
    {"ipv4/ip_local_port_range", "10000 65001"},
};

static bool setting_write(const char *name, const char *value, GError **error)
{
    g_autofree char *path = g_build_filename("/proc/sys/net", name, NULL);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
    if (!ok)
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "%s: %s", path, g_strerror(errno));
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool settings_write(const struct lab *lab, const struct node *node, GError **error)
{
    bool ok = lab_ns_enter(lab, node->name, error);
    if (!ok)
        return false;
    for (size_t i = 0; ok && i < G_N_ELEMENTS(settings); i++) {
        /* A kernel without IPv6 has nothing to turn off. */
        if (g_str_has_prefix(settings[i][0], "ipv6") && access("/proc/sys/net/ipv6", F_OK) != 0)
            continue;
        /* What a forwarder sees its kernel sees, too, and must leave alone. */
        bool forwards = strcmp(settings[i][0], "ipv4/ip_forward") == 0;
        ok = setting_write(settings[i][0], forwards && node->kind == NODE_GATEWAY ? "0" : settings[i][1], error);
    }
    lab_ns_leave();
    return ok;
}

bool net_make(const struct lab *lab, GError **error)
{
    g_autoptr(GString) names = g_string_new("");
    g_autoptr(GString) batch = g_string_new("");
    TOPO_FOREACH_NODE(lab->topo, node)
    {
        g_autofree char *ns = g_strdup_printf("%s%s", lab->prefix, node->name);
        if (exists(ns)) {
            g_set_error(
                error, SB_ERROR, SB_ERROR_CONFLICT,
                "namespace %s exists and is not of %s: `lab down --run` of the lab that made it, or ip netns del", ns,
                lab->run);
            return false;
        }
        g_string_append_printf(names, "%s\n", ns);
        g_string_append_printf(batch, "netns add %s\n", ns);
    }
    if (!lab_write(lab, "namespaces", names->str, error) || !batch_run(lab, NULL, "namespaces", batch->str, error))
        return false;
    TOPO_FOREACH_NODE(lab->topo, node)
    if (!settings_write(lab, node, error))
        return false;
    return true;
}

bool net_delete(char **namespaces, GError **error)
{
    for (char **ns = namespaces; *ns != NULL; ns++) {
        const char *argv[] = {"ip", "netns", "del", *ns, NULL};
        g_autoptr(GError) failure = NULL;
        if (!exists(*ns) || lab_run(argv, &failure) || !exists(*ns))
            continue;
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    return true;
}

/* ---- devices ---- */

/* A kernel leaves checksums of what goes into a veth pair to be computed by nobody; what a forwarder translates would
 * then carry wrong ones. In the namespace of who is next to a forwarder. */
static bool checksums_compute(const struct lab_link *link, GError **error)
{
    struct ethtool_value off = {.cmd = ETHTOOL_STXCSUM, .data = 0};
    struct ifreq request = {.ifr_data = (char *)&off};
    g_strlcpy(request.ifr_name, link->name, sizeof request.ifr_name);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = ioctl(fd, SIOCETHTOOL, &request) == 0;
    if (!ok)
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "device %s: its checksums: %s", link->name, g_strerror(errno));
    close(fd);
    return ok;
}

static bool checksums_all(const struct lab *lab, GError **error)
{
    TOPO_FOREACH_LINK(lab->topo, link)
    {
        if (link->kind != LINK_PORT)
            continue;
        if (!lab_ns_enter(lab, link->end[1]->name, error))
            return false;
        bool ok = checksums_compute(link, error);
        lab_ns_leave();
        if (!ok)
            return false;
    }
    return true;
}

bool net_veth(const struct lab *lab, GError **error)
{
    g_autoptr(GString) batch = g_string_new("");
    TOPO_FOREACH_LINK(lab->topo, link)
    if (!link->wire)
        g_string_append_printf(batch, "link add %s netns %s%s type veth peer name %s netns %s%s\n", link->name,
                               lab->prefix, link->end[0]->name, link->name, lab->prefix, link->end[1]->name);
    return batch_run(lab, NULL, "veth", batch->str, error) && checksums_all(lab, error);
}

bool net_addresses(const struct lab *lab, GError **error)
{
    TOPO_FOREACH_NODE(lab->topo, node)
    {
        g_autofree char *batch = node_addresses(lab->topo, node);
        if (!batch_run(lab, node->name, node->name, batch, error))
            return false;
    }
    return true;
}

/* ---- wire ---- */

static bool wire_exchange(int fd, const struct sockaddr_un *peer, const char *command, GString *out)
{
    if (connect(fd, (const struct sockaddr *)peer, sizeof *peer) != 0 ||
        send(fd, command, strlen(command), 0) != (ssize_t)strlen(command))
        return false;
    g_string_set_size(out, 1 << 18);
    ssize_t size = recv(fd, out->str, out->len, 0);
    g_string_truncate(out, size > 0 ? (gsize)size : 0);
    return size > 0;
}

json_t *wire_call(const struct lab *lab, const char *command, GError **error)
{
    struct sockaddr_un peer = {.sun_family = AF_UNIX}, self = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = 5};
    int size = 1 << 18;
    snprintf(peer.sun_path, sizeof peer.sun_path, "%s/wire.sock", lab->run);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    g_autoptr(GString) text = g_string_new("");
    /* A bare family binds to an abstract name of the kernel's choice: where the answer goes. */
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&self, sizeof self.sun_family) == 0 &&
              wire_exchange(fd, &peer, command, text);
    int saved = errno;
    if (fd >= 0)
        close(fd);
    json_t *answer = ok ? json_loadb(text->str, text->len, 0, NULL) : NULL;
    const char *refusal = json_string_value(json_object_get(answer, "error"));
    if (answer == NULL)
        g_set_error(error, SB_ERROR, SB_ERROR_UNREACHABLE, "no answer from the wire at %s: %s (is the lab up?)",
                    peer.sun_path, g_strerror(saved));
    else if (refusal != NULL)
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "wire: %s", refusal);
    if (refusal != NULL)
        g_clear_pointer(&answer, json_decref);
    return answer;
}
