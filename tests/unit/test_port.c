/* Ports of DPDK on a veth pair, in a network namespace that ends with the test: frames in and out when there are no
 * buffers left, and when there are again. Root; 77 where a namespace cannot be made. */
#include "tests/unit/unit.h"

#include "dataplane/port.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>

#define FRAME 60u
#define PROTOCOL 0x88b5 /* of local experiments: no kernel sends or answers it */
#define FEW 40u
#define MANY 2000u /* more than the driver's ring holds */
#define DEADLINE_US 10000000

struct site {
    struct forwarder *forwarder;
    uint64_t sent; /* by the peer */
    int peer, wake;
};

static void sh(const char *command)
{
    int status = system(command);
    ck_assert_msg(status == 0, "%s: status %d", command, status);
}

static void site_init(struct site *s)
{
    struct settings settings = {.interfaces = {"sb-port"}, .n = 1};
    uint8_t mac[DP_PORTS][ETHER_ADDRESS];
    char error[PORT_ERROR] = "";
    ck_assert_msg(unshare(CLONE_NEWNET) == 0, "%s", strerror(errno));
    sh("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"); /* nothing but our frames */
    sh("ip link add sb-port type veth peer name sb-peer && ip link set sb-port up && ip link set sb-peer up");
    ck_assert_msg(port_open(&settings, mac, error) == 0, "%s", error);
    struct sockaddr_ll at = {
        .sll_family = AF_PACKET, .sll_protocol = htons(PROTOCOL), .sll_ifindex = (int)if_nametoindex("sb-peer")};
    *s = (struct site){.forwarder = g_new0(struct forwarder, 1),
                       .peer = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(PROTOCOL)),
                       .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    ck_assert_int_eq(bind(s->peer, (struct sockaddr *)&at, sizeof at), 0);
    forwarder_init(s->forwarder, (const uint8_t(*)[ETHER_ADDRESS])mac, 1, 1);
}

static void site_clear(struct site *s)
{
    port_close();
    close(s->peer);
    close(s->wake);
    g_free(s->forwarder);
}

/* To all, from who is nobody; of PROTOCOL. */
static const uint8_t frame_bytes[FRAME] = "\xff\xff\xff\xff\xff\xff\2\0\0\0\0\1\x88\xb5";

static void peer_sends(struct site *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        ck_assert_int_eq(send(s->peer, frame_bytes, FRAME, 0), FRAME);
    s->sent += n;
}

/* Frames that a turn finds now. */
static unsigned turn(struct site *s)
{
    return port_turn(s->forwarder, (uint64_t)g_get_monotonic_time());
}

static void until_received(struct site *s, uint64_t n)
{
    for (int64_t end = g_get_monotonic_time() + DEADLINE_US; s->forwarder->received < n;) {
        ck_assert_msg(g_get_monotonic_time() < end, "%llu frames of %llu", (unsigned long long)s->forwarder->received,
                      (unsigned long long)n);
        if (turn(s) == 0)
            port_sleep(s->wake, 10000);
    }
}

/* Frames that came out of the port, but for those on the way: it waits for the first one. */
static unsigned peer_hears(const struct site *s)
{
    uint8_t frame[FRAME];
    unsigned n = 0;
    struct timeval limit = {.tv_sec = DEADLINE_US / 1000000};
    setsockopt(s->peer, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    while (recv(s->peer, frame, sizeof frame, n == 0 ? 0 : MSG_DONTWAIT) == (ssize_t)FRAME)
        n++;
    return n;
}

/* All the buffers that are left; g_ptr_array_unref gives them back. */
static GPtrArray *take_buffers(void)
{
    struct rte_mempool *pool = rte_mempool_lookup("frames");
    GPtrArray *taken = g_ptr_array_new_with_free_func((GDestroyNotify)rte_pktmbuf_free);
    struct rte_mbuf *buffer;
    ck_assert_ptr_nonnull(pool);
    while ((buffer = rte_pktmbuf_alloc(pool)) != NULL)
        g_ptr_array_add(taken, buffer);
    ck_assert_uint_eq(port_counters().buffers, pool->size);
    return taken;
}

START_TEST(buffers_run_out_and_come_back)
{
    struct site s;
    site_init(&s);
    peer_sends(&s, FEW);
    until_received(&s, FEW);
    unsigned before = port_counters().buffers;

    for (int again = 0; again < 3; again++) {
        struct port_counters then = port_counters();
        uint64_t received = s.forwarder->received;
        g_autoptr(GPtrArray) taken = take_buffers();
        peer_sends(&s, MANY);
        for (unsigned i = 0; i < 100; i++)
            ck_assert_uint_eq(turn(&s), 0);
        for (unsigned i = 0; i < FEW; i++)
            port_send(NULL, 0, frame_bytes, FRAME);
        struct port_counters none = port_counters();
        ck_assert_uint_eq(none.no_memory, then.no_memory + FEW);
        ck_assert_uint_eq(none.unsent, 0);
        ck_assert_uint_gt(none.missed, then.missed); /* the ring was full */
        ck_assert_uint_lt(none.missed - then.missed, MANY);

        g_clear_pointer(&taken, g_ptr_array_unref);
        until_received(&s, received + MANY - (none.missed - then.missed)); /* what the ring has kept is not lost */
        port_send(NULL, 0, frame_bytes, FRAME);
        turn(&s);
        ck_assert_uint_eq(peer_hears(&s), 1);
    }
    peer_sends(&s, FEW);
    until_received(&s, s.forwarder->received + FEW);
    struct port_counters end = port_counters();
    ck_assert_uint_eq(s.forwarder->received + end.missed, s.sent);
    ck_assert_uint_eq(end.no_memory, 3 * FEW);
    ck_assert_uint_eq(end.buffers, before);
    printf("buffers: %llu frames sent = %llu received + %llu missed; %llu not made for want of one; %u in use at the "
           "end\n",
           (unsigned long long)s.sent, (unsigned long long)s.forwarder->received, (unsigned long long)end.missed,
           (unsigned long long)end.no_memory, end.buffers);
    site_clear(&s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, buffers_run_out_and_come_back);
}

int main(void)
{
    return geteuid() != 0 ? 77 : unit_run("port", add);
}
