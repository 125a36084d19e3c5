#include "tests/bench/figures.h"

#include <stdio.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double figures_percentile(double *samples, size_t n, unsigned percent)
{
    qsort(samples, n, sizeof *samples, compare);
    size_t rank = (n * percent + 99) / 100 - (percent > 0);
    return samples[rank < n ? rank : n - 1];
}

struct figures figures_of(double *samples_us, size_t n)
{
    return (struct figures){figures_percentile(samples_us, n, 0) / 1e3, figures_percentile(samples_us, n, 50) / 1e3,
                            figures_percentile(samples_us, n, 95) / 1e3, figures_percentile(samples_us, n, 100) / 1e3};
}

json_t *figures_json(const struct figures *f)
{
    return json_pack("{s:f, s:f, s:f, s:f}", "min_ms", f->min, "p50_ms", f->p50, "p95_ms", f->p95, "max_ms", f->max);
}

void figures_print(const char *name, const struct figures *f)
{
    printf("  %s min %.2f  p50 %.2f  p95 %.2f  max %.2f ms", name, f->min, f->p50, f->p95, f->max);
}
