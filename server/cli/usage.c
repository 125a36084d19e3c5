#include "server/cli/usage.h"

#include "schema/object.h"

#include <string.h>

#define FAR 2 /* letters to be changed, left out or added */

static void option_free(void *data)
{
    struct usage_option *option = data;
    g_free(option->name);
    g_free(option->value);
    g_free(option);
}

static void form_free(void *data)
{
    struct usage_form *form = data;
    g_free(form->verb);
    g_ptr_array_unref(form->places);
    g_ptr_array_unref(form->options);
    g_free(form);
}

static struct usage_form *form_new(GPtrArray *forms)
{
    struct usage_form *form = g_new0(struct usage_form, 1);
    form->places = g_ptr_array_new_with_free_func(g_free);
    form->options = g_ptr_array_new_with_free_func(option_free);
    g_ptr_array_add(forms, form);
    return form;
}

/* "[--reason" is "--reason". */
static char *bare(const char *word)
{
    return g_strndup(word + strspn(word, "["), strcspn(word + strspn(word, "["), "]"));
}

struct parser {
    GPtrArray *forms;
    struct usage_form *form;
    struct usage_option *open; /* may be followed by its value */
    int depth;                 /* of brackets */
    bool first;                /* of an alternative */
};

static void take_word(struct parser *p, const char *raw)
{
    g_autofree char *word = bare(raw);
    if (strcmp(raw, "|") == 0) {
        p->first = p->depth == 0;
        p->open = NULL;
        return;
    }
    if (p->first && g_ascii_islower(word[0])) {
        if (p->form->verb != NULL || p->form->places->len + p->form->options->len > 0)
            p->form = form_new(p->forms);
        p->form->verb = g_strdup(word);
    } else if (word[0] == '-') {
        p->open = g_new0(struct usage_option, 1);
        p->open->name = g_strdup(word);
        g_ptr_array_add(p->form->options, p->open);
    } else if (p->open != NULL && strcmp(word, "...") != 0) {
        p->open->value = g_strdup(word);
        p->open = NULL;
    } else if (strcmp(word, "...") != 0) {
        g_ptr_array_add(p->form->places, g_strdup(word));
    }
    p->first = false;
    for (; *raw != '\0'; raw++)
        p->depth += *raw == '[' ? 1 : *raw == ']' ? -1 : 0;
    if (p->depth == 0 && strchr("]", raw[-1]) != NULL)
        p->open = NULL;
}

GPtrArray *usage_parse(const char *usage)
{
    struct parser p = {.forms = g_ptr_array_new_with_free_func(form_free), .first = true};
    p.form = form_new(p.forms);
    g_auto(GStrv) words = g_strsplit_set(usage, " \n", -1);
    const char *command = words[0];
    for (char **word = words + 1; command != NULL && *word != NULL; word++) {
        if (strcmp(*word, "signalbox") == 0 && word[1] != NULL && strcmp(word[1], command) == 0) {
            word++;
            p.form = form_new(p.forms);
            p.first = true;
        } else if (**word != '\0') {
            take_word(&p, *word);
        }
    }
    return p.forms;
}

const struct usage_form *usage_form_of(const GPtrArray *forms, int argc, char **argv)
{
    const struct usage_form *without = NULL;
    for (guint i = 0; i < forms->len; i++) {
        const struct usage_form *form = forms->pdata[i];
        if (form->verb != NULL && argc > 1 && strcmp(form->verb, argv[1]) == 0)
            return form;
        if (form->verb == NULL)
            without = form;
    }
    return without;
}

const struct usage_option *usage_option_find(const GPtrArray *forms, const char *name)
{
    for (guint i = 0; i < forms->len; i++) {
        const GPtrArray *options = ((const struct usage_form *)forms->pdata[i])->options;
        for (guint k = 0; k < options->len; k++)
            if (strcmp(((const struct usage_option *)options->pdata[k])->name, name) == 0)
                return options->pdata[k];
    }
    return NULL;
}

char **usage_split(const GPtrArray *forms, char **argv)
{
    GPtrArray *out = g_ptr_array_new();
    for (; *argv != NULL; argv++) {
        const char *equals = g_str_has_prefix(*argv, "--") ? strchr(*argv, '=') : NULL;
        g_autofree char *name = equals != NULL ? g_strndup(*argv, (gsize)(equals - *argv)) : NULL;
        const struct usage_option *option = name != NULL ? usage_option_find(forms, name) : NULL;
        if (option != NULL && option->value != NULL) {
            g_ptr_array_add(out, g_steal_pointer(&name));
            g_ptr_array_add(out, g_strdup(equals + 1));
        } else {
            g_ptr_array_add(out, g_strdup(*argv));
        }
    }
    g_ptr_array_add(out, NULL);
    return (char **)g_ptr_array_free(out, FALSE);
}

