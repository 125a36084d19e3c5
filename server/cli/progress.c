/* progress.c: an execution as a person sees it. On a terminal a picture with a line for each step, drawn again as it
 * moves; elsewhere a line for each event that says something new. The name servers' every turn is an event of its own:
 * a step is shown again only when it counts differently, the whole record is in --json.
 */
#include "server/cli/cli.h"

#include "core/loop.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { PLAIN_COLUMNS = 100, NAME_MIN = 12, ASK_AGAIN_MS = 100 };
#define PATIENCE_US (30 * (int64_t)G_USEC_PER_SEC)

struct progress {
    GHashTable *shown; /* step -> what its last line said, without who is waited for */
    json_int_t seen;   /* seq of the newest event */
    int rows;          /* of the picture on the terminal */
};

static struct winsize terminal_size(void)
{
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        size = (struct winsize){.ws_col = PLAIN_COLUMNS, .ws_row = 24};
    return size;
}

static bool can_draw(const struct cli *cli, const json_t *execution)
{
    return !cli->json && isatty(STDOUT_FILENO) && isatty(STDERR_FILENO) && g_strcmp0(g_getenv("TERM"), "dumb") != 0 &&
           json_array_size(json_object_get(execution, "steps")) + 4 < terminal_size().ws_row;
}

static double seconds(const json_t *from, const char *member, json_int_t started_us)
{
    return (double)(json_integer_value(json_object_get(from, member)) - started_us) / 1e6;
}

static void print_event(FILE *out, const json_t *event, json_int_t started_us)
{
    fprintf(out, "%8.3f s  %-*s %s\n", seconds(event, "at_us", started_us), NAME_MIN, cli_text(event, "step"),
            cli_text(event, "text"));
}

/* True if the event says more than the last one of its step: a count, an outcome. */
static bool says_more(struct progress *progress, const json_t *event)
{
    const char *step = cli_text(event, "step"), *text = cli_text(event, "text");
    const char *names = strstr(text, ", waiting for "), *late = strstr(text, ", not within ");
    g_autofree char *said =
        names == NULL ? g_strdup(text) : g_strdup_printf("%.*s%s", (int)(names - text), text, late ? late : "");
    if (step[0] == '\0')
        return true;
    if (g_strcmp0(g_hash_table_lookup(progress->shown, step), said) == 0)
        return false;
    g_hash_table_replace(progress->shown, g_strdup(step), g_steal_pointer(&said));
    return true;
}

static void print_step(const json_t *step, json_int_t started_us, int name_width, unsigned columns)
{
    g_autofree char *at = json_integer_value(json_object_get(step, "ended_us")) > 0
                              ? g_strdup_printf("%.3f s", seconds(step, "ended_us", started_us))
                              : g_strdup("");
    g_autofree char *row = g_strdup_printf("%-10s %10s  %-*s %s", cli_text(step, "state"), at, name_width,
                                           cli_text(step, "name"), cli_text(step, "text"));
    g_strchomp(row);
    if (columns > 4 && g_utf8_strlen(row, -1) > (glong)columns)
        strcpy(g_utf8_offset_to_pointer(row, (glong)columns - 3), "...");
    puts(row);
}

/* columns: rows are cut there, so that each stays one row of the terminal; 0: they are whole. */
static int print_steps(const json_t *execution, unsigned columns)
{
    const json_t *steps = json_object_get(execution, "steps");
    json_int_t started_us = json_integer_value(json_object_get(execution, "started_us"));
    int name_width = NAME_MIN;
    size_t i;
    json_t *step;
    json_array_foreach (steps, i, step)
        name_width = MAX(name_width, (int)g_utf8_strlen(cli_text(step, "name"), -1));
    json_array_foreach (steps, i, step)
        print_step(step, started_us, name_width, columns);
    return (int)json_array_size(steps);
}

static void erase(struct progress *progress)
{
    if (progress->rows > 0)
        printf("\033[%dA\033[J", progress->rows);
    progress->rows = 0;
}

/* What the rows of the steps do not hold: events of the whole, and levers that a set step found moved. */
static bool beside_steps(const json_t *execution, const json_t *event)
{
    size_t i;
    json_t *step;
    json_array_foreach (json_object_get(execution, "steps"), i, step)
        if (strcmp(cli_text(step, "name"), cli_text(event, "step")) == 0)
            return strcmp(cli_text(step, "kind"), "set") == 0 &&
                   strcmp(cli_text(step, "text"), cli_text(event, "text")) != 0;
    return true;
}

static void show_events(const struct cli *cli, struct progress *progress, const json_t *execution, bool drawing)
{
    json_int_t started_us = json_integer_value(json_object_get(execution, "started_us"));
    size_t i;
    json_t *event;
    json_array_foreach (json_object_get(execution, "events"), i, event) {
        json_int_t seq = json_integer_value(json_object_get(event, "seq"));
        if (seq <= progress->seen)
            continue;
        progress->seen = seq;
        if (cli->json || (drawing ? !beside_steps(execution, event) : !says_more(progress, event)))
            continue;
        print_event(drawing ? stdout : stderr, event, started_us);
    }
}

