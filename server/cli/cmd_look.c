/* cmd_look.c: agents, audit, token. */
#include "server/cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int command_agents(struct cli *cli, int argc, char **argv)
{
    (void)argv;
    if (argc != 1)
        return cli_usage("agents");
    json_t *answer = NULL;
    int code = cli_get(cli, "/v1/agents", &answer);
    if (code == EXIT_OK && cli->json)
        cli_print_json(answer);
    else if (code == EXIT_OK)
        cli_print_table(json_object_get(answer, "agents"),
                        (const char *const[]){"name", "kind", "state", "epoch", "generation", "heard ms ago=age_ms",
                                              "holds away=holds", "error", NULL});
    json_decref(answer);
    return code;
}

/* Objects are long; --json has them whole. The time is cut to its seconds. */
static void shorten(const json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach (rows, i, row) {
        const char *at = cli_text(row, "at");
        json_object_set_new(row, "at", json_stringn(at, strcspn(at, ".")));
        if (cli_text(row, "before")[0] == '{')
            json_object_set_new(row, "before", json_string("{...}"));
        if (cli_text(row, "after")[0] == '{')
            json_object_set_new(row, "after", json_string("{...}"));
    }
}

int command_audit(struct cli *cli, int argc, char **argv)
{
    const char *limit = "50";
    if (argc == 3 && strcmp(argv[1], "--limit") == 0)
        limit = argv[2];
    else if (argc != 1)
        return cli_usage("audit");
    g_autofree char *escaped = cli_escape(limit), *path = g_strdup_printf("/v1/audit?limit=%s", escaped);
    json_t *answer = NULL;
    int code = cli_get(cli, path, &answer);
    if (code == EXIT_OK && cli->json)
        cli_print_json(answer);
    else if (code == EXIT_OK) {
        shorten(json_object_get(answer, "audit"));
        cli_print_table(json_object_get(answer, "audit"),
                        (const char *const[]){"seq", "at utc=at", "who=actor", "what", "object", "before", "after",
                                              "why=reason", NULL});
    }
    json_decref(answer);
    return code;
}

static int token_create(struct cli *cli, const char *name, const char *role)
{
    json_t *body = json_pack("{s:s, s:s}", "name", name, "role", role), *answer = NULL;
    int code = cli_call(cli, "POST", "/v1/tokens", body, NULL, 30000, &answer, NULL);
    json_decref(body);
    if (code == EXIT_OK && cli->json)
        cli_print_json(answer);
    else if (code == EXIT_OK)
        puts(cli_text(answer, "token"));
    json_decref(answer);
    return code;
}

int command_token(struct cli *cli, int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "create") == 0 && strcmp(argv[2], "--name") == 0 && strcmp(argv[4], "--role") == 0)
        return token_create(cli, argv[3], argv[5]);
    json_t *answer = NULL;
    int code;
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        code = cli_get(cli, "/v1/tokens", &answer);
        if (code == EXIT_OK && cli->json)
            cli_print_json(answer);
        else if (code == EXIT_OK)
            cli_print_table(json_object_get(answer, "tokens"), (const char *const[]){"name", "role", "created", NULL});
    } else if (argc == 3 && strcmp(argv[1], "delete") == 0) {
        g_autofree char *escaped = cli_escape(argv[2]), *path = g_strdup_printf("/v1/tokens/%s", escaped);
        code = cli_call(cli, "DELETE", path, NULL, NULL, 30000, NULL, NULL);
    } else {
        return cli_usage("token");
    }
    json_decref(answer);
    return code;
}
