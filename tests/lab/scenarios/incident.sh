#!/usr/bin/env bash
# 2 July as the black box has it: one command makes a case of it, and a replay goes the same way
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
golden=$tree/tests/cases/incidents/two-july.txt

entrances_down() { [[ $(sb status --json | jq '[.entrances[] | select(.room == "room-a" and .up == 0 and .seen > 0)] | length') -ge 2 ]]; }
bytes() { sb incident list --json | jq '[.recordings[].size] | add'; }

traffic_start load
from=$(date -u +%FT%T.%6NZ) before=$(bytes) start=$(now_us)
lab hole room:room-a >/dev/null
within 20 "the edges see both POPs of room A down" entrances_down
sb plan run room-isolated --confirm room-a --reason "the fibre of room A" >/dev/null || die "the plan did not succeed"
lab heal room:room-a >/dev/null
sb plan run failback --confirm room-a --reason "the fibre is spliced" >/dev/null || die "failback did not succeed"
traffic_stop load

sb incident export --from "$from" -o "$scratch/whole.txt" 2>"$scratch/said" || die "export: $(cat "$scratch/said")"
note "$(cat "$scratch/said")"
sb incident replay "$scratch/whole.txt" >"$scratch/replayed" || die "the replay goes another way"
note "$(sed 's|.*/||' "$scratch/replayed")"
sb incident export --from "$from" --trim -o "$scratch/two-july.txt" 2>"$scratch/said" || die "export: $(cat "$scratch/said")"
note "$(cat "$scratch/said"); $(wc -c <"$scratch/two-july.txt") bytes"
sb incident replay "$scratch/two-july.txt" >/dev/null || die "the replay of the trimmed case goes another way"
at_most "bytes of the case" "$(wc -c <"$scratch/two-july.txt")" 300000
expect "executions that succeeded in the case" "$(grep -c '^| state: "succeeded"' "$scratch/two-july.txt")" 2
sed 's/^> publish \([0-9.]*\) ./> publish \1 x/' "$scratch/two-july.txt" >"$scratch/other.txt"
! sb incident replay "$scratch/other.txt" >/dev/null 2>&1 || die "a case with other effects passes"
[[ -z ${UPDATE:-} ]] || cp "$scratch/two-july.txt" "$golden"

took=$(($(now_us) - start))
note "the black box: $(awk -v b="$(($(bytes) - before))" -v us="$took" 'BEGIN { printf "%.2f MB an hour", b * 3600 / us }')"

id=$(sb execution list --json | jq -r '.executions[0].id')
sb incident export --execution "$id" -o "$scratch/one.txt" 2>"$scratch/said" || die "export of $id: $(cat "$scratch/said")"
grep -q "^? execution $id\$" "$scratch/one.txt" || die "the case of $id does not show it"
