/* relay.h: a relay of DNS over UDP and TCP before one server, that can freeze the server at the very moment when it is
 * about to get a message over TCP. So a test decides when an answer is lost.
 */
#ifndef TESTS_UNIT_RELAY_H
#define TESTS_UNIT_RELAY_H

#include "tests/unit/dnsd.h"

struct relay;
struct relay *relay_new(struct dnsd *server); /* with a thread of its own */
void relay_free(struct relay *relay);
const struct endpoint *relay_endpoint(const struct relay *relay);
/* Before the next bytes from a client over TCP are passed on, the server gets SIGSTOP. */
void relay_arm(struct relay *relay);

#endif
