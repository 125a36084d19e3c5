#include "gateway/bird.h"

#include "core/error.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum which { NORMAL, LAST, N_PROTOCOLS }; /* of an address */
#define REPLIES (1 + 2 * N_PROTOCOLS)     /* BIRD's greeting, what it says to the orders, the states */
#define HEARD_MAX (64u << 10)
#define AGAIN_US 10000 /* between two looks at a state that passes */

struct order {
    char *protocol[N_PROTOCOLS];
    bool announce;
    bird_fn fn;
    void *data;
};

struct bird {
    struct loop *loop;
    struct loop_timer *timer; /* of the order that is carried out: it begins, is looked at again, or takes too long */
    struct sockaddr_un at;
    int64_t timeout_us;
    GQueue orders;    /* struct order; the first is carried out */
    int fd;           /* -1: it is not yet */
    int64_t until_us; /* its deadline */
    GString *heard;
    unsigned known; /* replies that are read and done with */
};

static void order_free(void *data)
{
    struct order *order = data;
    for (enum which i = 0; i < N_PROTOCOLS; i++)
        g_free(order->protocol[i]);
    g_free(order);
}

static void hang_up(struct bird *b)
{
    loop_timer_disarm(b->timer);
    if (b->fd < 0)
        return;
    loop_unwatch(b->loop, b->fd);
    close(b->fd);
    b->fd = -1;
}

/* The order is over; the next one begins when this turn of the loop is, too. Takes the error. */
static void end(struct bird *b, GError *error)
{
    hang_up(b);
    struct order *order = g_queue_pop_head(&b->orders);
    if (!g_queue_is_empty(&b->orders))
        loop_timer_arm(b->timer, loop_now_us());
    order->fn(order->data, error);
    g_clear_error(&error);
    order_free(order);
}

/* ---- what BIRD says ---- */

/* A line's code and text; codes of lines that go on are those before. False: it is none of BIRD's. */
static bool read_line(const char *line, unsigned *code, bool *last, const char **text)
{
    *last = false;
    if (*line == ' ' || *line == '+') { /* +: of a log, between others */
        *text = line + 1;
        return true;
    }
    for (unsigned i = 0; i < 4; i++)
        if (!g_ascii_isdigit(line[i]))
            return false;
    if (line[4] != ' ' && line[4] != '-')
        return false;
    *code = (unsigned)g_ascii_strtoull(line, NULL, 10);
    *last = line[4] == ' ';
    *text = line + 5;
    return true;
}

struct states {
    char of[N_PROTOCOLS][32]; /* "": nothing was said of it */
};

/* Reads a row of `show protocols`: name, kind, table, state. The first one of a protocol counts. */
static void read_state(const char *row, const struct order *order, struct states *states)
{
    char name[128], state[32];
    if (sscanf(row, "%127s %*s %*s %31s", name, state) != 2)
        return;
    for (enum which i = 0; i < N_PROTOCOLS; i++)
        if (strcmp(name, order->protocol[i]) == 0 && states->of[i][0] == '\0')
            g_strlcpy(states->of[i], state, sizeof states->of[i]);
}

/* One whole reply, from *at on; NULL when it is not whole yet. error is set when BIRD refuses. */
static const char *read_reply(const char *at, const struct order *order, struct states *states, GError **error)
{
    unsigned code = 0;
    bool last = false;
    for (const char *end_of_line; !last; at = end_of_line + 1) {
        const char *text;
        end_of_line = strchr(at, '\n');
        if (end_of_line == NULL)
            return NULL;
        g_autofree char *line = g_strndup(at, (gsize)(end_of_line - at));
        if (!read_line(line, &code, &last, &text)) {
            g_set_error(error, SB_ERROR, SB_ERROR_IO, "BIRD: '%.60s': expected a line with a code", line);
            return end_of_line + 1;
        }
        if (code >= 8000 && *error == NULL)
            g_set_error(error, SB_ERROR, SB_ERROR_IO, "BIRD: %04u %s", code, text);
        read_state(text, order, states);
    }
    return at;
}

/* A state that passes: BIRD starts what was enabled, and takes the routes of what was disabled out of its tables. */
static bool passes(const struct states *states, bool announce)
{
    bool passing = false;
    for (enum which i = 0; i < N_PROTOCOLS; i++)
        passing = passing || strcmp(states->of[i], announce ? "start" : "flush") == 0;
    return passing;
}

static void check_states(const struct order *order, const struct states *states, GError **error)
{
    const char *expected = order->announce ? "up" : "down";
    for (enum which i = 0; i < N_PROTOCOLS && *error == NULL; i++)
        if (strcmp(states->of[i], expected) != 0)
            g_set_error(error, SB_ERROR, SB_ERROR_IO, "BIRD: %s is %s, expected %s", order->protocol[i],
                        states->of[i][0] != '\0' ? states->of[i] : "not there", expected);
}

