#include "tests/lab/lab_gateway.h"

#include "core/fileio.h"
#include "tests/lab/lab_config.h"
#include "tests/lab/lab_control.h"
#include "tests/lab/lab_proc.h"
#include "tests/lab/lab_ready.h"

#include <string.h>

#define FORWARDER "signalbox-forwarder"
#define AGENT "signalbox-gateway"
#define STEP_S 30
/* Of an address that is to be announced, in ms: how long nothing must have spoken against it, the same when it comes
 * and goes, and after how long it does not. Here many faults follow each other within seconds. */
#define SETTLE_MS "300"
#define SETTLE_MAX_MS "2000"
#define CALM_MS "1000"
#define PROBE_MS "1000"

/* ---- programs ---- */

static bool forwarder_start(const struct lab *lab, const struct gateway *gateway, const char *program, GError **error)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autofree char *folder = lab_path(lab, "%s", gateway->o.name);
    g_autofree char *sock = lab_path(lab, "%s/forwarder.sock", gateway->o.name);
    g_autofree char *secret = lab_path(lab, "%s/secret", gateway->o.name);
    const char *const head[] = {program, "--socket", sock, "--secret", secret};
    for (unsigned i = 0; i < G_N_ELEMENTS(head); i++)
        g_ptr_array_add(argv, (gpointer)head[i]);
    TOPO_FOREACH_LINK(lab->topo, port) /* in the order of their numbers */
    if (port->gwport != NULL && port->end[0]->object == gateway) {
        g_ptr_array_add(argv, (gpointer) "--port");
        g_ptr_array_add(argv, port->name);
    }
    g_ptr_array_add(argv, NULL);
    return file_mkdir(folder, 0755, error) &&
           proc_start(lab, gateway->o.name, FORWARDER, (const char *const *)argv->pdata, 0, error);
}

bool gateway_forwarders(const struct lab *lab, GError **error)
{
    INVENTORY_FOREACH (lab->topo->inventory, gateway, gateway) {
        g_autofree char *program = lab_program(lab, "dataplane/" FORWARDER, error);
        if (program == NULL || !forwarder_start(lab, gateway, program, error))
            return false;
    }
    return ready_wait(lab, ready_gateways, STEP_S, error);
}

static bool agent_start(const struct lab *lab, const struct gateway *gateway, const char *program, GError **error)
{
    const char *name = gateway->o.name;
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    char *const all[] = {
        g_strdup(program),
        g_strdup("--name"),
        g_strdup(name),
        g_strdup("--cluster"),
        g_strdup(lab->topo->cluster),
        g_strdup("--state"),
        lab_path(lab, "%s/state", name),
        g_strdup("--forwarder-socket"),
        lab_path(lab, "%s/forwarder.sock", name),
        g_strdup("--bird-socket"),
        lab_path(lab, "%s/bird.ctl", name),
        g_strdup("--socket"),
        lab_path(lab, "%s/gateway.sock", name),
        g_strdup("--settle"),
        g_strdup(SETTLE_MS),
        g_strdup("--settle-max"),
        g_strdup(SETTLE_MAX_MS),
        g_strdup("--calm"),
        g_strdup(CALM_MS),
        g_strdup("--probe"),
        g_strdup(PROBE_MS),
        g_strdup("--metrics"),
        g_strdup(LAB_GATEWAY_METRICS),
    };
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
        g_ptr_array_add(argv, all[i]);
    control_agent_arguments(lab, name, argv);
    g_ptr_array_add(argv, NULL);
    return proc_start(lab, name, AGENT, (const char *const *)argv->pdata, 0, error);
}

bool gateway_agents(const struct lab *lab, GError **error)
{
    INVENTORY_FOREACH (lab->topo->inventory, gateway, gateway) {
        g_autofree char *program = lab_program(lab, "gateway/" AGENT, error);
        if (program == NULL || !agent_start(lab, gateway, program, error))
            return false;
    }
    return ready_wait(lab, ready_gateways, STEP_S, error);
}

/* ---- what they say ---- */

static bool process_runs(const struct lab *lab, const struct gateway *gateway, const char *process)
{
    return proc_state(lab, gateway->o.name, process, NULL) == PROC_RUNNING;
}

static char *forwarder_shown(const struct lab *lab, const struct gateway *gateway)
{
    g_autofree char *path = lab_path(lab, "%s/forwarder.sock", gateway->o.name);
    return local_ask(path, "show\n");
}

