#!/usr/bin/env bash
# one edge's agent is cut off during the switch: converging 3/4 with its name, then incomplete; its return is an event
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
lab hole edge-control:edge-2 >/dev/null
id=$(sb plan run room-isolated --confirm room-a --reason "scenario" --no-wait)
execution() { sb execution show "$id" --json; }
converging() { execution | jq -e '.steps[] | select(.name == "edges") | (.text | test("3/4")) and (.stragglers | index("edge-2") != null)'; }
within 10 "step edges says 3/4 and names edge-2" converging
ended() { [[ $(execution | jq -r .state) != running ]]; }
within 40 "the execution ends" ended
expect "state of the execution" "$(execution | jq -r .state)" incomplete
execution | jq -e '.steps[] | select(.name == "edges") | .stragglers == ["edge-2"]' >/dev/null || die "the straggler is not named: $(execution | jq -c .steps)"
healed=$(lab heal edge-control:edge-2 | jq .at_us)
returned() { execution | jq -e '[.events[] | select((.text | test("edge-2")) and (.text | test("late")))] | length > 0'; }
within 10 "the return of edge-2 is an event" returned
at=$(execution | jq '[.events[] | select((.text | test("edge-2")) and (.text | test("late")))][0].at_us')
at_most "return of edge-2 after the heal, ms" "$(((at - healed) / 1000))" 2000
expect "state of the execution afterwards" "$(execution | jq -r .state)" incomplete
note "returned after $(((at - healed) / 1000)) ms"
