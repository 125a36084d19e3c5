/* vip.h: what takes an address back, and how long it then stays away. */
#include "gateway/vip.h"

#include "tests/unit/unit.h"

#include <string.h>

#define S 1000000ll

static const struct vip_limits limits = {.settle_us = 2 * S, .settle_max_us = 10 * S, .calm_us = 60 * S, .backends = 2};
static const struct vip_sight good = {.forwarder = true, .table = true, .backends = 2};

/* Announced since now. */
static struct vip announced(int64_t *now_us)
{
    struct vip vip;
    vip_init(&vip, *now_us);
    ck_assert(!vip_announced(&vip) && vip_next_us(&vip, &limits) == VIP_NEVER);
    ck_assert(!vip_step(&vip, &limits, &good, *now_us));
    ck_assert_int_eq(vip.cause, VIP_UNSETTLED);
    ck_assert_int_eq(vip_next_us(&vip, &limits), *now_us + limits.settle_us);
    *now_us += limits.settle_us;
    ck_assert(!vip_step(&vip, &limits, &good, *now_us - 1));
    ck_assert(vip_step(&vip, &limits, &good, *now_us));
    ck_assert(vip_announced(&vip) && vip_next_us(&vip, &limits) == VIP_NEVER);
    return vip;
}

static const struct row {
    struct vip_sight sight;
    enum vip_cause cause;
} rows[] = {
    {{.forwarder = true, .table = true, .backends = 3}, VIP_NOTHING},
    {{.forwarder = true, .table = true, .backends = 1}, VIP_NO_BACKEND},
    {{.forwarder = true, .table = true, .backends = 1, .silent = true}, VIP_NO_BACKEND},
    {{.forwarder = true, .table = true, .backends = 2, .silent = true}, VIP_NO_ANSWER},
    {{.forwarder = true, .table = true, .backends = 2, .stranded = true, .silent = true}, VIP_NO_LINE},
    {{.forwarder = true, .table = false, .backends = 2}, VIP_NO_TABLE},
    {{.forwarder = false, .table = true, .backends = 2}, VIP_NO_FORWARDER},
    {{.drained = true, .forwarder = true, .table = true, .backends = 2}, VIP_DRAINED},
    {{.drained = true}, VIP_DRAINED},
    {{.forwarder = true}, VIP_NO_TABLE},
};

START_TEST(what_speaks_against_it)
{
    int64_t now_us = 5 * S;
    struct vip vip = announced(&now_us);
    bool changed = vip_step(&vip, &limits, &rows[_i].sight, now_us + 1);
    ck_assert_int_eq(vip.cause, rows[_i].cause);
    ck_assert(changed == (rows[_i].cause != VIP_NOTHING));
    ck_assert(!vip_step(&vip, &limits, &rows[_i].sight, now_us + 100 * S)); /* and stays so */
    ck_assert_int_eq(vip.since_us, rows[_i].cause == VIP_NOTHING ? now_us : now_us + 1);
    ck_assert_str_ne(vip_cause_text(vip.cause), "");
}
END_TEST

/* The time until it is announced again, when it is good from now on. */
static int64_t away(struct vip *vip, int64_t *now_us)
{
    int64_t from_us = *now_us;
    ck_assert(!vip_step(vip, &limits, &good, *now_us));
    *now_us = vip_next_us(vip, &limits);
    ck_assert(vip_step(vip, &limits, &good, *now_us));
    return *now_us - from_us;
}

START_TEST(who_comes_and_goes_waits_longer)
{
    static const int64_t waits_s[] = {2, 4, 8, 10, 10};
    const struct vip_sight gone = {.table = true, .backends = 2};
    int64_t now_us = 5 * S;
    struct vip vip = announced(&now_us);
    for (unsigned i = 0; i < G_N_ELEMENTS(waits_s); i++) {
        now_us += limits.calm_us - 1;
        ck_assert(vip_step(&vip, &limits, &gone, now_us));
        ck_assert_int_eq(away(&vip, &now_us), waits_s[i] * S);
    }
    now_us += limits.calm_us; /* calm: as at the beginning */
    ck_assert(vip_step(&vip, &limits, &gone, now_us));
    ck_assert_int_eq(away(&vip, &now_us), 2 * S);
}
END_TEST

START_TEST(a_drain_is_no_failure)
{
    struct vip_sight drained = good;
    int64_t now_us = 5 * S;
    struct vip vip = announced(&now_us);
    drained.drained = true;
    for (int i = 0; i < 5; i++) {
        now_us += S;
        ck_assert(vip_step(&vip, &limits, &drained, now_us));
        ck_assert_int_eq(away(&vip, &now_us), 2 * S);
    }
}
END_TEST

/* What speaks against it may be another meanwhile; the wait begins when nothing does, and anew when something has. */
START_TEST(the_wait_begins_anew)
{
    struct vip_sight bad = {.backends = 2};
    int64_t now_us = 5 * S;
    struct vip vip = announced(&now_us);
    ck_assert(vip_step(&vip, &limits, &bad, now_us));
    bad.forwarder = true;
    ck_assert(!vip_step(&vip, &limits, &bad, now_us + S));
    ck_assert_int_eq(vip.cause, VIP_NO_TABLE);
    ck_assert_int_eq(vip.since_us, now_us + S);
    ck_assert(!vip_step(&vip, &limits, &good, now_us + 3 * S));
    ck_assert(!vip_step(&vip, &limits, &bad, now_us + 4 * S));
    ck_assert(!vip_step(&vip, &limits, &good, now_us + 5 * S));
    ck_assert_int_eq(vip_next_us(&vip, &limits), now_us + 7 * S);
    ck_assert(!vip_step(&vip, &limits, &good, now_us + 7 * S - 1));
    ck_assert(vip_step(&vip, &limits, &good, now_us + 7 * S));
}
END_TEST

START_TEST(no_wait_at_all)
{
    struct vip_limits at_once = limits;
    struct vip vip;
    at_once.settle_us = at_once.settle_max_us = 0;
    vip_init(&vip, S);
    ck_assert(vip_step(&vip, &at_once, &good, S));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, what_speaks_against_it, 0, G_N_ELEMENTS(rows));
    tcase_add_test(tcase, who_comes_and_goes_waits_longer);
    tcase_add_test(tcase, a_drain_is_no_failure);
    tcase_add_test(tcase, the_wait_begins_anew);
    tcase_add_test(tcase, no_wait_at_all);
}

int main(void)
{
    return unit_run("vip", add);
}
