/* SIGKILL of the agent at every call that touches disk or network; whatever was half done, the next one goes on. */
#include "tests/unit/agent_stage.h"
#include "tests/unit/unit.h"

#include <string.h>

#define DEADLINE_US (20 * G_USEC_PER_SEC)

/* From an empty folder over a generation to another reign. False: it was not killed. */
static bool run_killed_at(const char *call, unsigned when)
{
    static const struct stamp course[] = {{STAGE_EPOCH, 1}, {STAGE_EPOCH, 2}, {STAGE_EPOCH + 65536, 3}};
    g_autofree char *inject = g_strdup_printf("%s:signal=KILL:when=%u", call, when);
    struct stage s;
    unsigned deaths = 0;
    stage_begin(&s, NULL);
    stage_spawn(&s, inject);
    for (size_t i = 0; i < G_N_ELEMENTS(course); i++) {
        stage_say(&s, course[i], NONE);
        while (!stage_await(&s, "applied", course[i], "", DEADLINE_US)) {
            deaths++;
            stage_expect_disk(&s);
            stage_spawn(&s, NULL);
        }
        ck_assert_int_eq(stamp_compare(stage_force(&s), course[i]), 0);
    }
    ck_assert_uint_le(deaths, 1);
    stage_expect_disk(&s);
    stage_expect_log(&s);
    stage_end(&s);
    return deaths > 0;
}

START_TEST(an_agent_killed_at_any_call_goes_on)
{
    static const char *const calls[] = {"write", "fsync", "rename", "link", "unlink", "connect", "sendto"};
    unsigned total = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(calls); i++) {
        unsigned points = 0;
        while (run_killed_at(calls[i], points + 1))
            points++;
        printf("%s: killed at %u calls\n", calls[i], points);
        ck_assert_uint_gt(points, 0);
        total += points;
    }
    printf("killed at %u calls in all; no effect doubled, none lost, none undone\n", total);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 280);
    tcase_add_test(tcase, an_agent_killed_at_any_call_goes_on);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "agent") == 0)
        return agent_stage_main(argv[2], argv[3]);
    return unit_run("agent_kill", add);
}
