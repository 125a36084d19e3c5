/* plan_read.h: what the files that read plans share. Private to schema/. Thread safety: pure functions. */
#ifndef SCHEMA_PLAN_READ_H
#define SCHEMA_PLAN_READ_H

#include "schema/plan.h"

#define SUMMARY_MAX 400 /* characters of a text for people */

struct reader {
    GPtrArray *findings;
    const char *at; /* of the plan, or NULL */
    char *file;     /* its part before ":line", or NULL */
    char *label;    /* "plan room-isolated" */
    struct plan *plan;
};

/* Findings. `place`: the mapping that is to blame, for its line; step: its name, or NULL. */
void find_text(const struct reader *r, const json_t *place, const char *step, const char *field, const char *found,
               const char *expected);
/* The value of a member of `place`. */
void find_member(const struct reader *r, const json_t *place, const char *step, const char *member,
                 const char *expected);
/* Members of `place` that are not among `known`. */
void find_unknown(const struct reader *r, const json_t *place, const char *step, const char *const *known,
                  const char *expected);
bool is_name(const char *text); /* NULL is none */

/* A member "500ms", "10s", "2m" in us, at most a day; 0: there is none, or it was found to be wrong. */
json_int_t time_read(const struct reader *r, const json_t *json, const char *step, const char *member);
/* "$target" where the target is of this kind, "$NAME" of a parameter of this kind, or a name. */
bool stands_for(const struct reader *r, const char *word, enum object_kind kind);

/* plan_ramp.c, into step->spec (plan.h). transactions_read: of a verify, which transactions, and of which room. */
void ramp_read(const struct reader *r, const json_t *json, struct plan_step *step);
void warm_read(const struct reader *r, const json_t *json, struct plan_step *step);
void transactions_read(const struct reader *r, const json_t *json, struct plan_step *step);
/* plan_call.c, the same. */
void hook_read(const struct reader *r, const json_t *json, struct plan_step *step);
void notify_read(const struct reader *r, const json_t *json, struct plan_step *step);

#endif
