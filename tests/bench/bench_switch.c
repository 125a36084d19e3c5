/* bench_switch: how long a switch takes from its commit to the proof on every edge.
 *
 * A switch closes or opens the first room's entrances (room.ingress) through the API on the local socket of a real
 * signalboxd, beside real HAProxy processes with their agents (loopback.h). Its time is from `committed_us` of
 * signalboxd's log (the journal's commit has returned) to the last `at_us` of the edges' applied.log (that generation
 * was read back from HAProxy and compared). Each switch waits until the one before is applied and reported, so it is
 * a switch of a site at rest.
 *
 * The yardstick is one file_write_atomic (write, fsync, rename, fsync of the folder) of as many bytes as an agent keeps
 * of its table, in the same folder's file system, one beside each switch: disks and machines differ, the ratio less.
 * Both clocks are the wall's of this machine; a step of it during a round makes the run invalid.
 */
#include "core/error.h"
#include "core/fileio.h"
#include "core/loop.h"
#include "tests/bench/figures.h"
#include "tests/bench/flags.h"
#include "tests/bench/loopback.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define SWITCH_US (10 * G_USEC_PER_SEC) /* one that takes longer is a failure */
#define CLOCK_STEP_US 500               /* wall against monotonic clock, within a round */
#define WARM_UP 20                      /* switches before the first round */
#define LINE_MAX_SIZE 65536
#define LEVER "room.ingress"

/* ---- logs that grow ---- */

/* A log, and the newest generation in it with its time. */
struct tail {
    int fd;
    GString *rest; /* a line that is not whole yet */
    bool (*read)(const char *line, uint64_t *generation, int64_t *at_us);
    uint64_t generation;
    int64_t at_us;
};

static bool read_applied(const char *line, uint64_t *generation, int64_t *at_us)
{
    json_t *json = json_loads(line, 0, NULL);
    *generation = (uint64_t)json_integer_value(json_object_get(json, "generation"));
    *at_us = json_integer_value(json_object_get(json, "at_us"));
    json_decref(json);
    return *at_us != 0;
}

static bool read_published(const char *line, uint64_t *generation, int64_t *at_us)
{
    const char *fields = strstr(line, "published epoch=");
    const char *of = fields != NULL ? strstr(fields, " generation=") : NULL;
    return of != NULL &&
           sscanf(of, " generation=%" G_GUINT64_FORMAT " committed_us=%" G_GINT64_FORMAT, generation, at_us) == 2;
}

static bool tail_open(struct tail *tail, int inotify_fd, const char *path,
                      bool (*read_line)(const char *, uint64_t *, int64_t *), GError **error)
{
    *tail = (struct tail){.fd = open(path, O_RDONLY | O_CLOEXEC), .rest = g_string_new(""), .read = read_line};
    if (tail->fd >= 0 && inotify_add_watch(inotify_fd, path, IN_MODIFY) >= 0)
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot watch %s: %s", path, g_strerror(errno));
    return false;
}

static void tail_close(struct tail *tail)
{
    if (tail->rest == NULL)
        return;
    if (tail->fd >= 0)
        close(tail->fd);
    g_string_free(tail->rest, TRUE);
}

static void tail_read(struct tail *tail)
{
    char bytes[LINE_MAX_SIZE];
    ssize_t got;
    while ((got = read(tail->fd, bytes, sizeof bytes)) > 0)
        g_string_append_len(tail->rest, bytes, got);
    char *end;
    while ((end = strchr(tail->rest->str, '\n')) != NULL) {
        uint64_t generation;
        int64_t at_us;
        *end = '\0';
        if (tail->read(tail->rest->str, &generation, &at_us)) {
            tail->generation = generation;
            tail->at_us = at_us;
        }
        g_string_erase(tail->rest, 0, end + 1 - tail->rest->str);
    }
}

/* ---- one switch ---- */

