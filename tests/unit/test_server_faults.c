/* test_server_faults.c: what breaks under signalboxd, what is seen, and that it heals. The whole table:
 *
 *   disk full, folder read-only, writes fail (EIO), fsync fails, database locked     here: rows
 *   torn write                                                                       here: torn_write
 *   clock a year ahead, a year behind                                                here: clock_jumps
 *   stopped for 5 s in the middle of a plan                                          here: stopped
 *   dead resolver: of the name of a control server                                   here: dead_resolver
 *   disk of an agent: full, EIO, fsync fails                                         test_agent_disk.c
 *   hung HAProxy socket                                                              test_edge_faults.c
 *   hung primary name server, UNKNOWN updates                                        test_dns_knot.c
 *
 * One row of `rows` is one fault; each goes the same way, and prints a line of the table with the times seen:
 *
 *   cause   while a server runs, or while it is dead (when the running one could not meet it)
 *   seen    a change is refused within two seconds, with the reason; the old or the new state stands, never half of it;
 *           a server that starts into the fault serves reads and refuses changes
 *   healed  the cause ends, and changes are possible again by themselves, under a newer epoch
 */
#include "core/log.h"
#include "core/loop.h"
#include "server/store/db.h"
#include "tests/unit/edgecrew.h"
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLEAR_ERROR_US (2 * G_USEC_PER_SEC)
#define HEALED_US (15 * G_USEC_PER_SEC) /* a limit, not a wait */
#define YEAR_S (365L * 24 * 3600)
#define STOPPED_MS 5000

/* ---- what every row uses ---- */

static void start_server(void)
{
    g_autofree char *folder = g_strdup_printf("BADLUCK=%s", served.dir);
    served_start(
        &served,
        (const char *const[]){"LD_PRELOAD=" BADLUCK_LIBRARY, folder, "ASAN_OPTIONS=verify_asan_link_order=0", NULL},
        (const char *const[]){"--ballast=1", NULL});
}

static void set_trouble(const char *name, long number)
{
    g_autofree char *path = in_dir(name), *text = g_strdup_printf("%ld", number);
    ck_assert(g_file_set_contents(path, text, -1, NULL));
}

static void end_trouble(const char *name)
{
    g_autofree char *path = in_dir(name);
    g_unlink(path);
}

/* Status of the answer, 0: none came. *text is its body; g_free. It has to come in time. */
static unsigned put(const char *value, char **text)
{
    struct httpc_target target = {.base_url = "http://localhost", .unix_socket = served.socket};
    const char *const headers[] = {"If-Match: *", NULL};
    g_autofree char *body = g_strdup_printf("{\"value\":\"%s\"}", value);
    struct httpc_reply reply = {0};
    int64_t start = loop_now_us();
    bool answered = httpc_call(&target, "PUT", "/v1/controls/pop/pop-a1", headers, body, 20000, &reply, NULL);
    ck_assert_int_le(loop_now_us() - start, CLEAR_ERROR_US);
    unsigned status = answered ? reply.status : 0;
    *text = g_strdup(answered && reply.body != NULL ? reply.body : "");
    httpc_reply_clear(&reply);
    return status;
}

static char *lever(void)
{
    json_t *control = NULL;
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/controls/pop/pop-a1", NULL, NULL, &control), 200);
    char *value = g_strdup(text_at(control, "value"));
    json_decref(control);
    return value;
}

/* The lever and the generation belong together: what was before the change, or what is behind it. */
static void check_whole(json_int_t generation)
{
    g_autofree char *value = lever();
    json_int_t now = status_number("generation");
    bool old = strcmp(value, "in") == 0 && now == generation, new = strcmp(value, "out") == 0 && now == generation + 1;
    ck_assert_msg(old || new, "found %s in generation %lld, expected in in %lld or out in the next", value,
                  (long long)now, (long long)generation);
}

