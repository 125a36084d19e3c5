#!/usr/bin/env bash
# degrade and limit, by service, tier, room and interface: real edges act within a second, as forecast, and answer for nobody else
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
# shellcheck disable=SC2016 # the dollars are jq's
creator='map(select($streams[.s].name == "creator"))'
# shellcheck disable=SC2016
core='map(select($streams[.s].name == "core"))'
# shellcheck disable=SC2016
at_room_a='map(select($streams[.s].name == "creator" or .slot < 500))'
# shellcheck disable=SC2016
at_room_b='map(select($streams[.s].name == "core" and .slot >= 500))'
# shellcheck disable=SC2016
buy='map(select($streams[.s].name == "buy"))'
# shellcheck disable=SC2016
not_buy='map(select($streams[.s].name != "buy"))'
streams=("creator/public/new=creator.example.test@60" "creator/dedicated/new=creator-line.example.test@60"
    "core/public/new=play.example.test@60")
slack=1000000 stalls_max=250000
edges=(edge-1 edge-2 edge-3 edge-4)
declare -A address_of=([edge-1]=203.0.113.11 [edge-2]=203.0.113.12 [edge-3]=203.0.113.13 [edge-4]=203.0.113.14)
past() { (($(now_us) >= $1)); }

ended() {
    local status=$?
    trap - EXIT
    set +e
    (site_reset) || status=1
    sb apply -f "$run/site.yaml" -f "$tree/runbooks" --prune --reason "scenario ended" >"$scratch/restore.out" 2>&1 || status=1
    (exit "$status")
    scenario_end
}
trap ended EXIT

