/* cmd_look.c: agents, eastwest, audit, token. */
#include "server/cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int command_agents(struct cli *cli, int argc, char **argv)
{
    unsigned limit = 0;
    if (!cli_limit(argc, argv, 1, &limit))
        return cli_usage("agents");
    json_t *answer = NULL;
    int code = cli_list(cli, "/v1/agents", "agents", limit, false, &answer);
    if (code == EXIT_OK && cli->json)
        cli_print_json(answer);
    else if (code == EXIT_OK)
        cli_print_table(json_object_get(answer, "agents"),
                        (const char *const[]){"name", "kind", "state", "epoch", "generation", "heard ms ago=age_ms",
                                              "holds away=holds", "error", NULL});
    json_decref(answer);
    return code;
}

static char *destinations_text(const json_t *row)
{
    GString *text = g_string_new(NULL);
    size_t i, k;
    const json_t *zone, *room;
    json_array_foreach (json_object_get(row, "destinations"), i, zone) {
        g_string_append_printf(text, "%s%s %" JSON_INTEGER_FORMAT " (", i > 0 ? ", " : "", cli_text(zone, "zone"),
                               json_integer_value(json_object_get(zone, "weight")));
        json_array_foreach (json_object_get(zone, "rooms"), k, room)
            g_string_append_printf(text, "%s%s", k > 0 ? " " : "", json_string_value(room));
        g_string_append_c(text, ')');
    }
    return g_string_free(text, FALSE);
}

/* One table of all rows. */
static json_t *eastwest_rows(const json_t *answer)
{
    json_t *rows = json_array();
    const json_t *all = json_object_get(answer, "eastwest"), *one, *row;
    size_t i, k;
    for (i = 0; i < (all != NULL ? json_array_size(all) : 1); i++) {
        one = all != NULL ? json_array_get(all, i) : answer;
        json_array_foreach (json_object_get(one, "rows"), k, row) {
            g_autofree char *text = destinations_text(row);
            json_array_append_new(rows,
                                  json_pack("{s:s, s:s, s:s, s:s, s:s}", "service", cli_text(one, "service"),
                                            "interface", cli_text(one, "interface"), "caller", cli_text(row, "caller"),
                                            "calls", text[0] != '\0' ? text : "nobody", "why", cli_text(one, "why")));
        }
    }
    return rows;
}

int command_eastwest(struct cli *cli, int argc, char **argv)
{
    g_autofree char *escaped = argc > 1 ? cli_escape(argv[argc - 1]) : NULL, *path = NULL;
    if (argc == 1)
        path = g_strdup("/v1/eastwest");
    else if (argc == 2 && argv[1][0] != '-')
        path = g_strdup_printf("/v1/eastwest/services/%s", escaped);
    else if (argc == 3 && strcmp(argv[1], "--interface") == 0)
        path = g_strdup_printf("/v1/eastwest/interfaces/%s", escaped);
    else
        return cli_usage("eastwest");
    json_t *answer = NULL;
    int code = cli_get(cli, path, &answer);
    if (code == EXIT_OK && cli->json) {
        cli_print_json(answer);
    } else if (code == EXIT_OK) {
        json_t *rows = eastwest_rows(answer);
        cli_print_table(rows,
                        (const char *const[]){"service", "interface", "callers in=caller", "call=calls", "why", NULL});
        json_decref(rows);
    }
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

#define VERIFY_MS 600000 /* a limit: it reads all of journal and store */

static void print_finding(const json_t *finding)
{
    json_int_t from = cli_number(finding, "from"), to = cli_number(finding, "to");
    printf("! %s: %s ", cli_text(finding, "where"), cli_text(finding, "what"));
    printf(from == to ? "%" JSON_INTEGER_FORMAT : "%" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT, from, to);
    printf(" (%s)\n", cli_text(finding, "text"));
}

static int audit_verify(struct cli *cli, const char *head)
{
    g_autofree char *escaped = head != NULL ? cli_escape(head) : NULL;
    g_autofree char *path = g_strconcat("/v1/audit/verify", head != NULL ? "?head=" : NULL, escaped, NULL);
    json_t *answer = NULL, *finding;
    size_t i;
    int code = cli_call(cli, "GET", path, NULL, NULL, VERIFY_MS, &answer, NULL);
    if (code != EXIT_OK)
        return code;
    if (cli->json) {
        cli_print_json(answer);
    } else {
        printf("%" JSON_INTEGER_FORMAT " records, %" JSON_INTEGER_FORMAT " from before the chain, %" JSON_INTEGER_FORMAT
               " compared with the store\nhead %s\n",
               cli_number(answer, "records"), cli_number(answer, "unchained"), cli_number(answer, "stored"),
               cli_text(answer, "head"));
        if (cli_text(answer, "store_error")[0] != '\0')
            printf("the store cannot be read, so nobody knows whether the newest records are missing: %s\n",
                   cli_text(answer, "store_error"));
        json_array_foreach (json_object_get(answer, "findings"), i, finding)
            print_finding(finding);
    }
    bool whole =
        json_array_size(json_object_get(answer, "findings")) == 0 && cli_text(answer, "store_error")[0] == '\0';
    json_decref(answer);
    return whole ? EXIT_OK : EXIT_FAILED;
}

int command_audit(struct cli *cli, int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "verify") == 0)
        return audit_verify(cli, NULL);
    if (argc == 4 && strcmp(argv[1], "verify") == 0 && strcmp(argv[2], "--head") == 0)
        return audit_verify(cli, argv[3]);
    unsigned limit = 50;
    if (!cli_limit(argc, argv, 1, &limit))
        return cli_usage("audit");
    json_t *answer = NULL;
    int code = cli_list(cli, "/v1/audit", "audit", limit, true, &answer);
    if (code == EXIT_OK && cli->json)
        cli_print_json(answer);
    else if (code == EXIT_OK) {
        shorten(json_object_get(answer, "audit"));
        cli_print_table(json_object_get(answer, "audit"),
                        (const char *const[]){"no=number", "at utc=at", "who=actor", "what", "object", "before",
                                              "after", "why=reason", NULL});
    }
    json_decref(answer);
    return code;
}

