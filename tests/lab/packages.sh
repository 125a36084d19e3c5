#!/usr/bin/env bash
# The Debian packages on a clean Debian that is thrown away (debootstrap into a tmpfs, in namespaces of its own, so that
# nothing of it is left): installed as README says, first token, apply, a plan, an edge that obeys, a gateway; then the next version
# over it, with all state kept; removed; purged. Its systemd is booted, in a container, and runs the units. Where it does
# not boot (PACKAGES_NO_BOOT=1 asks for this), it is said so, and this script starts what the units say, as they say.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

# 1: builds; 2: installs, with the network; 3: runs, in a network of its own, whose ports are nobody else's.
part=${1:-build} root=${2:-} system=${2:-}/root
if [[ $part == build ]]; then
    [[ $(id -u) == 0 ]] || { echo "packages: needs root" >&2; exit 77; }
    ./dev package
    exec unshare --mount --pid --fork --kill-child --mount-proc "$0" --install
fi

fail() {
    echo "packages: $*" >&2
    exit 1
}

inside() { chroot "$system" "$@"; }

# wait_for SECONDS COMMAND...
wait_for() {
    local until=$((SECONDS + $1))
    until "${@:2}"; do
        ((SECONDS < until)) || return 1
        read -r -t 0.05 <> <(:) || true
    done
}

mount_system() {
    mount -t proc proc "$system/proc"
    mount --rbind /dev "$system/dev"
    mount -t tmpfs none "$system/run"
}

# install FOLDER: the packages of /FOLDER, and what they depend on.
install() {
    inside sh -c "cd /$1 && apt-get install -y -q ./signalbox-*.deb" >"$root/install.log" 2>&1 ||
        fail "apt install ./signalbox-*.deb: $(tail -20 "$root/install.log")"
}

if [[ $part == --install ]]; then
    root=$(mktemp -d) system=$root/root
    trap 'cd /; umount -R -l "$root"; rmdir "$root"' EXIT
    mount -t tmpfs -o mode=755 none "$root"
    echo "== a clean Debian"
    debootstrap --variant=minbase --include=iproute2,ethtool bookworm "$system" >"$root/debootstrap.log" 2>&1 ||
        fail "debootstrap: $(tail -5 "$root/debootstrap.log")"
    mount_system
    printf '#!/bin/sh\nexit 101\n' >"$system/usr/sbin/policy-rc.d" # HAProxy's own service does not start
    chmod +x "$system/usr/sbin/policy-rc.d"
    mkdir "$system/debs" "$system/next"
    cp build/release/*.deb "$system/debs"
    cp tests/lab/sites/two-rooms.yaml "$system/root/site.yaml"
    for deb in build/release/*.deb; do
        dpkg-deb -R "$deb" "$root/tree"
        sed -i 's/^Version: .*/&+next/' "$root/tree/DEBIAN/control"
        dpkg-deb -b "$root/tree" "$system/next/" >/dev/null
        rm -r "$root/tree"
    done

    echo "== install"
    export DEBIAN_FRONTEND=noninteractive
    install debs
    for unit in signalboxd signalbox-edge signalbox-haproxy signalbox-gateway signalbox-forwarder; do
        inside systemd-analyze verify --man=no "/lib/systemd/system/$unit.service" || fail "systemd-analyze verify $unit"
        exposure=$(inside systemd-analyze security --offline=true "/lib/systemd/system/$unit.service" | awk '/Overall/ { print $(NF - 2) }')
        awk -v e="$exposure" 'BEGIN { exit !(e > 0 && e <= 2.5) }' || fail "$unit: exposure $exposure, expected at most 2.5"
        echo "$unit: exposure $exposure"
    done
    for page in man8/signalboxd.8 man5/signalboxd.yaml.5 man1/signalbox.1 man8/signalbox-edge.8 man5/edge.conf.5 \
        man8/signalbox-gateway.8 man8/signalbox-forwarder.8 man5/gateway.conf.5; do
        [[ -s $system/usr/share/man/$page.gz ]] || fail "no manual page $page"
    done
    # shellcheck disable=SC2016
    [[ $(inside bash -c '. /usr/share/bash-completion/completions/signalbox; COMP_WORDS=(signalbox pl); COMP_CWORD=1; _signalbox; echo "${COMPREPLY[*]}"') == plan ]] ||
        fail "completion of \`signalbox pl\`"
    unshare --net "$0" --run "$root"
    exit
fi

# ---- --run ----
ip link set lo up
mkdir -p "$system/etc/signalbox"

