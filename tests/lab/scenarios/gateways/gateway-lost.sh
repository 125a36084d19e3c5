#!/usr/bin/env bash
# forwarder, BIRD and agent of one of two gateways are killed under load, again and again: its addresses go to the other, users see nothing; without an agent it is a last resort
# shellcheck source=tests/lab/scenarios/gateways/gwlib.sh
source "$(dirname "$(readlink -f "$0")")/gwlib.sh"
# GATEWAY_KILLS: of each; 20 tell more of a quantile, and take three minutes.
kills=${GATEWAY_KILLS:-6} limit_ms=300
both="gw-a1-pop1 gw-a2-pop1"

# road GATEWAY: ASes on the road to it that the POP knows: 1, or 2, it is a last resort; nothing, there is none
road() { birdc -r -s "$run/pop-a1/bird.ctl" "show route for 198.51.100.11 protocol n_${1//-/_}_bgp1 all" | awk '/BGP.as_path:/ { print NF - 1 }'; }
roads_are() { [[ "$(road gw-a1) $(road gw-a2)" == "$1" ]]; }

traffic_start all
begun=$(now_us) phases=()
for process in signalbox-forwarder bird signalbox-gateway; do
    gone=() back=() phase=$(now_us)
    for ((i = 0; i < kills; i++)); do
        lab kill gw-a1 $process >"$scratch/kill" & # it waits for all of the process to end, which is later
        within 5 "$process killed: POPs send nothing to gw-a1" ways_are gw-a2-pop1
        seen=$(now_us)
        wait $!
        gone+=($(((seen - $(jq .at_us "$scratch/kill")) / 1000)))
        [[ $process != signalbox-gateway ]] || expect "roads while the agent of gw-a1 is dead" "$(road gw-a1) $(road gw-a2)" "2 1"
        started=$(now_us)
        lab start gw-a1 $process >/dev/null
        within 30 "$process started again: both gateways" ways_are "$both"
        back+=($((($(now_us) - started) / 1000)))
    done
    within 30 "all is announced" lab wait 5
    traffic_quiet all 1
    phases+=("$process|$phase|$(now_us)")
    note "$process killed $kills times: gone after ${gone[*]} ms, back after ${back[*]} ms, at most $(quantile 100 "${back[@]}") ms"
    at_most "$process killed: ms until its addresses were gone, 95 % of $kills" "$(quantile 95 "${gone[@]}")" "$limit_ms"
done
# Nobody looks after any gateway of the room: both go on as the last resort.
for gateway in gw-a1 gw-a2; do lab kill $gateway signalbox-gateway >/dev/null; done
within 5 "two last resorts" roads_are "2 2"
traffic_quiet all 2
expect "gateways without agents" "$(ways)" "$both"
for gateway in gw-a1 gw-a2; do lab start $gateway signalbox-gateway >/dev/null; done
within 30 "all is announced" lab wait 5
traffic_quiet all 1
traffic_stop all
note "$(traffic_figure all length "$begun") requests, $(failed all "$begun") failed, longest $(longest_ms all "$begun") ms"
for row in "${phases[@]}"; do
    IFS='|' read -r process from to <<<"$row"
    gets=$(failed_gets all "$from" "$to")
    note "$process killed: $gets of $(traffic_figure all length "$from" "$to") requests were GETs that failed"
    # Until its address is gone a dead forwarder swallows what comes; an edge may lose both entrances for a moment.
    most=0
    [[ $process != signalbox-forwarder ]] || most=$(($(traffic_figure all length "$from" "$to") / 500))
    at_most "$process killed: failed GETs" "$gets" "$most"
done
expect "users who changed room" "$(moved all 0 "$begun")" 0
