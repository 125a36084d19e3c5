/* lab_up.h: brings a lab up, step by step, each with its condition; takes it down, whatever state it is in. */
#ifndef LAB_UP_H
#define LAB_UP_H

#include "tests/lab/lab.h"

enum lab_extent {
    LAB_NETWORK,    /* namespaces, cables, routing, DNS */
    LAB_NO_CONTROL, /* and origins and edges' HAProxy */
    LAB_WHOLE,      /* and the control server and the edges' agents */
};

/* Ends what an earlier run left in RUN, then starts. On failure the lab is left as it is, to be looked at.
 * SB_ERROR_CONFLICT, with the pid, when the lab is somebody's who still runs (lab_lock.h). */
bool lab_up(struct lab *lab, const char *site, enum lab_extent extent, GError **error);

/* Idempotent; needs nothing but RUN. SB_ERROR_CONFLICT as above. */
bool lab_down(const struct lab *lab, GError **error);

#endif
