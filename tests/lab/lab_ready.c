#include "tests/lab/lab_ready.h"

#include "core/error.h"
#include "core/loop.h"
#include "tests/lab/lab_control.h"
#include "tests/lab/lab_gateway.h"
#include "tests/lab/lab_net.h"
#include "tests/lab/lab_proc.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define POLL_MS 50   /* between two rounds of checks */
#define PATIENCE_S 1 /* for one answer */
#define DNS_TYPE_SOA 6

static void missing_add(GPtrArray *missing, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void missing_add(GPtrArray *missing, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_ptr_array_add(missing, g_strdup_vprintf(format, args));
    va_end(args);
}

static bool runs(const struct lab *lab, const char *node, const char *name)
{
    return proc_state(lab, node, name, NULL) == PROC_RUNNING;
}

/* ---- sockets ---- */

static void set_patience(int fd)
{
    struct timeval patience = {.tv_sec = PATIENCE_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

static FILE *local_connect(const char *path)
{
    struct sockaddr_un peer = {.sun_family = AF_UNIX};
    g_strlcpy(peer.sun_path, path, sizeof peer.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    set_patience(fd);
    FILE *stream = connect(fd, (struct sockaddr *)&peer, sizeof peer) == 0 ? fdopen(fd, "re") : NULL;
    if (stream == NULL)
        close(fd);
    return stream;
}

char *local_ask(const char *path, const char *line)
{
    FILE *stream = local_connect(path);
    char *answer = NULL;
    size_t room = 0;
    if (stream == NULL)
        return NULL;
    bool ok = write(fileno(stream), line, strlen(line)) == (ssize_t)strlen(line) &&
              getdelim(&answer, &room, '\0', stream) > 0;
    fclose(stream);
    char *copy = ok ? g_strdup(answer) : NULL;
    free(answer);
    return copy;
}

/* ---- processes and wire ---- */

/* Processes that were started and have ended; paused ones count if `paused`. */
static void processes_missing(const struct lab *lab, bool paused, GPtrArray *missing)
{
    g_autoptr(GPtrArray) names = proc_list(lab);
    for (guint i = 0; i < names->len; i++) {
        g_auto(GStrv) parts = g_strsplit(names->pdata[i], ".", 2);
        enum proc_state state = proc_state(lab, parts[0], parts[1], NULL);
        if (state == PROC_DEAD)
            g_ptr_array_add(missing, proc_obituary(lab, parts[0], parts[1]));
        else if (state == PROC_PAUSED && paused)
            missing_add(missing, "%s: %s is paused", parts[0], parts[1]);
    }
}

void ready_processes(const struct lab *lab, GPtrArray *missing)
{
    processes_missing(lab, true, missing);
}

void ready_wire(const struct lab *lab, GPtrArray *missing)
{
    g_autoptr(GError) error = NULL;
    json_t *answer = wire_call(lab, "show", &error);
    if (answer == NULL)
        missing_add(missing, "%s", error->message);
    json_decref(answer);
}

/* ---- BIRD ---- */

/* One command on BIRD's control socket. A reply ends with a line of four digits and a space; g_free; NULL: no answer.
 */
static char *bird_ask(const struct lab *lab, const char *node, const char *command)
{
    g_autofree char *path = lab_path(lab, "%s/bird.ctl", node);
    FILE *stream = local_connect(path);
    if (stream == NULL)
        return NULL;
    GString *reply = g_string_new("");
    char line[1024];
    bool ended = false;
    if (fgets(line, sizeof line, stream) != NULL) { /* the greeting */
        dprintf(fileno(stream), "%s\n", command);
        while (!ended && fgets(line, sizeof line, stream) != NULL) {
            ended = strspn(line, "0123456789") == 4 && line[4] == ' ';
            g_string_append(reply, line);
        }
    }
    fclose(stream);
    return g_string_free(reply, !ended);
}

static void bird_check_lines(const char *node, const char *reply, const char *kind, const char *good,
                             GPtrArray *missing)
{
    g_auto(GStrv) lines = g_strsplit(reply, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        if (strstr(*line, kind) != NULL && strstr(*line, good) == NULL)
            missing_add(missing, "%s: %s", node, g_strstrip(*line));
}

/* An established session is not a route yet. */
static void bird_check_route(const struct lab *lab, const char *node, const struct addr *to, GPtrArray *missing)
{
    char text[ADDR_TEXT_SIZE];
    g_autofree char *command = g_strdup_printf("show route for %s primary", addr_format(to, text));
    g_autofree char *reply = bird_ask(lab, node, command);
    if (reply == NULL || strstr(reply, text) == NULL)
        missing_add(missing, "%s: no route to %s", node, text);
}

/* The roads that a router must know: a carrier's to every entrance and edge, a ring edge's to every room. Entrances
 * that gateways announce are missed when they are at work. */
static void ready_routes(const struct lab *lab, const struct node *node, GPtrArray *missing)
{
    if (node->kind == NODE_INET) {
        INVENTORY_FOREACH (lab->topo->inventory, pop, pop)
            if (!room_has_gateways(lab->topo, pop->room))
                bird_check_route(lab, node->name, &pop->origin.addr, missing);
        INVENTORY_FOREACH (lab->topo->inventory, gwvip, vip)
            if (gateway_announces(lab, vip))
                bird_check_route(lab, node->name, &vip->address.addr, missing);
        INVENTORY_FOREACH (lab->topo->inventory, edge, edge)
            bird_check_route(lab, node->name, &edge->address, missing);
    } else if (node->kind == NODE_EDGE) {
        INVENTORY_FOREACH (lab->topo->inventory, room, room)
            if (room->ring.port != 0)
                bird_check_route(lab, node->name, &room->ring.addr, missing);
    }
}

static void ready_sessions(const struct lab *lab, const struct node *node, GPtrArray *missing)
{
    g_autofree char *protocols = bird_ask(lab, node->name, "show protocols");
    g_autofree char *bfd = bird_ask(lab, node->name, "show bfd sessions");
    if (protocols == NULL || bfd == NULL) {
        missing_add(missing, "%s: no answer from bird", node->name);
        return;
    }
    bird_check_lines(node->name, protocols, " BGP ", "Established", missing);
    bird_check_lines(node->name, bfd, "10.100.", " Up ", missing);
}

void ready_routing(const struct lab *lab, GPtrArray *missing)
{
    TOPO_FOREACH_NODE(lab->topo, node)
    {
        if (!node->routes)
            continue;
        ready_sessions(lab, node, missing);
        ready_routes(lab, node, missing);
    }
}

/* ---- DNS ---- */

/* A question for the SOA of a zone (RFC 1035 4.1). */
static size_t soa_question(unsigned char *out, const char *zone)
{
    static const unsigned char header[12] = {0x5b, 0x01, 0x01, 0x00, 0x00, 0x01};
    memcpy(out, header, sizeof header);
    size_t size = sizeof header;
    g_auto(GStrv) labels = g_strsplit(zone, ".", -1);
    for (char **label = labels; *label != NULL; label++) {
        out[size++] = (unsigned char)strlen(*label);
        memcpy(out + size, *label, strlen(*label));
        size += strlen(*label);
    }
    const unsigned char end[5] = {0, 0, DNS_TYPE_SOA, 0, 1};
    memcpy(out + size, end, sizeof end);
    return size + sizeof end;
}

/* Does the server at address, seen from this node, answer with NOERROR and one record? */
static bool soa_answered(const struct lab *lab, const char *node, const struct endpoint *server, const char *zone)
{
    unsigned char packet[512];
    struct sockaddr_storage peer;
    socklen_t peer_size = endpoint_sockaddr(server, &peer);
    if (!lab_ns_enter(lab, node, NULL))
        return false;
    int fd = socket(peer.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    lab_ns_leave();
    set_patience(fd);
    size_t size = soa_question(packet, zone);
    ssize_t got = -1;
    if (connect(fd, (struct sockaddr *)&peer, peer_size) == 0 && send(fd, packet, size, 0) == (ssize_t)size)
        got = recv(fd, packet, sizeof packet, 0);
    close(fd);
    return got >= 12 && (packet[3] & 0x0f) == 0 && packet[7] == 1;
}

static void ready_nameservers(const struct lab *lab, bool primaries_only, GPtrArray *missing)
{
    INVENTORY_FOREACH (lab->topo->inventory, nameserver, server) {
        bool wanted = !primaries_only || server->role == NAMESERVER_PRIMARY;
        if (wanted && !soa_answered(lab, server->o.name, &server->address, server->zone))
            missing_add(missing, "%s: no answer for zone %s", server->o.name, server->zone);
    }
}

void ready_primaries(const struct lab *lab, GPtrArray *missing)
{
    ready_nameservers(lab, true, missing);
}

void ready_dns(const struct lab *lab, GPtrArray *missing)
{
    struct endpoint resolver;
    endpoint_parse("127.0.0.1:53", &resolver);
    ready_nameservers(lab, false, missing);
    TOPO_FOREACH_NODE(lab->topo, node)
    {
        if (node->kind != NODE_USER)
            continue;
        INVENTORY_FOREACH (lab->topo->inventory, dnszone, zone)
            if (!soa_answered(lab, node->name, &resolver, zone->o.name))
                missing_add(missing, "%s: resolver has no answer for zone %s", node->name, zone->o.name);
    }
}

/* ---- origins ---- */

static bool accepts(const struct lab *lab, const char *node, const struct endpoint *endpoint)
{
    struct sockaddr_storage peer;
    socklen_t peer_size = endpoint_sockaddr(endpoint, &peer);
    if (!lab_ns_enter(lab, node, NULL))
        return false;
    int fd = socket(peer.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    lab_ns_leave();
    set_patience(fd);
    bool ok = connect(fd, (struct sockaddr *)&peer, peer_size) == 0;
    close(fd);
    return ok;
}

void ready_origins(const struct lab *lab, GPtrArray *missing)
{
    INVENTORY_FOREACH (lab->topo->inventory, room, room) {
        g_autoptr(GArray) entrances = topo_entrances(lab->topo, room);
        for (guint i = 0; i < entrances->len && runs(lab, room->o.name, "origin"); i++) {
            const struct lab_entrance *entrance = &g_array_index(entrances, struct lab_entrance, i);
            if (!accepts(lab, room->o.name, &entrance->at))
                missing_add(missing, "%s: the origin of %s accepts nothing", room->o.name, entrance->name);
        }
    }
}

/* ---- ours ---- */

void ready_server(const struct lab *lab, GPtrArray *missing)
{
    g_autoptr(GError) error = NULL;
    json_t *status = runs(lab, "control", "signalboxd") ? control_call(lab, "GET", "/v1/status", NULL, &error) : NULL;
    if (error != NULL)
        missing_add(missing, "control: signalboxd: %s", error->message);
    json_decref(status);
}

void ready_edges(const struct lab *lab, GPtrArray *missing)
{
    INVENTORY_FOREACH (lab->topo->inventory, edge, edge) {
        g_autofree char *path = lab_path(lab, "%s/haproxy.sock", edge->o.name);
        FILE *stream = runs(lab, edge->o.name, "haproxy") ? local_connect(path) : NULL;
        struct endpoint users = {.addr = edge->address, .port = 80};
        if (!runs(lab, edge->o.name, "haproxy"))
            continue;
        if (stream == NULL || !accepts(lab, edge->o.name, &users))
            missing_add(missing, "%s: haproxy does not serve", edge->o.name);
        if (stream != NULL)
            fclose(stream);
    }
}

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text != NULL ? text : "?";
}

/* Edges and name servers: the last generation is in force, and was read back. */
static void check_applied(const json_t *status, const char *member, const char *good, GPtrArray *missing)
{
    json_int_t published = json_integer_value(json_object_get(status, "generation"));
    size_t i;
    json_t *row;
    json_array_foreach (json_object_get(status, member), i, row) {
        json_int_t has = json_integer_value(json_object_get(row, "generation"));
        if (strcmp(text_of(row, "state"), good) != 0 || has != published)
            missing_add(missing, "%s: %s, generation %lld of %lld", text_of(row, "name"), text_of(row, "state"),
                        (long long)has, (long long)published);
    }
}

void ready_agents(const struct lab *lab, GPtrArray *missing)
{
    if (!runs(lab, "control", "signalboxd"))
        return;
    g_autoptr(GError) error = NULL;
    json_t *status = control_call(lab, "GET", "/v1/status", NULL, &error);
    size_t i;
    json_t *entrance;
    if (status == NULL)
        missing_add(missing, "control: signalboxd: %s", error->message);
    check_applied(status, "edges", "applied", missing);
    check_applied(status, "servers", "converged", missing);
    json_array_foreach (json_object_get(status, "entrances"), i, entrance) {
        json_int_t up = json_integer_value(json_object_get(entrance, "up"));
        json_int_t seen = json_integer_value(json_object_get(entrance, "seen"));
        if (up < seen || seen == 0)
            missing_add(missing, "%s by %s: up at %lld of %lld edges", text_of(entrance, "room"),
                        text_of(entrance, "via"), (long long)up, (long long)seen);
    }
    json_decref(status);
}

/* ---- all ---- */

void ready_all(const struct lab *lab, GPtrArray *missing)
{
    ready_processes(lab, missing);
    ready_wire(lab, missing);
    ready_routing(lab, missing);
    ready_dns(lab, missing);
    ready_origins(lab, missing);
    ready_gateways(lab, missing);
    ready_server(lab, missing);
    ready_edges(lab, missing);
    ready_agents(lab, missing);
}

static bool not_ready(const GPtrArray *missing, const char *why, GError **error)
{
    g_autoptr(GString) text = g_string_new("");
    for (guint i = 0; i < missing->len; i++)
        g_string_append_printf(text, "\n  %s", (const char *)missing->pdata[i]);
    g_set_error(error, SB_ERROR, SB_ERROR_TIMEOUT, "%s:%s", why, text->str);
    return false;
}

bool ready_wait(const struct lab *lab, ready_fn check, double timeout_s, GError **error)
{
    int64_t deadline_us = loop_now_us() + (int64_t)(timeout_s * G_USEC_PER_SEC);
    for (;;) {
        g_autoptr(GPtrArray) missing = g_ptr_array_new_with_free_func(g_free);
        check(lab, missing);
        if (missing->len == 0)
            return true;
        if (loop_now_us() >= deadline_us)
            return not_ready(missing, "not ready in time", error);
        g_autoptr(GPtrArray) dead = g_ptr_array_new_with_free_func(g_free);
        processes_missing(lab, false, dead);
        if (dead->len > 0)
            return not_ready(dead, "it will not become ready", error);
        poll(NULL, 0, POLL_MS);
    }
}
