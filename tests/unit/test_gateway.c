/* The real signalbox-gateway beside a real BIRD and a forwarder without ports, with a control server; and kill -9 of
 * each of them. */
#include "core/loop.h"
#include "gateway/keeper.h"
#include "tests/unit/agent_server.h"
#include "tests/unit/gatewaystage.h"
#include "tests/unit/unit.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define DEADLINE_US 20000000
#define EPOCH 131073u
#define KILLS 5

struct stage {
    char *dir, *url, *bird_path, *forwarder_path, *socket;
    struct server server;
    pid_t gateway, bird, forwarder, backend[2];
    uint16_t port[2]; /* of the backends */
    char *layout;
    const char *more;  /* an option more for the agent; NULL: none */
    unsigned slow_ms;  /* slow start of home's backends */
    uint16_t vip_port; /* service home is at it, of 127.0.0.1; 0: elsewhere */
};

static pid_t gateway_start(const struct stage *s, const char *settle)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nothing behind */
    g_autofree char *log = g_build_filename(s->dir, "log", NULL);
    if (freopen(log, "a", stderr) == NULL)
        _exit(126);
    execl(SIGNALBOX_GATEWAY, SIGNALBOX_GATEWAY, "--name=gw-1", "--cluster=two-rooms", "--state", s->dir,
          "--forwarder-socket", s->forwarder_path, "--bird-socket", s->bird_path, "--socket", s->socket, "--server",
          s->url, settle, "--settle-max=2000", "--calm=100", s->more, NULL);
    _exit(127);
}

/* A table with two backends, of which that of vip_b is not checked. `in`: in or out; `way`: port of the neighbour. */
static void say_table(struct stage *s, uint64_t generation, const char *in, unsigned port)
{
    g_autofree char *at = s->vip_port != 0 ? g_strdup_printf("127.0.0.1:%u", s->vip_port) : g_strdup("198.51.100.1:80");
    g_free(s->layout);
    s->layout = g_strdup_printf("adjacency/00 %u|192.0.2.1|192.0.2.2|1500\n"
                                "backend/home/b1 127.0.0.1:%u|0|adjacency/00|100|0\n"
                                "backend/home/b2 127.0.0.1:%u|1|adjacency/00|100|0\n"
                                "backend/other/b3 127.0.0.1:9|2|adjacency/00|100|0\n"
                                "check/home tcp|50|50|1|2|%u||\n"
                                "class gateway\n"
                                "gateway %s\n"
                                "local/00 10.0.0.1\n"
                                "seed 00112233445566778899aabbccddeeff\n"
                                "service/home %s|tcp|-|vip_a\n"
                                "service/other 198.51.100.2:80|tcp|-|vip_b\n",
                                port, s->port[0], s->port[1], s->slow_ms, in, at);
    const struct edge_table_text text = {
        .layout = s->layout, .routes = "", .policies = "", .splits = "", .rooms = "", .origins = "", .agent = "gw-1"};
    server_says(&s->server, EPOCH, generation, "two-rooms", &text, NONE);
}

static void stage_begin_with(struct stage *s, const char *more, bool home_is_b2)
{
    *s = (struct stage){.dir = g_dir_make_tmp("sb-gateway-XXXXXX", NULL)};
    for (unsigned i = 0; i < 2; i++)
        s->backend[i] = backend_start(&s->port[i]);
    s->more = more;
    s->vip_port = home_is_b2 ? s->port[1] : 0;
    s->bird_path = g_build_filename(s->dir, "bird.ctl", NULL);
    s->forwarder_path = g_build_filename(s->dir, "forwarder.sock", NULL);
    s->socket = g_build_filename(s->dir, "gateway.sock", NULL);
    server_start(&s->server, EPOCH, 1, &(struct edge_table_text){.agent = "gw-1"});
    s->url = g_strdup_printf("http://127.0.0.1:%u", s->server.port);
    say_table(s, 5, "in", 0);
    s->bird = birdd_start(s->bird_path);
    s->forwarder = portless_start(s->forwarder_path, 1);
    s->gateway = gateway_start(s, "--settle=100");
}

