#include "server/engine/webhooks.h"

#include "core/error.h"
#include "core/log.h"
#include "server/engine/chat.h"
#include "server/store/db.h"
#include "server/store/journal.h"
#include "server/store/migrations.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>

#define ROWS 256                          /* of the journal, read at once */
#define DEADLINE_US (10 * G_USEC_PER_SEC) /* where the object says nothing */
#define GIVE_UP_US (3 * 86400 * (int64_t)G_USEC_PER_SEC)
#define BACKOFF_LAST_S 3600
#define AGAIN_US (5 * G_USEC_PER_SEC) /* until what could not be read, or is not audited yet, is looked at again */
#define SKIPPED_MAX 1000              /* entries that are not for it, before its place is kept */
#define TRIM_EVERY 100                /* deliveries */

/* A message on its way. */
struct message {
    uint64_t seq; /* its place in the order; of one that is told again not its own */
    char *id, *type, *subject, *body;
    int64_t at_us; /* when it happened, wall clock */
};
struct hook {
    struct webhooks *webhooks;
    char *name, *url, *key, *chat; /* chat: address of the console, or NULL */
    char **events;                 /* or NULL */
    int64_t deadline_us, give_up_us;
    uint64_t revision; /* of the object */
    bool placed;       /* the rest is known */
    bool retried;      /* before it was: what was disabled is not any more */
    bool audited;      /* that it is disabled */
    int64_t audit_us;  /* loop clock: not before is it asked for once more */
    uint64_t seq, kept_seq, attempts, disabled;
    int64_t failing_us, next_us; /* wall clock */
    char *why;
    struct message *message; /* the next one, or NULL: none is known of */
    struct httpc_request *request;
    int64_t sent_us;
    uint64_t delivered, failed; /* since the server started */
};
struct webhooks {
    struct loop *loop;
    struct loop_timer *timer;
    struct sender *sender;
    char *cluster, *journal_path, *path;
    void (*disabled)(void *data, const char *webhook, const char *why, int64_t since_us);
    void *data;
    GHashTable *hooks; /* name -> struct hook * */
    struct journal_reader *reader;
    struct db *db;    /* NULL: it could not be opened yet */
    bool told;        /* that it could not, or failed */
    int64_t again_us; /* loop clock: when all are looked at whatever they wait for; INT64_MAX: never */
    bool cleaned;     /* of webhooks that are no more */
    int64_t number;   /* of the last delivery */
    uint64_t last;    /* entry of the journal that was seen */
    pthread_mutex_t lock;
    GPtrArray *warnings; /* char *; under lock */
    json_t *figures;     /* as webhooks_figures gives them; under lock */
};

static void look(struct hook *hook);
static void arm(struct webhooks *w);
static void say_state(struct webhooks *w);

/* ---- life ---- */

static void message_free(struct message *message)
{
    if (message == NULL)
        return;
    g_free(message->id);
    g_free(message->type);
    g_free(message->subject);
    g_free(message->body);
    g_free(message);
}

static void hook_free(void *data)
{
    struct hook *hook = data;
    httpc_cancel(hook->request);
    message_free(hook->message);
    g_free(hook->name);
    g_free(hook->url);
    g_free(hook->key);
    g_free(hook->chat);
    g_strfreev(hook->events);
    g_free(hook->why);
    g_free(hook);
}

static void look_all(void *data)
{
    struct webhooks *w = data;
    GHashTableIter iter;
    gpointer hook;
    w->again_us = INT64_MAX;
    g_hash_table_iter_init(&iter, w->hooks);
    while (g_hash_table_iter_next(&iter, NULL, &hook))
        look(hook);
    say_state(w);
}

