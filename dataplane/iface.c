#include "dataplane/iface.h"

#include "dataplane/bfd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- facts ---- */

/* An ethtool number of an interface; 0 where there is none. */
static unsigned ethtool_number(int fd, struct ifreq *request, unsigned command)
{
    struct ethtool_value value = {.cmd = command};
    request->ifr_data = (char *)&value;
    return ioctl(fd, SIOCETHTOOL, request) == 0 ? value.data : 0;
}

static int ask_kernel(struct iface_facts *facts)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), status = 0;
    if (fd < 0)
        return -errno;
    memcpy(request.ifr_name, facts->name, strlen(facts->name));
    if (ioctl(fd, SIOCGIFFLAGS, &request) == 0)
        facts->up = request.ifr_flags & IFF_UP;
    else
        status = -errno;
    if (status == 0 && ioctl(fd, SIOCGIFMTU, &request) == 0)
        facts->mtu = (unsigned)request.ifr_mtu;
    facts->glues = ethtool_number(fd, &request, ETHTOOL_GGRO) != 0 ||
                   (ethtool_number(fd, &request, ETHTOOL_GFLAGS) & ETH_FLAG_LRO) != 0;
    close(fd);
    return status;
}

static int ask_addresses(struct iface_facts *facts)
{
    struct ifaddrs *all;
    if (getifaddrs(&all) < 0)
        return -errno;
    for (const struct ifaddrs *a = all; a != NULL; a = a->ifa_next) {
        if (a->ifa_addr == NULL || strcmp(a->ifa_name, facts->name) != 0)
            continue;
        facts->address4 = facts->address4 || a->ifa_addr->sa_family == AF_INET;
        facts->address6 = facts->address6 || a->ifa_addr->sa_family == AF_INET6;
    }
    freeifaddrs(all);
    return 0;
}

static bool forwards(const char *name)
{
    char path[64 + IFNAMSIZ];
    snprintf(path, sizeof path, "/proc/sys/net/ipv4/conf/%s/forwarding", name);
    FILE *file = fopen(path, "re");
    int c = file == NULL ? '0' : fgetc(file);
    if (file != NULL)
        fclose(file);
    return c == '1';
}

int iface_ask(const char *name, struct iface_facts *facts)
{
    *facts = (struct iface_facts){.name = name};
    if (strlen(name) >= IFNAMSIZ || strchr(name, '/') != NULL || if_nametoindex(name) == 0)
        return 0;
    facts->there = true;
    facts->forwards = forwards(name);
    int status = ask_kernel(facts);
    return status < 0 ? status : ask_addresses(facts);
}

/* ---- what they come to ---- */

#define REFUSE(...) return snprintf(error, IFACE_ERROR, "interface " __VA_ARGS__), -EINVAL

int iface_check(const struct iface_facts *facts, char error[static IFACE_ERROR])
{
    const char *name = facts->name;
    if (!facts->there)
        REFUSE("%s: there is none; `ip link` lists those that there are", name);
    if (strpbrk(name, ",=[]") != NULL) /* what the driver is told is a list */
        REFUSE("%s: expected a name without , = [ ]; ip link set %s name NEW", name, name);
    if (facts->address4)
        REFUSE("%s: the kernel has an address there and would answer, too; ip addr flush dev %s", name, name);
    if (facts->address6)
        REFUSE("%s: the kernel has an IPv6 address there and would answer, too; sysctl -w "
               "net.ipv6.conf.%s.disable_ipv6=1",
               name, name);
    if (facts->forwards)
        REFUSE("%s: the kernel forwards what comes in by it, too; sysctl -w net.ipv4.conf.%s.forwarding=0", name, name);
    if (facts->mtu > IFACE_MTU)
        REFUSE("%s: MTU %u, expected %u at most; ip link set %s mtu %u", name, facts->mtu, IFACE_MTU, name, IFACE_MTU);
    if (facts->glues)
        REFUSE("%s: glues packets together; ethtool -K %s gro off lro off", name, name);
    if (!facts->up)
        REFUSE("%s: is down; ip link set %s up", name, name);
    return 0;
}

/* ---- offload ---- */

enum { TCP = 6, UDP = 17, SYN = 2, FLAGS_AT = 13, DEST_AT = 2, IP6_HEADER = 40 };

/* What is looked at: the first packets of connections, and BFD's. A neighbour that leaves checksums undone does so in
 * all of them, and all packets would cost what the forwarder itself does. Jumps count from the next line on. */
static const struct sock_filter some[] = {
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 9, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 15),
    BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), /* IPv4 header's size */
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, UDP, 3, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TCP, 0, 11),
    BPF_STMT(BPF_LD | BPF_B | BPF_IND, FLAGS_AT),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, SYN, 8, 9),
    BPF_STMT(BPF_LD | BPF_H | BPF_IND, DEST_AT),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BFD_PORT, 6, 7),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6), /* IPv6 */
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, UDP, 2, 0),
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, IP6_HEADER + FLAGS_AT), /* an extension's byte, if it is neither: no harm */
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, SYN, 2, 3),
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, IP6_HEADER + DEST_AT),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BFD_PORT, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, UINT16_MAX),
    BPF_STMT(BPF_RET | BPF_K, 0),
};

int iface_watch(const char *name)
{
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, status = 0;
    const struct sock_fprog filter = {.len = sizeof some / sizeof some[0], .filter = (struct sock_filter *)some};
    struct sockaddr_ll at = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)};
    if (fd < 0)
        return -errno;
    if (at.sll_ifindex == 0 || setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof at) < 0)
        status = at.sll_ifindex == 0 ? -ENODEV : -errno;
    if (status < 0)
        close(fd);
    return status < 0 ? status : fd;
}

/* One packet: -1, there is none; 1, its checksum is missing. */
static int saw_one(int fd)
{
    char byte;
    union { /* aligned as cmsg(3) asks for */
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
    } control;
    struct sockaddr_ll from;
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_name = &from,
                             .msg_namelen = sizeof from,
                             .msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    if (recvmsg(fd, &message, MSG_TRUNC) < 0)
        return -1;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    if (c == NULL || c->cmsg_type != PACKET_AUXDATA || from.sll_pkttype == PACKET_OUTGOING)
        return 0;
    struct tpacket_auxdata aux;
    memcpy(&aux, CMSG_DATA(c), sizeof aux);
    return !!(aux.tp_status & TP_STATUS_CSUMNOTREADY);
}

bool iface_saw_offload(int fd)
{
    int saw;
    while ((saw = saw_one(fd)) == 0)
        continue;
    return saw > 0;
}
