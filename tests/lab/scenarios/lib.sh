# shellcheck shell=bash
# lib.sh: what the lab's scenarios share. A scenario is a script that sources this first and then finds a lab that is up
# and at rest; it ends well, or it dies with what was found and expected. Either way the lab is left as it was found.
set -euo pipefail

tree=$(dirname "$(dirname "$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")")")
bin=${SIGNALBOX_BIN:-$tree/build/dev}
run=${SIGNALBOX_LAB_RUN:-/run/signalbox-lab}
scratch=$(mktemp -d)
trap 'scenario_end' EXIT

lab() { "$bin/tests/lab/lab" --run "$run" "$@" 7<&-; } # what it starts outlives the scenario, and needs no pipe of it
sb() { SIGNALBOX_SOCKET=$run/control/signalboxd.sock "$bin/server/signalbox" "$@"; }

die() {
    echo "    failed: $*" >&2
    exit 1
}

note() { echo "    $*"; }

# pause SECONDS: bounds how often a condition is asked for; nothing is ever assumed to be true after it. Nothing ever comes
# down the pipe, which stays open: a process for each pause would be thousands in a long run.
exec 7<> <(:)
pause() { read -rt "$1" -u 7 || :; }

# within SECONDS WHAT COMMAND...: until the command succeeds; dies with WHAT at the deadline.
within() {
    local deadline what=$2
    deadline=$((${EPOCHREALTIME/./} + $1 * 1000000))
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((${EPOCHREALTIME/./} < deadline)) || die "not in time: $what"
        pause 0.05
    done
}

now_us() { echo "${EPOCHREALTIME/./}"; }

# expect WHAT FOUND EXPECTED
expect() { [[ $2 == "$3" ]] || die "$1: found $2, expected $3"; }

# at_most WHAT FOUND LIMIT: numbers, also with a fraction
at_most() { awk -v a="$2" -v b="$3" 'BEGIN { exit !(a <= b) }' || die "$1: found $2, at most $3 expected"; }

# --- traffic: the users of user-1, or of $traffic_user; the figures are of what the users saw ---

# traffic_start NAME [load's arguments]: begins and waits until two seconds were clean in every stream.
traffic_start() {
    local name=$1
    shift
    "$bin/tests/lab/lab" --run "$run" exec "${traffic_user:-user-1}" "$bin/tests/lab/traffic/load" --resolver 127.0.0.1 --log "$scratch/$name.log" \
        --live "$scratch/$name.live" --tag "$name-$(now_us)" "$@" >"$scratch/$name.out" 2>&1 7<&- &
    echo $! >"$scratch/$name.pid"
    traffic_quiet "$name" 2
}

# traffic_quiet NAME COUNT: until so many seconds in a row were clean: each stream answered, nothing failed.
traffic_quiet() {
    clean=0 seen=-1
    within 30 "$2 seconds of clean traffic" traffic_clean "$1" "$2"
}

traffic_clean() {
    local second good
    read -r second good <<<"$(jq -r '"\(.second) \([.streams[] | .ok > 0 and .failed == 0] | all)"' "$scratch/$1.live")"
    [[ $second != "$seen" ]] || return 1
    seen=$second
    if [[ $good == true ]]; then clean=$((clean + 1)); else clean=0; fi
    ((clean >= $2))
}

# traffic_stop NAME: ends it; $scratch/NAME.log then has a line for each request.
traffic_stop() {
    local pid
    pid=$(cat "$scratch/$1.pid")
    kill -TERM "$pid" 2>/dev/null || :
    wait "$pid" || die "load ended with an error: $(tail -3 "$scratch/$1.out")"
    rm -f "$scratch/$1.pid"
}

# traffic_figure NAME FILTER [FROM_US [TO_US]]: a jq expression over the requests (array) that were due in a time.
# A request: s stream, q number, u user, t due, e end (µs), c status, post, edge, room, entrance. $streams[.s]: its
# name, edge_class and client.
traffic_figure() {
    jq -s ".[0].streams as \$streams | [.[] | select(.q != null and .t >= ${3:-0} and .t <= ${4:-9000000000000000})] | $2" "$scratch/$1.log"
}

