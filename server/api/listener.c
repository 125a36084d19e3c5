#include "server/api/listener.h"

#include "core/error.h"
#include "core/log.h"
#include "core/loop.h"
#include "server/api/daemon_thread.h"
#include "server/api/framing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define END_TIME_S 3                       /* for answers to leave when the listener ends */
#define CONNECTION_MEMORY_SIZE (16u << 10) /* bytes; larger headers are 431, a larger URI 414 */

struct listener {
    struct listener_config config;
    struct daemon_thread *thread;
    bool quiesced; /* its socket is ours, open until the thread that knows it has ended */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* n_parked or n_open went down; CLOCK_MONOTONIC */
    struct peers *peers;
    unsigned n_parked;                           /* under lock */
    unsigned n_open;                             /* requests between begin and end; under lock */
    bool ending;                                 /* under lock */
    _Atomic uint64_t answers[LISTENER_STATUSES]; /* by status - 100 */
};

/* What is kept of a connection between its requests. */
struct channel {
    struct listener *listener;
    struct peer *peer;
    struct tls_peer certificate;
    uid_t uid;
    char address[INET6_ADDRSTRLEN];
    size_t uri_size; /* of the request that is being read */
};

/* ---- connections ---- */

static void set_deadline(struct request *request, int64_t deadline_us)
{
    peers_set_deadline(request->listener->peers, request->channel->peer, deadline_us);
}

static void take_address(struct channel *channel, const struct sockaddr *from)
{
    if (from->sa_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)from)->sin_addr, channel->address,
                  sizeof channel->address);
    } else if (from->sa_family == AF_INET6) {
        struct in6_addr address = ((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
        if (!IN6_IS_ADDR_V4MAPPED(&address))
            memset(&address.s6_addr[8], 0, 8);
        inet_ntop(AF_INET6, &address, channel->address, sizeof channel->address);
    }
}

static struct channel *channel_new(struct listener *listener, struct MHD_Connection *connection)
{
    struct channel *channel = g_new0(struct channel, 1);
    struct ucred credentials = {.uid = (uid_t)-1};
    socklen_t size = sizeof credentials;
    int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    if (listener->config.local)
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size);
    channel->listener = listener;
    channel->uid = credentials.uid;
    take_address(channel, MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
    channel->peer =
        peers_add(listener->peers, fd, !listener->config.local, loop_now_us() + listener->config.limits.headers_us);
    return channel;
}

static void on_connection(void *data, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct listener *listener = data;
    struct channel *channel = *context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = channel_new(listener, connection);
    } else { /* its descriptor is still open */
        peers_remove(listener->peers, channel->peer);
        tls_peer_clear(&channel->certificate);
        g_free(channel);
    }
}

static struct channel *channel_of(struct MHD_Connection *connection)
{
    return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

void request_trust(struct request *request)
{
    peers_trust(request->listener->peers, request->channel->peer);
}

void listener_reap(struct listener *listener, int64_t now_us)
{
    peers_reap(listener->peers, now_us);
}

void listener_count(struct listener *listener, struct listener_figures *figures)
{
    peers_count(listener->peers, &figures->peers);
    for (unsigned i = 0; i < LISTENER_STATUSES; i++)
        figures->answers[i] = atomic_load_explicit(&listener->answers[i], memory_order_relaxed);
    pthread_mutex_lock(&listener->lock);
    figures->parked = listener->n_parked;
    pthread_mutex_unlock(&listener->lock);
}

/* ---- answers ---- */

static void free_owner(void *owner)
{
    resolved_unref(owner);
}

static struct MHD_Response *make_response(struct reply *reply)
{
    if (reply->fixed != NULL)
        return MHD_create_response_from_buffer(reply->size, (void *)(uintptr_t)reply->fixed, MHD_RESPMEM_PERSISTENT);
    if (reply->part != NULL) {
        size_t size;
        const void *bytes = g_bytes_get_data(reply->part, &size);
        struct resolved *owner = g_steal_pointer(&reply->owner);
        return MHD_create_response_from_buffer_with_free_callback_cls(size, (void *)(uintptr_t)bytes, free_owner,
                                                                      owner);
    }
    char *body = reply->body != NULL ? g_steal_pointer(&reply->body) : g_strdup("");
    return MHD_create_response_from_buffer_with_free_callback_cls(reply->size, body, g_free, body);
}

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
    if (value != NULL)
        MHD_add_response_header(response, name, value);
}

/* What a browser has to know of a page and what belongs to it. */
static void add_page_headers(struct MHD_Response *response, const struct reply *reply)
{
    if (reply->policy == NULL)
        return;
    add_header(response, "Content-Security-Policy", reply->policy);
    add_header(response, "Cross-Origin-Opener-Policy", "same-origin");
    add_header(response, "Referrer-Policy", "no-referrer");
    add_header(response, MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT_ENCODING);
}

