/* served_case.h: the server that each test of a case has to itself, and short ways to ask it. */
#ifndef TESTS_SERVED_CASE_H
#define TESTS_SERVED_CASE_H

#include "tests/unit/served.h"
#include <stdint.h>

extern struct served served;
/* For tcase_add_checked_fixture: a server without a site, and its end. */
void served_setup(void);
void served_teardown(void);
char *in_dir(const char *name); /* a path in its folder; g_free */

json_int_t number_at(const json_t *json, const char *member); /* 0 when absent */
const char *text_at(const json_t *json, const char *member);  /* "" when absent */
json_int_t status_number(const char *member);                 /* of GET /v1/status */
/* A report of an edge under its token: all is well with generation 2 of the first reign, and nobody asks for anything.
 */
void report_as(const char *token, const char *edge);

/* Plans of one step, `pop-out` and `pop-in`, for figures of how quick plans are. */
void apply_pop_plans(void);
/* Runs them in turn (even n: out) and waits for success. Returns µs to the end; *started_us (or NULL): to the answer
 * that has its execution. token NULL: over the local socket. */
int64_t run_pop_plan(const char *token, int n, int64_t *started_us);
int64_t median(int64_t *values, size_t n); /* sorts them */

#endif
