/* The real signalbox-edge beside a real HAProxy, with a control server that is not to be trusted, and with kill -9. */
#include "core/fileio.h"
#include "core/loop.h"
#include "tests/unit/agent_server.h"
#include "tests/unit/unit.h"

#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEADLINE_US 20000000
#define EPOCH 131073u

static const struct edge_table_text rest = {.layout = "class public\norigin/room-a/pop-a1 127.0.0.1:1\n"
                                                      "origin/room-b/pop-b1 127.0.0.1:1\n",
                                            .origins = ""};
static const struct edge_table_text closed = {
    .layout = "class public\norigin/room-a/pop-a1 127.0.0.1:1\norigin/room-b/pop-b1 127.0.0.1:1\n",
    .rooms = "multi/room-a room-b\nmulti/room-b room-b\nsingle/room-a -\nsingle/room-b room-b\n",
    .origins = "multi/room-a/pop-a1 out\nsingle/room-a/pop-a1 out\n"};

/* ---- the stage ---- */

struct stage {
    char *dir, *url[2], *listen, *socket, *haproxy_socket, *master_socket;
    struct server server[2];
    unsigned n_servers;
    pid_t edge, haproxy;
};

static pid_t spawn(const struct stage *s, const char *const *argv)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* a failed test leaves nothing behind */
    g_autofree char *log = g_build_filename(s->dir, "log", NULL);
    if (freopen(log, "a", stderr) == NULL)
        _exit(126);
    execvp(argv[0], (char **)(uintptr_t)argv);
    _exit(127);
}

static pid_t spawn_edge(const struct stage *s, bool render_only)
{
    const char *argv[24] = {SIGNALBOX_EDGE,    "--name=edge-1", "--cluster=two-rooms",
                            "--state",         s->dir,          "--haproxy-socket",
                            s->haproxy_socket, "--listen",      s->listen,
                            "--socket",        s->socket,       "--master-socket",
                            s->master_socket,  "--server",      s->url[0]};
    int n = 15;
    if (s->n_servers == 2) {
        argv[n++] = "--server";
        argv[n++] = s->url[1];
    }
    if (render_only)
        argv[n++] = "--render-only";
    return spawn(s, argv);
}

/* As the service manager does: files from last-good first. */
static void start_haproxy(struct stage *s)
{
    int status = 1;
    g_autofree char *config = g_build_filename(s->dir, "haproxy.cfg", NULL);
    ck_assert_int_gt(waitpid(spawn_edge(s, true), &status, 0), 0);
    ck_assert_int_eq(status, 0);
    const char *const argv[] = {"haproxy", "-W", "-S", s->master_socket, "-f", config, NULL};
    s->haproxy = spawn(s, argv);
}

static char *say(const char *path, const char *command)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    g_strlcpy(to.sun_path, path, sizeof to.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    GString *text = g_string_new(NULL);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 && send(fd, command, strlen(command), MSG_NOSIGNAL) > 0) {
        char buffer[4096];
        ssize_t n;
        while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0)
            g_string_append_len(text, buffer, n);
    }
    close(fd);
    return g_string_free(text, FALSE);
}

static void stage_begin(struct stage *s, unsigned n_servers)
{
    uint16_t port;
    *s = (struct stage){.dir = g_dir_make_tmp("sb-program-XXXXXX", NULL), .n_servers = n_servers};
    for (unsigned i = 0; i < n_servers; i++) {
        server_start(&s->server[i], EPOCH, 5, &rest);
        s->url[i] = g_strdup_printf("http://127.0.0.1:%u", s->server[i].port);
    }
    close(listen_any(&port)); /* free a moment ago */
    s->listen = g_strdup_printf("127.0.0.1:%u", port);
    s->socket = g_build_filename(s->dir, "edge.sock", NULL);
    s->haproxy_socket = g_build_filename(s->dir, "haproxy.sock", NULL);
    s->master_socket = g_build_filename(s->dir, "master.sock", NULL);
    start_haproxy(s);
    s->edge = spawn_edge(s, false);
}

