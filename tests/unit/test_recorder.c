/* The black box on disk: what a real signalboxd recorded is replayed to the very effects that it had. */
#include "core/fileio.h"
#include "core/gunzip.h"
#include "core/loop.h"
#include "server/engine/recorder.h"
#include "server/interlocking/incident_case.h"
#include "server/store/ballast.h"
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define RECORDING_MAX (256u << 20)
#define EVER (G_MAXINT64 / 2)

/* ---- reading ---- */

static char *folder(void)
{
    return g_build_filename(served.dir, "state", "recordings", NULL);
}

/* All files, one behind the other; *cut: how many lack their end. */
static GString *read_all(unsigned *files, unsigned *cut)
{
    g_autofree char *dir = folder();
    GString *out = g_string_new(NULL);
    json_t *list = recorder_list(dir), *row;
    size_t i;
    *cut = 0;
    json_array_foreach (list, i, row) {
        g_autoptr(GError) error = NULL;
        g_autofree char *path = g_build_filename(dir, text_at(row, "name"), NULL);
        size_t size;
        bool whole;
        g_autofree char *bytes = file_read(path, RECORDING_MAX, &size, &error);
        ck_assert_msg(bytes != NULL && gunzip(bytes, size, RECORDING_MAX, out, &whole, &error), "%s: %s", path,
                      error != NULL ? error->message : "");
        *cut += !whole;
    }
    *files = (unsigned)json_array_size(list);
    json_decref(list);
    return out;
}

static char *cut_all(const GString *recording, struct incident_note *note)
{
    g_autoptr(GError) error = NULL;
    char *incident = incident_cut(recording->str, 0, EVER, note, &error);
    if (incident == NULL)
        ck_abort_msg("%s", error->message);
    return incident;
}

static void expect_same(const GString *recording, struct incident_note *note)
{
    g_autofree char *incident = cut_all(recording, note);
    ck_assert_msg(note->differs == NULL, "%s", note->differs);
    g_autofree char *again = incident_run(incident, NULL);
    unit_same_text(again, incident);
}

/* ---- a day ---- */

static char *tokens[4];

static void begin_day(void)
{
    served_apply_site(&served);
    for (int i = 0; i < 4; i++) {
        g_autofree char *edge = g_strdup_printf("edge-%d", i + 1);
        tokens[i] = served_token(&served, edge, "agent");
    }
}

static void reports(void)
{
    for (int i = 0; i < 4; i++) {
        g_autofree char *edge = g_strdup_printf("edge-%d", i + 1);
        report_as(tokens[i], edge);
    }
}

static void day(void)
{
    begin_day();
    reports();
    ck_assert_uint_eq(
        served_local(&served, "PUT", "/v1/controls/service.auto_dr/home", "*", "{\"value\":\"on\"}", NULL), 200);
    ck_assert_uint_eq(served_local(&served, "PUT", "/v1/controls/room.ingress/room-x", "*", "{\"value\":\"on\"}", NULL),
                      404);
    ck_assert_uint_eq(
        served_local(&served, "POST", "/v1/plans/room-isolated/run", NULL, "{\"target\":\"room-a\"}", NULL), 202);
    reports();
    ck_assert_uint_eq(served_local(&served, "PUT", "/v1/controls/room.ingress/room-b", "*",
                                   "{\"value\":\"closed\",\"reason\":\"a refusal\"}", NULL),
                      409);
    ck_assert_uint_eq(
        served_local(&served, "PUT", "/v1/inventory/zone/zone-3", "\"0\"", "{\"reason\":\"grows\"}", NULL), 200);
}

static void free_tokens(void)
{
    for (int i = 0; i < 4; i++)
        g_free(tokens[i]);
}

START_TEST(replay_does_what_the_server_did)
{
    struct incident_note note;
    unsigned files, cut;
    day();
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    GString *recording = read_all(&files, &cut);
    ck_assert_uint_eq(files, 1);
    ck_assert_uint_eq(cut, 0);
    expect_same(recording, &note);
    ck_assert_uint_ge(note.inputs, 12);
    ck_assert_uint_ge(note.effects, 6);
    ck_assert_uint_eq(note.gaps, 0);
    incident_note_clear(&note);
    for (int i = 0; i < 4; i++) { /* neither the secret nor what the journal keeps of it */
        ck_assert_ptr_null(strstr(recording->str, tokens[i]));
        ck_assert_ptr_null(strstr(recording->str, tokens[i] + strlen("sb_")));
    }
    ck_assert_ptr_null(strstr(recording->str, "\"hash\":"));
    ck_assert_ptr_nonnull(strstr(recording->str, "\"what\":\"token created\""));
    char *publish = strstr(recording->str, "> publish ");
    publish[strlen("> publish 65536.2 ")] ^= 1; /* a server that did something else */
    g_free(cut_all(recording, &note));
    ck_assert_msg(note.differs != NULL && strstr(note.differs, "publish") != NULL, "%s", note.differs);
    incident_note_clear(&note);
    g_string_free(recording, TRUE);
    free_tokens();
    served_start(&served, NULL, NULL);
}
END_TEST

