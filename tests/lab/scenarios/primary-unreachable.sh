#!/usr/bin/env bash
# one DNS primary unreachable at the press: the edges' time stays within 1.2 times, the execution says 1 of 2
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
runs=${SIGNALBOX_RUNS:-20}
edges_applied() { sb agents --json | jq -e '[.agents[] | select(.kind == "edge" and .state != "applied")] | length == 0'; }
press() { # prints the edges' time in µs
    local id
    id=$(sb plan run room-isolated --confirm room-a --reason "scenario" --no-wait)
    edges_done() { sb execution show "$id" --json | jq -e '.steps[] | select(.name == "edges") | .state == "succeeded"'; }
    within 20 "edges are converged" edges_done
    sb execution show "$id" --json | jq '(.steps[] | select(.name == "edges") | .ended_us) - .started_us'
    sb execution abort "$id" >/dev/null 2>&1 || :
    sb plan run failback --confirm room-a >/dev/null 2>&1 || :
    within 30 "edges have applied" edges_applied
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
converged() { sb agents --json | jq -e '.agents[] | select(.name == "ns-1") | .state == "converged"'; }
# In turns of five, so that a slow minute of the machine falls on both.
for ((i = 0; i < runs; i += 5)); do
    for ((j = 0; j < 5; j++)); do press; done >>"$scratch/both"
    lab hole node:ns-1 >/dev/null
    for ((j = 0; j < 5; j++)); do press; done >>"$scratch/one"
    if ((i == 0)); then
        id=$(sb plan run room-isolated --confirm room-a --reason "scenario" --no-wait)
        one_of_two() { sb execution show "$id" --json | jq -e '.steps[] | select(.name == "dns") | .text | test("1 of 2")'; }
        within 15 "step dns says 1 of 2: $(sb execution show "$id" --json | jq -c .steps)" one_of_two
        sb execution abort "$id" >/dev/null 2>&1 || :
    fi
    lab heal node:ns-1 >/dev/null
    within 20 "ns-1 is back" converged
done
both=$(median <"$scratch/both") one=$(median <"$scratch/one")
at_most "edges' time with one primary, as a ratio" "$(awk -v a="$one" -v b="$both" 'BEGIN { print a / b }')" 1.2
note "median of $runs: both $both µs, one $one µs"
