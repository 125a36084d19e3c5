#include "tests/lab/lab_control.h"

#include "core/error.h"
#include "core/fileio.h"
#include "core/httpc.h"
#include "tests/lab/lab_proc.h"
#include "tests/lab/lab_ready.h"
#include "tests/lab/lab_store.h"

#include <string.h>
#include <sys/stat.h>

#define OPERATORS_PORT 8440
#define AGENTS_PORT 8441
#define STEP_S 30
#define CONNECTIONS_MAX "4000" /* of an edge */
#define CALL_MS 2000

static const char *control_address(const struct lab *lab)
{
    return topo_node(lab->topo, "control")->address;
}

/* ---- certificates ---- */

static bool certtool(const struct lab *lab, const char *const *arguments, GError **error)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(argv, g_strdup("certtool"));
    for (; *arguments != NULL; arguments++) /* "@name" is a file of RUN */
        g_ptr_array_add(argv, (*arguments)[0] == '@' ? lab_path(lab, "%s", *arguments + 1) : g_strdup(*arguments));
    g_ptr_array_add(argv, NULL);
    return lab_run((const char *const *)argv->pdata, error);
}

bool control_certificates(const struct lab *lab, GError **error)
{
    static const char *const ca_key[] = {"--generate-privkey", "--key-type", "ecdsa", "--outfile", "@ca.key", NULL};
    static const char *const ca[] = {"--generate-self-signed", "--load-privkey", "@ca.key", "--template",
                                     "@ca.template",           "--outfile",      "@ca.pem", NULL};
    static const char *const key[] = {"--generate-privkey", "--key-type", "ecdsa", "--outfile", "@server.key", NULL};
    static const char *const server[] = {"--generate-certificate",
                                         "--load-privkey",
                                         "@server.key",
                                         "--load-ca-certificate",
                                         "@ca.pem",
                                         "--load-ca-privkey",
                                         "@ca.key",
                                         "--template",
                                         "@server.template",
                                         "--outfile",
                                         "@server.pem",
                                         NULL};
    g_autofree char *template =
        g_strdup_printf("cn = signalbox lab\nip_address = %s\nip_address = 127.0.0.1\ndns_name = localhost\n"
                        "expiration_days = 30\ntls_www_server\nsigning_key\n",
                        control_address(lab));
    return lab_write(lab, "ca.template", "cn = signalbox lab CA\nexpiration_days = 30\nca\ncert_signing_key\n",
                     error) &&
           lab_write(lab, "server.template", template, error) && certtool(lab, ca_key, error) &&
           certtool(lab, ca, error) && certtool(lab, key, error) && certtool(lab, server, error);
}

/* ---- the control server ---- */

json_t *control_call(const struct lab *lab, const char *method, const char *path, const char *body, GError **error)
{
    g_autofree char *sock = lab_path(lab, "control/signalboxd.sock");
    struct httpc_target target = {.base_url = "http://localhost", .unix_socket = sock};
    struct httpc_reply reply = {0};
    json_t *json = NULL;
    if (httpc_call(&target, method, path, NULL, body, CALL_MS, &reply, error)) {
        json = reply.status < 300 ? json_loads(reply.body, JSON_DECODE_ANY, NULL) : NULL;
        if (json == NULL)
            g_set_error(error, SB_ERROR, SB_ERROR_UNAVAILABLE, "%s %s: status %u: %s", method, path, reply.status,
                        reply.body);
    }
    httpc_reply_clear(&reply);
    return json;
}

static bool server_start(const struct lab *lab, GError **error)
{
    const char *control = control_address(lab);
    g_autofree char *program = lab_program(lab, "server/signalboxd", error);
    g_autofree char *state = lab_path(lab, "control/state");
    g_autofree char *listen = g_strdup_printf("%s:%d", control, OPERATORS_PORT);
    g_autofree char *agents_listen = g_strdup_printf("%s:%d", control, AGENTS_PORT);
    g_autofree char *sock = lab_path(lab, "control/signalboxd.sock");
    g_autofree char *cert = lab_path(lab, "server.pem");
    g_autofree char *key = lab_path(lab, "server.key");
    g_autofree char *keys = lab_path(lab, "keys");
    const char *argv[] = {program,
                          "--cluster",
                          lab->topo->cluster,
                          "--state",
                          state,
                          "--listen",
                          listen,
                          "--agents-listen",
                          agents_listen,
                          "--socket",
                          sock,
                          "--tls-cert",
                          cert,
                          "--tls-key",
                          key,
                          "--keys",
                          keys,
                          "--node",
                          "1",
                          "--runbooks",
                          LAB_RUNBOOKS,
                          lab->postgres ? "--store" : NULL,
                          LAB_STORE_URL,
                          NULL};
    return program != NULL && file_mkdir(state, 0700, error) &&
           proc_start(lab, "control", "signalboxd", argv, 0, error) && ready_wait(lab, ready_server, STEP_S, error);
}

static bool token_make(const struct lab *lab, const char *edge, GError **error)
{
    g_autofree char *name = g_strdup_printf("tokens/%s", edge);
    g_autofree char *path = lab_path(lab, "%s", name);
    g_autofree char *body =
        g_strdup_printf("{\"name\": \"%s\", \"role\": \"agent\", \"reason\": \"the lab is built\"}", edge);
    json_t *answer = control_call(lab, "POST", "/v1/tokens", body, error);
    const char *token = json_string_value(json_object_get(answer, "token"));
    bool ok = token != NULL && lab_write(lab, name, token, error) && chmod(path, 0600) == 0;
    json_decref(answer);
    return ok;
}

