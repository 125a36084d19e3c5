/* Writers that race for one zone at a real server, Knot or BIND (dnsd.h): exactly one wins. */
#include <pthread.h>
#include <string.h>

#include "schema/fence.h"
#include "tests/unit/dnsstage.h"

static uint64_t rounds(void)
{
    return g_getenv("SIGNALBOX_TEST_FULL") != NULL ? 1000 : 50;
}

struct racer {
    const struct endpoint *server;
    pthread_barrier_t *barrier;
    struct update update;
    enum update_outcome outcome;
};

static void *race(void *data)
{
    struct racer *racer = data;
    g_autofree char *reason = NULL;
    pthread_barrier_wait(racer->barrier);
    racer->outcome = update_by_hand(racer->server, DNSD_SECRET, &racer->update, 0, &reason);
    return NULL;
}

START_TEST(race_of_messages)
{
    struct dnsd *server = dnsd_start(stage_root, "race", NULL, DNSD_TYPES);
    char held[FENCE_TEXT_SIZE] = "", next[2][FENCE_TEXT_SIZE];
    struct rrset *sets[2] = {rrset_make("www.example.test", KNOT_RRTYPE_A, 5, (const char *[]){"192.0.2.10", NULL}),
                             rrset_make("www.example.test", KNOT_RRTYPE_A, 5, (const char *[]){"192.0.2.11", NULL})};
    unsigned wins[2] = {0};
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, 2);
    for (uint64_t round = 1; round <= rounds(); round++) {
        struct racer racers[2];
        pthread_t threads[2];
        for (unsigned i = 0; i < 2; i++) {
            fence_format(&(struct fence){.stamp = {65536 + i, round}}, next[i]);
            racers[i] = (struct racer){
                &server->endpoint, &barrier, {DNSD_ZONE, round > 1 ? held : NULL, next[i], &sets[i], 1}, 0};
            ck_assert_int_eq(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
        }
        for (unsigned i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        unsigned winner = racers[1].outcome == UPDATE_APPLIED;
        ck_assert_int_eq(racers[winner].outcome, UPDATE_APPLIED);
        ck_assert_int_eq(racers[1 - winner].outcome, UPDATE_CONFLICT);
        wins[winner]++;
        assert_sentinel(server, next[winner]);
        assert_shows(server, "www.example.test", KNOT_RRTYPE_A, sets[winner]->rdata[0]);
        g_strlcpy(held, next[winner], sizeof held);
    }
    printf("race of messages: %u to %u\n", wins[0], wins[1]);
    ck_assert_uint_eq(wins[0] + wins[1], rounds());
    rrset_delete(sets[0]), rrset_delete(sets[1]);
    pthread_barrier_destroy(&barrier);
    dnsd_free(server);
}
END_TEST

#define HEARD 8 /* rounds in which a beaten driver must find out by itself; in the others it is given more to write */

/* Two servers of one cluster, each with the next epoch as it believes, start to write the same generation at once. */
START_TEST(race_of_drivers)
{
    struct dnsd *server = dnsd_start(stage_root, "rivals", NULL, DNSD_TYPES);
    unsigned first = 0;
    for (uint64_t round = 1; round <= rounds(); round++) {
        struct watched *low = watched_primary(server), *high = watched_primary(server);
        uint64_t epoch = round << 16;
        char text[FENCE_TEXT_SIZE];
        struct zone_records *of_low = wanted_one("192.0.2.10"), *of_high = wanted_one("192.0.2.11");
        if (round % 2)
            watched_set(low, epoch + 1, round, of_low), watched_set(high, epoch + 2, round, of_high);
        else
            watched_set(high, epoch + 2, round, of_high), watched_set(low, epoch + 1, round, of_low);
        watched_await(high, "converged", epoch + 2, round, 10000);
        if (round > HEARD)
            watched_set(low, epoch + 1, round + 1, of_low);
        watched_await(low, "conflict", 0, 0, 5000);
        first += low->saw.confirmed.generation == round; /* it was whole before the newer epoch came */
        assert_sentinel(server, fence_format(&(struct fence){.stamp = {epoch + 2, round}}, text));
        assert_shows(server, "www.example.test", KNOT_RRTYPE_A, "192.0.2.11");
        zone_records_free(of_low), zone_records_free(of_high);
        watched_free(low), watched_free(high);
    }
    printf("race of drivers: %lu rounds, one winner in each; in %u the older epoch had finished before it was beaten\n",
           rounds(), first);
    dnsd_free(server);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_set_timeout(tcase, 900);
    tcase_add_test(tcase, race_of_messages);
    tcase_add_test(tcase, race_of_drivers);
}

int main(void)
{
    return stage_run("dns_races", add_tests);
}
