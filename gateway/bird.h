/* bird.h: BIRD's control socket: announces addresses, or takes them back, and reads that it is so.
 *
 * An address is announced by two protocols of its own in BIRD's configuration (static ones, exported by BGP):
 *
 *   vip_NAME        as it should be
 *   last_vip_NAME   the last resort: the same route, less preferred by BIRD itself, and by a longer AS path by
 * everybody else. It is what is left when an agent dies without a word (keeper.h): who still goes by it is served as
 * before, and nobody does who can go to a gateway that is looked after.
 *
 * Both begin `disabled`: a BIRD that has just started announces nothing before somebody says so. An order enables or
 * disables both, in one go, so that nobody hears of a last resort that is none; then their states are read, again as
 * long as they are on their way: "up" or "down" as wanted is success, what BIRD merely took note of is not.
 * BIRD's protocol: lines with a code of four digits, `-` behind it when more follow, ` ` in the last
 * one; a line that begins with a space goes on with the code before; 8xxx and 9xxx are errors (BIRD 2.0,
 * doc/reply_codes).
 *
 * Orders are carried out one after the other, each by a connection of its own; nothing blocks. Doing one again changes
 * nothing, so a caller that wants to be sure, whatever happens to BIRD, orders again and again.
 *
 * Thread safety: belongs to its loop's thread.
 */
#ifndef GATEWAY_BIRD_H
#define GATEWAY_BIRD_H

#include "core/loop.h"

#include <string.h>

struct bird;
/* error: NULL, it is so; else SB_ERROR_UNREACHABLE, nobody listens, or not to the end; TIMEOUT; IO, BIRD's own words,
 * or the state that it is in instead. */
typedef void (*bird_fn)(void *data, const GError *error);

/* path: of the socket; copied. timeout_us: of one order. */
struct bird *bird_new(struct loop *loop, const char *path, int64_t timeout_us);
/* Orders that are not carried out end without their callbacks; not from within one. NULL: nothing. */
void bird_free(struct bird *bird);
SB_AUTO_DEFINE(bird, bird_free)

#define BIRD_NORMAL "vip_" /* what names of protocols begin with; those of last resort with both */
#define BIRD_LAST "last_"

/* Is it a name that BIRD takes as such (letters, digits, _), as one of an address, with that of its last resort? */
static inline bool bird_name_good(const char *protocol)
{
    bool good = g_str_has_prefix(protocol, BIRD_NORMAL);
    for (const char *c = protocol; good && *c != '\0'; c++)
        good = g_ascii_isalnum(*c) || *c == '_';
    return good && strlen(BIRD_LAST) + strlen(protocol) < 64;
}
/* fn is called once, not before this has returned. protocol: a good name, the normal one; copied. */
void bird_order(struct bird *bird, const char *protocol, bool announce, bird_fn fn, void *data);
/* Orders that are not carried out yet. */
unsigned bird_pending(const struct bird *bird);

#endif
