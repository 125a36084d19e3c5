#!/usr/bin/env bash
# A release tarball on a machine without Node: it configures, compiles, and its server gives the console that it brought.
# Of what is committed, as ./dev tarball is. Exit code 0: so it is.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

fail() {
    echo "tarball: $*" >&2
    exit 1
}

[[ -e .git ]] || { echo "tarball: found no .git: it is of what is committed" >&2; exit 77; }
scratch=$(mktemp -d) server=
end() {
    [[ -z $server ]] || { kill "$server" && wait "$server"; } 2>/dev/null || :
    rm -rf "$scratch"
}
trap end EXIT
trap 'exit 130' INT TERM HUP

tarball=$(./dev tarball | tail -1)
[[ -s $tarball ]] || fail "found no $tarball, expected it of ./dev tarball"
tar -xzf "$tarball" -C "$scratch" --strip-components=1
for name in src/main.tsx dist/index.html dist/index.html.gz; do
    [[ -s $scratch/web/$name ]] || fail "found no web/$name in it"
done

# Whoever asks for Node is heard of.
mkdir "$scratch/no-node"
for name in node nodejs npm npx; do
    printf '#!/bin/sh\necho "%s $*" >>%s/asked\nexit 99\n' "$name" "$scratch" >"$scratch/no-node/$name"
done
chmod +x "$scratch"/no-node/*
export PATH=$scratch/no-node:$PATH
cmake -S "$scratch" -B "$scratch/build" -G Ninja -DCMAKE_BUILD_TYPE=Debug >"$scratch/log" 2>&1 || fail "cmake: $(tail -5 "$scratch/log")"
ninja -C "$scratch/build" signalboxd >"$scratch/log" 2>&1 || fail "ninja: $(tail -5 "$scratch/log")"
[[ ! -e $scratch/asked ]] || fail "found $(cat "$scratch/asked"), expected nobody to ask for Node"

# start PORT: a server there and at the next one; false: somebody else has them.
start() {
    "$scratch/build/server/signalboxd" --cluster=c --state="$scratch/state" --socket="$scratch/socket" \
        --listen="127.0.0.1:$1" --agents-listen="127.0.0.1:$(($1 + 1))" 2>"$scratch/said" &
    server=$!
    while read -r -t 30 line; do
        [[ $line != *'>ready '* ]] || return 0
        echo "$line" >>"$scratch/log"
    done <"$scratch/said"
    return 1
}
mkfifo "$scratch/said"
for try in 1 2 3 4 5; do
    ! start $((20000 + RANDOM % 10000)) || break
    ((try < 5)) || fail "found no server that is ready: $(tail -3 "$scratch/log")"
done
while IFS= read -r path; do
    curl -sf --unix-socket "$scratch/socket" "http://x/$path" | cmp -s - "$scratch/web/dist/$path" || fail "/$path: found other bytes than web/dist/$path"
done < <(cd "$scratch/web/dist" && find assets -type f ! -name '*.gz')
curl -sf --unix-socket "$scratch/socket" http://x/ | cmp -s - "$scratch/web/dist/index.html" || fail "/: found other bytes than web/dist/index.html"
echo "tarball: $(du -k "$tarball" | cut -f1) kB; compiled without Node; the server gives its console"
