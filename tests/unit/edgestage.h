/* edgestage.h: a real HAProxy on the loopback, origins of our own, and the driver of dcdn/ on a loop of its own thread.
 *
 * Thread safety: a stage belongs to the test's thread; members below `lock` are read under it.
 */
#ifndef TESTS_EDGESTAGE_H
#define TESTS_EDGESTAGE_H

#include "dcdn/haproxy.h"
#include "tests/unit/edgeparts.h"
#include "tests/unit/unit.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#define DEADLINE_US 10000000
enum { POP_A1, POP_A2, POP_B1, POP_B2, EDGE_3, ORIGINS };

/* Says what it was asked: its answer's body is the head of the request. Paths with "/fails" in them are answered 500,
 * with "/slow" after slow_ms, with "/closes" not at all: the connection ends. "/long" is a download without an end.
 * Each header X-Answer of the request is a Cache-Control of the answer. */
struct origin {
    int listener; /* -1: refuses */
    uint16_t port;
    pthread_t thread;
    atomic_uint requests; /* but for health checks */
    atomic_bool mute;     /* takes connections and says nothing */
    atomic_bool deaf;     /* does not even take them */
    atomic_int slow_ms;
    atomic_int serving; /* threads */
    int cut[2];         /* pipe; readable: connections are reset */
};
void origin_start(struct origin *origin); /* at `port`, or at a new one when that is 0 */
void origin_stop(struct origin *origin);
void origin_cut(struct origin *origin); /* the same, but what it is answering ends by a reset */
/* Nobody gets a new connection, as if packets were lost; what it is answering goes on. Until it is stopped. */
void origin_hole(struct origin *origin);
void origin_refuse(struct origin *origin); /* takes no more connections; what it is answering goes on */

enum outcome { NOTHING, APPLIED, FAILED };
struct stage {
    char *dir, *layout, *listen;
    uint16_t port;
    struct origin origins[ORIGINS];
    struct edge_settings settings;
    pid_t haproxy_pid;
    struct loop *loop;
    pthread_t thread;
    struct haproxy *haproxy;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    enum outcome outcome; /* of the last apply */
    char *why;
    unsigned restarts;       /* restarted callbacks */
    char *restarted;         /* what the last one said */
    struct edge_state *next; /* to apply */
    GPtrArray *notes;        /* char *, of noted callbacks */
};
/* Everything runs, without any table. */
void stage_begin(struct stage *s);
/* The same with other holds and allowance than the agent's own; other members of `limits` are not used. */
void stage_begin_with(struct stage *s, const struct edge_settings *limits);
void stage_end(struct stage *s);
/* HAProxy alone, with the files that are there. */
void stage_start_haproxy(struct stage *s);
/* The driver's end, and a new one without any table: as when the agent is started again. */
void stage_restart_driver(struct stage *s);
/* Has something with this in it been noted? */
bool stage_noted(struct stage *s, const char *text);
void stage_stop_haproxy(struct stage *s);

/* Applies; members of text that are NULL are the site at rest, on the stage's origins. */
enum outcome stage_apply(struct stage *s, uint64_t generation, const struct edge_table_text *text);
void stage_must_apply(struct stage *s, uint64_t generation, const struct edge_table_text *text);
/* Waits, with the lock held, until *value differs from `from`. */
void stage_await(struct stage *s, const unsigned *value, unsigned from);

/* One command to a socket of HAProxy's, blocking; g_free. */
char *stage_say(const char *path, const char *command);
char *stage_admin(struct stage *s, const char *command);
bool stage_master_answers(struct stage *s); /* it does not listen for a moment after a reload */

/* Polls a condition; no fixed wait decides anything. */
#define EVENTUALLY(condition)                                                                                          \
    do {                                                                                                               \
        int64_t until_us = loop_now_us() + DEADLINE_US;                                                                \
        while (!(condition)) {                                                                                         \
            ck_assert_msg(loop_now_us() < until_us, "never came true: %s", #condition);                                \
            poll(NULL, 0, 10);                                                                                         \
        }                                                                                                              \
    } while (0)

struct answer {
    int status; /* 0: none */
    char *text; /* head and body, lower case; g_free */
    int64_t took_us;
};
/* more: further lines of the head, or NULL. */
struct answer stage_request(struct stage *s, const char *method, const char *host, const char *path, const char *more);
/* `n` requests of users 0.. (cookie uid), one every gap_us, each in a thread of its own; waits for all. The caller
 * frees each text and the array. */
struct answer *stage_volley(struct stage *s, const char *host, const char *path, unsigned n, int64_t gap_us);
/* Of n answers, those that have another status; frees them. */
unsigned volley_others(struct answer *answers, unsigned n, int status);
/* Servers against which traffic has counted since HAProxy started (its checks alone do not), "backend/server" each;
 * g_free. */
char *stage_blamed(struct stage *s);
int stage_status(struct stage *s, const char *method, const char *host, const char *path);
/* Value of a header in the origin's body (behind the first empty line) or in the answer's head; g_free, or NULL. */
char *answer_header(const struct answer *answer, bool seen_by_origin, const char *name);
void answer_expect(const struct answer *answer, bool seen_by_origin, const char *name, const char *value);
/* Requests that both entrances of a room have had. */
unsigned stage_room_requests(struct stage *s, unsigned first);

#endif
