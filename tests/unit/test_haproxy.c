/* A real HAProxy on the loopback, with origins of our own: what dcdn/ gives it is what requests meet. */
#include "dcdn/haproxy.h"

#include "core/fileio.h"
#include "dcdn/exchange.h"
#include "dcdn/files.h"
#include "schema/slot.h"
#include "schema/split.h"
#include "tests/unit/edgeparts.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEADLINE_US 10000000
enum { POP_A1, POP_A2, POP_B1, POP_B2, EDGE_3, ORIGINS };

/* ---- origins: each says what it was asked ---- */

struct origin {
    int listener;
    uint16_t port;
    pthread_t thread;
    atomic_uint requests; /* but for health checks */
    atomic_bool mute;     /* takes connections and says nothing */
};

static int listen_any(uint16_t *port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(*port)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(fd, 256), 0);
    getsockname(fd, (struct sockaddr *)&at, &len);
    *port = ntohs(at.sin_port);
    return fd;
}

/* Reads a head; the answer's body is the head as it was seen. */
static void serve(struct origin *origin, int fd)
{
    char head[8192];
    size_t len = 0;
    while (len < sizeof head - 1) {
        ssize_t n = recv(fd, head + len, sizeof head - 1 - len, 0);
        if (n <= 0)
            return;
        len += (size_t)n;
        head[len] = '\0';
        if (strstr(head, "\r\n\r\n") != NULL)
            break;
    }
    bool check = g_str_has_prefix(head, "GET /hz HTTP/1.0");
    if (!check)
        atomic_fetch_add(&origin->requests, 1);
    const char *status = strstr(head, "/fails") != NULL ? "500 Internal Server Error" : "200 OK";
    g_autofree char *answer =
        g_strdup_printf("HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n%s", status, len,
                        strstr(head, "x-sb-relayed") != NULL ? "X-SB-Room: room-far\r\n" : "", head);
    if (send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0)
        return;
}

static void *origin_run(void *data)
{
    struct origin *origin = data;
    GArray *held = g_array_new(FALSE, FALSE, sizeof(int));
    int fd;
    while ((fd = accept(origin->listener, NULL, NULL)) >= 0) {
        if (atomic_load(&origin->mute)) {
            g_array_append_val(held, fd);
            continue;
        }
        serve(origin, fd);
        close(fd);
    }
    for (guint i = 0; i < held->len; i++)
        close(g_array_index(held, int, i));
    g_array_unref(held);
    return NULL;
}

static void origin_start(struct origin *origin)
{
    origin->listener = listen_any(&origin->port);
    pthread_create(&origin->thread, NULL, origin_run, origin);
}

static void origin_stop(struct origin *origin)
{
    if (origin->listener < 0)
        return;
    shutdown(origin->listener, SHUT_RDWR);
    pthread_join(origin->thread, NULL);
    close(origin->listener);
    origin->listener = -1;
}

/* ---- the stage: origins, HAProxy, the driver on a loop of its own thread ---- */

enum outcome { NOTHING, APPLIED, FAILED };
struct stage {
    char *dir, *layout, *listen;
    uint16_t port;
    struct origin origins[ORIGINS];
    struct edge_settings settings;
    pid_t haproxy_pid;
    struct loop *loop;
    pthread_t thread;
    struct haproxy *haproxy;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    enum outcome outcome; /* of the last apply */
    char *why;
    unsigned restarts;       /* restarted callbacks */
    char *restarted;         /* what the last one said */
    struct edge_state *next; /* to apply */
};

static void on_applied(void *data)
{
    struct stage *s = data;
    pthread_mutex_lock(&s->lock);
    s->outcome = APPLIED;
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->lock);
}

static void on_failed(void *data, const char *why)
{
    struct stage *s = data;
    pthread_mutex_lock(&s->lock);
    s->outcome = FAILED;
    g_free(s->why);
    s->why = g_strdup(why);
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->lock);
}

static void on_restarted(void *data, const char *what)
{
    struct stage *s = data;
    pthread_mutex_lock(&s->lock);
    s->restarts++;
    g_free(s->restarted);
    s->restarted = g_strdup(what);
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->lock);
}

static void *loop_thread(void *data)
{
    loop_run(data);
    return NULL;
}

