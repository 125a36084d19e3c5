/* maglev.h: the table by which a service's backends are chosen: Maglev hashing (Eisenbud et al., NSDI 2016, 3.4) with
 * weights. A backend that comes or goes takes or leaves its own share and moves little else; every gateway that is
 * given the same backends makes the same table.
 *
 * A weight of 0 drains: no entry, so no new session; those that there are keep their backend.
 *
 * Pure, no allocation. Thread safety: none is needed, nothing is shared.
 */
#ifndef DATAPLANE_MAGLEV_H
#define DATAPLANE_MAGLEV_H

#include <stdint.h>

#define MAGLEV_BACKENDS 256u /* of one service */
#define MAGLEV_SIZE 4099u    /* entries of a table, a prime: shares are right within 1/16 of a backend's own */

struct maglev_backend {
    uint64_t seed;   /* of its name: the same at every gateway */
    uint32_t weight; /* relative; 0: drains */
};

/* Fills pick[] with indices of backends, each in proportion to its weight. Returns how many entries there are: size, or
 * 0 when nobody has a weight. size: a prime; n: at most MAGLEV_BACKENDS. */
uint32_t maglev_fill(uint16_t *pick, uint32_t size, const struct maglev_backend *backends, uint32_t n);

#endif
