/* dpclient.h: a forwarder as its agent sees it: is its process there, and what does it answer (dataplane/dp_api.h)?
 *
 * Whether it is there is told by a connection to its socket that stays open, whose end the kernel tells at once,
 * whatever way the process ends (a pidfd would tell it when all of the process is gone: some 400 ms later, with packet
 * sockets); one that is not there is looked for every DPCLIENT_LOOK_US. One that has just come has no table: who is
 * told gives it one.
 *
 * Thread safety: belongs to its loop's thread.
 */
#ifndef GATEWAY_DPCLIENT_H
#define GATEWAY_DPCLIENT_H

#include "core/loop.h"

#define DPCLIENT_LOOK_US 100000

struct dpclient;
/* It has come, or has gone. */
typedef void (*dpclient_life_fn)(void *data, bool there);
/* answer: its lines, gone after the call; NULL with error: SB_ERROR_INVALID, it has refused, and says why; UNREACHABLE,
 * TIMEOUT: nobody knows. */
typedef void (*dpclient_fn)(void *data, const char *answer, const GError *error);

/* path: of its socket; copied. life is first called when it is found to be there, not before this has returned. */
struct dpclient *dpclient_new(struct loop *loop, const char *path, dpclient_life_fn life, void *data);
void dpclient_free(struct dpclient *client); /* a question under way ends without its callback; NULL: nothing */
SB_AUTO_DEFINE(dpclient, dpclient_free)

bool dpclient_there(const struct dpclient *client);
/* A table, or "show\n". One question at a time: false, another is under way. bytes: copied. fn is not called before
 * this has returned. */
bool dpclient_ask(struct dpclient *client, const void *bytes, size_t size, int64_t timeout_us, dpclient_fn fn,
                  void *data);

#endif