/* Waits, with the lock held, until *value differs from `from`. */
static void await(struct stage *s, const unsigned *value, unsigned from)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_US / 1000000;
    while (*value == from)
        ck_assert_msg(pthread_cond_timedwait(&s->cond, &s->lock, &until) != ETIMEDOUT, "nothing came in time");
}

static void apply_next(void *data)
{
    struct stage *s = data;
    haproxy_apply(s->haproxy, g_steal_pointer(&s->next));
}

static enum outcome apply(struct stage *s, uint64_t generation, const struct edge_table_text *text)
{
    struct edge_parts table;
    struct edge_table_text with_layout = *text;
    g_autoptr(GError) error = NULL;
    if (with_layout.layout == NULL)
        with_layout.layout = s->layout;
    edge_parts_init(&table, 65537, generation, &with_layout);
    s->next = edge_state_new(&table.manifest, table.parts, &error);
    ck_assert_msg(s->next != NULL, "%s", error != NULL ? error->message : "");
    edge_parts_clear(&table);
    pthread_mutex_lock(&s->lock);
    s->outcome = NOTHING;
    loop_post(s->loop, apply_next, s);
    await(s, (unsigned *)&s->outcome, NOTHING);
    enum outcome outcome = s->outcome;
    pthread_mutex_unlock(&s->lock);
    return outcome;
}

static void must_apply(struct stage *s, uint64_t generation, const struct edge_table_text *text)
{
    enum outcome outcome = apply(s, generation, text);
    ck_assert_msg(outcome == APPLIED, "%s", s->why != NULL ? s->why : "");
}

/* One command to a socket of HAProxy's, blocking; g_free. */
static char *say(const char *path, const char *command)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    g_strlcpy(to.sun_path, path, sizeof to.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    GString *reply = g_string_new(NULL);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 && send(fd, command, strlen(command), MSG_NOSIGNAL) > 0) {
        char buffer[4096];
        ssize_t n;
        shutdown(fd, SHUT_WR); /* the master's socket would wait for more commands */
        while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0)
            g_string_append_len(reply, buffer, n);
    }
    close(fd);
    return g_string_free(reply, FALSE);
}

static char *admin(struct stage *s, const char *command)
{
    return say(s->settings.haproxy_socket, command);
}

/* Polls a condition; no fixed wait decides anything. */
#define EVENTUALLY(s, condition)                                                                                       \
    do {                                                                                                               \
        int64_t until_us = loop_now_us() + DEADLINE_US;                                                                \
        while (!(condition)) {                                                                                         \
            ck_assert_msg(loop_now_us() < until_us, "never came true: %s", #condition);                                \
            poll(NULL, 0, 10);                                                                                         \
        }                                                                                                              \
    } while (0)

static bool answers(struct stage *s)
{
    g_autofree char *info = admin(s, "show info\n");
    return strstr(info, "Pid: ") != NULL;
}

static bool master_answers(struct stage *s)
{
    g_autofree char *processes = say(s->settings.master_socket, "show proc\n");
    return strstr(processes, "worker") != NULL;
}

static void start_haproxy(struct stage *s)
{
    g_autofree char *config = g_build_filename(s->dir, "haproxy.cfg", NULL);
    s->haproxy_pid = fork();
    if (s->haproxy_pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* a failed test leaves nothing behind */
        g_autofree char *log = g_build_filename(s->dir, "haproxy.log", NULL);
        if (freopen(log, "w", stderr) == NULL)
            _exit(126);
        execlp("haproxy", "haproxy", "-W", "-S", s->settings.master_socket, "-f", config, (char *)NULL);
        _exit(127);
    }
    EVENTUALLY(s, answers(s) || waitpid(s->haproxy_pid, NULL, WNOHANG) != 0);
    ck_assert_msg(answers(s), "HAProxy has ended; see %s/haproxy.log", s->dir);
}

static void stop_haproxy(struct stage *s)
{
    kill(s->haproxy_pid, SIGTERM);
    waitpid(s->haproxy_pid, NULL, 0);
}

static void stage_begin(struct stage *s)
{
    g_autoptr(GError) error = NULL;
    *s = (struct stage){.dir = g_dir_make_tmp("sb-haproxy-XXXXXX", NULL)};
    for (unsigned i = 0; i < ORIGINS; i++)
        origin_start(&s->origins[i]);
    s->layout = g_strdup_printf("class public\n"
                                "origin/room-a/pop-a1 127.0.0.1:%u\norigin/room-a/pop-a2 127.0.0.1:%u\n"
                                "origin/room-b/pop-b1 127.0.0.1:%u\norigin/room-b/pop-b2 127.0.0.1:%u\n"
                                "relay/edge-3 127.0.0.1:%u\n",
                                s->origins[0].port, s->origins[1].port, s->origins[2].port, s->origins[3].port,
                                s->origins[4].port);
    close(listen_any(&s->port)); /* free a moment ago */
    s->listen = g_strdup_printf("127.0.0.1:%u", s->port);
    s->settings = (struct edge_settings){.name = "edge-1",
                                         .cluster = "two-rooms",
                                         .state_dir = s->dir,
                                         .listen = s->listen,
                                         .haproxy_socket = g_build_filename(s->dir, "haproxy.sock", NULL),
                                         .master_socket = g_build_filename(s->dir, "master.sock", NULL)};
    struct edge_state *empty = edge_state_empty();
    struct edge_files files = {0};
    ck_assert(edge_files_write(&files, empty, &s->settings, &error));
    edge_files_clear(&files);
    edge_state_free(empty);
    start_haproxy(s);

    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->cond, NULL);
    struct haproxy_callbacks callbacks = {s, on_applied, on_failed, on_restarted};
    s->loop = loop_new(&error);
    s->haproxy = haproxy_new(s->loop, &s->settings, &callbacks);
    pthread_create(&s->thread, NULL, loop_thread, s->loop);
}

