/* recorder.c: the black box on disk. */
#include "server/engine/recorder.h"

#include "core/error.h"
#include "core/fileio.h"
#include "core/log.h"
#include "core/loop.h"
#include "server/store/ballast.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define WAITING_MAX ((size_t)32 << 20)              /* bytes that wait to be written */
#define FLUSH_US G_USEC_PER_SEC                     /* a crash loses about so much */
#define FILE_MAX ((size_t)32 << 20)                 /* packed bytes of one file */
#define FILE_US (10 * 60 * (int64_t)G_USEC_PER_SEC) /* a file is replayed as a whole, so it stays short */
#define RETRY_US (2 * (int64_t)G_USEC_PER_SEC)
#define ROOM_MIN (16ull * DISK_ROOM_MIN) /* the journal needs the rest of the disk more */
#define FILES_MIN 2u                     /* that are kept, whatever their size */
#define NICE 10

/* One of the four. */
struct item {
    char *text; /* an input or an effect, as it is written; with malloc */
    size_t size;
    struct resolved *published;
    struct engine_snapshot *snapshot;
    bool continues;   /* of a snapshot: nothing is missing before it */
    uint64_t flush;   /* number of who wants all before it written */
    int64_t asked_us; /* wall clock: when */
};

struct recorder {
    char *folder;
    uint64_t size_max, file_max;
    int64_t age_max_us;
    pthread_t thread;
    bool started;
    atomic_bool wanted; /* a snapshot */

    pthread_mutex_t lock;
    pthread_cond_t cond;
    GQueue queue;            /* struct item *; under lock */
    size_t waiting;          /* bytes in it; under lock */
    bool dropping;           /* until the next snapshot; under lock */
    bool ending;             /* under lock */
    uint64_t asked, flushed; /* who wanted a flush, and who has had it; under lock */
    pthread_cond_t flushed_cond;
    char *trouble; /* or NULL; under lock */

    /* The thread's. */
    gzFile file; /* or NULL */
    int fd;      /* of file, whose it is */
    uint64_t number;
    uint64_t unmeasured; /* bytes of text since the file's size was looked at */
    int64_t began_us, flushed_us, retry_us;
    bool unflushed;
};

/* ---- the engine's side ---- */

static void item_free(struct item *item)
{
    free(item->text);
    resolved_unref(item->published);
    engine_snapshot_free(item->snapshot);
    g_free(item);
}

static void push(struct recorder *r, struct item *item)
{
    pthread_mutex_lock(&r->lock);
    if (item->snapshot != NULL) {
        item->continues = !r->dropping;
        r->dropping = false;
    } else if (r->waiting + item->size > WAITING_MAX) {
        r->dropping = true;
    }
    bool kept = !r->dropping || item->flush != 0;
    if (kept) {
        r->waiting += item->size;
        g_queue_push_tail(&r->queue, item);
        pthread_cond_signal(&r->cond);
    }
    pthread_mutex_unlock(&r->lock);
    if (!kept)
        item_free(item);
}

/* All that a new engine is told before its first turn ends is in the snapshot that is taken then. */
static void drop_until_snapshot(struct recorder *r)
{
    pthread_mutex_lock(&r->lock);
    r->dropping = true;
    pthread_mutex_unlock(&r->lock);
    atomic_store(&r->wanted, true);
}

static bool is_dropping(struct recorder *r)
{
    pthread_mutex_lock(&r->lock);
    bool dropping = r->dropping;
    pthread_mutex_unlock(&r->lock);
    return dropping;
}

/* With a newline in place of its NUL; free. */
static char *line_of(const json_t *input, size_t *size)
{
    char *text = json_dumps(input, JSON_COMPACT);
    *size = strlen(text) + 1;
    text[*size - 1] = '\n';
    return text;
}

void recorder_told(void *data, const json_t *input)
{
    if (strcmp(json_string_value(json_object_get(input, "in")), "config") == 0)
        drop_until_snapshot(data);
    if (is_dropping(data))
        return;
    struct item *item = g_new0(struct item, 1);
    item->text = line_of(input, &item->size);
    push(data, item);
}

void recorder_done(struct recorder *r, const struct effect *effect)
{
    if (is_dropping(r))
        return;
    struct item *item = g_new0(struct item, 1);
    if (effect->kind == EFFECT_PUBLISH) {
        item->published = resolved_ref(effect->resolved); /* its records may be many */
    } else {
        g_autoptr(GString) lines = g_string_new(NULL);
        effect_lines(effect, lines);
        item->text = strdup(lines->str);
        item->size = lines->len;
    }
    push(r, item);
}

