/* flags.h: how a measurement is asked for and ended, alike in all benches that start the product: its flags, and the
 * signals that cancel it.
 *
 * Thread safety: one thread.
 */
#ifndef BENCH_FLAGS_H
#define BENCH_FLAGS_H

#include <glib.h>
#include <stdbool.h>

struct flags {
    unsigned rounds; /* --rounds */
    char *site;      /* --site: a file as `signalbox apply` takes it */
    char *folder;    /* --folder: where the temporary one is made; $TMPDIR or /tmp when absent */
    gboolean json;   /* --json: the result as one line */
};

/* Set by SIGINT, SIGTERM and SIGHUP, which also end every wait of a system call. */
extern volatile bool flags_cancelled;

/* Takes argv by the flags above, which hold their defaults, and by more entries (NULL-terminated); every INT one is
 * an unsigned from 1 to 100,000. summary: what is measured, for --help. Prints --help and ends with 0, or ends with 2
 * when argv is not understood. */
void flags_parse(struct flags *flags, int argc, char **argv, const char *summary, const GOptionEntry *more);
/* The exit code; when not ok, why, to stderr. error may be NULL: cancelled. */
int flags_end(bool ok, const GError *error);

#endif
