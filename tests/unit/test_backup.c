/* test_backup.c: a backup made while a server with four agents is at work, and put back after much has happened: onto
 * an empty disk, and in the place of the journal; who is told of changes goes on where it was. */
#include "core/fileio.h"
#include "core/log.h"
#include "core/loop.h"
#include "server/store/backup.h"
#include "server/store/db.h"
#include "tests/unit/edgecrew.h"
#include "tests/unit/receiver.h"
#include "tests/unit/served_cli.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_US (30 * G_USEC_PER_SEC) /* a limit, not a wait */

/* A change, and all agents have it; its generation. */
static json_int_t change(struct crew *crew, const char *lever, const char *value)
{
    g_autofree char *path = g_strdup_printf("/v1/controls/%s", lever),
                    *body = g_strdup_printf("{\"value\":\"%s\"}", value);
    ck_assert_uint_eq(served_local(&served, "PUT", path, "*", body, NULL), 200);
    json_int_t generation = status_number("generation");
    for (int64_t until_us = loop_now_us() + PATIENCE_US; crew_count(crew, (uint64_t)generation) < CREW_EDGES;
         poll(NULL, 0, 5))
        ck_assert_msg(loop_now_us() < until_us, "%u of 4 agents have generation %lld",
                      crew_count(crew, (uint64_t)generation), (long long)generation);
    return generation;
}

static void expect_lever(const char *lever, const char *value)
{
    json_t *control = NULL;
    g_autofree char *path = g_strdup_printf("/v1/controls/%s", lever);
    ck_assert_uint_eq(served_local(&served, "GET", path, NULL, NULL, &control), 200);
    ck_assert_str_eq(text_at(control, "value"), value);
    json_decref(control);
}

/* Until the store has been given what the journal has. */
static void await_stored(const char *like, int64_t expected)
{
    g_autofree char *store = served.store != NULL ? g_strdup(served.store) : in_dir("state/store.db");
    struct db_value pattern = DB_TEXT(like);
    for (int64_t until_us = loop_now_us() + PATIENCE_US;; poll(NULL, 0, 5)) {
        sb_auto(db) db = db_open_reading(store, NULL, NULL);
        sb_auto(db_rows) rows =
            db == NULL ? NULL : db_query(db, "select count(*) from audit where body like $1", &pattern, 1, NULL);
        int64_t found = rows != NULL && db_next(rows, NULL) ? db_int(rows, 0) : -1;
        if (found == expected)
            return;
        ck_assert_msg(loop_now_us() < until_us, "the store has %lld records like %s, expected %lld", (long long)found,
                      like, (long long)expected);
    }
}

static void remove_journal(void)
{
    static const char *const names[] = {"state/journal.db", "state/journal.db-wal", "state/journal.db-shm"};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = in_dir(names[i]);
        g_unlink(path);
    }
}

/* Four agents, a lever moved, a plan that waits: what the backup holds. Its generation; *id: of the execution. */
static json_int_t before_the_backup(struct crew *crew, char *tokens[CREW_EDGES], char **id)
{
    json_t *execution = NULL;
    served_apply_site(&served);
    for (unsigned i = 0; i < CREW_EDGES; i++)
        tokens[i] = served_token(&served, crew_names[i], "agent");
    crew_begin(crew, served.dir, (const char *const[]){served.agents, NULL}, tokens);
    json_int_t generation = change(crew, "pop/pop-a1", "out");
    ck_assert_uint_eq(
        served_local(&served, "POST", "/v1/plans/failback/run", NULL, "{\"target\":\"room-a\"}", &execution), 202);
    *id = g_strdup(text_at(execution, "id"));
    json_decref(execution);
    return generation;
}

/* What the backup does not hold: levers moved, the plan's end, new reigns. The last generation. */
static json_int_t behind_the_backup(struct crew *crew, const char *id)
{
    g_autofree char *abort = g_strdup_printf("/v1/executions/%s/abort", id);
    ck_assert_uint_eq(served_local(&served, "POST", abort, NULL, "{\"reason\":\"enough\"}", NULL), 202);
    change(crew, "pop/pop-a1", "in");
    change(crew, "service.auto_dr/home", "on");
    for (int i = 0; i < 3; i++) { /* more reigns than a restore and a start begin */
        ck_assert_int_eq(served_end(&served, SIGKILL), SIGKILL);
        served_start(&served, NULL, NULL);
    }
    return change(crew, "pop/pop-a2", "out");
}

