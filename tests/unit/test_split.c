#include "schema/split.h"

#include "tests/unit/unit.h"
#include <string.h>

#define ROUNDS 120

static const char *const rooms[] = {"room-a", "room-b", "room-c", "room-d", "room-e", "room-f"};

/* A small generator of our own, so that a failure is the same failure next time. */
static unsigned random_below(uint64_t *state, unsigned n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*state >> 33) % n;
}

/* n shares with the sum SLOT_COUNT; some are 0. */
static void shares_random(uint64_t *state, unsigned n, unsigned shares[])
{
    memset(shares, 0, n * sizeof shares[0]);
    for (unsigned left = SLOT_COUNT; left > 0;) {
        unsigned part = 1 + random_below(state, left);
        shares[random_below(state, n)] += part;
        left -= part;
    }
}

static void shares_count(const struct split *split, unsigned n, unsigned shares[])
{
    memset(shares, 0, n * sizeof shares[0]);
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
        for (unsigned i = 0; i < n; i++)
            shares[i] += strcmp(split->rooms[split->room_of[slot]], rooms[i]) == 0;
}

/* Any split over the first n rooms, in pieces. */
static void split_random(uint64_t *state, unsigned n, struct split *out)
{
    split_even(rooms, n, out);
    for (unsigned slot = 0, room = 0; slot < SLOT_COUNT; slot++) {
        if (random_below(state, 50) == 0)
            room = random_below(state, n);
        out->room_of[slot] = (uint8_t)room;
    }
}

START_TEST(text_and_split_are_the_same)
{
    static const char *const texts[] = {"0-999=room-a", "0-499=room-a,500-999=room-b",
                                        "0-0=room-b,1-998=room-a,999-999=room-b"};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        struct split split;
        ck_assert(split_parse(texts[i], &split, NULL));
        g_autofree char *text = split_format(&split);
        ck_assert_str_eq(text, texts[i]);
        split_clear(&split);
    }
}
END_TEST

START_TEST(neighbours_of_one_room_are_joined)
{
    struct split split;
    ck_assert(split_parse("0-9=room-a,10-499=room-a,500-999=room-b", &split, NULL));
    g_autofree char *text = split_format(&split);
    ck_assert_str_eq(text, "0-499=room-a,500-999=room-b");
    split_clear(&split);
}
END_TEST

START_TEST(what_is_no_split_is_refused_with_the_place)
{
    static const char *const rows[][2] = {
        {"", "split: found \"\", expected ranges up to slot 999, 0-... is missing"},
        {"0-499=room-a", "split: found \"0-499=room-a\", expected ranges up to slot 999, 500-... is missing"},
        {"1-999=room-a", "split: found \"1-999=room-a\", expected 0-LAST=ROOM, LAST from 0 to 999"},
        {"0-499=room-a,499-999=room-b",
         "split: found \"499-999=room-b\", expected 500-LAST=ROOM, LAST from 500 to 999"},
        {"0-499=room-a,501-999=room-b",
         "split: found \"501-999=room-b\", expected 500-LAST=ROOM, LAST from 500 to 999"},
        {"0-999=Room", "split: found \"0-999=Room\", expected 0-LAST=ROOM, LAST from 0 to 999"},
        {"0-1000=room-a", "split: found \"0-1000=room-a\", expected 0-LAST=ROOM, LAST from 0 to 999"},
        {"00-999=room-a", "split: found \"00-999=room-a\", expected 0-LAST=ROOM, LAST from 0 to 999"},
        {"0-999=room-a,", "split: found \"\" behind slot 999, expected nothing"},
        {"0-999=room-a;x", "split: found \"0-999=room-a;x\", expected 0-LAST=ROOM, LAST from 0 to 999"},
        {"0-999", "split: found \"0-999\", expected 0-LAST=ROOM, LAST from 0 to 999"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct split split = {.n_rooms = 99};
        g_autoptr(GError) error = NULL;
        ck_assert_msg(!split_parse(rows[i][0], &split, &error), "%s", rows[i][0]);
        ck_assert_str_eq(error->message, rows[i][1]);
        ck_assert_uint_eq(split.n_rooms, 99);
    }
}
END_TEST

START_TEST(seventeen_rooms_are_too_many)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (unsigned i = 0; i < 17; i++)
        g_string_append_printf(text, "%s%u-%u=room-%u", i == 0 ? "" : ",", i * 50, i == 16 ? 999 : i * 50 + 49, i);
    struct split split;
    g_autoptr(GError) error = NULL;
    ck_assert(!split_parse(text->str, &split, &error));
    ck_assert_str_eq(error->message, "split: found another room in \"800-999=room-16\", expected at most 16");
}
END_TEST

START_TEST(even_splits_are_contiguous)
{
    struct split split;
    split_even(rooms, 3, &split);
    g_autofree char *text = split_format(&split);
    ck_assert_str_eq(text, "0-333=room-a,334-666=room-b,667-999=room-c");
    split_clear(&split);
}
END_TEST

START_TEST(a_move_has_the_shares_and_moves_no_slot_more_than_it_must)
{
    uint64_t state = 1;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned n = 2 + round % 5, old[6], new[6], got[6], must = 0;
        struct split from, to;
        split_random(&state, n, &from);
        shares_count(&from, n, old);
        shares_random(&state, n, new);
        split_move(&from, rooms, new, n, &to);
        shares_count(&to, n, got);
        for (unsigned i = 0; i < n; i++) {
            ck_assert_uint_eq(got[i], new[i]);
            must += old[i] > new[i] ? old[i] - new[i] : 0;
        }
        ck_assert_uint_eq(split_distance(&from, &to), must);
        split_clear(&from);
        split_clear(&to);
    }
}
END_TEST

