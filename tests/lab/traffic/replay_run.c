#include "tests/lab/traffic/replay.h"

#include "core/error.h"
#include "core/fileio.h"
#include "core/loop.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define S INT64_C(1000000)
#define GATE_SECONDS 2 /* without any failure, every class */
#define GATE_TIMEOUT_US (60 * S)
#define BEFORE_FAULT_US (4 * S) /* every user is seen once: 100 users at 25 requests a second */
#define BUTTON_AFTER_US (3 * S)
#define HEAL_AFTER_US (9 * S) /* after the button: names have settled and are watched for 3 s */
#define HEALED_US (4 * S)     /* nothing may move back by itself */
#define FAILBACK_US (8 * S)   /* after the failback's end: TTL and more */
#define NO_SERVER_AFTER_US (5 * S)
#define PLAN_TIMEOUT_US (60 * S)

struct run_files {
    char *records, *live, *load_output, *button_output, *failback_output;
};

static void run_files_init(struct run_files *files, const struct replay *replay, uint64_t seed)
{
    g_autofree char *stem = g_strdup_printf("%s/replay/%lu", replay->run, seed);
    files->records = g_strconcat(stem, ".ndjson", NULL);
    files->live = g_strdup_printf("%s/load.json", replay->run);
    files->load_output = g_strconcat(stem, ".load.log", NULL);
    files->button_output = g_strconcat(stem, ".button.log", NULL);
    files->failback_output = g_strconcat(stem, ".failback.log", NULL);
}

static void run_files_clear(struct run_files *files)
{
    g_free(files->records);
    g_free(files->live);
    g_free(files->load_output);
    g_free(files->button_output);
    g_free(files->failback_output);
}

/* ---- load and warm-up ---- */

static pid_t load_start(const struct replay *replay, const struct run_files *files, uint64_t seed, GError **error)
{
    g_autofree char *lab = g_build_filename(replay->build, "tests/lab/lab", NULL);
    g_autofree char *load = g_build_filename(replay->build, "tests/lab/traffic/load", NULL);
    g_autofree char *seed_text = g_strdup_printf("%lu", seed);
    /* Origins keep one log for the life of a lab. */
    g_autofree char *tag = g_strdup_printf("r%lx", (unsigned long)wall_now_us());
    const char *argv[] = {lab,         "exec",    "user-1",       load,     "--resolver",
                          "127.0.0.1", "--log",   files->records, "--live", files->live,
                          "--seed",    seed_text, "--tag",        tag,      NULL};
    unlink(files->live);
    return replay_start(files->load_output, argv, error);
}

/* Whether the second that `live` tells of was clean; its number in *second. */
static bool second_clean(const json_t *live, int64_t *second, char **blame)
{
    size_t index;
    json_t *stream;
    bool clean = true;
    *second = json_integer_value(json_object_get(live, "second"));
    json_array_foreach (json_object_get(live, "streams"), index, stream) {
        int64_t ok = json_integer_value(json_object_get(stream, "ok"));
        int64_t failed = json_integer_value(json_object_get(stream, "failed"));
        if (ok > 0 && failed == 0)
            continue;
        clean = false;
        g_free(*blame);
        *blame = g_strdup_printf("%s %s %s: %ld answered, %ld failed in a second",
                                 json_string_value(json_object_get(stream, "name")),
                                 json_string_value(json_object_get(stream, "edge_class")),
                                 json_string_value(json_object_get(stream, "client")), ok, failed);
    }
    return clean;
}

/* Until every class has been answered without a failure for GATE_SECONDS; when that time began, or MEASURE_NONE. */
static int64_t pass_gate(const struct run_files *files, pid_t load, GError **error)
{
    int64_t deadline_us = wall_now_us() + GATE_TIMEOUT_US, seen = -1, clean = 0;
    g_autofree char *blame = g_strdup("no figures from the load client");
    while (clean < GATE_SECONDS) {
        if (wall_now_us() > deadline_us) {
            g_set_error(error, SB_ERROR, SB_ERROR_TIMEOUT, "the warm-up does not end; last: %s", blame);
            return MEASURE_NONE;
        }
        if (!replay_until(wall_now_us() + 20000, load, error))
            return MEASURE_NONE;
        json_t *live = json_load_file(files->live, 0, NULL);
        int64_t second = seen;
        bool ok = live != NULL && second_clean(live, &second, &blame);
        if (second != seen)
            clean = ok ? clean + 1 : 0;
        seen = second;
        json_decref(live);
    }
    return wall_now_us() - GATE_SECONDS * S;
}

/* ---- the button ---- */

static pid_t plan_start(const struct replay *replay, const char *plan, const char *output, GError **error)
{
    g_autofree char *signalbox = g_build_filename(replay->build, "server/signalbox", NULL);
    const char *argv[] = {signalbox, "plan", "run", plan, "--confirm", REPLAY_ROOM, "--reason", "replay of 2 July 2024",
                          NULL};
    return replay_start(output, argv, error);
}

/* What a plan said last, for people who look at a run that went wrong. */
static void print_output(const char *title, const char *path)
{
    g_autofree char *text = file_read(path, 1 << 20, NULL, NULL);
    if (text != NULL)
        printf("--- %s\n%s---\n", title, text);
}