static void stage_begin(struct stage *s)
{
    stage_begin_with(s, NULL, false);
}

static void stage_end(struct stage *s)
{
    int status = 1;
    kill(s->gateway, SIGTERM);
    waitpid(s->gateway, &status, 0);
    ck_assert_int_eq(status, 0);
    kill9(&s->forwarder);
    kill9(&s->bird);
    server_stop(&s->server);
    for (unsigned i = 0; i < 2; i++)
        kill9(&s->backend[i]);
    unit_remove_all(s->dir);
    char *const strings[] = {s->dir, s->url, s->bird_path, s->forwarder_path, s->socket, s->layout};
    for (size_t i = 0; i < G_N_ELEMENTS(strings); i++)
        g_free(strings[i]);
}

/* What the agent says on its local socket; json_decref. NULL: it is not there. */
static json_t *status(const struct stage *s)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    g_strlcpy(to.sun_path, s->socket, sizeof to.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_autoptr(GString) text = g_string_new(NULL);
    char part[4096];
    ssize_t n;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 && send(fd, "status\n", 7, MSG_NOSIGNAL) == 7)
        while ((n = recv(fd, part, sizeof part, 0)) > 0)
            g_string_append_len(text, part, n);
    close(fd);
    return json_loads(text->str, 0, NULL);
}

/* "STATE GENERATION ERROR", or a piece of it; what is said of vips and backends: "vip_a+ vip_b- b1=up b2=down b3=up".
 */
static char *picture(const struct stage *s)
{
    json_t *all = status(s), *gateway = json_object_get(all, "gateway"), *row;
    const char *error = json_string_value(json_object_get(all, "error"));
    GString *text = g_string_new(NULL);
    size_t i;
    g_string_printf(text, "%s %d [%s]", json_string_value(json_object_get(all, "state")),
                    (int)json_integer_value(json_object_get(json_object_get(all, "applied"), "generation")),
                    error != NULL ? error : "");
    json_array_foreach (json_object_get(gateway, "vips"), i, row)
        g_string_append_printf(text, " %s%c", json_string_value(json_object_get(row, "name")),
                               json_is_true(json_object_get(row, "announced")) ? '+' : '-');
    json_array_foreach (json_object_get(gateway, "backends"), i, row)
        g_string_append_printf(text, " %s=%s/%d", json_string_value(json_object_get(row, "backend")),
                               json_string_value(json_object_get(row, "state")),
                               (int)json_integer_value(json_object_get(row, "weight")));
    json_decref(all);
    return g_string_free(text, FALSE);
}

static void await_picture(const struct stage *s, const char *pattern)
{
    for (int64_t until_us = loop_now_us() + DEADLINE_US;; poll(NULL, 0, 5)) {
        g_autofree char *found = picture(s);
        if (g_pattern_match_simple(pattern, found))
            return;
        ck_assert_msg(loop_now_us() < until_us, "found: %s, expected: %s", found, pattern);
    }
}

/* What BIRD says, and how long it took, in µs. */
static int64_t await_both(const struct stage *s, const char *a, bool announces_a, const char *b, bool announces_b)
{
    int64_t begin_us = loop_now_us();
    while (birdd_announces(s->bird_path, a) != announces_a || birdd_announces(s->bird_path, b) != announces_b)
        ck_assert_msg(loop_now_us() - begin_us < DEADLINE_US, "BIRD does not: %s %d, %s %d", a, announces_a, b,
                      announces_b);
    return loop_now_us() - begin_us;
}

/* As it should be and as the last resort, too. */
static int64_t await_bird(const struct stage *s, bool a, bool b)
{
    int64_t took_us = await_both(s, "vip_a", a, "vip_b", b);
    return took_us + await_both(s, "last_vip_a", a, "last_vip_b", b);
}

