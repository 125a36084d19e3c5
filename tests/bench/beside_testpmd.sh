#!/usr/bin/env bash
# beside_testpmd.sh BENCH_FORWARDER [--json]: what a packet costs beside DPDK's own forwarder; run by `./dev bench forwarder`.
#
# testpmd forwards the bench's frames (1,514 bytes, 64 connections) from a file to a file, in three ways in turn: io
# hands them on, macswap swaps the Ethernet addresses, csum computes checksums. What our packet would cost there is io
# and the cycles of its translation, measured in the same round, in process. Median of 5 rounds. Ends with 1 if a ratio
# is above its limit.
set -euo pipefail
bench=$1 json=${2:-} rounds=5
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$bench" --capture "$scratch/frames.pcap"

# cycles MODE: of a packet
cycles() {
    timeout -s INT 2.5 dpdk-testpmd -l 0,1 --no-huge -m 256 --no-shconf --no-pci --no-telemetry \
        --vdev="net_pcap0,rx_pcap=$scratch/frames.pcap,infinite_rx=1" -- --total-num-mbufs=2048 --forward-mode="$1" \
        --record-core-cycles --stats-period 100 --no-flush-rx --mp-alloc=anon >"$scratch/said" 2>&1 </dev/null || :
    sed -n 's/.*CPU cycles\/packet=\([0-9.]*\).*/\1/p' "$scratch/said" | tail -1 | grep . || {
        echo "beside_testpmd: testpmd said nothing of cycles: $(tail -3 "$scratch/said")" >&2
        exit 1
    }
}

for ((round = 0; round < rounds; round++)); do
    io=$(cycles io) macswap=$(cycles macswap) csum=$(cycles csum)
    echo "$io $macswap $csum $("$bench" --one)"
done >"$scratch/rounds"
awk -v json="$json" '
    function median(a, n,   i, j, t) { for (i = 2; i <= n; i++) for (j = i; j > 1 && a[j] < a[j - 1]; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t } return a[int((n + 1) / 2)] }
    { n++; io[n] = $1; m[n] = $2; c[n] = $3; nat[n] = $4; rm[n] = ($1 + $4) / $2; rc[n] = ($1 + $4) / $3 }
    END {
        if (n == 0) exit 1
        a = median(rm, n); b = median(rc, n)
        printf json == "--json" ? "{\"beside\":\"testpmd\",\"macswap_ratio\":%.2f,\"limit\":2.5,\"csum_ratio\":%.2f,\"csum_limit\":1.3,\"rounds\":%d,\"io\":%.0f,\"macswap\":%.0f,\"csum\":%.0f,\"nat\":%.0f}\n" : "beside testpmd over net_pcap, 1,514 bytes: / macswap %.2f (limit 2.5), / csum %.2f (limit 1.3); median of %d rounds; cycles a packet: io %.0f macswap %.0f csum %.0f, nat %.0f\n", a, b, n, median(io, n), median(m, n), median(c, n), median(nat, n)
        exit !(a <= 2.5 && b <= 1.3)
    }' "$scratch/rounds"
