#include "tests/lab/lab_store.h"

#include "core/error.h"
#include "core/fileio.h"
#include "tests/lab/lab_proc.h"

#include <errno.h>
#include <glob.h>
#include <unistd.h>

#define NOBODY 65534
#define AS_NOBODY "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"

/* The newest version's program; g_free. */
static char *program(const char *name, GError **error)
{
    g_autofree char *pattern = g_strdup_printf("/usr/lib/postgresql/*/bin/%s", name), *path = NULL;
    glob_t found;
    if (glob(pattern, 0, NULL, &found) == 0)
        path = g_strdup(found.gl_pathv[found.gl_pathc - 1]);
    else
        g_set_error(error, SB_ERROR, SB_ERROR_NOT_FOUND, "found no %s, expected the package postgresql-15", pattern);
    globfree(&found);
    return g_steal_pointer(&path);
}

bool store_start(const struct lab *lab, GError **error)
{
    if (!lab->postgres)
        return true;
    g_autofree char *folder = lab_path(lab, "postgres"), *data = lab_path(lab, "postgres/data");
    g_autofree char *initdb = program("initdb", error);
    g_autofree char *postgres = initdb != NULL ? program("postgres", error) : NULL;
    if (postgres == NULL || !file_mkdir(folder, 0700, error))
        return false;
    if (chown(folder, NOBODY, NOBODY) != 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_IO, "%s: %s", folder, g_strerror(errno));
        return false;
    }
    const char *init[] = {
        AS_NOBODY,           initdb, "-D", data, "-U", "nobody", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync",
        "--no-instructions", NULL};
    const char *serve[] = {AS_NOBODY, postgres, "-D", data, "-h", "127.0.0.1", "-p", "5432", "-k", "", NULL};
    return lab_run(init, error) && proc_start(lab, "control", "postgres", serve, 0, error);
}
