/* served.h: a real signalboxd on loopback ports and a folder of its own, for tests. Failures end the test (libcheck).
 */
#ifndef TESTS_SERVED_H
#define TESTS_SERVED_H

#include "core/httpc.h"
#include <jansson.h>
#include <sys/types.h>

struct served {
    char dir[64], socket[96];
    int port, agents_port;
    pid_t pid;
    int log_fd;
    GString *log;             /* what it wrote to standard error until it was ready */
    char *operators, *agents; /* base URLs */
    char *store;              /* URL of its history, or NULL: its own file (with_postgres.c) */
};
/* env: NULL-terminated "NAME=value" besides ours, or NULL. flags: NULL-terminated more flags, or NULL. */
void served_new(struct served *served);
void served_start(struct served *served, const char *const *env, const char *const *flags);
/* Sends the signal and waits; returns the status of wait(2). */
int served_end(struct served *served, int number);
int served_wait(struct served *served);
/* Reads the log until `text` stands in it, or until its end: false. NULL: until its end. */
bool served_says(struct served *served, const char *text);
void served_clear(struct served *served); /* the folder goes */

/* One call. token NULL: none; socket: on the local socket. Returns the status; *answer (or NULL) is the parsed body. */
unsigned served_call(struct served *served, const char *base, const char *token, const char *method, const char *path,
                     const char *if_match, const char *body, json_t **answer, char **etag);
/* The same on the local socket. */
unsigned served_local(struct served *served, const char *method, const char *path, const char *if_match,
                      const char *body, json_t **answer);
char *served_token(struct served *served, const char *name, const char *role); /* g_free */
/* The site of 2 July, as POST /v1/apply takes it: {"objects": [...]}. */
json_t *served_site(void);
void served_apply(struct served *served, json_t *body); /* takes body */
/* Both. */
void served_apply_site(struct served *served);
/* Sends bytes and reads until the other side closes; "[still open]" stands behind what came when it does not; g_free.
 */
char *served_raw(int port, const char *text, size_t size, int limit_ms);
int served_connect(int port);

#endif
