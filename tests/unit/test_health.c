/* health.h: every edge of the state machine, the timetable, and what a slow start gives when. */
#include "gateway/health.h"

#include "tests/unit/unit.h"

#define S 1000000ll

static const struct health_limits limits = {
    .interval_us = 2 * S, .timeout_us = S, .rise = 3, .fall = 2, .slow_start_us = 20 * S};

/* results: letters, '+' a good one, '-' a bad one, '.' one that never comes, each a check of its own; states: behind
 * each, U, D, or ? for unseen. */
static const struct row {
    const char *results, *states;
} rows[] = {
    {"+", "U"},
    {"-", "?"},
    {"--", "?D"},
    {"-+", "?U"},
    {"+-+-+-", "UUUUUU"},
    {"+--", "UUD"},
    {"+-+--", "UUUUD"},
    {"--++", "?DDD"},
    {"--+++", "?DDDU"},
    {"--++-+++", "?DDDDDDU"},
    {"--+++--", "?DDDUUD"},
    {"+..", "UUD"},
    {"..", "?D"},
    {"--..+++.", "?DDDDDUU"},
};

static char letter_of(enum health_state state)
{
    return "?UD"[state];
}

/* The next check begins; now is moved there. */
static void begins(struct health *h, int64_t *now_us)
{
    while (!health_turn(h, &limits, *now_us))
        *now_us = h->next_us;
}

START_TEST(results_make_states)
{
    const struct row *row = &rows[_i];
    struct health h;
    int64_t now_us = 100 * S;
    health_init(&h, &limits, 0, now_us);
    ck_assert_str_eq(health_state_name(h.state), "unseen");
    for (unsigned i = 0; row->results[i] != '\0'; i++) {
        begins(&h, &now_us);
        enum health_state before = h.state;
        if (row->results[i] == '.') {
            now_us = h.next_us;
            ck_assert(!health_turn(&h, &limits, now_us)); /* the next one is not due yet */
            ck_assert_str_eq(h.why, "no answer within 1000 ms");
        } else {
            bool changed = health_result(&h, &limits, row->results[i] == '+' ? NULL : "refused", now_us + 1000);
            ck_assert_int_eq(changed, h.state != before);
        }
        ck_assert_msg(letter_of(h.state) == row->states[i], "%s: behind %u: found %c, expected %c", row->results, i + 1,
                      letter_of(h.state), row->states[i]);
    }
    ck_assert_uint_eq(h.good + h.bad, strlen(row->results));
}
END_TEST

START_TEST(checks_keep_their_interval)
{
    struct health h;
    int64_t now_us = 0, first_us;
    health_init(&h, &limits, 1234567, 0);
    ck_assert_int_eq(h.next_us, 1234567); /* by chance */
    begins(&h, &now_us);
    first_us = now_us;
    for (int i = 1; i < 10; i++) { /* whatever the answers take */
        health_result(&h, &limits, NULL, now_us + i * 100000);
        begins(&h, &now_us);
        ck_assert_int_eq(now_us, first_us + i * limits.interval_us);
    }
    health_result(&h, &limits, NULL, now_us + 1);
    now_us += 100 * S; /* turned late: one check, not fifty */
    ck_assert(health_turn(&h, &limits, now_us));
    ck_assert(!health_turn(&h, &limits, now_us));
    health_result(&h, &limits, NULL, now_us + 1);
    ck_assert_int_eq(h.next_us, now_us + limits.interval_us);
    ck_assert(!health_result(&h, &limits, "late", now_us + 2)); /* nobody has asked */
    ck_assert_str_eq(h.why, "");
    ck_assert_uint_eq(h.bad, 0);
}
END_TEST

/* Turned late by more than an interval, while a check was under way: it has failed, once, and the next begins. */
START_TEST(a_late_turn_is_one_failure)
{
    struct health h;
    int64_t now_us = 0;
    health_init(&h, &limits, 0, 0);
    begins(&h, &now_us);
    ck_assert(health_turn(&h, &limits, 60 * S));
    ck_assert_uint_eq(h.bad, 1);
    ck_assert_int_eq(h.begun_us, 60 * S);
}
END_TEST

static void come_back(struct health *h, int64_t *now_us)
{
    health_init(h, &limits, 0, *now_us);
    for (const char *c = "--+++"; *c != '\0'; c++) {
        begins(h, now_us);
        health_result(h, &limits, *c == '+' ? NULL : "refused", *now_us);
    }
    ck_assert_int_eq(h->state, HEALTH_UP);
}

