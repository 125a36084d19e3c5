#include "server/store/audit_chain.h"

#include "core/error.h"
#include "schema/object.h"

#include <sodium.h>
#include <string.h>

G_STATIC_ASSERT(AUDIT_HASH_SIZE == 2 * crypto_generichash_BYTES + 1);

static const char *const place_names[] = {"journal", "store"};

void audit_hash(const json_t *record, char hex[static AUDIT_HASH_SIZE])
{
    unsigned char hash[crypto_generichash_BYTES];
    json_t *bare = json_copy((json_t *)(uintptr_t)record);
    json_object_del(bare, "hash");
    char *text = json_dumps(bare, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    crypto_generichash(hash, sizeof hash, (const unsigned char *)text, strlen(text), NULL, 0);
    sodium_bin2hex(hex, AUDIT_HASH_SIZE, hash, sizeof hash);
    free(text);
    json_decref(bare);
}

json_t *audit_seal(const json_t *record, uint64_t epoch, const char *prev)
{
    char hash[AUDIT_HASH_SIZE];
    json_t *sealed = json_copy((json_t *)(uintptr_t)record);
    json_object_set_new(sealed, "epoch", json_integer((json_int_t)epoch));
    json_object_set_new(sealed, "prev", json_string(prev));
    audit_hash(sealed, hash);
    json_object_set_new(sealed, "hash", json_string(hash));
    return sealed;
}

/* ---- collecting ---- */

struct row {
    uint64_t n, epoch;
    guint at;     /* place in its list */
    bool chained; /* it has a hash */
    bool sound;   /* which is its own */
    char prev[AUDIT_HASH_SIZE], hash[AUDIT_HASH_SIZE];
};

/* Rows of one place. */
struct rows {
    GPtrArray *all;      /* struct row *, owned */
    GHashTable *by_hash; /* of those that are chained; the first of its hash */
};

struct audit_check {
    struct rows rows[2]; /* by place */
    GHashTable *nodes;   /* whose records are in the journal */
};

struct audit_check *audit_check_new(unsigned node)
{
    struct audit_check *check = g_new(struct audit_check, 1);
    for (int place = 0; place < 2; place++)
        check->rows[place] =
            (struct rows){g_ptr_array_new_with_free_func(g_free), g_hash_table_new(g_str_hash, g_str_equal)};
    check->nodes = g_hash_table_new(NULL, NULL);
    g_hash_table_add(check->nodes, GUINT_TO_POINTER(node));
    return check;
}

void audit_check_free(struct audit_check *check)
{
    if (check == NULL)
        return;
    for (int place = 0; place < 2; place++) {
        g_hash_table_destroy(check->rows[place].by_hash);
        g_ptr_array_unref(check->rows[place].all);
    }
    g_hash_table_destroy(check->nodes);
    g_free(check);
}

/* False: it is none, or of another length. */
static bool take_hash(const json_t *record, const char *member, char out[static AUDIT_HASH_SIZE])
{
    const char *text = json_string_value(json_object_get(record, member));
    return text != NULL && g_strlcpy(out, text, AUDIT_HASH_SIZE) < AUDIT_HASH_SIZE;
}

static unsigned node_of(uint64_t epoch)
{
    return (unsigned)(epoch & 0xffff);
}

void audit_check_add(struct audit_check *check, enum audit_place place, const char *id, uint64_t epoch,
                     const char *body)
{
    struct rows *rows = &check->rows[place];
    if (place == AUDIT_JOURNAL)
        g_hash_table_add(check->nodes, GUINT_TO_POINTER(node_of(epoch)));
    else if (!g_hash_table_contains(check->nodes, GUINT_TO_POINTER(node_of(epoch))))
        return;
    struct row *row = g_new0(struct row, 1);
    json_t *record = json_loads(body, 0, NULL);
    char hash[AUDIT_HASH_SIZE] = "";
    row->n = g_ascii_strtoull(id, NULL, 10);
    row->epoch = epoch;
    row->at = rows->all->len;
    row->chained = record == NULL || take_hash(record, "hash", row->hash);
    if (record != NULL)
        audit_hash(record, hash);
    row->sound = row->chained && record != NULL && take_hash(record, "prev", row->prev) &&
                 strcmp(hash, row->hash) == 0 &&
                 json_integer_value(json_object_get(record, "seq")) == (json_int_t)row->n &&
                 json_integer_value(json_object_get(record, "epoch")) == (json_int_t)epoch;
    json_decref(record);
    g_ptr_array_add(rows->all, row);
    if (row->hash[0] != '\0' && !g_hash_table_contains(rows->by_hash, row->hash))
        g_hash_table_insert(rows->by_hash, row->hash, row);
}

/* ---- findings ---- */

/* Neighbours of the same kind become one. */
static void find(json_t *findings, enum audit_place where, const char *what, uint64_t from, uint64_t to,
                 const char *text)
{
    json_t *last = json_array_get(findings, json_array_size(findings) - 1);
    if (last != NULL && strcmp(json_string_value(json_object_get(last, "where")), place_names[where]) == 0 &&
        strcmp(json_string_value(json_object_get(last, "what")), what) == 0 &&
        strcmp(json_string_value(json_object_get(last, "text")), text) == 0) {
        uint64_t end = (uint64_t)json_integer_value(json_object_get(last, "to"));
        if (from <= end + 1 && from >= (uint64_t)json_integer_value(json_object_get(last, "from"))) {
            json_object_set_new(last, "to", json_integer((json_int_t)MAX(end, to)));
            return;
        }
    }
    json_array_append_new(findings, json_pack("{s:s, s:s, s:I, s:I, s:s}", "where", place_names[where], "what", what,
                                              "from", (json_int_t)from, "to", (json_int_t)to, "text", text));
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = (*(const struct row *const *)a)->n, y = (*(const struct row *const *)b)->n;
    return x < y ? -1 : x > y;
}

/* The row of number n, or, if there is none, that of the next lower one; NULL: none is lower. */
static const struct row *floor_of(const GPtrArray *sorted, uint64_t n)
{
    guint low = 0, high = sorted->len;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        if (((const struct row *)sorted->pdata[middle])->n <= n)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? sorted->pdata[low - 1] : NULL;
}

/* Nobody has the hash that the row was written behind. */
static void find_gap(const GPtrArray *sorted, const struct row *row, json_t *findings)
{
    const struct row *lower = row->n > 0 ? floor_of(sorted, row->n - 1) : NULL;
    uint64_t from = lower != NULL ? lower->n + 1 : 1;
    if (from < row->n)
        find(findings, AUDIT_JOURNAL, "missing", from, row->n - 1, "the record behind them was written after them");
    else if (lower != NULL)
        find(findings, AUDIT_JOURNAL, "altered", lower->n, lower->n,
             "the record behind it was written after another one with this number");
}

static void check_link(const struct rows *rows, const GPtrArray *sorted, GHashTable *followed, const struct row *row,
                       json_t *findings)
{
    const struct row *before = g_hash_table_lookup(rows->by_hash, row->prev);
    if (before == NULL) {
        find_gap(sorted, row, findings);
    } else if (before->at >= row->at) {
        find(findings, AUDIT_JOURNAL, "out of order", row->n, row->n,
             "it stands before the one that it was written after");
    } else if (g_hash_table_contains(followed, row->prev)) {
        find(findings, AUDIT_JOURNAL, "inserted", row->n, row->n, "another record was written after the same one");
    }
    g_hash_table_add(followed, (char *)(uintptr_t)row->prev);
}

/* Returns how many are from before the chain. */
static unsigned check_journal(const struct rows *rows, const struct row **head, json_t *findings)
{
    g_autoptr(GPtrArray) sorted = g_ptr_array_new();
    g_autoptr(GHashTable) followed = g_hash_table_new(g_str_hash, g_str_equal);
    unsigned unchained = 0;
    for (guint i = 0; i < rows->all->len; i++)
        g_ptr_array_add(sorted, rows->all->pdata[i]);
    g_ptr_array_sort(sorted, by_number);
    for (guint i = 0; i < rows->all->len; i++) {
        const struct row *row = rows->all->pdata[i], *previous = i > 0 ? rows->all->pdata[i - 1] : NULL;
        bool first = *head == NULL;
        if (!row->chained && first) {
            unchained++;
            if (previous != NULL && row->n > previous->n + 1)
                find_gap(sorted, row, findings);
            continue;
        }
        *head = row;
        if (!row->sound)
            find(findings, AUDIT_JOURNAL, "altered", row->n, row->n, "it is not what its hash says");
        if (row->sound && (row->prev[0] != '\0' || !first))
            check_link(rows, sorted, followed, row, findings);
        else if (row->sound && row->n > 1 && (previous == NULL || previous->n + 1 != row->n))
            find_gap(sorted, row, findings);
    }
    return unchained;
}

/* ---- the store ---- */

/* A hash that only one of the two places has was taken out of the other; those behind the first one of the chain were
 * said by check_journal. */
static void compare_sealing(const struct row *row, const struct row *other, unsigned unchained, json_t *findings)
{
    if (row->sound && !other->chained && other->at < unchained)
        find(findings, AUDIT_JOURNAL, "altered", other->n, other->n, "the store has it with a hash");
    else if (other->sound && !row->chained)
        find(findings, AUDIT_STORE, "altered", row->n, row->n, "the journal has it with a hash");
}

/* unchained: so many of the journal's first records have no hash. */
static void check_stored(const struct audit_check *check, unsigned unchained, json_t *findings)
{
    const struct rows *journal = &check->rows[AUDIT_JOURNAL], *store = &check->rows[AUDIT_STORE];
    g_autoptr(GHashTable) by_number_and_epoch = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < journal->all->len; i++) {
        struct row *row = journal->all->pdata[i];
        g_hash_table_insert(by_number_and_epoch,
                            g_strdup_printf("%" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT, row->epoch, row->n), row);
    }
    for (guint i = 0; i < store->all->len; i++) {
        const struct row *row = store->all->pdata[i];
        if (row->chained && !row->sound)
            find(findings, AUDIT_STORE, "altered", row->n, row->n, "it is not what its hash says");
        if (g_hash_table_contains(journal->by_hash, row->hash))
            continue;
        g_autofree char *key = g_strdup_printf("%" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT, row->epoch, row->n);
        const struct row *other = g_hash_table_lookup(by_number_and_epoch, key);
        if (other != NULL && (!other->sound || !row->sound)) { /* else it was said, or there is nothing to compare */
            compare_sealing(row, other, unchained, findings);
            continue;
        }
        g_autofree char *lost = g_strdup_printf("of epoch %" G_GUINT64_FORMAT
                                                ": the store has them, the journal has not: it was cut, or restored "
                                                "from an older copy",
                                                row->epoch);
        find(findings, AUDIT_JOURNAL, "missing", row->n, row->n, lost);
    }
}

