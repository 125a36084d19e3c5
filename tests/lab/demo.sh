#!/usr/bin/env bash
# demo.sh: the site of 2 July 2024 with traffic and a live view; run by `./dev demo`, which takes the lab down at the end.
# demo.sh [sqlite|postgres]: where the server's history goes
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
bin=${SIGNALBOX_BIN:-build/dev}
run=${SIGNALBOX_LAB_RUN:-/run/signalbox-lab}
export SIGNALBOX_SOCKET=$run/control/signalboxd.sock

echo "demo: starting the site: 2 rooms, 4 POPs, 4 edges, 3 name servers, 2 carriers, in network namespaces sb-*"
"$bin/tests/lab/lab" --run "$run" --store "${1:-sqlite}" up
"$bin/tests/lab/lab" --run "$run" exec user-1 "$PWD/$bin/tests/lab/traffic/load" --resolver 127.0.0.1 \
    --live "$run/demo.live" --tag "demo-$$" >"$run/demo.out" 2>&1 &
load=$!
trap 'kill "$load" 2>/dev/null || :; wait "$load" 2>/dev/null || :' EXIT
trap 'exit 130' INT TERM HUP

view() {
    "$bin/server/signalbox" status
    cat <<'END'
In a second terminal, as root:
  ./dev lab hole room:room-a                                     the fibre is cut: both POPs of room A are gone
  ./dev lab signalbox explain http://creator.example.test/upload --user 42          look
  ./dev lab signalbox plan run room-isolated --confirm room-a    the button; then heal room:room-a, plan run failback
Ctrl-C ends the demo and leaves nothing behind.
END
}

while view >"$run/demo.view" 2>&1 || :; do
    [[ ! -t 1 ]] || printf '\033[H\033[J'
    cat "$run/demo.view"
    read -rt 1 <> <(:) || : # the pace of the picture
done
