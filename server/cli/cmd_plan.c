/* cmd_plan.c: plans and their executions. */
#include "server/cli/cli.h"

#include "schema/plan.h"

#include <stdio.h>
#include <string.h>

static int print_list(struct cli *cli, const char *path, const char *member, unsigned limit, const char *const *columns)
{
    json_t *answer = NULL;
    int code = cli_list(cli, path, member, limit, false, &answer);
    if (code == EXIT_OK && cli->json)
        cli_print_json(answer);
    else if (code == EXIT_OK)
        cli_print_table(json_object_get(answer, member), columns);
    json_decref(answer);
    return code;
}

static int state_exit_code(const char *state)
{
    static const struct {
        const char *state;
        int code;
    } codes[] = {{"succeeded", EXIT_OK}, {"refused", EXIT_REFUSED}, {"aborted", EXIT_ROLLED_BACK}};
    for (size_t i = 0; i < G_N_ELEMENTS(codes); i++)
        if (strcmp(state, codes[i].state) == 0)
            return codes[i].code;
    return EXIT_FAILED;
}

static int follow_and_print(struct cli *cli, const char *id)
{
    json_t *execution = NULL;
    int code = cli_follow(cli, id, &execution);
    if (code == EXIT_OK && cli->json)
        cli_print_json(execution);
    else if (code == EXIT_OK)
        cli_print_summary(execution);
    if (code == EXIT_OK)
        code = state_exit_code(cli_text(execution, "state"));
    json_decref(execution);
    return code;
}

/* What is not as it should be, but for refusals, which come last; who cannot move. */
static void print_prechecks(const json_t *answer)
{
    size_t i;
    json_t *check, *stays;
    json_array_foreach (json_object_get(answer, "checks"), i, check) {
        const char *state = cli_text(check, "state");
        bool refuses = strcmp(state, "block") == 0 && json_is_true(json_object_get(check, "override"));
        if (strcmp(state, "pass") != 0 && !refuses)
            printf("%-6s %s: %s: %s\n", state, cli_text(check, "name"), cli_text(check, "value"),
                   cli_text(check, "mend"));
    }
    json_array_foreach (json_object_get(answer, "stays"), i, stays)
        printf("stays  %s in %s: %s\n", cli_text(stays, "service"), cli_text(stays, "room"), cli_text(stays, "road"));
}

/* What a dry run says: the steps with what they would write, the forecast, prechecks, refusals. */
static void print_dry_run(const json_t *answer)
{
    size_t i, j;
    json_t *step, *set;
    json_array_foreach (json_object_get(answer, "steps"), i, step) {
        printf("%-16s %-6s %s %s\n", cli_text(step, "name"), cli_text(step, "kind"), cli_text(step, "argument"),
               cli_text(step, "text"));
        json_array_foreach (json_object_get(step, "sets"), j, set)
            printf("%16s   %s %s: %s -> %s\n", "", cli_text(set, "control"), cli_text(set, "object"),
                   cli_text(set, "before"), cli_text(set, "value"));
    }
    fputs(cli_text(json_object_get(answer, "forecast"), "text"), stdout);
    print_prechecks(answer);
}

/* NAME=OBJECT. params may be NULL. */
static json_t *param_add(json_t *params, const char *text)
{
    g_auto(GStrv) pair = g_strsplit(text, "=", 2);
    if (params == NULL)
        params = json_object();
    json_object_set_new(params, pair[0], json_string(pair[1]));
    return params;
}

