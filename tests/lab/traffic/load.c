/* load: the users. See load.h for what the kinds of client do.
 *
 *   load --resolver ADDRESS[:PORT] [--log FILE] [--live FILE] [--seed N] [--tag TEXT] [--users N] [--stream SPEC]...
 *        [--duration S] [--port P] [--post-permille N] [--timeout-ms N] [--address A]
 *
 * Without --log the client may run for ever. The log is written at the end (SIGTERM, SIGINT or --duration), after the
 * last answer or time-out. --live is replaced every second:
 * {"at_us","second","stalls","streams":[{"name","edge_class","client","sent","ok","failed","max_ms"}]}, figures of the
 * second before. */
#include "tests/lab/traffic/load.h"

#include "core/error.h"
#include "core/fileio.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define TICK_US 10000

struct flags {
    const char *resolver, *log, *live, *tag;
    uint64_t seed;
    uint32_t users;
    int64_t duration_us; /* 0: until a signal */
    GPtrArray *streams;  /* texts; empty: the built-in set */
};

/* The client's own timers. */
struct client {
    struct load load;
    struct flags flags;
    struct loop_timer *due, *tick, *second;
    int64_t tick_due_us, end_us;
    int64_t seconds;
};

static void arm_due(struct client *client)
{
    int64_t first_us = INT64_MAX;
    for (guint i = 0; i < client->load.streams->len; i++)
        first_us = MIN(first_us, ((struct load_stream *)client->load.streams->pdata[i])->next_us);
    loop_timer_arm(client->due, first_us);
}

static void on_due(void *data)
{
    struct client *client = data;
    int64_t now_us = loop_now_us();
    if (client->load.draining)
        return;
    for (guint i = 0; i < client->load.streams->len; i++) {
        struct load_stream *stream = client->load.streams->pdata[i];
        for (; stream->next_us <= now_us; stream->next_us += stream->interval_us)
            load_request(stream, stream->next_us);
    }
    arm_due(client);
}

static void drain(struct client *client)
{
    client->load.draining = true;
    if (client->load.in_flight.length == 0)
        loop_stop(client->load.loop);
}

/* Notices when the client itself stood still, and time-outs. */
static void on_tick(void *data)
{
    struct client *client = data;
    struct load *load = &client->load;
    int64_t now_us = loop_now_us();
    if (now_us - client->tick_due_us > LOAD_STALL_US) {
        struct measure_stall stall = {"load", client->tick_due_us + load->wall_offset_us, now_us - client->tick_due_us};
        g_array_append_val(load->log.stalls, stall);
    }
    load_expire(load, now_us);
    if (load->resolver != NULL)
        load_resolver_tick(load->resolver);
    if (client->end_us != 0 && now_us >= client->end_us && !load->draining)
        drain(client);
    client->tick_due_us = now_us + TICK_US;
    loop_timer_arm(client->tick, client->tick_due_us);
}

static json_t *second_to_json(struct client *client)
{
    json_t *streams = json_array();
    for (guint i = 0; i < client->load.streams->len; i++) {
        struct load_stream *s = client->load.streams->pdata[i];
        json_array_append_new(streams,
                              json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:I}", "name", s->id.name, "edge_class",
                                        s->id.edge_class, "client", s->id.client, "sent", s->sent, "ok", s->ok,
                                        "failed", s->failed, "max_ms", (json_int_t)(s->max_latency_us / 1000)));
        s->sent = s->ok = s->failed = 0;
        s->max_latency_us = 0;
    }
    return json_pack("{s:I, s:I, s:i, s:o}", "at_us", (json_int_t)wall_now_us(), "second",
                     (json_int_t)client->seconds++, "stalls", client->load.log.stalls->len, "streams", streams);
}

/* Not file_write_atomic: an fsync each second would be a stall of its own. */
static void write_live(const char *path, const json_t *json)
{
    g_autofree char *temporary = g_strconcat(path, ".new", NULL);
    if (json_dump_file(json, temporary, JSON_COMPACT) == 0)
        rename(temporary, path);
}

static void on_second(void *data)
{
    struct client *client = data;
    json_t *json = second_to_json(client);
    if (client->flags.live != NULL)
        write_live(client->flags.live, json);
    json_decref(json);
    for (guint i = 0; i < client->load.streams->len; i++)
        load_stubborn_resolve(client->load.streams->pdata[i]);
    loop_timer_arm(client->second, loop_now_us() + 1000000);
}

static void on_signal(void *data, int fd, uint32_t events)
{
    struct signalfd_siginfo info;
    (void)events;
    if (read(fd, &info, sizeof info) == sizeof info)
        drain(data);
}

static bool watch_signals(struct client *client, GError **error)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return loop_watch(client->load.loop, signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), EPOLLIN, on_signal, client,
                      error);
}