struct webhooks *webhooks_new(const struct webhooks_config *config)
{
    struct webhooks *w = g_new0(struct webhooks, 1);
    w->loop = config->loop;
    w->sender = config->sender;
    w->cluster = g_strdup(config->cluster);
    w->journal_path = g_strdup(config->journal_path);
    w->path = g_build_filename(config->state_dir, WEBHOOKS_FILE, NULL);
    w->disabled = config->disabled;
    w->data = config->data;
    w->hooks = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, hook_free);
    w->timer = loop_timer_new(w->loop, look_all, w);
    w->again_us = INT64_MAX;
    w->warnings = g_ptr_array_new_with_free_func(g_free);
    w->figures = json_array();
    pthread_mutex_init(&w->lock, NULL);
    return w;
}

void webhooks_free(struct webhooks *w)
{
    if (w == NULL)
        return;
    g_hash_table_destroy(w->hooks);
    loop_timer_free(w->timer);
    journal_reader_close(w->reader);
    db_close(w->db);
    g_ptr_array_unref(w->warnings);
    json_decref(w->figures);
    pthread_mutex_destroy(&w->lock);
    g_free(w->cluster);
    g_free(w->journal_path);
    g_free(w->path);
    g_free(w);
}

/* ---- the file ---- */

#define NOT_KEPT "what webhooks were told cannot be kept; they may be told again after a restart"
#define NOT_READ "what webhooks are to be told cannot be read; it is tried again in a few seconds"

/* Takes error. It is said once until it works again. */
static void complain(struct webhooks *w, const char *what, GError *error)
{
    if (!w->told)
        log_warning(what, "file=%s error=\"%s\"", w->path, error->message);
    w->told = true;
    g_error_free(error);
}

static void look_again(struct webhooks *w)
{
    w->again_us = loop_now_us() + AGAIN_US;
    arm(w);
}

/* Takes error, of reading. */
static void read_again(struct webhooks *w, GError *error)
{
    complain(w, NOT_READ, error);
    look_again(w);
}

static bool read_number(struct webhooks *w, GError **error)
{
    sb_auto(db_rows) rows = db_query(w->db, "select coalesce(max(number), 0) from deliveries", NULL, 0, error);
    if (rows == NULL || !db_next(rows, error))
        return false;
    w->number = db_int(rows, 0);
    return true;
}

static bool open_files(struct webhooks *w, GError **error)
{
    if (w->reader == NULL && (w->reader = journal_reader_open(w->journal_path, error)) == NULL)
        return false;
    if (w->db != NULL)
        return true;
    /* What a loss of power takes is told again: no reason to wait for the disk beside the journal. */
    if ((w->db = db_open(w->path, error)) != NULL && db_exec(w->db, "pragma synchronous = normal", error) &&
        db_migrate(w->db, webhooks_migrations, error) && read_number(w, error))
        return true;
    db_close(w->db);
    w->db = NULL;
    return false;
}

static bool is_open(struct webhooks *w)
{
    GError *error = NULL;
    if (open_files(w, &error))
        return true;
    complain(w, NOT_KEPT, error);
    look_again(w);
    return false;
}

static void run(struct webhooks *w, const char *sql, const struct db_value *values, unsigned n)
{
    GError *error = NULL;
    if (db_run(w->db, sql, values, n, &error))
        w->told = false;
    else
        complain(w, NOT_KEPT, error);
}

static void keep_place(struct hook *hook)
{
    const struct db_value values[] = {
        DB_TEXT(hook->name),      DB_INT((int64_t)hook->seq), DB_INT((int64_t)hook->attempts),
        DB_INT(hook->failing_us), DB_INT(hook->next_us),      DB_INT((int64_t)hook->disabled),
        DB_TEXT(hook->why)};
    hook->kept_seq = hook->seq;
    run(hook->webhooks,
        "insert into webhooks (name, seq, attempts, failing_us, next_us, disabled, why) "
        "values ($1, $2, $3, $4, $5, $6, $7) on conflict (name) do update set seq = excluded.seq, "
        "attempts = excluded.attempts, failing_us = excluded.failing_us, next_us = excluded.next_us, "
        "disabled = excluded.disabled, why = excluded.why",
        values, G_N_ELEMENTS(values));
}

