/* The command line as scripts meet it: exit codes, and a server that goes away in the middle. */
#include "core/loop.h"
#include "tests/unit/served_cli.h"
#include "tests/unit/unit.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define LIMIT_US (30 * (int64_t)G_USEC_PER_SEC) /* a limit, not a wait */

/* An execution that waits for entrances that nobody sees up: it has written nothing. */
static char *waiting(void)
{
    json_t *answer = NULL;
    served_apply_site(&served);
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/plans/failback/run", NULL, "{\"target\":\"room-a\"}", &answer),
                      202);
    char *id = g_strdup(text_at(answer, "id"));
    json_decref(answer);
    return id;
}

static void abort_it(const char *id)
{
    g_autofree char *path = g_strdup_printf("/v1/executions/%s/abort", id);
    ck_assert_uint_eq(served_local(&served, "POST", path, NULL, "{\"reason\":\"enough\"}", NULL), 202);
}

static void an_interface_moves(void)
{
    static const char *const url = "http://home.example.test/buy/now";
    g_autofree char *path = g_build_filename(served.dir, "interfaces.yaml", NULL);
    ck_assert(
        g_file_set_contents(path, "interfaces: [{name: buy, service: home, method: post, path: /buy}]\n", -1, NULL));
    expect_run(SIGNALBOX_RUN("apply", "-f", path), 0, "", "");
    expect_run(SIGNALBOX_RUN("control", "set", "interface.limit", "buy", "50", "--dry-run"), 0, "", "forecast");
    expect_run(SIGNALBOX_RUN("control", "set", "interface.limit", "buy", "50"), 0, "", "interface.limit buy is 50");
    expect_run(SIGNALBOX_RUN("control", "set", "interface.degrade", "buy", "stale"), 2, "", "last_good");
    expect_run(SIGNALBOX_RUN("control", "set", "interface.degrade", "sell", "static"), 1, "",
               "interface sell: the inventory has none");
    expect_run(SIGNALBOX_RUN("explain", url, "--method", "POST"), 0, "interface.limit/buy is 50", "");
    expect_run(SIGNALBOX_RUN("explain", url, "--method", "BUY"), 2, "", "found \"BUY\", expected one of get, head");
    expect_run(SIGNALBOX_RUN("explain", url), 0, "policy    manual.home", "");
    expect_run(SIGNALBOX_RUN("inventory", "used-by", "interface", "buy"), 0, "interface.limit 50", "");
    expect_run(SIGNALBOX_RUN("control", "set", "interface.limit", "buy", "default"), 0, "", "");
    json_t *answer = NULL;
    ck_assert_uint_eq(
        served_local(&served, "GET", "/v1/explain?url=home.example.test%2Fbuy&method=post", NULL, NULL, &answer), 200);
    json_decref(answer);
}

