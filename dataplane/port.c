#include "dataplane/port.h"

#include <dirent.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFERS 16383u
#define CACHE 250u
#define BUFFER_ROOM (RTE_PKTMBUF_HEADROOM + 2048u)
#define DESCRIPTORS 512u
#define MEMORY_MB "128"

static struct {
    unsigned n;
    bool busy;
    struct rte_mempool *pool;
    struct rte_mbuf *out[DP_PORTS][FORWARDER_BURST];
    uint16_t n_out[DP_PORTS];
    struct pollfd fds[DP_PORTS + 1]; /* of the drivers; room for the one that wakes */
    unsigned n_fds;
    struct port_counters counters;
} ports;

/* ---- beginning and end ---- */

/* All cores that this process may have are its one lcore's: where it runs is the kernel's, or taskset's, to say. */
static void name_cores(char *cores, size_t size)
{
    cpu_set_t allowed;
    size_t used = (size_t)snprintf(cores, size, "0@(");
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof allowed, &allowed);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE && used + 8 < size; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            used += (size_t)snprintf(cores + used, size - used, "%s%u", used > 3 ? "," : "", cpu);
    snprintf(cores + used, size - used, ")");
}

static int eal_init(const struct settings *settings, char *error)
{
    char vdevs[DP_PORTS][64 + IFNAMSIZ], cores[1024];
    char *argv[16 + DP_PORTS] = {(char *)"signalbox-forwarder",
                                 (char *)"--no-huge",
                                 (char *)"--no-shconf", /* no files that a killed process leaves */
                                 (char *)"-m",
                                 (char *)MEMORY_MB,
                                 (char *)"--no-pci",
                                 (char *)"--no-telemetry",
                                 (char *)"--log-level=lib.*:error",
                                 (char *)"--lcores",
                                 cores};
    int argc = 10;
    name_cores(cores, sizeof cores);
    for (unsigned i = 0; i < settings->n; i++) {
        snprintf(vdevs[i], sizeof vdevs[i], "--vdev=net_af_packet%u,iface=%s,qdisc_bypass=1", i,
                 settings->interfaces[i]);
        argv[argc++] = vdevs[i];
    }
    if (rte_eal_init(argc, argv) >= 0 && rte_eth_dev_count_avail() == settings->n)
        return 0;
    snprintf(error, PORT_ERROR, "the EAL does not start: %s", rte_strerror(rte_errno));
    return -EIO;
}

static int port_start(uint16_t port, const char *interface, uint8_t *mac, char *error)
{
    struct rte_eth_conf config = {0};
    struct rte_ether_addr address;
    int status = rte_eth_dev_configure(port, 1, 1, &config);
    status =
        status < 0 ? status : rte_eth_rx_queue_setup(port, 0, DESCRIPTORS, (unsigned)SOCKET_ID_ANY, NULL, ports.pool);
    status = status < 0 ? status : rte_eth_tx_queue_setup(port, 0, DESCRIPTORS, (unsigned)SOCKET_ID_ANY, NULL);
    status = status < 0 ? status : rte_eth_dev_start(port);
    status = status < 0 ? status : rte_eth_macaddr_get(port, &address);
    if (status < 0)
        snprintf(error, PORT_ERROR, "interface %s: %s", interface, rte_strerror(-status));
    else
        memcpy(mac, address.addr_bytes, ETHER_ADDRESS);
    return status;
}

