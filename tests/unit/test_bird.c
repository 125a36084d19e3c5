/* bird.h: against BIRD itself, and against one that behaves badly. */
#include "gateway/bird.h"

#include "core/error.h"
#include "tests/unit/gatewaystage.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define TIMEOUT_US 5000000

/* ---- orders, one after the other ---- */

struct crew {
    struct loop *loop;
    struct bird *bird;
    GString *said; /* a line for each answer */
    const char *names;
    unsigned left;
};

static void on_done(void *data, const GError *error)
{
    struct crew *c = data;
    g_string_append_printf(c->said, "%s\n", error == NULL ? "ok" : error->message);
    ck_assert(error == NULL || error->domain == SB_ERROR);
    if (--c->left == 0)
        loop_stop(c->loop);
}

/* Orders: "+NAME" or "-NAME", with spaces between, all given at once. What came of each, a line each; g_free. */
static char *orders(const char *path, int64_t timeout_us, const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    struct crew c = {.loop = loop_new(NULL), .said = g_string_new(NULL), .left = g_strv_length(words)};
    c.bird = bird_new(c.loop, path, timeout_us);
    for (char **word = words; *word != NULL; word++)
        bird_order(c.bird, *word + 1, **word == '+', on_done, &c);
    ck_assert_str_eq(c.said->str, ""); /* not before it has returned */
    ck_assert_uint_eq(bird_pending(c.bird), g_strv_length(words));
    loop_run(c.loop);
    ck_assert_uint_eq(bird_pending(c.bird), 0);
    bird_free(c.bird);
    loop_free(c.loop);
    return g_string_free(c.said, FALSE);
}

static void check(const char *path, const char *text, const char *expected)
{
    g_autofree char *found = orders(path, TIMEOUT_US, text);
    ck_assert_str_eq(found, expected);
}

/* ---- BIRD itself ---- */

