#include "dcdn/files.h"

#include "core/error.h"
#include "core/fileio.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void edge_files_clear(struct edge_files *files)
{
    for (unsigned i = 0; i <= EDGE_MAPS; i++)
        g_clear_pointer(&files->written[i], g_bytes_unref);
}

char *edge_map_path(const struct edge_settings *settings, enum edge_map map)
{
    return g_strdup_printf("%s/%s.map", settings->state_dir, edge_map_name(map));
}

/* Last of all: haproxy.cfg. */
static char *file_path(const struct edge_settings *settings, unsigned file)
{
    return file < EDGE_MAPS ? edge_map_path(settings, file)
                            : g_build_filename(settings->state_dir, "haproxy.cfg", NULL);
}

static bool fail(GError **error, const char *path)
{
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "cannot write %s: %s", path, g_strerror(errno));
    return false;
}

/* By process: while HAProxy is started --render-only may write as well as the agent. */
static char *fresh_path(const struct edge_settings *settings, unsigned file)
{
    g_autofree char *path = file_path(settings, file);
    return g_strdup_printf("%s.%ld.tmp", path, (long)getpid());
}

void edge_files_sweep(const struct edge_settings *settings)
{
    g_autoptr(GDir) folder = g_dir_open(settings->state_dir, 0, NULL);
    const char *name;
    while (folder != NULL && (name = g_dir_read_name(folder)) != NULL) {
        g_auto(GStrv) words = g_strsplit(name, ".", -1); /* as fresh_path names them */
        guint64 pid;
        if (g_strv_length(words) != 4 || strcmp(words[3], "tmp") != 0 ||
            !g_ascii_string_to_unsigned(words[2], 10, 1, INT_MAX, &pid, NULL) || kill((pid_t)pid, 0) == 0 ||
            errno != ESRCH)
            continue;
        g_autofree char *path = g_build_filename(settings->state_dir, name, NULL);
        unlink(path);
    }
}

/* Beside the old one, not yet in its place. */
static bool write_fresh(const struct edge_settings *settings, unsigned file, GBytes *bytes, GError **error)
{
    g_autofree char *path = fresh_path(settings, file);
    gsize size;
    const char *data = g_bytes_get_data(bytes, &size);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0)
        return fail(error, path);
    bool ok = true;
    for (ssize_t n = 0; ok && size > 0; data += n, size -= (size_t)n) {
        n = write(fd, data, size);
        ok = n > 0;
    }
    ok = ok || fail(error, path);
    close(fd);
    return ok;
}

static bool put_in_place(struct edge_files *files, unsigned file, GBytes *bytes, const struct edge_settings *settings,
                         GError **error)
{
    g_autofree char *fresh = fresh_path(settings, file);
    g_autofree char *path = file_path(settings, file);
    g_clear_pointer(&files->written[file], g_bytes_unref);
    if (rename(fresh, path) != 0)
        return fail(error, path);
    files->written[file] = g_bytes_ref(bytes);
    files->unsynced[file] = true;
    return true;
}

static bool is_written(const struct edge_files *files, unsigned file, GBytes *bytes)
{
    return files->written[file] != NULL && g_bytes_equal(files->written[file], bytes);
}

/* All are written before any is put in its place: a full disk leaves those of one table, and not of two. */
bool edge_files_write(struct edge_files *files, const struct edge_state *state, const struct edge_settings *settings,
                      GError **error)
{
    if (!file_mkdir(settings->state_dir, 0750, error))
        return false;
    char *text = edge_config_render(state, settings);
    g_autoptr(GBytes) config = g_bytes_new_take(text, strlen(text));
    GBytes *wanted[EDGE_MAPS + 1] = {[EDGE_MAPS] = config};
    bool ok = true;
    for (unsigned i = 0; ok && i <= EDGE_MAPS; i++) {
        if (i < EDGE_MAPS)
            wanted[i] = state->text[i];
        ok = is_written(files, i, wanted[i]) || write_fresh(settings, i, wanted[i], error);
    }
    for (unsigned i = 0; ok && i <= EDGE_MAPS; i++)
        ok = is_written(files, i, wanted[i]) || put_in_place(files, i, wanted[i], settings, error);
    for (unsigned i = 0; !ok && i <= EDGE_MAPS; i++) {
        g_autofree char *path = fresh_path(settings, i);
        unlink(path); /* frees its part of the disk; most are not there */
    }
    return ok;
}

static void sync_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd); /* a failure costs nothing: last-good is durable */
    close(fd);
}

void edge_files_sync(struct edge_files *files, const struct edge_settings *settings)
{
    bool any = false;
    for (unsigned i = 0; i <= EDGE_MAPS; i++) {
        if (!files->unsynced[i])
            continue;
        g_autofree char *path = file_path(settings, i);
        sync_path(path);
        files->unsynced[i] = false;
        any = true;
    }
    if (any)
        sync_path(settings->state_dir);
}
