#!/usr/bin/env bash
# one edge's agent is cut off, or stands still, during the switch: 3/4 with its name, then incomplete; its return is an event
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
execution() { sb execution show "$id" --json; }
converging() { execution | jq -e '.steps[] | select(.name == "edges") | (.text | test("3/4")) and (.stragglers | index("edge-2") != null)'; }
ended() { [[ $(execution | jq -r .state) != running ]]; }
late='select((.text | test("edge-2")) and (.text | test("late")))'
returned() { execution | jq -e "[.events[] | $late] | length > 0"; }

for fault in partitioned paused; do
    if [[ $fault == partitioned ]]; then
        lab hole edge-control:edge-2 >/dev/null
    else
        lab pause edge-2 signalbox-edge >/dev/null
    fi
    id=$(sb plan run room-isolated --confirm room-a --reason "scenario" --no-wait)
    within 10 "$fault: step edges says 3/4 and names edge-2" converging
    within 40 "$fault: the execution ends" ended
    expect "$fault: state of the execution" "$(execution | jq -r .state)" incomplete
    execution | jq -e '.steps[] | select(.name == "edges") | .stragglers == ["edge-2"]' >/dev/null || die "$fault: the straggler is not named: $(execution | jq -c .steps)"
    back=$(now_us)
    if [[ $fault == partitioned ]]; then
        back=$(lab heal edge-control:edge-2 | jq .at_us)
    else
        lab resume edge-2 signalbox-edge >/dev/null
    fi
    within 10 "$fault: the return of edge-2 is an event" returned
    at=$(execution | jq "[.events[] | $late][0].at_us")
    at_most "$fault: return of edge-2 after the fault's end, ms" "$(((at - back) / 1000))" 2000
    expect "$fault: state of the execution afterwards" "$(execution | jq -r .state)" incomplete
    note "$fault: named, incomplete, returned after $(((at - back) / 1000)) ms"
    [[ $fault == paused ]] || site_reset
done
