/* loop.h: one thread's event loop: file descriptors, timers, and work posted from other threads (epoll, timerfd-free).
 *
 * Time is CLOCK_BOOTTIME in microseconds, so that a suspended machine notices that time has passed; nothing here is
 * wall-clock time. Callbacks run on the thread that is in loop_run.
 *
 * Thread safety: loop_post and loop_stop may be called from any thread and from signal handlers (loop_stop only);
 * everything else belongs to the loop's own thread.
 */
#ifndef CORE_LOOP_H
#define CORE_LOOP_H

#include "core/auto.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <glib.h>

struct loop;
struct loop_timer;

typedef void (*loop_io_fn)(void *data, int fd, uint32_t events); /* events: EPOLLIN, EPOLLOUT, ... */
typedef void (*loop_fn)(void *data);

struct loop *loop_new(GError **error); /* freed with loop_free */
void loop_free(struct loop *loop);
SB_AUTO_DEFINE(loop, loop_free)

/* Now, µs since boot. Monotonic. */
int64_t loop_now_us(void);

/* Wall clock, µs since 1970, for records that people read; never for decisions. */
int64_t wall_now_us(void);

/* CLOCK_MONOTONIC in `us` microseconds, for pthread_cond_timedwait on a condition of loop_cond_init. */
struct timespec loop_deadline(int64_t us);
void loop_cond_init(pthread_cond_t *cond);

/* Watches fd for `events`; a second call for the same fd replaces the first. The loop never closes fd. */
bool loop_watch(struct loop *loop, int fd, uint32_t events, loop_io_fn fn, void *data, GError **error);
void loop_unwatch(struct loop *loop, int fd);

/* A timer that fires once at `at_us`; re-arm in the callback for a periodic one. It lives until loop_timer_free. */
struct loop_timer *loop_timer_new(struct loop *loop, loop_fn fn, void *data);
void loop_timer_arm(struct loop_timer *timer, int64_t at_us);
void loop_timer_disarm(struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer);

/* Runs fn(data) on the loop's thread soon. Any thread. */
void loop_post(struct loop *loop, loop_fn fn, void *data);

/* Runs until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif
