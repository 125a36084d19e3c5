/* announcer.h: the addresses of a gateway, each announced or not (vip.h), and BIRD told so (bird.h).
 *
 * BIRD is told at once when that changes, and again every ANNOUNCER_AGAIN_US whatever it said, so that a BIRD that has
 * just started announces what it should. An agent that has just started does not know what BIRD announces: it takes
 * nothing back before something speaks against it, and for ANNOUNCER_BEGIN_US only what is drained, so that its own
 * restart moves no traffic. Where the agent before has died (keeper.h), what is settled is announced as it should be
 * again.
 *
 * Thread safety: belongs to its loop's thread.
 */
#ifndef GATEWAY_ANNOUNCER_H
#define GATEWAY_ANNOUNCER_H

#include "core/loop.h"
#include "gateway/vip.h"

#include <jansson.h>

#define ANNOUNCER_AGAIN_US 1000000
#define ANNOUNCER_BEGIN_US 2000000
#define ANNOUNCER_BIRD_US 1000000 /* an order that takes longer has failed */

struct announcer;
struct announcer_callbacks {
    void *data;
    /* What is seen of an address, now; false: it is none of ours any more. */
    bool (*see)(void *data, const char *name, struct vip_sight *sight);
    /* Is, or is not, announced from now on; or BIRD does not do as it is told, or does again. For people. */
    void (*note)(void *data, const char *text);
};

/* bird_path: of BIRD's control socket; copied. */
struct announcer *announcer_new(struct loop *loop, const char *bird_path, const struct vip_limits *limits,
                                const struct announcer_callbacks *callbacks);
void announcer_free(struct announcer *announcer); /* BIRD keeps what it was told; NULL: nothing */
SB_AUTO_DEFINE(announcer, announcer_free)

/* An address, by BIRD's protocol; one that is known already stays as it is. */
void announcer_add(struct announcer *announcer, const char *name);
/* Something that callbacks.see tells may be different: looks at all of them. */
void announcer_look(struct announcer *announcer);
/* [{"name","announced","why","for_us","bird"}]; bird: NULL, it has done so, or what it said; new reference. */
json_t *announcer_to_json(const struct announcer *announcer);

#endif
