/* cmd_control.c: levers by hand, and what moving them would do. */
#include "server/cli/cli.h"

#include <stdio.h>
#include <string.h>

static char *control_path(const char *lever, const char *object)
{
    g_autofree char *l = cli_escape(lever), *o = cli_escape(object);
    return g_strdup_printf("/v1/controls/%s/%s", l, o);
}

static int control_list(struct cli *cli)
{
    json_t *answer = NULL;
    int code = cli_get(cli, "/v1/controls", &answer);
    if (code == EXIT_OK && cli->json)
        cli_print_json(answer);
    else if (code == EXIT_OK && json_array_size(json_object_get(answer, "controls")) == 0)
        fprintf(stderr, "every lever is at its default\n");
    else if (code == EXIT_OK)
        cli_print_table(
            json_object_get(answer, "controls"),
            (const char *const[]){"lever=control", "object", "value", "revision", "who=actor", "execution", NULL});
    json_decref(answer);
    return code;
}

static int control_get(struct cli *cli, const char *lever, const char *object)
{
    g_autofree char *path = control_path(lever, object);
    json_t *answer = NULL;
    int code = cli_get(cli, path, &answer);
    if (code == EXIT_OK && cli->json)
        cli_print_json(answer);
    else if (code == EXIT_OK)
        puts(cli_text(answer, "value"));
    json_decref(answer);
    return code;
}

static void print_forecast(const json_t *forecast)
{
    const char *text = cli_text(forecast, "text");
    if (text[0] != '\0')
        fprintf(stderr, "%s%s", text, g_str_has_suffix(text, "\n") ? "" : "\n");
}

static int control_set(struct cli *cli, int argc, char **argv)
{
    const char *reason = NULL;
    bool dry_run = false;
    json_t *overrides = json_array(), *answer = NULL;
    for (int i = 5; i < argc; i++) {
        if (strcmp(argv[i], "--reason") == 0 && i + 1 < argc)
            reason = argv[++i];
        else if (strcmp(argv[i], "--override") == 0 && i + 1 < argc)
            json_array_append_new(overrides, json_string(argv[++i]));
        else if (strcmp(argv[i], "--dry-run") == 0)
            dry_run = true;
        else {
            json_decref(overrides);
            return cli_usage("control");
        }
    }
    /* What the person saw is what may be replaced: the revision read now is the condition of the write. */
    g_autofree char *path = control_path(argv[2], argv[3]), *etag = NULL;
    bool many = g_str_has_prefix(argv[3], "tier/"); /* no lever of its own that could be read */
    int code = many ? EXIT_OK : cli_call(cli, "GET", path, NULL, NULL, 30000, &answer, &etag);
    json_decref(answer);
    answer = NULL;
    json_t *body = json_pack("{s:o, s:s*, s:b}", "overrides", overrides, "reason", reason, "dry_run", dry_run);
    if (many)
        json_object_set_new(body, "changes",
                            json_pack("[{s:s, s:s, s:s}]", "control", argv[2], "object", argv[3], "value", argv[4]));
    else
        json_object_set_new(body, "value", json_string(argv[4]));
    if (code == EXIT_OK)
        code = cli_call(cli, many ? "POST" : "PUT", many ? "/v1/controls" : path, body, etag, 30000, &answer, NULL);
    json_decref(body);
    if (code == EXIT_OK && !cli->json)
        print_forecast(json_object_get(answer, "forecast"));
    if (code == EXIT_OK && dry_run)
        code = cli_end_dry_run(cli, answer);
    else if (code == EXIT_OK && cli->json)
        cli_print_json(answer);
    else if (code == EXIT_OK) {
        g_autofree char *generation = cli_value_text(json_object_get(answer, "generation"));
        fprintf(stderr, "%s %s is %s since generation %s%s\n", argv[2], argv[3], argv[4], generation,
                json_is_true(json_object_get(answer, "pending"))
                    ? "; given out when the edges have promised, within a second"
                    : "");
    }
    json_decref(answer);
    return code;
}

int command_control(struct cli *cli, int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return control_list(cli);
    if (argc == 4 && strcmp(argv[1], "get") == 0)
        return control_get(cli, argv[2], argv[3]);
    if (argc >= 5 && strcmp(argv[1], "set") == 0)
        return control_set(cli, argc, argv);
    return cli_usage("control");
}

int command_forecast(struct cli *cli, int argc, char **argv)
{
    if (argc < 4 || (argc - 1) % 3 != 0)
        return cli_usage("forecast");
    json_t *changes = json_array(), *answer = NULL;
    for (int i = 1; i < argc; i += 3)
        json_array_append_new(
            changes, json_pack("{s:s, s:s, s:s}", "control", argv[i], "object", argv[i + 1], "value", argv[i + 2]));
    json_t *body = json_pack("{s:o}", "changes", changes);
    int code = cli_call(cli, "POST", "/v1/forecast", body, NULL, 30000, &answer, NULL);
    json_decref(body);
    if (code == EXIT_OK && !cli->json) {
        const json_t *forecast = json_object_get(answer, "forecast");
        fputs(cli_text(forecast != NULL ? forecast : answer, "text"), stdout);
    }
    if (code == EXIT_OK)
        code = cli_end_dry_run(cli, answer);
    json_decref(answer);
    return code;
}