static enum MHD_Result answer(struct request *request)
{
    struct reply *reply = &request->reply;
    g_assert(reply->status >= 100 && reply->status < 100 + LISTENER_STATUSES);
    request->stage = REQUEST_ANSWERED;
    reply->close |= reply->status >= 400 && reply->status < 500; /* who errs may have meant another end than we do */
    atomic_fetch_add_explicit(&request->listener->answers[reply->status - 100], 1, memory_order_relaxed);
    set_deadline(request, loop_now_us() + request->listener->config.limits.answer_us);
    struct MHD_Response *response = make_response(reply);
    add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->content_type);
    add_header(response, MHD_HTTP_HEADER_ETAG, reply->etag);
    add_header(response, MHD_HTTP_HEADER_LOCATION, reply->location);
    add_header(response, MHD_HTTP_HEADER_LINK, reply->link);
    add_header(response, MHD_HTTP_HEADER_ALLOW, reply->allow);
    add_header(response, MHD_HTTP_HEADER_SET_COOKIE, reply->cookie);
    add_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, reply->encoding);
    add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, reply->cache != NULL ? reply->cache : "no-store");
    g_autofree char *retry = reply->retry_s > 0 ? g_strdup_printf("%" G_GINT64_FORMAT, reply->retry_s) : NULL;
    add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, retry);
    add_page_headers(response, reply);
    add_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, reply->status == 401 ? "Bearer" : NULL);
    add_header(response, "Idempotency-Replayed", reply->replayed ? "true" : NULL);
    add_header(response, "X-Content-Type-Options", "nosniff");
    add_header(response, MHD_HTTP_HEADER_CONNECTION, reply->close ? "close" : NULL);
    enum MHD_Result result = MHD_queue_response(request->connection, reply->status, response);
    MHD_destroy_response(response);
    return result;
}

/* An answer before the user of the listener is asked, or when it gave none. */
static void refuse(struct request *request, enum sb_error kind, const char *detail)
{
    g_autoptr(GError) error = g_error_new_literal(SB_ERROR, (int)kind, detail);
    request->reply.status = error_http_status(error);
    request->reply.content_type = "application/problem+json";
    request->reply.body =
        g_strdup_printf("{\"type\":\"urn:signalbox:problem:%s\",\"title\":\"%s\",\"status\":%u,"
                        "\"detail\":\"%s\"}\n",
                        error_kind_name(error), error_kind_title(error), request->reply.status, detail);
    request->reply.size = strlen(request->reply.body);
    request->reply.close = true;
}

/* ---- requests ---- */

const char *request_header(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *request_cookie(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_COOKIE_KIND, name);
}

char *request_query(const struct request *request, const char *name)
{
    const char *value = NULL;
    size_t size;
    if (MHD_lookup_connection_value_n(request->connection, MHD_GET_ARGUMENT_KIND, name, strlen(name), &value, &size) ==
        MHD_NO)
        return NULL;
    char *decoded = value != NULL ? g_uri_unescape_string(value, NULL) : NULL; /* NULL: %00 or half an escape */
    return decoded != NULL ? decoded : g_strdup("");
}

static const char *bearer_of(struct MHD_Connection *connection)
{
    const char *value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    return value != NULL && g_ascii_strncasecmp(value, "Bearer ", 7) == 0 ? value + 7 : NULL;
}

static struct request *request_new(struct listener *listener, struct MHD_Connection *connection, const char *method,
                                   const char *path)
{
    struct request *request = g_new0(struct request, 1);
    request->listener = listener;
    request->connection = connection;
    request->method = method;
    request->path = path;
    request->bearer = bearer_of(connection);
    request->if_match = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_MATCH);
    request->idempotency_key = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Idempotency-Key");
    request->last_event_id = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Last-Event-ID");
    request->channel = channel_of(connection);
    request->peer_uid = request->channel->uid;
    request->peer_address = request->channel->address;
    request->body = g_byte_array_new();
    request->body_size_max = BODY_SIZE_MAX;
    set_deadline(request, loop_now_us() + listener->config.limits.body_us);
    pthread_mutex_lock(&listener->lock);
    listener->n_open++;
    pthread_mutex_unlock(&listener->lock);
    return request;
}

static void refuse_size(struct request *request)
{
    g_autofree char *text =
        g_strdup_printf("body: found more than %zu bytes, expected at most that many", request->body_size_max);
    refuse(request, SB_ERROR_TOO_LARGE, text);
}

