#!/usr/bin/env bash
# SIGKILL of signalboxd around each step of a plan and each update of a name server: it goes on by itself, nothing twice
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
# Fail points (core/failpoint.def); those of the way out and of the way back take turns. server-killed-more.sh and
# server-killed-waiting.sh have others.
if [[ ! -v out ]]; then
    out=("before-journal~/move-out/set" "after-publish~/move-out/set" "after-update")
    back=("after-journal~started by" "after-journal~/move-back/set" "before-journal~dns=succeeded")
fi
names=(play play-line home search home-line creator creator-line)

# Keys of control writes that took effect as more than one generation, and stamps that went back, by the edges' own logs.
doubled() {
    cat "$run"/edge-*/state/applied.log | jq -s 'map(select(.cause != "")) | group_by(.cause) | map(map(.generation) | unique | length) | map(select(. > 1)) | length'
}
went_back() {
    local name
    for name in edge-1 edge-2 edge-3 edge-4; do
        jq -s '[.[] | [.epoch, .generation]] | . as $all | [range(1; length) | select($all[.] < $all[. - 1])] | length' "$run/$name/state/applied.log"
    done | awk '{ n += $1 } END { print n }'
}
state_of() { sb execution show "$1" --json | jq -r .state; }
running_again() { sb status && settled; }
newest() { sb execution list --json | jq -r '.executions[0].id // ""'; }
ended() { [[ $(state_of "$1") != running ]]; }
gone() { ! sb status; }
serial() { lab exec user-1 kdig "@$1" +short +timeout=1 +retry=2 example.test SOA | awk '{ print $3 }'; }
stamp() { sb status --json | jq -r '"\(.epoch) \(.generation)"'; }

# What stands while nobody leads: each edge has a room for each user, each name an address at each name server.
legal() {
    local name answer
    for name in edge-1 edge-2 edge-3 edge-4; do
        answer=$(echo "show map $run/$name/state/rooms.map" | socat -t 10 - "$run/$name/haproxy.sock")
        [[ $(grep -cE ' multi/room-[ab] room-[ab]$' <<<"$answer") == 2 ]] || die "$1: no road on $name: $answer"
    done
    for server in 192.0.2.53 192.0.2.54 192.0.2.55; do
        answer=$(lab exec user-1 kdig "@$server" +short +timeout=1 +retry=1 "${names[@]/%/.example.test}")
        [[ $(grep -c '\.pol\.' <<<"$answer") == "${#names[@]}" && $(grep -c '^203\.0\.113\.1' <<<"$answer") -ge ${#names[@]} ]] ||
            die "$1: at $server: found '$answer', expected addresses of edges for each of ${names[*]}"
    done
}

# start_for POINT: starts the server that is to be killed there, once $run/armed is there; POINT "": nowhere.
start_for() {
    local pass=1
    [[ $1 != *@* ]] || pass=${1#*@}
    killed_at=$1
    if [[ -n $1 ]]; then
        SIGNALBOX_FP="${1%@*}:kill@$pass" SIGNALBOX_FP_ARMED=$run/armed lab start control signalboxd >/dev/null
    else
        lab start control signalboxd >/dev/null
    fi
}

# once PLAN POINT NEXT: a run of the plan that is killed there; the server that goes on is the one to be killed at NEXT.
killed_at=""
once() {
    local plan=$1 point=$2 next=$3 before id stamp_before serial_before name
    if [[ $killed_at != "$point" ]]; then
        rm -f "$run/armed"
        lab stop control signalboxd >/dev/null
        start_for "$point"
    fi
    within 20 "the server is up" running_again
    before=$(newest)
    stamp_before=$(stamp)
    serial_before="$(serial 192.0.2.53) $(serial 192.0.2.54)"
    touch "$run/armed"
    # Not sb, so that the asker itself can be ended: it would ask the dead server again for half a minute, and it must not
    # ask the next one.
    SIGNALBOX_SOCKET=$run/control/signalboxd.sock "$bin/server/signalbox" plan run "$plan" --confirm room-a \
        --reason "killed on the way" --no-wait >/dev/null 2>&1 &
    echo $! >"$scratch/asker.pid"
    within 20 "the server is dead at $point" gone
    kill -KILL $! 2>/dev/null || :
    wait $! 2>/dev/null || :
    rm -f "$run/armed" "$scratch/asker.pid"
    legal "$plan, $point"
    start_for "$next"
    within 20 "the server is up again" sb status
    id=$(newest)
    if [[ $id == "$before" ]]; then # nothing of it was durable, and nobody was told that it was
        [[ $point == "before-journal~started by" ]] || die "$point: the execution is lost"
        id=$(sb plan run "$plan" --confirm room-a --reason "once more" --no-wait)
    fi
    within 40 "execution $id ends" ended "$id"
    expect "state after a kill at $point" "$(state_of "$id")" succeeded
    within 20 "all have converged" settled
    expect "keys that took effect twice" "$(doubled)" 0
    expect "stamps that went back at an edge" "$(went_back)" 0
    # A name server is changed at most once for each claim and each generation.
    read -r epoch_was generation_was <<<"$stamp_before"
    read -r epoch generation <<<"$(stamp)"
    for name in 1 2; do
        at_most "$point: changes of ns-$name" "$(($(serial "192.0.2.$((52 + name))") - $(cut -d ' ' -f "$name" <<<"$serial_before")))" \
            "$((2 * ((epoch >> 16) - (epoch_was >> 16)) + generation - generation_was))"
    done
    note "$plan, $point: $id succeeded"
}

traffic_start all
for ((i = 0; i < ${#out[@]}; i++)); do
    once room-isolated "${out[i]}" "${back[i]}"
    once failback "${back[i]}" "${out[i + 1]:-}"
done

lab hole edge-control:edge-1 >/dev/null
id=$(sb plan run room-isolated --confirm room-a --reason "kill while waiting" --no-wait)
at_wait() { sb execution show "$id" --json | jq -e '.steps[] | select(.name == "edges" and (.text | test("3/4")))'; }
within 10 "step edges waits for edge-1" at_wait
lab kill control signalboxd >/dev/null
lab start control signalboxd >/dev/null
lab heal edge-control:edge-1 >/dev/null
within 20 "the server is up again" sb status
within 40 "execution $id ends" ended "$id"
expect "state after a kill while waiting" "$(state_of "$id")" succeeded
expect "keys that took effect twice" "$(doubled)" 0
traffic_stop all
expect "failed GETs" "$(failed_gets all)" 0
note "$((2 * ${#out[@]} + 1)) kills, $(traffic_figure all length) requests"
