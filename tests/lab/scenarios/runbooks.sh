#!/usr/bin/env bash
# the runbooks for planned work in a row, with users: no GET fails that the runbook does not say will fail
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"

# Those that are not run below are run elsewhere: room-isolated in incident, carrier-* in carrier-to-lines, those of
# gateways and their lines in gateways/.
for file in "$tree"/runbooks/*.yaml; do
    name=$(basename "$file" .yaml)
    grep -qE "^ *(sb plan run|plan|asked) $name " "$tree"/tests/lab/scenarios/{,gateways/}*.sh || die "no scenario runs the runbook $name"
done

# Alice starts what a second person approves; that is who types at the server's own socket.
sb token create --name alice --role operator >"$scratch/alice.token"
server=$(jq -r '.argv as $argv | $argv[($argv | index("--listen")) + 1]' "$run/cmds/control.signalboxd")
alice() {
    lab exec control "$bin/server/signalbox" --server "https://$server" --ca "$run/ca.pem" --token-file "$scratch/alice.token" "$@"
}
scenario_undo() {
    local status=$?
    trap - EXIT
    set +e
    if ((status != 0)); then
        sb execution abort "$id" --reason "scenario ended" >/dev/null 2>&1
        sb control set component.primary orders default --reason "scenario ended" --override one-writer >/dev/null 2>&1
        sb control set component.consumption views default --reason "scenario ended" --override one-writer >/dev/null 2>&1
    fi
    sb token delete alice >/dev/null
    sb apply -f "$run/site.yaml" -f "$tree/runbooks" --prune --reason "scenario ended" >"$scratch/restore.out" 2>&1 || status=1
    (exit "$status")
    scenario_end
}
id=
trap scenario_undo EXIT

state() { sb execution show "$1" --json | jq -r .state; }
step() { sb execution show "$1" --json | jq -r ".steps[] | select(.name == \"$2\") | $3"; }
waits_at() { [[ $(step "$1" "$2" .state) == running && $(step "$1" "$2" .binding) != null ]]; }
is_in() { [[ $(state "$1") == "$2" ]]; }
approve() { sb execution approve "$1" --binding "$(step "$1" "$2" .binding)" --reason "$3" >"$scratch/out" 2>&1 || die "approval of $2: $(cat "$scratch/out")"; }
took() { awk -v us="$(($(now_us) - $1))" 'BEGIN { printf "%.1f s", us / 1e6 }'; }
# plan NAME ARGUMENTS...: runs it to its end
plan() {
    local from
    from=$(now_us)
    sb plan run "$@" --reason "scenario" >"$scratch/run.out" 2>&1 || die "$1: $(cat "$scratch/run.out")"
    note "$1: $(took "$from"), $(tail -1 "$scratch/run.out")"
}
# asked NAME STEP ARGUMENTS...: Alice starts it; it waits at the step for a second person. Sets id.
asked() {
    id=$(alice plan run "$1" "${@:3}" --reason "scenario" --no-wait)
    within 100 "$1 asks the second person at $2" waits_at "$id" "$2"
}
lever() { sb control set "$@" --reason "scenario" --override share-moved >"$scratch/out" 2>&1 || die "lever $*: $(cat "$scratch/out")"; }
home() {
    lever split playback default
    lever split home default
    within 30 "everybody is back" rested
}
# watch NAME: a second of traffic to look at in the end, from now on: its begin and end
declare -A begin=() end=()
watch() {
    begin[$1]=$(now_us)
    clean=0 seen=-1
    within 10 "a whole second of traffic" seconds_pass 2
    end[$1]=$(now_us)
}
seconds_pass() {
    local second
    second=$(jq -r .second "$scratch/load.live")
    [[ $second == "$seen" ]] || clean=$((clean + 1)) seen=$second
    ((clean > $1))
}
# whence NAME FILTER: by which entrances, or from which rooms, the answers of that time came
whence() { traffic_figure load "map($2) | unique | join(\" \")" "${begin[$1]}" "${end[$1]}"; }
# A stage of a ramp bakes for 30 s where it ships.
for name in service-switch site-evacuate; do sed 's/bake: 30s/bake: 2s/' "$tree/runbooks/$name.yaml" >"$scratch/$name.yaml"; done
sb apply -f "$scratch/service-switch.yaml" -f "$scratch/site-evacuate.yaml" --reason "scenario" >"$scratch/out" 2>&1

traffic_start load --users 1000 --stream "core/public/new=play.example.test@60" --stream "manual/public/new=home.example.test@60" \
    --stream "single-room/public/new=creator.example.test@30" --stream "core/dedicated/new=play-line.example.test@20"
from=$(now_us)
plan pop-drain --confirm pop-a1
watch pop-drain
lever pop pop-a1 default

plan service-switch --confirm playback,home --param to=room-b
watch service-switch
home

begun=$(now_us)
asked site-evacuate second-person --confirm room-a
note "site-evacuate: asks the second person after $(took "$begun")"
traffic_quiet load 5 # the names have moved: the old answers' 5 s
watch site-evacuate
if alice execution approve "$id" --binding "$(step "$id" second-person .binding)" >"$scratch/out" 2>&1; then die "Alice approved her own run"; fi
closed=$(now_us)
approve "$id" second-person "everybody is told"
within 20 "the end of site-evacuate" is_in "$id" succeeded
refused_now() { jq -e '.streams[] | select(.name == "single-room") | .failed > 0' "$scratch/load.live"; }
within 10 "the single-room services of the closed room fail" refused_now
watch closed
lever room.compute room-a default
plan failback --confirm room-a
opened=$(($(now_us) + 500000))
home
traffic_quiet load 2

drained=$(now_us)
plan room-drain --confirm room-a
within 10 "the single-room services of the drained room fail" refused_now
watch room-drain
lever room.compute room-a default
within 30 "everybody is back" rested
undrained=$(($(now_us) + 500000))

# Writes of a database and consumers of a topic change rooms: a real etcd says so to whoever writes and consumes.
etcd=http://127.0.0.1:2379
"$bin/tests/lab/lab" --run "$run" exec control etcd --data-dir "$scratch/etcd" --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
    --listen-peer-urls http://127.0.0.1:2380 --logger zap --log-level warn >"$scratch/etcd.log" 2>&1 &
echo $! >"$scratch/etcd.pid"
cat >"$scratch/components.yaml" <<'END'
components:
  - {name: orders, type: mysql, rooms: [room-a, room-b], primary: room-a}
  - {name: views, type: topic, rooms: [room-a, room-b], consumption: local}
registries:
  - {name: disco, address: "127.0.0.1:2379"}
END
sb apply -f "$scratch/components.yaml" --reason "scenario" >"$scratch/out" 2>&1
# published COMPONENT MEMBER VALUE: what etcd has of it
published() {
    [[ $(lab exec control curl -sf -m 2 "$etcd/v3/kv/range" -d "{\"key\":\"$(printf %s "/signalbox/v1/component/$1" | base64 -w0)\"}" |
        jq -r '.kvs[0].value' | base64 -d | jq -r ".$2") == "$3" ]]
}
# one_writer LEVER OBJECT VALUE: refused
one_writer() {
    local status=0
    sb control set "$@" --reason "scenario" >"$scratch/out" 2>&1 || status=$?
    expect "exit code of $* ($(cat "$scratch/out"))" "$status" 3
    grep -q one-writer "$scratch/out" || die "$*: found $(cat "$scratch/out"), expected a refusal by one-writer"
}
within 20 "etcd has the primary" published orders primary room-a
# promote TO: nobody writes, then the other room does; etcd says so at each turn.
promote() {
    asked component-promote fenced --confirm orders --param to="$1"
    within 5 "etcd says that nobody may write" published orders primary none
    approve "$id" fenced "it is read-only"
    within 5 "component-promote asks for the position" waits_at "$id" position
    approve "$id" position "caught up"
    within 20 "the end of component-promote" is_in "$id" succeeded
    published orders primary "$1" || die "component-promote has succeeded, and etcd has not $1"
    note "component-promote to $1: $(step "$id" published .text)"
}
one_writer component.primary orders room-b
asked component-promote fenced --confirm orders --param to=room-b
sb execution abort "$id" --reason "try the way back" >/dev/null 2>&1 || :
within 20 "the abort of component-promote" is_in "$id" aborted
within 10 "etcd has the old primary after the abort" published orders primary room-a
promote room-b
one_writer component.primary orders room-a
promote room-a
lever component.primary orders default

published views consumption local || die "etcd has not local consumption of views"
asked topic-takeover stopped --confirm views
within 5 "etcd says that nobody may consume" published views consumption none
approve "$id" stopped "offset 123456"
within 20 "the end of topic-takeover" is_in "$id" succeeded
published views consumption global || die "topic-takeover has succeeded, and etcd has not global"
note "topic-takeover: $(step "$id" published .text)"
one_writer component.consumption views default
lever component.consumption views none
within 10 "etcd says that nobody may consume" published views consumption none
lever component.consumption views default
within 10 "each room consumes its own again" published views consumption local

traffic_quiet load 2
to=$(now_us)
traffic_stop load
kill "$(cat "$scratch/etcd.pid")"
wait "$(cat "$scratch/etcd.pid")" || :
rm "$scratch/etcd.pid"
# shellcheck disable=SC2016 # the dollars are jq's
multi='select($streams[.s].name != "single-room" and .c == 200)' single='select($streams[.s].name == "single-room" and .c == 200)'
expect "entrances without pop-a1" "$(whence pop-drain 'select(.entrance != "ring") | .entrance')" '"pop-a2 pop-b1 pop-b2"'
expect "rooms after service-switch" "$(whence service-switch "$multi | .room")" '"room-b"'
expect "rooms of multi-active services after site-evacuate" "$(whence site-evacuate "$multi | .room")" '"room-b"'
expect "rooms and roads of single-room services after site-evacuate" "$(whence site-evacuate "$single | .room, .entrance, .edge")" '"edge-3 edge-4 ring room-a"'
expect "rooms that answer when room A is closed" "$(whence closed 'select(.c == 200) | .room')" '"room-b"'
expect "rooms that answer after room-drain" "$(whence room-drain 'select(.c == 200) | .room')" '"room-b"'
# failed FROM_US TO_US: GETs of multi-active services, of single-room services
failed() {
    # shellcheck disable=SC2016 # the dollars are jq's
    traffic_figure load 'map(select(.c < 200 or .c > 299) | $streams[.s].name == "single-room")
        | "\(map(select(not)) | length) \(map(select(.)) | length)"' "$1" "$2"
}
expect "failed GETs until room A was closed whole" "$(failed "$from" "$((closed - 100000))")" '"0 0"'
expect "failed GETs of multi-active services while it was" "$(failed "$closed" "$opened" | cut -d ' ' -f 1)" '"0'
expect "failed GETs from failback to room-drain" "$(failed "$opened" "$((drained - 100000))")" '"0 0"'
expect "failed GETs of multi-active services during room-drain" "$(failed "$drained" "$undrained" | cut -d ' ' -f 1)" '"0'
expect "failed GETs after it" "$(failed "$undrained" "$to")" '"0 0"'
note "$(traffic_figure load length "$from" "$to") requests; no GET failed that was not said to"
