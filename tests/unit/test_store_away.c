/* test_store_away.c: plans take no longer while the store is killed, dying or stopped, and the history is whole when it
 * is back. Real signalboxd, real Postgres; figures are printed.
 */
#include "core/loop.h"
#include "server/store/db.h"
#include "tests/unit/postgresd.h"
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"
#include <poll.h>

#define ROUNDS 20
#define GROWTH_US 50000

enum condition { ANSWERS, DIES, DEAD, STOPPED, CONDITIONS };
static const char *const names[CONDITIONS] = {"answers", "dies meanwhile", "is dead", "is stopped"};

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

static int64_t run_under(enum condition condition, int n)
{
    if (condition == DEAD)
        postgresd_kill();
    if (condition == STOPPED)
        postgresd_pause(true);
    if (condition == DIES)
        postgresd_kill_soon();
    int64_t took_us = run_pop_plan(NULL, n, NULL);
    if (condition == STOPPED)
        postgresd_pause(false);
    if (condition == DIES)
        postgresd_kill();
    if (condition == DIES || condition == DEAD)
        postgresd_run();
    wait_whole();
    return took_us;
}

START_TEST(plans_do_not_wait_for_the_store)
{
    int64_t took_us[CONDITIONS][ROUNDS];
    postgresd_start();
    store = postgresd_fresh();
    const char *const flags[] = {"--store", store, NULL};
    served_new(&served);
    served_start(&served, NULL, flags);
    served_apply_site(&served);
    apply_pop_plans();
    wait_whole();
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < CONDITIONS; i++)
            took_us[i][round] = run_under((enum condition)i, round * CONDITIONS + i);
    int64_t usual_us = median(took_us[ANSWERS], ROUNDS);
    for (int i = 0; i < CONDITIONS; i++) {
        int64_t median_us = median(took_us[i], ROUNDS);
        printf("the store %s: a plan takes %.1f ms (median of %d, slowest %.1f)\n", names[i], (double)median_us / 1e3,
               ROUNDS, (double)took_us[i][ROUNDS - 1] / 1e3);
        ck_assert_int_le(median_us, MAX(usual_us + GROWTH_US, usual_us * 11 / 10));
    }
    ck_assert_int_eq(store_number("select count(*) from executions where body like '%succeeded%'"),
                     ROUNDS * CONDITIONS);
    served_clear(&served);
    postgresd_end();
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 280);
    tcase_add_test(tcase, plans_do_not_wait_for_the_store);
}

int main(void)
{
    return unit_run("store_away", add);
}