START_TEST(exit_codes)
{
    g_autofree char *id = waiting();
    expect_run(SIGNALBOX_RUN("status"), 0, "room-a", "");
    expect_run(SIGNALBOX_RUN("inventory", "kinds"), 0, "what keeps data", "");
    expect_run(SIGNALBOX_RUN("inventory", "list", "pops"), 0, "198.51.100.21:80", "");
    expect_run(SIGNALBOX_RUN("inventory", "list", "pears"), 2, "", "\"pears\" is no kind of object");
    expect_run(SIGNALBOX_RUN("inventory", "show", "service", "upload"), 0, "3000", "");
    expect_run(SIGNALBOX_RUN("inventory", "show", "service", "none"), 1, "", "service none: the inventory has none");
    expect_run(SIGNALBOX_RUN("inventory", "used-by", "service", "upload"), 0, "creator-upload", "");
    expect_run(SIGNALBOX_RUN("inventory", "used-by", "domain", "play.example.test"), 0, "", "nothing names domain");
    expect_run(SIGNALBOX_RUN("execution", "show", "none"), 1, "", "execution none: ");
    expect_run(SIGNALBOX_RUN("explain"), 2, "", "usage: signalbox explain URL");
    expect_run(SIGNALBOX_RUN("dance"), 2, "", "no command \"dance\"");
    expect_run(SIGNALBOX_RUN("control", "set", "room.ingress", "room-a", "ajar"), 2, "", "ajar");
    expect_run(SIGNALBOX_RUN("control", "set", "room.ingress", "room-b", "closed"), 0, "", "");
    expect_run(SIGNALBOX_RUN("inventory", "used-by", "room", "room-b"), 0, "room.ingress closed", "");
    expect_run(SIGNALBOX_RUN("control", "set", "room.ingress", "room-a", "closed"), 3, "", "rule last-open: ");
    expect_run(SIGNALBOX_RUN("control", "set", "service.limit", "tier/normal", "500", "--dry-run"), 0, "", "forecast");
    expect_run(SIGNALBOX_RUN("control", "set", "service.limit", "tier/normal", "500"), 0, "",
               "service.limit tier/normal is 500 since generation");
    expect_run(SIGNALBOX_RUN("control", "get", "service.limit", "upload"), 0, "500", "");
    expect_run(SIGNALBOX_RUN("control", "set", "service.limit", "tier/normal", "default"), 0, "", "");
    expect_run(SIGNALBOX_RUN("control", "set", "service.degrade", "creator", "stale"), 2, "", "last_good");
    an_interface_moves();
    expect_run(SIGNALBOX_RUN("control", "set", "room.ingress", "room-a", "closed", "--dry-run"), 3, "last-open", "");
    abort_it(id);
    expect_run(SIGNALBOX_RUN("execution", "wait", id), 5, "aborted", "");
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    expect_run(SIGNALBOX_RUN("status"), 6, "", "is signalboxd running here?");
    expect_run(SIGNALBOX_RUN("execution", "wait", id), 6, "",
               "signalbox execution wait "); /* at once: it was never there */
    expect_run(SIGNALBOX_RUN("plan", "run", "failback", "--confirm", "room-a"), 6, "",
               "whether it was started is not known");
    served_start(&served, NULL, NULL);
}
END_TEST

/* Where the time went: what no clock has seen is said so. */
START_TEST(a_report)
{
    json_t *answer = NULL, *row;
    size_t i;
    served_apply_site(&served);
    ck_assert_uint_eq(
        served_local(&served, "POST", "/v1/plans/room-isolated/run", NULL, "{\"target\":\"room-a\"}", &answer), 202);
    g_autofree char *id = g_strdup(text_at(answer, "id"));
    json_decref(answer);
    answer = run_json(SIGNALBOX_RUN("--json", "execution", "report", id, "--fault", "2024-07-02T10:04:00Z"));
    static const char *const phases[] = {"detect", "locate", "decide", "execute", "converge", "recover"};
    ck_assert_uint_eq(json_array_size(json_object_get(answer, "phases")), G_N_ELEMENTS(phases));
    json_array_foreach (json_object_get(answer, "phases"), i, row) {
        ck_assert_str_eq(text_at(row, "phase"), phases[i]);
        bool known = strcmp(phases[i], "execute") == 0; /* nothing was down, and no edge is there to apply it */
        ck_assert_msg(json_is_integer(json_object_get(row, "us")) == known, "%s", phases[i]);
    }
    ck_assert_int_eq(number_at(answer, "fault_us"), 1719914640000000);
    json_decref(answer);
    expect_run(SIGNALBOX_RUN("execution", "report", id), 0, "detect   -  ", "");
    expect_run(SIGNALBOX_RUN("execution", "report", id, "--fault", "noon"), 2, "", "--fault: found \"noon\"");
    expect_run(SIGNALBOX_RUN("execution", "report", "none"), 1, "", "execution none: ");
}
END_TEST

/* Who follows an execution sees it to its end, though the server dies on the way. */
START_TEST(follows_through_a_restart)
{
    struct beside follower;
    g_autofree char *id = waiting();
    beside_start(&follower, (const char *const[]){"execution", "wait", id, NULL});
    beside_says(&follower, "started by ");
    ck_assert(WIFSIGNALED(served_end(&served, SIGKILL)));
    beside_says(&follower, "the server is away; it is asked again for 30 s");
    served_start(&served, NULL, NULL);
    beside_says(&follower, "the server was restarted; going on");
    abort_it(id);
    ck_assert_int_eq(beside_end(&follower), 5);
}
END_TEST

