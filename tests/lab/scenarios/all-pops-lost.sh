#!/usr/bin/env bash
# all four POPs are silently gone for 5 s and back: dedicated edges lose no GET, public ones serve again within 3 s
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
traffic_start load
from=$(lab hole room:room-a | jq .at_us)
lab hole room:room-b >/dev/null
gone() { (($(now_us) >= from + 5000000)); }
within 6 "5 s without POPs" gone
lab heal room:room-a >/dev/null
healed=$(lab heal room:room-b | jq .at_us)
traffic_quiet load 5
to=$(now_us)
traffic_stop load
bad='select(.post == false and (.c < 200 or .c > 299))'
dedicated="map(select(\$streams[.s].edge_class == \"dedicated\") | $bad) | length"
public="map(select(\$streams[.s].edge_class == \"public\") | $bad)"
expect "failed GETs of dedicated edges" "$(traffic_figure load "$dedicated" "$from" "$to")" 0
# Without this the fault was none.
lost=$(traffic_figure load "$public | length" "$((from + 2000000))" "$healed")
((lost > 0)) || die "public edges served although no POP was left"
recovered=$(traffic_figure load "$public | (map(.t) | max // $healed) - $healed | [., 0] | max / 1000 | floor" "$from" "$to")
at_most "public edges, ms from the heal to the last GET that failed" "$recovered" 3000
expect "requests of any kind that failed later than 3 s after the heal" \
    "$(traffic_figure load 'map(select(.c < 200 or .c > 299)) | length' "$((healed + 3000000))" "$to")" 0
note "public edges lost $lost GETs without POPs and the last one $recovered ms after the heal"
