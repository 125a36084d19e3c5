/* gunzip.h: gzip that may have been cut off.
 *
 * Thread safety: pure function.
 */
#ifndef CORE_GUNZIP_H
#define CORE_GUNZIP_H

#include <glib.h>
#include <stdbool.h>

/* Appends what `bytes` hold, at most `max` bytes, to `out`. *whole: they had gzip's end; without it, `out` has what
 * came before. SB_ERROR_INVALID if it is no gzip, or damaged; TOO_LARGE above `max`; `out` is not to be used then. */
bool gunzip(const void *bytes, size_t size, size_t max, GString *out, bool *whole, GError **error);

#endif