/* Up to the newest record that has come there. */
static void check_drained(const struct audit_check *check, json_t *findings)
{
    const struct rows *journal = &check->rows[AUDIT_JOURNAL], *store = &check->rows[AUDIT_STORE];
    guint end = journal->all->len;
    while (end > 0 && !g_hash_table_contains(store->by_hash, ((const struct row *)journal->all->pdata[end - 1])->hash))
        end--;
    for (guint i = 0; i < end; i++) {
        const struct row *row = journal->all->pdata[i];
        if (row->sound && !g_hash_table_contains(store->by_hash, row->hash))
            find(findings, AUDIT_STORE, "missing", row->n, row->n, "the journal has them, and newer ones came");
    }
}

/* ---- the end ---- */

static bool check_noted(const struct audit_check *check, const char *noted, json_t *findings, GError **error)
{
    const struct rows *journal = &check->rows[AUDIT_JOURNAL];
    const char *colon = strchr(noted, ':');
    g_autofree char *digits = colon != NULL ? g_strndup(noted, (gsize)(colon - noted)) : NULL;
    guint64 n = 0;
    if (digits == NULL || strlen(colon + 1) != AUDIT_HASH_SIZE - 1 ||
        !g_ascii_string_to_unsigned(digits, 10, 1, G_MAXINT64, &n, NULL)) {
        g_autofree char *found = text_quote(noted);
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "head: found %s, expected NUMBER:HASH as it was shown", found);
        return false;
    }
    if (g_hash_table_contains(journal->by_hash, colon + 1))
        return true;
    bool there = false;
    for (guint i = 0; i < journal->all->len; i++)
        there |= ((const struct row *)journal->all->pdata[i])->n == n;
    if (there)
        find(findings, AUDIT_JOURNAL, "altered", n, n, "the head that was noted has another hash");
    else
        find(findings, AUDIT_JOURNAL, "missing", n, n, "the head that was noted");
    return true;
}

bool audit_check_end(const struct audit_check *check, const char *noted, json_t **result, GError **error)
{
    json_t *findings = json_array();
    const struct row *head = NULL;
    unsigned unchained = check_journal(&check->rows[AUDIT_JOURNAL], &head, findings);
    check_stored(check, unchained, findings);
    check_drained(check, findings);
    if (noted != NULL && !check_noted(check, noted, findings, error)) {
        json_decref(findings);
        return false;
    }
    g_autofree char *text = head != NULL ? g_strdup_printf("%" G_GUINT64_FORMAT ":%s", head->n, head->hash) : NULL;
    *result =
        json_pack("{s:i, s:i, s:i, s:s?, s:o}", "records", (int)check->rows[AUDIT_JOURNAL].all->len, "unchained",
                  (int)unchained, "stored", (int)check->rows[AUDIT_STORE].all->len, "head", text, "findings", findings);
    return true;
}
