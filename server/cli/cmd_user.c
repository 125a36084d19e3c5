/* cmd_user.c: people who may log in on the console. */
#include "server/cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* A line of standard input, without its end; NULL: there is none. g_free. */
static char *read_line(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t n = getline(&line, &size, stdin);
    char *text = n > 0 ? g_strndup(line, strcspn(line, "\r\n")) : NULL;
    free(line);
    return text;
}

/* The same of a person who types it unseen. */
static char *ask_line(const char *question)
{
    struct termios seen, unseen;
    if (tcgetattr(STDIN_FILENO, &seen) != 0)
        return NULL;
    unseen = seen;
    unseen.c_lflag &= ~(tcflag_t)ECHO;
    fputs(question, stderr);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &unseen);
    char *text = read_line();
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &seen);
    fputs("\n", stderr);
    return text;
}

/* Never an argument: those are seen by everybody on the machine. NULL: an error was printed. g_free. */
static char *read_password(void)
{
    bool person = isatty(STDIN_FILENO);
    g_autofree char *text = person ? ask_line("password: ") : read_line(),
                    *again = person ? ask_line("the same again: ") : g_strdup(text);
    if (text == NULL || text[0] == '\0')
        fputs("signalbox: password: found none, expected it on standard input, one line\n", stderr);
    else if (g_strcmp0(text, again) != 0)
        fputs("signalbox: password: found two that differ, expected the same twice\n", stderr);
    else
        return g_steal_pointer(&text);
    return NULL;
}

static int with_password(struct cli *cli, const char *method, const char *path, json_t *body)
{
    g_autofree char *password = read_password();
    if (password == NULL)
        return EXIT_FAILED;
    json_object_set_new(body, "password", json_string(password));
    return cli_call(cli, method, path, body, NULL, 30000, NULL, NULL);
}

static int user_add(struct cli *cli, int argc, char **argv)
{
    json_t *body = json_pack("{s:s}", "name", argv[2]);
    bool ok = cli_grant_flags(argc, argv, 3, body) && json_object_get(body, "role") != NULL;
    int code = ok ? with_password(cli, "POST", "/v1/users", body) : cli_usage("user");
    json_decref(body);
    return code;
}

static int user_list(struct cli *cli)
{
    json_t *answer = NULL;
    int code = cli_list(cli, "/v1/users", "users", 0, false, &answer);
    if (code == EXIT_OK && cli->json)
        cli_print_json(answer);
    else if (code == EXIT_OK)
        cli_print_table(json_object_get(answer, "users"),
                        (const char *const[]){"name", "role", "created", "expires", "scopes", NULL});
    json_decref(answer);
    return code;
}

int command_user(struct cli *cli, int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "add") == 0)
        return user_add(cli, argc, argv);
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return user_list(cli);
    if (argc != 3 || (strcmp(argv[1], "passwd") != 0 && strcmp(argv[1], "remove") != 0))
        return cli_usage("user");
    bool remove = strcmp(argv[1], "remove") == 0;
    g_autofree char *escaped = cli_escape(argv[2]),
                    *path = g_strdup_printf("/v1/users/%s%s", escaped, remove ? "" : "/password");
    if (remove)
        return cli_call(cli, "DELETE", path, NULL, NULL, 30000, NULL, NULL);
    json_t *body = json_object();
    int code = with_password(cli, "PUT", path, body);
    json_decref(body);
    return code;
}
