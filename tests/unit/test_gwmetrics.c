/* gwmetrics.h: what is shown becomes metrics; scrape.h: who asks how. */
#include "gateway/gwmetrics.h"

#include "core/error.h"
#include "gateway/scrape.h"
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char status_text[] =
    "{'state': 'applied', 'applied': {'epoch': 131073, 'generation': 42}, 'gateway': {'forwarder': true, 'table': 77,"
    " 'vips': [{'name': 'vip_a', 'announced': true, 'why': 'nothing', 'for_us': 1, 'bird': null},"
    "  {'name': 'vip_b', 'announced': false, 'why': 'too few of its backends are up', 'for_us': 1, 'bird': 'BIRD: "
    "9001'}],"
    " 'backends': [{'service': 'a', 'backend': 'i1', 'state': 'up', 'weight': 100, 'good': 5, 'bad': 1, 'why': ''},"
    "  {'service': 'b', 'backend': 'say `hello`\\n', 'state': 'down', 'weight': 0, 'good': 0, 'bad': 7, 'why': 'x'}],"
    " 'probes': [{'service': 'a', 'backend': 'itself', 'state': 'down', 'weight': 0, 'good': 1, 'bad': 9, 'why': 'x'}],"
    " 'shown': ['table in-force generation 77',"
    "  'frames received 900 forwarded 700 made 30 unmade 1 unsent 2 no-memory 3 missed 4 buffers 8000',"
    "  'stalls 4 stalled_us 1500000',"
    "  'drop short 3', 'drop too-big 5',"
    "  'sessions created 10 ended 4 resets 2 cookies 1 handed 6 unkept 8', 'sessions syn-sent 1', 'sessions "
    "established 5',"
    "  'adjacency 0 port 0 known 1 tx 11 tx_bytes 12 rx 13 rx_bytes 14',"
    "  'adjacency 3 port 2 known 1 bfd up detection_us 30000 loss 5 tx 21 tx_bytes 22 rx 23 rx_bytes "
    "18446744073709551615',"
    "  'adjacency 4 port 3 known 0 bfd init detection_us 30000 tx 0 tx_bytes 0 rx 0 rx_bytes 0',"
    "  'group 1 carrying 0x3 stranded 0 waiting 2 moves 9', 'nonsense', '', 'drop']}}";

static const char *const expected[] = {
    "signalbox_gateway_generation 42",
    "signalbox_gateway_state{state=\"applied\"} 1",
    "signalbox_gateway_forwarder_up 1",
    "signalbox_gateway_table 77",
    "signalbox_gateway_announced{vip=\"vip_a\"} 1",
    "signalbox_gateway_announced{vip=\"vip_b\"} 0",
    "signalbox_gateway_withheld{vip=\"vip_b\",cause=\"too few of its backends are up\"} 1",
    "signalbox_gateway_bird_failing{vip=\"vip_a\"} 0",
    "signalbox_gateway_bird_failing{vip=\"vip_b\"} 1",
    "signalbox_gateway_backend_up{service=\"a\",backend=\"i1\"} 1",
    "signalbox_gateway_backend_up{service=\"b\",backend=\"say \\\"hello\\\"\\n\"} 0",
    "signalbox_gateway_backend_weight{service=\"a\",backend=\"i1\"} 100",
    "signalbox_gateway_backend_weight{service=\"b\",backend=\"say \\\"hello\\\"\\n\"} 0",
    "signalbox_gateway_checks_total{service=\"a\",backend=\"i1\",outcome=\"good\"} 5",
    "signalbox_gateway_checks_total{service=\"a\",backend=\"i1\",outcome=\"bad\"} 1",
    "signalbox_gateway_checks_total{service=\"b\",backend=\"say \\\"hello\\\"\\n\",outcome=\"good\"} 0",
    "signalbox_gateway_checks_total{service=\"b\",backend=\"say \\\"hello\\\"\\n\",outcome=\"bad\"} 7",
    "signalbox_gateway_probe_up{service=\"a\"} 0",
    "signalbox_forwarder_frames_received_total 900",
    "signalbox_forwarder_frames_forwarded_total 700",
    "signalbox_forwarder_frames_made_total 30",
    "signalbox_forwarder_frames_unmade_total 1",
    "signalbox_forwarder_frames_unsent_total 2",
    "signalbox_forwarder_frames_no_memory_total 3",
    "signalbox_forwarder_frames_missed_total 4",
    "signalbox_forwarder_buffers 8000",
    "signalbox_forwarder_stalls_total 4",
    "signalbox_forwarder_stalled_seconds_total 1.500000",
    "signalbox_forwarder_dropped_total{reason=\"short\"} 3",
    "signalbox_forwarder_dropped_total{reason=\"too-big\"} 5",
    "signalbox_forwarder_sessions_created_total 10",
    "signalbox_forwarder_sessions_ended_total 4",
    "signalbox_forwarder_resets_total 2",
    "signalbox_forwarder_cookies_total 1",
    "signalbox_forwarder_handed_total 6",
    "signalbox_forwarder_unkept_total 8",
    "signalbox_forwarder_sessions{state=\"syn-sent\"} 1",
    "signalbox_forwarder_sessions{state=\"established\"} 5",
    "signalbox_forwarder_neighbor_known{neighbor=\"0\"} 1",
    "signalbox_forwarder_neighbor_known{neighbor=\"3\"} 1",
    "signalbox_forwarder_neighbor_known{neighbor=\"4\"} 0",
    "signalbox_forwarder_neighbor_up{neighbor=\"3\"} 1",
    "signalbox_forwarder_neighbor_up{neighbor=\"4\"} 0",
    "signalbox_forwarder_neighbor_detection_seconds{neighbor=\"3\"} 0.030000",
    "signalbox_forwarder_neighbor_detection_seconds{neighbor=\"4\"} 0.030000",
    "signalbox_forwarder_neighbor_frames_sent_total{neighbor=\"0\"} 11",
    "signalbox_forwarder_neighbor_frames_sent_total{neighbor=\"3\"} 21",
    "signalbox_forwarder_neighbor_frames_sent_total{neighbor=\"4\"} 0",
    "signalbox_forwarder_neighbor_sent_bytes_total{neighbor=\"0\"} 12",
    "signalbox_forwarder_neighbor_sent_bytes_total{neighbor=\"3\"} 22",
    "signalbox_forwarder_neighbor_sent_bytes_total{neighbor=\"4\"} 0",
    "signalbox_forwarder_neighbor_frames_received_total{neighbor=\"0\"} 13",
    "signalbox_forwarder_neighbor_frames_received_total{neighbor=\"3\"} 23",
    "signalbox_forwarder_neighbor_frames_received_total{neighbor=\"4\"} 0",
    "signalbox_forwarder_neighbor_received_bytes_total{neighbor=\"0\"} 14",
    "signalbox_forwarder_neighbor_received_bytes_total{neighbor=\"3\"} 18446744073709551615",
    "signalbox_forwarder_neighbor_received_bytes_total{neighbor=\"4\"} 0",
    "signalbox_forwarder_lines_stranded{group=\"1\"} 0",
    "signalbox_forwarder_lines_waiting{group=\"1\"} 2",
    "signalbox_forwarder_line_moves_total{group=\"1\"} 9",
    NULL,
};

