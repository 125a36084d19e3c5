/* unit.h: what unit tests share: how they end, and how their folders go. */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <check.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>

/* Runs a suite of one case, in fork mode; for `return` in main. */
static inline int unit_run(const char *name, void (*add)(TCase *tcase))
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    add(tcase);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

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

#endif
