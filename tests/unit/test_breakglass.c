/* What a person does at an agent: what its log leaves in force, whatever the clock and the disk did. */
#include "agent/breakglass.h"
#include "agent/override.h"
#include "core/fileio.h"
#include "tests/unit/edgeparts.h"
#include "tests/unit/unit.h"

#include <string.h>

#define MINUTE (INT64_C(60) * G_USEC_PER_SEC)
#define YEAR (365 * 24 * 60 * MINUTE)
#define NOW 7000000
#define WALL (INT64_C(1719900000) * G_USEC_PER_SEC)

struct bench {
    char *dir, *log;
    GPtrArray *notes;
    struct edge_parts table;
};

static void bench_begin(struct bench *b)
{
    *b = (struct bench){.dir = g_dir_make_tmp("sb-byhand-XXXXXX", NULL),
                        .notes = g_ptr_array_new_with_free_func(g_free)};
    b->log = g_build_filename(b->dir, "breakglass.log", NULL);
    edge_parts_init(&b->table, 65537, 7, &(struct edge_table_text){0});
}

static void bench_end(struct bench *b)
{
    unit_remove_all(b->dir);
    g_ptr_array_unref(b->notes);
    edge_parts_clear(&b->table);
    g_free(b->dir);
    g_free(b->log);
}

static void must(struct bench *b, struct breakglass *glass, const char *line)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *done = breakglass_command(glass, line, "uid:0", b->table.parts, NOW, WALL, &error);
    ck_assert_msg(done != NULL, "%s: %s", line, error != NULL ? error->message : "");
}

static bool holds(const struct breakglass *glass)
{
    g_autofree char *hold = breakglass_hold(glass);
    return hold != NULL;
}

/* The log is read again when the wall clock says `wall_us`; is the hold in force, and until when? */
static int64_t left_after_restart(struct bench *b, int64_t wall_us)
{
    sb_auto(breakglass) glass = breakglass_new(b->dir, false, NOW, wall_us, b->notes);
    return holds(glass) ? breakglass_next_us(glass) - NOW : 0;
}

START_TEST(an_act_ends_by_the_clock_that_does_not_jump_and_lasts_no_longer_over_a_restart)
{
    struct bench b;
    bench_begin(&b);
    sb_auto(breakglass) glass = breakglass_new(b.dir, false, NOW, WALL, b.notes);
    must(&b, glass, "hold 30m looking");
    ck_assert(!breakglass_expire(glass, NOW + 30 * MINUTE - 1, WALL + YEAR, b.notes));
    ck_assert(!breakglass_expire(glass, NOW + 30 * MINUTE - 1, WALL - YEAR, b.notes));
    ck_assert(holds(glass));
    ck_assert_int_eq(left_after_restart(&b, WALL + 10 * MINUTE), 20 * MINUTE);
    ck_assert_int_eq(left_after_restart(&b, WALL - YEAR), 30 * MINUTE); /* not a year and 30 minutes */
    ck_assert(breakglass_expire(glass, NOW + 30 * MINUTE, WALL + 30 * MINUTE, b.notes));
    ck_assert(!holds(glass));
    ck_assert_int_eq(breakglass_next_us(glass), INT64_MAX);
    ck_assert_int_eq(left_after_restart(&b, WALL), 0); /* its end is written down */
    bench_end(&b);
}
END_TEST

START_TEST(what_a_crash_or_a_bad_disk_left_of_the_log_is_passed_over_and_said)
{
    struct bench b;
    bench_begin(&b);
    sb_auto(breakglass) glass = breakglass_new(b.dir, false, NOW, WALL, b.notes);
    must(&b, glass, "hold 30m looking");
    must(&b, glass, "override room-a 10m nonsense");
    g_autofree char *whole = file_read(b.log, 1u << 20, NULL, NULL);
    for (size_t size = 0; size < strlen(whole); size++) { /* cut at each byte */
        g_ptr_array_set_size(b.notes, 0);
        ck_assert(file_write_atomic(b.log, whole, size, 0640, NULL));
        sb_auto(breakglass) cut = breakglass_new(b.dir, false, NOW, WALL, b.notes);
        bool first = size >= strcspn(whole, "\n");
        ck_assert(holds(cut) == first);
        must(&b, cut, "override room-a 5m behind what was cut");
        sb_auto(breakglass) again = breakglass_new(b.dir, false, NOW, WALL, b.notes);
        json_t *rows = breakglass_to_json(again);
        ck_assert_uint_eq(json_array_size(rows), first ? 2 : 1);
        json_decref(rows);
    }
    g_autofree char *damaged = g_strconcat("{\"verb\":\"reboot\"}\nnonsense\n", whole, NULL);
    ck_assert(file_write_atomic(b.log, damaged, strlen(damaged), 0640, NULL));
    g_ptr_array_set_size(b.notes, 0);
    sb_auto(breakglass) after = breakglass_new(b.dir, false, NOW, WALL, b.notes);
    ck_assert(holds(after));
    ck_assert_uint_eq(b.notes->len, 4); /* two lines, and two acts that are in force */
    ck_assert_msg(strstr(b.notes->pdata[1], "line 2 is damaged") != NULL, "%s", (char *)b.notes->pdata[1]);
    bench_end(&b);
}
END_TEST

