#include "tests/bench/loopback.h"

#include "core/error.h"
#include "core/fileio.h"
#include "core/httpc.h"
#include "schema/yamldoc.h"
#include "tests/bench/flags.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLUSTER "bench"
#define HTTP_PORT 8080 /* of origins and edges */
#define AGENTS_PORT 8441
#define OPERATORS_PORT 8440
#define CALL_MS 30000 /* a site of thousands of edges, on a machine that does much else */
#define LOG_MAX (256u << 20)
#define WAIT_US (60 * G_USEC_PER_SEC)
#define END_MS 5000 /* for a process to end by itself */

static char *host(unsigned n)
{
    unsigned pid = (unsigned)getpid();
    return g_strdup_printf("127.%u.%u.%u", 16 + (pid >> 8) % 200, pid & 0xff, n);
}

static char *below(const struct loopback *lo, const char *name)
{
    return g_build_filename(lo->folder, name, NULL);
}

/* ---- processes ---- */

_Noreturn static void become(const char *const *argv, pid_t parent, int log_fd)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid(); /* Ctrl-C is for the one that ends the others in order */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (getppid() == parent && dup2(null_fd, 0) == 0 && dup2(log_fd, 1) == 1 && dup2(log_fd, 2) == 2)
        execvp(argv[0], (char *const *)(uintptr_t)argv);
    perror(argv[0]);
    _exit(127);
}

/* What it says goes to FOLDER/NAME.log. */
bool loopback_start(struct loopback *lo, const char *name, const char *const *argv, GError **error)
{
    g_autofree char *log_name = g_strdup_printf("%s.log", name);
    g_autofree char *path = below(lo, log_name);
    int log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    pid_t parent = getpid(), pid = log_fd >= 0 ? fork() : -1;
    if (pid == 0)
        become(argv, parent, log_fd);
    if (pid < 0)
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot start %s: %s", name, g_strerror(errno));
    else
        g_array_append_val(lo->pids, pid);
    if (log_fd >= 0)
        close(log_fd);
    return pid > 0;
}

static void end(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    if (fd >= 0 && poll(&wait, 1, END_MS) != 1)
        kill(-pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (fd >= 0)
        close(fd);
}

/* A process that has ended by itself, with the end of its log: nothing may be measured without it. */
static bool all_run(const struct loopback *lo, GError **error)
{
    for (guint i = 0; i < lo->pids->len; i++) {
        pid_t pid = g_array_index(lo->pids, pid_t, i);
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid) {
            g_set_error(error, SB_ERROR, SB_ERROR_IO, "process %d (number %u that was started) has ended with %d",
                        (int)pid, i + 1, info.si_status);
            return false;
        }
    }
    return true;
}

/* ---- asking ---- */

json_t *loopback_call(const struct loopback *lo, const char *method, const char *path, const json_t *body,
                      GError **error)
{
    static const char *const any[] = {"If-Match: *", NULL};
    struct httpc_target target = {.base_url = "http://localhost", .unix_socket = lo->socket};
    struct httpc_reply reply = {0};
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    json_t *json = NULL;
    bool answered =
        httpc_call(&target, method, path, strcmp(method, "PUT") == 0 ? any : NULL, text, CALL_MS, &reply, error);
    if (!answered) {
        g_prefix_error(error, "%s %s: ", method, path);
    } else {
        json = reply.status < 300 ? json_loads(reply.body, JSON_DECODE_ANY, NULL) : NULL;
        if (json == NULL)
            g_set_error(error, SB_ERROR, SB_ERROR_UNAVAILABLE, "%s %s: found status %u: %s", method, path, reply.status,
                        reply.body);
    }
    free(text);
    httpc_reply_clear(&reply);
    return json;
}

int64_t loopback_committed_us(struct loopback *lo, GError **error)
{
    static const char field[] = " committed_us=";
    g_autofree char *path = below(lo, "signalboxd.log");
    size_t size = 0;
    g_autofree char *log = file_read(path, LOG_MAX, &size, error);
    int64_t at_us = 0;
    if (log == NULL)
        return 0;
    for (const char *at = log + lo->log_at; (at = strstr(at, field)) != NULL; at++)
        at_us = g_ascii_strtoll(at + strlen(field), NULL, 10);
    lo->log_at = size;
    if (at_us == 0)
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "no commit in %s", path);
    return at_us;
}

/* What signalboxd has said last, for an error. */
static char *log_end(const struct loopback *lo)
{
    g_autofree char *path = below(lo, "signalboxd.log"), *log = file_read(path, LOG_MAX, NULL, NULL);
    if (log == NULL)
        return g_strdup("nothing");
    char *line = strrchr(g_strchomp(log), '\n');
    return g_strdup(line != NULL ? line + 1 : log);
}

