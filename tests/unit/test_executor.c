/* test_executor.c: how often the lease is looked at by those who ask on other threads than the engine's: agents each
 * time, people as seldom as executor.h says and no less.
 */
#include "core/error.h"
#include "core/loop.h"
#include "server/engine/executor.h"
#include "server/store/lease.h"
#include "tests/unit/unit.h"

#include <sodium.h>
#include <stdatomic.h>

#define LOOKS 20000

static struct executor *executor;
static char *base, *state, *store; /* base: of all tests, for a process that ends by itself removes nothing */

/* A lease that this test has in its hands; only what the test's own thread sees of it counts, for the engine looks by
 * itself. */
static struct {
    GThread *asker;
    bool lost;
    unsigned looks;
    _Atomic int64_t others_us; /* when the engine looked last: for it the lease is held */
} mine;

static bool held(const struct lease *lease, GError **error)
{
    (void)lease;
    if (g_thread_self() != mine.asker) {
        atomic_store(&mine.others_us, loop_now_us());
        return true;
    }
    mine.looks++;
    if (mine.lost)
        g_set_error(error, SB_ERROR, SB_ERROR_STALE, "lost");
    return !mine.lost;
}

static void close_lease(struct lease *lease)
{
    g_free(lease);
}

struct lease *__wrap_lease_open_folder(const char *folder, GError **error);
struct lease *__wrap_lease_open_folder(const char *folder, GError **error)
{
    static const struct lease_ops ops = {held, close_lease};
    struct lease *lease = g_new(struct lease, 1);
    (void)folder;
    (void)error;
    lease->ops = &ops;
    return lease;
}

static void set_up_base(void)
{
    base = g_dir_make_tmp("sb-executor-XXXXXX", NULL);
}

static void tear_down_base(void)
{
    unit_remove_all(base);
    g_free(base);
}

static void set_up(void)
{
    g_autoptr(GError) error = NULL;
    ck_assert_int_ge(sodium_init(), 0);
    state = g_strdup_printf("%s/%d", base, (int)getpid());
    store = g_build_filename(state, "store.db", NULL);
    const struct executor_config config = {.cluster = "test", .state_dir = state, .store_url = store, .node = 1};
    executor = executor_new(&config, &error);
    ck_assert_msg(executor != NULL && executor_start(executor, &error), "%s", error != NULL ? error->message : "");
    mine.asker = g_thread_self();
}

static void tear_down(void)
{
    executor_free(executor);
    g_free(state);
    g_free(store);
}

START_TEST(people_who_read_look_seldom)
{
    int64_t start_us = loop_now_us();
    for (unsigned i = 0; i < LOOKS; i++)
        resolved_unref(executor_look(executor));
    int64_t periods = (loop_now_us() - start_us) / LEASE_AGE_US + 1;
    ck_assert_int_le(mine.looks, periods);
}
END_TEST

START_TEST(agents_look_each_time)
{
    for (unsigned i = 1; i <= 100; i++) {
        struct resolved *owner = NULL;
        resolved_unref(executor_resolved(executor));
        ck_assert_uint_eq(mine.looks, 2 * i - 1);
        ck_assert_ptr_null(executor_part(executor, "none", &owner));
        ck_assert_uint_eq(mine.looks, 2 * i);
    }
}
END_TEST

START_TEST(who_has_lost_the_lease_answers_no_agent)
{
    mine.lost = true;
    executor_resolved(executor);
    exit(EXIT_SUCCESS);
}
END_TEST

START_TEST(who_has_lost_the_lease_answers_people_for_a_moment_at_most)
{
    int64_t lost_us = loop_now_us(), before_us, seen_us;
    mine.lost = true;
    do {
        before_us = loop_now_us();
        resolved_unref(executor_look(executor));
        seen_us = MAX(lost_us, atomic_load(&mine.others_us));
    } while (before_us - seen_us <= LEASE_AGE_US);
    exit(EXIT_SUCCESS);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_unchecked_fixture(tcase, set_up_base, tear_down_base);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, people_who_read_look_seldom);
    tcase_add_test(tcase, agents_look_each_time);
    tcase_add_exit_test(tcase, who_has_lost_the_lease_answers_no_agent, EXIT_FAILURE);
    tcase_add_exit_test(tcase, who_has_lost_the_lease_answers_people_for_a_moment_at_most, EXIT_FAILURE);
}

int main(void)
{
    return unit_run("executor", add_tests);
}
