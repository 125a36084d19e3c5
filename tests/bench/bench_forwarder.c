/* bench_forwarder: what a packet of a connection that is open costs, in process, without a driver below.
 *
 *   bench_forwarder [--json | --one | --capture FILE]
 *
 * Bursts of 32 frames of connections chosen by chance, from outside. Three ways in turn, so that a busy moment falls on
 * all alike: `macswap` swaps the Ethernet addresses; `checksum` does that and computes both checksums, IPv4's and
 * TCP's, by DPDK's own functions (rte_ip.h), which is what a forwarder without incremental checksums pays; `nat` parses
 * and translates (FULLNAT) packets of connections that are open. Frames lie as far apart as DPDK's. Headers are put
 * back outside the measured time. Cycles are those of the time-stamp counter; ratios are what counts: absolute figures
 * move with the machine's other guests. Of a round's bursts the median counts, of rounds the median. Ends with 1 if
 * a ratio is above its limit (rows[]). Then, beside the checksum of a frame of 66 bytes: the eight packets of a
 * connection, from SYN to the last acknowledgement of an end, together; a SYN that is answered with a cookie, in a
 * flood of them. What that makes a second is said beside it: packets of open connections, connections, SYNs, on one
 * core that does nothing else; and how busy the machine was.
 */
#include "dataplane/csum.h"
#include "dataplane/nat.h"

#include <inttypes.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#define FRAME_MAX 2304 /* a frame, its headroom and its head; 2,048 would be a few sets of the cache for all */
#define ROUNDS 9
#define BURSTS 4000
#define CONNECTIONS_MAX 60000u

enum way { MACSWAP, CHECKSUM, NAT, WAYS };
static const char *const way_names[WAYS] = {"macswap", "checksum", "nat"};
static const struct row {
    unsigned connections, size;
    double limit; /* nat / checksum; 0: none */
} rows[] = {{64, 66, 0}, {64, 1514, 0.40}, {4096, 66, 0}, {4096, 1514, 0.60}, {60000, 66, 0}, {60000, 1514, 0}};
#define ROWS (sizeof rows / sizeof rows[0])
#define FAR_LIMIT 2.5 /* 60,000 connections against 4,096, both nat */

static struct nat nat;
static uint8_t frames[NAT_BURST][FRAME_MAX] __attribute__((aligned(64)));
static struct packet packets[NAT_BURST], *pointers[NAT_BURST];
static struct nat_way ways[NAT_BURST];
static volatile uint16_t sink;

static void *memory(size_t size)
{
    void *block = aligned_alloc(64, (size + 63) / 64 * 64);
    if (block == NULL)
        abort();
    return memset(block, 0, (size + 63) / 64 * 64);
}

static void nat_make(void)
{
    static struct nat_local local = {.address = {10, 0, 0, 1}, .family = 4};
    static const struct nat_backend backend = {.address = {10, 0, 0, 9}, .port = 8080};
    static const uint16_t pick[] = {0};
    static struct nat_service service = {
        .address = {198, 51, 100, 1}, .port = 80, .family = 4, .proto = PROTO_TCP, .pick = pick, .n_pick = 1};
    static const uint64_t secret[2] = {1, 2};
    static uint32_t backend_sessions[1];
    const uint32_t n = 1u << 17;
    service.backends = &backend;
    local.by_port = memory(NAT_PORTS * sizeof(uint32_t));
    local.free_ports = memory(NAT_PORTS * sizeof(uint16_t));
    local.last_seq = memory(NAT_PORTS * sizeof(uint32_t));
    struct nat_memory all = {.sessions = memory(n * sizeof(struct nat_session)),
                             .timers = memory(n * sizeof(struct wheel_timer)),
                             .free_sessions = memory(n * sizeof(uint32_t)),
                             .flows = memory(flow_size(n)),
                             .n_sessions = n,
                             .locals = &local,
                             .n_locals = 1,
                             .backend_sessions = backend_sessions,
                             .n_backends = 1,
                             .frames = memory(16 * sizeof(struct nat_frame)),
                             .n_frames = 16,
                             .local_index = memory(endpoint_size(1))};
    nat_init(&nat, &all, secret, 1000000);
    static struct nat_services services;
    nat_services_init(&services, memory(endpoint_size(2)), &service, 1);
    nat_set_services(&nat, &services);
    nat.cookies_above = n;
}