static void stage_end(struct stage *s)
{
    int status = 1;
    kill(s->edge, SIGTERM);
    waitpid(s->edge, &status, 0);
    ck_assert_int_eq(status, 0);
    kill(s->haproxy, SIGTERM);
    waitpid(s->haproxy, NULL, 0);
    for (unsigned i = 0; i < s->n_servers; i++) {
        server_stop(&s->server[i]);
        g_free(s->url[i]);
    }
    unit_remove_all(s->dir);
    char *const strings[] = {s->dir, s->listen, s->socket, s->haproxy_socket, s->master_socket};
    for (size_t i = 0; i < G_N_ELEMENTS(strings); i++)
        g_free(strings[i]);
}

/* Waits until the local socket says state, generation and a piece of the error ("": none at all). */
static void await_status(struct stage *s, const char *state, uint64_t generation, const char *error)
{
    int64_t until_us = loop_now_us() + DEADLINE_US;
    for (;;) {
        g_autofree char *text = say(s->socket, "status\n");
        json_t *status = json_loads(text, 0, NULL);
        const char *why = json_string_value(json_object_get(status, "error"));
        json_int_t at = json_integer_value(json_object_get(json_object_get(status, "applied"), "generation"));
        bool there = g_strcmp0(json_string_value(json_object_get(status, "state")), state) == 0 &&
                     (uint64_t)at == generation &&
                     (error[0] == '\0' ? why == NULL : why != NULL && strstr(why, error) != NULL);
        json_decref(status);
        if (there)
            return;
        ck_assert_msg(loop_now_us() < until_us, "never %s at %u with '%s': %s", state, (unsigned)generation, error,
                      text);
        poll(NULL, 0, 5);
    }
}

static void expect_meta(struct stage *s, const char *generation)
{
    g_autofree char *command = g_strdup_printf("show map %s/meta.map\n", s->dir);
    g_autofree char *row = g_strdup_printf(" generation %s\n", generation);
    g_autofree char *rows = say(s->haproxy_socket, command);
    ck_assert_msg(strstr(rows, row) != NULL, "generation %s not in %s", generation, rows);
}

/* Lines of applied.log; each newer than the one before. */
static unsigned read_applied_log(struct stage *s)
{
    g_autofree char *path = g_build_filename(s->dir, "applied.log", NULL);
    g_autofree char *text = file_read(path, 1u << 20, NULL, NULL);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    struct stamp last = {0};
    unsigned n = 0;
    for (; lines[n] != NULL && lines[n][0] != '\0'; n++) {
        json_t *json = json_loads(lines[n], 0, NULL);
        struct stamp stamp = {(uint64_t)json_integer_value(json_object_get(json, "epoch")),
                              (uint64_t)json_integer_value(json_object_get(json, "generation"))};
        ck_assert_msg(stamp_compare(stamp, last) > 0, "line %u: %s, in:\n%s", n + 1, lines[n], text);
        last = stamp;
        json_decref(json);
    }
    return n;
}

/* ---- tests ---- */

