/* dpclient.h against the forwarder's own socket (dataplane/dpsocket.h) in another process, which is killed. */
#include "gateway/dpclient.h"

#include "core/error.h"
#include "tests/unit/dptable.h"
#include "tests/unit/gatewaystage.h"
#include "tests/unit/unit.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>

#define WAIT_US 20000000

/* ---- its agent ---- */

struct agent {
    struct loop *loop;
    struct loop_timer *late;
    struct dpclient *client;
    char *folder, *path;
    pid_t pid;
    GString *log; /* what happened, a line each */
    unsigned kills;
    int64_t killed_us, longest_us; /* from the kill to the word of it */
};

static void on_late(void *data)
{
    ck_abort_msg("after %d s: %s", WAIT_US / 1000000, ((struct agent *)data)->log->str);
}

static void agent_init(struct agent *a, dpclient_life_fn life)
{
    *a = (struct agent){.loop = loop_new(NULL), .log = g_string_new(NULL)};
    a->folder = g_dir_make_tmp("dpclient-XXXXXX", NULL);
    a->path = g_build_filename(a->folder, "forwarder.sock", NULL);
    a->late = loop_timer_new(a->loop, on_late, a);
    loop_timer_arm(a->late, loop_now_us() + WAIT_US);
    a->client = dpclient_new(a->loop, a->path, life, a);
}

static void agent_clear(struct agent *a)
{
    kill9(&a->pid);
    dpclient_free(a->client);
    loop_timer_free(a->late);
    loop_free(a->loop);
    unit_remove_all(a->folder);
    g_free(a->folder);
    g_free(a->path);
    g_string_free(a->log, TRUE);
}

static GByteArray *message_of(uint64_t generation, uint8_t port)
{
    static const uint8_t own[16] = {192, 0, 2, 1}, next[16] = {192, 0, 2, 2}, local[16] = {10, 0, 0, 1};
    struct dptable t = {.header.generation = generation};
    dptable_adjacency(&t, 4, port, own, next);
    dptable_local(&t, 4, local);
    return dptable_message(&t);
}

/* ---- tables, and what is said to them ---- */

static void on_shown(void *data, const char *answer, const GError *error)
{
    struct agent *a = data;
    ck_assert_ptr_null(error);
    g_string_append_printf(a->log, "shown %.*s\n", (int)strcspn(answer, "\n"), answer);
    loop_stop(a->loop);
}

static void on_refused(void *data, const char *answer, const GError *error)
{
    struct agent *a = data;
    ck_assert(answer == NULL && g_error_matches(error, SB_ERROR, SB_ERROR_INVALID));
    g_string_append_printf(a->log, "%s\n", error->message);
    ck_assert(dpclient_ask(a->client, "show\n", 5, WAIT_US, on_shown, a));
}

static void on_taken(void *data, const char *answer, const GError *error)
{
    struct agent *a = data;
    g_autoptr(GByteArray) bad = message_of(8, 1);
    ck_assert_ptr_null(error);
    g_string_append(a->log, answer);
    ck_assert(dpclient_ask(a->client, bad->data, bad->len, WAIT_US, on_refused, a));
    ck_assert(!dpclient_ask(a->client, "show\n", 5, WAIT_US, on_shown, a)); /* another is under way */
}

static void give_tables(void *data, bool there)
{
    struct agent *a = data;
    g_autoptr(GByteArray) message = message_of(7, 0);
    ck_assert(there && dpclient_there(a->client));
    ck_assert(dpclient_ask(a->client, message->data, message->len, WAIT_US, on_taken, a));
}

START_TEST(tables_are_given)
{
    struct agent a;
    agent_init(&a, give_tables);
    ck_assert(!dpclient_there(a.client));
    a.pid = portless_start(a.path, 1);
    loop_run(a.loop);
    ck_assert_str_eq(a.log->str, "ok 7\n"
                                 "forwarder: refused: adjacency 0: port 1, there are 1\n"
                                 "shown table in-force generation 7\n");
    agent_clear(&a);
}
END_TEST

