/* sim_journal.c: the journal that both servers share: newest states in the order of writing, and keys. It outlives
 * every process, and takes what the newest reign appends only (server/store/journal.h). */
#include "tests/sim/sim.h"

static void put(struct shared_journal *journal, const struct journal_entry *entry)
{
    g_autofree char *id = g_strdup_printf("%s %s", entry->kind, entry->id);
    guint old = GPOINTER_TO_UINT(g_hash_table_lookup(journal->newest, id));
    if (old > 0)
        journal_entry_free(g_steal_pointer(&journal->entries->pdata[old - 1]));
    g_ptr_array_add(journal->entries, journal_entry_new(entry->kind, entry->id, entry->key, json_incref(entry->body)));
    g_hash_table_replace(journal->newest, g_steal_pointer(&id), GUINT_TO_POINTER(journal->entries->len));
    if (entry->key != NULL)
        g_hash_table_add(journal->keys, g_strdup(entry->key));
}

void journal_init(struct sim *sim, const GPtrArray *entries)
{
    struct shared_journal *journal = &sim->journal;
    journal->epoch = 1 << 16; /* of the reign that made the entries */
    journal->entries = entries_new();
    journal->newest = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    journal->keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < entries->len; i++)
        put(journal, entries->pdata[i]);
}

void journal_clear(struct sim *sim)
{
    g_ptr_array_unref(sim->journal.entries);
    g_hash_table_unref(sim->journal.newest);
    g_hash_table_unref(sim->journal.keys);
}

uint64_t journal_begin_reign(struct sim *sim, unsigned node)
{
    sim->journal.epoch = (((sim->journal.epoch >> 16) + 1) << 16) + node;
    return sim->journal.epoch;
}

bool journal_write(struct sim *sim, const struct server *server, const GPtrArray *entries)
{
    struct shared_journal *journal = &sim->journal;
    bool doubts = journal->broken == JOURNAL_DOUBTS, refuses = journal->broken == JOURNAL_REFUSES;
    journal->broken = JOURNAL_SOUND;
    if (refuses)
        return false;
    if (server->epoch < journal->epoch) {
        sim_count(sim, SEEN_journal_fenced);
        sim_trace(sim, "server %u: its reign is over, the journal refuses it", server->index);
        return false;
    }
    for (guint i = 0; i < entries->len; i++) {
        const struct journal_entry *entry = entries->pdata[i];
        if (entry->key != NULL && g_hash_table_contains(journal->keys, entry->key)) {
            sim_fail(sim, "the journal was given key %s again", entry->key);
            return false;
        }
    }
    check_transaction(sim, server, entries);
    for (guint i = 0; i < entries->len; i++)
        put(journal, entries->pdata[i]);
    return !doubts; /* what is kept is known after a restart only */
}
