/* Disks that are full, broken or have lost something: no wrong act, a clear error within 2 s, and whole again when the
 * cause is gone. */
#include "core/fileio.h"
#include "tests/unit/agent_stage.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define SAID_US (2 * G_USEC_PER_SEC)
#define HEALED_US (5 * G_USEC_PER_SEC)

static const struct stamp first = {STAGE_EPOCH, 1}, second = {STAGE_EPOCH, 2};

static void expect_whole(struct stage *s)
{
    stage_expect_disk(s);
    stage_expect_log(s);
    stage_end(s);
}

/* Two generations are in force and on disk. */
static void begin(struct stage *s, char *dir)
{
    stage_begin(s, dir);
    stage_spawn(s, NULL);
    ck_assert(stage_await(s, "applied", first, "", HEALED_US));
    stage_say(s, second, NONE);
    ck_assert(stage_await(s, "applied", second, "", HEALED_US));
}

/* inject: into calls on `file` of the folder; state (NULL: it is applied all the same), and a piece of the error or an
 * event that reports have. */
static const struct fault {
    const char *inject, *file;
    bool reign; /* the next table is of another one: its promise comes first */
    const char *state, *error;
} faults[] = {
    {"fsync:error=EIO", "table.tmp", false, "failing", "the table could not be written to disk: cannot write"},
    {"write:error=EIO", "table.tmp", false, "failing", "table.tmp: Input/output error"},
    {"write:error=ENOSPC", "table.tmp", false, "failing", "table.tmp: No space left on device"},
    {"openat:error=EROFS", "table.tmp", false, "failing", "table.tmp: Read-only file system"},
    {"rename:error=EIO", "table.tmp", false, "failing", "cannot rename to"},
    {"fsync:error=EIO", "", false, "failing", "cannot fsync folder"},
    {"fsync:error=EIO", "promise.tmp", true, "failing", "the promise could not be written to disk: cannot write"},
    {"write:error=ENOSPC", "promise.tmp", true, "failing", "promise.tmp: No space left on device"},
    {"rename:error=EIO", "promise.tmp", true, "failing", "cannot rename to"},
    {"write:error=EIO", "applied.log", false, NULL, "what took effect is not logged yet: cannot append"},
};

START_TEST(a_broken_disk_is_said_and_outlived)
{
    const struct fault *fault = &faults[_i];
    struct stage s;
    begin(&s, NULL);
    struct stamp next = {fault->reign ? STAGE_EPOCH + 65536 : STAGE_EPOCH, 3};
    bool applied = fault->state == NULL;
    g_autofree char *path = fault->file[0] != '\0' ? g_build_filename(s.dir, fault->file, NULL) : g_strdup(s.dir);
    stage_trace(&s, fault->inject, path);
    stage_say(&s, next, NONE);
    ck_assert(stage_await(&s, fault->state, applied ? next : second, fault->error, SAID_US));
    ck_assert_int_eq(stamp_compare(stage_force(&s), applied ? next : second), 0);
    ck_assert_uint_eq(s.promised, STAGE_EPOCH);
    stage_untrace(&s);
    stage_say(&s, next, NONE);
    ck_assert(stage_await(&s, "applied", next, "\"error\":null", HEALED_US));
    stage_await_log(&s, HEALED_US);
    expect_whole(&s);
}
END_TEST

static void fill(const char *path)
{
    static const char block[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    while (write(fd, block, sizeof block) > 0)
        ;
    close(fd);
}

START_TEST(a_full_disk_is_said_and_outlived)
{
    struct stage s;
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        return; /* the rows above have it without a mount */
    char *dir = g_dir_make_tmp("sb-agent-XXXXXX", NULL);
    ck_assert_int_eq(mount("none", dir, "tmpfs", 0, "size=256k"), 0);
    g_autofree char *ballast = g_build_filename(dir, "ballast", NULL);
    begin(&s, dir);
    struct stamp next = {STAGE_EPOCH + 65536, 3};
    fill(ballast);
    stage_say(&s, next, NONE);
    ck_assert(stage_await(&s, "failing", second, "No space left on device", SAID_US));
    ck_assert_int_eq(stamp_compare(stage_force(&s), second), 0);
    unlink(ballast);
    ck_assert(stage_await(&s, "applied", next, "\"error\":null", HEALED_US));
    stage_await_log(&s, HEALED_US);
    stage_kill(&s);
    stage_expect_disk(&s);
    stage_expect_log(&s);
    ck_assert_int_eq(umount2(dir, MNT_DETACH), 0);
    stage_end(&s);
}
END_TEST

static void tear(const struct stage *s, const char *name, size_t size)
{
    g_autofree char *path = g_build_filename(s->dir, name, NULL);
    ck_assert_int_eq(truncate(path, (off_t)size), 0);
}

/* What is torn before a start without a server that answers, and what is said of it. The generation that was in force
 * is not gone back from. */
START_TEST(what_is_torn_is_said_and_fetched_again)
{
    static const struct {
        const char *name;
        size_t size;
        bool previous; /* and the table before it */
        const char *error;
        const char *behind, *why; /* state and error when a server offers the generation before */
    } rows[] = {
        {"table", 200, false, "table is not a whole table: its", "failing", "is damaged"},
        {"table", 0, false, "table is not a whole table: it does not begin with", "failing", "is damaged"},
        {"table", 200, true, "table.prev is not a whole table", "refused", "generation 2 of epoch 131073 was in force"},
        {"promise", 3, false, "promise is damaged", "refused", "generation 2 of epoch 131073 is in force"},
        {"promise", 0, false, "promise is damaged", "refused", "generation 2 of epoch 131073 is in force"},
        {"table.prev", 10, false, "", "refused", "generation 2 of epoch 131073 is in force"},
    };
    struct stage s;
    begin(&s, NULL);
    stage_kill(&s);
    tear(&s, rows[_i].name, rows[_i].size);
    if (rows[_i].previous)
        tear(&s, "table.prev", rows[_i].size);
    stage_say(&s, second, STATUS_500);
    stage_spawn(&s, NULL);
    ck_assert(stage_await(&s, NULL, second, rows[_i].error, SAID_US));
    ck_assert_int_eq(stamp_compare(stage_force(&s), second), 0);
    stage_say_again(&s, first); /* a server that is behind */
    struct stamp applied = strcmp(rows[_i].name, "table") == 0 ? (struct stamp){0} : second;
    ck_assert(stage_await(&s, rows[_i].behind, applied, rows[_i].why, SAID_US));
    ck_assert_int_eq(stamp_compare(stage_force(&s), second), 0);
    stage_say(&s, second, NONE);
    ck_assert(stage_await(&s, "applied", second, "\"error\":null", HEALED_US));
    struct stamp next = {STAGE_EPOCH + 65536, 3};
    stage_say(&s, next, NONE);
    ck_assert(stage_await(&s, "applied", next, "\"error\":null", HEALED_US));
    expect_whole(&s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, a_broken_disk_is_said_and_outlived, 0, G_N_ELEMENTS(faults));
    tcase_add_test(tcase, a_full_disk_is_said_and_outlived);
    tcase_add_loop_test(tcase, what_is_torn_is_said_and_fetched_again, 0, 6);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "agent") == 0)
        return agent_stage_main(argv[2], argv[3]);
    return unit_run("agent_disk", add);
}
