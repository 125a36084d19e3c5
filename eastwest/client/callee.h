/* callee.h: an example of a client: whom a service calls inside the site, as signalbox publishes it in etcd.
 *
 * Take it as it is or as a model; it needs GLib, jansson and libcurl only, and nothing of this tree:
 *   cc -std=c17 -D_GNU_SOURCE -pthread callee*.c $(pkg-config --cflags --libs glib-2.0 jansson libcurl) -o callee
 *
 * It follows two things in one etcd: the row PREFIX/v1/service/NAME/CALLER, in which signalbox says which zones and
 * rooms are called and with what weights, and the instances INSTANCES/ROOM/ID = "ADDRESS:PORT", which services register
 * themselves, under leases. Its rules:
 *   - Weight 0 gets nobody. A zone without instances gives its share to the others of the row; when none has any,
 *     nobody is called: never a zone that the row does not name.
 *   - What cannot be read (etcd is away, the row is gone, or is no row) changes nothing: the last good row counts,
 * however old, and is on disk for a cold start. An empty row can be read, and means that nobody may be called.
 *   - When more than half of a room's instances vanish within CALLEE_MASS_S, it is their heartbeats that are lost, not
 *     they: all of them are called on, until half are back or for CALLEE_PROTECT_S. A dead one costs one connect, an
 *     empty list costs the service.
 *   - It looks (one linearizable read), then watches from the next revision on; after any doubt it looks again. So
 *     no change is lost between two connections, nor where etcd has compacted.
 *
 * Thread safety: any thread. It has one of its own; callee_pick never waits for the network.
 */
#ifndef CLIENT_CALLEE_H
#define CLIENT_CALLEE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define CALLEE_MASS_S 60
#define CALLEE_PROTECT_S 3600
#define CALLEE_LOOK_MS 1000 /* a member that has not answered by then is passed over */
#define CALLEE_WATCH_S 10   /* then it looks again: a member that has fallen silent is believed no longer */

struct callee_config {
    const char *members;         /* of etcd, a comma between: "http://192.0.2.1:2379,http://192.0.2.2:2379" */
    const char *prefix;          /* of the registry object; "/signalbox" when it has none */
    const char *what;            /* "service/home" or "interface/home-feed" */
    const char *caller;          /* zone that this process is in */
    const char *instances;       /* prefix of their keys: "/instances/home" */
    const char *cache;           /* file, or NULL: no cold start without etcd */
    const char *ca, *cert, *key; /* PEM files for https, or NULL */
};
struct callee;
/* Starts its thread; the config is copied. What the cache holds counts at once. NULL: no members, or no
 * thread to be had. */
struct callee *callee_new(const struct callee_config *config, GError **error);
void callee_free(struct callee *callee);

/* Waits until there is a row, from etcd or from the cache; false: not in time. */
bool callee_wait(struct callee *callee, unsigned timeout_ms);
/* Whom to call now: an address, and its zone (or NULL); both g_free. NULL: nobody. roll: any number, other ones give
 * other instances; the same user's number keeps to one while nothing changes. */
char *callee_pick(struct callee *callee, uint64_t roll, char **zone);

struct callee_state {
    int64_t age_us; /* since etcd has last answered, or since the cache was written; -1: nothing is known at all */
    bool watching;  /* and changes are heard as they happen */
    bool protected; /* instances that have vanished are called on */
    uint64_t looks; /* since the start */
    char *error;    /* what was last refused or could not be had, while it is so; NULL; g_free */
};
void callee_state(struct callee *callee, struct callee_state *out);

#endif
