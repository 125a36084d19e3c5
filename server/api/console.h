/* console.h: the console: static files in the server's binary, so that it works while nothing else does.
 *
 * A name under assets/ carries a hash of what is in it: such a file never changes and may be kept for ever. The page
 * itself is asked for each time (ETag, RFC 9110 8.8.3). Whatever the API has no path for is the page too, when a
 * browser navigates to it: each state of the console has a URL, which the page reads by itself.
 *
 * Nothing comes from another host and nothing stands inline: the policy (Content Security Policy 3) says so to the
 * browser, so that hostile text on a screen can load, run and send nothing.
 *
 * Thread safety: pure functions of their arguments; the files are constant.
 */
#ifndef API_CONSOLE_H
#define API_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

#define CONSOLE_POLICY                                                                                                 \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "   \
    "form-action 'none'; frame-ancestors 'none'"

struct console_file {
    const char *path; /* "/assets/main-0a1b2c3d4e5f.js" */
    const char *type; /* of its content */
    const char *hash; /* of its content, 16 hex digits */
    const unsigned char *raw, *raw_end, *gzip, *gzip_end;
};
/* Made from what the build of web/ wrote (embed_console.cmake); the last has no path. Without a console: that alone. */
extern const struct console_file console_files[];

struct request;
/* Answers from `files`, if that is what the request wants; false: it is the API's. */
bool console_answer(struct request *request, const struct console_file *files);

#endif