static void keep_delivery(struct hook *hook, unsigned status, const char *error)
{
    struct webhooks *w = hook->webhooks;
    const struct message *message = hook->message;
    int64_t now_us = wall_now_us();
    const struct db_value values[] = {DB_INT(++w->number),
                                      DB_TEXT(hook->name),
                                      DB_TEXT(message->id),
                                      DB_TEXT(message->type),
                                      DB_TEXT(message->subject),
                                      DB_INT((int64_t)hook->attempts + (error == NULL)),
                                      DB_INT(status),
                                      DB_INT(hook->sent_us > 0 ? loop_now_us() - hook->sent_us : 0),
                                      DB_INT(now_us),
                                      DB_INT(hook->next_us),
                                      DB_TEXT(error)};
    run(w,
        "insert into deliveries (number, webhook, id, type, subject, attempt, status, latency_us, at_us, next_us, "
        "error) "
        "values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        values, G_N_ELEMENTS(values));
    const struct db_value old[] = {DB_TEXT(hook->name), DB_INT(WEBHOOKS_LOG)};
    if (w->number % TRIM_EVERY == 0)
        run(w,
            "delete from deliveries where webhook = $1 and number <= (select number from deliveries "
            "where webhook = $1 order by number desc limit 1 offset $2)",
            old, G_N_ELEMENTS(old));
}

/* ---- places ---- */

static bool take_seq(void *data, const struct journal_row *row, GError **error)
{
    (void)error;
    *(uint64_t *)data = row->seq;
    return false;
}

/* Of one that nothing is known of: behind the generation that made it; what comes next is for it. */
static bool first_place(struct hook *hook, GError **error)
{
    struct journal_reader *reader = hook->webhooks->reader;
    return journal_read_generation(reader, hook->revision, 0, take_seq, &hook->seq, error) &&
           (hook->seq > 0 || journal_read_before(reader, NULL, INT64_MAX, 1, take_seq, &hook->seq, error));
}

static bool read_place(struct hook *hook, GError **error)
{
    GError *failure = NULL;
    const struct db_value name = DB_TEXT(hook->name);
    sb_auto(db_rows) rows = db_query(
        hook->webhooks->db, "select seq, attempts, failing_us, next_us, disabled, why from webhooks where name = $1",
        &name, 1, error);
    if (rows == NULL)
        return false;
    if (db_next(rows, &failure)) {
        hook->seq = (uint64_t)db_int(rows, 0);
        hook->attempts = (uint64_t)db_int(rows, 1);
        hook->next_us = 0; /* a server that starts tries at once */
        hook->disabled = !hook->retried && (uint64_t)db_int(rows, 4) == hook->revision ? hook->revision : 0;
        hook->failing_us = hook->retried ? 0 : db_int(rows, 2);
        hook->why = g_strdup(db_text(rows, 5));
        return true;
    }
    if (failure != NULL)
        g_propagate_error(error, failure);
    return failure == NULL && first_place(hook, error);
}

static bool is_placed(struct hook *hook)
{
    GError *error = NULL;
    if (hook->placed)
        return true;
    hook->placed = is_open(hook->webhooks) && read_place(hook, &error);
    if (error != NULL)
        read_again(hook->webhooks, error);
    if (hook->placed)
        keep_place(hook);
    return hook->placed;
}

/* ---- what is next ---- */

struct search {
    struct hook *hook;
    uint64_t seq; /* of the last row that was looked at */
    unsigned n;
    struct message *found;
    char *again; /* id of a message that is to be told again, or NULL */
};

/* As the row is told; g_free. NULL: a chat is not told of it. */
static char *message_text(const struct hook *hook, const struct message *message, const struct journal_row *row,
                          json_t *body)
{
    const struct webhooks *w = hook->webhooks;
    g_autofree char *at = journal_time_text(row->at_us), *source = g_strdup_printf("/signalbox/%s", w->cluster);
    g_autofree char *line = hook->chat != NULL ? chat_text(row->kind, row->id, body, hook->chat) : NULL;
    if (hook->chat != NULL && line == NULL)
        return NULL;
    json_object_del(body, "events"); /* of an execution: they are told one by one */
    json_t *event = line != NULL
                        ? json_pack("{s:s}", "text", line)
                        : json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:O}", "specversion", "1.0", "id", message->id,
                                    "source", source, "type", message->type, "subject", message->subject, "time", at,
                                    "datacontenttype", "application/json", "data", body);
    char *dumped = json_dumps(event, JSON_COMPACT), *text = g_strdup(dumped);
    free(dumped);
    json_decref(event);
    return text;
}

