/* cmd_events.c: what happens, as it happens. */
#include "server/cli/cli.h"

#include "core/loop.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define COME_BACK_US (30 * (int64_t)G_USEC_PER_SEC) /* for a server that starts anew */
#define AGAIN_MS 200

/* One line of it, for people. */
static void print_event(const json_t *event)
{
    const json_t *body = json_object_get(event, "body");
    const char *kind = cli_text(event, "kind"), *id = cli_text(event, "id");
    g_autofree char *at = cli_time_text(cli_number(event, "at_us"));
    printf("%s  %-10s  ", at, kind);
    if (strcmp(kind, "audit") == 0)
        printf("%s: %s %s %s\n", cli_text(body, "actor"), cli_text(body, "what"), cli_text(body, "object"),
               cli_text(body, "reason"));
    else if (strcmp(kind, "generation") == 0)
        printf("%s %s\n", id, cli_text(body, "cause"));
    else if (strcmp(kind, "execution") == 0)
        printf("%s %s\n", id, cli_text(body, "state"));
    else if (strcmp(kind, "alarm") == 0)
        printf("%s: %s\n", cli_text(body, "state"), cli_text(body, "title"));
    else if (strcmp(kind, "event") == 0)
        printf("%.*s %s\n", (int)strcspn(id, "/"), id, cli_text(body, "text"));
    else
        printf("%s\n", id);
}

/* Of what the server sent; *id becomes that of the last event. Returns how many there were. */
static unsigned take_events(struct cli *cli, const char *text, char **id)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    bool gap = false;
    unsigned n = 0;
    for (char **line = lines; *line != NULL; line++) {
        if (g_str_has_prefix(*line, "id: ")) {
            g_free(*id);
            *id = g_strdup(*line + strlen("id: "));
        } else if (strcmp(*line, "event: gap") == 0) {
            gap = true;
            fprintf(stderr, "signalbox: the server has not got the event that was last seen: it was restored from an "
                            "older copy, and what happened in between is not shown\n");
        } else if (g_str_has_prefix(*line, "data: ") && !gap) {
            json_t *event = json_loads(*line + strlen("data: "), 0, NULL);
            if (cli->json)
                puts(*line + strlen("data: "));
            else
                print_event(event);
            json_decref(event);
            n++;
        }
        gap = gap && **line != '\0';
    }
    return n;
}

/* Asks once, or, of a server that was there, until it is back. */
static int fetch(struct cli *cli, const char *path, bool was_there, char **bytes)
{
    int64_t until_us = loop_now_us() + COME_BACK_US;
    size_t size;
    int code;
    do {
        cli->patient = was_there && loop_now_us() < until_us;
        code = cli_get_bytes(cli, path, bytes, &size);
    } while (code == EXIT_UNREACHABLE && cli->patient && poll(NULL, 0, AGAIN_MS) == 0);
    return code;
}

int command_events(struct cli *cli, int argc, char **argv)
{
    g_autofree char *id = NULL;
    bool follow = false, seen = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--follow") == 0)
            follow = true;
        else if (strcmp(argv[i], "--after") == 0 && i + 1 < argc && id == NULL)
            id = g_strdup(argv[++i]);
        else
            return cli_usage("events");
    }
    if (id == NULL && !follow)
        id = g_strdup("0");
    for (;;) {
        g_autofree char *escaped = cli_escape(id != NULL ? id : ""), *bytes = NULL;
        g_autofree char *path = g_strdup_printf("/v1/events?after=%s&wait=%d", escaped, follow ? 25 : 0);
        int code = fetch(cli, path, seen, &bytes);
        if (code != EXIT_OK)
            return code;
        unsigned n = take_events(cli, bytes, &id);
        if ((n == 0 && !follow) || cli_output_lost())
            return EXIT_OK;
        if (!seen && follow)
            fprintf(stderr, "following the events behind %s; Ctrl-C ends\n", id != NULL ? id : "0");
        seen = true;
    }
}
