/* lab_store.h: a real Postgres at the control site, for `lab --store postgres up`: process `postgres` of node control,
 * as user nobody because Postgres refuses root. Data in RUN/postgres; it listens on the node's loopback.
 */
#ifndef LAB_STORE_H
#define LAB_STORE_H

#include "tests/lab/lab.h"

#define LAB_STORE_URL "postgresql://nobody@127.0.0.1:5432/postgres"

/* A step of lab_up, which does nothing unless the lab is to have one; it need not answer yet when this returns. */
bool store_start(const struct lab *lab, GError **error);

#endif
