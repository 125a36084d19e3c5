/* rules_internal.h: what the files of the rules share.
 *
 *   rules.c         which rules there are, and those that judge the forecast
 *   rules_moves.c   those that judge which levers move, and when
 */
#ifndef INTERLOCKING_RULES_INTERNAL_H
#define INTERLOCKING_RULES_INTERNAL_H

#include "server/interlocking/rules.h"

/* A lever whose value differs. Borrowed from the worlds. */
struct lever_change {
    enum lever lever;
    const char *object, *before, *after;
    bool its_own; /* the execution that wrote it last writes it again */
};
struct judging {
    const struct rules_case *change;
    GArray *levers; /* struct lever_change */
    GPtrArray *refusals;
};
/* Takes both texts. */
void rules_refuse(struct judging *j, const char *rule, char *figures, char *way_round);
GArray *lever_changes(const struct world *now, const struct world *then);

void check_open_levers(struct judging *j, const struct rule *rule);
void check_hold(struct judging *j, const struct rule *rule);
void check_gate(struct judging *j, const struct rule *rule);
void check_class(struct judging *j, const struct rule *rule);
void check_freeze(struct judging *j, const struct rule *rule);
void check_window(struct judging *j, const struct rule *rule);
/* A lock on one lever. */
void check_lock(struct judging *j, const struct reminder *reminder);
void check_handover(struct judging *j, const struct rule *rule);

#endif
