/* relay.h: a relay of DNS over UDP and TCP before one server, that looks at each update on its way and may do harm to
 * one of them. So a test decides when an answer is lost, and which of several updates fails.
 */
#ifndef TESTS_UNIT_RELAY_H
#define TESTS_UNIT_RELAY_H

#include "tests/unit/dnsd.h"

struct relay;
struct relay *relay_new(struct dnsd *server); /* with a thread of its own */
void relay_free(struct relay *relay);
const struct endpoint *relay_endpoint(const struct relay *relay);

/* What becomes of an update. */
enum harm {
    HARM_FREEZE, /* the server gets SIGSTOP, then the update */
    HARM_RCODE,  /* the server never gets it nor those behind it: answered with `rcode` in its place, unsigned */
    HARM_CUT,    /* the server gets half of it, then both connections are reset */
    HARM_DEAF,   /* the server gets it, its answer is lost with both connections */
    HARM_CALL,   /* `call` runs, on the relay's thread, before the update is passed on */
    HARM_BEHIND, /* the same, before the server's answer is passed back */
};
struct relay_harm {
    enum harm what;
    unsigned nth; /* of the updates from now on, 1: the next */
    uint8_t rcode;
    void (*call)(void *data);
    void *data;
};
void relay_arm(struct relay *relay, struct relay_harm harm);
void relay_calm(struct relay *relay); /* no harm any more */

/* Updates that the server was given whole, and the largest one's size in bytes, of all time. */
unsigned relay_updates(const struct relay *relay);
unsigned relay_largest(const struct relay *relay);

#endif
