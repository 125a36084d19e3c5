#include "tests/unit/edgestage.h"

#include "dcdn/files.h"
#include "dcdn/hold.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST_US (40 * G_USEC_PER_SEC) /* a limit, not a wait */

/* ---- origins: each says what it was asked ---- */

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

struct connection {
    struct origin *origin;
    int fd;
};

/* The head of a request; false: it never came. */
static bool read_head(int fd, char *head, size_t size)
{
    size_t len = 0;
    while (len < size - 1) {
        ssize_t n = recv(fd, head + len, size - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        head[len] = '\0';
        if (strstr(head, "\r\n\r\n") != NULL)
            return true;
    }
    return true;
}

/* A byte now and then, until whoever reads it has gone, or the origin is cut. */
static void serve_download(struct origin *origin, int fd)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    struct pollfd cut = {.fd = origin->cut[0], .events = POLLIN};
    bool sent = send(fd, head, strlen(head), MSG_NOSIGNAL) > 0;
    while (sent && poll(&cut, 1, 50) == 0)
        sent = send(fd, "x", 1, MSG_NOSIGNAL) > 0;
}

/* Lines of the answer's head that the request's asks for. */
static char *lines_asked(const char *head)
{
    static const char header[] = "\r\nx-answer: ";
    GString *lines = g_string_new(strstr(head, "x-sb-relayed") != NULL ? "X-SB-Room: room-far\r\n" : "");
    for (const char *at = head; (at = strstr(at, header)) != NULL;) {
        at += strlen(header);
        g_string_append_printf(lines, "Cache-Control: %.*s\r\n", (int)strcspn(at, "\r"), at);
    }
    return g_string_free(lines, FALSE);
}

static void serve(struct origin *origin, int fd)
{
    char head[8192];
    if (!read_head(fd, head, sizeof head))
        return;
    if (!g_str_has_prefix(head, "GET /hz HTTP/1.0"))
        atomic_fetch_add(&origin->requests, 1);
    if (strstr(head, "/closes") != NULL)
        return;
    if (strstr(head, "/long") != NULL) {
        serve_download(origin, fd);
        return;
    }
    struct pollfd ends[2] = {{.fd = fd, .events = POLLRDHUP}, {.fd = origin->cut[0], .events = POLLIN}};
    if (strstr(head, "/slow") != NULL && poll(ends, 2, atomic_load(&origin->slow_ms)) > 0) {
        struct linger reset = {.l_onoff = 1};
        if (ends[1].revents != 0)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        return;
    }
    const char *status = strstr(head, "/fails") != NULL ? "500 Internal Server Error" : "200 OK";
    g_autofree char *lines = lines_asked(head);
    g_autofree char *answer = g_strdup_printf("HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n%s",
                                              status, strlen(head), lines, head);
    if (send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0)
        return; /* who asked has gone */
}

static void *connection_run(void *data)
{
    struct connection *connection = data;
    serve(connection->origin, connection->fd);
    close(connection->fd);
    atomic_fetch_sub(&connection->origin->serving, 1);
    g_free(connection);
    return NULL;
}

static void connection_start(struct origin *origin, int fd)
{
    struct connection *connection = g_new(struct connection, 1);
    *connection = (struct connection){origin, fd};
    pthread_t thread;
    atomic_fetch_add(&origin->serving, 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, connection_run, connection), 0);
    pthread_detach(thread);
}

static void *origin_run(void *data)
{
    struct origin *origin = data;
    GArray *held = g_array_new(FALSE, FALSE, sizeof(int));
    int fd;
    while ((fd = accept(origin->listener, NULL, NULL)) >= 0) {
        if (atomic_load(&origin->deaf)) {
            close(fd);
            break; /* the kernel drops each SYN beyond the one that waits */
        }
        if (atomic_load(&origin->mute))
            g_array_append_val(held, fd);
        else
            connection_start(origin, fd);
    }
    for (guint i = 0; i < held->len; i++)
        close(g_array_index(held, int, i));
    g_array_unref(held);
    return NULL;
}

void origin_start(struct origin *origin)
{
    atomic_store(&origin->deaf, false);
    origin->listener = listen_any(&origin->port);
    ck_assert_int_eq(pipe2(origin->cut, O_CLOEXEC), 0);
    pthread_create(&origin->thread, NULL, origin_run, origin);
}

void origin_hole(struct origin *origin)
{
    ck_assert_int_eq(listen(origin->listener, 0), 0);
    atomic_store(&origin->deaf, true);
}

