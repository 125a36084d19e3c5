/* Dedicated lines to a room, as they are lost and come back, in virtual time. */
#include "dataplane/lines.h"
#include "tests/unit/unit.h"

#include <string.h>

#define MS 1000u
#define S 1000000u

static const struct lines_config config = {
    .restore_us = 3 * S, .restore_max_us = 300 * S, .calm_us = 60 * S, .suspect_us = 60 * MS};
/* Two in one duct, and a third of its own that nobody likes. */
static const struct line_config three[] = {
    {.preference = 10, .weight = 1, .srlg = 1, .seed = 11},
    {.preference = 10, .weight = 3, .srlg = 1, .seed = 22},
    {.preference = 20, .weight = 1, .srlg = 2, .seed = 33},
};

static void begin(struct lines *lines)
{
    lines_init(lines, &config, three, 3);
    ck_assert(lines->stranded);
    for (unsigned i = 0; i < 3; i++)
        lines_set_up(lines, i, true, S);
    ck_assert(!lines->stranded);
    ck_assert_uint_eq(lines->carrying, 1 | 2);
}

static unsigned share(const struct lines *lines, unsigned i)
{
    unsigned n = 0;
    for (uint32_t hash = 0; hash < LINES_BUCKETS; hash++)
        n += lines_of(lines, hash) == i;
    return n;
}

START_TEST(the_preferred_carry_by_weight)
{
    struct lines lines;
    begin(&lines);
    ck_assert_uint_eq(share(&lines, 0) + share(&lines, 1), LINES_BUCKETS);
    ck_assert_uint_ge(share(&lines, 0), 44); /* a quarter is 64 */
    ck_assert_uint_le(share(&lines, 0), 84);
}
END_TEST

START_TEST(the_order_of_lines_does_not_matter)
{
    struct lines lines;
    struct line_config turned[] = {three[2], three[1], three[0]};
    lines_init(&lines, &config, turned, 3);
    ck_assert_uint_eq(lines.carrying, 2 | 4);
    for (unsigned i = 0; i < 3; i++)
        lines_set_up(&lines, i, true, S);
    ck_assert_uint_eq(lines.carrying, 2 | 4);
}
END_TEST

START_TEST(a_loss_moves_only_its_own_flows)
{
    struct lines lines;
    struct line_config five[5];
    for (unsigned i = 0; i < 5; i++)
        five[i] = (struct line_config){.preference = 1, .weight = i + 1, .seed = 100 + i};
    lines_init(&lines, &config, five, 5);
    for (unsigned i = 0; i < 5; i++)
        lines_set_up(&lines, i, true, S);
    uint8_t before[LINES_BUCKETS];
    memcpy(before, lines.bucket, sizeof before);
    lines_set_up(&lines, 2, false, 2 * S);
    for (unsigned b = 0; b < LINES_BUCKETS; b++) {
        if (before[b] != 2)
            ck_assert_uint_eq(lines.bucket[b], before[b]);
        else
            ck_assert_uint_ne(lines.bucket[b], 2);
    }
    lines_set_up(&lines, 2, true, 3 * S);
    lines_turn(&lines, 6 * S);
    ck_assert_mem_eq(lines.bucket, before, sizeof before);
}
END_TEST

START_TEST(back_only_after_its_wait)
{
    struct lines lines;
    begin(&lines);
    lines_set_up(&lines, 0, false, 10 * S);
    lines_turn(&lines, 11 * S);
    ck_assert_uint_eq(lines.carrying, 2);
    lines_set_up(&lines, 0, true, 12 * S);
    ck_assert_uint_eq(lines.carrying, 2);
    ck_assert_uint_eq(lines_next_us(&lines, 12 * S), 15 * S);
    ck_assert(!lines_turn(&lines, 15 * S - 1));
    ck_assert_uint_eq(lines.waiting, 1);
    ck_assert(lines_turn(&lines, 15 * S));
    ck_assert_uint_eq(lines.waiting, 0);
    ck_assert_uint_eq(lines.carrying, 1 | 2);
    ck_assert_uint_eq(lines_next_us(&lines, 15 * S), LINES_NEVER);
}
END_TEST

