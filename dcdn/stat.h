/* stat.h: HAProxy's reply to `show stat BACKEND 4 -1`: a table of comma-separated values, a row for each server.
 *
 * Columns are found by their names in the first line; HAProxy adds some with every version.
 * Ownership: results are the caller's. Thread safety: pure functions.
 */
#ifndef DCDN_STAT_H
#define DCDN_STAT_H

#include <glib.h>

struct stat_row {
    char *server;         /* "room-a.pop-a1" */
    char *status;         /* "UP", "UP 1/3", "DOWN", "DOWN 1/2", "MAINT", "no check", ... */
    char *check;          /* what its last check said, "L4TOUT", with "* " before it while one is under way */
    char *check_duration; /* of that check, ms; "" unknown. Both are NULL where the reply does not have them */
};

/* GPtrArray of struct stat_row *, the rows that are whole, in their order; none in a reply without names of columns or
 * without server and status. g_ptr_array_unref. */
GPtrArray *stat_read(const char *reply);
/* Status of the first row of that server; "" when there is none. Borrowed. */
const char *stat_status(const GPtrArray *rows, const char *server);

#endif
