/* cmd_report.c: the report of an execution: where the time went, from the fault to the proof. */
#include "server/cli/cli.h"

#include <stdio.h>
#include <string.h>

/* In their order; each begins where the one before it ends. member: of `times`, or NULL. */
static const struct phase {
    const char *name, *member, *what;
} phases[] = {
    {"detect", NULL, "from the fault (--fault) until an entrance of the target was first reported down"},
    {"locate", NULL, "until people knew what it was: no clock sees that, it is within decide"},
    {"decide", "decide", "until the plan was run"},
    {"execute", "execute", "until its last lever was written"},
    {"converge", "converge", "until the last edge and name server had applied it"},
    {"recover", "recover", "until requests or probes proved it"},
};

/* Of a phase: us, or -1 where it is not known; *at_us: its end, unless that is not known. */
static json_int_t length_of(const struct phase *phase, const json_t *execution, int64_t fault_us, int64_t *at_us)
{
    const json_t *times = json_object_get(execution, "times");
    int64_t started_us = cli_number(execution, "started_us"), decide_us = cli_number(times, "decide"), us = -1;
    if (phase->member != NULL) {
        us = cli_number(times, phase->member);
        *at_us = strcmp(phase->name, "decide") == 0 ? started_us : *at_us + MAX(us, 0);
    } else if (strcmp(phase->name, "detect") == 0 && decide_us >= 0) {
        *at_us = started_us - decide_us;
        us = fault_us > 0 ? *at_us - fault_us : -1;
    } else {
        *at_us = 0;
    }
    return us;
}

/* What golden transactions were asked and answered. */
static json_t *evidence_of(const json_t *execution)
{
    json_t *list = json_array(), *step, *run, *row;
    size_t i, j, k;
    json_array_foreach (json_object_get(execution, "steps"), i, step)
        json_array_foreach (json_object_get(json_object_get(step, "spec"), "runs"), j, run)
            json_array_foreach (json_object_get(run, "evidence"), k, row) {
                json_t *copy = json_copy(row);
                json_object_set(copy, "answered_by", json_object_get(row, "room"));
                json_object_set(copy, "step", json_object_get(step, "name"));
                json_object_set(copy, "room", json_object_get(run, "room"));
                json_object_set(copy, "edge", json_object_get(run, "edge"));
                json_array_append_new(list, copy);
            }
    return list;
}

static json_t *report_of(const json_t *execution, int64_t fault_us)
{
    json_t *rows = json_array();
    int64_t at_us = 0, total_us = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(phases); i++) {
        json_int_t us = length_of(&phases[i], execution, fault_us, &at_us);
        bool ended = at_us > 0 && (us >= 0 || strcmp(phases[i].name, "detect") == 0);
        total_us += MAX(us, 0);
        json_array_append_new(rows, json_pack("{s:s, s:o, s:o, s:s}", "phase", phases[i].name, "us",
                                              us >= 0 ? json_integer(us) : json_null(), "ended_us",
                                              ended ? json_integer(at_us) : json_null(), "what", phases[i].what));
    }
    return json_pack("{s:s, s:s, s:O, s:s, s:s, s:O, s:o, s:o, s:I, s:o}", "id", cli_text(execution, "id"), "plan",
                     cli_text(execution, "plan"), "target", json_object_get(execution, "target"), "actor",
                     cli_text(execution, "actor"), "state", cli_text(execution, "state"), "reason",
                     json_object_get(execution, "reason"), "fault_us",
                     fault_us > 0 ? json_integer(fault_us) : json_null(), "phases", rows, "total_us",
                     (json_int_t)total_us, "evidence", evidence_of(execution));
}

static void print_report(json_t *report)
{
    const char *reason = cli_text(report, "reason"), *target = cli_text(report, "target");
    size_t i;
    json_t *row;
    printf("%s%s%s: %s, run by %s%s%s\n", cli_text(report, "id"), target[0] != '\0' ? " on " : "", target,
           cli_text(report, "state"), cli_text(report, "actor"), reason[0] != '\0' ? ": " : "", reason);
    json_array_foreach (json_object_get(report, "phases"), i, row) {
        const json_t *us = json_object_get(row, "us"), *ended = json_object_get(row, "ended_us");
        g_autofree char *at = json_is_integer(ended) ? cli_time_text(json_integer_value(ended)) : g_strdup("-");
        json_object_set_new(row, "s",
                            json_is_integer(us) ? json_sprintf("%.3f", (double)json_integer_value(us) / G_USEC_PER_SEC)
                                                : json_string("-"));
        json_object_set_new(row, "until", json_string(at));
    }
    cli_print_table(json_object_get(report, "phases"),
                    (const char *const[]){"phase", "seconds=s", "until utc=until", "what", NULL});
    if (json_array_size(json_object_get(report, "evidence")) > 0)
        cli_print_table(json_object_get(report, "evidence"),
                        (const char *const[]){"step", "request", "of=room", "by=edge", "good=ok", "status", "ms",
                                              "answered by=answered_by", "why", NULL});
    printf("together %.3f s\n", (double)cli_number(report, "total_us") / G_USEC_PER_SEC);
}

int execution_report(struct cli *cli, int argc, char **argv)
{
    int64_t fault_us = 0;
    if (argc != 3 && (argc != 5 || strcmp(argv[3], "--fault") != 0))
        return cli_usage("execution");
    if (argc == 5 && !cli_time("--fault", argv[4], &fault_us))
        return EXIT_USAGE;
    g_autofree char *escaped = cli_escape(argv[2]), *path = g_strdup_printf("/v1/executions/%s", escaped);
    json_t *answer = NULL;
    int code = cli_get(cli, path, &answer);
    if (code == EXIT_OK) {
        json_t *report = report_of(answer, fault_us);
        if (cli->json)
            cli_print_json(report);
        else
            print_report(report);
        json_decref(report);
    }
    json_decref(answer);
    return code;
}
