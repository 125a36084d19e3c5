/* asker.h: asks a backend once whether it is well: the I/O of health.h.
 *
 *   TCP   it takes a connection
 *   HTTP  it answers GET with a status from 200 to 399
 *   UDP   it answers a datagram, whatever it says
 *
 * Each time by a connection of its own, which is reset when it is over: a connection that is kept says nothing about
 * who would come next, and one that is ended in order holds a port for a minute. How long is waited is the caller's to
 * say: it stops an asker.
 *
 * Thread safety: belongs to its loop's thread.
 */
#ifndef GATEWAY_ASKER_H
#define GATEWAY_ASKER_H

#include "core/loop.h"
#include "schema/addr.h"

enum asker_kind { ASKER_TCP, ASKER_HTTP, ASKER_UDP };
struct asker_question {
    enum asker_kind kind;
    struct endpoint at;
    const char *host, *path; /* HTTP: of GET; host NULL: the address */
    const char *say;         /* UDP: what is sent; NULL: "\n" */
};
/* The answer; why: NULL, it is well; else what was wrong, good until the function returns. May free the asker. */
typedef void (*asker_fn)(void *data, const char *why);

struct asker;
/* question: copied. */
struct asker *asker_new(struct loop *loop, const struct asker_question *question, asker_fn fn, void *data);
void asker_free(struct asker *asker); /* NULL: nothing */
SB_AUTO_DEFINE(asker, asker_free)
/* Asks; fn is called once, not before this has returned. A question that is under way is given up. */
void asker_start(struct asker *asker);
/* Gives up without an answer. */
void asker_stop(struct asker *asker);

#endif
