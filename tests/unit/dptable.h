/* dptable.h: tables of dp_api.h, put together piece by piece, for tests. */
#ifndef TESTS_DPTABLE_H
#define TESTS_DPTABLE_H

#include "dataplane/dp_api.h"

#include <glib.h>
#include <string.h>

struct dptable {
    struct dp_header header;
    struct dp_adjacency adjacencies[DP_ADJACENCIES];
    struct dp_group groups[DP_GROUPS];
    struct dp_local locals[DP_LOCALS];
    struct dp_service services[16];
    struct dp_backend backends[64];
};

/* The message; g_byte_array_unref. */
static inline GByteArray *dptable_message(const struct dptable *t)
{
    GByteArray *m = g_byte_array_new();
    struct dp_header h = t->header;
    g_byte_array_append(m, (const guint8 *)&h, sizeof h);
    g_byte_array_append(m, (const guint8 *)t->adjacencies, h.n_adjacencies * (guint)sizeof *t->adjacencies);
    g_byte_array_append(m, (const guint8 *)t->groups, h.n_groups * (guint)sizeof *t->groups);
    g_byte_array_append(m, (const guint8 *)t->locals, h.n_locals * (guint)sizeof *t->locals);
    g_byte_array_append(m, (const guint8 *)t->services, h.n_services * (guint)sizeof *t->services);
    g_byte_array_append(m, (const guint8 *)t->backends, h.n_backends * (guint)sizeof *t->backends);
    h.magic = DP_MAGIC;
    h.version = DP_VERSION;
    h.size = m->len;
    memcpy(m->data, &h, sizeof h);
    return m;
}

/* A neighbour without BFD; returns its number. */
static inline uint32_t dptable_adjacency(struct dptable *t, uint8_t family, uint8_t port, const uint8_t *own,
                                         const uint8_t *next)
{
    struct dp_adjacency *a = &t->adjacencies[t->header.n_adjacencies];
    *a = (struct dp_adjacency){.family = family, .port = port, .group = DP_NONE};
    memcpy(a->own, own, family == 4 ? 4 : 16);
    memcpy(a->next, next, family == 4 ? 4 : 16);
    return t->header.n_adjacencies++;
}

/* Makes a line of it, of group 0, which is there from then on. */
static inline void dptable_line(struct dptable *t, uint32_t adjacency, uint32_t interval_us, uint32_t preference)
{
    struct dp_adjacency *a = &t->adjacencies[adjacency];
    a->mult = 3;
    a->min_tx_us = a->min_rx_us = interval_us;
    a->group = 0;
    a->preference = preference;
    a->weight = 1;
    a->seed = 100 + adjacency;
    t->header.n_groups = 1;
    t->groups[0] =
        (struct dp_group){.restore_us = 1000000, .restore_max_us = 8000000, .calm_us = 10000000, .suspect_us = 100000};
}

static inline void dptable_local(struct dptable *t, uint8_t family, const uint8_t *address)
{
    struct dp_local *l = &t->locals[t->header.n_locals++];
    l->family = family;
    memcpy(l->address, address, family == 4 ? 4 : 16);
}

/* A TCP service with one backend behind `way`. */
static inline void dptable_service(struct dptable *t, uint8_t family, const uint8_t *address, uint16_t port,
                                   uint32_t flags, const uint8_t *backend, uint16_t backend_port, uint32_t way)
{
    struct dp_service *s = &t->services[t->header.n_services++];
    struct dp_backend *b = &t->backends[t->header.n_backends];
    *s = (struct dp_service){.port = port, .family = family, .proto = 6, .flags = flags};
    memcpy(s->address, address, family == 4 ? 4 : 16);
    s->first_backend = t->header.n_backends;
    s->n_backends = 1;
    *b = (struct dp_backend){.port = backend_port, .way = way, .weight = 1, .seed = 7};
    memcpy(b->address, backend, family == 4 ? 4 : 16);
    b->slot = (uint16_t)t->header.n_backends++;
}

#endif
