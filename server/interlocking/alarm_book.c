#include "server/interlocking/alarm_book.h"

#include "core/error.h"

#include <string.h>

struct page {
    json_t *body;    /* as the journal has it */
    int64_t seen_us; /* when it was last there; 0: not in this server's life */
};
struct alarm_book {
    GHashTable *pages; /* key -> struct page *, also of those that are over: keys come again */
};

static void page_free(gpointer data)
{
    struct page *page = data;
    json_decref(page->body);
    g_free(page);
}

struct alarm_book *alarm_book_new(void)
{
    struct alarm_book *book = g_new0(struct alarm_book, 1);
    book->pages = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, page_free);
    return book;
}

void alarm_book_free(struct alarm_book *book)
{
    if (book == NULL)
        return;
    g_hash_table_unref(book->pages);
    g_free(book);
}

static const char *word(const json_t *body, const char *member)
{
    return json_string_value(json_object_get(body, member));
}

static bool lasts(const struct page *page)
{
    return json_integer_value(json_object_get(page->body, "ended_us")) == 0;
}

static struct page *put(struct alarm_book *book, const char *key, json_t *body, int64_t seen_us)
{
    struct page *page = g_new(struct page, 1);
    *page = (struct page){body, seen_us};
    g_hash_table_replace(book->pages, g_strdup(key), page);
    return page;
}

bool alarm_book_restore(struct alarm_book *book, const struct journal_entry *entry, GError **error)
{
    if (word(entry->body, "state") == NULL || !json_is_integer(json_object_get(entry->body, "ended_us"))) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "alarm %s: found no state and end, expected both", entry->id);
        return false;
    }
    put(book, entry->id, json_deep_copy(entry->body), 0);
    return true;
}

static void tell(GPtrArray **entries, const struct page *page)
{
    if (*entries == NULL)
        *entries = entries_new();
    entries_add(*entries, "alarm", word(page->body, "key"), NULL, json_deep_copy(page->body));
}

static bool is_worse(const json_t *alarm, const struct page *page)
{
    return json_integer_value(json_object_get(alarm, "priority")) <
           json_integer_value(json_object_get(page->body, "priority"));
}

/* A page for one that is there now. Who looks after it goes on doing so when it gets worse. */
static struct page *open_page(struct alarm_book *book, json_t *alarm, const struct page *before, int64_t now_us)
{
    json_t *body = json_copy(alarm),
           *ack = before != NULL && lasts(before) ? json_object_get(before->body, "ack") : NULL;
    json_object_set_new(body, "state", json_string("begun"));
    json_object_set_new(body, "ack", ack != NULL ? json_incref(ack) : json_null());
    json_object_set_new(body, "ended_us", json_integer(0));
    return put(book, word(alarm, "key"), body, now_us);
}

static void look_at(struct alarm_book *book, json_t *alarm, int64_t now_us, GPtrArray **entries)
{
    struct page *page = g_hash_table_lookup(book->pages, word(alarm, "key"));
    if (page != NULL && lasts(page) && !is_worse(alarm, page))
        page->seen_us = now_us;
    else
        tell(entries, open_page(book, alarm, page, now_us));
}

static void look_for(struct page *page, struct now now, GPtrArray **entries)
{
    if (page->seen_us == 0)
        page->seen_us = now.us;
    if (!lasts(page) || now.us - page->seen_us < ALARM_GONE_US)
        return;
    json_object_set_new(page->body, "state", json_string("over"));
    json_object_set_new(page->body, "ended_us", json_integer(now.wall_us - (now.us - page->seen_us)));
    tell(entries, page);
}

GPtrArray *alarm_book_look(struct alarm_book *book, const json_t *alarms, struct now now)
{
    GPtrArray *entries = NULL;
    json_t *alarm;
    size_t i;
    json_array_foreach ((json_t *)(uintptr_t)alarms, i, alarm)
        look_at(book, alarm, now.us, &entries);
    g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(book->pages), (GCompareFunc)strcmp);
    for (const GList *key = keys; key != NULL; key = key->next)
        look_for(g_hash_table_lookup(book->pages, key->data), now, &entries);
    return entries;
}

struct journal_entry *alarm_book_acknowledge(struct alarm_book *book, const json_t *alarms, const char *key,
                                             const struct asker *asker, struct now now, GError **error)
{
    struct page *page = g_hash_table_lookup(book->pages, key);
    json_t *alarm;
    size_t i;
    json_array_foreach ((json_t *)(uintptr_t)alarms, i, alarm)
        if (strcmp(word(alarm, "key"), key) == 0 && (page == NULL || !lasts(page)))
            page = open_page(book, alarm, page, now.us);
    if (page == NULL || !lasts(page)) {
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "alarm %s: found none, expected one that lasts%s", key,
                    page != NULL ? ": it is over" : "");
        return NULL;
    }
    json_object_set_new(page->body, "state", json_string("acknowledged"));
    json_object_set_new(page->body, "ack",
                        json_pack("{s:s, s:I, s:s?}", "actor", asker->actor, "at_us", (json_int_t)now.wall_us, "reason",
                                  asker->reason));
    return journal_entry_new("alarm", key, NULL, json_deep_copy(page->body));
}

void alarm_book_mark(const struct alarm_book *book, json_t *alarms)
{
    json_t *alarm;
    size_t i;
    json_array_foreach (alarms, i, alarm) {
        const struct page *page = g_hash_table_lookup(book->pages, word(alarm, "key"));
        json_t *ack = page != NULL && lasts(page) ? json_object_get(page->body, "ack") : NULL;
        if (json_is_object(ack))
            json_object_set(alarm, "ack", ack);
    }
}