/* What the status warns of, a line each; g_free. */
static char *warnings(void)
{
    json_t *status = NULL, *warning;
    size_t i;
    GString *text = g_string_new(NULL);
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/status", NULL, NULL, &status), 200);
    json_array_foreach (json_object_get(status, "warnings"), i, warning)
        g_string_append_printf(text, "%s\n", json_string_value(warning));
    json_decref(status);
    return g_string_free(text, FALSE);
}

static bool unwritable(void)
{
    g_autofree char *text = warnings();
    return strstr(text, "the journal cannot be written") != NULL;
}

/* ---- causes ---- */

static struct db *holder;

static void state_on_tmpfs(unsigned long flags)
{
    g_autofree char *state = in_dir("state");
    ck_assert_int_eq(mount("none", state, "tmpfs", flags, "size=8m,mode=700"), 0);
}

static void fill_disk(void)
{
    g_autofree char *path = in_dir("state/fill"), *ballast = in_dir("state/ballast");
    char block[4096] = {0};
    g_unlink(ballast); /* the ballast was needed before */
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    while (write(fd, block, sizeof block) > 0)
        continue;
    ck_assert_int_eq(errno, ENOSPC);
    close(fd);
}

static void empty_disk(void)
{
    g_autofree char *path = in_dir("state/fill");
    ck_assert_int_eq(g_unlink(path), 0);
}

static void folder_read_only(void)
{
    state_on_tmpfs(MS_REMOUNT | MS_RDONLY);
}

static void folder_writable(void)
{
    state_on_tmpfs(MS_REMOUNT);
}

static void writes_fail(void)
{
    set_trouble("write", EIO);
}

static void writes_succeed(void)
{
    end_trouble("write");
}

static void syncs_fail(void)
{
    set_trouble("sync", EIO);
}

static void syncs_succeed(void)
{
    end_trouble("sync");
}

static void lock_database(void)
{
    g_autofree char *path = in_dir("state/journal.db");
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_nonnull(holder = db_open(path, NULL));
    ck_assert_msg(db_exec(holder, "begin exclusive", &error), "%s", error != NULL ? error->message : "");
}

static void unlock_database(void)
{
    db_close(holder);
    holder = NULL;
}

static const struct row {
    const char *cause;
    void (*begin)(void);
    const char *seen; /* a part of the reason that is given */
    void (*end)(void);
    bool running; /* it may begin under a running server */
    bool tmpfs;   /* the state folder is on a small disk of its own: needs root */
} rows[] = {
    {"disk full", fill_disk, "full", empty_disk, true, true},
    {"folder read-only", folder_read_only, "Read-only", folder_writable, false, true},
    {"writes fail", writes_fail, "disk I/O error", writes_succeed, true, false},
    {"fsync fails", syncs_fail, "disk I/O error", syncs_succeed, true, false},
    {"database locked", lock_database, "locked", unlock_database, true, false},
};

/* ---- the way of a row ---- */

/* One line of the table: cause -> seen -> healed. */
static void tell_row(const char *cause, const char *seen, int64_t seen_us, int64_t healed_us)
{
    printf("%s -> \"%s\" after %.0f ms -> healed after %.0f ms\n", cause, seen, (double)seen_us / 1000,
           (double)healed_us / 1000);
    fflush(stdout);
}

static bool own_disk(void)
{
    g_autofree char *state = in_dir("state");
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0) {
        fprintf(stderr, "skipped: it mounts a small disk, which needs root\n");
        return false;
    }
    ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0); /* it goes with this process */
    ck_assert_int_eq(g_mkdir(state, 0700), 0);
    state_on_tmpfs(0);
    return true;
}

/* A running server meets the fault: who asks is told, and the process ends. */
static void seen_by_running(const struct row *row)
{
    g_autofree char *text = NULL;
    unsigned status = put("out", &text);
    ck_assert_msg(status == 503 && strstr(text, row->seen) != NULL, "%s: found %u %s, expected 503 with \"%s\"",
                  row->cause, status, text, row->seen);
    int ended = served_wait(&served);
    ck_assert_msg(WIFEXITED(ended) && WEXITSTATUS(ended) == 1, "%s: ended with %x", row->cause, (unsigned)ended);
    ck_assert_ptr_nonnull(strstr(served.log->str, row->seen));
}

