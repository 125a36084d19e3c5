#include "core/histogram.h"

const int64_t histogram_bounds_us[HISTOGRAM_BUCKETS] = {100,   250,   500,    1000,   2500,    5000,
                                                        10000, 25000, 100000, 500000, 1000000, 5000000};

void histogram_add(struct histogram *histogram, int64_t us)
{
    unsigned i = 0;
    while (i < HISTOGRAM_BUCKETS && us > histogram_bounds_us[i])
        i++;
    atomic_fetch_add_explicit(&histogram->counts[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_us, (uint64_t)us, memory_order_relaxed);
}
