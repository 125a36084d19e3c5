/* cmd_webhook.c: webhooks: how they stand, what they were told, telling them again. */
#include "server/cli/cli.h"

#include <stdio.h>
#include <string.h>

/* --url, --key, --chat, --event into the object, --reason into the body. False: usage. */
static bool set_flags(int argc, char **argv, json_t *object, json_t *body)
{
    json_t *events = json_array();
    bool ok = argc % 2 == 1;
    for (int i = 3; ok && i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--event") == 0)
            json_array_append_new(events, json_string(argv[i + 1]));
        else if (strcmp(argv[i], "--reason") == 0)
            json_object_set_new(body, "reason", json_string(argv[i + 1]));
        else if (g_strv_contains((const char *const[]){"--url", "--key", "--chat", NULL}, argv[i]))
            json_object_set_new(object, argv[i] + 2, json_string(argv[i + 1]));
        else
            ok = false;
    }
    if (json_array_size(events) > 0)
        json_object_set(object, "events", events);
    json_decref(events);
    return ok && json_object_get(object, "url") != NULL && json_object_get(object, "key") != NULL;
}

/* Prints what changes. */
static int change(struct cli *cli, const char *method, const char *path, const json_t *body, const char *if_match)
{
    json_t *answer = NULL;
    int code = cli_call(cli, method, path, body, if_match, 30000, &answer, NULL);
    if (code == EXIT_OK && cli->json)
        cli_print_json(answer);
    else if (code == EXIT_OK)
        fputs(cli_text(answer, "diff"), stdout);
    json_decref(answer);
    return code;
}

/* One that is there keeps what no flag says: its deadline, when it is given up. Nobody's change is passed over. */
static int put(struct cli *cli, const char *name, json_t *object, json_t *body)
{
    g_autofree char *escaped = cli_escape(name), *id = g_strdup_printf("webhook/%s", name), *etag = NULL,
                    *path = g_strdup_printf("/v1/inventory/webhook/%s", escaped);
    cli->quiet = true;
    int there = cli_call(cli, "GET", path, NULL, NULL, 30000, NULL, &etag);
    cli->quiet = false;
    if (there == EXIT_OK) {
        if (json_object_get(object, "events") == NULL)
            json_object_set_new(object, "events", json_null());
        json_object_update(body, object);
        return change(cli, "PATCH", path, body, etag);
    }
    if (there != EXIT_FAILED)
        return there;
    json_object_update_new(object, json_pack("{s:s, s:s}", "kind", "webhook", "name", name));
    json_object_update_new(body, json_pack("{s:[O], s:{s:i}}", "objects", object, "if_match", id, 0));
    return change(cli, "POST", "/v1/apply", body, NULL);
}

static int webhook_set(struct cli *cli, int argc, char **argv)
{
    json_t *object = json_object(), *body = json_object();
    int code = set_flags(argc, argv, object, body) ? put(cli, argv[2], object, body) : cli_usage("webhook");
    json_decref(object);
    json_decref(body);
    return code;
}

static int webhook_delete(struct cli *cli, const char *name)
{
    g_autofree char *id = g_strdup_printf("webhook/%s", name);
    json_t *body = json_pack("{s:[s]}", "remove", id);
    int code = change(cli, "POST", "/v1/apply", body, NULL);
    json_decref(body);
    return code;
}

static int webhook_list(struct cli *cli)
{
    json_t *answer = NULL;
    int code = cli_list(cli, "/v1/webhooks", "webhooks", 0, false, &answer);
    if (code == EXIT_OK && cli->json)
        cli_print_json(answer);
    else if (code == EXIT_OK)
        cli_print_table(json_object_get(answer, "webhooks"),
                        (const char *const[]){"name", "state", "failed=attempts", "events", "url", "why", NULL});
    json_decref(answer);
    return code;
}

/* Times for people. */
static void add_times(const json_t *rows)
{
    size_t i;
    json_t *row;
    json_array_foreach (rows, i, row) {
        g_autofree char *at = cli_time_text(cli_number(row, "at_us")),
                        *ms = g_strdup_printf("%.1f", (double)cli_number(row, "latency_us") / 1000),
                        *next = cli_number(row, "next_us") > 0 ? cli_time_text(cli_number(row, "next_us")) : NULL;
        json_object_set_new(row, "at", json_string(at));
        json_object_set_new(row, "ms", json_string(ms));
        json_object_set_new(row, "next", next != NULL ? json_string(next) : json_null());
    }
}

static int webhook_deliveries(struct cli *cli, int argc, char **argv)
{
    unsigned limit = 50;
    if (!cli_limit(argc, argv, 3, &limit))
        return cli_usage("webhook");
    g_autofree char *escaped = cli_escape(argv[2]), *path = g_strdup_printf("/v1/webhooks/%s/deliveries", escaped);
    json_t *answer = NULL;
    int code = cli_list(cli, path, "deliveries", limit, false, &answer);
    if (code == EXIT_OK && cli->json) {
        cli_print_json(answer);
    } else if (code == EXIT_OK) {
        add_times(json_object_get(answer, "deliveries"));
        cli_print_table(json_object_get(answer, "deliveries"),
                        (const char *const[]){"at utc=at", "id", "type", "subject", "state", "attempt", "status", "ms",
                                              "next", "error", NULL});
    }
    json_decref(answer);
    return code;
}

/* id NULL: a test. */
static int webhook_tell(struct cli *cli, const char *name, const char *id)
{
    g_autofree char *escaped = cli_escape(name), *path = g_strdup_printf("/v1/webhooks/%s/deliveries", escaped);
    json_t *body = json_pack("{s:s*}", "id", id), *answer = NULL;
    int code = cli_call(cli, "POST", path, body, NULL, 30000, &answer, NULL);
    if (code == EXIT_OK && cli->json)
        cli_print_json(answer);
    else if (code == EXIT_OK)
        printf("%s will be told; signalbox webhook deliveries %s shows it\n", name, name);
    json_decref(body);
    json_decref(answer);
    return code;
}

int command_webhook(struct cli *cli, int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return webhook_list(cli);
    if (argc >= 3 && strcmp(argv[1], "set") == 0)
        return webhook_set(cli, argc, argv);
    if (argc == 3 && strcmp(argv[1], "delete") == 0)
        return webhook_delete(cli, argv[2]);
    if (argc >= 3 && strcmp(argv[1], "deliveries") == 0)
        return webhook_deliveries(cli, argc, argv);
    if (argc == 3 && strcmp(argv[1], "test") == 0)
        return webhook_tell(cli, argv[2], NULL);
    if (argc == 4 && strcmp(argv[1], "redeliver") == 0)
        return webhook_tell(cli, argv[2], argv[3]);
    return cli_usage("webhook");
}