/* NULL: it is not told of it. */
static struct message *message_new(const struct hook *hook, const struct journal_row *row, json_t *body)
{
    struct message *message = g_new0(struct message, 1);
    message->seq = row->seq;
    message->at_us = row->at_us;
    message->id = g_strdup_printf("%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT, row->seq, row->epoch);
    message->type = g_strdup_printf("signalbox.%s", row->kind);
    message->subject = g_strdup(row->id);
    message->body = message_text(hook, message, row, body);
    if (message->body != NULL)
        return message;
    message_free(message);
    return NULL;
}

static bool wants(const struct hook *hook, const struct journal_row *row)
{
    return hook->events != NULL && strcmp(row->kind, "message") != 0 &&
           g_strv_contains((const char *const *)hook->events, row->kind) && strcmp(row->body, "null") != 0;
}

static bool search_row(void *data, const struct journal_row *row, GError **error)
{
    struct search *s = data;
    bool told = strcmp(row->kind, "message") == 0;
    (void)error;
    s->seq = row->seq;
    s->n++;
    s->hook->webhooks->last = MAX(s->hook->webhooks->last, row->seq);
    if (!told && !wants(s->hook, row))
        return true;
    json_t *body = json_loads(row->body, 0, NULL);
    const char *to = json_string_value(json_object_get(body, "webhook"));
    const char *again = told ? json_string_value(json_object_get(body, "redeliver")) : NULL;
    if (body == NULL || (told && g_strcmp0(to, s->hook->name) != 0)) {
        json_decref(body);
        return true;
    }
    s->again = g_strdup(again);
    if (again == NULL)
        s->found = message_new(s->hook, row, body);
    json_decref(body);
    return again == NULL && s->found == NULL;
}

/* The message of an id, or *found NULL: there is none, or none that it is told. Secrets are in the journal, too. */
static bool find_old(struct hook *hook, const char *id, struct message **found, GError **error)
{
    struct search s = {.hook = hook};
    guint64 seq = g_ascii_strtoull(id, NULL, 10);
    bool ok = seq == 0 || journal_read_after(hook->webhooks->reader, NULL, seq - 1, 1, search_row, &s, error);
    g_free(s.again);
    if (s.found != NULL && strcmp(s.found->id, id) != 0)
        g_clear_pointer(&s.found, message_free);
    *found = s.found;
    return ok;
}

static void keep_missing(struct hook *hook, char *id)
{
    struct message missing = {.id = id, .type = (char *)"signalbox.message", .subject = hook->name};
    hook->message = &missing;
    hook->sent_us = 0;
    keep_delivery(hook, 0, "found no such entry in the journal, expected the id of a delivery");
    hook->message = NULL;
}

/* Reads on until there is a message for it, or no entry left. */
static void find_next(struct hook *hook)
{
    struct webhooks *w = hook->webhooks;
    GError *error = NULL;
    struct search s;
    do {
        s = (struct search){.hook = hook, .seq = hook->seq};
        hook->message = NULL;
        bool ok = journal_read_after(w->reader, NULL, hook->seq, ROWS, search_row, &s, &error);
        if (ok && s.again != NULL)
            ok = find_old(hook, s.again, &s.found, &error);
        if (!ok) {
            g_free(s.again);
            message_free(s.found);
            read_again(w, error);
            return;
        }
        hook->message = s.found;
        if (s.again != NULL && hook->message == NULL)
            keep_missing(hook, s.again);
        if (hook->message != NULL)
            hook->message->seq = s.seq;
        else
            hook->seq = s.seq;
        g_free(s.again);
    } while (hook->message == NULL && s.n > 0);
    if (hook->message == NULL && hook->seq - hook->kept_seq > SKIPPED_MAX)
        keep_place(hook);
}

/* ---- sending ---- */

static json_t *figures_of(const struct webhooks *w, const struct hook *hook)
{
    uint64_t behind = hook->placed && w->last > hook->seq ? w->last - hook->seq : 0;
    return json_pack("{s:s, s:I, s:I, s:b, s:I, s:I}", "name", hook->name, "delivered", (json_int_t)hook->delivered,
                     "failed", (json_int_t)hook->failed, "disabled", hook->disabled != 0, "behind", (json_int_t)behind,
                     "waiting_us", (json_int_t)(hook->message != NULL ? hook->message->at_us : 0));
}

/* Warnings for people and figures for monitoring, of all hooks. */
static void say_state(struct webhooks *w)
{
    GHashTableIter iter;
    gpointer value;
    pthread_mutex_lock(&w->lock);
    g_ptr_array_set_size(w->warnings, 0);
    json_array_clear(w->figures);
    g_hash_table_iter_init(&iter, w->hooks);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct hook *hook = value;
        json_array_append_new(w->figures, figures_of(w, hook));
        if (hook->disabled == 0 && hook->attempts < 3) /* one lost answer is nobody's business */
            continue;
        g_ptr_array_add(w->warnings, g_strdup_printf("webhook %s %s: %s", hook->name,
                                                     hook->disabled != 0 ? "is disabled" : "does not take messages",
                                                     hook->why != NULL ? hook->why : ""));
    }
    pthread_mutex_unlock(&w->lock);
}

