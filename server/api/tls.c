#include "server/api/tls.h"

#include "core/error.h"
#include "core/fileio.h"
#include "core/log.h"
#include "core/loop.h"
#include "schema/object.h"

#include <gnutls/x509.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#define PEM_SIZE_MAX (1u << 20)
#define CHAIN_MAX 8
#define NAME_SIZE 256

/* As a file was when it was read. */
struct mark {
    struct timespec at;
    off_t size;
    ino_t inode;
};
enum { FILE_CERT, FILE_KEY, FILE_CA, FILE_REVOKED, FILES };

struct shown {
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned n;
    gnutls_privkey_t key;
};

struct tls {
    char *paths[FILES]; /* or NULL */
    char *agents_ca;    /* as read at the start */
    pthread_mutex_t lock;
    /* Under lock. */
    struct mark marks[FILES];
    struct shown *shown;             /* the newest of `all` */
    GPtrArray *all;                  /* struct shown *: handshakes may still use an older one */
    gnutls_x509_trust_list_t agents; /* or NULL */
    unsigned reading;
    int64_t logged_us;
    atomic_uint_least64_t refused[TLS_REFUSED_KINDS];
};

static const char *const flags[FILES] = {"--tls-cert", "--tls-key", "--agents-ca", "--agents-revoked"};

/* ---- reading ---- */

static bool wrong(const char *flag, const char *path, const char *expected, int rc, GError **error)
{
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s: %s: expected %s%s%s", flag, path, expected, rc < 0 ? ": " : "",
                rc < 0 ? gnutls_strerror(rc) : "");
    return false;
}

static char *read_pem(const struct tls *tls, int file, GError **error)
{
    char *text = file_read(tls->paths[file], PEM_SIZE_MAX, NULL, error);
    if (text == NULL)
        g_prefix_error(error, "%s: ", flags[file]);
    return text;
}

static gnutls_datum_t datum_of(const char *text)
{
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)text, text != NULL ? (unsigned)strlen(text) : 0};
}

static void shown_free(void *data)
{
    struct shown *shown = data;
    for (unsigned i = 0; i < shown->n; i++)
        gnutls_pcert_deinit(&shown->chain[i]);
    gnutls_privkey_deinit(shown->key);
    g_free(shown);
}

/* Do they belong together? */
static int check_pair(const gnutls_datum_t *cert, const gnutls_datum_t *key)
{
    gnutls_certificate_credentials_t credentials;
    gnutls_certificate_allocate_credentials(&credentials);
    int rc = gnutls_certificate_set_x509_key_mem(credentials, cert, key, GNUTLS_X509_FMT_PEM);
    gnutls_certificate_free_credentials(credentials);
    return rc;
}

static struct shown *read_shown(const struct tls *tls, GError **error)
{
    g_autofree char *cert_pem = read_pem(tls, FILE_CERT, error);
    g_autofree char *key_pem = cert_pem != NULL ? read_pem(tls, FILE_KEY, error) : NULL;
    if (key_pem == NULL)
        return NULL;
    struct shown *shown = g_new0(struct shown, 1);
    gnutls_datum_t cert = datum_of(cert_pem), key = datum_of(key_pem);
    unsigned n = CHAIN_MAX;
    gnutls_privkey_init(&shown->key);
    int rc = check_pair(&cert, &key);
    if (rc >= 0)
        rc = gnutls_pcert_list_import_x509_raw(shown->chain, &n, &cert, GNUTLS_X509_FMT_PEM, 0);
    if (rc >= 0) {
        shown->n = n;
        rc = gnutls_privkey_import_x509_raw(shown->key, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
    }
    sodium_memzero(key_pem, strlen(key_pem));
    if (rc >= 0)
        return shown;
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                "--tls-cert, --tls-key: expected a certificate and its key in PEM: %s", gnutls_strerror(rc));
    shown_free(shown);
    return NULL;
}

