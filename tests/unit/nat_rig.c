#include "tests/unit/nat_rig.h"

#include "tests/unit/unit.h"

#include <string.h>

static const uint64_t secret[2] = {11, 22};
const uint8_t rig_client4[16] = {192, 0, 2, 7}, rig_vip4[16] = {198, 51, 100, 1}, rig_local4[16] = {10, 0, 0, 1},
              rig_backend4[16] = {10, 0, 0, 9};
const uint8_t rig_client6[16] = {0x20, 1, 0xd, 0xb8, 1, [15] = 7}, rig_vip6[16] = {0x20, 1, 0xd, 0xb8, 2, [15] = 1},
              rig_local6[16] = {0x20, 1, 0xd, 0xb8, 3, [15] = 1}, rig_backend6[16] = {0x20, 1, 0xd, 0xb8, 3, [15] = 9};

static void local_init(struct nat_local *local, const uint8_t *address, uint8_t family)
{
    memcpy(local->address, address, 16);
    local->family = family;
    local->by_port = g_new(uint32_t, NAT_PORTS);
    local->free_ports = g_new(uint16_t, NAT_PORTS);
    local->last_seq = g_new(uint32_t, NAT_PORTS);
}

static void service_init(struct rig *r, unsigned i, uint8_t family, uint8_t proto, uint16_t port, uint32_t flags)
{
    struct nat_service *s = &r->services[i];
    *s = (struct nat_service){.port = port, .family = family, .proto = proto, .flags = flags};
    memcpy(s->address, family == 4 ? rig_vip4 : rig_vip6, 16);
    s->backends = &r->backends[family == 4 ? 0 : 1];
    s->pick = r->pick;
    s->n_pick = 1;
}

struct rig *rig_new(uint8_t family, uint32_t sessions)
{
    struct rig *r = g_new0(struct rig, 1);
    r->family = family;
    r->now_us = 1000 * SECOND;
    local_init(&r->locals[0], rig_local4, 4);
    local_init(&r->locals[1], rig_local6, 6);
    r->backends[0] = (struct nat_backend){.port = 8080, .adjacency = 70};
    memcpy(r->backends[0].address, rig_backend4, 16);
    r->backends[1] = (struct nat_backend){.port = 8080, .adjacency = 71, .slot = 1};
    memcpy(r->backends[1].address, rig_backend6, 16);
    service_init(r, 0, family, PROTO_TCP, RIG_PLAIN, 0);
    service_init(r, 1, family, PROTO_TCP, RIG_TOA, NAT_TOA);
    service_init(r, 2, family, PROTO_UDP, RIG_UDP, 0);
    service_init(r, 3, family, PROTO_TCP, RIG_NOBODY, 0);
    service_init(r, 4, family, PROTO_TCP, RIG_PROXY, NAT_PROXY);
    service_init(r, 5, family, PROTO_TCP, RIG_TOA_PROXY, NAT_TOA | NAT_PROXY);
    r->services[3].n_pick = 0;
    struct nat_memory memory = {.sessions = aligned_alloc(64, sessions * sizeof(struct nat_session)),
                                .timers = g_new(struct wheel_timer, sessions),
                                .free_sessions = g_new(uint32_t, sessions),
                                .flows = aligned_alloc(64, flow_size(sessions)),
                                .n_sessions = sessions,
                                .locals = r->locals,
                                .n_locals = 2,
                                .backend_sessions = r->backend_sessions,
                                .n_backends = 4,
                                .frames = g_new(struct nat_frame, RIG_FRAMES),
                                .n_frames = RIG_FRAMES,
                                .local_index = r->indices[1] = g_malloc(endpoint_size(2))};
    nat_init(&r->nat, &memory, secret, r->now_us);
    nat_services_init(&r->all, r->indices[0] = g_malloc(endpoint_size(12)), r->services, 6);
    nat_set_services(&r->nat, &r->all);
    r->nat.cookies_above = sessions + 1;
    return r;
}

void rig_free(struct rig *r)
{
    uint64_t live = 0, counted = 0;
    for (int b = 0; b < 4; b++)
        counted += r->backend_sessions[b];
    ck_assert_uint_eq(counted, r->nat.created - r->nat.ended);
    for (int s = 0; s < NAT_STATES; s++)
        live += r->nat.states[s];
    ck_assert_uint_eq(live, r->nat.memory.n_sessions);
    ck_assert_uint_eq(r->nat.created - r->nat.ended, r->nat.memory.n_sessions - r->nat.n_free);
    free(r->nat.memory.sessions);
    ck_assert_ptr_null(nat_next_out(&r->nat));
    if (r->nat.states[NAT_CONNECTING] == 0)
        ck_assert_uint_eq(r->nat.n_free_frames, RIG_FRAMES);
    g_free(r->nat.memory.frames);
    g_free(r->nat.memory.timers);
    g_free(r->nat.memory.free_sessions);
    free(r->nat.memory.flows);
    for (int i = 0; i < 2; i++) {
        g_free(r->indices[i]);
        g_free(r->locals[i].by_port);
        g_free(r->locals[i].free_ports);
        g_free(r->locals[i].last_seq);
    }
    g_free(r);
}
