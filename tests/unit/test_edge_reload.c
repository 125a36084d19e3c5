/* A real HAProxy that is reloaded again and again under users who keep their connections: none of their requests is
 * lost, and none is served by what was in force before. */
#include "tests/unit/edgestage.h"

#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RELOADS 50
#define USERS 60
#define WAY_MS 5 /* a request's way to the edge: who sends does not know yet what the edge has done meanwhile */

static const struct edge_table_text rest;
/* Room A, or room B, is closed. */
static const struct edge_table_text shut[] = {
    {.rooms = "multi/room-a room-b\nmulti/room-b room-b\nsingle/room-a -\nsingle/room-b room-b\n",
     .origins =
         "multi/room-a/pop-a1 out\nmulti/room-a/pop-a2 out\nsingle/room-a/pop-a1 out\nsingle/room-a/pop-a2 out\n"},
    {.rooms = "multi/room-a room-a\nmulti/room-b room-a\nsingle/room-a room-a\nsingle/room-b -\n",
     .origins =
         "multi/room-b/pop-b1 out\nmulti/room-b/pop-b2 out\nsingle/room-b/pop-b1 out\nsingle/room-b/pop-b2 out\n"},
};

/* ---- users ---- */

/* What became of all requests so far. */
struct tally {
    unsigned answered, reused, lost;
    char *first_lost;
};

static int user_connect(const struct stage *s)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(s->port)};
    struct timeval patience = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* A whole answer; "": the connection ended before. */
static char *read_answer(int fd)
{
    GString *text = g_string_new(NULL);
    char buffer[4096];
    ssize_t n;
    while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0) {
        g_string_append_len(text, buffer, n);
        const char *length = strcasestr(text->str, "\r\ncontent-length: "), *body = strstr(text->str, "\r\n\r\n");
        if (body != NULL && length != NULL && length < body &&
            strlen(body + 4) >= strtoul(length + strlen("\r\ncontent-length: "), NULL, 10))
            return g_string_free(text, FALSE);
    }
    g_string_truncate(text, 0);
    return g_string_free(text, FALSE);
}

/* Whose connection the edge has ended takes a new one. */
static void user_prepare(const struct stage *s, int *fd, struct tally *tally)
{
    struct pollfd gone = {.fd = *fd, .events = POLLIN | POLLRDHUP};
    if (*fd >= 0 && poll(&gone, 1, 0) > 0) {
        close(*fd);
        *fd = -1;
    }
    tally->reused += *fd >= 0;
    if (*fd < 0)
        *fd = user_connect(s);
}

static void user_send(int fd, unsigned user)
{
    g_autofree char *head =
        g_strdup_printf("GET /watch HTTP/1.1\r\nHost: play.example.test\r\nCookie: uid=%u\r\n\r\n", user);
    ssize_t sent = send(fd, head, strlen(head), MSG_NOSIGNAL);
    (void)sent; /* one that could not be sent is not answered */
}

static void user_receive(int *fd, struct tally *tally)
{
    g_autofree char *answer = read_answer(*fd);
    if (g_str_has_prefix(answer, "HTTP/1.1 200 ")) {
        tally->answered++;
    } else {
        tally->lost++;
        if (tally->first_lost == NULL)
            tally->first_lost = g_strdup(answer[0] != '\0' ? answer : "closed without an answer");
    }
    const char *end = strstr(answer, "\r\n\r\n");
    const char *last = strcasestr(answer, "\r\nconnection: close");
    if (answer[0] == '\0' || (last != NULL && last < end)) {
        close(*fd);
        *fd = -1;
    }
}

struct users {
    struct stage *s;
    int fd[USERS];
    struct tally tally;
    atomic_uint rounds; /* of all users, done */
    atomic_bool stop;
};

static void *users_run(void *data)
{
    struct users *users = data;
    while (!atomic_load(&users->stop)) {
        for (unsigned i = 0; i < USERS; i++)
            user_prepare(users->s, &users->fd[i], &users->tally);
        poll(NULL, 0, WAY_MS);
        for (unsigned i = 0; i < USERS; i++)
            user_send(users->fd[i], i);
        for (unsigned i = 0; i < USERS; i++)
            user_receive(&users->fd[i], &users->tally);
        atomic_fetch_add(&users->rounds, 1);
    }
    for (unsigned i = 0; i < USERS; i++)
        if (users->fd[i] >= 0)
            close(users->fd[i]);
    return NULL;
}

