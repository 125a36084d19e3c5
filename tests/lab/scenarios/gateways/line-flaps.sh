#!/usr/bin/env bash
# the line that carries flaps at 5 Hz: its flows move, and stay away; all lines are lost, and come back
# shellcheck source=tests/lab/scenarios/gateways/gwlib.sh
source "$(dirname "$(readlink -f "$0")")/gwlib.sh"

for gateway in gw-a1 gw-b1; do
    within 70 "no line of $gateway waits to carry again" no_line_waits "$gateway"
done
escape_start flap new keepalive
line=$(carrying gw-b1)
before=$(moves gw-b1)
from=$(lab flap "$line" 5 | jq .at_us)
other() { [[ $(carrying gw-b1) == line-? && $(carrying gw-b1) != "$line" ]]; }
within 2 "another line than $line carries" other
within 3 "it flaps for a second" past $((from + 1000000))
moved=$(moves gw-b1)
within 7 "it flaps for 5 s" past $((from + 5000000))
expect "moves behind the first second of flapping" "$(($(moves gw-b1) - moved))" 0
# Two: what shares its duct with the line is not trusted until it had the time to fail as well.
at_most "moves of the flap" $((moved - before)) 2
lab heal "$line" >/dev/null
within 10 "$line is up again" lab wait 5
to=$(now_us)

kept=$(carrying gw-b1)
lost=$(lab hole lines:room-b | jq .at_us)
stranded() { [[ $(carrying gw-b1) == *"!" && $(carrying gw-b2) == *"!" ]]; }
within 2 "gateways say that no line is up" stranded
note "kept when all were lost: $kept, then $(carrying gw-b1)"
healed=$(lab heal all | jq .at_us)
within 10 "all lines are up" lab wait 5
traffic_quiet flap 2
back=$(now_us)
traffic_quiet flap 1
traffic_stop flap
expect "failed requests of the flap" "$(failed flap "$from" "$to")" 0
expect "failed requests when all were back" "$(failed flap "$back")" 0
expect "rooms that answered" "$(rooms flap "$from")" room-a
note "flap of $line: $((moved - before)) moves, longest $(longest_ms flap "$from" "$to") ms; all lines lost for $(((healed - lost) / 1000)) ms: $(failed flap "$lost" "$back") failed"