START_TEST(alarms_and_who_looks_after_them)
{
    served_apply_site(&served);
    int64_t until_us = loop_now_us() + LIMIT_US;
    for (bool there = false; !there;) { /* its drivers have no key */
        json_t *answer = run_json(SIGNALBOX_RUN("--json", "alarm", "list"));
        there = json_array_size(json_object_get(answer, "alarms")) > 0;
        json_decref(answer);
        ck_assert_int_lt(loop_now_us(), until_us);
    }
    expect_run(SIGNALBOX_RUN("alarm", "list"), 0, "nameserver/ns-1", "");
    expect_run(SIGNALBOX_RUN("alarm", "ack", "nameserver/ns-1", "--reason", "on my way"), 0, "",
               "uid:0 looks after nameserver/ns-1");
    expect_run(SIGNALBOX_RUN("alarm", "list"), 0, "uid:0", "");
    expect_run(SIGNALBOX_RUN("--json", "alarm", "ack", "nameserver/ns-1"), 0, "\"acknowledged\"", "");
    expect_run(SIGNALBOX_RUN("alarm", "ack", "pop/pop-a1"), 1, "",
               "alarm pop/pop-a1: found none, expected one that lasts");
    expect_run(SIGNALBOX_RUN("alarm", "ack", "blind"), 2, "", "found \"blind\", expected an alarm as");
    expect_run(SIGNALBOX_RUN("alarm", "ack"), 2, "", "usage: signalbox alarm list");
}
END_TEST

START_TEST(reminders_hang_on_levers)
{
    served_apply_site(&served);
    expect_run(SIGNALBOX_RUN("reminder", "list"), 0, "", "nothing hangs on a lever");
    expect_run(SIGNALBOX_RUN("reminder", "set", "splice", "--on", "pop/pop-a1", "--owner", "alice", "--why",
                             "fibre works", "--until", "2030-11-10T00:00:00Z", "--lock"),
               0, "+ reminder splice", "");
    expect_run(SIGNALBOX_RUN("reminder", "list"), 0, "fibre works", "");
    json_t *answer = run_json(SIGNALBOX_RUN("--json", "reminder", "list"));
    ck_assert(json_is_true(json_object_get(json_array_get(json_object_get(answer, "objects"), 0), "lock")));
    json_decref(answer);
    expect_run(SIGNALBOX_RUN("control", "set", "pop", "pop-a1", "out"), 3, "", "locked by alice");
    expect_run(SIGNALBOX_RUN("reminder", "set", "splice", "--on", "pop/pop-a1", "--owner", "bob", "--why", "later"), 0,
               "~ reminder splice", "");
    expect_run(SIGNALBOX_RUN("control", "set", "pop", "pop-a1", "out"), 0, "", "pop pop-a1 is out"); /* no lock now */
    expect_run(SIGNALBOX_RUN("reminder", "set", "x", "--on", "pop-a1", "--owner", "bob", "--why", "x"), 2, "",
               "found \"pop-a1\"");
    expect_run(SIGNALBOX_RUN("reminder", "set", "x", "--on", "pop/pop-a1", "--why", "x"), 2, "",
               "usage: signalbox reminder list");
    expect_run(SIGNALBOX_RUN("reminder", "clear", "splice"), 0, "- reminder splice", "");
    expect_run(SIGNALBOX_RUN("reminder", "clear", "splice"), 1, "", "reminder splice: the inventory has none");
}
END_TEST

START_TEST(tokens_with_scopes_and_an_end)
{
    expect_run(SIGNALBOX_RUN("token", "create", "--name", "bot", "--role", "operator", "--scope", "plans/room-isolated",
                             "--scope", "executions", "--expires", "30d"),
               0, "sb_", "");
    expect_run(SIGNALBOX_RUN("token", "list"), 0, "plans/room-isolated, executions", "");
    expect_run(SIGNALBOX_RUN("token", "create", "--name", "x", "--role", "viewer", "--expires", "2001-01-01T00:00:00Z"),
               2, "", "expected a time to come");
    expect_run(SIGNALBOX_RUN("token", "create", "--name", "x", "--role", "viewer", "--expires", "soon"), 2, "",
               "--expires: found \"soon\", expected a time");
    expect_run(SIGNALBOX_RUN("token", "create", "--name", "x", "--role", "viewer", "--scope", "all"), 2, "",
               "expected a part of the API like plans");
    expect_run(SIGNALBOX_RUN("token", "create", "--name", "x", "--role"), 2, "",
               "--role: found nothing behind it, expected viewer|");
}
END_TEST