void recorder_turn(struct recorder *r, const struct engine *engine)
{
    if (!atomic_load_explicit(&r->wanted, memory_order_relaxed) || engine_world(engine) == NULL)
        return;
    struct item *item = g_new0(struct item, 1);
    atomic_store(&r->wanted, false);
    item->snapshot = engine_snapshot_new(engine);
    push(r, item);
}

bool recorder_flush(struct recorder *r, int64_t wait_us)
{
    struct item *item = g_new0(struct item, 1);
    struct timespec until = loop_deadline(wait_us);
    pthread_mutex_lock(&r->lock);
    uint64_t number = ++r->asked;
    item->flush = number;
    item->asked_us = wall_now_us();
    pthread_mutex_unlock(&r->lock);
    push(r, item);
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    while (r->flushed < number && rc == 0)
        rc = pthread_cond_timedwait(&r->flushed_cond, &r->lock, &until);
    bool flushed = r->flushed >= number;
    pthread_mutex_unlock(&r->lock);
    return flushed;
}

char *recorder_trouble(struct recorder *r)
{
    pthread_mutex_lock(&r->lock);
    char *trouble = g_strdup(r->trouble);
    pthread_mutex_unlock(&r->lock);
    return trouble;
}

/* ---- the folder ---- */

bool recorder_is_name(const char *name)
{
    size_t number = strspn(name, "0123456789");
    if (number < 6 || name[number] != '-')
        return false;
    size_t began = strspn(name + number + 1, "0123456789");
    return began > 0 && began < 19 && strcmp(name + number + 1 + began, ".gz") == 0;
}

static int64_t began_us_of(const char *name)
{
    return g_ascii_strtoll(strchr(name, '-') + 1, NULL, 10);
}

static gint by_number(gconstpointer a, gconstpointer b)
{
    guint64 x = g_ascii_strtoull(*(char *const *)a, NULL, 10), y = g_ascii_strtoull(*(char *const *)b, NULL, 10);
    return x < y ? -1 : x > y;
}

/* Names, oldest first. */
static GPtrArray *names_of(const char *folder)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
        if (recorder_is_name(name))
            g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, by_number);
    return names;
}

static bool look_at(const char *folder, const char *name, struct stat *st)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    return stat(path, st) == 0;
}

static int64_t written_us(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * G_USEC_PER_SEC + st->st_mtim.tv_nsec / 1000;
}

json_t *recorder_list(const char *folder)
{
    g_autoptr(GPtrArray) names = names_of(folder);
    json_t *list = json_array();
    struct stat st;
    for (guint i = 0; i < names->len; i++)
        if (look_at(folder, names->pdata[i], &st))
            json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I}", "name", names->pdata[i], "began_us",
                                                  (json_int_t)began_us_of(names->pdata[i]), "ended_us",
                                                  (json_int_t)written_us(&st), "size", (json_int_t)st.st_size));
    return list;
}

/* Makes room for another file. */
static void prune(const struct recorder *r)
{
    g_autoptr(GPtrArray) names = names_of(r->folder);
    uint64_t size = r->file_max;
    int64_t now_us = wall_now_us();
    struct stat st;
    for (guint i = names->len; i > 0; i--) { /* newest first */
        const char *name = names->pdata[i - 1];
        if (!look_at(r->folder, name, &st))
            continue;
        size += (uint64_t)st.st_size;
        bool young = names->len - i < FILES_MIN;
        if (young || (size <= r->size_max && now_us - written_us(&st) <= r->age_max_us))
            continue;
        g_autofree char *path = g_build_filename(r->folder, name, NULL);
        unlink(path);
    }
}

static uint64_t next_number(const struct recorder *r)
{
    g_autoptr(GPtrArray) names = names_of(r->folder);
    return names->len == 0 ? 1 : g_ascii_strtoull(names->pdata[names->len - 1], NULL, 10) + 1;
}

/* ---- the thread ---- */

/* Takes trouble; NULL: there is none any more. Says it once. */
static void set_trouble(struct recorder *r, char *trouble)
{
    pthread_mutex_lock(&r->lock);
    bool news = (trouble == NULL) != (r->trouble == NULL);
    g_free(r->trouble);
    r->trouble = trouble;
    pthread_mutex_unlock(&r->lock);
    if (news && trouble != NULL)
        log_warning("the black box does not record; it is tried again, all else goes on", "error=\"%s\"", trouble);
    else if (news)
        log_info("the black box records again", "folder=%s", r->folder);
}

