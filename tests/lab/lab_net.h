/* lab_net.h: the kernel's part of the lab: namespaces, their settings, cables, addresses; and the wire's control
 * socket.
 */
#ifndef LAB_NET_H
#define LAB_NET_H

#include "tests/lab/lab.h"
#include <jansson.h>

/* Full names of the namespaces recorded in RUN, NULL-terminated; empty when there is no lab. g_strfreev. */
char **net_recorded(const struct lab *lab);

/* Records, then makes the namespaces with their settings. SB_ERROR_CONFLICT if one exists that RUN knows nothing of. */
bool net_make(const struct lab *lab, GError **error);
/* veth pairs of links that are no wire; who is next to a forwarder computes the checksums of what it says. */
bool net_veth(const struct lab *lab, GError **error);
/* Addresses, static routes and rules of every node; all devices must exist. */
bool net_addresses(const struct lab *lab, GError **error);
/* Deletes these namespaces; one that is not there is no error. */
bool net_delete(char **namespaces, GError **error);

/* Sends one command (see wire.c) and returns the answer; json_decref. SB_ERROR_UNREACHABLE when no wire answers within
 * 5 s, INVALID with the wire's own text when it refuses. */
json_t *wire_call(const struct lab *lab, const char *command, GError **error);

#endif
