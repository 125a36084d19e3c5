#include "tests/unit/served.h"

#include "core/loop.h"
#include "schema/object.h"
#include "schema/yamldoc.h"
#include "server/store/db.h"
#include "tests/unit/unit.h"

#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_MS 20000 /* a limit, not a wait */

/* A database of its own where the program was told to keep history (with_postgres.c); NULL: it was not. */
static char *store_new(int port)
{
    const char *server = g_getenv("SERVED_STORE");
    if (server == NULL)
        return NULL;
    g_autofree char *any = g_strconcat(server, "postgres", NULL);
    g_autofree char *sql = g_strdup_printf("create database t%d_%d", (int)getpid(), port);
    sb_auto(db) db = db_open(any, NULL);
    ck_assert(db != NULL && db_exec(db, sql, NULL));
    return g_strdup_printf("%st%d_%d", server, (int)getpid(), port);
}

void served_new(struct served *served)
{
    memset(served, 0, sizeof *served);
    g_autofree char *dir = g_dir_make_tmp("sb-api-XXXXXX", NULL);
    ck_assert(dir != NULL && g_strlcpy(served->dir, dir, sizeof served->dir) < sizeof served->dir);
    snprintf(served->socket, sizeof served->socket, "%s/socket", served->dir);
    served->port = unit_free_port();
    served->agents_port = unit_free_port();
    served->operators = g_strdup_printf("http://127.0.0.1:%d", served->port);
    served->agents = g_strdup_printf("http://127.0.0.1:%d", served->agents_port);
    served->store = store_new(served->port);
    served->log = g_string_new(NULL);
    served->log_fd = -1;
}

static void run_child(const struct served *served, const char *const *env, const char *const *flags, int log_fd)
{
    g_autofree char *state = g_strdup_printf("--state=%s/state", served->dir);
    g_autofree char *socket = g_strdup_printf("--socket=%s", served->socket);
    g_autofree char *listen = g_strdup_printf("--listen=127.0.0.1:%d", served->port);
    g_autofree char *agents = g_strdup_printf("--agents-listen=127.0.0.1:%d", served->agents_port);
    const char *argv[32] = {
        SIGNALBOXD, "--cluster=two-rooms", state, socket, listen, agents, "--runbooks=" SOURCE_DIR "/runbooks"};
    int n = 7;
    g_autofree char *store = g_strdup_printf("--store=%s", served->store);
    if (served->store != NULL)
        argv[n++] = store; /* a flag behind it outweighs it */
    for (; flags != NULL && *flags != NULL; flags++)
        argv[n++] = *flags;
    for (; env != NULL && *env != NULL; env++)
        putenv((char *)(uintptr_t)*env);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves no server behind */
    dup2(log_fd, STDERR_FILENO);
    execv(SIGNALBOXD, (char **)(uintptr_t)argv);
    _exit(127);
}

bool served_says(struct served *served, const char *text)
{
    char buffer[4096];
    while (text == NULL || strstr(served->log->str, text) == NULL) {
        struct pollfd wait = {.fd = served->log_fd, .events = POLLIN};
        ck_assert_msg(poll(&wait, 1, READY_MS) == 1, "signalboxd says nothing more: %s", served->log->str);
        ssize_t n = read(served->log_fd, buffer, sizeof buffer);
        if (n <= 0)
            return false;
        g_string_append_len(served->log, buffer, n);
    }
    return true;
}

void served_start(struct served *served, const char *const *env, const char *const *flags)
{
    int fds[2];
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    if (served->log_fd >= 0)
        close(served->log_fd);
    g_string_truncate(served->log, 0);
    served->log_fd = fds[0];
    served->pid = fork();
    if (served->pid == 0)
        run_child(served, env, flags, fds[1]);
    close(fds[1]);
    served_says(served, ">ready ");
}

int served_wait(struct served *served)
{
    int status = 0;
    served_says(served, NULL); /* it ends when the process does */
    ck_assert_int_eq(waitpid(served->pid, &status, 0), served->pid);
    served->pid = 0;
    return status;
}

