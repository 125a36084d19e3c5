#!/usr/bin/env bash
# one POP of a room is lost (silently, one way only, carrier, refusing): no GET fails, nothing moves to the other room
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
for fault in hole hole-ab hole-ba cut rst; do
    traffic_start "$fault"
    way=()
    [[ $fault != *-* ]] || way=("${fault#*-}")
    from=$(lab "${fault%%-*}" pop:pop-a1 "${way[@]}" | jq .at_us)
    traffic_quiet "$fault" 4
    lab heal pop:pop-a1 >/dev/null
    traffic_quiet "$fault" 2
    to=$(now_us)
    traffic_stop "$fault"
    expect "$fault: failed GETs" "$(failed_gets "$fault" "$from" "$to")" 0
    expect "$fault: users who changed room" "$(moved "$fault" 0 "$from" "$to")" 0
    note "$fault: $(traffic_figure "$fault" length "$from" "$to") requests, longest $(traffic_figure "$fault" 'map(.e - .t) | max / 1000 | floor' "$from" "$to") ms"
done
