#!/usr/bin/env bash
# the console in Chromium, on the night of the outage, by mouse, keys and thumb: seen, pressed, proved; a server killed; undone
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
[[ -x ${CHROMIUM:-/usr/bin/chromium} ]] || die "found no Chromium, expected one: ./dev test --full installs it"
scenario_undo() {
    local status=$?
    trap - EXIT
    set +e
    sb user remove alice >/dev/null 2>&1
    (exit "$status")
    scenario_end
}
trap scenario_undo EXIT
traffic_start load
sb user list --json | jq -e '[.users[].name] | index("alice") != null' >/dev/null ||
    echo "correct horse battery" | sb user add alice --role operator >/dev/null
# From here to the control site's own network, where the operators' listener is.
listen=$(jq -r '.argv | .[index("--listen") + 1]' "$run/cmds/control.signalboxd")
"$bin/tests/lab/lab" --run "$run" exec control socat "UNIX-LISTEN:$scratch/console.sock,fork" "TCP:$listen" 2>/dev/null & # it says each time that the server is dead
echo $! >"$scratch/socat.pid"
there() { [[ -S $scratch/console.sock ]]; }
within 5 "a way to the console" there
CONSOLE_SOCKET=$scratch/console.sock LAB="$bin/tests/lab/lab --run $run" SIGNALBOX=$bin/server/signalbox \
    SIGNALBOX_SOCKET=$run/control/signalboxd.sock node "$tree/web/test.mjs" browser/ lab >"$scratch/console.txt" ||
    die "$(grep -A12 '^not ok' "$scratch/console.txt")"
grep -o '[a-z0-9, ]*: both POPs were marked.*' "$scratch/console.txt" | while read -r line; do note "$line"; done
lab heal all >/dev/null
traffic_stop load