static void stage_end(struct stage *s)
{
    loop_stop(s->loop);
    pthread_join(s->thread, NULL);
    haproxy_free(s->haproxy);
    loop_free(s->loop);
    stop_haproxy(s);
    for (unsigned i = 0; i < ORIGINS; i++)
        origin_stop(&s->origins[i]);
    unit_remove_all(s->dir);
    g_free((char *)s->settings.haproxy_socket);
    g_free((char *)s->settings.master_socket);
    g_free(s->dir);
    g_free(s->layout);
    g_free(s->listen);
    g_free(s->why);
    g_free(s->restarted);
}

/* ---- requests ---- */

struct answer {
    int status; /* 0: none */
    char *text; /* head and body, lower case */
    int64_t took_us;
};

static struct answer request(struct stage *s, const char *method, const char *host, const char *path, const char *more)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(s->port)};
    g_autofree char *head =
        g_strdup_printf("%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\nConnection: close\r\n%s\r\n", method, path,
                        host, more != NULL ? more : "");
    struct answer answer = {0};
    int64_t from_us = loop_now_us();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    GString *text = g_string_new(NULL);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 && send(fd, head, strlen(head), MSG_NOSIGNAL) > 0) {
        char buffer[4096];
        ssize_t n;
        while ((n = recv(fd, buffer, sizeof buffer, 0)) > 0)
            g_string_append_len(text, buffer, n);
    }
    close(fd);
    answer.took_us = loop_now_us() - from_us;
    answer.text = g_string_free(g_string_ascii_down(text), FALSE);
    sscanf(answer.text, "http/1.%*d %d", &answer.status);
    return answer;
}

static int status_of(struct stage *s, const char *method, const char *host, const char *path)
{
    struct answer answer = request(s, method, host, path, NULL);
    g_free(answer.text);
    return answer.status;
}

/* Value of a header in the origin's body (behind the first empty line) or in the answer's head; g_free, or NULL. */
static char *header(const struct answer *answer, bool seen_by_origin, const char *name)
{
    const char *body = strstr(answer->text, "\r\n\r\n");
    const char *from = body == NULL ? answer->text : seen_by_origin ? body : answer->text;
    g_autofree char *start = g_strdup_printf("\r\n%s: ", name);
    const char *at = strstr(from, start);
    if (at == NULL || (!seen_by_origin && body != NULL && at > body))
        return NULL;
    at += strlen(start);
    return g_strndup(at, strcspn(at, "\r"));
}

static void expect_header(const struct answer *answer, bool seen_by_origin, const char *name, const char *value)
{
    g_autofree char *found = header(answer, seen_by_origin, name);
    ck_assert_msg(g_strcmp0(found, value) == 0, "%s is %s, expected %s, in:\n%s", name, found, value, answer->text);
}

static unsigned room_requests(struct stage *s, unsigned first)
{
    return atomic_load(&s->origins[first].requests) + atomic_load(&s->origins[first + 1].requests);
}

