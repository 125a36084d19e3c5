#!/usr/bin/env bash
# a POP is cut and healed every 2 s, ten times: no GET fails, no user changes room, no lever moves
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
traffic_start load
generation=$(sb status --json | jq .generation)
from=$(now_us)
past() { (($(now_us) >= $1)); }
for ((i = 0; i < 10; i++)); do
    at=$(lab cut pop:pop-a1 | jq .at_us)
    within 4 "2 s" past $((at + 2000000))
    at=$(lab heal pop:pop-a1 | jq .at_us)
    within 4 "2 s" past $((at + 2000000))
done
traffic_quiet load 2
to=$(now_us)
traffic_stop load
expect "failed GETs" "$(failed_gets load "$from" "$to")" 0
expect "users who changed room" "$(moved load 0 "$from" "$to")" 0
expect "generation" "$(sb status --json | jq .generation)" "$generation"
note "$(traffic_figure load length "$from" "$to") requests, longest $(traffic_figure load 'map(.e - .t) | max / 1000 | floor' "$from" "$to") ms"
