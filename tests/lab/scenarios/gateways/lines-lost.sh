#!/usr/bin/env bash
# the line that carries is lost under load, silently, one way, by its carrier, with its duct: no request fails
# shellcheck source=tests/lab/scenarios/gateways/gwlib.sh
source "$(dirname "$(readlink -f "$0")")/gwlib.sh"

steady() { [[ $(carrying gw-b1) == line-? ]] && carry "$(carrying gw-b1)"; }
in_duct() { carry line-5 || carry line-6; }
other() { steady && [[ $(carrying gw-b1) != "$1" ]]; }

escape_start lines new keepalive
told=()
for fault in "hole" "hole ab" "hole ba" "cut" "hole duct" "cut duct"; do
    read -ra words <<<"$fault"
    within 30 "one line carries at both gateways" steady
    line=$(carrying gw-b1)
    if [[ $fault == *duct ]]; then
        within 70 "line-5 or line-6 carries" in_duct
        line=$(carrying gw-b1)
        from=$(lab "${words[0]}" srlg:duct-middle | jq .at_us)
        within 2 "$fault: line-7 carries" carry line-7
    else
        from=$(lab "${words[0]}" "$line" "${words[@]:1}" | jq .at_us)
        within 2 "$fault: another line than $line carries" other "$line"
    fi
    saw_ms=$((($(now_us) - from) / 1000))
    traffic_quiet lines 2
    lab heal all >/dev/null
    within 10 "$fault: all lines are up again" lab wait 5
    told+=("$fault of $line, then $(carrying gw-b1)|$from|$(now_us)|$saw_ms")
done
traffic_stop lines
for row in "${told[@]}"; do
    IFS='|' read -r fault from to saw_ms <<<"$row"
    expect "$fault: failed requests" "$(failed lines "$from" "$to")" 0
    expect "$fault: rooms that answered" "$(rooms lines "$from" "$to")" room-a
    note "$fault: $(traffic_figure lines length "$from" "$to") requests, longest $(longest_ms lines "$from" "$to") ms; seen at both gateways within $saw_ms ms"
done
