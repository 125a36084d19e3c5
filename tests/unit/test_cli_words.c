/* The words of the command line: what is wrong in them is said before anything is asked, completion offers what may
 * stand there, and input as a hostile colleague types it ends well. */
#include "core/loop.h"
#include "tests/unit/served_cli.h"
#include "tests/unit/unit.h"

#include <signal.h>
#include <string.h>

/* A line of bash behind `signalbox --socket ...`, or behind `signalbox --complete signalbox --socket ...`. */
static struct run bash_run(const char *before, const char *words)
{
    g_autofree char *line = g_strdup_printf("$SIGNALBOX %s--socket $SOCKET %s", before, words);
    const char *argv[] = {"/bin/bash", "-c", line, NULL};
    g_setenv("SIGNALBOX", SIGNALBOX, TRUE);
    g_setenv("SOCKET", served.socket, TRUE);
    return run_argv(argv);
}

static struct run shell_run(const char *words)
{
    return bash_run("", words);
}

static struct run complete_run(const char *words)
{
    return bash_run("--complete signalbox ", words);
}

START_TEST(wrong_words)
{
    static const struct {
        const char *words, *err; /* words: a shell would split them so */
    } rows[] = {
        {"satus", "no command \"satus\", did you mean status?"},
        {"--sever x status", "did you mean --server? signalbox --help lists the flags"},
        {"--token-file", "signalbox: signalbox --help lists the flags"},
        {"dance", "no command \"dance\"; signalbox --help lists them"},
        {"plan rnu", "signalbox plan: verb: found \"rnu\", expected list, show, run; did you mean run?"},
        {"audit verfy", "expected verify; did you mean verify?"},
        {"plan run room-isolated --confrim room-a", "did you mean --confirm?"},
        {"plan run room-isolated --confirm", "--confirm: found nothing behind it, expected OBJECT"},
        {"token create --name x --role", "--role: found nothing behind it, expected viewer|operator|admin|agent"},
        {"export --all", "option: found \"--all\", expected --plans"},
        {"status --server https://192.0.2.1", "--server stands before the command"},
        {"plan show ''", "found an empty word"},
        {"control set room.ingress room-a closed --reason $'\\e[2Jgone'", "\"\\u001b[2Jgone\", expected text in UTF-8"},
        {"control set room.ingress room-a closed --reason $'\\xff'", "\"\\xff\", expected text in UTF-8"},
        {"explain $'http://home.example.test/\\a'", "expected text in UTF-8 without control characters"},
        {"--server http:// status", "--server: found \"http://\", expected https://ADDRESS:PORT"},
        {"--server https://a:1@b status", "expected https://ADDRESS:PORT"},
        {"--server https://192.0.2.1/v1 status", "expected https://ADDRESS:PORT"},
        {"--server ftp://192.0.2.1 status", "expected https://ADDRESS:PORT"},
        {"--server http://192.0.2.1:1 --token-file token status", "a token is not sent over a network in clear"},
        {"--server http://127.evil.test:1 --token-file token status", "a token is not sent over a network in clear"},
        {"--server http://127.0.0.1:1 --token-file evil status", "found no token in evil, expected one line"},
        {"--server http://127.0.0.1:1 --token-file /dev/null status", "found no token in /dev/null"},
        {"apply -f /dev/null --prune", "found no object in it, expected some: --prune would remove all"},
        {"apply -f only-a-plan.yaml --prune", "--prune would remove all"},
        {"apply -f empty", "found no object in it, expected some or a plan"},
        {"diff empty", "found no object in it"},
        {"apply -f /dev/zero", "/dev/zero is larger than"},
        {"audit --limit 99999999999999999999", "usage: signalbox audit"},
        {"plan show $(head -c 70000 /dev/zero | tr '\\0' a)", "the server answered 414, what was asked is too long"},
        {"diff gen 1..99999999999999999999999", "usage: signalbox diff"},
    };
    g_autofree char *home = g_build_filename(served.dir, "home", NULL), *empty = g_build_filename(home, "empty", NULL);
    ck_assert_int_eq(g_mkdir_with_parents(empty, 0700), 0);
    ck_assert_int_eq(chdir(home), 0);
    ck_assert(g_file_set_contents("token", "sb_x\n", -1, NULL));
    ck_assert(g_file_set_contents("evil", "sb_x\r\nX-Evil: 1\n", -1, NULL));
    ck_assert(g_file_set_contents("only-a-plan.yaml",
                                  "plan: only\ntarget: pop\nsteps:\n  - name: a\n    check: forecast\n", -1, NULL));
    served_apply_site(&served);
    json_int_t before = status_number("generation");
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        expect_run(shell_run(rows[i].words), 2, "", rows[i].err);
    ck_assert_int_eq(status_number("generation"), before); /* nothing of it was done */
}
END_TEST

