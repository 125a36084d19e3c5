/* postgresd.h: a real Postgres on loopback for tests, in a folder and on a port of its own, trusting everybody who
 * comes from there. It ends with the process that started it, however that ends: one for a whole program is started in
 * an unchecked fixture; a test that kills or pauses its own starts it itself. Run by root it takes the user nobody, as
 * Postgres refuses root.
 */
#ifndef TESTS_UNIT_POSTGRESD_H
#define TESTS_UNIT_POSTGRESD_H

#include <stdbool.h>

void postgresd_sync(void);  /* before the start: it waits for its disk, as one for people does; else it does not */
void postgresd_start(void); /* a new cluster; returns when it answers */
void postgresd_end(void);
void postgresd_follow(void); /* a standby of it that streams; returns when it answers */
/* URL of a new, empty database; of all servers, the standby first, when there is one; g_free */
char *postgresd_fresh(void);

void postgresd_run(void);         /* starts it again behind postgresd_kill */
void postgresd_kill(void);        /* all its processes at once and without a word to the disk; reaps */
void postgresd_fail_over(void);   /* the same, and its standby takes its place, here too */
void postgresd_pause(bool pause); /* SIGSTOP, or SIGCONT, to all its processes: they hold their connections */

#endif