static int64_t backoff_us(uint64_t attempts)
{
    int64_t whole_us = MIN(1 << MIN(attempts - 1, 12u), BACKOFF_LAST_S) * (int64_t)G_USEC_PER_SEC;
    return whole_us - whole_us / 10 + (int64_t)randombytes_uniform((uint32_t)(whole_us / 5));
}

static void take_failure(struct hook *hook, unsigned status, const char *why)
{
    int64_t now_us = wall_now_us();
    hook->attempts++;
    hook->failed++;
    if (hook->failing_us == 0)
        hook->failing_us = now_us;
    g_free(hook->why);
    hook->why = g_strdup(why);
    bool over = status == 410 || now_us - hook->failing_us >= hook->give_up_us;
    hook->next_us = over ? 0 : now_us + backoff_us(hook->attempts);
    keep_delivery(hook, status, why);
    if (over) {
        g_autofree char *text =
            status == 410
                ? g_strdup("it answered 410: gone")
                : g_strdup_printf("%" G_GUINT64_FORMAT " attempts failed in %" G_GINT64_FORMAT " s, the last: %s",
                                  hook->attempts, (now_us - hook->failing_us) / G_USEC_PER_SEC, why);
        g_free(hook->why);
        hook->why = g_strdup(text);
        hook->disabled = hook->revision;
        hook->audited = false;
        hook->audit_us = 0;
        log_warning("webhook is disabled; a change of the object, or a test, enables it", "webhook=%s why=\"%s\"",
                    hook->name, text);
    }
    keep_place(hook);
}

static void take_success(struct hook *hook, unsigned status)
{
    hook->delivered++;
    hook->next_us = 0;
    keep_delivery(hook, status, NULL);
    hook->seq = MAX(hook->seq, hook->message->seq);
    hook->attempts = 0;
    hook->failing_us = 0;
    g_clear_pointer(&hook->why, g_free);
    g_clear_pointer(&hook->message, message_free);
    keep_place(hook);
}

