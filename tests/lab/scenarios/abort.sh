#!/usr/bin/env bash
# abort of room-isolated at each step sets back every lever that it wrote, but none that an override has moved since
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
levers() { sb control list --json | jq -c '[.controls[] | select(.value != "default") | "\(.control)/\(.object)=\(.value)"] | sort'; }
step_state() { sb execution show "$1" --json | jq -r --arg s "$2" '.steps[] | select(.name == $s) | .state'; }
reached() { [[ $(step_state "$1" "$2") != pending ]]; }
traffic_start load
# With an edge cut off the execution stays at its waits, so each step can be met while it is the last to have begun.
for step in other-room to-lines move-out edges dns proof; do
    cut=none
    case $step in
    edges | dns | to-lines | move-out) cut=edge-1 && lab hole edge-control:edge-1 >/dev/null ;;
    esac
    id=$(sb plan run room-isolated --confirm room-a --reason "abort at $step" --no-wait)
    within 20 "step $step begins" reached "$id" "$step"
    sb execution abort "$id" --reason scenario >/dev/null 2>&1 &
    abort=$!
    back() { [[ $(levers) == "[]" ]]; }
    within 20 "levers are set back after an abort at $step ($(levers))" back
    [[ $cut == none ]] || lab heal "edge-control:$cut" >/dev/null
    wait "$abort" || :
    ended() { [[ $(sb execution show "$id" --json | jq -r .state) =~ ^(aborted|succeeded)$ ]]; }
    within 20 "execution $id has ended" ended
    within 20 settled settled
    note "$step: $(sb execution show "$id" --json | jq -r .state)"
done
# An override in between stays.
lab hole edge-control:edge-1 >/dev/null
id=$(sb plan run room-isolated --confirm room-a --reason override --no-wait)
written() { [[ $(step_state "$id" move-out) == succeeded ]]; }
within 10 "step move-out has ended" written
sb control set group.edge_class creator public --reason "override" >/dev/null 2>&1 || die "the override was refused"
lab heal edge-control:edge-1 >/dev/null
sb execution abort "$id" --reason scenario >/dev/null 2>&1 || :
expect "levers after the abort" "$(levers)" '["group.edge_class/creator=public"]'
sb audit --json | jq -e '[.audit[] | select(.what == "override")] | length > 0' >/dev/null || die "the override is not in the audit"
traffic_stop load