/* True: there was a file, and all of it was taken. */
static bool close_file(struct recorder *r)
{
    bool whole = r->file != NULL && gzclose(r->file) == Z_OK;
    r->file = NULL;
    return whole;
}

/* The file ends here; what is missing begins. Takes trouble. */
static void fail(struct recorder *r, char *trouble)
{
    pthread_mutex_lock(&r->lock);
    r->dropping = true;
    pthread_mutex_unlock(&r->lock);
    close_file(r);
    set_trouble(r, trouble);
    r->retry_us = loop_now_us() + RETRY_US;
}

static char *io_text(const struct recorder *r, const char *what)
{
    return g_strdup_printf("%s %s: %s", what, r->folder, g_strerror(errno));
}

/* NULL: it has room enough and can be written. */
static char *disk_trouble(const struct recorder *r)
{
    g_autoptr(GError) error = NULL;
    struct disk disk;
    if (!file_mkdir(r->folder, 0700, &error) || !disk_look(r->folder, &disk, &error))
        return g_strdup(error->message);
    if (access(r->folder, W_OK) != 0)
        return io_text(r, "the folder cannot be written:");
    if (disk.free >= ROOM_MIN)
        return NULL;
    return g_strdup_printf("the disk of %s is too full: found %.1f MiB free, expected %llu at least", r->folder,
                           (double)disk.free / (1 << 20), ROOM_MIN >> 20);
}

/* The same, when what may go has gone. */
static char *room_trouble(const struct recorder *r)
{
    prune(r);
    return disk_trouble(r);
}

static void measure(struct recorder *r)
{
    r->unmeasured = 0;
    if ((uint64_t)gzoffset(r->file) > r->file_max || loop_now_us() - r->began_us > FILE_US)
        atomic_store(&r->wanted, true);
}

static void write_text(struct recorder *r, const char *text, size_t size)
{
    if (r->file == NULL || size == 0)
        return;
    errno = 0;
    if (gzwrite(r->file, text, (unsigned)size) != (int)size) {
        fail(r, io_text(r, "cannot write into"));
        return;
    }
    r->unflushed = true;
    r->unmeasured += size;
    if (r->unmeasured > r->file_max)
        measure(r);
}

static void write_input(void *data, const json_t *input)
{
    struct recorder *r = data;
    size_t size;
    char *text = line_of(input, &size);
    write_text(r, text, size);
    free(text);
}

static void write_published(struct recorder *r, struct resolved *published)
{
    struct effect effect = {.kind = EFFECT_PUBLISH, .resolved = published};
    g_autoptr(GString) text = g_string_new(NULL);
    if (r->file == NULL)
        return;
    effect_lines(&effect, text);
    write_text(r, text->str, text->len);
}

static bool open_file(struct recorder *r)
{
    r->began_us = wall_now_us();
    g_autofree char *name = g_strdup_printf("%06" G_GUINT64_FORMAT "-%" G_GINT64_FORMAT ".gz", r->number, r->began_us);
    g_autofree char *path = g_build_filename(r->folder, name, NULL);
    r->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (r->fd < 0)
        return false;
    r->file = gzdopen(r->fd, "wb3"); /* tried: 6 takes twice the time for a tenth less */
    r->began_us = r->flushed_us = loop_now_us();
    r->number++;
    return true;
}

static void flush(struct recorder *r)
{
    r->flushed_us = loop_now_us();
    if (r->file == NULL || !r->unflushed)
        return;
    r->unflushed = false;
    errno = 0;
    if (gzflush(r->file, Z_SYNC_FLUSH) != Z_OK) {
        fail(r, io_text(r, "cannot write into"));
        return;
    }
    char *trouble = disk_trouble(r);
    if (trouble != NULL)
        fail(r, trouble);
    else
        measure(r);
}

static void begin_file(struct recorder *r, const struct item *item)
{
    bool continues = close_file(r) && item->continues;
    char *trouble = room_trouble(r);
    atomic_store(&r->wanted, false); /* what was asked for meanwhile is this */
    if (trouble == NULL) {
        if (r->number == 0)
            r->number = next_number(r);
        if (!open_file(r))
            trouble = io_text(r, "cannot make a file in");
    }
    if (trouble != NULL) {
        fail(r, trouble);
        return;
    }
    g_autofree char *head = g_strdup_printf("# {\"recording\":1,\"continues\":%s}\n", continues ? "true" : "false");
    write_text(r, head, strlen(head));
    engine_snapshot_emit(item->snapshot, write_input, r);
    flush(r);
    if (r->file != NULL)
        set_trouble(r, NULL);
}

