/* A gateway as a site has it: real signalboxd and signalbox-gateway, a real BIRD, a forwarder without frames. */
#include "core/loop.h"
#include "tests/unit/gatewaystage.h"
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define DEADLINE_US 20000000

static struct {
    char *dir, *bird_path, *forwarder_path, *token_file;
    pid_t bird, forwarder, gateway, backend;
} stage;

static pid_t gateway_start(void)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    g_autofree char *log = g_build_filename(stage.dir, "log", NULL);
    if (freopen(log, "a", stderr) == NULL)
        _exit(126);
    execl(SIGNALBOX_GATEWAY, SIGNALBOX_GATEWAY, "--name=gw-1", "--cluster=two-rooms", "--state", stage.dir,
          "--forwarder-socket", stage.forwarder_path, "--bird-socket", stage.bird_path, "--server", served.agents,
          "--token-file", stage.token_file, "--settle=100", NULL);
    _exit(127);
}

/* The site of two rooms, with a gateway in room A, an address of it and an escape to room B over line-5. */
static void apply_site(uint16_t port)
{
    static const char *const objects[] = {
        "{'kind': 'gateway', 'name': 'gw-1', 'room': 'room-a', 'local': '10.0.0.1'}",
        "{'kind': 'gwport', 'name': 'in', 'gateway': 'gw-1', 'place': 0, 'port': 0, 'own': '192.0.2.1', 'next': "
        "'192.0.2.2', 'inside': true}",
        "{'kind': 'gwport', 'name': 'over', 'gateway': 'gw-1', 'place': 1, 'port': 1, 'own': '192.0.2.5', 'next': "
        "'192.0.2.6', 'line': 'line-5'}",
        "{'kind': 'gwvip', 'name': 'a', 'room': 'room-a', 'address': '198.51.100.31:80', 'interval': 50}",
        "{'kind': 'gwvip', 'name': 'b', 'room': 'room-a', 'address': '198.51.100.32:80', 'to': 'room-b'}",
        "{'kind': 'gwvip', 'name': 'c', 'room': 'room-b', 'address': '198.51.100.41:80'}",
    };
    json_t *site = served_site(), *list = json_object_get(site, "objects");
    for (size_t i = 0; i < G_N_ELEMENTS(objects); i++) {
        g_autofree char *text = g_strdelimit(g_strdup(objects[i]), "'", '"');
        json_array_append_new(list, json_loads(text, 0, NULL));
    }
    json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:o}", "kind", "instance", "name", "i", "room", "room-a",
                                          "address", json_sprintf("127.0.0.1:%u", port)));
    served_apply(&served, site);
}

static void setup(void)
{
    uint16_t port = 0;
    served_setup();
    stage.dir = g_dir_make_tmp("sb-gwserver-XXXXXX", NULL);
    stage.bird_path = g_build_filename(stage.dir, "bird.ctl", NULL);
    stage.forwarder_path = g_build_filename(stage.dir, "forwarder.sock", NULL);
    stage.token_file = g_build_filename(stage.dir, "token", NULL);
    stage.backend = backend_start(&port);
    stage.bird = birdd_start(stage.bird_path);
    stage.forwarder = portless_start(stage.forwarder_path, 2);
    apply_site(port);
    g_autofree char *token = served_token(&served, "gw-1", "agent");
    ck_assert(g_file_set_contents(stage.token_file, token, -1, NULL));
    stage.gateway = gateway_start();
}

static void teardown(void)
{
    kill9(&stage.gateway);
    kill9(&stage.forwarder);
    kill9(&stage.bird);
    kill9(&stage.backend);
    unit_remove_all(stage.dir);
    char *const strings[] = {stage.dir, stage.bird_path, stage.forwarder_path, stage.token_file};
    for (size_t i = 0; i < G_N_ELEMENTS(strings); i++)
        g_free(strings[i]);
    served_teardown();
}

/* "STATE LEVER [ANNOUNCES] current", or "behind", of the first gateway of status; g_free. */
static char *picture(void)
{
    json_t *status = NULL;
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/status", NULL, NULL, &status), 200);
    const json_t *row = json_array_get(json_object_get(status, "gateways"), 0);
    bool current = number_at(row, "generation") == number_at(status, "generation");
    char *text = g_strdup_printf("%s %s [%s] %s", text_at(row, "state"), text_at(row, "lever"),
                                 text_at(row, "announces"), current ? "current" : "behind");
    json_decref(status);
    return text;
}

static void await_picture(const char *expected)
{
    for (int64_t until_us = loop_now_us() + DEADLINE_US;; poll(NULL, 0, 20)) {
        g_autofree char *found = picture();
        if (strcmp(found, expected) == 0)
            return;
        ck_assert_msg(loop_now_us() < until_us, "found: %s, expected: %s", found, expected);
    }
}

static void pull(const char *path, const char *value)
{
    g_autofree char *body = g_strdup_printf("{\"value\": \"%s\"}", value);
    ck_assert_uint_eq(served_local(&served, "PUT", path, "*", body, NULL), 200);
}

START_TEST(levers_reach_a_gateway)
{
    await_picture("applied in [vip_a] current");
    ck_assert(birdd_announces(stage.bird_path, "vip_a"));
    ck_assert(!birdd_announces(stage.bird_path, "vip_b")); /* nobody is at the other end of its line */
    pull("/v1/controls/gateway/gw-1", "out");
    await_picture("applied out [] current");
    for (int64_t until_us = loop_now_us() + DEADLINE_US; birdd_announces(stage.bird_path, "vip_a"); poll(NULL, 0, 5))
        ck_assert_int_lt(loop_now_us(), until_us);
    pull("/v1/controls/gateway/gw-1", "default");
    await_picture("applied in [vip_a] current");
    pull("/v1/controls/line/line-5", "out");
    await_picture("applied in [vip_a] current");
}
END_TEST

/* With its server dead a gateway serves on; what it says of itself then is heard by the next one. */
START_TEST(a_dead_server_changes_nothing)
{
    await_picture("applied in [vip_a] current");
    served_end(&served, SIGKILL);
    kill9(&stage.forwarder); /* what happens meanwhile is its own matter */
    for (int64_t until_us = loop_now_us() + DEADLINE_US; birdd_announces(stage.bird_path, "vip_a"); poll(NULL, 0, 5))
        ck_assert_int_lt(loop_now_us(), until_us);
    stage.forwarder = portless_start(stage.forwarder_path, 2);
    for (int64_t until_us = loop_now_us() + DEADLINE_US; !birdd_announces(stage.bird_path, "vip_a"); poll(NULL, 0, 5))
        ck_assert_int_lt(loop_now_us(), until_us);
    served_start(&served, NULL, NULL);
    await_picture("applied in [vip_a] current");
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, levers_reach_a_gateway);
    tcase_add_test(tcase, a_dead_server_changes_nothing);
}

int main(void)
{
    return unit_run("gateway_server", add);
}