# Cgroups of the container, in each hierarchy that systemd may use: it leaves its groups behind.
groups=()
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
    [[ ! -e $hierarchy/cgroup.procs ]] || groups+=("$hierarchy/signalbox-packages")
done
no_groups() { find "${groups[@]}" -depth -type d -exec rmdir {} + 2>/dev/null || [[ ! -e ${groups[0]} ]]; }

# The container; $first is its first process.
boot() {
    [[ -z ${PACKAGES_NO_BOOT:-} ]] && ((${#groups[@]} > 0)) || return
    mkdir -p /run/systemd "${groups[@]}" && mount -t tmpfs none /run/systemd || return
    umount -R -l "$system/proc" "$system/dev" "$system/run" || return
    trap halt EXIT
    (
        for group in "${groups[@]}"; do echo "$BASHPID" >"$group/cgroup.procs" || exit; done
        exec systemd-nspawn --quiet --boot --capability=CAP_NET_ADMIN --directory "$system" --machine packages --register=no --keep-unit \
            --link-journal=no --resolv-conf=off --timezone=off
    ) </dev/null >"$root/boot.log" 2>&1 &
    container=$!
    wait_for 60 boot_ended && is_booted && return
    halt
    mount_system
    return 1
}
halt() {
    kill "$container" 2>/dev/null || :
    wait_for 30 has_ended || kill -KILL "$container"
    wait_for 10 no_groups || echo "packages: left: $(find "${groups[@]}" -type d)" >&2
}
has_ended() { ! kill -0 "$container" 2>/dev/null; }
is_booted() {
    first=$(pgrep -P "$container") && nsenter -t "$first" -a systemctl is-active -q multi-user.target 2>/dev/null
}
boot_ended() { is_booted || has_ended; }

# unit NAME USER KEY: the words of its lines KEY=, with EDGE_OPTIONS of edge.conf in their place.
unit() {
    local options=''
    [[ ! -e $system/etc/signalbox/edge.conf ]] || options=$(sed -e ':a; /\\$/ { N; s/\\\n//; ba }' "$system/etc/signalbox/edge.conf" | sed -n 's/^EDGE_OPTIONS=//p')
    sed -n "s/^$2=//p" "$system/lib/systemd/system/$1.service" | sed "s|\$EDGE_OPTIONS|$options|"
}

# start UNIT USER: as its unit does. What it must say to the service manager, it has said.
declare -A process
start() {
    local command told=$system/run/notify/$1
    rm -f "$told" "$told.socket"
    socat -u "UNIX-RECV:$told.socket,mode=666" "OPEN:$told,creat,append" &
    wait_for 5 test -S "$told.socket" || fail "no notify socket"
    inside install -d -m 0700 -o "$2" -g "$2" "/var/lib/$(unit "$1" StateDirectory)"
    [[ -z $(unit "$1" RuntimeDirectory) ]] || inside install -d -m 0750 -o "$2" -g "$2" "/run/$(unit "$1" RuntimeDirectory)"
    local as=(setpriv --reuid "$2" --regid "$2" --clear-groups --inh-caps +net_bind_service --ambient-caps +net_bind_service)
    while read -ra command; do
        chroot "$system" "${as[@]}" "${command[@]}" >>"$root/$1.log" 2>&1 || fail "$1: ExecStartPre: $(tail -5 "$root/$1.log")"
    done < <(unit "$1" ExecStartPre)
    read -ra command < <(unit "$1" ExecStart)
    chroot "$system" "${as[@]}" env "NOTIFY_SOCKET=/run/notify/$1.socket" WATCHDOG_USEC=1000000 "${command[@]}" >>"$root/$1.log" 2>&1 &
    process[$1]=$!
    wait_for 10 grep -q READY=1 "$told" || fail "$1: no READY=1: $(tail -5 "$root/$1.log")"
    [[ $1 == signalbox-haproxy ]] || wait_for 5 grep -q 'WATCHDOG=1.*WATCHDOG=1' "$told" || fail "$1: no WATCHDOG=1"
}

# stop UNIT
stop() {
    local status=0
    kill "${process[$1]}"
    wait "${process[$1]}" || status=$?
    [[ $status == 0 || $status == "$(unit "$1" SuccessExitStatus)" ]] || fail "$1 ended with $status"
}

# What stands above, by systemd itself.
if boot; then
    echo "== systemd is booted"
    rm "$system/usr/sbin/policy-rc.d" # it keeps packages from starting units
    inside() { nsenter -t "$first" -a "$@"; }
    start() { inside systemctl start "$1" || fail "$1: $(inside journalctl -n 20 -u "$1")"; }
    main_process() { inside systemctl show -P MainPID "$1"; }
    # anew UNIT PROCESS: the unit runs, in another process.
    anew() { inside systemctl is-active -q "$1" && [[ $(main_process "$1") != "$2" ]]; }
else
    first=''
    echo "== SYSTEMD DOES NOT BOOT HERE: what its units say is done without it: $(tail -3 "$root/boot.log" 2>/dev/null)"
    mkdir -m 0777 "$system/run/notify"
fi

echo "== server, as README says"
inside cp /usr/share/doc/signalbox-server/examples/signalboxd.yaml /etc/signalbox/
start signalboxd signalbox
# shellcheck disable=SC2016 # the plan's parameter, not the shell's
inside sh -ec 'cd /root; signalbox apply -f site.yaml >/dev/null
    (umask 077; signalbox token create --name admin --role admin >admin.token)
    (umask 077; signalbox token create --name edge-1 --role agent >/etc/signalbox/edge.token)
    printf "plan: pop-out\ntarget: pop\nsteps:\n  - name: out\n    set: [{control: pop, on: \$target, value: out}]\n" >pop-out.yaml
    signalbox apply -f pop-out.yaml' >/dev/null
inside chown signalbox-edge: /etc/signalbox/edge.token
inside signalbox plan run room-isolated --confirm room-a --dry-run >/dev/null || fail "plan run --dry-run"
inside signalbox plan run pop-out --confirm pop-a1 >"$root/plan.log" 2>&1 || fail "plan run: $(<"$root/plan.log")"
grep -q succeeded "$root/plan.log" || fail "plan run: $(<"$root/plan.log")"

echo "== edge"
inside cp /usr/share/doc/signalbox-edge/examples/edge.conf /etc/signalbox/
sed -i -e 's# --ca /etc/signalbox/ca.pem##' -e 's#https://192.0.2.1:8441#http://127.0.0.1:8441#' "$system/etc/signalbox/edge.conf"
start signalbox-haproxy signalbox-edge
start signalbox-edge signalbox-edge

# What the server has is applied there.
generation() { inside signalbox status | sed -n 's/^my-site *generation \([0-9]*\) .*/\1/p'; }
obeys() { [[ $(inside signalbox agents | awk -v name="${1:-edge-1}" '$1 == name { print $3, $5 }') == "applied $(generation)" ]]; }
wait_for 20 obeys || fail "edge-1 does not obey: $(inside signalbox agents; tail -5 "$root/signalbox-edge.log")"

announced() { inside birdc show route protocol vip_a | grep -q 198.51.100.11; }
withdrawn() { ! announced; }
last_resort() { inside birdc show route protocol last_vip_a | grep -q 198.51.100.11; }

if [[ $first ]]; then
    echo "== gateway"
    sed '/^---$/,$d' "$system/root/site.yaml" >"$system/root/gateways.yaml"
    cat >>"$system/root/gateways.yaml" <<'END'
gateways:
  - {name: gw-1, room: room-a, local: 10.1.40.1}
gwports:
  - {name: gw-1-room, gateway: gw-1, place: 0, port: 0, own: 192.0.2.129, next: 192.0.2.130, inside: true}
instances:
  - {name: instance-1, room: room-a, address: "127.0.0.1:8440"}
gwvips:
  - {name: a, room: room-a, address: "198.51.100.11:80", check: tcp, interval: 200}
END
    inside sh -ec 'cd /root; signalbox apply -f gateways.yaml >/dev/null
        (umask 077; signalbox token create --name gw-1 --role agent >/etc/signalbox/gateway.token)
        cp /usr/share/doc/signalbox-gateway/examples/gateway.conf /etc/signalbox/
        cp /usr/share/doc/signalbox-gateway/examples/bird.conf /etc/bird/
        chown signalbox-gateway: /etc/signalbox/gateway.token
        ip link add eth1 type veth peer name eth1-far
        ip link set eth1 addrgenmode none
        ip link set eth1 up; ip link set eth1-far up
        ethtool -K eth1 gro off' >/dev/null || fail "a gateway is set up"
    sed -i -e 's# --ca /etc/signalbox/ca.pem##' -e 's#https://192.0.2.1:8441#http://127.0.0.1:8441#' -e 's# --port eth2##' \
        "$system/etc/signalbox/gateway.conf"
    inside systemctl restart bird || fail "bird: $(inside journalctl -n 20 -u bird)"
    start signalbox-forwarder
    start signalbox-gateway
    wait_for 20 obeys gw-1 || fail "gw-1 does not obey: $(inside signalbox agents; inside journalctl -n 20 -u signalbox-gateway -u signalbox-forwarder)"
    wait_for 20 announced || fail "its address is not announced: $(inside signalbox agents; inside birdc show protocols)"
    inside systemctl stop signalbox-gateway
    announced || fail "the agent took its address along"
    killed=$(main_process signalbox-forwarder)
    inside kill -KILL "$killed"
    wait_for 5 withdrawn || fail "the forwarder is gone, no agent is there, and its address is announced"
    ! last_resort || fail "the forwarder is gone, no agent is there, and its address is announced as the last resort"
    wait_for 5 anew signalbox-forwarder "$killed" || fail "the forwarder is not started anew"
    start signalbox-gateway
    wait_for 20 announced || fail "its address is not announced again"
    killed=$(main_process signalbox-gateway)
    inside kill -KILL "$killed"
    wait_for 5 withdrawn || fail "the agent was killed, and its address is announced as if it were there"
    last_resort || fail "the agent was killed, and its address is no last resort"
    wait_for 20 anew signalbox-gateway "$killed" || fail "the agent is not started anew"
    wait_for 20 announced || fail "its address is not announced again by the next agent"

    echo "== the watchdog"
    for name in signalboxd signalbox-edge signalbox-gateway; do
        hung=$(main_process "$name") began=$SECONDS
        inside kill -STOP "$hung"
        wait_for 30 anew "$name" "$hung" || fail "$name hangs: $(inside systemctl status "$name")"
        inside journalctl -u "$name" | grep -q 'Watchdog timeout' || fail "$name: not by the watchdog: $(inside journalctl -u "$name")"
        echo "$name hung: started anew after $((SECONDS - began)) s"
    done
    wait_for 20 obeys || fail "edge-1 does not obey: $(inside signalbox agents)"
fi

echo "== the next version keeps all, and the edge obeys"
before=$(inside signalbox export --plans | sha256sum) records=$(inside signalbox audit --all)
if [[ $first ]]; then
    server=$(main_process signalboxd) agent=$(main_process signalbox-edge) haproxy=$(main_process signalbox-haproxy)
    gateway=$(main_process signalbox-gateway) forwarder=$(main_process signalbox-forwarder)
    install next
    anew signalboxd "$server" || fail "installing did not start the server's next version"
    anew signalbox-edge "$agent" || fail "installing did not start the agent's next version"
    [[ $(main_process signalbox-haproxy) == "$haproxy" ]] || fail "HAProxy of the edge has ended"
    anew signalbox-gateway "$gateway" || fail "installing did not start the gateway's next version"
    [[ $(main_process signalbox-forwarder) == "$forwarder" ]] || fail "the forwarder of the gateway has ended"
else
    stop signalboxd
    stop signalbox-edge
    install next
    kill -0 "${process[signalbox-haproxy]}" || fail "HAProxy of the edge has ended"
    start signalboxd signalbox
    start signalbox-edge signalbox-edge
fi
[[ $(inside dpkg-query -s signalbox-server) == *+next* ]] || fail "the next version is not installed"
[[ $(inside signalbox export --plans | sha256sum) == "$before" ]] || fail "the inventory is another"
[[ $(inside signalbox audit --all) == "$records"* ]] || fail "the audit is another"
inside signalbox control get pop pop-a1 | grep -q out || fail "a lever is another"
inside signalbox audit verify >/dev/null || fail "audit verify: $(inside signalbox audit verify)"
inside signalbox --server http://127.0.0.1:8440 --token-file /root/admin.token status >/dev/null || fail "the token is gone"
at=$(generation)
inside signalbox control set pop pop-a1 in >/dev/null 2>&1 || fail "control set"
[[ $(generation) -gt $at ]] || fail "no new generation"
wait_for 20 obeys || fail "edge-1 does not obey: $(inside signalbox agents; tail -5 "$root/signalbox-edge.log")"

echo "== remove keeps data, purge does not"
[[ $first ]] || for name in signalbox-edge signalboxd signalbox-haproxy; do stop "$name"; done
inside dpkg -r signalbox-server >/dev/null 2>&1
[[ -s $system/var/lib/signalbox/journal.db ]] || fail "removing took the journal"
inside dpkg -P signalbox-server signalbox-edge signalbox-gateway signalbox-cli >/dev/null 2>&1
[[ -z $first ]] || ! inside pgrep -l 'signalb|haproxy' || fail "removing left a process"
[[ ! -e $system/var/lib/signalbox && ! -e $system/var/lib/signalbox-edge && ! -e $system/var/lib/signalbox-gateway ]] || fail "purging left state"
[[ ! -e $system/lib/systemd/system/signalboxd.service ]] || fail "purging left something"
echo "packages: ok"
