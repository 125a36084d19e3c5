/* gwtable.h: what a gateway is told, a text, and what its forwarder is told of it (dataplane/dp_api.h).
 *
 * Lines "KEY VALUE\n", sorted by bytes, keys unique, as those of schema/table.h. NN: a place, in decimal, which its
 * object keeps in every table (dp_api.h); fields are parted by |.
 *   adjacency/NN PORT|OWN|NEXT|MTU             neighbour: the forwarder's port, addresses, bytes (0: any)
 *   backend/SERVICE/NAME ADDRESS:PORT|SLOT|WAY|WEIGHT|LIMIT     WAY: adjacency/NN or group/NN
 *   bfd/NN TX_US|RX_US|MULT                    BFD with that neighbour
 *   class gateway                              it is a gateway's table
 *   check/SERVICE KIND|INTERVAL_MS|TIMEOUT_MS|RISE|FALL|SLOW_START_MS|HOST|PATH      KIND: tcp, http, udp (asker.h)
 *   gateway in|out                             out: it announces nothing; not there: in
 *   group/NN RESTORE_MS|RESTORE_MAX_MS|CALM_MS|SUSPECT_MS       lines to one room
 *   line/NN GROUP|PREFERENCE|WEIGHT|SRLG       that neighbour is the end of a line of the group
 *   local/NN ADDRESS                           backends are talked to from it
 *   peer/NN GATEWAY                            that neighbour is another gateway of the room, has BFD and is no line
 *                                              (dp_api.h): it is handed what may be of its connections
 *   seed HEX                                   32 digits: the same at every gateway
 *   service/NAME ADDRESS:PORT|PROTO|FLAGS|VIP  PROTO: tcp, udp; FLAGS: t TOA, p PROXY, r in turn, - none; VIP: BIRD's
 *                                              protocol that announces it (bird.h), - none
 *
 * A backend that its checks find down is in the forwarder's table with weight 0: its sessions are not cut off. Ranges
 * and what leads where are checked once more by the forwarder, which refuses the whole.
 *
 * Pure. Thread safety: a struct gwtable does not change.
 */
#ifndef GATEWAY_GWTABLE_H
#define GATEWAY_GWTABLE_H

#include "core/auto.h"
#include "gateway/health.h"

#include <glib.h>

enum gwtable_kind { GWTABLE_TCP, GWTABLE_HTTP, GWTABLE_UDP };
struct gwtable_service {
    char *name, *at; /* at: ADDRESS:PORT */
    char *vip;       /* NULL: none */
    bool checked;    /* the rest is set */
    enum gwtable_kind kind;
    struct health_limits limits;
    char *host, *path; /* of HTTP; NULL: the backend's address, "/" */
};
struct gwtable_backend {
    char *name, *at; /* at: ADDRESS:PORT */
    unsigned service;
    uint32_t weight; /* when it is well */
    int group;       /* of lines that it is behind; -1: none */
};

struct gwtable;
/* SB_ERROR_INVALID: key, what was found, what was expected. */
struct gwtable *gwtable_parse(const char *text, gsize size, GError **error);
void gwtable_free(struct gwtable *table); /* NULL: nothing */
SB_AUTO_DEFINE(gwtable, gwtable_free)

bool gwtable_is_out(const struct gwtable *table);
/* Services, and backends: those of one service lie together. The table's. */
const struct gwtable_service *gwtable_services(const struct gwtable *table, unsigned *n);
const struct gwtable_backend *gwtable_backends(const struct gwtable *table, unsigned *n);
/* For checks.h, to ask at the addresses themselves: the same services; each that has a VIP and is checked has itself as
 * its only backend and is asked as its backends are, but so far apart; the others are not checked. gwtable_free. */
struct gwtable *gwtable_of_probes(const struct gwtable *table, int64_t interval_us);
/* weights: of each backend, in order. g_byte_array_unref. */
GByteArray *gwtable_message(const struct gwtable *table, uint64_t generation, const uint32_t *weights);

#endif
