#include "dataplane/worker.h"

#include "dataplane/port.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SESSIONS (1u << 17)
#define FRAMES 4096u
/* It sleeps behind so many turns that brought nothing: few behind a single frame, which one of BFD is each few ms; more
 * when many come, as going to sleep costs more than these. */
#define TURNS_A_FRAME 4u
#define TURNS_MOST 64u

static volatile sig_atomic_t stopped;

void worker_stop(int wake_fd)
{
    uint64_t one = 1;
    stopped = 1;
    ssize_t ignored = write(wake_fd, &one, sizeof one);
    (void)ignored;
}

uint64_t worker_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- memory ---- */

static void *zeros(size_t n, size_t size)
{
    size_t bytes = (n * size + 63) / 64 * 64;
    void *memory = aligned_alloc(64, bytes);
    if (memory == NULL) {
        fprintf(stderr, "signalbox-forwarder: out of memory: %zu bytes\n", bytes);
        exit(1);
    }
    return memset(memory, 0, bytes);
}

static struct nat_local *locals_of(const struct fib *table)
{
    uint32_t n = table->header.n_locals;
    struct nat_local *locals = zeros(n + 1, sizeof *locals);
    for (uint32_t i = 0; i < n; i++) {
        locals[i].family = table->locals[i].family;
        memcpy(locals[i].address, table->locals[i].address, sizeof locals[i].address);
        locals[i].by_port = zeros(NAT_PORTS, sizeof *locals[i].by_port);
        locals[i].free_ports = zeros(NAT_PORTS, sizeof *locals[i].free_ports);
        locals[i].last_seq = zeros(NAT_PORTS, sizeof *locals[i].last_seq);
    }
    return locals;
}

static void start_nat(const struct worker *worker, const struct fib *table, uint64_t now_us)
{
    struct nat_memory memory = {
        .n_sessions = SESSIONS, .n_locals = table->header.n_locals, .n_backends = DP_BACKENDS, .n_frames = FRAMES};
    memory.sessions = zeros(SESSIONS, sizeof *memory.sessions);
    memory.timers = zeros(SESSIONS, sizeof *memory.timers);
    memory.free_sessions = zeros(SESSIONS, sizeof *memory.free_sessions);
    memory.flows = zeros(1, flow_size(SESSIONS));
    memory.locals = locals_of(table);
    memory.backend_sessions = zeros(DP_BACKENDS, sizeof *memory.backend_sessions);
    memory.frames = zeros(FRAMES, sizeof *memory.frames);
    memory.local_index = zeros(1, endpoint_size(memory.n_locals));
    nat_init(&worker->forwarder->nat, &memory, worker->secret, now_us);
}

/* ---- the loop ---- */

static void hear_socket(struct worker *worker)
{
    struct port_counters ports = port_counters();
    struct fib *table = dpsocket_turn(worker->socket, worker->forwarder, &ports);
    struct fib *before = (struct fib *)worker->forwarder->table;
    if (table == NULL)
        return;
    uint64_t now_us = worker_now_us();
    if (before == NULL)
        start_nat(worker, table, now_us);
    forwarder_set_table(worker->forwarder, table, now_us);
    dpsocket_give_back(worker->socket, before);
}

/* Turns before it sleeps, behind one that brought n frames. */
static unsigned patience_of(unsigned patience, unsigned n)
{
    if (n == 0)
        return patience > 0 ? patience - 1 : 0;
    return n < TURNS_MOST / TURNS_A_FRAME ? n * TURNS_A_FRAME : TURNS_MOST;
}

static void sleep_for(const struct worker *worker, uint64_t us)
{
    uint64_t woken;
    if (port_sleep(worker->wake_fd, us))
        while (read(worker->wake_fd, &woken, sizeof woken) > 0)
            continue;
}

unsigned worker_run(struct worker *worker)
{
    struct forwarder *forwarder = worker->forwarder;
    unsigned patience = 0;
    forwarder->trace = dpsocket_trace(worker->socket);
    while (!stopped && dpsocket_offload(worker->socket) == DP_PORTS) {
        if (dpsocket_pending(worker->socket))
            hear_socket(worker);
        uint64_t now_us = worker_now_us();
        patience = patience_of(patience, port_turn(forwarder, now_us));
        if (patience == 0)
            sleep_for(worker, forwarder->next_us > now_us ? forwarder->next_us - now_us : 0);
    }
    return dpsocket_offload(worker->socket);
}
