#include "gateway/announcer.h"

#include "gateway/bird.h"

#include <string.h>

struct address {
    struct announcer *announcer;
    char *name;
    struct vip vip;
    bool gone;   /* none of ours any more; stays for BIRD's answers */
    bool told;   /* BIRD has been given an order */
    char *error; /* what came of the last one; NULL: it is so */
};
struct announcer {
    struct loop *loop;
    struct bird *bird;
    struct vip_limits limits;
    struct announcer_callbacks callbacks;
    struct loop_timer *again, *settled;
    GPtrArray *all; /* struct address * */
    int64_t begun_us;
};

static void address_free(void *data)
{
    struct address *a = data;
    g_free(a->name);
    g_free(a->error);
    g_free(a);
}

static struct address *find(const struct announcer *announcer, const char *name)
{
    for (guint i = 0; i < announcer->all->len; i++)
        if (strcmp(((struct address *)announcer->all->pdata[i])->name, name) == 0)
            return announcer->all->pdata[i];
    return NULL;
}

static void note(const struct announcer *announcer, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void note(const struct announcer *announcer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    announcer->callbacks.note(announcer->callbacks.data, text);
}

static void on_told(void *data, const GError *error)
{
    struct address *a = data;
    if ((error == NULL) != (a->error == NULL))
        note(a->announcer, "BIRD, %s: %s", a->name, error != NULL ? error->message : "does as it is told again");
    g_free(a->error);
    a->error = error != NULL ? g_strdup(error->message) : NULL;
}

/* What BIRD announces is left alone as long as it is not known that it is wrong. */
static bool may_tell(const struct address *a, int64_t now_us)
{
    bool speaks_against = a->vip.cause != VIP_UNSETTLED && now_us - a->announcer->begun_us >= ANNOUNCER_BEGIN_US;
    return vip_announced(&a->vip) || a->told || a->vip.cause == VIP_DRAINED || speaks_against;
}

static void tell(struct address *a, int64_t now_us)
{
    if (a->gone || !may_tell(a, now_us))
        return;
    a->told = true;
    bird_order(a->announcer->bird, a->name, vip_announced(&a->vip), on_told, a);
}

static void look_at(struct address *a, int64_t now_us)
{
    struct announcer *announcer = a->announcer;
    struct vip_sight sight = {0};
    if (!announcer->callbacks.see(announcer->callbacks.data, a->name, &sight)) {
        note(announcer, "%s is not announced: it is not in the table any more", a->name);
        a->gone = true;
        bird_order(announcer->bird, a->name, false, on_told, a);
    } else if (vip_step(&a->vip, &announcer->limits, &sight, now_us)) {
        note(announcer, "%s is %s%s", a->name, vip_announced(&a->vip) ? "announced" : "not announced: ",
             vip_announced(&a->vip) ? "" : vip_cause_text(a->vip.cause));
        tell(a, now_us);
    }
}

void announcer_look(struct announcer *announcer)
{
    int64_t now_us = loop_now_us(), next_us = VIP_NEVER;
    for (guint i = 0; i < announcer->all->len; i++) {
        struct address *a = announcer->all->pdata[i];
        if (!a->gone)
            look_at(a, now_us);
        if (!a->gone)
            next_us = MIN(next_us, vip_next_us(&a->vip, &announcer->limits));
    }
    loop_timer_disarm(announcer->settled);
    if (next_us != VIP_NEVER)
        loop_timer_arm(announcer->settled, next_us);
}

static void on_settled(void *data)
{
    announcer_look(data);
}

static void on_again(void *data)
{
    struct announcer *announcer = data;
    int64_t now_us = loop_now_us();
    bool idle = bird_pending(announcer->bird) == 0; /* one that is stuck is not given more and more */
    for (guint i = 0; idle && i < announcer->all->len; i++)
        tell(announcer->all->pdata[i], now_us);
    loop_timer_arm(announcer->again, now_us + ANNOUNCER_AGAIN_US);
}

struct announcer *announcer_new(struct loop *loop, const char *bird_path, const struct vip_limits *limits,
                                const struct announcer_callbacks *callbacks)
{
    struct announcer *announcer = g_new0(struct announcer, 1);
    *announcer = (struct announcer){.loop = loop, .limits = *limits, .callbacks = *callbacks};
    announcer->bird = bird_new(loop, bird_path, ANNOUNCER_BIRD_US);
    announcer->all = g_ptr_array_new_with_free_func(address_free);
    announcer->again = loop_timer_new(loop, on_again, announcer);
    announcer->settled = loop_timer_new(loop, on_settled, announcer);
    announcer->begun_us = loop_now_us();
    loop_timer_arm(announcer->again, announcer->begun_us + ANNOUNCER_AGAIN_US);
    return announcer;
}

void announcer_free(struct announcer *announcer)
{
    if (announcer == NULL)
        return;
    bird_free(announcer->bird);
    loop_timer_free(announcer->again);
    loop_timer_free(announcer->settled);
    g_ptr_array_unref(announcer->all);
    g_free(announcer);
}

void announcer_add(struct announcer *announcer, const char *name)
{
    struct address *a = find(announcer, name);
    if (a != NULL && !a->gone)
        return;
    if (a == NULL) {
        a = g_new0(struct address, 1);
        a->announcer = announcer;
        a->name = g_strdup(name);
        g_ptr_array_add(announcer->all, a);
    }
    a->gone = false;
    vip_init(&a->vip, loop_now_us());
}

json_t *announcer_to_json(const struct announcer *announcer)
{
    json_t *list = json_array();
    for (guint i = 0; i < announcer->all->len; i++) {
        const struct address *a = announcer->all->pdata[i];
        if (a->gone)
            continue;
        json_array_append_new(list, json_pack("{s:s,s:b,s:s,s:I,s:s?}", "name", a->name, "announced",
                                              vip_announced(&a->vip), "why", vip_cause_text(a->vip.cause), "for_us",
                                              (json_int_t)(loop_now_us() - a->vip.since_us), "bird", a->error));
    }
    return list;
}