static void on_answer(void *data, const struct httpc_reply *reply, const GError *error)
{
    struct hook *hook = data;
    hook->request = NULL;
    if (error != NULL) {
        take_failure(hook, 0, error->message);
    } else if (reply->status >= 200 && reply->status < 300) {
        take_success(hook, reply->status);
    } else {
        g_autofree char *why = g_strdup_printf("found status %u, expected 2xx", reply->status);
        take_failure(hook, reply->status, why);
    }
    look(hook);
    say_state(hook->webhooks);
}

static void send_message(struct hook *hook)
{
    g_autoptr(GError) error = NULL;
    const struct sender_request request = {.id = hook->message->id,
                                           .key = hook->key,
                                           .method = "POST",
                                           .url = hook->url,
                                           .body = hook->message->body,
                                           .content_type = hook->chat != NULL
                                                               ? "application/json; charset=utf-8"
                                                               : "application/cloudevents+json; charset=utf-8",
                                           .timeout_us = hook->deadline_us};
    hook->sent_us = loop_now_us();
    if (!sender_send(hook->webhooks->sender, &request, on_answer, hook, &hook->request, &error))
        take_failure(hook, 0, error->message);
}

struct audited {
    const struct hook *hook;
    bool found;
};

static bool find_audited(void *data, const struct journal_row *row, GError **error)
{
    struct audited *audited = data;
    (void)error;
    if (strcmp(row->id, audited->hook->name) != 0)
        return true;
    json_t *body = json_loads(row->body, 0, NULL);
    audited->found |= json_integer_value(json_object_get(body, "since_us")) == audited->hook->failing_us;
    json_decref(body);
    return true;
}

/* Who audits may be killed first, or unable to write: it is asked again until the journal says so. */
static void see_to_audit(struct hook *hook)
{
    struct webhooks *w = hook->webhooks;
    struct audited audited = {.hook = hook};
    GError *error = NULL;
    if (!journal_read_before(w->reader, "webhook", INT64_MAX, ROWS, find_audited, &audited, &error)) {
        read_again(w, error);
        return;
    }
    hook->audited = audited.found;
    if (audited.found)
        return;
    if (loop_now_us() >= hook->audit_us) { /* else what was asked for before may be under way */
        hook->audit_us = loop_now_us() + AGAIN_US;
        w->disabled(w->data, hook->name, hook->why != NULL ? hook->why : "", hook->failing_us);
    }
    look_again(w);
}

/* When to look at all of them again. */
static void arm(struct webhooks *w)
{
    int64_t next_us = w->again_us, shift_us = loop_now_us() - wall_now_us();
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, w->hooks);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const struct hook *hook = value;
        if (hook->next_us > 0 && hook->disabled == 0 && hook->request == NULL)
            next_us = MIN(next_us, hook->next_us + shift_us);
    }
    if (next_us < INT64_MAX)
        loop_timer_arm(w->timer, next_us);
}

/* Does what can be done now. */
static void look(struct hook *hook)
{
    if (hook->request != NULL || !is_placed(hook))
        return;
    if (hook->disabled == 0 && hook->next_us <= wall_now_us()) {
        if (hook->message == NULL)
            find_next(hook);
        if (hook->message != NULL)
            send_message(hook);
    }
    if (hook->disabled != 0 && !hook->audited)
        see_to_audit(hook);
    arm(hook->webhooks);
}

/* ---- from outside ---- */

static void hook_take(struct hook *hook, const struct webhook *object)
{
    bool changed = hook->revision != 0 && hook->revision != object->o.revision;
    g_free(hook->url);
    g_free(hook->key);
    g_free(hook->chat);
    g_strfreev(hook->events);
    hook->chat = g_strdup(object->chat);
    hook->url = g_strdup(object->url);
    hook->key = g_strdup(object->key);
    hook->events = g_strdupv(object->events);
    hook->deadline_us = object->deadline > 0 ? object->deadline * 1000 : DEADLINE_US;
    hook->give_up_us = object->give_up > 0 ? object->give_up * (int64_t)G_USEC_PER_SEC : GIVE_UP_US;
    hook->revision = object->o.revision;
    if (!changed)
        return;
    hook->disabled = 0;
    hook->failing_us = hook->next_us = 0;
    if (hook->request == NULL)
        g_clear_pointer(&hook->message, message_free); /* it may not be wanted any more */
    say_state(hook->webhooks);
}