START_TEST(what_a_server_must_not_say_changes_nothing)
{
    g_autofree char *endless = g_strnfill(20000, 'b'), *rooms = g_strdup_printf("multi/room-a %s\n", endless);
    const struct edge_table_text second = {.rooms = "multi/room-a room-b;shutdown\n"},
                                 payload = {.rooms = "multi/room-a <<\n"}, torn = {.rooms = "multi/room-a room\n-b\n"},
                                 large = {.rooms = rooms};
    const struct {
        uint64_t epoch, generation;
        const char *cluster;
        const struct edge_table_text *text;
        enum lie lie;
        const char *state, *error;
    } rows[] = {
        {EPOCH - 65536, 99, "two-rooms", &closed, NONE, "refused", "epoch 131073 was promised"},
        {EPOCH, 4, "two-rooms", &closed, NONE, "refused", "generation 5 of epoch 131073 is in force"},
        {EPOCH, 5, "two-rooms", &closed, HALF_JSON, "applied", "no JSON"},
        {EPOCH, 6, "three-rooms", &closed, NONE, "refused", "of cluster 'three-rooms'"},
        {EPOCH, 6, "two-rooms", &closed, WRONG_BYTES, "refused", "has hash"},
        {EPOCH, 6, "two-rooms", &second, NONE, "refused", "part rooms, line 1: found \"multi/room-a room-b;"},
        {EPOCH, 6, "two-rooms", &payload, NONE, "refused", "part rooms, line 1: found \"multi/room-a <<"},
        {EPOCH, 6, "two-rooms", &torn, NONE, "refused", "part rooms, line 2: found \"-b"},
        {EPOCH, 6, "two-rooms", &large, NONE, "refused", "part rooms, line 1: found a longer line"},
        {EPOCH, 6, "two-rooms", &closed, STATUS_500, "applied", "500: out of order"},
        {EPOCH, 6, "two-rooms", &closed, HALF_BODY, "applied", "bytes remaining"},
        {EPOCH, 6, "two-rooms", &closed, NO_ANSWER, "applied", "127.0.0.1"},
        {EPOCH, 6, "two-rooms", &closed, NO_PARTS, "failing", "404"},
    };
    struct stage s;
    stage_begin(&s, 1);
    await_status(&s, "applied", 5, "");
    g_autofree char *show = g_strdup_printf("show map %s/rooms.map\n", s.dir), *before = say(s.haproxy_socket, show);
    ck_assert_msg(strstr(before, " multi/room-a room-a\n") != NULL, "%s", before);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        server_says(&s.server[0], rows[i].epoch, rows[i].generation, rows[i].cluster, rows[i].text, rows[i].lie);
        await_status(&s, rows[i].state, 5, rows[i].error);
        expect_meta(&s, "5");
        g_autofree char *now = say(s.haproxy_socket, show);
        ck_assert_str_eq(now, before);
        server_says(&s.server[0], EPOCH, 5, "two-rooms", &rest, NONE);
        await_status(&s, "applied", 5, "");
    }
    server_says(&s.server[0], EPOCH, 6, "two-rooms", &closed, NONE);
    await_status(&s, "applied", 6, "");
    expect_meta(&s, "6");
    ck_assert_uint_eq(read_applied_log(&s), 2);
    g_autofree char *unknown = say(s.socket, "reboot\n");
    ck_assert_msg(strstr(unknown, "error") != NULL, "%s", unknown);
    stage_end(&s);
}
END_TEST

START_TEST(an_old_server_beside_a_new_one_is_passed_over)
{
    struct stage s;
    stage_begin(&s, 2);
    await_status(&s, "applied", 5, "");
    server_says(&s.server[0], EPOCH - 65536, 99, "two-rooms", &closed, NONE);
    for (uint64_t generation = 6; generation < 12; generation++) {
        server_says(&s.server[1], EPOCH, generation, "two-rooms", generation % 2 == 0 ? &closed : &rest, NONE);
        await_status(&s, "applied", generation, "");
    }
    ck_assert_uint_eq(read_applied_log(&s), 7);
    stage_end(&s);
}
END_TEST

START_TEST(a_killed_agent_goes_on_where_it_was)
{
    struct stage s;
    uint64_t epoch = EPOCH, generation = 5, promised = 0;
    g_autofree char *promise = NULL;
    GRand *random = g_rand_new_with_seed(20240702);
    stage_begin(&s, 1);
    promise = g_build_filename(s.dir, "promise", NULL);
    for (unsigned kills = 0; kills < 40; kills++) {
        int64_t until_us = loop_now_us() + g_rand_int_range(random, 1000, 250000);
        epoch += kills % 10 == 9 ? 65536 : 0;
        while (loop_now_us() < until_us) { /* a stream of generations */
            generation++;
            server_says(&s.server[0], epoch, generation, "two-rooms", generation % 2 == 0 ? &closed : &rest, NONE);
            poll(NULL, 0, g_rand_int_range(random, 1, 30));
        }
        kill(s.edge, SIGKILL);
        waitpid(s.edge, NULL, 0);
        g_autofree char *text = file_read(promise, 64, NULL, NULL);
        uint64_t now = text != NULL ? g_ascii_strtoull(text, NULL, 10) : 0;
        ck_assert_uint_ge(now, promised);
        promised = now;
        s.edge = spawn_edge(&s, false);
    }
    await_status(&s, "applied", generation, "");
    g_autofree char *last = g_strdup_printf("%u", (unsigned)generation);
    expect_meta(&s, last);
    ck_assert_uint_gt(read_applied_log(&s), 10);
    g_rand_free(random);
    stage_end(&s);
}
END_TEST

