/* lab: the site of a file, in network namespaces. `lab --help` lists the verbs; lab.h says where everything is. */
#include "core/error.h"
#include "core/fileio.h"
#include "tests/lab/lab_control.h"
#include "tests/lab/lab_fault.h"
#include "tests/lab/lab_origin.h"
#include "tests/lab/lab_proc.h"
#include "tests/lab/lab_ready.h"
#include "tests/lab/lab_status.h"
#include "tests/lab/lab_up.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_S 30

static const char usage[] =
    "usage: lab [--run DIR] [--bin DIR] [--prefix sb-...] [--site FILE] [--store sqlite|postgres] [--owner PID]\n"
    "           VERB [...]\n"
    "  up [--no-control | --network]   builds the lab; ends an earlier one of the same DIR first.\n"
    "                     --no-control: no control server, no agents; --network: only network, routing and DNS\n"
    "                     --owner: while this process runs, only its children take the lab down or build it anew\n"
    "                     --store: where the server's history goes; postgres: a real one, at the control site\n"
    "  down               ends every process, deletes every namespace, removes DIR\n"
    "  wait [SECONDS]     until everything is ready (default 30)\n"
    "  status [--json]\n"
    "  cut SEL            carrier lost at both ends\n"
    "  hole SEL [ab|ba]   silent loss, in one direction or in both\n"
    "  flap SEL HZ [hole|cut]  broken and whole again HZ times a second, half of the time each (default: hole)\n"
    "  loss SEL PERCENT   so much lost in each direction\n"
    "  slow SEL MS        so much later in each direction\n"
    "  rst SEL            POPs refuse connections (pop:NAME, room:NAME)\n"
    "  heal SEL           undoes cut, hole, flap, loss, slow and rst; heal all: what origin has set, too\n"
    "  set SEL KEY=N...   the cables themselves: delay_us, jitter_us, loss_ppm, rate_kbit\n"
    "  origin WHAT [ROOM] [status=N] [delay_ms=N]   how WHAT is answered, in ROOM or everywhere; counts its requests.\n"
    "                     WHAT: service:NAME, host:HOST[/PREFIX], entrance:NAME or all (these two: health checks too)\n"
    "  kill|pause|resume|stop|start NODE PROCESS\n"
    "  exec NODE COMMAND...\n"
    "  env                shell lines for programs that use the lab\n"
    "SEL: LINK, all, srlg:NAME, node:NAME, pop:NAME, room:NAME, lines:ROOM, edge-control:NAME\n"
    "DIR and prefix are also taken from SIGNALBOX_LAB_RUN and SIGNALBOX_LAB_PREFIX: two labs need two of each.\n"
    "Faults print {\"at_us\": wall time at which they took effect, ...}.\n";

static bool print_json(json_t *answer)
{
    if (answer == NULL)
        return false;
    json_dumpf(answer, stdout, JSON_REAL_PRECISION(6));
    printf("\n");
    json_decref(answer);
    return true;
}

static bool usage_error(GError **error, const char *verb)
{
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "wrong arguments for %s; see lab --help", verb);
    return false;
}

/* ---- verbs; argv[0] is the verb ---- */

static bool verb_down(struct lab *lab, int argc, char **argv, GError **error)
{
    return argc == 1 ? lab_down(lab, error) : usage_error(error, argv[0]);
}

static bool verb_wait(struct lab *lab, int argc, char **argv, GError **error)
{
    return ready_wait(lab, ready_all, argc > 1 ? g_ascii_strtod(argv[1], NULL) : WAIT_S, error);
}

static bool verb_status(struct lab *lab, int argc, char **argv, GError **error)
{
    if (argc > 2 || (argc == 2 && strcmp(argv[1], "--json") != 0))
        return usage_error(error, argv[0]);
    json_t *status = status_json(lab);
    if (argc == 2)
        return print_json(status);
    status_print(status);
    json_decref(status);
    return true;
}

static bool verb_wire(struct lab *lab, int argc, char **argv, GError **error)
{
    if (argc != 2)
        return usage_error(error, argv[0]);
    if (strcmp(argv[0], "heal") == 0 && strcmp(argv[1], "all") == 0)
        origin_heal(lab);
    return print_json(fault_wire(lab, argv[0], NULL, argv[1], error));
}

static bool number_in(const char *text, double from, double to, double *value)
{
    char *end;
    *value = g_ascii_strtod(text, &end);
    return end != text && *end == '\0' && *value >= from && *value <= to;
}

