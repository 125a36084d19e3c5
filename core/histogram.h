/* histogram.h: how long something took, counted in buckets.
 *
 * Thread safety: any thread, without a lock; who reads while others add may see a sum and counts of moments apart.
 */
#ifndef CORE_HISTOGRAM_H
#define CORE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS 12

struct histogram {
    _Atomic uint64_t counts[HISTOGRAM_BUCKETS + 1]; /* of values up to each bound; the last: of larger ones */
    _Atomic uint64_t sum_us;
};
extern const int64_t histogram_bounds_us[HISTOGRAM_BUCKETS];

void histogram_add(struct histogram *histogram, int64_t us);

#endif
