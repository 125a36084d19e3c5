/* dnsd.h: real name servers on loopback for tests, each in a folder and on a port of its own. They end with the test's
 * process, however it ends. The environment DNSD_KIND says whose: knot (the default) or bind.
 */
#ifndef TESTS_UNIT_DNSD_H
#define TESTS_UNIT_DNSD_H

#include <sys/types.h>
#include "dns/dns.h"

#define DNSD_ZONE "example.test"
#define DNSD_KEY "signalbox"
#define DNSD_SECRET "Zm9yIHRlc3RzIG9ubHksIDMyIGJ5dGVzIG9mIGtleSEh"
#define DNSD_OTHER_SECRET "d3Jvbmcgd3Jvbmcgd3Jvbmc="
#define DNSD_TYPES "A, AAAA, CNAME, TXT"

struct dnsd {
    pid_t pid;
    char *folder;
    struct endpoint endpoint, control; /* control: BIND's rndc */
    uint16_t primary_port;             /* 0: it is a primary */
    /* From the next start on. */
    const char *types;  /* record types that its access list allows, e.g. "A, AAAA, CNAME, TXT" */
    const char *secret; /* of its key */
    bool deaf;          /* a secondary that takes nobody's NOTIFY; Knot only: BIND always takes its primary's */
    bool skewed;        /* dnsd_set_clock */
};

bool dnsd_is_bind(void);

/* Starts a server and waits until it serves the zone (a secondary: transferred). root: folder for all. The zone holds,
 * from another hand, hand.example.test A 192.0.2.250. */
struct dnsd *dnsd_start(const char *root, const char *name, const struct dnsd *primary, const char *types);
/* Only makes its folder and picks its port: for what is to be changed before it starts, and for servers that are not
 * up. */
struct dnsd *dnsd_prepare(const char *root, const char *name, const struct dnsd *primary, const char *types);
void dnsd_run(struct dnsd *server); /* starts what was prepared, or what was killed */
/* The server's clock is later than ours by this. First before its start, then at any time. */
void dnsd_set_clock(struct dnsd *server, int skew_s);
void dnsd_signal(struct dnsd *server, int signal);
void dnsd_kill(struct dnsd *server);   /* SIGKILL and reap */
void dnsd_forget(struct dnsd *server); /* a primary that was killed comes back with the zone it began with */
/* Freezes a primary's zone as its own tool does, or thaws it. */
void dnsd_freeze_zone(const struct dnsd *server, bool frozen);
void dnsd_free(struct dnsd *server);

/* A port of 127.0.0.1 that neither TCP nor UDP uses. */
struct endpoint dnsd_free_port(void);

/* Texts of the set at a server, sorted, joined by a space; "" when there is none; "?" when it does not answer. g_free.
 */
char *dnsd_ask(const struct endpoint *server, const char *owner, uint16_t type);
unsigned dnsd_serial(const struct endpoint *server);

#endif
