/* site.h: for tests of the interlocking: worlds made of the sites that ship, and golden texts.
 *
 * A test that can't load its site aborts with the reason.
 */
#ifndef TESTS_UNIT_SITE_H
#define TESTS_UNIT_SITE_H

#include "server/interlocking/observe.h"
#include "server/interlocking/resolve.h"

/* tests/lab/sites/NAME.yaml */
struct inventory *site_inventory(const char *name);
/* two-rooms with interfaces: of home `search` (GET /search, a quarter of home), `cart` (/cart at home.example.test, a
 * tenth), `cart-pay` (POST /cart/pay) and `help` (/help), whose shares are not known; of creator `draft` (/draft). */
struct inventory *site_with_interfaces(void);
/* The same objects, put in another order. */
struct inventory *site_shuffled(const struct inventory *inv, unsigned seed);

/* World of generation 10 + number of levers. levers: NULL-terminated "room.ingress/room-a=closed", optionally followed
 * by " by ACTOR" and " in EXECUTION"; the n-th has revision 10 + n. "!" in front
 * of one: not validated, as a lever that an inventory has left behind. */
struct world *site_world(struct inventory *inv, const char *const *levers);
#define SITE_WORLD(inv, ...) site_world(inv, (const char *const[]){__VA_ARGS__, NULL})

/* A fresh report of an edge at `now_us` for the generation; rows: NULL-terminated
 * "counter POLICY ROOM VIA REQUESTS FAILED RATE FAIL_RATE", "origin ROOM VIA up|down STATUS", "probe POLICY ROOM",
 * "hold ROOM HOME", "size POLICY REQUEST ANSWER" (bytes); "-" is the empty text. */
void site_report(struct observed *observed, const char *edge, uint64_t generation, int64_t now_us,
                 const char *const *rows);
#define SITE_REPORT(observed, edge, generation, now_us, ...)                                                           \
    site_report(observed, edge, generation, now_us, (const char *const[]){__VA_ARGS__, NULL})

/* All parts, records and findings, as one text; g_free. */
char *site_dump(const struct resolved *resolved);

/* Fails the test unless tests/cases/NAME holds this text. With UPDATE=1 in the environment, writes it instead. */
void golden_check(const char *name, const char *text);

#endif