START_TEST(a_killed_haproxy_and_a_lost_socket_are_said_and_repaired)
{
    struct stage s;
    stage_begin(&s, 1);
    await_status(&s, "applied", 5, "");
    g_autofree char *info = say(s.haproxy_socket, "show info\n");
    kill((pid_t)atoi(strstr(info, "\nPid: ") + 6), SIGKILL); /* its master ends as well */
    waitpid(s.haproxy, NULL, 0);
    await_status(&s, "failing", 5, "HAProxy: its socket: cannot connect");
    server_says(&s.server[0], EPOCH, 6, "two-rooms", &closed, NONE);
    start_haproxy(&s);
    await_status(&s, "applied", 6, "");
    g_autofree char *away = g_strconcat(s.haproxy_socket, ".away", NULL);
    ck_assert_int_eq(rename(s.haproxy_socket, away), 0);
    await_status(&s, "failing", 6, "No such file");
    ck_assert_int_eq(rename(away, s.haproxy_socket), 0);
    await_status(&s, "applied", 6, "");
    ck_assert_uint_eq(read_applied_log(&s), 2);
    stage_end(&s);
}
END_TEST

/* A request with this pin, whatever the answer. */
static void ask_with_pin(const struct stage *s, const char *pin)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    to.sin_port = htons((uint16_t)atoi(strchr(s->listen, ':') + 1));
    g_autofree char *request = g_strdup_printf("GET / HTTP/1.1\r\nHost: home.example.test\r\nConnection: close\r\n"
                                               "Cookie: uid=user-1; sb-pin=%s\r\n\r\n",
                                               pin);
    char answer[64] = "";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    ck_assert_int_gt(send(fd, request, strlen(request), MSG_NOSIGNAL), 0);
    ck_assert_int_gt(recv(fd, answer, sizeof answer - 1, 0), 0);
    close(fd);
}

/* Entrances each second, pins every ten: both are in what it says. */
START_TEST(pins_and_entrances_are_read)
{
    struct stage s;
    stage_begin(&s, 1);
    await_status(&s, "applied", 5, "");
    ask_with_pin(&s, "stranger");
    int64_t until_us = loop_now_us() + DEADLINE_US;
    for (json_int_t seen = 0; seen == 0;) {
        g_autofree char *text = say(s.socket, "status\n");
        json_t *status = json_loads(text, 0, NULL), *pins = json_object_get(status, "pins");
        seen = json_integer_value(json_object_get(pins, "passed_over"));
        ck_assert_msg(json_array_size(json_object_get(status, "origins")) == 2, "%s", text);
        json_decref(status);
        ck_assert_msg(loop_now_us() < until_us, "%s", text);
        poll(NULL, 0, 20);
    }
    stage_end(&s);
}
END_TEST

/* Two reports one after the other, of the same sample, that differ in whether the first entrance is up. *up: is it, by
 * the last one? */
static bool told_between_samples(const char *reports, bool *up)
{
    bool told = false;
    *up = false;
    json_t *before = NULL;
    g_auto(GStrv) lines = g_strsplit(reports, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        json_t *report = json_loads(*line, 0, NULL);
        json_t *was = json_object_get(json_array_get(json_object_get(before, "origins"), 0), "up"),
               *is = json_object_get(json_array_get(json_object_get(report, "origins"), 0), "up");
        told = told || (was != NULL && is != NULL && !json_equal(was, is) &&
                        json_equal(json_object_get(before, "window_us"), json_object_get(report, "window_us")));
        *up = report != NULL ? json_is_true(is) : *up;
        json_decref(before);
        before = report;
    }
    json_decref(before);
    return told;
}

/* Checks take a moment to find out that nobody is there after all: up and down, again and again. */
START_TEST(an_entrance_that_goes_down_or_comes_back_is_told_before_the_next_sample)
{
    struct stage s;
    stage_begin(&s, 1);
    await_status(&s, "applied", 5, "");
    int64_t until_us = loop_now_us() + DEADLINE_US;
    for (bool told = false, up; !told;) {
        pthread_mutex_lock(&s.server[0].lock);
        told = told_between_samples(s.server[0].reports != NULL ? s.server[0].reports : "", &up);
        pthread_mutex_unlock(&s.server[0].lock);
        ck_assert_msg(told || loop_now_us() < until_us, "found reports of each second only, expected some in between");
        if (!told && !up)
            g_free(say(s.haproxy_socket, "set server be_health/room-a.pop-a1 health up\n"));
        poll(NULL, 0, 50);
    }
    stage_end(&s);
}
END_TEST

static pid_t worker_of(struct stage *s)
{
    g_autofree char *info = say(s->haproxy_socket, "show info\n");
    const char *pid = strstr(info, "\nPid: ");
    ck_assert_ptr_nonnull(pid);
    return (pid_t)atoi(pid + 6);
}

