#include "agent/keep.h"

#include "core/error.h"
#include "core/fileio.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define INLINE_MAX 65536 /* bytes; a switch changes small parts only, and they cost no file of their own */
#define TABLE_SIZE_MAX (PARTS * INLINE_MAX * 2 + 65536)
#define HEADER "signalbox-table 1 "
#define LINE_MAX_SIZE 1024 /* bytes of a line of applied.log, generously */

struct keep {
    char *folder;
    struct manifest current, previous; /* whose parts must stay */
    struct stamp logged;               /* last whole line of applied.log */
    bool log_torn;                     /* it ends in half a line */
};

static char *in_folder(const struct keep *keep, const char *name)
{
    return g_build_filename(keep->folder, name, NULL);
}

static char *part_path(const struct keep *keep, const char *hash)
{
    return g_build_filename(keep->folder, "parts", hash, NULL);
}

void kept_clear(struct kept *kept)
{
    for (unsigned i = 0; i < PARTS; i++)
        g_clear_pointer(&kept->parts[i], g_bytes_unref);
    *kept = (struct kept){0};
}

/* Stamp of the last whole line of applied.log; a line cut by a crash counts as not written. */
static struct stamp last_logged(struct keep *keep)
{
    struct stamp stamp = {0};
    g_autofree char *path = in_folder(keep, "applied.log");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return stamp;
    char tail[2 * LINE_MAX_SIZE + 1];
    off_t size = lseek(fd, 0, SEEK_END);
    ssize_t n = pread(fd, tail, sizeof tail - 1, MAX(size - (off_t)sizeof tail + 1, 0));
    close(fd);
    tail[MAX(n, 0)] = '\0';
    keep->log_torn = n > 0 && tail[n - 1] != '\n';
    char *end = strrchr(tail, '\n');
    if (end == NULL)
        return stamp;
    *end = '\0';
    const char *line = strrchr(tail, '\n');
    json_t *json = json_loads(line != NULL ? line + 1 : tail, 0, NULL);
    stamp.epoch = (uint64_t)json_integer_value(json_object_get(json, "epoch"));
    stamp.generation = (uint64_t)json_integer_value(json_object_get(json, "generation"));
    json_decref(json);
    return stamp;
}

struct keep *keep_new(const char *folder, GError **error)
{
    g_autofree char *parts = g_build_filename(folder, "parts", NULL);
    if (!file_mkdir(parts, 0750, error))
        return NULL;
    struct keep *keep = g_new0(struct keep, 1);
    keep->folder = g_strdup(folder);
    keep->logged = last_logged(keep);
    return keep;
}

void keep_free(struct keep *keep)
{
    if (keep == NULL)
        return;
    g_free(keep->folder);
    g_free(keep);
}

/* ---- reading ---- */

static bool load_promise(const struct keep *keep, uint64_t *epoch, GError **error)
{
    g_autofree char *path = in_folder(keep, "promise");
    g_autofree char *text = file_read(path, 64, NULL, error);
    if (text == NULL)
        return false;
    char *end;
    errno = 0;
    *epoch = g_ascii_strtoull(text, &end, 10);
    if (errno == 0 && g_ascii_isdigit(text[0]) && strcmp(end, "\n") == 0)
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s is damaged: expected one number and a newline", path);
    return false;
}

static bool load_parts(const struct keep *keep, const json_t *inside, struct kept *out, GError **error)
{
    for (unsigned i = 0; i < PARTS; i++) {
        const json_t *text = json_object_get(inside, part_name(i));
        char *bytes;
        size_t size;
        if (json_is_string(text)) {
            size = json_string_length(text);
            bytes = g_strndup(json_string_value(text), size);
        } else {
            g_autofree char *path = part_path(keep, out->manifest.hash[i]);
            bytes = file_read(path, PART_SIZE_MAX, &size, error);
            if (bytes == NULL)
                return false;
        }
        out->parts[i] = g_bytes_new_take(bytes, size);
        char hash[PART_HASH_SIZE];
        part_hash(bytes, size, hash);
        if (strcmp(hash, out->manifest.hash[i]) != 0) {
            g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "part %s has hash %s, the manifest says %s", part_name(i),
                        hash, out->manifest.hash[i]);
            return false;
        }
        if (!part_validate(i, bytes, size, error))
            return false;
    }
    return true;
}

/* The JSON behind the header line, when its hash fits. */
static json_t *table_json(const char *text, size_t size, GError **error)
{
    const char *body = memchr(text, '\n', size);
    if (body == NULL || !g_str_has_prefix(text, HEADER)) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "it does not begin with '%s'", HEADER);
        return NULL;
    }
    body++;
    size_t body_size = size - (size_t)(body - text);
    char hash[PART_HASH_SIZE];
    part_hash(body, body_size, hash);
    if (strncmp(text + strlen(HEADER), hash, strlen(hash)) != 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "its %zu bytes have hash %s, its first line says another",
                    body_size, hash);
        return NULL;
    }
    json_error_t at;
    json_t *json = json_loadb(body, body_size, JSON_ALLOW_NUL, &at);
    if (json == NULL)
        g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "line %d: %s", at.line, at.text);
    return json;
}

static bool load_table(const struct keep *keep, const char *name, struct kept *out, GError **error)
{
    g_autofree char *path = in_folder(keep, name);
    size_t size;
    g_autofree char *text = file_read(path, TABLE_SIZE_MAX, &size, error);
    if (text == NULL)
        return false;
    json_t *json = table_json(text, size, error);
    bool ok = json != NULL && manifest_from_json(json_object_get(json, "manifest"), &out->manifest, error) &&
              load_parts(keep, json_object_get(json, "parts"), out, error);
    json_decref(json);
    if (!ok) {
        g_prefix_error(error, "%s is not a whole table: ", path);
        if (error != NULL)
            (*error)->code = SB_ERROR_INVALID; /* a part that is missing is damage, not absence */
    }
    return ok;
}