/* "30d", "12h", "90m" from now, or a time. */
static bool read_expiry(const char *text, int64_t *us)
{
    int64_t seconds = cli_duration(text);
    if (seconds == 0)
        return cli_time("--expires", text, us);
    *us = g_get_real_time() + seconds * G_USEC_PER_SEC;
    return true;
}

bool cli_grant_flags(int argc, char **argv, int from, json_t *body)
{
    int64_t expires_us;
    json_t *scopes = json_array();
    bool ok = true;
    for (int i = from; ok && i < argc; i += 2) {
        const char *flag = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(flag, "--name") == 0 || strcmp(flag, "--role") == 0)
            json_object_set_new(body, flag + 2, json_string(value));
        else if (strcmp(flag, "--scope") == 0)
            json_array_append_new(scopes, json_string(value));
        else
            ok = strcmp(flag, "--expires") == 0 && read_expiry(value, &expires_us) &&
                 json_object_set_new(body, "expires_us", json_integer(expires_us)) == 0;
        ok = ok && i + 1 < argc;
    }
    if (json_array_size(scopes) > 0)
        json_object_set(body, "scopes", scopes);
    json_decref(scopes);
    return ok;
}

static int token_create(struct cli *cli, int argc, char **argv)
{
    json_t *body = json_object(), *answer = NULL;
    bool ok = cli_grant_flags(argc, argv, 2, body) && json_object_get(body, "name") != NULL &&
              json_object_get(body, "role") != NULL;
    int code = ok ? cli_call(cli, "POST", "/v1/tokens", body, NULL, 30000, &answer, NULL) : cli_usage("token");
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
    if (argc > 2 && strcmp(argv[1], "create") == 0)
        return token_create(cli, argc, argv);
    json_t *answer = NULL;
    int code;
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        code = cli_list(cli, "/v1/tokens", "tokens", 0, false, &answer);
        if (code == EXIT_OK && cli->json)
            cli_print_json(answer);
        else if (code == EXIT_OK)
            cli_print_table(json_object_get(answer, "tokens"),
                            (const char *const[]){"name", "role", "created", "expires", "scopes", NULL});
    } else if (argc == 3 && strcmp(argv[1], "delete") == 0) {
        g_autofree char *escaped = cli_escape(argv[2]), *path = g_strdup_printf("/v1/tokens/%s", escaped);
        code = cli_call(cli, "DELETE", path, NULL, NULL, 30000, NULL, NULL);
    } else {
        return cli_usage("token");
    }
    json_decref(answer);
    return code;
}