/* Number of the table that the forwarder shows. */
static uint64_t in_force(const struct stage *s)
{
    json_t *all = status(s);
    uint64_t number = (uint64_t)json_integer_value(json_object_get(json_object_get(all, "gateway"), "table"));
    json_decref(all);
    return number;
}

START_TEST(a_table_comes_into_force)
{
    struct stage s;
    stage_begin(&s);
    await_picture(&s, "applied 5 [] vip_a+ vip_b+ b1=up/100 b2=up/100 b3=up/100");
    await_bird(&s, true, true);
    ck_assert_uint_gt(in_force(&s), 0);
    say_table(&s, 6, "out", 0); /* a person's word */
    await_picture(&s, "applied 6 [] vip_a- vip_b- *");
    await_bird(&s, false, false);
    say_table(&s, 7, "in", 0);
    await_picture(&s, "applied 7 [] vip_a+ vip_b+ *");
    await_bird(&s, true, true);
    stage_end(&s);
}
END_TEST

START_TEST(a_table_that_is_refused_changes_nothing)
{
    struct stage s;
    stage_begin(&s);
    await_picture(&s, "applied 5 [] vip_a+ vip_b+ *");
    say_table(&s, 6, "in", 3); /* the forwarder has one port */
    await_picture(&s, "failing 5 [*refused: adjacency 0: port 3, there are 1*] vip_a+ vip_b+ b1=up/100 *");
    ck_assert(birdd_announces(s.bird_path, "vip_a"));
    say_table(&s, 7, "inside", 0); /* its own grammar */
    await_picture(&s, "* 5 [*expected gateway in or out*] vip_a+ vip_b+ b1=up/100 *");
    ck_assert(birdd_announces(s.bird_path, "vip_a"));
    say_table(&s, 8, "in", 0);
    await_picture(&s, "applied 8 [] vip_a+ vip_b+ *");
    stage_end(&s);
}
END_TEST

/* What the forwarder says to a table is not what it does with it. */
START_TEST(a_table_that_is_not_shown_is_not_in_force)
{
    struct stage s;
    stage_begin(&s);
    await_picture(&s, "applied 5 [] vip_a+ vip_b+ *");
    kill9(&s.forwarder);
    s.forwarder = stuck_start(s.forwarder_path);
    await_picture(&s, "applied 5 [] vip_a+ vip_b+ *"); /* its first one */
    say_table(&s, 6, "out", 0);
    await_picture(&s, "failing 5 [*the forwarder took the table, but does not show it*] vip_a+ vip_b+ *");
    stage_end(&s);
}
END_TEST

START_TEST(shares_follow_checks)
{
    struct stage s;
    stage_begin(&s);
    await_picture(&s, "applied 5 [] vip_a+ vip_b+ b1=up/100 b2=up/100 *");
    uint64_t before = in_force(&s);
    kill9(&s.backend[0]);
    await_picture(&s, "applied 5 [] vip_a+ vip_b+ b1=down/0 b2=up/100 b3=up/100");
    for (int64_t until_us = loop_now_us() + DEADLINE_US; in_force(&s) <= before; poll(NULL, 0, 5))
        ck_assert_int_lt(loop_now_us(), until_us); /* the forwarder has been told */
    kill9(&s.backend[1]);
    await_picture(&s, "applied 5 [] vip_a- vip_b+ b1=down/0 b2=down/0 b3=up/100");
    await_bird(&s, false, true);
    stage_end(&s);
}
END_TEST

/* Of the first backend. */
static int weight_now(const struct stage *s)
{
    json_t *all = status(s);
    const json_t *backend = json_array_get(json_object_get(json_object_get(all, "gateway"), "backends"), 0);
    int weight = (int)json_integer_value(json_object_get(backend, "weight"));
    json_decref(all);
    return weight;
}

/* One that is killed is out when two questions, 50 ms apart, have found nobody; one that comes back gets its share by
 * tenths. */
