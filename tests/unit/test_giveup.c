/* When an edge gives up what waits for a room, and by which commands. */
#include "dcdn/giveup.h"
#include "tests/unit/edgeparts.h"
#include "tests/unit/unit.h"

#include <string.h>

static const struct edge_table_text site = {.layout = "class public\nescape/room-a/escape-a 198.51.100.41:80\n"
                                                      "origin/room-a/pop-a1 198.51.100.11:80\n"
                                                      "origin/room-a/pop-a2 198.51.100.12:80\n"
                                                      "origin/room-b/pop-b1 198.51.100.21:80\n",
                                            .origins = ""};

struct watched {
    struct edge_state *state;
    struct giveup *giveup;
    GPtrArray *notes;
    int64_t now_us;
};
#define LOOK 150000 /* between two readings: the third one ends sessions */

static char *step(struct watched *w, const char *stat)
{
    w->now_us += LOOK;
    return giveup_step(w->giveup, w->state, stat, w->now_us, w->notes);
}

static void begin(struct watched *w, const struct edge_table_text *text)
{
    struct edge_parts table;
    edge_parts_init(&table, 65537, 7, text);
    *w = (struct watched){edge_state_new(&table.manifest, table.parts, NULL), giveup_new(),
                          g_ptr_array_new_with_free_func(g_free), 0};
    ck_assert_ptr_nonnull(w->state);
    edge_parts_clear(&table);
}

static void end(struct watched *w)
{
    edge_state_free(w->state);
    giveup_free(w->giveup);
    g_ptr_array_unref(w->notes);
}

/* A reading: status and last check of the escape, of both entrances of room A, and of room B's. g_free. */
static char *seen(struct watched *w, const char *escape, const char *a1, const char *a2, const char *b)
{
    g_autofree char *stat = g_strdup_printf("# pxname,svname,status,check_status,check_duration,last_chk,\n"
                                            "be_health,room-a.pop-a1,%s,1,,\nbe_health,room-a.pop-a2,%s,1,,\n"
                                            "be_health,room-b.pop-b1,%s,1,,\nbe_health,room-a.escape-a,%s,1,,\n\n",
                                            a1, a2, b, escape);
    return step(w, stat);
}

#define UP "UP,L7OK"
#define SILENT "DOWN,L4TOUT"

/* So often in a row; none may lead to commands. */
static void nothing(struct watched *w, const char *escape, const char *a1, const char *a2, const char *b)
{
    for (unsigned i = 0; i < 5; i++) {
        g_autofree char *commands = seen(w, escape, a1, a2, b);
        ck_assert_msg(commands == NULL, "%s, %s, others %s, %s: %s", a1, a2, escape, b, commands);
    }
}

static const char marks[] = "set server be_patient-multi-dr_room-a/room-a.pop-a1 health down; "
                            "set server be_patient-multi-dr_room-a/room-a.pop-a2 health down; "
                            "set server be_patient-single_room-a/room-a.pop-a1 health down; "
                            "set server be_patient-single_room-a/room-a.pop-a2 health down; "
                            "set server be_patient-multi-away_room-b/room-a.pop-a1 health down; "
                            "set server be_patient-multi-away_room-b/room-a.pop-a2 health down";
static const char ends[] = "shutdown sessions server be_patient-multi-dr_room-a/room-a.pop-a1; "
                           "shutdown sessions server be_patient-multi-dr_room-a/room-a.pop-a2; "
                           "shutdown sessions server be_patient-multi-away_room-a/room-a.pop-a1; "
                           "shutdown sessions server be_patient-multi-away_room-a/room-a.pop-a2; "
                           "shutdown sessions server be_patient-single_room-a/room-a.pop-a1; "
                           "shutdown sessions server be_patient-single_room-a/room-a.pop-a2; "
                           "shutdown sessions server be_patient-multi-dr_room-b/room-a.pop-a1; "
                           "shutdown sessions server be_patient-multi-dr_room-b/room-a.pop-a2; "
                           "shutdown sessions server be_patient-multi-away_room-b/room-a.pop-a1; "
                           "shutdown sessions server be_patient-multi-away_room-b/room-a.pop-a2";

static void given_up(struct watched *w, const char *escape, const char *b)
{
    g_autofree char *first = seen(w, escape, SILENT, "DOWN,* L4TOUT", b);
    ck_assert_str_eq(first, marks);
    ck_assert_int_eq(giveup_due_us(w->giveup), w->now_us + GIVEUP_SETTLED_US);
    g_autofree char *second = seen(w, escape, SILENT, SILENT, b);
    ck_assert_ptr_null(second);
    g_autofree char *third = seen(w, escape, SILENT, SILENT, b);
    ck_assert_str_eq(third, ends);
    ck_assert_int_eq(giveup_due_us(w->giveup), 0);
}

