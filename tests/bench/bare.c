#include "tests/bench/bare.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "core/loop.h"
#include "schema/addr.h"
#include "server/api/daemon_thread.h"

#define PARTS_PATH "/agent/v1/parts/"
#define CONNECTION_MEMORY_SIZE (32u << 10)
#define STALLS_FROM 128 /* connections: daemon_thread.h */

/* Seen by both processes. */
struct shared {
    _Atomic unsigned parked;
    _Atomic int64_t gone_us;
};
struct bare {
    pid_t pid;
    int go_fd; /* a byte: let go */
    struct shared *shared;

    /* The other process's own. */
    const char *const *tables;
    GHashTable *parts;
    unsigned turn;
    struct daemon_thread *thread; /* NULL: libmicrohttpd's own */
    pthread_mutex_t lock;
    GPtrArray *waiting; /* struct MHD_Connection * */
};

static enum MHD_Result answer(struct MHD_Connection *connection, const void *bytes, size_t size)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, (void *)(uintptr_t)bytes, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    enum MHD_Result queued = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result park(struct bare *bare, struct MHD_Connection *connection)
{
    pthread_mutex_lock(&bare->lock);
    MHD_suspend_connection(connection);
    g_ptr_array_add(bare->waiting, connection);
    atomic_store(&bare->shared->parked, bare->waiting->len);
    pthread_mutex_unlock(&bare->lock);
    return MHD_YES;
}

static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *size, void **state)
{
    static char begun, parked;
    struct bare *bare = data;
    (void)method;
    (void)version;
    (void)upload;
    (void)size;
    if (*state == NULL) {
        *state = &begun;
        return MHD_YES;
    }
    if (g_str_has_prefix(url, PARTS_PATH)) {
        gsize n = 0;
        GBytes *part = g_hash_table_lookup(bare->parts, url + strlen(PARTS_PATH));
        const void *bytes = part != NULL ? g_bytes_get_data(part, &n) : "";
        return answer(connection, bytes, n);
    }
    if (*state == &begun) {
        *state = &parked;
        return park(bare, connection);
    }
    const char *table = bare->tables[bare->turn % 2];
    return answer(connection, table, strlen(table));
}

static void resume(struct bare *bare, struct MHD_Connection *connection)
{
    if (bare->thread != NULL)
        daemon_thread_resume(bare->thread, connection);
    else
        MHD_resume_connection(connection);
}

static void let_go(struct bare *bare)
{
    pthread_mutex_lock(&bare->lock);
    bare->turn++;
    atomic_store(&bare->shared->parked, 0);
    atomic_store(&bare->shared->gone_us, wall_now_us());
    for (guint i = 0; i < bare->waiting->len; i++)
        resume(bare, bare->waiting->pdata[i]);
    g_ptr_array_set_size(bare->waiting, 0);
    pthread_mutex_unlock(&bare->lock);
}

static bool listen_on(struct bare *bare, const char *listen, const char *cert, const char *key, unsigned connections)
{
    struct endpoint endpoint;
    struct sockaddr_storage address;
    struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)cert},
                                   {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)key},
                                   {MHD_OPTION_END, 0, NULL}};
    bool own_thread = connections < STALLS_FROM;
    unsigned flags = DAEMON_THREAD_FLAGS | MHD_USE_ERROR_LOG | (own_thread ? MHD_USE_INTERNAL_POLLING_THREAD : 0);
    if (!endpoint_parse(listen, &endpoint))
        return false;
    endpoint_sockaddr(&endpoint, &address);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        cert != NULL ? flags | MHD_USE_TLS : flags, endpoint.port, NULL, NULL, on_request, bare, MHD_OPTION_SOCK_ADDR,
        (struct sockaddr *)&address, MHD_OPTION_CONNECTION_LIMIT, connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY_SIZE, MHD_OPTION_ARRAY, cert != NULL ? tls : &tls[2], MHD_OPTION_END);
    if (daemon == NULL || own_thread)
        return daemon != NULL;
    bare->thread = daemon_thread_new(daemon, NULL);
    return bare->thread != NULL && daemon_thread_start(bare->thread, NULL);
}

_Noreturn static void serve(struct bare *bare, int go_fd, int ready_fd, const char *listen, const char *cert,
                            const char *key, unsigned connections)
{
    char byte = '!';
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN);
    pthread_mutex_init(&bare->lock, NULL);
    bare->waiting = g_ptr_array_new();
    if (!listen_on(bare, listen, cert, key, connections) || write(ready_fd, &byte, 1) != 1)
        _exit(1);
    while (read(go_fd, &byte, 1) == 1)
        let_go(bare);
    _exit(0);
}

struct bare *bare_new(const char *listen, const char *const tables[2], GHashTable *parts, const char *cert,
                      const char *key, unsigned connections, GError **error)
{
    int go[2], ready[2];
    char byte;
    struct bare *bare = g_new0(struct bare, 1);
    bare->tables = tables;
    bare->parts = parts;
    bare->shared = mmap(NULL, sizeof *bare->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (bare->shared == MAP_FAILED || pipe(go) != 0 || pipe(ready) != 0 || (bare->pid = fork()) < 0)
        g_error("cannot start the bare server: %s", g_strerror(errno));
    if (bare->pid == 0) {
        close(go[1]);
        serve(bare, go[0], ready[1], listen, cert, key, connections);
    }
    close(go[0]);
    close(ready[1]);
    bare->go_fd = go[1];
    bool up = read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    if (up)
        return bare;
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "the bare server cannot listen on %s", listen);
    bare_free(bare);
    return NULL;
}

void bare_free(struct bare *bare)
{
    if (bare == NULL)
        return;
    close(bare->go_fd); /* it ends */
    waitpid(bare->pid, NULL, 0);
    munmap(bare->shared, sizeof *bare->shared);
    g_free(bare);
}

unsigned bare_parked(const struct bare *bare)
{
    return atomic_load(&bare->shared->parked);
}

void bare_go(struct bare *bare)
{
    if (write(bare->go_fd, "!", 1) != 1)
        g_error("the bare server has ended");
}

int64_t bare_gone_us(const struct bare *bare)
{
    return atomic_load(&bare->shared->gone_us);
}
