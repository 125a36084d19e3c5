/* cmd_alarm.c: what the next shift is to know: alarms and who looks after them, reminders that hang on levers. */
#include "server/cli/cli.h"

#include <stdio.h>
#include <string.h>

/* The answer is printed as it is with --json; else what it means is the caller's to say. */
static int change(struct cli *cli, const char *method, const char *path, const json_t *body, const char *if_match,
                  json_t **answer)
{
    int code = cli_call(cli, method, path, body, if_match, 30000, answer, NULL);
    if (code == EXIT_OK && cli->json)
        cli_print_json(*answer);
    return code;
}

/* ---- alarms ---- */

/* Times for people. */
static void add_since(json_t *alarms)
{
    size_t i;
    json_t *alarm;
    json_array_foreach (alarms, i, alarm) {
        g_autofree char *since = cli_time_text(cli_number(alarm, "since_us"));
        json_object_set_new(alarm, "since", json_string(since));
    }
}

static int alarm_list(struct cli *cli)
{
    json_t *status = NULL;
    int code = cli_get(cli, "/v1/status", &status);
    json_t *alarms = json_object_get(status, "alarms");
    if (code == EXIT_OK && cli->json) {
        json_t *answer = json_pack("{s:O}", "alarms", alarms);
        cli_print_json(answer);
        json_decref(answer);
    } else if (code == EXIT_OK && json_array_size(alarms) == 0) {
        fprintf(stderr, "no alarm lasts\n");
    } else if (code == EXIT_OK) {
        add_since(alarms);
        cli_print_table(alarms, (const char *const[]){"p=priority", "alarm=key", "since utc=since", "title", "plan",
                                                      "who=ack.actor", "evidence", NULL});
    }
    json_decref(status);
    return code;
}

static int alarm_ack(struct cli *cli, const char *key, const char *reason)
{
    const char *slash = strchr(key, '/');
    if (slash == NULL) {
        fprintf(stderr, "signalbox: found \"%s\", expected an alarm as signalbox alarm list has it, like pop/pop-a1\n",
                key);
        return EXIT_USAGE;
    }
    g_autofree char *kind = g_strndup(key, (size_t)(slash - key)), *escaped = cli_escape(kind),
                    *object = cli_escape(slash + 1), *path = g_strdup_printf("/v1/alarms/%s/%s/acks", escaped, object);
    json_t *body = json_pack("{s:s*}", "reason", reason), *answer = NULL;
    int code = change(cli, "POST", path, body, NULL, &answer);
    if (code == EXIT_OK && !cli->json)
        fprintf(stderr, "%s looks after %s\n", cli_text(answer, "ack.actor"), key);
    json_decref(body);
    json_decref(answer);
    return code;
}

int command_alarm(struct cli *cli, int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return alarm_list(cli);
    if (argc == 3 && strcmp(argv[1], "ack") == 0)
        return alarm_ack(cli, argv[2], NULL);
    if (argc == 5 && strcmp(argv[1], "ack") == 0 && strcmp(argv[3], "--reason") == 0)
        return alarm_ack(cli, argv[2], argv[4]);
    return cli_usage("alarm");
}

/* ---- reminders ---- */

static int reminder_list(struct cli *cli)
{
    json_t *answer = NULL;
    int code = cli_list(cli, "/v1/inventory/reminder", "objects", 0, false, &answer);
    if (code == EXIT_OK && cli->json)
        cli_print_json(answer);
    else if (code == EXIT_OK && json_array_size(json_object_get(answer, "objects")) == 0)
        fprintf(stderr, "nothing hangs on a lever\n");
    else if (code == EXIT_OK)
        cli_print_table(json_object_get(answer, "objects"),
                        (const char *const[]){"reminder=name", "lever=on", "owner", "until", "lock", "why", NULL});
    json_decref(answer);
    return code;
}

/* Nobody's change is passed over: *etag is that of what is there now, or that there is none; g_free. */
static int look_up(struct cli *cli, const char *escaped, bool must_be, char **etag)
{
    g_autofree char *path = g_strdup_printf("/v1/inventory/reminder/%s", escaped);
    cli->quiet = !must_be;
    int code = cli_call(cli, "GET", path, NULL, NULL, 30000, NULL, etag);
    cli->quiet = false;
    if (code != EXIT_FAILED || must_be)
        return code;
    *etag = g_strdup("\"0\"");
    return EXIT_OK;
}

/* False: usage. */
static bool set_flags(int argc, char **argv, json_t *body)
{
    for (int i = 3; i < argc; i++) {
        static const char *const texts[] = {"--on", "--owner", "--why", "--until", NULL};
        if (strcmp(argv[i], "--lock") == 0)
            json_object_set_new(body, "lock", json_true());
        else if (g_strv_contains(texts, argv[i]) && i + 1 < argc) {
            json_object_set_new(body, argv[i] + 2, json_string(argv[i + 1]));
            i++;
        } else
            return false;
    }
    return json_object_get(body, "on") != NULL && json_object_get(body, "owner") != NULL &&
           json_object_get(body, "why") != NULL;
}

/* body NULL: it is taken off. */
static int reminder_change(struct cli *cli, const char *name, const json_t *body)
{
    g_autofree char *escaped = cli_escape(name), *path = g_strdup_printf("/v1/reminders/%s", escaped), *etag = NULL;
    json_t *answer = NULL;
    int code = look_up(cli, escaped, body == NULL, &etag);
    if (code == EXIT_OK)
        code = change(cli, body != NULL ? "PUT" : "DELETE", path, body, etag, &answer);
    if (code == EXIT_OK && !cli->json)
        fputs(cli_text(answer, "diff"), stdout);
    json_decref(answer);
    return code;
}

int command_reminder(struct cli *cli, int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return reminder_list(cli);
    if (argc == 3 && strcmp(argv[1], "clear") == 0)
        return reminder_change(cli, argv[2], NULL);
    if (argc < 3 || strcmp(argv[1], "set") != 0)
        return cli_usage("reminder");
    json_t *body = json_object();
    int code = set_flags(argc, argv, body) ? reminder_change(cli, argv[2], body) : cli_usage("reminder");
    json_decref(body);
    return code;
}
