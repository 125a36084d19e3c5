#include "tests/unit/agent_stage.h"

#include "agent/shell.h"
#include "core/fileio.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the agent ---- */

struct recorder {
    struct shell *shell;
    char *path;
};

static void record_apply(void *data, const struct manifest *manifest, GBytes *const parts[static PARTS])
{
    struct recorder *recorder = data;
    char hash[PART_HASH_SIZE];
    edge_parts_hash(parts, hash);
    g_autofree char *line = g_strdup_printf("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %s\n", manifest->stamp.epoch,
                                            manifest->stamp.generation, hash);
    int fd = open(recorder->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, line, strlen(line)) == (ssize_t)strlen(line);
    if (fd >= 0)
        close(fd);
    if (ok)
        shell_applied(recorder->shell);
    else
        shell_apply_failed(recorder->shell, "cannot record");
}

static void record_sample(void *data)
{
    shell_sampled(((struct recorder *)data)->shell);
}

static void record_report(void *data, json_t *report)
{
    (void)data;
    json_object_set_new(report, "counters", json_array());
}

int agent_stage_main(const char *folder, const char *url)
{
    struct recorder recorder = {.path = g_build_filename(folder, "force", NULL)};
    const struct actuator actuator = {&recorder, record_apply, record_sample, record_report};
    const char *const servers[] = {url, NULL};
    const struct shell_config config = {
        .cluster = "two-rooms", .link = {.edge = "edge-1", .servers = servers}, .state_dir = folder};
    g_autoptr(GError) error = NULL;
    struct loop *loop = loop_new(&error);
    recorder.shell = loop != NULL ? shell_new(loop, &config, &actuator, &error) : NULL;
    if (recorder.shell == NULL) {
        fprintf(stderr, "%s\n", error->message);
        return EXIT_FAILURE;
    }
    shell_start(recorder.shell);
    loop_run(loop); /* it is killed */
    return EXIT_FAILURE;
}

/* ---- the stage ---- */

/* Every other generation has one of two tables. */
static const struct edge_table_text texts[2] = {
    {.rooms = NULL}, {.rooms = "multi/room-a room-b\nmulti/room-b room-b\nsingle/room-a -\nsingle/room-b room-b\n"}};

void stage_say(struct stage *s, struct stamp stamp, enum lie lie)
{
    if (s->n_said == 0 || stamp_compare(s->said[s->n_said - 1], stamp) != 0) {
        ck_assert_uint_lt(s->n_said, G_N_ELEMENTS(s->said));
        s->said[s->n_said++] = stamp;
    }
    server_says(&s->server, stamp.epoch, stamp.generation, "two-rooms", &texts[stamp.generation % 2], lie);
}

void stage_say_again(struct stage *s, struct stamp stamp)
{
    server_says(&s->server, stamp.epoch, stamp.generation, "two-rooms", &texts[stamp.generation % 2], NONE);
}

void stage_begin(struct stage *s, char *dir)
{
    *s = (struct stage){.dir = dir != NULL ? dir : g_dir_make_tmp("sb-agent-XXXXXX", NULL)};
    server_start(&s->server, STAGE_EPOCH, 1, &texts[1]);
    s->url = g_strdup_printf("http://127.0.0.1:%u", s->server.port);
    stage_say(s, (struct stamp){STAGE_EPOCH, 1}, NONE);
}

void stage_end(struct stage *s)
{
    stage_kill(s);
    server_stop(&s->server);
    unit_remove_all(s->dir);
    g_free(s->dir);
    g_free(s->url);
}

static pid_t spawn(const char *const *argv)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nothing behind */
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null < 0 || dup2(null, STDERR_FILENO) < 0)
        _exit(126);
    execvp(argv[0], (char **)(uintptr_t)argv);
    _exit(127);
}

void stage_spawn(struct stage *s, const char *inject)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *how = g_strdup_printf("inject=%s", inject);
    const char *const argv[] = {"strace", "-D", "-qq",   "-o",   "/dev/null", "-e",
                                how,      self, "agent", s->dir, s->url,      NULL}; /* -D: the child is the agent */
    s->agent = spawn(inject != NULL ? argv : argv + 7);
}

void stage_kill(struct stage *s)
{
    if (s->agent == 0)
        return;
    kill(s->agent, SIGKILL);
    waitpid(s->agent, NULL, 0);
    s->agent = 0;
}

static int tracer_of(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)pid);
    g_autofree char *text = file_read(path, 65536, NULL, NULL);
    const char *line = text != NULL ? strstr(text, "TracerPid:") : NULL;
    return line != NULL ? atoi(line + strlen("TracerPid:")) : 0;
}

static void await_tracer(const struct stage *s, bool traced)
{
    for (int64_t until_us = loop_now_us() + 10 * G_USEC_PER_SEC; (tracer_of(s->agent) != 0) != traced;) {
        ck_assert_msg(loop_now_us() < until_us, "strace does not %s the agent", traced ? "attach to" : "leave");
        poll(NULL, 0, 1);
    }
}

void stage_trace(struct stage *s, const char *inject, const char *path)
{
    g_autofree char *how = g_strdup_printf("inject=%s", inject);
    g_autofree char *pid = g_strdup_printf("%d", (int)s->agent);
    const char *const argv[] = {"strace", "-qq", "-o", "/dev/null", "-e", how, "-p", pid, path != NULL ? "-P" : NULL,
                                path,     NULL};
    s->tracer = spawn(argv);
    await_tracer(s, true);
}