static bool verb_flap(struct lab *lab, int argc, char **argv, GError **error)
{
    const char *kind = argc == 4 ? argv[3] : "hole";
    double hz;
    if (argc < 3 || argc > 4 || !number_in(argv[2], 1, 100, &hz) ||
        (strcmp(kind, "hole") != 0 && strcmp(kind, "cut") != 0))
        return usage_error(error, argv[0]);
    g_autofree char *argument = g_strdup_printf("%.0f,%s", hz, kind);
    return print_json(fault_wire(lab, "flap", argument, argv[1], error));
}

/* loss SEL PERCENT and slow SEL MS, in the wire's units. */
static bool verb_worse(struct lab *lab, int argc, char **argv, GError **error)
{
    bool loss = strcmp(argv[0], "loss") == 0;
    double value;
    if (argc != 3 || !number_in(argv[2], 0, loss ? 100 : 60000, &value))
        return usage_error(error, argv[0]);
    g_autofree char *argument = g_strdup_printf("%.0f", value * (loss ? 10000 : 1000));
    return print_json(fault_wire(lab, argv[0], argument, argv[1], error));
}

static bool verb_origin(struct lab *lab, int argc, char **argv, GError **error)
{
    if (argc < 2)
        return usage_error(error, argv[0]);
    const char *room = argc > 2 && strchr(argv[2], '=') == NULL ? argv[2] : NULL;
    if (room != NULL && INVENTORY_GET(lab->topo->inventory, room, room) == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "origin: no room %s", room);
        return false;
    }
    const char *const *settings = (const char *const *)argv + (room != NULL ? 3 : 2);
    return print_json(origin_behave(lab, argv[1], room, settings, error));
}

static bool verb_hole(struct lab *lab, int argc, char **argv, GError **error)
{
    const char *way = argc == 3 ? argv[2] : "both";
    if (argc < 2 || argc > 3 || (argc == 3 && strcmp(way, "ab") != 0 && strcmp(way, "ba") != 0))
        return usage_error(error, argv[0]);
    return print_json(fault_wire(lab, "hole", way, argv[1], error));
}

static bool verb_set(struct lab *lab, int argc, char **argv, GError **error)
{
    static const char *const keys[] = {"delay_us", "jitter_us", "loss_ppm", "rate_kbit", NULL};
    if (argc < 3)
        return usage_error(error, argv[0]);
    for (int i = 2; i < argc; i++) {
        g_auto(GStrv) pair = g_strsplit(argv[i], "=", 2);
        if (pair[0] == NULL || pair[1] == NULL || !g_strv_contains(keys, pair[0]) ||
            !g_ascii_string_to_unsigned(pair[1], 10, 0, 100000000, NULL, NULL)) {
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                        "found %s, expected delay_us=, jitter_us=, loss_ppm= or rate_kbit= and 0..100000000", argv[i]);
            return false;
        }
    }
    g_autofree char *pairs = g_strjoinv(",", argv + 2);
    return print_json(fault_wire(lab, "set", pairs, argv[1], error));
}

static bool verb_rst(struct lab *lab, int argc, char **argv, GError **error)
{
    return argc == 2 ? print_json(fault_reset(lab, argv[1], error)) : usage_error(error, argv[0]);
}

static bool verb_signal(struct lab *lab, int argc, char **argv, GError **error)
{
    int number = strcmp(argv[0], "kill") == 0 ? SIGKILL : strcmp(argv[0], "pause") == 0 ? SIGSTOP : SIGCONT;
    int64_t at_us;
    if (argc != 3)
        return usage_error(error, argv[0]);
    return proc_signal(lab, argv[1], argv[2], number, &at_us, error) &&
           print_json(json_pack("{s:I}", "at_us", (json_int_t)at_us));
}

static bool verb_stop(struct lab *lab, int argc, char **argv, GError **error)
{
    return argc == 3 ? proc_stop(lab, argv[1], argv[2], error) : usage_error(error, argv[0]);
}

static bool verb_start(struct lab *lab, int argc, char **argv, GError **error)
{
    return argc == 3 ? proc_start_again(lab, argv[1], argv[2], error) : usage_error(error, argv[0]);
}

static bool verb_exec(struct lab *lab, int argc, char **argv, GError **error)
{
    if (argc < 3)
        return usage_error(error, argv[0]);
    if (topo_node(lab->topo, argv[1]) == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "no node %s (see `lab status`)", argv[1]);
        return false;
    }
    if (!lab_ns_enter(lab, argv[1], error))
        return false;
    execvp(argv[2], argv + 2);
    g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "%s: %s", argv[2], g_strerror(errno));
    lab_ns_leave();
    return false;
}

static bool verb_env(struct lab *lab, int argc, char **argv, GError **error)
{
    if (argc != 1)
        return usage_error(error, argv[0]);
    control_env(lab);
    return true;
}

