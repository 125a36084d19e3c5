#!/usr/bin/env bash
# one of two instances of a room answers errors only: gateways hand it nothing more; when it is well it gets its share again
# shellcheck source=tests/lab/scenarios/gateways/gwlib.sh
source "$(dirname "$(readlink -f "$0")")/gwlib.sh"
limit_ms=1000 # three checks, 200 ms apart, and what the last of them takes

# by NAME [FROM_US [TO_US]]: instances that answered, well or not
by() { traffic_figure "$1" 'map(select(.entrance != "") | .entrance) | unique | join(" ")' "${@:2}" | jq -r .; }
# shares of origin-a2 among the room's instances, as gateways of room A see them
weights() { local g; for g in gw-a1 gw-a2; do socat -t 5 - "UNIX:$run/$g/gateway.sock" <<<status | jq -r '.gateway.backends[] | select(.backend == "origin-a2") | .weight'; done | sort -u | paste -sd ' '; }
weights_are() { [[ $(weights) == "$1" ]]; }

escape_start sick new
begun=$(now_us)
traffic_quiet sick 1
sick=$(lab origin entrance:origin-a2 room-a status=500 | jq .at_us)
within 5 "gateways of room A hand nothing to origin-a2" weights_are 0
out=$(now_us)
traffic_quiet sick 2
well=$(now_us)
lab heal all >/dev/null
within 10 "origin-a2 has its share again" weights_are 100
traffic_quiet sick 2
traffic_stop sick
expect "instances that answer before" "$(by sick "$begun" "$sick")" "origin-a2 ring"
expect "instances that answer while one is sick" "$(by sick $((out + 100000)) "$well")" ring
expect "instances that answer behind" "$(by sick "$well")" "origin-a2 ring"
expect "failed requests since it was out" "$(failed sick $((out + 100000)))" 0
at_most "ms until it was out" $(((out - sick) / 1000)) "$limit_ms"
note "out after $(((out - sick) / 1000)) ms, $(failed sick "$sick" "$out") requests had its errors"
