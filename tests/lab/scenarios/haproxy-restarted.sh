#!/usr/bin/env bash
# servers dead, HAProxy killed and started: the closed room stays closed, a foreign change is repaired within 3 s
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
traffic_start load
sb plan run room-drain --confirm room-a --reason "scenario" --override share-moved >/dev/null || die "the plan did not succeed"
from=$(now_us)
lab kill control signalboxd >/dev/null

generation() { echo "show map $run/$1/state/meta.map" | socat - "UNIX-CONNECT:$run/$1/haproxy.sock" | awk '$2 == "generation" { print $3 }'; }
served() { # EDGE: HAProxy's own counter of requests to room B
    echo "show stat" | socat - "UNIX-CONNECT:$run/$1/haproxy.sock" |
        awk -F, '$1 ~ /room-b/ && $2 == "BACKEND" && $8 > 0 { found = 1 } END { exit !found }'
}
# edge-1 has no agent meanwhile, so what HAProxy starts with is what lies on the disk; edge-3's agent lives on.
before=$(generation edge-1)
lab kill edge-1 signalbox-edge >/dev/null
for edge in edge-1 edge-3; do
    lab kill "$edge" haproxy >/dev/null
    lab start "$edge" haproxy >/dev/null
    within 10 "$edge serves by room B again" served "$edge"
    expect "generation that $edge came up with" "$(generation "$edge")" "$before"
done
lab start edge-1 signalbox-edge >/dev/null

# Somebody takes services of one room away, behind the agent's back.
rooms() { echo "show map $run/edge-2/state/rooms.map" | socat - "UNIX-CONNECT:$run/edge-2/haproxy.sock" | cut -d' ' -f2- | sort; }
wanted=$(rooms)
events=$run/log/edge-2.signalbox-edge.log
known=$(grep -c "changed by someone else" "$events" || :)
changed=$(now_us)
echo "set map $run/edge-2/state/rooms.map single/room-b -" | socat - "UNIX-CONNECT:$run/edge-2/haproxy.sock" >/dev/null
[[ $(rooms) != "$wanted" ]] || die "the foreign change did not take effect"
repaired() { [[ $(rooms) == "$wanted" ]]; }
within 3 "the map of edge-2 is repaired" repaired
took=$((($(now_us) - changed) / 1000))
told() { (($(grep -c "changed by someone else" "$events") > known)); }
within 1 "an event says that HAProxy was changed" told

multi_served() { jq -e '[.streams[] | select(.name != "single-room") | .ok > 0 and .failed == 0] | all' "$scratch/load.live"; }
within 20 "core and manual are served" multi_served
to=$(now_us)
traffic_stop load
for edge in edge-1 edge-3; do
    (($(traffic_figure load "map(select(.edge == \"$edge\" and .room == \"room-b\")) | length" "$from" "$to") > 0)) ||
        die "$edge answered nobody"
done
expect "requests that room A answered" "$(traffic_figure load 'map(select(.room == "room-a")) | length' "$from" "$to")" 0
note "$(traffic_figure load length "$from" "$to") requests, none answered by room A; the map was repaired after $took ms"
lab start control signalboxd >/dev/null
within 30 "the server is back" sb status