void origin_refuse(struct origin *origin)
{
    if (origin->listener < 0)
        return;
    shutdown(origin->listener, SHUT_RDWR);
    pthread_join(origin->thread, NULL);
    close(origin->listener);
    origin->listener = -1;
}

void origin_stop(struct origin *origin)
{
    if (origin->cut[0] < 0)
        return;
    origin_refuse(origin);
    EVENTUALLY(atomic_load(&origin->serving) == 0);
    close(origin->cut[0]);
    close(origin->cut[1]);
    origin->cut[0] = -1;
}

void origin_cut(struct origin *origin)
{
    ck_assert_int_eq(write(origin->cut[1], "", 1), 1);
    origin_stop(origin);
}

/* ---- the stage: origins, HAProxy, the driver on a loop of its own thread ---- */

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

static void on_noted(void *data, const char *text)
{
    struct stage *s = data;
    pthread_mutex_lock(&s->lock);
    g_ptr_array_add(s->notes, g_strdup(text));
    pthread_mutex_unlock(&s->lock);
}

bool stage_noted(struct stage *s, const char *text)
{
    bool found = false;
    pthread_mutex_lock(&s->lock);
    for (guint i = 0; i < s->notes->len; i++)
        found = found || strstr(s->notes->pdata[i], text) != NULL;
    pthread_mutex_unlock(&s->lock);
    return found;
}

static void *loop_thread(void *data)
{
    loop_run(data);
    return NULL;
}

/* Waits, with the lock held, until *value differs from `from`. */
void stage_await(struct stage *s, const unsigned *value, unsigned from)
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

enum outcome stage_apply(struct stage *s, uint64_t generation, const struct edge_table_text *text)
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
    stage_await(s, (unsigned *)&s->outcome, NOTHING);
    enum outcome outcome = s->outcome;
    pthread_mutex_unlock(&s->lock);
    return outcome;
}

/* HAProxy was asked, and had no time to answer: the machine is busy. Who applies asks again then, as the agent does. */
static bool is_late(const char *why)
{
    return why != NULL && (strstr(why, "still runs with its old configuration") != NULL ||
                           strstr(why, "does not take the reload") != NULL || strstr(why, "no answer in time") != NULL);
}

void stage_must_apply(struct stage *s, uint64_t generation, const struct edge_table_text *text)
{
    int64_t until_us = loop_now_us() + MUST_US;
    enum outcome outcome;
    do
        outcome = stage_apply(s, generation, text);
    while (outcome != APPLIED && is_late(s->why) && loop_now_us() < until_us);
    ck_assert_msg(outcome == APPLIED, "%s", s->why != NULL ? s->why : "");
}

/* One command to a socket of HAProxy's, blocking; g_free. */
char *stage_say(const char *path, const char *command)
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

char *stage_admin(struct stage *s, const char *command)
{
    return stage_say(s->settings.haproxy_socket, command);
}

/* Polls a condition; no fixed wait decides anything. */
static bool answers(struct stage *s)
{
    g_autofree char *info = stage_admin(s, "show info\n");
    return strstr(info, "Pid: ") != NULL;
}

bool stage_master_answers(struct stage *s)
{
    g_autofree char *processes = stage_say(s->settings.master_socket, "show proc\n");
    return strstr(processes, "worker") != NULL;
}

void stage_start_haproxy(struct stage *s)
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
    EVENTUALLY(answers(s) || waitpid(s->haproxy_pid, NULL, WNOHANG) != 0);
    ck_assert_msg(answers(s), "HAProxy has ended; see %s/haproxy.log", s->dir);
}

void stage_stop_haproxy(struct stage *s)
{
    kill(s->haproxy_pid, SIGTERM);
    waitpid(s->haproxy_pid, NULL, 0);
}

static void on_checked(void *data, const char *stat)
{
    (void)data;
    (void)stat;
}

static void start_driver(struct stage *s)
{
    struct haproxy_callbacks callbacks = {s, on_applied, on_failed, on_restarted, on_noted, on_checked};
    g_autoptr(GError) error = NULL;
    s->loop = loop_new(&error);
    s->haproxy = haproxy_new(s->loop, &s->settings, &callbacks);
    pthread_create(&s->thread, NULL, loop_thread, s->loop);
}

static void stop_driver(struct stage *s)
{
    loop_stop(s->loop);
    pthread_join(s->thread, NULL);
    haproxy_free(s->haproxy);
    loop_free(s->loop);
}

void stage_restart_driver(struct stage *s)
{
    stop_driver(s);
    start_driver(s);
}

