/* Two sessions on a wire that delays and loses what the test wants, in virtual time. */
#include "dataplane/bfd.h"
#include "tests/unit/unit.h"

#include <string.h>

#define MS 1000u
#define S 1000000u
#define DELAY_US 500u
#define FLIGHT_MAX 64u

struct packet {
    uint64_t at_us;
    uint8_t bytes[BFD_PACKET_SIZE];
};
struct end {
    struct bfd bfd;
    struct packet flight[FLIGHT_MAX]; /* on its way to this end, oldest first */
    unsigned n_flight;
    bool deaf;                                 /* what is sent to it is lost */
    uint64_t shortest_us, longest_us, last_us; /* between packets that it was sent */
    uint8_t last[BFD_PACKET_SIZE];
};
struct wire {
    uint64_t now_us;
    struct end ends[2];
};

static const struct bfd_config fast = {.min_tx_us = 10 * MS, .min_rx_us = 10 * MS, .mult = 3};

static struct bfd_config named(struct bfd_config config, uint32_t discriminator)
{
    config.discriminator = discriminator;
    return config;
}

static void wire_init(struct wire *w, struct bfd_config a, struct bfd_config b)
{
    memset(w, 0, sizeof *w);
    w->now_us = 5 * S;
    a = named(a, 100);
    b = named(b, 200);
    bfd_init(&w->ends[0].bfd, &a, w->now_us, 12345);
    bfd_init(&w->ends[1].bfd, &b, w->now_us, 54321);
}

static void say(struct wire *w, unsigned from)
{
    struct end *to = &w->ends[1 - from];
    uint8_t bytes[BFD_PACKET_SIZE];
    while (bfd_turn(&w->ends[from].bfd, w->now_us, bytes)) {
        memcpy(to->last, bytes, sizeof bytes);
        uint64_t gap_us = w->now_us - to->last_us;
        to->shortest_us = to->shortest_us == 0 ? gap_us : MIN(to->shortest_us, gap_us);
        to->longest_us = MAX(to->longest_us, gap_us);
        to->last_us = w->now_us;
        if (to->deaf)
            continue;
        ck_assert_uint_lt(to->n_flight, FLIGHT_MAX);
        struct packet *packet = &to->flight[to->n_flight++];
        packet->at_us = w->now_us + DELAY_US;
        memcpy(packet->bytes, bytes, sizeof bytes);
    }
}

static uint64_t next_us(const struct wire *w)
{
    uint64_t next = BFD_NEVER;
    for (unsigned i = 0; i < 2; i++) {
        next = MIN(next, bfd_next_us(&w->ends[i].bfd));
        if (w->ends[i].n_flight > 0)
            next = MIN(next, w->ends[i].flight[0].at_us);
    }
    return next;
}

static void run(struct wire *w, uint64_t for_us)
{
    uint64_t end_us = w->now_us + for_us;
    for (;;) {
        for (unsigned i = 0; i < 2; i++) {
            struct end *end = &w->ends[i];
            while (end->n_flight > 0 && end->flight[0].at_us <= w->now_us) {
                struct packet packet = end->flight[0];
                memmove(end->flight, end->flight + 1, --end->n_flight * sizeof packet);
                bfd_receive(&end->bfd, packet.bytes, sizeof packet.bytes, w->now_us);
            }
            say(w, i);
        }
        uint64_t next = next_us(w);
        if (next > end_us)
            break;
        ck_assert_uint_gt(next + 1, w->now_us);
        w->now_us = MAX(w->now_us, next);
    }
    w->now_us = end_us;
}

static void gaps_forget(struct wire *w)
{
    for (unsigned i = 0; i < 2; i++) {
        w->ends[i].shortest_us = w->ends[i].longest_us = 0;
        w->ends[i].last_us = w->now_us;
    }
    run(w, 2 * S);
    for (unsigned i = 0; i < 2; i++)
        w->ends[i].shortest_us = w->ends[i].longest_us = 0;
}

static void up(struct wire *w)
{
    run(w, 10 * S);
    ck_assert_int_eq(w->ends[0].bfd.state, BFD_UP);
    ck_assert_int_eq(w->ends[1].bfd.state, BFD_UP);
}