/* A server that starts into the fault: reads, a warning, refusals. */
static void seen_by_started(const struct row *row, json_int_t generation)
{
    g_autofree char *text = NULL;
    ck_assert_msg(strstr(served.log->str, ">ready ") != NULL, "%s: %s", row->cause, served.log->str);
    g_autofree char *said = warnings();
    ck_assert_msg(strstr(said, "the journal cannot be written") != NULL && strstr(said, row->seen) != NULL,
                  "%s: found \"%s\", expected a warning with \"%s\"", row->cause, said, row->seen);
    check_whole(generation);
    unsigned status = put("out", &text);
    ck_assert_msg(status == 503 && strstr(text, row->seen) != NULL, "%s: found %u %s, expected 503 with \"%s\"",
                  row->cause, status, text, row->seen);
    check_whole(generation);
}

static void heals(const struct row *row, json_int_t epoch)
{
    char *value;
    int64_t until = loop_now_us() + HEALED_US;
    while (unwritable()) /* each asks the server, so it is no busy loop */
        ck_assert_msg(loop_now_us() < until, "%s: not healed in time", row->cause);
    ck_assert_int_gt(status_number("epoch"), epoch);
    char *text = NULL;
    unsigned status = put("out", &text);
    ck_assert_msg(status == 200, "%s: found %u %s, expected 200", row->cause, status, text);
    g_free(text);
    /* Read is what is published, and a reign that still claims its edges publishes a moment later. */
    while (!g_str_equal(value = lever(), "out")) {
        ck_assert_msg(loop_now_us() < until, "%s: found %s, expected out", row->cause, value);
        g_free(value);
    }
    g_free(value);
}

START_TEST(cause_seen_healed)
{
    const struct row *row = &rows[_i];
    char *text = NULL;
    if (row->tmpfs && !own_disk())
        return;
    start_server();
    served_apply_site(&served);
    ck_assert_uint_eq(put("in", &text), 200);
    g_free(text);
    json_int_t epoch = status_number("epoch"), generation = status_number("generation");
    int64_t begun_us, seen_us = 0, ended_us;
    if (row->running) {
        row->begin();
        begun_us = loop_now_us();
        seen_by_running(row);
        seen_us = loop_now_us() - begun_us;
    } else {
        ck_assert_int_eq(served_end(&served, SIGTERM), 0);
        row->begin();
    }
    begun_us = loop_now_us();
    start_server();
    seen_by_started(row, generation);
    if (!row->running)
        seen_us = loop_now_us() - begun_us;
    row->end();
    ended_us = loop_now_us();
    heals(row, epoch);
    tell_row(row->cause, row->seen, seen_us, loop_now_us() - ended_us);
    ck_assert_int_eq(served_end(&served, SIGTERM), 0);
    g_autofree char *state = in_dir("state");
    if (row->tmpfs)
        ck_assert_int_eq(umount(state), 0);
}
END_TEST

/* ---- power lost within a write ---- */

static int64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : 0;
}

static void keep(const char *from, const char *to)
{
    g_autofree char *data = NULL, *source = in_dir(from), *target = in_dir(to);
    gsize size = 0;
    ck_assert(g_file_get_contents(source, &data, &size, NULL));
    ck_assert(g_file_set_contents(target, data, (gssize)size, NULL));
}

