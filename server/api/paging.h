/* paging.h: listings by pages: ?limit= and ?cursor= of a request, `next` and a Link header (RFC 8288) of its answer.
 *
 * A cursor is the place behind the last row of a page, as that row's key: what is added or taken away meanwhile moves
 * no other row from one page to another. It is text for the server alone: base64url of the listing's path and the key.
 * It holds no secret and grants nothing, so it is checked (its form, and that it is of this listing), not signed.
 *
 * Thread safety: the thread that the call is on.
 */
#ifndef API_PAGING_H
#define API_PAGING_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define PAGING_KEYS_MAX 2

struct request;
/* How rows of a listing are ordered: text rises; numbers fall, the newest first. */
struct paging {
    const char *list;                  /* member of the answer; NULL: no listing */
    const char *keys[PAGING_KEYS_MAX]; /* members of a row; none: the handler cuts by itself */
};
/* What a request asks for. */
struct page {
    int64_t limit;                /* rows; 0: all */
    char *after[PAGING_KEYS_MAX]; /* key of the row before the first, numbers in decimal; NULL: from the beginning */
};
/* Text of ?cursor= into page->after. SB_ERROR_INVALID: it is none of this listing. */
bool page_from_cursor(struct page *page, const struct request *request, const char *cursor, GError **error);
void page_clear(struct page *page);

/* The answer's list becomes the page of it, and `next` is set. */
void page_cut(const struct page *page, const struct paging *paging, json_t *answer, struct request *request);
/* Sets `next` and the Link header: the page behind this key; NULLs: there is none. */
void page_set_next(const struct page *page, const char *const key[PAGING_KEYS_MAX], json_t *answer,
                   struct request *request);

#endif
