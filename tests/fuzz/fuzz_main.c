/* Runs a fuzzer once over every file of the folders named. */
#include "tests/fuzz/fuzz.h"

#include "tests/fuzz/fuzz_json.h"

#include <glib.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
    (void)data, (void)max_size;
    return size; /* nothing is mutated here */
}

static unsigned run_folder(const char *folder)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(folder, 0, &error);
    if (dir == NULL) {
        fprintf(stderr, "%s\n", error->message);
        exit(EXIT_FAILURE);
    }
    unsigned n = 0;
    const char *name;
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_autofree char *bytes = NULL;
        gsize size;
        if (!g_file_get_contents(path, &bytes, &size, &error)) {
            fprintf(stderr, "%s\n", error->message);
            exit(EXIT_FAILURE);
        }
        LLVMFuzzerTestOneInput((const uint8_t *)bytes, size);
        n++;
    }
    return n;
}

int main(int argc, char **argv)
{
    unsigned n = 0;
    for (int i = 1; i < argc; i++)
        n += run_folder(argv[i]);
    printf("%u inputs\n", n);
    return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
