/* cmd_pin.c: pins, and the keys that sign them. */
#include "server/cli/cli.h"

#include <stdio.h>
#include <string.h>

/* False: usage. */
static bool issue_flags(int argc, char **argv, json_t *body)
{
    for (int i = 2; i < argc; i++) {
        const char *flag = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool is_staff = strcmp(flag, "--staff") == 0;
        if (is_staff || strcmp(flag, "--canary") == 0) {
            json_object_set_new(body, "purpose", json_string(flag + 2));
            continue;
        }
        int64_t for_s = value != NULL && strcmp(flag, "--for") == 0 ? cli_duration(value) : 0;
        bool text = strcmp(flag, "--room") == 0 || strcmp(flag, "--user") == 0 || strcmp(flag, "--reason") == 0;
        if (value == NULL || (!text && for_s == 0))
            return false;
        json_object_set_new(body, text ? flag + 2 : "for_s", text ? json_string(value) : json_integer(for_s));
        if (strcmp(flag, "--user") == 0)
            json_object_set_new(body, "purpose", json_string("user"));
        i++;
    }
    return json_object_get(body, "room") != NULL && json_object_get(body, "for_s") != NULL &&
           json_object_get(body, "purpose") != NULL;
}

static int issue(struct cli *cli, int argc, char **argv)
{
    json_t *body = json_object(), *answer = NULL;
    int code = issue_flags(argc, argv, body) ? cli_call(cli, "POST", "/v1/pins", body, NULL, 30000, &answer, NULL)
                                             : cli_usage("pin");
    json_decref(body);
    if (code == EXIT_OK && cli->json)
        cli_print_json(answer);
    else if (code == EXIT_OK) {
        g_autofree char *until = cli_time_text(cli_number(answer, "until_us"));
        printf("%s=%s\n", cli_text(answer, "name"), cli_text(answer, "cookie"));
        fprintf(stderr, "to %s until %s\n", cli_text(answer, "room"), until);
    }
    json_decref(answer);
    return code;
}

static int print_keys(struct cli *cli, int code, json_t *answer)
{
    if (code == EXIT_OK && cli->json)
        cli_print_json(answer);
    else if (code == EXIT_OK)
        cli_print_table(json_object_get(answer, "keys"), (const char *const[]){"key=id", "signs", NULL});
    json_decref(answer);
    return code;
}

int command_pin(struct cli *cli, int argc, char **argv)
{
    const char *act = argc > 1 ? argv[1] : "";
    bool reason = argc == 4 && strcmp(argv[2], "--reason") == 0;
    json_t *answer = NULL;
    int code;
    if (strcmp(act, "issue") == 0)
        return issue(cli, argc, argv);
    if (strcmp(act, "keys") == 0 && argc == 2) {
        code = cli_get(cli, "/v1/pins/keys", &answer);
    } else if ((strcmp(act, "rotate") == 0 && (argc == 2 || reason)) || (strcmp(act, "revoke") == 0 && reason)) {
        json_t *body = json_pack("{s:s, s:s*}", "act", act, "reason", reason ? argv[3] : NULL);
        code = cli_call(cli, "POST", "/v1/pins/keys", body, NULL, 30000, &answer, NULL);
        json_decref(body);
    } else {
        return cli_usage("pin");
    }
    return print_keys(cli, code, answer);
}