/* ---- life and death ---- */

#define KILLS 10u

static void on_life(void *data, bool there)
{
    struct agent *a = data;
    if (there) {
        a->killed_us = loop_now_us();
        kill(a->pid, SIGKILL);
        return;
    }
    a->longest_us = MAX(a->longest_us, loop_now_us() - a->killed_us);
    ck_assert(!dpclient_there(a->client));
    waitpid(a->pid, NULL, 0);
    a->pid = 0;
    if (++a->kills == KILLS)
        loop_stop(a->loop);
    else
        a->pid = portless_start(a->path, 1); /* in the place of the file that the one before has left */
}

START_TEST(deaths_are_told_at_once)
{
    struct agent a;
    agent_init(&a, on_life);
    a.pid = portless_start(a.path, 1);
    loop_run(a.loop);
    ck_assert_uint_eq(a.kills, KILLS);
    printf("longest from kill -9 to the word of it: %.1f ms\n", (double)a.longest_us / 1e3);
    agent_clear(&a);
}
END_TEST

/* ---- nobody, and one who does not answer ---- */

static void on_error(void *data, const char *answer, const GError *error)
{
    struct agent *a = data;
    ck_assert(answer == NULL && error != NULL && error->domain == SB_ERROR);
    g_string_append(a->log, error->code == SB_ERROR_TIMEOUT       ? "timeout\n"
                            : error->code == SB_ERROR_UNREACHABLE ? "unreachable\n"
                                                                  : error->message);
    loop_stop(a->loop);
}

static void no_life(void *data, bool there)
{
    (void)data;
    ck_assert(there);
}

START_TEST(nobody_is_there)
{
    struct agent a;
    agent_init(&a, no_life);
    ck_assert(dpclient_ask(a.client, "show\n", 5, WAIT_US, on_error, &a));
    ck_assert_str_eq(a.log->str, ""); /* not before it has returned */
    loop_run(a.loop);
    ck_assert_str_eq(a.log->str, "unreachable\n");
    agent_clear(&a);
    dpclient_free(NULL);
}
END_TEST

static int listen_at(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    g_strlcpy(at.sun_path, path, sizeof at.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(fd, 4), 0);
    return fd;
}

START_TEST(one_that_does_not_answer)
{
    struct agent a;
    agent_init(&a, no_life);
    int fd = listen_at(a.path); /* ourselves, who do not accept */
    ck_assert(dpclient_ask(a.client, "show\n", 5, 50000, on_error, &a));
    loop_run(a.loop);
    ck_assert_str_eq(a.log->str, "timeout\n");
    close(fd);
    agent_clear(&a);
}
END_TEST

START_TEST(one_that_ends_in_the_middle)
{
    struct agent a;
    agent_init(&a, no_life);
    int fd = listen_at(a.path);
    if ((a.pid = fork()) == 0) {
        char said[16];
        signal(SIGTERM, SIG_DFL);
        for (;;) { /* who watches is kept */
            int peer = accept(fd, NULL, NULL);
            if (recv(peer, said, sizeof said, 0) > 0 && said[0] == 'w')
                continue;
            send(peer, "ok 1", 4, MSG_NOSIGNAL);
            close(peer);
        }
    }
    ck_assert(dpclient_ask(a.client, "show\n", 5, WAIT_US, on_error, &a));
    loop_run(a.loop);
    ck_assert_str_eq(a.log->str, "unreachable\n");
    close(fd);
    agent_clear(&a);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, tables_are_given);
    tcase_add_test(tcase, deaths_are_told_at_once);
    tcase_add_test(tcase, nobody_is_there);
    tcase_add_test(tcase, one_that_does_not_answer);
    tcase_add_test(tcase, one_that_ends_in_the_middle);
}

int main(void)
{
    return unit_run("dpclient", add);
}
