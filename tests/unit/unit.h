/* unit.h: what unit tests share: how they end, and how their folders go. */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <arpa/inet.h>
#include <check.h>
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Long texts: a failure shows where they part. */
static inline void unit_same_text(const char *found, const char *expected)
{
    gsize i = 0;
    while (found[i] != '\0' && found[i] == expected[i])
        i++;
    gsize from = i > 300 ? i - 300 : 0;
    if (found[i] != expected[i])
        ck_abort_msg("at byte %zu:\nfound ...%.600s\nexpected ...%.600s", i, found + from, expected + from);
}

/* Removes a file, or a folder with all that is in it. */
static inline void unit_remove_all(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *file = g_build_filename(path, name, NULL);
        unit_remove_all(file);
    }
    remove(path);
}

/* Names in a folder, a line each; "": it is empty; g_free. */
static inline char *unit_list(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    GString *names = g_string_new(NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
        g_string_append_printf(names, "  %s\n", name);
    return g_string_free(names, FALSE);
}

/* Runs a suite of one case, in fork mode; for `return` in main. Folders of g_dir_make_tmp are in one of the run's own:
 * a run that leaves something there although all passed has failed, and that of one that failed stays for a look. */
static inline int unit_run(const char *name, void (*add)(TCase *tcase))
{
    g_autofree char *folder = g_strdup_printf("/tmp/sb-unit-%s-XXXXXX", name);
    if (g_mkdtemp(folder) == NULL || !g_setenv("TMPDIR", folder, TRUE))
        return EXIT_FAILURE;
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    add(tcase);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    g_autofree char *left = unit_list(folder);
    if (failed > 0 && left[0] != '\0') {
        printf("%s: files of what failed are in %s\n", name, folder);
        return EXIT_FAILURE;
    }
    unit_remove_all(folder);
    if (left[0] != '\0')
        printf("%s: all passed, but this was left behind:\n%s", name, left);
    return failed == 0 && left[0] == '\0' ? EXIT_SUCCESS : EXIT_FAILURE;
}

static inline bool unit_port_free(uint16_t port, int type)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return ok;
}

/* The claim to a port among all tests on this machine: an abstract socket of its name, gone with whoever made it. -1:
 * it is another's. */
static inline int unit_port_claim(uint16_t port)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    g_snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "sb-unit-port-%u", port);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* A port of 127.0.0.1 that neither TCP nor UDP uses, below the range that clients are given. Another one each time, for
 * all tests that run side by side, as nobody listens yet on those that were given before: the newest 256 stay claimed
 * until the process ends. */
static inline uint16_t unit_free_port(void)
{
    static int claims[256];
    static unsigned n;
    for (;;) {
        uint16_t port = (uint16_t)g_random_int_range(20000, 32000);
        int claim = unit_port_claim(port);
        if (claim >= 0 && unit_port_free(port, SOCK_STREAM) && unit_port_free(port, SOCK_DGRAM)) {
            int *place = &claims[n++ % G_N_ELEMENTS(claims)];
            if (n > G_N_ELEMENTS(claims))
                close(*place);
            *place = claim;
            return port;
        }
        if (claim >= 0)
            close(claim);
    }
}

#endif
