#include "tests/fuzz/fuzz_json.h"

#include <glib.h>
#include <jansson.h>
#include <string.h>

static uint32_t state;

static uint32_t draw(uint32_t n)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % n;
}

static json_t *odd_text(void)
{
    static const char *const texts[] = {"",
                                        "room-a",
                                        "room-b",
                                        "edge-1",
                                        "pop-a1",
                                        "core",
                                        "home",
                                        "default",
                                        "closed",
                                        "open",
                                        "out",
                                        "0-499 room-a, 500-999 room-b",
                                        "0-999 room-b",
                                        "$target",
                                        "home=$target",
                                        "a;b",
                                        "x\ny",
                                        "../x",
                                        "converged",
                                        "edges",
                                        "entrances-healthy",
                                        "ramp",
                                        "5s",
                                        "-1s",
                                        "198.51.100.11:80",
                                        "[2001:db8::1]:80",
                                        "xn--nxasmq6b.test",
                                        "*.example.test",
                                        "\u202egnp",
                                        "play.example.test"};
    return json_string(texts[draw(G_N_ELEMENTS(texts))]);
}

static json_t *odd_value(void)
{
    switch (draw(8)) {
    case 0:
        return json_null();
    case 1:
        return json_boolean(draw(2));
    case 2:
        return json_integer(draw(2) ? INT64_MAX : INT64_MIN);
    case 3:
        return json_integer((json_int_t)draw(5) - 2);
    case 4:
        return json_real(draw(2) ? 1e308 : -0.5);
    case 5:
        return draw(2) ? json_array() : json_object();
    default:
        return odd_text();
    }
}

/* A value somewhere inside, and what holds it. */
struct place {
    json_t *holder;
    const char *key; /* or NULL: at index */
    size_t index;
};

static void collect(json_t *value, GArray *places)
{
    const char *key;
    size_t i;
    json_t *inner;
    if (json_is_array(value)) {
        json_array_foreach (value, i, inner) {
            g_array_append_vals(places, &(struct place){value, NULL, i}, 1);
            collect(inner, places);
        }
    } else {
        json_object_foreach (value, key, inner) {
            g_array_append_vals(places, &(struct place){value, key, 0}, 1);
            collect(inner, places);
        }
    }
}

static json_t *at(const struct place *place)
{
    return place->key != NULL ? json_object_get(place->holder, place->key)
                              : json_array_get(place->holder, place->index);
}

static void put(const struct place *place, json_t *value)
{
    if (place->key != NULL)
        json_object_set_new(place->holder, place->key, value);
    else
        json_array_set_new(place->holder, place->index, value);
}

static void change(json_t *json)
{
    GArray *places = g_array_new(FALSE, FALSE, sizeof(struct place));
    collect(json, places);
    if (places->len > 0) {
        const struct place *place = &g_array_index(places, struct place, draw(places->len));
        const struct place *other = &g_array_index(places, struct place, draw(places->len));
        switch (draw(5)) {
        case 0:
            put(place, json_deep_copy(at(other)));
            break;
        case 1:
            if (place->key != NULL)
                json_object_del(place->holder, place->key);
            else
                json_array_remove(place->holder, place->index);
            break;
        case 2:
            if (place->key == NULL)
                json_array_append_new(place->holder, json_deep_copy(at(place)));
            else
                json_object_set_new(place->holder, "other", json_deep_copy(at(place)));
            break;
        default:
            put(place, odd_value());
        }
    }
    g_array_unref(places);
}

size_t fuzz_json_mutate(uint8_t *data, size_t size, size_t max_size, size_t skip, unsigned seed)
{
    state = seed;
    json_t *json = size > skip ? json_loadb((const char *)data + skip, size - skip, JSON_DECODE_ANY, NULL) : NULL;
    if (json == NULL || draw(8) == 0) {
        json_decref(json);
        return LLVMFuzzerMutate(data, size, max_size);
    }
    for (uint32_t i = 0, n = 1 + draw(3); i < n; i++)
        change(json);
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(json);
    size_t len = text != NULL ? strlen(text) : 0;
    if (text == NULL || len > max_size - skip) {
        free(text);
        return LLVMFuzzerMutate(data, size, max_size);
    }
    memcpy(data + skip, text, len);
    free(text);
    if (skip > 0 && draw(4) == 0)
        data[0] = (uint8_t)draw(256);
    return skip + len;
}