static struct flags flags = {.rounds = 5};
static struct {
    unsigned switches; /* of each round */
    gboolean keep;
} own = {.switches = 200};
static const GOptionEntry entries[] = {
    {"switches", 0, 0, G_OPTION_ARG_INT, &own.switches, "of each round; 200 when absent", "N"},
    {"keep", 0, 0, G_OPTION_ARG_NONE, &own.keep,
     "leave the folder, with the logs of all processes, and say where it is", NULL},
    G_OPTION_ENTRY_NULL};

struct bench {
    struct loopback site;
    const char *room;
    int inotify_fd;
    struct tail server;
    struct tail *edges;
    guint n_edges;
    bool closed;
    void *yard_bytes; /* what the yardstick writes */
    size_t yard_size;
    char *yard_path;
};

static bool seen_by_all(struct bench *b, uint64_t generation)
{
    tail_read(&b->server);
    bool all = b->server.generation == generation;
    for (guint i = 0; i < b->n_edges; i++) {
        tail_read(&b->edges[i]);
        all = all && b->edges[i].generation == generation;
    }
    return all;
}

static bool wait_for_logs(struct bench *b, uint64_t generation, GError **error)
{
    int64_t until_us = loop_now_us() + SWITCH_US;
    while (!seen_by_all(b, generation)) {
        struct pollfd wait = {.fd = b->inotify_fd, .events = POLLIN};
        char events[4096];
        int64_t left_us = until_us - loop_now_us();
        if (flags_cancelled || left_us <= 0) {
            g_set_error(error, SB_ERROR, SB_ERROR_TIMEOUT,
                        flags_cancelled ? "cancelled" : "generation %" G_GUINT64_FORMAT " is not on every edge in time",
                        generation);
            return false;
        }
        if (poll(&wait, 1, (int)(left_us / 1000) + 1) == 1 && read(b->inotify_fd, events, sizeof events) < 0 &&
            errno != EAGAIN)
            break;
    }
    return true;
}

/* Reports have come: agents and server have nothing to do any more but to wait. */
static bool at_rest(void *data)
{
    struct bench *b = data;
    json_t *answer = loopback_call(&b->site, "GET", "/v1/agents", NULL, NULL), *agent;
    bool rest = answer != NULL;
    size_t i;
    json_array_foreach (json_object_get(answer, "agents"), i, agent)
        rest = rest && (uint64_t)json_integer_value(json_object_get(agent, "generation")) == b->server.generation;
    json_decref(answer);
    return rest;
}

static bool move_lever(struct bench *b, uint64_t *generation, GError **error)
{
    g_autofree char *path = g_strdup_printf("/v1/controls/" LEVER "/%s", b->room);
    json_t *body = json_pack("{s:s, s:s, s:[s]}", "value", b->closed ? "default" : "closed", "reason", "bench",
                             "overrides", "share-moved");
    json_t *answer = loopback_call(&b->site, "PUT", path, body, error);
    *generation = (uint64_t)json_integer_value(json_object_get(answer, "generation"));
    b->closed = !b->closed;
    json_decref(body);
    json_decref(answer);
    return answer != NULL;
}

/* One sample, µs. */
static bool switch_once(struct bench *b, double *took_us, GError **error)
{
    uint64_t generation;
    if (!move_lever(b, &generation, error) || !wait_for_logs(b, generation, error))
        return false;
    int64_t last_us = 0;
    for (guint i = 0; i < b->n_edges; i++)
        last_us = MAX(last_us, b->edges[i].at_us);
    *took_us = (double)(last_us - b->server.at_us);
    return loopback_wait(&b->site, "agents have reported", at_rest, b, error);
}

static bool yardstick_once(const struct bench *b, double *took_us, GError **error)
{
    int64_t start_us = loop_now_us();
    if (!file_write_atomic(b->yard_path, b->yard_bytes, b->yard_size, 0640, error))
        return false;
    *took_us = (double)(loop_now_us() - start_us);
    return true;
}

/* ---- rounds ---- */

struct round {
    struct figures change, yard;
};

