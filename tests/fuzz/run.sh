#!/usr/bin/env bash
# run.sh: runs fuzzers, two at a time. run.sh SECONDS [NAME...]; without names: all. What was learned stays in the build
# folder's corpus/. Ends with 1 when there was a finding, and says which input shows it.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
bin=${SIGNALBOX_FUZZ_BIN:-$here/../../build/fuzz}/tests/fuzz
export here bin seconds=${1:?run.sh SECONDS [NAME...]}
shift
names=("$@")
((${#names[@]} > 0)) || mapfile -t names < <(find "$here/seeds" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort)

fuzz_one() {
    local name=$1 log=$bin/$1.log status=0
    mkdir -p "$bin/corpus/$name" "$bin/findings"
    "$bin/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=3000 -print_final_stats=1 -close_fd_mask=1 \
        -artifact_prefix="$bin/findings/$name-" "$bin/corpus/$name" "$here/seeds/$name" >"$log" 2>&1 || status=$?
    local runs coverage
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    coverage=$(grep -o 'cov: [0-9]*' "$log" | tail -1)
    if ((status == 0)); then
        echo "fuzz $name: ${runs:-0} inputs in $seconds s, ${coverage:-cov: ?}, no finding"
    else
        echo "fuzz $name: FINDING after ${runs:-0} inputs (log: $log)"
        grep -E 'runtime error|does not hold|ERROR:|Test unit written' "$log" || tail -5 "$log"
        echo "  mend it, then keep the input: cp $bin/findings/$name-... $here/seeds/$name/"
    fi
    return "$status"
}
export -f fuzz_one
G_SLICE=always-malloc xargs -P 2 -I {} bash -euo pipefail -c 'fuzz_one {}' < <(printf '%s\n' "${names[@]}") || exit 1
