/* wire: userspace cables between network namespaces.
 *
 *   wire LINKS SOCKET STALLS
 *
 * Each line of LINKS is one cable, `name ns-a dev-a ns-b dev-b delay_us jitter_us loss_ppm rate_kbit tun|tap`: a device
 * in either namespace, and this process between them; tun carries IP packets, tap Ethernet frames. Order is kept in
 * each direction, so jitter only adds delay. SOCKET takes one command a datagram and answers with one line of JSON:
 *
 *   cut NAME...                  both ends lose their carrier; what is under way is lost
 *   hole ab|ba|both NAME...      silent loss, in one direction or in both; the carrier stays
 *   flap HZ,hole|cut NAME...     so often a second broken for half of the time, beginning now; all in step
 *   loss PPM NAME...             so many lost of a million, besides the cable's own loss
 *   slow US NAME...              so much later, besides the cable's own delay
 *   heal NAME...                 undoes all of these
 *   set key=value,... NAME...    the cable itself: delay_us jitter_us loss_ppm rate_kbit; 0 is none
 *   show                         all cables with their counters
 *
 * A command takes all its cables or, if one is unknown, none. `at_us` in the answer is the wall time at which it took
 * effect. STALLS gets a line `start_us duration_us` (wall clock) whenever this process itself did not run for more than
 * 50 ms: what was late then is the machine's fault and not the site's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    LINKS_MAX = 512,
    QUEUE_LEN = 4096,       /* packets a direction; above it the tail is dropped */
    PACKET_SIZE = 2048,     /* devices keep the default MTU of 1500; a frame has 14 more */
    BURST = 32,             /* packets read from one device before the others have their turn */
    HEARTBEAT_US = 10000,   /* longest sleep, so that a stall is seen on an idle wire too */
    STALL_US = 50000,       /* a longer gap is written down */
    RATE_QUEUE_US = 100000, /* a rate-limited direction queues as much as this */
    COMMAND_SIZE = 65536,
};
#define COMMAND_FD UINT32_MAX

struct packet {
    uint64_t due_us;
    uint16_t size;
    unsigned char *bytes;
};

/* One direction of a cable: a ring of packets in order of their due time. */
struct direction {
    int from, to; /* devices */
    struct packet queue[QUEUE_LEN];
    unsigned head, tail;    /* count up for ever; taken modulo QUEUE_LEN */
    uint64_t last_due_us;   /* of the newest packet: the next one is never due before it */
    uint64_t busy_until_us; /* rate: the sender's line is occupied until then */
    bool hole;
    uint64_t sent, lost, dropped; /* lost: by the cable's loss; dropped: cut, hole, queue */
};

struct cable {
    char name[64];
    char ns[2][64], dev[2][IFNAMSIZ], kind[4];
    uint64_t delay_us, jitter_us, loss_ppm, rate_kbit;
    uint64_t slow_us, more_loss_ppm; /* faults */
    bool cut;
    uint64_t flap_us, flap_next_us; /* half of a flap's period and its next turn; 0: it does not flap */
    bool flap_cuts, flap_down;
    struct direction *dir[2]; /* [0]: a to b */
};

static struct cable cables[LINKS_MAX];
static unsigned n_cables;
static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

