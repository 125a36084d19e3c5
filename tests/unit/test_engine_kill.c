/* SIGKILL of a real signalboxd at every call that changes a file or says something to somebody, and at every fail
 * point, while plans run: with four production agents, whose actuators write down what they are given, and real name
 * servers. Whatever was half done, the next process goes on by itself.
 *
 * One round: the server is armed to die at its N-th call (badluck.c), a plan is started, the server dies, a new one
 * goes on. Then the plan has ended as it does without a kill, levers, tables and records are those of a run without
 * one, no key has taken effect as two generations at any edge, no stamp went back, and neither tables nor answers were
 * ever any that a run without a kill does not pass through. Rounds go on until a plan ends before its N-th call.
 *
 * A round waits more than it works, for a plan's proof: so several sites stand side by side, a process each, and share
 * the rounds. */
#include "core/log.h"
#include "core/loop.h"
#include "server/store/db.h"
#include "tests/unit/sitestage.h"
#include "tests/unit/unit.h"

#include <glib/gstdio.h>
#include <libknot/libknot.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define ENDED_US (90 * G_USEC_PER_SEC) /* a limit, not a wait */

static unsigned rig; /* of this process */
static FILE *deaths; /* of all: a line for each round, "what it was about\twhat it died at" */

/* What is tried. Of the writes into databases, a page each, every so many-th; of the calls that are left, every so
 * many-th; of the passes of a fail point, the first so many; by so many sites side by side. The second one is that of
 * SIGNALBOX_TEST_FULL=1, the third one of SIGNALBOX_TEST_FULL=every. */
static const struct scope {
    unsigned thin, between, passes, rigs;
} sampled = {20, 11, 1, 6}, full = {9, 1, G_MAXUINT, 20}, every = {1, 1, G_MAXUINT, 20};
static struct scope scope;

static const char plans[] = "plan: out\n"
                            "target: room\n"
                            "steps:\n"
                            "  - {name: other-room, check: room-open, needs: []}\n"
                            "  - name: move-out\n"
                            "    set: [{control: room.ingress, on: $target, value: closed}]\n"
                            "  - name: to-lines\n"
                            "    set: [{control: group.edge_class, on: home=$target, value: dedicated}]\n"
                            "  - {name: edges, wait: edges, timeout: 60s}\n"
                            "  - {name: dns, wait: dns, timeout: 60s}\n"
                            "  - {name: proof, verify: share, timeout: 60s}\n"
                            "---\n"
                            "plan: back\n"
                            "target: room\n"
                            "steps:\n"
                            "  - name: to-pops\n"
                            "    set: [{control: group.edge_class, on: home=$target, value: default}]\n"
                            "  - name: move-back\n"
                            "    set: [{control: room.ingress, on: $target, value: default}]\n"
                            "  - {name: converged, wait: converged, timeout: 60s}\n"
                            "---\n"
                            "plan: undone\n"
                            "target: room\n"
                            "steps:\n"
                            "  - name: move-out\n"
                            "    set: [{control: room.ingress, on: $target, value: closed}]\n"
                            "  - {name: converged, wait: converged, timeout: 60s}\n"
                            "  - {name: never, check: entrances-healthy, timeout: 1ms, on_failure: rollback}\n";

/* What stands when a plan has ended, and what may stand on the way. */
static struct rest {
    char *levers, *records;
} at_home, moved;
static GHashTable *tables_known, *answers_known;

enum { OUT, BACK, UNDONE };
static const struct course {
    const char *plan, *ends;
    const struct rest *from, *to;
} courses[] = {
    {"out", "succeeded", &at_home, &moved},
    {"back", "succeeded", &moved, &at_home},
    {"undone", "aborted", &at_home, &at_home},
};

static struct site_stage stage;

/* ---- the server ---- */

static void arm(const char *name, const char *text)
{
    g_autofree char *path = in_dir(name);
    ck_assert(g_file_set_contents(path, text, -1, NULL));
}

static void disarm(const char *name)
{
    g_autofree char *path = in_dir(name);
    g_unlink(path);
}

