/* test_store_away.c: plans take no longer while the store is killed, stopped or restarted, before, during or behind
 * them, and the history is whole when it is back. Real signalboxd, real Postgres; figures are printed.
 */
#include "core/loop.h"
#include "server/store/db.h"
#include "tests/unit/postgresd.h"
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define ROUNDS 20
#define GROWTH_US 50000
#define STEPS 8 /* of the plan, each a commit of its own: long enough to be met on its way */

enum moment { BEFORE, DURING, BEHIND, MOMENTS };
enum fault { KILLED, STOPPED, RESTARTED, FAULTS };
static const char *const moments[MOMENTS] = {"before", "during", "behind"};
static const char *const faults[FAULTS] = {"killed", "stopped", "restarted"};

static char *store;

static int64_t store_number(const char *sql)
{
    sb_auto(db) db = db_open(store, NULL);
    sb_auto(db_rows) rows = db == NULL ? NULL : db_query(db, sql, NULL, 0, NULL);
    return rows != NULL && db_next(rows, NULL) ? db_int(rows, 0) : -1;
}

/* The newest audit entry of the server is in the store. */
static void wait_whole(void)
{
    int64_t until_us = loop_now_us() + 100 * G_USEC_PER_SEC;
    json_t *audit = NULL;
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/audit?limit=1", NULL, NULL, &audit), 200);
    json_int_t seq = number_at(json_array_get(json_object_get(audit, "audit"), 0), "seq");
    ck_assert_int_gt(seq, 0);
    json_decref(audit);
    while (store_number("select max(seq) from audit") < seq) {
        ck_assert_msg(loop_now_us() < until_us, "the store did not catch up");
        poll(NULL, 0, 20);
    }
}

static void apply_plan(void)
{
    g_autoptr(GString) body = g_string_new("{\"plans\":[{\"plan\":\"to-and-fro\",\"steps\":[");
    for (int i = 0; i < STEPS; i++)
        g_string_append_printf(
            body, "%s{\"name\":\"s%d\",\"set\":[{\"control\":\"pop\",\"on\":\"pop-a1\",\"value\":\"%s\"}]}",
            i > 0 ? "," : "", i, i % 2 == 0 ? "out" : "in");
    g_string_append(body, "]}]}");
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/apply", NULL, body->str, NULL), 200);
}

static bool running(const char *url)
{
    json_t *execution = NULL;
    ck_assert_uint_eq(served_local(&served, "GET", url, NULL, NULL, &execution), 200);
    const char *state = text_at(execution, "state");
    bool more = strcmp(state, "running") == 0;
    ck_assert_msg(more || strcmp(state, "succeeded") == 0, "%s: %s", state, text_at(execution, "error"));
    json_decref(execution);
    return more;
}

/* A run of the plan in a process of its own, which tells when it has begun and when it has ended. */
static pid_t run_beside(int *end)
{
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    *end = ends[0];
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid != 0) {
        close(ends[1]);
        return pid;
    }
    json_t *run = NULL;
    int64_t us[2] = {loop_now_us()};
    unsigned status = served_local(&served, "POST", "/v1/plans/to-and-fro/run", NULL, "{}", &run);
    g_autofree char *url = g_strdup_printf("/v1/executions/%s", text_at(run, "id"));
    if (status != 202 || write(ends[1], "", 1) != 1)
        _exit(1);
    while (running(url))
        ck_assert_int_lt(loop_now_us() - us[0], 20 * G_USEC_PER_SEC);
    us[1] = loop_now_us();
    _exit(write(ends[1], us, sizeof us) == sizeof us ? 0 : 1);
}

static void strike(enum fault fault)
{
    if (fault == STOPPED)
        postgresd_pause(true);
    else
        postgresd_kill();
    if (fault == RESTARTED)
        postgresd_run();
}

static void heal(enum fault fault)
{
    if (fault == STOPPED)
        postgresd_pause(false);
    if (fault == KILLED)
        postgresd_run();
}

/* A run of the plan with the fault in its moment; fault FAULTS: none. Returns what it took; *met: the fault had come
 * before the plan's end. */
static int64_t run_under(enum fault fault, enum moment moment, bool *met)
{
    int fd, status = -1;
    int64_t us[2] = {0}, struck_us = 0;
    char started;
    if (fault != FAULTS && moment == BEFORE)
        strike(fault);
    pid_t pid = run_beside(&fd);
    ck_assert_msg(read(fd, &started, 1) == 1, "the plan was not started");
    if (fault != FAULTS && moment == DURING) {
        struck_us = loop_now_us();
        strike(fault);
    }
    ck_assert_msg(read(fd, us, sizeof us) == sizeof us, "the plan did not succeed");
    ck_assert(waitpid(pid, &status, 0) == pid && status == 0);
    close(fd);
    if (fault != FAULTS && moment == BEHIND)
        strike(fault);
    if (fault != FAULTS)
        heal(fault);
    wait_whole();
    *met = struck_us < us[1];
    return us[1] - us[0];
}