static void frame_fill(uint8_t *frame, uint32_t connection, unsigned size, uint8_t flags)
{
    uint8_t *ip = frame + ETHER_SIZE, *tcp = ip + IP4_SIZE;
    put16(frame + 12, 0x0800);
    memset(ip, 0, IP4_SIZE + TCP_SIZE);
    ip[0] = 0x45;
    put16(ip + 2, (uint16_t)(size - ETHER_SIZE));
    ip[8] = 64;
    ip[9] = PROTO_TCP;
    put32(ip + 12, 0x0a800000 + connection / 50000);
    memcpy(ip + 16, (const uint8_t[]){198, 51, 100, 1}, 4);
    uint16_t sum = (uint16_t)~csum_fold(csum_add(0, ip, IP4_SIZE));
    memcpy(ip + 10, &sum, 2);
    put16(tcp, (uint16_t)(1024 + connection % 50000));
    put16(tcp + 2, 80);
    put32(tcp + 4, 7);
    tcp[12] = TCP_SIZE / 4 << 4;
    tcp[13] = flags;
}

static void burst_fill(const uint32_t *connections, unsigned size, uint8_t flags)
{
    for (unsigned i = 0; i < NAT_BURST; i++) {
        frame_fill(frames[i], connections[i], size, flags);
        packets[i] = (struct packet){.frame = frames[i], .size = size, .room = NAT_ROOM};
        pointers[i] = &packets[i];
        ways[i] = (struct nat_way){.adjacency = 1};
    }
}

static void translate(void)
{
    for (unsigned i = 0; i < NAT_BURST; i++)
        if (packet_parse(&packets[i]) != DROP_NONE)
            abort();
    nat_translate(&nat, NAT_OUTSIDE, pointers, ways, NAT_BURST, 2000000);
}

static void macswap(uint8_t *frame)
{
    uint8_t address[6];
    memcpy(address, frame, 6);
    memcpy(frame, frame + 6, 6);
    memcpy(frame + 6, address, 6);
}

static void checksum(uint8_t *frame)
{
    struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(frame + ETHER_SIZE);
    struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(ip + 1);
    ip->hdr_checksum = tcp->cksum = 0;
    ip->hdr_checksum = rte_ipv4_cksum(ip);
    tcp->cksum = rte_ipv4_udptcp_cksum(ip, tcp);
}

static uint64_t burst_cycles(enum way way, const uint32_t *connections, unsigned size)
{
    burst_fill(connections, size, TCP_ACK);
    uint64_t before = __rdtsc();
    if (way == NAT) {
        translate();
    } else {
        for (unsigned i = 0; i < NAT_BURST; i++) {
            macswap(frames[i]);
            if (way == CHECKSUM)
                checksum(frames[i]);
        }
    }
    return __rdtsc() - before;
}

static uint32_t chance(void)
{
    static uint32_t state = 2463534242;
    state ^= state << 13;
    state ^= state >> 17;
    return state ^= state << 5;
}

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, unsigned n)
{
    qsort(values, n, sizeof *values, by_number);
    return values[n / 2];
}

/* Of bursts the median: one that the machine's other guests have interrupted says nothing. */
static double cycles_per_packet(enum way way, unsigned n_connections, unsigned size)
{
    static double cycles[BURSTS];
    for (int b = 0; b < BURSTS; b++) {
        uint32_t connections[NAT_BURST];
        for (unsigned i = 0; i < NAT_BURST; i++)
            connections[i] = chance() % n_connections;
        cycles[b] = (double)burst_cycles(way, connections, size);
    }
    return median(cycles, BURSTS) / NAT_BURST;
}

