#include "core/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static enum log_level log_max = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
    log_max = level;
}

void log_line(enum log_level level, const char *message, const char *fields, ...)
{
    if (level > log_max)
        return;
    char line[2048];
    int n = 0;
    if (isatty(STDERR_FILENO)) {
        struct timespec now;
        struct tm tm;
        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &tm);
        n = snprintf(line, sizeof line, "%02d:%02d:%02d.%03ld ", tm.tm_hour, tm.tm_min, tm.tm_sec,
                     now.tv_nsec / 1000000);
    } else {
        n = snprintf(line, sizeof line, "<%d>", (int)level);
    }
    n += snprintf(line + n, sizeof line - (size_t)n, "%.512s%s", message, fields[0] != '\0' ? " " : "");
    va_list ap;
    va_start(ap, fields);
    n += vsnprintf(line + n, sizeof line - (size_t)n, fields, ap);
    va_end(ap);
    if (n > (int)sizeof line - 2)
        n = (int)sizeof line - 2;
    for (int i = 0; i < n; i++) /* one event is one line, whatever a value holds */
        if ((unsigned char)line[i] < ' ')
            line[i] = ' ';
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        return; /* nowhere left to say it */
}
