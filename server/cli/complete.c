/* complete.c: words that may stand where the cursor is, for the shell (`signalbox --complete WORD...`, the last is what
 * is typed so far). Places of the usage texts say what is meant; names come from the server, which has half a second,
 * and whose silence is nobody's trouble. A line ":files" asks the shell for names of files. */
#include "server/cli/cli.h"
#include "server/cli/usage.h"

#include "schema/control.h"

#include <stdio.h>
#include <string.h>

#define ANSWER_MS 500

static void offer(const char *start, const char *word)
{
    if (word != NULL && g_str_has_prefix(word, start))
        puts(word);
}

void complete_offer(const char *start, const char *const *words)
{
    for (; *words != NULL; words++)
        offer(start, *words);
}

static void offer_choices(const char *start, const char *choices)
{
    g_auto(GStrv) words = g_strsplit(choices, "|", -1);
    complete_offer(start, (const char *const *)words);
}

/* Texts of `member` in the rows that a path answers with. */
static void offer_rows(struct cli *cli, const char *start, const char *path, const char *rows, const char *member)
{
    json_t *answer = NULL, *row;
    size_t i;
    if (cli_call(cli, "GET", path, NULL, NULL, ANSWER_MS, &answer, NULL) == EXIT_OK)
        json_array_foreach (json_object_get(answer, rows), i, row)
            offer(start, cli_text(row, member));
    json_decref(answer);
}

static void offer_objects(struct cli *cli, const char *start, const struct object_class *class)
{
    if (class == NULL)
        return;
    g_autofree char *path = g_strdup_printf("/v1/inventory/%s", class->name);
    offer_rows(cli, start, path, "objects", "name");
}

/* Of what kind the OBJECT of these words is: as they name a kind, a lever or a plan. */
static const struct object_class *kind_meant(struct cli *cli, const struct usage_form *form, const char *const *places)
{
    for (guint i = 0; i < form->places->len && places[i] != NULL; i++) {
        const char *place = form->places->pdata[i];
        const struct lever_class *lever = strcmp(place, "LEVER") == 0 ? lever_class_find(places[i]) : NULL;
        if (lever != NULL)
            return object_class(lever->kind);
        if (strcmp(place, "KIND") == 0)
            return object_class_find(places[i]);
        if (strcmp(place, "PLAN") == 0) {
            g_autofree char *name = cli_escape(places[i]), *path = g_strdup_printf("/v1/plans/%s", name);
            json_t *plan = NULL;
            cli_call(cli, "GET", path, NULL, NULL, ANSWER_MS, &plan, NULL);
            const struct object_class *class = object_class_find(cli_text(plan, "target"));
            json_decref(plan);
            return class;
        }
    }
    return NULL;
}

/* places: what stands at the form's places before, NULL-terminated. */
static void offer_value(struct cli *cli, const char *start, const struct usage_form *form, const char *const *places,
                        const char *place)
{
    static const struct {
        const char *place, *path, *rows, *member;
    } listed[] = {{"PLAN", "/v1/plans", "plans", "plan"},
                  {"ID", "/v1/executions", "executions", "id"},
                  {"ALARM", "/v1/status", "alarms", "key"},
                  {"TOKEN", "/v1/tokens", "tokens", "name"},
                  {"PERSON", "/v1/users", "users", "name"}};
    for (size_t i = 0; i < G_N_ELEMENTS(listed); i++)
        if (strcmp(place, listed[i].place) == 0)
            offer_rows(cli, start, listed[i].path, listed[i].rows, listed[i].member);
    g_autofree char *kind = g_ascii_strdown(place, -1);
    const struct lever_class *lever = NULL;
    if (strcmp(place, "KIND") == 0)
        for (unsigned k = 0; k < OBJECT_KINDS; k++)
            offer(start, object_class(k)->name);
    else if (strcmp(place, "LEVER") == 0)
        for (unsigned l = 0; l < LEVERS; l++)
            offer(start, lever_class(l)->name);
    else if (strcmp(place, "OBJECT") == 0)
        offer_objects(cli, start, kind_meant(cli, form, places));
    else if (strcmp(place, "VALUE") == 0 && places[0] != NULL && (lever = lever_class_find(places[0])) != NULL)
        offer_choices(start, lever->type == LEVER_TYPE_ENUM ? lever->choices : "default");
    else if (g_str_has_prefix(place, "FILE") || strcmp(place, "DIR") == 0)
        puts(":files");
    else if (g_ascii_islower(place[0]))
        offer_choices(start, place);
    else
        offer_objects(cli, start, object_class_find(kind));
}

void complete_command(struct cli *cli, const char *usage, int argc, char **argv)
{
    const char *start = argv[argc - 1];
    g_autoptr(GPtrArray) forms = usage_parse(usage);
    g_autoptr(GPtrArray) places = g_ptr_array_new(); /* of const char * */
    const struct usage_form *form = usage_form_of(forms, argc - 1, argv);
    const struct usage_option *open = NULL;
    for (int i = form != NULL && form->verb != NULL ? 2 : 1; i < argc - 1; i++) {
        const struct usage_option *option = argv[i][0] == '-' ? usage_option_find(forms, argv[i]) : NULL;
        if (open == NULL && option == NULL)
            g_ptr_array_add(places, argv[i]);
        open = open == NULL && option != NULL && option->value != NULL ? option : NULL;
    }
    guint n = places->len;
    g_ptr_array_add(places, NULL);
    const char *const *said = (const char *const *)places->pdata;
    if (argc == 2)
        for (guint i = 0; i < forms->len; i++)
            offer(start, ((const struct usage_form *)forms->pdata[i])->verb);
    if (form == NULL)
        return;
    if (open != NULL) {
        offer_value(cli, start, form, said, open->value);
    } else if (start[0] == '-') {
        for (guint i = 0; i < form->options->len; i++)
            offer(start, ((const struct usage_option *)form->options->pdata[i])->name);
        offer(start, "--json");
        offer(start, "--help");
    } else if (n < form->places->len) {
        offer_value(cli, start, form, said, form->places->pdata[n]);
    }
}
