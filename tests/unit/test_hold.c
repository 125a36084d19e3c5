/* An edge's own room move: every transition, and what flapping makes of it. Time is made up. */
#include "dcdn/hold.h"
#include "tests/unit/unit.h"

#define S 1000000
#define LOOK 200000
static const struct hold_limits limits = {60 * S, 5 * S};

static enum hold_event step(struct hold *hold, enum hold_health health, int64_t now_us)
{
    return hold_step(hold, &limits, health, true, now_us);
}

/* A hold that began at now_us. */
static void begin(struct hold *hold, int64_t now_us)
{
    hold_init(hold);
    ck_assert_int_eq(step(hold, HOLD_DOWN, now_us - LOOK), HOLD_NOTHING);
    ck_assert_int_eq(step(hold, HOLD_DOWN, now_us), HOLD_BEGUN);
    ck_assert_uint_eq(hold->home, 0);
}

START_TEST(it_takes_two_sightings_that_are_close)
{
    struct hold hold;
    hold_init(&hold);
    ck_assert_int_eq(step(&hold, HOLD_UP, 0), HOLD_NOTHING);
    for (int64_t now = 0; now < 60 * S; now += HOLD_SIGHTED_US + LOOK) {
        ck_assert_int_eq(step(&hold, HOLD_DOWN, now), HOLD_NOTHING);
        ck_assert_uint_eq(hold.home, HOLD_SLOTS);
    }
    hold_init(&hold); /* one that is up in between is no other matter */
    ck_assert_int_eq(step(&hold, HOLD_DOWN, 0), HOLD_NOTHING);
    ck_assert_int_eq(step(&hold, HOLD_UP, LOOK), HOLD_NOTHING);
    ck_assert_int_eq(step(&hold, HOLD_DOWN, 2 * LOOK), HOLD_BEGUN);
    ck_assert_uint_eq(hold.home, 0);
}
END_TEST

START_TEST(without_another_room_nobody_moves)
{
    struct hold hold;
    hold_init(&hold);
    for (int64_t now = 0; now < 5 * S; now += LOOK)
        ck_assert_int_eq(hold_step(&hold, &limits, HOLD_DOWN, false, now), HOLD_NOTHING);
    ck_assert_uint_eq(hold.home, HOLD_SLOTS);
    ck_assert_int_eq(step(&hold, HOLD_DOWN, 5 * S), HOLD_BEGUN); /* the other room is back first */
}
END_TEST

/* Its users are with it already, by HAProxy's backups; they must not all leave again when another room is back. */
START_TEST(a_held_room_that_is_the_only_one_is_held_no_more)
{
    struct hold hold;
    begin(&hold, 0);
    ck_assert_int_eq(hold_step(&hold, &limits, HOLD_DOWN, false, S), HOLD_NOTHING); /* all are down */
    ck_assert_int_eq(hold_step(&hold, &limits, HOLD_UNSEEN, false, S), HOLD_NOTHING);
    ck_assert_int_eq(hold_step(&hold, &limits, HOLD_UP, false, 2 * S), HOLD_NOTHING); /* by one sighting: not yet */
    ck_assert_int_eq(hold_step(&hold, &limits, HOLD_UP, false, 3 * S + LOOK), HOLD_NOTHING);
    ck_assert_int_eq(step(&hold, HOLD_DOWN, 3 * S + 2 * LOOK), HOLD_NOTHING); /* what was seen before this is void */
    ck_assert_int_eq(hold_step(&hold, &limits, HOLD_UP, false, 3 * S + 3 * LOOK), HOLD_NOTHING);
    ck_assert_uint_eq(hold.home, 0);
    ck_assert_int_eq(hold_step(&hold, &limits, HOLD_UP, false, 3 * S + 4 * LOOK), HOLD_ALONE);
    ck_assert_uint_eq(hold.home, HOLD_SLOTS);
    ck_assert_int_eq(step(&hold, HOLD_UP, 4 * S), HOLD_NOTHING); /* another is back: nobody leaves */
    ck_assert_uint_eq(hold.home, HOLD_SLOTS);
}
END_TEST

START_TEST(users_return_a_stage_at_a_time_after_the_hold)
{
    struct hold hold;
    begin(&hold, 0);
    int64_t last = 0;
    unsigned stages = 0;
    for (int64_t now = LOOK; hold.home < HOLD_SLOTS; now += LOOK) {
        unsigned before = hold.home;
        enum hold_event event = step(&hold, HOLD_UP, now);
        ck_assert_uint_le(hold.home - before, HOLD_STAGE);
        if (event == HOLD_NOTHING) {
            ck_assert_uint_eq(hold.home, before);
            continue;
        }
        ck_assert_int_ge(now - last, stages == 0 ? limits.hold_us : limits.stage_us);
        ck_assert_int_lt(now - last, (stages == 0 ? limits.hold_us : limits.stage_us) + LOOK);
        ck_assert_int_eq(event, hold.home == HOLD_SLOTS ? HOLD_ENDED : HOLD_RETURNS);
        last = now;
        stages++;
    }
    ck_assert_uint_eq(stages, HOLD_SLOTS / HOLD_STAGE);
}
END_TEST

