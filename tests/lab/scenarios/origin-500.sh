#!/usr/bin/env bash
# a service answers 500 by all roads: passed on as it is, asked no more often than users ask, nothing is marked down
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
traffic_start load
from=$(lab origin service:home status=500 | jq .at_us)
rooms_before=$(sb status --json | jq -c '[.rooms[] | {name, ingress, compute}]')
long_enough() { (($(now_us) >= from + 10000000)); }
# At any moment of the fault: every entrance is seen up by all who look.
while ! long_enough; do
    down=$(sb status --json | jq -c '[.entrances[] | select(.up != .seen or .control != "in") | "\(.room)/\(.via)"]')
    expect "entrances that are down" "$down" "[]"
    pause 0.2
done
asked=$(lab origin service:home | jq .requests)
to=$(now_us)
expect "rooms' levers" "$(sb status --json | jq -c '[.rooms[] | {name, ingress, compute}]')" "$rooms_before"
lab heal all >/dev/null
traffic_quiet load 2
traffic_stop load
# shellcheck disable=SC2016 # the dollars are jq's
home='map(select($streams[.s].name == "manual"))'
# shellcheck disable=SC2016
others='map(select($streams[.s].name != "manual"))'
# A request that was under way when the behaviour was set may have the old answer.
expect "answers of home that were not 500" \
    "$(traffic_figure load "$home | map(select(.c != 500)) | length" "$((from + 200000))" "$((to - 200000))")" 0
sent=$(traffic_figure load "$home | length" "$((from - 200000))" "$to")
at_most "requests that the origins got for $sent of users" "$asked" "$(awk -v n="$sent" 'BEGIN { print n * 1.1 }')"
((asked >= sent * 9 / 10)) || die "the origins counted $asked requests, and users sent $sent: not all were asked for"
expect "failed requests of other services" \
    "$(traffic_figure load "$others | map(select(.c < 200 or .c > 299)) | length" "$from" "$to")" 0
expect "users who changed room" "$(moved load 0 "$from" "$to")" 0
note "$sent requests of users, $asked at the origins"
