/* dpsecret.h: 16 bytes that nobody else knows: what hashes, cookies and first sequence numbers are chosen by.
 *
 * A forwarder that begins anew with the same ones goes on counting where the one before was (nat.c, isn_of), so that a
 * backend that still remembers a connection of a port takes the next one at once (RFC 9293, 3.6.1).
 *
 * Thread safety: yes. Errors: 0 or -errno, with a text.
 */
#ifndef DATAPLANE_DPSECRET_H
#define DATAPLANE_DPSECRET_H

#include <stdint.h>

#define DPSECRET_ERROR 200u /* bytes of a text */

/* path: NULL, new ones each time. A file that is not there is made; one that others may read, or of another size, is
 * refused. */
int dpsecret_get(const char *path, uint64_t secret[static 2], char error[static DPSECRET_ERROR]);

#endif
