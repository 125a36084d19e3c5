/* cmd_history.c: explain, now and as it was, and what two generations have apart. */
#include "server/cli/history.h"
#include "server/cli/incident_fetch.h"

#include "server/interlocking/incident_case.h"
#include "server/interlocking/world_diff.h"

#include <stdio.h>
#include <string.h>

#define DIFF_ROWS_MAX 60u

/* ---- explain ---- */

struct explain_options {
    const char *url, *user, *from, *carrier, *method, *at;
};

static bool explain_options(struct explain_options *options, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--user") == 0 && i + 1 < argc)
            options->user = argv[++i];
        else if (strcmp(argv[i], "--from") == 0 && i + 1 < argc)
            options->from = argv[++i];
        else if (strcmp(argv[i], "--carrier") == 0 && i + 1 < argc)
            options->carrier = argv[++i];
        else if (strcmp(argv[i], "--method") == 0 && i + 1 < argc)
            options->method = argv[++i];
        else if (strcmp(argv[i], "--at") == 0 && i + 1 < argc)
            options->at = argv[++i];
        else if (options->url == NULL && argv[i][0] != '-')
            options->url = argv[i];
        else
            return false;
    }
    return options->url != NULL;
}

static int explain_print(const struct cli *cli, const json_t *explained)
{
    if (cli->json) {
        cli_print_json(explained);
    } else {
        g_autofree char *text = explain_text(explained);
        fputs(text, stdout);
    }
    return EXIT_OK;
}

static int explain_now(struct cli *cli, const struct explain_options *options)
{
    g_autofree char *u = cli_escape(options->url), *who = cli_escape(options->user != NULL ? options->user : ""),
                    *edge = cli_escape(options->from != NULL ? options->from : ""),
                    *carrier = cli_escape(options->carrier != NULL ? options->carrier : ""),
                    *method = cli_escape(options->method != NULL ? options->method : "");
    g_autofree char *path =
        g_strdup_printf("/v1/explain?url=%s&user=%s&from=%s&carrier=%s&method=%s", u, who, edge, carrier, method);
    json_t *answer = NULL;
    int code = cli_get(cli, path, &answer);
    if (code == EXIT_OK)
        explain_print(cli, answer);
    json_decref(answer);
    return code;
}

/* The engine as the black box has it, if it has that time and the same generation; else NULL. */
static struct engine *observed_then(struct cli *cli, const struct history *history, int64_t wall_us, int64_t *now_us)
{
    GString *recording = NULL;
    cli->quiet = true; /* a server that records nothing */
    int code = incident_fetch(cli, wall_us, wall_us, &recording);
    cli->quiet = false;
    if (code != EXIT_OK || recording == NULL)
        return NULL;
    struct engine *engine = incident_engine_at(recording->str, wall_us, now_us, NULL);
    g_string_free(recording, TRUE);
    if (engine == NULL || engine_world(engine)->stamp.generation == history->generation)
        return engine;
    engine_free(engine);
    return NULL;
}

static int explain_history(const struct cli *cli, const struct history *history, const struct engine *engine,
                           int64_t now_us, int64_t wall_us, const struct explain_options *options)
{
    g_autoptr(GError) error = NULL;
    const struct explain_query query = {.url = options->url,
                                        .user = options->user,
                                        .from = options->from,
                                        .carrier = options->carrier,
                                        .method = options->method};
    json_t *explained = explain(engine_resolved(engine), engine_observed(engine), &query, now_us, &error);
    if (explained == NULL)
        return cli_error(error);
    g_autofree char *at = cli_time_text(wall_us), *committed = cli_time_text(history->at_us);
    if (!cli->json)
        printf("as of %s UTC; generation %" G_GUINT64_FORMAT " is of %s\n", at, history->generation, committed);
    explain_print(cli, explained);
    json_decref(explained);
    return EXIT_OK;
}

