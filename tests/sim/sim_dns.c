/* sim_dns.c: the network between DNS drivers and name servers. The linker gives the driver these in place of
 * dns/exchange.c, dns/readback.c and dns/notify.c: updates go as the bytes that the driver made, questions and NOTIFY
 * as what they say. Each is lost, doubled, delayed or comes too late like every other message. */
#include "tests/sim/sim.h"

#include "core/error.h"
#include "dns/exchange.h"
#include "dns/notify.h"
#include "dns/readback.h"
#include "dns/update.h"

#include <string.h>
#include <sys/eventfd.h>

struct dns_message *dns_message_new(enum dns_message_kind kind, unsigned server, unsigned nameserver)
{
    struct dns_message *message = g_new0(struct dns_message, 1);
    message->kind = kind;
    message->server = server;
    message->nameserver = nameserver;
    message->sets = g_ptr_array_new_with_free_func((GDestroyNotify)rrset_delete);
    return message;
}

struct rrset *rrset_copy(const struct rrset *set)
{
    return rrset_make(set->owner, set->type, set->ttl, (const char *const *)set->rdata);
}

gpointer dns_message_copy(gpointer data)
{
    const struct dns_message *message = data;
    struct dns_message *copy = g_memdup2(message, sizeof *copy);
    copy->sets = g_ptr_array_new_with_free_func((GDestroyNotify)rrset_delete);
    for (guint i = 0; i < message->sets->len; i++)
        g_ptr_array_add(copy->sets, rrset_copy(message->sets->pdata[i]));
    copy->wire = message->wire == NULL ? NULL : g_bytes_ref(message->wire);
    return copy;
}

void dns_message_free(gpointer data)
{
    struct dns_message *message = data;
    g_ptr_array_unref(message->sets);
    if (message->wire != NULL)
        g_bytes_unref(message->wire);
    g_free(message);
}

bool dns_cut(const struct sim *sim, unsigned server, unsigned nameserver)
{
    return sim->servers[server].dns_cut_until_us > sim->now_us ||
           sim->nameservers[nameserver].cut_until_us > sim->now_us;
}

void dns_send(struct sim *sim, struct dns_message *message, event_fn fn)
{
    message->life = sim->nameservers[message->nameserver].life;
    sim_send(sim, dns_cut(sim, message->server, message->nameserver), fn, NULL, message, dns_message_copy,
             dns_message_free);
}

/* An answer has arrived at a server: the driver that waits for it goes on. */
void dns_answered(struct sim *sim, void *node, void *data)
{
    const struct dns_message *answer = data;
    (void)node;
    if (answer->call == 0 || !g_hash_table_contains(sim->calls, &answer->call))
        return;
    struct dns_message *copy = dns_message_copy((gpointer)answer);
    g_hash_table_replace(sim->calls, &copy->call, copy);
    fiber_wake(sim, answer->fiber);
}

/* Takes `message`. The answer, or NULL: none within the driver's patience. dns_message_free. */
static struct dns_message *call(struct fiber *fiber, struct dns_message *message, int64_t patience_us)
{
    const struct driver_home *home = fiber_home(fiber);
    struct sim *sim = home->sim;
    uint64_t id = ++sim->waits;
    if (fiber_dying(fiber)) {
        dns_message_free(message);
        return NULL;
    }
    message->call = id;
    message->fiber = fiber_id(fiber);
    struct dns_message *waits = dns_message_new(message->kind, message->server, message->nameserver);
    waits->call = id;
    g_hash_table_insert(sim->calls, &waits->call, waits);
    int64_t until_us = server_later_us(sim, home->server, patience_us);
    dns_send(sim, message, nameserver_take);
    while (!waits->answered && sim->now_us < until_us && !fiber_dying(fiber)) {
        fiber_wait(fiber, until_us);
        waits = g_hash_table_lookup(sim->calls, &id);
    }
    g_hash_table_steal(sim->calls, &id);
    if (waits->answered)
        return waits;
    dns_message_free(waits);
    return NULL;
}

/* ---- in place of readback.c ---- */

struct readback {
    unsigned nameserver;
};

