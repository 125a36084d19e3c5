/* history.h: the world of an old generation, from the server's journal, resolved here.
 *
 * Thread safety: one thread.
 */
#ifndef CLI_HISTORY_H
#define CLI_HISTORY_H

#include "server/cli/cli.h"
#include "server/interlocking/engine.h"

struct history {
    struct engine *engine; /* as a server that reads: its world is that of the generation; history_clear */
    uint64_t generation;
    int64_t at_us, next_us; /* wall clock: when it was committed, and the one after it; 0: there is none */
    json_t *audit;          /* since generation `after`, or NULL */
};
/* generation 0: the one in force at at_us. after 0: no audit. Returns the exit code; errors are printed. */
int history_fetch(struct cli *cli, uint64_t generation, int64_t at_us, uint64_t after, struct history *out);
void history_clear(struct history *history);

#endif