static const struct edge_table_text rest;
static const struct edge_table_text closed_a = {
    .rooms = "multi/room-a room-b\nmulti/room-b room-b\nsingle/room-a -\nsingle/room-b room-b\n",
    .origins = "multi/room-a/pop-a1 out\nmulti/room-a/pop-a2 out\nmulti/room-b/pop-b1 in\nmulti/room-b/pop-b2 in\n"
               "single/room-a/pop-a1 out\nsingle/room-a/pop-a2 out\n"};

/* ---- tests ---- */

START_TEST(slots_and_rooms_agree_with_the_schema)
{
    struct stage s;
    stage_begin(&s);
    must_apply(&s, 7, &rest);
    for (unsigned i = 0; i < 300; i++) {
        char key[SLOT_KEY_SIZE];
        g_autofree char *user = i < 290 ? g_strdup_printf("user-%u", i * 7919) : g_strnfill(100 + i % 10 * 8, 'x');
        bool device = i % 3 == 0;
        slot_key(key, device ? NULL : user, device ? user : NULL, NULL);
        unsigned slot = slot_of_key(key);
        g_autofree char *cookie = g_strdup_printf("Cookie: a=b; %s=%s\r\nX-SB-Slot: 5\r\nX-SB-Evil: 1\r\n",
                                                  device ? "sb_device" : "uid", user);
        g_autofree char *expected = g_strdup_printf("%u", slot);
        struct answer answer = request(&s, "GET", "play.example.test", "/x", cookie);
        ck_assert_int_eq(answer.status, 200);
        expect_header(&answer, true, "x-sb-slot", expected);
        expect_header(&answer, true, "x-sb-generation", "7");
        expect_header(&answer, true, "x-sb-evil", NULL);
        expect_header(&answer, false, "x-sb-room", slot < 500 ? "room-a" : "room-b");
        expect_header(&answer, false, "x-sb-edge", "edge-1");
        g_free(answer.text);
    }
    char key[SLOT_KEY_SIZE];
    struct addr addr;
    addr_parse("127.0.0.1", &addr);
    g_autofree char *expected = g_strdup_printf("%u", slot_of_key(slot_key(key, NULL, NULL, &addr)));
    struct answer answer = request(&s, "GET", "play.example.test", "/", "Cookie: uid=\r\n");
    expect_header(&answer, true, "x-sb-slot", expected);
    g_free(answer.text);
    stage_end(&s);
}
END_TEST

START_TEST(routes_take_the_longest_prefix_and_unknown_hosts_are_421)
{
    static const struct {
        const char *host, *path;
        int status;
        const char *policy; /* as the counters have it */
    } rows[] = {
        {"Creator.Example.TEST:8080", "/", 200, "creator.creator"},
        {"creator.example.test", "/uploads", 200, "creator.creator"},
        {"creator.example.test.", "/upload", 200, "creator.upload"},
        {"creator.example.test", "/upload/a?b=c", 200, "creator.upload"},
        {"creator.example.testx", "/", 421, NULL},
        {"other.test", "/", 421, NULL},
        {"example.test", "/", 421, NULL},
        /* one policy, however its path is written */
        {"creator.example.test", "//upload//a", 200, "creator.upload"},
        {"creator.example.test", "/%75pload/a", 200, "creator.upload"},
        {"creator.example.test", "/%2fupload", 200, "creator.upload"},
        {"creator.example.test", "http://creator.example.test/upload/a", 200, "creator.upload"},
        {"creator.example.test", "/./upload", 400, NULL},
        {"creator.example.test", "/x/%2e%2E/upload", 400, NULL},
        {"creator.example.test", "/upload/..", 400, NULL},
        {"creator.example.test", "/.well-known/..a", 200, "creator.creator"},
        /* nor its host */
        {"creator.example.test/x", "/upload", 200, "creator.upload"},
        {"home.example.test,creator.example.test", "/upload", 421, NULL},
        {"creator.example.test\r\nHost: home.example.test", "/", 400, NULL},
        {"home.example.test", "http://creator.example.test/upload", 400, NULL},
        {"[::1]:80", "/", 421, NULL},
        {"", "/", 421, NULL},
        {"creator.example.test", "*", 200, "creator.creator"},
    };
    struct stage s;
    stage_begin(&s);
    ck_assert_int_eq(status_of(&s, "GET", "play.example.test", "/"), 421); /* before there is any table */
    must_apply(&s, 7, &rest);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_free(admin(&s, "clear table st_answered\n"));
        int status = status_of(&s, "GET", rows[i].host, rows[i].path);
        ck_assert_msg(status == rows[i].status, "%s %s: %d, expected %d", rows[i].host, rows[i].path, status,
                      rows[i].status);
        g_autofree char *counted = admin(&s, "show table st_answered\n");
        g_autofree char *key = g_strdup_printf("key=%s/room-a/pop-a", rows[i].policy);
        ck_assert_msg(rows[i].policy == NULL || strstr(counted, key) != NULL, "%s not in %s", key, counted);
    }
    g_autofree char *long_path = g_strnfill(12000, 'x');
    long_path[0] = '/';
    ck_assert_int_eq(status_of(&s, "GET", "creator.example.test", long_path), 200);
    stage_end(&s);
}
END_TEST

