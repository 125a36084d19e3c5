/* faultwire.h: a wire in memory, for tests: frames arrive later, in virtual time, and as they were sent unless a fault
 * is drawn: lost, twice, later than others, with a bit that is turned. The same seed, the same faults. */
#ifndef TESTS_FAULTWIRE_H
#define TESTS_FAULTWIRE_H

#include <stdbool.h>
#include <stdint.h>

#define WIRE_FRAME 1664u
#define WIRE_FRAMES 4096u

struct wire_faults {
    unsigned drop, duplicate, late, corrupt; /* of a thousand */
    unsigned whole; /* a bit for each receiver that is sent nothing damaged: two damages hide each other from a sum */
    uint32_t delay_us; /* one way; who is late takes up to eight times as long */
};
struct wire_frame {
    uint64_t due_us, number; /* frames that are due at once: in the order that they were sent in */
    unsigned to;             /* the caller's name of who receives it */
    uint32_t size;
    uint8_t bytes[WIRE_FRAME];
};
struct wire {
    struct wire_faults faults;
    uint64_t random, number;
    unsigned n;
    uint64_t dropped, duplicated, corrupted;
    struct wire_frame *frames[WIRE_FRAMES];
};

void wire_init(struct wire *wire, const struct wire_faults *faults, uint64_t seed);
void wire_clear(struct wire *wire);
void wire_send(struct wire *wire, unsigned to, const uint8_t *bytes, uint32_t size, uint64_t now_us);
uint64_t wire_next_us(const struct wire *wire); /* UINT64_MAX: nothing is on its way */
/* What is due; g_free. NULL: nothing. */
struct wire_frame *wire_take(struct wire *wire, uint64_t now_us);
/* 0 to below - 1. */
uint32_t wire_random(struct wire *wire, uint32_t below);

#endif
