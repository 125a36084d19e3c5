#!/usr/bin/env bash
# soak.sh: long load with every control server dead; run by `./dev soak`, whose --help tells what it does. Builds its own
# lab and takes it down. Ends with 0 when no GET failed, 1 otherwise, 77 where the lab cannot run.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"

minutes=10
usage() {
    cat <<'END'
usage: ./dev soak [--console | --lines] [--minutes N]

Starts the site, loads it with traffic of every class and kills all control servers. For N minutes (10, at most 600)
agents are killed and started again and HAProxy is reloaded, at one edge at a time, again as soon as two seconds were
clean. Then the servers return. Prints figures; leaves nothing behind. Exit code 0: no GET failed and all edges
converged on the server's return, 1: not, 77: cannot run here.

--console: instead, the console left open for N minutes (30) in Chromium, on the panel and going through all screens,
while the site changes each second; no lab. Exit code 0: memory of the pages and of the server stayed as it was.

--lines: instead, a forwarder between kernels, whose lines speak BFD each 10 ms. For N minutes (10) nothing is lost, and
no line may be called so; then a line is lost under load a hundred times in each of three ways: carrier, hole, hole in
one direction. Exit code 0: no false alarm but for stalls of the machine, 99 of 100 gaps below 50 ms, nothing reset.
END
}
while (($# > 0)); do
    case $1 in
    --help)
        usage
        exit 0
        ;;
    --minutes)
        [[ ${2:-} =~ ^([1-9][0-9]?|[1-5][0-9][0-9]|600)$ ]] || {
            echo "soak: --minutes ${2:-}: a number from 1 to 600" >&2
            exit 2
        }
        minutes=$2
        shift 2
        ;;
    *)
        echo "soak: unknown argument $1; ./dev soak --help" >&2
        exit 2
        ;;
    esac
done
[[ $(id -u) == 0 ]] || {
    echo "soak: network namespaces need root" >&2
    exit 77
}

program=${SIGNALBOX_BIN:-$PWD/../../build/dev}/tests/lab/lab
trap 'status=$?; trap - EXIT; "$program" down >/dev/null 2>&1 || :; exit "$status"' EXIT
trap 'exit 130' INT TERM HUP
"$program" up
# shellcheck source=tests/lab/scenarios/lib.sh
source scenarios/lib.sh

soak_end() {
    local status=$?
    trap - EXIT
    scratch_end "$status"
    lab down >/dev/null 2>&1 || :
    exit "$status"
}
trap soak_end EXIT

# of_process NAME: the nodes that have one
of_process() { sed -n "s/\.$1\$//p" "$run/at-rest"; }
resident_kb() { # PROCESS: the largest of all nodes
    lab status --json | jq -r ".nodes[].processes[] | select(.name == \"$1\") | .pid" |
        while read -r pid; do sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status"; done | sort -n | tail -1
}
proofs() { grep -c "applied and read back" "$run/log/$1.signalbox-edge.log" || :; }
proved_again() { (($(proofs "$1") > $2)); }
worker() { echo "show proc" | socat - "UNIX-CONNECT:$run/$1/master.sock" | awk '$2 == "worker" { print $1; exit }'; }
reloaded() {
    local now
    now=$(worker "$1")
    [[ -n $now && $now != "$2" ]]
}
agent_restart() {
    local before
    before=$(proofs "$1")
    lab kill "$1" signalbox-edge >/dev/null
    lab start "$1" signalbox-edge >/dev/null
    within 10 "the agent of $1 proves its table again, without a server" proved_again "$1" "$before"
}
haproxy_reload() {
    local before
    before=$(worker "$1")
    echo reload | socat - "UNIX-CONNECT:$run/$1/master.sock" >/dev/null || :
    within 10 "a new worker of $1" reloaded "$1" "$before"
}

mapfile -t edges < <(of_process signalbox-edge)
mapfile -t servers < <(of_process signalboxd)
traffic_start load
from=$(now_us)
for server in "${servers[@]}"; do lab kill "$server" signalboxd >/dev/null; done
echo "soak: ${#servers[@]} of ${#servers[@]} control servers are dead; $minutes minutes of load, ${#edges[@]} edges"
master_kb=$(resident_kb haproxy)
deadline=$((from + minutes * 60000000)) kills=0 reloads=0
while (($(now_us) < deadline)); do
    for edge in "${edges[@]}"; do
        agent_restart "$edge"
        kills=$((kills + 1))
        traffic_quiet load 2
        haproxy_reload "$edge"
        reloads=$((reloads + 1))
        traffic_quiet load 2
        (($(now_us) < deadline)) || break
    done
done
master_end_kb=$(resident_kb haproxy)
for server in "${servers[@]}"; do lab start "$server" signalboxd >/dev/null; done
back=$(now_us)
within 30 "all edges and name servers converge when the servers return" settled
converged=$((($(now_us) - back) / 1000))
traffic_quiet load 2
to=$(now_us)
traffic_stop load

echo "soak: $kills agents killed, $reloads reloads of HAProxy; memory of its master $master_kb kB, at the end $master_end_kb kB"
echo "soak: all converged $converged ms after the servers' return"
# shellcheck disable=SC2016 # the dollars are jq's
traffic_figure load 'group_by($streams[.s] | [.name, .edge_class])[] | ($streams[.[0].s] | "\(.name)/\(.edge_class)") as $name
    | (map(.e - .t) | sort) as $took | map(select(.c < 200 or .c > 299)) as $failed
    | "soak: \($name): \(length) requests, failed \($failed | map(select(.post | not)) | length) GETs and \(
        $failed | map(select(.post)) | length) POSTs, 99 % within \($took[length * 99 / 100 | floor] / 1000) ms, longest \(
        $took[-1] / 1000 | floor) ms"' "$from" "$to" | jq -r .
# A client keeps its connection or opens one for each request: the cures differ.
# shellcheck disable=SC2016
echo "soak: failed GETs by client and cause: $(traffic_figure load 'map(select(.post == false and (.c < 200 or .c > 299)))
    | group_by([$streams[.s].client, .error, .c]) | map("\(length) of client \($streams[.[0].s].client): \(
        if .[0].c > 0 then "status \(.[0].c)" else .[0].error end)") | join("; ") | if . == "" then "none" else . end' "$from" "$to" | jq -r .)"
expect "failed GETs" "$(failed_gets load "$from" "$to")" 0
echo "soak: no GET failed"
