#include "tests/unit/faultwire.h"

#include <glib.h>
#include <string.h>

#define HEADER 14u /* the Ethernet header is not damaged: its own checksum would show it */

void wire_init(struct wire *wire, const struct wire_faults *faults, uint64_t seed)
{
    *wire = (struct wire){.faults = *faults, .random = seed * 2654435761u + 88172645463325252u};
}

void wire_clear(struct wire *wire)
{
    while (wire->n > 0)
        g_free(wire->frames[--wire->n]);
}

uint32_t wire_random(struct wire *wire, uint32_t below)
{
    wire->random ^= wire->random << 13;
    wire->random ^= wire->random >> 7;
    wire->random ^= wire->random << 17;
    return (uint32_t)(wire->random >> 20) % below;
}

static bool drawn(struct wire *wire, unsigned of_thousand)
{
    return of_thousand > 0 && wire_random(wire, 1000) < of_thousand;
}

static void put(struct wire *wire, unsigned to, const uint8_t *bytes, uint32_t size, uint64_t now_us)
{
    g_assert(wire->n < WIRE_FRAMES && size <= WIRE_FRAME);
    struct wire_frame *frame = g_new(struct wire_frame, 1);
    frame->due_us = now_us + wire->faults.delay_us;
    if (drawn(wire, wire->faults.late))
        frame->due_us += wire_random(wire, 7 * wire->faults.delay_us + 1);
    frame->number = wire->number++;
    frame->to = to;
    frame->size = size;
    memcpy(frame->bytes, bytes, size);
    if (!(wire->faults.whole >> to & 1) && drawn(wire, wire->faults.corrupt)) {
        frame->bytes[HEADER + wire_random(wire, size - HEADER)] ^= (uint8_t)(1u << wire_random(wire, 8));
        wire->corrupted++;
    }
    wire->frames[wire->n++] = frame;
}

void wire_send(struct wire *wire, unsigned to, const uint8_t *bytes, uint32_t size, uint64_t now_us)
{
    if (drawn(wire, wire->faults.drop)) {
        wire->dropped++;
        return;
    }
    put(wire, to, bytes, size, now_us);
    if (drawn(wire, wire->faults.duplicate)) {
        put(wire, to, bytes, size, now_us);
        wire->duplicated++;
    }
}

static unsigned first(const struct wire *wire)
{
    unsigned best = 0;
    for (unsigned i = 1; i < wire->n; i++) {
        const struct wire_frame *a = wire->frames[i], *b = wire->frames[best];
        if (a->due_us < b->due_us || (a->due_us == b->due_us && a->number < b->number))
            best = i;
    }
    return best;
}

uint64_t wire_next_us(const struct wire *wire)
{
    return wire->n == 0 ? UINT64_MAX : wire->frames[first(wire)]->due_us;
}

struct wire_frame *wire_take(struct wire *wire, uint64_t now_us)
{
    unsigned i = wire->n == 0 ? 0 : first(wire);
    if (wire->n == 0 || wire->frames[i]->due_us > now_us)
        return NULL;
    struct wire_frame *frame = wire->frames[i];
    wire->frames[i] = wire->frames[--wire->n];
    return frame;
}
