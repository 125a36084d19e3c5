/* api_internal.h: what the files of the api share.
 *
 * Thread safety: what is written after api_new stands under the lock or in the atomic that its comment names.
 */
#ifndef API_API_INTERNAL_H
#define API_API_INTERNAL_H

#include "server/api/api.h"
#include "server/api/attempts.h"
#include "server/api/listener.h"
#include "server/api/waiters.h"
#include "server/store/journal.h"
#include <pthread.h>
#include <stdatomic.h>

enum { LISTENER_OPERATORS, LISTENER_AGENTS, LISTENER_LOCAL, LISTENERS };

struct api {
    char *socket;
    struct executor *executor;
    struct tls *tls; /* or NULL */
    struct tokens *tokens;
    struct sessions *sessions;
    struct attempts *attempts;
    struct answers *answers;
    struct listener *listeners[LISTENERS];
    atomic_bool listening; /* on all of them: from then on the array does not change */
    struct waiters *waiters;
    struct loop *clock; /* wakes who waited long enough, ends slow connections */
    struct loop_timer *clock_timer;
    pthread_t clock_thread;
    bool clock_started;
    struct loop *hashing; /* handler->slow: passwords take their time on purpose, replays because they must */
    pthread_t hashing_thread;
    bool hashing_started;
    atomic_uint n_hashing; /* calls that wait for it */
    struct loop *reading;  /* handler->read: disks are slow, and a listener serves others meanwhile */
    pthread_t reading_thread;
    bool reading_started;
    struct journal_reader *reader; /* the reading thread's */
    struct verifying *verifying;   /* the reading thread's: the one verify that is under way, or NULL */
    atomic_bool ending;            /* what is long stops */
};

#endif