START_TEST(a_backend_comes_back_slowly)
{
    struct stage s;
    stage_begin(&s);
    s.slow_ms = 1000;
    say_table(&s, 6, "in", 0);
    await_picture(&s, "applied 6 [] vip_a+ vip_b+ b1=up/100 *");
    int64_t killed_us = loop_now_us(), until_us = killed_us + DEADLINE_US, begun_us = 0;
    kill9(&s.backend[0]);
    while (weight_now(&s) > 0)
        ck_assert_int_lt(loop_now_us(), until_us);
    printf("out %.0f ms after it was killed\n", (double)(loop_now_us() - killed_us) / 1e3);
    ck_assert_int_lt(loop_now_us() - killed_us, 1000000); /* 150 ms, on a machine that has time */
    s.backend[0] = backend_start(&s.port[0]);
    unsigned steps = 0;
    for (int weight = 0, before = 0; weight < 100; before = weight) {
        weight = weight_now(&s);
        if (before == 0 && weight > 0)
            begun_us = loop_now_us();
        ck_assert_int_ge(weight, before);
        ck_assert_int_eq(weight % 10, 0);
        ck_assert_int_lt(loop_now_us(), until_us);
        steps += weight > before && weight < 100;
    }
    ck_assert_uint_ge(steps, 3);
    ck_assert_int_ge(loop_now_us() - begun_us, 500000);
    stage_end(&s);
}
END_TEST

/* An address is asked itself, once a table is in force: one that has answered, and does not any more, is not announced,
 * although a backend is well. */
START_TEST(a_silent_address_is_taken_back)
{
    struct stage s;
    stage_begin_with(&s, "--probe=50", true);
    await_picture(&s, "applied 5 [] vip_a+ vip_b+ *");
    for (int64_t until_us = loop_now_us() + DEADLINE_US;; poll(NULL, 0, 5)) {
        json_t *all = status(&s), *probes = json_object_get(json_object_get(all, "gateway"), "probes");
        bool well = json_integer_value(json_object_get(json_array_get(probes, 0), "good")) > 0;
        ck_assert_uint_eq(json_array_size(probes), 1); /* vip_b is not checked */
        json_decref(all);
        if (well)
            break;
        ck_assert_int_lt(loop_now_us(), until_us);
    }
    kill9(&s.backend[1]);
    await_picture(&s, "applied 5 [] vip_a- vip_b+ b1=up/100 b2=down/0 b3=up/100");
    await_bird(&s, false, true);
    json_t *all = status(&s), *vip = json_array_get(json_object_get(json_object_get(all, "gateway"), "vips"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(vip, "why")), "it does not answer from end to end any more");
    json_decref(all);
    stage_end(&s);
}
END_TEST

/* One that never has is a matter of routing. */
START_TEST(an_address_that_never_answered_is_announced)
{
    struct stage s;
    stage_begin_with(&s, "--probe=20", true);
    kill9(&s.backend[1]);
    await_picture(&s, "applied 5 [] vip_a+ vip_b+ b1=up/100 b2=down/0 *");
    uint64_t bad = 0;
    for (int64_t until_us = loop_now_us() + DEADLINE_US; bad < 5; poll(NULL, 0, 5)) {
        json_t *all = status(&s), *probes = json_object_get(json_object_get(all, "gateway"), "probes");
        bad = (uint64_t)json_integer_value(json_object_get(json_array_get(probes, 0), "bad"));
        json_decref(all);
        ck_assert_int_lt(loop_now_us(), until_us);
    }
    await_picture(&s, "applied 5 [] vip_a+ vip_b+ *");
    stage_end(&s);
}
END_TEST

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

