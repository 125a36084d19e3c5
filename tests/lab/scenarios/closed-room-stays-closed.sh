#!/usr/bin/env bash
# room A drained by plan, all servers killed, HAProxy reloaded 20 times, agents restarted: 0 requests reach room A
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
traffic_start load
sb plan run room-drain --confirm room-a --reason "scenario" --override share-moved >/dev/null || die "the plan did not succeed"
from=$(now_us)
lab kill control signalboxd >/dev/null
for edge in edge-1 edge-2 edge-3 edge-4; do
    lab kill "$edge" signalbox-edge >/dev/null
    lab start "$edge" signalbox-edge >/dev/null
done
workers() { echo "show proc" | socat - "UNIX-CONNECT:$run/$1/master.sock" | awk '$2 == "worker" { print $1; exit }'; }
reloaded() { # EDGE OLD_WORKER
    [[ $(workers "$1") != "$2" && -n $(workers "$1") ]]
}
for ((i = 0; i < 20; i++)); do
    declare -A old=()
    for edge in edge-1 edge-2 edge-3 edge-4; do
        old[$edge]=$(workers "$edge")
        echo reload | socat - "UNIX-CONNECT:$run/$edge/master.sock" >/dev/null || :
    done
    for edge in edge-1 edge-2 edge-3 edge-4; do
        within 10 "a new worker of $edge" reloaded "$edge" "${old[$edge]}"
    done
done
# The servers are dead, so the agents prove on their own socket that they are at work again.
traffic_quiet_multi() { jq -e '[.streams[] | select(.name != "single-room") | .ok > 0 and .failed == 0] | all' "$scratch/load.live"; }
within 20 "core and manual are served" traffic_quiet_multi
to=$(now_us)
traffic_stop load
expect "requests that room A answered" "$(traffic_figure load 'map(select(.room == "room-a")) | length' "$from" "$to")" 0
note "$(traffic_figure load length "$from" "$to") requests, none answered by room A; answered by room B: $(traffic_figure load 'map(select(.room == "room-b")) | length' "$from" "$to")"
lab start control signalboxd >/dev/null
within 30 "the server is back" sb status
