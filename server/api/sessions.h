/* sessions.h: people who have logged in on the console.
 *
 * A session is 256 random bits in a cookie that scripts cannot read and other sites cannot have sent (HttpOnly,
 * SameSite=Strict). Only its SHA-256 is kept, here and in the journal (kind "session", id its hash), so that an open
 * page goes on when the server was started anew. What a person may is the user's (tokens.h), looked up at each request.
 * Each login makes a new one; none that a browser brings along is ever taken over.
 *
 * A change takes the session's second secret too, in a header: that is made of the first, but a page gets it in an
 * answer only, and another site's cannot read those (cross-site request forgery).
 *
 * Thread safety: any thread. Sessions are made and ended on the engine's thread, so that their order is the journal's.
 */
#ifndef API_SESSIONS_H
#define API_SESSIONS_H

#include "core/auto.h"
#include "server/interlocking/journal_entry.h"
#include <stdbool.h>

#define SESSION_TEXT_SIZE 48 /* bytes of a cookie's value, and of its second secret, with NUL */
#define SESSION_ID_SIZE 65   /* SHA-256 in hex */
#define SESSION_TIME_S 43200 /* until it ends, whatever is done in it */
#define SESSIONS_MAX 1000    /* all together, */
#define SESSIONS_USER_MAX 20 /* and of one user: one more, and the oldest ends */
#define SESSION_HEADER "X-CSRF-Token"
/* Names of the cookie: over TLS one that no other host and no path of this one can have set (RFC 6265bis 4.1.3.2). */
#define SESSION_COOKIE_TLS "__Host-signalbox"
#define SESSION_COOKIE "signalbox"

struct sessions;
struct sessions *sessions_new(void);
void sessions_free(struct sessions *sessions);
SB_AUTO_DEFINE(sessions, sessions_free)

struct session {
    char id[SESSION_ID_SIZE];
    char *user;
    int64_t made_us, expires_us; /* wall clock */
};
void session_clear(struct session *session);

/* A new session: its cookie's text, and its journal entry. Nothing is kept yet: sessions_restore does that. */
struct journal_entry *sessions_make(const char *user, int64_t wall_us, char text[static SESSION_TEXT_SIZE]);
/* Takes in an entry of the journal; a null body ends the session. */
bool sessions_restore(struct sessions *sessions, const struct journal_entry *entry, GError **error);
/* The session of a cookie, a copy for session_clear; false: there is none, or its time is over. */
bool sessions_find(struct sessions *sessions, const char *text, int64_t wall_us, struct session *session);
/* Entries that end what must go before `user` (or NULL: nobody) gets one more (struct journal_entry *, appended). */
void sessions_due(struct sessions *sessions, const char *user, int64_t wall_us, GPtrArray *entries);
/* The second secret. */
void session_second(const char *text, char second[static SESSION_TEXT_SIZE]);
/* Is it this? In constant time; found may be NULL. */
bool session_second_is(const char *text, const char *found);

#endif