/* What --help shows as an example is taken. */
START_TEST(examples_are_good)
{
    static const char *const not_here[] = {"status", "events", "backup", "restore",
                                           NULL}; /* endless; outside of a test */
    g_autofree char *home = g_build_filename(served.dir, "home", NULL);
    ck_assert_int_eq(g_mkdir_with_parents(home, 0700), 0);
    ck_assert_int_eq(chdir(home), 0);
    served_apply_site(&served);
    expect_run(shell_run("export >site.yaml"), 0, "", "");
    struct run all = shell_run("--help");
    g_auto(GStrv) lines = g_strsplit(all.out, "\n", -1);
    unsigned commands = 0;
    for (char **line = lines; *line != NULL; line++) {
        g_autofree char *name = g_strndup(*line + 2, strcspn(*line + MIN(strlen(*line), 2), " "));
        if (!g_str_has_prefix(*line, "  ") || !g_ascii_islower((*line)[2]))
            continue;
        commands++;
        g_autofree char *ask = g_strconcat(name, " --help", NULL);
        struct run help = shell_run(ask);
        const char *example = strstr(help.out, "\n\nExample:\n  signalbox ");
        ck_assert_msg(help.code == 0 && example != NULL, "%s has no example", name);
        g_autofree char *words = g_strstrip(g_strdup(example + strlen("\n\nExample:\n  signalbox ")));
        ck_assert_msg(g_str_has_prefix(words, name), "%s: %s", name, words);
        struct run run = g_strv_contains(not_here, name) ? (struct run){0} : shell_run(words);
        ck_assert_msg(run.code == 0 || run.code == 1, "%s: %d, %s", words, run.code, run.err); /* 1: nothing there */
        g_free(run.out);
        g_free(run.err);
        g_free(help.out);
        g_free(help.err);
    }
    ck_assert_uint_ge(commands, 18);
    g_free(all.out);
    g_free(all.err);
}
END_TEST

START_TEST(completion)
{
    static const struct {
        const char *words, *offered; /* "a b ": all that is offered */
    } rows[] = {
        {"pl", "plan "},
        {"--tok", "--token-file "},
        {"--ca ''", ":files "},
        {"plan ''", "list show run "},
        {"plan run room-", "room-drain room-isolated "},
        {"plan run room-isolated --confirm ''", "room-a room-b "},
        {"plan run room-isolated --con", "--confirm "},
        {"control set room.in", "room.ingress "},
        {"control set room.ingress ''", "room-a room-b "},
        {"control set room.ingress room-a ''", "open closed "},
        {"control set service.limit upload ''", "default "},
        {"inventory show po", "pop pool "},
        {"inventory show pop pop-a", "pop-a1 pop-a2 "},
        {"explain http://x/ --from ''", "edge-1 edge-2 edge-3 edge-4 "},
        {"token create --role a", "admin agent "},
        {"token delete b", "bob "},
        {"eastwest h", "home "},
        {"apply -f ''", ":files "},
        {"audit --limit ''", ""},
        {"dance ''", ""},
        {"plan show no-such --", "--json --help "},
        {"status --w", "--watch "},
    };
    served_apply_site(&served);
    g_free(served_token(&served, "bob", "viewer"));
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct run run = complete_run(rows[i].words);
        for (char *c = run.out; *c != '\0'; c++)
            *c = *c == '\n' ? ' ' : *c;
        ck_assert_msg(run.code == 0 && strcmp(run.err, "") == 0, "%s: %d %s", rows[i].words, run.code, run.err);
        ck_assert_msg(strcmp(run.out, rows[i].offered) == 0, "%s: found \"%s\", expected \"%s\"", rows[i].words,
                      run.out, rows[i].offered);
        g_free(run.out);
        g_free(run.err);
    }
    /* Of a server that says nothing, and of one that is gone: nothing, soon and in silence. */
    for (int gone = 0; gone < 2; gone++) {
        int64_t start_us = loop_now_us();
        if (gone == 0)
            kill(served.pid, SIGSTOP);
        else
            served_end(&served, SIGTERM);
        expect_run(complete_run("plan show ''"), 0, "", "");
        struct run run = complete_run("plan show ''");
        ck_assert_str_eq(run.out, "");
        ck_assert_str_eq(run.err, "");
        g_free(run.out);
        g_free(run.err);
        ck_assert_int_lt(loop_now_us() - start_us, 10 * G_USEC_PER_SEC); /* twice, on a busy machine; without: 60 s */
        kill(served.pid, SIGCONT);
    }
    served_start(&served, NULL, NULL);
}
END_TEST

