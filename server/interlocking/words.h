/* words.h: numbers and lists as people read them. Independent of the locale, so that texts can be compared.
 *
 * Private to interlocking. Results are the caller's (g_free).  Thread safety: pure functions.
 */
#ifndef INTERLOCKING_WORDS_H
#define INTERLOCKING_WORDS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

char *words_count(uint64_t n);               /* "1,204" */
char *words_rate(double per_s);              /* "1,204", below 100 with one decimal: "3.0" */
char *words_percent(double part, double of); /* "72 %"; "0 %" when there is nothing to be a part of */
/* "a, b, c"; at most `max` names, then "and 7 more". */
char *words_list(const GPtrArray *names, guint max);
/* Appends `words` after `separator` unless the text is empty. */
void words_append(GString *text, const char *separator, const char *words);
/* "1 edge", "2 edges" */
char *words_plural(uint64_t n, const char *noun);

#endif
