/* ballast.h: room on the disk of the journal: how much there is, and a file that keeps some back. When the disk is full
 * the file is given up, so that what must be written then (a plan that moves users) still finds room; it is made again
 * when there is room for it twice.
 *
 * Thread safety: a ballast belongs to one thread; disk_look keeps no state.
 */
#ifndef STORE_BALLAST_H
#define STORE_BALLAST_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#define DISK_ROOM_MIN (1u << 20) /* below it a journal is not begun, and the ballast is given up */
#define DISK_USED_WARN 80u       /* percent */

struct disk {
    uint64_t free, size;   /* bytes; free: for us, not for root alone */
    unsigned used_percent; /* of what we could use */
};
/* The file system that `folder` is on. */
bool disk_look(const char *folder, struct disk *disk, GError **error);

struct ballast;
/* size: bytes; 0: there is to be none. A file of an earlier start is found. Nothing is made yet. */
struct ballast *ballast_new(const char *folder, uint64_t size);
void ballast_free(struct ballast *ballast); /* the file stays; NULL is allowed */
/* Is the file there? */
bool ballast_kept(const struct ballast *ballast);
/* Makes the file if it is to be there, is not, and the disk has room for twice its size. False with *error when that
 * failed though there was room. */
bool ballast_make(struct ballast *ballast, const struct disk *disk, GError **error);
/* Gives the file up; false: there was none. */
bool ballast_give_up(struct ballast *ballast);

#endif
