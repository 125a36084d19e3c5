#include "core/error.h"
#include "core/fileio.h"
#include "core/httpc.h"
#include "core/sdnotify.h"

#include "tests/unit/unit.h"
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* --- notify --- */

struct hung {
    struct loop *loop;
    int fd; /* the service manager's */
    unsigned before, meanwhile, after;
};

static unsigned pings(int fd)
{
    char text[64];
    unsigned n = 0;
    ssize_t size;
    while ((size = recv(fd, text, sizeof text, MSG_DONTWAIT)) > 0)
        n += size == 10 && memcmp(text, "WATCHDOG=1", 10) == 0;
    return n;
}

static void on_hang(void *data)
{
    struct hung *hung = data;
    hung->before = pings(hung->fd);
    poll(NULL, 0, 200); /* a callback that does not return in time is what the watchdog is for */
    hung->meanwhile = pings(hung->fd);
}

static void on_stop(void *data)
{
    struct hung *hung = data;
    hung->after = pings(hung->fd);
    loop_stop(hung->loop);
}

START_TEST(the_watchdog_is_fed_by_a_loop_that_turns)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof sa.sun_path, "/tmp/sb-test-notify-%d", (int)getpid());
    struct hung hung = {.loop = loop_new(NULL), .fd = socket(AF_UNIX, SOCK_DGRAM, 0)};
    ck_assert_int_eq(bind(hung.fd, (struct sockaddr *)&sa, sizeof sa), 0);
    setenv("NOTIFY_SOCKET", sa.sun_path, 1);
    ck_assert_ptr_null(notify_watchdog_new(hung.loop)); /* none is asked for */
    setenv("WATCHDOG_USEC", "40000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    ck_assert_ptr_null(notify_watchdog_new(hung.loop)); /* another process's */
    unsetenv("WATCHDOG_PID");
    struct notify_watchdog *watchdog = notify_watchdog_new(hung.loop);
    struct loop_timer *hang = loop_timer_new(hung.loop, on_hang, &hung),
                      *stop = loop_timer_new(hung.loop, on_stop, &hung);
    loop_timer_arm(hang, loop_now_us() + 110000);
    loop_timer_arm(stop, loop_now_us() + 400000);
    loop_run(hung.loop);
    ck_assert_uint_ge(hung.before, 1);
    ck_assert_uint_le(hung.before, 6); /* every 20 ms */
    ck_assert_uint_eq(hung.meanwhile, 0);
    ck_assert_uint_ge(hung.after, 1);
    notify_watchdog_free(watchdog);
    loop_timer_free(hang);
    loop_timer_free(stop);
    loop_free(hung.loop);
    close(hung.fd);
    unlink(sa.sun_path);
}
END_TEST

/* --- loop --- */

struct seen {
    struct loop *loop;
    GString *order;
    struct loop_timer *late;
    int posts;
};

static void on_early(void *data)
{
    struct seen *seen = data;
    g_string_append_c(seen->order, 'e');
}

static void on_late(void *data)
{
    struct seen *seen = data;
    g_string_append_c(seen->order, 'l');
    loop_stop(seen->loop);
}

START_TEST(timers_fire_in_the_order_of_their_times)
{
    struct seen seen = {.loop = loop_new(NULL), .order = g_string_new(NULL)};
    struct loop_timer *late = loop_timer_new(seen.loop, on_late, &seen);
    struct loop_timer *early = loop_timer_new(seen.loop, on_early, &seen);
    struct loop_timer *never = loop_timer_new(seen.loop, on_early, &seen);
    int64_t now = loop_now_us();
    loop_timer_arm(late, now + 20000);
    loop_timer_arm(early, now + 10000);
    loop_timer_arm(never, now + 5000);
    loop_timer_disarm(never);
    loop_run(seen.loop);
    ck_assert_int_ge(loop_now_us() - now, 20000);
    ck_assert_str_eq(seen.order->str, "el");
    loop_timer_free(late);
    loop_timer_free(early);
    loop_timer_free(never);
    loop_free(seen.loop);
    g_string_free(seen.order, TRUE);
}
END_TEST

static void on_post(void *data)
{
    struct seen *seen = data;
    if (++seen->posts == 400)
        loop_stop(seen->loop);
}

static void *post_hundred(void *data)
{
    struct seen *seen = data;
    for (int i = 0; i < 100; i++)
        loop_post(seen->loop, on_post, seen);
    return NULL;
}

START_TEST(work_of_other_threads_runs_once_each)
{
    struct seen seen = {.loop = loop_new(NULL)};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, post_hundred, &seen);
    loop_run(seen.loop);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(seen.posts, 400);
    loop_free(seen.loop);
}
END_TEST