# The first of each edge's stamps that has the generation, in µs; empty while one has none yet.
taken() {
    local edge
    for edge in "${edges[@]}"; do
        jq -s "map(select(.generation >= $1))[0].at_us // empty" "$run/$edge/state/applied.log"
    done
}
taken_by_all() { (($(taken "$1" | wc -l) == ${#edges[@]})); }

# pull LEVER OBJECT VALUE: sets committed (when, µs) and last_ms (from there until the last edge had read it back).
pull() {
    local generation
    sb control set "$@" --reason "scenario" --override share-moved --json >"$scratch/set.out" 2>"$scratch/set.err" || die "$*: $(cat "$scratch/set.err")"
    generation=$(jq .generation "$scratch/set.out")
    committed=$(sb audit --limit 20 --json | jq "[.audit[] | select(.generation == $generation) | .at_us] | max")
    within 10 "$*: all edges have generation $generation" taken_by_all "$generation"
    last_ms=$((($(taken "$generation" | sort -n | tail -1) - committed) / 1000))
}

# The forecast of it when the edges have reported all of the traffic.
foreseen() {
    sb forecast "$@" --json 2>/dev/null | jq .forecast >"$scratch/forecast"
    jq -e '.total > 165' "$scratch/forecast"
}
# near WHAT FORECAST SEEN: two figures of the same thing, a quarter apart at most
near() { awk -v a="$2" -v b="$3" 'BEGIN { exit !(a > 0 && b > 0 && a < b * 1.25 && b < a * 1.25) }' || die "$1: $2/s were forecast, $3/s were seen"; }

# act LEVER OBJECT VALUE SECONDS JUDGE FILTER OTHERS: traffic to all four edges, the lever, so many seconds, the lever
# back, as long again. From a second after each commit on all requests of FILTER are as JUDGE says, or 200; and those of
# OTHERS are 200 all the time. When this machine stood still meanwhile, that says nothing: once more.
act() {
    local try
    for try in 1 2 3; do
        act_once "$@"
        (($(jq -s 'map(.duration_us // 0) | add' "$scratch/load.log") > stalls_max)) || break
        ((try < 3)) || die "$*: the machine stood still three times"
        note "$1 $2 $3: once more, the machine stood still"
    done
    note "$1 $2 $3: commit to last edge $set_ms ms, undone in $undone_ms ms"
    at_most "$1 $2 $3: ms from the commit until the last edge has it" "$set_ms" 1000
    at_most "$1 $2 default: ms from the commit until the last edge has it" "$undone_ms" 1000
    expect "$1 $2 $3: edges that answered" "$(traffic_figure load "$6 | map(.edge) | unique | length" "$set_at" "$undone_at")" "${#edges[@]}"
    "$5" "$1 $2 $3" "$6" $((set_at + slack)) "$undo_begins" "${3//[^0-9]/}"
    expect "$1 $2 default: answers other than 200 from a second after the commit on" \
        "$(traffic_figure load "$6 | map(select(.c != 200)) | length" $((undone_at + slack)))" 0
    expect "$1 $2 $3: requests of others that failed" "$(traffic_figure load "$7 | map(select(.c != 200)) | length")" 0
}
act_once() {
    traffic_start load --users 1000 "${streams[@]/#/--stream=}"
    within 10 "a forecast from 180 requests/s" foreseen "$1" "$2" "$3"
    pull "$1" "$2" "$3"
    set_at=$committed set_ms=$last_ms
    within 20 "$4 seconds of it" past $((set_at + slack + $4 * 1000000))
    undo_begins=$(now_us)
    pull "$1" "$2" default
    undone_at=$committed undone_ms=$last_ms
    within 20 "a second and a half of none" past $((undone_at + slack + 500000))
    traffic_stop load
}

# per_second FILTER CONDITION FROM TO
per_second() { traffic_figure load "$1 | map(select($2)) | length / ($4 - $3) * 10000000 | round / 10" "$3" "$4"; }

# Judges: WHAT FILTER FROM TO LIMIT
answered_by_edges() {
    expect "$1: answers other than the edges' own" \
        "$(traffic_figure load "$2 | map(select(.c != 503 or .error != \"degraded\")) | length" "$3" "$4")" 0
    near "$1" "$(jq .degraded "$scratch/forecast")" "$(per_second "$2" true "$3" "$4")"
}
limited() {
    local through refused
    expect "$1: answers that are neither 200 nor a refusal" \
        "$(traffic_figure load "$2 | map(select(.c != 200 and (.c != 503 or .error != \"limit\"))) | length" "$3" "$4")" 0
    through=$(per_second "$2" ".c == 200" "$3" "$4") refused=$(per_second "$2" ".c == 503" "$3" "$4")
    at_most "$1: requests/s that come through" "$through" "$(awk -v limit="$5" 'BEGIN { print limit * 1.1 }')"
    at_most "$1: three quarters of the limit" $(($5 * 3 / 4)) "$through"
    near "$1" "$(jq .shed "$scratch/forecast")" "$refused"
    note "$1: $through requests/s come through, $refused are refused"
}

# ask EDGE PATH: status of service home and the edge's reason, as "200 last-good"
ask() {
    local host=home.example.test
    [[ $1 != edge-[34] ]] || host=home-line.example.test
    lab exec user-1 curl -s -m 2 -o /dev/null -w '%{http_code} %header{x-sb-reason}' -H "Host: $host" "http://${address_of[$1]}/$2"
}
# all_say WHAT ANSWER: from every edge, once the last has read back what was pulled
all_say() {
    local edge
    for edge in "${edges[@]}"; do expect "$1: $edge" "$(ask "$edge" page)" "$2"; done
    note "$1: commit to last edge $last_ms ms"
    at_most "$1: ms from the commit until the last edge has it" "$last_ms" 1000
}
stale() {
    local edge
    echo "services: [{name: home, active: multi, tier: important, last_good: true}]" >"$scratch/keep.yaml"
    sb apply -f "$scratch/keep.yaml" --reason scenario >/dev/null 2>&1 || die "home was not to keep its answers"
    within 20 settled settled
    for edge in "${edges[@]}"; do expect "$edge, at rest" "$(ask "$edge" page)" "200 "; done
    lab origin service:home status=500 >/dev/null
    for edge in "${edges[@]}"; do expect "$edge, home at fault" "$(ask "$edge" page)" "500 "; done
    pull service.degrade home stale
    all_say "service.degrade home stale" "200 last-good"
    expect "what no edge has an answer of" "$(ask edge-1 never-asked)" "500 "
    pull service.degrade home default
    all_say "service.degrade home default" "500 "
    lab heal all >/dev/null
}

act service.degrade creator static 2 answered_by_edges "$creator" "$core"
act service.degrade tier/normal static 2 answered_by_edges "$creator" "$core"
act service.limit creator 40 3 limited "$creator" "$core"
act room.degrade room-a static 2 answered_by_edges "$at_room_a" "$at_room_b"
act room.limit room-a 80 3 limited "$at_room_a" "$at_room_b"

# The same service, but half of it is asked for one interface.
echo "interfaces: [{name: buy, service: creator, path: /buy, share: 50}]" >"$scratch/interfaces.yaml"
sb apply -f "$scratch/interfaces.yaml" --reason scenario >/dev/null 2>&1 || die "creator was to have an interface"
within 20 settled settled
streams=("buy/public/new=creator.example.test/buy@30" "buy/dedicated/new=creator-line.example.test/buy@30"
    "creator/public/new=creator.example.test@30" "creator/dedicated/new=creator-line.example.test@30"
    "core/public/new=play.example.test@60")
act interface.degrade buy static 2 answered_by_edges "$buy" "$not_buy"
act interface.limit buy 20 3 limited "$buy" "$not_buy"
stale
