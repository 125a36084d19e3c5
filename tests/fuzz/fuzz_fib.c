/* What a forwarder is told over its socket: a table of dp_api.h. The first byte says whether the header's beginning is
 * to be made right, so that what is behind it is read. One that is taken and may follow is put in force, and has frames
 * to look up. */
#include "tests/fuzz/fuzz.h"

#include "dataplane/fib.h"

#include <string.h>

#define PORTS 3u

static void look_up(const struct fib *table)
{
    for (uint32_t i = 0; i < table->services.n; i++) {
        const struct nat_service *s = &table->services.services[i];
        struct endpoint_key at = endpoint_of(s->address, s->family, s->port, s->proto);
        uint32_t found = endpoint_find(&table->services.index, &at);
        FUZZ_EXPECT(found < table->services.n);
        for (uint32_t k = 0; k < s->n_pick; k++) {
            const struct nat_backend *b = &s->backends[s->pick[k]];
            FUZZ_EXPECT(b->slot < DP_BACKENDS && b->adjacency < DP_ADJACENCIES + DP_GROUPS);
            (void)table->mtu[b->adjacency];
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fib *before;
    char reason[FIB_REASON] = "";
    if (size < 1 || size > 1 << 17)
        return 0;
    bool right = data[0] & 1;
    uint8_t *message = malloc(size); /* as long as it is, so that what reads on is found */
    FUZZ_EXPECT(message != NULL);
    memcpy(message, data + 1, size - 1);
    if (right && size > sizeof(struct dp_header)) {
        struct dp_header header;
        memcpy(&header, message, sizeof header);
        header.magic = DP_MAGIC;
        header.version = DP_VERSION;
        header.size = (uint32_t)size - 1;
        memcpy(message, &header, sizeof header);
    }
    struct fib *table = fib_new(message, size - 1, PORTS, reason);
    free(message);
    FUZZ_EXPECT((table == NULL) == (reason[0] != '\0'));
    if (table == NULL)
        return 0;
    look_up(table);
    if (before != NULL && !fib_may_follow(table, before, reason)) {
        FUZZ_EXPECT(reason[0] != '\0');
        fib_free(table);
        return 0;
    }
    fib_free(before);
    before = table;
    return 0;
}