static bool holds(const char *text)
{
    unsigned files, cut;
    g_autoptr(GString) recording = read_all(&files, &cut);
    return strstr(recording->str, text) != NULL;
}

/* The tail is lost and nothing else; the next server goes on in a file of its own, and the gap is counted. */
START_TEST(killed_and_begun_again)
{
    struct incident_note note;
    unsigned files, cut;
    day();
    int64_t until_us = loop_now_us() + 30 * G_USEC_PER_SEC;
    while (!holds("\"reason\":\"grows\"")) /* written within the second */
        ck_assert_int_lt(loop_now_us(), until_us);
    ck_assert(WIFSIGNALED(served_end(&served, SIGKILL)));
    served_start(&served, NULL, NULL);
    reports();
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    GString *recording = read_all(&files, &cut);
    ck_assert_uint_eq(files, 2);
    ck_assert_uint_eq(cut, 1);
    expect_same(recording, &note);
    ck_assert_uint_eq(note.gaps, 1);
    incident_note_clear(&note);
    g_string_free(recording, TRUE);
    free_tokens();
    served_start(&served, NULL, NULL);
}
END_TEST

/* A report that does not get smaller by much. */
static void large_report(void)
{
    guint32 noise[4096];
    for (size_t i = 0; i < G_N_ELEMENTS(noise); i++)
        noise[i] = g_random_int();
    g_autofree char *text = g_base64_encode((const guchar *)noise, sizeof noise);
    g_autofree char *body =
        g_strdup_printf("{\"edge\":\"edge-1\",\"cluster\":\"two-rooms\",\"promised\":65536,\"applied\":"
                        "{\"epoch\":65536,\"generation\":2},\"state\":\"applied\",\"error\":null,"
                        "\"window_us\":1000000,\"counters\":[],\"origins\":[],\"probes\":[],"
                        "\"events\":[{\"at_us\":1,\"text\":\"%s\"}]}",
                        text);
    ck_assert_uint_eq(
        served_call(&served, served.agents, tokens[0], "POST", "/agent/v1/edges/edge-1/report", NULL, body, NULL, NULL),
        200);
}

/* Name and size of the newest file; g_free. */
static char *newest(const char *dir)
{
    json_t *list = recorder_list(dir);
    const json_t *row = json_array_get(list, json_array_size(list) - 1);
    char *text = g_strdup_printf("%s %lld", text_at(row, "name"), (long long)number_at(row, "size"));
    json_decref(list);
    return text;
}

/* A large report, and it is written: what comes faster than the disk takes it would rightly be dropped. */
static void large_report_written(const char *dir, int64_t until_us)
{
    g_autofree char *before = newest(dir);
    large_report();
    for (bool same = true; same;) {
        g_autofree char *now = newest(dir);
        same = strcmp(now, before) == 0;
        ck_assert_int_lt(loop_now_us(), until_us);
    }
}

/* Small files: a ring, of which each continues the one before, and a snapshot is as good as what was before it. */
START_TEST(files_go_round)
{
    static const char *const flags[] = {"--record=1", NULL};
    struct incident_note note;
    unsigned files, cut;
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    served_start(&served, NULL, flags);
    begin_day();
    g_autofree char *dir = folder();
    int64_t until_us = loop_now_us() + 120 * G_USEC_PER_SEC;
    char *first = NULL;
    for (bool gone = false; !gone;) {
        ck_assert_int_lt(loop_now_us(), until_us);
        reports();
        large_report_written(dir, until_us);
        json_t *list = recorder_list(dir);
        const char *oldest = text_at(json_array_get(list, 0), "name");
        gone = first != NULL && strcmp(first, oldest) != 0;
        if (first == NULL && oldest[0] != '\0')
            first = g_strdup(oldest);
        json_decref(list);
    }
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    json_t *list = recorder_list(dir), *row;
    size_t i;
    json_int_t size = 0;
    json_array_foreach (list, i, row)
        size += number_at(row, "size");
    ck_assert_uint_ge(json_array_size(list), 3);
    ck_assert_msg(size <= 5 << 18, "%lld bytes", (long long)size); /* 1 MiB and a file that is under way */
    json_decref(list);
    GString *recording = read_all(&files, &cut);
    expect_same(recording, &note);
    ck_assert_uint_eq(note.gaps, 0);
    incident_note_clear(&note);
    g_string_free(recording, TRUE);
    g_free(first);
    free_tokens();
    served_start(&served, NULL, NULL);
}
END_TEST

