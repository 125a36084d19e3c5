#!/usr/bin/env bash
# every line of the ring is cut: each room serves its own users on, nobody changes room, nothing is written, status says it
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
traffic_start load
generation=$(sb status --json | jq .generation)
from=$(lab cut line-1 | jq .at_us)
for line in line-2 line-3 line-4 line-5; do lab cut "$line" >/dev/null; done
shown() { [[ $(sb status --json | jq '[.entrances[] | select(.via == "ring" and .up < .seen)] | length') == 2 ]]; }
within 10 "status shows both rooms' rings down" shown
past() { (($(now_us) >= from + 6000000)); }
within 10 "6 s of rooms apart" past
to=$(now_us)
expect "generation" "$(sb status --json | jq .generation)" "$generation"
for line in line-1 line-2 line-3 line-4 line-5; do lab heal "$line" >/dev/null; done
traffic_quiet load 3
traffic_stop load
# shellcheck disable=SC2016 # the dollars are jq's
public='map(select($streams[.s].edge_class == "public"))'
expect "failed GETs of public edges" "$(traffic_figure load "$public | map(select(.post == false and (.c < 200 or .c > 299))) | length" "$from" "$to")" 0
expect "users of public edges who changed room" "$(traffic_figure load "$public"' | map(select(.room != "")) | group_by([.s, .u])
    | map(select(map(.room) | unique | length > 1)) | length' "$from" "$to")" 0
# Its own way to the rooms is gone; what remains to it is the rooms' POPs.
# shellcheck disable=SC2016
note "dedicated edges: $(traffic_figure load 'map(select($streams[.s].edge_class == "dedicated" and .post == false)) | "\(length) GETs, \(map(select(.c < 200 or .c > 299)) | length) failed"' "$from" "$to")"
