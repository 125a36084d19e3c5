#!/usr/bin/env bash
# the forwarder of one of two gateways hangs: who asks from end to end takes its addresses back; those of both hang: edges, which ask through the POPs, say so
# shellcheck source=tests/lab/scenarios/gateways/gwlib.sh
source "$(dirname "$(readlink -f "$0")")/gwlib.sh"
limit_ms=4500 # three questions, a second apart, the last of which has a second to be answered, and the way to POPs

# metric GATEWAY NAME{LABELS}: as its agent gives it
metric() { lab exec "$1" curl -s http://127.0.0.1:9105/metrics | awk -v name="$2" '$1 == name { print $2 }'; }
probed() { [[ $(metric gw-a1 "signalbox_gateway_probe_up{service=\"$1\"}") == 1 && $(metric gw-a1 "signalbox_gateway_announced{vip=\"vip_${1//-/_}\"}") == 1 ]]; }
answered() { jq -e '[.gateway.probes[].good] | min > 0' <<<"$(socat -t 5 - "UNIX:$run/gw-a1/gateway.sock" <<<status)"; }

within 10 "gw-a1 answers from end to end" answered
for vip in vip-a1 vip-a2 shared-a; do probed $vip || die "$vip: its metrics do not say that it is announced and answers"; done
traffic_start all
hung=$(lab pause gw-a1 signalbox-forwarder | jq .at_us)
within 15 "POPs send nothing to gw-a1" ways_are gw-a2-pop1
took=$((($(now_us) - hung) / 1000))
[[ $(metric gw-a1 'signalbox_gateway_announced{vip="vip_vip_a1"}') == 0 ]] || die "its metrics say that it is announced"
traffic_quiet all 2
lab resume gw-a1 signalbox-forwarder >/dev/null
within 20 "both gateways" ways_are "gw-a1-pop1 gw-a2-pop1"
within 30 "all is announced" lab wait 5
traffic_quiet all 2
traffic_stop all

# Nobody of the room answers: who asks at the same addresses from outside, through the POPs, is every edge.
alarm() { sb status --json | jq -r '.alarms[] | select(.key == "entrances/room-a") | .evidence'; }
alarmed() { [[ $(alarm) == *"pop-a1 down at "*"pop-a2 down at "* ]]; }
at_rest() { [[ -z $(alarm) ]]; }
both=$(lab pause gw-a1 signalbox-forwarder | jq .at_us)
lab pause gw-a2 signalbox-forwarder >/dev/null
within 15 "the server has an alarm of room A's entrances" alarmed
note "both hang: $(alarm), known after $((($(now_us) - both) / 1000)) ms"
for gateway in gw-a1 gw-a2; do lab resume $gateway signalbox-forwarder >/dev/null; done
within 30 "all is announced" lab wait 5
within 30 "no alarm of room A's entrances" at_rest
at_most "ms until its addresses were gone" "$took" "$limit_ms"
note "gone after $took ms; $(failed all "$hung") of $(traffic_figure all length "$hung") requests failed, $(failed_gets all "$hung") of them GETs"
