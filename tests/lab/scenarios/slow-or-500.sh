#!/usr/bin/env bash
# a service answers 500, or late, by all roads: passed on as it is, asked no more often than users ask, nothing goes down
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"

# watch SECONDS: at any moment of that time every entrance is seen up by all who look, and every lever is as it was.
watch() {
    local until_us down
    until_us=$(($(now_us) + $1 * 1000000))
    while (($(now_us) < until_us)); do
        down=$(sb status --json | jq -c '[.entrances[] | select(.up != .seen or .control != "in") | "\(.room)/\(.via)"]')
        expect "entrances that are down" "$down" "[]"
        pause 0.2
    done
    expect "rooms' levers" "$(sb status --json | jq -c '[.rooms[] | {name, ingress, compute}]')" "$levers"
    expect "holds" "$(sb status --json | jq -c '[.rooms[].held // empty]')" "[]"
}

# asked_at_most NAME FILTER FROM_US FOUND EXTRA: what origins were asked, against what users did (FILTER, until now).
asked_at_most() {
    local sent
    sent=$(traffic_figure "$1" "$2 | length" "$(($3 - 200000))" "$(now_us)")
    at_most "requests that the origins got for $sent of users" "$4" "$(awk -v n="$sent" -v e="$5" 'BEGIN { print n * 1.1 + e }')"
    (($4 >= sent * 9 / 10)) || die "the origins counted $4 requests, and users sent $sent: not all were asked for"
    note "$sent requests of users, $4 at the origins"
}

levers=$(sb status --json | jq -c '[.rooms[] | {name, ingress, compute}]')

# --- 500 ---
traffic_start load
from=$(lab origin service:home status=500 | jq .at_us)
watch 8
asked=$(lab origin service:home | jq .requests)
to=$(now_us)
lab heal all >/dev/null
traffic_quiet load 2
traffic_stop load
# shellcheck disable=SC2016 # the dollars are jq's
home='map(select($streams[.s].name == "manual" and .t <= '$to'))'
# shellcheck disable=SC2016
others='map(select($streams[.s].name != "manual"))'
# A request that was under way when the behaviour was set may have the old answer.
expect "answers of home that were not 500" \
    "$(traffic_figure load "$home | map(select(.c != 500)) | length" "$((from + 200000))" "$((to - 200000))")" 0
asked_at_most load "$home" "$from" "$asked" 0
expect "failed requests of other services" \
    "$(traffic_figure load "$others | map(select(.c < 200 or .c > 299)) | length" "$from" "$to")" 0
expect "users who changed room" "$(moved load 0 "$from" "$to")" 0

# --- 2 s, where the service's own time-out is 3 s: public edges, dedicated edges, and public edges that relay ---
upload=creator.example.test/upload
traffic_start late --timeout-ms 5000 --stream "upload/public/new=$upload@20" --stream "upload/public/stubborn=$upload@20"
sb control set group.edge_class creator dedicated --reason "half by dedicated edges, half relayed" >/dev/null
within 30 "names at the dedicated edges" rested
traffic_quiet late 2
from=$(lab origin service:upload delay_ms=2000 | jq .at_us)
watch 6
switched=$(now_us)
sb control set group.edge_class creator default --reason "by public edges" >/dev/null
within 30 "names at the public edges" rested
watch 4
asked=$(lab origin service:upload | jq .requests)
to=$(now_us)
lab heal all >/dev/null
traffic_quiet late 2
traffic_stop late
expect "late answers that were not 200" \
    "$(traffic_figure late 'map(select(.c != 200)) | length' "$from" "$to")" 0
expect "answers before their time" \
    "$(traffic_figure late 'map(select(.e - .t < 2000000)) | length' "$((from + 200000))" "$((to - 200000))")" 0
# by_public_edge CLIENT: were its requests answered by public edges?
by_public_edge() {
    # shellcheck disable=SC2016 # the dollar is jq's
    traffic_figure late 'map(select(.c == 200 and $streams[.s].client == "'"$1"'") | .edge
        | . == "edge-1" or . == "edge-2") | unique | map(tostring) | join(" or ")' "$((from + 200000))" "$switched"
}
expect "new clients at public edges" "$(by_public_edge new)" '"false"'
expect "stubborn clients at public edges" "$(by_public_edge stubborn)" '"true"'
asked_at_most late 'map(select(.t <= '"$to"'))' "$from" "$asked" 0

# --- 2 s, where edges fail fast: the budget ---
traffic_start fast --timeout-ms 5000 --stream "home/public/new=home.example.test@60" --stream "home/dedicated/new=home-line.example.test@60"
from=$(lab origin service:home delay_ms=2000 | jq .at_us)
watch 10
asked=$(lab origin service:home | jq .requests)
to=$(now_us)
lab heal all >/dev/null
traffic_stop fast
# At the start each of four edges may ask 40 times again for each of two rooms, whatever it is asked.
asked_at_most fast 'map(select(.t <= '"$to"'))' "$from" "$asked" 320
