/* Shares of backends, and how little moves when one comes or goes. */
#include "dataplane/maglev.h"

#include "tests/unit/unit.h"

#include <string.h>

#define N 20u

static void backends_make(struct maglev_backend *backends)
{
    for (uint32_t i = 0; i < N; i++)
        backends[i] = (struct maglev_backend){.seed = 1000 + i, .weight = 1 + i % 4};
}

static void count(const uint16_t *pick, uint32_t *counts)
{
    memset(counts, 0, N * sizeof *counts);
    for (uint32_t e = 0; e < MAGLEV_SIZE; e++) {
        ck_assert_uint_lt(pick[e], N);
        counts[pick[e]]++;
    }
}

START_TEST(shares_follow_weights)
{
    struct maglev_backend backends[N];
    uint16_t pick[MAGLEV_SIZE];
    uint32_t counts[N], sum = 0;
    backends_make(backends);
    for (uint32_t i = 0; i < N; i++)
        sum += backends[i].weight;
    ck_assert_uint_eq(maglev_fill(pick, MAGLEV_SIZE, backends, N), MAGLEV_SIZE);
    count(pick, counts);
    for (uint32_t i = 0; i < N; i++) {
        double expected = (double)MAGLEV_SIZE * backends[i].weight / sum;
        ck_assert_msg(counts[i] > expected * 15 / 16 && counts[i] < expected * 17 / 16, "backend %u has %u of %.1f", i,
                      counts[i], expected);
    }
}
END_TEST

START_TEST(who_goes_moves_little_else)
{
    struct maglev_backend backends[N];
    uint16_t before[MAGLEV_SIZE], after[MAGLEV_SIZE];
    backends_make(backends);
    maglev_fill(before, MAGLEV_SIZE, backends, N);
    backends[7].weight = 0; /* it had 4 of 50 */
    maglev_fill(after, MAGLEV_SIZE, backends, N);
    uint32_t moved = 0;
    for (uint32_t e = 0; e < MAGLEV_SIZE; e++) {
        ck_assert_uint_ne(after[e], 7);
        moved += before[e] != 7 && before[e] != after[e];
    }
    ck_assert_msg(moved < MAGLEV_SIZE / 16, "%u entries moved between others", moved);
}
END_TEST

START_TEST(nobody_and_one_alone)
{
    struct maglev_backend backends[] = {{.seed = 1, .weight = 0}, {.seed = 2, .weight = 0}};
    uint16_t pick[MAGLEV_SIZE];
    ck_assert_uint_eq(maglev_fill(pick, MAGLEV_SIZE, backends, 0), 0);
    ck_assert_uint_eq(maglev_fill(pick, MAGLEV_SIZE, backends, 2), 0);
    backends[1].weight = UINT32_MAX;
    ck_assert_uint_eq(maglev_fill(pick, MAGLEV_SIZE, backends, 2), MAGLEV_SIZE);
    for (uint32_t e = 0; e < MAGLEV_SIZE; e++)
        ck_assert_uint_eq(pick[e], 1);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, shares_follow_weights);
    tcase_add_test(tcase, who_goes_moves_little_else);
    tcase_add_test(tcase, nobody_and_one_alone);
}

int main(void)
{
    return unit_run("maglev", add);
}