static void expect_failed(const char *id)
{
    json_t *execution = NULL;
    g_autofree char *path = g_strdup_printf("/v1/executions/%s", id);
    ck_assert_uint_eq(served_local(&served, "GET", path, NULL, NULL, &execution), 200);
    ck_assert_str_eq(text_at(execution, "state"), "failed");
    ck_assert_msg(strstr(text_at(execution, "error"), "restored from the backup of ") != NULL, "%s",
                  text_at(execution, "error"));
    json_decref(execution);
}

static void expect_restored(struct crew *crew, const char *id, json_int_t last, json_int_t epoch)
{
    served_start(&served, NULL, NULL);
    ck_assert_int_gt(status_number("epoch"), epoch);
    ck_assert_int_gt(status_number("generation"), last);
    expect_lever("pop/pop-a1", "out");
    expect_lever("pop/pop-a2", "default");
    expect_lever("service.auto_dr/home", "default");
    expect_failed(id);
    json_int_t first = status_number("generation");
    ck_assert_int_eq(change(crew, "service.auto_dr/home", "on"), first + 1);
    crew_expect_once(crew, 0);
    await_stored("%restored from the backup of %", 1);
    await_stored("%service.auto_dr/home%\"after\":\"on\"%",
                 2); /* the one that is lost, and the one behind the restore */
    expect_run(SIGNALBOX_RUN("audit", "verify"), 1, "missing", "");
}

/* _i 0: the disk is lost; 1: the journal that is there is replaced. */
START_TEST(agents_obey_again_after_a_restore)
{
    struct crew crew;
    char *tokens[CREW_EDGES], *id = NULL;
    struct stat st;
    g_autofree char *file = in_dir("backup"), *state = in_dir("state");
    log_set_level(LOG_LEVEL_ERROR); /* the agents speak in this process */
    json_int_t then = before_the_backup(&crew, tokens, &id);
    g_autofree char *says = g_strdup_printf(", generation %lld", (long long)then);
    expect_run(SIGNALBOX_RUN("backup", file, "--state", state), 0, says, "");
    ck_assert(stat(file, &st) == 0 && (st.st_mode & 0777) == 0600);
    json_int_t last = behind_the_backup(&crew, id), epoch = status_number("epoch");
    await_stored("%\"after\":\"out\"%", 2);
    expect_run(SIGNALBOX_RUN("restore", file, "--state", state), 1, "", "another signalboxd uses it");
    ck_assert_int_eq(served_end(&served, SIGKILL), SIGKILL);
    if (_i == 0)
        remove_journal();
    expect_run(SIGNALBOX_RUN("restore", file, "--state", state), 0, "1 executions were under way", "");
    expect_restored(&crew, id, last, epoch);
    g_autofree char *names = unit_list(state);
    ck_assert_msg((strstr(names, "  journal-") != NULL) == (_i == 1), "%s", names);
    ck_assert_msg(strstr(names, "restore.db") == NULL, "%s", names);
    crew_end(&crew);
    for (unsigned i = 0; i < CREW_EDGES; i++)
        g_free(tokens[i]);
    g_free(id);
}
END_TEST

/* ---- webhooks ---- */

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"

/* With a webhook that is told of each generation; *flag is g_free'd. */
static void start_with_webhook(const struct receiver *to, char **flag)
{
    g_autofree char *keys = in_dir("keys"), *key = in_dir("keys/ops.whsec"),
                    *object = g_strdup_printf("{\"objects\":[{\"kind\":\"webhook\",\"name\":\"ops\",\"url\":"
                                              "\"http://127.0.0.1:%d/\",\"key\":\"ops\",\"events\":"
                                              "[\"generation\"]}]}",
                                              to->port);
    served_apply_site(&served);
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    ck_assert(file_mkdir(keys, 0700, NULL) && file_write_atomic(key, SECRET, strlen(SECRET), 0600, NULL));
    *flag = g_strconcat("--keys=", keys, NULL);
    served_start(&served, NULL, (const char *const[]){*flag, "--call-allow=127.0.0.0/8", NULL});
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/apply", NULL, object, NULL), 200);
}