/* It takes connections and never answers. What is published meanwhile is not claimed, and taken when it goes on. */
START_TEST(a_hung_haproxy_is_said_within_two_seconds_and_caught_up_with)
{
    struct stage s;
    stage_begin(&s, 1);
    await_status(&s, "applied", 5, "");
    pid_t worker = worker_of(&s);
    for (uint64_t generation = 6; generation < 9; generation++) {
        int64_t from_us = loop_now_us();
        ck_assert_int_eq(kill(worker, SIGSTOP), 0);
        await_status(&s, "failing", generation - 1, "HAProxy does not answer: no answer in time");
        ck_assert_int_lt(loop_now_us() - from_us, 2000000);
        server_says(&s.server[0], EPOCH, generation, "two-rooms", generation % 2 == 0 ? &closed : &rest, NONE);
        await_status(&s, "failing", generation - 1, "HAProxy: its socket: no answer in time");
        from_us = loop_now_us();
        ck_assert_int_eq(kill(worker, SIGCONT), 0);
        await_status(&s, "applied", generation, "");
        ck_assert_int_lt(loop_now_us() - from_us, 3000000);
        ck_assert_int_eq(worker_of(&s), worker);
    }
    expect_meta(&s, "8");
    ck_assert_uint_eq(read_applied_log(&s), 4);
    stage_end(&s);
}
END_TEST

/* Of the one room that is held away: for how long it has been; -1: none is. */
static int64_t held_for_us(struct stage *s)
{
    g_autofree char *text = say(s->socket, "status\n");
    json_t *status = json_loads(text, 0, NULL);
    const json_t *holds = json_object_get(status, "holds");
    ck_assert_uint_le(json_array_size(holds), 1);
    json_t *for_us = json_object_get(json_array_get(holds, 0), "for_us");
    int64_t us = json_is_integer(for_us) ? json_integer_value(for_us) : -1;
    json_decref(status);
    return us;
}

static void kill_edge(struct stage *s)
{
    kill(s->edge, SIGKILL);
    waitpid(s->edge, NULL, 0);
}

/* A room that was held away stays so however things are started: HAProxy's maps are made before there is an agent. That
 * it has been for so long is not forgotten either. */
START_TEST(a_hold_is_in_force_before_the_agent_is)
{
    const int64_t earlier_us = 500 * G_USEC_PER_SEC;
    struct stage s;
    stage_begin(&s, 1);
    await_status(&s, "applied", 5, "");
    ck_assert_int_eq(held_for_us(&s), -1);
    kill_edge(&s);
    kill(s.haproxy, SIGTERM);
    waitpid(s.haproxy, NULL, 0);
    g_autofree char *path = g_build_filename(s.dir, "holds.map", NULL);
    g_autofree char *command = g_strdup_printf("show map %s\n", path);
    g_autofree char *file = g_strdup_printf(
        "# since %" G_GINT64_FORMAT "\nroom-a 300\nroom-b 1000\nno hold\nroom-c 100000\n", wall_now_us() - earlier_us);
    ck_assert(g_file_set_contents(path, file, -1, NULL));
    start_haproxy(&s);
    int64_t until_us = loop_now_us() + DEADLINE_US;
    g_autofree char *map = NULL;
    while (map == NULL || map[0] == '\0') {
        ck_assert_int_lt(loop_now_us(), until_us);
        g_free(map);
        map = say(s.haproxy_socket, command);
    }
    ck_assert_msg(strstr(map, " room-a 300\n") != NULL && strstr(map, " room-b 1000\n") != NULL, "%s", map);
    ck_assert_msg(strstr(map, " no ") == NULL && strstr(map, "room-c") == NULL, "%s", map);
    s.edge = spawn_edge(&s, false);
    await_status(&s, "applied", 5, "");
    int64_t for_us = held_for_us(&s);
    ck_assert_int_ge(for_us, earlier_us);
    ck_assert_int_lt(for_us, earlier_us + 3 * DEADLINE_US);
    kill_edge(&s);
    s.edge = spawn_edge(&s, false);
    await_status(&s, "applied", 5, "");
    ck_assert_int_ge(held_for_us(&s), for_us);
    stage_end(&s);
}
END_TEST

/* ---- by hand ---- */

