#!/usr/bin/env bash
# room A is lost while the control site has lost its internet, then every edge: the button works or names who has not obeyed
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
execution() { sb execution show "$id" --json; }
step() { execution | jq -r --arg name "$1" '.steps[] | select(.name == $name) | .state'; }
ended() { [[ $(execution | jq -r .state) != running ]]; }
edges_done() { [[ $(step edges) == succeeded ]]; }
generations() { cat "$run"/edge-*/state/applied.log | jq -s '[group_by(.epoch, .generation)[] | length] | last'; }

# The way to the name servers is gone, that to the edges is another one.
lab hole room:room-a >/dev/null
lab cut control >/dev/null
pressed=$(now_us)
id=$(sb plan run room-isolated --confirm room-a --reason "scenario" --no-wait)
within 10 "the edges' branch succeeds without the internet" edges_done
took=$((($(now_us) - pressed) / 1000))
within 60 "the execution ends" ended
expect "state of the execution without name servers" "$(execution | jq -r .state)" incomplete
execution | jq -e '.steps[] | select(.name == "dns") | .stragglers | length == 3' >/dev/null || die "not all name servers are named: $(execution | jq -c '.steps[] | select(.name == "dns")')"
note "no internet at the control site: edges obeyed $took ms after the button; the name servers are named"
site_reset

# No edge hears of it: nothing moves anywhere, and all have it when the way is back.
lab hole room:room-a >/dev/null
for edge in edge-1 edge-2 edge-3 edge-4; do lab cut "edge-control:$edge" >/dev/null; done
id=$(sb plan run room-isolated --confirm room-a --reason "scenario" --no-wait)
within 60 "the execution ends" ended
expect "state of the execution without edges" "$(execution | jq -r .state)" incomplete
expect "who is named" "$(execution | jq -r '.steps[] | select(.name == "edges") | .stragglers | join(" ")')" "edge-1 edge-2 edge-3 edge-4"
for edge in edge-1 edge-2 edge-3 edge-4; do lab heal "edge-control:$edge" >/dev/null; done
within 20 "all edges have what was pressed" settled
expect "edges that took the newest generation" "$(generations)" 4
note "no edge in reach: all four named; all have it since the way is back"