/* ---- reloads ---- */

static int64_t worker(struct stage *s)
{
    g_autofree char *info = stage_admin(s, "show info\n");
    const char *pid = strstr(info, "\nPid: ");
    return pid != NULL ? g_ascii_strtoll(pid + strlen("\nPid: "), NULL, 10) : 0;
}

static bool closes_with_its_answer(int fd)
{
    user_send(fd, 0);
    g_autofree char *answer = read_answer(fd);
    ck_assert_msg(answer[0] != '\0', "closed without an answer");
    return strcasestr(answer, "\r\nconnection: close\r\n") != NULL;
}

/* The process before hears of its end only when its successor answers already; until then both do. */
static void reload(struct stage *s)
{
    int64_t before = worker(s);
    int fd = user_connect(s);
    ck_assert(!closes_with_its_answer(fd));
    EVENTUALLY(stage_master_answers(s));
    g_free(stage_say(s->settings.master_socket, "reload\n"));
    EVENTUALLY(worker(s) != 0 && worker(s) != before);
    EVENTUALLY(closes_with_its_answer(fd));
    close(fd);
}

START_TEST(kept_connections_lose_nothing_over_reloads_and_never_meet_a_room_that_was_closed_since)
{
    struct stage s;
    struct users users = {.s = &s};
    pthread_t thread;
    for (unsigned i = 0; i < USERS; i++)
        users.fd[i] = -1;
    stage_begin(&s);
    stage_must_apply(&s, 7, &rest);
    EVENTUALLY(stage_status(&s, "GET", "play.example.test", "/") == 200);
    ck_assert_int_eq(pthread_create(&thread, NULL, users_run, &users), 0);
    for (unsigned i = 0; i < RELOADS; i++) {
        unsigned open = i % 2 == 0 ? POP_B1 : POP_A1, closed = i % 2 == 0 ? POP_A1 : POP_B1;
        reload(&s); /* the process before has every user's connection, and what was in force before */
        stage_must_apply(&s, 8 + i, &shut[i % 2]);
        unsigned round = atomic_load(&users.rounds);
        EVENTUALLY(atomic_load(&users.rounds) > round); /* what was under way has ended */
        unsigned at_closed = stage_room_requests(&s, closed), at_open = stage_room_requests(&s, open);
        EVENTUALLY(atomic_load(&users.rounds) > round + 2);
        ck_assert_msg(stage_room_requests(&s, open) > at_open,
                      "round %u: none of %u requests of users came to the open room; %u lost, the first: %s", i,
                      users.tally.answered, users.tally.lost, users.tally.first_lost);
        ck_assert_uint_eq(stage_room_requests(&s, closed), at_closed);
    }
    atomic_store(&users.stop, true);
    pthread_join(thread, NULL);
    ck_assert_msg(users.tally.lost == 0, "%u of %u lost; the first: %s", users.tally.lost,
                  users.tally.answered + users.tally.lost, users.tally.first_lost);
    ck_assert_uint_gt(users.tally.reused, users.tally.answered / 2);
    stage_end(&s);
}
END_TEST

