#include "tests/lab/lab_status.h"

#include "tests/lab/lab_gateway.h"
#include "tests/lab/lab_net.h"
#include "tests/lab/lab_proc.h"
#include "tests/lab/lab_ready.h"

#include <string.h>

static json_t *processes_json(const struct lab *lab, const char *node, const GPtrArray *names)
{
    static const char *const states[] = {
        [PROC_ABSENT] = "absent", [PROC_RUNNING] = "running", [PROC_PAUSED] = "paused", [PROC_DEAD] = "dead"};
    json_t *list = json_array();
    for (guint i = 0; i < names->len; i++) {
        g_auto(GStrv) parts = g_strsplit(names->pdata[i], ".", 2);
        pid_t pid = 0;
        if (strcmp(parts[0], node) != 0)
            continue;
        enum proc_state state = proc_state(lab, node, parts[1], &pid);
        json_array_append_new(list,
                              json_pack("{s:s, s:i, s:s}", "name", parts[1], "pid", (int)pid, "state", states[state]));
    }
    return list;
}

static json_t *nodes_json(const struct lab *lab)
{
    g_autoptr(GPtrArray) names = proc_list(lab);
    json_t *nodes = json_array();
    TOPO_FOREACH_NODE(lab->topo, node)
    json_array_append_new(nodes, json_pack("{s:s, s:s?, s:o}", "name", node->name, "address", node->address,
                                           "processes", processes_json(lab, node->name, names)));
    json_array_append_new(nodes, json_pack("{s:s, s:n, s:o}", "name", PROC_NO_NODE, "address", "processes",
                                           processes_json(lab, PROC_NO_NODE, names)));
    return nodes;
}

static json_t *link_json(const struct lab_link *link, const json_t *wires)
{
    json_t *out = json_pack("{s:s, s:s, s:s}", "name", link->name, "a", link->end[0]->name, "b", link->end[1]->name);
    size_t i;
    json_t *wire;
    json_array_foreach ((json_t *)wires, i, wire) {
        if (strcmp(json_string_value(json_object_get(wire, "name")), link->name) == 0)
            json_object_update(out, wire);
    }
    if (!link->wire)
        json_object_set_new(out, "state", json_string("veth"));
    return out;
}

json_t *status_json(const struct lab *lab)
{
    g_autoptr(GPtrArray) missing = g_ptr_array_new_with_free_func(g_free);
    ready_all(lab, missing);
    json_t *shown = wire_call(lab, "show", NULL);
    json_t *links = json_array(), *lacks = json_array();
    TOPO_FOREACH_LINK(lab->topo, link)
    json_array_append_new(links, link_json(link, json_object_get(shown, "links")));
    for (guint i = 0; i < missing->len; i++)
        json_array_append_new(lacks, json_string(missing->pdata[i]));
    json_decref(shown);
    return json_pack("{s:s, s:s, s:b, s:o, s:o, s:o, s:o}", "run", lab->run, "cluster", lab->topo->cluster, "ready",
                     missing->len == 0, "missing", lacks, "nodes", nodes_json(lab), "links", links, "gateways",
                     gateway_status(lab));
}

static const char *text_of(const json_t *map, const char *key)
{
    const char *text = json_string_value(json_object_get(map, key));
    return text != NULL ? text : "-";
}

static void print_node(const json_t *node)
{
    size_t i;
    json_t *process;
    printf("%-14s %-15s", text_of(node, "name"), text_of(node, "address"));
    json_array_foreach (json_object_get(node, "processes"), i, process) {
        const char *state = text_of(process, "state");
        printf(" %s%s%s", text_of(process, "name"), strcmp(state, "running") == 0 ? "" : " ",
               strcmp(state, "running") == 0 ? "" : state);
    }
    printf("\n");
}

static void print_link(const json_t *link)
{
    printf("%-14s %-12s %-12s %-8s", text_of(link, "name"), text_of(link, "a"), text_of(link, "b"),
           text_of(link, "state"));
    static const char *const keys[] = {"delay_us", "jitter_us", "loss_ppm", "rate_kbit", "slow_us", "more_loss_ppm"};
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        json_int_t value = json_integer_value(json_object_get(link, keys[i]));
        if (value > 0)
            printf(" %s=%lld", keys[i], (long long)value);
    }
    printf("\n");
}

static void print_gateway(const json_t *gateway)
{
    size_t i;
    json_t *item;
    printf("%-14s %-12s", text_of(gateway, "name"), text_of(gateway, "room"));
    json_array_foreach (json_object_get(gateway, "vips"), i, item)
        printf(" %s", json_string_value(item));
    json_array_foreach (json_object_get(gateway, "lines"), i, item)
        printf("%s%s to %s %s", i == 0 ? " | " : ", ", text_of(item, "line"), text_of(item, "to"),
               text_of(item, "state"));
    printf("\n");
}

void status_print(const json_t *status)
{
    size_t i;
    json_t *item;
    printf("%-14s %-15s PROCESSES\n", "NODE", "ADDRESS");
    json_array_foreach (json_object_get(status, "nodes"), i, item)
        print_node(item);
    printf("\n%-14s %-12s %-12s %-8s\n", "LINK", "A", "B", "STATE");
    json_array_foreach (json_object_get(status, "links"), i, item)
        print_link(item);
    if (json_array_size(json_object_get(status, "gateways")) > 0)
        printf("\n%-14s %-12s ANNOUNCED | LINES\n", "GATEWAY", "ROOM");
    json_array_foreach (json_object_get(status, "gateways"), i, item)
        print_gateway(item);
    printf("\n%s\n", json_is_true(json_object_get(status, "ready")) ? "ready" : "not ready:");
    json_array_foreach (json_object_get(status, "missing"), i, item)
        printf("  %s\n", json_string_value(item));
}
