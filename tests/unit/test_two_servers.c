/* test_two_servers.c: two servers on one journal, with four production agents that have both in their lists (their
 * actuators write down what they are given) and real name servers. A stands still in the middle of an execution, its
 * lease is taken away, B begins a reign and ends the execution; A wakes: it writes nothing, nothing that it still says
 * takes effect at an edge or a name server, and it ends. */
#include "core/log.h"
#include "core/loop.h"
#include "server/store/db.h"
#include "tests/unit/sitestage.h"
#include "tests/unit/unit.h"
#include <glib/gstdio.h>
#include <libknot/libknot.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef SIGNALBOX_FAILPOINTS

#define PAUSE_US (5 * G_USEC_PER_SEC) /* how long A stands still; without SIGNALBOX_TEST_FULL as long as B needs */
#define ENDED_US (40 * G_USEC_PER_SEC)

/* Where A stands still. Its last words depend on which of its threads comes first: an append is refused for its epoch,
 * all else finds the lease gone. */
static const char *const places[] = {
    "before-journal~/to-lines/set:stop",
    "after-update:stop@2",
    "after-journal~/move-out/set:stop",
    "before-publish~/to-lines/set:stop",
    "before-update:stop@2",
    "after-publish~/move-out/set:stop",
    "before-reply:stop",
};
#define LAST_WORDS "ending, nothing"
#define PLACES_SAMPLED 3
#define RIGS 6 /* sites side by side, with SIGNALBOX_TEST_FULL */

static unsigned rig, rigs = 1;

static struct site_stage stage;

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

static void check_journal(const char *dir, json_int_t epoch)
{
    g_autofree char *path = g_strdup_printf("%s/state/journal.db", dir);
    struct db *db = db_open(path, NULL);
    ck_assert_int_gt(count(db, "select count(*) from entries where epoch > $1", epoch), 0);
    ck_assert_int_eq(count(db,
                           "select count(*) from entries where epoch = $1 and "
                           "seq > (select min(seq) from entries where epoch > $1)",
                           epoch),
                     0);
    db_close(db);
}

/* A, with the site at rest, stopped at the place while room-isolated runs. Gives its epoch. */
static json_int_t stop_first(const char *place, const char *second_agents, int *asker_fd)
{
    int status;
    g_autofree char *point = g_strdup_printf("SIGNALBOX_FP=%s", place), *file = g_strdup_printf("%s/armed", served.dir),
                    *armed = g_strconcat("SIGNALBOX_FP_ARMED=", file, NULL);
    served_start(&served, (const char *const[]){point, armed, NULL}, (const char *const[]){stage.keys_flag, NULL});
    site_populate(&stage, NULL, (const char *const[]){served.agents, second_agents, NULL});
    site_await_rest();
    g_autofree char *person = served_token(&served, "alice", "operator");
    json_int_t epoch = status_number("epoch");
    ck_assert(g_file_set_contents(file, "", 0, NULL));
    *asker_fd = send_request(served.port, "POST", "/v1/plans/room-isolated/run", person, "{\"target\":\"room-a\"}");
    ck_assert_int_eq(waitpid(served.pid, &status, WUNTRACED), served.pid);
    ck_assert_msg(WIFSTOPPED(status), "%s: %x %s", place, (unsigned)status, served.log->str);
    return epoch;
}

/* B, which is `served` now, ends the execution that A has begun. */
static void await_execution(void)
{
    for (int64_t until_us = loop_now_us() + ENDED_US;;) {
        json_t *list = NULL;
        ck_assert_uint_eq(served_local(&served, "GET", "/v1/executions", NULL, NULL, &list), 200);
        const json_t *run = json_array_get(json_object_get(list, "executions"), 0);
        g_autofree char *state = g_strdup(text_at(run, "state"));
        json_decref(list);
        if (strcmp(state, "succeeded") == 0)
            return;
        ck_assert_msg(strcmp(state, "running") == 0 && loop_now_us() < until_us, "found %s, expected succeeded", state);
        poll(NULL, 0, 20);
    }
}

/* What the actuators have, which nothing that A says may change. */
struct force {
    unsigned applied; /* records of the crew */
    unsigned serials[2];
    char *sentinels[2];
};

static struct force look_force(void)
{
    struct force force = {.applied = crew_expect_once(&stage.crew, 0)};
    for (unsigned i = 0; i < 2; i++) {
        force.serials[i] = dnsd_serial(&stage.ns[i]->endpoint);
        force.sentinels[i] = dnsd_ask(&stage.ns[i]->endpoint, "_signalbox." DNSD_ZONE, KNOT_RRTYPE_TXT);
    }
    return force;
}

