/* incident.c: recordings replayed, and effects as text. */
#include "server/interlocking/incident.h"
#include "server/interlocking/engine_internal.h"

#include "core/error.h"

#include <stdlib.h>
#include <string.h>

/* ---- effects ---- */

/* With the NUL at its end, so that neighbours do not run together. */
static void add_bytes(GByteArray *bytes, const char *text)
{
    if (text != NULL)
        g_byte_array_append(bytes, (const guint8 *)text, (guint)strlen(text) + 1);
    else
        g_byte_array_append(bytes, (const guint8 *)"\1", 2);
}

static void add_number(GByteArray *bytes, uint64_t number)
{
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, number);
    add_bytes(bytes, text);
}

static void add_json(GByteArray *bytes, const json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    add_bytes(bytes, text);
    free(text);
}

static void add_entry(GByteArray *bytes, const struct journal_entry *entry)
{
    json_t *body = told_body(entry);
    add_bytes(bytes, entry->kind);
    add_bytes(bytes, entry->id);
    add_bytes(bytes, entry->key);
    add_json(bytes, body);
    json_decref(body);
}

static void add_records(GByteArray *bytes, const struct zone_records *records)
{
    add_bytes(bytes, records->zone);
    for (guint i = 0; i < records->rrsets->len; i++) {
        const struct rrset *rrset = records->rrsets->pdata[i];
        add_bytes(bytes, rrset->owner);
        add_number(bytes, rrset->type);
        add_number(bytes, rrset->ttl);
        for (char **rdata = rrset->rdata; *rdata != NULL; rdata++)
            add_bytes(bytes, *rdata);
        add_bytes(bytes, rrset->why);
    }
}

static void add_no_secret(void *bytes, const char *key, const char *value)
{
    if (g_str_has_prefix(key, PIN_ROW))
        return;
    add_bytes(bytes, key);
    add_bytes(bytes, value);
}

/* The hashes of parts stand for the parts, but for one with secrets, which are not known where it is replayed. */
static void add_part(GByteArray *bytes, const struct resolved *resolved, int class, enum part part)
{
    gsize size;
    GBytes *text = resolved_part(resolved, resolved->tables[class].hash[part]);
    if (part != PART_ROOMS || resolved->world->pins.n == 0)
        add_bytes(bytes, resolved->tables[class].hash[part]);
    else
        part_foreach(g_bytes_get_data(text, &size), g_bytes_get_size(text), add_no_secret, bytes);
}

static void add_resolved(GByteArray *bytes, const struct resolved *resolved)
{
    const struct world *world = resolved->world;
    add_number(bytes, world->stamp.epoch);
    add_number(bytes, world->stamp.generation);
    add_bytes(bytes, world->cause);
    for (int class = 0; class < EDGE_CLASSES; class ++)
        for (int part = 0; part < PARTS; part++)
            add_part(bytes, resolved, class, (enum part)part);
    INVENTORY_FOREACH (world->inventory, gateway, gateway)
        add_bytes(bytes, g_hash_table_lookup(resolved->gateways, gateway->o.name));
    for (guint i = 0; i < resolved->zones->len; i++)
        add_records(bytes, resolved->zones->pdata[i]);
}

static void journal_text(const struct effect *effect, const char *hash, GString *out)
{
    g_string_append_printf(out, "journal %u entries %s\n", effect->entries->len, hash);
    for (guint i = 0; i < effect->entries->len; i++) {
        const struct journal_entry *entry = effect->entries->pdata[i];
        g_string_append_printf(out, "  %s %s\n", entry->kind, entry->id);
    }
}

/* Its body and headers are a plan's, and stand in the journal entries beside it. */
static void call_text(const struct effect *effect, GString *out)
{
    g_string_append_printf(out, "call %s %s %s\n", json_string_value(json_object_get(effect->call, "id")),
                           json_string_value(json_object_get(effect->call, "method")),
                           json_string_value(json_object_get(effect->call, "url")));
}

static void effect_text(const struct effect *effect, GString *out)
{
    if (effect->kind == EFFECT_CALL) {
        call_text(effect, out);
        return;
    }
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    char hash[PART_HASH_SIZE];
    if (effect->kind == EFFECT_JOURNAL)
        for (guint i = 0; i < effect->entries->len; i++)
            add_entry(bytes, effect->entries->pdata[i]);
    else if (effect->kind == EFFECT_ASK)
        add_json(bytes, effect->ask);
    else
        add_resolved(bytes, effect->resolved);
    part_hash(bytes->data, bytes->len, hash);
    if (effect->kind == EFFECT_JOURNAL) {
        journal_text(effect, hash, out);
        return;
    }
    if (effect->kind == EFFECT_ASK) {
        g_string_append_printf(out, "ask %s/%s %s\n", json_string_value(json_object_get(effect->ask, "execution")),
                               json_string_value(json_object_get(effect->ask, "step")), hash);
        return;
    }
    struct stamp stamp = effect->resolved->world->stamp;
    g_string_append_printf(out, "publish %" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT " %s\n", stamp.epoch,
                           stamp.generation, hash);
}

void effect_lines(const struct effect *effect, GString *out)
{
    g_autoptr(GString) text = g_string_new(NULL);
    effect_text(effect, text);
    g_auto(GStrv) lines = g_strsplit(text->str, "\n", -1);
    for (char **line = lines; *line != NULL && **line != '\0'; line++)
        g_string_append_printf(out, "> %s\n", *line);
}

/* ---- replay ---- */

bool incident_input(struct engine **engine, const json_t *input, GString *out, GError **error)
{
    if (g_strcmp0(json_string_value(json_object_get(input, "in")), "config") == 0) {
        engine_free(*engine);
        *engine = engine_of_config(input, error);
        return *engine != NULL;
    }
    if (*engine == NULL) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "found no \"config\" before, expected one");
        return false;
    }
    struct effects effects;
    struct effect *effect;
    g_autoptr(GError) reason = NULL;
    bool refused, ok;
    effects_init(&effects);
    ok = engine_input(*engine, input, &effects, &refused, &reason);
    if (refused)
        g_string_append_printf(out, "> refused: %s\n", reason->message);
    while ((effect = effects_pop(&effects)) != NULL) {
        effect_lines(effect, out);
        effect_free(effect);
    }
    if (!ok && !refused)
        g_propagate_error(error, g_steal_pointer(&reason));
    return ok || refused;
}
