#!/usr/bin/env bash
# room B is broken and has no users: a pin goes there, the golden transaction finds it, and nobody is moved; mended, they are
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
api() { curl -sS --fail-with-body --unix-socket "$run/control/signalboxd.sock" "${@:2}" "http://localhost/v1/$1"; }
step() { sb execution show "$1" --json | jq -r ".steps[] | select(.name == \"$2\") | $3"; }
split() { sb control list --json | jq -r '.controls[] | select(.control == "split" and .object == "home") | .value'; }
ended() { [[ $(sb execution show "$1" --json | jq -r .state) != running && $(sb execution show "$1" --json | jq -r .state) != aborting ]]; }
at_stage() { [[ $(step "$1" shift .stage) == "$2" ]]; }

# asked COOKIE: the room that answers, and what edge-1 says of the pin
asked() {
    lab exec user-1 curl -sS -o /dev/null -D - -b "$1" -H 'Host: home.example.test' http://203.0.113.11/ |
        tr -d '\r' | awk -F ': ' 'tolower($1) == "x-sb-room" { room = $2 } tolower($1) == "x-sb-pin" { pin = $2 } END { print room, pin }'
}
is_asked() { [[ $(asked "$1") == "$2" ]]; }

objects_gone() {
    local name
    for name in txrequests/golden-2 txrequests/golden-1 transactions/golden; do
        api "inventory/$name" -X DELETE -H 'If-Match: *' >/dev/null 2>&1 || :
    done
}
trap 'status=$?; (objects_gone); (exit $status); scenario_end' EXIT

cat >"$scratch/golden.yaml" <<'YAML'
transactions:
  - {name: golden, service: home, user: golden}
txrequests:
  - {name: golden-1, transaction: golden, order: 1, host: home.example.test, path: /, limit: 2000}
  - {name: golden-2, transaction: golden, order: 2, method: post, host: search.example.test, path: "/cart?golden=1", body: "{}", limit: 2000}
YAML
sb pin rotate >/dev/null
sb apply -f "$scratch/golden.yaml" >/dev/null 2>&1
sb control set split home 0-999=room-a --reason "room B has no users" --override share-moved >/dev/null 2>&1
within 30 "home is in room A" rested
traffic_start load --users 500 --stream "home/public/new=home.example.test@100"
from=$(now_us)

pin=$(sb pin issue --room room-b --for 10m --staff 2>/dev/null)
within 10 "a pin goes to room B" is_asked "$pin" "room-b room-b"
expect "without it" "$(asked 'uid=1')" "room-a "
expect "one that is not signed" "$(asked "${pin%?????}00000")" "room-a UNKNOWN"

lab origin host:search.example.test/cart room-b status=500 >/dev/null
status=0
sb plan run service-switch --confirm home --param to=room-b --reason "room B is broken" >"$scratch/run" 2>&1 || status=$?
expect "exit code of the plan" "$status" 1
id=$(sb execution list --json | jq -r '.executions[0].id')
expect "state of the step" "$(step "$id" golden .state)" failed
expect "the ramp" "$(step "$id" shift .state)" skipped
expect "split of home" "$(split)" 0-999=room-a
sb execution report "$id" | grep -q 'golden-2.*500' || die "the report has no evidence: $(sb execution report "$id")"
found=$(step "$id" golden .text)
traffic_quiet load 2

lab heal all >/dev/null
id=$(sb plan run service-switch --confirm home --param to=room-b --reason "room B is mended" --no-wait)
within 20 "stage 1" at_stage "$id" 1
expect "state of the step" "$(step "$id" golden .state)" succeeded
to=$(now_us)
sb execution abort "$id" --reason "seen enough" >/dev/null 2>&1 || :
within 20 "the end of $id" ended "$id"
traffic_quiet load 2
traffic_stop load
expect "failed GETs" "$(failed_gets load "$from" "$to")" 0
note "$found"
note "$(traffic_figure load length "$from" "$to") requests, none failed; then good: $(step "$id" golden .text)"