static bool belongs(const struct kept *kept, const char *name, const char *cluster, const char *edge, GPtrArray *notes)
{
    if (strcmp(kept->manifest.cluster, cluster) == 0 && strcmp(kept->manifest.edge, edge) == 0)
        return true;
    g_ptr_array_add(notes, g_strdup_printf("%s is of edge '%s' of cluster '%s', this is '%s' of '%s'", name,
                                           kept->manifest.edge, kept->manifest.cluster, edge, cluster));
    return false;
}

void keep_load(struct keep *keep, const char *cluster, const char *edge, struct kept *out, GPtrArray *notes)
{
    static const char *const names[] = {"table", "table.prev"};
    *out = (struct kept){0};
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GError) error = NULL;
        struct kept found = {0};
        bool ok = load_table(keep, names[i], &found, &error);
        if (!ok && !g_error_matches(error, SB_ERROR, SB_ERROR_NOT_FOUND))
            g_ptr_array_add(notes, g_strdup(error->message));
        if (ok && belongs(&found, names[i], cluster, edge, notes)) {
            *out = found;
            keep->current = found.manifest;
            break;
        }
        kept_clear(&found);
    }
    g_autoptr(GError) error = NULL;
    uint64_t promised = 0;
    if (!load_promise(keep, &promised, &error) && !g_error_matches(error, SB_ERROR, SB_ERROR_NOT_FOUND))
        g_ptr_array_add(notes, g_strdup(error->message));
    out->promised = MAX(promised, out->manifest.stamp.epoch); /* a table of an epoch is never without its promise */
}

/* ---- writing ---- */

bool keep_write_promise(struct keep *keep, uint64_t epoch, GError **error)
{
    g_autofree char *path = in_folder(keep, "promise");
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT "\n", epoch);
    return file_write_atomic(path, text, strlen(text), 0640, error);
}

static bool write_large_parts(const struct keep *keep, const struct manifest *manifest, GBytes *const *parts,
                              json_t *inside, GError **error)
{
    for (unsigned i = 0; i < PARTS; i++) {
        gsize size;
        const char *bytes = g_bytes_get_data(parts[i], &size);
        if (size <= INLINE_MAX) {
            json_object_set_new(inside, part_name(i), json_stringn(size > 0 ? bytes : "", size));
            continue;
        }
        g_autofree char *path = part_path(keep, manifest->hash[i]);
        if (access(path, F_OK) != 0 && !file_write_atomic(path, bytes, size, 0640, error))
            return false;
    }
    return true;
}

static bool names_part(const struct manifest *manifest, const char *hash)
{
    for (unsigned i = 0; i < PARTS; i++)
        if (strcmp(manifest->hash[i], hash) == 0)
            return true;
    return false;
}

static void remove_old_parts(const struct keep *keep)
{
    g_autofree char *folder = in_folder(keep, "parts");
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        if (names_part(&keep->current, name) || names_part(&keep->previous, name))
            continue;
        g_autofree char *path = part_path(keep, name);
        unlink(path); /* what stays behind is removed next time */
    }
}

/* The old table gets a second name; a failure leaves the older one there, and costs nothing but that. */
static void link_previous(const struct keep *keep, const char *path)
{
    g_autofree char *previous = in_folder(keep, "table.prev");
    g_autofree char *fresh = in_folder(keep, "table.prev.tmp");
    unlink(fresh);
    if (link(path, fresh) == 0 && rename(fresh, previous) != 0)
        unlink(fresh);
}

bool keep_write_table(struct keep *keep, const struct manifest *manifest, GBytes *const parts[static PARTS],
                      GError **error)
{
    json_t *inside = json_object();
    json_t *json = json_pack("{s:o,s:o}", "manifest", manifest_to_json(manifest), "parts", inside);
    bool ok = write_large_parts(keep, manifest, parts, inside, error);
    g_autofree char *path = in_folder(keep, "table");
    if (ok) {
        char *body = json_dumps(json, JSON_COMPACT);
        char hash[PART_HASH_SIZE];
        part_hash(body, strlen(body), hash);
        g_autofree char *text = g_strconcat(HEADER, hash, "\n", body, NULL);
        free(body);
        link_previous(keep, path);
        ok = file_write_atomic(path, text, strlen(text), 0640, error);
    }
    json_decref(json);
    if (ok) {
        keep->previous = keep->current;
        keep->current = *manifest;
        remove_old_parts(keep);
    }
    return ok;
}

struct stamp keep_logged(const struct keep *keep)
{
    return keep->logged;
}

bool keep_log_applied(struct keep *keep, const struct manifest *manifest, int64_t wall_us, GError **error)
{
    if (stamp_compare(manifest->stamp, keep->logged) == 0)
        return true;
    json_t *json =
        json_pack("{s:I,s:I,s:I,s:s}", "at_us", (json_int_t)wall_us, "epoch", (json_int_t)manifest->stamp.epoch,
                  "generation", (json_int_t)manifest->stamp.generation, "cause", manifest->cause);
    char *body = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    g_autofree char *line = g_strconcat(body, "\n", NULL), *path = in_folder(keep, "applied.log");
    free(body);
    bool ok = file_append(path, line, 0640, false, &keep->log_torn, error);
    if (ok)
        keep->logged = manifest->stamp;
    return ok;
}
