#include "dcdn/ctl.h"

#include "core/error.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define EXIT_REFUSED 1
#define EXIT_USAGE 2
#define EXIT_UNREACHABLE 6
#define ANSWER_SIZE_MAX (64u << 20)

static struct {
    char *socket, *time, *reason;
} flags;

static const GOptionEntry entries[] = {
    {"socket", 0, 0, G_OPTION_ARG_FILENAME, &flags.socket, "the agent's (/var/lib/signalbox-edge/edge.sock)", "PATH"},
    {"for", 0, 0, G_OPTION_ARG_STRING, &flags.time, "how long it lasts: 90s, 30m (the default), 2h; at most 24h",
     "TIME"},
    {"reason", 0, 0, G_OPTION_ARG_STRING, &flags.reason, "for the audit, and for who reads the status", "TEXT"},
    G_OPTION_ENTRY_NULL,
};

static const char description[] =
    "Commands:\n"
    "  status                what this edge has, and who did what to it by hand; JSON\n"
    "  hold                  keep what is in force, whatever the servers publish meanwhile\n"
    "  override ROOM         close a room here; never the last one that is open\n"
    "  release hold|ROOM|all end it before its time\n\n"
    "All but status want --reason. Each is written to breakglass.log beside the last good table before it is done, "
    "lasts\n"
    "over restarts, and is told to the control servers, now or when they are back: until it ends this edge counts as "
    "one\n"
    "that has not converged. Exit codes: 0 done, 1 refused, 2 usage, 6 nobody answers at the socket.";

static void usage(GError **error, const char *what)
{
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s; signalbox-edge ctl --help lists all", what);
}

/* The line for the socket; g_free. NULL with error: usage. */
static char *build_line(int argc, char **argv, GError **error)
{
    const char *verb = argc > 1 ? argv[1] : "";
    bool hold = strcmp(verb, "hold") == 0, release = strcmp(verb, "release") == 0;
    bool known = hold || release || strcmp(verb, "override") == 0;
    if (strcmp(verb, "status") == 0 && argc == 2)
        return g_strdup("status\n");
    if (!known)
        usage(error, "expected status, hold, override ROOM or release hold|ROOM|all");
    else if (argc != (hold ? 2 : 3))
        usage(error, hold ? "hold takes no argument" : "expected one argument: what it is for");
    else if (flags.reason == NULL)
        usage(error, "--reason is needed: who reads it later wants to know");
    else if (release && flags.time != NULL)
        usage(error, "--for does not go with release");
    else if (strchr(flags.reason, '\n') != NULL)
        usage(error, "--reason: expected one line");
    if (*error == NULL)
        return g_strdup_printf("%s %s%s%s%s%s\n", verb, hold ? "" : argv[2], hold ? "" : " ",
                               release              ? ""
                               : flags.time != NULL ? flags.time
                                                    : "30m",
                               release ? "" : " ", flags.reason);
    return NULL;
}

/* All that is answered to one line; NULL with error. */
static char *ask(const char *path, const char *line, GError **error)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = CTL_TIMEOUT_S};
    g_strlcpy(to.sun_path, path, sizeof to.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    GString *text = g_string_new(NULL);
    char buffer[65536];
    ssize_t n = -1;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 && send(fd, line, strlen(line), MSG_NOSIGNAL) > 0)
        while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0 && text->len < ANSWER_SIZE_MAX)
            g_string_append_len(text, buffer, n);
    if (n < 0 || text->len == 0)
        g_set_error(error, SB_ERROR, SB_ERROR_UNREACHABLE, "%s: %s", path,
                    n < 0 ? g_strerror(errno) : "closed without an answer: only root and the agent's user are heard");
    close(fd);
    return g_string_free(text, n < 0 || text->len == 0);
}

static int show(const char *answer)
{
    json_t *json = json_loads(answer, 0, NULL);
    const char *done = json_string_value(json_object_get(json, "done"));
    const char *refused =
        json_object_get(json, "edge") == NULL ? json_string_value(json_object_get(json, "error")) : NULL;
    if (refused != NULL)
        fprintf(stderr, "signalbox-edge: %s\n", refused);
    else
        printf("%s%s", done != NULL ? done : answer, done != NULL ? "\n" : "");
    json_decref(json);
    return refused != NULL ? EXIT_REFUSED : 0;
}

int ctl_main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GOptionContext) context = g_option_context_new("COMMAND - act at the agent of this machine");
    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_description(context, description);
    g_autofree char *line = NULL;
    if (g_option_context_parse(context, &argc, &argv, &error))
        line = build_line(argc, argv, &error);
    if (line == NULL) {
        fprintf(stderr, "signalbox-edge: %s\n", error->message);
        return EXIT_USAGE;
    }
    g_autofree char *answer =
        ask(flags.socket != NULL ? flags.socket : "/var/lib/signalbox-edge/edge.sock", line, &error);
    if (answer == NULL) {
        fprintf(stderr, "signalbox-edge: %s\n", error->message);
        return EXIT_UNREACHABLE;
    }
    return show(answer);
}
