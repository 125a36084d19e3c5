/* sitestage.h: all of the two-rooms site but HAProxy, on loopback: the signalboxd `served` of served_case.h, three Knot
 * servers, four agents that write down what they are given (edgecrew.h). Failures end the test.
 */
#ifndef TESTS_SITESTAGE_H
#define TESTS_SITESTAGE_H

#include "tests/unit/edgecrew.h"
#include "tests/unit/dnsd.h"
#include "tests/unit/served_case.h"

#include <check.h>

#define SITE_SERVERS 3

struct site_stage {
    struct dnsd *ns[SITE_SERVERS]; /* ns-1, ns-2: primaries; ns-3 copies from ns-2 */
    struct crew crew;
    char *keys_flag; /* "--keys=DIR", for every start of a server */
};
/* Name servers and keys, in the folder of `served`, which is new and not started. */
void site_prepare(struct site_stage *stage);
/* With `served` running: applies the site and plans (YAML, or NULL), and starts the agents, of one or more control
 * servers (base URLs, NULL-terminated). */
void site_populate(struct site_stage *stage, const char *plans, const char *const *servers);
void site_end(struct site_stage *stage); /* `served` goes on */

/* unit_run in `n` processes side by side, a site each, because a site waits more than it works; in each of them `share`
 * is another number below n. Returns what main is to: n in `share` when it is the process that was called. */
int site_run_beside(const char *name, void (*add)(TCase *tcase), unsigned n, unsigned *share);

/* Waits until every edge and name server shows the newest generation. */
void site_await_rest(void);
/* Addresses that a name server answers for each group's name, a line each; g_free. */
char *site_records(const struct site_stage *stage, unsigned server);
/* Levers that are off their defaults, "group.edge_class/creator dedicated", a line each; g_free. */
char *site_levers(void);

#endif
