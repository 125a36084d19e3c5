#!/usr/bin/env bash
# forwarder, BIRD and agent of one of two gateways are killed under load, again and again: its addresses go to the other, users see nothing
# shellcheck source=tests/lab/scenarios/gateways/gwlib.sh
source "$(dirname "$(readlink -f "$0")")/gwlib.sh"
kills=${GATEWAY_KILLS:-20} limit_ms=300
both="gw-a1-pop1 gw-a2-pop1"

traffic_start all
begun=$(now_us)
for process in signalbox-forwarder bird; do
    gone=() back=()
    for ((i = 0; i < kills; i++)); do
        at=$(lab kill gw-a1 $process | jq .at_us)
        within 5 "$process killed: POPs send nothing to gw-a1" ways_are gw-a2-pop1
        gone+=($((($(now_us) - at) / 1000)))
        started=$(now_us)
        lab start gw-a1 $process >/dev/null
        within 30 "$process started again: both gateways" ways_are "$both"
        back+=($((($(now_us) - started) / 1000)))
    done
    within 30 "all is announced" lab wait 5
    traffic_quiet all 1
    note "$process killed $kills times: gone after ${gone[*]} ms, back after ${back[*]} ms"
    at_most "$process killed: ms until its addresses were gone, 95 % of $kills" "$(quantile 95 "${gone[@]}")" "$limit_ms"
done
# Nobody looks after the forwarder for a while; it goes on as it was told, and so does BIRD.
back=()
for ((i = 0; i < kills; i++)); do
    lab kill gw-a1 signalbox-gateway >/dev/null
    started=$(now_us)
    lab start gw-a1 signalbox-gateway >/dev/null
    expect "gateways while an agent comes back" "$(ways)" "$both"
    within 30 "the agent is there again" lab wait 5
    back+=($((($(now_us) - started) / 1000)))
    expect "gateways when an agent is back" "$(ways)" "$both"
done
lab kill gw-a1 signalbox-gateway >/dev/null
traffic_quiet all 2
expect "gateways while an agent is dead" "$(ways)" "$both"
lab start gw-a1 signalbox-gateway >/dev/null
within 30 "the agent is there again" lab wait 5
traffic_quiet all 1
traffic_stop all
note "signalbox-gateway killed $kills times: nothing moved, all is announced by it after ${back[*]} ms"
note "$(traffic_figure all length "$begun") requests, $(failed all "$begun") failed, longest $(longest_ms all "$begun") ms"
expect "failed GETs" "$(failed_gets all "$begun")" 0
expect "users who changed room" "$(moved all 0 "$begun")" 0
