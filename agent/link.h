/* link.h: the agent's side of agent/protocol.h: long-polls, parts and reports, to every server of a list, on a loop.
 *
 * Every report is answered or not, and that is an event too: so a dead server is noticed in seconds and not when the
 * long-poll's time is over, and a server with a newer table in one second.
 *
 * Thread safety: belongs to its loop's thread.
 */
#ifndef AGENT_LINK_H
#define AGENT_LINK_H

#include "agent/agent.h"
#include "core/auto.h"
#include "core/httpc.h"

#define LINK_SERVERS_MAX AGENT_SERVERS_MAX

struct link_config {
    const char *edge;
    const char *const *servers;       /* base URLs, NULL-terminated */
    const char *ca_file;              /* or NULL */
    const char *cert_file, *key_file; /* the agent's own certificate and its key, PEM; or NULL */
    const char *token;                /* or NULL */
};
struct link_callbacks {
    void *data;
    /* Outcome of a poll, a fetch or a report, as the state machine takes it; gone after the call. */
    void (*event)(void *data, const struct agent_event *event);
    /* Body of a report, with the events after event `seen`; *newest: the newest one in it. New reference. */
    json_t *(*report)(void *data, uint64_t seen, uint64_t *newest);
};

struct link;
/* Strings are copied. SB_ERROR_INVALID for a URL that is not http:// or https://, or too many. */
struct link *link_new(struct loop *loop, const struct link_config *config, const struct link_callbacks *callbacks,
                      GError **error);
void link_free(struct link *link);
SB_AUTO_DEFINE(link, link_free)

unsigned link_servers(const struct link *link);
/* Ends the poll and the fetches under way, without events. */
void link_poll(struct link *link, unsigned server, struct stamp have);
void link_fetch(struct link *link, unsigned server, const char *hash);
/* To every server; one that has not answered the last report gets the newest one when it does. */
void link_report(struct link *link);
/* [{"url","reported_us_ago"|null,"newest":{"epoch","generation"},"asked","error"|null}] for the local socket; new
 * reference. */
json_t *link_status(const struct link *link);

#endif