START_TEST(the_hold_counts_from_the_last_time_it_was_down)
{
    struct hold hold;
    begin(&hold, 0);
    ck_assert_int_eq(step(&hold, HOLD_UP, 59 * S), HOLD_NOTHING);
    ck_assert_int_eq(step(&hold, HOLD_DOWN, 59 * S + LOOK), HOLD_NOTHING);
    ck_assert_int_eq(step(&hold, HOLD_UP, 119 * S), HOLD_NOTHING);
    ck_assert_int_eq(step(&hold, HOLD_UP, 119 * S + LOOK), HOLD_RETURNS);
}
END_TEST

START_TEST(a_room_that_fails_on_return_is_held_anew_at_the_first_sighting)
{
    struct hold hold;
    begin(&hold, 0);
    ck_assert_int_eq(step(&hold, HOLD_UP, 60 * S), HOLD_RETURNS);
    ck_assert_int_eq(step(&hold, HOLD_UP, 65 * S), HOLD_RETURNS);
    ck_assert_uint_eq(hold.home, 2 * HOLD_STAGE);
    ck_assert_int_eq(step(&hold, HOLD_DOWN, 66 * S), HOLD_AGAIN);
    ck_assert_uint_eq(hold.home, 0);
    ck_assert_int_eq(step(&hold, HOLD_DOWN, 66 * S + LOOK), HOLD_NOTHING); /* said once */
    ck_assert_int_eq(step(&hold, HOLD_UP, 126 * S), HOLD_NOTHING);
    ck_assert_int_eq(step(&hold, HOLD_UP, 126 * S + LOOK), HOLD_RETURNS);
}
END_TEST

START_TEST(nobody_returns_to_a_room_that_nobody_sees)
{
    struct hold hold;
    begin(&hold, 0);
    for (int64_t now = LOOK; now <= 100 * S; now += LOOK)
        ck_assert_int_eq(step(&hold, HOLD_UNSEEN, now), HOLD_NOTHING);
    ck_assert_int_eq(step(&hold, HOLD_UP, 100 * S + LOOK), HOLD_NOTHING); /* who comes back believes in all of them */
    ck_assert_int_eq(step(&hold, HOLD_UP, 105 * S), HOLD_RETURNS);
    ck_assert_uint_eq(hold.home, HOLD_STAGE);
    hold_init(&hold);
    ck_assert_int_eq(step(&hold, HOLD_UNSEEN, 0), HOLD_NOTHING);
    ck_assert_uint_eq(hold.home, HOLD_SLOTS);
}
END_TEST

START_TEST(a_sleep_makes_no_two_stages)
{
    struct hold hold;
    begin(&hold, 0);
    ck_assert_int_eq(step(&hold, HOLD_UP, 3600LL * S), HOLD_RETURNS);
    ck_assert_uint_eq(hold.home, HOLD_STAGE);
    ck_assert_int_eq(step(&hold, HOLD_UP, 3600LL * S + LOOK), HOLD_NOTHING);
}
END_TEST

START_TEST(a_restart_moves_nobody_and_holds_anew)
{
    struct hold hold;
    hold_restore(&hold, &limits, 300, 500 * S, 7 * S);
    ck_assert_uint_eq(hold.home, 300);
    ck_assert_int_eq(7 * S - hold.began_us, 500 * S);
    ck_assert_int_eq(step(&hold, HOLD_UP, 67 * S - LOOK), HOLD_NOTHING);
    ck_assert_uint_eq(hold.home, 300);
    ck_assert_int_eq(step(&hold, HOLD_UP, 67 * S), HOLD_RETURNS);
    ck_assert_uint_eq(hold.home, 400);
    hold_restore(&hold, &limits, 300, 0, 7 * S);
    ck_assert_int_eq(step(&hold, HOLD_DOWN, 8 * S), HOLD_AGAIN); /* it is a hold: one sighting is enough */
    ck_assert_uint_eq(hold.home, 0);
    hold_restore(&hold, &limits, HOLD_SLOTS, 0, 0); /* not held */
    ck_assert_int_eq(step(&hold, HOLD_DOWN, S), HOLD_NOTHING);
}
END_TEST

/* All of a room's entrances flap at 5 Hz for a minute, looked at with every phase and pace that a loop may have. */
START_TEST(flapping_moves_a_room_once)
{
    static const int64_t paces[] = {100000, 130000, 170000, 200000, 210000, 290000};
    for (size_t p = 0; p < G_N_ELEMENTS(paces); p++)
        for (int64_t phase = 0; phase < 200000; phase += 10000) {
            struct hold hold;
            hold_init(&hold);
            unsigned moves = 0, again = 0;
            int64_t healed = 60 * (int64_t)S, first_home = 0, last_down = 0;
            for (int64_t now = phase; now < 200 * (int64_t)S; now += paces[p]) {
                bool down = now < healed && now % 200000 < 100000;
                last_down = down ? now : last_down;
                unsigned before = hold.home;
                enum hold_event event = step(&hold, down ? HOLD_DOWN : HOLD_UP, now);
                moves += event == HOLD_BEGUN;
                again += event == HOLD_AGAIN;
                ck_assert_uint_le(hold.home, before + HOLD_STAGE);
                if (event == HOLD_RETURNS && first_home == 0)
                    first_home = now;
            }
            ck_assert_uint_le(moves, 1);
            ck_assert_uint_eq(again, 0);
            ck_assert_uint_eq(hold.home, HOLD_SLOTS);
            if (moves == 1)
                ck_assert_int_ge(first_home - last_down, limits.hold_us);
        }
}
END_TEST