static int plan_run(struct cli *cli, int argc, char **argv)
{
    const char *target = NULL, *confirm = NULL, *reason = NULL;
    bool dry_run = false, wait = true;
    json_t *overrides = json_array(), *answer = NULL, *params = NULL;
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "--target") == 0 && i + 1 < argc)
            target = argv[++i];
        else if (strcmp(argv[i], "--confirm") == 0 && i + 1 < argc)
            confirm = argv[++i];
        else if (strcmp(argv[i], "--reason") == 0 && i + 1 < argc)
            reason = argv[++i];
        else if (strcmp(argv[i], "--override") == 0 && i + 1 < argc)
            json_array_append_new(overrides, json_string(argv[++i]));
        else if (strcmp(argv[i], "--param") == 0 && i + 1 < argc && strchr(argv[i + 1], '=') != NULL)
            params = param_add(params, argv[++i]);
        else if (strcmp(argv[i], "--dry-run") == 0)
            dry_run = true;
        else if (strcmp(argv[i], "--no-wait") == 0)
            wait = false;
        else {
            json_decref(overrides);
            json_decref(params);
            return cli_usage("plan");
        }
    }
    g_autofree char *name = cli_escape(argv[2]), *path = g_strdup_printf("/v1/plans/%s/run", name);
    json_t *body =
        json_pack("{s:s*, s:s*, s:s*, s:o*, s:b, s:o}", "target", target != NULL ? target : confirm, "confirm", confirm,
                  "reason", reason, "params", params, "dry_run", dry_run, "overrides", overrides);
    int code = cli_call(cli, "POST", path, body, NULL, 30000, &answer, NULL);
    json_decref(body);
    if (code == EXIT_OK && dry_run) {
        if (!cli->json)
            print_dry_run(answer);
        code = cli_end_dry_run(cli, answer);
    } else if (code == EXIT_OK && !wait) {
        if (cli->json)
            cli_print_json(answer);
        else
            puts(cli_text(answer, "id"));
    } else if (code == EXIT_OK) {
        if (!cli->json)
            fprintf(stderr, "%s; Ctrl-C leaves it running, signalbox execution abort %s undoes it\n",
                    cli_text(answer, "id"), cli_text(answer, "id"));
        code = follow_and_print(cli, cli_text(answer, "id"));
    } else if (code == EXIT_UNREACHABLE && !dry_run) {
        fprintf(stderr, "signalbox: whether it was started is not known: signalbox execution list shows it\n");
    } else if (code == EXIT_USAGE && confirm == NULL) {
        fprintf(stderr, "signalbox: --confirm OBJECT names what the plan is run on\n");
    }
    json_decref(answer);
    return code;
}

/* As it is written: kind and argument, behind which steps it stands, what it sets. */
static void print_plan_step(const json_t *step)
{
    const char *kind = "";
    for (unsigned i = 0; i < STEP_KINDS; i++)
        if (json_object_get(step, step_kind_name(i)) != NULL)
            kind = step_kind_name(i);
    const json_t *ramp = json_object_get(step, "ramp");
    const char *to = cli_text(ramp, "to");
    g_autofree char *needs = cli_value_text(json_object_get(step, "needs")),
                    *stages = cli_value_text(json_object_get(ramp, "stages"));
    g_autofree char *way =
        ramp == NULL ? NULL
                     : g_strdup_printf("%s %s %s, %s %%", cli_text(ramp, "on"), to[0] != '\0' ? "to" : "away from",
                                       to[0] != '\0' ? to : cli_text(ramp, "away"), stages);
    printf("  %-16s %-7s %-18s after %s\n", cli_text(step, "name"), kind, way != NULL ? way : cli_text(step, kind),
           needs[0] != '\0' ? needs : "-");
    size_t i;
    json_t *set;
    json_array_foreach (json_object_get(step, "set"), i, set)
        printf("%18s %s %s: %s\n", "", cli_text(set, "control"), cli_text(set, "on"), cli_text(set, "value"));
}

static int plan_show(struct cli *cli, const char *name)
{
    g_autofree char *escaped = cli_escape(name), *path = g_strdup_printf("/v1/plans/%s", escaped);
    json_t *answer = NULL;
    int code = cli_get(cli, path, &answer);
    if (code == EXIT_OK && cli->json) {
        cli_print_json(answer);
    } else if (code == EXIT_OK) {
        printf("%s: %s\n", name, cli_text(answer, "summary"));
        size_t i;
        json_t *step, *note;
        json_array_foreach (json_object_get(answer, "notes"), i, note)
            printf("  %s\n", json_string_value(note));
        json_array_foreach (json_object_get(answer, "steps"), i, step)
            print_plan_step(step);
    }
    json_decref(answer);
    return code;
}

