#!/usr/bin/env bash
# the ring is cut on both sides of a dedicated edge: the first cut is rerouted, at the second it falls back to POPs
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"

# ring_up ROOM: by how many of how many edges its ring entrance is seen up
ring_up() { sb status --json | jq -r '.entrances[] | select(.room == "'"$1"'" and .via == "ring") | "\(.up) of \(.seen)"'; }
ring_is() { [[ $(ring_up room-a) == "$1" && $(ring_up room-b) == "$1" ]]; }

# What status warns of: which edge has lost the ring, with the lines that led there and their ducts.
ring_lost() { sb status --json | jq -r '.warnings[] | select(contains("the ring"))'; }
named="edge-3 has lost the ring, no dedicated path is left: line-1 (duct-north), line-2 (duct-east)"
is_named() { [[ $(ring_lost) == "$named" ]]; }

# entrances EDGE FROM_US [TO_US]: kinds of entrances that its users' answers came by, of requests that began and ended
# then: one that is under way when the next line is cut has seen both.
entrances() {
    traffic_figure line 'map(select(.edge == "'"$1"'" and .entrance != "" and .e <= '"${3:-9000000000000000}"')
        | .entrance[0:4]) | unique | join(" ")' "${@:2}"
}

streams=()
for client in new keepalive; do
    streams+=(--stream "core/dedicated/$client=play-line.example.test@30")
    streams+=(--stream "manual/dedicated/$client=home-line.example.test@30")
    streams+=(--stream "single/dedicated/$client=creator-line.example.test@30")
done
traffic_start line "${streams[@]}"

first=$(lab cut line-1 | jq .at_us)
traffic_quiet line 5
ring_is "2 of 2" || die "the ring was lost at its first cut: $(ring_up room-a), $(ring_up room-b)"
expect "what is said of the ring, which leads everywhere" "$(ring_lost)" ""
to=$(now_us)

second=$(lab cut line-2 | jq .at_us)
within 5 "status says that an edge has lost the ring" ring_is "1 of 2"
within 5 "status names the edge and its lines" is_named
traffic_quiet line 3
at_pops=$(now_us)
traffic_quiet line 2
# What the edge reports: it is asked again and again, so an old report cannot last.
by_pops() { sb explain http://creator-line.example.test/ --from edge-3 --json | jq -e '[.. | objects
    | select(.edge? == "edge-3" and has("requests") and .rate > 0 and (.via | startswith("pop-a")))] | length > 0'; }
within 5 "explain shows the POPs that edge-3 uses" by_pops
healed=$(now_us)

lab heal all >/dev/null
within 20 "the ring leads everywhere again" ring_is "2 of 2"
expect "what is said of the ring then" "$(ring_lost)" ""
traffic_quiet line 3
back=$(now_us)
traffic_quiet line 2
traffic_stop line

expect "failed GETs of dedicated edges at the first cut" "$(failed_gets line "$first" "$to")" 0
expect "failed GETs of dedicated edges at the second cut" "$(failed_gets line "$second" "$healed")" 0
expect "failed GETs of dedicated edges when it healed" "$(failed_gets line "$healed")" 0
expect "entrances that edge-3 used after the first cut" "$(entrances edge-3 "$first" "$to")" '"ring"'
expect "entrances that edge-3 used after the second" "$(entrances edge-3 "$at_pops" "$healed")" '"pop-"'
expect "entrances that edge-4 used" "$(entrances edge-4 "$first")" '"ring"'
expect "entrances that edge-3 used in the end" "$(entrances edge-3 "$back")" '"ring"'
expect "users who changed room" "$(moved line 0 "$first")" 0