static json_t *json_of(const char *text)
{
    GString *whole = g_string_new(text);
    json_error_t error;
    g_string_replace(whole, "'", "\"", 0);
    g_string_replace(whole, "`", "\\\"", 0);
    json_t *json = json_loads(whole->str, 0, &error);
    ck_assert_msg(json != NULL, "%s at %d", error.text, error.position);
    g_string_free(whole, TRUE);
    return json;
}

START_TEST(all_that_is_known)
{
    json_t *status = json_of(status_text);
    g_autofree char *text = gwmetrics_text(status);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    unsigned n = 0;
    for (char **line = lines; *line != NULL; line++)
        if ((*line)[0] != '#' && (*line)[0] != '\0')
            ck_assert_str_eq(*line, expected[n] != NULL ? expected[n++] : "no line more");
    ck_assert_ptr_null(expected[n]);
    json_decref(status);
}
END_TEST

/* Each metric is described once, before its values; names that only grow say so. */
START_TEST(described_as_they_should_be)
{
    json_t *status = json_of(status_text);
    g_autofree char *text = gwmetrics_text(status);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *name = g_strdup("");
    for (char **line = lines; *line != NULL; line++) {
        char *words[2] = {NULL, NULL};
        ck_assert(!g_str_has_prefix(*line, "# HELP") || sscanf(*line, "# HELP %ms %ms", &words[0], &words[1]) == 2);
        if (words[0] != NULL) {
            g_free(name);
            name = g_strdup(words[0]);
            ck_assert_msg(g_hash_table_add(seen, g_strdup(name)), "%s is there twice", name);
            g_autofree char *type =
                g_strdup_printf("# TYPE %s %s", name, g_str_has_suffix(name, "_total") ? "counter" : "gauge");
            ck_assert_str_eq(line[1], type);
        } else if ((*line)[0] != '#' && (*line)[0] != '\0') {
            ck_assert(g_str_has_prefix(*line, name) && strchr("{ ", (*line)[strlen(name)]) != NULL);
        }
        free(words[0]);
        free(words[1]);
    }
    json_decref(status);
}
END_TEST

START_TEST(what_is_not_there_is_left_out)
{
    json_t *status = json_object();
    g_autofree char *text = gwmetrics_text(status);
    ck_assert_ptr_nonnull(strstr(text, "\nsignalbox_gateway_forwarder_up 0\n"));
    ck_assert_ptr_null(strstr(text, "\nsignalbox_forwarder_"));
    json_decref(status);
}
END_TEST

/* ---- who asks how ---- */

static char *some_text(void *data)
{
    (*(unsigned *)data)++;
    return g_strnfill(300000, 'm'); /* more than a socket takes at once */
}

static struct {
    struct loop *loop;
    struct scrape *scrape;
    pthread_t thread;
    unsigned asked;
    uint16_t port;
} served;

