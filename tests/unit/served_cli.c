#include "tests/unit/served_cli.h"

#include <check.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAYS_MS 30000 /* a limit, not a wait */

/* argv: 16 places. */
static void make_argv(const char **argv, const char *const *words)
{
    int n = 0;
    argv[n++] = SIGNALBOX;
    argv[n++] = "--socket";
    argv[n++] = served.socket;
    while (*words != NULL)
        argv[n++] = *words++;
    argv[n] = NULL;
}

struct run run_argv(const char *const *argv)
{
    struct run r = {0};
    int status;
    g_autoptr(GError) error = NULL;
    if (!g_spawn_sync(NULL, (char **)(uintptr_t)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &r.out, &r.err, &status,
                      &error))
        ck_abort_msg("%s", error->message);
    ck_assert(WIFEXITED(status));
    r.code = WEXITSTATUS(status);
    return r;
}

struct run signalbox(const char *const *words)
{
    const char *argv[16];
    make_argv(argv, words);
    return run_argv(argv);
}

void expect_run(struct run r, int code, const char *out, const char *err)
{
    if (r.code != code || strstr(r.out, out) == NULL || strstr(r.err, err) == NULL)
        ck_abort_msg("found %d, \"%.800s\", \"%.400s\"; expected %d, \"%s\", \"%s\"", r.code, r.out, r.err, code, out,
                     err);
    g_free(r.out);
    g_free(r.err);
}

json_t *run_json(struct run r)
{
    json_t *json = json_loads(r.out, 0, NULL);
    ck_assert_msg(r.code == 0 && json != NULL, "%d: %s %s", r.code, r.out, r.err);
    g_free(r.out);
    g_free(r.err);
    return json;
}

void beside_start(struct beside *b, const char *const *words)
{
    const char *argv[16];
    g_autoptr(GError) error = NULL;
    make_argv(argv, words);
    b->err = g_string_new(NULL);
    if (!g_spawn_async_with_pipes(NULL, (char **)(uintptr_t)argv, NULL,
                                  G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, &b->pid, NULL,
                                  NULL, &b->err_fd, &error))
        ck_abort_msg("%s", error->message);
}

static bool read_more(struct beside *b)
{
    char buffer[1024];
    struct pollfd wait = {.fd = b->err_fd, .events = POLLIN};
    ck_assert_msg(poll(&wait, 1, SAYS_MS) == 1, "it says nothing more: %s", b->err->str);
    ssize_t n = read(b->err_fd, buffer, sizeof buffer);
    if (n > 0)
        g_string_append_len(b->err, buffer, n);
    return n > 0;
}

void beside_says(struct beside *b, const char *text)
{
    while (strstr(b->err->str, text) == NULL)
        ck_assert_msg(read_more(b), "it ended without \"%s\": %s", text, b->err->str);
}

int beside_end(struct beside *b)
{
    int status = 0;
    while (read_more(b))
        continue;
    ck_assert_int_eq(waitpid(b->pid, &status, 0), b->pid);
    close(b->err_fd);
    g_string_free(b->err, TRUE);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}
