#include "server/api/paging.h"

#include "core/error.h"
#include "schema/object.h"
#include "server/api/listener.h"

#include <sodium.h>
#include <string.h>

#define CURSOR_SIZE_MAX 2048
#define VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING

/* ---- cursors: lines of path and key, as base64url ---- */

static bool wrong_cursor(const char *cursor, GError **error)
{
    g_autofree char *found = text_quote(cursor);
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID,
                "cursor: found %s, expected `next` of a page of this listing, as it was given", found);
    return false;
}

bool page_from_cursor(struct page *page, const struct request *request, const char *cursor, GError **error)
{
    char text[CURSOR_SIZE_MAX + 1];
    size_t size = 0;
    if (sodium_base642bin((unsigned char *)text, CURSOR_SIZE_MAX, cursor, strlen(cursor), NULL, &size, NULL, VARIANT) !=
            0 ||
        memchr(text, '\0', size) != NULL || !g_utf8_validate(text, (gssize)size, NULL))
        return wrong_cursor(cursor, error);
    text[size] = '\0';
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    guint n = g_strv_length(lines);
    if (n < 2 || n > 1 + PAGING_KEYS_MAX || strcmp(lines[0], request->path) != 0)
        return wrong_cursor(cursor, error);
    for (guint i = 1; i < n; i++)
        page->after[i - 1] = g_strdup(lines[i]);
    return true;
}

void page_clear(struct page *page)
{
    for (unsigned i = 0; i < PAGING_KEYS_MAX; i++)
        g_clear_pointer(&page->after[i], g_free);
}

void page_set_next(const struct page *page, const char *const key[PAGING_KEYS_MAX], json_t *answer,
                   struct request *request)
{
    if (key[0] == NULL) {
        json_object_set_new(answer, "next", json_null());
        return;
    }
    GString *text = g_string_new(request->path);
    for (unsigned i = 0; i < PAGING_KEYS_MAX && key[i] != NULL; i++)
        g_string_append_printf(text, "\n%s", key[i]);
    size_t size = sodium_base64_encoded_len(text->len, VARIANT);
    g_autofree char *cursor = g_malloc(size);
    sodium_bin2base64(cursor, size, (const unsigned char *)text->str, text->len, VARIANT);
    g_string_free(text, TRUE);
    json_object_set_new(answer, "next", json_string(cursor));
    request->reply.link =
        g_strdup_printf("<%s?limit=%" G_GINT64_FORMAT "&cursor=%s>; rel=\"next\"", request->path, page->limit, cursor);
}

/* ---- rows ---- */

static char *key_text(const json_t *row, const char *member)
{
    const json_t *value = json_object_get(row, member);
    return json_is_integer(value) ? g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value))
                                  : g_strdup(json_string_value(value));
}

static int compare(const json_t *value, const char *text)
{
    json_int_t number = g_ascii_strtoll(text, NULL, 10);
    if (json_is_integer(value))
        return (json_integer_value(value) < number) - (json_integer_value(value) > number);
    return g_strcmp0(json_string_value(value), text);
}

/* < 0, 0, > 0: the row is before, at, behind the place. */
static int compare_row(const json_t *row, const struct paging *paging, const struct page *page)
{
    int order = 0;
    for (unsigned i = 0; order == 0 && i < PAGING_KEYS_MAX && paging->keys[i] != NULL; i++)
        order = page->after[i] != NULL ? compare(json_object_get(row, paging->keys[i]), page->after[i]) : 0;
    return order;
}

/* Index of the first row of the page. Equal keys' order is the list's own, so the row itself counts if it is there. */
static size_t first_of(const json_t *rows, const struct paging *paging, const struct page *page)
{
    size_t first = json_array_size(rows), i;
    json_t *row;
    if (page->after[0] == NULL)
        return 0;
    json_array_foreach ((json_t *)(uintptr_t)rows, i, row) {
        int order = compare_row(row, paging, page);
        if (order == 0)
            return i + 1;
        if (order > 0 && first > i)
            first = i;
    }
    return first;
}

void page_cut(const struct page *page, const struct paging *paging, json_t *answer, struct request *request)
{
    const json_t *rows = json_object_get(answer, paging->list);
    size_t n = json_array_size(rows), from = first_of(rows, paging, page);
    size_t to = page->limit > 0 && (size_t)page->limit < n - from ? from + (size_t)page->limit : n;
    json_t *cut = json_array();
    g_autofree char *key0 = NULL, *key1 = NULL;
    for (size_t i = from; i < to; i++)
        json_array_append(cut, json_array_get(rows, i));
    if (to < n) {
        key0 = key_text(json_array_get(rows, to - 1), paging->keys[0]);
        key1 = paging->keys[1] != NULL ? key_text(json_array_get(rows, to - 1), paging->keys[1]) : NULL;
    }
    json_object_set_new(answer, paging->list, cut);
    page_set_next(page, (const char *const[]){key0, key1}, answer, request);
}
