#include "tests/bench/flags.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define NUMBER_MAX 100000

volatile bool flags_cancelled;

static void on_signal(int number)
{
    (void)number;
    flags_cancelled = true;
}

static void catch_signals(void)
{
    const struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: waits end */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static bool check_numbers(const GOptionEntry *entries, GError **error)
{
    for (const GOptionEntry *entry = entries; entry->long_name != NULL; entry++) {
        unsigned number = entry->arg == G_OPTION_ARG_INT ? *(const unsigned *)entry->arg_data : 1;
        if (number >= 1 && number <= NUMBER_MAX)
            continue;
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--%s: found %d, expected a number from 1 to %d",
                    entry->long_name, (int)number, NUMBER_MAX);
        return false;
    }
    return true;
}

void flags_parse(struct flags *flags, int argc, char **argv, const char *summary, const GOptionEntry *more)
{
    g_autofree char *rounds = g_strdup_printf("%u when absent", flags->rounds);
    const GOptionEntry common[] = {
        {"rounds", 0, 0, G_OPTION_ARG_INT, &flags->rounds, rounds, "N"},
        {"site", 0, 0, G_OPTION_ARG_FILENAME, &flags->site,
         "site as `signalbox apply` takes it; the site of 2 July 2024 when absent", "FILE"},
        {"folder", 0, 0, G_OPTION_ARG_FILENAME, &flags->folder,
         "where the temporary folder is made, on the disk that matters ($TMPDIR or /tmp when absent)", "DIR"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &flags->json, "the result as one line", NULL},
        G_OPTION_ENTRY_NULL};
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;
    g_option_context_set_summary(context, summary);
    g_option_context_add_main_entries(context, common, NULL);
    g_option_context_add_main_entries(context, more, NULL);
    bool ok = g_option_context_parse(context, &argc, &argv, &error) && check_numbers(common, &error) &&
              check_numbers(more, &error);
    if (!ok || argc > 1) {
        fprintf(stderr, "%s: %s; --help lists all flags\n", g_get_prgname(),
                ok ? "found an argument, expected flags only" : error->message);
        exit(2);
    }
    if (flags->folder == NULL)
        flags->folder = g_strdup(g_get_tmp_dir());
    catch_signals();
}

int flags_end(bool ok, const GError *error)
{
    if (!ok)
        fprintf(stderr, "%s: %s\n", g_get_prgname(), error != NULL ? error->message : "cancelled");
    return ok ? 0 : 1;
}
