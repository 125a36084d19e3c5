#!/usr/bin/env bash
# demo_postgres.sh: `./dev demo --store postgres` as a person meets it: it gets live, the fibre is cut, the button is
# pressed, Postgres has the history, Ctrl-C leaves nothing behind. In a lab of its own. Ends with 0, or 77 without root.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
[[ $(id -u) == 0 ]] || exit 77
export SIGNALBOX_LAB_RUN=${SIGNALBOX_LAB_RUN:-/run/sb-demo} SIGNALBOX_LAB_PREFIX=${SIGNALBOX_LAB_PREFIX:-sb-demo-}
run=$SIGNALBOX_LAB_RUN
out=$(mktemp) demo=
set -m # the demo is a job of its own: Ctrl-C is a signal to all of it

finish() {
    local status=$?
    trap - EXIT
    if ((status != 0)); then
        tail -40 "$out" >&2
        [[ ! -d /proc/$demo ]] || kill -INT -- "-$demo"
        wait || :
    fi
    rm -f "$out"
    exit "$status"
}
trap finish EXIT

# within SECONDS WHAT COMMAND...: until the command succeeds
within() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || {
            echo "not in time: $what" >&2
            exit 1
        }
        read -rt 0.1 <> <(:) || :
    done
}

live() { grep -q '^Ctrl-C ends the demo' "$out" && jq -e '[.streams[] | .ok > 0 and .failed == 0] | all' "$run/demo.live"; }
stored() {
    [[ $(build/dev/tests/lab/lab exec control psql -At -c "select count(*) from audit where body like '%room-isolated%'" \
        postgresql://nobody@127.0.0.1:5432/postgres) =~ ^[1-9] ]]
}
inside() { ip netns list | awk -v p="$SIGNALBOX_LAB_PREFIX" 'index($1, p) == 1 { print $1 }'; }
gone() { ! kill -0 -- "-$demo"; }

./dev demo --store postgres >"$out" 2>&1 &
demo=$!
within 40 "the demo is live" live
echo "demo_postgres: live after $SECONDS s"
./dev lab hole room:room-a
./dev lab signalbox plan run room-isolated --confirm room-a
within 10 "Postgres has the history" stored
mapfile -t processes < <(inside | xargs -n 1 ip netns pids)
((${#processes[@]} > 20)) || {
    echo "found ${#processes[@]} processes in the lab's namespaces, expected more than 20" >&2
    exit 1
}
kill -INT -- "-$demo"
within 20 "the demo ends" gone
status=0
wait "$demo" || status=$?
left=$(inside)
for process in "${processes[@]}"; do
    words=$(tr '\0' ' ' 2>/dev/null <"/proc/$process/cmdline") || : # none: it is dead, and init has yet to take notice
    [[ -z $words ]] || left+=" process $process $words"
done
[[ ! -e $run ]] || left+=" $run"
[[ $status == 130 && -z $left ]] || {
    echo "found exit code $status, and left behind \"$left\"; expected 130 and nothing" >&2
    exit 1
}
echo "demo_postgres: passed in $SECONDS s"