static bool run_round(struct bench *b, unsigned n, struct round *round, GError **error)
{
    g_autofree double *change = g_new(double, n), *yard = g_new(double, n);
    int64_t offset_us = wall_now_us() - loop_now_us();
    for (unsigned i = 0; i < n; i++)
        if (!yardstick_once(b, &yard[i], error) || !switch_once(b, &change[i], error))
            return false;
    int64_t step_us = wall_now_us() - loop_now_us() - offset_us;
    if (ABS(step_us) > CLOCK_STEP_US) {
        g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT,
                    "the wall clock went %" G_GINT64_FORMAT " µs against the monotonic one during a round, at most %d "
                    "are allowed: run it again",
                    step_us, CLOCK_STEP_US);
        return false;
    }
    *round = (struct round){figures_of(change, n), figures_of(yard, n)};
    return true;
}

/* ---- set-up ---- */

static bool watch_logs(struct bench *b, GError **error)
{
    g_autofree char *server = g_build_filename(b->site.folder, "signalboxd.log", NULL);
    const GPtrArray *edges = inventory_list(b->site.site, OBJECT_edge);
    b->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    b->n_edges = edges->len;
    b->edges = g_new0(struct tail, b->n_edges);
    if (!tail_open(&b->server, b->inotify_fd, server, read_published, error))
        return false;
    for (guint i = 0; i < b->n_edges; i++) {
        const struct object *edge = edges->pdata[i];
        g_autofree char *path = g_build_filename(b->site.folder, edge->name, "applied.log", NULL);
        if (!tail_open(&b->edges[i], b->inotify_fd, path, read_applied, error))
            return false;
    }
    return true;
}

static bool yardstick_set(struct bench *b, GError **error)
{
    const struct object *edge = inventory_list(b->site.site, OBJECT_edge)->pdata[0];
    g_autofree char *table = g_build_filename(b->site.folder, edge->name, "table", NULL);
    g_autofree char *folder = g_build_filename(b->site.folder, "yardstick", NULL);
    b->yard_path = g_build_filename(folder, "table", NULL);
    b->yard_bytes = file_read(table, 64 << 20, &b->yard_size, error);
    return b->yard_bytes != NULL && file_mkdir(folder, 0755, error);
}

static bool warm_up(struct bench *b, GError **error)
{
    double ignored;
    for (unsigned i = 0; i < WARM_UP; i++)
        if (!yardstick_once(b, &ignored, error) || !switch_once(b, &ignored, error))
            return false;
    return true;
}

static bool bench_init(struct bench *b, GError **error)
{
    if (!loopback_up(&b->site, flags.site, flags.folder, error))
        return false;
    b->room = ((const struct object *)inventory_list(b->site.site, OBJECT_room)->pdata[0])->name;
    return watch_logs(b, error) && yardstick_set(b, error) && warm_up(b, error);
}

static void bench_clear(struct bench *b)
{
    for (guint i = 0; i < b->n_edges; i++)
        tail_close(&b->edges[i]);
    tail_close(&b->server);
    if (b->inotify_fd > 0)
        close(b->inotify_fd);
    loopback_down(&b->site);
    g_free(b->edges);
    g_free(b->yard_bytes);
    g_free(b->yard_path);
}

/* ---- report ---- */

struct spread {
    double median, least, most;
};

/* Of one figure over all rounds, taken as member `offset` of struct round, divided by member `by` (or by 1). */
static struct spread spread_of(const struct round *rounds, unsigned n, size_t offset, size_t by)
{
    g_autofree double *values = g_new(double, n);
    for (unsigned i = 0; i < n; i++) {
        const char *round = (const char *)&rounds[i];
        double value, divisor;
        memcpy(&value, round + offset, sizeof value);
        memcpy(&divisor, round + by, sizeof divisor);
        values[i] = by == offset ? value : value / divisor;
    }
    return (struct spread){figures_percentile(values, n, 50), figures_percentile(values, n, 0),
                           figures_percentile(values, n, 100)};
}

