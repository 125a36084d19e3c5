/* driver_internal.h: what the driver's files share. driver.c: life, mail, turns. driver_look.c: what the server shows.
 * driver_write.c: updates, their proof, and what is said of a change that stopped half-way.
 *
 * Thread safety: but for mail, latest and the two eventfds all belongs to the driver's thread.
 */
#ifndef DNS_DRIVER_INTERNAL_H
#define DNS_DRIVER_INTERNAL_H

#include <pthread.h>

#include "dns/dns.h"
#include "schema/fence.h"
#include "dns/notify.h"
#include "dns/readback.h"
#include "dns/response.h"
#include "dns/update.h"

#define BACKOFF_FIRST_US 200000

struct dns_driver {
    struct dns_server_config config;
    knot_tsig_key_t key;
    dns_report_fn report;
    void *report_data;
    pthread_t thread;
    int wake_fd, stop_fd; /* eventfd: there is mail; end */

    pthread_mutex_t lock;      /* mail, latest, skipped_ttl */
    struct zone_records *mail; /* newest desired state that the thread has not taken */
    struct stamp mail_stamp, latest;
    uint32_t skipped_ttl; /* as replaced_ttl, of mail that was never taken */

    /* The thread's own. */
    struct readback *readback;
    struct notify *notify; /* NULL: nobody to tell. A primary tells its secondaries, a secondary that lags itself */
    struct stamp stamp;
    GPtrArray *expected;   /* NULL: nothing to do */
    bool proven;           /* it was seen whole once: to put it right again is no change */
    bool unguarded;        /* any share of the zone's names may change */
    bool settled;          /* expected was seen whole since it came */
    uint32_t replaced_ttl; /* s; longest of sets that were expected before, and may have been shown unseen */
    char *refusal;         /* why a newer desired state is not acted on; NULL: none. Nothing is done until the next */

    bool looked;       /* at every name, once */
    GHashTable *seen;  /* rrset_key -> struct rrset *: what the server last showed */
    GHashTable *doubt; /* keys of seen that must be read again */
    bool doubt_all;
    char *known; /* sentinel that `seen` goes with: of the last look, or of our update since; or NULL */
    uint32_t serial, read_serial; /* of the zone: at the last look; before every name was last read */
    int64_t read_us;              /* when that was */
    uint32_t negative_ttl;        /* s; RFC 2308 5: how long resolvers keep "there is none" */

    GPtrArray *change; /* what differed when the first of several updates was planned, in their order; or NULL */
    char *outstanding; /* text of the sentinel that an update without an answer would have set; or NULL */
    bool missed;       /* it was not there at the first look after */
    bool notify_due;   /* secondaries were not told of this generation yet */
    bool beaten;       /* a prerequisite failed since the desired state came */
    int tcp_fd;        /* connection of this turn, or -1 */
    int64_t set_us, audit_all_us, backoff_us;
    int64_t wake_us; /* when a secondary that lags may be told again */
    char *note;      /* something that was mended, said beside "converged" until note_until_us; or NULL */
    char *left;      /* what a change of several updates had done when it was overtaken; or NULL */
    int64_t note_until_us;
    struct dns_status status, reported;
    char *error, *reported_error;
};

/* ---- driver.c ---- */

void driver_say(struct dns_driver *driver, const char *state, const char *error);
/* Says it; returns how long to wait, longer after each failure. */
int64_t driver_fail(struct dns_driver *driver, const char *state, const char *error);
int64_t driver_back_off(struct dns_driver *driver);
bool driver_stopping(const struct dns_driver *driver);
bool driver_interrupted(const struct dns_driver *driver); /* mail or the end */
/* Until `until_us`, mail or the end; meanwhile whoever has not answered a NOTIFY is told again. */
void driver_wait(struct dns_driver *driver, int64_t until_us);
void driver_tell_secondaries(struct dns_driver *driver);

/* ---- driver_look.c ---- */

/* The sentinel's text (*held; NULL: there is none) and the zone's serial. */
bool look_head(struct dns_driver *driver, char **held, GError **error);
/* Reads every expected name that is in doubt. */
bool look_names(struct dns_driver *driver, GError **error);
bool look_sets(struct dns_driver *driver, struct rrset *const *sets, unsigned n, GError **error);
/* What the server shows at one owner and type; NULL and error if it does not say. Free with rrset_delete. */
struct rrset *look_one(struct dns_driver *driver, const char *owner, uint16_t type, GError **error);
bool look_matches(const struct dns_driver *driver, const struct rrset *expected);
const struct rrset *look_first_mismatch(const struct dns_driver *driver, struct rrset *const *sets, unsigned n);
const struct rrset *look_seen(const struct dns_driver *driver, const struct rrset *expected); /* NULL: never read */
/* Nothing was read: says so; returns how long to wait. */
int64_t look_lost(struct dns_driver *driver, const GError *error);
/* Somebody has written to the zone since every name was last read. */
bool look_disturbed(const struct dns_driver *driver);

/* ---- driver_write.c ---- */

/* The sentinel becomes ours, generation 0. False: *wait_us says when to look again. */
bool write_claim(struct dns_driver *driver, char **held, int64_t *wait_us);
/* "; of 10 sets 4 are new (...), 6 are not (...)" as the server shows them now, where a change of several updates is
 * under way; else NULL. g_free. */
char *write_progress(struct dns_driver *driver);
/* Sends a plan's updates in order and proves them. `done`: updates of this generation that were taken before. False:
 * what is new and what is old was said; *wait_us says when to look again. */
bool write_plan(struct dns_driver *driver, const struct update_plan *plan, unsigned done, char **held,
                int64_t *wait_us);

#endif
