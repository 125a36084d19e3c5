#!/usr/bin/env bash
# a split moves from all in room A to all in room B in ten stages: each of 2,000 users changes room at most once
# shellcheck source=tests/lab/scenarios/lib.sh
source "$(dirname "$(readlink -f "$0")")/lib.sh"
split() { if (($1 == 0)); then echo 0-999=room-a; elif (($1 == 1000)); then echo 0-999=room-b; else echo "0-$(($1 - 1))=room-b,$1-999=room-a"; fi; }
set_split() { sb control set split playback "$(split "$1")" --reason ramp --override share-moved >/dev/null 2>&1 || die "split $1 was refused"; within 10 settled settled; }
set_split 0
traffic_start load --users 2000 --stream "core/public/new=play.example.test@400"
from=$(now_us)
for ((stage = 100; stage <= 1000; stage += 100)); do
    set_split "$stage"
    traffic_quiet load 2
done
traffic_quiet load 8
to=$(now_us)
traffic_stop load
users=$(traffic_figure load 'map(.u) | unique | length' "$from" "$to")
expect "users who changed room more than once" "$(moved load 1 "$from" "$to")" 0
expect "failed GETs" "$(failed_gets load "$from" "$to")" 0
note "$users users, $(moved load 0 "$from" "$to") of them changed room, once each"