START_TEST(a_forwarder_that_dies_takes_its_addresses_along)
{
    struct stage s;
    int64_t gone_us[KILLS];
    stage_begin(&s);
    for (int i = 0; i < KILLS; i++) {
        await_picture(&s, "applied 5 [] vip_a+ vip_b+ *");
        await_bird(&s, true, true);
        kill9(&s.forwarder);
        gone_us[i] = await_bird(&s, false, false);
        await_picture(&s, "failing 5 [the forwarder is*] vip_a- vip_b- *");
        s.forwarder = portless_start(s.forwarder_path, 1);
    }
    qsort(gone_us, KILLS, sizeof *gone_us, by_number);
    printf("kill -9 of the forwarder to BIRD without the addresses: %.0f to %.0f ms\n", (double)gone_us[0] / 1e3,
           (double)gone_us[KILLS - 1] / 1e3);
    await_picture(&s, "applied 5 [] vip_a+ vip_b+ *");
    stage_end(&s);
}
END_TEST

START_TEST(a_bird_that_restarts_is_told_again)
{
    struct stage s;
    stage_begin(&s);
    await_picture(&s, "applied 5 [] vip_a+ vip_b+ *");
    await_bird(&s, true, true);
    kill9(&s.bird);
    s.bird = birdd_start(s.bird_path);
    printf("BIRD announces again after %.0f ms\n", (double)await_bird(&s, true, true) / 1e3);
    stage_end(&s);
}
END_TEST

static void expect_announced(const struct stage *s, const char *prefix)
{
    g_autofree char *a = g_strconcat(prefix, "vip_a", NULL), *b = g_strconcat(prefix, "vip_b", NULL);
    ck_assert(birdd_announces(s->bird_path, a) && birdd_announces(s->bird_path, b));
}

/* In order. With its server dead, too: last-good from disk. BIRD goes on announcing all the time. */
START_TEST(an_agent_that_restarts_moves_nothing)
{
    struct stage s;
    int status = 1;
    stage_begin(&s);
    await_picture(&s, "applied 5 [] vip_a+ vip_b+ *");
    await_bird(&s, true, true);
    uint64_t before = in_force(&s);
    say_table(&s, 5, "in", 0);
    s.server.lie = STATUS_500;
    kill(s.gateway, SIGTERM);
    waitpid(s.gateway, &status, 0);
    ck_assert_int_eq(status, 0);
    expect_announced(&s, "");
    s.gateway = gateway_start(&s, "--settle=1500"); /* BIRD is told again before */
    int64_t until_us = loop_now_us() + DEADLINE_US;
    for (uint64_t now = 0; now == 0; now = in_force(&s)) {
        expect_announced(&s, "");
        ck_assert_int_lt(loop_now_us(), until_us);
    }
    ck_assert_uint_gt(in_force(&s), before);
    for (bool settled = false; !settled;) {
        g_autofree char *found = picture(&s);
        settled = strstr(found, "vip_a+ vip_b+") != NULL;
        expect_announced(&s, "");
        ck_assert_int_lt(loop_now_us(), until_us);
    }
    stage_end(&s);
}
END_TEST

/* The agent's only child; 0: it has none. */
static pid_t keeper_of(const struct stage *s)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/children", (int)s->gateway, (int)s->gateway);
    g_autofree char *text = NULL;
    ck_assert(g_file_get_contents(path, &text, NULL, NULL));
    return (pid_t)g_ascii_strtoll(text, NULL, 10);
}

/* What is left is the last resort, all the time; the next agent, at once or when nobody is there, announces again. */
START_TEST(an_agent_that_dies_leaves_the_last_resort)
{
    struct stage s;
    int64_t gone_us[KILLS];
    stage_begin(&s);
    for (int i = 0; i < KILLS; i++) {
        await_picture(&s, "applied 5 [] vip_a+ vip_b+ *");
        await_bird(&s, true, true);
        kill(keeper_of(&s), SIGTERM); /* as a service manager does that ends a unit */
        kill9(&s.gateway);
        if (i % 2 != 0)
            s.gateway = gateway_start(&s, "--settle=300");
        gone_us[i] = await_both(&s, "vip_a", false, "vip_b", false);
        expect_announced(&s, "last_");
        if (i % 2 == 0)
            s.gateway = gateway_start(&s, "--settle=100");
    }
    qsort(gone_us, KILLS, sizeof *gone_us, by_number);
    printf("kill -9 of the agent to BIRD with the last resort only: %.0f to %.0f ms\n", (double)gone_us[0] / 1e3,
           (double)gone_us[KILLS - 1] / 1e3);
    await_picture(&s, "applied 5 [] vip_a+ vip_b+ *");
    await_bird(&s, true, true);
    stage_end(&s);
}
END_TEST