/* point: as SIGNALBOX_FP takes it, or NULL. */
static void start_server(const char *point)
{
    g_autofree char *folder = g_strdup_printf("BADLUCK=%s", served.dir);
    g_autofree char *armed = g_strdup_printf("SIGNALBOX_FP_ARMED=%s/armed", served.dir);
    g_autofree char *fp = g_strdup_printf("SIGNALBOX_FP=%s", point != NULL ? point : "");
    served_start(&served, (const char *const[]){"LD_PRELOAD=" BADLUCK_LIBRARY, folder, armed, fp, NULL},
                 (const char *const[]){stage.keys_flag, "--ballast=1", NULL});
}

/* One call that may find the server dead: NULL. */
static json_t *try_call(const char *method, const char *path, const char *body)
{
    struct httpc_target target = {.base_url = "http://localhost", .unix_socket = served.socket};
    struct httpc_reply reply = {0};
    json_t *answer = NULL;
    if (httpc_call(&target, method, path, NULL, body, 40000, &reply, NULL)) {
        answer = json_loads(reply.body, JSON_DECODE_ANY, NULL);
        ck_assert_msg(reply.status < 300 && answer != NULL, "%s %s: %u %s", method, path, reply.status, reply.body);
    }
    httpc_reply_clear(&reply);
    return answer;
}

static char *press(const struct course *course)
{
    g_autofree char *path = g_strdup_printf("/v1/plans/%s/run", course->plan);
    json_t *run = try_call("POST", path, "{\"target\":\"room-a\"}");
    char *id = run != NULL ? g_strdup(text_at(run, "id")) : NULL;
    json_decref(run);
    return id;
}

/* Newest execution; NULL: the server is dead. g_free. */
static char *newest(void)
{
    json_t *list = try_call("GET", "/v1/executions", NULL);
    if (list == NULL)
        return NULL;
    char *id = g_strdup(text_at(json_array_get(json_object_get(list, "executions"), 0), "id"));
    json_decref(list);
    return id;
}

/* How it ended; NULL: the server is dead. g_free. */
static char *await_end(const char *id)
{
    json_int_t after = 0;
    for (int64_t until_us = loop_now_us() + ENDED_US; loop_now_us() < until_us;) {
        g_autofree char *path = g_strdup_printf("/v1/executions/%s?after=%lld&wait=25", id, (long long)after);
        json_t *run = try_call("GET", path, NULL);
        if (run == NULL)
            return NULL;
        const json_t *events = json_object_get(run, "events");
        after = number_at(json_array_get(events, json_array_size(events) - 1), "seq");
        char *state = strcmp(text_at(run, "state"), "running") == 0 || strcmp(text_at(run, "state"), "aborting") == 0
                          ? NULL
                          : g_strdup(text_at(run, "state"));
        json_decref(run);
        if (state != NULL)
            return state;
    }
    ck_abort_msg("%s does not end", id);
    return NULL;
}

/* ---- what is looked at ---- */

static char *all_records(void)
{
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < SITE_SERVERS; i++) {
        g_autofree char *records = site_records(&stage, i);
        g_string_append(text, records);
    }
    return g_string_free(text, FALSE);
}

static void learn(struct rest *rest)
{
    site_await_rest();
    for (unsigned i = 0; i < SITE_SERVERS; i++)
        g_hash_table_add(answers_known, site_records(&stage, i));
    crew_collect(&stage.crew, 0, tables_known);
    if (rest == NULL)
        return;
    rest->levers = site_levers();
    rest->records = all_records();
}

static void expect_rest(const struct rest *rest, const char *when)
{
    site_await_rest();
    g_autofree char *levers = site_levers(), *records = all_records();
    ck_assert_msg(strcmp(levers, rest->levers) == 0, "%s: found levers\n%sexpected\n%s", when, levers, rest->levers);
    ck_assert_msg(strcmp(records, rest->records) == 0, "%s: found records\n%sexpected\n%s", when, records,
                  rest->records);
}

static void expect_known_answers(const char *when)
{
    for (unsigned i = 0; i < SITE_SERVERS; i++) {
        g_autofree char *records = site_records(&stage, i);
        ck_assert_msg(g_hash_table_contains(answers_known, records),
                      "%s: ns-%u answers what no run passes through:\n%s", when, i + 1, records);
    }
}

/* rows: as POST /v1/controls takes them; one generation. */
static void set_levers(const char *rows)
{
    g_autofree char *body = g_strdup_printf("{\"changes\":[%s]}", rows);
    ck_assert_uint_eq(served_local(&served, "POST", "/v1/controls", NULL, body, NULL), 200);
    learn(NULL);
}

#define INGRESS(value) "{\"control\":\"room.ingress\",\"object\":\"room-a\",\"value\":\"" value "\"}"
#define CLASS(group, value) "{\"control\":\"group.edge_class\",\"object\":\"" group "\",\"value\":\"" value "\"}"

/* All states of the way, by hand, one generation after another; then each plan without a kill. */
static void learn_all(void)
{
    learn(&at_home);
    set_levers(INGRESS("closed"));
    set_levers(CLASS("creator", "dedicated") "," CLASS("creator-line", "dedicated"));
    learn(&moved);
    ck_assert_str_ne(moved.records, at_home.records);
    ck_assert_ptr_null(strstr(moved.records, " \n"));
    set_levers(CLASS("creator", "default") "," CLASS("creator-line", "default"));
    set_levers(INGRESS("default"));
    for (size_t i = 0; i < G_N_ELEMENTS(courses); i++) {
        g_autofree char *id = press(&courses[i]), *state = await_end(id);
        ck_assert_str_eq(state, courses[i].ends);
        expect_rest(courses[i].to, courses[i].plan);
    }
    ck_assert_uint_eq(crew_collect(&stage.crew, 0, tables_known), 0);
}

/* ---- a round ---- */

/* Dead as armed: what did it die at? g_free. */
static char *take_death(const char *when)
{
    g_autofree char *path = in_dir("died");
    char *what = NULL;
    int status = served_wait(&served);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s: ended with %x: %s", when, (unsigned)status,
                  served.log->str);
    if (!g_file_get_contents(path, &what, NULL, NULL))
        what = g_strdup("fail point");
    if (g_str_has_suffix(what, ".gz")) /* a name for each */
        memcpy(what + strcspn(what, " "), " box", sizeof " box");
    g_unlink(path);
    return what;
}

/* The plan goes on in a new process, until it has ended. before: newest execution when it was started. True: it is not
 * the one that was started first. */
static bool go_on(const struct course *course, const char *before, const char *when)
{
    g_autofree char *id = newest();
    bool unheard = strcmp(id, before) == 0;
    if (unheard) { /* nothing of it was durable, and nobody was told that it was */
        g_free(id);
        id = press(course);
    }
    g_autofree char *state = await_end(id);
    ck_assert_msg(g_strcmp0(state, course->ends) == 0, "%s: %s ended %s, expected %s", when, id, state, course->ends);
    return unheard;
}