/* The dedicated edge sees the public edge as its client: the slot that the public edge found counts. */
START_TEST(a_relayed_request_keeps_its_slot)
{
    static const struct {
        const char *sent, *slot; /* NULL: as the address has it */
    } rows[] = {{"0", "0"}, {"499", "499"}, {"999", "999"}, {"1000", NULL}, {"-1", NULL}, {"", NULL}, {"7;8", NULL}};
    struct stage s;
    stage_begin(&s);
    must_apply(&s, 7, &rest);
    char key[SLOT_KEY_SIZE];
    struct addr addr;
    addr_parse("127.0.0.1", &addr);
    g_autofree char *own = g_strdup_printf("%u", slot_of_key(slot_key(key, NULL, NULL, &addr)));
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *slot = rows[i].slot != NULL ? rows[i].slot : own;
        g_autofree char *relayed = g_strdup_printf("X-SB-Relayed: edge-2\r\nX-SB-Slot: %s\r\n", rows[i].sent);
        struct answer answer = request(&s, "GET", "play.example.test", "/", relayed);
        ck_assert_int_eq(answer.status, 200);
        expect_header(&answer, true, "x-sb-slot", slot);
        expect_header(&answer, false, "x-sb-room", atoi(slot) < 500 ? "room-a" : "room-b");
        g_free(answer.text);
    }
    stage_end(&s);
}
END_TEST

START_TEST(a_closed_room_is_out_of_every_backend_and_stays_so_over_reloads)
{
    struct stage s;
    stage_begin(&s);
    must_apply(&s, 7, &rest);
    must_apply(&s, 8, &closed_a);
    unsigned before = room_requests(&s, POP_A1);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 20; i++) {
            g_autofree char *cookie = g_strdup_printf("Cookie: uid=%u\r\n", i * 31);
            struct answer answer =
                request(&s, "GET", i % 2 == 0 ? "play.example.test" : "home.example.test", "/", cookie);
            ck_assert_int_eq(answer.status, 200);
            expect_header(&answer, false, "x-sb-room", "room-b");
            expect_header(&answer, true, "x-sb-generation", "8");
            g_free(answer.text);
        }
        struct answer answer = request(&s, "GET", "creator.example.test", "/", NULL);
        ck_assert_int_eq(answer.status, 503);
        expect_header(&answer, false, "x-sb-reason", "closed");
        expect_header(&answer, false, "retry-after", "5");
        g_free(answer.text);
        EVENTUALLY(&s, master_answers(&s)); /* it does not listen for a moment after a reload */
        pthread_mutex_lock(&s.lock);
        unsigned restarts = s.restarts;
        g_free(say(s.settings.master_socket, "reload\n"));
        await(&s, &s.restarts, restarts);
        ck_assert_msg(strstr(s.restarted, "new process") != NULL, "%s", s.restarted);
        pthread_mutex_unlock(&s.lock);
        must_apply(&s, 8, &closed_a); /* what the agent does then */
    }
    static const char *const forged[] = {"X-SB-Relayed: edge-2\r\nX-SB-Slot: 3\r\n",
                                         "X-SB-Probe: 1\r\nX-SB-Relayed: edge-2\r\nX-SB-Room: room-a\r\n",
                                         "Cookie: uid=\"a;b\"; uid=\r\n", "X-SB-Slot: 3\r\nCookie: sb_device=;;=\r\n"};
    for (unsigned i = 0; i < G_N_ELEMENTS(forged) * 2; i++) { /* whatever a client sends */
        struct answer answer = request(&s, "GET", i % 2 == 0 ? "play.example.test" : "creator.example.test",
                                       "/.well-known/signalbox-probe", forged[i / 2]);
        ck_assert_int_eq(answer.status, i % 2 == 0 ? 200 : 503);
        g_free(answer.text);
    }
    /* both rooms' B entrances dead: A is no last resort either */
    origin_stop(&s.origins[POP_B1]);
    origin_stop(&s.origins[POP_B2]);
    ck_assert_int_eq(status_of(&s, "GET", "play.example.test", "/"), 503);
    ck_assert_uint_eq(room_requests(&s, POP_A1), before);
    stage_end(&s);
}
END_TEST

