/* What is around the forwarder and needs no DPDK: its command line, the interfaces that it refuses, its secret, and its
 * local socket, whose other side, the forwarding thread, is the test itself. */
#include "dataplane/dpsecret.h"
#include "dataplane/dpsocket.h"
#include "dataplane/iface.h"

#include "tests/unit/dptable.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>

#define WAIT_MS 20000

/* ---- the command line ---- */

static const struct command {
    const char *args, *error; /* NULL: right */
} commands[] = {
    {"--port a --port b --socket s", NULL},
    {"--port a --socket s --busy --secret k", NULL},
    {"--help", NULL},
    {"--socket s", "expected --port, once at least, and --socket"},
    {"--port a", "expected --port, once at least, and --socket"},
    {"", "expected --port, once at least, and --socket"},
    {"--port a --port b --port a --socket s", "--port a: is there twice"},
    {"--port a --socket s --port", "--port: expected a value behind it"},
    {"--port a --socket s --fast", "--fast: unknown, or not complete"},
    {"--port a --socket s more", "more: expected options only"},
    {"--port 1 --port 2 --port 3 --port 4 --port 5 --port 6 --port 7 --port 8 --port 9 --socket s",
     "--port 9: expected 8 ports at most"},
    {"--ask show --socket s", NULL},
    {"--ask show", "--ask show: expected --socket, and no --port"},
    {"--ask show --socket s --port a", "--ask show: expected --socket, and no --port"},
};

START_TEST(command_lines)
{
    char error[SETTINGS_ERROR] = "";
    struct settings settings;
    g_autofree char *all = g_strconcat("signalbox-forwarder ", commands[_i].args, NULL);
    g_auto(GStrv) argv = g_strsplit(g_strchomp(all), " ", -1);
    int status = settings_parse(&settings, (int)g_strv_length(argv), argv, error);
    ck_assert_int_eq(status, commands[_i].error == NULL ? 0 : -EINVAL);
    ck_assert_str_eq(error, commands[_i].error == NULL ? "" : commands[_i].error);
}
END_TEST

START_TEST(what_a_command_line_says)
{
    char error[SETTINGS_ERROR] = "";
    struct settings s;
    char *argv[] = {(char *)"f",  (char *)"--port",   (char *)"east", (char *)"--secret", (char *)"key",
                    (char *)"-b", (char *)"--socket", (char *)"here", (char *)"--port",   (char *)"west"};
    argv[5] = (char *)"--busy";
    ck_assert_int_eq(settings_parse(&s, (int)G_N_ELEMENTS(argv), argv, error), 0);
    ck_assert_uint_eq(s.n, 2);
    ck_assert_str_eq(s.interfaces[0], "east");
    ck_assert_str_eq(s.interfaces[1], "west");
    ck_assert_str_eq(s.socket, "here");
    ck_assert_str_eq(s.secret, "key");
    ck_assert(s.busy && !s.help);
}
END_TEST

/* ---- interfaces ---- */

static const struct refusal {
    struct iface_facts facts;
    const char *mends; /* NULL: it is fit */
} refusals[] = {
    {{.there = true, .up = true, .mtu = 1500}, NULL},
    {{.there = true, .up = true, .mtu = 1280}, NULL},
    {{.there = false}, "`ip link`"},
    {{.there = true, .up = false, .mtu = 1500}, "; ip link set x up"},
    {{.there = true, .up = true, .mtu = 1501}, "; ip link set x mtu 1500"},
    {{.there = true, .up = true, .mtu = 1500, .address4 = true}, "; ip addr flush dev x"},
    {{.there = true, .up = true, .mtu = 1500, .address6 = true}, "; sysctl -w net.ipv6.conf.x.disable_ipv6=1"},
    {{.there = true, .up = true, .mtu = 1500, .forwards = true}, "; sysctl -w net.ipv4.conf.x.forwarding=0"},
    {{.there = true, .up = true, .mtu = 1500, .glues = true}, "; ethtool -K x gro off lro off"},
};

