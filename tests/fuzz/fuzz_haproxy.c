/* What HAProxy's socket answers: every reading takes any text, and a reading that is no error can be compared. The
 * first byte chooses the command. */
#include "tests/fuzz/fuzz.h"

#include "dcdn/change.h"
#include "dcdn/counters.h"

#include <string.h>

static void fuzz_actual(uint8_t what, const char *reply)
{
    sb_auto(edge_state) desired = edge_state_empty();
    struct edge_actual actual = {0};
    bool ok;
    if (what == 0)
        ok = actual_read_info(&actual, reply, NULL);
    else if (what == 1)
        ok = actual_read_servers(&actual, reply, NULL);
    else
        ok = actual_read_map(&actual, (enum edge_map)(what % EDGE_MAPS), reply, NULL);
    if (ok && actual.servers != NULL) {
        g_free(edge_difference(&actual, desired));
        g_ptr_array_unref(edge_change(&actual, desired, "/s"));
    }
    actual_clear(&actual);
}

/* Both tables, in one text: the second begins at the first NUL or at the end. */
static void fuzz_counters(const char *text, size_t size)
{
    size_t first = strlen(text);
    const char *second = first < size ? text + first + 1 : "";
    sb_auto(counters) counters = counters_new();
    counters_read(counters, 1, text, second, G_USEC_PER_SEC);
    counters_read(counters, 1, second, text, 2 * G_USEC_PER_SEC);
    json_decref(counters_to_json(counters));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    g_autofree char *text = g_malloc(size);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    uint8_t what = data[0] % 9;
    if (what == 7)
        fuzz_counters(text, size - 1);
    else if (what == 8)
        json_decref(origins_from_stat(text));
    else
        fuzz_actual(what, text);
    return 0;
}