/* The log ends anywhere within the last commit. */
START_TEST(torn_write)
{
    enum { CUTS = 8 };
    g_autofree char *log = in_dir("state/journal.db-wal"), *shared = in_dir("state/journal.db-shm"), *text = NULL,
                    *text2 = NULL;
    unsigned old = 0, new = 0;
    start_server();
    served_apply_site(&served);
    ck_assert_uint_eq(put("in", &text), 200);
    int64_t before = size_of(log);
    json_int_t generation = status_number("generation");
    ck_assert_uint_eq(put("out", &text2), 200);
    ck_assert_int_eq(served_end(&served, SIGKILL), SIGKILL);
    int64_t after = size_of(log);
    ck_assert_int_gt(after, before);
    keep("state/journal.db", "kept.db");
    keep("state/journal.db-wal", "kept.db-wal");
    for (int cut = 0; cut <= CUTS; cut++) {
        keep("kept.db", "state/journal.db");
        keep("kept.db-wal", "state/journal.db-wal");
        g_unlink(shared);
        ck_assert_int_eq(truncate(log, before + (after - before) * cut / CUTS), 0);
        start_server();
        check_whole(generation);
        *(status_number("generation") == generation ? &old : &new) += 1;
        ck_assert_int_eq(served_end(&served, SIGKILL), SIGKILL);
    }
    ck_assert_uint_ge(old, 1); /* cut at the beginning */
    ck_assert_uint_ge(new, 1); /* all of it is there */
}
END_TEST

/* ---- clock ---- */

static int64_t newest_audit_us(void)
{
    json_t *audit = NULL;
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/audit?limit=1", NULL, NULL, &audit), 200);
    int64_t at_us = number_at(json_array_get(json_object_get(audit, "audit"), 0), "at_us");
    json_decref(audit);
    return at_us;
}

static char *state_of_run(const char *id)
{
    g_autofree char *path = g_strdup_printf("/v1/executions/%s", id);
    json_t *run = NULL;
    ck_assert_uint_eq(served_local(&served, "GET", path, NULL, NULL, &run), 200);
    char *state = g_strdup(text_at(run, "state"));
    json_decref(run);
    return state;
}

/* Only what people read of times changes. */
START_TEST(clock_jumps)
{
    static const long jumps[] = {YEAR_S, -YEAR_S};
    char *text = NULL;
    json_t *run = NULL;
    start_server();
    served_apply_site(&served);
    served_local(&served, "POST", "/v1/plans/room-isolated/run", NULL, "{\"target\":\"room-a\"}", &run);
    g_autofree char *before = state_of_run(text_at(run, "id"));
    ck_assert_str_eq(before, "running"); /* there are no edges: it waits for them until its deadline */
    json_int_t epoch = status_number("epoch"), generation = status_number("generation");
    set_trouble("clock", jumps[_i]);
    ck_assert_msg(put("out", &text) == 200, "%s", text);
    g_free(text);
    ck_assert_int_eq(status_number("generation"), generation + 1);
    int64_t off_us = newest_audit_us() - g_get_real_time() - jumps[_i] * G_USEC_PER_SEC;
    ck_assert_int_lt(ABS(off_us), 60 * G_USEC_PER_SEC); /* the jump was seen at all */
    g_autofree char *during = state_of_run(text_at(run, "id"));
    ck_assert_str_eq(during, "running");
    ck_assert_int_eq(served_end(&served, SIGKILL), SIGKILL);
    start_server();
    ck_assert_int_eq(status_number("epoch"), epoch + 65536);
    g_autofree char *restarted = state_of_run(text_at(run, "id"));
    ck_assert_str_eq(restarted, "running");
    end_trouble("clock");
    ck_assert_msg(put("in", &text) == 200, "%s", text);
    g_free(text);
    ck_assert_int_eq(status_number("generation"), generation + 2);
    g_autofree char *after = state_of_run(text_at(run, "id"));
    ck_assert_str_eq(after, "running");
    json_decref(run);
}
END_TEST

/* ---- stopped ---- */

#ifdef SIGNALBOX_FAILPOINTS

static bool step_succeeded(const char *id, const char *name)
{
    g_autofree char *path = g_strdup_printf("/v1/executions/%s", id);
    json_t *run = NULL, *step;
    bool succeeded = false;
    size_t i;
    ck_assert_uint_eq(served_local(&served, "GET", path, NULL, NULL, &run), 200);
    json_array_foreach (json_object_get(run, "steps"), i, step)
        if (strcmp(text_at(step, "name"), name) == 0)
            succeeded = strcmp(text_at(step, "state"), "succeeded") == 0;
    json_decref(run);
    return succeeded;
}

/* With agents that obey, a plan that runs is stopped for 5 s: it goes on, and nothing happens twice. */
START_TEST(stopped)
{
    struct crew crew;
    char *tokens[CREW_EDGES];
    json_t *run = NULL;
    int status;
    g_autofree char *file = in_dir("armed"), *armed = g_strconcat("SIGNALBOX_FP_ARMED=", file, NULL);
    log_set_level(LOG_LEVEL_ERROR); /* the agents speak in this process */
    served_start(&served, (const char *const[]){"SIGNALBOX_FP=after-publish~/to-lines/set:stop", armed, NULL}, NULL);
    served_apply_site(&served);
    for (unsigned i = 0; i < CREW_EDGES; i++)
        tokens[i] = served_token(&served, crew_names[i], "agent");
    crew_begin(&crew, served.dir, (const char *const[]){served.agents, NULL}, tokens);
    json_int_t epoch = status_number("epoch");
    ck_assert(g_file_set_contents(file, "", 0, NULL));
    int fd = served_connect(served.port);
    g_autofree char *person = served_token(&served, "alice", "operator");
    g_autofree char *text =
        g_strdup_printf("POST /v1/plans/room-isolated/run HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
                        "Content-Type: application/json\r\nContent-Length: 19\r\n\r\n{\"target\":\"room-a\"}",
                        person);
    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    ck_assert_int_eq(waitpid(served.pid, &status, WUNTRACED), served.pid);
    ck_assert(WIFSTOPPED(status));
    poll(NULL, 0, STOPPED_MS); /* the fault itself */
    int64_t woken_us = loop_now_us();
    kill(served.pid, SIGCONT);
    ck_assert_uint_eq(served_local(&served, "GET", "/v1/executions", NULL, NULL, &run), 200);
    const json_t *newest = json_array_get(json_object_get(run, "executions"), 0);
    g_autofree char *id = g_strdup(text_at(newest, "id")), *state = state_of_run(id);
    json_decref(run);
    ck_assert_str_eq(state, "running"); /* its name servers do not exist: it waits for them */
    for (int64_t until_us = woken_us + HEALED_US; !step_succeeded(id, "edges"); poll(NULL, 0, 5))
        ck_assert_msg(loop_now_us() < until_us, "step edges does not end");
    tell_row("stopped for 5 s in a plan", "nothing is lost", STOPPED_MS * 1000, loop_now_us() - woken_us);
    ck_assert_int_eq(status_number("epoch"), epoch);
    crew_expect_once(&crew, 0);
    close(fd);
    crew_end(&crew);
    for (unsigned i = 0; i < CREW_EDGES; i++)
        g_free(tokens[i]);
}
END_TEST

#endif

/* ---- a resolver that does not answer ---- */

