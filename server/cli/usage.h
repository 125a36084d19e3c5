/* usage.h: what the usage text of a command says, read: the text that people see is what words are checked against
 * before a command runs, and what completion goes by.
 *
 * Its grammar: forms stand apart by " | " outside of brackets, or by a new line that begins with "signalbox COMMAND".
 * A form begins with its verb, a word of small letters, or has none; what begins with anything else goes on with the
 * form before. UPPER is a place, "a|b" a choice, --name or -n an option, with a value when a word follows inside of the
 * same bracket; "..." is for people.
 *
 * Pure. Thread safety: none needed.
 */
#ifndef CLI_USAGE_H
#define CLI_USAGE_H

#include <glib.h>
#include <stdbool.h>

struct usage_option {
    char *name;  /* "--reason" */
    char *value; /* "TEXT"; NULL: it takes none */
};
struct usage_form {
    char *verb;         /* NULL: none */
    GPtrArray *places;  /* of char * */
    GPtrArray *options; /* of struct usage_option * */
};

/* Of struct usage_form *, never empty; g_ptr_array_unref. */
GPtrArray *usage_parse(const char *usage);
/* The form of a command line (argv[0] is the command): that of its verb, else the one without; or NULL. */
const struct usage_form *usage_form_of(const GPtrArray *forms, int argc, char **argv);
/* NULL when no form has it. */
const struct usage_option *usage_option_find(const GPtrArray *forms, const char *name);

/* argv with each "--name=value" of an option that takes one as two words; NULL-terminated; g_strfreev. */
char **usage_split(const GPtrArray *forms, char **argv);
/* What is wrong with the verb or an option of a command line, found and expected, and what may have been meant; NULL:
 * nothing. before: NULL-terminated options that stand before the command. How many places there must be is the
 * command's to say. g_free. */
char *usage_complaint(const GPtrArray *forms, char **argv, const char *const *before);
/* The one of NULL-terminated names that was probably meant by what is none of them; NULL: none is near. */
const char *usage_nearest(const char *found, const char *const *names);

#endif
