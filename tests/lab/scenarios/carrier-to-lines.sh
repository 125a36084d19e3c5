#!/usr/bin/env bash
# one carrier's users go to dedicated edges and come back, by plan and by abort; nobody else's edge changes, no GET fails
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
public_names=(play home search creator)
declare -A group_of=([play]=core [home]=manual [search]=manual [creator]=creator)
answer() { lab exec "user-$1" kdig @127.0.0.1 +short "$2.example.test" | tail -1; }
# at CARRIER EDGE: its resolver gives the users of every public name this edge alone.
at() {
    local name
    for name in "${public_names[@]}"; do [[ $(answer "$1" "$name") == "203.0.113.1$2" ]] || return 1; done
}
resolver_again() {
    lab stop "user-$1" unbound >/dev/null
    lab start "user-$1" unbound >/dev/null
}

# The carriers' resolvers answer the names of everybody with the variants of their own carrier: each has its view.
view_on() {
    local carrier=$1 name conf=$run/user-$1/unbound.conf
    cp "$conf" "$scratch/unbound-$carrier.conf"
    {
        echo "server:"
        for name in "${public_names[@]}"; do
            echo "  local-zone: \"$name.example.test.\" redirect"
            echo "  local-data: \"$name.example.test. 5 CNAME ${group_of[$name]}-c$carrier.pol.example.test.\""
        done
    } >>"$conf"
    resolver_again "$carrier"
}

ended() {
    local status=$? carrier
    trap - EXIT
    set +e
    for carrier in 1 2; do
        [[ ! -e $scratch/unbound-$carrier.conf ]] || cp "$scratch/unbound-$carrier.conf" "$run/user-$carrier/unbound.conf"
        (resolver_again "$carrier") || status=1
    done
    (site_reset) || status=1
    sb apply -f "$run/site.yaml" -f "$tree/runbooks" --prune --reason "scenario ended" >"$scratch/restore.out" 2>&1 || status=1
    (exit "$status")
    scenario_end
}
trap ended EXIT

{
    echo "variants:"
    for group in core manual creator; do
        for carrier in 1 2; do echo "  - {name: $group-c$carrier, group: $group, carrier: carrier-$carrier}"; done
    done
} >"$scratch/variants.yaml"
sb apply -f "$scratch/variants.yaml" --reason "scenario" >/dev/null
within 20 settled settled
for carrier in 1 2; do
    view_on "$carrier"
    within 10 "users of carrier-$carrier are on edge-$carrier" at "$carrier" "$carrier"
done
for carrier in 1 2; do
    traffic_user=user-$carrier traffic_start "user-$carrier" --stream "core/public/new=play.example.test@60" \
        --stream "manual/public/new=home.example.test+search.example.test@60" \
        --stream "single-room/public/new=creator.example.test+creator.example.test/upload@30" \
        --stream "core/dedicated/new=play-line.example.test@20" --stream "core/public/keepalive=play.example.test@20"
done

# quiet: eight clean seconds of everybody, in which resolvers forget what they knew
quiet() { for carrier in 1 2; do traffic_quiet "user-$carrier" 8; done; }
# edges USER [FROM_US [TO_US]]: that answered requests for public names on new connections
edges() {
    # shellcheck disable=SC2016 # the dollars are jq's
    traffic_figure "$1" 'map(select($streams[.s].edge_class == "public" and $streams[.s].client == "new") | .edge)
        | unique | join(" ")' "${@:2}"
}

sb plan run carrier-to-lines --confirm carrier-1 --dry-run >"$scratch/dry.out" 2>&1
grep -q "core-c1" "$scratch/dry.out" || die "dry run: $(cat "$scratch/dry.out")"
grep -q "core-c2" "$scratch/dry.out" && die "dry run names the other carrier: $(cat "$scratch/dry.out")"
sb plan run carrier-to-lines --confirm carrier-1 --reason "scenario" >"$scratch/run.out" 2>&1 || die "carrier-to-lines: $(cat "$scratch/run.out")"
note "carrier-to-lines: $(tail -1 "$scratch/run.out")"
within 10 "users of carrier-1 are on edge-3" at 1 3
at 2 2 || die "users of carrier-2 have moved: $(answer 2 play)"
road() { sb explain "http://play.example.test/" --user 42 "$@" --json | jq -r '[.turns[] | select(.at == "name" or .at == "edge") | .is] | join(" ")'; }
expect "road of a user of carrier-1" "$(road --carrier carrier-1)" "core-c1.pol.example.test edge-3 (dedicated)"
expect "road of a user of carrier-2" "$(road --carrier carrier-2)" "core-c2.pol.example.test edge-2 (public)"
expect "road of a user of neither" "$(road)" "core.pol.example.test edge-1 (public)"
from=$(($(now_us) + 6000000)) # the old answers' 5 s and a request's own time
quiet
to=$(now_us)

sb plan run carrier-back --confirm carrier-1 --reason "scenario" >"$scratch/run.out" 2>&1 || die "carrier-back: $(cat "$scratch/run.out")"
within 10 "users of carrier-1 are on edge-1 again" at 1 1
back_from=$(($(now_us) + 6000000))
quiet
back_to=$(now_us)

# An edge cut off from the control site keeps the plan waiting, after the names have moved.
lab hole edge-control:edge-4 >/dev/null
id=$(sb plan run carrier-to-lines --confirm carrier-1 --reason "scenario" --no-wait)
within 10 "users of carrier-1 are on edge-3" at 1 3
sb execution abort "$id" --reason scenario >/dev/null 2>&1 || :
within 10 "the abort brings the users of carrier-1 back to edge-1" at 1 1
expect "state of the execution" "$(sb execution show "$id" --json | jq -r .state)" aborted
expect "levers" "$(sb control list --json | jq -c '[.controls[] | select(.value != "default") | .control]')" "[]"
lab heal edge-control:edge-4 >/dev/null
quiet
for carrier in 1 2; do traffic_stop "user-$carrier"; done

expect "edges of carrier-1's users after carrier-to-lines" "$(edges user-1 "$from" "$to")" '"edge-3"'
expect "edges of carrier-1's users after carrier-back" "$(edges user-1 "$back_from" "$back_to")" '"edge-1"'
expect "edges of carrier-2's users, all the time" "$(edges user-2)" '"edge-2"'
for carrier in 1 2; do
    expect "failed GETs of carrier-$carrier" "$(failed_gets "user-$carrier")" 0
    note "carrier-$carrier: $(traffic_figure "user-$carrier" length) requests, none failed"
done
