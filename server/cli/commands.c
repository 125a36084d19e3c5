/* commands.c: the table of commands.def: help, what is checked before a command runs, and its start. */
#include "server/cli/cli.h"
#include "server/cli/usage.h"

#include "schema/object.h"

#include <stdio.h>
#include <string.h>

/* One row of the command table. help: its first line is what the list of commands shows. The last has no name. */
struct command {
    const char *name;
    int (*run)(struct cli *cli, int argc, char **argv);
    const char *usage, *help, *example;
};
static const struct command commands[] = {
#define COMMAND(name, usage, help, more, example) {#name, command_##name, usage, help "\n\n" more, example},
#include "server/cli/commands.def"
#undef COMMAND
    {NULL, NULL, NULL, NULL, NULL},
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

void commands_help(FILE *out)
{
    fprintf(
        out,
        "usage: signalbox [--server URL] [--socket PATH] [--ca FILE] [--token-file FILE] [--json] COMMAND ...\n\n"
        "  --server URL       the server, like https://192.0.2.1:8440\n"
        "  --ca FILE          whom its certificate must be signed by, PEM (default: the system's)\n"
        "  --token-file FILE  bearer token; the first is made with `signalbox token create` on the server\n"
        "  --socket PATH      without --server: the server of this machine, " CLI_SOCKET "\n"
        "  --json             answers as the server gives them\n"
        "  --version, --help\n"
        "SIGNALBOX_SERVER, SIGNALBOX_CA, SIGNALBOX_TOKEN_FILE, SIGNALBOX_SOCKET stand for flags that are absent.\n\n");
    for (const struct command *c = commands; c->name != NULL; c++)
        fprintf(out, "  %-10s %.*s\n", c->name, (int)strcspn(c->help, "\n"), c->help);
    fprintf(out, "\nsignalbox COMMAND --help tells more. Exit codes: 0 ok, 1 failed, 2 usage, 3 refused by a rule,\n"
                 "5 rolled back, 6 server unreachable.\n");
}

static const char **command_names(void)
{
    const char **names = g_new0(const char *, G_N_ELEMENTS(commands));
    for (size_t i = 0; commands[i].name != NULL; i++)
        names[i] = commands[i].name;
    return names;
}

/* "--server" of {"server", ...}; g_strfreev. */
static char **option_names(const struct option *options)
{
    GPtrArray *names = g_ptr_array_new();
    for (; options->name != NULL; options++)
        g_ptr_array_add(names, g_strconcat("--", options->name, NULL));
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_free(names, FALSE);
}

int commands_flag(const char *word, const struct option *before)
{
    g_auto(GStrv) names = option_names(before);
    g_autofree char *name = g_strndup(word, strcspn(word, "="));
    const char *meant = usage_nearest(name, (const char *const *)names);
    bool other = meant != NULL && strcmp(meant, name) != 0;
    fprintf(stderr, "signalbox: %s%s%ssignalbox --help lists the flags\n", other ? "did you mean " : "",
            other ? meant : "", other ? "? " : "");
    return EXIT_USAGE;
}

static int unknown(const char *name)
{
    g_autofree char *found = text_quote(name);
    g_autofree const char **names = command_names();
    const char *meant = usage_nearest(name, names);
    fprintf(stderr, "signalbox: no command %s%s%s%s; signalbox --help lists them\n", found,
            meant != NULL ? ", did you mean " : "", meant != NULL ? meant : "", meant != NULL ? "?" : "");
    return EXIT_USAGE;
}

/* --json is also taken behind the command. */
static void json_take(struct cli *cli, char **words)
{
    char **kept = words;
    for (char **word = words; *word != NULL; word++) {
        if (strcmp(*word, "--json") != 0) {
            *kept++ = *word;
            continue;
        }
        cli->json = true;
        g_free(*word);
    }
    *kept = NULL;
}

int commands_check(struct cli *cli, char **argv, const struct option *before, char ***words)
{
    const struct command *command = command_find(argv[0]);
    if (command == NULL)
        return unknown(argv[0]);
    if (g_strv_contains((const char *const *)argv, "--help") || g_strv_contains((const char *const *)argv, "-h")) {
        printf("usage: signalbox %s\n\n%s\n\nExample:\n  signalbox %s\n", command->usage, command->help,
               command->example);
        return EXIT_OK;
    }
    g_autoptr(GPtrArray) forms = usage_parse(command->usage);
    g_auto(GStrv) names = option_names(before);
    *words = usage_split(forms, argv);
    json_take(cli, *words);
    g_autofree char *wrong = usage_complaint(forms, *words, (const char *const *)names);
    if (wrong == NULL)
        return -1;
    fprintf(stderr, "signalbox %s: %s\n", command->name, wrong);
    return EXIT_USAGE;
}

int commands_run(struct cli *cli, char **words)
{
    /* A vector of its own: commands may change theirs, the words stay whose they are. */
    unsigned n = g_strv_length(words);
    g_autofree char **argv = g_memdup2(words, (n + 1) * sizeof *words);
    return command_find(argv[0])->run(cli, (int)n, argv);
}

void commands_complete(struct cli *cli, int argc, char **argv, const struct option *before)
{
    const struct command *command = argc > 1 ? command_find(argv[0]) : NULL;
    if (command != NULL) {
        complete_command(cli, command->usage, argc, argv);
        return;
    }
    g_auto(GStrv) names = option_names(before);
    g_autofree const char **all = command_names();
    if (argc == 1 && argv[0][0] == '-')
        complete_offer(argv[0], (const char *const *)names);
    else if (argc == 1)
        complete_offer(argv[0], all);
}