START_TEST(refusals_say_what_mends_them)
{
    const struct refusal *r = &refusals[_i];
    struct iface_facts facts = r->facts;
    char error[IFACE_ERROR] = "";
    facts.name = "x";
    ck_assert_int_eq(iface_check(&facts, error), r->mends == NULL ? 0 : -EINVAL);
    ck_assert_msg(r->mends == NULL ? error[0] == '\0' : strstr(error, r->mends) != NULL, "found: %s", error);
}
END_TEST

START_TEST(interfaces_are_asked)
{
    struct iface_facts facts;
    char error[IFACE_ERROR];
    ck_assert_int_eq(iface_ask("lo", &facts), 0);
    ck_assert(facts.there && facts.up && facts.address4);
    ck_assert_uint_gt(facts.mtu, 1500);
    ck_assert_int_eq(iface_check(&facts, error), -EINVAL);
    static const char *const none[] = {"sb-is-not-there", "", "../../x", "of-more-than-fifteen-letters"};
    for (unsigned i = 0; i < G_N_ELEMENTS(none); i++) {
        ck_assert_int_eq(iface_ask(none[i], &facts), 0);
        ck_assert(!facts.there);
    }
    facts = (struct iface_facts){.name = "a,b=c", .there = true, .up = true, .mtu = 1500};
    ck_assert_int_eq(iface_check(&facts, error), -EINVAL);
}
END_TEST

/* ---- the secret ---- */

static void check_secret(const char *path, const char *error_part)
{
    uint64_t secret[2];
    char error[DPSECRET_ERROR] = "";
    ck_assert_int_lt(dpsecret_get(path, secret, error), 0);
    ck_assert_msg(strstr(error, path) != NULL && strstr(error, error_part) != NULL, "found: %s", error);
}

START_TEST(a_secret_is_kept)
{
    g_autofree char *folder = g_dir_make_tmp("secret-XXXXXX", NULL), *path = g_build_filename(folder, "key", NULL);
    g_autofree char *nowhere = g_build_filename(folder, "none", "key", NULL);
    uint64_t first[2], again[2], other[2];
    char error[DPSECRET_ERROR] = "";
    struct stat file;
    ck_assert_int_eq(dpsecret_get(path, first, error), 0);
    ck_assert_int_eq(dpsecret_get(path, again, error), 0);
    ck_assert_mem_eq(first, again, sizeof first);
    ck_assert_int_eq(stat(path, &file), 0);
    ck_assert_uint_eq(file.st_mode & 0777, 0600);
    ck_assert_int_eq(dpsecret_get(NULL, other, error), 0);
    ck_assert_mem_ne(first, other, sizeof first);
    ck_assert_int_eq(dpsecret_get(NULL, again, error), 0);
    ck_assert_mem_ne(again, other, sizeof first);
    ck_assert_int_eq(chmod(path, 0640), 0);
    check_secret(path, "mode 0640; expected a file of 16 bytes that only its owner reads");
    ck_assert_int_eq(chmod(path, 0600), 0);
    ck_assert_int_eq(truncate(path, 15), 0);
    check_secret(path, "15 bytes");
    check_secret(folder, "bytes");
    check_secret(nowhere, "cannot be made: No such file or directory");
    unit_remove_all(folder);
}
END_TEST

/* ---- the socket ---- */

struct side {
    struct dpsocket *socket;
    struct forwarder *forwarder;
    struct port_counters ports;
    char *folder, *path;
    int wake_fd;
};

static const uint8_t mac[2][ETHER_ADDRESS] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};

static void side_init(struct side *s)
{
    static const int none[2] = {-1, -1};
    signal(SIGPIPE, SIG_IGN);
    *s = (struct side){.folder = g_dir_make_tmp("socket-XXXXXX", NULL)};
    s->path = g_build_filename(s->folder, "forwarder.sock", NULL);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->forwarder = g_new0(struct forwarder, 1);
    forwarder_init(s->forwarder, mac, 2, 1);
    struct dpsocket_settings settings = {.path = s->path, .n_ports = 2, .watch_fds = none, .wake_fd = s->wake_fd};
    s->socket = dpsocket_start(&settings);
    ck_assert_msg(s->socket != NULL, "%s: %s", s->path, strerror(errno));
}

