/* cmd_incident.c: the black box: what it holds, an incident as a case, a case replayed. */
#include "server/cli/incident_fetch.h"

#include "core/error.h"
#include "core/fileio.h"
#include "schema/object.h"
#include "server/interlocking/incident_case.h"

#include <stdio.h>
#include <string.h>

#define CASE_SIZE_MAX ((size_t)256 << 20)
#define BEFORE_US (5 * (int64_t)G_USEC_PER_SEC) /* of an execution that is shown, too */
#define FETCHES_MAX 10 /* until the end of an execution is on disk, for which each waits 0.1 s */

/* ---- list ---- */

static char *minutes_text(int64_t us)
{
    return g_strdup_printf("%.1f min", (double)us / G_USEC_PER_SEC / 60);
}

static int incident_list(struct cli *cli)
{
    json_t *answer = NULL, *row;
    size_t i;
    int code = cli_get(cli, "/v1/recordings", &answer);
    if (code == EXIT_OK && cli->json) {
        cli_print_json(answer);
    } else if (code == EXIT_OK) {
        json_array_foreach (json_object_get(answer, "recordings"), i, row) {
            int64_t began_us = json_integer_value(json_object_get(row, "began_us")),
                    ended_us = json_integer_value(json_object_get(row, "ended_us"));
            g_autofree char *from = cli_time_text(began_us), *to = cli_time_text(ended_us),
                            *length = minutes_text(ended_us - began_us);
            json_object_set_new(row, "from", json_string(from));
            json_object_set_new(row, "to", json_string(to));
            json_object_set_new(row, "length", json_string(length));
        }
        cli_print_table(json_object_get(answer, "recordings"),
                        (const char *const[]){"from utc=from", "to utc=to", "length", "bytes=size", "name", NULL});
    }
    json_decref(answer);
    return code;
}

/* ---- export ---- */

struct export
{
    const char *execution, *file;
    bool trim;
    int64_t from_us, to_us; /* wall clock */
    int64_t must_reach_us;  /* what the recording has to hold; 0: what there is will do */
};

/* False: usage. */
static bool export_options(struct export *e, int argc, char **argv)
{
    const char *from = NULL, *to = NULL;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--from") == 0 && i + 1 < argc)
            from = argv[++i];
        else if (strcmp(argv[i], "--to") == 0 && i + 1 < argc)
            to = argv[++i];
        else if (strcmp(argv[i], "--execution") == 0 && i + 1 < argc)
            e->execution = argv[++i];
        else if (strcmp(argv[i], "-o") == 0 && i + 1 < argc)
            e->file = argv[++i];
        else if (strcmp(argv[i], "--trim") == 0)
            e->trim = true;
        else
            return false;
    }
    e->to_us = g_get_real_time();
    return (from == NULL) != (e->execution == NULL) && (to == NULL || e->execution == NULL) &&
           (from == NULL || cli_time("--from", from, &e->from_us)) && (to == NULL || cli_time("--to", to, &e->to_us));
}

static int execution_times(struct cli *cli, struct export *e)
{
    g_autofree char *escaped = cli_escape(e->execution), *path = g_strdup_printf("/v1/executions/%s", escaped);
    json_t *answer = NULL;
    int code = cli_get(cli, path, &answer);
    e->from_us = json_integer_value(json_object_get(answer, "started_us")) - BEFORE_US;
    if (code == EXIT_OK && cli_execution_ended(answer)) {
        e->must_reach_us = json_integer_value(json_object_get(answer, "ended_us"));
        e->to_us = e->must_reach_us + G_USEC_PER_SEC / 2;
    }
    json_decref(answer);
    return code;
}

static int print_covered(const struct incident_note *note, const GError *error)
{
    if (note->began_us == 0)
        return cli_error(error);
    g_autofree char *from = cli_time_text(note->began_us), *to = cli_time_text(note->ended_us);
    fprintf(stderr, "signalbox: %s: found %s to %s\n", error->message, from, to);
    return EXIT_FAILED;
}

/* Fetches and cuts, once more while the end is still on its way to the disk. */
static int fetch_and_cut(struct cli *cli, const struct export *e, char **incident, struct incident_note *note)
{
    int code = EXIT_OK;
    for (int tries = 0; tries < FETCHES_MAX && code == EXIT_OK; tries++) {
        g_autoptr(GError) error = NULL;
        GString *recording = NULL;
        incident_note_clear(note);
        g_clear_pointer(incident, g_free);
        code = incident_fetch(cli, e->from_us, e->to_us, &recording);
        if (code == EXIT_OK && recording == NULL) {
            fprintf(stderr, "signalbox: the black box has no file of that time; signalbox incident list shows them\n");
            code = EXIT_FAILED;
        } else if (code == EXIT_OK) {
            *incident = incident_cut(recording->str, e->from_us, e->to_us, note, &error);
            if (*incident == NULL && note->ended_us >= e->must_reach_us)
                code = print_covered(note, error);
        }
        if (recording != NULL)
            g_string_free(recording, TRUE);
        if (*incident != NULL && note->ended_us >= e->must_reach_us)
            return EXIT_OK;
    }
    if (code == EXIT_OK) {
        fprintf(stderr, "signalbox: the end of %s is not in the black box\n", e->execution);
        code = EXIT_FAILED;
    }
    return code;
}

