#include "tests/unit/edgecrew.h"

#include "agent/shell.h"
#include "schema/slot.h"
#include "tests/unit/edgeparts.h"

#include <check.h>
#include <string.h>

const char *const crew_names[CREW_EDGES] = {"edge-1", "edge-2", "edge-3", "edge-4"};

struct crew_edge {
    struct crew *crew;
    unsigned number;
    struct shell *shell;
    json_t *probes; /* of the table in force */
};

/* ---- what a table intends ---- */

struct intended {
    GHashTable *used;   /* "multi/room-a" -> room used */
    GHashTable *wanted; /* index of a split -> room that its first slots want */
    json_t *probes;
};

static void take_room(void *data, const char *key, const char *value)
{
    g_hash_table_insert(((struct intended *)data)->used, g_strdup(key), g_strdup(value));
}

static void take_split(void *data, const char *key, const char *value)
{
    unsigned index = (unsigned)strtoul(key, NULL, 10) / SLOT_COUNT;
    GHashTable *wanted = ((struct intended *)data)->wanted;
    if (!g_hash_table_contains(wanted, GUINT_TO_POINTER(index)))
        g_hash_table_insert(wanted, GUINT_TO_POINTER(index), g_strdup(value));
}

static void take_policy(void *data, const char *key, const char *value)
{
    struct intended *intended = data;
    if (g_str_has_prefix(key, INTERFACE_ROW))
        return;
    g_auto(GStrv) words = g_strsplit(value, "|", 4);
    const char *wanted = g_hash_table_lookup(intended->wanted, GUINT_TO_POINTER((unsigned)strtoul(words[0], NULL, 10)));
    g_autofree char *row = g_strdup_printf("%s/%s", words[1], wanted);
    const char *used = g_hash_table_lookup(intended->used, row);
    const char *room = strcmp(words[3], "relay") == 0 ? wanted : used;
    json_array_append_new(intended->probes, json_pack("{s:s, s:s}", "policy", key, "room",
                                                      g_strcmp0(room, "-") == 0 || room == NULL ? "" : room));
}

static void each_row(GBytes *part, part_fn fn, void *data)
{
    gsize size;
    const char *text = g_bytes_get_data(part, &size);
    part_foreach(text, size, fn, data);
}

/* [{"policy", "room"}]: what probes find where all goes as intended. */
static json_t *probes_of(GBytes *const parts[static PARTS])
{
    g_autoptr(GHashTable) used = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GHashTable) wanted = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    struct intended intended = {used, wanted, json_array()};
    each_row(parts[PART_ROOMS], take_room, &intended);
    each_row(parts[PART_SPLITS], take_split, &intended);
    each_row(parts[PART_POLICIES], take_policy, &intended);
    return intended.probes;
}

/* ---- the actuator ---- */

static void record_apply(void *data, const struct manifest *manifest, GBytes *const parts[static PARTS])
{
    struct crew_edge *edge = data;
    struct applied *applied = g_new0(struct applied, 1);
    applied->edge = edge->number;
    applied->stamp = manifest->stamp;
    applied->cause = g_strdup(manifest->cause);
    edge_parts_hash(parts, applied->hash);
    json_decref(edge->probes);
    edge->probes = probes_of(parts);
    pthread_mutex_lock(&edge->crew->lock);
    g_ptr_array_add(edge->crew->applied, applied);
    pthread_mutex_unlock(&edge->crew->lock);
    shell_applied(edge->shell);
}

static void record_sample(void *data)
{
    shell_sampled(((struct crew_edge *)data)->shell);
}

bool crew_sees_origins;

static json_t *all_up(void)
{
    static const char *const origins[][2] = {
        {"room-a", "pop-a1"}, {"room-a", "pop-a2"}, {"room-b", "pop-b1"}, {"room-b", "pop-b2"}};
    json_t *list = json_array();
    for (size_t i = 0; i < G_N_ELEMENTS(origins); i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s, s:i}", "room", origins[i][0], "via", origins[i][1],
                                              "up", 1, "status", "L7OK", "latency_us", 1000));
    return list;
}

static void record_report(void *data, json_t *report)
{
    struct crew_edge *edge = data;
    json_object_set_new(report, "counters", json_array());
    json_object_set_new(report, "origins", crew_sees_origins ? all_up() : json_array());
    json_object_set(report, "probes", edge->probes);
}

/* ---- life ---- */

static struct crew_edge *edge_new(struct crew *crew, unsigned number, const char *dir, const char *const *servers,
                                  const char *token)
{
    struct crew_edge *edge = g_new0(struct crew_edge, 1);
    edge->crew = crew;
    edge->number = number;
    edge->probes = json_array();
    g_autofree char *state = g_build_filename(dir, crew_names[number], NULL);
    ck_assert_int_eq(g_mkdir_with_parents(state, 0700), 0);
    const struct actuator actuator = {edge, record_apply, record_sample, record_report};
    const struct shell_config config = {
        .cluster = "two-rooms",
        .link = {.edge = crew_names[number], .servers = servers, .token = token},
        .state_dir = state,
    };
    g_autoptr(GError) error = NULL;
    edge->shell = shell_new(crew->loop, &config, &actuator, &error);
    ck_assert_msg(edge->shell != NULL, "%s", error != NULL ? error->message : "");
    return edge;
}