bool loopback_wait(const struct loopback *lo, const char *what, bool (*ready)(void *data), void *data, GError **error)
{
    int64_t until_us = loop_now_us() + WAIT_US;
    while (!ready(data)) {
        if (flags_cancelled || loop_now_us() > until_us) {
            g_autofree char *said = log_end(lo);
            g_set_error(error, SB_ERROR, SB_ERROR_TIMEOUT,
                        flags_cancelled ? "cancelled" : "not within %d s: %s; signalboxd said last: %s",
                        (int)(WAIT_US / G_USEC_PER_SEC), what, said);
            return false;
        }
        if (!all_run(lo, error))
            return false;
        poll(NULL, 0, 1); /* bounds how often it is asked */
    }
    return true;
}

static bool server_answers(void *data)
{
    json_t *status = loopback_call(data, "GET", "/v1/status", NULL, NULL);
    json_decref(status);
    return status != NULL;
}

static bool entrances_up(const json_t *status)
{
    size_t i;
    json_t *entrance;
    json_array_foreach (json_object_get(status, "entrances"), i, entrance) {
        json_int_t up = json_integer_value(json_object_get(entrance, "up"));
        if (up == 0 || up != json_integer_value(json_object_get(entrance, "seen")))
            return false;
    }
    return i > 0;
}

static bool edges_applied(const json_t *status)
{
    json_int_t generation = json_integer_value(json_object_get(status, "generation"));
    size_t i;
    json_t *edge;
    json_array_foreach (json_object_get(status, "edges"), i, edge)
        if (json_integer_value(json_object_get(edge, "generation")) != generation ||
            strcmp(json_string_value(json_object_get(edge, "state")), "applied") != 0)
            return false;
    return i > 0;
}

static bool site_is_up(void *data)
{
    json_t *status = loopback_call(data, "GET", "/v1/status", NULL, NULL);
    bool up = status != NULL && edges_applied(status) && entrances_up(status);
    json_decref(status);
    return up;
}

/* ---- the site ---- */

static void move(struct loopback *lo, json_t *object, const char *field, bool with_port)
{
    g_autofree char *address = host(lo->next_host++);
    g_autofree char *endpoint = g_strdup_printf("%s:%d", address, HTTP_PORT);
    json_object_set_new(object, field, json_string(with_port ? endpoint : address));
}

/* An edge hands requests over where it listens. */
static void move_edge(struct loopback *lo, json_t *edge)
{
    move(lo, edge, "address", false);
    json_object_del(edge, "address6");
    if (json_object_get(edge, "relay") == NULL)
        return;
    const char *address = json_string_value(json_object_get(edge, "address"));
    g_autofree char *relay = g_strdup_printf("%s:%d", address, HTTP_PORT);
    json_object_set_new(edge, "relay", json_string(relay));
}

/* Addresses become loopback's; name servers are left out. */
static json_t *objects_on_loopback(struct loopback *lo, const json_t *objects)
{
    json_t *moved = json_array(), *object;
    size_t i;
    json_array_foreach ((json_t *)(uintptr_t)objects, i, object) {
        const char *kind = json_string_value(json_object_get(object, "kind"));
        if (strcmp(kind, "nameserver") == 0)
            continue;
        if (strcmp(kind, "pop") == 0)
            move(lo, object, "origin", true);
        else if (strcmp(kind, "room") == 0 && json_object_get(object, "ring") != NULL)
            move(lo, object, "ring", true);
        else if (strcmp(kind, "edge") == 0)
            move_edge(lo, object);
        json_array_append(moved, object);
    }
    return moved;
}

/* Edges that nobody's HAProxy stands behind, like the site's first of their class. */
static void add_agents(json_t *objects, unsigned n)
{
    for (unsigned i = 1; i <= n; i++) {
        g_autofree char *name = g_strdup_printf("agent-%u", i);
        g_autofree char *address = g_strdup_printf("10.%u.%u.%u", i >> 16, (i >> 8) & 0xff, i & 0xff);
        json_array_append_new(objects,
                              json_pack("{s:s, s:s, s:s, s:s, s:s, s:[s]}", "kind", "edge", "name", name, "class",
                                        "public", "address", address, "region", "far", "carriers", "carrier-1"));
    }
}

