#!/usr/bin/env bash
# the line that carries is taken out for maintenance, by its runbook, and back: connections change lines, nothing is lost
# shellcheck source=tests/lab/scenarios/gateways/gwlib.sh
source "$(dirname "$(readlink -f "$0")")/gwlib.sh"

within 70 "line-5 carries" carry line-5
escape_start out new keepalive
from=$(now_us)
sb plan run line-maintenance --confirm line-5 --reason "its carrier works on it" >/dev/null || die "line-maintenance did not succeed"
within 2 "line-6 carries" carry line-6
took=$((($(now_us) - from) / 1000))
traffic_quiet out 2
sb control set line line-5 default --reason "the carrier is done" >/dev/null 2>&1
within 10 "line-5 carries again" carry line-5
traffic_quiet out 2
to=$(now_us)
traffic_stop out
expect "failed requests" "$(failed out "$from" "$to")" 0
expect "rooms that answered" "$(rooms out "$from" "$to")" room-a
note "out after $took ms; $(traffic_figure out length "$from" "$to") requests, longest $(longest_ms out "$from" "$to") ms"