START_TEST(turns_are_all_slots_and_each_stage_is_spread)
{
    bool seen[HOLD_SLOTS] = {false};
    for (unsigned slot = 0; slot < HOLD_SLOTS; slot++)
        seen[slot * SLOT_SPREAD % HOLD_SLOTS] = true;
    for (unsigned turn = 0; turn < HOLD_SLOTS; turn++)
        ck_assert(seen[turn]);
    /* A room has neighbouring slots, of any part of the whole: a tenth of them, within a few, in each stage. */
    for (unsigned from = 0; from < HOLD_SLOTS; from += 125)
        for (unsigned stage = 0; stage < HOLD_SLOTS / HOLD_STAGE; stage++) {
            unsigned n = 0;
            for (unsigned slot = from; slot < from + 500; slot++)
                n += slot % HOLD_SLOTS * SLOT_SPREAD % HOLD_SLOTS / HOLD_STAGE == stage;
            ck_assert_uint_ge(n, 45);
            ck_assert_uint_le(n, 55);
        }
}
END_TEST

START_TEST(health_is_what_haproxy_marked)
{
    static const char head[] = "# pxname,svname,qcur,status,weight,\n";
    static const struct {
        const char *a1, *a2, *checked;
        enum hold_health health;
    } rows[] = {
        {"UP", "DOWN", "DOWN", HOLD_UP},        {"DOWN", "UP 1/3", "DOWN", HOLD_UP},
        {"DOWN", "DOWN 1/2", "UP", HOLD_DOWN},  {"MAINT", "DOWN", "UP", HOLD_UP},
        {"MAINT", "MAINT", "DOWN", HOLD_DOWN},  {"MAINT", "MAINT", "", HOLD_UNSEEN},
        {"MAINT", "no check", "DOWN", HOLD_UP},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *traffic = g_strdup_printf("%sbe_multi-dr_room-a,room-a.pop-a1,0,%s,1,\n"
                                                   "be_multi-dr_room-a,room-a.pop-a2,0,%s,1,\n"
                                                   "be_multi-dr_room-a,room-b.pop-b1,0,UP,1,\n",
                                                   head, rows[i].a1, rows[i].a2);
        g_autofree char *health = g_strdup_printf("%sbe_health,room-a.pop-a1,0,%s,1,\n"
                                                  "be_health,room-a.pop-a2,0,%s,1,\n",
                                                  head, rows[i].checked, rows[i].checked);
        ck_assert_msg(hold_health_read(traffic, health, "room-a") == rows[i].health, "row %zu", i);
        ck_assert(hold_elsewhere_read(traffic, "room-a")); /* only the order of servers is another in be_multi-away_R */
        ck_assert(!hold_elsewhere_read("", "room-a"));
        ck_assert_int_eq(hold_elsewhere_read(traffic, "room-b"),
                         g_str_has_prefix(rows[i].a1, "UP") || g_str_has_prefix(rows[i].a2, "UP"));
        ck_assert_int_eq(hold_health_read("", health, "room-a"), HOLD_UNSEEN);
        ck_assert_int_eq(hold_health_read(traffic, health, "room"), HOLD_UNSEEN);
    }
}
END_TEST

START_TEST(events_say_the_room)
{
    struct hold hold;
    begin(&hold, 0);
    for (enum hold_event event = HOLD_NOTHING; event <= HOLD_ALONE; event++) {
        g_autofree char *text = hold_say(&hold, &limits, event, "room-a");
        ck_assert(event == HOLD_NOTHING ? text == NULL : g_str_has_prefix(text, "room-a "));
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, it_takes_two_sightings_that_are_close);
    tcase_add_test(tcase, without_another_room_nobody_moves);
    tcase_add_test(tcase, a_held_room_that_is_the_only_one_is_held_no_more);
    tcase_add_test(tcase, users_return_a_stage_at_a_time_after_the_hold);
    tcase_add_test(tcase, the_hold_counts_from_the_last_time_it_was_down);
    tcase_add_test(tcase, a_room_that_fails_on_return_is_held_anew_at_the_first_sighting);
    tcase_add_test(tcase, nobody_returns_to_a_room_that_nobody_sees);
    tcase_add_test(tcase, a_sleep_makes_no_two_stages);
    tcase_add_test(tcase, a_restart_moves_nobody_and_holds_anew);
    tcase_add_test(tcase, flapping_moves_a_room_once);
    tcase_add_test(tcase, turns_are_all_slots_and_each_stage_is_spread);
    tcase_add_test(tcase, health_is_what_haproxy_marked);
    tcase_add_test(tcase, events_say_the_room);
}

int main(void)
{
    return unit_run("hold", add);
}