static void side_clear(struct side *s)
{
    dpsocket_stop(s->socket);
    ck_assert_int_eq(access(s->path, F_OK), -1);
    fib_free((struct fib *)s->forwarder->table);
    g_free(s->forwarder);
    close(s->wake_fd);
    unit_remove_all(s->folder);
    g_free(s->folder);
    g_free(s->path);
}

static int dial(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    g_strlcpy(at.sun_path, path, sizeof at.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_msg(connect(fd, (struct sockaddr *)&at, sizeof at) == 0, "%s: %s", path, strerror(errno));
    return fd;
}

/* All that comes until the other side has ended; closes; g_free. */
static char *answer_of(int fd)
{
    GString *answer = g_string_new(NULL);
    char part[4096];
    ssize_t n;
    while ((n = read(fd, part, sizeof part)) > 0)
        g_string_append_len(answer, part, n);
    close(fd);
    return g_string_free(answer, FALSE);
}

static char *ask(const char *path, const void *bytes, size_t size)
{
    int fd = dial(path);
    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
    shutdown(fd, SHUT_WR);
    return answer_of(fd);
}

/* What the forwarding thread does between two bursts; true: a table came. */
static bool turn(struct side *s)
{
    uint64_t woken;
    while (read(s->wake_fd, &woken, sizeof woken) > 0)
        continue;
    struct fib *table = dpsocket_turn(s->socket, s->forwarder, &s->ports);
    struct fib *before = (struct fib *)s->forwarder->table;
    if (table == NULL)
        return false;
    forwarder_set_table(s->forwarder, table, 1);
    dpsocket_give_back(s->socket, before);
    return true;
}

/* It may be woken for what it has found already. */
static void wait_woken(struct side *s)
{
    struct pollfd p = {.fd = s->wake_fd, .events = POLLIN};
    ck_assert_int_eq(poll(&p, 1, WAIT_MS), 1);
}

static void wait_pending(struct side *s)
{
    wait_woken(s);
    ck_assert(dpsocket_pending(s->socket));
}

/* A table with one local address, whose last byte is `local`. */
static GByteArray *message_of(uint64_t generation, uint8_t local)
{
    static const uint8_t own[16] = {192, 0, 2, 1}, next[16] = {192, 0, 2, 2};
    struct dptable t = {.header.generation = generation};
    dptable_adjacency(&t, 4, 0, own, next);
    dptable_local(&t, 4, (const uint8_t[16]){10, 0, 0, local});
    return dptable_message(&t);
}

static void check_answer(struct side *s, uint64_t generation, uint8_t local, const char *expected)
{
    g_autoptr(GByteArray) message = message_of(generation, local);
    g_autofree char *answer = ask(s->path, message->data, message->len);
    ck_assert_str_eq(answer, expected);
}

START_TEST(tables_come_and_are_given_back)
{
    struct side s;
    side_init(&s);
    ck_assert(!dpsocket_pending(s.socket));
    check_answer(&s, 7, 1, "ok 7\n");
    wait_pending(&s);
    ck_assert(turn(&s));
    ck_assert_uint_eq(s.forwarder->table->header.generation, 7);
    ck_assert(!dpsocket_pending(s.socket) && !turn(&s));
    check_answer(&s, 8, 2, "refused: other local addresses than those that are in use: that takes a restart\n");
    ck_assert(!dpsocket_pending(s.socket));
    check_answer(&s, 9, 1, "ok 9\n");
    check_answer(&s, 10, 1, "ok 10\n"); /* in the place of the one that was not taken */
    ck_assert(turn(&s));
    ck_assert(!turn(&s));
    ck_assert_uint_eq(s.forwarder->table->header.generation, 10);
    ck_assert_uint_eq(dpsocket_offload(s.socket), DP_PORTS);
    side_clear(&s);
}
END_TEST

START_TEST(what_is_no_table_is_refused)
{
    struct side s;
    side_init(&s);
    static const char *const strange[] = {"", "show", "shows\n", "GET / HTTP/1.1\r\n\r\n", "\n", "SBDP"};
    for (unsigned i = 0; i < G_N_ELEMENTS(strange); i++) {
        g_autofree char *answer = ask(s.path, strange[i], strlen(strange[i]));
        ck_assert_msg(g_str_has_prefix(answer, "refused: no table: ") && g_str_has_suffix(answer, "\n"), "%s: %s",
                      strange[i], answer);
    }
    g_autoptr(GByteArray) message = message_of(1, 1);
    for (guint size = 0; size < message->len; size += 9) {
        g_autofree char *answer = ask(s.path, message->data, size);
        ck_assert(g_str_has_prefix(answer, "refused: "));
    }
    ck_assert(!dpsocket_pending(s.socket));
    side_clear(&s);
}
END_TEST

/* A table in pieces; and its sender need not end first. */
START_TEST(a_table_may_come_in_pieces)
{
    struct side s;
    side_init(&s);
    g_autoptr(GByteArray) message = message_of(3, 1);
    int fd = dial(s.path);
    for (guint at = 0; at < message->len; at++)
        ck_assert_int_eq(write(fd, message->data + at, 1), 1);
    g_autofree char *answer = answer_of(fd);
    ck_assert_str_eq(answer, "ok 3\n");
    ck_assert(turn(&s));
    side_clear(&s);
}
END_TEST

static int show_begins(struct side *s)
{
    int fd = dial(s->path);
    ck_assert_int_eq(write(fd, "show\n", 5), 5);
    wait_pending(s);
    return fd;
}

START_TEST(a_picture_is_of_one_moment)
{
    struct side s;
    side_init(&s);
    s.forwarder->received = 12;
    s.forwarder->drops[DROP_TTL] = 5;
    s.forwarder->forwarded = 7;
    s.ports.unsent = 3;
    int fd = show_begins(&s);
    ck_assert(!turn(&s));
    s.forwarder->received = 99; /* behind it */
    g_autofree char *none = answer_of(fd);
    ck_assert_msg(g_str_has_prefix(none, "table none generation 0\n"
                                         "frames received 12 forwarded 7 made 0 unmade 0 unsent 3 no-memory 0 "
                                         "missed 0 buffers 0\nstalls 0 stalled_us 0\ndrop ttl 5\nsessions created 0"),
                  "found: %s", none);
    check_answer(&s, 21, 1, "ok 21\n");
    fd = show_begins(&s); /* before it is taken: it will be seen to be */
    while (!dpsocket_pending(s.socket) || turn(&s))
        continue;
    g_autofree char *one = answer_of(fd);
    ck_assert_msg(g_str_has_prefix(one, "table in-force generation 21\nframes received 99 "), "found: %s", one);
    ck_assert_ptr_nonnull(strstr(one, "\nadjacency 0 port 0 known 0 tx 0 tx_bytes 0 rx 0 rx_bytes 0\n"));
    side_clear(&s);
}
END_TEST

/* Who watches is told nothing but the end; others are answered meanwhile, and the last four are kept. */
START_TEST(watchers_are_kept)
{
    struct side s;
    int fds[DPSOCKET_WATCHERS + 1];
    char byte;
    side_init(&s);
    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        fds[i] = dial(s.path);
        ck_assert_int_eq(write(fds[i], "watch\n", 6), 6);
    }
    check_answer(&s, 4, 1, "ok 4\n"); /* behind all of them */
    ck_assert_int_eq(read(fds[0], &byte, 1), 0);
    for (unsigned i = 1; i < G_N_ELEMENTS(fds); i++)
        ck_assert(recv(fds[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
    side_clear(&s);
    for (unsigned i = 1; i < G_N_ELEMENTS(fds); i++)
        ck_assert_int_eq(read(fds[i], &byte, 1), 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++)
        close(fds[i]);
}
END_TEST

/* A frame from a client, to us, that nobody serves. */
static void client_asks(struct side *s)
{
    uint8_t bytes[200];
    struct packet p = {.frame = bytes, .size = ETHER_SIZE, .room = sizeof bytes - ETHER_SIZE};
    int out;
    memcpy(bytes, mac[1], ETHER_ADDRESS);
    memset(bytes + ETHER_ADDRESS, 2, ETHER_ADDRESS);
    packet_make_tcp(&p, &(struct tcp_segment){.family = 4,
                                              .source = (const uint8_t[]){192, 0, 2, 7},
                                              .dest = (const uint8_t[]){198, 51, 100, 1},
                                              .from = 40000,
                                              .to = 80,
                                              .seq = 5,
                                              .flags = TCP_SYN});
    forwarder_receive(s->forwarder, 1, &p, 1, &out, 1000);
    ck_assert_int_eq(out, -DROP_SERVICE);
}

static int look_begins(struct side *s, const char *words)
{
    const struct trace_filter *before = s->forwarder->trace->watched;
    int fd = dial(s->path);
    ck_assert_int_eq(write(fd, words, strlen(words)), (ssize_t)strlen(words));
    for (int64_t until_us = g_get_monotonic_time() + WAIT_MS * 1000;
         s->forwarder->trace->watched == before || s->forwarder->trace->watched == NULL; poll(NULL, 0, 1))
        ck_assert_int_lt(g_get_monotonic_time(), until_us);
    return fd;
}

START_TEST(packets_are_looked_at)
{
    struct side s;
    char line[TRACE_LINE] = "";
    uint8_t head[TRACE_CAPTURE_HEAD + 16];
    side_init(&s);
    s.forwarder->trace = dpsocket_trace(s.socket);
    client_asks(&s); /* nobody looks */
    int text = look_begins(&s, "trace 192.0.2.7\n");
    client_asks(&s);
    ck_assert_int_gt(read(text, line, sizeof line - 1), 0);
    ck_assert_msg(g_pattern_match_simple("??:??:*Z port 1 tcp 192.0.2.7:40000 > 198.51.100.1:80 S seq 5 "
                                         "ack 0 54 bytes; service: for an address and port that nobody serves\n",
                                         line),
                  "found: %s", line);
    int capture = look_begins(&s, "pcap\n"); /* in the place of the one before */
    ck_assert_int_eq(read(text, line, 1), 0);
    client_asks(&s);
    ck_assert_int_eq(recv(capture, head, sizeof head, MSG_WAITALL), sizeof head);
    ck_assert_mem_eq(head, ((const uint8_t[]){0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0}), 8);
    ck_assert_mem_eq(head + TRACE_CAPTURE_HEAD + 8, ((const uint8_t[]){54, 0, 0, 0, 54, 0, 0, 0}), 8);
    close(capture);
    for (int64_t until_us = g_get_monotonic_time() + WAIT_MS * 1000; s.forwarder->trace->watched != NULL;
         poll(NULL, 0, 1))
        ck_assert_int_lt(g_get_monotonic_time(), until_us);
    g_autofree char *file = g_build_filename(s.folder, "said", NULL), *refused = NULL;
    int said = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(dpsocket_ask(s.path, "trace nowhere", said), -EPROTO);
    ck_assert_int_eq(dpsocket_ask(file, "show", said), -ECONNREFUSED);
    ck_assert(g_file_get_contents(file, &refused, NULL, NULL) && g_str_has_prefix(refused, "refused: "));
    close(said);
    close(text);
    side_clear(&s);
}
END_TEST

/* A forwarding thread that stalls: it is said, and nothing of it comes later. */
START_TEST(a_stall_is_said)
{
    struct side s;
    side_init(&s);
    s.forwarder->received = 1;
    g_autofree char *answer = answer_of(show_begins(&s));
    ck_assert_str_eq(answer, "refused: the forwarding thread has not answered within 2000 ms\n");
    ck_assert(!turn(&s)); /* late: nobody waits for it any more */
    s.forwarder->received = 2;
    int fd = show_begins(&s);
    turn(&s);
    g_autofree char *later = answer_of(fd);
    ck_assert_msg(strstr(later, "frames received 2 ") != NULL, "found: %s", later);
    side_clear(&s);
}
END_TEST

START_TEST(the_socket_is_its_owners)
{
    struct side s;
    struct stat file;
    side_init(&s);
    ck_assert_int_eq(stat(s.path, &file), 0);
    ck_assert_uint_eq(file.st_mode & 0777, 0700);
    struct dpsocket_settings settings = {.wake_fd = s.wake_fd};
    g_autofree char *other = g_build_filename(s.folder, "a-file", NULL);
    ck_assert(g_file_set_contents(other, "kept", -1, NULL));
    settings.path = other;
    ck_assert_ptr_null(dpsocket_start(&settings));
    ck_assert_int_eq(errno, EADDRINUSE);
    ck_assert_int_eq(access(other, F_OK), 0);
    g_autofree char *longer = g_strnfill(200, 'x');
    settings.path = longer;
    ck_assert_ptr_null(dpsocket_start(&settings));
    ck_assert_int_eq(errno, ENAMETOOLONG);
    side_clear(&s);
}
END_TEST

/* ---- both sides at once ---- */

#define SWAPS 300u

static void *give_tables(void *context)
{
    const struct side *s = context;
    for (uint64_t i = 1; i <= SWAPS; i++) {
        g_autoptr(GByteArray) message = message_of(i, 1);
        g_autofree char *answer = ask(s->path, message->data, message->len);
        g_autofree char *shown = i % 50 == 0 ? ask(s->path, "show\n", 5) : NULL;
        if (!g_str_has_prefix(answer, "ok ") || (shown != NULL && !g_str_has_prefix(shown, "table in-force ")))
            return g_strdup(answer);
    }
    return NULL;
}

/* Tables come as fast as they can while the forwarding thread reads the one in force. */
START_TEST(swaps_while_it_is_read)
{
    struct side s;
    pthread_t giver;
    void *error = NULL;
    uint64_t seen = 0;
    side_init(&s);
    ck_assert_int_eq(pthread_create(&giver, NULL, give_tables, &s), 0);
    while (seen < SWAPS) {
        if (!dpsocket_pending(s.socket))
            wait_woken(&s);
        turn(&s);
        uint64_t generation = s.forwarder->table != NULL ? s.forwarder->table->header.generation : 0;
        ck_assert_uint_ge(generation, seen);
        seen = generation;
    }
    while (pthread_tryjoin_np(giver, &error) == EBUSY) /* its last picture */
        turn(&s);
    ck_assert_msg(error == NULL, "%s", (const char *)error);
    side_clear(&s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, command_lines, 0, G_N_ELEMENTS(commands));
    tcase_add_test(tcase, what_a_command_line_says);
    tcase_add_loop_test(tcase, refusals_say_what_mends_them, 0, G_N_ELEMENTS(refusals));
    tcase_add_test(tcase, interfaces_are_asked);
    tcase_add_test(tcase, a_secret_is_kept);
    tcase_add_test(tcase, tables_come_and_are_given_back);
    tcase_add_test(tcase, what_is_no_table_is_refused);
    tcase_add_test(tcase, a_table_may_come_in_pieces);
    tcase_add_test(tcase, a_picture_is_of_one_moment);
    tcase_add_test(tcase, watchers_are_kept);
    tcase_add_test(tcase, packets_are_looked_at);
    tcase_add_test(tcase, a_stall_is_said);
    tcase_add_test(tcase, the_socket_is_its_owners);
    tcase_add_test(tcase, swaps_while_it_is_read);
}

int main(void)
{
    return unit_run("dpprocess", add);
}