START_TEST(failures_pass_to_another_entrance_and_another_room_inside_one_request)
{
    struct stage s;
    stage_begin(&s);
    must_apply(&s, 7, &rest);
    origin_stop(&s.origins[POP_A1]);
    for (unsigned i = 0; i < 40; i++) { /* half of the users are room-a's; POST too: nothing was sent */
        g_autofree char *cookie = g_strdup_printf("Cookie: uid=%u\r\n", i);
        struct answer answer = request(&s, i % 2 == 0 ? "GET" : "POST", "home.example.test", "/", cookie);
        ck_assert_msg(answer.status == 200, "%s", answer.text);
        g_free(answer.text);
    }
    origin_stop(&s.origins[POP_A2]);
    for (unsigned i = 0; i < 20; i++) { /* automatic DR: room-b answers for all */
        g_autofree char *cookie = g_strdup_printf("Cookie: uid=%u\r\n", i);
        struct answer answer = request(&s, i % 2 == 0 ? "GET" : "POST", "play.example.test", "/", cookie);
        ck_assert_msg(answer.status == 200, "%s", answer.text);
        expect_header(&answer, false, "x-sb-room", "room-b");
        ck_assert_int_lt(answer.took_us, 1200000);
        g_free(answer.text);
    }
    struct answer answer = request(&s, "GET", "creator.example.test", "/", NULL); /* no DR: says so */
    ck_assert_int_eq(answer.status, 503);
    expect_header(&answer, false, "x-sb-reason", "no-answer");
    expect_header(&answer, false, "retry-after", "2");
    g_free(answer.text);
    stage_end(&s);
}
END_TEST

START_TEST(what_was_sent_is_sent_again_only_when_it_may_be)
{
    struct stage s;
    stage_begin(&s);
    must_apply(&s, 7, &rest);
    atomic_store(&s.origins[POP_A1].mute, true); /* takes requests and never answers; checks fail after a while */
    atomic_store(&s.origins[POP_A2].mute, true);
    struct answer post = request(&s, "POST", "play.example.test", "/", "Cookie: uid=3\r\n");
    char key[SLOT_KEY_SIZE];
    ck_assert_uint_lt(slot_of_key(slot_key(key, "3", NULL, NULL)), 1000);
    bool at_a = slot_of_key(key) < 500;
    ck_assert_int_eq(post.status, at_a ? 504 : 200);
    ck_assert_int_lt(post.took_us, 1500000);
    g_free(post.text);
    atomic_store(&s.origins[POP_B1].mute, true); /* room-b's users: the same the other way round */
    atomic_store(&s.origins[POP_B2].mute, true);
    atomic_store(&s.origins[POP_A1].mute, false);
    atomic_store(&s.origins[POP_A2].mute, false);
    stage_end(&s);
}
END_TEST

START_TEST(a_get_is_never_longer_than_the_limit_when_a_room_goes_mute)
{
    struct stage s;
    stage_begin(&s);
    must_apply(&s, 7, &rest);
    atomic_store(&s.origins[POP_A1].mute, true);
    atomic_store(&s.origins[POP_A2].mute, true);
    for (unsigned i = 0; i < 12; i++) {
        g_autofree char *cookie = g_strdup_printf("Cookie: uid=%u\r\n", i);
        struct answer answer = request(&s, "GET", "play.example.test", "/", cookie);
        ck_assert_msg(answer.status == 200, "%s", answer.text);
        ck_assert_msg(answer.took_us < 1500000, "took %" G_GINT64_FORMAT " us", answer.took_us);
        g_free(answer.text);
    }
    stage_end(&s);
}
END_TEST