START_TEST(both_come_up_and_then_speed_up)
{
    struct wire w;
    wire_init(&w, fast, fast);
    w.ends[0].deaf = w.ends[1].deaf = true;
    run(&w, 100 * S); /* nobody there: once a second, less the jitter */
    ck_assert_uint_ge(w.ends[0].bfd.sent, 100);
    ck_assert_uint_le(w.ends[0].bfd.sent, 134);
    w.ends[0].deaf = w.ends[1].deaf = false;
    run(&w, S + 3 * DELAY_US); /* the next packet starts it, and the answers come at once */
    up(&w);
    ck_assert(!w.ends[0].bfd.polling && !w.ends[1].bfd.polling);
    ck_assert_uint_eq(bfd_detection_us(&w.ends[0].bfd), 30 * MS);
    gaps_forget(&w);
    run(&w, 10 * S);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_uint_ge(w.ends[i].shortest_us, 7500);
        ck_assert_uint_le(w.ends[i].longest_us, 10000);
        ck_assert_uint_lt(w.ends[i].shortest_us, 7700); /* the jitter is used */
        ck_assert_uint_gt(w.ends[i].longest_us, 9800);
    }
}
END_TEST

/* Sessions of one machine fall into step with each other, none leaves the range of its jitter, and chance stays. */
START_TEST(sessions_of_one_machine_wake_it_once)
{
    enum { SESSIONS = 3 };
    static struct wire w[SESSIONS];
    uint64_t now_us = 0, sent = 0;
    unsigned wakes = 0;
    for (unsigned i = 0; i < SESSIONS; i++) {
        wire_init(&w[i], fast, fast);
        w[i].ends[0].bfd.random += i;
        up(&w[i]);
        gaps_forget(&w[i]);
        now_us = w[i].now_us;
    }
    for (uint64_t in_step_us = now_us + 10 * S, end_us = in_step_us + 10 * S; now_us < end_us;) {
        uint64_t next = BFD_NEVER, due_us = BFD_NEVER, sent_before = 0;
        for (unsigned i = 0; i < SESSIONS; i++) {
            next = MIN(next, next_us(&w[i]));
            due_us = MIN(due_us, bfd_next_us(&w[i].ends[0].bfd));
            sent_before += w[i].ends[0].bfd.sent;
        }
        now_us = MAX(now_us, next);
        for (unsigned i = 0; i < SESSIONS; i++) {
            if (due_us <= now_us)
                bfd_join(&w[i].ends[0].bfd, now_us);
            run(&w[i], now_us - w[i].now_us);
            sent += now_us > in_step_us ? w[i].ends[0].bfd.sent : 0;
        }
        sent -= now_us > in_step_us ? sent_before : 0;
        wakes += now_us > in_step_us && due_us <= now_us;
    }
    ck_assert_uint_gt(sent, SESSIONS * 1000); /* in ten seconds */
    ck_assert_uint_le(wakes, sent / SESSIONS + sent / 100);
    for (unsigned i = 0; i < SESSIONS; i++) {
        ck_assert_int_eq(w[i].ends[0].bfd.state, BFD_UP);
        ck_assert_uint_ge(w[i].ends[1].shortest_us, 7500);
        ck_assert_uint_le(w[i].ends[1].longest_us, 10000);
        ck_assert_uint_gt(w[i].ends[1].longest_us, 9000); /* before they were in step */
    }
}
END_TEST

START_TEST(the_slower_end_decides)
{
    struct wire w;
    struct bfd_config slow = {.min_tx_us = 50 * MS, .min_rx_us = 200 * MS, .mult = 5};
    wire_init(&w, fast, slow);
    up(&w);
    gaps_forget(&w);
    run(&w, 20 * S);
    ck_assert_uint_ge(w.ends[1].shortest_us, 150 * MS); /* as it can receive */
    ck_assert_uint_le(w.ends[1].longest_us, 200 * MS);
    ck_assert_uint_ge(w.ends[0].shortest_us, 37 * MS); /* as it likes to send */
    ck_assert_uint_le(w.ends[0].longest_us, 50 * MS);
    ck_assert_uint_eq(bfd_detection_us(&w.ends[0].bfd), 5 * 50 * MS);
    ck_assert_uint_eq(bfd_detection_us(&w.ends[1].bfd), 3 * 200 * MS);
}
END_TEST

