/* fibcheck.h: does a forwarder take a message? For tests whose other headers do not go with dataplane/'s. */
#ifndef TESTS_UNIT_FIBCHECK_H
#define TESTS_UNIT_FIBCHECK_H

#include <stddef.h>

/* NULL: it does; else why not, good until the next call. */
const char *fib_refusal(const void *message, size_t size, unsigned n_ports);

#endif
