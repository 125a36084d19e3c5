#!/usr/bin/env bash
# POPs of a room flap at 5 Hz, servers alive and dead: at most one move of the room at each edge, then a return by tenths
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
# flap-minute*.sh set these: how long it flaps, the agents' --hold and --hold-stage, and which forms it takes: one POP of
# the room, or all of them with the server alive, or dead.
flap_s=${FLAP_S:-10} hold_s=${HOLD_S:-4} stage_s=${STAGE_S:-2}
read -ra forms <<<"${FORMS:-one-pop alive dead}"
# Each user is asked for every other second, always at the same edge; of each tenth of the slots that is at home in room
# A, each edge has about 15 users.
streams=(--users 600 --stream core/public/keepalive=play.example.test@300 --stream core/dedicated/new=play-line.example.test@20)

said() { grep -c "text=\"room-a $2" "$run/log/$1.signalbox-edge.log" || :; } # EDGE TEXT
said_more() { (($(said "$1" "$2") > $3)); }
past() { (($(now_us) >= $1)); }
# The return, tenth by tenth of the slots in the order of their turns (schema/slot.h: SLOT_SPREAD), as users of room A
# saw it at each edge: "EDGE: SEEN tenths home, TOGETHER". A tenth and the one before it came home together unless
# somebody of it was still sent elsewhere when somebody of the one before had been answered at home. So 0 is: the load of
# room A never rose by more than a tenth at once. That is exact, where shares of requests are what chance will have: of
# 300 users 10 +- 1.7 % are in a tenth of the slots.
# shellcheck disable=SC2016 # the dollars are jq's
returned='map(select(.room != "" and $streams[.s].edge_class == "public"))
    | (map(select(.t < $from and .room == "room-a") | {key: "\(.u)", value: true}) | from_entries) as $own
    | map(select(.t >= $healed and $own["\(.u)"]) | .tenth = (.slot * 617 % 1000 / 100 | floor))
    | group_by(.edge) | map("\(.[0].edge): " + (group_by(.tenth)
        | map({home: (map(select(.room == "room-a") | .e) | min), away: (map(select(.room != "room-a") | .t) | max)})
        | . as $tenths
        | "\(map(select(.home != null)) | length) tenths home, \(
            [range(1; length) | select($tenths[.].away <= $tenths[. - 1].home)] | length)")) | join("; ")'

one_pop() {
    local before from healed to failed
    traffic_start pop "${streams[@]}"
    before=$(said edge-1 held),$(said edge-2 held)
    from=$(lab flap pop:pop-a1 5 | jq .at_us)
    within 7 "one POP flaps for 5 s" past $((from + 5000000))
    lab heal pop:pop-a1 >/dev/null
    healed=$(now_us)
    traffic_quiet pop 2
    to=$(now_us)
    traffic_stop pop
    expect "one POP: failed GETs since the heal" "$(failed_gets pop "$healed" "$to")" 0
    # An answer that was lost on its way looks like one that is late, and more of those than the budget has left are not
    # asked for again (dcdn/render.c).
    failed=$(failed_gets pop "$from" "$healed")
    at_most "one POP: failed GETs of the flap" "$failed" 3
    note "one POP: nothing moved, $failed of $(traffic_figure pop length "$from" "$healed") GETs failed in the flap"
    expect "one POP: users who changed room" "$(moved pop 0 "$from" "$to")" 0
    expect "one POP: what edges said of room-a" "$(said edge-1 held),$(said edge-2 held)" "$before"
}

hold_set "$hold_s" "$stage_s"
within 20 "agents that were started again" rested
for form in "${forms[@]}"; do
    if [[ $form == one-pop ]]; then
        one_pop
        continue
    fi
    traffic_start "$form" "${streams[@]}"
    generation=$(sb status --json | jq .generation)
    [[ $form == alive ]] || lab kill control signalboxd >/dev/null
    declare -A begun=() again=() ended=() stages=()
    for edge in edge-1 edge-2; do
        begun[$edge]=$(said $edge "held away: all") again[$edge]=$(said $edge "held away: it failed again")
        ended[$edge]=$(said $edge "no longer") stages[$edge]=$(said $edge "held away: [1-9]00 of")
    done
    from=$(lab flap room:room-a 5 | jq .at_us)
    for edge in edge-1 edge-2; do
        within 5 "$edge holds room-a away" said_more $edge "held away: all" "${begun[$edge]}"
    done
    if [[ $form == alive ]]; then
        shown() { sb status | grep -q "^! room-a: held away by 2 of 4 edges themselves since ..:..:.. UTC, 0 % home"; }
        within 5 "status says so" shown
    fi
    within $((flap_s + 5)) "the POPs of room-a flap for $flap_s s" past $((from + flap_s * 1000000))
    healed=$(lab heal room:room-a | jq .at_us)
    for edge in edge-1 edge-2; do
        within $((hold_s + 11 * stage_s + 5)) "all users of room-a at $edge are home" said_more $edge "no longer" "${ended[$edge]}"
    done
    home=$(now_us)
    within 5 "every user is asked once more" past $((home + 2500000))
    traffic_quiet "$form" 2
    to=$(now_us)
    traffic_stop "$form"
    for edge in edge-1 edge-2; do
        expect "$form: moves of room-a at $edge" $(($(said $edge "held away: all") - begun[$edge])) 1
        expect "$form: new moves of it at $edge, on the return" $(($(said $edge "held away: it failed again") - again[$edge])) 0
        expect "$form: stages of the return at $edge before the last" $(($(said $edge "held away: [1-9]00 of") - stages[$edge])) 9
    done
    expect "$form: users who changed room more than once until the heal" "$(moved "$form" 1 "$from" "$healed")" 0
    expect "$form: users who changed room more than twice" "$(moved "$form" 2 "$from" "$to")" 0
    expect "$form: failed GETs since the heal" "$(failed_gets "$form" "$healed" "$to")" 0
    expect "$form: failed GETs of the flap but its first second" "$(failed_gets "$form" $((from + 1000000)) "$healed")" 0
    ((home - healed >= hold_s * 1000000)) || die "$form: all were home $((home - healed)) µs after the heal"
    expect "$form: tenths of the slots that came home, of them together with the one before" \
        "$(traffic_figure "$form" "$from as \$from | $healed as \$healed | $returned" | jq -r .)" \
        "edge-1: 10 tenths home, 0; edge-2: 10 tenths home, 0"
    [[ $form == alive ]] || lab start control signalboxd >/dev/null
    within 20 "the server answers" sb status
    expect "$form: generation, which nobody changed" "$(sb status --json | jq .generation)" "$generation"
    note "$form: one move at each edge, $(failed_gets "$form" "$from" "$healed") of $(traffic_figure "$form" length "$from" "$healed") GETs failed in the flap; no two stages of the return at once, all home $(((home - healed) / 1000)) ms after the heal"
done
