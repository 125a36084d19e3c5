/* figures.h: samples to figures, alike in all benches.
 *
 * Thread safety: pure functions.
 */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <jansson.h>
#include <stddef.h>

struct figures {
    double min, p50, p95, max; /* ms */
};
/* Nearest rank; sorts. */
double figures_percentile(double *samples, size_t n, unsigned percent);
/* Of microseconds; sorts them. */
struct figures figures_of(double *samples_us, size_t n);
json_t *figures_json(const struct figures *figures);
/* "NAME min 1.00  p50 ... ms", without a newline. */
void figures_print(const char *name, const struct figures *figures);

#endif
