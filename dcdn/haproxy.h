/* haproxy.h: brings a running HAProxy to a table and keeps it there: files, runtime commands, read-back.
 *
 *   apply:  check -> files -> read -> [reload, only when the configuration's text differs] -> commands -> read back
 *           and compare -> applied. A difference is worked on again, three times; then the apply has failed.
 *   watch:  every 200 ms, is it the same process, are rooms to be held away (hold.h), is what waits for one given up
 *           (giveup.h); every 2 s, does it still have what it was given.
 *
 * HAProxy runs under the system's service manager, in master-worker mode; this neither starts nor ends it. A socket
 * that hangs costs HAPROXY_TIMEOUT_US and never blocks the loop.
 *
 * Thread safety: belongs to its loop's thread.
 */
#ifndef DCDN_HAPROXY_H
#define DCDN_HAPROXY_H

#include "core/loop.h"
#include "dcdn/render.h"
#include <jansson.h>

#define HAPROXY_TIMEOUT_US 1000000
#define HAPROXY_RELOAD_US 5000000 /* from the request to the new process */
#define HAPROXY_WATCH_US 200000
#define HAPROXY_AUDIT_US 2000000

struct haproxy_callbacks {
    void *data;
    void (*applied)(void *data);
    void (*failed)(void *data, const char *why);
    /* A new process, someone else's change, or no answer any more: wants an apply. */
    void (*restarted)(void *data, const char *what);
    /* Something that people should know; not during an apply. */
    void (*noted)(void *data, const char *text);
    /* Each watch, while all is well: what it says of be_health, as origins_from_stat (counters.h) takes it. */
    void (*checked)(void *data, const char *stat);
};

struct haproxy;
struct haproxy *haproxy_new(struct loop *loop, const struct edge_settings *settings,
                            const struct haproxy_callbacks *callbacks);
void haproxy_free(struct haproxy *haproxy);
SB_AUTO_DEFINE(haproxy, haproxy_free)

/* Ends with applied or failed, perhaps before it returns. Takes the state, in any case. Not while one is under way. */
void haproxy_apply(struct haproxy *haproxy, struct edge_state *state);
/* The state of the last apply, or NULL. */
const struct edge_state *haproxy_state(const struct haproxy *haproxy);
/* Process that was last seen; 0: none. */
int64_t haproxy_pid(const struct haproxy *haproxy);
/* "holds" of a report; new reference. */
json_t *haproxy_holds(const struct haproxy *haproxy);
int64_t haproxy_uptime_s(const struct haproxy *haproxy);

#endif