/* What was printed and not taken is no success; nothing of it goes where it should not. */
START_TEST(output_that_cannot_be_written)
{
    served_apply_site(&served);
    expect_run(shell_run("status >/dev/full"), 1, "", "standard output cannot be written");
    expect_run(shell_run("token create --name lost --role viewer >/dev/full"), 1, "",
               "standard output cannot be written");
    expect_run(shell_run("status >&-"), 1, "", "standard output cannot be written");
    expect_run(shell_run("status --watch >/dev/full"), 1, "", "standard output cannot be written"); /* and it ends */
    expect_run(shell_run("events >/dev/full"), 1, "", "standard output cannot be written");
    expect_run(shell_run("status 2>&-"), 0, "room-a", "");
    expect_run(shell_run("status <&-"), 0, "room-a", "");
    expect_run(shell_run("--json audit --limit 1000 | head -1"), 0, "{\n", "");
    expect_run(shell_run("apply -f /dev/null >&- 2>&-"), 2, "", "");
}
END_TEST

/* Names and reasons in all alphabets; a terminal of 80 columns holds the tables that people look at. */
START_TEST(alphabets_and_a_narrow_terminal)
{
    served_apply_site(&served);
    expect_run(shell_run("control set room.ingress room-b closed --reason='gefährlich 房间 🔥'"), 0, "", "");
    expect_run(shell_run("audit --limit 1"), 0, "gefährlich 房间 🔥", "");
    expect_run(shell_run("status"), 0, "room-b", "");
    struct run run =
        shell_run("--version >/dev/null; script -qec \"stty cols 80 rows 24; $SIGNALBOX --socket $SOCKET status\""
                  " /dev/null </dev/null");
    g_auto(GStrv) lines = g_strsplit(run.out, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        ck_assert_msg(g_utf8_strlen(g_strchomp(*line), -1) <= 80, "longer than 80: %s", *line);
    ck_assert_uint_gt(g_strv_length(lines), 20);
    g_free(run.out);
    g_free(run.err);
}
END_TEST

/* A server that is there and says nothing: said so, with the exit code of one that is not; a write's end is not known.
 */
START_TEST(a_server_that_hangs)
{
    if (g_getenv("SIGNALBOX_TEST_FULL") == NULL)
        return; /* half a minute */
    kill(served.pid, SIGSTOP);
    struct beside read, write;
    beside_start(&read, (const char *const[]){"agents", NULL});
    beside_start(&write, (const char *const[]){"plan", "run", "failback", "--confirm", "room-a", NULL});
    beside_says(&read, "it is there and does not answer");
    beside_says(&write, "whether it was started is not known");
    ck_assert_int_eq(beside_end(&read), 6);
    ck_assert_int_eq(beside_end(&write), 6);
    kill(served.pid, SIGCONT);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_test(tcase, wrong_words);
    tcase_add_test(tcase, examples_are_good);
    tcase_add_test(tcase, completion);
    tcase_add_test(tcase, output_that_cannot_be_written);
    tcase_add_test(tcase, alphabets_and_a_narrow_terminal);
    tcase_add_test(tcase, a_server_that_hangs);
}

int main(void)
{
    return unit_run("cli_words", add);
}
