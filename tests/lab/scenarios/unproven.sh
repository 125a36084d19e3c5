#!/usr/bin/env bash
# a policy without traffic is proved by probe, or the execution says that it is unproven
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
id=$(sb plan run room-isolated --confirm room-a --reason "no traffic" --no-wait)
ended() { [[ $(sb execution show "$id" --json | jq -r .state) != running ]]; }
within 40 "the execution ends" ended
text=$(sb execution show "$id" --json | jq -r '.steps[] | select(.name == "proof") | .text')
[[ $text =~ probe|unproven ]] || die "the proof says neither probe nor unproven: $text"
[[ ! $text =~ [1-9][0-9]*" "policies" "by" "counters ]] || die "counters without traffic: $text"
note "$text"
