#!/usr/bin/env bash
# run.sh: runs lab scenarios one after another in one lab. run.sh [--gateways] [--up] [NAME...]; --gateways: those of the
# folder of that name, in a lab that has some; --up: use the lab that is up and leave it. Without names: all. --lab-up and
# --lab-down only build and end the lab. Ends with 0 when all passed, 77 where the lab cannot run.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
bin=${SIGNALBOX_BIN:-$PWD/../../../build/dev}
flavour=()
if [[ ${1:-} == --gateways ]]; then
    flavour=(--site "$PWD/../sites/gateways.yaml")
    cd gateways
    shift
fi
export SIGNALBOX_ARTEFACTS_ROOT=${SIGNALBOX_ARTEFACTS_ROOT:-$bin/artefacts}

[[ $(id -u) == 0 ]] || {
    echo "scenarios: network namespaces need root" >&2
    exit 77
}
case ${1:-} in
--lab-up) exec "$bin/tests/lab/lab" "${flavour[@]}" up ;;
--lab-down) exec "$bin/tests/lab/lab" down ;;
esac
own=1
if [[ ${1:-} == --up ]]; then
    own=0
    shift
fi
names=("$@")
((${#names[@]} > 0)) || mapfile -t names < <(find . -maxdepth 1 -name '*.sh' ! -name '*lib.sh' ! -name run.sh -printf '%f\n' | sort | sed 's/\.sh$//')

take_down() { "$bin/tests/lab/lab" down >/dev/null 2>&1 || :; }
if ((own)); then
    trap take_down EXIT
    "$bin/tests/lab/lab" "${flavour[@]}" up
fi
passed=0 failed=0
for name in "${names[@]}"; do
    start=$EPOCHREALTIME status=0
    echo "scenario $name: $(sed -n '2s/^# //p' "$name.sh")"
    SIGNALBOX_ARTEFACTS=$SIGNALBOX_ARTEFACTS_ROOT/$name timeout 380 "./$name.sh" || status=$?
    took=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
    if ((status == 0)); then
        passed=$((passed + 1))
        echo "  pass  $name  $took s"
    else
        failed=$((failed + 1))
        echo "  FAIL  $name  $took s (files in $SIGNALBOX_ARTEFACTS_ROOT/$name)"
    fi
done
echo "scenarios: $passed passed, $failed failed"
((failed == 0))
