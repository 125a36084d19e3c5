#include "tests/lab/traffic/load.h"

#include "core/error.h"

#include <stdio.h>
#include <string.h>

/* The traffic of the site of 2 July. A user belongs to one stream. Manual services get the highest rate, because their
 * recovery is measured to the nearest request of a user in the failed room. 375 requests a second in all. */
static const char *const traffic[] = {
    "core/public=play.example.test@30",
    "core/dedicated=play-line.example.test@10",
    "manual/public=home.example.test+search.example.test@40",
    "manual/dedicated=home-line.example.test@10",
    "single-room/public=creator.example.test+creator.example.test/upload@25",
    "single-room/dedicated=creator-line.example.test@10",
};
static const char *const clients[] = {"new", "keepalive", "stubborn"};

/* splitmix64: the same sequence everywhere for a seed. */
uint64_t load_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void target_clear(gpointer data)
{
    struct load_target *target = data;
    g_free(target->host);
    g_free(target->prefix);
}

void load_stream_free(gpointer data)
{
    struct load_stream *stream = data;
    g_array_unref(stream->targets);
    g_free(stream->kept);
    g_free(stream);
}

static void add_targets(struct load_stream *stream, const char *text)
{
    g_auto(GStrv) items = g_strsplit(text, "+", -1);
    for (char **item = items; *item != NULL; item++) {
        const char *slash = strchr(*item, '/');
        size_t host_len = slash != NULL ? (size_t)(slash - *item) : strlen(*item);
        struct load_target target = {.host = g_strndup(*item, host_len),
                                     .prefix = g_strdup(slash != NULL ? slash : "")};
        g_array_append_val(stream->targets, target);
    }
}

bool load_stream_add(struct load *load, const char *spec, uint32_t users, uint64_t seed, GError **error)
{
    char targets[256];
    unsigned rate;
    struct load_stream *stream = g_new0(struct load_stream, 1);
    stream->load = load;
    stream->targets = g_array_new(FALSE, TRUE, sizeof(struct load_target));
    g_array_set_clear_func(stream->targets, target_clear);
    if (sscanf(spec, "%15[^/]/%15[^/]/%15[^=]=%255[^@]@%u", stream->id.name, stream->id.edge_class, stream->id.client,
               targets, &rate) != 5 ||
        rate == 0 || rate > 1000) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                    "stream %s: expected NAME/EDGE-CLASS/CLIENT=HOST[/PREFIX][+...]@RATE, rate 1..1000", spec);
        load_stream_free(stream);
        return false;
    }
    add_targets(stream, targets);
    stream->index = (uint16_t)load->streams->len;
    stream->interval_us = 1000000 / rate;
    stream->users = users;
    stream->user_base = 1 + stream->index * users;
    stream->rng = seed ^ (uint64_t)(stream->index + 1) << 32;
    stream->kept = g_new0(struct load_conn *, users);
    g_ptr_array_add(load->streams, stream);
    g_array_append_val(load->log.streams, stream->id);
    return true;
}

bool load_streams_default(struct load *load, uint32_t users, uint64_t seed, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(traffic); i++)
        for (size_t j = 0; j < G_N_ELEMENTS(clients); j++) {
            const char *equals = strchr(traffic[i], '=');
            g_autofree char *spec =
                g_strdup_printf("%.*s/%s%s", (int)(equals - traffic[i]), traffic[i], clients[j], equals);
            if (!load_stream_add(load, spec, users, seed, error))
                return false;
        }
    return true;
}
