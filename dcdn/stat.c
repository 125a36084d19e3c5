#include "dcdn/stat.h"

#include <string.h>

static void row_free(void *data)
{
    struct stat_row *row = data;
    g_free(row->server);
    g_free(row->status);
    g_free(row->check);
    g_free(row->check_duration);
    g_free(row);
}

/* Number of a column, or -1. */
static int find(char *const *head, const char *name)
{
    for (int i = 0; head[i] != NULL; i++)
        if (strcmp(head[i], name) == 0)
            return i;
    return -1;
}

static char *word_at(char *const *words, int column)
{
    return column >= 0 ? g_strdup(words[column]) : NULL;
}

GPtrArray *stat_read(const char *reply)
{
    GPtrArray *rows = g_ptr_array_new_with_free_func(row_free);
    g_auto(GStrv) lines = g_strsplit(reply, "\n", -1);
    if (lines[0] == NULL || !g_str_has_prefix(lines[0], "# "))
        return rows;
    g_auto(GStrv) head = g_strsplit(lines[0] + 2, ",", -1);
    int server = find(head, "svname"), status = find(head, "status"), check = find(head, "check_status"),
        duration = find(head, "check_duration"), last = MAX(MAX(server, status), MAX(check, duration));
    for (char **line = lines + 1; server >= 0 && status >= 0 && *line != NULL; line++) {
        g_auto(GStrv) words = g_strsplit(*line, ",", -1);
        if ((int)g_strv_length(words) <= last)
            continue;
        struct stat_row *row = g_new(struct stat_row, 1);
        *row = (struct stat_row){word_at(words, server), word_at(words, status), word_at(words, check),
                                 word_at(words, duration)};
        g_ptr_array_add(rows, row);
    }
    return rows;
}

const char *stat_status(const GPtrArray *rows, const char *server)
{
    for (guint i = 0; i < rows->len; i++) {
        const struct stat_row *row = rows->pdata[i];
        if (strcmp(row->server, server) == 0)
            return row->status;
    }
    return "";
}