/* Shares on the way from old to new after `moved` slots have gone: losers pay in order, gainers gain in order. */
static void shares_between(unsigned n, const unsigned old[], const unsigned new[], unsigned moved, unsigned out[])
{
    unsigned pay = moved, gain = moved;
    for (unsigned i = 0; i < n; i++) {
        unsigned lost = old[i] > new[i] ? MIN(pay, old[i] - new[i]) : 0;
        unsigned gained = new[i] > old[i] ? MIN(gain, new[i] - old[i]) : 0;
        out[i] = old[i] - lost + gained;
        pay -= lost;
        gain -= gained;
    }
}

/* One ramp from `first` to the shares `new`; every stage must be as far from the start as it says. */
static void ramp_run(const struct split *first, unsigned n, const unsigned new[], unsigned stages)
{
    unsigned old[6], stage[6], must = 0, moves[SLOT_COUNT] = {0};
    struct split at, next;
    shares_count(first, n, old);
    for (unsigned i = 0; i < n; i++)
        must += old[i] > new[i] ? old[i] - new[i] : 0;
    split_move(first, rooms, old, n, &at);
    ck_assert_uint_eq(split_distance(first, &at), 0);
    for (unsigned k = 1; k <= stages; k++) {
        shares_between(n, old, new, must * k / stages, stage);
        split_move(&at, rooms, stage, n, &next);
        ck_assert_uint_eq(split_distance(first, &next), must * k / stages);
        for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
            moves[slot] += at.room_of[slot] != next.room_of[slot];
        split_clear(&at);
        at = next;
    }
    shares_count(&at, n, stage);
    ck_assert_mem_eq(stage, new, n * sizeof stage[0]);
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
        ck_assert_msg(moves[slot] <= 1, "slot %u moves %u times", slot, moves[slot]);
    split_clear(&at);
}

START_TEST(a_ramp_moves_no_slot_twice_and_never_back)
{
    uint64_t state = 2;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned n = 2 + round % 5, new[6];
        struct split first;
        split_random(&state, n, &first);
        shares_random(&state, n, new);
        ramp_run(&first, n, new, 2 + random_below(&state, 9));
        split_clear(&first);
    }
}
END_TEST

#define USERS 20000

/* Through the text that a lever holds, as the tables get it. */
static void step_to(const struct split *from, unsigned moved, struct split *out)
{
    struct split next;
    split_move(from, rooms, (const unsigned[]){SLOT_COUNT - moved, moved}, 2, &next);
    g_autofree char *text = split_format(&next);
    ck_assert(split_parse(text, out, NULL));
    split_clear(&next);
}

/* All users from one room to another, a slot at a time. */
START_TEST(in_a_thousand_steps_each_user_moves_once_and_never_back)
{
    static unsigned slots[USERS], moves[USERS];
    static bool in_b[USERS];
    char key[SLOT_KEY_SIZE];
    for (unsigned u = 0; u < USERS; u++) {
        g_autofree char *id = g_strdup_printf("user-%u", u);
        slots[u] = slot_of_key(slot_key(key, id, NULL, NULL));
    }
    struct split at, next;
    ck_assert(split_parse("0-999=room-a", &at, NULL));
    for (unsigned moved = 1; moved <= SLOT_COUNT; moved++) {
        step_to(&at, moved, &next);
        ck_assert_uint_eq(split_distance(&at, &next), 1);
        bool of_b[SLOT_COUNT];
        for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
            of_b[slot] = strcmp(next.rooms[next.room_of[slot]], "room-b") == 0;
        for (unsigned u = 0; u < USERS; u++) {
            bool now_in_b = of_b[slots[u]];
            if (in_b[u] && !now_in_b)
                ck_abort_msg("step %u: user-%u goes back", moved, u);
            moves[u] += now_in_b != in_b[u];
            in_b[u] = now_in_b;
        }
        split_clear(&at);
        at = next;
    }
    for (unsigned u = 0; u < USERS; u++)
        ck_assert_msg(moves[u] == 1 && in_b[u], "user-%u moves %u times", u, moves[u]);
    split_clear(&at);
}
END_TEST

START_TEST(rooms_that_are_gone_lose_all)
{
    struct split from, to;
    ck_assert(split_parse("0-299=room-x,300-999=room-a", &from, NULL));
    split_move(&from, rooms, (const unsigned[]){800, 200}, 2, &to);
    g_autofree char *text = split_format(&to);
    ck_assert_str_eq(text, "0-199=room-b,200-999=room-a");
    ck_assert_uint_eq(split_distance(&from, &to), 300);
    split_clear(&from);
    split_clear(&to);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, text_and_split_are_the_same);
    tcase_add_test(tcase, neighbours_of_one_room_are_joined);
    tcase_add_test(tcase, what_is_no_split_is_refused_with_the_place);
    tcase_add_test(tcase, seventeen_rooms_are_too_many);
    tcase_add_test(tcase, even_splits_are_contiguous);
    tcase_add_test(tcase, a_move_has_the_shares_and_moves_no_slot_more_than_it_must);
    tcase_add_test(tcase, a_ramp_moves_no_slot_twice_and_never_back);
    tcase_add_test(tcase, in_a_thousand_steps_each_user_moves_once_and_never_back);
    tcase_add_test(tcase, rooms_that_are_gone_lose_all);
}

int main(void)
{
    return unit_run("split", add);
}
