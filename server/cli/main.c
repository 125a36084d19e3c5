/* signalbox: the command line. Flags before the command, and wiring; commands.c has the commands. */
#include "server/cli/cli.h"

#include "core/error.h"
#include "core/fileio.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Those before the command. -1: go on with the command at argv[optind]; else the exit code. */
static int flags_read(struct cli_flags *flags, int argc, char **argv)
{
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
            commands_help(stdout);
            return EXIT_OK;
        } else {
            return commands_flag(argv[optind - 1], options);
        }
    }
    return -1;
}

/* Of a line that is not finished: what is wrong in it is nobody's concern yet. */
static int complete(int argc, char **argv)
{
    struct cli_flags flags = {0};
    struct cli cli = {.patient = true, .quiet = true};
    const char *last = argc > 1 ? argv[argc - 2] : "";
    if (g_strv_contains((const char *const[]){"--ca", "--token-file", "--socket", NULL}, last))
        puts(":files");
    if (freopen("/dev/null", "w", stderr) == NULL || argc < 2 || flags_read(&flags, argc - 1, argv) >= 0 ||
        !cli_target_choose(&cli.target, &flags))
        return EXIT_OK;
    commands_complete(&cli, argc - optind, argv + optind, options);
    cli_target_clear(&cli.target);
    return EXIT_OK;
}

static int run(int argc, char **argv)
{
    struct cli_flags flags = {0};
    struct cli cli = {0};
    int code = flags_read(&flags, argc, argv);
    if (code >= 0)
        return code;
    if (optind == argc) {
        commands_help(stderr);
        return EXIT_USAGE;
    }
    g_auto(GStrv) words = NULL;
    code = commands_check(&cli, argv + optind, options, &words);
    if (code >= 0)
        return code;
    if (!cli_target_choose(&cli.target, &flags))
        return EXIT_USAGE;
    cli.json = cli.json || flags.json;
    code = commands_run(&cli, words);
    cli_target_clear(&cli.target);
    return code;
}

int main(int argc, char **argv)
{
    cli_output_begin();
    setlocale(LC_ALL, "C.UTF-8");
    if (argc > 1 && strcmp(argv[1], "--complete") == 0)
        return complete(argc - 2, argv + 2);
    return cli_output_end(run(argc, argv));
}
