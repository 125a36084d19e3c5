/* tls.h: the certificate that a server shows, and the certificates of agents that it believes: PEM files, read again
 * when they change, so that a certificate is renewed, or one of an agent's revoked, without a restart.
 *
 * With a CA for agents, their listener hears nobody whose certificate is not signed by it, has ended, or stands in the
 * list of revoked ones (a CRL, RFC 5280 section 5, signed by the same CA). A list that is older than it wants to be
 * still counts: nobody is shut out because nobody has renewed it. Whose certificate it is, its names say: those of the
 * kind DNS of its subjectAltName, or its CN when it has none.
 *
 * An established connection is looked at again when a file has changed, and when its certificate ends.
 *
 * Thread safety: any thread; a struct tls_peer is its connection's.
 */
#ifndef API_TLS_H
#define API_TLS_H

#include "core/auto.h"
#include <glib.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stdint.h>

struct tls_files {
    const char *cert, *key;                 /* the server's own chain, and its key */
    const char *agents_ca, *agents_revoked; /* or NULL */
};

/* Why a client's certificate counts for nothing. X(symbol, word for the metric) */
#define TLS_REFUSALS(X)                                                                                                \
    X(NONE, "none")                                                                                                    \
    X(UNTRUSTED, "untrusted")                                                                                          \
    X(EXPIRED, "expired")                                                                                              \
    X(REVOKED, "revoked")                                                                                              \
    X(NAME, "name")
enum tls_refusal {
#define X(symbol, word) TLS_##symbol,
    TLS_REFUSALS(X)
#undef X
        TLS_REFUSED_KINDS
};

struct tls;
/* Reads and checks all of them; SB_ERROR_INVALID says which file is not what it should be. */
struct tls *tls_new(const struct tls_files *files, GError **error);
void tls_free(struct tls *tls); /* NULL is allowed */
SB_AUTO_DEFINE(tls, tls_free)
/* Reads again what has changed; to be called now and then. What cannot be used is logged, and what was in force stays.
 */
void tls_look(struct tls *tls);
bool tls_asks_agents(const struct tls *tls); /* it has a CA for them */
/* PEM text of that CA as it was at the start, for the list of names that a handshake sends; NULL: none. */
const char *tls_agents_ca(const struct tls *tls);

/* The chain and key to show; they stay until tls_free. */
void tls_show(struct tls *tls, gnutls_pcert_st **chain, unsigned *n, gnutls_privkey_t *key);

/* What is known of the other side of a connection; zero at first, tls_peer_clear at its end. */
struct tls_peer {
    char **names;     /* of its certificate, NULL-terminated; NULL: not checked yet */
    unsigned reading; /* of the files, with which it was checked */
    int64_t ends_s;   /* wall clock */
};
void tls_peer_clear(struct tls_peer *peer);
/* Is the client's certificate good, now? SB_ERROR_UNAUTHORIZED says why not, which is counted and logged, once a second
 * at most. */
bool tls_check_peer(struct tls *tls, gnutls_session_t session, struct tls_peer *peer, int64_t wall_us, GError **error);
/* Counts and logs a certificate of another name than `who`. */
void tls_refuse_name(struct tls *tls, const struct tls_peer *peer, const char *who, GError **error);

/* "untrusted" */
const char *tls_refusal_name(enum tls_refusal refusal);
uint64_t tls_refused(struct tls *tls, enum tls_refusal refusal); /* since the start */

#endif
