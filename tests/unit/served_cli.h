/* served_cli.h: the CLI against the server of served_case.h.
 */
#ifndef TESTS_SERVED_CLI_H
#define TESTS_SERVED_CLI_H

#include "tests/unit/served_case.h"

struct run {
    int code;
    char *out, *err;
};
/* Any program, to its end. */
struct run run_argv(const char *const *argv);
/* signalbox with these words, at the socket of the served server; words: NULL-terminated. The texts are g_free's. */
struct run signalbox(const char *const *words);
#define SIGNALBOX_RUN(...) signalbox((const char *const[]){__VA_ARGS__, NULL})
/* Takes the run. out, err: what must stand in its output; "" for anything. */
void expect_run(struct run run, int code, const char *out, const char *err);
json_t *run_json(struct run run); /* that ended well */

/* The same beside the test: begins, and ends with its code. What it says to standard error is kept. */
struct beside {
    GPid pid;
    int err_fd;
    GString *err;
};
void beside_start(struct beside *beside, const char *const *words);
void beside_says(struct beside *beside, const char *text); /* waits until it does */
int beside_end(struct beside *beside);

#endif