/* BIRD hangs: the keeper has KEEPER_S, and no agent is there before it has ended. What it has said is said before the
 * words of the next one. */
START_TEST(an_agent_waits_for_the_keeper_before)
{
    struct stage s;
    stage_begin(&s);
    await_picture(&s, "applied 5 [] vip_a+ vip_b+ *");
    await_bird(&s, true, true);
    kill(s.bird, SIGSTOP);
    int64_t killed_us = loop_now_us();
    kill9(&s.gateway);
    s.gateway = gateway_start(&s, "--settle=100");
    json_t *said;
    while ((said = status(&s)) == NULL)
        ck_assert_int_lt(loop_now_us(), killed_us + DEADLINE_US);
    json_decref(said);
    ck_assert_int_ge(loop_now_us() - killed_us, KEEPER_S * G_USEC_PER_SEC);
    kill(s.bird, SIGCONT);
    await_picture(&s, "applied 5 [] vip_a+ vip_b+ *");
    await_both(&s, "vip_a", true, "last_vip_a", true);
    stage_end(&s);
}
END_TEST

START_TEST(a_keeper_that_dies_is_replaced)
{
    struct stage s;
    stage_begin(&s);
    await_picture(&s, "applied 5 [] vip_a+ vip_b+ *");
    await_bird(&s, true, true);
    pid_t first = keeper_of(&s), second = 0;
    ck_assert_int_gt(first, 0);
    kill(first, SIGKILL);
    for (int64_t until_us = loop_now_us() + DEADLINE_US; second == 0 || second == first; second = keeper_of(&s))
        ck_assert_int_lt(loop_now_us(), until_us);
    expect_announced(&s, "");
    kill9(&s.gateway);
    await_both(&s, "vip_a", false, "vip_b", false);
    expect_announced(&s, "last_");
    s.gateway = gateway_start(&s, "--settle=100");
    await_bird(&s, true, true);
    stage_end(&s);
}
END_TEST

START_TEST(a_second_agent_is_refused)
{
    struct stage s;
    int status = 0;
    stage_begin(&s);
    await_picture(&s, "applied 5 [] vip_a+ vip_b+ *");
    await_bird(&s, true, true);
    pid_t second = gateway_start(&s, "--settle=100");
    ck_assert_int_eq(waitpid(second, &status, 0), second);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    await_picture(&s, "applied 5 [] vip_a+ vip_b+ *");
    expect_announced(&s, "");
    stage_end(&s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_table_comes_into_force);
    tcase_add_test(tcase, a_table_that_is_refused_changes_nothing);
    tcase_add_test(tcase, a_table_that_is_not_shown_is_not_in_force);
    tcase_add_test(tcase, shares_follow_checks);
    tcase_add_test(tcase, a_backend_comes_back_slowly);
    tcase_add_test(tcase, a_silent_address_is_taken_back);
    tcase_add_test(tcase, an_address_that_never_answered_is_announced);
    tcase_add_test(tcase, a_forwarder_that_dies_takes_its_addresses_along);
    tcase_add_test(tcase, a_bird_that_restarts_is_told_again);
    tcase_add_test(tcase, an_agent_that_restarts_moves_nothing);
    tcase_add_test(tcase, an_agent_that_dies_leaves_the_last_resort);
    tcase_add_test(tcase, an_agent_waits_for_the_keeper_before);
    tcase_add_test(tcase, a_keeper_that_dies_is_replaced);
    tcase_add_test(tcase, a_second_agent_is_refused);
}

int main(void)
{
    return unit_run("gateway", add);
}
