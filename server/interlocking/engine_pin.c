/* engine_pin.c: pins and their keys. A pin is nothing that is kept: who holds it has it, until it ends or its key goes.
 * Pinned slots are a lever, split.pin, which is set back when its time is over. */
#include "server/interlocking/engine_internal.h"

#include "core/error.h"
#include "schema/field.h"

#include <string.h>

#define USER_MAX SLOT_ID_MAX

static bool refuse_member(const json_t *body, const char *member, const char *expected, GError **error)
{
    g_autofree char *found = json_quote(json_object_get(body, member));
    g_set_error(error, SB_ERROR, SB_ERROR_INVALID, "%s: found %s, expected %s", member, found, expected);
    return false;
}

/* A cookie's value of a length at which edges do not cut it. */
static bool user_valid(const char *user)
{
    return user[0] != '\0' && strlen(user) <= USER_MAX && cookie_value_valid(user);
}

static bool pin_read(const struct engine *engine, const json_t *body, struct pin *pin, GError **error)
{
    const json_t *life = json_object_get(body, "for_s");
    const char *purpose = json_text(json_object_get(body, "purpose"));
    const json_t *user = json_object_get(body, "user");
    int choice = purpose != NULL ? choice_find(PIN_PURPOSES, purpose) : -1;
    pin->room = json_text(json_object_get(body, "room"));
    pin->user = json_text(user);
    if (pin->room == NULL || INVENTORY_GET(engine->resolved->world->inventory, room, pin->room) == NULL)
        return refuse_member(body, "room", "the name of a room that exists", error);
    if (choice < 0)
        return refuse_member(body, "purpose", "one of user, staff, canary", error);
    pin->purpose = (enum pin_purpose)choice;
    if (pin->purpose == PIN_USER ? pin->user == NULL || !user_valid(pin->user) : user != NULL && !json_is_null(user))
        return refuse_member(body, "user",
                             pin->purpose == PIN_USER
                                 ? "the user's id, 1 to 128 printable ASCII characters without blank \" , ; \\"
                                 : "none: only a pin of purpose user is one user's",
                             error);
    if (!json_is_integer(life) || json_integer_value(life) < 1 || json_integer_value(life) > PIN_LIFE_MAX_S)
        return refuse_member(body, "for_s", "1 to 604800 s, a week", error);
    pin->until_s = engine_wall_us(engine) / G_USEC_PER_SEC + json_integer_value(life);
    return true;
}

json_t *engine_pin_issue(struct engine *engine, const json_t *body, const struct asker *asker, struct now now,
                         struct effects *out, GError **error)
{
    struct pin pin = {0};
    const struct pin_keys *keys = &engine->resolved->world->pins;
    tell_pin(engine, "pin", body, asker, now);
    engine_take_now(engine, now);
    if (!pin_read(engine, body, &pin, error))
        return NULL;
    if (keys->n == 0) {
        g_set_error(error, SB_ERROR, SB_ERROR_CONFLICT,
                    "there is no key that could sign a pin: signalbox pin rotate makes one");
        return NULL;
    }
    GPtrArray *entries = entries_new();
    g_autofree char *purpose = choice_text(PIN_PURPOSES, (int)pin.purpose);
    g_autofree char *object = g_strdup_printf("room/%s", pin.room);
    g_autofree char *after = g_strdup_printf("%s%s%s for %" JSON_INTEGER_FORMAT " s, key %s", purpose,
                                             pin.user != NULL ? " " : "", pin.user != NULL ? pin.user : "",
                                             json_integer_value(json_object_get(body, "for_s")), keys->key[0].id);
    struct audit audit = {.actor = asker->actor,
                          .reason = asker->reason,
                          .what = "pin issued",
                          .object = object,
                          .after = after,
                          .generation = engine->generation};
    engine_audit(engine, entries, &audit);
    effects_journal(out, entries);
    g_autofree char *cookie = pin_sign(&keys->key[0], &pin);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?, s:I}", "cookie", cookie, "name", PIN_COOKIE, "key",
                     keys->key[0].id, "room", pin.room, "purpose", purpose, "user", pin.user, "until_us",
                     (json_int_t)(pin.until_s * G_USEC_PER_SEC));
}