static const struct verb {
    const char *name;
    bool needs_lab;
    bool (*run)(struct lab *lab, int argc, char **argv, GError **error);
} verbs[] = {
    {"down", false, verb_down},  {"wait", true, verb_wait},    {"status", true, verb_status},
    {"cut", true, verb_wire},    {"heal", true, verb_wire},    {"hole", true, verb_hole},
    {"set", true, verb_set},     {"rst", true, verb_rst},      {"flap", true, verb_flap},
    {"loss", true, verb_worse},  {"slow", true, verb_worse},   {"origin", true, verb_origin},
    {"kill", true, verb_signal}, {"pause", true, verb_signal}, {"resume", true, verb_signal},
    {"stop", true, verb_stop},   {"start", true, verb_start},  {"exec", true, verb_exec},
    {"env", true, verb_env},
};

/* ---- which lab ---- */

/* The build folder that this program is in: .../tests/lab/lab. */
static char *build_folder(void)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *lab = g_path_get_dirname(self != NULL ? self : "build/dev/tests/lab/lab");
    g_autofree char *tests = g_path_get_dirname(lab);
    return g_path_get_dirname(tests);
}

/* Site, build folder and prefix that the running lab was brought up with. */
static bool lab_recall(struct lab *lab, GError **error)
{
    g_autofree char *site = lab_path(lab, "site.yaml");
    g_autofree char *prefix = lab_path(lab, "prefix");
    g_autofree char *build = lab_path(lab, "build");
    if (access(prefix, F_OK) != 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "there is no lab at %s: lab up", lab->run);
        return false;
    }
    g_free(lab->prefix);
    g_free(lab->build);
    lab->prefix = file_read(prefix, 100, NULL, error);
    lab->build = file_read(build, 4096, NULL, error);
    lab->topo = topo_load(site, error);
    return lab->topo != NULL && lab->prefix != NULL && lab->build != NULL;
}

static bool run_up(struct lab *lab, const char *site, int argc, char **argv, GError **error)
{
    enum lab_extent extent = LAB_WHOLE;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-control") == 0)
            extent = LAB_NO_CONTROL;
        else if (strcmp(argv[i], "--network") == 0)
            extent = LAB_NETWORK;
        else
            return usage_error(error, "up");
    }
    return lab_up(lab, site, extent, error);
}

static bool run_verb(struct lab *lab, const char *site, int argc, char **argv, GError **error)
{
    if (strcmp(argv[0], "up") == 0)
        return run_up(lab, site, argc, argv, error);
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
        if (strcmp(verbs[i].name, argv[0]) == 0)
            return (!verbs[i].needs_lab || lab_recall(lab, error)) && verbs[i].run(lab, argc, argv, error);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "unknown verb %s; see lab --help", argv[0]);
    return false;
}

static char *from_env(const char *variable, const char *fallback)
{
    const char *value = getenv(variable);
    return g_strdup(value != NULL ? value : fallback);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"run", required_argument, NULL, 'r'},    {"bin", required_argument, NULL, 'b'},
        {"prefix", required_argument, NULL, 'p'}, {"site", required_argument, NULL, 's'},
        {"store", required_argument, NULL, 'd'},  {"owner", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    struct lab lab = {.run = from_env("SIGNALBOX_LAB_RUN", LAB_RUN_DEFAULT),
                      .build = build_folder(),
                      .prefix = from_env("SIGNALBOX_LAB_PREFIX", LAB_PREFIX_DEFAULT)};
    g_autofree char *site = g_strdup(LAB_SITE_DEFAULT);
    int option;
    while ((option = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
        if (option == 'd' && strcmp(optarg, "sqlite") != 0 && strcmp(optarg, "postgres") != 0)
            option = '?';
        if (option == 'd') {
            lab.postgres = strcmp(optarg, "postgres") == 0;
            continue;
        }
        if (option == 'o') {
            lab.owner = (pid_t)g_ascii_strtoll(optarg, NULL, 10);
            continue;
        }
        char **slot = option == 'r' ? &lab.run : option == 'b' ? &lab.build : option == 'p' ? &lab.prefix : &site;
        if (option == 'h' || option == '?') {
            fputs(usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
        g_free(*slot);
        *slot = g_strdup(optarg);
    }
    if (optind == argc || !g_str_has_prefix(lab.prefix, LAB_PREFIX_DEFAULT)) {
        fputs(usage, stderr);
        return 2;
    }
    g_autoptr(GError) error = NULL;
    bool ok = run_verb(&lab, site, argc - optind, argv + optind, &error);
    if (!ok)
        fprintf(stderr, "lab: %s\n", error != NULL ? error->message : "failed");
    topo_free(lab.topo);
    g_free(lab.run);
    g_free(lab.build);
    g_free(lab.prefix);
    return ok ? 0 : error_exit_code(error);
}
