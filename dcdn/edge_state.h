/* edge_state.h: what HAProxy is to have: maps, servers, and which of them are out. A pure function of a table's parts.
 *
 * Backends, each a way to be answered; R is a room, and a server's name is ROOM.ENTRANCE:
 *   be_multi_R      the room's entrances                                    multi-active services
 *   be_multi-dr_R   those, and the other rooms' as backup                   the same with automatic DR
 *   be_multi-away_R the other rooms' entrances, and R's as backup           the same while R is held away (hold.h)
 *   be_single_R     the room's entrances                                    services of one room
 *   be_relay        dedicated edges                                         dedicated groups met at a public edge
 *   be_health       every entrance, never out, no user traffic              what is reported as health
 * A dedicated edge has fallbacks, a room's POPs: backups too, behind the entrances whose room they are of.
 * All but be_health each a second time as be_patient-...: what is slow is not asked again there, only what is lost.
 * A backup follows the health that be_health sees (`track`); all others have checks of their own, because only those
 * notice a failure by the traffic itself.
 *
 * Thread safety: pure functions; a struct edge_state belongs to one thread, and nothing but edge_state_set_home
 * changes it after edge_state_new.
 */
#ifndef DCDN_EDGE_STATE_H
#define DCDN_EDGE_STATE_H

#include "core/auto.h"
#include "schema/addr.h"
#include "schema/table.h"

enum edge_map { MAP_SPLITS, MAP_ROOMS, MAP_POLICIES, MAP_META, MAP_ROUTES, MAP_HOLDS, EDGE_MAPS };
const char *edge_map_name(enum edge_map map); /* "splits" */

#define EDGE_BACKEND "be_"
#define EDGE_BACKEND_PATIENT "be_patient-"

struct edge_server {
    char *backend;
    char *name; /* "room-a.pop-a1"; of a relay the edge's name */
    struct endpoint address;
    bool backup;
    bool out; /* in maintenance */
};
struct edge_answer {
    char *service;
    unsigned status; /* 200 or 503 */
    char *body;      /* answer_body_valid */
};
struct edge_state {
    bool dedicated;
    struct stamp stamp;
    GPtrArray *rooms;            /* char *, rooms with an entrance, sorted */
    GPtrArray *answers;          /* struct edge_answer *, static answers that services declare */
    GPtrArray *servers;          /* struct edge_server *, by backend, in the order of the configuration */
    GHashTable *maps[EDGE_MAPS]; /* key -> value */
    GBytes *text[EDGE_MAPS];     /* the same as a file */
    GHashTable *hold_notes;      /* room -> the line above its row in the file of MAP_HOLDS */
};
/* Checks every part again, characters above all: SB_ERROR_INVALID with what was found, and NULL. */
struct edge_state *edge_state_new(const struct manifest *manifest, GBytes *const parts[static PARTS], GError **error);
/* Before there is any table: no maps, no servers; every host is unknown. */
struct edge_state *edge_state_empty(void);
/* MAP_HOLDS has a row for each room, how many of its slots go home; all of them unless this says otherwise. note: what
 * its file says besides, a line without its end that HAProxy passes over ("# ..."); NULL: nothing. */
void edge_state_set_home(struct edge_state *state, const char *room, unsigned home, const char *note);
void edge_state_free(struct edge_state *state);
SB_AUTO_DEFINE(edge_state, edge_state_free)

/* True when the text can stand in a map, a configuration and a command of HAProxy's, where a semicolon begins the next
 * command and a space the next word. */
bool edge_text_safe(const char *text);

#endif