/* Cycles of the time-stamp counter in a second, counted since the first call. */
static double cycles_per_second(void)
{
    static uint64_t begin_cycles;
    static struct timespec begin;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t cycles = __rdtsc();
    if (begin_cycles == 0) {
        begin_cycles = cycles;
        begin = now;
        return 0;
    }
    double s = (double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) / 1e9;
    return (double)(cycles - begin_cycles) / s;
}

static void print_load(bool json)
{
    double load[3] = {0};
    getloadavg(load, 3);
    printf(json ? "{\"rounds\":%d,\"load\":[%.2f,%.2f,%.2f]}\n"
                : "medians of %d rounds; load of the machine %.2f %.2f %.2f\n",
           ROUNDS, load[0], load[1], load[2]);
}

/* ---- what is not the fast path ---- */

#define SYN_LIMIT 3.0
#define CONNECTION_LIMIT 20.0
#define NEW_BURSTS 400

/* From the backend to our address; the ports are those that it was asked by. */
static void answers_fill(const uint16_t *ports, const uint32_t *acks, uint8_t flags)
{
    for (unsigned i = 0; i < NAT_BURST; i++) {
        uint8_t *ip = frames[i] + ETHER_SIZE, *tcp = ip + IP4_SIZE;
        frame_fill(frames[i], 0, 66, flags);
        memcpy(ip + 12, (const uint8_t[]){10, 0, 0, 9}, 4);
        memcpy(ip + 16, (const uint8_t[]){10, 0, 0, 1}, 4);
        packet_fill_ip4_sum(ip);
        put16(tcp, 8080);
        put16(tcp + 2, ports[i]);
        put32(tcp + 8, acks[i]);
        packets[i] = (struct packet){.frame = frames[i], .size = 66, .room = NAT_ROOM};
        ways[i] = (struct nat_way){.adjacency = 1};
    }
}

/* Sums are right, so that what they decide is decided as for others. */
static uint64_t burst_translate(enum nat_side from, uint64_t now_us)
{
    for (unsigned i = 0; i < NAT_BURST; i++) {
        if (packet_parse(&packets[i]) != DROP_NONE)
            abort();
        packet_sum_fill(&packets[i]);
        packets[i].size = 66;
    }
    uint64_t before = __rdtsc();
    for (unsigned i = 0; i < NAT_BURST; i++)
        sink = (uint16_t)packet_parse(&packets[i]);
    nat_translate(&nat, from, pointers, ways, NAT_BURST, now_us);
    return __rdtsc() - before;
}

static void numbers_of(uint16_t *ports, uint32_t *acks, uint32_t more)
{
    for (unsigned i = 0; i < NAT_BURST; i++) {
        const uint8_t *tcp = frames[i] + packets[i].l4;
        if (ways[i].drop != DROP_NONE || ways[i].side != NAT_INSIDE)
            abort();
        ports[i] = get16(tcp);
        acks[i] = get32(tcp + 4) + more;
    }
}

/* Cycles of a connection, all its packets. */
static double connection_cycles(void)
{
    static uint64_t now_us = 10000000;
    static uint32_t next = 1u << 24;
    static double whole[NEW_BURSTS];
    for (int b = 0; b < NEW_BURSTS; b++) {
        uint64_t all = 0;
        uint32_t clients[NAT_BURST], acks[NAT_BURST];
        uint16_t ports[NAT_BURST];
        for (unsigned i = 0; i < NAT_BURST; i++)
            clients[i] = next++;
        burst_fill(clients, 66, TCP_SYN);
        all += burst_translate(NAT_OUTSIDE, now_us);
        numbers_of(ports, acks, 1);
        answers_fill(ports, acks, TCP_SYN | TCP_ACK);
        all += burst_translate(NAT_INSIDE, now_us);
        static const uint8_t says[] = {TCP_ACK, TCP_ACK | TCP_PSH, TCP_ACK | TCP_FIN};
        for (unsigned k = 0; k < 3; k++) {
            burst_fill(clients, 66, says[k]);
            all += burst_translate(NAT_OUTSIDE, now_us);
            numbers_of(ports, acks, k == 0 ? 0 : 1 + 66 - 54);
            if (k == 0)
                continue;
            answers_fill(ports, acks, says[k]);
            all += burst_translate(NAT_INSIDE, now_us);
        }
        burst_fill(clients, 66, TCP_ACK);
        for (unsigned i = 0; i < NAT_BURST; i++)
            put32(frames[i] + ETHER_SIZE + IP4_SIZE + 8, 7 + 66 - 54 + 1); /* it has heard the backend's end */
        all += burst_translate(NAT_OUTSIDE, now_us);
        whole[b] = (double)all;
        now_us += 100000;
        nat_expire(&nat, now_us, 1000);
    }
    return median(whole, NEW_BURSTS) / NAT_BURST;
}