static bool take_flag(struct client *client, int option, const char *value)
{
    struct flags *flags = &client->flags;
    struct load *load = &client->load;
    switch (option) {
    case 'r':
        flags->resolver = value;
        return true;
    case 'l':
        flags->log = value;
        return true;
    case 'v':
        flags->live = value;
        return true;
    case 't':
        flags->tag = value;
        return true;
    case 's':
        flags->seed = strtoull(value, NULL, 10);
        return true;
    case 'u':
        flags->users = (uint32_t)strtoul(value, NULL, 10);
        return flags->users > 0 && flags->users <= 2000;
    case 'S':
        g_ptr_array_add(flags->streams, (gpointer)value);
        return true;
    case 'd':
        flags->duration_us = strtoll(value, NULL, 10) * 1000000;
        return flags->duration_us > 0;
    case 'p':
        load->port = htons((in_port_t)strtoul(value, NULL, 10));
        return load->port != 0;
    case 'm':
        load->post_permille = (unsigned)strtoul(value, NULL, 10);
        return load->post_permille <= 1000;
    case 'T':
        load->timeout_us = strtoll(value, NULL, 10) * 1000;
        return load->timeout_us > 0;
    case 'a':
        return inet_pton(AF_INET, value, &load->fixed) == 1;
    default:
        return false;
    }
}

static bool parse_flags(struct client *client, int argc, char **argv, GError **error)
{
    static const struct option options[] = {{"resolver", required_argument, NULL, 'r'},
                                            {"log", required_argument, NULL, 'l'},
                                            {"live", required_argument, NULL, 'v'},
                                            {"tag", required_argument, NULL, 't'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"users", required_argument, NULL, 'u'},
                                            {"stream", required_argument, NULL, 'S'},
                                            {"duration", required_argument, NULL, 'd'},
                                            {"port", required_argument, NULL, 'p'},
                                            {"post-permille", required_argument, NULL, 'm'},
                                            {"timeout-ms", required_argument, NULL, 'T'},
                                            {"address", required_argument, NULL, 'a'},
                                            {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (!take_flag(client, option, optarg)) {
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s %s: wrong argument", argv[optind - 1],
                        optarg != NULL ? optarg : "");
            return false;
        }
    client->load.keep_records = client->flags.log != NULL;
    if (optind == argc && (client->flags.resolver != NULL || client->load.fixed.s_addr != 0))
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "expected --resolver ADDRESS (or --address ADDRESS)");
    return false;
}

static bool add_streams(struct client *client, GError **error)
{
    const struct flags *flags = &client->flags;
    if (flags->streams->len == 0)
        return load_streams_default(&client->load, flags->users, flags->seed, error);
    for (guint i = 0; i < flags->streams->len; i++)
        if (!load_stream_add(&client->load, flags->streams->pdata[i], flags->users, flags->seed, error))
            return false;
    return true;
}

static bool prepare(struct client *client, int argc, char **argv, GError **error)
{
    struct load *load = &client->load;
    *client = (struct client){.flags = {.users = 100, .seed = 1, .tag = "load"}};
    client->flags.streams = g_ptr_array_new();
    load->port = htons(80);
    load->post_permille = 100;
    load->timeout_us = 3000000;
    load->streams = g_ptr_array_new_with_free_func(load_stream_free);
    traffic_log_init(&load->log);
    g_queue_init(&load->in_flight);
    load->loop = loop_new(error);
    if (load->loop == NULL || !parse_flags(client, argc, argv, error) || !add_streams(client, error) ||
        !watch_signals(client, error))
        return false;
    load->log.tag = g_strdup(client->flags.tag);
    load->wall_offset_us = wall_now_us() - loop_now_us();
    return client->flags.resolver == NULL ||
           (load->resolver = load_resolver_new(load->loop, client->flags.resolver, error)) != NULL;
}

/* Streams begin at different points of their interval, so that requests do not come in bursts. */
static void start(struct client *client)
{
    struct load *load = &client->load;
    int64_t now_us = loop_now_us();
    for (guint i = 0; i < load->streams->len; i++) {
        struct load_stream *stream = load->streams->pdata[i];
        stream->next_us = now_us + 100000 + (int64_t)(load_random(&stream->rng) % (uint64_t)stream->interval_us);
        load_stubborn_resolve(stream);
    }
    client->end_us = client->flags.duration_us != 0 ? now_us + client->flags.duration_us : 0;
    client->due = loop_timer_new(load->loop, on_due, client);
    client->tick = loop_timer_new(load->loop, on_tick, client);
    client->second = loop_timer_new(load->loop, on_second, client);
    client->tick_due_us = now_us + TICK_US;
    loop_timer_arm(client->tick, client->tick_due_us);
    loop_timer_arm(client->second, now_us + 1000000);
    arm_due(client);
}

int main(int argc, char **argv)
{
    static struct client client; /* the process's end frees and closes what it holds */
    g_autoptr(GError) error = NULL;
    if (!prepare(&client, argc, argv, &error)) {
        fprintf(stderr, "load: %s\n", error->message);
        return error_exit_code(error);
    }
    start(&client);
    loop_run(client.load.loop);
    if (client.flags.log != NULL && !traffic_log_write(&client.load.log, client.flags.log, &error)) {
        fprintf(stderr, "load: %s\n", error->message);
        return error_exit_code(error);
    }
    return 0;
}