static void expect_force(const char *place, struct force before, json_int_t epoch)
{
    struct force now = look_force();
    g_autofree char *ours = g_strdup_printf("%lld ", (long long)epoch);
    ck_assert_msg(now.applied == before.applied, "%s: an edge was given something by the old server", place);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_msg(now.serials[i] == before.serials[i], "%s: ns-%u was changed by the old server", place, i + 1);
        ck_assert_str_eq(now.sentinels[i], before.sentinels[i]);
        ck_assert_msg(strstr(now.sentinels[i], ours) != NULL, "ns-%u: found %s, expected epoch %s", i + 1,
                      now.sentinels[i], ours);
        g_free(now.sentinels[i]);
        g_free(before.sentinels[i]);
    }
}

static void wake(struct served *first, const char *place)
{
    kill(first->pid, SIGCONT);
    int ended = served_wait(first);
    ck_assert_msg(WIFEXITED(ended) && WEXITSTATUS(ended) == 1, "%s: ended with %x", place, (unsigned)ended);
    ck_assert_msg(strstr(first->log->str, LAST_WORDS) != NULL, "%s: found %s, expected " LAST_WORDS, place,
                  first->log->str);
}

static void await_lead(json_int_t epoch)
{
    for (int64_t until_us = loop_now_us() + ENDED_US; status_number("epoch") != epoch;) {
        ck_assert_msg(loop_now_us() < until_us, "the second server does not lead: %s", served.log->str);
        poll(NULL, 0, 20);
    }
}

/* B leads while A stands still; then A wakes, and may change nothing. */
static void wake_beaten(struct served *first, const char *place, json_int_t epoch, int64_t until_us)
{
    await_execution();
    site_await_rest();
    while (loop_now_us() < until_us)
        poll(NULL, 0, 20);
    struct force before = look_force();
    wake(first, place);
    site_await_rest();
    expect_force(place, before, epoch);
}

/* A stands still within a transaction, which locks the journal: B cannot begin a reign before A has woken and ended. */
static void wake_locking(struct served *first, const char *place, json_int_t epoch, int64_t until_us)
{
    while (loop_now_us() < until_us)
        poll(NULL, 0, 20);
    wake(first, place);
    await_lead(epoch);
    await_execution();
    site_await_rest();
    expect_force(place, look_force(), epoch);
}

static void one_round(const char *place, int64_t pause_us)
{
    struct served first, second;
    int asker_fd;
    served_new(&served);
    served_new(&second);
    site_prepare(&stage);
    json_int_t epoch = stop_first(place, second.agents, &asker_fd);
    int64_t until_us = loop_now_us() + pause_us;
    g_autofree char *state = g_strdup_printf("--state=%s/state", served.dir),
                    *lock = g_strdup_printf("%s/state/lock", served.dir);
    ck_assert_int_eq(g_unlink(lock), 0);
    first = served;
    served_start(&second, NULL, (const char *const[]){state, stage.keys_flag, NULL});
    served = second;
    bool leads = status_number("epoch") != epoch;
    printf("%s: %s\n", place, leads ? "beaten while it stood still" : "it stood still within a transaction");
    if (leads)
        wake_beaten(&first, place, epoch + 65536, until_us);
    else
        wake_locking(&first, place, epoch + 65536, until_us);
    g_autofree char *answer = read_all(asker_fd);
    /* What was durable may be told; what was not never was. */
    ck_assert_msg(strstr(answer, "202 ") == NULL || !g_str_has_prefix(place, "before-journal"), "%s: %s", place,
                  answer);
    check_journal(first.dir, epoch);
    site_end(&stage);
    served_clear(&served);
    served_clear(&first);
}

START_TEST(the_one_that_wakes_ends)
{
    int i = _i % (int)G_N_ELEMENTS(places);
    log_set_level(LOG_LEVEL_ERROR); /* the agents speak in this process */
    one_round(places[i], rigs > 1 ? PAUSE_US : 0);
}
END_TEST

#endif

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
#ifdef SIGNALBOX_FAILPOINTS
    unsigned rounds = rigs > 1 ? 50 : PLACES_SAMPLED;
    tcase_add_loop_test(tcase, the_one_that_wakes_ends, (int)(rounds * rig / rigs), (int)(rounds * (rig + 1) / rigs));
#endif
}

int main(void)
{
#ifdef SIGNALBOX_FAILPOINTS
    rigs = g_getenv("SIGNALBOX_TEST_FULL") != NULL ? RIGS : 1;
    return site_run_beside("two_servers", add, rigs, &rig);
#else
    return unit_run("two_servers", add);
#endif
}