/* The driver's descriptors, to sleep on: bound packet sockets of this process. */
static void find_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL && ports.n_fds < DP_PORTS) {
        int fd = atoi(entry->d_name), domain = 0;
        socklen_t size = sizeof domain;
        struct sockaddr_ll bound = {0};
        socklen_t bound_size = sizeof bound;
        if (fd > 2 && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_PACKET &&
            getsockname(fd, (struct sockaddr *)&bound, &bound_size) == 0 && bound.sll_protocol != 0)
            ports.fds[ports.n_fds++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    if (dir != NULL)
        closedir(dir);
}

int port_open(const struct settings *settings, uint8_t (*mac)[ETHER_ADDRESS], char error[static PORT_ERROR])
{
    int status = eal_init(settings, error);
    if (status < 0)
        return status;
    ports.n = settings->n;
    ports.busy = settings->busy;
    ports.pool = rte_pktmbuf_pool_create("frames", BUFFERS, CACHE, 0, BUFFER_ROOM, SOCKET_ID_ANY);
    if (ports.pool == NULL) {
        snprintf(error, PORT_ERROR, "no memory for %u frames: %s", BUFFERS, rte_strerror(rte_errno));
        return -ENOMEM;
    }
    for (unsigned i = 0; i < settings->n; i++)
        if ((status = port_start((uint16_t)i, settings->interfaces[i], mac[i], error)) < 0)
            return status;
    find_descriptors();
    if (ports.n_fds == ports.n)
        return 0;
    snprintf(error, PORT_ERROR, "the drivers have %u sockets, expected %u", ports.n_fds, ports.n);
    return -EPROTO;
}

void port_close(void)
{
    for (unsigned i = 0; i < ports.n; i++)
        rte_eth_dev_stop((uint16_t)i);
    rte_eal_cleanup();
}

/* ---- frames ---- */

static void flush(unsigned port)
{
    uint16_t n = ports.n_out[port], sent = n == 0 ? 0 : rte_eth_tx_burst((uint16_t)port, 0, ports.out[port], n);
    ports.counters.unsent += n - sent;
    rte_pktmbuf_free_bulk(ports.out[port] + sent, n - sent);
    ports.n_out[port] = 0;
}

static void put(unsigned port, struct rte_mbuf *buffer)
{
    if (ports.n_out[port] == FORWARDER_BURST)
        flush(port);
    ports.out[port][ports.n_out[port]++] = buffer;
}

void port_send(void *context, unsigned port, const uint8_t *frame, uint32_t size)
{
    (void)context;
    struct rte_mbuf *buffer = rte_pktmbuf_alloc(ports.pool);
    if (buffer == NULL) {
        ports.counters.no_memory++;
        return;
    }
    memcpy(rte_pktmbuf_append(buffer, (uint16_t)size), frame, size);
    put(port, buffer);
}

static unsigned receive(struct forwarder *forwarder, unsigned port, uint64_t now_us)
{
    struct rte_mbuf *buffers[FORWARDER_BURST];
    struct packet packets[FORWARDER_BURST];
    int out[FORWARDER_BURST];
    unsigned n = rte_eth_rx_burst((uint16_t)port, 0, buffers, FORWARDER_BURST);
    for (unsigned i = 0; i < n; i++) {
        if (buffers[i]->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED)
            rte_vlan_insert(&buffers[i]); /* so that it is seen to be none of ours */
        packets[i] = (struct packet){.frame = rte_pktmbuf_mtod(buffers[i], uint8_t *),
                                     .size = rte_pktmbuf_data_len(buffers[i]),
                                     .room = rte_pktmbuf_tailroom(buffers[i])};
    }
    if (n > 0)
        forwarder_receive(forwarder, port, packets, n, out, now_us);
    for (unsigned i = 0; i < n; i++) {
        if (out[i] < 0) {
            rte_pktmbuf_free(buffers[i]);
            continue;
        }
        buffers[i]->data_len = (uint16_t)packets[i].size;
        buffers[i]->pkt_len = packets[i].size;
        put((unsigned)out[i], buffers[i]);
    }
    return n;
}

unsigned port_turn(struct forwarder *forwarder, uint64_t now_us)
{
    unsigned n = 0;
    for (unsigned port = 0; port < ports.n; port++)
        n += receive(forwarder, port, now_us);
    if (now_us >= forwarder->next_us)
        forwarder_turn(forwarder, now_us);
    for (unsigned port = 0; port < ports.n; port++)
        flush(port);
    return n;
}

bool port_sleep(int wake_fd, uint64_t us)
{
    struct timespec timeout = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000 * 1000)};
    if (ports.busy)
        return true; /* it was not looked at */
    ports.fds[ports.n_fds] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
    return ppoll(ports.fds, ports.n_fds + 1, &timeout, NULL) > 0 && ports.fds[ports.n_fds].revents != 0;
}

/* The kernel forgets what it has told. */
static uint64_t missed_since(int fd)
{
    struct tpacket_stats told = {0};
    socklen_t size = sizeof told;
    return getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &told, &size) == 0 ? told.tp_drops : 0;
}

struct port_counters port_counters(void)
{
    for (unsigned i = 0; i < ports.n_fds; i++)
        ports.counters.missed += missed_since(ports.fds[i].fd);
    ports.counters.buffers = rte_mempool_in_use_count(ports.pool);
    return ports.counters;
}
