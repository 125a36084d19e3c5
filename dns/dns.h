/* dns.h: the DNS driver: desired records of a zone -> RFC 2136 updates at its primaries -> read-back at every server.
 *
 * One driver per name server, each with its own thread, so that a dead primary delays nobody. Level-triggered: it is
 * given the desired records of a generation and works until the server shows them; a newer generation replaces an
 * older one at once.
 *
 * Fence: the TXT record _signalbox.ZONE of each primary holds "EPOCH GENERATION". Every update has as prerequisite
 * (RFC 2136 2.4.2) the value that was read before, and sets the new one, so an older writer loses at the server, and
 * of two writers one wins. A claim of an epoch is such an update without other changes.
 * Nothing becomes empty: a set without records, or one that would leave a name without any, is refused here again.
 * A change or removal of a large share of the names that the zone shows is refused (zone_guard_stops in schema/table.h)
 * unless the records say that it is allowed; a first fill, and what puts a proven state right again, are free.
 * Success is read-back of every changed name (c-ares, RD=0), never NOERROR alone: servers ignore some updates silently
 * (RFC 2136 3.4.2.2). Secondaries get a NOTIFY from the driver and are read back as well.
 *
 * Thread safety: all functions may be called from any thread. The report callback runs on the driver's thread.
 */
#ifndef DNS_DNS_H
#define DNS_DNS_H

#include "schema/addr.h"
#include "schema/table.h"

struct dns_server_config {
    char *name; /* of the nameserver object */
    char *zone;
    struct endpoint address;
    bool primary;
    char *key_name;   /* TSIG */
    char *key_secret; /* base64; hmac-sha256 */
    /* Secondaries of a primary, that get its NOTIFY. */
    struct endpoint *notify;
    unsigned n_notify;
};
struct dns_status {
    struct stamp confirmed;    /* every record of it was read back */
    const char *state;         /* "converged", "updating", "unreachable", "unknown", "conflict", "refused" */
    const char *error;         /* or NULL */
    unsigned names;            /* RRsets that the last change touched */
    int64_t residual_until_us; /* loop_now_us clock */
};
typedef void (*dns_report_fn)(void *data, const char *server, const struct dns_status *status);

struct dns_driver;
/* Starts the driver's thread; the config is copied. */
struct dns_driver *dns_driver_new(const struct dns_server_config *config, dns_report_fn report, void *data,
                                  GError **error);
void dns_driver_free(struct dns_driver *driver); /* ends and joins the thread; not from the report callback */
/* Desired state from now on; records are copied. Secondaries are given it, too. A stamp that is not newer than the last
 * is ignored. The zone's records that it does not name are left alone, but names
 * that an earlier desired state had and this one has not are removed after the additions were read back. */
void dns_driver_set(struct dns_driver *driver, struct stamp stamp, const struct zone_records *records);

#endif
