/* sim_world.c: clock, randomness, events, network. */
#include "tests/sim/sim.h"

#include <stdio.h>

/* xorshift64*: small, and the same everywhere. */
static uint64_t next_random(struct sim *sim)
{
    sim->random ^= sim->random >> 12;
    sim->random ^= sim->random << 25;
    sim->random ^= sim->random >> 27;
    return sim->random * 0x2545f4914f6cdd1du;
}

int64_t sim_random(struct sim *sim, int64_t low, int64_t high)
{
    return low + (int64_t)((next_random(sim) >> 11) % (uint64_t)(high - low + 1));
}

bool sim_chance(struct sim *sim, unsigned percent)
{
    return sim_random(sim, 0, 99) < (int64_t)percent;
}

/* A binary heap by (time, order of making). */

static bool before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->seq < b->seq;
}

static void swap(GPtrArray *heap, guint a, guint b)
{
    gpointer kept = heap->pdata[a];
    heap->pdata[a] = heap->pdata[b];
    heap->pdata[b] = kept;
}

void sim_at(struct sim *sim, int64_t at_us, event_fn fn, void *node, void *data, GDestroyNotify drop)
{
    struct event *event = g_new(struct event, 1);
    *event = (struct event){
        .at_us = MAX(at_us, sim->now_us), .seq = sim->seq++, .fn = fn, .node = node, .data = data, .drop = drop};
    g_ptr_array_add(sim->heap, event);
    for (guint i = sim->heap->len - 1; i > 0 && before(sim->heap->pdata[i], sim->heap->pdata[(i - 1) / 2]);
         i = (i - 1) / 2)
        swap(sim->heap, i, (i - 1) / 2);
}

static struct event *pop(GPtrArray *heap)
{
    if (heap->len == 0)
        return NULL;
    struct event *first = heap->pdata[0];
    heap->pdata[0] = heap->pdata[heap->len - 1];
    g_ptr_array_set_size(heap, (gint)heap->len - 1);
    for (guint i = 0;;) {
        guint least = i, left = 2 * i + 1, right = left + 1;
        if (left < heap->len && before(heap->pdata[left], heap->pdata[least]))
            least = left;
        if (right < heap->len && before(heap->pdata[right], heap->pdata[least]))
            least = right;
        if (least == i)
            return first;
        swap(heap, i, least);
        i = least;
    }
}

bool sim_step(struct sim *sim)
{
    struct event *event = pop(sim->heap);
    if (event == NULL)
        return false;
    sim->now_us = event->at_us;
    sim->steps++;
    event->fn(sim, event->node, event->data);
    if (event->drop != NULL)
        event->drop(event->data);
    g_free(event);
    return true;
}

static int64_t delay_us(struct sim *sim)
{
    bool late = !sim->healed && sim_chance(sim, sim->loss_until_us > sim->now_us ? 20 : 3);
    sim->seen[SEEN_message_late] += late;
    return late ? sim_random(sim, 5000, 3 * SECOND) : sim_random(sim, 200, 5000);
}

void sim_send(struct sim *sim, bool cut, event_fn fn, void *node, void *data, gpointer (*copy)(gpointer),
              GDestroyNotify drop)
{
    unsigned loss = sim->healed ? 0 : sim->loss_until_us > sim->now_us ? 30 : 2;
    if (cut || sim_chance(sim, loss)) {
        sim_count(sim, SEEN_message_lost);
        drop(data);
        return;
    }
    if (!sim->healed && sim_chance(sim, 3)) {
        sim_count(sim, SEEN_message_doubled);
        sim_at(sim, sim->now_us + delay_us(sim), fn, node, copy(data), drop);
    }
    sim_at(sim, sim->now_us + delay_us(sim), fn, node, data, drop);
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    if (sim->failure != NULL)
        return;
    va_list args;
    va_start(args, format);
    sim->failure = g_strdup_vprintf(format, args);
    va_end(args);
}

void sim_trace(const struct sim *sim, const char *format, ...)
{
    if (!sim->trace)
        return;
    va_list args;
    va_start(args, format);
    printf("%10.6f  ", (double)sim->now_us / SECOND);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}
