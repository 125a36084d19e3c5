#include "dataplane/maglev.h"

#include "dataplane/flow.h"

#include <assert.h>

#define EMPTY UINT16_MAX

/* A backend's own order of entries. */
struct order {
    uint32_t next, skip;
    uint64_t credit; /* share of a turn that it has saved up, out of the highest weight */
};

uint32_t maglev_fill(uint16_t *pick, uint32_t size, const struct maglev_backend *backends, uint32_t n)
{
    struct order orders[MAGLEV_BACKENDS];
    uint32_t highest = 0, filled = 0;
    assert(n <= MAGLEV_BACKENDS);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t hash = flow_fold(backends[i].seed ^ 0xa0761d6478bd642fu, 0xe7037ed1a0b428dbu);
        orders[i] = (struct order){(uint32_t)(hash >> 32) % size, (uint32_t)hash % (size - 1) + 1, 0};
        highest = backends[i].weight > highest ? backends[i].weight : highest;
    }
    if (highest == 0)
        return 0;
    for (uint32_t e = 0; e < size; e++)
        pick[e] = EMPTY;
    for (uint32_t i = 0; filled < size; i = (i + 1) % n) {
        struct order *order = &orders[i];
        order->credit += backends[i].weight;
        if (order->credit < highest) /* every so many turns only */
            continue;
        order->credit -= highest;
        while (pick[order->next] != EMPTY)
            order->next = (order->next + order->skip) % size;
        pick[order->next] = (uint16_t)i;
        filled++;
    }
    return size;
}
