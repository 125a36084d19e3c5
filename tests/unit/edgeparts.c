#include "tests/unit/edgeparts.h"

#include <string.h>

const struct edge_table_text edge_table_rest = {
    .routes = "creator.example.test/ creator.creator\n"
              "creator.example.test/upload/ creator.upload\n"
              "home.example.test/ manual.home\n"
              "play-line.example.test/ core-line.playback\n"
              "play.example.test/ core.playback\n",
    .layout = "class public\n"
              "origin/room-a/pop-a1 198.51.100.11:80\n"
              "origin/room-a/pop-a2 198.51.100.12:80\n"
              "origin/room-b/pop-b1 198.51.100.21:80\n"
              "origin/room-b/pop-b2 198.51.100.22:80\n"
              "relay/edge-3 203.0.113.13:80\n",
    .policies = "core-line.playback 7|multi|on|relay\n"
                "core.playback 7|multi|on|local\n"
                "creator.creator 3|single|off|local\n"
                "creator.upload 3|single|off|local\n"
                "manual.home 7|multi|off|local\n",
    .splits = "3000:3999 room-a\n7000:7499 room-a\n7500:7999 room-b\n",
    .rooms = "multi/room-a room-a\nmulti/room-b room-b\nsingle/room-a room-a\nsingle/room-b room-b\n",
    .origins = "multi/room-a/pop-a1 in\nmulti/room-a/pop-a2 in\nmulti/room-b/pop-b1 in\nmulti/room-b/pop-b2 in\n",
};

void edge_parts_init(struct edge_parts *table, uint64_t epoch, uint64_t generation, const struct edge_table_text *text)
{
    const struct edge_table_text *rest = &edge_table_rest;
    const char *const bytes[PARTS] = {
        [PART_ROUTES] = text->routes != NULL ? text->routes : rest->routes,
        [PART_LAYOUT] = text->layout != NULL ? text->layout : rest->layout,
        [PART_POLICIES] = text->policies != NULL ? text->policies : rest->policies,
        [PART_SPLITS] = text->splits != NULL ? text->splits : rest->splits,
        [PART_ROOMS] = text->rooms != NULL ? text->rooms : rest->rooms,
        [PART_ORIGINS] = text->origins != NULL ? text->origins : rest->origins,
    };
    *table = (struct edge_parts){
        .manifest = {.cluster = "two-rooms", .edge = "edge-1", .stamp = {epoch, generation}, .cause = "e-1/close/set"}};
    if (text->agent != NULL)
        g_strlcpy(table->manifest.edge, text->agent, sizeof table->manifest.edge);
    for (unsigned i = 0; i < PARTS; i++) {
        table->parts[i] = g_bytes_new(bytes[i], strlen(bytes[i]));
        part_hash(bytes[i], strlen(bytes[i]), table->manifest.hash[i]);
    }
}

void edge_parts_clear(struct edge_parts *table)
{
    for (unsigned i = 0; i < PARTS; i++)
        g_bytes_unref(table->parts[i]);
}

void edge_parts_hash(GBytes *const parts[static PARTS], char hash[static PART_HASH_SIZE])
{
    g_autoptr(GByteArray) all = g_byte_array_new();
    for (unsigned i = 0; i < PARTS; i++) {
        gsize size;
        const guint8 *bytes = g_bytes_get_data(parts[i], &size);
        if (size > 0)
            g_byte_array_append(all, bytes, (guint)size);
    }
    part_hash(all->data, all->len, hash);
}