static void move_pop(const char *value)
{
    g_autofree char *body = g_strdup_printf("{\"value\":\"%s\"}", value);
    ck_assert_uint_eq(served_local(&served, "PUT", "/v1/controls/pop/pop-a1", "*", body, NULL), 200);
}

/* Until the server keeps that so many were delivered. */
static void await_delivered(size_t expected)
{
    for (int64_t until_us = loop_now_us() + PATIENCE_US;; poll(NULL, 0, 5)) {
        json_t *answer = NULL;
        ck_assert_uint_eq(served_local(&served, "GET", "/v1/webhooks/ops/deliveries", NULL, NULL, &answer), 200);
        size_t found = json_array_size(json_object_get(answer, "deliveries"));
        json_decref(answer);
        if (found == expected)
            return;
        ck_assert_msg(loop_now_us() < until_us, "found %zu deliveries, expected %zu", found, expected);
    }
}

static const char *id_told(struct receiver *receiver, unsigned i)
{
    return received_header(receiver_wait(receiver, i), "webhook-id");
}

static void remove_told(void)
{
    static const char *const names[] = {"state/webhooks.db", "state/webhooks.db-wal", "state/webhooks.db-shm"};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = in_dir(names[i]);
        g_unlink(path);
    }
}

/* _i 0: the disk is lost; 1: what is there, and further on, is replaced. What was under way when the backup was made is
 * told again, what had been told is not, and then what comes next. */
START_TEST(webhooks_go_on_where_they_were)
{
    struct receiver receiver;
    struct stat st;
    g_autofree char *flag = NULL, *file = in_dir("backup"), *state = in_dir("state"),
                    *told = in_dir("state/webhooks.db"), *generation = NULL;
    receiver_start(&receiver);
    start_with_webhook(&receiver, &flag);
    move_pop("out");
    receiver_wait(&receiver, 0);
    await_delivered(1);
    receiver_hold(&receiver, true);
    move_pop("in");
    const char *under_way = id_told(&receiver, 1);
    expect_run(SIGNALBOX_RUN("backup", file, "--state", state), 0, "generation", "");
    receiver_hold(&receiver, false);
    move_pop("out");
    receiver_wait(&receiver, 2);
    await_delivered(3);
    ck_assert_int_eq(served_end(&served, SIGKILL), SIGKILL);
    if (_i == 0) {
        remove_journal();
        remove_told();
    }
    expect_run(SIGNALBOX_RUN("restore", file, "--state", state), 0, "generation", "");
    ck_assert(stat(told, &st) == 0 && (st.st_mode & 0777) == 0600);
    served_start(&served, NULL, (const char *const[]){flag, "--call-allow=127.0.0.0/8", NULL});
    ck_assert_str_eq(id_told(&receiver, 3), under_way);
    const char *next = receiver_wait(&receiver, 4)->body;
    ck_assert_msg(strstr(next, "\"restored\":true") != NULL, "%s", next);
    move_pop("out");
    generation = g_strdup_printf("\"subject\":\"%lld\"", (long long)status_number("generation"));
    for (unsigned i = 5; strstr(receiver_wait(&receiver, i)->body, generation) == NULL; i++)
        ck_assert_uint_lt(i, 9);
    g_autofree char *names = unit_list(state);
    ck_assert_msg(strstr(names, "restore.db") == NULL, "%s", names);
    receiver_end(&receiver);
}
END_TEST