/* "up", or what is wrong with a neighbour. */
static const char *neighbor_state(const struct gwport *port, const char *shown)
{
    g_autofree char *begin = g_strdup_printf("adjacency %" G_GINT64_FORMAT " ", port->place);
    g_auto(GStrv) lines = g_strsplit(shown != NULL ? shown : "", "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        if (!g_str_has_prefix(*line, begin))
            continue;
        if (strstr(*line, " known 1 ") == NULL)
            return "not known";
        return strstr(*line, " bfd ") == NULL || strstr(*line, " bfd up ") != NULL ? "up" : "down";
    }
    return "not in its table";
}

/* What its agent says of its addresses: [{"name", "announced", ...}]; new reference. */
static json_t *agent_vips(const struct lab *lab, const struct gateway *gateway)
{
    g_autofree char *path = lab_path(lab, "%s/gateway.sock", gateway->o.name);
    g_autofree char *text = local_ask(path, "status\n");
    json_t *status = text != NULL ? json_loads(text, 0, NULL) : NULL;
    json_t *vips = json_incref(json_object_get(json_object_get(status, "gateway"), "vips"));
    json_decref(status);
    return vips != NULL ? vips : json_array();
}

static bool is_announced(const json_t *vips, const struct gwvip *vip)
{
    g_autofree char *protocol = vip_protocol(vip);
    size_t i;
    const json_t *each;
    json_array_foreach (vips, i, each)
        if (g_strcmp0(json_string_value(json_object_get(each, "name")), protocol) == 0)
            return json_is_true(json_object_get(each, "announced")) && json_is_null(json_object_get(each, "bird"));
    return false;
}

static void ready_gateway(const struct lab *lab, const struct gateway *gateway, GPtrArray *missing)
{
    const char *name = gateway->o.name;
    g_autofree char *shown = forwarder_shown(lab, gateway);
    if (shown == NULL)
        g_ptr_array_add(missing, g_strdup_printf("%s: no answer from its forwarder", name));
    if (shown == NULL || !process_runs(lab, gateway, AGENT))
        return;
    INVENTORY_FOREACH (lab->topo->inventory, gwport, port) {
        const char *state = strcmp(port->gateway, name) == 0 ? neighbor_state(port, shown) : "up";
        if (strcmp(state, "up") != 0)
            g_ptr_array_add(missing, g_strdup_printf("%s: who is next at %s: %s", name, port->o.name, state));
    }
    json_t *vips = agent_vips(lab, gateway);
    INVENTORY_FOREACH (lab->topo->inventory, gwvip, vip)
        if (gwvip_answered_by(vip, gateway->room) && !is_announced(vips, vip))
            g_ptr_array_add(missing, g_strdup_printf("%s: %s is not announced", name, vip->o.name));
    json_decref(vips);
}

void ready_gateways(const struct lab *lab, GPtrArray *missing)
{
    INVENTORY_FOREACH (lab->topo->inventory, gateway, gateway)
        if (process_runs(lab, gateway, FORWARDER))
            ready_gateway(lab, gateway, missing);
}

bool gateway_announces(const struct lab *lab, const struct gwvip *vip)
{
    INVENTORY_FOREACH (lab->topo->inventory, gateway, gateway)
        if (gwvip_answered_by(vip, gateway->room) && process_runs(lab, gateway, AGENT))
            return true;
    return false;
}

static json_t *lines_json(const struct lab *lab, const struct gateway *gateway)
{
    g_autofree char *shown = forwarder_shown(lab, gateway);
    json_t *lines = json_array();
    INVENTORY_FOREACH (lab->topo->inventory, gwport, port) {
        const struct gwport *far = gwport_far(lab->topo, port);
        if (strcmp(port->gateway, gateway->o.name) == 0 && port->line != NULL)
            json_array_append_new(lines,
                                  json_pack("{s:s, s:s?, s:s}", "line", port->line, "to",
                                            far != NULL ? far->gateway : NULL, "state", neighbor_state(port, shown)));
    }
    return lines;
}

json_t *gateway_status(const struct lab *lab)
{
    json_t *out = json_array();
    INVENTORY_FOREACH (lab->topo->inventory, gateway, gateway) {
        json_t *vips = agent_vips(lab, gateway), *announced = json_array();
        INVENTORY_FOREACH (lab->topo->inventory, gwvip, vip)
            if (gwvip_answered_by(vip, gateway->room) && is_announced(vips, vip))
                json_array_append_new(announced, json_string(vip->o.name));
        json_decref(vips);
        json_array_append_new(out, json_pack("{s:s, s:s, s:o, s:o}", "name", gateway->o.name, "room", gateway->room,
                                             "vips", announced, "lines", lines_json(lab, gateway)));
    }
    return out;
}