/* Levenshtein's distance, of words of less than 32 bytes; further is FAR + 1. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[32], n = (unsigned)strlen(b);
    if (n >= G_N_ELEMENTS(row) || strlen(a) >= G_N_ELEMENTS(row))
        return FAR + 1;
    for (unsigned k = 0; k <= n; k++)
        row[k] = k;
    for (unsigned i = 1; *a != '\0'; a++, i++) {
        unsigned corner = row[0];
        row[0] = i;
        for (unsigned k = 1; k <= n; k++) {
            unsigned changed = corner + (*a != b[k - 1]);
            corner = row[k];
            row[k] = MIN(changed, MIN(row[k], row[k - 1]) + 1);
        }
    }
    return row[n];
}

const char *usage_nearest(const char *found, const char *const *names)
{
    unsigned best = MIN(FAR + 1, (unsigned)strlen(found));
    const char *nearest = NULL;
    for (; *names != NULL; names++) {
        unsigned far = distance(found, *names);
        if (far < best || (nearest == NULL && strlen(found) > 2 && g_str_has_prefix(*names, found))) {
            best = MIN(best, far);
            nearest = *names;
        }
    }
    return nearest;
}

/* "option: found "--confrim", expected --confirm, --reason; did you mean --confirm?"; takes names. */
static char *not_among(const char *what, const char *found, GPtrArray *names)
{
    g_ptr_array_add(names, NULL);
    g_autofree char *quoted = text_quote(found), *all = g_strjoinv(", ", (char **)names->pdata);
    const char *meant = usage_nearest(found, (const char *const *)names->pdata);
    char *text = g_strconcat(what, ": found ", quoted, ", expected ", all[0] != '\0' ? all : "none",
                             meant != NULL ? "; did you mean " : "", meant != NULL ? meant : "",
                             meant != NULL ? "?" : NULL, NULL);
    g_ptr_array_unref(names);
    return text;
}

/* NULL: it is one, or anything may stand there. */
static char *verb_complaint(const GPtrArray *forms, const char *found)
{
    GPtrArray *verbs = g_ptr_array_new();
    bool open = false, known = false;
    for (guint i = 0; i < forms->len; i++) {
        const struct usage_form *form = forms->pdata[i];
        open = open || (form->verb == NULL && form->places->len > 0);
        known = known || (form->verb != NULL && strcmp(form->verb, found) == 0);
        if (form->verb != NULL)
            g_ptr_array_add(verbs, form->verb);
    }
    if (!open && !known && verbs->len > 0)
        return not_among("verb", found, verbs);
    g_ptr_array_unref(verbs);
    return NULL;
}

static char *option_complaint(const GPtrArray *forms, const char *found, const char *const *before)
{
    if (g_strv_contains(before, found))
        return g_strdup_printf("%s stands before the command", found);
    GPtrArray *names = g_ptr_array_new();
    for (guint i = 0; i < forms->len; i++) {
        const GPtrArray *options = ((const struct usage_form *)forms->pdata[i])->options;
        for (guint k = 0; k < options->len; k++) {
            const struct usage_option *option = options->pdata[k];
            if (!g_ptr_array_find_with_equal_func(names, option->name, g_str_equal, NULL))
                g_ptr_array_add(names, option->name);
        }
    }
    return not_among("option", found, names);
}

/* What would reach a terminal as more than letters, or a server as no text. */
static char *text_complaint(const char *word)
{
    bool clean = g_utf8_validate(word, -1, NULL);
    for (const char *c = word; clean && *c != '\0'; c = g_utf8_next_char(c))
        clean = !g_unichar_iscntrl(g_utf8_get_char(c));
    if (clean)
        return NULL;
    g_autofree char *found = text_quote(word);
    return g_strdup_printf("found %s, expected text in UTF-8 without control characters", found);
}

char *usage_complaint(const GPtrArray *forms, char **argv, const char *const *before)
{
    if (argv[1] != NULL && argv[1][0] != '-') {
        char *wrong = verb_complaint(forms, argv[1]);
        if (wrong != NULL)
            return wrong;
    }
    for (char **word = argv + 1; *word != NULL; word++) {
        const char *letters = *word + strspn(*word, "-");
        char *wrong = text_complaint(*word);
        if (wrong != NULL)
            return wrong;
        if (**word == '\0')
            return g_strdup("found an empty word");
        if (letters == *word || !g_ascii_isalpha(letters[0]))
            continue;
        const struct usage_option *option = usage_option_find(forms, *word);
        if (option == NULL)
            return option_complaint(forms, *word, before);
        if (option->value != NULL && word[1] == NULL)
            return g_strdup_printf("%s: found nothing behind it, expected %s", option->name, option->value);
        if (option->value != NULL && (wrong = text_complaint(*++word)) != NULL)
            return wrong;
    }
    return NULL;
}
