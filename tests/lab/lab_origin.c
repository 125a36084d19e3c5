#include "tests/lab/lab_origin.h"

#include "core/error.h"
#include "core/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CALL_S 2

/* One line to the origin of a room, one back. */
static json_t *origin_call(const struct lab *lab, const char *room, const char *line, GError **error)
{
    char text[65536] = "";
    struct timeval patience = {.tv_sec = CALL_S};
    struct sockaddr_un peer = {.sun_family = AF_UNIX};
    snprintf(peer.sun_path, sizeof peer.sun_path, "%s/%s/origin.sock", lab->run, room);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    bool ok = connect(fd, (const struct sockaddr *)&peer, sizeof peer) == 0 &&
              send(fd, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line) &&
              recv(fd, text, sizeof text - 1, 0) > 0;
    int saved = errno;
    close(fd);
    json_t *answer = ok ? json_loads(text, 0, NULL) : NULL;
    const char *refusal = json_string_value(json_object_get(answer, "error"));
    if (answer == NULL)
        g_set_error(error, SB_ERROR, SB_ERROR_UNREACHABLE, "no answer from the origin of %s at %s: %s", room,
                    peer.sun_path, g_strerror(saved));
    else if (refusal != NULL)
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "origin: %s", refusal);
    if (refusal != NULL)
        g_clear_pointer(&answer, json_decref);
    return answer;
}

/* ---- keys ---- */

struct keys {
    GPtrArray *at;     /* they get the settings */
    GPtrArray *except; /* more specific ones that keep theirs */
};

static void keys_of_prefix(GPtrArray *keys, const struct inventory *inv, const char *group, const char *prefix)
{
    INVENTORY_FOREACH (inv, domain, domain)
        if (strcmp(domain->group, group) == 0)
            g_ptr_array_add(keys, g_strconcat(domain->o.name, prefix, NULL));
}

static void keys_of_service(const struct keys *keys, const struct inventory *inv, const char *service)
{
    INVENTORY_FOREACH (inv, group, group)
        if (strcmp(group->service, service) == 0)
            keys_of_prefix(keys->at, inv, group->o.name, "");
    INVENTORY_FOREACH (inv, route, route)
        keys_of_prefix(strcmp(route->service, service) == 0 ? keys->at : keys->except, inv, route->group,
                       route->prefix);
}

static bool keys_find(const struct keys *keys, const struct lab *lab, const char *what, GError **error)
{
    const char *name = strchr(what, ':') != NULL ? strchr(what, ':') + 1 : "";
    if (strcmp(what, "all") == 0)
        g_ptr_array_add(keys->at, g_strdup("*"));
    else if (g_str_has_prefix(what, "host:"))
        g_ptr_array_add(keys->at, g_strdup(name));
    else if (g_str_has_prefix(what, "entrance:"))
        g_ptr_array_add(keys->at, g_strdup_printf("@%s", name));
    else if (g_str_has_prefix(what, "service:"))
        keys_of_service(keys, lab->topo->inventory, name);
    if (keys->at->len > 0)
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND,
                "origin %s: expected all, service:NAME (of the site, with a domain), host:HOST[/PREFIX] or "
                "entrance:NAME",
                what);
    return false;
}

/* ---- calls ---- */

static bool behave_key(const struct lab *lab, const char *room, const char *key, const char *settings,
                       json_int_t *requests, GError **error)
{
    g_autofree char *line = g_strdup_printf("at %s%s%s\n", key, settings[0] != '\0' ? " " : "", settings);
    json_t *answer = origin_call(lab, room, line, error);
    if (answer == NULL)
        return false;
    const json_t *behaviour = json_array_get(json_object_get(answer, "behaviours"), 0);
    *requests += json_integer_value(json_object_get(behaviour, "requests"));
    json_decref(answer);
    return true;
}

/* Requests so far, or -1. */
static json_int_t behave_room(const struct lab *lab, const char *room, const struct keys *keys, const char *settings,
                              GError **error)
{
    json_int_t requests = 0, not_ours = 0;
    for (guint i = 0; i < keys->except->len; i++)
        if (!behave_key(lab, room, keys->except->pdata[i], "", &not_ours, error))
            return -1;
    for (guint i = 0; i < keys->at->len; i++)
        if (!behave_key(lab, room, keys->at->pdata[i], settings, &requests, error))
            return -1;
    return requests;
}

json_t *origin_behave(const struct lab *lab, const char *what, const char *room, const char *const *settings,
                      GError **error)
{
    g_autoptr(GPtrArray) at = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) except = g_ptr_array_new_with_free_func(g_free);
    const struct keys keys = {at, except};
    g_autofree char *text = g_strjoinv(" ", (char **)settings);
    if (!keys_find(&keys, lab, what, error))
        return NULL;
    json_t *rooms = json_object();
    json_int_t total = 0;
    INVENTORY_FOREACH (lab->topo->inventory, room, each) {
        if (room != NULL && strcmp(room, each->o.name) != 0)
            continue;
        json_int_t requests = behave_room(lab, each->o.name, &keys, text, error);
        if (requests < 0) {
            json_decref(rooms);
            return NULL;
        }
        total += requests;
        json_object_set_new(rooms, each->o.name, json_pack("{s:I}", "requests", requests));
    }
    return json_pack("{s:I, s:I, s:o}", "at_us", (json_int_t)wall_now_us(), "requests", total, "rooms", rooms);
}

void origin_heal(const struct lab *lab)
{
    INVENTORY_FOREACH (lab->topo->inventory, room, room)
        json_decref(origin_call(lab, room->o.name, "heal\n", NULL));
}