static bool warned(const char *text)
{
    json_t *status = NULL;
    bool found = false;
    size_t i;
    json_t *row;
    served_local(&served, "GET", "/v1/status", NULL, NULL, &status);
    json_array_foreach (json_object_get(status, "warnings"), i, row)
        found |= strstr(json_string_value(row), text) != NULL;
    json_decref(status);
    return found;
}

/* A black box that cannot write says so, is in nobody's way, and goes on by itself. */
START_TEST(no_place_to_write)
{
    unsigned files, cut;
    g_autofree char *dir = folder();
    int64_t until_us = loop_now_us() + 60 * G_USEC_PER_SEC;
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    unit_remove_all(dir);
    ck_assert(g_file_set_contents(dir, "in the way", -1, NULL));
    served_start(&served, NULL, NULL);
    while (!warned("the black box does not record: "))
        ck_assert_int_lt(loop_now_us(), until_us);
    begin_day();
    ck_assert_int_eq(g_unlink(dir), 0);
    while (warned("the black box does not record: "))
        ck_assert_int_lt(loop_now_us(), until_us);
    reports();
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    GString *recording = read_all(&files, &cut);
    ck_assert_uint_eq(files, 1);
    ck_assert_ptr_nonnull(strstr(recording->str, "{\"in\":\"edge\""));
    g_string_free(recording, TRUE);
    free_tokens();
    served_start(&served, NULL, NULL);
}
END_TEST

START_TEST(over_the_api)
{
    json_t *answer = NULL;
    day();
    g_autofree char *viewer = served_token(&served, "vera", "viewer"),
                    *operator= served_token(&served, "otto", "operator");
    ck_assert_uint_eq(served_call(&served, served.operators, viewer, "GET", "/v1/recordings", NULL, NULL, NULL, NULL),
                      403);
    ck_assert_uint_eq(
        served_call(&served, served.operators, operator, "GET", "/v1/recordings", NULL, NULL, &answer, NULL), 200);
    const json_t *row = json_array_get(json_object_get(answer, "recordings"), 0);
    g_autofree char *path = g_strdup_printf("/v1/recordings/%s", text_at(row, "name"));
    struct httpc_target target = {.base_url = served.operators, .token = operator};
    struct httpc_reply reply = {0};
    int64_t until_us = loop_now_us() + 30 * G_USEC_PER_SEC;
    do { /* until something of it is on disk */
        ck_assert_int_lt(loop_now_us(), until_us);
        httpc_reply_clear(&reply);
        ck_assert(httpc_call(&target, "GET", path, NULL, NULL, 10000, &reply, NULL));
        ck_assert_uint_eq(reply.status, 200);
    } while (reply.size < 100);
    ck_assert_int_eq(memcmp(reply.body, "\x1f\x8b", 2), 0);
    httpc_reply_clear(&reply);
    json_decref(answer);
    static const char *const none[] = {"/v1/recordings/journal.db", "/v1/recordings/..%2Fjournal.db",
                                       "/v1/recordings/000000-1.gz"};
    for (size_t i = 0; i < G_N_ELEMENTS(none); i++)
        ck_assert_uint_eq(served_local(&served, "GET", none[i], NULL, NULL, NULL), 404);
    free_tokens();
}
END_TEST

/* ---- a slow disk ---- */

static int ask(const char *token, const char *path)
{
    int fd = served_connect(served.port);
    g_autofree char *text = g_strdup_printf(
        "GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", path, token);
    ck_assert_int_eq(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
    return fd;
}

static bool answered(int fd, int limit_ms)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, limit_ms) == 1;
}

