#!/usr/bin/env bash
# escape: the gateway at the far end of one gateway's lines is killed; that one takes its address back, the other goes on
# shellcheck source=tests/lab/scenarios/gateways/gwlib.sh
source "$(dirname "$(readlink -f "$0")")/gwlib.sh"
limit_ms=2500 # what a forwarder shows is read each second

# who: gateways of room B that its POPs send the escape's address to
who() { lab exec pop-b1 ip -j route show 198.51.100.41 | jq -r '[.[] | .dev // (.nexthops[] | .dev)] | sort | join(" ")'; }
who_is() { [[ $(who) == "$1" ]]; }

escape_start far new
both=$(who)
killed=$(lab kill gw-a1 signalbox-forwarder | jq .at_us)
within 5 "gw-b1, whose lines lead to gw-a1, has taken the escape back" who_is gw-b2-pop1
gone=$(now_us)
took=$(((gone - killed) / 1000))
traffic_quiet far 2
lab start gw-a1 signalbox-forwarder >/dev/null
within 15 "both gateways" who_is "$both"
within 30 "all is announced" lab wait 5
back=$(now_us)
traffic_quiet far 2
traffic_stop far
expect "rooms that answered" "$(rooms far "$killed")" room-a
expect "failed requests once it was gone" "$(failed far $((gone + 100000)) "$back")" 0
at_most "ms until it was gone" "$took" "$limit_ms"
note "gone after $took ms; $(failed far "$killed" "$gone") requests failed until then, $(failed far "$back") since it was back"
