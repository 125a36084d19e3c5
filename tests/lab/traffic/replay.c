/* replay: the outage of 2 July 2024, with users that measure.
 *
 *   replay [--fault hole|cut] [--runs N] [--no-server] [--gateways] [--json] [--seed N] [--reuse]
 *
 * Each run has a lab of its own, unless --reuse takes the running one; --gateways: that of sites/gateways.yaml, where
 * single-room services are held to what core ones are, and none but their home may answer. Exit code 0: users stayed
 * within the limits; 1: they did not, or a run could not be made; 77: this machine cannot run a lab. */
#include "core/error.h"
#include "tests/lab/lab.h"
#include "tests/lab/traffic/replay.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_SKIP 77
#define LAB_UP_TIMEOUT_S 120

struct flags {
    unsigned runs;
    bool json;
};

static bool parse_flags(struct replay *replay, struct flags *flags, int argc, char **argv)
{
    static const struct option options[] = {
        {"fault", required_argument, NULL, 'f'}, {"runs", required_argument, NULL, 'n'},
        {"no-server", no_argument, NULL, 'x'},   {"gateways", no_argument, NULL, 'g'},
        {"json", no_argument, NULL, 'j'},        {"seed", required_argument, NULL, 's'},
        {"reuse", no_argument, NULL, 'u'},       {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'f')
            replay->fault = optarg;
        else if (option == 'n')
            flags->runs = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 's')
            replay->seed = strtoull(optarg, NULL, 10);
        else if (option == 'x')
            replay->server = false;
        else if (option == 'g')
            replay->gateways = true;
        else if (option == 'j')
            flags->json = true;
        else if (option == 'u')
            replay->reuse = true;
        else
            return false;
    }
    return optind == argc && flags->runs >= 1 && flags->runs <= 100 &&
           (strcmp(replay->fault, "hole") == 0 || strcmp(replay->fault, "cut") == 0);
}

/* The build folder that this program is in: .../tests/lab/traffic/replay. */
static char *build_folder(void)
{
    char *path = g_file_read_link("/proc/self/exe", NULL);
    for (int i = 0; i < 4 && path != NULL; i++) {
        char *parent = g_path_get_dirname(path);
        g_free(path);
        path = parent;
    }
    return path;
}

/* What is asked of the site: addresses of dedicated edges, names of rooms. */
static bool learn_site(struct replay *replay, GError **error)
{
    g_autofree char *path = g_build_filename(replay->run, "site.yaml", NULL);
    struct topo *topo = topo_load(path, error);
    if (topo == NULL)
        return false;
    g_hash_table_remove_all(replay->dedicated);
    g_ptr_array_set_size(replay->rooms, 0);
    INVENTORY_FOREACH (topo->inventory, edge, edge) {
        char text[ADDR_TEXT_SIZE];
        if (edge->class == EDGE_DEDICATED)
            g_hash_table_add(replay->dedicated, g_strdup(addr_format(&edge->address, text)));
    }
    INVENTORY_FOREACH (topo->inventory, room, room)
        g_ptr_array_add(replay->rooms, g_strdup(room->o.name));
    topo_free(topo);
    return true;
}

static bool lab_ready(struct replay *replay, GError **error)
{
    const char *up[] = {"--site", replay->gateways ? LAB_SITE_GATEWAYS : LAB_SITE_DEFAULT, "up", NULL};
    const char *wait[] = {"wait", NULL};
    g_autofree char *out = replay_lab(replay, LAB_UP_TIMEOUT_S, replay->reuse ? wait : up, error);
    return out != NULL && learn_site(replay, error);
}

/* Leaves nothing behind, or in a lab that was there before, its control server. */
static void lab_leave(const struct replay *replay)
{
    const char *down[] = {"down", NULL}, *start[] = {"start", "control", "signalboxd", NULL};
    g_autoptr(GError) error = NULL;
    if (replay->reuse && replay->server)
        return;
    g_autofree char *out = replay_lab(replay, 60, replay->reuse ? start : down, &error);
    if (out == NULL)
        fprintf(stderr, "replay: %s\n", error->message);
}

static bool run_all(struct replay *replay, const struct flags *flags, GPtrArray *runs, GError **error)
{
    for (unsigned i = 0; i < flags->runs; i++) {
        printf("run %u of %u: %s\n", i + 1, flags->runs, replay->reuse ? "running lab" : "lab up");
        bool ok = lab_ready(replay, error);
        if (ok) {
            struct replay_run *run = g_new0(struct replay_run, 1);
            g_ptr_array_add(runs, run);
            ok = replay_run(replay, replay->seed + i, run, error);
        }
        lab_leave(replay);
        if (!ok)
            return false;
    }
    return true;
}

static void run_free(gpointer run)
{
    replay_run_clear(run);
    g_free(run);
}

static void replay_init(struct replay *replay)
{
    const char *run = getenv("SIGNALBOX_LAB_RUN");
    *replay = (struct replay){.build = build_folder(),
                              .run = g_strdup(run != NULL ? run : LAB_RUN_DEFAULT),
                              .fault = "hole",
                              .server = true,
                              .seed = 1,
                              .dedicated = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                              .rooms = g_ptr_array_new_with_free_func(g_free)};
    g_autofree char *socket = g_build_filename(replay->run, "control/signalboxd.sock", NULL);
    g_setenv("SIGNALBOX_SOCKET", socket, FALSE);
    g_unsetenv("SIGNALBOX_SERVER");
}

static void replay_clear(struct replay *replay)
{
    g_free(replay->build);
    g_free(replay->run);
    g_hash_table_unref(replay->dedicated);
    g_ptr_array_unref(replay->rooms);
}

int main(int argc, char **argv)
{
    struct replay replay;
    struct flags flags = {.runs = 1};
    json_t *json = NULL;
    g_autoptr(GError) error = NULL;
    replay_init(&replay);
    if (!parse_flags(&replay, &flags, argc, argv)) {
        fprintf(stderr, "usage: replay [--fault hole|cut] [--runs N] [--no-server] [--gateways] [--json] [--seed N] "
                        "[--reuse]\n");
        return 2;
    }
    if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) != 0) {
        fprintf(stderr, "replay: skipped: a lab needs root and /dev/net/tun\n");
        return EXIT_SKIP;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    replay_catch_signals();
    g_autoptr(GPtrArray) runs = g_ptr_array_new_with_free_func(run_free);
    bool ok = run_all(&replay, &flags, runs, &error);
    if (!ok)
        fprintf(stderr, "replay: %s\n", error->message);
    else
        ok = replay_report(&replay, runs, flags.json ? &json : NULL);
    if (json != NULL) {
        json_dumpf(json, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
        printf("\n");
    }
    json_decref(json);
    replay_clear(&replay);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