struct readback *__wrap_readback_new(const struct endpoint *server, int stop_fd, GError **error);
void __wrap_readback_free(struct readback *readback);
bool __wrap_readback_ask(struct readback *readback, struct rrset *const *questions, unsigned n, readback_fn fn,
                         void *data, GError **error);

struct readback *__wrap_readback_new(const struct endpoint *server, int stop_fd, GError **error)
{
    struct readback *readback = g_new(struct readback, 1);
    (void)stop_fd, (void)error;
    readback->nameserver = nameserver_at(server);
    return readback;
}

void __wrap_readback_free(struct readback *readback)
{
    g_free(readback);
}

/* Some are answered at one moment, some at several. */
bool __wrap_readback_ask(struct readback *readback, struct rrset *const *questions, unsigned n, readback_fn fn,
                         void *data, GError **error)
{
    struct fiber *fiber = fiber_running();
    const struct driver_home *home = fiber_home(fiber);
    for (unsigned from = 0, take; from < n; from += take) {
        take = sim_chance(home->sim, 70) ? n - from : (unsigned)sim_random(home->sim, 1, n - from);
        struct dns_message *message = dns_message_new(DNS_QUERY, home->server->index, readback->nameserver);
        for (unsigned i = from; i < from + take; i++)
            g_ptr_array_add(message->sets, rrset_make(questions[i]->owner, questions[i]->type, 0, NULL));
        struct dns_message *answer = call(fiber, message, (int64_t)READBACK_SILENCE_MS * 1000);
        bool ok = answer != NULL && answer->rcode == KNOT_RCODE_NOERROR;
        if (answer == NULL)
            g_set_error(error, SB_ERROR, SB_ERROR_UNREACHABLE, "no answer");
        else if (!ok)
            g_set_error(error, SB_ERROR, SB_ERROR_UNAVAILABLE, "rcode %u", answer->rcode);
        for (guint i = 0; ok && i < answer->sets->len; i++)
            fn(data, rrset_copy(answer->sets->pdata[i]));
        if (answer != NULL)
            dns_message_free(answer);
        if (!ok)
            return false;
    }
    return true;
}

/* ---- in place of exchange.c ---- */

int __wrap_exchange_connect(const struct endpoint *server, int timeout_ms, int stop_fd, GError **error);
GByteArray *__wrap_exchange_message(int fd, const uint8_t *wire, size_t size, int timeout_ms, int stop_fd,
                                    GError **error);

/* The descriptor stands for the connection; the driver closes it. */
int __wrap_exchange_connect(const struct endpoint *server, int timeout_ms, int stop_fd, GError **error)
{
    struct fiber *fiber = fiber_running();
    const struct driver_home *home = fiber_home(fiber);
    struct sim *sim = home->sim;
    unsigned nameserver = nameserver_at(server);
    bool cut = dns_cut(sim, home->server->index, nameserver);
    (void)stop_fd;
    fiber_wait(fiber, cut ? server_later_us(sim, home->server, (int64_t)timeout_ms * 1000)
                          : sim->now_us + sim_random(sim, 200, 2000));
    if (!cut && sim->nameservers[nameserver].dead_until_us <= sim->now_us && !fiber_dying(fiber))
        return eventfd(0, EFD_CLOEXEC);
    g_set_error(error, SB_ERROR, SB_ERROR_UNREACHABLE, "no connection");
    return -1;
}

GByteArray *__wrap_exchange_message(int fd, const uint8_t *wire, size_t size, int timeout_ms, int stop_fd,
                                    GError **error)
{
    struct fiber *fiber = fiber_running();
    const struct driver_home *home = fiber_home(fiber);
    struct dns_message *message = dns_message_new(DNS_UPDATE, home->server->index, home->nameserver);
    (void)fd, (void)stop_fd;
    message->wire = g_bytes_new(wire, size);
    struct dns_message *answer = call(fiber, message, (int64_t)timeout_ms * 1000);
    if (answer == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_TIMEOUT, "no answer came");
        return NULL;
    }
    gsize n;
    const uint8_t *bytes = g_bytes_get_data(answer->wire, &n);
    GByteArray *out = g_byte_array_append(g_byte_array_new(), bytes, (guint)n);
    dns_message_free(answer);
    return out;
}