static uint64_t clock_us(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* xorshift64*: loss and jitter are the same in every run. */
static uint64_t random_next(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1d;
}

static void die(const char *what)
{
    fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- devices ---- */

static int device_open(const char *ns, const char *dev, bool frames)
{
    char path[128];
    snprintf(path, sizeof path, "/run/netns/%s", ns);
    int ns_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (ns_fd < 0 || setns(ns_fd, CLONE_NEWNET) != 0)
        die(path);
    close(ns_fd);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq request = {.ifr_flags = (short)((frames ? IFF_TAP : IFF_TUN) | IFF_NO_PI)};
    memcpy(request.ifr_name, dev, strnlen(dev, IFNAMSIZ - 1));
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0)
        die(dev);
    return fd;
}

static void cable_open(struct cable *cable)
{
    int fd[2];
    for (int end = 0; end < 2; end++)
        fd[end] = device_open(cable->ns[end], cable->dev[end], strcmp(cable->kind, "tap") == 0);
    for (int i = 0; i < 2; i++) {
        cable->dir[i] = calloc(1, sizeof *cable->dir[i]);
        if (cable->dir[i] == NULL)
            die("out of memory");
        cable->dir[i]->from = fd[i];
        cable->dir[i]->to = fd[1 - i];
    }
}

static bool cable_read(struct cable *c, const char *line)
{
    return sscanf(line, "%63s %63s %15s %63s %15s %lu %lu %lu %lu %3s", c->name, c->ns[0], c->dev[0], c->ns[1],
                  c->dev[1], &c->delay_us, &c->jitter_us, &c->loss_ppm, &c->rate_kbit, c->kind) == 10 &&
           (strcmp(c->kind, "tun") == 0 || strcmp(c->kind, "tap") == 0);
}

static void cables_load(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        die(path);
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    char line[512];
    while (fgets(line, sizeof line, file) != NULL) {
        struct cable *cable = &cables[n_cables];
        if (n_cables == LINKS_MAX || !cable_read(cable, line)) {
            fprintf(stderr, "wire: %s: line %u: expected 10 fields, at most %d lines\n", path, n_cables + 1, LINKS_MAX);
            exit(1);
        }
        cable_open(cable);
        n_cables++;
    }
    fclose(file);
    if (setns(home, CLONE_NEWNET) != 0)
        die("setns");
    close(home);
}

/* ---- packets ---- */

static void packet_write(struct direction *dir, const unsigned char *bytes, size_t size)
{
    if (write(dir->to, bytes, size) == (ssize_t)size)
        dir->sent++;
    else
        dir->dropped++;
}

static void queue_flush(struct direction *dir)
{
    for (; dir->head != dir->tail; dir->head++) {
        free(dir->queue[dir->head % QUEUE_LEN].bytes);
        dir->dropped++;
    }
}

/* Sends what is due; returns when the next packet is, or UINT64_MAX. */
static uint64_t queue_send(struct direction *dir, uint64_t now_us)
{
    for (; dir->head != dir->tail; dir->head++) {
        struct packet *packet = &dir->queue[dir->head % QUEUE_LEN];
        if (packet->due_us > now_us)
            return packet->due_us;
        packet_write(dir, packet->bytes, packet->size);
        free(packet->bytes);
    }
    return UINT64_MAX;
}

/* When a packet of `size` that arrives now is to leave; false if the rate has no room for it. */
static bool packet_due(const struct cable *cable, struct direction *dir, size_t size, uint64_t now_us, uint64_t *due_us)
{
    uint64_t due = now_us + cable->delay_us + cable->slow_us;
    if (cable->jitter_us > 0)
        due += random_next() % (cable->jitter_us + 1);
    if (cable->rate_kbit > 0) {
        uint64_t start = dir->busy_until_us > now_us ? dir->busy_until_us : now_us;
        if (start - now_us > RATE_QUEUE_US)
            return false;
        dir->busy_until_us = start + size * 8000 / cable->rate_kbit;
        due += dir->busy_until_us - now_us;
    }
    *due_us = due > dir->last_due_us ? due : dir->last_due_us;
    return true;
}

static void packet_take(struct cable *cable, struct direction *dir, const unsigned char *bytes, size_t size,
                        uint64_t now_us)
{
    uint64_t due_us;
    if (cable->cut || dir->hole || dir->tail - dir->head == QUEUE_LEN) {
        dir->dropped++;
        return;
    }
    uint64_t loss_ppm = cable->loss_ppm + cable->more_loss_ppm;
    if (loss_ppm > 0 && random_next() % 1000000 < loss_ppm) {
        dir->lost++;
        return;
    }
    if (!packet_due(cable, dir, size, now_us, &due_us)) {
        dir->dropped++;
        return;
    }
    if (due_us <= now_us && dir->head == dir->tail) {
        packet_write(dir, bytes, size);
        return;
    }
    struct packet *packet = &dir->queue[dir->tail++ % QUEUE_LEN];
    *packet = (struct packet){.due_us = due_us, .size = (uint16_t)size, .bytes = malloc(size)};
    if (packet->bytes == NULL)
        die("out of memory");
    memcpy(packet->bytes, bytes, size);
    dir->last_due_us = due_us;
}

static void device_read(struct cable *cable, struct direction *dir)
{
    unsigned char bytes[PACKET_SIZE];
    uint64_t now_us = clock_us(CLOCK_MONOTONIC);
    for (int i = 0; i < BURST; i++) {
        ssize_t size = read(dir->from, bytes, sizeof bytes);
        if (size <= 0)
            return;
        packet_take(cable, dir, bytes, (size_t)size, now_us);
    }
}

/* ---- commands ---- */

static void cable_carrier(struct cable *cable, bool on)
{
    unsigned value = on;
    for (int i = 0; i < 2; i++)
        if (ioctl(cable->dir[i]->from, TUNSETCARRIER, &value) != 0)
            fprintf(stderr, "wire: %s: TUNSETCARRIER: %s\n", cable->name, strerror(errno));
}

static void cable_cut(struct cable *cable, char *argument)
{
    (void)argument;
    cable->cut = true;
    cable_carrier(cable, false);
    for (int i = 0; i < 2; i++)
        queue_flush(cable->dir[i]);
}

static void cable_hole(struct cable *cable, char *argument)
{
    static const char *const only[2] = {"ab", "ba"};
    for (int i = 0; i < 2; i++) {
        if (strcmp(argument, only[1 - i]) == 0)
            continue;
        cable->dir[i]->hole = true;
        queue_flush(cable->dir[i]);
    }
}

/* Undoes cut and hole. */
static void cable_mend(struct cable *cable)
{
    for (int i = 0; i < 2; i++)
        cable->dir[i]->hole = false;
    if (cable->cut)
        cable_carrier(cable, true);
    cable->cut = false;
}

static void flap_turn(struct cable *cable)
{
    char both[] = "both";
    cable->flap_next_us += cable->flap_us;
    cable->flap_down = !cable->flap_down;
    if (!cable->flap_down)
        cable_mend(cable);
    else if (cable->flap_cuts)
        cable_cut(cable, NULL);
    else
        cable_hole(cable, both);
}

static void cable_flap(struct cable *cable, char *argument)
{
    unsigned long hz = strtoul(argument, NULL, 10);
    cable_mend(cable);
    cable->flap_us = 500000 / (hz > 0 ? hz : 1);
    cable->flap_cuts = strstr(argument, ",cut") != NULL;
    cable->flap_down = false;
    cable->flap_next_us = clock_us(CLOCK_MONOTONIC);
    flap_turn(cable);
}

static void cable_loss(struct cable *cable, char *argument)
{
    cable->more_loss_ppm = strtoul(argument, NULL, 10);
}

static void cable_slow(struct cable *cable, char *argument)
{
    cable->slow_us = strtoul(argument, NULL, 10);
}

static void cable_heal(struct cable *cable, char *argument)
{
    (void)argument;
    cable->flap_us = cable->slow_us = cable->more_loss_ppm = 0;
    cable_mend(cable);
}

static void cable_set(struct cable *cable, char *argument)
{
    const struct {
        const char *name;
        uint64_t *value;
    } keys[] = {{"delay_us", &cable->delay_us},
                {"jitter_us", &cable->jitter_us},
                {"loss_ppm", &cable->loss_ppm},
                {"rate_kbit", &cable->rate_kbit}};
    char copy[256], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", argument);
    for (char *pair = strtok_r(copy, ",", &rest); pair != NULL; pair = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(pair, '=');
        if (equals == NULL)
            continue;
        *equals = '\0';
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
            if (strcmp(pair, keys[i].name) == 0)
                *keys[i].value = strtoul(equals + 1, NULL, 10);
    }
}

static const struct command {
    const char *name;
    bool has_argument;
    void (*run)(struct cable *cable, char *argument);
} commands[] = {
    {"cut", false, cable_cut},  {"hole", true, cable_hole},  {"flap", true, cable_flap}, {"loss", true, cable_loss},
    {"slow", true, cable_slow}, {"heal", false, cable_heal}, {"set", true, cable_set},
};

static struct cable *cable_find(const char *name)
{
    for (unsigned i = 0; i < n_cables; i++)
        if (strcmp(cables[i].name, name) == 0)
            return &cables[i];
    return NULL;
}

static const char *cable_state(const struct cable *cable)
{
    if (cable->flap_us > 0)
        return cable->flap_cuts ? "flap-cut" : "flap-hole";
    if (cable->cut)
        return "cut";
    if (cable->dir[0]->hole && cable->dir[1]->hole)
        return "hole";
    return cable->dir[0]->hole ? "hole-ab" : cable->dir[1]->hole ? "hole-ba" : "up";
}

static void answer_show(FILE *out)
{
    fprintf(out, "{\"links\": [");
    for (unsigned i = 0; i < n_cables; i++) {
        const struct cable *c = &cables[i];
        fprintf(out, "%s{\"name\": \"%s\", \"state\": \"%s\"", i > 0 ? ", " : "", c->name, cable_state(c));
        fprintf(out, ", \"delay_us\": %lu, \"jitter_us\": %lu, \"loss_ppm\": %lu, \"rate_kbit\": %lu", c->delay_us,
                c->jitter_us, c->loss_ppm, c->rate_kbit);
        fprintf(out, ", \"slow_us\": %lu, \"more_loss_ppm\": %lu", c->slow_us, c->more_loss_ppm);
        for (int d = 0; d < 2; d++)
            fprintf(out, ", \"%s\": {\"sent\": %lu, \"lost\": %lu, \"dropped\": %lu}", d == 0 ? "ab" : "ba",
                    c->dir[d]->sent, c->dir[d]->lost, c->dir[d]->dropped);
        fprintf(out, "}");
    }
    fprintf(out, "]}\n");
}

static void answer_fault(FILE *out, const struct command *command, char **rest)
{
    struct cable *found[LINKS_MAX];
    unsigned n = 0;
    char *argument = command->has_argument ? strtok_r(NULL, " \n", rest) : NULL;
    for (char *name; (name = strtok_r(NULL, " \n", rest)) != NULL; n++) {
        if (n == LINKS_MAX || (found[n] = cable_find(name)) == NULL) {
            fprintf(out, "{\"error\": \"no cable %s\"}\n", name);
            return;
        }
    }
    if (command->has_argument && argument == NULL) {
        fprintf(out, "{\"error\": \"%s needs an argument\"}\n", command->name);
        return;
    }
    for (unsigned i = 0; i < n; i++)
        command->run(found[i], argument);
    fprintf(out, "{\"at_us\": %lu, \"links\": %u}\n", clock_us(CLOCK_REALTIME), n);
}

static void answer(FILE *out, char *text)
{
    char *rest = NULL;
    const char *verb = strtok_r(text, " \n", &rest);
    if (verb != NULL && strcmp(verb, "show") == 0) {
        answer_show(out);
        return;
    }
    for (size_t i = 0; verb != NULL && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(verb, commands[i].name) == 0) {
            answer_fault(out, &commands[i], &rest);
            return;
        }
    }
    fprintf(out, "{\"error\": \"unknown command\"}\n");
}

static int command_listen(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        die(path);
    }
    memcpy(address.sun_path, path, strlen(path));
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die(path);
    return fd;
}

static void command_take(int fd)
{
    static char text[COMMAND_SIZE];
    struct sockaddr_un peer;
    socklen_t peer_size = sizeof peer;
    ssize_t size = recvfrom(fd, text, sizeof text - 1, 0, (struct sockaddr *)&peer, &peer_size);
    if (size <= 0)
        return;
    text[size] = '\0';
    char *reply = NULL;
    size_t reply_size = 0;
    FILE *out = open_memstream(&reply, &reply_size);
    if (out == NULL)
        die("out of memory");
    answer(out, text);
    fclose(out);
    /* The client may be gone; its loss. */
    if (sendto(fd, reply, reply_size, 0, (struct sockaddr *)&peer, peer_size) < 0)
        fprintf(stderr, "wire: answer: %s\n", strerror(errno));
    free(reply);
}

/* ---- loop ---- */

static void epoll_add(int epoll, int fd, uint32_t data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = data};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl");
}

/* Turns what flaps and sends what is due everywhere; returns for how long nothing will be. */
static uint64_t send_due(void)
{
    uint64_t now_us = clock_us(CLOCK_MONOTONIC), next_us = now_us + HEARTBEAT_US;
    for (unsigned i = 0; i < n_cables; i++) {
        while (cables[i].flap_us > 0 && cables[i].flap_next_us <= now_us)
            flap_turn(&cables[i]);
        if (cables[i].flap_us > 0 && cables[i].flap_next_us < next_us)
            next_us = cables[i].flap_next_us;
    }
    for (unsigned i = 0; i < 2 * n_cables; i++) {
        struct direction *dir = cables[i / 2].dir[i % 2];
        uint64_t due_us = dir->head == dir->tail ? UINT64_MAX : queue_send(dir, now_us);
        if (due_us < next_us)
            next_us = due_us;
    }
    now_us = clock_us(CLOCK_MONOTONIC);
    return next_us > now_us ? next_us - now_us : 0;
}

