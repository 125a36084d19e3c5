/* lab_lock.h: a lab is brought up and down by one process at a time, and while the process that it is for runs (the
 * demo, a replay, a run of tests), by that process and its children only.
 *
 * The lock is a listening socket with an abstract name: it goes with its process, leaves no file behind, and tells the
 * holder's pid to whoever finds it taken. The owner is in RUN/owner.
 */
#ifndef LAB_LOCK_H
#define LAB_LOCK_H

#include "tests/lab/lab.h"

/* Takes the lock of RUN for lab_unlock; -1 and SB_ERROR_CONFLICT, naming the process in the way, when another holds it
 * for longer than a moment or the lab's owner lives and is no ancestor of ours. */
int lab_lock(const struct lab *lab, GError **error);
void lab_unlock(int lock); /* -1: nothing */

/* Writes RUN/owner when lab->owner is set. */
bool lab_owner_write(const struct lab *lab, GError **error);

#endif