/* ---- in place of notify.c: told once. What is lost is the secondary's own driver's to mend. ---- */

struct notify {
    unsigned n;
    unsigned targets[NAMESERVERS];
};

struct notify *__wrap_notify_new(const char *zone, const struct endpoint *targets, unsigned n,
                                 const knot_tsig_key_t *key);
void __wrap_notify_free(struct notify *notify);
void __wrap_notify_start(struct notify *notify, uint64_t time_s, int64_t now_us);
int64_t __wrap_notify_turn(struct notify *notify, uint64_t time_s, int64_t now_us);
char *__wrap_notify_words(const struct notify *notify);
unsigned __wrap_notify_fds(const struct notify *notify, struct pollfd *fds);

struct notify *__wrap_notify_new(const char *zone, const struct endpoint *targets, unsigned n,
                                 const knot_tsig_key_t *key)
{
    struct notify *notify = g_new0(struct notify, 1);
    (void)zone, (void)key;
    g_assert(n <= NAMESERVERS);
    for (; notify->n < n; notify->n++)
        notify->targets[notify->n] = nameserver_at(&targets[notify->n]);
    return notify;
}

void __wrap_notify_free(struct notify *notify)
{
    g_free(notify);
}

void __wrap_notify_start(struct notify *notify, uint64_t time_s, int64_t now_us)
{
    const struct driver_home *home = fiber_home(fiber_running());
    (void)time_s, (void)now_us;
    for (unsigned i = 0; i < notify->n && !fiber_dying(fiber_running()); i++)
        dns_send(home->sim, dns_message_new(DNS_NOTIFY, home->server->index, notify->targets[i]), nameserver_take);
}

int64_t __wrap_notify_turn(struct notify *notify, uint64_t time_s, int64_t now_us)
{
    (void)notify, (void)time_s, (void)now_us;
    return INT64_MAX;
}

char *__wrap_notify_words(const struct notify *notify)
{
    (void)notify;
    return NULL;
}

unsigned __wrap_notify_fds(const struct notify *notify, struct pollfd *fds)
{
    (void)notify, (void)fds;
    return 0;
}

/* ---- around update.c: a small zone in many updates ---- */

struct update_plan *__real_update_plan_new(const GPtrArray *expected, GHashTable *seen, const char *zone,
                                           unsigned bytes_max, GError **error);
struct update_plan *__wrap_update_plan_new(const GPtrArray *expected, GHashTable *seen, const char *zone,
                                           unsigned bytes_max, GError **error);

/* The planted bug: what goes, goes first. */
static void remove_first(struct update_plan *plan)
{
    GPtrArray *changes = g_ptr_array_new();
    GArray *batches = g_array_new(FALSE, FALSE, sizeof(struct update_batch));
    for (unsigned removes = 2; removes-- > 0;)
        for (guint i = 0; i < plan->batches->len; i++) {
            struct update_batch batch = g_array_index(plan->batches, struct update_batch, i);
            if (batch.removes != (removes == 1))
                continue;
            unsigned first = batch.first;
            batch = (struct update_batch){changes->len, batch.n, false};
            for (unsigned k = 0; k < batch.n; k++)
                g_ptr_array_add(changes, plan->changes->pdata[first + k]);
            g_array_append_val(batches, batch);
        }
    g_ptr_array_unref(plan->changes);
    g_array_unref(plan->batches);
    plan->changes = changes;
    plan->batches = batches;
}

struct update_plan *__wrap_update_plan_new(const GPtrArray *expected, GHashTable *seen, const char *zone,
                                           unsigned bytes_max, GError **error)
{
    const struct sim *sim = fiber_home(fiber_running())->sim;
    struct update_plan *plan = __real_update_plan_new(expected, seen, zone, sim->update_bytes, error);
    (void)bytes_max;
    if (plan != NULL && (sim->bugs & BUG_REMOVE_FIRST))
        remove_first(plan);
    return plan;
}