/* Files for HAProxy are made from it beside an agent: an act that has ended does not count, and the log stays as it is.
 */
START_TEST(who_only_reads_writes_nothing)
{
    struct bench b;
    bench_begin(&b);
    sb_auto(breakglass) glass = breakglass_new(b.dir, false, NOW, WALL, b.notes);
    must(&b, glass, "override room-a 10m looking");
    g_autofree char *before = file_read(b.log, 1u << 20, NULL, NULL);
    sb_auto(breakglass) reader = breakglass_new(b.dir, true, NOW, WALL + 11 * MINUTE, b.notes);
    g_autofree char *after = file_read(b.log, 1u << 20, NULL, NULL), *text = breakglass_text(reader);
    ck_assert_str_eq(after, before);
    ck_assert_ptr_null(text);
    bench_end(&b);
}
END_TEST

static void expect_part(GBytes *const *parts, enum part part, const char *expected)
{
    gsize size;
    const char *text = g_bytes_get_data(parts[part], &size);
    ck_assert_msg(size == strlen(expected) && memcmp(text, expected, size) == 0, "%s: %.*s", part_name(part), (int)size,
                  text);
    ck_assert(part_validate(part, text, size, NULL));
}

START_TEST(a_room_that_is_closed_is_out_by_every_road_of_the_table_and_the_last_one_stays)
{
    static const char *const none[] = {NULL}, *const a[] = {"room-a", NULL}, *const both[] = {"room-a", "room-b", NULL};
    struct bench b;
    GBytes *out[PARTS];
    bench_begin(&b);
    ck_assert(override_close(b.table.parts, none, out));
    for (unsigned i = 0; i < PARTS; i++)
        ck_assert_ptr_eq(out[i], b.table.parts[i]);
    for (unsigned i = 0; i < PARTS; i++)
        g_bytes_unref(out[i]);
    ck_assert(override_close(b.table.parts, a, out));
    expect_part(out, PART_ROOMS, "multi/room-a room-b\nmulti/room-b room-b\nsingle/room-a -\nsingle/room-b room-b\n");
    expect_part(out, PART_ORIGINS,
                "multi/room-a/pop-a1 out\nmulti/room-a/pop-a2 out\nmulti/room-b/pop-b1 in\nmulti/room-b/pop-b2 in\n"
                "single/room-a/pop-a1 out\nsingle/room-a/pop-a2 out\n");
    for (unsigned i = 0; i < PARTS; i++)
        g_bytes_unref(out[i]);
    ck_assert(!override_close(b.table.parts, both, out));
    for (unsigned i = 0; i < PARTS; i++) {
        ck_assert_ptr_eq(out[i], b.table.parts[i]);
        g_bytes_unref(out[i]);
    }
    ck_assert(override_knows(b.table.parts, "room-b"));
    ck_assert(!override_knows(b.table.parts, "edge-3"));
    bench_end(&b);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, an_act_ends_by_the_clock_that_does_not_jump_and_lasts_no_longer_over_a_restart);
    tcase_add_test(tcase, what_a_crash_or_a_bad_disk_left_of_the_log_is_passed_over_and_said);
    tcase_add_test(tcase, who_only_reads_writes_nothing);
    tcase_add_test(tcase, a_room_that_is_closed_is_out_by_every_road_of_the_table_and_the_last_one_stays);
}

int main(void)
{
    return unit_run("breakglass", add);
}