static const struct {
    const char *name, *unit;
    size_t offset, by; /* by == offset: itself */
} rows[] = {
#define MEMBER(member) offsetof(struct round, member)
    {"switch_p50", "ms", MEMBER(change.p50), MEMBER(change.p50)},
    {"switch_p95", "ms", MEMBER(change.p95), MEMBER(change.p95)},
    {"write_p50", "ms", MEMBER(yard.p50), MEMBER(yard.p50)},
    {"write_p95", "ms", MEMBER(yard.p95), MEMBER(yard.p95)},
    {"ratio_p50", "", MEMBER(change.p50), MEMBER(yard.p50)},
    {"ratio_p95", "", MEMBER(change.p95), MEMBER(yard.p95)},
#undef MEMBER
};

static void report_json(const struct bench *b, const struct round *rounds, unsigned n, unsigned switches)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:o, s:o}", "switch", figures_json(&rounds[i].change), "write",
                                              figures_json(&rounds[i].yard)));
    json_t *all = json_pack("{s:i, s:i, s:i, s:o}", "switches", (int)(n * switches), "edges", (int)b->n_edges,
                            "write_size", (int)b->yard_size, "rounds", list);
    for (size_t r = 0; r < G_N_ELEMENTS(rows); r++) {
        struct spread s = spread_of(rounds, n, rows[r].offset, rows[r].by);
        g_autofree char *name = g_strdup_printf("%s%s%s", rows[r].name, rows[r].unit[0] ? "_" : "", rows[r].unit);
        json_object_set_new(all, name, json_pack("{s:f, s:f, s:f}", "median", s.median, "min", s.least, "max", s.most));
    }
    json_dumpf(all, stdout, JSON_COMPACT | JSON_REAL_PRECISION(5));
    printf("\n");
    json_decref(all);
}

static void report_text(const struct bench *b, const struct round *rounds, unsigned n, unsigned switches)
{
    printf("%u switches of %s %s; from the journal's commit to the read-back on the last of %u edges\n", n * switches,
           LEVER, b->room, b->n_edges);
    for (unsigned i = 0; i < n; i++) {
        printf("round %u", i + 1);
        figures_print("switch", &rounds[i].change);
        figures_print("| write", &rounds[i].yard);
        printf("\n");
    }
    printf("write: write, fsync, rename, fsync of the folder, %zu bytes; median of %u rounds (least to most):\n",
           b->yard_size, n);
    for (size_t r = 0; r < G_N_ELEMENTS(rows); r++) {
        struct spread s = spread_of(rounds, n, rows[r].offset, rows[r].by);
        printf("  %-10s %7.2f %-2s (%.2f to %.2f)\n", rows[r].name, s.median, rows[r].unit, s.least, s.most);
    }
}

static bool measure(struct bench *b, GError **error)
{
    g_autofree struct round *rounds = g_new0(struct round, flags.rounds);
    if (!bench_init(b, error))
        return false;
    for (unsigned i = 0; i < flags.rounds; i++) {
        if (!run_round(b, own.switches, &rounds[i], error))
            return false;
        if (isatty(STDERR_FILENO))
            fprintf(stderr, "round %u of %u\n", i + 1, flags.rounds);
    }
    (flags.json ? report_json : report_text)(b, rounds, flags.rounds, own.switches);
    return true;
}

int main(int argc, char **argv)
{
    static const char summary[] =
        "Time of a switch of a room, from the journal's commit to the last read-back on real edges, beside the time\n"
        "of one durable write on the same file system. All on loopback, in a temporary folder.";
    g_autoptr(GError) error = NULL;
    flags_parse(&flags, argc, argv, summary, entries);
    struct bench bench = {0};
    bool ok = measure(&bench, &error);
    bench.site.keep = own.keep;
    if (own.keep && bench.site.folder != NULL)
        fprintf(stderr, "bench_switch: logs and states are in %s\n", bench.site.folder);
    bench_clear(&bench);
    return flags_end(ok, error);
}