START_TEST(a_request_that_the_process_before_gets_is_answered_by_the_newest_and_looks_as_if_it_had_come_there)
{
    static const char *const heads[] = {
        "GET /watch HTTP/1.1\r\nHost: play.example.test\r\n\r\n",
        "POST /watch HTTP/1.1\r\nHost: play.example.test\r\nContent-Length: 5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nHost: nobody.example.test\r\n\r\n",
    };
    struct stage s;
    int fd[G_N_ELEMENTS(heads)];
    stage_begin(&s);
    stage_must_apply(&s, 7, &rest);
    for (size_t i = 0; i < G_N_ELEMENTS(heads); i++) {
        fd[i] = user_connect(&s);
        user_send(fd[i], 1);
        g_free(read_answer(fd[i]));
    }
    for (unsigned i = 0; i < 3; i++) /* whose successor has one, too */
        reload(&s);
    stage_must_apply(&s, 8, &shut[0]);
    struct answer answer[G_N_ELEMENTS(heads)];
    for (size_t i = 0; i < G_N_ELEMENTS(heads); i++) {
        ck_assert(send(fd[i], heads[i], strlen(heads[i]), MSG_NOSIGNAL) > 0);
        g_autofree char *text = read_answer(fd[i]);
        answer[i] = (struct answer){.text = g_ascii_strdown(text, -1)};
        ck_assert_int_eq(sscanf(answer[i].text, "http/1.1 %d", &answer[i].status), 1);
        answer_expect(&answer[i], false, "connection", "close");
        answer_expect(&answer[i], false, "x-sb-edge", "edge-1");
        close(fd[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(answer[i].status, 200);
        answer_expect(&answer[i], false, "x-sb-room", "room-b");
        answer_expect(&answer[i], true, "x-sb-generation", "8");
        answer_expect(&answer[i], true, "x-forwarded-for", "127.0.0.1");
        const char *once = strstr(answer[i].text, "x-forwarded-for: ");
        ck_assert_msg(strstr(once + 1, "x-forwarded-for: ") == NULL, "%s", answer[i].text);
    }
    ck_assert_int_eq(answer[2].status, 421);
    for (size_t i = 0; i < G_N_ELEMENTS(heads); i++)
        g_free(answer[i].text);
    stage_end(&s);
}
END_TEST

/* ---- what never ends ---- */

struct download {
    struct stage *stage;
    struct answer answer;
    atomic_bool over;
};

static void *download_run(void *data)
{
    struct download *download = data;
    download->answer = stage_request(download->stage, "GET", "creator.example.test", "/long", NULL);
    atomic_store(&download->over, true);
    return NULL;
}

/* A process that was told to end has the limit that it was started with: the next reload shows it. */
static void shorten_limit(struct stage *s)
{
    g_autofree char *path = g_build_filename(s->settings.state_dir, "haproxy.cfg", NULL), *text = NULL;
    ck_assert(g_file_get_contents(path, &text, NULL, NULL));
    g_autoptr(GRegex) limit = g_regex_new("hard-stop-after [0-9]+s", 0, 0, NULL);
    ck_assert(g_regex_match(limit, text, 0, NULL));
    g_autofree char *shorter = g_regex_replace(limit, text, -1, 0, "hard-stop-after 2s", 0, NULL);
    ck_assert(g_file_set_contents(path, shorter, -1, NULL));
    reload(s);
}

START_TEST(a_download_keeps_the_process_before_no_longer_than_the_limit)
{
    struct stage s;
    stage_begin(&s);
    stage_must_apply(&s, 7, &rest);
    shorten_limit(&s);
    struct download download = {.stage = &s};
    unsigned before = stage_room_requests(&s, POP_A1) + stage_room_requests(&s, POP_B1);
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, download_run, &download), 0);
    EVENTUALLY(stage_room_requests(&s, POP_A1) + stage_room_requests(&s, POP_B1) > before);
    pid_t old = (pid_t)worker(&s);
    reload(&s);
    ck_assert_int_eq(kill(old, 0), 0);
    ck_assert_int_eq(stage_status(&s, "GET", "creator.example.test", "/"), 200); /* by the new one */
    ck_assert(!atomic_load(&download.over));                                     /* a reload alone ends nothing */
    EVENTUALLY(kill(old, 0) != 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(download.answer.status, 200);
    g_free(download.answer.text);
    stage_end(&s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase,
                   a_request_that_the_process_before_gets_is_answered_by_the_newest_and_looks_as_if_it_had_come_there);
    tcase_add_test(tcase, kept_connections_lose_nothing_over_reloads_and_never_meet_a_room_that_was_closed_since);
    tcase_add_test(tcase, a_download_keeps_the_process_before_no_longer_than_the_limit);
}

int main(void)
{
    return unit_run("edge_reload", add);
}
