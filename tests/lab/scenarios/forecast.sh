#!/usr/bin/env bash
# what a dry run of room-isolated forecasts becomes of the traffic: each room's and each entrance's requests/s
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
seconds=6 tenths=1.5 least=5 # of a figure, and requests/s: users are not spread evenly, nor requests over seconds
# The mean of so many seconds, a line each: room or room/entrance, requests/s.
means() {
    local i
    for ((i = 0; i < seconds; i++)); do
        sb status --json
        pause 1
    done | jq -sr --argjson n "$seconds" '[.[] | (.rooms[] | {name, rate}), (.entrances[] | {name: "\(.room)/\(.via)", rate})]
        | group_by(.name)[] | "\(.[0].name) \((map(.rate // 0) | add) / $n)"'
}
# foreseen FIELD: the same of the dry run, before or after
foreseen() {
    jq -r --arg field "$1" '.forecast.rows[] | select(.kind == "room" or .kind == "entrance") | "\(.name) \(.[$field])"' "$scratch/dry" | sort
}
# apart FORESEEN SEEN: lines of both that are further apart than that
apart() {
    awk -v tenths="$tenths" -v least="$least" 'NR == FNR { seen[$1] = $2; next }
        { d = $2 - seen[$1]; d = d < 0 ? -d : d; m = $2 * tenths / 10; if (d > (m > least ? m : least)) print $1 ": " $2 "/s were forecast, " seen[$1] "/s seen" }' "$2" "$1"
}
traffic_start load
dry() { sb plan run room-isolated --confirm room-a --dry-run --json >"$scratch/dry" 2>/dev/null && [[ $(jq '.forecast | .known and .moved > 0' "$scratch/dry") == true ]]; }
within 20 "a forecast that moves somebody" dry
means >"$scratch/before"
dry || die "no forecast"
foreseen after >"$scratch/foreseen"
sb plan run room-isolated --confirm room-a --reason scenario >/dev/null 2>&1
as_foreseen() {
    means >"$scratch/after"
    [[ -z $(apart "$scratch/foreseen" "$scratch/after") ]]
}
# Resolvers hold old answers for some seconds.
as_foreseen || as_foreseen || die "$(apart "$scratch/foreseen" "$scratch/after")"
[[ -n $(apart "$scratch/foreseen" "$scratch/before") ]] || die "nothing was to move: that compares nothing"
note "forecast, seen: $(join "$scratch/foreseen" "$scratch/after" 2>/dev/null | tr '\n' ';')"
traffic_stop load
