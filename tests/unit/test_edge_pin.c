/* A real HAProxy and pins: to the pinned room and to no other, or as if there were none; never an error. */
#include "schema/pin.h"
#include "schema/slot.h"
#include "tests/unit/edgestage.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define ROOMS_OPEN "multi/room-a room-a\nmulti/room-b room-b\n"
#define SINGLE "single/room-a room-a\nsingle/room-b room-b\n"
#define SECRET_1 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQR"
#define SECRET_2 "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH"
#define KEYS "pin/k1 " SECRET_1 "\npin/k2 " SECRET_2 "\n"

static const struct pin_key k1 = {"k1", SECRET_1}, k2 = {"k2", SECRET_2};

/* Of a user that the split sends to room-a. */
static char *user_of_a(unsigned nth)
{
    for (unsigned i = 0;; i++) {
        char key[SLOT_KEY_SIZE], *user = g_strdup_printf("user-%u", i);
        if (slot_of_key(slot_key(key, user, NULL, NULL)) < 500 && nth-- == 0)
            return user;
        g_free(user);
    }
}

static int64_t in_s(int64_t seconds)
{
    return (int64_t)time(NULL) + seconds;
}

static char *pin_for(const struct pin_key *key, const char *room, const char *user, int64_t seconds)
{
    struct pin pin = {room, user != NULL ? PIN_USER : PIN_STAFF, user, in_s(seconds)};
    return pin_sign(key, &pin);
}

/* The room that answers a user with this cookie, and what the edge says of the pin. */
static void expect(struct stage *s, const char *host, const char *user, const char *pin, const char *room,
                   const char *says)
{
    g_autofree char *cookie = g_strdup_printf("Cookie: uid=%s; sb-pin=%s\r\n", user, pin);
    struct answer answer = stage_request(s, "GET", host, "/x", cookie);
    ck_assert_msg(answer.status == 200, "pin %s: found status %d, expected 200", pin, answer.status);
    g_autofree char *found = answer_header(&answer, false, "x-sb-room");
    ck_assert_msg(g_strcmp0(found, room) == 0, "pin %s: found %s, expected %s", pin, found, room);
    answer_expect(&answer, false, "x-sb-pin", says);
    g_free(answer.text);
}

/* Both counters of st_pins, of all that asked. */
static void count(struct stage *s, unsigned *used, unsigned *passed_over)
{
    g_autofree char *table = stage_admin(s, "show table st_pins\n");
    const char *gpc0 = strstr(table, " gpc0="), *gpc1 = strstr(table, " gpc1=");
    *used = gpc0 != NULL ? (unsigned)strtoul(gpc0 + 6, NULL, 10) : 0;
    *passed_over = gpc1 != NULL ? (unsigned)strtoul(gpc1 + 6, NULL, 10) : 0;
}

START_TEST(a_pin_goes_to_its_room_and_to_no_other)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &(struct edge_table_text){.rooms = ROOMS_OPEN KEYS SINGLE});
    g_autofree char *user = user_of_a(0), *other = user_of_a(1);
    g_autofree char *mine = pin_for(&k2, "room-b", user, 60), *staff = pin_for(&k1, "room-b", NULL, 60);
    g_autofree char *home = pin_for(&k1, "room-a", NULL, 60);
    expect(&s, "home.example.test", user, mine, "room-b", "room-b");
    expect(&s, "play.example.test", user, mine, "room-b", "room-b"); /* with automatic DR as well */
    expect(&s, "home.example.test", user, staff, "room-b", "room-b");
    expect(&s, "home.example.test", other, staff, "room-b", "room-b");
    expect(&s, "home.example.test", user, home, "room-a", "room-a");
    expect(&s, "home.example.test", other, mine, "room-a", "unknown");   /* it is of another user */
    expect(&s, "creator.example.test", user, staff, "room-a", "closed"); /* a service of one room */
    unsigned used, passed_over;
    count(&s, &used, &passed_over);
    ck_assert_uint_eq(used, 5);
    ck_assert_uint_eq(passed_over, 2);
    struct answer none = stage_request(&s, "GET", "home.example.test", "/", "Cookie: uid=user-1\r\n");
    answer_expect(&none, false, "x-sb-pin", NULL);
    g_free(none.text);
    count(&s, &used, &passed_over);
    ck_assert_uint_eq(used + passed_over, 7);
    stage_end(&s);
}
END_TEST

/* Levers before pins. */
START_TEST(a_closed_room_stays_closed_and_opens_by_maps_alone)
{
    struct stage s;
    stage_begin(&s);
    g_autofree char *user = user_of_a(0), *pin = pin_for(&k1, "room-b", NULL, 60);
    stage_must_apply(&s, 7,
                     &(struct edge_table_text){.rooms = "multi/room-a room-a\nmulti/room-b room-a\n" KEYS
                                                        "single/room-a room-a\nsingle/room-b -\n"});
    g_autofree char *before = stage_admin(&s, "show info\n");
    expect(&s, "home.example.test", user, pin, "room-a", "closed");
    stage_must_apply(&s, 8, &(struct edge_table_text){.rooms = ROOMS_OPEN KEYS SINGLE});
    expect(&s, "home.example.test", user, pin, "room-b", "room-b");
    g_autofree char *after = stage_admin(&s, "show info\n");
    const char *pid = strstr(before, "\nPid: ");
    ck_assert(strncmp(pid, strstr(after, "\nPid: "), strcspn(pid + 1, "\n")) == 0);
    stage_end(&s);
}
END_TEST