static void stall_note(FILE *stalls, uint64_t gap_us, uint64_t planned_us)
{
    if (gap_us < planned_us + STALL_US)
        return;
    uint64_t stall_us = gap_us - planned_us;
    fprintf(stalls, "%lu %lu\n", clock_us(CLOCK_REALTIME) - stall_us, stall_us);
    fflush(stalls);
}

static void run(int command_fd, FILE *stalls)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_add(epoll, command_fd, COMMAND_FD);
    for (unsigned i = 0; i < 2 * n_cables; i++)
        epoll_add(epoll, cables[i / 2].dir[i % 2]->from, i);
    uint64_t top_us = clock_us(CLOCK_MONOTONIC);
    while (!stopped) {
        uint64_t wait_us = send_due();
        struct timespec wait = {.tv_nsec = (long)wait_us * 1000};
        struct epoll_event events[64];
        int n = epoll_pwait2(epoll, events, 64, &wait, NULL);
        if (n < 0 && errno != EINTR)
            die("epoll_pwait2");
        for (int i = 0; i < n; i++) {
            uint32_t which = events[i].data.u32;
            if (which == COMMAND_FD)
                command_take(command_fd);
            else
                device_read(&cables[which / 2], cables[which / 2].dir[which % 2]);
        }
        uint64_t now_us = clock_us(CLOCK_MONOTONIC);
        stall_note(stalls, now_us - top_us, wait_us);
        top_us = now_us;
    }
}

/* A cable that waits for a busy core is no cable. Without the right to it we go on: stalls tell. */
static void become_realtime(void)
{
    struct sched_param param = {.sched_priority = 20};
    if (sched_setscheduler(0, SCHED_FIFO, &param) != 0)
        fprintf(stderr, "wire: SCHED_FIFO: %s; going on without it\n", strerror(errno));
    if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0)
        fprintf(stderr, "wire: mlockall: %s; going on without it\n", strerror(errno));
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: wire LINKS SOCKET STALLS\n");
        return 2;
    }
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    cables_load(argv[1]);
    FILE *stalls = fopen(argv[3], "ae");
    if (stalls == NULL)
        die(argv[3]);
    become_realtime();
    int command_fd = command_listen(argv[2]);
    run(command_fd, stalls);
    unlink(argv[2]);
    return 0;
}