/* What the table of an edge has, as its agent gets it. */
static char *rooms_part(const char *token)
{
    json_t *manifest = NULL;
    char *text = NULL;
    ck_assert_uint_eq(
        served_call(&served, served.agents, token, "GET", "/agent/v1/edges/edge-1/table", NULL, NULL, &manifest, NULL),
        200);
    g_autofree char *path = g_strdup_printf("/agent/v1/parts/%s", text_at(json_object_get(manifest, "parts"), "rooms"));
    struct httpc_target target = {.base_url = served.agents, .token = token};
    struct httpc_reply reply;
    ck_assert(httpc_call(&target, "GET", path, NULL, NULL, 5000, &reply, NULL));
    ck_assert_uint_eq(reply.status, 200);
    text = g_strdup(reply.body);
    httpc_reply_clear(&reply);
    json_decref(manifest);
    return text;
}

static void expect_said_nowhere(const char *secret)
{
    static const char *const paths[] = {"/v1/pins/keys", "/v1/audit?limit=100",       "/v1/export",
                                        "/v1/status",    "/v1/events?after=0&wait=0", "/v1/history?generation=3"};
    struct httpc_target target = {.base_url = "http://localhost", .unix_socket = served.socket};
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        struct httpc_reply reply;
        ck_assert(httpc_call(&target, "GET", paths[i], NULL, NULL, 5000, &reply, NULL));
        ck_assert_msg(reply.status == 200 && reply.size > 0 && strstr(reply.body, secret) == NULL, "%s: %u %s",
                      paths[i], reply.status, reply.body);
        httpc_reply_clear(&reply);
    }
}

/* Keys are the edges' alone; a pin is shown to who asks for it, once. */
START_TEST(pins_and_their_keys)
{
    served_apply_site(&served);
    g_autofree char *agent = served_token(&served, "edge-1", "agent");
    expect_run(SIGNALBOX_RUN("pin", "issue", "--room", "room-b", "--for", "1h", "--staff"), 1, "",
               "signalbox pin rotate makes one");
    expect_run(SIGNALBOX_RUN("pin", "rotate"), 0, "k3", "");
    g_autofree char *rooms = rooms_part(agent), *at = g_strdup(strstr(rooms, "pin/k3 "));
    ck_assert_msg(at != NULL, "%s", rooms);
    g_autofree char *secret = g_strndup(at + strlen("pin/k3 "), 44);
    expect_run(SIGNALBOX_RUN("pin", "issue", "--room", "room-b", "--for", "1h", "--user", "42"), 0,
               "sb-pin=k3.room-b.user.", "to room-b until ");
    expect_run(SIGNALBOX_RUN("pin", "issue", "--room", "room-x", "--for", "1h", "--staff"), 2, "",
               "room: found \"room-x\", expected the name of a room that exists");
    expect_run(SIGNALBOX_RUN("pin", "issue", "--room", "room-b", "--for", "8d", "--staff"), 2, "", "a week");
    expect_run(SIGNALBOX_RUN("pin", "issue", "--room", "room-b", "--for", "1h", "--user", "a;b"), 2, "", "user: found");
    expect_run(SIGNALBOX_RUN("pin", "issue", "--room", "room-b", "--for", "soon", "--staff"), 2, "",
               "usage: signalbox pin issue");
    expect_run(SIGNALBOX_RUN("pin", "revoke"), 2, "", "usage: signalbox pin issue");
    expect_run(SIGNALBOX_RUN("audit"), 0, "pin issued", "");
    expect_run(SIGNALBOX_RUN("audit"), 0, "user 42 for 3600 s, key k3", "");
    expect_run(SIGNALBOX_RUN("pin", "rotate"), 0, "k4", "");
    expect_run(SIGNALBOX_RUN("pin", "keys"), 0, "k3", "");
    expect_said_nowhere(secret);
    ck_assert(WIFSIGNALED(served_end(&served, SIGKILL)));
    served_start(&served, NULL, NULL); /* keys are kept */
    g_autofree char *kept = rooms_part(agent);
    ck_assert_ptr_nonnull(strstr(kept, secret));
    expect_run(SIGNALBOX_RUN("pin", "revoke", "--reason", "lost"), 0, "k5", "");
    g_autofree char *now = rooms_part(agent);
    for (int64_t until_us = loop_now_us() + 10 * G_USEC_PER_SEC;
         strstr(now, "pin/k5 ") == NULL && loop_now_us() < until_us; now = rooms_part(agent)) {
        g_free(now); /* held until the reign's claim ends */
        poll(NULL, 0, 20);
    }
    ck_assert_msg(strstr(now, "pin/k5 ") != NULL && strstr(now, "pin/k3 ") == NULL && strstr(now, "pin/k4 ") == NULL,
                  "%s", now);
}
END_TEST

