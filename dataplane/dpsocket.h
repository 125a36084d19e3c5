/* dpsocket.h: the forwarder's local socket, and the thread behind it. A connection says one thing and is answered:
 *   - a table (dp_api.h): "ok GENERATION" or "refused: REASON";
 *   - "show": counters, neighbours, lines, sessions, a line each, `name value` pairs, all of one moment;
 *   - "watch": nothing; the connection stays open while the process lives. Its end is the first that can be seen of a
 *     process that is killed: before the kernel has taken down its packet sockets, which takes some 100 ms, and then
 *     tells who waits for the process. The last DPSOCKET_WATCHERS are kept.
 *   - "trace [ADDRESS [PORT]]": a line for each packet that comes in, or leaves, from or to there, until the connection
 *     ends; "pcap [ADDRESS [PORT]]": a capture of them. One at a time, a new one ends the one before. Who reads too
 *     slowly loses packets, and is told so by a line ("trace").
 * Who does not say it within seconds is not listened to any longer; one connection at a time.
 *
 * A table is validated and made here, and taken by the forwarding thread between two bursts; the one before is freed
 * here when it has been given back (read-copy-update with one reader). What is shown is a picture that the forwarding
 * thread makes of itself, between two bursts, when it is asked to.
 *
 * Thread safety: dpsocket_pending, _turn, _give_back and _offload are the forwarding thread's; the others that of who
 * starts it.
 */
#ifndef DATAPLANE_DPSOCKET_H
#define DATAPLANE_DPSOCKET_H

#include "dataplane/forwarder.h"
#include "dataplane/port.h"

#define DPSOCKET_WATCHERS 4u

struct dpsocket;

/* From another process: says `words` to the one at path, and writes all that it answers to fd, until it ends. 0;
 * -errno; -EPROTO: it has refused, which is what was written. */
int dpsocket_ask(const char *path, const char *words, int fd);

struct dpsocket_settings {
    const char *path; /* of the socket, whose file is replaced; owner only */
    unsigned n_ports;
    const int *watch_fds; /* n_ports of iface_watch, below 0: none; the caller's, to be closed behind dpsocket_stop */
    int wake_fd;          /* an eventfd; is written when something is pending */
};

/* settings: copied, but for the descriptors. NULL: errno says why. */
struct dpsocket *dpsocket_start(const struct dpsocket_settings *settings);
/* Ends the thread, removes the socket's file, frees all tables but the one that is in force. */
void dpsocket_stop(struct dpsocket *socket);

/* Is there something for dpsocket_turn, or has offload been seen? One read of memory. */
bool dpsocket_pending(const struct dpsocket *socket);
/* Between two bursts. A table that has come: the caller puts it in force, then gives back the one before. NULL: none
 * has. A picture that was asked for is made on the way. */
struct fib *dpsocket_turn(struct dpsocket *socket, const struct forwarder *forwarder,
                          const struct port_counters *ports);
/* A table that is not used any more; NULL: nothing. */
void dpsocket_give_back(struct dpsocket *socket, struct fib *table);
/* Of who looks at packets: forwarder.trace, while the socket is there. */
struct trace *dpsocket_trace(struct dpsocket *socket);
/* Port whose neighbour leaves checksums to be computed; DP_PORTS: none that was seen. */
unsigned dpsocket_offload(const struct dpsocket *socket);

#endif
