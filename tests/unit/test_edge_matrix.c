/* A real HAProxy under every fault that the loopback can show: who of twelve users is answered, by each class of edge,
 * with and without automatic DR. Silent loss of packets needs namespaces: the lab's scenarios have it. */
#include "schema/slot.h"
#include "tests/unit/edgestage.h"

#include <stdio.h>
#include <string.h>

#define USERS 12u
#define GAP_US 150000

enum fault { REFUSES, RESETS, HANGS, SLOW, FAILS };
static const char *const fault_words[] = {"refuses", "resets what it answers", "hangs", "slow (2 s)", "500"};

struct cell {
    bool dedicated, dr;
    enum fault fault;
    bool room; /* the whole of room A, or one of its entrances: a POP, or the ring */
    struct stage stage;
    struct answer *answers;
    pthread_t thread;
};

/* Dedicated: the ring is first, the second origin of each room is its fallback. */
static void cell_table(struct cell *cell, uint64_t generation, const char *origins)
{
    struct stage *s = &cell->stage;
    if (!cell->dedicated) {
        stage_must_apply(s, generation, &(struct edge_table_text){0});
        return;
    }
    g_autofree char *layout = g_strdup_printf(
        "class dedicated\nfallback/room-a/pop-a1 127.0.0.1:%u\nfallback/room-b/pop-b1 127.0.0.1:%u\n"
        "origin/room-a/ring 127.0.0.1:%u\norigin/room-b/ring 127.0.0.1:%u\n",
        s->origins[POP_A2].port, s->origins[POP_B2].port, s->origins[POP_A1].port, s->origins[POP_B1].port);
    stage_must_apply(s, generation, &(struct edge_table_text){.layout = layout, .origins = origins});
}

static void inject(struct cell *cell)
{
    for (unsigned i = POP_A1; i <= (cell->room ? POP_A2 : POP_A1); i++) {
        struct origin *origin = &cell->stage.origins[i];
        if (cell->fault == REFUSES)
            origin_stop(origin);
        else if (cell->fault == RESETS)
            origin_cut(origin);
        else if (cell->fault == HANGS)
            atomic_store(&origin->mute, true);
    }
}

/* The path of what meets the fault: some are under way when it begins. */
static const char *path_of(const struct cell *cell)
{
    return cell->fault == FAILS ? "/fails" : cell->fault == SLOW || cell->fault == RESETS ? "/slow" : "/";
}

static void *users_run(void *data)
{
    struct cell *cell = data;
    const char *host = cell->dr ? "play.example.test" : "home.example.test";
    cell->answers = stage_volley(&cell->stage, host, path_of(cell), USERS, GAP_US);
    return NULL;
}

static unsigned cell_asked(const struct cell *cell)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < ORIGINS; i++)
        sum += atomic_load(&cell->stage.origins[i].requests);
    return sum;
}

/* In the test's own thread: HAProxy ends with the thread that started it. */
static void cell_begin(struct cell *cell)
{
    stage_begin(&cell->stage);
    cell_table(cell, 7, "");
    for (unsigned i = 0; i < ORIGINS; i++)
        atomic_store(&cell->stage.origins[i].slow_ms, cell->fault == SLOW ? 2000 : 300);
}

static bool of_room_a(unsigned user)
{
    g_autofree char *name = g_strdup_printf("%u", user);
    char key[SLOT_KEY_SIZE];
    return slot_of_key(slot_key(key, name, NULL, NULL)) < 500; /* edge_table_rest */
}

/* What users of rooms A and B must see. */
static int expected(const struct cell *cell, unsigned user)
{
    if (cell->fault == SLOW || cell->fault == FAILS)
        return cell->fault == SLOW ? 504 : 500;
    return cell->room && !cell->dr && of_room_a(user) ? -1 : 200; /* -1: 503 or 504, once it is gone */
}

