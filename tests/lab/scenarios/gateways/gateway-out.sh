#!/usr/bin/env bash
# a gateway is taken out by its runbook, and back: POPs send nothing more to it, no request fails
# shellcheck source=tests/lab/scenarios/gateways/gwlib.sh
source "$(dirname "$(readlink -f "$0")")/gwlib.sh"

# POPs send connections that were kept to the other gateway, which hands them to the one that knows them.
handed() { forwarder "$1" | sed -n 's/^sessions created .* handed \([0-9]*\).*/\1/p'; }

traffic_start all
before_a1=$(handed gw-a1) before_a2=$(handed gw-a2)
from=$(now_us)
sb plan run gateway-drain --confirm gw-a1 --reason "its power supply" >/dev/null || die "gateway-drain did not succeed"
within 5 "POPs send nothing to gw-a1" ways_are gw-a2-pop1
took=$((($(now_us) - from) / 1000))
traffic_quiet all 2
sb control set gateway gw-a1 default --reason "it has a new one" >/dev/null 2>&1
within 10 "both gateways" ways_are "gw-a1-pop1 gw-a2-pop1"
traffic_quiet all 2
traffic_stop all
by_a1=$(($(handed gw-a1) - before_a1)) by_a2=$(($(handed gw-a2) - before_a2))
expect "failed requests" "$(failed all "$from")" 0
expect "users who changed room" "$(moved all 0 "$from")" 0
((by_a2 > 0)) || die "gw-a2 has handed nothing to gw-a1: no connection was kept, which proves nothing"
note "handed on: $by_a2 packets by gw-a2 while gw-a1 was out, $by_a1 by gw-a1 when it was back"
note "out after $took ms; $(traffic_figure all length "$from") requests, $(failed all "$from") failed, longest $(longest_ms all "$from") ms"