/* The line goes silently, both ways or one way: both ends know within the detection time, and say why. */
START_TEST(silence_is_found)
{
    for (unsigned ways = 1; ways <= 3; ways++) {
        struct wire w;
        wire_init(&w, fast, fast);
        up(&w);
        w.ends[0].deaf = ways & 1;
        w.ends[1].deaf = ways & 2;
        run(&w, 31 * MS);
        if (ways != 3)
            run(&w, 2 * DELAY_US); /* the other end is told */
        for (unsigned i = 0; i < 2; i++) {
            ck_assert_int_eq(w.ends[i].bfd.state, BFD_DOWN);
            ck_assert_int_eq(w.ends[i].bfd.diag, w.ends[i].deaf ? BFD_DIAG_EXPIRED : BFD_DIAG_NEIGHBOR);
        }
        w.ends[0].deaf = w.ends[1].deaf = false;
        up(&w);
    }
}
END_TEST

START_TEST(two_lost_packets_of_three_are_no_loss)
{
    struct wire w;
    wire_init(&w, fast, fast);
    up(&w);
    for (int i = 0; i < 200; i++) {
        w.ends[0].deaf = true;
        run(&w, 14 * MS); /* two packets at most */
        w.ends[0].deaf = false;
        run(&w, 20 * MS);
        ck_assert_int_eq(w.ends[0].bfd.state, BFD_UP);
    }
}
END_TEST

/* The machine did not run for 100 ms: with the credit the line stays up, without it falls. */
START_TEST(own_stalls_are_credited)
{
    for (int credit = 0; credit < 2; credit++) {
        struct wire w;
        wire_init(&w, fast, fast);
        up(&w);
        struct bfd *bfd = &w.ends[0].bfd;
        w.now_us += 100 * MS;
        if (credit)
            bfd_credit(bfd, 100 * MS);
        uint8_t packet[BFD_PACKET_SIZE];
        bfd_turn(bfd, w.now_us, packet);
        ck_assert_int_eq(bfd->state, credit ? BFD_UP : BFD_DOWN);
        ck_assert_uint_eq(bfd->credits, (unsigned)credit);
        ck_assert_uint_eq(bfd->credited_us, credit ? 100 * MS : 0);
        if (credit) { /* and no more than that: silence goes on counting */
            bfd_turn(bfd, w.now_us + 31 * MS, packet);
            ck_assert_int_eq(bfd->state, BFD_DOWN);
        }
    }
}
END_TEST

START_TEST(by_hand_it_goes_down_and_up)
{
    struct wire w;
    wire_init(&w, fast, fast);
    up(&w);
    bfd_set_admin_down(&w.ends[0].bfd, true, w.now_us);
    run(&w, 5 * MS);
    ck_assert_int_eq(w.ends[0].bfd.state, BFD_ADMIN_DOWN);
    ck_assert_int_eq(w.ends[0].bfd.diag, BFD_DIAG_ADMIN);
    ck_assert_int_eq(w.ends[1].bfd.state, BFD_DOWN);
    ck_assert_int_eq(w.ends[1].bfd.diag, BFD_DIAG_NEIGHBOR);
    run(&w, 10 * S);
    ck_assert_int_eq(w.ends[1].bfd.state, BFD_DOWN);
    ck_assert_uint_gt(w.ends[0].bfd.verdicts[BFD_RX_ADMIN_DOWN], 0);
    bfd_set_admin_down(&w.ends[0].bfd, false, w.now_us);
    up(&w);
}
END_TEST

START_TEST(an_end_that_was_restarted_is_taken_again)
{
    struct wire w;
    wire_init(&w, fast, fast);
    up(&w);
    struct bfd_config config = named(fast, 201); /* another discriminator: it knows nothing of before */
    bfd_init(&w.ends[1].bfd, &config, w.now_us, 9);
    run(&w, 10 * MS);
    ck_assert_int_ne(w.ends[0].bfd.state, BFD_UP);
    up(&w);
    ck_assert_uint_eq(w.ends[0].bfd.remote_discriminator, 201);
}
END_TEST