bool control_server(const struct lab *lab, GError **error)
{
    if (!server_start(lab, error))
        return false;
    INVENTORY_FOREACH (lab->topo->inventory, edge, edge)
        if (!token_make(lab, edge->o.name, error))
            return false;
    INVENTORY_FOREACH (lab->topo->inventory, gateway, gateway)
        if (!token_make(lab, gateway->o.name, error))
            return false;
    return true;
}

bool control_publish(const struct lab *lab, GError **error)
{
    g_autofree char *program = lab_program(lab, "server/signalbox", error);
    g_autofree char *sock = lab_path(lab, "control/signalboxd.sock");
    g_autofree char *site = lab_path(lab, "site.yaml");
    const char *argv[] = {program, "--socket", sock, "apply", "-f", site, "--reason", "the lab is built", NULL};
    return program != NULL && lab_run(argv, error);
}

/* ---- edges ---- */

/* What the agent is told of its edge, whether it only renders or serves. */
static GPtrArray *edge_arguments(const struct lab *lab, const struct edge *edge, const char *program)
{
    const char *name = edge->o.name;
    char address[ADDR_TEXT_SIZE];
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
    char *const all[] = {
        g_strdup(program),
        g_strdup("--name"),
        g_strdup(name),
        g_strdup("--cluster"),
        g_strdup(lab->topo->cluster),
        g_strdup("--state"),
        lab_path(lab, "%s/state", name),
        g_strdup("--haproxy-socket"),
        lab_path(lab, "%s/haproxy.sock", name),
        g_strdup("--master-socket"),
        lab_path(lab, "%s/master.sock", name),
        g_strdup("--socket"),
        lab_path(lab, "%s/edge.sock", name),
        g_strdup("--listen"),
        g_strdup_printf("%s:80", addr_format(&edge->address, address)),
    };
    for (size_t i = 0; i < G_N_ELEMENTS(all); i++)
        g_ptr_array_add(argv, all[i]);
    return argv;
}

static bool haproxy_start(const struct lab *lab, const struct edge *edge, const char *program, GError **error)
{
    const char *name = edge->o.name;
    g_autofree char *state = lab_path(lab, "%s/state", name);
    g_autofree char *config = lab_path(lab, "%s/state/haproxy.cfg", name);
    g_autofree char *master = lab_path(lab, "%s/master.sock", name);
    g_autoptr(GPtrArray) render = edge_arguments(lab, edge, program);
    g_ptr_array_add(render, g_strdup("--render-only"));
    g_ptr_array_add(render, NULL);
    /* The configuration's maxconn is for a machine of its own; -n fits the limit of open files of any machine. */
    const char *argv[] = {"haproxy", "-W", "-n", CONNECTIONS_MAX, "-S", master, "-f", config, NULL};
    return file_mkdir(state, 0755, error) && lab_run((const char *const *)render->pdata, error) &&
           proc_start(lab, name, "haproxy", argv, 0, error);
}

bool control_edges(const struct lab *lab, GError **error)
{
    g_autofree char *program = lab_program(lab, "dcdn/signalbox-edge", error);
    if (program == NULL)
        return false;
    INVENTORY_FOREACH (lab->topo->inventory, edge, edge)
        if (!haproxy_start(lab, edge, program, error))
            return false;
    return ready_wait(lab, ready_edges, STEP_S, error);
}

void control_agent_arguments(const struct lab *lab, const char *name, GPtrArray *argv)
{
    g_ptr_array_add(argv, g_strdup("--server"));
    g_ptr_array_add(argv, g_strdup_printf("https://%s:%d", control_address(lab), AGENTS_PORT));
    g_ptr_array_add(argv, g_strdup("--ca"));
    g_ptr_array_add(argv, lab_path(lab, "ca.pem"));
    g_ptr_array_add(argv, g_strdup("--token-file"));
    g_ptr_array_add(argv, lab_path(lab, "tokens/%s", name));
}

static bool agent_start(const struct lab *lab, const struct edge *edge, const char *program, GError **error)
{
    g_autoptr(GPtrArray) argv = edge_arguments(lab, edge, program);
    control_agent_arguments(lab, edge->o.name, argv);
    g_ptr_array_add(argv, NULL);
    return proc_start(lab, edge->o.name, "signalbox-edge", (const char *const *)argv->pdata, 0, error);
}

bool control_agents(const struct lab *lab, GError **error)
{
    g_autofree char *program = lab_program(lab, "dcdn/signalbox-edge", error);
    if (program == NULL)
        return false;
    INVENTORY_FOREACH (lab->topo->inventory, edge, edge)
        if (!agent_start(lab, edge, program, error))
            return false;
    return ready_wait(lab, ready_agents, STEP_S, error);
}

/* ---- for others ---- */

void control_env(const struct lab *lab)
{
    printf("export SIGNALBOX_LAB_RUN=%s\n", lab->run);
    printf("export SIGNALBOX_SOCKET=%s/control/signalboxd.sock\n", lab->run);
    printf("export SIGNALBOX_BIN=%s\n", lab->build);
}