static char *step_text(const char *id, const char *step, const char *member)
{
    json_t *execution = run_json(SIGNALBOX_RUN("execution", "show", id, "--json")), *row;
    size_t i;
    char *text = NULL;
    json_array_foreach (json_object_get(execution, "steps"), i, row)
        if (strcmp(text_at(row, "name"), step) == 0)
            text = g_strdup(text_at(row, member));
    json_decref(execution);
    return text;
}

/* What people do to a run, over the local socket, where all are one person, and with a token, as another. */
START_TEST(acts_on_an_execution)
{
    const char *plan = "{\"plans\":[{\"plan\":\"careful\",\"target\":\"pop\",\"steps\":["
                       "{\"name\":\"second\",\"approve\":\"Look first.\"},"
                       "{\"name\":\"edges\",\"wait\":\"edges\",\"timeout\":\"10m\"},"
                       "{\"name\":\"out\",\"set\":[{\"control\":\"pop\",\"on\":\"$target\",\"value\":\"out\"}]}]}]}";
    json_t *answer = NULL;
    served_apply_site(&served);
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/apply", NULL, plan, NULL), 200);
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/plans/careful/run", NULL, "{\"target\":\"pop-a1\"}", &answer),
                      202);
    g_autofree char *id = g_strdup(text_at(answer, "id")), *binding = step_text(id, "second", "binding"),
                    *bob = served_token(&served, "bob", "operator"), *eve = served_token(&served, "eve", "viewer"),
                    *path = g_strdup_printf("/v1/executions/%s/acts", id),
                    *body = g_strdup_printf("{\"act\":\"approve\",\"binding\":\"%s\"}", binding);
    json_decref(answer);
    expect_run(SIGNALBOX_RUN("status"), 0, "waits for an approval", "");
    expect_run(SIGNALBOX_RUN("execution", "approve", id, "--binding", binding), 1, "", "expected a person other than");
    ck_assert_uint_eq(served_call(&served, served.operators, eve, "POST", path, NULL, body, NULL, NULL), 403);
    ck_assert_uint_eq(
        served_call(&served, served.operators, bob, "POST", path, NULL, "{\"act\":\"approve\"}", NULL, NULL), 409);
    ck_assert_uint_eq(served_call(&served, served.operators, bob, "POST", path, NULL, body, NULL, NULL), 200);
    ck_assert_uint_eq(served_call(&served, served.operators, bob, "POST", path, NULL, body, NULL, NULL), 409);
    expect_run(SIGNALBOX_RUN("execution", "pause", id), 0, "", "");
    expect_run(SIGNALBOX_RUN("execution", "pause", id), 1, "", "is paused already");
    expect_run(SIGNALBOX_RUN("execution", "skip", id, "--step", "edges", "--reason", "no edges here"), 0,
               "skipped by uid:", "");
    expect_run(SIGNALBOX_RUN("execution", "resume", id), 0, "pop/pop-a1 out", "");
    expect_run(SIGNALBOX_RUN("execution", "wait", id), 0, "succeeded", "");
    expect_run(SIGNALBOX_RUN("execution", "force", id, "--reason", "late"), 1, "", "is succeeded, expected running");
    expect_run(SIGNALBOX_RUN("execution", "force"), 2, "", "usage: signalbox execution");
    expect_run(SIGNALBOX_RUN("plan", "show", "room-isolated"), 0, "Way back", "");
    expect_run(SIGNALBOX_RUN("plan", "run", "service-switch", "--confirm", "home", "--param", "to=room-b", "--dry-run"),
               0, "split home", "");
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_test(tcase, exit_codes);
    tcase_add_test(tcase, a_report);
    tcase_add_test(tcase, follows_through_a_restart);
    tcase_add_test(tcase, alarms_and_who_looks_after_them);
    tcase_add_test(tcase, reminders_hang_on_levers);
    tcase_add_test(tcase, tokens_with_scopes_and_an_end);
    tcase_add_test(tcase, pins_and_their_keys);
    tcase_add_test(tcase, acts_on_an_execution);
}

int main(void)
{
    return unit_run("cli", add);
}