static void *serve(void *data)
{
    loop_run(data);
    return NULL;
}

static int dial(void)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(served.port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static void serve_begin(void)
{
    g_autoptr(GError) error = NULL;
    served.port = unit_free_port();
    g_autofree char *where = g_strdup_printf("127.0.0.1:%u", served.port);
    served.loop = loop_new(NULL);
    served.scrape = scrape_new(served.loop, where, some_text, &served.asked, &error);
    ck_assert_msg(served.scrape != NULL, "%s", error != NULL ? error->message : "");
    pthread_create(&served.thread, NULL, serve, served.loop);
}

static void serve_end(void)
{
    loop_stop(served.loop);
    pthread_join(served.thread, NULL);
    scrape_free(served.scrape);
    loop_free(served.loop);
}

/* All that is answered; g_free. */
static char *hear(int fd)
{
    GString *text = g_string_new(NULL);
    char part[4096];
    ssize_t n;
    while ((n = recv(fd, part, sizeof part, 0)) > 0)
        g_string_append_len(text, part, n);
    close(fd);
    return g_string_free(text, FALSE);
}

static const struct question {
    const char *asks, *answer;
} questions[] = {
    {"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
    {"GET /metrics?x=1 HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
    {"GET /metricsx HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "},
    {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 "},
    {"GET /metrics\r\n\r\n", "HTTP/1.1 404 "},
    {"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405 "},
    {"\r\n\r\n", "HTTP/1.1 405 "},
};

START_TEST(questions_are_answered)
{
    serve_begin();
    for (unsigned i = 0; i < G_N_ELEMENTS(questions); i++) {
        int fd = dial();
        const char *asks = questions[i].asks;
        for (size_t at = 0; at < strlen(asks); at += 7) /* in pieces */
            ck_assert_int_gt(send(fd, asks + at, MIN(7, strlen(asks) - at), MSG_NOSIGNAL), 0);
        g_autofree char *answer = hear(fd);
        ck_assert_msg(g_str_has_prefix(answer, questions[i].answer), "%s: found %.60s", asks, answer);
        const char *body = strstr(answer, "\r\n\r\n") + 4;
        g_autofree char *length = g_strdup_printf("\r\nContent-Length: %zu\r\n", strlen(body));
        ck_assert_ptr_nonnull(strstr(answer, length));
        ck_assert(!g_str_has_prefix(answer, "HTTP/1.1 200") || strlen(body) == 300000);
    }
    g_autofree char *much = g_strnfill(SCRAPE_REQUEST_MAX, 'x');
    int fd = dial();
    ck_assert_int_gt(send(fd, much, SCRAPE_REQUEST_MAX, MSG_NOSIGNAL), 0);
    g_autofree char *answer = hear(fd);
    ck_assert_msg(g_str_has_prefix(answer, "HTTP/1.1 431 "), "found %.60s", answer);
    ck_assert_uint_eq(served.asked, 2);
    serve_end();
}
END_TEST

/* Those who say nothing take all places, and lose them after a while. */
START_TEST(who_says_nothing_is_left)
{
    int silent[SCRAPE_CLIENTS];
    serve_begin();
    for (unsigned i = 0; i < SCRAPE_CLIENTS; i++) {
        silent[i] = dial();
        ck_assert_int_eq(send(silent[i], "GET", 3, MSG_NOSIGNAL), 3);
    }
    g_autofree char *none = hear(dial());
    ck_assert_str_eq(none, "");
    for (unsigned i = 0; i < SCRAPE_CLIENTS; i++) {
        g_autofree char *nothing = hear(silent[i]); /* until it is left */
        ck_assert_str_eq(nothing, "");
    }
    int fd = dial();
    ck_assert_int_gt(send(fd, questions[0].asks, strlen(questions[0].asks), MSG_NOSIGNAL), 0);
    g_autofree char *answer = hear(fd);
    ck_assert(g_str_has_prefix(answer, "HTTP/1.1 200 OK\r\n"));
    serve_end();
}
END_TEST

START_TEST(places_that_are_none)
{
    static const char *const bad[] = {"", "127.0.0.1", "localhost:9100", "127.0.0.1:0"};
    struct loop *loop = loop_new(NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        ck_assert_ptr_null(scrape_new(loop, bad[i], some_text, NULL, &error));
        ck_assert(g_error_matches(error, SB_ERROR, SB_ERROR_INVALID));
    }
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(scrape_new(loop, "192.0.2.1:9100", some_text, NULL, &error));
    ck_assert(g_error_matches(error, SB_ERROR, SB_ERROR_IO));
    loop_free(loop);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, all_that_is_known);
    tcase_add_test(tcase, described_as_they_should_be);
    tcase_add_test(tcase, what_is_not_there_is_left_out);
    tcase_add_test(tcase, questions_are_answered);
    tcase_add_test(tcase, who_says_nothing_is_left);
    tcase_add_test(tcase, places_that_are_none);
}

int main(void)
{
    return unit_run("gwmetrics", add);
}
