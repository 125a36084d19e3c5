#include "core/httpc.h"

#include "core/error.h"

#include <curl/curl.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* A SYN that is lost is sent again after 1 s, then after 3 s: a new connection is sooner there than the third SYN. */
#define CONNECT_TIMEOUT_MS 1500L
#define ASKS_FIRST_SIZE (256u << 10)
#define EXPECT_TIMEOUT_MS 5000L

/* What one transfer needs, for both the waiting and the loop's form. */
struct transfer {
    CURL *easy;
    struct curl_slist *headers;
    GByteArray *body;
    GString *head;
    char *unix_socket; /* NULL: over the network; for messages */
    struct httpc_reply reply;
    char message[CURL_ERROR_SIZE];
    size_t body_max;
    bool (*guard)(void *guard_data, const struct sockaddr *address, GError **error);
    void *guard_data;
    GError *refused; /* by the guard, or NULL */
};

struct httpc {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer *timer;
    GPtrArray *requests; /* struct httpc_request *, under way */
};

struct httpc_request {
    struct transfer transfer;
    struct httpc *client;
    httpc_fn fn;
    void *data;
};

void httpc_reply_clear(struct httpc_reply *reply)
{
    g_free(reply->body);
    g_free(reply->etag);
    g_free(reply->location);
    g_free(reply->head);
    *reply = (struct httpc_reply){0};
}

static size_t on_body(char *bytes, size_t size, size_t n, void *data)
{
    struct transfer *t = data;
    if (t->body->len + size * n > t->body_max)
        return 0; /* ends the transfer with an error */
    g_byte_array_append(t->body, (const guint8 *)bytes, (guint)(size * n));
    return size * n;
}

static curl_socket_t on_open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer *t = data;
    (void)purpose;
    if (t->guard != NULL) {
        g_clear_error(&t->refused);
        if (!t->guard(t->guard_data, &address->addr, &t->refused))
            return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static void keep_header(char **slot, const char *line, size_t len, const char *name)
{
    size_t n = strlen(name);
    if (len > n && strncasecmp(line, name, n) == 0) {
        g_free(*slot);
        *slot = g_strstrip(g_strndup(line + n, len - n));
    }
}

static size_t on_header(char *line, size_t size, size_t n, void *data)
{
    struct transfer *t = data;
    if (t->head->len + size * n > HTTPC_HEAD_MAX)
        return 0; /* ends the transfer with an error */
    g_string_append_len(t->head, line, (gssize)(size * n));
    keep_header(&t->reply.etag, line, size * n, "etag:");
    keep_header(&t->reply.location, line, size * n, "location:");
    return size * n;
}

static void global_init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static bool has_header(const char *const *headers, const char *begin)
{
    for (; headers != NULL && *headers != NULL; headers++)
        if (strncasecmp(*headers, begin, strlen(begin)) == 0)
            return true;
    return false;
}

static void set_headers(struct transfer *t, const struct httpc_target *target, const char *const *headers,
                        const char *body)
{
    if (target->token != NULL) {
        g_autofree char *line = g_strdup_printf("Authorization: Bearer %s", target->token);
        t->headers = curl_slist_append(t->headers, line);
    }
    for (size_t i = 0; target->headers != NULL && target->headers[i] != NULL; i++)
        t->headers = curl_slist_append(t->headers, target->headers[i]);
    if (body != NULL && !has_header(target->headers, "Content-Type:"))
        t->headers = curl_slist_append(t->headers, "Content-Type: application/json");
    /* A large body waits for 100-continue (RFC 9110 10.1.1), so that a refusal is heard instead of a broken pipe; for
     * others it would cost a round trip. */
    bool asks_first = body != NULL && strlen(body) > ASKS_FIRST_SIZE;
    t->headers = curl_slist_append(t->headers, asks_first ? "Expect: 100-continue" : "Expect:");
    curl_easy_setopt(t->easy, CURLOPT_EXPECT_100_TIMEOUT_MS, EXPECT_TIMEOUT_MS); /* then it is sent all the same */
    for (size_t i = 0; headers != NULL && headers[i] != NULL; i++)
        t->headers = curl_slist_append(t->headers, headers[i]);
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
}

static void transfer_init(struct transfer *t, const struct httpc_target *target, const char *method, const char *path,
                          const char *const *headers, const char *body, long timeout_ms)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, global_init);
    *t = (struct transfer){.easy = curl_easy_init(),
                           .body = g_byte_array_new(),
                           .head = g_string_new(NULL),
                           .body_max = target->body_max != 0 ? target->body_max : HTTPC_BODY_MAX,
                           .guard = target->guard,
                           .guard_data = target->guard_data};
    g_autofree char *url = g_strconcat(target->base_url, path, NULL);
    curl_easy_setopt(t->easy, CURLOPT_URL, url);
    curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
    /* Who gives up must not wait for a resolver that is silent: its thread ends by itself, later. */
    curl_easy_setopt(t->easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(t->easy, CURLOPT_NOPROXY, "*"); /* a proxy of the environment is nothing for a control plane */
    curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->message);
    curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, MIN(timeout_ms, CONNECT_TIMEOUT_MS));
    curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(t->easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETDATA, t);
    t->unix_socket = g_strdup(target->unix_socket);
    if (target->unix_socket != NULL)
        curl_easy_setopt(t->easy, CURLOPT_UNIX_SOCKET_PATH, target->unix_socket);
    if (target->ca_file != NULL)
        curl_easy_setopt(t->easy, CURLOPT_CAINFO, target->ca_file);
    if (target->cert_file != NULL)
        curl_easy_setopt(t->easy, CURLOPT_SSLCERT, target->cert_file);
    if (target->key_file != NULL)
        curl_easy_setopt(t->easy, CURLOPT_SSLKEY, target->key_file);
    if (body != NULL) {
        curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
        curl_easy_setopt(t->easy, CURLOPT_COPYPOSTFIELDS, body);
    } else if (strcmp(method, "POST") == 0) {
        curl_easy_setopt(t->easy, CURLOPT_COPYPOSTFIELDS, "");
    }
    curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, method);
    set_headers(t, target, headers, body);
}