/* The duct is cut: what shares it is not used, though its session has not said so yet. */
START_TEST(who_shares_the_duct_is_suspected)
{
    struct lines lines;
    begin(&lines);
    lines_set_up(&lines, 0, false, 10 * S);
    ck_assert_uint_eq(lines.carrying, 4);
    lines_set_up(&lines, 1, false, 10 * S + 5 * MS);
    ck_assert_uint_eq(lines.carrying, 4);
    ck_assert_uint_eq(lines.moves, 3); /* two came up, the duct went: once */
    begin(&lines);
    lines_set_up(&lines, 0, false, 10 * S); /* it was alone after all */
    ck_assert_uint_eq(lines_next_us(&lines, 10 * S), 10 * S + 60 * MS);
    ck_assert(lines_turn(&lines, 10 * S + 60 * MS));
    ck_assert_uint_eq(lines.carrying, 2);
}
END_TEST

START_TEST(a_suspect_is_better_than_nothing)
{
    struct lines lines;
    begin(&lines);
    lines_set_up(&lines, 2, false, 5 * S);
    lines_set_up(&lines, 0, false, 10 * S);
    ck_assert_uint_eq(lines.carrying, 2);
    lines_set_up(&lines, 2, true, 10 * S); /* it waits: so does the suspect, which had none to wait for */
    ck_assert_uint_eq(lines.carrying, 2);
}
END_TEST

START_TEST(all_down_the_last_goes_on)
{
    struct lines lines;
    begin(&lines);
    lines_set_up(&lines, 0, false, 10 * S);
    lines_set_up(&lines, 1, false, 10 * S);
    ck_assert_uint_eq(lines.carrying, 4);
    lines_set_up(&lines, 2, false, 20 * S);
    ck_assert(lines.stranded);
    ck_assert_uint_eq(lines.carrying, 4);
    lines_set_up(&lines, 1, true, 21 * S); /* at once: nobody else is there */
    ck_assert(!lines.stranded);
    ck_assert_uint_eq(lines.carrying, 2);
    ck_assert_uint_eq(share(&lines, 1), LINES_BUCKETS);
}
END_TEST

/* 5 Hz for a minute: away, past its neighbour in the duct for a moment, and back when it has been quiet for long. */
START_TEST(who_flaps_is_left_alone)
{
    struct lines lines;
    begin(&lines);
    uint64_t now_us = 10 * S, moves = lines.moves;
    for (int i = 0; i < 600; i++) {
        lines_set_up(&lines, 0, i % 2 != 0, now_us);
        lines_turn(&lines, now_us);
        now_us += 100 * MS;
    }
    for (int i = 0; i < 1000; i++) {
        lines_turn(&lines, now_us);
        now_us += 250 * MS;
    }
    ck_assert_uint_le(lines.moves - moves, 2);
    ck_assert_uint_eq(lines.carrying & 1, 0);
    lines_turn(&lines, now_us + 100 * S);
    ck_assert_uint_eq(lines.carrying & 1, 1);
    ck_assert_uint_le(lines.moves - moves, 3);
}
END_TEST

/* It fails each time that it carries: it waits longer and longer, to the limit, and one calm minute makes it good. */
START_TEST(who_fails_when_it_carries_waits_longer)
{
    struct lines lines;
    begin(&lines);
    uint64_t now_us = 10 * S, wait_us = 3 * S;
    for (int i = 0; i < 12; i++) {
        lines_set_up(&lines, 0, false, now_us);
        lines_set_up(&lines, 0, true, now_us += S);
        ck_assert(!lines_turn(&lines, now_us + wait_us - 1));
        now_us += wait_us;
        lines_turn(&lines, now_us);
        ck_assert_uint_eq(lines.carrying & 1, 1);
        wait_us = MIN(2 * wait_us, 300 * S);
        now_us += S;
    }
    now_us += 60 * S;
    lines_set_up(&lines, 0, false, now_us);
    lines_set_up(&lines, 0, true, now_us);
    lines_turn(&lines, now_us + 3 * S);
    ck_assert_uint_eq(lines.carrying & 1, 1);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, the_preferred_carry_by_weight);
    tcase_add_test(tcase, the_order_of_lines_does_not_matter);
    tcase_add_test(tcase, a_loss_moves_only_its_own_flows);
    tcase_add_test(tcase, back_only_after_its_wait);
    tcase_add_test(tcase, who_shares_the_duct_is_suspected);
    tcase_add_test(tcase, a_suspect_is_better_than_nothing);
    tcase_add_test(tcase, all_down_the_last_goes_on);
    tcase_add_test(tcase, who_flaps_is_left_alone);
    tcase_add_test(tcase, who_fails_when_it_carries_waits_longer);
}

int main(void)
{
    return unit_run("lines", add);
}