START_TEST(who_comes_back_gets_more_and_more)
{
    struct health h;
    int64_t now_us = 50 * S;
    health_init(&h, &limits, 0, now_us);
    ck_assert_uint_eq(health_weight(&h, &limits, 100, now_us), 100); /* unseen: serves */
    come_back(&h, &now_us);
    int64_t up_us = now_us;
    for (unsigned tenth = 1; tenth < HEALTH_STAGES; tenth++) {
        int64_t changes_us = health_changes_us(&h, &limits, now_us);
        ck_assert_uint_eq(health_weight(&h, &limits, 100, now_us), tenth * 10);
        ck_assert_int_eq(changes_us, up_us + tenth * 2 * S);
        ck_assert_uint_eq(health_weight(&h, &limits, 100, changes_us - 1), tenth * 10);
        now_us = changes_us;
    }
    ck_assert_uint_eq(health_weight(&h, &limits, 100, now_us), 100);
    ck_assert_int_eq(health_changes_us(&h, &limits, now_us), HEALTH_NEVER);
    ck_assert_uint_eq(health_weight(&h, &limits, 3, up_us), 1);  /* not nothing */
    ck_assert_uint_eq(health_weight(&h, &limits, 0, now_us), 0); /* it drains */
}
END_TEST

/* A share changes when it is said to, also where tenths of the time are no whole number of µs. */
START_TEST(shares_change_when_it_is_said)
{
    for (int64_t slow_us = 1; slow_us < 200; slow_us++) {
        struct health_limits odd = limits;
        struct health h;
        int64_t now_us = 0, changes_us;
        odd.slow_start_us = slow_us;
        come_back(&h, &now_us);
        while ((changes_us = health_changes_us(&h, &odd, now_us)) != HEALTH_NEVER) {
            uint32_t before = health_weight(&h, &odd, 1000, now_us);
            ck_assert_int_gt(changes_us, now_us);
            ck_assert_uint_eq(health_weight(&h, &odd, 1000, changes_us - 1), before);
            ck_assert_uint_gt(health_weight(&h, &odd, 1000, changes_us), before);
            now_us = changes_us;
        }
        ck_assert_uint_eq(health_weight(&h, &odd, 1000, now_us), 1000);
    }
}
END_TEST

START_TEST(no_slow_start_for_who_was_not_down)
{
    struct health h;
    int64_t now_us = 0;
    health_init(&h, &limits, 0, 0);
    begins(&h, &now_us);
    ck_assert(health_result(&h, &limits, NULL, now_us));
    ck_assert_uint_eq(health_weight(&h, &limits, 100, now_us), 100);
    ck_assert_int_eq(health_changes_us(&h, &limits, now_us), HEALTH_NEVER);
    struct health_limits at_once = limits;
    at_once.slow_start_us = 0;
    come_back(&h, &now_us);
    ck_assert_uint_eq(health_weight(&h, &at_once, 100, now_us), 100);
    ck_assert_int_eq(health_changes_us(&h, &at_once, now_us), HEALTH_NEVER);
    health_result(&h, &limits, NULL, now_us);
    for (int i = 0; i < 2; i++) { /* and down again in the middle of it */
        begins(&h, &now_us);
        health_result(&h, &limits, "refused", now_us);
    }
    ck_assert_uint_eq(health_weight(&h, &limits, 100, now_us), 0);
    ck_assert_int_eq(health_changes_us(&h, &limits, now_us), HEALTH_NEVER);
}
END_TEST

/* "Out within fall checks": from a failure at any moment to DOWN, at most fall intervals and a timeout. */
START_TEST(out_in_time)
{
    for (int64_t dies_us = 10 * S; dies_us < 12 * S; dies_us += 50000) {
        struct health h;
        int64_t now_us = 0;
        health_init(&h, &limits, 0, 0);
        while (h.state != HEALTH_DOWN) {
            begins(&h, &now_us);
            if (now_us < dies_us)
                health_result(&h, &limits, NULL, now_us);
            else if (!health_turn(&h, &limits, now_us = h.next_us) && h.state == HEALTH_DOWN)
                break;
        }
        ck_assert_int_le(now_us - dies_us, limits.fall * limits.interval_us + limits.timeout_us);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, results_make_states, 0, G_N_ELEMENTS(rows));
    tcase_add_test(tcase, checks_keep_their_interval);
    tcase_add_test(tcase, a_late_turn_is_one_failure);
    tcase_add_test(tcase, who_comes_back_gets_more_and_more);
    tcase_add_test(tcase, shares_change_when_it_is_said);
    tcase_add_test(tcase, no_slow_start_for_who_was_not_down);
    tcase_add_test(tcase, out_in_time);
}

int main(void)
{
    return unit_run("health", add);
}
