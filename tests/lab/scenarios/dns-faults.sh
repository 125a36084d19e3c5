#!/usr/bin/env bash
# DNS servers hang, stop in the middle, or lose their key: named within 2 s, edges wait for none of them, all heal
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
declare -A address_of=([ns-1]=192.0.2.53 [ns-2]=192.0.2.54 [ns-3]=192.0.2.55)
shows() { lab exec "$1" kdig "@${address_of[$1]}" +short "$2" "$3" | sort | tr '\n' ' '; }
sentinel() { shows "$1" TXT _signalbox.example.test; }
alike() { [[ $(shows "$1" A core.policy.example.test) == "$(shows "$2" A core.policy.example.test)" && $(sentinel "$1") == "$(sentinel "$2")" ]]; }
# server NAME FILTER: jq -e over its row of `signalbox agents`.
server() { sb agents --json | jq -e --arg name "$1" ".agents[] | select(.name == \$name) | $2"; }
step() { sb execution show "$id" --json | jq -e --arg name "$1" ".steps[] | select(.name == \$name) | $2"; }
press() { id=$(sb plan run "$1" --confirm room-a --reason "scenario" --no-wait); }
finish() { # the plan that was pressed last, and the way back
    within 60 "the plan has ended: $(sb execution show "$id" --json | jq -c .steps)" ended_well
    press failback
    within 60 "failback has ended" ended_well
    within 30 "the lab is at rest" rested
}
ended_well() { sb execution show "$id" --json | jq -e '.state == "succeeded"'; }

# since FROM WHAT COMMAND...: the condition, and how long after FROM it held.
since() {
    local from=$1 what=$2
    shift 2
    within 20 "$what" "$@"
    took=$((($(now_us) - from) / 1000))
    note "$what after $took ms"
}

# 1. A primary hangs as the button is pressed.
hung() { # NAME PROGRAM
    local from
    lab pause "$1" "$2" >/dev/null
    from=$(now_us)
    press room-isolated
    since "$from" "$1 hangs: edges" step edges '.state == "succeeded"'
    at_most "$1 hangs: time of the edges, ms" "$took" 2000
    since "$from" "$1 hangs: named" server "$1" '(.state == "unreachable" or .state == "unknown") and .error != null'
    at_most "$1 hangs: until it is named, ms" "$took" 3000
    note "$1: $(server "$1" '"\(.state): \(.error)"')"
    within 10 "step dns says 1 of 2: $(step dns .text)" step dns '.text | test("1 of 2")'
    lab resume "$1" "$2" >/dev/null
    since "$(now_us)" "$1 goes on: converged" server "$1" '.state == "converged"'
    at_most "$1 goes on: until it has converged, ms" "$took" 4000
    finish
    alike ns-1 ns-2 || die "ns-1 and ns-2 differ: $(sentinel ns-1), $(sentinel ns-2)"
}
hung ns-1 knotd
hung ns-2 named

# 2. The secondary stops in the middle of a plan.
lab pause ns-3 knotd >/dev/null
press room-isolated
within 10 "step dns says 0 of 1 secondaries: $(step dns .text)" step dns '.text | test("2 of 2 primaries, 0 of 1 secondaries")'
note "dns: $(step dns .text)"
before=$(server ns-2 .residual_ms)
lab resume ns-3 knotd >/dev/null
since "$(now_us)" "ns-3 goes on: converged" server ns-3 '.state == "converged"'
at_most "ns-3 goes on: until it has converged, ms" "$took" 3000
after=$(server ns-3 .residual_ms)
((after > before)) || die "the last server's old answers live on for $after ms, the primary's for $before"
note "old answers live on: of ns-2 $before ms when ns-3 went on, of ns-3 $after ms"
finish
alike ns-2 ns-3 || die "ns-2 and ns-3 differ: $(sentinel ns-2), $(sentinel ns-3)"

# 3. The secondary is given another key: it can neither be told nor copy.
cp "$run/ns-3/knot.conf" "$scratch/knot.conf"
lab kill ns-3 knotd >/dev/null
sed -i 's/^    secret: .*/    secret: d3Jvbmcgd3Jvbmcgd3Jvbmc=/' "$run/ns-3/knot.conf"
lab start ns-3 knotd >/dev/null
within 10 "ns-3 answers" server ns-3 '.state == "converged"'
from=$(now_us)
sb control set room.ingress room-a closed --reason "scenario" --override share-moved >/dev/null 2>&1 || die "room-a cannot be closed"
since "$from" "ns-3 has another key: named" server ns-3 '.error // "" | test("refuses our NOTIFY: wrong secret")'
at_most "ns-3 has another key: until it is named, ms" "$took" 3000
note "ns-3: $(server ns-3 .error)"
cp "$scratch/knot.conf" "$run/ns-3/knot.conf"
lab kill ns-3 knotd >/dev/null
lab start ns-3 knotd >/dev/null
since "$(now_us)" "ns-3 has its key again: converged" server ns-3 '.state == "converged" and .error == null'
sb control set room.ingress room-a default --reason "scenario" --override share-moved >/dev/null 2>&1 || die "room-a cannot be opened"
within 30 "the lab is at rest" rested
