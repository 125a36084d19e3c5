/* test_two_servers.c: two servers on one journal. A is stopped in the middle of an execution, its lease is taken away,
 * B begins a reign, A wakes: it writes nothing, what it still says carries its older epoch, and it ends. */
#include "server/store/db.h"
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef SIGNALBOX_FAILPOINTS

/* Where A stands still; `says`: its last words. An append that it was about to make is refused for its epoch; where
 * nothing is to be written any more it finds its lease gone. */
static const struct {
    const char *place, *says;
} places[] = {
    {"before-journal", "another server leads; ending, nothing was written"},
    {"after-journal", "another server may lead; ending"},
    {"before-publish", "another server may lead; ending"},
    {"after-publish", "another server may lead; ending"},
    {"before-reply", "another server may lead; ending"},
};

static int send_request(int port, const char *method, const char *path, const char *token, const char *body)
{
    int fd = served_connect(port);
    g_autofree char *text = g_strdup_printf("%s %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
                                            "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                                            method, path, token, strlen(body), body);
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    return fd;
}

/* All that comes until the other side is gone; g_free. */
static char *read_all(int fd)
{
    GString *got = g_string_new(NULL);
    char buffer[4096];
    ssize_t n;
    while ((n = read(fd, buffer, sizeof buffer)) > 0)
        g_string_append_len(got, buffer, n);
    close(fd);
    return g_string_free(got, FALSE);
}

static int64_t count(struct db *db, const char *sql, json_int_t epoch)
{
    struct db_value value = DB_INT(epoch);
    struct db_rows *found = db_query(db, sql, &value, 1, NULL);
    ck_assert(db_next(found, NULL));
    int64_t number = db_int(found, 0);
    db_rows_free(found);
    return number;
}

static void check_journal(json_int_t epoch)
{
    g_autofree char *path = g_strdup_printf("%s/state/journal.db", served.dir);
    struct db *db = db_open(path, NULL);
    ck_assert_int_gt(count(db, "select count(*) from entries where epoch > $1", epoch), 0);
    ck_assert_int_eq(count(db,
                           "select count(*) from entries where epoch = $1 and "
                           "seq > (select min(seq) from entries where epoch > $1)",
                           epoch),
                     0);
    db_close(db);
}

/* A, in the middle of an execution, stopped at the place. Gives its epoch, and an agent's poll that
 * waits (-1: none). */
static json_int_t stop_first(const char *place, int *poll_fd, int *asker_fd)
{
    json_t *run = NULL;
    int status;
    g_autofree char *point = g_strdup_printf("SIGNALBOX_FP=%s:stop", place),
                    *file = g_strdup_printf("%s/armed", served.dir),
                    *armed = g_strconcat("SIGNALBOX_FP_ARMED=", file, NULL);
    served_start(&served, (const char *const[]){point, armed, NULL}, NULL);
    served_apply_site(&served);
    g_autofree char *person = served_token(&served, "alice", "operator"),
                    *edge = served_token(&served, "edge-1", "agent");
    served_local(&served, "POST", "/v1/plans/room-isolated/run", NULL, "{\"target\":\"room-a\"}", &run);
    json_int_t epoch = status_number("epoch");
    g_autofree char *abort = g_strdup_printf("/v1/executions/%s/abort", text_at(run, "id")),
                    *table = g_strdup_printf("/agent/v1/edges/edge-1/table?epoch=%lld&generation=%lld&wait=25",
                                             (long long)epoch, (long long)status_number("generation"));
    /* An agent that is answered may find the lease gone before the append is tried. */
    bool appends = strcmp(place, "before-journal") == 0;
    *poll_fd = appends ? -1 : send_request(served.agents_port, "GET", table, edge, "");
    ck_assert(g_file_set_contents(file, "", 0, NULL));
    *asker_fd = send_request(served.port, "POST", abort, person, "{}");
    ck_assert_int_eq(waitpid(served.pid, &status, WUNTRACED), served.pid);
    ck_assert_msg(WIFSTOPPED(status), "%s: %x %s", place, (unsigned)status, served.log->str);
    json_decref(run);
    return epoch;
}

static void lever(struct served *server, const char *body)
{
    ck_assert_uint_eq(served_local(server, "PUT", "/v1/controls/pop/pop-b1", "*", body, NULL), 200);
}

static void one_round(const char *place, const char *says)
{
    struct served second;
    json_t *status = NULL;
    int poll_fd, asker_fd;
    served_new(&served);
    served_new(&second);
    json_int_t epoch = stop_first(place, &poll_fd, &asker_fd);
    g_autofree char *state = g_strdup_printf("--state=%s/state", served.dir),
                    *lock = g_strdup_printf("%s/state/lock", served.dir);
    ck_assert_int_eq(g_unlink(lock), 0);
    served_start(&second, NULL, (const char *const[]){state, NULL});
    ck_assert_uint_eq(served_local(&second, "GET", "/v1/status", NULL, NULL, &status), 200);
    ck_assert_int_eq(number_at(status, "epoch"), epoch + 65536);
    json_decref(status);
    lever(&second, "{\"value\":\"out\"}");
    kill(served.pid, SIGCONT);
    int ended = served_wait(&served);
    ck_assert_msg(WIFEXITED(ended) && WEXITSTATUS(ended) == 1, "%s: ended with %x", place, (unsigned)ended);
    ck_assert_msg(strstr(served.log->str, says) != NULL, "%s: found %s, expected %s", place, served.log->str, says);
    g_autofree char *table = poll_fd >= 0 ? read_all(poll_fd) : g_strdup(""), *answer = read_all(asker_fd),
                    *older = g_strdup_printf("\"epoch\":%lld,", (long long)epoch);
    ck_assert_msg(strstr(table, "\"epoch\"") == NULL || strstr(table, older) != NULL, "%s: %s", place, table);
    ck_assert_msg(strstr(answer, "200 OK") == NULL || strcmp(place, "before-journal") != 0, "%s: %s", place, answer);
    check_journal(epoch);
    lever(&second, "{\"value\":\"in\"}");
    served_clear(&second);
    served_clear(&served);
}

START_TEST(the_one_that_wakes_ends)
{
    one_round(places[_i % (int)G_N_ELEMENTS(places)].place, places[_i % (int)G_N_ELEMENTS(places)].says);
}
END_TEST

#endif

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
#ifdef SIGNALBOX_FAILPOINTS
    int rounds = g_getenv("SIGNALBOX_TEST_FULL") != NULL ? 50 : (int)G_N_ELEMENTS(places);
    tcase_add_loop_test(tcase, the_one_that_wakes_ends, 0, rounds);
#endif
}

int main(void)
{
    return unit_run("two_servers", add);
}
