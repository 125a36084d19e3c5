#include "server/interlocking/words.h"

#include <math.h>

char *words_count(uint64_t n)
{
    if (n < 1000)
        return g_strdup_printf("%" G_GUINT64_FORMAT, n);
    g_autofree char *head = words_count(n / 1000);
    return g_strdup_printf("%s,%03u", head, (unsigned)(n % 1000));
}

char *words_rate(double per_s)
{
    per_s = fmin(per_s, 1e18); /* what people are shown ends somewhere */
    if (per_s >= 100)
        return words_count((uint64_t)llround(per_s));
    uint64_t tenths = (uint64_t)llround(fmax(per_s, 0) * 10);
    return g_strdup_printf("%u.%u", (unsigned)(tenths / 10), (unsigned)(tenths % 10));
}

char *words_percent(double part, double of)
{
    if (of <= 0 || part <= 0)
        return g_strdup("0 %");
    /* What is not nothing and not all must not look like it. */
    double percent = round(100 * part / of);
    if (percent < 1)
        return g_strdup("< 1 %");
    if (percent >= 100 && part < of)
        percent = 99;
    return g_strdup_printf("%.0f %%", percent); /* of next to nothing it may be more than any integer */
}

char *words_list(const GPtrArray *names, guint max)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < names->len && i < max; i++)
        words_append(text, ", ", names->pdata[i]);
    if (names->len > max)
        g_string_append_printf(text, " and %u more", names->len - max);
    return g_string_free(text, FALSE);
}

void words_append(GString *text, const char *separator, const char *words)
{
    if (text->len > 0)
        g_string_append(text, separator);
    g_string_append(text, words);
}

char *words_plural(uint64_t n, const char *noun)
{
    g_autofree char *count = words_count(n);
    return g_strdup_printf("%s %s%s", count, noun, n == 1 ? "" : "s");
}
