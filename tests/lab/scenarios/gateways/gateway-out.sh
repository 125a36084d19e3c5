#!/usr/bin/env bash
# a gateway is taken out by its lever, and back: POPs send nothing more to it, no GET fails
# shellcheck source=tests/lab/scenarios/gateways/gwlib.sh
source "$(dirname "$(readlink -f "$0")")/gwlib.sh"

traffic_start all
from=$(now_us)
sb control set gateway gw-a1 out --reason "its power supply" >/dev/null 2>&1
within 5 "POPs send nothing to gw-a1" ways_are gw-a2-pop1
took=$((($(now_us) - from) / 1000))
traffic_quiet all 2
sb control set gateway gw-a1 default --reason "it has a new one" >/dev/null 2>&1
within 10 "both gateways" ways_are "gw-a1-pop1 gw-a2-pop1"
traffic_quiet all 2
traffic_stop all
expect "failed GETs" "$(failed_gets all "$from")" 0
expect "users who changed room" "$(moved all 0 "$from")" 0
# POPs hand connections that were kept to the other gateway, which knows nothing of them.
note "out after $took ms; $(traffic_figure all length "$from") requests, $(failed all "$from") failed, longest $(longest_ms all "$from") ms"
