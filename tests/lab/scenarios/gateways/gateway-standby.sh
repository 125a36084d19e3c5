#!/usr/bin/env bash
# both gateways of room A are lost, silently and by their levers: room B, which stands by, answers at their address
# shellcheck source=tests/lab/scenarios/gateways/gwlib.sh
source "$(dirname "$(readlink -f "$0")")/gwlib.sh"
# GATEWAY_KILLS: of each; 20 tell more of a quantile, and take three minutes.
times=${GATEWAY_KILLS:-6} silent_ms=300 planned_ms=100 vip=198.51.100.31
both="gw-a1-pop1 gw-a2-pop1"

# takeover NAME FROM_US: ms until room B had answered what was asked behind that
takeover() { traffic_figure "$1" "map(select(.room == \"room-b\" and .c == 200) | .e) | min // 9e15 | (. - $2) / 1000 | floor" "$2" $(($2 + 3000000)); }
begin() {
    within 30 "all is announced" lab wait 5
    within 10 "POPs send to both" ways_are "$both" $vip
    traffic_quiet "$1" 1
}

direct_start standby $vip multi=home.example.test new
lost=() out=() silent=() planned=() failed_from=() failed_to=() failed=0
for ((i = 0; i < times; i++)); do
    begin standby
    lab kill gw-a1 signalbox-forwarder >/dev/null
    lost+=("$(lab kill gw-a2 signalbox-forwarder | jq .at_us)")
    traffic_quiet standby 1
    for gateway in gw-a1 gw-a2; do lab start $gateway signalbox-forwarder >/dev/null; done
done
for ((i = 0; i < times; i++)); do
    begin standby
    from=$(now_us)
    sb control set gateway gw-a1 out --reason "the room's power" >/dev/null 2>&1 || die "gw-a1 cannot be taken out"
    sb control set gateway gw-a2 out --reason "the room's power" >/dev/null 2>&1 || die "gw-a2 cannot be taken out"
    out+=("$(now_us)")
    traffic_quiet standby 1
    for gateway in gw-a1 gw-a2; do sb control set gateway $gateway default --reason "it is back" >/dev/null 2>&1; done
    failed_from+=("$from") failed_to+=("$(now_us)")
done
begin standby
traffic_stop standby
for at in "${lost[@]}"; do silent+=("$(takeover standby "$at")"); done
for at in "${out[@]}"; do planned+=("$(takeover standby "$at")"); done
for ((i = 0; i < times; i++)); do failed=$((failed + $(failed standby "${failed_from[i]}" "${failed_to[i]}"))); done
note "killed $times times: room B answers after ${silent[*]} ms"
note "out $times times: room B answers after ${planned[*]} ms, $failed requests failed"
at_most "both killed: ms until room B answers, 95 % of $times" "$(quantile 95 "${silent[@]}")" "$silent_ms"
at_most "both out: ms until room B answers, 95 % of $times" "$(quantile 95 "${planned[@]}")" "$planned_ms"