START_TEST(relayed_groups_go_to_a_dedicated_edge_once)
{
    struct stage s;
    stage_begin(&s);
    must_apply(&s, 7, &rest);
    struct answer answer = request(&s, "GET", "play-line.example.test", "/", NULL);
    ck_assert_int_eq(answer.status, 200);
    expect_header(&answer, true, "x-sb-relayed", "edge-1");
    expect_header(&answer, false, "x-sb-room", "room-far"); /* the dedicated edge's word */
    g_free(answer.text);
    answer = request(&s, "GET", "play-line.example.test", "/", "X-SB-Relayed: edge-2\r\n");
    ck_assert_int_eq(answer.status, 503);
    expect_header(&answer, false, "x-sb-reason", "relay-loop");
    g_free(answer.text);
    g_autofree char *counted = admin(&s, "show table st_answered\n");
    ck_assert_msg(strstr(counted, "key=core-line.playback//relay ") != NULL, "%s", counted);
    stage_end(&s);
}
END_TEST

START_TEST(requests_are_counted_once_and_probes_are_not)
{
    struct stage s;
    stage_begin(&s);
    must_apply(&s, 7, &rest);
    for (unsigned i = 0; i < 10; i++)
        status_of(&s, "GET", "creator.example.test", i < 3 ? "/fails" : "/");
    struct answer probe = request(&s, "GET", "creator.example.test", "/.well-known/x", "X-SB-Probe: 1\r\n");
    expect_header(&probe, true, "x-sb-probe", "1");
    g_free(probe.text);
    origin_stop(&s.origins[POP_A1]);
    origin_stop(&s.origins[POP_A2]);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(status_of(&s, "GET", "creator.example.test", "/"), 503);
    probe = request(&s, "GET", "creator.example.test", "/.well-known/x", "X-SB-Probe: 1\r\n");
    ck_assert_int_eq(probe.status, 503);
    g_free(probe.text);
    g_autofree char *answered = admin(&s, "show table st_answered\n");
    g_autofree char *unanswered = admin(&s, "show table st_unanswered\n");
    unsigned requests = 0, failed = 0, nobody = 0;
    for (const char *at = answered; (at = strstr(at, "http_req_cnt=")) != NULL; at++)
        requests += (unsigned)atoi(at + strlen("http_req_cnt="));
    for (const char *at = answered; (at = strstr(at, "http_fail_cnt=")) != NULL; at++)
        failed += (unsigned)atoi(at + strlen("http_fail_cnt="));
    for (const char *at = unanswered; (at = strstr(at, "gpc0=")) != NULL; at++)
        nobody += (unsigned)atoi(at + strlen("gpc0="));
    ck_assert_uint_eq(requests, 10);
    ck_assert_uint_eq(failed, 3);
    ck_assert_uint_eq(nobody, 4);
    stage_end(&s);
}
END_TEST

START_TEST(someone_elses_change_is_noticed_and_repaired)
{
    struct stage s;
    stage_begin(&s);
    must_apply(&s, 7, &closed_a);
    g_autofree char *change = g_strdup_printf("set map %s/rooms.map multi/room-a room-a\n", s.dir);
    pthread_mutex_lock(&s.lock);
    unsigned restarts = s.restarts;
    g_free(admin(&s, change));
    await(&s, &s.restarts, restarts);
    ck_assert_msg(strstr(s.restarted, "map rooms: 'multi/room-a' is 'room-a', expected 'room-b'") != NULL, "%s",
                  s.restarted);
    pthread_mutex_unlock(&s.lock);
    must_apply(&s, 7, &closed_a);
    g_autofree char *back = g_strdup_printf("show map %s/rooms.map\n", s.dir);
    g_autofree char *rows = admin(&s, back);
    ck_assert_ptr_nonnull(strstr(rows, "multi/room-a room-b\n"));

    pthread_mutex_lock(&s.lock);
    restarts = s.restarts;
    g_free(admin(&s, "set server be_multi-dr_room-b/room-a.pop-a1 state ready\n"));
    await(&s, &s.restarts, restarts);
    ck_assert_msg(strstr(s.restarted, "be_multi-dr_room-b/room-a.pop-a1 is in, expected out") != NULL, "%s",
                  s.restarted);
    pthread_mutex_unlock(&s.lock);
    stage_end(&s);
}
END_TEST

