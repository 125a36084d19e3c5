/* nat_rig.h: a FULLNAT with its memory and services, for tests: one client, service, own and backend address of each
 * family. */
#ifndef TESTS_NAT_RIG_H
#define TESTS_NAT_RIG_H

#include "dataplane/nat.h"

#define SECOND 1000000ull
#define RIG_FRAMES 64u
/* Ports of the services that there are; backends listen on 8080. */
enum { RIG_PLAIN = 80, RIG_NOBODY = 81, RIG_TOA = 443, RIG_PROXY = 8443, RIG_TOA_PROXY = 9443, RIG_UDP = 53 };

extern const uint8_t rig_client4[16], rig_vip4[16], rig_local4[16], rig_backend4[16];
extern const uint8_t rig_client6[16], rig_vip6[16], rig_local6[16], rig_backend6[16];

struct rig {
    struct nat nat;
    struct nat_local locals[2];
    struct nat_backend backends[2];
    struct nat_service services[6];
    struct nat_services all;
    uint32_t backend_sessions[4];
    void *indices[2]; /* of services, of locals */
    uint16_t pick[1];
    uint64_t now_us;
    uint8_t family;
};

/* Answers SYNs itself never; set nat.cookies_above to 0 for always. */
struct rig *rig_new(uint8_t family, uint32_t sessions);
/* Checks that every session and every frame can be accounted for. */
void rig_free(struct rig *r);

#endif