START_TEST(a_key_that_goes_takes_its_pins_along)
{
    struct stage s;
    stage_begin(&s);
    g_autofree char *user = user_of_a(0), *old = pin_for(&k1, "room-b", NULL, 60),
                    *new = pin_for(&k2, "room-b", NULL, 60);
    stage_must_apply(&s, 7, &(struct edge_table_text){.rooms = ROOMS_OPEN "pin/k1 " SECRET_1 "\n" SINGLE});
    expect(&s, "home.example.test", user, old, "room-b", "room-b");
    expect(&s, "home.example.test", user, new, "room-a", "unknown");
    stage_must_apply(&s, 8, &(struct edge_table_text){.rooms = ROOMS_OPEN KEYS SINGLE}); /* rotated: both */
    expect(&s, "home.example.test", user, old, "room-b", "room-b");
    expect(&s, "home.example.test", user, new, "room-b", "room-b");
    stage_must_apply(&s, 9, &(struct edge_table_text){.rooms = ROOMS_OPEN "pin/k2 " SECRET_2 "\n" SINGLE});
    expect(&s, "home.example.test", user, old, "room-a", "unknown");
    expect(&s, "home.example.test", user, new, "room-b", "room-b");
    stage_must_apply(&s, 10, &(struct edge_table_text){.rooms = ROOMS_OPEN SINGLE});
    expect(&s, "home.example.test", user, new, "room-a", "unknown");
    stage_end(&s);
}
END_TEST

/* Another letter at a place; g_free. */
static char *bent(const char *pin, size_t at)
{
    char *copy = g_strdup(pin);
    copy[at] = copy[at] == 'a' ? 'b' : 'a';
    return copy;
}

START_TEST(what_is_wrong_with_a_pin_is_no_error)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &(struct edge_table_text){.rooms = ROOMS_OPEN KEYS SINGLE});
    g_autofree char *user = user_of_a(0), *good = pin_for(&k1, "room-b", NULL, 60);
    expect(&s, "home.example.test", user, good, "room-b", "room-b");
    for (size_t at = 0; good[at] != '\0'; at++) { /* every letter counts */
        g_autofree char *bad = good[at] == '.' ? NULL : bent(good, at);
        if (bad != NULL)
            expect(&s, "home.example.test", user, bad, "room-a", "unknown");
    }
    const char *mac = strrchr(good, '.');
    g_autofree char *words = g_strndup(good, (gsize)(mac - good)), *nul = g_strconcat(words, ".", NULL),
                    *cut = g_strndup(good, strlen(good) - 1), *more = g_strconcat(good, "0", NULL),
                    *upper = g_ascii_strup(good, -1), *tail = g_strconcat(good, ".x", NULL),
                    *ended = pin_for(&k1, "room-b", NULL, -1), *nowhere = pin_for(&k1, "room-x", NULL, 60),
                    *longer = g_strnfill(4000, 'x'), *dots = g_strnfill(150, '.');
    const struct {
        const char *pin, *says;
    } rows[] = {
        {words, "unknown"},
        {nul, "unknown"},
        {cut, "unknown"},
        {more, "unknown"},
        {upper, "unknown"},
        {ended, "ended"},
        {nowhere, "closed"},
        {longer, "unknown"},
        {dots, "unknown"},
        {"k1", "unknown"},
        {"k1....", "unknown"},
        {"k1.room-b.staff.9999999999.", "unknown"},
        {"../rooms", "unknown"},
        {"degrade/room-a.room-b.staff.9999999999.00", "unknown"},
        {"%00%0d%0a", "unknown"},
        {"k1'\"|$(reboot)", "unknown"},
        {"\xff\xfe\x01", "unknown"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        expect(&s, "home.example.test", user, rows[i].pin, "room-a", rows[i].says);
    expect(&s, "home.example.test", user, tail, "room-b", "room-b"); /* five words count */
    stage_end(&s);
}
END_TEST

/* What is refused of a table says no secret, nor does what differs. */
START_TEST(no_secret_is_said)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &(struct edge_table_text){.rooms = ROOMS_OPEN "pin/k1 " SECRET_1 "\n" SINGLE});
    static const char *const bad[] = {"pin/k1 " SECRET_1 "!\n", "pin/k1 " SECRET_1 "\npin/K1 " SECRET_2 "\n",
                                      "pin/k1 abc;quit\n", "pin/k1 multi/room-a\n"};
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *rooms = g_strconcat(ROOMS_OPEN, bad[i], SINGLE, NULL);
        GError *error = NULL;
        ck_assert(!part_validate(PART_ROOMS, rooms, strlen(rooms), &error));
        ck_assert_msg(strstr(error->message, "abc") == NULL && strstr(error->message, "0123") == NULL, "%s",
                      error->message);
        g_clear_error(&error);
    }
    g_autofree char *map = g_strdup_printf("set map %s/rooms.map pin/k1 " SECRET_2 "\n", s.dir);
    g_free(stage_admin(&s, map));
    stage_must_apply(&s, 8, &(struct edge_table_text){.rooms = ROOMS_OPEN "pin/k1 " SECRET_1 "\n" SINGLE});
    g_autofree char *user = user_of_a(0), *good = pin_for(&k1, "room-b", NULL, 60);
    expect(&s, "home.example.test", user, good, "room-b", "room-b");
    pthread_mutex_lock(&s.lock);
    for (guint i = 0; i < s.notes->len; i++)
        ck_assert_ptr_null(strstr(s.notes->pdata[i], "abcdef"));
    pthread_mutex_unlock(&s.lock);
    stage_end(&s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_pin_goes_to_its_room_and_to_no_other);
    tcase_add_test(tcase, a_closed_room_stays_closed_and_opens_by_maps_alone);
    tcase_add_test(tcase, a_key_that_goes_takes_its_pins_along);
    tcase_add_test(tcase, what_is_wrong_with_a_pin_is_no_error);
    tcase_add_test(tcase, no_secret_is_said);
}

int main(void)
{
    return unit_run("edge_pin", add);
}
