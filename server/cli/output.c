/* output.c: tables for people (libsmartcols) and JSON. */
#include "server/cli/cli.h"

#include "schema/object.h"

#include <fcntl.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CELL_MAX 48 /* characters */

/* A descriptor that is closed would be the next socket's, and what is printed would go to the server. Opened the wrong
 * way round, each use of it fails. */
void cli_output_begin(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", modes[fd]) != fd)
            abort();
}

bool cli_output_lost(void)
{
    return fflush(stdout) != 0 || ferror(stdout) != 0;
}

/* What was to be read and could not be written is no success. */
int cli_output_end(int code)
{
    if (!cli_output_lost())
        return code;
    fprintf(stderr, "signalbox: standard output cannot be written\n");
    return code == EXIT_OK ? EXIT_FAILED : code;
}

void cli_print_json(const json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
}

const json_t *cli_member(const json_t *json, const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, ".", -1);
    for (char **name = names; *name != NULL && json != NULL; name++)
        json = json_object_get(json, *name);
    return json;
}

const char *cli_text(const json_t *json, const char *path)
{
    const char *text = json_string_value(cli_member(json, path));
    return text != NULL ? text : "";
}

json_int_t cli_number(const json_t *json, const char *path)
{
    return json_integer_value(cli_member(json, path));
}

char *cli_value_text(const json_t *value)
{
    if (value == NULL || json_is_null(value))
        return g_strdup("-");
    if (json_is_string(value))
        return g_strdup(json_string_value(value));
    if (json_is_real(value))
        return g_strdup_printf("%.1f", json_real_value(value));
    if (json_is_array(value)) {
        GString *out = g_string_new(NULL);
        size_t i;
        json_t *item;
        json_array_foreach (value, i, item) {
            g_autofree char *text = cli_value_text(item);
            g_string_append_printf(out, "%s%s", i > 0 ? ", " : "", text);
        }
        if (out->len == 0)
            g_string_assign(out, "-");
        return g_string_free(out, FALSE);
    }
    char *dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    char *text = g_strdup(dumped);
    free(dumped);
    return text;
}

int cli_end_dry_run(struct cli *cli, const json_t *answer)
{
    const json_t *refusals = json_object_get(answer, "refusals");
    size_t i;
    json_t *refusal;
    if (cli->json)
        cli_print_json(answer);
    else
        json_array_foreach (refusals, i, refusal)
            printf("would be refused by %s: %s\n  way round: %s\n", cli_text(refusal, "rule"),
                   cli_text(refusal, "figures"), cli_text(refusal, "way_round"));
    fflush(stdout);
    fprintf(stderr, "dry run: nothing was changed\n");
    return json_array_size(refusals) > 0 ? EXIT_REFUSED : EXIT_OK;
}

/* A cell that would push the next ones off the screen is cut; --json has it whole. */
static void cut_cell(char *text)
{
    if (g_utf8_strlen(text, -1) > CELL_MAX)
        memcpy(g_utf8_offset_to_pointer(text, CELL_MAX - 4), "...", 4); /* never longer than what it replaces */
}

static bool is_column_of_numbers(const json_t *rows, const char *member)
{
    bool any = false;
    size_t i;
    json_t *row;
    json_array_foreach (rows, i, row) {
        const json_t *value = cli_member(row, member);
        if (value != NULL && !json_is_null(value) && !json_is_number(value))
            return false;
        any |= json_is_number(value);
    }
    return any;
}

static const char *member_of(const char *column)
{
    const char *equals = strchr(column, '=');
    return equals != NULL ? equals + 1 : column;
}

void cli_print_table(const json_t *rows, const char *const *columns)
{
    struct libscols_table *table = scols_new_table();
    scols_table_enable_noheadings(table, false);
    for (size_t c = 0; columns[c] != NULL; c++) {
        g_autofree char *title = g_ascii_strup(columns[c], (gssize)strcspn(columns[c], "="));
        int flags = is_column_of_numbers(rows, member_of(columns[c])) ? SCOLS_FL_RIGHT : 0;
        if (columns[c + 1] == NULL)
            flags |= SCOLS_FL_TRUNC; /* by a narrow terminal only */
        scols_table_new_column(table, title, 0, flags);
    }
    size_t i;
    json_t *row;
    json_array_foreach (rows, i, row) {
        struct libscols_line *line = scols_table_new_line(table, NULL);
        for (size_t c = 0; columns[c] != NULL; c++) {
            g_autofree char *text = cli_value_text(cli_member(row, member_of(columns[c])));
            if (columns[c + 1] != NULL)
                cut_cell(text);
            scols_line_set_data(line, c, text);
        }
    }
    if (json_array_size(rows) > 0)
        scols_print_table(table);
    scols_unref_table(table);
}

int64_t cli_duration(const char *text)
{
    static const struct {
        const char *unit;
        int64_t seconds;
    } units[] = {{"d", 86400}, {"h", 3600}, {"m", 60}};
    char *end = NULL;
    guint64 n = g_ascii_strtoull(text, &end, 10);
    for (size_t i = 0; i < G_N_ELEMENTS(units); i++)
        if (n > 0 && n < 100000 && end != text && strcmp(end, units[i].unit) == 0)
            return (int64_t)n * units[i].seconds;
    return 0;
}

bool cli_time(const char *flag, const char *text, int64_t *us)
{
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(text, utc);
    if (time != NULL) {
        *us = g_date_time_to_unix(time) * G_USEC_PER_SEC + g_date_time_get_microsecond(time);
        return true;
    }
    g_autofree char *found = text_quote(text);
    fprintf(stderr, "signalbox: %s: found %s, expected a time like 2024-07-02T10:04:00Z\n", flag, found);
    return false;
}

char *cli_time_text(int64_t us)
{
    g_autoptr(GDateTime) seconds = g_date_time_new_from_unix_utc(us / G_USEC_PER_SEC);
    g_autofree char *date = seconds == NULL ? g_strdup("?") : g_date_time_format(seconds, "%Y-%m-%dT%H:%M:%S");
    return g_strdup_printf("%s.%03d", date, (int)(us % G_USEC_PER_SEC / 1000));
}