/* Does the client show a certificate that is good at this moment? What it is refused with has no quotes in it. */
static bool check_certificate(struct listener *listener, struct request *request)
{
    g_autoptr(GError) error = NULL;
    struct tls_peer *certificate = &request->channel->certificate;
    if (!listener->config.asks_certificates)
        return true;
    void *session = MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session;
    if (!tls_check_peer(listener->config.tls, session, certificate, wall_now_us(), &error)) {
        refuse(request, SB_ERROR_UNAUTHORIZED, error->message);
        return false;
    }
    request->certificate = certificate;
    return true;
}

/* The first call of a request. libmicrohttpd closes the connection when it is answered here, so only a request that is
 * to be cut off is: one that cannot be trusted to end where it says, or a refused one whose body nobody wants. */
static enum MHD_Result begin(struct listener *listener, struct request *request, const char *version)
{
    struct framing framing;
    const struct request_line line = {request->method, request->path, version, request->channel->uri_size};
    const char *wrong = framing_check(request->connection, &line, &framing);
    if (wrong != NULL) {
        refuse(request, SB_ERROR_INVALID, wrong);
        return answer(request);
    }
    if (!check_certificate(listener, request))
        return answer(request);
    request->reply.close = framing.chunked; /* framing.h */
    listener->config.begin(listener->config.data, request);
    if (request->reply.status == 0 && framing.content_length > request->body_size_max)
        refuse_size(request);
    if (request->reply.status == 0 || !framing.has_body)
        return MHD_YES;
    request->reply.close = true;
    return answer(request);
}

/* All of what came is taken: libmicrohttpd may not call again for a rest. */
static enum MHD_Result take_body(struct request *request, const char *bytes, size_t *size)
{
    if (request->reply.status == 0 && request->body->len + *size > request->body_size_max)
        refuse_size(request);
    if (request->reply.status == 0)
        g_byte_array_append(request->body, (const guint8 *)bytes, (guint)*size);
    *size = 0;
    return MHD_YES;
}

static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *path, const char *method,
                                  const char *version, const char *upload, size_t *upload_size, void **context)
{
    struct listener *listener = data;
    struct request *request = *context;
    if (request == NULL) {
        request = request_new(listener, connection, method, path);
        *context = request;
        return begin(listener, request, version);
    }
    if (*upload_size > 0)
        return take_body(request, upload, upload_size);
    if (request->stage == REQUEST_RESUMED) {
        listener->config.finish(listener->config.data, request);
        return answer(request);
    }
    if (request->reply.status == 0)
        listener->config.handle(listener->config.data, request);
    /* Not by its stage: who holds a parked request may have resumed it by now, and then it comes back here. */
    return request->parked ? MHD_YES : answer(request);
}

static void reply_clear(struct reply *reply)
{
    g_free(reply->body);
    g_free(reply->etag);
    g_free(reply->location);
    g_free(reply->link);
    g_free(reply->allow);
    g_free(reply->cookie);
    if (reply->owner != NULL)
        resolved_unref(reply->owner);
}

static void on_completed(void *data, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct listener *listener = data;
    struct request *request = *context;
    (void)connection;
    (void)code;
    if (request == NULL)
        return;
    listener->config.end(listener->config.data, request);
    const struct listener_limits *limits = &listener->config.limits;
    bool stranger = peers_is_stranger(listener->peers, request->channel->peer);
    set_deadline(request, loop_now_us() + (stranger ? limits->headers_us : limits->idle_us));
    pthread_mutex_lock(&listener->lock);
    listener->n_open--;
    pthread_cond_broadcast(&listener->changed);
    pthread_mutex_unlock(&listener->lock);
    reply_clear(&request->reply);
    g_byte_array_unref(request->body);
    g_free(request);
    *context = NULL;
}

bool request_park(struct request *request)
{
    struct listener *listener = request->listener;
    pthread_mutex_lock(&listener->lock);
    bool ok = !listener->ending;
    if (ok) {
        g_assert(request->stage == REQUEST_READING);
        request->stage = REQUEST_PARKED;
        request->parked = true;
        set_deadline(request, PEERS_NO_DEADLINE);
        listener->n_parked++;
        MHD_suspend_connection(request->connection);
    }
    pthread_mutex_unlock(&listener->lock);
    return ok;
}

void request_resume(struct request *request)
{
    struct listener *listener = request->listener;
    pthread_mutex_lock(&listener->lock);
    g_assert(request->stage == REQUEST_PARKED);
    request->stage = REQUEST_RESUMED;
    listener->n_parked--;
    daemon_thread_resume(listener->thread, request->connection);
    pthread_cond_broadcast(&listener->changed);
    pthread_mutex_unlock(&listener->lock);
}

/* ---- life ---- */

__attribute__((format(printf, 2, 0))) static void on_log(void *data, const char *format, va_list ap)
{
    char text[256];
    vsnprintf(text, sizeof text, format, ap);
    log_debug("libmicrohttpd", "listener=%s text=\"%s\"", ((struct listener *)data)->config.name, g_strchomp(text));
}

