/* etcdd.h: real etcd on loopback for tests, one member or several, each in a folder and on ports of its own. They end
 * with the test's process, however it ends.
 */
#ifndef TESTS_UNIT_ETCDD_H
#define TESTS_UNIT_ETCDD_H

#include <sys/types.h>

#include "schema/addr.h"

#define ETCDD_MEMBERS_MAX 3

struct etcdd {
    pid_t pid;
    char *folder, *name, *cluster;
    char *
        tls; /* NULL: plain HTTP; else of TLS.ca.pem, TLS.cert.pem, TLS.key.pem, its own and what it asks clients for */
    struct endpoint endpoint, peer;
};
/* Starts a cluster of n members and waits until each answers. root: folder for all. */
void etcdd_start(const char *root, unsigned n, struct etcdd *members[]);
void etcdd_start_tls(const char *root, const char *tls, unsigned n, struct etcdd *members[]);
void etcdd_run(struct etcdd *member); /* starts one that was killed, and waits */
void etcdd_kill(struct etcdd *member);
void etcdd_signal(struct etcdd *member, int signal);
void etcdd_forget(struct etcdd *member); /* the data of one that was killed are lost */
void etcdd_free(struct etcdd *members[], unsigned n);

/* Answer of POST; NULL: none, or another status than 200. g_free. */
char *etcdd_post(const struct etcdd *member, const char *path, const char *body);
char *etcdd_get(const struct etcdd *member, const char *key); /* value, NULL: there is none; g_free */
void etcdd_put(const struct etcdd *member, const char *key, const char *value);
void etcdd_delete(const struct etcdd *member, const char *key);
int64_t etcdd_revision(const struct etcdd *member);
void etcdd_compact(const struct etcdd *member); /* all old revisions are forgotten */

#endif
