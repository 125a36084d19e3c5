/* ctl.h: `signalbox-edge ctl`: a person at the agent's local socket, for when no server can help (agent/breakglass.h).
 *
 * Thread safety: one thread; blocks, for CTL_TIMEOUT_S at most.
 */
#ifndef DCDN_CTL_H
#define DCDN_CTL_H

#define CTL_TIMEOUT_S 5

/* argv[0] is "ctl". Exit code: 0 done, 1 refused or failed, 2 usage, 6 nobody answers at the socket. */
int ctl_main(int argc, char **argv);

#endif
