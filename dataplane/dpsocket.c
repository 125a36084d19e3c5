#include "dataplane/dpsocket.h"

#include "dataplane/iface.h"
#include "dataplane/tracer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 5000 /* with who is connected */
#define PICTURE_MS 2000  /* with the forwarding thread: it has stalled */
#define MESSAGE_MAX (1u << 20)
#define TRACE_MS 10 /* between two looks at the packets that somebody asked for */
#define LOOK_MS 250 /* between two looks at what neighbours leave undone: not a wake-up for each of their packets */

/* What waits for the forwarding thread. */
enum { TABLE = 1, PICTURE = 2, OFFLOAD = 4 };
enum picture { NOT_WANTED, WANTED, IN_WORK };

struct dpsocket {
    struct sockaddr_un at;
    unsigned n_ports;
    int watch_fds[DP_PORTS], listen_fd, wake_fd, done_fd, stop_fd; /* done_fd: the picture is made */
    int watchers[DPSOCKET_WATCHERS];                               /* below 0: none */
    unsigned next_watcher;
    struct tracer tracer;
    _Atomic unsigned pending, offload;
    _Atomic int picture;
    _Atomic(struct fib *) next, before; /* to be put in force; not used any more */
    struct fib *last;                   /* that was given; the socket's thread's */
    struct forwarder forwarder;         /* the picture, and what its ports count */
    struct port_counters ports;
    pthread_t thread;
    uint8_t message[MESSAGE_MAX];
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void signal_fd(int fd)
{
    uint64_t one = 1;
    ssize_t ignored = write(fd, &one, sizeof one); /* one that is full can be read, too */
    (void)ignored;
}

static void give(struct dpsocket *s, unsigned what)
{
    atomic_fetch_or_explicit(&s->pending, what, memory_order_release);
    signal_fd(s->wake_fd);
}

/* Until it can be read, but not behind the deadline. */
static bool wait_for(int fd, int64_t until_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    for (;;) {
        int64_t left = until_ms - now_ms();
        int n = left <= 0 ? 0 : poll(&p, 1, (int)left);
        if (n >= 0 || errno != EINTR)
            return n > 0;
    }
}

/* ---- show ---- */

static void show_neighbors(FILE *out, const struct forwarder *f)
{
    for (unsigned i = 0; i < DP_ADJACENCIES; i++) {
        const struct forwarder_neighbor *n = &f->neighbors[i];
        if (n->config.port >= DP_PORTS)
            continue;
        fprintf(out, "adjacency %u port %u known %d", i, n->config.port, n->known);
        if (n->config.mult > 0)
            fprintf(out, " bfd %s detection_us %llu", bfd_state_text(n->bfd.state),
                    (unsigned long long)bfd_detection_us(&n->bfd));
        fprintf(out, " tx %llu tx_bytes %llu rx %llu rx_bytes %llu\n", (unsigned long long)n->tx,
                (unsigned long long)n->tx_bytes, (unsigned long long)n->rx, (unsigned long long)n->rx_bytes);
    }
}

static void show_sessions(FILE *out, const struct nat *nat)
{
    fprintf(out, "sessions created %llu ended %llu resets %llu cookies %llu handed %llu unkept %llu\n",
            (unsigned long long)nat->created, (unsigned long long)nat->ended, (unsigned long long)nat->resets,
            (unsigned long long)nat->cookies, (unsigned long long)nat->handed, (unsigned long long)nat->unkept);
    for (int state = NAT_FREE + 1; state < NAT_STATES; state++)
        fprintf(out, "sessions %s %llu\n", nat_state_name((enum nat_state)state),
                (unsigned long long)nat->states[state]);
}

static void show(FILE *out, const struct forwarder *f, const struct port_counters *ports)
{
    uint64_t generation = f->table != NULL ? f->table->header.generation : 0;
    fprintf(out, "table %s generation %llu\n", f->table != NULL ? "in-force" : "none", (unsigned long long)generation);
    fprintf(out,
            "frames received %llu forwarded %llu made %llu unmade %llu unsent %llu no-memory %llu missed %llu "
            "buffers %u\n",
            (unsigned long long)f->received, (unsigned long long)f->forwarded, (unsigned long long)f->made,
            (unsigned long long)f->unmade, (unsigned long long)ports->unsent, (unsigned long long)ports->no_memory,
            (unsigned long long)ports->missed, ports->buffers);
    fprintf(out, "stalls %llu stalled_us %llu\n", (unsigned long long)f->stalls, (unsigned long long)f->stalled_us);
    for (int d = 1; d < DROPS; d++)
        if (f->drops[d] > 0)
            fprintf(out, "drop %s %llu\n", drop_name((enum drop)d), (unsigned long long)f->drops[d]);
    show_sessions(out, &f->nat);
    show_neighbors(out, f);
    for (unsigned g = 0; g < DP_GROUPS; g++)
        if (f->groups[g].lines.n > 0)
            fprintf(out, "group %u carrying 0x%x stranded %d waiting %u moves %llu\n", g, f->groups[g].lines.carrying,
                    f->groups[g].lines.stranded, f->groups[g].lines.waiting,
                    (unsigned long long)f->groups[g].lines.moves);
}

/* False: it was not made in time, and will not be. */
static bool picture_made(struct dpsocket *s)
{
    int wanted = WANTED;
    uint64_t made;
    atomic_store(&s->picture, WANTED);
    give(s, PICTURE);
    bool done = wait_for(s->done_fd, now_ms() + PICTURE_MS);
    if (!done && atomic_compare_exchange_strong(&s->picture, &wanted, NOT_WANTED))
        return false;
    return read(s->done_fd, &made, sizeof made) == sizeof made; /* which waits for one that is in work */
}

/* Its table cannot be freed meanwhile: that is done by this thread. */
static void show_picture(struct dpsocket *s, FILE *out)
{
    if (picture_made(s))
        show(out, &s->forwarder, &s->ports);
    else
        fprintf(out, "refused: the forwarding thread has not answered within %d ms\n", PICTURE_MS);
}

/* ---- tables ---- */

/* Gives it to the forwarding thread. One that was not taken yet is replaced. */
static void set_table(struct dpsocket *s, size_t size, FILE *out)
{
    char reason[FIB_REASON];
    struct fib *table = fib_new(s->message, size, s->n_ports, reason);
    if (table == NULL || (s->last != NULL && !fib_may_follow(table, s->last, reason))) {
        fprintf(out, "refused: %s\n", reason);
        fib_free(table);
        return;
    }
    unsigned long long generation = table->header.generation;
    fib_free(atomic_exchange(&s->before, NULL));
    fib_free(atomic_exchange(&s->next, table));
    s->last = table;
    give(s, TABLE);
    fprintf(out, "ok %llu\n", generation);
}

/* ---- connections ---- */

static bool whole(const uint8_t *message, size_t size)
{
    struct dp_header header = {0};
    memcpy(&header, message, size < sizeof header ? size : sizeof header);
    bool is_table = size >= sizeof header.magic && header.magic == DP_MAGIC;
    return is_table ? size >= sizeof header && size >= header.size : memchr(message, '\n', size) != NULL;
}

static size_t read_message(int fd, uint8_t *message)
{
    int64_t until_ms = now_ms() + PATIENCE_MS;
    size_t size = 0;
    ssize_t n;
    while (size < MESSAGE_MAX && !whole(message, size) && wait_for(fd, until_ms) &&
           (n = read(fd, message + size, MESSAGE_MAX - size)) > 0)
        size += (size_t)n;
    return size;
}

/* In the place of the one that has watched for longest. */
static void keep_watcher(struct dpsocket *s, int fd)
{
    int *place = &s->watchers[s->next_watcher++ % DPSOCKET_WATCHERS];
    if (*place >= 0)
        close(*place);
    *place = fd;
}

/* message: with its end of line. False: no question for packets. */
static bool trace_start(struct dpsocket *s, int fd, size_t size)
{
    if (size == 0 || size >= MESSAGE_MAX || s->message[size - 1] != '\n')
        return false;
    s->message[size - 1] = '\0';
    bool started = tracer_start(&s->tracer, fd, (char *)s->message);
    s->message[size - 1] = '\n';
    return started;
}

static bool says(const struct dpsocket *s, size_t size, const char *word)
{
    return size == strlen(word) && memcmp(s->message, word, size) == 0;
}

static void serve(struct dpsocket *s, int fd)
{
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    size_t size = read_message(fd, s->message);
    if (says(s, size, "watch\n")) {
        keep_watcher(s, fd);
        return;
    }
    if (trace_start(s, fd, size))
        return;
    FILE *out = fdopen(fd, "w");
    if (out == NULL) {
        close(fd);
        return;
    }
    if (says(s, size, "show\n"))
        show_picture(s, out);
    else
        set_table(s, size, out);
    fclose(out);
}

static void watch(struct dpsocket *s, unsigned port)
{
    unsigned none = DP_PORTS;
    if (s->watch_fds[port] >= 0 && iface_saw_offload(s->watch_fds[port]) &&
        atomic_compare_exchange_strong(&s->offload, &none, port))
        give(s, OFFLOAD);
}

static void *run(void *context)
{
    struct dpsocket *s = context;
    struct pollfd fds[] = {{.fd = s->stop_fd, .events = POLLIN}, {.fd = s->listen_fd, .events = POLLIN}};
    while ((poll(fds, 2, s->tracer.fd < 0 ? LOOK_MS : TRACE_MS) >= 0 || errno == EINTR) && fds[0].revents == 0) {
        tracer_turn(&s->tracer);
        for (unsigned i = 0; i < s->n_ports; i++)
            watch(s, i);
        int fd = fds[1].revents != 0 ? accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (fd >= 0)
            serve(s, fd);
    }
    return NULL;
}

/* ---- beginning and end ---- */

/* Owner only; a file that is there goes only if it is a socket. */
static int listen_at(const struct sockaddr_un *at)
{
    struct stat there;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (lstat(at->sun_path, &there) == 0 && S_ISSOCK(there.st_mode))
        unlink(at->sun_path);
    mode_t mask = umask(077);
    int status = bind(fd, (const struct sockaddr *)at, sizeof *at), error = errno;
    umask(mask);
    if (status == 0 && listen(fd, 16) == 0)
        return fd;
    error = status == 0 ? errno : error;
    close(fd);
    errno = error;
    return -1;
}

static void close_all(struct dpsocket *s)
{
    const int fds[] = {s->listen_fd, s->done_fd, s->stop_fd};
    for (unsigned i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    for (unsigned i = 0; i < DPSOCKET_WATCHERS; i++)
        if (s->watchers[i] >= 0)
            close(s->watchers[i]);
}

struct dpsocket *dpsocket_start(const struct dpsocket_settings *settings)
{
    struct dpsocket *s = strlen(settings->path) < sizeof s->at.sun_path ? calloc(1, sizeof *s) : NULL;
    if (s == NULL)
        return errno = strlen(settings->path) < sizeof s->at.sun_path ? ENOMEM : ENAMETOOLONG, NULL;
    s->at.sun_family = AF_UNIX;
    memcpy(s->at.sun_path, settings->path, strlen(settings->path));
    s->n_ports = settings->n_ports;
    s->wake_fd = settings->wake_fd;
    s->offload = DP_PORTS;
    for (unsigned i = 0; i < s->n_ports; i++)
        s->watch_fds[i] = settings->watch_fds[i];
    for (unsigned i = 0; i < DPSOCKET_WATCHERS; i++)
        s->watchers[i] = -1;
    s->tracer.fd = -1;
    s->done_fd = eventfd(0, EFD_CLOEXEC);
    s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->listen_fd = s->done_fd < 0 || s->stop_fd < 0 ? -1 : listen_at(&s->at);
    int error = s->listen_fd < 0 ? errno : pthread_create(&s->thread, NULL, run, s);
    if (error == 0)
        return s;
    close_all(s);
    free(s);
    errno = error;
    return NULL;
}

void dpsocket_stop(struct dpsocket *s)
{
    signal_fd(s->stop_fd);
    pthread_join(s->thread, NULL);
    tracer_end(&s->tracer);
    unlink(s->at.sun_path);
    close_all(s);
    fib_free(s->next);
    fib_free(s->before);
    free(s);
}

/* ---- the forwarding thread's ---- */

bool dpsocket_pending(const struct dpsocket *s)
{
    return atomic_load_explicit(&s->pending, memory_order_relaxed) != 0;
}

struct fib *dpsocket_turn(struct dpsocket *s, const struct forwarder *forwarder, const struct port_counters *ports)
{
    int wanted = WANTED;
    unsigned what = atomic_exchange_explicit(&s->pending, 0, memory_order_acquire);
    struct fib *table = what & TABLE ? atomic_exchange(&s->next, NULL) : NULL;
    if (table != NULL && (what & PICTURE))
        give(s,
             PICTURE); /* of what is in force when the table is, which was said to be taken before it was asked for */
    else if ((what & PICTURE) && atomic_compare_exchange_strong(&s->picture, &wanted, IN_WORK)) {
        s->forwarder = *forwarder;
        s->ports = *ports;
        signal_fd(s->done_fd);
    }
    return table;
}

void dpsocket_give_back(struct dpsocket *s, struct fib *table)
{
    fib_free(atomic_exchange(&s->before, table)); /* nearly always none: the socket's thread has freed it */
}

struct trace *dpsocket_trace(struct dpsocket *s)
{
    return &s->tracer.trace;
}

unsigned dpsocket_offload(const struct dpsocket *s)
{
    return atomic_load_explicit(&s->offload, memory_order_relaxed);
}

/* ---- the other end ---- */

static int copy_all(int from, int to)
{
    static const char refused[] = "refused: ";
    char part[65536];
    ssize_t n;
    bool first = true, is_refused = false;
    while ((n = read(from, part, sizeof part)) > 0) {
        is_refused =
            is_refused || (first && (size_t)n > strlen(refused) && memcmp(part, refused, strlen(refused)) == 0);
        first = false;
        for (ssize_t at = 0, m; at < n; at += m)
            if ((m = write(to, part + at, (size_t)(n - at))) < 0)
                return -errno;
    }
    return n < 0 ? -errno : is_refused ? -EPROTO : 0;
}

int dpsocket_ask(const char *path, const char *words, int fd)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct iovec say[] = {{(char *)words, strlen(words)}, {(char *)"\n", 1}};
    if (strlen(path) >= sizeof at.sun_path)
        return -ENAMETOOLONG;
    memcpy(at.sun_path, path, strlen(path));
    int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), status;
    if (peer < 0)
        return -errno;
    bool said = connect(peer, (const struct sockaddr *)&at, sizeof at) == 0 && writev(peer, say, 2) > 0;
    status = said ? copy_all(peer, fd) : -errno;
    close(peer);
    return status;
}