static void *run(void *data)
{
    struct crew *crew = data;
    for (unsigned i = 0; i < CREW_EDGES; i++)
        shell_start(crew->edges[i]->shell);
    loop_run(crew->loop);
    return NULL;
}

static void applied_free(void *data)
{
    struct applied *applied = data;
    g_free(applied->cause);
    g_free(applied);
}

void crew_begin(struct crew *crew, const char *dir, const char *const *servers, char *const tokens[CREW_EDGES])
{
    *crew = (struct crew){.loop = loop_new(NULL), .applied = g_ptr_array_new_with_free_func(applied_free)};
    pthread_mutex_init(&crew->lock, NULL);
    for (unsigned i = 0; i < CREW_EDGES; i++)
        crew->edges[i] = edge_new(crew, i, dir, servers, tokens[i]);
    ck_assert_int_eq(pthread_create(&crew->thread, NULL, run, crew), 0);
}

static void stop(void *loop)
{
    loop_stop(loop);
}

void crew_end(struct crew *crew)
{
    loop_post(crew->loop, stop, crew->loop);
    pthread_join(crew->thread, NULL);
    for (unsigned i = 0; i < CREW_EDGES; i++) {
        shell_free(crew->edges[i]->shell);
        json_decref(crew->edges[i]->probes);
        g_free(crew->edges[i]);
    }
    loop_free(crew->loop);
    g_ptr_array_unref(crew->applied);
    pthread_mutex_destroy(&crew->lock);
}

/* ---- what they have seen ---- */

unsigned crew_expect_once(struct crew *crew, unsigned first)
{
    struct stamp last[CREW_EDGES] = {0};
    g_autoptr(GHashTable) generations = g_hash_table_new(g_str_hash, g_str_equal); /* cause -> generation */
    pthread_mutex_lock(&crew->lock);
    unsigned n = crew->applied->len;
    for (unsigned i = first; i < n; i++) {
        const struct applied *applied = crew->applied->pdata[i];
        ck_assert_msg(stamp_compare(applied->stamp, last[applied->edge]) >= 0, "%s went back",
                      crew_names[applied->edge]);
        last[applied->edge] = applied->stamp;
        if (strchr(applied->cause, '/') == NULL) /* no key: made by a person */
            continue;
        void *generation = GSIZE_TO_POINTER(applied->stamp.generation), *known;
        if (g_hash_table_lookup_extended(generations, applied->cause, NULL, &known))
            ck_assert_msg(known == generation, "%s took effect twice", applied->cause);
        g_hash_table_insert(generations, applied->cause, generation);
    }
    pthread_mutex_unlock(&crew->lock);
    return n;
}

unsigned crew_collect(struct crew *crew, unsigned first, GHashTable *seen)
{
    unsigned fresh = 0;
    pthread_mutex_lock(&crew->lock);
    for (unsigned i = first; i < crew->applied->len; i++)
        fresh += g_hash_table_add(seen, g_strdup(((struct applied *)crew->applied->pdata[i])->hash)) ? 1 : 0;
    pthread_mutex_unlock(&crew->lock);
    return fresh;
}

unsigned crew_count(struct crew *crew, uint64_t generation)
{
    uint64_t newest[CREW_EDGES] = {0};
    unsigned n = 0;
    pthread_mutex_lock(&crew->lock);
    for (unsigned i = 0; i < crew->applied->len; i++) {
        const struct applied *applied = crew->applied->pdata[i];
        newest[applied->edge] = applied->stamp.generation;
    }
    pthread_mutex_unlock(&crew->lock);
    for (unsigned i = 0; i < CREW_EDGES; i++)
        n += newest[i] == generation;
    return n;
}

struct question {
    struct crew *crew;
    GString *text;
    pthread_cond_t cond;
    bool done;
};

/* On the agents' thread. */
static void answer(void *data)
{
    struct question *question = data;
    struct crew *crew = question->crew;
    for (unsigned i = 0; i < CREW_EDGES; i++) {
        json_t *status = shell_command(crew->edges[i]->shell, 0, "status");
        char *text = json_dumps(status, 0);
        g_string_append(question->text, text);
        free(text);
        json_decref(status);
    }
    pthread_mutex_lock(&crew->lock);
    question->done = true;
    pthread_cond_signal(&question->cond);
    pthread_mutex_unlock(&crew->lock);
}

bool crew_says(struct crew *crew, const char *text)
{
    g_autoptr(GString) said = g_string_new(NULL);
    struct question question = {.crew = crew, .text = said, .cond = PTHREAD_COND_INITIALIZER};
    loop_post(crew->loop, answer, &question);
    pthread_mutex_lock(&crew->lock);
    while (!question.done)
        pthread_cond_wait(&question.cond, &crew->lock);
    pthread_mutex_unlock(&crew->lock);
    return strstr(said->str, text) != NULL;
}
