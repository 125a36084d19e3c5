#!/usr/bin/env bash
# nobody asks but checks: what a forwarder takes of a processor, and that none calls a line dead
# shellcheck source=tests/lab/scenarios/gateways/gwlib.sh
source "$(dirname "$(readlink -f "$0")")/gwlib.sh"
seconds=${IDLE_S:-10} limit=3 # per cent

gateways=(gw-a1 gw-a2 gw-b1 gw-b2)
# ticks GATEWAY: clock ticks that its forwarder has run, all threads
ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$(cut -d ' ' -f 1 "$run/pids/$1.signalbox-forwarder")/stat"; }

within 70 "no line waits to be taken again" carry line-5
declare -A before moved
shares=()
for gateway in "${gateways[@]}"; do
    before[$gateway]=$(ticks "$gateway") moved[$gateway]=$(moves "$gateway")
done
from=$(now_us)
within $((seconds + 10)) "$seconds s" past $((from + seconds * 1000000))
for gateway in "${gateways[@]}"; do
    share=$(awk -v t="$(($(ticks "$gateway") - before[$gateway]))" -v hz="$(getconf CLK_TCK)" -v us="$(($(now_us) - from))" 'BEGIN { printf "%.1f", t / hz / us * 1e8 }')
    note "$gateway: $share % of a processor; $(forwarder "$gateway" | grep ^stalls)"
    shares+=("$share")
    expect "$gateway: moves of flows" "$(moves "$gateway")" "${moved[$gateway]}"
done
at_most "per cent of a processor, the most of them" "$(quantile 100 "${shares[@]}")" "$limit"
