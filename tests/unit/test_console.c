/* test_console.c: the console's files as the server gives them. */
#include "server/api/console.h"
#include "core/gunzip.h"
#include "tests/unit/served_case.h"
#include "tests/unit/unit.h"

#include <string.h>

struct answer {
    unsigned status;
    char *head;
    GBytes *content;
};

static void answer_clear(struct answer *answer)
{
    g_free(answer->head);
    g_bytes_unref(answer->content);
}

/* Until the connection ends. headers: lines with their ends. */
static struct answer ask(int port, const char *method, const char *path, const char *headers)
{
    g_autofree char *request =
        g_strdup_printf("%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%s\r\n", method, path, headers);
    int fd = served_connect(port);
    GByteArray *got = g_byte_array_new();
    unsigned char buffer[4096];
    ssize_t n;
    ck_assert_int_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
    while ((n = read(fd, buffer, sizeof buffer)) > 0)
        g_byte_array_append(got, buffer, (guint)n);
    close(fd);
    const char *end = memmem(got->data, got->len, "\r\n\r\n", 4);
    ck_assert_ptr_nonnull(end);
    size_t head = (size_t)(end - (const char *)got->data);
    struct answer answer = {.head = g_strndup((const char *)got->data, head),
                            .content = g_bytes_new(got->data + head + 4, got->len - head - 4)};
    ck_assert_int_eq(sscanf(answer.head, "HTTP/1.1 %u", &answer.status), 1);
    g_byte_array_unref(got);
    return answer;
}

static char *header(const struct answer *answer, const char *name)
{
    g_autofree char *start = g_strdup_printf("\r\n%s: ", name);
    const char *found = strstr(answer->head, start);
    return found != NULL ? g_strndup(found + strlen(start), strcspn(found + strlen(start), "\r")) : g_strdup("");
}

static char *text_of(const struct answer *answer)
{
    gsize size;
    const char *bytes = g_bytes_get_data(answer->content, &size);
    return g_strndup(bytes, size);
}

static void expect_header(const struct answer *answer, const char *name, const char *value)
{
    g_autofree char *found = header(answer, name);
    ck_assert_msg(strcmp(found, value) == 0, "%s: found %s, expected %s", name, found, value);
}

static void expect_status(unsigned status, int port, const char *method, const char *path, const char *headers)
{
    struct answer answer = ask(port, method, path, headers);
    ck_assert_msg(answer.status == status, "%s %s %s: %s", method, path, headers, answer.head);
    answer_clear(&answer);
}

START_TEST(the_page_is_strict_and_asked_for_each_time)
{
    struct answer page = ask(served.port, "GET", "/", "");
    ck_assert_uint_eq(page.status, 200);
    expect_header(&page, "Content-Type", "text/html; charset=utf-8");
    expect_header(&page, "Cache-Control", "no-cache");
    expect_header(&page, "Content-Security-Policy", CONSOLE_POLICY);
    expect_header(&page, "X-Content-Type-Options", "nosniff");
    expect_header(&page, "Vary", "Accept-Encoding");
    ck_assert_ptr_null(strstr(CONSOLE_POLICY, "unsafe"));
    ck_assert_ptr_null(strstr(CONSOLE_POLICY, "http"));
    g_autofree char *html = text_of(&page), *etag = header(&page, "ETag");
    /* What the policy forbids does not stand in it, and nothing is another host's. */
    static const char *const none[] = {"<script>", "<style", " style=", " onclick=", "http://", "https://", "//cdn"};
    for (size_t i = 0; i < G_N_ELEMENTS(none); i++)
        ck_assert_msg(strstr(html, none[i]) == NULL, "%s", none[i]);
    g_autofree char *same = g_strdup_printf("If-None-Match: W/\"x\", %s\r\n", etag),
                    *other = g_strdup("If-None-Match: \"0123456789abcdef\"\r\n");
    struct answer known = ask(served.port, "GET", "/", same), unknown = ask(served.port, "GET", "/", other);
    ck_assert_uint_eq(known.status, 304);
    ck_assert_uint_eq(g_bytes_get_size(known.content), 0);
    expect_header(&known, "ETag", etag);
    ck_assert_uint_eq(unknown.status, 200);
    answer_clear(&known);
    answer_clear(&unknown);
    answer_clear(&page);
}
END_TEST