static void transfer_clear(struct transfer *t)
{
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    g_free(t->unix_socket);
    g_clear_error(&t->refused);
    if (t->body != NULL)
        g_byte_array_unref(t->body);
    if (t->head != NULL)
        g_string_free(t->head, TRUE);
    httpc_reply_clear(&t->reply);
}

/* Fills the reply after the transfer's end. */
static bool transfer_end(struct transfer *t, CURLcode code, GError **error)
{
    if (code == CURLE_COULDNT_CONNECT && t->refused != NULL) {
        g_propagate_error(error, g_steal_pointer(&t->refused));
        return false;
    }
    if (code != CURLE_OK) {
        const char *url = t->unix_socket;
        curl_off_t connected_us = 0;
        curl_easy_getinfo(t->easy, CURLINFO_CONNECT_TIME_T, &connected_us);
        bool silent = code == CURLE_OPERATION_TIMEDOUT && connected_us > 0; /* there, but without an answer */
        t->reply.lost = code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR ||
                        code == CURLE_PARTIAL_FILE;
        if (url == NULL)
            curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url);
        g_set_error(error, SB_ERROR, silent ? SB_ERROR_TIMEOUT : SB_ERROR_UNREACHABLE, "%s: %s",
                    url != NULL ? url : "request",
                    t->unix_socket != NULL && code == CURLE_COULDNT_CONNECT ? "nobody answers on this socket"
                    : t->message[0] != '\0'                                 ? t->message
                                                                            : curl_easy_strerror(code));
        return false;
    }
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    t->reply.status = (unsigned)status;
    t->reply.size = t->body->len;
    g_byte_array_append(t->body, (const guint8 *)"", 1);
    t->reply.body = (char *)g_byte_array_free(t->body, FALSE);
    t->body = NULL;
    t->reply.head = g_string_free(g_steal_pointer(&t->head), FALSE);
    return true;
}

