/* files.h: configuration and maps on disk, so that HAProxy comes up with what is in force however it is started.
 *
 * Thread safety: a struct edge_files belongs to one thread.
 */
#ifndef DCDN_FILES_H
#define DCDN_FILES_H

#include "dcdn/render.h"

/* What the files hold, as far as we know: only what differs is written. */
struct edge_files {
    GBytes *written[EDGE_MAPS + 1];
    bool unsynced[EDGE_MAPS + 1]; /* perhaps not on disk yet */
};
void edge_files_clear(struct edge_files *files);
/* STATE/haproxy.cfg, STATE/splits.map, ... Each is old or new, never half; what others need is written before them.
 * A process that starts now reads the new ones. That they survive a crash of the machine is not waited for: they are
 * derived from last-good, which does, and which `signalbox-edge --render-only` makes them from before HAProxy starts.
 */
bool edge_files_write(struct edge_files *files, const struct edge_state *state, const struct edge_settings *settings,
                      GError **error);
/* Removes what a process that was killed amid edge_files_write has left. */
void edge_files_sweep(const struct edge_settings *settings);
/* Makes them durable all the same, when nobody waits for it. */
void edge_files_sync(struct edge_files *files, const struct edge_settings *settings);
char *edge_map_path(const struct edge_settings *settings, enum edge_map map); /* g_free */

#endif