/* Nothing kills the server from now on. Is it dead, or about to be? */
static bool is_killed(void)
{
    siginfo_t info = {0};
    g_autofree char *died = in_dir("died");
    disarm("kill");
    disarm("armed");
    return g_file_test(died, G_FILE_TEST_EXISTS) ||
           (waitid(P_PID, (id_t)served.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == served.pid);
}

/* Name servers were changed at most once for each claim and each generation. */
struct writes {
    json_int_t epoch, generation;
    unsigned serials[2];
};

static struct writes count_writes(void)
{
    return (struct writes){status_number("epoch"),
                           status_number("generation"),
                           {dnsd_serial(&stage.ns[0]->endpoint), dnsd_serial(&stage.ns[1]->endpoint)}};
}

static void expect_writes(const struct writes *before, const char *when)
{
    struct writes now = count_writes();
    json_int_t reigns = (now.epoch - before->epoch) / 65536, most = 2 * reigns + now.generation - before->generation;
    for (unsigned i = 0; i < G_N_ELEMENTS(now.serials); i++)
        ck_assert_msg(now.serials[i] - before->serials[i] <= most,
                      "%s: ns-%u was changed %u times, expected at most %lld: %lld reigns, %lld generations", when,
                      i + 1, now.serials[i] - before->serials[i], (long long)most, (long long)reigns,
                      (long long)(now.generation - before->generation));
}

/* What every round begins and ends with. */
struct round {
    const struct course *course;
    char *before; /* newest execution */
    char *sweep, *when;
    unsigned first; /* record of the crew */
    struct writes writes;
};

/* about: what it is killed at, with number n. */
static void round_begin(struct round *round, const struct course *course, const char *about, unsigned n)
{
    *round = (struct round){.course = course,
                            .before = newest(),
                            .sweep = g_strdup_printf("%s, %s", course->plan, about),
                            .when = g_strdup_printf("%s, %s %u", course->plan, about, n),
                            .first = stage.crew.applied->len,
                            .writes = count_writes()};
}

/* Starts the plan; false: the server has died of it. */
static bool run_armed(const struct round *round)
{
    g_autofree char *id = press(round->course), *state = id != NULL ? await_end(id) : NULL;
    if (is_killed() || state == NULL)
        return false;
    ck_assert_str_eq(state, round->course->ends);
    return true;
}

/* The next server goes on. */
static void bury(const struct round *round)
{
    g_autofree char *what = take_death(round->when);
    expect_known_answers(round->when);
    start_server(NULL);
    bool unheard = go_on(round->course, round->before, round->when);
    fprintf(deaths, "%s\t%s%s\n", round->sweep, what, unheard ? ", unheard" : "");
    fflush(deaths);
}

/* Returns `died`. */
static bool round_end(struct round *round, bool died)
{
    if (died)
        bury(round);
    expect_rest(round->course->to, round->when);
    expect_writes(&round->writes, round->when);
    crew_expect_once(&stage.crew, round->first);
    ck_assert_msg(crew_collect(&stage.crew, round->first, tables_known) == 0,
                  "%s: an edge was given a table that no run has", round->when);
    g_free(round->before);
    g_free(round->sweep);
    g_free(round->when);
    return died;
}

/* False: the plan ended before its n-th call. */
static bool round_at_call(const struct course *course, unsigned n)
{
    struct round round;
    g_autofree char *number = g_strdup_printf("%u", n);
    round_begin(&round, course, "call", n);
    arm("kill", number);
    return round_end(&round, !run_armed(&round));
}

/* The server dies in the middle of the plan, and the next one at its n-th call, or at the n-th pass of a fail point.
 * False: it went on to the end. */
static bool round_restarted(const struct course *course, const char *point, unsigned n)
{
    struct round round;
    g_autofree char *number = g_strdup_printf("%u", n), *spec = g_strdup_printf("%s:kill@%u", point, n),
                    *about = g_strdup_printf("restart, %s", point != NULL ? point : "call");
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    start_server("after-journal~=succeeded:kill@2");
    site_await_rest();
    round_begin(&round, course, about, n);
    arm("armed", "");
    ck_assert(!run_armed(&round));
    g_free(take_death(round.when));
    arm(point != NULL ? "armed" : "kill", number);
    start_server(point != NULL ? spec : NULL);
    g_autofree char *id = newest(), *state = id != NULL ? await_end(id) : NULL;
    return round_end(&round, is_killed() || state == NULL);
}

/* ---- sweeps ---- */

/* Without a kill, where a round ended away from home. */
static void go_home(void)
{
    g_autofree char *levers = site_levers();
    if (strcmp(levers, "") == 0)
        return;
    g_autofree char *id = press(&courses[BACK]), *state = await_end(id);
    ck_assert_str_eq(state, courses[BACK].ends);
    expect_rest(&at_home, "the way back");
}

START_TEST(killed_at_any_call)
{
    bool died = true;
    for (unsigned n = 1 + rig * scope.between; died; n += scope.rigs * scope.between) {
        died = false;
        for (size_t i = 0; i < G_N_ELEMENTS(courses); i++)
            died = round_at_call(&courses[i], n) || died;
        ck_assert(died || n > 1);
    }
}
END_TEST

START_TEST(killed_at_any_call_of_the_restart)
{
    bool died = true;
    for (unsigned n = 1 + rig * scope.between; died; n += scope.rigs * scope.between) {
        died = round_restarted(&courses[OUT], NULL, n);
        ck_assert(died || n > 1);
        go_home();
    }
}
END_TEST

#ifdef SIGNALBOX_FAILPOINTS

#define FAILPOINT(id, name, text) name,
static const char *const points[] = {
#include "core/failpoint.def"
};
#undef FAILPOINT

/* At the n-th pass of a fail point. False: it was not come to so often. */
static bool round_at_point(const struct course *course, const char *point, unsigned n)
{
    struct round round;
    g_autofree char *spec = g_strdup_printf("%s:kill@%u", point, n);
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    start_server(spec);
    site_await_rest();
    round_begin(&round, course, point, n);
    arm("armed", "");
    return round_end(&round, !run_armed(&round));
}

typedef bool (*point_fn)(const struct course *course, const char *point, unsigned n);

/* Passes of the point, those of this rig, until one does not come. must: the first one has to. */
static void sweep_point(point_fn round, const struct course *course, unsigned point, bool must)
{
    bool died = true;
    for (unsigned n = 1 + (rig + scope.rigs - point % scope.rigs) % scope.rigs; n <= scope.passes && died;
         n += scope.rigs) {
        died = round(course, points[point], n);
        ck_assert_msg(died || !must || n > 1, "%s: never come to", points[point]);
        go_home();
    }
}

START_TEST(killed_at_any_fail_point)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(points); i++) {
        bool at_start = g_str_has_suffix(points[i], "-reign");
        if (!at_start)
            sweep_point(round_at_point, &courses[OUT], i, true);
        if (!at_start && scope.passes > 1)
            sweep_point(round_at_point, &courses[UNDONE], i, false);
        if (at_start || scope.passes > 1)
            sweep_point(round_restarted, &courses[OUT], i, at_start);
    }
}
END_TEST