static void expect_ok(int fd)
{
    char answer[32] = "";
    ck_assert(answered(fd, 20000));
    ck_assert_int_gt(read(fd, answer, sizeof answer - 1), 0);
    ck_assert_msg(g_str_has_prefix(answer, "HTTP/1.1 200 "), "%s", answer);
    close(fd);
}

/* A file of the black box that does not come, and a history behind it: who runs a plan over the same listener does not
 * wait for them. */
START_TEST(a_slow_read_holds_nobody_up)
{
    enum { PLANS = 10 };
    int64_t took_us[PLANS];
    g_autofree char *dir = folder(), *path = g_build_filename(dir, "999999-1.gz", NULL);
    served_apply_site(&served);
    apply_pop_plans();
    g_autofree char *operator= served_token(&served, "otto", "operator");
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    int recording = ask(operator, "/v1/recordings/999999-1.gz"), end, history;
    int64_t until_us = loop_now_us() + 20 * G_USEC_PER_SEC;
    while ((end = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0) /* until the server reads there */
        ck_assert_int_lt(loop_now_us(), until_us);
    history = ask(operator, "/v1/history?generation=2");
    for (int i = 0; i < PLANS; i++)
        run_pop_plan(operator, i, &took_us[i]);
    ck_assert(!answered(recording, 0) && !answered(history, 0));
    int64_t median_us = median(took_us, PLANS);
    printf("slow disk: a plan starts in %.1f ms (median of %d, slowest %.1f ms)\n", (double)median_us / 1e3, PLANS,
           (double)took_us[PLANS - 1] / 1e3);
    ck_assert_int_le(median_us, 200000);
    close(end);
    expect_ok(recording);
    expect_ok(history);
    ck_assert_int_eq(g_unlink(path), 0);
}
END_TEST

/* Of this thread's work, whatever else the machine does. */
static int64_t thread_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

/* What the engine's thread pays for each report, of the size that a lab's edge sends. */
START_TEST(in_nobodys_way)
{
    enum { REPORTS = 2000 };
    g_autofree char *dir = g_build_filename(served.dir, "alone", NULL);
    const struct recorder_config config = {
        .folder = dir, .size_max = 64 << 20, .age_max_us = 3600 * (int64_t)G_USEC_PER_SEC};
    const struct engine_config engine_config = {.cluster = (char *)(uintptr_t) "two-rooms"};
    struct recorder *recorder = recorder_new(&config);
    struct engine *engine = engine_new(&engine_config);
    struct effects effects;
    json_t *report = json_pack("{s:s, s:I, s:s, s:{s:s, s:[]}}", "in", "edge", "at", (json_int_t)1, "edge", "edge-1",
                               "report", "state", "applied", "counters");
    for (int i = 0; i < 40; i++)
        json_array_append_new(json_object_get(json_object_get(report, "report"), "counters"),
                              json_pack("{s:s, s:s, s:s, s:i, s:i, s:f, s:f}", "policy", "creator.creator", "room",
                                        "room-a", "via", "pop-a1", "requests", 1234 + i, "failed", 0, "rate", 12.5 + i,
                                        "fail_rate", 0.0));
    effects_init(&effects);
    engine_start_reading(engine, 1, &effects);
    effects_clear(&effects);
    recorder_turn(recorder, engine);
    ck_assert(recorder_flush(recorder, 10 * G_USEC_PER_SEC));
    int64_t start_us = thread_us();
    for (int i = 0; i < REPORTS; i++)
        recorder_told(recorder, report);
    double us = (double)(thread_us() - start_us) / REPORTS;
    recorder_free(recorder);
    unsigned lines = 0;
    json_t *list = recorder_list(dir);
    ck_assert_uint_eq(json_array_size(list), 1);
    g_autofree char *path = g_build_filename(dir, text_at(json_array_get(list, 0), "name"), NULL);
    size_t size;
    bool whole;
    g_autofree char *bytes = file_read(path, RECORDING_MAX, &size, NULL);
    g_autoptr(GString) text = g_string_new(NULL);
    ck_assert(gunzip(bytes, size, RECORDING_MAX, text, &whole, NULL) && whole);
    for (const char *at = text->str; (at = strstr(at, "{\"in\":\"edge\"")) != NULL; at++)
        lines++;
    ck_assert_uint_eq(lines, REPORTS);
    printf("recorder: %.1f us for each report of %zu bytes; %.1f bytes on disk\n", us, text->len / REPORTS,
           (double)size / REPORTS);
    ck_assert_msg(us < 5000, "%.1f us", us); /* with sanitizers, too */
    json_decref(list);
    json_decref(report);
    engine_free(engine);
}
END_TEST

/* ---- a full disk ---- */

/* The linker gives these to the recorder (--wrap). */
extern typeof(disk_look) __wrap_disk_look, __real_disk_look;
extern typeof(engine_snapshot_new) __wrap_engine_snapshot_new, __real_engine_snapshot_new;

static const char *fills; /* a file: as long as it is there the disk is full; NULL: the real disk */
static atomic_uint looks;
static unsigned snapshots;

bool __wrap_disk_look(const char *folder, struct disk *disk, GError **error)
{
    bool ok = __real_disk_look(folder, disk, error);
    if (fills != NULL)
        disk->free = g_file_test(fills, G_FILE_TEST_EXISTS) ? 0 : 1 << 30;
    atomic_fetch_add(&looks, 1);
    return ok;
}

struct engine_snapshot *__wrap_engine_snapshot_new(const struct engine *engine)
{
    snapshots++;
    return __real_engine_snapshot_new(engine);
}

/* Turns of the engine, until the disk was looked at `n` times more. */
static void turns(struct recorder *recorder, const struct engine *engine, unsigned n)
{
    int64_t until_us = loop_now_us() + 30 * G_USEC_PER_SEC;
    for (unsigned from = atomic_load(&looks); atomic_load(&looks) - from < n;) {
        recorder_turn(recorder, engine);
        g_usleep(1000);
        ck_assert_int_lt(loop_now_us(), until_us);
    }
}

/* What is too old goes before the disk is found too full; while it is, the engine is not asked for snapshots. */
START_TEST(a_full_disk)
{
    g_autofree char *dir = g_build_filename(served.dir, "alone", NULL),
                    *old = g_build_filename(dir, "000001-1.gz", NULL),
                    *other = g_build_filename(served.dir, "other", NULL), *huge = g_malloc0(2 << 20);
    const struct recorder_config config = {
        .folder = dir, .size_max = 1 << 20, .age_max_us = 3600 * (int64_t)G_USEC_PER_SEC};
    const struct engine_config engine_config = {.cluster = (char *)(uintptr_t) "two-rooms"};
    struct engine *engine = engine_new(&engine_config);
    struct effects effects;
    effects_init(&effects);
    engine_start_reading(engine, 1, &effects);
    effects_clear(&effects);
    ck_assert_int_eq(g_mkdir(dir, 0700), 0);
    ck_assert(g_file_set_contents(old, huge, 2 << 20, NULL));
    for (int i = 2; i < 4; i++) { /* the newest two stay, whatever their size */
        g_autofree char *name = g_strdup_printf("%s/00000%d-1.gz", dir, i);
        ck_assert(g_file_set_contents(name, "", 0, NULL));
    }
    fills = old;
    struct recorder *recorder = recorder_new(&config);
    turns(recorder, engine, 1);
    ck_assert(recorder_flush(recorder, 10 * G_USEC_PER_SEC));
    ck_assert_ptr_null(recorder_trouble(recorder));
    ck_assert(!g_file_test(old, G_FILE_TEST_EXISTS));
    recorder_free(recorder);

    ck_assert(g_file_set_contents(other, "", 0, NULL));
    fills = other;
    snapshots = 0;
    recorder = recorder_new(&config);
    turns(recorder, engine, 3);
    ck_assert_uint_le(snapshots, 1);
    g_autofree char *trouble = recorder_trouble(recorder);
    ck_assert_msg(trouble != NULL && strstr(trouble, "too full: found 0.0 MiB free") != NULL, "%s", trouble);
    ck_assert_int_eq(g_unlink(other), 0);
    turns(recorder, engine, 2); /* the recorder's own look, and that of the new file */
    ck_assert(recorder_flush(recorder, 10 * G_USEC_PER_SEC));
    ck_assert_ptr_null(recorder_trouble(recorder));
    recorder_free(recorder);
    engine_free(engine);
    fills = NULL;
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_test(tcase, replay_does_what_the_server_did);
    tcase_add_test(tcase, killed_and_begun_again);
    tcase_add_test(tcase, files_go_round);
    tcase_add_test(tcase, no_place_to_write);
    tcase_add_test(tcase, over_the_api);
    tcase_add_test(tcase, a_slow_read_holds_nobody_up);
    tcase_add_test(tcase, in_nobodys_way);
    tcase_add_test(tcase, a_full_disk);
}

int main(void)
{
    return unit_run("recorder", add);
}
