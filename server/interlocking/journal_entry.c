#include "server/interlocking/journal_entry.h"

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
