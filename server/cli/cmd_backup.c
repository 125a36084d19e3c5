/* cmd_backup.c: the journal of the server on this machine: a copy of it, and the way back. No server is asked. */
#include "server/cli/cli.h"

#include "server/store/backup.h"

#include <stdio.h>
#include <string.h>

#define STATE_DIR "/var/lib/signalbox"

static bool backup_options(const char **file, const char **state, int argc, char **argv)
{
    *file = NULL, *state = STATE_DIR;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--state") == 0 && i + 1 < argc)
            *state = argv[++i];
        else if (*file == NULL && argv[i][0] != '-')
            *file = argv[i];
        else
            return false;
    }
    return *file != NULL;
}

static void print_note(const struct backup_note *note)
{
    g_autofree char *made = cli_time_text(note->made_us);
    json_t *json =
        json_pack("{s:s, s:I, s:I, s:I, s:i, s:s*, s:s*}", "made", made, "made_us", (json_int_t)note->made_us, "epoch",
                  (json_int_t)note->epoch, "generation", (json_int_t)note->generation, "ended", (int)note->ended,
                  "replaced", note->replaced, "webhooks", note->webhooks);
    cli_print_json(json);
    json_decref(json);
}

int command_backup(struct cli *cli, int argc, char **argv)
{
    const char *file, *state;
    struct backup_note note;
    g_autoptr(GError) error = NULL;
    if (!backup_options(&file, &state, argc, argv))
        return cli_usage("backup");
    if (!backup_make(state, file, &note, &error))
        return cli_error(error);
    if (cli->json)
        print_note(&note);
    else
        printf("%s: epoch %" G_GUINT64_FORMAT ", generation %" G_GUINT64_FORMAT "\n", file, note.epoch,
               note.generation);
    return EXIT_OK;
}

int command_restore(struct cli *cli, int argc, char **argv)
{
    const char *file, *state;
    struct backup_note note;
    g_autoptr(GError) error = NULL;
    if (!backup_options(&file, &state, argc, argv))
        return cli_usage("restore");
    if (!backup_restore(state, file, &note, &error)) {
        backup_note_clear(&note);
        return cli_error(error);
    }
    g_autofree char *made = cli_time_text(note.made_us);
    if (note.webhooks != NULL)
        fprintf(
            stderr,
            "signalbox: restored, but not how far webhooks were told: %s. Restore it once more, or remove that file: "
            "then webhooks go on with what comes next\n",
            note.webhooks);
    if (cli->json) {
        print_note(&note);
    } else {
        printf("as of %s UTC: epoch %" G_GUINT64_FORMAT ", generation %" G_GUINT64_FORMAT "\n", made, note.epoch,
               note.generation);
        if (note.ended > 0)
            printf("%u executions were under way then, and have failed now: how they went on is not known\n",
                   note.ended);
        if (note.replaced != NULL)
            printf("the journal that was there: %s/%s\n", state, note.replaced);
        printf("Levers and tokens are those of that time. Start signalboxd, then: signalbox status, signalbox audit "
               "verify\n");
    }
    backup_note_clear(&note);
    return EXIT_OK;
}
