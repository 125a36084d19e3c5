#include "server/cli/history.h"

#include <string.h>

void history_clear(struct history *history)
{
    engine_free(history->engine);
    json_decref(history->audit);
    *history = (struct history){0};
}

static bool restore(struct engine *engine, const char *kind, const char *id, const json_t *body, GError **error)
{
    struct journal_entry *entry = journal_entry_new(kind, id, NULL, json_incref((json_t *)(uintptr_t)body));
    bool ok = engine_restore(engine, entry, error);
    journal_entry_free(entry);
    return ok;
}

/* The name of the cluster stands in no table but the manifest's. */
static struct engine *engine_of(const json_t *answer, GError **error)
{
    const struct engine_config config = {.cluster = (char *)(uintptr_t) "history"};
    struct engine *engine = engine_new(&config);
    struct effects effects;
    bool ok = restore(engine, "generation", "", answer, error);
    size_t i;
    json_t *row;
    json_array_foreach (json_object_get(answer, "entries"), i, row)
        ok = ok && restore(engine, cli_text(row, "kind"), cli_text(row, "id"), json_object_get(row, "body"), error);
    if (!ok) {
        engine_free(engine);
        return NULL;
    }
    effects_init(&effects);
    engine_start_reading(engine, 0, &effects);
    effects_clear(&effects);
    return engine;
}

int history_fetch(struct cli *cli, uint64_t generation, int64_t at_us, uint64_t after, struct history *out)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *since = after > 0 ? g_strdup_printf("&after=%" G_GUINT64_FORMAT, after) : g_strdup("");
    g_autofree char *path = generation > 0
                                ? g_strdup_printf("/v1/history?generation=%" G_GUINT64_FORMAT "%s", generation, since)
                                : g_strdup_printf("/v1/history?at=%" G_GINT64_FORMAT "%s", at_us, since);
    json_t *answer = NULL;
    *out = (struct history){0};
    int code = cli_get(cli, path, &answer);
    if (code == EXIT_OK && (out->engine = engine_of(answer, &error)) == NULL)
        code = cli_error(error);
    if (code == EXIT_OK) {
        out->generation = (uint64_t)cli_number(answer, "generation");
        out->at_us = cli_number(answer, "at_us");
        out->next_us = cli_number(answer, "next_us");
        out->audit = json_incref(json_object_get(answer, "audit"));
    }
    json_decref(answer);
    return code;
}