/* `signalbox-edge ctl --socket ... WORDS`; what it printed, g_free. */
static char *ctl(struct stage *s, int expected, const char *const *words)
{
    const char *argv[16] = {SIGNALBOX_EDGE, "ctl", "--socket", s->socket};
    for (int n = 4; *words != NULL; n++)
        argv[n] = *words++;
    char *out = NULL, *err = NULL;
    int status = 0;
    ck_assert(
        g_spawn_sync(NULL, (char **)(uintptr_t)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status, NULL));
    char *text = g_strconcat(out, err, NULL);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == expected, "exit %d, expected %d: %s", WEXITSTATUS(status),
                  expected, text);
    g_free(out);
    g_free(err);
    return text;
}
#define CTL(stage, expected, ...) g_free(ctl(stage, expected, (const char *const[]){__VA_ARGS__, NULL}))

static char *by_hand_log(struct stage *s)
{
    g_autofree char *path = g_build_filename(s->dir, "breakglass.log", NULL);
    char *text = file_read(path, 1u << 20, NULL, NULL);
    return text != NULL ? text : g_strdup("");
}

static unsigned lines(const char *text)
{
    unsigned n = 0;
    for (; (text = strchr(text, '\n')) != NULL; text++)
        n++;
    return n;
}

static void await_room(struct stage *s, const char *row)
{
    g_autofree char *command = g_strdup_printf("show map %s/rooms.map\n", s->dir);
    g_autofree char *line = g_strdup_printf(" %s\n", row);
    for (int64_t until_us = loop_now_us() + DEADLINE_US;; poll(NULL, 0, 5)) {
        g_autofree char *rows = say(s->haproxy_socket, command);
        if (strstr(rows, line) != NULL)
            return;
        ck_assert_msg(loop_now_us() < until_us, "never %s: %s", row, rows);
    }
}

static void await_told(struct stage *s, const char *text)
{
    for (int64_t until_us = loop_now_us() + DEADLINE_US;; poll(NULL, 0, 5)) {
        pthread_mutex_lock(&s->server[0].lock);
        bool told = s->server[0].reports != NULL && strstr(s->server[0].reports, text) != NULL;
        g_autofree char *reports = g_strdup(s->server[0].reports);
        pthread_mutex_unlock(&s->server[0].lock);
        if (told)
            return;
        ck_assert_msg(loop_now_us() < until_us, "the server never heard %s: %s", text, reports);
    }
}

static void restart_edge(struct stage *s)
{
    kill(s->edge, SIGKILL);
    waitpid(s->edge, NULL, 0);
    s->edge = spawn_edge(s, false);
}

START_TEST(a_hold_by_hand_outlives_agent_and_servers_and_ends_when_it_is_released_or_over)
{
    struct stage s;
    stage_begin(&s, 1);
    await_status(&s, "applied", 5, "");
    CTL(&s, 0, "hold", "--for", "10m", "--reason", "disk is being replaced");
    await_status(&s, "held", 5, "held by uid:0 until ");
    await_told(&s, "\"verb\":\"hold\",\"room\":\"\",\"by\":\"uid:0\",\"reason\":\"disk is being replaced\"");
    server_says(&s.server[0], EPOCH + 65536, 6, "two-rooms", &closed, NONE);
    await_status(&s, "held", 5, "generation 6 of epoch 196609 waits");
    g_autofree char *promise = g_build_filename(s.dir, "promise", NULL);
    g_autofree char *promised = file_read(promise, 64, NULL, NULL);
    ck_assert_str_eq(promised, "196609\n"); /* no older reign can come back meanwhile */
    expect_meta(&s, "5");
    restart_edge(&s);
    await_status(&s, "held", 5, "generation 6 of epoch 196609 waits");
    expect_meta(&s, "5");
    CTL(&s, 0, "release", "hold", "--reason", "disk is in");
    await_status(&s, "applied", 6, "");
    await_told(&s, "disk is in");

    CTL(&s, 0, "hold", "--for=1s", "--reason=short");
    server_says(&s.server[0], EPOCH + 65536, 7, "two-rooms", &rest, NONE);
    await_status(&s, "applied", 7, "");
    await_told(&s, "its time is over: held by uid:0");
    g_autofree char *log = by_hand_log(&s);
    ck_assert_msg(lines(log) == 4, "%s", log);
    stage_end(&s);
}
END_TEST