void stage_begin(struct stage *s)
{
    stage_begin_with(s, &(struct edge_settings){.hold_us = HOLD_US,
                                                .hold_stage_us = HOLD_STAGE_US,
                                                .relay_allowance = EDGE_RELAY_ALLOWANCE});
}

void stage_begin_with(struct stage *s, const struct edge_settings *limits)
{
    g_autoptr(GError) error = NULL;
    *s = (struct stage){.notes = g_ptr_array_new_with_free_func(g_free),
                        .dir = g_dir_make_tmp("sb-haproxy-XXXXXX", NULL)};
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
                                         .master_socket = g_build_filename(s->dir, "master.sock", NULL),
                                         .hold_us = limits->hold_us,
                                         .hold_stage_us = limits->hold_stage_us,
                                         .relay_allowance = limits->relay_allowance};
    struct edge_state *empty = edge_state_empty();
    struct edge_files files = {0};
    ck_assert(edge_files_write(&files, empty, &s->settings, &error));
    edge_files_clear(&files);
    edge_state_free(empty);
    stage_start_haproxy(s);

    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->cond, NULL);
    start_driver(s);
}

void stage_end(struct stage *s)
{
    stop_driver(s);
    g_ptr_array_unref(s->notes);
    stage_stop_haproxy(s);
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

struct answer stage_request(struct stage *s, const char *method, const char *host, const char *path, const char *more)
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

int stage_status(struct stage *s, const char *method, const char *host, const char *path)
{
    struct answer answer = stage_request(s, method, host, path, NULL);
    g_free(answer.text);
    return answer.status;
}

/* Value of a header in the origin's body (behind the first empty line) or in the answer's head; g_free, or NULL. */
char *answer_header(const struct answer *answer, bool seen_by_origin, const char *name)
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

void answer_expect(const struct answer *answer, bool seen_by_origin, const char *name, const char *value)
{
    g_autofree char *found = answer_header(answer, seen_by_origin, name);
    ck_assert_msg(g_strcmp0(found, value) == 0, "%s is %s, expected %s, in:\n%s", name, found, value, answer->text);
}

unsigned stage_room_requests(struct stage *s, unsigned first)
{
    return atomic_load(&s->origins[first].requests) + atomic_load(&s->origins[first + 1].requests);
}

struct shot {
    struct stage *stage;
    const char *host, *path;
    char *cookie;
    struct answer *answer;
    pthread_t thread;
};

static void *shot_run(void *data)
{
    struct shot *shot = data;
    *shot->answer = stage_request(shot->stage, "GET", shot->host, shot->path, shot->cookie);
    return NULL;
}

struct answer *stage_volley(struct stage *s, const char *host, const char *path, unsigned n, int64_t gap_us)
{
    struct answer *answers = g_new0(struct answer, n);
    g_autofree struct shot *shots = g_new0(struct shot, n);
    int64_t from_us = loop_now_us();
    for (unsigned i = 0; i < n; i++) {
        shots[i] = (struct shot){s, host, path, g_strdup_printf("Cookie: uid=%u\r\n", i), &answers[i], 0};
        int64_t early_us = from_us + i * gap_us - loop_now_us();
        if (early_us >= 1000)
            poll(NULL, 0, (int)(early_us / 1000)); /* the load's own clock */
        ck_assert_int_eq(pthread_create(&shots[i].thread, NULL, shot_run, &shots[i]), 0);
    }
    for (unsigned i = 0; i < n; i++) {
        pthread_join(shots[i].thread, NULL);
        g_free(shots[i].cookie);
    }
    return answers;
}

unsigned volley_others(struct answer *answers, unsigned n, int status)
{
    unsigned others = 0;
    for (unsigned i = 0; i < n; i++) {
        others += answers[i].status != status;
        g_free(answers[i].text);
    }
    g_free(answers);
    return others;
}

char *stage_blamed(struct stage *s)
{
    GString *blamed = g_string_new(NULL);
    g_autofree char *stat = stage_admin(s, "show stat -1 4 -1\n");
    g_auto(GStrv) lines = g_strsplit(stat, "\n", -1);
    g_auto(GStrv) head = g_strsplit(lines[0], ",", -1);
    unsigned at = 0;
    while (head[at] != NULL && strcmp(head[at], "hanafail") != 0)
        at++;
    ck_assert_ptr_nonnull(head[at]);
    for (char **line = lines + 1; *line != NULL; line++) {
        g_auto(GStrv) word = g_strsplit(*line, ",", -1);
        if (g_strv_length(word) > at && atoi(word[at]) > 0)
            g_string_append_printf(blamed, "%s/%s ", word[0], word[1]);
    }
    return g_string_free(blamed, FALSE);
}
