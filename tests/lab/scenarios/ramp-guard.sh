#!/usr/bin/env bash
# service-switch meets a fault at its third stage: the guard stops it there and everybody goes back; nothing else fails
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
step() { sb execution show "$1" --json | jq -r ".steps[] | select(.name == \"shift\") | $2"; }
split() { sb control list --json | jq -r '.controls[] | select(.control == "split" and .object == "home") | .value'; }
at_stage() { [[ $(step "$1" .stage) == "$2" ]]; }
ended() { [[ $(sb execution show "$1" --json | jq -r .state) != running && $(sb execution show "$1" --json | jq -r .state) != aborting ]]; }

sb control set split home 0-999=room-a --reason "room B is to gain" --override share-moved >/dev/null 2>&1
within 30 "home is in room A" rested
traffic_start load --users 1000 --stream "home/public/new=home.example.test@200"
from=$(now_us)
id=$(sb plan run service-switch --confirm home --param to=room-b --reason "fault at stage 3" --no-wait)
within 150 "stage 3" at_stage "$id" 3
injected=$(lab origin service:home room-b status=500 | jq .at_us)
within 40 "the end of $id" ended "$id"
expect "state" "$(sb execution show "$id" --json | jq -r .state)" aborted
expect "the stage that the guard stopped" "$(step "$id" '.text | split(":")[0]')" "stage 3 of 5 (50 %)"
expect "split of home" "$(split)" 0-999=room-a
# The fault is still there, and nobody meets it.
within 10 settled settled
back=$(now_us)
traffic_quiet load 3
to=$(now_us)
traffic_stop load
expect "failed GETs other than the injected" \
    "$(traffic_figure load 'map(select((.c < 200 or .c > 299) and .c != 500)) | length' "$from" "$to")" 0
expect "failed GETs before the fault" "$(failed_gets load "$from" "$((injected - 200000))")" 0
expect "failed GETs after the way back" "$(failed_gets load "$back" "$to")" 0
expect "users who changed room more than twice" "$(moved load 2 "$from" "$to")" 0
(($(failed_gets load "$injected" "$back") > 0)) || die "the fault was not met"
note "$(step "$id" .text)"
note "back $(awk -v a="$injected" -v b="$back" 'BEGIN { printf "%.1f", (b - a) / 1e6 }') s after the fault began, $(failed_gets load "$injected" "$back") requests met it"
