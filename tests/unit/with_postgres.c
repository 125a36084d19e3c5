/* with_postgres.c: with_postgres [--sync] PROGRAM...: runs a test with a real Postgres beside it, where its servers
 * keep their history (SERVED_STORE): what is functional is so with both engines. --sync: it waits for its disk, for
 * measurements. */
#include "tests/unit/postgresd.h"
#include "tests/unit/unit.h"

#include <string.h>
#include <sys/wait.h>

static char **program;

START_TEST(with_postgres)
{
    postgresd_start();
    g_autofree char *url = postgresd_fresh();
    strrchr(url, '/')[1] = '\0';
    g_setenv("SERVED_STORE", url, TRUE);
    pid_t pid = fork();
    if (pid == 0) {
        execv(program[0], program);
        _exit(127);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    postgresd_end();
    ck_assert_msg(status == 0, "%s ended with %x", program[0], (unsigned)status);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 590);
    tcase_add_test(tcase, with_postgres);
}

int main(int argc, char **argv)
{
    program = argv + 1;
    if (argc > 1 && strcmp(argv[1], "--sync") == 0) {
        postgresd_sync();
        program++;
    }
    return *program != NULL ? unit_run("with_postgres", add) : EXIT_FAILURE;
}
