#include "tests/lab/lab.h"

#include "core/error.h"
#include "core/fileio.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

char *lab_path(const struct lab *lab, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *name = g_strdup_vprintf(format, args);
    va_end(args);
    return g_build_filename(lab->run, name, NULL);
}

bool lab_write(const struct lab *lab, const char *name, const char *text, GError **error)
{
    g_autofree char *path = lab_path(lab, "%s", name);
    g_autofree char *folder = g_path_get_dirname(path);
    return file_mkdir(folder, 0755, error) && file_write_atomic(path, text, strlen(text), 0644, error);
}

char *lab_program(const struct lab *lab, const char *name, GError **error)
{
    char *path = g_build_filename(lab->build, name, NULL);
    if (access(path, X_OK) == 0)
        return path;
    g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "no program %s: build it first, or say where by --build", path);
    g_free(path);
    return NULL;
}

bool lab_run(const char *const *argv, GError **error)
{
    g_autofree char *out = NULL, *err = NULL;
    int status;
    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status, error))
        return false;
    if (g_spawn_check_wait_status(status, NULL))
        return true;
    g_autofree char *command = g_strjoinv(" ", (char **)argv);
    g_set_error(error, SB_ERROR, SB_ERROR_IO, "%s: %s%s", command, g_strchomp(err), g_strchomp(out));
    return false;
}

static int home_ns = -1;

bool lab_ns_enter(const struct lab *lab, const char *node, GError **error)
{
    g_assert(home_ns < 0);
    g_autofree char *path = g_strdup_printf("/run/netns/%s%s", lab->prefix, node);
    int ns = open(path, O_RDONLY | O_CLOEXEC);
    home_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    bool ok = ns >= 0 && home_ns >= 0 && setns(ns, CLONE_NEWNET) == 0;
    if (!ok) {
        g_set_error(error, SB_ERROR, errno == ENOENT ? SB_ERROR_NOT_FOUND : SB_ERROR_IO, "namespace %s: %s", path,
                    g_strerror(errno));
        if (home_ns >= 0)
            close(home_ns);
        home_ns = -1;
    }
    if (ns >= 0)
        close(ns);
    return ok;
}

void lab_ns_leave(void)
{
    if (setns(home_ns, CLONE_NEWNET) != 0)
        g_error("cannot leave a namespace: %s", g_strerror(errno));
    close(home_ns);
    home_ns = -1;
}