# failed_gets NAME [FROM_US [TO_US]]
failed_gets() {
    traffic_figure "$1" 'map(select(.post == false and (.c < 200 or .c > 299))) | length' "${@:2}"
}

# moved NAME COUNT [FROM_US [TO_US]]: users whose answers, in the order in which they came, changed room more than COUNT
# times. A request that was asked again has been under way before one that is due later, and after it.
moved() {
    # shellcheck disable=SC2016 # the dollars are jq's
    traffic_figure "$1" 'map(select(.room != "")) | group_by([.s, .u])
        | map(sort_by(.e) | [.[].room] | . as $rooms | [range(1; length) | select($rooms[.] != $rooms[. - 1])] | length)
        | map(select(. > '"$2"')) | length' "${@:3}"
}

# --- the site ---

settled() { [[ $(sb agents --json | jq '[.agents[] | select(.state != "applied" and .state != "converged")] | length') == 0 ]]; }

# Settled, no resolver may hold an old answer any more, and no edge holds a room away.
rested() { settled && sb agents --json | jq -e '[.agents[] | .residual_ms // 0] | max == 0' && [[ $(holds) == 0 ]]; }
holds() { sb agents --json | jq '[.agents[] | .holds // empty] | length'; }

# hold_set HOLD STAGE: seconds of --hold and --hold-stage; agents that were started with others are started again.
hold_set() {
    local record changed name wanted
    wanted=$(jq -cn '$ARGS.positional' --args -- --hold "$1" --hold-stage "$2")
    for record in "$run"/cmds/*.signalbox-edge; do
        [[ $(jq -c '.argv[-4:]' "$record") != "$wanted" ]] || continue
        changed=$(jq -c --argjson wanted "$wanted" '.argv |= (if .[-4] == "--hold" then .[:-4] else . end) + $wanted' "$record")
        echo "$changed" >"$record"
        name=$(basename "$record" .signalbox-edge)
        lab stop "$name" signalbox-edge >/dev/null
        lab start "$name" signalbox-edge >/dev/null
    done
}

# What the lab had running when its first scenario began is at work again: paused goes on, dead or stopped is started.
processes_up() {
    local node process state
    rm -f "$run/armed"
    [[ -e $run/at-rest ]] || ls "$run/pids" >"$run/at-rest"
    while read -r node process state; do
        case $state in
        running) ;;
        paused) lab resume "$node" "$process" >/dev/null || : ;;
        *) lab start "$node" "$process" >/dev/null || : ;;
        esac
    done < <(lab status --json | jq -r --rawfile names "$run/at-rest" '
        ([.nodes[] | .name as $node | .processes[] | {key: "\($node).\(.name)", value: .state}] | from_entries) as $states
        | $names | split("\n")[] | select(. != "") | "\(split(".") | join(" ")) \($states[.] // "absent")"')
}

# All processes at work, all levers at their defaults, all faults healed, every agent and name server converged: whatever
# a scenario that failed has left behind, the next one does not fail of it.
site_reset() {
    local lever object
    lab heal all >/dev/null 2>&1 || :
    processes_up
    within 30 "the server answers" sb status
    hold_set 4 1 # a room that a scenario leaves held away is soon home
    while read -r lever object; do
        sb control set "$lever" "$object" default --reason "scenario ended" --override share-moved >/dev/null 2>&1 || :
    done < <(sb control list --json | jq -r '.controls[] | select(.value != "default") | "\(.control) \(.object)"')
    within 90 "the lab is at rest" rested
}

# scratch_end STATUS: ends what was started, keeps the files of what failed
scratch_end() {
    local file
    for file in "$scratch"/*.pid; do
        [[ ! -e $file ]] || kill -KILL "$(cat "$file")" 2>/dev/null || :
    done
    if (($1 != 0)) && [[ -n ${SIGNALBOX_ARTEFACTS:-} ]]; then
        mkdir -p "$SIGNALBOX_ARTEFACTS"
        cp -r "$scratch/." "$SIGNALBOX_ARTEFACTS/" || :
    fi
    rm -rf "$scratch"
}

scenario_end() {
    local status=$?
    trap - EXIT
    set +e
    scratch_end "$status"
    (site_reset) || status=1
    exit "$status"
}

site_reset