/* Journal and store have the same. */
static void check_audit(void)
{
    json_t *answer = NULL;
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/audit/verify", NULL, NULL, &answer), 200);
    g_autofree char *text = json_dumps(answer, JSON_COMPACT);
    ck_assert_msg(json_array_size(json_object_get(answer, "findings")) == 0 && number_at(answer, "records") > 0 &&
                      number_at(answer, "records") == number_at(answer, "stored"),
                  "%s", text);
    json_decref(answer);
}

static void begin(void)
{
    store = postgresd_fresh();
    const char *const flags[] = {"--store", store, NULL};
    served_new(&served);
    served_start(&served, NULL, flags);
    served_apply_site(&served);
    apply_plan();
    wait_whole();
}

static void end(void)
{
    served_clear(&served);
    postgresd_end();
    g_free(store);
}

static void check_took(const char *what, int64_t *took_us, int64_t usual_us, int met)
{
    int64_t median_us = median(took_us, ROUNDS);
    printf("the store %s: a plan of %d steps takes %.1f ms (median of %d, slowest %.1f)", what, STEPS,
           (double)median_us / 1e3, ROUNDS, (double)took_us[ROUNDS - 1] / 1e3);
    printf(met >= 0 ? "; met on its way %d times\n" : "\n", met);
    ck_assert_int_le(median_us, MAX(usual_us + GROWTH_US, usual_us * 11 / 10));
}

START_TEST(plans_do_not_wait_for_the_store)
{
    int64_t took_us[FAULTS][MOMENTS][ROUNDS], alone_us[ROUNDS];
    int met[FAULTS] = {0};
    bool this;
    postgresd_start();
    begin();
    for (int round = 0; round < ROUNDS; round++) {
        alone_us[round] = run_under(FAULTS, BEFORE, &this);
        for (int fault = 0; fault < FAULTS; fault++)
            for (int moment = 0; moment < MOMENTS; moment++) {
                took_us[fault][moment][round] = run_under((enum fault)fault, (enum moment)moment, &this);
                met[fault] += moment == DURING && this;
            }
    }
    int64_t usual_us = median(alone_us, ROUNDS);
    check_took("answers", alone_us, usual_us, -1);
    for (int fault = 0; fault < FAULTS; fault++)
        for (int moment = 0; moment < MOMENTS; moment++) {
            g_autofree char *what = g_strdup_printf("is %s %s", faults[fault], moments[moment]);
            check_took(what, took_us[fault][moment], usual_us, moment == DURING ? met[fault] : -1);
        }
    for (int fault = 0; fault < FAULTS; fault++)
        ck_assert_int_gt(met[fault], ROUNDS / 2);
    ck_assert_int_eq(store_number("select count(*) from executions where body like '%succeeded%'"),
                     ROUNDS * (1 + FAULTS * MOMENTS));
    check_audit();
    end();
}
END_TEST

static unsigned set_pop(const char *value)
{
    g_autofree char *body =
        g_strdup_printf("{\"changes\":[{\"control\":\"pop\",\"object\":\"pop-a1\",\"value\":\"%s\"}]}", value);
    return served_local(&served, "POST", "/v1/controls", NULL, body, NULL);
}

/* Nothing that is written needs the store: what only it can tell says that it is away. */
START_TEST(writes_do_not_need_the_store)
{
    postgresd_start();
    begin();
    postgresd_kill();
    json_t *answer = NULL;
    ck_assert_uint_eq(set_pop("out"), 200);
    g_free(served_token(&served, "made-without", "viewer"));
    served_apply_site(&served);
    ck_assert_uint_eq(served_local(&served, "GET", "/readyz", NULL, NULL, NULL), 200);
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/audit/verify", NULL, NULL, &answer), 200);
    ck_assert_msg(strstr(text_at(answer, "store_error"), "refused") != NULL, "%s", text_at(answer, "store_error"));
    json_decref(answer);
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    const char *const flags[] = {"--store", store, NULL};
    served_start(&served, NULL, flags); /* also without */
    ck_assert_uint_eq(set_pop("in"), 200);
    postgresd_run();
    wait_whole();
    check_audit();
    end();
}
END_TEST

/* The store's server dies and its standby is promoted, while a plan runs. */
START_TEST(a_store_is_failed_over)
{
    int fd, status = -1;
    char started;
    int64_t us[2];
    postgresd_start();
    postgresd_follow();
    begin();
    pid_t pid = run_beside(&fd);
    ck_assert_int_eq(read(fd, &started, 1), 1);
    postgresd_fail_over();
    ck_assert_int_eq(read(fd, us, sizeof us), sizeof us);
    ck_assert(waitpid(pid, &status, 0) == pid && status == 0);
    close(fd);
    wait_whole();
    check_audit();
    ck_assert_int_eq(store_number("select count(*) from executions where body like '%succeeded%'"), 1);
    printf("the store is failed over: a plan of %d steps takes %.1f ms\n", STEPS, (double)(us[1] - us[0]) / 1e3);
    end();
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 700);
    tcase_add_test(tcase, writes_do_not_need_the_store);
    tcase_add_test(tcase, a_store_is_failed_over);
    tcase_add_test(tcase, plans_do_not_wait_for_the_store);
}

int main(void)
{
    return unit_run("store_away", add);
}
