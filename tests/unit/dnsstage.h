/* dnsstage.h: what tests of the DNS driver share: desired records, a driver that is watched, single updates by hand. */
#ifndef TESTS_UNIT_DNSSTAGE_H
#define TESTS_UNIT_DNSSTAGE_H

#include <pthread.h>

#include "dns/records.h"
#include "dns/response.h"
#include "dns/update.h"
#include "tests/unit/dnsd.h"
#include "tests/unit/unit.h"

#define ms(us) ((double)(us) / 1000)

/* A folder for the servers of a test program, made before its first test and removed after its last one. */
extern char stage_root[];
/* Runs the tests that `add` adds; for `return` in main. */
int stage_run(const char *name, void (*add)(TCase *tcase));

/* ---- desired records ---- */

struct zone_records *wanted_new(void);
/* wanted_add(records, "play.example.test", KNOT_RRTYPE_CNAME, "target", NULL) */
void wanted_add(struct zone_records *records, const char *owner, int type, ...) __attribute__((sentinel));
struct zone_records *wanted_one(const char *address); /* www.example.test A */
/* d00000.example.test and n - 1 more are CNAMEs of `target`. */
struct zone_records *wanted_many(unsigned n, const char *target);

/* ---- a driver that is watched ---- */

struct report {
    struct stamp confirmed;
    char *state, *error;
    unsigned names;
    int64_t residual_until_us, at_us;
};
struct watched {
    struct dns_driver *driver;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct report said; /* last; behind the lock */
    char *history;      /* states, each with a space behind it; behind the lock */
    struct report saw;  /* by the last await; the test's own */
};
/* secret: NULL for a secondary that cannot be told anything. notify: one secondary, or NULL. */
struct watched *watched_new(const struct endpoint *server, bool primary, const struct endpoint *notify,
                            const char *secret);
struct watched *watched_primary(const struct dnsd *server);
void watched_free(struct watched *watched); /* asserts that the driver ends soon */
void watched_set(struct watched *watched, uint64_t epoch, uint64_t generation, struct zone_records *records);
void watched_set_free(struct watched *watched, uint64_t epoch, uint64_t generation, struct zone_records *records);
/* Waits for a state with a stamp confirmed (epoch 0: any); returns when the report came. */
int64_t watched_await(struct watched *watched, const char *state, uint64_t epoch, uint64_t generation, int timeout_ms);
/* Waits for a state with words in its error. */
int64_t watched_await_words(struct watched *watched, const char *state, const char *words, int timeout_ms);

/* ---- by hand ---- */

void assert_shows(const struct dnsd *server, const char *owner, uint16_t type, const char *expected);
void assert_sentinel(const struct dnsd *server, const char *expected);
/* Sends one update whose time is `skew_s` later than ours. reason: g_free. */
enum update_outcome update_by_hand(const struct endpoint *server, const char *secret, const struct update *update,
                                   int64_t skew_s, char **reason);

#endif