START_TEST(a_room_closed_by_hand_stays_closed_whatever_starts_anew)
{
    static const struct edge_table_text b_closed = {
        .layout = "class public\norigin/room-a/pop-a1 127.0.0.1:1\norigin/room-b/pop-b1 127.0.0.1:1\n",
        .rooms = "multi/room-a room-a\nmulti/room-b room-a\nsingle/room-a room-a\nsingle/room-b -\n",
        .origins = "multi/room-b/pop-b1 out\nsingle/room-b/pop-b1 out\n"};
    struct stage s;
    stage_begin(&s, 1);
    await_status(&s, "applied", 5, "");
    await_room(&s, "multi/room-a room-a");
    g_autofree char *unknown = ctl(&s, 1, (const char *const[]){"override", "room-z", "--reason", "x", NULL});
    ck_assert_msg(strstr(unknown, "no way to such a room") != NULL, "%s", unknown);
    CTL(&s, 0, "override", "room-a", "--reason", "it answers nonsense");
    await_status(&s, "held", 5, "room-a closed here by uid:0");
    await_room(&s, "multi/room-a room-b");
    await_room(&s, "single/room-a -");
    g_autofree char *servers = say(s.haproxy_socket, "show servers state be_multi_room-a\n");
    ck_assert_msg(strstr(servers, "room-a.pop-a1 127.0.0.1 0 1 ") != NULL, "%s", servers); /* in maintenance */
    await_told(&s, "\"verb\":\"override\",\"room\":\"room-a\"");
    g_autofree char *last = ctl(&s, 1, (const char *const[]){"override", "room-b", "--reason", "x", NULL});
    ck_assert_msg(strstr(last, "no other room would be open here") != NULL, "%s", last);

    kill(s.edge, SIGKILL);
    waitpid(s.edge, NULL, 0);
    kill(s.haproxy, SIGTERM);
    waitpid(s.haproxy, NULL, 0);
    start_haproxy(&s); /* from the files of `--render-only`: no agent is there to mend it */
    await_room(&s, "multi/room-a room-b");
    s.edge = spawn_edge(&s, false);
    await_status(&s, "held", 5, "room-a closed here");
    await_room(&s, "multi/room-a room-b");
    server_says(&s.server[0], EPOCH, 6, "two-rooms", &rest, NONE);
    await_status(&s, "held", 6, "room-a closed here");
    await_room(&s, "multi/room-a room-b");

    server_says(&s.server[0], EPOCH, 7, "two-rooms", &b_closed, NONE); /* one of them must stay open */
    await_status(&s, "held", 7, "not so: no other room is open here");
    await_room(&s, "multi/room-a room-a");
    server_says(&s.server[0], EPOCH, 8, "two-rooms", &rest, NONE);
    await_status(&s, "held", 8, "room-a closed here");
    await_room(&s, "multi/room-a room-b");
    CTL(&s, 0, "release", "all", "--reason", "mended");
    await_status(&s, "applied", 8, "");
    await_room(&s, "multi/room-a room-a");
    stage_end(&s);
}
END_TEST

