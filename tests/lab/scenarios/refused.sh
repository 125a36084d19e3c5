#!/usr/bin/env bash
# what must be refused is refused, with rule, figures and the way round, and changes nothing
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
generation() { sb status --json | jq .generation; }
refused() { # NAME EXIT_CODE PATTERN COMMAND...
    local name=$1 code=$2 pattern=$3 status=0
    shift 3
    "$@" >"$scratch/out" 2>&1 || status=$?
    expect "$name: exit code ($(cat "$scratch/out"))" "$status" "$code"
    grep -Eqi "$pattern" "$scratch/out" || die "$name: the message does not say $pattern: $(cat "$scratch/out")"
}
traffic_start load
sb control set room.ingress room-b closed --reason "first" --override share-moved >/dev/null 2>&1 || die "cannot close room-b"
within 10 settled settled
before=$(generation)
refused "the last open room" 3 'last-open' sb control set room.ingress room-a closed --reason "second"
grep -qi 'way round' "$scratch/out" || die "no way round: $(cat "$scratch/out")"
expect "generation after the refusal" "$(generation)" "$before"
sb control set room.ingress room-b default --reason "back" --override share-moved >/dev/null 2>&1
within 10 settled settled
api() { curl -s --unix-socket "$run/control/signalboxd.sock" "$@"; }
status=$(api -o "$scratch/out" -w '%{http_code}' -X PUT -H 'If-Match: "0"' -H 'Content-Type: application/json' -d '{"value":"closed"}' http://localhost/v1/controls/room.ingress/room-b)
expect "stale If-Match" "$status" 412
status=$(api -o "$scratch/out" -w '%{http_code}' -X PUT -H 'Content-Type: application/json' -d '{"value":"closed"}' http://localhost/v1/controls/room.ingress/room-b)
expect "absent If-Match" "$status" 428
lab hole edge-control:edge-1 >/dev/null
first=$(sb plan run room-isolated --confirm room-a --reason "first" --override share-moved --no-wait)
refused "a second plan on the same lever" 1 "$first" sb plan run failback --confirm room-a --no-wait
lab heal edge-control:edge-1 >/dev/null
sb execution wait "$first" >/dev/null 2>&1 || :
traffic_stop load