START_TEST(each_file_comes_raw_and_packed)
{
    struct answer page = ask(served.port, "GET", "/", "");
    g_autofree char *html = text_of(&page);
    unsigned scripts = 0, packed_size = 0;
    for (const struct console_file *file = console_files; file->path != NULL; file++) {
        bool asset = g_str_has_prefix(file->path, "/assets/");
        struct answer raw = ask(served.port, "GET", file->path, ""),
                      packed = ask(served.port, "GET", file->path, "Accept-Encoding: br;q=1.0, gzip;q=0.8\r\n"),
                      refused = ask(served.port, "GET", file->path, "Accept-Encoding: gzip;q=0, identity\r\n");
        ck_assert_msg(raw.status == 200 && packed.status == 200, "%s", file->path);
        expect_header(&raw, "Content-Type", file->type);
        expect_header(&raw, "Content-Encoding", "");
        expect_header(&packed, "Content-Encoding", "gzip");
        expect_header(&refused, "Content-Encoding", "");
        expect_header(&raw, "Cache-Control", asset ? "public, max-age=31536000, immutable" : "no-cache");
        g_autofree char *tag = header(&raw, "ETag"), *packed_tag = header(&packed, "ETag");
        ck_assert_str_ne(tag, packed_tag); /* strong: other bytes */
        gsize size;
        const void *bytes = g_bytes_get_data(packed.content, &size);
        bool whole = false;
        GString *plain = g_string_new(NULL);
        ck_assert(gunzip(bytes, size, 16u << 20, plain, &whole, NULL) && whole);
        g_autoptr(GBytes) unpacked = g_string_free_to_bytes(plain);
        ck_assert_msg(g_bytes_equal(unpacked, raw.content), "%s", file->path);
        ck_assert(!asset || strstr(html, file->path) != NULL); /* nothing is embedded that nobody asks for */
        scripts += g_str_has_suffix(file->path, ".js") ? 1 : 0;
        packed_size += g_str_has_suffix(file->path, ".js") ? (unsigned)size : 0;
        answer_clear(&raw);
        answer_clear(&packed);
        answer_clear(&refused);
    }
    ck_assert_uint_ge(scripts, 1);
    ck_assert_uint_le(packed_size, 90000);
    printf("%u scripts, %u bytes packed\n", scripts, packed_size);
    answer_clear(&page);
}
END_TEST

/* Every state of the console has a URL; the API keeps its own. */
START_TEST(places_of_the_console_and_of_the_api)
{
    static const char *const browser = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    static const struct {
        const char *method, *path;
        bool html;
        unsigned status;
    } rows[] = {
        {"GET", "/failover/room-a", true, 200},
        {"GET", "/failover/room-a?mode=forced", true, 200},
        {"GET", "/%2e%2e/etc/passwd", true, 200}, /* a place like any other: the page */
        {"GET", "/failover/room-a", false, 404},
        {"GET", "/v1/nothing", true, 404},
        {"GET", "/agent/v1/nothing", true, 404},
        {"GET", "/v1/status", true, 401},
        {"GET", "/livez", true, 200},
        {"GET", "/assets/main-000000000000.js", true, 404},
        {"GET", "/assets/../index.html", true, 404},
        {"GET", "/assets/", true, 404},
        {"POST", "/", true, 404},
        {"DELETE", "/failover/room-a", true, 404},
    };
    struct answer page = ask(served.port, "GET", "/", "");
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct answer answer = ask(served.port, rows[i].method, rows[i].path, rows[i].html ? browser : "");
        ck_assert_msg(answer.status == rows[i].status, "%s %s: %s", rows[i].method, rows[i].path, answer.head);
        bool is_page = g_bytes_equal(answer.content, page.content);
        ck_assert_msg(is_page == (rows[i].status == 200 && strcmp(rows[i].path, "/livez") != 0), "%s", rows[i].path);
        answer_clear(&answer);
    }
    expect_status(404, served.agents_port, "GET", "/", browser);
    json_t *answer = NULL; /* the local socket's caller gets it too */
    ck_assert_uint_eq(served_local(&served, "GET", "/favicon.svg", NULL, NULL, &answer), 200);
    json_decref(answer);
    answer_clear(&page);
}
END_TEST

static void add(TCase *tcase)
{
    if (console_files[0].path == NULL) /* built without: there is nothing to be given */
        return;
    tcase_add_checked_fixture(tcase, served_setup, served_teardown);
    tcase_set_timeout(tcase, 200); /* sanitizers are slow */
    tcase_add_test(tcase, the_page_is_strict_and_asked_for_each_time);
    tcase_add_test(tcase, each_file_comes_raw_and_packed);
    tcase_add_test(tcase, places_of_the_console_and_of_the_api);
}

int main(void)
{
    return unit_run("console", add);
}