static char *ids_text(const struct pin_keys *keys)
{
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < keys->n; i++)
        g_string_append_printf(text, "%s%s", i > 0 ? ", " : "", keys->key[i].id);
    return g_string_free(text, FALSE);
}

json_t *engine_pin_keys_json(const struct engine *engine)
{
    const struct pin_keys *keys = &engine->resolved->world->pins;
    json_t *list = json_array();
    for (unsigned i = 0; i < keys->n; i++)
        json_array_append_new(list, json_pack("{s:s, s:b}", "id", keys->key[i].id, "signs", i == 0));
    return json_pack("{s:o, s:I}", "keys", list, "generation", (json_int_t)engine->generation);
}

json_t *engine_pin_keys(struct engine *engine, const json_t *body, const char *secret, const struct asker *asker,
                        struct now now, struct effects *out, GError **error)
{
    const char *act = json_text(json_object_get(body, "act"));
    struct pin_keys before = engine->resolved->world->pins, keys = before;
    tell_pin(engine, "pinkeys", body, asker, now);
    engine_take_now(engine, now);
    if (act == NULL || choice_find("rotate|revoke", act) < 0) {
        refuse_member(body, "act", "rotate or revoke", error);
        return NULL;
    }
    bool revoke = strcmp(act, "revoke") == 0;
    pin_keys_add(&keys, engine->generation + 1, secret, revoke);
    GPtrArray *entries = entries_new();
    entries_add(entries, "pinkeys", "keys", NULL, pin_keys_to_json(&keys, true));
    g_autofree char *old = ids_text(&before), *new = ids_text(&keys);
    struct audit audit = {.actor = asker->actor,
                          .reason = asker->reason,
                          .what = revoke ? "pins revoked" : "pin key rotated",
                          .object = "pinkeys/keys",
                          .before = old,
                          .after = new,
                          .generation = engine->generation + 1};
    engine_audit(engine, entries, &audit);
    engine_commit(engine, engine_draft_pins(engine, &keys), entries, NULL, out);
    return engine_pin_keys_json(engine);
}

/* ---- slots ---- */

/* When the pin of a service ends, wall clock; INT64_MAX: none is set. */
static int64_t pin_until_us(const struct world *world, const char *service)
{
    struct split_pins pins;
    const struct control *control = controls_get(world->controls, LEVER_SPLIT_PIN, service);
    if (control == NULL || !split_pins_parse(control->value, &pins, NULL)) /* each tick, for all: mostly none is set */
        return INT64_MAX;
    split_clear(&pins.slots);
    return pins.until_us;
}

int64_t pins_next_us(const struct engine *engine)
{
    int64_t next_us = INT64_MAX;
    INVENTORY_FOREACH (engine->resolved->world->inventory, service, service)
        next_us = MIN(next_us, pin_until_us(engine->resolved->world, service->o.name));
    return next_us == INT64_MAX ? INT64_MAX : next_us - engine->wall_offset_us;
}

void pins_end(struct engine *engine, struct effects *out)
{
    const struct world *world = engine->resolved->world;
    g_autoptr(GArray) moves = moves_new();
    INVENTORY_FOREACH (world->inventory, service, service) {
        if (pin_until_us(world, service->o.name) <= engine_wall_us(engine))
            moves_add(moves, LEVER_SPLIT_PIN, service->o.name, "default");
    }
    if (moves->len == 0)
        return;
    static const char who[] = "signalbox";
    struct resolved *draft = engine_draft_moves(engine, moves, who, NULL, "");
    GPtrArray *entries = entries_new();
    entries_add_moves(entries, moves, draft);
    for (guint i = 0; i < moves->len; i++) {
        const char *service = g_array_index(moves, struct move, i).object;
        g_autofree char *lever = lever_text(LEVER_SPLIT_PIN, service);
        struct audit audit = {.actor = who,
                              .reason = "its time is over",
                              .what = "pin ended",
                              .object = lever,
                              .before = controls_value(world->controls, LEVER_SPLIT_PIN, service),
                              .after = "default",
                              .generation = engine->generation + 1};
        engine_audit(engine, entries, &audit);
    }
    engine_commit(engine, draft, entries, NULL, out);
}
