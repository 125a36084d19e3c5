#include "server/interlocking/journal_entry.h"

#include "schema/jsondoc.h"

struct journal_entry *journal_entry_new(const char *kind, const char *id, const char *key, json_t *body)
{
    struct journal_entry *entry = g_new0(struct journal_entry, 1);
    entry->kind = g_strdup(kind);
    entry->id = g_strdup(id);
    entry->key = g_strdup(key);
    entry->body = body;
    return entry;
}

void journal_entry_free(struct journal_entry *entry)
{
    if (entry == NULL)
        return;
    g_free(entry->kind);
    g_free(entry->id);
    g_free(entry->key);
    json_decref(entry->body);
    g_free(entry);
}

static void drop_entry(gpointer entry)
{
    journal_entry_free(entry);
}

GPtrArray *entries_new(void)
{
    return g_ptr_array_new_with_free_func(drop_entry);
}

void entries_add(GPtrArray *entries, const char *kind, const char *id, const char *key, json_t *body)
{
    g_ptr_array_add(entries, journal_entry_new(kind, id, key, body));
}

char *journal_time_text(int64_t wall_us)
{
    g_autoptr(GDateTime) seconds = g_date_time_new_from_unix_utc(wall_us / G_USEC_PER_SEC);
    g_autofree char *date = seconds == NULL ? NULL : g_date_time_format(seconds, "%Y-%m-%dT%H:%M:%S");
    return g_strdup_printf("%s.%06dZ", date, (int)(wall_us % G_USEC_PER_SEC));
}

void entries_add_audit(GPtrArray *entries, const struct audit *audit, uint64_t seq, int64_t wall_us)
{
    g_autofree char *at = journal_time_text(wall_us), *id = g_strdup_printf("%" G_GUINT64_FORMAT, seq);
    entries_add(entries, "audit", id, NULL,
                json_pack("{s:I, s:s, s:I, s:s, s:s?, s:s, s:s?, s:s?, s:s?, s:I, s:s?, s:o}", "seq", (json_int_t)seq,
                          "at", at, "at_us", (json_int_t)wall_us, "actor", audit->actor, "reason", audit->reason,
                          "what", audit->what, "object", audit->object, "before", audit->before, "after", audit->after,
                          "generation", (json_int_t)audit->generation, "execution", audit->execution, "overrides",
                          strv_to_json((char *const *)audit->overrides)));
}
