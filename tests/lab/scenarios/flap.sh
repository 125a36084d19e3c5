#!/usr/bin/env bash
# POPs of a room flap at 5 Hz, servers alive and dead: at most one move of the room at each edge, then a return by tenths
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
# flap-minute*.sh set these: how long it flaps, the agents' --hold and --hold-stage, and with which servers.
flap_s=${FLAP_S:-10} hold_s=${HOLD_S:-4} stage_s=${STAGE_S:-1}
read -ra forms <<<"${FORMS:-alive dead}"
# Each user is asked for about twice a second, always at the same edge.
streams=(--users 150 --stream core/public/keepalive=play.example.test@300 --stream core/dedicated/keepalive=play-line.example.test@20)

said() { grep -c "text=\"room-a $2" "$run/log/$1.signalbox-edge.log" || :; } # EDGE TEXT
said_more() { (($(said "$1" "$2") > $3)); }
past() { (($(now_us) >= $1)); }
# The share of its own users that room A serves, for each half second since FROM: its rises, in points of 100.
# shellcheck disable=SC2016 # the dollars are jq's
rises='map(select(.room != "" and $streams[.s].edge_class == "public"))
    | (map(select(.t < $from and .room == "room-a") | .u) | unique | map({key: "\(.)", value: true}) | from_entries) as $own
    | map(select(.t >= $healed and $own["\(.u)"])) | group_by((.t - $healed) / 500000 | floor)
    | map(100 * (map(select(.room == "room-a")) | length) / length)
    | . as $share | [range(1; length) | $share[.] - $share[. - 1]] | max'

hold_set "$hold_s" "$stage_s"
within 20 "agents that were started again" rested
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
note "one POP: nothing moved, $(failed_gets pop "$from" "$healed") of $(traffic_figure pop length "$from" "$healed") GETs failed in the flap"
expect "one POP: users who changed room" "$(moved pop 0 "$from" "$to")" 0
expect "one POP: what edges said of room-a" "$(said edge-1 held),$(said edge-2 held)" "$before"

for form in "${forms[@]}"; do
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
    # As many of the 150 users are in a tenth of the slots as chance will have it.
    rise=$(traffic_figure "$form" "$from as \$from | $healed as \$healed | $rises")
    at_most "$form: rise of room-a's share of its own users in half a second, %" "$rise" 18
    [[ $form == alive ]] || lab start control signalboxd >/dev/null
    within 20 "the server answers" sb status
    expect "$form: generation, which nobody changed" "$(sb status --json | jq .generation)" "$generation"
    note "$form: one move at each edge, $(failed_gets "$form" "$from" "$healed") of $(traffic_figure "$form" length "$from" "$healed") GETs failed in the flap; largest rise $rise %, home $(((home - healed) / 1000)) ms after the heal"
done