/* 2,000 domains and 40 splits more, then fewer again: transactions, in files and in the process alike. */
START_TEST(large_changes_are_transactions)
{
    struct stage s;
    stage_begin(&s);
    must_apply(&s, 7, &rest);
    g_autofree char *pid = admin(&s, "show info\n");
    GString *routes = g_string_new(NULL), *splits = g_string_new(NULL), *policies = g_string_new(NULL);
    for (unsigned i = 10000; i < 12000; i++)
        g_string_append_printf(routes, "d%u.example.test/ g%u.s\n", i, i % 40 + 10);
    for (unsigned i = 10; i < 50; i++) {
        g_string_append_printf(policies, "g%u.s %u|multi|on|local\n", i, i);
        g_string_append_printf(splits, "%u000:%u249 room-a\n%u250:%u999 room-b\n", i, i, i, i);
    }
    struct edge_table_text large = {.routes = routes->str, .splits = splits->str, .policies = policies->str};
    must_apply(&s, 8, &large);
    ck_assert_int_eq(status_of(&s, "GET", "d11999.example.test", "/"), 200);
    ck_assert_int_eq(status_of(&s, "GET", "play.example.test", "/"), 421);
    must_apply(&s, 9, &rest);
    ck_assert_int_eq(status_of(&s, "GET", "d11999.example.test", "/"), 421);
    ck_assert_int_eq(status_of(&s, "GET", "play.example.test", "/"), 200);
    g_autofree char *after = admin(&s, "show info\n"); /* and nothing of it was a reload */
    ck_assert_int_eq(atoi(strstr(pid, "\nPid: ") + 6), atoi(strstr(after, "\nPid: ") + 6));
    g_string_free(routes, TRUE);
    g_string_free(splits, TRUE);
    g_string_free(policies, TRUE);
    stage_end(&s);
}
END_TEST

START_TEST(a_changed_inventory_reloads_and_a_hung_haproxy_fails_in_time)
{
    struct stage s;
    stage_begin(&s);
    must_apply(&s, 7, &rest);
    g_autofree char *one_pop =
        g_strdup_printf("class public\norigin/room-a/pop-a9 127.0.0.1:%u\norigin/room-b/pop-b1 127.0.0.1:%u\n",
                        s.origins[POP_A1].port, s.origins[POP_B1].port);
    must_apply(&s, 8, &(struct edge_table_text){.layout = one_pop});
    g_autofree char *servers = admin(&s, "show servers state\n");
    ck_assert_ptr_nonnull(strstr(servers, " room-a.pop-a9 "));
    ck_assert_ptr_null(strstr(servers, " room-a.pop-a1 "));
    ck_assert_int_eq(status_of(&s, "GET", "creator.example.test", "/"), 200);

    g_autofree char *info = admin(&s, "show info\n");
    pid_t worker = (pid_t)atoi(strstr(info, "\nPid: ") + 6);
    kill(worker, SIGSTOP);
    int64_t from_us = loop_now_us();
    ck_assert_int_eq(apply(&s, 9, &(struct edge_table_text){.layout = one_pop, .rooms = closed_a.rooms}), FAILED);
    ck_assert_msg(strstr(s.why, "no answer in time") != NULL, "%s", s.why);
    ck_assert_int_lt(loop_now_us() - from_us, 3000000);
    kill(worker, SIGCONT);
    must_apply(&s, 9, &(struct edge_table_text){.layout = one_pop, .rooms = closed_a.rooms});
    stage_end(&s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, slots_and_rooms_agree_with_the_schema);
    tcase_add_test(tcase, routes_take_the_longest_prefix_and_unknown_hosts_are_421);
    tcase_add_test(tcase, a_relayed_request_keeps_its_slot);
    tcase_add_test(tcase, a_closed_room_is_out_of_every_backend_and_stays_so_over_reloads);
    tcase_add_test(tcase, failures_pass_to_another_entrance_and_another_room_inside_one_request);
    tcase_add_test(tcase, what_was_sent_is_sent_again_only_when_it_may_be);
    tcase_add_test(tcase, a_get_is_never_longer_than_the_limit_when_a_room_goes_mute);
    tcase_add_test(tcase, relayed_groups_go_to_a_dedicated_edge_once);
    tcase_add_test(tcase, requests_are_counted_once_and_probes_are_not);
    tcase_add_test(tcase, someone_elses_change_is_noticed_and_repaired);
    tcase_add_test(tcase, large_changes_are_transactions);
    tcase_add_test(tcase, a_changed_inventory_reloads_and_a_hung_haproxy_fails_in_time);
}

int main(void)
{
    return unit_run("haproxy", add);
}
