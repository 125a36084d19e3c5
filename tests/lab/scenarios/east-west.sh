#!/usr/bin/env bash
# calls between rooms follow a switch within a second, and back; with etcd dead they go on as they were
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"

# etcd stands at the control site; services of a room reach it by the room's first POP, like everything outside.
etcd=http://192.0.2.1:2379
limit_ms=1000
program=$(readlink -f "${bin:?}/eastwest/callee")
declare -A address_of=([room-a]=10.1.0.1:80 [room-b]=10.2.0.1:80)
declare -A zone_of=([room-a]=zone-1 [room-b]=zone-2)

etcd_start() {
    "$bin/tests/lab/lab" --run "$run" exec control etcd --data-dir "$scratch/etcd" --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
        --listen-peer-urls http://192.0.2.1:2380 --initial-advertise-peer-urls http://192.0.2.1:2380 \
        --initial-cluster default=http://192.0.2.1:2380 --logger zap --log-level warn >>"$scratch/etcd.log" 2>&1 &
    echo $! >"$scratch/etcd.pid"
    within 20 "etcd answers" lab exec control curl -sf -m 1 "$etcd/health"
}
etcd_kill() {
    kill -KILL "$(cat "$scratch/etcd.pid")"
    wait "$(cat "$scratch/etcd.pid")" 2>/dev/null || :
    rm "$scratch/etcd.pid"
}
etcd_put() {
    lab exec control curl -sf -m 2 "$etcd/v3/kv/put" -o /dev/null \
        -d "{\"key\":\"$(printf %s "$1" | base64 -w0)\",\"value\":\"$(printf %s "$2" | base64 -w0)\"}"
}

road_to_etcd() { # add|del ROOM
    local via device origin
    read -r via device < <(lab exec "$2" ip route show table 100 | sed -n 's/^default via \([^ ]*\) dev \([^ ]*\).*/\1 \2/p')
    origin=$(lab exec "$2" ip rule show | sed -n 's/.*from \([^ ]*\) lookup 100.*/\1/p')
    lab exec "$2" ip route "$1" 192.0.2.1 via "$via" dev "$device" onlink src "$origin" 2>/dev/null
}

# ticks: a line each twentieth of a second, until nobody reads them.
ticks() {
    while echo 2>/dev/null; do pause 0.05; done
}

# calls ROOM: what a service of that room does: asks the client whom to call, calls, notes "TIME ROOM STATUS AGE_MS".
calls() {
    local zone address age status room
    while read -r zone address age; do
        read -r status room < <(curl -s -m 2 -o /dev/null -w '%{http_code} %header{x-origin-room}\n' "http://$address/")
        echo "$(now_us) ${room:--} $status ${age:--} $zone" >>"$scratch/$1.calls"
    done
}
export -f calls now_us ticks pause
export scratch

callers_start() {
    local room
    for room in room-a room-b; do
        # shellcheck disable=SC2016 # the dollars are for the shell in there
        "$bin/tests/lab/lab" --run "$run" exec "$room" setsid bash -c 'ticks | "$2" --etcd "$3" --what service/home --zone "$4" --instances /instances/home \
            --cache "$scratch/$1.cache" 2>>"$scratch/$1.err" | calls "$1"' - "$room" "$program" "$etcd" "${zone_of[$room]}" &
        echo $! >"$scratch/$room.group"
    done
}

# The last three calls of services in ROOM went to TARGET, and were answered.
go_to() { [[ $(tail -n 3 "$scratch/$1.calls" | awk '{ print $2, $3 }' | sort -u) == "$2 200" ]]; }
both_go() { go_to room-a "$1" && go_to room-b "$2"; }
watched_by_us() { sb status --json | jq -e '.registries[] | select(.name == "disco") | .state == "converged"'; }

# follow WHAT VALUE TARGET_A TARGET_B: moves the lever; how long until the first call of each room that goes there.
follow() {
    local from room target took worst=0
    from=$(now_us)
    sb control set service.eastwest home "$2" --reason scenario >/dev/null
    within 10 "calls go to $3 and $4" both_go "$3" "$4"
    for room in room-a room-b; do
        if [[ $room == room-a ]]; then target=$3; else target=$4; fi
        took=$(awk -v from="$from" -v target="$target" '$1 < from { next } $2 != target { last = $1 } END { print last ? int((last - from) / 1000) : 0 }' "$scratch/$room.calls")
        ((took <= worst)) || worst=$took
    done
    at_most "$1: ms until the last call that went elsewhere" "$worst" "$limit_ms"
    note "$1: the last call that went elsewhere came $worst ms after the lever"
}

scenario_undo() {
    local status=$? room
    trap - EXIT
    set +e
    for room in room-a room-b; do
        kill -KILL -- -"$(cat "$scratch/$room.group" 2>/dev/null)" 2>/dev/null
        road_to_etcd del "$room"
    done
    sb control set service.eastwest home default --reason "scenario ended" >/dev/null 2>&1
    sb apply -f "$run/site.yaml" -f "$tree/runbooks" --prune --reason "scenario ended" >"$scratch/restore.out" 2>&1 || status=1
    (exit "$status")
    scenario_end
}
trap scenario_undo EXIT

etcd_start
for room in room-a room-b; do
    road_to_etcd add "$room" || die "no road from $room to the control site"
    etcd_put "/instances/home/$room/i-1" "${address_of[$room]}"
done
printf 'registries:\n  - {name: disco, address: "192.0.2.1:2379"}\n' >"$scratch/registry.yaml"
sb apply -f "$scratch/registry.yaml" --reason scenario >/dev/null
within 20 "the registry has converged" watched_by_us
callers_start
within 20 "services call their own room first" both_go room-a room-b

follow "to zone-2" '*=zone-2:1' room-b room-b
follow "to zone-1" '*=zone-1:1' room-a room-a
follow "back" default room-a room-b

etcd_kill
for room in room-a room-b; do : >"$scratch/$room.err"; done
sb control set service.eastwest home '*=zone-2:1' --reason scenario >/dev/null
unreachable() { sb status --json | jq -e '.registries[] | select(.name == "disco") | .state == "unreachable"'; }
within 10 "status says that the registry cannot be reached" unreachable
missed() { grep -q "expected an answer of etcd" "$scratch/room-a.err" && grep -q "expected an answer of etcd" "$scratch/room-b.err"; }
within 20 "the clients say that etcd does not answer" missed
lost_us=$(now_us)
went_on() { awk -v from="$lost_us" -v room="$1" '$1 > from && $2 == room && $3 == 200 { n++ } END { exit n < 20 }' "$scratch/$1.calls"; }
within 20 "services of room-a go on by the last good" went_on room-a
within 20 "services of room-b go on by the last good" went_on room-b
note "etcd dead: calls go on, by what was known $(tail -n 1 "$scratch/room-a.calls" | awk '{ print $4 }') ms ago"
etcd_start
within 10 "services follow when etcd is back" both_go room-b room-b
within 10 "the registry has converged" watched_by_us
follow "back, after etcd" default room-a room-b

bad=$(awk '$3 != 200' "$scratch"/room-?.calls | wc -l) all=$(cat "$scratch"/room-?.calls | wc -l)
expect "calls that failed, of $all" "$bad" 0
note "$all calls, none failed"
