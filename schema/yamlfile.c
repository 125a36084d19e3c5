/* yamlfile.c: the one function of the language that reads a file; a library of its own, so that the rest stays pure. */
#include "schema/yamldoc.h"

#include "core/fileio.h"

#define FILE_SIZE_MAX (64u << 20)

json_t *yamldoc_load_file(const char *path, GError **error)
{
    size_t size;
    g_autofree char *text = file_read(path, FILE_SIZE_MAX, &size, error);
    return text != NULL ? yamldoc_parse(text, size, path, error) : NULL;
}