/* The file holds all until then, though nothing may have been written for long; and the kernel dates a write by its
 * last tick. */
static void date(struct recorder *r, int64_t wall_us)
{
    const struct timespec times[] = {{.tv_nsec = UTIME_OMIT},
                                     {.tv_sec = wall_us / G_USEC_PER_SEC, .tv_nsec = wall_us % G_USEC_PER_SEC * 1000}};
    if (r->file != NULL && !is_dropping(r))
        futimens(r->fd, times); /* a refusal leaves it a little older */
}

static void flush_for(struct recorder *r, uint64_t number, int64_t asked_us)
{
    flush(r);
    date(r, asked_us);
    pthread_mutex_lock(&r->lock);
    r->flushed = MAX(r->flushed, number);
    pthread_cond_broadcast(&r->flushed_cond);
    pthread_mutex_unlock(&r->lock);
}

static void write_item(struct recorder *r, const struct item *item)
{
    if (item->snapshot != NULL)
        begin_file(r, item);
    else if (item->published != NULL)
        write_published(r, item->published);
    else if (item->flush != 0)
        flush_for(r, item->flush, item->asked_us);
    else
        write_text(r, item->text, item->size);
}

/* The next item, or NULL after at most FLUSH_US; *ending: there will be none. */
static struct item *next_item(struct recorder *r, bool *ending)
{
    struct timespec until = loop_deadline(FLUSH_US);
    pthread_mutex_lock(&r->lock);
    int rc = 0;
    while (g_queue_is_empty(&r->queue) && !r->ending && rc == 0)
        rc = pthread_cond_timedwait(&r->cond, &r->lock, &until);
    struct item *item = g_queue_pop_head(&r->queue);
    r->waiting -= item != NULL ? item->size : 0;
    *ending = item == NULL && r->ending;
    pthread_mutex_unlock(&r->lock);
    return item;
}

/* Something is missing: asks for a snapshot, but not before there is room for it, for it costs the engine time. */
static void retry(struct recorder *r)
{
    if (!is_dropping(r) || loop_now_us() < r->retry_us)
        return;
    char *trouble = room_trouble(r);
    r->retry_us = loop_now_us() + RETRY_US;
    if (trouble != NULL)
        set_trouble(r, trouble);
    else
        atomic_store(&r->wanted, true);
}

static void *run(void *data)
{
    struct recorder *r = data;
    bool ending = false;
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* of this thread; a refusal changes nothing */
    while (!ending) {
        struct item *item = next_item(r, &ending);
        if (item != NULL) {
            write_item(r, item);
            item_free(item);
        } else {
            retry(r);
        }
        if (loop_now_us() - r->flushed_us >= FLUSH_US)
            flush(r);
    }
    close_file(r);
    return NULL;
}

/* ---- life ---- */

struct recorder *recorder_new(const struct recorder_config *config)
{
    struct recorder *r = g_new0(struct recorder, 1);
    r->folder = g_strdup(config->folder);
    r->size_max = config->size_max;
    r->file_max = config->file_max > 0 ? config->file_max : MIN(config->size_max / 16, FILE_MAX);
    r->age_max_us = config->age_max_us;
    r->dropping = true; /* until the first snapshot */
    atomic_init(&r->wanted, true);
    loop_cond_init(&r->cond);
    loop_cond_init(&r->flushed_cond);
    pthread_mutex_init(&r->lock, NULL);
    g_queue_init(&r->queue);
    r->started = pthread_create(&r->thread, NULL, run, r) == 0;
    if (!r->started)
        set_trouble(r, g_strdup("its thread cannot be started"));
    return r;
}

void recorder_free(struct recorder *r)
{
    if (r == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    r->ending = true;
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->lock);
    if (r->started)
        pthread_join(r->thread, NULL);
    struct item *item;
    while ((item = g_queue_pop_head(&r->queue)) != NULL)
        item_free(item);
    pthread_cond_destroy(&r->cond);
    pthread_cond_destroy(&r->flushed_cond);
    pthread_mutex_destroy(&r->lock);
    g_free(r->trouble);
    g_free(r->folder);
    g_free(r);
}
