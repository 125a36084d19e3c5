/* knotd.h: real Knot servers on loopback for tests, each in a folder and on a port of its own. They end with the test's
 * process, however it ends.
 */
#ifndef TESTS_UNIT_KNOTD_H
#define TESTS_UNIT_KNOTD_H

#include <sys/types.h>
#include "dns/dns.h"

#define KNOTD_ZONE "example.test"
#define KNOTD_KEY "signalbox"
#define KNOTD_SECRET "Zm9yIHRlc3RzIG9ubHksIDMyIGJ5dGVzIG9mIGtleSEh"

struct knotd {
    pid_t pid;
    char *folder;
    struct endpoint endpoint;
    uint16_t primary_port; /* 0: it is a primary */
    const char *types;     /* record types that its access list allows, e.g. "A, AAAA, CNAME, TXT" */
};
#define KNOTD_TYPES "A, AAAA, CNAME, TXT"

/* Starts a server and waits until it serves the zone (a secondary: transferred). root: folder for all. The zone holds,
 * from another hand, hand.example.test A 192.0.2.250. */
struct knotd *knotd_start(const char *root, const char *name, const struct knotd *primary, const char *types);
/* Only writes its folder and picks its port: for a primary that must name its secondary, and for servers that are not
 * up. */
struct knotd *knotd_prepare(const char *root, const char *name, const struct knotd *primary, const char *types);
void knotd_allow(struct knotd *server, const char *types); /* what updates may hold, from its next start on */
void knotd_run(struct knotd *server);                      /* starts what was prepared, or what was killed */
void knotd_signal(struct knotd *server, int signal);
void knotd_kill(struct knotd *server); /* SIGKILL and reap */
void knotd_free(struct knotd *server);

/* A port of 127.0.0.1 that neither TCP nor UDP uses. */
struct endpoint knotd_free_port(void);

/* Texts of the set at a server, sorted, joined by a space; "" when there is none; "?" when it does not answer. g_free.
 */
char *knotd_ask(const struct endpoint *server, const char *owner, uint16_t type);
unsigned knotd_serial(const struct endpoint *server);

#endif
