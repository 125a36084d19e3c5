#include "dataplane/tracer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void tracer_end(struct tracer *t)
{
    if (t->fd < 0)
        return;
    trace_end(&t->trace);
    close(t->fd);
    t->fd = -1;
}

/* What does not fit into the socket now is lost: packets go on. False: nobody is there any more. */
static bool say(struct tracer *t, const void *bytes, size_t size)
{
    bool said = send(t->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size;
    t->missed += !said;
    return said || errno == EAGAIN;
}

static bool tell(struct tracer *t, struct trace_record record)
{
    uint8_t bytes[TRACE_CAPTURE > TRACE_LINE ? TRACE_CAPTURE : TRACE_LINE];
    record.at_us += (uint64_t)t->wall_us;
    if (t->capturing)
        return say(t, bytes, trace_capture(&record, bytes));
    if (t->missed > 0) {
        char line[TRACE_LINE];
        int n = snprintf(line, sizeof line, "here %llu packets are missing\n", (unsigned long long)t->missed);
        if (send(t->fd, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == n)
            t->missed = 0;
    }
    trace_text(&record, (char *)bytes);
    return say(t, bytes, strlen((char *)bytes));
}

void tracer_turn(struct tracer *t)
{
    const struct trace_record *record;
    struct pollfd end = {.fd = t->fd}; /* both ways: who has said all may still listen */
    if (t->fd < 0)
        return;
    bool there = poll(&end, 1, 0) == 0;
    t->missed += trace_lost(&t->trace);
    while (there && (record = trace_next(&t->trace)) != NULL) {
        struct trace_record told = *record;
        trace_done(&t->trace);
        there = tell(t, told);
    }
    if (!there)
        tracer_end(t);
}

static int64_t clock_us(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

bool tracer_start(struct tracer *t, int fd, const char *words)
{
    struct trace_filter filter;
    uint8_t head[TRACE_CAPTURE_HEAD];
    bool capturing = strncmp(words, "pcap", 4) == 0;
    if ((!capturing && strncmp(words, "trace", 5) != 0) || !trace_filter_parse(&filter, words + (capturing ? 4 : 5)))
        return false;
    tracer_end(t);
    t->fd = fd;
    t->capturing = capturing;
    t->missed = 0;
    t->wall_us = clock_us(CLOCK_REALTIME) - clock_us(CLOCK_BOOTTIME);
    trace_capture_head(head);
    trace_begin(&t->trace, &filter);
    if (capturing && !say(t, head, sizeof head))
        tracer_end(t);
    return true;
}
