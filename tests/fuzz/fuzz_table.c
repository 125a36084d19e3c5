/* What an agent fetches: a manifest, and parts. What the grammar lets pass has no character that HAProxy would read as
 * more than text, in maps and in names of servers. The first byte chooses a part, or the manifest. */
#include "tests/fuzz/fuzz.h"

#include "dcdn/render.h"
#include "schema/jsondoc.h"

#include <string.h>

static const char *const rest[PARTS] = {
    [PART_ROUTES] = "play.example.test/ core.playback\n",
    [PART_LAYOUT] = "class public\norigin/room-a/pop-a1 198.51.100.11:80\norigin/room-b/pop-b1 198.51.100.21:80\n",
    [PART_POLICIES] = ("core.playback 1|multi|on|local\ncore.upload 1|single|off|local||keep|5|interfaces\n"
                       "interface/upload/post/-/new/ 5|live|2|1\n"),
    [PART_SPLITS] = "1000:1499 room-a\n1500:1999 room-b\n",
    [PART_ROOMS] = "multi/room-a room-a\nmulti/room-b room-b\nsingle/room-a room-a\nsingle/room-b room-b\n",
    [PART_ORIGINS] = "",
};

static bool harmless(const char *text)
{
    return text[0] != '\0' && strpbrk(text, " \t\r\n;\\<>\"'$%@#") == NULL;
}

static void expect_harmless(const struct edge_state *state)
{
    for (unsigned i = 0; i < EDGE_MAPS; i++) {
        GHashTableIter iter;
        void *key, *value;
        g_hash_table_iter_init(&iter, state->maps[i]);
        while (g_hash_table_iter_next(&iter, &key, &value))
            FUZZ_EXPECT(harmless(key) && harmless(value));
    }
    for (guint i = 0; i < state->servers->len; i++)
        FUZZ_EXPECT(harmless(((const struct edge_server *)state->servers->pdata[i])->name));
}

static void fuzz_part(enum part part, const char *bytes, size_t size)
{
    if (!part_validate(part, bytes, size, NULL))
        return;
    struct manifest manifest = {.cluster = "two-rooms", .edge = "edge-1", .stamp = {65536, 1}};
    const struct edge_settings settings = {"edge-1",         "two-rooms", "/s",    "0.0.0.0:80", "/s/haproxy.sock",
                                           "/s/master.sock", 60000000,    5000000, 1000};
    GBytes *parts[PARTS];
    for (unsigned i = 0; i < PARTS; i++)
        parts[i] = i == part ? g_bytes_new(bytes, size) : g_bytes_new_static(rest[i], strlen(rest[i]));
    sb_auto(edge_state) state = edge_state_new(&manifest, parts, NULL);
    if (state != NULL) {
        expect_harmless(state);
        g_free(edge_config_render(state, &settings));
    }
    for (unsigned i = 0; i < PARTS; i++)
        g_bytes_unref(parts[i]);
}

static void fuzz_manifest(const char *bytes, size_t size)
{
    json_t *json = jsondoc_parse(bytes, size, "manifest", NULL);
    struct manifest manifest, again;
    if (json != NULL && manifest_from_json(json, &manifest, NULL)) {
        json_t *written = manifest_to_json(&manifest);
        FUZZ_EXPECT(manifest_from_json(written, &again, NULL));
        FUZZ_EXPECT(stamp_compare(manifest.stamp, again.stamp) == 0);
        json_decref(written);
    }
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    unsigned what = data[0] % (PARTS + 1);
    if (what == PARTS)
        fuzz_manifest((const char *)data + 1, size - 1);
    else
        fuzz_part((enum part)what, (const char *)data + 1, size - 1);
    return 0;
}