/* What is restored cannot be synced to the disk where places of webhooks are: badluck.c. */
static void restore_in_bad_luck(const char *file, const char *state)
{
    g_autofree char *sync = in_dir("sync");
    ck_assert(g_file_set_contents(sync, "5", -1, NULL)); /* EIO */
    g_setenv("BADLUCK", served.dir, TRUE);
    g_setenv("BADLUCK_FILE", "/webhooks.db", TRUE);
    g_setenv("LD_PRELOAD", BADLUCK_LIBRARY, TRUE);
    g_setenv("ASAN_OPTIONS", "verify_asan_link_order=0", TRUE);
    expect_run(SIGNALBOX_RUN("restore", file, "--state", state), 0, "generation",
               "restored, but not how far webhooks were told: ");
    g_unsetenv("LD_PRELOAD");
}

/* The journal is in its place then: that is said, with what to do, and one of both ways is tried. */
START_TEST(webhooks_that_cannot_be_put_back)
{
    struct receiver receiver;
    g_autofree char *flag = NULL, *file = in_dir("backup"), *state = in_dir("state");
    receiver_start(&receiver);
    start_with_webhook(&receiver, &flag);
    move_pop("out");
    receiver_wait(&receiver, 0);
    await_delivered(1);
    receiver_hold(&receiver, true);
    move_pop("in");
    const char *under_way = id_told(&receiver, 1);
    expect_run(SIGNALBOX_RUN("backup", file, "--state", state), 0, "generation", "");
    receiver_hold(&receiver, false);
    await_delivered(2);
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    restore_in_bad_luck(file, state);
    served_start(&served, NULL, (const char *const[]){flag, "--call-allow=127.0.0.0/8", NULL});
    const char *next = receiver_wait(&receiver, 2)->body; /* it goes on with what comes next */
    ck_assert_msg(strstr(next, "\"restored\":true") != NULL, "%s", next);
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    struct run again = SIGNALBOX_RUN("restore", file, "--state", state);
    ck_assert_str_eq(again.err, "");
    expect_run(again, 0, "generation", "");
    served_start(&served, NULL, (const char *const[]){flag, "--call-allow=127.0.0.0/8", NULL});
    for (unsigned i = 3; strcmp(id_told(&receiver, i), under_way) != 0; i++)
        ck_assert_uint_lt(i, 9);
    receiver_end(&receiver);
}
END_TEST

#define BURST (1 << 24) /* entries that a moment may bring */
#define NOBODY 65534

/* The file stands by itself: its header says that it has no log. */
static void expect_alone(const char *journal)
{
    g_autofree char *bytes = NULL, *log = g_strconcat(journal, "-wal", NULL);
    gsize size = 0;
    ck_assert(g_file_get_contents(journal, &bytes, &size, NULL) && size > 100);
    ck_assert_int_eq(bytes[18], 1);
    ck_assert_int_eq(bytes[19], 1);
    ck_assert(access(log, F_OK) != 0);
}

/* The journal is lost, its log is not: what it holds is not laid over the backup. */
START_TEST(a_log_alone_is_kept_apart)
{
    struct stat st;
    g_autofree char *file = in_dir("backup"), *state = in_dir("state"), *journal = in_dir("state/journal.db"),
                    *log = in_dir("state/journal.db-wal"), *lock = in_dir("state/lock");
    served_apply_site(&served);
    json_int_t then = status_number("generation");
    expect_run(SIGNALBOX_RUN("backup", file, "--state", state), 0, "generation", "");
    expect_alone(file);
    ck_assert_uint_eq(
        served_local(&served, "PUT", "/v1/controls/service.auto_dr/home", "*", "{\"value\":\"on\"}", NULL), 200);
    ck_assert_int_eq(served_end(&served, SIGKILL), SIGKILL);
    ck_assert(g_unlink(journal) == 0 && g_unlink(lock) == 0 && stat(log, &st) == 0 && st.st_size > 0);
    if (geteuid() == 0)
        ck_assert_int_eq(chown(state, NOBODY, NOBODY), 0);
    expect_run(SIGNALBOX_RUN("restore", file, "--state", state), 0, "generation", "");
    expect_alone(journal);
    ck_assert(stat(lock, &st) == 0 && (geteuid() != 0 || st.st_uid == NOBODY));
    g_autofree char *names = unit_list(state);
    ck_assert_msg(strstr(names, "  journal-") != NULL && strstr(names, ".db-wal") != NULL, "%s", names);
    served_start(&served, NULL, NULL);
    expect_lever("service.auto_dr/home", "default");
    ck_assert_int_gt(status_number("generation"), then + BURST);
}
END_TEST