static bool read_agents(const struct tls *tls, gnutls_x509_trust_list_t *list, GError **error)
{
    g_autofree char *ca_pem = read_pem(tls, FILE_CA, error), *crl_pem = NULL;
    if (ca_pem == NULL || (tls->paths[FILE_REVOKED] != NULL && (crl_pem = read_pem(tls, FILE_REVOKED, error)) == NULL))
        return false;
    gnutls_datum_t ca = datum_of(ca_pem), crl = datum_of(crl_pem);
    gnutls_x509_trust_list_init(list, 0);
    int rc = gnutls_x509_trust_list_add_trust_mem(*list, &ca, NULL, GNUTLS_X509_FMT_PEM, 0, 0);
    bool ok = rc > 0 || wrong(flags[FILE_CA], tls->paths[FILE_CA], "certificates in PEM", rc, error);
    if (ok && crl_pem != NULL) {
        rc = gnutls_x509_trust_list_add_trust_mem(*list, NULL, &crl, GNUTLS_X509_FMT_PEM,
                                                  GNUTLS_TL_VERIFY_CRL | GNUTLS_TL_FAIL_ON_INVALID_CRL,
                                                  GNUTLS_VERIFY_DISABLE_CRL_CHECKS | GNUTLS_VERIFY_DISABLE_TIME_CHECKS);
        ok = rc > 0 || wrong(flags[FILE_REVOKED], tls->paths[FILE_REVOKED],
                             "a list of revoked certificates in PEM, signed by the CA of --agents-ca", rc, error);
    }
    if (!ok) {
        gnutls_x509_trust_list_deinit(*list, 1);
        *list = NULL;
    }
    return ok;
}

static struct mark mark_of(const char *path)
{
    struct stat st;
    if (path == NULL || stat(path, &st) != 0)
        return (struct mark){0};
    return (struct mark){st.st_mtim, st.st_size, st.st_ino};
}

static bool same_mark(const struct mark *a, const struct mark *b)
{
    return a->at.tv_sec == b->at.tv_sec && a->at.tv_nsec == b->at.tv_nsec && a->size == b->size && a->inode == b->inode;
}

/* All of it, or nothing. The marks are those from before: what changes meanwhile is seen the next time. */
static bool read_all(struct tls *tls, GError **error)
{
    gnutls_x509_trust_list_t agents = NULL;
    struct shown *shown = read_shown(tls, error);
    if (shown == NULL)
        return false;
    if (tls->paths[FILE_CA] != NULL && !read_agents(tls, &agents, error)) {
        shown_free(shown);
        return false;
    }
    if (tls->agents != NULL)
        gnutls_x509_trust_list_deinit(tls->agents, 1);
    tls->agents = agents;
    tls->shown = shown;
    g_ptr_array_add(tls->all, shown);
    tls->reading++;
    return true;
}

struct tls *tls_new(const struct tls_files *files, GError **error)
{
    struct tls *tls = g_new0(struct tls, 1);
    const char *const paths[FILES] = {files->cert, files->key, files->agents_ca, files->agents_revoked};
    pthread_mutex_init(&tls->lock, NULL);
    tls->all = g_ptr_array_new_with_free_func(shown_free);
    for (int i = 0; i < FILES; i++) {
        tls->paths[i] = g_strdup(paths[i]);
        tls->marks[i] = mark_of(paths[i]);
    }
    if (read_all(tls, error) && (paths[FILE_CA] == NULL || (tls->agents_ca = read_pem(tls, FILE_CA, error)) != NULL))
        return tls;
    tls_free(tls);
    return NULL;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    if (tls->agents != NULL)
        gnutls_x509_trust_list_deinit(tls->agents, 1);
    g_ptr_array_unref(tls->all);
    for (int i = 0; i < FILES; i++)
        g_free(tls->paths[i]);
    g_free(tls->agents_ca);
    pthread_mutex_destroy(&tls->lock);
    g_free(tls);
}

