/* signalbox: the command line. Flags and dispatch; commands.def lists the commands. */
#include "server/cli/cli.h"

#include "core/error.h"
#include "core/fileio.h"
#include "schema/object.h"

#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_SOCKET "/run/signalbox/signalboxd.sock"

/* One row of the command table. help: its first line is what the list of commands shows. The last has no name. */
struct command {
    const char *name;
    int (*run)(struct cli *cli, int argc, char **argv);
    const char *usage, *help;
};
static const struct command commands[] = {
#define COMMAND(name, usage, help, more) {#name, command_##name, usage, help "\n\n" more},
#include "server/cli/commands.def"
#undef COMMAND
    {NULL, NULL, NULL, NULL},
};

static const struct command *command_find(const char *name)
{
    for (const struct command *c = commands; c->name != NULL; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

int cli_usage(const char *command)
{
    const struct command *c = command_find(command);
    fprintf(stderr, "usage: signalbox %s\n", c != NULL ? c->usage : command);
    return EXIT_USAGE;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

static void help(FILE *out)
{
    fprintf(
        out,
        "usage: signalbox [--server URL] [--socket PATH] [--ca FILE] [--token-file FILE] [--json] COMMAND ...\n\n"
        "  --server URL       the server, like https://192.0.2.1:8440\n"
        "  --ca FILE          whom its certificate must be signed by, PEM (default: the system's)\n"
        "  --token-file FILE  bearer token; the first is made with `signalbox token create` on the server\n"
        "  --socket PATH      without --server: the server of this machine, " DEFAULT_SOCKET "\n"
        "  --json             answers as the server gives them\n"
        "  --version, --help\n"
        "SIGNALBOX_SERVER, SIGNALBOX_CA, SIGNALBOX_TOKEN_FILE, SIGNALBOX_SOCKET stand for flags that are absent.\n\n");
    for (const struct command *c = commands; c->name != NULL; c++)
        fprintf(out, "  %-10s %.*s\n", c->name, (int)strcspn(c->help, "\n"), c->help);
    fprintf(out, "\nsignalbox COMMAND --help tells more. Exit codes: 0 ok, 1 failed, 2 usage, 3 refused by a rule,\n"
                 "5 rolled back, 6 server unreachable.\n");
}

/* flag > environment */
static const char *setting(const char *flag, const char *variable)
{
    return flag != NULL ? flag : g_getenv(variable);
}

static char *token_read(const char *path)
{
    g_autoptr(GError) error = NULL;
    char *token = file_read(path, 4096, NULL, &error);
    if (token == NULL)
        exit(cli_error(error));
    return g_strstrip(token);
}

struct flags {
    const char *server, *socket, *ca, *token_file;
    bool json;
};

/* Those before the command. -1: go on with the command at argv[optind]; else the exit code. */
static int flags_read(struct flags *flags, int argc, char **argv)
{
    enum { SERVER = 256, SOCKET, CA, TOKEN, JSON, VERSION };
    static const struct option options[] = {
        {"server", required_argument, NULL, SERVER},
        {"socket", required_argument, NULL, SOCKET},
        {"ca", required_argument, NULL, CA},
        {"token-file", required_argument, NULL, TOKEN},
        {"json", no_argument, NULL, JSON},
        {"version", no_argument, NULL, VERSION},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
        if (option == SERVER)
            flags->server = optarg;
        else if (option == SOCKET)
            flags->socket = optarg;
        else if (option == CA)
            flags->ca = optarg;
        else if (option == TOKEN)
            flags->token_file = optarg;
        else if (option == JSON)
            flags->json = true;
        else if (option == VERSION) {
            puts("signalbox " SIGNALBOX_VERSION);
            return EXIT_OK;
        } else if (option == 'h') {
            help(stdout);
            return EXIT_OK;
        } else {
            fputs("signalbox --help lists the flags\n", stderr);
            return EXIT_USAGE;
        }
    }
    return -1;
}

/* What no flag says is taken from the environment; a flag of one kind outweighs a variable of the other. False: the
 * server's URL is none. */
static bool target_choose(struct httpc_target *target, const struct flags *flags)
{
    const char *server = flags->socket == NULL ? setting(flags->server, "SIGNALBOX_SERVER") : flags->server;
    const char *socket = setting(flags->socket, "SIGNALBOX_SOCKET");
    const char *token_file = setting(flags->token_file, "SIGNALBOX_TOKEN_FILE");
    target->ca_file = setting(flags->ca, "SIGNALBOX_CA");
    if (server == NULL) {
        target->base_url = "http://localhost";
        target->unix_socket = socket != NULL ? socket : DEFAULT_SOCKET;
        return true;
    }
    if (!g_str_has_prefix(server, "https://") && !g_str_has_prefix(server, "http://")) {
        fprintf(stderr, "signalbox: --server: found \"%s\", expected https://ADDRESS:PORT\n", server);
        return false;
    }
    target->base_url = server;
    target->token = token_file != NULL ? token_read(token_file) : NULL; /* main frees it */
    return true;
}

/* --json is also taken behind the command. Returns what is left of argc. */
static int json_take(struct cli *cli, int argc, char **argv)
{
    int kept = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            cli->json = true;
        else
            argv[kept++] = argv[i];
    }
    return kept;
}

int main(int argc, char **argv)
{
    struct flags flags = {0};
    struct cli cli = {0};
    setlocale(LC_ALL, "C.UTF-8");
    int code = flags_read(&flags, argc, argv);
    if (code >= 0)
        return code;
    if (optind == argc) {
        help(stderr);
        return EXIT_USAGE;
    }
    const struct command *command = command_find(argv[optind]);
    if (command == NULL) {
        g_autofree char *found = text_quote(argv[optind]);
        fprintf(stderr, "signalbox: no command %s; signalbox --help lists them\n", found);
        return EXIT_USAGE;
    }
    argc -= optind;
    argv += optind;
    if (wants_help(argc, argv)) {
        printf("usage: signalbox %s\n\n%s\n", command->usage, command->help);
        return EXIT_OK;
    }
    if (!target_choose(&cli.target, &flags))
        return EXIT_USAGE;
    cli.json = flags.json;
    argc = json_take(&cli, argc, argv);
    code = command->run(&cli, argc, argv);
    g_free((char *)cli.target.token);
    return code;
}