#endif

static void setup(void)
{
    log_set_level(LOG_LEVEL_ERROR); /* the agents speak in this process */
    tables_known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    answers_known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    served_new(&served);
    g_autofree char *thin = g_strdup_printf("%u", scope.thin);
    arm("thin", thin);
    site_prepare(&stage);
    start_server(NULL);
    site_populate(&stage, plans, (const char *const[]){served.agents, NULL});
    learn_all();
}

static int64_t count_rows(const char *file, const char *sql)
{
    g_autofree char *path = g_strdup_printf("%s/state/%s", served.dir, file);
    struct db *db = db_open_reading(path, NULL, NULL);
    struct db_rows *rows = db_query(db, sql, NULL, 0, NULL);
    ck_assert(db_next(rows, NULL));
    int64_t n = db_int(rows, 0);
    db_rows_free(rows);
    db_close(db);
    return n;
}

/* The history has every event of the journal once, whoever died while it was fed. */
static void expect_history(void)
{
    int64_t journal = count_rows("journal.db", "select count(*) from entries where kind = 'event'"), history = -1;
    for (int64_t until_us = loop_now_us() + ENDED_US; history != journal;) {
        ck_assert_msg(loop_now_us() < until_us, "found %lld events in the history, expected %lld", (long long)history,
                      (long long)journal);
        poll(NULL, 0, 5);
        history = count_rows("store.db", "select count(*) from events");
    }
}

static void teardown(void)
{
    expect_history();
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    site_end(&stage);
    served_clear(&served);
}

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 3000);
    tcase_add_test(tcase, killed_at_any_call);
    tcase_add_test(tcase, killed_at_any_call_of_the_restart);
#ifdef SIGNALBOX_FAILPOINTS
    tcase_add_test(tcase, killed_at_any_fail_point);
#endif
}

/* ---- all rigs ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What it died at, and how often, for each sweep. */
static void tell_deaths(void)
{
    char line[256];
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    rewind(deaths);
    while (fgets(line, sizeof line, deaths) != NULL)
        g_ptr_array_add(lines, g_strchomp(g_strdup(line)));
    g_ptr_array_sort(lines, by_text);
    for (guint i = 0, n; i < lines->len; i += n) {
        for (n = 1; i + n < lines->len && strcmp(lines->pdata[i], lines->pdata[i + n]) == 0;)
            n++;
        printf("%5u  %s\n", n, (char *)lines->pdata[i]);
    }
    printf("%u kills: one of %u writes into databases, one of %u of the calls that are left\n", lines->len, scope.thin,
           scope.between);
}

int main(void)
{
    const char *how = g_getenv("SIGNALBOX_TEST_FULL");
    scope = how == NULL ? sampled : strcmp(how, "every") == 0 ? every : full;
    deaths = tmpfile();
    int ended = site_run_beside("engine_kill", add, scope.rigs, &rig);
    if (rig == scope.rigs)
        tell_deaths();
    return ended;
}
