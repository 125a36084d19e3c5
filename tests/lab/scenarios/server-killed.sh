#!/usr/bin/env bash
# SIGKILL of signalboxd before an effect, after it and while waiting: it goes on by itself and nothing takes effect twice
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
# Keys of control writes that took effect as more than one generation, by the edges' own logs.
doubled() {
    cat "$run"/edge-*/state/applied.log | jq -s 'map(select(.cause != "")) | group_by(.cause) | map(map(.generation) | unique | length) | map(select(. > 1)) | length'
}
state_of() { sb execution show "$1" --json | jq -r .state; }
running_again() { sb status && settled; }
newest() { sb execution list --json | jq -r '.executions[0].id'; }
ended() { [[ $(state_of "$1") != running ]]; }
gone() { ! sb status; }

# Passes of the points in one run of the plan: the start of the execution, intent, controls and outcome of each set.
for point in before-journal@2 after-journal@2 before-journal@3 after-journal@3 after-publish@1 after-journal@5 waiting; do
    rm -f "$run/armed"
    if [[ $point == waiting ]]; then
        lab hole edge-control:edge-1 >/dev/null
        id=$(sb plan run room-isolated --confirm room-a --reason "kill while waiting" --no-wait)
        at_wait() { sb execution show "$id" --json | jq -e '.steps[] | select(.name == "edges" and (.text | test("3/4")))'; }
        within 10 "step edges waits for edge-1" at_wait
        lab kill control signalboxd >/dev/null
    else
        lab stop control signalboxd >/dev/null
        SIGNALBOX_FP=${point%@*}:kill@${point#*@} SIGNALBOX_FP_ARMED=$run/armed lab start control signalboxd >/dev/null
        within 20 "the server is up" running_again
        touch "$run/armed"
        sb plan run room-isolated --confirm room-a --reason "kill at $point" --no-wait >/dev/null 2>&1 || :
    fi
    within 20 "the server is dead at $point" gone
    rm -f "$run/armed"
    lab start control signalboxd >/dev/null
    [[ $point != waiting ]] || lab heal edge-control:edge-1 >/dev/null
    within 20 "the server is up again" sb status
    id=$(newest)
    within 40 "execution $id ends" ended "$id"
    expect "state after a kill at $point" "$(state_of "$id")" succeeded
    expect "keys that took effect twice" "$(doubled)" 0
    note "$point: $id $(state_of "$id")"
    site_reset
done
