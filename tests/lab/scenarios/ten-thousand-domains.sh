#!/usr/bin/env bash
# a site of 10,000 domains in 100 groups: switching a room changes at most 100 record sets and 20 map entries an edge
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
groups=94 domains=9993 # besides the site's own 6 and 7
records_max=100 entries_max=20

# Every ninth group is of a single-room service at home in room-a: each of these costs a record set and a map entry.
more_objects() {
    awk -v groups="$groups" -v domains="$domains" 'BEGIN {
        print "services:"
        for (n = 1; n <= groups; n++)
            if (n % 9 == 0) printf "  - {name: shop-%d, active: single, home: room-a}\n", n
            else if (n % 9 == 4) printf "  - {name: shop-%d, active: single, home: room-b}\n", n
            else printf "  - {name: shop-%d, active: multi, auto_dr: %s}\n", n, n % 2 ? "true" : "false"
        print "groups:"
        for (n = 1; n <= groups; n++)
            printf "  - {name: shop-%d, service: shop-%d, zone: example.test, ttl: 5%s}\n", n, n, n % 9 == 6 ? ", edge_class: dedicated" : ""
        print "domains:"
        for (n = 1; n <= domains; n++) printf "  - {name: shop%d.example.test, group: shop-%d}\n", n, n % groups + 1
    }'
}

# converged GENERATION: every edge and name server is at it, proven by read-back.
converged() {
    sb agents --json | jq -e --argjson generation "$1" '[.agents[] | select(.generation < $generation
        or (.state != "applied" and .state != "converged"))] | length == 0'
}

# converge WHAT COMMAND...: a command that answers with a generation, and the time until all have it.
converge() {
    local from generation what=$1
    shift
    from=$(now_us)
    generation=$("$@" --json | jq .generation)
    within 60 "$what: generation $generation is everywhere" converged "$generation"
    note "$what: $((($(now_us) - from) / 1000)) ms until every edge and name server has it"
}

# The maps as HAProxy has them: map, id, key, value. A map that is exchanged as a whole has new ids.
maps() {
    local map
    for map in routes policies splits rooms meta; do
        echo "show map $run/$1/state/$map.map" | socat -t 10 - "$run/$1/haproxy.sock" | sed "/^$/d; s/^/$map /"
    done | sort
}

# What differs between two of them, as entries: those with another value, and those that were written.
entries_changed() { comm -3 <(cut -d ' ' -f 1,3- "$1" | sort) <(cut -d ' ' -f 1,3- "$2" | sort) | awk '{ print $1, $2 }' | sort -u | wc -l; }
entries_written() { comm -3 "$1" "$2" | awk '{ print $1, $3 }' | sort -u | wc -l; }

declare -A address_of=([ns-1]=192.0.2.53 [ns-2]=192.0.2.54)
serial() { lab exec "$1" kdig "@${address_of[$1]}" +short SOA example.test | awk '{ print $3 }'; }

# records_changed SERVER SERIAL: record sets that it would tell a secondary of since (RFC 1995), the sentinel among them.
records_changed() {
    lab exec "$1" kdig "@${address_of[$1]}" -y "hmac-sha256:signalbox:$(cat "$run/keys/signalbox.key")" +tcp "IXFR=$2" example.test |
        awk '!/^;/ && NF >= 5 && $4 != "SOA" && $4 != "TSIG" { print $1, $4 }' | sort -u | wc -l
}

ended() {
    local status=$?
    trap - EXIT
    set +e
    (site_reset)
    sb control set dnszone.guard example.test off --reason "scenario ended" >/dev/null 2>&1
    sb apply -f "$run/site.yaml" -f "$tree/runbooks" --prune --reason "scenario ended" >"$scratch/restore.out" 2>&1 || status=1
    (within 60 "the names have gone" rested) || status=1
    (exit "$status")
    scenario_end
}
trap ended EXIT

# look NAME: what edges and primaries have, into $scratch/*.NAME.
look() {
    local name
    for name in edge-1 edge-2 edge-3 edge-4; do maps "$name" >"$scratch/$name.$1"; done
    for name in ns-1 ns-2; do serial "$name" >"$scratch/$name.$1"; done
}

# check WHAT BEFORE AFTER: the limits, against what was really changed.
check() {
    local name count said=()
    for name in edge-1 edge-2 edge-3 edge-4; do
        count=$(entries_changed "$scratch/$name.$2" "$scratch/$name.$3")
        ((count > 0)) || die "$1: nothing has changed on $name"
        at_most "$1: map entries changed on $name" "$count" "$entries_max"
        said+=("$name $count (written $(entries_written "$scratch/$name.$2" "$scratch/$name.$3"))")
    done
    for name in ns-1 ns-2; do
        count=$(records_changed "$name" "$(cat "$scratch/$name.$2")")
        ((count > 0)) || die "$1: nothing has changed on $name"
        at_most "$1: record sets changed on $name" "$count" "$records_max"
        said+=("$name $count")
    done
    note "$1 changed: ${said[*]}"
}

more_objects >"$scratch/more.yaml"
converge "apply" sb apply -f "$scratch/more.yaml" --reason "scenario"
expect "domains" "$(sb export --json | jq '[.objects[] | select(.kind == "domain")] | length')" 10000
expect "groups" "$(sb export --json | jq '[.objects[] | select(.kind == "group")] | length')" 100
address=$(lab exec user-1 kdig @127.0.0.1 +short shop4321.example.test | tail -1)
expect "status of a new name" "$(lab exec user-1 curl -s -o /dev/null -w '%{http_code}' -H 'Host: shop4321.example.test' "http://$address/")" 200

forecast=$(sb plan run room-isolated --confirm room-a --dry-run --json | jq -c .forecast.changes)
for field in public_entries dedicated_entries; do
    at_most "forecast: $field" "$(jq ".$field" <<<"$forecast")" "$entries_max"
done
at_most "forecast: record sets" "$(jq .rrsets <<<"$forecast")" "$records_max"
note "forecast: $forecast"

# The request above is a rate for some seconds, and all that the site knows of: the switch is not judged by it.
no_rate() { [[ $(sb plan run room-isolated --confirm room-a --dry-run --json | jq .forecast.known) == false ]]; }
within 30 "no rate is reported" no_rate
look before
from=$(now_us)
sb plan run room-isolated --confirm room-a --reason "scenario" >"$scratch/run.out" 2>&1 || die "room-isolated: $(cat "$scratch/run.out")"
note "room-isolated: $((($(now_us) - from) / 1000)) ms from the button to its end"
look switched
check "room-isolated" before switched
sb plan run failback --confirm room-a --reason "scenario" >"$scratch/run.out" 2>&1 || die "failback: $(cat "$scratch/run.out")"
look back
check "failback" switched back
prune=(sb apply -f "$run/site.yaml" -f "$tree/runbooks" --prune --reason "scenario")
! "${prune[@]}" >"$scratch/prune.out" 2>&1 || die "10,000 names went without a question"
grep -q "rule zone-share: .* names of zone example.test would change at once" "$scratch/prune.out" || die "prune: $(cat "$scratch/prune.out")"
note "prune: $(cat "$scratch/prune.out")"
converge "guard off" sb control set dnszone.guard example.test off --reason "scenario"
converge "prune" "${prune[@]}"
converge "guard on" sb control set dnszone.guard example.test default --reason "scenario"
expect "domains after the prune" "$(sb export --json | jq '[.objects[] | select(.kind == "domain")] | length')" 7