static int trim(char **incident, unsigned *dropped)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *whole = g_steal_pointer(incident);
    *incident = incident_trim(whole, dropped, &error);
    return *incident != NULL ? EXIT_OK : cli_error(error);
}

static int write_case(const struct export *e, const char *text)
{
    g_autoptr(GError) error = NULL;
    if (e->file == NULL)
        fputs(text, stdout);
    else if (!file_write_atomic(e->file, text, strlen(text), 0644, &error))
        return cli_error(error);
    return EXIT_OK;
}

/* What a reader should know; differs: the case is written all the same, and is not what happened. */
static int end_export(const struct incident_note *note, unsigned dropped)
{
    fprintf(stderr, "%u inputs, %u of them with effects, which a replay repeats%s", note->inputs, note->effects,
            note->differs == NULL ? "" : " but for one");
    if (dropped > 0)
        fprintf(stderr, "; %u lines left out, without which it goes the same way", dropped);
    if (note->gaps > 0)
        fprintf(stderr, "; the server began anew %u times, or something is missing", note->gaps);
    fputc('\n', stderr);
    if (note->differs == NULL)
        return EXIT_OK;
    fprintf(stderr, "signalbox: this version does not do what the server did: %s", note->differs);
    return EXIT_FAILED;
}

static int incident_export(struct cli *cli, int argc, char **argv)
{
    struct export e = {0};
    struct incident_note note = {0};
    g_autofree char *incident = NULL;
    unsigned dropped = 0;
    if (!export_options(&e, argc, argv))
        return cli_usage("incident");
    int code = e.execution != NULL ? execution_times(cli, &e) : EXIT_OK;
    if (code == EXIT_OK)
        code = fetch_and_cut(cli, &e, &incident, &note);
    if (code == EXIT_OK && e.trim)
        code = trim(&incident, &dropped);
    if (code == EXIT_OK) {
        g_autofree char *from = cli_time_text(MAX(e.from_us, note.began_us)),
                        *to = cli_time_text(MIN(e.to_us, note.ended_us)),
                        *text =
                            g_strdup_printf("# %s to %s UTC, signalbox " SIGNALBOX_VERSION "\n%s", from, to, incident);
        code = write_case(&e, text);
    }
    if (code == EXIT_OK)
        code = end_export(&note, dropped);
    incident_note_clear(&note);
    return code;
}

/* ---- replay ---- */

/* The first line that differs. */
static void print_difference(const char *file, const char *expected, const char *found)
{
    unsigned line = 1;
    while (*expected != '\0' && *found != '\0') {
        size_t e = strcspn(expected, "\n"), f = strcspn(found, "\n");
        if (e != f || strncmp(expected, found, e) != 0)
            break;
        expected += e + (expected[e] == '\n');
        found += f + (found[f] == '\n');
        line++;
    }
    fprintf(stderr, "signalbox: %s:%u: found\n%.*s\nexpected\n%.*s\n", file, line, (int)strcspn(found, "\n"), found,
            (int)strcspn(expected, "\n"), expected);
}

static unsigned count_lines(const char *text, const char *first)
{
    unsigned count = 0;
    for (const char *at = text; *at != '\0'; at += strcspn(at, "\n"), at += *at == '\n')
        count += strchr(first, *at) != NULL;
    return count;
}

static int replay_file(const char *file, bool update)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *expected = file_read(file, CASE_SIZE_MAX, NULL, &error),
                    *found = expected != NULL ? incident_run(expected, &error) : NULL;
    if (found == NULL) {
        g_prefix_error(&error, "%s: ", file);
        return cli_error(error);
    }
    bool same = strcmp(found, expected) == 0;
    if (!same && !update) {
        print_difference(file, expected, found);
        return EXIT_FAILED;
    }
    if (!same && !file_write_atomic(file, found, strlen(found), 0644, &error))
        return cli_error(error);
    printf("%s: %u inputs, %u lines of effects and texts: %s\n", file, count_lines(found, "+-"),
           count_lines(found, ">|"), same ? "the same" : "written anew");
    return EXIT_OK;
}

static int incident_replay_files(int argc, char **argv)
{
    bool update = argc > 2 && strcmp(argv[2], "--update") == 0;
    int worst = EXIT_OK;
    if (argc < (update ? 4 : 3))
        return cli_usage("incident");
    for (int i = update ? 3 : 2; i < argc; i++) {
        int code = replay_file(argv[i], update);
        worst = code != EXIT_OK ? code : worst;
    }
    return worst;
}

int command_incident(struct cli *cli, int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return incident_list(cli);
    if (argc >= 2 && strcmp(argv[1], "export") == 0)
        return incident_export(cli, argc, argv);
    if (argc >= 2 && strcmp(argv[1], "replay") == 0)
        return incident_replay_files(argc, argv);
    return cli_usage("incident");
}