/* Of a generation: its last moment. */
static int explain_at(struct cli *cli, const struct explain_options *options)
{
    struct history history;
    int64_t wall_us = -1, now_us = 0;
    guint64 generation = 0;
    if (!g_ascii_string_to_unsigned(options->at, 10, 1, G_MAXINT64, &generation, NULL) &&
        !cli_time("--at", options->at, &wall_us))
        return EXIT_USAGE;
    int code = history_fetch(cli, generation, wall_us, 0, &history);
    if (code != EXIT_OK)
        return code;
    if (generation > 0)
        wall_us = history.next_us > 0 ? history.next_us - 1 : g_get_real_time();
    struct engine *then = observed_then(cli, &history, wall_us, &now_us);
    if (then == NULL)
        fprintf(stderr, "what was observed then is not in the black box; this is what was intended\n");
    code = explain_history(cli, &history, then != NULL ? then : history.engine, now_us, wall_us, options);
    engine_free(then);
    history_clear(&history);
    return code;
}

int command_explain(struct cli *cli, int argc, char **argv)
{
    struct explain_options options = {0};
    if (!explain_options(&options, argc, argv))
        return cli_usage("explain");
    return options.at != NULL ? explain_at(cli, &options) : explain_now(cli, &options);
}

/* ---- diff ---- */

/* "N" is from the one before it to N, "N..M". False: it is none. */
static bool read_range(const char *text, guint64 *from, guint64 *to)
{
    g_auto(GStrv) ends = g_strsplit(text, "..", 2);
    if (ends[0] == NULL || !g_ascii_string_to_unsigned(ends[0], 10, 1, G_MAXINT64, from, NULL))
        return false;
    *to = *from;
    if (ends[1] == NULL)
        return --*from > 0;
    return g_ascii_string_to_unsigned(ends[1], 10, 1, G_MAXINT64, to, NULL) && *from < *to;
}

/* Those that made a generation, each with who and why. */
static void print_changes(const json_t *audit, uint64_t from, uint64_t to)
{
    size_t i;
    json_t *row;
    json_array_foreach (audit, i, row) {
        json_int_t generation = json_integer_value(json_object_get(row, "generation"));
        if (generation <= (json_int_t)from || generation > (json_int_t)to)
            continue;
        const char *why = cli_text(row, "reason"), *execution = cli_text(row, "execution"),
                   *object = cli_text(row, "object"), *at = cli_text(row, "at");
        printf("generation %lld  %.*s UTC  %s  %s %s%s%s%s%s%s\n", (long long)generation, (int)strcspn(at, "."), at,
               cli_text(row, "actor"), cli_text(row, "what"), object, execution[0] != '\0' ? "  in " : "", execution,
               why[0] != '\0' ? "  (" : "", why, why[0] != '\0' ? ")" : "");
    }
}

static void print_diff(const struct cli *cli, const struct history *from, const struct history *to)
{
    json_t *diff = world_diff(engine_resolved(from->engine), engine_resolved(to->engine));
    json_object_set_new(diff, "from", json_integer((json_int_t)from->generation));
    json_object_set_new(diff, "to", json_integer((json_int_t)to->generation));
    json_object_set(diff, "audit", to->audit);
    if (cli->json) {
        cli_print_json(diff);
    } else {
        g_autofree char *text = world_diff_text(diff, DIFF_ROWS_MAX);
        print_changes(to->audit, from->generation, to->generation);
        fputs(text, stdout);
    }
    json_decref(diff);
}

/* diff FILE ... [--prune] is what apply -f FILE ... [--prune] --dry-run says. */
static int diff_files(struct cli *cli, int argc, char **argv)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    g_ptr_array_add(words, (gpointer) "apply");
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-')
            g_ptr_array_add(words, (gpointer) "-f");
        else if (strcmp(argv[i], "--prune") != 0)
            return cli_usage("diff");
        g_ptr_array_add(words, argv[i]);
    }
    g_ptr_array_add(words, (gpointer) "--dry-run");
    int n = (int)words->len;
    g_ptr_array_add(words, NULL);
    return command_apply(cli, n, (char **)words->pdata);
}

int command_diff(struct cli *cli, int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "gen") != 0)
        return diff_files(cli, argc, argv);
    struct history before = {0}, after = {0};
    guint64 from, to;
    if (argc != 3 || strcmp(argv[1], "gen") != 0 || !read_range(argv[2], &from, &to))
        return cli_usage("diff");
    int code = history_fetch(cli, from, 0, 0, &before);
    if (code == EXIT_OK)
        code = history_fetch(cli, to, 0, from, &after);
    if (code == EXIT_OK)
        print_diff(cli, &before, &after);
    history_clear(&before);
    history_clear(&after);
    return code;
}