static void on_readable(void *data, int fd, uint32_t events)
{
    struct seen *seen = data;
    char byte;
    ck_assert(events & EPOLLIN);
    ck_assert_int_eq(read(fd, &byte, 1), 1);
    g_string_append_c(seen->order, byte);
    if (byte == 'z') {
        loop_unwatch(seen->loop, fd);
        loop_stop(seen->loop);
    }
}

START_TEST(descriptors_are_watched_until_unwatched)
{
    struct seen seen = {.loop = loop_new(NULL), .order = g_string_new(NULL)};
    int pipe_fds[2];
    ck_assert_int_eq(pipe(pipe_fds), 0);
    ck_assert(loop_watch(seen.loop, pipe_fds[0], EPOLLIN, on_readable, &seen, NULL));
    ck_assert_int_eq(write(pipe_fds[1], "xyz", 3), 3);
    loop_run(seen.loop);
    ck_assert_str_eq(seen.order->str, "xyz");
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    loop_free(seen.loop);
    g_string_free(seen.order, TRUE);
}
END_TEST

/* --- files --- */

START_TEST(a_file_is_old_or_new)
{
    g_autofree char *dir = g_dir_make_tmp("sb-core-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "f", NULL), *tmp = g_strconcat(path, ".tmp", NULL);
    g_autoptr(GError) error = NULL;
    ck_assert(file_write_atomic(path, "one", 3, 0600, &error));
    ck_assert_int_eq(mkdir(tmp, 0700), 0); /* the temporary file cannot be made: the old one stays */
    ck_assert(!file_write_atomic(path, "two", 3, 0600, &error));
    ck_assert(g_error_matches(error, SB_ERROR, SB_ERROR_IO));
    g_autofree char *text = file_read(path, 100, NULL, NULL);
    ck_assert_str_eq(text, "one");
    rmdir(tmp);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0600);
    unlink(path);
    rmdir(dir);
}
END_TEST

/* A crash or a full disk may leave half a line; what comes behind it stands on a line of its own. */
START_TEST(lines_are_appended_whole)
{
    g_autofree char *dir = g_dir_make_tmp("sb-core-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "f", NULL);
    g_autoptr(GError) error = NULL;
    struct rlimit all, few = {8, RLIM_INFINITY};
    bool torn = false;
    ck_assert(file_append(path, "one\n", 0600, true, &torn, NULL));
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &all), 0);
    few.rlim_max = all.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &few), 0); /* the file takes half of the next line */
    ck_assert(!file_append(path, "two and three\n", 0600, false, &torn, &error));
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &all), 0);
    ck_assert(g_error_matches(error, SB_ERROR, SB_ERROR_IO));
    ck_assert(!torn);
    g_autofree char *kept = file_read(path, 100, NULL, NULL);
    ck_assert_str_eq(kept, "one\n");
    torn = true;
    ck_assert(file_append(path, "two\n", 0600, false, &torn, NULL));
    ck_assert(!torn);
    g_autofree char *both = file_read(path, 100, NULL, NULL);
    ck_assert_str_eq(both, "one\n\ntwo\n");
    unlink(path);
    rmdir(dir);
}
END_TEST