static void show(const struct cli *cli, struct progress *progress, const json_t *execution)
{
    bool drawing = can_draw(cli, execution);
    erase(progress);
    show_events(cli, progress, execution, drawing);
    if (drawing && !cli_execution_ended(execution))
        progress->rows = print_steps(execution, terminal_size().ws_col);
    fflush(stdout);
}

bool cli_execution_ended(const json_t *execution)
{
    const char *state = cli_text(execution, "state");
    return strcmp(state, "pending") != 0 && strcmp(state, "running") != 0 && strcmp(state, "aborting") != 0;
}

/* Asks until the server answers, or half a minute is over: then the error is printed. */
static int ask_again(struct cli *cli, const char *path, json_t **answer)
{
    int64_t until_us = loop_now_us() + PATIENCE_US;
    int code = EXIT_UNREACHABLE;
    fprintf(stderr, "signalbox: the server is away; it is asked again for %d s, and the execution goes on with it\n",
            (int)(PATIENCE_US / G_USEC_PER_SEC));
    cli->patient = true;
    while (code == EXIT_UNREACHABLE && loop_now_us() < until_us) {
        poll(NULL, 0, ASK_AGAIN_MS); /* not to ask too often */
        code = cli_get(cli, path, answer);
    }
    cli->patient = false;
    return code == EXIT_UNREACHABLE ? cli_get(cli, path, answer) : code;
}

int cli_follow(struct cli *cli, const char *id, json_t **execution)
{
    struct progress progress = {.shown = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free)};
    g_autofree char *escaped = cli_escape(id);
    json_t *answer = NULL;
    bool seen = false;
    int code;
    do {
        g_autofree char *path =
            g_strdup_printf("/v1/executions/%s?after=%lld&wait=25", escaped, (long long)progress.seen);
        json_decref(answer);
        answer = NULL;
        cli->patient = seen; /* a server that was there may come back */
        code = cli_get(cli, path, &answer);
        cli->patient = false;
        if (code == EXIT_UNREACHABLE && seen)
            code = ask_again(cli, path, &answer);
        seen = true;
        if (code == EXIT_OK)
            show(cli, &progress, answer);
    } while (code == EXIT_OK && !cli_execution_ended(answer));
    if (code == EXIT_UNREACHABLE)
        fprintf(stderr, "the execution does not need this command; to see it again: signalbox execution wait %s\n", id);
    g_hash_table_unref(progress.shown);
    *execution = answer;
    return code;
}

void cli_print_events(const json_t *execution)
{
    struct progress progress = {.shown = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free)};
    json_int_t started_us = json_integer_value(json_object_get(execution, "started_us"));
    size_t i;
    json_t *event;
    json_array_foreach (json_object_get(execution, "events"), i, event)
        if (says_more(&progress, event))
            print_event(stdout, event, started_us);
    g_hash_table_unref(progress.shown);
    putchar('\n');
}

static void print_times(const json_t *times)
{
    static const char *const phases[] = {"decide", "execute", "converge", "recover"};
    fputs("times:", stdout);
    for (size_t i = 0; i < G_N_ELEMENTS(phases); i++) {
        json_int_t us = json_integer_value(json_object_get(times, phases[i]));
        if (us >= 0)
            printf("%s %s %.3f s", i > 0 ? "," : "", phases[i], (double)us / 1e6);
        else
            printf("%s %s -", i > 0 ? "," : "", phases[i]);
    }
    putchar('\n');
}

void cli_print_summary(const json_t *execution)
{
    const char *id = cli_text(execution, "id"), *state = cli_text(execution, "state"),
               *error = cli_text(execution, "error");
    json_int_t started_us = json_integer_value(json_object_get(execution, "started_us"));
    print_steps(execution, 0);
    print_times(json_object_get(execution, "times"));
    json_int_t unproven = json_integer_value(json_object_get(execution, "unproven"));
    printf("%s: %s", id, state);
    if (unproven > 0)
        printf(", %lld %s unproven", (long long)unproven, unproven == 1 ? "policy" : "policies");
    if (cli_execution_ended(execution))
        printf(" after %.3f s", seconds(execution, "ended_us", started_us));
    printf("%s%s\n", error[0] != '\0' ? ": " : "", error);
    fflush(stdout);
    if (strcmp(state, "incomplete") == 0)
        fprintf(stderr,
                "its levers stay as it set them; who is late is still waited for (signalbox execution show %s)\n", id);
    if (strcmp(state, "incomplete") == 0 || strcmp(state, "failed") == 0)
        fprintf(stderr, "to set back what it wrote: signalbox execution abort %s\n", id);
}