/* New intervals are told by a poll; what is slower takes effect only when the other end knows. */
START_TEST(intervals_change_without_a_loss)
{
    struct wire w;
    wire_init(&w, fast, fast);
    up(&w);
    uint64_t since_us = w.ends[1].bfd.changed_us;
    struct bfd_config slower = named((struct bfd_config){.min_tx_us = 100 * MS, .min_rx_us = 100 * MS, .mult = 3}, 100);
    w.ends[0].deaf = true; /* the answer to the poll is lost */
    bfd_configure(&w.ends[0].bfd, &slower, w.now_us);
    ck_assert_uint_eq(w.ends[0].bfd.tx_us, 10 * MS);
    ck_assert_uint_eq(w.ends[0].bfd.rx_us, 100 * MS);
    run(&w, 20 * MS);
    ck_assert_uint_eq(w.ends[0].bfd.tx_us, 10 * MS);
    ck_assert(w.ends[0].bfd.polling);
    w.ends[0].deaf = false;
    run(&w, S);
    ck_assert(!w.ends[0].bfd.polling);
    ck_assert_uint_eq(w.ends[0].bfd.tx_us, 100 * MS);
    ck_assert_uint_eq(bfd_detection_us(&w.ends[1].bfd), 300 * MS);
    gaps_forget(&w);
    run(&w, 10 * S);
    ck_assert_uint_ge(w.ends[0].shortest_us, 75 * MS);
    ck_assert_uint_ge(w.ends[1].shortest_us, 75 * MS);
    struct bfd_config again = named(fast, 100);
    bfd_configure(&w.ends[0].bfd, &again, w.now_us);
    ck_assert_uint_eq(w.ends[0].bfd.tx_us, 10 * MS); /* faster is no risk */
    ck_assert_uint_eq(w.ends[0].bfd.rx_us, 100 * MS);
    run(&w, S);
    ck_assert_uint_eq(w.ends[0].bfd.rx_us, 10 * MS);
    ck_assert_int_eq(w.ends[0].bfd.state, BFD_UP);
    ck_assert_int_eq(w.ends[1].bfd.state, BFD_UP);
    ck_assert_uint_eq(w.ends[1].bfd.changed_us, since_us);
}
END_TEST

START_TEST(who_wants_nothing_gets_nothing_by_itself)
{
    struct wire w;
    wire_init(&w, fast, fast);
    up(&w);
    struct bfd *bfd = &w.ends[0].bfd;
    uint8_t packet[BFD_PACKET_SIZE];
    memcpy(packet, w.ends[0].last, sizeof packet);
    memset(packet + 16, 0, 4);
    ck_assert_int_eq(bfd_receive(bfd, packet, sizeof packet, w.now_us), BFD_RX_TAKEN);
    ck_assert(!bfd_turn(bfd, w.now_us + 20 * MS, packet));
    ck_assert_int_eq(bfd->state, BFD_UP);
    bfd_turn(bfd, w.now_us + 31 * MS, packet); /* it is gone: what it said is forgotten */
    ck_assert_int_eq(bfd->state, BFD_DOWN);
    ck_assert_uint_lt(bfd_next_us(bfd), w.now_us + 2 * S);
}
END_TEST

START_TEST(demand_mode_of_the_other_end_is_obeyed)
{
    struct wire w;
    wire_init(&w, fast, fast);
    up(&w);
    struct bfd *bfd = &w.ends[0].bfd;
    uint8_t packet[BFD_PACKET_SIZE];
    memcpy(packet, w.ends[0].last, sizeof packet);
    packet[1] = (uint8_t)(BFD_UP << 6 | 0x02);
    ck_assert_int_eq(bfd_receive(bfd, packet, sizeof packet, w.now_us), BFD_RX_TAKEN);
    ck_assert(!bfd_turn(bfd, w.now_us + 20 * MS, packet));
    memcpy(packet, w.ends[0].last, sizeof packet);
    packet[1] = (uint8_t)(BFD_UP << 6 | 0x02 | 0x20); /* a poll is answered */
    bfd_receive(bfd, packet, sizeof packet, w.now_us + 20 * MS);
    ck_assert(bfd_turn(bfd, w.now_us + 20 * MS, packet));
    ck_assert_uint_eq(packet[1] & 0x30, 0x10);
}
END_TEST

