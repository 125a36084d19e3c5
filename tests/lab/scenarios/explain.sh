#!/usr/bin/env bash
# explain before, during and after a switch: three golden texts
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
golden=$tree/tests/cases/explain
# Ids, ages and figures differ from run to run, and so do rows that only a few stray requests made; an edge is kept when
# it carries the policy's traffic. The rest is the text.
normal() {
    awk 'function flush() { if (busy) printf "%s", block; block = ""; busy = 0 }
        function requests(at) { at = $2; gsub(/,/, "", at); return at + 0 }
        /^observed/ { observed = 1; print; next }
        !observed { print; next }
        /^  edge-/ { flush() }
        $1 == "probe" || $NF ~ /\/s$/ && (requests() < 10 || $NF + 0 == 0) { next }
        $NF ~ /\/s$/ { busy = 1 }
        { block = block $0 "\n" }
        END { flush() }' |
        sed -E 's/[0-9][0-9,]* requests?/N requests/; s/[0-9][0-9,.]* failed/N failed/; s/[0-9.]+ *(requests\/s|ms|s) /N \1 /g
            s/[0-9.]+\/s$/N\/s/; s/down \([A-Z0-9]+\)/down/g; s/execution [0-9a-z-]{8,}/execution ID/; s/generation [0-9]+/generation N/'
}
explained() {
    sb explain http://creator.example.test/upload --user 42 | normal >"$scratch/$1.txt"
    if [[ -n ${UPDATE:-} ]]; then mkdir -p "$golden" && cp "$scratch/$1.txt" "$golden/$1.txt"; fi
    diff "$golden/$1.txt" "$scratch/$1.txt"
}
# Rates are of some seconds, and a resolver may name an edge a little longer than the rest: the text comes to be so.
look() {
    (within 20 "explain $1 is the golden text" explained "$1") || die "$(diff -u "$golden/$1.txt" "$scratch/$1.txt")"
}
traffic_start load
traffic_quiet load 8
look before
lab hole room:room-a >/dev/null
sb plan run room-isolated --confirm room-a --reason "scenario" >/dev/null || die "the plan did not succeed"
traffic_quiet load 8
look during
lab heal room:room-a >/dev/null
sb plan run failback --confirm room-a --reason "scenario" >/dev/null || die "failback did not succeed"
traffic_quiet load 8
look after
traffic_stop load
