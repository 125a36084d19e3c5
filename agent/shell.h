/* shell.h: carries out the effects of agent.h: disk (keep.h), servers (link.h), an actuator, time (core/loop.h).
 *
 * What was done by hand (breakglass.h) is in every report, whose state then is "held" where it would be "applied".
 * Any daemon that obeys tables is a shell and an actuator. Effects are carried out in order; outcomes come back as
 * events on the loop's thread. Thread safety: belongs to its loop's thread.
 */
#ifndef AGENT_SHELL_H
#define AGENT_SHELL_H

#include "agent/keep.h"
#include "agent/link.h"

#include <sys/types.h>

struct actuator {
    void *data;
    /* Brings the table into force and reads it back, without ever blocking; ends with shell_applied or
     * shell_apply_failed. `parts` are good until then. Not called again before that. */
    void (*apply)(void *data, const struct manifest *manifest, GBytes *const parts[static PARTS]);
    /* Looks at counters and health; ends with shell_sampled, always. */
    void (*sample)(void *data);
    /* Adds the actuator's members ("haproxy", "counters", "origins", "probes", "window_us") to a report. */
    void (*report)(void *data, json_t *report);
};
struct shell_config {
    const char *cluster;
    struct link_config link;
    const char *state_dir;
};

struct shell;
/* Reads last-good; what is damaged is logged and left out. Starts nothing yet. */
struct shell *shell_new(struct loop *loop, const struct shell_config *config, const struct actuator *actuator,
                        GError **error);
void shell_free(struct shell *shell);
SB_AUTO_DEFINE(shell, shell_free)
/* First apply of last-good, first poll, reports from now on. */
void shell_start(struct shell *shell);

/* What the actuator says. */
void shell_applied(struct shell *shell);
void shell_apply_failed(struct shell *shell, const char *why);
void shell_restarted(struct shell *shell, const char *what); /* a new process, or someone else's change */
void shell_sampled(struct shell *shell);
void shell_changed(struct shell *shell); /* what it reports is news: servers are told at once */
/* For the next reports, and the log. */
void shell_note(struct shell *shell, const char *text);

/* For the local socket: `status` is answered with state, stamps, servers, what was done by hand and the actuator's
 * members; the commands of breakglass.h, from a process of user `uid`, with {"done"} or {"error"}. New reference. */
json_t *shell_command(void *data, uid_t uid, const char *line); /* a localsock_fn; of a struct shell */

#endif