/* Cycles of a SYN that gets a cookie, in a flood of them, each from another client; and of a checksum beside it. */
static double flood_cycles(const uint32_t *some, double *checksum)
{
    static uint32_t next = 1u << 28;
    static double answered[NEW_BURSTS], summed[NEW_BURSTS];
    uint32_t above = nat.cookies_above;
    nat.cookies_above = 0;
    for (int b = 0; b < NEW_BURSTS; b++) {
        uint32_t clients[NAT_BURST];
        for (unsigned i = 0; i < NAT_BURST; i++)
            clients[i] = next++;
        burst_fill(clients, 66, TCP_SYN);
        answered[b] = (double)burst_translate(NAT_OUTSIDE, 20000000);
    }
    nat.cookies_above = above;
    for (int b = 0; b < NEW_BURSTS; b++)
        summed[b] = (double)burst_cycles(CHECKSUM, some, 66);
    *checksum = median(summed, NEW_BURSTS) / NAT_BURST;
    return median(answered, NEW_BURSTS) / NAT_BURST;
}

/* Prints both beside a checksum; within their limits? */
static bool measure_new(bool json, const uint32_t *some)
{
    double connection[ROUNDS], syn[ROUNDS], cycles[2][ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        double checksum;
        cycles[0][round] = connection_cycles();
        cycles[1][round] = flood_cycles(some, &checksum);
        connection[round] = cycles[0][round] / checksum;
        syn[round] = cycles[1][round] / checksum;
    }
    const double found[] = {median(connection, ROUNDS), median(syn, ROUNDS)}, limits[] = {CONNECTION_LIMIT, SYN_LIMIT};
    static const char *const names[] = {"connection", "syn"};
    for (unsigned i = 0; i < 2; i++)
        printf(json ? "{\"new\":\"%s\",\"ratio\":%.2f,\"limit\":%.1f,\"cycles\":%.0f,\"million_per_second\":%.2f}\n"
                    : "new %s: / checksum %.2f (limit %.1f); cycles %.0f: %.2f million a second on a core\n",
               names[i], found[i], limits[i], median(cycles[i], ROUNDS),
               cycles_per_second() / median(cycles[i], ROUNDS) / 1e6);
    return found[0] <= limits[0] && found[1] <= limits[1];
}

static void open_all(void)
{
    const uint64_t now_us = 2000000;
    for (uint32_t c = 0; c < CONNECTIONS_MAX; c += NAT_BURST) {
        uint32_t connections[NAT_BURST], acks[NAT_BURST];
        uint16_t ports[NAT_BURST];
        for (unsigned i = 0; i < NAT_BURST; i++)
            connections[i] = c + i;
        burst_fill(connections, 66, TCP_SYN);
        burst_translate(NAT_OUTSIDE, now_us);
        numbers_of(ports, acks, 1);
        answers_fill(ports, acks, TCP_SYN | TCP_ACK);
        burst_translate(NAT_INSIDE, now_us);
        burst_fill(connections, 66, TCP_ACK);
        burst_translate(NAT_OUTSIDE, now_us);
    }
    if (nat.states[NAT_ESTABLISHED] != CONNECTIONS_MAX)
        abort();
}