START_TEST(a_silent_room_is_marked_then_given_up_once)
{
    struct watched w;
    begin(&w, &site);
    nothing(&w, UP, UP, UP, UP);
    for (unsigned time = 0; time < 2; time++) {
        given_up(&w, UP, UP);
        ck_assert_uint_eq(w.notes->len, time + 1);
        nothing(&w, UP, SILENT, SILENT, UP);
        nothing(&w, UP, SILENT, "DOWN 1/3,L7OK", UP); /* and when it goes again, again */
    }
    end(&w);
}
END_TEST

START_TEST(sightings_are_in_a_row)
{
    struct watched w;
    begin(&w, &site);
    for (unsigned i = 0; i < 12; i++) {
        bool sighted = i % 3 != 2;
        g_autofree char *commands = sighted      ? seen(&w, UP, SILENT, SILENT, UP)
                                    : i % 2 == 0 ? seen(&w, UP, UP, SILENT, UP)
                                                 : step(&w, NULL);
        if (i % 3 == 0)
            ck_assert_str_eq(commands, marks);
        else
            ck_assert_ptr_null(commands);
    }
    ck_assert_uint_eq(w.notes->len, 0);
    end(&w);
}
END_TEST

START_TEST(what_may_still_answer_is_waited_for)
{
    static const char *const others[] = {UP,           "UP 1/2,L4TOUT", "DOWN,L4CON",   "DOWN,L7TOUT",
                                         "DOWN,L7STS", "DOWN 1/3,L7OK", "MAINT,L4TOUT", "no check,"};
    struct watched w;
    begin(&w, &site);
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
        nothing(&w, UP, SILENT, others[i], UP);
        nothing(&w, UP, others[i], others[i], UP);
    }
    ck_assert_uint_eq(w.notes->len, 0);
    end(&w);
}
END_TEST

/* An escape is no entrance of the room that it leads to: it counts among what is seen of the rest. */
START_TEST(an_edge_that_sees_nothing_waits)
{
    struct watched w;
    begin(&w, &site);
    nothing(&w, SILENT, SILENT, SILENT, SILENT);
    nothing(&w, "DOWN,L4CON", SILENT, SILENT, "DOWN,L7STS");
    ck_assert_uint_eq(w.notes->len, 0);
    given_up(&w, UP, "DOWN,L4CON");
    end(&w);
}
END_TEST

/* The ring is its entrance; the room's POP, its fallback, is a backup and none of it. */
START_TEST(a_dedicated_edge_gives_up_what_waits_for_its_ring)
{
    static const struct edge_table_text ring = {
        .layout = "class dedicated\nfallback/room-a/pop-a1 198.51.100.12:80\norigin/room-a/ring 198.51.100.11:80\n",
        .origins = ""};
    static const char stat[] = "# pxname,svname,status,check_status,\nbe_health,room-a.ring,DOWN,L4TOUT,\n"
                               "be_health,room-a.pop-a1,UP,L7OK,\n\n";
    struct watched w;
    begin(&w, &ring);
    g_autofree char *commands = step(&w, stat);
    ck_assert_ptr_nonnull(strstr(commands, "set server be_patient-single_room-a/room-a.ring health down"));
    ck_assert_ptr_null(strstr(commands, "pop-a1"));
    end(&w);
}
END_TEST

START_TEST(answers_that_are_no_table_are_nothing)
{
    static const char *const replies[] = {"", "No such proxy.\n",
                                          "# pxname,svname,status,\nbe_health,room-a.pop-a1,DOWN,\n",
                                          "# pxname,svname,status,check_status,\nbe_health,room-b.pop-b1,UP,L7OK,\n"};
    struct watched w;
    begin(&w, &site);
    for (size_t i = 0; i < 2 * G_N_ELEMENTS(replies); i++)
        ck_assert_ptr_null(step(&w, replies[i / 2]));
    end(&w);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_silent_room_is_marked_then_given_up_once);
    tcase_add_test(tcase, sightings_are_in_a_row);
    tcase_add_test(tcase, what_may_still_answer_is_waited_for);
    tcase_add_test(tcase, an_edge_that_sees_nothing_waits);
    tcase_add_test(tcase, a_dedicated_edge_gives_up_what_waits_for_its_ring);
    tcase_add_test(tcase, answers_that_are_no_table_are_nothing);
}

int main(void)
{
    return unit_run("giveup", add);
}
