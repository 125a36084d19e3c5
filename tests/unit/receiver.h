/* receiver.h: somebody who is called: an HTTP server on a loopback port and a thread of its own, that keeps what it was
 * sent and answers as it is told. Failures end the test (libcheck).
 */
#ifndef TESTS_RECEIVER_H
#define TESTS_RECEIVER_H

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>

struct received {
    char *method, *path;
    GHashTable *headers; /* lower-case name -> value */
    char *body;
};
struct receiver {
    int port, fd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    GPtrArray *requests; /* struct received * */
    unsigned status;     /* of answers from now on */
    char *extra;         /* more header lines with \r\n, or NULL */
    char *body;          /* or NULL */
    bool held, ending;
};
void receiver_start(struct receiver *r); /* answers 200 */
void receiver_end(struct receiver *r);
/* extra, body: as above. */
void receiver_answer(struct receiver *r, unsigned status, const char *extra, const char *body);
void receiver_hold(struct receiver *r, bool held); /* requests are taken, and answered when it ends */
unsigned receiver_count(struct receiver *r);
/* Request number i, from 0; waits for it, 30 s at most. The receiver's. */
const struct received *receiver_wait(struct receiver *r, unsigned i);
const char *received_header(const struct received *request, const char *name); /* "" when absent */

#endif