/* Frames of 64 connections, as tcpdump writes them (pcap). False: errno says why. */
static bool write_capture(const char *path)
{
    static const uint32_t head[] = {0xa1b2c3d4, 4u << 16 | 2, 0, 0, 65535, 1 /* Ethernet */};
    const uint32_t size = 1514, record[] = {0, 0, size, size};
    FILE *file = fopen(path, "w");
    bool ok = file != NULL && fwrite(head, sizeof head, 1, file) == 1;
    for (uint32_t c = 0; c < 64 && ok; c++) {
        struct packet p = {.frame = frames[0], .size = size, .room = NAT_ROOM};
        frame_fill(frames[0], c, size, TCP_ACK);
        ok = packet_parse(&p) == DROP_NONE;
        packet_sum_fill(&p);
        ok = ok && fwrite(record, sizeof record, 1, file) == 1 && fwrite(frames[0], size, 1, file) == 1;
    }
    return file != NULL && fclose(file) == 0 && ok;
}

static int do_less(int argc, char **argv)
{
    if (argc == 3 && !write_capture(argv[2]))
        return perror(argv[2]), 1;
    if (argc == 2) {
        nat_make();
        open_all();
        printf("%.1f\n", cycles_per_packet(NAT, 64, 1514));
    }
    return 0;
}

int main(int argc, char **argv)
{
    if ((argc == 3 && strcmp(argv[1], "--capture") == 0) || (argc == 2 && strcmp(argv[1], "--one") == 0))
        return do_less(argc, argv);
    bool json = argc == 2 && strcmp(argv[1], "--json") == 0, ok = true;
    static double cycles[ROWS][WAYS][ROUNDS], ratio[ROWS][ROUNDS];
    cycles_per_second();
    nat_make();
    open_all();
    for (int round = 0; round < ROUNDS; round++)
        for (unsigned r = 0; r < ROWS; r++) {
            for (enum way w = MACSWAP; w < WAYS; w++)
                cycles[r][w][round] = cycles_per_packet(w, rows[r].connections, rows[r].size);
            ratio[r][round] = cycles[r][NAT][round] / cycles[r][CHECKSUM][round];
        }
    double nat_median[ROWS];
    for (unsigned r = 0; r < ROWS; r++) {
        for (enum way w = MACSWAP; w < WAYS; w++)
            qsort(cycles[r][w], ROUNDS, sizeof(double), by_number);
        qsort(ratio[r], ROUNDS, sizeof(double), by_number);
        nat_median[r] = cycles[r][NAT][ROUNDS / 2];
        double found = ratio[r][ROUNDS / 2];
        ok = ok && (rows[r].limit == 0 || found <= rows[r].limit);
        if (json) {
            printf(
                "{\"connections\":%u,\"size\":%u,\"ratio\":%.3f,\"ratio_min\":%.3f,\"ratio_max\":%.3f,\"limit\":%.2f",
                rows[r].connections, rows[r].size, found, ratio[r][0], ratio[r][ROUNDS - 1], rows[r].limit);
            for (enum way w = MACSWAP; w < WAYS; w++)
                printf(",\"%s\":%.1f", way_names[w], cycles[r][w][ROUNDS / 2]);
            printf(",\"nat_mpps\":%.1f}\n", cycles_per_second() / nat_median[r] / 1e6);
        } else {
            printf("%6u connections, %4u bytes: nat / checksum %.2f (%.2f to %.2f", rows[r].connections, rows[r].size,
                   found, ratio[r][0], ratio[r][ROUNDS - 1]);
            if (rows[r].limit > 0)
                printf(", limit %.2f", rows[r].limit);
            printf("); cycles a packet:");
            for (enum way w = MACSWAP; w < WAYS; w++)
                printf(" %s %.0f", way_names[w], cycles[r][w][ROUNDS / 2]);
            printf(": nat %.1f Mpps on a core\n", cycles_per_second() / nat_median[r] / 1e6);
        }
    }
    double far = nat_median[ROWS - 1] / nat_median[3];
    printf(json ? "{\"far\":%.2f,\"limit\":%.2f}\n"
                : "60,000 connections against 4,096, 1,514 bytes: %.2f (limit %.2f)\n",
           far, FAR_LIMIT);
    static const uint32_t some[NAT_BURST];
    ok = measure_new(json, some) && ok;
    print_load(json);
    return ok && far <= FAR_LIMIT ? 0 : 1;
}