START_TEST(bad_packets_are_dropped_and_counted)
{
    static const struct {
        unsigned at;
        uint8_t value;
        enum bfd_verdict verdict;
    } rows[] = {
        {0, 0 << 5, BFD_RX_VERSION},
        {0, 2 << 5, BFD_RX_VERSION},
        {1, BFD_UP << 6 | 0x04, BFD_RX_SHORT}, /* authenticated, but no room for it */
        {1, BFD_UP << 6 | 0x01, BFD_RX_MULTIPOINT},
        {2, 0, BFD_RX_MULTIPLIER},
        {3, 23, BFD_RX_SHORT},
        {3, 25, BFD_RX_SHORT},
        {7, 0, BFD_RX_NO_SENDER},
        {11, 7, BFD_RX_STRANGER},
        {11, 0, BFD_RX_NOT_NEW},
    };
    struct wire w;
    wire_init(&w, fast, fast);
    up(&w);
    struct bfd *bfd = &w.ends[0].bfd;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint8_t packet[BFD_PACKET_SIZE];
        struct bfd before = *bfd;
        memcpy(packet, w.ends[0].last, sizeof packet);
        packet[rows[i].at] = rows[i].value;
        ck_assert_int_eq(bfd_receive(bfd, packet, sizeof packet, w.now_us), rows[i].verdict);
        before.verdicts[rows[i].verdict]++;
        ck_assert_mem_eq(bfd, &before, sizeof before); /* nothing else has changed */
    }
    for (size_t size = 0; size < BFD_PACKET_SIZE; size++)
        ck_assert_int_eq(bfd_receive(bfd, w.ends[0].last, size, w.now_us), BFD_RX_SHORT);
    uint8_t signed_packet[32];
    memcpy(signed_packet, w.ends[0].last, BFD_PACKET_SIZE);
    signed_packet[1] |= 0x04;
    signed_packet[3] = 32;
    ck_assert_int_eq(bfd_receive(bfd, signed_packet, sizeof signed_packet, w.now_us), BFD_RX_AUTHENTICATED);
    for (enum bfd_verdict v = 0; v < BFD_VERDICT_COUNT; v++)
        ck_assert_ptr_nonnull(bfd_verdict_text(v));
}
END_TEST

/* Any bytes in any order: no crash, intervals stay sane, and it comes up again afterwards. */
START_TEST(strange_packets_do_no_lasting_harm)
{
    struct wire w;
    wire_init(&w, fast, fast);
    up(&w);
    uint32_t seed = 7;
    for (int i = 0; i < 200000; i++) {
        uint8_t packet[BFD_PACKET_SIZE];
        memcpy(packet, w.ends[0].last, sizeof packet);
        for (int k = 0; k < 3; k++) {
            seed = seed * 1664525 + 1013904223;
            packet[seed % BFD_PACKET_SIZE] = (uint8_t)(seed >> 24);
        }
        bfd_receive(&w.ends[0].bfd, packet, sizeof packet, w.now_us);
        uint8_t out[BFD_PACKET_SIZE];
        while (bfd_turn(&w.ends[0].bfd, w.now_us, out))
            ;
        w.now_us += seed % 5000;
    }
    struct bfd_config config = named(fast, 200);
    w.ends[1].n_flight = w.ends[0].n_flight = 0;
    bfd_init(&w.ends[1].bfd, &config, w.now_us, 4);
    up(&w);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, both_come_up_and_then_speed_up);
    tcase_add_test(tcase, sessions_of_one_machine_wake_it_once);
    tcase_add_test(tcase, the_slower_end_decides);
    tcase_add_test(tcase, silence_is_found);
    tcase_add_test(tcase, two_lost_packets_of_three_are_no_loss);
    tcase_add_test(tcase, own_stalls_are_credited);
    tcase_add_test(tcase, by_hand_it_goes_down_and_up);
    tcase_add_test(tcase, an_end_that_was_restarted_is_taken_again);
    tcase_add_test(tcase, intervals_change_without_a_loss);
    tcase_add_test(tcase, who_wants_nothing_gets_nothing_by_itself);
    tcase_add_test(tcase, demand_mode_of_the_other_end_is_obeyed);
    tcase_add_test(tcase, bad_packets_are_dropped_and_counted);
    tcase_add_test(tcase, strange_packets_do_no_lasting_harm);
}

int main(void)
{
    return unit_run("bfd", add);
}