void tls_look(struct tls *tls)
{
    g_autoptr(GError) error = NULL;
    bool changed = false;
    struct mark marks[FILES];
    for (int i = 0; i < FILES; i++)
        marks[i] = mark_of(tls->paths[i]);
    pthread_mutex_lock(&tls->lock);
    for (int i = 0; i < FILES; i++)
        changed |= !same_mark(&marks[i], &tls->marks[i]);
    memcpy(tls->marks, marks, sizeof marks);
    bool ok = !changed || read_all(tls, &error);
    pthread_mutex_unlock(&tls->lock);
    if (!ok)
        log_warning("certificates have changed and cannot be used: those from before stay in force", "error=\"%s\"",
                    error->message);
    else if (changed)
        log_info("certificates have changed and are in force", "cert=%s", tls->paths[FILE_CERT]);
}

bool tls_asks_agents(const struct tls *tls)
{
    return tls->paths[FILE_CA] != NULL;
}

const char *tls_agents_ca(const struct tls *tls)
{
    return tls->agents_ca;
}

void tls_show(struct tls *tls, gnutls_pcert_st **chain, unsigned *n, gnutls_privkey_t *key)
{
    pthread_mutex_lock(&tls->lock);
    *chain = tls->shown->chain;
    *n = tls->shown->n;
    *key = tls->shown->key;
    pthread_mutex_unlock(&tls->lock);
}

/* ---- the other side ---- */

static const char *const refusal_names[] = {
#define X(symbol, word) word,
    TLS_REFUSALS(X)
#undef X
};

const char *tls_refusal_name(enum tls_refusal refusal)
{
    return refusal_names[refusal];
}

uint64_t tls_refused(struct tls *tls, enum tls_refusal refusal)
{
    return atomic_load_explicit(&tls->refused[refusal], memory_order_relaxed);
}

/* A stranger cannot fill the log. */
static bool log_now(struct tls *tls)
{
    int64_t now_us = loop_now_us();
    pthread_mutex_lock(&tls->lock);
    bool now = tls->logged_us == 0 || now_us - tls->logged_us >= G_USEC_PER_SEC;
    if (now)
        tls->logged_us = now_us;
    pthread_mutex_unlock(&tls->lock);
    return now;
}

static bool refuse(struct tls *tls, enum tls_refusal refusal, char *const *names, const char *detail, GError **error)
{
    g_autofree char *joined = names != NULL ? g_strjoinv(", ", (char **)(uintptr_t)names) : g_strdup("");
    g_autofree char *quoted = text_quote(joined), *why = text_quote(detail);
    atomic_fetch_add_explicit(&tls->refused[refusal], 1, memory_order_relaxed);
    if (log_now(tls))
        log_warning("an agent was refused for its certificate", "reason=%s names=%s detail=%s", refusal_names[refusal],
                    quoted, why);
    g_set_error_literal(error, SB_ERROR, refusal == TLS_NAME ? SB_ERROR_FORBIDDEN : SB_ERROR_UNAUTHORIZED, detail);
    return false;
}

static char **names_of(gnutls_x509_crt_t crt)
{
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    char name[NAME_SIZE];
    bool some = false;
    for (unsigned i = 0;; i++) {
        size_t size = sizeof name - 1;
        int type = gnutls_x509_crt_get_subject_alt_name(crt, i, name, &size, NULL);
        if (type < 0 && type != GNUTLS_E_SHORT_MEMORY_BUFFER)
            break;
        if (type != GNUTLS_SAN_DNSNAME)
            continue;
        name[size] = '\0';
        g_strv_builder_add(names, strlen(name) == size ? name : ""); /* a NUL in it names nobody */
        some = true;
    }
    size_t size = sizeof name;
    if (!some && gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &size) == 0)
        g_strv_builder_add(names, strlen(name) == size ? name : "");
    return g_strv_builder_end(names);
}