static bool site_load(struct loopback *lo, const char *path, GError **error)
{
    g_autoptr(GPtrArray) findings = finding_list_new();
    json_t *documents = yamldoc_load_file(path, error);
    if (documents == NULL)
        return false;
    json_t *body = json_object();
    yamldoc_collect(documents, path, body, findings);
    json_decref(documents);
    json_t *moved = json_pack("{s:o}", "objects", objects_on_loopback(lo, json_object_get(body, "objects")));
    json_decref(body);
    if (lo->alone != NULL) {
        add_agents(json_object_get(moved, "objects"), lo->alone->agents);
        if (lo->alone->objects != NULL)
            json_array_extend(json_object_get(moved, "objects"), lo->alone->objects);
    }
    if (findings->len == 0)
        lo->site = inventory_from_json(moved, findings);
    json_decref(moved);
    if (lo->site == NULL)
        findings_error(findings, error);
    return lo->site != NULL;
}

static bool site_apply(const struct loopback *lo, GError **error)
{
    json_t *body = inventory_to_json(lo->site);
    json_object_set_new(body, "reason", json_string("bench"));
    json_t *answer = loopback_call(lo, "POST", "/v1/apply", body, error);
    json_decref(body);
    json_decref(answer);
    return answer != NULL;
}

/* ---- programs ---- */

static char *program(const struct loopback *lo, const char *name)
{
    return g_build_filename(lo->build, name, NULL);
}

static void listen_for(GPtrArray *argv, const struct endpoint *endpoint, const char *entrance)
{
    char text[ENDPOINT_TEXT_SIZE];
    g_ptr_array_add(argv, g_strdup("--listen"));
    g_ptr_array_add(argv, g_strdup_printf("%s=%s", endpoint_format(endpoint, text), entrance));
}

static bool origin_start(struct loopback *lo, const struct room *room, GError **error)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(argv, program(lo, "tests/lab/traffic/origin"));
    g_ptr_array_add(argv, g_strdup("--room"));
    g_ptr_array_add(argv, g_strdup(room->o.name));
    if (room->ring.port != 0)
        listen_for(argv, &room->ring, "ring");
    INVENTORY_FOREACH (lo->site, pop, pop)
        if (strcmp(pop->room, room->o.name) == 0)
            listen_for(argv, &pop->origin, pop->o.name);
    g_ptr_array_add(argv, NULL);
    return loopback_start(lo, room->o.name, (const char *const *)argv->pdata, error);
}

static bool server_start(struct loopback *lo, GError **error)
{
    g_autofree char *address = host(1);
    g_autofree char *signalboxd = program(lo, "server/signalboxd");
    g_autofree char *state = below(lo, "server"), *store = g_build_filename(state, "store.db", NULL);
    lo->operators = g_strdup_printf("%s:%d", address, OPERATORS_PORT);
    lo->agents = g_strdup_printf("%s:%d", address, AGENTS_PORT);
    /* --debug: the time of each commit is in the log */
    bool tls = lo->alone != NULL && lo->alone->cert != NULL;
    const char *argv[] = {signalboxd,
                          "--cluster",
                          CLUSTER,
                          "--state",
                          state,
                          "--listen",
                          lo->operators,
                          "--agents-listen",
                          lo->agents,
                          "--socket",
                          lo->socket,
                          "--node",
                          "1",
                          "--debug",
                          "--store",
                          lo->alone != NULL && lo->alone->store != NULL ? lo->alone->store : store,
                          tls ? "--tls-cert" : NULL,
                          tls ? lo->alone->cert : NULL,
                          "--tls-key",
                          tls ? lo->alone->key : NULL,
                          NULL};
    return loopback_start(lo, "signalboxd", argv, error) &&
           loopback_wait(lo, "signalboxd answers", server_answers, lo, error);
}

static char *token_file(const struct loopback *lo, const char *edge)
{
    return g_strdup_printf("%s/%s.token", lo->folder, edge);
}

char *loopback_token(const struct loopback *lo, const char *agent, GError **error)
{
    json_t *body = json_pack("{s:s, s:s, s:s}", "name", agent, "role", "agent", "reason", "bench");
    json_t *answer = loopback_call(lo, "POST", "/v1/tokens", body, error);
    char *token = g_strdup(json_string_value(json_object_get(answer, "token")));
    json_decref(body);
    json_decref(answer);
    return token;
}

static bool token_make(const struct loopback *lo, const char *edge, GError **error)
{
    g_autofree char *path = token_file(lo, edge), *token = loopback_token(lo, edge, error);
    return token != NULL && file_write_atomic(path, token, strlen(token), 0600, error);
}