bool httpc_call(const struct httpc_target *target, const char *method, const char *path, const char *const *headers,
                const char *body, long timeout_ms, struct httpc_reply *reply, GError **error)
{
    struct transfer t;
    transfer_init(&t, target, method, path, headers, body, timeout_ms);
    bool ok = transfer_end(&t, curl_easy_perform(t.easy), error);
    *reply = t.reply;
    t.reply = (struct httpc_reply){0};
    transfer_clear(&t);
    return ok;
}

static void request_free(struct httpc_request *request)
{
    curl_multi_remove_handle(request->client->multi, request->transfer.easy);
    g_ptr_array_remove_fast(request->client->requests, request);
    transfer_clear(&request->transfer);
    g_free(request);
}

static void collect_ended(struct httpc *client)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct httpc_request *request = NULL;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
        g_autoptr(GError) error = NULL;
        bool ok = transfer_end(&request->transfer, code, &error);
        httpc_fn fn = request->fn;
        void *data = request->data;
        struct httpc_reply reply = request->transfer.reply;
        request->transfer.reply = (struct httpc_reply){0};
        request_free(request); /* before the callback, which may start the next one; it must not free the client */
        fn(data, ok ? &reply : NULL, error);
        httpc_reply_clear(&reply);
    }
}

static void on_socket_event(void *data, int fd, uint32_t events)
{
    struct httpc *client = data;
    int running, what = 0;
    if (events & (EPOLLIN | EPOLLHUP))
        what |= CURL_CSELECT_IN;
    if (events & EPOLLOUT)
        what |= CURL_CSELECT_OUT;
    if (events & EPOLLERR)
        what |= CURL_CSELECT_ERR;
    curl_multi_socket_action(client->multi, fd, what, &running);
    collect_ended(client);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *unused)
{
    (void)easy;
    (void)unused;
    struct httpc *client = data;
    if (what == CURL_POLL_REMOVE) {
        loop_unwatch(client->loop, fd);
        return 0;
    }
    uint32_t events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) | (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);
    return loop_watch(client->loop, fd, events, on_socket_event, client, NULL) ? 0 : -1;
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *data)
{
    (void)multi;
    struct httpc *client = data;
    if (timeout_ms < 0)
        loop_timer_disarm(client->timer);
    else
        loop_timer_arm(client->timer, loop_now_us() + timeout_ms * 1000);
    return 0;
}

static void on_timer(void *data)
{
    struct httpc *client = data;
    int running;
    curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect_ended(client);
}

struct httpc *httpc_new(struct loop *loop, GError **error)
{
    CURLM *multi = curl_multi_init();
    if (multi == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot set up an HTTP client");
        return NULL;
    }
    struct httpc *client = g_new0(struct httpc, 1);
    client->loop = loop;
    client->multi = multi;
    client->timer = loop_timer_new(loop, on_timer, client);
    client->requests = g_ptr_array_new();
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client);
    return client;
}

void httpc_free(struct httpc *client)
{
    if (client == NULL)
        return;
    while (client->requests->len > 0)
        request_free(client->requests->pdata[0]);
    curl_multi_cleanup(client->multi);
    loop_timer_free(client->timer);
    g_ptr_array_unref(client->requests);
    g_free(client);
}

struct httpc_request *httpc_start(struct httpc *client, const struct httpc_target *target, const char *method,
                                  const char *path, const char *body, long timeout_ms, httpc_fn fn, void *data)
{
    struct httpc_request *request = g_new0(struct httpc_request, 1);
    request->client = client;
    request->fn = fn;
    request->data = data;
    transfer_init(&request->transfer, target, method, path, NULL, body, timeout_ms);
    curl_easy_setopt(request->transfer.easy, CURLOPT_PRIVATE, request);
    /* the callbacks were given the address of a transfer that has not moved since */
    g_ptr_array_add(client->requests, request);
    curl_multi_add_handle(client->multi, request->transfer.easy);
    return request;
}

void httpc_cancel(struct httpc_request *request)
{
    if (request != NULL)
        request_free(request);
}