START_TEST(addresses_are_announced_and_taken_back)
{
    g_autofree char *folder = g_dir_make_tmp("bird-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "bird.ctl", NULL);
    pid_t pid = birdd_start(path);
    ck_assert(!birdd_announces(path, "vip_a"));
    check(path, "+vip_a", "ok\n");
    ck_assert(birdd_announces(path, "vip_a") && !birdd_announces(path, "vip_b"));
    ck_assert(birdd_announces(path, "last_vip_a") && !birdd_announces(path, "last_vip_b"));
    check(path, "+vip_a +vip_b -vip_a +vip_a -vip_a -vip_a", "ok\nok\nok\nok\nok\nok\n");
    ck_assert(!birdd_announces(path, "vip_a") && birdd_announces(path, "vip_b"));
    ck_assert(!birdd_announces(path, "last_vip_a") && birdd_announces(path, "last_vip_b"));
    g_autofree char *unknown = orders(path, TIMEOUT_US, "+vip_nobody -vip_b");
    ck_assert_msg(g_str_has_prefix(unknown, "BIRD: 9001 ") && g_str_has_suffix(unknown, "\nok\n"), "found: %s",
                  unknown);
    check(path, "+vip_a", "ok\n");
    kill9(&pid);
    g_autofree char *gone = g_strdup_printf("%s: Connection refused\n", path);
    check(path, "+vip_a", gone);
    pid = birdd_start(path); /* says nothing by itself */
    ck_assert(!birdd_announces(path, "vip_a"));
    check(path, "+vip_a", "ok\n");
    ck_assert(birdd_announces(path, "vip_a"));
    kill9(&pid);
    unit_remove_all(folder);
}
END_TEST

/* ---- one that behaves badly ---- */

#define HELLO "0001 BIRD 2.0.12 ready.\n"
#define HEAD "2002-Name       Proto      Table      State  Since         Info\n"
#define DONE "0011-vip_a: enabled\n0000 \n0011-last_vip_a: enabled\n0000 \n"
#define ROW(name, state) HEAD "1002-" name " Static master4 " state " 02:58\n0000 \n"
#define BOTH(normal, last) ROW("vip_a", normal) ROW("last_vip_a", last)

static const struct story {
    const char *says; /* to whoever comes, at | when it has heard something; then ends, unless its end is `...` */
    const char *found;
} stories[] = {
    {HELLO DONE BOTH("up", "up"), "ok\n"},
    {HELLO DONE HEAD "1002-vip Static m up 1\n vip_a Static m up 1\n0000 \n" ROW("last_vip_a", "up") "...", "ok\n"},
    {HELLO DONE BOTH("down", "up") "...", "BIRD: vip_a is down, expected up\n"},
    {HELLO DONE BOTH("up", "down") "...", "BIRD: last_vip_a is down, expected up\n"},
    {HELLO DONE ROW("vip_b", "up") ROW("last_vip_a", "up") "...", "BIRD: vip_a is not there, expected up\n"},
    {HELLO DONE ROW("vip_a", "up") ROW("vip_a", "up") "...", "BIRD: last_vip_a is not there, expected up\n"},
    {"0016 Access restricted\n8007 Access denied\n...", "BIRD: 8007 Access denied\n"},
    {HELLO "8003 No protocols match\n...", "BIRD: 8003 No protocols match\n"},
    {HELLO "0011-vip_a: enabled\n0000 \n8003 No protocols match\n...", "BIRD: 8003 No protocols match\n"},
    {"HTTP/1.1 400 Bad Request\r\n...", "BIRD: 'HTTP/1.1 400 Bad Request\r': expected a line with a code\n"},
    {"001 short\n...", "BIRD: '001 short': expected a line with a code\n"},
    {"|" HELLO DONE BOTH("start", "up") "|" BOTH("up", "up") "...", "ok\n"},
    {"|" HELLO DONE BOTH("up", "start") "|" BOTH("up", "up") "...", "ok\n"},
    {HELLO DONE BOTH("start", "up") "...", "PATH: no answer within 300 ms\n"},
    {HELLO DONE ROW("vip_a", "up"), "PATH: ended before it had answered\n"},
    {HELLO, "PATH: ended before it had answered\n"},
    {"", "PATH: ended before it had answered\n"},
    {HELLO "0011-vip_a: enabled\n...", "PATH: no answer within 300 ms\n"},
    {"...", "PATH: no answer within 300 ms\n"},
};

struct bad {
    const char *says;
    int listen_fd;
};

static void *tell(void *context)
{
    const struct bad *bad = context;
    int fd = accept(bad->listen_fd, NULL, NULL);
    size_t size = strlen(bad->says);
    bool stays = g_str_has_suffix(bad->says, "...");
    char rest[256];
    size_t step = size < 4096 ? 1 : size; /* byte by byte, or all at once */
    for (size_t i = 0; i < size - (stays ? 3 : 0); i += step) {
        bool listens = bad->says[i] == '|';
        if ((listens ? recv(fd, rest, sizeof rest, 0) : send(fd, bad->says + i, step, MSG_NOSIGNAL)) <= 0)
            break;
    }
    if (!stays)
        shutdown(fd, SHUT_WR);
    while (recv(fd, rest, sizeof rest, 0) > 0)
        continue;
    close(fd);
    return NULL;
}

static char *told(const char *says, int64_t timeout_us, const char **path)
{
    static char at_path[108];
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct bad bad = {says, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    pthread_t thread;
    g_autofree char *folder = g_dir_make_tmp("bad-XXXXXX", NULL);
    g_snprintf(at.sun_path, sizeof at.sun_path, "%s/ctl", folder);
    g_strlcpy(at_path, at.sun_path, sizeof at_path);
    *path = at_path;
    ck_assert_int_eq(bind(bad.listen_fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(bad.listen_fd, 4), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, tell, &bad), 0);
    char *found = orders(at.sun_path, timeout_us, "+vip_a");
    pthread_join(thread, NULL);
    close(bad.listen_fd);
    unit_remove_all(folder);
    return found;
}

START_TEST(whatever_it_says)
{
    const struct story *story = &stories[_i];
    const char *path;
    g_autofree char *found = told(story->says, strstr(story->found, "no answer") != NULL ? 300000 : 20000000, &path);
    g_auto(GStrv) parts = g_strsplit(story->found, "PATH", -1);
    g_autofree char *expected = g_strjoinv(path, parts);
    ck_assert_str_eq(found, expected);
}
END_TEST

START_TEST(one_that_does_not_stop)
{
    const char *path;
    GString *words = g_string_new(HELLO);
    for (int i = 0; i < 40000; i++)
        g_string_append(words, "1002-x y z\n");
    g_autofree char *endless = g_string_free(words, FALSE), *found = told(endless, 20000000, &path);
    ck_assert_msg(strstr(found, "65536 bytes without an end") != NULL, "found: %s", found);
}
END_TEST

START_TEST(names)
{
    static const char *const good[] = {"vip_a", "vip_1", "vip_"}, *const bad[] = {"",         "last_vip_a", "a",
                                                                                  "Vip_a",    "vip_a-b",    "vip_a b",
                                                                                  "vip_a\nb", "vip_a\"",    "vip_ä"};
    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++)
        ck_assert(bird_name_good(good[i]));
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
        ck_assert(!bird_name_good(bad[i]));
    g_autofree char *fill = g_strnfill(54, 'a'), *longest = g_strconcat("vip_", fill, NULL),
                    *longer = g_strconcat(longest, "a", NULL);
    ck_assert(bird_name_good(longest) && !bird_name_good(longer)); /* BIRD's own limit, of the last resort's name */
}
END_TEST

static void never(void *data, const GError *error)
{
    (void)data;
    ck_abort_msg("called: %s", error != NULL ? error->message : "ok");
}

START_TEST(it_may_end_with_orders_that_wait)
{
    struct loop *loop = loop_new(NULL);
    struct bird *bird = bird_new(loop, "/nowhere/bird.ctl", TIMEOUT_US);
    bird_order(bird, "vip_a", true, never, NULL);
    bird_order(bird, "vip_b", false, never, NULL);
    bird_free(bird);
    loop_free(loop);
    bird_free(NULL);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, addresses_are_announced_and_taken_back);
    tcase_add_loop_test(tcase, whatever_it_says, 0, G_N_ELEMENTS(stories));
    tcase_add_test(tcase, one_that_does_not_stop);
    tcase_add_test(tcase, names);
    tcase_add_test(tcase, it_may_end_with_orders_that_wait);
}

int main(void)
{
    return unit_run("bird", add);
}