static bool render(const GPtrArray *agent, GError **error)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    for (guint i = 0; agent->pdata[i] != NULL; i++)
        g_ptr_array_add(argv, agent->pdata[i]);
    static char only[] = "--render-only";
    g_ptr_array_add(argv, only);
    g_ptr_array_add(argv, NULL);
    int status;
    g_autofree char *said = NULL;
    if (!g_spawn_sync(NULL, (char **)argv->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, &said, &status, error))
        return false;
    if (g_spawn_check_wait_status(status, NULL))
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "signalbox-edge --render-only: %s", said);
    return false;
}

static void two(GPtrArray *argv, const char *flag, char *value)
{
    g_ptr_array_add(argv, g_strdup(flag));
    g_ptr_array_add(argv, value);
}

static GPtrArray *agent_arguments(const struct loopback *lo, const struct edge *edge)
{
    const char *name = edge->o.name;
    char address[ADDR_TEXT_SIZE];
    g_autofree char *control = host(1);
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(argv, program(lo, "dcdn/signalbox-edge"));
    two(argv, "--name", g_strdup(name));
    two(argv, "--cluster", g_strdup(CLUSTER));
    two(argv, "--state", below(lo, name));
    two(argv, "--master-socket", g_strdup_printf("%s/%s/master.sock", lo->folder, name));
    two(argv, "--listen", g_strdup_printf("%s:%d", addr_format(&edge->address, address), HTTP_PORT));
    two(argv, "--server", g_strdup_printf("http://%s:%d", control, AGENTS_PORT));
    two(argv, "--token-file", token_file(lo, name));
    g_ptr_array_add(argv, NULL);
    return argv;
}

static bool edge_start(struct loopback *lo, const struct edge *edge, GError **error)
{
    g_autofree char *state = below(lo, edge->o.name);
    g_autofree char *config = g_build_filename(state, "haproxy.cfg", NULL);
    g_autofree char *master = g_build_filename(state, "master.sock", NULL);
    g_autofree char *haproxy_name = g_strdup_printf("%s.haproxy", edge->o.name);
    g_autoptr(GPtrArray) agent = agent_arguments(lo, edge);
    const char *haproxy[] = {"haproxy", "-W", "-n", "1000", "-S", master, "-f", config, NULL};
    return file_mkdir(state, 0755, error) && token_make(lo, edge->o.name, error) && render(agent, error) &&
           loopback_start(lo, haproxy_name, haproxy, error) &&
           loopback_start(lo, edge->o.name, (const char *const *)agent->pdata, error);
}

/* ---- up and down ---- */

static char *build_folder(void)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL); /* BUILD/tests/bench/bench_switch */
    g_autofree char *bench = g_path_get_dirname(self != NULL ? self : "./bench_switch");
    return g_build_filename(bench, "../..", NULL);
}

bool loopback_up_server(struct loopback *lo, const char *site_path, const char *folder,
                        const struct loopback_server *server, GError **error)
{
    *lo = (struct loopback){.next_host = 2, .alone = server, .pids = g_array_new(FALSE, FALSE, sizeof(pid_t))};
    g_autofree char *template = g_build_filename(folder, "signalbox-bench-XXXXXX", NULL);
    if (mkdtemp(template) == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot make a folder in %s: %s", folder, g_strerror(errno));
        return false;
    }
    lo->folder = g_steal_pointer(&template);
    lo->build = build_folder();
    lo->socket = below(lo, "signalboxd.sock");
    return site_load(lo, site_path != NULL ? site_path : BENCH_SITE, error) && server_start(lo, error) &&
           site_apply(lo, error);
}

bool loopback_up(struct loopback *lo, const char *site_path, const char *folder, GError **error)
{
    if (!loopback_up_server(lo, site_path, folder, NULL, error))
        return false;
    INVENTORY_FOREACH (lo->site, room, room)
        if (!origin_start(lo, room, error))
            return false;
    INVENTORY_FOREACH (lo->site, edge, edge)
        if (!edge_start(lo, edge, error))
            return false;
    return loopback_wait(lo, "every edge has applied the site and sees its entrances up", site_is_up, lo, error);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

void loopback_down(struct loopback *lo)
{
    for (guint i = lo->pids->len; i > 0; i--)
        kill(g_array_index(lo->pids, pid_t, i - 1), SIGTERM);
    for (guint i = lo->pids->len; i > 0; i--)
        end(g_array_index(lo->pids, pid_t, i - 1));
    g_array_unref(lo->pids);
    if (lo->folder != NULL && !lo->keep)
        nftw(lo->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (lo->site != NULL)
        inventory_unref(lo->site);
    g_free(lo->folder);
    g_free(lo->build);
    g_free(lo->socket);
    g_free(lo->operators);
    g_free(lo->agents);
}
