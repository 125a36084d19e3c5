/* inventory.c: a hash index by name for each kind, and a sorted list made when somebody first asks for it. */
#include "schema/inventory.h"
#include "schema/field.h"

#include <pthread.h>
#include <string.h>

struct index {
    GHashTable *by_name; /* name (the object's) -> struct object *, owned */
    GPtrArray *sorted;   /* the same objects; valid unless stale */
    gint stale;
};
struct inventory {
    gint refs;
    pthread_mutex_t sorting; /* readers of a published inventory may meet at its first list */
    struct index kinds[OBJECT_KINDS];
};

static void object_destroy(gpointer object)
{
    object_free(object);
}

struct inventory *inventory_new(void)
{
    struct inventory *inv = g_new0(struct inventory, 1);
    inv->refs = 1;
    pthread_mutex_init(&inv->sorting, NULL);
    for (unsigned i = 0; i < OBJECT_KINDS; i++) {
        inv->kinds[i].by_name = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, object_destroy);
        inv->kinds[i].sorted = g_ptr_array_new();
    }
    return inv;
}

struct inventory *inventory_ref(struct inventory *inv)
{
    g_atomic_int_inc(&inv->refs);
    return inv;
}

void inventory_unref(struct inventory *inv)
{
    if (inv == NULL || !g_atomic_int_dec_and_test(&inv->refs))
        return;
    for (unsigned i = 0; i < OBJECT_KINDS; i++) {
        g_ptr_array_unref(inv->kinds[i].sorted);
        g_hash_table_unref(inv->kinds[i].by_name);
    }
    pthread_mutex_destroy(&inv->sorting);
    g_free(inv);
}

void inventory_put(struct inventory *inv, struct object *object)
{
    struct index *index = &inv->kinds[object->kind];
    /* replace, not insert: the key must be the new object's name, the old one is freed with its object */
    g_hash_table_replace(index->by_name, object->name, object);
    g_atomic_int_set(&index->stale, 1);
}

bool inventory_remove(struct inventory *inv, enum object_kind kind, const char *name)
{
    struct index *index = &inv->kinds[kind];
    if (!g_hash_table_remove(index->by_name, name))
        return false;
    g_atomic_int_set(&index->stale, 1);
    return true;
}