int command_plan(struct cli *cli, int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return print_list(cli, "/v1/plans", "plans", 0, (const char *const[]){"plan", "target", "summary", NULL});
    if (argc == 3 && strcmp(argv[1], "show") == 0)
        return plan_show(cli, argv[2]);
    if (argc >= 3 && strcmp(argv[1], "run") == 0)
        return plan_run(cli, argc, argv);
    return cli_usage("plan");
}

static int execution_show(struct cli *cli, const char *id)
{
    g_autofree char *escaped = cli_escape(id), *path = g_strdup_printf("/v1/executions/%s", escaped);
    json_t *answer = NULL;
    int code = cli_get(cli, path, &answer);
    if (code == EXIT_OK && cli->json) {
        cli_print_json(answer);
    } else if (code == EXIT_OK) {
        cli_print_events(answer);
        cli_print_summary(answer);
    }
    json_decref(answer);
    return code;
}

static int execution_abort(struct cli *cli, int argc, char **argv)
{
    const char *id = argv[2], *reason = NULL;
    json_t *overrides = json_array();
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "--reason") == 0 && i + 1 < argc) {
            reason = argv[++i];
        } else if (strcmp(argv[i], "--override") == 0 && i + 1 < argc) {
            json_array_append_new(overrides, json_string(argv[++i]));
        } else {
            json_decref(overrides);
            return cli_usage("execution");
        }
    }
    g_autofree char *escaped = cli_escape(id), *path = g_strdup_printf("/v1/executions/%s/abort", escaped);
    json_t *body = json_pack("{s:s*, s:o}", "reason", reason, "overrides", overrides);
    int code = cli_call(cli, "POST", path, body, NULL, 30000, NULL, NULL);
    json_decref(body);
    if (code != EXIT_OK)
        return code;
    code = follow_and_print(cli, id);
    return code == EXIT_ROLLED_BACK ? EXIT_OK : code; /* it was asked for */
}

/* What a person does to one under way: execution ACT ID [...]. */
static int execution_act(struct cli *cli, int argc, char **argv)
{
    json_t *body = json_pack("{s:s, s:[]}", "act", argv[1], "overrides"), *answer = NULL;
    for (int i = 3; i < argc; i++) {
        bool known = g_strv_contains((const char *const[]){"--step", "--binding", "--reason", NULL}, argv[i]);
        if (i + 1 < argc && known) {
            json_object_set_new(body, argv[i] + 2, json_string(argv[i + 1]));
            i++;
        } else if (i + 1 < argc && strcmp(argv[i], "--override") == 0) {
            json_array_append_new(json_object_get(body, "overrides"), json_string(argv[++i]));
        } else {
            json_decref(body);
            return cli_usage("execution");
        }
    }
    g_autofree char *escaped = cli_escape(argv[2]), *path = g_strdup_printf("/v1/executions/%s/acts", escaped);
    int code = cli_call(cli, "POST", path, body, NULL, 30000, &answer, NULL);
    if (code == EXIT_OK && cli->json)
        cli_print_json(answer);
    else if (code == EXIT_OK)
        cli_print_summary(answer);
    json_decref(answer);
    json_decref(body);
    return code;
}

int command_execution(struct cli *cli, int argc, char **argv)
{
    unsigned limit = 0;
    if (argc >= 2 && strcmp(argv[1], "list") == 0 && cli_limit(argc, argv, 2, &limit))
        return print_list(cli, "/v1/executions", "executions", limit,
                          (const char *const[]){"id", "plan", "target", "state", "who=actor", "reason", NULL});
    if (argc == 3 && strcmp(argv[1], "show") == 0)
        return execution_show(cli, argv[2]);
    if (argc == 3 && strcmp(argv[1], "wait") == 0)
        return follow_and_print(cli, argv[2]);
    if (argc >= 3 && strcmp(argv[1], "abort") == 0)
        return execution_abort(cli, argc, argv);
    const char *const acts[] = {"approve", "decline", "emergency", "review", "pause", "resume", "skip", "force", NULL};
    if (argc >= 3 && g_strv_contains(acts, argv[1]))
        return execution_act(cli, argc, argv);
    if (argc >= 3 && strcmp(argv[1], "report") == 0)
        return execution_report(cli, argc, argv);
    return cli_usage("execution");
}