int served_end(struct served *served, int number)
{
    kill(served->pid, number);
    return served_wait(served);
}

void served_clear(struct served *served)
{
    if (served->pid != 0) {
        int status = served_end(served, SIGTERM);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "signalboxd ended with %x: %s", (unsigned)status,
                      served->log->str);
    }
    close(served->log_fd);
    unit_remove_all(served->dir);
    g_string_free(served->log, TRUE);
    g_free(served->operators);
    g_free(served->agents);
    g_free(served->store);
}

static unsigned call(const struct httpc_target *target, const char *method, const char *path, const char *if_match,
                     const char *body, json_t **answer, char **etag)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *match = if_match != NULL ? g_strdup_printf("If-Match: %s", if_match) : NULL;
    const char *const headers[] = {match, NULL};
    struct httpc_reply reply = {0};
    if (!httpc_call(target, method, path, headers, body, 60000, &reply, &error))
        ck_abort_msg("%s %s: %s", method, path, error->message);
    if (answer != NULL)
        *answer = json_loads(reply.body, JSON_DECODE_ANY, NULL);
    if (etag != NULL)
        *etag = g_strdup(reply.etag);
    unsigned status = reply.status;
    httpc_reply_clear(&reply);
    return status;
}

unsigned served_call(struct served *served, const char *base, const char *token, const char *method, const char *path,
                     const char *if_match, const char *body, json_t **answer, char **etag)
{
    (void)served;
    struct httpc_target target = {.base_url = base, .token = token};
    return call(&target, method, path, if_match, body, answer, etag);
}

unsigned served_local(struct served *served, const char *method, const char *path, const char *if_match,
                      const char *body, json_t **answer)
{
    struct httpc_target target = {.base_url = "http://localhost", .unix_socket = served->socket};
    return call(&target, method, path, if_match, body, answer, NULL);
}

char *served_token(struct served *served, const char *name, const char *role)
{
    g_autofree char *body = g_strdup_printf("{\"name\":\"%s\",\"role\":\"%s\"}", name, role);
    json_t *answer = NULL;
    ck_assert_uint_eq(served_local(served, "POST", "/v1/tokens", NULL, body, &answer), 201);
    char *token = g_strdup(json_string_value(json_object_get(answer, "token")));
    json_decref(answer);
    return token;
}

json_t *served_site(void)
{
    const char *file = SOURCE_DIR "/tests/lab/sites/two-rooms.yaml";
    g_autoptr(GPtrArray) findings = finding_list_new();
    json_t *documents = yamldoc_load_file(file, NULL), *body = json_object();
    yamldoc_collect(documents, file, body, findings);
    ck_assert_uint_eq(findings->len, 0);
    json_decref(documents);
    return body;
}

void served_apply(struct served *served, json_t *body)
{
    json_t *answer = NULL;
    char *text = json_dumps(body, 0);
    unsigned status = served_local(served, "POST", "/v1/apply", NULL, text, &answer);
    free(text);
    text = json_dumps(answer, 0);
    ck_assert_msg(status == 200, "apply: found %u %s, expected 200", status, text);
    free(text);
    json_decref(answer);
    json_decref(body);
}

void served_apply_site(struct served *served)
{
    served_apply(served, served_site());
}

int served_connect(int port)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

char *served_raw(int port, const char *text, size_t size, int limit_ms)
{
    int fd = served_connect(port);
    GString *got = g_string_new(NULL);
    char buffer[4096];
    int64_t until_us = loop_now_us() + limit_ms * (int64_t)1000;
    send(fd, text, size, MSG_NOSIGNAL); /* who is refused early does not take all of it */
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int64_t left_us = until_us - loop_now_us();
        if (poll(&wait, 1, (int)(MAX(0, left_us) / 1000)) != 1) {
            g_string_append(got, "[still open]");
            break;
        }
        ssize_t n = read(fd, buffer, sizeof buffer);
        if (n <= 0)
            break;
        g_string_append_len(got, buffer, n);
    }
    close(fd);
    return g_string_free(got, FALSE);
}
