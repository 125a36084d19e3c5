#include "dns/notify.h"

#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/response.h"

#define FIRST_RETRY_US 50000
#define LAST_RETRY_US 1000000 /* a secondary that comes back is told within this time */

struct target {
    struct endpoint endpoint;
    int fd; /* -1: has answered, or was never told */
    struct message message;
    int64_t next_us, interval_us;
    bool taken;
    char *refusal; /* why the last answer was no; NULL: none came */
};
struct notify {
    char *zone;
    const knot_tsig_key_t *key;
    unsigned n;
    struct target *targets;
};

struct notify *notify_new(const char *zone, const struct endpoint *targets, unsigned n, const knot_tsig_key_t *key)
{
    struct notify *notify = g_new0(struct notify, 1);
    notify->zone = g_strdup(zone);
    notify->key = key;
    notify->n = n;
    notify->targets = g_new0(struct target, n);
    for (unsigned i = 0; i < n; i++)
        notify->targets[i] = (struct target){.endpoint = targets[i], .fd = -1};
    return notify;
}

static void target_rest(struct target *target)
{
    if (target->fd >= 0)
        close(target->fd);
    target->fd = -1;
    message_clear(&target->message);
}

void notify_free(struct notify *notify)
{
    for (unsigned i = 0; i < notify->n; i++) {
        target_rest(&notify->targets[i]);
        g_free(notify->targets[i].refusal);
    }
    g_free(notify->targets);
    g_free(notify->zone);
    g_free(notify);
}

static bool encode(const struct notify *notify, uint64_t time_s, struct message *out)
{
    uint16_t id = 0;
    if (getrandom(&id, sizeof id, 0) != sizeof id)
        return false;
    knot_pkt_t *packet = message_begin(notify->zone, KNOT_OPCODE_NOTIFY, id, notify->key);
    if (packet == NULL)
        return false;
    knot_wire_set_aa(packet->wire);
    return message_sign(packet, notify->key, time_s, out, NULL);
}

/* Sends, signed anew: a retry may come after the fudge. A send that fails is one that is lost: the next turn repeats
 * it. */
static void target_send(const struct notify *notify, struct target *target, uint64_t time_s, int64_t now_us)
{
    message_clear(&target->message);
    if (encode(notify, time_s, &target->message))
        (void)!send(target->fd, target->message.wire, target->message.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    target->next_us = now_us + target->interval_us;
    target->interval_us = MIN(target->interval_us * 2, LAST_RETRY_US);
}

void notify_start(struct notify *notify, uint64_t time_s, int64_t now_us)
{
    for (unsigned i = 0; i < notify->n; i++) {
        struct target *target = &notify->targets[i];
        struct sockaddr_storage address;
        socklen_t size = endpoint_sockaddr(&target->endpoint, &address);
        target->taken = false;
        if (target->fd < 0)
            target->fd = socket(address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (target->fd < 0 || connect(target->fd, (struct sockaddr *)&address, size) != 0) {
            target_rest(target); /* the primary's own NOTIFY is left */
            continue;
        }
        target->interval_us = FIRST_RETRY_US;
        target_send(notify, target, time_s, now_us);
    }
}

static bool target_answered(const struct notify *notify, struct target *target)
{
    uint8_t wire[4096], rcode;
    for (ssize_t size; (size = recv(target->fd, wire, sizeof wire, MSG_DONTWAIT)) > 0;) {
        if (response_verified(&target->message, notify->key, wire, (size_t)size, &rcode) && rcode == KNOT_RCODE_NOERROR)
            target->taken = true;
        char *refusal = response_refusal(&target->message, notify->key, notify->zone, wire, (size_t)size);
        if (refusal != NULL) {
            g_free(target->refusal);
            target->refusal = refusal;
        }
    }
    if (target->taken)
        g_clear_pointer(&target->refusal, g_free);
    return target->taken;
}

char *notify_words(const struct notify *notify)
{
    const struct target *target = &notify->targets[0];
    for (unsigned i = 1; i < notify->n && target->taken; i++)
        target = &notify->targets[i];
    if (target->refusal != NULL)
        return g_strdup_printf("it refuses our NOTIFY: %s", target->refusal);
    return g_strdup(target->taken ? "it has taken our NOTIFY: its transfer from its primary fails or is slow"
                                  : "it has not answered our NOTIFY");
}

int64_t notify_turn(struct notify *notify, uint64_t time_s, int64_t now_us)
{
    int64_t next_us = INT64_MAX;
    for (unsigned i = 0; i < notify->n; i++) {
        struct target *target = &notify->targets[i];
        if (target->fd < 0)
            continue;
        if (target_answered(notify, target)) {
            target_rest(target);
            continue;
        }
        if (now_us >= target->next_us)
            target_send(notify, target, time_s, now_us);
        next_us = MIN(next_us, target->next_us);
    }
    return next_us;
}

unsigned notify_fds(const struct notify *notify, struct pollfd *fds)
{
    unsigned n = 0;
    for (unsigned i = 0; i < notify->n; i++)
        if (notify->targets[i].fd >= 0)
            fds[n++] = (struct pollfd){.fd = notify->targets[i].fd, .events = POLLIN};
    return n;
}
