/* fuzz_site.h: an engine with the two-rooms site and the plans that ship, for fuzzers of what it is told.
 *
 * One thread. The engine is made anew every some thousand inputs, so that none of them grows for ever.
 */
#ifndef TESTS_FUZZ_SITE_H
#define TESTS_FUZZ_SITE_H

#include "server/interlocking/engine.h"

struct engine *fuzz_site_engine(void);
struct now fuzz_site_now(void); /* a bit later each time */
uint64_t fuzz_site_generation(const struct engine *engine);
/* Takes the effects of a call as the daemon would; returns how many there were. */
unsigned fuzz_site_carry_out(struct effects *effects);

#endif