const struct object *inventory_get(const struct inventory *inv, enum object_kind kind, const char *name)
{
    return g_hash_table_lookup(inv->kinds[kind].by_name, name);
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    const struct object *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static void index_sort(struct index *index)
{
    GHashTableIter iter;
    gpointer object;
    g_ptr_array_set_size(index->sorted, 0);
    g_hash_table_iter_init(&iter, index->by_name);
    while (g_hash_table_iter_next(&iter, NULL, &object))
        g_ptr_array_add(index->sorted, object);
    g_ptr_array_sort(index->sorted, by_name);
}

const GPtrArray *inventory_list(const struct inventory *inv, enum object_kind kind)
{
    /* The list is a cache: making it does not change the inventory that callers see. */
    struct inventory *self = (struct inventory *)inv;
    struct index *index = &self->kinds[kind];
    if (g_atomic_int_get(&index->stale) == 0)
        return index->sorted;
    pthread_mutex_lock(&self->sorting);
    if (g_atomic_int_get(&index->stale) != 0) {
        index_sort(index);
        g_atomic_int_set(&index->stale, 0);
    }
    pthread_mutex_unlock(&self->sorting);
    return index->sorted;
}

unsigned inventory_refer(const struct inventory *inv, const struct field_class *field, const char *name,
                         const struct object *found[static 2])
{
    g_auto(GStrv) kinds = g_strsplit(field->detail, "|", -1);
    unsigned n = 0;
    for (char **kind = kinds; *kind != NULL && n < 2; kind++) {
        found[n] = inventory_get(inv, object_class_find(*kind)->kind, name);
        n += found[n] != NULL;
    }
    return n;
}

static bool refers(const struct object *object, const struct field_class *field, const char *name)
{
    if (field->type == FIELD_REF)
        return g_strcmp0(*FIELD_READ(object, field, char *), name) == 0;
    const char *const *names = *FIELD_READ(object, field, const char *const *);
    return names != NULL && g_strv_contains(names, name);
}

/* Objects of one kind whose `field` names it. */
static void users_of_field(const struct inventory *inv, enum object_kind by, const struct field_class *field,
                           const char *name, GArray *users)
{
    const GPtrArray *list = inventory_list(inv, by);
    for (guint i = 0; i < list->len; i++) {
        struct inventory_use use = {list->pdata[i], field};
        if (refers(use.by, field, name))
            g_array_append_val(users, use);
    }
}

GArray *inventory_users(const struct inventory *inv, enum object_kind kind, const char *name)
{
    GArray *users = g_array_new(FALSE, FALSE, sizeof(struct inventory_use));
    for (unsigned by = 0; by < OBJECT_KINDS; by++)
        for (unsigned i = 0; i < object_class(by)->n_fields; i++) {
            const struct field_class *field = &object_class(by)->fields[i];
            const struct object *found[2];
            if ((field->type == FIELD_REF || field->type == FIELD_REFS) &&
                inventory_refer(inv, field, name, found) > 0 && found[0]->kind == kind)
                users_of_field(inv, by, field, name, users);
        }
    return users;
}

struct inventory *inventory_copy(const struct inventory *inv)
{
    struct inventory *copy = inventory_new();
    for (unsigned kind = 0; kind < OBJECT_KINDS; kind++) {
        const GPtrArray *list = inventory_list(inv, kind);
        struct index *index = &copy->kinds[kind];
        for (guint i = 0; i < list->len; i++) {
            struct object *object = object_ref(list->pdata[i]);
            g_hash_table_insert(index->by_name, object->name, object);
            g_ptr_array_add(index->sorted, object);
        }
    }
    return copy;
}

/* ---- differences ---- */

static void kind_diff(enum object_kind kind, const GPtrArray *from, const GPtrArray *to, GArray *changes)
{
    guint i = 0, k = 0;
    while (i < from->len || k < to->len) {
        const struct object *before = i < from->len ? from->pdata[i] : NULL;
        const struct object *after = k < to->len ? to->pdata[k] : NULL;
        int order = before == NULL ? 1 : after == NULL ? -1 : strcmp(before->name, after->name);
        if (order < 0)
            after = NULL;
        if (order > 0)
            before = NULL;
        i += before != NULL;
        k += after != NULL;
        if (before == after || (order == 0 && object_equal(before, after)))
            continue;
        struct inventory_change change = {kind, before != NULL ? before->name : after->name, before, after};
        g_array_append_val(changes, change);
    }
}

static bool interface_fits(const struct interface *i, const char *service, const char *host, int method,
                           const char *path)
{
    return strcmp(i->service, service) == 0 && (i->host == NULL || strcmp(i->host, host) == 0) &&
           (i->method == INTERFACE_ANY_METHOD || i->method == method) && prefix_holds(i->path, path);
}

/* Of two that fit the same request. */
static bool interface_before(const struct interface *a, const struct interface *b)
{
    size_t a_len = strlen(a->path), b_len = strlen(b->path);
    if (a_len != b_len)
        return a_len > b_len;
    return (a->host != NULL) != (b->host != NULL) ? a->host != NULL : a->method != INTERFACE_ANY_METHOD;
}

const struct interface *interface_of(const struct inventory *inv, const char *service, const char *host,
                                     const char *method, const char *path)
{
    const struct interface *best = NULL;
    int choice = choice_find(INTERFACE_METHODS, method);
    INVENTORY_FOREACH (inv, interface, interface) {
        if (interface_fits(interface, service, host, choice, path) &&
            (best == NULL || interface_before(interface, best)))
            best = interface;
    }
    return best;
}

GArray *inventory_diff(const struct inventory *from, const struct inventory *to)
{
    GArray *changes = g_array_new(FALSE, FALSE, sizeof(struct inventory_change));
    for (unsigned kind = 0; kind < OBJECT_KINDS; kind++)
        kind_diff(kind, inventory_list(from, kind), inventory_list(to, kind), changes);
    return changes;
}

static void change_text(const struct inventory_change *change, GString *text)
{
    const struct object_class *class = object_class(change->kind);
    const char *sign = change->before == NULL ? "+" : change->after == NULL ? "-" : "~";
    g_string_append_printf(text, "%s %s %s", sign, class->name, change->name);
    const char *separator = ": ";
    for (unsigned i = 0; change->before != NULL && change->after != NULL && i < class->n_fields; i++) {
        g_autofree char *before = object_field_text(change->before, i);
        g_autofree char *after = object_field_text(change->after, i);
        if (strcmp(before, after) == 0)
            continue;
        g_string_append_printf(text, "%s%s %s -> %s", separator, class->fields[i].name, before, after);
        separator = ", ";
    }
    g_string_append_c(text, '\n');
}

char *inventory_diff_text(const GArray *changes)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < changes->len; i++)
        change_text(&g_array_index(changes, struct inventory_change, i), text);
    return g_string_free(text, FALSE);
}