static void cell_judge(struct cell *cell)
{
    unsigned wrong = 0, lost = 0;
    int64_t longest_us = 0;
    for (unsigned i = 0; i < USERS; i++) {
        int status = cell->answers[i].status, must = expected(cell, i);
        lost += status != 200;
        wrong += must == -1 ? status != 200 && status != 502 && status != 503 && status != 504 : status != must;
        longest_us = MAX(longest_us, cell->answers[i].took_us);
        g_free(cell->answers[i].text);
    }
    g_free(cell->answers);
    g_autofree char *blamed = stage_blamed(&cell->stage);
    unsigned asked = cell_asked(cell);
    printf("%-9s  DR %-3s  %-12s  %-22s  %2u of %u not answered 200, longest %4lld ms, origins asked %u times\n",
           cell->dedicated ? "dedicated" : "public", cell->dr ? "on" : "off",
           cell->room            ? "room A"
           : cell->fault >= SLOW ? "everywhere"
           : cell->dedicated     ? "its ring"
                                 : "one POP",
           fault_words[cell->fault], lost, USERS, (long long)longest_us / 1000, asked);
    ck_assert_uint_eq(wrong, 0);
    ck_assert_int_lt(longest_us, cell->fault == SLOW ? 8000000 : 4000000); /* asked again at most 5 times */
    if (cell->fault == FAILS)
        ck_assert_uint_eq(asked, USERS);
    if (cell->fault >= SLOW)
        ck_assert_str_eq(blamed, "");
    if (cell->room && !cell->dr)
        ck_assert_uint_gt(lost, 0); /* or nothing was shown */
}

/* Four edges at once: both classes, with and without DR. */
static void round_of(enum fault fault, bool room)
{
    struct cell cells[4];
    for (unsigned i = 0; i < 4; i++) {
        cells[i] = (struct cell){.dedicated = i >= 2, .dr = i % 2 == 0, .fault = fault, .room = room};
        cell_begin(&cells[i]);
    }
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&cells[i].thread, NULL, users_run, &cells[i]), 0);
    for (unsigned i = 0; i < 4; i++) {
        EVENTUALLY(cell_asked(&cells[i]) >= USERS / 3);
        inject(&cells[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(cells[i].thread, NULL);
        cell_judge(&cells[i]);
        stage_end(&cells[i].stage);
    }
    fflush(stdout);
}

START_TEST(one_entrance_fails)
{
    round_of((enum fault)_i, false);
}
END_TEST

START_TEST(a_whole_room_fails)
{
    round_of((enum fault)_i, true);
}
END_TEST

START_TEST(a_service_is_slow_or_fails_everywhere)
{
    round_of((enum fault)_i, false);
}
END_TEST

/* ---- the fallback of dedicated edges ---- */

static void via_is(struct cell *cell, const char *host, const char *attempt)
{
    struct answer answer = stage_request(&cell->stage, "GET", host, "/", "Cookie: uid=3\r\n");
    answer_expect(&answer, true, "x-sb-attempt", attempt);
    g_free(answer.text);
}

/* Ring, the room's own POP, another room's ring, that room's POP. What the table has out is passed over. */
START_TEST(a_dedicated_edge_falls_back_in_order)
{
    struct cell cell = {.dedicated = true};
    struct stage *s = &cell.stage;
    ck_assert(of_room_a(3));
    stage_begin(s);
    cell_table(&cell, 7, "");
    via_is(&cell, "play.example.test", "room-a.ring");
    origin_stop(&s->origins[POP_A1]);
    via_is(&cell, "play.example.test", "room-a.pop-a1");
    via_is(&cell, "home.example.test", "room-a.pop-a1");
    via_is(&cell, "creator.example.test", "room-a.pop-a1");
    g_autofree char *counted = stage_admin(s, "show table st_answered\n");
    ck_assert_msg(strstr(counted, "key=core.playback/room-a/pop-a1 ") != NULL, "%s", counted);
    origin_stop(&s->origins[POP_A2]);
    via_is(&cell, "play.example.test", "room-b.ring");
    ck_assert_int_eq(stage_status(s, "GET", "creator.example.test", "/"), 503);
    origin_stop(&s->origins[POP_B1]);
    via_is(&cell, "play.example.test", "room-b.pop-b1");
    origin_start(&s->origins[POP_A2]);
    EVENTUALLY(stage_status(s, "GET", "creator.example.test", "/") == 200);
    cell_table(&cell, 8, "multi/room-a/pop-a1 out\nsingle/room-a/pop-a1 out\n"); /* and what the table says is out */
    ck_assert_int_eq(stage_status(s, "GET", "creator.example.test", "/"), 503);
    via_is(&cell, "play.example.test", "room-b.pop-b1");
    stage_end(s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, one_entrance_fails, REFUSES, HANGS + 1);
    tcase_add_loop_test(tcase, a_whole_room_fails, REFUSES, HANGS + 1);
    tcase_add_loop_test(tcase, a_service_is_slow_or_fails_everywhere, SLOW, FAILS + 1);
    tcase_add_test(tcase, a_dedicated_edge_falls_back_in_order);
}

int main(void)
{
    return unit_run("edge_matrix", add);
}
