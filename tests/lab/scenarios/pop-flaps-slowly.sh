#!/usr/bin/env bash
# a POP is cut and healed every 2 s, ten times: no GET of a service that fails fast is lost, no user changes room
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
traffic_start load
generation=$(sb status --json | jq .generation)
from=$(now_us)
past() { (($(now_us) >= $1)); }
is_down() { sb status --json | jq -e '.entrances[] | select(.via == "pop-a1" and .up == 0)' >/dev/null; }
silent=0 # cuts of which status said nothing
for ((i = 0; i < 10; i++)); do
    at=$(lab cut pop:pop-a1 | jq .at_us) said=0
    until past $((at + 2000000)); do
        if is_down; then said=1; fi
        pause 0.2
    done
    ((said)) || silent=$((silent + 1))
    at=$(lab heal pop:pop-a1 | jq .at_us)
    within 4 "2 s" past $((at + 2000000))
done
traffic_quiet load 2
to=$(now_us)
traffic_stop load
# A service with a time-out of its own (upload) waits for an answer that was lost on its way when the POP went, for from
# the edge that looks like a service that thinks, and gives up: it is of the few that were being answered at a cut.
# shellcheck disable=SC2016 # the dollars are jq's
lost='map(select(.post == false and (.c < 200 or .c > 299))) | map($streams[.s].name)'
expect "failed GETs of services that fail fast" "$(traffic_figure load "$lost"' | map(select(. != "single-room")) | length' "$from" "$to")" 0
failed=$(failed_gets load "$from" "$to")
at_most "failed GETs of all, of ten cuts" "$failed" 5
at_most "cuts of which status said nothing" "$silent" 5
expect "users who changed room" "$(moved load 0 "$from" "$to")" 0
expect "generation" "$(sb status --json | jq .generation)" "$generation"
note "$failed of $(traffic_figure load length "$from" "$to") requests failed, status named $((10 - silent)) of 10 cuts, longest $(traffic_figure load 'map(.e - .t) | max / 1000 | floor' "$from" "$to") ms"
