#!/usr/bin/env bash
# The Debian packages, installed into a copy of this system that is thrown away (an overlay in namespaces of its own, so
# that nothing of it is left): users, units, the first token, apply, a plan, the edge's files, upgrade, purge.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

if [[ ${1:-} != --inside ]]; then
    [[ $(id -u) == 0 ]] || { echo "packages: needs root" >&2; exit 77; }
    ./dev package
    exec unshare --mount --pid --fork --net "$0" --inside
fi

fail() {
    echo "packages: $*" >&2
    exit 1
}

root=$(mktemp -d)
trap 'cd /; umount -R -l "$root"; rmdir "$root"' EXIT
mount -t tmpfs none "$root"
mkdir "$root"/{upper,work,root}
system=$root/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$root/upper,workdir=$root/work" "$system"
mount -t proc proc "$system/proc"
mount --rbind /dev "$system/dev"
mount -t tmpfs none "$system/run"
mkdir "$system/debs"
cp build/release/*.deb tests/lab/sites/two-rooms.yaml "$system/debs"
ip link set lo up
inside() { chroot "$system" "$@"; }
as() { inside setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }

# wait_for SECONDS COMMAND...
wait_for() {
    local until=$((SECONDS + $1))
    until "${@:2}"; do
        ((SECONDS < until)) || return 1
        read -r -t 0.05 <> <(:) || true
    done
}

echo "== install"
inside sh -c 'dpkg -i /debs/*.deb' >/dev/null 2>"$root/install.log" || fail "dpkg -i: $(<"$root/install.log")"
for unit in signalboxd signalbox-edge signalbox-haproxy; do
    inside systemd-analyze verify "/lib/systemd/system/$unit.service" || fail "systemd-analyze verify $unit"
    exposure=$(inside systemd-analyze security --offline=true "/lib/systemd/system/$unit.service" | awk '/Overall/ { print $(NF - 2) }')
    awk -v e="$exposure" 'BEGIN { exit !(e > 0 && e <= 2.5) }' || fail "$unit: exposure $exposure, expected at most 2.5"
    echo "$unit: exposure $exposure"
done
inside man -w signalboxd signalbox signalbox-edge >/dev/null || fail "manual pages"
# shellcheck disable=SC2016
[[ $(inside bash -c '. /usr/share/bash-completion/completions/signalbox; COMP_WORDS=(signalbox pl); COMP_CWORD=1; _signalbox; echo "${COMPREPLY[*]}"') == plan ]] ||
    fail "completion of \`signalbox pl\`"

echo "== server, as its unit starts it"
mkdir -p "$system/etc/signalbox" "$system/run/signalbox" "$system/var/lib/signalbox" "$system/var/lib/signalbox-edge"
inside cp /usr/share/doc/signalbox-server/examples/signalboxd.yaml /etc/signalbox/
inside chown signalbox:signalbox /run/signalbox /var/lib/signalbox
inside chown signalbox-edge:signalbox-edge /var/lib/signalbox-edge
mapfile -t starts < <(sed -n 's/^ExecStart\(Pre\)\?=//p' "$system/lib/systemd/system/signalboxd.service")
read -ra check <<<"${starts[0]}"
read -ra start <<<"${starts[1]}"
as signalbox "${check[@]}" >/dev/null
mkdir -m 0777 "$system/run/notify"
inside socat -u UNIX-RECV:/run/notify/socket,mode=666 OPEN:/run/notify/told,creat,append &
wait_for 5 test -S "$system/run/notify/socket" || fail "no notify socket"
serve() {
    : >"$system/run/notify/told"
    # Not by `as`: $! is to be the server, which gets the signal.
    chroot "$system" setpriv --reuid signalbox --regid signalbox --clear-groups env NOTIFY_SOCKET=/run/notify/socket \
        WATCHDOG_USEC=1000000 "${start[@]}" 2>>"$root/signalboxd.log" &
    server=$!
    wait_for 10 grep -q READY=1 "$system/run/notify/told" || fail "no READY=1: $(<"$root/signalboxd.log")"
    wait_for 5 grep -q WATCHDOG=1WATCHDOG=1 "$system/run/notify/told" || fail "no WATCHDOG=1"
}
serve
inside signalbox token create --name admin --role admin | grep -q . || fail "no token"
inside signalbox apply -f /debs/two-rooms.yaml >/dev/null
inside signalbox plan run room-isolated --confirm room-a --dry-run >/dev/null || fail "plan run --dry-run"

echo "== edge"
inside cp /usr/share/doc/signalbox-edge/examples/edge.conf /etc/signalbox/
sed -i -e 's# --ca /etc/signalbox/ca.pem##' -e 's# --token-file [^ ]*##' "$system/etc/signalbox/edge.conf"
mapfile -t options < <(sed -e ':a; /\\$/ { N; s/\\\n//; ba }' "$system/etc/signalbox/edge.conf" | sed -n 's/^EDGE_OPTIONS=//p' | xargs -n 1)
as signalbox-edge signalbox-edge "${options[@]}" --render-only
as signalbox-edge haproxy -c -f /var/lib/signalbox-edge/haproxy.cfg >/dev/null || fail "HAProxy refuses the edge's file"

echo "== upgrade keeps data"
kill "$server"
wait "$server" || fail "signalboxd ended with $?"
inside sh -c 'dpkg -i /debs/signalbox-server_*.deb' >/dev/null 2>&1
serve
inside signalbox export | grep -q room-a || fail "the inventory is gone"
kill "$server"
wait "$server"

echo "== remove keeps data, purge does not"
inside dpkg -r signalbox-server >/dev/null 2>&1
[[ -s $system/var/lib/signalbox/journal.db ]] || fail "removing took the journal"
inside dpkg -P signalbox-server signalbox-edge signalbox-cli >/dev/null 2>&1
[[ ! -e $system/var/lib/signalbox && ! -e $system/lib/systemd/system/signalboxd.service ]] || fail "purging left something"
echo "packages: ok"