/* Before libmicrohttpd takes the URI apart; what it returns would be the request's context. */
static void *on_uri(void *data, const char *uri, struct MHD_Connection *connection)
{
    (void)data;
    channel_of(connection)->uri_size = framing_uri(uri);
    return NULL;
}

/* Nothing is decoded here: route_match and request_query know what may stand where. */
static size_t unescape(void *data, struct MHD_Connection *connection, char *text)
{
    (void)data;
    (void)connection;
    return strlen(text);
}

/* The certificate to show; libmicrohttpd gives its connection as the session's pointer. */
static int on_handshake(gnutls_session_t session, const gnutls_datum_t *authorities, int n_authorities,
                        const gnutls_pk_algorithm_t *algorithms, int n_algorithms, gnutls_pcert_st **chain,
                        unsigned *n_chain, gnutls_privkey_t *key)
{
    (void)authorities, (void)n_authorities, (void)algorithms, (void)n_algorithms;
    const struct channel *channel = channel_of(gnutls_session_get_ptr(session));
    tls_show(channel->listener->config.tls, chain, n_chain, key);
    return 0;
}

static struct MHD_Daemon *start(struct listener *listener)
{
    const struct listener_config *config = &listener->config;
    const struct listener_limits *limits = &config->limits;
    struct tls *tls = config->tls;
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)(intptr_t)on_handshake},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t) "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
        {config->asks_certificates ? MHD_OPTION_HTTPS_MEM_TRUST : MHD_OPTION_END, 0,
         config->asks_certificates ? (void *)(uintptr_t)tls_agents_ca(tls) : NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    unsigned flags = DAEMON_THREAD_FLAGS | MHD_USE_ERROR_LOG;
    return MHD_start_daemon(
        tls != NULL ? flags | MHD_USE_TLS : flags, 0, NULL, NULL, on_request, listener, MHD_OPTION_EXTERNAL_LOGGER,
        on_log, listener, MHD_OPTION_LISTEN_SOCKET, config->fd, MHD_OPTION_CONNECTION_LIMIT, limits->connections_max,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, limits->per_address_max, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)(limits->idle_us / G_USEC_PER_SEC) + 1, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY_SIZE, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        listener, MHD_OPTION_NOTIFY_CONNECTION, on_connection, listener, MHD_OPTION_URI_LOG_CALLBACK, on_uri, NULL,
        MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL, MHD_OPTION_ARRAY, tls != NULL ? options : &options[3],
        MHD_OPTION_END);
}

static void listener_release(struct listener *listener)
{
    peers_free(listener->peers);
    pthread_cond_destroy(&listener->changed);
    pthread_mutex_destroy(&listener->lock);
    g_free(listener);
}

struct listener *listener_new(const struct listener_config *config, GError **error)
{
    struct listener *listener = g_new0(struct listener, 1);
    listener->config = *config;
    listener->peers = peers_new(config->limits.strangers_max);
    pthread_mutex_init(&listener->lock, NULL);
    loop_cond_init(&listener->changed);
    struct MHD_Daemon *daemon = start(listener);
    if (daemon == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot start the %s listener", config->name);
        close(config->fd);
    } else if ((listener->thread = daemon_thread_new(daemon, error)) != NULL &&
               daemon_thread_start(listener->thread, error)) {
        return listener;
    }
    daemon_thread_free(listener->thread);
    listener_release(listener);
    return NULL;
}

bool listener_is_local(const struct listener *listener)
{
    return listener->config.local;
}

const struct listener_config *listener_config(const struct listener *listener)
{
    return &listener->config;
}

void listener_quiesce(struct listener *listener)
{
    pthread_mutex_lock(&listener->lock);
    listener->ending = true;
    pthread_mutex_unlock(&listener->lock);
    listener->quiesced = true;
    daemon_thread_quiesce(listener->thread);
    shutdown(listener->config.fd, SHUT_RDWR);
}

/* libmicrohttpd aborts the process when it is stopped while a connection is suspended, so the parked ones are waited
 * for without limit: whoever parked them must resume them. */
void listener_free(struct listener *listener)
{
    struct timespec until;
    int rc = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += END_TIME_S;
    pthread_mutex_lock(&listener->lock);
    while (listener->n_parked > 0)
        pthread_cond_wait(&listener->changed, &listener->lock);
    while (listener->n_open > 0 && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&listener->changed, &listener->lock, &until);
    pthread_mutex_unlock(&listener->lock);
    daemon_thread_free(listener->thread);
    if (listener->quiesced)
        close(listener->config.fd);
    listener_release(listener);
}
