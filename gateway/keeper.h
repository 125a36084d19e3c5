/* keeper.h: a child of the agent that tells BIRD when the agent dies without a word.
 *
 * A gateway that nobody looks after goes on forwarding, but nobody sees what becomes of it: where another gateway can
 * take its addresses it should; where none can, it should go on. So the keeper takes back what is announced as it
 * should be, `disable "vip_*"`, and leaves the last resort (bird.h) as it is.
 *
 *   the agent ends in order: it dismisses its keeper, which ends; BIRD goes on as it was told
 *   the agent dies (kill -9, a crash, its watchdog): the keeper reads the end of its pipe, tells BIRD, and ends
 *   the next agent waits until the keeper before has ended, so that its own words are the last, and announces as it
 *       should be again when it is sure of it (announcer.h); where BIRD hangs meanwhile, its repetition is the last
 *   the keeper dies: the agent starts another one
 *
 * The keeper is the sign of an agent, too: it holds a lock (flock(2)) on the agent's folder, and an agent that does not
 * get it within KEEPER_WAIT_US is a second one, or the keeper before hangs, which has at most KEEPER_S. It has a
 * session of its own and ignores what ends agents (SIGTERM, the watchdog's SIGABRT): a service manager that ends all
 * processes of a unit does not end it before it has spoken. It has no threads, allocates nothing, and uses no GLib.
 *
 * Thread safety: belongs to its loop's thread.
 */
#ifndef GATEWAY_KEEPER_H
#define GATEWAY_KEEPER_H

#include "core/loop.h"

#define KEEPER_WAIT_US 3000000
#define KEEPER_S 2              /* for all that it says to BIRD; then it ends */
#define KEEPER_AGAIN_US 1000000 /* until another one is started */

struct keeper;
/* folder: of the agent's state, which is there; bird_path: of BIRD's control socket. Both copied. Blocks as long as the
 * keeper of an agent before is there. NULL: SB_ERROR_CONFLICT, it is there for too long; IO. */
struct keeper *keeper_new(struct loop *loop, const char *folder, const char *bird_path, GError **error);
/* The agent ends in order. */
void keeper_dismiss(struct keeper *keeper);
/* Without keeper_dismiss before it: the agent ends in disorder. NULL: nothing. */
void keeper_free(struct keeper *keeper);
SB_AUTO_DEFINE(keeper, keeper_free)

#endif
