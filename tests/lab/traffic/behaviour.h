/* behaviour.h: how an origin answers, told to it while it runs, and how often it was asked.
 *
 * A behaviour is for a key:
 *   HOST[/PREFIX]   requests for it; the prefix is cut at slashes
 *   @ENTRANCE       all requests by this entrance, health checks too
 *   *               all requests, health checks too
 * The most specific one, in this order and the longest of a kind, decides the answer. It counts the request, and so do
 * those for an entrance and for all.
 * Thread safety: one thread.
 */
#ifndef LAB_BEHAVIOUR_H
#define LAB_BEHAVIOUR_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct behaviour {
    char *key;
    int status;        /* 200: as ever */
    int64_t delay_us;  /* before each answer */
    uint64_t requests; /* asked since the behaviour was first set, answered or not */
};

GPtrArray *behaviours_new(void); /* struct behaviour *; g_ptr_array_unref */
/* Counts, and returns what decides, or NULL. host without a port; path with its slash. */
const struct behaviour *behaviours_match(const GPtrArray *behaviours, const char *host, const char *path,
                                         const char *entrance);
/* One line of the control socket: `at KEY [status=N] [delay_ms=N]` sets what is named and leaves the rest, `heal`
 * forgets all, `show` changes nothing. The answer, a new reference: {"behaviours": [{"at", "status", "delay_ms",
 * "requests"}]} of the key or of all, or {"error": text}. */
json_t *behaviours_command(GPtrArray *behaviours, const char *line);

#endif