void stage_untrace(struct stage *s)
{
    kill(s->tracer, SIGTERM);
    waitpid(s->tracer, NULL, 0);
    s->tracer = 0;
    await_tracer(s, false);
}

static struct stamp stamp_of(const json_t *json)
{
    return (struct stamp){(uint64_t)json_integer_value(json_object_get(json, "epoch")),
                          (uint64_t)json_integer_value(json_object_get(json, "generation"))};
}

/* Of one report. Nothing is said that is not so: what is applied is in force. */
static bool report_says(struct stage *s, const char *line, const char *state, struct stamp applied, const char *error)
{
    json_t *json = json_loads(line, 0, NULL);
    ck_assert_msg(json != NULL, "%s", line);
    struct stamp at = stamp_of(json_object_get(json, "applied"));
    s->promised = MAX(s->promised, (uint64_t)json_integer_value(json_object_get(json, "promised")));
    bool said = strstr(line, error) != NULL;
    if (state != NULL)
        said = said && strcmp(json_string_value(json_object_get(json, "state")), state) == 0 &&
               stamp_compare(at, applied) == 0;
    json_decref(json);
    ck_assert_int_le(stamp_compare(at, stage_force(s)), 0);
    return said;
}

static bool heard(struct stage *s, const char *state, struct stamp applied, const char *error, char **reports)
{
    pthread_mutex_lock(&s->server.lock);
    g_free(*reports);
    *reports = g_strdup(s->server.reports != NULL ? s->server.reports : "");
    pthread_mutex_unlock(&s->server.lock);
    g_auto(GStrv) lines = g_strsplit(*reports, "\n", -1);
    bool said = false;
    for (unsigned i = 0; lines[i] != NULL && lines[i][0] != '\0'; i++)
        said = report_says(s, lines[i], state, applied, error) || said;
    return said;
}

bool stage_await(struct stage *s, const char *state, struct stamp applied, const char *error, int64_t deadline_us)
{
    int64_t until_us = loop_now_us() + deadline_us;
    g_autofree char *reports = NULL;
    while (!heard(s, state, applied, error, &reports)) {
        if (waitpid(s->agent, NULL, WNOHANG) == s->agent) {
            s->agent = 0;
            return false;
        }
        ck_assert_msg(loop_now_us() < until_us, "no report says %s, generation %u, '%s':\n%s",
                      state != NULL ? state : "anything", (unsigned)applied.generation, error, reports);
        poll(NULL, 0, 1);
    }
    return true;
}

/* ---- what is on disk ---- */

static void expected_hash(struct stamp stamp, char hash[static PART_HASH_SIZE])
{
    struct edge_parts table;
    edge_parts_init(&table, stamp.epoch, stamp.generation, &texts[stamp.generation % 2]);
    edge_parts_hash(table.parts, hash);
    edge_parts_clear(&table);
}

struct stamp stage_force(const struct stage *s)
{
    g_autofree char *path = g_build_filename(s->dir, "force", NULL);
    g_autofree char *text = file_read(path, 1u << 20, NULL, NULL);
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);
    struct stamp last = {0};
    for (unsigned i = 0; lines[i] != NULL && lines[i][0] != '\0'; i++) {
        char hash[PART_HASH_SIZE];
        g_auto(GStrv) words = g_strsplit(lines[i], " ", 3);
        ck_assert_uint_eq(g_strv_length(words), 3);
        struct stamp stamp = {g_ascii_strtoull(words[0], NULL, 10), g_ascii_strtoull(words[1], NULL, 10)};
        ck_assert_msg(stamp_compare(stamp, last) >= 0, "an older table came into force:\n%s", text);
        expected_hash(stamp, hash);
        ck_assert_msg(strcmp(words[2], hash) == 0, "a mixture came into force: '%s'", lines[i]);
        last = stamp;
    }
    return last;
}

void stage_expect_disk(const struct stage *s)
{
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    struct keep *keep = keep_new(s->dir, NULL);
    struct kept kept;
    keep_load(keep, "two-rooms", "edge-1", &kept, notes);
    ck_assert_msg(notes->len == 0, "%s", (char *)notes->pdata[0]);
    ck_assert_uint_ge(kept.promised, s->promised);
    ck_assert_int_ge(stamp_compare(kept.manifest.stamp, stage_force(s)), 0);
    kept_clear(&kept);
    keep_free(keep);
}

void stage_await_log(const struct stage *s, int64_t deadline_us)
{
    struct stamp last = {0};
    for (int64_t until_us = loop_now_us() + deadline_us; stamp_compare(last, s->said[s->n_said - 1]) != 0;) {
        ck_assert_msg(loop_now_us() < until_us, "applied.log ends with generation %u", (unsigned)last.generation);
        struct keep *keep = keep_new(s->dir, NULL);
        last = keep_logged(keep);
        keep_free(keep);
        poll(NULL, 0, 1);
    }
}

void stage_expect_log(const struct stage *s)
{
    g_autofree char *path = g_build_filename(s->dir, "applied.log", NULL);
    g_autofree char *text = file_read(path, 1u << 20, NULL, NULL);
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);
    ck_assert_msg(g_strv_length(lines) == s->n_said + 1, "expected %u lines:\n%s", s->n_said, text);
    for (unsigned i = 0; i < s->n_said; i++) {
        json_t *json = json_loads(lines[i], 0, NULL);
        ck_assert_msg(json != NULL && stamp_compare(stamp_of(json), s->said[i]) == 0, "line %u:\n%s", i + 1, text);
        json_decref(json);
    }
}
