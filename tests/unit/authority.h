/* authority.h: a certificate authority of a test's own, and what it vouches for, as PEM files. Failures end the
 * process: a bench has no libcheck.
 */
#ifndef TESTS_UNIT_AUTHORITY_H
#define TESTS_UNIT_AUTHORITY_H

struct authority;
struct authority *authority_new(const char *ca_path); /* writes its own certificate there */
void authority_free(struct authority *authority);
/* A certificate for 127.0.0.1, for server and client alike, with this common name, and its key (0600). hours: of its
 * life, from an hour ago on; 0: it has ended. */
void authority_issue(struct authority *authority, const char *name, unsigned hours, const char *cert_path,
                     const char *key_path);

#endif
