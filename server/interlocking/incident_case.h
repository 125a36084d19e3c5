/* incident_case.h: an incident as a case: a text that people review and that a test replays byte for byte.
 *
 *   # a remark; kept
 *   {"in": "config", ...}            a snapshot (incident.h): where it begins
 *   +12.345678 {"in": "edge", ...}   an input, so many seconds after the snapshot; its "at" is left out
 *   > publish 2.17 0123...           what came out of it: effect_lines, or "refused: REASON"
 *   ? status                         a mark: what people would have seen then, in the lines that begin with |
 *   ? execution ID
 *   ? explain URL
 * Lines with > and | are expectations: incident_run writes them anew. A recording becomes a case by incident_cut.
 *
 * Texts are the caller's (g_free). Thread safety: pure functions.
 */
#ifndef INTERLOCKING_INCIDENT_CASE_H
#define INTERLOCKING_INCIDENT_CASE_H

#include "server/interlocking/incident.h"

/* The case with its expectations as they come out now. SB_ERROR_INVALID, "line 12: ...", if it is none. */
char *incident_run(const char *incident, GError **error);
/* Leaves out what changes no expectation: reports, and executions and events of old. *dropped: lines. */
char *incident_trim(const char *incident, unsigned *dropped, GError **error);

/* What a recording said beside what was asked for. */
struct incident_note {
    int64_t began_us, ended_us; /* wall clock of the first and the last input in the recording; 0: there is none */
    unsigned inputs, effects;   /* in the case; effects as the server recorded them */
    char *differs;              /* the first effect that a replay does not repeat, for people; NULL: there is none */
    unsigned gaps;              /* times that something is missing, or the server began anew */
};
void incident_note_clear(struct incident_note *note);
/* What was between two times (wall clock, µs), marks with it. recording: files of the black box, one behind the other.
 * SB_ERROR_NOT_FOUND when it holds nothing of that time; note is set all the same. */
char *incident_cut(const char *recording, int64_t from_us, int64_t to_us, struct incident_note *note, GError **error);
/* The engine as it stood at that time; NULL with SB_ERROR_NOT_FOUND. *now_us: its clock then. */
struct engine *incident_engine_at(const char *recording, int64_t wall_us, int64_t *now_us, GError **error);

#endif