/* True: the order is over. */
static bool read_replies(struct bird *b, const struct order *order, GError **error)
{
    struct states states = {0};
    const char *at = b->heard->str;
    for (unsigned known = b->known; known < REPLIES && *error == NULL; known++) {
        at = read_reply(at, order, &states, error);
        if (at == NULL)
            return false; /* more is to come; then it is read from the beginning */
    }
    if (*error == NULL && passes(&states, order->announce)) {
        b->known = REPLIES - N_PROTOCOLS;
        g_string_truncate(b->heard, 0);
        int64_t again_us = loop_now_us() + AGAIN_US;
        loop_timer_arm(b->timer, MIN(again_us, b->until_us));
        return false;
    }
    if (*error == NULL)
        check_states(order, &states, error);
    return true;
}

static void on_heard(void *data, int fd, uint32_t events)
{
    struct bird *b = data;
    GError *error = NULL;
    char part[4096];
    ssize_t n = recv(fd, part, sizeof part, 0);
    (void)events;
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        g_set_error(&error, SB_ERROR, SB_ERROR_UNREACHABLE, "%s: %s", b->at.sun_path,
                    n < 0 ? g_strerror(errno) : "ended before it had answered");
    else if (b->heard->len + (gsize)n > HEARD_MAX)
        g_set_error(&error, SB_ERROR, SB_ERROR_IO, "BIRD: more than %u bytes without an end", HEARD_MAX);
    else
        g_string_append_len(b->heard, part, n);
    if (error != NULL || read_replies(b, g_queue_peek_head(&b->orders), &error))
        end(b, error);
}

/* ---- what is said ---- */

static bool say(struct bird *b, const char *words, GError **error)
{
    if (send(b->fd, words, strlen(words), MSG_NOSIGNAL) == (ssize_t)strlen(words))
        return true;
    g_set_error(error, SB_ERROR, SB_ERROR_UNREACHABLE, "%s: %s", b->at.sun_path, g_strerror(errno));
    return false;
}

static bool dial(struct bird *b, GError **error)
{
    b->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (b->fd < 0 || connect(b->fd, (struct sockaddr *)&b->at, sizeof b->at) < 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_UNREACHABLE, "%s: %s", b->at.sun_path, g_strerror(errno));
        return false;
    }
    return loop_watch(b->loop, b->fd, EPOLLIN, on_heard, b, error);
}

static char *look_words(const struct order *order)
{
    return g_strdup_printf("show protocols %s\nshow protocols %s\n", order->protocol[NORMAL], order->protocol[LAST]);
}

/* The order, and how it stands. The normal one is the first to come and the last to go: what else is heard of the
 * address in between is the same. */
static bool begin(struct bird *b, const struct order *order, GError **error)
{
    g_autofree char *look = look_words(order);
    const char *verb = order->announce ? "enable" : "disable";
    enum which first = order->announce ? NORMAL : LAST;
    g_autofree char *words =
        g_strdup_printf("%s %s\n%s %s\n%s", verb, order->protocol[first], verb, order->protocol[LAST - first], look);
    b->known = 0;
    b->until_us = loop_now_us() + b->timeout_us;
    g_string_truncate(b->heard, 0);
    return dial(b, error) && say(b, words, error);
}

static bool look_again(struct bird *b, const struct order *order, GError **error)
{
    g_autofree char *words = look_words(order);
    if (loop_now_us() < b->until_us)
        return say(b, words, error);
    g_set_error(error, SB_ERROR, SB_ERROR_TIMEOUT, "%s: no answer within %lld ms", b->at.sun_path,
                (long long)(b->timeout_us / 1000));
    return false;
}

static void on_timer(void *data)
{
    struct bird *b = data;
    const struct order *order = g_queue_peek_head(&b->orders);
    GError *error = NULL;
    if (b->fd < 0 ? begin(b, order, &error) : look_again(b, order, &error))
        loop_timer_arm(b->timer, b->until_us);
    else
        end(b, error);
}

/* ---- its callers ---- */

struct bird *bird_new(struct loop *loop, const char *path, int64_t timeout_us)
{
    struct bird *b = g_new0(struct bird, 1);
    b->loop = loop;
    b->timer = loop_timer_new(loop, on_timer, b);
    b->at.sun_family = AF_UNIX;
    g_strlcpy(b->at.sun_path, path, sizeof b->at.sun_path); /* one that is too long is not there */
    b->timeout_us = timeout_us;
    b->fd = -1;
    b->heard = g_string_new(NULL);
    g_queue_init(&b->orders);
    return b;
}

void bird_free(struct bird *b)
{
    if (b == NULL)
        return;
    hang_up(b);
    loop_timer_free(b->timer);
    g_queue_clear_full(&b->orders, order_free);
    g_string_free(b->heard, TRUE);
    g_free(b);
}

void bird_order(struct bird *b, const char *protocol, bool announce, bird_fn fn, void *data)
{
    assert(bird_name_good(protocol));
    struct order *order = g_new(struct order, 1);
    *order = (struct order){.announce = announce, .fn = fn, .data = data};
    order->protocol[NORMAL] = g_strdup(protocol);
    order->protocol[LAST] = g_strconcat(BIRD_LAST, protocol, NULL);
    g_queue_push_tail(&b->orders, order);
    if (g_queue_get_length(&b->orders) == 1)
        loop_timer_arm(b->timer, loop_now_us());
}

unsigned bird_pending(const struct bird *b)
{
    return g_queue_get_length((GQueue *)&b->orders);
}