static bool press_button(const struct replay *replay, const struct run_files *files, struct replay_run *run, pid_t load,
                         GError **error)
{
    struct measure_input *in = &run->in;
    in->button_us = wall_now_us();
    pid_t plan = plan_start(replay, "room-isolated", files->button_output, error);
    if (plan == 0)
        return false;
    printf("  +%.1f s: button pressed\n", (double)(in->button_us - in->fault_us) / 1e6);
    bool ok = replay_until(in->button_us + HEAL_AFTER_US, load, error);
    in->heal_us = ok ? replay_fault(replay, "heal", "room:" REPLAY_ROOM, error) : MEASURE_NONE;
    ok = in->heal_us != MEASURE_NONE;
    run->button_exit = ok ? replay_wait(plan, in->button_us + PLAN_TIMEOUT_US, error) : -1;
    if (run->button_exit < 0)
        replay_end(plan, 1);
    if (run->button_exit != 0)
        print_output("signalbox plan run room-isolated", files->button_output);
    return run->button_exit >= 0;
}

static bool go_back(const struct replay *replay, const struct run_files *files, struct replay_run *run, pid_t load,
                    GError **error)
{
    struct measure_input *in = &run->in;
    const char *wait[] = {"wait", "20", NULL};
    if (!replay_until(in->heal_us + HEALED_US, load, error))
        return false;
    g_autofree char *ready = replay_lab(replay, 30, wait, error);
    if (ready == NULL)
        return false;
    in->failback_us = wall_now_us();
    pid_t plan = plan_start(replay, "failback", files->failback_output, error);
    if (plan == 0)
        return false;
    printf("  +%.1f s: failback\n", (double)(in->failback_us - in->fault_us) / 1e6);
    run->failback_exit = replay_wait(plan, in->failback_us + PLAN_TIMEOUT_US, error);
    if (run->failback_exit < 0)
        replay_end(plan, 1);
    if (run->failback_exit != 0)
        print_output("signalbox plan run failback", files->failback_output);
    return run->failback_exit >= 0 && replay_until(wall_now_us() + FAILBACK_US, load, error);
}

/* ---- the outage ---- */

static bool kill_server(const struct replay *replay, GError **error)
{
    const char *argv[] = {"kill", "control", "signalboxd", NULL};
    g_autofree char *out = replay_lab(replay, 10, argv, error);
    return out != NULL;
}

static bool outage(const struct replay *replay, const struct run_files *files, struct replay_run *run, pid_t load,
                   GError **error)
{
    struct measure_input *in = &run->in;
    g_autoptr(GRand) random = g_rand_new_with_seed((guint32)run->seed);
    int64_t fault_jitter_us = g_rand_int_range(random, 0, 1000000);
    int64_t button_jitter_us = g_rand_int_range(random, -500000, 500000);
    in->gate_us = pass_gate(files, load, error);
    if (in->gate_us == MEASURE_NONE || (!replay->server && !kill_server(replay, error)) ||
        !replay_until(wall_now_us() + BEFORE_FAULT_US + fault_jitter_us, load, error))
        return false;
    in->fault_us = replay_fault(replay, replay->fault, "room:" REPLAY_ROOM, error);
    if (in->fault_us == MEASURE_NONE)
        return false;
    printf("  %s of both entrances of " REPLAY_ROOM "\n", replay->fault);
    if (!replay_until(in->fault_us + BUTTON_AFTER_US + button_jitter_us, load, error))
        return false;
    if (replay->server)
        return press_button(replay, files, run, load, error) && go_back(replay, files, run, load, error);
    if (!replay_until(in->fault_us + BUTTON_AFTER_US + HEAL_AFTER_US, load, error))
        return false;
    in->heal_us = replay_fault(replay, "heal", "room:" REPLAY_ROOM, error);
    return in->heal_us != MEASURE_NONE && replay_until(in->heal_us + NO_SERVER_AFTER_US, load, error);
}

/* ---- records ---- */

static bool read_records(const struct replay *replay, const struct run_files *files, struct replay_run *run,
                         GError **error)
{
    g_autofree char *stalls = g_build_filename(replay->run, "stalls", NULL);
    if (!traffic_log_read(&run->log, files->records, error) ||
        !traffic_stalls_read(run->log.stalls, "wire", stalls, error))
        return false;
    for (guint i = 0; i < replay->rooms->len; i++) {
        g_autofree char *writes = g_build_filename(replay->run, replay->rooms->pdata[i], "origin.writes", NULL);
        if (!traffic_writes_read(run->in.writes, run->log.tag, writes, error))
            return false;
    }
    run->in.streams = (const struct measure_stream *)run->log.streams->data;
    run->in.streams_len = run->log.streams->len;
    return true;
}

static void run_init(struct replay_run *run, const struct replay *replay, uint64_t seed)
{
    *run = (struct replay_run){.seed = seed};
    traffic_log_init(&run->log);
    run->in = (struct measure_input){.requests = run->log.requests,
                                     .stalls = run->log.stalls,
                                     .writes = g_hash_table_new(NULL, NULL),
                                     .dedicated = replay->dedicated,
                                     .room = REPLAY_ROOM,
                                     .button_us = MEASURE_NONE,
                                     .failback_us = MEASURE_NONE,
                                     .settle_us = REPLAY_SETTLE_US};
}

void replay_run_clear(struct replay_run *run)
{
    traffic_log_clear(&run->log);
    g_clear_pointer(&run->in.writes, g_hash_table_unref);
}

bool replay_run(struct replay *replay, uint64_t seed, struct replay_run *out, GError **error)
{
    struct run_files files;
    g_autofree char *folder = g_build_filename(replay->run, "replay", NULL);
    run_init(out, replay, seed);
    run_files_init(&files, replay, seed);
    pid_t load = file_mkdir(folder, 0755, error) ? load_start(replay, &files, seed, error) : 0;
    bool ok = load != 0 && outage(replay, &files, out, load, error);
    if (load != 0 && replay_end(load, 10) != 0 && ok) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "the load client failed; see %s", files.load_output);
        ok = false;
    }
    out->in.end_us = wall_now_us();
    ok = ok && read_records(replay, &files, out, error);
    run_files_clear(&files);
    return ok;
}