static bool no_rename; /* to the journal's name */

int rename(const char *from, const char *to)
{
    errno = EIO;
    return no_rename && g_str_has_suffix(from, "restore.db") ? -1 : renameat(AT_FDCWD, from, AT_FDCWD, to);
}

/* Of a restore that fails at the last step; the folder is as it was. */
static void fail_to_restore(const char *file, const char *state)
{
    struct backup_note note;
    g_autoptr(GError) error = NULL;
    no_rename = true;
    ck_assert(!backup_restore(state, file, &note, &error));
    no_rename = false;
    ck_assert_msg(strstr(error->message, "cannot rename to") != NULL && note.replaced == NULL, "%s", error->message);
    g_autofree char *names = unit_list(state);
    ck_assert_msg(strstr(names, "  journal-") == NULL && strstr(names, "restore.db") == NULL, "%s", names);
}

START_TEST(a_restore_that_fails_changes_nothing)
{
    g_autofree char *file = in_dir("backup"), *state = in_dir("state"), *log = in_dir("state/journal.db-wal"),
                    *bytes = NULL;
    served_apply_site(&served);
    expect_run(SIGNALBOX_RUN("backup", file, "--state", state), 0, "generation", "");
    ck_assert_uint_eq(
        served_local(&served, "PUT", "/v1/controls/service.auto_dr/home", "*", "{\"value\":\"on\"}", NULL), 200);
    ck_assert_int_eq(served_end(&served, SIGKILL), SIGKILL);
    fail_to_restore(file, state);
    served_start(&served, NULL, NULL);
    expect_lever("service.auto_dr/home", "on");
    ck_assert_int_eq(served_end(&served, SIGKILL), SIGKILL);
    remove_journal();
    ck_assert(g_file_set_contents(log, "a log alone", -1, NULL));
    fail_to_restore(file, state);
    ck_assert(g_file_get_contents(log, &bytes, NULL, NULL));
    ck_assert_str_eq(bytes, "a log alone");
}
END_TEST

/* What is no backup changes nothing. */
START_TEST(what_is_no_backup)
{
    g_autofree char *file = in_dir("backup"), *state = in_dir("state"), *journal = in_dir("state/journal.db"),
                    *none = in_dir("none"), *text = in_dir("text");
    served_apply_site(&served);
    json_int_t generation = status_number("generation");
    expect_run(SIGNALBOX_RUN("backup", file, "--state", state), 0, "generation", "");
    expect_run(SIGNALBOX_RUN("backup", file, "--state", state), 1, "", "expected a name that is free");
    expect_run(SIGNALBOX_RUN("backup", none, "--state", none), 1, "", "none");
    expect_run(SIGNALBOX_RUN("backup"), 2, "", "usage: signalbox backup FILE");
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    ck_assert(
        g_file_set_contents(text, "not a database, but as long as the header of one would be, at the least", -1, NULL));
    expect_run(SIGNALBOX_RUN("restore", text, "--state", state), 1, "", "cannot be restored");
    expect_run(SIGNALBOX_RUN("restore", none, "--state", state), 1, "", "cannot be restored");
    expect_run(SIGNALBOX_RUN("restore", journal, "--state", state), 2, "", "expected what `signalbox backup` made");
    expect_run(SIGNALBOX_RUN("restore"), 2, "", "usage: signalbox restore FILE");
    served_start(&served, NULL, NULL);
    ck_assert_int_eq(status_number("generation"), generation);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_loop_test(tcase, agents_obey_again_after_a_restore, 0, 2);
    tcase_add_loop_test(tcase, webhooks_go_on_where_they_were, 0, 2);
    tcase_add_test(tcase, webhooks_that_cannot_be_put_back);
    tcase_add_test(tcase, a_log_alone_is_kept_apart);
    tcase_add_test(tcase, a_restore_that_fails_changes_nothing);
    tcase_add_test(tcase, what_is_no_backup);
}

int main(void)
{
    return unit_run("backup", add);
}