START_TEST(reading_is_bounded_and_absence_is_told_apart)
{
    g_autofree char *dir = g_dir_make_tmp("sb-core-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "f", NULL);
    g_autoptr(GError) absent = NULL;
    g_autoptr(GError) large = NULL;
    ck_assert_ptr_null(file_read(path, 10, NULL, &absent));
    ck_assert(g_error_matches(absent, SB_ERROR, SB_ERROR_NOT_FOUND));
    ck_assert(file_write_atomic(path, "0123456789x", 11, 0600, NULL));
    ck_assert_ptr_null(file_read(path, 10, NULL, &large));
    ck_assert(g_error_matches(large, SB_ERROR, SB_ERROR_TOO_LARGE));
    unlink(path);
    rmdir(dir);
}
END_TEST

/* --- HTTP client, against a server of one answer per connection --- */

struct answering {
    int fd;
    const char *answer; /* NULL: says nothing until the client goes */
    char request[2048];
};

static void *answer_once(void *data)
{
    struct answering *a = data;
    int fd = accept(a->fd, NULL, NULL);
    size_t len = 0;
    while (strstr(a->request, "\r\n\r\n") == NULL && len < sizeof a->request - 1) {
        ssize_t n = read(fd, a->request + len, sizeof a->request - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    char byte;
    if (a->answer != NULL)
        ck_assert_int_ge(write(fd, a->answer, strlen(a->answer)), 0);
    else
        while (read(fd, &byte, 1) > 0)
            ;
    close(fd);
    return NULL;
}

static int listen_loopback(char url[static 64])
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    ck_assert_int_eq(listen(fd, 4), 0);
    getsockname(fd, (struct sockaddr *)&addr, &len);
    snprintf(url, 64, "http://127.0.0.1:%u", (unsigned)ntohs(addr.sin_port));
    return fd;
}

START_TEST(a_call_brings_status_body_and_headers)
{
    char url[64];
    struct answering a = {.fd = listen_loopback(url),
                          .answer =
                              "HTTP/1.1 412 Stale\r\nETag: \"7\"\r\nLocation: /x\r\nContent-Length: 5\r\n\r\nhello"};
    pthread_t thread;
    pthread_create(&thread, NULL, answer_once, &a);
    struct httpc_target target = {.base_url = url, .token = "secret"};
    struct httpc_reply reply = {0};
    ck_assert(
        httpc_call(&target, "PUT", "/v1/x", (const char *const[]){"If-Match: \"6\"", NULL}, "{}", 5000, &reply, NULL));
    pthread_join(thread, NULL);
    ck_assert_uint_eq(reply.status, 412);
    ck_assert_str_eq(reply.body, "hello");
    ck_assert_str_eq(reply.etag, "\"7\"");
    ck_assert_str_eq(reply.location, "/x");
    ck_assert_ptr_nonnull(strstr(a.request, "PUT /v1/x HTTP/1.1\r\n"));
    ck_assert_ptr_nonnull(strstr(a.request, "Authorization: Bearer secret\r\n"));
    ck_assert_ptr_nonnull(strstr(a.request, "If-Match: \"6\"\r\n"));
    httpc_reply_clear(&reply);
    close(a.fd);
}
END_TEST

START_TEST(nobody_there_and_no_answer_are_told_apart)
{
    char url[64];
    struct answering a = {.fd = listen_loopback(url)};
    struct httpc_target target = {.base_url = url};
    struct httpc_reply reply = {0};
    g_autoptr(GError) silent = NULL;
    g_autoptr(GError) refused = NULL;
    pthread_t thread;
    pthread_create(&thread, NULL, answer_once, &a);
    ck_assert(!httpc_call(&target, "GET", "/", NULL, NULL, 100, &reply, &silent));
    ck_assert(g_error_matches(silent, SB_ERROR, SB_ERROR_TIMEOUT));
    httpc_reply_clear(&reply);
    pthread_join(thread, NULL);
    close(a.fd);
    ck_assert(!httpc_call(&target, "GET", "/", NULL, NULL, 1000, &reply, &refused));
    ck_assert(g_error_matches(refused, SB_ERROR, SB_ERROR_UNREACHABLE));
    httpc_reply_clear(&reply);
}
END_TEST

struct ending {
    struct loop *loop;
    unsigned status;
    int calls;
};

static void on_reply(void *data, const struct httpc_reply *reply, const GError *error)
{
    struct ending *end = data;
    end->calls++;
    end->status = reply != NULL ? reply->status : 0;
    ck_assert((reply == NULL) == (error != NULL));
    loop_stop(end->loop);
}

static void on_never(void *data, const struct httpc_reply *reply, const GError *error)
{
    (void)data;
    (void)reply;
    (void)error;
    ck_abort_msg("a cancelled request has called back");
}

START_TEST(requests_on_a_loop_call_back_once_and_cancelled_ones_never)
{
    char url[64];
    struct answering a = {.fd = listen_loopback(url), .answer = "HTTP/1.1 204 No\r\n\r\n"};
    pthread_t thread;
    pthread_create(&thread, NULL, answer_once, &a);
    struct ending end = {.loop = loop_new(NULL)};
    struct httpc *client = httpc_new(end.loop, NULL);
    struct httpc_target target = {.base_url = url}, nobody = {.base_url = "http://127.0.0.1:1"};
    httpc_cancel(httpc_start(client, &nobody, "GET", "/", NULL, 1000, on_never, &end));
    httpc_start(client, &target, "GET", "/", NULL, 5000, on_reply, &end);
    loop_run(end.loop);
    pthread_join(thread, NULL);
    ck_assert_int_eq(end.calls, 1);
    ck_assert_uint_eq(end.status, 204);
    httpc_start(client, &target, "GET", "/", NULL, 5000, on_never, &end); /* under way when the client ends */
    httpc_free(client);
    loop_free(end.loop);
    close(a.fd);
}
END_TEST

/* --- a resolver that answers nobody --- */

#define LATE_MS 5000 /* then the library gives up, as with one server in resolv.conf that is gone */

static atomic_int resolver_dead, lookups;

/* In libc's place, also for libcurl. */
int getaddrinfo(const char *restrict name, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict out)
{
    typedef int (*lookup_fn)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    lookup_fn next = (lookup_fn)dlsym(RTLD_NEXT, "getaddrinfo");
    if (g_strcmp0(name, "control.example.test") != 0)
        return next(name, service, hints, out);
    atomic_fetch_add(&lookups, 1);
    int64_t end_us = loop_now_us() + LATE_MS * 1000;
    while (atomic_load(&resolver_dead) && loop_now_us() < end_us)
        poll(NULL, 0, 10);
    return atomic_load(&resolver_dead) ? EAI_AGAIN : next("127.0.0.1", service, hints, out);
}

static void on_live(void *data, const struct httpc_reply *reply, const GError *error)
{
    (void)error;
    *(int64_t *)data = reply != NULL && reply->status == 204 ? loop_now_us() : 0;
}

START_TEST(a_dead_resolver_holds_nobody_up)
{
    char url[64];
    struct answering a = {.fd = listen_loopback(url), .answer = "HTTP/1.1 204 No\r\n\r\n"};
    g_autofree char *by_name = g_strdup_printf("http://control.example.test%s", strrchr(url, ':'));
    struct httpc_target named = {.base_url = by_name}, target = {.base_url = url};
    struct httpc_reply reply = {0};
    g_autoptr(GError) error = NULL;
    atomic_store(&resolver_dead, 1);
    int64_t start_us = loop_now_us();
    ck_assert(!httpc_call(&named, "GET", "/", NULL, NULL, 5000, &reply, &error));
    ck_assert_int_lt(loop_now_us() - start_us, 2000000);
    ck_assert(g_error_matches(error, SB_ERROR, SB_ERROR_UNREACHABLE));
    ck_assert_ptr_nonnull(strstr(error->message, "control.example.test"));
    ck_assert_ptr_nonnull(strstr(error->message, "Resolving timed out"));
    httpc_reply_clear(&reply);

    /* On a loop: what needs no name goes on, and the loop turns when the other has failed. */
    pthread_t thread;
    pthread_create(&thread, NULL, answer_once, &a);
    struct ending failed = {.loop = loop_new(NULL)};
    struct httpc *client = httpc_new(failed.loop, NULL);
    int64_t live_us = 0;
    start_us = loop_now_us();
    httpc_start(client, &named, "GET", "/", NULL, 5000, on_reply, &failed);
    httpc_start(client, &target, "GET", "/", NULL, 5000, on_live, &live_us);
    loop_run(failed.loop);
    pthread_join(thread, NULL);
    ck_assert_int_eq(failed.calls, 1);
    ck_assert_uint_eq(failed.status, 0);
    ck_assert_int_lt(loop_now_us() - start_us, 2000000);
    ck_assert_int_gt(live_us, 0);
    ck_assert_int_lt(live_us - start_us, 1000000);

    /* It heals. */
    atomic_store(&resolver_dead, 0);
    pthread_create(&thread, NULL, answer_once, &a);
    ck_assert(httpc_call(&named, "GET", "/", NULL, NULL, 5000, &reply, NULL));
    ck_assert_uint_eq(reply.status, 204);
    pthread_join(thread, NULL);
    httpc_reply_clear(&reply);
    ck_assert_int_eq(atomic_load(&lookups), 3);
    httpc_free(client);
    loop_free(failed.loop);
    close(a.fd);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, the_watchdog_is_fed_by_a_loop_that_turns);
    tcase_add_test(tcase, timers_fire_in_the_order_of_their_times);
    tcase_add_test(tcase, work_of_other_threads_runs_once_each);
    tcase_add_test(tcase, descriptors_are_watched_until_unwatched);
    tcase_add_test(tcase, a_file_is_old_or_new);
    tcase_add_test(tcase, lines_are_appended_whole);
    tcase_add_test(tcase, reading_is_bounded_and_absence_is_told_apart);
    tcase_add_test(tcase, a_call_brings_status_body_and_headers);
    tcase_add_test(tcase, nobody_there_and_no_answer_are_told_apart);
    tcase_add_test(tcase, requests_on_a_loop_call_back_once_and_cancelled_ones_never);
    tcase_add_test(tcase, a_dead_resolver_holds_nobody_up);
}

int main(void)
{
    return unit_run("core", add);
}