static bool judge(struct tls *tls, unsigned status, char *const *names, GError **error)
{
    /* That a list of revoked ones is old, or of tomorrow, is no fault of the agent's. */
    status &= ~(unsigned)(GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED | GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE |
                          GNUTLS_CERT_INVALID);
    if (status == 0)
        return true;
    if (status & GNUTLS_CERT_REVOKED)
        return refuse(tls, TLS_REVOKED, names, "the client's certificate is revoked", error);
    if (status & (GNUTLS_CERT_EXPIRED | GNUTLS_CERT_NOT_ACTIVATED))
        return refuse(tls, TLS_EXPIRED, names, "the client's certificate has ended, or has not begun", error);
    return refuse(tls, TLS_UNTRUSTED, names,
                  "the client's certificate is not one for TLS clients that the CA of --agents-ca has signed", error);
}

/* What the peer has shown, against the files as they are now; *names and *ends_s also of one that counts for nothing.
 */
static bool verify(struct tls *tls, gnutls_x509_crt_t *chain, unsigned n, unsigned *reading, GError **error,
                   char **names)
{
    gnutls_typed_vdata_st purpose = {GNUTLS_DT_KEY_PURPOSE_OID, (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT,
                                     0};
    unsigned status = GNUTLS_CERT_INVALID | GNUTLS_CERT_SIGNER_NOT_FOUND;
    pthread_mutex_lock(&tls->lock);
    int rc = gnutls_x509_trust_list_verify_crt2(tls->agents, chain, n, &purpose, 1, 0, &status, NULL);
    *reading = tls->reading;
    pthread_mutex_unlock(&tls->lock);
    return judge(tls, rc < 0 ? GNUTLS_CERT_SIGNER_NOT_FOUND : status, names, error);
}

void tls_peer_clear(struct tls_peer *peer)
{
    g_clear_pointer(&peer->names, g_strfreev);
}

static unsigned import_chain(gnutls_session_t session, gnutls_x509_crt_t chain[static CHAIN_MAX])
{
    unsigned n = 0, imported = 0;
    const gnutls_datum_t *raw = gnutls_certificate_get_peers(session, &n);
    for (; raw != NULL && imported < MIN(n, CHAIN_MAX); imported++) {
        gnutls_x509_crt_init(&chain[imported]);
        if (gnutls_x509_crt_import(chain[imported], &raw[imported], GNUTLS_X509_FMT_DER) == 0)
            continue;
        gnutls_x509_crt_deinit(chain[imported]);
        break;
    }
    return imported;
}

bool tls_check_peer(struct tls *tls, gnutls_session_t session, struct tls_peer *peer, int64_t wall_us, GError **error)
{
    gnutls_x509_crt_t chain[CHAIN_MAX];
    pthread_mutex_lock(&tls->lock);
    bool known = peer->names != NULL && peer->reading == tls->reading && wall_us / G_USEC_PER_SEC < peer->ends_s;
    pthread_mutex_unlock(&tls->lock);
    if (known)
        return true;
    unsigned n = import_chain(session, chain);
    if (n == 0)
        return refuse(tls, TLS_NONE, NULL, "found no certificate of the client's, expected one", error);
    char **names = names_of(chain[0]);
    bool ok = verify(tls, chain, n, &peer->reading, error, names);
    peer->ends_s = gnutls_x509_crt_get_expiration_time(chain[0]);
    tls_peer_clear(peer);
    if (ok)
        peer->names = g_steal_pointer(&names);
    g_strfreev(names);
    for (unsigned i = 0; i < n; i++)
        gnutls_x509_crt_deinit(chain[i]);
    return ok;
}

void tls_refuse_name(struct tls *tls, const struct tls_peer *peer, const char *who, GError **error)
{
    g_autofree char *joined = g_strjoinv(", ", peer->names), *found = text_quote(joined);
    g_autofree char *detail = g_strdup_printf(
        "the token is %s's, the client's certificate names %s: an agent speaks for itself only", who, found);
    refuse(tls, TLS_NAME, peer->names, detail, error);
}
