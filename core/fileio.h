/* fileio.h: files that are old or new, never half.
 *
 * Thread safety: functions keep no state. Two writers of one path must be kept apart by the caller.
 */
#ifndef CORE_FILEIO_H
#define CORE_FILEIO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <glib.h>

/* Writes `size` bytes to a temporary file beside `path`, fsyncs it, renames it over `path` and fsyncs the folder.
 * On failure `path` is as it was and the temporary file is gone; but when only the fsync of the folder failed, `path`
 * is new already, and a loss of power may bring the old one back: write again. mode: permission bits of the new file.
 */
bool file_write_atomic(const char *path, const void *bytes, size_t size, mode_t mode, GError **error);

/* Appends `text` in one write, makes the file with `mode` when it is not there, and fsyncs it when `sync`. On failure
 * nothing of it stays behind. *torn: the file ends in half a line, that of a crash or of a failure that could not be
 * taken back; a newline goes before the text then. Not set by reading: who has read the file knows. */
bool file_append(const char *path, const char *text, mode_t mode, bool sync, bool *torn, GError **error);

/* Reads a whole file of at most `max` bytes. The result has a NUL behind its last byte and is freed with g_free;
 * *size (may be NULL) is without it. SB_ERROR_NOT_FOUND when there is no such file, TOO_LARGE above `max`. */
char *file_read(const char *path, size_t max, size_t *size, GError **error);

/* Nobody but its owner may read or write the file, which may hold a secret; true also when it is not there. False,
 * SB_ERROR_INVALID: "found mode 0644 of PATH, expected 0600: chmod 600 PATH". */
bool file_check_private(const char *path, GError **error);

/* Makes a folder and its parents; not an error when it exists. */
bool file_mkdir(const char *path, mode_t mode, GError **error);

#endif
