/* incident_fetch.h: what the server's black box holds of a time.
 *
 * Thread safety: one thread.
 */
#ifndef CLI_INCIDENT_FETCH_H
#define CLI_INCIDENT_FETCH_H

#include "server/cli/cli.h"

/* The files that have something of from_us..to_us (wall clock, µs), one behind the other, as text. *recording is NULL
 * when there are none of that time. Returns the exit code; errors are printed. */
int incident_fetch(struct cli *cli, int64_t from_us, int64_t to_us, GString **recording);

#endif
