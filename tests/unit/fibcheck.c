#include "tests/unit/fibcheck.h"

#include "dataplane/fib.h"

const char *fib_refusal(const void *message, size_t size, unsigned n_ports)
{
    static char reason[FIB_REASON];
    struct fib *fib = fib_new(message, size, n_ports, reason);
    if (fib == NULL)
        return reason;
    fib_free(fib);
    return NULL;
}