/* In place: what is mounted from it is to change. */
static void write_hosts(const char *text)
{
    g_autofree char *path = in_dir("hosts");
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

/* A network of its own, where port 53 takes questions and says nothing. False: no root. */
static bool own_network(void)
{
    struct ifreq lo = {.ifr_name = "lo"};
    struct sockaddr_in resolver = {
        .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    g_autofree char *conf = in_dir("resolv.conf"), *hosts = in_dir("hosts");
    if (geteuid() != 0 || unshare(CLONE_NEWNS | CLONE_NEWNET) != 0) {
        fprintf(stderr, "skipped: it makes a network, which needs root\n");
        return false;
    }
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(ioctl(fd, SIOCGIFFLAGS, &lo), 0);
    lo.ifr_flags = (short)(lo.ifr_flags | IFF_UP);
    ck_assert_int_eq(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&resolver, sizeof resolver), 0); /* goes with this process */
    ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    ck_assert(g_file_set_contents(conf, "nameserver 127.0.0.1\n", -1, NULL));
    write_hosts("127.0.0.1 localhost\n");
    ck_assert_int_eq(mount(conf, "/etc/resolv.conf", NULL, MS_BIND, NULL), 0);
    ck_assert_int_eq(mount(hosts, "/etc/hosts", NULL, MS_BIND, NULL), 0);
    return true;
}

/* Time until all four have the newest generation. */
static int64_t await_applied(struct crew *crew, const char *what)
{
    int64_t begun_us = loop_now_us();
    uint64_t generation = (uint64_t)status_number("generation");
    for (unsigned n = 0; n < CREW_EDGES; poll(NULL, 0, 5)) {
        ck_assert_msg(loop_now_us() < begun_us + HEALED_US, "%s: %u of 4 agents have generation %u", what, n,
                      (unsigned)generation);
        n = crew_count(crew, generation);
    }
    return loop_now_us() - begun_us;
}

/* Agents whose list begins with a name: with an address beside it they are not held up by the dead resolver; without
 * one what is in force stays, and they go on when the name resolves. */
START_TEST(dead_resolver)
{
    struct crew crew;
    char *tokens[CREW_EDGES], *text = NULL;
    if (!own_network())
        return;
    log_set_level(LOG_LEVEL_ERROR);
    start_server();
    served_apply_site(&served);
    for (unsigned i = 0; i < CREW_EDGES; i++)
        tokens[i] = served_token(&served, crew_names[i], "agent");
    g_autofree char *named = g_strdup_printf("http://control.test:%d", served.agents_port);
    crew_begin(&crew, served.dir, (const char *const[]){named, served.agents, NULL}, tokens);
    int64_t first_us = await_applied(&crew, "first table");
    ck_assert_uint_eq(put("out", &text), 200);
    int64_t next_us = await_applied(&crew, "next table");
    ck_assert_int_le(next_us, CLEAR_ERROR_US);
    crew_end(&crew);
    crew_begin(&crew, served.dir, (const char *const[]){named, NULL}, tokens); /* last-good comes into force */
    g_free(text);
    ck_assert_uint_eq(put("in", &text), 200);
    int64_t until_us = loop_now_us() + CLEAR_ERROR_US;
    while (!crew_says(&crew, "Resolving timed out")) {
        ck_assert_msg(loop_now_us() < until_us, "no agent says that control.test cannot be reached");
        poll(NULL, 0, 5);
    }
    int64_t seen_us = loop_now_us() - until_us + CLEAR_ERROR_US;
    ck_assert_uint_eq(crew_count(&crew, (uint64_t)status_number("generation")), 0);
    write_hosts("127.0.0.1 localhost control.test\n");
    tell_row("dead resolver", "Resolving timed out", seen_us, await_applied(&crew, "the name resolves"));
    printf("dead resolver, with an address beside the name: first table after %.0f ms, next after %.0f ms\n",
           (double)first_us / 1000, (double)next_us / 1000);
    crew_end(&crew);
    g_free(text);
    for (unsigned i = 0; i < CREW_EDGES; i++)
        g_free(tokens[i]);
}
END_TEST

static void setup(void)
{
    served_new(&served);
}

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, served_teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_loop_test(tcase, cause_seen_healed, 0, G_N_ELEMENTS(rows));
    tcase_add_test(tcase, torn_write);
    tcase_add_loop_test(tcase, clock_jumps, 0, 2);
#ifdef SIGNALBOX_FAILPOINTS
    tcase_add_test(tcase, stopped);
#endif
    tcase_add_test(tcase, dead_resolver);
}

int main(void)
{
    return unit_run("server_faults", add);
}