static void forget(struct webhooks *w, const char *name)
{
    const struct db_value value = DB_TEXT(name);
    if (!is_open(w))
        return;
    run(w, "delete from webhooks where name = $1", &value, 1);
    run(w, "delete from deliveries where webhook = $1", &value, 1);
}

static void forget_gone(struct webhooks *w, const struct inventory *inv)
{
    GHashTableIter iter;
    gpointer name;
    bool gone = false;
    g_hash_table_iter_init(&iter, w->hooks);
    while (g_hash_table_iter_next(&iter, &name, NULL))
        if (INVENTORY_GET(inv, webhook, name) == NULL) {
            forget(w, name);
            g_hash_table_iter_remove(&iter);
            gone = true;
        }
    if (gone)
        say_state(w);
}

static bool list_names(struct webhooks *w, GPtrArray *names, GError **error)
{
    GError *failure = NULL;
    sb_auto(db_rows) rows = db_query(w->db, "select name from webhooks", NULL, 0, error);
    if (rows == NULL)
        return false;
    while (db_next(rows, &failure))
        g_ptr_array_add(names, g_strdup(db_text(rows, 0)));
    if (failure != NULL)
        g_propagate_error(error, failure);
    return failure == NULL;
}

/* Once: those that were removed when a server ended before it could forget them. Added again they are new. */
static void forget_strangers(struct webhooks *w, const struct inventory *inv)
{
    GError *error = NULL;
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    if (w->cleaned || !g_file_test(w->path, G_FILE_TEST_EXISTS) || !is_open(w))
        return;
    w->cleaned = list_names(w, names, &error);
    if (error != NULL)
        complain(w, NOT_READ, error);
    for (guint i = 0; i < names->len; i++)
        if (INVENTORY_GET(inv, webhook, names->pdata[i]) == NULL)
            forget(w, names->pdata[i]);
}

void webhooks_fit(struct webhooks *w, const struct inventory *inv)
{
    forget_strangers(w, inv);
    forget_gone(w, inv);
    INVENTORY_FOREACH (inv, webhook, object) {
        struct hook *hook = g_hash_table_lookup(w->hooks, object->o.name);
        if (hook == NULL) {
            hook = g_new0(struct hook, 1);
            hook->webhooks = w;
            hook->name = g_strdup(object->o.name);
            g_hash_table_insert(w->hooks, hook->name, hook);
        }
        hook_take(hook, object);
    }
    look_all(w);
}

void webhooks_look(struct webhooks *w)
{
    GError *error = NULL;
    if (w->reader != NULL && g_hash_table_size(w->hooks) > 0 &&
        !journal_read_before(w->reader, NULL, INT64_MAX, 1, take_seq, &w->last, &error))
        complain(w, NOT_READ, error);
    look_all(w);
}

void webhooks_retry(struct webhooks *w, const char *name)
{
    struct hook *hook = g_hash_table_lookup(w->hooks, name);
    if (hook == NULL)
        return;
    hook->retried = !is_placed(hook);
    hook->disabled = 0;
    hook->failing_us = hook->next_us = 0;
    look(hook);
    say_state(w);
}

void webhooks_warn(struct webhooks *w, json_t *warnings)
{
    pthread_mutex_lock(&w->lock);
    for (guint i = 0; i < w->warnings->len; i++)
        json_array_append_new(warnings, json_string(w->warnings->pdata[i]));
    pthread_mutex_unlock(&w->lock);
}

json_t *webhooks_figures(struct webhooks *w)
{
    pthread_mutex_lock(&w->lock);
    json_t *figures = json_deep_copy(w->figures);
    pthread_mutex_unlock(&w->lock);
    return figures;
}
