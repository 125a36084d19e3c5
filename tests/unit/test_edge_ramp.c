/* Two edges, each a real HAProxy, while a split moves from one room to the other a slot at a time: both agree with
 * schema/slot.h about each of 20,000 users, whose answers change room once, at the same step, and never go back. */
#include "schema/slot.h"
#include "schema/split.h"
#include "tests/unit/edgestage.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define USERS 20000
#define EDGES 2

/* A user's connection to an edge, kept alive. */
struct client {
    int fd;
    char text[16384]; /* the last answer: head, and the head that the origin saw as its body */
    char *body;
};
static GArray *users_of[SLOT_COUNT]; /* unsigned: users by slot, as the schema has it */
static bool in_b[EDGES][USERS];
static unsigned moves[EDGES][USERS];

static void client_open(struct client *c, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ck_assert_int_eq(connect(c->fd, (struct sockaddr *)&to, sizeof to), 0);
}

/* One answer, by its Content-Length. */
static void client_read(struct client *c)
{
    size_t len = 0, whole = sizeof c->text;
    c->body = NULL;
    while (c->body == NULL || len < whole) {
        ssize_t n = recv(c->fd, c->text + len, sizeof c->text - 1 - len, 0);
        ck_assert_msg(n > 0, "the edge ended the connection after %zu bytes", len);
        len += (size_t)n;
        c->text[len] = '\0';
        if (c->body != NULL || (c->body = strstr(c->text, "\r\n\r\n")) == NULL)
            continue;
        const char *length = strcasestr(c->text, "\r\ncontent-length: ");
        ck_assert(length != NULL && length < c->body);
        c->body += 4;
        whole = (size_t)(c->body - c->text) + g_ascii_strtoull(length + 18, NULL, 10);
    }
    ck_assert_uint_eq(len, whole);
    c->body[-2] = '\0';
}

/* Is the user answered by room-b? The slot that the edge found must be the schema's. */
static bool asked_in_b(struct client *c, unsigned user, unsigned slot)
{
    char request[128], header[32];
    int len = g_snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: play.example.test\r\nCookie: uid=%u\r\n\r\n",
                         user);
    ck_assert_int_eq(send(c->fd, request, (size_t)len, MSG_NOSIGNAL), len);
    client_read(c);
    g_snprintf(header, sizeof header, "x-sb-slot: %u\r\n", slot);
    ck_assert_msg(strcasestr(c->body, header) != NULL, "user %u: not %s: %.200s", user, header, c->body);
    bool b = strcasestr(c->text, "x-sb-room: room-b\r\n") != NULL;
    ck_assert_msg(b || strcasestr(c->text, "x-sb-room: room-a\r\n") != NULL, "%.200s", c->text);
    return b;
}

static void ask_slot(struct client clients[EDGES], unsigned slot, bool expect_b)
{
    for (guint i = 0; i < users_of[slot]->len; i++) {
        unsigned user = g_array_index(users_of[slot], unsigned, i);
        for (unsigned e = 0; e < EDGES; e++) {
            bool b = asked_in_b(&clients[e], user, slot);
            ck_assert_msg(b == expect_b, "user %u of slot %u is in room-%c at edge %u", user, slot, b ? 'b' : 'a', e);
            moves[e][user] += b != in_b[e][user];
            in_b[e][user] = b;
        }
    }
}

/* Numbers of splits change with their contents, as resolve numbers them: rows are added, used, and then removed. */
static void table_of(const struct split *split, unsigned number, char **splits, char **policies)
{
    GString *text = g_string_new("3000:3999 room-a\n");
    for (unsigned lo = 0, hi; lo < SLOT_COUNT; lo = hi + 1) {
        for (hi = lo; hi + 1 < SLOT_COUNT && split->room_of[hi + 1] == split->room_of[lo];)
            hi++;
        g_string_append_printf(text, "%u%03u:%u%03u %s\n", number, lo, number, hi, split->rooms[split->room_of[lo]]);
    }
    *splits = g_string_free(text, FALSE);
    *policies = g_strdup_printf("core-line.playback %u|multi|on|relay\ncore.playback %u|multi|on|local\n"
                                "creator.creator 3|single|off|local\ncreator.upload 3|single|off|local\n"
                                "manual.home %u|multi|off|local\n",
                                number, number, number);
}

static void apply(struct stage stages[EDGES], const struct split *split, unsigned step)
{
    g_autofree char *splits = NULL, *policies = NULL;
    table_of(split, 5 + step % 3, &splits, &policies);
    for (unsigned e = 0; e < EDGES; e++)
        stage_must_apply(&stages[e], 7 + step, &(struct edge_table_text){.splits = splits, .policies = policies});
}

/* The slot that one step moves. */
static unsigned slot_moved(const struct split *from, const struct split *to)
{
    ck_assert_uint_eq(split_distance(from, to), 1);
    unsigned slot = 0;
    while (strcmp(from->rooms[from->room_of[slot]], to->rooms[to->room_of[slot]]) == 0)
        slot++;
    return slot;
}

START_TEST(two_edges_agree_on_every_user_of_a_ramp)
{
    static const char *const rooms[] = {"room-a", "room-b"};
    static struct client clients[EDGES];
    static struct stage stages[EDGES];
    char key[SLOT_KEY_SIZE], id[16];
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
        users_of[slot] = g_array_new(FALSE, FALSE, sizeof(unsigned));
    for (unsigned user = 0; user < USERS; user++) {
        g_snprintf(id, sizeof id, "%u", user);
        g_array_append_val(users_of[slot_of_key(slot_key(key, id, NULL, NULL))], user);
    }
    struct split at, next;
    ck_assert(split_parse("0-999=room-a", &at, NULL));
    for (unsigned e = 0; e < EDGES; e++)
        stage_begin(&stages[e]);
    apply(stages, &at, 0);
    for (unsigned e = 0; e < EDGES; e++)
        client_open(&clients[e], stages[e].port);
    for (unsigned step = 1; step <= SLOT_COUNT; step++) {
        split_move(&at, rooms, (const unsigned[]){SLOT_COUNT - step, step}, 2, &next);
        unsigned slot = slot_moved(&at, &next);
        ask_slot(clients, slot, false);
        apply(stages, &next, step);
        ask_slot(clients, slot, true);
        split_clear(&at);
        at = next;
    }
    split_clear(&at);
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
        ask_slot(clients, slot, true);
    for (unsigned user = 0; user < USERS; user++)
        for (unsigned e = 0; e < EDGES; e++)
            ck_assert_msg(moves[e][user] == 1, "user %u moves %u times at edge %u", user, moves[e][user], e);
    for (unsigned e = 0; e < EDGES; e++) {
        close(clients[e].fd);
        ck_assert_msg(stages[e].restarts == 0, "%s", stages[e].restarted);
        stage_end(&stages[e]);
    }
    for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
        g_array_unref(users_of[slot]);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, two_edges_agree_on_every_user_of_a_ramp);
}

int main(void)
{
    return unit_run("edge_ramp", add);
}