START_TEST(what_is_no_command_by_hand_is_refused_with_what_was_expected)
{
    static const char long_reason[] = "hold 1m 0123456789012345678901234567890123456789012345678901234567890123456789"
                                      "0123456789012345678901234567890123456789012345678901234567890123456789012345678"
                                      "0123456789012345678901234567890123456789012345678901234567890123456789\n";
    static const char *const rows[][2] = {
        {"\n", "unknown command"},
        {"reboot\n", "expected status, hold, override or release"},
        {"HOLD 1m x\n", "unknown command"},
        {"holding 1m x\n", "unknown command"},
        {"status now\n", "unknown command"},
        {"hold\n", "time: found \\\"\\\""},
        {"hold for ever\n", "time: found \\\"for\\\""},
        {"hold 0s x\n", "more than 0"},
        {"hold -1m x\n", "time: found"},
        {"hold 25h x\n", "at most 24h"},
        {"hold 99999h x\n", "at most 24h"},
        {"hold 184467440737095516s x\n", "at most 24h"},
        {"hold 10 x\n", "time: found"},
        {"hold 1m30s x\n", "time: found"},
        {"hold 1y x\n", "time: found"},
        {"hold 1m\n", "reason: found"},
        {"hold 1m    \n", "reason: found"},
        {"hold 1m a\tb\n", "printable"},
        {"hold 1m a\x1b[2Jb\n", "printable"},
        {"hold 1m \xff\xfe\n", "printable"},
        {long_reason, "1 to 200 bytes"},
        {"override\n", "room: found"},
        {"override room-a\n", "time: found"},
        {"override room-a;shutdown 1m x\n", "the name of a room"},
        {"override ../room-a 1m x\n", "the name of a room"},
        {"override Room-A 1m x\n", "the name of a room"},
        {"override room-z 1m x\n", "no way to such a room"},
        {"override room 1m x\n", "no way to such a room"},
        {"override pop-a1 1m x\n", "no way to such a room"},
        {"override room-b 1m\n", "reason: found"},
        {"release\n", "hold, all or the name of a room"},
        {"release hold x\n", "nothing to release; in force: nothing"},
        {"release all x\n", "nothing to release"},
        {"release room-a x\n", "nothing to release"},
        {"release hold\n", "reason: found"},
        {"release * x\n", "hold, all or the name of a room"},
        {"hold 1m no newline", "one line of at most 511 bytes"},
        {"", "one line of at most 511 bytes"},
    };
    struct stage s;
    stage_begin(&s, 1);
    await_status(&s, "applied", 5, "");
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct sockaddr_un to = {.sun_family = AF_UNIX};
        g_strlcpy(to.sun_path, s.socket, sizeof to.sun_path);
        char answer[2048] = "";
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
        ck_assert_int_eq(send(fd, rows[i][0], strlen(rows[i][0]), MSG_NOSIGNAL), (ssize_t)strlen(rows[i][0]));
        shutdown(fd, SHUT_WR);
        ck_assert_int_gt(recv(fd, answer, sizeof answer - 1, 0), 0);
        close(fd);
        ck_assert_msg(strstr(answer, "\"error\"") != NULL && strstr(answer, rows[i][1]) != NULL,
                      "row %zu: '%s', expected '%s' in: %s", i, rows[i][0], rows[i][1], answer);
    }
    g_autofree char *huge = g_strnfill(100000, 'x');
    g_autofree char *answer = say(s.socket, huge);
    ck_assert_msg(strstr(answer, "one line") != NULL, "%s", answer);
    CTL(&s, 2, "hold");
    CTL(&s, 2, "hold", "room-a", "--reason", "x");
    CTL(&s, 2, "hold", "--reason", "two\nlines");
    CTL(&s, 2, "release", "hold", "--for", "1m", "--reason", "x");
    CTL(&s, 2, "explode", "--reason", "x");
    CTL(&s, 6, "--socket", "/nowhere/edge.sock", "status");
    g_autofree char *none = by_hand_log(&s);
    ck_assert_str_eq(none, "");

    g_autofree char *in_the_way = g_build_filename(s.dir, "breakglass.log", NULL); /* it cannot be written down */
    ck_assert_int_eq(g_mkdir(in_the_way, 0700), 0);
    g_autofree char *refused = ctl(&s, 1, (const char *const[]){"hold", "--reason", "x", NULL});
    ck_assert_msg(strstr(refused, "nothing was done") != NULL, "%s", refused);
    await_status(&s, "applied", 5, "");
    stage_end(&s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_hold_by_hand_outlives_agent_and_servers_and_ends_when_it_is_released_or_over);
    tcase_add_test(tcase, a_room_closed_by_hand_stays_closed_whatever_starts_anew);
    tcase_add_test(tcase, what_is_no_command_by_hand_is_refused_with_what_was_expected);
    tcase_add_test(tcase, what_a_server_must_not_say_changes_nothing);
    tcase_add_test(tcase, an_old_server_beside_a_new_one_is_passed_over);
    tcase_add_test(tcase, a_killed_agent_goes_on_where_it_was);
    tcase_add_test(tcase, a_hold_is_in_force_before_the_agent_is);
    tcase_add_test(tcase, a_hung_haproxy_is_said_within_two_seconds_and_caught_up_with);
    tcase_add_test(tcase, pins_and_entrances_are_read);
    tcase_add_test(tcase, an_entrance_that_goes_down_or_comes_back_is_told_before_the_next_sample);
    tcase_add_test(tcase, a_killed_haproxy_and_a_lost_socket_are_said_and_repaired);
}

int main(void)
{
    return unit_run("edge_program", add);
}
