/* sim_fiber.c: the thread of a DNS driver, on a stack of its own in the simulator's one thread. The linker gives the
 * driver these in place of threads, poll, clocks and randomness (--wrap, see CMakeLists.txt), so that the driver runs
 * as it ships: where it would wait, the simulator goes on with its next event.
 *
 * A server that dies takes its drivers along: they are freed as ever, and whatever they still ask fails at once. */
#include "tests/sim/sim.h"

#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <ucontext.h>

#define STACK_SIZE (256 * 1024)

struct fiber {
    uint64_t id, wait; /* wait: number of the wait that it is in; 0: none */
    struct driver_home home;
    ucontext_t own, back;
    void *stack;
    void *(*fn)(void *);
    void *data;
    bool ended, dying;
};

static struct fiber *running; /* NULL: the simulator itself */
static struct driver_home next_home;
static GPtrArray *stacks; /* for the next ones */

struct fiber *fiber_running(void)
{
    return running;
}

const struct driver_home *fiber_home(const struct fiber *fiber)
{
    return &fiber->home;
}

uint64_t fiber_id(const struct fiber *fiber)
{
    return fiber->id;
}

bool fiber_dying(const struct fiber *fiber)
{
    return fiber->dying;
}

static void resume(struct fiber *fiber)
{
    running = fiber;
    fiber->wait = 0;
    swapcontext(&fiber->back, &fiber->own);
    running = NULL;
}

static void entry(unsigned high, unsigned low)
{
    struct fiber *fiber = (struct fiber *)(((uintptr_t)high << 32) | low);
    fiber->fn(fiber->data);
    fiber->ended = true;
    swapcontext(&fiber->own, &fiber->back);
}

struct wake {
    uint64_t fiber, wait;
};

static void wake(struct sim *sim, void *node, void *data)
{
    const struct wake *due = data;
    struct fiber *fiber = g_hash_table_lookup(sim->fibers, &due->fiber);
    (void)node;
    if (fiber == NULL || fiber->wait != due->wait)
        return;
    int64_t paused_until_us = fiber->home.server->paused_until_us;
    if (paused_until_us > sim->now_us)
        sim_at(sim, paused_until_us, wake, NULL, g_memdup2(due, sizeof *due), g_free);
    else
        resume(fiber);
}

static void wake_at(struct fiber *fiber, int64_t at_us)
{
    struct wake due = {.fiber = fiber->id, .wait = fiber->wait};
    sim_at(fiber->home.sim, at_us, wake, NULL, g_memdup2(&due, sizeof due), g_free);
}

void fiber_wait(struct fiber *fiber, int64_t until_us)
{
    if (fiber->dying)
        return;
    fiber->wait = ++fiber->home.sim->waits;
    wake_at(fiber, until_us);
    swapcontext(&fiber->own, &fiber->back);
}

void fiber_wake(struct sim *sim, uint64_t id)
{
    struct fiber *fiber = g_hash_table_lookup(sim->fibers, &id);
    if (fiber != NULL && fiber->wait != 0)
        wake_at(fiber, sim->now_us);
}

uint64_t fiber_next(struct sim *sim, struct server *server, unsigned nameserver)
{
    next_home = (struct driver_home){.sim = sim, .server = server, .nameserver = nameserver};
    return sim->newest_fiber + 1;
}

static void *take_stack(void)
{
    if (stacks == NULL)
        stacks = g_ptr_array_new();
    if (stacks->len > 0)
        return g_ptr_array_steal_index_fast(stacks, stacks->len - 1);
    void *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert(stack != MAP_FAILED);
    return stack;
}

/* ---- what the driver links with ---- */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *data);
int __wrap_pthread_join(pthread_t thread, void **result);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int64_t __wrap_loop_now_us(void);
time_t __wrap_time(time_t *out);
ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *data)
{
    struct sim *sim = next_home.sim;
    struct fiber *fiber = g_new0(struct fiber, 1);
    (void)attr;
    fiber->id = ++sim->newest_fiber;
    fiber->home = next_home;
    fiber->fn = fn;
    fiber->data = data;
    fiber->stack = take_stack();
    getcontext(&fiber->own);
    fiber->own.uc_stack.ss_sp = fiber->stack;
    fiber->own.uc_stack.ss_size = STACK_SIZE;
    makecontext(&fiber->own, (void (*)(void))entry, 2, (unsigned)((uintptr_t)fiber >> 32),
                (unsigned)((uintptr_t)fiber & 0xffffffffu));
    g_hash_table_insert(sim->fibers, &fiber->id, fiber);
    fiber->wait = ++sim->waits;
    wake_at(fiber, sim->now_us);
    *thread = (pthread_t)(uintptr_t)fiber;
    return 0;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
    struct fiber *fiber = (struct fiber *)(uintptr_t)thread;
    (void)result;
    g_assert(running == NULL);
    fiber->dying = true;
    while (!fiber->ended)
        resume(fiber);
    g_hash_table_remove(fiber->home.sim->fibers, &fiber->id);
    g_ptr_array_add(stacks, fiber->stack);
    g_free(fiber);
    return 0;
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    int ready = __real_poll(fds, n, 0);
    if (ready != 0 || timeout_ms == 0 || running == NULL)
        return ready;
    fiber_wait(running, server_later_us(running->home.sim, running->home.server, (int64_t)timeout_ms * 1000));
    return __real_poll(fds, n, 0);
}

int64_t __wrap_loop_now_us(void)
{
    g_assert(running != NULL);
    return server_now(running->home.sim, running->home.server).us;
}

time_t __wrap_time(time_t *out)
{
    g_assert(running != NULL && out == NULL);
    return (time_t)(server_now(running->home.sim, running->home.server).wall_us / SECOND);
}

ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags)
{
    g_assert(running != NULL);
    (void)flags;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)sim_random(running->home.sim, 0, 255);
    return (ssize_t)size;
}
